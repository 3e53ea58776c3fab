//! What a person wants to know about a service beside what decides.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::DeploymentStrategy;
use serde::Serialize;

use super::{Aws, AwsError, lock};
use redeploy_core::service::Use;

/// Facts about a service that no decision depends on, read from the same answer as those that do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    pub controller: String,
    /// `ROLLING`, `BLUE_GREEN`, `LINEAR` or `CANARY`.
    pub strategy: String,
    /// What becomes of a rollout that fails.
    pub circuit_breaker: CircuitBreaker,
    /// The ARNs of the task definitions of all live deployments.
    pub task_definitions: BTreeSet<String>,
}

/// What ECS does about a rollout that fails
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitBreaker {
    /// It goes on trying.
    Off,
    /// It stops.
    Stop,
    /// It stops and goes back to the deployment before.
    Rollback,
}

/// What a task definition revision says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// What its tasks read.
    pub uses: Vec<Use>,
    /// The images of its containers.
    pub images: Vec<String>,
}

impl Details {
    /// The facts of one answer.
    pub(super) fn of(
        service: &aws_sdk_ecs::types::Service,
        task_definitions: &BTreeSet<String>,
    ) -> Self {
        let configuration = service.deployment_configuration();
        let breaker =
            configuration.and_then(|configuration| configuration.deployment_circuit_breaker());
        let word = |text: Option<&str>, default: &str| text.unwrap_or(default).to_owned();
        Self {
            controller: word(
                service
                    .deployment_controller()
                    .map(|controller| controller.r#type().as_str()),
                "ECS",
            ),
            strategy: word(
                configuration
                    .and_then(|c| c.strategy())
                    .map(DeploymentStrategy::as_str),
                "ROLLING",
            ),
            circuit_breaker: match breaker {
                Some(breaker) if breaker.enable() && breaker.rollback() => CircuitBreaker::Rollback,
                Some(breaker) if breaker.enable() => CircuitBreaker::Stop,
                _ => CircuitBreaker::Off,
            },
            task_definitions: task_definitions.clone(),
        }
    }
}

impl Aws {
    /// What these revisions say, by ARN; those that the lookups did not read are read now.
    pub async fn revisions(
        &self,
        arns: &BTreeSet<String>,
    ) -> (BTreeMap<String, Revision>, BTreeMap<String, AwsError>) {
        let failed = self.read_task_definitions(arns.iter().cloned()).await;
        let read = lock(&self.task_definitions);
        let revision = |arn: &String| {
            let read = read.get(arn)?;
            Some((
                arn.clone(),
                Revision {
                    uses: read.uses.clone(),
                    images: read.images.clone(),
                },
            ))
        };
        (arns.iter().filter_map(revision).collect(), failed)
    }
}
