//! Waits: they end, and tell the truth.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, skip};
use crate::process::{command, done, run};
use crate::simulation::account::{FakeAws, Fault};

/// Services that are stale since half an hour, and take this long to replace their tasks.
fn stale_services<const N: usize>(names: [&str; N], takes: u64) -> (FakeAws, [String; N]) {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(2));
    let db = world.make_secret("prod/db");
    let arns = names.map(|name| world.make_service(name, &db));
    skip(&mut world, 5400);
    world.put_value("prod/db");
    skip(&mut world, 1800);
    for service in world.services.values_mut() {
        service.takes = Duration::from_secs(takes);
    }
    (world, arns)
}

/// One such service.
fn stale(takes: u64) -> (FakeAws, String) {
    let (world, [api]) = stale_services(["api"], takes);
    (world, api)
}

fn deploy(world: &mut FakeAws, arn: &str) {
    let definition = world.services[arn].deployments[0].task_definition.clone();
    world.deploy(arn, &definition);
}

/// What is said of the only service, and how it ends.
fn service(endpoint: &Endpoint, args: &[&str]) -> (Value, Option<i32>) {
    let done = run(&endpoint.url, &[args, &["-o", "json"]].concat());
    (done.json()["services"][0].clone(), done.code)
}

const REDEPLOY: [&str; 4] = ["redeploy", "--stale", "--yes", "--wait"];

/// What `redeploy` says of `api`, and how it ends, where this happens once its rollout has begun.
fn redeploy_while(endpoint: &Endpoint, happens: impl FnOnce(&mut FakeAws)) -> (Value, Option<i32>) {
    std::thread::scope(|scope| {
        let command = scope.spawn(|| service(endpoint, &REDEPLOY));
        while endpoint.wire.account().redeploys.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        happens(&mut endpoint.wire.account());
        command.join().unwrap()
    })
}

#[test]
fn tasks_that_never_start_are_not_waited_for_for_ever() {
    let (mut world, api) = stale(4);
    let definition = world.services[&api].deployments[0].task_definition.clone();
    world.bad_revisions.insert(definition);
    let endpoint = Endpoint::start(world);
    let began = Instant::now();
    let (said, code) = service(
        &endpoint,
        &[&REDEPLOY as &[&str], &["--timeout", "14s"]].concat(),
    );
    let took = began.elapsed().as_secs();
    assert!((14..22).contains(&took), "{took} s");
    assert_eq!(
        (&said["rollout"], code),
        (&json!("timed-out"), Some(1)),
        "{said}"
    );
    let why = said["error"].as_str().unwrap();
    assert!(
        why.starts_with("timed out after 14s: 0/2 new, 2 old, 1 failed to start"),
        "{why}"
    );
}

#[test]
fn without_a_circuit_breaker_tasks_that_keep_failing_are_a_verdict() {
    let (world, api) = stale(600);
    let endpoint = Endpoint::start(world);
    let (said, code) = redeploy_while(&endpoint, |world| {
        world.services.get_mut(&api).unwrap().deployments[0].failed_tasks = 3;
    });
    assert_eq!(
        (&said["rollout"], code),
        (&json!("failed"), Some(1)),
        "{said}"
    );
    let why = said["error"].as_str().unwrap();
    assert!(why.starts_with("3 tasks in a row failed to start"), "{why}");
}

#[test]
fn protected_tasks_keep_the_old_value_and_are_named() {
    let (mut world, api) = stale(4);
    world.protect_a_task(&api);
    let endpoint = Endpoint::start(world);
    let (said, code) = service(&endpoint, &REDEPLOY);
    assert_eq!(
        (&said["rollout"], &said["value"]),
        (&json!("completed"), &json!("old")),
        "{said}"
    );
    assert_eq!(code, Some(1));
    let tasks = said["protectedTasks"].as_array().unwrap();
    let world = endpoint.wire.account();
    let protected = world.services[&api]
        .running
        .iter()
        .find(|task| task.protected)
        .unwrap();
    let id = format!("{:032x}", protected.id);
    assert!(
        tasks.len() == 1 && tasks[0].as_str().unwrap().ends_with(&id),
        "{said}"
    );
}

