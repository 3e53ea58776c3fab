use std::collections::BTreeMap;

use super::*;
use crate::change::{Bounds, TrailMove, VersionStored};
use crate::fact::{Fact, GapKind};
use crate::facts::{Facts, Scope};
use crate::reference::Reference;
use crate::relation::Relations;
use crate::tag::SecretTag;
use crate::testing::{
    ACT, DB, LIMIT, MAIL, REVISION, VERSION, at_start, bounded, bounds, change, deployment, gap,
    past, platform, second, service, source, standalone, tasks,
};
use crate::workload::{Deployment, Strategy, Use};
use RolloutState::{Completed, Failed, InProgress, RollingBack, Stopped};

/// What is decided at this time about a workload after these changes.
fn verdict_at(workload: &Workload, changes: &[Change], now: i64) -> Option<Verdict> {
    let relations = Relations::new(changes.iter());
    let location = workload.location.as_deref();
    let (related, _) = relations.of(&workload.uses, location, &BTreeMap::new());
    decide(workload, &related, &ACT, second(now))
}

/// The same a moment after the change of 100 has settled.
fn reason(workload: &Workload, changes: &[Change]) -> Option<Reason> {
    verdict_at(workload, changes, 112).map(|verdict| verdict.decision.reason)
}

fn questions(workload: &Workload, changes: &[Change], now: i64) -> Vec<Question> {
    verdict_at(workload, changes, now).unwrap().questions
}

fn check(workload: &Workload, expected: Reason) {
    let found = reason(workload, &[change(DB, 100)]);
    assert_eq!(found, Some(expected), "{workload:#?}");
}

fn live(deployments: &[(i64, bool, RolloutState)]) -> Workload {
    let of =
        |(at, primary, rollout): &(i64, bool, RolloutState)| deployment(*at, *primary, *rollout);
    Workload {
        deployments: deployments.iter().map(of).collect(),
        ..service()
    }
}

/// The service of which ECS remembers these deployments, of its own revision.
fn remembered(history: &[(i64, RolloutState)]) -> Workload {
    let past = |(at, rollout): &(i64, RolloutState)| Deployment {
        task_definition: Fact::Known(REVISION.into()),
        ..past(*at, *rollout)
    };
    Workload {
        history: Fact::Known(history.iter().map(past).collect()),
        ..service()
    }
}

fn using(uses: &[&str]) -> Workload {
    Workload {
        uses: uses.iter().map(|value_from| at_start(value_from)).collect(),
        ..service()
    }
}

fn staged(workload: Workload) -> Workload {
    Workload {
        platform: platform(Controller::Ecs, Strategy::Canary),
        ..workload
    }
}

#[test]
fn a_service_deployed_before_the_change_is_stale() {
    check(&service(), Reason::Stale);
    for at in [99, 100] {
        check(&live(&[(at, true, Completed)]), Reason::Stale);
    }
    check(&live(&[]), Reason::Stale);
}

#[test]
fn a_service_deployed_a_second_after_the_change_is_fresh() {
    for rollout in [Completed, InProgress, RolloutState::Unknown] {
        check(
            &live(&[(101, true, rollout), (10, false, Completed)]),
            Reason::AlreadyFresh,
        );
    }
}

#[test]
fn a_service_that_must_not_or_need_not_be_forced_is_skipped() {
    let pinned = format!("{DB}:::{VERSION}");
    let pulled = || Use::AtImagePull(Reference::parse_secret("prod/db").unwrap().into());
    let ignored = || Some("ignore".into());
    let empty = || Workload {
        desired: 0,
        running: 0,
        ..service()
    };
    check(
        &Workload {
            active: false,
            tag: ignored(),
            ..service()
        },
        Reason::NotActive,
    );
    check(
        &Workload {
            tag: ignored(),
            ..using(&[&pinned])
        },
        Reason::OptedOut,
    );
    check(
        &Workload {
            uses: using(&[&pinned]).uses,
            ..empty()
        },
        Reason::PinnedVersion,
    );
    check(
        &Workload {
            uses: vec![pulled()].into(),
            ..empty()
        },
        Reason::ImagePullOnly,
    );
    check(&empty(), Reason::NothingRunning);
    for (desired, running, pending) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        let workload = Workload {
            desired,
            running,
            pending,
            ..service()
        };
        check(&workload, Reason::Stale);
    }
    let all = [&[pulled()], &*using(&[&pinned, DB]).uses].concat();
    check(
        &Workload {
            uses: all.into(),
            ..service()
        },
        Reason::Stale,
    );
}

