//! What ECS answers about clusters and services.

use serde_json::{Value, json};

use super::account::FakeAws;
use super::care::current_revisions;
use super::deployments::{Breaker, Deployment, Service};
use super::wire::{Answer, refused, seconds};

impl FakeAws {
    pub(super) fn cluster(&self, body: &Value) -> Result<String, (u16, &'static str, String)> {
        let asked = body["cluster"].as_str().unwrap_or("default");
        let is_asked =
            |cluster: &&String| *cluster == asked || cluster.rsplit('/').next() == Some(asked);
        let listed = self.clusters.iter().find(is_asked);
        let found = listed.or_else(|| {
            self.services
                .values()
                .map(|service| &service.cluster)
                .find(is_asked)
        });
        match found {
            Some(cluster) if !cluster.ends_with("/gone") => Ok(cluster.clone()),
            _ => Err((
                400,
                "ClusterNotFoundException",
                "Cluster not found.".to_owned(),
            )),
        }
    }

    pub(super) fn list_clusters(&self, body: &Value) -> Value {
        self.page(body, "clusterArns", &self.clusters)
    }

    pub(super) fn describe_clusters(&self, body: &Value) -> Answer {
        let asked = body["clusters"].as_array().unwrap();
        if asked.len() > 100 {
            return refused(
                "InvalidParameterException",
                "at most 100 clusters at a time",
            );
        }
        let (mut clusters, mut failures) = (Vec::new(), Vec::new());
        for asked in asked {
            let Ok(arn) = self.cluster(&json!({"cluster": asked})) else {
                failures.push(json!({"arn": asked, "reason": "MISSING"}));
                continue;
            };
            let outside = self
                .tasks
                .values()
                .filter(|task| task.cluster == arn)
                .count();
            let (mut active, mut running, mut pending) = (0, 0, 0);
            for service in self
                .services
                .values()
                .filter(|service| service.cluster == arn)
            {
                let started = service
                    .running
                    .iter()
                    .filter(|task| task.started_at.is_some())
                    .count();
                active += usize::from(service.status == "ACTIVE");
                running += started;
                pending += service.running.len() - started;
            }
            clusters.push(json!({
                "clusterArn": arn, "status": "ACTIVE", "activeServicesCount": active,
                "runningTasksCount": running + outside, "pendingTasksCount": pending,
            }));
        }
        Ok(json!({"clusters": clusters, "failures": failures}))
    }

    pub(super) fn list_services(&self, body: &Value) -> Answer {
        let cluster = self.cluster(body)?;
        let is_listed =
            |service: &Service| service.cluster == cluster && service.status == "ACTIVE";
        let listed = self
            .services
            .iter()
            .filter(|(_, service)| is_listed(service));
        let arns: Vec<_> = listed.map(|(arn, _)| arn.clone()).collect();
        Ok(self.page(body, "serviceArns", &arns))
    }

