//! Random stories as data: what an account is like, what happens in it, and how its events reach the function.
//!
//! A story is made of one seed, played on the virtual clock, and held against the promises. One that breaks a promise is
//! made shorter, as long as it still breaks one, and then told.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::report::{Report, ServiceAction};
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::scene::config;
use crate::simulation::wire::{Bug, Wire};
use crate::simulation::world::{ACCOUNT, CLUSTER, Family, REGION, Task, World};

/// The third ends like the ARN of the first might.
const SECRETS: [&str; 3] = ["prod/db", "prod/mail", "prod/db-abcdef"];
const PARAMETER: &str = "/app/limit";
/// What a task of a new deployment reads is that old by the account of the deployment: Secrets Manager lags by no more than
/// a second and a half, and a task starts half a second after its deployment was made at the earliest.
const VALUE_LAG: Duration = Duration::from_secs(1);
/// What is deployed later than this after a change has its value by every account: the change's second has ended, and
/// one more has passed.
const FRESH_AFTER: Duration = Duration::from_secs(2);
/// So long nobody remembers what a process that died did a moment before: reads have caught up by then.
const READS_CATCH_UP: Duration = Duration::from_secs(5);

/// How long a deployment in stages takes; less than there is between two sweeps.
const STAGES_TAKE: Duration = Duration::from_mins(8);
/// What is made with the account is no older than this.
const BEFORE_ANY: Duration = Duration::from_secs(1);

/// What a service is like, and so what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Follows,
    FollowsTwo,
    FollowsPrevious,
    /// Through Parameter Store.
    ByName,
    /// By an ARN without its suffix, whose end looks like one.
    ByPartialArn,
    FollowsParameter,
    /// By its tag, where tags are looked at.
    Tagged,
    /// By the configuration, where it is looked at.
    Mapped,
    /// Deployed in stages, which takes minutes.
    Staged,
    /// One of its first tasks is protected from scale-in and outlives every rollout.
    Protected,
    OptedOut,
    Pinned,
    External,
    Unrelated,
    /// `UpdateService` is denied.
    Forbidden,
    /// What the function deploys is rolled back.
    Broken,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Somebody asks for a rotation, or Secrets Manager begins it; the label moves after so long.
    Rotates {
        requested: bool,
        takes: Duration,
    },
    RotationFails,
    ValueIsStored,
    LabelIsMovedBack,
    ParameterChanges,
    IsDescribedAnew,
    SweepComes,
    /// These concern the service of this number.
    CiDeploys(usize),
    IsScaled(usize, i32),
    IsDeleted(usize),
}

#[derive(Clone, Copy, Debug)]
struct Happening {
    after: Duration,
    secret: &'static str,
    what: What,
}

/// All that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    seed: u64,
    services: Vec<Sort>,
    happenings: Vec<Happening>,
    lookup: &'static str,
    settle: &'static str,
    /// The part of the events that is lost, of the calls that go wrong, of the invocations that are killed: 0 to 1.
    lost: f64,
    trouble: f64,
    killed: f64,
    /// The part of the quotas that others use.
    used_by_others: f64,
    read_lag: Duration,
    secret_lag: Duration,
    /// How long a deployment takes that is not in stages.
    rollouts_take: Duration,
    page_size: usize,
    bug: Option<Bug>,
}

impl Story {
    pub(crate) fn of(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let services: Vec<_> = (0..random.usize(1..7))
            .map(|_| random.choice(Sort::DRAWN).unwrap())
            .collect();
        let happenings = (0..random.usize(1..6))
            .map(|_| Happening::random(&mut random, services.len()))
            .collect();
        Self {
            seed,
            happenings,
            lookup: random
                .choice(["scan", "scan,tags", "scan,tags,config"])
                .unwrap(),
            settle: random.choice(["1", "2", "10", "30"]).unwrap(),
            lost: random.f64() * random.f64(),
            trouble: random.f64() * random.f64() * 0.3,
            killed: random.f64() * 0.2,
            used_by_others: random.choice([0.0, 0.5, 0.9]).unwrap(),
            read_lag: Duration::from_secs(random.choice([0, 0, 2, 4]).unwrap()),
            secret_lag: Duration::from_millis(random.choice([0, 700, 1500]).unwrap()),
            rollouts_take: Duration::from_secs(random.choice([0, 30, 180]).unwrap()),
            page_size: random.choice([1, 2, 100]).unwrap(),
            services,
            bug,
        }
    }

