//! When a secret rotates, every Amazon ECS service that uses it is redeployed: once, safely, and
//! without a list.
//!
//! This is the engine: it answers the planner's questions and carries out its decisions. What is
//! decided, and why, is in `redeploy_core`.

pub mod aws;
pub mod clock;
mod execute;
pub mod handler;
pub mod run;
