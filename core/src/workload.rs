//! A workload of Amazon ECS as plain facts: what it names, what runs, and since when.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::arn::Location;
use crate::change::fresh_from;
use crate::config::cluster_name;
use crate::fact::{Fact, Gap};
use crate::image::RevisionImages;
use crate::reference::Reference;
use crate::tag::{Participation, ServiceTag};

mod history;

/// An ECS service, or a task that belongs to none
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html>).
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The ARN; its identity everywhere. `<cluster>/<service>` until the service has been described.
    pub arn: Arc<str>,
    /// The ARN or name of its cluster, which an old short service ARN does not contain.
    pub cluster: Arc<str>,
    /// The account and Region, where bare names are looked up; `None` until the service has been
    /// described.
    pub location: Option<Arc<Location>>,
    /// What it is, and who deploys it.
    pub platform: Platform,
    /// ACTIVE. DRAINING and INACTIVE services accept no deployment.
    pub active: bool,
    /// When it was created, UTC, where that is known.
    pub created_at: Option<Timestamp>,
    /// The value of our tag.
    pub tag: Option<Arc<str>>,
    /// Whether the tag, by the lookup `tags`, or the mapping names a secret for it.
    pub is_named: bool,
    /// The number of tasks that it should have.
    pub desired: i32,
    /// The number of tasks that run.
    pub running: i32,
    /// The number of tasks that are starting.
    pub pending: i32,
    /// The live deployments or, with a `CODE_DEPLOY` or EXTERNAL controller, the task sets.
    pub deployments: Vec<Deployment>,
    /// Whether the task definition revision of its next deployment is INACTIVE.
    pub inactive_task_definition: bool,
    /// What its tasks read, from the task definitions of all live deployments and from the lookups,
    /// each once. Shared with what the process remembers, because an account may have a quarter of a
    /// million of them.
    pub uses: Arc<[Use]>,
    /// A task definition that could not be read, so that `uses` may lack something.
    pub unread: Option<Gap>,
    /// When counts and deployments were read, UTC; `None` for a service that is only named so far.
    pub read_at: Option<Timestamp>,
    /// When this process saw its tasks earlier under the same PRIMARY deployment, its only one, which
    /// ECS has not changed since, UTC.
    pub seen_at: Option<Timestamp>,
    /// When this process last forced a deployment of it, UTC.
    pub forced_at: Option<Timestamp>,
    /// Earlier deployments. ECS remembers 90 days.
    pub history: Fact<Vec<Deployment>>,
    /// The running tasks.
    pub tasks: Fact<Vec<Task>>,
    /// Its live service revisions, where images are guarded.
    pub service_revisions: Vec<ServiceRevision>,
    /// The containers of its next deployment that have `versionConsistency` disabled.
    pub unguarded: Vec<String>,
    /// The images that its service revisions start.
    pub images: Fact<Vec<RevisionImages>>,
}

/// A live service revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRevision {
    /// Its ARN.
    pub arn: String,
    /// Whether tasks of it run.
    pub runs: bool,
}

/// What a workload is, and who deploys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A service.
    Service {
        /// Who carries out its deployments.
        controller: Controller,
        /// How ECS shifts to a new deployment.
        strategy: Strategy,
        /// What ECS does about a rollout that fails.
        circuit_breaker: CircuitBreaker,
    },
    /// A running task that belongs to no service, such as one of `RunTask`.
    StandaloneTask,
}

/// Who carries out deployments
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentController.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// ECS itself, which a forced deployment needs.
    Ecs,
    /// AWS `CodeDeploy`.
    CodeDeploy,
    /// The owner's own, or one that this version does not know.
    External,
}

/// How ECS shifts to a new deployment
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Task by task.
    Rolling,
    /// All at once, with a bake time.
    BlueGreen,
    /// In equal steps.
    Linear,
    /// A small part first.
    Canary,
}

/// What ECS does about a rollout that fails
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitBreaker {
    /// It goes on trying.
    Off,
    /// It stops.
    Stop,
    /// It stops and rolls back to the last completed deployment.
    Rollback,
}

/// One deployment or task set.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// `ecs-svc/<digits>`, also `startedBy` of its tasks; an ARN in the history.
    pub id: String,
    /// When it was created, UTC. Its tasks started then or later.
    pub created_at: Timestamp,
    /// When ECS last changed it, UTC, where ECS says.
    pub updated_at: Option<Timestamp>,
    /// Whether it is the PRIMARY one.
    pub primary: bool,
    /// The number of its tasks that run.
    pub running: i32,
    /// The number of its tasks that could not be started or kept running.
    pub failed_tasks: i32,
    /// How far it came.
    pub rollout: RolloutState,
    /// Its task definition revision, by ARN. Not asked for yet in the history.
    pub task_definition: Fact<Arc<str>>,
    /// The service revision that the history names instead, by ARN.
    pub service_revision: Option<String>,
}

