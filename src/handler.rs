//! One invocation, from the payload to the report.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::act::{Actor, left};
use crate::aws::Aws;
use crate::clock::Clock;
use crate::gather::gather;
use redeploy_core::config::Config;
use redeploy_core::event::{self, FieldProblem, Intent, InvalidEvent, TriggerKind};
use redeploy_core::report::{ErrorType, Outcome, Report};

/// Handles one event or request: parse, gather, plan, act, report.
pub async fn handle(aws: &Aws, config: &Config, payload: &Value, clock: &Clock) -> Report {
    let trigger = match event::parse(payload) {
        Ok(trigger) => trigger,
        Err(invalid) => return invalid.into(),
    };
    let kind = trigger.kind;
    let dry_run = config.dry_run || matches!(trigger.hint, Intent::Request { dry_run: true, .. });
    let mut world = match gather(aws, config, trigger, dry_run, clock).await {
        Ok(world) => world,
        Err(report) => return report,
    };
    let (rotations, warnings) = (
        world.rotations.clone(),
        std::mem::take(&mut world.inventory.warnings),
    );
    let services = Actor {
        aws,
        config,
        clock,
        dry_run,
    }
    .act(world)
    .await;
    let left = left(&services);
    let report = Report::of_services(kind, &rotations, services, warnings);
    if left == 0 {
        return report;
    }
    let reason = format!(
        "{}; {left} of these are left for the next attempt",
        report.reason
    );
    Report {
        reason,
        failure: Some(ErrorType::TimeLeft),
        ..report
    }
}

/// Handles every record of an SQS batch, and says which ones failed, by message id.
///
/// `done` hears of each record's report as soon as there is one.
pub async fn handle_batch(
    aws: &Aws,
    config: &Config,
    records: &[event::SqsRecord<'_>],
    clock: &Clock,
    mut done: impl FnMut(&Report),
) -> Vec<String> {
    let mut failed = Vec::new();
    for record in records {
        let report = match record.body.map(read) {
            Some(Ok(payload)) => {
                // A message that comes back asks for what it asked for when it was sent.
                let mut clock = *clock;
                clock.asked_at = record.sent_at.unwrap_or(clock.asked_at).min(clock.asked_at);
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
