//! `dist`, which `make dist` calls: completions for the shells, and the man pages.

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::args::{Args, Dist};
use crate::output::{Error, Exit};

pub(crate) fn run(dist: &Dist) -> Result<Exit, Error> {
    std::fs::create_dir_all(&dist.directory)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(
            *shell,
            &mut Args::command(),
            "redeploy-on-rotation",
            &dist.directory,
        )?;
    }
    clap_mangen::generate_to(Args::command(), &dist.directory)?;
    Ok(Exit::Ok)
}
