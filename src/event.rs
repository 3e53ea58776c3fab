//! What an incoming payload says: EventBridge JSON in, [`Trigger`] out. Pure; knows JSON and no SDK.
//!
//! An event is an untrusted hint: only identifiers and times are taken from it, and [`SecretHint::confirm`] holds them
//! against what AWS says now. Fields are read one by one rather than by `derive`, so that an error names the field and
//! never repeats a value that the event carried.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::secret::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, ParameterArn, Rotation, SecretArn, Subject,
};

/// The longest identifier that is looked at; AWS accepts a `SecretId` of at most 2048 characters.
const MAX_IDENTIFIER_LENGTH: usize = 2048;

/// What a payload is and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Which kind of payload it is.
    pub kind: Kind,
    /// What it says.
    pub hint: Hint,
}

/// The kinds of payload, by the names that reports carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
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
pub enum Hint {
    /// Nothing to act on.
    Ignored {
        /// Why, in a sentence.
        reason: String,
        /// Whether an operator should look at it.
        warning: bool,
    },
    /// A value changed, and the event alone tells all about it.
    Rotation(Rotation),
    /// A secret may have changed; `DescribeSecret` tells.
    Secret(SecretHint),
    /// A person asks for this secret or parameter to be treated as changed now.
    Request {
        /// A name, an ARN or a partial ARN.
        secret: String,
        /// Whether only the plan is wanted.
        dry_run: bool,
    },
}

/// A claim about a secret that `DescribeSecret` is to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHint {
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
    /// These labels moved.
    Moved(Vec<String>),
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
}

/// What is left of a [`SecretHint`] in the light of [`SecretFacts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These labels moved.
    Rotations(Vec<Rotation>),
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
    pub kind: Kind,
    /// The path of the field, such as `detail.labelUpdated`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
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
    let records: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(index, record)| SqsRecord {
            message_id: record
                .get("messageId")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            body: record.get("body").and_then(Value::as_str),
            index,
        })
        .collect();
    match records.iter().find(|record| record.message_id.is_empty()) {
        Some(SqsRecord { index, .. }) => Err(InvalidEvent {
            kind: Kind::Unknown,
            field: format!("Records[{index}].messageId"),
            problem: Problem::MustBe("a string that is not empty"),
        }),
        None => Ok(Some(records)),
    }
}

/// Reads one payload.
///
/// # Errors
/// When it is a payload that this program acts on, and a field that is needed is missing or of the wrong type.
pub fn parse(payload: &Value) -> Result<Trigger, InvalidEvent> {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    let source = text("/source");
    let is_from = |expected: &str| source.is_none_or(|source| source == expected);
    let is_secrets_manager = is_from("aws.secretsmanager")
        || text("/detail/eventSource") == Some("secretsmanager.amazonaws.com");
    match text("/detail-type") {
        Some("Secret Label Updated") if is_secrets_manager => {
            secret_label_updated(&Field::root(Kind::SecretLabelUpdated, payload))
        }
        Some("AWS API Call via CloudTrail" | "AWS Service Event via CloudTrail")
            if is_secrets_manager =>
        {
            cloudtrail(payload)
        }
        Some("Parameter Store Change") if is_from("aws.ssm") => {
            parameter_change(&Field::root(Kind::ParameterChange, payload))
        }
        Some("ECS Deployment State Change") if is_from("aws.ecs") => Ok(ignored(
            Kind::DeploymentStateChange,
            "deployment state changes are not examined by this version",
        )),
        Some("Scheduled Event") => Ok(ignored(Kind::Sweep, SWEEP)),
        Some(_) => Ok(ignored(
            Kind::Unknown,
            "no event of this source and detail-type changes a secret",
        )),
        None => request(payload),
    }
}

const SWEEP: &str = "sweeps are not made by this version";

fn ignored(kind: Kind, reason: impl Into<String>) -> Trigger {
    Trigger {
        kind,
        hint: Hint::Ignored {
            reason: reason.into(),
            warning: false,
        },
    }
}

/// A direct invocation: `{"action": "redeploy" | "plan", "secret": "<name or ARN>"}`.
fn request(payload: &Value) -> Result<Trigger, InvalidEvent> {
    let dry_run = match payload.get("action").and_then(Value::as_str) {
        Some("redeploy") => false,
        Some("plan") => true,
        Some("sweep") => return Ok(ignored(Kind::Sweep, SWEEP)),
        Some(_) => {
            return Ok(ignored(
                Kind::Unknown,
                "the action is none of redeploy, plan",
            ));
        }
        None => {
            return Ok(ignored(
                Kind::Unknown,
                "the payload is neither an event, an SQS batch nor a request",
            ));
        }
    };
    let secret = Field::root(Kind::Request, payload)
        .get("secret")?
        .required_text()?
        .to_owned();
    Ok(Trigger {
        kind: Kind::Request,
        hint: Hint::Request { secret, dry_run },
    })
}

