//! What is done after the yes, and what is waited for: a few services at a time, each followed to
//! the end of its rollout.

mod follow;
mod limits;
mod line;
mod outcome;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use redeploy_core::config::Config;
use redeploy_core::decide::Decision;
use redeploy_core::policy::Policy;
use redeploy_core::reason::{Action, Reason};
use redeploy_core::report::{ServiceAction, ServiceReport};
use redeploy_core::workload::Workload;
use redeploy_on_rotation::aws::READ_LAG;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::run;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep};

use crate::operator::{Session, last_word, protected_tasks};
use crate::output::{kebab, note, spinner};
use crate::preview::{Examined, Preview};
use follow::Progress;
use limits::{Cut, Go, Limits};
use line::Line;

pub(crate) use outcome::{Document, Entry, Outcome, Rollout, Value, print_entries, say};

/// How often the services that are waited for are looked at, all together.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// What was decided longer ago than this is decided again before a rollout is begun.
const MAX_DECISION_AGE: Duration = Duration::from_secs(5);

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
                    // What could not be read had no rollout, and the plan has shown it.
                    let stops = matches!(entry.rollout, Rollout::Failed | Rollout::TimedOut)
                        && !entry.report.reason.is_failure();
                    if stops && !interrupted {
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

    /// What becomes of one service.
    async fn one(&self, shared: &Shared<'_>, decision: Decision, limits: &Limits) -> Entry {
        let service = decision.workload.clone();
        let mut line = Line::new(&service);
        let entry = self.to_the_end(shared, decision, &mut line, limits).await;
        shared.awaited.borrow_mut().remove(&service);
        if let (Some(seconds), true) = (entry.seconds, std::io::stderr().is_terminal()) {
            let became = kebab(&entry.rollout);
            note(&format!("{}: {became} after {seconds} s", line.name));
        }
        entry
    }

    /// Begins the rollout of one service as soon as nothing is in its way, and follows it; or follows
    /// the one that is under way.
    async fn to_the_end(
        &self,
        shared: &Shared<'_>,
        mut decision: Decision,
        line: &mut Line,
        limits: &Limits,
    ) -> Entry {
        let mut again = None::<Look>;
        let mut followed = None::<ServiceReport>;
        let (mut turn, mut awaited_from) = (None, None);
        let mut since = Instant::now();
        loop {
            let known = again.as_ref();
            let known = known.map_or(shared.before, |look| &*look.examined);
            let mut pause = LOOK_EVERY;
            let workload = known.facts.workloads.get(&decision.workload);
            match decision.action() {
                Action::Redeploy if self.begins && followed.is_none() => {
                    if turn.is_none() {
                        pause = Duration::ZERO;
                    }
                    turn = match self.its_turn(turn, known, &decision, line, limits).await {
                        Ok(its_turn) => Some(its_turn),
                        Err(cut) => return self.cut(decision.into(), cut, "it did not begin"),
                    };
                    let age = match &again {
                        Some(look) => look.ended.elapsed(),
                        None => self.preview.clock.elapsed(),
                    };
                    // In the queue, or at the question, it may have become wrong to begin.
                    if age <= MAX_DECISION_AGE {
                        line.say("starting");
                        followed = match self.begin(known, &decision).await {
                            Ok(begun) => begun,
                            Err(entry) => return entry,
                        };
                        turn = turn.filter(|_| followed.is_some());
                        (since, pause) = (Instant::now(), LOOK_EVERY);
                    }
                }
                // What was waited for may be over by the time of this look.
                Action::Skip
                    if self.timeout.is_some()
                        && followed.is_none()
                        && decision.reason == Reason::AlreadyFresh
                        && (again.is_some() || workload.is_some_and(Workload::is_rolling)) =>
                {
                    followed = Some(ServiceReport {
                        deployment: workload
                            .and_then(Workload::primary)
                            .map(|primary| primary.id.clone()),
                        ..decision.clone().into()
                    });
                    turn = None;
                }
                Action::Redeploy if self.timeout.is_some() => {}
                Action::Wait if self.timeout.is_some() && followed.is_none() => turn = None,
                _ if followed.is_some() => {}
                _ => return Entry::of_untouched(decision.into()),
            }
            let mut text = waits_for(&decision).to_owned();
            if let (Some(report), Some(workload)) = (&followed, workload) {
                let early = since + READ_LAG + LOOK_EVERY;
                let is_early = again.as_ref().is_none_or(|look| look.began < early);
                match self.look(report, &decision, workload, is_early).await {
                    Ok(entry) => return entry.after(since.elapsed()),
                    Err(how_far) => text = how_far,
                }
            }
            line.say(&text);
            shared
                .awaited
                .borrow_mut()
                .insert(decision.workload.clone());
            let awaited_from = *awaited_from.get_or_insert_with(Instant::now);
            let begins = self.begins && followed.is_none();
            if let Err(cut) = limits.unless_cut(begins, sleep(pause)).await {
                let Some(report) = followed else {
                    return self.cut(decision.into(), cut, &format!("it did not begin: {text}"));
                };
                if let (Cut::TimedOut, Some(workload)) = (cut, workload) {
                    text += &self.said(workload).await;
                }
                return self.cut(report, cut, &text).after(since.elapsed());
            }
            match self.decide_again(shared, &decision, awaited_from).await {
                Ok(Some((look, now))) => (again, decision) = (Some(look), now),
                // What was said last is all that is known. Meanwhile, others may have the turn.
                Ok(None) if self.timeout.is_some() => {
                    turn = turn.filter(|_| followed.is_some());
                    // What cuts this short does so above as well, where it is said.
                    let _ = limits.unless_cut(begins, sleep(LOOK_EVERY)).await;
                }
                Ok(None) => {
                    let error =
                        "it was not begun, because it could not be read again; try once more";
                    return Entry::failed(decision.into(), error.to_owned());
                }
                Err(error) => {
                    let report = followed.unwrap_or_else(|| decision.into());
                    return Entry::failed(report, error).after(since.elapsed());
                }
            }
        }
    }

    /// What became of a rollout, or how far it is.
    async fn look(
        &self,
        report: &ServiceReport,
        decision: &Decision,
        workload: &Workload,
        is_early: bool,
    ) -> Result<Entry, String> {
        let report = report.clone();
        let deployment = report.deployment.as_deref();
        match Progress::of(deployment, decision, workload, is_early) {
            Progress::Done => Ok(Entry::new(report, Rollout::Completed, Value::New)),
            Progress::Failed(why) => Ok(Entry::failed(report, why + &self.said(workload).await)),
            Progress::OnlyOldLeft(text) => {
                let protected = protected_tasks(&self.session.aws, workload).await;
                let protected = protected.ok().flatten().ok_or(text)?;
                Ok(Entry::protected(report, protected))
            }
            Progress::UnderWay(text) => Err(text),
        }
    }

    /// The turn of a service whose change has settled, unless that may not begin any more.
    async fn its_turn<'l>(
        &self,
        turn: Option<SemaphorePermit<'l>>,
        known: &Examined,
        decision: &Decision,
        line: &mut Line,
        limits: &'l Limits,
    ) -> Result<SemaphorePermit<'l>, Cut> {
        let turn = async {
            match turn {
                Some(turn) => Ok(turn),
                None => limits.in_flight.acquire().await,
            }
        };
        let turn = limits.unless_cut(true, turn).await?;
        let turn = turn.map_err(|_| Cut::Stopped)?;
        line.say("waiting until the change has settled");
        let settled_from = known.policy.settled_from(decision.at);
        let settled = self.preview.clock.sleep_until(settled_from);
        let _ = limits.unless_cut(true, settled).await?;
        Ok(turn)
    }

    /// Begins a rollout by the function's own means, to be followed; nothing where somebody else began
    /// one meanwhile, and what became of the service where nothing is followed.
    async fn begin(
        &self,
        known: &Examined,
        decision: &Decision,
    ) -> Result<Option<ServiceReport>, Entry> {
        let policy = Policy {
            acts: true,
            ..known.policy.clone()
        };
        let (aws, config, clock) = (&self.session.aws, self.config, &self.preview.clock);
        let report = run::redeploy(aws, config, &policy, &known.facts, decision.clone(), clock);
        let report = report.await;
        let is_held =
            report.action == ServiceAction::Waiting || report.reason == Reason::AlreadyFresh;
        let is_begun = report.action == ServiceAction::Redeployed;
        if self.timeout.is_none() || !is_begun && !is_held {
            return Err(Entry::of_untouched(report));
        }
        Ok(is_begun.then_some(report))
    }

    /// What is decided about a service by facts of now; nothing where AWS did not say this time.
    async fn decide_again(
        &self,
        shared: &Shared<'_>,
        before: &Decision,
        awaited_from: Instant,
    ) -> Result<Option<(Look, Decision)>, String> {
        let mut latest = shared.latest.lock().await;
        let is_recent =
            |look: &&Look| look.began >= awaited_from && look.ended.elapsed() < LOOK_EVERY / 2;
        let look = if let Some(look) = latest.as_ref().filter(is_recent) {
            look.clone()
        } else {
            let began = Instant::now();
            let known = latest.as_ref();
            let known = known.map_or(shared.before, |look| &*look.examined);
            let examined = Arc::new(self.look_again(shared, known).await);
            let look = Look {
                began,
                ended: Instant::now(),
                examined,
            };
            latest.insert(look).clone()
        };
        let Examined { facts, plan, .. } = &*look.examined;
        let unread = facts.unexamined.get(&*before.workload);
        let workload = facts.workloads.get(&before.workload);
        let gap = unread
            .map(|unexamined| &unexamined.gap)
            .or_else(|| workload?.history.gap());
        if gap.is_some_and(|gap| !gap.stays()) {
            return Ok(None);
        }
        let mut decisions = plan.decisions.iter();
        let now = decisions.find(|now| now.workload == before.workload);
        let now = now.cloned().unwrap_or_else(|| before.clone().gone());
        match &now.error {
            Some(error) => Err(format!("it cannot be followed: {error}")),
            None => Ok(Some((look, now))),
        }
    }

    /// Reads again what is waited for, and what may stand in its way.
    async fn look_again(&self, shared: &Shared<'_>, known: &Examined) -> Examined {
        let Examined {
            facts,
            plan,
            policy,
        } = known;
        let mut open = shared.awaited.borrow().clone();
        if plan.decisions.iter().any(|d| d.action() == Action::Wait) {
            let blocked = plan
                .decisions
                .iter()
                .filter(|d| d.action() == Action::Block);
            open.extend(blocked.map(|decision| decision.workload.clone()));
            // Of one that does not take part, too.
            let decided = plan.decisions.iter().map(|decision| &decision.workload);
            let rolling =
                decided.filter(|arn| facts.workloads.get(*arn).is_some_and(Workload::is_rolling));
            open.extend(rolling.cloned());
        }
        let mut facts = facts.clone();
        facts.forget_reads(open, &shared.before.facts);
        let clock = Clock::new(Timestamp::now(), None);
        let plan = run::decide(&self.session.aws, self.config, policy, &mut facts, &clock).await;
        Examined {
            facts,
            plan: plan.unwrap_or_default(),
            policy: policy.clone(),
        }
    }

    /// What ECS said last about a service.
    async fn said(&self, workload: &Workload) -> String {
        let said = last_word(&self.session.aws, workload).await;
        let said = said.ok().flatten();
        said.map(|said| format!("; ECS says: {said}"))
            .unwrap_or_default()
    }

    /// What is said of a service whose wait was over too early.
    fn cut(&self, report: ServiceReport, cut: Cut, why: &str) -> Entry {
        match cut {
            Cut::Stopped if report.deployment.is_some() => {
                Entry::new(report, Rollout::Started, Value::OnTheWay)
            }
            Cut::Stopped => Entry::of_untouched(report),
            Cut::TimedOut => {
                let timeout = self
                    .timeout
                    .and_then(|span| SignedDuration::try_from(span).ok());
                let timeout = timeout.unwrap_or_default();
                Entry::timed_out(report, format!("timed out after {timeout:#}: {why}"))
            }
        }
    }
}

/// What was decided together. It is decided again together, too: who may go depends on the others.
struct Shared<'a> {
    before: &'a Examined,
    /// The services that are waited for.
    awaited: RefCell<BTreeSet<Arc<str>>>,
    latest: Mutex<Option<Look>>,
}

/// What was read together after the preview, and decided by it.
#[derive(Clone)]
struct Look {
    began: Instant,
    ended: Instant,
    examined: Arc<Examined>,
}

impl<'a> Shared<'a> {
    fn new(before: &'a Examined) -> Self {
        Self {
            before,
            awaited: RefCell::default(),
            latest: Mutex::default(),
        }
    }
}

fn waits_for(decision: &Decision) -> &'static str {
    match decision.action() {
        Action::Redeploy => "waiting for a rollout to begin",
        _ => crate::preview::reason_text(decision.reason),
    }
}
