use super::*;
use crate::fact::GapKind;
use crate::facts::{LastChange, Scope};
use crate::image::{ContainerImage, EcrImage, RevisionImages};
use crate::plan::{Plan, plan};
use crate::policy::Order;
use crate::tag::SecretTag;
use crate::testing::{
    ACT, DB, MAIL, REVISION, at_start, change, deployment, gap, past, platform, second, service,
    service_arn, source, tasks,
};
use crate::workload::RolloutState::{Completed, Failed, InProgress, Stopped};
use crate::workload::{Controller, Deployment, ServiceRevision, Strategy};

const MANAGED: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-Ab12Cd";

/// A service that follows `prod/db` and `prod/mail`, with this tag and deployment.
fn follower(name: &str, tag: &str, at: i64, rollout: RolloutState) -> Workload {
    Workload {
        arn: service_arn(name),
        tag: Some(tag.into()),
        uses: vec![at_start(DB), at_start(MAIL)].into(),
        deployments: vec![deployment(at, true, rollout)],
        read_at: Some(second(2000)),
        history: Fact::Known(Vec::new()),
        tasks: Fact::Known(Vec::new()),
        ..service()
    }
}

/// One that was deployed long before the change.
fn stale(name: &str) -> Workload {
    follower(name, "", 10, Completed)
}

/// The same, to go before the others.
fn first(at: i64, rollout: RolloutState) -> Workload {
    follower("first", "first", at, rollout)
}

/// One whose deployment of then ended like this, so that ECS returned to the one before.
fn ended(name: &str, tag: &str, at: i64, rollout: RolloutState) -> Workload {
    let past = Deployment {
        task_definition: Fact::Known(REVISION.into()),
        ..past(at, rollout)
    };
    Workload {
        history: Fact::Known(vec![past]),
        ..follower(name, tag, 10, Completed)
    }
}

/// Facts of an event about `prod/db`, which changed at 1000, read at 2000.
fn event(workloads: Vec<Workload>) -> Facts {
    let mut facts = Facts::new(Scope::Followers, second(1990));
    facts.announce(change(DB, 1000));
    facts.looked_at = Fact::Known(second(1990));
    facts.looked_for = [DB, MAIL, MANAGED].map(source).into();
    facts.has_first = workloads.iter().any(Workload::is_first);
    for (followed, labels) in workloads.iter().flat_map(Workload::followed) {
        // Nothing is known of it but what the event says.
        let last_change = LastChange {
            labels,
            asked_at: None,
            found: Fact::Known(None),
        };
        facts.followed.insert(followed, last_change);
    }
    let by_arn = workloads
        .into_iter()
        .map(|workload| (workload.arn.clone(), workload));
    facts.workloads = by_arn.collect();
    facts
}

fn plan_of(facts: &Facts, policy: &Policy) -> Plan {
    plan(facts, policy, second(2000))
}

/// What is decided about each, by the last part of its name.
fn reasons_of(facts: &Facts, policy: &Policy) -> Vec<(String, Reason)> {
    let plan = plan_of(facts, policy);
    assert_eq!(plan.questions, BTreeSet::new());
    let row = |decision: crate::decide::Decision| {
        let name = decision.workload.rsplit('/').next().map(str::to_owned);
        (name.unwrap(), decision.reason)
    };
    plan.decisions.into_iter().map(row).collect()
}

fn reasons(workloads: Vec<Workload>, policy: &Policy) -> Vec<(String, Reason)> {
    reasons_of(&event(workloads), policy)
}

fn rows(rows: &[(&str, Reason)]) -> Vec<(String, Reason)> {
    let row = |(name, reason): &(&str, Reason)| ((*name).to_owned(), *reason);
    rows.iter().map(row).collect()
}

fn at_most(max_in_flight: usize) -> Policy {
    Policy {
        order: Some(Order {
            max_in_flight: Some(max_in_flight),
        }),
        ..ACT
    }
}

#[test]
fn without_an_order_all_go_and_a_failure_halts_nobody() {
    let failed = ended("b", "", 1100, Failed);
    assert_eq!(
        reasons(vec![stale("a"), failed], &ACT),
        rows(&[("a", Reason::Stale), ("b", Reason::RolledBack)])
    );
}

