//! What the operator wants, as far as decisions depend on it.

use jiff::{SignedDuration, Timestamp};

use crate::change::fresh_from;
use crate::config::Config;

/// A read may lag behind a write for this long, in seconds.
pub const READ_LAG_SECONDS: i64 = 5;

/// The settings that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The time between a change and the first deployment for it. Default: ten seconds.
    pub settle: SignedDuration,
    /// Whether decisions are carried out. A preview waits for nothing. Default: true.
    pub acts: bool,
}

impl Policy {
    /// The policy of a configuration.
    #[must_use]
    pub fn new(config: &Config, acts: bool) -> Self {
        let settle = SignedDuration::try_from(config.settle).unwrap_or(SignedDuration::MAX);
        Self { settle, acts }
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
