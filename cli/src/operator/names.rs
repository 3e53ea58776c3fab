//! What there is of a name: the secrets that a person may have meant, and the parameter that one
//! names.

use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter};
use redeploy_on_rotation::aws::{ApiBucket, Aws, AwsError, pages};

use super::Session;

/// The names of the secrets of the Region that begin like this.
pub(crate) async fn secret_names(aws: &Aws, beginning: &str) -> Result<Vec<String>, AwsError> {
    let filter = Filter::builder()
        .key(FilterNameStringType::Name)
        .values(beginning);
    let filter = (!beginning.is_empty()).then(|| vec![filter.build()]);
    let call = aws
        .secrets
        .list_secrets()
        .max_results(100)
        .set_filters(filter);
    let listed = pages(async |token| {
        let page = async || call.clone().set_next_token(token.clone()).send().await;
        let page = aws
            .read(ApiBucket::Secrets, "secretsmanager:ListSecrets", page)
            .await?;
        Ok((page.secret_list.unwrap_or_default(), page.next_token))
    });
    let listed = listed.await?.into_iter();
    Ok(listed.filter_map(|secret| secret.name).collect())
}

/// The names of the parameters of the Region that begin like this.
pub(crate) async fn parameter_names(aws: &Aws, beginning: &str) -> Result<Vec<String>, AwsError> {
    const ACTION: &str = "ssm:DescribeParameters";
    let filter = ParameterStringFilter::builder()
        .key("Name")
        .option("BeginsWith");
    let filter = filter.values(beginning).build();
    let filter = filter.map_err(|error| AwsError::not_made(ACTION, &error))?;
    let filter = (!beginning.is_empty()).then(|| vec![filter]);
    let call = aws
        .ssm
        .describe_parameters()
        .max_results(50)
        .set_parameter_filters(filter);
    let listed = pages(async |token| {
        let page = async || call.clone().set_next_token(token.clone()).send().await;
        let page = aws.read(ApiBucket::Parameters, ACTION, page).await?;
        Ok((page.parameters.unwrap_or_default(), page.next_token))
    });
    let listed = listed.await?.into_iter();
    Ok(listed.filter_map(|parameter| parameter.name).collect())
}

/// The parameter of this name, and its ARN; `None` when there is none, or the account is not known.
///
/// # Errors
/// When the call fails.
pub(crate) async fn parameter(
    session: &Session,
    name: &str,
) -> Result<Option<(String, ParameterMetadata)>, AwsError> {
    let Session {
        aws,
        region,
        partition,
        account,
        ..
    } = session;
    let asked = vec![name.to_owned()];
    let mut found = aws.describe_parameters(region, asked).await?;
    let found = found
        .remove(name)
        .filter(|found| found.name() == Some(name));
    let Some(parameter) = found else {
        return Ok(None);
    };
    let given = parameter.arn().filter(|arn| !arn.is_empty());
    let name = name.trim_start_matches('/');
    let made = account
        .as_ref()
        .map(|account| format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}"));
    let arn = given.map(str::to_owned).or(made);
    Ok(arn.map(|arn| (arn, parameter)))
}
