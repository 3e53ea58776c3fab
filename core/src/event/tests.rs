use serde_json::json;

use super::*;

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
const PARAMETER: &str = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";
const SERVICE: &str = "arn:aws:ecs:eu-west-1:123456789012:service/prod/api";

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn event(source: &str, detail_type: &str, resource: &str, detail: Value) -> Value {
    let mut event = json!({"source": source, "detail-type": detail_type, "resources": [resource]});
    event["time"] = json!("2026-11-23T01:02:03Z");
    event["region"] = json!("eu-west-1");
    event["detail"] = detail;
    event
}

fn label_updated(detail: Value) -> Value {
    event("aws.secretsmanager", "Secret Label Updated", SECRET, detail)
}

/// What CloudTrail records of a call, with a request that names `prod/db` and whatever else is given.
fn call(name: &str, request: Value, response: Value) -> Value {
    let mut detail = json!({"eventSource": "secretsmanager.amazonaws.com", "eventName": name});
    detail["requestParameters"] = request;
    detail["requestParameters"]["secretId"] = json!("prod/db");
    detail["responseElements"] = response;
    event(
        "aws.secretsmanager",
        "AWS API Call via CloudTrail",
        SECRET,
        detail,
    )
}

fn hint(payload: &Value) -> Intent {
    parse(payload).unwrap().hint
}

/// The claim; nothing when the payload is ignored.
fn claimed(payload: &Value) -> Option<Claim> {
    match hint(payload) {
        Intent::Secret(hint) => Some(hint.claim),
        Intent::Ignored { warning: false, .. } => None,
        other => panic!("{other:?}"),
    }
}

fn current(version: Option<&str>) -> Claim {
    moved(&[AWSCURRENT], version)
}

fn moved(labels: &[&str], version: Option<&str>) -> Claim {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Claim::Moved {
        labels,
        version: version.map(str::to_owned),
    }
}

fn field(payload: &Value) -> (String, FieldProblem) {
    let invalid = parse(payload).unwrap_err();
    (invalid.field, invalid.problem)
}

#[test]
fn a_batch_is_known_by_the_source_of_its_records_or_by_their_shape() {
    let record = |record: Value| json!({"Records": [record]});
    let batch =
        |payload: &Value| sqs_batch(payload).map(|records| records.map(|records| records.len()));
    for sqs in [
        json!({"eventSource": "aws:sqs", "messageId": "a"}),
        json!({"messageId": "a"}),
        json!({"messageId": "a", "body": "{}"}),
    ] {
        assert_eq!(batch(&record(sqs)), Ok(Some(1)));
    }
    for other in [
        json!({"eventSource": "aws:s3", "messageId": "a"}),
        json!({"s3": {}}),
        json!(7),
    ] {
        assert_eq!(batch(&record(other)), Ok(None));
    }
    let nameless = json!({"Records": [{"messageId": "a"}, {"body": "{}"}]});
    assert_eq!(
        sqs_batch(&nameless).unwrap_err().field,
        "Records[1].messageId"
    );
}

#[test]
fn a_record_tells_its_id_its_body_its_place_and_when_it_was_sent() {
    let attributes =
        |sent: Value| json!({"attributes": {"SentTimestamp": sent}, "messageId": "b", "body": 7});
    let payload = json!({"Records": [{"messageId": "a", "body": "{}"}, attributes(json!("2000")), attributes(json!("x"))]});
    let record = |message_id, body, index, sent_at| SqsRecord {
        message_id,
        body,
        index,
        sent_at,
    };
    let expected = [
        record("a", Some("{}"), 0, None),
        record("b", None, 1, Some(second(2))),
        record("b", None, 2, None),
    ];
    assert_eq!(sqs_batch(&payload), Ok(Some(expected.to_vec())));
}

