//! What there is of a name: the secrets that a person may have meant, and the parameter that one
//! names.

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

/// The ARN of the parameter of this name; `None` when there is none, or the account is not known.
///
/// # Errors
/// When the call fails.
pub async fn parameter_arn(session: &Session, name: &str) -> Result<Option<String>, AwsError> {
    let Session {
        aws,
        region,
        partition,
        account,
        ..
    } = session;
    let asked = vec![name.to_owned()];
    let found = aws.describe_parameters(region, asked).await?;
    let Some(parameter) = found.get(name) else {
        return Ok(None);
    };
    if let Some(arn) = parameter.arn().filter(|arn| !arn.is_empty()) {
        return Ok(Some(arn.to_owned()));
    }
    let name = name.trim_start_matches('/');
    let arn = |account| format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}");
    Ok(account.as_ref().map(arn))
}
