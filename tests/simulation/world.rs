//! The state of the simulated account, and how changes to it come about.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::identity::Identity;
use super::quota::Quotas;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";
/// The cluster that services are made in.
pub(crate) const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/prod";

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) began_at: Timestamp,
    began: Instant,
    /// By name.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// By ARN.
    pub(crate) services: BTreeMap<String, Service>,
    /// The running tasks, by ARN.
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Stopped tasks as ECS describes them, by ARN.
    pub(crate) stopped: BTreeMap<String, Value>,
    /// What is said about a service or secret beside what changes it, by ARN, and about a parameter, by name.
    pub(crate) details: BTreeMap<String, Value>,
    /// The roles.
    pub(crate) identity: Identity,
    /// Container definitions and volumes, by ARN.
    pub(crate) task_definitions: BTreeMap<String, Value>,
    /// Clusters that `ListClusters` names, by ARN; one may be gone by the time it is read.
    pub(crate) clusters: Vec<String>,
    /// What happens to the next calls of an operation.
    pub(crate) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// How often any call goes wrong, 0 to 1, and what decides when.
    pub(crate) trouble: f64,
    pub(crate) dice: fastrand::Rng,
    pub(crate) quotas: Quotas,
    /// How old a description of a service is.
    pub(crate) read_lag: Duration,
    /// How old a description of a secret is.
    pub(crate) secret_lag: Duration,
    /// How long it takes until CloudTrail's event history shows an event.
    pub(crate) trail_lag: Duration,
    /// After how many forced deployments the function is killed.
    pub(crate) kill_after: Option<usize>,
    /// When AWSCURRENT of any secret moved.
    pub(crate) moves: Vec<Timestamp>,
    /// How many elements a page has at most.
    pub(crate) page_size: usize,
    /// The services that may not be updated, and those of which an update was denied.
    pub(crate) forbidden: BTreeSet<String>,
    pub(crate) denied: Vec<String>,
    /// The services whose forced deployments fail and are rolled back, after so long.
    pub(crate) broken: BTreeMap<String, Duration>,
    /// Every call that arrived: operation and body.
    pub(crate) calls: Vec<(String, Value)>,
    /// Every deployment that `UpdateService` started: when, and of which service.
    pub(crate) redeploys: Vec<(Timestamp, String)>,
    /// The deployments in stages that `UpdateService` cut off, although nobody can have missed them.
    pub(crate) interrupted: Vec<String>,
    /// What CloudTrail keeps, whether or not its events arrive: time, name, detail.
    pub(crate) trail: Vec<(Timestamp, String, Value)>,
    /// When parameters changed, by name.
    pub(crate) parameters: BTreeMap<String, Timestamp>,
    /// The events that the changes caused, with the trigger family of each.
    pub(crate) events: Vec<(Family, Value)>,
    next_id: u64,
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Native,
    CloudTrail,
    Ecs,
    Schedule,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 400 `ThrottlingException`.
    Throttled,
    /// 500 before anything happened.
    ServerError,
    /// 500 without a name, before anything happened.
    NamelessError,
    /// It takes effect; the answer is lost.
    AnswerLost,
    /// It takes effect; no answer ever comes.
    Silence,
    /// 400 with this code.
    Refused(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    /// Version by label.
    pub(crate) labels: BTreeMap<String, String>,
    /// When each version was created.
    pub(crate) versions: BTreeMap<String, Timestamp>,
    pub(crate) last_changed: Timestamp,
    pub(crate) last_rotated: Option<Timestamp>,
    /// What was before each change, until when.
    pub(crate) past: Vec<(Timestamp, Secret)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) cluster: String,
    pub(crate) status: &'static str,
    pub(crate) tasks: i32,
    pub(crate) controller: &'static str,
    pub(crate) strategy: &'static str,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) deployments: Vec<Deployment>,
    /// How long a deployment takes.
    pub(crate) takes: Duration,
    /// Every deployment there was, with its status.
    pub(crate) history: Vec<(String, Timestamp, &'static str)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) task_definition: String,
    pub(crate) created_at: Timestamp,
    pub(crate) primary: bool,
    pub(crate) rollout: &'static str,
}

