//! The clients, and how a call is made.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_ecs::config::http::HttpResponse;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use tokio::time::sleep;

use super::memory::Memory;
use super::rate_limit::{ApiBucket, RateLimiter};
use super::{AwsError, ErrorKind};

/// How often a read is made before it counts as failed, unless somebody waits for it.
const ATTEMPTS: u32 = 8;

/// The same, for a call whose operation the endpoint does not seem to know.
const UNSUPPORTED_ATTEMPTS: u32 = 2;

/// The clients, made once per process, and what a warm process remembers.
#[derive(Debug)]
pub struct Aws {
    /// ECS.
    pub ecs: Lazy<aws_sdk_ecs::Client>,
    /// Secrets Manager.
    pub secrets: Lazy<aws_sdk_secretsmanager::Client>,
    pub(super) tagging: Lazy<aws_sdk_resourcegroupstagging::Client>,
    pub(super) cloudtrail: Lazy<aws_sdk_cloudtrail::Client>,
    /// Systems Manager.
    pub ssm: Lazy<aws_sdk_ssm::Client>,
    pub(super) ecr: Lazy<aws_sdk_ecr::Client>,
    /// The Region of the services.
    pub(super) region: String,
    pub(super) rate_limiter: RateLimiter,
    /// How often a read is made before it counts as failed.
    attempts: u32,
    pub(super) memory: Mutex<Memory>,
}

impl Aws {
    /// Clients for the account, Region and endpoint that the environment names.
    ///
    /// Lambda puts the Region and the credentials into the environment for the life of the process.
    /// Where they are there, the other places to look for them are not set up.
    pub async fn from_env(rate_share: f64) -> Self {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(https());
        let given_by_lambda = ["AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_ACCESS_KEY_ID"];
        let is_given = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let loader = if given_by_lambda.into_iter().all(is_given) {
            environment_only(loader)
        } else {
            loader
        };
        Self::new(&loader.load().await, rate_share)
    }

    /// Clients for this account, Region and endpoint, which use at most this share of the account's quotas.
    #[must_use]
    pub fn new(config: &SdkConfig, rate_share: f64) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_attempt_timeout(Duration::from_secs(15))
            .build();
        // Each attempt must wait for its turn, and some must not be repeated, so this module repeats calls itself.
        let config = config
            .to_builder()
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            ecs: lazy(&config, aws_sdk_ecs::Client::new),
            secrets: lazy(&config, aws_sdk_secretsmanager::Client::new),
            tagging: lazy(&config, aws_sdk_resourcegroupstagging::Client::new),
            cloudtrail: lazy(&config, aws_sdk_cloudtrail::Client::new),
            ssm: lazy(&config, aws_sdk_ssm::Client::new),
            ecr: lazy(&config, aws_sdk_ecr::Client::new),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            rate_limiter: RateLimiter::new(rate_share),
            attempts: ATTEMPTS,
            memory: Mutex::default(),
        }
    }

    /// The same, where a read that is not answered is made this often.
    #[must_use]
    pub fn with_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }
}

/// Takes everything from the environment: no profiles, no web identity, no metadata service.
fn environment_only(loader: ConfigLoader) -> ConfigLoader {
    // Without any file there would be the default ones.
    let no_profiles = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
    loader
        .profile_files(no_profiles.build())
        .region(EnvironmentVariableRegionProvider::new())
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
}

/// A client that is made when it is first used: each parses a table of AWS's partitions, and few invocations use all.
pub type Lazy<C> = LazyLock<C, Box<dyn FnOnce() -> C + Send>>;

fn lazy<C: 'static>(config: &SdkConfig, make: fn(&SdkConfig) -> C) -> Lazy<C> {
    let config = config.clone();
    LazyLock::new(Box::new(move || make(&config)))
}

