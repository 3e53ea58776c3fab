//! `redeploy`: shows the plan, asks, acts, and follows what it started.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::desk::{Desk, Rolling, Stage};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{HumanDuration, MultiProgress, ProgressBar};
use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::event::{Intent, Trigger, TriggerKind};
use redeploy_core::plan::{Action, Decision, Reason, plan};
use redeploy_core::report::{ChangeReport, ServiceAction, ServiceReport, Why};
use redeploy_core::service::Service;
use redeploy_on_rotation::act::Actor;
use redeploy_on_rotation::aws::{READ_LAG, denied};
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::gather::{World, gather, settled_from};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::args::{self, Format, Redeploy};
use crate::connection::open;
use crate::output::{
    Error, Exit, Tone, note, print, print_json, print_table, short, spinner, table, tone, word,
};
use crate::preview::{self, Preview, preview};
use crate::{plan as planning, preview::why};

/// How often a rollout is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The JSON form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    outcome: &'static str,
    rotations: &'a [ChangeReport],
    services: Vec<Entry>,
}

/// What became of one service.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    report: ServiceReport,
    rollout: Rollout,
    value: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

/// How far the rollout came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Rollout {
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
    /// None is needed.
    NotNeeded,
}

/// Which value the tasks of a service have in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Value {
    /// The new one.
    New,
    /// Some, or all, the old one.
    Old,
    /// The rollout is not over.
    OnTheWay,
}

pub(crate) async fn run(redeploy: &Redeploy, global: &args::Global) -> Result<Exit, Error> {
    let (desk, config) = open(global).await?;
    let preview = if let Some(secret) = &redeploy.secret {
        planning::of_secret(&desk, &config, secret).await?
    } else if redeploy.stale {
        preview(
            &desk,
            &config,
            Trigger {
                kind: TriggerKind::Sweep,
                hint: Intent::Sweep,
            },
        )
        .await?
    } else {
        of_services(&desk, &config, &redeploy.service).await?
    };
    let is_text = redeploy.output.format == Format::Text;
    if is_text {
        preview.print()?;
    }
    preview.say_errors();
    let planned = preview.count(ServiceAction::Planned);
    let Some(world) = preview
        .world
        .as_ref()
        .filter(|_| planned > 0 && !redeploy.dry_run && !config.dry_run)
    else {
        if !is_text {
            print_json(&preview.json())?;
        }
        let is_dry = redeploy.dry_run || config.dry_run;
        return Ok(if is_dry || preview.report.failure.is_some() {
            planning::exit(&preview)
        } else {
            Exit::Nothing
        });
    };
    if !redeploy.yes {
        confirm(planned, &desk)?;
    }
    settle(&config, world).await;
    let clock = Clock::new(Timestamp::now(), None);
    let actor = Actor {
        aws: &desk.aws,
        config: &config,
        clock: &clock,
        dry_run: false,
    };
    let run = Run {
        actor,
        desk: &desk,
        world,
        wait: redeploy.wait,
        lines: MultiProgress::new(),
    };
    let (mut entries, interrupted) = run.all(&preview, redeploy.max_in_flight).await;
    entries.sort_by(|a, b| {
        (a.report.action, &a.report.service).cmp(&(b.report.action, &b.report.service))
    });
    let failed = preview.report.failure.is_some()
        || entries.iter().any(|entry| entry.rollout == Rollout::Failed);
    let (outcome, exit) = match (interrupted, failed) {
        (true, _) => ("interrupted", Exit::Interrupted),
        (false, true) => ("failed", Exit::Error),
        (false, false) => ("redeployed", Exit::Nothing),
    };
    if is_text {
        print_entries(&entries)?;
    }
    say(&entries, interrupted);
    if !is_text {
        print_json(&Document {
            outcome,
            rotations: &preview.report.rotations,
            services: entries,
        })?;
    }
    Ok(exit)
}

