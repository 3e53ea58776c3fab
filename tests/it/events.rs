//! Payloads: every sample, and every way in which one can be malformed.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use redeploy_core::event::{Intent, parse, sqs_batch};
use redeploy_core::report::{ErrorType, Outcome};
use redeploy_on_rotation::handler::read;
use serde_json::{Value, json};

use crate::scene::{config, invoke};
use crate::simulation::account::FakeAws;
use crate::simulation::patterns::matching_names;
use crate::simulation::wire::Wire;

fn sample(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_sample_is_read_as_its_snapshot_says() {
    insta::glob!("../../events", "*.json", |path| {
        let payload: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        match sqs_batch(&payload).unwrap() {
            Some(records) => insta::assert_debug_snapshot!(records),
            None => insta::assert_debug_snapshot!(parse(&payload).unwrap()),
        }
    });
}

#[test]
fn every_sample_of_an_event_is_one_to_others_too() {
    insta::glob!("../../events", "*.json", |path| {
        let payload: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        // The one partial sample has no envelope.
        if payload.get("source").is_some() {
            serde_json::from_value::<EventBridgeEvent<Value>>(payload).unwrap();
        }
    });
}

/// Puts a value at a path such as `detail.labelUpdated`, or takes it out.
fn with(mut payload: Value, path: &str, value: Option<Value>) -> Value {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parent
        .split('.')
        .filter(|name| !name.is_empty())
        .fold(&mut payload, |at, name| &mut at[name]);
    match value {
        Some(value) => parent[name] = value,
        None => drop(parent.as_object_mut().unwrap().remove(name)),
    }
    payload
}

#[test]
fn a_needed_field_that_is_missing_or_of_another_type_is_named() {
    for (name, path, field) in [
        ("secret-label-updated", "detail", "detail"),
        (
            "secret-label-updated",
            "detail.labelUpdated",
            "detail.labelUpdated",
        ),
        ("secret-label-updated", "resources", "resources"),
        ("secret-label-updated", "time", "time"),
        (
            "rotation-succeeded",
            "detail.additionalEventData",
            "detail.additionalEventData",
        ),
        ("rotation-succeeded", "detail.eventName", "detail.eventName"),
        ("rotate-secret-by-name", "detail", "detail"),
        (
            "parameter-change-update",
            "detail.operation",
            "detail.operation",
        ),
        ("deployment-failed", "resources", "resources"),
        ("deployment-failed", "detail.eventName", "detail.eventName"),
        ("parameter-change-update", "resources", "resources"),
        ("parameter-change-update", "time", "time"),
        ("request-redeploy", "secret", "secret"),
    ] {
        for value in [None, Some(Value::Null), Some(json!(7)), Some(json!(true))] {
            let error = parse(&with(sample(name), path, value.clone())).unwrap_err();
            assert!(
                error.field.starts_with(field),
                "{name} with {path}={value:?}: {error}"
            );
            assert!(error.to_string().contains(&error.field));
        }
    }
}

#[test]
fn the_secret_of_a_call_is_found_under_every_spelling() {
    let event = |detail: Value| {
        let mut event = sample("rotate-secret-by-name");
        event["detail"]["responseElements"] = Value::Null;
        event["detail"]["requestParameters"]["secretId"] = Value::Null;
        event["detail"]
            .as_object_mut()
            .unwrap()
            .extend(detail.as_object().unwrap().clone());
        event["detail"]["requestParameters"]["clientRequestToken"] = json!("v");
        event
    };
    for detail in [
        json!({"responseElements": {"arn": "a"}}),
        json!({"responseElements": {"aRN": "a"}, "requestParameters": {"secretId": "typed"}}),
        json!({"additionalEventData": {"SecretId": "a"}}),
        json!({"additionalEventData": {"secretId": "a"}}),
        json!({"serviceEventDetails": {"secretId": "a"}}),
        json!({"serviceEventDetails": {"SecretId": "a"}}),
        json!({"requestParameters": {"secretId": "a"}}),
    ] {
        match parse(&event(detail.clone())).unwrap().intent {
            Intent::MayHaveChanged(hint) => assert_eq!(hint.secret_id, "a", "{detail}"),
            other => panic!("{detail}: {other:?}"),
        }
    }
    let nowhere = parse(&event(json!({}))).unwrap_err();
    assert_eq!(nowhere.field, "detail.requestParameters.secretId");
    let mut resources = event(json!({}));
    resources["resources"] = json!(["a"]);
    assert!(
        matches!(parse(&resources).unwrap().intent, Intent::MayHaveChanged(hint) if hint.secret_id == "a")
    );
}

#[test]
fn a_call_that_moved_nothing_is_ignored() {
    let put = |stages: Value| {
        with(
            sample("put-secret-value"),
            "detail.requestParameters.versionStages",
            Some(stages),
        )
    };
    let stage =
        |path: &str, value: Value| with(sample("update-secret-version-stage"), path, Some(value));
    let ignored =
        |payload: &Value| matches!(parse(payload).unwrap().intent, Intent::Ignored { .. });
    assert!(ignored(&put(json!(["AWSPENDING"]))));
    assert!(!ignored(&put(json!(["AWSPENDING", "AWSCURRENT"]))));
    assert!(ignored(&stage(
        "detail.requestParameters.moveToVersionId",
        Value::Null
    )));
    assert!(ignored(&stage(
        "detail.requestParameters.versionStage",
        json!("AWSPENDING")
    )));
    let to =
        sample("update-secret-version-stage")["detail"]["requestParameters"]["moveToVersionId"]
            .clone();
    assert!(ignored(&stage(
        "detail.requestParameters.removeFromVersionId",
        to
    )));
    assert!(ignored(&stage("detail.errorCode", json!("AccessDenied"))));
}

#[test]
fn no_payload_panics_and_what_is_unknown_is_ignored() {
    let long = "x".repeat(1 << 20);
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    for payload in [
        json!(null),
        json!(1),
        json!("text"),
        json!([]),
        json!({}),
        json!({"action": 7}),
        json!({"action": "destroy"}),
        json!({"detail-type": 7, "source": [], "detail": {}}),
        json!({"detail-type": long, "source": "aws.secretsmanager"}),
        json!({"detail-type": "Secret Label Updated", "source": "aws.s3", "detail": null}),
        json!({"Records": [{"eventSource": "aws:s3", "s3": {}}]}),
        json!({"Records": "none"}),
        json!({"payload": deep}),
    ] {
        assert!(sqs_batch(&payload).unwrap().is_none());
        let intent = parse(&payload).unwrap().intent;
        assert!(
            matches!(intent, Intent::Ignored { warning: false, .. }),
            "{intent:?}"
        );
    }
    let mut event = sample("rotate-secret-by-name");
    event["detail"]["responseElements"] = Value::Null;
    event["detail"]["requestParameters"]["secretId"] = json!(long);
    let error = parse(&event).unwrap_err().to_string();
    assert!(error.contains("secretId") && error.len() < 200, "{error}");
    // Names that no AWS service would accept are still only text.
    event["detail"]["requestParameters"]["secretId"] = json!("\u{0}\u{fffd}\u{1f511}");
    parse(&event).unwrap();
}

#[test]
fn an_sqs_record_without_an_id_is_named() {
    let error = sqs_batch(&json!({"Records": [{"messageId": "a", "body": "{}"}, {"body": "{}"}]}))
        .unwrap_err();
    assert_eq!(error.field, "Records[1].messageId");
    assert_eq!(
        sqs_batch(&json!({"Records": []})).unwrap(),
        Some(Vec::new())
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalid_event_fails_and_the_next_one_is_handled() {
    let wire = Wire::new(FakeAws::new());
    let aws = wire.clients();
    let config = config(&[]);
    let invalid = with(sample("secret-label-updated"), "detail.labelUpdated", None);
    let report = invoke(&aws, &wire, &config, &invalid).await;
    assert_eq!(report.failure, Some(ErrorType::InvalidEvent));
    assert!(report.error_message().contains("detail.labelUpdated"));
    let report = invoke(&aws, &wire, &config, &sample("secret-label-updated")).await;
    assert_eq!(report.outcome, Outcome::NothingToDo);
}

#[tokio::test(start_paused = true)]
async fn an_event_from_the_future_is_refused_rather_than_waited_for() {
    let wire = Wire::new(FakeAws::new());
    let future = with(
        sample("secret-label-updated"),
        "time",
        Some(json!("2126-11-23T00:00:00Z")),
    );
    let report = invoke(&wire.clients(), &wire, &config(&[]), &future).await;
    assert_eq!(report.failure, Some(ErrorType::InvalidEvent));
    assert!(report.reason.contains("`time`"), "{}", report.reason);
}

#[test]
fn a_resource_that_is_no_secret_is_named() {
    for resource in [
        "not an ARN",
        "arn:aws:s3:::bucket",
        "arn:aws:sqs:eu-west-1:123456789012:queue",
    ] {
        let event = with(
            sample("secret-label-updated"),
            "resources",
            Some(json!([resource])),
        );
        assert_eq!(parse(&event).unwrap_err().field, "resources[0]");
    }
}

#[test]
fn json_that_cannot_be_read_fails_and_what_is_no_json_is_ignored() {
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for text in ["{\"x\": 1e999}", "{\"name\": \"\\ud800\"}", &deep] {
        assert_eq!(
            read(text).unwrap_err().failure,
            Some(ErrorType::InvalidEvent),
            "{text}"
        );
    }
    for text in ["", "not JSON", "{\"a\": "] {
        assert_eq!(read(text).unwrap_err().outcome, Outcome::Ignored, "{text}");
    }
}

/// The rows of the table of `events/README.md`, by their cells.
fn documented() -> Vec<Vec<String>> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/events/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(".json`"));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

#[test]
fn every_sample_matches_the_patterns_that_its_readme_names() {
    for cells in documented() {
        let file = cells[1].trim_matches('`');
        let mut event = sample(file.trim_end_matches(".json"));
        // One public capture is partial; no event lacks these.
        if event.get("detail-type").is_some() && event.get("source").is_none() {
            event["source"] = json!("aws.secretsmanager");
        }
        let named: Vec<_> = cells[4].split('`').skip(1).step_by(2).collect();
        assert_eq!(matching_names(&event), named, "{file}");
    }
}

/// The table of `events/README.md`: file, trigger, outcome in an account without secrets and services.
#[tokio::test(start_paused = true)]
async fn every_sample_does_what_its_readme_promises() {
    let mut files_of_rows = Vec::new();
    for cells in documented() {
        let cell = |index: usize| cells[index].trim_matches('`');
        let (file, trigger, outcome) = (cell(1), cell(2), cell(3));
        files_of_rows.push(file.to_owned());
        if trigger == "batch" {
            continue;
        }
        let wire = Wire::new(FakeAws::new());
        let report = invoke(
            &wire.clients(),
            &wire,
            &config(&[]),
            &sample(file.trim_end_matches(".json")),
        )
        .await;
        let report = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (report["trigger"].as_str(), report["outcome"].as_str()),
            (Some(trigger), Some(outcome)),
            "{file}"
        );
    }
    let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events")).unwrap();
    let mut files: Vec<_> = directory
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.retain(|file| file.ends_with(".json"));
    files.sort();
    files_of_rows.sort();
    assert_eq!(files_of_rows, files);
}
