//! The state of the simulated account.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::deployments::Service;
use super::identity::Identity;
use super::quota::Quotas;
use super::secrets::Secret;
pub(crate) use super::tasks::LooseTask;

pub(crate) use super::events::Family;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";
/// The cluster that services are made in.
pub(crate) const CLUSTER: &str = "arn:aws:ecs:eu-west-1:123456789012:cluster/prod";

/// An account in one Region.
#[derive(Debug)]
pub(crate) struct FakeAws {
    pub(crate) began_at: Timestamp,
    pub(super) began: Instant,
    /// The time of what is caught up on.
    pub(super) catching_up: Option<Timestamp>,
    /// By name.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// By ARN.
    pub(crate) services: BTreeMap<String, Service>,
    /// The ARN of each service, by its number.
    pub(super) numbers: Vec<String>,
    /// When something is due at a service: time and number.
    pub(super) agenda: BTreeSet<(Timestamp, usize)>,
    /// Running tasks that no service keeps, by ARN.
    pub(crate) tasks: BTreeMap<String, LooseTask>,
    /// Stopped tasks as ECS describes them, by ARN.
    pub(crate) stopped: BTreeMap<String, Value>,
    /// What is said about a service or secret apart from what changes it, by ARN, and about a
    /// parameter, by name.
    pub(crate) details: BTreeMap<String, Value>,
    /// The roles.
    pub(crate) identity: Identity,
    /// Container definitions and volumes, by ARN.
    pub(crate) task_definitions: BTreeMap<String, Value>,
    /// The revisions that were deregistered.
    pub(crate) inactive: BTreeSet<String>,
    /// The revisions whose tasks never become healthy.
    pub(crate) bad_revisions: BTreeSet<String>,
    /// The values with which no task becomes healthy.
    pub(crate) wrong_values: BTreeSet<u64>,
    /// Clusters that `ListClusters` names, by ARN; one may be gone by the time it is read.
    pub(crate) clusters: Vec<String>,
    /// What happens to the next calls of an operation.
    pub(crate) faults: BTreeMap<&'static str, VecDeque<Fault>>,
    /// How often any call goes wrong, 0 to 1, and what decides when.
    pub(crate) trouble: f64,
    pub(crate) dice: fastrand::Rng,
    pub(crate) quotas: Quotas,
    /// How long a call takes.
    pub(crate) latency: Duration,
    /// How old a description of a service is.
    pub(crate) read_lag: Duration,
    /// How old a description of a secret is, and what a task reads of it.
    pub(crate) secret_lag: Duration,
    /// How long it takes until a replica has what its primary has.
    pub(crate) replica_lag: Duration,
    /// When the replica of a secret gets what its primary has: time and name.
    pub(super) replications: Vec<(Timestamp, String)>,
    /// How long it takes until CloudTrail's event history shows an event.
    pub(crate) trail_lag: Duration,
    /// After how many forced deployments the function is killed.
    pub(crate) kill_after: Option<usize>,
    /// When AWSCURRENT of any secret moved.
    pub(crate) moves: Vec<Timestamp>,
    /// How many elements a page has at most.
    pub(crate) page_size: usize,
    /// The services that may not be updated, and those of which an update was denied.
    pub(crate) forbidden: BTreeSet<String>,
    pub(crate) denied: Vec<String>,
    /// The services whose capacity provider was removed, so that no deployment of them can begin.
    pub(crate) without_capacity: BTreeSet<String>,
    /// The services that may not be described.
    pub(crate) hidden: BTreeSet<String>,
    /// The services whose forced deployments fail and are rolled back, after so long.
    pub(crate) broken: BTreeMap<String, Duration>,
    /// Every call that arrived: operation and body.
    pub(crate) calls: Vec<(String, Value)>,
    /// How many calls went wrong that need not have.
    pub(crate) faulted: usize,
    /// Every deployment that `UpdateService` started: when, and of which service.
    pub(crate) redeploys: Vec<(Timestamp, String)>,
    /// When the oldest and the newest task of the service had been created then.
    pub(crate) tasks_then: Vec<Option<(Timestamp, Timestamp)>>,
    /// The deployments that `UpdateService` ended before they were done.
    pub(crate) cut_off: Vec<CutOff>,
    /// As of when a service was last described to the function, by its ARN.
    pub(crate) shown: BTreeMap<String, Timestamp>,
    /// What CloudTrail keeps, whether or not its events arrive.
    pub(crate) trail: Vec<Recorded>,
    /// When parameters changed, by name.
    pub(crate) parameters: BTreeMap<String, Timestamp>,
    /// When change calendars are closed, by name.
    pub(crate) calendars: BTreeMap<String, Vec<(Timestamp, Timestamp)>>,
    /// The digests in the registry, by image with its tag, and whether they may be read.
    pub(crate) images: BTreeMap<String, String>,
    pub(crate) readable_images: bool,
    /// What the others were like at each deployment that `UpdateService` started.
    pub(crate) others_then: Vec<Others>,
    /// The events that the changes caused, with the trigger family of each.
    pub(crate) events: Vec<(Family, Value)>,
    pub(super) next_id: u64,
}

