//! How the events of a story reach the function.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::report::Report;
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::account::Account;
use super::{SECRETS, Sort, Story};
use crate::scene::config;
use crate::simulation::account::Family;
use crate::simulation::mistakes::Mistake;
use crate::simulation::patterns;
use crate::simulation::queue::Queue;
use crate::simulation::wire::Wire;

/// So long nobody remembers what a process that died did a moment before: reads have caught up by
/// then.
const READS_CATCH_UP: Duration = Duration::from_secs(5);
/// What cannot come to rest is waited for so long.
const AT_REST: Duration = Duration::from_mins(15);
/// In a calm story no service runs a stale task for longer after the last change.
const FRESH_WITHIN: Duration = Duration::from_mins(45);
/// What has redeployed so often goes round in circles.
const CIRCLES: usize = 150;
/// How often staleness is looked at.
const WATCH: Duration = Duration::from_secs(30);

/// Brings events to the function as AWS would: late, twice, not at all, again after a failure, and
/// one at a time.
pub(super) struct Delivery {
    wire: Wire,
    config: Config,
    random: fastrand::Rng,
    lost: f64,
    killed: f64,
    cold: f64,
    shipped_rules: bool,
    mistake: Option<Mistake>,
    aws: Aws,
    queue: Queue,
    /// Whether nothing more happens, and an empty queue is the end.
    pub(super) closing: Rc<Cell<bool>>,
    /// Whether only the sweeps are left, which are not killed.
    pub(super) sweeping: bool,
    pub(super) told: Vec<(Timestamp, String)>,
    /// Services whose failure was in no report.
    untold: Vec<String>,
    /// How many processes there were, and how many sweeps.
    processes: usize,
    sweeps: usize,
    /// The services that are to be fresh before long, and since when they are not.
    watched: Vec<String>,
    stale_since: BTreeMap<String, Timestamp>,
    watched_at: Option<Instant>,
    late: Option<String>,
}

impl Delivery {
    pub(super) fn new(
        story: &Story,
        wire: Wire,
        watched: Vec<String>,
        random: fastrand::Rng,
    ) -> Self {
        let services = story.services.iter().enumerate();
        let mapped = services.filter(|(_, service)| service.sort == Sort::Mapped);
        let mapped: Vec<_> = mapped
            .map(|(number, _)| format!("prod/api-{number}"))
            .collect();
        let mapping = json!([{"secret": SECRETS[0], "services": mapped}]).to_string();
        let mut variables = vec![
            ("REDEPLOY_LOOKUP", story.lookup),
            ("REDEPLOY_SETTLE_SECONDS", story.settle),
        ];
        if story.lookup.contains("config") {
            variables.push(("REDEPLOY_MAPPING", &mapping));
        }
        let config = config(&variables);
        let aws = wire.clients();
        Self {
            wire,
            config,
            random,
            lost: story.lost,
            killed: story.killed,
            cold: story.cold,
            shipped_rules: story.shipped_rules,
            mistake: story.mistake,
            aws,
            queue: Queue::default(),
            closing: Rc::default(),
            sweeping: false,
            told: Vec::new(),
            untold: Vec::new(),
            processes: 1,
            sweeps: 0,
            watched: if story.is_calm() { watched } else { Vec::new() },
            stale_since: BTreeMap::new(),
            watched_at: None,
            late: None,
        }
    }

    /// Brings all events, until nothing is left and nothing moves any more.
    pub(super) async fn until_quiet(&mut self) {
        let mut closed = None;
        loop {
            let (events, next) = {
                let mut account = self.wire.account();
                (std::mem::take(&mut account.events), account.next_due())
            };
            for (family, event) in events {
                self.send(family, &event);
            }
            self.watch();
            if self.closing.get() {
                closed = closed.or(Some(Instant::now()));
            }
            if self.wire.account().redeploys.len() > CIRCLES {
                self.late = Some("every rollout brings another".to_owned());
                return;
            }
            if let Some(message) = self.queue.take() {
                let report = self.invoke(&message.payload).await;
                if report.is_none_or(|report| report.failure.is_some()) {
                    self.queue.failed(message);
                }
                continue;
            }
            let is_at_rest =
                next.is_none() || closed.is_some_and(|at: Instant| at.elapsed() > AT_REST);
            let due = self.queue.next_due();
            if due.is_none()
                && closed.is_some()
                && is_at_rest
                && self.wire.account().events.is_empty()
            {
                return;
            }
            // What happens in the story may come at any time.
            let soon = closed.map_or_else(
                || Instant::now() + Duration::from_secs(2),
                |_| Instant::now() + AT_REST,
            );
            let until = [Some(soon), due, next].into_iter().flatten().min().unwrap();
            sleep_until(until.max(Instant::now() + Duration::from_millis(50))).await;
        }
    }

