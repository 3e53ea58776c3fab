//! `redeploy`: shows the plan, asks, acts, and follows what it started.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::event::{Target, TriggerKind};
use redeploy_core::facts::Existence;
use redeploy_core::plan::End;
use redeploy_core::policy::Policy;
use redeploy_core::reason::Reason;
use redeploy_core::report::ServiceAction;
use redeploy_core::tag::Participation;
use redeploy_core::workload::Workload;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::run;

use crate::args::{Format, Redeploy};
use crate::connection::open;
use crate::operator::Session;
use crate::output::{Error, Exit, print, print_json, spinner, warn};
use crate::plan as planning;
use crate::preview::{self, Examined, Preview, SWEEP, preview, reason_text};
use crate::rollout::{Document, Entry, Outcome, Rollout, Run, print_entries, say};
use crate::secrets;

pub(crate) async fn run(redeploy: &Redeploy) -> Result<Exit, Error> {
    let format = redeploy.output.format;
    format.write_global();
    let (session, mut config) = open(&redeploy.scope).await?;
    if redeploy.ignore_freeze {
        config.calendars.clear();
    }
    let policy = preview::by_a_person(&config, redeploy.wait || redeploy.dry_run);
    let mut changed_at = None;
    let preview = if let Some(secret) = &redeploy.secret {
        let secret = secrets::resolve(&session, secret).await?;
        changed_at = secret.changed_at;
        let trigger = planning::request(Target::Secret(secret.id));
        preview(&session, &config, trigger, policy).await?
    } else if redeploy.stale {
        preview(&session, &config, SWEEP, policy).await?
    } else {
        of_services(&session, &config, &redeploy.service, &policy).await?
    };
    if format != Format::Json {
        preview.print()?;
    }
    preview.say_errors();
    let planned = preview.planned().count();
    let is_dry = redeploy.dry_run || config.dry_run;
    if config.dry_run && !redeploy.dry_run {
        warn("REDEPLOY_DRY_RUN is true, so nothing is changed; set it to false to redeploy");
    }
    let has = |action| {
        let mut services = preview.report.services.iter();
        services.any(|service| service.action == action)
    };
    let is_held = redeploy.stale
        && (has(ServiceAction::Blocked) || !redeploy.wait && has(ServiceAction::Waiting));
    let has_failed = preview.report.failure.is_some();
    let is_followed = redeploy.wait && (has(ServiceAction::Waiting) || preview.is_rolling());
    if is_dry || planned == 0 && !is_followed {
        if format == Format::Json {
            print_json(&preview.document())?;
        }
        return Ok(match planning::exit(&preview, redeploy.exit_code) {
            Exit::Ok if !redeploy.dry_run && (is_held || planned > 0) => Exit::Error,
            exit => exit,
        });
    }
    // Followed, what waits is begun as soon as nothing is in its way.
    let services = preview.report.services.iter();
    let waiting = services.filter(|s| redeploy.wait && s.action == ServiceAction::Waiting);
    let to_begin = planned + waiting.count();
    if !redeploy.yes && to_begin > 0 {
        confirm(to_begin, preview.already_fresh(changed_at), &session)?;
    }
    let run = Run {
        session: &session,
        config: &config,
        preview: &preview,
        begins: true,
        timeout: redeploy.wait.then(|| redeploy.timeout.unsigned_abs()),
        max_in_flight: redeploy.max_in_flight,
    };
    let (entries, interrupted) = run.all(|_| true).await;
    let ends_blocked = |entry: &Entry| redeploy.stale && entry.rollout == Rollout::Blocked;
    let is_bad = |entry: &Entry| entry.is_bad() || ends_blocked(entry);
    let has_failed = has_failed || is_held || entries.iter().any(is_bad);
    let outcome = match (interrupted, has_failed) {
        (true, _) => Outcome::Interrupted,
        (false, true) => Outcome::Failed,
        (false, false) => Outcome::Redeployed,
    };
    if format != Format::Json {
        print("")?;
    }
    finish(outcome, entries, &preview, format)
}

