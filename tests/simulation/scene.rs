//! A story and its delivery: things happen in the account, and their events reach the function as AWS would bring them.

use std::collections::BTreeMap;
use std::time::Duration;

use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::config::Config;
use redeploy_on_rotation::handler::handle;
use redeploy_on_rotation::report::Report;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::wire::Wire;
use super::world::{Family, World};

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
    let families: [&'static [Family]; 3] =
        [&[Family::Native], &[Family::CloudTrail], &[Family::Native, Family::CloudTrail]];
    let orders = [Order::Once, Order::Twice, Order::Shuffled];
    families.into_iter().flat_map(|families| orders.map(|order| Delivery { families, order })).collect()
}

/// A step of a story: how long after the one before, and what happens.
pub(crate) type Step = (u64, Box<dyn FnOnce(&mut World) + Send>);

/// What a step does.
pub(crate) fn step(seconds: u64, change: impl FnOnce(&mut World) + Send + 'static) -> Step {
    (seconds, Box::new(change))
}

/// Settings by variable, as an operator would give them.
pub(crate) fn config(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap()
}

/// Hands one payload to the function.
pub(crate) async fn invoke(aws: &Aws, wire: &Wire, config: &Config, payload: &Value) -> Report {
    let now = wire.world().now();
    handle(aws, config, payload, &Clock::new(now, None)).await
}

/// Lets the story happen while its events are delivered one after the other, and those that fail again after one and
/// two minutes, as Lambda does. Gives the reports in order.
pub(crate) async fn play(wire: &Wire, config: &Config, delivery: Delivery, story: Vec<Step>) -> Vec<Report> {
    let teller = wire.clone();
    let story = tokio::spawn(async move {
        for (seconds, change) in story {
            sleep(Duration::from_secs(seconds)).await;
            change(&mut teller.world());
        }
    });
    let aws = wire.clients();
    let mut queue = BTreeMap::new();
    let mut reports = Vec::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut number = 0;
    loop {
        let happened = std::mem::take(&mut wire.world().events);
        for (family, event) in happened.into_iter().filter(|(family, _)| delivery.families.contains(family)) {
            let delays = match delivery.order {
                Order::Once => vec![1],
                Order::Twice => vec![1, random.u64(1..120)],
                Order::Shuffled => vec![random.u64(0..50)],
            };
            for delay in delays {
                number += 1;
                queue.insert((Instant::now() + Duration::from_secs(delay), number), (family, event.clone(), 1));
            }
        }
        let finished = story.is_finished();
        let due = queue.first_key_value().map(|((due, _), _)| *due);
        match due {
            Some(due) if due <= Instant::now() => {
                let (_, (family, event, attempt)) = queue.pop_first().unwrap();
                let report = invoke(&aws, wire, config, &event).await;
                if report.failure.is_some() && attempt <= 2 {
                    let due = Instant::now() + Duration::from_secs(60 * attempt);
                    number += 1;
                    queue.insert((due, number), (family, event, attempt + 1));
                }
                reports.push(report);
            }
            None if finished && wire.world().events.is_empty() => return reports,
            due => {
                let soon = Instant::now() + Duration::from_millis(500);
                sleep_until(due.map_or(soon, |due| due.min(soon))).await;
            }
        }
    }
}