#[test]
fn one_that_is_tagged_first_goes_before_the_others() {
    assert_eq!(
        reasons(vec![stale("a"), first(10, Completed)], &ACT),
        rows(&[("a", Reason::WaitingForFirst), ("first", Reason::Stale)])
    );
    assert_eq!(
        reasons(vec![stale("a"), first(1100, InProgress)], &ACT),
        rows(&[
            ("a", Reason::WaitingForFirst),
            ("first", Reason::AlreadyFresh)
        ])
    );
    assert_eq!(
        reasons(vec![stale("a"), first(1100, Completed)], &ACT),
        rows(&[("a", Reason::Stale), ("first", Reason::AlreadyFresh)])
    );
}

#[test]
fn a_first_waits_for_no_first() {
    let other = follower("z", "first auto", 10, Completed);
    assert_eq!(
        reasons(vec![first(10, Completed), other], &ACT),
        rows(&[("first", Reason::Stale), ("z", Reason::Stale)])
    );
}

#[test]
fn a_first_that_does_not_take_part_holds_nobody_back() {
    let tagged = |tag: &str| follower("first", tag, 10, Completed);
    let idle = Workload {
        desired: 0,
        running: 0,
        ..tagged("first")
    };
    for (first, reason) in [
        (tagged("first ignore"), Reason::OptedOut),
        (tagged("notify first"), Reason::NotifyOnly),
        (idle, Reason::NothingRunning),
    ] {
        assert_eq!(
            reasons(vec![stale("a"), first], &ACT),
            rows(&[("a", Reason::Stale), ("first", reason)])
        );
    }
}

#[test]
fn a_first_that_is_blocked_or_waits_holds_the_others_back() {
    let inactive = Workload {
        inactive_task_definition: true,
        ..first(10, Completed)
    };
    let busy = Workload {
        platform: platform(Controller::Ecs, Strategy::Canary),
        ..first(900, InProgress)
    };
    assert_eq!(
        reasons(vec![stale("a"), busy], &ACT),
        rows(&[
            ("a", Reason::WaitingForFirst),
            ("first", Reason::DeploymentInProgress)
        ])
    );
    assert_eq!(
        reasons(vec![stale("a"), inactive], &ACT),
        rows(&[
            ("a", Reason::WaitingForFirst),
            ("first", Reason::InactiveTaskDefinition)
        ])
    );
}

#[test]
fn a_roll_back_halts_the_rest_where_an_order_was_asked_for() {
    let failed = |name: &str, tag: &str, rollout| ended(name, tag, 1100, rollout);
    for rollout in [Failed, Stopped] {
        assert_eq!(
            reasons(vec![stale("a"), failed("first", "first", rollout)], &ACT),
            rows(&[("a", Reason::Halted), ("first", Reason::RolledBack)])
        );
        assert_eq!(
            reasons(vec![stale("a"), failed("b", "", rollout)], &at_most(5)),
            rows(&[("a", Reason::Halted), ("b", Reason::RolledBack)])
        );
    }
    let first_done = first(1100, Completed);
    assert_eq!(
        reasons(vec![stale("a"), failed("b", "", Failed), first_done], &ACT),
        rows(&[
            ("a", Reason::Halted),
            ("b", Reason::RolledBack),
            ("first", Reason::AlreadyFresh)
        ])
    );
}

#[test]
fn a_halt_ends_with_the_next_change_or_a_success() {
    let failed_before = ended("first", "first", 900, Failed);
    assert_eq!(
        reasons(vec![stale("a"), failed_before], &ACT),
        rows(&[("a", Reason::WaitingForFirst), ("first", Reason::Stale)])
    );
    let succeeded = Workload {
        deployments: first(1200, Completed).deployments,
        ..ended("first", "first", 1100, Failed)
    };
    assert_eq!(
        reasons(vec![stale("a"), succeeded], &ACT),
        rows(&[("a", Reason::Stale), ("first", Reason::AlreadyFresh)])
    );
}

