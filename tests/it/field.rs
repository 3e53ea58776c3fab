//! What people hit in the field: a test for each report that no other test is about.

use std::cell::Cell;
use std::time::Duration;

use redeploy_core::event::sqs_batch;
use redeploy_core::report::{ErrorType, Report};
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle_batch;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::scene::{Lambda, config, invoke, said};
use crate::simulation::account::{ACCOUNT, FakeAws, REGION};
use crate::simulation::wire::Wire;

/// An account in which `api` follows `prod/db`, ten minutes old, and the ARN of the service.
async fn account() -> (Wire, String) {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let api = account.make_service("api", &secret);
    sleep(Duration::from_mins(10)).await;
    (Wire::new(account), api)
}

/// The next event that has this in it.
fn event(wire: &Wire, text: &str) -> Value {
    let events = std::mem::take(&mut wire.account().events);
    let mut events = events.into_iter().map(|(_, event)| event);
    events
        .find(|event| event.to_string().contains(text))
        .unwrap()
}

/// The services that were redeployed, each as often as it was.
fn redeployed(wire: &Wire) -> Vec<String> {
    let account = wire.account();
    let mut services: Vec<_> = account
        .redeploys
        .iter()
        .map(|(_, arn)| arn.rsplit('/').next().unwrap().to_owned())
        .collect();
    services.sort();
    services
}

/// Cloud-CV/EvalAI#5167, fabfuel/ecs-deploy#92.
#[tokio::test(start_paused = true)]
async fn a_service_on_a_deregistered_revision_is_blocked_by_events_and_sweeps_alike() {
    let (wire, api) = account().await;
    {
        let mut account = wire.account();
        let revision = account.services[&api].deployments[0]
            .task_definition
            .clone();
        account.inactive.insert(revision);
        account.put_value("prod/db");
    }
    let event = event(&wire, "Secret Label Updated");
    let aws = wire.clients();
    for payload in [event, json!({"action": "sweep"})] {
        let report = invoke(&aws, &wire, &config(&[]), &payload).await;
        assert_eq!(report.failure, None, "{report:?}");
        let expected = ("blocked".into(), "inactive-task-definition".into());
        assert_eq!(said(&report, &api), expected);
        sleep(Duration::from_mins(20)).await;
    }
    assert!(wire.account().calls_of("UpdateService").is_empty());
}

/// stakater/Reloader#334, #378, #600.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_made_again_under_its_name_is_followed_by_whoever_names_it_so() {
    let mut account = FakeAws::new();
    let old = account.make_secret("prod/db");
    let partial = &old[..old.len() - "-Ab12Cd".len()];
    account.make_service("partial", partial);
    account.make_service("key", &format!("{partial}:password::"));
    account.make_service("through", "/aws/reference/secretsmanager/prod/db");
    account.make_service("old-arn", &old);
    sleep(Duration::from_mins(20)).await;
    let wire = Wire::new(account);
    wire.account().create_again("prod/db");
    let mut created = event(&wire, "CreateSecret");
    let aws = wire.clients();
    let report = invoke(&aws, &wire, &config(&[]), &created).await;
    assert_eq!(report.failure, None, "{report:?}");
    let report = serde_json::to_value(&report).unwrap();
    assert_eq!(report["trigger"], "create-secret");
    let expected = ["key", "partial", "through"];
    assert_eq!(redeployed(&wire), expected);
    // CloudTrail may leave the answer out.
    created["detail"]["responseElements"] = Value::Null;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &created).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(redeployed(&wire), expected, "it is the same change");
}

/// A parameter that is deleted and made again.
#[tokio::test(start_paused = true)]
async fn a_parameter_that_is_made_again_is_followed() {
    let (wire, _) = account().await;
    wire.account().make_service("web", "/shop/url");
    sleep(Duration::from_mins(10)).await;
    wire.account().put_parameter("/shop/url");
    let created = event(&wire, "Create");
    invoke(&wire.clients(), &wire, &config(&[]), &created).await;
    assert_eq!(redeployed(&wire), ["web"]);
}

