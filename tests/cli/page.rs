//! The page of `graph`, as it is written; `.ci/page` opens it in a browser.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::endpoint::{Endpoint, skip};
use crate::process::run;
use crate::simulation::account::FakeAws;

#[test]
fn the_page_of_two_hundred_services_needs_nothing_but_itself() {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(2));
    world.quotas.unlimited = true;
    let teams = [
        "catalog", "identity", "mail", "orders", "payments", "pricing", "search", "shipping",
    ];
    let secrets: Vec<_> = teams
        .iter()
        .map(|team| world.make_secret(&format!("prod/{team}/database")))
        .collect();
    for n in 0..200 {
        world.make_service(&format!("{}-{n}", teams[n % 8]), &secrets[n % 8]);
    }
    skip(&mut world, 3600);
    world.put_value("prod/orders/database");
    skip(&mut world, 3600);
    let endpoint = Endpoint::start(world);
    let graph = run(&endpoint.url, &["graph", "--output", "html"]);
    assert_eq!((graph.code, graph.err.as_str()), (Some(0), ""));
    for reach in ["src=", "href=", "url(", "fetch(", "import "] {
        assert!(
            !graph.out.contains(reach),
            "the page reaches out by {reach}"
        );
    }
    let json = run(&endpoint.url, &["graph", "--output", "json"]).json();
    assert_eq!(json["services"].as_array().unwrap().len(), 200);
    let stale = json["services"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|service| service["state"] == "stale")
        .count();
    assert_eq!(stale, 25);
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("graph.html"),
        graph.out,
    )
    .unwrap();
}
