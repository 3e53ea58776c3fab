//! A report as a log line with CloudWatch metrics, and as the answer of an invocation: both of a
//! bounded length.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::event::TriggerKind;
use crate::reason::Reason;
use crate::report::{ErrorType, Report, ServiceAction, ServiceReport, count};

/// CloudWatch Logs keeps at most 256 KiB of a line where an account has not raised it; the rest is
/// for the envelope.
const MAX_LINE_BYTES: usize = 250 * 1024;
/// Destinations of asynchronous invocations accept at most 256 KiB, with the request in it.
const MAX_ANSWER_BYTES: usize = 200 * 1024;

/// What a log line needs besides the report.
#[derive(Clone, Debug)]
pub struct LogContext<'a> {
    /// Now, UTC.
    pub timestamp: Timestamp,
    /// The invocation.
    pub request_id: &'a str,
    /// The function's name, the only dimension of the metrics.
    pub function_name: &'a str,
    /// The duration of the invocation.
    pub duration_ms: u64,
}

impl Report {
    /// The report as one log line, which is also a CloudWatch metric document
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
    ///
    /// A report that is too long for a line loses the services that are fresh, and then the ends of
    /// its lists, where the services are that need attention least. `servicesOmitted`,
    /// `rotationsOmitted` and `warningsOmitted` say how many; the metrics count all.
    #[must_use]
    pub fn log_line(&self, context: &LogContext<'_>) -> String {
        let count = |action| count(&self.services, action);
        // An invocation that fails before it knows its services must raise the alarm all the same.
        let is_alarm = self.failure.is_some_and(ErrorType::is_an_alarm);
        let failed = count(ServiceAction::Failed).max(usize::from(is_alarm));
        let unknown = self
            .services
            .iter()
            .filter(|service| service.reason == Reason::Unknown);
        let counts = [
            ("Redeployed", count(ServiceAction::Redeployed)),
            ("Failed", failed),
            ("Skipped", count(ServiceAction::Skipped)),
            ("Blocked", count(ServiceAction::Blocked)),
            ("Waiting", count(ServiceAction::Waiting)),
            ("Unknown", unknown.count()),
            ("Swept", usize::from(self.has_swept())),
        ];
        let mut metrics = Vec::from(counts.map(|(name, _)| json!({"Name": name, "Unit": "Count"})));
        metrics.push(json!({"Name": "DurationMs", "Unit": "Milliseconds"}));
        let mut line = json!({
            "timestamp": context.timestamp,
            "level": self.level(),
            "message": self.reason,
            "requestId": context.request_id,
            "_aws": {
                "Timestamp": context.timestamp.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "RedeployOnRotation",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": metrics,
                }],
            },
            "FunctionName": context.function_name,
            "DurationMs": context.duration_ms,
        });
        if let Some(line) = line.as_object_mut() {
            line.extend(counts.map(|(name, count)| (name.to_owned(), json!(count))));
            let room = MAX_LINE_BYTES.saturating_sub(json!(line).to_string().len());
            line.extend(self.within(room));
        }
        line.to_string()
    }

    /// The report as the answer of an invocation, cut as a log line is, with a text for people where
    /// there is something to tell.
    #[must_use]
    pub fn answer(&self) -> Value {
        let text = self.notification();
        let length = text
            .as_ref()
            .map_or(0, |text| json!(text).to_string().len() + 20);
        let mut fields = self.within(MAX_ANSWER_BYTES - length);
        fields.extend(text.map(|text| ("notification".to_owned(), json!(text))));
        Value::Object(fields)
    }

    /// The fields of the report, as many of its rows as fit, and how many are left out.
    fn within(&self, max_bytes: usize) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("trigger".to_owned(), json!(self.trigger));
        fields.insert("outcome".to_owned(), json!(self.outcome));
        fields.insert("reason".to_owned(), json!(self.reason));
        // Room for the names of the lists and of what is left out.
        let head = json!(fields).to_string().len() + 200;
        let mut services: Vec<_> = self.services.iter().collect();
        let lengths =
            |services: &[&ServiceReport]| -> Vec<usize> { services.iter().map(bytes).collect() };
        let mut lists = [
            List::new(lengths(&services)),
            List::new(self.rotations.iter().map(bytes).collect()),
            List::new(self.warnings.iter().map(bytes).collect()),
        ];
        let total = |lists: &[List]| head + lists.iter().map(List::bytes).sum::<usize>();
        if total(&lists) > max_bytes {
            services.retain(|service| service.reason != Reason::AlreadyFresh);
            lists[0] = List::new(lengths(&services));
        }
        while total(&lists) > max_bytes {
            let longest = lists.iter_mut().max_by_key(|list| list.bytes());
            match longest.filter(|list| list.kept > 0) {
                Some(longest) => longest.kept /= 2,
                None => break,
            }
        }
        let [of_services, of_rotations, of_warnings] = lists.map(|list| list.kept);
        services.truncate(of_services);
        let omitted = self.services.len() - services.len();
        insert(&mut fields, "services", json!(services), omitted);
        let rotations = &self.rotations[..of_rotations];
        let omitted = self.rotations.len() - of_rotations;
        insert(&mut fields, "rotations", json!(rotations), omitted);
        if !self.warnings.is_empty() {
            let warnings = &self.warnings[..of_warnings];
            let omitted = self.warnings.len() - of_warnings;
            insert(&mut fields, "warnings", json!(warnings), omitted);
        }
        fields
    }

    /// Whether everything in scope was examined.
    pub(crate) fn has_swept(&self) -> bool {
        let is_examined = |service: &ServiceReport| !service.reason.is_failure();
        let sweeps = [TriggerKind::Sweep, TriggerKind::CalendarStateChange];
        sweeps.contains(&self.trigger)
            && matches!(self.failure, None | Some(ErrorType::PartialFailure))
            && self.services.iter().all(is_examined)
    }

    fn level(&self) -> &'static str {
        match self.failure {
            Some(ErrorType::RotationPending) => "WARN",
            Some(_) => "ERROR",
            None if count(&self.services, ServiceAction::Failed) > 0 => "ERROR",
            None if count(&self.services, ServiceAction::Blocked) > 0 => "WARN",
            None if !self.warnings.is_empty() => "WARN",
            None => "INFO",
        }
    }
}

/// The rows of a list by their lengths, and how many of them are kept.
struct List {
    /// The length of the first rows together, for each number of rows.
    sums: Vec<usize>,
    kept: usize,
}

impl List {
    fn new(lengths: Vec<usize>) -> Self {
        let kept = lengths.len();
        let mut sums = vec![0];
        let mut sum = 0;
        sums.extend(lengths.into_iter().map(|length| {
            sum += length;
            sum
        }));
        Self { sums, kept }
    }

    fn bytes(&self) -> usize {
        self.sums[self.kept]
    }
}

/// The length of a row with the comma behind it.
fn bytes(row: &impl Serialize) -> usize {
    serde_json::to_string(row).map_or(0, |row| row.len() + 1)
}

fn insert(fields: &mut Map<String, Value>, name: &str, list: Value, omitted: usize) {
    fields.insert(name.to_owned(), list);
    if omitted > 0 {
        fields.insert(format!("{name}Omitted"), json!(omitted));
    }
}

#[cfg(test)]
mod tests;
