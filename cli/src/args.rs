//! What may be typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCompleter, Shell};
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::complete;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Redeploys the Amazon ECS services that use a secret, and says which do and which are on an old value",
    after_help = "Exit codes: 0 done, or nothing to do; 2 something is to be done (audit, plan --exit-code) or a fault \
                  (doctor); 1 error; 130 interrupted.",
    after_long_help = EXAMPLES,
    propagate_version = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// When to use colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

const EXAMPLES: &str = "\
Examples:
  redeploy-on-rotation plan prod/db                     what would a change of prod/db touch?
  redeploy-on-rotation audit --cluster prod             is anything still on an old value?
  redeploy-on-rotation redeploy prod/db --wait          redeploy by hand, and follow each rollout
  redeploy-on-rotation wait prod/db                     until what began by itself is over
  redeploy-on-rotation history prod/db --since 7d       what did the function do, and why?
  redeploy-on-rotation graph --output html > graph.html who uses what?
  redeploy-on-rotation doctor prod/api                  why does its task not start?

Exit codes: 0 done, or nothing to do; 2 something is to be done (audit, plan --exit-code) or a
fault (doctor); 1 error; 130 interrupted.

Data goes to stdout, messages and progress to stderr.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Plan(Plan),
    Audit(Audit),
    Redeploy(Redeploy),
    Wait(Wait),
    History(History),
    Graph(Graph),
    Doctor(Doctor),
    Completions(Completions),
    #[command(hide = true)]
    Dist(Dist),
}

/// Says which services would be redeployed if a secret changed now, and why each other one not
///
/// Decides as the function does, and never writes.
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation plan prod/db
  redeploy-on-rotation plan --event events/secret-label-updated.json --output json
  redeploy-on-rotation plan --event events/rotation-succeeded.json --offline