/// The plan for these services: as if everything that they read had changed now.
async fn of_services(desk: &Desk, config: &Config, names: &[String]) -> Result<Preview, Error> {
    let waiting = spinner("reading the services and what they use");
    let now = Timestamp::now();
    let clock = Clock::new(now, None);
    let mut all: Option<World> = None;
    for name in names.iter().collect::<BTreeSet<_>>() {
        let (cluster, service) = name
            .split_once('/')
            .filter(|(cluster, service)| !cluster.is_empty() && !service.is_empty())
            .ok_or_else(|| Error::new(format!("{name:?} is not of the form CLUSTER/SERVICE")))?;
        let arn = crate::desk::service_arn(&desk.aws, cluster, service).await;
        let arn =
            arn.map_err(|error| Error::new(error.to_string()).allow(denied(&error.to_string())))?;
        let arn = arn.ok_or_else(|| {
            Error::new(format!(
                "there is no service {service:?} in the cluster {cluster:?} in {}",
                desk.region
            ))
        })?;
        let trigger = Trigger {
            kind: TriggerKind::Request,
            hint: Intent::Service { arn },
        };
        let world = gather(&desk.aws, config, trigger, true, &clock)
            .await
            .map_err(|report| preview::explain(&report))?;
        if world.rotations.is_empty() && world.inventory.unexamined.is_empty() {
            return Err(Error::new(format!(
                "{name} reads no secret or parameter that could have changed"
            ))
            .hint("to redeploy it all the same: aws ecs update-service --force-new-deployment"));
        }
        match &mut all {
            None => all = Some(world),
            Some(all) => {
                all.rotations.extend(world.rotations);
                all.inventory.services.extend(world.inventory.services);
                all.inventory.details.extend(world.inventory.details);
                all.inventory.unexamined.extend(world.inventory.unexamined);
                all.inventory.warnings.extend(world.inventory.warnings);
            }
        }
    }
    let mut world = all.ok_or_else(|| Error::new("no service is named"))?;
    world.rotations.sort_by(|a, b| a.subject.cmp(&b.subject));
    world.rotations.dedup_by(|a, b| a.subject == b.subject);
    for rotation in &mut world.rotations {
        (rotation.at, rotation.not_before) = (now, None);
    }
    // What became of earlier deployments does not matter to a change that happens now.
    world
        .inventory
        .services
        .iter_mut()
        .for_each(|service| service.history = None);
    let preview = preview::of_world(desk, config, TriggerKind::Request, world, &clock).await;
    waiting.finish_and_clear();
    preview
}

/// Asks on the terminal; where there is none, nobody can say yes.
fn confirm(planned: usize, desk: &Desk) -> Result<(), Error> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(
            Error::new("there is no terminal to ask on, so nothing was changed")
                .hint("--yes goes on without asking"),
        );
    }
    let services = if planned == 1 {
        "1 service".to_owned()
    } else {
        format!("{planned} services")
    };
    let mut stderr = anstream::stderr();
    write!(
        stderr,
        "\nRedeploy {services} in {} of account {}? [y/N] ",
        desk.region, desk.account
    )?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new("nothing was changed")),
    }
}

/// Waits as the function does: what is started must certainly read the new value.
async fn settle(config: &Config, world: &World) {
    let stale = plan(&world.rotations, &world.inventory.services);
    let stale = stale
        .iter()
        .filter(|decision| decision.reason.action() == Action::Redeploy);
    let Some(at) = stale.map(|decision| decision.at).max() else {
        return;
    };
    let wait = settled_from(at, config.settle).duration_since(Timestamp::now());
    if let Ok(wait) = Duration::try_from(wait)
        && !wait.is_zero()
    {
        let waiting = spinner("waiting until the change has settled");
        sleep(wait).await;
        waiting.finish_and_clear();
    }
}

/// One run of the command, after the yes.
struct Run<'a> {
    actor: Actor<'a>,
    desk: &'a Desk,
    world: &'a World,
    wait: bool,
    lines: MultiProgress,
}

