//! The look: which service follows what, by the lookups `scan`, `tags` and `config`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use aws_sdk_resourcegroupstagging::types::TagFilter;
use jiff::Timestamp;
use redeploy_core::arn::Arn;
use redeploy_core::config::{Config, MappedService, cluster_name};
use redeploy_core::fact::{Fact, Gap, GapKind};
use redeploy_core::facts::{Existence, Look, Unexamined};
use redeploy_core::reference::Reference;
use redeploy_core::workload::{
    CircuitBreaker, Controller, Platform, RolloutState, Strategy, Use, Workload,
};

use super::client::lock;
use super::describe::{Described, Read};
use super::paging::{PAGE_SIZE, in_parallel, pages};
use super::{ApiBucket, Aws, AwsError, ErrorKind};

/// Services by their cluster, by name or ARN.
type ByCluster = BTreeMap<Arc<str>, BTreeSet<Arc<str>>>;

/// What the lookups found so far.
#[derive(Default)]
struct Findings {
    described: Vec<Described>,
    /// Services that are only named so far.
    named: Vec<Workload>,
    /// The clusters that were scanned, by name or ARN.
    clusters: Vec<String>,
    unexamined: BTreeMap<String, Unexamined>,
    warnings: BTreeSet<String>,
}

impl Aws {
    /// The look that the last one of this process is, if it began at this time or later, or a new
    /// one. `whole`: with the state of every service, and the tasks that belong to none.
    ///
    /// # Errors
    /// When a call fails without which nothing can be found. Everything smaller is in the look.
    pub async fn look(
        &self,
        config: &Config,
        not_before: Timestamp,
        whole: bool,
        now: impl Fn() -> Timestamp,
    ) -> Result<Arc<Look>, AwsError> {
        if !whole && let Some(look) = lock(&self.memory).look(config, not_before) {
            return Ok(look);
        }
        let began_at = now();
        let mut found = Findings::default();
        if config.scan {
            let by_cluster = self.all_services(config, &mut found).await?;
            found.take(self.describe(config, by_cluster, began_at).await);
        } else if config.tags {
            self.tagged_services(config, &mut found).await?;
        }
        self.add_mapped(config, &mut found);
        if whole {
            let named = std::mem::take(&mut found.named);
            let by_cluster = by_cluster(&named);
            let read = self.describe(config, by_cluster, began_at).await;
            found.take_named(named, read);
        }
        let mut named = HashSet::new();
        let mut workloads = Vec::new();
        if config.scan {
            workloads = self.follow_task_definitions(&mut found, &mut named).await;
        } else {
            let described = std::mem::take(&mut found.described);
            workloads.extend(described.into_iter().map(|described| described.workload));
        }
        workloads.append(&mut found.named);
        if whole && config.scan {
            let (tasks, warnings) = self
                .standalone_tasks(&found.clusters, &workloads, began_at)
                .await;
            workloads.extend(tasks);
            found.warnings.extend(warnings);
        }
        let mut memory = lock(&self.memory);
        let before = memory.last_look(config);
        mark_seen(&mut workloads, before.as_deref());
        let look = Arc::new(Look {
            began_at,
            workloads,
            unexamined: found.unexamined,
            warnings: found.warnings,
        });
        // What failed by chance is asked for again by the next invocation.
        let unread = look
            .workloads
            .iter()
            .filter_map(|workload| workload.unread.as_ref());
        let unexamined = look.unexamined.values().map(|unexamined| &unexamined.gap);
        if unread.chain(unexamined).all(Gap::stays) {
            memory.keep(config, look.clone(), &named);
        }
        Ok(look)
    }

