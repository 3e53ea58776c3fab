use super::*;
use crate::fact::GapKind;
use crate::testing::{DB, LIMIT, bounds, change, gap, labeled, location, second, source};

#[test]
fn a_moment_is_known_to_the_second_or_lies_between_two() {
    assert_eq!(Bounds::exact(second(5)), bounds(5, 5));
    assert!(Bounds::exact(second(5)).is_exact());
    assert!(bounds(6, 5).is_exact(), "clocks differ");
    assert!(!bounds(4, 5).is_exact());
    let until = Bounds::until(second(5));
    assert_eq!(
        (until.not_before, until.not_after),
        (Timestamp::MIN, second(5))
    );
    assert!(!until.is_exact());
}

#[test]
fn what_starts_a_second_after_the_upper_bound_is_fresh() {
    assert_eq!(bounds(1, 5).fresh_from(), second(6));
    assert_eq!(fresh_from(Timestamp::MAX), Timestamp::MAX);
}

/// When a change moved that was reported between 100 and 200.
fn moved(stored: Fact<Option<VersionStored>>, trail: Fact<Option<TrailMove>>) -> Bounds {
    Change {
        stored,
        trail,
        ..Change::new(source(DB), None, bounds(100, 200))
    }
    .moved()
}

fn stored(at: i64, is_only: bool) -> Fact<Option<VersionStored>> {
    let at = second(at);
    Fact::Known(Some(VersionStored { at, is_only }))
}

#[test]
fn a_change_moved_as_reported_as_long_as_nothing_more_is_known() {
    assert_eq!(moved(Fact::Unasked, Fact::Unasked), bounds(100, 200));
    assert_eq!(
        moved(Fact::Known(None), Fact::Known(None)),
        bounds(100, 200)
    );
    let unavailable = moved(
        Fact::Unavailable(gap(GapKind::Denied)),
        Fact::Unavailable(gap(GapKind::Failed)),
    );
    assert_eq!(unavailable, bounds(100, 200));
}

#[test]
fn a_label_did_not_move_before_its_version_was_stored() {
    assert_eq!(moved(stored(150, false), Fact::Unasked), bounds(150, 200));
    assert_eq!(moved(stored(50, false), Fact::Unasked), bounds(100, 200));
}

#[test]
fn the_only_version_had_the_label_when_it_was_stored() {
    assert_eq!(moved(stored(150, true), Fact::Unasked), bounds(149, 149));
    assert_eq!(moved(stored(300, true), Fact::Unasked), bounds(200, 200));
}

#[test]
fn a_version_that_was_stored_after_the_event_is_of_the_next_change() {
    let moved = |at: i64, last_changed: Option<i64>| {
        Change {
            stored: stored(at, false),
            last_changed: last_changed.map(second),
            ..Change::new(source(DB), None, bounds(100, 200))
        }
        .moved()
    };
    assert_eq!(moved(250, None), bounds(250, 250));
    assert_eq!(moved(250, Some(300)), bounds(250, 300));
    assert_eq!(moved(250, Some(220)), bounds(250, 250));
    assert_eq!(moved(200, Some(300)), bounds(200, 200));
}

#[test]
fn a_record_of_the_trail_narrows_the_bounds() {
    let trail = |trail| moved(Fact::Unasked, Fact::Known(Some(trail)));
    assert_eq!(trail(TrailMove::At(second(150))), bounds(150, 150));
    assert_eq!(trail(TrailMove::At(second(250))), bounds(200, 200));
    assert_eq!(trail(TrailMove::NotBefore(second(150))), bounds(150, 200));
    assert_eq!(trail(TrailMove::NotBefore(second(50))), bounds(100, 200));
    assert_eq!(trail(TrailMove::NotAfter(second(150))), bounds(100, 150));
    assert_eq!(trail(TrailMove::NotAfter(second(250))), bounds(100, 200));
}

#[test]
fn the_trail_and_the_store_narrow_together() {
    let trail = Fact::Known(Some(TrailMove::NotAfter(second(180))));
    assert_eq!(moved(stored(150, false), trail), bounds(150, 180));
    let trail = Fact::Known(Some(TrailMove::NotBefore(second(120))));
    assert_eq!(moved(stored(150, false), trail), bounds(150, 200));
}

#[test]
fn a_new_change_is_as_reported_and_nothing_else_is_known() {
    let change = change(DB, 100);
    assert!(change.stored.is_unasked() && change.trail.is_unasked());
    assert_eq!(change.moved(), bounds(100, 100));
}

#[test]
fn the_name_of_a_parameter_in_a_path_begins_with_a_slash() {
    let flat = LIMIT.replace("app/limit", "limit");
    let name = |arn: &str| source(arn).name().into_owned();
    assert_eq!(
        [LIMIT, &flat, DB].map(name),
        ["/app/limit", "limit", "prod/db"]
    );
}

#[test]
fn a_source_is_looked_up_by_the_names_that_references_have() {
    assert_eq!(source(DB).lookup_names(), ["prod/db", "prod/db-Ab12Cd"]);
    assert_eq!(source(LIMIT).lookup_names(), ["app/limit"]);
    assert_eq!(labeled(DB, "Custom").label(), Some("Custom"));
    assert_eq!(source(LIMIT).label(), None);
    for arn in [DB, LIMIT] {
        assert_eq!(source(arn).location(), location());
        assert_eq!(source(arn).to_string(), arn);
    }
}
