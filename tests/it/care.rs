//! Care: who takes part, one first, a few at a time, never in a freeze, no other image.

use std::time::Duration;

use redeploy_core::report::Report;
use serde_json::json;
use tokio::time::sleep;

use crate::scene::{Lambda, config, invoke, said};
use crate::simulation::account::FakeAws;
use crate::simulation::deployments::Breaker;
use crate::simulation::wire::Wire;

/// How long a rollout takes.
const ROLLOUT: Duration = Duration::from_mins(1);

/// An account in which this many services follow `prod/db`, ten minutes old.
async fn account(services: usize) -> (Wire, Vec<String>) {
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let make = |number| {
        let arn = account.make_service(&format!("api-{number:02}"), &secret);
        let service = account.services.get_mut(&arn).unwrap();
        (service.takes, service.breaker) = (ROLLOUT, Breaker::Rollback);
        arn
    };
    let arns = (0..services).map(make).collect();
    sleep(Duration::from_mins(10)).await;
    (Wire::new(account), arns)
}

/// Lets the function work until nothing moves any more.
async fn play(lambda: &mut Lambda) {
    lambda.until(|| true).await;
}

/// How often each service got a deployment.
fn redeploys(wire: &Wire, arn: &str) -> usize {
    let account = wire.account();
    account.redeploys.iter().filter(|(_, of)| of == arn).count()
}

fn stale(wire: &Wire, arns: &[String]) -> usize {
    let account = wire.account();
    arns.iter().filter(|arn| account.is_stale(arn)).count()
}

fn reasons(report: &Report, arns: &[String]) -> Vec<String> {
    arns.iter().map(|arn| said(report, arn).1).collect()
}

