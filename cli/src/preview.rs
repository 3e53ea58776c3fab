//! What the function would do: its own facts, decisions and report, with what a person wants to know beside.

use std::collections::{BTreeMap, BTreeSet};

use crate::desk::{CircuitBreaker, Desk, Details};
use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::event::{Trigger, TriggerKind};
use redeploy_core::plan::Reason;
use redeploy_core::report::{
    ChangeReport, ErrorType, Outcome, Report, ServiceAction, ServiceReport, Why,
};
use redeploy_core::service::Service;
use redeploy_on_rotation::act::Actor;
use redeploy_on_rotation::aws::denied;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::gather::{World, gather};
use serde::Serialize;

use crate::output::{Error, print, print_table, short, spinner, table, tone, warn, word};

/// What would be done, and about what.
pub(crate) struct Preview {
    pub(crate) report: Report,
    /// The facts; `None` where the trigger ended before they were read.
    pub(crate) world: Option<World>,
    images: BTreeMap<String, BTreeSet<String>>,
}

/// The JSON form, which is the function's report with more about each service.
#[derive(Serialize)]
struct Document<'a> {
    trigger: TriggerKind,
    outcome: Outcome,
    reason: &'a str,
    rotations: &'a [ChangeReport],
    services: Vec<Entry<'a>>,
    /// How many services in scope have nothing to do with what changed.
    unrelated: usize,
    warnings: &'a [String],
}

/// One service, as the report says it, and more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(flatten)]
    report: &'a ServiceReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_at: Option<Timestamp>,
    #[serde(flatten)]
    details: Option<&'a Details>,
    /// Images by tag, which a new deployment resolves anew.
    images_by_tag: Vec<&'a String>,
}

/// Gathers and decides as the function does, without doing it.
pub(crate) async fn preview(
    desk: &Desk,
    config: &Config,
    trigger: Trigger,
) -> Result<Preview, Error> {
    let waiting = spinner("reading services, task definitions and secrets");
    let gathered = look(desk, config, trigger).await;
    waiting.finish_and_clear();
    gathered
}

async fn look(desk: &Desk, config: &Config, trigger: Trigger) -> Result<Preview, Error> {
    let clock = Clock::new(Timestamp::now(), None);
    let kind = trigger.kind;
    let world = match gather(&desk.aws, config, trigger, true, &clock).await {
        Ok(world) => world,
        Err(report) if report.failure.is_none() => {
            return Ok(Preview {
                report,
                world: None,
                images: BTreeMap::new(),
            });
        }
        Err(report) => return Err(explain(&report)),
    };
    of_world(desk, config, kind, world, &clock).await
}

/// What the function would do about these facts.
pub(crate) async fn of_world(
    desk: &Desk,
    config: &Config,
    kind: TriggerKind,
    world: World,
    clock: &Clock,
) -> Result<Preview, Error> {
    let actor = Actor {
        aws: &desk.aws,
        config,
        clock,
        dry_run: true,
    };
    let services = actor.act(world.clone()).await;
    let report = Report::of_services(
        kind,
        &world.rotations,
        services,
        world.inventory.warnings.clone(),
    );
    let planned = report
        .services
        .iter()
        .filter(|service| service.action == ServiceAction::Planned);
    let planned: BTreeSet<_> = planned.map(|service| service.service.clone()).collect();
    let details = world
        .inventory
        .details
        .iter()
        .filter(|(service, _)| planned.contains(*service));
    let definitions = details
        .flat_map(|(_, details)| details.task_definitions.iter().cloned())
        .collect();
    let (revisions, _) = desk.aws.revisions(&definitions).await;
    let images = revisions
        .into_iter()
        .map(|(arn, revision)| (arn, revision.images.into_iter().collect()))
        .collect();
    Ok(Preview {
        report,
        world: Some(world),
        images,
    })
}

/// Why nothing could be said, and what to do about it.
pub(crate) fn explain(report: &Report) -> Error {
    let error = match report.failure {
        Some(ErrorType::RotationPending) => Error::new(format!(
            "the rotation is still under way: {}",
            report.reason
        )),
        Some(ErrorType::InvalidEvent) => {
            Error::new(format!("the event cannot be handled: {}", report.reason))
        }
        _ => Error::new(report.reason.clone()),
    };
    error.allow(denied(&report.reason))
}

