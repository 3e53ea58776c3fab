//! What was done and why: the only output of this program. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::Kind;
use crate::plan::Reason;
use crate::secret::Rotation;

/// The result of one invocation, as it is returned and logged.
///
/// The fields and their values are an interface: alarms, queries and other programs read them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the invocation was about.
    pub trigger: Kind,
    /// What came of it, in a word.
    pub outcome: Outcome,
    /// The same in a sentence.
    pub reason: String,
    /// The changes that were acted on.
    pub rotations: Vec<RotationReport>,
    /// Every service that has to do with them; what needs attention stands first.
    pub services: Vec<ServiceReport>,
    /// What was not understood or not found, in sentences, and did not stop the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the invocation fails, if it does.
    #[serde(skip)]
    pub failure: Option<Failure>,
}

/// What came of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// At least one service got a new deployment, and none failed.
    Redeployed,
    /// A value changed, and no service needs a new deployment.
    NothingToDo,
    /// No value changed.
    Ignored,
    /// Services would have been redeployed.
    DryRun,
    /// Something could not be done; the invocation fails.
    Failed,
}

/// The type of error with which an invocation fails; stable, for alarms and queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// At least one service, or one lookup, failed.
    PartialFailure,
    /// The rotation is still under way, and the invocation is to come back.
    RotationPending,
    /// The event is known but lacks what is needed.
    InvalidEvent,
    /// AWS kept refusing calls for being too many.
    Throttled,
    /// The invocation's time does not suffice.
    TimeLeft,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RotationReport {
    /// The ARN of the secret or parameter.
    pub secret: String,
    /// The label that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The version that now carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// An upper bound of the moment of the change, UTC.
    pub at: Timestamp,
}

impl From<&Rotation> for RotationReport {
    fn from(rotation: &Rotation) -> Self {
        Self {
            secret: rotation.subject.to_string(),
            label: rotation.subject.label().map(str::to_owned),
            version: rotation.version.clone(),
            at: rotation.at,
        }
    }
}

/// What happened to one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// The service's ARN, or `<cluster>/<service>` for one that does not exist, or a cluster that could not be read.
    pub service: String,
    /// What was done.
    pub action: Done,
    /// Why.
    pub reason: Why,
    /// The ARNs of the secrets and parameters it is about.
    pub secrets: Vec<String>,
    /// The id of the new deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// What went wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was done to a service; in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// It should have been redeployed and was not, or could not be examined.
    Failed,
    /// It cannot or must not be forced.
    Blocked,
    /// It got one new deployment.
    Redeployed,
    /// It would have got one.
    Planned,
    /// It needs nothing.
    Skipped,
}

/// Why something was done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Why {
    /// By the plan.
    Planned(Reason),
    /// Because it could not be examined.
    Lookup(LookupProblem),
}

/// Why a service could not be examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookupProblem {
    /// The configuration names it, and it does not exist.
    NotFound,
    /// AWS did not answer the question what it is or uses.
    LookupFailed,
}

/// The errors of Lambda are cut by readers of queues and logs; this much of the report is put into one.
const MAX_ERROR_BYTES: usize = 2048;
/// CloudWatch Logs keeps at most 256 KiB of a line where an account has not raised it; the rest is for the envelope.
const MAX_LINE_BYTES: usize = 250 * 1024;

/// What a log line needs beside the report.
#[derive(Clone, Debug)]
pub struct LogContext<'a> {
    /// Now, UTC.
    pub timestamp: Timestamp,
    /// The invocation.
    pub request_id: &'a str,
    /// The function's name, the only dimension of the metrics.
    pub function_name: &'a str,
    /// How long the invocation took.
    pub duration_ms: u64,
}

