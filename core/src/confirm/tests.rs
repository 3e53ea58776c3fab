use super::*;
use crate::testing::{DB, LIMIT, MAIL, bounds, labeled, reference, second, untagged};

/// Facts of a secret whose labels are on these versions, last changed at 200.
fn facts(labels: &[(&str, &str)]) -> SecretFacts {
    let owned = |(label, version): &(&str, &str)| ((*label).to_owned(), (*version).to_owned());
    SecretFacts {
        arn: SecretArn::parse(DB).unwrap(),
        labels: labels.iter().map(owned).collect(),
        last_changed: Some(second(200)),
        last_rotated: None,
        tag: None,
    }
}

/// What is known of the change of a secret that was last changed then.
fn changed(
    label: &str,
    version: Option<&str>,
    moved: Bounds,
    last_changed: Option<i64>,
) -> Confirmation {
    let version = version.map(str::to_owned);
    Confirmation::Changes(vec![Change {
        last_changed: last_changed.map(second),
        ..untagged(Change::new(labeled(DB, label), version, moved))
    }])
}

/// The same of a secret that was last changed at 200.
fn changed_at(label: &str, version: Option<&str>, at: i64) -> Confirmation {
    changed(label, version, bounds(at, at), Some(200))
}

/// A claim about 100.
fn claim_of(claim: Claim) -> UnconfirmedChange {
    UnconfirmedChange {
        secret_id: DB.to_owned(),
        region: None,
        claim,
        at: Some(second(100)),
    }
}

fn moved(labels: &[&str], version: Option<&str>) -> Claim {
    Claim::Moved {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        version: version.map(str::to_owned),
    }
}

#[test]
fn the_tag_of_the_secret_comes_with_its_change() {
    let tagged = SecretFacts {
        tag: Some("urgent later".to_owned()),
        ..facts(&[(AWSCURRENT, "v2")])
    };
    let (tag, wrong) = tagged.words();
    assert!(tag.is_urgent && !tag.is_ignored);
    assert_eq!(wrong, ["later"]);
    let confirmed = claim_of(moved(&[AWSCURRENT], Some("v2"))).confirm(&tagged, second(300));
    let Confirmation::Changes(changes) = confirmed else {
        panic!("{confirmed:?}");
    };
    assert_eq!(changes[0].tag.known(), Some(&tag));
}

#[test]
fn a_moved_label_that_is_still_there_is_a_change_at_the_earlier_bound() {
    let facts = facts(&[(AWSCURRENT, "v2"), ("Other", "v1")]);
    let claim = claim_of(moved(&[AWSCURRENT, "Gone"], Some("v2")));
    let now = second(300);
    assert_eq!(
        claim.confirm(&facts, now),
        changed_at(AWSCURRENT, Some("v2"), 100)
    );
    let late = UnconfirmedChange {
        at: Some(second(250)),
        ..claim.clone()
    };
    assert_eq!(
        late.confirm(&facts, now),
        changed_at(AWSCURRENT, Some("v2"), 200)
    );
    let untimed = UnconfirmedChange { at: None, ..claim };
    let unchanged = SecretFacts {
        last_changed: None,
        ..facts.clone()
    };
    assert_eq!(
        untimed.confirm(&unchanged, now),
        changed(AWSCURRENT, Some("v2"), bounds(300, 300), None)
    );
    let gone = claim_of(moved(&["Gone"], Some("v2"))).confirm(&facts, now);
    assert!(matches!(gone, Confirmation::Nothing(_)));
}

#[test]
fn each_label_that_moved_is_a_change_of_its_own() {
    let facts = facts(&[(AWSCURRENT, "v2"), ("Custom", "v2")]);
    let claim = claim_of(moved(&[AWSCURRENT, "Custom"], Some("v2")));
    let Confirmation::Changes(changes) = claim.confirm(&facts, second(300)) else {
        panic!("both moved")
    };
    let labels: Vec<_> = changes.iter().map(|change| change.source.label()).collect();
    assert_eq!(labels, [Some(AWSCURRENT), Some("Custom")]);
}

