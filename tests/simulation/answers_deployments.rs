//! What ECS answers to `UpdateService` and about past deployments.

use serde_json::{Value, json};

use super::account::{ACCOUNT, FakeAws, Others, REGION};
use super::care::container_images;
use super::deployments::revision_arn;
use super::wire::{Answer, refused, seconds};

/// How many deployments a service may have at once.
const ACTIVE_DEPLOYMENTS: usize = 5;

impl FakeAws {
    pub(super) fn update_service(&mut self, body: &Value) -> Answer {
        let mut members: Vec<_> = body
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        members.sort_unstable();
        assert_eq!(
            members,
            ["cluster", "forceNewDeployment", "service"],
            "nothing else may be sent"
        );
        let cluster = self.cluster(body)?;
        let arn = body["service"].as_str().unwrap().to_owned();
        let Some(service) = self
            .services
            .get(&arn)
            .filter(|service| service.cluster == cluster)
        else {
            return refused("ServiceNotFoundException", "Service not found.");
        };
        if service.status != "ACTIVE" {
            return refused("ServiceNotActiveException", "Service was not ACTIVE.");
        }
        if self.forbidden.contains(&arn) {
            return refused(
                "AccessDeniedException",
                "not authorized to perform: ecs:UpdateService",
            );
        }
        if service.controller != "ECS" {
            let message = format!(
                "Cannot force a new deployment on services with a {} deployment controller.",
                service.controller
            );
            return refused("InvalidParameterException", message);
        }
        let task_definition = service.deployments[0].task_definition.clone();
        if self.inactive.contains(&task_definition) {
            return refused("ClientException", "TaskDefinition is inactive");
        }
        if self.without_capacity.contains(&arn) {
            let message = "The specified capacity provider 'spot' was not found. Specify a valid name or ARN and try again.";
            return refused("InvalidParameterException", message);
        }
        let in_time = !service.takes.is_zero();
        if in_time && service.deployments.len() >= ACTIVE_DEPLOYMENTS {
            let message = "5 active deployments exist, unable to create new deployment.";
            return refused("InvalidParameterException", message);
        }
        let created = || service.running.iter().map(|task| task.created_at);
        let tasks_then = created().min().zip(created().max());
        self.tasks_then.push(tasks_then);
        let others = self.others(&arn);
        self.others_then.push(others);
        self.note_cut_off(&arn);
        self.start_deployment(&arn, &task_definition, true);
        self.redeploys.push((self.now(), arn.clone()));
        let lag = std::mem::take(&mut self.read_lag);
        let answer = json!({"service": self.service(&arn, &self.services[&arn], false)});
        self.read_lag = lag;
        Ok(answer)
    }

    /// What the services are like now that this one gets a deployment.
    fn others(&self, arn: &str) -> Others {
        let mut others = Others::default();
        for (other, service) in &self.services {
            let tasks = self.stale_tasks(other);
            let old = tasks.iter().flat_map(|task| self.stale_sources(task));
            others.stale.insert(other.clone(), old.collect());
            if service.desired == 0 && service.running.is_empty() {
                others.idle.insert(other.clone());
            }
            let Some(newest) = service.deployments.first().filter(|_| other != arn) else {
                continue;
            };
            if newest.rollout == "IN_PROGRESS" {
                others.rolling.insert(other.clone(), newest.created_at);
            }
            let runs = service
                .deployments
                .iter()
                .find(|deployment| deployment.primary);
            let last = service.history.first().filter(|last| {
                runs.is_some_and(|runs| runs.task_definition == last.task_definition)
            });
            if let Some((last, failed_at)) = last.and_then(|last| Some((last, last.failed_at?))) {
                others
                    .failed
                    .insert(other.clone(), (last.created_at, failed_at));
            }
        }
        others
    }

    pub(super) fn list_service_deployments(&self, body: &Value) -> Answer {
        self.cluster(body)?;
        let arn = body["service"].as_str().unwrap();
        let Some(service) = self.services.get(arn) else {
            return refused("ServiceNotFoundException", "Service not found.");
        };
        let after = body["createdAt"]["after"].as_f64().unwrap_or(0.0);
        let listed = service
            .history
            .iter()
            .filter(|entry| seconds(entry.created_at) >= after);
        let statuses = body["status"].as_array();
        let listed = listed
            .filter(|entry| statuses.is_none_or(|asked| asked.contains(&json!(entry.status))));
        let cluster = service.cluster.rsplit('/').next().unwrap();
        let name = arn.rsplit('/').next().unwrap();
        let briefs: Vec<_> = listed
            .map(|entry| {
                let number = entry.id.trim_start_matches("ecs-svc/");
                let deployment = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service-deployment/{cluster}/{name}/{number}");
                json!({
                    "serviceDeploymentArn": deployment, "serviceArn": arn, "clusterArn": service.cluster,
                    "createdAt": seconds(entry.created_at), "startedAt": seconds(entry.created_at),
                    "targetServiceRevisionArn": revision_arn(arn, &entry.id), "status": entry.status,
                })
            })
            .collect();
        let size = body["maxResults"].as_u64().unwrap_or(20).min(100) as usize;
        Ok(self.page_of(body, size, ["nextToken", "serviceDeployments"], &briefs))
    }

    pub(super) fn describe_service_revisions(&self, body: &Value) -> Answer {
        let asked = body["serviceRevisionArns"].as_array().unwrap();
        if asked.len() > 20 {
            return refused(
                "InvalidParameterException",
                "at most 20 service revisions at a time",
            );
        }
        let (mut revisions, mut failures) = (Vec::new(), Vec::new());
        for arn in asked {
            let arn = arn.as_str().unwrap();
            let (service, number) = arn.rsplit_once('/').unwrap();
            let service = service.replace(":service-revision/", ":service/");
            let id = format!("ecs-svc/{number}");
            let found = self.services.get(&service);
            match found.and_then(|service| service.history.iter().find(|entry| entry.id == id)) {
                Some(entry) => revisions.push(json!({
                    "serviceRevisionArn": arn, "serviceArn": service,
                    "clusterArn": found.map(|service| service.cluster.clone()),
                    "taskDefinition": entry.task_definition, "createdAt": seconds(entry.created_at),
                    "containerImages": container_images(&entry.images),
                })),
                None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            }
        }
        Ok(json!({"serviceRevisions": revisions, "failures": failures}))
    }
}
