//! The plan and the function agree: whatever the account looks like, what `plan` shows is what the function does.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use redeploy_core::config::Config;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::handle;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, skip};
use crate::process::{command, done};
use crate::simulation::account::FakeAws;

/// One service, in all that a decision may depend on.
#[derive(Clone, Debug)]
struct Case {
    /// What it reads: a JSON key, a partial ARN, a pinned version, another secret, another label, by Parameter Store.
    reads: usize,
    tasks: i32,
    active: bool,
    controller: &'static str,
    strategy: &'static str,
    tag: Option<&'static str>,
    /// Deployed since the change.
    deployed: bool,
    /// That deployment was rolled back.
    rolled_back: bool,
    rollout: &'static str,
}

fn cases() -> impl Strategy<Value = Vec<Case>> {
    let facts = (
        0..6_usize,
        0..3_i32,
        prop::bool::weighted(0.9),
        any::<bool>(),
        prop::bool::weighted(0.3),
    );
    let words = (
        prop::sample::select(vec!["ECS", "ECS", "ECS", "CODE_DEPLOY", "EXTERNAL"]),
        prop::sample::select(vec!["ROLLING", "ROLLING", "BLUE_GREEN", "CANARY"]),
        prop::sample::select(vec![None, None, Some("ignore"), Some("prod/mail")]),
        prop::sample::select(vec!["COMPLETED", "COMPLETED", "IN_PROGRESS", "FAILED"]),
    );
    let case = (facts, words).prop_map(|((reads, tasks, active, deployed, rolled_back), words)| {
        let (controller, strategy, tag, rollout) = words;
        Case {
            reads,
            tasks,
            active,
            controller,
            strategy,
            tag,
            deployed,
            rolled_back,
            rollout,
        }
    });
    prop::collection::vec(case, 1..8)
}

/// An account in which `prod/db` changed an hour ago, and the event of that.
fn world(cases: &[Case]) -> (FakeAws, Value) {
    let mut world = FakeAws::at(Timestamp::now() - SignedDuration::from_mins(181));
    world.quotas.unlimited = true;
    let (db, mail) = (world.make_secret("prod/db"), world.make_secret("prod/mail"));
    let pinned = world.version("prod/db", "AWSCURRENT");
    let reads = [
        format!("{db}:password::"),
        db[..db.len() - 7].to_owned(),
        format!("{db}:::{pinned}"),
        mail,
        format!("{db}::AWSPREVIOUS:"),
        "/aws/reference/secretsmanager/prod/db".to_owned(),
    ];
    let arns: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(n, case)| world.make_service(&format!("s{n}"), &reads[case.reads]))
        .collect();
    skip(&mut world, 7200);
    world.put_value("prod/db");
    let event = world.events.last().unwrap().1.clone();
    skip(&mut world, 3600);
    for (arn, case) in arns.iter().zip(cases) {
        if case.deployed {
            let definition = world.services[arn].deployments[0].task_definition.clone();
            world.deploy(arn, &definition);
            if case.rolled_back {
                world.roll_back(arn);
            }
        }
        if let Some(tag) = case.tag {
            world.tag(arn, tag);
        }
        world.scale(arn, case.tasks);
        let service = world.services.get_mut(arn).unwrap();
        (service.controller, service.strategy) = (case.controller, case.strategy);
        service.status = if case.active { "ACTIVE" } else { "DRAINING" };
        service.deployments[0].rollout = case.rollout;
    }
    skip(&mut world, 60);
    (world, event)
}

/// Action and reason by service; what was planned counts as done.
fn decisions(services: &Value) -> BTreeMap<String, (String, String)> {
    let text = |service: &Value, field: &str| service[field].as_str().unwrap().to_owned();
    let decision = |service: &Value| {
        let action = text(service, "action").replace("planned", "redeployed");
        (text(service, "service"), (action, text(service, "reason")))
    };
    services.as_array().unwrap().iter().map(decision).collect()
}

/// What the command line shows, and what the function does with the same account.
fn compare(
    cases: &[Case],
    lookup: &str,
    payload: impl Fn(Value) -> Value,
    args: impl Fn(&Value) -> Vec<String>,
) {
    let (account, event) = world(cases);
    let endpoint = Endpoint::start(account);
    let payload = payload(event);
    let args = [args(&payload), ["-o", "json"].map(str::to_owned).to_vec()].concat();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut command = command(&endpoint.url, &args);
    command.env("REDEPLOY_LOOKUP", lookup);
    let shown = done(command);
    assert_eq!(
        endpoint.wire.account().redeploys,
        [],
        "a plan writes nothing"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let function = runtime.block_on(async {
        let vars = [
            ("REDEPLOY_LOOKUP", lookup),
            ("REDEPLOY_SETTLE_SECONDS", "1"),
        ];
        let config =
            Config::from_vars(vars.map(|(name, value)| (name.to_owned(), value.to_owned())))
                .unwrap();
        let mut clock = Clock::new(Timestamp::now(), None);
        // A request means "now" as of when it was made, and need not settle any more.
        clock.requested_at -= SignedDuration::from_secs(20);
        handle(&endpoint.wire.clients_with(1e6), &config, &payload, &clock).await
    });
    let function = serde_json::to_value(&function).unwrap();
    assert_eq!(
        decisions(&shown.json()["services"]),
        decisions(&function["services"]),
        "{}",
        shown.err
    );
    let something = !endpoint.wire.account().redeploys.is_empty();
    assert_eq!(
        shown.code,
        Some(if something { 2 } else { 0 }),
        "{}",
        shown.text()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_an_event(cases in cases(), lookup in prop::sample::select(vec!["scan", "tags", "scan,tags"])) {
        let file = tempfile(&cases);
        compare(&cases, lookup, |event| event, |event| {
            std::fs::write(&file, event.to_string()).unwrap();
            vec!["plan".to_owned(), "--exit-code".to_owned(), "--event".to_owned(), file.clone()]
        });
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn of_a_secret(cases in cases()) {
        let request = |_| json!({"action": "redeploy", "secret": "prod/db"});
        compare(&cases, "scan", request, |_| ["plan", "prod/db", "--exit-code"].map(str::to_owned).to_vec());
    }

    #[test]
    fn of_a_sweep(cases in cases()) {
        let dry = |_| json!({"action": "sweep"});
        compare(&cases, "scan", dry, |_| ["redeploy", "--stale", "--dry-run", "--exit-code"].map(str::to_owned).to_vec());
    }
}

/// A name that no other test uses.
fn tempfile(cases: &[Case]) -> String {
    let name = format!("event-{}-{:p}.json", std::process::id(), cases);
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(name)
        .display()
        .to_string()
}
