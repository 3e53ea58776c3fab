//! What a function like this one may get wrong, put between it and AWS: AWS is shown to it
//! differently, or its calls are repeated or kept back, so that it acts as if its own code had the
//! mistake.

use serde_json::{Value, json};

use super::wire::Wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Every deployment and every task looks older than any change.
    NoFreshnessCheck,
    /// Nothing is waited for: the clock is ahead. (Done by whoever makes the clock.)
    NoSettle,
    /// A lost answer to `UpdateService` is answered by a second call.
    BlindRetry,
    /// After the first service that fails, no other is redeployed.
    StopAtFirstFailure,
    /// A hyphen and six characters are cut off whatever names a secret.
    SuffixCutOnBothSides,
    /// ECS remembers no deployments.
    NoRollBackMemory,
    /// There is never a next page.
    ForgetSecondPage,
    /// Every deployment looks as if it replaced tasks at once.
    NoStages,
    /// No task is looked at.
    NoTasks,
    /// A failure of another revision is taken for one of ours.
    FailureOfOthers,
    /// What ECS rolls back looks as if that were over.
    ForcedDuringRollBack,
    /// Every task looks as old as the deployment that it belongs to.
    AgeOfTheDeployment,
    /// A rollout under way looks as if it were done.
    NoDamping,
    /// A batch that was refused is not asked for one by one.
    DeniedBatch,
    /// The whole account is looked at for every event. (Done by whoever starts the processes.)
    LookPerEvent,
    /// What an earlier process began looks as if it were done.
    OrderFromMemory,
    /// What has begun looks as if it were done.
    FirstDoneWhenStarted,
    /// A sweep does not see what was rolled back.
    HaltForgottenBySweep,
    /// A process believes what it was first told about the calendars.
    FreezeReadOnce,
}

impl Mistake {
    /// Those that tests have held against the program from the beginning.
    pub(crate) const OLD: [Self; 9] = [
        Self::NoFreshnessCheck,
        Self::NoSettle,
        Self::BlindRetry,
        Self::StopAtFirstFailure,
        Self::SuffixCutOnBothSides,
        Self::NoRollBackMemory,
        Self::ForgetSecondPage,
        Self::NoStages,
        Self::NoTasks,
    ];
    /// Those that only an account with tasks, roll-backs and others' deployments can show.
    pub(crate) const OF_TASKS: [Self; 6] = [
        Self::FailureOfOthers,
        Self::ForcedDuringRollBack,
        Self::AgeOfTheDeployment,
        Self::NoDamping,
        Self::DeniedBatch,
        Self::LookPerEvent,
    ];
    /// Those about care: an order of rollout and freezes.
    pub(crate) const OF_CARE: [Self; 4] = [
        Self::OrderFromMemory,
        Self::FirstDoneWhenStarted,
        Self::HaltForgottenBySweep,
        Self::FreezeReadOnce,
    ];
}

/// The elements of a list in an answer.
fn each<'a>(answer: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    answer
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

impl Wire {
    /// Whether a call does not reach AWS.
    pub(super) fn is_kept_back(&self, operation: &str, body: &Value) -> bool {
        let seen = self.seen.lock().unwrap();
        match (self.mistake, operation) {
            (Some(Mistake::StopAtFirstFailure), "UpdateService") => seen.failed,
            (Some(Mistake::DeniedBatch), "DescribeServices") => {
                let asked = body["services"].as_array().into_iter().flatten();
                asked
                    .filter_map(Value::as_str)
                    .any(|name| seen.in_refused_batches.contains(name))
            }
            _ => false,
        }
    }

    /// A call was denied.
    pub(super) fn note_refusal(&self, operation: &str, body: &Value) {
        let mut seen = self.seen.lock().unwrap();
        match operation {
            "UpdateService" => seen.failed = true,
            "DescribeServices" => {
                let asked = body["services"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str);
                seen.in_refused_batches.extend(asked.map(str::to_owned));
            }
            _ => {}
        }
    }

    /// What a function with the mistake would have made of an answer.
    pub(super) fn as_the_mistaken_see(&self, mut answer: Value) -> Value {
        match self.mistake {
            Some(Mistake::NoFreshnessCheck) => {
                for service in each(&mut answer, "services") {
                    each(service, "deployments")
                        .for_each(|deployment| deployment["createdAt"] = json!(0));
                }
                for task in each(&mut answer, "tasks") {
                    (task["createdAt"], task["startedAt"]) = (json!(0), json!(0));
                }
                // The history tells of fresh deployments, too.
                if let Some(deployments) = answer["serviceDeployments"].as_array_mut() {
                    deployments.retain(|deployment| deployment["status"] == "ROLLBACK_SUCCESSFUL");
                }
            }
            Some(Mistake::NoRollBackMemory) if answer.get("serviceDeployments").is_some() => {
                answer["serviceDeployments"] = json!([]);
            }
            Some(Mistake::NoStages) => {
                for service in each(&mut answer, "services") {
                    service["deploymentConfiguration"]["strategy"] = json!("ROLLING");
                }
            }
            Some(Mistake::NoTasks) if answer.get("tasks").is_some() => answer["tasks"] = json!([]),
            Some(Mistake::ForgetSecondPage) => {
                for token in ["nextToken", "NextToken", "PaginationToken"] {
                    answer.as_object_mut().unwrap().remove(token);
                }
            }
            Some(Mistake::SuffixCutOnBothSides) => self.cut_suffixes(&mut answer),
            Some(Mistake::FailureOfOthers) => self.show_one_revision(&mut answer),
            Some(Mistake::ForcedDuringRollBack) => hide_roll_backs(&mut answer),
            Some(Mistake::NoDamping | Mistake::FirstDoneWhenStarted) => {
                hide_rollouts(&mut answer, f64::MAX);
            }
            Some(Mistake::OrderFromMemory) => {
                let began = self.seen.lock().unwrap().process_began;
                hide_rollouts(&mut answer, began.map_or(0.0, super::wire::seconds));
            }
            Some(Mistake::HaltForgottenBySweep) if self.seen.lock().unwrap().is_sweep => {
                hide_roll_backs(&mut answer);
                if let Some(deployments) = answer["serviceDeployments"].as_array_mut() {
                    let failed = ["ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"];
                    deployments
                        .retain(|past| failed.iter().all(|status| past["status"] != *status));
                }
            }
            Some(Mistake::FreezeReadOnce) if answer.get("AtTime").is_some() => {
                let mut seen = self.seen.lock().unwrap();
                answer = seen.calendar.get_or_insert(answer).clone();
            }
            Some(Mistake::AgeOfTheDeployment) => self.age_tasks(&mut answer),
            _ => {}
        }
        answer
    }

