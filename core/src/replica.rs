//! Replicas: secrets that get their values from the one of the same name in another Region
//! (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html>).
//!
//! AWS does not say whether a replica sends events, so an event of its primary is a hint that it will
//! change, too. Its own labels say when.

use jiff::Timestamp;

use crate::arn::{Arn, Location, SecretArn};
use crate::change::{AWSPREVIOUS, Bounds, Change, Source};
use crate::confirm::{CONSISTENT_AFTER, Confirmation, SecretFacts};
use crate::fact::Fact;
use crate::facts::Facts;
use crate::reference::{Follows, Reference};
use crate::workload::{Use, Workload};

/// A replica of a secret that changed, and what it shows of that.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// When it was last asked for, UTC.
    pub asked_at: Option<Timestamp>,
    /// What it shows of the change.
    pub answer: Fact<Confirmation>,
}

impl Reference {
    /// The secret of its own Region that this reference, read by a service that lives at `location`,
    /// follows if that is a replica of the changed one.
    #[must_use]
    pub fn replica_of(&self, changed: &Source, location: Option<&Location>) -> Option<Source> {
        let Source::Secret {
            arn: SecretArn(arn),
            label,
        } = changed
        else {
            return None;
        };
        let own = location.map(|location| location.region.as_str());
        let region = self.region().or(own)?;
        if region == arn.region || own.is_some_and(|own| own != region) {
            return None;
        }
        if !changed.lookup_names().contains(&self.lookup_name()) {
            return None;
        }
        let replica = Source::Secret {
            arn: SecretArn(Arn {
                region: region.to_owned(),
                ..arn.clone()
            }),
            label: label.clone(),
        };
        let follows = match location {
            Some(location) => self.follows(&replica, location),
            None => self.follows(&replica, &replica.location()),
        };
        (follows == Follows::Yes).then_some(replica)
    }
}

impl Workload {
    /// The secrets of its own Region that its tasks follow if they are replicas of the changed one.
    pub(crate) fn replicas_of(&self, changed: &Source) -> impl Iterator<Item = Source> {
        self.uses.iter().filter_map(move |used| match used {
            Use::AtStart(reference) => reference.replica_of(changed, self.location.as_deref()),
            Use::AtImagePull(_) => None,
        })
    }
}

impl Change {
    /// What a replica shows of this change of its primary. `was_behind`: this invocation has seen it
    /// without the change.
    #[must_use]
    pub fn in_replica(
        &self,
        replica: &SecretFacts,
        was_behind: bool,
        now: Timestamp,
    ) -> Confirmation {
        let at = self.reported.not_after;
        let label = self.source.label().unwrap_or_default();
        let has_version = self.version.as_ref().is_some_and(|version| {
            let is_on = |label: &str| replica.labels.get(label) == Some(version);
            is_on(label) || is_on(AWSPREVIOUS)
        });
        let changed_since = replica.last_changed.filter(|changed| *changed > at);
        // The version may be one that was replaced since.
        let is_old = at
            .saturating_add(CONSISTENT_AFTER)
            .is_ok_and(|old| old < now);
        let is_past = changed_since.is_some() && (self.version.is_none() || is_old);
        if !has_version && !is_past {
            return Confirmation::Outdated(format!(
                "the replica {} does not show the change of its primary yet",
                replica.arn
            ));
        }
        let Some(version) = replica.labels.get(label) else {
            let reason = "no version of the replica carries the label any more";
            return Confirmation::Nothing(reason.to_owned());
        };
        let source = Source::Secret {
            arn: replica.arn.clone(),
            label: label.to_owned(),
        };
        let behind = was_behind.then_some(now);
        let moved = Bounds {
            not_before: self.reported.not_before,
            not_after: changed_since.or(behind).unwrap_or(at).max(at),
        };
        Confirmation::Changes(vec![Change::new(source, Some(version.clone()), moved)])
    }
}

impl Facts {
    /// Learns what `DescribeSecret` says of a replica of what changed.
    pub(crate) fn learn_replica(
        &mut self,
        of: &Source,
        replica: Source,
        found: Fact<Option<SecretFacts>>,
        now: Timestamp,
    ) {
        let Some(primary) = self.changes.get(of) else {
            return;
        };
        let was_behind = self.replicas.contains_key(&replica);
        let answer = match found {
            Fact::Unasked => Fact::Unasked,
            Fact::Known(Some(secret)) => Fact::Known(primary.in_replica(&secret, was_behind, now)),
            Fact::Known(None) => {
                let reason = "the secret has no replica in this Region";
                Fact::Known(Confirmation::Nothing(reason.to_owned()))
            }
            Fact::Unavailable(gap) => Fact::Unavailable(gap),
        };
        if let Fact::Known(Confirmation::Changes(changes)) = &answer {
            for change in changes.clone() {
                // A look of before may lack who was deployed with the old value.
                if self.looked_at.known() < Some(&change.reported.not_after) {
                    self.looked_at = Fact::Unasked;
                }
                self.announce(change);
            }
        }
        let asked_at = Some(now);
        self.replicas.insert(replica, Replica { asked_at, answer });
    }
}

#[cfg(test)]
mod tests;