impl Deployment {
    /// Whether a deployment of the history is this live one. They have no name in common, and the
    /// time of one may be cut to the second.
    pub(crate) fn is_twin(&self, past: &Self) -> bool {
        past.created_at.duration_since(self.created_at).abs() < SignedDuration::from_secs(1)
    }
}

/// How far a deployment came (`rolloutState`, or `status` in the history).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Tasks are being replaced.
    InProgress,
    /// All tasks are of this deployment.
    Completed,
    /// It failed.
    Failed,
    /// It failed, and ECS is replacing its tasks by those of the deployment before.
    RollingBack,
    /// Another deployment took its place; or it failed where roll-back is not in use.
    Stopped,
    /// ECS does not say, as for task sets.
    Unknown,
}

/// A running task (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// When it was created, UTC. It reads its values later, and before it runs.
    pub created_at: Timestamp,
    /// The id of its deployment, or who started it.
    pub started_by: String,
}

/// Something that a task reads, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Read when the task starts, and never again.
    AtStart(Arc<Reference>),
    /// `repositoryCredentials`: read when the image is pulled, of no use to a task that runs.
    AtImagePull(Arc<Reference>),
}

impl Use {
    /// What is read.
    #[must_use]
    pub fn reference(&self) -> &Arc<Reference> {
        match self {
            Self::AtStart(reference) | Self::AtImagePull(reference) => reference,
        }
    }
}

/// After this, a rollout that is not staged has replaced all tasks that it can replace.
pub(crate) const ROLLOUT_TIME: SignedDuration = SignedDuration::from_hours(1);
/// A rollout that works is left alone for this long.
pub const MIN_ROLLOUT_AGE: SignedDuration = SignedDuration::from_mins(10);
/// The time of a read that no longer counts: before any invocation.
const FORGOTTEN: Timestamp = Timestamp::MIN;
/// A roll-back that takes longer is no longer waited for.
pub(crate) const ROLL_BACK_TIME: SignedDuration = SignedDuration::from_hours(1);

impl Workload {
    /// A workload that is there, and of which nothing else is known.
    #[must_use]
    pub fn new(arn: Arc<str>, cluster: Arc<str>, platform: Platform) -> Self {
        Self {
            arn,
            cluster,
            location: None,
            platform,
            active: true,
            created_at: None,
            tag: None,
            is_named: false,
            desired: 0,
            running: 0,
            pending: 0,
            deployments: Vec::new(),
            inactive_task_definition: false,
            uses: Arc::default(),
            unread: None,
            read_at: None,
            seen_at: None,
            forced_at: None,
            history: Fact::Unasked,
            tasks: Fact::Unasked,
            service_revisions: Vec::new(),
            unguarded: Vec::new(),
            images: Fact::Unasked,
        }
    }

    /// Who deploys it; nobody deploys a standalone task.
    #[must_use]
    pub fn controller(&self) -> Option<Controller> {
        match self.platform {
            Platform::Service { controller, .. } => Some(controller),
            Platform::StandaloneTask => None,
        }
    }

    /// Whether a deployment shifts traffic in stages, which a new deployment would start again.
    #[must_use]
    pub fn is_staged(&self) -> bool {
        matches!(self.platform, Platform::Service { strategy, .. } if strategy != Strategy::Rolling)
    }

    /// Whether its tag lets it go before the other services of a change.
    #[must_use]
    pub fn is_first(&self) -> bool {
        let tag = self.tag.as_deref().map(ServiceTag::parse);
        tag.is_some_and(|tag| tag.is_first)
    }

    /// How it takes part, by its tag, or by the default where nothing opts it in.
    #[must_use]
    pub fn participation(&self, default: Participation) -> Participation {
        let tag = self.tag.as_deref().map(ServiceTag::parse);
        let tag = tag.unwrap_or_default();
        let is_named = self.is_named || tag.is_first;
        tag.participation.unwrap_or(match default {
            Participation::Ignore if is_named => Participation::Auto,
            default => default,
        })
    }

