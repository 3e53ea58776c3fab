//! What an audit found, as JSON and as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use redeploy_core::change::{Change, fresh_from};
use redeploy_core::decide::Decision;
use redeploy_core::reason::Reason;
use redeploy_core::workload::Workload;
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{
    Error, Status, column, display_name, kebab, print, print_item, print_meaning, print_table,
    status_cell, table,
};
use crate::preview::{print_reasons, reason_code, to_seconds};

/// The JSON form.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    /// How many services and tasks are in each state, each once by its worst.
    pub(super) stale: usize,
    pub(super) rolling: usize,
    pub(super) unknown: usize,
    pub(super) current: usize,
    pub(super) exempt: usize,
    /// What is in use, the worst first.
    pub(crate) secrets: Vec<Used>,
    /// What could not be examined.
    pub(super) unexamined: Vec<Unexamined<'a>>,
    /// What was not understood, in sentences.
    pub(super) warnings: Vec<&'a str>,
}

/// A secret or parameter in use.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Used {
    /// Its ARN.
    pub(crate) secret: String,
    /// The label that is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    /// The version that carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    /// The latest moment at which it can have changed last, UTC.
    #[schemars(with = "String")]
    pub(crate) changed_at: Timestamp,
    /// The earliest, where the moment is not known and that matters, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(super) changed_not_before: Option<Timestamp>,
    pub(crate) users: Vec<User>,
}

/// A service that uses it, or a task outside services.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    /// Its ARN.
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    pub(crate) reason: Reason,
    /// How many of its tasks run.
    running: i32,
    /// Those of them that hold an older value.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_tasks: Option<OldTasks>,
    /// When its newest deployment was created, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    deployed_at: Option<Timestamp>,
}

/// Tasks that hold an older value.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OldTasks {
    count: usize,
    /// When the oldest of them, or its deployment, was created, UTC.
    #[schemars(with = "String")]
    since: Timestamp,
    /// The deployments that they are of, or who started them.
    started_by: BTreeSet<String>,
}

/// A service or cluster that could not be examined.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Unexamined<'a> {
    pub(super) name: &'a str,
    pub(super) problem: Reason,
    /// In a sentence.
    pub(super) error: &'a str,
    /// What it was to be examined for.
    pub(super) secrets: &'a [Arc<str>],
}

/// How something stands to the value, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// On an older value.
    Stale,
    /// Deployed since the change, and tasks from before it still run.
    Rolling,
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
            Reason::Unknown | Reason::NotFound | Reason::LookupFailed => Self::Unknown,
            Reason::AlreadyFresh => Self::Current,
            reason if reason.is_exempt() => Self::Exempt,
            // Whatever keeps it from being redeployed.
            _ => Self::Stale,
        }
    }
}

impl State {
    fn status(self) -> Status {
        match self {
            Self::Stale => Status::Bad,
            Self::Rolling | Self::Unknown => Status::Busy,
            Self::Current => Status::Good,
            Self::Exempt => Status::Quiet,
        }
    }

    /// Whether tasks hold an older value.
    fn is_old(self) -> bool {
        self <= Self::Rolling
    }
}

impl User {
    pub(super) fn new(decision: Decision, workload: Option<&Workload>, change: &Change) -> Self {
        let mut state = State::from(decision.reason);
        let mut old_tasks = None;
        if state <= State::Current {
            old_tasks = workload.and_then(|workload| OldTasks::of(workload, change));
        }
        let mut reason = decision.reason;
        if state == State::Current && old_tasks.is_some() {
            state = State::Rolling;
        } else if state == State::Current && workload.is_some_and(|w| may_be_old(w, change)) {
            (state, reason) = (State::Unknown, Reason::Unknown);
        }
        let primary = workload.and_then(Workload::primary);
        Self {
            state,
            name: decision.workload,
            reason,
            running: workload.map_or(0, |workload| workload.running),
            old_tasks: old_tasks.filter(|_| state.is_old()),
            deployed_at: primary.map(|primary| primary.created_at),
        }
    }
}

impl OldTasks {
    /// The tasks that certainly started before a change: by themselves where they were asked about,
    /// else by their deployments.
    fn of(workload: &Workload, change: &Change) -> Option<Self> {
        let fresh_from = fresh_from(change.moved().not_before);
        let mut old = running(workload);
        old.retain(|(created_at, ..)| *created_at < fresh_from);
        Some(Self {
            count: old.iter().map(|(.., count)| count).sum(),
            since: old.iter().map(|(created_at, ..)| *created_at).min()?,
            started_by: old.iter().map(|(_, by, _)| (*by).to_owned()).collect(),
        })
    }
}

/// The tasks of a workload, by themselves where they were asked about, else by their deployments: when
/// they were created, of what, and how many.
fn running(workload: &Workload) -> Vec<(Timestamp, &str, usize)> {
    let tasks = workload.tasks.known().into_iter().flatten();
    let tasks = tasks.map(|task| (task.created_at, &*task.started_by, 1));
    let live = workload.deployments.iter();
    let live = live.map(|d| (d.created_at, &*d.id, d.running.try_into().unwrap_or(0)));
    let live = live.filter(|(.., count)| *count > 0 && workload.tasks.known().is_none());
    tasks.chain(live).collect()
}

