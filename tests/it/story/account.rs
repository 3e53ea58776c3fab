//! The account of a story, and what happens in it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::happenings::{Happening, What};
use super::{PARAMETER, SECRETS, STAGES_TAKE, Service, Sort, Story};
use crate::simulation::account::FakeAws;
use crate::simulation::tasks::Source;
use crate::simulation::wire::Wire;

/// The owner of a service that ECS does not roll back repairs it after so long.
const REPAIRED_AFTER: Duration = Duration::from_mins(4);

pub(super) struct Account {
    pub(super) wire: Wire,
    pub(super) settle: Duration,
    /// The ARN and the sort of each service, in the order of the story.
    pub(super) services: Vec<(String, Sort)>,
    pub(super) lookup: &'static str,
    /// When AWSCURRENT moved, and of which secret, or when the parameter changed.
    pub(super) moves: Vec<(Timestamp, &'static str)>,
    /// How often a secret changed in any other way.
    pub(super) touched: usize,
    /// When others deployed, and which service.
    pub(super) deployed: Vec<(Timestamp, String)>,
    /// What happened.
    pub(super) told: Vec<(Timestamp, String)>,
}

impl Account {
    pub(super) fn new(story: &Story) -> Self {
        let mut account = FakeAws::new();
        for name in SECRETS {
            account.make_secret(name);
            // The services were made long after it.
            let made_at = account
                .now()
                .saturating_sub(Duration::from_hours(1))
                .unwrap();
            let secret = account.secrets.get_mut(name).unwrap();
            secret.last_changed = made_at;
            secret
                .versions
                .values_mut()
                .for_each(|created| *created = made_at);
        }
        for name in [PARAMETER, "/app/other"] {
            account
                .parameters
                .insert(name.to_owned(), "2026-01-01T00:00:00Z".parse().unwrap());
        }
        let services = story.services.iter().enumerate();
        let services = services
            .map(|(number, service)| make(&mut account, story, number, service))
            .collect();
        for number in 0..story.other_clusters {
            let cluster = account.make_cluster(&format!("batch-{number}"));
            let secrets = [json!({"name": "S", "valueFrom": "/app/other"})];
            let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
            account.make_service_in(&cluster, &format!("other-{number}"), definition);
        }
        account.dice = fastrand::Rng::with_seed(story.seed ^ 0xd1ce);
        account.trouble = story.trouble;
        account.quotas.used_by_others = story.used_by_others;
        account.read_lag = story.read_lag;
        account.secret_lag = story.secret_lag;
        account.trail_lag = Duration::from_mins(1);
        account.page_size = story.page_size;
        let wire = Wire::with_mistake(account, story.mistake);
        let settle = Duration::from_secs(story.settle.parse().unwrap());
        let (moves, deployed, told) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            wire,
            settle,
            services,
            lookup: story.lookup,
            moves,
            touched: 0,
            deployed,
            told,
        }
    }

    /// The services that are to be fresh before long after any change.
    pub(super) fn watched(&self) -> Vec<String> {
        let follows = |sort: Sort| {
            SECRETS
                .iter()
                .chain([&PARAMETER])
                .any(|name| sort.follows(name, self.lookup))
        };
        let watched = self
            .services
            .iter()
            .filter(|(_, sort)| sort.is_ordinary() && follows(*sort));
        watched.map(|(arn, _)| arn.clone()).collect()
    }

    fn tell(&mut self, what: impl Into<String>) {
        let now = self.wire.account().now();
        self.told.push((now, what.into()));
    }

    fn moved(&mut self, name: &'static str) {
        let now = self.wire.account().now();
        self.moves.push((now, name));
        self.tell(format!("the value of {name} changed"));
    }

    /// Others deploy a revision, unless the service is gone.
    fn deploy(&mut self, arn: &str, revision: &str) {
        let mut account = self.wire.account();
        if account.services[arn].status == "ACTIVE" {
            account.deploy(arn, revision);
            let now = account.now();
            drop(account);
            self.deployed.push((now, arn.to_owned()));
            self.tell(format!("CI deploys {revision} to {arn}"));
        }
    }