    /// Plays the story, and says which promise was broken, with all that happened.
    pub(crate) fn check(&self) -> Result<(), String> {
        // The jitter of the function's back-off comes from here.
        fastrand::seed(self.seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(self.play())
    }

    /// The shortest story like this one that still breaks a promise, and how.
    pub(crate) fn shortest(&self, mut broken: String) -> (Self, String) {
        let mut story = self.clone();
        loop {
            let shorter = story
                .shorter()
                .into_iter()
                .find_map(|shorter| Some((shorter.check().err()?, shorter)));
            match shorter {
                Some((how, shorter)) => (broken, story) = (how, shorter),
                None => return (story, broken),
            }
        }
    }

    /// The same with one thing left out.
    fn shorter(&self) -> Vec<Self> {
        let without_happening = |index| {
            let mut story = self.clone();
            story.happenings.remove(index);
            story
        };
        let without_service = |index| {
            let mut story = self.clone();
            story.services[index] = Sort::Unrelated;
            (self.services[index] != Sort::Unrelated).then_some(story)
        };
        let mut shorter: Vec<_> = (0..self.happenings.len()).map(without_happening).collect();
        shorter.extend((0..self.services.len()).filter_map(without_service));
        let calmer = [
            (
                self.trouble > 0.0,
                Self {
                    trouble: 0.0,
                    ..self.clone()
                },
            ),
            (
                self.killed > 0.0,
                Self {
                    killed: 0.0,
                    ..self.clone()
                },
            ),
            (
                self.lost > 0.0,
                Self {
                    lost: 0.0,
                    ..self.clone()
                },
            ),
            (
                self.used_by_others > 0.0,
                Self {
                    used_by_others: 0.0,
                    ..self.clone()
                },
            ),
            (
                !self.read_lag.is_zero(),
                Self {
                    read_lag: Duration::ZERO,
                    ..self.clone()
                },
            ),
            (
                !self.secret_lag.is_zero(),
                Self {
                    secret_lag: Duration::ZERO,
                    ..self.clone()
                },
            ),
            (
                !self.rollouts_take.is_zero(),
                Self {
                    rollouts_take: Duration::ZERO,
                    ..self.clone()
                },
            ),
            (
                self.page_size < 100,
                Self {
                    page_size: 100,
                    ..self.clone()
                },
            ),
        ];
        shorter.extend(
            calmer
                .into_iter()
                .filter_map(|(differs, story)| differs.then_some(story)),
        );
        shorter
    }

    async fn play(&self) -> Result<(), String> {
        let mut account = Account::new(self);
        let mut random = fastrand::Rng::with_seed(self.seed ^ 0x5eed);
        sleep(Duration::from_mins(10)).await;
        let mut delivery = Delivery::new(self, account.wire.clone(), random.fork());
        let closing = delivery.closing.clone();
        let happening = async {
            for happening in &self.happenings {
                sleep(happening.after).await;
                account.happen(*happening).await;
            }
            closing.set(true);
        };
        tokio::join!(happening, delivery.until_quiet());

        // What is left to the sweeps: nothing goes wrong any more, but with what is forbidden or broken.
        {
            let mut world = account.wire.world();
            world.faults.clear();
            world.trouble = 0.0;
            world.quotas.used_by_others = 0.0;
            world.quotas.refused = 0;
        }
        delivery.sweeping = true;
        let mut last = None;
        for _ in 0..2 {
            sleep(Duration::from_mins(10)).await;
            last = delivery.invoke(&json!({"action": "sweep"})).await;
        }
        account.told.append(&mut delivery.told);
        let untold = delivery
            .untold
            .first()
            .map(|arn| format!("that {arn} failed is in no report"));
        untold
            .map_or_else(|| account.check(&last.unwrap()), Err)
            .map_err(|broken| {
                let redeploys = account.wire.world().redeploys.clone();
                account.told.extend(
                    redeploys
                        .into_iter()
                        .map(|(at, arn)| (at, format!("{arn} gets a deployment"))),
                );
                account.told.sort();
                let mut told = format!("{broken}\n");
                let _ = writeln!(told, "  {self:?}");
                for (at, what) in &account.told {
                    let _ = writeln!(told, "  {at} {what}");
                }
                told
            })
    }
}

impl Happening {
    fn random(random: &mut fastrand::Rng, services: usize) -> Self {
        let service = random.usize(0..services);
        let takes = Duration::from_millis(random.u64(500..90_000));
        let what = match random.u8(0..20) {
            0..=3 => What::Rotates {
                requested: random.bool(),
                takes,
            },
            4..=7 => What::ValueIsStored,
            8..=9 => What::LabelIsMovedBack,
            10 => What::IsDescribedAnew,
            11..=12 => What::CiDeploys(service),
            13 => What::IsScaled(service, random.i32(0..3)),
            14 => What::IsDeleted(service),
            15..=16 => What::SweepComes,
            17..=18 => What::ParameterChanges,
            _ => What::RotationFails,
        };
        let after = Duration::from_millis(random.u64(200..600_000));
        Self {
            after,
            secret: random.choice(SECRETS).unwrap(),
            what,
        }
    }
}

/// The account of a story.
struct Account {
    wire: Wire,
    settle: Duration,
    /// The ARN and the sort of each service, in the order of the story.
    services: Vec<(String, Sort)>,
    lookup: &'static str,
    /// When AWSCURRENT moved, and of which secret, or when the parameter changed.
    moves: Vec<(Timestamp, &'static str)>,
    /// What happened.
    told: Vec<(Timestamp, String)>,
}

impl Account {
    fn new(story: &Story) -> Self {
        let mut world = World::new();
        let arns = SECRETS.map(|name| world.make_secret(name));
        let make = |(number, sort): (usize, &Sort)| {
            let value_from = match sort {
                Sort::Follows
                | Sort::OptedOut
                | Sort::External
                | Sort::Forbidden
                | Sort::Broken
                | Sort::Staged
                | Sort::Protected => vec![format!("{}:password::", arns[0])],
                Sort::FollowsTwo => arns[..2].to_vec(),
                Sort::FollowsPrevious => vec![format!("{}::AWSPREVIOUS:", arns[1])],
                Sort::ByName => vec![format!("/aws/reference/secretsmanager/{}", SECRETS[0])],
                Sort::ByPartialArn => vec![arns[2][..arns[2].len() - 7].to_owned()],
                Sort::Pinned => vec![format!(
                    "{}:::{}",
                    arns[0],
                    world.version(SECRETS[0], "AWSCURRENT")
                )],
                Sort::FollowsParameter => vec![PARAMETER.to_owned()],
                Sort::Unrelated | Sort::Tagged | Sort::Mapped => vec!["/app/other".to_owned()],
            };
            let secrets: Vec<_> = value_from
                .iter()
                .map(|from| json!({"name": "S", "valueFrom": from}))
                .collect();
            let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
            let arn = world.make_service_of(&format!("api-{number}"), definition);
            world.services.get_mut(&arn).unwrap().takes = story.rollouts_take;
            match sort {
                Sort::Tagged => world.tag(&arn, SECRETS[0]),
                Sort::Staged => {
                    let service = world.services.get_mut(&arn).unwrap();
                    (service.strategy, service.takes) = ("BLUE_GREEN", STAGES_TAKE);
                }
                Sort::Protected => protect_a_task(&mut world, number, &arn),
                Sort::OptedOut => world.tag(&arn, "ignore"),
                Sort::External => world.services.get_mut(&arn).unwrap().controller = "EXTERNAL",
                Sort::Forbidden => drop(world.forbidden.insert(arn.clone())),
                Sort::Broken => drop(world.broken.insert(arn.clone(), Duration::from_secs(40))),
                _ => {}
            }
            (arn, *sort)
        };
        let services = story.services.iter().enumerate().map(make).collect();
        for name in [PARAMETER, "/app/other"] {
            world
                .parameters
                .insert(name.to_owned(), "2026-01-01T00:00:00Z".parse().unwrap());
        }
        world.dice = fastrand::Rng::with_seed(story.seed ^ 0xd1ce);
        world.trouble = story.trouble;
        world.quotas.used_by_others = story.used_by_others;
        world.read_lag = story.read_lag;
        world.secret_lag = story.secret_lag;
        world.trail_lag = Duration::from_mins(1);
        world.page_size = story.page_size;
        let wire = Wire::with_bug(world, story.bug);
        let settle = Duration::from_secs(story.settle.parse().unwrap());
        Self {
            wire,
            settle,
            services,
            lookup: story.lookup,
            moves: Vec::new(),
            told: Vec::new(),
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        let now = self.wire.world().now();
        self.told.push((now, what.into()));
    }

    async fn happen(
        &mut self,
        Happening {
            secret: name, what, ..
        }: Happening,
    ) {
        match what {
            What::Rotates { requested, takes } => {
                self.tell(format!("{name} rotates"));
                let version = {
                    let mut world = self.wire.world();
                    if requested {
                        world.request_rotation(name)
                    } else {
                        world.begin_scheduled_rotation(name)
                    }
                };
                self.wire.world().store_pending(name, &version);
                sleep(takes).await;
                self.wire.world().finish_rotation(name, &version);
                self.moved(name);
                if requested {
                    // RotateSecret and its retries go by the secret's own times, of which the next change is not to be
                    // mistaken for this one.
                    sleep(Duration::from_mins(6)).await;
                }
            }
            What::RotationFails => {
                self.wire.world().request_rotation(name);
                self.tell(format!("a rotation of {name} fails"));
                sleep(Duration::from_secs(5)).await;
                let mut world = self.wire.world();
                world
                    .secrets
                    .get_mut(name)
                    .unwrap()
                    .labels
                    .remove("AWSPENDING");
                world.fail_rotation(name);
            }
            What::ValueIsStored => {
                self.wire.world().put_value(name);
                self.moved(name);
            }
            What::LabelIsMovedBack => {
                let back = self.wire.world().secrets[name]
                    .labels
                    .get("AWSPREVIOUS")
                    .cloned();
                if let Some(back) = back {
                    self.wire.world().move_label(name, "AWSCURRENT", &back);
                    self.moved(name);
                }
            }
            What::ParameterChanges => {
                self.wire.world().put_parameter(PARAMETER);
                self.moved(PARAMETER);
            }
            What::IsDescribedAnew => {
                self.wire.world().describe(name);
                self.tell(format!("{name} is described anew"));
            }
            What::SweepComes => {
                let event =
                    json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
                self.wire.world().events.push((Family::Schedule, event));
            }
            What::CiDeploys(number) => {
                let arn = self.services[number].0.clone();
                self.tell(format!("CI deploys {arn}"));
                let mut world = self.wire.world();
                if let Some(service) = world.services.get(&arn) {
                    let definition = service.deployments[0].task_definition.clone();
                    world.deploy(&arn, &definition);
                }
            }
            What::IsScaled(number, tasks) => {
                let arn = self.services[number].0.clone();
                self.tell(format!("{arn} is scaled to {tasks}"));
                if let Some(service) = self.wire.world().services.get_mut(&arn) {
                    service.tasks = tasks;
                }
            }
            What::IsDeleted(number) => {
                let arn = self.services[number].0.clone();
                self.tell(format!("{arn} is deleted"));
                let mut world = self.wire.world();
                world.services.remove(&arn);
                world
                    .tasks
                    .retain(|_, task| task.group != format!("service:api-{number}"));
            }
        }
    }

    fn moved(&mut self, name: &'static str) {
        let now = self.wire.world().now();
        self.moves.push((now, name));
        self.tell(format!("the value of {name} changed"));
    }

    /// The promises.
    fn check(&self, last: &Report) -> Result<(), String> {
        let world = self.wire.world();
        for (arn, sort) in &self.services {
            let moves: Vec<_> = self
                .moves
                .iter()
                .filter(|(_, name)| sort.follows(name, self.lookup))
                .collect();
            let redeploys: Vec<_> = world
                .redeploys
                .iter()
                .filter(|(_, service)| service == arn)
                .collect();
            for (number, (at, _)) in redeploys.iter().enumerate() {
                let before = moves
                    .iter()
                    .filter(|(moved, _)| moved < at && sort != &Sort::External)
                    .count();
                if before <= number {
                    let nth = number + 1;
                    return Err(format!(
                        "{arn} ({sort:?}) got deployment {nth} at {at}, after {before} changes"
                    ));
                }
            }
            for (number, (at, _)) in redeploys.iter().enumerate() {
                let before = number
                    .checked_sub(1)
                    .map_or(Timestamp::MIN, |before| redeploys[before].0);
                let asks = |moved: Timestamp| {
                    let is_new = moved.saturating_add(FRESH_AFTER).unwrap() > before;
                    is_new && moved.saturating_add(self.settle).unwrap() <= *at
                };
                if !moves.iter().any(|(moved, _)| asks(*moved)) {
                    return Err(format!(
                        "{arn} ({sort:?}) got a deployment at {at}, before a change had settled"
                    ));
                }
            }
            // Nor may the deployment that one change did not need be spent on another.
            for (moved, _) in &moves {
                let fresh_from = moved.saturating_add(FRESH_AFTER).unwrap();
                let since = redeploys.iter().filter(|(at, _)| *at > fresh_from).count();
                let changes = moves.iter().filter(|(other, _)| other >= moved).count();
                if since > changes {
                    let what = format!("{since} deployments since {moved}, for {changes} changes");
                    return Err(format!("{arn} ({sort:?}) got {what}"));
                }
            }
            let Some(service) = world.services.get(arn).filter(|service| service.tasks > 0) else {
                continue;
            };
            let reported = serde_json::to_value(
                last.services
                    .iter()
                    .find(|service| *service.service == **arn),
            )
            .unwrap();
            let said = |action: &str, reason: &str| {
                reported["action"] == action && reported["reason"] == reason
            };
            // Its protected task is older than the version, so it cannot have read it.
            let current =
                world.secrets[SECRETS[0]].versions[&world.version(SECRETS[0], "AWSCURRENT")];
            let is_outlived = *sort == Sort::Protected
                && current > world.began_at.saturating_add(BEFORE_ANY).unwrap();
            if is_outlived && !said("blocked", "stale-tasks") && reported["reason"] != "unknown" {
                return Err(format!(
                    "{arn} has a task from before {current}, and the last report says {reported}"
                ));
            }
            let newest = &service.deployments[0];
            let is_ours = redeploys.iter().any(|(at, _)| *at == newest.created_at);
            let lag = if is_ours { VALUE_LAG } else { Duration::ZERO };
            let stale = moves
                .iter()
                .rfind(|(moved, _)| moved.saturating_add(lag).unwrap() >= newest.created_at);
            let Some((moved, name)) = stale else {
                let is_ordinary = !matches!(sort, Sort::Protected | Sort::Broken);
                if is_ordinary
                    && (reported["action"] == "blocked" || reported["action"] == "failed")
                {
                    return Err(format!(
                        "{arn} ({sort:?}) is newer than all changes, and the last report says {reported}"
                    ));
                }
                continue;
            };
            let is_said = match sort {
                Sort::Forbidden => said("failed", "stale"),
                Sort::Broken => said("blocked", "rolled-back"),
                Sort::External => said("blocked", "unsupported-controller"),
                _ => false,
            };
            if !is_said {
                let created = newest.created_at;
                let said = format!("{} {}", reported["action"], reported["reason"]);
                return Err(format!(
                    "{arn} ({sort:?}) runs tasks of {created}, older than {name} of {moved}, and the last report says {said}"
                ));
            }
        }
        if let Some(interrupted) = world.interrupted.first() {
            return Err(format!(
                "{interrupted}, in stages and under way, was cut off"
            ));
        }
        if world.quotas.refused > 0 {
            return Err(format!(
                "{} calls of the sweeps were more than AWS allows",
                world.quotas.refused
            ));
        }
        Ok(())
    }
}

/// One task of the service, as it is now, that no rollout will replace.
fn protect_a_task(world: &mut World, number: usize, service: &str) {
    let deployment = &world.services[service].deployments[0];
    let task = Task {
        cluster: CLUSTER.to_owned(),
        group: format!("service:api-{number}"),
        started_by: deployment.id.clone(),
        task_definition: deployment.task_definition.clone(),
        started_at: deployment.created_at,
    };
    world.tasks.insert(
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{number}"),
        task,
    );
}

impl Sort {
    /// What a service of a story is drawn from.
    const DRAWN: [Self; 17] = [
        Self::Follows,
        Self::Follows,
        Self::FollowsTwo,
        Self::FollowsPrevious,
        Self::ByName,
        Self::ByPartialArn,
        Self::FollowsParameter,
        Self::Tagged,
        Self::Mapped,
        Self::Staged,
        Self::Protected,
        Self::OptedOut,
        Self::Pinned,
        Self::External,
        Self::Unrelated,
        Self::Forbidden,
        Self::Broken,
    ];