    /// A service by ARN, or by its name as `<cluster>/<service>`.
    pub(super) async fn service(
        &self,
        config: &Config,
        name: &str,
        completed: Option<&str>,
        now: Timestamp,
    ) -> Result<(Existence, Option<Workload>), AwsError> {
        let arn = Arn::parse(name);
        if arn.as_ref().is_some_and(|arn| arn.region != self.region) {
            return Ok((Existence::Elsewhere, None));
        }
        let path = match &arn {
            Some(arn) => arn.resource.strip_prefix("service/").unwrap_or_default(),
            None => name,
        };
        let Some((cluster, service)) = path.split_once('/') else {
            return Ok((Existence::OutOfScope, None));
        };
        if !is_in_scope(config, cluster, service) {
            return Ok((Existence::OutOfScope, None));
        }
        if let Some(known) = completed.and_then(|completed| self.completed(config, name, completed))
        {
            return Ok((Existence::Here, Some(known)));
        }
        let asked: Arc<str> = if arn.is_some() {
            name.into()
        } else {
            service.into()
        };
        let by_cluster = BTreeMap::from([(cluster.into(), BTreeSet::from([asked.clone()]))]);
        let mut found = Findings::default();
        for (_, read) in self.describe(config, by_cluster, now).await {
            match read {
                Ok(Some(described)) if arn.is_some() && *described.workload.arn != *name => {
                    return Ok((Existence::Elsewhere, None));
                }
                Ok(described) => found.described.extend(described),
                Err(error) => {
                    if let Some(arn) = &arn
                        && self.is_of_another_account(arn).await
                    {
                        return Ok((Existence::Elsewhere, None));
                    }
                    return Err(error);
                }
            }
        }
        let workload = if config.scan {
            self.follow_task_definitions(&mut found, &mut HashSet::new())
                .await
                .pop()
        } else {
            found.described.pop().map(|described| described.workload)
        };
        let existence = match workload {
            Some(_) => Existence::Here,
            None => Existence::Nowhere,
        };
        Ok((existence, workload))
    }

    /// The service as the end of our own deployment leaves it: what the last look shows of it, with
    /// that deployment.
    fn completed(&self, config: &Config, arn: &str, completed: &str) -> Option<Workload> {
        let memory = lock(&self.memory);
        let own = memory.forced(arn).filter(|own| own.id == completed)?;
        let look = memory.last_look(config)?;
        let known = look
            .workloads
            .iter()
            .find(|workload| *workload.arn == *arn)?;
        let mut workload = known.clone();
        workload.force(own);
        Some(workload)
    }

    /// Every service of the clusters in scope.
    async fn all_services(
        &self,
        config: &Config,
        found: &mut Findings,
    ) -> Result<ByCluster, AwsError> {
        let clusters = match &config.clusters {
            Some(clusters) => clusters.clone(),
            None => self.clusters_with_services().await?,
        };
        let lists = in_parallel(clusters, async |cluster| {
            (self.list_services(&cluster).await, cluster)
        });
        let mut by_cluster = ByCluster::new();
        for (services, cluster) in lists.await {
            match services {
                Ok(services) => {
                    by_cluster
                        .entry(cluster.as_str().into())
                        .or_default()
                        .extend(services);
                    found.clusters.push(cluster);
                }
                Err(error) if error.kind == ErrorKind::NotFound && config.clusters.is_none() => {
                    let warning = format!("the cluster {cluster} was deleted while it was read");
                    found.warnings.insert(warning);
                }
                Err(error) if error.kind == ErrorKind::NotFound => {
                    let error =
                        format!("REDEPLOY_CLUSTERS names a cluster that does not exist; {error}");
                    let gap = Gap {
                        kind: GapKind::NotFound,
                        error,
                    };
                    found.unexamined.insert(cluster, gap.into());
                }
                Err(error) => drop(found.unexamined.insert(cluster, error.gap().into())),
            }
        }
        Ok(by_cluster)
    }

    /// The services in scope that carry our tag.
    async fn tagged_services(&self, config: &Config, found: &mut Findings) -> Result<(), AwsError> {
        let call = self
            .tagging
            .get_resources()
            .resource_type_filters("ecs:service");
        let call = call.resources_per_page(PAGE_SIZE);
        let call = call.tag_filters(TagFilter::builder().key(&config.tag_key).build());
        let resources = pages(async |token| {
            let page = async || {
                call.clone()
                    .set_pagination_token(token.clone())
                    .send()
                    .await
            };
            let page = self
                .read(ApiBucket::Tagging, "tag:GetResources", page)
                .await?;
            let list = page.resource_tag_mapping_list.unwrap_or_default();
            Ok((list, page.pagination_token))
        });
        for resource in resources.await? {
            let text = resource.resource_arn.unwrap_or_default();
            // A service without its cluster in its ARN cannot carry tags.
            let Some(arn) = Arn::parse(&text) else {
                continue;
            };
            let path = arn.resource.strip_prefix("service/");
            let Some((cluster, _)) = path.and_then(|path| path.split_once('/')) else {
                continue;
            };
            let tags = resource.tags.unwrap_or_default();
            let tag = tags.iter().find(|tag| tag.key == config.tag_key);
            let (Some(tag), true) = (tag, is_scanned(config, cluster)) else {
                continue;
            };
            let (references, wrong) = tag_uses(&tag.value);
            let wrong = wrong
                .iter()
                .map(|wrong| format!("the tag of {text} names {wrong}"));
            found.warnings.extend(wrong);
            if references.is_empty() {
                continue;
            }
            let mut memory = lock(&self.memory);
            let uses = references
                .into_iter()
                .map(|named| Use::AtStart(memory.share(named)));
            let mut workload = named(text.as_str().into(), cluster.into(), uses.collect());
            workload.location = Some(memory.location(&arn));
            workload.tag = Some(tag.value.as_str().into());
            found.named.push(workload);
        }
        Ok(())
    }

