//! The account and Region that the commands are about, and how the function would be configured
//! there.

use crate::operator::{ConnectError, ConnectOptions, Session};
use redeploy_core::config::{Config, InvalidConfig};

use crate::args::Global;
use crate::output::{Error, spinner};

/// Opens it: reads the settings, signs in, and sees who that is.
pub(crate) async fn open(global: &Global) -> Result<(Session, Config), Error> {
    let config = config(global)?;
    let waiting = spinner("signing in");
    let options = ConnectOptions {
        region: global.region.clone(),
        profile: global.profile.clone(),
        endpoint_url: global.endpoint_url.clone(),
    };
    let session = Session::open(options, config.rate_share).await;
    waiting.finish_and_clear();
    Ok((session.map_err(|error| explain(error, global))?, config))
}

/// The function's own configuration: from the options and, where these are silent, from the
/// variables.
fn config(global: &Global) -> Result<Config, Error> {
    let settings = global.settings();
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let mut vars: std::collections::BTreeMap<_, _> = std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    vars.extend(
        settings
            .iter()
            .map(|(variable, _, value)| ((*variable).to_owned(), value.clone())),
    );
    Config::from_vars(vars).map_err(|invalid| {
        let option = |variable: &str| {
            settings
                .iter()
                .find(|(name, ..)| *name == variable)
                .map(|(_, option, _)| option)
        };
        match &invalid {
            InvalidConfig::Value {
                variable,
                value,
                accepted,
            } if option(variable).is_some() => {
                let option = option(variable).copied().unwrap_or_default();
                Error::new(format!(
                    "{option} {value:?} is not accepted: use {accepted}"
                ))
            }
            _ => Error::new(invalid.to_string()),
        }
    })
}

/// Why there is no connection, and what to do about it.
fn explain(error: ConnectError, global: &Global) -> Error {
    let profile = global
        .profile
        .as_ref()
        .map(|profile| format!(" --profile {profile}"))
        .unwrap_or_default();
    match error {
        ConnectError::NoRegion => {
            Error::new("no Region is given: use --region, AWS_REGION or a profile that names one")
        }
        ConnectError::SignedOut(why) => {
            Error::new(format!("not signed in to AWS: {why}")).hint(format!(
                "sign in again, for example with `aws sso login{profile}` or `aws login{profile}`"
            ))
        }
        ConnectError::Unreachable { region, why } => {
            Error::new(format!("AWS does not answer in the Region {region}: {why}"))
                .hint("is the Region spelled right, and the network up?")
        }
        ConnectError::Refused(why) => Error::new(why),
    }
}
