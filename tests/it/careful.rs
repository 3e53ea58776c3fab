//! Random stories of careful rollouts: whoever is first, however few at a time, whatever fails,
//! freezes or is lost, the policies hold in the meantime, and everything that may be is fresh in the
//! end.
//!
//! `SEED=4711 cargo test --test it careful` plays one.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::scene::{Lambda, config};
use crate::seeds::{find, is_caught_within, number};
use crate::simulation::account::{FakeAws, Others};
use crate::simulation::deployments::Breaker;
use crate::simulation::mistakes::Mistake;
use crate::simulation::wire::Wire;

const SECRETS: [&str; 2] = ["prod/db", "prod/mail"];
/// Reads, and whoever acts on them, know what was so long ago.
const KNOWN_AFTER: Duration = Duration::from_secs(15);
/// A change that is younger may not be known to who acts on another one.
const SETTLED: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Service {
    word: &'static str,
    follows: [bool; 2],
    tasks: i32,
    breaker: Breaker,
    /// Whether the tag of its image names another image since the last deployment.
    image_moved: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Changes(usize),
    /// No task works with the value; a sweep comes, and after so long the right one.
    ChangesWrongly(usize, Duration),
    CiDeploys(usize),
    CiDeploysABadRevision(usize),
    Scales(usize, i32),
    SweepComes,
}

/// All that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    seed: u64,
    services: Vec<Service>,
    happenings: Vec<(Duration, What)>,
    default: &'static str,
    max_in_flight: &'static str,
    guard: &'static str,
    /// When the calendar closes after the beginning, and for how long.
    freeze: Option<(Duration, Duration)>,
    rollouts_take: Duration,
    cold: f64,
    lost: f64,
    mistake: Option<Mistake>,
}

fn after(at: Timestamp, time: Duration) -> Timestamp {
    at.saturating_add(time).unwrap()
}

impl Service {
    fn random(random: &mut fastrand::Rng) -> Self {
        let words = [
            "",
            "",
            "",
            "",
            "first",
            "auto",
            "notify",
            "ignore",
            "auto first",
        ];
        let follows = random
            .choice([[true, false], [true, true], [false, true]])
            .unwrap();
        let breakers = [
            Breaker::Rollback,
            Breaker::Rollback,
            Breaker::Stop,
            Breaker::Off,
        ];
        Self {
            word: random.choice(words).unwrap(),
            follows,
            tasks: random.i32(0..4),
            breaker: random.choice(breakers).unwrap(),
            image_moved: random.u8(0..6) == 0,
        }
    }

    fn takes_part(&self, story: &Story) -> bool {
        if self.word.contains("ignore") || self.word.contains("notify") {
            return false;
        }
        match story.default {
            "auto" => true,
            "ignore" => !self.word.is_empty(),
            _ => self.word.contains("auto"),
        }
    }

    fn is_first(&self) -> bool {
        self.word.contains("first")
    }
}

