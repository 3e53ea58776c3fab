use super::*;
use crate::testing::{DB, deployment, past, platform, second, service, standalone};
use RolloutState::{Completed, Failed, InProgress, RollingBack, Stopped, Unknown};

/// The service with these live deployments.
fn live(deployments: &[(i64, bool, RolloutState)]) -> Workload {
    let of =
        |(at, primary, rollout): &(i64, bool, RolloutState)| deployment(*at, *primary, *rollout);
    Workload {
        deployments: deployments.iter().map(of).collect(),
        ..service()
    }
}

/// The same, with these in its history.
fn remembered(
    deployments: &[(i64, bool, RolloutState)],
    history: &[(i64, RolloutState)],
) -> Workload {
    let history = history.iter().map(|(at, rollout)| past(*at, *rollout));
    Workload {
        history: Fact::Known(history.collect()),
        ..live(deployments)
    }
}

fn staged(workload: Workload) -> Workload {
    Workload {
        platform: platform(Controller::Ecs, Strategy::BlueGreen),
        ..workload
    }
}

#[test]
fn a_service_with_any_task_wanted_running_or_starting_may_be_redeployed() {
    let counts = |desired, running, pending| Workload {
        desired,
        running,
        pending,
        ..service()
    };
    assert!(counts(1, 0, 0).may_be_redeployed(Participation::Auto));
    assert!(counts(0, 1, 0).may_be_redeployed(Participation::Auto));
    assert!(counts(0, 0, 1).may_be_redeployed(Participation::Auto));
    assert!(!counts(0, 0, 0).may_be_redeployed(Participation::Auto));
    let inactive = Workload {
        active: false,
        ..service()
    };
    assert!(!inactive.may_be_redeployed(Participation::Auto));
    let ignored = Workload {
        tag: Some("ignore".into()),
        ..service()
    };
    assert!(!ignored.may_be_redeployed(Participation::Auto));
}

#[test]
fn the_word_ignore_opts_out_wherever_and_however_it_is_written() {
    let is_ignored = |tag: &str| {
        let tag = Some(tag.into());
        Workload { tag, ..service() }.is_ignored()
    };
    assert!(is_ignored("ignore") && is_ignored("IGNORE") && is_ignored("prod/db  Ignore"));
    assert!(!is_ignored("") && !is_ignored("ignored") && !is_ignored("prod/ignore"));
    assert!(!service().is_ignored());
}

#[test]
fn a_service_is_called_by_its_arn_or_by_cluster_and_name() {
    let service = service();
    assert!(service.is_called("arn:aws:ecs:eu-west-1:123456789012:service/prod/api"));
    assert!(service.is_called("prod/api"));
    assert!(!service.is_called("api") && !service.is_called("stage/api"));
    let named = Workload {
        arn: "prod/api".into(),
        ..service
    };
    assert!(named.is_called("prod/api"));
    // An old ARN does not say which cluster it is.
    let short = Workload {
        arn: "arn:aws:ecs:eu-west-1:123456789012:service/api".into(),
        cluster: "arn:aws:ecs:eu-west-1:123456789012:cluster/prod".into(),
        ..named
    };
    assert!(short.is_called("prod/api") && short.is_called(&short.arn));
    assert!(
        !short.is_called("stage/api") && !short.is_called("prod/web") && !short.is_called("api")
    );
}

#[test]
fn nobody_deploys_a_task_that_belongs_to_no_service() {
    assert_eq!(service().controller(), Some(Controller::Ecs));
    assert_eq!(standalone(10).controller(), None);
    assert!(!standalone(10).is_staged() && !service().is_staged());
    for strategy in [Strategy::BlueGreen, Strategy::Linear, Strategy::Canary] {
        let platform = platform(Controller::Ecs, strategy);
        assert!(
            Workload {
                platform,
                ..service()
            }
            .is_staged()
        );
    }
}

#[test]
fn what_is_read_is_known_however_it_is_used() {
    let reference = crate::testing::reference(DB);
    for used in [
        Use::AtStart(reference.clone()),
        Use::AtImagePull(reference.clone()),
    ] {
        assert_eq!(used.reference(), &reference);
    }
}

#[test]
fn a_deployment_of_our_own_is_added_unless_it_is_shown() {
    let mut workload = service();
    workload.force(&deployment(150, true, InProgress));
    assert_eq!(workload.deployments.len(), 2);
    assert_eq!(workload.primary().map(|d| d.created_at), Some(second(150)));
    assert_eq!(workload.forced_at, Some(second(150)));
    workload.force(&deployment(150, true, InProgress));
    assert_eq!(workload.deployments.len(), 2);
    assert!(workload.deployments[1].primary);
}

