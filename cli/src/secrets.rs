//! The secret or parameter that a person means.

use redeploy_core::arn::{Arn, ParameterArn};
use redeploy_on_rotation::aws::{AwsError, ErrorKind, denied};

use crate::operator::{Session, parameter_arn, secret_names};
use crate::output::{Error, spinner, warn};

/// How many names are offered.
const OFFERED: usize = 3;
/// How alike names are at least that are offered, of 1.
const ALIKE: f64 = 0.7;

/// The name of the secret, or the ARN of the parameter, as the function accepts it; or which names
/// are near.
pub(crate) async fn resolve(session: &Session, secret: &str) -> Result<String, Error> {
    if ParameterArn::parse(secret).is_some() {
        return Ok(secret.to_owned());
    }
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

async fn look(session: &Session, secret: &str) -> Result<String, Error> {
    let failed = |error: AwsError| {
        let text = error.to_string();
        Error::new(text.clone()).allow(denied(&text))
    };
    match session.aws.describe_secret("", secret, None).await {
        Ok(Some(_)) => return Ok(secret.to_owned()),
        Ok(None) => {}
        Err(error) if error.kind == ErrorKind::Invalid => {}
        Err(error) => return Err(failed(error)),
    }
    // Names of parameters begin with a slash, and so may those of secrets.
    if secret.starts_with('/')
        && let Some(arn) = parameter_arn(session, secret).await.map_err(failed)?
    {
        return Ok(arn);
    }
    Err(unknown(session, secret).await)
}

async fn unknown(session: &Session, secret: &str) -> Error {
    let is_path = secret.starts_with('/');
    let kind = if is_path {
        "secret or parameter"
    } else {
        "secret"
    };
    let place = session.place();
    let error = Error::new(format!("there is no {kind} {secret:?} in {place}"));
    let names = match secret_names(session).await {
        Ok(names) => names,
        Err(failed) => return error.hint(format!("the nearest names are not known: {failed}")),
    };
    let likeness = |name: &String| strsim::jaro_winkler(secret, name);
    let mut alike: Vec<_> = names.iter().map(|name| (likeness(name), name)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let alike = alike.into_iter().take(OFFERED);
    let alike: Vec<_> = alike.map(|(_, name)| name.as_str()).collect();
    match alike.as_slice() {
        [] => error.hint(format!(
            "there are {} secrets, and none has a name like it; is it another Region?",
            names.len()
        )),
        alike => error.hint(format!("the nearest names: {}", alike.join(", "))),
    }
}
