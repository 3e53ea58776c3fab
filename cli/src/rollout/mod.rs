//! What is done after the yes, and what is waited for: a few services at a time, each followed to
//! the end of its rollout.

mod follow;
mod outcome;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{HumanDuration, ProgressBar};
use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::decide::Decision;
use redeploy_core::policy::Policy;
use redeploy_core::reason::{Action, Reason};
use redeploy_core::report::{ServiceAction, ServiceReport};
use redeploy_core::workload::{RolloutState, Workload};
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::run;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::operator::Session;
use crate::output::{display_name, kebab, note, spinner};
use crate::preview::{Examined, Preview};

pub(crate) use outcome::{Document, Entry, Outcome, Rollout, Value, print_entries, say};

/// How often a service is looked at of which a rollout has still to begin.
const DECIDE_EVERY: Duration = Duration::from_secs(4);

/// One run of `redeploy` or `wait`.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    pub(crate) config: &'a Config,
    pub(crate) preview: &'a Preview,
    /// Whether it begins rollouts.
    pub(crate) begins: bool,
    /// How long rollouts are followed, if they are.
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_in_flight: u16,
}

/// What may still be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    On,
    /// A rollout failed: no other is begun.
    BeginNoMore,
    /// Ctrl-C came: nothing is waited for.
    Stop,
}

/// Why a wait was over before it had an end.
#[derive(Clone, Copy)]
enum Cut {
    Interrupted,
    TimedOut,
}

/// What all services of a run share.
struct Limits {
    go: watch::Receiver<Go>,
    deadline: Instant,
    in_flight: Semaphore,
}