/// What the services were like at a moment, by ARN: in what is said of deployments, the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    /// In the middle of a deployment of this time.
    pub(crate) rolling: BTreeMap<String, Timestamp>,
    /// With a task that had read an older value of these, by their places in its container.
    pub(crate) stale: BTreeMap<String, BTreeSet<usize>>,
    /// Without tasks, and not to have any.
    pub(crate) idle: BTreeSet<String>,
    /// Back from a deployment of this time that failed later, of the revision that it runs.
    pub(crate) failed: BTreeMap<String, (Timestamp, Timestamp)>,
}

/// An event that CloudTrail keeps.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) at: Timestamp,
    pub(crate) name: String,
    /// The ARN and the name of the secret, for the events of API calls.
    pub(crate) resources: Vec<String>,
    pub(crate) detail: Value,
}

/// A deployment that was under way when `UpdateService` began another.
#[derive(Clone, Debug)]
pub(crate) struct CutOff {
    pub(crate) at: Timestamp,
    pub(crate) service: String,
    pub(crate) deployment: String,
    pub(crate) age: Duration,
    /// Whether `UpdateService` had begun it, too.
    pub(crate) was_ours: bool,
    /// Whether it was there when the service was last described.
    pub(crate) was_shown: bool,
    pub(crate) was_staged: bool,
    /// Whether its tasks failed, and those of its revision in another live deployment did not.
    pub(crate) held_a_wrong_value: bool,
    /// Whether ECS was rolling back, and the description showed that.
    pub(crate) was_roll_back: bool,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 400 `ThrottlingException`.
    Throttled,
    /// 500 before anything happened.
    ServerError,
    /// 500 without a name, before anything happened.
    NamelessError,
    /// It takes effect; the answer is lost.
    AnswerLost,
    /// It takes effect; no answer ever comes.
    Silence,
    /// 400 with this code.
    Refused(&'static str),
}

impl FakeAws {
    pub(crate) fn new() -> Self {
        Self::at("2026-11-23T00:00:00.250Z".parse().unwrap())
    }

    /// An account in which it is this time.
    pub(crate) fn at(began_at: Timestamp) -> Self {
        Self {
            began_at,
            began: Instant::now(),
            catching_up: None,
            secrets: BTreeMap::new(),
            services: BTreeMap::new(),
            numbers: Vec::new(),
            agenda: BTreeSet::new(),
            tasks: BTreeMap::new(),
            stopped: BTreeMap::new(),
            details: BTreeMap::new(),
            identity: Identity::default(),
            task_definitions: BTreeMap::new(),
            inactive: BTreeSet::new(),
            bad_revisions: BTreeSet::new(),
            wrong_values: BTreeSet::new(),
            clusters: vec![CLUSTER.to_owned()],
            faults: BTreeMap::new(),
            trouble: 0.0,
            dice: fastrand::Rng::with_seed(0),
            quotas: Quotas::default(),
            latency: Duration::from_millis(20),
            read_lag: Duration::ZERO,
            secret_lag: Duration::ZERO,
            replica_lag: Duration::ZERO,
            replications: Vec::new(),
            trail_lag: Duration::ZERO,
            kill_after: None,
            moves: Vec::new(),
            page_size: 100,
            forbidden: BTreeSet::new(),
            denied: Vec::new(),
            without_capacity: BTreeSet::new(),
            hidden: BTreeSet::new(),
            broken: BTreeMap::new(),
            calls: Vec::new(),
            faulted: 0,
            redeploys: Vec::new(),
            tasks_then: Vec::new(),
            cut_off: Vec::new(),
            shown: BTreeMap::new(),
            trail: Vec::new(),
            parameters: BTreeMap::new(),
            calendars: BTreeMap::new(),
            images: BTreeMap::new(),
            readable_images: true,
            others_then: Vec::new(),
            events: Vec::new(),
            next_id: 0,
        }
    }

    /// The time, or that of what is caught up on.
    pub(crate) fn now(&self) -> Timestamp {
        self.catching_up
            .unwrap_or_else(|| self.began_at.saturating_add(self.began.elapsed()).unwrap())
    }

