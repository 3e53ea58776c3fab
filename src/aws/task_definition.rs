//! What task definition revisions name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ecs::types::{
    ContainerDefinition, LogConfiguration, TaskDefinition, TaskDefinitionStatus,
    VersionConsistency::Disabled,
};
use redeploy_core::reference::{InvalidReference, Reference};
use redeploy_core::workload::Use;

use super::client::lock;
use super::paging::in_parallel;
use super::{ApiBucket, Aws, AwsError, ErrorKind};

/// What a task definition revision says
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// What its tasks read.
    pub uses: Arc<[Use]>,
    /// The images of its containers.
    pub images: Vec<String>,
    /// The names of its containers that have `versionConsistency` disabled.
    pub unguarded: Vec<String>,
    /// Whether it was deregistered, so that nothing new starts from it.
    pub inactive: bool,
    /// What could not be understood, in sentences.
    pub warnings: Vec<String>,
}

/// Something that a text names, with how it is read.
type Mention<'a> = (
    &'a str,
    fn(&str) -> Result<Reference, InvalidReference>,
    fn(Arc<Reference>) -> Use,
);

impl Aws {
    /// These revisions, by ARN; those that could not be read, with the reason. Each is read once per
    /// process.
    pub async fn revisions(
        &self,
        arns: &BTreeSet<Arc<str>>,
    ) -> (
        BTreeMap<Arc<str>, Arc<Revision>>,
        BTreeMap<Arc<str>, AwsError>,
    ) {
        let mut known = BTreeMap::new();
        let mut unread = Vec::new();
        {
            let memory = lock(&self.memory);
            for arn in arns {
                match memory.revisions.get(arn) {
                    Some(revision) => drop(known.insert(arn.clone(), revision.clone())),
                    None => unread.push(arn.clone()),
                }
            }
        }
        let answers = in_parallel(unread, async |arn| {
            let revision = self.describe_task_definition(&arn).await;
            (arn, revision)
        });
        let mut failed = BTreeMap::new();
        for (arn, answer) in answers.await {
            match answer {
                Ok(revision) => drop(known.insert(arn, revision)),
                Err(error) => drop(failed.insert(arn, error)),
            }
        }
        (known, failed)
    }

    async fn describe_task_definition(&self, arn: &Arc<str>) -> Result<Arc<Revision>, AwsError> {
        const ACTION: &str = "ecs:DescribeTaskDefinition";
        let call = self.ecs.describe_task_definition().task_definition(&**arn);
        let call = async || call.clone().send().await;
        let answer = self
            .read(ApiBucket::TaskDefinitionRead, ACTION, call)
            .await?;
        let definition = answer.task_definition.ok_or_else(|| AwsError {
            action: ACTION,
            kind: ErrorKind::Rejected,
            message: "the answer has no task definition".to_owned(),
        })?;
        let revision = Arc::new(self.revision(arn, &definition));
        let mut memory = lock(&self.memory);
        memory.revisions.insert(arn.clone(), revision.clone());
        Ok(revision)
    }

    fn revision(&self, arn: &str, definition: &TaskDefinition) -> Revision {
        let containers = definition.container_definitions();
        let mentions = containers.iter().flat_map(mentions);
        let volumes = definition.volumes().iter().filter_map(|volume| {
            let server = volume.fsx_windows_file_server_volume_configuration()?;
            let authorization = server.authorization_config()?;
            Some(at_start(authorization.credentials_parameter()))
        });
        let images = containers
            .iter()
            .filter_map(|container| container.image.clone());
        let unguarded = containers
            .iter()
            .filter(|container| container.version_consistency() == Some(&Disabled));
        let (uses, warnings) = self.read_mentions(arn, mentions.chain(volumes));
        Revision {
            uses: uses.into(),
            images: images.collect(),
            unguarded: unguarded.filter_map(|c| c.name.clone()).collect(),
            inactive: definition.status() == Some(&TaskDefinitionStatus::Inactive),
            warnings,
        }
    }

    /// What the log driver of the Service Connect proxy of a live deployment reads.
    pub(super) fn service_connect_uses(
        &self,
        arn: &str,
        service: &aws_sdk_ecs::types::Service,
    ) -> (Vec<Use>, Vec<String>) {
        let live = service.deployments().iter();
        let logs = live
            .filter_map(|deployment| deployment.service_connect_configuration())
            .filter_map(|configuration| configuration.log_configuration());
        self.read_mentions(arn, logs.flat_map(secret_options))
    }

    /// The uses that can be understood, each once, and a warning for each other.
    fn read_mentions<'a>(
        &self,
        arn: &str,
        mentions: impl Iterator<Item = Mention<'a>>,
    ) -> (Vec<Use>, Vec<String>) {
        let (mut uses, mut warnings) = (BTreeSet::new(), Vec::new());
        let mut memory = lock(&self.memory);
        for (text, parse, used) in mentions {
            match parse(text) {
                Ok(reference) => drop(uses.insert(used(memory.share(reference)))),
                Err(error) => warnings.push(format!(
                    "{arn} refers to {text:?}, which no task can read: {error}"
                )),
            }
        }
        (uses.into_iter().collect(), warnings)
    }
}

fn at_start(text: &str) -> Mention<'_> {
    (text, Reference::parse, Use::AtStart)
}

fn secret_options(log: &LogConfiguration) -> impl Iterator<Item = Mention<'_>> {
    log.secret_options()
        .iter()
        .map(|secret| at_start(secret.value_from()))
}

fn mentions(container: &ContainerDefinition) -> Vec<Mention<'_>> {
    let secrets = container
        .secrets()
        .iter()
        .map(|secret| at_start(secret.value_from()));
    let options = container
        .log_configuration()
        .into_iter()
        .flat_map(secret_options);
    let pull = container
        .repository_credentials()
        .map(|credentials| -> Mention<'_> {
            let text = credentials.credentials_parameter();
            (text, Reference::parse_secret, Use::AtImagePull)
        });
    let security = container.docker_security_options();
    let specs = container.credential_specs().iter().chain(security);
    let specs = specs
        .filter_map(|text| Reference::in_credential_spec(text))
        .map(at_start);
    secrets.chain(options).chain(specs).chain(pull).collect()
}