#[test]
fn an_event_of_another_source_is_not_what_it_is_named() {
    let detail = json!({"labelUpdated": "AWSCURRENT", "operation": "Update", "eventName": "RotationSucceeded"});
    for (source, detail_type, resource, kind) in [
        (
            "aws.secretsmanager",
            "Secret Label Updated",
            SECRET,
            TriggerKind::SecretLabelUpdated,
        ),
        (
            "aws.secretsmanager",
            "AWS Service Event via CloudTrail",
            SECRET,
            TriggerKind::RotationSucceeded,
        ),
        (
            "aws.secretsmanager",
            "AWS API Call via CloudTrail",
            SECRET,
            TriggerKind::RotationSucceeded,
        ),
        (
            "aws.ssm",
            "Parameter Store Change",
            PARAMETER,
            TriggerKind::ParameterChange,
        ),
        (
            "aws.ecs",
            "ECS Deployment State Change",
            SERVICE,
            TriggerKind::DeploymentStateChange,
        ),
    ] {
        let mut payload = event(source, detail_type, resource, detail.clone());
        assert_eq!(parse(&payload).unwrap().kind, kind);
        payload["source"] = json!("aws.s3");
        assert_eq!(parse(&payload).unwrap().kind, TriggerKind::Unknown);
        payload.as_object_mut().unwrap().remove("source");
        assert_eq!(
            parse(&payload).unwrap().kind,
            kind,
            "a hand-made event may leave it out"
        );
    }
    let mut payload = event("custom.copy", "AWS API Call via CloudTrail", SECRET, detail);
    payload["detail"]["eventSource"] = json!("secretsmanager.amazonaws.com");
    assert_eq!(
        parse(&payload).unwrap().kind,
        TriggerKind::RotationSucceeded,
        "the call says whose it is"
    );
}

#[test]
fn a_request_names_its_secret_and_a_plan_changes_nothing() {
    let request = |action: &str| hint(&json!({"action": action, "secret": "prod/db"}));
    let secret = || "prod/db".to_owned();
    assert_eq!(
        request("redeploy"),
        Intent::Request {
            secret: secret(),
            dry_run: false
        }
    );
    assert_eq!(
        request("plan"),
        Intent::Request {
            secret: secret(),
            dry_run: true
        }
    );
    assert_eq!(request("sweep"), Intent::Sweep);
    assert!(matches!(
        request("destroy"),
        Intent::Ignored { warning: false, .. }
    ));
    assert_eq!(
        field(&json!({"action": "plan"})),
        ("secret".to_owned(), FieldProblem::Missing)
    );
}

#[test]
fn a_moved_label_is_a_rotation_at_the_end_of_its_second() {
    let arn = || SecretArn::parse(SECRET).unwrap();
    let expected = Change {
        subject: Source::Secret {
            arn: arn(),
            label: "Custom".to_owned(),
        },
        version: Some("v2".to_owned()),
        at: "2026-11-23T01:02:04Z".parse().unwrap(),
        not_before: None,
    };
    let named = json!({"labelUpdated": "Custom", "versionId": "v2", "name": "prod/db"});
    assert_eq!(
        hint(&label_updated(named)),
        Intent::Change(expected.clone())
    );
    let unnamed = json!({"labelUpdated": "Custom", "versionId": "v2"});
    assert_eq!(hint(&label_updated(unnamed)), Intent::Change(expected));
    let pending = hint(&label_updated(json!({"labelUpdated": "AWSPENDING"})));
    assert!(matches!(pending, Intent::Ignored { warning: false, .. }));
}

#[test]
fn an_arn_that_does_not_end_as_its_name_says_is_asked_about() {
    let detail = json!({"labelUpdated": "AWSCURRENT", "versionId": "v2", "name": "prod/db-Ab12Cd"});
    let expected = UnconfirmedChange {
        secret_id: SECRET.to_owned(),
        region: Some("eu-west-1".to_owned()),
        claim: current(Some("v2")),
        at: Some("2026-11-23T01:02:04Z".parse().unwrap()),
    };
    assert_eq!(hint(&label_updated(detail)), Intent::Secret(expected));
    let other = event(
        "aws.secretsmanager",
        "Secret Label Updated",
        PARAMETER,
        json!({"labelUpdated": "a"}),
    );
    assert_eq!(
        field(&other),
        (
            "resources[0]".to_owned(),
            FieldProblem::MustBe("the ARN of a secret")
        )
    );
}

