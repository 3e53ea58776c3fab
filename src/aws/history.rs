//! What happened when: earlier deployments of a service, and the last change of each secret in use.
//!
//! No API says when a label last moved. `LastChangedDate` is an upper bound; the creation of the version that carries
//! the label is a lower bound; CloudTrail's event history knows the moment. Each costs more calls than the one before,
//! and is asked only about what the one before left open.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::Region;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_sdk_ecs::types::{CreatedAt, ServiceDeploymentStatus};
use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Category;
use super::inventory::{in_parallel, pages, timestamp};
use super::{Aws, AwsError, Class, Inventory, Unexamined};
use redeploy_core::event::{self, Claim, Intent, SecretFacts};
use redeploy_core::plan::needs_history;
use redeploy_core::report::LookupProblem;
use redeploy_core::secret::{AWSCURRENT, Change, Follows, ParameterArn, Reference, Source};
use redeploy_core::service::{Deployment, RolloutState, Service, Task, Use};

/// `DescribeParameters` accepts fifty names in a filter, and a parameter may go by two.
pub const PARAMETERS_PER_CALL: usize = 25;
/// CloudTrail's event history reaches this far back.
const CLOUDTRAIL_REACH: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A search of CloudTrail's event history ends after this many pages of 50 events, the newest first: at two calls a
/// second, four searches of a busy account would otherwise take the whole invocation.
const CLOUDTRAIL_PAGES: usize = 40;
/// CloudTrail's event history shows an event after this time at the latest
/// (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html>).
const CLOUDTRAIL_LAG: SignedDuration = SignedDuration::from_mins(15);
/// `LastRotatedDate` may be later than the promotion by less than this.
const ROTATION_CLEAN_UP: SignedDuration = SignedDuration::from_mins(1);
/// The calls and events by which a label moves.
const MOVES: [&str; 4] = [
    "UpdateSecretVersionStage",
    "PutSecretValue",
    "UpdateSecret",
    "RotationSucceeded",
];

/// When a version was created.
struct Created {
    at: Timestamp,
    /// Whether there is no other, on which the label can have been before.
    is_only: bool,
}

/// Who follows a secret or parameter, by its Region and its name or ARN.
type Followed = BTreeMap<(String, String), Followers>;

/// Which of its labels are followed, and by which services and tasks.
#[derive(Clone, Debug, Default)]
struct Followers {
    labels: BTreeSet<String>,
    arns: BTreeSet<String>,
}

impl Aws {
    /// Whether this process redeployed the service since then.
    pub fn has_redeployed_since(&self, service: &str, since: Timestamp) -> bool {
        super::lock(&self.redeployed)
            .get(service)
            .is_some_and(|at| *at >= since)
    }

