//! Careful rollouts by the real process. Emulators have neither change calendars nor the digests of
//! images, so for these rows the simulated AWS serves instead.

use serde_json::{Value, json};

use crate::emulator::{Account, Emulator, Program};
use crate::function::Function;
use crate::simulation::account::FakeAws;
use crate::simulation::wire::Wire;
use crate::{SETTLE, between, container, label_updated, let_the_clock_move_on, reasons, sample};

/// Services that follow `prod/db`, by name and tag, and the ARN of the secret.
async fn services(account: &Account, tags: &[(&str, &str)]) -> String {
    let db = account.make_secret("prod/db").await;
    account.make_cluster("prod").await;
    for (name, tag) in tags {
        let tag = Some(*tag).filter(|tag| !tag.is_empty());
        account.make_service(name, container(&db), 1, tag).await;
    }
    let_the_clock_move_on().await;
    db
}

/// The end of a deployment of a service, as ECS tells of it.
fn completed(account: &str, service: &str) -> Value {
    let mut event = sample("deployment-completed");
    event["account"] = json!(account);
    event["region"] = json!("eu-west-1");
    event["resources"][0] = json!(format!(
        "arn:aws:ecs:eu-west-1:{account}:service/prod/{service}"
    ));
    event
}

/// Whose PRIMARY deployment is another one than before.
async fn changed(
    account: &Account,
    before: &std::collections::BTreeMap<String, String>,
) -> Vec<String> {
    let after = account.deployments().await;
    let changed = after.into_iter().filter(|(name, id)| before[name] != *id);
    changed.map(|(name, _)| name).collect()
}

#[tokio::test]
async fn s19_s25_the_first_goes_before_the_others_and_only_those_that_take_part() {
    let emulator = Emulator::start(Program::Ministack).await;
    let account = emulator.account().await;
    let tags = [
        ("a", "auto"),
        ("b", "First"),
        ("c", "NOTIFY"),
        ("d", "ignore"),
        ("e", "off"),
    ];
    let db = services(&account, &tags).await;
    let before = account.deployments().await;
    let settings = [SETTLE, ("REDEPLOY_DEFAULT", "ignore")];
    let mut function = Function::start(&emulator, &settings).await;
    account.put_value("prod/db").await;
    let report = function
        .invoke(&label_updated(&db, "prod/db"))
        .await
        .report();
    let mut said = reasons(&report);
    said.sort();
    let expected = [
        ("a", "waiting-for-first"),
        ("b", "stale"),
        ("c", "notify-only"),
        ("d", "opted-out"),
        ("e", "not-opted-in"),
    ];
    assert_eq!(
        said,
        expected.map(|(name, reason)| (name.to_owned(), reason.to_owned()))
    );
    assert!(
        report["notification"]
            .as_str()
            .unwrap()
            .contains("prod/b: redeployed")
    );
    assert!(
        report["warnings"][0].as_str().unwrap().contains("\"off\""),
        "{report}"
    );
    assert_eq!(function.lines().last().unwrap()["Waiting"], 1);
    assert_eq!(changed(&account, &before).await, ["b"]);
    let number = db.split(':').nth(4).unwrap();
    function.invoke(&completed(number, "b")).await.report();
    assert_eq!(changed(&account, &before).await, ["a", "b"]);
}

#[tokio::test]
async fn s24_what_changed_before_is_left_alone() {
    let emulator = Emulator::start(Program::Ministack).await;
    let account = emulator.account().await;
    services(&account, &[("a", ""), ("b", "")]).await;
    let before = account.deployments().await;
    account.put_value("prod/db").await;
    let_the_clock_move_on().await;
    let since = jiff::Timestamp::now().to_string();
    let settings = [SETTLE, ("REDEPLOY_SINCE", since.as_str())];
    let mut function = Function::start(&emulator, &settings).await;
    let report = function.invoke(&json!({"action": "sweep"})).await.report();
    assert!(
        reasons(&report)
            .iter()
            .all(|(_, reason)| reason == "too-old"),
        "{report}"
    );
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(changed(&account, &before).await, Vec::<String>::new());
}

#[tokio::test]
async fn s26_a_closed_calendar_holds_what_is_stale_until_it_opens() {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    let secret = world.make_secret("prod/db");
    world.make_service("api", &secret);
    let closed = (
        world.now(),
        world.now() + jiff::SignedDuration::from_secs(10),
    );
    world.calendars.insert("holidays".to_owned(), vec![closed]);
    let wire = Wire::new(world);
    let endpoint = between::serve(wire.clone()).await;
    let settings = [
        ("REDEPLOY_SETTLE_SECONDS", "1"),
        ("REDEPLOY_CALENDARS", "holidays"),
    ];
    let mut function = Function::start_at(&endpoint, &settings).await;
    let_the_clock_move_on().await;
    wire.account().put_value("prod/db");
    let report = function
        .invoke(&label_updated(&secret, "prod/db"))
        .await
        .report();
    let service = &report["services"][0];
    assert_eq!(
        (&service["action"], &service["reason"]),
        (&json!("waiting"), &json!("change-freeze"))
    );
    assert!(service["until"].is_string(), "{report}");
    assert_eq!(report["outcome"], "nothing-to-do");
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    let opened = sample("calendar-opened");
    let report = function.invoke(&opened).await.report();
    assert_eq!(report["outcome"], "redeployed", "{report}");
}

#[tokio::test]
async fn s28_an_image_whose_tag_moved_blocks_and_one_that_may_not_be_read_fails() {
    let mut world = FakeAws::at(jiff::Timestamp::now());
    let secret = world.make_secret("prod/db");
    let image = FakeAws::image("shop/api", "stable");
    world.images.insert(image.clone(), "sha256:a".to_owned());
    let container = json!({
        "name": "app", "image": image, "secrets": [{"name": "S", "valueFrom": secret}],
    });
    world.make_service_of("api", json!({"containerDefinitions": [container]}));
    world.images.insert(image.clone(), "sha256:b".to_owned());
    let wire = Wire::new(world);
    let endpoint = between::serve(wire.clone()).await;
    let settings = [
        ("REDEPLOY_SETTLE_SECONDS", "1"),
        ("REDEPLOY_IMAGE_GUARD", "block"),
    ];
    let mut function = Function::start_at(&endpoint, &settings).await;
    let_the_clock_move_on().await;
    wire.account().put_value("prod/db");
    let event = label_updated(&secret, "prod/db");
    let report = function.invoke(&event).await.report();
    assert_eq!(report["services"][0]["reason"], "image-moved", "{report}");
    assert!(
        report["services"][0]["error"]
            .as_str()
            .unwrap()
            .contains(&image)
    );
    wire.account().readable_images = false;
    let (kind, message) = function.invoke(&event).await.error();
    assert_eq!(kind, "PartialFailure");
    assert!(message.contains("ecr:DescribeImages"), "{message}");
}
