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
use redeploy_on_rotation::aws::{Aws, AwsError, causes, https};

pub use function::FunctionSettings;
pub use gatherer::Gatherer;
pub use names::{parameter, secret_names};
pub use rollout::{last_word, primary_task_set, protected_tasks};

/// How a person signs in; what is not said comes from the environment and the profile.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The Region.
    pub region: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// The endpoint that stands for AWS.
    pub endpoint_url: Option<String>,
    /// Whether each call is printed to stderr.
    pub verbose: bool,
}

/// Why nothing can be asked at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// Nothing names a Region.
    NoRegion,
    /// There are no credentials, or they are not valid any more.
    SignedOut(String),
    /// Nobody answers.
    Unreachable {
        /// In this Region.
        region: String,
        /// Why.
        why: String,
    },
    /// Anything else.
    Refused(String),
}

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
    ///
    /// # Errors
    /// When nothing more can be asked.
    pub async fn open(options: ConnectOptions) -> Result<Self, ConnectError> {
        let watched = calls::watched(https(), options.verbose);
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(watched);
        if let Some(region) = options.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(profile) = options.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let sdk = loader.load().await;
        if sdk.endpoint_url() == Some("") {
            return Err(ConnectError::Refused(
                "the endpoint is empty: unset AWS_ENDPOINT_URL or give a URL".to_owned(),
            ));
        }
        let region = sdk.region().ok_or(ConnectError::NoRegion)?.to_string();
        let Some(credentials) = sdk.credentials_provider() else {
            return Err(ConnectError::SignedOut(
                "there are no credentials".to_owned(),
            ));
        };
        if let Err(error) = credentials.provide_credentials().await {
            let why = causes(&error);
            // The last resort of the chain is an instance's own role; that there is none explains
            // nothing.
            let nothing = why.contains("IMDS") || why.contains("no providers in chain");
            let why = if nothing {
                "neither environment nor profile gives credentials".to_owned()
            } else {
                why
            };
            return Err(ConnectError::SignedOut(why));
        }
        let identity = identity(&sdk, &region).await?;
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
const UNPACED: f64 = 1e6;

fn is_on_loopback(endpoint: Option<&str>) -> bool {
    let host = endpoint
        .and_then(|url| url.split_once("://"))
        .map_or("", |(_, rest)| rest);
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|name| host == *name || host.starts_with(&format!("{name}:")))
}

/// Who is signed in. Where STS refuses to say, as where an endpoint's policy leaves it out, the
/// other services are asked all the same.
async fn identity(
    sdk: &SdkConfig,
    region: &str,
) -> Result<Option<GetCallerIdentityOutput>, ConnectError> {
    const ACTION: &str = "sts:GetCallerIdentity";
    let timeouts = aws_config::timeout::TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(10))
        .build();
    let client = aws_sdk_sts::Client::new(&sdk.to_builder().timeout_config(timeouts).build());
    match client.get_caller_identity().send().await {
        Ok(identity) => Ok(Some(identity)),
        Err(error @ (SdkError::DispatchFailure(_) | SdkError::TimeoutError(_))) => {
            Err(ConnectError::Unreachable {
                region: region.to_owned(),
                why: causes(&error),
            })
        }
        Err(SdkError::ServiceError(refused)) if is_signed_out(refused.err().code()) => {
            let error = AwsError::new(ACTION, &SdkError::ServiceError(refused));
            Err(ConnectError::SignedOut(error.message))
        }
        Err(_) => Ok(None),
    }
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
