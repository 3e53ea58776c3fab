//! The facts that [`crate::doctor`] examines. No value of any secret or parameter is among them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecs::types::{ContainerDefinition, DesiredStatus, LaunchType, LogConfiguration};
use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType};
use aws_sdk_ssm::types::{ParameterMetadata, ParameterType};

use super::Session;
use crate::doctor::{
    Decision, Facts, Known, Member, Mention, Need, Network, Parameter, Place, Platform, Primary,
    Role, Secret, StoppedTask, TaskDefinition, may_mean, names_to_try, needs,
};
use redeploy_core::arn::{Arn, Location};
use redeploy_core::config::MappedService;
use redeploy_core::facts::Look;
use redeploy_core::workload::{self, Workload};
use redeploy_on_rotation::aws::{
    ApiBucket, Aws, AwsError, ErrorKind, PARAMETERS_PER_CALL, in_parallel, pages, timestamp,
};

/// `DescribeTasks` accepts this many names.
const TASKS_PER_CALL: usize = 100;
/// The keys of Secrets Manager and Parameter Store themselves, for which nobody needs a permission.
const OWN_KEYS: [&str; 2] = ["alias/aws/secretsmanager", "alias/aws/ssm"];

/// Gathers facts for a doctor, and leaves open what it may not read.
#[derive(Debug)]
pub struct Gatherer<'a> {
    aws: &'a Aws,
    ecs: aws_sdk_ecs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    iam: aws_sdk_iam::Client,
    /// The Region of the services, where names are looked up.
    region: String,
}

impl Session {
    /// A gatherer for the account and Region of this connection.
    #[must_use]
    pub fn gatherer(&self) -> Gatherer<'_> {
        Gatherer::new(&self.aws, &self.sdk)
    }
}

impl<'a> Gatherer<'a> {
    /// A gatherer for the account and Region of these clients.
    #[must_use]
    pub fn new(aws: &'a Aws, sdk: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(15))
            .build();
        let config = sdk
            .to_builder()
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        let region = sdk.region().map(ToString::to_string).unwrap_or_default();
        Self {
            ecs: aws.ecs.clone(),
            secrets: aws.secrets.clone(),
            iam: aws_sdk_iam::Client::new(&config),
            aws,
            region,
        }
    }

    /// What there is to know about a service; about one secret only, where that is given by name or ARN.
    ///
    /// # Errors
    /// When the service itself cannot be read, or is not there. What else cannot be read is left open in the facts.
    pub async fn service(
        &self,
        service: &MappedService,
        secret: Option<&str>,
    ) -> Result<Facts, AwsError> {
        let described = self.describe_service(service).await?;
        let arn = described.service_arn.clone().unwrap_or_default();
        let parsed = Arn::parse(&arn)
            .ok_or_else(|| refused("ecs:DescribeServices", "the answer has no ARN"))?;
        let mut task_definition = match next_task_definition(&described) {
            Some(name) => self
                .task_definition(&name)
                .await
                .map_err(|error| error.to_string()),
            None => Err("the service names no task definition".to_owned()),
        };
        if let (Ok(definition), Some(secret)) = (&mut task_definition, secret) {
            definition
                .mentions
                .retain(|mention| may_mean(mention, secret));
        }
        let primary = described
            .deployments()
            .iter()
            .find(|deployment| deployment.status() == Some("PRIMARY"));
        let primary = primary.and_then(|deployment| {
            Some(Primary {
                created_at: timestamp(deployment.created_at()?)?,
                running: deployment.running_count,
            })
        });
        let since = primary.map(|primary| primary.created_at);
        let messages = described.events().iter().filter_map(|event| {
            let at = timestamp(event.created_at()?)?;
            since
                .is_none_or(|since| at >= since)
                .then(|| Some((at, event.message()?.to_owned())))?
        });
        let mut messages: Vec<_> = messages.collect();
        messages.sort_by_key(|(at, _)| *at);
        let mut facts = Facts {
            home: parsed.location(),
            partition: parsed.partition,
            primary,
            platform: platform(&described),
            network: network(&described),
            task_definition,
            secrets: BTreeMap::new(),
            parameters: BTreeMap::new(),
            roles: BTreeMap::new(),
            permissions: BTreeMap::new(),
            stopped: self
                .stopped_tasks(service)
                .await
                .map_err(|error| error.to_string()),
            messages,
            service: arn,
        };
        if let Ok(definition) = &facts.task_definition {
            let definition = definition.clone();
            (facts.secrets, facts.parameters) = self.named(&definition.mentions, &facts.home).await;
            self.ask_iam(&mut facts, &definition).await;
        }
        Ok(facts)
    }

