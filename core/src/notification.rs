//! A report as a text for people: what changed, what was done, and what a person must do.

use std::fmt::Write;

use crate::arn::{ParameterArn, SecretArn};
use crate::change::Source;
use crate::event::TriggerKind;
use crate::reason::Reason;
use crate::report::{Report, ServiceAction, ServiceReport};

/// Chats and pagers cut longer texts.
const MAX_BYTES: usize = 2048;
/// What is kept for the number of lines that are left out.
const ROOM: usize = 40;
/// The error of one service is cut to this.
const MAX_ERROR_BYTES: usize = 300;
/// So many changes are named.
const MAX_CHANGES: usize = 5;

impl Report {
    /// The text, of at most 2 KiB; `None` when nobody needs to know.
    #[must_use]
    pub fn notification(&self) -> Option<String> {
        let services: Vec<_> = self.services.iter().filter(|row| is_told(row)).collect();
        let is_failed_rotation = self.trigger == TriggerKind::RotationFailed;
        if services.is_empty() && !is_failed_rotation {
            return None;
        }
        let mut lines = Vec::new();
        if is_failed_rotation {
            lines.push(self.reason.clone());
        }
        for change in self.rotations.iter().take(MAX_CHANGES) {
            lines.push(format!("{} changed at {}", name(&change.secret), change.at));
        }
        if let more @ 1.. = self.rotations.len().saturating_sub(MAX_CHANGES) {
            lines.push(format!("{more} more changed"));
        }
        // Before the services, of which only as many are named as fit.
        let warnings = self.warnings.iter();
        lines.extend(warnings.filter(|warning| **warning != self.reason).cloned());
        lines.extend(services.iter().map(|row| line(row)));
        Some(cut(&lines))
    }
}

/// Whether a person should know of a service.
fn is_told(row: &ServiceReport) -> bool {
    row.action != ServiceAction::Skipped
        || matches!(row.reason, Reason::NotifyOnly | Reason::Unknown)
}

/// What was done to a service, why, and what a person must do.
fn line(row: &ServiceReport) -> String {
    let service = service_name(&row.service);
    let action = match row.action {
        ServiceAction::Failed => "failed",
        ServiceAction::Blocked => "blocked",
        ServiceAction::Waiting => "waiting",
        ServiceAction::Redeployed => "redeployed",
        ServiceAction::Planned => "would be redeployed",
        ServiceAction::Skipped => "left alone",
    };
    let mut line = format!("{service}: {action}");
    if row.action != ServiceAction::Failed {
        let _ = write!(line, ", because {}", row.reason.meaning());
    }
    if let Some(until) = row.until {
        let _ = write!(line, " (until {until})");
    }
    if let Some(error) = &row.error {
        let error = &error[..error.floor_char_boundary(MAX_ERROR_BYTES)];
        let _ = write!(line, ": {error}");
    }
    if let Some(command) = command(row, service) {
        let _ = write!(line, "; run: {command}");
    }
    line
}

/// The command that a person runs next.
fn command(row: &ServiceReport, service: &str) -> Option<String> {
    match row.reason {
        Reason::RolledBack | Reason::InactiveTaskDefinition | Reason::ImageGone => {
            Some(format!("redeploy-on-rotation doctor {service}"))
        }
        Reason::NotifyOnly | Reason::Halted | Reason::ImageMoved => {
            Some(format!("redeploy-on-rotation redeploy --service {service}"))
        }
        Reason::StaleTasks | Reason::Unknown => {
            Some(format!("redeploy-on-rotation audit {service}"))
        }
        // It prints the call of CodeDeploy.
        Reason::UnsupportedController => {
            let secret = row.secrets.first().map(|secret| name(secret))?;
            Some(format!("redeploy-on-rotation plan {secret}"))
        }
        _ => None,
    }
}

/// `<cluster>/<service>` where the ARN has both.
fn service_name(arn: &str) -> &str {
    arn.split_once(":service/").map_or(arn, |(_, name)| name)
}

fn name(arn: &str) -> String {
    let secret = SecretArn::parse(arn).map(|arn| arn.name().to_owned());
    let parameter = || {
        let arn = ParameterArn::parse(arn)?;
        Some(Source::Parameter(arn).name().into_owned())
    };
    secret.or_else(parameter).unwrap_or_else(|| arn.to_owned())
}

