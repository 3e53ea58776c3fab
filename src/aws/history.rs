//! What happened when: earlier deployments of a service, and the last change of each secret in use.
//!
//! No API says when a label last moved. `LastChangedDate` is an upper bound; the creation of the version that carries
//! the label is a lower bound; CloudTrail's event history knows the moment. Each costs more calls than the one before,
//! and is asked only about what the one before left open.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_sdk_ecs::types::{CreatedAt, ServiceDeploymentStatus};
use aws_sdk_ssm::types::ParameterStringFilter;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::inventory::{in_parallel, pages, timestamp};
use super::pace::Category;
use super::{Aws, AwsError};
use crate::event::{self, Claim, Hint, SecretFacts};
use crate::secret::{AWSCURRENT, Follows, ParameterArn, Reference, Rotation, Subject};
use crate::service::{Deployment, Rollout, Service, Use};

/// `DescribeParameters` accepts this many names in a filter.
const PARAMETERS_PER_CALL: usize = 50;
/// CloudTrail's event history reaches this far back.
const CLOUDTRAIL_REACH: SignedDuration = SignedDuration::from_hours(90 * 24);
/// `LastRotatedDate` may be later than the promotion by less than this.
const ROTATION_CLEAN_UP: SignedDuration = SignedDuration::from_mins(1);
/// The calls and events by which a label moves.
const MOVES: [&str; 4] = ["UpdateSecretVersionStage", "PutSecretValue", "UpdateSecret", "RotationSucceeded"];

impl Aws {
    /// Whether this process redeployed the service.
    pub fn has_redeployed(&self, service: &str) -> bool {
        super::lock(&self.redeployed).contains(service)
    }

