//! `UpdateService`: the only call that changes anything.

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::Category;
use super::{ATTEMPTS, Aws, AwsError, Class, READ_LAG, back_off, inventory, lock};
use redeploy_core::plan::{Reason, plan};
use redeploy_core::secret::Change;
use redeploy_core::service::{Deployment, Service};

/// What AWS says of a service whose controller it is not to force, in a sentence that ends with the controller.
const FORCE_REFUSED: &str = "Cannot force a new deployment on services with a";

/// What came of redeploying one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redeployed {
    /// It has a new deployment, by its id where AWS named it.
    Yes(Option<String>),
    /// It turned out not to need one, or not to accept one.
    No(Reason),
    /// There was not enough time for it.
    NotStarted,
}

impl Aws {
    /// Gives a stale service one new deployment, unless its turn comes only at `stop_at` or later.
    ///
    /// A call that was refused for being one too many is made again, later. After a call that may have had its effect
    /// the service and its deployments are read again, and the plan decides anew: no rollout is ever started twice.
    ///
    /// # Errors
    /// When AWS refuses the call for good, or gives no usable answer in several attempts.
    pub async fn redeploy(
        &self,
        service: &Service,
        rotations: &[Change],
        stop_at: Option<Instant>,
        now: impl Fn() -> Timestamp,
    ) -> Result<Redeployed, AwsError> {
        let mut attempt = 1;
        loop {
            self.pace.take(Category::ServiceModify).await;
            if stop_at.is_some_and(|stop| Instant::now() >= stop) {
                return Ok(Redeployed::NotStarted);
            }
            lock(&self.redeployed).insert(service.arn.clone(), now());
            let error = match self.force_new_deployment(service).await {
                Ok(deployment) => return Ok(Redeployed::Yes(deployment)),
                Err(error) => error,
            };
            match error.class {
                Class::Gone => return Ok(Redeployed::No(Reason::NotActive)),
                // Its controller was changed since it was read; no retry can help.
                Class::Invalid if error.message.contains(FORCE_REFUSED) => {
                    return Ok(Redeployed::No(Reason::UnsupportedController));
                }
                Class::Invalid | Class::Refused => return Err(error),
                Class::Throttled | Class::Unanswered | Class::Unsupported
                    if attempt == ATTEMPTS =>
                {
                    return Err(error);
                }
                Class::Throttled => sleep(back_off(attempt)).await,
                Class::Unanswered | Class::Unsupported => {
                    // If the call took effect, a read shows it by then.
                    sleep(READ_LAG).await;
                    let now = match self.read_again(service).await {
                        Err(AwsError {
                            class: Class::Gone, ..
                        }) => return Ok(Redeployed::No(Reason::NotActive)),
                        answer => answer?,
                    };
                    let now = self.recall_for(rotations, now).await?;
                    match plan(rotations, std::slice::from_ref(&now))
                        .first()
                        .map(|decision| decision.reason)
                    {
                        Some(Reason::Stale) | None => {}
                        Some(Reason::AlreadyFresh) => {
                            // Where only the history tells, the PRIMARY still is the one before.
                            let new = now
                                .primary()
                                .filter(|new| service.primary().is_none_or(|old| old.id != new.id));
                            return Ok(Redeployed::Yes(
                                new.map(|deployment| deployment.id.clone()),
                            ));
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
        let call = self
            .ecs
            .update_service()
            .cluster(&service.cluster)
            .service(&service.arn)
            .force_new_deployment(true);
        let call = async || call.clone().send().await;
        let answer = self
            .call(Category::ServiceModify, "ecs:UpdateService", call)
            .await?;
        let deployments = answer
            .service
            .map(|service| inventory::deployments(&service))
            .unwrap_or_default();
        let primary = deployments
            .into_iter()
            .find(|deployment| deployment.primary);
        Ok(primary.map(|deployment| self.remember(service, deployment)))
    }

    /// Keeps the deployment in mind until reads show it, and says its id.
    fn remember(&self, service: &Service, deployment: Deployment) -> String {
        let id = deployment.id.clone();
        lock(&self.own_deployments).insert(service.arn.clone(), (deployment, Instant::now()));
        id
    }
}
