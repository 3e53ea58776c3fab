//! Carrying decisions out: one new deployment for each stale service, and a line of the report for
//! every service.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use redeploy_core::config::Config;
use redeploy_core::decide::Decision;
use redeploy_core::facts::Facts;
use redeploy_core::plan::Plan;
use redeploy_core::policy::Policy;
use redeploy_core::reason::{Action, Reason};
use redeploy_core::report::{Execution, ServiceReport};
use tokio::time::sleep;

use crate::aws::{Aws, DeployError, READ_LAG, Refusal, back_off};
use crate::clock::{Clock, OutOfTime};
use crate::run::ask;

/// Services of one cluster are read again together, as many as one call describes.
const BATCH_SIZE: usize = 10;
/// The number of batches that are under way at once.
const BATCHES_AT_ONCE: usize = 3;
/// The number of services of a batch that are redeployed at once.
const DEPLOYS_AT_ONCE: usize = 5;
/// How often `UpdateService` is called for one service before that counts as failed.
const ATTEMPTS: u32 = 8;
/// A service that was read longer ago than this when `UpdateService` may be called is decided about
/// once more. Without a throttle a batch takes less.
const MAX_READ_AGE: SignedDuration = SignedDuration::from_secs(15);

/// What carrying out needs.
struct Executor<'a> {
    aws: &'a Aws,
    config: &'a Config,
    policy: &'a Policy,
    clock: &'a Clock,
}

/// Carries a plan out; one failure never stops the others.
///
/// The services with the most changed secrets come first, and of these the ones that are stale for
/// longest.
pub(crate) async fn execute(
    aws: &Aws,
    config: &Config,
    policy: &Policy,
    facts: &Facts,
    plan: Plan,
    clock: &Clock,
) -> Vec<ServiceReport> {
    let is_redeploy = |decision: &Decision| decision.action() == Action::Redeploy;
    let (mut stale, others): (Vec<_>, Vec<_>) = plan.decisions.into_iter().partition(is_redeploy);
    stale.sort_by_cached_key(Decision::turn);
    // The plan has kept the order, by facts of all who follow the same.
    let policy = &policy.clone().without_order();
    let executor = Executor {
        aws,
        config,
        policy,
        clock,
    };
    let batches = batches(facts, stale);
    let batches = batches
        .into_iter()
        .map(|batch| executor.batch(facts, batch));
    let executed = stream::iter(batches).buffer_unordered(BATCHES_AT_ONCE);
    let mut reports: Vec<_> = executed.concat().await;
    reports.extend(others.into_iter().map(ServiceReport::from));
    reports
}

/// The decisions by cluster, in tens, in the order of the first of each.
fn batches(facts: &Facts, stale: Vec<Decision>) -> Vec<Vec<Decision>> {
    let mut batches = Vec::<Vec<Decision>>::new();
    let mut open = BTreeMap::<Option<Arc<str>>, usize>::new();
    for decision in stale {
        let workload = facts.workloads.get(&decision.workload);
        let cluster = workload.map(|workload| workload.cluster.clone());
        let index = open.get(&cluster).copied();
        if let Some(index) = index.filter(|index| batches[*index].len() < BATCH_SIZE) {
            batches[index].push(decision);
        } else {
            open.insert(cluster, batches.len());
            batches.push(vec![decision]);
        }
    }
    batches
}

