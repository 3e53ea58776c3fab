//! `explain`: what the function would make of an event, without asking AWS.

mod pattern;

use redeploy_core::change::Change;
use redeploy_core::confirm::{Claim, UnconfirmedChange};
use redeploy_core::event::{self, Intent, Target, TriggerKind};
use redeploy_core::report::ChangeReport;
use serde::Serialize;
use serde_json::Value;

use crate::args::{Explain, Format};
use crate::output::{Error, Exit, display_name, kebab, print, print_json};
use crate::plan::{read, records};
use crate::preview::to_seconds;

/// The rules that the Terraform module makes, by name.
const RULES: [(&str, &str); 8] = [
    (
        "secret-label-updated",
        include_str!("../../../infra/patterns/secret-label-updated.json"),
    ),
    (
        "rotation-succeeded",
        include_str!("../../../infra/patterns/rotation-succeeded.json"),
    ),
    (
        "rotate-secret",
        include_str!("../../../infra/patterns/rotate-secret.json"),
    ),
    (
        "value-changed",
        include_str!("../../../infra/patterns/value-changed.json"),
    ),
    (
        "calendar-state-change",
        include_str!("../../../infra/patterns/calendar-state-change.json"),
    ),
    (
        "rotation-failed",
        include_str!("../../../infra/patterns/rotation-failed.json"),
    ),
    (
        "parameter-change",
        include_str!("../../../infra/patterns/parameter-change.json"),
    ),
    (
        "deployment-state-change",
        include_str!("../../../infra/patterns/deployment-state-change.json"),
    ),
];

/// The JSON form.
#[derive(Debug, Serialize)]
struct Document {
    trigger: TriggerKind,
    /// What the function would do, in a word.
    would: Effect,
    /// The same in a sentence.
    reason: String,
    /// The changes that the event alone proves.
    rotations: Vec<ChangeReport>,
    /// Our rules that would let the event through.
    rules: Vec<&'static str>,
}

/// What the function would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Effect {
    /// Nothing.
    Ignore,
    /// Redeploy what follows the change and is older.
    Follow,
    /// Ask AWS first whether something changed.
    Ask,
    /// Show what it would do.
    Plan,
    /// Examine one service, or all.
    Examine,
    /// Fail, because a needed field is missing or wrong.
    Fail,
}

pub(crate) fn run(explain: &Explain) -> Result<Exit, Error> {
    let payload = read(&explain.event)?;
    let documents = match records(&payload)? {
        None => vec![document(&payload)?],
        Some(records) => {
            let bodies = records
                .iter()
                .map(|record| serde_json::from_str(record.body.unwrap_or_default()));
            bodies
                .map(|body| document(&body.unwrap_or(Value::Null)))
                .collect::<Result<_, _>>()?
        }
    };
    let fails = documents
        .iter()
        .any(|document| document.would == Effect::Fail);
    match explain.output.format {
        Format::Json => match documents.as_slice() {
            [document] => print_json(document)?,
            documents => print_json(&documents)?,
        },
        Format::Text => documents.iter().try_for_each(Document::print)?,
    }
    Ok(if fails { Exit::Error } else { Exit::Ok })
}

fn document(payload: &Value) -> Result<Document, Error> {
    let rules = rules(payload)?;
    let trigger = match event::parse(payload) {
        Ok(trigger) => trigger,
        Err(invalid) => {
            let reason =
                format!("it would fail as InvalidEvent, so that the event is kept: {invalid}");
            return Ok(Document {
                trigger: invalid.kind,
                would: Effect::Fail,
                reason,
                rotations: Vec::new(),
                rules,
            });
        }
    };
    let rotations = match &trigger.intent {
        Intent::Changed(change) => vec![ChangeReport::from(change)],
        _ => Vec::new(),
    };
    let (would, reason) = effect(trigger.intent);
    Ok(Document {
        trigger: trigger.kind,
        would,
        reason,
        rotations,
        rules,
    })
}

/// What the function would do, in a word and in a sentence.
fn effect(intent: Intent) -> (Effect, String) {
    match intent {
        Intent::Ignored {
            reason,
            warning: false,
        } => (Effect::Ignore, reason),
        Intent::Ignored {
            reason,
            warning: true,
        } => (Effect::Ignore, format!("{reason}; reported as a warning")),
        Intent::Changed(change) => (Effect::Follow, follow(&change)),
        Intent::MayHaveChanged(claim) => (Effect::Ask, ask(&claim)),
        Intent::Request {
            target, dry_run, ..
        } => request(&target, dry_run),
        Intent::Sweep => (
            Effect::Examine,
            "examine every service in scope, and redeploy what is stale".to_owned(),
        ),
        Intent::Deployment { service, .. } => {
            let service = display_name(&service);
            let reason =
                format!("examine {service} and what follows the same, and redeploy what is stale");
            (Effect::Examine, reason)
        }
    }
}

