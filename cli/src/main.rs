//! The command line `redeploy-on-rotation`.

use std::process::ExitCode;

fn main() -> ExitCode {
    redeploy_on_rotation_cli::main()
}
