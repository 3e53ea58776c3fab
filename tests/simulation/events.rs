//! The events that the account sends.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{ACCOUNT, FakeAws, REGION, Recorded};

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
        request["secretId"] = json!(name);
        let arn = self.secrets[name].arn.clone();
        response["arn"] = json!(arn);
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com", "eventName": call,
            "awsRegion": REGION, "requestParameters": request, "responseElements": response,
        });
        let resources = vec![arn, name.to_owned()];
        self.trail.push(Recorded {
            at: self.now(),
            name: call.to_owned(),
            resources,
            detail: detail.clone(),
        });
        let event = self.envelope("AWS API Call via CloudTrail", json!([]), detail);
        self.events.push((Family::CloudTrail, event));
    }

    pub(super) fn service_event(&mut self, event: &str, name: &str) {
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com", "eventName": event,
            "awsRegion": REGION, "requestParameters": null, "responseElements": null,
            "additionalEventData": {"SecretId": self.secrets[name].arn},
        });
        let (at, name) = (self.now(), event.to_owned());
        self.trail.push(Recorded {
            at,
            name,
            resources: Vec::new(),
            detail: detail.clone(),
        });
        let event = self.envelope("AWS Service Event via CloudTrail", json!([]), detail);
        self.events.push((Family::CloudTrail, event));
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