#[test]
fn a_halt_outlasts_a_new_attempt_and_the_change_of_another_secret() {
    let again = Workload {
        deployments: vec![
            deployment(10, false, Completed),
            deployment(1900, true, InProgress),
        ],
        ..ended("b", "", 1100, Failed)
    };
    assert_eq!(
        reasons(vec![stale("a"), again.clone()], &at_most(5)),
        rows(&[("a", Reason::Halted), ("b", Reason::AlreadyFresh)])
    );
    let unasked = Workload {
        history: Fact::Unasked,
        ..again
    };
    let plan = plan_of(&event(vec![stale("a"), unasked]), &at_most(5));
    let history = Question::History {
        workload: service_arn("b"),
        since: second(1000),
    };
    assert_eq!(plan.questions, [history].into());
    let only_db = Workload {
        uses: vec![at_start(DB)].into(),
        ..stale("a")
    };
    let mut facts = event(vec![only_db, ended("b", "", 1100, Failed)]);
    facts.announce(change(MAIL, 1500));
    assert_eq!(
        reasons_of(&facts, &at_most(5)),
        rows(&[("a", Reason::Halted), ("b", Reason::Stale)])
    );
    let only_db = Workload {
        uses: vec![at_start(DB)].into(),
        ..first(10, Completed)
    };
    let mut with_first = facts.clone();
    with_first.has_first = true;
    with_first.workloads.insert(only_db.arn.clone(), only_db);
    assert_eq!(
        reasons_of(&with_first, &ACT),
        rows(&[
            ("a", Reason::Halted),
            ("b", Reason::WaitingForFirst),
            ("first", Reason::Stale)
        ]),
        "a first goes before the one that failed is tried again"
    );
    facts
        .workloads
        .insert(service_arn("c"), ended("c", "", 1100, Failed));
    assert_eq!(
        reasons_of(&facts, &at_most(5)),
        rows(&[
            ("a", Reason::Halted),
            ("b", Reason::Stale),
            ("c", Reason::Stale)
        ]),
        "those that got another value since do not wait for each other"
    );
}

#[test]
fn a_failure_halts_the_rest_though_another_secret_has_just_changed() {
    let only_db = Workload {
        uses: vec![at_start(DB)].into(),
        ..stale("a")
    };
    let failed = |history| Workload {
        history,
        ..stale("b")
    };
    let mut facts = event(vec![only_db, failed(Fact::Unasked)]);
    // Settled this second: for this change alone nothing can have failed yet.
    facts.announce(change(MAIL, 1989));
    let questions = plan_of(&facts, &at_most(5)).questions;
    let is_of_b = |question: &Question| matches!(question, Question::History { workload, .. } if *workload == service_arn("b"));
    assert!(questions.iter().any(is_of_b), "{questions:?}");
    let past = ended("b", "", 1100, Failed);
    facts.workloads.insert(past.arn.clone(), past);
    let reasons = plan_of(&facts, &at_most(5)).decisions;
    let reasons: Vec<_> = reasons.iter().map(|decision| decision.reason).collect();
    assert_eq!(reasons, [Reason::Halted, Reason::Stale]);
}

#[test]
fn a_failure_for_a_change_halts_those_that_miss_another_change_too() {
    let failed = Workload {
        uses: vec![at_start(DB)].into(),
        ..ended("b", "", 1100, Failed)
    };
    let mut facts = event(vec![stale("a"), failed]);
    facts.announce(change(MAIL, 1500));
    assert_eq!(
        reasons_of(&facts, &at_most(5)),
        rows(&[("a", Reason::Halted), ("b", Reason::RolledBack)])
    );
}

#[test]
fn where_nobody_is_to_go_nothing_is_asked_about_the_others() {
    let unasked = |workload| Workload {
        history: Fact::Unasked,
        ..workload
    };
    let rolling = || unasked(follower("r", "", 1100, InProgress));
    let asked = |workloads| plan_of(&event(workloads), &at_most(1)).questions;
    assert_eq!(asked(vec![rolling()]), BTreeSet::new());
    assert_eq!(
        asked(vec![rolling(), ended("b", "", 1100, Failed)]),
        BTreeSet::new()
    );
    assert_eq!(asked(vec![rolling(), stale("a")]).len(), 1);
}

#[test]
fn a_fresh_service_that_was_read_before_is_described_for_an_order() {
    let read_at = |at| Workload {
        read_at: Some(second(at)),
        // This process deployed it a moment ago, so that nothing else asks about it.
        forced_at: Some(second(1988)),
        ..follower("b", "", 1988, Completed)
    };
    let asked = |at| plan_of(&event(vec![stale("a"), read_at(at)]), &at_most(1)).questions;
    assert_eq!(asked(1989), [Question::Describe(service_arn("b"))].into());
    assert_eq!(asked(1990), BTreeSet::new());
}

#[test]
fn a_first_that_cannot_be_described_holds_the_others_back() {
    let mut facts = event(vec![stale("a")]);
    let unread = first(10, Completed);
    facts.unread_firsts.insert(unread.arn.clone(), unread);
    assert_eq!(
        reasons_of(&facts, &ACT),
        rows(&[("a", Reason::WaitingForFirst)])
    );
    let other = Workload {
        uses: vec![at_start(MAIL)].into(),
        ..first(10, Completed)
    };
    facts.unread_firsts.insert(other.arn.clone(), other);
    assert_eq!(reasons_of(&facts, &ACT), rows(&[("a", Reason::Stale)]));
}

