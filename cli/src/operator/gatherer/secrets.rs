//! The secrets and parameters that a task definition names.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{ParameterMetadata, ParameterType};
use redeploy_core::arn::Location;
use redeploy_on_rotation::aws::{
    ApiBucket, AwsError, ErrorKind, PARAMETERS_PER_CALL, in_parallel, pages, timestamp,
};

use super::Gatherer;
use crate::doctor::{Facts, Known, Mention, Parameter, Place, Secret, names_to_try};

/// The keys of Secrets Manager and Parameter Store themselves, for which nobody needs a permission.
const OWN_KEYS: [&str; 2] = ["alias/aws/secretsmanager", "alias/aws/ssm"];

impl Gatherer<'_> {
    /// The secrets and parameters that these mentions name.
    pub(super) async fn named(
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
    pub(super) async fn secrets(
        &self,
        places: BTreeSet<Place>,
    ) -> BTreeMap<Place, Known<Option<Secret>>> {
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
