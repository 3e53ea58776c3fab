//! What was done and why: the only output of this program.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::change::Change;
use crate::decide::Decision;
use crate::event::{InvalidEvent, TriggerKind};
use crate::reason::{Action, Reason};

/// A service that failed, and its error.
pub type Failure = (Arc<str>, Option<String>);

/// The result of one invocation, as it is returned and logged.
///
/// The fields and their values are an interface: alarms, queries and other programs read them.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// What the invocation was about.
    pub trigger: TriggerKind,
    /// The result in a word.
    pub outcome: Outcome,
    /// The result in a sentence.
    pub reason: String,
    /// The changes that were acted on.
    pub rotations: Vec<ChangeReport>,
    /// Every service that has to do with them; what needs attention comes first.
    pub services: Vec<ServiceReport>,
    /// What was not understood or not found, in sentences, and did not stop the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the invocation fails, if it does.
    #[serde(skip)]
    pub failure: Option<ErrorType>,
}

/// The result of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// At least one service got a new deployment, and none failed.
    Redeployed,
    /// A value changed, and no service needs a new deployment now.
    NothingToDo,
    /// No value changed.
    Ignored,
    /// Services would have been redeployed.
    DryRun,
    /// Services failed as they did in an earlier sweep. That failed, and this one need not.
    StillFailing,
    /// Something could not be done, and the invocation fails.
    Failed,
}

/// The type of error with which an invocation fails; stable, for alarms and queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// At least one service, or one lookup, failed.
    PartialFailure,
    /// The rotation is still under way, and the invocation is to be retried.
    RotationPending,
    /// The event is known but lacks what is needed.
    InvalidEvent,
    /// AWS kept throttling calls.
    Throttled,
    /// The invocation's time is not enough.
    TimeLeft,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangeReport {
    /// The ARN of the secret or parameter.
    pub secret: String,
    /// The label that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The version that now carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// An upper bound of the moment of the change, UTC.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// An event that cannot be handled ends its invocation.
impl From<InvalidEvent> for Report {
    fn from(invalid: InvalidEvent) -> Self {
        Self::failed(invalid.kind, ErrorType::InvalidEvent, invalid.to_string())
    }
}

impl From<&Change> for ChangeReport {
    fn from(change: &Change) -> Self {
        Self {
            secret: change.source.to_string(),
            label: change.source.label().map(str::to_owned),
            version: change.version.clone(),
            at: change.moved().not_after,
        }
    }
}

/// What happened to one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServiceReport {
    /// The service's ARN, or `<cluster>/<service>` for one that does not exist, or a cluster that
    /// could not be read.
    pub service: Arc<str>,
    /// What was done.
    pub action: ServiceAction,
    /// Why.
    pub reason: Reason,
    /// The ARNs of the secrets and parameters that it is about.
    pub secrets: Vec<Arc<str>>,
    /// When the reason to wait ends, UTC, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// The id of the new deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// What went wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was done to a service, in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceAction {
    /// It should have been redeployed and was not, or could not be examined.
    Failed,
    /// It needs a person.
    Blocked,
    /// It needs time.
    Waiting,
    /// It got one new deployment.
    Redeployed,
    /// It would have got one.
    Planned,
    /// It needs nothing.
    Skipped,
}

/// How the redeploy of a service ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Execution {
    /// It has a new deployment, by its id where AWS named it.
    Redeployed(Option<String>),
    /// It failed, in a sentence.
    Failed(String),
    /// Its turn did not come in time.
    Deferred,
}

/// What a report says of a service whose turn did not come.
const DEFERRED: &str =
    "the invocation's time ran out before it was done; the next attempt goes on with it";
/// Log and queue viewers truncate errors; this much of the report is put into one.
const MAX_ERROR_BYTES: usize = 2048;
/// What is left of the error of one service where many have to be named.
const MAX_BRIEF_ERROR_BYTES: usize = 60;

impl From<Decision> for ServiceReport {
    fn from(decision: Decision) -> Self {
        let action = match decision.action() {
            _ if decision.reason.is_failure() => ServiceAction::Failed,
            Action::Redeploy => ServiceAction::Planned,
            Action::Skip => ServiceAction::Skipped,
            Action::Wait => ServiceAction::Waiting,
            Action::Block => ServiceAction::Blocked,
        };
        Self {
            service: decision.workload,
            action,
            reason: decision.reason,
            secrets: decision.sources,
            until: decision.until,
            deployment: None,
            error: decision.error,
        }
    }
}

impl ServiceReport {
    /// The report of a decision that was carried out.
    #[must_use]
    pub fn executed(decision: Decision, execution: Execution) -> Self {
        let decided = Self::from(decision);
        match execution {
            Execution::Redeployed(deployment) => Self {
                action: ServiceAction::Redeployed,
                deployment,
                ..decided
            },
            Execution::Failed(error) => decided.failed(error),
            Execution::Deferred => decided.failed(DEFERRED.to_owned()),
        }
    }

    fn failed(self, error: String) -> Self {
        Self {
            action: ServiceAction::Failed,
            error: Some(error),
            ..self
        }
    }

    fn is_deferred(&self) -> bool {
        self.action == ServiceAction::Failed && self.error.as_deref() == Some(DEFERRED)
    }
}

