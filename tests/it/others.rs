//! What others do at the same time: CI's deployments and their roll-backs, changes that follow
//! each other, wrong values, denials. Each case is held against what ECS's tasks have read.

use std::time::Duration;

use redeploy_core::emf::LogContext;
use redeploy_core::report::{ErrorType, Outcome, Report};
use redeploy_on_rotation::aws::Aws;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::scene::{Lambda, config, invoke, said};
use crate::simulation::account::{FakeAws, Fault};
use crate::simulation::deployments::Breaker;
use crate::simulation::wire::Wire;

/// How long a rollout takes.
const ROLLOUT: Duration = Duration::from_mins(1);

/// An account in which `api` follows `prod/db`, ten minutes old, and the ARN of the service.
async fn account(breaker: Breaker) -> (Wire, String) {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let api = account.make_service("api", &secret);
    let service = account.services.get_mut(&api).unwrap();
    (service.takes, service.breaker) = (ROLLOUT, breaker);
    sleep(Duration::from_mins(10)).await;
    (Wire::new(account), api)
}

/// Lets the function work while this happens, until nothing moves any more.
async fn while_it_happens(lambda: &mut Lambda, happening: impl Future<Output = ()>) {
    let over = std::cell::Cell::new(false);
    let happening = async {
        happening.await;
        over.set(true);
    };
    tokio::join!(happening, lambda.until(|| over.get()));
}

#[tokio::test(start_paused = true)]
async fn s21_what_ci_deployed_and_ecs_rolls_back_is_left_alone_until_it_is_over() {
    for offset in (-120..=150).step_by(10) {
        let (wire, api) = account(Breaker::Rollback).await;
        let mut lambda = Lambda::new(wire.clone(), config(&[]));
        let good = wire.account().services[&api].deployments[0]
            .task_definition
            .clone();
        while_it_happens(&mut lambda, async {
            let ci_deploys = || {
                let bad = wire.account().make_revision(&api);
                wire.account().bad_revisions.insert(bad.clone());
                wire.account().deploy(&api, &bad);
            };
            let pause = Duration::from_secs(i64::unsigned_abs(offset));
            if offset < 0 {
                ci_deploys();
                sleep(pause).await;
                wire.account().put_value("prod/db");
            } else {
                wire.account().put_value("prod/db");
                sleep(pause).await;
                ci_deploys();
            }
        })
        .await;
        let account = wire.account();
        let service = &account.services[&api];
        let context = format!(
            "{offset} s: {:?}\n{:#?}",
            account.redeploys, service.history
        );
        assert!(!account.is_stale(&api), "stale: {context}");
        let cut_off: Vec<_> = account
            .cut_off
            .iter()
            .filter(|cut_off| cut_off.was_shown)
            .collect();
        assert!(cut_off.is_empty(), "{cut_off:?}: {context}");
        assert!(
            service.deployments[0].task_definition == good,
            "the bad revision runs: {context}"
        );
        let ours = service
            .history
            .iter()
            .filter(|entry| entry.task_definition == good);
        // CI may have ended one of ours, which begins again when ECS has gone back.
        let ended = ours
            .clone()
            .filter(|entry| entry.status == "STOPPED")
            .count();
        assert_eq!(account.redeploys.len(), 1 + ended, "{context}");
    }
}

