//! `history`: what the function did and why, from its own log.

use jiff::Timestamp;
use redeploy_on_rotation::aws::denied;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::args::{Format, History};
use crate::connection::{function, sign_in};
use crate::names::is_called;
use crate::output::{
    Error, Exit, column, display_name, print, print_item, print_json, print_table, spinner, table,
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
    let lines = lines.map_err(|error| {
        let text = error.to_string();
        Error::new(text.clone()).allow(denied(&text))
    })?;
    let mut invocations = Vec::new();
    for line in &lines {
        let invocation: Invocation = serde_json::from_str(line)
            .map_err(|error| Error::new(format!("a line of the log is not a report: {error}")))?;
        invocations.push(invocation);
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
        invocations,
    };
    match history.output.format {
        Format::Json => print_json(&document)?,
        Format::Text | Format::Markdown => document.print()?,
    }
    Ok(Exit::Ok)
}

impl Invocation {
    /// Keeps what is about this; says whether there is any.
    fn keep(&mut self, name: &str) -> bool {
        let is_it = |arn: &String| is_called(arn, name);
        if self
            .rotations
            .iter()
            .any(|rotation| is_it(&rotation.secret))
        {
            return true;
        }
        self.services
            .retain(|service| is_it(&service.arn) || service.secrets.iter().any(is_it));
        !self.services.is_empty()
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
            let services = invocation.services.iter();
            let acted: Vec<_> = services.filter(|s| s.action != "skipped").collect();
            if acted.is_empty() {
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
            for service in acted {
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