#[test]
fn a_deployment_is_about_its_service() {
    let payload = |name: &str, resource: &str| {
        event(
            "aws.ecs",
            "ECS Deployment State Change",
            resource,
            json!({ "eventName": name }),
        )
    };
    for name in [
        "SERVICE_DEPLOYMENT_IN_PROGRESS",
        "SERVICE_DEPLOYMENT_COMPLETED",
        "SERVICE_DEPLOYMENT_FAILED",
    ] {
        assert_eq!(
            hint(&payload(name, SERVICE)),
            Intent::Service {
                arn: SERVICE.to_owned()
            }
        );
    }
    for resource in [
        "api",
        "arn:aws:ecs:eu-west-1:123456789012:cluster/prod",
        "arn:aws:vpc-lattice:eu-west-1:123456789012:service/prod",
    ] {
        let expected = (
            "resources[0]".to_owned(),
            FieldProblem::MustBe("the ARN of a service"),
        );
        assert_eq!(
            field(&payload("SERVICE_DEPLOYMENT_FAILED", resource)),
            expected
        );
    }
}

#[test]
fn only_an_update_changes_the_value_of_a_parameter() {
    let payload = |operation: &str, resource| {
        event(
            "aws.ssm",
            "Parameter Store Change",
            resource,
            json!({ "operation": operation }),
        )
    };
    let subject = Source::Parameter(ParameterArn::parse(PARAMETER).unwrap());
    let at = "2026-11-23T01:02:04Z".parse().unwrap();
    let expected = Change {
        subject,
        version: None,
        at,
        not_before: None,
    };
    assert_eq!(
        hint(&payload("Update", PARAMETER)),
        Intent::Change(expected)
    );
    for operation in ["Create", "Delete", "LabelParameterVersion"] {
        assert!(matches!(
            hint(&payload(operation, PARAMETER)),
            Intent::Ignored { warning: false, .. }
        ));
    }
    let expected = (
        "resources[0]".to_owned(),
        FieldProblem::MustBe("the ARN of a parameter"),
    );
    assert_eq!(field(&payload("Update", SECRET)), expected);
}

#[test]
fn a_failed_rotation_is_a_warning() {
    for name in ["RotationFailed", "RotationAbandoned"] {
        let trigger = parse(&call(name, json!({}), Value::Null)).unwrap();
        assert!(
            matches!(trigger.hint, Intent::Ignored { warning: true, .. }),
            "{trigger:?}"
        );
        assert_eq!(trigger.kind, TriggerKind::RotationFailed);
    }
}

#[test]
fn a_call_tells_its_kind_and_where_and_when_it_was_made() {
    for (name, kind) in [
        ("RotateSecret", TriggerKind::RotateSecret),
        ("RotationSucceeded", TriggerKind::RotationSucceeded),
        ("PutSecretValue", TriggerKind::PutSecretValue),
        ("UpdateSecret", TriggerKind::UpdateSecret),
        (
            "UpdateSecretVersionStage",
            TriggerKind::UpdateSecretVersionStage,
        ),
        ("TagResource", TriggerKind::Unknown),
    ] {
        let request = json!({"versionStage": "AWSCURRENT", "moveToVersionId": "v2"});
        assert_eq!(
            parse(&call(name, request, json!({"versionId": "v2"})))
                .unwrap()
                .kind,
            kind
        );
    }
    let mut payload = call("RotationSucceeded", json!({}), Value::Null);
    let mut expected = UnconfirmedChange {
        secret_id: "prod/db".to_owned(),
        region: Some("eu-west-1".to_owned()),
        claim: current(None),
        at: Some("2026-11-23T01:02:04Z".parse().unwrap()),
    };
    assert_eq!(hint(&payload), Intent::Secret(expected.clone()));
    payload["detail"]["eventTime"] = json!("2026-11-23T01:02:00Z");
    payload["detail"]["awsRegion"] = json!("eu-west-2");
    payload["detail"]["responseElements"] = json!({ "arn": SECRET });
    expected.at = Some("2026-11-23T01:02:01Z".parse().unwrap());
    expected.region = Some("eu-west-2".to_owned());
    expected.secret_id = SECRET.to_owned();
    assert_eq!(hint(&payload), Intent::Secret(expected));
    payload["detail"]["errorCode"] = json!("AccessDenied");
    assert_eq!(claimed(&payload), None, "a refused call changes nothing");
}