#[tokio::test(start_paused = true)]
async fn s22_twelve_changes_cost_two_rollouts_and_none_is_cut_off() {
    let mut account = FakeAws::new();
    let secrets: Vec<_> = (0..12)
        .map(|number| account.make_secret(&format!("prod/{number}")))
        .collect();
    let secrets: Vec<_> = secrets
        .iter()
        .map(|arn| json!({"name": "S", "valueFrom": arn}))
        .collect();
    let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
    let api = account.make_service_of("api", definition);
    account.services.get_mut(&api).unwrap().takes = ROLLOUT;
    sleep(Duration::from_mins(10)).await;
    let wire = Wire::new(account);
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    while_it_happens(&mut lambda, async {
        for number in 0..12 {
            wire.account().put_value(&format!("prod/{number}"));
            sleep(Duration::from_secs(8)).await;
        }
    })
    .await;
    let account = wire.account();
    let context = format!("{:?}\n{:?}", account.moves, account.redeploys);
    assert!(account.redeploys.len() <= 2, "{context}");
    assert!(
        account.cut_off.is_empty(),
        "{:?}: {context}",
        account.cut_off
    );
    assert!(!account.is_stale(&api), "{context}");
}

#[tokio::test(start_paused = true)]
async fn s27_a_wrong_value_that_is_corrected_while_its_rollout_fails_is_replaced_at_once() {
    let (wire, api) = account(Breaker::Off).await;
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    while_it_happens(&mut lambda, async {
        wire.account().put_wrong_value("prod/db");
        sleep(Duration::from_secs(60)).await;
        wire.account().put_value("prod/db");
    })
    .await;
    let account = wire.account();
    let context = format!("{:?}\n{:?}", account.moves, account.redeploys);
    assert_eq!(account.redeploys.len(), 2, "{context}");
    let waited = account.redeploys[1]
        .0
        .duration_since(account.moves[1])
        .as_secs();
    assert!(waited <= 30, "{waited} s: {context}");
    assert!(!account.is_stale(&api), "{context}");
}