    /// Whether a service of this sort follows the secret, and so is redeployed for it, or reported.
    fn follows(self, secret: &str, lookup: &str) -> bool {
        match self {
            Self::Follows
            | Self::ByName
            | Self::Forbidden
            | Self::Broken
            | Self::External
            | Self::Staged
            | Self::Protected => secret == SECRETS[0],
            Self::Tagged => secret == SECRETS[0] && lookup.contains("tags"),
            Self::Mapped => secret == SECRETS[0] && lookup.contains("config"),
            Self::FollowsParameter => secret == PARAMETER,
            Self::FollowsTwo => secret == SECRETS[0] || secret == SECRETS[1],
            Self::FollowsPrevious => secret == SECRETS[1],
            Self::ByPartialArn => secret == SECRETS[2],
            Self::OptedOut | Self::Pinned | Self::Unrelated => false,
        }
    }
}

/// One event on its way.
struct Parcel {
    due: Instant,
    payload: Value,
    attempt: u64,
}

/// Brings events to the function as AWS would: late, twice, not at all, again after a failure.
struct Delivery {
    wire: Wire,
    config: Config,
    random: fastrand::Rng,
    lost: f64,
    killed: f64,
    bug: Option<Bug>,
    aws: Aws,
    parcels: Vec<Parcel>,
    /// Whether nothing more happens, and an empty queue is the end.
    closing: Rc<Cell<bool>>,
    /// Whether only the sweeps are left, which are not killed.
    sweeping: bool,
    told: Vec<(Timestamp, String)>,
    /// Services whose failure was in no report.
    untold: Vec<String>,
}

impl Delivery {
    fn new(story: &Story, wire: Wire, random: fastrand::Rng) -> Self {
        let mapped = story
            .services
            .iter()
            .enumerate()
            .filter(|(_, sort)| **sort == Sort::Mapped);
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
            bug: story.bug,
            aws,
            parcels: Vec::new(),
            closing: Rc::default(),
            sweeping: false,
            told: Vec::new(),
            untold: Vec::new(),
        }
    }

