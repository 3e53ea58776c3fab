//! How fast it is where AWS is not what it waits for.

use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::process::run;
use crate::simulation::account::FakeAws;

#[test]
fn a_plan_of_a_thousand_services_takes_less_than_three_seconds() {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    world.quotas.unlimited = true;
    let db = world.make_secret("prod/db");
    for n in 0..1000 {
        world.make_service(&format!("api-{n:04}"), &db);
    }
    let endpoint = Endpoint::start(world);
    let began = Instant::now();
    let done = run(&endpoint.url, &["plan", "prod/db", "--output", "json"]);
    let took = began.elapsed();
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(done.json()["services"].as_array().unwrap().len(), 1000);
    println!(
        "planned 1,000 services in {took:?}, with {} calls",
        endpoint.wire.account().calls.len()
    );
    assert!(took < Duration::from_secs(3), "{took:?}");
}