#[test]
fn nothing_is_said_about_a_service_that_has_nothing_to_do_with_the_changes() {
    assert_eq!(reason(&using(&[MAIL]), &[change(DB, 100)]), None);
    assert_eq!(reason(&using(&[]), &[change(DB, 100)]), None);
    assert_eq!(reason(&service(), &[]), None);
}

#[test]
fn what_is_skipped_asks_nothing() {
    let changes = [Change::new(source(DB), None, bounds(5, 100))];
    for workload in [
        Workload {
            active: false,
            ..service()
        },
        using(&[&format!("{DB}:::{VERSION}")]),
    ] {
        assert_eq!(questions(&workload, &changes, 1000), []);
    }
}

#[test]
fn several_secrets_that_change_together_cost_one_redeploy_about_the_stale_ones() {
    let both = using(&[DB, MAIL]);
    let changes = [change(MAIL, 200), change(DB, 100)];
    let decision = verdict_at(&both, &changes, 212).unwrap().decision;
    let expected = Decision {
        workload: both.arn.clone(),
        reason: Reason::Stale,
        sources: vec![DB.into(), MAIL.into()],
        at: second(200),
        until: None,
        error: None,
    };
    assert_eq!(decision, expected);
    assert_eq!(decision.action(), Action::Redeploy);
    // Deployed between the two changes, it is stale for the second only.
    let between = Workload {
        deployments: vec![deployment(150, true, Completed)],
        ..both
    };
    let decision = verdict_at(&between, &changes, 212).unwrap().decision;
    assert_eq!(
        (decision.reason, decision.sources),
        (Reason::Stale, vec![MAIL.into()])
    );
}

#[test]
fn a_service_deployed_between_the_bounds_of_a_change_is_unknown() {
    let at = |at| reason(&live(&[(at, true, Completed)]), &[bounded(DB, 80, 100)]);
    assert_eq!(at(79), Some(Reason::Stale));
    assert_eq!(at(80), Some(Reason::Unknown));
    assert_eq!(at(100), Some(Reason::Unknown));
    assert_eq!(at(101), Some(Reason::AlreadyFresh));
}

#[test]
fn what_is_stale_for_one_change_is_redeployed_whatever_is_unknown_about_another() {
    let workload = using(&[DB, MAIL]);
    let changes = [change(DB, 100), bounded(MAIL, 5, 100)];
    let decision = verdict_at(&workload, &changes, 112).unwrap().decision;
    assert_eq!(
        (decision.reason, decision.sources),
        (Reason::Stale, vec![DB.into()])
    );
    let unknown = [change(DB, 5), bounded(MAIL, 5, 100)];
    let decision = verdict_at(&workload, &unknown, 112).unwrap().decision;
    assert_eq!(
        (decision.reason, decision.sources),
        (Reason::Unknown, vec![MAIL.into()])
    );
}

#[test]
fn between_the_bounds_the_cheap_question_comes_before_the_dear_one_and_the_tasks() {
    let workload = live(&[(90, true, Completed)]);
    let mut open = Change::new(source(DB), None, bounds(80, 200));
    let asks = |change: &Change| questions(&workload, std::slice::from_ref(change), 1000);
    assert_eq!(asks(&open), [Question::VersionStored(source(DB))]);
    open.stored = Fact::Known(None);
    assert_eq!(asks(&open), [Question::MoveTimes([source(DB)].into())]);
    open.trail = Fact::Known(None);
    assert_eq!(asks(&open), [Question::Tasks(workload.arn.clone())]);
    let known = Workload {
        tasks: tasks("ecs-svc/90", &[91]),
        ..workload.clone()
    };
    assert_eq!(questions(&known, &[open], 1000), []);
}

#[test]
fn an_answer_that_is_exact_ends_the_questions_about_the_bounds() {
    let workload = Workload {
        read_at: Some(second(200)),
        ..live(&[(90, true, Completed)])
    };
    let with = |stored, trail| Change {
        stored,
        trail,
        ..Change::new(source(DB), None, bounds(80, 200))
    };
    let only = VersionStored {
        at: second(85),
        is_only: true,
    };
    let stored = with(Fact::Known(Some(only)), Fact::Unasked);
    assert_eq!(reason(&workload, &[stored]), Some(Reason::AlreadyFresh));
    let trail = Fact::Known(Some(TrailMove::At(second(95))));
    let moved = with(Fact::Known(None), trail);
    assert_eq!(reason(&workload, &[moved]), Some(Reason::Stale));
    for unavailable in [GapKind::Denied, GapKind::Failed] {
        let gap = gap(unavailable);
        let change = with(Fact::Unavailable(gap.clone()), Fact::Unavailable(gap));
        assert_eq!(reason(&workload, &[change]), Some(Reason::Unknown));
    }
}

