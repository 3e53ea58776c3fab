//! Tests of the whole library against the simulated AWS.

#![expect(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "a test may panic, and is brief"
)]

#[path = "../conformance/mod.rs"]
mod rows;
#[path = "../simulation/mod.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod simulation;

mod scene;
mod story;

mod care;
mod careful;
mod conformance;
mod engine;
mod events;
mod field;
mod named;
mod others;
mod places;
mod replicas;
mod seeds;
mod storms;
mod tidy;
mod wire;
