//! What can change ([`Source`]), and that it changed ([`Change`]).

use std::borrow::Cow;
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::arn::{Location, ParameterArn, SecretArn, secret_id};
use crate::fact::Fact;
use crate::tag::SecretTag;

/// The staging label of the version that readers get unless they ask for another.
pub const AWSCURRENT: &str = "AWSCURRENT";
/// The staging label of the version that was AWSCURRENT before; it moves when AWSCURRENT moves.
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";
/// The staging label of a version that a rotation is still preparing.
pub const AWSPENDING: &str = "AWSPENDING";

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A secret, of which one staging label moved.
    Secret {
        /// Which secret.
        arn: SecretArn,
        /// Which label moved.
        label: String,
    },
    /// A parameter, which has one value and no labels that ECS could read.
    Parameter(ParameterArn),
}

impl Source {
    /// The moved label; `None` for a parameter.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Secret { label, .. } => Some(label),
            Self::Parameter(_) => None,
        }
    }

    /// The names under which references look it up: see `Reference::lookup_name`.
    #[must_use]
    pub fn lookup_names(&self) -> Vec<&str> {
        match self {
            Self::Secret { arn, .. } => vec![arn.name(), secret_id(&arn.0).unwrap_or_default()],
            Self::Parameter(arn) => vec![arn.bare_name()],
        }
    }

    /// The name of the secret or parameter. A path begins with a slash.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Secret { arn, .. } => arn.name().into(),
            Self::Parameter(arn) if arn.bare_name().contains('/') => {
                format!("/{}", arn.bare_name()).into()
            }
            Self::Parameter(arn) => arn.bare_name().into(),
        }
    }

    /// Whether another service of AWS manages the secret, such as `rds!cluster-1`
    /// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html>).
    #[must_use]
    pub fn is_managed(&self) -> bool {
        matches!(self, Self::Secret { arn, .. } if arn.name().contains('!'))
    }

    /// The account and Region that keep it.
    #[must_use]
    pub fn location(&self) -> Location {
        match self {
            Self::Secret {
                arn: SecretArn(arn),
                ..
            }
            | Self::Parameter(ParameterArn(arn)) => arn.location(),
        }
    }
}

/// Prints the ARN.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret {
                arn: SecretArn(arn),
                ..
            }
            | Self::Parameter(ParameterArn(arn)) => arn.fmt(f),
        }
    }
}

/// The moment of a change lies between these, both included, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The value did not change before this.
    pub not_before: Timestamp,
    /// The value had changed by then.
    pub not_after: Timestamp,
}

/// The value of a source changed: tasks that started before that hold the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub source: Source,
    /// The version that now carries the label, where known.
    pub version: Option<String>,
    /// When, by the event and `DescribeSecret`.
    pub reported: Bounds,
    /// When the secret last changed in any way, UTC, where the event may be about an earlier change.
    pub last_changed: Option<Timestamp>,
    /// When the version was stored.
    pub stored: Fact<Option<VersionStored>>,
    /// What CloudTrail's event history says.
    pub trail: Fact<Option<TrailMove>>,
    /// What our tag on the secret says.
    pub tag: Fact<SecretTag>,
}

/// The creation of a version of a secret: its label cannot have moved before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStored {
    /// When, UTC.
    pub at: Timestamp,
    /// Whether the secret has no other version, on which the label can have been.
    pub is_only: bool,
}

/// What a record of CloudTrail says about the move of a label, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailMove {
    /// It moved at this time.
    At(Timestamp),
    /// It moved at this time, or later by a call that the history does not show yet.
    NotBefore(Timestamp),
    /// It had moved by then.
    NotAfter(Timestamp),
}

impl Bounds {
    /// The moment itself, to the second.
    #[must_use]
    pub fn exact(at: Timestamp) -> Self {
        Self {
            not_before: at,
            not_after: at,
        }
    }

    /// Any moment up to this one.
    #[must_use]
    pub fn until(not_after: Timestamp) -> Self {
        Self {
            not_before: Timestamp::MIN,
            not_after,
        }
    }

    /// Whether the moment is known to the second.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.not_before >= self.not_after
    }

    /// The first moment at which whatever starts certainly reads the new value.
    #[must_use]
    pub fn fresh_from(&self) -> Timestamp {
        fresh_from(self.not_after)
    }
}

/// The first moment at which whatever starts certainly reads a value that had changed by `at`: one
/// second later, because clocks differ.
#[must_use]
pub fn fresh_from(at: Timestamp) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(1))
        .unwrap_or(Timestamp::MAX)
}

impl Change {
    /// A change as an event reports it.
    #[must_use]
    pub fn new(source: Source, version: Option<String>, reported: Bounds) -> Self {
        let tag = match source {
            Source::Secret { .. } => Fact::Unasked,
            // Parameters have no words.
            Source::Parameter(_) => Fact::Known(SecretTag::default()),
        };
        Self {
            source,
            version,
            reported,
            last_changed: None,
            stored: Fact::Unasked,
            trail: Fact::Unasked,
            tag,
        }
    }

    /// When it happened, by all that is known.
    #[must_use]
    pub fn moved(&self) -> Bounds {
        let mut moved = self.reported;
        if let Some(Some(stored)) = self.stored.known() {
            if stored.is_only {
                // The label was put on the version when it was stored.
                let at = stored.at.saturating_sub(SignedDuration::from_secs(1));
                moved = Bounds::exact(at.unwrap_or(stored.at).min(moved.not_after));
            } else if stored.at > moved.not_after {
                // The event was about the change before this one.
                moved = Bounds {
                    not_before: stored.at,
                    not_after: self.last_changed.map_or(stored.at, |at| at.max(stored.at)),
                };
            } else {
                moved.not_before = moved.not_before.max(stored.at);
            }
        }
        match self.trail.known() {
            Some(Some(TrailMove::At(at))) => Bounds::exact((*at).min(moved.not_after)),
            Some(Some(TrailMove::NotBefore(at))) => Bounds {
                not_before: moved.not_before.max(*at),
                ..moved
            },
            Some(Some(TrailMove::NotAfter(at))) => Bounds {
                not_after: moved.not_after.min(*at),
                ..moved
            },
            Some(None) | None => moved,
        }
    }
}

#[cfg(test)]
mod tests;
