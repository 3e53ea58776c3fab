//! `--function` and `history`: the function's settings and its log.

use jiff::{SignedDuration, Timestamp};
use redeploy_core::config::Config;
use redeploy_core::emf::LogContext;
use redeploy_core::event;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::run::run as handle;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, skip};
use crate::process::run;
use crate::simulation::account::FakeAws;

fn stale() -> (FakeAws, Value) {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_hours(2));
    let db = world.make_secret("prod/db");
    world.make_service("api", &db);
    world.make_service("web", &db);
    skip(&mut world, 3600);
    world.put_value("prod/db");
    let event = world.events.last().unwrap().1.clone();
    skip(&mut world, 3600);
    (world, event)
}

#[test]
fn it_looks_as_the_function_does() {
    let (world, _) = stale();
    let endpoint = Endpoint::start(world);
    let audit = |args: &[&str]| run(&endpoint.url, &[&["audit"], args].concat());
    let as_it = ["--function", "redeployer"];
    let unknown = audit(&as_it);
    let expected =
        "error: there is no function \"redeployer\" in eu-west-1 of account 123456789012\n";
    assert!(unknown.err.starts_with(expected), "{}", unknown.text());
    let set = |variables| endpoint.mood.lock().unwrap().function = Some(variables);
    set(json!({"REDEPLOY_SETTLE_SECONDS": "3", "OTHER": "x"}));
    assert_eq!(audit(&as_it).code, Some(2));
    // Nothing is tagged, so that it sees nothing.
    set(json!({"REDEPLOY_LOOKUP": "tags"}));
    assert_eq!(audit(&[]).code, Some(2));
    assert_eq!(audit(&as_it).code, Some(0));
    // Its settings are not the defaults because they cannot be read.
    set(json!({"error": "Lambda was unable to decrypt the environment variables"}));
    let said = audit(&as_it);
    let expected = "error: lambda:GetFunctionConfiguration failed: Lambda does not give the environment of redeployer: \
                    AccessDeniedException: Lambda was unable";
    assert!(said.err.starts_with(expected), "{}", said.text());
    assert_eq!(said.code, Some(1));
    set(json!({"REDEPLOY_NEWER": "x"}));
    let said = audit(&as_it).err;
    let expected = "error: the function redeployer: REDEPLOY_NEWER is not a variable";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn its_history_is_what_it_logged() {
    let (world, event) = stale();
    let endpoint = Endpoint::start(world);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let ignored = json!({"source": "aws.ecs", "detail-type": "Something Else"});
    let lines = [event, ignored].map(|payload| {
        let report = runtime.block_on(async {
            let config = Config::from_vars([]).unwrap();
            let clock = Clock::new(Timestamp::now(), None);
            let trigger = event::parse(&payload).unwrap();
            handle(&endpoint.wire.clients_with(1e6), &config, trigger, &clock).await
        });
        report.log_line(&LogContext {
            timestamp: Timestamp::now(),
            request_id: "request",
            function_name: "redeployer",
            duration_ms: 1234,
        })
    });
    assert_eq!(endpoint.wire.account().redeploys.len(), 2);
    {
        let mut mood = endpoint.mood.lock().unwrap();
        mood.function = Some(json!({}));
        mood.log = lines.into();
    }
    let history = |args: &[&str]| {
        let base = ["history", "--function", "redeployer"];
        run(&endpoint.url, &[&base, args].concat())
    };
    let text = history(&[]);
    assert_eq!(text.code, Some(0), "{}", text.text());
    for name in [
        "prod/api",
        "prod/web",
        "redeployed",
        "put-secret-value",
        "prod/db",
        "ecs-svc/",
    ] {
        assert!(text.out.contains(name), "{}", text.text());
    }
    let all = history(&["-o", "json"]).json();
    assert_eq!(all["logGroup"], "/ours/redeployer");
    assert_eq!(
        (&all["invocations"][0]["durationMs"], &all["leftOut"]),
        (&json!(1234), &json!(1))
    );
    let of_one = history(&["prod/api", "-o", "json"]).json();
    assert_eq!(
        of_one["invocations"][0]["services"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let of_none = history(&["prod/other", "--since", "7d", "-o", "json"]).json();
    assert_eq!(of_none["invocations"], json!([]));
    let page = history(&["-o", "markdown"]);
    assert!(page.out.starts_with("| TIME "), "{}", page.text());
}

/// A line of the log.
fn line(more: &Value) -> String {
    let mut line = json!({
        "_aws": {"CloudWatchMetrics": [{"Namespace": "RedeployOnRotation"}]},
        "timestamp": "2026-11-26T00:00:00Z", "requestId": "r", "DurationMs": 5, "trigger": "sweep",
        "outcome": "nothing-to-do", "reason": "services: 2 skipped",
    });
    line.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    line.to_string()
}

#[test]
fn a_history_of_one_service_says_why_it_was_left_alone() {
    let arn = |name: &str| format!("arn:aws:ecs:eu-west-1:123456789012:service/prod/{name}");
    let db = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1b2c3";
    let service = |name: &str, reason: &str| json!({"service": arn(name), "action": "skipped", "reason": reason, "secrets": [db]});
    let both = [service("api", "opted-out"), service("web", "already-fresh")];
    let endpoint = Endpoint::start(FakeAws::at(Timestamp::now()));
    {
        let mut mood = endpoint.mood.lock().unwrap();
        mood.function = Some(json!({}));
        mood.log = vec![
            line(
                &json!({"rotations": [{"secret": db, "at": "x"}], "services": both, "servicesOmitted": 3}),
            ),
            line(
                &json!({"outcome": "ignored", "reason": "the secret prod/db is scheduled for deletion"}),
            ),
            line(&json!({"outcome": 7})),
        ];
    }
    let history = |args: &[&str]| {
        let base = ["history", "--function", "redeployer"];
        run(&endpoint.url, &[&base, args].concat())
    };
    let json = history(&["prod/api", "-o", "json"]).json();
    let services = json["invocations"][0]["services"].as_array().unwrap();
    assert_eq!(services.len(), 1, "{json}");
    let text = history(&["prod/api"]);
    assert!(text.out.contains("skipped  opted-out"), "{}", text.text());
    assert!(text.out.contains("no room for: 3"), "{}", text.text());
    let expected = "warning: lines of the log that are not reports as this version knows them: 1\n";
    assert_eq!((text.code, text.err.as_str()), (Some(0), expected));
    let of_the_secret = history(&["prod/db"]);
    assert!(
        of_the_secret.out.contains("scheduled for deletion"),
        "{}",
        of_the_secret.text()
    );
    endpoint.mood.lock().unwrap().function = Some(json!({"level": "WARN"}));
    let hidden = history(&[]);
    assert!(
        hidden.err.contains("the log level of the function hides"),
        "{}",
        hidden.text()
    );
}
