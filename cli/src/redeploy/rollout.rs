//! One run after the yes: a few services at a time, each followed to the end of its rollout.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use indicatif::{HumanDuration, MultiProgress, ProgressBar};
use jiff::Timestamp;
use redeploy_core::config::{Config, cluster_name};
use redeploy_core::decide::Decision;
use redeploy_core::event::Target;
use redeploy_core::facts::Facts;
use redeploy_core::policy::Policy;
use redeploy_core::reason::{Action, Reason};
use redeploy_core::report::{ServiceAction, ServiceReport};
use redeploy_core::workload::Workload;
use redeploy_on_rotation::aws::READ_LAG;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::run;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::outcome::{Entry, Rollout, Value};
use crate::operator::{RolloutProgress, Session, Stage, rollout_progress};
use crate::output::{display_name, kebab, spinner};
use crate::plan::request;
use crate::preview::{Examined, Preview, examine};

/// How often a rollout is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One run of the command.
pub(super) struct Run<'a> {
    session: &'a Session,
    config: &'a Config,
    preview: &'a Preview,
    /// Whether rollouts are followed.
    wait: bool,
    lines: MultiProgress,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        session: &'a Session,
        config: &'a Config,
        preview: &'a Preview,
        wait: bool,
    ) -> Self {
        Self {
            session,
            config,
            preview,
            wait,
            lines: MultiProgress::new(),
        }
    }

    /// Redeploys what is planned, a few at a time; gives what became of each service, and whether
    /// Ctrl-C came.
    pub(super) async fn all(&self, max_in_flight: u16) -> (Vec<Entry>, bool) {
        let reports = self.preview.report.services.iter();
        let mut reports: BTreeMap<_, _> = reports
            .map(|report| (report.service.clone(), report.clone()))
            .collect();
        let examined = self.preview.examined.iter();
        let planned = examined.flat_map(|Examined { facts, plan }| {
            let decisions = plan.decisions.iter();
            let stale = decisions.filter(|decision| decision.action() == Action::Redeploy);
            stale.map(move |decision| (facts, decision))
        });
        let planned: Vec<_> = planned.collect();
        let total = planned.len();
        let mut queue = planned.into_iter();
        let (stop, stopped) = watch::channel(false);
        let mut in_progress = FuturesUnordered::new();
        let mut entries = Vec::new();
        let (mut interrupted, mut failed) = (false, false);
        let all = self.lines.add(spinner("redeploying"));
        loop {
            while !interrupted && !failed && in_progress.len() < usize::from(max_in_flight) {
                let Some((facts, decision)) = queue.next() else {
                    break;
                };
                in_progress.push(self.one(facts, decision, stopped.clone()));
            }
            all.set_message(format!(
                "{} of {total} done, {} under way",
                entries.len(),
                in_progress.len()
            ));
            tokio::select! {
                entry = in_progress.next() => match entry {
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

    /// Redeploys one service by the function's own means, and follows the rollout if that is
    /// wanted.
    async fn one(
        &self,
        facts: &Facts,
        decision: &Decision,
        mut stopped: watch::Receiver<bool>,
    ) -> Entry {
        let name = display_name(&decision.workload);
        let line = format!("{name}: waiting until the change has settled");
        let line = self.lines.add(spinner(&line));
        let clock = &self.preview.clock;
        let settled_from = Policy::new(self.config, true).settled_from(decision.at);
        let settled = clock.sleep_until(settled_from);
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => {
                line.finish_and_clear();
                return Entry::of_untouched(decision.clone().into());
            }
            _ = settled => {}
        }
        line.set_message(format!("{name}: starting"));
        let aws = &self.session.aws;
        let report = run::redeploy(aws, self.config, facts, decision.clone(), clock).await;
        let began = Instant::now();
        let is_redeployed = report.action == ServiceAction::Redeployed;
        let workload = facts.workloads.get(&decision.workload);
        let workload = workload.filter(|_| is_redeployed && self.wait);
        let mut entry = match workload {
            Some(workload) => {
                let entry = self.follow(workload, report, decision.at, &line, stopped);
                entry.await
            }
            None => Entry::of_untouched(report),
        };
        line.finish_and_clear();
        entry.seconds = is_redeployed.then(|| began.elapsed().as_secs());
        if self.wait {
            let took = HumanDuration(began.elapsed());
            let rollout = kebab(&entry.rollout);
            let _ = self
                .lines
                .println(format!("{name}: {rollout} after {took}"));
        }
        entry
    }

    /// Looks at a rollout until it is over.
    async fn follow(
        &self,
        workload: &Workload,
        report: ServiceReport,
        changed: Timestamp,
        line: &ProgressBar,
        mut stopped: watch::Receiver<bool>,
    ) -> Entry {
        let deployment = report.deployment.clone().unwrap_or_default();
        let name = display_name(&workload.arn);
        let began = Instant::now();
        loop {
            let progress = rollout_progress(&self.session.aws, workload, &deployment).await;
            let progress = match progress {
                Ok(progress) => progress,
                Err(error) => {
                    return Entry::failed(report, format!("it cannot be followed: {error}"));
                }
            };
            line.set_message(describe(&name, &progress));
            match progress.stage {
                Stage::Completed if progress.old == 0 => {
                    return Entry::new(report, Rollout::Completed, Value::New);
                }
                // A rollout that is over may still have to stop the last old tasks.
                Stage::UnderWay | Stage::Completed => {}
                // So early, a read may not show ours yet.
                Stage::Superseded if began.elapsed() < READ_LAG => {}
                Stage::Failed(why) => return Entry::failed(report, why),
                Stage::Superseded => return self.superseded(workload, report, changed).await,
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {
                    return Entry::new(report, Rollout::Started, Value::OnTheWay);
                }
            }
        }
    }

    /// Another deployment took the place of ours: the planner knows whether that is a newer one, or
    /// a roll-back.
    async fn superseded(
        &self,
        workload: &Workload,
        report: ServiceReport,
        changed: Timestamp,
    ) -> Entry {
        // ECS may still show ours as one that is under way.
        sleep(READ_LAG).await;
        let cluster = cluster_name(&workload.cluster);
        let service = workload.arn.rsplit('/').next().unwrap_or_default();
        let trigger = request(Target::Service(format!("{cluster}/{service}")));
        let mut clock = Clock::new(Timestamp::now(), None);
        clock.requested_at = changed;
        let examined = examine(self.session, self.config, trigger, &clock).await;
        let decision = examined.map(|examined| examined.plan.decisions.into_iter().next());
        match decision {
            Ok(Some(Decision {
                error: Some(error), ..
            })) => Entry::failed(report, format!("it cannot be followed: {error}")),
            Ok(Some(decision)) if decision.reason == Reason::AlreadyFresh => {
                Entry::new(report, Rollout::Superseded, Value::OnTheWay)
            }
            Ok(_) => Entry::failed(report, "ECS went back to the deployment before".to_owned()),
            Err(ended) => Entry::failed(report, format!("it cannot be followed: {}", ended.reason)),
        }
    }
}

fn describe(name: &str, progress: &RolloutProgress) -> String {
    let RolloutProgress {
        stage,
        desired,
        new,
        failed,
        old,
    } = progress;
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {failed} failed to start"),
    };
    let state = match stage {
        Stage::Completed => "stopping old tasks",
        _ => "replacing tasks",
    };
    format!("{name}: {new}/{desired} new, {old} old{failed}; {state}")
}