#[test]
fn a_parameter_has_no_versions_to_ask_about() {
    let workload = Workload {
        deployments: vec![deployment(90, true, Completed)],
        ..using(&["/app/limit"])
    };
    let change = Change::new(source(LIMIT), None, bounds(80, 200));
    assert_eq!(
        questions(&workload, &[change], 1000),
        [Question::MoveTimes([source(LIMIT)].into())]
    );
}

#[test]
fn only_doubtful_changes_are_asked_about_all_of_them_at_once() {
    let workload = Workload {
        deployments: vec![deployment(90, true, Completed)],
        ..using(&[DB, MAIL, "/app/limit"])
    };
    let open = |arn| Change::new(source(arn), None, bounds(80, 200));
    let changes = [open(DB), open(MAIL), change(LIMIT, 50)];
    let expected = [source(DB), source(MAIL)];
    assert_eq!(
        questions(&workload, &changes, 1000),
        expected.clone().map(Question::VersionStored)
    );
    let asked = |arn| Change {
        stored: Fact::Known(None),
        ..open(arn)
    };
    let changes = [asked(DB), asked(MAIL), change(LIMIT, 50)];
    assert_eq!(
        questions(&workload, &changes, 1000),
        [Question::MoveTimes(expected.into())]
    );
}

#[test]
fn the_tasks_are_asked_about_when_more_than_a_minute_lies_between_change_and_look() {
    let asks = |read_at: Option<i64>, seen_at: Option<i64>| {
        let workload = Workload {
            read_at: read_at.map(second),
            seen_at: seen_at.map(second),
            ..service()
        };
        let question = Question::Tasks(workload.arn.clone());
        questions(&workload, &[change(DB, 100)], 112).contains(&question)
    };
    assert!(!asks(Some(160), None) && !asks(Some(40), None));
    assert!(asks(Some(161), None) && asks(Some(39), None) && asks(None, None));
    assert!(!asks(Some(1000), Some(40)) && !asks(Some(1000), Some(160)));
    assert!(asks(Some(1000), Some(161)));
}

#[test]
fn a_service_whose_tasks_all_started_since_the_change_is_fresh() {
    let with = |tasks| Workload {
        tasks,
        read_at: Some(second(1000)),
        ..service()
    };
    check(
        &with(tasks("ecs-svc/10", &[101, 150])),
        Reason::AlreadyFresh,
    );
    check(&with(tasks("ecs-svc/10", &[100, 150])), Reason::Stale);
    check(&with(tasks("ecs-svc/10", &[])), Reason::Stale);
    check(
        &with(Fact::Unavailable(gap(GapKind::Denied))),
        Reason::Stale,
    );
    let asked = questions(&with(tasks("a", &[])), &[change(DB, 100)], 112);
    assert_eq!(asked, [], "an answered question is not asked again");
    let failed = Fact::Unavailable(gap(GapKind::Failed));
    assert_eq!(questions(&with(failed), &[change(DB, 100)], 112), []);
}

#[test]
fn tasks_that_are_younger_than_one_change_are_stale_for_the_other_only() {
    let workload = Workload {
        tasks: tasks("ecs-svc/10", &[150]),
        ..using(&[DB, MAIL])
    };
    let decision = |changes: &[Change]| verdict_at(&workload, changes, 112).unwrap().decision;
    let stale = decision(&[change(DB, 100), change(MAIL, 200)]);
    assert_eq!(
        (stale.reason, stale.sources),
        (Reason::Stale, vec![MAIL.into()])
    );
    let unknown = decision(&[change(DB, 100), bounded(MAIL, 5, 200)]);
    assert_eq!(
        (unknown.reason, unknown.sources),
        (Reason::Unknown, vec![MAIL.into()])
    );
    let fresh = decision(&[change(DB, 100), bounded(MAIL, 5, 149)]);
    assert_eq!(fresh.reason, Reason::AlreadyFresh);
}

#[test]
fn tasks_that_started_between_the_bounds_may_have_the_value() {
    let with = |created: &[i64]| Workload {
        tasks: tasks("ecs-svc/10", created),
        ..service()
    };
    let open = Change::new(source(DB), None, bounds(80, 100));
    let asks = |created: &[i64]| {
        let verdict = verdict_at(&with(created), std::slice::from_ref(&open), 112).unwrap();
        (verdict.decision.reason, verdict.questions.first().cloned())
    };
    let stored = Question::VersionStored(source(DB));
    assert_eq!(asks(&[80, 90]), (Reason::Unknown, Some(stored)));
    assert_eq!(asks(&[79, 90]).0, Reason::Stale);
    assert_eq!(asks(&[101]), (Reason::AlreadyFresh, None));
}

