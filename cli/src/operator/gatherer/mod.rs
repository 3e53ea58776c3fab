//! The facts that [`crate::doctor`] examines. No value of any secret or parameter is among them.

mod role;
mod secrets;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use redeploy_core::arn::Arn;
use redeploy_core::config::MappedService;
use redeploy_core::facts::Look;
use redeploy_core::workload::{self, Workload};
use redeploy_on_rotation::aws::{Aws, AwsError, ErrorKind, timestamp};

use self::service::{network, next_task_definition, platform};
use super::Session;
use crate::doctor::{Facts, Known, Member, Mention, Place, Primary, Secret, may_mean};

/// Gathers facts for a doctor, and leaves open what it may not read.
#[derive(Debug)]
pub struct Gatherer<'a> {
    aws: &'a Aws,
    ecs: aws_sdk_ecs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    iam: aws_sdk_iam::Client,
    /// The Region of the services, where names are looked up.
    region: String,
}

impl Session {
    /// A gatherer for the account and Region of this connection.
    #[must_use]
    pub fn gatherer(&self) -> Gatherer<'_> {
        Gatherer::new(&self.aws, &self.sdk)
    }
}

impl<'a> Gatherer<'a> {
    /// A gatherer for the account and Region of these clients.
    #[must_use]
    pub fn new(aws: &'a Aws, sdk: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(15))
            .build();
        let config = sdk
            .to_builder()
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        let region = sdk.region().map(ToString::to_string).unwrap_or_default();
        Self {
            ecs: aws.ecs.clone(),
            secrets: aws.secrets.clone(),
            iam: aws_sdk_iam::Client::new(&config),
            aws,
            region,
        }
    }

    /// What there is to know about a service; about one secret only, where that is given by name or
    /// ARN.
    ///
    /// # Errors
    /// When the service itself cannot be read, or is not there. What else cannot be read
    /// is left open in the facts.
    pub async fn service(
        &self,
        service: &MappedService,
        secret: Option<&str>,
    ) -> Result<Facts, AwsError> {
        let described = self.describe_service(service).await?;
        let arn = described.service_arn.clone().unwrap_or_default();
        let parsed = Arn::parse(&arn)
            .ok_or_else(|| refused("ecs:DescribeServices", "the answer has no ARN"))?;
        let mut task_definition = match next_task_definition(&described) {
            Some(name) => self
                .task_definition(&name)
                .await
                .map_err(|error| error.to_string()),
            None => Err("the service names no task definition".to_owned()),
        };
        if let (Ok(definition), Some(secret)) = (&mut task_definition, secret) {
            definition
                .mentions
                .retain(|mention| may_mean(mention, secret));
        }
        let primary = described
            .deployments()
            .iter()
            .find(|deployment| deployment.status() == Some("PRIMARY"));
        let primary = primary.and_then(|deployment| {
            Some(Primary {
                created_at: timestamp(deployment.created_at()?)?,
                running: deployment.running_count,
            })
        });
        let since = primary.map(|primary| primary.created_at);
        let messages = described.events().iter().filter_map(|event| {
            let at = timestamp(event.created_at()?)?;
            since
                .is_none_or(|since| at >= since)
                .then(|| Some((at, event.message()?.to_owned())))?
        });
        let mut messages: Vec<_> = messages.collect();
        messages.sort_by_key(|(at, _)| *at);
        let mut facts = Facts {
            home: parsed.location(),
            partition: parsed.partition,
            primary,
            platform: platform(&described),
            network: network(&described),
            task_definition,
            secrets: BTreeMap::new(),
            parameters: BTreeMap::new(),
            roles: BTreeMap::new(),
            permissions: BTreeMap::new(),
            stopped: self
                .stopped_tasks(service)
                .await
                .map_err(|error| error.to_string()),
            messages,
            service: arn,
        };
        if let Ok(definition) = &facts.task_definition {
            let definition = definition.clone();
            (facts.secrets, facts.parameters) = self.named(&definition.mentions, &facts.home).await;
            self.ask_iam(&mut facts, &definition).await;
        }
        Ok(facts)
    }

    /// The services that name a secret, by name or ARN: as far as a name can tell.
    #[must_use]
    pub fn services_of(look: &Look, secret: &str) -> Vec<MappedService> {
        let mention = |text: String| Mention {
            at: String::new(),
            member: Member::ValueFrom,
            text,
        };
        let names = |workload: &&Workload| {
            let mut references = workload.uses.iter().map(workload::Use::reference);
            workload.platform != workload::Platform::StandaloneTask
                && references.any(|reference| may_mean(&mention(reference.to_string()), secret))
        };
        let last = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        let services = look.workloads.iter().filter(names);
        services
            .map(|service| MappedService {
                cluster: last(&service.cluster),
                service: last(&service.arn),
            })
            .collect()
    }

    /// A secret by itself, and what its name finds where its ARN does not.
    pub async fn secret(&self, id: &str) -> (Place, BTreeMap<Place, Known<Option<Secret>>>) {
        let region = Arn::parse(id).map_or_else(|| self.region.clone(), |arn| arn.region);
        let place = (region, id.to_owned());
        let found = self.secrets(BTreeSet::from([place.clone()])).await;
        (place, found)
    }
}

fn refused(action: &'static str, message: &str) -> AwsError {
    AwsError {
        action,
        kind: ErrorKind::Rejected,
        message: message.to_owned(),
    }
}
