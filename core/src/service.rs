//! An ECS service as plain facts: what it names, what runs, and when that was deployed. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::arn::Location;
use crate::secret::Reference;

/// The facts about one service that a decision needs, read from AWS
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html>).
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The service's ARN; its identity everywhere.
    pub arn: String,
    /// The ARN of its cluster, which an old short service ARN does not contain.
    pub cluster: String,
    /// The account and Region of the service, where bare names are looked up.
    pub home: Location,
    /// ACTIVE. DRAINING and INACTIVE services accept no deployment.
    pub active: bool,
    /// Whether its tag says that it must be left alone.
    pub opted_out: bool,
    /// How many tasks it should have.
    pub desired: i32,
    /// How many tasks run.
    pub running: i32,
    /// How many tasks are starting.
    pub pending: i32,
    /// Who replaces its tasks.
    pub controller: Controller,
    /// Whether a deployment shifts traffic in stages, which a new deployment would start anew.
    pub staged: bool,
    /// The live deployments or, with a `CODE_DEPLOY` or EXTERNAL controller, the task sets.
    pub deployments: Vec<Deployment>,
    /// What became of earlier deployments, where it was asked for; ECS remembers 90 days.
    pub history: Option<Vec<Deployment>>,
    /// When the oldest of its tasks started that are not of the PRIMARY deployment, UTC, where it was asked for.
    pub oldest_task: Option<Timestamp>,
    /// What its tasks read, from the task definitions of all live deployments and from the lookups in use.
    pub uses: Vec<Use>,
}

impl Service {
    /// The deployment whose tasks are to be the only ones.
    #[must_use]
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments
            .iter()
            .find(|deployment| deployment.primary)
    }

    /// Whether anything is to be done about it if it is stale.
    #[must_use]
    pub fn may_be_redeployed(&self) -> bool {
        self.active && !self.opted_out && (self.desired > 0 || self.running > 0 || self.pending > 0)
    }

    /// Whether tasks run beside those of the PRIMARY deployment, which is done with its rollout or had the time for it.
    ///
    /// Scale-in protection and a deferred clean-up keep such tasks alive for hours or weeks
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html>).
    #[must_use]
    pub fn is_outlived(&self, now: Timestamp) -> bool {
        let is_under_way = |deployment: &Deployment| match deployment.rollout {
            RolloutState::Completed => false,
            _ => self.staged || now.duration_since(deployment.created_at) < ROLLOUT_TIME,
        };
        let primary = self.primary().filter(|primary| !is_under_way(primary));
        self.controller == Controller::Ecs
            && primary.is_some_and(|primary| self.running > primary.running)
    }
}

/// After this a rollout that is not staged has replaced all tasks that it may replace.
const ROLLOUT_TIME: SignedDuration = SignedDuration::from_hours(1);

/// A running task that belongs to no service, such as one of `RunTask`
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>).
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The task's ARN.
    pub arn: String,
    /// The account and Region of the task, where bare names are looked up.
    pub home: Location,
    /// When it started, UTC. It had read its values by then.
    pub started_at: Timestamp,
    /// What it reads.
    pub uses: Vec<Use>,
}

/// Who carries out deployments
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentController.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// ECS itself, which a forced deployment needs.
    Ecs,
    /// `CODE_DEPLOY`, EXTERNAL, or one that this version does not know.
    Other,
}

/// One deployment or task set.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// `ecs-svc/<digits>`; also `startedBy` of its tasks.
    pub id: String,
    /// When it was created, UTC. Its tasks started then or later.
    pub created_at: Timestamp,
    /// Whether it is the PRIMARY one.
    pub primary: bool,
    /// How many of its tasks run, as far as ECS says.
    pub running: i32,
    /// How far it came.
    pub rollout: RolloutState,
}

