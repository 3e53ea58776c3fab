//! The pure core: what changed, who follows it, what to do about it, and what to say.
//!
//! It has no SDK, no runtime, no clock and no environment among its dependencies.

pub mod arn;
pub mod config;
pub mod event;
pub mod plan;
pub mod report;
pub mod secret;
pub mod service;
