//! The conformance table on the simulated AWS, every row however its events arrive; and the cases that need more than a
//! row.

use std::collections::BTreeMap;
use std::time::Duration;

use redeploy_core::reason::Reason;
use redeploy_core::report::{ErrorType, Outcome, ServiceAction};
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use serde_json::Value;

use crate::rows::{ROWS, ROWS_OF_TASKS, Row, Step};
use crate::scene::{Delivery, Order, config, deliveries, invoke, play};
use crate::simulation::account::{FakeAws, Family};
use crate::simulation::wire::Wire;

#[test]
fn every_row_holds_in_every_way_of_delivery() {
    every_row_holds(ROWS);
}

#[test]
fn every_row_of_tasks_that_are_younger_than_their_deployment_holds() {
    every_row_holds(ROWS_OF_TASKS);
}

fn every_row_holds(rows: &[Row]) {
    for row in rows {
        let began = std::time::Instant::now();
        let deliveries: Vec<_> = deliveries()
            .into_iter()
            .filter(|delivery| row.is_told_by(delivery.families))
            .collect();
        for delivery in &deliveries {
            check(row, *delivery);
        }
        let also = if row.on_emulator {
            ", on the emulator too"
        } else {
            ""
        };
        let took = began.elapsed().as_secs_f64() * 1000.0 / deliveries.len() as f64;
        println!(
            "{}: {}: {} redeploys of each service{also}; {took:.1} ms a story",
            row.id, row.says, row.redeploys
        );
    }
}

impl Row {
    /// Whether any of its events is of these families.
    fn is_told_by(&self, families: &[Family]) -> bool {
        let only_requested = self
            .story
            .iter()
            .any(|(_, step)| *step == Step::LoseAllButRotateSecret);
        !only_requested || families.contains(&Family::CloudTrail)
    }
}

/// With the defaults, nothing is asked for the sake of a policy, but for the tag of a secret that
/// changed.
#[test]
fn each_row_with_the_defaults_costs_these_calls() {
    let mut calls = String::new();
    for row in ROWS.iter().chain(ROWS_OF_TASKS) {
        let deliveries = deliveries().into_iter();
        let once = deliveries.filter(|delivery| delivery.order == Order::Once);
        for delivery in once.filter(|delivery| row.is_told_by(delivery.families)) {
            let mut counts = BTreeMap::<String, usize>::new();
            for (operation, _) in check(row, delivery) {
                *counts.entry(operation).or_default() += 1;
            }
            let counts = counts
                .into_iter()
                .map(|(name, count)| format!("{name} {count}"));
            let counts = counts.collect::<Vec<_>>().join(", ");
            let families = delivery.families;
            calls += &format!("{} by {families:?}: {counts}\n", row.id);
        }
    }
    insta::assert_snapshot!("calls", calls);
}

/// Plays a row, and gives the calls that AWS got.
fn check(row: &Row, delivery: Delivery) -> Vec<(String, Value)> {
    // The jitter of the function's back-off comes from here.
    fastrand::seed(0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(play_and_check(row, delivery))
}

async fn play_and_check(row: &Row, delivery: Delivery) -> Vec<(String, Value)> {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    account.make_secret("prod/mail");
    for number in 0..row.services {
        account.make_service(&format!("api-{number}"), &format!("{secret}:password::"));
    }
    let wire = Wire::new(account);
    let reports = play(&wire, &config(&[]), delivery, row.story).await;
    let account = wire.account();
    let context = format!(
        "{} ({}), {delivery:?}: {:?}\n{reports:#?}",
        row.id, row.says, account.redeploys
    );
    assert_eq!(
        account.redeploys.len(),
        row.redeploys * row.services,
        "{context}"
    );
    for service in account.services.keys() {
        let each = account
            .redeploys
            .iter()
            .filter(|(_, redeployed)| redeployed == service)
            .count();
        assert_eq!(each, row.redeploys, "{service}: {context}");
    }
    for (number, (at, _)) in account.redeploys.iter().enumerate() {
        let moved = account
            .moves
            .get(number / row.services)
            .unwrap_or_else(|| panic!("{context}"));
        assert!(
            at > moved,
            "redeployed at {at}, before the label moved at {moved}: {context}"
        );
    }
    if let Some((action, reason)) = row.ends {
        let last = serde_json::to_value(reports.last().unwrap()).unwrap();
        assert!(
            last["services"][0]["action"] == action && last["services"][0]["reason"] == reason,
            "{context}"
        );
    }
    account.calls.clone()
}

/// The sweep, as its schedule sends it.
fn sweep() -> serde_json::Value {
    serde_json::json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})
}

