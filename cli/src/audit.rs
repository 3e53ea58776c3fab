//! `audit`: what is on an older value of something that it reads.

use std::collections::BTreeMap;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use redeploy_core::change::Change;
use redeploy_core::decide::Decision;
use redeploy_core::facts::Facts;
use redeploy_core::plan::{Plan, plan};
use redeploy_core::policy::Policy;
use redeploy_core::reason::Reason;
use redeploy_core::workload::{Task, Workload};
use serde::Serialize;

use crate::args::{self, Audit, Format};
use crate::connection::open;
use crate::output::{
    Error, Exit, Status, display_name, kebab, print, print_json, print_table, status_cell, table,
};
use crate::preview::{Examined, SWEEP, preview, print_reasons, reason_code, to_seconds};

/// The JSON form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    /// How many services and tasks are in each state, each once by its worst.
    stale: usize,
    unknown: usize,
    current: usize,
    exempt: usize,
    pub(crate) secrets: Vec<Used>,
    /// What could not be examined.
    unexamined: Vec<Unexamined<'a>>,
    warnings: Vec<&'a str>,
}

/// A secret or parameter in use.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Used {
    pub(crate) secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The latest moment at which it can have changed last.
    pub(crate) changed_at: Timestamp,
    /// The earliest, where the moment is not known and that matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_not_before: Option<Timestamp>,
    pub(crate) users: Vec<User>,
}

/// A service that uses it, or a task outside services.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    pub(crate) reason: Reason,
    running: i32,
    /// When the tasks that count were started, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_at: Option<Timestamp>,
}

#[derive(Serialize)]
pub(crate) struct Unexamined<'a> {
    name: &'a str,
    problem: Reason,
    error: &'a str,
    secrets: &'a [Arc<str>],
}

/// How something stands to the value, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// On an older value.
    Stale,
    /// AWS cannot tell.
    Unknown,
    /// On the current value.
    Current,
    /// Needs no new value, or wants none.
    Exempt,
}

impl From<Reason> for State {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Stale
            | Reason::StaleTasks
            | Reason::RolledBack
            | Reason::DeploymentInProgress
            | Reason::TooOld
            | Reason::NotifyOnly
            | Reason::Halted
            | Reason::WaitingForFirst
            | Reason::MaxInFlight
            | Reason::ChangeFreeze
            | Reason::ImageMoved
            | Reason::ImageGone
            | Reason::UnsupportedController
            | Reason::InactiveTaskDefinition => Self::Stale,
            Reason::Unknown | Reason::NotFound | Reason::LookupFailed => Self::Unknown,
            Reason::AlreadyFresh => Self::Current,
            Reason::NotActive
            | Reason::OptedOut
            | Reason::NotOptedIn
            | Reason::SecretIgnored
            | Reason::PinnedVersion
            | Reason::ImagePullOnly
            | Reason::NothingRunning => Self::Exempt,
        }
    }
}

impl State {
    fn status(self) -> Status {
        match self {
            Self::Stale => Status::Bad,
            Self::Unknown => Status::Busy,
            Self::Current => Status::Good,
            Self::Exempt => Status::Quiet,
        }
    }
}

pub(crate) async fn run(audit: &Audit, global: &args::Global) -> Result<Exit, Error> {
    let (session, config) = open(global).await?;
    let preview = preview(&session, &config, SWEEP).await?;
    preview.say_errors();
    let Some(examined) = preview.examined.first() else {
        return Ok(Exit::Ok);
    };
    let now = preview.clock.now();
    let document = examine(examined, &Policy::new(&config, false), now);
    match audit.output.format {
        Format::Json => print_json(&document)?,
        Format::Text => document.print(now)?,
    }
    Ok(if preview.report.failure.is_some() {
        Exit::Error
    } else if document.stale > 0 {
        Exit::ActionNeeded
    } else {
        Exit::Ok
    })
}

/// Holds everything that is used against everything that uses it, by the function's own decisions.
pub(crate) fn examine<'a>(
    Examined {
        facts,
        plan: Plan { decisions, .. },
    }: &'a Examined,
    policy: &Policy,
    now: Timestamp,
) -> Document<'a> {
    let changes = facts.changes.values();
    let secrets = changes.map(|change| examine_change(change, facts, policy, now));
    let mut secrets: Vec<_> = secrets.collect();
    secrets.sort_by_cached_key(|secret| {
        let stale = secret.count(State::Stale);
        let worst = secret.users.iter().map(|user| user.state).min();
        (
            worst.unwrap_or(State::Exempt),
            std::cmp::Reverse(stale),
            secret.changed_at,
            secret.secret.clone(),
        )
    });
    let unexamined = decisions.iter().filter_map(|decision| {
        Some(Unexamined {
            name: &decision.workload,
            problem: decision.reason,
            error: decision.error.as_deref()?,
            secrets: &decision.sources,
        })
    });
    let unexamined: Vec<_> = unexamined.collect();
    let users = secrets.iter().flat_map(|secret| &secret.users);
    let known = users.map(|user| (&*user.name, user.state));
    let unknown = unexamined.iter().map(|one| (one.name, State::Unknown));
    let mut worst = BTreeMap::new();
    for (name, state) in known.chain(unknown) {
        let known = worst.entry(name).or_insert(state);
        *known = state.min(*known);
    }
    let count = |state| worst.values().filter(|known| **known == state).count();
    Document {
        stale: count(State::Stale),
        unknown: count(State::Unknown),
        current: count(State::Current),
        exempt: count(State::Exempt),
        warnings: facts.warnings.iter().map(String::as_str).collect(),
        unexamined,
        secrets,
    }
}

