//! What the operator chose: `REDEPLOY_*` variables in, [`Config`] out. Pure: reads no environment itself.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::arn::Arn;
use crate::name_pattern::NamePatterns;
use crate::reference::Reference;
use crate::tag::Participation;

/// The settings of one process.
///
/// | variable | default | accepted |
/// | --- | --- | --- |
/// | `REDEPLOY_LOOKUP` | `scan` | `scan`, `tags`, `config`, or several, comma-separated |
/// | `REDEPLOY_CLUSTERS` | every cluster of the Region | names or ARNs, comma-separated |
/// | `REDEPLOY_TAG_KEY` | `redeploy-on-rotation` | a tag key |
/// | `REDEPLOY_MAPPING` | none | `[{"secret": "<name or ARN>", "services": ["<cluster>/<service>"]}]` |
/// | `REDEPLOY_DRY_RUN` | `false` | `true`, `false` |
/// | `REDEPLOY_SETTLE_SECONDS` | `10` | 1 to 900 |
/// | `REDEPLOY_ON_PENDING` | `retry` | `retry`, `ignore` |
/// | `REDEPLOY_RATE_SHARE` | `0.5` | 0.01 to 1 |
/// | `REDEPLOY_DEFAULT` | `auto` | `auto`, `notify`, `ignore` |
/// | `REDEPLOY_SECRETS` | all | names with `*`, comma-separated; `!` before one excludes |
/// | `REDEPLOY_SINCE` | none | a time as of RFC 3339, with its offset |
/// | `REDEPLOY_MAX_IN_FLIGHT` | `all` | `all`, 1 to 1000 |
/// | `REDEPLOY_CALENDARS` | none | names or ARNs of SSM change calendars, comma-separated |
/// | `REDEPLOY_IMAGE_GUARD` | `off` | `off`, `warn`, `block` |
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Read the task definitions of all services in scope.
    pub scan: bool,
    /// Follow what the services' tags name.
    pub tags: bool,
    /// Follow this mapping; empty when the lookup `config` is not used.
    pub mapping: Vec<Mapping>,
    /// The clusters that `scan` and `tags` look at, by name or ARN; `None` for all in the Region.
    pub clusters: Option<Vec<String>>,
    /// The key of the tag that names secrets, or says `ignore`.
    pub tag_key: String,
    /// Report what would be done and do nothing.
    pub dry_run: bool,
    /// How long after a change to wait before anything is read or done.
    pub settle: Duration,
    /// What to make of a rotation that is still under way.
    pub on_pending: OnPending,
    /// The share of the account's documented API quotas that may be used, 0.01 to 1.
    pub rate_share: f64,
    /// What a service gets whose tag does not say.
    pub default: Participation,
    /// The secrets and parameters that take part.
    pub secrets: NamePatterns,
    /// What changed before this is left alone, UTC.
    pub since: Option<Timestamp>,
    /// The largest number of rollouts for one change at a time; `None` for no limit.
    pub max_in_flight: Option<usize>,
    /// The change calendars that must be open, by name or ARN.
    pub calendars: Vec<String>,
    /// What to do where a new deployment would start another image.
    pub image_guard: ImageGuard,
}

/// What to do where a new deployment would start another image than the one that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageGuard {
    /// Nothing; images are not looked at.
    #[default]
    Off,
    /// Warn of it, and redeploy.
    Warn,
    /// Leave the service alone.
    Block,
}

/// What to make of a rotation that is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPending {
    /// Fail the invocation, so that Lambda repeats it when the rotation may be done.
    Retry,
    /// Report it and end, because a later event tells of the change.
    Ignore,
}

/// One line of `REDEPLOY_MAPPING`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The secret, or the ARN of a parameter.
    pub secret: Reference,
    /// The services that follow it.
    pub services: Vec<MappedService>,
}

/// A service as `<cluster>/<service>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappedService {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub service: String,
}

/// A setting that cannot be used. Its text names the variable, the value and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A value that is not accepted.
    #[error("{variable}={value:?} is not accepted: use {accepted}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        accepted: String,
    },
    /// A name that looks like one of ours.
    #[error("{variable} is not a variable of this program; these are: {}", VARIABLES.join(", "))]
    Unknown {
        /// The name.
        variable: String,
    },
}