/// aws/amazon-ecs-agent#2943, terraform-aws-modules/terraform-aws-ecs#367, aws/credentials-fetcher#218.
#[tokio::test(start_paused = true)]
async fn a_credential_specification_in_a_parameter_is_followed_in_every_spelling() {
    let mut account = FakeAws::new();
    let spec = "arn:aws:ssm:eu-west-1:123456789012:parameter/gmsa/spec";
    for (name, member, text) in [
        (
            "domainless",
            "credentialSpecs",
            format!("credentialspecdomainless:{spec}"),
        ),
        (
            "joined",
            "credentialSpecs",
            format!("credentialspec:{spec}"),
        ),
        (
            "options",
            "dockerSecurityOptions",
            format!("credentialspec:{spec}"),
        ),
        ("other", "dockerSecurityOptions", format!("label:{spec}")),
    ] {
        let container = json!({"name": "app", member: [text]});
        account.make_service_of(name, json!({"containerDefinitions": [container]}));
    }
    account.put_parameter("/gmsa/spec");
    sleep(Duration::from_mins(20)).await;
    let wire = Wire::new(account);
    wire.account().put_parameter("/gmsa/spec");
    let updated = event(&wire, "Update");
    let report = invoke(&wire.clients(), &wire, &config(&[]), &updated).await;
    assert!(report.warnings.is_empty(), "{report:?}");
    assert_eq!(redeployed(&wire), ["domainless", "joined", "options"]);
}

/// stakater/Reloader#928, #925, #284.
#[tokio::test(start_paused = true)]
async fn the_opt_out_word_counts_in_any_case_and_what_looks_like_a_switch_is_a_warning() {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let ignored = ["ignore", "Ignore", "IGNORE"];
    let switches = ["false", "off", "disabled", "true"];
    for (number, word) in ignored.iter().chain(&switches).enumerate() {
        let service = account.make_service(&format!("{number}-{word}"), &secret);
        account.tag(&service, word);
    }
    sleep(Duration::from_mins(20)).await;
    let wire = Wire::new(account);
    wire.account().put_value("prod/db");
    let event = event(&wire, "Secret Label Updated");
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    let expected = ["3-false", "4-off", "5-disabled", "6-true"];
    assert_eq!(redeployed(&wire), expected);
    for service in expected {
        let names = |warning: &&String| warning.contains(&format!("service/prod/{service}"));
        assert_eq!(
            report.warnings.iter().filter(names).count(),
            1,
            "{report:#?}"
        );
    }
    assert_eq!(report.warnings.len(), 4);
}

/// stakater/Reloader#837, #110, #508.
#[tokio::test(start_paused = true)]
async fn thirty_settings_that_change_one_after_the_other_cost_two_rollouts() {
    let mut account = FakeAws::new();
    let names: Vec<_> = (0..30).map(|number| format!("/shop/{number}")).collect();
    let secrets: Vec<_> = names
        .iter()
        .map(|name| json!({"name": "S", "valueFrom": name}))
        .collect();
    let container = json!({"name": "app", "secrets": secrets});
    for name in &names {
        account.put_parameter(name);
    }
    let api = account.make_service_of("api", json!({"containerDefinitions": [container]}));
    account.services.get_mut(&api).unwrap().takes = Duration::from_secs(30);
    sleep(Duration::from_mins(20)).await;
    account.events.clear();
    let wire = Wire::new(account);
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    let over = Cell::new(false);
    let changes = async {
        for name in &names {
            wire.account().put_parameter(name);
            sleep(Duration::from_millis(1200)).await;
        }
        over.set(true);
    };
    tokio::join!(changes, lambda.until(|| over.get()));
    let account = wire.account();
    assert!(!account.is_stale(&api));
    assert!(account.redeploys.len() <= 2, "{:?}", account.redeploys);
    assert!(account.cut_off.is_empty(), "{:?}", account.cut_off);
}