    /// Lets everything happen that is due, in its order.
    pub(crate) fn advance(&mut self) {
        if self.catching_up.is_some() {
            return;
        }
        let now = self.now();
        loop {
            let step = self.agenda.first().copied().filter(|(due, _)| *due <= now);
            let replications = self.replications.iter().enumerate();
            let replication = replications
                .map(|(index, (due, _))| (*due, index))
                .min()
                .filter(|(due, _)| *due <= now);
            match (step, replication) {
                (step, Some((due, index))) if step.is_none_or(|(step, _)| due <= step) => {
                    let (_, name) = self.replications.swap_remove(index);
                    self.catching_up = Some(due);
                    self.replicate(&name);
                }
                (Some((due, number)), _) => {
                    self.agenda.pop_first();
                    self.catching_up = Some(due);
                    self.step(number);
                }
                (None, _) => break,
            }
        }
        self.catching_up = None;
    }

    /// When the next thing happens by itself.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let (due, _) = self.agenda.first()?;
        let from_the_start =
            Duration::try_from(due.duration_since(self.began_at)).unwrap_or_default();
        Some(self.began + from_the_start)
    }

    /// The calls of one operation.
    pub(crate) fn calls_of(&self, operation: &str) -> Vec<&Value> {
        let calls = self.calls.iter().filter(|(name, _)| name == operation);
        calls.map(|(_, body)| body).collect()
    }

    pub(crate) fn fail_next(&mut self, operation: &'static str, faults: &[Fault]) {
        self.faults.entry(operation).or_default().extend(faults);
    }

    pub(super) fn id(&mut self) -> String {
        self.next_id += 1;
        format!("{:08x}-0000-4000-8000-000000000000", self.next_id)
    }

    /// Makes a cluster and gives its ARN.
    pub(crate) fn make_cluster(&mut self, name: &str) -> String {
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}");
        self.clusters.push(arn.clone());
        arn
    }

    /// Makes a service of two tasks with this `valueFrom`, deployed now, and gives its ARN.
    pub(crate) fn make_service(&mut self, name: &str, value_from: &str) -> String {
        let container = json!({"name": "app", "secrets": [{"name": "S", "valueFrom": value_from}]});
        self.make_service_of(name, json!({"containerDefinitions": [container]}))
    }

    /// Makes a service with these container definitions and volumes.
    pub(crate) fn make_service_of(&mut self, name: &str, definition: Value) -> String {
        self.make_service_in(CLUSTER, name, definition)
    }

    /// The same, in another cluster.
    pub(crate) fn make_service_in(
        &mut self,
        cluster: &str,
        name: &str,
        definition: Value,
    ) -> String {
        let family = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}");
        let task_definition = format!("{family}:1");
        self.task_definitions
            .insert(task_definition.clone(), definition);
        let in_cluster = cluster.rsplit('/').next().unwrap();
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/{in_cluster}/{name}");
        self.services
            .insert(arn.clone(), Service::new(cluster, self.numbers.len()));
        self.numbers.push(arn.clone());
        self.deploy(&arn, &task_definition);
        arn
    }

    /// Gives a service the ARN without its cluster that services from before 2021 keep until they are
    /// migrated (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-arn-migration.html>).
    pub(crate) fn shorten(&mut self, arn: &str) -> String {
        let service = self.services.remove(arn).unwrap();
        let (head, name) = (arn.split(":service/").next(), arn.rsplit('/').next());
        let short = format!("{}:service/{}", head.unwrap(), name.unwrap());
        let number = self.numbers.iter_mut().find(|known| **known == arn);
        number.unwrap().clone_from(&short);
        self.services.insert(short.clone(), service);
        short
    }

    /// Registers another revision, with what the present one says, and gives its ARN.
    pub(crate) fn make_revision(&mut self, arn: &str) -> String {
        let present = self.services[arn].deployments[0].task_definition.clone();
        let family = present.rsplit_once(':').unwrap().0;
        let is_taken = |number: &usize| {
            self.task_definitions
                .contains_key(&format!("{family}:{number}"))
        };
        let number = (2..).find(|number| !is_taken(number)).unwrap();
        let revision = format!("{family}:{number}");
        self.task_definitions
            .insert(revision.clone(), self.task_definitions[&present].clone());
        revision
    }

    /// Tags the service with our key.
    pub(crate) fn tag(&mut self, service: &str, value: &str) {
        let service = self.services.get_mut(service).unwrap();
        service
            .tags
            .insert("redeploy-on-rotation".to_owned(), value.to_owned());
    }
}