const LOOKUP: &str = "REDEPLOY_LOOKUP";
const CLUSTERS: &str = "REDEPLOY_CLUSTERS";
const TAG_KEY: &str = "REDEPLOY_TAG_KEY";
const MAPPING: &str = "REDEPLOY_MAPPING";
const DRY_RUN: &str = "REDEPLOY_DRY_RUN";
const SETTLE_SECONDS: &str = "REDEPLOY_SETTLE_SECONDS";
const ON_PENDING: &str = "REDEPLOY_ON_PENDING";
const RATE_SHARE: &str = "REDEPLOY_RATE_SHARE";
const DEFAULT: &str = "REDEPLOY_DEFAULT";
const SECRETS: &str = "REDEPLOY_SECRETS";
const SINCE: &str = "REDEPLOY_SINCE";
const MAX_IN_FLIGHT: &str = "REDEPLOY_MAX_IN_FLIGHT";
const CALENDARS: &str = "REDEPLOY_CALENDARS";
const IMAGE_GUARD: &str = "REDEPLOY_IMAGE_GUARD";

/// Every variable that is read.
pub const VARIABLES: [&str; 14] = [
    LOOKUP,
    CLUSTERS,
    TAG_KEY,
    MAPPING,
    DRY_RUN,
    SETTLE_SECONDS,
    ON_PENDING,
    RATE_SHARE,
    DEFAULT,
    SECRETS,
    SINCE,
    MAX_IN_FLIGHT,
    CALENDARS,
    IMAGE_GUARD,
];

/// What the mapping must look like.
const MAPPING_SHAPE: &str =
    r#"JSON of the form [{"secret":"<name or ARN>","services":["<cluster>/<service>"]}]"#;

impl Config {
    /// Reads the settings from the variables of an environment, of which only those that start with `REDEPLOY_` count.
    ///
    /// # Errors
    /// On the first value that is not accepted, and on a `REDEPLOY_` name that is not ours: a typo must not become a
    /// silent default.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidConfig> {
        let vars: BTreeMap<_, _> = vars
            .into_iter()
            .filter(|(name, _)| name.starts_with("REDEPLOY_"))
            .collect();
        if let Some(variable) = vars.keys().find(|name| !VARIABLES.contains(&name.as_str())) {
            return Err(InvalidConfig::Unknown {
                variable: variable.clone(),
            });
        }
        let get = |variable| Setting {
            variable,
            value: vars.get(variable).map(String::as_str),
        };

        let lookup = get(LOOKUP);
        let lookups = lookup.list()?.unwrap_or_else(|| vec!["scan"]);
        if !lookups
            .iter()
            .all(|lookup| ["scan", "tags", "config"].contains(lookup))
        {
            return Err(lookup.invalid("scan, tags or config, or several of them, comma-separated"));
        }
        let uses_config = lookups.contains(&"config");
        let mapping = get(MAPPING);
        let mapping = match (mapping.value, uses_config) {
            (Some(_), true) => mapping.mapping()?,
            (Some(_), false) => {
                return Err(mapping
                    .invalid("it only together with REDEPLOY_LOOKUP=config, or leave it out"));
            }
            (None, true) => {
                return Err(
                    lookup.invalid(&format!("it only together with {MAPPING}, {MAPPING_SHAPE}"))
                );
            }
            (None, false) => Vec::new(),
        };
        Ok(Self {
            scan: lookups.contains(&"scan"),
            tags: lookups.contains(&"tags"),
            mapping,
            clusters: get(CLUSTERS).clusters()?,
            tag_key: get(TAG_KEY).tag_key()?,
            dry_run: get(DRY_RUN).one_of(&["false", "true"])? == "true",
            settle: get(SETTLE_SECONDS).seconds(10, 1..=900)?,
            on_pending: match get(ON_PENDING).one_of(&["retry", "ignore"])? {
                "retry" => OnPending::Retry,
                _ => OnPending::Ignore,
            },
            rate_share: get(RATE_SHARE).share(0.5)?,
            default: get(DEFAULT).word(&Participation::WORDS)?,
            secrets: get(SECRETS).name_patterns()?,
            since: get(SINCE).time()?,
            max_in_flight: get(MAX_IN_FLIGHT).limit()?,
            calendars: get(CALENDARS).calendars()?,
            image_guard: get(IMAGE_GUARD).word(&[
                ("off", ImageGuard::Off),
                ("warn", ImageGuard::Warn),
                ("block", ImageGuard::Block),
            ])?,
        })
    }
}