#[test]
fn a_wait_follows_what_others_begin() {
    let (world, api) = stale(4);
    let endpoint = Endpoint::start(world);
    // Nobody begins anything.
    let (said, code) = service(&endpoint, &["wait", "prod/db", "--timeout", "3s"]);
    assert_eq!(
        (&said["rollout"], code),
        (&json!("timed-out"), Some(1)),
        "{said}"
    );
    let why = said["error"].as_str().unwrap();
    assert!(why.ends_with("waiting for a rollout to begin"), "{why}");
    let (said, code) = std::thread::scope(|scope| {
        let command = scope.spawn(|| service(&endpoint, &["wait", "prod/db"]));
        std::thread::sleep(Duration::from_secs(2));
        deploy(&mut endpoint.wire.account(), &api);
        command.join().unwrap()
    });
    assert_eq!(
        (&said["rollout"], &said["value"]),
        (&json!("completed"), &json!("new")),
        "{said}"
    );
    assert_eq!(code, Some(0));
    let after = run(&endpoint.url, &["wait"]);
    assert_eq!(
        (after.code, after.out.as_str()),
        (Some(0), ""),
        "{}",
        after.text()
    );
    assert_eq!(
        after.err,
        "nothing is under way, and nothing is known to be on an old value\n"
    );
}

#[test]
fn a_rollout_that_is_over_between_two_looks_was_followed_as_well() {
    let (world, api) = stale(0);
    let endpoint = Endpoint::start(world);
    let (said, code) = std::thread::scope(|scope| {
        let command = scope.spawn(|| service(&endpoint, &["wait", "prod/api"]));
        std::thread::sleep(Duration::from_secs(2));
        deploy(&mut endpoint.wire.account(), &api);
        command.join().unwrap()
    });
    assert_eq!(
        (&said["rollout"], &said["value"], code),
        (&json!("completed"), &json!("new"), Some(0)),
        "{said}"
    );
}

#[test]
fn a_redeploy_follows_what_is_under_way_and_begins_nothing_beside_it() {
    let (mut world, api) = stale(6);
    deploy(&mut world, &api);
    let endpoint = Endpoint::start(world);
    let (said, code) = service(&endpoint, &REDEPLOY);
    assert_eq!(
        (&said["rollout"], &said["value"]),
        (&json!("completed"), &json!("new")),
        "{said}"
    );
    assert_eq!(
        (code, endpoint.wire.account().redeploys.len()),
        (Some(0), 0)
    );
}

#[test]
fn what_is_stale_and_blocked_is_an_error() {
    let (mut world, api) = stale(4);
    world.services.get_mut(&api).unwrap().controller = "EXTERNAL";
    let endpoint = Endpoint::start(world);
    for args in [&["redeploy", "--stale", "--yes"] as &[&str], &["wait"]] {
        let done = run(&endpoint.url, args);
        assert_eq!(done.code, Some(1), "{}", done.text());
    }
    assert_eq!(
        run(&endpoint.url, &["redeploy", "--stale", "--dry-run"]).code,
        Some(0)
    );
}

#[test]
fn the_first_service_goes_first_and_the_plan_says_so() {
    let (mut world, [api, web]) = stale_services(["api", "web"], 3);
    world.tag(&web, "first");
    let endpoint = Endpoint::start(world);
    let plan = run(&endpoint.url, &["redeploy", "--stale", "--dry-run"]);
    assert!(plan.out.contains("waiting-for-first"), "{}", plan.text());
    let after = "! what is waiting-for-first goes after prod/web";
    assert!(plan.out.contains(after), "{}", plan.text());
    let done = run(&endpoint.url, &REDEPLOY);
    assert_eq!(done.code, Some(0), "{}", done.text());
    let world = endpoint.wire.account();
    let order: Vec<_> = world.redeploys.iter().map(|(_, arn)| arn.clone()).collect();
    assert_eq!(order, [web, api]);
    let apart = world.redeploys[1].0.duration_since(world.redeploys[0].0);
    assert!(apart >= SignedDuration::from_secs(3), "{apart}");
}

