//! `doctor`: why the next task will not start, or why the last one did not.

use jiff::Timestamp;
use owo_colors::OwoColorize;
use redeploy_core::arn::Arn;
use redeploy_core::config::{MappedService, cluster_name};
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::{Doctor, Format, Scope};
use crate::connection;
use crate::doctor::{Finding, Verdict, examine, examine_secret};
use crate::operator::Gatherer;
use crate::output::{
    Error, Exit, display_name, kebab, print, print_json, print_table, spinner, table, warn,
};

/// What was found, as `--output json` prints it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Diagnosis {
    /// How many findings are faults.
    faults: usize,
    /// Each service; or the secret, where no service in scope names it.
    examined: Vec<Examined>,
    /// What could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// One service or secret.
#[derive(Debug, Serialize, JsonSchema)]
struct Examined {
    /// Its ARN, or the secret as it was named.
    name: String,
    /// The worst first.
    findings: Vec<Finding>,
}

/// Examines what was asked for.
pub(crate) async fn run(args: &Doctor, scope: &Scope) -> Result<Exit, Error> {
    let service = args.service.as_deref().map(service).transpose()?;
    let (session, config) = connection::open(scope).await?;
    let gatherer = session.gatherer();
    let waiting = spinner("looking");
    let mut warnings = Vec::new();
    let now = Timestamp::now();
    let services = match (service, &args.secret) {
        (Some(service), _) => vec![service],
        (None, Some(secret)) => {
            let look = session.aws.look(&config, now, false, || now).await;
            let look = look?;
            let unread = look.unexamined.iter();
            let unread = unread.map(|(name, unread)| format!("{name}: {}", unread.gap.error));
            warnings.extend(unread.chain(look.warnings.iter().cloned()));
            Gatherer::services_of(&look, secret)
        }
        (None, None) => Vec::new(),
    };
    let mut examined = Vec::new();
    let mut has_failed = false;
    for service in &services {
        waiting.set_message(format!("examining {}/{}", service.cluster, service.service));
        let facts = gatherer.service(service, args.secret.as_deref()).await;
        match facts {
            Ok(facts) => examined.push(Examined {
                findings: examine(&facts),
                name: facts.service,
            }),
            // The others that use the secret are examined all the same.
            Err(error) if args.secret.is_some() => {
                has_failed = true;
                warnings.push(format!("{}/{}: {error}", service.cluster, service.service));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let (true, Some(secret)) = (services.is_empty(), &args.secret) {
        warnings.push(format!(
            "no service in scope names {secret} in its task definition"
        ));
        let (place, secrets) = gatherer.secret(secret).await;
        examined.push(Examined {
            findings: examine_secret(&place, &secrets),
            name: secret.clone(),
        });
    }
    waiting.finish_and_clear();
    let findings = examined.iter().flat_map(|examined| &examined.findings);
    let faults = findings
        .filter(|finding| finding.verdict == Verdict::Fault)
        .count();
    let diagnosis = Diagnosis {
        faults,
        examined,
        warnings,
    };
    match args.output {
        Format::Json => print_json(&diagnosis)?,
        Format::Text | Format::Markdown => show(&diagnosis)?,
    }
    Ok(match faults {
        0 if has_failed => Exit::Error,
        0 => Exit::Ok,
        _ => Exit::ActionNeeded,
    })
}

/// `<cluster>/<service>`, or a service's ARN.
fn service(text: &str) -> Result<MappedService, Error> {
    let path = Arn::parse(text)
        .filter(|arn| arn.service == "ecs")
        .map(|arn| arn.resource);
    let path = path
        .as_deref()
        .and_then(|resource| resource.strip_prefix("service/"))
        .unwrap_or(text);
    match path.split_once('/') {
        Some((cluster, service))
            if !cluster.is_empty() && !service.is_empty() && !service.contains('/') =>
        {
            Ok(MappedService {
                cluster: cluster_name(cluster).to_owned(),
                service: service.to_owned(),
            })
        }
        _ => Err(Error::new(format!(
            "{text:?} does not name a service: use <cluster>/<service>, or its ARN"
        ))),
    }
}

/// Faults, warnings and open questions in full; what is well, in a table.
fn show(diagnosis: &Diagnosis) -> Result<(), Error> {
    for warning in &diagnosis.warnings {
        warn(warning);
    }
    for Examined { name, findings } in &diagnosis.examined {
        print(&format!("{}\n", name.bold()))?;
        let (well, others): (Vec<_>, Vec<_>) = findings
            .iter()
            .partition(|finding| finding.verdict == Verdict::Ok);
        for finding in others {
            show_in_full(finding)?;
        }
        if !well.is_empty() {
            let mut table = table(["OK", "OF", "EVIDENCE"]);
            for finding in well {
                table.add_row([
                    kebab(&finding.check),
                    display_name(&finding.subject),
                    finding.evidence.clone(),
                ]);
            }
            print_table(table)?;
            print("")?;
        }
        let count = |verdict| {
            findings
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        print(&format!(
            "faults: {}, warnings: {}, cannot tell: {}, ok: {}",
            count(Verdict::Fault),
            count(Verdict::Warning),
            count(Verdict::CannotTell),
            count(Verdict::Ok)
        ))?;
    }
    Ok(())
}

fn show_in_full(finding: &Finding) -> Result<(), Error> {
    let Finding {
        check,
        verdict,
        subject,
        evidence,
        fix,
        commands,
    } = finding;
    let verdict = match verdict {
        Verdict::Fault => "FAULT".red().bold().to_string(),
        Verdict::Warning => "WARNING".yellow().bold().to_string(),
        Verdict::CannotTell => "CANNOT TELL".cyan().bold().to_string(),
        Verdict::Ok => "OK".green().to_string(),
    };
    print(&format!(
        "{verdict} {} of {subject}\n  {evidence}",
        kebab(check)
    ))?;
    if let Some(fix) = fix {
        print(&format!("  fix: {fix}"))?;
    }
    for command in commands {
        print(&format!("    $ {command}"))?;
    }
    print("")
}
