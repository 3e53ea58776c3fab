//! `redeploy`: shows the plan, asks, acts, and follows what it started.

mod outcome;
mod rollout;

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::event::{Target, TriggerKind};
use redeploy_core::facts::Existence;
use redeploy_core::plan::End;
use redeploy_core::reason::Reason;
use redeploy_core::workload::Workload;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::run;

use self::outcome::{Document, Rollout, print_entries, say};
use self::rollout::Run;
use crate::args::{self, Format, Redeploy};
use crate::connection::open;
use crate::operator::Session;
use crate::output::{Error, Exit, print_json, spinner, warn};
use crate::plan as planning;
use crate::preview::{self, Examined, Preview, SWEEP, preview, reason_text};

pub(crate) async fn run(redeploy: &Redeploy, global: &args::Global) -> Result<Exit, Error> {
    let (session, config) = open(global).await?;
    let preview = if let Some(secret) = &redeploy.secret {
        planning::of_secret(&session, &config, secret).await?
    } else if redeploy.stale {
        preview(&session, &config, SWEEP).await?
    } else {
        of_services(&session, &config, &redeploy.service).await?
    };
    let is_text = redeploy.output.format == Format::Text;
    if is_text {
        preview.print()?;
    }
    preview.say_errors();
    let planned = preview.planned().count();
    let is_dry = redeploy.dry_run || config.dry_run;
    if planned == 0 || is_dry {
        if !is_text {
            print_json(&preview.json())?;
        }
        return Ok(if is_dry || preview.report.failure.is_some() {
            planning::exit(&preview)
        } else {
            Exit::Ok
        });
    }
    if !redeploy.yes {
        confirm(planned, &session)?;
    }
    let run = Run::new(&session, &config, &preview, redeploy.wait);
    let (mut entries, interrupted) = run.all(redeploy.max_in_flight).await;
    entries.sort_by(|a, b| {
        (a.report.action, &a.report.service).cmp(&(b.report.action, &b.report.service))
    });
    let failed = preview.report.failure.is_some()
        || entries.iter().any(|entry| entry.rollout == Rollout::Failed);
    let (outcome, exit) = match (interrupted, failed) {
        (true, _) => ("interrupted", Exit::Interrupted),
        (false, true) => ("failed", Exit::Error),
        (false, false) => ("redeployed", Exit::Ok),
    };
    if is_text {
        print_entries(&entries)?;
    }
    say(&entries, interrupted);
    if !is_text {
        print_json(&Document {
            outcome,
            rotations: &preview.report.rotations,
            services: entries,
        })?;
    }
    Ok(exit)
}

/// The plan for these services: as if everything that they read had changed now.
async fn of_services(
    session: &Session,
    config: &Config,
    names: &[String],
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
        examined.push(of_service(session, config, name, &clock).await?);
    }
    let preview = Preview::of(session, TriggerKind::Request, examined, clock).await;
    waiting.finish_and_clear();
    Ok(preview)
}

async fn of_service(
    session: &Session,
    config: &Config,
    name: &str,
    clock: &Clock,
) -> Result<Examined, Error> {
    let trigger = planning::request(Target::Service(name.to_owned()));
    let kind = trigger.kind;
    let examined = preview::examine(session, config, trigger, clock).await;
    let Examined { facts, plan } = examined.map_err(|report| preview::explain(&report))?;
    match plan.end {
        None => {}
        Some(End::NoService) if facts.service.known() == Some(&Existence::OutOfScope) => {
            let hint = "--cluster and --lookup say where and how to look";
            return Err(Error::new(format!("{name} is not in scope")).hint(hint));
        }
        Some(End::NoService) => {
            let (cluster, service) = name.split_once('/').unwrap_or_default();
            return Err(Error::new(format!(
                "there is no service {service:?} in the cluster {cluster:?} in {}",
                session.region
            )));
        }
        Some(end) => return Err(preview::explain(&run::ended(kind, config, end))),
    }
    let left = facts.workloads.values().find_map(reason_to_leave);
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
    Ok(Examined { facts, plan })
}

/// Why nothing is asked about what a service reads.
fn reason_to_leave(workload: &Workload) -> Option<Reason> {
    if !workload.active {
        Some(Reason::NotActive)
    } else if workload.is_ignored() {
        Some(Reason::OptedOut)
    } else {
        (!workload.has_tasks()).then_some(Reason::NothingRunning)
    }
}

/// Asks on the terminal; where there is none, nobody can say yes.
fn confirm(planned: usize, session: &Session) -> Result<(), Error> {
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
    let mut stderr = anstream::stderr();
    write!(
        stderr,
        "\nRedeploy {services} in {}? [y/N] ",
        session.place()
    )?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new("nothing was changed")),
    }
}