impl Run<'_> {
    /// Redeploys what is planned, a few at a time; gives what became of each service, and whether Ctrl-C came.
    async fn all(&self, preview: &Preview, max_in_flight: u16) -> (Vec<Entry>, bool) {
        let mut reports: BTreeMap<_, _> = preview
            .report
            .services
            .iter()
            .map(|report| (report.service.clone(), report.clone()))
            .collect();
        let is_planned = |decision: &Decision| {
            reports
                .get(&decision.service)
                .is_some_and(|report| report.action == ServiceAction::Planned)
        };
        let mut decisions = plan(&self.world.rotations, &self.world.inventory.services);
        decisions.retain(is_planned);
        let total = decisions.len();
        let mut queue = decisions.into_iter();
        let (stop, stopped) = watch::channel(false);
        let mut under_way = FuturesUnordered::new();
        let mut entries = Vec::new();
        let (mut interrupted, mut failed) = (false, false);
        let all = self.lines.add(spinner("redeploying"));
        loop {
            while !interrupted && !failed && under_way.len() < usize::from(max_in_flight) {
                let Some(decision) = queue.next() else { break };
                under_way.push(self.one(decision, stopped.clone()));
            }
            all.set_message(format!(
                "{} of {total} done, {} under way",
                entries.len(),
                under_way.len()
            ));
            tokio::select! {
                entry = under_way.next() => match entry {
                    Some(entry) => {
                        failed |= entry.rollout == Rollout::Failed;
                        reports.remove(&entry.report.service);
                        entries.push(entry);
                    }
                    None => break,
                },
                _ = tokio::signal::ctrl_c() => {
                    // The second time, nothing is waited for.
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    stop.send_replace(true);
                }
            }
        }
        all.finish_and_clear();
        entries.extend(reports.into_values().map(Entry::of_untouched));
        (entries, interrupted)
    }

    /// Redeploys one service by the function's own means, and follows the rollout if that is wanted.
    async fn one(&self, decision: Decision, stopped: watch::Receiver<bool>) -> Entry {
        let began = Instant::now();
        let started_at = Timestamp::now();
        let services = &self.world.inventory.services;
        let line = self
            .lines
            .add(spinner(&format!("{}: starting", short(&decision.service))));
        let entry = match services
            .iter()
            .find(|service| service.arn == decision.service)
        {
            None => Entry::of_untouched(planned(decision)),
            Some(service) => {
                let read = self.world.read;
                let report = self
                    .actor
                    .carry_out(&self.world.rotations, service, decision, read)
                    .await;
                match (report.action, self.wait) {
                    (ServiceAction::Redeployed, true) => {
                        self.follow(service, report, started_at, &line, stopped)
                            .await
                    }
                    _ => Entry::of_untouched(report),
                }
            }
        };
        line.finish_and_clear();
        let seconds = matches!(entry.report.action, ServiceAction::Redeployed)
            .then(|| began.elapsed().as_secs());
        if self.wait {
            let took = HumanDuration(began.elapsed());
            let _ = self.lines.println(format!(
                "{}: {} after {took}",
                short(&entry.report.service),
                word(&entry.rollout)
            ));
        }
        Entry { seconds, ..entry }
    }

    /// Looks at a rollout until it is over.
    async fn follow(
        &self,
        service: &Service,
        report: ServiceReport,
        started_at: Timestamp,
        line: &ProgressBar,
        mut stopped: watch::Receiver<bool>,
    ) -> Entry {
        let deployment = report.deployment.clone().unwrap_or_default();
        let name = short(&service.arn);
        let began = Instant::now();
        loop {
            let rolling = match crate::desk::rolling(&self.desk.aws, service, &deployment).await {
                Ok(rolling) => rolling,
                Err(error) => {
                    return Entry::failed(report, format!("it cannot be followed: {error}"));
                }
            };
            line.set_message(progress(&name, &rolling));
            match rolling.stage {
                Stage::Completed if rolling.old == 0 => {
                    return Entry::new(report, Rollout::Completed, Value::New);
                }
                // A rollout that is over may still have to stop the last old tasks.
                Stage::UnderWay | Stage::Completed => {}
                // So early, a read may not show ours yet.
                Stage::Displaced if began.elapsed() < READ_LAG => {}
                Stage::Failed(why) => return Entry::failed(report, why),
                Stage::Displaced => return self.displaced(service, report, started_at).await,
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {
                    return Entry::new(report, Rollout::Started, Value::OnTheWay);
                }
            }
        }
    }

    /// Another deployment took the place of ours: the plan knows whether that is a newer one, or a roll-back.
    async fn displaced(
        &self,
        service: &Service,
        report: ServiceReport,
        started_at: Timestamp,
    ) -> Entry {
        // The memory of ECS may still take ours for one that is under way.
        sleep(READ_LAG).await;
        let now = match self.desk.aws.read_again(service).await {
            Ok(service) => self.desk.aws.recall(service, started_at).await,
            Err(error) => Err(error),
        };
        match now.map(|service| {
            plan(&self.world.rotations, &[service])
                .first()
                .map(|decision| decision.reason)
        }) {
            Ok(Some(Reason::AlreadyFresh)) => {
                Entry::new(report, Rollout::Superseded, Value::OnTheWay)
            }
            Ok(_) => Entry::failed(report, "ECS went back to the deployment before".to_owned()),
            Err(error) => Entry::failed(report, format!("it cannot be followed: {error}")),
        }
    }
}

