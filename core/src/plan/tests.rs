use std::collections::BTreeMap;

use super::*;
use crate::arn::SecretArn;
use crate::change::{AWSCURRENT, Bounds};
use crate::confirm::{Claim, Confirmation, SecretFacts, UnconfirmedChange};
use crate::fact::{Fact, GapKind};
use crate::facts::{Existence, Found, Unconfirmed, Unexamined};
use crate::testing::{
    ACT, DB, LIMIT, MAIL, PREVIEW, at_start, change, deployment, gap, location, reference, second,
    service, service_arn, source, standalone, tasks,
};
use crate::workload::RolloutState::{Completed, Failed, InProgress};

/// Facts of an event about `prod/db`, which changed at 100.
fn event() -> Facts {
    let mut facts = Facts::new(Scope::Followers, second(100));
    facts.announce(change(DB, 100));
    facts
}

/// The same once a look has found these.
fn looked(workloads: Vec<Workload>) -> Facts {
    seen(event(), workloads)
}

fn seen(mut facts: Facts, workloads: Vec<Workload>) -> Facts {
    facts.looked_at = Fact::Known(second(105));
    let by_arn = workloads
        .into_iter()
        .map(|workload| (workload.arn.clone(), workload));
    facts.workloads = by_arn.collect();
    facts
}

fn called(name: &str, uses: &[&str]) -> Workload {
    Workload {
        arn: service_arn(name),
        uses: uses.iter().map(|value_from| at_start(value_from)).collect(),
        ..service()
    }
}

/// The same, deployed too long ago to be in the middle of a series of changes.
fn old(workload: Workload) -> Workload {
    Workload {
        deployments: vec![deployment(-1000, true, Completed)],
        ..workload
    }
}

fn read_at(at: i64, workload: Workload) -> Workload {
    Workload {
        read_at: Some(second(at)),
        ..workload
    }
}

fn asks(facts: &Facts, policy: &Policy, now: i64) -> Vec<Question> {
    plan(facts, policy, second(now))
        .questions
        .into_iter()
        .collect()
}

fn look(not_before: i64) -> Question {
    let not_before = second(not_before);
    Question::Look { not_before }
}

/// How a plan ends that asks nothing and decides nothing.
fn end(facts: &Facts, policy: &Policy, now: i64) -> Option<End> {
    let plan = plan(facts, policy, second(now));
    assert!(plan.questions.is_empty() && plan.decisions.is_empty());
    assert_eq!(plan.wait_until, None);
    plan.end
}

fn reasons(facts: &Facts, policy: &Policy, now: i64) -> Vec<Reason> {
    let decisions = plan(facts, policy, second(now)).decisions;
    decisions.iter().map(|decision| decision.reason).collect()
}

#[test]
fn the_look_is_taken_only_once_it_shows_every_service_that_can_be_stale() {
    let early = plan(&event(), &ACT, second(104));
    assert_eq!(early.wait_until, Some(second(105)));
    assert!(early.questions.is_empty() && early.decisions.is_empty());
    let on_time = plan(&event(), &ACT, second(105));
    assert_eq!(on_time.wait_until, None);
    assert_eq!(Vec::from_iter(on_time.questions), [look(105)]);
    assert_eq!(
        asks(&event(), &ACT, 1000),
        [look(105)],
        "a look of before serves it, too"
    );
}

#[test]
fn a_short_settling_time_shortens_the_wait_for_the_look() {
    let policy = Policy {
        settle: SignedDuration::from_secs(2),
        ..ACT
    };
    assert_eq!(
        plan(&event(), &policy, second(101)).wait_until,
        Some(second(102))
    );
    assert_eq!(asks(&event(), &policy, 102), [look(102)]);
}

#[test]
fn a_preview_looks_at_what_is_there_now() {
    assert_eq!(asks(&event(), &PREVIEW, 101), [look(101)]);
    assert_eq!(asks(&event(), &PREVIEW, 200), [look(105)]);
}

#[test]
fn the_look_is_for_the_latest_of_what_changed_and_what_may_have() {
    let mut facts = event();
    facts.announce(change(MAIL, 120));
    assert_eq!(asks(&facts, &ACT, 200), [look(125)]);
    facts.unconfirmed = Some(claimed(Claim::Rotated, 150));
    assert_eq!(asks(&facts, &ACT, 200), [look(155)]);
    let mut untimed = Facts::new(Scope::Followers, second(140));
    untimed.unconfirmed = Some(Unconfirmed {
        claim: UnconfirmedChange {
            at: None,
            ..claimed(Claim::Rotated, 0).claim
        },
        ..claimed(Claim::Rotated, 0)
    });
    assert_eq!(asks(&untimed, &ACT, 200), [look(145)]);
}

#[test]
fn an_event_whose_secret_nobody_follows_ends_without_a_wait() {
    assert_eq!(end(&looked(Vec::new()), &ACT, 105), None);
    let web = old(called("web", &[MAIL]));
    assert_eq!(end(&looked(vec![web]), &ACT, 105), None);
}

#[test]
fn without_the_look_nothing_can_be_found_out() {
    for scope in [Scope::Followers, Scope::Everything] {
        let mut facts = Facts::new(scope, second(100));
        facts.looked_at = Fact::Unavailable(gap(GapKind::Throttled));
        assert_eq!(
            end(&facts, &ACT, 200),
            Some(End::Unavailable(gap(GapKind::Throttled)))
        );
    }
}