/// EventBridge Pipes, SNS fan-out (aws-solutions-constructs#42), `InputPath: $.detail`.
#[tokio::test(start_paused = true)]
async fn an_event_is_understood_in_every_envelope_and_a_bare_detail_fails() {
    let (wire, _) = account().await;
    wire.account().put_value("prod/db");
    let event = event(&wire, "Secret Label Updated");
    let notification = json!({"Type": "Notification", "Message": event.to_string()});
    let record = |body: &Value| json!({"messageId": "m", "eventSource": "aws:sqs", "body": body.to_string()});
    let in_sns = json!({"EventSource": "aws:sns", "Sns": {"Message": event.to_string()}});
    let envelopes = [
        json!({"Records": [record(&event)]}),
        json!({"Records": [record(&notification)]}),
        json!([record(&event)]),
        json!({"Records": [in_sns]}),
        json!([event.clone()]),
    ];
    for (redeployed, payload) in envelopes.iter().enumerate() {
        let aws = wire.clients();
        match sqs_batch(payload).unwrap() {
            Some(records) => {
                let clock = Clock::new(wire.account().now(), None);
                let done = |report: &Report| assert_eq!(report.failure, None, "{payload}");
                let failed = handle_batch(&aws, &config(&[]), &records, &clock, done).await;
                assert!(failed.is_empty(), "{payload}");
            }
            None => {
                let report = invoke(&aws, &wire, &config(&[]), payload).await;
                assert_eq!(report.failure, None, "{payload}");
            }
        }
        assert_eq!(wire.account().redeploys.len(), 1, "{redeployed}: {payload}");
    }
    let detail = &event["detail"];
    let report = invoke(&wire.clients(), &wire, &config(&[]), detail).await;
    assert_eq!(report.failure, Some(ErrorType::InvalidEvent));
}

/// The rotation function tags the secret after it has moved the label, and only then the rotation
/// has succeeded; or Secrets Manager repeats the rotation ten minutes later.
#[tokio::test(start_paused = true)]
async fn a_rotation_that_succeeds_long_after_its_label_moved_costs_no_second_rollout() {
    for (until_tagged, until_done) in [(15, 20), (30, 600)] {
        for cold in [0.0, 1.0] {
            let (wire, api) = account().await;
            let mut lambda = Lambda::new(wire.clone(), config(&[]));
            lambda.cold = cold;
            let over = Cell::new(false);
            let rotation = async {
                let version = wire.account().begin_scheduled_rotation("prod/db");
                wire.account().store_pending("prod/db", &version);
                sleep(Duration::from_secs(2)).await;
                wire.account().move_label("prod/db", "AWSCURRENT", &version);
                sleep(Duration::from_secs(until_tagged)).await;
                wire.account().describe("prod/db");
                sleep(Duration::from_secs(until_done)).await;
                wire.account().end_rotation("prod/db");
                over.set(true);
            };
            tokio::join!(rotation, lambda.until(|| over.get()));
            assert_eq!(redeployed(&wire), ["api"], "{until_done} s, {cold}");
            assert!(!wire.account().is_stale(&api));
            let failed = lambda
                .reports
                .iter()
                .filter(|report| report.failure.is_some());
            assert_eq!(failed.count(), 0, "{:#?}", lambda.reports);
        }
    }
}

/// Secrets Manager's answer is older than the event.
#[tokio::test(start_paused = true)]
async fn a_change_that_secrets_manager_does_not_show_yet_is_asked_for_again() {
    let (wire, api) = account().await;
    wire.account().secret_lag = Duration::from_secs(12);
    wire.account().put_value("prod/db");
    let stored = event(&wire, "PutSecretValue");
    let report = invoke(&wire.clients(), &wire, &config(&[]), &stored).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(redeployed(&wire), ["api"]);
    assert!(wire.account().calls_of("DescribeSecret").len() > 1);
    sleep(Duration::from_mins(1)).await;
    assert!(
        !wire.account().is_stale(&api),
        "the tasks have read the new value"
    );
}

