//! Events about parameters and change calendars.

use super::fields::{FieldProblem, Fields, InvalidEvent};
use super::{Intent, Trigger, ignored};
use crate::arn::ParameterArn;
use crate::change::{Bounds, Change, Source};

/// `Parameter Store Change`
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html>).
pub(super) fn parameter_change(event: &Fields) -> Result<Trigger, InvalidEvent> {
    // Create, because a parameter may have been deleted and made again under its name.
    if !["Create", "Update"].contains(&event.required_text("detail.operation")?) {
        return ignored(
            event.kind,
            "only a Create or an Update gives a parameter a value",
        );
    }
    let arn = ParameterArn::parse(event.required_text("resources[0]")?).ok_or_else(|| {
        event.invalid(
            "resources[0]",
            FieldProblem::MustBe("the ARN of a parameter"),
        )
    })?;
    let at = event
        .end_of_second("time")?
        .ok_or_else(|| event.invalid("time", FieldProblem::Missing))?;
    let change = Change::new(Source::Parameter(arn), None, Bounds::exact(at));
    Ok(Trigger {
        kind: event.kind,
        intent: Intent::Changed(change),
    })
}

/// `Calendar State Change`
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/monitoring-systems-manager-event-examples.html>).
///
/// It is a hint, as it may come late or twice: whether the calendars are open, AWS is asked.
pub(super) fn calendar_state_change(event: &Fields) -> Result<Trigger, InvalidEvent> {
    match event.required_text("detail.state")? {
        "OPEN" => Ok(Trigger {
            kind: event.kind,
            intent: Intent::Sweep,
        }),
        "CLOSED" => ignored(
            event.kind,
            "a change calendar closed, which redeploys nothing",
        ),
        _ => Err(event.invalid("detail.state", FieldProblem::MustBe("OPEN or CLOSED"))),
    }
}
