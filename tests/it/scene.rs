//! A story and its delivery: things happen in the account, and their events reach the function as AWS would bring them.

use std::collections::BTreeMap;
use std::time::Duration;

use redeploy_core::config::Config;
use redeploy_core::report::Report;
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::rows::Step;
use crate::simulation::wire::Wire;
use crate::simulation::world::{Family, Fault, World};

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
    let now = wire.world().now();
    handle(aws, config, payload, &Clock::new(now, None)).await
}

/// Does one step of a row of the conformance table.
fn happen(world: &mut World, step: Step) {
    let name = "prod/db";
    let pending = |world: &World| world.version(name, "AWSPENDING");
    let services: Vec<_> = world.services.keys().cloned().collect();
    match step {
        Step::RequestRotation => drop(world.request_rotation(name)),
        Step::BeginRotation => drop(world.begin_scheduled_rotation(name)),
        Step::StorePending => world.store_pending(name, &pending(world)),
        Step::FinishRotation => world.finish_rotation(name, &pending(world)),
        Step::FailRotation => world.fail_rotation(name),
        Step::PutValue => drop(world.put_value(name)),
        Step::PutValueOfAnother => drop(world.put_value("prod/mail")),
        Step::MoveBack => {
            let before = world.version(name, "AWSPREVIOUS");
            world.move_label(name, "AWSCURRENT", &before);
        }
        Step::Describe => world.describe(name),
        Step::ScaleToZero => world
            .services
            .values_mut()
            .for_each(|service| service.tasks = 0),
        Step::Deploy => services.iter().for_each(|service| {
            let task_definition = world.services[service].deployments[0]
                .task_definition
                .clone();
            world.deploy(service, &task_definition);
        }),
        Step::LoseAllButRotateSecret => {
            world
                .events
                .retain(|(_, event)| event["detail"]["eventName"] == "RotateSecret");
        }
        Step::LoseEvents => world.events.clear(),
        Step::Sweep => {
            let event =
                json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
            world.events.push((Family::Schedule, event));
        }
        Step::RollBack => services.iter().for_each(|service| world.roll_back(service)),
        Step::Throttle(times) => world.fail_next("UpdateService", &vec![Fault::Throttled; times]),
        Step::Fail(times) => world.fail_next("UpdateService", &vec![Fault::ServerError; times]),
        Step::LoseAnswer => {
            world.fail_next("UpdateService", &[Fault::Silence]);
            world.read_lag = Duration::from_secs(3);
        }
        Step::Kill(after) => {
            // Those that are on their way wait out a throttle meanwhile.
            world.fail_next("UpdateService", &[Fault::Throttled; 3]);
            world.kill_after = Some(after);
        }
    }
}

/// Lets a row of the conformance table happen while its events are delivered one after the other, and those that fail
/// again after one and two minutes, as Lambda does. Gives the reports in order.
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
            happen(&mut teller.world(), *step);
        }
    });
    let mut aws = wire.clients();
    let mut queue = BTreeMap::new();
    let mut reports = Vec::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut number = 0;
    loop {
        let happened = std::mem::take(&mut wire.world().events);
        let always = [Family::Ecs, Family::Schedule];
        for (family, event) in happened
            .into_iter()
            .filter(|(f, _)| delivery.families.contains(f) || always.contains(f))
        {
            let delays = match delivery.order {
                Order::Once => vec![1],
                Order::Twice => vec![1, random.u64(1..120)],
                Order::Shuffled => vec![random.u64(0..50)],
            };
            for delay in delays {
                number += 1;
                queue.insert(
                    (Instant::now() + Duration::from_secs(delay), number),
                    (family, event.clone(), 1),
                );
            }
        }
        let finished = story.is_finished();
        let due = queue.first_key_value().map(|((due, _), _)| *due);
        match due {
            Some(due) if due <= Instant::now() => {
                let (_, (family, event, attempt)) = queue.pop_first().unwrap();
                let report = tokio::select! {
                    report = invoke(&aws, wire, config, &event) => Some(report),
                    () = killed(wire) => None,
                };
                if report.is_none() {
                    aws = wire.clients();
                }
                if report
                    .as_ref()
                    .is_none_or(|report| report.failure.is_some())
                    && attempt <= 2
                {
                    let due = Instant::now() + Duration::from_secs(60 * attempt);
                    number += 1;
                    queue.insert((due, number), (family, event, attempt + 1));
                }
                reports.extend(report);
            }
            None if finished && wire.world().events.is_empty() => return reports,
            due => {
                let soon = Instant::now() + Duration::from_millis(500);
                sleep_until(due.map_or(soon, |due| due.min(soon))).await;
            }
        }
    }
}

/// Ends when the invocation is to be killed.
async fn killed(wire: &Wire) {
    while wire.world().kill_after.is_some() {
        sleep(Duration::from_millis(1)).await;
        let mut world = wire.world();
        if world
            .kill_after
            .is_some_and(|after| world.redeploys.len() >= after)
        {
            world.kill_after = None;
            return;
        }
    }
    std::future::pending().await
}
