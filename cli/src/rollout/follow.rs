//! How far a rollout is that is followed.

use redeploy_core::decide::Decision;
use redeploy_core::reason::{Action, Reason};
use redeploy_core::workload::{CircuitBreaker, Platform, RolloutState, Workload};

/// How far a rollout is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All tasks are of the new deployment.
    Done,
    /// Tasks are being replaced; how many are.
    UnderWay(String),
    /// All that is left to do is to stop old tasks, which may be here to stay.
    OnlyOldLeft(String),
    /// It failed, or is there no more; why.
    Failed(String),
}

impl Progress {
    /// By the planner's own facts and decision. So early, a read may not show the deployment yet.
    pub(super) fn of(
        deployment: Option<&str>,
        decision: &Decision,
        workload: &Workload,
        is_early: bool,
    ) -> Self {
        let new = workload.primary().map_or(0, |primary| primary.running);
        let running = workload.deployments.iter().map(|d| d.running);
        let (desired, old) = (workload.desired, running.sum::<i32>() - new);
        let failed = workload.primary().map_or(0, |primary| primary.failed_tasks);
        let state = workload.primary().map(|primary| primary.rollout);
        match decision.reason {
            Reason::AlreadyFresh | Reason::StaleTasks | Reason::NothingRunning => {}
            // The clock of this machine may be ahead of that of ECS.
            Reason::Stale if workload.primary().map(|primary| &*primary.id) == deployment => {}
            reason if decision.action() == Action::Wait => {
                return Self::UnderWay(reason.meaning().to_owned());
            }
            _ if is_early => return Self::UnderWay("started".to_owned()),
            Reason::Stale => {
                return Self::Failed("ECS went back to the deployment before".to_owned());
            }
            reason => return Self::Failed(reason.meaning().to_owned()),
        }
        let is_done = match state {
            _ if old > 0 => false,
            Some(RolloutState::Completed) => true,
            // ECS gives task sets and some staged deployments no state.
            Some(RolloutState::Unknown) => workload.deployments.len() == 1 && new == desired,
            _ => false,
        };
        if is_done {
            return Self::Done;
        }
        if state == Some(RolloutState::Failed) {
            return Self::Failed("ECS gave the rollout up".to_owned());
        }
        if keeps_failing(workload) {
            return Self::Failed(format!(
                "{failed} tasks in a row failed to start, and without a deployment circuit breaker \
                 ECS goes on trying"
            ));
        }
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} failed to start"),
        };
        let state = match state {
            Some(RolloutState::Completed) => "stopping old tasks",
            _ => "replacing tasks",
        };
        let text = format!("{new}/{desired} new, {old} old{failed}; {state}");
        if old > 0 && new >= desired {
            Self::OnlyOldLeft(text)
        } else {
            Self::UnderWay(text)
        }
    }
}

/// Whether ECS's own circuit breaker would give up, of which the service has none
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>).
fn keeps_failing(workload: &Workload) -> bool {
    let threshold = (workload.desired.saturating_add(1) / 2).clamp(3, 200);
    let has_none = matches!(
        workload.platform,
        Platform::Service {
            circuit_breaker: CircuitBreaker::Off,
            ..
        }
    );
    has_none
        && workload
            .primary()
            .is_some_and(|primary| primary.failed_tasks >= threshold)
}
