//! What may become of a service of each sort.

use super::{PARAMETER, SECRETS, Sort};

impl Sort {
    /// What a service of a story is drawn from.
    pub(super) const DRAWN: [Self; 20] = [
        Self::Follows,
        Self::Follows,
        Self::Follows,
        Self::FollowsTwo,
        Self::FollowsPrevious,
        Self::ByName,
        Self::ByPartialArn,
        Self::FollowsParameter,
        Self::Tagged,
        Self::Mapped,
        Self::Staged,
        Self::Protected,
        Self::OptedOut,
        Self::Pinned,
        Self::External,
        Self::Unrelated,
        Self::Forbidden,
        Self::Hidden,
        Self::Inactive,
        Self::Broken,
    ];

    /// Whether a service of this sort follows the secret, and so is redeployed for it, or reported.
    pub(super) fn follows(self, secret: &str, lookup: &str) -> bool {
        match self {
            Self::Follows
            | Self::ByName
            | Self::Forbidden
            | Self::Hidden
            | Self::Inactive
            | Self::Broken
            | Self::External
            | Self::Staged
            | Self::Protected => secret == SECRETS[0],
            Self::Tagged => secret == SECRETS[0] && lookup.contains("tags"),
            Self::Mapped => secret == SECRETS[0] && lookup.contains("config"),
            Self::FollowsParameter => secret == PARAMETER,
            Self::FollowsTwo => secret == SECRETS[0] || secret == SECRETS[1],
            Self::FollowsPrevious => secret == SECRETS[1],
            Self::ByPartialArn => secret == SECRETS[2],
            Self::OptedOut | Self::Pinned | Self::Unrelated => false,
        }
    }

    /// Whether nothing keeps the function from redeploying it.
    pub(super) fn is_ordinary(self) -> bool {
        !matches!(
            self,
            Self::Protected
                | Self::OptedOut
                | Self::Pinned
                | Self::External
                | Self::Unrelated
                | Self::Forbidden
                | Self::Hidden
                | Self::Inactive
                | Self::Broken
        )
    }

    /// What a report must say of it when it runs stale tasks; nothing may be said of an ordinary one.
    pub(super) fn excuses(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Forbidden => &[("failed", "stale")],
            Self::Hidden => &[("failed", "lookup-failed")],
            Self::Inactive => &[("blocked", "inactive-task-definition")],
            Self::Broken => &[("blocked", "rolled-back")],
            Self::External => &[("blocked", "unsupported-controller")],
            Self::Protected => &[("blocked", "stale-tasks"), ("skipped", "unknown")],
            _ => &[],
        }
    }
}
