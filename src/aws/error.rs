//! What went wrong in a call to AWS, and what that means for the next one.

use aws_sdk_ecs::config::http::HttpResponse;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use redeploy_core::fact::{Gap, GapKind};

/// A call that failed. Its text names the action, and the permission when that is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action} failed: {message}")]
pub struct AwsError {
    /// The IAM name of the action, such as `ecs:UpdateService`.
    pub action: &'static str,
    /// What it means.
    pub kind: ErrorKind,
    /// What AWS said.
    pub message: String,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Throttled; it had no effect.
    Throttled,
    /// Its cluster, service, secret or role does not exist or is not active.
    NotFound,
    /// No answer, or the answer that the server failed: it may have had its effect.
    Ambiguous,
    /// The endpoint does not seem to know the operation, as some emulators of AWS do not.
    Unsupported,
    /// Refused because of what it named; it had no effect.
    Invalid,
    /// A permission is missing; it had no effect.
    Denied,
    /// Refused for good; it had no effect.
    Rejected,
}

impl AwsError {
    /// Classifies the failure of `action`.
    pub fn new<E>(action: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let code = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code);
        let kind = match (code, status) {
            (Some(code), _) if is_throttle(code) => ErrorKind::Throttled,
            (_, Some(429)) => ErrorKind::Throttled,
            (Some(code), _) if is_not_found(code) => ErrorKind::NotFound,
            (Some(code), _) if code.contains("AccessDenied") => ErrorKind::Denied,
            (Some("ValidationException" | "InvalidParameterException"), _) => ErrorKind::Invalid,
            (Some(code), _) if is_unsupported(code) => ErrorKind::Unsupported,
            (None, _) if is_of_an_emulator(error) => ErrorKind::Unsupported,
            (Some("ServerException"), _) | (_, Some(500..=599)) => ErrorKind::Ambiguous,
            (Some(_), _) => ErrorKind::Rejected,
            (None, _) if matches!(error, SdkError::ConstructionFailure(_)) => ErrorKind::Rejected,
            (None, _) => ErrorKind::Ambiguous,
        };
        let message = match (
            code,
            error
                .as_service_error()
                .and_then(ProvideErrorMetadata::message),
        ) {
            (Some(code), message) if code.contains("AccessDenied") => {
                let message = message.unwrap_or_default();
                format!("{code}: {message} {NEEDS}{action})")
            }
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => causes(error),
        };
        Self {
            action,
            kind,
            message,
        }
    }
}

impl AwsError {
    /// Why a fact is not known.
    #[must_use]
    pub fn gap(&self) -> Gap {
        let kind = match self.kind {
            ErrorKind::Throttled => GapKind::Throttled,
            ErrorKind::Ambiguous => GapKind::Failed,
            ErrorKind::NotFound => GapKind::NotFound,
            ErrorKind::Invalid => GapKind::Invalid,
            ErrorKind::Unsupported | ErrorKind::Denied | ErrorKind::Rejected => GapKind::Denied,
        };
        Gap {
            kind,
            error: self.to_string(),
        }
    }

    /// A call that could not even be put together.
    pub fn not_made(action: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            action,
            kind: ErrorKind::Rejected,
            message: causes(error),
        }
    }
}

/// The action, and the resource where AWS names it, of which the text of an [`AwsError`] says that it was denied.
#[must_use]
pub fn denied(text: &str) -> Option<(&str, Option<&str>)> {
    let word = |from: &str| {
        let rest = text.split(from).nth(1)?;
        rest.split([' ', ')', ','])
            .next()
            .filter(|word| !word.is_empty())
    };
    let action = word(NEEDS)?;
    Some((
        action,
        word("on resource: ").filter(|resource| resource.starts_with("arn:")),
    ))
}

/// What stands before the denied action.
const NEEDS: &str = "(the role that runs this needs ";

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
fn is_throttle(code: &str) -> bool {
    [
        "Throttl",
        "TooManyRequests",
        "RequestLimitExceeded",
        "SlowDown",
    ]
    .iter()
    .any(|word| code.contains(word))
}

fn is_unsupported(code: &str) -> bool {
    ["UnknownOperation", "InvalidAction", "NotImplemented"]
        .iter()
        .any(|word| code.contains(word))
}

/// Whether an answer that names no error is how an emulator says that it does not know the operation: with the status
/// for that, or with an error page. Any other 500 without a name is a failure that may have been on the way to AWS.
fn is_of_an_emulator<E>(error: &SdkError<E, HttpResponse>) -> bool {
    let Some(response) = error.raw_response() else {
        return false;
    };
    let is_page = || {
        response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    };
    match response.status().as_u16() {
        501 => true,
        500 => is_page(),
        _ => false,
    }
}

fn is_not_found(code: &str) -> bool {
    let codes = [
        "ClusterNotFoundException",
        "ServiceNotFoundException",
        "ServiceNotActiveException",
        "ResourceNotFoundException",
        "ImageNotFoundException",
        "RepositoryNotFoundException",
        "NoSuchEntity",
    ];
    codes.contains(&code)
}

/// The chain of causes; an SDK error's own text is only its class.
pub fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<_> = chain.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_action_is_found_in_its_text() {
        let message = "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/ops/me is not authorized to \
                       perform: ecs:UpdateService on resource: arn:aws:ecs:eu-west-1:123456789012:service/prod/api \
                       because no identity-based policy allows it (the role that runs this needs ecs:UpdateService)";
        let api = "arn:aws:ecs:eu-west-1:123456789012:service/prod/api";
        assert_eq!(denied(message), Some(("ecs:UpdateService", Some(api))));
        let error = AwsError {
            action: "ecs:ListClusters",
            kind: ErrorKind::Rejected,
            message: "Rate exceeded".to_owned(),
        };
        assert_eq!(denied(&error.to_string()), None);
    }
}
