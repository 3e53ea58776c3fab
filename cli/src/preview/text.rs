//! A preview as tables and sentences.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use redeploy_core::event::TriggerKind;
use redeploy_core::reason::Reason;
use redeploy_core::report::{ChangeReport, ServiceAction, ServiceReport};
use redeploy_core::workload::Workload;
use redeploy_on_rotation::aws::denied;

use super::Preview;
use super::details::{Details, NO_BREAKER};
use crate::output::{
    Error, column, display_name, kebab, print, print_item, print_meaning, print_table, status_cell,
    table, warn,
};

impl Preview {
    /// Prints what changed, every service that has to do with it, and what to look out for.
    pub(crate) fn print(&self) -> Result<(), Error> {
        // A sweep looks at everything; only what is to be done about it is of interest.
        let is_sweep = self.report.trigger == TriggerKind::Sweep;
        let is_shown =
            |service: &&ServiceReport| !is_sweep || service.action != ServiceAction::Skipped;
        let shown: Vec<_> = self.report.services.iter().filter(is_shown).collect();
        let about = shown.iter().flat_map(|service| &service.secrets);
        let about: BTreeSet<_> = about.map(|secret| &**secret).collect();
        let rotations = self.report.rotations.iter();
        for rotation in rotations.filter(|r| !is_sweep || about.contains(r.secret.as_str())) {
            print(&changed(rotation, self.report.trigger))?;
        }
        if shown.is_empty() {
            return print(&self.summary());
        }
        self.print_services(&shown)?;
        print(&format!("\n{}", self.summary()))?;
        let reasons = shown.iter().map(|service| service.reason);
        print_reasons(reasons)?;
        self.print_cautions()
    }

    fn print_services(&self, shown: &[&ServiceReport]) -> Result<(), Error> {
        let mut rows = table([
            column::SERVICE,
            column::ACTION,
            column::REASON,
            column::RUNNING,
            column::DEPLOYED,
            column::STRATEGY,
            column::BREAKER,
        ]);
        for report in shown {
            let workload = self.workload(&report.service);
            let details = workload.and_then(Details::of);
            let running =
                workload.map(|workload| format!("{}/{}", workload.running, workload.desired));
            let primary = workload.and_then(Workload::primary);
            let deployed = primary.map(|primary| to_seconds(primary.created_at));
            let until = report
                .until
                .map(|until| format!(" until {}", to_seconds(until)));
            let reason = reason_code(report.reason) + &until.unwrap_or_default();
            let strategy = details.as_ref().map(Details::strategy);
            let breaker = details.as_ref().map(|details| details.circuit_breaker);
            rows.add_row([
                display_name(&report.service).into(),
                status_cell(verb(report.action), report.action.into()),
                reason.into(),
                running.unwrap_or_default().into(),
                deployed.unwrap_or_default().into(),
                strategy.unwrap_or_default().into(),
                breaker.unwrap_or_default().into(),
            ]);
        }
        print("")?;
        print_table(rows)
    }

    /// Says on stderr what could not be examined and what was not understood.
    pub(crate) fn say_errors(&self) {
        for report in &self.report.services {
            if let Some(error) = &report.error {
                let name = display_name(&report.service);
                let said = Error::new(format!("{name}: {error}"));
                said.allow(denied(error)).print();
            }
        }
        self.report
            .warnings
            .iter()
            .for_each(|warning| warn(warning));
    }

    /// What a person should know before these services are redeployed.
    fn print_cautions(&self) -> Result<(), Error> {
        let services = self.report.services.iter();
        let firsts = services.filter(|service| {
            let is_open = !matches!(
                service.reason,
                Reason::AlreadyFresh | Reason::WaitingForFirst
            ) && service.action != ServiceAction::Skipped;
            is_open
                && self
                    .workload(&service.service)
                    .is_some_and(Workload::is_first)
        });
        let firsts: Vec<_> = firsts
            .map(|service| display_name(&service.service))
            .collect();
        let mut services = self.report.services.iter();
        if services.any(|service| service.reason == Reason::WaitingForFirst) {
            let firsts = if firsts.is_empty() {
                "a rollout that is under way".to_owned()
            } else {
                list(&firsts)
            };
            print_item(&format!("! what is waiting-for-first goes after {firsts}"))?;
        }
        let mut by_image = BTreeMap::<_, Vec<_>>::new();
        let mut unprotected = Vec::new();
        for report in self.planned() {
            let name = display_name(&report.service);
            for image in self.images_by_tag(report) {
                by_image.entry(image).or_default().push(name.clone());
            }
            let details = self.workload(&report.service).and_then(Details::of);
            if details.is_some_and(|details| details.circuit_breaker == NO_BREAKER) {
                unprotected.push(name);
            }
        }
        for (image, services) in by_image {
            let services = list(&services);
            print_item(&format!(
                "! {services}: {image} is resolved again, so what the tag names now is shipped"
            ))?;
        }
        if !unprotected.is_empty() {
            let services = list(&unprotected);
            print_item(&format!(
                "! {services}: no deployment circuit breaker, so a rollout that fails goes on \
                 trying"
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

/// Prints what each of these reasons means, once.
pub(crate) fn print_reasons(reasons: impl Iterator<Item = Reason>) -> Result<(), Error> {
    let reasons: BTreeMap<_, _> = reasons
        .map(|reason| (reason_code(reason), reason))
        .collect();
    let width = reasons.keys().map(String::len).max().unwrap_or_default();
    for (code, reason) in reasons {
        print_meaning(&code, width, reason_text(reason))?;
    }
    Ok(())
}

/// What is said to have changed.
fn changed(rotation: &ChangeReport, kind: TriggerKind) -> String {
    let ChangeReport {
        secret, label, at, ..
    } = rotation;
    let (name, at) = (display_name(secret), to_seconds(*at));
    match (label, kind) {
        (_, TriggerKind::Request) => format!("if {name} changed now ({secret})"),
        (Some(label), _) => format!("{label} of {name} moved at {at} ({secret})"),
        (None, _) => format!("{name} changed at {at} ({secret})"),
    }
}

/// A time to the second, UTC.
pub(crate) fn to_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

/// A few names, or the first of them and how many more.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = &names[..names.len().min(SHOWN)];
    let shown = shown.join(", ");
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
        ServiceAction::Waiting => "wait",
        ServiceAction::Redeployed => "redeployed",
        ServiceAction::Planned => "redeploy",
        ServiceAction::Skipped => "skip",
    }
}

/// The word for the reason.
pub(crate) fn reason_code(reason: Reason) -> String {
    kebab(&reason)
}

/// What the word means.
pub(crate) fn reason_text(reason: Reason) -> &'static str {
    reason.meaning()
}