#[test]
fn a_first_that_is_only_notified_holds_nobody_back_though_others_deploy_it() {
    let rolling = follower("first", "notify first", 1100, InProgress);
    assert_eq!(
        reasons(vec![stale("a"), rolling], &ACT),
        rows(&[("a", Reason::Stale), ("first", Reason::AlreadyFresh)])
    );
}

#[test]
fn a_rollout_of_an_hour_halts_as_a_first_and_gives_its_slot_back_otherwise() {
    let mut late = event(vec![stale("a"), first(1100, InProgress)]);
    late.workloads
        .values_mut()
        .for_each(|w| w.read_at = Some(second(4700)));
    late.began_at = second(4690);
    let at = |facts: &Facts, policy: &Policy, now| {
        let plan = plan(facts, policy, second(now));
        assert_eq!(plan.questions, BTreeSet::new());
        plan.decisions[0].reason
    };
    assert_eq!(at(&late, &ACT, 4699), Reason::WaitingForFirst);
    assert_eq!(at(&late, &ACT, 4700), Reason::Halted);
    let mut slot = event(vec![stale("a"), follower("b", "", 1100, InProgress)]);
    slot.workloads
        .values_mut()
        .for_each(|w| w.read_at = Some(second(4700)));
    slot.began_at = second(4690);
    assert_eq!(at(&slot, &at_most(1), 4699), Reason::MaxInFlight);
    assert_eq!(at(&slot, &at_most(1), 4700), Reason::Stale);
}

#[test]
fn no_more_go_than_may_be_in_flight_whoever_began_the_others() {
    let rolling = follower("z", "", 1100, InProgress);
    let three = || vec![stale("a"), stale("b"), stale("c"), rolling.clone()];
    assert_eq!(
        reasons(three(), &at_most(3)),
        rows(&[
            ("a", Reason::Stale),
            ("b", Reason::Stale),
            ("c", Reason::MaxInFlight),
            ("z", Reason::AlreadyFresh)
        ])
    );
    let held = reasons(three(), &at_most(1));
    assert!(
        held[..3]
            .iter()
            .all(|(_, reason)| *reason == Reason::MaxInFlight)
    );
    let done = follower("z", "", 1100, Completed);
    assert_eq!(
        reasons(vec![stale("a"), done], &at_most(1)),
        rows(&[("a", Reason::Stale), ("z", Reason::AlreadyFresh)])
    );
}

#[test]
fn a_rollout_of_one_that_does_not_take_part_takes_a_slot_and_holds_nobody_back_as_a_first() {
    let ignored = |tag| follower("z", tag, 1100, InProgress);
    assert_eq!(
        reasons(vec![stale("a"), ignored("ignore")], &at_most(1)),
        rows(&[("a", Reason::MaxInFlight), ("z", Reason::OptedOut)])
    );
    assert_eq!(
        reasons(vec![stale("a"), ignored("ignore first")], &at_most(2)),
        rows(&[("a", Reason::Stale), ("z", Reason::OptedOut)])
    );
    for rollout in [Completed, crate::workload::RolloutState::Unknown] {
        let done = follower("z", "ignore", 1100, rollout);
        assert_eq!(
            reasons(vec![stale("a"), done], &at_most(1)),
            rows(&[("a", Reason::Stale), ("z", Reason::OptedOut)])
        );
    }
}

#[test]
fn the_limit_is_one_of_each_change() {
    let only = |name: &str, arn: &str| Workload {
        uses: vec![at_start(arn)].into(),
        ..stale(name)
    };
    let mut facts = event(vec![only("a", DB), only("b", DB), only("c", MAIL)]);
    facts.announce(change(MAIL, 1000));
    assert_eq!(
        reasons_of(&facts, &at_most(1)),
        rows(&[
            ("a", Reason::Stale),
            ("b", Reason::MaxInFlight),
            ("c", Reason::Stale)
        ])
    );
    facts.workloads.insert(service_arn("d"), stale("d"));
    assert_eq!(
        reasons_of(&facts, &at_most(1)),
        rows(&[
            ("a", Reason::MaxInFlight),
            ("b", Reason::MaxInFlight),
            ("c", Reason::MaxInFlight),
            ("d", Reason::Stale)
        ]),
        "the one with most changes goes first"
    );
}

