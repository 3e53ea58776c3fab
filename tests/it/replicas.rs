//! Secrets that are replicated from another Region, whose events are forwarded to this one.

use std::time::Duration;

use redeploy_core::report::{ErrorType, Outcome, Report};
use redeploy_on_rotation::aws::Aws;
use serde_json::Value;

use crate::scene::{config, invoke, said};
use crate::simulation::account::{FakeAws, Fault};
use crate::simulation::wire::Wire;

const PRIMARY: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:AuthToken-Ab12Cd";
const REPLICA: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AuthToken-Ab12Cd";

/// A secret of another Region with a replica here, services that name these, and the event of a
/// change of the primary.
async fn change(lag: Duration, services: &[(&str, &str)]) -> (Wire, Value) {
    let mut account = FakeAws::new();
    account.replica_lag = lag;
    let primary = account.make_replicated_secret("AuthToken");
    for (name, value_from) in services {
        account.make_service(name, value_from);
    }
    let wire = Wire::new(account);
    tokio::time::sleep(Duration::from_mins(20)).await;
    wire.account().put_value(&primary);
    let events = std::mem::take(&mut wire.account().events);
    let mut labels = events.into_iter().map(|(_, event)| event);
    let event = labels.find(|event| event["detail"]["labelUpdated"] == "AWSCURRENT");
    (wire, event.unwrap())
}

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:service/prod/{name}")
}

/// Hands over an event, and checks that nothing is stale and nobody rolled twice.
async fn redeploys(aws: &Aws, wire: &Wire, event: &Value) -> (Report, Vec<String>) {
    // As the Terraform module sets it; it is about rotations that are under way, not about these.
    let config = config(&[("REDEPLOY_ON_PENDING", "ignore")]);
    let report = invoke(aws, wire, &config, event).await;
    let mut redeployed: Vec<_> = wire
        .account()
        .redeploys
        .iter()
        .map(|(_, arn)| arn.clone())
        .collect();
    redeployed.sort();
    (report, redeployed)
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_primary_redeploys_what_follows_the_replica_once_it_has_the_version() {
    let names = [
        ("exact", REPLICA),
        ("partial", &REPLICA[..REPLICA.len() - 7]),
        ("through", "/aws/reference/secretsmanager/AuthToken"),
    ];
    let lag = Duration::from_secs(20);
    let (wire, event) = change(lag, &names).await;
    let changed = wire.account().now();
    let aws = wire.clients();
    let (report, redeployed) = redeploys(&aws, &wire, &event).await;
    assert_eq!(report.outcome, Outcome::Redeployed, "{report:?}");
    assert_eq!(redeployed, names.map(|(name, _)| arn(name)));
    let row = serde_json::to_value(&report.services[0]).unwrap();
    assert!(row.to_string().contains(REPLICA), "{row}");
    let redeploys_at = wire.account().redeploys[0].0;
    assert!(
        redeploys_at >= changed.saturating_add(lag).unwrap(),
        "the tasks would have read the old value"
    );
    // The same event again, and by a process that knows nothing.
    for aws in [aws, wire.clients()] {
        let (report, redeployed) = redeploys(&aws, &wire, &event).await;
        assert_eq!(report.failure, None, "{report:?}");
        assert_eq!(redeployed.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stays_behind_fails_as_pending_until_it_has_the_version() {
    let lag = Duration::from_secs(150);
    let (wire, event) = change(lag, &[("api", REPLICA)]).await;
    let aws = wire.clients();
    let (report, redeployed) = redeploys(&aws, &wire, &event).await;
    assert_eq!(report.failure, Some(ErrorType::RotationPending));
    assert!(report.reason.contains(REPLICA), "{}", report.reason);
    assert!(redeployed.is_empty());
    tokio::time::sleep(Duration::from_mins(2)).await;
    let (report, redeployed) = redeploys(&aws, &wire, &event).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(redeployed, [arn("api")]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stays_behind_holds_up_nobody_who_follows_the_primary() {
    let names = [("here", REPLICA), ("there", PRIMARY)];
    let (wire, event) = change(Duration::from_hours(1), &names).await;
    let (report, redeployed) = redeploys(&wire.clients(), &wire, &event).await;
    assert_eq!(redeployed, [arn("there")]);
    assert_eq!(report.failure, Some(ErrorType::PartialFailure));
    let (action, reason) = said(&report, &arn("here"));
    assert_eq!((&*action, &*reason), ("failed", "lookup-failed"));
}

#[tokio::test(start_paused = true)]
async fn without_a_replica_only_the_primary_is_followed() {
    let names = [
        ("through", "/aws/reference/secretsmanager/AuthToken"),
        ("there", PRIMARY),
    ];
    let (wire, event) = change(Duration::ZERO, &names).await;
    wire.account().secrets.remove("AuthToken");
    let (report, redeployed) = redeploys(&wire.clients(), &wire, &event).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(redeployed, [arn("there")]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_may_not_be_described_fails_and_is_named() {
    let (wire, event) = change(Duration::ZERO, &[("api", REPLICA)]).await;
    let denied = Fault::Refused("AccessDeniedException");
    wire.account().fail_next("DescribeSecret", &[denied]);
    let (report, redeployed) = redeploys(&wire.clients(), &wire, &event).await;
    assert_eq!(
        report.failure,
        Some(ErrorType::PartialFailure),
        "{report:?}"
    );
    assert!(report.reason.contains("secretsmanager:DescribeSecret"));
    assert!(redeployed.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_cloudtrail_are_hints_for_replicas_too() {
    let mut account = FakeAws::new();
    account.replica_lag = Duration::from_secs(8);
    let primary = account.make_replicated_secret("AuthToken");
    account.make_service("api", REPLICA);
    let wire = Wire::new(account);
    tokio::time::sleep(Duration::from_mins(20)).await;
    {
        let mut account = wire.account();
        let version = account.begin_scheduled_rotation(&primary);
        account.store_pending(&primary, &version);
        account.events.clear();
        account.finish_rotation(&primary, &version);
    }
    let events = std::mem::take(&mut wire.account().events);
    let aws = wire.clients();
    for (_, event) in events {
        let (report, _) = redeploys(&aws, &wire, &event).await;
        assert_eq!(report.failure, None, "{report:?}");
    }
    assert_eq!(wire.account().redeploys.len(), 1);
}
