//! What was done and why: the only output of this program. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::{InvalidEvent, TriggerKind};
use crate::plan::Reason;
use crate::secret::Change;

/// The result of one invocation, as it is returned and logged.
///
/// The fields and their values are an interface: alarms, queries and other programs read them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What the invocation was about.
    pub trigger: TriggerKind,
    /// What came of it, in a word.
    pub outcome: Outcome,
    /// The same in a sentence.
    pub reason: String,
    /// The changes that were acted on.
    pub rotations: Vec<ChangeReport>,
    /// Every service that has to do with them; what needs attention stands first.
    pub services: Vec<ServiceReport>,
    /// What was not understood or not found, in sentences, and did not stop the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the invocation fails, if it does.
    #[serde(skip)]
    pub failure: Option<ErrorType>,
}

/// What came of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// At least one service got a new deployment, and none failed.
    Redeployed,
    /// A value changed, and no service needs a new deployment.
    NothingToDo,
    /// No value changed.
    Ignored,
    /// Services would have been redeployed.
    DryRun,
    /// Something could not be done; the invocation fails.
    Failed,
}

/// The type of error with which an invocation fails; stable, for alarms and queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// At least one service, or one lookup, failed.
    PartialFailure,
    /// The rotation is still under way, and the invocation is to come back.
    RotationPending,
    /// The event is known but lacks what is needed.
    InvalidEvent,
    /// AWS kept refusing calls for being too many.
    Throttled,
    /// The invocation's time does not suffice.
    TimeLeft,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeReport {
    /// The ARN of the secret or parameter.
    pub secret: String,
    /// The label that moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The version that now carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// An upper bound of the moment of the change, UTC.
    pub at: Timestamp,
}

/// An event that cannot be handled ends its invocation.
impl From<InvalidEvent> for Report {
    fn from(invalid: InvalidEvent) -> Self {
        Self::failed(invalid.kind, ErrorType::InvalidEvent, invalid.to_string())
    }
}

impl From<&Change> for ChangeReport {
    fn from(rotation: &Change) -> Self {
        Self {
            secret: rotation.subject.to_string(),
            label: rotation.subject.label().map(str::to_owned),
            version: rotation.version.clone(),
            at: rotation.at,
        }
    }
}

/// What happened to one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// The service's ARN, or `<cluster>/<service>` for one that does not exist, or a cluster that could not be read.
    pub service: String,
    /// What was done.
    pub action: ServiceAction,
    /// Why.
    pub reason: Why,
    /// The ARNs of the secrets and parameters it is about.
    pub secrets: Vec<String>,
    /// The id of the new deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// What went wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What was done to a service; in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceAction {
    /// It should have been redeployed and was not, or could not be examined.
    Failed,
    /// It cannot or must not be forced.
    Blocked,
    /// It got one new deployment.
    Redeployed,
    /// It would have got one.
    Planned,
    /// It needs nothing.
    Skipped,
}

/// Why something was done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Why {
    /// By the plan.
    Planned(Reason),
    /// Because it could not be examined.
    Lookup(LookupProblem),
}

impl Why {
    /// Whether nobody can tell if the service is stale.
    fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::Planned(Reason::Unknown) | Self::Lookup(LookupProblem::Unknown)
        )
    }
}

/// Why a service could not be examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookupProblem {
    /// The configuration names it, and it does not exist.
    NotFound,
    /// AWS did not answer the question what it is or uses, or when that changed.
    LookupFailed,
    /// AWS refuses to tell when something that it uses changed.
    Unknown,
}

/// The errors of Lambda are cut by readers of queues and logs; this much of the report is put into one.
const MAX_ERROR_BYTES: usize = 2048;
/// What is left of the error of one service where many have to be named.
const MAX_BRIEF_ERROR_BYTES: usize = 60;
/// CloudWatch Logs keeps at most 256 KiB of a line where an account has not raised it; the rest is for the envelope.
const MAX_LINE_BYTES: usize = 250 * 1024;

