//! Services as `DescribeServices` shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::types::{
    DeploymentController, DeploymentControllerType, DeploymentRolloutState, DeploymentStrategy,
    Service, ServiceField, Tag,
};
use jiff::Timestamp;
use redeploy_core::arn::Arn;
use redeploy_core::config::{Config, ImageGuard, cluster_name};
use redeploy_core::fact::Fact;
use redeploy_core::tag::ServiceTag;
use redeploy_core::workload::{
    CircuitBreaker, Controller, Deployment, Platform, RolloutState, ServiceRevision, Strategy, Use,
    Workload,
};

use super::client::lock;
use super::paging::{in_parallel, timestamp};
use super::{ApiBucket, Aws, AwsError, ErrorKind};

/// `DescribeServices` accepts this many names.
const SERVICES_PER_CALL: usize = 10;
/// Why `DescribeServices` leaves out a service that does not exist.
const MISSING: &str = "MISSING";

/// A service as it was asked for, by ARN or as `<cluster>/<service>`, and what came of it; `None` when
/// it does not exist.
pub(super) type Read = (Arc<str>, Result<Option<Described>, AwsError>);

/// A service as described, before its task definitions are read.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) workload: Workload,
    /// The revisions of all live deployments.
    pub(super) task_definitions: BTreeSet<Arc<str>>,
    /// The revision of its next deployment.
    pub(super) next_task_definition: Option<Arc<str>>,
    /// What could not be understood, in sentences.
    pub(super) warnings: Vec<String>,
}