/// `Secret Label Updated`
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated-secretsmanager.html>).
fn secret_label_updated(event: &Field) -> Result<Trigger, InvalidEvent> {
    let kind = event.kind;
    let detail = event.get("detail")?;
    let label = detail.get("labelUpdated")?.required_text()?.to_owned();
    let resource = event.get("resources")?.first()?;
    let id = resource.required_text()?;
    let at = event.get("time")?.required_end_of_second()?;
    let version = detail.get("versionId")?.text()?.map(str::to_owned);
    if label == AWSPENDING {
        return Ok(ignored(kind, "AWSPENDING moved, which no task reads"));
    }
    // The name says whether the ARN is a full one, which its shape alone cannot.
    let full = match detail.get("name")?.text()? {
        Some(name) => SecretArn::parse(id).filter(|arn| arn.name() == name),
        None => SecretArn::parse(id),
    };
    let hint = match full {
        Some(arn) => Hint::Rotation(Rotation {
            subject: Subject::Secret { arn, label },
            version,
            at,
        }),
        None => Hint::Secret(SecretHint {
            secret_id: id.to_owned(),
            region: event.get("region")?.text()?.map(str::to_owned),
            claim: Claim::Moved(vec![label]),
            at: Some(at),
        }),
    };
    Ok(Trigger { kind, hint })
}

/// `Parameter Store Change`
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html>).
fn parameter_change(event: &Field) -> Result<Trigger, InvalidEvent> {
    let kind = event.kind;
    let operation = event.get("detail")?.get("operation")?;
    if operation.required_text()? != "Update" {
        return Ok(ignored(
            kind,
            "only an Update changes the value that tasks already read",
        ));
    }
    let resource = event.get("resources")?.first()?;
    let arn = ParameterArn::parse(resource.required_text()?)
        .ok_or_else(|| resource.invalid(Problem::MustBe("the ARN of a parameter")))?;
    let at = event.get("time")?.required_end_of_second()?;
    Ok(Trigger {
        kind,
        hint: Hint::Rotation(Rotation {
            subject: Subject::Parameter(arn),
            version: None,
            at,
        }),
    })
}

/// What CloudTrail records of Secrets Manager
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>).
fn cloudtrail(payload: &Value) -> Result<Trigger, InvalidEvent> {
    let kind = match payload.pointer("/detail/eventName") {
        Some(Value::String(name)) => match name.as_str() {
            "RotateSecret" => Kind::RotateSecret,
            "RotationSucceeded" => Kind::RotationSucceeded,
            "RotationFailed" | "RotationAbandoned" => Kind::RotationFailed,
            "PutSecretValue" => Kind::PutSecretValue,
            "UpdateSecret" => Kind::UpdateSecret,
            "UpdateSecretVersionStage" => Kind::UpdateSecretVersionStage,
            _ => {
                return Ok(ignored(
                    Kind::Unknown,
                    "no call or event of this eventName moves a label",
                ));
            }
        },
        _ => Kind::Unknown,
    };
    let event = Field::root(kind, payload);
    let detail = event.get("detail")?;
    detail.get("eventName")?.required_text()?;
    if kind == Kind::RotationFailed {
        let reason =
            "the rotation failed or was abandoned, so the current value is the old one".to_owned();
        return Ok(Trigger {
            kind,
            hint: Hint::Ignored {
                reason,
                warning: true,
            },
        });
    }
    if !detail.get("errorCode")?.value.is_null() {
        return Ok(ignored(kind, "the call was refused, so nothing changed"));
    }
    let request = detail.get("requestParameters")?;
    let claim = match claim(kind, &request, &detail.get("responseElements")?)? {
        Ok(claim) => claim,
        Err(reason) => return Ok(ignored(kind, reason)),
    };
    let time = detail.get("eventTime")?.or(event.get("time")?);
    let region = detail.get("awsRegion")?.or(event.get("region")?);
    let hint = SecretHint {
        secret_id: identity(&event, &detail)?,
        region: region.text()?.map(str::to_owned),
        claim,
        at: time.end_of_second()?,
    };
    Ok(Trigger {
        kind,
        hint: Hint::Secret(hint),
    })
}

