//! Which services to redeploy, and why each other one not: every decision of this program. Pure and total.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::arn::Location;
use crate::secret::{Change, Follows};
use crate::service::{Controller, Deployment, RolloutState, Service, Task, Use};

/// What to do about one service that has to do with a changed secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The service's ARN, or that of a task outside services.
    pub service: String,
    /// Why; the [`Action`] follows from it.
    pub reason: Reason,
    /// The ARNs of the changed secrets and parameters that the decision is about, sorted.
    pub secrets: Vec<String>,
    /// The upper bound of the last of their changes, UTC.
    pub at: Timestamp,
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It gets one new deployment.
    Redeploy,
    /// Nothing is to be done.
    Skip,
    /// Something should be done, by a person or later.
    Block,
}

/// Why a service is treated as it is; in the order in which they are considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// INACTIVE or DRAINING.
    NotActive,
    /// Tagged `ignore`.
    OptedOut,
    /// Names the secret only at version ids that never change.
    PinnedVersion,
    /// Uses the secret only to pull its image.
    ImagePullOnly,
    /// Desired, running and pending are all 0.
    NothingRunning,
    /// Deployed since the change, but tasks from before it still run; or a task outside services does.
    StaleTasks,
    /// Deployed since the change.
    AlreadyFresh,
    /// Deployed about when the change happened, and AWS cannot tell which came first.
    Unknown,
    /// `CODE_DEPLOY` and EXTERNAL cannot be forced.
    UnsupportedController,
    /// A deployment since the change failed or was rolled back, and none succeeded after it.
    RolledBack,
    /// A blue/green, canary or linear deployment begun before the change is under way; forcing would cancel it.
    DeploymentInProgress,
    /// Its tasks hold the old value.
    Stale,
}

impl Reason {
    /// What follows from it.
    #[must_use]
    pub fn action(self) -> Action {
        match self {
            Self::NotActive
            | Self::OptedOut
            | Self::PinnedVersion
            | Self::ImagePullOnly
            | Self::NothingRunning
            | Self::AlreadyFresh
            | Self::Unknown => Action::Skip,
            Self::StaleTasks
            | Self::UnsupportedController
            | Self::RolledBack
            | Self::DeploymentInProgress => Action::Block,
            Self::Stale => Action::Redeploy,
        }
    }
}

/// Decides about every service that has to do with one of the rotations; the others are left out.
///
/// The decisions stand in the order of the services.
#[must_use]
pub fn plan(rotations: &[Change], services: &[Service]) -> Vec<Decision> {
    services
        .iter()
        .filter_map(|service| decide(rotations, service))
        .collect()
}

/// The first moment at which a new deployment certainly reads the new value: the change was not later than `at`, and
/// one second is for clocks that differ.
#[must_use]
pub fn fresh_from(at: Timestamp) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(1))
        .unwrap_or(Timestamp::MAX)
}

/// Finds the tasks outside services that certainly hold the old value of something that they follow.
///
/// A new deployment cannot replace them, so there is only one thing to say about them.
#[must_use]
pub fn plan_tasks(rotations: &[Change], tasks: &[Task]) -> Vec<Decision> {
    let decide = |task: &Task| {
        let follows =
            |rotation: &&Change| relation(&task.uses, &task.home, rotation) == Relation::Follows;
        let about = rotations
            .iter()
            .filter(follows)
            .filter(|rotation| task.started_at < earliest(rotation));
        decision(&task.arn, Reason::StaleTasks, &about.collect::<Vec<_>>())
    };
    tasks.iter().filter_map(decide).collect()
}

/// How a service or task stands to a rotation, the strongest of its uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    Unrelated,
    ImagePullOnly,
    Pinned,
    Follows,
}