#[test]
fn a_rotation_that_succeeded_moved_the_label_at_any_time_before() {
    let claim = claim_of(Claim::Rotated);
    let confirmed = |last_changed: Option<i64>| {
        let facts = SecretFacts {
            last_changed: last_changed.map(second),
            ..facts(&[(AWSCURRENT, "v2")])
        };
        claim.confirm(&facts, second(300))
    };
    let until = |at, last_changed| {
        let moved = Bounds::until(second(at));
        changed(AWSCURRENT, Some("v2"), moved, last_changed)
    };
    for (last_changed, at) in [(Some(200), 100), (Some(90), 90), (None, 100)] {
        assert_eq!(confirmed(last_changed), until(at, last_changed));
    }
}

#[test]
fn a_request_is_a_change_at_its_own_time() {
    let facts = facts(&[(AWSCURRENT, "v2")]);
    let asked = UnconfirmedChange {
        at: Some(second(250)),
        ..claim_of(Claim::Asked)
    };
    let at = |at| changed_at(AWSCURRENT, Some("v2"), at);
    assert_eq!(asked.confirm(&facts, second(300)), at(250));
    let untimed = UnconfirmedChange { at: None, ..asked };
    assert_eq!(untimed.confirm(&facts, second(300)), at(300));
}

#[test]
fn a_stored_version_is_a_change_once_it_was_current() {
    let claim = claim_of(Claim::Stored("v2".to_owned()));
    let verdict = |labels: &[(&str, &str)]| claim.confirm(&facts(labels), second(300));
    assert_eq!(
        verdict(&[(AWSCURRENT, "v2")]),
        changed_at(AWSCURRENT, Some("v2"), 100)
    );
    assert_eq!(
        verdict(&[(AWSCURRENT, "v3"), (AWSPREVIOUS, "v2")]),
        changed_at(AWSCURRENT, Some("v3"), 100)
    );
    for labels in [(AWSCURRENT, "v1"), ("Custom", "v2")] {
        assert!(matches!(verdict(&[labels]), Confirmation::Nothing(_)));
    }
}

