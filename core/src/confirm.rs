//! What an event claims about a secret, checked against `DescribeSecret`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::arn::{SecretArn, has_suffix, without_suffix};
use crate::change::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Bounds, Change, Source};
use crate::fact::Fact;
use crate::reference::Reference;
use crate::tag::SecretTag;

/// A claim about a secret that `DescribeSecret` is to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnconfirmedChange {
    /// The secret as the caller of the API named it: a name, an ARN or a partial ARN.
    pub secret_id: String,
    /// The Region in which a name is to be looked up, where the event says.
    pub region: Option<String>,
    /// What is said to have happened.
    pub claim: Claim,
    /// The end of the second in which it happened, UTC.
    pub at: Option<Timestamp>,
}

/// What an event says about a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// These labels moved, to this version where the event says.
    Moved {
        /// The labels.
        labels: Vec<String>,
        /// The version that they are on since then.
        version: Option<String>,
    },
    /// AWSCURRENT had moved by then, at the end of a rotation.
    Rotated,
    /// AWSCURRENT moved if this version was stored.
    Stored(String),
    /// AWSCURRENT will move to this version, if the rotation succeeds.
    Requested(String),
    /// A person asks for AWSCURRENT to be treated as moved.
    Asked,
}

/// What `DescribeSecret` says about a secret
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html>). It
/// holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// The full ARN.
    pub arn: SecretArn,
    /// The version that each staging label is on.
    pub labels: BTreeMap<String, String>,
    /// When the secret was changed in any way, UTC; an upper bound of when a label moved.
    pub last_changed: Option<Timestamp>,
    /// When a rotation last succeeded, UTC.
    pub last_rotated: Option<Timestamp>,
    /// The value of our tag.
    pub tag: Option<String>,
}

/// A claim, checked against [`SecretFacts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// These labels moved.
    Changes(Vec<Change>),
    /// The rotation is still under way, in a sentence.
    Pending(String),
    /// The answer is older than the event, in a sentence.
    Outdated(String),
    /// Nothing moved, in a sentence.
    Nothing(String),
    /// A request names no secret.
    NoSecret,
}

/// The clocks of the services differ by no more than this.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);
/// Secrets Manager's answers show a change after this time.
pub(crate) const CONSISTENT_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// An answer of after this time that has changed with the event is taken for the truth.
const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A rotation whose version is not even pending after this time has ended.
const ROTATION_BEGINS_WITHIN: SignedDuration = SignedDuration::from_mins(5);

impl SecretFacts {
    /// What its tag says, and the words in it that mean nothing.
    pub(crate) fn words(&self) -> (SecretTag, Vec<&str>) {
        SecretTag::parse(self.tag.as_deref().unwrap_or_default())
    }
}

impl UnconfirmedChange {
    /// Checks the claim.
    ///
    /// Of two upper bounds of the moment, the event's and the secret's, the earlier is the tighter,
    /// and keeps a late event from looking like news. `now` is the bound when there is neither.
    #[must_use]
    pub fn confirm(&self, secret: &SecretFacts, now: Timestamp) -> Confirmation {
        let at = self
            .at
            .into_iter()
            .chain(secret.last_changed)
            .min()
            .unwrap_or(now);
        let change = |label: &str, moved| {
            let source = Source::Secret {
                arn: secret.arn.clone(),
                label: label.to_owned(),
            };
            Change {
                last_changed: secret.last_changed,
                tag: Fact::Known(secret.words().0),
                ..Change::new(source, secret.labels.get(label).cloned(), moved)
            }
        };
        let current = |moved| Confirmation::Changes(vec![change(AWSCURRENT, moved)]);
        let is_on =
            |version: &str, label: &str| secret.labels.get(label).is_some_and(|on| on == version);
        let was_promoted = |version| is_on(version, AWSCURRENT) || is_on(version, AWSPREVIOUS);
        if self.is_newer_than(secret, now) {
            return Confirmation::Outdated(format!(
                "Secrets Manager does not show the change of {} yet",
                secret.arn
            ));
        }
        match &self.claim {
            Claim::Moved { labels, .. } => {
                let moved: Vec<_> = labels
                    .iter()
                    .filter(|label| secret.labels.contains_key(*label))
                    .map(|label| change(label, Bounds::exact(at)))
                    .collect();
                if moved.is_empty() {
                    let reason = "no version of the secret carries the label any more";
                    Confirmation::Nothing(reason.to_owned())
                } else {
                    Confirmation::Changes(moved)
                }
            }
            Claim::Rotated => current(Bounds::until(at)),
            Claim::Asked => current(Bounds::exact(self.at.unwrap_or(now))),
            Claim::Stored(version) if was_promoted(version) => current(Bounds::exact(at)),
            Claim::Stored(_) => {
                let reason = "the call stored no version that became AWSCURRENT";
                Confirmation::Nothing(reason.to_owned())
            }
            // The request came before the move, so only the secret's own times are upper bounds of
            // it; and of these, LastRotatedDate only when it is not that of an earlier rotation.
            Claim::Requested(version) if was_promoted(version) => {
                let requested = self.began_at();
                let rotated = secret
                    .last_rotated
                    .filter(|rotated| requested.is_some_and(|at| *rotated >= at));
                let not_after = secret.last_changed.into_iter().chain(rotated).min();
                let not_after = not_after.unwrap_or(now);
                current(Bounds {
                    not_before: requested.unwrap_or(Timestamp::MIN).min(not_after),
                    not_after,
                })
            }
            Claim::Requested(_)
                if self.is_past(ROTATION_BEGINS_WITHIN, now)
                    && !secret.labels.contains_key(AWSPENDING) =>
            {
                let reason = "the rotation ended without making its version current";
                Confirmation::Nothing(reason.to_owned())
            }
            Claim::Requested(version) => Confirmation::Pending(format!(
                "the rotation of {} is under way: its version {version} is not AWSCURRENT yet",
                secret.arn
            )),
        }
    }