fn newest(workload: &Workload) -> Option<i64> {
    workload.newest().map(|d| d.created_at.as_second())
}

#[test]
fn the_newest_deployment_counts_while_it_has_not_failed() {
    for rollout in [InProgress, Completed, Unknown] {
        assert_eq!(
            newest(&live(&[(10, false, Completed), (20, true, rollout)])),
            Some(20)
        );
    }
    assert_eq!(newest(&live(&[])), None);
}

#[test]
fn tasks_are_of_the_primary_when_a_newer_deployment_failed() {
    for rollout in [Failed, RollingBack, Stopped] {
        let workload = live(&[(10, true, InProgress), (20, false, rollout)]);
        assert_eq!(newest(&workload), Some(10), "{rollout:?}");
        assert_eq!(newest(&live(&[(20, true, rollout)])), None, "{rollout:?}");
    }
    assert_eq!(newest(&live(&[(20, false, Failed)])), None);
}

#[test]
fn a_later_deployment_may_be_shown_by_the_history_only() {
    let newest =
        |history: &[(i64, RolloutState)]| newest(&remembered(&[(10, true, Completed)], history));
    assert_eq!(newest(&[(20, InProgress)]), Some(20));
    assert_eq!(newest(&[(20, Failed)]), Some(10));
    assert_eq!(newest(&[(20, Stopped)]), Some(10));
    assert_eq!(newest(&[(5, Completed)]), Some(10));
    assert_eq!(newest(&[(20, Stopped), (30, Completed)]), Some(30));
    assert_eq!(
        newest(&[(20, Completed), (30, Failed)]),
        Some(10),
        "ECS went back to the PRIMARY"
    );
}

#[test]
fn of_two_deployments_of_one_moment_the_one_that_ended_well_counts() {
    for (first, then) in [(Failed, Completed), (Completed, Failed)] {
        let workload = remembered(&[(10, true, Completed)], &[(20, first), (20, then)]);
        assert_eq!(newest(&workload), Some(20));
    }
    let workload = remembered(&[(10, true, Completed)], &[(20, Stopped), (20, InProgress)]);
    assert_eq!(newest(&workload), Some(20));
}

#[test]
fn a_deployment_that_was_stopped_failed_when_nothing_came_after_it() {
    let stopped = past(20, Stopped);
    assert!(remembered(&[(10, true, Completed)], &[(20, Stopped)]).has_failed(&stopped));
    assert!(!remembered(&[(30, true, InProgress)], &[(20, Stopped)]).has_failed(&stopped));
    let replaced = remembered(&[(10, true, Completed)], &[(20, Stopped), (30, Failed)]);
    assert!(!replaced.has_failed(&stopped));
    for rollout in [Failed, RollingBack] {
        assert!(service().has_failed(&past(5, rollout)));
    }
    for rollout in [InProgress, Completed, Unknown] {
        assert!(!service().has_failed(&past(20, rollout)));
    }
}

#[test]
fn a_deployment_that_is_live_counts_once() {
    let ids = |workload: &Workload| workload.all_deployments().count();
    let at = |at: &str| at.parse::<Timestamp>().unwrap();
    let cut = |created_at| Workload {
        deployments: vec![Deployment {
            created_at,
            ..deployment(20, true, InProgress)
        }],
        ..remembered(&[], &[(20, InProgress), (10, Completed)])
    };
    assert_eq!(ids(&cut(at("1970-01-01T00:00:20.999Z"))), 2);
    assert_eq!(ids(&cut(at("1970-01-01T00:00:19.001Z"))), 2);
    assert_eq!(ids(&cut(at("1970-01-01T00:00:21Z"))), 3);
    assert_eq!(ids(&cut(at("1970-01-01T00:00:19Z"))), 3);
    assert_eq!(ids(&service()), 1);
}

/// Three tasks run, of which two are of the PRIMARY deployment of 100.
fn lingering(rollout: RolloutState) -> Workload {
    Workload {
        running: 3,
        ..live(&[(100, true, rollout)])
    }
}