impl Report {
    /// A report that names no service.
    #[must_use]
    pub fn new(trigger: Kind, outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            trigger,
            outcome,
            reason: reason.into(),
            rotations: Vec::new(),
            services: Vec::new(),
            warnings: Vec::new(),
            failure: None,
        }
    }

    /// A report of an invocation that fails.
    #[must_use]
    pub fn failed(trigger: Kind, failure: Failure, reason: impl Into<String>) -> Self {
        Self {
            failure: Some(failure),
            ..Self::new(trigger, Outcome::Failed, reason)
        }
    }

    /// The report of services that were examined: sorted, with outcome, reason and failure as they follow from them.
    #[must_use]
    pub fn of_services(
        trigger: Kind,
        rotations: &[Rotation],
        mut services: Vec<ServiceReport>,
        warnings: Vec<String>,
    ) -> Self {
        services.sort_by(|a, b| (a.action, &a.service).cmp(&(b.action, &b.service)));
        let counts = Counts::of(&services);
        let outcome = if counts.failed > 0 {
            Outcome::Failed
        } else if counts.redeployed > 0 {
            Outcome::Redeployed
        } else if counts.planned > 0 {
            Outcome::DryRun
        } else {
            Outcome::NothingToDo
        };
        Self {
            rotations: rotations.iter().map(RotationReport::from).collect(),
            services,
            warnings,
            failure: (outcome == Outcome::Failed).then_some(Failure::PartialFailure),
            ..Self::new(trigger, outcome, counts.sentence())
        }
    }

    /// The report as one log line, which is also a CloudWatch metric document
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
    ///
    /// A report that is too long for a line loses services from its end, and says how many in `servicesOmitted`; the
    /// metrics count all.
    #[must_use]
    pub fn log_line(&self, context: &LogContext<'_>) -> String {
        let counts = Counts::of(&self.services);
        let mut line = json!({
            "timestamp": context.timestamp,
            "level": self.level(),
            "message": self.reason,
            "requestId": context.request_id,
            "_aws": {
                "Timestamp": context.timestamp.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "RedeployOnRotation",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        {"Name": "Redeployed", "Unit": "Count"},
                        {"Name": "Failed", "Unit": "Count"},
                        {"Name": "Skipped", "Unit": "Count"},
                        {"Name": "Blocked", "Unit": "Count"},
                        {"Name": "DurationMs", "Unit": "Milliseconds"},
                    ],
                }],
            },
            "FunctionName": context.function_name,
            "Redeployed": counts.redeployed,
            // An invocation that fails before it knows its services must raise the alarm all the same.
            "Failed": counts.failed.max(usize::from(self.failure.is_some_and(Failure::is_an_alarm))),
            "Skipped": counts.skipped,
            "Blocked": counts.blocked,
            "DurationMs": context.duration_ms,
        });
        if let (Value::Object(line), Ok(Value::Object(report))) =
            (&mut line, serde_json::to_value(self))
        {
            line.extend(report);
        }
        let excess = line.to_string().len().saturating_sub(MAX_LINE_BYTES);
        if excess > 0 {
            let services = &mut line["services"];
            let room = services.to_string().len().saturating_sub(excess);
            let kept = keep_within(services, room);
            line["servicesOmitted"] = json!(self.services.len() - kept);
        }
        line.to_string()
    }

    /// The message of the error with which the invocation fails: the report as compact JSON, cut to 2 KiB.
    #[must_use]
    pub fn error_message(&self) -> String {
        let mut message = serde_json::to_string(self).unwrap_or_else(|_| self.reason.clone());
        message.truncate(message.floor_char_boundary(MAX_ERROR_BYTES));
        message
    }

    fn level(&self) -> &'static str {
        let blocked = self
            .services
            .iter()
            .any(|service| service.action == Done::Blocked);
        match self.failure {
            Some(Failure::RotationPending) => "WARN",
            Some(_) => "ERROR",
            None if blocked || !self.warnings.is_empty() => "WARN",
            None => "INFO",
        }
    }
}

/// Keeps as many elements of an array as fit into so many bytes, and says how many those are.
fn keep_within(services: &mut Value, bytes: usize) -> usize {
    let Value::Array(services) = services else {
        return 0;
    };
    let mut length = 0;
    let fits = |service: &Value| {
        length += service.to_string().len() + 1;
        length <= bytes
    };
    let kept = services.iter().map(fits).take_while(|fits| *fits).count();
    services.truncate(kept);
    kept
}

impl Failure {
    /// The stable word.
    #[must_use]
    pub fn error_type(self) -> &'static str {
        match self {
            Self::PartialFailure => "PartialFailure",
            Self::RotationPending => "RotationPending",
            Self::InvalidEvent => "InvalidEvent",
            Self::Throttled => "Throttled",
            Self::TimeLeft => "TimeLeft",
        }
    }

    /// Whether an operator should hear of it; a pending rotation is expected to come back.
    fn is_an_alarm(self) -> bool {
        self != Self::RotationPending
    }
}

/// How many services met which fate.
#[derive(Default)]
struct Counts {
    redeployed: usize,
    planned: usize,
    blocked: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn of(services: &[ServiceReport]) -> Self {
        let mut counts = Self::default();
        for service in services {
            *match service.action {
                Done::Redeployed => &mut counts.redeployed,
                Done::Planned => &mut counts.planned,
                Done::Blocked => &mut counts.blocked,
                Done::Failed => &mut counts.failed,
                Done::Skipped => &mut counts.skipped,
            } += 1;
        }
        counts
    }

    fn sentence(&self) -> String {
        let Self {
            redeployed,
            planned,
            blocked,
            failed,
            skipped,
        } = self;
        let words = [
            (failed, "failed"),
            (blocked, "blocked"),
            (redeployed, "redeployed"),
            (planned, "would be redeployed"),
            (skipped, "skipped"),
        ];
        let parts: Vec<_> = words
            .iter()
            .filter(|(n, _)| **n > 0)
            .map(|(n, word)| format!("{n} {word}"))
            .collect();
        if parts.is_empty() {
            "no service in scope follows what changed".to_owned()
        } else {
            format!("services: {}", parts.join(", "))
        }
    }
}
