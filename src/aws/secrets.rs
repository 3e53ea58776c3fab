//! What Secrets Manager says about a secret, without its value.

use std::collections::BTreeMap;

use aws_config::Region;
use aws_sdk_secretsmanager::config::Builder;

use super::Category;
use super::{Aws, AwsError, Class};
use redeploy_core::arn::Arn;
use redeploy_core::event::SecretFacts;
use redeploy_core::secret::SecretArn;

impl Aws {
    /// The labels and times of the secret that a name, an ARN or a partial ARN means; `None` when there is none.
    ///
    /// The secret is looked up in the Region of its ARN, else in `region`, else in the one of this process.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn describe_secret(
        &self,
        id: &str,
        region: Option<&str>,
    ) -> Result<Option<SecretFacts>, AwsError> {
        const ACTION: &str = "secretsmanager:DescribeSecret";
        let config = self.secrets_in(
            Arn::parse(id)
                .map(|arn| arn.region)
                .or(region.map(str::to_owned)),
        );
        let call = self.secrets.describe_secret().secret_id(id);
        let call = async || {
            call.clone()
                .customize()
                .config_override(config.clone())
                .send()
                .await
        };
        let answer = match self.read(Category::Secrets, ACTION, call).await {
            Ok(answer) => answer,
            Err(AwsError {
                class: Class::Gone, ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let labels = answer.version_ids_to_stages.unwrap_or_default().into_iter();
        let labels = labels.flat_map(|(version, labels)| {
            labels
                .into_iter()
                .map(move |label| (label, version.clone()))
        });
        let arn = answer.arn.unwrap_or_default();
        Ok(Some(SecretFacts {
            arn: SecretArn::parse(&arn).ok_or_else(|| AwsError {
                action: ACTION,
                class: Class::Refused,
                message: format!("the answer's ARN {arn:?} is not the ARN of a secret"),
            })?,
            labels: labels.collect::<BTreeMap<_, _>>(),
            last_rotated: answer
                .last_rotated_date
                .as_ref()
                .and_then(super::inventory::timestamp),
            last_changed: answer
                .last_changed_date
                .as_ref()
                .and_then(super::inventory::timestamp),
        }))
    }

    /// The client's configuration for a Region, or for its own.
    /// The client configuration for a Region, or for its own.
    pub fn secrets_in(&self, region: Option<String>) -> Builder {
        let mut config = Builder::new();
        config.set_region(
            region
                .map(Region::new)
                .or(self.secrets.config().region().cloned()),
        );
        config
    }
}
