//! The clusters, and the services in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_ecs::types::Cluster;
use redeploy_core::arn::Arn;

use super::client::lock;
use super::paging::{PAGE_SIZE, in_parallel, pages};
use super::{ApiBucket, Aws, AwsError};

/// `DescribeClusters` accepts this many names.
const CLUSTERS_PER_CALL: usize = 100;
/// With more clusters than this, the empty ones are found first. AWS Batch makes a cluster for each
/// compute environment.
const MANY: usize = 10;

impl Aws {
    /// The clusters of the Region that have services, by ARN.
    pub(super) async fn clusters_with_services(&self) -> Result<Vec<String>, AwsError> {
        let clusters = self.list_clusters().await?;
        if clusters.len() <= MANY {
            return Ok(clusters);
        }
        let described = self.describe_clusters(&clusters).await;
        let is_empty = |cluster: &Cluster| {
            let counts = [
                cluster.active_services_count,
                cluster.running_tasks_count,
                cluster.pending_tasks_count,
            ];
            counts.iter().all(|count| *count == 0)
        };
        let described = described.into_iter().flatten().flatten();
        let empty = described
            .filter(is_empty)
            .filter_map(|cluster| cluster.cluster_arn);
        let empty: BTreeSet<_> = empty.collect();
        // What could not be described is read as if it had services; and so is everything by an
        // endpoint that counts nothing, as some emulators of AWS do.
        if empty.len() == clusters.len() {
            return Ok(clusters);
        }
        Ok(clusters
            .into_iter()
            .filter(|cluster| !empty.contains(cluster))
            .collect())
    }

    /// All clusters of the Region, by ARN, which tells the account, too.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn list_clusters(&self) -> Result<Vec<String>, AwsError> {
        let call = self.ecs.list_clusters().max_results(PAGE_SIZE);
        let clusters = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(ApiBucket::ClusterRead, "ecs:ListClusters", page)
                .await?;
            Ok((page.cluster_arns.unwrap_or_default(), page.next_token))
        });
        let clusters = clusters.await?;
        if let Some(cluster) = clusters.iter().find_map(|cluster| Arn::parse(cluster)) {
            lock(&self.memory).location(&cluster);
        }
        Ok(clusters)
    }

    /// Counts of these clusters, in answers of a hundred.
    pub(super) async fn describe_clusters(
        &self,
        clusters: &[String],
    ) -> Vec<Result<Vec<Cluster>, AwsError>> {
        let chunks = clusters.chunks(CLUSTERS_PER_CALL).map(<[_]>::to_vec);
        in_parallel(chunks, async |names| {
            let call = self.ecs.describe_clusters().set_clusters(Some(names));
            let call = async || call.clone().send().await;
            let answer = self
                .read(ApiBucket::ClusterRead, "ecs:DescribeClusters", call)
                .await?;
            Ok(answer.clusters.unwrap_or_default())
        })
        .await
    }

    /// The services of a cluster, by ARN.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn list_services(&self, cluster: &str) -> Result<Vec<Arc<str>>, AwsError> {
        let call = self
            .ecs
            .list_services()
            .cluster(cluster)
            .max_results(PAGE_SIZE);
        pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(ApiBucket::ServiceRead, "ecs:ListServices", page)
                .await?;
            let arns = page.service_arns.unwrap_or_default();
            Ok((arns.into_iter().map(Into::into).collect(), page.next_token))
        })
        .await
    }

    /// Whether a resource is of another account than the clusters here.
    pub(super) async fn is_of_another_account(&self, arn: &Arn) -> bool {
        if lock(&self.memory).account().is_none() {
            // What it finds is remembered. An account that is not known is no other one.
            let _ = self.list_clusters().await;
        }
        let memory = lock(&self.memory);
        memory.account().is_some_and(|own| own != arn.account)
    }
}
