//! What Secrets Manager says about a secret, without its value.

use std::collections::BTreeMap;

use aws_config::Region;
use aws_sdk_secretsmanager::config::Builder;
use redeploy_core::arn::{Arn, SecretArn};
use redeploy_core::change::{Change, VersionStored};
use redeploy_core::confirm::SecretFacts;

use super::paging::{pages, timestamp};
use super::{ApiBucket, Aws, AwsError, ErrorKind};

impl Aws {
    /// The labels and times of the secret that a name, an ARN or a partial ARN means; `None` when
    /// there is none.
    ///
    /// The secret is looked up in the Region of its ARN, else in `region`, else in the one of this
    /// process. Of its tags, the value of this one is kept.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn describe_secret(
        &self,
        tag_key: &str,
        id: &str,
        region: Option<&str>,
    ) -> Result<Option<SecretFacts>, AwsError> {
        const ACTION: &str = "secretsmanager:DescribeSecret";
        let named = Arn::parse(id).map(|arn| arn.region);
        let region = self.secrets_in(named.or(region.map(str::to_owned)));
        let call = self.secrets.describe_secret().secret_id(id);
        let call = async || {
            let call = call.clone().customize().config_override(region.clone());
            call.send().await
        };
        let answer = match self.read(ApiBucket::Secrets, ACTION, call).await {
            Ok(answer) => answer,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let versions = answer.version_ids_to_stages.unwrap_or_default().into_iter();
        let labels = versions.flat_map(|(version, labels)| {
            labels
                .into_iter()
                .map(move |label| (label, version.clone()))
        });
        let tags = answer.tags.unwrap_or_default();
        let tag = tags
            .into_iter()
            .find(|tag| tag.key() == Some(tag_key))
            .and_then(|tag| tag.value);
        let arn = answer.arn.unwrap_or_default();
        Ok(Some(SecretFacts {
            arn: SecretArn::parse(&arn).ok_or_else(|| AwsError {
                action: ACTION,
                kind: ErrorKind::Rejected,
                message: format!("the answer's ARN {arn:?} is not the ARN of a secret"),
            })?,
            labels: labels.collect::<BTreeMap<_, _>>(),
            last_rotated: answer.last_rotated_date.as_ref().and_then(timestamp),
            last_changed: answer.last_changed_date.as_ref().and_then(timestamp),
            tag,
        }))
    }

    /// When the version of a change was stored; `None` when it is not listed.
    pub(super) async fn version_stored(
        &self,
        change: &Change,
    ) -> Result<Option<VersionStored>, AwsError> {
        let call = self.secrets.list_secret_version_ids();
        let call = call.secret_id(change.source.to_string()).max_results(100);
        // A version without labels tells that the one asked for was not the first.
        let call = call.include_deprecated(true);
        let region = self.secrets_in(Some(change.source.location().region));
        let versions = pages(async |token| {
            let call = call.clone().set_next_token(token);
            let page = async || {
                let call = call.clone().customize().config_override(region.clone());
                call.send().await
            };
            let action = "secretsmanager:ListSecretVersionIds";
            let page = self.read(ApiBucket::SecretVersions, action, page).await?;
            Ok((page.versions.unwrap_or_default(), page.next_token))
        });
        let versions = versions.await?;
        let version = versions
            .iter()
            .find(|version| version.version_id == change.version);
        let at = version.and_then(|version| timestamp(version.created_date.as_ref()?));
        let is_only = versions.len() == 1;
        Ok(at.map(|at| VersionStored { at, is_only }))
    }

    /// The client configuration for a Region, or for its own.
    pub fn secrets_in(&self, region: Option<String>) -> Builder {
        let mut config = Builder::new();
        let own = self.secrets.config().region().cloned();
        config.set_region(region.map(Region::new).or(own));
        config
    }
}