    fn send(&mut self, family: Family, event: &Value) {
        let rules = match family {
            Family::Schedule => 1,
            _ if self.shipped_rules => patterns::matching(event),
            _ => 1,
        };
        for _ in 0..rules {
            while self.random.f64() >= self.lost {
                let after = Duration::from_millis(self.random.u64(100..90_000));
                self.queue.send(event.clone(), after);
                if self.random.f64() < 0.7 {
                    break;
                }
            }
        }
    }

    /// Notes how long services have run stale tasks.
    fn watch(&mut self) {
        if self.watched.is_empty() || self.watched_at.is_some_and(|at| at.elapsed() < WATCH) {
            return;
        }
        self.watched_at = Some(Instant::now());
        let account = self.wire.account();
        let now = account.now();
        for arn in &self.watched {
            // One whose owner must help waits for nobody else.
            if !account.is_stale(arn) || account.is_stuck(arn) {
                self.stale_since.remove(arn);
                continue;
            }
            let since = *self.stale_since.entry(arn.clone()).or_insert(now);
            // A staged deployment is not cut off, and the next change may come before its end.
            let since = account.moves.iter().copied().fold(since, Ord::max);
            if now.duration_since(since).unsigned_abs() > FRESH_WITHIN && self.late.is_none() {
                self.late = Some(format!("{arn} has run stale tasks from {since} to {now}"));
            }
        }
    }

    /// One invocation; `None` when it was killed in the middle, by which the process ends.
    pub(super) async fn invoke(&mut self, payload: &Value) -> Option<Report> {
        self.wire.begin(payload);
        if self.mistake == Some(Mistake::LookPerEvent) {
            self.aws = self.wire.clients();
        }
        let began = self.wire.account().now();
        // The mistake of a function that waits for nothing.
        let ahead = Duration::from_secs(if self.mistake == Some(Mistake::NoSettle) {
            60
        } else {
            0
        });
        let now = began.saturating_add(ahead).unwrap();
        let clock = Clock::new(
            now,
            Some(now.saturating_add(Duration::from_mins(15)).unwrap()),
        );
        let handled = handle(&self.aws, &self.config, payload, &clock);
        let report = if self.random.f64() < self.killed && !self.sweeping {
            timeout(Duration::from_millis(self.random.u64(1..20_000)), handled)
                .await
                .ok()
        } else {
            Some(handled.await)
        };
        if report.is_none() || self.random.f64() < self.cold {
            sleep(READS_CATCH_UP).await;
            self.aws = self.wire.clients();
            self.processes += 1;
        }
        let what = payload["detail"]["eventName"]
            .as_str()
            .or(payload["detail-type"].as_str());
        self.sweeps += usize::from(what.is_none_or(|what| what == "Scheduled Event"));
        if let Some(report) = &report {
            let said = serde_json::to_value(report).unwrap();
            let denied = std::mem::take(&mut self.wire.account().denied);
            let is_told = |arn: &String| {
                let is_it = |service: &Value| {
                    service["service"] == **arn
                        && service["action"] == "failed"
                        && service["error"].is_string()
                };
                // A failure that a sweep meets again is in its report, and fails it no more.
                let is_sweep = said["trigger"] == "sweep";
                (report.failure.is_some() || is_sweep)
                    && said["services"].as_array().unwrap().iter().any(is_it)
            };
            self.untold
                .extend(denied.into_iter().filter(|arn| !is_told(arn)));
        }
        let came_to = report.as_ref().map_or("killed", |report| &report.reason);
        self.told
            .push((began, format!("{}: {came_to}", what.unwrap_or("sweep"))));
        report
    }

    /// What was promised of the way to the end: every failure is reported, nothing waits without end,
    /// and the account is not looked at more often than there is a reason to.
    pub(super) fn check(&self, account: &Account) -> Result<(), String> {
        if let Some(arn) = self.untold.first() {
            return Err(format!("that {arn} failed is in no report"));
        }
        if let Some(late) = &self.late {
            return Err(late.clone());
        }
        let calls = self.wire.account();
        let looks = calls
            .calls_of("ListClusters")
            .iter()
            .filter(|body| body["nextToken"].is_null())
            .count();
        let changes = account.moves.len() + account.touched;
        let reasons = self.processes + changes + 2 * self.sweeps + calls.faulted + 3;
        if looks > reasons {
            return Err(format!(
                "the account was looked at {looks} times, for {reasons} reasons"
            ));
        }
        Ok(())
    }
}