/// A service deployed at 201, while these older tasks still run.
fn outlived(created: &[i64]) -> Workload {
    Workload {
        running: 3,
        tasks: tasks("ecs-svc/10", created),
        ..live(&[(201, true, Completed)])
    }
}

#[test]
fn tasks_that_outlive_a_fresh_deployment_need_a_person() {
    let change = [bounded(DB, 100, 200)];
    let with = |workload: &Workload| reason(workload, &change);
    assert_eq!(with(&outlived(&[150, 99])), Some(Reason::StaleTasks));
    assert_eq!(
        with(&outlived(&[100])),
        Some(Reason::AlreadyFresh),
        "they may have the value"
    );
    assert_eq!(with(&outlived(&[])), Some(Reason::AlreadyFresh));
    let own = Workload {
        tasks: tasks("ecs-svc/201", &[99]),
        ..outlived(&[])
    };
    assert_eq!(with(&own), Some(Reason::AlreadyFresh));
    let all_of_the_rollout = Workload {
        running: 2,
        ..outlived(&[99])
    };
    assert_eq!(with(&all_of_the_rollout), Some(Reason::AlreadyFresh));
}

#[test]
fn tasks_that_may_have_outlived_a_rollout_are_asked_about_once() {
    let asks = |workload: &Workload, change: Change| questions(workload, &[change], 1000);
    let unasked = Workload {
        tasks: Fact::Unasked,
        ..outlived(&[])
    };
    let question = Question::Tasks(unasked.arn.clone());
    assert_eq!(asks(&unasked, change(DB, 100)), [question]);
    let denied = Workload {
        tasks: Fact::Unavailable(gap(GapKind::Denied)),
        ..outlived(&[])
    };
    assert_eq!(asks(&denied, change(DB, 100)), []);
    assert_eq!(
        reason(&denied, &[change(DB, 100)]),
        Some(Reason::AlreadyFresh)
    );
}

#[test]
fn the_bounds_are_narrowed_for_tasks_that_may_be_stale() {
    let open = || Change::new(source(DB), None, bounds(100, 200));
    let asks = |at: i64| questions(&outlived(&[at]), &[open()], 1000);
    assert_eq!(asks(150), [Question::VersionStored(source(DB))]);
    assert_eq!(asks(199), [Question::VersionStored(source(DB))]);
    assert_eq!(asks(200), []);
    assert_eq!(asks(99), [], "they are stale anyhow");
    let stored = Change {
        stored: Fact::Known(None),
        ..open()
    };
    assert_eq!(
        questions(&outlived(&[150]), &[stored], 1000),
        [Question::MoveTimes([source(DB)].into())]
    );
}

#[test]
fn stale_tasks_are_about_the_changes_that_they_do_not_have() {
    let workload = Workload {
        uses: using(&[DB, MAIL]).uses,
        ..outlived(&[150])
    };
    let changes = [change(DB, 100), change(MAIL, 190)];
    let decision = verdict_at(&workload, &changes, 1000).unwrap().decision;
    assert_eq!(
        (decision.reason, decision.sources),
        (Reason::StaleTasks, vec![MAIL.into()])
    );
}

#[test]
fn a_task_outside_services_needs_a_person_and_is_not_told_of_when_it_is_fresh() {
    let reason = |at| reason(&standalone(at), &[bounded(DB, 80, 100)]);
    assert_eq!(reason(79), Some(Reason::StaleTasks));
    assert_eq!(reason(80), Some(Reason::Unknown));
    assert_eq!(reason(101), None);
    let old = Workload {
        read_at: Some(second(1000)),
        ..standalone(50)
    };
    assert_eq!(
        questions(&old, &[change(DB, 100)], 1000),
        [],
        "it is a task itself"
    );
}

#[test]
fn a_service_that_cannot_be_forced_is_blocked_unless_it_is_fresh() {
    for controller in [Controller::CodeDeploy, Controller::External] {
        let with = |at| Workload {
            platform: platform(controller, Strategy::Rolling),
            inactive_task_definition: true,
            ..live(&[(at, true, RolloutState::Unknown)])
        };
        check(&with(10), Reason::UnsupportedController);
        check(&with(101), Reason::AlreadyFresh);
    }
}

#[test]
fn a_revision_that_is_inactive_starts_no_deployment() {
    let inactive = Workload {
        inactive_task_definition: true,
        ..live(&[(10, true, Completed), (110, false, Failed)])
    };
    check(&inactive, Reason::InactiveTaskDefinition);
}

#[test]
fn a_rollout_that_failed_since_the_change_is_not_tried_again() {
    check(
        &live(&[(10, true, Completed), (110, false, Failed)]),
        Reason::RolledBack,
    );
    check(&live(&[(110, true, Failed)]), Reason::RolledBack);
    check(
        &live(&[(10, true, Completed), (101, false, Failed)]),
        Reason::RolledBack,
    );
    check(
        &live(&[(10, true, Completed), (100, false, Failed)]),
        Reason::Stale,
    );
    check(
        &live(&[(10, true, Completed), (90, false, Failed)]),
        Reason::Stale,
    );
}

