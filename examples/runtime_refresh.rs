//! The other way to live with rotation: an application that reads its database parameters while it runs.
//!
//! For a long-running task that must not restart. It asks a cache in its own memory before each new connection, and the
//! cache asks Secrets Manager when its time to live has passed, so a change is seen within that time. The rest is what
//! goes wrong:
//!
//! * Secrets Manager does not answer, or refuses: the last good parameters, and a warning.
//! * It has not answered since the start: the environment that ECS injected, and a warning.
//! * The value is not what it should be: the same, and the warning does not quote it.
//!
//! This is an application's code. It runs under the *task* role, which needs `secretsmanager:GetSecretValue` and
//! `secretsmanager:DescribeSecret` on the secret, and `kms:Decrypt` on a key of one's own. The injected environment still
//! comes through the *execution* role.
//!
//! | variable | what it is |
//! | --- | --- |
//! | `DB_SECRET` | the secret's ARN or name |
//! | `DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USERNAME`, `DB_PASSWORD` | as injected by the task definition |
//! | `SECRET_TTL_SECONDS` | how old a value may be; 300 |
//! | `CONNECT_EVERY_SECONDS` | how often this example would open a connection; 30 |
//!
//! With single-user rotation the old password is dead at once. An application should then answer a refused login by
//! reading past the cache (the last argument of `get_secret_value`) and trying once more.

use std::num::NonZeroUsize;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_secretsmanager_caching::SecretsManagerCachingClient;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// How old a value may be, unless `SECRET_TTL_SECONDS` says otherwise; the default of AWS's own agent.
const TTL: Duration = Duration::from_mins(5);
/// How long to leave Secrets Manager alone after a failure; each connection would wait for it otherwise.
const HOLD_OFF: Duration = Duration::from_secs(10);

/// How to reach the database, as the JSON of an RDS secret has it
/// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html>).
///
/// A secret that RDS manages holds only user name and password; the rest stays as injected. There is no `Debug`, so that
/// no log can hold the password by mistake.
#[derive(Clone, Deserialize)]
struct Parameters {
    host: Option<String>,
    port: Option<u16>,
    #[serde(alias = "dbname")]
    name: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Parameters {
    /// What ECS injected when the task started.
    fn injected() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            host: var("DB_HOST"),
            port: var("DB_PORT").and_then(|port| port.parse().ok()),
            name: var("DB_NAME"),
            username: var("DB_USERNAME"),
            password: var("DB_PASSWORD"),
        }
    }

    /// These, and what they do not say from `other`.
    fn or(self, other: &Self) -> Self {
        Self {
            host: self.host.or_else(|| other.host.clone()),
            port: self.port.or(other.port),
            name: self.name.or_else(|| other.name.clone()),
            username: self.username.or_else(|| other.username.clone()),
            password: self.password.or_else(|| other.password.clone()),
        }
    }

    /// The members that a connection would lack.
    fn missing(&self) -> Vec<&'static str> {
        let set = [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("dbname", self.name.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
        ];
        set.into_iter()
            .filter(|(_, is_set)| !is_set)
            .map(|(name, _)| name)
            .collect()
    }
}

/// Where parameters are from; this may be logged, they may not.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// This version of the secret.
    Secret(String),
    /// The environment of the task.
    Injected,
}

/// The parameters of one database, kept fresh.
struct Database {
    cache: SecretsManagerCachingClient,
    secret: String,
    injected: Parameters,
    state: Mutex<State>,
}

struct State {
    /// The last good parameters.
    last: Option<(Parameters, Source)>,
    /// When to ask again after a failure.
    ask_again: Instant,
}

impl Database {
    /// The parameters for a connection that is about to be opened. Never fails: at worst they are old.
    async fn parameters(&self) -> (Parameters, Source) {
        // Held while Secrets Manager is asked, so that many connections at once ask it once.
        let mut state = self.state.lock().await;
        if state.ask_again <= Instant::now() {
            match self.read().await {
                Ok(fresh) => state.last = Some(fresh),
                Err(problem) => {
                    let instead = match &state.last {
                        Some((_, Source::Secret(version))) => {
                            format!("the last good version, {version}")
                        }
                        _ => "what was injected at the start".to_owned(),
                    };
                    eprintln!("warning: {problem}; using {instead}");
                    state.ask_again = Instant::now() + HOLD_OFF;
                }
            }
        }
        state
            .last
            .clone()
            .unwrap_or_else(|| (self.injected.clone(), Source::Injected))
    }

    async fn read(&self) -> Result<(Parameters, Source), String> {
        let answer = self
            .cache
            .get_secret_value(&self.secret, None, None, false)
            .await;
        let answer = answer
            .map_err(|error| format!("{} could not be read: {}", self.secret, causes(&*error)))?;
        let version = answer.version_id.unwrap_or_default();
        // A parser's own message would quote the value.
        let parsed = answer
            .secret_string
            .and_then(|text| serde_json::from_str::<Parameters>(&text).ok());
        let parsed = parsed.ok_or_else(|| {
            format!(
                "version {version} of {} is not the JSON of a database",
                self.secret
            )
        })?;
        Ok((parsed.or(&self.injected), Source::Secret(version)))
    }
}

/// The chain of causes; an SDK error's own text is only its class.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<_> = chain.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

/// A number of seconds from the environment, or the default where it is none.
fn seconds(variable: &str, default: Duration) -> Duration {
    let seconds = std::env::var(variable)
        .ok()
        .and_then(|value| value.parse().ok());
    seconds.map_or(default, Duration::from_secs)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .build();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .load()
        .await;
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let ttl = seconds("SECRET_TTL_SECONDS", TTL);
    // Not to ignore errors: the cache would serve an old value without a word.
    let cache = match SecretsManagerCachingClient::new(client, NonZeroUsize::MIN, ttl, false) {
        Ok(cache) => cache,
        Err(error) => return eprintln!("error: no cache: {error}"),
    };
    let now = Instant::now();
    let database = Database {
        cache,
        secret: std::env::var("DB_SECRET").unwrap_or_default(),
        injected: Parameters::injected(),
        state: Mutex::new(State {
            last: None,
            ask_again: now,
        }),
    };
    loop {
        let (parameters, source) = database.parameters().await;
        let missing = parameters.missing();
        if missing.is_empty() {
            // Here a real application opens its connection.
            println!("connecting with the parameters of {source:?}");
        } else {
            eprintln!(
                "warning: neither {source:?} nor the environment names {}",
                missing.join(", ")
            );
        }
        sleep(seconds("CONNECT_EVERY_SECONDS", Duration::from_secs(30))).await;
    }
}
