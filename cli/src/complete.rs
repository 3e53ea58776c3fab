//! Names that complete in the shell, as AWS lists them, where that takes no time.

use std::ffi::OsStr;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::{CompleteEnv, CompletionCandidate};
use redeploy_core::config::cluster_name;
use redeploy_on_rotation::aws::{Aws, https};
use tokio::time::timeout;

use crate::args::{Args, SignIn};
use crate::operator::{UNPACED, parameter_names, secret_names, settings};

/// Nobody waits longer for a name.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Answers the shell, if it is the shell that asks.
pub(crate) fn answer() -> clap::error::Result<bool> {
    let directory = std::env::current_dir().ok();
    CompleteEnv::with_factory(Args::command).try_complete(std::env::args_os(), directory.as_deref())
}

/// Secrets and parameters.
pub(crate) fn secrets(typed: &OsStr) -> Vec<CompletionCandidate> {
    names(typed, async |aws, typed| {
        let (secrets, parameters) =
            tokio::join!(secret_names(aws, typed), parameter_names(aws, typed));
        let names = secrets.into_iter().chain(parameters);
        names.flatten().collect()
    })
}

/// `<cluster>/` and, in a cluster, `<cluster>/<service>`.
pub(crate) fn services(typed: &OsStr) -> Vec<CompletionCandidate> {
    names(typed, services_of)
}

/// Clusters.
pub(crate) fn clusters(typed: &OsStr) -> Vec<CompletionCandidate> {
    names(typed, async |aws, _| clusters_of(aws).await)
}

/// Secrets, parameters and services.
pub(crate) fn any(typed: &OsStr) -> Vec<CompletionCandidate> {
    names(typed, async |aws, typed| {
        let (secrets, parameters, services) = tokio::join!(
            secret_names(aws, typed),
            parameter_names(aws, typed),
            services_of(aws, typed)
        );
        let names = secrets.into_iter().chain(parameters).flatten();
        names.chain(services).collect()
    })
}

async fn clusters_of(aws: &Aws) -> Vec<String> {
    let clusters = aws.list_clusters().await.unwrap_or_default();
    let names = clusters.iter().map(|cluster| cluster_name(cluster));
    names.map(str::to_owned).collect()
}

async fn services_of(aws: &Aws, typed: &str) -> Vec<String> {
    let Some((cluster, _)) = typed
        .split_once('/')
        .filter(|(cluster, _)| !cluster.is_empty())
    else {
        let clusters = clusters_of(aws).await.into_iter();
        return clusters.map(|cluster| cluster + "/").collect();
    };
    let services = aws.list_services(cluster).await.unwrap_or_default();
    let names = services.iter().filter_map(|arn| arn.rsplit('/').next());
    names.map(|name| format!("{cluster}/{name}")).collect()
}

/// Those of the listed names that begin as typed; none where AWS does not say in time.
fn names(
    typed: &OsStr,
    list: impl AsyncFnOnce(&Aws, &str) -> Vec<String>,
) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (Some(typed), Ok(runtime)) = (typed.to_str(), runtime) else {
        return Vec::new();
    };
    let listed = async {
        let sdk = settings(&sign_in(std::env::args()), https()).await;
        let aws = Aws::new(&sdk, UNPACED).with_attempts(1);
        match sdk.region() {
            Some(_) => list(&aws, typed).await,
            None => Vec::new(),
        }
    };
    let listed = runtime.block_on(async { timeout(PATIENCE, listed).await });
    // A look-up of credentials or of an address may still be under way.
    runtime.shutdown_background();
    let mut listed = listed.unwrap_or_default();
    listed.retain(|name| name.starts_with(typed));
    listed.sort();
    listed.into_iter().map(CompletionCandidate::new).collect()
}

/// How to sign in, by what was typed before.
fn sign_in(args: impl Iterator<Item = String>) -> SignIn {
    let args: Vec<_> = args.collect();
    let value = |option: &str| {
        let mut pairs = args.windows(2);
        let apart = pairs
            .find(|pair| pair[0] == option)
            .map(|pair| pair[1].clone());
        let mut joined = args
            .iter()
            .filter_map(|arg| arg.strip_prefix(option)?.strip_prefix('='));
        apart.or_else(|| joined.next().map(str::to_owned))
    };
    SignIn {
        region: value("--region"),
        profile: value("--profile"),
        endpoint_url: value("--endpoint-url"),
        verbose: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_before_says_where_to_look() {
        let typed = "redeploy-on-rotation audit --region eu-west-1 --profile=ops prod/";
        let how = sign_in(typed.split(' ').map(str::to_owned));
        assert_eq!(how.region.as_deref(), Some("eu-west-1"));
        assert_eq!(how.profile.as_deref(), Some("ops"));
        assert_eq!(how.endpoint_url, None);
    }
}