#[test]
fn an_order_of_one_change_does_not_hold_back_who_has_it() {
    let mut facts = event(vec![first(10, Completed), stale("a")]);
    let fresh_by_its_tasks = Workload {
        tasks: tasks("ecs-svc/10", &[1100]),
        uses: vec![at_start(DB), at_start(MAIL)].into(),
        ..stale("a")
    };
    facts.workloads.insert(service_arn("a"), fresh_by_its_tasks);
    facts.announce(change(MAIL, 1500));
    let only_db = Workload {
        uses: vec![at_start(DB)].into(),
        ..first(10, Completed)
    };
    facts.workloads.insert(service_arn("first"), only_db);
    assert_eq!(
        reasons_of(&facts, &ACT),
        rows(&[("a", Reason::Stale), ("first", Reason::Stale)])
    );
}

#[test]
fn a_request_is_not_held_back_by_the_order() {
    let request = ACT.requested(false);
    assert_eq!(
        reasons(vec![stale("a"), first(10, Completed)], &request),
        rows(&[("a", Reason::Stale), ("first", Reason::Stale)])
    );
    let limited = at_most(1).requested(false);
    assert_eq!(
        reasons(vec![stale("a"), stale("b")], &limited),
        rows(&[("a", Reason::Stale), ("b", Reason::Stale)])
    );
}

#[test]
fn whether_a_follower_is_done_is_read_from_ecs_before_another_goes() {
    let mut facts = event(vec![stale("a"), first(1100, Completed)]);
    let remembered = facts.workloads.get_mut(&service_arn("first")).unwrap();
    remembered.read_at = Some(second(1985));
    facts.scope = Scope::Around(service_arn("a"));
    facts.service = Fact::Known(crate::facts::Existence::Here);
    facts
        .changes
        .values_mut()
        .for_each(|change| change.reported = change.moved());
    facts.workloads.get_mut(&service_arn("a")).unwrap().uses = vec![at_start(DB)].into();
    facts.followed.clear();
    let asked = plan_of(&facts, &ACT).questions;
    assert!(
        asked
            .iter()
            .all(|question| matches!(question, Question::LastChanges(_))),
        "{asked:?}"
    );
    let mut judged = facts.clone();
    judged.scope = Scope::Followers;
    judged
        .workloads
        .get_mut(&service_arn("first"))
        .unwrap()
        .read_at = Some(second(1985));
    let asked = plan_of(&judged, &ACT).questions;
    assert!(
        asked.contains(&Question::Describe(service_arn("first"))),
        "{asked:?}"
    );
}

#[test]
fn past_failures_are_asked_about_before_anybody_goes_where_there_is_an_order() {
    let unasked = |workload| Workload {
        history: Fact::Unasked,
        ..workload
    };
    let facts = event(vec![unasked(stale("a")), unasked(first(10, Completed))]);
    let plan = plan_of(&facts, &ACT);
    assert!(plan.ahead);
    let asked = |name| {
        let is_it = |question: &&Question| matches!(question, Question::History { workload, .. } if *workload == service_arn(name));
        plan.questions.iter().filter(is_it).count()
    };
    assert_eq!(
        (asked("a"), asked("first"), plan.questions.len()),
        (1, 1, 2)
    );
    let unordered = event(vec![unasked(stale("a")), unasked(stale("b"))]);
    let plan = plan_of(&unordered, &ACT);
    assert!(!plan.ahead);
    assert!(plan.questions.iter().all(Question::is_at_turn));
}

#[test]
fn whose_revision_failed_is_asked_before_anybody_is_halted_or_goes() {
    let open = Workload {
        history: Fact::Known(vec![past(1100, Failed)]),
        ..first(10, Completed)
    };
    let revision = Question::TaskDefinitions("revision/1100".to_owned());
    for others in [vec![stale("a")], vec![follower("a", "", 1100, Completed)]] {
        let plan = plan_of(&event([others, vec![open.clone()]].concat()), &ACT);
        assert!(plan.ahead);
        assert_eq!(plan.questions, [revision.clone()].into());
    }
}

#[test]
fn a_deployment_without_a_state_is_done_when_the_history_says_so() {
    let stateless = Workload {
        history: Fact::Unasked,
        ..first(1100, RolloutState::Unknown)
    };
    let facts = event(vec![stale("a"), stateless.clone()]);
    let history = Question::History {
        workload: service_arn("first"),
        since: second(1000),
    };
    let plan = plan_of(&facts, &ACT);
    assert!(plan.ahead);
    assert_eq!(Vec::from_iter(plan.questions), [history]);
    let unended = Workload {
        history: Fact::Known(Vec::new()),
        ..stateless
    };
    assert_eq!(
        reasons(vec![stale("a"), unended], &ACT),
        rows(&[
            ("a", Reason::WaitingForFirst),
            ("first", Reason::AlreadyFresh)
        ])
    );
}