impl Report {
    /// A report that names no service.
    #[must_use]
    pub fn new(trigger: TriggerKind, outcome: Outcome, reason: impl Into<String>) -> Self {
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
    pub fn failed(trigger: TriggerKind, failure: ErrorType, reason: impl Into<String>) -> Self {
        Self {
            failure: Some(failure),
            ..Self::new(trigger, Outcome::Failed, reason)
        }
    }

    /// The report of services that were examined: sorted, with outcome, reason and failure as they
    /// follow from them.
    #[must_use]
    pub fn of_services(
        trigger: TriggerKind,
        changes: &[&Change],
        mut services: Vec<ServiceReport>,
        warnings: Vec<String>,
    ) -> Self {
        services.sort_by(|a, b| (a.action, &a.service).cmp(&(b.action, &b.service)));
        let has = |action| services.iter().any(|service| service.action == action);
        let outcome = if has(ServiceAction::Failed) {
            Outcome::Failed
        } else if has(ServiceAction::Redeployed) {
            Outcome::Redeployed
        } else if has(ServiceAction::Planned) {
            Outcome::DryRun
        } else {
            Outcome::NothingToDo
        };
        let deferred = services
            .iter()
            .filter(|service| service.is_deferred())
            .count();
        let (failure, reason) = match (outcome, deferred) {
            (Outcome::Failed, 0) => (Some(ErrorType::PartialFailure), sentence(&services)),
            (Outcome::Failed, deferred) => {
                let reason = sentence(&services);
                let reason = format!("{reason}; {deferred} of these are left for the next attempt");
                (Some(ErrorType::TimeLeft), reason)
            }
            _ => (None, sentence(&services)),
        };
        Self {
            rotations: changes
                .iter()
                .map(|change| ChangeReport::from(*change))
                .collect(),
            services,
            warnings,
            failure,
            ..Self::new(trigger, outcome, reason)
        }
    }

    /// The failed services, each with its error.
    #[must_use]
    pub fn failures(&self) -> BTreeSet<Failure> {
        let is_failed = |service: &&ServiceReport| service.action == ServiceAction::Failed;
        let failed = self.services.iter().filter(is_failed);
        failed
            .map(|service| (service.service.clone(), service.error.clone()))
            .collect()
    }

    /// The same, but where a sweep examined everything and met only failures that are known, its
    /// invocation does not fail: the next attempt would meet them as well.
    #[must_use]
    pub fn with_known(mut self, known: &BTreeSet<Failure>) -> Self {
        let is_failed = self.failure == Some(ErrorType::PartialFailure);
        if is_failed && self.has_swept() && self.failures().is_subset(known) {
            self.outcome = Outcome::StillFailing;
            self.failure = None;
        }
        self
    }

    /// The message of the error with which the invocation fails: the report as compact JSON, cut to
    /// 2 KiB. Where it is longer, it has the failed services and what they follow only, and their
    /// errors in brief.
    #[must_use]
    pub fn error_message(&self) -> String {
        let is_failed = |service: &&ServiceReport| service.action == ServiceAction::Failed;
        let mut message = String::new();
        if self.services.len() < MAX_ERROR_BYTES {
            message = json!(self).to_string();
        }
        if message.is_empty() || message.len() > MAX_ERROR_BYTES {
            // Room for as many failed services as possible.
            let failed = self.services.iter().filter(is_failed).take(MAX_ERROR_BYTES);
            let mut short = Self {
                services: failed.cloned().collect(),
                ..Self::new(self.trigger, self.outcome, self.reason.clone())
            };
            let concerns = |rotation: &&ChangeReport| {
                let names = |service: &ServiceReport| {
                    service
                        .secrets
                        .iter()
                        .any(|secret| **secret == *rotation.secret)
                };
                short.services.iter().any(names)
            };
            short.rotations = self.rotations.iter().filter(concerns).cloned().collect();
            for error in short
                .services
                .iter_mut()
                .filter_map(|service| service.error.as_mut())
            {
                error.truncate(error.floor_char_boundary(MAX_BRIEF_ERROR_BYTES));
            }
            message = json!(short).to_string();
        }
        message.truncate(message.floor_char_boundary(MAX_ERROR_BYTES));
        message
    }
}

impl ErrorType {
    /// The stable word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PartialFailure => "PartialFailure",
            Self::RotationPending => "RotationPending",
            Self::InvalidEvent => "InvalidEvent",
            Self::Throttled => "Throttled",
            Self::TimeLeft => "TimeLeft",
        }
    }

    /// Whether an operator should know. A pending rotation is expected to come back.
    pub(crate) fn is_an_alarm(self) -> bool {
        self != Self::RotationPending
    }
}

/// The number of services with this outcome.
pub(crate) fn count(services: &[ServiceReport], action: ServiceAction) -> usize {
    services
        .iter()
        .filter(|service| service.action == action)
        .count()
}

fn sentence(services: &[ServiceReport]) -> String {
    let words = [
        (ServiceAction::Failed, "failed"),
        (ServiceAction::Blocked, "blocked"),
        (ServiceAction::Waiting, "waiting"),
        (ServiceAction::Redeployed, "redeployed"),
        (ServiceAction::Planned, "would be redeployed"),
        (ServiceAction::Skipped, "skipped"),
    ];
    let counted = words.map(|(action, word)| (count(services, action), word));
    let counted = counted.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<_> = counted.map(|(n, word)| format!("{n} {word}")).collect();
    match parts.as_slice() {
        [] => "no service in scope follows what changed".to_owned(),
        parts => format!("services: {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests;
