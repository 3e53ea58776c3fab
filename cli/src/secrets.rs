//! The secret that a person means.

use crate::desk::Desk;
use redeploy_core::arn::Arn;
use redeploy_core::secret::ParameterArn;
use redeploy_on_rotation::aws::{AwsError, Class, denied};

use crate::output::{Error, spinner, warn};

/// How many names are offered.
const OFFERED: usize = 3;
/// How alike names are at least that are offered, of 1.
const ALIKE: f64 = 0.7;

/// Sees that there is such a secret, or says which names are near.
pub(crate) async fn check(desk: &Desk, secret: &str) -> Result<(), Error> {
    if ParameterArn::parse(secret).is_some() {
        return Ok(());
    }
    if let Some(region) = Arn::parse(secret)
        .map(|arn| arn.region)
        .filter(|region| *region != desk.region)
    {
        warn(&format!(
            "the secret is in {region}, and services are looked for in {}",
            desk.region
        ));
    }
    let waiting = spinner("looking for the secret");
    let found = desk.aws.describe_secret(secret, None).await;
    let checked = match found {
        Ok(Some(_)) => Ok(()),
        Ok(None)
        | Err(AwsError {
            class: Class::Invalid,
            ..
        }) => Err(unknown(desk, secret).await),
        Err(error) => Err(Error::new(error.to_string()).allow(denied(&error.to_string()))),
    };
    waiting.finish_and_clear();
    checked
}

async fn unknown(desk: &Desk, secret: &str) -> Error {
    let error = Error::new(format!(
        "there is no secret {secret:?} in {} of account {}",
        desk.region, desk.account
    ));
    let names = match crate::desk::secret_names(&desk.aws).await {
        Ok(names) => names,
        Err(failed) => return error.hint(format!("the nearest names are not known: {failed}")),
    };
    let mut alike: Vec<_> = names
        .iter()
        .map(|name| (strsim::jaro_winkler(secret, name), name))
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let alike = alike
        .into_iter()
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .take(OFFERED);
    let alike: Vec<_> = alike.map(|(_, name)| name.as_str()).collect();
    match alike.as_slice() {
        [] => error.hint(format!(
            "there are {} secrets, and none has a name like it; is it another Region?",
            names.len()
        )),
        alike => error.hint(format!("the nearest names: {}", alike.join(", "))),
    }
}
