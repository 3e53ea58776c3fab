//! When a secret rotates, every Amazon ECS service that uses it is redeployed: once, safely, and without a list.
//!
//! ```text
//! EventBridge JSON ── event ──▶ Trigger ──▶ ignored, or: this secret may have changed at this time
//!                                  │
//!                      aws: DescribeSecret confirms       what changed          [secret::Change]
//!                      gather: waits until it settled
//!                      aws: scan | tags | config          who uses it           [service::Service]
//!                                  ▼
//!                      plan(rotations, services)          what to do, and why   [plan::Decision]
//!                                  ▼
//!                      aws: UpdateService, one per stale service
//!                                  ▼
//!                      report: one JSON document; any failure fails the invocation, so that it comes back
//! ```
//!
//! Nothing is stored. A service is stale when its PRIMARY deployment is older than the last change of a secret that it
//! follows, and both times are read from AWS; so a repeated, late or reordered event finds nothing to do.

// What touches the world, in reading order.
pub mod handler;

pub mod gather;

pub mod act;

pub mod aws;

pub mod clock;