#[tokio::test(start_paused = true)]
async fn s19_the_first_is_done_before_the_others_begin() {
    for cold in [0.0, 1.0] {
        let (wire, arns) = account(10).await;
        wire.account().tag(&arns[4], "First");
        let mut lambda = Lambda::new(wire.clone(), config(&[]));
        lambda.cold = cold;
        wire.account().put_value("prod/db");
        play(&mut lambda).await;
        let account = wire.account();
        assert_eq!(account.redeploys.len(), 10, "{:?}", account.redeploys);
        let (began, first) = &account.redeploys[0];
        assert_eq!(*first, arns[4]);
        for ((at, arn), others) in account.redeploys[1..].iter().zip(&account.others_then[1..]) {
            assert!(
                at.duration_since(*began).unsigned_abs() >= ROLLOUT,
                "{arn} at {at}"
            );
            assert!(!others.rolling.contains_key(&arns[4]));
        }
        drop(account);
        assert_eq!(stale(&wire, &arns), 0);
        let waiting = lambda.reports.iter().map(|report| reasons(report, &arns));
        assert!(
            waiting
                .flatten()
                .any(|reason| reason == "waiting-for-first")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn s19_a_first_that_is_rolled_back_halts_the_others_until_the_next_change() {
    let (wire, arns) = account(10).await;
    wire.account().tag(&arns[4], "first");
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    wire.account().put_wrong_value("prod/db");
    play(&mut lambda).await;
    assert_eq!(wire.account().redeploys.len(), 1);
    sleep(Duration::from_mins(20)).await;
    for lambda in [&lambda, &Lambda::new(wire.clone(), config(&[]))] {
        let sweep = lambda.sweep().await;
        let mut expected = vec!["halted"; 10];
        expected[4] = "rolled-back";
        assert_eq!(reasons(&sweep, &arns), expected);
        assert_eq!(said(&sweep, &arns[0]).0, "blocked");
        assert_eq!(sweep.failure, None);
        let text = sweep.notification().unwrap();
        assert!(text.contains("prod/api-04: blocked"), "{text}");
    }
    assert_eq!(wire.account().redeploys.len(), 1);
    wire.account().put_value("prod/db");
    play(&mut lambda).await;
    assert_eq!(wire.account().redeploys.len(), 11);
    assert_eq!(stale(&wire, &arns), 0);
}

#[tokio::test(start_paused = true)]
async fn a_person_goes_on_by_a_request_which_the_order_does_not_hold_back() {
    let (wire, arns) = account(4).await;
    wire.account().tag(&arns[0], "first");
    let mut lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_MAX_IN_FLIGHT", "1")]));
    wire.account().put_wrong_value("prod/db");
    play(&mut lambda).await;
    assert_eq!(wire.account().redeploys.len(), 1);
    wire.account().wrong_values.clear();
    let request = json!({"action": "redeploy", "secret": "prod/db"});
    let report = invoke(&wire.clients(), &wire, &lambda.config, &request).await;
    assert_eq!(report.failure, None, "{report:?}");
    assert_eq!(wire.account().redeploys.len(), 5);
    play(&mut lambda).await;
    assert_eq!(stale(&wire, &arns), 0);
}

#[tokio::test(start_paused = true)]
async fn s20_never_more_than_five_at_once_each_once_by_deployment_events_alone() {
    for cold in [0.0, 1.0] {
        let (wire, arns) = account(30).await;
        let mut lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_MAX_IN_FLIGHT", "5")]));
        lambda.cold = cold;
        wire.account().put_value("prod/db");
        play(&mut lambda).await;
        for arn in &arns {
            assert_eq!(redeploys(&wire, arn), 1, "{arn}");
        }
        let account = wire.account();
        let most = account
            .others_then
            .iter()
            .map(|others| others.rolling.len() + 1)
            .max();
        assert_eq!(most, Some(5));
        drop(account);
        assert_eq!(stale(&wire, &arns), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn s20_what_others_began_since_the_change_counts() {
    let (wire, arns) = account(6).await;
    let mut lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_MAX_IN_FLIGHT", "2")]));
    wire.account().put_value("prod/db");
    sleep(Duration::from_secs(3)).await;
    let revision = wire.account().services[&arns[5]].deployments[0]
        .task_definition
        .clone();
    wire.account().deploy(&arns[5], &revision);
    play(&mut lambda).await;
    assert_eq!(redeploys(&wire, &arns[5]), 0);
    assert_eq!(wire.account().redeploys.len(), 5);
    let account = wire.account();
    assert!(
        account
            .others_then
            .iter()
            .all(|others| others.rolling.len() < 2)
    );
    drop(account);
    assert_eq!(stale(&wire, &arns), 0);
}

#[tokio::test(start_paused = true)]
async fn s24_what_changed_before_is_left_alone_with_one_warning() {
    let (wire, arns) = account(20).await;
    wire.account().put_value("prod/db");
    wire.account().events.clear();
    sleep(Duration::from_mins(30)).await;
    let since = wire.account().now().to_string();
    let lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_SINCE", &since)]));
    let sweep = lambda.sweep().await;
    assert_eq!(reasons(&sweep, &arns), ["too-old"; 20]);
    let warnings: Vec<_> = sweep
        .warnings
        .iter()
        .filter(|warning| warning.contains("REDEPLOY_SINCE"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(": 20;") && warnings[0].contains("redeploy --stale"));
    assert_eq!((wire.account().redeploys.len(), sweep.failure), (0, None));
    wire.account().put_value("prod/db");
    let mut lambda = lambda;
    play(&mut lambda).await;
    assert_eq!(wire.account().redeploys.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn s25_only_what_is_opted_in_is_redeployed_and_the_rest_is_told() {
    let (wire, arns) = account(6).await;
    for (arn, tag) in arns
        .iter()
        .zip(["", "auto", "NOTIFY", "ignore", "first", "off"])
    {
        wire.account().tag(arn, tag);
    }
    let mut lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_DEFAULT", "ignore")]));
    wire.account().put_value("prod/db");
    play(&mut lambda).await;
    let report = &lambda.reports[0];
    let expected = [
        "not-opted-in",
        "waiting-for-first",
        "notify-only",
        "opted-out",
        "stale",
        "not-opted-in",
    ];
    assert_eq!(reasons(report, &arns), expected);
    let warns = |warning: &String| warning.contains("api-05") && warning.contains("\"off\"");
    assert!(report.warnings.iter().any(warns), "{:?}", report.warnings);
    let text = report.notification().unwrap();
    assert!(text.contains("api-02: left alone"), "{text}");
    let times: Vec<_> = arns.iter().map(|arn| redeploys(&wire, arn)).collect();
    assert_eq!(times, [0, 1, 0, 0, 1, 0]);
    let notify = config(&[("REDEPLOY_DEFAULT", "notify")]);
    wire.account().put_value("prod/db");
    let mut lambda = Lambda::new(wire.clone(), notify);
    play(&mut lambda).await;
    let times: Vec<_> = arns.iter().map(|arn| redeploys(&wire, arn)).collect();
    assert_eq!(times, [0, 2, 0, 0, 1, 0], "the tag before the default");
}

#[tokio::test(start_paused = true)]
async fn s25_a_secret_that_is_tagged_ignore_or_left_out_redeploys_nothing() {
    let (wire, arns) = account(2).await;
    let secret = wire.account().secrets["prod/db"].arn.clone();
    let tags = json!({"Tags": [{"Key": "redeploy-on-rotation", "Value": "ignore"}]});
    wire.account().details.insert(secret.clone(), tags);
    let mut lambda = Lambda::new(wire.clone(), config(&[]));
    wire.account().put_value("prod/db");
    play(&mut lambda).await;
    assert_eq!(reasons(&lambda.reports[0], &arns), ["secret-ignored"; 2]);
    let sweep = lambda.sweep().await;
    assert_eq!(reasons(&sweep, &arns), ["secret-ignored"; 2]);
    wire.account().details.clear();
    let left_out = config(&[("REDEPLOY_SECRETS", "prod/*,!prod/d*")]);
    let mut lambda = Lambda::new(wire.clone(), left_out);
    wire.account().put_value("prod/db");
    play(&mut lambda).await;
    let reason = &lambda.reports[0].reason;
    assert!(reason.contains("REDEPLOY_SECRETS leaves"), "{reason}");
    lambda.sweep().await;
    assert_eq!(wire.account().redeploys.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn s26_a_closed_calendar_holds_until_it_opens_and_lets_the_urgent_through() {
    let (wire, arns) = account(2).await;
    let (from, to) = {
        let account = wire.account();
        let now = account.now();
        (now, now.saturating_add(Duration::from_mins(60)).unwrap())
    };
    let mail = wire.account().make_secret("prod/mail");
    let urgent = wire.account().make_service("urgent", &mail);
    let managed_secret = wire.account().make_secret("rds!db");
    let managed = wire.account().make_service("managed", &managed_secret);
    let tags = json!({"Tags": [{"Key": "redeploy-on-rotation", "Value": "urgent"}]});
    wire.account().details.insert(mail, tags);
    wire.account()
        .calendars
        .insert("holidays".to_owned(), vec![(from, to)]);
    wire.account()
        .calendars
        .insert("weekdays".to_owned(), Vec::new());
    sleep(Duration::from_mins(15)).await;
    let calendars = [("REDEPLOY_CALENDARS", "weekdays,holidays")];
    let mut lambda = Lambda::new(wire.clone(), config(&calendars));
    for secret in ["prod/db", "prod/mail", "rds!db"] {
        wire.account().put_value(secret);
    }
    play(&mut lambda).await;
    let reports = serde_json::to_value(&lambda.reports).unwrap().to_string();
    assert!(reports.contains("change-freeze"), "{reports}");
    let until = jiff::Timestamp::from_second(to.as_second()).unwrap();
    assert!(
        reports.contains(&format!("\"until\":\"{until}\"")),
        "{reports}"
    );
    let counts =
        |wire: &Wire| [&arns[0], &arns[1], &urgent, &managed].map(|arn| redeploys(wire, arn));
    assert_eq!(counts(&wire), [0, 0, 1, 1]);
    let frozen = lambda.sweep().await;
    assert_eq!(reasons(&frozen, &arns), ["change-freeze"; 2]);
    assert_eq!(counts(&wire), [0, 0, 1, 1]);
    sleep(Duration::from_mins(61)).await;
    wire.account().calendar_event("holidays", "OPEN");
    play(&mut lambda).await;
    assert_eq!(counts(&wire), [1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn s26_a_person_is_held_by_a_freeze_unless_they_say_otherwise() {
    let (wire, arns) = account(1).await;
    let now = wire.account().now();
    let closed = (now, now.saturating_add(Duration::from_mins(60)).unwrap());
    wire.account()
        .calendars
        .insert("holidays".to_owned(), vec![closed]);
    let config = config(&[("REDEPLOY_CALENDARS", "holidays")]);
    let request =
        |ignore: bool| json!({"action": "redeploy", "secret": "prod/db", "ignoreFreeze": ignore});
    let aws = wire.clients();
    let held = invoke(&aws, &wire, &config, &request(false)).await;
    assert_eq!(
        said(&held, &arns[0]),
        ("waiting".to_owned(), "change-freeze".to_owned())
    );
    let done = invoke(&aws, &wire, &config, &request(true)).await;
    assert_eq!(said(&done, &arns[0]).0, "redeployed");
    assert_eq!(wire.account().calls_of("GetCalendarState").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s26_a_calendar_that_cannot_be_read_holds_everything_and_fails() {
    let (wire, arns) = account(2).await;
    let lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_CALENDARS", "no-such")]));
    wire.account().put_value("prod/db");
    sleep(Duration::from_secs(30)).await;
    let report = lambda.sweep().await;
    assert!(report.failure.is_some());
    assert_eq!(reasons(&report, &arns), ["lookup-failed"; 2]);
    let failed = serde_json::to_value(&report).unwrap().to_string();
    assert!(failed.contains("ssm:GetCalendarState"), "{failed}");
    assert_eq!(wire.account().redeploys.len(), 0);
}

/// A service on an image by tag, and the image.
fn make_pictured(account: &mut FakeAws, name: &str) -> (String, String) {
    let secret = account.secrets["prod/db"].arn.clone();
    let image = FakeAws::image("shop/api", name);
    account
        .images
        .insert(image.clone(), format!("sha256:{name}"));
    let container = json!({
        "name": "app", "image": image, "secrets": [{"name": "S", "valueFrom": secret}],
    });
    let arn = account.make_service_of(name, json!({"containerDefinitions": [container]}));
    account.services.get_mut(&arn).unwrap().takes = ROLLOUT;
    (arn, image)
}

#[tokio::test(start_paused = true)]
async fn s28_a_tag_that_moved_is_redeployed_warned_of_or_blocked() {
    for (guard, action, reason) in [
        ("off", "redeployed", "stale"),
        ("warn", "redeployed", "stale"),
        ("block", "blocked", "image-moved"),
    ] {
        let (wire, _) = account(0).await;
        let (api, image) = make_pictured(&mut wire.account(), "moved");
        let (same, _) = make_pictured(&mut wire.account(), "same");
        let (gone, other) = make_pictured(&mut wire.account(), "gone");
        sleep(Duration::from_mins(10)).await;
        wire.account()
            .images
            .insert(image.clone(), "sha256:new".to_owned());
        wire.account().images.remove(&other);
        let settings = [("REDEPLOY_IMAGE_GUARD", guard)];
        let mut lambda = Lambda::new(wire.clone(), config(&settings));
        wire.account().put_value("prod/db");
        play(&mut lambda).await;
        let report = &lambda.reports[0];
        assert_eq!(
            said(report, &api),
            (action.to_owned(), reason.to_owned()),
            "{guard}"
        );
        assert_eq!(said(report, &same).0, "redeployed", "{guard}");
        let expected = if guard == "block" {
            "image-gone"
        } else {
            "stale"
        };
        assert_eq!(said(report, &gone).1, expected, "{guard}");
        let warned = |name: &str| {
            let is_it = |warning: &&String| warning.contains(name);
            report.warnings.iter().filter(is_it).count()
        };
        let times = usize::from(guard == "warn");
        assert_eq!((warned(&image), warned(&other)), (times, times), "{guard}");
        let asked = wire.account().calls_of("DescribeImages").len();
        assert_eq!(asked > 0, guard != "off", "{guard}");
    }
}

#[tokio::test(start_paused = true)]
async fn s28_what_may_not_be_read_of_the_registry_fails_only_where_it_blocks() {
    for (guard, action) in [("warn", "redeployed"), ("block", "failed")] {
        let (wire, _) = account(0).await;
        let (api, _) = make_pictured(&mut wire.account(), "api");
        sleep(Duration::from_mins(10)).await;
        wire.account().readable_images = false;
        let lambda = Lambda::new(wire.clone(), config(&[("REDEPLOY_IMAGE_GUARD", guard)]));
        wire.account().put_value("prod/db");
        sleep(Duration::from_secs(30)).await;
        let report = lambda.sweep().await;
        assert_eq!(said(&report, &api).0, action, "{guard}");
        let text = serde_json::to_value(&report).unwrap().to_string();
        assert!(text.contains("ecr:DescribeImages"), "{text}");
    }
}