impl Aws {
    /// All that ECS says of one service, by names or ARNs; `None` when it does not exist.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn service_of(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Option<Service>, AwsError> {
        let call = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .services(service);
        let call = async || call.clone().send().await;
        let answer = self.read(ApiBucket::ServiceRead, "ecs:DescribeServices", call);
        let services = answer.await?.services.unwrap_or_default();
        Ok(services.into_iter().next())
    }

    /// Describes services by cluster, as many at a time as one call accepts.
    pub(super) async fn describe(
        &self,
        config: &Config,
        by_cluster: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
        now: Timestamp,
    ) -> Vec<Read> {
        let mut batches = Vec::new();
        for (cluster, services) in by_cluster {
            let services = Vec::from_iter(services);
            let chunks = services.chunks(SERVICES_PER_CALL);
            batches.extend(chunks.map(|services| (cluster.clone(), services.to_vec())));
        }
        let answers = in_parallel(batches, async |(cluster, services)| {
            let read = self.describe_batch(config, &cluster, services, now).await;
            let known_as = |name: Arc<str>| {
                if name.starts_with("arn:") {
                    name
                } else {
                    format!("{}/{name}", cluster_name(&cluster)).into()
                }
            };
            let read = read.into_iter();
            read.map(|(name, read)| (known_as(name), read))
                .collect::<Vec<_>>()
        });
        answers.await.into_iter().flatten().collect()
    }

    /// Describes services of one cluster. AWS refuses a batch for a single name in it, so a refused
    /// one is asked for name by name.
    async fn describe_batch(
        &self,
        config: &Config,
        cluster: &str,
        services: Vec<Arc<str>>,
        now: Timestamp,
    ) -> Vec<Read> {
        let error = match self.describe_call(config, cluster, &services, now).await {
            Ok(read) => return read,
            Err(error) => error,
        };
        match error.kind {
            // The cluster was deleted.
            ErrorKind::NotFound => services.into_iter().map(|name| (name, Ok(None))).collect(),
            ErrorKind::Denied | ErrorKind::Rejected | ErrorKind::Invalid if services.len() > 1 => {
                let each = in_parallel(services, async |name| {
                    let one = std::slice::from_ref(&name);
                    match self.describe_call(config, cluster, one, now).await {
                        Ok(read) => read,
                        Err(error) if error.kind == ErrorKind::NotFound => vec![(name, Ok(None))],
                        Err(error) => vec![(name, Err(error))],
                    }
                });
                each.await.into_iter().flatten().collect()
            }
            _ => {
                let failed = |name| (name, Err(error.clone()));
                services.into_iter().map(failed).collect()
            }
        }
    }

    async fn describe_call(
        &self,
        config: &Config,
        cluster: &str,
        services: &[Arc<str>],
        now: Timestamp,
    ) -> Result<Vec<Read>, AwsError> {
        const ACTION: &str = "ecs:DescribeServices";
        let names = services.iter().map(ToString::to_string).collect();
        let call = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .set_services(Some(names));
        let call = call.include(ServiceField::Tags);
        let call = async || call.clone().send().await;
        let answer = self.read(ApiBucket::ServiceRead, ACTION, call).await?;
        let described = answer.services.unwrap_or_default();
        let described = described.iter().filter_map(|service| {
            let described = self.described(config, cluster, service, now)?;
            Some((described.workload.arn.clone(), described))
        });
        let mut described: Vec<_> = described.collect();
        let failures = answer.failures.unwrap_or_default();
        let read = services.iter().map(|asked| {
            // By name, because a failure may have a short ARN, and all of a batch are of one cluster.
            let name = last_part(asked);
            let is_asked = |arn: &str| arn == &**asked || last_part(arn) == name;
            let exact = described.iter().position(|(arn, _)| arn == asked);
            let found = exact.or_else(|| {
                described
                    .iter()
                    .position(|(arn, _)| !asked.starts_with("arn:") && is_asked(arn))
            });
            if let Some(found) = found {
                return (asked.clone(), Ok(Some(described.swap_remove(found).1)));
            }
            let failure = failures
                .iter()
                .find(|failure| failure.arn().is_some_and(is_asked));
            let reason = failure.map(|failure| failure.reason().unwrap_or_default().to_owned());
            let answer = match reason {
                Some(reason) if reason == MISSING => Ok(None),
                reason => Err(AwsError {
                    action: ACTION,
                    kind: ErrorKind::Rejected,
                    message: reason
                        .unwrap_or_else(|| "the answer leaves the service out".to_owned()),
                }),
            };
            (asked.clone(), answer)
        });
        Ok(read.collect())
    }

    /// The facts of one answer; `None` for an answer without an ARN.
    fn described(
        &self,
        config: &Config,
        cluster: &str,
        service: &Service,
        now: Timestamp,
    ) -> Option<Described> {
        let arn: Arc<str> = service.service_arn.clone()?.into();
        let parsed = Arn::parse(&arn)?;
        let tags = service.tags().iter();
        let tag = tags
            .filter(|tag| tag.key() == Some(&config.tag_key))
            .find_map(Tag::value);
        let configuration = service.deployment_configuration();
        let live = service
            .deployments()
            .iter()
            .filter(|d| d.status() != Some("INACTIVE"));
        let live = live.filter_map(|deployment| deployment.task_definition());
        let sets = service
            .task_sets()
            .iter()
            .filter_map(|set| set.task_definition());
        let mut task_definitions: BTreeSet<Arc<str>> = live.chain(sets).map(Into::into).collect();
        let current = service.task_definition().map(Into::into);
        if task_definitions.is_empty() {
            task_definitions.extend(current.clone());
        }
        let mut deployments = deployments(service);
        let name = service.service_name().unwrap_or_default();
        let cluster = service.cluster_arn().unwrap_or(cluster);
        let (mut uses, mut warnings) = self.service_connect_uses(&arn, service);
        let mut memory = lock(&self.memory);
        let location = memory.location(&parsed);
        let words = ServiceTag::parse(tag.unwrap_or_default());
        let (mut named, wrong) = words.references(&arn, config.tags);
        warnings.extend(wrong);
        let mapped = config.mapping.iter().filter(|line| {
            let is_it = |mapped: &redeploy_core::config::MappedService| {
                mapped.service == name && mapped.cluster == cluster_name(cluster)
            };
            line.services.iter().any(is_it)
        });
        named.extend(mapped.map(|line| line.secret.clone()));
        let is_named = !named.is_empty();
        let named = named.into_iter();
        uses.extend(named.map(|named| Use::AtStart(memory.share(named))));
        // An answer may be too old to show the deployment of our own call.
        if let Some(own) = memory.just_forced(&arn)
            && deployments.iter().all(|deployment| deployment.id != own.id)
        {
            for deployment in &mut deployments {
                deployment.primary = false;
            }
            deployments.push(own.clone());
        }
        let next = deployments.iter().find(|deployment| deployment.primary);
        let next = next
            .and_then(|next| next.task_definition.known().cloned())
            .or(current);
        let revisions = service.current_service_revisions().iter();
        let revisions = revisions.filter_map(|revision| {
            Some(ServiceRevision {
                arn: revision.arn()?.to_owned(),
                runs: revision.running_task_count > 0,
            })
        });
        let is_guarded = config.image_guard != ImageGuard::Off;
        let service_revisions = revisions.filter(|_| is_guarded).collect();
        let platform = Platform::Service {
            controller: controller(service),
            strategy: strategy(configuration.and_then(|c| c.strategy())),
            circuit_breaker: circuit_breaker(service),
        };
        let workload = Workload {
            location: Some(location),
            active: service.status() == Some("ACTIVE"),
            created_at: service.created_at().and_then(timestamp),
            tag: tag.map(Into::into),
            is_named,
            desired: service.desired_count,
            running: service.running_count,
            pending: service.pending_count,
            deployments,
            uses: uses.into(),
            read_at: Some(now),
            forced_at: memory.forced(&arn).map(|own| own.created_at),
            service_revisions,
            ..Workload::new(arn, cluster.into(), platform)
        };
        Some(Described {
            workload,
            task_definitions,
            next_task_definition: next,
            warnings,
        })
    }
}