fn claimed(claim: Claim, at: i64) -> Unconfirmed {
    Unconfirmed {
        claim: UnconfirmedChange {
            secret_id: DB.to_owned(),
            region: None,
            claim,
            at: Some(second(at)),
        },
        asked_at: None,
        answer: Fact::Unasked,
    }
}

/// Facts of a claim about `prod/db` at 100, once a look has found these.
fn claim(workloads: Vec<Workload>) -> Facts {
    let mut facts = Facts::new(Scope::Followers, second(100));
    facts.unconfirmed = Some(claimed(Claim::Rotated, 100));
    seen(facts, workloads)
}

/// The same, once this was answered at 200 about a follower.
fn answered(answer: Fact<Confirmation>) -> Facts {
    let mut facts = claim(vec![service()]);
    let unconfirmed = facts.unconfirmed.as_mut().unwrap();
    unconfirmed.asked_at = Some(second(200));
    unconfirmed.answer = answer;
    facts
}

#[test]
fn a_secret_is_asked_about_when_somebody_may_follow_it() {
    assert_eq!(asks(&claim(vec![service()]), &ACT, 105), [Question::Secret]);
    let named = Workload {
        location: None,
        read_at: None,
        ..called("api", &["/aws/reference/secretsmanager/prod/db"])
    };
    assert_eq!(asks(&claim(vec![named]), &ACT, 105), [Question::Secret]);
}

#[test]
fn nobody_is_asked_about_a_secret_that_no_reference_can_mean() {
    assert_eq!(end(&claim(Vec::new()), &ACT, 105), None);
    let unread = Workload {
        unread: Some(gap(GapKind::Failed)),
        ..called("web", &[MAIL])
    };
    let facts = claim(vec![unread]);
    assert_eq!(asks(&facts, &ACT, 105), []);
    assert_eq!(reasons(&facts, &ACT, 105), [Reason::LookupFailed]);
}

#[test]
fn a_claim_that_comes_to_nothing_ends_with_the_reason() {
    let ends = |answer| end(&answered(answer), &ACT, 200).unwrap();
    let why = || "why".to_owned();
    assert_eq!(
        ends(Fact::Known(Confirmation::Nothing(why()))),
        End::Ignored(why())
    );
    assert_eq!(
        ends(Fact::Known(Confirmation::Pending(why()))),
        End::Pending(why())
    );
    assert_eq!(ends(Fact::Known(Confirmation::NoSecret)), End::NoSecret);
    for kind in [GapKind::Failed, GapKind::Invalid] {
        assert_eq!(
            ends(Fact::Unavailable(gap(kind))),
            End::Unavailable(gap(kind))
        );
    }
}

#[test]
fn an_outdated_answer_is_asked_for_again_after_a_while_and_for_a_minute() {
    let why = || "not shown yet".to_owned();
    let mut facts = answered(Fact::Known(Confirmation::Outdated(why())));
    facts.began_at = second(190);
    let early = plan(&facts, &ACT, second(204));
    assert_eq!((early.wait_until, early.end), (Some(second(205)), None));
    assert!(early.questions.is_empty());
    assert_eq!(asks(&facts, &ACT, 205), [Question::Secret]);
    assert_eq!(asks(&facts, &ACT, 249), [Question::Secret]);
    assert_eq!(end(&facts, &ACT, 250), Some(End::Outdated(why())));
    assert_eq!(end(&facts, &PREVIEW, 201), Some(End::Outdated(why())));
}

#[test]
fn a_confirmed_claim_is_decided_about() {
    let mut facts = answered(Fact::Known(Confirmation::Changes(Vec::new())));
    facts.announce(change(DB, 100));
    assert_eq!(reasons(&facts, &ACT, 105), [Reason::Stale]);
}

/// Facts of a request at 100 about a secret.
fn request() -> Facts {
    let mut facts = Facts::new(Scope::Followers, second(100));
    facts.requested_at = Some(second(100));
    facts.unconfirmed = Some(claimed(Claim::Asked, 100));
    facts
}

#[test]
fn a_request_asks_whether_its_secret_exists_before_it_looks() {
    let mut facts = request();
    assert_eq!(asks(&facts, &ACT, 100), [Question::Secret]);
    let with = |answer| {
        let mut facts = request();
        facts.unconfirmed.as_mut().unwrap().answer = answer;
        end(&facts, &ACT, 100)
    };
    assert_eq!(
        with(Fact::Known(Confirmation::NoSecret)),
        Some(End::NoSecret)
    );
    assert_eq!(
        with(Fact::Unavailable(gap(GapKind::Invalid))),
        Some(End::NoSecret)
    );
    let failed = gap(GapKind::Failed);
    assert_eq!(
        with(Fact::Unavailable(failed.clone())),
        Some(End::Unavailable(failed))
    );
    let found = SecretFacts {
        arn: SecretArn::parse(DB).unwrap(),
        labels: [(AWSCURRENT.to_owned(), "v2".to_owned())].into(),
        last_changed: None,
        last_rotated: None,
        tag: None,
    };
    facts.learn(
        crate::facts::Answer::Secret(Fact::Known(Some(found))),
        second(100),
    );
    assert_eq!(
        plan(&facts, &ACT, second(100)).wait_until,
        Some(second(105))
    );
    assert_eq!(asks(&facts, &ACT, 105), [look(105)]);
    assert_eq!(
        reasons(&seen(facts, vec![service()]), &ACT, 105),
        [Reason::Stale]
    );
}

