//! What is said when AWS does not answer, or not as hoped.

use std::process::Command;

use serde_json::json;

use crate::endpoint::Endpoint;
use crate::process::{ROOT, bare, command, done, run};
use crate::simulation::account::{FakeAws, Fault};

fn world() -> FakeAws {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    let db = world.make_secret("prod/db");
    world.make_secret("prod/mail");
    world.make_secret("billing/api-key");
    world.make_service("api", &db);
    world
}

/// Says on one line what was done, and below it what came of it.
fn said(endpoint: &Endpoint, args: &[&str]) -> String {
    format!(
        "$ redeploy-on-rotation {}\n{}\n",
        args.join(" "),
        run(&endpoint.url, args).text()
    )
}

#[test]
fn a_secret_that_does_not_exist_is_named_with_the_nearest_names() {
    let endpoint = Endpoint::start(world());
    let said = [
        said(&endpoint, &["plan", "prod/bd"]),
        said(
            &endpoint,
            &["redeploy", "staging-database-password", "--yes"],
        ),
        said(&endpoint, &["graph", "prod/bd"]),
        said(&endpoint, &["redeploy", "--service", "prod/apy"]),
        said(&endpoint, &["redeploy", "--service", "api"]),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn the_account_is_named_only_where_it_is_known() {
    let endpoint = Endpoint::start(world());
    endpoint.mood.lock().unwrap().anonymous = true;
    let said = run(&endpoint.url, &["plan", "prod/bd"]);
    let expected = "error: there is no secret or parameter \"prod/bd\" in eu-west-1\n";
    assert!(said.err.starts_with(expected), "{}", said.text());
    let graph = run(&endpoint.url, &["graph", "--output", "json"]);
    assert_eq!(graph.json()["account"], json!(null));
}

#[test]
fn a_denied_action_is_named_with_the_statement_that_would_allow_it() {
    let denied = Fault::Refused("AccessDeniedException");
    let mut texts = Vec::new();
    for (operation, args) in [
        ("ListClusters", &["audit"] as &[&str]),
        ("DescribeSecret", &["plan", "prod/db"]),
        ("DescribeServices", &["plan", "prod/db"]),
        ("UpdateService", &["redeploy", "prod/db", "--yes"]),
    ] {
        let mut world = world();
        world.fail_next(operation, &[denied]);
        texts.push(said(&Endpoint::start(world), args));
    }
    insta::with_settings!({filters => vec![(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[the time, in UTC..]"), (r"ecs-svc/\d+", "[id]")]}, {
        insta::assert_snapshot!(texts.join("\n"));
    });
}

#[test]
fn without_a_way_in_the_reason_is_one_sentence() {
    let endpoint = Endpoint::start(world());
    endpoint.mood.lock().unwrap().expired = true;
    let signed_in = |mut command: Command| {
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test");
        done(command).text()
    };
    let texts = [
        done(bare(&["audit", "--region", "eu-west-1"])).text(),
        signed_in(bare(&["audit"])),
        run(&endpoint.url, &["audit", "--profile", "ops"]).text(),
        run(&endpoint.url, &["audit"]).text(),
        signed_in(bare(&[
            "audit",
            "--region",
            "eu-west-1",
            "--endpoint-url",
            "http://127.0.0.1:1",
        ])),
        signed_in(bare(&[
            "audit",
            "--region",
            "eu-west-1",
            "--endpoint-url",
            "",
        ])),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn a_setting_that_is_not_accepted_is_named_as_it_was_given() {
    let endpoint = Endpoint::start(world());
    let mut variable = command(&endpoint.url, &["audit"]);
    variable.env("REDEPLOY_LOOKUP", "everything");
    let texts = [
        run(&endpoint.url, &["audit", "--cluster", "a,,b"]).text(),
        done(variable).text(),
        run(&endpoint.url, &["plan", "--event", "no-such-file.json"]).text(),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn a_plan_is_of_one_event() {
    let endpoint = Endpoint::start(world());
    let sample =
        |name: &str| std::fs::read_to_string(format!("{ROOT}/events/{name}.json")).unwrap();
    let one = json!({"Records": [{"messageId": "1", "eventSource": "aws:sqs", "body": sample("rotation-failed")}]});
    let file = format!("{}/one-message.json", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&file, one.to_string()).unwrap();
    let texts = [
        run(&endpoint.url, &["plan", "--event", "events/sqs-batch.json"]).text(),
        run(&endpoint.url, &["plan", "--event", &file])
            .text()
            .replace(&file, "one-message.json"),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn what_keeps_a_redeployment_from_being_made_is_said() {
    let endpoint = Endpoint::start(world());
    let args = ["redeploy", "--service", "prod/api", "--yes"];
    let with = |name, value| {
        let mut command = command(&endpoint.url, &args);
        command.env(name, value);
        done(command)
    };
    let dry = with("REDEPLOY_DRY_RUN", "true");
    let expected = "warning: REDEPLOY_DRY_RUN is true, so nothing is changed";
    assert!(dry.err.contains(expected), "{}", dry.text());
    assert_eq!(dry.code, Some(1), "it did not do what was asked");
    let out = with("REDEPLOY_DEFAULT", "ignore");
    let expected = "warning: prod/api: REDEPLOY_DEFAULT is ignore";
    assert!(out.err.starts_with(expected), "{}", out.text());
    assert_eq!(endpoint.wire.account().redeploys, []);
}

#[test]
fn what_to_paste_is_printed_only_for_services_that_need_it() {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    let db = world.make_secret("prod/db");
    for name in ["web", "batch"] {
        world.make_service(name, &db);
    }
    for service in world.services.values_mut() {
        service.controller = "CODE_DEPLOY";
    }
    let batch = world
        .services
        .keys()
        .find(|arn| arn.ends_with("/batch"))
        .unwrap()
        .clone();
    world.tag(&batch, "ignore");
    let endpoint = Endpoint::start(world);
    let plan = run(&endpoint.url, &["plan", "prod/db"]);
    assert!(
        plan.out.contains("prod/web is deployed by CodeDeploy"),
        "{}",
        plan.text()
    );
    assert!(
        plan.out.contains("\ninfo=$(aws deploy get-deployment"),
        "{}",
        plan.text()
    );
    assert!(
        !plan.out.contains("prod/batch is deployed"),
        "{}",
        plan.text()
    );
}