    /// The services that name a secret, by name or ARN: as far as a name can tell.
    #[must_use]
    pub fn services_of(look: &Look, secret: &str) -> Vec<MappedService> {
        let mention = |text: String| Mention {
            at: String::new(),
            member: Member::ValueFrom,
            text,
        };
        let names = |workload: &&Workload| {
            let mut references = workload.uses.iter().map(workload::Use::reference);
            workload.platform != workload::Platform::StandaloneTask
                && references.any(|reference| may_mean(&mention(reference.to_string()), secret))
        };
        let last = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
        let services = look.workloads.iter().filter(names);
        services
            .map(|service| MappedService {
                cluster: last(&service.cluster),
                service: last(&service.arn),
            })
            .collect()
    }

    /// A secret by itself, and what its name finds where its ARN does not.
    pub async fn secret(&self, id: &str) -> (Place, BTreeMap<Place, Known<Option<Secret>>>) {
        let region = Arn::parse(id).map_or_else(|| self.region.clone(), |arn| arn.region);
        let place = (region, id.to_owned());
        let found = self.secrets(BTreeSet::from([place.clone()])).await;
        (place, found)
    }

    async fn describe_service(
        &self,
        service: &MappedService,
    ) -> Result<aws_sdk_ecs::types::Service, AwsError> {
        const ACTION: &str = "ecs:DescribeServices";
        let MappedService { cluster, service } = service;
        let call = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .services(service);
        let answer = self
            .aws
            .read(ApiBucket::ServiceRead, ACTION, async || {
                call.clone().send().await
            })
            .await?;
        let found = answer.services.unwrap_or_default().into_iter().next();
        found.ok_or_else(|| AwsError {
            action: ACTION,
            kind: ErrorKind::NotFound,
            message: format!("there is no service {service} in the cluster {cluster}"),
        })
    }