impl Run<'_> {
    /// Begins and follows what is decided; gives what became of each service, and whether Ctrl-C
    /// came.
    pub(crate) async fn all(&self, concerns: impl Fn(&Decision) -> bool) -> (Vec<Entry>, bool) {
        let shared: Vec<_> = self.preview.examined.iter().map(Shared::new).collect();
        let decided = shared.iter().flat_map(|shared| {
            let decisions = shared.before.plan.decisions.iter();
            let mut decisions: Vec<_> = decisions.filter(|d| concerns(d)).collect();
            decisions.sort_by_cached_key(|decision| decision.turn());
            let each = decisions.into_iter();
            each.map(move |decision| (shared, decision.clone()))
        });
        let (tell, go) = watch::channel(Go::On);
        let limits = Limits {
            go,
            // Without a time-out nothing is waited for.
            deadline: Instant::now() + self.timeout.unwrap_or(Duration::from_hours(24)),
            in_flight: Semaphore::new(self.max_in_flight.into()),
        };
        let all = spinner("");
        let services = decided.map(|(shared, decision)| self.one(shared, decision, &limits));
        let mut open: FuturesUnordered<_> = services.collect();
        let total = open.len();
        let mut entries = Vec::new();
        let mut interrupted = false;
        loop {
            all.set_message(format!("{} of {total} done", entries.len()));
            tokio::select! {
                entry = open.next() => {
                    let Some(entry) = entry else { break };
                    if entry.rollout == Rollout::Failed && !interrupted {
                        tell.send_replace(Go::BeginNoMore);
                    }
                    entries.push(entry);
                }
                _ = tokio::signal::ctrl_c() => {
                    // The second time, nothing is waited for.
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    tell.send_replace(Go::Stop);
                }
            }
        }
        all.finish_and_clear();
        entries.sort_by(|a, b| {
            (a.report.action, &a.report.service).cmp(&(b.report.action, &b.report.service))
        });
        (entries, interrupted)
    }

    /// Begins the rollout of one service by the function's own means, as soon as nothing is in its
    /// way, and follows it; or follows the one that is under way.
    async fn one(&self, shared: &Shared<'_>, decision: Decision, limits: &Limits) -> Entry {
        let (mut again, mut decision) = (None::<Arc<Examined>>, decision);
        let name = display_name(&decision.workload);
        let mut line = None;
        let is_followed = self.timeout.is_some();
        let began = Instant::now();
        loop {
            let examined = again.as_deref().unwrap_or(shared.before);
            let workload = examined.facts.workloads.get(&decision.workload);
            match decision.action() {
                Action::Redeploy if self.begins => {
                    line.inspect(ProgressBar::finish_and_clear);
                    return self.begin(shared, examined, decision, limits).await;
                }
                Action::Redeploy | Action::Wait if is_followed => {
                    let line = line.get_or_insert_with(|| spinner(""));
                    line.set_message(format!("{name}: {}", waits_for(&decision)));
                    if let Err(cut) = limits.sleep(DECIDE_EVERY).await {
                        line.finish_and_clear();
                        let why = format!("it did not begin: {}", waits_for(&decision));
                        return self.cut(decision.into(), cut, &why);
                    }
                    match self.decide_again(shared, &decision).await {
                        Ok((examined, now)) => (again, decision) = (Some(examined), now),
                        Err(error) => return Entry::failed(decision.into(), error),
                    }
                    if self.begins && limits.begins_no_more() {
                        line.finish_and_clear();
                        return Entry::of_untouched(decision.into());
                    }
                }
                // What was waited for may be over by the time of this look.
                Action::Skip
                    if is_followed
                        && decision.reason == Reason::AlreadyFresh
                        && (again.is_some() || workload.is_some_and(is_rolling)) =>
                {
                    line.inspect(ProgressBar::finish_and_clear);
                    let mut report = ServiceReport::from(decision.clone());
                    let primary = workload.and_then(Workload::primary);
                    report.deployment = primary.map(|primary| primary.id.clone());
                    return self.follow(shared, &decision, report, began, limits).await;
                }
                _ => {
                    line.inspect(ProgressBar::finish_and_clear);
                    return Entry::of_untouched(decision.into());
                }
            }
        }
    }

    /// Begins a rollout when its turn comes and the change has settled.
    async fn begin(
        &self,
        shared: &Shared<'_>,
        examined: &Examined,
        decision: Decision,
        limits: &Limits,
    ) -> Entry {
        let turn = limits.in_flight.acquire();
        let Ok(_turn) = limits.unless_stopped(Go::BeginNoMore, turn).await else {
            return Entry::of_untouched(decision.into());
        };
        let name = display_name(&decision.workload);
        let line = spinner(&format!("{name}: waiting until the change has settled"));
        let clock = &self.preview.clock;
        let policy = Policy {
            acts: true,
            ..examined.policy.clone()
        };
        let settled_from = policy.settled_from(decision.at);
        let settled = clock.sleep_until(settled_from);
        if limits
            .unless_stopped(Go::BeginNoMore, settled)
            .await
            .is_err()
        {
            line.finish_and_clear();
            return Entry::of_untouched(decision.into());
        }
        line.set_message(format!("{name}: starting"));
        let aws = &self.session.aws;
        let (config, facts) = (self.config, &examined.facts);
        let report = run::redeploy(aws, config, &policy, facts, decision.clone(), clock).await;
        line.finish_and_clear();
        if report.action == ServiceAction::Redeployed && self.timeout.is_some() {
            let began = Instant::now();
            return self.follow(shared, &decision, report, began, limits).await;
        }
        Entry::of_untouched(report)
    }

    /// Follows the deployment of a report to its end, and says so.
    async fn follow(
        &self,
        shared: &Shared<'_>,
        decision: &Decision,
        report: ServiceReport,
        began: Instant,
        limits: &Limits,
    ) -> Entry {
        let workloads = &shared.before.facts.workloads;
        let Some(workload) = workloads.get(&decision.workload) else {
            return Entry::of_untouched(report);
        };
        let line = spinner("");
        let mut entry = self
            .look(workload, shared, decision, report, &line, limits)
            .await;
        line.finish_and_clear();
        entry.seconds = Some(began.elapsed().as_secs());
        if std::io::stderr().is_terminal() {
            let (name, took) = (display_name(&workload.arn), HumanDuration(began.elapsed()));
            note(&format!("{name}: {} after {took}", kebab(&entry.rollout)));
        }
        entry
    }

    /// What is decided about a service by facts of now.
    async fn decide_again(
        &self,
        shared: &Shared<'_>,
        before: &Decision,
    ) -> Result<(Arc<Examined>, Decision), String> {
        let mut latest = shared.latest.lock().await;
        let known = latest
            .as_ref()
            .filter(|(at, _)| at.elapsed() < DECIDE_EVERY);
        let examined = if let Some((_, examined)) = known {
            examined.clone()
        } else {
            let examined = Arc::new(self.examine_again(shared.before).await);
            *latest = Some((Instant::now(), examined.clone()));
            examined
        };
        let mut decisions = examined.plan.decisions.iter();
        let now = decisions.find(|now| now.workload == before.workload);
        // A service about which nothing more is to be said is gone.
        let now = now.cloned().unwrap_or(Decision {
            reason: Reason::NotActive,
            ..before.clone()
        });
        match &now.error {
            Some(error) => Err(format!("it cannot be followed: {error}")),
            None => Ok((examined, now)),
        }
    }

    /// Reads again what has still to be done, and who follows the same.
    async fn examine_again(&self, before: &Examined) -> Examined {
        let Examined { facts, plan, .. } = before;
        let is_open = |decision: &&Decision| {
            let workload = facts.workloads.get(&decision.workload);
            matches!(decision.action(), Action::Redeploy | Action::Wait)
                || workload.is_some_and(is_rolling)
        };
        let open = plan.decisions.iter().filter(is_open);
        let sources: BTreeSet<_> = open.flat_map(|decision| &decision.sources).collect();
        let concerned = plan.decisions.iter();
        let concerned = concerned.filter(|d| d.sources.iter().any(|s| sources.contains(s)));
        let concerned: Vec<_> = concerned
            .map(|decision| decision.workload.clone())
            .collect();
        let clock = Clock::new(Timestamp::now(), None);
        let mut facts = facts.again(&concerned, clock.now());
        let policy = before.policy.clone();
        let plan = run::decide(&self.session.aws, self.config, &policy, &mut facts, &clock).await;
        Examined {
            facts,
            plan: plan.unwrap_or_default(),
            policy,
        }
    }

    /// What is said of a service whose wait was over too early.
    fn cut(&self, report: ServiceReport, cut: Cut, why: &str) -> Entry {
        let began = report.deployment.is_some();
        match cut {
            Cut::Interrupted if began => Entry::new(report, Rollout::Started, Value::OnTheWay),
            Cut::Interrupted => Entry::of_untouched(report),
            Cut::TimedOut => {
                let timeout = HumanDuration(self.timeout.unwrap_or_default());
                let error = format!("timed out after {timeout:#}: {why}");
                Entry::timed_out(report, error)
            }
        }
    }
}

