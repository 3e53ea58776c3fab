//! `completions`, which complete names as well, and `dist`, which `make dist` calls: completions of
//! the arguments alone for all shells, and man pages.

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::args::{Args, Completions, Dist};
use crate::output::{Error, Exit};

const NAME: &str = "redeploy-on-rotation";

/// Prints what makes a shell ask the program itself for what completes.
pub(crate) fn completions(completions: &Completions) -> Result<Exit, Error> {
    let shells = Shells::builtins();
    if let Some(shell) = shells.completer(&completions.shell.to_string()) {
        let mut stdout = std::io::stdout();
        shell.write_registration("COMPLETE", NAME, NAME, NAME, &mut stdout)?;
    }
    Ok(Exit::Ok)
}

pub(crate) fn run(dist: &Dist) -> Result<Exit, Error> {
    std::fs::create_dir_all(&dist.directory)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut Args::command(), NAME, &dist.directory)?;
    }
    clap_mangen::generate_to(Args::command(), &dist.directory)?;
    Ok(Exit::Ok)
}