#[test]
fn a_call_without_a_secret_is_invalid_and_says_where_it_was_expected() {
    for (name, expected) in [
        ("RotationSucceeded", "detail.additionalEventData.SecretId"),
        ("PutSecretValue", "detail.requestParameters.secretId"),
    ] {
        let mut payload = call(name, json!({}), Value::Null);
        payload["detail"]["requestParameters"] = Value::Null;
        payload["resources"] = json!([]);
        assert_eq!(
            field(&payload),
            (expected.to_owned(), FieldProblem::Missing)
        );
        assert_eq!(
            parse(&payload).unwrap_err().kind,
            parse(&call(name, json!({}), Value::Null)).unwrap().kind
        );
    }
}

#[test]
fn a_requested_rotation_is_known_by_its_version() {
    let rotate = |request, response| call("RotateSecret", request, response);
    let requested = |version: &str| Some(Claim::Requested(version.to_owned()));
    let token = || json!({"clientRequestToken": "v1"});
    assert_eq!(
        claimed(&rotate(token(), json!({"versionId": "v2"}))),
        requested("v2")
    );
    assert_eq!(
        claimed(&rotate(token(), json!({"VersionId": "v2"}))),
        requested("v2")
    );
    assert_eq!(claimed(&rotate(token(), Value::Null)), requested("v1"));
    let immediately = |value: bool| json!({"rotateImmediately": value, "clientRequestToken": "v1"});
    assert_eq!(
        claimed(&rotate(immediately(true), Value::Null)),
        requested("v1")
    );
    assert_eq!(claimed(&rotate(immediately(false), Value::Null)), None);
    let expected = (
        "detail.responseElements.versionId".to_owned(),
        FieldProblem::Missing,
    );
    assert_eq!(field(&rotate(json!({}), Value::Null)), expected);
}

#[test]
fn a_stored_version_moves_the_labels_that_it_was_stored_with() {
    let put = |request, response| call("PutSecretValue", request, response);
    let stages = |stages: Value| json!({"versionStages": stages, "clientRequestToken": "v1"});
    assert_eq!(claimed(&put(json!({}), Value::Null)), Some(current(None)));
    assert_eq!(
        claimed(&put(stages(Value::Null), Value::Null)),
        Some(current(Some("v1")))
    );
    assert_eq!(
        claimed(&put(stages(json!([AWSPENDING])), Value::Null)),
        None
    );
    let both = put(
        stages(json!([AWSPENDING, "Custom", AWSCURRENT])),
        json!({"versionId": "v2"}),
    );
    assert_eq!(
        claimed(&both),
        Some(moved(&["Custom", AWSCURRENT], Some("v2")))
    );
    assert_eq!(
        claimed(&put(json!({}), json!({"versionStages": [AWSPENDING]}))),
        None
    );
    for wrong in [json!("AWSCURRENT"), json!([7])] {
        let expected = (
            "detail.requestParameters.versionStages".to_owned(),
            FieldProblem::MustBe("an array of strings"),
        );
        assert_eq!(field(&put(stages(wrong), Value::Null)), expected);
    }
}

#[test]
fn an_updated_secret_has_a_new_value_only_when_a_version_was_stored() {
    let update = |request, response| call("UpdateSecret", request, response);
    let stored = |version: &str| Some(Claim::Stored(version.to_owned()));
    let token = || json!({"clientRequestToken": "v1"});
    assert_eq!(
        claimed(&update(
            token(),
            json!({"name": "prod/db", "versionId": "v2"})
        )),
        stored("v2")
    );
    assert_eq!(claimed(&update(token(), json!({"name": "prod/db"}))), None);
    assert_eq!(claimed(&update(token(), json!({"Name": "prod/db"}))), None);
    assert_eq!(claimed(&update(json!({}), json!({"arn": SECRET}))), None);
    assert_eq!(
        claimed(&update(token(), json!({"arn": SECRET}))),
        stored("v1"),
        "the answer was cut"
    );
    assert_eq!(claimed(&update(token(), Value::Null)), stored("v1"));
    let expected = (
        "detail.responseElements.versionId".to_owned(),
        FieldProblem::Missing,
    );
    assert_eq!(field(&update(json!({}), Value::Null)), expected);
}

