//! `audit`: the tasks decide.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, skip};
use crate::process::run;
use crate::simulation::account::FakeAws;

/// Two services of two tasks, an hour after `prod/db` changed.
fn stale() -> (FakeAws, String) {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(3));
    let db = world.make_secret("prod/db");
    let mail = world.make_secret("prod/mail");
    let api = world.make_service("api", &db);
    world.make_service("worker", &mail);
    skip(&mut world, 7200);
    world.put_value("prod/db");
    skip(&mut world, 3600);
    (world, api)
}

/// What `audit` says about `api`, and how it ends.
fn audit(endpoint: &Endpoint, args: &[&str]) -> (Value, Option<i32>) {
    let args = [&["audit", "-o", "json"], args].concat();
    let done = run(&endpoint.url, &args);
    let json = done.json();
    let mut users = json["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|secret| {
            let users = secret["users"].as_array().unwrap();
            users.iter().cloned()
        });
    let api = users.find(|user| user["name"].as_str().unwrap().ends_with("/api"));
    (api.unwrap_or_default(), done.code)
}

#[test]
fn a_rollout_is_rolling_until_its_last_old_task_is_gone() {
    let (world, api) = stale();
    let endpoint = Endpoint::start(world);
    let (before, code) = audit(&endpoint, &[]);
    assert_eq!((&before["state"], code), (&json!("stale"), Some(2)));
    assert_eq!(before["oldTasks"]["count"], 2);
    {
        let mut world = endpoint.wire.account();
        let service = world.services.get_mut(&api).unwrap();
        service.takes = Duration::from_secs(60);
        let definition = service.deployments[0].task_definition.clone();
        world.deploy(&api, &definition);
        skip(&mut world, 45);
    }
    let (during, code) = audit(&endpoint, &["prod/db"]);
    assert_eq!(
        (&during["state"], code),
        (&json!("rolling"), Some(2)),
        "{during}"
    );
    assert_eq!(during["oldTasks"]["count"], 1, "{during}");
    let of_before = during["oldTasks"]["startedBy"].as_array().unwrap();
    assert_eq!(
        of_before,
        before["oldTasks"]["startedBy"].as_array().unwrap()
    );
    skip(&mut endpoint.wire.account(), 120);
    let (after, code) = audit(&endpoint, &[]);
    assert_eq!(
        (&after["state"], code),
        (&json!("current"), Some(0)),
        "{after}"
    );
}

#[test]
fn tasks_that_started_since_the_change_are_current_whatever_their_deployment() {
    let (mut world, api) = stale();
    world.scale(&api, 0);
    skip(&mut world, 60);
    world.scale(&api, 2);
    skip(&mut world, 60);
    let (scaled, code) = audit(&Endpoint::start(world), &[]);
    assert_eq!(
        (&scaled["state"], code),
        (&json!("current"), Some(0)),
        "{scaled}"
    );
}

#[test]
fn it_may_be_about_some_only_and_about_what_is_old_for_long() {
    let (world, _) = stale();
    let endpoint = Endpoint::start(world);
    for (args, code) in [
        (&["prod/db"] as &[&str], 2),
        (&["prod/api"], 2),
        (&["prod/mail"], 0),
        (&["prod/worker"], 0),
        (&["--older-than", "30m"], 2),
        (&["--older-than", "2h"], 0),
    ] {
        let (_, is) = audit(&endpoint, args);
        assert_eq!(is, Some(code), "{args:?}");
    }
    let unknown = run(&endpoint.url, &["audit", "prod/bd"]);
    let expected =
        "error: nothing in scope is, or runs with, \"prod/bd\"\n  the nearest names: prod/db";
    assert!(unknown.err.starts_with(expected), "{}", unknown.text());
    let page = run(&endpoint.url, &["audit", "-o", "markdown"]);
    assert!(page.out.contains("| SECRET "), "{}", page.text());
    assert!(page.out.contains("\n- `stale`: "), "{}", page.text());
}