    async fn task_definition(&self, name: &str) -> Result<TaskDefinition, AwsError> {
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
    async fn stopped_tasks(&self, service: &MappedService) -> Result<Vec<StoppedTask>, AwsError> {
        let MappedService { cluster, service } = service;
        let call = self.ecs.list_tasks().cluster(cluster).service_name(service);
        let call = call.desired_status(DesiredStatus::Stopped).max_results(100);
        let arns = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .aws
                .read(ApiBucket::ClusterResourceRead, "ecs:ListTasks", page)
                .await?;
            Ok((page.task_arns.unwrap_or_default(), page.next_token))
        })
        .await?;
        let chunks: Vec<_> = arns.chunks(TASKS_PER_CALL).map(<[_]>::to_vec).collect();
        let answers = in_parallel(chunks, async |names| {
            let call = self
                .ecs
                .describe_tasks()
                .cluster(cluster)
                .set_tasks(Some(names));
            let call = async || call.clone().send().await;
            self.aws
                .read(ApiBucket::ClusterResourceRead, "ecs:DescribeTasks", call)
                .await
        });
        let mut tasks = Vec::new();
        for answer in answers.await {
            tasks.extend(
                answer?
                    .tasks
                    .unwrap_or_default()
                    .into_iter()
                    .map(stopped_task),
            );
        }
        Ok(tasks)
    }

    /// The secrets and parameters that these mentions name.
    async fn named(
        &self,
        mentions: &[Mention],
        home: &Location,
    ) -> (
        BTreeMap<Place, Known<Option<Secret>>>,
        BTreeMap<Place, Known<Option<Parameter>>>,
    ) {
        let (secrets, parameters) = Facts::places(mentions, home);
        let parameters = self.parameters(parameters).await;
        // A bare name that is no parameter's may be a secret's, by mistake.
        let missing = parameters
            .iter()
            .filter(|(_, known)| matches!(known, Ok(None)));
        let mistaken: BTreeSet<_> = missing
            .map(|((region, name), _)| (region.clone(), name.trim_start_matches('/').to_owned()))
            .filter(|place| !secrets.contains(place))
            .collect();
        let mut found = self.secrets(secrets).await;
        found.extend(self.secrets(mistaken).await);
        for (place, versions) in self.pinned_versions(mentions, home, &found).await {
            if let Some(Ok(Some(secret))) = found.get_mut(&place) {
                secret.versions = versions;
            }
        }
        (found, parameters)
    }

    /// The secrets at these places, and what their names find where their ARNs do not.
    async fn secrets(&self, places: BTreeSet<Place>) -> BTreeMap<Place, Known<Option<Secret>>> {
        let mut found = BTreeMap::new();
        let mut places = places;
        while !places.is_empty() {
            let answers =
                in_parallel(places, async |place| (self.describe(&place).await, place)).await;
            places = BTreeSet::new();
            for (known, (region, id)) in answers {
                if let Ok(None) = &known {
                    places.extend(
                        names_to_try(&id)
                            .into_iter()
                            .map(|name| (region.clone(), name)),
                    );
                }
                found.insert((region, id), known);
            }
            places.retain(|place| !found.contains_key(place));
        }
        found
    }

    async fn describe(&self, (region, id): &Place) -> Known<Option<Secret>> {
        let config = self.aws.secrets_in(Some(region.clone()));
        let call = self.secrets.describe_secret().secret_id(id);
        let call = async || {
            call.clone()
                .customize()
                .config_override(config.clone())
                .send()
                .await
        };
        let answer = match self
            .aws
            .read(ApiBucket::Secrets, "secretsmanager:DescribeSecret", call)
            .await
        {
            Ok(answer) => answer,
            Err(AwsError {
                kind: ErrorKind::NotFound,
                ..
            }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let labels = answer.version_ids_to_stages.unwrap_or_default().into_iter();
        Ok(Some(Secret {
            arn: answer.arn.unwrap_or_else(|| id.clone()),
            name: answer.name.unwrap_or_default(),
            labels: labels
                .flat_map(|(version, labels)| {
                    labels
                        .into_iter()
                        .map(move |label| (label, version.clone()))
                })
                .collect(),
            versions: Err("its versions without a label were not asked for".to_owned()),
            deleted: answer.deleted_date.as_ref().and_then(timestamp),
            key: own_key(answer.kms_key_id),
        }))
    }

    /// All versions of each secret of which a mention names one that carries no label.
    async fn pinned_versions(
        &self,
        mentions: &[Mention],
        home: &Location,
        found: &BTreeMap<Place, Known<Option<Secret>>>,
    ) -> Vec<(Place, Known<BTreeSet<String>>)> {
        let mut unlabelled = BTreeSet::new();
        for (place, version) in mentions
            .iter()
            .filter_map(|mention| crate::doctor::pinned(mention, home))
        {
            if let Some(Ok(Some(secret))) = found.get(&place)
                && secret.labels.values().all(|labelled| *labelled != version)
            {
                unlabelled.insert(place);
            }
        }
        in_parallel(unlabelled, async |place| {
            (self.all_versions(&place).await, place)
        })
        .await
        .into_iter()
        .map(|(versions, place)| (place, versions.map_err(|error| error.to_string())))
        .collect()
    }

    async fn all_versions(&self, (region, id): &Place) -> Result<BTreeSet<String>, AwsError> {
        let config = self.aws.secrets_in(Some(region.clone()));
        let call = self
            .secrets
            .list_secret_version_ids()
            .secret_id(id)
            .include_deprecated(true)
            .max_results(100);
        let versions = pages(async |token| {
            let page = call.clone().set_next_token(token.clone());
            let page = async || {
                page.clone()
                    .customize()
                    .config_override(config.clone())
                    .send()
                    .await
            };
            let page = self
                .aws
                .read(
                    ApiBucket::Secrets,
                    "secretsmanager:ListSecretVersionIds",
                    page,
                )
                .await?;
            Ok((page.versions.unwrap_or_default(), page.next_token))
        });
        Ok(versions
            .await?
            .into_iter()
            .filter_map(|version| version.version_id)
            .collect())
    }

    async fn parameters(
        &self,
        places: BTreeSet<Place>,
    ) -> BTreeMap<Place, Known<Option<Parameter>>> {
        let mut by_region = BTreeMap::<_, Vec<_>>::new();
        for (region, name) in places {
            by_region.entry(region).or_default().push(name);
        }
        let chunks = by_region.into_iter().flat_map(|(region, names)| {
            let chunks: Vec<_> = names
                .chunks(PARAMETERS_PER_CALL)
                .map(<[_]>::to_vec)
                .collect();
            chunks.into_iter().map(move |names| (region.clone(), names))
        });
        let answers = in_parallel(chunks, async |(region, names)| {
            (
                self.aws.describe_parameters(&region, names.clone()).await,
                region,
                names,
            )
        });
        let mut known = BTreeMap::new();
        for (answer, region, names) in answers.await {
            let answer = answer.map_err(|error| error.to_string());
            for name in names {
                let found = answer
                    .as_ref()
                    .map(|found| found.get(&name).map(parameter))
                    .map_err(Clone::clone);
                known.insert((region.clone(), name), found);
            }
        }
        known
    }

    /// The roles, and what the execution role may do; the task role only where the execution role may not.
    async fn ask_iam(&self, facts: &mut Facts, definition: &TaskDefinition) {
        let Some(execution_role) = definition
            .execution_role
            .as_ref()
            .filter(|_| !definition.mentions.is_empty())
        else {
            return;
        };
        let roles = [Some(execution_role), definition.task_role.as_ref()];
        let roles: BTreeSet<_> = roles.into_iter().flatten().cloned().collect();
        let answers = in_parallel(roles, async |role| (self.role(&role).await, role)).await;
        facts.roles = answers
            .into_iter()
            .map(|(known, role)| (role, known))
            .collect();
        if !matches!(facts.roles.get(execution_role), Some(Ok(None))) {
            let asked = needs(facts)
                .into_iter()
                .map(|need| (execution_role.clone(), need));
            facts.permissions = self.decisions(asked).await;
        }
        if let Some(task_role) = definition
            .task_role
            .as_ref()
            .filter(|role| *role != execution_role)
        {
            let denied = facts.permissions.iter().filter(|(_, known)| {
                matches!(known, Ok(Decision::ImplicitDeny | Decision::ExplicitDeny))
            });
            let asked: Vec<_> = denied
                .map(|((_, need), _)| (task_role.clone(), need.clone()))
                .collect();
            facts.permissions.extend(self.decisions(asked).await);
        }
    }

    async fn role(&self, arn: &str) -> Known<Option<Role>> {
        let call = self
            .iam
            .get_role()
            .role_name(arn.rsplit('/').next().unwrap_or(arn));
        match self
            .aws
            .read(ApiBucket::Iam, "iam:GetRole", async || {
                call.clone().send().await
            })
            .await
        {
            Ok(answer) => {
                let trust = answer
                    .role
                    .and_then(|role| role.assume_role_policy_document)
                    .unwrap_or_default();
                Ok(Some(Role {
                    trust: percent_decoded(&trust),
                }))
            }
            Err(AwsError {
                kind: ErrorKind::NotFound,
                ..
            }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn decisions(
        &self,
        asked: impl IntoIterator<Item = (String, Need)>,
    ) -> BTreeMap<(String, Need), Known<Decision>> {
        let answers = in_parallel(asked, async |(role, need)| {
            let decision = self
                .decision(&role, &need)
                .await
                .map_err(|error| error.to_string());
            ((role, need), decision)
        });
        answers.await.into_iter().collect()
    }

    /// What IAM decides by the policies of the role, its permissions boundary and the organization's; the policies of
    /// the secret and of the key are not considered for roles
    /// (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>).
    async fn decision(
        &self,
        role: &str,
        Need { action, resource }: &Need,
    ) -> Result<Decision, AwsError> {
        const ACTION: &str = "iam:SimulatePrincipalPolicy";
        let call = self.iam.simulate_principal_policy().policy_source_arn(role);
        let call = call.action_names(*action).resource_arns(resource);
        let answer = self
            .aws
            .read(ApiBucket::Iam, ACTION, async || call.clone().send().await)
            .await?;
        match answer
            .evaluation_results()
            .first()
            .map(EvaluationResult::eval_decision)
        {
            Some(PolicyEvaluationDecisionType::Allowed) => Ok(Decision::Allowed),
            Some(PolicyEvaluationDecisionType::ImplicitDeny) => Ok(Decision::ImplicitDeny),
            Some(PolicyEvaluationDecisionType::ExplicitDeny) => Ok(Decision::ExplicitDeny),
            other => Err(refused(ACTION, &format!("the answer decides {other:?}"))),
        }
    }
}

fn refused(action: &'static str, message: &str) -> AwsError {
    AwsError {
        action,
        kind: ErrorKind::Rejected,
        message: message.to_owned(),
    }
}

/// The task definition of the next task: the PRIMARY deployment's or task set's, else the service's own.
fn next_task_definition(service: &aws_sdk_ecs::types::Service) -> Option<String> {
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

fn platform(service: &aws_sdk_ecs::types::Service) -> Platform {
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

fn network(service: &aws_sdk_ecs::types::Service) -> Option<Network> {
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

fn parameter(found: &ParameterMetadata) -> Parameter {
    let key = found
        .key_id
        .clone()
        .filter(|_| found.r#type == Some(ParameterType::SecureString));
    Parameter { key: own_key(key) }
}

/// A key that needs a permission of its own: not that of Secrets Manager or Parameter Store.
fn own_key(key: Option<String>) -> Option<String> {
    key.filter(|key| !OWN_KEYS.iter().any(|own| key.ends_with(own)))
}

/// IAM sends policies percent-encoded, by RFC 3986.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let encoded = after.get(..2).filter(|_| *first == b'%').and_then(hex);
        bytes.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
