//! Deployments of services, and how they replace tasks in the course of time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::account::{ACCOUNT, CutOff, FakeAws, REGION};
use super::care::Recorded;
use super::rollouts::CREATION;
use super::tasks::{Source, Task};

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) cluster: String,
    pub(crate) status: &'static str,
    /// How many tasks it should have.
    pub(crate) desired: i32,
    pub(crate) controller: &'static str,
    pub(crate) strategy: &'static str,
    pub(crate) tags: BTreeMap<String, String>,
    /// The live deployments, the newest first.
    pub(crate) deployments: Vec<Deployment>,
    /// How long a rollout takes. Without any time, the tasks are replaced at once, and what a
    /// deployment replaced stays listed.
    pub(crate) takes: Duration,
    /// What `ListServiceDeployments` knows, the newest first.
    pub(crate) history: Vec<ServiceDeployment>,
    /// The tasks, running or pending.
    pub(crate) running: Vec<Task>,
    /// What ECS does when a rollout fails.
    pub(crate) breaker: Breaker,
    /// Whether an old task is stopped before the new one runs.
    pub(crate) stops_first: bool,
    /// `serviceConnectConfiguration` of its deployments; set it before the tasks start.
    pub(crate) service_connect: Option<Value>,
    /// What the code of its tasks reads by itself when it starts.
    pub(crate) also_reads: Vec<Source>,
    /// The failed deployment that ECS rolls back, and since when.
    pub(crate) roll_back: Option<(String, Timestamp)>,
    /// The newest deployment in the state COMPLETED, which ECS would roll back to.
    pub(super) completed: Option<Deployment>,
    /// What ran before the newest deployment, where rollouts take no time.
    pub(super) before: Option<(Vec<Deployment>, Vec<Task>)>,
    pub(super) sources: Option<(String, Arc<[Source]>)>,
    pub(super) number: usize,
    /// When the next step is due.
    pub(super) step_at: Option<Timestamp>,
    /// How often a task of the newest deployment failed in a row.
    pub(super) failures: u32,
}

/// `deploymentCircuitBreaker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// It goes on trying.
    Off,
    /// It stops.
    Stop,
    /// It stops and goes back to the deployment that was completed last.
    Rollback,
}

#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) task_definition: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) primary: bool,
    /// `rolloutState` and its reason.
    pub(crate) rollout: &'static str,
    pub(crate) reason: String,
    pub(crate) failed_tasks: i32,
    /// Whether `UpdateService` began it.
    pub(crate) forced: bool,
}

/// An entry of `ListServiceDeployments`.
#[derive(Clone, Debug)]
pub(crate) struct ServiceDeployment {
    pub(crate) id: String,
    pub(crate) task_definition: String,
    pub(crate) created_at: Timestamp,
    pub(crate) status: &'static str,
    /// When it failed.
    pub(crate) failed_at: Option<Timestamp>,
    /// The images that its tasks start from.
    pub(crate) images: Vec<Recorded>,
}

impl Service {
    pub(super) fn new(cluster: &str, number: usize) -> Self {
        Self {
            cluster: cluster.to_owned(),
            status: "ACTIVE",
            desired: 2,
            controller: "ECS",
            strategy: "ROLLING",
            tags: BTreeMap::new(),
            deployments: Vec::new(),
            takes: Duration::ZERO,
            history: Vec::new(),
            running: Vec::new(),
            breaker: Breaker::Off,
            stops_first: false,
            service_connect: None,
            also_reads: Vec::new(),
            roll_back: None,
            completed: None,
            before: None,
            sources: None,
            number,
            step_at: None,
            failures: 0,
        }
    }

    pub(super) fn is_staged(&self) -> bool {
        self.strategy != "ROLLING"
    }

    /// How many tasks of a deployment there are, running or pending.
    pub(super) fn tasks_of(&self, deployment: &str) -> usize {
        self.running
            .iter()
            .filter(|task| task.started_by == deployment)
            .count()
    }

    /// How long it takes until a new task has taken the place of an old one.
    pub(super) fn interval(&self) -> Duration {
        if self.is_staged() {
            self.takes
        } else {
            self.takes / u32::try_from(self.desired.max(1)).unwrap()
        }
    }

    pub(super) fn set_history(&mut self, deployment: &str, status: &'static str) {
        self.history
            .iter_mut()
            .filter(|entry| entry.id == deployment)
            .for_each(|entry| entry.status = status);
    }

    /// The same for one that fails.
    pub(super) fn fail_history(&mut self, deployment: &str, status: &'static str, now: Timestamp) {
        self.set_history(deployment, status);
        let entries = self.history.iter_mut();
        entries
            .filter(|entry| entry.id == deployment)
            .for_each(|entry| entry.failed_at = Some(now));
    }

