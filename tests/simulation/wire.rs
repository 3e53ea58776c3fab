//! The HTTP side of the simulated account: checks each request as AWS would, and answers it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

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
use jiff::Timestamp;
use redeploy_on_rotation::aws::Aws;
use serde_json::{Value, json};

use super::account::{FakeAws, Fault, REGION};
use super::identity::{self, Identity};
use super::mistakes::Mistake;

/// The account, shared by the story that changes it and the clients that read it.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    account: Arc<Mutex<FakeAws>>,
    /// A mistake that makes the function behind it look as if it had made it.
    pub(super) mistake: Option<Mistake>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What the mistakes must remember.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the current invocation has failed at a service.
    pub(super) failed: bool,
    /// The services that were in a batch that was refused.
    pub(super) in_refused_batches: BTreeSet<String>,
    /// Whether the current invocation is a sweep.
    pub(super) is_sweep: bool,
    /// When the current process began.
    pub(super) process_began: Option<Timestamp>,
    /// The first state of the change calendars that the process was shown.
    pub(super) calendar: Option<Value>,
}

impl Wire {
    pub(crate) fn new(account: FakeAws) -> Self {
        Self {
            account: Arc::new(Mutex::new(account)),
            mistake: None,
            seen: Arc::default(),
        }
    }

    pub(crate) fn with_mistake(account: FakeAws, mistake: Option<Mistake>) -> Self {
        Self {
            mistake,
            ..Self::new(account)
        }
    }

    /// The account as it is now.
    pub(crate) fn account(&self) -> MutexGuard<'_, FakeAws> {
        let mut account = self.account.lock().unwrap();
        account.advance();
        account
    }

    /// An invocation begins.
    pub(crate) fn begin(&self, payload: &Value) {
        {
            let mut seen = self.seen.lock().unwrap();
            seen.failed = false;
            seen.is_sweep =
                payload["action"] == "sweep" || payload["detail-type"] == "Scheduled Event";
        }
        self.account().denied.clear();
    }

    /// The clients of a process that just started.
    pub(crate) fn clients(&self) -> Aws {
        self.clients_with(0.5)
    }

    /// The same, with another share of the account's quotas.
    pub(crate) fn clients_with(&self, rate_share: f64) -> Aws {
        let now = self.account().now();
        {
            let mut seen = self.seen.lock().unwrap();
            (seen.process_began, seen.calendar) = (Some(now), None);
        }
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
            let latency = wire.account().latency;
            tokio::time::sleep(latency).await;
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
        let kept_back = self.is_kept_back(operation, body);
        let (fault, answer) = {
            let mut account = self.account();
            account.calls.push((operation.to_owned(), body.clone()));
            let fault = account
                .faults
                .get_mut(operation)
                .and_then(std::collections::VecDeque::pop_front);
            let fault = fault.or_else(|| account.random_fault(operation));
            account.faulted += usize::from(fault.is_some());
            let answer = match fault {
                _ if kept_back => refused("AccessDeniedException", "kept back"),
                Some(Fault::Throttled) => {
                    Err((400, "ThrottlingException", "Rate exceeded".to_owned()))
                }
                Some(Fault::ServerError) => {
                    Err((500, "ServerException", "Service unavailable".to_owned()))
                }
                Some(Fault::NamelessError) => Err((500, "", String::new())),
                Some(Fault::Refused(code)) => Err((400, code, "refused".to_owned())),
                Some(Fault::AnswerLost | Fault::Silence) | None => account.answer(operation, body),
            };
            (fault, answer)
        };
        let is_lost = matches!(fault, Some(Fault::AnswerLost | Fault::Silence));
        if matches!(answer, Err((400, "AccessDeniedException", _))) {
            self.note_refusal(operation, body);
            if operation == "UpdateService" && !is_lost {
                self.account()
                    .denied
                    .push(body["service"].as_str().unwrap().to_owned());
            }
        }
        if operation == "UpdateService" && is_lost && self.mistake == Some(Mistake::BlindRetry) {
            return Some((
                200,
                self.account().answer(operation, body).unwrap_or_default(),
            ));
        }
        match fault {
            Some(Fault::AnswerLost) => return None,
            Some(Fault::Silence) => std::future::pending::<()>().await,
            _ => {}
        }
        Some(match answer {
            Ok(answer) => (200, self.as_the_mistaken_see(answer)),
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

pub(super) fn refused(code: &'static str, message: impl Into<String>) -> Answer {
    Err((400, code, message.into()))
}

/// A time as AWS's JSON has it.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

impl FakeAws {
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

    pub(super) fn answer(&mut self, operation: &str, body: &Value) -> Answer {
        match operation {
            "ListClusters" => Ok(self.list_clusters(body)),
            "ListServices" => self.list_services(body),
            "DescribeServices" => self.describe_services(body),
            "DescribeTaskDefinition" => self.describe_task_definition(body),
            "UpdateService" => self.update_service(body),
            "DescribeSecret" => self.describe_secret(body),
            "ListSecretVersionIds" => self.list_secret_version_ids(body),
            "ListServiceDeployments" => self.list_service_deployments(body),
            "DescribeServiceRevisions" => self.describe_service_revisions(body),
            "LookupEvents" => Ok(self.lookup_events(body)),
            "DescribeParameters" => Ok(self.describe_parameters(body)),
            "DescribeClusters" => self.describe_clusters(body),
            "ListTasks" => self.list_tasks(body),
            "DescribeTasks" => self.describe_tasks(body),
            "GetCalendarState" => self.get_calendar_state(body),
            "DescribeImages" => self.describe_images(body),
            "GetResources" => Ok(self.get_resources(body)),
            operation if Identity::is_asked(operation) => self.identity.answer(operation, body),
            other => panic!("{other} is not among the operations that may be called"),
        }
    }

    /// Pages as ECS does: ten elements unless more are asked for, at most a hundred.
    pub(super) fn page(&self, body: &Value, field: &str, all: &[String]) -> Value {
        let size = body["maxResults"].as_u64().unwrap_or(10).min(100) as usize;
        self.page_of(body, size, ["nextToken", field], all)
    }

    /// At most `size` elements, under the names that the token and the field have in this answer.
    pub(super) fn page_of(
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

    /// Adds what a test wants to be said about something.
    pub(super) fn add_details(&self, of: &str, answer: &mut Value) {
        let details = self
            .details
            .get(of)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        answer.as_object_mut().unwrap().extend(details);
    }
}
