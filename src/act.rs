//! Carrying a plan out: one new deployment for each stale service, and a line of the report for every service.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use tokio::time::{Instant, timeout_at};

use crate::aws::{Aws, AwsError, Class, Redeployed, Unexamined};
use crate::clock::{Clock, TIME_FOR_THE_REST};
use crate::gather::World;
use redeploy_core::config::Config;
use redeploy_core::plan::{
    Action, Decision, Reason, is_first_attempt, is_fresh, needs_history, plan, plan_tasks,
};
use redeploy_core::report::{LookupProblem, ServiceAction, ServiceReport, Why};
use redeploy_core::secret::Change;
use redeploy_core::service::Service;

/// How many services are redeployed at once.
const REDEPLOYS_AT_ONCE: usize = 5;
/// A service whose turn comes later than this is read again first: somebody may have deployed it meanwhile.
const FACTS_LAST: Duration = Duration::from_mins(1);
/// What a service's report says when its turn did not come.
const NO_TIME: &str =
    "the invocation's time ran out before it was done; the next attempt goes on with it";

/// How to act: by which clients, and whether at all.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// The clients.
    pub aws: &'a Aws,
    /// The settings.
    pub config: &'a Config,
    /// The time.
    pub clock: &'a Clock,
    /// Whether nothing is to be done.
    pub dry_run: bool,
}

/// How many of these services are left for the next attempt.
#[must_use]
pub fn left(services: &[ServiceReport]) -> usize {
    services
        .iter()
        .filter(|service| service.error.as_deref() == Some(NO_TIME))
        .count()
}

impl Actor<'_> {
    /// Plans, and does what is planned; one failure never stops the others.
    ///
    /// The services with the most changed secrets come first, and of these the ones that are stale for longest.
    pub async fn act(&self, world: World) -> Vec<ServiceReport> {
        let World {
            rotations,
            inventory,
            tasks,
            read,
        } = world;
        let mut decisions = plan(&rotations, &inventory.services);
        decisions.sort_by_cached_key(|d| (Reverse(d.secrets.len()), d.at, d.service.clone()));
        let services: BTreeMap<_, _> = inventory
            .services
            .iter()
            .map(|service| (&service.arn, service))
            .collect();
        let carry_out = async |decision: Decision| match services.get(&decision.service) {
            Some(service) => self.carry_out(&rotations, service, decision, read).await,
            None => decided_upon(decision),
        };
        let carried_out =
            stream::iter(decisions.into_iter().map(carry_out)).buffer_unordered(REDEPLOYS_AT_ONCE);
        let mut reports: Vec<_> = carried_out.collect().await;
        reports.extend(plan_tasks(&rotations, &tasks).into_iter().map(decided_upon));
        for unexamined in inventory.unexamined {
            // Fresh for everything that changed, whatever else it reads.
            let is_fresh = unexamined.secrets.is_empty()
                && services
                    .get(&unexamined.name)
                    .is_some_and(|service| is_fresh(service, &rotations));
            let known = reports
                .iter()
                .position(|report| report.service == unexamined.name);
            match known.map(|known| &mut reports[known]) {
                Some(known) if is_fresh || says_more(known, &unexamined) => {}
                Some(known) => {
                    let more = std::mem::take(&mut known.secrets);
                    *known = not_examined(unexamined);
                    known.secrets.extend(more);
                    known.secrets.sort();
                    known.secrets.dedup();
                }
                None => reports.push(not_examined(unexamined)),
            }
        }
        reports
    }

    /// Does what was decided about one service by facts of that moment, unless later facts or ECS's memory of a
    /// roll-back decide otherwise.
    pub async fn carry_out(
        &self,
        rotations: &[Change],
        service: &Service,
        decision: Decision,
        read: Instant,
    ) -> ServiceReport {
        if decision.reason.action() != Action::Redeploy {
            return decided_upon(decision);
        }
        let stop = self.clock.stop_at();
        let service = match in_time(stop, self.as_of_now(rotations, service, &decision, read)).await
        {
            Some(Ok(service)) => service,
            Some(Err(AwsError {
                class: Class::Gone, ..
            })) => {
                return decided_upon(Decision {
                    reason: Reason::NotActive,
                    ..decision
                });
            }
            Some(Err(error)) => {
                let unreadable = Unexamined::unreadable(decision.service, error.to_string());
                return not_examined(Unexamined {
                    secrets: decision.secrets,
                    ..unreadable
                });
            }
            None => return failed(decision, NO_TIME.to_owned()),
        };
        let decision = plan(rotations, std::slice::from_ref(&service))
            .pop()
            .unwrap_or(decision);
        if self.dry_run || decision.reason.action() != Action::Redeploy {
            return decided_upon(decision);
        }
        match in_time(
            stop,
            self.aws
                .redeploy(&service, rotations, stop, || self.clock.now()),
        )
        .await
        {
            Some(Ok(Redeployed::Yes(deployment))) => ServiceReport {
                action: ServiceAction::Redeployed,
                deployment,
                ..decided_upon(decision)
            },
            Some(Ok(Redeployed::No(reason))) => decided_upon(Decision { reason, ..decision }),
            Some(Err(error)) => failed(decision, error.to_string()),
            Some(Ok(Redeployed::NotStarted)) | None => failed(decision, NO_TIME.to_owned()),
        }
    }

    /// The service with all facts that its redeploy depends on.
    ///
    /// ECS's memory is not asked where it cannot hold an answer: a moment after the change has settled, by a process
    /// that has not touched the service.
    async fn as_of_now(
        &self,
        rotations: &[Change],
        service: &Service,
        decision: &Decision,
        read: Instant,
    ) -> Result<Service, AwsError> {
        let is_old = read.elapsed() > FACTS_LAST;
        let service = if is_old {
            self.aws.read_again(service).await?
        } else {
            service.clone()
        };
        let settle = SignedDuration::try_from(self.config.settle).unwrap_or(SignedDuration::MAX);
        let is_exact = rotations
            .iter()
            .all(|rotation| rotation.not_before.is_none());
        let is_first = is_exact
            && is_first_attempt(decision.at, settle, self.clock.now())
            && !self.aws.has_redeployed_since(&service.arn, decision.at);
        match needs_history(rotations, &service).filter(|_| service.staged || !is_first) {
            Some(since) => self.aws.recall(service, since).await,
            None => Ok(service),
        }
    }
}

