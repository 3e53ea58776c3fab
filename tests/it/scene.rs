//! A story and its delivery: things happen in the account, and their events reach the function as
//! AWS would bring them.

use std::time::Duration;

use redeploy_core::config::Config;
use redeploy_core::report::Report;
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::rows::Step;
use crate::simulation::account::{FakeAws, Family, Fault};
use crate::simulation::patterns;
use crate::simulation::queue::Queue;
use crate::simulation::wire::Wire;

/// Which events arrive, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) families: &'static [Family],
    pub(crate) order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each event once, a second after it happened.
    Once,
    /// Each event a second after it happened, and again later.
    Twice,
    /// Each event once, up to 50 s late, in any order.
    Shuffled,
}

/// Every way in which events can arrive.
pub(crate) fn deliveries() -> Vec<Delivery> {
    let families: [&'static [Family]; 3] = [
        &[Family::Native],
        &[Family::CloudTrail],
        &[Family::Native, Family::CloudTrail],
    ];
    let orders = [Order::Once, Order::Twice, Order::Shuffled];
    families
        .into_iter()
        .flat_map(|families| orders.map(|order| Delivery { families, order }))
        .collect()
}

/// Settings by variable, as an operator would give them.
pub(crate) fn config(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(
        vars.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
    .unwrap()
}

/// Hands one payload to the function.
pub(crate) async fn invoke(aws: &Aws, wire: &Wire, config: &Config, payload: &Value) -> Report {
    let now = wire.account().now();
    handle(aws, config, payload, &Clock::new(now, None)).await
}

/// Action and reason of a service in a report, as its JSON has them.
pub(crate) fn said(report: &Report, arn: &str) -> (String, String) {
    let report = serde_json::to_value(report).unwrap();
    let service = report["services"]
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["service"] == arn);
    let text = |field: &str| {
        service
            .and_then(|service| service[field].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    (text("action"), text("reason"))
}

/// The function behind Lambda's asynchronous queue, with one worker, and the rules before it.
pub(crate) struct Lambda {
    pub(crate) wire: Wire,
    pub(crate) config: Config,
    pub(crate) queue: Queue,
    pub(crate) reports: Vec<Report>,
    /// How many events find a new process, and are lost: 0 to 1.
    pub(crate) cold: f64,
    pub(crate) lost: f64,
    dice: fastrand::Rng,
    aws: Aws,
}

impl Lambda {
    pub(crate) fn new(wire: Wire, config: Config) -> Self {
        let aws = wire.clients();
        Self {
            wire,
            config,
            queue: Queue::default(),
            reports: Vec::new(),
            cold: 0.0,
            lost: 0.0,
            dice: fastrand::Rng::with_seed(0),
            aws,
        }
    }

    /// Brings what happened through the shipped rules, a second after it did, and lets the function
    /// work until nothing is left, nothing moves any more, and `is_over`. Gives when it last
    /// worked.
    pub(crate) async fn until(&mut self, is_over: impl Fn() -> bool) -> Instant {
        let mut worked = Instant::now();
        loop {
            let (events, next) = {
                let mut account = self.wire.account();
                (std::mem::take(&mut account.events), account.next_due())
            };
            for (family, event) in events {
                let rules = if family == Family::Schedule {
                    1
                } else {
                    patterns::matching(&event)
                };
                for _ in 0..rules {
                    if self.dice.f64() < self.lost {
                        continue;
                    }
                    self.queue.send(event.clone(), Duration::from_secs(1));
                }
            }
            if let Some(message) = self.queue.take() {
                if self.dice.f64() < self.cold {
                    self.aws = self.wire.clients();
                }
                let report = self.invoke(&message.payload).await;
                worked = Instant::now();
                if report.failure.is_some() {
                    self.queue.failed(message);
                }
                self.reports.push(report);
                continue;
            }
            let due = self.queue.next_due();
            // Without a circuit breaker, or a deployment to go back to, ECS goes on trying for good.
            let is_still = next.is_none() || worked.elapsed() > Duration::from_hours(2);
            if due.is_none() && is_still && is_over() && self.wire.account().events.is_empty() {
                return worked;
            }
            let soon = Instant::now() + Duration::from_millis(500);
            sleep_until([Some(soon), due, next].into_iter().flatten().min().unwrap()).await;
            // What is due now is done by whoever looks next.
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn invoke(&self, payload: &Value) -> Report {
        self.wire.begin(payload);
        let now = self.wire.account().now();
        let deadline = now.saturating_add(Duration::from_mins(15)).unwrap();
        handle(
            &self.aws,
            &self.config,
            payload,
            &Clock::new(now, Some(deadline)),
        )
        .await
    }

    /// A sweep, by the same process.
    pub(crate) async fn sweep(&self) -> Report {
        self.invoke(&json!({"action": "sweep"})).await
    }
}

/// Does one step of a row of the conformance table.
fn happen(account: &mut FakeAws, step: Step) {
    let name = "prod/db";
    let pending = |account: &FakeAws| account.version(name, "AWSPENDING");
    let services: Vec<_> = account.services.keys().cloned().collect();
    match step {
        Step::RequestRotation => drop(account.request_rotation(name)),
        Step::BeginRotation => drop(account.begin_scheduled_rotation(name)),
        Step::StorePending => account.store_pending(name, &pending(account)),
        Step::FinishRotation => account.finish_rotation(name, &pending(account)),
        Step::FailRotation => account.fail_rotation(name),
        Step::PutValue => drop(account.put_value(name)),
        Step::PutValueOfAnother => drop(account.put_value("prod/mail")),
        Step::MoveBack => {
            let before = account.version(name, "AWSPREVIOUS");
            account.move_label(name, "AWSCURRENT", &before);
        }
        Step::Describe => account.describe(name),
        Step::ScaleToZero => services
            .iter()
            .for_each(|service| account.scale(service, 0)),
        Step::ScaleBack => services
            .iter()
            .for_each(|service| account.scale(service, 2)),
        Step::ReplaceTasks => services.iter().for_each(|service| {
            for _ in 0..2 {
                account.replace_task(service, 0);
            }
        }),
        Step::Deploy => services.iter().for_each(|service| {
            let task_definition = account.services[service].deployments[0]
                .task_definition
                .clone();
            account.deploy(service, &task_definition);
        }),
        Step::LoseAllButRotateSecret => {
            account
                .events
                .retain(|(_, event)| event["detail"]["eventName"] == "RotateSecret");
        }
        Step::LoseEvents => account.events.clear(),
        Step::Sweep => account.schedule_event(),
        Step::RollBack => services
            .iter()
            .for_each(|service| account.roll_back(service)),
        Step::Throttle(times) => account.fail_next("UpdateService", &vec![Fault::Throttled; times]),
        Step::Fail(times) => account.fail_next("UpdateService", &vec![Fault::ServerError; times]),
        Step::LoseAnswer => {
            account.fail_next("UpdateService", &[Fault::Silence]);
            account.read_lag = Duration::from_secs(3);
        }
        Step::Kill(after) => {
            // Those that are on their way wait out a throttle meanwhile.
            account.fail_next("UpdateService", &[Fault::Throttled; 3]);
            account.kill_after = Some(after);
        }
    }
}

/// Lets a row of the conformance table happen while its events are delivered one after the other,
/// and those that fail again after one and two minutes, as Lambda does. Gives the reports in order.
pub(crate) async fn play(
    wire: &Wire,
    config: &Config,
    delivery: Delivery,
    story: &'static [(u64, Step)],
) -> Vec<Report> {
    let teller = wire.clone();
    let story = tokio::spawn(async move {
        for (seconds, step) in story {
            sleep(Duration::from_secs(*seconds)).await;
            happen(&mut teller.account(), *step);
        }
    });
    let mut aws = wire.clients();
    let mut queue = Queue::default();
    let mut reports = Vec::new();
    let mut random = fastrand::Rng::with_seed(7);
    loop {
        let happened = std::mem::take(&mut wire.account().events);
        for (family, event) in happened {
            let is_always = family == Family::Schedule
                || family == Family::Ecs && patterns::matching(&event) > 0;
            if !is_always && !delivery.families.contains(&family) {
                continue;
            }
            let delays = match delivery.order {
                Order::Once => vec![1],
                Order::Twice => vec![1, random.u64(1..120)],
                Order::Shuffled => vec![random.u64(0..50)],
            };
            for delay in delays {
                queue.send(event.clone(), Duration::from_secs(delay));
            }
        }
        if let Some(message) = queue.take() {
            let report = tokio::select! {
                report = invoke(&aws, wire, config, &message.payload) => Some(report),
                () = killed(wire) => None,
            };
            if report.is_none() {
                aws = wire.clients();
            }
            if report
                .as_ref()
                .is_none_or(|report| report.failure.is_some())
            {
                queue.failed(message);
            }
            reports.extend(report);
            continue;
        }
        let due = queue.next_due();
        if due.is_none() && story.is_finished() && wire.account().events.is_empty() {
            return reports;
        }
        let soon = Instant::now() + Duration::from_millis(500);
        sleep_until(due.map_or(soon, |due| due.min(soon))).await;
    }
}

/// Ends when the invocation is to be killed.
async fn killed(wire: &Wire) {
    while wire.account().kill_after.is_some() {
        sleep(Duration::from_millis(1)).await;
        let mut account = wire.account();
        if account
            .kill_after
            .is_some_and(|after| account.redeploys.len() >= after)
        {
            account.kill_after = None;
            return;
        }
    }
    std::future::pending().await
}
