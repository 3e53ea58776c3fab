//! The real `bootstrap` process against emulators of AWS: run by name, `cargo test --test emulator`.
//!
//! Needs `.venv` as `make .venv` makes it. Everything listens on loopback and ends with its test.

#![expect(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "a test may panic, and is brief"
)]

mod agreement;
mod between;
mod care;
mod conformance;
mod emulator;
mod function;
#[path = "../conformance/mod.rs"]
#[expect(dead_code, reason = "the simulated AWS plays more rows")]
mod rows;
#[path = "../simulation/mod.rs"]
#[expect(dead_code, reason = "the model knows more than these tests use")]
mod simulation;

use std::time::Duration;

use aws_sdk_ecs::types::{ContainerDefinition, Secret, Tag};
use serde_json::{Value, json};

use emulator::{Account, Emulator, Program};
use function::{Answer, Function};

fn sample(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The native event of a change that the emulator just made.
fn label_updated(arn: &str, name: &str) -> Value {
    let mut event = sample("secret-label-updated");
    event["time"] =
        json!(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap());
    event["resources"] = json!([arn]);
    event["detail"]["name"] = json!(name);
    event
}

/// The CloudTrail event of the end of a rotation.
fn rotation_succeeded(arn: &str) -> Value {
    let mut event = sample("rotation-succeeded");
    event["detail"]["eventTime"] =
        json!(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap());
    event["detail"]["additionalEventData"]["SecretId"] = json!(arn);
    event
}

/// The CloudTrail event of a value stored by hand.
fn put_secret_value(name: &str) -> Value {
    let mut event = sample("put-secret-value-by-name");
    event["detail"]["eventTime"] =
        json!(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap());
    event["detail"]["responseElements"] = Value::Null;
    event["detail"]["requestParameters"]["secretId"] = json!(name);
    event
}

fn container(value_from: &str) -> ContainerDefinition {
    let secret = Secret::builder()
        .name("S")
        .value_from(value_from)
        .build()
        .unwrap();
    ContainerDefinition::builder()
        .name("app")
        .image("busybox")
        .memory(64)
        .secrets(secret)
        .build()
}

/// Whole seconds are all that an emulator's times have, so changes and deployments are kept apart.
async fn let_the_clock_move_on() {
    tokio::time::sleep(Duration::from_millis(2100)).await;
}

/// The settings of the tests: two seconds to settle are enough where time is counted in seconds.
const SETTLE: (&str, &str) = ("REDEPLOY_SETTLE_SECONDS", "2");

fn reasons(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| {
        value
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    report["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (text(&s["service"]), text(&s["reason"])))
        .collect()
}

/// S1 to S4, S9, S11: the same story on one emulator. Both emulators agree on it.
async fn a_rotation_is_followed_once(program: Program) {
    let emulator = Emulator::start(program).await;
    let account = emulator.account().await;
    let db = account.make_secret("prod/db").await;
    let mail = account.make_secret("prod/mail").await;
    account.make_cluster("prod").await;
    account
        .make_service("api", container(&format!("{db}:password::")), 1, None)
        .await;
    account
        .make_service("worker", container(&mail), 1, None)
        .await;
    account.make_service("idle", container(&db), 0, None).await;
    account
        .make_service("ignored", container(&db), 1, Some("ignore"))
        .await;
    let before = account.deployments().await;
    let_the_clock_move_on().await;

    let mut function = Function::start(&emulator, &[SETTLE]).await;
    account.put_value("prod/db").await;
    let native = label_updated(&db, "prod/db");
    let all = [
        native.clone(),
        put_secret_value("prod/db"),
        rotation_succeeded(&db),
        native,
    ];
    let report = function.invoke(&all[0]).await.report();
    assert_eq!(report["outcome"], "redeployed", "{report}");
    let after = account.deployments().await;
    let changed: Vec<_> = after
        .iter()
        .filter(|(name, id)| before[*name] != **id)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["api"]);
    let expected = [
        ("api", "stale"),
        ("idle", "nothing-running"),
        ("ignored", "opted-out"),
    ];
    assert_eq!(
        reasons(&report),
        expected.map(|(service, reason)| (service.to_owned(), reason.to_owned()))
    );
    for event in all {
        let report = function.invoke(&event).await.report();
        assert_eq!(report["outcome"], "nothing-to-do", "{event}: {report}");
    }
    // Nothing but the description changed.
    account.describe_secret_anew("prod/db").await;
    let report = function
        .invoke(&sample("update-secret-description-only"))
        .await
        .report();
    assert_eq!(report["outcome"], "ignored");
    assert_eq!(account.deployments().await, after);
}

#[tokio::test]
async fn a_rotation_is_followed_once_on_ministack() {
    a_rotation_is_followed_once(Program::Ministack).await;
}

#[tokio::test]
async fn a_rotation_is_followed_once_on_moto() {
    a_rotation_is_followed_once(Program::Moto).await;
}

/// S12 and S13.
#[tokio::test]
async fn a_requested_rotation_is_awaited_and_a_label_moved_back_is_followed() {
    let emulator = Emulator::start(Program::Ministack).await;
    let account = emulator.account().await;
    let db = account.make_secret("prod/db").await;
    account.make_cluster("prod").await;
    account.make_service("api", container(&db), 1, None).await;
    let_the_clock_move_on().await;
    let mut function = Function::start(&emulator, &[SETTLE]).await;

    let pending = account.put_pending("prod/db").await;
    let mut requested = sample("rotate-secret-by-name");
    requested["detail"]["requestParameters"]["clientRequestToken"] = json!(pending);
    requested["detail"]["responseElements"] = json!({"arn": db, "versionId": pending});
    let first = account.deployments().await;
    let error = function.invoke(&requested).await.error();
    assert_eq!(error.0, "RotationPending");
    assert!(error.1.contains(&pending), "{}", error.1);
    assert_eq!(account.deployments().await, first);

    let old = account.promote("prod/db", &pending).await;
    let report = function.invoke(&requested).await.report();
    assert_eq!(report["outcome"], "redeployed", "{report}");
    let second = account.deployments().await;
    assert_ne!(second, first);
    assert_eq!(
        function.invoke(&requested).await.report()["outcome"],
        "nothing-to-do"
    );

    let_the_clock_move_on().await;
    account.promote("prod/db", &old).await;
    let mut moved = sample("update-secret-version-stage");
    moved["detail"]["eventTime"] = label_updated(&db, "prod/db")["time"].clone();
    moved["detail"]["requestParameters"]["secretId"] = json!(db);
    moved["detail"]["responseElements"]["arn"] = json!(db);
    assert_eq!(
        function.invoke(&moved).await.report()["outcome"],
        "redeployed"
    );
    assert_ne!(account.deployments().await, second);
}

/// S14, as hard as it can be: `kill -9` between two calls of `UpdateService`.
#[tokio::test]
async fn a_function_killed_between_two_calls_finishes_when_called_again() {
    let emulator = Emulator::start(Program::Ministack).await;
    let account = emulator.account().await;
    let db = account.make_secret("prod/db").await;
    account.make_cluster("prod").await;
    for name in ["a", "b", "c", "d", "e"] {
        account.make_service(name, container(&db), 1, None).await;
    }
    let before = account.deployments().await;
    let_the_clock_move_on().await;
    account.put_value("prod/db").await;
    let event = label_updated(&db, "prod/db");

    let (endpoint, mut kept_back) = between::gate(&emulator.endpoint, 2).await;
    let function = Function::start_at(&endpoint, &[SETTLE]).await;
    function.send(&event).await;
    kept_back.recv().await.unwrap();
    function.kill().await;
    let halfway = account.deployments().await;
    assert_eq!(
        halfway
            .iter()
            .filter(|(name, id)| before[*name] != **id)
            .count(),
        2
    );

    let mut function = Function::start(&emulator, &[SETTLE]).await;
    let report = function.invoke(&event).await.report();
    assert_eq!(
        report["reason"], "services: 3 redeployed, 2 skipped",
        "{report}"
    );
    let after = account.deployments().await;
    assert!(
        after.iter().all(|(name, id)| before[name] != *id),
        "each service was redeployed"
    );
    assert!(
        halfway
            .iter()
            .all(|(name, id)| before[name] == *id || after[name] == *id),
        "and none of them twice"
    );
}

/// S10, over the wire: what the emulators cannot do, the simulated AWS can, as a server.
#[tokio::test]
async fn a_roll_back_is_remembered_by_a_process_that_knows_nothing_of_it() {
    let mut world = simulation::account::FakeAws::at(jiff::Timestamp::now());
    let secret = world.make_secret("prod/db");
    let api = world.make_service("api", &secret);
    let wire = simulation::wire::Wire::new(world);
    let endpoint = between::serve(wire.clone()).await;
    let_the_clock_move_on().await;
    wire.account().put_value("prod/db");
    let event = label_updated(&secret, "prod/db");
    let vars = [("REDEPLOY_SETTLE_SECONDS", "1")];
    let mut function = Function::start_at(&endpoint, &vars).await;
    assert_eq!(
        function.invoke(&event).await.report()["outcome"],
        "redeployed"
    );
    wire.account().roll_back(&api);
    // So long the process remembers its own deployment, because reads may lag.
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The process that did it, then others.
    for number in 0..6 {
        let payload = if number == 0 {
            event.clone()
        } else {
            json!({"action": "sweep"})
        };
        let report = function.invoke(&payload).await.report();
        assert_eq!(report["services"][0]["reason"], "rolled-back", "{report}");
        assert_eq!(report["services"][0]["action"], "blocked", "{report}");
        let lines = function.lines();
        assert_eq!(lines.last().unwrap()["Blocked"], 1);
        function.kill().await;
        function = Function::start_at(&endpoint, &vars).await;
    }
    assert_eq!(wire.account().redeploys.len(), 1);
    wire.account().put_value("prod/db");
    assert_eq!(
        function.invoke(&json!({"action": "sweep"})).await.report()["outcome"],
        "redeployed"
    );
    assert_eq!(wire.account().redeploys.len(), 2);
}

/// What the process takes for a large account: memory at its peak, whatever the machine's speed.
#[tokio::test]
async fn a_thousand_services_fit_into_40_megabytes() {
    // `SERVICES=10000 cargo test --release --test emulator megabytes` measures a larger account.
    let services = std::env::var("SERVICES").map_or(1000, |number| number.parse().unwrap());
    let mut world = simulation::account::FakeAws::new();
    world.quotas.unlimited = true;
    let secret = world.make_secret("prod/db");
    for number in 0..services {
        let value_from = if number % 100 == 0 {
            &secret
        } else {
            "/app/limit"
        };
        let service = world.make_service(&format!("api-{number}"), value_from);
        // No more than 600 revisions: the rest of the services share those of others.
        let deployment = &mut world.services.get_mut(&service).unwrap().deployments[0];
        deployment.task_definition = deployment
            .task_definition
            .replace(&format!("api-{number}:"), &format!("api-{}:", number % 600));
    }
    let wire = simulation::wire::Wire::new(world);
    let endpoint = between::serve(wire.clone()).await;
    let vars = [
        SETTLE,
        ("REDEPLOY_RATE_SHARE", "1"),
        ("REDEPLOY_DRY_RUN", "true"),
    ];
    let mut function = Function::start_at(&endpoint, &vars).await;
    let report = function
        .invoke(&json!({"action": "plan", "secret": "prod/db"}))
        .await
        .report();
    assert_eq!(
        report["services"].as_array().unwrap().len(),
        services / 100,
        "{report}"
    );
    let megabytes = function.peak_memory() / 1024;
    println!("{services} services: {megabytes} MB");
    assert!(
        megabytes < if services > 1000 { 120 } else { 40 },
        "{megabytes} MB"
    );
}

#[tokio::test]
async fn the_tags_lookup_finds_what_it_names_on_both_emulators() {
    for program in [Program::Ministack, Program::Moto] {
        let emulator = Emulator::start(program).await;
        let account = emulator.account().await;
        let db = account.make_secret("prod/db").await;
        account.make_cluster("prod").await;
        account
            .make_service("by-name", container("/unrelated"), 1, Some("other prod/db"))
            .await;
        account
            .make_service("by-arn", container("/unrelated"), 1, Some(&db))
            .await;
        account
            .make_service("other", container(&db), 1, Some("prod/mail"))
            .await;
        account
            .make_service("untagged", container(&db), 1, None)
            .await;
        let_the_clock_move_on().await;
        let mut function = Function::start(&emulator, &[SETTLE, ("REDEPLOY_LOOKUP", "tags")]).await;
        account.put_value("prod/db").await;
        let report = function
            .invoke(&label_updated(&db, "prod/db"))
            .await
            .report();
        let expected = [("by-arn", "stale"), ("by-name", "stale")];
        assert_eq!(
            reasons(&report),
            expected.map(|(service, reason)| (service.to_owned(), reason.to_owned()))
        );
    }
}

#[tokio::test]
async fn every_sample_gives_the_report_that_its_readme_promises() {
    let emulator = Emulator::start(Program::Moto).await;
    let mut function = Function::start(&emulator, &[]).await;
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/events/README.md")).unwrap();
    let mut rows = 0;
    for row in readme
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(".json`"))
    {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let answer = function
            .invoke(&sample(cells[1].trim_end_matches(".json")))
            .await;
        match (cells[2], &answer) {
            ("batch", Answer::Report(answer)) => {
                assert_eq!(answer, &json!({"batchItemFailures": []}))
            }
            (trigger, Answer::Report(report)) => {
                assert_eq!(
                    (&report["trigger"], &report["outcome"]),
                    (&json!(trigger), &json!(cells[3])),
                    "{row}"
                );
            }
            (trigger, Answer::Error(kind, message)) => {
                let report: Value = serde_json::from_str(message).unwrap();
                assert_eq!(
                    (&report["trigger"], &report["outcome"]),
                    (&json!(trigger), &json!(cells[3])),
                    "{row}"
                );
                assert_eq!(kind, "InvalidEvent", "{row}");
            }
        }
        rows += 1;
    }
    assert!(rows > 30, "{rows} rows");
    // Each invocation logged its report, as a metric document with the request's id.
    let lines = function.lines();
    let reports: Vec<_> = lines
        .iter()
        .filter(|line| line.get("_aws").is_some())
        .collect();
    assert_eq!(
        reports.len(),
        rows + 1,
        "one for each, and two for the batch"
    );
    for line in lines {
        let timestamp: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(timestamp > jiff::Timestamp::from_second(1_700_000_000).unwrap());
        assert!(
            ["INFO", "WARN", "ERROR"].contains(&line["level"].as_str().unwrap()),
            "{line}"
        );
        assert!(
            line["requestId"].is_string() || line["span"]["requestId"].is_string(),
            "{line}"
        );
        assert!(
            !line.to_string().contains("cipherSuite"),
            "an event's body was logged: {line}"
        );
    }
}

#[tokio::test]
async fn whatever_is_sent_the_next_event_is_handled() {
    let emulator = Emulator::start(Program::Moto).await;
    let mut function = Function::start(&emulator, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let long = json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "time": "x".repeat(1 << 20)});
    for payload in [
        b"".to_vec(),
        b"not JSON".to_vec(),
        b"null".to_vec(),
        b"{\"detail-type\": \"\xff\xfe\"}".to_vec(),
        b"{\"detail-type\": \"\\ud800\"}".to_vec(),
        deep.into_bytes(),
        long.to_string().into_bytes(),
    ] {
        match function.invoke_bytes(payload).await {
            Answer::Report(report) => assert_eq!(report["outcome"], "ignored", "{report}"),
            Answer::Error(kind, message) => assert!(
                !kind.is_empty() && message.len() <= 2048,
                "{kind}: {message}"
            ),
        }
        let report = function
            .invoke(&sample("secret-label-updated"))
            .await
            .report();
        assert_eq!(report["outcome"], "nothing-to-do");
    }
    for line in function.lines() {
        assert!(
            !line.to_string().contains("xxxxxxxx"),
            "an event's body was logged"
        );
    }
}