    /// Adds to a service what became of its deployments that were created since then; nothing where the endpoint, which
    /// then is not AWS, does not know the operation.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn recall(&self, service: Service, since: Timestamp) -> Result<Service, AwsError> {
        // A little earlier, because where times are cut to the second the first moment may be left out.
        let after = aws_sdk_ecs::primitives::DateTime::from_secs(since.as_second() - 2);
        let created =
            (since > Timestamp::UNIX_EPOCH).then(|| CreatedAt::builder().after(after).build());
        let call = self
            .ecs
            .list_service_deployments()
            .cluster(&service.cluster)
            .service(&service.arn);
        let call = call.set_created_at(created).max_results(100);
        let listed = pages(async |token| {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(
                    Category::ServiceDeployment,
                    "ecs:ListServiceDeployments",
                    page,
                )
                .await?;
            Ok((
                page.service_deployments.unwrap_or_default(),
                page.next_token,
            ))
        });
        let deployment = |brief: aws_sdk_ecs::types::ServiceDeploymentBrief| {
            Some(Deployment {
                created_at: timestamp(brief.created_at.as_ref().or(brief.started_at.as_ref())?)?,
                id: brief.service_deployment_arn.unwrap_or_default(),
                primary: false,
                running: 0,
                rollout: brief.status.as_ref().map_or(RolloutState::Unknown, rollout),
            })
        };
        let listed = match listed.await {
            Err(AwsError {
                class: Class::Unsupported,
                ..
            }) => Vec::new(),
            listed => listed?,
        };
        let history = listed.into_iter().filter_map(deployment).collect();
        Ok(Service {
            history: Some(history),
            ..service
        })
    }

    /// The same as far as a decision about these changes needs it.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn recall_for(
        &self,
        rotations: &[Change],
        service: Service,
    ) -> Result<Service, AwsError> {
        match needs_history(rotations, &service) {
            Some(since) => self.recall(service, since).await,
            None => Ok(service),
        }
    }

    /// When each secret and parameter that running tasks follow last changed: between the bounds of each rotation.
    ///
    /// What could not be read is noted as not examined, by the services and tasks that follow it. `now` is the upper
    /// bound where there is no other.
    pub async fn last_changes(
        &self,
        inventory: &mut Inventory,
        tasks: &[Task],
        now: Timestamp,
    ) -> Vec<Change> {
        let (mut secrets, mut parameters) = (Followed::new(), Followed::new());
        let services = inventory
            .services
            .iter()
            .filter(|service| service.may_be_redeployed());
        let services = services.map(|service| (&service.arn, &service.home, &service.uses));
        for (arn, home, uses) in
            services.chain(tasks.iter().map(|task| (&task.arn, &task.home, &task.uses)))
        {
            for used in uses {
                let Use::AtStart(reference) = used else {
                    continue;
                };
                let region = reference.region().unwrap_or(&home.region).to_owned();
                let (followed, key, label) = if let Some((id, label)) = reference.secret_and_label()
                {
                    (&mut secrets, (region, id), label)
                } else if let Some(name) = reference.parameter_name() {
                    (&mut parameters, (region, name), "")
                } else {
                    continue;
                };
                let followers = followed.entry(key).or_default();
                followers.labels.insert(label.to_owned());
                followers.arns.insert(arn.clone());
            }
        }
        let mut rotations = self.last_label_moves(secrets, inventory, now).await;
        rotations.extend(self.last_parameter_changes(parameters, inventory).await);
        rotations.into_values().collect()
    }

    /// The last moves of labels, by the subject.
    async fn last_label_moves(
        &self,
        secrets: Followed,
        inventory: &mut Inventory,
        now: Timestamp,
    ) -> BTreeMap<Source, Change> {
        let answers = in_parallel(secrets, async |((region, id), followers)| {
            (
                self.describe_secret(&id, Some(&region)).await,
                id,
                followers,
            )
        });
        let mut rotations = BTreeMap::new();
        for (facts, id, followers) in answers.await {
            match facts {
                Ok(Some(facts)) => {
                    rotations.extend(
                        followers
                            .labels
                            .iter()
                            .filter_map(|label| last_move(&facts, label, now)),
                    );
                }
                Ok(None) => inventory.warnings.push(format!(
                    "a service names the secret {id}, which does not exist"
                )),
                Err(error) => inventory
                    .unexamined
                    .extend(undated(&id, &followers, &error)),
            }
        }
        rotations
    }

    /// The last changes of parameters, by the subject.
    async fn last_parameter_changes(
        &self,
        parameters: Followed,
        inventory: &mut Inventory,
    ) -> BTreeMap<Source, Change> {
        let mut by_region = BTreeMap::<_, Vec<_>>::new();
        for ((region, name), followers) in parameters {
            by_region.entry(region).or_default().push((name, followers));
        }
        let chunks = by_region.into_iter().flat_map(|(region, parameters)| {
            let chunks: Vec<_> = parameters
                .chunks(PARAMETERS_PER_CALL)
                .map(<[_]>::to_vec)
                .collect();
            chunks.into_iter().map(move |chunk| (region.clone(), chunk))
        });
        let answers = in_parallel(chunks, async |(region, parameters)| {
            let names = parameters.iter().map(|(name, _)| name.clone()).collect();
            (
                self.describe_parameters(&region, names).await,
                region,
                parameters,
            )
        });
        let mut rotations = BTreeMap::new();
        for (answer, region, parameters) in answers.await {
            let found = match answer {
                Ok(found) => found,
                Err(error) => {
                    let undated = parameters
                        .iter()
                        .flat_map(|(name, followers)| undated(name, followers, &error));
                    inventory.unexamined.extend(undated);
                    continue;
                }
            };
            for (name, followers) in parameters {
                let parameter = found.get(&name);
                let at = parameter
                    .and_then(|parameter| timestamp(parameter.last_modified_date.as_ref()?));
                let arn = followers
                    .arns
                    .first()
                    .and_then(|service| parameter_arn(service, &region, &name));
                if let Some((arn, at)) = arn.zip(at) {
                    let subject = Source::Parameter(arn);
                    rotations.insert(
                        subject.clone(),
                        Change {
                            subject,
                            version: None,
                            at,
                            not_before: None,
                        },
                    );
                } else {
                    inventory.warnings.push(format!(
                        "a service names the parameter {name}, which does not exist"
                    ));
                }
            }
        }
        rotations
    }

    /// What there is of these parameters, at most [`PARAMETERS_PER_CALL`], by the name that was asked for, without their
    /// values.
    ///
    /// A name without slashes may have one before it, which an ARN does not tell.
    pub async fn describe_parameters(
        &self,
        region: &str,
        names: Vec<String>,
    ) -> Result<BTreeMap<String, ParameterMetadata>, AwsError> {
        let slashed = |name: &String| (!name.contains('/')).then(|| format!("/{name}"));
        let asked = names
            .iter()
            .cloned()
            .chain(names.iter().filter_map(slashed))
            .collect();
        let filter = ParameterStringFilter::builder()
            .key("Name")
            .option("Equals")
            .set_values(Some(asked));
        let filter = filter
            .build()
            .map_err(|error| AwsError::not_made("ssm:DescribeParameters", &error))?;
        let call = self
            .ssm
            .describe_parameters()
            .parameter_filters(filter)
            .max_results(50);
        let region = aws_sdk_ssm::config::Builder::new().region(Region::new(region.to_owned()));
        let found = pages(async |token| {
            let call = call.clone().set_next_token(token);
            let page = async || {
                call.clone()
                    .customize()
                    .config_override(region.clone())
                    .send()
                    .await
            };
            let page = self
                .read(Category::Parameters, "ssm:DescribeParameters", page)
                .await?;
            Ok((page.parameters.unwrap_or_default(), page.next_token))
        });
        let found = found.await?;
        let by_name = names.into_iter().filter_map(|name| {
            let is_it = |known: &&ParameterMetadata| {
                known
                    .name()
                    .is_some_and(|known| known == name || known.strip_prefix('/') == Some(&name))
            };
            let last = found
                .iter()
                .filter(is_it)
                .max_by_key(|known| known.last_modified_date.map(|at| at.secs()));
            last.cloned().map(|parameter| (name.clone(), parameter))
        });
        Ok(by_name.collect())
    }

    /// Adds lower bounds to these rotations: the label did not move before its version was created.
    ///
    /// Where that cannot be read, they stay as they are.
    pub async fn add_lower_bounds(&self, rotations: Vec<&mut Change>) -> Vec<String> {
        let open = rotations
            .into_iter()
            .filter(|rotation| rotation.not_before.is_some());
        let answers = in_parallel(open, async |rotation| {
            (self.version_created(rotation).await, rotation)
        });
        let mut warnings = Vec::new();
        for (answer, rotation) in answers.await {
            match answer {
                Ok(Some(Created { at, is_only: true })) => {
                    // Whatever was deployed since then has it, to the moment.
                    let at = at
                        .saturating_sub(SignedDuration::from_secs(1))
                        .unwrap_or(at);
                    (rotation.at, rotation.not_before) = (rotation.at.min(at), None);
                }
                Ok(created) => {
                    rotation.not_before = created
                        .map(|created| created.at)
                        .into_iter()
                        .chain(rotation.not_before)
                        .max();
                }
                Err(error) => warnings.push(format!(
                    "when {} last changed is not known: {error}",
                    rotation.subject
                )),
            }
        }
        warnings
    }

    async fn version_created(&self, rotation: &Change) -> Result<Option<Created>, AwsError> {
        let call = self
            .secrets
            .list_secret_version_ids()
            .secret_id(rotation.subject.to_string())
            .max_results(100);
        let region = self.secrets_in(Some(rotation.subject.home().region));
        let versions = pages(async |token| {
            let call = call.clone().set_next_token(token);
            let page = async || {
                call.clone()
                    .customize()
                    .config_override(region.clone())
                    .send()
                    .await
            };
            let page = self
                .read(
                    Category::Secrets,
                    "secretsmanager:ListSecretVersionIds",
                    page,
                )
                .await?;
            Ok((page.versions.unwrap_or_default(), page.next_token))
        });
        let versions = versions.await?;
        let version = versions
            .iter()
            .find(|version| version.version_id == rotation.version);
        let at = version.and_then(|version| timestamp(version.created_date.as_ref()?));
        Ok(at.map(|at| Created {
            at,
            is_only: versions.len() == 1,
        }))
    }

    /// Brings the bounds of these rotations to the moment, where CloudTrail knows it.
    ///
    /// Costs a search for each of four calls and events, whatever the number of secrets, at two calls a second.
    pub async fn ask_cloudtrail(&self, rotations: Vec<&mut Change>, now: Timestamp) -> Vec<String> {
        let (Some(from), Some(to)) = (
            rotations.iter().filter_map(|r| r.not_before).min(),
            rotations.iter().map(|r| r.at).max(),
        ) else {
            return Vec::new();
        };
        let reach = now
            .saturating_sub(CLOUDTRAIL_REACH)
            .unwrap_or(Timestamp::MIN);
        let mut warnings = Vec::new();
        let mut moves = Vec::new();
        for name in MOVES {
            match self.lookup_events(name, from.max(reach), to).await {
                Ok((found, whole)) => {
                    moves.extend(found);
                    if !whole {
                        let more = format!(
                            "CloudTrail has more {name} events than were read, so some moves may be unknown"
                        );
                        warnings.push(more);
                    }
                }
                Err(error) => {
                    warnings.push(format!(
                        "when secrets changed is not known to the second: {error}"
                    ));
                    break;
                }
            }
        }
        let shown = now.saturating_sub(CLOUDTRAIL_LAG).unwrap_or(Timestamp::MIN);
        for rotation in rotations {
            let is_complete = warnings.is_empty() && rotation.at < shown;
            let of_this = moves
                .iter()
                .filter_map(|hint| Some((moved(hint, rotation)?, hint.at?)));
            // What is older than the bound was the move before this one; then this one is not in the history yet.
            let of_this =
                of_this.filter(|(_, at)| rotation.not_before.is_none_or(|bound| *at >= bound));
            match of_this.max() {
                // The last of all moves, or the one that changed the secret last.
                Some((Exactness::Moment, at)) if is_complete || at >= rotation.at => {
                    (rotation.at, rotation.not_before) = (rotation.at.min(at), None);
                }
                // There may have been a later one, of which the history does not tell yet.
                Some((Exactness::Moment, at)) => {
                    rotation.not_before = at
                        .saturating_sub(SignedDuration::from_secs(1))
                        .ok()
                        .max(rotation.not_before);
                }
                // `RotationSucceeded` comes some time after the move, and only bounds it.
                Some((Exactness::Bound, at)) if is_complete => rotation.at = rotation.at.min(at),
                Some((Exactness::Bound, _)) | None => {}
            }
        }
        warnings
    }

    /// The newest events of a name in that time, and whether these are all of them.
    async fn lookup_events(
        &self,
        name: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(Vec<event::UnconfirmedChange>, bool), AwsError> {
        let seconds = aws_sdk_cloudtrail::primitives::DateTime::from_secs;
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::EventName)
            .attribute_value(name);
        let attribute = attribute
            .build()
            .map_err(|error| AwsError::not_made("cloudtrail:LookupEvents", &error))?;
        let call = self
            .cloudtrail
            .lookup_events()
            .lookup_attributes(attribute)
            .max_results(50);
        let call = call
            .start_time(seconds(from.as_second()))
            .end_time(seconds(to.as_second() + 1));
        let mut events = Vec::new();
        let mut token = None;
        for _ in 0..CLOUDTRAIL_PAGES {
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self
                .read(Category::CloudTrail, "cloudtrail:LookupEvents", page)
                .await?;
            events.extend(page.events.unwrap_or_default());
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        let hint = |event: aws_sdk_cloudtrail::types::Event| {
            let detail: serde_json::Value = serde_json::from_str(&event.cloud_trail_event?).ok()?;
            let kind = "AWS API Call via CloudTrail";
            let event =
                json!({"detail-type": kind, "source": "aws.secretsmanager", "detail": detail});
            match event::parse(&event).ok()?.hint {
                Intent::Secret(hint) => Some(hint),
                _ => None,
            }
        };
        Ok((
            events.into_iter().filter_map(hint).collect(),
            token.is_none(),
        ))
    }
}