#[test]
fn a_request_about_a_parameter_asks_about_no_secret() {
    let mut facts = Facts::new(Scope::Followers, second(100));
    facts.requested_at = Some(second(100));
    facts.announce(change(LIMIT, 100));
    assert_eq!(asks(&facts, &ACT, 105), [look(105)]);
}

#[test]
fn a_sweep_looks_first_and_ends_where_there_is_nothing() {
    let mut facts = Facts::new(Scope::Everything, second(100));
    assert_eq!(asks(&facts, &ACT, 100), [look(100)]);
    facts.looked_at = Fact::Known(second(100));
    assert_eq!(end(&facts, &ACT, 101), None);
}

fn about(scope: Scope, service: Fact<Existence>) -> Facts {
    Facts {
        service,
        ..Facts::new(scope, second(100))
    }
}

#[test]
fn a_deployment_and_a_request_ask_about_their_service_first() {
    for scope in [
        Scope::Around("prod/api".into()),
        Scope::Service("prod/api".into()),
    ] {
        let facts = about(scope.clone(), Fact::Unasked);
        assert_eq!(
            asks(&facts, &ACT, 100),
            [Question::Service("prod/api".into())]
        );
        let elsewhere = end(&about(scope, Fact::Known(Existence::Elsewhere)), &ACT, 100);
        assert!(matches!(elsewhere, Some(End::Ignored(reason)) if reason.contains("Region")));
    }
}

#[test]
fn only_a_request_minds_that_its_service_does_not_exist() {
    for existence in [Existence::Nowhere, Existence::OutOfScope] {
        let scope = Scope::Service("prod/api".into());
        let mut facts = about(scope, Fact::Known(existence));
        facts.requested_at = Some(second(100));
        assert_eq!(end(&facts, &ACT, 100), Some(End::NoService));
        let scope = Scope::Around("prod/api".into());
        let ended = end(&about(scope, Fact::Known(existence)), &ACT, 100);
        assert!(matches!(ended, Some(End::Ignored(_))), "{ended:?}");
    }
}

#[test]
fn a_service_that_could_not_be_read_fails() {
    let mut facts = about(Scope::Around("prod/api".into()), Fact::Unasked);
    facts.learn(
        crate::facts::Answer::Service(Err(gap(GapKind::Failed))),
        second(100),
    );
    assert_eq!(asks(&facts, &ACT, 100), []);
    assert_eq!(reasons(&facts, &ACT, 100), [Reason::LookupFailed]);
}

#[test]
fn what_was_read_before_is_described_once_the_change_has_settled() {
    let describe = Question::Describe(service_arn("api"));
    let facts = looked(vec![read_at(99, old(service()))]);
    let early = plan(&facts, &ACT, second(110));
    assert_eq!(
        (early.wait_until, early.questions.len()),
        (Some(second(111)), 0)
    );
    assert_eq!(early.decisions.len(), 1);
    let settled = plan(&facts, &ACT, second(111));
    assert_eq!(settled.wait_until, None);
    assert_eq!(
        Vec::from_iter(settled.questions),
        std::slice::from_ref(&describe)
    );
    assert_eq!(asks(&facts, &PREVIEW, 106), std::slice::from_ref(&describe));
    let named = Workload {
        read_at: None,
        ..old(service())
    };
    assert_eq!(
        plan(&looked(vec![named.clone()]), &ACT, second(110)).wait_until,
        Some(second(111))
    );
    assert_eq!(asks(&looked(vec![named]), &ACT, 111), [describe]);
}

#[test]
fn what_decides_without_a_new_read_is_not_described() {
    let pinned = called(
        "a",
        &[&format!("{DB}:::4d383ea9-084a-49c9-8722-cbfb0f25c456")],
    );
    let pulled = Workload {
        arn: service_arn("b"),
        uses: vec![crate::workload::Use::AtImagePull(reference(DB))].into(),
        ..service()
    };
    let facts = looked(vec![read_at(50, pinned), read_at(50, pulled)]);
    let plan = plan(&facts, &ACT, second(105));
    assert_eq!((plan.questions.len(), plan.wait_until), (0, None));
    let reasons: Vec<_> = plan
        .decisions
        .iter()
        .map(|decision| decision.reason)
        .collect();
    assert_eq!(reasons, [Reason::PinnedVersion, Reason::ImagePullOnly]);
}

#[test]
fn what_was_redeployed_a_moment_ago_is_not_described() {
    let forced = |at| {
        let mut workload = read_at(50, old(service()));
        workload.force(&deployment(
            at,
            true,
            crate::workload::RolloutState::InProgress,
        ));
        let mut facts = looked(vec![workload]);
        facts.began_at = second(200);
        facts
    };
    assert_eq!(asks(&forced(195), &ACT, 200), []);
    assert_eq!(reasons(&forced(195), &ACT, 200), [Reason::AlreadyFresh]);
    let describe = Question::Describe(service_arn("api"));
    assert_eq!(asks(&forced(194), &ACT, 200), [describe]);
}

#[test]
fn what_is_to_be_redeployed_waits_until_the_change_has_settled() {
    let facts = looked(vec![read_at(110, old(service()))]);
    let early = plan(&facts, &ACT, second(110));
    assert_eq!(
        (early.wait_until, early.questions.len()),
        (Some(second(111)), 0)
    );
    let settled = plan(&facts, &ACT, second(111));
    assert_eq!((settled.wait_until, settled.questions.len()), (None, 0));
    assert_eq!(reasons(&facts, &ACT, 111), [Reason::Stale]);
    let preview = plan(&facts, &PREVIEW, second(110));
    assert_eq!((preview.wait_until, preview.questions.len()), (None, 0));
}