/// One HTTP client for all clients and sources of credentials, which reads the trusted certificates at the first call.
///
/// Each would otherwise make its own at start, and parse the certificates for it. An invocation mostly waits until a
/// change has settled, so that it matters little that the first call is slower.
#[must_use]
pub fn https() -> SharedHttpClient {
    let connectors = Mutex::<HashMap<_, SharedHttpConnector>>::default();
    http_client_fn(move |settings, components| {
        let connect = || {
            let mut connector = Connector::builder().connector_settings(settings.clone());
            connector.set_sleep_impl(components.sleep_impl());
            let connector = connector.proxy_config(ProxyConfig::from_env());
            SharedHttpConnector::new(
                connector
                    .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                    .build(),
            )
        };
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        lock(&connectors)
            .entry(timeouts)
            .or_insert_with(connect)
            .clone()
    })
}

impl Aws {
    /// Reads, and repeats what was throttled or not answered.
    /// # Errors
    /// When it failed in every attempt.
    pub async fn read<T, E>(
        &self,
        bucket: ApiBucket,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut attempt = 1;
        loop {
            self.rate_limiter.take(bucket).await;
            match self.call(bucket, action, &call).await {
                Err(error) if attempt < error.attempts(self.attempts) => {
                    sleep(back_off(attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Makes one call, whose turn it is, and learns from its answer how fast to go on.
    pub(super) async fn call<T, E>(
        &self,
        bucket: ApiBucket,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        // Boxed, because a future of the SDK is large and many wait at once.
        let answer = Box::pin(call())
            .await
            .map_err(|error| AwsError::new(action, &error));
        match &answer {
            Ok(_) => self.rate_limiter.recover(bucket),
            Err(AwsError {
                kind: ErrorKind::Throttled,
                ..
            }) => self.rate_limiter.slow_down(bucket),
            Err(_) => {}
        }
        answer
    }
}

impl AwsError {
    /// How often a read that failed like this is made, and at most this often.
    fn attempts(&self, most: u32) -> u32 {
        match self.kind {
            ErrorKind::Throttled | ErrorKind::Ambiguous => most,
            ErrorKind::Unsupported => UNSUPPORTED_ATTEMPTS.min(most),
            ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::Rejected => 1,
        }
    }
}

/// 0.25 to 0.5 s after the first attempt, then twice as long each time, up to 20 s.
pub(crate) fn back_off(attempt: u32) -> Duration {
    let most = Duration::from_millis(500).saturating_mul(1 << attempt.saturating_sub(1).min(16));
    most.min(Duration::from_secs(20))
        .mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Locks; a panic elsewhere leaves these maps whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::process::Command;
    use std::thread;

    use super::Aws;

    /// An endpoint that answers one request with an empty document.
    fn endpoint() -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let request = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        (address, request)
    }

    /// Runs only where the test below names the endpoints.
    #[tokio::test]
    async fn calls_of_a_process_with_the_environment_of_lambda() {
        if std::env::var_os("AWS_ENDPOINT_URL_ECS").is_some() {
            let aws = Aws::from_env(1.0).await;
            aws.ecs.list_clusters().send().await.unwrap();
            aws.secrets.describe_secret().send().await.unwrap();
        }
    }

    #[test]
    fn in_lambda_the_environment_still_names_the_endpoints() {
        let (general, to_general) = endpoint();
        let (of_ecs, to_ecs) = endpoint();
        // The environment of a process that runs cannot be changed safely, so this is another one.
        let status = Command::new(std::env::current_exe().unwrap())
            .arg("calls_of_a_process_with_the_environment_of_lambda")
            .env_clear()
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9"),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_ACCESS_KEY_ID", "AKID"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_SESSION_TOKEN", "token"),
                // Would fail the calls if it was read.
                ("AWS_PROFILE", "no-such-profile"),
                ("AWS_ENDPOINT_URL", &general),
                ("AWS_ENDPOINT_URL_ECS", &of_ecs),
            ])
            .status();
        assert!(status.unwrap().success());
        for (request, target, service) in [
            (to_ecs, "ListClusters", "ecs"),
            (to_general, "DescribeSecret", "secretsmanager"),
        ] {
            let head = request.join().unwrap().to_lowercase();
            assert!(head.contains(&target.to_lowercase()), "{head}");
            assert!(head.contains("credential=akid/"), "{head}");
            assert!(head.contains(&format!("/eu-west-1/{service}/")), "{head}");
            assert!(head.contains("x-amz-security-token: token"), "{head}");
        }
    }
}
