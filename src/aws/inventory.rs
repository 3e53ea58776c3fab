//! Which services there are, and the facts about them: the lookups `scan`, `tags` and `config`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use aws_sdk_ecs::types::{
    ContainerDefinition, DeploymentController, DeploymentControllerType, DeploymentRolloutState,
    DeploymentStrategy, LogConfiguration, ServiceField, Tag,
};
use aws_sdk_resourcegroupstagging::types::TagFilter;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::Category;
use super::details::Details;
use super::{Aws, AwsError, CALLS_AT_ONCE, Class, READ_LAG, TaskDefinition, lock};
use redeploy_core::arn::{Arn, Location};
use redeploy_core::config::{Config, MappedService, cluster_name};
use redeploy_core::report::LookupProblem;
use redeploy_core::secret::{Change, Follows, Reference, Source};
use redeploy_core::service::{Controller, Deployment, RolloutState, Service, Use};

/// The word in our tag that opts a service out.
const IGNORE: &str = "ignore";
/// Why `DescribeServices` leaves out a service that does not exist.
const MISSING: &str = "MISSING";
/// `DescribeServices` accepts this many names.
const SERVICES_PER_CALL: usize = 10;
/// The list calls of ECS and of the tagging API answer with at most this many.
const PAGE_SIZE: i32 = 100;

