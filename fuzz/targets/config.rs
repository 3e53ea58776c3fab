//! Whatever an environment holds: nothing panics, an error names a variable, and an accepted setting says the same
//! when it is written down and read again.
//!
//! Input: one `NAME=value` a line.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use redeploy_core::arn::Arn;
use redeploy_core::config::{
    Config, ImageGuard, InvalidConfig, OnPending, VARIABLES, cluster_name,
};
use redeploy_core::tag::Participation;
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
        Ok(config) => {
            accepted(&config, &vars);
            check_patterns(&config, &vars);
        }
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

fn accepted(config: &Config, vars: &BTreeMap<&str, &str>) {
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
    assert!(
        config
            .max_in_flight
            .is_none_or(|limit| (1..=1000).contains(&limit))
    );
    assert!(config.calendars.iter().all(|calendar| !calendar.is_empty()));
    let mut again = written(config);
    // Patterns are kept in a form of their own.
    let patterns = vars.get("REDEPLOY_SECRETS").copied();
    again.extend(patterns.map(|text| ("REDEPLOY_SECRETS".to_owned(), text.to_owned())));
    assert_eq!(Config::from_vars(again).as_ref(), Ok(config));
}

/// The rules of `REDEPLOY_SECRETS` once more, letter by letter.
fn check_patterns(config: &Config, vars: &BTreeMap<&str, &str>) {
    let Some(text) = vars
        .get("REDEPLOY_SECRETS")
        .filter(|text| !text.trim().is_empty())
    else {
        return;
    };
    let patterns: Vec<_> = text.split(',').map(str::trim).collect();
    let (excluded, included): (Vec<&str>, Vec<&str>) = patterns
        .iter()
        .copied()
        .partition(|pattern| pattern.starts_with('!'));
    let bare = |pattern: &&str| pattern.trim_start_matches('!').replace('*', "");
    let names = patterns.iter().map(bare);
    for name in names.chain(["prod/db".to_owned()]) {
        let name = name.as_bytes();
        let is_in = included.is_empty() || included.iter().any(|p| matches(p.as_bytes(), name));
        let is_out = excluded.iter().any(|p| matches(&p.as_bytes()[1..], name));
        let name = str::from_utf8(name).unwrap();
        assert_eq!(config.secrets.include(name), is_in && !is_out, "{name}");
    }
}

/// Whether a name is meant by a pattern in which `*` stands for anything.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // For each beginning of the name, whether the pattern so far means it.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for letter in pattern {
        if *letter == b'*' {
            for end in 1..=name.len() {
                reached[end] |= reached[end - 1];
            }
        } else {
            for end in (1..=name.len()).rev() {
                reached[end] = reached[end - 1] && name[end - 1] == *letter;
            }
            reached[0] = false;
        }
    }
    reached[name.len()]
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
    let word = Participation::WORDS
        .iter()
        .find(|(_, of)| *of == config.default);
    vars.push(("REDEPLOY_DEFAULT", word.unwrap().0.to_owned()));
    let guard = match config.image_guard {
        ImageGuard::Off => "off",
        ImageGuard::Warn => "warn",
        ImageGuard::Block => "block",
    };
    vars.push(("REDEPLOY_IMAGE_GUARD", guard.to_owned()));
    vars.extend(
        config
            .since
            .map(|since| ("REDEPLOY_SINCE", since.to_string())),
    );
    let limit = config.max_in_flight.map(|limit| limit.to_string());
    vars.push(("REDEPLOY_MAX_IN_FLIGHT", limit.unwrap_or("all".to_owned())));
    if !config.calendars.is_empty() {
        vars.push(("REDEPLOY_CALENDARS", config.calendars.join(",")));
    }
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
