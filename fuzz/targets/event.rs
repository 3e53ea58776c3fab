//! Whatever bytes arrive as an event: nothing panics, errors name a field and repeat no value, and what is accepted is
//! fit to be asked AWS about.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::{Corpus, fuzz_target};
use redeploy_core::arn::Arn;
use redeploy_core::arn::SecretArn;
use redeploy_core::change::{AWSCURRENT, AWSPENDING, Change, Source};
use redeploy_core::confirm::{Claim, Confirmation, SecretFacts, UnconfirmedChange};
use redeploy_core::emf::LogContext;
use redeploy_core::event::{Intent, InvalidEvent, Target, parse, sqs_batch};
use redeploy_core::reference::Reference;
use redeploy_core::report::Report;
use serde_json::Value;

/// What no event has by chance and no text of ours may have.
const MARK: &str = "\u{1f512}";

/// The fields that say what kind of event it is. Their values are compared with constants.
const KINDS: [&str; 10] = [
    "action",
    "detail-type",
    "source",
    "eventSource",
    "eventName",
    "operation",
    "labelUpdated",
    "rotateImmediately",
    "messageId",
    "state",
];

/// What an error may name.
const FIELDS: [&str; 36] = [
    "action",
    "additionalEventData",
    "arn",
    "aRN",
    "ARN",
    "awsRegion",
    "clientRequestToken",
    "deploymentId",
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
    "detail-type",
    "payload",
    "secret",
    "secretId",
    "SecretId",
    "service",
    "serviceEventDetails",
    "state",
    "time",
    "versionId",
    "VersionId",
];

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(payload) = serde_json::from_slice::<Value>(data) else {
        return Corpus::Reject;
    };
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
        Ok(trigger) => accepted(&trigger.intent),
        Err(invalid) => fails(invalid),
    }
    mark(&mut payload);
    match parse(&payload).map(|trigger| trigger.intent) {
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
            members
                .iter_mut()
                .filter(|(name, _)| !KINDS.contains(&name.as_str()))
                .for_each(|(_, value)| mark(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An error names a field by words that stand in our own source, and its report is well-formed.
fn fails(invalid: InvalidEvent) {
    let field = &invalid.field;
    for name in field.split('.') {
        let name = name
            .strip_suffix(']')
            .and_then(|name| name.split_once('['))
            .map_or(name, |(name, index)| {
                index.parse::<usize>().unwrap_or_else(|_| panic!("{field}"));
                name
            });
        // `versionStages` is both a field and what no other field is called.
        assert!(
            FIELDS.contains(&name) || name.starts_with("versionStage"),
            "{field}"
        );
    }
    assert!(invalid.to_string().contains(field), "{invalid}");
    let report = Report::from(invalid);
    let context = LogContext {
        timestamp: Timestamp::UNIX_EPOCH,
        request_id: "id",
        function_name: "name",
        duration_ms: 1,
    };
    serde_json::from_str::<Value>(&report.log_line(&context)).unwrap();
    serde_json::from_str::<Value>(&report.error_message()).unwrap();
}

/// What the rest of the program relies on.
fn accepted(intent: &Intent) {
    match intent {
        Intent::Ignored { reason, .. } => assert!(!reason.is_empty()),
        Intent::Changed(change) => {
            assert!(change.reported.is_exact());
            match &change.source {
                Source::Secret { arn, label } => {
                    replicated(change);
                    assert!(!label.is_empty() && label != AWSPENDING);
                    assert_eq!(SecretArn::parse(&arn.to_string()).as_ref(), Some(arn));
                    assert!(!arn.name().is_empty());
                }
                Source::Parameter(_) => {
                    assert!(arn_is_of(&change.source.to_string(), "ssm"));
                }
            }
        }
        Intent::MayHaveChanged(claimed) => confirmed(claimed),
        Intent::Request { target, .. } => {
            let (Target::Secret(name) | Target::Service(name)) = target;
            assert!(!name.is_empty() && name.len() <= 2048);
        }
        Intent::Sweep => {}
        Intent::Deployment { service, completed } => {
            assert!(arn_is_of(service, "ecs"));
            assert!(completed.as_ref().is_none_or(|id| !id.is_empty()));
        }
    }
}

/// Holds a change against replicas in several states: none changed before its primary.
fn replicated(change: &Change) {
    let Source::Secret { arn, label } = &change.source else {
        return;
    };
    let at = change.reported.not_after;
    let versions = [change.version.clone(), Some("another".to_owned())];
    for version in versions.into_iter().flatten() {
        for last_changed in [
            None,
            Some(at),
            Some(Timestamp::UNIX_EPOCH),
            Some(Timestamp::MAX),
        ] {
            for (was_behind, now) in [
                (false, at),
                (true, Timestamp::UNIX_EPOCH),
                (true, Timestamp::MAX),
            ] {
                let replica = SecretFacts {
                    arn: arn.clone(),
                    labels: [(label.clone(), version.clone())].into(),
                    last_changed,
                    last_rotated: None,
                    tag: None,
                };
                match change.in_replica(&replica, was_behind, now) {
                    Confirmation::Changes(changes) => {
                        assert_eq!(changes.len(), 1);
                        assert_eq!(changes[0].version.as_ref(), Some(&version));
                        let bounds = changes[0].reported;
                        assert!(at <= bounds.not_before && bounds.not_before <= bounds.not_after);
                    }
                    Confirmation::Outdated(reason) => {
                        assert!(!reason.is_empty());
                        assert_ne!(change.version.as_ref(), Some(&version));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

fn arn_is_of(text: &str, service: &str) -> bool {
    Arn::parse(text).is_some_and(|arn| arn.service == service && arn.to_string() == text)
}

/// Holds the claim against secrets in several states: no verdict goes beyond what the secret says.
fn confirmed(claimed: &UnconfirmedChange) {
    assert!(!claimed.secret_id.is_empty() && claimed.secret_id.len() <= 2048);
    if let Ok(reference) = Reference::parse_secret(&claimed.secret_id) {
        assert!(
            claimed.may_be_meant_by(&reference),
            "by whoever names it alike"
        );
    }
    if let Some(change) = claimed.unchecked() {
        assert_eq!(change.source.to_string(), claimed.secret_id);
        assert_eq!(Some(change.reported.not_after), claimed.at);
    }
    let version = match &claimed.claim {
        Claim::Moved { labels, version } => {
            assert!(!labels.is_empty() && labels.iter().all(|label| label != AWSPENDING));
            version.clone()
        }
        Claim::Stored(version) | Claim::Requested(version) => {
            assert!(!version.is_empty());
            Some(version.clone())
        }
        Claim::Rotated => None,
        Claim::Asked => panic!("no event asks"),
    };
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
    let changed = Timestamp::constant(1_790_000_000, 0);
    let late = Timestamp::constant(1_800_000_000, 0);
    // A moment after the event, and long after it.
    for now in claimed.at.into_iter().chain([late]) {
        for current in [version.clone(), Some("another".to_owned()), None] {
            for (last_changed, last_rotated) in [
                (None, None),
                (Some(changed), Some(changed)),
                (Some(now), None),
            ] {
                let labels = current
                    .iter()
                    .map(|version| (AWSCURRENT.to_owned(), version.clone()));
                let secret = SecretFacts {
                    arn: SecretArn::parse(arn).unwrap(),
                    labels: labels.collect(),
                    last_changed,
                    last_rotated,
                    tag: None,
                };
                verdict(claimed, &secret, now);
            }
        }
    }
}

fn verdict(claimed: &UnconfirmedChange, secret: &SecretFacts, now: Timestamp) {
    match claimed.confirm(secret, now) {
        Confirmation::Changes(changes) => {
            assert!(!changes.is_empty());
            for change in changes {
                let label = change.source.label().unwrap();
                assert_eq!(change.version.as_ref(), secret.labels.get(label));
                assert!(secret.labels.contains_key(label) || label == AWSCURRENT);
                let bounds = change.reported;
                assert!(bounds.not_before <= bounds.not_after);
                let last_changed = secret.last_changed;
                assert!(last_changed.is_none_or(|changed| bounds.not_after <= changed));
            }
        }
        Confirmation::Pending(reason)
        | Confirmation::Outdated(reason)
        | Confirmation::Nothing(reason) => assert!(!reason.is_empty()),
        Confirmation::NoSecret => panic!("only a request can name no secret"),
    }
}
