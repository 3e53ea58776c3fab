//! What may be typed.

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Redeploys the Amazon ECS services that use a secret, and says which do and which are on an old value",
    after_help = "Exit codes: 0 nothing to do, or done; 2 something to do (plan, audit, redeploy --dry-run) or a \
                  fault (doctor); 1 error; 130 interrupted.",
    after_long_help = EXAMPLES,
    propagate_version = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

const EXAMPLES: &str = "\
Examples:
  redeploy-on-rotation plan prod/db                     what would a change of prod/db touch?
  redeploy-on-rotation audit --cluster prod             is anything still on an old value?
  redeploy-on-rotation redeploy prod/db --wait          redeploy by hand, and follow each rollout
  redeploy-on-rotation graph --output html > graph.html who uses what?
  redeploy-on-rotation doctor prod/api                  why does its task not start?
  redeploy-on-rotation explain event.json               what would the function make of this event?

Exit codes: 0 nothing to do, or done; 2 something to do (plan, audit, redeploy --dry-run) or a
fault (doctor); 1 error; 130 interrupted.

Data goes to stdout, messages and progress to stderr.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Plan(Plan),
    Audit(Audit),
    Redeploy(Redeploy),
    Graph(Graph),
    Doctor(Doctor),
    Explain(Explain),
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

Exit codes: 0 nothing to do, 2 something to do, 1 error.")]
pub(crate) struct Plan {
    /// The secret or parameter, by name or ARN
    #[arg(required_unless_present = "event")]
    pub(crate) secret: Option<String>,
    /// Plan for this event instead: a file of JSON as EventBridge or a queue sends it, `-` for
    /// stdin
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    pub(crate) event: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Says which services and tasks are on an older value of something that they read, the worst first
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation audit
  redeploy-on-rotation audit --cluster prod --output json

Exit codes: 0 nothing is stale, 2 something is, 1 error.")]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) output: Output,
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

Exit codes: 0 done or nothing to do, 1 error or a rollout failed, 130 interrupted; with --dry-run as plan."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that may be typed"
)]
pub(crate) struct Redeploy {
    /// The secret or parameter, by name or ARN: every service that follows it
    pub(crate) secret: Option<String>,
    /// These services, on account of all that they read
    #[arg(long, value_name = "CLUSTER/SERVICE")]
    pub(crate) service: Vec<String>,
    /// Every service in scope that is on an older value
    #[arg(long)]
    pub(crate) stale: bool,
    /// Follow each rollout to its end, and start no more when one fails
    #[arg(long)]
    pub(crate) wait: bool,
    /// How many rollouts may be under way at once
    #[arg(long, value_name = "N", default_value_t = 5, requires = "wait", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_in_flight: u16,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Draws who uses what: secrets, task definitions, services, clusters; stale ones marked
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation graph --output html > graph.html
  redeploy-on-rotation graph prod/db --output dot | dot -Tsvg > graph.svg")]
pub(crate) struct Graph {
    /// Only what has to do with these secrets or parameters, by name or ARN
    pub(crate) secrets: Vec<String>,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Drawing::Mermaid)]
    pub(crate) output: Drawing,
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
    /// The service, by <cluster>/<service> or ARN
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Every service that names this secret or parameter, by name or ARN, and only on account of it
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Says what the function would make of an event, and which of its rules would match; asks AWS
/// nothing
#[derive(Arguments, Debug)]
#[command(after_help = "\
Examples:
  redeploy-on-rotation explain events/rotation-succeeded.json")]
pub(crate) struct Explain {
    /// A file of JSON as EventBridge sends it, `-` for stdin
    pub(crate) event: PathBuf,
    #[command(flatten)]
    pub(crate) output: Output,
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
    #[arg(long = "output", value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for a person
    Text,
    /// One JSON document, whose form is stable
    Json,
}

/// The forms of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// For Markdown
    Mermaid,
    /// For Graphviz
    Dot,
    /// One page with search, which needs no network
    Html,
    /// Nodes and edges, whose form is stable
    Json,
}

/// Where and how to look; each REDEPLOY_* variable of the function counts where its option is not
/// given.
#[derive(Arguments, Debug)]
#[command(next_help_heading = "Where and how to look")]
pub(crate) struct Global {
    /// The Region; else that of the profile or environment
    #[arg(long, global = true)]
    pub(crate) region: Option<String>,
    /// The profile of ~/.aws/config to sign in with
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Ask this endpoint instead of AWS
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Look in these clusters only, by name or ARN [`REDEPLOY_CLUSTERS`]
    #[arg(long, global = true, value_name = "CLUSTER", value_delimiter = ',')]
    pub(crate) cluster: Vec<String>,
    /// How to find services: scan, tags, config, or several, comma-separated [`REDEPLOY_LOOKUP`]
    #[arg(long, global = true, value_name = "HOW", hide_short_help = true)]
    pub(crate) lookup: Option<String>,
    /// The key of the tag on services [`REDEPLOY_TAG_KEY`]
    #[arg(long, global = true, value_name = "KEY", hide_short_help = true)]
    pub(crate) tag_key: Option<String>,
    /// For --lookup config [`REDEPLOY_MAPPING`]
    #[arg(long, global = true, value_name = "JSON", hide_short_help = true)]
    pub(crate) mapping: Option<String>,
    /// How long after a change to wait before acting [`REDEPLOY_SETTLE_SECONDS`]
    #[arg(long, global = true, value_name = "SECONDS", hide_short_help = true)]
    pub(crate) settle_seconds: Option<String>,
    /// The share of the account's API quotas to use, 0.01 to 1 [`REDEPLOY_RATE_SHARE`]
    #[arg(long, global = true, value_name = "SHARE", hide_short_help = true)]
    pub(crate) rate_share: Option<String>,
    /// When to use colour; `NO_COLOR` is honoured
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
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

impl Global {
    /// The options that stand for variables: variable, option and value.
    pub(crate) fn settings(&self) -> Vec<(&'static str, &'static str, String)> {
        let clusters = (!self.cluster.is_empty()).then(|| self.cluster.join(","));
        let settings = [
            ("REDEPLOY_CLUSTERS", "--cluster", clusters),
            ("REDEPLOY_LOOKUP", "--lookup", self.lookup.clone()),
            ("REDEPLOY_TAG_KEY", "--tag-key", self.tag_key.clone()),
            ("REDEPLOY_MAPPING", "--mapping", self.mapping.clone()),
            (
                "REDEPLOY_SETTLE_SECONDS",
                "--settle-seconds",
                self.settle_seconds.clone(),
            ),
            (
                "REDEPLOY_RATE_SHARE",
                "--rate-share",
                self.rate_share.clone(),
            ),
        ];
        settings
            .into_iter()
            .filter_map(|(variable, option, value)| Some((variable, option, value?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