/// Prints what became of each service.
pub(crate) fn finish(
    outcome: Outcome,
    entries: Vec<Entry>,
    preview: &Preview,
    format: Format,
) -> Result<Exit, Error> {
    if format != Format::Json {
        print_entries(&entries)?;
    }
    say(&entries, outcome == Outcome::Interrupted);
    if format == Format::Json {
        print_json(&Document {
            outcome,
            rotations: &preview.report.rotations,
            services: entries,
        })?;
    }
    Ok(outcome.into())
}

/// The plan for these services: as if everything that they read had changed now.
async fn of_services(
    session: &Session,
    config: &Config,
    names: &[String],
    policy: &Policy,
) -> Result<Preview, Error> {
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    for name in &names {
        let is_named =
            |(cluster, service): (&str, &str)| !cluster.is_empty() && !service.is_empty();
        if !name.split_once('/').is_some_and(is_named) {
            let message = format!("{name:?} is not of the form CLUSTER/SERVICE");
            return Err(Error::new(message));
        }
    }
    let waiting = spinner("reading the services and what they use");
    let clock = Clock::new(Timestamp::now(), None);
    let mut examined = Vec::new();
    for name in names {
        examined.push(of_service(session, config, name, policy, &clock).await?);
    }
    let preview = Preview::of(session, TriggerKind::Request, examined, clock).await;
    waiting.finish_and_clear();
    Ok(preview)
}

async fn of_service(
    session: &Session,
    config: &Config,
    name: &str,
    policy: &Policy,
    clock: &Clock,
) -> Result<Examined, Error> {
    let trigger = planning::request(Target::Service(name.to_owned()));
    let kind = trigger.kind;
    let examined = preview::examine(session, config, trigger, policy.clone(), clock).await;
    let examined = examined.map_err(|report| preview::explain(&report))?;
    let Examined { facts, plan, .. } = &examined;
    match &plan.end {
        None => {}
        Some(End::NoService) if facts.service.known() == Some(&Existence::OutOfScope) => {
            let hint = "--cluster or --function, or the REDEPLOY_* variables, say where to look";
            return Err(Error::new(format!("{name} is not in scope")).hint(hint));
        }
        Some(End::NoService) => {
            let (cluster, service) = name.split_once('/').unwrap_or_default();
            return Err(Error::new(format!(
                "there is no service {service:?} in the cluster {cluster:?} in {}",
                session.region
            )));
        }
        Some(end) => return Err(preview::explain(&run::ended(kind, config, end.clone()))),
    }
    let mut workloads = facts.workloads.values();
    let left = workloads.find_map(|workload| reason_to_leave(workload, policy));
    match left.filter(|_| plan.decisions.is_empty()) {
        Some(reason) => warn(&format!("{name}: {}", reason_text(reason))),
        None if plan.decisions.is_empty() => {
            let message = format!("{name} reads no secret or parameter that could have changed");
            let hint = "to redeploy it all the same: \
                        aws ecs update-service --force-new-deployment";
            return Err(Error::new(message).hint(hint));
        }
        None => {}
    }
    Ok(examined)
}

/// Why nothing is asked about what a service reads.
fn reason_to_leave(workload: &Workload, policy: &Policy) -> Option<Reason> {
    if !workload.active {
        Some(Reason::NotActive)
    } else if workload.is_ignored() {
        Some(Reason::OptedOut)
    } else if workload.participation(policy.default) == Participation::Ignore {
        Some(Reason::NotOptedIn)
    } else {
        (!workload.has_tasks()).then_some(Reason::NothingRunning)
    }
}

/// Asks on the terminal; where there is none, nobody can say yes.
fn confirm(planned: usize, fresh: Option<usize>, session: &Session) -> Result<(), Error> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(
            Error::new("there is no terminal to ask on, so nothing was changed")
                .hint("--yes goes on without asking"),
        );
    }
    let services = if planned == 1 {
        "1 service".to_owned()
    } else {
        format!("{planned} services")
    };
    // What a person asks for is begun whether it is needed or not.
    let fresh = fresh.filter(|fresh| *fresh > 0);
    let fresh = fresh.map(|fresh| format!(" (already fresh: {fresh} of {planned})"));
    let mut stderr = anstream::stderr();
    write!(
        stderr,
        "\nRedeploy {services} in {}{}? [y/N] ",
        session.place(),
        fresh.unwrap_or_default()
    )?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new("nothing was changed")),
    }
}
