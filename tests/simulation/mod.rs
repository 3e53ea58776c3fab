//! A simulated AWS: the services' own rules, in memory, under the real SDK and on tokio's virtual clock.
//!
//! The truth is the tasks: each has read values when it started, and a service is stale when one of
//! its running tasks has read what is not the value any more. Everything else (deployments, events,
//! dates) is what AWS says about them.

pub(crate) mod account;
mod answers_deployments;
mod answers_others;
mod answers_services;
mod answers_tasks;
mod care;
pub(crate) mod deployments;
pub(crate) mod events;
pub(crate) mod identity;
pub(crate) mod mistakes;
pub(crate) mod patterns;
pub(crate) mod queue;
pub(crate) mod quota;
mod rollouts;
pub(crate) mod secrets;
pub(crate) mod tasks;
pub(crate) mod wire;
