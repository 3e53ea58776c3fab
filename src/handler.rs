//! One invocation, from the payload to the report.

use redeploy_core::config::Config;
use redeploy_core::event::{FieldProblem, InvalidEvent, SqsRecord, TriggerKind, parse};
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
/// `done` hears of each record's report as soon as there is one.
pub async fn handle_batch(
    aws: &Aws,
    config: &Config,
    records: &[SqsRecord<'_>],
    clock: &Clock,
    mut done: impl FnMut(&Report),
) -> Vec<String> {
    let mut failed = Vec::new();
    for record in records {
        let report = match record.body.map(read) {
            Some(Ok(payload)) => {
                // A message that comes back asks for what it asked for when it was sent.
                let mut clock = *clock;
                clock.requested_at = record
                    .sent_at
                    .unwrap_or(clock.requested_at)
                    .min(clock.requested_at);
                handle(aws, config, &payload, &clock).await
            }
            Some(Err(report)) => report,
            None => {
                let field = format!("Records[{}].body", record.index);
                InvalidEvent {
                    kind: TriggerKind::Unknown,
                    field,
                    problem: FieldProblem::MustBe("a string"),
                }
                .into()
            }
        };
        done(&report);
        if report.failure.is_some() {
            failed.push(record.message_id.to_owned());
        }
    }
    failed
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
