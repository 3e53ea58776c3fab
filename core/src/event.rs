//! What an incoming payload says: EventBridge JSON in, [`Trigger`] out. Pure; knows JSON and no SDK.
//!
//! An event is an untrusted hint: only identifiers and times are taken from it, and [`UnconfirmedChange::confirm`] holds them
//! against what AWS says now. Fields are read one by one rather than by `derive`, so that an error names the field and
//! never repeats a value that the event carried.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::arn::Arn;
use crate::secret::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Change, ParameterArn, Reference, SecretArn, Source,
};

/// The longest identifier that is looked at; AWS accepts a `SecretId` of at most 2048 characters.
const MAX_IDENTIFIER_LENGTH: usize = 2048;

/// What a payload is and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Which kind of payload it is.
    pub kind: TriggerKind,
    /// What it says.
    pub hint: Intent,
}

/// The kinds of payload, by the names that reports carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerKind {
    /// Secrets Manager's own event, sent after a label moved.
    SecretLabelUpdated,
    /// CloudTrail: a rotation is done.
    RotationSucceeded,
    /// CloudTrail: a rotation was asked for.
    RotateSecret,
    /// CloudTrail: a rotation failed or was abandoned.
    RotationFailed,
    /// CloudTrail: a version was stored.
    PutSecretValue,
    /// CloudTrail: a value or a description was changed.
    UpdateSecret,
    /// CloudTrail: a label was moved.
    UpdateSecretVersionStage,
    /// Parameter Store's own event.
    ParameterChange,
    /// ECS's own event about a deployment.
    DeploymentStateChange,
    /// The schedule, or a request for a sweep.
    Sweep,
    /// A direct invocation.
    Request,
    /// Anything else.
    Unknown,
}

/// What a payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing to act on.
    Ignored {
        /// Why, in a sentence.
        reason: String,
        /// Whether an operator should look at it.
        warning: bool,
    },
    /// A value changed, and the event alone tells all about it.
    Change(Change),
    /// A secret may have changed; `DescribeSecret` tells.
    Secret(UnconfirmedChange),
    /// A person asks for this secret or parameter to be treated as changed now.
    Request {
        /// A name, an ARN or a partial ARN.
        secret: String,
        /// Whether only the plan is wanted.
        dry_run: bool,
    },
    /// Every service in scope is to be examined.
    Sweep,
    /// One service is to be examined.
    Service {
        /// Its ARN.
        arn: String,
    },
}

/// A claim about a secret that `DescribeSecret` is to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnconfirmedChange {
    /// The secret as the caller of the API named it: a name, an ARN or a partial ARN.
    pub secret_id: String,
    /// The Region in which a name is to be looked up, where the event tells.
    pub region: Option<String>,
    /// What is said to have happened.
    pub claim: Claim,
    /// The end of the second in which it happened, UTC.
    pub at: Option<Timestamp>,
}

/// What an event says about a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// These labels moved, to this version where the event tells.
    Moved {
        /// The labels.
        labels: Vec<String>,
        /// The version that they are on since then.
        version: Option<String>,
    },
    /// AWSCURRENT moved if this version was stored.
    Stored(String),
    /// AWSCURRENT will move to this version, if the rotation succeeds.
    Requested(String),
}

/// What `DescribeSecret` says about a secret
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html>). It holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// The full ARN.
    pub arn: SecretArn,
    /// The version that each staging label is on.
    pub labels: BTreeMap<String, String>,
    /// When the secret was changed in any way, UTC; an upper bound of when a label moved.
    pub last_changed: Option<Timestamp>,
    /// When a rotation last succeeded, UTC.
    pub last_rotated: Option<Timestamp>,
}

/// What is left of a [`UnconfirmedChange`] in the light of [`SecretFacts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// These labels moved.
    Rotations(Vec<Change>),
    /// The rotation is still under way, in a sentence.
    Pending(String),
    /// Nothing moved, in a sentence.
    Nothing(String),
}

/// A payload that is known but lacks what is needed. Its text names the field and repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field `{field}` {problem}")]
pub struct InvalidEvent {
    /// Which kind of payload it claims to be.
    pub kind: TriggerKind,
    /// The path of the field, such as `detail.labelUpdated`.
    pub field: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// It is absent, null or empty.
    #[error("is missing")]
    Missing,
    /// It has another type.
    #[error("must be {0}")]
    MustBe(&'static str),
}

/// One record of an SQS batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqsRecord<'a> {
    /// Names the record in the answer.
    pub message_id: &'a str,
    /// The payload, or nothing when the record has none.
    pub body: Option<&'a str>,
    /// Where it stands in the batch.
    pub index: usize,
    /// When it was put into the queue, UTC, where the record tells.
    pub sent_at: Option<Timestamp>,
}

/// The records, when the payload is an SQS batch
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>).
///
/// # Errors
/// When a record has no `messageId`, without which its failure could not be told.
pub fn sqs_batch(payload: &Value) -> Result<Option<Vec<SqsRecord<'_>>>, InvalidEvent> {
    let Some(records) = payload.get("Records").and_then(Value::as_array) else {
        return Ok(None);
    };
    let is_sqs = |record: &Value| match record.get("eventSource") {
        Some(source) => source == "aws:sqs",
        None => record.get("messageId").or(record.get("body")).is_some(),
    };
    if !records.iter().all(is_sqs) {
        return Ok(None);
    }
    let record = |(index, record)| {
        let batch = Fields {
            kind: TriggerKind::Unknown,
            payload: record,
        };
        let invalid = |_| {
            batch.invalid(
                &format!("Records[{index}].messageId"),
                FieldProblem::MustBe("a string"),
            )
        };
        let message_id = batch.required_text("messageId").map_err(invalid)?;
        let sent_at = record
            .pointer("/attributes/SentTimestamp")
            .and_then(Value::as_str);
        let sent_at =
            sent_at.and_then(|sent_at| Timestamp::from_millisecond(sent_at.parse().ok()?).ok());
        Ok(SqsRecord {
            message_id,
            body: record.get("body").and_then(Value::as_str),
            index,
            sent_at,
        })
    };
    records
        .iter()
        .enumerate()
        .map(record)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Reads one payload.