/// Redeploys two services, one at a time. While the second queues, this happens, and this becomes of
/// it: a rollout and a reason.
fn while_one_queues(
    settings: &[(&str, &str)],
    becomes: [&str; 2],
    happens: impl FnOnce(&mut FakeAws, &str),
) {
    let (mut world, services) = stale_services(["api", "web"], 7);
    world.calendars.insert("freeze".to_owned(), Vec::new());
    let endpoint = Endpoint::start(world);
    let done = std::thread::scope(|scope| {
        let command = scope.spawn(|| {
            let mut command = command(&endpoint.url, &REDEPLOY);
            let limits = ["--max-in-flight", "1", "--timeout", "20s", "-o", "json"];
            command.envs(settings.iter().copied()).args(limits);
            done(command)
        });
        while endpoint.wire.account().redeploys.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut world = endpoint.wire.account();
        let begun = world.redeploys[0].1.clone();
        let queued = services.iter().find(|service| **service != begun);
        happens(&mut world, queued.unwrap());
        drop(world);
        command.join().unwrap()
    });
    assert_eq!(endpoint.wire.account().redeploys.len(), 1);
    assert_eq!(done.code, Some(1), "{}", done.text());
    let services = done.json();
    let services = services["services"].as_array().unwrap().iter();
    let became: Vec<_> = services.map(|s| [&s["rollout"], &s["reason"]]).collect();
    for expected in [["completed", "stale"], becomes] {
        assert!(
            became.iter().any(|of_one| *of_one == expected),
            "{became:?}"
        );
    }
}

#[test]
fn what_queued_does_not_begin_in_a_freeze() {
    let calendars = [("REDEPLOY_CALENDARS", "freeze")];
    while_one_queues(&calendars, ["timed-out", "change-freeze"], |world, _| {
        let now = world.now();
        let closed = (now, now + SignedDuration::from_hours(1));
        world.calendars.insert("freeze".to_owned(), vec![closed]);
    });
}

#[test]
fn what_was_rolled_back_while_it_queued_does_not_begin() {
    while_one_queues(&[], ["blocked", "rolled-back"], |world, queued| {
        deploy(world, queued);
        world.roll_back(queued);
    });
}

#[test]
fn what_times_out_begins_nothing_more() {
    let (world, _) = stale_services(["api", "web"], 600);
    let endpoint = Endpoint::start(world);
    let limits = ["--max-in-flight", "1", "--timeout", "6s", "-o", "json"];
    let done = run(&endpoint.url, &[&REDEPLOY as &[&str], &limits].concat());
    assert_eq!(
        (done.code, endpoint.wire.account().redeploys.len()),
        (Some(1), 1),
        "{}",
        done.text()
    );
    let services = done.json();
    let rollouts = services["services"].as_array().unwrap().iter();
    let rollouts: Vec<_> = rollouts.map(|s| s["rollout"].as_str().unwrap()).collect();
    assert!(rollouts.contains(&"timed-out"), "{rollouts:?}");
}

#[test]
fn what_is_begun_by_others_at_its_turn_is_followed() {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(2));
    let db = world.make_secret("prod/db");
    let api = world.make_service("api", &db);
    skip(&mut world, 7198);
    world.put_value("prod/db");
    world.services.get_mut(&api).unwrap().takes = Duration::from_secs(4);
    let endpoint = Endpoint::start(world);
    let (said, code) = std::thread::scope(|scope| {
        let command = scope.spawn(|| {
            let mut command = command(&endpoint.url, &REDEPLOY);
            command
                .env("REDEPLOY_SETTLE_SECONDS", "6")
                .args(["-o", "json"]);
            let done = done(command);
            (done.json()["services"][0].clone(), done.code)
        });
        std::thread::sleep(Duration::from_secs(2));
        deploy(&mut endpoint.wire.account(), &api);
        command.join().unwrap()
    });
    assert_eq!(
        (&said["rollout"], &said["value"], code),
        (&json!("completed"), &json!("new"), Some(0)),
        "{said}"
    );
    assert_eq!(endpoint.wire.account().redeploys.len(), 0);
}

