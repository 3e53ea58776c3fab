//! The command line as a process, in an environment that has nothing of this machine's.

use std::process::{Command, Output};

/// The directory of the repository, in which every command is run.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What came of a command.
pub(crate) struct Finished {
    args: Vec<String>,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// All that a person would see.
    pub(crate) fn text(&self) -> String {
        let code = self
            .code
            .map_or("killed".to_owned(), |code| code.to_string());
        format!("{}{}[exit {code}]", self.out, self.err)
    }

    /// The document, which must be as its schema says.
    pub(crate) fn json(&self) -> serde_json::Value {
        let json = serde_json::from_str(&self.out);
        let json = json.unwrap_or_else(|error| panic!("{error}: {}", self.text()));
        let offline = self.args.iter().any(|arg| arg == "--offline");
        let names: &[&str] = match self.args[0].as_str() {
            "plan" if offline => &["event"],
            // Where nothing is redeployed, it is a plan.
            "redeploy" => &["redeploy", "plan"],
            name => &[name],
        };
        let problem = |name: &&str| {
            let path = format!("{ROOT}/docs/schemas/{name}.json");
            let schema = std::fs::read_to_string(path).unwrap();
            let schema = serde_json::from_str(&schema).unwrap();
            jsonschema::validate(&schema, &json)
                .err()
                .map(|error| error.to_string())
        };
        let problems: Vec<_> = names.iter().map_while(problem).collect();
        assert!(problems.len() < names.len(), "{problems:?} {}", self.out);
        json
    }
}

/// A command against this endpoint.
pub(crate) fn command(endpoint: &str, args: &[&str]) -> Command {
    let mut command = bare(args);
    command
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    // The clocks of the simulated AWS and of the emulators are exact, or near enough.
    command
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("REDEPLOY_SETTLE_SECONDS", "1");
    command
}

/// A command in an empty environment.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redeploy-on-rotation"));
    let home = env!("CARGO_TARGET_TMPDIR");
    command
        .env_clear()
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("TERM", "xterm")
        .current_dir(ROOT)
        .args(args);
    command
}

pub(crate) fn done(mut command: Command) -> Finished {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let args = command
        .get_args()
        .map(|arg| arg.to_str().unwrap().to_owned());
    Finished {
        args: args.collect(),
        code: status.code(),
        out: text(stdout),
        err: text(stderr),
    }
}

pub(crate) fn run(endpoint: &str, args: &[&str]) -> Finished {
    done(command(endpoint, args))
}
