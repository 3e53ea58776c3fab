use std::collections::BTreeMap;

use super::*;
use crate::change::AWSCURRENT;
use crate::fact::GapKind;
use crate::facts::Scope;
use crate::plan::{End, Question, plan};
use crate::testing::{ACT, at_start, gap, labeled, location, reference, second, service};

const PRIMARY: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:AuthToken-tlyQdp";
const REPLICA: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AuthToken-tlyQdp";
const PARTIAL: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AuthToken";

fn current(arn: &str) -> Source {
    labeled(arn, AWSCURRENT)
}

/// The primary got version `v2` at 1,000 s.
fn change() -> Change {
    let moved = Bounds::exact(second(1_000));
    Change::new(current(PRIMARY), Some("v2".to_owned()), moved)
}

/// A replica with these versions, last changed at this second.
fn replica(labels: &[(&str, &str)], last_changed: i64) -> SecretFacts {
    let labels = labels.iter();
    let labels = labels.map(|(label, version)| ((*label).to_owned(), (*version).to_owned()));
    SecretFacts {
        arn: SecretArn::parse(REPLICA).unwrap(),
        labels: labels.collect::<BTreeMap<_, _>>(),
        last_changed: Some(second(last_changed)),
        last_rotated: None,
        tag: None,
    }
}

