//! The only place that names the AWS SDK: facts in, `UpdateService` out.
//!
//! No call here can return a secret's value.

mod error;
mod inventory;
mod redeploy;
mod secrets;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use tokio::time::Instant;

use crate::service::{Deployment, Use};

pub use error::{AwsError, Class};
pub use inventory::{Inventory, Unexamined};
pub use redeploy::Redeployed;

/// How many calls are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// How long a read may lag behind a write.
const READ_LAG: Duration = Duration::from_secs(5);

/// The clients, made once per process, and what a warm process may remember.
///
/// Nothing depends on the memory: task definition revisions never change, and the deployments are forgotten after
/// five seconds.
#[derive(Debug)]
pub struct Aws {
    ecs: aws_sdk_ecs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
    /// What the tasks of a revision read, by its ARN.
    task_definitions: Mutex<HashMap<String, Arc<TaskDefinition>>>,
    /// The deployments that our own calls were answered with, by the ARN of the service.
    own_deployments: Mutex<HashMap<String, (Deployment, Instant)>>,
}

/// What a task definition revision says about secrets.
#[derive(Debug, Default)]
struct TaskDefinition {
    uses: Vec<Use>,
    /// What could not be understood, in sentences.
    warnings: Vec<String>,
}

impl Aws {
    /// Clients for the account, Region and endpoint that the environment names.
    pub async fn from_env() -> Self {
        Self::new(&aws_config::defaults(BehaviorVersion::v2026_01_12()).load().await)
    }

    /// Clients for this account, Region and endpoint.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(15))
            .build();
        let retries = RetryConfig::standard().with_max_attempts(8);
        let config = config.to_builder().timeout_config(timeouts).retry_config(retries).build();
        Self {
            ecs: aws_sdk_ecs::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            tagging: aws_sdk_resourcegroupstagging::Client::new(&config),
            task_definitions: Mutex::default(),
            own_deployments: Mutex::default(),
        }
    }
}

/// Locks; a panic elsewhere leaves these maps whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
