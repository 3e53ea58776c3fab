//! What ECS answers about tasks and task definitions.

use serde_json::{Value, json};

use super::account::FakeAws;
use super::deployments::Service;
use super::tasks::{LooseTask, Task, task_arn};
use super::wire::{Answer, refused, seconds};

impl FakeAws {
    pub(super) fn list_tasks(&self, body: &Value) -> Answer {
        let cluster = self.cluster(body)?;
        if body["desiredStatus"] == "STOPPED" {
            let arns: Vec<_> = self.stopped.keys().cloned().collect();
            return Ok(self.page(body, "taskArns", &arns));
        }
        assert!(body["desiredStatus"] == "RUNNING" || body["desiredStatus"].is_null());
        let named = body["serviceName"].as_str();
        let name = named.map(|name| name.rsplit('/').next().unwrap().to_owned());
        let group = name.as_ref().map(|name| format!("service:{name}"));
        let is_asked = |arn: &str, service: &Service| {
            service.cluster == cluster
                && name
                    .as_deref()
                    .is_none_or(|name| arn.rsplit('/').next() == Some(name))
        };
        let services = self
            .services
            .iter()
            .filter(|(arn, service)| is_asked(arn, service));
        let of_services = services.flat_map(|(_, service)| &service.running);
        let mut arns: Vec<_> = of_services
            .map(|task| task_arn(&cluster, task.id))
            .collect();
        let is_loose = |task: &LooseTask| {
            task.cluster == cluster && group.as_ref().is_none_or(|group| task.group == *group)
        };
        let loose = self.tasks.iter().filter(|(_, task)| is_loose(task));
        arns.extend(loose.map(|(arn, _)| arn.clone()));
        Ok(self.page(body, "taskArns", &arns))
    }

    pub(super) fn describe_tasks(&self, body: &Value) -> Answer {
        let asked = body["tasks"].as_array().unwrap();
        if asked.len() > 100 {
            return refused("InvalidParameterException", "at most 100 tasks at a time");
        }
        let cluster = self.cluster(body)?;
        let services: Vec<_> = self
            .services
            .iter()
            .filter(|(_, service)| service.cluster == cluster)
            .collect();
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for arn in asked {
            let arn = arn.as_str().unwrap();
            let id = arn
                .rsplit('/')
                .next()
                .and_then(|id| u64::from_str_radix(id, 16).ok());
            let kept = services.iter().find_map(|(service, state)| {
                let task = state.running.iter().find(|task| Some(task.id) == id)?;
                (task_arn(&cluster, task.id) == arn).then_some((*service, task))
            });
            if let Some(stopped) = self.stopped.get(arn) {
                tasks.push(stopped.clone());
            } else if let Some(task) = self.tasks.get(arn) {
                tasks.push(json!({
                    "taskArn": arn, "clusterArn": task.cluster, "group": task.group, "startedBy": task.started_by,
                    "taskDefinitionArn": task.task_definition, "lastStatus": "RUNNING",
                    "desiredStatus": "RUNNING", "createdAt": seconds(task.started_at),
                    "startedAt": seconds(task.started_at),
                }));
            } else if let Some((service, task)) = kept {
                tasks.push(described(service, &cluster, task));
            } else {
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
            }
        }
        Ok(json!({"tasks": tasks, "failures": failures}))
    }

    pub(super) fn describe_task_definition(&self, body: &Value) -> Answer {
        let arn = body["taskDefinition"].as_str().unwrap();
        let Some(definition) = self.task_definitions.get(arn) else {
            return refused("ClientException", "Unable to describe task definition.");
        };
        let mut definition = definition.clone();
        definition["taskDefinitionArn"] = json!(arn);
        definition["status"] = json!(if self.inactive.contains(arn) {
            "INACTIVE"
        } else {
            "ACTIVE"
        });
        Ok(json!({"taskDefinition": definition}))
    }
}

fn described(service: &str, cluster: &str, task: &Task) -> Value {
    let started = task.started_at;
    let mut answer = json!({
        "taskArn": task_arn(cluster, task.id), "clusterArn": cluster,
        "group": format!("service:{}", service.rsplit('/').next().unwrap()), "startedBy": task.started_by,
        "taskDefinitionArn": task.task_definition, "createdAt": seconds(task.created_at),
        "lastStatus": if started.is_some() { "RUNNING" } else { "PENDING" }, "desiredStatus": "RUNNING",
    });
    if let Some(started) = started {
        answer["startedAt"] = json!(seconds(started));
    }
    answer
}
