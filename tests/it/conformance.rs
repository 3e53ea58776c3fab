//! The conformance table: what every sequence of events must come to, however its events arrive.

use std::time::Duration;

use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use redeploy_on_rotation::plan::Reason;
use redeploy_on_rotation::report::{Done, Failure, Outcome, Why};

use crate::simulation::scene::{Delivery, Order, Step, config, deliveries, invoke, play, step};
use crate::simulation::wire::Wire;
use crate::simulation::world::{Family, Fault, World};

/// One row: a world in which the services follow `prod/db`, what happens, and what must come of it.
struct Row {
    services: usize,
    story: fn() -> Vec<Step>,
    redeploys: usize,
}

/// Plays a row in each way of delivery, and checks that nothing was redeployed before the label moved.
async fn check(row: Row) {
    for delivery in deliveries() {
        check_delivered(&row, delivery).await;
    }
}

async fn check_delivered(row: &Row, delivery: Delivery) {
    let mut world = World::new();
    let secret = world.make_secret("prod/db");
    world.make_secret("prod/mail");
    for number in 0..row.services {
        world.make_service(&format!("api-{number}"), &format!("{secret}:password::"));
    }
    let wire = Wire::new(world);
    let reports = play(&wire, &config(&[]), delivery, (row.story)()).await;
    let world = wire.world();
    let redeploys = world.redeploys.len();
    assert_eq!(redeploys, row.redeploys * row.services, "{delivery:?}: {:?}\n{reports:#?}", world.redeploys);
    let moved = world.secrets["prod/db"].last_changed;
    if let (Some((at, _)), true) = (world.redeploys.last(), row.redeploys == 1) {
        assert!(*at > moved, "{delivery:?}: redeployed at {at}, before the label moved at {moved}");
    }
}

