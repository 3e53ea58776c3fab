//! The look: which service follows what, by the lookups `scan`, `tags` and `config`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use redeploy_core::arn::Arn;
use redeploy_core::config::{Config, cluster_name};
use redeploy_core::fact::{Gap, GapKind};
use redeploy_core::facts::{Existence, Look};
use redeploy_core::workload::Workload;

use super::client::lock;
use super::describe::Described;
use super::paging::in_parallel;
use super::{Aws, AwsError, ErrorKind};

mod findings;
mod named;

use findings::Findings;
use named::is_scanned;

/// Services by their cluster, by name or ARN.
type ByCluster = BTreeMap<Arc<str>, BTreeSet<Arc<str>>>;

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
            found.take_named(&named, read);
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
        let is_short = !path.contains('/');
        if let Some(arn) = arn.as_ref().filter(|_| is_short)
            && self.is_of_another_account(arn).await
        {
            return Ok((Existence::Elsewhere, None));
        }
        let clusters = match path.split_once('/') {
            Some((cluster, service)) if is_in_scope(config, cluster, service) => {
                BTreeSet::from([cluster.into()])
            }
            None if arn.is_some() => self.clusters_of(config, name, path).await?,
            _ => BTreeSet::new(),
        };
        if clusters.is_empty() {
            return Ok((Existence::OutOfScope, None));
        }
        if let Some(known) = completed.and_then(|completed| self.completed(config, name, completed))
        {
            return Ok((Existence::Here, Some(known)));
        }
        let asked = match &arn {
            Some(_) => name,
            None => path.rsplit('/').next().unwrap_or_default(),
        };
        let asked = BTreeSet::from([asked.into()]);
        let by_cluster = clusters.into_iter().map(|cluster| (cluster, asked.clone()));
        let mut found = Findings::default();
        let mut failed = None;
        for (_, read) in self.describe(config, by_cluster.collect(), now).await {
            match read {
                Ok(described) => found.described.extend(described),
                // Another service of that name.
                Err(error) if is_short && error.kind == ErrorKind::Rejected => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed.filter(|_| found.described.is_empty()) {
            if let Some(arn) = &arn
                && self.is_of_another_account(arn).await
            {
                return Ok((Existence::Elsewhere, None));
            }
            return Err(error);
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

    /// The clusters in scope that may have the service, where its old short ARN does not say which.
    async fn clusters_of(
        &self,
        config: &Config,
        arn: &str,
        service: &str,
    ) -> Result<BTreeSet<Arc<str>>, AwsError> {
        if let Some(look) = lock(&self.memory).last_look(config) {
            let known = look.workloads.iter().find(|known| *known.arn == *arn);
            if let Some(known) = known {
                return Ok(BTreeSet::from([known.cluster.clone()]));
            }
        }
        let mapped = config.mapping.iter().flat_map(|line| &line.services);
        let mapped = mapped.filter(|mapped| mapped.service == service);
        let mut clusters: BTreeSet<Arc<str>> = mapped
            .map(|mapped| mapped.cluster.as_str().into())
            .collect();
        if config.scan {
            let scanned = match &config.clusters {
                Some(clusters) => clusters.clone(),
                None => self.clusters_with_services().await?,
            };
            let scanned = scanned.iter().map(|cluster| cluster_name(cluster).into());
            clusters.extend(scanned);
        }
        Ok(clusters)
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
                    workload.add_uses(&revision.uses);
                    found.warnings.extend(revision.warnings.iter().cloned());
                } else if let Some(error) = failed.get(arn) {
                    let Gap { kind, error } = error.gap();
                    let error = format!("{arn}: {error}");
                    workload.unread = Some(Gap { kind, error });
                }
            }
            let next = next_task_definition.and_then(|arn| revisions.get(&arn));
            workload.inactive_task_definition = next.is_some_and(|revision| revision.inactive);
            workload.unguarded = next.map_or(Vec::new(), |revision| revision.unguarded.clone());
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
        let by_cluster = by_cluster(known.iter().copied());
        let mut warnings = BTreeSet::new();
        let mut answers = Vec::new();
        for (known, read) in self.describe(config, by_cluster, now).await {
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

/// The name by which a service is asked for.
fn asked_name(workload: &Workload) -> Arc<str> {
    if workload.arn.starts_with("arn:") {
        return workload.arn.clone();
    }
    workload.arn.rsplit('/').next().unwrap_or_default().into()
}

fn by_cluster<'a>(workloads: impl IntoIterator<Item = &'a Workload>) -> ByCluster {
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
    let before: BTreeMap<_, _> = before.map(|workload| (&workload.arn, workload)).collect();
    for workload in workloads {
        if let Some(before) = before.get(&workload.arn) {
            workload.learn_seen(before);
        }
    }
}

/// Whether a lookup in use could find a service.
fn is_in_scope(config: &Config, cluster: &str, service: &str) -> bool {
    let mut mapped = config.mapping.iter().flat_map(|line| &line.services);
    (config.scan || config.tags) && is_scanned(config, cluster)
        || mapped.any(|mapped| mapped.cluster == cluster && mapped.service == service)
}
