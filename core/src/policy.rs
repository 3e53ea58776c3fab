//! What the operator wants, as far as decisions depend on it.

use jiff::{SignedDuration, Timestamp};

use crate::change::fresh_from;
use crate::config::{Config, ImageGuard};
use crate::name_pattern::NamePatterns;
use crate::tag::Participation;

/// A read may lag behind a write for this long, in seconds.
pub const READ_LAG_SECONDS: i64 = 5;

/// The settings that decide. Every default changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The time between a change and the first deployment for it. Default: ten seconds.
    pub settle: SignedDuration,
    /// Whether decisions are carried out. A preview waits for nothing. Default: true.
    pub acts: bool,
    /// What a service gets whose tag does not say. Default: auto.
    pub default: Participation,
    /// Whether stale services that take part as `notify` are only reported. Default: true.
    pub only_notifies: bool,
    /// The secrets and parameters that take part. Default: all.
    pub secrets: NamePatterns,
    /// What changed before this is left alone, UTC. Default: nothing is.
    pub since: Option<Timestamp>,
    /// In which order services go, for one change. Default: those tagged `first` first.
    pub order: Option<Order>,
    /// Whether change calendars must be open. Default: there are none.
    pub has_calendars: bool,
    /// What to do where a new deployment would start another image. Default: nothing.
    pub image_guard: ImageGuard,
}

/// An order of rollout: services tagged `first` go before the others, and a roll-back halts the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The largest number of rollouts at a time. Default: no limit.
    pub max_in_flight: Option<usize>,
}

impl Policy {
    /// The policy of a configuration.
    #[must_use]
    pub fn new(config: &Config, acts: bool) -> Self {
        Self {
            settle: SignedDuration::try_from(config.settle).unwrap_or(SignedDuration::MAX),
            acts,
            default: config.default,
            only_notifies: true,
            secrets: config.secrets.clone(),
            since: config.since,
            order: Some(Order {
                max_in_flight: config.max_in_flight,
            }),
            has_calendars: !config.calendars.is_empty(),
            image_guard: config.image_guard,
        }
    }

    /// The same for what a person asks for: what holds back only the automatic redeploys does not
    /// hold it back, and a freeze does if the person does not ask to ignore it.
    #[must_use]
    pub fn requested(self, ignore_freeze: bool) -> Self {
        Self {
            only_notifies: false,
            secrets: NamePatterns::default(),
            since: None,
            has_calendars: self.has_calendars && !ignore_freeze,
            ..self.without_order()
        }
    }

    /// The same without an order of rollout.
    #[must_use]
    pub fn without_order(self) -> Self {
        Self {
            order: None,
            ..self
        }
    }

    /// The largest number of rollouts for one change at a time, where there is one.
    #[must_use]
    pub fn max_in_flight(&self) -> Option<usize> {
        self.order.and_then(|order| order.max_in_flight)
    }

    /// The first moment at which something may be done about a change.
    #[must_use]
    pub fn settled_from(&self, at: Timestamp) -> Timestamp {
        // From the end of the second, because the same change has whole seconds in another event
        // and must settle there, too. And it may be reported a second later there.
        let second = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
        let second = Timestamp::from_second(second).unwrap_or(at);
        fresh_from(second)
            .saturating_add(self.settle)
            .unwrap_or(Timestamp::MAX)
    }

    /// The first moment at which a look shows every service that can be stale by a change.
    #[must_use]
    pub fn visible_from(&self, at: Timestamp) -> Timestamp {
        let lag = SignedDuration::from_secs(READ_LAG_SECONDS).min(self.settle);
        at.saturating_add(lag).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ACT, second};
    use jiff::SignedDuration;

    #[test]
    fn a_change_settles_from_the_end_of_the_second_after_its_own() {
        assert_eq!(ACT.settled_from(second(100)), second(111));
        let half = SignedDuration::from_millis(500);
        assert_eq!(ACT.settled_from(second(100) + half), second(112));
    }
}
