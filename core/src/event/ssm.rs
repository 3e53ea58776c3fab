//! Events about parameters.

use super::fields::{FieldProblem, Fields, InvalidEvent};
use super::{Intent, Trigger, ignored};
use crate::arn::ParameterArn;
use crate::change::{Bounds, Change, Source};

/// `Parameter Store Change`
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html>).
pub(super) fn parameter_change(event: &Fields) -> Result<Trigger, InvalidEvent> {
    if event.required_text("detail.operation")? != "Update" {
        return ignored(
            event.kind,
            "only an Update changes the value that tasks already read",
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