#[test]
fn a_success_after_the_failure_is_what_counts() {
    check(
        &remembered(&[(110, Failed), (120, Completed)]),
        Reason::AlreadyFresh,
    );
    check(
        &remembered(&[(110, Completed), (120, Failed)]),
        Reason::RolledBack,
    );
    check(
        &remembered(&[(99, Completed), (101, Failed)]),
        Reason::RolledBack,
    );
    check(
        &remembered(&[(110, Failed), (110, Completed)]),
        Reason::AlreadyFresh,
    );
}

#[test]
fn a_success_of_the_same_moment_counts_as_one_after_the_failure() {
    let mut workload = remembered(&[(110, Failed), (110, Completed), (120, Failed)]);
    let Fact::Known(history) = &mut workload.history else {
        unreachable!()
    };
    history[2].task_definition = Fact::Known("another".into());
    check(&workload, Reason::Stale);
}

#[test]
fn a_deployment_that_was_stopped_with_nothing_after_it_failed() {
    check(&remembered(&[(110, Stopped)]), Reason::RolledBack);
    check(
        &remembered(&[(110, Stopped), (120, InProgress)]),
        Reason::AlreadyFresh,
    );
    check(&remembered(&[(100, Stopped)]), Reason::Stale);
    check(&remembered(&[(110, RollingBack)]), Reason::RolledBack);
}

#[test]
fn the_failure_of_another_revision_says_nothing_about_this_one() {
    let mut workload = live(&[(10, true, Completed), (110, false, Failed)]);
    workload.deployments[1].task_definition = Fact::Known("another".into());
    check(&workload, Reason::Stale);
    workload.deployments[0].rollout = InProgress;
    check(&workload, Reason::DeploymentInProgress);
    workload.deployments[1].task_definition = Fact::Unavailable(gap(GapKind::Denied));
    check(&workload, Reason::RolledBack);
}

#[test]
fn a_failure_before_the_last_change_may_have_been_caused_by_the_value_before() {
    let workload = Workload {
        uses: using(&[DB, MAIL]).uses,
        ..live(&[(10, true, Completed), (150, false, Failed)])
    };
    let with = |second| reason(&workload, &[change(DB, 100), change(MAIL, second)]);
    assert_eq!(with(200), Some(Reason::Stale));
    assert_eq!(with(149), Some(Reason::RolledBack));
    assert_eq!(with(120), Some(Reason::RolledBack));
}

#[test]
fn a_failure_between_the_bounds_is_one_since_the_change_until_more_is_known() {
    let workload = Workload {
        read_at: Some(second(155)),
        ..live(&[(10, true, Completed), (150, false, Failed)])
    };
    let mut open = Change::new(source(DB), None, bounds(100, 200));
    let asks = |change: &Change| {
        let verdict = verdict_at(&workload, std::slice::from_ref(change), 212).unwrap();
        (verdict.decision.reason, verdict.questions)
    };
    let stored = Question::VersionStored(source(DB));
    assert_eq!(asks(&open), (Reason::RolledBack, vec![stored]));
    open.stored = Fact::Known(None);
    let moved = Question::MoveTimes([source(DB)].into());
    assert_eq!(asks(&open), (Reason::RolledBack, vec![moved]));
    open.trail = Fact::Known(Some(TrailMove::NotBefore(second(150))));
    assert_eq!(asks(&open).0, Reason::Stale);
    open.trail = Fact::Known(Some(TrailMove::NotAfter(second(140))));
    assert_eq!(asks(&open), (Reason::RolledBack, Vec::new()));
}

#[test]
fn a_change_that_may_have_come_after_the_failure_is_narrowed_too() {
    let workload = Workload {
        uses: using(&[DB, MAIL]).uses,
        ..live(&[(60, true, Completed), (150, false, Failed)])
    };
    let with = |mail: Change| verdict_at(&workload, &[change(DB, 100), mail], 212).unwrap();
    let mail = |not_after| Change::new(source(MAIL), None, bounds(50, not_after));
    let open = with(mail(150));
    assert_eq!(open.decision.reason, Reason::RolledBack);
    assert_eq!(open.questions, [Question::VersionStored(source(MAIL))]);
    assert_eq!(with(mail(149)).questions, [], "it came before the failure");
    let later = Change {
        trail: Fact::Known(Some(TrailMove::At(second(150)))),
        ..mail(160)
    };
    assert_eq!(with(later).decision.reason, Reason::Stale);
}