/// The last move of a label as far as `DescribeSecret` tells, by the subject; `None` when no version carries it.
fn last_move(facts: &SecretFacts, label: &str, now: Timestamp) -> Option<(Source, Change)> {
    let subject = Source::Secret {
        arn: facts.arn.clone(),
        label: label.to_owned(),
    };
    let rotated = facts.last_rotated.filter(|_| label == AWSCURRENT);
    let rotation = Change {
        subject: subject.clone(),
        version: Some(facts.labels.get(label)?.clone()),
        at: facts.last_changed.unwrap_or(now),
        // Where nothing is known, the label may have moved at any time before.
        not_before: rotated.map_or(Some(Timestamp::MIN), |rotated| {
            rotated.saturating_sub(ROTATION_CLEAN_UP).ok()
        }),
    };
    Some((subject, rotation))
}

/// How close the time of a past event is to a move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    /// The label had moved by then.
    Bound,
    /// The label moved then.
    Moment,
}

/// Whether a past event tells of the move by which the label came to where it is.
fn moved(hint: &event::UnconfirmedChange, rotation: &Change) -> Option<Exactness> {
    let Source::Secret { arn, label } = &rotation.subject else {
        return None;
    };
    let exactness = match &hint.claim {
        Claim::Moved {
            labels,
            version: None,
        } => labels.contains(label).then_some(Exactness::Bound),
        Claim::Moved { labels, version } => {
            (labels.contains(label) && rotation.version == *version).then_some(Exactness::Moment)
        }
        Claim::Stored(version) => (label == AWSCURRENT
            && rotation.version.as_ref() == Some(version))
        .then_some(Exactness::Moment),
        Claim::Requested(_) => None,
    };
    let current = Source::Secret {
        arn: arn.clone(),
        label: AWSCURRENT.to_owned(),
    };
    let named = Reference::parse_secret(&hint.secret_id).ok()?;
    exactness.filter(|_| named.follows(&current, &current.home()) == Follows::Yes)
}

