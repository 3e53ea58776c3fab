//! When labels moved, by the records of CloudTrail.

use jiff::{SignedDuration, Timestamp};

use crate::change::{AWSCURRENT, Change, Source, TrailMove};
use crate::confirm::{Claim, UnconfirmedChange};
use crate::reference::{Follows, Reference};

/// How close the time of a record is to a move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    /// The label had moved by then.
    Bound,
    /// The label moved then.
    Moment,
}

/// The move by which a label came to where it is. `is_complete`: whether these are all records of
/// the time in question; CloudTrail shows an event after fifteen minutes at the latest.
#[must_use]
pub fn find_move(
    change: &Change,
    records: &[UnconfirmedChange],
    is_complete: bool,
) -> Option<TrailMove> {
    let bounds = change.moved();
    let moves = records
        .iter()
        .filter_map(|record| Some((exactness(record, change)?, record.at?)));
    // What is older than the bound was the move before this one, which is not shown yet.
    let moves = moves.filter(|(_, at)| *at >= bounds.not_before);
    match moves.max()? {
        // The last of all moves, or the one that changed the secret last.
        (Exactness::Moment, at) if is_complete || at >= bounds.not_after => Some(TrailMove::At(at)),
        // There may have been a later one that is not shown yet.
        (Exactness::Moment, at) => Some(TrailMove::NotBefore(
            at.saturating_sub(SignedDuration::from_secs(1))
                .unwrap_or(Timestamp::MIN),
        )),
        // `RotationSucceeded` comes some time after the move.
        (Exactness::Bound, at) => is_complete.then_some(TrailMove::NotAfter(at)),
    }
}

/// Whether a record tells of the move by which the label came to where it is.
fn exactness(record: &UnconfirmedChange, change: &Change) -> Option<Exactness> {
    let Source::Secret { arn, label } = &change.source else {
        return None;
    };
    let exactness = match &record.claim {
        Claim::Rotated => (label == AWSCURRENT).then_some(Exactness::Bound),
        Claim::Moved {
            labels,
            version: None,
        } => labels.contains(label).then_some(Exactness::Bound),
        Claim::Moved { labels, version } => {
            let is_it = labels.contains(label) && change.version == *version;
            is_it.then_some(Exactness::Moment)
        }
        Claim::Stored(version) => {
            let is_it = label == AWSCURRENT && change.version.as_ref() == Some(version);
            is_it.then_some(Exactness::Moment)
        }
        Claim::Requested(_) | Claim::Asked => None,
    };
    let current = Source::Secret {
        arn: arn.clone(),
        label: AWSCURRENT.to_owned(),
    };
    let named = Reference::parse_secret(&record.secret_id).ok()?;
    let is_named = named.follows(&current, &current.location()) == Follows::Yes;
    exactness.filter(|_| is_named)
}

#[cfg(test)]
mod tests;
