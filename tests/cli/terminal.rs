//! What happens on a terminal: the question, the progress, Ctrl-C.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use crate::endpoint::{Endpoint, skip};
use crate::process::{command, run};
use crate::simulation::account::FakeAws;

/// Services of which each is stale since half an hour.
fn stale(names: &[&str]) -> Endpoint {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(2));
    let db = world.make_secret("prod/db");
    for name in names {
        world.make_service(name, &db);
    }
    skip(&mut world, 5400);
    world.put_value("prod/db");
    skip(&mut world, 1800);
    Endpoint::start(world)
}

fn on_a_terminal(endpoint: &Endpoint, args: &[&str]) -> PtySession {
    spawn_command(command(&endpoint.url, args), Some(20_000)).unwrap()
}

fn code(session: &PtySession) -> i32 {
    match session.process().wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

fn redeploys(endpoint: &Endpoint) -> usize {
    endpoint.wire.account().redeploys.len()
}

#[test]
fn the_question_is_asked_on_a_terminal_and_no_means_no() {
    for (answer, redeployed, expected) in [("n", 0, 1), ("", 0, 1), ("yes", 1, 0), ("y", 1, 0)] {
        let endpoint = stale(&["api"]);
        let mut session = on_a_terminal(&endpoint, &["redeploy", "--stale"]);
        session
            .exp_string("Redeploy 1 service in eu-west-1 of account 123456789012? [y/N]")
            .unwrap();
        assert_eq!(redeploys(&endpoint), 0);
        session.send_line(answer).unwrap();
        session.exp_eof().unwrap();
        assert_eq!(
            (code(&session), redeploys(&endpoint)),
            (expected, redeployed),
            "{answer:?}"
        );
    }
}

#[test]
fn the_question_says_how_many_services_do_not_need_it() {
    let endpoint = stale(&["api", "web"]);
    let arn = endpoint
        .wire
        .account()
        .services
        .keys()
        .next()
        .unwrap()
        .clone();
    {
        let mut world = endpoint.wire.account();
        let definition = world.services[&arn].deployments[0].task_definition.clone();
        world.deploy(&arn, &definition);
        skip(&mut world, 900);
    }
    for args in [
        &["redeploy", "prod/db"] as &[&str],
        &["redeploy", "--service", "prod/api", "--service", "prod/web"],
    ] {
        let mut session = on_a_terminal(&endpoint, args);
        session
            .exp_string("of account 123456789012 (already fresh: 1 of 2)? [y/N]")
            .unwrap();
        session.send_line("n").unwrap();
        session.exp_eof().unwrap();
    }
}

#[test]
fn without_a_terminal_nothing_is_changed_unless_yes_was_said() {
    let endpoint = stale(&["api"]);
    let refused = run(&endpoint.url, &["redeploy", "--stale"]);
    assert_eq!((refused.code, redeploys(&endpoint)), (Some(1), 0));
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    let yes = run(&endpoint.url, &["redeploy", "--stale", "--yes", "--wait"]);
    assert_eq!(
        (yes.code, redeploys(&endpoint), yes.err.as_str()),
        (Some(0), 1, ""),
        "silent when not a terminal"
    );
    assert!(!yes.out.contains('\x1b'), "{}", yes.out);
}

#[test]
fn a_rollout_is_followed_that_reads_do_not_show_yet() {
    let endpoint = stale(&["api"]);
    endpoint.wire.account().read_lag = Duration::from_secs(2);
    let done = run(&endpoint.url, &["redeploy", "--stale", "--yes", "--wait"]);
    assert_eq!(
        (done.code, redeploys(&endpoint)),
        (Some(0), 1),
        "{}",
        done.text()
    );
    assert!(done.out.contains("completed"), "{}", done.text());
}

#[test]
fn ctrl_c_starts_nothing_more_and_says_what_was_started() {
    let endpoint = stale(&["api", "web", "worker"]);
    endpoint.mood.lock().unwrap().rollouts = vec!["IN_PROGRESS"];
    let began = Instant::now();
    let mut session = on_a_terminal(
        &endpoint,
        &[
            "redeploy",
            "--stale",
            "--yes",
            "--wait",
            "--max-in-flight",
            "2",
        ],
    );
    session.exp_regex("reading|signing in|redeploying").unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "progress after {:?}",
        began.elapsed()
    );
    session
        .exp_string("prod/web: 2/2 new, 0 old; replacing tasks")
        .unwrap();
    session.send_control('c').unwrap();
    session
        .exp_string("interrupted; started and still under way: prod/api, prod/web; not started: 1")
        .unwrap();
    session.exp_eof().unwrap();
    assert_eq!((code(&session), redeploys(&endpoint)), (130, 2));
}

