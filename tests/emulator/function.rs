//! The real `bootstrap` as a process under a Lambda Runtime API of our own
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::emulator::{Emulator, free_port};

/// Ends with its value.
pub(crate) struct Function {
    process: Child,
    payloads: Sender<Vec<u8>>,
    answers: Receiver<Answer>,
    lines: Arc<Mutex<Vec<Value>>>,
}

/// How the function answered an invocation.
#[derive(Debug)]
pub(crate) enum Answer {
    Report(Value),
    /// Error type and message.
    Error(String, String),
}

impl Answer {
    pub(crate) fn report(self) -> Value {
        match self {
            Self::Report(report) => report,
            Self::Error(kind, message) => panic!("{kind}: {message}"),
        }
    }

    pub(crate) fn error(self) -> (String, String) {
        match self {
            Self::Report(report) => panic!("no error: {report}"),
            Self::Error(kind, message) => (kind, message),
        }
    }
}

fn command(runtime_api: u16, vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{runtime_api}"))
        .env("AWS_LAMBDA_FUNCTION_NAME", "redeploy")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .envs(vars.iter().copied())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Function {
    pub(crate) async fn start(emulator: &Emulator, vars: &[(&str, &str)]) -> Self {
        Self::start_at(&emulator.endpoint, vars).await
    }

    pub(crate) async fn start_at(endpoint: &str, vars: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (payloads, next) = channel(1);
        let (done, answers) = channel(1);
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(runtime_api(listener, next, done));
        let mut command = command(port, vars);
        let mut process = command.env("AWS_ENDPOINT_URL", endpoint).spawn().unwrap();
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let (logged, stdout) = (lines.clone(), process.stdout.take().unwrap());
        tokio::spawn(async move {
            let mut read = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = read.next_line().await {
                logged
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")));
            }
        });
        Self {
            process,
            payloads,
            answers,
            lines,
        }
    }

    /// Starts a function that stops by itself; gives its exit code and what it logged.
    pub(crate) async fn fail_to_start(vars: &[(&str, &str)]) -> (Option<i32>, String) {
        let command = command(free_port().await, vars).output();
        let output = timeout(Duration::from_secs(20), command)
            .await
            .unwrap()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    pub(crate) async fn invoke(&mut self, payload: &Value) -> Answer {
        self.invoke_bytes(payload.to_string().into_bytes()).await
    }

    pub(crate) async fn invoke_bytes(&mut self, payload: Vec<u8>) -> Answer {
        self.payloads.send(payload).await.unwrap();
        let answer = timeout(Duration::from_mins(10), self.answers.recv()).await;
        assert!(
            self.process.try_wait().unwrap().is_none(),
            "the function stopped"
        );
        answer.unwrap().unwrap()
    }

    /// Ends the process as nothing can prevent, in the middle of whatever it does.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Hands over a payload of which nobody waits for the answer.
    pub(crate) async fn send(&self, payload: &Value) {
        self.payloads
            .send(payload.to_string().into_bytes())
            .await
            .unwrap();
    }

    /// The most memory that the process ever had resident, in kB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap()))
                .unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What was logged so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }
}

/// Serves one function: the next payload, then its answer.
async fn runtime_api(listener: TcpListener, next: Receiver<Vec<u8>>, done: Sender<Answer>) {
    let next = Arc::new(tokio::sync::Mutex::new(next));
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, next.clone(), done.clone()));
    }
}

async fn serve(
    stream: TcpStream,
    next: Arc<tokio::sync::Mutex<Receiver<Vec<u8>>>>,
    done: Sender<Answer>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(Request { path, body, .. }) = request(&mut stream).await {
        let answer = if path.ends_with("/invocation/next") {
            let Some(payload) = next.lock().await.recv().await else {
                return;
            };
            let deadline = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                + Duration::from_mins(15);
            let head = format!(
                "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 lambda-runtime-deadline-ms: {}\r\nlambda-runtime-invoked-function-arn: arn\r\ncontent-length: {}\r\n\r\n",
                deadline.as_millis(),
                payload.len()
            );
            [head.into_bytes(), payload].concat()
        } else {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let answer = if path.ends_with("/response") {
                Answer::Report(body)
            } else {
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                Answer::Error(text("errorType"), text("errorMessage"))
            };
            done.send(answer).await.unwrap();
            b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_vec()
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// What a request says, as far as it matters here.
pub(crate) struct Request {
    path: String,
    /// The operation of an AWS API.
    pub(crate) operation: String,
    pub(crate) authorization: String,
    pub(crate) body: Vec<u8>,
}

/// Reads one request.
pub(crate) async fn request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let (mut path, mut operation, mut authorization, mut length) =
        (String::new(), String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            None => path = line.split(' ').nth(1)?.to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.clone_into(&mut authorization)
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                operation = value.rsplit('.').next()?.to_owned();
            }
            Some((name, _)) => assert!(
                !name.eq_ignore_ascii_case("transfer-encoding"),
                "bodies have a length"
            ),
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        path,
        operation,
        authorization,
        body,
    })
}
