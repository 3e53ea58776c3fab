//! The secret or parameter that a person means.

use jiff::Timestamp;
use redeploy_core::arn::{Arn, ParameterArn};
use redeploy_on_rotation::aws::{ErrorKind, timestamp};

use crate::names::nearest;
use crate::operator::{Session, parameter, secret_names};
use crate::output::{Error, spinner, warn};

/// A secret or parameter that exists.
pub(crate) struct Named {
    /// The name of the secret, or the ARN of the parameter, as the function accepts it.
    pub(crate) id: String,
    /// The latest moment at which it can have changed last, UTC, where AWS says.
    pub(crate) changed_at: Option<Timestamp>,
}

/// The secret or parameter of this name or ARN; or which names are near.
pub(crate) async fn resolve(session: &Session, secret: &str) -> Result<Named, Error> {
    let region = Arn::parse(secret).map(|arn| arn.region);
    if let Some(region) = region.filter(|region| *region != session.region) {
        warn(&format!(
            "the secret is in {region}, and services are looked for in {}",
            session.region
        ));
    }
    let waiting = spinner("looking for the secret");
    let resolved = look(session, secret).await;
    waiting.finish_and_clear();
    resolved
}

async fn look(session: &Session, secret: &str) -> Result<Named, Error> {
    if ParameterArn::parse(secret).is_some() {
        return Ok(Named {
            id: secret.to_owned(),
            changed_at: None,
        });
    }
    let described = session.aws.describe_secret("", secret, None).await;
    if let Ok(Some(found)) = described {
        return Ok(Named {
            id: secret.to_owned(),
            changed_at: found.last_changed,
        });
    }
    let found = parameter(session, secret).await;
    if let Ok(Some((id, found))) = found {
        return Ok(Named {
            id,
            changed_at: found.last_modified_date().and_then(timestamp),
        });
    }
    match (described, found) {
        // Only names of parameters begin with a slash as a rule.
        (_, Err(error)) if secret.starts_with('/') => Err(error.into()),
        (Err(error), _) if error.kind != ErrorKind::Invalid => Err(error.into()),
        _ => Err(unknown(session, secret).await),
    }
}

async fn unknown(session: &Session, secret: &str) -> Error {
    let place = session.place();
    let error = Error::new(format!(
        "there is no secret or parameter {secret:?} in {place}"
    ));
    if let Some(name) = secret.strip_prefix('/')
        && let Ok(Some(_)) = session.aws.describe_secret("", name, None).await
    {
        return error.hint(format!("there is a secret {name}"));
    }
    let slashed = format!("/{secret}");
    if let Ok(Some(_)) = parameter(session, &slashed).await {
        return error.hint(format!("there is a parameter {slashed}"));
    }
    match secret_names(&session.aws, "").await {
        Ok(names) => error.hint(nearest(secret, names.into_iter())),
        Err(failed) => error.hint(format!("the nearest names are not known: {failed}")),
    }
}
