//! Random stories: whatever happens, in whatever order its events arrive, the promises hold in the end.
//!
//! `make soak SEEDS=1000000` plays more, and `SEED=4711 cargo test --test it seeds` one.

use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::simulation::wire::Bug;
use crate::story::Story;

/// Within this many stories each known mistake must have broken a promise.
const CAUGHT_WITHIN: u64 = 1000;

fn number(variable: &str) -> Option<u64> {
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

/// The first seed whose story breaks a promise, and how, in its shortest form.
fn first_broken(seeds: Range<u64>, bug: Option<Bug>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let broken = std::sync::Mutex::new(None::<(u64, String)>);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || broken.lock().unwrap().is_some() {
                        return;
                    }
                    let story = Story::of(seed, bug);
                    if let Err(how) = story.check() {
                        let mut broken = broken.lock().unwrap();
                        if broken.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *broken = Some((seed, how));
                        }
                        return;
                    }
                }
            });
        }
    });
    broken.into_inner().unwrap()
}

#[test]
fn whatever_happens_the_promises_hold() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(10_000),
    };
    let count = seeds.end - seeds.start;
    if let Some((seed, how)) = first_broken(seeds, None) {
        let (_, how) = Story::of(seed, None).shortest(how);
        panic!("seed {seed}: {how}replay it with: SEED={seed} cargo test --test it seeds");
    }
    say(&format!("{count} seeds"));
}

#[test]
fn every_known_mistake_breaks_a_promise_soon() {
    for bug in [
        Bug::NoFreshnessCheck,
        Bug::NoSettle,
        Bug::BlindRetry,
        Bug::StopAtFirstFailure,
        Bug::SuffixCutOnBothSides,
        Bug::NoRollBackMemory,
        Bug::ForgetSecondPage,
        Bug::NoStages,
        Bug::NoTasks,
    ] {
        let Some((seed, how)) = first_broken(0..CAUGHT_WITHIN, Some(bug)) else {
            panic!("{bug:?} was not caught within {CAUGHT_WITHIN} seeds");
        };
        say(&format!(
            "{bug:?} is caught after {} seeds: {}",
            seed + 1,
            how.lines().next().unwrap_or_default()
        ));
    }
}
