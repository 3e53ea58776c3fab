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
    /// `REDEPLOY_DEFAULT` is `ignore`, and its tag does not say otherwise.
    NotOptedIn,
    /// The secret is tagged `ignore`.
    SecretIgnored,
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
    /// It holds a value that changed before `REDEPLOY_SINCE`.
    TooOld,
    /// It is stale and takes part as `notify`.
    NotifyOnly,
    /// `CODE_DEPLOY` and EXTERNAL cannot be forced.
    UnsupportedController,
    /// Its task definition revision is INACTIVE, so no new deployment can start from it.
    InactiveTaskDefinition,
    /// A deployment of its revision since the change failed, and none succeeded after it.
    RolledBack,
    /// Another deployment is under way, or ECS is rolling one back.
    DeploymentInProgress,
    /// Another service was rolled back since the change, and an order of rollout was asked for.
    Halted,
    /// A service tagged `first` is not done with the change.
    WaitingForFirst,
    /// As many rollouts for the change as may be are under way.
    MaxInFlight,
    /// A change calendar is closed.
    ChangeFreeze,
    /// A new deployment would start another image than the one that runs.
    ImageMoved,
    /// A new deployment would fail, because its image is gone.
    ImageGone,
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
            | Self::NotOptedIn
            | Self::SecretIgnored
            | Self::TooOld
            | Self::NotifyOnly
            | Self::PinnedVersion
            | Self::ImagePullOnly
            | Self::NothingRunning
            | Self::AlreadyFresh
            | Self::NotFound
            | Self::LookupFailed
            | Self::Unknown => Action::Skip,
            Self::DeploymentInProgress
            | Self::WaitingForFirst
            | Self::MaxInFlight
            | Self::ChangeFreeze => Action::Wait,
            Self::StaleTasks
            | Self::UnsupportedController
            | Self::InactiveTaskDefinition
            | Self::RolledBack
            | Self::Halted
            | Self::ImageMoved
            | Self::ImageGone => Action::Block,
            Self::Stale => Action::Redeploy,
        }
    }

    /// Whether the service takes no part, by what it is or follows.
    #[must_use]
    pub fn is_exempt(self) -> bool {
        matches!(
            self,
            Self::NotActive
                | Self::OptedOut
                | Self::NotOptedIn
                | Self::SecretIgnored
                | Self::PinnedVersion
                | Self::ImagePullOnly
                | Self::NothingRunning
        )
    }

    /// What it means, for a person.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotActive => "the service is INACTIVE or DRAINING",
            Self::OptedOut => "its tag says to leave it alone",
            Self::NotOptedIn => "REDEPLOY_DEFAULT is ignore, and its tag does not opt it in",
            Self::SecretIgnored => "its tag or REDEPLOY_SECRETS says to leave the secret alone",
            Self::PinnedVersion => "it names a version id, which never changes",
            Self::ImagePullOnly => "it uses the secret only to pull its image",
            Self::NothingRunning => "no task runs or should run; the next one reads the new value",
            Self::StaleTasks => {
                "tasks from before the change still run, which no deployment replaces"
            }
            Self::AlreadyFresh => "its tasks started since the change",
            Self::Unknown => {
                "AWS cannot tell, or does not say, if it changed before its tasks started"
            }
            Self::TooOld => "the value changed before REDEPLOY_SINCE",
            Self::NotifyOnly => "its tasks hold the old value, and it is only reported",
            Self::UnsupportedController => {
                "CODE_DEPLOY and EXTERNAL services cannot be forced; deploy it by its own way"
            }
            Self::InactiveTaskDefinition => {
                "its task definition revision is INACTIVE, so nothing can start from it; deploy \
                 another"
            }
            Self::RolledBack => {
                "a deployment since the change failed; find out why, for example with `doctor`"
            }
            Self::DeploymentInProgress => {
                "another deployment is under way, which a new one would cut off"
            }
            Self::Halted => {
                "the rollout of another service for the same change failed; mend the value, or \
                 redeploy by request"
            }
            Self::WaitingForFirst => "a service tagged first goes before it",
            Self::MaxInFlight => "as many rollouts as may be are under way",
            Self::ChangeFreeze => "a change calendar is closed",
            Self::ImageMoved => {
                "its image tag names another image now; deploy that on purpose, or restore the tag"
            }
            Self::ImageGone => "its image no longer exists; push it again",
            Self::Stale => "its tasks hold the old value",
            Self::NotFound => "the configuration names it, and it does not exist",
            Self::LookupFailed => "AWS did not say what must be known",
        }
    }

    /// Whether AWS failed to say what the decision depends on, so that the invocation fails.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::NotFound | Self::LookupFailed)
    }
}
