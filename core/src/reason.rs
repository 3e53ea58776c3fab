//! Why a service is treated as it is, and what follows from that.

use schemars::JsonSchema;
use serde::Serialize;

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It gets one new deployment.
    Redeploy,
    /// It needs nothing, or nothing can be said about it.
    Skip,
    /// It needs time.
    Wait,
    /// It needs a person.
    Block,
}

/// Why a service is treated as it is, in the order in which the reasons are considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
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
    /// Deployed since the change, or all of its tasks started since then.
    AlreadyFresh,
    /// Deployed at about the time of the change, and AWS cannot tell which came first; or AWS
    /// refuses to say when something that it uses changed.
    Unknown,
    /// `CODE_DEPLOY` and EXTERNAL cannot be forced.
    UnsupportedController,
    /// Its task definition revision is INACTIVE, so no new deployment can start from it.
    InactiveTaskDefinition,
    /// A deployment of its revision since the change failed, and none succeeded after it.
    RolledBack,
    /// Another deployment is under way, or ECS is rolling one back.
    DeploymentInProgress,
    /// Its tasks hold the old value.
    Stale,
    /// The configuration names it, and it does not exist.
    NotFound,
    /// AWS did not answer what it is, what it uses, or when that changed.
    LookupFailed,
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
            | Self::NotFound
            | Self::LookupFailed
            | Self::Unknown => Action::Skip,
            Self::DeploymentInProgress => Action::Wait,
            Self::StaleTasks
            | Self::UnsupportedController
            | Self::InactiveTaskDefinition
            | Self::RolledBack => Action::Block,
            Self::Stale => Action::Redeploy,
        }
    }

    /// Whether AWS failed to say what the decision depends on, so that the invocation fails.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::NotFound | Self::LookupFailed)
    }
}
