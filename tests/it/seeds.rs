//! Random stories: whatever happens, in whatever order its events arrive, the promises hold in the end.
//!
//! `SEEDS=100000 cargo test --release --test it seeds` runs more; `SEED=4711 cargo test --test it seeds` replays one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::config::Config;
use redeploy_on_rotation::handler::handle;
use redeploy_on_rotation::report::Report;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::simulation::scene::config;
use crate::simulation::wire::Wire;
use crate::simulation::world::{Fault, World};

/// What a service is like, and so what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Follows,
    FollowsBoth,
    ByName,
    OptedOut,
    Pinned,
    External,
    Unrelated,
}

const SECRETS: [&str; 2] = ["prod/db", "prod/mail"];

struct Story {
    random: fastrand::Rng,
    wire: Wire,
    sorts: BTreeMap<String, Sort>,
    /// When a label moved, and of which secret.
    moves: Vec<(Timestamp, &'static str)>,
    /// What happened, to be read when a promise is broken.
    told: Vec<String>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new();
        let arns = SECRETS.map(|name| world.make_secret(name));
        let mut sorts = BTreeMap::new();
        for number in 0..random.usize(1..6) {
            use Sort::{ByName, External, Follows, FollowsBoth, OptedOut, Pinned, Unrelated};
            let sort =
                random.choice([Follows, Follows, FollowsBoth, ByName, OptedOut, Pinned, External, Unrelated]).unwrap();
            let version = world.version(SECRETS[0], "AWSCURRENT");
            let secret = |value_from: String| json!({"name": "S", "valueFrom": value_from});
            let secrets = match sort {
                Follows | OptedOut | External => vec![secret(format!("{}:password::", arns[0]))],
                FollowsBoth => arns.iter().cloned().map(secret).collect(),
                ByName => vec![secret(format!("/aws/reference/secretsmanager/{}", SECRETS[0]))],
                Pinned => vec![secret(format!("{}:::{version}", arns[0]))],
                Unrelated => vec![secret("/app/limit".to_owned())],
            };
            let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
            let service = world.make_service_of(&format!("api-{number}"), definition);
            if sort == OptedOut {
                world.tag(&service, "ignore");
            }
            if sort == External {
                world.services.get_mut(&service).unwrap().controller = "EXTERNAL";
            }
            sorts.insert(service, sort);
        }
        Self { random, wire: Wire::new(world), sorts, moves: Vec::new(), told: Vec::new() }
    }

    fn tell(&mut self, what: impl Into<String>) {
        let now = self.wire.world().now();
        self.told.push(format!("{now} {}", what.into()));
    }

    /// Something happens in the account.
    async fn happen(&mut self) {
        let name = self.random.choice(SECRETS).unwrap();
        match self.random.u8(0..10) {
            0..=2 => {
                self.tell(format!("{name} rotates"));
                let requested = self.random.bool();
                let version = {
                    let mut world = self.wire.world();
                    if requested { world.request_rotation(name) } else { world.begin_scheduled_rotation(name) }
                };
                self.wire.world().store_pending(name, &version);
                sleep(Duration::from_millis(self.random.u64(500..90_000))).await;
                self.wire.world().finish_rotation(name, &version);
                self.moved(name);
                if requested {
                    // RotateSecret and its retries go by LastChangedDate: whatever touches the secret before they are
                    // done looks like a later change. The README says so.
                    sleep(Duration::from_mins(6)).await;
                }
            }
            3..=5 => {
                self.wire.world().put_value(name);
                self.moved(name);
            }
            6 => {
                let back = self.wire.world().secrets[name].labels.get("AWSPREVIOUS").cloned();
                if let Some(back) = back {
                    self.wire.world().move_label(name, "AWSCURRENT", &back);
                    self.moved(name);
                }
            }
            7 => {
                self.wire.world().describe(name);
                self.tell(format!("{name} is described anew"));
            }
            8 => {
                let services: Vec<_> = self.sorts.keys().cloned().collect();
                let service = self.random.choice(services).unwrap();
                self.tell(format!("CI deploys {service}"));
                let mut world = self.wire.world();
                let definition = world.services[&service].deployments[0].task_definition.clone();
                world.deploy(&service, &definition);
            }
            _ => {
                self.wire.world().request_rotation(name);
                self.tell(format!("a rotation of {name} fails"));
                sleep(Duration::from_secs(5)).await;
                let mut world = self.wire.world();
                world.secrets.get_mut(name).unwrap().labels.remove("AWSPENDING");
                world.fail_rotation(name);
            }
        }
    }

