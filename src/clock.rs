//! The time of one invocation.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

/// With less time than this left, nothing new is started.
pub const SHUTDOWN_RESERVE: Duration = Duration::from_secs(20);

/// The time of one invocation: when it began, and when it must be done.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_at: Timestamp,
    began: Instant,
    deadline: Option<Timestamp>,
    /// When this invocation was first attempted, UTC: what a request means by "now".
    pub requested_at: Timestamp,
}

/// The invocation's time is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfTime;

impl Clock {
    /// An invocation that begins `now` and must be done by the deadline, if there is one.
    #[must_use]
    pub fn new(now: Timestamp, deadline: Option<Timestamp>) -> Self {
        Self {
            began_at: now,
            began: Instant::now(),
            deadline,
            requested_at: now,
        }
    }

    /// The time, UTC.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.began_at
            .saturating_add(self.elapsed())
            .unwrap_or(Timestamp::MAX)
    }

    /// The time since the invocation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether nothing new may be started, so that the report is still made.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stop_at().is_some_and(|stop| Instant::now() >= stop)
    }

    /// Gathers while there is time.
    ///
    /// # Errors
    /// When the time is over.
    pub async fn in_time<T>(&self, gather: impl Future<Output = T>) -> Result<T, OutOfTime> {
        match self.stop_at() {
            None => Ok(gather.await),
            Some(stop) => timeout_at(stop, gather).await.map_err(|_| OutOfTime),
        }
    }

    /// Finishes what was started in time: it gets most of the reserve.
    ///
    /// # Errors
    /// When the time was over before, or the reserve is not enough.
    pub async fn finish<T>(&self, started: impl Future<Output = T>) -> Result<T, OutOfTime> {
        match self.stop_at() {
            None => Ok(started.await),
            Some(stop) if Instant::now() >= stop => Err(OutOfTime),
            Some(stop) => {
                let reserve = SHUTDOWN_RESERVE * 3 / 4;
                timeout_at(stop + reserve, started)
                    .await
                    .map_err(|_| OutOfTime)
            }
        }
    }

    /// Waits until this moment.
    ///
    /// # Errors
    /// At once, when it is too late for anything then.
    pub async fn sleep_until(&self, moment: Timestamp) -> Result<(), OutOfTime> {
        let wait = Duration::try_from(moment.duration_since(self.now())).unwrap_or_default();
        if self
            .stop_at()
            .is_some_and(|stop| Instant::now() + wait > stop)
        {
            return Err(OutOfTime);
        }
        sleep(wait).await;
        Ok(())
    }

    fn stop_at(&self) -> Option<Instant> {
        let left = self.deadline?.duration_since(self.began_at);
        let left = Duration::try_from(left).unwrap_or_default();
        Some(self.began + left.saturating_sub(SHUTDOWN_RESERVE))
    }
}
