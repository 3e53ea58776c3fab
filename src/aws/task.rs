//! Running tasks: those of a service, and those that belong to none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::types::DesiredStatus;
use jiff::{SignedDuration, Timestamp};
use redeploy_core::arn::Arn;
use redeploy_core::fact::Fact;
use redeploy_core::workload::{Deployment, Platform, RolloutState, Task, Workload};

use super::client::lock;
use super::paging::{PAGE_SIZE, in_parallel, pages, timestamp};
use super::{ApiBucket, Aws, AwsError};

/// `DescribeTasks` accepts this many names.
const TASKS_PER_CALL: usize = 100;
/// A standalone task that is younger than this may end soon, as one that a schedule starts.
const LONG_RUNNING: SignedDuration = SignedDuration::from_hours(1);
/// What ECS puts before the name of a service into the group of its tasks.
const SERVICE_GROUP: &str = "service:";

impl Aws {
    /// The running tasks of a service.
    pub(super) async fn tasks_of(&self, workload: &Workload) -> Result<Vec<Task>, AwsError> {
        let name = workload.arn.rsplit('/').next();
        let tasks = self.tasks(&workload.cluster, name, DesiredStatus::Running);
        let tasks = tasks.await?;
        let task = |task: &aws_sdk_ecs::types::Task| {
            Some(Task {
                created_at: timestamp(task.created_at().or(task.started_at())?)?,
                started_by: task.started_by().unwrap_or_default().to_owned(),
            })
        };
        Ok(tasks.iter().filter_map(task).collect())
    }

    /// The running tasks of these clusters that belong to none of their services, and are not about
    /// to end by themselves.
    ///
    /// Costs a call for a hundred clusters, and more only where a cluster runs more tasks than its
    /// services do. What could not be read is in the warnings.
    pub(super) async fn standalone_tasks(
        &self,
        clusters: &[String],
        services: &[Workload],
        now: Timestamp,
    ) -> (Vec<Workload>, BTreeSet<String>) {
        let mut in_services = BTreeMap::<&str, i32>::new();
        for service in services {
            *in_services.entry(&service.cluster).or_default() += service.running;
        }
        let mut warnings = BTreeSet::new();
        let mut crowded = Vec::new();
        for answer in self.describe_clusters(clusters).await {
            match answer {
                Ok(clusters) => {
                    let counts = clusters.into_iter().filter_map(|cluster| {
                        Some((cluster.cluster_arn?, cluster.running_tasks_count))
                    });
                    crowded.extend(counts.filter(|(arn, count)| {
                        in_services.get(arn.as_str()).unwrap_or(&0) < count
                    }));
                }
                Err(error) => {
                    warnings.insert(format!("standalone tasks are not known: {error}"));
                }
            }
        }
        let answers = in_parallel(crowded, async |(cluster, _)| {
            let tasks = self.tasks(&cluster, None, DesiredStatus::Running).await;
            tasks.map_err(|error| format!("standalone tasks of {cluster} are not known: {error}"))
        });
        let mut tasks = Vec::new();
        for answer in answers.await {
            match answer {
                Ok(found) => tasks.extend(found),
                Err(warning) => drop(warnings.insert(warning)),
            }
        }
        tasks.retain(|task| {
            task.group()
                .is_some_and(|group| !group.starts_with(SERVICE_GROUP))
        });
        let named = tasks.iter().filter_map(|task| task.task_definition_arn());
        let (revisions, failed) = self.revisions(&named.map(Into::into).collect()).await;
        let unread = failed.into_iter();
        warnings.extend(
            unread.map(|(arn, error)| format!("what tasks of {arn} read is not known: {error}")),
        );
        let workload = |task: aws_sdk_ecs::types::Task| {
            let started_at = timestamp(task.started_at.as_ref()?)?;
            let definition: Arc<str> = task.task_definition_arn?.into();
            let uses = revisions.get(&definition)?.uses.clone();
            let arn = task.task_arn?;
            let location = lock(&self.memory).location(&Arn::parse(&arn)?);
            let cluster = task.cluster_arn.unwrap_or_default();
            (now.duration_since(started_at) >= LONG_RUNNING).then(|| Workload {
                location: Some(location),
                desired: 1,
                running: 1,
                // A task is its own only deployment.
                deployments: vec![Deployment {
                    id: arn.clone(),
                    created_at: started_at,
                    updated_at: None,
                    primary: true,
                    running: 1,
                    failed_tasks: 0,
                    rollout: RolloutState::Completed,
                    task_definition: Fact::Known(definition),
                    service_revision: None,
                }],
                uses,
                read_at: Some(now),
                ..Workload::new(arn.into(), cluster.into(), Platform::StandaloneTask)
            })
        };
        (tasks.into_iter().filter_map(workload).collect(), warnings)
    }

    /// The tasks of a cluster, or of one of its services, that run or are to stop.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn tasks(
        &self,
        cluster: &str,
        service: Option<&str>,
        desired: DesiredStatus,
    ) -> Result<Vec<aws_sdk_ecs::types::Task>, AwsError> {
        let call = self
            .ecs
            .list_tasks()
            .cluster(cluster)
            .max_results(PAGE_SIZE);
        let call = call.desired_status(desired);
        let call = call.set_service_name(service.map(str::to_owned));
        let arns = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(ApiBucket::ClusterResourceRead, "ecs:ListTasks", page)
                .await?;
            Ok((page.task_arns.unwrap_or_default(), page.next_token))
        })
        .await?;
        let answers = in_parallel(arns.chunks(TASKS_PER_CALL), async |names| {
            let call = self.ecs.describe_tasks().cluster(cluster);
            let call = call.set_tasks(Some(names.to_vec()));
            let call = async || call.clone().send().await;
            self.read(ApiBucket::ClusterResourceRead, "ecs:DescribeTasks", call)
                .await
        });
        let mut tasks = Vec::new();
        for answer in answers.await {
            tasks.extend(answer?.tasks.unwrap_or_default());
        }
        Ok(tasks)
    }
}