#[test]
fn a_label_moved_by_hand_is_followed_unless_it_did_not_go_anywhere() {
    let stage = |stage: &str, from: Value, to: Value| {
        let request =
            json!({"versionStage": stage, "removeFromVersionId": from, "moveToVersionId": to});
        claimed(&call("UpdateSecretVersionStage", request, Value::Null))
    };
    assert_eq!(
        stage("Custom", Value::Null, json!("v2")),
        Some(moved(&["Custom"], Some("v2")))
    );
    assert_eq!(
        stage(AWSCURRENT, json!("v1"), json!("v2")),
        Some(current(Some("v2")))
    );
    assert_eq!(stage(AWSPENDING, json!("v1"), json!("v2")), None);
    assert_eq!(stage(AWSCURRENT, json!("v1"), Value::Null), None);
    assert_eq!(stage(AWSCURRENT, json!("v2"), json!("v2")), None);
}

/// Facts of a secret whose labels are on these versions, last changed at 200.
fn facts(labels: &[(&str, &str)]) -> SecretFacts {
    let labels = labels
        .iter()
        .map(|(label, version)| ((*label).to_owned(), (*version).to_owned()))
        .collect();
    let arn = SecretArn::parse(SECRET).unwrap();
    SecretFacts {
        arn,
        labels,
        last_changed: Some(second(200)),
        last_rotated: None,
    }
}

/// A claim about 100.
fn claim_of(claim: Claim) -> UnconfirmedChange {
    UnconfirmedChange {
        secret_id: SECRET.to_owned(),
        region: None,
        claim,
        at: Some(second(100)),
    }
}

fn rotated(label: &str, version: Option<&str>, at: i64) -> Confirmation {
    let subject = Source::Secret {
        arn: SecretArn::parse(SECRET).unwrap(),
        label: label.to_owned(),
    };
    let version = version.map(str::to_owned);
    Confirmation::Rotations(vec![Change {
        subject,
        version,
        at: second(at),
        not_before: None,
    }])
}

#[test]
fn a_moved_label_that_is_still_there_is_a_rotation_at_the_earlier_bound() {
    let facts = facts(&[(AWSCURRENT, "v2"), ("Other", "v1")]);
    let hint = claim_of(moved(&[AWSCURRENT, "Gone"], Some("v2")));
    assert_eq!(
        hint.confirm(&facts, second(300)),
        rotated(AWSCURRENT, Some("v2"), 100)
    );
    let late = UnconfirmedChange {
        at: Some(second(250)),
        ..hint.clone()
    };
    assert_eq!(
        late.confirm(&facts, second(300)),
        rotated(AWSCURRENT, Some("v2"), 200)
    );
    let untimed = UnconfirmedChange { at: None, ..hint };
    let facts = SecretFacts {
        last_changed: None,
        ..facts
    };
    assert_eq!(
        untimed.confirm(&facts, second(300)),
        rotated(AWSCURRENT, Some("v2"), 300)
    );
    let gone = claim_of(moved(&["Gone"], Some("v2"))).confirm(&facts, second(300));
    assert!(matches!(gone, Confirmation::Nothing(_)));
}

#[test]
fn a_stored_version_is_a_rotation_once_it_was_current() {
    let hint = claim_of(Claim::Stored("v2".to_owned()));
    let verdict = |labels: &[(&str, &str)]| hint.confirm(&facts(labels), second(300));
    assert_eq!(
        verdict(&[(AWSCURRENT, "v2")]),
        rotated(AWSCURRENT, Some("v2"), 100)
    );
    let superseded = verdict(&[(AWSCURRENT, "v3"), (AWSPREVIOUS, "v2")]);
    assert_eq!(superseded, rotated(AWSCURRENT, Some("v3"), 100));
    assert!(matches!(
        verdict(&[(AWSCURRENT, "v1")]),
        Confirmation::Nothing(_)
    ));
    assert!(matches!(
        verdict(&[("Custom", "v2")]),
        Confirmation::Nothing(_)
    ));
}

