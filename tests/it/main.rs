//! Tests of the whole library against the simulated AWS.

#[path = "../simulation/mod.rs"]
mod simulation;

mod conformance;
mod events;
mod wire;
