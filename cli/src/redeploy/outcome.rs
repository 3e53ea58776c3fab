//! What became of each service, as JSON, as a table and in sentences.

use redeploy_core::report::{ChangeReport, ServiceAction, ServiceReport};
use redeploy_on_rotation::aws::denied;
use serde::Serialize;

use crate::output::{
    Error, Status, display_name, kebab, note, print, print_table, status_cell, table,
};
use crate::preview::reason_code;

/// The JSON form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    pub(super) outcome: &'static str,
    pub(super) rotations: &'a [ChangeReport],
    pub(super) services: Vec<Entry>,
}

/// What became of one service.
#[derive(Serialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) report: ServiceReport,
    pub(super) rollout: Rollout,
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<u64>,
}

/// How far the rollout came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rollout {
    /// All tasks are of the new deployment.
    Completed,
    /// It failed or was rolled back, or could not be started or followed.
    Failed,
    /// It was started and not followed to its end.
    Started,
    /// Another, newer deployment took its place.
    Superseded,
    /// It was not started.
    NotStarted,
    /// It cannot or must not be started.
    Blocked,
    /// It must not be started yet.
    Waiting,
    /// None is needed.
    NotNeeded,
}

/// Which value the tasks of a service have in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Value {
    /// The new one.
    New,
    /// Some, or all, the old one.
    Old,
    /// The rollout is not over.
    OnTheWay,
}

impl Entry {
    pub(super) fn new(report: ServiceReport, rollout: Rollout, value: Value) -> Self {
        Self {
            report,
            rollout,
            value,
            seconds: None,
        }
    }

    pub(super) fn failed(report: ServiceReport, error: String) -> Self {
        let report = ServiceReport {
            error: Some(error),
            ..report
        };
        Self::new(report, Rollout::Failed, Value::Old)
    }

    /// What is known of a service whose rollout was not followed, or not started.
    pub(super) fn of_untouched(report: ServiceReport) -> Self {
        let (rollout, value) = match report.action {
            ServiceAction::Redeployed => (Rollout::Started, Value::OnTheWay),
            ServiceAction::Failed => (Rollout::Failed, Value::Old),
            ServiceAction::Planned => (Rollout::NotStarted, Value::Old),
            ServiceAction::Blocked => (Rollout::Blocked, Value::Old),
            ServiceAction::Waiting => (Rollout::Waiting, Value::Old),
            ServiceAction::Skipped => (Rollout::NotNeeded, Value::New),
        };
        Self::new(report, rollout, value)
    }
}

impl From<Rollout> for Status {
    fn from(rollout: Rollout) -> Self {
        match rollout {
            Rollout::Completed | Rollout::Superseded => Self::Good,
            Rollout::Failed | Rollout::Blocked => Self::Bad,
            Rollout::Started | Rollout::NotStarted | Rollout::Waiting | Rollout::NotNeeded => {
                Self::Busy
            }
        }
    }
}

impl From<Value> for Status {
    fn from(value: Value) -> Self {
        match value {
            Value::New => Self::Good,
            Value::Old => Self::Bad,
            Value::OnTheWay => Self::Busy,
        }
    }
}

pub(super) fn print_entries(entries: &[Entry]) -> Result<(), Error> {
    let mut rows = table([
        "SERVICE",
        "ROLLOUT",
        "VALUE",
        "REASON",
        "SECONDS",
        "DEPLOYMENT",
    ]);
    let needed = |entry: &&Entry| entry.rollout != Rollout::NotNeeded;
    for entry in entries.iter().filter(needed) {
        let seconds = entry.seconds.map(|seconds| seconds.to_string());
        rows.add_row([
            display_name(&entry.report.service).into(),
            status_cell(&kebab(&entry.rollout), entry.rollout.into()),
            status_cell(&kebab(&entry.value), entry.value.into()),
            reason_code(entry.report.reason).into(),
            seconds.unwrap_or_default().into(),
            entry.report.deployment.clone().unwrap_or_default().into(),
        ]);
    }
    print("")?;
    print_table(rows)
}

/// Says what went wrong, and how it ended.
pub(super) fn say(entries: &[Entry], interrupted: bool) {
    let with = |rollout| entries.iter().filter(move |entry| entry.rollout == rollout);
    for entry in with(Rollout::Failed) {
        let error = entry.report.error.as_deref();
        let error = error.unwrap_or("it was not redeployed");
        let name = display_name(&entry.report.service);
        let said = Error::new(format!("{name}: {error}"));
        said.allow(denied(error)).print();
    }
    let is_planned = |entry: &&Entry| entry.report.action == ServiceAction::Planned;
    let not_started = entries.iter().filter(is_planned).count();
    if interrupted {
        let started = with(Rollout::Started).map(|entry| display_name(&entry.report.service));
        let started = started.collect::<Vec<_>>().join(", ");
        let started = if started.is_empty() {
            "nothing"
        } else {
            &started
        };
        note(&format!(
            "interrupted; started and still under way: {started}; not started: {not_started}"
        ));
    } else if not_started > 0 && with(Rollout::Failed).next().is_some() {
        note(&format!(
            "stopped after the failure; not started: {not_started}"
        ));
    }
}
