//! The function, as Lambda and its log show it.

use std::collections::BTreeMap;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use jiff::Timestamp;
use redeploy_on_rotation::aws::{ApiBucket, AwsError, ErrorKind, pages};

use super::Session;

/// The namespace of the function's metrics, which only its reports name.
const NAMESPACE: &str = "RedeployOnRotation";

/// How a function is set up
/// (<https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>).
#[derive(Clone, Debug)]
pub struct FunctionSettings {
    /// Its environment.
    pub variables: BTreeMap<String, String>,
    /// Where it logs.
    pub log_group: String,
    /// Whether its log leaves out what is logged at INFO, as the reports are.
    pub hides_reports: bool,
}

impl Session {
    /// The settings of the function of this name or ARN; `None` when there is none.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn function_settings(
        &self,
        name: &str,
    ) -> Result<Option<FunctionSettings>, AwsError> {
        const ACTION: &str = "lambda:GetFunctionConfiguration";
        let client = aws_sdk_lambda::Client::new(&self.once());
        let call = client.get_function_configuration().function_name(name);
        let call = async || call.clone().send().await;
        let found = match self.aws.read(ApiBucket::Iam, ACTION, call).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let environment = found.environment;
        // Without it, the settings would be the defaults.
        let error = environment.as_ref().and_then(|known| known.error());
        if let Some(error) = error {
            return Err(AwsError {
                action: ACTION,
                kind: ErrorKind::Rejected,
                message: format!(
                    "Lambda does not give the environment of {name}: {}: {}",
                    error.error_code().unwrap_or("unknown error"),
                    error.message().unwrap_or("may its key be used?")
                ),
            });
        }
        let variables = environment.and_then(|environment| environment.variables);
        let logging = found.logging_config;
        let level = logging
            .as_ref()
            .and_then(|known| known.application_log_level());
        let hides_reports = level.is_some_and(|level| {
            use aws_sdk_lambda::types::ApplicationLogLevel::{Error, Fatal, Warn};
            matches!(level, Warn | Error | Fatal)
        });
        let log_group = logging.and_then(|logging| logging.log_group);
        let name = found.function_name.unwrap_or_else(|| name.to_owned());
        Ok(Some(FunctionSettings {
            variables: variables.unwrap_or_default().into_iter().collect(),
            log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            hides_reports,
        }))
    }

    /// The lines of a log group that are reports of the function, in the order of their time.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn report_lines(
        &self,
        log_group: &str,
        since: Timestamp,
    ) -> Result<Vec<String>, AwsError> {
        // <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
        let reports = format!("{{ $._aws.CloudWatchMetrics[0].Namespace = \"{NAMESPACE}\" }}");
        let client = aws_sdk_cloudwatchlogs::Client::new(&self.once());
        let call = client.filter_log_events().log_group_name(log_group);
        let call = call
            .filter_pattern(reports)
            .start_time(since.as_millisecond());
        let events = pages(async |token| {
            let call = call.clone().set_next_token(token);
            let page = async || call.clone().send().await;
            let page = self.aws.read(ApiBucket::Logs, "logs:FilterLogEvents", page);
            let page = page.await?;
            Ok((page.events.unwrap_or_default(), page.next_token))
        });
        let mut events = events.await?;
        events.sort_by_key(|event| event.timestamp);
        let messages = events.iter().filter_map(|event| event.message());
        // An emulator puts several lines into one event, and may not know the filter.
        let lines = messages.flat_map(str::lines);
        let reports = lines.filter(|line| line.starts_with('{') && line.contains(NAMESPACE));
        Ok(reports.map(str::to_owned).collect())
    }

    /// The settings of the other clients, for one that only a command or two need.
    fn once(&self) -> aws_config::SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(std::time::Duration::from_secs(3))
            .operation_attempt_timeout(std::time::Duration::from_secs(15))
            .build();
        let config = self.sdk.to_builder().timeout_config(timeouts);
        config.retry_config(RetryConfig::disabled()).build()
    }
}
