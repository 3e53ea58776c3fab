//! The events that the account sends.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{ACCOUNT, FakeAws, REGION, Recorded};
use super::secrets::name_of;

/// The Region of an ARN.
fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap()
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Native,
    CloudTrail,
    Ecs,
    Schedule,
}

impl FakeAws {
    pub(super) fn envelope(&self, detail_type: &str, resources: Value, detail: Value) -> Value {
        json!({
            "version": "0", "id": "00000000", "source": "aws.secretsmanager", "account": ACCOUNT,
            "region": REGION, "detail-type": detail_type, "time": self.second(),
            "resources": resources, "detail": detail,
        })
    }

    /// The time as AWS writes it into events: cut to the second.
    fn second(&self) -> String {
        Timestamp::from_second(self.now().as_second())
            .unwrap()
            .to_string()
    }

    pub(super) fn api_event(
        &mut self,
        call: &str,
        name: &str,
        mut request: Value,
        mut response: Value,
    ) {
        let field = if call == "CreateSecret" {
            "name"
        } else {
            "secretId"
        };
        request[field] = json!(name_of(name));
        let arn = self.secrets[name].arn.clone();
        response["arn"] = json!(arn);
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com", "eventName": call,
            "awsRegion": region_of(&arn), "requestParameters": request, "responseElements": response,
        });
        let resources = vec![arn, name_of(name).to_owned()];
        self.record(call, resources, &detail);
        let event = self.envelope("AWS API Call via CloudTrail", json!([]), detail);
        self.events.push((Family::CloudTrail, event));
    }

    pub(super) fn service_event(&mut self, event: &str, name: &str) {
        let arn = &self.secrets[name].arn;
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com", "eventName": event,
            "awsRegion": region_of(arn), "requestParameters": null, "responseElements": null,
            "additionalEventData": {"SecretId": arn},
        });
        self.record(event, Vec::new(), &detail);
        let event = self.envelope("AWS Service Event via CloudTrail", json!([]), detail);
        self.events.push((Family::CloudTrail, event));
    }

    /// The event history of this Region keeps the events of this Region.
    fn record(&mut self, name: &str, resources: Vec<String>, detail: &Value) {
        if detail["awsRegion"] == REGION {
            self.trail.push(Recorded {
                at: self.now(),
                name: name.to_owned(),
                resources,
                detail: detail.clone(),
            });
        }
    }

    /// `GetSecretValue`, so often, which the event history keeps, and EventBridge does not send.
    pub(crate) fn read_often(&mut self, name: &str, times: usize) {
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com",
            "eventName": "GetSecretValue", "awsRegion": REGION,
            "requestParameters": {"secretId": name}, "responseElements": null,
        });
        for _ in 0..times {
            self.record("GetSecretValue", vec![name.to_owned()], &detail);
        }
    }

    /// `ECS Deployment State Change`
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html>).
    pub(super) fn deployment_event(
        &mut self,
        event_name: &str,
        service: &str,
        deployment: &str,
        reason: &str,
    ) {
        let failed = event_name == "SERVICE_DEPLOYMENT_FAILED";
        let detail = json!({
            "eventType": if failed { "ERROR" } else { "INFO" }, "eventName": event_name,
            "deploymentId": deployment, "updatedAt": self.second(), "reason": reason,
        });
        let mut event = self.envelope("ECS Deployment State Change", json!([service]), detail);
        event["source"] = json!("aws.ecs");
        self.events.push((Family::Ecs, event));
    }

    /// The schedule of the sweep.
    pub(crate) fn schedule_event(&mut self) {
        let event = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        self.events.push((Family::Schedule, event));
    }
}