    /// The deployments of a service that were created since then, and what became of them.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn deployments_since(&self, service: &Service, since: Timestamp) -> Result<Vec<Deployment>, AwsError> {
        let since = aws_sdk_ecs::primitives::DateTime::from_secs(since.as_second());
        let call = self.ecs.list_service_deployments().cluster(&service.cluster).service(&service.arn);
        let call = call.created_at(CreatedAt::builder().after(since).build()).max_results(100);
        let listed = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self.read(Category::ServiceDeployment, "ecs:ListServiceDeployments", page).await?;
            Ok((page.service_deployments.unwrap_or_default(), page.next_token))
        });
        let deployment = |brief: aws_sdk_ecs::types::ServiceDeploymentBrief| {
            Some(Deployment {
                created_at: timestamp(brief.created_at.as_ref().or(brief.started_at.as_ref())?)?,
                id: brief.service_deployment_arn.unwrap_or_default(),
                primary: false,
                rollout: brief.status.as_ref().map_or(Rollout::Unknown, rollout),
            })
        };
        Ok(listed.await?.into_iter().filter_map(deployment).collect())
    }

    /// When each secret and parameter that running tasks follow last changed: between the bounds of each rotation.
    ///
    /// What could not be read is in the warnings, and counts as changed at an unknown time.
    pub async fn last_changes(&self, services: &[Service], now: Timestamp) -> (Vec<Rotation>, Vec<String>) {
        let (mut secrets, mut parameters) = (BTreeMap::<_, BTreeSet<&str>>::new(), BTreeMap::<_, &Service>::new());
        for service in services.iter().filter(|service| service.active && !service.opted_out) {
            for used in &service.uses {
                let Use::AtStart(reference) = used else { continue };
                if let Some((id, label)) = reference.secret_and_label() {
                    secrets.entry((id, service.home.clone())).or_default().insert(label);
                } else if let Some(name) = reference.parameter_name() {
                    parameters.entry(name).or_insert(service);
                }
            }
        }
        let mut warnings = Vec::new();
        let answers = in_parallel(secrets, async |((id, home), labels)| {
            (self.describe_secret(&id, Some(&home.region)).await, id, labels)
        });
        let mut rotations = BTreeMap::new();
        for (facts, id, labels) in answers.await {
            match facts {
                Ok(Some(facts)) => {
                    rotations.extend(labels.into_iter().filter_map(|label| last_move(&facts, label, now)));
                }
                Ok(None) => warnings.push(format!("a service names the secret {id}, which does not exist")),
                Err(error) => warnings.push(format!("when {id} changed is not known: {error}")),
            }
        }
        rotations.extend(self.last_parameter_changes(&parameters, &mut warnings).await);
        (rotations.into_values().collect(), warnings)
    }

    /// The last changes of parameters, by the subject.
    async fn last_parameter_changes(
        &self,
        parameters: &BTreeMap<String, &Service>,
        warnings: &mut Vec<String>,
    ) -> Vec<(Subject, Rotation)> {
        let names: Vec<_> = parameters.keys().cloned().collect();
        let chunks: Vec<_> = names.chunks(PARAMETERS_PER_CALL).map(<[_]>::to_vec).collect();
        let answers = in_parallel(chunks, async |names| {
            let filter = ParameterStringFilter::builder().key("Name").option("Equals").set_values(Some(names));
            let filter = filter.build().map_err(|error| AwsError::not_made("ssm:DescribeParameters", &error))?;
            let call = self.ssm.describe_parameters().parameter_filters(filter).max_results(50);
            pages(async |token| {
                let page = async || call.clone().set_next_token(token.clone()).send().await;
                let page = self.read(Category::Parameters, "ssm:DescribeParameters", page).await?;
                Ok((page.parameters.unwrap_or_default(), page.next_token))
            })
            .await
        });
        let mut rotations = Vec::new();
        for answer in answers.await {
            let found = answer.unwrap_or_else(|error| {
                warnings.push(format!("when parameters changed is not known: {error}"));
                Vec::new()
            });
            for parameter in found {
                let name = parameter.name.unwrap_or_default();
                let arn = parameters.get(&name).and_then(|service| parameter_arn(&service.arn, &name));
                if let Some((arn, at)) = arn.zip(parameter.last_modified_date.as_ref().and_then(timestamp)) {
                    let subject = Subject::Parameter(arn);
                    rotations.push((subject.clone(), Rotation { subject, version: None, at, not_before: None }));
                }
            }
        }
        rotations
    }

    /// Adds lower bounds to these rotations: the label did not move before its version was created.
    ///
    /// Where that cannot be read, nothing is known about the time before the upper bound.
    pub async fn add_lower_bounds(&self, rotations: Vec<&mut Rotation>) -> Vec<String> {
        let open = rotations.into_iter().filter(|rotation| rotation.subject.label().is_some());
        let answers = in_parallel(open, async |rotation| (self.version_created(rotation).await, rotation));
        let mut warnings = Vec::new();
        for (answer, rotation) in answers.await {
            let created = answer.unwrap_or_else(|error| {
                warnings.push(format!("when {} last changed is not known: {error}", rotation.subject));
                None
            });
            let bound = created.into_iter().chain(rotation.not_before).max();
            rotation.not_before = Some(bound.unwrap_or(Timestamp::MIN));
        }
        warnings
    }

    async fn version_created(&self, rotation: &Rotation) -> Result<Option<Timestamp>, AwsError> {
        let call = self.secrets.list_secret_version_ids().secret_id(rotation.subject.to_string()).max_results(100);
        let region = self.secrets_in(Some(rotation.subject.home().region));
        let versions = pages(async |token| {
            let call = call.clone().set_next_token(token);
            let page = async || call.clone().customize().config_override(region.clone()).send().await;
            let page = self.read(Category::Secrets, "secretsmanager:ListSecretVersionIds", page).await?;
            Ok((page.versions.unwrap_or_default(), page.next_token))
        });
        let version = versions.await?.into_iter().find(|version| version.version_id == rotation.version);
        Ok(version.and_then(|version| version.created_date.as_ref().and_then(timestamp)))
    }

    /// Replaces the bounds of these rotations by the moment, where CloudTrail knows it.
    ///
    /// Costs a search for each of four calls and events, whatever the number of secrets, at two calls a second.
    pub async fn ask_cloudtrail(&self, rotations: Vec<&mut Rotation>, now: Timestamp) -> Vec<String> {
        let (Some(from), Some(to)) =
            (rotations.iter().filter_map(|r| r.not_before).min(), rotations.iter().map(|r| r.at).max())
        else {
            return Vec::new();
        };
        let reach = now.saturating_sub(CLOUDTRAIL_REACH).unwrap_or(Timestamp::MIN);
        let mut warnings = Vec::new();
        let mut moves = Vec::new();
        for name in MOVES {
            match self.lookup_events(name, from.max(reach), to).await {
                Ok(found) => moves.extend(found),
                Err(error) => warnings.push(format!("when secrets changed is not known to the second: {error}")),
            }
        }
        for rotation in rotations {
            let of_this = moves.iter().filter(|hint| is_move(hint, rotation));
            if let Some(at) = of_this.filter_map(|hint| hint.at).max() {
                rotation.at = rotation.at.min(at);
                rotation.not_before = None;
            }
        }
        warnings
    }

    async fn lookup_events(
        &self,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<event::SecretHint>, AwsError> {
        let seconds = aws_sdk_cloudtrail::primitives::DateTime::from_secs;
        let attribute = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(name);
        let attribute = attribute.build().map_err(|error| AwsError::not_made("cloudtrail:LookupEvents", &error))?;
        let call = self.cloudtrail.lookup_events().lookup_attributes(attribute).max_results(50);
        let call = call.start_time(seconds(from.as_second())).end_time(seconds(to.as_second() + 1));
        let events = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self.read(Category::CloudTrail, "cloudtrail:LookupEvents", page).await?;
            Ok((page.events.unwrap_or_default(), page.next_token))
        });
        let hint = |event: aws_sdk_cloudtrail::types::Event| {
            let detail: serde_json::Value = serde_json::from_str(&event.cloud_trail_event?).ok()?;
            let kind = "AWS API Call via CloudTrail";
            let event = json!({"detail-type": kind, "source": "aws.secretsmanager", "detail": detail});
            match event::parse(&event).ok()?.hint {
                Hint::Secret(hint) => Some(hint),
                _ => None,
            }
        };
        Ok(events.await?.into_iter().filter_map(hint).collect())
    }
}