/// One variable and its value.
struct Setting<'a> {
    variable: &'static str,
    value: Option<&'a str>,
}

impl<'a> Setting<'a> {
    fn invalid(&self, accepted: &str) -> InvalidConfig {
        let value = self.value.unwrap_or_default().to_owned();
        InvalidConfig::Value {
            variable: self.variable,
            value,
            accepted: accepted.to_owned(),
        }
    }

    /// The value, of which the first accepted one is the default.
    fn one_of(&self, accepted: &[&'static str]) -> Result<&'static str, InvalidConfig> {
        let value = self.value.unwrap_or(accepted[0]);
        let found = accepted.iter().find(|accepted| **accepted == value);
        found
            .copied()
            .ok_or_else(|| self.invalid(&accepted.join(" or ")))
    }

    /// What the value stands for; without one, the default.
    fn word<T: Copy + Default>(&self, words: &[(&str, T)]) -> Result<T, InvalidConfig> {
        let Some(value) = self.value else {
            return Ok(T::default());
        };
        let meant = words.iter().find(|(word, _)| *word == value);
        meant.map(|(_, meant)| *meant).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.invalid(&words.join(" or "))
        })
    }

    fn name_patterns(&self) -> Result<NamePatterns, InvalidConfig> {
        let patterns = self.list()?.unwrap_or_default();
        NamePatterns::parse(&patterns).ok_or_else(|| {
            self.invalid(
                "names of secrets and parameters, comma-separated, with * for any characters and ! \
                 before one to exclude it, such as prod/*,!prod/mesh-*",
            )
        })
    }

    fn time(&self) -> Result<Option<Timestamp>, InvalidConfig> {
        let time = self.value.map(str::parse).transpose();
        time.map_err(|_| {
            self.invalid("a time with its offset from UTC, such as 2026-11-25T12:00:00Z")
        })
    }

    fn limit(&self) -> Result<Option<usize>, InvalidConfig> {
        const MOST: u64 = 1000;
        if self.value.is_none_or(|value| value == "all") {
            return Ok(None);
        }
        let limit = self.seconds(MOST, 1..=MOST);
        let limit = limit.map_err(|_| self.invalid("all or a whole number from 1 to 1000"))?;
        Ok(usize::try_from(limit.as_secs()).ok())
    }

    fn calendars(&self) -> Result<Vec<String>, InvalidConfig> {
        let calendars = self.list()?.unwrap_or_default();
        let is_document = |arn: Arn| {
            let name = arn.resource.strip_prefix("document/");
            arn.service == "ssm" && name.is_some_and(is_document_name)
        };
        let is_calendar = |calendar: &&str| {
            is_document_name(calendar) || Arn::parse(calendar).is_some_and(is_document)
        };
        if !calendars.iter().all(is_calendar) {
            return Err(self.invalid("names or ARNs of SSM change calendars, comma-separated"));
        }
        Ok(calendars.into_iter().map(str::to_owned).collect())
    }

    fn seconds(
        &self,
        default: u64,
        accepted: std::ops::RangeInclusive<u64>,
    ) -> Result<Duration, InvalidConfig> {
        let number = |value: &str| {
            value
                .parse()
                .ok()
                .filter(|_| value.bytes().all(|b| b.is_ascii_digit()))
        };
        let seconds = self.value.map_or(Some(default), number);
        let seconds = seconds.filter(|seconds| accepted.contains(seconds));
        let (least, most) = accepted.into_inner();
        seconds
            .map(Duration::from_secs)
            .ok_or_else(|| self.invalid(&format!("a whole number from {least} to {most}")))
    }

