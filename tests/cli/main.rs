//! The command line as people run it: run by name,
//! `cargo test -p redeploy-on-rotation-cli --test cli`.
//!
//! Needs `.venv` as `make .venv` makes it. Everything listens on loopback and ends with its test.

#![expect(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "a test may panic, and is brief"
)]

#[path = "../emulator/emulator.rs"]
#[expect(dead_code, reason = "the tests of the function need more of it")]
mod emulator;
#[path = "../simulation/mod.rs"]
#[expect(dead_code, reason = "the tests of the library need more of it")]
mod simulation;

mod endpoint;
mod process;

mod agreement;
mod audit;
mod calls;
mod complete;
mod doctor;
mod errors;
mod function;
mod page;
mod parameter;
mod rollouts;
mod session;
mod speed;
mod terminal;
mod usage;
