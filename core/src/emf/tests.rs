use serde_json::Value;

use super::*;
use crate::report::{ChangeReport, Outcome};
use crate::testing::{lengthen, line, of_length, report, row, second};

#[test]
fn a_log_line_reads_as_its_interface_says() {
    let report = report(vec![
        row("c", ServiceAction::Skipped, Reason::AlreadyFresh),
        row("b", ServiceAction::Redeployed, Reason::Stale),
        row("d", ServiceAction::Blocked, Reason::UnsupportedController),
        row("a", ServiceAction::Failed, Reason::Stale),
    ]);
    insta::assert_json_snapshot!(line(&report));
}

#[test]
fn the_level_says_whether_somebody_should_look() {
    let level = |done, reason| line(&report(vec![row("a", done, reason)]))["level"].clone();
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
fn a_line_that_is_too_long_says_how_many_services_it_leaves_out() {
    let mut services: Vec<_> = (0..5000)
        .map(|n| {
            row(
                &format!("api-{n}"),
                ServiceAction::Redeployed,
                Reason::Stale,
            )
        })
        .collect();
    services.push(row("z", ServiceAction::Failed, Reason::Stale));
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
    let mut report = report(vec![row("z", ServiceAction::Failed, Reason::Stale)]);
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
    let mut looked_up = row("b", ServiceAction::Failed, Reason::Stale);
    looked_up.reason = Reason::Unknown;
    let mut missing = row("c", ServiceAction::Failed, Reason::Stale);
    missing.reason = Reason::NotFound;
    let stale = row("d", ServiceAction::Redeployed, Reason::Stale);
    let planned = row("a", ServiceAction::Skipped, Reason::Unknown);
    assert_eq!(
        line(&report(vec![planned, looked_up, missing, stale]))["Unknown"],
        2
    );
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

/// What is set aside for the names of the lists and of what is left out.
const SET_ASIDE: usize = 200;

#[test]
fn a_line_that_fits_is_whole_and_one_without_services_is_as_long_as_it_is() {
    let text = |report: &Report| line(report).to_string();
    let skipped = || vec![row("a", ServiceAction::Skipped, Reason::AlreadyFresh)];
    let whole = line(&of_length(MAX_LINE_BYTES - SET_ASIDE, skipped(), text));
    assert_eq!(whole.get("servicesOmitted"), None);
    let mut longer = of_length(MAX_LINE_BYTES - SET_ASIDE, skipped(), text);
    lengthen(&mut longer.services[0], SET_ASIDE + 1);
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
fn an_answer_is_the_report_as_long_as_it_is_short() {
    let services = vec![row("a", ServiceAction::Skipped, Reason::AlreadyFresh)];
    let mut report = report(services);
    assert_eq!(report.answer(), json!(report));
    report.warnings = vec!["a tag names nothing".to_owned()];
    assert_eq!(report.answer(), json!(report));
}

#[test]
fn an_answer_of_more_than_200_kib_leaves_out_what_is_fresh_first() {
    let fresh = |n| {
        row(
            &format!("f{n}"),
            ServiceAction::Skipped,
            Reason::AlreadyFresh,
        )
    };
    let pinned = |n| {
        row(
            &format!("p{n}"),
            ServiceAction::Skipped,
            Reason::PinnedVersion,
        )
    };
    let blocked = |n| row(&format!("b{n}"), ServiceAction::Blocked, Reason::RolledBack);
    let services = |n: usize, m: usize| {
        let rows = (0..n).map(fresh).chain((0..m).map(pinned));
        rows.chain((0..m).map(blocked)).collect::<Vec<_>>()
    };
    let answer = report(services(1000, 100)).answer();
    assert!(answer.to_string().len() <= 200 * 1024);
    let kept = answer["services"].as_array().unwrap();
    assert_eq!(
        (kept.len(), &answer["servicesOmitted"]),
        (200, &json!(1000))
    );
    assert!(kept.iter().all(|row| row["reason"] != "already-fresh"));
    assert_eq!(answer["reason"], "services: 100 blocked, 1100 skipped");

    let answer = report(services(1000, 2000)).answer();
    assert!(answer.to_string().len() <= 200 * 1024);
    let kept = answer["services"].as_array().unwrap();
    assert!(kept.len() >= 500, "{}", kept.len());
    assert!(kept.iter().all(|row| row["action"] == "blocked"));
    assert_eq!(answer["servicesOmitted"], json!(5000 - kept.len()));
}

#[test]
fn an_answer_is_cut_at_the_longest_of_its_lists() {
    let mut report = report(vec![row("a", ServiceAction::Failed, Reason::Stale)]);
    report.warnings = vec!["w".repeat(1024); 300];
    let answer = report.answer();
    assert!(answer.to_string().len() <= 200 * 1024);
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 150);
    assert_eq!(answer["warningsOmitted"], 150);
    assert_eq!(answer.get("servicesOmitted"), None);
    assert_eq!(answer.get("rotationsOmitted"), None);
    // Two kilobytes are for the notification.
    report.warnings = vec!["w".repeat(1024); 195];
    assert_eq!(report.answer().get("warningsOmitted"), None);
}

#[test]
fn services_that_wait_are_counted() {
    let waiting = |name| row(name, ServiceAction::Waiting, Reason::DeploymentInProgress);
    let line = line(&report(vec![waiting("a"), waiting("b")]));
    assert_eq!((&line["Waiting"], &line["Blocked"]), (&json!(2), &json!(0)));
    assert_eq!(
        (&line["level"], &line["outcome"]),
        (&json!("INFO"), &json!("nothing-to-do"))
    );
    let until = second(100);
    let row = ServiceReport {
        until: Some(until),
        ..waiting("a")
    };
    assert_eq!(json!(row)["until"], until.to_string());
}

#[test]
fn a_sweep_counts_only_when_it_examined_everything() {
    let swept = |trigger, failure, rows: Vec<ServiceReport>| {
        let report = Report {
            trigger,
            failure,
            ..report(rows)
        };
        line(&report)["Swept"].clone()
    };
    let stale = || vec![row("a", ServiceAction::Failed, Reason::Stale)];
    let failed = Some(ErrorType::PartialFailure);
    assert_eq!(swept(TriggerKind::Sweep, None, Vec::new()), 1);
    assert_eq!(
        swept(TriggerKind::Sweep, failed, stale()),
        1,
        "its redeploy failed"
    );
    assert_eq!(
        swept(TriggerKind::Sweep, Some(ErrorType::TimeLeft), stale()),
        0
    );
    assert_eq!(
        swept(TriggerKind::Sweep, Some(ErrorType::Throttled), Vec::new()),
        0
    );
    assert_eq!(swept(TriggerKind::Request, None, Vec::new()), 0);
    for reason in [Reason::NotFound, Reason::LookupFailed] {
        let rows = vec![row("a", ServiceAction::Failed, reason)];
        assert_eq!(swept(TriggerKind::Sweep, failed, rows), 0);
    }
}

#[test]
fn an_answer_has_room_for_its_notification() {
    let text = |report: &Report| report.answer()["notification"].as_str().unwrap().len();
    let mut report = report(vec![row("a", ServiceAction::Failed, Reason::Stale)]);
    report.warnings = vec!["w".to_owned(); 1000];
    let room = text(&report);
    // Without the notification it would fit.
    let without = MAX_ANSWER_BYTES - room / 2 - report.within(MAX_ANSWER_BYTES).len();
    let length = json!(report.within(MAX_ANSWER_BYTES)).to_string().len();
    report.warnings.push("w".repeat(without - length));
    assert!(json!(report.within(MAX_ANSWER_BYTES)).to_string().len() > MAX_ANSWER_BYTES - room);
    assert!(report.answer().to_string().len() <= MAX_ANSWER_BYTES);
}

#[test]
fn a_row_has_a_comma_behind_it() {
    assert_eq!(bytes(&"ab"), 5);
}

#[test]
fn what_still_fails_is_an_error_though_the_invocation_is_none() {
    let failed = report(vec![row("a", ServiceAction::Failed, Reason::Stale)]);
    let known = Report {
        failure: None,
        ..failed
    };
    assert_eq!(line(&known)["level"], "ERROR");
}
