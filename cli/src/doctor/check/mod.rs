//! The checks, each from facts to findings.

mod platform;
mod role;
mod secret;
mod stopped;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Facts, Finding, Known, Place, Secret, Verdict};
use platform::{inactive, network, platform_version};
use role::{execution_role, reads};
use secret::{parameters, references, secret, secrets, version};
use stopped::stopped_tasks;

/// An action on a resource that the execution role must be allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The IAM name of the action.
    pub action: &'static str,
    /// The ARN, in the form in which IAM is asked about it.
    pub resource: String,
}

/// Examines a service: every finding, the worst first.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = stopped_tasks(facts);
    let definition = facts.task_definition.as_ref();
    findings.extend(
        definition
            .ok()
            .and_then(|definition| inactive(facts, definition)),
    );
    match &facts.task_definition {
        Err(why) => findings.push(cannot_tell(Check::TaskDefinition, &facts.service, why)),
        Ok(definition) if definition.mentions.is_empty() => {
            let evidence = "it names no secret and no parameter, so none can keep it from starting";
            findings.push(ok(Check::Reference, &definition.arn, evidence));
        }
        Ok(definition) => {
            findings.extend(references(definition));
            findings.extend(secrets(facts, definition));
            findings.extend(parameters(facts, definition));
            findings.extend(execution_role(facts, definition));
            findings.extend(platform_version(facts, definition));
            findings.push(network(facts, definition));
        }
    }
    worst_first(findings)
}

/// Examines a secret by itself, where no service names it.
#[must_use]
pub fn examine_secret(
    named: &Place,
    secrets: &BTreeMap<Place, Known<Option<Secret>>>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(secret) = secret(named, secrets, &mut findings) {
        findings.push(version(&secret.arn, secret, "", ""));
    }
    worst_first(findings)
}

/// Everything that IAM has to be asked about.
///
/// Where a secret is named by a partial ARN, its full ARN is among them, because policies are often
/// written for that.
#[must_use]
pub fn needs(facts: &Facts) -> BTreeSet<Need> {
    let reads = reads(facts);
    let full = reads.iter().filter_map(|(need, read)| {
        Some(Need {
            action: need.action,
            resource: read.full.clone()?,
        })
    });
    full.chain(reads.keys().cloned()).collect()
}

fn worst_first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (Reverse(finding.verdict), finding.check));
    findings
}

fn finding(check: Check, verdict: Verdict, subject: &str, evidence: String) -> Finding {
    Finding {
        check,
        verdict,
        subject: subject.to_owned(),
        evidence,
        fix: None,
        commands: Vec::new(),
    }
}

impl Finding {
    /// Adds what to do about it.
    fn fix(self, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into());
        Self { fix, ..self }
    }

    /// Adds commands that do it, or show more.
    fn run(self, commands: Vec<String>) -> Self {
        Self { commands, ..self }
    }
}

fn ok(check: Check, subject: &str, evidence: &str) -> Finding {
    finding(check, Verdict::Ok, subject, evidence.to_owned())
}

fn cannot_tell(check: Check, subject: &str, why: &str) -> Finding {
    finding(check, Verdict::CannotTell, subject, why.to_owned())
}

/// A word as a shell reads it back, whatever is in it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
