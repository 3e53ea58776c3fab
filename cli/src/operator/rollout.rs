//! How far a rollout is that this person started.

use aws_sdk_ecs::types::DeploymentRolloutState;
use redeploy_core::workload::Workload;
use redeploy_on_rotation::aws::{ApiBucket, Aws, AwsError};

/// One look at a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutProgress {
    /// How far it is.
    pub stage: Stage,
    /// How many tasks the service should have.
    pub desired: i32,
    /// How many tasks of the new deployment run.
    pub new: i32,
    /// How many of its tasks could not be kept running.
    pub failed: i32,
    /// How many tasks of earlier deployments still run.
    pub old: i32,
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Tasks are being replaced.
    UnderWay,
    /// All tasks are of the new deployment.
    Completed,
    /// It failed; why, where ECS says.
    Failed(String),
    /// Another deployment took its place: a newer one, or the one that ECS rolled back to.
    Superseded,
}

/// How far the deployment of this id is.
///
/// # Errors
/// When the call fails, or the service is gone.
pub async fn rollout_progress(
    aws: &Aws,
    workload: &Workload,
    deployment: &str,
) -> Result<RolloutProgress, AwsError> {
    let call = aws.ecs.describe_services().cluster(&*workload.cluster);
    let call = call.services(&*workload.arn);
    let call = async || call.clone().send().await;
    let answer = aws
        .read(ApiBucket::ServiceRead, "ecs:DescribeServices", call)
        .await?;
    let gone = || {
        AwsError::not_made(
            "ecs:DescribeServices",
            &std::io::Error::other("the service is gone"),
        )
    };
    let service = answer
        .services
        .unwrap_or_default()
        .into_iter()
        .next()
        .ok_or_else(gone)?;
    let deployments = service.deployments();
    let ours = deployments
        .iter()
        .find(|known| known.id() == Some(deployment));
    let new = ours.map_or(0, |ours| ours.running_count);
    let old: i32 = deployments
        .iter()
        .map(|known| known.running_count)
        .sum::<i32>()
        - new;
    let is_primary = ours.is_some_and(|ours| ours.status() == Some("PRIMARY"));
    let stage = match ours.and_then(|ours| ours.rollout_state()) {
        Some(DeploymentRolloutState::Failed) => {
            let why = ours
                .and_then(|ours| ours.rollout_state_reason())
                .unwrap_or("it failed");
            Stage::Failed(why.to_owned())
        }
        _ if !is_primary => Stage::Superseded,
        Some(DeploymentRolloutState::Completed) => Stage::Completed,
        // Staged deployments carry no state in some answers.
        None if deployments.len() == 1 && new == service.desired_count => Stage::Completed,
        _ => Stage::UnderWay,
    };
    let failed = ours.map_or(0, |ours| ours.failed_tasks);
    Ok(RolloutProgress {
        stage,
        desired: service.desired_count,
        new,
        failed,
        old,
    })
}