/// Decides as if this change were the only one.
fn examine_change(change: &Change, facts: &Facts, policy: &Policy, now: Timestamp) -> Used {
    let alone = facts.about(&change.source);
    let decisions = plan(&alone, policy, now).decisions.into_iter();
    let users = decisions.map(|decision| {
        let workload = alone.workloads.get(&decision.workload);
        User::new(decision, workload)
    });
    let mut users: Vec<_> = users.collect();
    users.sort_by(|a, b| (a.state, &a.name).cmp(&(b.state, &b.name)));
    let moved = change.moved();
    let is_bounded = !moved.is_exact() && moved.not_before > Timestamp::MIN;
    Used {
        secret: change.source.to_string(),
        label: change.source.label().map(str::to_owned),
        version: change.version.clone(),
        changed_at: moved.not_after,
        changed_not_before: is_bounded.then_some(moved.not_before),
        users,
    }
}

impl User {
    fn new(decision: Decision, workload: Option<&Workload>) -> Self {
        let lingering = workload.filter(|_| decision.reason == Reason::StaleTasks);
        let deployed_at = lingering.and_then(oldest_lingering_task).or_else(|| {
            let primary = workload.and_then(Workload::primary);
            primary.map(|primary| primary.created_at)
        });
        Self {
            name: decision.workload,
            state: decision.reason.into(),
            reason: decision.reason,
            running: workload.map_or(0, |workload| workload.running),
            deployed_at,
        }
    }
}

/// When the oldest task was created that is not of the PRIMARY deployment.
fn oldest_lingering_task(workload: &Workload) -> Option<Timestamp> {
    let primary = workload.primary().map(|primary| primary.id.as_str());
    let tasks = workload.tasks.known().into_iter().flatten();
    let lingering = tasks.filter(|task| Some(task.started_by.as_str()) != primary);
    lingering.map(|Task { created_at, .. }| *created_at).min()
}

impl Used {
    fn count(&self, state: State) -> usize {
        self.users.iter().filter(|user| user.state == state).count()
    }
}

impl Document<'_> {
    fn print(&self, now: Timestamp) -> Result<(), Error> {
        let mut rows = table([
            "SECRET",
            "LAST CHANGED",
            "STALE",
            "UNKNOWN",
            "CURRENT",
            "EXEMPT",
        ]);
        for secret in &self.secrets {
            let count = |state| match secret.count(state) {
                0 => status_cell("-", Status::Quiet),
                n => status_cell(&n.to_string(), state.status()),
            };
            rows.add_row([
                secret.name().into(),
                to_seconds(secret.changed_at).into(),
                count(State::Stale),
                count(State::Unknown),
                count(State::Current),
                secret.count(State::Exempt).to_string().into(),
            ]);
        }
        if !self.secrets.is_empty() {
            print_table(rows)?;
            print("")?;
        }
        let mut rows = table([
            "STATE",
            "SERVICE OR TASK",
            "SECRET",
            "FOR",
            "REASON",
            "TASKS",
            "DEPLOYED",
        ]);
        let mut reasons = Vec::new();
        for secret in &self.secrets {
            for user in secret
                .users
                .iter()
                .filter(|user| user.state <= State::Unknown)
            {
                reasons.push(user.reason);
                rows.add_row([
                    status_cell(&kebab(&user.state), user.state.status()),
                    display_name(&user.name).into(),
                    secret.name().into(),
                    age(now.duration_since(secret.changed_at)).into(),
                    reason_code(user.reason).into(),
                    user.running.to_string().into(),
                    user.deployed_at.map(to_seconds).unwrap_or_default().into(),
                ]);
            }
        }
        if rows.row_count() > 0 {
            print_table(rows)?;
            print("")?;
        }
        print(&self.summary())?;
        print_reasons(reasons.into_iter())
    }

    fn summary(&self) -> String {
        let Self {
            stale,
            unknown,
            current,
            exempt,
            ..
        } = self;
        let secrets = self.secrets.len();
        if secrets == 0 && *unknown == 0 {
            return "nothing in scope reads a secret or parameter".to_owned();
        }
        format!(
            "{secrets} secrets and parameters in use; services and tasks: \
             {stale} stale, {unknown} unknown, {current} current, {exempt} exempt"
        )
    }
}

impl Used {
    /// The name, with the label where that is not the usual one.
    pub(crate) fn name(&self) -> String {
        match self.label.as_deref() {
            None | Some("AWSCURRENT") => display_name(&self.secret),
            Some(label) => format!("{} ({label})", display_name(&self.secret)),
        }
    }
}

/// A span of time in its largest unit.
fn age(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}
