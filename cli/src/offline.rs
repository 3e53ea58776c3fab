//! `plan --offline`: what an event alone means. Asks AWS nothing.

use redeploy_core::change::Change;
use redeploy_core::confirm::{Claim, UnconfirmedChange};
use redeploy_core::event::{self, Intent, Target, TriggerKind};
use redeploy_core::report::ChangeReport;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::args::Format;
use crate::output::{Error, Exit, display_name, kebab, print, print_json};
use crate::plan::records;
use crate::preview::to_seconds;

/// The JSON form; a list of these for a batch of several events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    trigger: TriggerKind,
    /// What the function would do, in a word.
    would: Effect,
    /// The same in a sentence.
    reason: String,
    /// The changes that the event alone proves.
    rotations: Vec<ChangeReport>,
}

/// What the function would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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

pub(crate) fn run(payload: &Value, format: Format) -> Result<Exit, Error> {
    let documents = match records(payload)? {
        None => vec![document(payload)],
        Some(records) => {
            let bodies = records.iter().map(|record| record.body.unwrap_or_default());
            let events = bodies.map(|body| serde_json::from_str(body).unwrap_or(Value::Null));
            events.map(|event| document(&event)).collect()
        }
    };
    let mut words = documents.iter().map(|document| document.would);
    let fails = words.any(|would| would == Effect::Fail);
    match (format, documents.as_slice()) {
        (Format::Json, [document]) => print_json(document)?,
        (Format::Json, documents) => print_json(&documents)?,
        (_, documents) => {
            for Document {
                trigger,
                would,
                reason,
                ..
            } in documents
            {
                print(&format!("{}: {}: {reason}", kebab(trigger), kebab(would)))?;
            }
        }
    }
    Ok(if fails { Exit::Error } else { Exit::Ok })
}

fn document(payload: &Value) -> Document {
    match event::parse(payload) {
        Err(invalid) => Document {
            trigger: invalid.kind,
            would: Effect::Fail,
            reason: format!("it would fail as InvalidEvent, so that the event is kept: {invalid}"),
            rotations: Vec::new(),
        },
        Ok(trigger) => {
            let rotations = match &trigger.intent {
                Intent::Changed(change) => vec![ChangeReport::from(change)],
                _ => Vec::new(),
            };
            let (would, reason) = effect(trigger.intent);
            Document {
                trigger: trigger.kind,
                would,
                reason,
                rotations,
            }
        }
    }
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
