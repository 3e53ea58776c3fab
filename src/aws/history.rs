//! The earlier deployments of a service, and their revisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_ecs::types::{
    CreatedAt, ServiceDeploymentBrief, ServiceDeploymentStatus, ServiceRevision,
};
use jiff::Timestamp;
use redeploy_core::fact::Fact;
use redeploy_core::workload::{Deployment, RolloutState, Workload};

use super::paging::{in_parallel, pages, timestamp};
use super::{ApiBucket, Aws, AwsError, ErrorKind};

/// `DescribeServiceRevisions` accepts this many ARNs.
const REVISIONS_PER_CALL: usize = 20;

impl Aws {
    /// The deployments of a service that were created since then; none where the endpoint, which
    /// then is not AWS, does not know the operation.
    pub(super) async fn history(
        &self,
        workload: &Workload,
        since: Timestamp,
    ) -> Result<Vec<Deployment>, AwsError> {
        // A little earlier, because where times are cut to the second the first may be left out.
        let after = aws_sdk_ecs::primitives::DateTime::from_secs(since.as_second() - 2);
        let created = CreatedAt::builder().after(after).build();
        let call = self.ecs.list_service_deployments();
        let call = call
            .cluster(&*workload.cluster)
            .service(&*workload.arn)
            .max_results(100);
        let call = call.set_created_at((since > Timestamp::UNIX_EPOCH).then_some(created));
        let listed = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let action = "ecs:ListServiceDeployments";
            let page = self
                .read(ApiBucket::ServiceDeployment, action, page)
                .await?;
            Ok((
                page.service_deployments.unwrap_or_default(),
                page.next_token,
            ))
        });
        match listed.await {
            Err(error) if error.kind == ErrorKind::Unsupported => Ok(Vec::new()),
            listed => Ok(listed?.into_iter().filter_map(deployment).collect()),
        }
    }

    /// These service revisions, in calls of as many as one accepts.
    pub(super) async fn describe_service_revisions(
        &self,
        arns: Vec<String>,
    ) -> Vec<(Vec<String>, Result<Vec<ServiceRevision>, AwsError>)> {
        let chunks = arns.chunks(REVISIONS_PER_CALL).map(<[_]>::to_vec);
        let answers = in_parallel(chunks, async |arns| {
            let call = self.ecs.describe_service_revisions();
            let call = call.set_service_revision_arns(Some(arns.clone()));
            let call = async || call.clone().send().await;
            let action = "ecs:DescribeServiceRevisions";
            let answer = self.read(ApiBucket::ServiceRevision, action, call).await;
            let revisions = answer.map(|answer| answer.service_revisions.unwrap_or_default());
            (arns, revisions)
        });
        answers.await
    }

    /// The task definitions of these service revisions, by their ARNs.
    pub(super) async fn task_definitions_of(
        &self,
        revisions: Vec<String>,
    ) -> BTreeMap<String, Fact<Arc<str>>> {
        let mut found = BTreeMap::new();
        for (arns, answer) in self.describe_service_revisions(revisions).await {
            for arn in arns {
                let fact = match &answer {
                    Ok(revisions) => {
                        let is_it = |arn: &str| {
                            revisions
                                .iter()
                                .find(|r| r.service_revision_arn() == Some(arn))
                        };
                        let definition = is_it(&arn).and_then(|found| found.task_definition());
                        definition.map_or_else(
                            || Fact::Unavailable(unlisted(&arn)),
                            |definition| Fact::Known(definition.into()),
                        )
                    }
                    Err(error) => Fact::Unavailable(error.gap()),
                };
                found.insert(arn, fact);
            }
        }
        found
    }
}

fn unlisted(revision: &str) -> redeploy_core::fact::Gap {
    redeploy_core::fact::Gap {
        kind: redeploy_core::fact::GapKind::NotFound,
        error: format!("ecs:DescribeServiceRevisions does not list {revision}"),
    }
}

fn deployment(brief: ServiceDeploymentBrief) -> Option<Deployment> {
    let created = brief.created_at.as_ref().or(brief.started_at.as_ref())?;
    Some(Deployment {
        created_at: timestamp(created)?,
        updated_at: None,
        id: brief.service_deployment_arn.unwrap_or_default(),
        primary: false,
        running: 0,
        failed_tasks: 0,
        rollout: brief.status.as_ref().map_or(RolloutState::Unknown, rollout),
        task_definition: Fact::Unasked,
        service_revision: brief.target_service_revision_arn,
    })
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
fn rollout(status: &ServiceDeploymentStatus) -> RolloutState {
    match status {
        ServiceDeploymentStatus::Successful => RolloutState::Completed,
        ServiceDeploymentStatus::Pending | ServiceDeploymentStatus::InProgress => {
            RolloutState::InProgress
        }
        ServiceDeploymentStatus::RollbackRequested
        | ServiceDeploymentStatus::RollbackInProgress => RolloutState::RollingBack,
        ServiceDeploymentStatus::RollbackSuccessful | ServiceDeploymentStatus::RollbackFailed => {
            RolloutState::Failed
        }
        ServiceDeploymentStatus::Stopped | ServiceDeploymentStatus::StopRequested => {
            RolloutState::Stopped
        }
        _ => RolloutState::Unknown,
    }
}