#[tokio::test(start_paused = true)]
async fn s7_what_cannot_be_known_is_reported_and_left_alone() {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    account.put_value("prod/db");
    tokio::time::sleep(Duration::from_mins(10)).await;
    account.make_service("api", &secret);
    tokio::time::sleep(Duration::from_mins(10)).await;
    account.describe("prod/db");
    account.trail.clear();
    let wire = Wire::new(account);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &sweep()).await;
    assert_eq!(report.services[0].reason, Reason::Unknown, "{report:#?}");
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn s10_a_rollout_that_is_rolled_back_is_blocked_and_never_tried_again() {
    for restarted in [false, true] {
        let mut account = FakeAws::new();
        let secret = account.make_secret("prod/db");
        let service = account.make_service("api", &secret);
        tokio::time::sleep(Duration::from_mins(10)).await;
        account.put_value("prod/db");
        let (_, event) = account.events.remove(0);
        let wire = Wire::new(account);
        let (mut aws, config) = (wire.clients(), config(&[]));
        assert_eq!(
            invoke(&aws, &wire, &config, &event).await.outcome,
            Outcome::Redeployed
        );
        tokio::time::sleep(Duration::from_secs(40)).await;
        wire.account().roll_back(&service);
        let failed = serde_json::json!({
            "source": "aws.ecs", "detail-type": "ECS Deployment State Change", "resources": [service],
            "detail": {"eventName": "SERVICE_DEPLOYMENT_FAILED"},
        });
        for payload in [
            &event,
            &failed,
            &sweep(),
            &sweep(),
            &sweep(),
            &sweep(),
            &sweep(),
            &event,
        ] {
            if restarted {
                aws = wire.clients();
            }
            let report = invoke(&aws, &wire, &config, payload).await;
            assert_eq!(
                report.services[0].reason,
                Reason::RolledBack,
                "{payload}: {report:#?}"
            );
            assert_eq!(
                (report.failure, report.services[0].action),
                (None, ServiceAction::Blocked)
            );
            tokio::time::sleep(Duration::from_mins(60)).await;
        }
        assert_eq!(wire.account().redeploys.len(), 1);
        // A later change clears it.
        wire.account().put_value("prod/db");
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(
            invoke(&aws, &wire, &config, &sweep()).await.outcome,
            Outcome::Redeployed
        );
        assert_eq!(wire.account().redeploys.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn s16_a_thousand_services_at_the_documented_quota() {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    for number in 0..1000 {
        let service = account.make_service(&format!("api-{number}"), "/unrelated");
        account.tag(&service, "prod/db");
    }
    tokio::time::sleep(Duration::from_mins(10)).await;
    account.put_value("prod/db");
    let (_, event) = account.events.remove(0);
    assert!(event["resources"][0] == secret.as_str());
    let wire = Wire::new(account);
    let began = tokio::time::Instant::now();
    let vars = [
        ("REDEPLOY_LOOKUP", "tags"),
        ("REDEPLOY_RATE_SHARE", "1"),
        ("REDEPLOY_SETTLE_SECONDS", "1"),
    ];
    let report = invoke(&wire.clients_with(1.0), &wire, &config(&vars), &event).await;
    assert_eq!(report.outcome, Outcome::Redeployed);
    let took = began.elapsed().as_secs();
    assert!((180..=200).contains(&took), "{took} s");
    let calls = wire.account().calls.len();
    let refused = wire.account().quotas.refused;
    assert!(
        refused * 100 < calls,
        "{refused} of {calls} calls were throttled"
    );
    let mut redeployed: Vec<_> = wire
        .account()
        .redeploys
        .iter()
        .map(|(_, service)| service.clone())
        .collect();
    redeployed.sort();
    redeployed.dedup();
    assert_eq!(
        (redeployed.len(), wire.account().redeploys.len()),
        (1000, 1000),
        "each once"
    );
}

#[tokio::test(start_paused = true)]
async fn s16_an_invocation_that_runs_out_of_time_says_how_many_are_left_and_the_next_goes_on() {
    let mut account = FakeAws::new();
    account.make_secret("prod/db");
    for number in 0..100 {
        let service = account.make_service(&format!("api-{number}"), "/unrelated");
        account.tag(&service, "prod/db");
    }
    tokio::time::sleep(Duration::from_mins(10)).await;
    account.put_value("prod/db");
    let (_, event) = account.events.remove(0);
    let wire = Wire::new(account);
    let config = config(&[("REDEPLOY_LOOKUP", "tags")]);
    let mut invocations = 0;
    loop {
        let now = wire.account().now();
        let clock = Clock::new(
            now,
            Some(now.saturating_add(Duration::from_secs(45)).unwrap()),
        );
        let before = wire.account().redeploys.len();
        let report = handle(&wire.clients(), &config, &event, &clock).await;
        assert!(clock.elapsed() < Duration::from_secs(45));
        invocations += 1;
        if report.failure.is_none() {
            break;
        }
        assert_eq!(report.failure, Some(ErrorType::TimeLeft), "{report:#?}");
        let done = wire.account().redeploys.len();
        assert!(
            done > before
                && report
                    .reason
                    .contains(&format!("{} of these are left", 100 - done)),
            "{}",
            report.reason
        );
    }
    assert!(invocations > 1);
    assert_eq!(wire.account().redeploys.len(), 100);
}
