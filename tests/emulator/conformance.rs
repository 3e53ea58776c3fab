//! The conformance table on an emulator: the rows that it can play, each by the real process, from each family of events
//! alone and from all of them, once and twice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::emulator::{Account, Emulator, Program};
use crate::function::{Answer, Function};
use crate::rows::{ROWS, Row, Step};
use crate::{SETTLE, container, let_the_clock_move_on, sample};

/// A gap of a story that is at least this long lets the events of what was before arrive.
const LONG: u64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Native,
    CloudTrail,
}

#[derive(Clone, Copy, Debug)]
struct Delivery {
    name: &'static str,
    families: &'static [Family],
    times: usize,
}

const DELIVERIES: [Delivery; 4] = [
    Delivery {
        name: "native",
        families: &[Family::Native],
        times: 1,
    },
    Delivery {
        name: "cloudtrail",
        families: &[Family::CloudTrail],
        times: 1,
    },
    Delivery {
        name: "all",
        families: &[Family::Native, Family::CloudTrail],
        times: 1,
    },
    Delivery {
        name: "twice",
        families: &[Family::Native, Family::CloudTrail],
        times: 2,
    },
];

#[tokio::test]
async fn every_row_that_an_emulator_can_play_holds() {
    let emulator = Emulator::start(Program::Ministack).await;
    let mut cases = tokio::task::JoinSet::new();
    let shared = std::sync::Arc::new(emulator);
    for row in ROWS.iter().filter(|row| row.on_emulator) {
        let only_requested = row
            .story
            .iter()
            .any(|(_, step)| *step == Step::LoseAllButRotateSecret);
        for delivery in DELIVERIES {
            if !only_requested || delivery.families.contains(&Family::CloudTrail) {
                let emulator = shared.clone();
                cases.spawn(
                    async move { Case::new(&emulator, row, delivery).await.check(row).await },
                );
            }
        }
    }
    assert!(cases.len() > 40);
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

/// One row in one way of delivery: a cluster, a secret, a service and a function of its own.
struct Case {
    name: String,
    cluster: String,
    account: Account,
    function: Function,
    delivery: Delivery,
    /// Name and ARN of the secret, and of another.
    secret: (String, String),
    other: (String, String),
    /// The version of the rotation that is under way.
    pending: String,
    /// Events on their way.
    events: Vec<(Option<Family>, Value)>,
    /// How often the function changed the service's PRIMARY deployment.
    redeploys: usize,
}

impl Case {
    async fn new(emulator: &Emulator, row: &Row, delivery: Delivery) -> Self {
        let account = emulator.account().await;
        let cluster = format!("{}-{}", row.id, delivery.name);
        account.make_cluster(&cluster).await;
        let (secret, other) = (format!("{cluster}/db"), format!("{cluster}/mail"));
        let secret = (secret.clone(), account.make_secret(&secret).await);
        let other = (other.clone(), account.make_secret(&other).await);
        account
            .make_service_in(
                &cluster,
                "api",
                container(&format!("{}:password::", secret.1)),
                1,
                None,
            )
            .await;
        let function = Function::start(emulator, &[SETTLE, ("REDEPLOY_CLUSTERS", &cluster)]).await;
        let name = format!("{} ({}), {}", row.id, row.says, delivery.name);
        let (pending, events) = (String::new(), Vec::new());
        Self {
            name,
            cluster,
            account,
            function,
            delivery,
            secret,
            other,
            pending,
            events,
            redeploys: 0,
        }
    }

    async fn check(mut self, row: &Row) {
        assert!(
            row.services == 1 && row.ends.is_none(),
            "{}: its redeploys alone say so",
            self.name
        );
        for (seconds, step) in row.story {
            if *seconds >= LONG {
                self.deliver().await;
            }
            if *seconds > 0 {
                let_the_clock_move_on().await;
            }
            self.happen(*step).await;
        }
        self.deliver().await;
        assert_eq!(self.redeploys, row.redeploys, "{}", self.name);
    }

    /// Hands over the events that are on their way, and those that fail again, once more.
    async fn deliver(&mut self) {
        for (family, event) in std::mem::take(&mut self.events) {
            if family.is_some_and(|family| !self.delivery.families.contains(&family)) {
                continue;
            }
            for _ in 0..self.delivery.times {
                let before = self.account.primary(&self.cluster, "api").await;
                if let Answer::Error(kind, message) = self.function.invoke(&event).await {
                    assert_eq!(kind, "RotationPending", "{}: {message}", self.name);
                }
                if self.account.primary(&self.cluster, "api").await != before {
                    self.redeploys += 1;
                }
            }
        }
    }

    async fn happen(&mut self, step: Step) {
        let (name, arn) = self.secret.clone();
        match step {
            Step::RequestRotation => {
                self.pending = format!("{:08x}-0000-4000-8000-000000000000", fastrand::u32(..));
                let event = self.call(
                    "rotate-secret-by-name",
                    json!({"clientRequestToken": self.pending}),
                );
                self.events.push((Some(Family::CloudTrail), event));
            }
            Step::BeginRotation => {
                self.pending = format!("{:08x}-0000-4000-8000-000000000000", fastrand::u32(..))
            }
            Step::StorePending => self.account.put_pending_as(&name, &self.pending).await,
            Step::FinishRotation => {
                let pending = self.pending.clone();
                self.move_to(&pending).await;
                let mut event = sample("rotation-succeeded");
                event["detail"]["eventTime"] = now();
                event["detail"]["additionalEventData"]["SecretId"] = json!(arn);
                self.events.push((Some(Family::CloudTrail), event));
            }
            Step::FailRotation => self
                .events
                .push((Some(Family::CloudTrail), sample("rotation-failed"))),
            Step::PutValue => {
                self.account.put_value(&name).await;
                let event = self.call("put-secret-value-by-name", json!({}));
                self.events.push((Some(Family::CloudTrail), event));
                self.label_moved(&self.secret.clone());
            }
            Step::PutValueOfAnother => {
                let other = self.other.clone();
                self.account.put_value(&other.0).await;
                self.label_moved(&other);
            }
            Step::MoveBack => {
                let before = self.account.version(&name, "AWSPREVIOUS").await;
                self.move_to(&before).await;
            }
            Step::Describe => {
                self.account.describe_secret_anew(&name).await;
                let event = self.call("update-secret-description-only", json!({}));
                self.events.push((Some(Family::CloudTrail), event));
            }
            Step::ScaleToZero => self.account.scale_to_zero(&self.cluster, "api").await,
            Step::Deploy => self.account.deploy(&self.cluster, "api").await,
            Step::LoseAllButRotateSecret => {
                self.events
                    .retain(|(_, event)| event["detail"]["eventName"] == "RotateSecret");
            }
            Step::LoseEvents => self.events.clear(),
            Step::Sweep => self.events.push((None, json!({"action": "sweep"}))),
            Step::ScaleBack
            | Step::ReplaceTasks
            | Step::RollBack
            | Step::Throttle(_)
            | Step::Fail(_)
            | Step::LoseAnswer
            | Step::Kill(_) => {
                panic!("{}: no emulator can do {step:?}", self.name);
            }
        }
        // Nothing is reported before it has happened, to the second.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    async fn move_to(&mut self, version: &str) {
        let from = self.account.promote(&self.secret.0, version).await;
        let mut event = self.call("update-secret-version-stage", json!({}));
        event["detail"]["requestParameters"]["moveToVersionId"] = json!(version);
        event["detail"]["requestParameters"]["removeFromVersionId"] = json!(from);
        self.events.push((Some(Family::CloudTrail), event));
        self.label_moved(&self.secret.clone());
    }

    /// CloudTrail's event of a call, in which the secret is named as the caller typed it.
    fn call(&self, sample_name: &str, request: Value) -> Value {
        let mut event = sample(sample_name);
        event["detail"]["eventTime"] = now();
        event["detail"]["responseElements"] = json!({"arn": self.secret.1, "name": self.secret.0});
        event["detail"]["requestParameters"]["secretId"] = json!(self.secret.0);
        let parameters = event["detail"]["requestParameters"]
            .as_object_mut()
            .unwrap();
        parameters.extend(request.as_object().unwrap().clone());
        event
    }

    fn label_moved(&mut self, (name, arn): &(String, String)) {
        let mut event = sample("secret-label-updated");
        event["time"] = now();
        event["resources"] = json!([arn]);
        event["detail"]["name"] = json!(name);
        self.events.push((Some(Family::Native), event));
    }
}

/// The time as AWS writes it into events: cut to the second.
fn now() -> Value {
    json!(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap())
}