    /// Whether its tag says that it must be left alone.
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        self.participation(Participation::Auto) == Participation::Ignore
    }

    /// Learns since when its tasks have been there, by what was read before. A service in the middle
    /// of a rollout has other tasks a moment later, and a roll-back changes the deployment that it
    /// goes back to.
    pub fn learn_seen(&mut self, before: &Self) {
        let identity = |workload: &Self| {
            let primary = workload.primary()?;
            // The end of its rollout changed it. An endpoint that did not say so is not AWS, and would
            // not show a roll-back either.
            let updated_at = primary.updated_at.filter(|at| *at > primary.created_at)?;
            Some((primary.id.clone(), updated_at))
        };
        let is_quiet = before.running > 0
            && matches!(before.deployments.as_slice(), [only] if only.rollout != RolloutState::InProgress);
        let is_same = is_quiet && identity(self).is_some_and(|now| Some(now) == identity(before));
        let read_at = before.read_at.filter(|read_at| *read_at != FORGOTTEN);
        self.seen_at = before.seen_at.or(read_at).filter(|_| is_same);
    }

    /// Has all that may change asked for once more.
    pub fn forget_reads(&mut self) {
        self.read_at = Some(FORGOTTEN);
        self.seen_at = None;
        (self.history, self.tasks) = (Fact::Unasked, Fact::Unasked);
        self.images = Fact::Unasked;
    }

    /// Adds what else its tasks read.
    pub fn add_uses(&mut self, uses: &Arc<[Use]>) {
        if self.uses.is_empty() {
            self.uses = uses.clone();
        } else if !uses.is_empty() {
            let all: BTreeSet<_> = self.uses.iter().chain(uses.iter()).cloned().collect();
            self.uses = all.into_iter().collect();
        }
    }

    /// Adds a deployment of our own that the facts do not show.
    pub fn force(&mut self, own: &Deployment) {
        if self.deployments.iter().all(|known| known.id != own.id) {
            self.deployments
                .iter_mut()
                .for_each(|known| known.primary = false);
            self.deployments.push(own.clone());
        }
        self.forced_at = Some(own.created_at);
    }

    /// Whether this is its ARN, or its name as `<cluster>/<service>`. An old short ARN does not contain
    /// the cluster.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let is_it = |(cluster, service): (&str, &str)| {
            let path = self.arn.split_once(":service/").map(|(_, path)| path);
            path.and_then(|path| path.rsplit('/').next()) == Some(service)
                && cluster_name(&self.cluster) == cluster
        };
        &*self.arn == name || name.split_once('/').is_some_and(is_it)
    }

    /// Whether it has, or should have, any task.
    #[must_use]
    pub fn has_tasks(&self) -> bool {
        self.desired > 0 || self.running > 0 || self.pending > 0
    }

    /// Whether a stale service may be redeployed, by what it gets where its tag does not say.
    #[must_use]
    pub fn may_be_redeployed(&self, default: Participation) -> bool {
        self.active && self.participation(default) != Participation::Ignore && self.has_tasks()
    }

    /// The deployment whose tasks are to be the only ones.
    #[must_use]
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|deployment| deployment.primary)
    }

    /// All known deployments, each once, live ones first.
    pub fn all_deployments(&self) -> impl Iterator<Item = &Deployment> {
        let is_live = |past: &Deployment| self.deployments.iter().any(|live| live.is_twin(past));
        let history = self.history.known().into_iter().flatten();
        self.deployments
            .iter()
            .chain(history.filter(move |past| !is_live(past)))
    }

    /// The newest deployment that reached, or may still reach, the tasks: a later one than the
    /// PRIMARY, where only the history shows it yet; else the PRIMARY, to which ECS returns from one
    /// that failed.
    #[must_use]
    pub fn newest(&self) -> Option<&Deployment> {
        let newest = self.all_deployments().max_by_key(|d| {
            let has_ended_well = !self.has_failed(d) && d.rollout != RolloutState::Stopped;
            (d.created_at, has_ended_well)
        });
        newest
            .filter(|d| !self.has_failed(d) && d.rollout != RolloutState::Stopped)
            .or_else(|| self.primary().filter(|d| !self.has_failed(d)))
    }

    /// Whether a deployment failed. STOPPED with nothing after it is a failure, too
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>).
    #[must_use]
    pub fn has_failed(&self, deployment: &Deployment) -> bool {
        match deployment.rollout {
            RolloutState::Failed | RolloutState::RollingBack => true,
            RolloutState::Stopped => self
                .all_deployments()
                .all(|other| other.created_at <= deployment.created_at),
            RolloutState::InProgress | RolloutState::Completed | RolloutState::Unknown => false,
        }
    }

    /// Whether tasks run that are of another deployment than the PRIMARY.
    #[must_use]
    pub fn has_other_tasks(&self) -> bool {
        let mut others = self.deployments.iter().filter(|other| !other.primary);
        others.any(|other| other.running > 0)
    }

    /// Whether tasks are still being replaced.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        let primary = self.primary();
        primary.is_some_and(|primary| primary.rollout == RolloutState::InProgress)
            || self.has_other_tasks()
    }

    /// Whether tasks run besides those of the PRIMARY deployment, although it is done with its
    /// rollout or had the time for it.
    ///
    /// Scale-in protection and deferred cleanup keep such tasks alive for hours or weeks
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>).
    #[must_use]
    pub fn has_lingering_tasks(&self, now: Timestamp) -> bool {
        let Some(primary) = self.primary() else {
            return false;
        };
        let is_rolling = primary.rollout != RolloutState::Completed
            && (self.is_staged() || now.duration_since(primary.created_at) < ROLLOUT_TIME);
        !is_rolling && self.controller() == Some(Controller::Ecs) && self.running > primary.running
    }

    /// The deployment that has to end before another one may begin, and until when it is waited for
    /// where that has an end of its own. `since`: what is newer is not in the way.
    #[must_use]
    pub fn in_progress(&self, since: Timestamp, now: Timestamp) -> Option<InProgress> {
        if let Some(failed) = self.rolling_back() {
            // The history does not say when the roll-back began. What ECS changed last is near it.
            let live = self.deployments.iter();
            let updated = live.filter_map(|live| live.updated_at).max();
            let began = failed.updated_at.or(updated).unwrap_or(failed.created_at);
            if now.duration_since(began) < ROLL_BACK_TIME {
                let until = began.saturating_add(ROLL_BACK_TIME).ok();
                return Some(InProgress { until });
            }
        }
        let mut rolling = self.all_deployments().filter(|deployment| {
            deployment.created_at < since
                && match deployment.rollout {
                    RolloutState::InProgress => true,
                    // ECS gives a staged deployment no `rolloutState` in some answers; then a second
                    // live deployment tells.
                    RolloutState::Unknown => deployment.primary && self.deployments.len() > 1,
                    _ => false,
                }
        });
        if self.is_staged() {
            return rolling.next().map(|_| InProgress { until: None });
        }
        if self.starts_first_tasks() {
            return None;
        }
        let is_young = |d: &&Deployment| now.duration_since(d.created_at) < MIN_ROLLOUT_AGE;
        rolling
            .filter(is_young)
            .find(|deployment| !self.holds_a_replaced_value(deployment))
            .map(|deployment| InProgress {
                until: deployment.created_at.saturating_add(MIN_ROLLOUT_AGE).ok(),
            })
    }

    /// Whether none of its tasks ever ran, so that nothing that works can be cut off. A rollout may
    /// stop all tasks of an older service before it starts others.
    fn starts_first_tasks(&self) -> bool {
        let [only] = &*self.deployments else {
            return false;
        };
        let created_at = self.created_at.map_or(Timestamp::MAX, fresh_from);
        self.running == 0 && only.failed_tasks == 0 && only.created_at <= created_at
    }

    /// The failed deployment that ECS is rolling back.
    fn rolling_back(&self) -> Option<&Deployment> {
        let is_replacing =
            |d: &Deployment| matches!(d.rollout, RolloutState::InProgress | RolloutState::Unknown);
        let live = self.deployments.iter();
        let failed = live.filter(|d| d.rollout == RolloutState::Failed && !d.primary);
        let is_returning = self.primary().is_some_and(is_replacing);
        failed
            .max_by_key(|d| d.created_at)
            .filter(|failed| {
                is_returning
                    && self
                        .primary()
                        .is_some_and(|p| p.created_at < failed.created_at)
            })
            .or_else(|| {
                let history = self.history.known().into_iter().flatten();
                let newest = history.max_by_key(|d| d.created_at);
                newest.filter(|d| d.rollout == RolloutState::RollingBack)
            })
    }

    /// Whether the tasks of a rollout fail although its revision ran before: they read a value that
    /// was replaced since then.
    fn holds_a_replaced_value(&self, rollout: &Deployment) -> bool {
        let revision = rollout.task_definition.known();
        rollout.failed_tasks > 0
            && revision.is_some()
            && self
                .deployments
                .iter()
                .any(|other| other.id != rollout.id && other.task_definition.known() == revision)
    }
}

/// A deployment that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InProgress {
    /// When it is no longer waited for, UTC.
    pub until: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