/// How far a deployment came (`rolloutState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutState {
    /// Tasks are being replaced.
    InProgress,
    /// All tasks are of this deployment.
    Completed,
    /// It gave up, or was rolled back.
    Failed,
    /// ECS does not say, as for task sets.
    Unknown,
}

/// Something that a task reads, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Read when the task starts, and never again.
    AtStart(Reference),
    /// `repositoryCredentials`: read when the image is pulled, of no use to a task that runs.
    AtImagePull(Reference),
}

impl Use {
    /// What is read.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        match self {
            Self::AtStart(reference) | Self::AtImagePull(reference) => reference,
        }
    }

    /// The same, for a change in place.
    pub fn reference_mut(&mut self) -> &mut Reference {
        match self {
            Self::AtStart(reference) | Self::AtImagePull(reference) => reference,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A deployment of two tasks, created at 100.
    fn deployment(primary: bool, rollout: RolloutState) -> Deployment {
        Deployment {
            id: "ecs-svc/1".to_owned(),
            created_at: second(100),
            primary,
            running: 2,
            rollout,
        }
    }

    /// Three tasks run, of which two are of the PRIMARY deployment.
    fn service() -> Service {
        Service {
            arn: "arn:aws:ecs:eu-west-1:123456789012:service/prod/api".to_owned(),
            cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/prod".to_owned(),
            home: Location {
                region: "eu-west-1".to_owned(),
                account: "123456789012".to_owned(),
            },
            active: true,
            opted_out: false,
            desired: 2,
            running: 3,
            pending: 0,
            controller: Controller::Ecs,
            staged: false,
            deployments: vec![
                deployment(false, RolloutState::Completed),
                deployment(true, RolloutState::Completed),
            ],
            history: None,
            oldest_task: None,
            uses: Vec::new(),
        }
    }

    #[test]
    fn a_service_with_any_task_wanted_running_or_starting_may_be_redeployed() {
        let counts = |desired, running, pending| {
            Service {
                desired,
                running,
                pending,
                ..service()
            }
            .may_be_redeployed()
        };
        assert!(counts(1, 0, 0) && counts(0, 1, 0) && counts(0, 0, 1));
        assert!(!counts(0, 0, 0));
        assert!(
            !Service {
                active: false,
                ..service()
            }
            .may_be_redeployed()
        );
        assert!(
            !Service {
                opted_out: true,
                ..service()
            }
            .may_be_redeployed()
        );
    }

    #[test]
    fn tasks_beside_those_of_a_finished_rollout_outlived_it() {
        let now = second(200);
        assert!(service().is_outlived(now));
        assert!(
            !Service {
                running: 2,
                ..service()
            }
            .is_outlived(now)
        );
        assert!(
            !Service {
                running: 1,
                ..service()
            }
            .is_outlived(now)
        );
        assert!(
            !Service {
                controller: Controller::Other,
                ..service()
            }
            .is_outlived(now)
        );
        assert!(
            !Service {
                deployments: vec![deployment(false, RolloutState::Completed)],
                ..service()
            }
            .is_outlived(now)
        );
    }

    #[test]
    fn a_rollout_has_an_hour_to_replace_the_tasks() {
        let under_way = Service {
            deployments: vec![deployment(true, RolloutState::InProgress)],
            ..service()
        };
        assert!(!under_way.is_outlived(second(100 + 3599)));
        assert!(under_way.is_outlived(second(100 + 3600)));
        assert!(
            !Service {
                running: 2,
                ..under_way
            }
            .is_outlived(second(100 + 3600))
        );
    }

    #[test]
    fn what_is_read_is_known_and_can_be_corrected_however_it_is_used() {
        let [short, long] = ["a", "b"].map(|name| Reference::parse_secret(name).unwrap());
        for mut used in [Use::AtStart(short.clone()), Use::AtImagePull(short.clone())] {
            assert_eq!(used.reference(), &short);
            *used.reference_mut() = long.clone();
            assert_eq!(used.reference(), &long);
        }
    }
}
