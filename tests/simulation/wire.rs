//! The HTTP side of the simulated account: checks each request as AWS would, and answers it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use redeploy_on_rotation::aws::Aws;
use serde_json::{Value, json};

use super::identity::{self, Identity};
use super::world::{Deployment, Fault, REGION, Secret, Service, Task, World};

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(20);

/// A deployment older than this has been seen by whoever redeploys a service: facts are used for a minute, and then the
/// call may be throttled for a while.
const MISSED_AT_MOST: Duration = Duration::from_mins(2);

/// The account, shared by the story that changes it and the clients that read it.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    world: Arc<Mutex<World>>,
    /// A mistake that makes the function behind it look as if it had made it.
    bug: Option<Bug>,
    /// Whether the current invocation has failed at a service.
    failed: Arc<AtomicBool>,
}

/// What a function like this one may get wrong, put between it and AWS: AWS is shown to it, or its calls are repeated or
/// kept back, so that it acts as if its own code had the mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Every deployment looks older than any change.
    NoFreshnessCheck,
    /// Nothing is waited for: the clock is ahead. (Done by whoever makes the clock.)
    NoSettle,
    /// A lost answer to `UpdateService` is answered by a second call.
    BlindRetry,
    /// After the first service that fails, no other is redeployed.
    StopAtFirstFailure,
    /// A hyphen and six characters are cut off whatever names a secret.
    SuffixCutOnBothSides,
    /// ECS remembers no deployments.
    NoRollBackMemory,
    /// There is never a next page.
    ForgetSecondPage,
    /// Every deployment looks as if it replaced tasks at once.
    NoStages,
    /// No task is looked at.
    NoTasks,
}

impl Wire {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world: Arc::new(Mutex::new(world)),
            bug: None,
            failed: Arc::default(),
        }
    }

    pub(crate) fn with_bug(world: World, bug: Option<Bug>) -> Self {
        Self {
            bug,
            ..Self::new(world)
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// An invocation begins.
    pub(crate) fn begin(&self) {
        self.failed.store(false, Ordering::Relaxed);
        self.world().denied.clear();
    }

    /// The clients of a process that just started.
    pub(crate) fn clients(&self) -> Aws {
        self.clients_with(0.5)
    }

    /// The same, with another share of the account's quotas.
    pub(crate) fn clients_with(&self, rate_share: f64) -> Aws {
        Aws::new(&self.sdk_config(), rate_share)
    }

    /// What makes any client of the SDK talk to the simulated account.
    pub(crate) fn sdk_config(&self) -> SdkConfig {
        let credentials = Credentials::new("AKIAEXAMPLE", "secret", None, None, "simulation");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(SharedHttpClient::new(self.clone()))
            .build()
    }
}

impl Wire {
    /// What a function with the mistake would have made of an answer.
    fn as_seen_by_a_bug(&self, mut answer: Value) -> Value {
        match self.bug {
            Some(Bug::NoFreshnessCheck) => {
                for service in answer["services"].as_array_mut().into_iter().flatten() {
                    for deployment in service["deployments"].as_array_mut().into_iter().flatten() {
                        deployment["createdAt"] = json!(0);
                    }
                }
                // The history tells of fresh deployments, too.
                if let Some(deployments) = answer["serviceDeployments"].as_array_mut() {
                    deployments.retain(|deployment| deployment["status"] == "ROLLBACK_SUCCESSFUL");
                }
            }
            Some(Bug::NoRollBackMemory) if answer.get("serviceDeployments").is_some() => {
                answer["serviceDeployments"] = json!([]);
            }
            Some(Bug::NoStages) => {
                for service in answer["services"].as_array_mut().into_iter().flatten() {
                    service["deploymentConfiguration"]["strategy"] = json!("ROLLING");
                }
            }
            Some(Bug::NoTasks) if answer.get("tasks").is_some() => answer["tasks"] = json!([]),
            Some(Bug::ForgetSecondPage) => {
                for token in ["nextToken", "NextToken", "PaginationToken"] {
                    answer.as_object_mut().unwrap().remove(token);
                }
            }
            Some(Bug::SuffixCutOnBothSides) if answer.get("taskDefinition").is_some() => {
                let world = self.world();
                let containers = answer["taskDefinition"]["containerDefinitions"]
                    .as_array_mut()
                    .into_iter()
                    .flatten();
                for secret in
                    containers.flat_map(|c| c["secrets"].as_array_mut().into_iter().flatten())
                {
                    let named = secret["valueFrom"].as_str().unwrap_or_default();
                    let cut = named
                        .len()
                        .checked_sub(7)
                        .and_then(|end| named.get(..end))
                        .unwrap_or_default();
                    let other = world
                        .secrets
                        .values()
                        .find(|secret| secret.arn[..secret.arn.len() - 7] == *cut);
                    if let Some(other) = other {
                        secret["valueFrom"] = json!(other.arn);
                    }
                }
            }
            _ => {}
        }
        answer
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let bytes = request.body().bytes().unwrap_or_default();
            let target = request.headers().get("x-amz-target");
            let (operation, body) = match target {
                Some(target) => {
                    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
                    (
                        operation,
                        serde_json::from_slice(bytes).unwrap_or(Value::Null),
                    )
                }
                None => Identity::request(bytes).unwrap(),
            };
            tokio::time::sleep(LATENCY).await;
            match wire.exchange(&operation, &body).await {
                Some((status, answer)) => {
                    let text = match answer {
                        Value::String(xml) => xml,
                        answer => answer.to_string(),
                    };
                    Ok(HttpResponse::new(
                        status.try_into().unwrap(),
                        SdkBody::from(text),
                    ))
                }
                None => Err(ConnectorError::io("connection reset by peer".into())),
            }
        })
    }
}