/// What was decided together. It is decided again together, too, at most once in a while: who may go
/// depends on the others.
struct Shared<'a> {
    before: &'a Examined,
    latest: Mutex<Option<(Instant, Arc<Examined>)>>,
}

impl<'a> Shared<'a> {
    fn new(before: &'a Examined) -> Self {
        Self {
            before,
            latest: Mutex::default(),
        }
    }
}

impl Limits {
    fn begins_no_more(&self) -> bool {
        *self.go.borrow() != Go::On
    }

    /// Waits, unless it is cut short.
    async fn sleep(&self, duration: Duration) -> Result<(), Cut> {
        let mut go = self.go.clone();
        tokio::select! {
            biased;
            _ = go.wait_for(|go| *go == Go::Stop) => Err(Cut::Interrupted),
            () = sleep_until(self.deadline) => Err(Cut::TimedOut),
            () = sleep(duration) => Ok(()),
        }
    }

    /// Does something, unless that is stopped before it is done.
    async fn unless_stopped<T>(&self, at: Go, done: impl Future<Output = T>) -> Result<T, Go> {
        let mut go = self.go.clone();
        tokio::select! {
            biased;
            _ = go.wait_for(|go| *go == at || *go == Go::Stop) => Err(at),
            done = done => Ok(done),
        }
    }
}

fn waits_for(decision: &Decision) -> &'static str {
    match decision.action() {
        Action::Redeploy => "waiting for a rollout to begin",
        _ => crate::preview::reason_text(decision.reason),
    }
}

/// Whether tasks are still being replaced.
pub(crate) fn is_rolling(workload: &Workload) -> bool {
    let primary = workload.primary();
    let in_progress = primary.is_some_and(|p| p.rollout == RolloutState::InProgress);
    in_progress
        || workload
            .deployments
            .iter()
            .any(|d| !d.primary && d.running > 0)
}