#[test]
fn tasks_beside_those_of_a_finished_rollout_linger() {
    let now = second(200);
    assert!(lingering(Completed).has_lingering_tasks(now));
    for running in [1, 2] {
        let workload = Workload {
            running,
            ..lingering(Completed)
        };
        assert!(!workload.has_lingering_tasks(now));
    }
    let external = Workload {
        platform: platform(Controller::External, Strategy::Rolling),
        ..lingering(Completed)
    };
    assert!(!external.has_lingering_tasks(now));
    let without_primary = Workload {
        running: 3,
        ..live(&[(100, false, Completed)])
    };
    assert!(!without_primary.has_lingering_tasks(now));
}

#[test]
fn a_rollout_has_an_hour_to_replace_the_tasks_and_a_staged_one_has_its_time() {
    for rollout in [InProgress, Unknown] {
        assert!(!lingering(rollout).has_lingering_tasks(second(3699)));
        assert!(lingering(rollout).has_lingering_tasks(second(3700)));
        assert!(!staged(lingering(rollout)).has_lingering_tasks(second(3700)));
    }
    assert!(staged(lingering(Completed)).has_lingering_tasks(second(200)));
}

/// Until when something is waited for.
#[derive(Debug, PartialEq)]
enum Wait {
    No,
    Until(i64),
    ForItsEnd,
}
use Wait::{ForItsEnd, No, Until};

fn in_progress(workload: &Workload, since: i64, now: i64) -> Wait {
    match workload.in_progress(second(since), second(now)) {
        None => No,
        Some(found) => found
            .until
            .map_or(ForItsEnd, |until| Until(until.as_second())),
    }
}

#[test]
fn a_young_deployment_is_waited_for_until_it_is_ten_minutes_old() {
    let young = live(&[(100, true, InProgress), (10, false, Completed)]);
    assert_eq!(in_progress(&young, 200, 300), Until(700));
    assert_eq!(in_progress(&young, 200, 699), Until(700));
    assert_eq!(in_progress(&young, 200, 700), No);
    for rollout in [Completed, Failed, Stopped] {
        let ended = live(&[(100, true, rollout), (10, false, Completed)]);
        assert_eq!(in_progress(&ended, 200, 300), No, "{rollout:?}");
    }
}

#[test]
fn only_the_first_tasks_of_a_service_are_not_waited_for() {
    let first = Workload {
        running: 0,
        created_at: Some(second(100)),
        ..live(&[(100, true, InProgress)])
    };
    let of_age = |seconds: i64| Workload {
        created_at: Some(second(100 - seconds)),
        ..first.clone()
    };
    assert_eq!(in_progress(&first, 200, 300), No);
    assert_eq!(in_progress(&of_age(1), 200, 300), No, "clocks differ");
    assert_eq!(in_progress(&of_age(2), 200, 300), Until(700));
    let unknown = Workload {
        created_at: None,
        ..first.clone()
    };
    assert_eq!(in_progress(&unknown, 200, 300), No);
    let runs = Workload {
        running: 1,
        ..first.clone()
    };
    assert_eq!(in_progress(&runs, 200, 300), Until(700));
    let mut fails = first.clone();
    fails.deployments[0].failed_tasks = 1;
    assert_eq!(in_progress(&fails, 200, 300), Until(700));
    let two = Workload {
        running: 0,
        created_at: Some(second(100)),
        ..live(&[(100, true, InProgress), (10, false, Completed)])
    };
    assert_eq!(in_progress(&two, 200, 300), Until(700));
}

#[test]
fn what_is_newer_than_the_change_is_not_in_the_way() {
    let young = live(&[(100, true, InProgress)]);
    assert_eq!(in_progress(&young, 101, 300), Until(700));
    assert_eq!(in_progress(&young, 100, 300), No);
    assert_eq!(in_progress(&staged(young.clone()), 101, 300), ForItsEnd);
    assert_eq!(in_progress(&staged(young), 100, 300), No);
}

#[test]
fn a_deployment_that_only_the_history_shows_is_waited_for_too() {
    let workload = remembered(&[(10, true, Completed)], &[(100, InProgress)]);
    assert_eq!(in_progress(&workload, 200, 300), Until(700));
    let ended = remembered(&[(100, true, Completed)], &[(100, InProgress)]);
    assert_eq!(
        in_progress(&ended, 200, 300),
        No,
        "the live one is known better"
    );
}

#[test]
fn a_staged_deployment_of_any_age_is_waited_for() {
    let rolling = staged(live(&[(100, true, InProgress), (10, false, Completed)]));
    assert_eq!(in_progress(&rolling, 200, 1_000_000), ForItsEnd);
    assert_eq!(in_progress(&staged(service()), 200, 300), No);
}