/// As many lines as fit, and the number of the others.
fn cut(lines: &[String]) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let is_last = index + 1 == lines.len();
        let room = if is_last { 0 } else { ROOM };
        if text.len() + line.len() + 1 + room > MAX_BYTES {
            let _ = write!(text, "and {} more", lines.len() - index);
            break;
        }
        text.push_str(line);
        if !is_last {
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use crate::testing::{DB, report, row};

    #[test]
    fn a_text_says_what_changed_what_was_done_and_what_to_run() {
        let mut waiting = row("b", ServiceAction::Waiting, Reason::ChangeFreeze);
        waiting.until = Some("2026-11-24T00:00:00Z".parse().unwrap());
        let text = report(vec![
            row("a", ServiceAction::Redeployed, Reason::Stale),
            waiting,
            row("c", ServiceAction::Blocked, Reason::RolledBack),
            row("d", ServiceAction::Skipped, Reason::AlreadyFresh),
            row("e", ServiceAction::Skipped, Reason::NotifyOnly),
            row("f", ServiceAction::Failed, Reason::Stale),
            row("g", ServiceAction::Blocked, Reason::StaleTasks),
            row("h", ServiceAction::Blocked, Reason::UnsupportedController),
            row("i", ServiceAction::Skipped, Reason::Unknown),
        ]);
        let text = Report {
            warnings: vec!["its image moved".to_owned()],
            ..text
        };
        insta::assert_snapshot!(text.notification().unwrap(), @r"
        prod/db changed at 2026-11-23T01:02:03Z
        its image moved
        prod/f: failed: ecs:UpdateService failed: AccessDeniedException
        prod/c: blocked, because a deployment since the change failed; find out why, for example with `doctor`; run: redeploy-on-rotation doctor prod/c
        prod/g: blocked, because tasks from before the change still run, which no deployment replaces; run: redeploy-on-rotation audit prod/g
        prod/h: blocked, because CODE_DEPLOY and EXTERNAL services cannot be forced; deploy it by its own way; run: redeploy-on-rotation plan prod/db
        prod/b: waiting, because a change calendar is closed (until 2026-11-24T00:00:00Z)
        prod/a: redeployed, because its tasks hold the old value
        prod/e: left alone, because its tasks hold the old value, and it is only reported; run: redeploy-on-rotation redeploy --service prod/e
        prod/i: left alone, because AWS cannot tell, or does not say, if it changed before its tasks started; run: redeploy-on-rotation audit prod/i
        ");
    }

    #[test]
    fn nobody_is_told_that_nothing_was_to_be_done() {
        let fresh = row("a", ServiceAction::Skipped, Reason::AlreadyFresh);
        assert_eq!(report(vec![fresh]).notification(), None);
        let ignored = Report::new(TriggerKind::Unknown, Outcome::Ignored, "no event");
        assert_eq!(ignored.notification(), None);
    }

    #[test]
    fn a_failed_rotation_is_told() {
        let reason = "the rotation of prod/db failed";
        let failed = Report::new(TriggerKind::RotationFailed, Outcome::Ignored, reason);
        assert_eq!(failed.notification().as_deref(), Some(reason));
    }

    #[test]
    fn a_long_text_ends_with_the_number_of_lines_that_are_left_out() {
        let many = (0..100).map(|n| {
            row(
                &format!("s{n:03}"),
                ServiceAction::Redeployed,
                Reason::Stale,
            )
        });
        let text = report(many.collect()).notification().unwrap();
        assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES - 200);
        let shown = text
            .lines()
            .filter(|line| line.contains(": redeployed"))
            .count();
        assert!(
            text.ends_with(&format!("and {} more", 100 - shown)),
            "{text}"
        );
        let mut odd = row("a", ServiceAction::Failed, Reason::Stale);
        odd.error = Some("ü".repeat(5000));
        assert!(report(vec![odd]).notification().unwrap().len() <= MAX_BYTES);
    }

    #[test]
    fn what_changed_goes_by_its_name() {
        assert_eq!(name(DB), "prod/db");
        let path = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";
        assert_eq!(name(path), "/app/limit");
    }

    #[test]
    fn lines_that_just_fit_are_kept_and_one_byte_more_is_not() {
        let lines = |more: usize| {
            let first = "a".repeat(1000);
            let last = "b".repeat(MAX_BYTES - first.len() - 2 + more);
            [first, last]
        };
        assert_eq!(cut(&lines(0)), lines(0).join("\n"));
        assert_eq!(cut(&lines(1)), format!("{}\nand 1 more", lines(1)[0]));
    }
}