/// A decision of which nothing came.
fn planned(decision: Decision) -> ServiceReport {
    ServiceReport {
        service: decision.service,
        action: ServiceAction::Planned,
        reason: Why::Planned(decision.reason),
        secrets: decision.secrets,
        deployment: None,
        error: None,
    }
}

fn progress(name: &str, rolling: &Rolling) -> String {
    let Rolling {
        desired,
        new,
        failed,
        old,
        ..
    } = rolling;
    let failed = if *failed > 0 {
        format!(", {failed} failed to start")
    } else {
        String::new()
    };
    let state = if matches!(rolling.stage, Stage::Completed) {
        "stopping old tasks"
    } else {
        "replacing tasks"
    };
    format!("{name}: {new}/{desired} new, {old} old{failed}; {state}")
}

impl Entry {
    fn new(report: ServiceReport, rollout: Rollout, value: Value) -> Self {
        Self {
            report,
            rollout,
            value,
            seconds: None,
        }
    }

    fn failed(report: ServiceReport, error: String) -> Self {
        Self::new(
            ServiceReport {
                error: Some(error),
                ..report
            },
            Rollout::Failed,
            Value::Old,
        )
    }

    /// What is known of a service whose rollout was not followed, or not started.
    fn of_untouched(report: ServiceReport) -> Self {
        let (rollout, value) = match report.action {
            ServiceAction::Redeployed => (Rollout::Started, Value::OnTheWay),
            ServiceAction::Failed => (Rollout::Failed, Value::Old),
            ServiceAction::Planned => (Rollout::NotStarted, Value::Old),
            ServiceAction::Blocked => (Rollout::Blocked, Value::Old),
            ServiceAction::Skipped => (Rollout::NotNeeded, Value::New),
        };
        Self::new(report, rollout, value)
    }
}

fn print_entries(entries: &[Entry]) -> Result<(), Error> {
    let mut rows = table([
        "SERVICE",
        "ROLLOUT",
        "VALUE",
        "REASON",
        "SECONDS",
        "DEPLOYMENT",
    ]);
    for entry in entries
        .iter()
        .filter(|entry| entry.rollout != Rollout::NotNeeded)
    {
        let rollout = match entry.rollout {
            Rollout::Completed | Rollout::Superseded => Tone::Good,
            Rollout::Failed | Rollout::Blocked => Tone::Bad,
            Rollout::Started | Rollout::NotStarted | Rollout::NotNeeded => Tone::Busy,
        };
        let value = match entry.value {
            Value::New => Tone::Good,
            Value::Old => Tone::Bad,
            Value::OnTheWay => Tone::Busy,
        };
        rows.add_row([
            short(&entry.report.service).into(),
            tone(&word(&entry.rollout), rollout),
            tone(&word(&entry.value), value),
            why(entry.report.reason).into(),
            entry
                .seconds
                .map(|seconds| seconds.to_string())
                .unwrap_or_default()
                .into(),
            entry.report.deployment.clone().unwrap_or_default().into(),
        ]);
    }
    print("")?;
    print_table(rows)
}

/// Says what went wrong, and how it ended.
fn say(entries: &[Entry], interrupted: bool) {
    for entry in entries
        .iter()
        .filter(|entry| entry.rollout == Rollout::Failed)
    {
        let error = entry
            .report
            .error
            .as_deref()
            .unwrap_or("it was not redeployed");
        Error::new(format!("{}: {error}", short(&entry.report.service)))
            .allow(denied(error))
            .print();
    }
    let count = |rollout| {
        entries
            .iter()
            .filter(|entry| entry.rollout == rollout)
            .count()
    };
    let not_started = entries
        .iter()
        .filter(|entry| entry.report.action == ServiceAction::Planned)
        .count();
    let started: Vec<_> = entries
        .iter()
        .filter(|entry| entry.rollout == Rollout::Started)
        .map(|e| short(&e.report.service))
        .collect();
    if interrupted {
        let started = if started.is_empty() {
            "nothing".to_owned()
        } else {
            started.join(", ")
        };
        note(&format!(
            "interrupted; started and still under way: {started}; not started: {not_started}"
        ));
    } else if count(Rollout::Failed) > 0 && not_started > 0 {
        note(&format!(
            "stopped after the failure; not started: {not_started}"
        ));
    }
}