/// Which services are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those that may have to do with these changes.
    Changed(&'a [Change]),
    /// All.
    All,
    /// The one with this ARN.
    One(&'a str),
}

impl Scope<'_> {
    /// Whether something that names this reference is looked for.
    fn includes(self, reference: &Reference, home: &Location) -> bool {
        match self {
            Self::Changed(rotations) => concerns(reference, rotations, home),
            Self::All | Self::One(_) => true,
        }
    }

    /// The secrets that these references mean: the changed ones by ARN, else as they are named.
    fn subjects(self, references: &BTreeSet<&Reference>) -> Vec<String> {
        match self {
            Self::Changed(rotations) => {
                let named = |subject: &Source| {
                    references
                        .iter()
                        .any(|reference| reference.follows(subject, &subject.home()) != Follows::No)
                };
                rotations
                    .iter()
                    .map(|r| &r.subject)
                    .filter(|subject| named(subject))
                    .map(ToString::to_string)
                    .collect()
            }
            Self::All | Self::One(_) => references.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What the lookups found.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The services, each once.
    pub services: Vec<Service>,
    /// What a person wants to know beside, by the ARN of the service.
    pub details: BTreeMap<String, Details>,
    /// The clusters that were scanned, by name or ARN.
    pub clusters: Vec<String>,
    /// What should have been examined and could not be.
    pub unexamined: Vec<Unexamined>,
    /// What was not understood or vanished, in sentences.
    pub warnings: Vec<String>,
}

/// A service or cluster that could not be examined, so that nobody knows whether it is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexamined {
    /// The service's ARN, `<cluster>/<service>`, or a cluster.
    pub name: String,
    /// Why, in a word.
    pub problem: LookupProblem,
    /// Why, in a sentence.
    pub error: String,
    /// The secrets for which it was to be examined, where that is known.
    pub secrets: Vec<String>,
}

impl Unexamined {
    /// A service about which AWS gave no answer.
    #[must_use]
    pub fn unreadable(service: String, error: String) -> Self {
        Self {
            name: service,
            problem: LookupProblem::LookupFailed,
            error,
            secrets: Vec::new(),
        }
    }
}

/// A service as described, before its task definitions are read.
struct Described {
    service: Service,
    /// The name of the service, for the mapping.
    name: String,
    task_definitions: BTreeSet<String>,
    /// The value of our tag.
    tag: Option<String>,
    details: Details,
}

/// Services of one cluster, by name or ARN, as one call describes them.
struct Batch {
    cluster: String,
    services: Vec<String>,
}

impl Aws {
    /// Finds the services.
    ///
    /// With `scan` those are all services of the clusters in scope; with `tags` and `config`, those that are named
    /// together with a secret that is looked for.
    ///
    /// # Errors
    /// When a call fails without which nothing can be found. Everything smaller is in the inventory.
    pub async fn inventory(
        &self,
        config: &Config,
        scope: Scope<'_>,
    ) -> Result<Inventory, AwsError> {
        let mut inventory = Inventory::default();
        let mut batches = Vec::new();
        if let Scope::One(service) = scope {
            batches.extend(one_service(config, service, &mut inventory));
        } else if config.scan {
            batches.extend(self.all_services(config, &mut inventory).await?);
        } else if config.tags {
            batches.extend(self.tagged_services(config, scope, &mut inventory).await?);
        }
        let mut found = self.describe(config, batches, &mut inventory).await;
        self.describe_mapped(config, scope, &mut found, &mut inventory)
            .await;
        if config.tags {
            follow_tags(&mut found, &mut inventory);
        }
        if config.scan {
            self.follow_task_definitions(&mut found, &mut inventory)
                .await;
        }
        inventory.details.extend(
            found
                .iter()
                .map(|described| (described.service.arn.clone(), described.details.clone())),
        );
        inventory.services = found
            .into_iter()
            .map(|described| described.service)
            .collect();
        Ok(inventory)
    }

    /// The same service as it is now.
    ///
    /// # Errors
    /// When the call fails, and when the service is gone.
    pub async fn read_again(&self, service: &Service) -> Result<Service, AwsError> {
        let batch = Batch {
            cluster: service.cluster.clone(),
            services: vec![service.arn.clone()],
        };
        let (described, failures) = self.describe_batch(&batch, None).await?;
        let now = described.into_iter().next().ok_or_else(|| {
            let message = failures
                .into_iter()
                .map(|(_, reason)| reason)
                .next()
                .unwrap_or_default();
            let class = if message == MISSING {
                Class::Gone
            } else {
                Class::Refused
            };
            AwsError {
                action: "ecs:DescribeServices",
                class,
                message,
            }
        })?;
        // The tag and the task definitions were read a moment ago; only the deployments can have changed.
        let Service {
            opted_out, uses, ..
        } = service.clone();
        Ok(Service {
            opted_out,
            uses,
            ..now.service
        })
    }

    /// Every service of the clusters in scope, in batches.
    async fn all_services(
        &self,
        config: &Config,
        inventory: &mut Inventory,
    ) -> Result<Vec<Batch>, AwsError> {
        let clusters = match &config.clusters {
            Some(clusters) => clusters.clone(),
            None => self.all_clusters().await?,
        };
        let lists = in_parallel(clusters, async |cluster| {
            (self.services_of(&cluster).await, cluster)
        })
        .await;
        let mut batches = Vec::new();
        for (services, cluster) in lists {
            match services {
                Ok(services) => {
                    batches.extend(in_tens(&cluster, &services));
                    inventory.clusters.push(cluster);
                }
                Err(AwsError {
                    class: Class::Gone, ..
                }) if config.clusters.is_none() => {
                    inventory.warnings.push(format!(
                        "the cluster {cluster} was deleted while it was read"
                    ));
                }
                Err(error) => inventory.unexamined.push(Unexamined {
                    error: match error.class {
                        Class::Gone => format!(
                            "REDEPLOY_CLUSTERS names a cluster that does not exist; {error}"
                        ),
                        _ => error.to_string(),
                    },
                    problem: match error.class {
                        Class::Gone => LookupProblem::NotFound,
                        _ => LookupProblem::LookupFailed,
                    },
                    name: cluster,
                    secrets: Vec::new(),
                }),
            }
        }
        Ok(batches)
    }

    async fn all_clusters(&self) -> Result<Vec<String>, AwsError> {
        let call = self.ecs.list_clusters().max_results(PAGE_SIZE);
        pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(Category::ClusterRead, "ecs:ListClusters", page)
                .await?;
            Ok((page.cluster_arns.unwrap_or_default(), page.next_token))
        })
        .await
    }

    async fn services_of(&self, cluster: &str) -> Result<Vec<String>, AwsError> {
        let call = self
            .ecs
            .list_services()
            .cluster(cluster)
            .max_results(PAGE_SIZE);
        pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(Category::ServiceRead, "ecs:ListServices", page)
                .await?;
            Ok((page.service_arns.unwrap_or_default(), page.next_token))
        })
        .await
    }

    /// The services whose tag names one of the changed secrets, in batches.
    async fn tagged_services(
        &self,
        config: &Config,
        scope: Scope<'_>,
        inventory: &mut Inventory,
    ) -> Result<Vec<Batch>, AwsError> {
        let clusters: Option<BTreeSet<_>> = config.clusters.as_ref().map(|clusters| {
            clusters
                .iter()
                .map(|cluster| cluster_name(cluster))
                .collect()
        });
        let call = self
            .tagging
            .get_resources()
            .resource_type_filters("ecs:service")
            .resources_per_page(PAGE_SIZE);
        let call = call.tag_filters(TagFilter::builder().key(&config.tag_key).build());
        let resources = pages(async |token| {
            let page = async || {
                call.clone()
                    .set_pagination_token(token.clone())
                    .send()
                    .await
            };
            let page = self
                .read(Category::Tagging, "tag:GetResources", page)
                .await?;
            Ok((
                page.resource_tag_mapping_list.unwrap_or_default(),
                page.pagination_token,
            ))
        });
        let mut by_cluster = BTreeMap::<_, BTreeSet<_>>::new();
        for resource in resources.await? {
            let arn = resource.resource_arn.unwrap_or_default();
            // A service without its cluster in its ARN cannot carry tags.
            let Some((home, cluster)) = Arn::parse(&arn).and_then(|arn| {
                let cluster = arn
                    .resource
                    .strip_prefix("service/")?
                    .split_once('/')?
                    .0
                    .to_owned();
                Some((arn.home(), cluster))
            }) else {
                continue;
            };
            let in_scope = clusters
                .as_ref()
                .is_none_or(|clusters| clusters.contains(cluster.as_str()));
            let tags = resource.tags.unwrap_or_default();
            let tag = tags
                .iter()
                .find(|tag| tag.key == config.tag_key)
                .map(|tag| tag.value.as_str());
            let (named, wrong) = tag.map(tag_words).unwrap_or_default();
            if in_scope
                && named
                    .iter()
                    .any(|reference| scope.includes(reference, &home))
            {
                by_cluster.entry(cluster).or_default().insert(arn);
            } else if in_scope {
                // Of the others, the same is said once they are described.
                inventory.warnings.extend(
                    wrong
                        .iter()
                        .map(|wrong| format!("the tag of {arn} names {wrong}")),
                );
            }
        }
        Ok(batches(by_cluster))
    }

    /// Adds the services that the mapping names together with a changed secret.
    async fn describe_mapped(
        &self,
        config: &Config,
        scope: Scope<'_>,
        found: &mut Vec<Described>,
        inventory: &mut Inventory,
    ) {
        let mut mapped = BTreeMap::<&MappedService, BTreeSet<&Reference>>::new();
        for line in &config.mapping {
            let wanted = match scope {
                // A name means a secret of this account and Region, which are those of the changed secret if of any.
                Scope::Changed(rotations) => rotations
                    .iter()
                    .any(|rotation| concerns(&line.secret, rotations, &rotation.subject.home())),
                Scope::All | Scope::One(_) => true,
            };
            if wanted {
                line.services.iter().for_each(|service| {
                    mapped.entry(service).or_default().insert(&line.secret);
                });
            }
        }
        let is = |mapped: &MappedService, described: &Described| {
            mapped.service == described.name
                && mapped.cluster == cluster_name(&described.service.cluster)
        };
        let mut by_cluster = BTreeMap::<_, BTreeSet<_>>::new();
        if matches!(scope, Scope::One(_)) {
            mapped.retain(|service, _| found.iter().any(|described| is(service, described)));
        }
        for service in mapped
            .keys()
            .filter(|mapped| !found.iter().any(|described| is(mapped, described)))
        {
            by_cluster
                .entry(service.cluster.clone())
                .or_default()
                .insert(service.service.clone());
        }
        let mut missing = Inventory::default();
        found.extend(
            self.describe(config, batches(by_cluster), &mut missing)
                .await,
        );
        inventory.unexamined.append(&mut missing.unexamined);
        for (service, secrets) in mapped {
            let name = format!("{}/{}", service.cluster, service.service);
            match found.iter_mut().find(|described| is(service, described)) {
                Some(described) => described.service.uses.extend(secrets.into_iter().cloned().map(Use::AtStart)),
                None if inventory.unexamined.iter().any(|unexamined| {
                    unexamined.name == name || unexamined.name.ends_with(&format!(":service/{name}"))
                }) => {}
                None => inventory.unexamined.push(Unexamined {
                    name,
                    problem: LookupProblem::NotFound,
                    error: "REDEPLOY_MAPPING names this service, and it does not exist; create it or take it out"
                        .to_owned(),
                    secrets: scope.subjects(&secrets),
                }),
            }
        }
    }

    /// Describes services; those that are gone, and those that cannot be read, are noted.
    async fn describe(
        &self,
        config: &Config,
        batches: Vec<Batch>,
        inventory: &mut Inventory,
    ) -> Vec<Described> {
        let answers = in_parallel(batches, async |batch| {
            (
                self.describe_batch(&batch, Some(&config.tag_key)).await,
                batch,
            )
        })
        .await;
        let mut found = BTreeMap::new();
        for (answer, batch) in answers {
            match answer {
                Ok((described, failures)) => {
                    found.extend(
                        described
                            .into_iter()
                            .map(|described| (described.service.arn.clone(), described)),
                    );
                    for (service, reason) in failures {
                        if reason == MISSING {
                            inventory.warnings.push(format!(
                                "the service {service} was deleted while it was read"
                            ));
                        } else {
                            let error = format!("ecs:DescribeServices failed: {reason}");
                            inventory
                                .unexamined
                                .push(Unexamined::unreadable(service, error));
                        }
                    }
                }
                Err(AwsError {
                    class: Class::Gone, ..
                }) => {
                    inventory.warnings.push(format!(
                        "the cluster {} was deleted while it was read",
                        batch.cluster
                    ));
                }
                Err(error) => {
                    let name = |service: String| {
                        let is_arn = service.starts_with("arn:");
                        if is_arn {
                            service
                        } else {
                            format!("{}/{service}", batch.cluster)
                        }
                    };
                    let services = batch.services.iter().cloned().map(name);
                    inventory.unexamined.extend(
                        services.map(|service| Unexamined::unreadable(service, error.to_string())),
                    );
                }
            }
        }
        found.into_values().collect()
    }

    /// One `DescribeServices`: the services, and the failures as service and reason.
    /// The tags are read when the key of ours is given.
    async fn describe_batch(
        &self,
        batch: &Batch,
        tag_key: Option<&str>,
    ) -> Result<(Vec<Described>, Vec<(String, String)>), AwsError> {
        let call = self
            .ecs
            .describe_services()
            .cluster(&batch.cluster)
            .set_services(Some(batch.services.clone()));
        let call = call.set_include(tag_key.map(|_| vec![ServiceField::Tags]));
        let call = async || call.clone().send().await;
        let answer = self
            .read(Category::ServiceRead, "ecs:DescribeServices", call)
            .await?;
        let described = answer.services.unwrap_or_default();
        let described: Vec<_> = described
            .iter()
            .filter_map(|service| self.described(&batch.cluster, service, tag_key))
            .collect();
        let failures = answer.failures.unwrap_or_default().into_iter();
        let failures = failures.map(|failure| {
            (
                failure.arn.unwrap_or_default(),
                failure.reason.unwrap_or_default(),
            )
        });
        let mut failures: Vec<_> = failures.collect();
        for asked in &batch.services {
            // By names, because a failure may have a short ARN, and all of a batch are of one cluster.
            let name = asked.rsplit('/').next();
            let answered = described.iter().map(|described| &described.service.arn);
            if answered
                .chain(failures.iter().map(|(arn, _)| arn))
                .all(|arn| arn.rsplit('/').next() != name)
            {
                failures.push((
                    asked.clone(),
                    "the answer leaves the service out".to_owned(),
                ));
            }
        }
        Ok((described, failures))
    }

    /// The facts of one answer; `None` for an answer without an ARN.
    fn described(
        &self,
        cluster: &str,
        service: &aws_sdk_ecs::types::Service,
        tag_key: Option<&str>,
    ) -> Option<Described> {
        let arn = service.service_arn.clone()?;
        let tags = service.tags().iter();
        let tag = tags
            .filter(|tag| tag.key() == tag_key)
            .find_map(Tag::value)
            .map(str::to_owned);
        let controller = service
            .deployment_controller()
            .map(DeploymentController::r#type);
        let strategy = service
            .deployment_configuration()
            .and_then(|configuration| configuration.strategy());
        let live = service
            .deployments()
            .iter()
            .filter(|deployment| deployment.status() != Some("INACTIVE"));
        let live = live.filter_map(|deployment| deployment.task_definition());
        let live = live.chain(
            service
                .task_sets()
                .iter()
                .filter_map(|set| set.task_definition()),
        );
        let mut task_definitions: BTreeSet<_> = live.map(str::to_owned).collect();
        if task_definitions.is_empty() {
            task_definitions.extend(service.task_definition.clone());
        }
        let cluster = service.cluster_arn.as_deref().unwrap_or(cluster);
        let facts = Service {
            home: Arn::parse(&arn)?.home(),
            cluster: cluster.to_owned(),
            active: service.status() == Some("ACTIVE"),
            opted_out: tag
                .iter()
                .flat_map(|tag| tag.split_whitespace())
                .any(|word| word == IGNORE),
            desired: service.desired_count,
            running: service.running_count,
            pending: service.pending_count,
            controller: match controller {
                None | Some(DeploymentControllerType::Ecs) => Controller::Ecs,
                Some(_) => Controller::Other,
            },
            staged: strategy.is_some_and(|strategy| *strategy != DeploymentStrategy::Rolling),
            deployments: self.with_own_deployment(&arn, deployments(service)),
            history: None,
            oldest_task: None,
            uses: Vec::new(),
            arn,
        };
        let name = service.service_name.clone().unwrap_or_default();
        Some(Described {
            service: facts,
            name,
            details: Details::of(service, &task_definitions),
            task_definitions,
            tag,
        })
    }

    /// Puts the deployment that our own call made a moment ago into an answer that is too old to show it.
    fn with_own_deployment(
        &self,
        service: &str,
        mut deployments: Vec<Deployment>,
    ) -> Vec<Deployment> {
        let mut remembered = lock(&self.own_deployments);
        remembered.retain(|_, (_, since)| since.elapsed() < READ_LAG);
        if let Some((own, _)) = remembered.get(service)
            && deployments.iter().all(|deployment| deployment.id != own.id)
        {
            for deployment in &mut deployments {
                deployment.primary = false;
            }
            deployments.push(own.clone());
        }
        deployments
    }

    /// Adds what the tasks of each service read.
    async fn follow_task_definitions(&self, found: &mut [Described], inventory: &mut Inventory) {
        let named = found
            .iter()
            .flat_map(|described| described.task_definitions.iter().cloned());
        let failed = self.read_task_definitions(named).await;
        let read = lock(&self.task_definitions);
        let mut warnings = BTreeSet::new();
        for described in found {
            for arn in &described.task_definitions {
                if let Some(definition) = read.get(arn) {
                    described
                        .service
                        .uses
                        .extend(definition.uses.iter().cloned());
                    warnings.extend(definition.warnings.iter().cloned());
                } else if let Some(error) = failed
                    .get(arn)
                    .filter(|_| described.service.may_be_redeployed())
                {
                    inventory.unexamined.push(Unexamined::unreadable(
                        described.service.arn.clone(),
                        format!("{arn}: {error}"),
                    ));
                }
            }
        }
        inventory.warnings.extend(warnings);
    }

    /// Reads each revision once per process, because it never changes; gives those that could not be read.
    pub(super) async fn read_task_definitions(
        &self,
        arns: impl Iterator<Item = String>,
    ) -> BTreeMap<String, AwsError> {
        let unread: BTreeSet<_> = {
            let read = lock(&self.task_definitions);
            arns.filter(|arn| !read.contains_key(arn)).collect()
        };
        let answers =
            in_parallel(unread, async |arn| (self.task_definition(&arn).await, arn)).await;
        let mut failed = BTreeMap::new();
        for (answer, arn) in answers {
            match answer {
                Ok(definition) => {
                    drop(lock(&self.task_definitions).insert(arn, Arc::new(definition)))
                }
                Err(error) => drop(failed.insert(arn, error)),
            }
        }
        failed
    }

    async fn task_definition(&self, arn: &str) -> Result<TaskDefinition, AwsError> {
        let call = self.ecs.describe_task_definition().task_definition(arn);
        let call = async || call.clone().send().await;
        let answer = self
            .read(
                Category::TaskDefinitionRead,
                "ecs:DescribeTaskDefinition",
                call,
            )
            .await?;
        let mut read = TaskDefinition::default();
        let Some(definition) = answer.task_definition else {
            let message = "the answer has no task definition".to_owned();
            return Err(AwsError {
                action: "ecs:DescribeTaskDefinition",
                class: Class::Refused,
                message,
            });
        };
        for container in definition.container_definitions() {
            read.add_container(arn, container);
        }
        for volume in definition.volumes() {
            let server = volume.fsx_windows_file_server_volume_configuration();
            if let Some(authorization) = server.and_then(|server| server.authorization_config()) {
                read.add(
                    arn,
                    authorization.credentials_parameter(),
                    Reference::parse,
                    Use::AtStart,
                );
            }
        }
        Ok(read)
    }

    /// Asks AWS about references that are either the partial ARN of a changed secret or the full ARN of another one.
    pub async fn settle_partial_arns(&self, rotations: &[Change], inventory: &mut Inventory) {
        let doubtful = |reference: &Reference| {
            rotations
                .iter()
                .find_map(|r| reference.needs_lookup(&r.subject))
        };
        let uses = inventory.services.iter().flat_map(|service| &service.uses);
        let arns: BTreeSet<_> = uses.filter_map(|used| doubtful(used.reference())).collect();
        for arn in arns {
            match self.describe_secret(&arn, None).await {
                Ok(Some(facts)) if facts.arn.to_string() == arn => {
                    for used in inventory.services.iter_mut().flat_map(|service| &mut service.uses) {
                        if doubtful(used.reference()).as_ref() == Some(&arn) {
                            used.reference_mut().set_full_arn();
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => inventory.warnings.push(format!(
                    "{arn} is taken for a partial ARN of the changed secret, because its own secret could not be read: {error}"
                )),
            }
        }
    }
}

impl TaskDefinition {
    fn add_container(&mut self, arn: &str, container: &ContainerDefinition) {
        self.images.extend(container.image.clone());
        let options = container
            .log_configuration()
            .into_iter()
            .flat_map(LogConfiguration::secret_options);
        for secret in container.secrets().iter().chain(options) {
            self.add(arn, secret.value_from(), Reference::parse, Use::AtStart);
        }
        if let Some(credentials) = container.repository_credentials() {
            self.add(
                arn,
                credentials.credentials_parameter(),
                Reference::parse_secret,
                Use::AtImagePull,
            );
        }
    }

    fn add<E: std::fmt::Display>(
        &mut self,
        arn: &str,
        text: &str,
        parse: fn(&str) -> Result<Reference, E>,
        used: fn(Reference) -> Use,
    ) {
        match parse(text) {
            Ok(reference) => self.uses.push(used(reference)),
            Err(error) => self.warnings.push(format!(
                "{arn} refers to {text:?}, which no task can read: {error}"
            )),
        }
    }
}

/// Adds what the tags name.
fn follow_tags(found: &mut [Described], inventory: &mut Inventory) {
    for described in found {
        let (named, wrong) = described.tag.as_deref().map(tag_words).unwrap_or_default();
        described
            .service
            .uses
            .extend(named.into_iter().map(Use::AtStart));
        let service = &described.service.arn;
        inventory.warnings.extend(
            wrong
                .iter()
                .map(|wrong| format!("the tag of {service} names {wrong}")),
        );
    }
}

/// The secrets that a tag names, and what it names that is none.
fn tag_words(tag: &str) -> (Vec<Reference>, Vec<String>) {
    let (mut named, mut wrong) = (Vec::new(), Vec::new());
    for word in tag.split_whitespace().filter(|word| *word != IGNORE) {
        match Reference::parse_secret(word) {
            Ok(reference) => named.push(reference),
            Err(error) => wrong.push(format!("{word:?}, which is no secret: {error}")),
        }
    }
    (named, wrong)
}

/// The one service, if a lookup in use could find it.
fn one_service(config: &Config, service: &str, inventory: &mut Inventory) -> Option<Batch> {
    let arn = Arn::parse(service)?;
    let Some((cluster, name)) = arn
        .resource
        .strip_prefix("service/")
        .and_then(|path| path.split_once('/'))
    else {
        inventory.warnings.push(format!(
            "{service} does not name its cluster, so it is left to the next sweep"
        ));
        return None;
    };
    let is_this = |scope: &String| cluster_name(scope) == cluster;
    let in_clusters = config
        .clusters
        .as_ref()
        .is_none_or(|scope| scope.iter().any(is_this));
    let mut mapped = config.mapping.iter().flat_map(|line| &line.services);
    let in_scope = (config.scan || config.tags) && in_clusters
        || mapped.any(|mapped| mapped.cluster == cluster && mapped.service == name);
    in_scope.then(|| Batch {
        cluster: cluster.to_owned(),
        services: vec![service.to_owned()],
    })
}

/// Whether a reference names something that changed.
fn concerns(reference: &Reference, rotations: &[Change], home: &Location) -> bool {
    rotations
        .iter()
        .any(|rotation| reference.follows(&rotation.subject, home) != Follows::No)
}

fn batches(by_cluster: BTreeMap<String, BTreeSet<String>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    for (cluster, services) in by_cluster {
        batches.extend(in_tens(&cluster, &Vec::from_iter(services)));
    }
    batches
}

/// As many services at a time as one call describes.
fn in_tens(cluster: &str, services: &[String]) -> impl Iterator<Item = Batch> {
    services.chunks(SERVICES_PER_CALL).map(|services| Batch {
        cluster: cluster.to_owned(),
        services: services.to_vec(),
    })
}

/// The deployments of a service or, with an external controller, its task sets.
pub(super) fn deployments(service: &aws_sdk_ecs::types::Service) -> Vec<Deployment> {
    let deployments = service.deployments().iter().filter_map(|deployment| {
        Some(Deployment {
            id: deployment.id.clone().unwrap_or_default(),
            created_at: timestamp(deployment.created_at()?)?,
            primary: deployment.status() == Some("PRIMARY"),
            running: deployment.running_count,
            rollout: match deployment.rollout_state() {
                Some(DeploymentRolloutState::InProgress) => RolloutState::InProgress,
                Some(DeploymentRolloutState::Completed) => RolloutState::Completed,
                Some(DeploymentRolloutState::Failed) => RolloutState::Failed,
                _ => RolloutState::Unknown,
            },
        })
    });
    let task_sets = service.task_sets().iter().filter_map(|set| {
        Some(Deployment {
            id: set.id.clone().unwrap_or_default(),
            created_at: timestamp(set.created_at()?)?,
            primary: set.status() == Some("PRIMARY"),
            running: set.running_count,
            rollout: RolloutState::Unknown,
        })
    });
    deployments.chain(task_sets).collect()
}

/// A time of the SDK as one of ours, which has milliseconds and went through a float; `None` beyond the year 9999.
pub fn timestamp(time: &aws_sdk_ecs::primitives::DateTime) -> Option<Timestamp> {
    let nearest = (time.as_nanos() + 500_000).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(nearest).ok()?).ok()
}

/// Reads page after page, from no token to no token.
pub async fn pages<T>(
    page: impl AsyncFn(Option<String>) -> Result<(Vec<T>, Option<String>), AwsError>,
) -> Result<Vec<T>, AwsError> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let (items, next) = page(token).await?;
        all.extend(items);
        token = next.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// Runs a call for each item, [`CALLS_AT_ONCE`] at a time; the answers come in any order.
pub async fn in_parallel<T, R, F: Future<Output = R>>(
    items: impl IntoIterator<Item = T>,
    call: impl Fn(T) -> F,
) -> Vec<R> {
    stream::iter(items.into_iter().map(call))
        .buffer_unordered(CALLS_AT_ONCE)
        .collect()
        .await
}
