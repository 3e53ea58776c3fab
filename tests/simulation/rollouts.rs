//! How a deployment replaces tasks in the course of time, and what ECS does when it cannot
//! (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>).

use std::time::Duration;

use super::account::FakeAws;
use super::deployments::Breaker;

/// A task is created so long before it has read its values.
pub(super) const CREATION: Duration = Duration::from_millis(500);
/// A task that does not become healthy is given up after so long.
const UNHEALTHY: Duration = Duration::from_secs(8);
/// Another is started so long after that at first, and later.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// So long a roll-back takes at least.
const ROLL_BACK: Duration = Duration::from_secs(5);

impl FakeAws {
    pub(super) fn step_after(&mut self, arn: &str, after: Duration) {
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
        let Some(service) = self.services.get_mut(&arn) else {
            return;
        };
        if service.step_at != self.catching_up || service.deployments.is_empty() {
            return;
        }
        service.step_at = None;
        let newest = &service.deployments[0];
        if newest.forced && newest.rollout == "IN_PROGRESS" && self.broken.contains_key(&arn) {
            if service.completed.is_some() {
                self.roll_back(&arn)
            } else {
                self.fail(&arn)
            }
            return;
        }
        let pending = service
            .running
            .iter()
            .position(|task| task.started_at.is_none());
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
        let missing = usize::try_from(service.desired)
            .unwrap()
            .saturating_sub(there);
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
        let pending: Vec<_> = service
            .running
            .iter()
            .filter(|task| task.started_at.is_none())
            .collect();
        let healthy = pending.iter().all(|task| self.is_healthy(task));
        let service = self.services.get_mut(arn).unwrap();
        if healthy {
            service
                .running
                .iter_mut()
                .for_each(|task| task.started_at = task.started_at.or(Some(now)));
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
        let back = service
            .completed
            .take()
            .filter(|_| service.breaker == Breaker::Rollback);
        let failed = &mut service.deployments[0];
        (failed.rollout, failed.updated_at) = ("FAILED", now);
        let id = failed.id.clone();
        let Some(mut back) = back else {
            failed.reason = "ECS deployment circuit breaker: tasks failed to start.".to_owned();
            let reason = failed.reason.clone();
            service.fail_history(&id, "STOPPED", now);
            self.deployment_event("SERVICE_DEPLOYMENT_FAILED", arn, &id, &reason);
            return;
        };
        let reason = format!(
            "ECS deployment circuit breaker: rolling back to deploymentId {}.",
            back.id
        );
        (failed.reason, failed.primary) = (reason.clone(), false);
        service.fail_history(&id, "ROLLBACK_IN_PROGRESS", now);
        service
            .deployments
            .retain(|deployment| deployment.id != back.id);
        (back.rollout, back.primary, back.updated_at) = ("IN_PROGRESS", true, now);
        (back.reason, back.failed_tasks) = (reason.clone(), 0);
        let back_id = back.id.clone();
        service.deployments.insert(0, back);
        service.roll_back = Some((id.clone(), now));
        service.failures = 0;
        let after = (service.takes / 2).max(ROLL_BACK);
        self.deployment_event(
            "SERVICE_DEPLOYMENT_FAILED",
            arn,
            &id,
            "tasks failed to start",
        );
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
        service
            .running
            .retain(|task| task.started_by == newest || task.protected);
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
}