    fn cut_suffixes(&self, answer: &mut Value) {
        let Some(definition) = answer.get_mut("taskDefinition") else {
            return;
        };
        let account = self.account();
        for container in each(definition, "containerDefinitions") {
            for secret in each(container, "secrets") {
                let named = secret["valueFrom"].as_str().unwrap_or_default();
                let cut = named
                    .len()
                    .checked_sub(7)
                    .and_then(|end| named.get(..end))
                    .unwrap_or_default();
                let other = account
                    .secrets
                    .values()
                    .find(|secret| secret.arn[..secret.arn.len() - 7] == *cut);
                if let Some(other) = other {
                    secret["valueFrom"] = json!(other.arn);
                }
            }
        }
    }

    /// Every deployment looks as if it had the task definition that a forced one would start.
    fn show_one_revision(&self, answer: &mut Value) {
        for service in each(answer, "services") {
            let mut deployments = service["deployments"].as_array().into_iter().flatten();
            let primary = deployments.find(|deployment| deployment["status"] == "PRIMARY");
            let primary = primary
                .map(|primary| primary["taskDefinition"].clone())
                .unwrap_or_default();
            each(service, "deployments")
                .for_each(|deployment| deployment["taskDefinition"] = primary.clone());
        }
        let account = self.account();
        for revision in each(answer, "serviceRevisions") {
            let service = account
                .services
                .get(revision["serviceArn"].as_str().unwrap_or_default());
            if let Some(newest) = service.and_then(|service| service.deployments.first()) {
                revision["taskDefinition"] = json!(newest.task_definition);
            }
        }
    }

    fn age_tasks(&self, answer: &mut Value) {
        if answer.get("tasks").is_none() {
            return;
        }
        let account = self.account();
        let created: std::collections::BTreeMap<_, _> = account
            .services
            .values()
            .flat_map(|service| &service.history)
            .map(|entry| (entry.id.as_str(), super::wire::seconds(entry.created_at)))
            .collect();
        for task in each(answer, "tasks") {
            let by = task["startedBy"].as_str().unwrap_or_default();
            if let Some(at) = created.get(by).copied() {
                (task["createdAt"], task["startedAt"]) = (json!(at), json!(at));
            }
        }
    }
}

/// What is rolled back is over, and what ECS goes back to is complete.
fn hide_roll_backs(answer: &mut Value) {
    for service in each(answer, "services") {
        let is_rolling_back = |deployment: &Value| {
            let reason = deployment["rolloutStateReason"]
                .as_str()
                .unwrap_or_default();
            reason.contains("rolling back to")
        };
        if let Some(deployments) = service["deployments"].as_array_mut() {
            deployments.retain(|deployment| {
                deployment["status"] == "PRIMARY" || deployment["rolloutState"] != "FAILED"
            });
        }
        for deployment in
            each(service, "deployments").filter(|deployment| is_rolling_back(deployment))
        {
            deployment["rolloutState"] = json!("COMPLETED");
            deployment["rolloutStateReason"] = json!("");
        }
    }
    for deployment in each(answer, "serviceDeployments") {
        if deployment["status"] == "ROLLBACK_IN_PROGRESS" {
            deployment["status"] = json!("ROLLBACK_SUCCESSFUL");
        }
    }
}

/// What is under way since before then is over, but for a roll-back and for what is in stages.
fn hide_rollouts(answer: &mut Value, before: f64) {
    let is_older = |of: &Value| of["createdAt"].as_f64().is_some_and(|at| at < before);
    for service in each(answer, "services") {
        if service["deploymentConfiguration"]["strategy"] != "ROLLING" {
            continue;
        }
        for deployment in each(service, "deployments") {
            let reason = deployment["rolloutStateReason"]
                .as_str()
                .unwrap_or_default();
            let is_rolling = deployment["rolloutState"] == "IN_PROGRESS";
            if is_rolling && is_older(deployment) && !reason.contains("rolling back to") {
                deployment["rolloutState"] = json!("COMPLETED");
            }
        }
    }
    for deployment in each(answer, "serviceDeployments") {
        if deployment["status"] == "IN_PROGRESS" && is_older(deployment) {
            deployment["status"] = json!("SUCCESSFUL");
        }
    }
}