/// The same facts with a tag on `prod/db`.
fn tagged(mut facts: Facts, tag: &Fact<SecretTag>) -> Facts {
    facts
        .changes
        .values_mut()
        .for_each(|change| change.tag = tag.clone());
    facts
}

#[test]
fn the_tag_of_the_secret_is_asked_for_only_where_somebody_is_not_fresh() {
    let open = |workload| tagged(event(vec![workload]), &Fact::Unasked);
    let db = source(DB);
    let asked = plan_of(&open(stale("a")), &ACT).questions;
    assert_eq!(Vec::from_iter(asked), [Question::Tag(db)]);
    let fresh = open(follower("a", "", 1100, Completed));
    assert_eq!(plan_of(&fresh, &ACT).questions, BTreeSet::new());
    let ignored = open(follower("a", "ignore", 10, Completed));
    assert_eq!(plan_of(&ignored, &ACT).questions, BTreeSet::new());
}

#[test]
fn what_the_tag_of_a_secret_says_must_be_known_before_anybody_goes() {
    let throttled = Fact::Unavailable(gap(GapKind::Throttled));
    let facts = tagged(event(vec![stale("a")]), &throttled);
    let decision = plan_of(&facts, &ACT).decisions.remove(0);
    assert_eq!(decision.reason, Reason::LookupFailed);
    assert!(decision.error.unwrap().contains("it is Throttled"));
}

#[test]
fn a_secret_that_is_ignored_leaves_its_followers_alone() {
    let ignored = Fact::Known(SecretTag {
        is_ignored: true,
        is_urgent: false,
    });
    let mut facts = tagged(event(vec![stale("a")]), &ignored);
    for policy in [ACT, ACT.requested(true)] {
        assert_eq!(
            reasons_of(&facts, &policy),
            rows(&[("a", Reason::SecretIgnored)])
        );
    }
    facts.announce(change(MAIL, 1000));
    let plan = plan_of(&facts, &ACT);
    assert_eq!(plan.decisions[0].reason, Reason::Stale);
    assert_eq!(plan.decisions[0].sources, [MAIL.into()]);
}

fn frozen() -> Policy {
    Policy {
        has_calendars: true,
        ..ACT
    }
}

#[test]
fn the_calendar_is_asked_only_when_something_would_go() {
    let asked = |workload| plan_of(&event(vec![workload]), &frozen()).questions;
    assert_eq!(Vec::from_iter(asked(stale("a"))), [Question::Calendar]);
    assert_eq!(asked(follower("a", "", 1100, Completed)), BTreeSet::new());
    let facts = event(vec![stale("a"), follower("z", "", 1100, InProgress)]);
    let full = Policy {
        order: at_most(1).order,
        ..frozen()
    };
    assert_eq!(plan_of(&facts, &full).questions, BTreeSet::new());
}

#[test]
fn a_closed_calendar_holds_everything_but_what_is_urgent_or_managed() {
    let closed = Calendar::Closed {
        until: Some(second(9000)),
    };
    let mut facts = event(vec![stale("a")]);
    facts.calendar = Fact::Known(closed);
    let decision = plan_of(&facts, &frozen()).decisions.remove(0);
    assert_eq!(decision.reason, Reason::ChangeFreeze);
    assert_eq!(decision.until, Some(second(9000)));
    let goes = |facts: &Facts, policy: &Policy| {
        assert_eq!(reasons_of(facts, policy), rows(&[("a", Reason::Stale)]));
    };
    goes(&facts, &ACT.requested(false));
    goes(&facts, &frozen().requested(true));
    assert_eq!(
        reasons_of(&facts, &frozen().requested(false)),
        rows(&[("a", Reason::ChangeFreeze)])
    );
    let urgent = Fact::Known(SecretTag {
        is_ignored: false,
        is_urgent: true,
    });
    goes(&tagged(facts.clone(), &urgent), &frozen());
    let mut managed = event(vec![Workload {
        uses: vec![at_start(MANAGED)].into(),
        ..stale("a")
    }]);
    managed.changes.clear();
    managed.announce(change(MANAGED, 1000));
    goes(&managed, &frozen());
    facts.calendar = Fact::Known(Calendar::Open);
    goes(&facts, &frozen());
}

