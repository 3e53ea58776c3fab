//! What ECS says of a rollout besides what the planner knows.

use aws_sdk_ecs::types::{DeploymentRolloutState, DesiredStatus};
use redeploy_core::workload::Workload;
use redeploy_on_rotation::aws::{ApiBucket, Aws, AwsError, timestamp};

/// What ECS said last about a service since its newest deployment: why that failed, or the last
/// event.
///
/// # Errors
/// When the call fails.
pub async fn last_word(aws: &Aws, workload: &Workload) -> Result<Option<String>, AwsError> {
    let Some(service) = aws.service_of(&workload.cluster, &workload.arn).await? else {
        return Ok(None);
    };
    let mut failed = service.deployments().iter();
    let failed = failed.find_map(|deployment| {
        let is_failed = deployment.rollout_state()? == &DeploymentRolloutState::Failed;
        deployment.rollout_state_reason().filter(|_| is_failed)
    });
    let since = workload.deployments.iter().map(|d| d.created_at).max();
    let mut events = service.events().iter();
    let event = events.find(|event| event.created_at().and_then(timestamp) >= since);
    let said = failed.or_else(|| event?.message());
    Ok(said.map(str::to_owned))
}

/// The tasks that are not of the PRIMARY deployment, if all of them are protected from scale-in, and
/// so are here to stay; else nothing
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>).
///
/// # Errors
/// When a call fails.
pub async fn protected_tasks(
    aws: &Aws,
    workload: &Workload,
) -> Result<Option<Vec<String>>, AwsError> {
    const BUCKET: ApiBucket = ApiBucket::ClusterResourceRead;
    let primary = workload.primary().map(|primary| primary.id.as_str());
    let name = workload.arn.rsplit('/').next();
    let tasks = aws.tasks(&workload.cluster, name, DesiredStatus::Running);
    let tasks = tasks.await?.into_iter();
    let old = tasks.filter(|task| task.started_by() != primary);
    let old: Vec<_> = old.filter_map(|task| task.task_arn).collect();
    let mut protected = Vec::new();
    for old in old.chunks(100) {
        let call = aws.ecs.get_task_protection().cluster(&*workload.cluster);
        let call = call.set_tasks(Some(old.to_vec()));
        let call = async || call.clone().send().await;
        let answer = aws.read(BUCKET, "ecs:GetTaskProtection", call).await?;
        let found = answer.protected_tasks.unwrap_or_default().into_iter();
        let found = found.filter(|task| task.protection_enabled);
        protected.extend(found.filter_map(|task| task.task_arn));
    }
    let all = !old.is_empty() && protected.len() == old.len();
    Ok(all.then_some(protected))
}

/// The `CodeDeploy` deployment and the task definition of the PRIMARY task set; `None` for the first
/// one of a service, which `CodeDeploy` did not make.
///
/// # Errors
/// When the call fails.
pub async fn primary_task_set(
    aws: &Aws,
    workload: &Workload,
) -> Result<Option<(String, String)>, AwsError> {
    let service = aws.service_of(&workload.cluster, &workload.arn).await?;
    let sets = service.and_then(|service| service.task_sets);
    let mut sets = sets.unwrap_or_default().into_iter();
    let primary = sets.find(|set| set.status() == Some("PRIMARY"));
    Ok(primary.and_then(|set| Some((set.external_id?, set.task_definition?))))
}