    pub(super) fn describe_services(&mut self, body: &Value) -> Answer {
        let cluster = self.cluster(body)?;
        let asked: Vec<_> = body["services"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        if asked.len() > 10 {
            return refused(
                "InvalidParameterException",
                "describe at most 10 services at a time",
            );
        }
        let tags = body["include"]
            .as_array()
            .is_some_and(|include| include.contains(&json!("TAGS")));
        let (mut services, mut failures, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for name in asked {
            let is = |arn: &str, service: &Service| {
                service.cluster == cluster && (arn == name || arn.rsplit('/').next() == Some(name))
            };
            let by_arn = self
                .services
                .get_key_value(name)
                .filter(|(arn, service)| is(arn, service));
            let found =
                by_arn.or_else(|| self.services.iter().find(|(arn, service)| is(arn, service)));
            let Some((arn, service)) = found else {
                let arn = if name.starts_with("arn:") {
                    name.to_owned()
                } else {
                    format!("arn:aws:ecs:eu-west-1:123456789012:service/{name}")
                };
                failures.push(json!({"arn": arn, "reason": "MISSING"}));
                continue;
            };
            if self.hidden.contains(arn) {
                // One name that may not be described refuses them all.
                let message = format!(
                    "User: arn:aws:sts::123456789012:assumed-role/redeploy/redeploy is not authorized to perform: \
                     ecs:DescribeServices on resource: {arn} because no identity-based policy allows the \
                     ecs:DescribeServices action"
                );
                return refused("AccessDeniedException", message);
            }
            shown.push(arn.clone());
            services.push(self.service(arn, service, tags));
        }
        let as_of = self.now().saturating_sub(self.read_lag).unwrap();
        self.shown.extend(shown.into_iter().map(|arn| (arn, as_of)));
        Ok(json!({"services": services, "failures": failures}))
    }

    /// A service as ECS describes it.
    pub(super) fn service(&self, arn: &str, service: &Service, tags: bool) -> Value {
        let as_of = self.now().saturating_sub(self.read_lag).unwrap();
        let mut visible: Vec<_> = service
            .deployments
            .iter()
            .filter(|d| d.created_at <= as_of)
            .cloned()
            .collect();
        if !visible.is_empty() && !visible.iter().any(|deployment| deployment.primary) {
            visible[0].primary = true;
        }
        let earlier = service.history.iter().map(|entry| entry.created_at);
        let live = service
            .deployments
            .iter()
            .map(|deployment| deployment.created_at);
        let created_at = earlier.chain(live).min();
        let name = arn.rsplit('/').next().unwrap();
        let outside = self
            .tasks
            .values()
            .filter(|task| task.group.strip_prefix("service:") == Some(name))
            .count();
        let pending = service
            .running
            .iter()
            .filter(|task| task.started_at.is_none())
            .count();
        let mut answer = json!({
            "serviceArn": arn, "serviceName": name, "clusterArn": service.cluster,
            "status": service.status, "createdAt": created_at.map(seconds),
            "desiredCount": service.desired, "pendingCount": pending,
            "runningCount": service.running.len() - pending + outside,
            "deploymentController": {"type": service.controller},
            "deploymentConfiguration": {
                "strategy": service.strategy,
                "deploymentCircuitBreaker": {
                    "enable": service.breaker != Breaker::Off,
                    "rollback": service.breaker == Breaker::Rollback,
                },
            },
        });
        let status = |deployment: &Deployment| {
            if deployment.primary {
                "PRIMARY"
            } else {
                "ACTIVE"
            }
        };
        if service.controller == "ECS" {
            answer["deployments"] = visible.iter().map(|d| deployment(service, d)).collect();
            answer["currentServiceRevisions"] = current_revisions(arn, service, &visible);
        } else {
            let task_set = |deployment: &Deployment| {
                json!({
                    "id": deployment.id, "status": status(deployment), "taskDefinition": deployment.task_definition,
                    "createdAt": seconds(deployment.created_at), "externalId": "d-1A2B3C4D5",
                })
            };
            answer["taskSets"] = visible.iter().map(task_set).collect();
        }
        self.add_details(arn, &mut answer);
        if tags {
            let tag = |(key, value): (&String, &String)| json!({"key": key, "value": value});
            answer["tags"] = service.tags.iter().map(tag).collect();
        }
        answer
    }
}

/// A deployment as ECS describes it.
fn deployment(service: &Service, deployment: &Deployment) -> Value {
    let of_it = service
        .running
        .iter()
        .filter(|task| task.started_by == deployment.id);
    let (running, pending): (Vec<_>, Vec<_>) = of_it.partition(|task| task.started_at.is_some());
    let desired = match (deployment.primary, deployment.rollout) {
        (true, "FAILED") => running.len(),
        (true, _) => usize::try_from(service.desired).unwrap(),
        (false, "FAILED") => 0,
        (false, _) => running.len(),
    };
    let mut answer = json!({
        "id": deployment.id, "status": if deployment.primary { "PRIMARY" } else { "ACTIVE" },
        "taskDefinition": deployment.task_definition, "desiredCount": desired,
        "runningCount": running.len(), "pendingCount": pending.len(), "failedTasks": deployment.failed_tasks,
        "createdAt": seconds(deployment.created_at), "updatedAt": seconds(deployment.updated_at),
        "rolloutState": deployment.rollout, "rolloutStateReason": deployment.reason,
    });
    if let Some(configuration) = &service.service_connect {
        answer["serviceConnectConfiguration"] = configuration.clone();
    }
    answer
}