    fn share(&self, default: f64) -> Result<f64, InvalidConfig> {
        let share = self.value.map_or(Some(default), |value| value.parse().ok());
        let share = share.filter(|share| (0.01..=1.0).contains(share));
        share.ok_or_else(|| self.invalid("a number from 0.01 to 1"))
    }

    /// The elements of a comma-separated list, with none empty and none twice.
    fn list(&self) -> Result<Option<Vec<&'a str>>, InvalidConfig> {
        let Some(value) = self.value else {
            return Ok(None);
        };
        let elements: Vec<_> = value.split(',').map(str::trim).collect();
        let repeated = elements
            .iter()
            .enumerate()
            .any(|(index, element)| elements[..index].contains(element));
        if repeated || elements.contains(&"") {
            return Err(self.invalid(
                "a comma-separated list without empty or repeated elements, or leave it out",
            ));
        }
        Ok(Some(elements))
    }

    fn clusters(&self) -> Result<Option<Vec<String>>, InvalidConfig> {
        let Some(clusters) = self.list()? else {
            return Ok(None);
        };
        let is_arn = |arn: Arn| arn.service == "ecs" && arn.resource.starts_with("cluster/");
        let is_cluster = |cluster: &&str| {
            is_ecs_name(cluster_name(cluster))
                && (!cluster.starts_with("arn:") || Arn::parse(cluster).is_some_and(is_arn))
        };
        if !clusters.iter().all(is_cluster) {
            return Err(self.invalid("names or ARNs of clusters, comma-separated"));
        }
        Ok(Some(clusters.into_iter().map(str::to_owned).collect()))
    }

    fn tag_key(&self) -> Result<String, InvalidConfig> {
        let key = self.value.unwrap_or("redeploy-on-rotation");
        // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
        let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        let valid = (1..=128).contains(&key.chars().count())
            && key.chars().all(allowed)
            && !key.starts_with("aws:");
        if valid {
            Ok(key.to_owned())
        } else {
            Err(self.invalid("a tag key: 1 to 128 of letters, digits, space and _.:/=+-@, not starting with aws:"))
        }
    }

    fn mapping(&self) -> Result<Vec<Mapping>, InvalidConfig> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line {
            secret: String,
            services: Vec<String>,
        }
        let lines: Vec<Line> = serde_json::from_str(self.value.unwrap_or_default())
            .map_err(|error| self.invalid(&format!("{MAPPING_SHAPE} ({error})")))?;
        if lines.is_empty() {
            return Err(self.invalid(MAPPING_SHAPE));
        }
        let line = |line: Line| {
            let secret = Reference::parse_secret(&line.secret).map_err(|error| {
                self.invalid(&format!(
                    "the name or ARN of a secret in place of {:?}: {error}",
                    line.secret
                ))
            })?;
            let service = |text: &String| {
                let (cluster, service) = text.split_once('/')?;
                let valid = is_ecs_name(cluster) && is_ecs_name(service);
                valid.then(|| MappedService {
                    cluster: cluster.to_owned(),
                    service: service.to_owned(),
                })
            };
            let services = line.services.iter().map(|text| {
                service(text).ok_or_else(|| {
                    self.invalid(&format!("<cluster>/<service> in place of {text:?}"))
                })
            });
            Ok(Mapping {
                secret,
                services: services.collect::<Result<_, _>>()?,
            })
        };
        lines.into_iter().map(line).collect()
    }
}

/// The name of a cluster given by name or ARN.
#[must_use]
pub fn cluster_name(cluster: &str) -> &str {
    match cluster.split_once(":cluster/") {
        Some((arn, name)) if arn.starts_with("arn:") => name,
        _ => cluster,
    }
}

