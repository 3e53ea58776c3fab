//! One invocation, from the payload to the report.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use redeploy_core::config::Config;
use redeploy_core::event::{FieldProblem, InvalidEvent, SqsRecord, Trigger, TriggerKind, parse};
use redeploy_core::report::{ErrorType, Outcome, Report};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::aws::Aws;
use crate::clock::Clock;
use crate::run::run;

/// Handles one event or request.
pub async fn handle(aws: &Aws, config: &Config, payload: &Value, clock: &Clock) -> Report {
    match parse(payload) {
        Ok(trigger) => run(aws, config, trigger, clock).await,
        Err(invalid) => invalid.into(),
    }
}

/// Handles every record of an SQS batch, and says which ones failed, by message id.
///
/// The newest change comes first: the look that shows who follows it shows that for all others, and
/// when it has settled, so have they. `done` hears of each record's report as soon as there is one.
pub async fn handle_batch(
    aws: &Aws,
    config: &Config,
    records: &[SqsRecord<'_>],
    clock: &Clock,
    mut done: impl FnMut(&Report),
) -> Vec<String> {
    let mut opened: Vec<_> = records
        .iter()
        .map(|record| (record, open(record)))
        .collect();
    opened.sort_by_key(|(record, trigger)| {
        let trigger = trigger.as_ref().ok();
        let changed_at = trigger.and_then(|trigger| trigger.intent.changed_at());
        Reverse(changed_at.or(record.sent_at))
    });
    let mut failed = BTreeMap::new();
    for (record, trigger) in opened {
        // A message that comes back asks for what it asked for when it was sent.
        let sent_at = record.sent_at.unwrap_or(clock.requested_at);
        let mut clock = *clock;
        clock.requested_at = sent_at.min(clock.requested_at);
        let report = match trigger {
            Ok(trigger) => run(aws, config, trigger, &clock).await,
            Err(report) => *report,
        };
        done(&report);
        if report.failure.is_some() {
            failed.insert(record.index, record.message_id.to_owned());
        }
    }
    failed.into_values().collect()
}

/// What a record asks for.
fn open(record: &SqsRecord<'_>) -> Result<Trigger, Box<Report>> {
    let Some(body) = record.body else {
        let field = format!("Records[{}].body", record.index);
        let invalid = InvalidEvent {
            kind: TriggerKind::Unknown,
            field,
            problem: FieldProblem::MustBe("a string"),
        };
        return Err(Box::new(invalid.into()));
    };
    let payload = read(body).map_err(Box::new)?;
    parse(&payload).map_err(|invalid| Box::new(invalid.into()))
}

/// Reads JSON.
///
/// # Errors
/// The report of a text that is no JSON and is ignored, or of JSON that cannot be read and may have been an event.
pub fn read(text: &str) -> Result<Value, Report> {
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return Err(Report::new(
            TriggerKind::Unknown,
            Outcome::Ignored,
            "the payload is not JSON",
        ));
    }
    serde_json::from_str(text).map_err(|_| {
        let reason = "the payload is JSON that is nested too deeply, or that holds a number or text that cannot be";
        Report::failed(TriggerKind::Unknown, ErrorType::InvalidEvent, reason)
    })
}
