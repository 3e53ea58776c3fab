//! What a person wants to know of a service besides what is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use redeploy_core::report::ServiceReport;
use redeploy_core::workload::{CircuitBreaker, Controller, Platform, Strategy, Workload};
use redeploy_on_rotation::aws::Revision;
use schemars::JsonSchema;
use serde::Serialize;

/// One service, as the report says it, and more.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'a> {
    #[serde(flatten)]
    report: &'a ServiceReport,
    /// How many tasks it should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    desired: Option<i32>,
    /// How many tasks run.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<i32>,
    /// When the PRIMARY deployment was created, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    deployed_at: Option<Timestamp>,
    #[serde(flatten)]
    details: Option<Details>,
    /// Images by tag, which a new deployment resolves anew.
    images_by_tag: BTreeSet<&'a str>,
}

/// How a service is deployed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Details {
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    controller: &'static str,
    /// `ROLLING`, `BLUE_GREEN`, `LINEAR` or `CANARY`.
    strategy: &'static str,
    /// What becomes of a rollout that fails.
    pub(super) circuit_breaker: &'static str,
    /// The ARNs of the task definitions of all live deployments.
    task_definitions: BTreeSet<Arc<str>>,
}

/// The word for a service whose failing rollouts go on trying.
pub(super) const NO_BREAKER: &str = "off";

impl Details {
    /// The details of a service; `None` for one that was not described.
    pub(super) fn of(workload: &Workload) -> Option<Self> {
        let Platform::Service {
            controller,
            strategy,
            circuit_breaker,
        } = workload.platform
        else {
            return None;
        };
        workload.read_at.map(|_| Self {
            controller: match controller {
                Controller::Ecs => "ECS",
                Controller::CodeDeploy => "CODE_DEPLOY",
                Controller::External => "EXTERNAL",
            },
            strategy: match strategy {
                Strategy::Rolling => "ROLLING",
                Strategy::BlueGreen => "BLUE_GREEN",
                Strategy::Linear => "LINEAR",
                Strategy::Canary => "CANARY",
            },
            circuit_breaker: match circuit_breaker {
                CircuitBreaker::Off => NO_BREAKER,
                CircuitBreaker::Stop => "stop",
                CircuitBreaker::Rollback => "rollback",
            },
            task_definitions: task_definitions(workload).cloned().collect(),
        })
    }

    /// How a new deployment takes place.
    pub(super) fn strategy(&self) -> &'static str {
        match self.controller {
            "ECS" => self.strategy,
            controller => controller,
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        report: &'a ServiceReport,
        workload: Option<&Workload>,
        images_by_tag: BTreeSet<&'a str>,
    ) -> Self {
        let primary = workload.and_then(Workload::primary);
        Self {
            report,
            desired: workload.map(|workload| workload.desired),
            running: workload.map(|workload| workload.running),
            deployed_at: primary.map(|primary| primary.created_at),
            details: workload.and_then(Details::of),
            images_by_tag,
        }
    }
}

/// The ARNs of the task definitions of all live deployments.
pub(crate) fn task_definitions(workload: &Workload) -> impl Iterator<Item = &Arc<str>> {
    let deployments = workload.deployments.iter();
    deployments.filter_map(|deployment| deployment.task_definition.known())
}

/// The images by tag of these revisions.
pub(super) fn images_by_tag<'a>(
    workload: &Workload,
    revisions: &'a BTreeMap<Arc<str>, Arc<Revision>>,
) -> BTreeSet<&'a str> {
    let revisions = task_definitions(workload).filter_map(|arn| revisions.get(arn));
    let images = revisions.flat_map(|revision| &revision.images);
    let images = images.filter(|image| !image.contains("@sha256:"));
    images.map(String::as_str).collect()
}