#[tokio::test]
async fn a_wrong_setting_stops_the_function_with_a_message_that_names_it() {
    for (name, value, accepted) in [
        ("REDEPLOY_LOOKUP", "everything", "scan, tags or config"),
        ("REDEPLOY_CLUSTER", "prod", "REDEPLOY_CLUSTERS"),
    ] {
        let (code, output) = Function::fail_to_start(&[(name, value)]).await;
        assert_ne!(code, Some(0));
        let line: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}"));
        let message = line["message"].as_str().unwrap();
        assert_eq!(line["level"], "ERROR");
        assert!(
            message.contains(name) && message.contains(accepted),
            "{message}"
        );
    }
}

/// The name of the tag that these tests set.
#[tokio::test]
async fn the_emulators_listen_on_loopback_only() {
    for program in [Program::Ministack, Program::Moto] {
        let emulator = Emulator::start(program).await;
        let addresses = emulator.listens_on();
        assert!(!addresses.is_empty(), "{program:?}");
        assert!(
            addresses.iter().all(|on| on.starts_with("0100007F:")),
            "{program:?} listens on {addresses:?}"
        );
    }
}

fn tag(value: &str) -> Tag {
    Tag::builder()
        .key("redeploy-on-rotation")
        .value(value)
        .build()
}

impl Account {
    async fn make_service(
        &self,
        name: &str,
        container: ContainerDefinition,
        tasks: i32,
        value: Option<&str>,
    ) {
        self.make_service_in("prod", name, container, tasks, value)
            .await;
    }

    async fn make_service_in(
        &self,
        cluster: &str,
        name: &str,
        container: ContainerDefinition,
        tasks: i32,
        value: Option<&str>,
    ) {
        let family = format!("{cluster}-{name}");
        let definition = self
            .ecs
            .register_task_definition()
            .family(&family)
            .container_definitions(container);
        definition.send().await.unwrap();
        let service = self
            .ecs
            .create_service()
            .cluster(cluster)
            .service_name(name)
            .task_definition(family);
        service
            .desired_count(tasks)
            .set_tags(value.map(|value| vec![tag(value)]))
            .send()
            .await
            .unwrap();
    }
}