#[tokio::test(start_paused = true)]
async fn s27_a_wrong_value_that_is_corrected_while_ecs_rolls_back_is_replaced_after_that() {
    // The wrong value's rollout begins after 12 s or so and has failed 24 s later; the roll-back
    // takes half a minute and more.
    for corrected in [40, 45, 50, 55, 60] {
        let (wire, api) = account(Breaker::Rollback).await;
        let mut lambda = Lambda::new(wire.clone(), config(&[]));
        while_it_happens(&mut lambda, async {
            wire.account().put_wrong_value("prod/db");
            sleep(Duration::from_secs(corrected)).await;
            wire.account().put_value("prod/db");
        })
        .await;
        let report = lambda.sweep().await;
        let account = wire.account();
        let history = &account.services[&api].history;
        let context = format!(
            "{corrected} s: {:?}\n{:?}\n{history:#?}",
            account.moves, account.redeploys
        );
        assert_eq!(account.redeploys.len(), 2, "{context}");
        assert!(!account.is_stale(&api), "{context}");
        assert!(
            account.cut_off.iter().all(|cut_off| !cut_off.was_roll_back),
            "{context}"
        );
        assert_eq!(said(&report, &api).0, "skipped", "{context}: {report:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s29_one_service_that_may_not_be_described_hides_no_other() {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let services: Vec<_> = (0..20)
        .map(|number| account.make_service(&format!("api-{number:02}"), &secret))
        .collect();
    account.hidden.insert(services[7].clone());
    sleep(Duration::from_mins(10)).await;
    account.put_value("prod/db");
    let (_, event) = account.events.remove(0);
    let wire = Wire::new(account);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(wire.account().redeploys.len(), 19, "{report:#?}");
    assert_eq!(
        said(&report, &services[7]),
        ("failed".to_owned(), "lookup-failed".to_owned())
    );
    assert!(report.failure.is_some());
}

#[tokio::test(start_paused = true)]
async fn s29_a_rotation_of_a_secret_that_may_not_be_described_is_believed() {
    let (wire, api) = account(Breaker::Rollback).await;
    let version = wire.account().begin_scheduled_rotation("prod/db");
    wire.account().finish_rotation("prod/db", &version);
    let is_end = |event: &&(_, Value)| event.1["detail"]["eventName"] == "RotationSucceeded";
    let (_, event) = wire.account().events.iter().find(is_end).unwrap().clone();
    wire.account().fail_next(
        "DescribeSecret",
        &[Fault::Refused("AccessDeniedException"); 8],
    );
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(
        said(&report, &api),
        ("redeployed".to_owned(), "stale".to_owned()),
        "{report:#?}"
    );
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.contains("secretsmanager:DescribeSecret"))
    );
    assert_eq!(report.failure, None);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_stays_fails_one_sweep_of_a_process() {
    let (wire, api) = account(Breaker::Off).await;
    let web = wire.account().make_service("web", "/nothing");
    let other = wire.account().make_service("other", "prod/other");
    wire.account()
        .without_capacity
        .extend([api.clone(), web.clone()]);
    wire.account().parameters.extend(
        ["/nothing", "/prod/other"]
            .map(|name| (name.to_owned(), "2026-01-01T00:00:00Z".parse().unwrap())),
    );
    sleep(Duration::from_mins(20)).await;
    wire.account().put_value("prod/db");
    sleep(Duration::from_mins(1)).await;
    let config = config(&[]);
    let aws = wire.clients();
    let sweep = json!({"action": "sweep"});
    let outcomes = async |aws: &Aws, times: usize| {
        let mut outcomes = Vec::new();
        for _ in 0..times {
            let report = invoke(aws, &wire, &config, &sweep).await;
            if report.outcome == Outcome::StillFailing {
                assert_eq!(report.failure, None);
                let context = LogContext {
                    timestamp: wire.account().now(),
                    request_id: "",
                    function_name: "",
                    duration_ms: 0,
                };
                let line: Value = serde_json::from_str(&report.log_line(&context)).unwrap();
                let metrics = (&line["Failed"], &line["Swept"], &line["level"]);
                assert_eq!(metrics, (&json!(1), &json!(1), &json!("ERROR")));
                assert_eq!(said(&report, &api), ("failed".into(), "stale".into()));
            }
            outcomes.push(report.outcome);
            sleep(Duration::from_mins(1)).await;
        }
        outcomes
    };
    let expected = [
        Outcome::Failed,
        Outcome::StillFailing,
        Outcome::StillFailing,
    ];
    assert_eq!(outcomes(&aws, 3).await, expected);
    let cold = wire.clients();
    let expected = [Outcome::Failed, Outcome::StillFailing];
    assert_eq!(
        outcomes(&cold, 2).await,
        expected,
        "a new process does not know it"
    );

    // Another failure is news, and so is another error of the same service.
    wire.account().put_parameter("/nothing");
    sleep(Duration::from_mins(1)).await;
    let report = invoke(&aws, &wire, &config, &sweep).await;
    assert_eq!(report.failure, Some(ErrorType::PartialFailure));
    wire.account().without_capacity.remove(&web);
    wire.account().forbidden.insert(api.clone());
    assert_eq!(outcomes(&aws, 1).await, [Outcome::Failed]);

    // What was not examined may hide another failure.
    wire.account().hidden.insert(other.clone());
    assert_eq!(outcomes(&aws, 2).await, [Outcome::Failed; 2]);
    wire.account().hidden.clear();
    wire.account().forbidden.clear();
    wire.account().without_capacity.clear();
    assert_eq!(outcomes(&aws, 1).await, [Outcome::Redeployed]);
}

#[tokio::test(start_paused = true)]
async fn an_event_about_a_secret_that_no_reference_can_mean_asks_nobody_and_fails_nothing() {
    let (wire, _) = account(Breaker::Off).await;
    let aws = wire.clients();
    // Somebody else's secret, which may not be described, in every event that there is.
    wire.account().make_secret("theirs/db");
    let events = {
        let mut account = wire.account();
        let version = account.request_rotation("theirs/db");
        account.store_pending("theirs/db", &version);
        account.finish_rotation("theirs/db", &version);
        account.put_value("theirs/db");
        account.put_parameter("/theirs/limit");
        std::mem::take(&mut account.events)
    };
    let denied = Fault::Refused("AccessDeniedException");
    wire.account().fail_next("DescribeSecret", &[denied; 20]);
    assert!(events.len() > 6);
    for (_, event) in events {
        wire.account().calls.clear();
        let report = invoke(&aws, &wire, &config(&[]), &event).await;
        assert_eq!(report.failure, None, "{event}: {report:?}");
        let asked = wire.account();
        for operation in ["DescribeSecret", "ListSecretVersionIds", "LookupEvents"] {
            assert!(asked.calls_of(operation).is_empty(), "{event}: {operation}");
        }
    }
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn s29_what_is_foreign_is_ignored_and_what_plainly_carries_an_event_fails() {
    let (wire, api) = account(Breaker::Rollback).await;
    wire.account().put_value("prod/db");
    let (_, event) = wire.account().events.remove(0);
    let outcome = |report: &Report| {
        serde_json::to_value(report).unwrap()["outcome"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (from, to) in [("123456789012", "222222222222"), ("eu-west-1", "us-east-1")] {
        let mut foreign = json!({
            "source": "aws.ecs", "detail-type": "ECS Deployment State Change", "resources": [api],
            "account": "123456789012", "region": "eu-west-1",
            "detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED", "deploymentId": "ecs-svc/1"},
        });
        foreign = serde_json::from_str(&foreign.to_string().replace(from, to)).unwrap();
        let report = invoke(&wire.clients(), &wire, &config(&[]), &foreign).await;
        assert_eq!(
            (outcome(&report), report.failure),
            ("ignored".to_owned(), None),
            "{report:#?}"
        );
    }
    for unknown in [
        event["detail"].clone(),
        json!({"envelope": [event.clone()]}),
    ] {
        let report = invoke(&wire.clients(), &wire, &config(&[]), &unknown).await;
        assert_eq!(outcome(&report), "failed", "{unknown}");
    }
    assert!(wire.account().redeploys.is_empty());
    let wrapped =
        json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": event.to_string()}}]});
    let report = invoke(&wire.clients(), &wire, &config(&[]), &wrapped).await;
    assert_eq!(outcome(&report), "redeployed");
}

/// S30: two secrets of forty services, each changed twice, while CI deploys.
async fn busy_hour(cold: f64) -> Vec<String> {
    let mut account = FakeAws::new();
    let secrets = ["prod/db", "prod/mail"].map(|name| account.make_secret(name));
    for number in 0..40 {
        let service = account.make_service(&format!("api-{number:02}"), &secrets[number % 2]);
        account.services.get_mut(&service).unwrap().takes = ROLLOUT;
    }
    sleep(Duration::from_mins(10)).await;
    let wire = Wire::new(account);
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    lambda.cold = cold;
    while_it_happens(&mut lambda, async {
        for name in ["prod/db", "prod/mail", "prod/db", "prod/mail"] {
            wire.account().put_value(name);
            sleep(Duration::from_mins(4)).await;
        }
        let version = wire.account().begin_scheduled_rotation("prod/db");
        wire.account().store_pending("prod/db", &version);
        sleep(Duration::from_secs(20)).await;
        wire.account().finish_rotation("prod/db", &version);
    })
    .await;
    let account = wire.account();
    assert!(account.services.keys().all(|arn| !account.is_stale(arn)));
    let mut redeployed: Vec<_> = account
        .redeploys
        .iter()
        .map(|(_, arn)| arn.clone())
        .collect();
    redeployed.sort();
    redeployed
}

#[tokio::test(start_paused = true)]
async fn s30_a_process_that_remembers_nothing_does_the_same() {
    let began = Instant::now();
    let (warm, cold) = (busy_hour(0.0).await, busy_hour(1.0).await);
    assert_eq!(warm, cold);
    assert_eq!(warm.len(), 20 * (3 + 2), "{:?}", began.elapsed());
}
