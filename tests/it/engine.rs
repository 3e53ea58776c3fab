//! The simulated AWS by itself: what AWS's documents say of rollouts, roll-backs and tasks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::simulation::account::FakeAws;
use crate::simulation::deployments::Breaker;
use crate::simulation::wire::Wire;

/// An account in which `api` of four tasks follows `prod/db`; a rollout takes 40 s.
fn account() -> (FakeAws, String) {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let api = account.make_service("api", &secret);
    account.scale(&api, 4);
    let service = account.services.get_mut(&api).unwrap();
    (service.takes, service.breaker) = (Duration::from_secs(40), Breaker::Rollback);
    (account, api)
}

async fn ask(wire: &Wire, operation: &str, body: Value) -> Value {
    wire.exchange(operation, &body).await.unwrap().1
}

async fn describe(wire: &Wire, api: &str) -> Value {
    ask(
        wire,
        "DescribeServices",
        json!({"cluster": "prod", "services": [api]}),
    )
    .await["services"][0]
        .clone()
}

fn event_names(wire: &Wire) -> Vec<String> {
    let events = std::mem::take(&mut wire.account().events);
    let names = events
        .iter()
        .filter_map(|(_, event)| event["detail"]["eventName"].as_str());
    names
        .filter_map(|name| name.strip_prefix("SERVICE_DEPLOYMENT_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_rollout_replaces_one_task_after_the_other() {
    let (account, api) = account();
    let wire = Wire::new(account);
    sleep(Duration::from_mins(1)).await;
    wire.account().put_value("prod/db");
    assert_eq!(wire.account().stale_tasks(&api).len(), 4);
    let body = json!({"cluster": "prod", "service": api, "forceNewDeployment": true});
    ask(&wire, "UpdateService", body).await;
    sleep(Duration::from_secs(21)).await;
    assert_eq!(wire.account().stale_tasks(&api).len(), 2);
    let service = describe(&wire, &api).await;
    let [new, old] = [&service["deployments"][0], &service["deployments"][1]];
    assert_eq!(
        (&new["status"], &new["rolloutState"]),
        (&json!("PRIMARY"), &json!("IN_PROGRESS"))
    );
    assert_eq!(
        (
            &new["runningCount"],
            &new["pendingCount"],
            &old["runningCount"]
        ),
        (&json!(2), &json!(1), &json!(2))
    );
    sleep(Duration::from_secs(21)).await;
    let service = describe(&wire, &api).await;
    assert_eq!(service["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(service["deployments"][0]["rolloutState"], "COMPLETED");
    assert!(!wire.account().is_stale(&api));
    assert_eq!(event_names(&wire), ["IN_PROGRESS", "COMPLETED"]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_revision_is_rolled_back_over_time() {
    let (mut account, api) = account();
    account.services.get_mut(&api).unwrap().stops_first = true;
    let first = account.services[&api].deployments[0].id.clone();
    let bad = account.make_revision(&api);
    account.bad_revisions.insert(bad.clone());
    let wire = Wire::new(account);
    sleep(Duration::from_mins(1)).await;
    wire.account().put_value("prod/db");
    let failed = wire.account().deploy(&api, &bad);
    sleep(Duration::from_secs(40)).await;
    let service = describe(&wire, &api).await;
    let [back, gone] = [&service["deployments"][0], &service["deployments"][1]];
    assert_eq!(
        (&back["id"], &back["rolloutState"]),
        (&json!(first), &json!("IN_PROGRESS"))
    );
    assert_eq!(
        (&gone["id"], &gone["rolloutState"], &gone["failedTasks"]),
        (&json!(failed), &json!("FAILED"), &json!(3))
    );
    let reason = gone["rolloutStateReason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("rolling back to deploymentId {first}")),
        "{reason}"
    );
    assert_eq!(event_names(&wire), ["IN_PROGRESS", "FAILED", "IN_PROGRESS"]);
    let list = json!({"cluster": "prod", "service": api});
    let listed = ask(&wire, "ListServiceDeployments", list.clone()).await;
    assert_eq!(
        listed["serviceDeployments"][0]["status"],
        "ROLLBACK_IN_PROGRESS"
    );
    let revision = &listed["serviceDeployments"][0]["targetServiceRevisionArn"];
    let revisions = ask(
        &wire,
        "DescribeServiceRevisions",
        json!({"serviceRevisionArns": [revision]}),
    )
    .await;
    assert_eq!(revisions["serviceRevisions"][0]["taskDefinition"], bad);
    sleep(Duration::from_secs(60)).await;
    // The task that was stopped for the bad revision was started again, with the present value.
    assert_eq!(wire.account().stale_tasks(&api).len(), 3);
    assert_eq!(event_names(&wire), ["COMPLETED"]);
    let listed = ask(&wire, "ListServiceDeployments", list).await;
    assert_eq!(
        listed["serviceDeployments"][0]["status"],
        "ROLLBACK_SUCCESSFUL"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_completed_deployment_nothing_is_rolled_back() {
    let (mut account, api) = account();
    let bad = [account.make_revision(&api), account.make_revision(&api)];
    account.bad_revisions.extend(bad.clone());
    let wire = Wire::new(account);
    sleep(Duration::from_mins(1)).await;
    wire.account().deploy(&api, &bad[0]);
    sleep(Duration::from_secs(40)).await;
    assert!(wire.account().services[&api].roll_back.is_some());
    wire.account().deploy(&api, &bad[1]);
    sleep(Duration::from_mins(10)).await;
    let service = describe(&wire, &api).await;
    assert_eq!(service["deployments"][0]["rolloutState"], "FAILED");
    assert_eq!(service["deployments"][0]["status"], "PRIMARY");
    assert!(wire.account().is_stuck(&api));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_only_stops_leaves_the_old_tasks() {
    for (breaker, state) in [(Breaker::Stop, "FAILED"), (Breaker::Off, "IN_PROGRESS")] {
        let (mut account, api) = account();
        account.services.get_mut(&api).unwrap().breaker = breaker;
        let wire = Wire::new(account);
        sleep(Duration::from_mins(1)).await;
        wire.account().put_wrong_value("prod/db");
        ask(
            &wire,
            "UpdateService",
            json!({"cluster": "prod", "service": api, "forceNewDeployment": true}),
        )
        .await;
        sleep(Duration::from_mins(5)).await;
        let service = describe(&wire, &api).await;
        assert_eq!(service["deployments"][0]["rolloutState"], state);
        assert_eq!(service["deployments"][1]["runningCount"], 4);
        assert_eq!(wire.account().stale_tasks(&api).len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_takes_the_place_of_another_belongs_to_the_same_deployment() {
    let (account, api) = account();
    let wire = Wire::new(account);
    sleep(Duration::from_mins(1)).await;
    wire.account().put_value("prod/db");
    wire.account().replace_task(&api, 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(wire.account().stale_tasks(&api).len(), 3);
    assert_eq!(
        describe(&wire, &api).await["deployments"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    wire.account().scale(&api, 0);
    sleep(Duration::from_secs(20)).await;
    wire.account().scale(&api, 2);
    sleep(Duration::from_secs(60)).await;
    assert!(!wire.account().is_stale(&api));
    let listed = ask(
        &wire,
        "ListTasks",
        json!({"cluster": "prod", "serviceName": "api"}),
    )
    .await;
    let tasks = ask(
        &wire,
        "DescribeTasks",
        json!({"cluster": "prod", "tasks": listed["taskArns"]}),
    )
    .await;
    let task = &tasks["tasks"][1];
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 2);
    assert!(
        task["createdAt"].as_f64() < task["startedAt"].as_f64(),
        "{task}"
    );
    assert_eq!(
        task["startedBy"],
        wire.account().services[&api].deployments[0].id
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_forced_is_refused_in_the_words_of_ecs() {
    let (mut account, api) = account();
    let revision = account.services[&api].deployments[0]
        .task_definition
        .clone();
    account.inactive.insert(revision.clone());
    let wire = Wire::new(account);
    let body = json!({"cluster": "prod", "service": api, "forceNewDeployment": true});
    let refused = wire.exchange("UpdateService", &body).await.unwrap();
    assert_eq!(
        (refused.0, &refused.1["message"]),
        (400, &json!("TaskDefinition is inactive"))
    );
    let described = ask(
        &wire,
        "DescribeTaskDefinition",
        json!({"taskDefinition": revision}),
    )
    .await;
    assert_eq!(described["taskDefinition"]["status"], "INACTIVE");
    wire.account().inactive.clear();
    // In each rollout one of the new tasks is protected, so that its deployment lives on.
    for _ in 0..4 {
        assert_eq!(wire.exchange("UpdateService", &body).await.unwrap().0, 200);
        sleep(Duration::from_secs(21)).await;
        let mut account = wire.account();
        let newest = account.services[&api].deployments[0].id.clone();
        let service = account.services.get_mut(&api).unwrap();
        service
            .running
            .iter_mut()
            .filter(|task| task.started_by == newest)
            .for_each(|task| task.protected = true);
        service.running[0].protected = true;
    }
    assert_eq!(wire.account().services[&api].deployments.len(), 5);
    let refused = wire.exchange("UpdateService", &body).await.unwrap().1;
    assert_eq!(refused["__type"], "InvalidParameterException");
    assert_eq!(
        refused["message"],
        "5 active deployments exist, unable to create new deployment."
    );
}
