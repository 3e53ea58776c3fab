//! Whatever an environment holds: nothing panics, an error names a variable, and an accepted setting says the same
//! when it is written down and read again.
//!
//! Input: one `NAME=value` a line.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use redeploy_core::arn::Arn;
use redeploy_core::config::{Config, InvalidConfig, OnPending, VARIABLES, cluster_name};
use serde_json::json;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(data) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let vars: BTreeMap<_, _> = data
        .split('\n')
        .filter_map(|line| line.split_once('='))
        .collect();
    let owned = |(name, value): (&&str, &&str)| ((*name).to_owned(), (*value).to_owned());
    let read = Config::from_vars(vars.iter().map(owned));
    assert_eq!(
        read,
        Config::from_vars(vars.iter().rev().map(owned)),
        "order does not matter"
    );
    match read {
        Ok(config) => accepted(&config),
        Err(error) => refused(&error, &vars),
    }
    Corpus::Keep
});

fn refused(error: &InvalidConfig, vars: &BTreeMap<&str, &str>) {
    let text = error.to_string();
    match error {
        InvalidConfig::Value {
            variable,
            value,
            accepted,
        } => {
            assert!(
                VARIABLES.contains(variable) && !accepted.is_empty() && text.starts_with(variable)
            );
            assert_eq!(vars.get(variable).copied().unwrap_or_default(), value);
        }
        InvalidConfig::Unknown { variable } => {
            assert!(
                !VARIABLES.contains(&variable.as_str()) && vars.contains_key(variable.as_str())
            );
        }
    }
}

fn accepted(config: &Config) {
    assert!(config.scan || config.tags || !config.mapping.is_empty());
    assert!((1..=900).contains(&config.settle.as_secs()) && config.settle.subsec_nanos() == 0);
    assert!((0.01..=1.0).contains(&config.rate_share));
    assert!(
        (1..=128).contains(&config.tag_key.chars().count()) && !config.tag_key.starts_with("aws:")
    );
    for cluster in config.clusters.iter().flatten() {
        assert!(is_name(cluster_name(cluster)), "{cluster}");
        if cluster.starts_with("arn:") {
            let arn = Arn::parse(cluster).unwrap();
            assert_eq!(
                (arn.service.as_str(), arn.resource.strip_prefix("cluster/")),
                ("ecs", Some(cluster_name(cluster)))
            );
        }
    }
    for service in config.mapping.iter().flat_map(|line| &line.services) {
        assert!(is_name(&service.cluster) && is_name(&service.service));
    }
    assert_eq!(Config::from_vars(written(config)).as_ref(), Ok(config));
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// The settings as an operator would write them.
fn written(config: &Config) -> Vec<(String, String)> {
    let lookups = [
        (config.scan, "scan"),
        (config.tags, "tags"),
        (!config.mapping.is_empty(), "config"),
    ];
    let lookups: Vec<_> = lookups
        .iter()
        .filter(|(used, _)| *used)
        .map(|(_, name)| *name)
        .collect();
    let mut vars = vec![
        ("REDEPLOY_LOOKUP", lookups.join(",")),
        ("REDEPLOY_TAG_KEY", config.tag_key.clone()),
        ("REDEPLOY_DRY_RUN", config.dry_run.to_string()),
        (
            "REDEPLOY_SETTLE_SECONDS",
            Duration::as_secs(&config.settle).to_string(),
        ),
        ("REDEPLOY_RATE_SHARE", config.rate_share.to_string()),
        (
            "REDEPLOY_ON_PENDING",
            if config.on_pending == OnPending::Retry {
                "retry"
            } else {
                "ignore"
            }
            .to_owned(),
        ),
    ];
    vars.extend(
        config
            .clusters
            .iter()
            .map(|clusters| ("REDEPLOY_CLUSTERS", clusters.join(","))),
    );
    if !config.mapping.is_empty() {
        let lines = config.mapping.iter().map(|line| {
            let services = line
                .services
                .iter()
                .map(|service| format!("{}/{}", service.cluster, service.service));
            json!({"secret": line.secret.to_string(), "services": services.collect::<Vec<_>>()})
        });
        vars.push((
            "REDEPLOY_MAPPING",
            json!(lines.collect::<Vec<_>>()).to_string(),
        ));
    }
    vars.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