///
/// # Errors
/// When it is a payload that this program acts on, and a field that is needed is missing or of the wrong type.
pub fn parse(payload: &Value) -> Result<Trigger, InvalidEvent> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    let is_from = |expected: &str| text("/source").is_none_or(|source| source == expected);
    let is_secrets_manager = is_from("aws.secretsmanager")
        || text("/detail/eventSource") == Some("secretsmanager.amazonaws.com");
    let event = |kind| Fields { kind, payload };
    match (text("/detail-type"), text("/action")) {
        (Some("Secret Label Updated"), _) if is_secrets_manager => {
            secret_label_updated(&event(TriggerKind::SecretLabelUpdated))
        }
        (Some("AWS API Call via CloudTrail" | "AWS Service Event via CloudTrail"), _)
            if is_secrets_manager =>
        {
            cloudtrail(payload)
        }
        (Some("Parameter Store Change"), _) if is_from("aws.ssm") => {
            parameter_change(&event(TriggerKind::ParameterChange))
        }
        (Some("ECS Deployment State Change"), _) if is_from("aws.ecs") => {
            deployment_state_change(&event(TriggerKind::DeploymentStateChange))
        }
        (Some("Scheduled Event"), _) | (None, Some("sweep")) => Ok(Trigger {
            kind: TriggerKind::Sweep,
            hint: Intent::Sweep,
        }),
        (Some(_), _) => ignored(
            TriggerKind::Unknown,
            "no event of this source and detail-type changes a secret",
        ),
        (None, Some(action @ ("redeploy" | "plan"))) => {
            let secret = event(TriggerKind::Request)
                .required_text("secret")?
                .to_owned();
            Ok(Trigger {
                kind: TriggerKind::Request,
                hint: Intent::Request {
                    secret,
                    dry_run: action == "plan",
                },
            })
        }
        (None, Some(_)) => ignored(
            TriggerKind::Unknown,
            "the action is none of redeploy, plan and sweep",
        ),
        (None, None) => ignored(
            TriggerKind::Unknown,
            "the payload is neither an event, an SQS batch nor a request",
        ),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every caller returns it as it is")]
fn ignored(kind: TriggerKind, reason: &str) -> Result<Trigger, InvalidEvent> {
    Ok(Trigger {
        kind,
        hint: Intent::Ignored {
            reason: reason.to_owned(),
            warning: kind == TriggerKind::RotationFailed,
        },
    })
}

/// `Secret Label Updated`
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated-secretsmanager.html>).
fn secret_label_updated(event: &Fields) -> Result<Trigger, InvalidEvent> {
    let label = event.required_text("detail.labelUpdated")?.to_owned();
    let id = event.required_text("resources[0]")?;
    let at = event
        .end_of_second("time")?
        .ok_or_else(|| event.invalid("time", FieldProblem::Missing))?;
    let version = event.text("detail.versionId")?.map(str::to_owned);
    if label == AWSPENDING {
        return ignored(event.kind, "AWSPENDING moved, which no task reads");
    }
    if !matches!(Reference::parse(id), Ok(Reference::Secret(_))) {
        return Err(event.invalid("resources[0]", FieldProblem::MustBe("the ARN of a secret")));
    }
    // The name says whether the ARN is a full one, which its shape alone cannot.
    let name = event.text("detail.name")?;
    let hint = match SecretArn::parse(id).filter(|arn| name.is_none_or(|name| name == arn.name())) {
        Some(arn) => Intent::Change(Change {
            subject: Source::Secret { arn, label },
            version,
            at,
            not_before: None,
        }),
        None => Intent::Secret(UnconfirmedChange {
            secret_id: id.to_owned(),
            region: event.text("region")?.map(str::to_owned),
            claim: Claim::Moved {
                labels: vec![label],
                version,
            },
            at: Some(at),
        }),
    };
    Ok(Trigger {
        kind: event.kind,
        hint,
    })
}

/// `ECS Deployment State Change`
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html>).
fn deployment_state_change(event: &Fields) -> Result<Trigger, InvalidEvent> {
    // Whatever became of the deployment, the service itself is looked at.
    event.required_text("detail.eventName")?;
    let arn = event.required_text("resources[0]")?.to_owned();
    match Arn::parse(&arn)
        .filter(|arn| arn.service == "ecs" && arn.resource.starts_with("service/"))
    {
        Some(_) => Ok(Trigger {
            kind: event.kind,
            hint: Intent::Service { arn },
        }),
        None => Err(event.invalid("resources[0]", FieldProblem::MustBe("the ARN of a service"))),
    }
}

/// `Parameter Store Change`
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html>).
fn parameter_change(event: &Fields) -> Result<Trigger, InvalidEvent> {
    if event.required_text("detail.operation")? != "Update" {
        return ignored(
            event.kind,
            "only an Update changes the value that tasks already read",
        );
    }
    let arn = ParameterArn::parse(event.required_text("resources[0]")?).ok_or_else(|| {
        event.invalid(
            "resources[0]",
            FieldProblem::MustBe("the ARN of a parameter"),
        )
    })?;
    let at = event
        .end_of_second("time")?
        .ok_or_else(|| event.invalid("time", FieldProblem::Missing))?;
    let rotation = Change {
        subject: Source::Parameter(arn),
        version: None,
        at,
        not_before: None,
    };
    Ok(Trigger {
        kind: event.kind,
        hint: Intent::Change(rotation),
    })
}

