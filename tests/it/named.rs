//! Services that are known by a name first, and those whose ARN does not name their cluster.

use std::time::Duration;

use redeploy_core::config::Config;
use serde_json::json;
use tokio::time::sleep;

use crate::scene::{Lambda, config, invoke, said};
use crate::simulation::account::FakeAws;
use crate::simulation::wire::Wire;

const STAGING: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/staging";
/// What the mapping names.
const MAPPING: &str = r#"[{"secret": "prod/db", "services": ["prod/api", "staging/api"]}]"#;

/// An account with `api` in two clusters, of which the task definitions name the secret or nothing.
async fn account(names: bool) -> (FakeAws, [String; 2]) {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let secrets = match names {
        true => json!([{"name": "S", "valueFrom": secret}]),
        false => json!([]),
    };
    let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
    account.clusters.push(STAGING.to_owned());
    let prod = account.make_service_of("api", definition.clone());
    let staging = account.make_service_in(STAGING, "api", definition);
    sleep(Duration::from_mins(10)).await;
    (account, [prod, staging])
}

fn by_mapping() -> Config {
    config(&[("REDEPLOY_LOOKUP", "config"), ("REDEPLOY_MAPPING", MAPPING)])
}

#[tokio::test(start_paused = true)]
async fn a_mapped_service_with_a_short_arn_is_redeployed_once() {
    let (mut account, [prod, _]) = account(false).await;
    let prod = account.shorten(&prod);
    account.put_value("prod/db");
    let wire = Wire::new(account);
    let mut lambda = Lambda::new(wire.clone(), by_mapping());
    lambda.until(|| true).await;
    let redeploys = wire.account().redeploys.clone();
    let of_prod = redeploys.iter().filter(|(_, arn)| *arn == prod).count();
    assert_eq!((redeploys.len(), of_prod), (2, 1));
    let calls = &wire.account().calls;
    assert!(calls.len() < 40, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_short_arn_is_redeployed_by_request() {
    let (mut account, [prod, _]) = account(true).await;
    let prod = account.shorten(&prod);
    let wire = Wire::new(account);
    let aws = wire.clients();
    let request = json!({"action": "redeploy", "service": "prod/api"});
    let report = invoke(&aws, &wire, &config(&[]), &request).await;
    assert_eq!(said(&report, &prod).0, "redeployed", "{report:?}");
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_rollout_of_a_service_with_a_short_arn_carries_an_order_on() {
    for lookup in ["scan", "config"] {
        let (mut account, [prod, staging]) = account(true).await;
        let prod = account.shorten(&prod);
        account.tag(&prod, "first");
        for service in account.services.values_mut() {
            service.takes = Duration::from_secs(60);
        }
        account.put_value("prod/db");
        let wire = Wire::new(account);
        let mut settings = vec![("REDEPLOY_LOOKUP", lookup)];
        if lookup == "config" {
            settings.push(("REDEPLOY_MAPPING", MAPPING));
        }
        let mut lambda = Lambda::new(wire.clone(), config(&settings));
        // Each event meets a process that has seen nothing.
        lambda.cold = 1.0;
        lambda.until(|| true).await;
        let redeploys = wire.account().redeploys.clone();
        let order: Vec<_> = redeploys.into_iter().map(|(_, arn)| arn).collect();
        assert_eq!(order, [prod, staging], "{lookup}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_mapped_services_with_one_name_the_one_that_is_gone_is_named() {
    let (mut account, [prod, staging]) = account(false).await;
    account.services.remove(&staging);
    account.put_value("prod/db");
    let wire = Wire::new(account);
    let lambda = Lambda::new(wire.clone(), by_mapping());
    sleep(Duration::from_mins(5)).await;
    let report = lambda.sweep().await;
    assert_eq!(said(&report, &prod).0, "redeployed", "{report:?}");
    let gone = serde_json::to_value(&report).unwrap()["services"].clone();
    let gone = gone.as_array().unwrap().iter();
    let gone: Vec<_> = gone.filter(|s| s["service"] == "staging/api").collect();
    assert_eq!(gone.len(), 1, "{report:?}");
    assert!(
        gone[0]["error"]
            .as_str()
            .unwrap()
            .contains("REDEPLOY_MAPPING")
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_mapped_services_with_one_name_the_one_that_is_denied_is_named() {
    let (mut account, [prod, staging]) = account(false).await;
    account.hidden.insert(staging);
    account.put_value("prod/db");
    let event = account.events.last().unwrap().1.clone();
    let wire = Wire::new(account);
    let aws = wire.clients();
    let report = invoke(&aws, &wire, &by_mapping(), &event).await;
    assert_eq!(said(&report, &prod).0, "redeployed", "{report:?}");
    assert_eq!(said(&report, "staging/api").0, "failed", "{report:?}");
    let services = serde_json::to_value(&report).unwrap()["services"].clone();
    assert_eq!(services.as_array().unwrap().len(), 2, "{report:?}");
}