    fn moved(&mut self, name: &'static str) {
        let now = self.wire.world().now();
        self.moves.push((now, name));
        self.tell(format!("the value of {name} changed"));
    }

    /// Which of the secrets a service follows.
    fn follows(sort: Sort, secret: &str) -> bool {
        match sort {
            Sort::Follows | Sort::ByName => secret == SECRETS[0],
            Sort::FollowsBoth => true,
            Sort::OptedOut | Sort::Pinned | Sort::External | Sort::Unrelated => false,
        }
    }

    /// The promises.
    fn check(&self) -> Result<(), String> {
        let world = self.wire.world();
        for (service, sort) in &self.sorts {
            let moves: Vec<_> = self.moves.iter().filter(|(_, name)| Self::follows(*sort, name)).collect();
            let redeploys: Vec<_> = world.redeploys.iter().filter(|(_, arn)| arn == service).collect();
            for (number, (at, _)) in redeploys.iter().enumerate() {
                let before = moves.iter().filter(|(moved, _)| moved < at).count();
                if before <= number {
                    return Err(format!(
                        "{service} ({sort:?}) got deployment {} at {at}, after {before} changes",
                        number + 1
                    ));
                }
            }
            let created = world.services[service].deployments[0].created_at;
            if let Some((moved, name)) = moves.last().filter(|(moved, _)| *moved >= created) {
                return Err(format!("{service} ({sort:?}) runs tasks of {created}, older than {name} of {moved}"));
            }
        }
        Ok(())
    }
}

/// One event on its way.
struct Parcel {
    due: Instant,
    payload: Value,
    attempt: u64,
}

async fn run(seed: u64) -> Result<(), String> {
    let mut story = Story::new(seed);
    let lookup = story.random.choice(["scan", "scan", "scan,tags"]).unwrap();
    let settle = story.random.choice(["2", "10", "30"]).unwrap();
    let config = config(&[("REDEPLOY_LOOKUP", lookup), ("REDEPLOY_SETTLE_SECONDS", settle)]);
    let lost = story.random.f64() * story.random.f64();
    let lag = story.random.choice([0, 0, 2, 4]).unwrap();
    story.wire.world().read_lag = Duration::from_secs(lag);
    story.tell(format!("{lookup}, settle {settle} s, {:.0} % of events lost, reads {lag} s late", lost * 100.0));
    sleep(Duration::from_mins(10)).await;

    let wire = story.wire.clone();
    let mut delivery = Delivery::new(wire, config, story.random.fork(), lost);
    let closing = delivery.closing.clone();
    let happening = async {
        for _ in 0..story.random.usize(1..5) {
            sleep(Duration::from_millis(story.random.u64(200..600_000))).await;
            story.happen().await;
        }
        closing.set(true);
    };
    tokio::join!(happening, delivery.until_quiet());
    story.told.append(&mut delivery.told);

    // What is left to the sweeps: nothing fails any more.
    story.wire.world().faults.clear();
    delivery.sweeping = true;
    for _ in 0..2 {
        sleep(Duration::from_mins(10)).await;
        let report = delivery.invoke(&json!({"action": "sweep"})).await;
        story.told.push(format!("sweep: {}", report.map_or_else(|| "killed".to_owned(), |report| report.reason)));
    }
    story.told.append(&mut delivery.told);
    story.check().map_err(|broken| format!("seed {seed}: {broken}\n  {}", story.told.join("\n  ")))
}