/// Those who follow something of which AWS does not tell when it changed.
///
/// What may not be read stays unknown; what was not answered is asked again by the next attempt.
fn undated(id: &str, followers: &Followers, error: &AwsError) -> Vec<Unexamined> {
    let problem = match error.class {
        Class::Throttled | Class::Unanswered => LookupProblem::LookupFailed,
        Class::Gone | Class::Unsupported | Class::Invalid | Class::Refused => {
            LookupProblem::Unknown
        }
    };
    let undated = |arn: &String| Unexamined {
        name: arn.clone(),
        problem,
        error: format!("when {id} changed is not known: {error}"),
        secrets: vec![id.to_owned()],
    };
    followers.arns.iter().map(undated).collect()
}

/// The ARN of a parameter of that Region, in a service's account and partition.
fn parameter_arn(service: &str, region: &str, name: &str) -> Option<ParameterArn> {
    let service = redeploy_core::arn::Arn::parse(service)?;
    let resource = format!("parameter/{}", name.strip_prefix('/').unwrap_or(name));
    let arn = redeploy_core::arn::Arn {
        service: "ssm".to_owned(),
        region: region.to_owned(),
        resource,
        ..service
    };
    ParameterArn::parse(&arn.to_string())
}

/// What a status says about the deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
fn rollout(status: &ServiceDeploymentStatus) -> RolloutState {
    match status {
        ServiceDeploymentStatus::Successful => RolloutState::Completed,
        ServiceDeploymentStatus::Pending | ServiceDeploymentStatus::InProgress => {
            RolloutState::InProgress
        }
        ServiceDeploymentStatus::RollbackRequested
        | ServiceDeploymentStatus::RollbackInProgress
        | ServiceDeploymentStatus::RollbackSuccessful
        | ServiceDeploymentStatus::RollbackFailed => RolloutState::Failed,
        // STOPPED: superseded by another one, which says what became of it.
        _ => RolloutState::Unknown,
    }
}