#[test]
fn nothing_waits_where_nothing_is_to_be_redeployed() {
    let fresh = Workload {
        deployments: vec![deployment(102, true, Completed)],
        ..service()
    };
    let plan = plan(&looked(vec![fresh]), &ACT, second(105));
    assert_eq!((plan.wait_until, plan.questions.len()), (None, 0));
}

#[test]
fn the_wait_is_for_the_last_of_the_changes() {
    let mut facts = looked(vec![
        read_at(110, old(called("a", &[DB]))),
        read_at(110, old(called("b", &[DB, MAIL]))),
        read_at(99, old(called("c", &[DB]))),
    ]);
    facts.announce(change(MAIL, 104));
    assert_eq!(
        plan(&facts, &ACT, second(110)).wait_until,
        Some(second(115))
    );
}

#[test]
fn what_was_read_while_the_change_settled_is_described_again() {
    let with_history = || Workload {
        history: Fact::Known(Vec::new()),
        ..old(service())
    };
    let facts = |read| looked(vec![read_at(read, with_history())]);
    let describe = [Question::Describe(service_arn("api"))];
    assert_eq!(asks(&facts(109), &ACT, 111), describe);
    assert_eq!(asks(&facts(110), &ACT, 111), [], "it was read a second ago");
    assert_eq!(asks(&facts(110), &ACT, 112), describe);
    assert_eq!(asks(&facts(111), &ACT, 113), []);
    assert_eq!(
        asks(&facts(109), &PREVIEW, 112),
        [],
        "a preview acts on nothing"
    );
}

#[test]
fn a_service_whose_turn_comes_late_is_read_again_right_before() {
    let read = |read| Workload {
        history: Fact::Known(Vec::new()),
        ..read_at(read, old(service()))
    };
    assert_eq!(asks(&looked(vec![read(111)]), &ACT, 116), []);
    let refresh = Question::Refresh(service_arn("api"));
    let expected = std::slice::from_ref(&refresh);
    assert_eq!(asks(&looked(vec![read(111)]), &ACT, 117), expected);
    // However long the read takes, it is of this turn.
    let turn = |read_at, turn_at| Facts {
        turn_at: Some(second(turn_at)),
        ..looked(vec![read(read_at)])
    };
    assert_eq!(asks(&turn(111, 116), &ACT, 130), []);
    assert_eq!(asks(&turn(111, 117), &ACT, 130), [refresh]);
}

#[test]
fn the_history_and_a_new_read_are_asked_for_at_the_turn_only() {
    let arn = || service_arn("api");
    let dear = [
        Question::Refresh(arn()),
        Question::History {
            workload: arn(),
            since: second(0),
        },
        Question::TaskDefinitions("revision/1".to_owned()),
    ];
    assert!(dear.iter().all(Question::is_at_turn));
    let early = [
        look(0),
        Question::Service(arn()),
        Question::Secret,
        Question::LastChanges(BTreeSet::new()),
        Question::FullArn(DB.to_owned()),
        Question::VersionStored(source(DB)),
        Question::MoveTimes(BTreeSet::new()),
        Question::Tasks(arn()),
        Question::Describe(arn()),
    ];
    assert!(!early.iter().any(Question::is_at_turn));
}

#[test]
fn dear_questions_do_not_keep_the_wait_from_beginning_and_early_ones_do() {
    let forced = Workload {
        forced_at: Some(second(101)),
        ..old(service())
    };
    let facts = looked(vec![forced]);
    let plan_then = plan(&facts, &ACT, second(110));
    assert_eq!(plan_then.wait_until, Some(second(111)));
    assert!(plan_then.questions.iter().all(Question::is_at_turn) && plan_then.questions.len() == 1);
    let asked_first = old(called("web", &[&ambiguous()]));
    let mut facts = looked(vec![old(service()), asked_first]);
    facts.announce(change(&format!("{}-XyZ123", ambiguous()), 100));
    let plan_then = plan(&facts, &ACT, second(110));
    assert_eq!(plan_then.wait_until, None);
    assert_eq!(
        Vec::from_iter(plan_then.questions),
        [Question::FullArn(ambiguous())]
    );
}

/// A full ARN, or the partial ARN of a secret whose name ends like one.
fn ambiguous() -> String {
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef".to_owned()
}

/// Facts of a sweep that has found these.
fn sweep(workloads: Vec<Workload>) -> Facts {
    seen(Facts::new(Scope::Everything, second(100)), workloads)
}

fn followed(value_from: &str) -> Followed {
    Followed::of(&reference(value_from), &location()).unwrap().0
}

fn last_changes(values_from: &[&str]) -> Question {
    Question::LastChanges(
        values_from
            .iter()
            .map(|value_from| followed(value_from))
            .collect(),
    )
}

/// Answers when a secret last changed.
fn learn_last_change(facts: &mut Facts, value_from: &str, at: i64, now: i64) {
    let found = Found::Secret(SecretFacts {
        arn: SecretArn::parse(value_from).unwrap(),
        labels: [(AWSCURRENT.to_owned(), format!("v{at}"))].into(),
        last_changed: Some(second(at)),
        last_rotated: None,
        tag: None,
    });
    let found = vec![(followed(value_from), Fact::Known(Some(found)))];
    facts.learn(crate::facts::Answer::LastChanges(found), second(now));
}

