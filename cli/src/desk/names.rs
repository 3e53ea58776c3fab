//! What there is of a name: the secrets that a person may have meant, and the service that one names.

use redeploy_on_rotation::aws::Category;
use redeploy_on_rotation::aws::pages;
use redeploy_on_rotation::aws::{Aws, AwsError, Class};

/// The names of all secrets of the Region.
///
/// # Errors
/// When the call fails.
pub async fn secret_names(aws: &Aws) -> Result<Vec<String>, AwsError> {
    let call = aws.secrets.list_secrets().max_results(100);
    let listed = pages(async |token| {
        let page = async || call.clone().set_next_token(token.clone()).send().await;
        let page = aws
            .read(Category::Secrets, "secretsmanager:ListSecrets", page)
            .await?;
        Ok((page.secret_list.unwrap_or_default(), page.next_token))
    });
    Ok(listed
        .await?
        .into_iter()
        .filter_map(|secret| secret.name)
        .collect())
}

/// The ARN of a service, `None` when there is none of this name in the cluster.
///
/// # Errors
/// When the call fails.
pub async fn service_arn(
    aws: &Aws,
    cluster: &str,
    service: &str,
) -> Result<Option<String>, AwsError> {
    let call = aws
        .ecs
        .describe_services()
        .cluster(cluster)
        .services(service);
    let call = async || call.clone().send().await;
    match aws
        .read(Category::ServiceRead, "ecs:DescribeServices", call)
        .await
    {
        Ok(answer) => Ok(answer
            .services
            .unwrap_or_default()
            .into_iter()
            .find_map(|service| service.service_arn)),
        Err(AwsError {
            class: Class::Gone, ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}