/// The last move of a label as far as `DescribeSecret` tells, by the subject; `None` when no version carries it.
fn last_move(facts: &SecretFacts, label: &str, now: Timestamp) -> Option<(Subject, Rotation)> {
    let subject = Subject::Secret { arn: facts.arn.clone(), label: label.to_owned() };
    let rotated = facts.last_rotated.filter(|_| label == AWSCURRENT);
    let rotation = Rotation {
        subject: subject.clone(),
        version: Some(facts.labels.get(label)?.clone()),
        at: facts.last_changed.unwrap_or(now),
        not_before: rotated.and_then(|rotated| rotated.saturating_sub(ROTATION_CLEAN_UP).ok()),
    };
    Some((subject, rotation))
}

/// Whether a past event moved the label.
fn is_move(hint: &event::SecretHint, rotation: &Rotation) -> bool {
    let Subject::Secret { arn, label } = &rotation.subject else { return false };
    let moved = match &hint.claim {
        Claim::Moved(labels) => labels.contains(label),
        Claim::Stored(version) => label == AWSCURRENT && rotation.version.as_ref() == Some(version),
        Claim::Requested(_) => false,
    };
    let current = Subject::Secret { arn: arn.clone(), label: AWSCURRENT.to_owned() };
    let named = Reference::parse_secret(&hint.secret_id).ok();
    moved && named.is_some_and(|named| named.follows(&current, &current.home()) == Follows::Yes)
}

/// The ARN of a parameter that a service names, in the service's partition.
fn parameter_arn(service: &str, name: &str) -> Option<ParameterArn> {
    let service = crate::arn::Arn::parse(service)?;
    let resource = format!("parameter/{}", name.strip_prefix('/').unwrap_or(name));
    ParameterArn::parse(&crate::arn::Arn { service: "ssm".to_owned(), resource, ..service }.to_string())
}

/// What a status says about the deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
fn rollout(status: &ServiceDeploymentStatus) -> Rollout {
    match status {
        ServiceDeploymentStatus::Successful => Rollout::Completed,
        ServiceDeploymentStatus::Pending | ServiceDeploymentStatus::InProgress => Rollout::InProgress,
        ServiceDeploymentStatus::RollbackRequested
        | ServiceDeploymentStatus::RollbackInProgress
        | ServiceDeploymentStatus::RollbackSuccessful
        | ServiceDeploymentStatus::RollbackFailed => Rollout::Failed,
        // STOPPED: superseded by another one, which says what became of it.
        _ => Rollout::Unknown,
    }
}
