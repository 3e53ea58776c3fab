//! The example as a process against ministack: run by name, `cargo test --test emulator`.
//!
//! Needs `.venv` of the repository, as `make .venv` makes it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Credentials;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// The time to live in these tests.
const TTL: Duration = Duration::from_secs(2);

struct Emulator {
    endpoint: String,
    process: Child,
}

impl Emulator {
    async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/ministack");
        let process = Command::new(program)
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: run `make .venv` first"));
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Self {
                    endpoint: format!("http://127.0.0.1:{port}"),
                    process,
                };
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("ministack does not listen on {port}");
    }

    async fn secrets(&self) -> Client {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"));
        Client::new(&config.load().await)
    }

    async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// The example, running, and what it printed so far.
struct Application {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Application {
    fn start(endpoint: &str, secret: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_runtime_refresh"))
            .env_clear()
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("DB_SECRET", secret)
            .env("DB_HOST", "injected-host")
            .env("DB_PORT", "5432")
            .env("DB_NAME", "injected-name")
            .env("DB_USERNAME", "injected-user")
            .env("DB_PASSWORD", "injected-password")
            .env("SECRET_TTL_SECONDS", TTL.as_secs().to_string())
            .env("CONNECT_EVERY_SECONDS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        tokio::spawn(collect(process.stdout.take().unwrap(), lines.clone()));
        tokio::spawn(collect(process.stderr.take().unwrap(), lines.clone()));
        Self { process, lines }
    }

    /// Waits until a line holds this text that was printed after `from`; gives the number of lines so far.
    async fn says(&self, text: &str, from: usize) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let lines = self.lines.lock().unwrap().clone();
            if lines.iter().skip(from).any(|line| line.contains(text)) {
                return lines.len();
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{text:?} is not among {:#?}", self.lines.lock().unwrap());
    }

    /// It still runs, and nothing that it printed holds a part of any value.
    fn ends_well(mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "it stopped");
        let lines = self.lines.lock().unwrap().join("\n");
        for part in ["injected-", "first-", "second-", "hunter2"] {
            assert!(!lines.contains(part), "{part} is in\n{lines}");
        }
    }
}

async fn collect(from: impl AsyncRead + Unpin, into: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        into.lock().unwrap().push(line);
    }
}

fn value(word: &str) -> String {
    format!(r#"{{"username": "{word}-user", "password": "{word}-password"}}"#)
}

#[tokio::test]
async fn a_change_is_seen_within_the_time_to_live_and_an_outage_is_lived_through() {
    let emulator = Emulator::start().await;
    let secrets = emulator.secrets().await;
    let made = secrets
        .create_secret()
        .name("prod/db")
        .secret_string(value("first"))
        .send()
        .await
        .unwrap();
    let (arn, first) = (made.arn.unwrap(), made.version_id.unwrap());
    let application = Application::start(&emulator.endpoint, &arn);
    application.says(&first, 0).await;

    let changed = secrets
        .put_secret_value()
        .secret_id(&arn)
        .secret_string(value("second"))
        .send()
        .await
        .unwrap();
    let (second, at) = (changed.version_id.unwrap(), Instant::now());
    let seen = application.says(&second, 0).await;
    let slack = Duration::from_secs(2); // It looks once a second.
    assert!(at.elapsed() <= TTL + slack, "{:?}", at.elapsed());

    emulator.stop().await;
    let warned = application.says("warning", seen).await;
    application
        .says(&format!("using the last good version, {second}"), seen)
        .await;
    application
        .says(
            &format!("connecting with the parameters of Secret(\"{second}\")"),
            warned,
        )
        .await;
    application.ends_well();
}

#[tokio::test]
async fn a_value_of_another_form_is_not_taken_and_not_quoted() {
    let emulator = Emulator::start().await;
    let secrets = emulator.secrets().await;
    let made = secrets
        .create_secret()
        .name("prod/db")
        .secret_string(value("first"))
        .send()
        .await
        .unwrap();
    let first = made.version_id.unwrap();
    let application = Application::start(&emulator.endpoint, "prod/db");
    application.says(&first, 0).await;
    for wrong in ["hunter2", r#"{"port": "hunter2"}"#] {
        let from = application.lines.lock().unwrap().len();
        let changed = secrets
            .put_secret_value()
            .secret_id("prod/db")
            .secret_string(wrong)
            .send()
            .await
            .unwrap();
        let version = changed.version_id.unwrap();
        application
            .says(
                &format!("warning: version {version} of prod/db is not the JSON of a database"),
                from,
            )
            .await;
        application
            .says(&format!("using the last good version, {first}"), from)
            .await;
    }
    application.ends_well();
}

#[tokio::test]
async fn before_the_first_success_what_was_injected_serves() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let application = Application::start(&format!("http://{nobody}"), "prod/db");
    application
        .says("using what was injected at the start", 0)
        .await;
    application
        .says("connecting with the parameters of Injected", 0)
        .await;
    application.ends_well();
}

#[tokio::test]
async fn a_secret_that_does_not_exist_is_a_warning() {
    let emulator = Emulator::start().await;
    let application = Application::start(&emulator.endpoint, "prod/none");
    application
        .says("warning: prod/none could not be read", 0)
        .await;
    application
        .says("connecting with the parameters of Injected", 0)
        .await;
    application.ends_well();
}
