use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::arn::{ParameterArn, SecretArn};
use crate::change::{AWSCURRENT, AWSPENDING, Bounds, Source};
use crate::confirm::Claim;

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

fn intent(payload: &Value) -> Intent {
    parse(payload).unwrap().intent
}

/// The claim; nothing when the payload is ignored.
fn claimed(payload: &Value) -> Option<Claim> {
    match intent(payload) {
        Intent::MayHaveChanged(claimed) => Some(claimed.claim),
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
    let detail = json!({
        "labelUpdated": "AWSCURRENT", "operation": "Update", "eventName": "RotationSucceeded",
        "state": "OPEN",
    });
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
            "aws.ssm",
            "Calendar State Change",
            PARAMETER,
            TriggerKind::CalendarStateChange,
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
    let request = |action: &str| intent(&json!({"action": action, "secret": "prod/db"}));
    let secret = || Target::Secret("prod/db".to_owned());
    assert_eq!(
        request("redeploy"),
        Intent::Request {
            target: secret(),
            dry_run: false,
            ignore_freeze: false,
        }
    );
    assert_eq!(
        request("plan"),
        Intent::Request {
            target: secret(),
            dry_run: true,
            ignore_freeze: false,
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
    let ignores_freeze =
        |flag: Value| json!({"action": "redeploy", "secret": "prod/db", "ignoreFreeze": flag});
    let request = intent(&ignores_freeze(json!(true)));
    assert!(matches!(
        request,
        Intent::Request {
            ignore_freeze: true,
            ..
        }
    ));
    assert_eq!(
        field(&ignores_freeze(json!("yes"))),
        (
            "ignoreFreeze".to_owned(),
            FieldProblem::MustBe("true or false")
        )
    );
}

#[test]
fn a_request_may_name_a_service_instead() {
    let request = |service: Value, secret: Value| json!({"action": "redeploy", "service": service, "secret": secret});
    let target = |payload: &Value| match intent(payload) {
        Intent::Request { target, .. } => target,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        target(&request(json!("prod/api"), Value::Null)),
        Target::Service("prod/api".to_owned())
    );
    assert_eq!(
        target(&request(json!("prod/api"), json!("prod/db"))),
        Target::Secret("prod/db".to_owned()),
        "of two names, the secret is what every version reads"
    );
    assert_eq!(
        field(&request(json!(7), Value::Null)),
        ("service".to_owned(), FieldProblem::MustBe("a string"))
    );
}

#[test]
fn only_a_completed_deployment_has_its_id() {
    let payload = |name: &str| {
        let detail = json!({"eventName": name, "deploymentId": "ecs-svc/1"});
        event("aws.ecs", "ECS Deployment State Change", SERVICE, detail)
    };
    for (name, completed) in [
        ("SERVICE_DEPLOYMENT_COMPLETED", Some("ecs-svc/1".to_owned())),
        ("SERVICE_DEPLOYMENT_IN_PROGRESS", None),
        ("SERVICE_DEPLOYMENT_FAILED", None),
    ] {
        let service = SERVICE.to_owned();
        assert_eq!(
            intent(&payload(name)),
            Intent::Deployment { service, completed }
        );
    }
}

#[test]
fn a_moved_label_is_a_rotation_at_the_end_of_its_second() {
    let source = Source::Secret {
        arn: SecretArn::parse(SECRET).unwrap(),
        label: "Custom".to_owned(),
    };
    let at = "2026-11-23T01:02:04Z".parse().unwrap();
    let expected = Change::new(source, Some("v2".to_owned()), Bounds::exact(at));
    let named = json!({"labelUpdated": "Custom", "versionId": "v2", "name": "prod/db"});
    assert_eq!(
        intent(&label_updated(named)),
        Intent::Changed(expected.clone())
    );
    let unnamed = json!({"labelUpdated": "Custom", "versionId": "v2"});
    assert_eq!(intent(&label_updated(unnamed)), Intent::Changed(expected));
    let pending = intent(&label_updated(json!({"labelUpdated": "AWSPENDING"})));
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
    assert_eq!(
        intent(&label_updated(detail)),
        Intent::MayHaveChanged(expected)
    );
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
            intent(&payload(name, SERVICE)),
            Intent::Deployment {
                service: SERVICE.to_owned(),
                completed: None,
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
fn only_a_create_or_an_update_gives_a_parameter_a_value() {
    let payload = |operation: &str, resource| {
        event(
            "aws.ssm",
            "Parameter Store Change",
            resource,
            json!({ "operation": operation }),
        )
    };
    let source = Source::Parameter(ParameterArn::parse(PARAMETER).unwrap());
    let at = "2026-11-23T01:02:04Z".parse().unwrap();
    let expected = Change::new(source, None, Bounds::exact(at));
    for operation in ["Create", "Update"] {
        assert_eq!(
            intent(&payload(operation, PARAMETER)),
            Intent::Changed(expected.clone())
        );
    }
    for operation in ["Delete", "LabelParameterVersion"] {
        assert!(matches!(
            intent(&payload(operation, PARAMETER)),
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
fn a_calendar_that_opens_is_a_sweep_and_one_that_closes_is_nothing() {
    let payload = |state: Value| {
        let calendar = "arn:aws:ssm:eu-west-1:123456789012:document/release-window";
        let detail = json!({ "state": state });
        event("aws.ssm", "Calendar State Change", calendar, detail)
    };
    let opened = parse(&payload(json!("OPEN"))).unwrap();
    assert_eq!(opened.kind, TriggerKind::CalendarStateChange);
    assert_eq!(opened.intent, Intent::Sweep);
    let closed = parse(&payload(json!("CLOSED"))).unwrap();
    assert_eq!(closed.kind, TriggerKind::CalendarStateChange);
    assert!(matches!(
        closed.intent,
        Intent::Ignored { warning: false, .. }
    ));
    let state = || "detail.state".to_owned();
    assert_eq!(
        field(&payload(Value::Null)),
        (state(), FieldProblem::Missing)
    );
    assert_eq!(
        field(&payload(json!("AJAR"))),
        (state(), FieldProblem::MustBe("OPEN or CLOSED"))
    );
}

#[test]
fn a_failed_rotation_is_a_warning() {
    for name in ["RotationFailed", "RotationAbandoned"] {
        let trigger = parse(&call(name, json!({}), Value::Null)).unwrap();
        assert!(
            matches!(trigger.intent, Intent::Ignored { warning: true, .. }),
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
        ("CreateSecret", TriggerKind::CreateSecret),
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
        claim: Claim::Rotated,
        at: Some("2026-11-23T01:02:04Z".parse().unwrap()),
    };
    assert_eq!(intent(&payload), Intent::MayHaveChanged(expected.clone()));
    payload["detail"]["eventTime"] = json!("2026-11-23T01:02:00Z");
    payload["detail"]["awsRegion"] = json!("eu-west-2");
    payload["detail"]["responseElements"] = json!({ "arn": SECRET });
    expected.at = Some("2026-11-23T01:02:01Z".parse().unwrap());
    expected.region = Some("eu-west-2".to_owned());
    expected.secret_id = SECRET.to_owned();
    assert_eq!(intent(&payload), Intent::MayHaveChanged(expected));
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
fn a_created_secret_has_a_first_value_when_a_version_was_stored() {
    let create = |response| {
        let request = json!({"name": "prod/db", "clientRequestToken": "v1"});
        let mut payload = call("CreateSecret", json!({}), response);
        payload["detail"]["requestParameters"] = request;
        payload
    };
    let stored = |version: &str| Some(Claim::Stored(version.to_owned()));
    let answer = json!({"arn": SECRET, "name": "prod/db", "versionId": "v2"});
    assert_eq!(claimed(&create(answer)), stored("v2"));
    let without_value = json!({"arn": SECRET, "name": "prod/db"});
    assert_eq!(claimed(&create(without_value)), None);
    let mut cut = create(Value::Null);
    assert_eq!(claimed(&cut), stored("v1"));
    assert!(
        matches!(intent(&cut), Intent::MayHaveChanged(claimed) if claimed.secret_id == "prod/db")
    );
    cut["detail"]["requestParameters"]["name"] = Value::Null;
    cut["resources"] = json!([]);
    let name = "detail.requestParameters.name".to_owned();
    assert_eq!(field(&cut), (name, FieldProblem::Missing));
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

#[test]
fn an_event_says_when_what_it_tells_of_happened_at_the_latest() {
    let changed_at = |payload: &Value| parse(payload).unwrap().intent.changed_at();
    // The second may have been cut.
    let at = Some("2026-11-23T01:02:04Z".parse().unwrap());
    let claimed = event(
        "aws.secretsmanager",
        "AWS Service Event via CloudTrail",
        SECRET,
        json!({"eventName": "RotationSucceeded"}),
    );
    let parameter = json!({"operation": "Update", "name": "/limit", "type": "String"});
    let parameter = event("aws.ssm", "Parameter Store Change", PARAMETER, parameter);
    assert_eq!(changed_at(&claimed), at);
    assert_eq!(changed_at(&parameter), at);
    assert_eq!(changed_at(&json!({"action": "sweep"})), None);
}

/// The kind of a payload, or the field that is wrong.
fn kind_of(payload: &Value) -> Result<TriggerKind, String> {
    let parsed = parse(payload).map(|trigger| trigger.kind);
    parsed.map_err(|invalid| invalid.field)
}

#[test]
fn an_event_is_found_in_the_envelopes_that_are_known() {
    // Longer than what a wrong limit would let through.
    let event = label_updated(json!({"labelUpdated": "AWSCURRENT", "filler": "x".repeat(5000)}));
    let text = event.to_string();
    let notification = json!({"Type": "Notification", "Message": text});
    for payload in [
        event.clone(),
        notification.clone(),
        json!({"Sns": {"Message": text}}),
        json!({"Records": [{"Sns": {"Message": text}}]}),
        json!([event]),
        json!([[notification]]),
    ] {
        assert_eq!(kind_of(&payload), Ok(TriggerKind::SecretLabelUpdated));
    }
    for payload in [
        json!({"Type": "Other", "Message": text}),
        json!({"Records": [event]}),
        json!([event, event]),
    ] {
        assert_eq!(kind_of(&payload), Err("payload".to_owned()));
    }
}

#[test]
fn a_detail_without_its_event_is_an_error() {
    let manager = "secretsmanager.amazonaws.com";
    for payload in [
        json!({"eventSource": manager, "eventName": "RotationSucceeded"}),
        json!({"labelUpdated": "AWSCURRENT", "versionId": "v2"}),
    ] {
        assert_eq!(kind_of(&payload), Err("detail-type".to_owned()));
    }
    for payload in [
        json!({"eventSource": manager}),
        json!({"eventSource": "s3.amazonaws.com", "eventName": "PutObject"}),
        json!({"labelUpdated": "AWSCURRENT"}),
        json!({"versionId": "v2"}),
    ] {
        assert_eq!(kind_of(&payload), Ok(TriggerKind::Unknown));
    }
}

#[test]
fn an_event_in_an_unknown_envelope_is_an_error_down_to_a_depth_of_six() {
    let event = json!({"source": "aws.ssm", "detail-type": "Parameter Store Change"});
    let member = |inner: Value| json!({ "body": inner });
    let element = |inner: Value| json!([inner, 0]);
    let text = |inner: Value| json!(inner.to_string());
    let deep = |times: usize, wrap: &dyn Fn(Value) -> Value| {
        // A list at the top could be a batch.
        member((1..times).fold(event.clone(), |inner, _| wrap(inner)))
    };
    let in_text = |inner: Value| member(text(inner));
    let found = |payload: &Value| kind_of(payload) == Err("payload".to_owned());
    for (times, expected) in [(1, true), (6, true), (7, false)] {
        assert_eq!(found(&deep(times, &member)), expected, "{times} members");
        assert_eq!(found(&deep(times, &element)), expected, "{times} elements");
    }
    // A text is one level, and the member that has it another.
    assert!(found(&deep(3, &in_text)));
    assert!(!found(&deep(4, &in_text)));
    assert!(!found(&member(json!(element(event.clone()).to_string()))));
    assert!(!found(&member(json!({"source": "aws.ssm"}))));
    assert!(!found(&member(
        json!({"source": "aws.s3", "detail-type": "Object Created"})
    )));
    assert!(!found(&member(
        json!({"detail-type": "Parameter Store Change"})
    )));
}

#[test]
fn a_secret_that_is_created_without_a_value_is_no_change() {
    let created = |response| {
        let ignored = intent(&call("CreateSecret", json!({}), response));
        let Intent::Ignored { reason, .. } = ignored else {
            panic!("{ignored:?}");
        };
        reason
    };
    let without = created(json!({"name": "prod/db"}));
    assert!(without.contains("created without a value"), "{without}");
    let updated = intent(&call("UpdateSecret", json!({}), json!({"name": "prod/db"})));
    assert!(!format!("{updated:?}").contains("created without a value"));
}
