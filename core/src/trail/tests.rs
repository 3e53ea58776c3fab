use super::*;
use crate::change::Bounds;
use crate::testing::{DB, LIMIT, MAIL, bounds, change, labeled, second, source};

/// A record about `prod/db` at this time.
fn record(claim: Claim, at: i64) -> UnconfirmedChange {
    UnconfirmedChange {
        secret_id: DB.to_owned(),
        region: None,
        claim,
        at: Some(second(at)),
    }
}

fn moved(labels: &[&str], version: Option<&str>) -> Claim {
    Claim::Moved {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        version: version.map(str::to_owned),
    }
}

fn promoted(version: &str) -> Claim {
    moved(&[AWSCURRENT], Some(version))
}

/// AWSCURRENT of `prod/db` came to v2 between 100 and 200.
fn to_v2() -> Change {
    Change::new(source(DB), Some("v2".to_owned()), bounds(100, 200))
}

#[test]
fn the_last_move_of_a_complete_history_is_the_one() {
    let records = [record(promoted("v2"), 110), record(promoted("v2"), 150)];
    let found = find_move(&to_v2(), &records, true);
    assert_eq!(found, Some(TrailMove::At(second(150))));
    assert_eq!(find_move(&to_v2(), &[], true), None);
}

#[test]
fn a_later_move_may_be_missing_from_a_history_that_is_not_complete() {
    let found = |at| find_move(&to_v2(), &[record(promoted("v2"), at)], false);
    assert_eq!(found(150), Some(TrailMove::NotBefore(second(149))));
    assert_eq!(found(199), Some(TrailMove::NotBefore(second(198))));
    assert_eq!(found(200), Some(TrailMove::At(second(200))));
}

#[test]
fn what_is_older_than_the_bounds_was_another_move() {
    assert_eq!(
        find_move(&to_v2(), &[record(promoted("v2"), 99)], true),
        None
    );
    let found = find_move(&to_v2(), &[record(promoted("v2"), 100)], true);
    assert_eq!(found, Some(TrailMove::At(second(100))));
}

#[test]
fn a_record_that_comes_after_the_move_is_a_bound_of_a_complete_history() {
    for claim in [Claim::Rotated, moved(&[AWSCURRENT], None)] {
        let records = [record(claim, 150)];
        let found = find_move(&to_v2(), &records, true);
        assert_eq!(found, Some(TrailMove::NotAfter(second(150))));
        assert_eq!(find_move(&to_v2(), &records, false), None);
    }
}

#[test]
fn the_moment_itself_is_worth_more_than_a_later_bound() {
    let records = [record(promoted("v2"), 120), record(Claim::Rotated, 150)];
    let found = find_move(&to_v2(), &records, true);
    assert_eq!(found, Some(TrailMove::At(second(120))));
}

#[test]
fn a_record_counts_only_for_its_label_and_version() {
    let is_found = |claim| find_move(&to_v2(), &[record(claim, 150)], true).is_some();
    assert!(is_found(Claim::Stored("v2".to_owned())));
    assert!(!is_found(Claim::Stored("v3".to_owned())));
    assert!(is_found(moved(&["Custom", AWSCURRENT], Some("v2"))));
    assert!(!is_found(promoted("v3")));
    assert!(!is_found(moved(&["Custom"], Some("v2"))));
    assert!(!is_found(moved(&["Custom"], None)));
    assert!(!is_found(Claim::Requested("v2".to_owned())));
    assert!(!is_found(Claim::Asked));
    let custom = Change {
        source: labeled(DB, "Custom"),
        ..to_v2()
    };
    let is_found = |claim| find_move(&custom, &[record(claim, 150)], true).is_some();
    assert!(is_found(moved(&["Custom"], Some("v2"))));
    assert!(!is_found(Claim::Rotated));
    assert!(!is_found(Claim::Stored("v2".to_owned())));
}

#[test]
fn a_record_counts_only_for_its_secret_and_with_a_time() {
    let named = |secret_id: &str| UnconfirmedChange {
        secret_id: secret_id.to_owned(),
        ..record(promoted("v2"), 150)
    };
    let is_found = |record| find_move(&to_v2(), &[record], true).is_some();
    let partial = DB.trim_end_matches("-Ab12Cd");
    assert!(is_found(named(DB)) && is_found(named(partial)) && is_found(named("prod/db")));
    assert!(!is_found(named(MAIL)) && !is_found(named("prod/mail")) && !is_found(named("a b")));
    let untimed = UnconfirmedChange {
        at: None,
        ..record(promoted("v2"), 150)
    };
    assert!(!is_found(untimed));
    assert_eq!(
        find_move(&change(LIMIT, 150), &[record(Claim::Rotated, 150)], true),
        None
    );
}

#[test]
fn a_record_of_a_custom_labels_secret_is_known_by_its_name() {
    let custom = Change::new(
        labeled(DB, "Custom"),
        Some("v2".to_owned()),
        Bounds::until(second(200)),
    );
    let records = [record(moved(&["Custom"], Some("v2")), 150)];
    let found = find_move(&custom, &records, true);
    assert_eq!(found, Some(TrailMove::At(second(150))));
}
