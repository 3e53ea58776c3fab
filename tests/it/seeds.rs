//! Random stories: whatever happens, in whatever order its events arrive, the promises hold in the
//! end.
//!
//! `make soak SEEDS=1000000` plays more, with `SEEDS_FROM=500000` those from there on, and
//! `SEED=4711 cargo test --test it seeds` one.

use std::io::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::simulation::mistakes::Mistake;
use crate::story::Story;

/// Within this many stories each known mistake must have broken a promise.
const CAUGHT_WITHIN: u64 = 1000;

pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

/// Says something that the test harness does not hold back.
fn say(text: &str) {
    std::io::stdout()
        .write_all(format!("{text}\n").as_bytes())
        .unwrap();
}

/// Runs `play` for every seed, on all cores, until one gives something.
pub(crate) fn find<T: Send>(
    seeds: Range<u64>,
    play: impl Fn(u64) -> Option<T> + Sync,
) -> Option<(u64, T)> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(None::<(u64, T)>);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().is_some() {
                        return;
                    }
                    if let Some(thing) = play(seed) {
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *found = Some((seed, thing));
                        }
                        return;
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn whatever_happens_the_promises_hold() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => number("SEEDS_FROM").unwrap_or(0)..number("SEEDS").unwrap_or(10_000),
    };
    let count = seeds.end - seeds.start;
    if let Some((seed, how)) = find(seeds, |seed| Story::of(seed, None).check().err()) {
        let (_, how) = Story::of(seed, None).shortest(how);
        panic!("seed {seed}: {how}replay it with: SEED={seed} cargo test --test it seeds");
    }
    say(&format!("{count} seeds"));
}

fn is_caught(mistake: Mistake) {
    is_caught_within(mistake, |seed, mistake| Story::of(seed, mistake).check());
}

/// A mistake is caught by a story that breaks a promise with it, and none without it.
pub(crate) fn is_caught_within(
    mistake: Mistake,
    play: impl Fn(u64, Option<Mistake>) -> Result<(), String> + Sync,
) {
    let caught = find(0..CAUGHT_WITHIN, |seed| {
        let how = play(seed, Some(mistake)).err()?;
        play(seed, None).is_ok().then_some(how)
    });
    let Some((seed, how)) = caught else {
        panic!("{mistake:?} was not caught within {CAUGHT_WITHIN} seeds");
    };
    say(&format!(
        "{mistake:?} is caught after {} seeds: {}",
        seed + 1,
        how.lines().next().unwrap_or_default()
    ));
}

#[test]
fn every_known_mistake_breaks_a_promise_soon() {
    Mistake::OLD.into_iter().for_each(is_caught);
}

#[test]
fn every_mistake_about_tasks_and_roll_backs_breaks_a_promise_soon() {
    Mistake::OF_TASKS.into_iter().for_each(is_caught);
}
