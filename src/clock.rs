//! The time of one invocation.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// With less time than this left, nothing new is started.
pub const TIME_FOR_THE_REST: Duration = Duration::from_secs(20);

/// The time of one invocation: when it began, and when it must be done.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_at: Timestamp,
    began: Instant,
    deadline: Option<Timestamp>,
    /// When this invocation was first attempted, UTC: what a request means by "now".
    pub asked_at: Timestamp,
}

impl Clock {
    /// An invocation that begins `now` and must be done by the deadline, if there is one.
    #[must_use]
    pub fn new(now: Timestamp, deadline: Option<Timestamp>) -> Self {
        Self {
            began_at: now,
            began: Instant::now(),
            deadline,
            asked_at: now,
        }
    }

    /// The time, UTC.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.began_at
            .saturating_add(self.elapsed())
            .unwrap_or(Timestamp::MAX)
    }

    /// When to stop starting things, so that the report is still made.
    #[must_use]
    pub fn stop_at(&self) -> Option<Instant> {
        let left =
            Duration::try_from(self.deadline?.duration_since(self.began_at)).unwrap_or_default();
        Some(self.began + left.saturating_sub(TIME_FOR_THE_REST))
    }

    /// The time since the invocation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