/// Brings events to the function as AWS would: late, twice, not at all, again after a failure.
struct Delivery {
    wire: Wire,
    config: Config,
    random: fastrand::Rng,
    lost: f64,
    aws: redeploy_on_rotation::aws::Aws,
    parcels: Vec<Parcel>,
    /// Whether nothing more happens, and an empty queue is the end.
    closing: Rc<Cell<bool>>,
    /// Whether only the sweeps are left, which are not killed.
    sweeping: bool,
    told: Vec<String>,
}

impl Delivery {
    fn new(wire: Wire, config: Config, random: fastrand::Rng, lost: f64) -> Self {
        let aws = wire.clients();
        Self {
            wire,
            config,
            random,
            lost,
            aws,
            parcels: Vec::new(),
            closing: Rc::default(),
            sweeping: false,
            told: Vec::new(),
        }
    }

    async fn until_quiet(&mut self) {
        loop {
            let events = std::mem::take(&mut self.wire.world().events);
            for (_, payload) in events {
                while self.random.f64() >= self.lost {
                    let due = Instant::now() + Duration::from_millis(self.random.u64(100..90_000));
                    self.parcels.push(Parcel { due, payload: payload.clone(), attempt: 1 });
                    if self.random.f64() < 0.7 {
                        break;
                    }
                }
            }
            self.parcels.sort_by_key(|parcel| std::cmp::Reverse(parcel.due));
            match self.parcels.last().map(|parcel| parcel.due) {
                Some(due) if due <= Instant::now() => {
                    let Some(Parcel { payload, attempt, .. }) = self.parcels.pop() else { return };
                    self.spoil();
                    let failed = self.invoke(&payload).await.is_none_or(|report| report.failure.is_some());
                    if failed && attempt <= 2 {
                        let due = Instant::now() + Duration::from_secs(60 * attempt);
                        self.parcels.push(Parcel { due, payload, attempt: attempt + 1 });
                    }
                }
                None if self.closing.get() && self.wire.world().events.is_empty() => return,
                due => {
                    let soon = Instant::now() + Duration::from_secs(1);
                    sleep_until(due.map_or(soon, |due| due.min(soon))).await;
                }
            }
        }
    }

    /// Sometimes the next calls fail.
    fn spoil(&mut self) {
        let faults = [
            Fault::Throttled,
            Fault::ServerError,
            Fault::AnswerLost,
            Fault::Silence,
            Fault::Refused("ServerException"),
        ];
        for operation in ["UpdateService", "UpdateService", "DescribeServices", "ListServices", "DescribeSecret"] {
            if self.random.f64() < 0.15 {
                let fault = self.random.choice(faults).unwrap();
                let times = self.random.usize(1..4);
                self.wire.world().fail_next(operation, &vec![fault; times]);
            }
        }
    }

    /// One invocation; `None` when it was killed in the middle, by which the process ends.
    async fn invoke(&mut self, payload: &Value) -> Option<Report> {
        let now = self.wire.world().now();
        let clock = Clock::new(now, Some(now.saturating_add(Duration::from_mins(15)).unwrap()));
        let handled = handle(&self.aws, &self.config, payload, &clock);
        let report = if self.random.f64() < 0.1 && !self.sweeping {
            timeout(Duration::from_millis(self.random.u64(1..20_000)), handled).await.ok()
        } else {
            Some(handled.await)
        };
        if report.is_none() || self.random.f64() < 0.2 {
            // A process does not follow another within the time that reads lag behind.
            sleep(Duration::from_secs(5)).await;
            self.aws = self.wire.clients();
        }
        let kind = payload["detail"]["eventName"].as_str().or(payload["detail-type"].as_str()).unwrap_or("request");
        let what = report.as_ref().map_or_else(|| "killed".to_owned(), |report| report.reason.clone());
        self.told.push(format!("{now} {kind}: {what}"));
        report
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn whatever_happens_the_promises_hold() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(10_000),
    };
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        if let Err(broken) = runtime.block_on(run(seed)) {
            panic!("{broken}\nreplay it with: SEED={seed} cargo test --test it seeds");
        }
    }
    println!("{count} seeds");
}