/// A running task. Those of a service are made only where they matter: when they outlive its rollout.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) cluster: String,
    pub(crate) group: String,
    pub(crate) started_by: String,
    pub(crate) task_definition: String,
    pub(crate) started_at: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at("2026-11-23T00:00:00.250Z".parse().unwrap())
    }

    /// An account in which it is this time.
    pub(crate) fn at(began_at: Timestamp) -> Self {
        Self {
            began_at,
            began: Instant::now(),
            secrets: BTreeMap::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            stopped: BTreeMap::new(),
            details: BTreeMap::new(),
            identity: Identity::default(),
            task_definitions: BTreeMap::new(),
            clusters: vec![CLUSTER.to_owned()],
            faults: BTreeMap::new(),
            trouble: 0.0,
            dice: fastrand::Rng::with_seed(0),
            quotas: Quotas::default(),
            read_lag: Duration::ZERO,
            secret_lag: Duration::ZERO,
            trail_lag: Duration::ZERO,
            kill_after: None,
            moves: Vec::new(),
            page_size: 100,
            forbidden: BTreeSet::new(),
            denied: Vec::new(),
            broken: BTreeMap::new(),
            calls: Vec::new(),
            redeploys: Vec::new(),
            interrupted: Vec::new(),
            trail: Vec::new(),
            parameters: BTreeMap::new(),
            events: Vec::new(),
            next_id: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.began_at.saturating_add(self.began.elapsed()).unwrap()
    }

    /// The calls of one operation.
    pub(crate) fn calls_of(&self, operation: &str) -> Vec<&Value> {
        let calls = self.calls.iter().filter(|(name, _)| name == operation);
        calls.map(|(_, body)| body).collect()
    }

    pub(crate) fn fail_next(&mut self, operation: &'static str, faults: &[Fault]) {
        self.faults.entry(operation).or_default().extend(faults);
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("{:08x}-0000-4000-8000-000000000000", self.next_id)
    }

    /// Makes a secret and gives its ARN.
    pub(crate) fn make_secret(&mut self, name: &str) -> String {
        let version = self.id();
        let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-Ab12Cd");
        let versions = BTreeMap::from([(version.clone(), self.now())]);
        let labels = BTreeMap::from([("AWSCURRENT".to_owned(), version)]);
        let secret = Secret {
            arn: arn.clone(),
            labels,
            versions,
            last_changed: self.now(),
            last_rotated: None,
            past: Vec::new(),
        };
        self.secrets.insert(name.to_owned(), secret);
        arn
    }

    pub(crate) fn version(&self, name: &str, label: &str) -> String {
        self.secrets[name].labels[label].clone()
    }

    /// Makes a service of two tasks with this `valueFrom`, deployed now, and gives its ARN.
    pub(crate) fn make_service(&mut self, name: &str, value_from: &str) -> String {
        let container = json!({"name": "app", "secrets": [{"name": "S", "valueFrom": value_from}]});
        self.make_service_of(name, json!({"containerDefinitions": [container]}))
    }

    /// Makes a service with these container definitions and volumes.
    pub(crate) fn make_service_of(&mut self, name: &str, definition: Value) -> String {
        let task_definition = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}:1");
        self.task_definitions
            .insert(task_definition.clone(), definition);
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/{name}");
        let service = Service {
            cluster: CLUSTER.to_owned(),
            status: "ACTIVE",
            tasks: 2,
            controller: "ECS",
            strategy: "ROLLING",
            tags: BTreeMap::new(),
            deployments: Vec::new(),
            takes: Duration::ZERO,
            history: Vec::new(),
        };
        self.services.insert(arn.clone(), service);
        self.deploy(&arn, &task_definition);
        arn
    }

    /// Starts a deployment, as a person or ECS on our behalf would.
    pub(crate) fn deploy(&mut self, arn: &str, task_definition: &str) -> String {
        let (now, id) = (self.now(), format!("ecs-svc/{}", self.next_id));
        self.next_id += 1;
        let service = self.services.get_mut(arn).unwrap();
        service
            .deployments
            .iter_mut()
            .for_each(|deployment| deployment.primary = false);
        service
            .history
            .iter_mut()
            .filter(|(.., status)| *status == "IN_PROGRESS")
            .for_each(|d| d.2 = "STOPPED");
        let (rollout, status) = if service.takes.is_zero() {
            ("COMPLETED", "SUCCESSFUL")
        } else {
            ("IN_PROGRESS", "IN_PROGRESS")
        };
        let deployment = Deployment {
            id: id.clone(),
            task_definition: task_definition.to_owned(),
            created_at: now,
            primary: true,
            rollout,
        };
        service.deployments.insert(0, deployment);
        service
            .history
            .insert(0, (format!("arn:deployment/{id}"), now, status));
        if rollout == "IN_PROGRESS" {
            self.deployment_event("SERVICE_DEPLOYMENT_IN_PROGRESS", arn);
        }
        id
    }

    /// The newest deployment of the service failed, and ECS went back to the last that was completed.
    pub(crate) fn roll_back(&mut self, service: &str) {
        let rolled_back = self.services.get_mut(service).unwrap();
        rolled_back.deployments.remove(0);
        rolled_back
            .deployments
            .retain(|deployment| deployment.rollout == "COMPLETED");
        rolled_back.deployments[0].primary = true;
        rolled_back.history[0].2 = "ROLLBACK_SUCCESSFUL";
        self.deployment_event("SERVICE_DEPLOYMENT_FAILED", service);
    }

    /// All tasks of the service are of its newest deployment.
    fn complete(&mut self, service: &str) {
        let completed = self.services.get_mut(service).unwrap();
        completed.deployments.truncate(1);
        completed.deployments[0].rollout = "COMPLETED";
        completed.history[0].2 = "SUCCESSFUL";
        self.deployment_event("SERVICE_DEPLOYMENT_COMPLETED", service);
    }

    fn deployment_event(&mut self, event_name: &str, service: &str) {
        let mut event = self.envelope("ECS Deployment State Change", json!([service]), json!({}));
        event["source"] = json!("aws.ecs");
        event["detail"]["eventName"] = json!(event_name);
        self.events.push((Family::Ecs, event));
    }

    /// Ends the deployments that had their time: what we forced on a broken service is rolled back.
    pub(crate) fn end_deployments(&mut self) {
        let now = self.now();
        let is_over =
            |since: Timestamp, takes: Duration| now >= since.saturating_add(takes).unwrap();
        let mut ended = Vec::new();
        for (arn, service) in &self.services {
            let newest = &service.deployments[0];
            let forced = || {
                self.redeploys
                    .iter()
                    .rev()
                    .find(|(_, service)| service == arn)
                    .map(|(at, _)| *at)
            };
            match self.broken.get(arn) {
                // Unless a deployment that somebody else made since then has taken its place.
                Some(after) if forced() == Some(newest.created_at) => {
                    ended.extend(is_over(newest.created_at, *after).then(|| (arn.clone(), false)));
                }
                _ if newest.rollout == "IN_PROGRESS" && !service.takes.is_zero() => {
                    ended.extend(
                        is_over(newest.created_at, service.takes).then(|| (arn.clone(), true)),
                    );
                }
                _ => {}
            }
        }
        for (arn, succeeded) in ended {
            if succeeded {
                self.complete(&arn)
            } else {
                self.roll_back(&arn)
            }
        }
    }

    /// The secret as a reader sees it, who may see what was.
    pub(crate) fn secret_as_seen<'a>(&self, secret: &'a Secret) -> &'a Secret {
        let seen_at = self.now().saturating_sub(self.secret_lag).unwrap();
        secret
            .past
            .iter()
            .find(|(until, _)| *until > seen_at)
            .map_or(secret, |(_, was)| was)
    }

    /// Tags the service with our key.
    pub(crate) fn tag(&mut self, service: &str, value: &str) {
        let service = self.services.get_mut(service).unwrap();
        service
            .tags
            .insert("redeploy-on-rotation".to_owned(), value.to_owned());
    }

    /// `RotateSecret`: the request, and the version to be.
    pub(crate) fn request_rotation(&mut self, name: &str) -> String {
        let version = self.id();
        self.touch(name)
            .labels
            .insert("AWSPENDING".to_owned(), version.clone());
        self.api_event(
            "RotateSecret",
            name,
            json!({"clientRequestToken": version}),
            json!({"versionId": version}),
        );
        version
    }

    /// A rotation that Secrets Manager starts by itself sends no `RotateSecret`.
    pub(crate) fn begin_scheduled_rotation(&mut self, name: &str) -> String {
        let version = self.id();
        self.touch(name)
            .labels
            .insert("AWSPENDING".to_owned(), version.clone());
        self.service_event("RotationStarted", name);
        version
    }

    /// The rotation function's `createSecret` step.
    pub(crate) fn store_pending(&mut self, name: &str, version: &str) {
        let now = self.now();
        self.touch(name).versions.insert(version.to_owned(), now);
        let stages = json!(["AWSPENDING"]);
        let request = json!({"clientRequestToken": version, "versionStages": stages});
        self.api_event(
            "PutSecretValue",
            name,
            request,
            json!({"versionId": version, "versionStages": stages}),
        );
    }

    /// The rotation function's `finishSecret` step, and what Secrets Manager says when it is done.
    pub(crate) fn finish_rotation(&mut self, name: &str, version: &str) {
        self.move_label(name, "AWSCURRENT", version);
        let now = self.now();
        let secret = self.touch(name);
        secret.labels.remove("AWSPENDING");
        secret.last_rotated = Some(now);
        self.service_event("RotationSucceeded", name);
    }

    /// A rotation that fails leaves its version pending.
    pub(crate) fn fail_rotation(&mut self, name: &str) {
        self.service_event("RotationFailed", name);
    }

    /// `UpdateSecretVersionStage`.
    pub(crate) fn move_label(&mut self, name: &str, label: &str, version: &str) {
        let from = self.secrets[name].labels.get(label).cloned();
        self.promote(name, label, version);
        let request =
            json!({"versionStage": label, "moveToVersionId": version, "removeFromVersionId": from});
        self.api_event("UpdateSecretVersionStage", name, request, json!({}));
    }

    /// `PutSecretValue` by hand.
    pub(crate) fn put_value(&mut self, name: &str) -> String {
        let version = self.id();
        self.promote(name, "AWSCURRENT", &version);
        let answer = json!({"versionId": version, "versionStages": ["AWSCURRENT"]});
        self.api_event(
            "PutSecretValue",
            name,
            json!({"clientRequestToken": version}),
            answer,
        );
        version
    }

    /// `PutParameter`.
    pub(crate) fn put_parameter(&mut self, name: &str) {
        self.parameters.insert(name.to_owned(), self.now());
        let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{name}");
        let detail = json!({"operation": "Update", "name": name, "type": "SecureString"});
        let mut event = self.envelope("Parameter Store Change", json!([arn]), detail);
        event["source"] = json!("aws.ssm");
        self.events.push((Family::Native, event));
    }

    /// `UpdateSecret` with a description, and `TagResource`.
    pub(crate) fn describe(&mut self, name: &str) {
        let version = self.id();
        self.touch(name);
        let request = json!({"clientRequestToken": version, "description": "new"});
        self.api_event("UpdateSecret", name, request, json!({}));
    }

    fn promote(&mut self, name: &str, label: &str, version: &str) {
        let now = self.now();
        let secret = self.touch(name);
        secret.versions.entry(version.to_owned()).or_insert(now);
        let from = secret.labels.insert(label.to_owned(), version.to_owned());
        if let ("AWSCURRENT", Some(from)) = (label, from) {
            secret.labels.insert("AWSPREVIOUS".to_owned(), from);
        }
        let arn = secret.arn.clone();
        self.moves.extend((label == "AWSCURRENT").then_some(now));
        let detail = json!({"name": name, "labelUpdated": label, "versionId": version});
        let event = self.envelope("Secret Label Updated", json!([arn]), detail);
        self.events.push((Family::Native, event));
    }

    fn touch(&mut self, name: &str) -> &mut Secret {
        let now = self.now();
        let secret = self.secrets.get_mut(name).unwrap();
        let before = Secret {
            past: Vec::new(),
            ..secret.clone()
        };
        secret.past.push((now, before));
        secret.last_changed = now;
        secret
    }

    fn envelope(&self, detail_type: &str, resources: Value, detail: Value) -> Value {
        json!({
            "version": "0", "id": "00000000", "source": "aws.secretsmanager", "account": ACCOUNT, "region": REGION,
            "detail-type": detail_type, "time": self.second(), "resources": resources, "detail": detail,
        })
    }

    /// The time as AWS writes it into events: cut to the second.
    fn second(&self) -> String {
        Timestamp::from_second(self.now().as_second())
            .unwrap()
            .to_string()
    }

    fn api_event(&mut self, call: &str, name: &str, mut request: Value, mut response: Value) {
        request["secretId"] = json!(name);
        response["arn"] = json!(self.secrets[name].arn);
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com", "eventName": call,
            "awsRegion": REGION, "requestParameters": request, "responseElements": response,
        });
        self.trail
            .push((self.now(), call.to_owned(), detail.clone()));
        let event = self.envelope("AWS API Call via CloudTrail", json!([]), detail);
        self.events.push((Family::CloudTrail, event));
    }

    fn service_event(&mut self, event: &str, name: &str) {
        let detail = json!({
            "eventTime": self.second(), "eventSource": "secretsmanager.amazonaws.com", "eventName": event,
            "awsRegion": REGION, "requestParameters": null, "responseElements": null,
            "additionalEventData": {"SecretId": self.secrets[name].arn},
        });
        self.trail
            .push((self.now(), event.to_owned(), detail.clone()));
        let event = self.envelope("AWS Service Event via CloudTrail", json!([]), detail);
        self.events.push((Family::CloudTrail, event));
    }
}