/// A rotation by the rotation function that somebody asked for, promoted after so many seconds.
fn rotation(seconds: u64) -> Vec<Step> {
    vec![
        step(600, |world| drop(world.request_rotation("prod/db"))),
        step(1, |world| {
            let version = world.version("prod/db", "AWSPENDING");
            world.store_pending("prod/db", &version);
        }),
        step(seconds, |world| {
            let version = world.version("prod/db", "AWSPENDING");
            world.finish_rotation("prod/db", &version);
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn s1_a_rotation_redeploys_once() {
    check(Row { services: 1, story: || rotation(20), redeploys: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_scheduled_rotation_redeploys_once() {
    let story = || {
        vec![
            step(600, |world| drop(world.begin_scheduled_rotation("prod/db"))),
            step(20, |world| {
                let version = world.version("prod/db", "AWSPENDING");
                world.finish_rotation("prod/db", &version);
            }),
        ]
    };
    check(Row { services: 1, story, redeploys: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn s2_all_events_of_a_rotation_twice_redeploy_once() {
    for families in deliveries().into_iter().map(|delivery| delivery.families) {
        let row = Row { services: 1, story: || rotation(20), redeploys: 1 };
        check_delivered(&row, Delivery { families, order: Order::Twice }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s3_a_value_changed_by_hand_redeploys_once() {
    let story = || vec![step(600, |world| drop(world.put_value("prod/db")))];
    check(Row { services: 1, story, redeploys: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn s4_another_secret_redeploys_nothing() {
    let story = || vec![step(600, |world| drop(world.put_value("prod/mail")))];
    check(Row { services: 1, story, redeploys: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn s5_a_rotation_that_fails_redeploys_nothing() {
    let story = || {
        vec![
            step(600, |world| drop(world.request_rotation("prod/db"))),
            step(20, |world| world.fail_rotation("prod/db")),
        ]
    };
    check(Row { services: 1, story, redeploys: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn s6_a_throttled_or_failing_update_redeploys_once() {
    for faults in [&[Fault::Throttled; 3][..], &[Fault::ServerError], &[Fault::Throttled; 20], &[Fault::ServerError; 9]]
    {
        let story = move || {
            vec![step(600, move |world: &mut World| {
                world.fail_next("UpdateService", faults);
                world.put_value("prod/db");
            })]
        };
        for delivery in deliveries() {
            let mut world = World::new();
            let secret = world.make_secret("prod/db");
            world.make_service("api", &secret);
            let wire = Wire::new(world);
            play(&wire, &config(&[]), delivery, story()).await;
            assert_eq!(wire.world().redeploys.len(), 1, "{faults:?} {delivery:?}");
        }
    }
}

/// The sweep, as its schedule sends it.
fn sweep() -> serde_json::Value {
    serde_json::json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})
}

#[tokio::test(start_paused = true)]
async fn s7_a_sweep_finds_what_no_event_told() {
    let mut world = World::new();
    let secret = world.make_secret("prod/db");
    world.make_service("api", &format!("{secret}:password::"));
    let wire = Wire::new(world);
    let (aws, config) = (wire.clients(), config(&[]));
    assert_eq!(invoke(&aws, &wire, &config, &sweep()).await.outcome, Outcome::NothingToDo);
    for (number, story) in
        [rotation(20), vec![step(600, |world| drop(world.put_value("prod/db")))]].into_iter().enumerate()
    {
        play(&wire, &config, Delivery { families: &[], order: Order::Once }, story).await;
        tokio::time::sleep(Duration::from_mins(5)).await;
        let report = invoke(&aws, &wire, &config, &sweep()).await;
        assert_eq!(report.outcome, Outcome::Redeployed, "{report:#?}");
        for _ in 0..3 {
            // Tagged afterwards, so that the secret looks as if it had changed again.
            wire.world().describe("prod/db");
            tokio::time::sleep(Duration::from_mins(60)).await;
            let report = invoke(&aws, &wire, &config, &sweep()).await;
            assert_eq!(report.outcome, Outcome::NothingToDo, "{report:#?}");
            assert!(report.warnings.is_empty(), "{report:#?}");
        }
        assert_eq!(wire.world().redeploys.len(), number + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn s7_a_sweep_finds_a_label_that_was_moved_back() {
    let mut world = World::new();
    let secret = world.make_secret("prod/db");
    world.make_service("api", &secret);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let first = world.version("prod/db", "AWSCURRENT");
    world.put_value("prod/db");
    let wire = Wire::new(world);
    let (aws, config) = (wire.clients(), config(&[]));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(invoke(&aws, &wire, &config, &sweep()).await.outcome, Outcome::Redeployed);
    tokio::time::sleep(Duration::from_mins(10)).await;
    wire.world().move_label("prod/db", "AWSCURRENT", &first);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(invoke(&aws, &wire, &config, &sweep()).await.outcome, Outcome::Redeployed);
    assert_eq!(invoke(&aws, &wire, &config, &sweep()).await.outcome, Outcome::NothingToDo);
    assert_eq!(wire.world().redeploys.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn s7_what_cannot_be_known_is_reported_and_left_alone() {
    let mut world = World::new();
    let secret = world.make_secret("prod/db");
    world.make_service("api", &secret);
    tokio::time::sleep(Duration::from_mins(10)).await;
    world.describe("prod/db");
    world.trail.clear();
    let wire = Wire::new(world);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &sweep()).await;
    assert_eq!(report.services[0].reason, Why::Planned(Reason::Unknown), "{report:#?}");
    assert!(wire.world().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn s8_a_deployment_by_ci_before_the_event_arrives_suffices() {
    let story = || {
        vec![
            step(600, |world| drop(world.put_value("prod/db"))),
            step(3, |world| {
                // The events are still on their way.
                let service = world.services.keys().next().unwrap().clone();
                let task_definition = world.services[&service].deployments[0].task_definition.clone();
                world.deploy(&service, &task_definition);
            }),
        ]
    };
    check(Row { services: 1, story, redeploys: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn s9_a_service_scaled_to_zero_is_left_alone() {
    let story = || {
        vec![
            step(300, |world| world.services.values_mut().for_each(|service| service.tasks = 0)),
            step(300, |world| drop(world.put_value("prod/db"))),
        ]
    };
    check(Row { services: 1, story, redeploys: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn s10_a_rollout_that_is_rolled_back_is_blocked_and_never_tried_again() {
    for restarted in [false, true] {
        let mut world = World::new();
        let secret = world.make_secret("prod/db");
        let service = world.make_service("api", &secret);
        tokio::time::sleep(Duration::from_mins(10)).await;
        world.put_value("prod/db");
        let (_, event) = world.events.remove(0);
        let wire = Wire::new(world);
        let (mut aws, config) = (wire.clients(), config(&[]));
        assert_eq!(invoke(&aws, &wire, &config, &event).await.outcome, Outcome::Redeployed);
        tokio::time::sleep(Duration::from_secs(40)).await;
        wire.world().roll_back(&service);
        let failed = serde_json::json!({
            "source": "aws.ecs", "detail-type": "ECS Deployment State Change", "resources": [service],
            "detail": {"eventName": "SERVICE_DEPLOYMENT_FAILED"},
        });
        for payload in [&event, &failed, &sweep(), &sweep(), &sweep(), &sweep(), &sweep(), &event] {
            if restarted {
                aws = wire.clients();
            }
            let report = invoke(&aws, &wire, &config, payload).await;
            assert_eq!(report.services[0].reason, Why::Planned(Reason::RolledBack), "{payload}: {report:#?}");
            assert_eq!((report.failure, report.services[0].action), (None, Done::Blocked));
            tokio::time::sleep(Duration::from_mins(60)).await;
        }
        assert_eq!(wire.world().redeploys.len(), 1);
        // A later change clears it.
        wire.world().put_value("prod/db");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(invoke(&aws, &wire, &config, &sweep()).await.outcome, Outcome::Redeployed);
        assert_eq!(wire.world().redeploys.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn s11_a_new_description_redeploys_nothing() {
    let story = || vec![step(600, |world| world.describe("prod/db"))];
    check(Row { services: 1, story, redeploys: 0 }).await;
}

#[tokio::test(start_paused = true)]
async fn s12_two_rotations_and_a_label_moved_back_redeploy_three_times() {
    let story = || {
        let mut story = rotation(20);
        story.extend(rotation(20));
        story.push(step(600, |world| {
            let second = world.version("prod/db", "AWSPREVIOUS");
            world.move_label("prod/db", "AWSCURRENT", &second);
        }));
        story
    };
    check(Row { services: 1, story, redeploys: 3 }).await;
}

#[tokio::test(start_paused = true)]
async fn s13_a_rotation_of_40_s_of_which_only_the_request_is_heard_redeploys_once() {
    for order in [Order::Once, Order::Twice, Order::Shuffled] {
        let mut world = World::new();
        let secret = world.make_secret("prod/db");
        world.make_service("api", &secret);
        let wire = Wire::new(world);
        let silent = |world: &mut World| {
            // Everything but RotateSecret is lost.
            world.events.retain(|(_, event)| event["detail"]["eventName"] == "RotateSecret");
        };
        let story = vec![
            step(600, |world| drop(world.request_rotation("prod/db"))),
            step(40, move |world| {
                let version = world.version("prod/db", "AWSPENDING");
                world.finish_rotation("prod/db", &version);
                silent(world);
            }),
        ];
        play(&wire, &config(&[]), Delivery { families: &[Family::CloudTrail], order }, story).await;
        let world = wire.world();
        assert_eq!(world.redeploys.len(), 1, "{order:?}");
        assert!(world.redeploys[0].0 > world.secrets["prod/db"].last_changed, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s14_a_function_killed_after_two_of_five_services_finishes_when_called_again() {
    let mut world = World::new();
    let secret = world.make_secret("prod/db");
    for number in 0..5 {
        world.make_service(&format!("api-{number}"), &secret);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.put_value("prod/db");
    let (family, event) = world.events.remove(0);
    assert_eq!(family, Family::Native);
    let wire = Wire::new(world);
    let config = config(&[]);
    let killed = async {
        // Two calls arrive while the others wait out a throttle.
        wire.world().fail_next("UpdateService", &[Fault::Throttled; 3]);
        while wire.world().redeploys.len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let aws = wire.clients();
    tokio::select! {
        report = invoke(&aws, &wire, &config, &event) => panic!("not killed: {report:?}"),
        () = killed => {}
    }
    assert_eq!(wire.world().redeploys.len(), 2);
    invoke(&wire.clients(), &wire, &config, &event).await;
    let world = wire.world();
    let mut redeployed: Vec<_> = world.redeploys.iter().map(|(_, service)| service).collect();
    redeployed.sort();
    assert_eq!(redeployed, world.services.keys().collect::<Vec<_>>(), "each once");
}

#[tokio::test(start_paused = true)]
async fn s15_a_lost_answer_to_the_update_redeploys_once() {
    for fault in [Fault::AnswerLost, Fault::Silence] {
        for delivery in deliveries() {
            let mut world = World::new();
            let secret = world.make_secret("prod/db");
            world.make_service("api", &secret);
            let wire = Wire::new(world);
            let story = vec![step(600, move |world: &mut World| {
                world.fail_next("UpdateService", &[fault]);
                world.read_lag = Duration::from_secs(3);
                world.put_value("prod/db");
            })];
            let reports = play(&wire, &config(&[]), delivery, story).await;
            assert_eq!(wire.world().redeploys.len(), 1, "{fault:?} {delivery:?}");
            assert!(reports.iter().all(|report| report.failure.is_none()), "{fault:?} {delivery:?} {reports:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s16_a_thousand_services_at_the_documented_quota() {
    let mut world = World::new();
    let secret = world.make_secret("prod/db");
    for number in 0..1000 {
        let service = world.make_service(&format!("api-{number}"), "/unrelated");
        world.tag(&service, "prod/db");
    }
    tokio::time::sleep(Duration::from_mins(10)).await;
    world.put_value("prod/db");
    let (_, event) = world.events.remove(0);
    assert!(event["resources"][0] == secret.as_str());
    let wire = Wire::new(world);
    let began = tokio::time::Instant::now();
    let vars = [("REDEPLOY_LOOKUP", "tags"), ("REDEPLOY_RATE_SHARE", "1")];
    let report = invoke(&wire.clients_with(1.0), &wire, &config(&vars), &event).await;
    assert_eq!(report.outcome, Outcome::Redeployed);
    let took = began.elapsed().as_secs();
    assert!((180..=210).contains(&took), "{took} s");
    let mut redeployed: Vec<_> = wire.world().redeploys.iter().map(|(_, service)| service.clone()).collect();
    redeployed.sort();
    redeployed.dedup();
    assert_eq!((redeployed.len(), wire.world().redeploys.len()), (1000, 1000), "each once");
}

#[tokio::test(start_paused = true)]
async fn s16_an_invocation_that_runs_out_of_time_says_how_many_are_left_and_the_next_goes_on() {
    let mut world = World::new();
    world.make_secret("prod/db");
    for number in 0..100 {
        let service = world.make_service(&format!("api-{number}"), "/unrelated");
        world.tag(&service, "prod/db");
    }
    tokio::time::sleep(Duration::from_mins(10)).await;
    world.put_value("prod/db");
    let (_, event) = world.events.remove(0);
    let wire = Wire::new(world);
    let config = config(&[("REDEPLOY_LOOKUP", "tags")]);
    let mut invocations = 0;
    loop {
        let now = wire.world().now();
        let clock = Clock::new(now, Some(now.saturating_add(Duration::from_secs(45)).unwrap()));
        let before = wire.world().redeploys.len();
        let report = handle(&wire.clients(), &config, &event, &clock).await;
        assert!(clock.elapsed() < Duration::from_secs(45));
        invocations += 1;
        if report.failure.is_none() {
            break;
        }
        assert_eq!(report.failure, Some(Failure::TimeLeft), "{report:#?}");
        let done = wire.world().redeploys.len();
        assert!(
            done > before && report.reason.contains(&format!("{} of these are left", 100 - done)),
            "{}",
            report.reason
        );
    }
    assert!(invocations > 1);
    assert_eq!(wire.world().redeploys.len(), 100);
}