/// What a log line needs beside the report.
#[derive(Clone, Debug)]
pub struct LogContext<'a> {
    /// Now, UTC.
    pub timestamp: Timestamp,
    /// The invocation.
    pub request_id: &'a str,
    /// The function's name, the only dimension of the metrics.
    pub function_name: &'a str,
    /// How long the invocation took.
    pub duration_ms: u64,
}

impl Report {
    /// A report that names no service.
    #[must_use]
    pub fn new(trigger: TriggerKind, outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            trigger,
            outcome,
            reason: reason.into(),
            rotations: Vec::new(),
            services: Vec::new(),
            warnings: Vec::new(),
            failure: None,
        }
    }

    /// A report of an invocation that fails.
    #[must_use]
    pub fn failed(trigger: TriggerKind, failure: ErrorType, reason: impl Into<String>) -> Self {
        Self {
            failure: Some(failure),
            ..Self::new(trigger, Outcome::Failed, reason)
        }
    }

    /// The report of services that were examined: sorted, with outcome, reason and failure as they follow from them.
    #[must_use]
    pub fn of_services(
        trigger: TriggerKind,
        rotations: &[Change],
        mut services: Vec<ServiceReport>,
        warnings: Vec<String>,
    ) -> Self {
        services.sort_by(|a, b| (a.action, &a.service).cmp(&(b.action, &b.service)));
        let has = |action| services.iter().any(|service| service.action == action);
        let outcome = if has(ServiceAction::Failed) {
            Outcome::Failed
        } else if has(ServiceAction::Redeployed) {
            Outcome::Redeployed
        } else if has(ServiceAction::Planned) {
            Outcome::DryRun
        } else {
            Outcome::NothingToDo
        };
        let reason = sentence(&services);
        Self {
            rotations: rotations.iter().map(ChangeReport::from).collect(),
            services,
            warnings,
            failure: (outcome == Outcome::Failed).then_some(ErrorType::PartialFailure),
            ..Self::new(trigger, outcome, reason)
        }
    }

    /// The report as one log line, which is also a CloudWatch metric document
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
    ///
    /// A report that is too long for a line loses the end of its lists, which is where the services are that need
    /// attention least, and says how much in `servicesOmitted`, `rotationsOmitted` and `warningsOmitted`; the metrics
    /// count all.
    #[must_use]
    pub fn log_line(&self, context: &LogContext<'_>) -> String {
        let count = |action| count(&self.services, action);
        // An invocation that fails before it knows its services must raise the alarm all the same.
        let failed = count(ServiceAction::Failed).max(usize::from(
            self.failure.is_some_and(ErrorType::is_an_alarm),
        ));
        let mut metrics = Vec::from(
            ["Redeployed", "Failed", "Skipped", "Blocked", "Unknown"]
                .map(|name| json!({"Name": name, "Unit": "Count"})),
        );
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
            "Redeployed": count(ServiceAction::Redeployed),
            "Failed": failed,
            "Skipped": count(ServiceAction::Skipped),
            "Blocked": count(ServiceAction::Blocked),
            "Unknown": self.services.iter().filter(|service| service.reason.is_unknown()).count(),
            "DurationMs": context.duration_ms,
        });
        if let (Some(line), Value::Object(report)) = (line.as_object_mut(), json!(self)) {
            line.extend(report);
        }
        while line.to_string().len() > MAX_LINE_BYTES {
            let length = |list: &&str| line[*list].to_string().len();
            let longest = ["services", "warnings", "rotations"]
                .into_iter()
                .max_by_key(length)
                .unwrap_or_default();
            let list = line.get_mut(longest).and_then(Value::as_array_mut);
            let Some(list) = list.filter(|list| !list.is_empty()) else {
                break;
            };
            let omitted = list.split_off(list.len() / 2).len();
            let total = &mut line[format!("{longest}Omitted")];
            *total = json!(total.as_u64().unwrap_or_default() + omitted as u64);
        }
        line.to_string()
    }

    /// The message of the error with which the invocation fails: the report as compact JSON, cut to 2 KiB; where it is
    /// longer, with the failed services and what they follow only, and their errors in brief.
    #[must_use]
    pub fn error_message(&self) -> String {
        let mut message = json!(self).to_string();
        if message.len() > MAX_ERROR_BYTES {
            // Room for as many failed services as possible.
            let mut short = self.clone();
            short.warnings.clear();
            short
                .services
                .retain(|service| service.action == ServiceAction::Failed);
            let concerns = |rotation: &ChangeReport| {
                short
                    .services
                    .iter()
                    .any(|s| s.secrets.contains(&rotation.secret))
            };
            short.rotations.retain(concerns);
            for error in short
                .services
                .iter_mut()
                .filter_map(|service| service.error.as_mut())
            {
                error.truncate(error.floor_char_boundary(MAX_BRIEF_ERROR_BYTES));
            }
            message = json!(short).to_string();
        }
        message.truncate(message.floor_char_boundary(MAX_ERROR_BYTES));
        message
    }

    fn level(&self) -> &'static str {
        let blocked = self
            .services
            .iter()
            .any(|service| service.action == ServiceAction::Blocked);
        match self.failure {
            Some(ErrorType::RotationPending) => "WARN",
            Some(_) => "ERROR",
            None if blocked || !self.warnings.is_empty() => "WARN",
            None => "INFO",
        }
    }
}

