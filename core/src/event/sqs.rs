//! SQS batches.

use jiff::Timestamp;
use serde_json::Value;

use super::TriggerKind;
use super::fields::{FieldProblem, Fields, InvalidEvent};

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
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>,
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-sqs.html>).
///
/// # Errors
/// When a record has no `messageId`, without which its failure could not be told.
pub fn sqs_batch(payload: &Value) -> Result<Option<Vec<SqsRecord<'_>>>, InvalidEvent> {
    let (records, is_bare) = match payload {
        // EventBridge Pipes sends the records alone.
        Value::Array(records) => (records, true),
        payload => match payload.get("Records").and_then(Value::as_array) {
            Some(records) => (records, false),
            None => return Ok(None),
        },
    };
    let is_sqs = |record: &Value| match record.get("eventSource") {
        Some(source) => source == "aws:sqs",
        None => !is_bare && record.get("messageId").or(record.get("body")).is_some(),
    };
    if !records.iter().all(is_sqs) || is_bare && records.is_empty() {
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