Exit codes: 0 done, 1 error; with --exit-code 2 when something would be redeployed.")]
pub(crate) struct Plan {
    /// The secret or parameter, by name or ARN
    #[arg(required_unless_present = "event", add = ArgValueCompleter::new(complete::secrets))]
    pub(crate) secret: Option<String>,
    /// Plan for this event instead: a file of JSON as EventBridge or a queue sends it, `-` for
    /// stdin
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    pub(crate) event: Option<PathBuf>,
    /// Say what the event alone means, and ask AWS nothing
    #[arg(long, requires = "event")]
    pub(crate) offline: bool,
    /// End with 2 when something would be redeployed
    #[arg(long, conflicts_with = "offline")]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Says which services and tasks are on an older value of something that they read, the worst first
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation audit
  redeploy-on-rotation audit prod/db prod/api
  redeploy-on-rotation audit --older-than 1h --output markdown

Exit codes: 0 nothing is stale or rolling, 2 something is, 1 error.")]
pub(crate) struct Audit {
    /// Only these secrets and parameters, by name or ARN, and services, by CLUSTER/SERVICE or ARN
    #[arg(value_name = "SECRET|SERVICE", add = ArgValueCompleter::new(complete::any))]
    pub(crate) names: Vec<String>,
    /// Leave out what cannot have been stale or rolling for this long, as 90s, 15m, 1h or 2d
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) older_than: Option<SignedDuration>,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Redeploys services: shows the plan, asks, and gives each stale service one new deployment
#[derive(Arguments, Debug)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["secret", "service", "stale"]),
    after_help = "\
Examples:
  redeploy-on-rotation redeploy prod/db --wait
  redeploy-on-rotation redeploy --service prod/api --service prod/worker
  redeploy-on-rotation redeploy --stale --wait --max-in-flight 2 --yes

Exit codes: 0 done or nothing to do; 1 error, a rollout failed or timed out, or, with --stale, what is stale \
is blocked or waits; 130 interrupted; with --dry-run as plan."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that may be typed"
)]
pub(crate) struct Redeploy {
    /// The secret or parameter, by name or ARN: every service that follows it
    #[arg(add = ArgValueCompleter::new(complete::secrets))]
    pub(crate) secret: Option<String>,
    /// These services, on account of all that they read
    #[arg(long, value_name = "CLUSTER/SERVICE", add = ArgValueCompleter::new(complete::services))]
    pub(crate) service: Vec<String>,
    /// Every service in scope that is on an older value
    #[arg(long)]
    pub(crate) stale: bool,
    /// Follow each rollout to its end, also those that others began, and start no more when one
    /// fails
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most, as 90s, 15m or 1h
    #[arg(long, value_name = "TIME", default_value = "30m", requires = "wait", value_parser = span)]
    pub(crate) timeout: SignedDuration,
    /// How many rollouts may be under way at once
    #[arg(long, value_name = "N", default_value_t = 5, requires = "wait", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_in_flight: u16,
    /// Redeploy although a change calendar is closed
    #[arg(long)]
    pub(crate) ignore_freeze: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// End with 2 when something would be redeployed
    #[arg(long, requires = "dry_run")]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Follows rollouts that are under way, whoever began them, until nothing is on an old value
///
/// What is stale and may be redeployed is waited for, too: the function may be about to begin.
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation wait prod/db
  redeploy-on-rotation wait prod/api --timeout 10m

Exit codes: 0 nothing is on an old value, 1 error, a rollout failed or timed out, or what is stale is blocked; \
130 interrupted.")]
pub(crate) struct Wait {
    /// Only these secrets and parameters, by name or ARN, and services, by CLUSTER/SERVICE or ARN
    #[arg(value_name = "SECRET|SERVICE", add = ArgValueCompleter::new(complete::any))]
    pub(crate) names: Vec<String>,
    /// How long to wait at most, as 90s, 15m or 1h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = span)]
    pub(crate) timeout: SignedDuration,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Says what the function did and why, from its own log
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation history
  redeploy-on-rotation history prod/db --since 7d --output json

Exit codes: 0 done, 1 error.")]
pub(crate) struct History {
    /// Only what is about this secret or parameter, by name or ARN, or service, by CLUSTER/SERVICE
    /// or ARN
    #[arg(value_name = "SECRET|SERVICE", add = ArgValueCompleter::new(complete::any))]
    pub(crate) name: Option<String>,
    /// How far to look back, as 90s, 15m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = span)]
    pub(crate) since: SignedDuration,
    #[command(flatten)]
    pub(crate) output: Output,
    /// The function
    #[arg(long, value_name = "NAME", default_value = "redeploy-on-rotation")]
    pub(crate) function: String,
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
}

/// Draws who uses what: secrets, task definitions, services, clusters; stale ones marked
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation graph --output html > graph.html
  redeploy-on-rotation graph prod/db --output mermaid")]
pub(crate) struct Graph {
    /// Only what has to do with these secrets or parameters, by name or ARN
    #[arg(add = ArgValueCompleter::new(complete::secrets))]
    pub(crate) secrets: Vec<String>,
    /// How to draw it
    #[arg(long, short, value_enum, default_value_t = Drawing::Mermaid)]
    pub(crate) output: Drawing,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Says why the next task of a service will not start, or why the last one did not, and what to do
/// about it
///
/// Checks the references of its task definition, the secrets and parameters that they name, what
/// the execution role may do, the platform version, the network, and why tasks stopped. Reads no
/// secret's value, and never writes.
#[derive(Arguments, Debug)]
#[command(
    group = clap::ArgGroup::new("target").required(true).args(["service", "secret"]),
    after_help = "\
Examples:
  redeploy-on-rotation doctor prod/api
  redeploy-on-rotation doctor --secret prod/db --cluster prod
  redeploy-on-rotation doctor prod/api --output json

Exit codes: 0 no fault found, 2 a fault found, 1 error. What may not be looked at is `cannot tell`, and no error."
)]
pub(crate) struct Doctor {
    /// The service, by CLUSTER/SERVICE or ARN
    #[arg(value_name = "SERVICE", add = ArgValueCompleter::new(complete::services))]
    pub(crate) service: Option<String>,
    /// Every service that names this secret or parameter, by name or ARN, and only on account of it
    #[arg(long, value_name = "SECRET", add = ArgValueCompleter::new(complete::secrets))]
    pub(crate) secret: Option<String>,
    /// How to print the result
    #[arg(long, short, value_name = "FORM", default_value = "text", value_parser = text_or_json())]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) scope: Scope,
}

/// Prints what a shell is to source, so that arguments and names complete
///
/// Names of secrets, parameters, services and clusters complete where credentials allow.
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  source <(redeploy-on-rotation completions bash)
  redeploy-on-rotation completions fish | source")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Writes completions and man pages
#[derive(Arguments, Debug)]
pub(crate) struct Dist {
    /// Where to
    pub(crate) directory: PathBuf,
}

/// How to print.
#[derive(Arguments, Debug)]
pub(crate) struct Output {
    /// How to print the result
    #[arg(short = 'o', long = "output", value_name = "FORM", value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for a person
    Text,
    /// One JSON document, whose form is stable
    Json,
    /// Tables for a pull request or a ticket
    Markdown,
}

fn text_or_json() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(["text", "json"]).map(|form| match form.as_str() {
        "json" => Format::Json,
        _ => Format::Text,
    })
}

/// The forms of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// For Markdown
    Mermaid,
    /// One page with search, which needs no network
    Html,
    /// Nodes and edges, whose form is stable
    Json,
}

/// How to reach AWS.
#[derive(Arguments, Debug)]
#[command(next_help_heading = "Where to look")]
pub(crate) struct SignIn {
    /// The Region; else that of the profile or environment
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The profile of ~/.aws/config to sign in with
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Ask this endpoint instead of AWS
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Print each call to AWS with its request id and duration to stderr
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Where and how to look.
#[derive(Arguments, Debug)]
pub(crate) struct Scope {
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
    /// Look in these clusters only, by name or ARN [`REDEPLOY_CLUSTERS`]
    #[arg(long, value_name = "CLUSTER", value_delimiter = ',', add = ArgValueCompleter::new(complete::clusters))]
    pub(crate) cluster: Vec<String>,
    /// Look as this function does: with its settings instead of the `REDEPLOY_*` variables
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Decides for all that is printed from now on.
    pub(crate) fn write_global(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::AlwaysAnsi,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// A length of time as `90s`, `15m`, `1h` or `2d`.
fn span(text: &str) -> Result<SignedDuration, String> {
    let span: Result<Span, _> = text.parse();
    let length = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let length = length.ok().filter(SignedDuration::is_positive);
    length.ok_or_else(|| "use a length of time such as 90s, 15m, 1h or 2d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(span("90s"), Ok(SignedDuration::from_secs(90)));
        assert_eq!(span("2d"), Ok(SignedDuration::from_hours(48)));
        for wrong in ["", "1", "-1h", "0s", "soon"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
