//! Why tasks stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::{cannot_tell, count, finding, ok};
use crate::doctor::reason::{Cause, Translation, arn_in, missing_json_key, translate};
use crate::doctor::{Check, Facts, Finding, StoppedTask, Verdict};

/// Why tasks of the last hour stopped, the same cause once.
pub(super) fn stopped_tasks(facts: &Facts) -> Vec<Finding> {
    let tasks = match &facts.stopped {
        Ok(tasks) => tasks.as_slice(),
        Err(why) => return vec![cannot_tell(Check::StoppedTasks, &facts.service, why)],
    };
    let since = facts.primary.map(|primary| primary.created_at);
    let mut groups = BTreeMap::<_, Vec<&StoppedTask>>::new();
    let (mut exited, mut findings) = (0, Vec::new());
    for task in tasks {
        match translate(&task.reason) {
            Some(translation) => {
                let old = task.at.zip(since).is_some_and(|(at, since)| at < since);
                let about = about(&task.reason);
                groups
                    .entry((old, translation.cause, about, task.code.clone()))
                    .or_default()
                    .push(task);
            }
            None if task.code == "TaskFailedToStart" => {
                let group = (
                    false,
                    Cause::Image,
                    Some(task.reason.clone()),
                    String::new(),
                );
                groups.entry(group).or_default().push(task);
            }
            None => exited += usize::from(task.code == "EssentialContainerExited"),
        }
    }
    for ((old, cause, ..), mut group) in groups {
        group.sort_by_key(|task| task.at);
        findings.extend(of_group(old, cause, &group));
    }
    findings.extend(said_by_service(facts, tasks));
    if exited > 0 {
        let evidence = format!(
            "{} ended because the application did; ECS had given it its values",
            count(exited, "task")
        );
        let fix = "Look at its log: refused credentials there mean that the value is old or wrong.";
        let check = Check::StoppedTasks;
        findings.push(finding(check, Verdict::Warning, &facts.service, evidence).fix(fix));
    }
    if findings.is_empty() {
        findings.push(ok(
            Check::StoppedTasks,
            &facts.service,
            "no task of the last hour failed to start",
        ));
    }
    findings
}

/// What tasks of one cause come to. `old`: they are of before the present deployment.
fn of_group(old: bool, cause: Cause, group: &[&StoppedTask]) -> Option<Finding> {
    let last = group.last()?;
    let when = last.at.map(|at| format!(", the last at {at}"));
    let of = if old {
        " of before the present deployment"
    } else {
        ""
    };
    let evidence = format!(
        "{} stopped{of}{}: {}",
        count(group.len(), "task"),
        when.unwrap_or_default(),
        last.reason
    );
    let task = last.arn.rsplit('/').next().unwrap_or_default();
    let translation = translate(&last.reason).filter(|translation| translation.cause == cause);
    let verdict = if old {
        Verdict::Warning
    } else {
        Verdict::Fault
    };
    Some(match translation {
        Some(translation) => translated(verdict, task, translation, &evidence),
        None => finding(Check::StoppedTasks, Verdict::Warning, task, evidence)
            .fix("Look the text up in AWS's list of stopped task errors."),
    })
}

/// What the service says, which is the same thing again where its tasks are still shown.
fn said_by_service(facts: &Facts, tasks: &[StoppedTask]) -> Vec<Finding> {
    let causes = tasks.iter().filter_map(|task| translate(&task.reason));
    let mut known: BTreeSet<_> = causes.map(|translation| translation.cause).collect();
    let messages = facts.messages.iter().rev();
    let new = messages.filter_map(|(at, message)| {
        let translation = translate(message)?;
        known.insert(translation.cause).then(|| {
            let evidence = format!("the service said at {at}: {message}");
            translated(Verdict::Fault, &facts.service, translation, &evidence)
        })
    });
    new.collect()
}

fn translated(
    verdict: Verdict,
    subject: &str,
    translation: Translation,
    evidence: &str,
) -> Finding {
    finding(
        Check::StoppedTasks,
        verdict,
        subject,
        format!("{} {}", translation.meaning, capital(evidence)),
    )
    .fix(translation.fix)
}

/// What tells two failures of the same kind apart: the key or the ARN, and not the id of the
/// request.
fn about(reason: &str) -> Option<String> {
    let arn = arn_in(reason, "secretsmanager").or_else(|| arn_in(reason, "ssm"));
    missing_json_key(reason).or(arn).map(str::to_owned)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
