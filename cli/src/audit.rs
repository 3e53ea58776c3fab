//! `audit`: what is on an older value of something that it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use redeploy_core::change::{Change, fresh_from};
use redeploy_core::config::Config;
use redeploy_core::decide::Decision;
use redeploy_core::facts::Facts;
use redeploy_core::plan::{Plan, Question, plan};
use redeploy_core::policy::Policy;
use redeploy_core::reason::Reason;
use redeploy_core::workload::Workload;
use redeploy_on_rotation::clock::Clock;
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::{Audit, Format};
use crate::connection::open;
use crate::names::{check, is_called};
use crate::operator::Session;
use crate::output::{
    Error, Exit, Status, column, display_name, kebab, print, print_json, print_table, status_cell,
    table,
};
use crate::preview::{Examined, SWEEP, preview, print_reasons, reason_code, to_seconds};

/// The JSON form.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    /// How many services and tasks are in each state, each once by its worst.
    stale: usize,
    rolling: usize,
    unknown: usize,
    current: usize,
    exempt: usize,
    /// What is in use, the worst first.
    pub(crate) secrets: Vec<Used>,
    /// What could not be examined.
    unexamined: Vec<Unexamined<'a>>,
    /// What was not understood, in sentences.
    warnings: Vec<&'a str>,
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
    version: Option<String>,
    /// The latest moment at which it can have changed last, UTC.
    #[schemars(with = "String")]
    pub(crate) changed_at: Timestamp,
    /// The earliest, where the moment is not known and that matters, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    changed_not_before: Option<Timestamp>,
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
    name: &'a str,
    problem: Reason,
    /// In a sentence.
    error: &'a str,
    /// What it was to be examined for.
    secrets: &'a [Arc<str>],
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
            Reason::Stale
            | Reason::StaleTasks
            | Reason::RolledBack
            | Reason::DeploymentInProgress
            | Reason::UnsupportedController
            | Reason::InactiveTaskDefinition => Self::Stale,
            Reason::Unknown | Reason::NotFound | Reason::LookupFailed => Self::Unknown,
            Reason::AlreadyFresh => Self::Current,
            Reason::NotActive
            | Reason::OptedOut
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

pub(crate) async fn run(audit: &Audit) -> Result<Exit, Error> {
    audit.output.format.write_global();
    let (session, config) = open(&audit.scope).await?;
    let mut preview = preview(&session, &config, SWEEP).await?;
    preview.say_errors();
    let clock = preview.clock;
    let Some(examined) = preview.examined.first_mut() else {
        return Ok(Exit::Ok);
    };
    check(&examined.facts, &audit.names)?;
    ask_for_tasks(&session, &config, &mut examined.facts, &clock).await;
    let now = clock.now();
    let mut document = examine(examined, &Policy::new(&config, false), now);
    if !audit.names.is_empty() {
        document.keep(|secret, name| {
            let mut names = audit.names.iter();
            names.any(|wanted| is_called(secret, wanted) || is_called(name, wanted))
        });
    }
    if let Some(age) = audit.older_than {
        document.leave_out_younger(age, now);
    }
    document.count();
    match audit.output.format {
        Format::Json => print_json(&document)?,
        Format::Text | Format::Markdown => document.print(now)?,
    }
    Ok(if preview.report.failure.is_some() {
        Exit::Error
    } else if document.stale + document.rolling > 0 {
        Exit::ActionNeeded
    } else {
        Exit::Ok
    })
}

/// Asks which tasks run where a rollout is under way, or left tasks of before, and when what they
/// read was stored: the tasks decide.
pub(crate) async fn ask_for_tasks(
    session: &Session,
    config: &Config,
    facts: &mut Facts,
    clock: &Clock,
) {
    let is_open = |workload: &Workload| {
        let mut others = workload.deployments.iter().filter(|d| !d.primary);
        !workload.followed().is_empty() && others.any(|other| other.running > 0)
    };
    let open = facts
        .workloads
        .values()
        .filter(|workload| is_open(workload));
    let unasked = open.filter(|workload| workload.tasks.is_unasked());
    let mut questions: BTreeSet<_> = unasked.map(|w| Question::Tasks(w.arn.clone())).collect();
    if facts.workloads.values().any(is_open) {
        let sources = facts.changes.values().filter(|change| {
            change.stored.is_unasked()
                && !change.moved().is_exact()
                && change.source.label().is_some()
                && facts.about(&change.source).workloads.values().any(is_open)
        });
        questions.extend(sources.map(|change| Question::VersionStored(change.source.clone())));
    }
    let answers = session.aws.answer(config, facts, questions, || clock.now());
    for answer in answers.await {
        facts.learn(answer, clock.now());
    }
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
    let mut document = Document {
        stale: 0,
        rolling: 0,
        unknown: 0,
        current: 0,
        exempt: 0,
        warnings: facts.warnings.iter().map(String::as_str).collect(),
        unexamined,
        secrets,
    };
    document.count();
    document
}

