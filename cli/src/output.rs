//! How results, messages and errors look: data to stdout, everything else to stderr.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfy_table::{Cell, Color, ContentArrangement, Row, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use redeploy_core::arn::{Arn, SecretArn};
use redeploy_core::report::ServiceAction;
use redeploy_on_rotation::aws::{AwsError, denied};
use serde::Serialize;

use crate::args::Format;

/// The names of columns: a thing has the same one in each table.
pub(crate) mod column {
    pub(crate) const SERVICE: &str = "SERVICE";
    /// What is done about it.
    pub(crate) const ACTION: &str = "ACTION";
    /// Why.
    pub(crate) const REASON: &str = "REASON";
    /// How many of its tasks run, of how many.
    pub(crate) const RUNNING: &str = "RUNNING";
    /// When its newest deployment was created.
    pub(crate) const DEPLOYED: &str = "DEPLOYED";
    /// How ECS shifts to a new deployment.
    pub(crate) const STRATEGY: &str = "STRATEGY";
    /// What ECS does about a rollout that fails.
    pub(crate) const BREAKER: &str = "BREAKER";
    /// How far its rollout came.
    pub(crate) const ROLLOUT: &str = "ROLLOUT";
    /// Which value its tasks have.
    pub(crate) const VALUE: &str = "VALUE";
    /// The id of its new deployment.
    pub(crate) const DEPLOYMENT: &str = "DEPLOYMENT";
    pub(crate) const SECRET: &str = "SECRET";
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Ok = 0,
    /// Something failed.
    Error = 1,
    /// There is something to do.
    ActionNeeded = 2,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong, in one clear sentence, with what to do about it.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    hints: Vec<String>,
    /// Whether the reader of our output went away, which is no error.
    broken_pipe: bool,
}

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hints: Vec::new(),
            broken_pipe: false,
        }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the statement that would allow what was denied.
    pub(crate) fn allow(self, denied: Option<(&str, Option<&str>)>) -> Self {
        let Some((action, resource)) = denied else {
            return self;
        };
        let resource = resource.unwrap_or("*");
        let statement =
            format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "{resource}"}}"#);
        self.hint(format!("this IAM statement would allow it: {statement}"))
    }

    /// Prints it, and says how to end.
    pub(crate) fn print(&self) -> Exit {
        if self.broken_pipe {
            return Exit::Ok;
        }
        message(format_args!("{} {}", "error:".red().bold(), self.message));
        for hint in &self.hints {
            message(format_args!("  {hint}"));
        }
        Exit::Error
    }
}

/// With the statement that would allow what was denied.
impl From<AwsError> for Error {
    fn from(error: AwsError) -> Self {
        let text = error.to_string();
        Self::new(text.as_str()).allow(denied(&text))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self {
            broken_pipe: error.kind() == io::ErrorKind::BrokenPipe,
            ..Self::new(error.to_string())
        }
    }
}

/// Whether results are printed as Markdown.
static MARKDOWN: AtomicBool = AtomicBool::new(false);

impl Format {
    /// Decides for all that is printed from now on.
    pub(crate) fn write_global(self) {
        MARKDOWN.store(self == Self::Markdown, Ordering::Relaxed);
    }
}

fn is_markdown() -> bool {
    MARKDOWN.load(Ordering::Relaxed)
}

/// The lines on the terminal that move; silent elsewhere.
static LINES: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Says something on stderr; nobody may be listening.
fn message(text: std::fmt::Arguments<'_>) {
    LINES.suspend(|| {
        let _ = writeln!(anstream::stderr(), "{text}");
    });
}

/// Says something that is not the result.
pub(crate) fn note(text: &str) {
    message(format_args!("{text}"));
}

/// Says something that a person should look at.
pub(crate) fn warn(text: &str) {
    message(format_args!("{} {text}", "warning:".yellow().bold()));
}

/// Prints a part of the result.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Prints one of several lines that belong together.
pub(crate) fn print_item(text: &str) -> Result<(), Error> {
    print(&format!(
        "{}{text}",
        if is_markdown() { "- " } else { "  " }
    ))
}

/// Prints what a word means, in a column of this width.
pub(crate) fn print_meaning(word: &str, width: usize, meaning: &str) -> Result<(), Error> {
    if is_markdown() {
        return print(&format!("- `{word}`: {meaning}"));
    }
    print(&format!("  {word:width$}  {meaning}"))
}

/// Prints the result as JSON.
pub(crate) fn print_json(result: &impl Serialize) -> Result<(), Error> {
    let text =
        serde_json::to_string_pretty(result).map_err(|error| Error::new(error.to_string()))?;
    print(&text)
}

/// A table with these columns, as wide as the terminal allows.
pub(crate) fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    if is_markdown() {
        table.load_style(presets::ASCII_MARKDOWN);
    } else {
        // Where no terminal shows them, styles are taken out when it is printed.
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .enforce_styling();
    }
    table.set_header(columns);
    table
}

/// Prints a table without the space at the ends of its lines.
pub(crate) fn print_table(mut table: Table) -> Result<(), Error> {
    if is_markdown() {
        let mut escaped = Table::new();
        escaped.load_style(presets::ASCII_MARKDOWN);
        let row = |row: &Row| {
            row.cell_iter()
                .map(|cell| plain(&cell.content()))
                .collect::<Vec<_>>()
        };
        escaped.set_header(table.header().map(row).unwrap_or_default());
        escaped.add_rows(table.row_iter().map(row));
        return print(&escaped.to_string());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    print(&lines.join("\n"))
}

/// Text that is nothing but text in a cell of Markdown.
fn plain(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('<', "&lt;");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a word on the screen means to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Busy,
    Bad,
    Quiet,
}

impl From<ServiceAction> for Status {
    fn from(done: ServiceAction) -> Self {
        match done {
            ServiceAction::Failed | ServiceAction::Blocked => Self::Bad,
            ServiceAction::Redeployed => Self::Good,
            ServiceAction::Planned | ServiceAction::Waiting => Self::Busy,
            ServiceAction::Skipped => Self::Quiet,
        }
    }
}

/// A cell in the color of its status.
pub(crate) fn status_cell(text: &str, status: Status) -> Cell {
    Cell::new(text).fg(match status {
        Status::Good => Color::Green,
        Status::Busy => Color::Yellow,
        Status::Bad => Color::Red,
        Status::Quiet => Color::DarkGrey,
    })
}

/// The word that stands for a value in JSON, in kebab case.
pub(crate) fn kebab(value: &impl Serialize) -> String {
    let name = serde_json::to_value(value).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// What people call it: `cluster/service`, the name of a secret, the name of a parameter.
pub(crate) fn display_name(arn: &str) -> String {
    if let Some(secret) = SecretArn::parse(arn) {
        return secret.name().to_owned();
    }
    let Some(parsed) = Arn::parse(arn) else {
        return arn.to_owned();
    };
    match parsed.resource.split_once('/') {
        Some(("parameter", name)) if name.contains('/') => format!("/{name}"),
        Some((_, name)) => name.to_owned(),
        None => parsed.resource,
    }
}

/// A line on the terminal that moves while something is awaited; silent elsewhere.
pub(crate) fn spinner(text: &str) -> ProgressBar {
    let bar = LINES.add(ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(text.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_cell_of_markdown_ends_where_the_table_says() {
        assert_eq!(plain("a|b <c>\nd"), "a\\|b &lt;c> d");
    }
}
