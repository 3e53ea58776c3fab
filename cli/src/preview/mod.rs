//! What the function would do: its own facts, decisions and report, with what a person wants to
//! know besides.

mod details;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use redeploy_core::change::fresh_from;
use redeploy_core::config::Config;
use redeploy_core::event::{Intent, Trigger, TriggerKind};
use redeploy_core::facts::{Facts, Found};
use redeploy_core::plan::{Plan, reported_changes};
use redeploy_core::policy::Policy;
use redeploy_core::reason::{Action, Reason};
use redeploy_core::report::{
    ChangeReport, ErrorType, Outcome, Report, ServiceAction, ServiceReport,
};
use redeploy_core::workload::{Platform, Workload};
use redeploy_on_rotation::aws::{Revision, denied};
use redeploy_on_rotation::clock::{Clock, OutOfTime};
use redeploy_on_rotation::run;
use schemars::JsonSchema;
use serde::Serialize;

use crate::operator::Session;
use crate::output::{Error, spinner};

pub(crate) use details::task_definitions;
use details::{Entry, images_by_tag};
pub(crate) use text::{print_reasons, reason_code, reason_text, to_seconds};

/// What would be done, and about what.
pub(crate) struct Preview {
    pub(crate) report: Report,
    /// The facts and plan of each request; none where the trigger ended before there was a plan.
    pub(crate) examined: Vec<Examined>,
    /// The time of the look: a request means a change at this time.
    pub(crate) clock: Clock,
    /// The revisions of what would be redeployed.
    revisions: BTreeMap<Arc<str>, Arc<Revision>>,
}

/// What is known, and what is decided by it.
pub(crate) struct Examined {
    pub(crate) facts: Facts,
    pub(crate) plan: Plan,
    /// What it was decided by.
    pub(crate) policy: Policy,
}

/// The JSON form, which is the function's report with more about each service.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Document<'a> {
    trigger: TriggerKind,
    outcome: Outcome,
    reason: &'a str,
    rotations: &'a [ChangeReport],
    services: Vec<Entry<'a>>,
    /// How many services in scope have nothing to do with what changed.
    unrelated: usize,
    warnings: &'a [String],
}

/// The trigger of a sweep.
pub(crate) const SWEEP: Trigger = Trigger {
    kind: TriggerKind::Sweep,
    intent: Intent::Sweep,
};

/// What a person asks for: as a request to the function, but in the order of rollout where that is
/// followed to its end, so that those that wait get their turn.
pub(crate) fn by_a_person(config: &Config, keeps_order: bool) -> Policy {
    let policy = Policy::new(config, false);
    let order = policy.order.filter(|_| keeps_order);
    Policy {
        order,
        ..policy.requested(false)
    }
}

/// What the function does about this.
pub(crate) fn of_the_function(config: &Config, trigger: &Trigger) -> Policy {
    let policy = Policy::new(config, false);
    match trigger.intent {
        Intent::Request { ignore_freeze, .. } => policy.requested(ignore_freeze),
        _ => policy,
    }
}

/// Asks and decides as the function does, without doing it.
pub(crate) async fn preview(
    session: &Session,
    config: &Config,
    trigger: Trigger,
    policy: Policy,
) -> Result<Preview, Error> {
    let waiting = spinner("reading services, task definitions and secrets");
    let preview = look(session, config, trigger, policy).await;
    waiting.finish_and_clear();
    preview
}

async fn look(
    session: &Session,
    config: &Config,
    trigger: Trigger,
    policy: Policy,
) -> Result<Preview, Error> {
    let clock = Clock::new(Timestamp::now(), None);
    let kind = trigger.kind;
    let report = match examine(session, config, trigger, policy, &clock).await {
        Ok(mut examined) => match examined.plan.end.take() {
            None => return Ok(Preview::of(session, kind, vec![examined], clock).await),
            Some(end) => run::ended(kind, config, end),
        },
        Err(report) => report,
    };
    if report.failure.is_some() {
        return Err(explain(&report));
    }
    Ok(Preview {
        report,
        examined: Vec::new(),
        clock,
        revisions: BTreeMap::new(),
    })
}

/// Runs the function's own loop, and carries nothing out.
pub(crate) async fn examine(
    session: &Session,
    config: &Config,
    trigger: Trigger,
    policy: Policy,
    clock: &Clock,
) -> Result<Examined, Report> {
    let kind = trigger.kind;
    let mut facts = run::first_facts(trigger, clock).map_err(|report| *report)?;
    let plan = run::decide(&session.aws, config, &policy, &mut facts, clock).await;
    let plan = plan.map_err(|OutOfTime| {
        Report::failed(kind, ErrorType::TimeLeft, "the time for the look is over")
    })?;
    Ok(Examined {
        facts,
        plan,
        policy,
    })
}

/// Why nothing could be said, and what to do about it.
pub(crate) fn explain(report: &Report) -> Error {
    let reason = &report.reason;
    let error = match report.failure {
        Some(ErrorType::RotationPending) => {
            Error::new(format!("the rotation is still under way: {reason}"))
        }
        Some(ErrorType::InvalidEvent) => {
            Error::new(format!("the event cannot be handled: {reason}"))
        }
        _ => Error::new(reason.clone()),
    };
    error.allow(denied(reason))
}