#[test]
fn the_revision_of_a_failure_that_only_the_history_shows_is_asked_about() {
    let mut workload = Workload {
        history: Fact::Known(vec![past(110, Failed), past(120, Failed)]),
        ..service()
    };
    let asks = |workload: &Workload| questions(workload, &[change(DB, 100)], 200);
    let question = |revision: &str| Question::TaskDefinitions(revision.to_owned());
    assert_eq!(asks(&workload), [question("revision/120")]);
    let Fact::Known(history) = &mut workload.history else {
        unreachable!()
    };
    history[1].task_definition = Fact::Known("another".into());
    assert_eq!(asks(&workload), [question("revision/110")]);
    check(&workload, Reason::RolledBack);
    let Fact::Known(history) = &mut workload.history else {
        unreachable!()
    };
    history[0].task_definition = Fact::Unavailable(gap(GapKind::NotFound));
    assert_eq!(asks(&workload), []);
    check(&workload, Reason::RolledBack);
    workload.deployments[0].task_definition = Fact::Unasked;
    assert_eq!(asks(&workload), [], "there is nothing to compare it with");
}

#[test]
fn a_deployment_under_way_is_waited_for_with_the_time_at_which_that_ends() {
    let young = live(&[(90, true, InProgress), (10, false, Completed)]);
    let decision = verdict_at(&young, &[change(DB, 100)], 112)
        .unwrap()
        .decision;
    assert_eq!(decision.reason, Reason::DeploymentInProgress);
    assert_eq!(
        (decision.action(), decision.until),
        (Action::Wait, Some(second(690)))
    );
    let decision = verdict_at(&staged(young), &[change(DB, 100)], 112)
        .unwrap()
        .decision;
    assert_eq!(
        (decision.reason, decision.until),
        (Reason::DeploymentInProgress, None)
    );
}

#[test]
fn a_roll_back_is_waited_for_whenever_the_failed_deployment_began() {
    let workload = live(&[(10, true, InProgress), (50, false, Failed)]);
    check(&workload, Reason::DeploymentInProgress);
    let mut since = live(&[(10, true, InProgress), (110, false, Failed)]);
    check(&since, Reason::RolledBack);
    since.deployments[1].task_definition = Fact::Known("another".into());
    check(&since, Reason::DeploymentInProgress);
}

#[test]
fn a_rollout_whose_tasks_hold_a_replaced_value_is_restarted() {
    let mut workload = live(&[(90, true, InProgress), (10, false, Completed)]);
    workload.deployments[0].failed_tasks = 3;
    check(&workload, Reason::Stale);
}

#[test]
fn without_its_history_nothing_is_done_to_a_service() {
    let unavailable = |kind| Workload {
        history: Fact::Unavailable(gap(kind)),
        ..service()
    };
    let verdict = verdict_at(&unavailable(GapKind::Failed), &[change(DB, 100)], 112).unwrap();
    assert_eq!(verdict.decision.reason, Reason::LookupFailed);
    assert_eq!(verdict.decision.error.as_deref(), Some("it is Failed"));
    assert_eq!(verdict.questions, []);
    let known_to_have_failed = Workload {
        deployments: vec![deployment(110, true, Failed)],
        ..unavailable(GapKind::Failed)
    };
    check(&known_to_have_failed, Reason::RolledBack);
}

/// Whether, and from when on, the history is asked for.
fn history(workload: &Workload, changes: &[Change], now: i64) -> Option<Timestamp> {
    let asked = questions(workload, changes, now).into_iter();
    let mut asked = asked.filter_map(|question| match question {
        Question::History {
            workload: arn,
            since,
        } => {
            assert_eq!(arn, workload.arn);
            Some(since)
        }
        _ => None,
    });
    asked.next()
}

#[test]
fn the_history_is_not_needed_a_moment_after_the_change_has_settled() {
    let changes = [change(DB, 100)];
    assert_eq!(history(&service(), &changes, 112), None);
    assert!(history(&service(), &changes, 113).is_some());
    assert!(history(&staged(service()), &changes, 112).is_some());
    let undated = Workload {
        deployments: Vec::new(),
        ..service()
    };
    assert!(history(&undated, &changes, 112).is_some());
    assert!(history(&service(), &[bounded(DB, 99, 100)], 112).is_some());
    let forced = |at| Workload {
        forced_at: Some(second(at)),
        ..service()
    };
    assert!(history(&forced(100), &changes, 112).is_some());
    assert_eq!(history(&forced(99), &changes, 112), None);
    assert_eq!(history(&remembered(&[]), &changes, 5000), None);
    let asked_about_its_tasks = read_later(service());
    assert_eq!(history(&asked_about_its_tasks, &changes, 5000), None);
    let answered = Workload {
        tasks: tasks("ecs-svc/10", &[10]),
        ..read_later(service())
    };
    assert!(history(&answered, &changes, 5000).is_some());
}