/// Whether what is known of a service is enough, though not all of it could be examined: it cannot become less stale.
fn says_more(known: &ServiceReport, unexamined: &Unexamined) -> bool {
    match (known.action, known.reason) {
        (ServiceAction::Failed | ServiceAction::Redeployed | ServiceAction::Planned, _) => true,
        (ServiceAction::Blocked, _) if unexamined.problem == LookupProblem::Unknown => true,
        (_, Why::Planned(reason)) => matches!(
            reason,
            Reason::NotActive
                | Reason::OptedOut
                | Reason::NothingRunning
                | Reason::UnsupportedController
        ),
        (_, Why::Lookup(_)) => false,
    }
}

/// What is started in time gets most of the rest of the time to end.
async fn in_time<T>(stop: Option<Instant>, call: impl Future<Output = T>) -> Option<T> {
    match stop {
        None => Some(call.await),
        Some(stop) if Instant::now() >= stop => None,
        Some(stop) => timeout_at(stop + TIME_FOR_THE_REST * 3 / 4, call)
            .await
            .ok(),
    }
}

/// The report of a decision that is not carried out.
fn decided_upon(decision: Decision) -> ServiceReport {
    ServiceReport {
        action: match decision.reason.action() {
            Action::Redeploy => ServiceAction::Planned,
            Action::Skip => ServiceAction::Skipped,
            Action::Block => ServiceAction::Blocked,
        },
        service: decision.service,
        reason: Why::Planned(decision.reason),
        secrets: decision.secrets,
        deployment: None,
        error: None,
    }
}

fn failed(decision: Decision, error: String) -> ServiceReport {
    ServiceReport {
        action: ServiceAction::Failed,
        error: Some(error),
        ..decided_upon(decision)
    }
}

fn not_examined(unexamined: Unexamined) -> ServiceReport {
    ServiceReport {
        service: unexamined.name,
        action: if unexamined.problem == LookupProblem::Unknown {
            ServiceAction::Skipped
        } else {
            ServiceAction::Failed
        },
        reason: Why::Lookup(unexamined.problem),
        secrets: unexamined.secrets,
        deployment: None,
        error: Some(unexamined.error),
    }
}
