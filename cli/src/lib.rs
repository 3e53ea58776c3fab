//! The command line: the function's own decisions for an operator.

#[expect(
    rustdoc::broken_intra_doc_links,
    reason = "these texts are the help, which has brackets of its own"
)]
mod args;
mod audit;
mod code_deploy;
mod complete;
mod connection;
mod dist;
pub mod doctor;
#[cfg(test)]
mod documents;
mod graph;
mod history;
mod names;
mod offline;
pub mod operator;
mod output;
mod plan;
mod preview;
mod redeploy;
mod rollout;
mod secrets;
mod wait;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;
use output::Exit;

/// Runs the command of the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    match complete::answer() {
        Ok(false) => {}
        Ok(true) => return Exit::Ok.into(),
        Err(error) => return output::Error::new(error.to_string()).print().into(),
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        // Wrong usage is an error like any other: 2 means that there is something to do.
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Error
            } else {
                Exit::Ok
            }
            .into();
        }
    };
    args.color.write_global();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&args)));
    match done {
        Ok(exit) => exit.into(),
        Err(error) => error.print().into(),
    }
}

async fn run(args: &Args) -> Result<Exit, output::Error> {
    match &args.command {
        Command::Plan(plan) => plan::run(plan).await,
        Command::Audit(audit) => audit::run(audit).await,
        Command::Redeploy(redeploy) => redeploy::run(redeploy).await,
        Command::Wait(wait) => wait::run(wait).await,
        Command::History(history) => history::run(history).await,
        Command::Graph(graph) => graph::run(graph).await,
        Command::Doctor(doctor) => doctor::command::run(doctor, &doctor.scope).await,
        Command::Completions(completions) => dist::completions(completions),
        Command::Dist(dist) => dist::run(dist),
    }
}