#[test]
fn what_changed_too_long_ago_lifts_no_freeze_and_holds_nobody_back() {
    let mut facts = event(vec![stale("a"), first(10, Completed)]);
    facts.workloads.get_mut(&service_arn("first")).unwrap().uses = vec![at_start(DB)].into();
    let urgent = Fact::Known(SecretTag {
        is_ignored: false,
        is_urgent: true,
    });
    facts = tagged(facts, &urgent);
    facts.announce(change(MAIL, 1500));
    facts.calendar = Fact::Known(Calendar::Closed { until: None });
    let policy = Policy {
        since: Some(second(1200)),
        ..frozen()
    };
    assert_eq!(
        reasons_of(&facts, &policy),
        rows(&[("a", Reason::ChangeFreeze), ("first", Reason::TooOld)])
    );
}

#[test]
fn a_calendar_that_cannot_be_read_holds_everything_and_fails() {
    let mut facts = event(vec![stale("a")]);
    facts.calendar = Fact::Unavailable(gap(GapKind::Denied));
    let decision = plan_of(&facts, &frozen()).decisions.remove(0);
    assert_eq!(decision.reason, Reason::LookupFailed);
    assert_eq!(decision.error.as_deref(), Some("it is Denied"));
}

#[test]
fn what_a_freeze_holds_takes_no_slot() {
    let mut facts = event(vec![stale("a"), stale("b")]);
    facts.calendar = Fact::Known(Calendar::Closed { until: None });
    let policy = Policy {
        order: at_most(1).order,
        ..frozen()
    };
    assert_eq!(
        reasons_of(&facts, &policy),
        rows(&[("a", Reason::ChangeFreeze), ("b", Reason::ChangeFreeze)])
    );
}

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:1";

fn pictured(name: &str, images: Fact<Vec<RevisionImages>>) -> Workload {
    Workload {
        service_revisions: vec![ServiceRevision {
            arn: "revision/1".to_owned(),
            runs: true,
        }],
        images,
        ..stale(name)
    }
}

fn runs(digest: &str) -> Fact<Vec<RevisionImages>> {
    let images = vec![ContainerImage {
        container: "app".to_owned(),
        image: IMAGE.to_owned(),
        digest: Some(digest.to_owned()),
    }];
    Fact::Known(vec![RevisionImages {
        task_definition: REVISION.to_owned(),
        runs: true,
        images,
    }])
}

fn guard(image_guard: ImageGuard) -> Policy {
    Policy { image_guard, ..ACT }
}

#[test]
fn images_are_looked_at_only_where_they_are_guarded() {
    let facts = event(vec![pictured("a", Fact::Unasked)]);
    let asked = |policy: &Policy| Vec::from_iter(plan_of(&facts, policy).questions);
    assert_eq!(asked(&ACT), []);
    assert_eq!(
        asked(&guard(ImageGuard::Warn)),
        [Question::Images(service_arn("a"))]
    );
    let known = event(vec![pictured("a", runs("sha256:a"))]);
    let tag = EcrImage::parse(IMAGE).unwrap();
    assert_eq!(
        Vec::from_iter(plan_of(&known, &guard(ImageGuard::Block)).questions),
        [Question::ImageTags([tag].into())]
    );
}

#[test]
fn an_image_that_moved_or_is_gone_is_warned_of_or_blocks() {
    let tag = EcrImage::parse(IMAGE).unwrap();
    let denied = Fact::Unavailable(gap(GapKind::Denied));
    let other = Fact::Known(Some("sha256:b".to_owned()));
    for (fact, blocked, word) in [
        (other, Reason::ImageMoved, "another image"),
        (Fact::Known(None), Reason::ImageGone, "does not exist"),
        (denied, Reason::LookupFailed, "it is Denied"),
    ] {
        let mut facts = event(vec![pictured("a", runs("sha256:a"))]);
        facts.image_tags = [(tag.clone(), fact)].into();
        let blocks = plan_of(&facts, &guard(ImageGuard::Block));
        assert_eq!(blocks.decisions[0].reason, blocked);
        assert!(blocks.decisions[0].error.as_ref().unwrap().contains(word));
        assert_eq!(blocks.warnings, BTreeSet::new());
        let warns = plan_of(&facts, &guard(ImageGuard::Warn));
        assert_eq!(warns.decisions[0].reason, Reason::Stale);
        let warning = warns.warnings.first().unwrap();
        assert!(
            warning.contains(word) && warning.contains("service/prod/a"),
            "{warning}"
        );
        assert_eq!(warns.warnings.len(), 1);
    }
    let mut same = event(vec![pictured("a", runs("sha256:a"))]);
    same.image_tags = [(tag, Fact::Known(Some("sha256:a".to_owned())))].into();
    let plan = plan_of(&same, &guard(ImageGuard::Block));
    assert_eq!(plan.decisions[0].reason, Reason::Stale);
    assert_eq!(plan.warnings, BTreeSet::new());
}