fn controller(service: &Service) -> Controller {
    match service
        .deployment_controller()
        .map(DeploymentController::r#type)
    {
        None | Some(DeploymentControllerType::Ecs) => Controller::Ecs,
        Some(DeploymentControllerType::CodeDeploy) => Controller::CodeDeploy,
        Some(_) => Controller::External,
    }
}

fn strategy(strategy: Option<&DeploymentStrategy>) -> Strategy {
    match strategy {
        None | Some(DeploymentStrategy::Rolling) => Strategy::Rolling,
        Some(DeploymentStrategy::Linear) => Strategy::Linear,
        Some(DeploymentStrategy::Canary) => Strategy::Canary,
        // Whatever else there will be, it is not replaced task by task.
        Some(_) => Strategy::BlueGreen,
    }
}

fn circuit_breaker(service: &Service) -> CircuitBreaker {
    let configuration = service.deployment_configuration();
    match configuration.and_then(|configuration| configuration.deployment_circuit_breaker()) {
        Some(breaker) if breaker.enable() && breaker.rollback() => CircuitBreaker::Rollback,
        Some(breaker) if breaker.enable() => CircuitBreaker::Stop,
        _ => CircuitBreaker::Off,
    }
}

/// The deployments of a service or, with an external controller, its task sets.
pub(super) fn deployments(service: &Service) -> Vec<Deployment> {
    let revision = |arn: Option<&str>| arn.map_or(Fact::Unasked, |arn| Fact::Known(arn.into()));
    let deployments = service.deployments().iter().filter_map(|deployment| {
        Some(Deployment {
            id: deployment.id().unwrap_or_default().to_owned(),
            created_at: timestamp(deployment.created_at()?)?,
            updated_at: deployment.updated_at().and_then(timestamp),
            primary: deployment.status() == Some("PRIMARY"),
            running: deployment.running_count,
            failed_tasks: deployment.failed_tasks,
            rollout: match deployment.rollout_state() {
                Some(DeploymentRolloutState::InProgress) => RolloutState::InProgress,
                Some(DeploymentRolloutState::Completed) => RolloutState::Completed,
                Some(DeploymentRolloutState::Failed) => RolloutState::Failed,
                _ => RolloutState::Unknown,
            },
            task_definition: revision(deployment.task_definition()),
            service_revision: None,
        })
    });
    let task_sets = service.task_sets().iter().filter_map(|set| {
        Some(Deployment {
            id: set.id().unwrap_or_default().to_owned(),
            created_at: timestamp(set.created_at()?)?,
            updated_at: set.updated_at().and_then(timestamp),
            primary: set.status() == Some("PRIMARY"),
            running: set.running_count,
            failed_tasks: 0,
            rollout: RolloutState::Unknown,
            task_definition: revision(set.task_definition()),
            service_revision: None,
        })
    });
    deployments.chain(task_sets).collect()
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