    /// Adds the services that only the mapping names.
    fn add_mapped(&self, config: &Config, found: &mut Findings) {
        let mut mapped = BTreeMap::<&MappedService, Vec<&Reference>>::new();
        for line in &config.mapping {
            for service in &line.services {
                mapped.entry(service).or_default().push(&line.secret);
            }
        }
        for (service, references) in mapped {
            let name = format!("{}/{}", service.cluster, service.service);
            let described = found.described.iter().map(|described| &described.workload);
            let is_known = described
                .chain(&found.named)
                .any(|known| known.is_called(&name));
            let failed = format!(":service/{name}");
            if is_known
                || found
                    .unexamined
                    .keys()
                    .any(|unread| unread.ends_with(&failed))
            {
                continue;
            }
            let mut memory = lock(&self.memory);
            let references = references.into_iter().cloned();
            let uses = references
                .map(|named| Use::AtStart(memory.share(named)))
                .collect();
            found
                .named
                .push(named(name.into(), service.cluster.as_str().into(), uses));
        }
    }

    /// The described services, with what their tasks read.
    async fn follow_task_definitions(
        &self,
        found: &mut Findings,
        named: &mut HashSet<Arc<str>>,
    ) -> Vec<Workload> {
        let described = std::mem::take(&mut found.described);
        let arns = described
            .iter()
            .flat_map(|described| &described.task_definitions);
        let arns: BTreeSet<_> = arns.cloned().collect();
        let (revisions, failed) = self.revisions(&arns).await;
        let mut workloads = Vec::with_capacity(described.len());
        for Described {
            mut workload,
            task_definitions,
            next_task_definition,
            warnings,
        } in described
        {
            found.warnings.extend(warnings);
            for arn in &task_definitions {
                if let Some(revision) = revisions.get(arn) {
                    workload.uses.extend(revision.uses.iter().cloned());
                    found.warnings.extend(revision.warnings.iter().cloned());
                } else if let Some(error) = failed.get(arn) {
                    let Gap { kind, error } = error.gap();
                    let error = format!("{arn}: {error}");
                    workload.unread = Some(Gap { kind, error });
                }
            }
            let next = next_task_definition.and_then(|arn| revisions.get(&arn));
            workload.inactive_task_definition = next.is_some_and(|revision| revision.inactive);
            workload.uses.sort();
            workload.uses.dedup();
            workload.uses.shrink_to_fit();
            workloads.push(workload);
        }
        named.extend(arns);
        workloads
    }

    /// The state of workloads as they are now, by the ARN or name that they are known by.
    pub(super) async fn read_again(
        &self,
        config: &Config,
        known: &[&Workload],
        now: Timestamp,
    ) -> (
        Vec<(Arc<str>, Result<Option<Workload>, Gap>)>,
        BTreeSet<String>,
    ) {
        let mut by_cluster = ByCluster::new();
        for workload in known {
            by_cluster
                .entry(workload.cluster.clone())
                .or_default()
                .insert(asked_name(workload));
        }
        let mut warnings = BTreeSet::new();
        let mut answers = Vec::new();
        for (asked, read) in self.describe(config, by_cluster, now).await {
            let is_it = |workload: &&&Workload| match &read {
                Ok(Some(described)) => described.workload.is_called(&workload.arn),
                _ => asked_name(workload) == asked,
            };
            let known = known
                .iter()
                .find(is_it)
                .map_or(asked, |known| known.arn.clone());
            let read = match read {
                Ok(described) => {
                    let described = described.map(|described| {
                        warnings.extend(described.warnings);
                        described.workload
                    });
                    Ok(described)
                }
                Err(error) => Err(error.gap()),
            };
            answers.push((known, read));
        }
        (answers, warnings)
    }
}

impl Findings {
    fn take(&mut self, read: Vec<Read>) {
        for (name, read) in read {
            match read {
                Ok(Some(described)) => self.described.push(described),
                Ok(None) => {
                    let warning = format!("the service {name} was deleted while it was read");
                    self.warnings.insert(warning);
                }
                Err(error) => {
                    self.unexamined.insert(name.to_string(), error.gap().into());
                }
            }
        }
    }

