//! The service, its task definition and its stopped tasks.

use aws_sdk_ecs::types::{
    ContainerDefinition, DesiredStatus, LaunchType, LogConfiguration, TaskDefinitionStatus,
};
use redeploy_core::config::MappedService;
use redeploy_core::reference::Reference;
use redeploy_on_rotation::aws::{ApiBucket, AwsError, ErrorKind, timestamp};

use super::{Gatherer, refused};
use crate::doctor::{Member, Mention, Network, Platform, StoppedTask, TaskDefinition};

impl Gatherer<'_> {
    pub(super) async fn describe_service(
        &self,
        service: &MappedService,
    ) -> Result<aws_sdk_ecs::types::Service, AwsError> {
        const ACTION: &str = "ecs:DescribeServices";
        let MappedService { cluster, service } = service;
        let found = self.aws.service_of(cluster, service).await?;
        found.ok_or_else(|| AwsError {
            action: ACTION,
            kind: ErrorKind::NotFound,
            message: format!("there is no service {service} in the cluster {cluster}"),
        })
    }

    pub(super) async fn task_definition(&self, name: &str) -> Result<TaskDefinition, AwsError> {
        const ACTION: &str = "ecs:DescribeTaskDefinition";
        let call = self.ecs.describe_task_definition().task_definition(name);
        let answer = self
            .aws
            .read(ApiBucket::TaskDefinitionRead, ACTION, async || {
                call.clone().send().await
            })
            .await?;
        let definition = answer
            .task_definition
            .ok_or_else(|| refused(ACTION, "the answer has no task definition"))?;
        let role = |arn: &Option<String>| arn.clone().filter(|arn| !arn.is_empty());
        let volumes = definition.volumes().iter().filter_map(|volume| {
            let server = volume.fsx_windows_file_server_volume_configuration()?;
            let text = server
                .authorization_config()?
                .credentials_parameter()
                .to_owned();
            Some(Mention {
                at: format!("volume {}", volume.name().unwrap_or("?")),
                member: Member::Volume,
                text,
            })
        });
        Ok(TaskDefinition {
            arn: definition
                .task_definition_arn
                .clone()
                .unwrap_or_else(|| name.to_owned()),
            inactive: definition.status() == Some(&TaskDefinitionStatus::Inactive),
            execution_role: role(&definition.execution_role_arn),
            task_role: role(&definition.task_role_arn),
            mentions: definition
                .container_definitions()
                .iter()
                .flat_map(mentions)
                .chain(volumes)
                .collect(),
        })
    }

    /// The stopped tasks of a service that ECS still shows.
    pub(super) async fn stopped_tasks(
        &self,
        service: &MappedService,
    ) -> Result<Vec<StoppedTask>, AwsError> {
        let MappedService { cluster, service } = service;
        let tasks = self
            .aws
            .tasks(cluster, Some(service), DesiredStatus::Stopped);
        Ok(tasks.await?.into_iter().map(stopped_task).collect())
    }
}

/// The task definition of the next task: the PRIMARY deployment's or task set's, else the service's
/// own.
pub(super) fn next_task_definition(service: &aws_sdk_ecs::types::Service) -> Option<String> {
    let deployments = service
        .deployments()
        .iter()
        .map(|d| (d.status(), d.task_definition()));
    let task_sets = service
        .task_sets()
        .iter()
        .map(|set| (set.status(), set.task_definition()));
    let primary = deployments
        .chain(task_sets)
        .find(|(status, _)| *status == Some("PRIMARY"));
    let name = primary
        .and_then(|(_, name)| name)
        .or(service.task_definition());
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

pub(super) fn platform(service: &aws_sdk_ecs::types::Service) -> Platform {
    let providers = service.capacity_provider_strategy().iter();
    let on_fargate = service.launch_type() == Some(&LaunchType::Fargate)
        || providers
            .into_iter()
            .any(|item| item.capacity_provider().starts_with("FARGATE"));
    let windows = service
        .platform_family()
        .is_some_and(|family| family.to_ascii_uppercase().starts_with("WINDOWS"));
    if on_fargate {
        Platform::Fargate {
            version: service.platform_version().unwrap_or_default().to_owned(),
            windows,
        }
    } else {
        Platform::Instances
    }
}

pub(super) fn network(service: &aws_sdk_ecs::types::Service) -> Option<Network> {
    let vpc = service.network_configuration()?.awsvpc_configuration()?;
    Some(Network {
        subnets: vpc.subnets().to_vec(),
        security_groups: vpc.security_groups().to_vec(),
        public_ip: vpc.assign_public_ip() == Some(&aws_sdk_ecs::types::AssignPublicIp::Enabled),
    })
}

fn mentions(container: &ContainerDefinition) -> Vec<Mention> {
    let name = container.name().unwrap_or("?");
    let mention = |what: &str, member, text: &str| Mention {
        at: format!("{name}: {what}"),
        member,
        text: text.to_owned(),
    };
    let value_from = |secret: &aws_sdk_ecs::types::Secret| {
        mention(secret.name(), Member::ValueFrom, secret.value_from())
    };
    let options = container
        .log_configuration()
        .into_iter()
        .flat_map(LogConfiguration::secret_options);
    let mut mentions: Vec<_> = container
        .secrets()
        .iter()
        .chain(options)
        .map(value_from)
        .collect();
    let security = container.docker_security_options().iter();
    let specs = container.credential_specs().iter().chain(security);
    let specs = specs.filter_map(|text| Reference::in_credential_spec(text));
    mentions.extend(specs.map(|arn| mention("credentialSpecs", Member::ValueFrom, arn)));
    mentions.extend(
        container
            .repository_credentials()
            .into_iter()
            .map(|credentials| {
                mention(
                    "repositoryCredentials",
                    Member::Registry,
                    credentials.credentials_parameter(),
                )
            }),
    );
    mentions
}

fn stopped_task(task: aws_sdk_ecs::types::Task) -> StoppedTask {
    let containers = task
        .containers()
        .iter()
        .filter_map(|container| container.reason());
    let reasons = task
        .stopped_reason()
        .into_iter()
        .chain(containers)
        .filter(|reason| !reason.is_empty());
    let mut reasons: Vec<_> = reasons.collect();
    reasons.dedup();
    StoppedTask {
        reason: reasons.join("; "),
        at: task.stopped_at().and_then(timestamp),
        code: task
            .stop_code()
            .map(|code| code.as_str().to_owned())
            .unwrap_or_default(),
        arn: task.task_arn.unwrap_or_default(),
    }
}