/// The bounds of the replica's change.
fn bounds(confirmation: &Confirmation) -> (i64, i64) {
    match confirmation {
        Confirmation::Changes(changes) => {
            assert_eq!(changes[0].source, current(REPLICA));
            let moved = changes[0].reported;
            (moved.not_before.as_second(), moved.not_after.as_second())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reference_may_mean_the_replica_in_the_region_of_its_service() {
    let here = location();
    let of = |value_from: &str| {
        let reference = reference(value_from);
        reference.replica_of(&current(PRIMARY), Some(&here))
    };
    for value_from in [
        REPLICA,
        PARTIAL,
        &format!("{REPLICA}:password::"),
        &format!("{REPLICA}::AWSPREVIOUS:"),
        "/aws/reference/secretsmanager/AuthToken",
    ] {
        assert_eq!(of(value_from), Some(current(REPLICA)), "{value_from}");
    }
    for value_from in [
        PRIMARY,
        &REPLICA.replace("eu-west-1", "eu-west-2"),
        &REPLICA.replace("123456789012", "210987654321"),
        &REPLICA.replace("tlyQdp", "aBcDeF"),
        &format!("{REPLICA}:::4d383ea9-084a-49c9-8722-cbfb0f25c456"),
        &format!("{REPLICA}::Other:"),
        "/AuthToken",
    ] {
        assert_eq!(of(value_from), None, "{value_from}");
    }
    let name = Reference::SecretName("AuthToken".to_owned());
    assert_eq!(
        name.replica_of(&current(PRIMARY), Some(&here)),
        Some(current(REPLICA))
    );
    assert_eq!(name.replica_of(&current(PRIMARY), None), None);
    assert_eq!(
        reference(REPLICA).replica_of(&current(PRIMARY), None),
        Some(current(REPLICA))
    );
    assert_eq!(
        reference(REPLICA).replica_of(&current(REPLICA), Some(&here)),
        None
    );
}

#[test]
fn a_replica_that_only_pulls_an_image_is_not_asked_for() {
    let pull = Use::AtImagePull(reference(REPLICA));
    let of = |uses: Vec<Use>| {
        let workload = Workload {
            uses: uses.into(),
            ..service()
        };
        workload.replicas_of(&current(PRIMARY)).count()
    };
    assert_eq!(of(vec![pull.clone()]), 0);
    assert_eq!(of(vec![pull, at_start(REPLICA)]), 1);
}

#[test]
fn a_replica_has_changed_once_it_has_the_version() {
    let now = second(1_010);
    let before = replica(&[(AWSCURRENT, "v1")], 500);
    let behind = change().in_replica(&before, false, now);
    assert!(matches!(behind, Confirmation::Outdated(_)), "{behind:?}");
    let tagged = replica(&[(AWSCURRENT, "v1")], 1_005);
    let behind = change().in_replica(&tagged, false, now);
    assert!(matches!(behind, Confirmation::Outdated(_)), "{behind:?}");
    for labels in [
        [(AWSCURRENT, "v2"), (AWSPREVIOUS, "v1")],
        [(AWSCURRENT, "v3"), (AWSPREVIOUS, "v2")],
    ] {
        let shown = change().in_replica(&replica(&labels, 1_004), false, now);
        assert_eq!(bounds(&shown), (1_000, 1_004));
    }
}

#[test]
fn the_time_of_the_change_is_that_of_the_replica() {
    let labels = [(AWSCURRENT, "v2")];
    let moved = |last_changed, was_behind| {
        let shown = change().in_replica(&replica(&labels, last_changed), was_behind, second(1_010));
        bounds(&shown)
    };
    assert_eq!(moved(1_004, true), (1_000, 1_004));
    assert_eq!(moved(1_000, false), (1_000, 1_000));
    assert_eq!(
        moved(999, true),
        (1_000, 1_010),
        "it has the primary's date"
    );
    // The event's clock may be ahead.
    let behind = replica(&labels, 990);
    let shown = change().in_replica(&behind, true, second(995));
    assert_eq!(bounds(&shown), (1_000, 1_000));
}

#[test]
fn an_old_event_may_be_about_a_version_that_was_replaced_since() {
    let labels = [(AWSCURRENT, "v4"), (AWSPREVIOUS, "v3")];
    let shown = |last_changed, now| {
        change().in_replica(&replica(&labels, last_changed), false, second(now))
    };
    assert_eq!(bounds(&shown(1_030, 1_061)), (1_000, 1_030));
    for (last_changed, now) in [(1_030, 1_060), (1_000, 1_061)] {
        let behind = shown(last_changed, now);
        assert!(matches!(behind, Confirmation::Outdated(_)), "{behind:?}");
    }
}

#[test]
fn an_event_without_a_version_is_shown_by_any_later_change() {
    let change = Change {
        version: None,
        ..change()
    };
    let shown = |last_changed| {
        let replica = replica(&[(AWSCURRENT, "v2")], last_changed);
        change.in_replica(&replica, false, second(1_010))
    };
    assert_eq!(bounds(&shown(1_001)), (1_000, 1_001));
    assert!(matches!(shown(1_000), Confirmation::Outdated(_)));
}

#[test]
fn a_label_that_is_gone_moves_nobody() {
    let replica = replica(&[(AWSPREVIOUS, "v2")], 1_004);
    let gone = change().in_replica(&replica, false, second(1_010));
    assert!(matches!(gone, Confirmation::Nothing(_)), "{gone:?}");
}

#[test]
fn a_replica_that_shows_the_change_is_announced_and_may_need_another_look() {
    let learned = |looked_at: i64, labels: &[(&str, &str)]| {
        let mut facts = Facts::new(Scope::Followers, second(1_000));
        facts.announce(change());
        facts.looked_at = Fact::Known(second(looked_at));
        let found = Fact::Known(Some(replica(labels, 1_004)));
        facts.learn_replica(&current(PRIMARY), current(REPLICA), found, second(1_010));
        facts
    };
    let shown = [(AWSCURRENT, "v2"), (AWSPREVIOUS, "v1")];
    for (looked_at, is_kept) in [(1_003, false), (1_004, true), (1_005, true)] {
        let facts = learned(looked_at, &shown);
        assert!(facts.announced.contains(&current(REPLICA)));
        assert_eq!(facts.looked_at.is_unasked(), !is_kept, "{looked_at}");
        assert_eq!(
            facts.replicas[&current(REPLICA)].asked_at,
            Some(second(1_010))
        );
    }
    let behind = learned(1_003, &[(AWSCURRENT, "v1")]);
    assert!(!behind.announced.contains(&current(REPLICA)) && !behind.looked_at.is_unasked());
    let answer = &behind.replicas[&current(REPLICA)].answer;
    assert!(matches!(answer.known(), Some(Confirmation::Outdated(_))));
}

#[test]
fn an_event_asks_about_the_replicas_that_services_follow_and_a_request_does_not() {
    let follower = Workload {
        uses: vec![at_start(REPLICA)].into(),
        ..service()
    };
    let of = |scope: Scope| {
        let mut facts = Facts::new(scope, second(1_050));
        facts.announce(change());
        facts.looked_at = Fact::Known(second(1_050));
        facts
            .workloads
            .insert(follower.arn.clone(), follower.clone());
        facts
    };
    let is_asked = |facts: &Facts| {
        let plan = plan(facts, &ACT, second(1_060));
        let mut questions = plan.questions.iter();
        questions.any(|question| matches!(question, Question::Replica { .. }))
    };
    let mut facts = of(Scope::Followers);
    assert!(is_asked(&facts));
    assert!(!is_asked(&of(Scope::Everything)));
    let request = Facts {
        requested_at: Some(second(1_050)),
        ..of(Scope::Followers)
    };
    assert!(!is_asked(&request));
    // One that follows the primary, too, is decided about, and what is behind is said of it.
    let both = Workload {
        arn: crate::testing::service_arn("both"),
        uses: vec![at_start(REPLICA), at_start(PRIMARY)].into(),
        ..service()
    };
    let behind = Fact::Known(Some(replica(&[(AWSCURRENT, "v1")], 500)));
    for found in [Fact::Unavailable(gap(GapKind::Denied)), behind] {
        let mut facts = of(Scope::Followers);
        facts.workloads.insert(both.arn.clone(), both.clone());
        facts.learn_replica(&current(PRIMARY), current(REPLICA), found, second(1_060));
        let decided = plan(&facts, &ACT, second(2_000));
        assert_eq!(decided.end, None);
        let mut decisions = decided.decisions.iter();
        let of_follower = decisions.find(|decision| decision.workload == follower.arn);
        assert!(of_follower.unwrap().error.is_some());
    }
    // Nobody follows anything else that changed.
    let denied = gap(GapKind::Denied);
    let found = Fact::Unavailable(denied.clone());
    facts.learn_replica(&current(PRIMARY), current(REPLICA), found, second(1_060));
    let ended = plan(&facts, &ACT, second(1_060)).end;
    assert_eq!(ended, Some(End::Unavailable(denied)));
}
