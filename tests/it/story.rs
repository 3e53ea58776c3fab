//! Random stories as data: what an account is like, what happens in it, and how its events reach
//! the function.
//!
//! A story is made of one seed, played on the virtual clock, and held against the promises. One
//! that breaks a promise is made shorter, as long as it still breaks one, and then told.

mod account;
mod delivery;
mod happenings;
mod promises;
mod sort;

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::simulation::deployments::Breaker;
use crate::simulation::mistakes::Mistake;
use account::Account;
use delivery::Delivery;
use happenings::Happening;

/// The third ends like the ARN of the first might.
const SECRETS: [&str; 3] = ["prod/db", "prod/mail", "prod/db-abcdef"];
const PARAMETER: &str = "/app/limit";
/// How long a deployment in stages takes; less than there is between two sweeps.
const STAGES_TAKE: Duration = Duration::from_mins(14);

/// How a service comes to what it reads, and so what may become of it.
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
    /// `DescribeServices` is denied.
    Hidden,
    /// On a revision that was deregistered.
    Inactive,
    /// What the function deploys is rolled back.
    Broken,
}

#[derive(Clone, Copy, Debug)]
struct Service {
    sort: Sort,
    tasks: i32,
    breaker: Breaker,
    stops_first: bool,
}

/// All that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    seed: u64,
    services: Vec<Service>,
    happenings: Vec<Happening>,
    lookup: &'static str,
    settle: &'static str,
    /// Whether only the shipped rules bring events, and not every event of the account.
    shipped_rules: bool,
    /// The part of the events that is lost, of the calls that go wrong, of the invocations that are
    /// killed: 0 to 1.
    lost: f64,
    trouble: f64,
    killed: f64,
    /// How many processes are new: 0 to 1.
    cold: f64,
    /// The part of the quotas that others use.
    used_by_others: f64,
    read_lag: Duration,
    secret_lag: Duration,
    /// How long a deployment takes that is not in stages.
    rollouts_take: Duration,
    page_size: usize,
    /// Clusters of services that nothing concerns.
    other_clusters: usize,
    mistake: Option<Mistake>,
}

impl Story {
    pub(crate) fn of(seed: u64, mistake: Option<Mistake>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let services: Vec<_> = (0..random.usize(1..7))
            .map(|_| Service::random(&mut random))
            .collect();
        let count = random.usize(1..6);
        let mut happenings: Vec<_> = (0..count)
            .map(|_| Happening::random(&mut random, services.len()))
            .collect();
        if random.u8(0..4) == 0 {
            happenings.extend(Happening::change_and_bad_revision(
                &mut random,
                services.len(),
            ));
        }
        let is_calm = random.u8(0..4) == 0;
        let unless_calm = |part: f64| if is_calm { 0.0 } else { part };
        Self {
            seed,
            happenings,
            lookup: random
                .choice(["scan", "scan,tags", "scan,tags,config"])
                .unwrap(),
            settle: random.choice(["1", "2", "10", "30"]).unwrap(),
            shipped_rules: random.bool(),
            lost: unless_calm(random.f64() * random.f64()),
            trouble: unless_calm(random.f64() * random.f64() * 0.3),
            killed: unless_calm(random.f64() * 0.2),
            cold: random.choice([0.0, 0.2, 1.0]).unwrap(),
            used_by_others: unless_calm(random.choice([0.0, 0.5, 0.9]).unwrap()),
            read_lag: Duration::from_secs(random.choice([0, 0, 2, 4]).unwrap()),
            secret_lag: Duration::from_millis(random.choice([0, 700, 1500]).unwrap()),
            rollouts_take: Duration::from_secs(random.choice([5, 30, 60, 180]).unwrap()),
            page_size: random.choice([1, 2, 100]).unwrap(),
            other_clusters: random.choice([0, 0, 0, 12]).unwrap(),
            services,
            mistake,
        }
    }

    /// Whether nothing goes wrong but what the story says.
    fn is_calm(&self) -> bool {
        self.lost + self.trouble + self.killed + self.used_by_others == 0.0
    }

    /// Plays the story, and says which promise was broken, with all that happened.
    pub(crate) fn check(&self) -> Result<(), String> {
        // The jitter of the function's back-off comes from here.
        fastrand::seed(self.seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
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
        let without_service = |index: usize| {
            let mut story = self.clone();
            story.services[index].sort = Sort::Unrelated;
            (self.services[index].sort != Sort::Unrelated).then_some(story)
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
                self.cold > 0.0,
                Self {
                    cold: 0.0,
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
                self.page_size < 100,
                Self {
                    page_size: 100,
                    ..self.clone()
                },
            ),
            (
                self.other_clusters > 0,
                Self {
                    other_clusters: 0,
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
        let mut delivery =
            Delivery::new(self, account.wire.clone(), account.watched(), random.fork());
        let closing = delivery.closing.clone();
        let happening = async {
            for happening in &self.happenings {
                sleep(happening.after).await;
                account.happen(*happening).await;
            }
            account.repair().await;
            closing.set(true);
        };
        tokio::join!(happening, delivery.until_quiet());

        // What is left to the sweeps: nothing goes wrong any more, but with what is forbidden or
        // broken.
        {
            let mut account = account.wire.account();
            account.faults.clear();
            account.trouble = 0.0;
            account.quotas.used_by_others = 0.0;
            account.quotas.refused = 0;
        }
        delivery.sweeping = true;
        let mut last = None;
        for _ in 0..2 {
            sleep(Duration::from_mins(20)).await;
            delivery.until_quiet().await;
            last = delivery.invoke(&json!({"action": "sweep"})).await;
            delivery.until_quiet().await;
        }
        account.told.append(&mut delivery.told);
        let said = serde_json::to_value(last.unwrap()).unwrap();
        let kept = delivery.check(&account).and_then(|()| account.check(&said));
        kept.map_err(|broken| {
            let redeploys = account.wire.account().redeploys.clone();
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

impl Service {
    fn random(random: &mut fastrand::Rng) -> Self {
        Self {
            sort: random.choice(Sort::DRAWN).unwrap(),
            tasks: random.i32(1..5),
            breaker: random
                .choice([
                    Breaker::Off,
                    Breaker::Stop,
                    Breaker::Rollback,
                    Breaker::Rollback,
                    Breaker::Rollback,
                ])
                .unwrap(),
            stops_first: random.bool(),
        }
    }
}