#[test]
fn a_requested_rotation_counts_from_the_secrets_own_times() {
    let hint = claim_of(Claim::Requested("v2".to_owned()));
    let done = facts(&[(AWSCURRENT, "v2")]);
    assert_eq!(
        hint.confirm(&done, second(300)),
        rotated(AWSCURRENT, Some("v2"), 200)
    );
    let at = |last_changed, last_rotated| {
        let facts = SecretFacts {
            last_changed,
            last_rotated,
            ..done.clone()
        };
        match hint.confirm(&facts, second(300)) {
            Confirmation::Rotations(rotations) => rotations[0].at.as_second(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(at(Some(second(200)), Some(second(150))), 150);
    assert_eq!(at(Some(second(200)), Some(second(100))), 100);
    assert_eq!(
        at(Some(second(200)), Some(second(99))),
        99,
        "in the second of the request"
    );
    assert_eq!(
        at(Some(second(200)), Some(second(98))),
        200,
        "that was an earlier rotation"
    );
    assert_eq!(at(None, None), 300);
}

#[test]
fn a_requested_rotation_is_pending_until_it_must_have_ended() {
    let hint = claim_of(Claim::Requested("v2".to_owned()));
    let verdict = |labels: &[(&str, &str)], now| hint.confirm(&facts(labels), second(now));
    let before = [(AWSCURRENT, "v1")];
    assert!(matches!(verdict(&before, 100), Confirmation::Pending(_)));
    assert!(matches!(
        verdict(&before, 100 + 300),
        Confirmation::Pending(_)
    ));
    assert!(matches!(
        verdict(&before, 100 + 301),
        Confirmation::Nothing(_)
    ));
    let preparing = [(AWSCURRENT, "v1"), (AWSPENDING, "v2")];
    assert!(matches!(
        verdict(&preparing, 100 + 301),
        Confirmation::Pending(_)
    ));
    let Confirmation::Pending(text) = verdict(&preparing, 100) else {
        panic!("it is pending")
    };
    assert!(text.contains(SECRET) && text.contains("v2"), "{text}");
}

#[test]
fn only_a_requested_rotation_is_not_of_the_past() {
    assert!(claim_of(current(None)).is_of_the_past());
    assert!(claim_of(Claim::Stored("v2".to_owned())).is_of_the_past());
    assert!(!claim_of(Claim::Requested("v2".to_owned())).is_of_the_past());
}

#[test]
fn an_error_names_the_field_or_the_parent_that_cannot_have_it() {
    let missing = |field: &str| (field.to_owned(), FieldProblem::Missing);
    let wrong = |field: &str, expected| (field.to_owned(), FieldProblem::MustBe(expected));
    let with = |name: &str, value: Value| {
        let mut payload = label_updated(json!({"labelUpdated": "AWSCURRENT"}));
        payload[name] = value;
        field(&payload)
    };
    assert_eq!(with("detail", Value::Null), missing("detail.labelUpdated"));
    assert_eq!(with("detail", json!(7)), wrong("detail", "an object"));
    assert_eq!(with("detail", json!({})), missing("detail.labelUpdated"));
    assert_eq!(
        with("detail", json!({"labelUpdated": ""})),
        missing("detail.labelUpdated")
    );
    assert_eq!(
        with("detail", json!({"labelUpdated": 7})),
        wrong("detail.labelUpdated", "a string")
    );
    assert_eq!(with("resources", Value::Null), missing("resources[0]"));
    assert_eq!(with("resources", json!([])), missing("resources[0]"));
    assert_eq!(
        with("resources", json!(SECRET)),
        wrong("resources", "an array")
    );
    assert_eq!(
        with("resources", json!([7])),
        wrong("resources[0]", "a string")
    );
    assert_eq!(with("time", Value::Null), missing("time"));
    assert_eq!(
        with("time", json!("yesterday")),
        wrong("time", "an RFC 3339 time")
    );
    let answer = field(&call("UpdateSecret", json!({}), json!(7)));
    assert_eq!(answer, wrong("detail.responseElements", "an object"));
}

#[test]
fn an_identifier_may_be_as_long_as_aws_accepts_and_no_longer() {
    let secret = |length: usize| parse(&json!({"action": "plan", "secret": "x".repeat(length)}));
    assert!(secret(2048).is_ok());
    assert_eq!(
        secret(2049).unwrap_err().problem,
        FieldProblem::MustBe("a string of at most 2048 bytes")
    );
}
