//! How a person redeploys a service that only AWS `CodeDeploy` may deploy.

use redeploy_core::reason::Reason;
use redeploy_core::workload::Controller;

use crate::operator::{Session, primary_task_set};
use crate::output::{Error, display_name, print, warn};
use crate::preview::Preview;

/// Prints, for each service that is blocked because of its controller, what to paste.
///
/// Only the recorded `AppSpec` has the hooks of its owner, so it is fetched and sent again, and none
/// is made up. It may name an older revision than the one that runs.
/// (<https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_GetApplicationRevision.html>)
pub(crate) async fn print_commands(session: &Session, preview: &Preview) -> Result<(), Error> {
    let services = preview.report.services.iter();
    let blocked = services.filter(|service| service.reason == Reason::UnsupportedController);
    let workloads = blocked.filter_map(|service| preview.workload(&service.service));
    for workload in workloads.filter(|w| w.controller() == Some(Controller::CodeDeploy)) {
        let name = display_name(&workload.arn);
        let (deployment, revision) = match primary_task_set(&session.aws, workload).await {
            Ok(Some(running)) => running,
            Ok(None) => continue,
            Err(error) => {
                warn(&format!(
                    "{name}: what CodeDeploy recorded is not known: {error}"
                ));
                continue;
            }
        };
        print(&format!(
            "\n{name} is deployed by CodeDeploy; to deploy again what {deployment} recorded:\n\n\
             info=$(aws deploy get-deployment --deployment-id {deployment} --query deploymentInfo)\n\
             app=$(jq -r .applicationName <<<\"$info\")\n\
             spec=$(aws deploy get-application-revision --application-name \"$app\" \
             --revision \"$(jq -c .revision <<<\"$info\")\" --query revision)\n\
             aws deploy create-deployment --application-name \"$app\" \
             --deployment-group-name \"$(jq -r .deploymentGroupName <<<\"$info\")\" --revision \"$spec\"\n\n\
             Look at $spec first: its TaskDefinition should be {revision}, which runs."
        ))?;
    }
    Ok(())
}