    /// The owners of services that only they can help deploy what works.
    pub(super) async fn repair(&mut self) {
        let is_stuck = |(arn, _): &&(String, Sort)| self.wire.account().is_stuck(arn);
        let stuck: Vec<_> = self
            .services
            .iter()
            .filter(is_stuck)
            .map(|(arn, _)| arn.clone())
            .collect();
        if stuck.is_empty() {
            return;
        }
        sleep(REPAIRED_AFTER).await;
        for arn in stuck {
            let revision = self.wire.account().make_revision(&arn);
            self.deploy(&arn, &revision);
        }
    }

    pub(super) async fn happen(
        &mut self,
        Happening {
            secret: name, what, ..
        }: Happening,
    ) {
        match what {
            What::Rotates { requested, takes } => self.rotate(name, requested, takes).await,
            What::RotationFails => {
                self.touched += 1;
                self.wire.account().request_rotation(name);
                self.tell(format!("a rotation of {name} fails"));
                sleep(Duration::from_secs(5)).await;
                let mut account = self.wire.account();
                account
                    .secrets
                    .get_mut(name)
                    .unwrap()
                    .labels
                    .remove("AWSPENDING");
                account.fail_rotation(name);
            }
            What::ValueIsStored => {
                self.wire.account().put_value(name);
                self.moved(name);
            }
            What::ValuesAreStored { times, apart } => {
                for _ in 0..times {
                    self.wire.account().put_value(name);
                    self.moved(name);
                    sleep(apart).await;
                }
            }
            What::WrongValueIsStored { corrected } => {
                self.wire.account().put_wrong_value(name);
                self.moved(name);
                self.tell("no task works with it");
                sleep(corrected).await;
                self.wire.account().put_value(name);
                self.moved(name);
            }
            What::LabelIsMovedBack => self.move_back(name),
            What::ParameterChanges => {
                self.wire.account().put_parameter(PARAMETER);
                self.moved(PARAMETER);
            }
            What::IsDescribedAnew => {
                self.touched += 1;
                self.wire.account().describe(name);
                self.tell(format!("{name} is described again"));
            }
            What::SweepComes => self.wire.account().schedule_event(),
            What::CiDeploys(number)
            | What::CiDeploysANewRevision(number)
            | What::CiDeploysABadRevision(number)
            | What::IsScaled(number, _)
            | What::IsStoppedFor(number, _)
            | What::IsReplaced(number)
            | What::IsDeleted(number) => {
                let arn = self.services[number].0.clone();
                self.happen_to(&arn, what).await;
            }
        }
    }

    async fn rotate(&mut self, name: &'static str, requested: bool, takes: Duration) {
        self.tell(format!("{name} rotates"));
        let version = {
            let mut account = self.wire.account();
            if requested {
                account.request_rotation(name)
            } else {
                account.begin_scheduled_rotation(name)
            }
        };
        self.wire.account().store_pending(name, &version);
        sleep(takes).await;
        self.wire.account().finish_rotation(name, &version);
        self.moved(name);
        if requested {
            // RotateSecret and its retries go by the secret's own times, of which the next change
            // is not to be mistaken for this one.
            sleep(Duration::from_mins(6)).await;
        }
    }

    fn move_back(&mut self, name: &'static str) {
        let mut account = self.wire.account();
        let Some(back) = account.secrets[name].labels.get("AWSPREVIOUS").cloned() else {
            return;
        };
        // A value that was found wrong is not what anybody goes back to.
        if account
            .wrong_values
            .contains(&crate::simulation::secrets::value_of(&back))
        {
            return;
        }
        account.move_label(name, "AWSCURRENT", &back);
        drop(account);
        self.moved(name);
    }