    /// Takes the descriptions of services that were only named.
    fn take_named(&mut self, named: Vec<Workload>, read: Vec<Read>) {
        for (asked, read) in read {
            let Some(workload) = named.iter().find(|named| asked_name(named) == asked) else {
                continue;
            };
            match read {
                Ok(None) if workload.location.is_none() => {
                    let error = "REDEPLOY_MAPPING names this service, and it does not exist; \
                                 create it or take it out";
                    let gap = Gap {
                        kind: GapKind::NotFound,
                        error: error.to_owned(),
                    };
                    let uses = workload.uses.iter();
                    let sources = uses
                        .map(|used| used.reference().to_string().into())
                        .collect();
                    let unexamined = Unexamined { gap, sources };
                    self.unexamined.insert(workload.arn.to_string(), unexamined);
                }
                read => self.take(vec![(workload.arn.clone(), read)]),
            }
        }
    }
}

/// The references that a tag names, and what it names that is none.
pub(super) fn tag_uses(tag: &str) -> (Vec<Reference>, Vec<String>) {
    let (mut named, mut wrong) = (Vec::new(), Vec::new());
    for word in tag
        .split_whitespace()
        .filter(|word| !word.eq_ignore_ascii_case("ignore"))
    {
        match Reference::parse_secret(word) {
            Ok(reference) => named.push(reference),
            Err(error) => wrong.push(format!("{word:?}, which is no secret: {error}")),
        }
    }
    (named, wrong)
}

/// A service of which only the name is known.
fn named(arn: Arc<str>, cluster: Arc<str>, uses: Vec<Use>) -> Workload {
    Workload {
        arn,
        cluster,
        location: None,
        platform: Platform::Service {
            controller: Controller::Ecs,
            strategy: Strategy::Rolling,
            circuit_breaker: CircuitBreaker::Off,
        },
        active: true,
        tag: None,
        desired: 1,
        running: 0,
        pending: 0,
        deployments: Vec::new(),
        inactive_task_definition: false,
        uses,
        unread: None,
        read_at: None,
        seen_at: None,
        forced_at: None,
        history: Fact::Unasked,
        tasks: Fact::Unasked,
    }
}

/// The name by which a service is asked for.
fn asked_name(workload: &Workload) -> Arc<str> {
    if workload.arn.starts_with("arn:") {
        return workload.arn.clone();
    }
    workload.arn.rsplit('/').next().unwrap_or_default().into()
}

fn by_cluster(workloads: &[Workload]) -> ByCluster {
    let mut by_cluster = ByCluster::new();
    for workload in workloads {
        by_cluster
            .entry(workload.cluster.clone())
            .or_default()
            .insert(asked_name(workload));
    }
    by_cluster
}

/// Marks the services whose tasks an earlier look saw under the same PRIMARY deployment.
fn mark_seen(workloads: &mut [Workload], before: Option<&Look>) {
    let before = before.into_iter().flat_map(|look| &look.workloads);
    // A service in the middle of a rollout has other tasks a moment later.
    let is_quiet = |workload: &&Workload| {
        let [deployment] = workload.deployments.as_slice() else {
            return false;
        };
        workload.running > 0 && deployment.rollout != RolloutState::InProgress
    };
    let before = before.filter(is_quiet);
    let seen: BTreeMap<_, _> = before.map(|workload| (&workload.arn, workload)).collect();
    for workload in workloads {
        let id = |workload: &Workload| workload.primary().map(|primary| primary.id.clone());
        let earlier = seen
            .get(&workload.arn)
            .filter(|earlier| id(earlier) == id(workload));
        workload.seen_at = earlier.and_then(|earlier| earlier.read_at);
    }
}

/// Whether a lookup in use could find a service.
fn is_in_scope(config: &Config, cluster: &str, service: &str) -> bool {
    let mut mapped = config.mapping.iter().flat_map(|line| &line.services);
    (config.scan || config.tags) && is_scanned(config, cluster)
        || mapped.any(|mapped| mapped.cluster == cluster && mapped.service == service)
}

/// Whether `scan` and `tags` look at a cluster, by its name.
fn is_scanned(config: &Config, cluster: &str) -> bool {
    let is_this = |scope: &String| cluster_name(scope) == cluster;
    config
        .clusters
        .as_ref()
        .is_none_or(|scope| scope.iter().any(is_this))
}
