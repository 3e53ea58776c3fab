//! What became of each service, as JSON, as a table and in sentences.

use std::time::Duration;

use redeploy_core::report::{ChangeReport, ServiceAction, ServiceReport};
use redeploy_on_rotation::aws::denied;
use schemars::JsonSchema;
use serde::Serialize;

use crate::audit::State;
use crate::output::{
    Error, Exit, Status, column, display_name, kebab, note, print_table, status_cell, table, warn,
};
use crate::preview::reason_code;

/// The JSON form.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    pub(crate) outcome: Outcome,
    /// What changed.
    pub(crate) rotations: &'a [ChangeReport],
    pub(crate) services: Vec<Entry>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// `redeploy`: what was to be begun was begun, and nothing that was followed failed.
    Redeployed,
    /// `wait`: nothing is on an old value.
    Completed,
    /// Something failed, timed out or keeps an old value.
    Failed,
    /// Ctrl-C came.
    Interrupted,
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Redeployed | Outcome::Completed => Self::Ok,
            Outcome::Failed => Self::Error,
            Outcome::Interrupted => Self::Interrupted,
        }
    }
}

/// What became of one service.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) report: ServiceReport,
    pub(crate) rollout: Rollout,
    pub(crate) value: Value,
    /// How long it was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u64>,
    /// The ARNs of tasks with the old value that are protected from scale-in, and so outlive the
    /// rollout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protected_tasks: Vec<String>,
}

/// How far the rollout came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rollout {
    /// All tasks are of the new deployment.
    Completed,
    /// It failed or was rolled back, or could not be started or followed.
    Failed,
    /// It was not over in time.
    TimedOut,
    /// It was started and not followed to its end.
    Started,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Value {
    /// The new one.
    New,
    /// Some, or all, the old one.
    Old,
    /// The rollout is not over.
    OnTheWay,
    /// AWS cannot tell.
    Unknown,
}

impl Entry {
    pub(super) fn new(report: ServiceReport, rollout: Rollout, value: Value) -> Self {
        Self {
            report,
            rollout,
            value,
            seconds: None,
            protected_tasks: Vec::new(),
        }
    }

    /// A rollout that is over, where old tasks stay.
    pub(super) fn protected(report: ServiceReport, tasks: Vec<String>) -> Self {
        let done = Self::new(report, Rollout::Completed, Value::Old);
        Self {
            protected_tasks: tasks,
            ..done
        }
    }

    /// How long it was followed.
    pub(super) fn after(self, took: Duration) -> Self {
        let seconds = Some(took.as_secs());
        Self { seconds, ..self }
    }

    pub(super) fn timed_out(report: ServiceReport, error: String) -> Self {
        let value = match report.deployment {
            Some(_) => Value::OnTheWay,
            None => Value::Old,
        };
        let error = Some(error);
        Self::new(ServiceReport { error, ..report }, Rollout::TimedOut, value)
    }

    /// Whether it needs a person: it failed, or keeps an old value.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.rollout, Rollout::Failed | Rollout::TimedOut)
            || self.rollout == Rollout::Completed && self.value == Value::Old
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
        let (rollout, value) = match (report.action, State::from(report.reason)) {
            (ServiceAction::Redeployed, _) => (Rollout::Started, Value::OnTheWay),
            (ServiceAction::Failed, _) => (Rollout::Failed, Value::Old),
            (ServiceAction::Planned, _) => (Rollout::NotStarted, Value::Old),
            (ServiceAction::Waiting, _) => (Rollout::Waiting, Value::Old),
            (ServiceAction::Blocked, _) | (_, State::Stale) => (Rollout::Blocked, Value::Old),
            (ServiceAction::Skipped, State::Unknown) => (Rollout::NotNeeded, Value::Unknown),
            (ServiceAction::Skipped, _) => (Rollout::NotNeeded, Value::New),
        };
        Self::new(report, rollout, value)
    }
}

impl From<Rollout> for Status {
    fn from(rollout: Rollout) -> Self {
        match rollout {
            Rollout::Completed => Self::Good,
            Rollout::Failed | Rollout::TimedOut | Rollout::Blocked => Self::Bad,
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
            Value::OnTheWay | Value::Unknown => Self::Busy,
        }
    }
}

pub(crate) fn print_entries(entries: &[Entry]) -> Result<(), Error> {
    let mut rows = table([
        column::SERVICE,
        column::ROLLOUT,
        column::VALUE,
        column::REASON,
        "SECONDS",
        column::DEPLOYMENT,
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
    if rows.row_count() == 0 {
        return Ok(());
    }
    print_table(rows)
}

/// Says what went wrong, and how it ended.
pub(crate) fn say(entries: &[Entry], interrupted: bool) {
    let with = |rollout| entries.iter().filter(move |entry| entry.rollout == rollout);
    for entry in with(Rollout::Failed).chain(with(Rollout::TimedOut)) {
        let error = entry.report.error.as_deref();
        let error = error.unwrap_or("it was not redeployed");
        let name = display_name(&entry.report.service);
        let said = Error::new(format!("{name}: {error}"));
        said.allow(denied(error)).print();
    }
    for entry in entries {
        if !entry.protected_tasks.is_empty() {
            warn(&format!(
                "{}: tasks keep the old value, because they are protected from scale-in: {}",
                display_name(&entry.report.service),
                entry.protected_tasks.join(", ")
            ));
        }
    }
    let not_started = with(Rollout::NotStarted).count();
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
        note("`wait` follows what is under way");
    } else if not_started > 0 && with(Rollout::Failed).next().is_some() {
        note(&format!(
            "stopped after the failure; not started: {not_started}"
        ));
    } else if not_started > 0 && with(Rollout::TimedOut).next().is_some() {
        note(&format!(
            "stopped at the time-out; not started: {not_started}"
        ));
    }
}