/// What a CloudTrail event claims, or why it claims nothing.
fn claim(
    kind: Kind,
    request: &Field,
    response: &Field,
) -> Result<Result<Claim, &'static str>, InvalidEvent> {
    let version = || -> Result<_, InvalidEvent> {
        // The casing of the response is not documented.
        let version = response.get("versionId")?.or(response.get("VersionId")?);
        Ok(version.or(request.get("clientRequestToken")?))
    };
    Ok(match kind {
        Kind::RotateSecret if request.get("rotateImmediately")?.value == &Value::Bool(false) => {
            Err("the rotation was only scheduled (rotateImmediately is false)")
        }
        Kind::RotateSecret => Ok(Claim::Requested(version()?.required_text()?.to_owned())),
        Kind::PutSecretValue => {
            let stages = request
                .get("versionStages")?
                .or(response.get("versionStages")?)
                .texts()?;
            let mut stages = stages.unwrap_or_else(|| vec![AWSCURRENT.to_owned()]);
            stages.retain(|stage| stage != AWSPENDING);
            if stages.is_empty() {
                Err("the version was stored as AWSPENDING, which no task reads")
            } else {
                Ok(Claim::Moved(stages))
            }
        }
        // CloudTrail never shows whether a value was sent. Secrets Manager answers with a version id if it stored one;
        // where the answer is missing, DescribeSecret knows whether there is a version of the request's token.
        Kind::UpdateSecret if !response.value.is_null() => {
            match response
                .get("versionId")?
                .or(response.get("VersionId")?)
                .text()?
            {
                Some(version) => Ok(Claim::Stored(version.to_owned())),
                None => Err("only the description or the settings of the secret changed"),
            }
        }
        Kind::UpdateSecret => Ok(Claim::Stored(version()?.required_text()?.to_owned())),
        Kind::UpdateSecretVersionStage => {
            let stage = request.get("versionStage")?.required_text()?;
            let to = request.get("moveToVersionId")?.text()?;
            if stage == AWSPENDING {
                Err("AWSPENDING moved, which no task reads")
            } else if to.is_none() {
                Err("the label was removed, not moved")
            } else if to == request.get("removeFromVersionId")?.text()? {
                Err("the label was moved to the version that it was on")
            } else {
                Ok(Claim::Moved(vec![stage.to_owned()]))
            }
        }
        _ => Ok(Claim::Moved(vec![AWSCURRENT.to_owned()])),
    })
}

/// How a CloudTrail event names the secret: the full ARN where there is one, else what the caller typed.
fn identity(event: &Field, detail: &Field) -> Result<String, InvalidEvent> {
    let response = detail.get("responseElements")?;
    let additional = detail.get("additionalEventData")?;
    let service = detail.get("serviceEventDetails")?;
    let request = detail.get("requestParameters")?.get("secretId")?;
    let service_event = additional.get("SecretId")?.or(additional.get("secretId")?);
    let service_event = service_event
        .or(service.get("secretId")?)
        .or(service.get("SecretId")?);
    // Before February 2024 some operations wrote `aRN`.
    let found = response
        .get("arn")?
        .or(response.get("aRN")?)
        .or(response.get("ARN")?)
        .or(service_event)
        .or(request);
    let found = if found.value.is_null() {
        found.or(event.get("resources")?.first()?)
    } else {
        found
    };
    found.required_text().map(str::to_owned).map_err(|invalid| {
        match (invalid.problem, event.kind) {
            (Problem::Missing, Kind::RotationSucceeded) => InvalidEvent {
                field: "detail.additionalEventData.SecretId".to_owned(),
                ..invalid
            },
            (Problem::Missing, _) => InvalidEvent {
                field: "detail.requestParameters.secretId".to_owned(),
                ..invalid
            },
            _ => invalid,
        }
    })
}

