//! `completions`, and `dist`, which `make dist` calls: completions for all shells, and man pages.

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::args::{Args, Completions, Dist};
use crate::output::{Error, Exit};

const NAME: &str = "redeploy-on-rotation";

pub(crate) fn completions(completions: &Completions) -> Exit {
    let (shell, mut stdout) = (completions.shell, std::io::stdout());
    clap_complete::generate(shell, &mut Args::command(), NAME, &mut stdout);
    Exit::Ok
}

pub(crate) fn run(dist: &Dist) -> Result<Exit, Error> {
    std::fs::create_dir_all(&dist.directory)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Args::command(), NAME, &dist.directory)?;
    }
    clap_mangen::generate_to(Args::command(), &dist.directory)?;
    Ok(Exit::Ok)
}
