//! Parameters by name, wherever a secret may be named.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::endpoint::{Endpoint, skip};
use crate::process::run;
use crate::simulation::account::{FakeAws, Fault};

const ARN: &str = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";

fn world() -> FakeAws {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(2));
    world.make_secret("prod/db");
    world.put_parameter("/app/limit");
    world.make_service("api", "/app/limit");
    skip(&mut world, 3600);
    world
}

#[test]
fn a_parameter_may_be_named_where_a_secret_may() {
    let endpoint = Endpoint::start(world());
    let plan = run(&endpoint.url, &["plan", "/app/limit", "--output", "json"]);
    let json = plan.json();
    assert_eq!(plan.code, Some(0), "{}", plan.text());
    assert_eq!(json["rotations"][0]["secret"], json!(ARN));
    assert_eq!(json["services"][0]["action"], json!("planned"));
    // It is as old as its task.
    for (args, code) in [
        (&["audit", "/app/limit"] as &[&str], 2),
        (&["wait", "/app/limit", "--timeout", "1s"], 1),
    ] {
        let done = run(&endpoint.url, args);
        assert_eq!(done.code, Some(code), "{}", done.text());
    }
    let graph = run(&endpoint.url, &["graph", "/app/limit", "--output", "json"]);
    assert_eq!(graph.json()["secrets"][0]["id"], json!(ARN));
    let args = ["redeploy", "/app/limit", "--yes", "--wait"];
    let done = run(&endpoint.url, &args);
    assert_eq!(done.code, Some(0), "{}", done.text());
    assert_eq!(endpoint.wire.account().redeploys.len(), 1);
}

#[test]
fn a_parameter_that_does_not_exist_is_named() {
    let endpoint = Endpoint::start(world());
    let said = run(&endpoint.url, &["plan", "/app/none"]);
    let expected = "error: there is no secret or parameter \"/app/none\" in eu-west-1 of account 123456789012\n";
    assert!(said.err.starts_with(expected), "{}", said.text());
}

#[test]
fn what_is_called_nearly_the_same_and_is_of_the_other_kind_is_named() {
    let endpoint = Endpoint::start(world());
    for (asked, there_is) in [
        ("app/limit", "  there is a parameter /app/limit\n"),
        ("/prod/db", "  there is a secret prod/db\n"),
    ] {
        let said = run(&endpoint.url, &["plan", asked]);
        assert!(said.err.ends_with(there_is), "{}", said.text());
    }
}

#[test]
fn a_parameter_needs_no_permission_for_secrets() {
    let mut world = world();
    world.fail_next("DescribeSecret", &[Fault::Refused("AccessDeniedException")]);
    let plan = run(&Endpoint::start(world).url, &["plan", "/app/limit"]);
    assert_eq!(plan.code, Some(0), "{}", plan.text());
}
