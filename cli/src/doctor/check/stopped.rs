//! Why tasks stopped.

use std::collections::{BTreeMap, BTreeSet};

use super::{cannot_tell, count, finding, ok};
use crate::doctor::reason::{Cause, Translation, arn_in, missing_json_key, translate};
use crate::doctor::{Check, Facts, Finding, StoppedTask, Verdict};

/// Why tasks stopped of late, the same cause once.
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
        let Some(last) = group.last() else { continue };
        let when = last
            .at
            .map_or_else(String::new, |at| format!(", the last at {at}"));
        let of = if old {
            " of before the present deployment"
        } else {
            ""
        };
        let evidence = format!(
            "{} stopped{of}{when}: {}",
            count(group.len(), "task"),
            last.reason
        );
        let task = last.arn.rsplit('/').next().unwrap_or_default();
        findings.push(
            match translate(&last.reason).filter(|translation| translation.cause == cause) {
                Some(translation) => {
                    let verdict = if old {
                        Verdict::Warning
                    } else {
                        Verdict::Fault
                    };
                    translated(verdict, task, translation, &evidence)
                }
                None => Finding {
                    fix: Some("Look the text up in AWS's list of stopped task errors.".to_owned()),
                    ..finding(Check::StoppedTasks, Verdict::Warning, task, evidence)
                },
            },
        );
    }
    // What the service says is the same thing again where its tasks are still shown.
    let said: BTreeSet<_> = tasks
        .iter()
        .filter_map(|task| Some(translate(&task.reason)?.cause))
        .collect();
    let mut repeated = BTreeSet::new();
    for (at, message) in facts.messages.iter().rev() {
        let Some(translation) = translate(message) else {
            continue;
        };
        if !said.contains(&translation.cause) && repeated.insert(translation.cause) {
            let evidence = format!("the service said at {at}: {message}");
            findings.push(translated(
                Verdict::Fault,
                &facts.service,
                translation,
                &evidence,
            ));
        }
    }
    if exited > 0 {
        let evidence = format!(
            "{} ended because the application did; ECS had given it its values",
            count(exited, "task")
        );
        findings.push(Finding {
            fix: Some(
                "Look at its log: refused credentials there mean that the value is old or wrong."
                    .to_owned(),
            ),
            ..finding(
                Check::StoppedTasks,
                Verdict::Warning,
                &facts.service,
                evidence,
            )
        });
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

fn translated(
    verdict: Verdict,
    subject: &str,
    translation: Translation,
    evidence: &str,
) -> Finding {
    Finding {
        fix: Some(translation.fix.to_owned()),
        ..finding(
            Check::StoppedTasks,
            verdict,
            subject,
            format!("{} {}", translation.meaning, capital(evidence)),
        )
    }
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
