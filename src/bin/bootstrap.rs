//! The Lambda function: reads the configuration, makes the clients, and answers invocations.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, service_fn};
use redeploy_core::config::Config;
use redeploy_core::emf::LogContext;
use redeploy_core::event;
use redeploy_core::report::{ErrorType, Report};
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::clock::Clock;
use redeploy_on_rotation::handler::{handle, handle_batch, read};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tower::util::MapRequestLayer;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log_as_json();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the function stops: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let config =
        Config::from_vars(std::env::vars_os().map(|(name, value)| (text(name), text(value))))?;
    let function = &Function {
        aws: OnceCell::new(),
        config,
        attempts: Mutex::default(),
    };
    let runtime = Runtime::new(service_fn(async |event| function.invoke(event).await));
    runtime
        .layer(MapRequestLayer::new(json_or_null))
        .layer(TracingLayer::new())
        .run()
        .await
}

/// Lambda sends JSON only. Whatever else arrives is replaced, because the runtime would answer it with an error of its
/// own, without a report.
fn json_or_null(mut invocation: LambdaInvocation) -> LambdaInvocation {
    if serde_json::from_slice::<&RawValue>(&invocation.body).is_err() {
        invocation.body = b"null".as_slice().into();
    }
    invocation
}

struct Function {
    config: Config,
    /// Made by the first invocation, which has time for it while the change settles.
    aws: OnceCell<Aws>,
    /// When each invocation was first attempted, by its id. A new process knows none, and uses its
    /// own time as that of a request.
    attempts: Mutex<BTreeMap<String, Timestamp>>,
}

impl Function {
    /// Answers with the report, or with the failed records of an SQS batch.
    async fn invoke(&self, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
        let id = &event.context.request_id;
        let now = Timestamp::now();
        let deadline = i64::try_from(event.context.deadline)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        // A deadline in the past is what a Runtime API sends that knows of none.
        let mut clock = Clock::new(now, deadline.filter(|deadline| *deadline > now));
        // Lambda may deliver a request twice, and repeats one that failed, under the same id.
        clock.requested_at = self.first_attempt(id, now);
        let mut reported = Duration::ZERO;
        let mut log = |report: &Report| {
            let took = clock
                .elapsed()
                .saturating_sub(std::mem::replace(&mut reported, clock.elapsed()));
            let context = LogContext {
                timestamp: clock.now(),
                request_id: id,
                function_name: &event.context.env_config.function_name,
                duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            };
            println!("{}", report.log_line(&context));
        };
        let aws = || Aws::from_env(self.config.rate_share);
        let aws = self.aws.get_or_init(aws).await;
        let report = match read(event.payload.get()) {
            Err(report) => report,
            Ok(payload) => match event::sqs_batch(&payload) {
                Ok(Some(records)) => {
                    let batch = handle_batch(aws, &self.config, &records, &clock, &mut log);
                    let failed = batch.await;
                    if !records.is_empty() && failed.len() == records.len() {
                        // A mapping without `ReportBatchItemFailures` would delete them all.
                        let message = "every record of the batch failed".to_owned();
                        return Err(Diagnostic {
                            error_type: ErrorType::PartialFailure.name().to_owned(),
                            error_message: message,
                        });
                    }
                    let mut answer = SqsBatchResponse::default();
                    answer.set_failures(failed);
                    return Ok(json!(answer));
                }
                Ok(None) => handle(aws, &self.config, &payload, &clock).await,
                Err(invalid) => invalid.into(),
            },
        };
        log(&report);
        let Some(failure) = report.failure else {
            return Ok(report.answer());
        };
        Err(Diagnostic {
            error_type: failure.name().to_owned(),
            error_message: report.error_message(),
        })
    }

    /// When an invocation of this id was first attempted, UTC.
    fn first_attempt(&self, id: &str, now: Timestamp) -> Timestamp {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        // Lambda gives up on an event after six hours at the latest.
        attempts.retain(|_, first| now.duration_since(*first) < SignedDuration::from_hours(6));
        *attempts.entry(id.to_owned()).or_insert(now)
    }
}

/// One JSON object per line, with `level`, an RFC 3339 `timestamp` and the request id, as Lambda's log filter needs.
///
/// `AWS_LAMBDA_LOG_LEVEL` is for this program; libraries never log below INFO, where they would print whole payloads.
fn log_as_json() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default();
    // Lambda knows one level more than `tracing`.
    let level = if level.eq_ignore_ascii_case("FATAL") {
        "ERROR"
    } else {
        &level
    };
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("redeploy_on_rotation", level)
        .with_target("bootstrap", level)
        // It would repeat the report of each failed invocation, and cry over a rotation that is only pending.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
        // The span that carries the request id.
        .with_target("lambda_runtime::layers::trace", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_span_list(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
}

#[cfg(test)]
mod tests {
    use lambda_runtime::Context;
    use serde_json::value::to_raw_value;

    use super::*;

    /// A function that has no way to AWS.
    fn function() -> Function {
        Function {
            config: Config::from_vars([]).unwrap(),
            aws: Aws::new(&aws_config::SdkConfig::builder().build(), 0.5).into(),
            attempts: Mutex::default(),
        }
    }

    /// An SQS batch with these bodies.
    async fn batch(bodies: &[&str]) -> Result<Value, Diagnostic> {
        let record = |(id, body): (usize, &&str)| json!({"messageId": id.to_string(), "eventSource": "aws:sqs", "body": body});
        let records: Vec<_> = bodies.iter().enumerate().map(record).collect();
        let payload = to_raw_value(&json!({ "Records": records })).unwrap();
        let event = LambdaEvent::new(payload, Context::default());
        function().invoke(event).await
    }

    const BROKEN: &str =
        r#"{"detail-type": "Secret Label Updated", "source": "aws.secretsmanager"}"#;

    #[tokio::test]
    async fn a_batch_of_which_every_record_failed_fails() {
        let error = batch(&[BROKEN, BROKEN]).await.unwrap_err();
        assert_eq!(error.error_type, "PartialFailure");
        let some = batch(&[BROKEN, "{}"]).await.unwrap();
        let expected = json!({"batchItemFailures": [{"itemIdentifier": "0"}]});
        assert_eq!(some, expected);
        let none = batch(&[]).await.unwrap();
        assert_eq!(none, json!({"batchItemFailures": []}));
    }

    #[test]
    fn a_request_that_is_delivered_twice_is_of_its_first_attempt() {
        let function = function();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(function.first_attempt("a", at(1_000)), at(1_000));
        assert_eq!(function.first_attempt("a", at(1_060)), at(1_000));
        assert_eq!(function.first_attempt("b", at(1_060)), at(1_060));
        let later = at(1_000 + 6 * 3600);
        assert_eq!(function.first_attempt("a", later), later);
    }
}