impl Executor<'_> {
    /// Asks all that a service's turn needs; `None` where the time is over before.
    async fn ask(&self, facts: &mut Facts) -> Option<Plan> {
        let (aws, config, policy, clock) = (self.aws, self.config, self.policy, self.clock);
        let asked = ask(aws, config, policy, facts, clock, |_| true);
        clock.finish(asked).await.ok()?.ok()
    }

    /// Decides once more about services whose turn has come, by facts of now, and redeploys them.
    async fn batch(&self, facts: &Facts, batch: Vec<Decision>) -> Vec<ServiceReport> {
        let arns: Vec<_> = batch
            .iter()
            .map(|decision| decision.workload.clone())
            .collect();
        let mut facts = facts.only(&arns);
        facts.turn_at = Some(self.clock.now());
        let Some(plan) = self.ask(&mut facts).await else {
            return batch.into_iter().map(deferred).collect();
        };
        let decided = batch.into_iter().map(|before| {
            let now = plan
                .decisions
                .iter()
                .find(|now| now.workload == before.workload);
            now.cloned().unwrap_or_else(|| before.gone())
        });
        let deploys = decided.map(|decision| self.redeploy(&facts, decision));
        stream::iter(deploys)
            .buffer_unordered(DEPLOYS_AT_ONCE)
            .collect()
            .await
    }

    /// Gives a stale service one new deployment.
    ///
    /// A call that was throttled is made again, later. After a call that may have had its effect the
    /// service and its deployments are read again, and the planner decides: no rollout is ever
    /// started twice.
    async fn redeploy(&self, facts: &Facts, decision: Decision) -> ServiceReport {
        if decision.action() != Action::Redeploy {
            return decision.into();
        }
        let Some(workload) = facts.workloads.get(&decision.workload) else {
            return decision.into();
        };
        let mut last = String::new();
        let mut read_at = workload.read_at.unwrap_or(Timestamp::MIN);
        for attempt in 1..=ATTEMPTS {
            match self.clock.in_time(self.aws.wait_for_deploy_turn()).await {
                Ok(()) if !self.clock.is_over() => {}
                _ => return deferred(decision),
            }
            // Meanwhile, somebody may have deployed it.
            let now = self.clock.now();
            if now.duration_since(read_at) > MAX_READ_AGE {
                match self.decide_again(facts, &decision, None).await {
                    Some((_, again)) if again.reason == Reason::Stale => read_at = now,
                    Some((_, again)) => return again.into(),
                    None => return deferred(decision),
                }
            }
            let deploy = self.aws.force_new_deployment(workload);
            let error = match self.clock.finish(deploy).await {
                Ok(Ok(deployment)) => {
                    return ServiceReport::executed(decision, Execution::Redeployed(deployment));
                }
                Ok(Err(error)) => error,
                Err(OutOfTime) => return deferred(decision),
            };
            let is_last = attempt == ATTEMPTS;
            match error {
                DeployError::Refused(refusal) => {
                    let reason = refused(refusal);
                    return Decision { reason, ..decision }.into();
                }
                DeployError::Failed(error) => {
                    let failed = Execution::Failed(error.to_string());
                    return ServiceReport::executed(decision, failed);
                }
                DeployError::Throttled(error) => {
                    last = error.to_string();
                    if !is_last {
                        sleep(back_off(attempt)).await;
                    }
                }
                DeployError::Ambiguous(error) => {
                    last = error.to_string();
                    if !is_last && let Some(report) = self.look_again(facts, &decision).await {
                        return report;
                    }
                }
            }
        }
        ServiceReport::executed(decision, Execution::Failed(last))
    }

    /// What became of a call without a usable answer; `None` when it had no effect.
    async fn look_again(&self, facts: &Facts, decision: &Decision) -> Option<ServiceReport> {
        // If the call took effect, a read shows it by then.
        sleep(READ_LAG).await;
        let forced_at = Some(self.clock.now());
        let Some((after, now)) = self.decide_again(facts, decision, forced_at).await else {
            return Some(deferred(decision.clone()));
        };
        match now.reason {
            Reason::Stale => None,
            Reason::AlreadyFresh => {
                // Where only the history shows it, the PRIMARY is still the one before.
                let primary = |facts: &Facts| {
                    let workload = facts.workloads.get(&decision.workload)?;
                    workload.primary().map(|primary| primary.id.clone())
                };
                let before = primary(facts);
                let new = primary(&after).filter(|new| Some(new) != before.as_ref());
                let stale = decision.clone();
                Some(ServiceReport::executed(stale, Execution::Redeployed(new)))
            }
            _ => Some(now.into()),
        }
    }

    /// Decides once more, by facts of now, which come with it; `None` where the time is over before.
    async fn decide_again(
        &self,
        facts: &Facts,
        decision: &Decision,
        forced_at: Option<Timestamp>,
    ) -> Option<(Facts, Decision)> {
        let arn = &decision.workload;
        let mut facts = facts.only(std::slice::from_ref(arn));
        facts.turn_at = Some(self.clock.now());
        if let Some(workload) = facts.workloads.get_mut(arn) {
            workload.forget_reads();
            workload.forced_at = workload.forced_at.max(forced_at);
        }
        let plan = self.ask(&mut facts).await?;
        let now = plan.decisions.into_iter().next();
        Some((facts, now.unwrap_or_else(|| decision.clone().gone())))
    }
}

fn deferred(decision: Decision) -> ServiceReport {
    ServiceReport::executed(decision, Execution::Deferred)
}

fn refused(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::NotActive => Reason::NotActive,
        Refusal::UnsupportedController => Reason::UnsupportedController,
        Refusal::InactiveTaskDefinition => Reason::InactiveTaskDefinition,
        Refusal::TooManyDeployments => Reason::DeploymentInProgress,
    }
}