#[test]
fn a_sweep_asks_when_everything_changed_that_running_tasks_follow() {
    let idle = Workload {
        desired: 0,
        running: 0,
        ..called("idle", &["/app/limit"])
    };
    let ignored = Workload {
        tag: Some("ignore".into()),
        ..called("ignored", &["/app/other"])
    };
    let facts = sweep(vec![
        called("a", &[DB]),
        called("b", &[DB, MAIL]),
        idle,
        ignored,
    ]);
    assert_eq!(asks(&facts, &ACT, 100), [last_changes(&[DB, MAIL])]);
}

#[test]
fn what_a_sweep_knows_the_last_change_of_is_asked_again_only_for_another_label() {
    let mut facts = sweep(vec![service()]);
    learn_last_change(&mut facts, DB, 5, 100);
    assert_eq!(end_reasons(&facts), [Reason::AlreadyFresh]);
    facts.workloads.insert(
        service_arn("web"),
        called("web", &[&format!("{DB}::Custom:")]),
    );
    assert_eq!(asks(&facts, &ACT, 101), [last_changes(&[DB])]);
    let gone = vec![(followed(MAIL), Fact::Known(None))];
    let mut facts = sweep(vec![called("a", &[MAIL])]);
    facts.learn(crate::facts::Answer::LastChanges(gone), second(100));
    assert_eq!(end(&facts, &ACT, 101), None);
}

fn end_reasons(facts: &Facts) -> Vec<Reason> {
    assert_eq!(asks(facts, &ACT, 101), []);
    reasons(facts, &ACT, 101)
}

#[test]
fn a_sweep_describes_what_only_the_mapping_names() {
    let named = Workload {
        location: None,
        read_at: None,
        ..service()
    };
    assert_eq!(
        asks(&sweep(vec![named]), &ACT, 100),
        [Question::Describe(service_arn("api"))]
    );
}

#[test]
fn a_value_that_changed_a_moment_ago_is_asked_about_again_before_anything_is_done() {
    let mut facts = sweep(vec![service()]);
    learn_last_change(&mut facts, DB, 95, 101);
    facts.changes.get_mut(&source(DB)).unwrap().reported = Bounds::exact(second(95));
    // The change of 95 settles at 106.
    assert_eq!(
        plan(&facts, &ACT, second(105)).wait_until,
        Some(second(106))
    );
    let describe = Question::Describe(service_arn("api"));
    assert_eq!(asks(&facts, &ACT, 106), [last_changes(&[DB]), describe]);
    facts.followed.get_mut(&followed(DB)).unwrap().asked_at = Some(second(106));
    facts
        .workloads
        .get_mut(&service_arn("api"))
        .unwrap()
        .read_at = Some(second(106));
    assert_eq!(asks(&facts, &ACT, 106), []);
}

#[test]
fn the_last_change_is_not_waited_for_for_ever() {
    let mut facts = sweep(vec![read_at(160, service())]);
    learn_last_change(&mut facts, DB, 140, 145);
    facts.changes.get_mut(&source(DB)).unwrap().reported = Bounds::exact(second(140));
    let early = |facts: &Facts| {
        let mut early = asks(facts, &ACT, 160);
        early.retain(|question| !question.is_at_turn());
        early
    };
    // The minute since the invocation began is over.
    assert_eq!(early(&facts), []);
    facts.began_at = second(101);
    assert_eq!(early(&facts), [last_changes(&[DB])]);
}

#[test]
fn what_else_a_stale_service_of_a_moment_ago_follows_is_asked_about_even_in_a_preview() {
    let asked = |at, policy: &Policy| {
        let workload = Workload {
            deployments: vec![deployment(at, true, Completed)],
            ..read_at(700, called("api", &[DB, MAIL]))
        };
        asks(&looked(vec![workload]), policy, 700).contains(&last_changes(&[DB, MAIL]))
    };
    for policy in [ACT, PREVIEW] {
        assert!(!asked(100, &policy), "it was deployed ten minutes ago");
        // The change is of 100, and whatever starts a second later has the new value.
        assert!(!asked(101, &policy), "it is up to date");
    }
    let at_once = |history| {
        let workload = Workload {
            deployments: vec![deployment(10, true, Completed)],
            history,
            ..called("api", &[DB, MAIL])
        };
        let facts = looked(vec![workload]);
        [609, 610].map(|now| asks(&facts, &PREVIEW, now).contains(&last_changes(&[DB, MAIL])))
    };
    assert_eq!(at_once(Fact::Unasked), [true, false]);
    let by_history = Fact::Known(vec![deployment(50, false, Completed)]);
    assert_eq!(
        at_once(by_history),
        [true, false],
        "the history has no say in it"
    );
    let mut request = looked(vec![called("api", &[DB, MAIL])]);
    request.requested_at = Some(second(100));
    assert!(!asks(&request, &ACT, 105).contains(&last_changes(&[DB, MAIL])));
}

