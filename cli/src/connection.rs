//! The account and Region that the commands are about, and how the function would be configured
//! there.

use std::collections::BTreeMap;

use redeploy_core::config::{Config, InvalidConfig};

use crate::args::{Scope, SignIn};
use crate::operator::{FunctionSettings, Session};
use crate::output::{Error, spinner};

/// Reads the settings, signs in, and sees who that is.
pub(crate) async fn open(scope: &Scope) -> Result<(Session, Config), Error> {
    let Some(name) = &scope.function else {
        // What is wrong here need not wait for AWS.
        let config = config(environment(), scope)?;
        let session = sign_in(&scope.sign_in).await?;
        return Ok((session.paced(config.rate_share), config));
    };
    let session = sign_in(&scope.sign_in).await?;
    let config = config(function(&session, name).await?.variables, scope)?;
    Ok((session.paced(config.rate_share), config))
}

/// Signs in, and sees who that is.
pub(crate) async fn sign_in(how: &SignIn) -> Result<Session, Error> {
    let waiting = spinner("signing in");
    let session = Session::open(how).await;
    waiting.finish_and_clear();
    session
}

/// The settings of the function of this name.
pub(crate) async fn function(session: &Session, name: &str) -> Result<FunctionSettings, Error> {
    let settings = session.function_settings(name).await?;
    settings.ok_or_else(|| {
        let place = session.place();
        Error::new(format!("there is no function {name:?} in {place}"))
            .hint("--function names it, and --region says where it is")
    })
}

fn environment() -> BTreeMap<String, String> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let vars = std::env::vars_os();
    vars.map(|(name, value)| (text(name), text(value)))
        .collect()
}

/// The function's own configuration, from these variables and `--cluster`.
fn config(mut vars: BTreeMap<String, String>, scope: &Scope) -> Result<Config, Error> {
    const CLUSTERS: &str = "REDEPLOY_CLUSTERS";
    if !scope.cluster.is_empty() {
        vars.insert(CLUSTERS.to_owned(), scope.cluster.join(","));
    }
    Config::from_vars(vars).map_err(|invalid| match (&invalid, &scope.function) {
        (
            InvalidConfig::Value {
                variable: CLUSTERS,
                value,
                accepted,
            },
            _,
        ) if !scope.cluster.is_empty() => Error::new(format!(
            "--cluster {value:?} is not accepted: use {accepted}"
        )),
        (_, Some(name)) => Error::new(format!("the function {name}: {invalid}")),
        (_, None) => Error::new(invalid.to_string()),
    })
}
