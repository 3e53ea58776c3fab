//! The images that services run, and what their tags name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_config::Region;
use aws_sdk_ecr::types::ImageIdentifier;
use aws_sdk_ecs::types::ServiceRevision;
use redeploy_core::fact::Fact;
use redeploy_core::image::{ContainerImage, EcrImage, RevisionImages};
use redeploy_core::workload::Workload;

use super::paging::in_parallel;
use super::{ApiBucket, Aws, AwsError, ErrorKind};

impl Aws {
    /// The images of the live service revisions of each workload.
    pub(super) async fn images_of(
        &self,
        workloads: &[&Workload],
    ) -> Vec<(Arc<str>, Fact<Vec<RevisionImages>>)> {
        let live = workloads
            .iter()
            .flat_map(|workload| &workload.service_revisions);
        let arns = live.map(|revision| revision.arn.clone()).collect();
        let mut described = BTreeMap::new();
        for (arns, answer) in self.describe_service_revisions(arns).await {
            for arn in arns {
                let found = answer.as_ref().map(|found| {
                    let mut found = found.iter();
                    found
                        .find(|found| found.service_revision_arn() == Some(&arn))
                        .cloned()
                });
                described.insert(arn, found.map_err(AwsError::gap));
            }
        }
        let images = workloads.iter().map(|workload| {
            let live = workload.service_revisions.iter().filter_map(|live| {
                let found = described.get(&live.arn)?.clone();
                // ECS knows none of revisions from before October 2024.
                Some(found.map(|found| found.map(|found| images(&found, live.runs))))
            });
            let all: Result<Vec<_>, _> = live.collect();
            let all = all.map(|all| all.into_iter().flatten().collect());
            (workload.arn.clone(), all.into())
        });
        images.collect()
    }

    /// The digests of the images that these tags name; `None` for a tag or repository that does not
    /// exist.
    pub(super) async fn image_tags(
        &self,
        images: BTreeSet<EcrImage>,
    ) -> Vec<(EcrImage, Fact<Option<String>>)> {
        let found = in_parallel(images, async |image| {
            let digest = self.image_digest(&image).await;
            (image, digest.map_err(|error| error.gap()).into())
        });
        found.await
    }

    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html>
    async fn image_digest(&self, image: &EcrImage) -> Result<Option<String>, AwsError> {
        let region = Region::new(image.region.clone());
        let region = aws_sdk_ecr::config::Builder::new().region(region);
        let tag = ImageIdentifier::builder().image_tag(&image.tag).build();
        let call = self
            .ecr
            .describe_images()
            .registry_id(&image.registry)
            .repository_name(&image.repository)
            .image_ids(tag);
        let call = async || {
            let call = call.clone().customize().config_override(region.clone());
            call.send().await
        };
        let action = "ecr:DescribeImages";
        match self.read(ApiBucket::Images, action, call).await {
            Ok(found) => {
                let details = found.image_details.unwrap_or_default();
                Ok(details.into_iter().find_map(|detail| detail.image_digest))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn images(revision: &ServiceRevision, runs: bool) -> RevisionImages {
    let images = revision
        .container_images()
        .iter()
        .map(|image| ContainerImage {
            container: image.container_name().unwrap_or_default().to_owned(),
            image: image.image().unwrap_or_default().to_owned(),
            digest: image.image_digest().map(str::to_owned),
        });
    RevisionImages {
        task_definition: revision.task_definition().unwrap_or_default().to_owned(),
        runs,
        images: images.collect(),
    }
}