#[test]
fn a_value_that_had_settled_when_the_invocation_began_is_asked_about_once() {
    let mut facts = sweep(vec![read_at(111, service())]);
    learn_last_change(&mut facts, DB, 89, 99);
    facts.changes.get_mut(&source(DB)).unwrap().reported = Bounds::exact(second(89));
    assert_eq!(facts.followed[&followed(DB)].asked_at, Some(second(99)));
    // It settled at 100, when the invocation began.
    let early: Vec<_> = asks(&facts, &ACT, 111)
        .into_iter()
        .filter(|q| !q.is_at_turn())
        .collect();
    assert_eq!(early, []);
}

/// Facts of a deployment of `api` that is known, with what it follows.
fn deployed(workload: Workload) -> Facts {
    let mut facts = about(
        Scope::Around(service_arn("api")),
        Fact::Known(Existence::Here),
    );
    facts.workloads.insert(workload.arn.clone(), workload);
    facts
}

#[test]
fn a_deployment_asks_when_what_its_service_follows_changed_and_who_else_follows_that() {
    let mut facts = deployed(called("api", &[DB, MAIL]));
    assert_eq!(asks(&facts, &ACT, 100), [last_changes(&[DB, MAIL])]);
    learn_last_change(&mut facts, DB, 5, 100);
    learn_last_change(&mut facts, MAIL, 8, 100);
    assert_eq!(asks(&facts, &ACT, 100), [look(13)]);
    assert_eq!(
        asks(&facts, &ACT, 12),
        [look(12)],
        "a look cannot be of later than now"
    );
    facts.looked_at = Fact::Known(second(100));
    assert_eq!(asks(&facts, &ACT, 100), []);
}

#[test]
fn the_end_of_a_rollout_gives_a_slot_back_whether_its_service_takes_part_or_not() {
    let ignored = Workload {
        tag: Some("ignore".into()),
        ..called("api", &[DB])
    };
    let facts = deployed(ignored);
    assert_eq!(asks(&facts, &ACT, 100), []);
    let limited = Policy {
        order: Some(crate::policy::Order {
            max_in_flight: Some(1),
        }),
        ..ACT
    };
    assert_eq!(asks(&facts, &limited, 100), [last_changes(&[DB])]);
}

#[test]
fn a_change_of_a_day_ago_is_left_to_sweeps() {
    let mut facts = deployed(called("api", &[DB]));
    learn_last_change(&mut facts, DB, 5, 100);
    let day = 24 * 60 * 60;
    assert_eq!(asks(&facts, &ACT, 4 + day), [look(10)]);
    assert_eq!(asks(&facts, &ACT, 5 + day), []);
}

#[test]
fn only_a_deployment_looks_for_siblings() {
    let mut facts = about(
        Scope::Service("prod/api".into()),
        Fact::Known(Existence::Here),
    );
    facts.workloads.insert(service_arn("api"), service());
    facts.requested_at = Some(second(100));
    assert_eq!(asks(&facts, &ACT, 100), [last_changes(&[DB])]);
    learn_last_change(&mut facts, DB, 5, 100);
    assert_eq!(asks(&facts, &ACT, 100), []);
    assert_eq!(reasons(&facts, &ACT, 100), [Reason::Stale]);
    assert_eq!(
        plan(&facts, &ACT, second(100)).wait_until,
        Some(second(111))
    );
}

#[test]
fn a_request_is_not_followed_by_questions_about_later_changes() {
    let mut facts = about(
        Scope::Service("prod/api".into()),
        Fact::Known(Existence::Here),
    );
    facts
        .workloads
        .insert(service_arn("api"), read_at(111, service()));
    facts.requested_at = Some(second(100));
    learn_last_change(&mut facts, DB, 5, 101);
    assert_eq!(asks(&facts, &ACT, 111), []);
}

#[test]
fn a_sibling_is_judged_by_what_it_shares_and_described_unless_it_is_fresh() {
    let mut facts = deployed(Workload {
        deployments: vec![deployment(90, true, Completed)],
        ..called("api", &[DB])
    });
    learn_last_change(&mut facts, DB, 50, 100);
    facts.changes.get_mut(&source(DB)).unwrap().reported = Bounds::exact(second(50));
    facts.looked_at = Fact::Known(second(80));
    let fresh = Workload {
        deployments: vec![deployment(60, true, Completed)],
        ..called("fresh", &[DB, MAIL])
    };
    let stale = called("stale", &[DB, MAIL]);
    for workload in [read_at(80, fresh), read_at(80, stale)] {
        facts.workloads.insert(workload.arn.clone(), workload);
    }
    assert_eq!(
        asks(&facts, &ACT, 100),
        [Question::Describe(service_arn("stale"))]
    );
    assert_eq!(
        reasons(&facts, &ACT, 100),
        [Reason::AlreadyFresh, Reason::AlreadyFresh, Reason::Stale]
    );
}

#[test]
fn what_could_not_be_examined_is_told() {
    let mut facts = looked(Vec::new());
    let denied = Unexamined {
        gap: gap(GapKind::Denied),
        sources: vec![DB.into()],
    };
    facts.unexamined.insert("stage".to_owned(), denied);
    let expected = Decision {
        workload: "stage".into(),
        reason: Reason::LookupFailed,
        sources: vec![DB.into()],
        at: Timestamp::MIN,
        until: None,
        error: Some("it is Denied".to_owned()),
    };
    assert_eq!(plan(&facts, &ACT, second(105)).decisions, [expected]);
}