#[test]
fn the_history_is_not_needed_later_where_the_deployment_is_still_as_it_was_seen() {
    let changes = [change(DB, 100)];
    let seen = |at| Workload {
        seen_at: Some(second(at)),
        ..read_later(service())
    };
    assert_eq!(history(&seen(50), &changes, 699), None);
    assert_eq!(history(&seen(112), &changes, 699), None);
    assert!(history(&seen(113), &changes, 699).is_some());
    assert!(history(&seen(50), &changes, 700).is_some());
    let forced = Workload {
        forced_at: Some(second(100)),
        ..seen(50)
    };
    assert!(history(&forced, &changes, 699).is_some());
    assert!(history(&staged(seen(50)), &changes, 699).is_some());
}

/// The same, read so long after the change that its tasks may have been replaced since.
fn read_later(workload: Workload) -> Workload {
    Workload {
        read_at: Some(second(4999)),
        ..workload
    }
}

#[test]
fn the_history_is_asked_for_from_the_first_change_or_the_last_hour_on() {
    let both = Workload {
        tasks: tasks("ecs-svc/10", &[10]),
        ..using(&[DB, MAIL])
    };
    let changes = [bounded(DB, 5100, 5200), change(MAIL, 5150)];
    assert_eq!(history(&both, &changes, 6000), Some(second(2400)));
    assert_eq!(history(&both, &changes, 9000), Some(second(5100)));
    assert_eq!(history(&both, &changes[1..], 9000), Some(second(5150)));
    let staged = staged(both);
    assert_eq!(
        history(&staged, &changes, 9000),
        Some(Timestamp::MIN),
        "it may be of any age"
    );
}

#[test]
fn only_a_service_that_would_be_redeployed_needs_its_history() {
    for workload in [
        live(&[(110, true, Failed)]),
        live(&[(5001, true, InProgress)]),
        Workload {
            inactive_task_definition: true,
            ..service()
        },
    ] {
        assert_eq!(history(&workload, &[change(DB, 100)], 5002), None);
    }
}

#[test]
fn an_order_counts_what_is_followed_and_not_ignored() {
    let ignored = Change {
        tag: Fact::Known(SecretTag {
            is_ignored: true,
            ..SecretTag::default()
        }),
        ..change(MAIL, 100)
    };
    let changes = [change(DB, 100), ignored];
    let names = |value_from: &str| {
        let relations = Relations::new(changes.iter());
        let workload = using(&[value_from]);
        let location = workload.location.as_deref();
        let (related, _) = relations.of(&workload.uses, location, &BTreeMap::new());
        (related.len(), counted(&related, &ACT).len())
    };
    assert_eq!(names(DB), (1, 1));
    assert_eq!(names(MAIL), (1, 0));
    assert_eq!(names(&format!("{DB}:::{VERSION}")), (1, 0));
}

#[test]
fn a_service_is_up_to_date_when_it_is_newer_than_all_changes() {
    let is_up_to_date = |workload: &Workload, changes: &[Change]| {
        let mut facts = Facts::new(Scope::Followers, second(0));
        for change in changes {
            facts.announce(change.clone());
        }
        facts.is_up_to_date(workload)
    };
    let workload = live(&[(150, true, Completed)]);
    assert!(is_up_to_date(
        &workload,
        &[change(DB, 100), change(MAIL, 149)]
    ));
    assert!(!is_up_to_date(
        &workload,
        &[change(DB, 100), change(MAIL, 150)]
    ));
    let failed = live(&[(150, true, Failed)]);
    assert!(!is_up_to_date(&failed, &[change(DB, 100)]));
    let replaced = |created: &[i64]| Workload {
        tasks: tasks("ecs-svc/10", created),
        ..service()
    };
    assert!(is_up_to_date(&replaced(&[101]), &[change(DB, 100)]));
    assert!(!is_up_to_date(&replaced(&[100]), &[change(DB, 100)]));
    assert!(!is_up_to_date(&replaced(&[]), &[change(DB, 100)]));
}

/// A decision about `prod/db` for this reason, once this could not be looked up.
fn with_gap(reason: Reason, kind: GapKind, is_fresh: bool) -> Option<Reason> {
    let decision = Decision {
        workload: service().arn,
        reason,
        sources: vec![DB.into()],
        at: second(100),
        until: Some(second(200)),
        error: None,
    };
    decision.with_gap(&gap(kind), &[], is_fresh).map(|with| {
        assert_eq!((with.until, with.at), (None, second(100)));
        assert_eq!(with.error, Some(gap(kind).error));
        with.reason
    })
}