impl Wire {
    /// One call: status and body of the answer, or nothing when the connection breaks.
    pub(crate) async fn exchange(&self, operation: &str, body: &Value) -> Option<(u16, Value)> {
        let (fault, answer) = {
            let mut world = self.world();
            world.end_deployments();
            world.calls.push((operation.to_owned(), body.clone()));
            let fault = world
                .faults
                .get_mut(operation)
                .and_then(std::collections::VecDeque::pop_front);
            let fault = fault.or_else(|| world.random_fault(operation));
            let kept_back =
                self.bug == Some(Bug::StopAtFirstFailure) && self.failed.load(Ordering::Relaxed);
            let answer = match fault {
                _ if kept_back && operation == "UpdateService" => {
                    refused("AccessDeniedException", "kept back")
                }
                Some(Fault::Throttled) => {
                    Err((400, "ThrottlingException", "Rate exceeded".to_owned()))
                }
                Some(Fault::ServerError) => {
                    Err((500, "ServerException", "Service unavailable".to_owned()))
                }
                Some(Fault::NamelessError) => Err((500, "", String::new())),
                Some(Fault::Refused(code)) => Err((400, code, "refused".to_owned())),
                Some(Fault::AnswerLost | Fault::Silence) | None => world.answer(operation, body),
            };
            (fault, answer)
        };
        if operation == "UpdateService" && matches!(answer, Err((400, "AccessDeniedException", _)))
        {
            self.failed.store(true, Ordering::Relaxed);
        }
        let is_lost = matches!(fault, Some(Fault::AnswerLost | Fault::Silence));
        if operation == "UpdateService"
            && !is_lost
            && matches!(answer, Err((400, "AccessDeniedException", _)))
        {
            self.world()
                .denied
                .push(body["service"].as_str().unwrap().to_owned());
        }
        if operation == "UpdateService" && is_lost && self.bug == Some(Bug::BlindRetry) {
            return Some((
                200,
                self.world().answer(operation, body).unwrap_or_default(),
            ));
        }
        match fault {
            Some(Fault::AnswerLost) => return None,
            Some(Fault::Silence) => std::future::pending::<()>().await,
            _ => {}
        }
        Some(match answer {
            Ok(answer) => (200, self.as_seen_by_a_bug(answer)),
            Err((status, code, message)) if Identity::is_asked(operation) => {
                (status, json!(identity::error(code, &message)))
            }
            Err((status, "", _)) => (status, json!({})),
            Err((status, code, message)) => (status, json!({"__type": code, "message": message})),
        })
    }
}