#[test]
fn when_a_rollout_fails_no_other_is_started() {
    let endpoint = stale(&["api", "web", "worker"]);
    endpoint.mood.lock().unwrap().rollouts = vec!["COMPLETED", "FAILED", "COMPLETED"];
    let args = [
        "redeploy",
        "--stale",
        "--yes",
        "--wait",
        "--timeout",
        "30s",
        "--max-in-flight",
        "1",
        "--output",
        "json",
    ];
    let done = run(&endpoint.url, &args);
    assert_eq!(
        (done.code, redeploys(&endpoint)),
        (Some(1), 2),
        "{}",
        done.text()
    );
    let json = done.json();
    let services = json["services"].as_array().unwrap().iter();
    let mut rollouts: Vec<_> = services
        .map(|s| {
            (
                s["service"].as_str().unwrap().rsplit('/').next().unwrap(),
                s["rollout"].as_str().unwrap(),
                s["value"].as_str().unwrap(),
            )
        })
        .collect();
    rollouts.sort_unstable();
    assert_eq!(
        rollouts,
        [
            ("api", "completed", "new"),
            ("web", "failed", "old"),
            ("worker", "not-started", "old")
        ]
    );
    assert!(
        done.err
            .contains("stopped after the failure; not started: 1"),
        "{}",
        done.err
    );
}

/// What is said of a rollout of ours when something else happens to the service meanwhile.
fn meanwhile(happens: impl FnOnce(&mut FakeAws, &str)) -> serde_json::Value {
    let endpoint = stale(&["api"]);
    endpoint.mood.lock().unwrap().rollouts = vec!["IN_PROGRESS"];
    let args = ["redeploy", "--stale", "--yes", "--wait", "--output", "json"];
    let followed = std::thread::scope(|scope| {
        let command = scope.spawn(|| run(&endpoint.url, &args));
        while redeploys(&endpoint) == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(1500));
        let mut world = endpoint.wire.account();
        let arn = world.services.keys().next().unwrap().clone();
        happens(&mut world, &arn);
        drop(world);
        command.join().unwrap()
    });
    assert_eq!(redeploys(&endpoint), 1, "{}", followed.text());
    let mut service = followed.json()["services"][0].clone();
    service["code"] = followed.code.into();
    service
}

#[test]
fn a_newer_deployment_is_followed_instead_and_a_roll_back_is_a_failure() {
    let newer = meanwhile(|world, arn| {
        let definition = world.services[arn].deployments[0].task_definition.clone();
        world.deploy(arn, &definition);
    });
    assert_eq!(
        (&newer["rollout"], &newer["value"], &newer["code"]),
        (&"completed".into(), &"new".into(), &0.into())
    );
    let back = meanwhile(|world, arn| world.roll_back(arn));
    assert_eq!(
        (&back["rollout"], &back["code"]),
        (&"failed".into(), &1.into())
    );
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let endpoint = stale(&["api"]);
    let plain = |args: &[&str]| !run(&endpoint.url, args).out.contains('\x1b');
    assert!(plain(&["audit"]));
    assert!(!plain(&["audit", "--color", "always"]));
    let mut session = on_a_terminal(&endpoint, &["audit"]);
    assert!(session.exp_eof().unwrap().contains("\x1b[3"));
    let mut no_color = command(&endpoint.url, &["audit"]);
    no_color.env("NO_COLOR", "1");
    let mut session = spawn_command(no_color, Some(20_000)).unwrap();
    let shown = session.exp_eof().unwrap();
    assert!(!shown.contains("\x1b[3"), "{shown:?}");
}
