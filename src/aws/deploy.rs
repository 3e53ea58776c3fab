//! `UpdateService`: the only call that changes anything.

use redeploy_core::workload::Workload;

use super::client::lock;
use super::describe::deployments;
use super::{ApiBucket, Aws, AwsError, ErrorKind};

/// Why a service accepts no forced deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not exist, or is not ACTIVE.
    NotActive,
    /// Its controller is not ECS.
    UnsupportedController,
    /// Its task definition revision was deregistered.
    InactiveTaskDefinition,
    /// Five deployments of it are active. Old tasks that are protected keep them so.
    TooManyDeployments,
}

/// A forced deployment that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployError {
    /// The service accepts none.
    Refused(Refusal),
    /// Throttled; it had no effect.
    Throttled(AwsError),
    /// No usable answer; it may have had its effect.
    Ambiguous(AwsError),
    /// It failed for good.
    Failed(AwsError),
}

impl Aws {
    /// Waits until `UpdateService` may be called once more.
    pub async fn wait_for_deploy_turn(&self) {
        self.rate_limiter.take(ApiBucket::ServiceModify).await;
    }

    /// Forces one new deployment, with no parameter but these: whatever else could be sent would
    /// change the service. Gives its id, where AWS names it.
    ///
    /// # Errors
    /// When AWS does not confirm the deployment.
    pub async fn force_new_deployment(
        &self,
        workload: &Workload,
    ) -> Result<Option<String>, DeployError> {
        let call = self.ecs.update_service().cluster(&*workload.cluster);
        let call = call.service(&*workload.arn).force_new_deployment(true);
        let call = async || call.clone().send().await;
        let answer = self
            .call(ApiBucket::ServiceModify, "ecs:UpdateService", call)
            .await;
        let service = answer.map_err(DeployError::from)?.service;
        let deployments = service
            .map(|service| deployments(&service))
            .unwrap_or_default();
        let primary = deployments
            .into_iter()
            .find(|deployment| deployment.primary);
        Ok(primary.map(|deployment| {
            let id = deployment.id.clone();
            lock(&self.memory).force(workload.arn.clone(), deployment);
            id
        }))
    }
}

impl From<AwsError> for DeployError {
    fn from(error: AwsError) -> Self {
        // No error code of their own tells these apart.
        let refusal = match error.kind {
            ErrorKind::NotFound => Some(Refusal::NotActive),
            _ if error
                .message
                .contains("Cannot force a new deployment on services with a") =>
            {
                Some(Refusal::UnsupportedController)
            }
            _ if error.message.contains("TaskDefinition is inactive") => {
                Some(Refusal::InactiveTaskDefinition)
            }
            _ if error.message.contains("active deployments exist") => {
                Some(Refusal::TooManyDeployments)
            }
            _ => None,
        };
        match (refusal, error.kind) {
            (Some(refusal), _) => Self::Refused(refusal),
            (None, ErrorKind::Throttled) => Self::Throttled(error),
            (None, ErrorKind::Ambiguous | ErrorKind::Unsupported) => Self::Ambiguous(error),
            (None, _) => Self::Failed(error),
        }
    }
}
