//! Help, and what is said of a command that makes no sense.

use std::time::{Duration, Instant};

use crate::process::{bare, done};

#[test]
fn help_reads_well() {
    for command in [
        "",
        "plan",
        "audit",
        "redeploy",
        "wait",
        "history",
        "graph",
        "doctor",
        "completions",
    ] {
        let args: Vec<_> = [command, "--help"]
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .collect();
        let help = done(bare(&args));
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
        insta::assert_snapshot!(format!("help_{command}"), help.out);
    }
}

#[test]
fn help_comes_at_once() {
    let times = (0..10).map(|_| {
        let began = Instant::now();
        done(bare(&["--help"]));
        began.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[test]
fn wrong_usage_is_an_error_and_not_something_to_do() {
    let cases: [&[&str]; 10] = [
        &["plam", "prod/db"],
        &["plan"],
        &["plan", "prod/db", "--event", "event.json"],
        &["redeploy"],
        &["redeploy", "prod/db", "--stale"],
        &["redeploy", "prod/db", "--max-in-flight", "2"],
        &["redeploy", "prod/db", "--wait", "--max-in-flight", "0"],
        &["audit", "--output", "yaml"],
        &["audit", "--older-than", "soon"],
        &["plan", "prod/db", "--offline"],
    ];
    let mut texts = Vec::new();
    for args in cases {
        let wrong = done(bare(args));
        assert_eq!((wrong.code, wrong.out.as_str()), (Some(1), ""), "{args:?}");
        texts.push(format!(
            "$ redeploy-on-rotation {}\n{}",
            args.join(" "),
            wrong.err
        ));
    }
    insta::assert_snapshot!(texts.join("\n"));
}