fn relation(uses: &[Use], home: &Location, rotation: &Change) -> Relation {
    let each =
        uses.iter().map(
            |used| match (used, used.reference().follows(&rotation.subject, home)) {
                (_, Follows::No) => Relation::Unrelated,
                (Use::AtImagePull(_), _) => Relation::ImagePullOnly,
                (Use::AtStart(_), Follows::Pinned) => Relation::Pinned,
                (Use::AtStart(_), Follows::Yes) => Relation::Follows,
            },
        );
    each.max().unwrap_or(Relation::Unrelated)
}

/// The first moment at which the change can have happened.
fn earliest(rotation: &Change) -> Timestamp {
    rotation.not_before.unwrap_or(rotation.at)
}

/// How old a service's tasks are beside a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Fresh,
    Unknown,
    Stale,
}

fn age(service: &Service, rotation: &Change) -> Age {
    // Where the latest failed, the tasks are of the PRIMARY.
    let known = [latest(service), service.primary()];
    match known
        .into_iter()
        .flatten()
        .find(|deployment| deployment.rollout != RolloutState::Failed)
    {
        Some(deployment) if deployment.created_at >= fresh_from(rotation.at) => Age::Fresh,
        Some(deployment)
            if rotation
                .not_before
                .is_some_and(|bound| deployment.created_at >= bound) =>
        {
            Age::Unknown
        }
        _ => Age::Stale,
    }
}

/// The deployment whose tasks are to be the only ones: the PRIMARY, or a later one that so far only the history shows.
///
/// A deployment that was stopped is not it, and of it nothing is known.
fn latest(service: &Service) -> Option<&Deployment> {
    let history = service
        .history
        .iter()
        .flatten()
        .filter(|deployment| deployment.rollout != RolloutState::Unknown);
    service
        .primary()
        .into_iter()
        .chain(history)
        .max_by_key(|d| (d.created_at, d.rollout != RolloutState::Failed))
}

/// Whether a service has the values of all these changes, whether it follows them or not.
#[must_use]
pub fn is_fresh(service: &Service, rotations: &[Change]) -> bool {
    rotations
        .iter()
        .all(|rotation| age(service, rotation) == Age::Fresh)
}

fn decide(rotations: &[Change], service: &Service) -> Option<Decision> {
    let related = |rotation| (relation(&service.uses, &service.home, rotation), rotation);
    let relations: Vec<_> = rotations.iter().map(related).collect();
    let strongest = relations
        .iter()
        .map(|(relation, _)| *relation)
        .max()
        .filter(|r| *r != Relation::Unrelated)?;
    // Weaker relations say nothing beside a stronger one: one followed secret is enough for a new deployment.
    // Of several followed secrets, those count for which the tasks are oldest.
    let about = relations
        .into_iter()
        .filter(|(relation, _)| *relation == strongest);
    let about: Vec<_> = about
        .map(|(_, rotation)| (age(service, rotation), rotation))
        .collect();
    let oldest = about.iter().map(|(age, _)| *age).max()?;
    let about: Vec<_> = about
        .into_iter()
        .filter(|(age, _)| *age == oldest)
        .map(|(_, rotation)| rotation)
        .collect();
    // The latest change decides: what was deployed since then has all the values.
    let reason = reason(
        service,
        strongest,
        oldest,
        about.iter().map(|rotation| earliest(rotation)).max()?,
    );
    if reason == Reason::AlreadyFresh {
        let outlived = |rotation: &&&Change| {
            service
                .oldest_task
                .is_some_and(|task| task < earliest(rotation))
        };
        let outlived: Vec<_> = about.iter().filter(outlived).copied().collect();
        if let Some(decision) = decision(&service.arn, Reason::StaleTasks, &outlived) {
            return Some(decision);
        }
    }
    decision(&service.arn, reason, &about)
}

/// The decision about these rotations; `None` when there are none.
fn decision(arn: &str, reason: Reason, about: &[&Change]) -> Option<Decision> {
    let at = about.iter().map(|rotation| rotation.at).max()?;
    let secrets: BTreeSet<_> = about
        .iter()
        .map(|rotation| rotation.subject.to_string())
        .collect();
    Some(Decision {
        service: arn.to_owned(),
        reason,
        secrets: secrets.into_iter().collect(),
        at,
    })
}

