//! `audit`: the tasks decide.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, skip};
use crate::process::{command, done, run};
use crate::simulation::account::{FakeAws, Fault};

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

/// The same, in the middle of a rollout of `api`.
fn rolling() -> FakeAws {
    let (mut world, api) = stale();
    let service = world.services.get_mut(&api).unwrap();
    service.takes = Duration::from_secs(60);
    let definition = service.deployments[0].task_definition.clone();
    world.deploy(&api, &definition);
    skip(&mut world, 45);
    world
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

#[test]
fn a_new_description_does_not_make_what_is_stale_younger() {
    let (mut world, _) = stale();
    world.describe("prod/db");
    skip(&mut world, 60);
    let (api, code) = audit(&Endpoint::start(world), &["--older-than", "30m"]);
    assert_eq!((&api["state"], code), (&json!("stale"), Some(2)), "{api}");
}

#[test]
fn what_redeploy_secrets_leaves_out_is_exempt() {
    let (world, _) = stale();
    let endpoint = Endpoint::start(world);
    let mut audit = command(&endpoint.url, &["audit", "-o", "json"]);
    audit.env("REDEPLOY_SECRETS", "!prod/db");
    let done = done(audit);
    let json = done.json();
    assert_eq!(
        (&json["exempt"], &json["current"], &json["stale"], done.code),
        (&json!(1), &json!(1), &json!(0), Some(0)),
        "{}",
        done.text()
    );
    let users = json["secrets"].as_array().unwrap().iter();
    let mut users = users.flat_map(|secret| secret["users"].as_array().unwrap());
    let api = users.find(|user| user["name"].as_str().unwrap().ends_with("/api"));
    assert_eq!(api.unwrap()["reason"], "secret-ignored");
}

#[test]
fn a_graph_shows_what_is_rolling() {
    let endpoint = Endpoint::start(rolling());
    let graph = run(&endpoint.url, &["graph", "-o", "json"]).json();
    let services = graph["services"].as_array().unwrap().iter();
    let states: Vec<_> = services.map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["rolling", "current"], "{graph}");
    let text = run(&endpoint.url, &["audit"]);
    assert!(!text.out.contains("already-fresh"), "{}", text.text());
    assert!(
        text.out.contains("rolling  deployed since the change"),
        "{}",
        text.text()
    );
}

#[test]
fn old_tasks_of_which_nobody_knows_what_they_hold_are_unknown() {
    let mut world = rolling();
    let denied = Fault::Refused("AccessDeniedException");
    world.fail_next("ListSecretVersionIds", &[denied; 8]);
    world.fail_next("LookupEvents", &[denied; 8]);
    let (said, _) = audit(&Endpoint::start(world), &[]);
    assert_eq!(said["state"], "unknown", "{said}");
    assert_eq!(said["reason"], "unknown", "{said}");
}

#[test]
fn what_is_stale_by_one_secret_is_examined_for_the_others_too() {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(3));
    let [db, _] = ["prod/db", "prod/mail"].map(|name| world.make_secret(name));
    let api = world.make_service("api", &db);
    world.tag(&api, "prod/mail");
    skip(&mut world, 3600);
    world.put_value("prod/db");
    world.put_value("prod/mail");
    skip(&mut world, 1800);
    let definition = world.services[&api].deployments[0].task_definition.clone();
    world.deploy(&api, &definition);
    skip(&mut world, 1800);
    // Its description changed, so that its last change is no bound.
    world.describe("prod/mail");
    world.put_value("prod/db");
    skip(&mut world, 1800);
    let endpoint = Endpoint::start(world);
    let mut command = command(&endpoint.url, &["audit", "prod/mail", "-o", "json"]);
    command.env("REDEPLOY_LOOKUP", "scan,tags");
    let done = done(command);
    let json = done.json();
    assert_eq!(json["secrets"][0]["users"][0]["state"], "current", "{json}");
    assert_eq!(done.code, Some(0));
}

#[test]
fn as_evidence_it_says_of_where_and_when_it_is() {
    let (mut world, _) = stale();
    world
        .clusters
        .push("arn:aws:ecs:eu-west-1:123456789012:cluster/other".to_owned());
    let denied = Fault::Refused("AccessDeniedException");
    world.fail_next("ListServices", &[denied; 8]);
    let page = run(&Endpoint::start(world).url, &["audit", "-o", "markdown"]);
    let head = "eu-west-1 of account 123456789012 at 20";
    assert!(page.out.starts_with(head), "{}", page.text());
    assert!(page.out.contains(" was not examined: "), "{}", page.text());
}

#[test]
fn what_only_exempt_services_read_is_no_unknown_name() {
    let (mut world, api) = stale();
    world.tag(&api, "ignore");
    let done = run(&Endpoint::start(world).url, &["audit", "prod/db"]);
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(0), ""),
        "{}",
        done.text()
    );
}
