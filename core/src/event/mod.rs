//! What an incoming payload says: JSON in, [`Trigger`] out.
//!
//! An event is an untrusted hint. Only identifiers and times are taken from it, and whatever decides
//! is read from AWS. Fields are read one by one rather than by `derive`, so that an error names the
//! field and never repeats a value of the event.

mod ecs;
mod envelope;
mod fields;
mod secrets_manager;
mod sqs;
mod ssm;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::change::Change;
use crate::confirm::UnconfirmedChange;
use fields::Fields;

pub use fields::{FieldProblem, InvalidEvent};
pub use sqs::{SqsRecord, sqs_batch};

/// What a payload is and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The kind of payload.
    pub kind: TriggerKind,
    /// What it asks for.
    pub intent: Intent,
}

/// The kinds of payload, by the names that reports carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// Secrets Manager's own event, sent after a label moved.
    SecretLabelUpdated,
    /// CloudTrail: a rotation is done.
    RotationSucceeded,
    /// CloudTrail: a rotation was requested.
    RotateSecret,
    /// CloudTrail: a rotation failed or was abandoned.
    RotationFailed,
    /// CloudTrail: a version was stored.
    PutSecretValue,
    /// CloudTrail: a value or a description was changed.
    UpdateSecret,
    /// CloudTrail: a label was moved.
    UpdateSecretVersionStage,
    /// CloudTrail: a secret was created, perhaps again under the name of one that was deleted.
    CreateSecret,
    /// Parameter Store's own event.
    ParameterChange,
    /// ECS's own event about a deployment.
    DeploymentStateChange,
    /// Change Calendar's own event.
    CalendarStateChange,
    /// The schedule, or a request for a sweep.
    Sweep,
    /// A direct invocation.
    Request,
    /// Anything else.
    Unknown,
}

/// What a payload asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing.
    Ignored {
        /// Why, in a sentence.
        reason: String,
        /// Whether an operator should look at it.
        warning: bool,
    },
    /// A value changed, and the event alone says all about it.
    Changed(Change),
    /// A secret may have changed. `DescribeSecret` knows.
    MayHaveChanged(UnconfirmedChange),
    /// A person wants this to be treated as changed now.
    Request {
        /// What.
        target: Target,
        /// Whether only the plan is wanted.
        dry_run: bool,
        /// Whether closed change calendars do not hold it back.
        ignore_freeze: bool,
    },
    /// Every service in scope is to be examined.
    Sweep,
    /// A deployment ended, or began.
    Deployment {
        /// The ARN of its service.
        service: String,
        /// The id of the deployment, where it was completed.
        completed: Option<String>,
    },
}

impl Intent {
    /// When what the event tells of happened at the latest, UTC, where it tells of a change.
    #[must_use]
    pub fn changed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Changed(change) => Some(change.reported.not_after),
            Self::MayHaveChanged(claimed) => claimed.at,
            _ => None,
        }
    }
}

/// What a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A secret or parameter: a name, an ARN or a partial ARN.
    Secret(String),
    /// All that a service follows: `<cluster>/<service>` or its ARN.
    Service(String),
}

/// Reads one payload, whatever brought it.
///
/// # Errors
/// When it is a payload that this program acts on, and a field that is needed is missing or of the
/// wrong type.
pub fn parse(payload: &Value) -> Result<Trigger, InvalidEvent> {
    parse_event(&envelope::unwrap(payload))
}

fn parse_event(payload: &Value) -> Result<Trigger, InvalidEvent> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    let is_from = |expected: &str| text("/source").is_none_or(|source| source == expected);
    let is_secrets_manager = is_from("aws.secretsmanager")
        || text("/detail/eventSource") == Some("secretsmanager.amazonaws.com");
    let event = |kind| Fields { kind, payload };
    match (text("/detail-type"), text("/action")) {
        (Some("Secret Label Updated"), _) if is_secrets_manager => {
            secrets_manager::label_updated(&event(TriggerKind::SecretLabelUpdated))
        }
        (Some("AWS API Call via CloudTrail" | "AWS Service Event via CloudTrail"), _)
            if is_secrets_manager =>
        {
            secrets_manager::cloudtrail(payload)
        }
        (Some("Parameter Store Change"), _) if is_from("aws.ssm") => {
            ssm::parameter_change(&event(TriggerKind::ParameterChange))
        }
        (Some("Calendar State Change"), _) if is_from("aws.ssm") => {
            ssm::calendar_state_change(&event(TriggerKind::CalendarStateChange))
        }
        (Some("ECS Deployment State Change"), _) if is_from("aws.ecs") => {
            ecs::deployment_state_change(&event(TriggerKind::DeploymentStateChange))
        }
        (Some("Scheduled Event"), _) | (None, Some("sweep")) => Ok(Trigger {
            kind: TriggerKind::Sweep,
            intent: Intent::Sweep,
        }),
        (Some(_), _) => ignored(
            TriggerKind::Unknown,
            "no event of this source and detail-type changes a secret",
        ),
        (None, Some(action @ ("redeploy" | "plan"))) => {
            let request = event(TriggerKind::Request);
            let target = match request.text("service")? {
                Some(service) if request.at("secret")?.is_null() => {
                    Target::Service(service.to_owned())
                }
                _ => Target::Secret(request.required_text("secret")?.to_owned()),
            };
            Ok(Trigger {
                kind: TriggerKind::Request,
                intent: Intent::Request {
                    target,
                    dry_run: action == "plan",
                    ignore_freeze: request.flag("ignoreFreeze")?,
                },
            })
        }
        (None, Some(_)) => ignored(
            TriggerKind::Unknown,
            "the action is none of redeploy, plan and sweep",
        ),
        (None, None) => match envelope::event_inside(payload) {
            Some(invalid) => Err(invalid),
            None => ignored(
                TriggerKind::Unknown,
                "the payload is neither an event, an SQS batch nor a request",
            ),
        },
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every caller returns it as it is")]
fn ignored(kind: TriggerKind, reason: &str) -> Result<Trigger, InvalidEvent> {
    Ok(Trigger {
        kind,
        intent: Intent::Ignored {
            reason: reason.to_owned(),
            warning: kind == TriggerKind::RotationFailed,
        },
    })
}