#[test]
fn without_a_state_a_second_live_deployment_tells_of_a_rollout() {
    let two = live(&[(100, true, Unknown), (10, false, Unknown)]);
    assert_eq!(in_progress(&two, 200, 300), Until(700));
    assert_eq!(in_progress(&staged(two), 200, 1_000_000), ForItsEnd);
    let one = live(&[(100, true, Unknown)]);
    assert_eq!(in_progress(&one, 200, 300), No);
    let other = live(&[(10, true, Completed), (100, false, Unknown)]);
    assert_eq!(in_progress(&other, 200, 300), No);
}

#[test]
fn a_rollout_of_a_revision_that_ran_is_not_waited_for_once_its_tasks_fail() {
    let mut workload = live(&[(100, true, InProgress), (10, false, Completed)]);
    let revision = workload.deployments[0].task_definition.clone();
    workload.deployments[0].failed_tasks = 1;
    assert_eq!(in_progress(&workload, 200, 300), No);
    workload.deployments[1].task_definition = Fact::Known("another".into());
    assert_eq!(
        in_progress(&workload, 200, 300),
        Until(700),
        "its own revision fails"
    );
    workload.deployments[0].task_definition = Fact::Unasked;
    workload.deployments[1].task_definition = Fact::Unasked;
    assert_eq!(in_progress(&workload, 200, 300), Until(700), "nobody knows");
    workload.deployments[0].task_definition = revision.clone();
    workload.deployments[1].task_definition = revision;
    workload.deployments[0].failed_tasks = 0;
    assert_eq!(in_progress(&workload, 200, 300), Until(700));
    workload.deployments.pop();
    workload.deployments[0].failed_tasks = 1;
    assert_eq!(in_progress(&workload, 200, 300), Until(700), "it is alone");
}

#[test]
fn a_staged_rollout_is_waited_for_even_if_its_tasks_fail() {
    let mut workload = staged(live(&[(100, true, InProgress), (10, false, Completed)]));
    workload.deployments[0].failed_tasks = 1;
    assert_eq!(in_progress(&workload, 200, 300), ForItsEnd);
}

#[test]
fn a_roll_back_is_waited_for_for_an_hour() {
    for primary in [InProgress, Unknown] {
        let workload = live(&[(10, true, primary), (100, false, Failed)]);
        // Whatever is newer than the change, it is rolled back now.
        for since in [50, 200] {
            assert_eq!(in_progress(&workload, since, 300), Until(3700));
        }
        assert_eq!(in_progress(&workload, 200, 3699), Until(3700));
        assert_eq!(in_progress(&workload, 200, 3700), No);
    }
    let mut late = live(&[(10, true, InProgress), (100, false, Failed)]);
    late.deployments[1].updated_at = Some(second(500));
    assert_eq!(in_progress(&late, 200, 4000), Until(4100));
}

#[test]
fn a_failure_that_ecs_does_not_or_no_longer_roll_back_is_not_waited_for() {
    let done = live(&[(10, true, Completed), (100, false, Failed)]);
    assert_eq!(in_progress(&done, 200, 300), No);
    let stopped = live(&[(10, false, Completed), (100, true, Failed)]);
    assert_eq!(in_progress(&stopped, 200, 300), No);
    let newer = live(&[(150, true, Completed), (100, false, Failed)]);
    assert_eq!(in_progress(&newer, 200, 300), No);
    let restarted = live(&[(150, true, InProgress), (100, false, Failed)]);
    assert_eq!(
        in_progress(&restarted, 200, 300),
        Until(750),
        "that is a rollout of its own"
    );
    let same_moment = live(&[(100, true, InProgress), (100, false, Failed)]);
    assert_eq!(in_progress(&same_moment, 200, 300), Until(700));
}

#[test]
fn only_a_failed_deployment_is_rolled_back() {
    let workload = live(&[(10, true, InProgress), (100, false, Completed)]);
    assert_eq!(in_progress(&workload, 200, 300), Until(610));
}

#[test]
fn of_several_failures_the_newest_is_rolled_back() {
    let workload = live(&[
        (10, true, InProgress),
        (50, false, Failed),
        (100, false, Failed),
    ]);
    assert_eq!(in_progress(&workload, 200, 300), Until(3700));
}

