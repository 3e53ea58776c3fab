use serde_json::Value;

use super::*;
use crate::testing::{DB, LIMIT, bounded, of_length, report, row, second, service_arn};

#[test]
fn a_report_reads_as_its_interface_says() {
    let report = report(vec![
        row("c", ServiceAction::Skipped, Reason::AlreadyFresh),
        row("b", ServiceAction::Redeployed, Reason::Stale),
        row("d", ServiceAction::Blocked, Reason::UnsupportedController),
        row("a", ServiceAction::Failed, Reason::Stale),
    ]);
    insta::assert_json_snapshot!(report);
}

#[test]
fn the_outcome_is_the_worst_of_its_services() {
    let outcome = |actions: &[ServiceAction]| {
        report(
            actions
                .iter()
                .map(|done| row("a", *done, Reason::Stale))
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
fn the_error_message_is_cut_to_2_kib_and_names_what_failed() {
    let services = |failed: usize| {
        let mut services: Vec<_> = (0..50)
            .map(|n| {
                row(
                    &format!("é{n:02}"),
                    ServiceAction::Skipped,
                    Reason::AlreadyFresh,
                )
            })
            .collect();
        services.extend(
            (0..failed).map(|n| row(&format!("z{n:02}"), ServiceAction::Failed, Reason::Stale)),
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
fn each_failure_has_its_word() {
    use ErrorType::{InvalidEvent, PartialFailure, RotationPending, Throttled, TimeLeft};
    for failure in [
        PartialFailure,
        RotationPending,
        InvalidEvent,
        Throttled,
        TimeLeft,
    ] {
        assert_eq!(failure.name(), format!("{failure:?}"));
    }
}

#[test]
fn an_error_that_just_fits_is_whole() {
    let skipped = vec![row("a", ServiceAction::Skipped, Reason::AlreadyFresh)];
    let mut report = of_length(MAX_ERROR_BYTES, skipped, Report::error_message);
    assert!(report.error_message().contains("service/prod/a"));
    report.reason.push('x');
    assert!(!report.error_message().contains("service/prod/a"));
}

#[test]
fn a_decision_is_reported_as_what_follows_from_it() {
    let decision = |reason| Decision {
        workload: service_arn("a"),
        reason,
        sources: vec![DB.into()],
        at: second(100),
        until: Some(second(200)),
        error: Some("why".to_owned()),
    };
    for (reason, action) in [
        (Reason::Stale, ServiceAction::Planned),
        (Reason::AlreadyFresh, ServiceAction::Skipped),
        (Reason::Unknown, ServiceAction::Skipped),
        (Reason::DeploymentInProgress, ServiceAction::Waiting),
        (Reason::RolledBack, ServiceAction::Blocked),
        (Reason::NotFound, ServiceAction::Failed),
        (Reason::LookupFailed, ServiceAction::Failed),
    ] {
        let expected = ServiceReport {
            service: service_arn("a"),
            action,
            reason,
            secrets: vec![DB.into()],
            until: Some(second(200)),
            deployment: None,
            error: Some("why".to_owned()),
        };
        assert_eq!(ServiceReport::from(decision(reason)), expected);
    }
    let id = Some("ecs-svc/1".to_owned());
    let done = Execution::Redeployed(id.clone());
    let done = ServiceReport::executed(decision(Reason::Stale), done);
    assert_eq!(
        (done.action, done.deployment),
        (ServiceAction::Redeployed, id)
    );
    let failed = Execution::Failed("no".to_owned());
    let failed = ServiceReport::executed(decision(Reason::Stale), failed);
    assert_eq!(
        (failed.action, failed.error.as_deref()),
        (ServiceAction::Failed, Some("no"))
    );
}

#[test]
fn what_is_left_for_the_next_attempt_is_counted() {
    let decision = Decision {
        workload: service_arn("a"),
        reason: Reason::Stale,
        sources: Vec::new(),
        at: second(100),
        until: None,
        error: None,
    };
    let deferred = || ServiceReport::executed(decision.clone(), Execution::Deferred);
    let failed = row("b", ServiceAction::Failed, Reason::Stale);
    let late = report(vec![deferred(), deferred(), failed.clone()]);
    assert_eq!(late.failure, Some(ErrorType::TimeLeft));
    assert_eq!(
        late.reason,
        "services: 3 failed; 2 of these are left for the next attempt"
    );
    assert_eq!(
        report(vec![failed]).failure,
        Some(ErrorType::PartialFailure)
    );
    // The same words are no sign of it in what was done.
    let done = ServiceReport {
        action: ServiceAction::Skipped,
        ..deferred()
    };
    let mixed = report(vec![done, row("b", ServiceAction::Failed, Reason::Stale)]);
    assert_eq!(mixed.failure, Some(ErrorType::PartialFailure));
}

#[test]
fn a_report_without_services_says_that_nobody_follows() {
    let report = report(Vec::new());
    assert_eq!(report.reason, "no service in scope follows what changed");
    assert_eq!(report.failure, None);
}

#[test]
fn a_change_is_reported_at_the_upper_bound_of_what_is_known() {
    let report = ChangeReport::from(&bounded(LIMIT, 100, 200));
    let expected = ChangeReport {
        secret: LIMIT.to_owned(),
        label: None,
        version: None,
        at: second(200),
    };
    assert_eq!(report, expected);
}

#[test]
fn a_sweep_that_meets_only_failures_that_are_known_does_not_fail() {
    let failed = row("a", ServiceAction::Failed, Reason::Stale);
    let rows = vec![
        failed.clone(),
        row("b", ServiceAction::Skipped, Reason::OptedOut),
    ];
    let report = |trigger, rows| Report::of_services(trigger, &[], rows, Vec::new());
    let sweep = || report(TriggerKind::Sweep, rows.clone());
    let known = BTreeSet::from([(failed.service.clone(), failed.error.clone())]);
    assert_eq!(sweep().failures(), known);
    let again = sweep().with_known(&known);
    assert_eq!(
        (again.outcome, again.failure),
        (Outcome::StillFailing, None)
    );
    let partial = Some(ErrorType::PartialFailure);
    assert_eq!(sweep().with_known(&BTreeSet::new()).failure, partial);
    let event = report(TriggerKind::SecretLabelUpdated, rows.clone());
    assert_eq!(event.with_known(&known).failure, partial);
    let unread = row("c", ServiceAction::Failed, Reason::LookupFailed);
    let all = BTreeSet::from([
        (failed.service.clone(), failed.error.clone()),
        (unread.service.clone(), unread.error.clone()),
    ]);
    let unswept = report(TriggerKind::Sweep, vec![failed, unread]);
    assert_eq!(unswept.with_known(&all).failure, partial);
    let fine = report(TriggerKind::Sweep, rows[1..].to_vec());
    assert_eq!(fine.with_known(&known).outcome, Outcome::NothingToDo);
}