/// What CloudTrail records of Secrets Manager
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>).
fn cloudtrail(payload: &Value) -> Result<Trigger, InvalidEvent> {
    let event = Fields {
        kind: TriggerKind::Unknown,
        payload,
    };
    let kind = match event.required_text("detail.eventName")? {
        "RotateSecret" => TriggerKind::RotateSecret,
        "RotationSucceeded" => TriggerKind::RotationSucceeded,
        "RotationFailed" | "RotationAbandoned" => TriggerKind::RotationFailed,
        "PutSecretValue" => TriggerKind::PutSecretValue,
        "UpdateSecret" => TriggerKind::UpdateSecret,
        "UpdateSecretVersionStage" => TriggerKind::UpdateSecretVersionStage,
        _ => {
            return ignored(
                TriggerKind::Unknown,
                "no call or event of this eventName moves a label",
            );
        }
    };
    let event = Fields { kind, ..event };
    if kind == TriggerKind::RotationFailed {
        return ignored(
            kind,
            "the rotation failed or was abandoned, so the current value is the old one",
        );
    }
    if !event.at("detail.errorCode")?.is_null() {
        return ignored(kind, "the call was refused, so nothing changed");
    }
    let claim = match claim(&event)? {
        Ok(claim) => claim,
        Err(reason) => return ignored(kind, reason),
    };
    let secret_id = event.first_text(&[
        "detail.responseElements.arn",
        // Before February 2024 some operations wrote this.
        "detail.responseElements.aRN",
        "detail.responseElements.ARN",
        "detail.additionalEventData.SecretId",
        "detail.additionalEventData.secretId",
        "detail.serviceEventDetails.secretId",
        "detail.serviceEventDetails.SecretId",
        "detail.requestParameters.secretId",
        "resources[0]",
    ])?;
    let expected = match kind {
        TriggerKind::RotationSucceeded => "detail.additionalEventData.SecretId",
        _ => "detail.requestParameters.secretId",
    };
    let hint = UnconfirmedChange {
        secret_id: secret_id
            .ok_or_else(|| event.invalid(expected, FieldProblem::Missing))?
            .to_owned(),
        region: event
            .first_text(&["detail.awsRegion", "region"])?
            .map(str::to_owned),
        claim,
        at: event
            .end_of_second("detail.eventTime")?
            .or(event.end_of_second("time")?),
    };
    Ok(Trigger {
        kind,
        hint: Intent::Secret(hint),
    })
}

/// What a CloudTrail event claims, or why it claims nothing.
fn claim(event: &Fields) -> Result<Result<Claim, &'static str>, InvalidEvent> {
    let request = |name: &str| format!("detail.requestParameters.{name}");
    // The casing of the answer is not documented.
    let stored = event.first_text(&[
        "detail.responseElements.versionId",
        "detail.responseElements.VersionId",
    ])?;
    let token = event.text(&request("clientRequestToken"))?;
    let missing = || event.invalid("detail.responseElements.versionId", FieldProblem::Missing);
    Ok(match event.kind {
        TriggerKind::RotateSecret
            if event.at(&request("rotateImmediately"))? == &Value::Bool(false) =>
        {
            Err("the rotation was only scheduled (rotateImmediately is false)")
        }
        TriggerKind::RotateSecret => Ok(Claim::Requested(
            stored.or(token).ok_or_else(missing)?.to_owned(),
        )),
        TriggerKind::PutSecretValue => {
            let stages = event
                .texts(&request("versionStages"))?
                .or(event.texts("detail.responseElements.versionStages")?);
            let mut stages = stages.unwrap_or_else(|| vec![AWSCURRENT.to_owned()]);
            stages.retain(|stage| stage != AWSPENDING);
            if stages.is_empty() {
                Err("the version was stored as AWSPENDING, which no task reads")
            } else {
                Ok(Claim::Moved {
                    labels: stages,
                    version: stored.or(token).map(str::to_owned),
                })
            }
        }
        // CloudTrail never shows whether a value was sent. Secrets Manager answers with a version id if it stored one;
        // where the answer was cut, DescribeSecret knows whether there is a version of the request's token.
        TriggerKind::UpdateSecret => match stored {
            None if event
                .first_text(&[
                    "detail.responseElements.name",
                    "detail.responseElements.Name",
                ])?
                .is_some() =>
            {
                Err("only the description or the settings of the secret changed")
            }
            None if token.is_none() && event.at("detail.responseElements")?.is_object() => {
                Err("the answer names no version, so none was stored")
            }
            stored => Ok(Claim::Stored(
                stored.or(token).ok_or_else(missing)?.to_owned(),
            )),
        },
        TriggerKind::UpdateSecretVersionStage => {
            let stage = event.required_text(&request("versionStage"))?;
            let to = event.text(&request("moveToVersionId"))?;
            if stage == AWSPENDING {
                Err("AWSPENDING moved, which no task reads")
            } else if to.is_none() {
                Err("the label was removed, not moved")
            } else if to == event.text(&request("removeFromVersionId"))? {
                Err("the label was moved to the version that it was on")
            } else {
                Ok(Claim::Moved {
                    labels: vec![stage.to_owned()],
                    version: to.map(str::to_owned),
                })
            }
        }
        _ => Ok(Claim::Moved {
            labels: vec![AWSCURRENT.to_owned()],
            version: None,
        }),
    })
}