    /// A deployment that has no tasks any more is INACTIVE, and not listed.
    pub(super) fn forget_drained(&mut self) {
        if self.takes.is_zero() {
            return;
        }
        let failed = self.roll_back.as_ref().map(|(failed, _)| failed.clone());
        let running: Vec<_> = self
            .running
            .iter()
            .map(|task| task.started_by.clone())
            .collect();
        let is_live =
            |old: &Deployment| running.contains(&old.id) || failed.as_ref() == Some(&old.id);
        self.deployments
            .retain(|deployment| deployment.primary || is_live(deployment));
    }

    /// Stops the oldest task that is not of the newest deployment.
    pub(super) fn stop_an_old_task(&mut self) {
        let newest = &self.deployments[0].id;
        let old = self
            .running
            .iter()
            .position(|task| task.started_by != *newest && !task.protected);
        if let Some(old) = old {
            self.running.remove(old);
        }
    }
}

/// The ARN of the service revision that a deployment aims at.
pub(super) fn revision_arn(service: &str, deployment: &str) -> String {
    let name = service.split(":service/").nth(1).unwrap();
    let number = deployment.trim_start_matches("ecs-svc/");
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service-revision/{name}/{number}")
}

impl FakeAws {
    /// Starts a deployment, as a person or CI would.
    pub(crate) fn deploy(&mut self, arn: &str, task_definition: &str) -> String {
        self.start_deployment(arn, task_definition, false)
    }

    pub(super) fn start_deployment(
        &mut self,
        arn: &str,
        task_definition: &str,
        forced: bool,
    ) -> String {
        self.advance();
        let (now, id) = (self.now(), format!("ecs-svc/{}", 1_000_000 + self.next_id));
        self.next_id += 1;
        let images = self.recorded(task_definition);
        let is_broken = forced && self.broken.contains_key(arn);
        let service = self.services.get_mut(arn).unwrap();
        let at_once = service.takes.is_zero() && !is_broken;
        service.before = at_once.then(|| (service.deployments.clone(), service.running.clone()));
        if let Some((failed, _)) = service.roll_back.take() {
            service.set_history(&failed, "ROLLBACK_FAILED");
        }
        for old in &mut service.deployments {
            old.primary = false;
        }
        for entry in service
            .history
            .iter_mut()
            .filter(|entry| entry.status == "IN_PROGRESS")
        {
            entry.status = "STOPPED";
        }
        service.running.retain(|task| task.started_at.is_some());
        service.failures = 0;
        let deployment = Deployment {
            id: id.clone(),
            task_definition: task_definition.to_owned(),
            created_at: now,
            updated_at: now,
            primary: true,
            rollout: "IN_PROGRESS",
            reason: format!("ECS deployment {id} in progress."),
            failed_tasks: 0,
            forced,
        };
        let entry = ServiceDeployment {
            id: id.clone(),
            task_definition: task_definition.to_owned(),
            created_at: now,
            status: "IN_PROGRESS",
            failed_at: None,
            images,
        };
        service.deployments.insert(0, deployment);
        service.history.insert(0, entry);
        if at_once {
            self.replace_at_once(arn);
        } else {
            let after = self
                .broken
                .get(arn)
                .copied()
                .filter(|_| is_broken)
                .unwrap_or(CREATION);
            self.deployment_event("SERVICE_DEPLOYMENT_IN_PROGRESS", arn, &id, "in progress");
            self.step_after(arn, after);
        }
        id
    }

    /// All tasks are of the newest deployment from now on.
    fn replace_at_once(&mut self, arn: &str) {
        let now = self.now();
        let service = self.services.get_mut(arn).unwrap();
        service.running.retain(|task| task.protected);
        for _ in 0..service.desired {
            let mut task = self.new_task(arn, 0, now);
            task.started_at = Some(now);
            self.services.get_mut(arn).unwrap().running.push(task);
        }
        let service = self.services.get_mut(arn).unwrap();
        let newest = &mut service.deployments[0];
        (newest.rollout, newest.reason) = (
            "COMPLETED",
            format!("ECS deployment {} completed.", newest.id),
        );
        // Later than its creation, as at AWS.
        newest.updated_at = now.saturating_add(Duration::from_millis(1)).unwrap();
        service.completed = Some(newest.clone());
        service.history[0].status = "SUCCESSFUL";
    }