#[test]
fn what_could_not_be_looked_up_matters_unless_it_cannot_change_the_decision() {
    for kind in [GapKind::Failed, GapKind::Denied] {
        for reason in [
            Reason::Stale,
            Reason::DeploymentInProgress,
            Reason::NotActive,
            Reason::OptedOut,
            Reason::NothingRunning,
            Reason::UnsupportedController,
        ] {
            assert_eq!(with_gap(reason, kind, false), None, "{reason:?}");
        }
    }
    assert_eq!(with_gap(Reason::RolledBack, GapKind::Denied, false), None);
    let retried = with_gap(Reason::RolledBack, GapKind::Throttled, false);
    assert_eq!(retried, Some(Reason::LookupFailed));
    let fresh = |is_fresh| with_gap(Reason::AlreadyFresh, GapKind::Denied, is_fresh);
    assert_eq!((fresh(true), fresh(false)), (None, Some(Reason::Unknown)));
    let pinned = with_gap(Reason::PinnedVersion, GapKind::NotFound, false);
    assert_eq!(pinned, Some(Reason::NotFound));
}

#[test]
fn a_decision_names_what_could_not_be_looked_up() {
    let decision = Decision {
        workload: service().arn,
        reason: Reason::AlreadyFresh,
        sources: vec![MAIL.into()],
        at: second(100),
        until: None,
        error: None,
    };
    let with = decision.with_gap(&gap(GapKind::Failed), &[DB.into(), MAIL.into()], true);
    assert_eq!(with.unwrap().sources, [DB.into(), Arc::<str>::from(MAIL)]);
}

#[test]
fn what_is_stale_is_redeployed_what_needs_a_person_is_blocked_and_what_needs_time_waits() {
    use Reason::{
        AlreadyFresh, DeploymentInProgress, ImagePullOnly, InactiveTaskDefinition, LookupFailed,
        NotActive, NotFound, NothingRunning, OptedOut, PinnedVersion, RolledBack, Stale,
        StaleTasks, Unknown, UnsupportedController,
    };
    assert_eq!(Stale.action(), Action::Redeploy);
    assert_eq!(DeploymentInProgress.action(), Action::Wait);
    for reason in [
        StaleTasks,
        UnsupportedController,
        InactiveTaskDefinition,
        RolledBack,
    ] {
        assert_eq!(
            (reason.action(), reason.is_failure()),
            (Action::Block, false)
        );
    }
    for reason in [
        NotActive,
        OptedOut,
        PinnedVersion,
        ImagePullOnly,
        NothingRunning,
        AlreadyFresh,
        Unknown,
    ] {
        assert_eq!(
            (reason.action(), reason.is_failure()),
            (Action::Skip, false)
        );
    }
    for reason in [NotFound, LookupFailed] {
        assert_eq!((reason.action(), reason.is_failure()), (Action::Skip, true));
    }
}

#[test]
fn a_change_of_any_time_before_is_one_since_the_last_deployment() {
    let change = Change {
        stored: Fact::Known(None),
        trail: Fact::Known(None),
        ..Change::new(source(DB), None, Bounds::until(second(100)))
    };
    assert_eq!(
        reason(&service(), std::slice::from_ref(&change)),
        Some(Reason::Unknown)
    );
    assert_eq!(
        reason(&live(&[(101, true, Completed)]), &[change]),
        Some(Reason::AlreadyFresh)
    );
}

#[test]
fn about_one_that_is_gone_nothing_more_is_said() {
    let decision = verdict_at(&service(), &[change(DB, 100)], 112)
        .unwrap()
        .decision;
    assert_eq!(decision.reason, Reason::Stale);
    let gone = Decision {
        reason: Reason::NotActive,
        ..decision.clone()
    };
    assert_eq!(decision.gone(), gone);
}

#[test]
fn a_rollout_that_ended_after_the_change_may_have_replaced_all_tasks() {
    let updated = |updated_at: Option<i64>, rollout| Workload {
        deployments: vec![Deployment {
            updated_at: updated_at.map(second),
            ..deployment(90, true, rollout)
        }],
        read_at: Some(second(112)),
        ..service()
    };
    let asked = |workload: &Workload| {
        let questions = questions(workload, &[change(DB, 100)], 112);
        questions.contains(&Question::Tasks(workload.arn.clone()))
    };
    assert!(asked(&updated(Some(101), Completed)));
    for (updated_at, rollout) in [
        (Some(100), Completed),
        (None, Completed),
        (Some(101), InProgress),
    ] {
        assert!(
            !asked(&updated(updated_at, rollout)),
            "{updated_at:?} {rollout:?}"
        );
    }
}