/// An answer, or status, code and message of a refusal.
pub(crate) type Answer = Result<Value, (u16, &'static str, String)>;

fn refused(code: &'static str, message: impl Into<String>) -> Answer {
    Err((400, code, message.into()))
}

impl World {
    /// What goes wrong with a call by chance, or because there were too many.
    fn random_fault(&mut self, operation: &str) -> Option<Fault> {
        if self.quotas.exhausted(operation) {
            return Some(Fault::Throttled);
        }
        let faults = [
            Fault::Throttled,
            Fault::ServerError,
            Fault::NamelessError,
            Fault::AnswerLost,
            Fault::Silence,
        ];
        (self.dice.f64() < self.trouble).then(|| self.dice.choice(faults).unwrap())
    }

    fn answer(&mut self, operation: &str, body: &Value) -> Answer {
        match operation {
            "ListClusters" => Ok(self.page(body, "clusterArns", &self.clusters.clone())),
            "ListServices" => self.list_services(body),
            "DescribeServices" => self.describe_services(body),
            "DescribeTaskDefinition" => self.describe_task_definition(body),
            "UpdateService" => self.update_service(body),
            "DescribeSecret" => self.describe_secret(body),
            "ListSecretVersionIds" => self.list_secret_version_ids(body),
            "ListServiceDeployments" => self.list_service_deployments(body),
            "LookupEvents" => Ok(self.lookup_events(body)),
            "DescribeParameters" => Ok(self.describe_parameters(body)),
            "DescribeClusters" => Ok(self.describe_clusters(body)),
            "ListTasks" => self.list_tasks(body),
            "DescribeTasks" => Ok(self.describe_tasks(body)),
            "GetResources" => Ok(self.get_resources(body)),
            operation if Identity::is_asked(operation) => self.identity.answer(operation, body),
            other => panic!("{other} is not among the operations that may be called"),
        }
    }

    /// Pages as ECS does: ten elements unless more are asked for, at most a hundred.
    fn page(&self, body: &Value, field: &str, all: &[String]) -> Value {
        let size = body["maxResults"].as_u64().unwrap_or(10).min(100) as usize;
        self.page_of(body, size, ["nextToken", field], all)
    }

    /// At most `size` elements, under the names that the token and the field have in this answer.
    fn page_of(
        &self,
        body: &Value,
        size: usize,
        [token, field]: [&str; 2],
        all: &[impl serde::Serialize],
    ) -> Value {
        let size = size.min(self.page_size);
        let from = body[token]
            .as_str()
            .filter(|at| !at.is_empty())
            .map_or(0, |at| at.parse().unwrap());
        let mut answer = json!({field: all.iter().skip(from).take(size).collect::<Vec<_>>()});
        if from + size < all.len() {
            answer[token] = json!((from + size).to_string());
        }
        answer
    }

    fn cluster(&self, body: &Value) -> Result<String, (u16, &'static str, String)> {
        let asked = body["cluster"].as_str().unwrap_or("default");
        let is_asked =
            |cluster: &&String| *cluster == asked || cluster.rsplit('/').next() == Some(asked);
        let found = self
            .services
            .values()
            .map(|service| &service.cluster)
            .chain(&self.clusters)
            .find(is_asked);
        match found {
            Some(cluster) if !cluster.ends_with("/gone") => Ok(cluster.clone()),
            _ => Err((
                400,
                "ClusterNotFoundException",
                "Cluster not found.".to_owned(),
            )),
        }
    }

    fn list_services(&self, body: &Value) -> Answer {
        let cluster = self.cluster(body)?;
        let services = self
            .services
            .iter()
            .filter(|(_, service)| service.cluster == cluster && service.status == "ACTIVE");
        let arns: Vec<_> = services.map(|(arn, _)| arn.clone()).collect();
        Ok(self.page(body, "serviceArns", &arns))
    }

    fn describe_services(&self, body: &Value) -> Answer {
        let cluster = self.cluster(body)?;
        let asked: Vec<_> = body["services"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        if asked.len() > 10 {
            return refused(
                "InvalidParameterException",
                "describe at most 10 services at a time",
            );
        }
        let tags = body["include"]
            .as_array()
            .is_some_and(|include| include.contains(&json!("TAGS")));
        let (mut services, mut failures) = (Vec::new(), Vec::new());
        for name in asked {
            let is = |arn: &str, service: &Service| {
                service.cluster == cluster && (arn == name || arn.rsplit('/').next() == Some(name))
            };
            let by_arn = self
                .services
                .get_key_value(name)
                .filter(|(arn, service)| is(arn, service));
            match by_arn.or_else(|| self.services.iter().find(|(arn, service)| is(arn, service))) {
                Some((arn, service)) => services.push(self.service(arn, service, tags)),
                None => {
                    let arn = if name.starts_with("arn:") {
                        name.to_owned()
                    } else {
                        format!("arn:aws:ecs:eu-west-1:123456789012:service/{name}")
                    };
                    failures.push(json!({"arn": arn, "reason": "MISSING"}));
                }
            }
        }
        Ok(json!({"services": services, "failures": failures}))
    }

    fn service(&self, arn: &str, service: &Service, tags: bool) -> Value {
        let seconds =
            |deployment: &Deployment| deployment.created_at.as_millisecond() as f64 / 1000.0;
        let as_of = self.now().saturating_sub(self.read_lag).unwrap();
        let mut visible: Vec<_> = service
            .deployments
            .iter()
            .filter(|d| d.created_at <= as_of)
            .cloned()
            .collect();
        if !visible.is_empty() && visible.len() < service.deployments.len() {
            visible[0].primary = true;
        }
        let status = |deployment: &Deployment| {
            if deployment.primary {
                "PRIMARY"
            } else {
                "ACTIVE"
            }
        };
        let mut answer = json!({
            "serviceArn": arn, "serviceName": arn.rsplit('/').next(), "clusterArn": service.cluster,
            "status": service.status, "desiredCount": service.tasks, "pendingCount": 0,
            "runningCount": service.tasks + self.outliving(arn),
            "deploymentController": {"type": service.controller},
            "deploymentConfiguration": {"strategy": service.strategy},
        });
        if service.controller == "ECS" {
            answer["deployments"] = visible
                .iter()
                .map(|deployment| {
                    json!({
                        "id": deployment.id, "status": status(deployment), "taskDefinition": deployment.task_definition,
                        "createdAt": seconds(deployment), "rolloutState": deployment.rollout,
                        "runningCount": if deployment.primary { service.tasks } else { 0 },
                    })
                })
                .collect();
        } else {
            answer["taskSets"] = visible
                .iter()
                .map(|deployment| {
                    json!({
                        "id": deployment.id, "status": status(deployment), "taskDefinition": deployment.task_definition,
                        "createdAt": seconds(deployment),
                    })
                })
                .collect();
        }
        self.add_details(arn, &mut answer);
        if tags {
            answer["tags"] = service
                .tags
                .iter()
                .map(|(key, value)| json!({"key": key, "value": value}))
                .collect();
        }
        answer
    }

    /// Adds what a test wants to be said about something.
    fn add_details(&self, of: &str, answer: &mut Value) {
        let details = self
            .details
            .get(of)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        answer.as_object_mut().unwrap().extend(details);
    }

    /// How many tasks outlived a rollout of the service.
    fn outliving(&self, arn: &str) -> i32 {
        let group = arn.rsplit('/').next().map(|name| format!("service:{name}"));
        self.tasks
            .values()
            .filter(|task| group.as_ref() == Some(&task.group))
            .count() as i32
    }

    fn describe_clusters(&self, body: &Value) -> Value {
        let mut clusters = Vec::new();
        for asked in body["clusters"].as_array().unwrap() {
            let Ok(arn) = self.cluster(&json!({"cluster": asked})) else {
                continue;
            };
            let outside = self
                .tasks
                .values()
                .filter(|task| task.cluster == arn)
                .count() as i32;
            let in_services = self
                .services
                .values()
                .filter(|service| service.cluster == arn)
                .map(|service| service.tasks);
            let running = in_services.sum::<i32>() + outside;
            clusters
                .push(json!({"clusterArn": arn, "status": "ACTIVE", "runningTasksCount": running}));
        }
        json!({"clusters": clusters, "failures": []})
    }

    fn list_tasks(&self, body: &Value) -> Answer {
        let cluster = self.cluster(body)?;
        if body["desiredStatus"] == "STOPPED" {
            let arns: Vec<_> = self.stopped.keys().cloned().collect();
            return Ok(self.page(body, "taskArns", &arns));
        }
        assert_eq!(body["desiredStatus"], "RUNNING");
        let group = body["serviceName"]
            .as_str()
            .map(|name| format!("service:{name}"));
        let is_asked = |task: &Task| {
            task.cluster == cluster && group.as_ref().is_none_or(|group| task.group == *group)
        };
        let arns: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| is_asked(task))
            .map(|(arn, _)| arn.clone())
            .collect();
        Ok(self.page(body, "taskArns", &arns))
    }

    fn describe_tasks(&self, body: &Value) -> Value {
        let asked = body["tasks"].as_array().unwrap();
        assert!(asked.len() <= 100);
        let task = |arn: &Value| {
            let arn = arn.as_str().unwrap();
            if let Some(stopped) = self.stopped.get(arn) {
                return Some(stopped.clone());
            }
            let task = self.tasks.get(arn)?;
            Some(json!({
                "taskArn": arn, "clusterArn": task.cluster, "group": task.group, "startedBy": task.started_by,
                "taskDefinitionArn": task.task_definition, "lastStatus": "RUNNING",
                "startedAt": task.started_at.as_millisecond() as f64 / 1000.0,
            }))
        };
        json!({"tasks": asked.iter().filter_map(task).collect::<Vec<_>>(), "failures": []})
    }

    fn describe_task_definition(&self, body: &Value) -> Answer {
        match self
            .task_definitions
            .get(body["taskDefinition"].as_str().unwrap())
        {
            Some(definition) => Ok(json!({"taskDefinition": definition})),
            None => refused("ClientException", "Unable to describe task definition."),
        }
    }

    fn update_service(&mut self, body: &Value) -> Answer {
        let mut members: Vec<_> = body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        members.sort_unstable();
        assert_eq!(
            members,
            ["cluster", "forceNewDeployment", "service"],
            "nothing else may be sent"
        );
        let cluster = self.cluster(body)?;
        let arn = body["service"].as_str().unwrap().to_owned();
        let Some(service) = self
            .services
            .get(&arn)
            .filter(|service| service.cluster == cluster)
        else {
            return refused("ServiceNotFoundException", "Service not found.");
        };
        if service.status != "ACTIVE" {
            return refused("ServiceNotActiveException", "Service was not ACTIVE.");
        }
        if self.forbidden.contains(&arn) {
            return refused(
                "AccessDeniedException",
                "not authorized to perform: ecs:UpdateService",
            );
        }
        if service.controller != "ECS" {
            return refused(
                "InvalidParameterException",
                "Cannot force a new deployment on such services.",
            );
        }
        let newest = &service.deployments[0];
        let age = self.now().duration_since(newest.created_at).unsigned_abs();
        if service.strategy != "ROLLING" && newest.rollout == "IN_PROGRESS" && age > MISSED_AT_MOST
        {
            self.interrupted.push(format!("{} of {arn}", newest.id));
        }
        let task_definition = newest.task_definition.clone();
        self.deploy(&arn, &task_definition);
        self.redeploys.push((self.now(), arn.clone()));
        let lag = std::mem::take(&mut self.read_lag);
        let answer = json!({"service": self.service(&arn, &self.services[&arn], false)});
        self.read_lag = lag;
        Ok(answer)
    }

    /// A secret by name, ARN or partial ARN.
    fn secret(&self, body: &Value) -> Result<(&String, &Secret), (u16, &'static str, String)> {
        let id = body["SecretId"].as_str().unwrap();
        let is = |name: &str, arn: &str| name == id || arn == id || arn[..arn.len() - 7] == *id;
        // An exact ARN wins over the partial ARN of another secret.
        let exact = self.secrets.iter().find(|(_, secret)| secret.arn == id);
        let found = exact.or_else(|| {
            self.secrets
                .iter()
                .find(|(name, secret)| is(name, &secret.arn))
        });
        let missing = "Secrets Manager can't find the specified secret.";
        found.ok_or_else(|| (400, "ResourceNotFoundException", missing.to_owned()))
    }

    fn describe_secret(&self, body: &Value) -> Answer {
        let (name, secret) = self.secret(body)?;
        let secret = self.secret_as_seen(secret);
        let mut versions = serde_json::Map::new();
        for (label, version) in &secret.labels {
            let labels = versions.entry(version.clone()).or_insert_with(|| json!([]));
            labels.as_array_mut().unwrap().push(json!(label));
        }
        let mut answer = json!({
            "ARN": secret.arn, "Name": name, "VersionIdsToStages": versions,
            "LastChangedDate": secret.last_changed.as_millisecond() as f64 / 1000.0,
            "LastRotatedDate": secret.last_rotated.map(|rotated| rotated.as_millisecond() as f64 / 1000.0),
        });
        self.add_details(&secret.arn, &mut answer);
        Ok(answer)
    }

    fn get_resources(&self, body: &Value) -> Value {
        assert_eq!(body["ResourceTypeFilters"], json!(["ecs:service"]));
        let key = body["TagFilters"][0]["Key"].as_str().unwrap();
        let tagged = self
            .services
            .iter()
            .filter(|(_, service)| service.tags.contains_key(key));
        let tagged: Vec<_> = tagged
            .map(|(arn, service)| json!({"ResourceARN": arn, "Tags": [{"Key": key, "Value": service.tags[key]}]}))
            .collect();
        let size = body["ResourcesPerPage"].as_u64().unwrap_or(100) as usize;
        let mut answer = self.page_of(
            body,
            size,
            ["PaginationToken", "ResourceTagMappingList"],
            &tagged,
        );
        // The last page's token is empty.
        answer
            .as_object_mut()
            .unwrap()
            .entry("PaginationToken")
            .or_insert(json!(""));
        answer
    }

    fn list_secret_version_ids(&self, body: &Value) -> Answer {
        let (_, secret) = self.secret(body)?;
        let all = body["IncludeDeprecated"] == true;
        let is_listed = |version: &String| all || secret.labels.values().any(|on| on == version);
        let labelled = secret
            .versions
            .iter()
            .filter(|(version, _)| is_listed(version));
        let versions: Vec<_> = labelled
            .map(|(version, created)| json!({"VersionId": version, "CreatedDate": created.as_millisecond() as f64 / 1000.0}))
            .collect();
        Ok(self.page_of(body, 100, ["NextToken", "Versions"], &versions))
    }

    fn list_service_deployments(&self, body: &Value) -> Answer {
        self.cluster(body)?;
        let Some(service) = self.services.get(body["service"].as_str().unwrap()) else {
            return refused("ServiceNotFoundException", "Service not found.");
        };
        let after = body["createdAt"]["after"].as_f64().unwrap_or(0.0);
        let seconds = |at: &jiff::Timestamp| at.as_millisecond() as f64 / 1000.0;
        let listed = service
            .history
            .iter()
            .filter(|(_, created, _)| seconds(created) >= after);
        let briefs: Vec<_> = listed
            .map(|(arn, created, status)| json!({"serviceDeploymentArn": arn, "createdAt": seconds(created), "status": status}))
            .collect();
        Ok(self.page_of(body, 100, ["nextToken", "serviceDeployments"], &briefs))
    }

    fn lookup_events(&self, body: &Value) -> Value {
        let attribute = &body["LookupAttributes"][0];
        assert_eq!(attribute["AttributeKey"], "EventName");
        let (from, to) = (
            body["StartTime"].as_f64().unwrap(),
            body["EndTime"].as_f64().unwrap(),
        );
        let visible = self.now().saturating_sub(self.trail_lag).unwrap();
        let within = |at: &jiff::Timestamp| {
            *at <= visible && (from..=to).contains(&(at.as_millisecond() as f64 / 1000.0))
        };
        // The newest first.
        let found = self
            .trail
            .iter()
            .rev()
            .filter(|(at, name, _)| within(at) && attribute["AttributeValue"] == **name);
        let events: Vec<_> = found
            .map(|(_, _, detail)| json!({"CloudTrailEvent": detail.to_string()}))
            .collect();
        self.page_of(body, 50, ["NextToken", "Events"], &events)
    }

    fn describe_parameters(&self, body: &Value) -> Value {
        let names = body["ParameterFilters"][0]["Values"].as_array().unwrap();
        let found = self
            .parameters
            .iter()
            .filter(|(name, _)| names.iter().any(|asked| asked == *name));
        let parameters: Vec<_> = found
            .map(|(name, at)| {
                let mut parameter =
                    json!({"Name": name, "LastModifiedDate": at.as_millisecond() as f64 / 1000.0});
                self.add_details(name, &mut parameter);
                parameter
            })
            .collect();
        self.page_of(body, 50, ["NextToken", "Parameters"], &parameters)
    }
}
