//! The pure core: what changed, who follows it, what to do about it, and what to say.
//!
//! It has no SDK, no runtime, no clock and no environment among its dependencies.

pub mod arn;
pub mod change;
pub mod config;
pub mod confirm;
pub mod decide;
pub mod emf;
pub mod event;
pub mod fact;
pub mod facts;
pub mod image;
pub mod name_pattern;
mod notification;
pub mod plan;
pub mod policy;
pub mod reason;
pub mod reference;
mod relation;
pub mod replica;
pub mod report;
mod schedule;
pub mod tag;
#[cfg(test)]
mod testing;
pub mod trail;
pub mod workload;
