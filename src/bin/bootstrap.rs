//! The Lambda function: reads the configuration, makes the clients, and answers invocations.

use std::process::ExitCode;

use aws_lambda_events::sqs::SqsBatchResponse;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use redeploy_on_rotation::aws::Aws;
use redeploy_on_rotation::config::Config;
use redeploy_on_rotation::event::{self, Kind};
use redeploy_on_rotation::handler::{Clock, handle, handle_batch};
use redeploy_on_rotation::report::{Failure, LogContext, Outcome, Report};
use serde_json::value::RawValue;
use serde_json::{Value, json};
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
    let config = &Config::from_vars(std::env::vars_os().map(|(name, value)| (text(name), text(value))))?;
    let aws = &Aws::from_env(config.rate_share).await;
    lambda_runtime::run(service_fn(async |event| invoke(aws, config, event).await)).await
}

/// Answers with the report, or with the failed records of an SQS batch.
async fn invoke(aws: &Aws, config: &Config, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
    let now = Timestamp::now();
    let deadline = i64::try_from(event.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // A deadline in the past is what a Runtime API sends that knows of none.
    let clock = &Clock::new(now, deadline.filter(|deadline| *deadline > now));
    let log = |report: &Report| {
        let context = LogContext {
            timestamp: clock.now(),
            request_id: &event.context.request_id,
            function_name: &event.context.env_config.function_name,
            duration_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        println!("{}", report.log_line(&context));
    };
    // The text is parsed here, and not by the runtime, because only nesting beyond all reason can fail by now.
    let Ok(payload) = serde_json::from_str::<Value>(event.payload.get()) else {
        let report = Report::new(Kind::Unknown, Outcome::Ignored, "the payload is nested too deeply to be an event");
        log(&report);
        return Ok(json!(report));
    };
    let report = match event::sqs_batch(&payload) {
        Ok(Some(records)) => {
            let failed = handle_batch(aws, config, &records, clock, log).await;
            let mut answer = SqsBatchResponse::default();
            answer.set_failures(failed);
            return Ok(json!(answer));
        }
        Ok(None) => handle(aws, config, &payload, clock).await,
        Err(invalid) => Report::failed(invalid.kind, Failure::InvalidEvent, invalid.to_string()),
    };
    log(&report);
    match report.failure {
        None => Ok(json!(report)),
        Some(failure) => {
            Err(Diagnostic { error_type: failure.error_type().to_owned(), error_message: report.error_message() })
        }
    }
}

/// One JSON object per line, with `level`, an RFC 3339 `timestamp` and the request id, as Lambda's log filter needs.
///
/// `AWS_LAMBDA_LOG_LEVEL` is for this program; libraries never log below INFO, where they would print whole payloads.
fn log_as_json() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("redeploy_on_rotation", level)
        .with_target("bootstrap", level)
        // The span that carries the request id.
        .with_target("lambda_runtime::layers::trace", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_span_list(false);
    tracing_subscriber::registry().with(targets).with(lines).init();
}