impl Preview {
    /// What would be done by these plans.
    pub(crate) async fn of(
        session: &Session,
        kind: TriggerKind,
        examined: Vec<Examined>,
        clock: Clock,
    ) -> Self {
        let all = examined.iter();
        let changes = all.flat_map(|examined| reported_changes(&examined.facts, &examined.plan));
        let changes: BTreeMap<_, _> = changes.map(|change| (&change.source, change)).collect();
        let changes: Vec<_> = changes.into_values().collect();
        let decisions = examined.iter().flat_map(|one| &one.plan.decisions);
        let services = decisions.cloned().map(ServiceReport::from).collect();
        let warnings = examined
            .iter()
            .flat_map(|one| one.facts.warnings.iter().chain(&one.plan.warnings));
        let warnings: BTreeSet<_> = warnings.cloned().collect();
        let warnings = warnings.into_iter().collect();
        let report = Report::of_services(kind, &changes, services, warnings);
        let mut preview = Self {
            report,
            examined,
            clock,
            revisions: BTreeMap::new(),
        };
        let planned = preview
            .planned()
            .filter_map(|report| preview.workload(&report.service));
        let definitions = planned.flat_map(task_definitions).cloned().collect();
        (preview.revisions, _) = session.aws.revisions(&definitions).await;
        preview
    }

    /// The services that would be redeployed.
    pub(crate) fn planned(&self) -> impl Iterator<Item = &ServiceReport> {
        let services = self.report.services.iter();
        services.filter(|service| service.action == ServiceAction::Planned)
    }

    pub(crate) fn document(&self) -> Document<'_> {
        let entry = |report| {
            let images = self.images_by_tag(report);
            Entry::new(report, self.workload(&report.service), images)
        };
        let Report {
            trigger,
            outcome,
            reason,
            rotations,
            services,
            warnings,
            ..
        } = &self.report;
        Document {
            trigger: *trigger,
            outcome: *outcome,
            reason,
            rotations,
            services: services.iter().map(entry).collect(),
            unrelated: self.unrelated(),
            warnings,
        }
    }

    /// Whether a rollout is under way that began since the change.
    pub(crate) fn is_rolling(&self) -> bool {
        let services = self.report.services.iter();
        let mut fresh = services.filter(|service| service.reason == Reason::AlreadyFresh);
        fresh.any(|service| {
            self.workload(&service.service)
                .is_some_and(Workload::is_rolling)
        })
    }

    /// How many of the services that would be redeployed have the value already that was last
    /// changed then, or those that AWS was asked about; `None` where that is not known.
    pub(crate) fn already_fresh(&self, changed_at: Option<Timestamp>) -> Option<usize> {
        let changed = |facts: &Facts, workload: &Workload| {
            let followed = workload.followed().into_keys();
            let found =
                followed.map(
                    |followed| match facts.followed.get(&followed)?.found.known()? {
                        Some(Found::Secret(secret)) => secret.last_changed,
                        Some(Found::Parameter(at)) => Some(*at),
                        Some(Found::Elsewhere) | None => None,
                    },
                );
            found.max().flatten()
        };
        let fresh = self
            .examined
            .iter()
            .flat_map(|Examined { facts, plan, .. }| {
                let planned = plan
                    .decisions
                    .iter()
                    .filter(|d| d.action() == Action::Redeploy);
                planned.map(move |decision| {
                    let workload = facts.workloads.get(&decision.workload)?;
                    let changed = changed_at.or_else(|| changed(facts, workload))?;
                    let live = workload.deployments.iter().filter(|d| d.running > 0);
                    Some(live.map(|d| d.created_at).min()? >= fresh_from(changed))
                })
            });
        let known: Vec<_> = fresh.flatten().collect();
        (!known.is_empty()).then(|| known.iter().filter(|fresh| **fresh).count())
    }

    pub(crate) fn workload(&self, arn: &str) -> Option<&Workload> {
        let mut all = self.examined.iter();
        all.find_map(|examined| examined.facts.workloads.get(arn))
    }

    /// How many services in scope have nothing to do with what changed.
    fn unrelated(&self) -> usize {
        let services = self.report.services.iter();
        let related: BTreeSet<_> = services.map(|service| &service.service).collect();
        let of_one = |Examined { facts, .. }: &Examined| {
            let services = facts.workloads.values();
            let services = services.filter(|w| w.platform != Platform::StandaloneTask);
            let others = services.filter(|service| !related.contains(&service.arn));
            facts.unrelated + others.count()
        };
        self.examined.iter().map(of_one).sum()
    }

    fn images_by_tag(&self, report: &ServiceReport) -> BTreeSet<&str> {
        let workload = self.workload(&report.service);
        workload
            .map(|workload| images_by_tag(workload, &self.revisions))
            .unwrap_or_default()
    }
}