/// The table of decisions: the first line that holds.
fn reason(service: &Service, relation: Relation, age: Age, changed: Timestamp) -> Reason {
    if !service.active {
        Reason::NotActive
    } else if service.opted_out {
        Reason::OptedOut
    } else if relation == Relation::Pinned {
        Reason::PinnedVersion
    } else if relation == Relation::ImagePullOnly {
        Reason::ImagePullOnly
    } else if !service.may_be_redeployed() {
        Reason::NothingRunning
    } else if age == Age::Fresh {
        Reason::AlreadyFresh
    } else if age == Age::Unknown {
        Reason::Unknown
    } else if service.controller != Controller::Ecs {
        Reason::UnsupportedController
    } else if gave_up_since(service, fresh_from(changed)) {
        Reason::RolledBack
    } else if service.staged && under_way_since_before(service, fresh_from(changed)) {
        Reason::DeploymentInProgress
    } else {
        Reason::Stale
    }
}

/// All that is known of the service's deployments.
fn deployments(service: &Service) -> impl Iterator<Item = &Deployment> {
    service
        .deployments
        .iter()
        .chain(service.history.iter().flatten())
}

/// Whether a deployment created since `fresh_from` failed, and none created after it succeeded.
fn gave_up_since(service: &Service, fresh_from: Timestamp) -> bool {
    let last = |rollout| {
        deployments(service)
            .filter(|d| d.rollout == rollout)
            .map(|d| d.created_at)
            .max()
    };
    last(RolloutState::Failed)
        .is_some_and(|failed| failed >= fresh_from && Some(failed) > last(RolloutState::Completed))
}

/// Whether a deployment created before `fresh_from` still replaces tasks.
///
/// ECS gives a staged deployment no `rolloutState` in some answers; then a second live deployment tells.
fn under_way_since_before(service: &Service, fresh_from: Timestamp) -> bool {
    deployments(service).any(|deployment| {
        deployment.created_at < fresh_from
            && match deployment.rollout {
                RolloutState::InProgress => true,
                RolloutState::Unknown => deployment.primary && service.deployments.len() > 1,
                RolloutState::Completed | RolloutState::Failed => false,
            }
    })
}

/// Since when a service's earlier deployments must be known before it is redeployed; `None` when it is not to be
/// redeployed, or when they are known.
#[must_use]
pub fn needs_history(rotations: &[Change], service: &Service) -> Option<Timestamp> {
    let decision =
        decide(rotations, service).filter(|decision| decision.reason == Reason::Stale)?;
    let of_these = rotations
        .iter()
        .filter(|rotation| decision.secrets.contains(&rotation.subject.to_string()));
    // A staged deployment that is under way may have begun at any time.
    let since = if service.staged {
        None
    } else {
        of_these.map(earliest).min()
    };
    service
        .history
        .is_none()
        .then(|| since.map_or(Timestamp::UNIX_EPOCH, fresh_from))
}

/// Whether nothing can have been deployed, and rolled back, on account of a change that settled a moment ago.
///
/// A rollout that began when the change had settled cannot have failed in a shorter time.
#[must_use]
pub fn is_first_attempt(at: Timestamp, settle: SignedDuration, now: Timestamp) -> bool {
    fresh_from(at)
        .saturating_add(settle + SHORTEST_ROLL_BACK)
        .is_ok_and(|earliest| now < earliest)
}

