//! Events about secrets.

use serde_json::Value;

use super::fields::{FieldProblem, Fields, InvalidEvent};
use super::{Intent, Trigger, TriggerKind, ignored};
use crate::arn::SecretArn;
use crate::change::{AWSCURRENT, AWSPENDING, Bounds, Change, Source};
use crate::confirm::{Claim, UnconfirmedChange};
use crate::reference::Reference;

/// `Secret Label Updated`
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated-secretsmanager.html>).
pub(super) fn label_updated(event: &Fields) -> Result<Trigger, InvalidEvent> {
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
    let is_full = |arn: &SecretArn| name.is_none_or(|name| name == arn.name());
    let intent = match SecretArn::parse(id).filter(is_full) {
        Some(arn) => {
            let source = Source::Secret { arn, label };
            Intent::Changed(Change::new(source, version, Bounds::exact(at)))
        }
        None => Intent::MayHaveChanged(UnconfirmedChange {
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
        intent,
    })
}

/// The field in which the caller of the API names the secret.
fn named_by(kind: TriggerKind) -> &'static str {
    match kind {
        TriggerKind::CreateSecret => "detail.requestParameters.name",
        _ => "detail.requestParameters.secretId",
    }
}

/// The secret as a record of CloudTrail names it.
fn secret_id<'a>(event: &Fields<'a>) -> Result<Option<&'a str>, InvalidEvent> {
    event.first_text(&[
        "detail.responseElements.arn",
        // Before February 2024 some operations wrote this.
        "detail.responseElements.aRN",
        "detail.responseElements.ARN",
        "detail.additionalEventData.SecretId",
        "detail.additionalEventData.secretId",
        "detail.serviceEventDetails.secretId",
        "detail.serviceEventDetails.SecretId",
        named_by(event.kind),
        "resources[0]",
    ])
}

/// What CloudTrail records of Secrets Manager
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>).
pub(super) fn cloudtrail(payload: &Value) -> Result<Trigger, InvalidEvent> {
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
        "CreateSecret" => TriggerKind::CreateSecret,
        _ => {
            return ignored(
                TriggerKind::Unknown,
                "no call or event of this eventName moves a label",
            );
        }
    };
    let event = Fields { kind, ..event };
    if kind == TriggerKind::RotationFailed {
        // Only what is an ARN, because the texts of an event are not repeated.
        let secret = secret_id(&event)?.and_then(SecretArn::parse);
        let secret = secret.map_or("a secret".to_owned(), |arn| arn.name().to_owned());
        let reason = format!(
            "the rotation of {secret} failed or was abandoned: AWSCURRENT did not move by it; check whether \
             the current value still works"
        );
        return ignored(kind, &reason);
    }
    if !event.at("detail.errorCode")?.is_null() {
        return ignored(kind, "the call was refused, so nothing changed");
    }
    let claim = match claim(&event)? {
        Ok(claim) => claim,
        Err(reason) => return ignored(kind, reason),
    };
    let named = named_by(kind);
    let secret_id = secret_id(&event)?;
    let expected = match kind {
        TriggerKind::RotationSucceeded => "detail.additionalEventData.SecretId",
        _ => named,
    };
    let claimed = UnconfirmedChange {
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
        intent: Intent::MayHaveChanged(claimed),
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
        TriggerKind::UpdateSecret | TriggerKind::CreateSecret => match stored {
            None if event
                .first_text(&[
                    "detail.responseElements.name",
                    "detail.responseElements.Name",
                ])?
                .is_some() =>
            {
                Err(match event.kind {
                    TriggerKind::CreateSecret => "the secret was created without a value",
                    _ => "only the description or the settings of the secret changed",
                })
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
        _ => Ok(Claim::Rotated),
    })
}