/// Whether tasks of an earlier deployment started at about the time of a change.
fn may_be_old(workload: &Workload, change: &Change) -> bool {
    let primary = workload.primary().map(|primary| &*primary.id);
    let fresh_from = change.moved().fresh_from();
    let mut running = running(workload).into_iter();
    running.any(|(created_at, by, _)| Some(by) != primary && created_at < fresh_from)
}

impl Used {
    pub(super) fn count(&self, state: State) -> usize {
        self.users.iter().filter(|user| user.state == state).count()
    }
}

impl Document<'_> {
    /// Keeps what a secret or one of its users is about.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&str, &str) -> bool) {
        for Used { secret, users, .. } in &mut self.secrets {
            users.retain(|user| is_wanted(secret, &user.name));
        }
        self.secrets.retain(|secret| !secret.users.is_empty());
        self.unexamined.retain(|one| {
            let mut secrets = one.secrets.iter();
            is_wanted("", one.name) || secrets.any(|secret| is_wanted(secret, ""))
        });
    }

    /// Leaves out what cannot have held an older value for this long.
    pub(super) fn leave_out_younger(&mut self, age: SignedDuration, now: Timestamp) {
        for Used {
            changed_at,
            changed_not_before,
            users,
            ..
        } in &mut self.secrets
        {
            let is_young = now.duration_since(changed_not_before.unwrap_or(*changed_at)) < age;
            users.retain(|user| !(is_young && user.state.is_old()));
        }
    }

    /// Counts each service and task once, by its worst state.
    pub(super) fn count(&mut self) {
        let users = self.secrets.iter().flat_map(|secret| &secret.users);
        let known = users.map(|user| (&*user.name, user.state));
        let unknown = self.unexamined.iter().map(|one| (one.name, State::Unknown));
        let mut worst = BTreeMap::new();
        for (name, state) in known.chain(unknown) {
            let known = worst.entry(name).or_insert(state);
            *known = state.min(*known);
        }
        let count = |state| worst.values().filter(|known| **known == state).count();
        let counts = [
            State::Stale,
            State::Rolling,
            State::Unknown,
            State::Current,
            State::Exempt,
        ]
        .map(count);
        [
            self.stale,
            self.rolling,
            self.unknown,
            self.current,
            self.exempt,
        ] = counts;
    }

    pub(super) fn print(&self, now: Timestamp) -> Result<(), Error> {
        let mut rows = table([
            column::SECRET,
            "LAST CHANGED",
            "STALE",
            "ROLLING",
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
                count(State::Rolling),
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
            column::SERVICE,
            column::SECRET,
            "FOR",
            column::REASON,
            "OLD TASKS",
            "SINCE",
            "STARTED BY",
        ]);
        let mut reasons = Vec::new();
        let users = self.secrets.iter().flat_map(|secret| {
            let users = secret.users.iter();
            users.map(move |user| (secret, user))
        });
        for (secret, user) in users.filter(|(_, user)| user.state <= State::Unknown) {
            // To the planner, one that is rolling is fresh already.
            let reason = match user.state {
                State::Rolling => String::new(),
                _ => reason_code(user.reason),
            };
            reasons.extend((user.state != State::Rolling).then_some(user.reason));
            let old = user.old_tasks.as_ref();
            let count = old.map(|old| format!("{} of {}", old.count, user.running));
            let started_by = old.map(|old| Vec::from_iter(old.started_by.clone()).join(", "));
            rows.add_row([
                status_cell(&kebab(&user.state), user.state.status()),
                display_name(&user.name).into(),
                secret.name().into(),
                age(now.duration_since(secret.changed_at)).into(),
                reason.into(),
                count.unwrap_or_default().into(),
                old.map(|old| to_seconds(old.since))
                    .unwrap_or_default()
                    .into(),
                started_by.unwrap_or_default().into(),
            ]);
        }
        if rows.row_count() > 0 {
            print_table(rows)?;
            print("")?;
        }
        print(&self.summary())?;
        if self.rolling > 0 {
            let meaning = "deployed since the change, and tasks from before still run";
            print_meaning("rolling", "rolling".len(), meaning)?;
        }
        print_reasons(reasons.into_iter())
    }

    /// Prints what could not be examined; a person on a terminal has heard of it on stderr.
    pub(super) fn print_unexamined(&self) -> Result<(), Error> {
        let mut unexamined = self.unexamined.iter();
        unexamined.try_for_each(|one| {
            print_item(&format!(
                "{} was not examined: {}",
                display_name(one.name),
                one.error
            ))
        })
    }

    fn summary(&self) -> String {
        let Self {
            stale,
            rolling,
            unknown,
            current,
            exempt,
            ..
        } = self;
        let secrets = self.secrets.len();
        if secrets == 0 && *unknown == 0 {
            return "nothing in scope that takes part reads a secret or parameter, or what was named".to_owned();
        }
        format!(
            "{secrets} secrets and parameters in use; services and tasks: \
             {stale} stale, {rolling} rolling, {unknown} unknown, {current} current, {exempt} exempt"
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
