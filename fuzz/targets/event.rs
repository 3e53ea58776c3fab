//! Whatever bytes arrive as an event: nothing panics, errors name a field and repeat no value, and what is accepted is
//! fit to be asked AWS about.
#![no_main]

use std::collections::BTreeMap;

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use redeploy_core::arn::Arn;
use redeploy_core::event::{Claim, Intent, InvalidEvent, SecretFacts, UnconfirmedChange, Confirmation, parse, sqs_batch};
use redeploy_core::report::{LogContext, Report};
use redeploy_core::secret::{AWSCURRENT, AWSPENDING, SecretArn, Source};
use serde_json::Value;

/// What no event has by chance and no text of ours may have.
const MARK: &str = "\u{1f512}";

/// The fields that say what kind of event it is. Their values are compared with constants.
const KINDS: [&str; 9] = [
    "action",
    "detail-type",
    "source",
    "eventSource",
    "eventName",
    "operation",
    "labelUpdated",
    "rotateImmediately",
    "messageId",
];

/// What an error may name.
const FIELDS: [&str; 31] = [
    "action",
    "additionalEventData",
    "arn",
    "aRN",
    "ARN",
    "awsRegion",
    "clientRequestToken",
    "detail",
    "errorCode",
    "eventName",
    "eventTime",
    "labelUpdated",
    "messageId",
    "moveToVersionId",
    "name",
    "Name",
    "operation",
    "Records",
    "region",
    "removeFromVersionId",
    "requestParameters",
    "resources",
    "responseElements",
    "rotateImmediately",
    "secret",
    "secretId",
    "SecretId",
    "serviceEventDetails",
    "time",
    "versionId",
    "VersionId",
];

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(payload) = serde_json::from_slice::<Value>(data) else { return Corpus::Reject };
    match sqs_batch(&payload) {
        Ok(Some(records)) => {
            for record in records {
                assert!(!record.message_id.is_empty());
                if let Some(Ok(body)) = record.body.map(serde_json::from_str) {
                    check(body);
                }
            }
        }
        Ok(None) => check(payload),
        Err(invalid) => fails(invalid),
    }
    Corpus::Keep
});

fn check(mut payload: Value) {
    match parse(&payload) {
        Ok(trigger) => accepted(&trigger.hint),
        Err(invalid) => fails(invalid),
    }
    mark(&mut payload);
    match parse(&payload).map(|trigger| trigger.hint) {
        Ok(Intent::Ignored { reason, .. }) => assert!(!reason.contains(MARK), "{reason}"),
        Ok(_) => {}
        Err(invalid) => assert!(!invalid.to_string().contains(MARK), "{invalid}"),
    }
}

/// Puts the mark into every text that does not decide what kind of event it is.
fn mark(value: &mut Value) {
    match value {
        Value::String(text) => text.push_str(MARK),
        Value::Array(elements) => elements.iter_mut().for_each(mark),
        Value::Object(members) => {
            members.iter_mut().filter(|(name, _)| !KINDS.contains(&name.as_str())).for_each(|(_, value)| mark(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An error names a field by words that stand in our own source, and its report is well-formed.
fn fails(invalid: InvalidEvent) {
    let field = &invalid.field;
    for name in field.split('.') {
        let name = name.strip_suffix(']').and_then(|name| name.split_once('[')).map_or(name, |(name, index)| {
            index.parse::<usize>().unwrap_or_else(|_| panic!("{field}"));
            name
        });
        // `versionStages` is both a field and what no other field is called.
        assert!(FIELDS.contains(&name) || name.starts_with("versionStage"), "{field}");
    }
    assert!(invalid.to_string().contains(field), "{invalid}");
    let report = Report::from(invalid);
    let context =
        LogContext { timestamp: Timestamp::UNIX_EPOCH, request_id: "id", function_name: "name", duration_ms: 1 };
    serde_json::from_str::<Value>(&report.log_line(&context)).unwrap();
    serde_json::from_str::<Value>(&report.error_message()).unwrap();
}

/// What the rest of the program relies on.
fn accepted(hint: &Intent) {
    match hint {
        Intent::Ignored { reason, .. } => assert!(!reason.is_empty()),
        Intent::Change(rotation) => match &rotation.subject {
            Source::Secret { arn, label } => {
                assert!(!label.is_empty() && label != AWSPENDING);
                assert_eq!(SecretArn::parse(&arn.to_string()).as_ref(), Some(arn));
                assert!(!arn.name().is_empty());
            }
            Source::Parameter(arn) => assert!(arn_is_of(&Source::Parameter(arn.clone()).to_string(), "ssm")),
        },
        Intent::Secret(hint) => confirmed(hint),
        Intent::Request { secret, .. } => assert!(!secret.is_empty()),
        Intent::Sweep => {}
        Intent::Service { arn } => assert!(arn_is_of(arn, "ecs")),
    }
}

fn arn_is_of(text: &str, service: &str) -> bool {
    Arn::parse(text).is_some_and(|arn| arn.service == service && arn.to_string() == text)
}

/// Holds the hint against secrets in several states: no verdict goes beyond what the secret says.
fn confirmed(hint: &UnconfirmedChange) {
    assert!(!hint.secret_id.is_empty() && hint.secret_id.len() <= 2048);
    let version = match &hint.claim {
        Claim::Moved { labels, version } => {
            assert!(!labels.is_empty() && labels.iter().all(|label| label != AWSPENDING));
            version.clone()
        }
        Claim::Stored(version) | Claim::Requested(version) => {
            assert!(!version.is_empty());
            Some(version.clone())
        }
    };
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
    let now = Timestamp::constant(1_800_000_000, 0);
    let changed = Timestamp::constant(1_790_000_000, 0);
    for current in [version, Some("another".to_owned()), None] {
        for (last_changed, last_rotated) in [(None, None), (Some(changed), Some(changed)), (Some(now), None)] {
            let labels: BTreeMap<_, _> =
                current.iter().map(|version| (AWSCURRENT.to_owned(), version.clone())).collect();
            let facts = SecretFacts { arn: SecretArn::parse(arn).unwrap(), labels, last_changed, last_rotated };
            match hint.confirm(&facts, now) {
                Confirmation::Rotations(rotations) => {
                    assert!(!rotations.is_empty());
                    for rotation in rotations {
                        let label = rotation.subject.label().unwrap();
                        assert_eq!(rotation.version.as_ref(), facts.labels.get(label));
                        assert!(facts.labels.contains_key(label) || label == AWSCURRENT);
                        assert!(last_changed.is_none_or(|changed| rotation.at <= changed));
                    }
                }
                Confirmation::Pending(reason) | Confirmation::Nothing(reason) => assert!(!reason.is_empty()),
            }
        }
    }
}
