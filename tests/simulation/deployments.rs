//! Deployments of services, and how they replace tasks in the course of time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::account::{ACCOUNT, CutOff, FakeAws, REGION};
use super::tasks::{Source, Task};

/// A task is created so long before it has read its values.
const CREATION: Duration = Duration::from_millis(500);
/// A task that does not become healthy is given up after so long.
const UNHEALTHY: Duration = Duration::from_secs(8);
/// Another is started so long after that at first, and later.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// So long a roll-back takes at least.
const ROLL_BACK: Duration = Duration::from_secs(5);

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
    /// What the code of its tasks reads by itself when it starts.
    pub(crate) also_reads: Vec<Source>,
    /// The failed deployment that ECS rolls back, and since when.
    pub(crate) roll_back: Option<(String, Timestamp)>,
    /// The newest deployment in the state COMPLETED, which ECS would roll back to.
    completed: Option<Deployment>,
    /// What ran before the newest deployment, where rollouts take no time.
    before: Option<(Vec<Deployment>, Vec<Task>)>,
    pub(super) sources: Option<(String, Arc<[Source]>)>,
    number: usize,
    /// When the next step is due.
    step_at: Option<Timestamp>,
    /// How often a task of the newest deployment failed in a row.
    failures: u32,
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
            breaker: Breaker::Rollback,
            stops_first: false,
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

    fn is_staged(&self) -> bool {
        self.strategy != "ROLLING"
    }

    /// How many tasks of a deployment there are, running or pending.
    fn tasks_of(&self, deployment: &str) -> usize {
        self.running.iter().filter(|task| task.started_by == deployment).count()
    }

    /// How long it takes until a new task has taken the place of an old one.
    fn interval(&self) -> Duration {
        if self.is_staged() { self.takes } else { self.takes / u32::try_from(self.desired.max(1)).unwrap() }
    }

    fn set_history(&mut self, deployment: &str, status: &'static str) {
        self.history.iter_mut().filter(|entry| entry.id == deployment).for_each(|entry| entry.status = status);
    }

    /// A deployment that has no tasks any more is INACTIVE, and not listed.
    fn forget_drained(&mut self) {
        if self.takes.is_zero() {
            return;
        }
        let failed = self.roll_back.as_ref().map(|(failed, _)| failed.clone());
        let running: Vec<_> = self.running.iter().map(|task| task.started_by.clone()).collect();
        let is_live = |old: &Deployment| running.contains(&old.id) || failed.as_ref() == Some(&old.id);
        self.deployments.retain(|deployment| deployment.primary || is_live(deployment));
    }

    /// Stops the oldest task that is not of the newest deployment.
    fn stop_an_old_task(&mut self) {
        let newest = &self.deployments[0].id;
        let old = self.running.iter().position(|task| task.started_by != *newest && !task.protected);
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

    pub(super) fn start_deployment(&mut self, arn: &str, task_definition: &str, forced: bool) -> String {
        self.advance();
        let (now, id) = (self.now(), format!("ecs-svc/{}", 1_000_000 + self.next_id));
        self.next_id += 1;
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
        for entry in service.history.iter_mut().filter(|entry| entry.status == "IN_PROGRESS") {
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
        };
        service.deployments.insert(0, deployment);
        service.history.insert(0, entry);
        if at_once {
            self.replace_at_once(arn);
        } else {
            let after = self.broken.get(arn).copied().filter(|_| is_broken).unwrap_or(CREATION);
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
        (newest.rollout, newest.reason) = ("COMPLETED", format!("ECS deployment {} completed.", newest.id));
        service.completed = Some(newest.clone());
        service.history[0].status = "SUCCESSFUL";
    }

    /// The newest deployment of the service failed without having replaced a task, and ECS went
    /// back to the last that was completed.
    pub(crate) fn roll_back(&mut self, arn: &str) {
        self.advance();
        let service = self.services.get_mut(arn).unwrap();
        let failed = service.deployments[0].id.clone();
        if let Some((deployments, running)) = service.before.take() {
            (service.deployments, service.running) = (deployments, running);
        } else {
            service.deployments.remove(0);
            service.running.retain(|task| task.started_by != failed);
        }
        let completed = service.completed.clone();
        service.deployments.retain(|deployment| deployment.rollout == "COMPLETED");
        if service.deployments.is_empty() {
            service.deployments.extend(completed);
        }
        let back = service.deployments.first_mut().expect("a deployment was completed before");
        back.primary = true;
        service.completed = Some(back.clone());
        service.set_history(&failed, "ROLLBACK_SUCCESSFUL");
        service.step_at = None;
        self.start_tasks(arn);
        self.deployment_event("SERVICE_DEPLOYMENT_FAILED", arn, &failed, "tasks failed to start");
    }

    /// Somebody or autoscaling changes how many tasks there are.
    pub(crate) fn scale(&mut self, arn: &str, desired: i32) {
        self.advance();
        let Some(service) = self.services.get_mut(arn) else { return };
        service.desired = desired;
        let wanted = usize::try_from(desired).unwrap();
        while service.running.len() > wanted {
            let last = service.running.iter().rposition(|task| !task.protected || wanted == 0);
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
        while self.services[arn].running.len() < usize::try_from(self.services[arn].desired).unwrap() {
            let mut task = self.new_task(arn, 0, now);
            task.started_at = Some(now);
            self.services.get_mut(arn).unwrap().running.push(task);
        }
    }

    /// `DeleteService`.
    pub(crate) fn delete_service(&mut self, arn: &str) {
        self.advance();
        let Some(service) = self.services.get_mut(arn) else { return };
        (service.status, service.desired, service.step_at) = ("INACTIVE", 0, None);
        service.running.clear();
        service.deployments.clear();
    }

    /// Whether only its owner can help: it is to run a revision that never becomes healthy.
    pub(crate) fn is_stuck(&self, arn: &str) -> bool {
        let Some(service) = self.services.get(arn).filter(|service| !service.deployments.is_empty()) else {
            return false;
        };
        let newest = &service.deployments[0];
        let is_good = |back: &Deployment| !self.bad_revisions.contains(&back.task_definition);
        let goes_back = service.breaker == Breaker::Rollback && service.completed.as_ref().is_some_and(is_good);
        self.bad_revisions.contains(&newest.task_definition) && (newest.rollout == "FAILED" || !goes_back)
    }

    fn step_after(&mut self, arn: &str, after: Duration) {
        let due = self.now().saturating_add(after).unwrap();
        let service = self.services.get_mut(arn).unwrap();
        if let Some(before) = service.step_at.replace(due) {
            self.agenda.remove(&(before, service.number));
        }
        self.agenda.insert((due, service.number));
    }

    /// What is due at a service happens.
    pub(super) fn step(&mut self, number: usize) {
        let arn = self.numbers[number].clone();
        let Some(service) = self.services.get_mut(&arn) else { return };
        if service.step_at != self.catching_up || service.deployments.is_empty() {
            return;
        }
        service.step_at = None;
        let newest = &service.deployments[0];
        if newest.forced && newest.rollout == "IN_PROGRESS" && self.broken.contains_key(&arn) {
            if service.completed.is_some() { self.roll_back(&arn) } else { self.fail(&arn) }
            return;
        }
        let pending = service.running.iter().position(|task| task.started_at.is_none());
        match pending {
            Some(_) if service.is_staged() => self.finish_stages(&arn),
            Some(pending) => self.finish_task(&arn, pending),
            None => self.launch(&arn),
        }
    }

    /// Creates the next task, if one is missing, or ends the rollout.
    fn launch(&mut self, arn: &str) {
        let now = self.now();
        let service = self.services.get_mut(arn).unwrap();
        service.forget_drained();
        let newest = &service.deployments[0];
        if newest.rollout == "FAILED" {
            return;
        }
        let there = service.tasks_of(&newest.id);
        let missing = usize::try_from(service.desired).unwrap().saturating_sub(there);
        if missing == 0 {
            self.complete(arn);
            return;
        }
        let count = if service.is_staged() { missing } else { 1 };
        let interval = service.interval();
        let stops_first = service.stops_first && newest.rollout == "IN_PROGRESS";
        let created_at = now.saturating_sub(CREATION).unwrap().max(newest.created_at);
        let mut healthy = true;
        for _ in 0..count {
            let task = self.new_task(arn, 0, created_at);
            healthy &= self.is_healthy(&task);
            let service = self.services.get_mut(arn).unwrap();
            if stops_first && service.running.len() >= service.desired as usize {
                service.stop_an_old_task();
            }
            service.running.push(task);
        }
        self.step_after(arn, if healthy { interval } else { UNHEALTHY });
    }

    /// A pending task has started or failed.
    fn finish_task(&mut self, arn: &str, pending: usize) {
        let now = self.now();
        let healthy = self.is_healthy(&self.services[arn].running[pending]);
        let service = self.services.get_mut(arn).unwrap();
        service.deployments[0].updated_at = now;
        if healthy {
            service.failures = 0;
            service.running[pending].started_at = Some(now);
            let newest = &service.deployments[0];
            let is_full = service.running.len() > service.desired as usize;
            if is_full && newest.rollout == "IN_PROGRESS" {
                service.stop_an_old_task();
            }
            self.launch(arn);
        } else {
            service.running.remove(pending);
            self.fail_task(arn);
        }
    }

    /// The tasks of the next stage take over, or fail together.
    fn finish_stages(&mut self, arn: &str) {
        let now = self.now();
        let service = &self.services[arn];
        let pending: Vec<_> = service.running.iter().filter(|task| task.started_at.is_none()).collect();
        let healthy = pending.iter().all(|task| self.is_healthy(task));
        let service = self.services.get_mut(arn).unwrap();
        if healthy {
            service.running.iter_mut().for_each(|task| task.started_at = task.started_at.or(Some(now)));
            self.launch(arn);
        } else {
            service.running.retain(|task| task.started_at.is_some());
            self.fail_task(arn);
        }
    }

    /// A task of the newest deployment did not become healthy.
    fn fail_task(&mut self, arn: &str) {
        let service = self.services.get_mut(arn).unwrap();
        service.failures += 1;
        let newest = &mut service.deployments[0];
        newest.failed_tasks += 1;
        let threshold = (service.desired / 2).clamp(3, 200);
        let gives_up = newest.failed_tasks >= threshold && service.breaker != Breaker::Off;
        // What is rolled back to is not eligible for another roll-back.
        if gives_up && newest.rollout == "IN_PROGRESS" && service.roll_back.is_none() {
            self.fail(arn);
        } else {
            self.step_after(arn, PAUSE[usize::from(self.services[arn].failures > 3)]);
        }
    }

    /// The circuit breaker ends the newest deployment.
    fn fail(&mut self, arn: &str) {
        let now = self.now();
        let service = self.services.get_mut(arn).unwrap();
        let back = service.completed.take().filter(|_| service.breaker == Breaker::Rollback);
        let failed = &mut service.deployments[0];
        (failed.rollout, failed.updated_at) = ("FAILED", now);
        let id = failed.id.clone();
        let Some(mut back) = back else {
            failed.reason = "ECS deployment circuit breaker: tasks failed to start.".to_owned();
            let reason = failed.reason.clone();
            service.set_history(&id, "STOPPED");
            self.deployment_event("SERVICE_DEPLOYMENT_FAILED", arn, &id, &reason);
            return;
        };
        let reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", back.id);
        (failed.reason, failed.primary) = (reason.clone(), false);
        service.set_history(&id, "ROLLBACK_IN_PROGRESS");
        service.deployments.retain(|deployment| deployment.id != back.id);
        (back.rollout, back.primary, back.updated_at) = ("IN_PROGRESS", true, now);
        (back.reason, back.failed_tasks) = (reason.clone(), 0);
        let back_id = back.id.clone();
        service.deployments.insert(0, back);
        service.roll_back = Some((id.clone(), now));
        service.failures = 0;
        let after = (service.takes / 2).max(ROLL_BACK);
        self.deployment_event("SERVICE_DEPLOYMENT_FAILED", arn, &id, "tasks failed to start");
        self.deployment_event("SERVICE_DEPLOYMENT_IN_PROGRESS", arn, &back_id, &reason);
        self.step_after(arn, after);
    }

    /// All tasks are of the newest deployment.
    fn complete(&mut self, arn: &str) {
        let now = self.now();
        let service = self.services.get_mut(arn).unwrap();
        let newest = service.deployments[0].id.clone();
        if service.deployments[0].rollout != "IN_PROGRESS" {
            return;
        }
        service.running.retain(|task| task.started_by == newest || task.protected);
        let done = &mut service.deployments[0];
        (done.rollout, done.updated_at) = ("COMPLETED", now);
        done.reason = format!("ECS deployment {newest} completed.");
        service.completed = Some(done.clone());
        match service.roll_back.take() {
            Some((failed, _)) => service.set_history(&failed, "ROLLBACK_SUCCESSFUL"),
            None => service.set_history(&newest, "SUCCESSFUL"),
        }
        service.forget_drained();
        self.deployment_event("SERVICE_DEPLOYMENT_COMPLETED", arn, &newest, "completed");
    }

    /// What a forced deployment that begins now cuts off.
    pub(super) fn note_cut_off(&mut self, arn: &str) {
        let service = &self.services[arn];
        let newest = &service.deployments[0];
        let is_staged = service.is_staged() && newest.rollout == "IN_PROGRESS" && service.roll_back.is_none();
        let shown = self.shown.get(arn).copied().unwrap_or(Timestamp::MIN);
        let roll_back = service.roll_back.as_ref();
        if newest.rollout != "IN_PROGRESS" {
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
            held_a_wrong_value: newest.failed_tasks > 0 && service.deployments[1..].iter().any(same_revision),
            was_roll_back: roll_back.is_some(),
        });
    }
}