/// teralytics/prometheus-ecs-discovery#95; stacks with a central bus.
#[tokio::test(start_paused = true)]
async fn a_deployment_of_another_account_or_region_is_ignored() {
    let (wire, api) = account().await;
    let foreign = [
        api.replace(ACCOUNT, "222222222222"),
        api.replace(REGION, "us-east-1"),
    ];
    for service in foreign {
        let event = json!({
            "source": "aws.ecs", "detail-type": "ECS Deployment State Change", "resources": [service],
            "account": "222222222222", "region": "us-east-1",
            "detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED", "deploymentId": "ecs-svc/1"},
        });
        let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
        let report = serde_json::to_value(&report).unwrap();
        assert_eq!(report["outcome"], "ignored", "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_lost_its_last_label_still_says_that_there_was_another() {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let version = account.request_rotation("prod/db");
    account.store_pending("prod/db", &version);
    sleep(Duration::from_mins(60)).await;
    let api = account.make_service("api", &secret);
    sleep(Duration::from_mins(60)).await;
    // No event arrives.
    account.finish_rotation("prod/db", &version);
    sleep(Duration::from_mins(5)).await;
    account.remove_label("prod/db", "AWSPREVIOUS");
    account.events.clear();
    sleep(Duration::from_mins(60)).await;
    let wire = Wire::new(account);
    let report = Lambda::new(wire.clone(), config(&[])).sweep().await;
    assert_eq!(said(&report, &api).0, "redeployed", "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_read_all_the_time_hides_no_move() {
    let mut account = FakeAws::new();
    let busy = account.make_secret("busy");
    let quiet = account.make_secret("quiet");
    let mut rotate = Vec::new();
    for name in ["busy", "quiet"] {
        let version = account.request_rotation(name);
        account.store_pending(name, &version);
        rotate.push((name, version));
    }
    sleep(Duration::from_mins(60)).await;
    let services = [("a", &busy), ("b", &quiet)].map(|(name, arn)| account.make_service(name, arn));
    sleep(Duration::from_mins(60)).await;
    for (name, version) in &rotate {
        account.finish_rotation(name, version);
    }
    sleep(Duration::from_mins(60)).await;
    for service in &services {
        let definition = account.services[service].deployments[0]
            .task_definition
            .clone();
        account.deploy(service, &definition);
    }
    sleep(Duration::from_mins(60)).await;
    // When the label moved cannot be told from when the secret last changed.
    for name in ["busy", "quiet"] {
        account.describe(name);
    }
    account.read_often("busy", 5000);
    account.events.clear();
    sleep(Duration::from_mins(60)).await;
    let wire = Wire::new(account);
    let report = Lambda::new(wire.clone(), config(&[])).sweep().await;
    for service in &services {
        assert_eq!(said(&report, service).1, "already-fresh", "{report:?}");
    }
    let lookups = wire.account().calls_of("LookupEvents").len();
    assert!(lookups <= 40, "{lookups}");
}

#[tokio::test(start_paused = true)]
async fn a_parameter_of_another_account_is_not_that_of_the_same_name_here() {
    let other = "arn:aws:ssm:eu-west-1:210987654321:parameter/shared/license";
    let mut account = FakeAws::new();
    account.put_parameter("/shared/license");
    let api = account.make_service_of("api", json!({"containerDefinitions": [{"name": "app"}]}));
    account.tag(&api, other);
    sleep(Duration::from_mins(10)).await;
    account.put_parameter("/shared/license");
    let own = account.events.last().unwrap().1.clone();
    account.events.clear();
    let wire = Wire::new(account);
    let lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_LOOKUP", "scan,tags")]));
    let report = lambda.invoke(&own).await;
    assert_eq!(said(&report, &api).0, "", "{report:?}");
    sleep(Duration::from_mins(10)).await;
    let report = lambda.sweep().await;
    assert_eq!(said(&report, &api).0, "", "{report:?}");
    assert!(report.warnings[0].contains("another account"), "{report:?}");
    let mut forwarded = own;
    forwarded["account"] = json!("210987654321");
    forwarded["resources"] = json!([other]);
    let report = lambda.invoke(&forwarded).await;
    assert_eq!(said(&report, &api).0, "redeployed", "{report:?}");
    sleep(Duration::from_mins(10)).await;
    let request = json!({"action": "redeploy", "service": "prod/api"});
    let report = lambda.invoke(&request).await;
    assert_eq!(said(&report, &api).0, "redeployed", "{report:?}");
}
