//! One rollout, looked at until it is over.

use std::time::Duration;

use indicatif::ProgressBar;
use redeploy_core::decide::Decision;
use redeploy_core::reason::Reason;
use redeploy_core::report::ServiceReport;
use redeploy_core::workload::{CircuitBreaker, Platform, Workload};
use redeploy_on_rotation::aws::READ_LAG;
use tokio::time::{Instant, sleep};

use super::{Entry, Limits, Rollout, Run, Shared, Value};
use crate::operator::{RolloutProgress, Stage, protected_tasks, rollout_progress};
use crate::output::display_name;

/// How often a rollout is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Looks at a rollout until it is over.
    pub(super) async fn look(
        &self,
        workload: &Workload,
        shared: &Shared<'_>,
        decision: &Decision,
        report: ServiceReport,
        line: &ProgressBar,
        limits: &Limits,
    ) -> Entry {
        let aws = &self.session.aws;
        let deployment = report.deployment.clone().unwrap_or_default();
        let name = display_name(&workload.arn);
        let began = Instant::now();
        loop {
            let progress = match rollout_progress(aws, workload, &deployment).await {
                Ok(progress) => progress,
                Err(error) => {
                    return Entry::failed(report, format!("it cannot be followed: {error}"));
                }
            };
            let text = describe(&progress);
            line.set_message(format!("{name}: {text}"));
            match &progress.stage {
                Stage::Completed if progress.old == 0 => {
                    return Entry::new(report, Rollout::Completed, Value::New);
                }
                Stage::Failed(why) => return Entry::failed(report, why.clone()),
                // So early, a read may not show ours yet.
                Stage::Superseded if began.elapsed() >= READ_LAG => {
                    return self.superseded(shared, report, decision).await;
                }
                Stage::UnderWay if keeps_failing(workload, &progress) => {
                    let why = format!(
                        "{} tasks in a row failed to start, and without a deployment circuit \
                         breaker ECS goes on trying{}",
                        progress.failed,
                        said(&progress)
                    );
                    return Entry::failed(report, why);
                }
                // What is left are old tasks, which may be here to stay.
                Stage::UnderWay | Stage::Completed
                    if progress.old > 0 && progress.new >= progress.desired =>
                {
                    let protected = protected_tasks(aws, workload, &deployment).await;
                    if let Ok(Some(tasks)) = protected {
                        return Entry::protected(report, tasks);
                    }
                }
                Stage::UnderWay | Stage::Completed | Stage::Superseded => {}
            }
            if let Err(cut) = limits.sleep(LOOK_EVERY).await {
                let why = format!("{text}{}", said(&progress));
                return self.cut(report, cut, &why);
            }
        }
    }

    /// Another deployment took the place of ours: the planner knows whether that is a newer one, or
    /// a roll-back.
    async fn superseded(
        &self,
        shared: &Shared<'_>,
        report: ServiceReport,
        decision: &Decision,
    ) -> Entry {
        // ECS may still show ours as one that is under way.
        sleep(READ_LAG).await;
        match self.decide_again(shared, decision).await {
            Ok((_, now)) if now.reason == Reason::AlreadyFresh => {
                Entry::new(report, Rollout::Superseded, Value::OnTheWay)
            }
            Ok(_) => Entry::failed(report, "ECS went back to the deployment before".to_owned()),
            Err(error) => Entry::failed(report, error),
        }
    }
}

/// Whether ECS's own circuit breaker would give up, of which the service has none
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>).
fn keeps_failing(workload: &Workload, progress: &RolloutProgress) -> bool {
    let threshold = (progress.desired.saturating_add(1) / 2).clamp(3, 200);
    let has_none = matches!(
        workload.platform,
        Platform::Service {
            circuit_breaker: CircuitBreaker::Off,
            ..
        }
    );
    has_none && progress.failed >= threshold
}

fn describe(progress: &RolloutProgress) -> String {
    let RolloutProgress {
        stage,
        desired,
        new,
        failed,
        old,
        said: _,
    } = progress;
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {failed} failed to start"),
    };
    let state = match stage {
        Stage::Completed => "stopping old tasks",
        _ => "replacing tasks",
    };
    format!("{new}/{desired} new, {old} old{failed}; {state}")
}

/// What ECS said last.
fn said(progress: &RolloutProgress) -> String {
    let said = progress.said.as_ref();
    said.map(|said| format!("; ECS says: {said}"))
        .unwrap_or_default()
}