/// Decides as if this change were the only one.
fn examine_change(change: &Change, facts: &Facts, policy: &Policy, now: Timestamp) -> Used {
    let alone = facts.about(&change.source);
    let decisions = plan(&alone, policy, now).decisions.into_iter();
    let users = decisions.map(|decision| {
        let workload = alone.workloads.get(&decision.workload);
        User::new(decision, workload, change)
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
    fn new(decision: Decision, workload: Option<&Workload>, change: &Change) -> Self {
        let mut state = State::from(decision.reason);
        let mut old_tasks = None;
        if state <= State::Current {
            old_tasks = workload.and_then(|workload| OldTasks::of(workload, change));
        }
        if state == State::Current && old_tasks.is_some() {
            state = State::Rolling;
        }
        let primary = workload.and_then(Workload::primary);
        Self {
            state,
            name: decision.workload,
            reason: decision.reason,
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
        let by_task = workload.tasks.known().map(|tasks| {
            let tasks = tasks.iter();
            let tasks = tasks.map(|task| (task.created_at, &*task.started_by, 1));
            tasks.collect::<Vec<_>>()
        });
        let tasks = by_task.unwrap_or_else(|| {
            let live = workload.deployments.iter();
            let live = live.map(|d| (d.created_at, &*d.id, d.running.try_into().unwrap_or(0)));
            live.collect()
        });
        let is_old = |(created_at, _, count): &(Timestamp, &str, usize)| {
            *created_at < fresh_from && *count > 0
        };
        let old: Vec<_> = tasks.into_iter().filter(is_old).collect();
        Some(Self {
            count: old.iter().map(|(.., count)| count).sum(),
            since: old.iter().map(|(created_at, ..)| *created_at).min()?,
            started_by: old.iter().map(|(_, by, _)| (*by).to_owned()).collect(),
        })
    }
}

impl Used {
    fn count(&self, state: State) -> usize {
        self.users.iter().filter(|user| user.state == state).count()
    }
}

impl Document<'_> {
    /// Keeps what a secret or one of its users is about.
    fn keep(&mut self, is_wanted: impl Fn(&str, &str) -> bool) {
        for Used { secret, users, .. } in &mut self.secrets {
            users.retain(|user| is_wanted(secret, &user.name));
        }
        self.secrets.retain(|secret| !secret.users.is_empty());
        self.unexamined.retain(|one| {
            let mut secrets = one.secrets.iter();
            is_wanted("", one.name) || secrets.any(|secret| is_wanted(secret, ""))
        });
    }

    /// Leaves out what holds an older value for a shorter time than this.
    fn leave_out_younger(&mut self, age: SignedDuration, now: Timestamp) {
        for Used {
            changed_at, users, ..
        } in &mut self.secrets
        {
            let is_young = now.duration_since(*changed_at) < age;
            users.retain(|user| !(is_young && user.state.is_old()));
        }
    }

    /// Counts each service and task once, by its worst state.
    fn count(&mut self) {
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

    fn print(&self, now: Timestamp) -> Result<(), Error> {
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
            reasons.push(user.reason);
            let old = user.old_tasks.as_ref();
            let count = old.map(|old| format!("{} of {}", old.count, user.running));
            let started_by = old.map(|old| Vec::from_iter(old.started_by.clone()).join(", "));
            rows.add_row([
                status_cell(&kebab(&user.state), user.state.status()),
                display_name(&user.name).into(),
                secret.name().into(),
                age(now.duration_since(secret.changed_at)).into(),
                reason_code(user.reason).into(),
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
        print_reasons(reasons.into_iter())
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
            return "nothing in scope reads a secret or parameter".to_owned();
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