impl Story {
    pub(crate) fn of(seed: u64, mistake: Option<Mistake>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0xca4e);
        let services: Vec<_> = (0..random.usize(2..9))
            .map(|_| Service::random(&mut random))
            .collect();
        let count = random.usize(1..5);
        let happenings = (0..count).map(|_| {
            let pause = Duration::from_millis(random.u64(500..400_000));
            let (secret, service) = (random.usize(0..2), random.usize(0..services.len()));
            let what = match random.u8(0..12) {
                0..=4 => What::Changes(secret),
                5..=7 => {
                    let corrected = Duration::from_secs(random.u64(60..900));
                    What::ChangesWrongly(secret, corrected)
                }
                8 => What::CiDeploys(service),
                9 => What::CiDeploysABadRevision(service),
                10 => What::Scales(service, random.i32(0..4)),
                _ => What::SweepComes,
            };
            (pause, what)
        });
        let happenings = happenings.collect();
        let freeze = random.u8(0..3) == 0;
        let freeze = freeze.then(|| {
            let begins = Duration::from_secs(random.u64(0..900));
            (begins, Duration::from_secs(random.u64(60..3600)))
        });
        Self {
            seed,
            services,
            happenings,
            default: random.choice(["auto", "auto", "notify", "ignore"]).unwrap(),
            max_in_flight: random.choice(["all", "1", "2", "3"]).unwrap(),
            guard: random.choice(["off", "off", "block"]).unwrap(),
            freeze,
            rollouts_take: Duration::from_secs(random.choice([20, 60, 180]).unwrap()),
            cold: random.choice([0.0, 0.3, 1.0]).unwrap(),
            lost: random.choice([0.0, 0.0, 0.3, 1.0]).unwrap(),
            mistake,
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        fastrand::seed(self.seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(self.play())
    }

    /// The shortest story like this one that still breaks a promise, and how.
    pub(crate) fn shortest(&self, mut broken: String) -> String {
        let mut story = self.clone();
        loop {
            let without = |index| {
                let mut story = story.clone();
                story.happenings.remove(index);
                story
            };
            let mut shorter = (0..story.happenings.len()).map(without);
            match shorter.find_map(|shorter| Some((shorter.check().err()?, shorter))) {
                Some((how, shorter)) => (broken, story) = (how, shorter),
                None => return broken,
            }
        }
    }

    fn account(&self) -> (FakeAws, Vec<String>) {
        let mut account = FakeAws::new();
        let secrets = SECRETS.map(|name| account.make_secret(name));
        let make = |(number, service): (usize, &Service)| {
            let follows = secrets.iter().zip(service.follows);
            let follows = follows.filter(|(_, follows)| *follows);
            let follows: Vec<_> = follows
                .map(|(arn, _)| json!({"name": "S", "valueFrom": arn}))
                .collect();
            let name = format!("api-{number}");
            let image = FakeAws::image("shop", &name);
            account.images.insert(image.clone(), "sha256:a".to_owned());
            let container = json!({"name": "app", "image": image, "secrets": follows});
            let arn = account.make_service_of(&name, json!({"containerDefinitions": [container]}));
            account.scale(&arn, service.tasks);
            let made = account.services.get_mut(&arn).unwrap();
            (made.takes, made.breaker) = (self.rollouts_take, service.breaker);
            if !service.word.is_empty() {
                account.tag(&arn, service.word);
            }
            if service.image_moved {
                account.images.insert(image, "sha256:b".to_owned());
            }
            arn
        };
        let arns = self.services.iter().enumerate().map(make).collect();
        account.trail_lag = Duration::from_mins(1);
        if let Some((begins, lasts)) = self.freeze {
            let from = after(account.now(), Duration::from_mins(10) + begins);
            let closed = vec![(from, after(from, lasts))];
            account.calendars.insert("freeze".to_owned(), closed);
        }
        (account, arns)
    }

    async fn play(&self) -> Result<(), String> {
        let (account, arns) = self.account();
        let wire = Wire::with_mistake(account, self.mistake);
        let mut settings = vec![
            ("REDEPLOY_DEFAULT", self.default),
            ("REDEPLOY_MAX_IN_FLIGHT", self.max_in_flight),
            ("REDEPLOY_IMAGE_GUARD", self.guard),
        ];
        settings.extend(self.freeze.map(|_| ("REDEPLOY_CALENDARS", "freeze")));
        let mut lambda = Lambda::new(wire.clone(), config(&settings));
        (lambda.cold, lambda.lost) = (self.cold, self.lost);
        sleep(Duration::from_mins(10)).await;
        let mut happened = Vec::new();
        let mut moves = [Vec::new(), Vec::new()];
        let over = std::cell::Cell::new(false);
        let happening = async {
            for (pause, what) in &self.happenings {
                sleep(*pause).await;
                self.happen(&wire, &arns, *what, &mut moves, &mut happened)
                    .await;
            }
            over.set(true);
        };
        tokio::join!(happening, lambda.until(|| over.get()));
        lambda.lost = 0.0;
        // After the freeze, and longer than a failed rollout is waited for.
        for _ in 0..3 {
            sleep(Duration::from_mins(65)).await;
            wire.account().schedule_event();
            lambda.until(|| true).await;
        }
        let account = wire.account();
        let kept = self.hold(&account, &arns, &moves);
        let kept = kept.and_then(|()| self.hold_end(&account, &arns));
        kept.map_err(|broken| {
            let mut told = format!("{broken}\n  {self:?}\n");
            for (at, arn) in &account.redeploys {
                happened.push((*at, format!("{arn} gets a deployment")));
            }
            happened.sort();
            for (at, what) in &happened {
                let _ = writeln!(told, "  {at} {what}");
            }
            told
        })
    }

    async fn happen(
        &self,
        wire: &Wire,
        arns: &[String],
        what: What,
        moves: &mut [Vec<Timestamp>; 2],
        happened: &mut Vec<(Timestamp, String)>,
    ) {
        let now = wire.account().now();
        happened.push((now, format!("{what:?}")));
        let present = |arn: &str| {
            wire.account().services[arn].deployments[0]
                .task_definition
                .clone()
        };
        match what {
            What::Changes(secret) => {
                wire.account().put_value(SECRETS[secret]);
                moves[secret].push(now);
            }
            What::ChangesWrongly(secret, corrected) => {
                wire.account().put_wrong_value(SECRETS[secret]);
                moves[secret].push(now);
                sleep(corrected / 2).await;
                wire.account().schedule_event();
                sleep(corrected / 2).await;
                wire.account().put_value(SECRETS[secret]);
                moves[secret].push(wire.account().now());
            }
            What::CiDeploys(number) => {
                let revision = present(&arns[number]);
                wire.account().deploy(&arns[number], &revision);
            }
            // Only where ECS goes back from it by itself.
            What::CiDeploysABadRevision(number)
                if self.services[number].breaker == Breaker::Rollback =>
            {
                let bad = wire.account().make_revision(&arns[number]);
                wire.account().bad_revisions.insert(bad.clone());
                wire.account().deploy(&arns[number], &bad);
            }
            What::CiDeploysABadRevision(_) => {}
            What::Scales(number, tasks) => wire.account().scale(&arns[number], tasks),
            What::SweepComes => wire.account().schedule_event(),
        }
    }

    /// Whether an order was asked for among those that follow this secret.
    fn is_ordered(&self, secret: usize) -> bool {
        let mut followers = self
            .services
            .iter()
            .filter(|service| service.follows[secret]);
        self.max_in_flight != "all" || followers.any(Service::is_first)
    }

    /// Holds each deployment of the function against the policies.
    fn hold(
        &self,
        account: &FakeAws,
        arns: &[String],
        moves: &[Vec<Timestamp>; 2],
    ) -> Result<(), String> {
        for ((at, arn), others) in account.redeploys.iter().zip(&account.others_then) {
            let number = arns.iter().position(|known| known == arn).unwrap();
            let service = self.services[number];
            let broken = |what: &str| Err(format!("{arn} got a deployment at {at}, {what}"));
            if !service.takes_part(self) {
                return broken("and takes no part");
            }
            for (from, to) in account.calendars.values().flatten() {
                if (after(*from, KNOWN_AFTER)..*to).contains(at) {
                    return broken("in a freeze");
                }
            }
            if self.guard == "block" && service.image_moved && !self.is_deployed_by_ci(number) {
                return broken("and its image had moved");
            }
            for secret in (0..SECRETS.len()).filter(|secret| service.follows[*secret]) {
                self.hold_order(secret, moves, *at, number, arns, others)
                    .or_else(|what| broken(&what))?;
            }
        }
        Ok(())
    }

    fn is_deployed_by_ci(&self, number: usize) -> bool {
        let mut happenings = self.happenings.iter();
        happenings.any(|(_, what)| {
            matches!(what, What::CiDeploys(of) | What::CiDeploysABadRevision(of) if *of == number)
        })
    }

    fn hold_order(
        &self,
        secret: usize,
        moves: &[Vec<Timestamp>; 2],
        at: Timestamp,
        number: usize,
        arns: &[String],
        others: &Others,
    ) -> Result<(), String> {
        let last = |secret: usize| {
            moves[secret]
                .iter()
                .filter(|moved| **moved < at)
                .max()
                .copied()
        };
        let Some(changed) = last(secret) else {
            return Ok(());
        };
        if after(changed, SETTLED) > at || !self.is_ordered(secret) {
            return Ok(());
        }
        // Its secrets are in the order of its container.
        let is_stale_by = |number: usize, secret: usize| {
            let follows = self.services[number].follows;
            let place = usize::from(secret == 1 && follows[0]);
            follows[secret] && others.stale[&arns[number]].contains(&place)
        };
        let is_stale = |number| is_stale_by(number, secret);
        if !is_stale(number) {
            return Ok(());
        }
        // What changed later may have mended what failed.
        let missing = (0..SECRETS.len()).filter(|secret| is_stale_by(number, *secret));
        let latest = missing.filter_map(last).max().unwrap_or(changed);
        let is_known = |since: Timestamp| after(since, KNOWN_AFTER) < at;
        let mut rolling = 0;
        for (other, arn) in arns.iter().enumerate() {
            let service = self.services[other];
            if !service.follows[secret] || other == number {
                continue;
            }
            let began = others.rolling.get(arn);
            let is_rolling = began.is_some_and(|began| {
                *began > after(changed, Duration::from_secs(2)) && is_known(*began)
            });
            rolling += usize::from(is_rolling);
            if !service.takes_part(self) {
                continue;
            }
            // One without tasks holds nobody back.
            let is_under_way = is_rolling && !others.idle.contains(arn);
            if service.is_first()
                && !self.services[number].is_first()
                && (is_under_way || is_stale(other))
            {
                return Err(format!("before {arn}, which is first, was done"));
            }
            let failed = others.failed.get(arn);
            let has_failed =
                failed.is_some_and(|(created, failed)| *created > latest && is_known(*failed));
            // A first goes before one that is tried again, because something else changed since.
            let mut follows = (0..SECRETS.len()).filter(|secret| service.follows[*secret]);
            let is_tried_again = failed
                .is_some_and(|(created, _)| follows.any(|secret| last(secret) > Some(*created)));
            let is_tested =
                self.services[number].is_first() && !service.is_first() && is_tried_again;
            if has_failed && is_stale(other) && !is_tested {
                return Err(format!("after {arn} was rolled back"));
            }
        }
        match self.max_in_flight.parse::<usize>() {
            Ok(most) if rolling >= most => Err(format!("while {rolling} others rolled")),
            _ => Ok(()),
        }
    }

    /// In the end everything is fresh that may be.
    fn hold_end(&self, account: &FakeAws, arns: &[String]) -> Result<(), String> {
        for (service, arn) in self.services.iter().zip(arns) {
            let is_held = self.guard == "block" && self.services.iter().any(|s| s.image_moved);
            if service.takes_part(self)
                && !is_held
                && account.is_stale(arn)
                && !account.is_stuck(arn)
            {
                return Err(format!("{arn} runs stale tasks in the end"));
            }
        }
        Ok(())
    }
}

#[test]
fn whatever_happens_the_policies_hold() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        // They take longer than the others.
        None => number("SEEDS_FROM").unwrap_or(0)..number("SEEDS").unwrap_or(500),
    };
    if let Some((seed, how)) = find(seeds, |seed| Story::of(seed, None).check().err()) {
        let how = Story::of(seed, None).shortest(how);
        panic!("seed {seed}: {how}replay it with: SEED={seed} cargo test --test it careful");
    }
}

#[test]
fn every_mistake_about_care_breaks_a_promise_soon() {
    for mistake in Mistake::OF_CARE {
        is_caught_within(mistake, |seed, mistake| Story::of(seed, mistake).check());
    }
}
