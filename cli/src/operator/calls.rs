//! What a person hears of the calls to AWS while they are made: each of them, where that is wanted,
//! and in any case what is waited for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use tokio::time::{Instant, interval};

use crate::output::note;

/// A person hears of a call that is not answered after this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Calls that are not answered yet, or were not answered well.
#[derive(Debug)]
struct Calls {
    verbose: bool,
    open: Mutex<HashMap<u64, Open>>,
}

/// A call that was made for the first time then.
#[derive(Debug)]
struct Open {
    name: String,
    since: Instant,
    /// Whether it is awaited: an answer that is an error may be the last word.
    is_awaited: bool,
    is_said: bool,
}

/// The same HTTP client, which says on stderr what it waits for and, where `verbose`, each call.
pub(super) fn watched(client: SharedHttpClient, verbose: bool) -> SharedHttpClient {
    let calls = Arc::new(Calls {
        verbose,
        open: Mutex::default(),
    });
    tokio::spawn(calls.clone().watch());
    http_client_fn(move |settings: &HttpConnectorSettings, components| {
        SharedHttpConnector::new(Watched {
            connector: client.http_connector(settings, components),
            calls: calls.clone(),
        })
    })
}

#[derive(Debug)]
struct Watched {
    connector: SharedHttpConnector,
    calls: Arc<Calls>,
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let name = name(&request);
        let mut hasher = DefaultHasher::new();
        (&name, request.uri(), request.body().bytes()).hash(&mut hasher);
        let key = hasher.finish();
        self.calls.ask(key, &name);
        let mut call = Call {
            calls: self.calls.clone(),
            name,
            began: Instant::now(),
            is_answered: false,
        };
        let answer = self.connector.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            call.is_answered = true;
            call.calls.learn(key, &call, &answer);
            answer
        })
    }
}

/// One attempt.
struct Call {
    calls: Arc<Calls>,
    name: String,
    began: Instant,
    is_answered: bool,
}

impl Call {
    fn say(&self, became: &str) {
        if self.calls.verbose {
            let took = self.began.elapsed().as_millis();
            note(&format!("{} {became} after {took} ms", self.name));
        }
    }
}

/// An attempt whose time was over is given up without a word.
impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_answered {
            self.say("not answered");
        }
    }
}

impl Calls {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, key: u64, name: &str) {
        let mut calls = self.open();
        let call = calls.entry(key).or_insert_with(|| Open {
            name: name.to_owned(),
            since: Instant::now(),
            is_awaited: true,
            is_said: false,
        });
        call.is_awaited = true;
    }

    fn learn(&self, key: u64, call: &Call, answer: &Result<HttpResponse, ConnectorError>) {
        let mut calls = self.open();
        match answer {
            Ok(response) if response.status().is_success() => {
                calls.remove(&key);
            }
            // Made again, it is awaited since the first time.
            _ => {
                if let Some(call) = calls.get_mut(&key) {
                    call.is_awaited = false;
                }
            }
        }
        drop(calls);
        match answer {
            Err(_) => call.say("not answered"),
            Ok(response) => {
                let headers = response.headers();
                let id = ["x-amzn-requestid", "x-amz-request-id"];
                let id = id.iter().find_map(|name| headers.get(*name));
                let id = id.map(|id| format!(", request {id},")).unwrap_or_default();
                call.say(&format!("{}{id}", response.status().as_u16()));
            }
        }
    }

    /// Says once of each call that is not answered for long.
    async fn watch(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_millis(250));
        loop {
            ticks.tick().await;
            let mut calls = self.open();
            let late = calls
                .values_mut()
                .find(|call| call.is_awaited && !call.is_said && call.since.elapsed() >= PATIENCE);
            let Some(late) = late else { continue };
            late.is_said = true;
            let name = late.name.clone();
            // The others of its kind wait for the same reason.
            let same = calls.values_mut().filter(|call| call.name == name);
            same.for_each(|call| call.is_said = true);
            drop(calls);
            note(&format!("waiting for {name}"));
        }
    }
}

/// `<service>:<operation>`, as far as the request says.
fn name(request: &HttpRequest) -> String {
    let header = |name| request.headers().get(name).unwrap_or_default();
    // Credential=<id>/<date>/<Region>/<service>/aws4_request
    let service = header("authorization").split('/').nth(3);
    let path = request.uri().split(['?', '#']).next().unwrap_or_default();
    let body = request.body().bytes().unwrap_or_default();
    let body = std::str::from_utf8(body).unwrap_or_default();
    let query = body
        .strip_prefix("Action=")
        .and_then(|q| q.split('&').next());
    let target = header("x-amz-target").rsplit('.').next();
    let target = target.filter(|target| !target.is_empty());
    let operation = target.or(query).map(str::to_owned);
    let operation = operation.unwrap_or_else(|| {
        let path = path.split_once("://").map_or(path, |(_, path)| path);
        let path = path.split_once('/').map_or("", |(_, path)| path);
        format!("{} /{path}", request.method())
    });
    match service {
        Some(service) => format!("{service}:{operation}"),
        None => operation,
    }
}