#[test]
fn a_requested_rotation_lies_between_the_request_and_the_secrets_own_times() {
    let claim = claim_of(Claim::Requested("v2".to_owned()));
    let done = facts(&[(AWSCURRENT, "v2")]);
    let between = |last_changed, last_rotated| {
        let facts = SecretFacts {
            last_changed,
            last_rotated,
            ..done.clone()
        };
        match claim.confirm(&facts, second(300)) {
            Confirmation::Changes(changes) => changes[0].reported,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(between(Some(second(200)), None), bounds(99, 200));
    assert_eq!(
        between(Some(second(200)), Some(second(150))),
        bounds(99, 150)
    );
    assert_eq!(
        between(Some(second(200)), Some(second(100))),
        bounds(99, 100)
    );
    let in_the_second = between(Some(second(200)), Some(second(99)));
    assert_eq!(in_the_second, bounds(99, 99));
    let earlier_rotation = between(Some(second(200)), Some(second(98)));
    assert_eq!(earlier_rotation, bounds(99, 200));
    assert_eq!(between(None, None), bounds(99, 300));
    assert_eq!(between(Some(second(50)), None), bounds(50, 50));
    let untimed = UnconfirmedChange {
        at: None,
        ..claim.clone()
    };
    let rotated = SecretFacts {
        last_rotated: Some(second(150)),
        tag: None,
        ..done
    };
    assert_eq!(
        untimed.confirm(&rotated, second(300)),
        changed(
            AWSCURRENT,
            Some("v2"),
            Bounds::until(second(200)),
            Some(200)
        )
    );
}

#[test]
fn a_requested_rotation_is_pending_until_it_must_have_ended() {
    let claim = claim_of(Claim::Requested("v2".to_owned()));
    let verdict = |labels: &[(&str, &str)], now| claim.confirm(&facts(labels), second(now));
    let before = [(AWSCURRENT, "v1")];
    assert!(matches!(verdict(&before, 100), Confirmation::Pending(_)));
    assert!(matches!(verdict(&before, 400), Confirmation::Pending(_)));
    assert!(matches!(verdict(&before, 401), Confirmation::Nothing(_)));
    let preparing = [(AWSCURRENT, "v1"), (AWSPENDING, "v2")];
    assert!(matches!(verdict(&preparing, 401), Confirmation::Pending(_)));
    let Confirmation::Pending(text) = verdict(&preparing, 100) else {
        panic!("it is pending")
    };
    assert!(text.contains(DB) && text.contains("v2"), "{text}");
}

/// What a claim of 100 comes to at 110, when the secret changed last at this time.
fn early(claim: Claim, labels: &[(&str, &str)], last_changed: i64) -> Confirmation {
    let facts = SecretFacts {
        last_changed: Some(second(last_changed)),
        ..facts(labels)
    };
    claim_of(claim).confirm(&facts, second(110))
}

fn is_outdated(confirmation: &Confirmation) -> bool {
    matches!(confirmation, Confirmation::Outdated(_))
}

#[test]
fn an_answer_without_the_events_version_on_the_label_is_outdated() {
    let claim = || moved(&[AWSCURRENT], Some("v2"));
    assert!(is_outdated(&early(claim(), &[(AWSCURRENT, "v1")], 100)));
    assert!(is_outdated(&early(claim(), &[("Other", "v2")], 100)));
    assert!(!is_outdated(&early(claim(), &[(AWSCURRENT, "v2")], 100)));
    let changed_since = early(claim(), &[(AWSCURRENT, "v3")], 101);
    assert!(!is_outdated(&changed_since));
    let Confirmation::Outdated(text) = early(claim(), &[(AWSCURRENT, "v1")], 50) else {
        panic!("it is outdated")
    };
    assert!(text.contains(DB), "{text}");
}

#[test]
fn an_answer_that_is_older_than_the_events_second_is_outdated() {
    for claim in [Claim::Stored("v2".to_owned()), moved(&[AWSCURRENT], None)] {
        // Clocks differ by five seconds at most, and the second began at 99.
        let at = |last_changed| early(claim.clone(), &[(AWSCURRENT, "v1")], last_changed);
        assert!(is_outdated(&at(93)), "{claim:?}");
        let names_its_version = matches!(claim, Claim::Stored(_));
        assert_eq!(is_outdated(&at(94)), names_its_version, "{claim:?}");
        assert!(!is_outdated(&at(101)), "{claim:?}");
        // After ten seconds, only one that is older by more than the clocks differ.
        let late = |last_changed| {
            let facts = SecretFacts {
                last_changed: Some(second(last_changed)),
                ..facts(&[(AWSCURRENT, "v1")])
            };
            claim_of(claim.clone()).confirm(&facts, second(111))
        };
        assert!(is_outdated(&late(93)), "{claim:?}");
        assert!(!is_outdated(&late(94)), "{claim:?}");
    }
    let shown = early(Claim::Stored("v2".to_owned()), &[("Custom", "v2")], 50);
    assert!(!is_outdated(&shown));
}

#[test]
fn the_end_the_request_and_the_wish_of_a_rotation_are_never_outdated() {
    for claim in [
        Claim::Rotated,
        Claim::Requested("v2".to_owned()),
        Claim::Asked,
    ] {
        assert!(!is_outdated(&early(claim, &[(AWSCURRENT, "v1")], 50)));
    }
}

#[test]
fn an_answer_of_a_minute_after_the_event_is_the_truth() {
    let claim = claim_of(moved(&[AWSCURRENT], Some("v2")));
    let facts = SecretFacts {
        last_changed: Some(second(50)),
        ..facts(&[(AWSCURRENT, "v1")])
    };
    assert!(is_outdated(&claim.confirm(&facts, second(160))));
    assert!(!is_outdated(&claim.confirm(&facts, second(161))));
    let never_changed = SecretFacts {
        last_changed: None,
        ..facts.clone()
    };
    assert!(!is_outdated(&claim.confirm(&never_changed, second(110))));
    // Clocks differ by five seconds at most, and the second of the event began at 99.
    for (last_changed, expected) in [(93, true), (94, false)] {
        let facts = SecretFacts {
            last_changed: Some(second(last_changed)),
            ..facts.clone()
        };
        let late = claim.confirm(&facts, second(111));
        assert_eq!(is_outdated(&late), expected, "{last_changed}");
    }
    let untimed = UnconfirmedChange { at: None, ..claim };
    assert!(!is_outdated(&untimed.confirm(&facts, second(110))));
}

#[test]
fn a_secret_that_is_gone_has_no_change_and_cannot_be_asked_for() {
    let gone = claim_of(Claim::Rotated).without_secret();
    assert!(matches!(gone, Confirmation::Nothing(_)));
    assert_eq!(
        claim_of(Claim::Asked).without_secret(),
        Confirmation::NoSecret
    );
}

#[test]
fn an_event_vouches_for_a_change_only_with_a_full_arn_and_a_time() {
    let unchecked = |claim| claim_of(claim).unchecked();
    let change = |label, version: Option<&str>| {
        Some(untagged(Change::new(
            labeled(DB, label),
            version.map(str::to_owned),
            bounds(100, 100),
        )))
    };
    assert_eq!(unchecked(Claim::Rotated), change(AWSCURRENT, None));
    assert_eq!(
        unchecked(moved(&["Custom", AWSCURRENT], Some("v2"))),
        change("Custom", Some("v2"))
    );
    assert_eq!(unchecked(moved(&[], None)), None);
    for claim in [
        Claim::Stored("v2".to_owned()),
        Claim::Requested("v2".to_owned()),
        Claim::Asked,
    ] {
        assert_eq!(unchecked(claim), None);
    }
    let by_name = UnconfirmedChange {
        secret_id: "prod/db".to_owned(),
        ..claim_of(Claim::Rotated)
    };
    assert_eq!(by_name.unchecked(), None);
    let untimed = UnconfirmedChange {
        at: None,
        ..claim_of(Claim::Rotated)
    };
    assert_eq!(untimed.unchecked(), None);
}

#[test]
fn a_claim_may_be_meant_by_whatever_can_name_its_secret() {
    let partial = DB.trim_end_matches("-Ab12Cd");
    let replaced = format!("{partial}-Xy98Zw");
    let is_meant = |secret_id: &str, value_from: &str| {
        let claim = UnconfirmedChange {
            secret_id: secret_id.to_owned(),
            ..claim_of(Claim::Rotated)
        };
        claim.may_be_meant_by(&reference(value_from))
    };
    let through_parameter = "/aws/reference/secretsmanager/prod/db";
    for id in [DB, partial, "prod/db"] {
        for value_from in [DB, partial, through_parameter, &format!("{DB}:key::")] {
            assert!(is_meant(id, value_from), "{id} by {value_from}");
        }
        for value_from in [MAIL, LIMIT, "/prod/db2", "/prod/d"] {
            assert!(!is_meant(id, value_from), "{id} by {value_from}");
        }
    }
    assert!(is_meant(DB, &replaced), "made again under the same name");
    assert!(!is_meant(MAIL, &replaced));
    assert!(!is_meant("prod/mail", partial));
    assert!(
        is_meant(&format!("{partial}:key::"), DB),
        "with what no ARN has"
    );
    assert!(!is_meant("a name", DB) && !is_meant("", DB));
}
