//! Storms: what many changes at once cost, in calls and in time, on documented quotas.

use std::collections::BTreeSet;
use std::time::Duration;

use redeploy_core::event::sqs_batch;
use redeploy_core::report::Report;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle_batch;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::scene::{Lambda, config, invoke};
use crate::simulation::account::{FakeAws, Family};
use crate::simulation::wire::Wire;

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(50);
/// How long a rollout takes.
const ROLLOUT: Duration = Duration::from_mins(1);

/// Makes a service that reads one thing.
fn make_service(account: &mut FakeAws, cluster: &str, name: &str, value_from: &str) -> String {
    let secrets = [json!({"name": "S", "valueFrom": value_from})];
    let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
    let arn = account.make_service_in(cluster, name, definition);
    account.services.get_mut(&arn).unwrap().takes = ROLLOUT;
    arn
}

/// The calls that ECS got.
fn ecs_calls(account: &FakeAws) -> usize {
    let others = [
        "DescribeSecret",
        "ListSecretVersionIds",
        "LookupEvents",
        "DescribeParameters",
        "GetResources",
    ];
    account
        .calls
        .iter()
        .filter(|(operation, _)| !others.contains(&operation.as_str()))
        .count()
}

#[tokio::test(start_paused = true)]
async fn s17_two_hundred_secrets_change_within_ten_seconds() {
    const FOLLOWERS: usize = 429;
    let mut account = FakeAws::new();
    account.latency = LATENCY;
    let secrets: Vec<_> = (0..200)
        .map(|number| account.make_secret(&format!("prod/{number}")))
        .collect();
    let clusters: Vec<_> = (0..20)
        .map(|number| account.make_cluster(&format!("c{number}")))
        .collect();
    let mut followers = Vec::new();
    for number in 0..1000 {
        let (cluster, name) = (&clusters[number % 20], format!("api-{number:03}"));
        let other = format!("/app/{number}");
        let value_from = if number < FOLLOWERS {
            &secrets[number % 200]
        } else {
            &other
        };
        let arn = make_service(&mut account, cluster, &name, value_from);
        followers.extend((number < FOLLOWERS).then_some(arn));
    }
    sleep(Duration::from_mins(10)).await;
    let wire = Wire::new(account);
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    let over = std::cell::Cell::new(false);
    let changes = async {
        for number in 0..200 {
            wire.account().put_value(&format!("prod/{number}"));
            sleep(Duration::from_millis(50)).await;
        }
        over.set(true);
    };
    let all_fresh = async {
        sleep(Duration::from_secs(11)).await;
        loop {
            let (fresh, now) = {
                let account = wire.account();
                (
                    followers.iter().all(|arn| !account.is_stale(arn)),
                    account.now(),
                )
            };
            if fresh {
                return now;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (_, _, fresh_at) = tokio::join!(changes, lambda.until(|| over.get()), all_fresh);
    let account = wire.account();
    let redeployed: BTreeSet<_> = account.redeploys.iter().map(|(_, arn)| arn).collect();
    assert_eq!(
        (redeployed.len(), account.redeploys.len()),
        (FOLLOWERS, FOLLOWERS),
        "each once"
    );
    let took = fresh_at.duration_since(account.moves[199]).as_secs();
    let calls = account.calls.len();
    let oldest = lambda.queue.ages.iter().max().unwrap().as_secs();
    // One scan, a description of the followers for each event, the updates.
    let scan = 2 + 20 + 100 + 1000;
    let floor = scan + lambda.reports.len() + FOLLOWERS;
    // The definitions at half of 20 a second and the updates at half of 5, without what half of a
    // burst of 50 gives, and the last rollout. The scan begins five seconds before the last change.
    let fastest = (1000.0 - 25.0) / 10.0 + (429.0 - 25.0) / 2.5 + ROLLOUT.as_secs_f64() - 5.0;
    let storm = "200 secrets change within 10 s, 1,000 services";
    row(
        &format!("{storm}: calls"),
        calls,
        &floor.to_string(),
        calls as f64 / floor as f64,
    );
    row(
        "from the last change until the last of its 429 followers is fresh",
        format!("{took} s"),
        &format!("{fastest:.0} s"),
        took as f64 / fastest,
    );
    println!(
        "{} invocations, the oldest event was {oldest} s old; {} calls refused",
        lambda.reports.len(),
        account.quotas.refused
    );
    assert!(
        lambda.queue.dropped.is_empty(),
        "{:?}",
        lambda.queue.dropped.first()
    );
    let mut by_operation = std::collections::BTreeMap::<_, usize>::new();
    for (operation, _) in &account.calls {
        *by_operation.entry(operation).or_default() += 1;
    }
    println!("{by_operation:?}");
    assert!(calls <= 2600, "{calls} calls, the floor is {floor}");
    assert!(
        calls * 10 <= floor * 13,
        "{calls} calls, the floor is {floor}"
    );
    assert!(
        took as f64 <= fastest * 1.3,
        "{took} s, the floor is {fastest} s"
    );
}

/// Prints a row of the table of `make bench`: what was measured, and its floor.
fn row(measure: &str, value: impl std::fmt::Display, floor: &str, ratio: f64) {
    println!("\n| {measure} | {value} | {floor} | {ratio:.2} |");
}

/// The same of what has no floor but nothing.
fn count(measure: &str, value: impl std::fmt::Display) {
    println!("\n| {measure} | {value} | | |");
}

/// Five hundred services, one of which follows `prod/db`, and a process that has seen them.
async fn warm_account() -> (Lambda, String) {
    let mut account = FakeAws::new();
    account.latency = LATENCY;
    let secret = account.make_secret("prod/db");
    let cluster = account.make_cluster("c");
    let api = make_service(&mut account, &cluster, "api", &secret);
    for number in 0..499 {
        make_service(
            &mut account,
            &cluster,
            &format!("other-{number:03}"),
            &format!("/app/{number}"),
        );
        account.parameters.insert(
            format!("/app/{number}"),
            "2026-01-01T00:00:00Z".parse().unwrap(),
        );
    }
    sleep(Duration::from_mins(10)).await;
    let lambda = Lambda::new(Wire::new(account), config(&[]));
    lambda.sweep().await;
    sleep(Duration::from_mins(10)).await;
    (lambda, api)
}

/// How long it takes until the follower is redeployed, after so many parameters that nobody reads.
async fn after_unread_parameters(count: usize) -> i64 {
    let (mut lambda, api) = warm_account().await;
    let wire = lambda.wire.clone();
    let over = std::cell::Cell::new(false);
    let changes = async {
        for number in 0..count {
            wire.account().put_parameter(&format!("/unread/{number}"));
            sleep(Duration::from_millis(20)).await;
        }
        wire.account().put_value("prod/db");
        over.set(true);
    };
    tokio::join!(changes, lambda.until(|| over.get()));
    let account = wire.account();
    assert_eq!(account.redeploys.len(), 1);
    assert_eq!(account.redeploys[0].1, api);
    account.redeploys[0]
        .0
        .duration_since(account.moves[0])
        .as_secs()
}

#[tokio::test(start_paused = true)]
async fn s18_parameters_that_nobody_reads_keep_nobody_waiting() {
    for unread in [0, 50, 500] {
        let waited = after_unread_parameters(unread).await;
        count(
            &format!(
                "{unread} unread parameters, then one secret; 500 services, warm: its service is redeployed after"
            ),
            format!("{waited} s"),
        );
        assert!(waited <= 30, "{waited} s after {unread} parameters");
    }
}

#[tokio::test(start_paused = true)]
async fn three_hundred_clusters_with_one_service_cost_a_handful_of_calls() {
    let mut account = FakeAws::new();
    account.latency = LATENCY;
    let secret = account.make_secret("prod/db");
    account.make_service("api", &secret);
    for number in 0..299 {
        account.make_cluster(&format!("AWSBatch-{number}"));
    }
    sleep(Duration::from_mins(10)).await;
    let wire = Wire::new(account);
    let aws = wire.clients();
    for changes in 1..=2 {
        let event = {
            let mut account = wire.account();
            account.put_value("prod/db");
            let events = std::mem::take(&mut account.events);
            account.calls.clear();
            events
                .into_iter()
                .find(|(family, _)| *family == Family::Native)
                .unwrap()
                .1
        };
        invoke(&aws, &wire, &config(&[]), &event).await;
        sleep(Duration::from_mins(10)).await;
        assert_eq!(wire.account().redeploys.len(), changes);
    }
    let calls = ecs_calls(&wire.account());
    count("300 clusters, one service, warm event: calls of ECS", calls);
    assert!(calls <= 10, "{calls} calls of the second event");
}

#[tokio::test(start_paused = true)]
async fn six_deployment_events_ask_cloudtrail_for_a_page_each() {
    let mut account = FakeAws::new();
    account.latency = LATENCY;
    account.trail_lag = Duration::from_mins(1);
    let secrets: Vec<_> = (0..200)
        .map(|number| account.make_secret(&format!("prod/{number}")))
        .collect();
    for name in 0..200 {
        account.put_value(&format!("prod/{name}"));
    }
    sleep(Duration::from_mins(60)).await;
    let services: Vec<_> = (0..6)
        .map(|number| account.make_service(&format!("api-{number}"), &secrets[number]))
        .collect();
    sleep(Duration::from_mins(60)).await;
    // Somebody's tags, again and again.
    for _ in 0..15 {
        for name in 0..200 {
            account.describe(&format!("prod/{name}"));
        }
        sleep(Duration::from_mins(1)).await;
    }
    assert!(account.trail.len() >= 3000);
    sleep(Duration::from_mins(10)).await;
    let wire = Wire::new(account);
    let aws = wire.clients();
    for service in &services {
        let completed = json!({
            "source": "aws.ecs", "detail-type": "ECS Deployment State Change", "resources": [service],
            "account": "123456789012", "region": "eu-west-1",
            "detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED", "deploymentId": "ecs-svc/1"},
        });
        let report = invoke(&aws, &wire, &config(&[]), &completed).await;
        assert_eq!(report.failure, None, "{report:#?}");
        let said: Value = serde_json::to_value(&report).unwrap();
        assert_ne!(said["services"][0]["reason"], "unknown", "{said}");
    }
    let lookups = wire.account().calls_of("LookupEvents").len();
    count(
        "six deployment events of touched secrets: `LookupEvents`",
        lookups,
    );
    assert!(lookups <= 12, "{lookups} lookups");
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_once_and_looks_once() {
    let mut account = FakeAws::new();
    account.latency = LATENCY;
    let names: Vec<_> = (0..10).map(|number| format!("prod/{number}")).collect();
    for name in &names {
        let secret = account.make_secret(name);
        account.make_service(&name.replace('/', "-"), &secret);
    }
    sleep(Duration::from_mins(10)).await;
    let wire = Wire::new(account);
    let mut events = Vec::new();
    for name in &names {
        wire.account().put_value(name);
        events.append(&mut wire.account().events);
        sleep(Duration::from_millis(700)).await;
    }
    let native = events
        .into_iter()
        .filter(|(family, _)| *family == Family::Native);
    let records: Vec<_> = native
        .enumerate()
        .map(|(number, (_, event))| {
            json!({"messageId": number.to_string(), "eventSource": "aws:sqs", "body": event.to_string()})
        })
        .collect();
    let batch = json!({ "Records": records });
    let records = sqs_batch(&batch).unwrap().unwrap();
    wire.account().calls.clear();
    let changed = wire.account().moves.last().copied().unwrap();
    let clock = Clock::new(wire.account().now(), None);
    let mut reports = 0;
    let done = |_: &Report| reports += 1;
    let failed = handle_batch(&wire.clients(), &config(&[]), &records, &clock, done).await;
    assert!(failed.is_empty());
    assert_eq!(reports, 10);
    let account = wire.account();
    assert_eq!(account.redeploys.len(), 10);
    assert_eq!(account.calls_of("ListServices").len(), 1, "one look");
    // The look, and the followers of each record before and after its change has settled.
    let describes = account.calls_of("DescribeServices").len();
    assert!(describes <= 12, "{describes} calls");
    // The settling time of the newest change, then ten calls.
    let took = account.now().duration_since(changed).as_secs();
    assert!(took <= 17, "{took} s");
}
