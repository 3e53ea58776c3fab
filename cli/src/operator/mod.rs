//! What only an operator asks of AWS; the function neither does nor may.

mod calls;
mod function;
mod gatherer;
mod names;
mod rollout;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::ProvideCredentials;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use redeploy_on_rotation::aws::{Aws, AwsError, causes, https};

use crate::args::SignIn;
use crate::output::Error;

pub use function::FunctionSettings;
pub use gatherer::Gatherer;
pub(crate) use names::{parameter, parameter_names, secret_names};
pub use rollout::{last_word, primary_task_set, protected_tasks};

/// A person's connection: the function's own clients, and what there is beside.
#[derive(Debug)]
pub struct Session {
    /// The clients that the function has as well.
    pub aws: Aws,
    /// The Region.
    pub region: String,
    /// The account's twelve digits, where STS says.
    pub account: Option<String>,
    /// `aws`, `aws-cn`, …
    pub(crate) partition: String,
    /// For clients that only some commands need.
    pub(crate) sdk: SdkConfig,
}

impl Session {
    /// Signs in, and asks who that is: the one question that needs no permission.
    pub(crate) async fn open(how: &SignIn) -> Result<Self, Error> {
        let sdk = settings(how, calls::watched(https(), how.verbose)).await;
        if sdk.endpoint_url() == Some("") {
            let message = "the endpoint is empty: unset AWS_ENDPOINT_URL or give a URL";
            return Err(Error::new(message));
        }
        let no_region = || {
            Error::new("no Region is given: use --region, AWS_REGION or a profile that names one")
        };
        let region = sdk.region().ok_or_else(no_region)?.to_string();
        let Some(credentials) = sdk.credentials_provider() else {
            return Err(signed_out(how, "there are no credentials"));
        };
        if let Err(error) = credentials.provide_credentials().await {
            let why = causes(&error);
            // The last resort of the chain is an instance's own role; that there is none explains
            // nothing.
            let nothing = why.contains("IMDS") || why.contains("no providers in chain");
            let why = if nothing {
                "neither environment nor profile gives credentials"
            } else {
                &why
            };
            return Err(signed_out(how, why));
        }
        let identity = identity(&sdk, &region, how).await?;
        let arn = identity.as_ref().and_then(|identity| identity.arn());
        let partition = arn.and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws");
        Ok(Self {
            aws: Aws::new(&sdk, UNPACED),
            partition: partition.to_owned(),
            account: identity.and_then(|identity| identity.account),
            region,
            sdk,
        })
    }

    /// The same, with a share of the account's quotas, and with a person's patience.
    #[must_use]
    pub fn paced(self, rate_share: f64) -> Self {
        let is_on_loopback = is_on_loopback(self.sdk.endpoint_url());
        let share = if is_on_loopback { UNPACED } else { rate_share };
        let aws = Aws::new(&self.sdk, share).with_attempts(ATTEMPTS);
        Self { aws, ..self }
    }

    /// The Region, and the account where that is known.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.account {
            Some(account) => format!("{} of account {account}", self.region),
            None => self.region.clone(),
        }
    }
}

/// How often a read is made that is not answered: about four seconds of a person's time where AWS
/// throttles, and a minute where it does not answer at all.
const ATTEMPTS: u32 = 4;
/// More than any quota. An emulator on this machine has none to share with others.
pub(crate) const UNPACED: f64 = 1e6;

fn is_on_loopback(endpoint: Option<&str>) -> bool {
    let host = endpoint
        .and_then(|url| url.split_once("://"))
        .map_or("", |(_, rest)| rest);
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|name| host == *name || host.starts_with(&format!("{name}:")))
}

/// How a person signs in; what is not said comes from the environment and the profile.
pub(crate) async fn settings(how: &SignIn, client: SharedHttpClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(client);
    if let Some(region) = &how.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &how.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &how.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

/// Who is signed in. Where STS refuses to say, as where an endpoint's policy leaves it out, the
/// other services are asked all the same.
async fn identity(
    sdk: &SdkConfig,
    region: &str,
    how: &SignIn,
) -> Result<Option<GetCallerIdentityOutput>, Error> {
    const ACTION: &str = "sts:GetCallerIdentity";
    let timeouts = aws_config::timeout::TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let client = aws_sdk_sts::Client::new(&sdk.to_builder().timeout_config(timeouts).build());
    match client.get_caller_identity().send().await {
        Ok(identity) => Ok(Some(identity)),
        Err(error @ (SdkError::DispatchFailure(_) | SdkError::TimeoutError(_))) => {
            let why = causes(&error);
            let message = format!("AWS does not answer in the Region {region}: {why}");
            Err(Error::new(message).hint("is the Region spelled right, and the network up?"))
        }
        Err(SdkError::ServiceError(refused)) if is_signed_out(refused.err().code()) => {
            let error = AwsError::new(ACTION, &SdkError::ServiceError(refused));
            Err(signed_out(how, &error.message))
        }
        Err(_) => Ok(None),
    }
}

fn signed_out(how: &SignIn, why: &str) -> Error {
    let profile = how.profile.as_ref();
    let profile = profile.map(|profile| format!(" --profile {profile}"));
    let profile = profile.unwrap_or_default();
    Error::new(format!("not signed in to AWS: {why}")).hint(format!(
        "sign in again, for example with `aws sso login{profile}` or `aws login{profile}`"
    ))
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>
fn is_signed_out(code: Option<&str>) -> bool {
    let codes = [
        "ExpiredToken",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
        "IncompleteSignature",
    ];
    code.is_some_and(|code| codes.iter().any(|known| code.contains(known)))
}
