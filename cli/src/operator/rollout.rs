//! How far a rollout is.

use aws_sdk_ecs::types::{DeploymentRolloutState, DesiredStatus};
use redeploy_core::workload::Workload;
use redeploy_on_rotation::aws::{ApiBucket, Aws, AwsError, pages};

/// One look at a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutProgress {
    /// How far it is.
    pub stage: Stage,
    /// How many tasks the service should have.
    pub desired: i32,
    /// How many tasks of the new deployment run.
    pub new: i32,
    /// How many of its tasks in a row could not be kept running.
    pub failed: i32,
    /// How many tasks of earlier deployments still run.
    pub old: i32,
    /// What ECS said last about the service since it began.
    pub said: Option<String>,
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
    let began = ours.and_then(|ours| ours.created_at());
    let mut events = service.events().iter();
    let said = events.find(|event| event.created_at().is_some_and(|at| Some(at) >= began));
    Ok(RolloutProgress {
        stage,
        desired: service.desired_count,
        new,
        failed,
        old,
        said: said.and_then(|said| said.message.clone()),
    })
}

/// The tasks that are not of this deployment, if all of them are protected from scale-in, and so are
/// here to stay; else nothing
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>).
///
/// # Errors
/// When a call fails.
pub async fn protected_tasks(
    aws: &Aws,
    workload: &Workload,
    deployment: &str,
) -> Result<Option<Vec<String>>, AwsError> {
    const BUCKET: ApiBucket = ApiBucket::ClusterResourceRead;
    let name = workload.arn.rsplit('/').next().unwrap_or_default();
    let call = aws.ecs.list_tasks().cluster(&*workload.cluster);
    let call = call
        .service_name(name)
        .desired_status(DesiredStatus::Running);
    let arns = pages(async |token| {
        let call = call.clone().set_next_token(token);
        let page = async || call.clone().send().await;
        let page = aws.read(BUCKET, "ecs:ListTasks", page).await?;
        Ok((page.task_arns.unwrap_or_default(), page.next_token))
    });
    let mut protected = Vec::new();
    for arns in arns.await?.chunks(100) {
        let call = aws.ecs.describe_tasks().cluster(&*workload.cluster);
        let call = call.set_tasks(Some(arns.to_vec()));
        let call = async || call.clone().send().await;
        let described = aws.read(BUCKET, "ecs:DescribeTasks", call).await?;
        let tasks = described.tasks.unwrap_or_default().into_iter();
        let old = tasks.filter(|task| task.started_by() != Some(deployment));
        let old: Vec<_> = old.filter_map(|task| task.task_arn).collect();
        if old.is_empty() {
            continue;
        }
        let call = aws.ecs.get_task_protection().cluster(&*workload.cluster);
        let call = call.set_tasks(Some(old.clone()));
        let call = async || call.clone().send().await;
        let answer = aws.read(BUCKET, "ecs:GetTaskProtection", call).await?;
        let found = answer.protected_tasks.unwrap_or_default().into_iter();
        let found = found.filter(|task| task.protection_enabled);
        let found: Vec<_> = found.filter_map(|task| task.task_arn).collect();
        if found.len() < old.len() {
            return Ok(None);
        }
        protected.extend(found);
    }
    Ok((!protected.is_empty()).then_some(protected))
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
    let call = aws.ecs.describe_services().cluster(&*workload.cluster);
    let call = call.services(&*workload.arn);
    let call = async || call.clone().send().await;
    let answer = aws.read(ApiBucket::ServiceRead, "ecs:DescribeServices", call);
    let services = answer.await?.services.unwrap_or_default();
    let mut sets = services
        .into_iter()
        .flat_map(|service| service.task_sets.unwrap_or_default());
    let primary = sets.find(|set| set.status() == Some("PRIMARY"));
    Ok(primary.and_then(|set| Some((set.external_id?, set.task_definition?))))
}
