//! How a person redeploys a service that only AWS `CodeDeploy` may deploy.

use redeploy_core::workload::Controller;
use redeploy_on_rotation::aws::denied;

use crate::operator::{Session, primary_task_set};
use crate::output::{Error, display_name, print};
use crate::preview::Preview;

/// Prints, for each service that is blocked because of its controller, what to paste.
///
/// Only the recorded `AppSpec` has the hooks of its owner, so it is fetched and sent again, and none
/// is made up. It may name an older revision than the one that runs.
/// (<https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_GetApplicationRevision.html>)
pub(crate) async fn print_commands(session: &Session, preview: &Preview) -> Result<(), Error> {
    let services = preview.report.services.iter();
    let workloads = services.filter_map(|service| preview.workload(service));
    for workload in workloads.filter(|w| w.controller() == Some(Controller::CodeDeploy)) {
        let name = display_name(&workload.arn);
        let running = primary_task_set(&session.aws, workload)
            .await
            .map_err(|error| {
                let text = error.to_string();
                Error::new(text.clone()).allow(denied(&text))
            })?;
        let Some((deployment, revision)) = running else {
            continue;
        };
        print(&format!(
            "\n{name} is deployed by CodeDeploy; to deploy again what {deployment} recorded:\n\
             \x20 $ info=$(aws deploy get-deployment --deployment-id {deployment} --query deploymentInfo)\n\
             \x20 $ app=$(jq -r .applicationName <<<\"$info\")\n\
             \x20 $ spec=$(aws deploy get-application-revision --application-name \"$app\" \
             --revision \"$(jq -c .revision <<<\"$info\")\" --query revision)\n\
             \x20 $ aws deploy create-deployment --application-name \"$app\" \
             --deployment-group-name \"$(jq -r .deploymentGroupName <<<\"$info\")\" --revision \"$spec\"\n\
             Look at $spec first: its TaskDefinition should be {revision}, which runs."
        ))?;
    }
    Ok(())
}