impl Preview {
    /// How many services would meet this fate.
    pub(crate) fn count(&self, action: ServiceAction) -> usize {
        self.report
            .services
            .iter()
            .filter(|service| service.action == action)
            .count()
    }

    pub(crate) fn json(&self) -> impl Serialize {
        let entry = |report| {
            let service = self.service(report);
            Entry {
                report,
                desired: service.map(|service| service.desired),
                running: service.map(|service| service.running),
                deployed_at: service
                    .and_then(Service::primary)
                    .map(|deployment| deployment.created_at),
                details: self.details(report),
                images_by_tag: self.images_by_tag(report),
            }
        };
        let services = self.report.services.iter().map(entry).collect();
        let Report {
            trigger,
            outcome,
            reason,
            rotations,
            warnings,
            ..
        } = &self.report;
        let unrelated = self.unrelated();
        Document {
            trigger: *trigger,
            outcome: *outcome,
            reason,
            rotations,
            services,
            unrelated,
            warnings,
        }
    }

    fn service(&self, report: &ServiceReport) -> Option<&Service> {
        self.world
            .as_ref()?
            .inventory
            .services
            .iter()
            .find(|service| service.arn == report.service)
    }

    fn details(&self, report: &ServiceReport) -> Option<&Details> {
        self.world.as_ref()?.inventory.details.get(&report.service)
    }

    /// How many services in scope have nothing to do with what changed.
    fn unrelated(&self) -> usize {
        let Some(world) = &self.world else { return 0 };
        let related: BTreeSet<_> = self
            .report
            .services
            .iter()
            .map(|service| &service.service)
            .collect();
        world
            .inventory
            .services
            .iter()
            .filter(|service| !related.contains(&service.arn))
            .count()
    }

