//! Tests of the whole library against the simulated AWS.

#![expect(clippy::unwrap_used, clippy::pedantic, reason = "a test may panic, and is brief")]

#[path = "../simulation/mod.rs"]
mod simulation;

mod conformance;
mod events;
mod seeds;
mod tidy;
mod wire;