impl SecretHint {
    /// Holds the claim against the facts.
    ///
    /// Of two upper bounds of the moment, the event's and the secret's, the earlier is the tighter, and keeps a late
    /// event from looking like news. `now` is the bound when there is neither.
    #[must_use]
    pub fn confirm(&self, facts: &SecretFacts, now: Timestamp) -> Verdict {
        let at = self
            .at
            .into_iter()
            .chain(facts.last_changed)
            .min()
            .unwrap_or(now);
        let rotation = |label: &str, at| Rotation {
            subject: Subject::Secret {
                arn: facts.arn.clone(),
                label: label.to_owned(),
            },
            version: facts.labels.get(label).cloned(),
            at,
        };
        let is_on =
            |version: &str, label: &str| facts.labels.get(label).is_some_and(|on| on == version);
        let was_promoted = |version| is_on(version, AWSCURRENT) || is_on(version, AWSPREVIOUS);
        match &self.claim {
            Claim::Moved(labels) => {
                let moved: Vec<_> = labels
                    .iter()
                    .filter(|label| facts.labels.contains_key(*label))
                    .collect();
                if moved.is_empty() {
                    Verdict::Nothing(
                        "no version of the secret carries the label any more".to_owned(),
                    )
                } else {
                    Verdict::Rotations(moved.into_iter().map(|label| rotation(label, at)).collect())
                }
            }
            Claim::Stored(version) if was_promoted(version) => {
                Verdict::Rotations(vec![rotation(AWSCURRENT, at)])
            }
            Claim::Stored(_) => {
                Verdict::Nothing("the call stored no version that became AWSCURRENT".to_owned())
            }
            // The request came before the move, so only the secret's own time is a bound of it.
            Claim::Requested(version) if was_promoted(version) => {
                Verdict::Rotations(vec![rotation(
                    AWSCURRENT,
                    facts.last_changed.unwrap_or(now),
                )])
            }
            Claim::Requested(version) => Verdict::Pending(format!(
                "the rotation of {} is under way: its version {version} is not AWSCURRENT yet",
                Subject::Secret {
                    arn: facts.arn.clone(),
                    label: String::new()
                }
            )),
        }
    }
}

/// The end of the second of an event's time, because AWS cuts it: the thing happened at the latest then.
fn end_of_second(time: Timestamp) -> Timestamp {
    let second = Timestamp::from_second(time.as_second()).unwrap_or(time);
    second
        .saturating_add(SignedDuration::from_secs(1))
        .unwrap_or(Timestamp::MAX)
}

/// A value and where it stands in the payload.
#[derive(Clone)]
struct Field<'a> {
    kind: Kind,
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    fn root(kind: Kind, value: &'a Value) -> Self {
        Self {
            kind,
            path: String::new(),
            value,
        }
    }

    fn invalid(&self, problem: Problem) -> InvalidEvent {
        InvalidEvent {
            kind: self.kind,
            field: self.path.clone(),
            problem,
        }
    }

    /// The member of that name; null when there is none.
    fn get(&self, name: &str) -> Result<Self, InvalidEvent> {
        let value = match self.value {
            Value::Object(members) => members.get(name).unwrap_or(&Value::Null),
            Value::Null => &Value::Null,
            _ => return Err(self.invalid(Problem::MustBe("an object"))),
        };
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Ok(Self {
            kind: self.kind,
            path,
            value,
        })
    }

    /// The first element; null when there is none.
    fn first(&self) -> Result<Self, InvalidEvent> {
        let value = match self.value {
            Value::Array(elements) => elements.first().unwrap_or(&Value::Null),
            Value::Null => &Value::Null,
            _ => return Err(self.invalid(Problem::MustBe("an array"))),
        };
        Ok(Self {
            kind: self.kind,
            path: format!("{}[0]", self.path),
            value,
        })
    }

    /// This field, or the other where this one is null.
    fn or(self, other: Self) -> Self {
        if self.value.is_null() && !other.value.is_null() {
            other
        } else {
            self
        }
    }

    /// The text; nothing when the field is missing or empty.
    fn text(&self) -> Result<Option<&'a str>, InvalidEvent> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) if text.len() > MAX_IDENTIFIER_LENGTH => {
                Err(self.invalid(Problem::MustBe("a string of at most 2048 bytes")))
            }
            Value::String(text) => Ok(Some(text)),
            _ => Err(self.invalid(Problem::MustBe("a string"))),
        }
    }

    fn required_text(&self) -> Result<&'a str, InvalidEvent> {
        self.text()?.ok_or_else(|| self.invalid(Problem::Missing))
    }

    /// The texts of an array; nothing when the field is missing.
    fn texts(&self) -> Result<Option<Vec<String>>, InvalidEvent> {
        let invalid = || self.invalid(Problem::MustBe("an array of strings"));
        match self.value {
            Value::Null => Ok(None),
            Value::Array(elements) => elements
                .iter()
                .map(|e| e.as_str().map(str::to_owned).ok_or_else(invalid))
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(invalid()),
        }
    }

    /// A time, as an upper bound; nothing when the field is missing.
    fn end_of_second(&self) -> Result<Option<Timestamp>, InvalidEvent> {
        let time = self.text()?.map(|text| {
            text.parse()
                .map_err(|_| self.invalid(Problem::MustBe("an RFC 3339 time")))
        });
        Ok(time.transpose()?.map(end_of_second))
    }

    fn required_end_of_second(&self) -> Result<Timestamp, InvalidEvent> {
        self.end_of_second()?
            .ok_or_else(|| self.invalid(Problem::Missing))
    }
}