/// Up to 255 letters, digits, underscores and hyphens: what ECS accepts for clusters and services.
fn is_ecs_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateDocument.html>
fn is_document_name(name: &str) -> bool {
    (3..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
        Config::from_vars(
            vars.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn an_empty_environment_scans_everything() {
        let expected = Config {
            scan: true,
            tags: false,
            mapping: Vec::new(),
            clusters: None,
            tag_key: "redeploy-on-rotation".to_owned(),
            dry_run: false,
            settle: Duration::from_secs(10),
            on_pending: OnPending::Retry,
            rate_share: 0.5,
            default: Participation::Auto,
            secrets: NamePatterns::default(),
            since: None,
            max_in_flight: None,
            calendars: Vec::new(),
            image_guard: ImageGuard::Off,
        };
        assert_eq!(
            read(&[("PATH", "/bin"), ("AWS_REGION", "eu-west-1")]),
            Ok(expected)
        );
    }

    #[test]
    fn every_variable_is_read() {
        let config = read(&[
            (LOOKUP, "tags, config"),
            (
                CLUSTERS,
                "prod, arn:aws:ecs:eu-west-1:123456789012:cluster/stage",
            ),
            (TAG_KEY, "team:secrets"),
            (
                MAPPING,
                r#"[{"secret":"rds!db-1","services":["prod/api","prod/worker"]}]"#,
            ),
            (DRY_RUN, "true"),
            (SETTLE_SECONDS, "1"),
            (ON_PENDING, "ignore"),
            (RATE_SHARE, "0.25"),
            (DEFAULT, "notify"),
            (SECRETS, "prod/*, !prod/mesh-*"),
            (SINCE, "2026-11-25T14:00:00+02:00"),
            (MAX_IN_FLIGHT, "5"),
            (
                CALENDARS,
                "weekdays, arn:aws:ssm:eu-west-1:123456789012:document/holidays",
            ),
            (IMAGE_GUARD, "block"),
        ])
        .unwrap();
        let service = |service: &str| MappedService {
            cluster: "prod".to_owned(),
            service: service.to_owned(),
        };
        let expected = Config {
            scan: false,
            tags: true,
            mapping: vec![Mapping {
                secret: Reference::parse_secret("rds!db-1").unwrap(),
                services: vec![service("api"), service("worker")],
            }],
            clusters: Some(vec![
                "prod".to_owned(),
                "arn:aws:ecs:eu-west-1:123456789012:cluster/stage".to_owned(),
            ]),
            tag_key: "team:secrets".to_owned(),
            dry_run: true,
            settle: Duration::from_secs(1),
            on_pending: OnPending::Ignore,
            rate_share: 0.25,
            default: Participation::Notify,
            secrets: NamePatterns::parse(&["prod/*", "!prod/mesh-*"]).unwrap(),
            since: Some("2026-11-25T12:00:00Z".parse().unwrap()),
            max_in_flight: Some(5),
            calendars: vec![
                "weekdays".to_owned(),
                "arn:aws:ssm:eu-west-1:123456789012:document/holidays".to_owned(),
            ],
            image_guard: ImageGuard::Block,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_the_variable_and_what_is_accepted() {
        let mapping = |text| [(LOOKUP, "config"), (MAPPING, text)];
        for (vars, accepted) in [
            (&[(LOOKUP, "scans")][..], "scan, tags or config"),
            (&[(LOOKUP, "")], "comma-separated"),
            (&[(LOOKUP, "scan,scan")], "comma-separated"),
            (&[(LOOKUP, "config")], "REDEPLOY_MAPPING"),
            (&[(CLUSTERS, "")], "comma-separated"),
            (&[(DEFAULT, "Auto")], "auto or notify or ignore"),
            (&[(SECRETS, "prod db")], "names of secrets"),
            (&[(SECRETS, "!")], "names of secrets"),
            (&[(SECRETS, "")], "comma-separated"),
            (&[(SINCE, "2026-11-25T12:00:00")], "offset from UTC"),
            (&[(SINCE, "yesterday")], "offset from UTC"),
            (
                &[(MAX_IN_FLIGHT, "0")],
                "all or a whole number from 1 to 1000",
            ),
            (&[(MAX_IN_FLIGHT, "1001")], "all or a whole number"),
            (&[(MAX_IN_FLIGHT, "All")], "all or a whole number"),
            (&[(CALENDARS, "a b c")], "SSM change calendars"),
            (
                &[(CALENDARS, "arn:aws:ssm:eu-west-1:123456789012:parameter/x")],
                "SSM change calendars",
            ),
            (&[(IMAGE_GUARD, "on")], "off or warn or block"),
            (&[(CLUSTERS, "a,,b")], "comma-separated"),
            (&[(CLUSTERS, "a b")], "names or ARNs"),
            (&[(CLUSTERS, "arn:aws:cluster/prod")], "names or ARNs"),
            (&[(TAG_KEY, "")], "a tag key"),
            (&[(TAG_KEY, "aws:x")], "a tag key"),
            (&[(TAG_KEY, "a!b")], "a tag key"),
            (&[(DRY_RUN, "yes")], "false or true"),
            (&[(SETTLE_SECONDS, "0")], "1 to 900"),
            (&[(SETTLE_SECONDS, "901")], "1 to 900"),
            (&[(SETTLE_SECONDS, "+5")], "1 to 900"),
            (&[(ON_PENDING, "fail")], "retry or ignore"),
            (&[(RATE_SHARE, "0")], "0.01 to 1"),
            (&[(RATE_SHARE, "1.01")], "0.01 to 1"),
            (&[(RATE_SHARE, "NaN")], "0.01 to 1"),
            (&[(RATE_SHARE, "half")], "0.01 to 1"),
            (&[(MAPPING, "[]")], "REDEPLOY_LOOKUP=config"),
            (&mapping("{}"), "JSON of the form"),
            (&mapping("[]"), "JSON of the form"),
            (
                &mapping(r#"[{"secret":"a b","services":[]}]"#),
                "name or ARN",
            ),
            (&mapping(r#"[{"secret":"a"}]"#), "services"),
            (
                &mapping(r#"[{"secret":"a","services":["api"]}]"#),
                "<cluster>/<service>",
            ),
            (
                &mapping(r#"[{"secret":"a","services":["a/b/c"]}]"#),
                "<cluster>/<service>",
            ),
            (&mapping(r#"[{"secret":"","services":[]}]"#), "name or ARN"),
            (
                &mapping(r#"[{"secret":"a","services":[],"service":1}]"#),
                "JSON of the form",
            ),
        ] {
            let text = read(vars).unwrap_err().to_string();
            let (variable, value) = vars.last().unwrap();
            let named = text.starts_with(&format!("{variable}={value:?} is not accepted"));
            assert!(named && text.contains(accepted), "{vars:?}: {text}");
        }
    }

    #[test]
    fn a_name_that_looks_like_ours_is_refused() {
        let text = read(&[("REDEPLOY_CLUSTER", "prod")])
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("REDEPLOY_CLUSTER is not a variable") && text.contains(CLUSTERS),
            "{text}"
        );
    }

    #[test]
    fn the_arn_of_something_else_is_no_cluster() {
        for arn in [
            "arn:aws:eks:eu-west-1:123456789012:cluster/prod",
            "arn:aws:ecs:eu-west-1:123456789012:service:cluster/prod",
        ] {
            let text = read(&[(CLUSTERS, arn)]).unwrap_err().to_string();
            assert!(text.contains("names or ARNs of clusters"), "{text}");
        }
    }

    #[test]
    fn only_an_arn_has_the_name_of_its_cluster_behind_a_slash() {
        assert_eq!(
            cluster_name("arn:aws:ecs:eu-west-1:123456789012:cluster/prod"),
            "prod"
        );
        for text in ["prod", "cluster/prod", "my:cluster/prod"] {
            assert_eq!(cluster_name(text), text);
        }
    }

    #[test]
    fn a_name_has_at_most_255_letters_digits_underscores_and_hyphens() {
        for name in ["prod", "prod_1", "prod-1", "_", "-", &"x".repeat(255)] {
            assert!(is_ecs_name(name), "{name}");
        }
        for text in ["", "a b", "a/b", "a.b", "\u{e9}", &"x".repeat(256)] {
            assert!(!is_ecs_name(text), "{text}");
        }
    }
}