impl UnconfirmedChange {
    /// Holds the claim against the facts.
    ///
    /// Of two upper bounds of the moment, the event's and the secret's, the earlier is the tighter, and keeps a late
    /// event from looking like news. `now` is the bound when there is neither.
    #[must_use]
    pub fn confirm(&self, facts: &SecretFacts, now: Timestamp) -> Confirmation {
        let at = self
            .at
            .into_iter()
            .chain(facts.last_changed)
            .min()
            .unwrap_or(now);
        let rotation = |label: &str, at| Change {
            subject: Source::Secret {
                arn: facts.arn.clone(),
                label: label.to_owned(),
            },
            version: facts.labels.get(label).cloned(),
            at,
            not_before: None,
        };
        let is_on =
            |version: &str, label: &str| facts.labels.get(label).is_some_and(|on| on == version);
        let was_promoted = |version| is_on(version, AWSCURRENT) || is_on(version, AWSPREVIOUS);
        match &self.claim {
            Claim::Moved { labels, .. } => {
                let moved: Vec<_> = labels
                    .iter()
                    .filter(|label| facts.labels.contains_key(*label))
                    .collect();
                if moved.is_empty() {
                    Confirmation::Nothing(
                        "no version of the secret carries the label any more".to_owned(),
                    )
                } else {
                    Confirmation::Rotations(
                        moved.into_iter().map(|label| rotation(label, at)).collect(),
                    )
                }
            }
            Claim::Stored(version) if was_promoted(version) => {
                Confirmation::Rotations(vec![rotation(AWSCURRENT, at)])
            }
            Claim::Stored(_) => Confirmation::Nothing(
                "the call stored no version that became AWSCURRENT".to_owned(),
            ),
            // The request came before the move, so only the secret's own times are bounds of it; and of these,
            // LastRotatedDate only when it is not that of an earlier rotation.
            Claim::Requested(version) if was_promoted(version) => {
                let requested = self
                    .at
                    .and_then(|end| end.saturating_sub(SignedDuration::from_secs(1)).ok());
                let rotated = facts
                    .last_rotated
                    .filter(|rotated| requested.is_some_and(|at| *rotated >= at));
                let at = facts
                    .last_changed
                    .into_iter()
                    .chain(rotated)
                    .min()
                    .unwrap_or(now);
                Confirmation::Rotations(vec![rotation(AWSCURRENT, at)])
            }
            Claim::Requested(_) if self.is_past(now) && !facts.labels.contains_key(AWSPENDING) => {
                Confirmation::Nothing(
                    "the rotation ended without making its version current".to_owned(),
                )
            }
            Claim::Requested(version) => Confirmation::Pending(format!(
                "the rotation of {} is under way: its version {version} is not AWSCURRENT yet",
                Source::Secret {
                    arn: facts.arn.clone(),
                    label: String::new()
                }
            )),
        }
    }
}

impl UnconfirmedChange {
    /// Whether what it tells of had happened by its time; a rotation that was asked for is still to come.
    #[must_use]
    pub fn is_of_the_past(&self) -> bool {
        !matches!(self.claim, Claim::Requested(_))
    }

    /// Whether Secrets Manager's answers certainly show by now what the event was about.
    fn is_past(&self, now: Timestamp) -> bool {
        self.at
            .and_then(|at| at.saturating_add(SignedDuration::from_mins(5)).ok())
            .is_some_and(|past| past < now)
    }
}

/// The fields of a payload, by paths such as `detail.labelUpdated` and `resources[0]`.
#[derive(Clone, Copy)]
struct Fields<'a> {
    kind: TriggerKind,
    payload: &'a Value,
}

impl<'a> Fields<'a> {
    fn invalid(&self, path: &str, problem: FieldProblem) -> InvalidEvent {
        InvalidEvent {
            kind: self.kind,
            field: path.to_owned(),
            problem,
        }
    }

