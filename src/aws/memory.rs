//! What a warm process remembers. It saves calls and covers reads that lag; nothing depends on it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use redeploy_core::arn::{Arn, Location};
use redeploy_core::change::{Source, TrailMove};
use redeploy_core::config::Config;
use redeploy_core::facts::{Followed, Found, Look};
use redeploy_core::reference::Reference;
use redeploy_core::report::Failure;
use redeploy_core::workload::Deployment;
use tokio::time::Instant;

use super::Aws;
use super::client::lock;
use super::task_definition::Revision;

/// A read may lag behind a write for this long.
pub const READ_LAG: Duration = Duration::from_secs(5);
/// The answers about secrets that have not changed are kept for so many.
const MOVES_KEPT: usize = 10_000;

/// What a process remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The revisions that the last look named, by ARN. They never change, but for their status.
    pub(super) revisions: HashMap<Arc<str>, Arc<Revision>>,
    /// Every reference, once.
    references: HashSet<Arc<Reference>>,
    /// Every account and Region, once.
    locations: HashSet<Arc<Location>>,
    /// The last look, and the settings that it was made for.
    look: Option<(Config, Arc<Look>)>,
    /// The deployments that our own calls were answered with, by the ARN of the service.
    forced: HashMap<Arc<str>, Forced>,
    /// When labels moved, by CloudTrail, for a version and `LastChangedDate`.
    pub(super) moves: HashMap<Moved, TrailMove>,
    /// What failed in the last sweep.
    pub(super) failures: BTreeSet<Failure>,
    /// The last changes of a moment ago.
    pub(super) last_changes: HashMap<Followed, (Instant, Option<Found>)>,
}

/// The source, the version on its label, and when it was last changed: the answer for these never
/// changes.
pub(super) type Moved = (Source, Option<String>, Timestamp);

/// A deployment of our own.
#[derive(Clone, Debug)]
struct Forced {
    deployment: Deployment,
    at: Instant,
}

impl Aws {
    /// Remembers what failed in a sweep, and gives what failed in the one before.
    pub(crate) fn remember_failures(&self, failures: BTreeSet<Failure>) -> BTreeSet<Failure> {
        std::mem::replace(&mut lock(&self.memory).failures, failures)
    }
}

impl Memory {
    /// The one copy of a reference. No decision depends on its JSON key.
    pub(super) fn share(&mut self, reference: Reference) -> Arc<Reference> {
        let reference = reference.without_json_key();
        if let Some(known) = self.references.get(&reference) {
            return known.clone();
        }
        let reference = Arc::new(reference);
        self.references.insert(reference.clone());
        reference
    }

    /// The one copy of the account and Region of an ARN.
    pub(super) fn location(&mut self, arn: &Arn) -> Arc<Location> {
        let location = arn.location();
        if let Some(known) = self.locations.get(&location) {
            return known.clone();
        }
        let location = Arc::new(location);
        self.locations.insert(location.clone());
        location
    }

    /// The account of the clusters, where any of their ARNs was seen.
    pub(super) fn account(&self) -> Option<&str> {
        let mut locations = self.locations.iter();
        locations.next().map(|location| location.account.as_str())
    }

    /// The last look, if it began at this time or later.
    pub(super) fn look(&self, config: &Config, not_before: Timestamp) -> Option<Arc<Look>> {
        let (of, look) = self.look.as_ref()?;
        (of == config && look.began_at >= not_before).then(|| look.clone())
    }

    /// The last look, whenever that was.
    pub(super) fn last_look(&self, config: &Config) -> Option<Arc<Look>> {
        self.look(config, Timestamp::MIN)
    }

    /// Keeps a look, and forgets what it does not name.
    pub(super) fn keep(&mut self, config: &Config, look: Arc<Look>, named: &HashSet<Arc<str>>) {
        self.revisions.retain(|arn, _| named.contains(arn));
        self.look = Some((config.clone(), look));
        // What only a forgotten revision or look named.
        self.references
            .retain(|reference| Arc::strong_count(reference) > 1);
        self.forced
            .retain(|_, forced| forced.at.elapsed() < Duration::from_hours(24));
        if self.moves.len() > MOVES_KEPT {
            self.moves.clear();
        }
    }

    /// Records the deployment of our own call.
    pub(super) fn force(&mut self, service: Arc<str>, deployment: Deployment) {
        let at = Instant::now();
        self.forced.insert(service, Forced { deployment, at });
    }

    /// The deployment that our own last call was answered with.
    pub(super) fn forced(&self, service: &str) -> Option<&Deployment> {
        self.forced.get(service).map(|forced| &forced.deployment)
    }

    /// The same, while reads may not show it yet.
    pub(super) fn just_forced(&self, service: &str) -> Option<&Deployment> {
        let forced = self.forced.get(service)?;
        (forced.at.elapsed() < READ_LAG).then_some(&forced.deployment)
    }

    /// All deployments of our own, by the ARN of the service.
    pub(super) fn all_forced(&self) -> BTreeMap<Arc<str>, Deployment> {
        let forced = self.forced.iter();
        forced
            .map(|(service, forced)| (service.clone(), forced.deployment.clone()))
            .collect()
    }
}
