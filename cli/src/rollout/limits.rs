//! When nothing more is begun, or waited for.

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// What may still be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    /// A rollout failed or timed out: no other is begun.
    BeginNoMore,
    /// Ctrl-C came: nothing is waited for.
    Stop,
}

/// Why a wait was over before it had an end.
#[derive(Clone, Copy)]
pub(super) enum Cut {
    /// Nothing more is begun, or waited for.
    Stopped,
    TimedOut,
}

/// What all services of a run share.
pub(super) struct Limits {
    pub(super) go: watch::Receiver<Go>,
    pub(super) deadline: Instant,
    pub(super) in_flight: Semaphore,
}

impl Limits {
    /// Waits for something, unless that is cut short: at the deadline, by Ctrl-C, and where it is for
    /// a beginning also by the failure of another.
    pub(super) async fn unless_cut<T>(
        &self,
        begins: bool,
        done: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        let mut go = self.go.clone();
        let stops = |go: &Go| *go == Go::Stop || begins && *go == Go::BeginNoMore;
        tokio::select! {
            biased;
            () = sleep_until(self.deadline) => Err(Cut::TimedOut),
            _ = go.wait_for(stops) => Err(Cut::Stopped),
            done = done => Ok(done),
        }
    }
}
