//! What there is of a name: the secrets that a person may have meant, and the parameter that one
//! names.

use aws_sdk_ssm::types::ParameterMetadata;
use redeploy_on_rotation::aws::{ApiBucket, AwsError, pages};

use super::Session;

/// The names of all secrets of the Region.
///
/// # Errors
/// When the call fails.
pub async fn secret_names(session: &Session) -> Result<Vec<String>, AwsError> {
    let aws = &session.aws;
    let call = aws.secrets.list_secrets().max_results(100);
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

/// The parameter of this name, and its ARN; `None` when there is none, or the account is not known.
///
/// # Errors
/// When the call fails.
pub async fn parameter(
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