#[test]
fn the_history_tells_of_a_roll_back_before_the_live_deployments_do() {
    let workload = remembered(&[(10, true, Completed)], &[(100, RollingBack)]);
    assert_eq!(in_progress(&workload, 200, 300), Until(3700));
    let twin = remembered(
        &[(100, true, InProgress), (10, false, Completed)],
        &[(100, RollingBack)],
    );
    assert_eq!(in_progress(&twin, 200, 300), Until(3700));
    let over = remembered(
        &[(10, true, Completed)],
        &[(100, RollingBack), (150, Completed)],
    );
    assert_eq!(in_progress(&over, 200, 300), No);
}

#[test]
fn a_roll_back_of_the_history_lasts_an_hour_from_what_ecs_changed_last() {
    let mut workload = remembered(&[(10, true, InProgress)], &[(100, RollingBack)]);
    workload.deployments[0].updated_at = Some(second(5000));
    assert_eq!(in_progress(&workload, 6000, 6000), Until(8600));
    assert_eq!(in_progress(&workload, 9000, 8600), No);
    let staged = staged(workload);
    assert_eq!(in_progress(&staged, 9000, 8600), ForItsEnd);
}

/// Since when the tasks of a service have been there, by two reads.
fn seen_at(before: &Workload, now: &Workload) -> Option<Timestamp> {
    let mut now = now.clone();
    now.learn_seen(before);
    now.seen_at
}

#[test]
fn tasks_are_known_from_the_first_read_on_while_ecs_does_not_change_the_deployment() {
    let updated = |at, rollout| {
        let mut workload = live(&[(10, true, rollout)]);
        workload.deployments[0].updated_at = Some(second(at));
        workload
    };
    let before = updated(20, Completed);
    assert_eq!(before.read_at, Some(second(100)));
    assert_eq!(seen_at(&before, &before), before.read_at);
    let earlier = Workload {
        seen_at: Some(second(70)),
        ..before.clone()
    };
    assert_eq!(seen_at(&earlier, &before), Some(second(70)));
    // A roll-back goes back to the same deployment.
    assert_eq!(seen_at(&before, &updated(30, Completed)), None);
    assert_eq!(seen_at(&before, &live(&[(50, true, Completed)])), None);
    assert_eq!(
        seen_at(&updated(20, InProgress), &updated(20, InProgress)),
        None
    );
    let unsaid = live(&[(10, true, Completed)]);
    assert_eq!(seen_at(&unsaid, &unsaid), None);
    let unmoved = updated(10, Completed);
    assert_eq!(
        seen_at(&unmoved, &unmoved),
        None,
        "that is not the end of its rollout"
    );
    let mut idle = before.clone();
    idle.running = 0;
    assert_eq!(seen_at(&idle, &before), None);
    let mut two = live(&[(10, true, Completed), (5, false, Completed)]);
    two.deployments[0].updated_at = Some(second(20));
    assert_eq!(seen_at(&two, &before), None);
}

#[test]
fn a_forgotten_read_shows_nothing() {
    let mut workload = live(&[(10, true, Completed)]);
    workload.deployments[0].updated_at = Some(second(20));
    let mut forgotten = Workload {
        seen_at: Some(second(70)),
        history: Fact::Known(Vec::new()),
        tasks: Fact::Known(Vec::new()),
        ..workload.clone()
    };
    forgotten.forget_reads();
    assert!(forgotten.history.is_unasked() && forgotten.tasks.is_unasked());
    assert_eq!(seen_at(&forgotten, &workload), None);
}

#[test]
fn a_service_is_rolling_until_its_last_other_task_is_gone() {
    let with = |rollout, others: i32| {
        let old = Deployment {
            running: others,
            ..deployment(10, false, Completed)
        };
        Workload {
            deployments: vec![deployment(100, true, rollout), old],
            ..service()
        }
    };
    for (rollout, others, has_other_tasks, is_rolling) in [
        (Completed, 0, false, false),
        (Completed, 1, true, true),
        (InProgress, 0, false, true),
        (InProgress, 1, true, true),
        (Failed, 0, false, false),
    ] {
        let workload = with(rollout, others);
        assert_eq!(workload.has_other_tasks(), has_other_tasks, "{rollout:?}");
        assert_eq!(workload.is_rolling(), is_rolling, "{rollout:?} {others}");
    }
    let none = Workload {
        deployments: Vec::new(),
        ..service()
    };
    assert!(!none.is_rolling());
}
