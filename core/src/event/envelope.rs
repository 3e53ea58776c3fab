//! Events inside of something else.

use std::borrow::Cow;

use serde_json::Value;

use super::TriggerKind;
use super::fields::{FieldProblem, InvalidEvent};

/// No envelope is deeper than this.
const MAX_DEPTH: usize = 6;
/// No event is longer than this, in bytes
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html>).
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The event inside of an SNS notification, of what Lambda gets from SNS, or of a list of one; else
/// the payload itself
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>,
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html>).
pub(super) fn unwrap(payload: &Value) -> Cow<'_, Value> {
    let mut payload = Cow::Borrowed(payload);
    for _ in 0..MAX_DEPTH {
        let Some(inner) = inner(&payload) else {
            break;
        };
        payload = Cow::Owned(inner);
    }
    payload
}

fn inner(payload: &Value) -> Option<Value> {
    let one = |list: &Value| match list.as_array().map(Vec::as_slice) {
        Some([one]) => Some(one.clone()),
        _ => None,
    };
    if payload.get("Type").and_then(Value::as_str) == Some("Notification") {
        return message(payload);
    }
    if let Some(notification) = payload.get("Sns") {
        return message(notification);
    }
    let records = payload.get("Records").and_then(one);
    records
        .filter(|record| record.get("Sns").is_some())
        .or_else(|| one(payload))
}

/// The JSON of a notification.
fn message(notification: &Value) -> Option<Value> {
    let text = notification.get("Message")?.as_str()?;
    let text = Some(text).filter(|text| text.len() <= MAX_EVENT_BYTES)?;
    serde_json::from_str(text).ok()
}

/// The error of a payload that plainly carries an event which nobody would otherwise read: a bare
/// `detail`, or an envelope that is not known.
pub(super) fn event_inside(payload: &Value) -> Option<InvalidEvent> {
    let invalid = |field: &str, problem| {
        Some(InvalidEvent {
            kind: TriggerKind::Unknown,
            field: field.to_owned(),
            problem,
        })
    };
    if is_detail(payload) {
        return invalid("detail-type", FieldProblem::Missing);
    }
    // No word of the payload is repeated, and so no name of a field either.
    has_event(payload, 0).then(|| invalid("payload", FieldProblem::Wrapped))?
}

/// The `detail` of an event about a secret, alone.
fn is_detail(payload: &Value) -> bool {
    let has = |field: &str| payload.get(field).is_some_and(Value::is_string);
    payload.get("eventSource").and_then(Value::as_str) == Some("secretsmanager.amazonaws.com")
        && has("eventName")
        || has("labelUpdated") && has("versionId")
}

/// Whether an event of the services that this program knows is inside of a value.
fn has_event(value: &Value, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match value {
        Value::Object(members) => {
            let source = members
                .get("source")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let is_known = ["aws.secretsmanager", "aws.ssm", "aws.ecs"].contains(&source);
            is_known && members.contains_key("detail-type")
                || members.values().any(|member| has_event(member, depth + 1))
        }
        Value::Array(elements) => elements.iter().any(|element| has_event(element, depth + 1)),
        Value::String(text) if text.len() <= MAX_EVENT_BYTES && text.starts_with('{') => {
            serde_json::from_str(text).is_ok_and(|inner| has_event(&inner, depth + 1))
        }
        _ => false,
    }
}
