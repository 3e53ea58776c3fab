//! Names that complete in the shell.

use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::process::{Finished, bare, command, done};
use crate::simulation::account::{FakeAws, Fault};

fn world() -> FakeAws {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    let db = world.make_secret("prod/db");
    world.make_secret("staging/db");
    world.put_parameter("/prod/limit");
    world.make_service("api", &db);
    world
}

/// What the shell is told of the last of these words.
fn complete(mut command: std::process::Command, words: &[&str]) -> Finished {
    let index = words.len().to_string();
    command
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", index)
        .args(["--", "redeploy-on-rotation"])
        .args(words);
    done(command)
}

#[test]
fn names_complete_that_begin_as_typed() {
    let endpoint = Endpoint::start(world());
    for (words, expected) in [
        (&["plan", "prod/"] as &[&str], "prod/db"),
        (&["plan", "/pr"], "/prod/limit"),
        (&["audit", "prod/"], "prod/api\nprod/db"),
        (&["redeploy", "--service", "p"], "prod/"),
        (&["redeploy", "--service", "prod/"], "prod/api"),
        (&["audit", "--cluster", "p"], "prod"),
        (&["doctor", "prod/"], "prod/api"),
        (&["plan", "arn:"], ""),
    ] {
        let said = complete(command(&endpoint.url, &[]), words);
        assert_eq!(
            (said.code, said.out.as_str(), said.err.as_str()),
            (Some(0), expected, ""),
            "{words:?}"
        );
    }
}

#[test]
fn nobody_waits_for_a_name() {
    let mut world = world();
    world.fail_next("ListSecrets", &[Fault::Silence; 8]);
    world.fail_next("DescribeParameters", &[Fault::Silence; 8]);
    world.fail_next("ListServices", &[Fault::Silence; 8]);
    let endpoint = Endpoint::start(world);
    let began = Instant::now();
    let silent = complete(command(&endpoint.url, &[]), &["audit", "prod/"]);
    assert_eq!(silent.text(), "[exit 0]");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let signed_out = complete(bare(&[]), &["plan", "prod/"]);
    assert_eq!(signed_out.text(), "[exit 0]");
}

#[test]
fn a_shell_is_told_to_ask_the_program() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = done(bare(&["completions", shell]));
        assert!(said.out.contains("COMPLETE"), "{}", said.text());
        assert_eq!(said.code, Some(0));
    }
}