fn request(target: &Target, dry_run: bool) -> (Effect, String) {
    match (target, dry_run) {
        (Target::Secret(secret), true) => (
            Effect::Plan,
            format!("show what a change of {secret} would touch"),
        ),
        (Target::Secret(secret), false) => (
            Effect::Ask,
            format!("look up {secret}, and redeploy what follows it as if it had changed now"),
        ),
        (Target::Service(service), true) => (
            Effect::Plan,
            format!("show if {service} would be redeployed if all that it reads changed now"),
        ),
        (Target::Service(service), false) => (
            Effect::Examine,
            format!("examine {service}, and redeploy it as if all that it reads had changed now"),
        ),
    }
}

fn follow(change: &Change) -> String {
    let source = &change.source;
    let label = source.label().map(|label| format!("{label} of "));
    format!(
        "redeploy what follows {}{} and was deployed before {}",
        label.unwrap_or_default(),
        display_name(&source.to_string()),
        to_seconds(change.reported.not_after)
    )
}

/// What `DescribeSecret` is asked.
fn ask(claimed: &UnconfirmedChange) -> String {
    let name = display_name(&claimed.secret_id);
    let question = match &claimed.claim {
        Claim::Moved { labels, version } => {
            let version = version
                .as_ref()
                .map(|version| format!(" to version {version}"));
            let version = version.unwrap_or_default();
            format!("whether {} moved{version}", labels.join(", "))
        }
        Claim::Rotated => "whether AWSCURRENT moved".to_owned(),
        Claim::Stored(version) => format!("whether version {version} is AWSCURRENT"),
        Claim::Asked => "whether it exists".to_owned(),
        Claim::Requested(version) => {
            return format!(
                "ask DescribeSecret of {name} whether the rotation to version {version} is done: \
                 redeploy what follows it if so, else come back later (REDEPLOY_ON_PENDING)"
            );
        }
    };
    format!("ask DescribeSecret of {name} {question}, and redeploy what follows it if so")
}

/// The rules that match.
fn rules(payload: &Value) -> Result<Vec<&'static str>, Error> {
    let mut matching = Vec::new();
    for (name, text) in RULES {
        let pattern = serde_json::from_str(text)
            .map_err(|error| Error::new(format!("the rule {name}: {error}")))?;
        let matches = pattern::matches(&pattern, payload);
        if matches.ok_or_else(|| {
            Error::new(format!(
                "the rule {name} uses what this program cannot match"
            ))
        })? {
            matching.push(name);
        }
    }
    Ok(matching)
}

impl Document {
    fn print(&self) -> Result<(), Error> {
        let rules = match self.rules.as_slice() {
            [] if matches!(self.trigger, TriggerKind::Request | TriggerKind::Sweep) => {
                "none; it is sent directly or on a schedule".to_owned()
            }
            [] => {
                "none; the Terraform module's rules would not let it reach the function".to_owned()
            }
            rules => rules.join(", "),
        };
        print(&format!("trigger  {}", kebab(&self.trigger)))?;
        print(&format!("would    {}: {}", kebab(&self.would), self.reason))?;
        print(&format!("rules    {rules}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_sample_gets_through_the_rules_that_its_table_names() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let table = std::fs::read_to_string(root.join("events/README.md")).unwrap();
        let mut samples = 0;
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect();
            let mut payload = read(&root.join("events").join(cells[1])).unwrap();
            // Every event on a bus has a source; one sample was published without.
            if payload.get("detail-type").is_some() && payload.get("source").is_none() {
                payload["source"] = "aws.secretsmanager".into();
            }
            let rules = rules(&payload).unwrap().join(", ");
            assert_eq!(
                if rules.is_empty() { "-" } else { &rules },
                cells[4],
                "{}",
                cells[1]
            );
            samples += 1;
        }
        assert!(samples > 30, "{samples}");
    }

    #[test]
    fn every_pattern_of_the_module_is_a_rule() {
        let patterns = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("infra/patterns");
        let files = std::fs::read_dir(patterns)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = files.collect();
        files.sort();
        let mut rules = RULES.map(|(name, _)| format!("{name}.json"));
        rules.sort();
        assert_eq!(files, rules);
    }
}