    /// What a claim comes to when there is no such secret.
    #[must_use]
    pub fn without_secret(&self) -> Confirmation {
        match self.claim {
            Claim::Asked => Confirmation::NoSecret,
            _ => Confirmation::Nothing("the secret no longer exists".to_owned()),
        }
    }

    /// The change that the event alone can vouch for, where the secret may not be described: it had
    /// happened by the time of the event, and the event has the full ARN.
    #[must_use]
    pub fn unchecked(&self) -> Option<Change> {
        let (label, version) = match &self.claim {
            Claim::Rotated => (AWSCURRENT, None),
            Claim::Moved { labels, version } => (labels.first()?.as_str(), version.clone()),
            Claim::Stored(_) | Claim::Requested(_) | Claim::Asked => return None,
        };
        let source = Source::Secret {
            arn: SecretArn::parse(&self.secret_id)?,
            label: label.to_owned(),
        };
        let change = Change::new(source, version, Bounds::exact(self.at?));
        // Its tag may not be read either.
        let tag = Fact::Known(SecretTag::default());
        Some(Change { tag, ..change })
    }

    /// Whether a reference can mean the secret of the claim. It may be another one.
    #[must_use]
    pub fn may_be_meant_by(&self, reference: &Reference) -> bool {
        let claimed = Reference::parse_secret(&self.secret_id);
        let claimed = claimed.as_ref().map(Reference::lookup_name);
        let id = claimed.unwrap_or(&self.secret_id);
        let named = reference.lookup_name();
        named == id
            || without_suffix(named) == Some(id)
            || without_suffix(id) == Some(named)
            // Both are full ids, of secrets that may have been replicated or made again.
            || (has_suffix(named) && without_suffix(named) == without_suffix(id))
    }

    /// Whether the answer is older than the event: the version of the event is not there yet, or the
    /// secret has not changed since.
    fn is_newer_than(&self, secret: &SecretFacts, now: Timestamp) -> bool {
        let (Some(at), Some(began)) = (self.at, self.began_at()) else {
            return false;
        };
        let Some(last_changed) = secret
            .last_changed
            .filter(|_| !self.is_past(CONSISTENT_AFTER, now))
        else {
            return false;
        };
        let began = began.saturating_sub(TOLERANCE).unwrap_or(began);
        // An answer that is not older may be that of a later change, once it has settled.
        let is_recent = !self.is_past(SHOWN_AFTER, now) && last_changed <= at;
        match &self.claim {
            Claim::Moved {
                labels,
                version: Some(version),
            } => {
                let is_shown = labels
                    .iter()
                    .any(|label| secret.labels.get(label) == Some(version));
                !is_shown && (last_changed < began || is_recent)
            }
            Claim::Stored(version) => {
                let is_shown = secret.labels.values().any(|known| known == version);
                !is_shown && (last_changed < began || is_recent)
            }
            Claim::Moved { version: None, .. } => last_changed < began,
            Claim::Rotated | Claim::Requested(_) | Claim::Asked => false,
        }
    }

    /// The beginning of the second of the event.
    fn began_at(&self) -> Option<Timestamp> {
        self.at?.saturating_sub(SignedDuration::from_secs(1)).ok()
    }

    /// Whether the event is older than this.
    fn is_past(&self, age: SignedDuration, now: Timestamp) -> bool {
        let past = self.at.and_then(|at| at.saturating_add(age).ok());
        past.is_some_and(|past| past < now)
    }
}

#[cfg(test)]
mod tests;
