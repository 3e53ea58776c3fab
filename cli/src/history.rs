//! `history`: what the function did and why, from its own log.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::args::{Format, History};
use crate::connection::{function, sign_in};
use crate::names::is_called;
use crate::output::{
    Error, Exit, column, display_name, print, print_item, print_json, print_table, spinner, table,
    warn,
};

/// The JSON form.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    function: String,
    log_group: String,
    /// How far it looks back, UTC.
    #[schemars(with = "String")]
    since: Timestamp,
    /// The oldest first.
    invocations: Vec<Invocation>,
    /// How many invocations had nothing to do with anything that was asked for.
    left_out: usize,
    /// Whether it is about one thing only.
    #[serde(skip)]
    is_of_one: bool,
}

/// One invocation, as the function logged it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    /// When it ended, UTC.
    timestamp: String,
    request_id: String,
    #[serde(rename(deserialize = "DurationMs"))]
    duration_ms: u64,
    trigger: String,
    outcome: String,
    /// In a sentence.
    reason: String,
    #[serde(default)]
    rotations: Vec<Rotation>,
    #[serde(default)]
    services: Vec<Service>,
    /// How many services its line had no room for.
    #[serde(default)]
    services_omitted: usize,
    #[serde(default)]
    warnings: Vec<String>,
}

/// A change that was acted on.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Rotation {
    secret: String,
    at: String,
}

/// What became of a service, as in the report.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Service {
    #[serde(rename = "service")]
    arn: String,
    action: String,
    reason: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(history: &History) -> Result<Exit, Error> {
    history.output.format.write_global();
    let session = sign_in(&history.sign_in).await?.paced(1.0);
    let settings = function(&session, &history.function).await?;
    let since = Timestamp::now()
        .checked_sub(history.since)
        .unwrap_or(Timestamp::MIN);
    let waiting = spinner("reading the log");
    let lines = session.report_lines(&settings.log_group, since).await;
    waiting.finish_and_clear();
    let lines = lines?;
    let read = lines.iter().map(|line| serde_json::from_str(line).ok());
    let mut invocations: Vec<Invocation> = read.flatten().collect();
    if let unread @ 1.. = lines.len() - invocations.len() {
        warn(&format!(
            "lines of the log that are not reports as this version knows them: {unread}"
        ));
    }
    if settings.hides_reports {
        warn("the log level of the function hides its reports; set it to INFO or lower");
    }
    let all = invocations.len();
    match &history.name {
        Some(name) => invocations.retain_mut(|invocation| invocation.keep(name)),
        None => invocations.retain(|invocation| invocation.outcome != "ignored"),
    }
    let document = Document {
        function: history.function.clone(),
        log_group: settings.log_group,
        since,
        left_out: all - invocations.len(),
        is_of_one: history.name.is_some(),
        invocations,
    };
    match history.output.format {
        Format::Json => print_json(&document)?,
        Format::Text | Format::Markdown => document.print()?,
    }
    Ok(Exit::Ok)
}

impl Invocation {
    /// Keeps the services that it is about; says whether it is about it at all, by its services, by
    /// what changed, or in a sentence.
    fn keep(&mut self, name: &str) -> bool {
        let is_it = |arn: &String| is_called(arn, name);
        self.services
            .retain(|service| is_it(&service.arn) || service.secrets.iter().any(is_it));
        let mut texts = std::iter::once(&self.reason).chain(&self.warnings);
        let mut rotations = self.rotations.iter();
        !self.services.is_empty()
            || texts.any(|text| text.contains(name))
            || rotations.any(|rotation| is_it(&rotation.secret))
    }
}

impl Document {
    fn print(&self) -> Result<(), Error> {
        let mut rows = table([
            "TIME",
            "TRIGGER",
            column::SERVICE,
            column::ACTION,
            column::REASON,
            column::SECRET,
            column::DEPLOYMENT,
        ]);
        let mut notes = Vec::new();
        for invocation in &self.invocations {
            let time = invocation.timestamp.split('.').next().unwrap_or_default();
            let time = format!("{}Z", time.trim_end_matches('Z'));
            // What was skipped is of interest only where it was asked for.
            let is_shown = |service: &&Service| self.is_of_one || service.action != "skipped";
            let shown: Vec<_> = invocation.services.iter().filter(is_shown).collect();
            if shown.is_empty() {
                let secrets = invocation.rotations.iter().map(|r| display_name(&r.secret));
                rows.add_row([
                    time.clone(),
                    invocation.trigger.clone(),
                    String::new(),
                    invocation.outcome.clone(),
                    invocation.reason.clone(),
                    secrets.collect::<Vec<_>>().join(", "),
                    String::new(),
                ]);
            }
            for service in shown {
                let secrets = service.secrets.iter().map(|secret| display_name(secret));
                rows.add_row([
                    time.clone(),
                    invocation.trigger.clone(),
                    display_name(&service.arn),
                    service.action.clone(),
                    service.reason.clone(),
                    secrets.collect::<Vec<_>>().join(", "),
                    service.deployment.clone().unwrap_or_default(),
                ]);
                let error = service.error.as_ref();
                let name = display_name(&service.arn);
                notes.extend(error.map(|error| format!("{time} {name}: {error}")));
            }
            if let omitted @ 1.. = invocation.services_omitted {
                notes.push(format!(
                    "{time} services that its line had no room for: {omitted}"
                ));
            }
            let warnings = invocation.warnings.iter();
            notes.extend(warnings.map(|warning| format!("{time} {warning}")));
        }
        if rows.row_count() > 0 {
            print_table(rows)?;
            print("")?;
        }
        let shown = self.invocations.len();
        print(&format!(
            "invocations of {} since {}: {shown}; {} others",
            self.function,
            crate::preview::to_seconds(self.since),
            self.left_out
        ))?;
        notes.iter().try_for_each(|note| print_item(note))
    }
}