#[test]
fn what_a_service_uses_must_be_known_unless_it_is_stale_anyhow() {
    let unread = |at, uses: &[&str]| Workload {
        unread: Some(gap(GapKind::Failed)),
        deployments: vec![deployment(at, true, Completed)],
        ..called("api", uses)
    };
    let reason = |workload| reasons(&looked(vec![workload]), &PREVIEW, 111);
    assert_eq!(reason(unread(10, &[DB])), [Reason::Stale]);
    assert_eq!(reason(unread(10, &[])), [Reason::LookupFailed]);
    assert_eq!(
        reason(unread(101, &[])),
        [],
        "it has the new value whatever it uses"
    );
    assert_eq!(reason(unread(101, &[DB])), [Reason::AlreadyFresh]);
    let ignored = Workload {
        tag: Some("ignore".into()),
        ..unread(10, &[])
    };
    assert_eq!(reason(ignored), []);
    let pinned = format!("{DB}:::4d383ea9-084a-49c9-8722-cbfb0f25c456");
    assert_eq!(reason(unread(10, &[&pinned])), [Reason::LookupFailed]);
    let decisions = plan(&looked(vec![unread(10, &[])]), &ACT, second(105)).decisions;
    assert_eq!(decisions[0].error.as_deref(), Some("it is Failed"));
}

#[test]
fn a_sweep_without_any_change_cannot_say_that_a_service_is_fresh() {
    let unread = Workload {
        unread: Some(gap(GapKind::Denied)),
        ..called("api", &[])
    };
    assert_eq!(
        reasons(&sweep(vec![unread]), &ACT, 101),
        [Reason::LookupFailed]
    );
}

#[test]
fn when_what_a_service_follows_changed_must_be_known() {
    let unavailable = |kind, workload| {
        let mut facts = sweep(vec![workload]);
        let found = vec![(followed(MAIL), Fact::Unavailable(gap(kind)))];
        facts.learn(crate::facts::Answer::LastChanges(found), second(101));
        facts
    };
    let facts = unavailable(GapKind::Denied, called("api", &[MAIL]));
    let decision = &plan(&facts, &ACT, second(101)).decisions[0];
    assert_eq!(
        (decision.reason, &decision.sources),
        (Reason::Unknown, &vec![MAIL.into()])
    );
    let expected = format!("when {MAIL} changed is not known: it is Denied");
    assert_eq!(decision.error, Some(expected));
    let mut facts = unavailable(GapKind::Failed, called("api", &[DB, MAIL]));
    learn_last_change(&mut facts, DB, 5, 101);
    let decision = &plan(&facts, &ACT, second(101)).decisions[0];
    assert_eq!(decision.reason, Reason::LookupFailed);
    assert_eq!(decision.sources, [DB.into(), MAIL.into()]);
    let task = Workload {
        uses: vec![at_start(MAIL)].into(),
        ..standalone(50)
    };
    assert_eq!(
        reasons(&unavailable(GapKind::Denied, task), &ACT, 101),
        [Reason::Unknown]
    );
    let idle = Workload {
        desired: 0,
        running: 0,
        ..called("api", &[MAIL])
    };
    assert_eq!(reasons(&unavailable(GapKind::Denied, idle), &ACT, 101), []);
}

#[test]
fn a_gap_of_a_sibling_is_not_its_services() {
    let mut facts = deployed(called("api", &[DB]));
    learn_last_change(&mut facts, DB, 5, 100);
    facts.looked_at = Fact::Known(second(100));
    let sibling = called("web", &[DB, MAIL]);
    facts.workloads.insert(sibling.arn.clone(), sibling);
    facts.followed.insert(
        followed(MAIL),
        LastChange {
            found: Fact::Unavailable(gap(GapKind::Failed)),
            ..LastChange::default()
        },
    );
    assert_eq!(
        reasons(&facts, &ACT, 101),
        [Reason::AlreadyFresh, Reason::AlreadyFresh]
    );
}

#[test]
fn a_failed_rollout_and_one_under_way_need_no_wait_for_the_change() {
    for (deployments, expected) in [
        (
            vec![
                deployment(10, true, Completed),
                deployment(110, false, Failed),
            ],
            Reason::RolledBack,
        ),
        (
            vec![deployment(95, true, InProgress)],
            Reason::DeploymentInProgress,
        ),
    ] {
        let workload = Workload {
            deployments,
            ..read_at(105, service())
        };
        let mut facts = looked(vec![workload]);
        let open = plan(&facts, &ACT, second(105));
        assert_eq!(Vec::from_iter(open.questions), [last_changes(&[DB])]);
        learn_last_change(&mut facts, DB, 100, 105);
        let plan = plan(&facts, &ACT, second(105));
        assert_eq!((plan.wait_until, plan.questions.len()), (None, 0));
        assert_eq!(plan.decisions[0].reason, expected);
    }
}

#[test]
fn tasks_decide_before_anything_is_waited_for() {
    let workload = read_at(1000, service());
    let mut facts = looked(vec![workload]);
    facts.began_at = second(1000);
    assert_eq!(
        asks(&facts, &PREVIEW, 1000).first(),
        Some(&Question::Tasks(service_arn("api")))
    );
    let known = facts.workloads.get_mut(&service_arn("api")).unwrap();
    known.tasks = tasks("ecs-svc/10", &[500]);
    assert_eq!(reasons(&facts, &ACT, 1000), [Reason::AlreadyFresh]);
    assert_eq!(asks(&facts, &ACT, 1000), []);
}

