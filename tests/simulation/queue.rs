//! Lambda's queue of asynchronous invocations, with one worker
//! (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// What is older than this is given up.
const MAXIMUM_EVENT_AGE: Duration = Duration::from_hours(6);

/// One event on its way to the function.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) payload: Value,
    /// When Lambda had got it.
    pub(crate) received: Instant,
    /// 1 at first; it is given up when the third has failed.
    pub(crate) attempt: u32,
}

/// What waits for the function, which handles one event at a time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<(Instant, u64), Message>,
    sent: u64,
    /// How old each event was when its first attempt began.
    pub(crate) ages: Vec<Duration>,
    /// What was given up after three attempts, or for its age.
    pub(crate) dropped: Vec<Value>,
}

impl Queue {
    /// An event that arrives after so long.
    pub(crate) fn send(&mut self, payload: Value, after: Duration) {
        let received = Instant::now() + after;
        self.push(
            received,
            Message {
                payload,
                received,
                attempt: 1,
            },
        );
    }

    fn push(&mut self, due: Instant, message: Message) {
        self.sent += 1;
        self.waiting.insert((due, self.sent), message);
    }

    /// When the next attempt is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next event whose time has come.
    pub(crate) fn take(&mut self) -> Option<Message> {
        let now = Instant::now();
        while self.next_due().is_some_and(|due| due <= now) {
            let (_, message) = self.waiting.pop_first()?;
            let age = now.duration_since(message.received);
            if age > MAXIMUM_EVENT_AGE {
                self.dropped.push(message.payload);
                continue;
            }
            if message.attempt == 1 {
                self.ages.push(age);
            }
            return Some(message);
        }
        None
    }

    /// An attempt failed: there is another after one minute, and after two.
    pub(crate) fn failed(&mut self, message: Message) {
        if message.attempt > 2 {
            self.dropped.push(message.payload);
            return;
        }
        let due = Instant::now() + Duration::from_mins(1) * message.attempt;
        self.push(
            due,
            Message {
                attempt: message.attempt + 1,
                ..message
            },
        );
    }
}
