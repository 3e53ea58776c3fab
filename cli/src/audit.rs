//! `audit`: what is on an older value of something that it reads.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use redeploy_core::event::{Intent, Trigger, TriggerKind};
use redeploy_core::plan::{Decision, Reason, plan, plan_tasks};
use redeploy_core::report::{LookupProblem, Why};
use redeploy_core::secret::Change;
use redeploy_core::service::Service;
use redeploy_on_rotation::gather::World;
use serde::Serialize;

use crate::args::{self, Audit, Format};
use crate::connection::open;
use crate::output::{Error, Exit, Tone, print, print_json, print_table, short, table, tone, word};
use crate::preview::{meaning, preview, second, why};

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
    warnings: &'a [String],
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
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) reason: Why,
    running: i32,
    /// When the tasks that count were started, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_at: Option<Timestamp>,
}

#[derive(Serialize)]
pub(crate) struct Unexamined<'a> {
    name: &'a str,
    problem: LookupProblem,
    error: &'a str,
    secrets: &'a [String],
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
            | Reason::UnsupportedController => Self::Stale,
            Reason::Unknown => Self::Unknown,
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
    fn tone(self) -> Tone {
        match self {
            Self::Stale => Tone::Bad,
            Self::Unknown => Tone::Busy,
            Self::Current => Tone::Good,
            Self::Exempt => Tone::Quiet,
        }
    }
}

pub(crate) async fn run(audit: &Audit, global: &args::Global) -> Result<Exit, Error> {
    let (desk, config) = open(global).await?;
    let preview = preview(
        &desk,
        &config,
        Trigger {
            kind: TriggerKind::Sweep,
            hint: Intent::Sweep,
        },
    )
    .await?;
    preview.say_errors();
    let Some(world) = &preview.world else {
        return Ok(Exit::Nothing);
    };
    let document = examine(world);
    match audit.output.format {
        Format::Json => print_json(&document)?,
        Format::Text => document.print(Timestamp::now())?,
    }
    Ok(if preview.report.failure.is_some() {
        Exit::Error
    } else if document.stale > 0 {
        Exit::Something
    } else {
        Exit::Nothing
    })
}

/// Holds everything that is used against everything that uses it, by the function's own decisions.
pub(crate) fn examine(world: &World) -> Document<'_> {
    let services: BTreeMap<_, _> = world
        .inventory
        .services
        .iter()
        .map(|service| (&service.arn, service))
        .collect();
    let mut secrets: Vec<_> = world
        .rotations
        .iter()
        .map(|rotation| examine_secret(rotation, world, &services))
        .collect();
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
    let mut worst = BTreeMap::new();
    let unexamined: Vec<_> = world
        .inventory
        .unexamined
        .iter()
        .map(|unexamined| Unexamined {
            name: &unexamined.name,
            problem: unexamined.problem,
            error: &unexamined.error,
            secrets: &unexamined.secrets,
        })
        .collect();
    let of_secrets = secrets
        .iter()
        .flat_map(|secret| &secret.users)
        .map(|user| (user.name.as_str(), user.state));
    for (name, state) in of_secrets.chain(
        unexamined
            .iter()
            .map(|unexamined| (unexamined.name, State::Unknown)),
    ) {
        let known = worst.entry(name).or_insert(state);
        *known = state.min(*known);
    }
    let count = |state| worst.values().filter(|known| **known == state).count();
    Document {
        stale: count(State::Stale),
        unknown: count(State::Unknown),
        current: count(State::Current),
        exempt: count(State::Exempt),
        warnings: &world.inventory.warnings,
        unexamined,
        secrets,
    }
}

fn examine_secret(
    rotation: &Change,
    world: &World,
    services: &BTreeMap<&String, &Service>,
) -> Used {
    let alone = std::slice::from_ref(rotation);
    let of_services = plan(alone, &world.inventory.services)
        .into_iter()
        .map(|decision| {
            let service = services.get(&decision.service);
            let primary = service
                .and_then(|service| service.primary())
                .map(|primary| primary.created_at);
            let oldest = service
                .and_then(|service| service.oldest_task)
                .filter(|_| decision.reason == Reason::StaleTasks);
            User {
                running: service.map_or(0, |service| service.running),
                deployed_at: oldest.or(primary),
                ..decision.into()
            }
        });
    let of_tasks = plan_tasks(alone, &world.tasks).into_iter().map(|decision| {
        let task = world.tasks.iter().find(|task| task.arn == decision.service);
        User {
            running: 1,
            deployed_at: task.map(|task| task.started_at),
            ..decision.into()
        }
    });
    let mut users: Vec<_> = of_services.chain(of_tasks).collect();
    users.sort_by(|a, b| (a.state, &a.name).cmp(&(b.state, &b.name)));
    Used {
        secret: rotation.subject.to_string(),
        label: rotation.subject.label().map(str::to_owned),
        version: rotation.version.clone(),
        changed_at: rotation.at,
        changed_not_before: rotation.not_before.filter(|bound| *bound > Timestamp::MIN),
        users,
    }
}

impl From<Decision> for User {
    fn from(decision: Decision) -> Self {
        let state = decision.reason.into();
        Self {
            name: decision.service,
            state,
            reason: Why::Planned(decision.reason),
            running: 0,
            deployed_at: None,
        }
    }
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
                0 => tone("-", Tone::Quiet),
                n => tone(&n.to_string(), state.tone()),
            };
            rows.add_row([
                secret.name().into(),
                second(secret.changed_at).into(),
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
        let mut reasons = BTreeMap::new();
        for secret in &self.secrets {
            for user in secret
                .users
                .iter()
                .filter(|user| user.state <= State::Unknown)
            {
                reasons.insert(why(user.reason), user.reason);
                rows.add_row([
                    tone(&word(&user.state), user.state.tone()),
                    short(&user.name).into(),
                    secret.name().into(),
                    age(now.duration_since(secret.changed_at)).into(),
                    why(user.reason).into(),
                    user.running.to_string().into(),
                    user.deployed_at.map(second).unwrap_or_default().into(),
                ]);
            }
        }
        if rows.row_count() > 0 {
            print_table(rows)?;
            print("")?;
        }
        print(&self.summary())?;
        let width = reasons.keys().map(String::len).max().unwrap_or_default();
        for (name, reason) in reasons {
            print(&format!("  {name:width$}  {}", meaning(reason)))?;
        }
        Ok(())
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
            None | Some("AWSCURRENT") => short(&self.secret),
            Some(label) => format!("{} ({label})", short(&self.secret)),
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