    async fn until_quiet(&mut self) {
        loop {
            let events = {
                let mut world = self.wire.world();
                world.end_deployments();
                std::mem::take(&mut world.events)
            };
            for (_, payload) in events {
                while self.random.f64() >= self.lost {
                    let due = Instant::now() + Duration::from_millis(self.random.u64(100..90_000));
                    self.parcels.push(Parcel {
                        due,
                        payload: payload.clone(),
                        attempt: 1,
                    });
                    if self.random.f64() < 0.7 {
                        break;
                    }
                }
            }
            self.parcels
                .sort_by_key(|parcel| std::cmp::Reverse(parcel.due));
            match self.parcels.last().map(|parcel| parcel.due) {
                Some(due) if due <= Instant::now() => {
                    let Some(Parcel {
                        payload, attempt, ..
                    }) = self.parcels.pop()
                    else {
                        return;
                    };
                    let failed = self
                        .invoke(&payload)
                        .await
                        .is_none_or(|report| report.failure.is_some());
                    if failed && attempt <= 2 {
                        let due = Instant::now() + Duration::from_secs(60 * attempt);
                        self.parcels.push(Parcel {
                            due,
                            payload,
                            attempt: attempt + 1,
                        });
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

    /// One invocation; `None` when it was killed in the middle, by which the process ends.
    async fn invoke(&mut self, payload: &Value) -> Option<Report> {
        self.wire.begin();
        let began = self.wire.world().now();
        // The bug of a function that waits for nothing.
        let ahead = Duration::from_secs(if self.bug == Some(Bug::NoSettle) {
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
        if report.is_none() || self.random.f64() < 0.2 {
            sleep(READS_CATCH_UP).await;
            self.aws = self.wire.clients();
        }
        let what = payload["detail"]["eventName"]
            .as_str()
            .or(payload["detail-type"].as_str());
        if let Some(report) = &report {
            let denied = std::mem::take(&mut self.wire.world().denied);
            let is_told = |arn: &String| {
                report.failure.is_some()
                    && report.services.iter().any(|s| {
                        *s.service == **arn
                            && s.action == ServiceAction::Failed
                            && s.error.is_some()
                    })
            };
            self.untold
                .extend(denied.into_iter().filter(|arn| !is_told(arn)));
        }
        let came_to = report.as_ref().map_or("killed", |report| &report.reason);
        self.told
            .push((began, format!("{}: {came_to}", what.unwrap_or("sweep"))));
        report
    }
}