    /// The newest deployment of the service failed without having replaced a task, and ECS went
    /// back to the last that was completed.
    pub(crate) fn roll_back(&mut self, arn: &str) {
        self.advance();
        let now = self.now();
        let service = self.services.get_mut(arn).unwrap();
        let failed = service.deployments[0].id.clone();
        if let Some((deployments, running)) = service.before.take() {
            (service.deployments, service.running) = (deployments, running);
        } else {
            service.deployments.remove(0);
            service.running.retain(|task| task.started_by != failed);
        }
        let completed = service.completed.clone();
        service
            .deployments
            .retain(|deployment| deployment.rollout == "COMPLETED");
        if service.deployments.is_empty() {
            service.deployments.extend(completed);
        }
        let back = service.deployments.first_mut().unwrap();
        // AWS calls it the time of the last update, and does not say that this is one.
        (back.primary, back.updated_at) = (true, now);
        service.completed = Some(back.clone());
        service.set_history(&failed, "ROLLBACK_SUCCESSFUL");
        service.step_at = None;
        self.start_tasks(arn);
        self.deployment_event(
            "SERVICE_DEPLOYMENT_FAILED",
            arn,
            &failed,
            "tasks failed to start",
        );
    }

    /// Somebody or autoscaling changes how many tasks there are.
    pub(crate) fn scale(&mut self, arn: &str, desired: i32) {
        self.advance();
        let Some(service) = self.services.get_mut(arn) else {
            return;
        };
        service.desired = desired;
        let wanted = usize::try_from(desired).unwrap();
        while service.running.len() > wanted {
            let last = service
                .running
                .iter()
                .rposition(|task| !task.protected || wanted == 0);
            let Some(last) = last else { break };
            service.running.remove(last);
        }
        self.start_tasks(arn);
    }

    /// Starts what is missing, in the course of time.
    pub(super) fn start_tasks(&mut self, arn: &str) {
        let now = self.now();
        let service = self.services.get_mut(arn).unwrap();
        if !service.takes.is_zero() {
            if service.step_at.is_none() {
                self.step_after(arn, CREATION);
            }
            return;
        }
        while self.services[arn].running.len()
            < usize::try_from(self.services[arn].desired).unwrap()
        {
            let mut task = self.new_task(arn, 0, now);
            task.started_at = Some(now);
            self.services.get_mut(arn).unwrap().running.push(task);
        }
    }

    /// `DeleteService`.
    pub(crate) fn delete_service(&mut self, arn: &str) {
        self.advance();
        let Some(service) = self.services.get_mut(arn) else {
            return;
        };
        (service.status, service.desired, service.step_at) = ("INACTIVE", 0, None);
        service.running.clear();
        service.deployments.clear();
    }

    /// Whether only its owner can help: it is to run a revision that never becomes healthy.
    pub(crate) fn is_stuck(&self, arn: &str) -> bool {
        let Some(service) = self
            .services
            .get(arn)
            .filter(|service| !service.deployments.is_empty())
        else {
            return false;
        };
        let newest = &service.deployments[0];
        let is_good = |back: &Deployment| !self.bad_revisions.contains(&back.task_definition);
        let goes_back =
            service.breaker == Breaker::Rollback && service.completed.as_ref().is_some_and(is_good);
        self.bad_revisions.contains(&newest.task_definition)
            && (newest.rollout == "FAILED" || !goes_back)
    }

    /// What a forced deployment that begins now cuts off.
    pub(super) fn note_cut_off(&mut self, arn: &str) {
        let service = &self.services[arn];
        let newest = &service.deployments[0];
        let is_staged =
            service.is_staged() && newest.rollout == "IN_PROGRESS" && service.roll_back.is_none();
        let shown = self.shown.get(arn).copied().unwrap_or(Timestamp::MIN);
        let roll_back = service.roll_back.as_ref();
        // Where no task runs yet, nothing that works is cut off.
        let is_starting = service.deployments.len() == 1
            && service.running.iter().all(|task| task.started_at.is_none());
        if newest.rollout != "IN_PROGRESS" || is_starting && newest.failed_tasks == 0 {
            return;
        }
        let same_revision = |old: &Deployment| old.task_definition == newest.task_definition;
        self.cut_off.push(CutOff {
            at: self.now(),
            service: arn.to_owned(),
            deployment: newest.id.clone(),
            age: self.now().duration_since(newest.created_at).unsigned_abs(),
            was_ours: newest.forced,
            was_shown: roll_back.map_or(newest.created_at, |(_, began)| *began) <= shown,
            was_staged: is_staged,
            held_a_wrong_value: newest.failed_tasks > 0
                && service.deployments[1..].iter().any(same_revision),
            was_roll_back: roll_back.is_some(),
        });
    }
}
