//! The simulated AWS as an endpoint on loopback, for a process to talk to.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::simulation::account::FakeAws;
use crate::simulation::wire::Wire;

/// Ends with the test's process.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) wire: Wire,
    /// Beside the world's own behaviour.
    pub(crate) mood: Arc<Mutex<Mood>>,
}

/// How the account behaves apart from what the function knows of it.
#[derive(Default)]
pub(crate) struct Mood {
    /// The `rolloutState` of deployments from now on, in the order of their beginning; the last one stays.
    pub(crate) rollouts: Vec<&'static str>,
    /// Whether the credentials are expired.
    pub(crate) expired: bool,
    /// Whether STS does not say whose they are.
    pub(crate) anonymous: bool,
    /// The variables of the function, where there is one.
    pub(crate) function: Option<Value>,
    /// The lines of its log.
    pub(crate) log: Vec<String>,
}

impl Endpoint {
    pub(crate) fn start(world: FakeAws) -> Self {
        let wire = Wire::new(world);
        let mood = Arc::<Mutex<Mood>>::default();
        let (tell, port) = channel();
        let (served, shared) = (wire.clone(), mood.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, served.clone(), shared.clone()));
                }
            });
        });
        let url = format!("http://127.0.0.1:{}", port.recv().unwrap());
        Self { url, wire, mood }
    }
}

/// Lets time go by in an account, at once.
pub(crate) fn skip(world: &mut FakeAws, seconds: i64) {
    world.began_at += SignedDuration::from_secs(seconds);
}

async fn serve(stream: TcpStream, wire: Wire, mood: Arc<Mutex<Mood>>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    while let Some((operation, body)) = request(&mut stream).await {
        let (status, answer) = match operation.as_deref() {
            Some(path) if path.starts_with('/') => configuration(path, &mood.lock().unwrap()),
            None => caller(&mood.lock().unwrap()),
            Some("FilterLogEvents") => {
                let log = &mood.lock().unwrap().log;
                let events = log.iter().enumerate();
                let events: Vec<_> = events
                    .map(|(at, line)| json!({"timestamp": at, "message": line}))
                    .collect();
                (200, json!({"events": events}).to_string())
            }
            Some("GetTaskProtection") => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let world = wire.account();
                let running = world.services.values().flat_map(|s| &s.running);
                let protected: Vec<_> = running.filter(|task| task.protected).collect();
                let is_protected = |arn: &str| {
                    protected
                        .iter()
                        .any(|task| arn.ends_with(&format!("{:032x}", task.id)))
                };
                let tasks = body["tasks"].as_array().unwrap().iter();
                let tasks: Vec<_> = tasks
                    .map(|arn| json!({"taskArn": arn, "protectionEnabled": is_protected(arn.as_str().unwrap())}))
                    .collect();
                (200, json!({"protectedTasks": tasks}).to_string())
            }
            Some("ListSecrets") => {
                let world = wire.account();
                let names: Vec<_> = world
                    .secrets
                    .keys()
                    .map(|name| json!({"Name": name}))
                    .collect();
                (200, json!({"SecretList": names}).to_string())
            }
            Some(operation) => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let Some((status, answer)) = wire.exchange(operation, &body).await else {
                    return;
                };
                if operation == "UpdateService" && status == 200 {
                    let mut mood = mood.lock().unwrap();
                    let rollout = if mood.rollouts.len() > 1 {
                        Some(mood.rollouts.remove(0))
                    } else {
                        mood.rollouts.first().copied()
                    };
                    if let (Some(rollout), Some(arn)) = (rollout, body["service"].as_str()) {
                        wire.account().services.get_mut(arn).unwrap().deployments[0].rollout =
                            rollout;
                    }
                }
                (status, answer.to_string())
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\nx-amzn-requestid: 7c1d\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if stream
            .write_all(&[head.as_bytes(), answer.as_bytes()].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// `GetFunctionConfiguration`, which is asked for by a path.
fn configuration(path: &str, mood: &Mood) -> (u16, String) {
    assert_eq!(path, "/2015-03-31/functions/redeployer/configuration");
    match &mood.function {
        Some(variables) => (
            200,
            json!({
                "FunctionName": "redeployer", "Environment": environment(variables),
                "LoggingConfig": {
                    "LogGroup": "/ours/redeployer",
                    "ApplicationLogLevel": variables["level"].as_str().unwrap_or("INFO"),
                },
            })
            .to_string(),
        ),
        None => (
            404,
            json!({"__type": "ResourceNotFoundException", "message": "Function not found"})
                .to_string(),
        ),
    }
}

/// What Lambda says of the variables; it may not be able to read them.
fn environment(variables: &Value) -> Value {
    match variables.get("error") {
        Some(error) => json!({"Error": {"ErrorCode": "AccessDeniedException", "Message": error}}),
        None => json!({"Variables": variables}),
    }
}

/// `GetCallerIdentity`, which has a protocol of its own.
fn caller(mood: &Mood) -> (u16, String) {
    let error = if mood.expired {
        "<Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message>"
    } else {
        "<Code>AccessDenied</Code><Message>The policy of the endpoint does not allow it</Message>"
    };
    if mood.expired || mood.anonymous {
        return (
            403,
            format!("<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>"),
        );
    }
    let who = "<Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>U</UserId><Account>123456789012</Account>";
    let answer = format!("<GetCallerIdentityResult>{who}</GetCallerIdentityResult>");
    (
        200,
        format!("<GetCallerIdentityResponse>{answer}</GetCallerIdentityResponse>"),
    )
}

/// Reads one request: its operation where a header names it, or its path where that does, and its
/// body.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(Option<String>, Vec<u8>)> {
    let (mut operation, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            None if line.trim_end().is_empty() => break,
            None => {
                let path = line.split(' ').nth(1).unwrap();
                operation = Some(path.to_owned()).filter(|path| path.len() > 1);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                operation = value.rsplit('.').next().map(str::to_owned);
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((operation, body))
}