#[test]
fn what_the_image_guard_blocks_takes_no_slot() {
    let mut facts = event(vec![pictured("a", runs("sha256:a")), stale("b")]);
    facts.image_tags = [(EcrImage::parse(IMAGE).unwrap(), Fact::Known(None))].into();
    let policy = Policy {
        order: at_most(1).order,
        ..guard(ImageGuard::Block)
    };
    assert_eq!(
        reasons_of(&facts, &policy),
        rows(&[("a", Reason::ImageGone), ("b", Reason::Stale)])
    );
}

#[test]
fn what_changed_before_the_time_of_the_policy_is_left_alone_with_one_warning() {
    let since = |at| Policy {
        since: Some(second(at)),
        ..ACT
    };
    let facts = event(vec![stale("a"), stale("b")]);
    let old = plan_of(&facts, &since(1001));
    assert!(old.decisions.iter().all(|d| d.reason == Reason::TooOld));
    assert_eq!(old.warnings.len(), 1);
    let warning = old.warnings.first().unwrap();
    assert!(
        warning.contains(": 2;") && warning.contains("redeploy --stale"),
        "{warning}"
    );
    let new = plan_of(&facts, &since(1000));
    assert!(new.decisions.iter().all(|d| d.reason == Reason::Stale));
    assert_eq!(new.warnings, BTreeSet::new());
    let request = since(1001).requested(false);
    assert_eq!(plan_of(&facts, &request).decisions[0].reason, Reason::Stale);
    let mut both = facts.clone();
    both.announce(change(MAIL, 1500));
    let decision = plan_of(&both, &since(1200)).decisions.remove(0);
    assert_eq!(decision.reason, Reason::Stale);
    assert_eq!(
        decision.sources,
        [MAIL.into()],
        "the older one does not count"
    );
}

#[test]
fn who_takes_part_is_said_by_the_tag_else_by_the_default() {
    use crate::tag::Participation::{Auto, Ignore, Notify};
    let reason = |default, tag: &str, is_named| {
        let workload = Workload {
            is_named,
            ..follower("a", tag, 10, Completed)
        };
        let policy = Policy { default, ..ACT };
        reasons(vec![workload], &policy)[0].1
    };
    for (default, tag, is_named, expected) in [
        (Auto, "", false, Reason::Stale),
        (Auto, "notify", false, Reason::NotifyOnly),
        (Auto, "ignore", true, Reason::OptedOut),
        (Notify, "", true, Reason::NotifyOnly),
        (Notify, "auto", false, Reason::Stale),
        (Ignore, "", false, Reason::NotOptedIn),
        (Ignore, "auto", false, Reason::Stale),
        (Ignore, "first", false, Reason::Stale),
        (Ignore, "", true, Reason::Stale),
        (Ignore, "ignore", true, Reason::OptedOut),
        (Ignore, "notify", false, Reason::NotifyOnly),
        (Ignore, "off", false, Reason::NotOptedIn),
    ] {
        assert_eq!(
            reason(default, tag, is_named),
            expected,
            "{default:?} {tag:?}"
        );
    }
    let requested = |default| {
        let policy = Policy { default, ..ACT }.requested(false);
        reasons(vec![stale("a")], &policy)[0].1
    };
    assert_eq!(requested(Notify), Reason::Stale);
    assert_eq!(requested(Ignore), Reason::NotOptedIn);
}

#[test]
fn what_the_policy_leaves_out_is_ignored() {
    let policy = Policy {
        secrets: crate::name_pattern::NamePatterns::parse(&["!prod/db*"]).unwrap(),
        ..ACT
    };
    let facts = event(vec![stale("a")]);
    let ended = plan_of(&facts, &policy).end;
    let reason = format!("REDEPLOY_SECRETS leaves {DB} out");
    assert_eq!(ended, Some(crate::plan::End::Ignored(reason)));
    let requested = plan_of(&facts, &policy.clone().requested(false));
    assert_eq!(requested.decisions[0].reason, Reason::Stale);
    let mut sweep = event(vec![stale("a")]);
    sweep.scope = Scope::Everything;
    sweep.announced.clear();
    sweep.followed.clear();
    let asked = Vec::from_iter(plan_of(&sweep, &policy).questions);
    let [Question::LastChanges(followed)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    let followed: Vec<_> = followed.iter().map(ToString::to_string).collect();
    assert_eq!(followed, [MAIL]);
}