    /// What happens to a service.
    async fn happen_to(&mut self, arn: &str, what: What) {
        let is_broken = self
            .services
            .iter()
            .any(|(service, sort)| service == arn && *sort == Sort::Broken);
        let is_of_revisions = matches!(
            what,
            What::CiDeploysANewRevision(_) | What::CiDeploysABadRevision(_)
        );
        // A broken one fails whatever it runs, so another revision tells nothing.
        if self.wire.account().services[arn].status != "ACTIVE" || is_broken && is_of_revisions {
            return;
        }
        let present = self.wire.account().services[arn].deployments[0]
            .task_definition
            .clone();
        match what {
            What::CiDeploys(_) => self.deploy(arn, &present),
            What::CiDeploysANewRevision(_) => {
                let revision = self.wire.account().make_revision(arn);
                self.deploy(arn, &revision);
            }
            What::CiDeploysABadRevision(_) => {
                let revision = self.wire.account().make_revision(arn);
                self.wire.account().bad_revisions.insert(revision.clone());
                self.deploy(arn, &revision);
            }
            What::IsScaled(_, tasks) => {
                self.wire.account().scale(arn, tasks);
                self.tell(format!("{arn} is scaled to {tasks}"));
            }
            What::IsStoppedFor(_, time) => {
                let before = self.wire.account().services[arn].desired;
                self.wire.account().scale(arn, 0);
                self.tell(format!("{arn} is scaled to 0"));
                sleep(time).await;
                self.wire.account().scale(arn, before);
                self.tell(format!("{arn} is scaled to {before}"));
            }
            What::IsReplaced(number) => {
                self.wire.account().replace_task(arn, number);
                self.tell(format!("a task of {arn} is replaced"));
            }
            _ => {
                self.wire.account().delete_service(arn);
                self.tell(format!("{arn} is deleted"));
            }
        }
    }
}

/// Makes a service of a story.
fn make(account: &mut FakeAws, story: &Story, number: usize, service: &Service) -> (String, Sort) {
    let sort = service.sort;
    let arns = SECRETS.map(|name| account.secrets[name].arn.clone());
    let value_from = match sort {
        Sort::FollowsTwo => arns[..2].to_vec(),
        Sort::FollowsPrevious => vec![format!("{}::AWSPREVIOUS:", arns[1])],
        Sort::ByName => vec![format!("/aws/reference/secretsmanager/{}", SECRETS[0])],
        Sort::ByPartialArn => vec![arns[2][..arns[2].len() - 7].to_owned()],
        Sort::Pinned => vec![format!(
            "{}:::{}",
            arns[0],
            account.version(SECRETS[0], "AWSCURRENT")
        )],
        Sort::FollowsParameter => vec![PARAMETER.to_owned()],
        Sort::Unrelated | Sort::Tagged | Sort::Mapped => vec!["/app/other".to_owned()],
        _ => vec![format!("{}:password::", arns[0])],
    };
    let secrets: Vec<_> = value_from
        .iter()
        .map(|from| json!({"name": "S", "valueFrom": from}))
        .collect();
    let definition = json!({"containerDefinitions": [{"name": "app", "secrets": secrets}]});
    let arn = account.make_service_of(&format!("api-{number}"), definition);
    account.scale(&arn, service.tasks);
    let made = account.services.get_mut(&arn).unwrap();
    (made.takes, made.breaker, made.stops_first) =
        (story.rollouts_take, service.breaker, service.stops_first);
    let revision = made.deployments[0].task_definition.clone();
    match sort {
        Sort::Staged => (made.strategy, made.takes) = ("BLUE_GREEN", STAGES_TAKE),
        Sort::External => made.controller = "EXTERNAL",
        _ => {}
    }
    match sort {
        Sort::Tagged => account.tag(&arn, SECRETS[0]),
        Sort::Protected => account.protect_a_task(&arn),
        Sort::OptedOut => account.tag(&arn, "ignore"),
        Sort::Forbidden => drop(account.forbidden.insert(arn.clone())),
        Sort::Hidden => drop(account.hidden.insert(arn.clone())),
        Sort::Inactive => drop(account.inactive.insert(revision)),
        Sort::Broken => drop(account.broken.insert(arn.clone(), Duration::from_secs(40))),
        _ => {}
    }
    if matches!(sort, Sort::Tagged | Sort::Mapped) {
        account.also_reads(&arn, Source::of(&arns[0]));
    }
    (arn, sort)
}
