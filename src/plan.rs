//! Which services to redeploy, and why each other one not: every decision of this program. Pure and total.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::secret::{Follows, Rotation};
use crate::service::{Controller, Deployment, Rollout, Service, Use};

/// What to do about one service that has to do with a changed secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The service's ARN.
    pub service: String,
    /// Why; the [`Action`] follows from it.
    pub reason: Reason,
    /// The ARNs of the changed secrets and parameters that the decision is about, sorted.
    pub secrets: Vec<String>,
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
    /// Deployed since the change.
    AlreadyFresh,
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
            | Self::AlreadyFresh => Action::Skip,
            Self::UnsupportedController | Self::RolledBack | Self::DeploymentInProgress => {
                Action::Block
            }
            Self::Stale => Action::Redeploy,
        }
    }
}

/// Decides about every service that has to do with one of the rotations; the others are left out.
///
/// The decisions stand in the order of the services.
#[must_use]
pub fn plan(rotations: &[Rotation], services: &[Service]) -> Vec<Decision> {
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

/// How a service stands to a rotation, the strongest of its uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    Unrelated,
    ImagePullOnly,
    Pinned,
    Follows,
}

fn relation(service: &Service, rotation: &Rotation) -> Relation {
    let each = service.uses.iter().map(|used| {
        match (
            used,
            used.reference().follows(&rotation.subject, &service.home),
        ) {
            (_, Follows::No) => Relation::Unrelated,
            (Use::AtImagePull(_), _) => Relation::ImagePullOnly,
            (Use::AtStart(_), Follows::Pinned) => Relation::Pinned,
            (Use::AtStart(_), Follows::Yes) => Relation::Follows,
        }
    });
    each.max().unwrap_or(Relation::Unrelated)
}

fn decide(rotations: &[Rotation], service: &Service) -> Option<Decision> {
    let relations: Vec<_> = rotations
        .iter()
        .map(|rotation| (relation(service, rotation), rotation))
        .collect();
    let strongest = relations.iter().map(|(relation, _)| *relation).max()?;
    if strongest == Relation::Unrelated {
        return None;
    }
    // Weaker relations say nothing beside a stronger one: one followed secret is enough for a new deployment.
    let about: Vec<_> = relations
        .iter()
        .filter(|(relation, _)| *relation == strongest)
        .map(|(_, r)| *r)
        .collect();
    // The latest change decides: what was deployed since then has all the values.
    let at = about.iter().map(|rotation| rotation.at).max()?;
    let secrets: BTreeSet<_> = about
        .iter()
        .map(|rotation| rotation.subject.to_string())
        .collect();
    Some(Decision {
        service: service.arn.clone(),
        reason: reason(service, strongest, fresh_from(at)),
        secrets: secrets.into_iter().collect(),
    })
}

/// The table of decisions: the first line that holds.
fn reason(service: &Service, relation: Relation, fresh_from: Timestamp) -> Reason {
    if !service.active {
        Reason::NotActive
    } else if service.opted_out {
        Reason::OptedOut
    } else if relation == Relation::Pinned {
        Reason::PinnedVersion
    } else if relation == Relation::ImagePullOnly {
        Reason::ImagePullOnly
    } else if service.desired <= 0 && service.running <= 0 && service.pending <= 0 {
        Reason::NothingRunning
    } else if service
        .primary()
        .is_some_and(|d| d.created_at >= fresh_from && d.rollout != Rollout::Failed)
    {
        Reason::AlreadyFresh
    } else if service.controller != Controller::Ecs {
        Reason::UnsupportedController
    } else if gave_up_since(&service.deployments, fresh_from) {
        Reason::RolledBack
    } else if service.staged && under_way_since_before(&service.deployments, fresh_from) {
        Reason::DeploymentInProgress
    } else {
        Reason::Stale
    }
}

/// Whether a deployment created since `fresh_from` failed, and none created after it succeeded.
fn gave_up_since(deployments: &[Deployment], fresh_from: Timestamp) -> bool {
    let last = |rollout| {
        deployments
            .iter()
            .filter(|d| d.rollout == rollout)
            .map(|d| d.created_at)
            .max()
    };
    last(Rollout::Failed)
        .is_some_and(|failed| failed >= fresh_from && Some(failed) > last(Rollout::Completed))
}

/// Whether a deployment created before `fresh_from` still replaces tasks.
///
/// ECS gives a staged deployment no `rolloutState` in some answers; then a second live deployment tells.
fn under_way_since_before(deployments: &[Deployment], fresh_from: Timestamp) -> bool {
    deployments.iter().any(|deployment| {
        deployment.created_at < fresh_from
            && match deployment.rollout {
                Rollout::InProgress => true,
                Rollout::Unknown => deployment.primary && deployments.len() > 1,
                Rollout::Completed | Rollout::Failed => false,
            }
    })
}