/// How long a deployment lives at least before it is rolled back.
const SHORTEST_ROLL_BACK: SignedDuration = SignedDuration::from_secs(2);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arn::Location;
    use crate::secret::{AWSCURRENT, Reference, SecretArn, Source};
    use crate::service::Deployment;

    const DB: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
    const MAIL: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/mail-Ef34Gh";

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn rotation(arn: &str, at: i64) -> Change {
        let subject = Source::Secret {
            arn: SecretArn::parse(arn).unwrap(),
            label: AWSCURRENT.to_owned(),
        };
        Change {
            subject,
            version: None,
            at: second(at),
            not_before: None,
        }
    }

    fn deployment(at: i64, primary: bool, rollout: RolloutState) -> Deployment {
        Deployment {
            id: format!("ecs-svc/{at}"),
            created_at: second(at),
            primary,
            running: 2,
            rollout,
        }
    }

    /// A service of two tasks that follows `prod/db` and was deployed long ago.
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
            running: 2,
            pending: 0,
            controller: Controller::Ecs,
            staged: false,
            deployments: vec![deployment(10, true, RolloutState::Completed)],
            history: None,
            oldest_task: None,
            uses: vec![Use::AtStart(Reference::parse(DB).unwrap())],
        }
    }

    fn check(service: &Service, expected: Option<Reason>) {
        let decisions = plan(&[rotation(DB, 100)], std::slice::from_ref(service));
        assert_eq!(
            decisions.first().map(|decision| decision.reason),
            expected,
            "{service:?}"
        );
    }

    #[test]
    fn a_service_deployed_before_the_change_is_stale() {
        check(&service(), Some(Reason::Stale));
        for at in [99, 100] {
            check(
                &Service {
                    deployments: vec![deployment(at, true, RolloutState::Completed)],
                    ..service()
                },
                Some(Reason::Stale),
            );
        }
        check(
            &Service {
                deployments: Vec::new(),
                ..service()
            },
            Some(Reason::Stale),
        );
    }

    #[test]
    fn a_service_deployed_a_second_after_the_change_is_fresh() {
        for rollout in [
            RolloutState::Completed,
            RolloutState::InProgress,
            RolloutState::Unknown,
        ] {
            let deployments = vec![
                deployment(101, true, rollout),
                deployment(10, false, RolloutState::Completed),
            ];
            check(
                &Service {
                    deployments,
                    ..service()
                },
                Some(Reason::AlreadyFresh),
            );
        }
    }

    #[test]
    fn a_service_that_must_not_or_need_not_be_forced_is_skipped() {
        let pinned = format!("{DB}:::4d383ea9-084a-49c9-8722-cbfb0f25c456");
        let pinned = vec![Use::AtStart(Reference::parse(&pinned).unwrap())];
        let pulled = vec![Use::AtImagePull(
            Reference::parse_secret("prod/db").unwrap(),
        )];
        check(
            &Service {
                active: false,
                opted_out: true,
                ..service()
            },
            Some(Reason::NotActive),
        );
        check(
            &Service {
                opted_out: true,
                uses: pinned.clone(),
                ..service()
            },
            Some(Reason::OptedOut),
        );
        check(
            &Service {
                uses: pinned.clone(),
                desired: 0,
                ..service()
            },
            Some(Reason::PinnedVersion),
        );
        check(
            &Service {
                uses: pulled.clone(),
                ..service()
            },
            Some(Reason::ImagePullOnly),
        );
        check(
            &Service {
                desired: 0,
                running: 0,
                ..service()
            },
            Some(Reason::NothingRunning),
        );
        check(
            &Service {
                desired: 0,
                running: 1,
                ..service()
            },
            Some(Reason::Stale),
        );
        check(
            &Service {
                desired: 0,
                running: 0,
                pending: 1,
                ..service()
            },
            Some(Reason::Stale),
        );
        let both = [pinned, pulled, service().uses].concat();
        check(
            &Service {
                uses: both,
                ..service()
            },
            Some(Reason::Stale),
        );
        check(
            &Service {
                uses: vec![Use::AtStart(Reference::parse(MAIL).unwrap())],
                ..service()
            },
            None,
        );
        check(
            &Service {
                uses: Vec::new(),
                ..service()
            },
            None,
        );
    }

    #[test]
    fn a_service_that_cannot_be_forced_is_blocked_unless_it_is_fresh() {
        let external = Service {
            controller: Controller::Other,
            ..service()
        };
        check(&external, Some(Reason::UnsupportedController));
        let deployments = vec![deployment(101, true, RolloutState::Unknown)];
        check(
            &Service {
                deployments,
                ..external
            },
            Some(Reason::AlreadyFresh),
        );
    }

    #[test]
    fn a_rollout_that_failed_since_the_change_is_not_tried_again() {
        let old = deployment(10, true, RolloutState::Completed);
        let failed = deployment(110, false, RolloutState::Failed);
        check(
            &Service {
                deployments: vec![old.clone(), failed.clone()],
                ..service()
            },
            Some(Reason::RolledBack),
        );
        check(
            &Service {
                deployments: vec![deployment(110, true, RolloutState::Failed)],
                ..service()
            },
            Some(Reason::RolledBack),
        );
        for at in [110, 120] {
            let later = deployment(at, false, RolloutState::Completed);
            check(
                &Service {
                    deployments: vec![old.clone(), failed.clone(), later],
                    ..service()
                },
                Some(Reason::Stale),
            );
        }
        let before = deployment(90, false, RolloutState::Failed);
        check(
            &Service {
                deployments: vec![old, before],
                ..service()
            },
            Some(Reason::Stale),
        );
    }

    #[test]
    fn a_staged_deployment_under_way_is_not_interrupted() {
        let staged = Service {
            staged: true,
            ..service()
        };
        check(&staged, Some(Reason::Stale));
        let deployments = vec![
            deployment(90, true, RolloutState::InProgress),
            deployment(10, false, RolloutState::Completed),
        ];
        check(
            &Service {
                deployments: deployments.clone(),
                ..staged.clone()
            },
            Some(Reason::DeploymentInProgress),
        );
        check(
            &Service {
                deployments,
                ..service()
            },
            Some(Reason::Stale),
        );
        let deployments = vec![
            deployment(90, true, RolloutState::Unknown),
            deployment(10, false, RolloutState::Unknown),
        ];
        check(
            &Service {
                deployments,
                ..staged.clone()
            },
            Some(Reason::DeploymentInProgress),
        );
        check(
            &Service {
                deployments: vec![deployment(90, true, RolloutState::Unknown)],
                ..staged
            },
            Some(Reason::Stale),
        );
    }

    #[test]
    fn several_secrets_that_rotate_together_cost_one_redeploy() {
        let uses = [DB, MAIL]
            .map(|arn| Use::AtStart(Reference::parse(arn).unwrap()))
            .to_vec();
        let both = Service {
            uses,
            deployments: vec![deployment(150, true, RolloutState::Completed)],
            ..service()
        };
        let decisions = plan(&[rotation(MAIL, 200), rotation(DB, 100)], &[both]);
        assert_eq!(decisions.len(), 1);
        // Deployed between the two changes, so it is stale for the second only.
        assert_eq!(
            (decisions[0].reason, &decisions[0].secrets),
            (Reason::Stale, &vec![MAIL.to_owned()])
        );
    }

    fn any_service() -> impl Strategy<Value = Service> {
        let rollout = prop_oneof![
            Just(RolloutState::InProgress),
            Just(RolloutState::Completed),
            Just(RolloutState::Failed),
            Just(RolloutState::Unknown),
        ];
        let deployment = (0..300_i64, any::<bool>(), rollout)
            .prop_map(|(at, primary, rollout)| deployment(at, primary, rollout));
        let reference = prop_oneof![
            Just(DB.to_owned()),
            Just(MAIL.to_owned()),
            Just(format!("{DB}:::4d383ea9-084a-49c9-8722-cbfb0f25c456")),
        ];
        let used = (reference, any::<bool>()).prop_map(|(text, start)| {
            let reference = Reference::parse(&text).unwrap();
            if start {
                Use::AtStart(reference)
            } else {
                Use::AtImagePull(reference)
            }
        });
        let controller = prop_oneof![3 => Just(Controller::Ecs), 1 => Just(Controller::Other)];
        let deployments = || proptest::collection::vec(deployment.clone(), 0..4);
        (
            (
                proptest::bool::weighted(0.8),
                proptest::bool::weighted(0.2),
                0..3,
                0..2,
                0..2,
                controller,
                any::<bool>(),
            ),
            (deployments(), proptest::option::of(deployments())),
            proptest::collection::vec(used, 0..4),
        )
            .prop_map(
                |(
                    (active, opted_out, desired, running, pending, controller, staged),
                    (deployments, history),
                    uses,
                )| {
                    Service {
                        active,
                        opted_out,
                        desired,
                        running,
                        pending,
                        controller,
                        staged,
                        deployments,
                        history,
                        uses,
                        ..service()
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn order_and_repetition_of_rotations_do_not_matter(service in any_service(), first in 0..300_i64, second in 0..300_i64) {
            let (db, mail) = (rotation(DB, first), rotation(MAIL, second));
            let once = plan(&[db.clone(), mail.clone()], std::slice::from_ref(&service));
            prop_assert_eq!(&once, &plan(&[mail.clone(), db.clone(), mail, db], std::slice::from_ref(&service)));
        }

        #[test]
        fn what_was_redeployed_is_not_redeployed_again(service in any_service(), at in 0..299_i64) {
            let rotations = [rotation(DB, at)];
            if plan(&rotations, std::slice::from_ref(&service)).iter().any(|decision| decision.reason == Reason::Stale) {
                let mut deployments = service.deployments.clone();
                for deployment in &mut deployments {
                    deployment.primary = false;
                }
                let now = 300;
                deployments.push(deployment(now, true, RolloutState::InProgress));
                let after = Service { deployments, ..service };
                prop_assert_eq!(plan(&rotations, &[after])[0].reason, Reason::AlreadyFresh);
            }
        }

        #[test]
        fn only_a_service_that_follows_the_secret_is_redeployed(service in any_service(), at in 0..300_i64) {
            let follows = service.uses.contains(&Use::AtStart(Reference::parse(DB).unwrap()));
            for decision in plan(&[rotation(DB, at)], std::slice::from_ref(&service)) {
                let redeployed = decision.reason.action() == Action::Redeploy;
                prop_assert!(!redeployed || (follows && service.active && !service.opted_out));
            }
        }
    }

    fn bounded(arn: &str, not_before: i64, at: i64) -> Change {
        Change {
            not_before: Some(second(not_before)),
            ..rotation(arn, at)
        }
    }

    fn reasons(rotations: &[Change], service: &Service) -> Vec<Reason> {
        plan(rotations, std::slice::from_ref(service))
            .iter()
            .map(|decision| decision.reason)
            .collect()
    }

    #[test]
    fn only_what_is_stale_is_redeployed_and_what_needs_a_person_is_blocked() {
        use Reason::{
            AlreadyFresh, DeploymentInProgress, ImagePullOnly, NotActive, NothingRunning, OptedOut,
            PinnedVersion, RolledBack, Stale, StaleTasks, Unknown, UnsupportedController,
        };
        assert_eq!(Stale.action(), Action::Redeploy);
        for reason in [
            StaleTasks,
            UnsupportedController,
            RolledBack,
            DeploymentInProgress,
        ] {
            assert_eq!(reason.action(), Action::Block);
        }
        for reason in [
            NotActive,
            OptedOut,
            PinnedVersion,
            ImagePullOnly,
            NothingRunning,
            AlreadyFresh,
            Unknown,
        ] {
            assert_eq!(reason.action(), Action::Skip);
        }
    }

    #[test]
    fn a_decision_names_its_service_and_the_last_of_the_changes() {
        let uses = [DB, MAIL]
            .map(|arn| Use::AtStart(Reference::parse(arn).unwrap()))
            .to_vec();
        let decisions = plan(
            &[rotation(MAIL, 200), rotation(DB, 100)],
            &[Service { uses, ..service() }],
        );
        let secrets = vec![DB.to_owned(), MAIL.to_owned()];
        let expected = Decision {
            service: service().arn,
            reason: Reason::Stale,
            secrets,
            at: second(200),
        };
        assert_eq!(decisions, [expected]);
    }

    #[test]
    fn a_service_deployed_between_the_bounds_of_a_change_is_unknown() {
        let at = |at| Service {
            deployments: vec![deployment(at, true, RolloutState::Completed)],
            ..service()
        };
        let change = [bounded(DB, 100, 200)];
        assert_eq!(reasons(&change, &at(99)), [Reason::Stale]);
        assert_eq!(reasons(&change, &at(100)), [Reason::Unknown]);
        assert_eq!(reasons(&change, &at(200)), [Reason::Unknown]);
        assert_eq!(reasons(&change, &at(201)), [Reason::AlreadyFresh]);
    }

    #[test]
    fn a_service_is_fresh_when_it_is_newer_than_all_changes() {
        let service = Service {
            deployments: vec![deployment(150, true, RolloutState::Completed)],
            ..service()
        };
        assert!(is_fresh(
            &service,
            &[rotation(DB, 100), rotation(MAIL, 149)]
        ));
        assert!(!is_fresh(
            &service,
            &[rotation(DB, 100), rotation(MAIL, 150)]
        ));
        let failed = Service {
            deployments: vec![deployment(150, true, RolloutState::Failed)],
            ..service
        };
        assert!(!is_fresh(&failed, &[rotation(DB, 100)]));
    }

    #[test]
    fn tasks_that_outlive_a_fresh_deployment_are_named() {
        let fresh = Service {
            deployments: vec![deployment(201, true, RolloutState::Completed)],
            ..service()
        };
        let oldest = |task| Service {
            oldest_task: Some(second(task)),
            ..fresh.clone()
        };
        let change = [bounded(DB, 100, 200)];
        assert_eq!(reasons(&change, &oldest(99)), [Reason::StaleTasks]);
        assert_eq!(
            reasons(&change, &oldest(100)),
            [Reason::AlreadyFresh],
            "they may have the new value"
        );
        assert_eq!(reasons(&change, &fresh), [Reason::AlreadyFresh]);
        let stale = Service {
            oldest_task: Some(second(5)),
            ..service()
        };
        assert_eq!(
            reasons(&change, &stale),
            [Reason::Stale],
            "a new deployment may replace them"
        );
    }

    #[test]
    fn a_task_outside_services_is_named_when_it_certainly_holds_the_old_value() {
        let task = |at, uses| Task {
            arn: format!("task/{at}"),
            home: service().home,
            started_at: second(at),
            uses,
        };
        let starts = || service().uses;
        let pulls = vec![Use::AtImagePull(Reference::parse(DB).unwrap())];
        let tasks = [
            task(99, starts()),
            task(100, starts()),
            task(98, pulls),
            task(97, Vec::new()),
        ];
        let expected = Decision {
            service: "task/99".to_owned(),
            reason: Reason::StaleTasks,
            secrets: vec![DB.to_owned()],
            at: second(200),
        };
        assert_eq!(
            plan_tasks(&[bounded(DB, 100, 200), rotation(MAIL, 300)], &tasks),
            [expected]
        );
    }

    /// The service of which ECS remembers these deployments.
    fn with(history: &[(i64, RolloutState)]) -> Service {
        let history = history
            .iter()
            .map(|(at, rollout)| deployment(*at, false, *rollout));
        Service {
            history: Some(history.collect()),
            ..service()
        }
    }

    #[test]
    fn a_rollout_that_failed_is_remembered_by_the_history_until_one_succeeds() {
        check(
            &with(&[(101, RolloutState::Failed)]),
            Some(Reason::RolledBack),
        );
        check(&with(&[(100, RolloutState::Failed)]), Some(Reason::Stale));
        check(
            &with(&[(101, RolloutState::Failed), (99, RolloutState::Completed)]),
            Some(Reason::RolledBack),
        );
        check(
            &with(&[(111, RolloutState::Failed), (110, RolloutState::Completed)]),
            Some(Reason::RolledBack),
        );
    }

    #[test]
    fn a_deployment_that_only_the_history_shows_yet_counts() {
        for (at, rollout, expected) in [
            (101, RolloutState::Completed, Reason::AlreadyFresh),
            (101, RolloutState::InProgress, Reason::AlreadyFresh),
            (101, RolloutState::Unknown, Reason::Stale),
            (100, RolloutState::Completed, Reason::Stale),
        ] {
            check(&with(&[(at, rollout)]), Some(expected));
            check(
                &Service {
                    staged: true,
                    ..with(&[(at, rollout)])
                },
                Some(expected),
            );
        }
        let rolled_back = Service {
            uses: [DB, MAIL]
                .map(|arn| Use::AtStart(Reference::parse(arn).unwrap()))
                .to_vec(),
            deployments: vec![deployment(101, true, RolloutState::Completed)],
            ..with(&[(121, RolloutState::Failed)])
        };
        let decision = plan(&[rotation(DB, 100), rotation(MAIL, 120)], &[rolled_back]).remove(0);
        assert_eq!(
            (decision.reason, decision.secrets),
            (Reason::RolledBack, vec![MAIL.to_owned()])
        );
        let cleared = [
            (110, RolloutState::Failed),
            (110, RolloutState::Completed),
            (115, RolloutState::Unknown),
        ];
        check(&with(&cleared), Some(Reason::AlreadyFresh));
        check(&with(&[cleared[1], cleared[0]]), Some(Reason::AlreadyFresh));
        let between = with(&[(150, RolloutState::Completed)]);
        assert_eq!(
            reasons(&[bounded(DB, 100, 200)], &between),
            [Reason::Unknown]
        );
    }

    #[test]
    fn only_a_staged_deployment_begun_before_the_change_is_waited_for() {
        let under_way = |at, primary: bool, rollout| {
            let deployments = vec![
                deployment(10, !primary, RolloutState::Completed),
                deployment(at, primary, rollout),
            ];
            Service {
                staged: true,
                deployments,
                ..service()
            }
        };
        check(
            &under_way(100, false, RolloutState::InProgress),
            Some(Reason::DeploymentInProgress),
        );
        check(
            &under_way(101, false, RolloutState::InProgress),
            Some(Reason::Stale),
        );
        check(
            &under_way(90, false, RolloutState::Unknown),
            Some(Reason::Stale),
        );
    }

    #[test]
    fn the_history_of_a_stale_service_is_needed_from_the_first_change_on() {
        let uses = [DB, MAIL]
            .map(|arn| Use::AtStart(Reference::parse(arn).unwrap()))
            .to_vec();
        let both = Service { uses, ..service() };
        let changes = [bounded(DB, 100, 200), rotation(MAIL, 150)];
        assert_eq!(needs_history(&changes, &both), Some(second(101)));
        assert_eq!(needs_history(&changes[1..], &both), Some(second(151)));
        assert_eq!(
            needs_history(&[rotation(MAIL, 50), rotation(DB, 100)], &service()),
            Some(second(101))
        );
        let staged = Service {
            staged: true,
            ..service()
        };
        assert_eq!(
            needs_history(&changes, &staged),
            Some(Timestamp::UNIX_EPOCH),
            "it may have begun at any time"
        );
        assert_eq!(
            needs_history(
                &changes,
                &Service {
                    history: Some(Vec::new()),
                    ..service()
                }
            ),
            None
        );
        assert_eq!(
            needs_history(
                &changes,
                &Service {
                    active: false,
                    ..service()
                }
            ),
            None
        );
    }

    #[test]
    fn a_first_attempt_ends_when_a_rollout_can_have_failed() {
        let settle = SignedDuration::from_secs(10);
        assert!(is_first_attempt(second(100), settle, second(100)));
        assert!(is_first_attempt(second(100), settle, second(112)));
        assert!(!is_first_attempt(second(100), settle, second(113)));
    }
}
