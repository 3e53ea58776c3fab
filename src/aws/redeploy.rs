//! `UpdateService`: the only call that changes anything.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_ecs::config::Builder;
use tokio::time::{Instant, sleep};

use super::{Aws, AwsError, Class, READ_LAG, inventory, lock};
use crate::plan::{Reason, plan};
use crate::secret::Rotation;
use crate::service::{Deployment, Service};

/// How often a call is made before the service counts as failed.
const ATTEMPTS: u32 = 8;

/// What came of redeploying one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeployed {
    /// It has a new deployment, by its id where AWS named it.
    Yes(Option<String>),
    /// It turned out not to need one, or not to accept one.
    No(Reason),
}

impl Aws {
    /// Gives a stale service one new deployment.
    ///
    /// A call that was refused for being one too many is made again, later. After a call that may have had its effect
    /// the service is read again, and the plan decides anew: no rollout is ever started twice.
    ///
    /// # Errors
    /// When AWS refuses the call for good, or gives no usable answer in several attempts.
    pub async fn redeploy(&self, service: &Service, rotations: &[Rotation]) -> Result<Redeployed, AwsError> {
        let mut attempt = 1;
        loop {
            let error = match self.force_new_deployment(service).await {
                Ok(deployment) => return Ok(Redeployed::Yes(deployment)),
                Err(error) => error,
            };
            match error.class {
                Class::Gone => return Ok(Redeployed::No(Reason::NotActive)),
                Class::Refused => return Err(error),
                Class::Throttled | Class::Unanswered if attempt == ATTEMPTS => return Err(error),
                Class::Throttled => sleep(back_off(attempt)).await,
                Class::Unanswered => {
                    // If the call took effect, a read shows it by then.
                    sleep(READ_LAG).await;
                    let Some(service) = self.read_again(service).await? else {
                        return Ok(Redeployed::No(Reason::NotActive));
                    };
                    match plan(rotations, std::slice::from_ref(&service)).first().map(|decision| decision.reason) {
                        Some(Reason::Stale) | None => {}
                        Some(Reason::AlreadyFresh) => {
                            return Ok(Redeployed::Yes(service.primary().map(|deployment| deployment.id.clone())));
                        }
                        Some(reason) => return Ok(Redeployed::No(reason)),
                    }
                }
            }
            attempt += 1;
        }
    }

    /// One call, with no parameter but these: whatever else could be sent would change the service.
    async fn force_new_deployment(&self, service: &Service) -> Result<Option<String>, AwsError> {
        let call = self.ecs.update_service().cluster(&service.cluster).service(&service.arn).force_new_deployment(true);
        // The SDK would repeat the call after a time-out, and so start a second rollout.
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let answer = call.customize().config_override(once).send().await;
        let answer = answer.map_err(|error| AwsError::new("ecs:UpdateService", &error))?;
        let deployments = answer.service.map(|service| inventory::deployments(&service)).unwrap_or_default();
        let primary = deployments.into_iter().find(|deployment| deployment.primary);
        Ok(primary.map(|deployment| self.remember(service, deployment)))
    }

    /// Keeps the deployment in mind until reads show it, and says its id.
    fn remember(&self, service: &Service, deployment: Deployment) -> String {
        let id = deployment.id.clone();
        lock(&self.own_deployments).insert(service.arn.clone(), (deployment, Instant::now()));
        id
    }
}

/// 0.25 to 0.5 s after the first attempt, then twice as long each time, up to 20 s.
fn back_off(attempt: u32) -> Duration {
    let most = Duration::from_millis(500).saturating_mul(1 << attempt.saturating_sub(1).min(16));
    most.min(Duration::from_secs(20)).mul_f64(0.5 + fastrand::f64() / 2.0)
}