#[test]
fn a_report_lists_what_changed_and_a_sweep_only_what_somebody_needs() {
    let names = |facts: &Facts| {
        let plan = plan(facts, &PREVIEW, second(101));
        let changes = reported_changes(facts, &plan);
        changes
            .iter()
            .map(|change| change.source.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&looked(Vec::new())), [DB]);
    let mut facts = sweep(vec![called("a", &[DB, MAIL])]);
    learn_last_change(&mut facts, DB, 50, 101);
    learn_last_change(&mut facts, MAIL, 5, 101);
    for (source, at) in [(source(DB), 50), (source(MAIL), 5)] {
        facts.changes.get_mut(&source).unwrap().reported = Bounds::exact(second(at));
    }
    assert_eq!(names(&facts), [DB], "the other is older than the service");
    let none = BTreeMap::new();
    facts.workloads = none;
    assert!(names(&facts).is_empty());
}

/// The service of a deployment event, deployed at this second.
fn api_of(at: i64) -> Workload {
    Workload {
        deployments: vec![deployment(at, true, Completed)],
        ..called("api", &[DB, MAIL])
    }
}

#[test]
fn where_an_order_was_asked_for_another_change_needs_another_look() {
    let facts = |scope: Scope, deployed_at: i64| {
        let mut facts = Facts::new(scope, second(100));
        facts.announce(change(DB, 100));
        facts.looked_for = [source(DB)].into();
        facts.has_first = true;
        let mut facts = seen(facts, vec![api_of(deployed_at)]);
        facts.changes.insert(source(MAIL), change(MAIL, 90));
        facts
    };
    let asked = |facts: &Facts| look_for_others(facts, &ACT, second(200));
    // What was deployed a second after the change has it.
    assert_eq!(asked(&facts(Scope::Followers, 90)), Some(look(95)));
    assert_eq!(asked(&facts(Scope::Followers, 91)), None);
    assert_eq!(asked(&facts(Scope::Followers, 92)), None);
    let around = Scope::Around(service_arn("api"));
    assert_eq!(asked(&facts(around, 90)), Some(look(95)));
    assert_eq!(asked(&facts(Scope::Everything, 90)), None);
    let unordered = Facts {
        has_first: false,
        ..facts(Scope::Followers, 90)
    };
    assert_eq!(asked(&unordered), None);
    let unlooked = Facts {
        looked_at: Fact::Unasked,
        ..facts(Scope::Followers, 90)
    };
    assert_eq!(asked(&unlooked), None);
    let mut known = facts(Scope::Followers, 90);
    known.looked_for.insert(source(MAIL));
    assert_eq!(asked(&known), None);
}

#[test]
fn a_deployment_looks_for_siblings_of_a_day_or_while_its_service_lacks_the_change() {
    const DAY: i64 = 24 * 60 * 60;
    let facts = |deployed_at: i64| {
        let mut facts = Facts::new(Scope::Around(service_arn("api")), second(100));
        facts.announce(change(DB, 100));
        facts
            .workloads
            .insert(service_arn("api"), api_of(deployed_at));
        facts
    };
    let asked = |facts: &Facts, now| look_for_siblings(facts, &ACT, second(now));
    assert_eq!(asked(&facts(101), 100 + DAY - 1), Some(look(105)));
    assert_eq!(asked(&facts(101), 100 + DAY), None);
    assert_eq!(asked(&facts(100), 100 + DAY), Some(look(105)));
    assert_eq!(asked(&facts(102), 100 + DAY), None);
    assert_eq!(asked(&seen(facts(100), vec![api_of(100)]), 200), None);
}

#[test]
fn a_read_that_lags_behind_the_end_of_a_rollout_is_made_once_more() {
    let facts = |scope: &str, completed: Option<&str>, read: i64| {
        let api = Workload {
            deployments: vec![
                deployment(50, true, InProgress),
                deployment(10, false, Completed),
            ],
            ..read_at(read, called("api", &[DB]))
        };
        let mut facts = about(
            Scope::Around(service_arn(scope)),
            Fact::Known(Existence::Here),
        );
        facts.completed = completed.map(str::to_owned);
        let mut facts = seen(facts, vec![api]);
        let found = Fact::Known(None);
        let followed = facts.workloads[&service_arn("api")].followed();
        let known = followed.into_iter().map(|(followed, labels)| {
            let asked_at = Some(second(100));
            let found = found.clone();
            (
                followed,
                LastChange {
                    labels,
                    asked_at,
                    found,
                },
            )
        });
        facts.followed = known.collect();
        facts.changes.insert(source(DB), change(DB, 90));
        facts
    };
    let done = Some("ecs-svc/10");
    let waits = |facts: &Facts, policy: &Policy, now| {
        let plan = plan(facts, policy, second(now));
        assert_eq!(plan.decisions[0].reason, Reason::DeploymentInProgress);
        (
            plan.wait_until,
            plan.questions.into_iter().collect::<Vec<_>>(),
        )
    };
    let describe = Question::Describe(service_arn("api"));
    assert_eq!(
        waits(&facts("api", done, 104), &ACT, 104),
        (Some(second(105)), vec![])
    );
    assert_eq!(
        waits(&facts("api", done, 104), &ACT, 105),
        (None, vec![describe])
    );
    for (facts, policy) in [
        (facts("api", done, 105), &ACT),
        (facts("api", None, 104), &ACT),
        (facts("web", done, 104), &ACT),
        (facts("api", done, 104), &PREVIEW),
    ] {
        assert_eq!(waits(&facts, policy, 105), (None, vec![]));
    }
}
