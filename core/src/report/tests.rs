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
            (0..failed).map(|n| service(&format!("z{n:02}"), ServiceAction::Failed, Reason::Stale)),
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