    fn images_by_tag(&self, report: &ServiceReport) -> Vec<&String> {
        let definitions = self
            .details(report)
            .into_iter()
            .flat_map(|details| &details.task_definitions);
        let images = definitions.filter_map(|arn| self.images.get(arn)).flatten();
        images
            .filter(|image| !image.contains("@sha256:"))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Prints what changed, every service that has to do with it, and what to look out for.
    pub(crate) fn print(&self) -> Result<(), Error> {
        // A sweep looks at everything; only what is to be done about it is of interest.
        let is_sweep = self.report.trigger == TriggerKind::Sweep;
        let shown: Vec<_> = self
            .report
            .services
            .iter()
            .filter(|service| !is_sweep || service.action != ServiceAction::Skipped)
            .collect();
        let about: BTreeSet<_> = shown.iter().flat_map(|service| &service.secrets).collect();
        for rotation in self
            .report
            .rotations
            .iter()
            .filter(|rotation| !is_sweep || about.contains(&rotation.secret))
        {
            print(&changed(rotation, self.report.trigger))?;
        }
        if shown.is_empty() {
            return print(&self.summary());
        }
        let mut rows = table([
            "SERVICE", "ACTION", "REASON", "RUNNING", "DEPLOYED", "ROLLOUT", "BREAKER",
        ]);
        for report in &shown {
            let (service, details) = (self.service(report), self.details(report));
            let running = service.map(|service| format!("{}/{}", service.running, service.desired));
            let deployed = service
                .and_then(Service::primary)
                .map(|primary| second(primary.created_at));
            let rollout = details.map(|details| match details.controller.as_str() {
                "ECS" => details.strategy.clone(),
                controller => controller.to_owned(),
            });
            let breaker = details.map(|details| word(&details.circuit_breaker));
            rows.add_row([
                short(&report.service).into(),
                tone(verb(report.action), report.action.into()),
                why(report.reason).into(),
                running.unwrap_or_default().into(),
                deployed.unwrap_or_default().into(),
                rollout.unwrap_or_default().into(),
                breaker.unwrap_or_default().into(),
            ]);
        }
        print("")?;
        print_table(rows)?;
        print(&format!("\n{}", self.summary()))?;
        let reasons: BTreeMap<_, _> = shown.iter().map(|s| (why(s.reason), s.reason)).collect();
        let width = reasons.keys().map(String::len).max().unwrap_or_default();
        for (name, reason) in reasons {
            print(&format!("  {name:width$}  {}", meaning(reason)))?;
        }
        self.print_cautions()
    }

    /// Says on stderr what could not be examined and what was not understood.
    pub(crate) fn say_errors(&self) {
        for report in &self.report.services {
            if let Some(error) = &report.error {
                Error::new(format!("{}: {error}", short(&report.service)))
                    .allow(denied(error))
                    .print();
            }
        }
        self.report
            .warnings
            .iter()
            .for_each(|warning| warn(warning));
    }

    /// What a person should know before these services are redeployed.
    fn print_cautions(&self) -> Result<(), Error> {
        let planned = || {
            self.report
                .services
                .iter()
                .filter(|service| service.action == ServiceAction::Planned)
        };
        let mut by_image = BTreeMap::<_, Vec<_>>::new();
        for report in planned() {
            for image in self.images_by_tag(report) {
                by_image
                    .entry(image)
                    .or_default()
                    .push(short(&report.service));
            }
        }
        for (image, services) in by_image {
            let services = list(&services);
            print(&format!(
                "! {services}: {image} is resolved anew, so whatever the tag names by now is shipped"
            ))?;
        }
        let has_no_breaker = |report: &&ServiceReport| {
            self.details(report)
                .is_some_and(|details| details.circuit_breaker == CircuitBreaker::Off)
        };
        let unprotected: Vec<_> = planned()
            .filter(has_no_breaker)
            .map(|report| short(&report.service))
            .collect();
        if !unprotected.is_empty() {
            let services = list(&unprotected);
            print(&format!(
                "! {services}: no deployment circuit breaker, so a rollout that fails goes on trying"
            ))?;
        }
        Ok(())
    }

    /// All in one sentence.
    fn summary(&self) -> String {
        let unrelated = match self.unrelated() {
            0 => String::new(),
            1 => "; 1 other service in scope has nothing to do with it".to_owned(),
            n => format!("; {n} other services in scope have nothing to do with it"),
        };
        format!("{}{unrelated}", self.report.reason)
    }
}

/// What is said to have changed.
fn changed(rotation: &ChangeReport, kind: TriggerKind) -> String {
    let name = short(&rotation.secret);
    match (&rotation.label, kind) {
        (_, TriggerKind::Request) => format!("if {name} changed now ({})", rotation.secret),
        (Some(label), _) => format!(
            "{label} of {name} moved at {} ({})",
            second(rotation.at),
            rotation.secret
        ),
        (None, _) => format!(
            "{name} changed at {} ({})",
            second(rotation.at),
            rotation.secret
        ),
    }
}

/// A time to the second, UTC.
pub(crate) fn second(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

/// A few names, or the first of them and how many more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What is done.
fn verb(action: ServiceAction) -> &'static str {
    match action {
        ServiceAction::Failed => "failed",
        ServiceAction::Blocked => "blocked",
        ServiceAction::Redeployed => "redeployed",
        ServiceAction::Planned => "redeploy",
        ServiceAction::Skipped => "skip",
    }
}

/// The word for the reason.
pub(crate) fn why(reason: Why) -> String {
    word(&reason)
}

/// What the word means.
pub(crate) fn meaning(reason: Why) -> &'static str {
    match reason {
        Why::Planned(reason) => match reason {
            Reason::NotActive => "the service is INACTIVE or DRAINING",
            Reason::OptedOut => "its tag says to leave it alone",
            Reason::PinnedVersion => "it names a version id, which never changes",
            Reason::ImagePullOnly => "it uses the secret only to pull its image",
            Reason::NothingRunning => {
                "no task runs or should run; the next one reads the new value"
            }
            Reason::StaleTasks => {
                "tasks from before the change still run, which no deployment replaces"
            }
            Reason::AlreadyFresh => "it was deployed since the change",
            Reason::Unknown => {
                "deployed about when the change happened; AWS cannot tell which came first"
            }
            Reason::UnsupportedController => {
                "CODE_DEPLOY and EXTERNAL services cannot be forced; deploy it by its own way"
            }
            Reason::RolledBack => {
                "a deployment since the change failed; find out why, for example with `doctor`"
            }
            Reason::DeploymentInProgress => {
                "a staged deployment is under way, which a new one would cancel"
            }
            Reason::Stale => "its tasks hold the old value",
        },
        Why::Lookup(problem) => match word(&problem).as_str() {
            "not-found" => "the configuration names it, and it does not exist",
            "lookup-failed" => "AWS did not say what it is or uses",
            _ => "AWS does not tell when something that it uses changed",
        },
    }
}
