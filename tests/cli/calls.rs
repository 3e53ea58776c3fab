//! What a person hears of the calls to AWS.

use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::process::run;
use crate::simulation::account::{FakeAws, Fault};

fn world() -> FakeAws {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    let db = world.make_secret("prod/db");
    world.make_service("api", &db);
    world
}

#[test]
fn each_call_is_printed_where_that_is_wanted() {
    let endpoint = Endpoint::start(world());
    let quiet = run(&endpoint.url, &["audit"]);
    assert_eq!(quiet.err, "");
    let said = run(&endpoint.url, &["audit", "-v"]);
    assert_eq!(said.out, quiet.out);
    for call in [
        "sts:GetCallerIdentity",
        "ecs:DescribeServices",
        "secretsmanager:DescribeSecret",
    ] {
        let expected = format!("{call} 200, request 7c1d, after ");
        assert!(said.err.contains(&expected), "{}", said.err);
    }
}

#[test]
fn what_is_waited_for_is_said_after_two_seconds() {
    let mut world = world();
    world.fail_next("ListClusters", &[Fault::Silence]);
    let done = run(&Endpoint::start(world).url, &["audit"]);
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(0), "waiting for ecs:ListClusters\n")
    );
}

#[test]
fn a_read_gives_up_before_a_person_does() {
    let mut world = world();
    world.fail_next("ListClusters", &[Fault::Throttled; 8]);
    let endpoint = Endpoint::start(world);
    let began = Instant::now();
    let done = run(&endpoint.url, &["audit"]);
    assert_eq!(done.code, Some(1), "{}", done.text());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(endpoint.wire.account().calls_of("ListClusters").len(), 4);
}