#[test]
fn a_read_that_is_throttled_ends_no_wait() {
    let (world, _) = stale(6);
    let endpoint = Endpoint::start(world);
    let (said, code) = redeploy_while(&endpoint, |world| {
        world.fail_next("DescribeServices", &[Fault::Throttled; 4]);
    });
    assert_eq!(
        (&said["rollout"], &said["value"], code),
        (&json!("completed"), &json!("new"), Some(0)),
        "{said}"
    );
    assert!(
        endpoint
            .wire
            .account()
            .faults
            .values()
            .all(|f| f.is_empty())
    );
}

#[test]
fn a_service_that_is_gone_was_not_rolled_back() {
    let (world, api) = stale(600);
    let endpoint = Endpoint::start(world);
    let (said, code) = redeploy_while(&endpoint, |world| {
        world.services.get_mut(&api).unwrap().status = "INACTIVE";
    });
    assert_eq!(
        (&said["rollout"], code),
        (&json!("failed"), Some(1)),
        "{said}"
    );
    let why = said["error"].as_str().unwrap();
    assert!(
        why.starts_with("the service is INACTIVE or DRAINING"),
        "{why}"
    );
}

#[test]
fn a_wait_does_not_call_current_what_is_only_left_alone() {
    let (mut world, api) = stale(4);
    world.tag(&api, "notify");
    let endpoint = Endpoint::start(world);
    let (said, code) = service(&endpoint, &["wait"]);
    assert_eq!(
        (&said["rollout"], &said["value"], code),
        (&json!("blocked"), &json!("old"), Some(1)),
        "{said}"
    );
}

#[test]
fn a_wait_for_a_name_fails_where_a_lookup_fails() {
    let (mut world, api) = stale(0);
    deploy(&mut world, &api);
    skip(&mut world, 900);
    let mail = world.make_secret("prod/mail");
    let web = world.make_service("web", &mail);
    world.hidden.insert(web);
    let done = run(&Endpoint::start(world).url, &["wait", "prod/db"]);
    assert_eq!(done.code, Some(1), "{}", done.text());
    assert!(done.err.contains("prod/web: "), "{}", done.text());
}

#[test]
fn what_could_not_be_read_does_not_keep_the_others_from_their_rollout() {
    for what in ["--stale", "prod/db"] {
        let (world, services) = stale_services(["api", "web"], 3);
        let endpoint = Endpoint::start(world);
        let mut command = command(&endpoint.url, &["redeploy", what, "--yes"]);
        command.env("REDEPLOY_LOOKUP", "scan,config");
        command.env(
            "REDEPLOY_MAPPING",
            r#"[{"secret":"prod/db","services":["prod/gone"]}]"#,
        );
        let done = done(command);
        assert_eq!(done.code, Some(1), "{}", done.text());
        let redeployed = endpoint.wire.account().redeploys.len();
        assert_eq!(redeployed, services.len(), "{}", done.text());
    }
}

#[test]
fn a_service_that_waits_is_not_done() {
    let (mut world, _) = stale(3);
    let begins = Timestamp::now() - SignedDuration::from_hours(1);
    let closed = (begins, begins + SignedDuration::from_hours(3));
    world.calendars.insert("freeze".to_owned(), vec![closed]);
    let endpoint = Endpoint::start(world);
    for (args, code) in [(&["--yes"] as &[&str], 1), (&["--dry-run"], 0)] {
        let mut command = command(&endpoint.url, &[&["redeploy", "--stale"], args].concat());
        command.env("REDEPLOY_CALENDARS", "freeze");
        let done = done(command);
        assert_eq!(done.code, Some(code), "{}", done.text());
    }
    assert_eq!(endpoint.wire.account().redeploys, []);
}
