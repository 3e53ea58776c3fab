//! One account on ministack, and every command on it, as a person would see them.

use std::time::Duration;

use aws_sdk_ecs::types::{
    ContainerDefinition, DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentController,
    DeploymentControllerType, Secret, Tag,
};
use insta::assert_snapshot;

use crate::emulator::{Account, Emulator, Program};
use crate::process::{Finished, run};

const BUSYBOX: &str = "public.ecr.aws/docker/library/busybox";

/// What differs from run to run; what stands for it is as wide.
const FILTERS: [(&str, &str); 7] = [
    (
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
        "[the time, in UTC..]",
    ),
    (r"secret:([a-z/]+)-[0-9a-zA-Z]{6}\b", "secret:$1-Ab12Cd"),
    (
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "[version]",
    ),
    (r"ecs-svc/[0-9a-f]+", "ecs-svc/[id]"),
    (r"\b(\d+ s +)(stale|unknown|unsupp)", "[age]  $2"),
    (r"\| \d+ s \|", "| [n] |"),
    (r#"("seconds": )\d+"#, "$1[n]"),
];

async fn make_service(
    account: &Account,
    name: &str,
    value_from: &str,
    image: &str,
    tasks: i32,
    kind: &str,
) {
    let secret = Secret::builder()
        .name("PASSWORD")
        .value_from(value_from)
        .build()
        .unwrap();
    let container = ContainerDefinition::builder()
        .name("app")
        .image(image)
        .memory(64)
        .secrets(secret)
        .build();
    account
        .ecs
        .register_task_definition()
        .family(name)
        .container_definitions(container)
        .send()
        .await
        .unwrap();
    let service = account
        .ecs
        .create_service()
        .cluster("prod")
        .service_name(name)
        .task_definition(name);
    let service = service.desired_count(tasks);
    let service = match kind {
        "ignore" => service.tags(
            Tag::builder()
                .key("redeploy-on-rotation")
                .value("ignore")
                .build(),
        ),
        "CODE_DEPLOY" => {
            let controller =
                DeploymentController::builder().r#type(DeploymentControllerType::CodeDeploy);
            service.deployment_controller(controller.build().unwrap())
        }
        "rollback" => {
            let breaker = DeploymentCircuitBreaker::builder()
                .enable(true)
                .rollback(true)
                .build();
            service.deployment_configuration(
                DeploymentConfiguration::builder()
                    .deployment_circuit_breaker(breaker)
                    .build(),
            )
        }
        _ => service,
    };
    service.send().await.unwrap();
}

async fn an_account(emulator: &Emulator) -> Account {
    let account = emulator.account().await;
    let db = account.make_secret("prod/db").await;
    let mail = account.make_secret("prod/mail").await;
    let pinned = account.version("prod/db", "AWSCURRENT").await;
    // The emulator's times have whole seconds.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    account.make_cluster("prod").await;
    let key = format!("{db}:password::");
    let digest = format!("{BUSYBOX}@sha256:{}", "a".repeat(64));
    make_service(&account, "api", &key, &digest, 2, "rollback").await;
    make_service(
        &account,
        "batch",
        &key,
        &format!("{BUSYBOX}:stable"),
        2,
        "ignore",
    )
    .await;
    make_service(&account, "idle", &key, &format!("{BUSYBOX}:stable"), 0, "").await;
    make_service(
        &account,
        "legacy",
        &format!("{db}:password::{pinned}"),
        &format!("{BUSYBOX}:stable"),
        2,
        "",
    )
    .await;
    make_service(&account, "web", &key, &format!("{BUSYBOX}:stable"), 2, "").await;
    make_service(
        &account,
        "worker",
        &mail,
        &format!("{BUSYBOX}:stable"),
        2,
        "",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    account
}

fn sample(name: &str) -> String {
    format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn every_command_on_one_account() {
    let mut settings = insta::Settings::clone_current();
    FILTERS
        .iter()
        .for_each(|(from, to)| settings.add_filter(from, *to));
    let _bound = settings.bind_to_scope();
    let emulator = Emulator::start(Program::Ministack).await;
    let account = an_account(&emulator).await;
    let run = |args: &[&str]| run(&emulator.endpoint, args);
    let text = |done: &Finished| done.text();

    // Before: nothing is stale.
    let fresh = run(&["audit"]);
    assert_snapshot!("audit_fresh", text(&fresh));
    assert_snapshot!("plan", text(&run(&["plan", "prod/db"])));
    assert_snapshot!(
        "plan_json",
        text(&run(&["plan", "prod/db", "--output", "json"]))
    );
    assert_snapshot!(
        "plan_of_an_event",
        text(&run(&["plan", "--event", &sample("secret-label-updated")]))
    );
    assert_snapshot!(
        "plan_of_an_ignored_event",
        text(&run(&["plan", "--event", &sample("rotation-failed")]))
    );
    assert_snapshot!(
        "redeploy_dry_run",
        text(&run(&["redeploy", "--service", "prod/worker", "--dry-run"]))
    );

    // The value changes: two services are stale.
    account.put_value("prod/db").await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let stale = run(&["audit"]);
    assert_eq!(stale.code, Some(2));
    assert_snapshot!("audit_stale", text(&stale));
    assert_snapshot!("audit_json", {
        let json = run(&["audit", "--output", "json"]);
        json.json();
        text(&json)
    });
    assert_snapshot!("graph_mermaid", text(&run(&["graph"])));
    assert_snapshot!(
        "graph_of_a_secret",
        text(&run(&["graph", "prod/mail", "--output", "mermaid"]))
    );
    assert_snapshot!("audit_markdown", text(&run(&["audit", "-o", "markdown"])));
    run(&["graph", "-o", "json"]).json();
    let before = account.deployments().await;

    // By hand, and followed.
    let done = run(&["redeploy", "--stale", "--wait", "--yes"]);
    assert_eq!(done.code, Some(0), "{}", text(&done));
    // How long each took stands at the end of its line.
    settings.add_filter(r"(stale +)\d+ +ecs", "$1[s]      ecs");
    settings.bind(|| assert_snapshot!("redeploy_stale", text(&done)));
    let after = account.deployments().await;
    let renewed: Vec<_> = after
        .keys()
        .filter(|name| before[*name] != after[*name])
        .collect();
    assert_eq!(renewed, ["api", "web"]);
    let fresh = run(&["audit"]);
    assert_eq!(fresh.code, Some(0));
    assert_snapshot!("audit_after", text(&fresh));
    let done = run(&["redeploy", "--stale", "--yes"]);
    assert_snapshot!("redeploy_nothing", text(&done));
    let done = run(&["redeploy", "prod/mail", "--yes", "--output", "json"]);
    done.json();
    assert_snapshot!("redeploy_json", text(&done));
}

#[test]
fn without_aws_a_plan_says_what_an_event_means() {
    let mut texts = Vec::new();
    let samples = [
        "secret-label-updated",
        "rotation-succeeded",
        "rotate-secret-by-name",
        "put-secret-value",
        "rotation-failed",
        "parameter-change-update",
        "deployment-failed",
        "scheduled-event",
        "request-redeploy",
        "sqs-batch",
    ];
    let offline = |name: &str, more: &[&str]| {
        let event = sample(name);
        let args = [&["plan", "--offline", "--event", &event], more].concat();
        crate::process::done(crate::process::bare(&args))
    };
    for name in samples {
        let done = offline(name, &[]);
        texts.push(format!("{name}\n{}", done.text()));
    }
    assert_snapshot!("offline", texts.join("\n\n"));
    let json = offline("secret-label-updated", &["-o", "json"]);
    json.json();
    assert_snapshot!("offline_json", json.text());
    offline("sqs-batch", &["-o", "json"]).json();
}