    /// The value; null when the field, or one on the way to it, is missing.
    fn at(&self, path: &str) -> Result<&'a Value, InvalidEvent> {
        let (mut value, mut parent) = (self.payload, 0);
        for name in path.split('.') {
            let (member, first) = name
                .strip_suffix("[0]")
                .map_or((name, false), |name| (name, true));
            value = match value {
                Value::Object(members) => members.get(member).unwrap_or(&Value::Null),
                Value::Null => &Value::Null,
                _ => {
                    return Err(self.invalid(
                        path[..parent].trim_end_matches('.'),
                        FieldProblem::MustBe("an object"),
                    ));
                }
            };
            value = match value {
                Value::Array(elements) if first => elements.first().unwrap_or(&Value::Null),
                Value::Null => &Value::Null,
                _ if first => return Err(self.invalid(member, FieldProblem::MustBe("an array"))),
                value => value,
            };
            parent += name.len() + 1;
        }
        Ok(value)
    }

    /// The text; nothing when the field is missing or empty.
    fn text(&self, path: &str) -> Result<Option<&'a str>, InvalidEvent> {
        match self.at(path)? {
            Value::Null => Ok(None),
            Value::String(text) if text.len() > MAX_IDENTIFIER_LENGTH => {
                Err(self.invalid(path, FieldProblem::MustBe("a string of at most 2048 bytes")))
            }
            Value::String(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            _ => Err(self.invalid(path, FieldProblem::MustBe("a string"))),
        }
    }

    fn required_text(&self, path: &str) -> Result<&'a str, InvalidEvent> {
        self.text(path)?
            .ok_or_else(|| self.invalid(path, FieldProblem::Missing))
    }

    /// The first text that is not missing.
    fn first_text(&self, paths: &[&str]) -> Result<Option<&'a str>, InvalidEvent> {
        paths
            .iter()
            .find_map(|path| self.text(path).transpose())
            .transpose()
    }

    /// The texts of an array; nothing when the field is missing.
    fn texts(&self, path: &str) -> Result<Option<Vec<String>>, InvalidEvent> {
        let invalid = || self.invalid(path, FieldProblem::MustBe("an array of strings"));
        let elements = match self.at(path)? {
            Value::Null => return Ok(None),
            elements => elements.as_array().ok_or_else(invalid)?.iter(),
        };
        elements
            .map(|element| element.as_str().map(str::to_owned).ok_or_else(invalid))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The end of the second of a time, because AWS cuts it: the thing happened at the latest then.
    /// Nothing when the field is missing.
    fn end_of_second(&self, path: &str) -> Result<Option<Timestamp>, InvalidEvent> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        let time = text.parse::<Timestamp>().ok();
        let end = time.and_then(|time| Timestamp::from_second(time.as_second() + 1).ok());
        end.map(Some)
            .ok_or_else(|| self.invalid(path, FieldProblem::MustBe("an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
    const PARAMETER: &str = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";
    const SERVICE: &str = "arn:aws:ecs:eu-west-1:123456789012:service/prod/api";

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn event(source: &str, detail_type: &str, resource: &str, detail: Value) -> Value {
        let mut event =
            json!({"source": source, "detail-type": detail_type, "resources": [resource]});
        event["time"] = json!("2026-11-23T01:02:03Z");
        event["region"] = json!("eu-west-1");
        event["detail"] = detail;
        event
    }

    fn label_updated(detail: Value) -> Value {
        event("aws.secretsmanager", "Secret Label Updated", SECRET, detail)
    }

    /// What CloudTrail records of a call, with a request that names `prod/db` and whatever else is given.
    fn call(name: &str, request: Value, response: Value) -> Value {
        let mut detail = json!({"eventSource": "secretsmanager.amazonaws.com", "eventName": name});
        detail["requestParameters"] = request;
        detail["requestParameters"]["secretId"] = json!("prod/db");
        detail["responseElements"] = response;
        event(
            "aws.secretsmanager",
            "AWS API Call via CloudTrail",
            SECRET,
            detail,
        )
    }

    fn hint(payload: &Value) -> Intent {
        parse(payload).unwrap().hint
    }

    /// The claim; nothing when the payload is ignored.
    fn claimed(payload: &Value) -> Option<Claim> {
        match hint(payload) {
            Intent::Secret(hint) => Some(hint.claim),
            Intent::Ignored { warning: false, .. } => None,
            other => panic!("{other:?}"),
        }
    }

    fn current(version: Option<&str>) -> Claim {
        moved(&[AWSCURRENT], version)
    }

    fn moved(labels: &[&str], version: Option<&str>) -> Claim {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Claim::Moved {
            labels,
            version: version.map(str::to_owned),
        }
    }

    fn field(payload: &Value) -> (String, FieldProblem) {
        let invalid = parse(payload).unwrap_err();
        (invalid.field, invalid.problem)
    }

    #[test]
    fn a_batch_is_known_by_the_source_of_its_records_or_by_their_shape() {
        let record = |record: Value| json!({"Records": [record]});
        let batch = |payload: &Value| {
            sqs_batch(payload).map(|records| records.map(|records| records.len()))
        };
        for sqs in [
            json!({"eventSource": "aws:sqs", "messageId": "a"}),
            json!({"messageId": "a"}),
            json!({"messageId": "a", "body": "{}"}),
        ] {
            assert_eq!(batch(&record(sqs)), Ok(Some(1)));
        }
        for other in [
            json!({"eventSource": "aws:s3", "messageId": "a"}),
            json!({"s3": {}}),
            json!(7),
        ] {
            assert_eq!(batch(&record(other)), Ok(None));
        }
        let nameless = json!({"Records": [{"messageId": "a"}, {"body": "{}"}]});
        assert_eq!(
            sqs_batch(&nameless).unwrap_err().field,
            "Records[1].messageId"
        );
    }

    #[test]
    fn a_record_tells_its_id_its_body_its_place_and_when_it_was_sent() {
        let attributes = |sent: Value| json!({"attributes": {"SentTimestamp": sent}, "messageId": "b", "body": 7});
        let payload = json!({"Records": [{"messageId": "a", "body": "{}"}, attributes(json!("2000")), attributes(json!("x"))]});
        let record = |message_id, body, index, sent_at| SqsRecord {
            message_id,
            body,
            index,
            sent_at,
        };
        let expected = [
            record("a", Some("{}"), 0, None),
            record("b", None, 1, Some(second(2))),
            record("b", None, 2, None),
        ];
        assert_eq!(sqs_batch(&payload), Ok(Some(expected.to_vec())));
    }

    #[test]
    fn an_event_of_another_source_is_not_what_it_is_named() {
        let detail = json!({"labelUpdated": "AWSCURRENT", "operation": "Update", "eventName": "RotationSucceeded"});
        for (source, detail_type, resource, kind) in [
            (
                "aws.secretsmanager",
                "Secret Label Updated",
                SECRET,
                TriggerKind::SecretLabelUpdated,
            ),
            (
                "aws.secretsmanager",
                "AWS Service Event via CloudTrail",
                SECRET,
                TriggerKind::RotationSucceeded,
            ),
            (
                "aws.secretsmanager",
                "AWS API Call via CloudTrail",
                SECRET,
                TriggerKind::RotationSucceeded,
            ),
            (
                "aws.ssm",
                "Parameter Store Change",
                PARAMETER,
                TriggerKind::ParameterChange,
            ),
            (
                "aws.ecs",
                "ECS Deployment State Change",
                SERVICE,
                TriggerKind::DeploymentStateChange,
            ),
        ] {
            let mut payload = event(source, detail_type, resource, detail.clone());
            assert_eq!(parse(&payload).unwrap().kind, kind);
            payload["source"] = json!("aws.s3");
            assert_eq!(parse(&payload).unwrap().kind, TriggerKind::Unknown);
            payload.as_object_mut().unwrap().remove("source");
            assert_eq!(
                parse(&payload).unwrap().kind,
                kind,
                "a hand-made event may leave it out"
            );
        }
        let mut payload = event("custom.copy", "AWS API Call via CloudTrail", SECRET, detail);
        payload["detail"]["eventSource"] = json!("secretsmanager.amazonaws.com");
        assert_eq!(
            parse(&payload).unwrap().kind,
            TriggerKind::RotationSucceeded,
            "the call says whose it is"
        );
    }

    #[test]
    fn a_request_names_its_secret_and_a_plan_changes_nothing() {
        let request = |action: &str| hint(&json!({"action": action, "secret": "prod/db"}));
        let secret = || "prod/db".to_owned();
        assert_eq!(
            request("redeploy"),
            Intent::Request {
                secret: secret(),
                dry_run: false
            }
        );
        assert_eq!(
            request("plan"),
            Intent::Request {
                secret: secret(),
                dry_run: true
            }
        );
        assert_eq!(request("sweep"), Intent::Sweep);
        assert!(matches!(
            request("destroy"),
            Intent::Ignored { warning: false, .. }
        ));
        assert_eq!(
            field(&json!({"action": "plan"})),
            ("secret".to_owned(), FieldProblem::Missing)
        );
    }

    #[test]
    fn a_moved_label_is_a_rotation_at_the_end_of_its_second() {
        let arn = || SecretArn::parse(SECRET).unwrap();
        let expected = Change {
            subject: Source::Secret {
                arn: arn(),
                label: "Custom".to_owned(),
            },
            version: Some("v2".to_owned()),
            at: "2026-11-23T01:02:04Z".parse().unwrap(),
            not_before: None,
        };
        let named = json!({"labelUpdated": "Custom", "versionId": "v2", "name": "prod/db"});
        assert_eq!(
            hint(&label_updated(named)),
            Intent::Change(expected.clone())
        );
        let unnamed = json!({"labelUpdated": "Custom", "versionId": "v2"});
        assert_eq!(hint(&label_updated(unnamed)), Intent::Change(expected));
        let pending = hint(&label_updated(json!({"labelUpdated": "AWSPENDING"})));
        assert!(matches!(pending, Intent::Ignored { warning: false, .. }));
    }

    #[test]
    fn an_arn_that_does_not_end_as_its_name_says_is_asked_about() {
        let detail =
            json!({"labelUpdated": "AWSCURRENT", "versionId": "v2", "name": "prod/db-Ab12Cd"});
        let expected = UnconfirmedChange {
            secret_id: SECRET.to_owned(),
            region: Some("eu-west-1".to_owned()),
            claim: current(Some("v2")),
            at: Some("2026-11-23T01:02:04Z".parse().unwrap()),
        };
        assert_eq!(hint(&label_updated(detail)), Intent::Secret(expected));
        let other = event(
            "aws.secretsmanager",
            "Secret Label Updated",
            PARAMETER,
            json!({"labelUpdated": "a"}),
        );
        assert_eq!(
            field(&other),
            (
                "resources[0]".to_owned(),
                FieldProblem::MustBe("the ARN of a secret")
            )
        );
    }

    #[test]
    fn a_deployment_is_about_its_service() {
        let payload = |name: &str, resource: &str| {
            event(
                "aws.ecs",
                "ECS Deployment State Change",
                resource,
                json!({ "eventName": name }),
            )
        };
        for name in [
            "SERVICE_DEPLOYMENT_IN_PROGRESS",
            "SERVICE_DEPLOYMENT_COMPLETED",
            "SERVICE_DEPLOYMENT_FAILED",
        ] {
            assert_eq!(
                hint(&payload(name, SERVICE)),
                Intent::Service {
                    arn: SERVICE.to_owned()
                }
            );
        }
        for resource in [
            "api",
            "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
            "arn:aws:vpc-lattice:eu-west-1:123456789012:service/prod",
        ] {
            let expected = (
                "resources[0]".to_owned(),
                FieldProblem::MustBe("the ARN of a service"),
            );
            assert_eq!(
                field(&payload("SERVICE_DEPLOYMENT_FAILED", resource)),
                expected
            );
        }
    }

    #[test]
    fn only_an_update_changes_the_value_of_a_parameter() {
        let payload = |operation: &str, resource| {
            event(
                "aws.ssm",
                "Parameter Store Change",
                resource,
                json!({ "operation": operation }),
            )
        };
        let subject = Source::Parameter(ParameterArn::parse(PARAMETER).unwrap());
        let at = "2026-11-23T01:02:04Z".parse().unwrap();
        let expected = Change {
            subject,
            version: None,
            at,
            not_before: None,
        };
        assert_eq!(
            hint(&payload("Update", PARAMETER)),
            Intent::Change(expected)
        );
        for operation in ["Create", "Delete", "LabelParameterVersion"] {
            assert!(matches!(
                hint(&payload(operation, PARAMETER)),
                Intent::Ignored { warning: false, .. }
            ));
        }
        let expected = (
            "resources[0]".to_owned(),
            FieldProblem::MustBe("the ARN of a parameter"),
        );
        assert_eq!(field(&payload("Update", SECRET)), expected);
    }

    #[test]
    fn a_failed_rotation_is_a_warning() {
        for name in ["RotationFailed", "RotationAbandoned"] {
            let trigger = parse(&call(name, json!({}), Value::Null)).unwrap();
            assert!(
                matches!(trigger.hint, Intent::Ignored { warning: true, .. }),
                "{trigger:?}"
            );
            assert_eq!(trigger.kind, TriggerKind::RotationFailed);
        }
    }

    #[test]
    fn a_call_tells_its_kind_and_where_and_when_it_was_made() {
        for (name, kind) in [
            ("RotateSecret", TriggerKind::RotateSecret),
            ("RotationSucceeded", TriggerKind::RotationSucceeded),
            ("PutSecretValue", TriggerKind::PutSecretValue),
            ("UpdateSecret", TriggerKind::UpdateSecret),
            (
                "UpdateSecretVersionStage",
                TriggerKind::UpdateSecretVersionStage,
            ),
            ("TagResource", TriggerKind::Unknown),
        ] {
            let request = json!({"versionStage": "AWSCURRENT", "moveToVersionId": "v2"});
            assert_eq!(
                parse(&call(name, request, json!({"versionId": "v2"})))
                    .unwrap()
                    .kind,
                kind
            );
        }
        let mut payload = call("RotationSucceeded", json!({}), Value::Null);
        let mut expected = UnconfirmedChange {
            secret_id: "prod/db".to_owned(),
            region: Some("eu-west-1".to_owned()),
            claim: current(None),
            at: Some("2026-11-23T01:02:04Z".parse().unwrap()),
        };
        assert_eq!(hint(&payload), Intent::Secret(expected.clone()));
        payload["detail"]["eventTime"] = json!("2026-11-23T01:02:00Z");
        payload["detail"]["awsRegion"] = json!("eu-west-2");
        payload["detail"]["responseElements"] = json!({ "arn": SECRET });
        expected.at = Some("2026-11-23T01:02:01Z".parse().unwrap());
        expected.region = Some("eu-west-2".to_owned());
        expected.secret_id = SECRET.to_owned();
        assert_eq!(hint(&payload), Intent::Secret(expected));
        payload["detail"]["errorCode"] = json!("AccessDenied");
        assert_eq!(claimed(&payload), None, "a refused call changes nothing");
    }

    #[test]
    fn a_call_without_a_secret_is_invalid_and_says_where_it_was_expected() {
        for (name, expected) in [
            ("RotationSucceeded", "detail.additionalEventData.SecretId"),
            ("PutSecretValue", "detail.requestParameters.secretId"),
        ] {
            let mut payload = call(name, json!({}), Value::Null);
            payload["detail"]["requestParameters"] = Value::Null;
            payload["resources"] = json!([]);
            assert_eq!(
                field(&payload),
                (expected.to_owned(), FieldProblem::Missing)
            );
            assert_eq!(
                parse(&payload).unwrap_err().kind,
                parse(&call(name, json!({}), Value::Null)).unwrap().kind
            );
        }
    }

    #[test]
    fn a_requested_rotation_is_known_by_its_version() {
        let rotate = |request, response| call("RotateSecret", request, response);
        let requested = |version: &str| Some(Claim::Requested(version.to_owned()));
        let token = || json!({"clientRequestToken": "v1"});
        assert_eq!(
            claimed(&rotate(token(), json!({"versionId": "v2"}))),
            requested("v2")
        );
        assert_eq!(
            claimed(&rotate(token(), json!({"VersionId": "v2"}))),
            requested("v2")
        );
        assert_eq!(claimed(&rotate(token(), Value::Null)), requested("v1"));
        let immediately =
            |value: bool| json!({"rotateImmediately": value, "clientRequestToken": "v1"});
        assert_eq!(
            claimed(&rotate(immediately(true), Value::Null)),
            requested("v1")
        );
        assert_eq!(claimed(&rotate(immediately(false), Value::Null)), None);
        let expected = (
            "detail.responseElements.versionId".to_owned(),
            FieldProblem::Missing,
        );
        assert_eq!(field(&rotate(json!({}), Value::Null)), expected);
    }

    #[test]
    fn a_stored_version_moves_the_labels_that_it_was_stored_with() {
        let put = |request, response| call("PutSecretValue", request, response);
        let stages = |stages: Value| json!({"versionStages": stages, "clientRequestToken": "v1"});
        assert_eq!(claimed(&put(json!({}), Value::Null)), Some(current(None)));
        assert_eq!(
            claimed(&put(stages(Value::Null), Value::Null)),
            Some(current(Some("v1")))
        );
        assert_eq!(
            claimed(&put(stages(json!([AWSPENDING])), Value::Null)),
            None
        );
        let both = put(
            stages(json!([AWSPENDING, "Custom", AWSCURRENT])),
            json!({"versionId": "v2"}),
        );
        assert_eq!(
            claimed(&both),
            Some(moved(&["Custom", AWSCURRENT], Some("v2")))
        );
        assert_eq!(
            claimed(&put(json!({}), json!({"versionStages": [AWSPENDING]}))),
            None
        );
        for wrong in [json!("AWSCURRENT"), json!([7])] {
            let expected = (
                "detail.requestParameters.versionStages".to_owned(),
                FieldProblem::MustBe("an array of strings"),
            );
            assert_eq!(field(&put(stages(wrong), Value::Null)), expected);
        }
    }

    #[test]
    fn an_updated_secret_has_a_new_value_only_when_a_version_was_stored() {
        let update = |request, response| call("UpdateSecret", request, response);
        let stored = |version: &str| Some(Claim::Stored(version.to_owned()));
        let token = || json!({"clientRequestToken": "v1"});
        assert_eq!(
            claimed(&update(
                token(),
                json!({"name": "prod/db", "versionId": "v2"})
            )),
            stored("v2")
        );
        assert_eq!(claimed(&update(token(), json!({"name": "prod/db"}))), None);
        assert_eq!(claimed(&update(token(), json!({"Name": "prod/db"}))), None);
        assert_eq!(claimed(&update(json!({}), json!({"arn": SECRET}))), None);
        assert_eq!(
            claimed(&update(token(), json!({"arn": SECRET}))),
            stored("v1"),
            "the answer was cut"
        );
        assert_eq!(claimed(&update(token(), Value::Null)), stored("v1"));
        let expected = (
            "detail.responseElements.versionId".to_owned(),
            FieldProblem::Missing,
        );
        assert_eq!(field(&update(json!({}), Value::Null)), expected);
    }

    #[test]
    fn a_label_moved_by_hand_is_followed_unless_it_did_not_go_anywhere() {
        let stage = |stage: &str, from: Value, to: Value| {
            let request =
                json!({"versionStage": stage, "removeFromVersionId": from, "moveToVersionId": to});
            claimed(&call("UpdateSecretVersionStage", request, Value::Null))
        };
        assert_eq!(
            stage("Custom", Value::Null, json!("v2")),
            Some(moved(&["Custom"], Some("v2")))
        );
        assert_eq!(
            stage(AWSCURRENT, json!("v1"), json!("v2")),
            Some(current(Some("v2")))
        );
        assert_eq!(stage(AWSPENDING, json!("v1"), json!("v2")), None);
        assert_eq!(stage(AWSCURRENT, json!("v1"), Value::Null), None);
        assert_eq!(stage(AWSCURRENT, json!("v2"), json!("v2")), None);
    }

    /// Facts of a secret whose labels are on these versions, last changed at 200.
    fn facts(labels: &[(&str, &str)]) -> SecretFacts {
        let labels = labels
            .iter()
            .map(|(label, version)| ((*label).to_owned(), (*version).to_owned()))
            .collect();
        let arn = SecretArn::parse(SECRET).unwrap();
        SecretFacts {
            arn,
            labels,
            last_changed: Some(second(200)),
            last_rotated: None,
        }
    }

    /// A claim about 100.
    fn claim_of(claim: Claim) -> UnconfirmedChange {
        UnconfirmedChange {
            secret_id: SECRET.to_owned(),
            region: None,
            claim,
            at: Some(second(100)),
        }
    }

    fn rotated(label: &str, version: Option<&str>, at: i64) -> Confirmation {
        let subject = Source::Secret {
            arn: SecretArn::parse(SECRET).unwrap(),
            label: label.to_owned(),
        };
        let version = version.map(str::to_owned);
        Confirmation::Rotations(vec![Change {
            subject,
            version,
            at: second(at),
            not_before: None,
        }])
    }

    #[test]
    fn a_moved_label_that_is_still_there_is_a_rotation_at_the_earlier_bound() {
        let facts = facts(&[(AWSCURRENT, "v2"), ("Other", "v1")]);
        let hint = claim_of(moved(&[AWSCURRENT, "Gone"], Some("v2")));
        assert_eq!(
            hint.confirm(&facts, second(300)),
            rotated(AWSCURRENT, Some("v2"), 100)
        );
        let late = UnconfirmedChange {
            at: Some(second(250)),
            ..hint.clone()
        };
        assert_eq!(
            late.confirm(&facts, second(300)),
            rotated(AWSCURRENT, Some("v2"), 200)
        );
        let untimed = UnconfirmedChange { at: None, ..hint };
        let facts = SecretFacts {
            last_changed: None,
            ..facts
        };
        assert_eq!(
            untimed.confirm(&facts, second(300)),
            rotated(AWSCURRENT, Some("v2"), 300)
        );
        let gone = claim_of(moved(&["Gone"], Some("v2"))).confirm(&facts, second(300));
        assert!(matches!(gone, Confirmation::Nothing(_)));
    }

    #[test]
    fn a_stored_version_is_a_rotation_once_it_was_current() {
        let hint = claim_of(Claim::Stored("v2".to_owned()));
        let verdict = |labels: &[(&str, &str)]| hint.confirm(&facts(labels), second(300));
        assert_eq!(
            verdict(&[(AWSCURRENT, "v2")]),
            rotated(AWSCURRENT, Some("v2"), 100)
        );
        let superseded = verdict(&[(AWSCURRENT, "v3"), (AWSPREVIOUS, "v2")]);
        assert_eq!(superseded, rotated(AWSCURRENT, Some("v3"), 100));
        assert!(matches!(
            verdict(&[(AWSCURRENT, "v1")]),
            Confirmation::Nothing(_)
        ));
        assert!(matches!(
            verdict(&[("Custom", "v2")]),
            Confirmation::Nothing(_)
        ));
    }

    #[test]
    fn a_requested_rotation_counts_from_the_secrets_own_times() {
        let hint = claim_of(Claim::Requested("v2".to_owned()));
        let done = facts(&[(AWSCURRENT, "v2")]);
        assert_eq!(
            hint.confirm(&done, second(300)),
            rotated(AWSCURRENT, Some("v2"), 200)
        );
        let at = |last_changed, last_rotated| {
            let facts = SecretFacts {
                last_changed,
                last_rotated,
                ..done.clone()
            };
            match hint.confirm(&facts, second(300)) {
                Confirmation::Rotations(rotations) => rotations[0].at.as_second(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(at(Some(second(200)), Some(second(150))), 150);
        assert_eq!(at(Some(second(200)), Some(second(100))), 100);
        assert_eq!(
            at(Some(second(200)), Some(second(99))),
            99,
            "in the second of the request"
        );
        assert_eq!(
            at(Some(second(200)), Some(second(98))),
            200,
            "that was an earlier rotation"
        );
        assert_eq!(at(None, None), 300);
    }

    #[test]
    fn a_requested_rotation_is_pending_until_it_must_have_ended() {
        let hint = claim_of(Claim::Requested("v2".to_owned()));
        let verdict = |labels: &[(&str, &str)], now| hint.confirm(&facts(labels), second(now));
        let before = [(AWSCURRENT, "v1")];
        assert!(matches!(verdict(&before, 100), Confirmation::Pending(_)));
        assert!(matches!(
            verdict(&before, 100 + 300),
            Confirmation::Pending(_)
        ));
        assert!(matches!(
            verdict(&before, 100 + 301),
            Confirmation::Nothing(_)
        ));
        let preparing = [(AWSCURRENT, "v1"), (AWSPENDING, "v2")];
        assert!(matches!(
            verdict(&preparing, 100 + 301),
            Confirmation::Pending(_)
        ));
        let Confirmation::Pending(text) = verdict(&preparing, 100) else {
            panic!("it is pending")
        };
        assert!(text.contains(SECRET) && text.contains("v2"), "{text}");
    }

    #[test]
    fn only_a_requested_rotation_is_not_of_the_past() {
        assert!(claim_of(current(None)).is_of_the_past());
        assert!(claim_of(Claim::Stored("v2".to_owned())).is_of_the_past());
        assert!(!claim_of(Claim::Requested("v2".to_owned())).is_of_the_past());
    }

    #[test]
    fn an_error_names_the_field_or_the_parent_that_cannot_have_it() {
        let missing = |field: &str| (field.to_owned(), FieldProblem::Missing);
        let wrong = |field: &str, expected| (field.to_owned(), FieldProblem::MustBe(expected));
        let with = |name: &str, value: Value| {
            let mut payload = label_updated(json!({"labelUpdated": "AWSCURRENT"}));
            payload[name] = value;
            field(&payload)
        };
        assert_eq!(with("detail", Value::Null), missing("detail.labelUpdated"));
        assert_eq!(with("detail", json!(7)), wrong("detail", "an object"));
        assert_eq!(with("detail", json!({})), missing("detail.labelUpdated"));
        assert_eq!(
            with("detail", json!({"labelUpdated": ""})),
            missing("detail.labelUpdated")
        );
        assert_eq!(
            with("detail", json!({"labelUpdated": 7})),
            wrong("detail.labelUpdated", "a string")
        );
        assert_eq!(with("resources", Value::Null), missing("resources[0]"));
        assert_eq!(with("resources", json!([])), missing("resources[0]"));
        assert_eq!(
            with("resources", json!(SECRET)),
            wrong("resources", "an array")
        );
        assert_eq!(
            with("resources", json!([7])),
            wrong("resources[0]", "a string")
        );
        assert_eq!(with("time", Value::Null), missing("time"));
        assert_eq!(
            with("time", json!("yesterday")),
            wrong("time", "an RFC 3339 time")
        );
        let answer = field(&call("UpdateSecret", json!({}), json!(7)));
        assert_eq!(answer, wrong("detail.responseElements", "an object"));
    }

    #[test]
    fn an_identifier_may_be_as_long_as_aws_accepts_and_no_longer() {
        let secret =
            |length: usize| parse(&json!({"action": "plan", "secret": "x".repeat(length)}));
        assert!(secret(2048).is_ok());
        assert_eq!(
            secret(2049).unwrap_err().problem,
            FieldProblem::MustBe("a string of at most 2048 bytes")
        );
    }
}
