//! Events about deployments.

use super::fields::{FieldProblem, Fields, InvalidEvent};
use super::{Intent, Trigger};
use crate::arn::Arn;

/// `ECS Deployment State Change`
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html>).
pub(super) fn deployment_state_change(event: &Fields) -> Result<Trigger, InvalidEvent> {
    // Whatever became of the deployment, the service itself is looked at.
    let name = event.required_text("detail.eventName")?;
    let service = event.required_text("resources[0]")?;
    let is_service = |arn: &Arn| arn.service == "ecs" && arn.resource.starts_with("service/");
    if !Arn::parse(service).as_ref().is_some_and(is_service) {
        let problem = FieldProblem::MustBe("the ARN of a service");
        return Err(event.invalid("resources[0]", problem));
    }
    let completed = match name {
        "SERVICE_DEPLOYMENT_COMPLETED" => event.text("detail.deploymentId")?.map(str::to_owned),
        _ => None,
    };
    Ok(Trigger {
        kind: event.kind,
        intent: Intent::Deployment {
            service: service.to_owned(),
            completed,
        },
    })
}
