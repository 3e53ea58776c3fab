//! What goes over the wire: pages, tens, exact bodies, retries, and what happens when things vanish.

use std::time::Duration;

use redeploy_core::event::sqs_batch;
use redeploy_core::report::{ErrorType, Outcome, Report, ServiceAction};
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle_batch;
use serde_json::{Value, json};

use crate::scene::{config, invoke};
use crate::simulation::account::{ACCOUNT, CLUSTER, FakeAws, Fault, LooseTask, REGION};
use crate::simulation::wire::Wire;

/// A world with `prod/db`, changed ten minutes after these services were made, and its native event.
async fn changed(make: impl FnOnce(&mut FakeAws, &str)) -> (Wire, Value) {
    let mut world = FakeAws::new();
    let secret = world.make_secret("prod/db");
    make(&mut world, &secret);
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.put_value("prod/db");
    let (_, event) = world.events.remove(0);
    world.events.clear();
    (Wire::new(world), event)
}

fn actions(report: &Report) -> Vec<(String, String, String)> {
    let report = serde_json::to_value(report).unwrap();
    let text = |value: &Value| {
        value
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let services = report["services"].as_array().unwrap().iter();
    services
        .map(|s| (text(&s["service"]), text(&s["action"]), text(&s["reason"])))
        .collect()
}

fn row(service: &str, action: &str, reason: &str) -> (String, String, String) {
    (service.to_owned(), action.to_owned(), reason.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_scan_reads_pages_of_100_and_describes_10_at_a_time() {
    let (wire, event) = changed(|world, secret| {
        world.quotas.unlimited = true;
        for number in 0..234 {
            world.make_service(&format!("api-{number:03}"), secret);
        }
    })
    .await;
    let aws = wire.clients_with(1.0);
    let report = invoke(&aws, &wire, &config(&[]), &event).await;
    assert_eq!(report.outcome, Outcome::Redeployed, "{report:?}");
    {
        let world = wire.account();
        assert_eq!(world.redeploys.len(), 234);
        assert_eq!(world.calls_of("ListServices").len(), 3);
        assert!(
            world
                .calls_of("ListServices")
                .iter()
                .all(|body| body["maxResults"] == 100)
        );
        // The look; its followers once more when the change has settled; and those whose turn comes
        // seconds later.
        let described = world.calls_of("DescribeServices").len();
        assert!((48..=72).contains(&described), "{described}");
        assert_eq!(world.calls_of("DescribeTaskDefinition").len(), 234);
    }
    // The revisions are known already.
    let report = invoke(&aws, &wire, &config(&[]), &event).await;
    assert_eq!(report.outcome, Outcome::NothingToDo);
    let world = wire.account();
    assert_eq!(world.redeploys.len(), 234);
    assert_eq!(world.calls_of("DescribeTaskDefinition").len(), 234);
}

#[tokio::test(start_paused = true)]
async fn the_tags_lookup_costs_one_query_a_tenth_of_a_describe_and_one_update_per_service() {
    let (wire, event) = changed(|world, secret| {
        for number in 0..25 {
            let service = world.make_service(&format!("api-{number}"), "/unrelated");
            world.tag(
                &service,
                if number % 2 == 0 {
                    "prod/db other"
                } else {
                    secret
                },
            );
        }
        let other = world.make_service("other", secret);
        world.tag(&other, "prod/other");
        let ignored = world.make_service("ignored", secret);
        world.tag(&ignored, "prod/db ignore");
        world.make_service("untagged", secret);
    })
    .await;
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[("REDEPLOY_LOOKUP", "tags")]),
        &event,
    )
    .await;
    let world = wire.account();
    assert_eq!(world.redeploys.len(), 25, "{report:#?}");
    // One of them reads the tag of the secret.
    assert_eq!(world.calls.len(), 1 + 1 + 3 + 25);
    assert!(actions(&report).contains(&row("ignored", "skipped", "opted-out")));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_redeploys_what_it_names_and_reports_what_does_not_exist() {
    let mapping = json!([
        {"secret": "prod/db", "services": ["prod/api", "prod/gone", "nowhere/api"]},
        {"secret": "prod/other", "services": ["prod/other"]},
    ]);
    let (wire, event) = changed(|world, _| {
        world.make_service("api", "/unrelated");
        world.make_service("other", "/unrelated");
    })
    .await;
    let vars = [
        ("REDEPLOY_LOOKUP", "config"),
        ("REDEPLOY_MAPPING", &mapping.to_string()),
    ];
    let report = invoke(&wire.clients(), &wire, &config(&vars), &event).await;
    assert_eq!(report.failure, Some(ErrorType::PartialFailure));
    let mut failed: Vec<_> = report
        .services
        .iter()
        .filter(|s| s.action == ServiceAction::Failed)
        .collect();
    failed.sort_by_key(|service| &service.service);
    assert_eq!(
        failed.iter().map(|s| &*s.service).collect::<Vec<_>>(),
        ["nowhere/api", "prod/gone"]
    );
    assert!(
        failed
            .iter()
            .all(|s| s.error.as_ref().unwrap().contains("REDEPLOY_MAPPING")
                && s.secrets[0].ends_with("secret:prod/db-Ab12Cd"))
    );
    assert!(actions(&report).contains(&row("api", "redeployed", "stale")));
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn several_lookups_count_together_and_no_service_twice() {
    let mapping =
        json!([{"secret": "prod/db", "services": ["prod/by-mapping", "prod/by-definition"]}])
            .to_string();
    let (wire, event) = changed(|world, secret| {
        world.make_service("by-definition", secret);
        let tagged = world.make_service("by-tag", "/unrelated");
        world.tag(&tagged, "prod/db");
        world.make_service("by-mapping", "/unrelated");
        world.make_service("by-nothing", "/unrelated");
    })
    .await;
    let vars = [
        ("REDEPLOY_LOOKUP", "scan,tags,config"),
        ("REDEPLOY_MAPPING", &mapping),
    ];
    let report = invoke(&wire.clients(), &wire, &config(&vars), &event).await;
    let expected =
        ["by-definition", "by-mapping", "by-tag"].map(|name| row(name, "redeployed", "stale"));
    assert_eq!(actions(&report), expected);
    assert_eq!(wire.account().redeploys.len(), 3);
    // The look, and its followers once more when the change has settled.
    assert_eq!(wire.account().calls_of("DescribeServices").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_place_of_a_task_definition_is_read() {
    let (wire, event) = changed(|world, secret| {
        let by_log = json!([{"name": "app", "logConfiguration": {
            "logDriver": "splunk", "secretOptions": [{"name": "token", "valueFrom": secret}]}}]);
        let by_second = json!([{"name": "app"}, {"name": "side", "secrets": [{"name": "S", "valueFrom": secret}]}]);
        let by_pull = json!([{"name": "app", "repositoryCredentials": {"credentialsParameter": "prod/db"}}]);
        let fsx = json!([{"name": "share", "fsxWindowsFileServerVolumeConfiguration": {
            "fileSystemId": "fs-1", "rootDirectory": "/", "authorizationConfig": {
            "credentialsParameter": secret, "domain": "example.com"}}}]);
        world.make_service_of("by-log", json!({"containerDefinitions": by_log}));
        world.make_service_of("by-second", json!({"containerDefinitions": by_second}));
        world.make_service_of("by-pull", json!({"containerDefinitions": by_pull}));
        world.make_service_of("by-volume", json!({"containerDefinitions": [{"name": "app"}], "volumes": fsx}));
        let broken = world.make_service("broken", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:b");
        // A rollout that is not finished: the old revision still runs.
        let unfinished = world.make_service("unfinished", secret);
        let bare = world.services[&broken].deployments[0].task_definition.clone();
        world.deploy(&unfinished, &bare);
    })
    .await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    let mut expected: Vec<_> = ["by-log", "by-second", "by-volume", "unfinished"]
        .map(|name| row(name, "redeployed", "stale"))
        .into();
    expected.push(row("by-pull", "skipped", "image-pull-only"));
    assert_eq!(actions(&report), expected);
    assert!(
        report.warnings[0].contains("task-definition/broken:1"),
        "{:?}",
        report.warnings
    );
}

#[tokio::test(start_paused = true)]
async fn services_that_cannot_be_forced_are_blocked_and_do_not_fail_the_invocation() {
    let (wire, event) = changed(|world, secret| {
        for (name, controller, strategy) in [
            ("code-deploy", "CODE_DEPLOY", "ROLLING"),
            ("external", "EXTERNAL", "ROLLING"),
            ("canary", "ECS", "CANARY"),
        ] {
            let service = world.make_service(name, secret);
            let service = world.services.get_mut(&service).unwrap();
            service.controller = controller;
            service.strategy = strategy;
            service.deployments[0].rollout = "IN_PROGRESS";
        }
    })
    .await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.failure, None);
    let expected = [
        row("code-deploy", "blocked", "unsupported-controller"),
        row("external", "blocked", "unsupported-controller"),
        row("canary", "waiting", "deployment-in-progress"),
    ];
    assert_eq!(actions(&report), expected);
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_vanishes_while_it_is_read_is_noted_and_the_rest_goes_on() {
    let (wire, event) = changed(|world, secret| {
        world
            .clusters
            .push(format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/gone"));
        world.make_service("api", secret);
        let deleted = world.make_service("deleted", secret);
        world.tag(&deleted, "prod/db");
    })
    .await;
    wire.account().fail_next(
        "UpdateService",
        &[Fault::Refused("ServiceNotFoundException")],
    );
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.failure, None, "{report:#?}");
    assert!(
        report.warnings[0].contains("cluster/gone"),
        "{:?}",
        report.warnings
    );
    assert!(
        actions(&report)
            .iter()
            .any(|(_, action, reason)| action == "skipped" && reason == "not-active")
    );
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_the_configuration_names_and_that_does_not_exist_fails_after_the_rest_is_done()
 {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[("REDEPLOY_CLUSTERS", "prod,prdo")]),
        &event,
    )
    .await;
    assert_eq!(report.failure, Some(ErrorType::PartialFailure));
    assert_eq!(
        actions(&report),
        [
            row("prdo", "failed", "not-found"),
            row("api", "redeployed", "stale")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_clusters_in_scope_are_touched() {
    for lookup in ["scan", "tags"] {
        let (wire, event) = changed(|world, secret| {
            let api = world.make_service("api", secret);
            world.tag(&api, "prod/db");
            let other = world.make_service("other", secret);
            let mut other = world.services.remove(&other).unwrap();
            other.cluster = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/stage");
            other
                .tags
                .insert("redeploy-on-rotation".to_owned(), "prod/db".to_owned());
            world.clusters.push(other.cluster.clone());
            world.services.insert(
                format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/stage/other"),
                other,
            );
        })
        .await;
        let vars = [("REDEPLOY_LOOKUP", lookup), ("REDEPLOY_CLUSTERS", CLUSTER)];
        invoke(&wire.clients(), &wire, &config(&vars), &event).await;
        assert_eq!(wire.account().redeploys.len(), 1, "{lookup}");
        invoke(
            &wire.clients(),
            &wire,
            &config(&[("REDEPLOY_LOOKUP", lookup)]),
            &event,
        )
        .await;
        assert_eq!(wire.account().redeploys.len(), 2, "{lookup}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_service_that_fails_for_good_does_not_stop_the_others_and_is_named() {
    let (wire, event) = changed(|world, secret| {
        for name in ["a", "b", "c"] {
            world.make_service(name, secret);
        }
    })
    .await;
    wire.account()
        .fail_next("UpdateService", &[Fault::Refused("AccessDeniedException")]);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(report.failure, Some(ErrorType::PartialFailure));
    assert_eq!(wire.account().redeploys.len(), 2);
    let failed = &report.services[0];
    assert_eq!(failed.action, ServiceAction::Failed);
    assert!(
        failed.error.as_ref().unwrap().contains("ecs:UpdateService"),
        "{failed:?}"
    );
    assert!(report.error_message().contains(&*failed.service));
    // The retry touches only what is left.
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.outcome, Outcome::Redeployed);
    assert_eq!(wire.account().redeploys.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_task_definition_that_cannot_be_read_fails_its_services_only() {
    let (wire, event) = changed(|world, secret| {
        world.make_service("api", secret);
        world.make_service("unreadable", secret);
        world
            .task_definitions
            .retain(|arn, _| !arn.contains("unreadable"));
    })
    .await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(
        actions(&report),
        [
            row("unreadable", "failed", "lookup-failed"),
            row("api", "redeployed", "stale")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn throttled_reads_are_repeated_and_a_lookup_throttled_for_good_fails_as_such() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    for operation in [
        "ListClusters",
        "ListServices",
        "DescribeServices",
        "DescribeTaskDefinition",
    ] {
        wire.account().fail_next(
            operation,
            &[Fault::Throttled, Fault::ServerError, Fault::AnswerLost],
        );
    }
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.outcome, Outcome::Redeployed, "{report:#?}");
    wire.account()
        .fail_next("ListClusters", &[Fault::Throttled; 20]);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.failure, Some(ErrorType::Throttled));
    assert!(
        report.reason.contains("ecs:ListClusters"),
        "{}",
        report.reason
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_calls_nothing_that_changes_anything_and_does_not_wait() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let began = tokio::time::Instant::now();
    let dry = config(&[("REDEPLOY_DRY_RUN", "true")]);
    let report = invoke(&wire.clients(), &wire, &dry, &event).await;
    assert_eq!(report.outcome, Outcome::DryRun);
    let plan = json!({"action": "plan", "secret": "prod/db"});
    let report = invoke(&wire.clients(), &wire, &config(&[]), &plan).await;
    assert_eq!(actions(&report), [row("api", "planned", "stale")]);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_redeploys_what_uses_the_secret_named_in_any_way() {
    let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/db");
    for name in ["prod/db", &arn, &format!("{arn}-Ab12Cd")] {
        let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
        let request = json!({"action": "redeploy", "secret": name});
        let report = invoke(&wire.clients(), &wire, &config(&[]), &request).await;
        assert_eq!(report.outcome, Outcome::Redeployed, "{name}: {report:#?}");
        assert_eq!(wire.account().redeploys.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sibling_event_does_not_trust_a_read_that_is_too_old() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let aws = wire.clients();
    invoke(&aws, &wire, &config(&[]), &event).await;
    wire.account().read_lag = Duration::from_secs(4);
    let report = invoke(&aws, &wire, &config(&[]), &event).await;
    assert_eq!(actions(&report), [row("api", "skipped", "already-fresh")]);
    assert_eq!(wire.account().redeploys.len(), 1);
    // A memory that outlived a roll-back would hide it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    wire.account().services.values_mut().for_each(|service| {
        service.deployments.remove(0);
        service.deployments[0].primary = true;
        service.history.clear();
    });
    let report = invoke(
        &aws,
        &wire,
        &config(&[("REDEPLOY_DRY_RUN", "true")]),
        &event,
    )
    .await;
    assert_eq!(actions(&report), [row("api", "planned", "stale")]);
}

#[tokio::test(start_paused = true)]
async fn a_name_ending_like_a_suffix_is_told_apart_by_asking() {
    let prefix = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:");
    for also_short in [false, true] {
        let mut world = FakeAws::new();
        world.make_secret("prod/db-Ab12Cd");
        if also_short {
            // Its full ARN is the partial ARN of the other.
            world.make_secret("prod/db");
        }
        world.make_service("api", &format!("{prefix}prod/db-Ab12Cd"));
        tokio::time::sleep(Duration::from_secs(600)).await;
        world.put_value("prod/db-Ab12Cd");
        let (_, event) = world.events.remove(0);
        let wire = Wire::new(world);
        invoke(&wire.clients(), &wire, &config(&[]), &event).await;
        assert_eq!(wire.account().redeploys.len(), usize::from(!also_short));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_rotation_comes_back_or_is_left_to_a_later_event() {
    let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    wire.account().request_rotation("prod/db");
    let (_, event) = wire.account().events.remove(0);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.failure, Some(ErrorType::RotationPending));
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[("REDEPLOY_ON_PENDING", "ignore")]),
        &event,
    )
    .await;
    assert_eq!(report.outcome, Outcome::Ignored);
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_ends_before_the_change_settled_says_so() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let now = wire.account().now();
    let clock = Clock::new(
        now,
        Some(now.saturating_add(Duration::from_secs(3)).unwrap()),
    );
    let report =
        redeploy_on_rotation::handler::handle(&wire.clients(), &config(&[]), &event, &clock).await;
    assert_eq!(report.failure, Some(ErrorType::TimeLeft));
    assert!(wire.account().redeploys.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_record_of_a_batch_is_handled_and_only_failed_ones_come_back() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let record =
        |id: &str, body: Value| json!({"messageId": id, "eventSource": "aws:sqs", "body": body});
    let mut broken = event.clone();
    broken["detail"]["labelUpdated"] = Value::Null;
    let batch = json!({"Records": [
        record("good", json!(event.to_string())),
        record("broken", json!(broken.to_string())),
        record("again", json!(event.to_string())),
        record("unknown", json!("not JSON")),
        record("bodiless", json!(7)),
    ]});
    let records = sqs_batch(&batch).unwrap().unwrap();
    let clock = Clock::new(wire.account().now(), None);
    let aws: Aws = wire.clients();
    let mut outcomes = Vec::new();
    let failed = handle_batch(&aws, &config(&[]), &records, &clock, |report| {
        outcomes.push(report.outcome)
    })
    .await;
    assert_eq!(failed, ["broken", "bodiless"]);
    let expected = [
        Outcome::Redeployed,
        Outcome::NothingToDo,
        Outcome::Failed,
        Outcome::Ignored,
        Outcome::Failed,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn siblings_of_a_change_in_the_middle_of_a_second_redeploy_once_with_the_shortest_settle() {
    for first in [0, 1] {
        let mut world = FakeAws::new();
        let secret = world.make_secret("prod/db");
        world.make_service("api", &secret);
        tokio::time::sleep(Duration::from_millis(600_150)).await;
        let version = world.begin_scheduled_rotation("prod/db");
        world.events.clear();
        world.finish_rotation("prod/db", &version);
        let wire = Wire::new(world);
        let (aws, config) = (wire.clients(), config(&[("REDEPLOY_SETTLE_SECONDS", "1")]));
        let events: Vec<_> = wire
            .account()
            .events
            .drain(..)
            .map(|(_, event)| event)
            .collect();
        assert_eq!(events.len(), 3);
        for event in events.iter().skip(first).chain(&events).chain(&events) {
            invoke(&aws, &wire, &config, event).await;
        }
        assert_eq!(wire.account().redeploys.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_json_key_with_a_space_is_a_key_like_any_other() {
    let (wire, event) = changed(|world, secret| {
        drop(world.make_service("api", &format!("{secret}:db password::")))
    })
    .await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(actions(&report), [row("api", "redeployed", "stale")]);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_of_a_service_is_enough_when_it_is_stale_by_that() {
    let (wire, event) = changed(|world, secret| {
        let service = world.make_service("api", secret);
        let service = world.services.get_mut(&service).unwrap();
        let mut old = service.deployments[0].clone();
        old.primary = false;
        old.task_definition = "arn:aws:ecs:eu-west-1:123456789012:task-definition/api:0".to_owned();
        service.deployments.push(old);
    })
    .await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(actions(&report), [row("api", "redeployed", "stale")]);
}

#[tokio::test(start_paused = true)]
async fn a_request_attempted_again_touches_only_what_is_left() {
    let (wire, _) = changed(|world, secret| {
        for name in ["a", "b"] {
            world.make_service(name, secret);
        }
    })
    .await;
    wire.account()
        .fail_next("UpdateService", &[Fault::Refused("AccessDeniedException")]);
    let request = json!({"action": "redeploy", "secret": "prod/db"});
    let asked_at = wire.account().now();
    for failure in [Some(ErrorType::PartialFailure), None] {
        let mut clock = Clock::new(wire.account().now(), None);
        clock.requested_at = asked_at;
        let report =
            redeploy_on_rotation::handler::handle(&wire.clients(), &config(&[]), &request, &clock)
                .await;
        assert_eq!(report.failure, failure);
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert_eq!(wire.account().redeploys.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_a_quiet_account_costs_one_pass_and_one_call_for_each_secret() {
    let mut world = FakeAws::new();
    for number in 0..20 {
        world.make_secret(&format!("prod/{number}"));
    }
    tokio::time::sleep(Duration::from_mins(10)).await;
    for number in 0..120 {
        let secret = world.secrets[&format!("prod/{}", number % 20)].arn.clone();
        world.make_service(&format!("api-{number}"), &secret);
    }
    let wire = Wire::new(world);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let aws = wire.clients();
    let sweep = json!({"action": "sweep"});
    let report = invoke(&aws, &wire, &config(&[]), &sweep).await;
    assert_eq!(
        (report.outcome, report.services.len()),
        (Outcome::NothingToDo, 120)
    );
    // One more for the tasks outside services: their number alone tells that there are none.
    assert_eq!(wire.account().calls.len(), 1 + 2 + 12 + 120 + 20 + 1);
    invoke(&aws, &wire, &config(&[]), &sweep).await;
    assert_eq!(wire.account().calls.len(), 2 * (1 + 2 + 12 + 20 + 1) + 120);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_follows_parameters_tags_and_mappings() {
    let mapping = json!([{"secret": "prod/db", "services": ["prod/by-mapping"]}]).to_string();
    let (wire, _) = changed(|world, _| {
        let tagged = world.make_service("by-tag", "/unrelated");
        world.tag(&tagged, "prod/db");
        world.make_service("by-mapping", "/unrelated");
        world.make_service("by-parameter", "/app/limit");
        world.make_service("other", "/app/other");
    })
    .await;
    let now = wire.account().now();
    wire.account()
        .parameters
        .insert("/app/limit".to_owned(), now);
    wire.account().parameters.insert(
        "/app/other".to_owned(),
        "2026-01-01T00:00:00Z".parse().unwrap(),
    );
    tokio::time::sleep(Duration::from_mins(10)).await;
    let vars = [
        ("REDEPLOY_LOOKUP", "scan,tags,config"),
        ("REDEPLOY_MAPPING", &mapping),
    ];
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&vars),
        &json!({"action": "sweep"}),
    )
    .await;
    let mut expected: Vec<_> = ["by-mapping", "by-parameter", "by-tag"]
        .map(|name| row(name, "redeployed", "stale"))
        .into();
    expected.push(row("other", "skipped", "already-fresh"));
    assert_eq!(actions(&report), expected, "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_ends_has_all_examined_that_follow_what_its_service_follows() {
    let (wire, _) = changed(|world, secret| {
        world.make_service("api", secret);
        world.make_service("sibling", secret);
        let mail = world.make_secret("prod/mail");
        world.make_service("other", &mail);
    })
    .await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let event = json!({
        "source": "aws.ecs", "detail-type": "ECS Deployment State Change",
        "resources": ["arn:aws:ecs:eu-west-1:123456789012:service/prod/api"],
        "detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED"},
    });
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    let redeployed = ["api", "sibling"].map(|name| row(name, "redeployed", "stale"));
    assert_eq!(actions(&report), redeployed);
}

#[tokio::test(start_paused = true)]
async fn without_the_history_a_service_that_was_touched_before_is_not_touched_again() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    wire.account().fail_next(
        "ListServiceDeployments",
        &[Fault::Refused("AccessDeniedException")],
    );
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(actions(&report), [row("api", "failed", "lookup-failed")]);
    assert!(
        report.services[0]
            .error
            .as_ref()
            .unwrap()
            .contains("ecs:ListServiceDeployments")
    );
    assert!(wire.account().redeploys.is_empty());
}

/// A running task that is not made by one of the services' current deployments.
fn old_task(
    world: &mut FakeAws,
    number: u32,
    group: &str,
    started_by: &str,
    task_definition: &str,
) {
    let task = LooseTask {
        cluster: CLUSTER.to_owned(),
        group: group.to_owned(),
        started_by: started_by.to_owned(),
        task_definition: format!(
            "arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{task_definition}:1"
        ),
        started_at: world.now(),
    };
    world.tasks.insert(
        format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{number}"),
        task,
    );
}

#[tokio::test(start_paused = true)]
async fn a_sweep_reports_tasks_that_outlive_a_rollout_and_tasks_outside_services() {
    let (wire, event) = changed(|world, secret| {
        let protected = world.make_service("protected", secret);
        let started_by = world.services[&protected].deployments[0].id.clone();
        old_task(world, 1, "service:protected", &started_by, "protected");
        world.make_service("api", secret);
        world.make_service("worker", "/unrelated");
        old_task(world, 2, "family:api", "batch", "api");
        old_task(world, 3, "family:worker", "batch", "worker");
    })
    .await;
    let (aws, config) = (wire.clients(), config(&[]));
    invoke(&aws, &wire, &config, &event).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    old_task(&mut wire.account(), 4, "family:api", "batch", "api");
    tokio::time::sleep(Duration::from_mins(90)).await;
    let expected = [
        row("protected", "blocked", "stale-tasks"),
        row("2", "blocked", "stale-tasks"),
        row("api", "skipped", "already-fresh"),
    ];
    let sweep = json!({"action": "sweep"});
    let report = invoke(&aws, &wire, &config, &sweep).await;
    assert_eq!(actions(&report), expected);
    // Tagged, the secret looks as if it had changed; the tasks from after the change still are what they were.
    wire.account().describe("prod/db");
    tokio::time::sleep(Duration::from_mins(90)).await;
    let report = invoke(&aws, &wire, &config, &sweep).await;
    assert_eq!(actions(&report), expected);
    assert_eq!(wire.account().redeploys.len(), 2);
    wire.account().tasks.clear();
    wire.account().calls.clear();
    let report = invoke(&aws, &wire, &config, &sweep).await;
    assert!(
        report
            .services
            .iter()
            .all(|service| service.action == ServiceAction::Skipped),
        "{report:#?}"
    );
    assert!(wire.account().calls_of("ListTasks").is_empty());
}

/// CI deploys the last service once more after this time.
async fn ci_deploys_the_last(wire: &Wire, after: Duration) {
    tokio::time::sleep(after).await;
    let mut world = wire.account();
    let last = world.services.keys().last().unwrap().clone();
    let definition = world.services[&last].deployments[0].task_definition.clone();
    world.deploy(&last, &definition);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_turn_comes_late_is_read_again_first() {
    let (wire, event) = changed(|world, secret| {
        for number in 0..300 {
            world.make_service(&format!("api-{number:03}"), secret);
        }
    })
    .await;
    let (aws, config) = (wire.clients(), config(&[]));
    let ci = ci_deploys_the_last(&wire, Duration::from_secs(40));
    let (report, ()) = tokio::join!(invoke(&aws, &wire, &config, &event), ci);
    assert_eq!(wire.account().redeploys.len(), 299);
    assert!(actions(&report).contains(&row("api-299", "skipped", "already-fresh")));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_somebody_deploys_while_update_service_is_throttled_is_left_alone() {
    let (wire, event) = changed(|world, secret| {
        world.make_service("api", secret);
    })
    .await;
    wire.account()
        .fail_next("UpdateService", &[Fault::Throttled; 6]);
    let (aws, config) = (wire.clients(), config(&[]));
    let ci = ci_deploys_the_last(&wire, Duration::from_secs(25));
    let (report, ()) = tokio::join!(invoke(&aws, &wire, &config, &event), ci);
    assert_eq!(actions(&report), [row("api", "skipped", "already-fresh")]);
    assert_eq!(wire.account().redeploys, []);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_long_to_be_described_is_redeployed_all_the_same() {
    let (wire, event) = changed(|world, secret| {
        world.make_service("api", secret);
    })
    .await;
    wire.account().latency = Duration::from_secs(6);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(report.failure, None, "{report:#?}");
    assert_eq!(wire.account().redeploys.len(), 1);
    let described = wire.account().calls_of("DescribeServices").len();
    assert!(described <= 4, "{described}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_described_leaves_its_services_unknown_to_a_sweep() {
    let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let sweep = json!({"action": "sweep"});
    wire.account()
        .fail_next("DescribeSecret", &[Fault::Refused("AccessDeniedException")]);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &sweep).await;
    assert_eq!(actions(&report), [row("api", "skipped", "unknown")]);
    assert_eq!(report.failure, None);
    assert!(
        report.services[0]
            .error
            .as_ref()
            .unwrap()
            .contains("secretsmanager:DescribeSecret")
    );
    // What was not answered may be answered to the next attempt.
    wire.account()
        .fail_next("DescribeSecret", &[Fault::Throttled; 20]);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &sweep).await;
    assert_eq!(actions(&report), [row("api", "failed", "lookup-failed")]);
    assert_eq!(report.failure, Some(ErrorType::PartialFailure));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_waits_until_a_change_of_this_moment_has_settled() {
    let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let began = tokio::time::Instant::now();
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[]),
        &json!({"action": "sweep"}),
    )
    .await;
    assert_eq!(actions(&report), [row("api", "redeployed", "stale")]);
    assert!(began.elapsed() >= Duration::from_secs(10));
    let world = wire.account();
    assert!(world.redeploys[0].0 > world.secrets["prod/db"].last_changed);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_event_of_a_service_that_no_lookup_could_find_is_left_alone() {
    let mapping = json!([{"secret": "prod/db", "services": ["prod/mapped"]}]).to_string();
    let (wire, _) = changed(|world, _| {
        world.make_service("mapped", "/unrelated");
        world.make_service("other", "/unrelated");
    })
    .await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let vars = [
        ("REDEPLOY_LOOKUP", "config"),
        ("REDEPLOY_MAPPING", &mapping),
    ];
    for (name, calls) in [("other", 0), ("mapped", 1)] {
        let event = json!({
            "source": "aws.ecs", "detail-type": "ECS Deployment State Change",
            "resources": [format!("arn:aws:ecs:eu-west-1:123456789012:service/prod/{name}")],
            "detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED"},
        });
        invoke(&wire.clients(), &wire, &config(&vars), &event).await;
        assert_eq!(
            wire.account().calls_of("DescribeServices").len(),
            calls,
            "{name}"
        );
    }
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_request_for_a_rotation_goes_by_the_time_of_the_rotation() {
    let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    let version = wire.account().request_rotation("prod/db");
    let (_, event) = wire.account().events.pop().unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    wire.account().finish_rotation("prod/db", &version);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (aws, config) = (wire.clients(), config(&[]));
    assert_eq!(
        invoke(&aws, &wire, &config, &event).await.outcome,
        Outcome::Redeployed
    );
    // Tagged, so that LastChangedDate is later than the new deployment.
    wire.account().describe("prod/db");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        invoke(&aws, &wire, &config, &event).await.outcome,
        Outcome::NothingToDo
    );
}

#[tokio::test(start_paused = true)]
async fn a_sweep_over_a_large_account_keeps_to_its_budget_of_calls() {
    let mut world = FakeAws::new();
    world.quotas.unlimited = true;
    let secrets: Vec<_> = (0..200)
        .map(|number| world.make_secret(&format!("prod/{number}")))
        .collect();
    tokio::time::sleep(Duration::from_mins(10)).await;
    for number in 0..1000 {
        let service = world.make_service(&format!("api-{number}"), &secrets[number % 200]);
        // 600 revisions: the services from 600 on share those of others.
        let shared = format!(
            "arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/api-{}:1",
            number % 600
        );
        world.services.get_mut(&service).unwrap().deployments[0].task_definition = shared;
    }
    let wire = Wire::new(world);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let (aws, config, sweep) = (
        wire.clients_with(1.0),
        config(&[]),
        json!({"action": "sweep"}),
    );
    let report = invoke(&aws, &wire, &config, &sweep).await;
    assert_eq!(
        (report.outcome, report.services.len()),
        (Outcome::NothingToDo, 1000)
    );
    let cold = wire.account().calls.len();
    assert!(cold <= 10 + 100 + 600 + 2 + 200, "{cold} calls");
    wire.account().calls.clear();
    invoke(&aws, &wire, &config, &sweep).await;
    assert!(wire.account().calls_of("DescribeTaskDefinition").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_the_history_of_deployments_is_no_obstacle() {
    let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    wire.account().fail_next(
        "ListServiceDeployments",
        &[Fault::Refused("UnknownOperationException"); 8],
    );
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[]),
        &json!({"action": "sweep"}),
    )
    .await;
    assert_eq!(actions(&report), [row("api", "redeployed", "stale")]);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_dated_is_not_hidden_by_what_was() {
    let (wire, _) = changed(|world, secret| {
        let other = world.make_secret("prod/mail");
        let secrets =
            json!([{"name": "A", "valueFrom": secret}, {"name": "B", "valueFrom": other}]);
        world.make_service_of(
            "api",
            json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]}),
        );
    })
    .await;
    let (aws, config, sweep) = (wire.clients(), config(&[]), json!({"action": "sweep"}));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(
        invoke(&aws, &wire, &config, &sweep).await.outcome,
        Outcome::Redeployed
    );
    tokio::time::sleep(Duration::from_mins(10)).await;
    wire.account().put_value("prod/mail");
    tokio::time::sleep(Duration::from_mins(10)).await;
    // One of the two secrets has an answer, by which the service is fresh.
    wire.account()
        .fail_next("DescribeSecret", &[Fault::Refused("AccessDeniedException")]);
    let report = invoke(&aws, &wire, &config, &sweep).await;
    let dated = report
        .rotations
        .iter()
        .any(|rotation| rotation.secret.contains("prod/mail"));
    let expected = if dated {
        row("api", "redeployed", "stale")
    } else {
        row("api", "skipped", "unknown")
    };
    assert_eq!(actions(&report), [expected], "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_name_is_not_taken_for_an_endpoint_without_a_memory() {
    let (wire, event) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let api = wire.account().services.keys().next().unwrap().clone();
    wire.account().roll_back(&api);
    for (times, expected) in [
        (3, row("api", "blocked", "rolled-back")),
        (20, row("api", "failed", "lookup-failed")),
    ] {
        wire.account().faults.clear();
        wire.account()
            .fail_next("ListServiceDeployments", &vec![Fault::NamelessError; times]);
        let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
        assert_eq!(actions(&report), [expected]);
    }
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_whose_rollout_was_rolled_back_meanwhile_is_no_reason_for_another() {
    let (wire, event) = changed(|world, secret| {
        let api = world.make_service("api", secret);
        world.broken.insert(api, Duration::from_secs(5));
        world.fail_next("UpdateService", &[Fault::Silence]);
    })
    .await;
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    assert_eq!(actions(&report), [row("api", "blocked", "rolled-back")]);
    assert_eq!(wire.account().redeploys.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_a_parameter_whose_only_slash_is_the_first() {
    let by_arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/Oncall");
    let (wire, _) = changed(|world, _| {
        world.make_service("by-arn", &by_arn);
        world.make_service("by-name", "/Oncall");
        world.make_service("other", "Other");
        world
            .parameters
            .insert("Other".to_owned(), "2026-01-01T00:00:00Z".parse().unwrap());
    })
    .await;
    wire.account().put_parameter("/Oncall");
    tokio::time::sleep(Duration::from_mins(10)).await;
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[]),
        &json!({"action": "sweep"}),
    )
    .await;
    let redeployed = |name| row(name, "redeployed", "stale");
    assert_eq!(
        actions(&report),
        [
            redeployed("by-arn"),
            redeployed("by-name"),
            row("other", "skipped", "already-fresh")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_sweep_right_after_a_change_says_what_it_cannot_know() {
    let (wire, _) = changed(|world, secret| drop(world.make_service("api", secret))).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    {
        let mut world = wire.account();
        let (api, service) = world.services.first_key_value().unwrap();
        let (api, definition) = (api.clone(), service.deployments[0].task_definition.clone());
        world.deploy(&api, &definition);
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    wire.account().describe("prod/db");
    wire.account()
        .fail_next("LookupEvents", &[Fault::Refused("AccessDeniedException")]);
    let report = invoke(
        &wire.clients(),
        &wire,
        &config(&[]),
        &json!({"action": "sweep"}),
    )
    .await;
    assert_eq!(actions(&report), [row("api", "skipped", "unknown")]);
}