impl ErrorType {
    /// The stable word.
    #[must_use]
    pub fn error_type(self) -> &'static str {
        match self {
            Self::PartialFailure => "PartialFailure",
            Self::RotationPending => "RotationPending",
            Self::InvalidEvent => "InvalidEvent",
            Self::Throttled => "Throttled",
            Self::TimeLeft => "TimeLeft",
        }
    }

    /// Whether an operator should hear of it; a pending rotation is expected to come back.
    fn is_an_alarm(self) -> bool {
        self != Self::RotationPending
    }
}

/// How many services met this fate.
fn count(services: &[ServiceReport], action: ServiceAction) -> usize {
    services
        .iter()
        .filter(|service| service.action == action)
        .count()
}

fn sentence(services: &[ServiceReport]) -> String {
    let words = [
        (ServiceAction::Failed, "failed"),
        (ServiceAction::Blocked, "blocked"),
        (ServiceAction::Redeployed, "redeployed"),
        (ServiceAction::Planned, "would be redeployed"),
        (ServiceAction::Skipped, "skipped"),
    ];
    let counted = words.map(|(action, word)| (count(services, action), word));
    let parts: Vec<_> = counted
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    match parts.as_slice() {
        [] => "no service in scope follows what changed".to_owned(),
        parts => format!("services: {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{AWSCURRENT, SecretArn, Source};

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";

    fn service(name: &str, action: ServiceAction, reason: Reason) -> ServiceReport {
        ServiceReport {
            service: format!("arn:aws:ecs:eu-west-1:123456789012:service/prod/{name}"),
            action,
            reason: Why::Planned(reason),
            secrets: vec![SECRET.to_owned()],
            deployment: (action == ServiceAction::Redeployed).then(|| "ecs-svc/123".to_owned()),
            error: (action == ServiceAction::Failed)
                .then(|| "ecs:UpdateService failed: AccessDeniedException".to_owned()),
        }
    }

    fn report(services: Vec<ServiceReport>) -> Report {
        let subject = Source::Secret {
            arn: SecretArn::parse(SECRET).unwrap(),
            label: AWSCURRENT.to_owned(),
        };
        let at = "2026-11-23T01:02:03Z".parse().unwrap();
        let rotation = Change {
            subject,
            version: Some("v2".to_owned()),
            at,
            not_before: None,
        };
        Report::of_services(
            TriggerKind::SecretLabelUpdated,
            &[rotation],
            services,
            Vec::new(),
        )
    }

    fn line(report: &Report) -> Value {
        let context = LogContext {
            timestamp: "2026-11-23T01:02:15.5Z".parse().unwrap(),
            request_id: "8476a536",
            function_name: "redeploy",
            duration_ms: 12_345,
        };
        serde_json::from_str(&report.log_line(&context)).unwrap()
    }

    #[test]
    fn a_report_reads_as_its_interface_says() {
        let report = report(vec![
            service("c", ServiceAction::Skipped, Reason::AlreadyFresh),
            service("b", ServiceAction::Redeployed, Reason::Stale),
            service("d", ServiceAction::Blocked, Reason::UnsupportedController),
            service("a", ServiceAction::Failed, Reason::Stale),
        ]);
        insta::assert_json_snapshot!(report);
        insta::assert_json_snapshot!(line(&report));
    }

    #[test]
    fn the_outcome_is_the_worst_of_its_services() {
        let outcome = |actions: &[ServiceAction]| {
            report(
                actions
                    .iter()
                    .map(|done| service("a", *done, Reason::Stale))
                    .collect(),
            )
            .outcome
        };
        assert_eq!(outcome(&[]), Outcome::NothingToDo);
        assert_eq!(
            outcome(&[ServiceAction::Skipped, ServiceAction::Blocked]),
            Outcome::NothingToDo
        );
        assert_eq!(
            outcome(&[ServiceAction::Skipped, ServiceAction::Planned]),
            Outcome::DryRun
        );
        assert_eq!(
            outcome(&[ServiceAction::Redeployed, ServiceAction::Skipped]),
            Outcome::Redeployed
        );
        assert_eq!(
            outcome(&[ServiceAction::Redeployed, ServiceAction::Failed]),
            Outcome::Failed
        );
    }

    #[test]
    fn the_level_says_whether_somebody_should_look() {
        let level = |done, reason| line(&report(vec![service("a", done, reason)]))["level"].clone();
        assert_eq!(level(ServiceAction::Redeployed, Reason::Stale), "INFO");
        assert_eq!(level(ServiceAction::Blocked, Reason::RolledBack), "WARN");
        assert_eq!(level(ServiceAction::Failed, Reason::Stale), "ERROR");
        let pending = Report::failed(
            TriggerKind::RotateSecret,
            ErrorType::RotationPending,
            "under way",
        );
        assert_eq!(
            (&line(&pending)["level"], &line(&pending)["Failed"]),
            (&json!("WARN"), &json!(0))
        );
        let invalid = Report::failed(
            TriggerKind::RotateSecret,
            ErrorType::InvalidEvent,
            "no secret",
        );
        assert_eq!(
            (&line(&invalid)["level"], &line(&invalid)["Failed"]),
            (&json!("ERROR"), &json!(1))
        );
    }

    #[test]
    fn the_error_message_is_cut_to_2_kib_and_names_what_failed() {
        let services = |failed: usize| {
            let mut services: Vec<_> = (0..50)
                .map(|n| {
                    service(
                        &format!("é{n:02}"),
                        ServiceAction::Skipped,
                        Reason::AlreadyFresh,
                    )
                })
                .collect();
            services.extend(
                (0..failed)
                    .map(|n| service(&format!("z{n:02}"), ServiceAction::Failed, Reason::Stale)),
            );
            services
        };
        let message = report(services(7)).error_message();
        assert!(message.len() <= 2048, "{}", message.len());
        let whole: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(whole["services"].as_array().unwrap().len(), 7);
        let message = report(services(50)).error_message();
        assert!((2040..=2048).contains(&message.len()), "{}", message.len());
        assert!(message.contains("service/prod/z05"), "{message}");
    }

    #[test]
    fn a_line_that_is_too_long_says_how_many_services_it_leaves_out() {
        let mut services: Vec<_> = (0..5000)
            .map(|n| {
                service(
                    &format!("api-{n}"),
                    ServiceAction::Redeployed,
                    Reason::Stale,
                )
            })
            .collect();
        services.push(service("z", ServiceAction::Failed, Reason::Stale));
        let line = line(&report(services));
        assert!(line.to_string().len() <= 256 * 1024);
        assert_eq!(line["Redeployed"], 5000);
        assert_eq!(line["services"][0]["action"], "failed");
        let kept = line["services"].as_array().unwrap().len();
        assert!(kept > 500);
        assert_eq!(line["servicesOmitted"], 5001 - kept);
    }

    #[test]
    fn many_changes_do_not_hide_the_services_that_failed() {
        let mut report = report(vec![service("z", ServiceAction::Failed, Reason::Stale)]);
        let other = ChangeReport {
            secret: "another".to_owned(),
            ..report.rotations[0].clone()
        };
        report.rotations.extend(vec![other; 5000]);
        report.warnings = vec!["w".to_owned(); 5000];
        let line = line(&report);
        assert!(line.to_string().len() <= MAX_LINE_BYTES);
        assert_eq!(line["services"][0]["action"], "failed");
        let kept = line["rotations"].as_array().unwrap().len();
        assert!(
            kept > 500 && line["rotationsOmitted"] == 5001 - kept,
            "{kept}"
        );
        assert_eq!(line.get("servicesOmitted"), None);
        let error: Value = serde_json::from_str(&report.error_message()).unwrap();
        assert_eq!(
            (
                error["services"].as_array().unwrap().len(),
                error["rotations"].as_array().unwrap().len()
            ),
            (1, 1)
        );
    }

    #[test]
    fn what_is_unknown_is_counted_whoever_does_not_know_it() {
        let mut looked_up = service("b", ServiceAction::Failed, Reason::Stale);
        looked_up.reason = Why::Lookup(LookupProblem::Unknown);
        let mut missing = service("c", ServiceAction::Failed, Reason::Stale);
        missing.reason = Why::Lookup(LookupProblem::NotFound);
        let stale = service("d", ServiceAction::Redeployed, Reason::Stale);
        let planned = service("a", ServiceAction::Skipped, Reason::Unknown);
        assert_eq!(
            line(&report(vec![planned, looked_up, missing, stale]))["Unknown"],
            2
        );
    }

    #[test]
    fn each_failure_has_its_word() {
        use ErrorType::{InvalidEvent, PartialFailure, RotationPending, Throttled, TimeLeft};
        for failure in [
            PartialFailure,
            RotationPending,
            InvalidEvent,
            Throttled,
            TimeLeft,
        ] {
            assert_eq!(failure.error_type(), format!("{failure:?}"));
        }
    }

    #[test]
    fn a_warning_is_told_and_makes_somebody_look() {
        let warnings = vec!["a tag names nothing".to_owned()];
        let report = Report::of_services(TriggerKind::Sweep, &[], Vec::new(), warnings);
        let line = line(&report);
        assert_eq!(
            (&line["level"], &line["warnings"]),
            (&json!("WARN"), &json!(["a tag names nothing"]))
        );
    }

    /// A report whose text has this many bytes, in a sentence that is as long as needed.
    fn of_length(
        length: usize,
        services: Vec<ServiceReport>,
        text: impl Fn(&Report) -> String,
    ) -> Report {
        let mut report = report(services);
        report.reason.clear();
        // The log line has the sentence twice.
        let empty = text(&report).len();
        report.reason.push('x');
        let times = text(&report).len() - empty;
        report.reason = "x".repeat((length - empty) / times);
        // What is left fits into a field that each has once.
        let left = length - text(&report).len();
        report.services[0].service.push_str(&"x".repeat(left));
        assert_eq!(text(&report).len(), length);
        report
    }

    #[test]
    fn a_line_that_just_fits_is_whole_and_one_without_services_is_as_long_as_it_is() {
        let text = |report: &Report| line(report).to_string();
        let skipped = || vec![service("a", ServiceAction::Skipped, Reason::AlreadyFresh)];
        assert!(
            line(&of_length(MAX_LINE_BYTES, skipped(), text))
                .get("servicesOmitted")
                .is_none()
        );
        let mut longer = of_length(MAX_LINE_BYTES, skipped(), text);
        longer.services[0].service.push('x');
        let longer = line(&longer);
        assert_eq!(
            (&longer["servicesOmitted"], longer.get("rotationsOmitted")),
            (&json!(1), None)
        );
        let long = Report::new(
            TriggerKind::Sweep,
            Outcome::Ignored,
            "x".repeat(MAX_LINE_BYTES),
        );
        assert!(text(&long).len() > MAX_LINE_BYTES);
    }

    #[test]
    fn an_error_that_just_fits_is_whole() {
        let skipped = vec![service("a", ServiceAction::Skipped, Reason::AlreadyFresh)];
        let mut report = of_length(MAX_ERROR_BYTES, skipped, Report::error_message);
        assert!(report.error_message().contains("service/prod/a"));
        report.reason.push('x');
        assert!(!report.error_message().contains("service/prod/a"));
    }
}
