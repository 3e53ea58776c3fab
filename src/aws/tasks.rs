//! Which tasks are older than their service's deployment looks: what outlived a rollout, and what belongs to no service.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::DesiredStatus;
use jiff::{SignedDuration, Timestamp};

use super::Category;
use super::inventory::{in_parallel, pages, timestamp};
use super::{Aws, AwsError, lock};
use redeploy_core::arn::Arn;
use redeploy_core::service::{Service, Task};

/// `DescribeTasks` and `DescribeClusters` accept this many names.
const NAMES_PER_CALL: usize = 100;
/// A task outside services that is younger than this may end soon, as one that a schedule starts.
const LONG_RUNNING: SignedDuration = SignedDuration::from_hours(1);
/// What ECS puts before the name of a service into the group of its tasks.
const SERVICE_GROUP: &str = "service:";

impl Aws {
    /// Adds to a service when the oldest of its tasks started that are not of its PRIMARY deployment.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn find_oldest_task(&self, service: Service) -> Result<Service, AwsError> {
        let primary = service.primary().map(|deployment| deployment.id.as_str());
        let name = service.arn.rsplit('/').next();
        let tasks = self.running_tasks(&service.cluster, name).await?;
        let old = tasks.iter().filter(|task| task.started_by() != primary);
        let oldest_task = old.filter_map(|task| timestamp(task.started_at()?)).min();
        Ok(Service {
            oldest_task,
            ..service
        })
    }

    /// The running tasks of these clusters that belong to none of their services, and are not about to end by themselves.
    ///
    /// Costs a call for a hundred clusters, and more only where a cluster runs more tasks than its services do.
    /// What could not be read is in the warnings.
    pub async fn tasks_outside(
        &self,
        clusters: &[String],
        services: &[Service],
        now: Timestamp,
    ) -> (Vec<Task>, Vec<String>) {
        let mut in_services = BTreeMap::<String, i32>::new();
        for service in services {
            *in_services.entry(service.cluster.clone()).or_default() += service.running;
        }
        let chunks: Vec<_> = clusters.chunks(NAMES_PER_CALL).map(<[_]>::to_vec).collect();
        let mut warnings = Vec::new();
        let mut crowded = Vec::new();
        for answer in in_parallel(chunks, async |names| self.running_counts(names).await).await {
            match answer {
                Ok(counts) => {
                    crowded.extend(
                        counts
                            .into_iter()
                            .filter(|(arn, n)| in_services.get(arn).unwrap_or(&0) < n),
                    );
                }
                Err(error) => {
                    warnings.push(format!("tasks outside services are not known: {error}"))
                }
            }
        }
        let crowded = crowded.into_iter().map(|(cluster, _)| cluster);
        let answers = in_parallel(crowded, async |cluster| {
            let tasks = self.running_tasks(&cluster, None).await;
            tasks.map_err(|error| {
                format!("tasks outside services in {cluster} are not known: {error}")
            })
        });
        let mut tasks = Vec::new();
        for answer in answers.await {
            match answer {
                Ok(found) => tasks.extend(found),
                Err(warning) => warnings.push(warning),
            }
        }
        tasks.retain(|task| {
            task.group()
                .is_some_and(|group| !group.starts_with(SERVICE_GROUP))
        });
        let named = tasks
            .iter()
            .filter_map(|task| task.task_definition_arn.clone());
        let failed = self.read_task_definitions(named).await;
        warnings.extend(
            failed
                .into_iter()
                .map(|(arn, error)| format!("what tasks of {arn} read is not known: {error}")),
        );
        let read = lock(&self.task_definitions);
        let facts = |task: aws_sdk_ecs::types::Task| {
            let arn = task.task_arn?;
            Some(Task {
                home: Arn::parse(&arn)?.home(),
                started_at: timestamp(task.started_at.as_ref()?)?,
                uses: read.get(&task.task_definition_arn?)?.uses.clone(),
                arn,
            })
        };
        let tasks = tasks.into_iter().filter_map(facts);
        (
            tasks
                .filter(|task| now.duration_since(task.started_at) >= LONG_RUNNING)
                .collect(),
            warnings,
        )
    }

    /// How many tasks run in each cluster, by its ARN.
    async fn running_counts(&self, clusters: Vec<String>) -> Result<Vec<(String, i32)>, AwsError> {
        let call = self.ecs.describe_clusters().set_clusters(Some(clusters));
        let answer = self
            .read(Category::ClusterRead, "ecs:DescribeClusters", async || {
                call.clone().send().await
            })
            .await?;
        let found = answer.clusters.unwrap_or_default().into_iter();
        Ok(found
            .filter_map(|cluster| Some((cluster.cluster_arn?, cluster.running_tasks_count)))
            .collect())
    }

    /// The running tasks of a cluster, or of one of its services.
    async fn running_tasks(
        &self,
        cluster: &str,
        service: Option<&str>,
    ) -> Result<Vec<aws_sdk_ecs::types::Task>, AwsError> {
        let call = self
            .ecs
            .list_tasks()
            .cluster(cluster)
            .desired_status(DesiredStatus::Running)
            .max_results(100);
        let call = call.set_service_name(service.map(str::to_owned));
        let arns = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(Category::ClusterResourceRead, "ecs:ListTasks", page)
                .await?;
            Ok((page.task_arns.unwrap_or_default(), page.next_token))
        })
        .await?;
        let chunks: Vec<_> = arns.chunks(NAMES_PER_CALL).map(<[_]>::to_vec).collect();
        let answers = in_parallel(chunks, async |names| {
            let call = self
                .ecs
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(names));
            let call = async || call.clone().send().await;
            self.read(Category::ClusterResourceRead, "ecs:DescribeTasks", call)
                .await
        });
        let mut tasks = Vec::new();
        for answer in answers.await {
            tasks.extend(answer?.tasks.unwrap_or_default());
        }
        Ok(tasks)
    }
}
