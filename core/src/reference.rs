//! What a task definition, a tag or the configuration names ([`Reference`]).
//!
//! Everything is parsed into fields before it is compared. No comparison is made by prefix, and
//! nothing is cut from both sides, because two secrets named `a` and `a-abcdef` exist side by side.

use std::fmt;

use crate::arn::{
    Arn, Location, ParameterArn, SUFFIX_LENGTH, SecretArn, has_suffix, parameter_name, secret_id,
};
use crate::change::{AWSCURRENT, AWSPREVIOUS, Source};

/// The path under which Parameter Store passes a read on to Secrets Manager, without its leading slash
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html>).
const SECRET_PARAMETER_PATH: &str = "aws/reference/secretsmanager/";

/// How a reference stands to a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Follows {
    /// It names something else, or another label of the same secret.
    No,
    /// It names this secret or parameter, at a version that never changes.
    Pinned,
    /// A task that starts now reads another value than one that started before the change.
    Yes,
}

/// What a `valueFrom`, a tag or the configuration names.
///
/// ```text
/// reference  = secret | parameter | name
/// secret     = "arn:" partition ":secretsmanager:" region ":" account ":secret:" id [ ":" key ":" stage ":" version ]
/// parameter  = [ "arn:" partition ":ssm:" region ":" account ":parameter" ] name [ ":" selector ]
/// id         = secret name, or secret name "-" six letters or digits
/// key, stage, version = text without ":", perhaps empty
/// ```
///
/// Source: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html>,
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-ssm-paramstore.html>.
/// Printing gives the text that was parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A secret by full or partial ARN.
    Secret(SecretReference),
    /// A parameter, or a secret read through Parameter Store.
    Parameter(ParameterReference),
    /// A secret by name, which only tags, the configuration and `repositoryCredentials` can hold.
    SecretName(String),
}

/// What a [`Reference`] names, field by field; a field that is not there is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A secret, perhaps through Parameter Store.
    Secret {
        /// Its full or partial ARN, or its name: as `DescribeSecret` accepts it.
        id: String,
        /// Which field of a JSON object is read.
        key: &'a str,
        /// The staging label.
        stage: &'a str,
        /// The version id.
        version: &'a str,
    },
    /// A parameter.
    Parameter {
        /// Its name, with the slash that a path begins with.
        name: String,
        /// A version or label.
        selector: Option<&'a str>,
    },
}

/// A secret by full or partial ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretReference {
    /// The ARN without the fields behind it.
    arn: Arn,
    /// JSON key, stage and version id, when the three colons are there.
    fields: Option<[String; 3]>,
}

/// A parameter by name or ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterReference {
    /// The ARN without the selector; `None` for a bare name.
    arn: Option<Arn>,
    /// The name as typed; empty when there is an ARN.
    name: String,
    /// A version or label behind the name.
    selector: Option<String>,
}

/// Why a text names neither a secret nor a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// It has a space in it.
    #[error("a secret's name has no spaces")]
    Name,
    /// It starts like an ARN and is none.
    #[error("it is not an ARN of six fields")]
    Arn,
    /// The ARN of something else.
    #[error("it is the ARN of neither a secret nor a parameter")]
    Service,
    /// ECS accepts no field or all three.
    #[error(
        "behind the secret there must be nothing or `:json-key:version-stage:version-id`, with all three colons"
    )]
    Fields,
}

impl Reference {
    /// Parses a `valueFrom`, where a text that is not an ARN is the name of a parameter.
    ///
    /// # Errors
    /// When ECS could not make sense of the text either.
    pub fn parse(value_from: &str) -> Result<Self, InvalidReference> {
        if !value_from.starts_with("arn:") {
            let (name, selector) = split_selector(value_from);
            if name.trim_start_matches('/').is_empty() {
                return Err(InvalidReference::Empty);
            }
            return Ok(Self::Parameter(ParameterReference {
                arn: None,
                name: name.to_owned(),
                selector,
            }));
        }
        let mut arn = Arn::parse(value_from).ok_or(InvalidReference::Arn)?;
        if parameter_name(&arn).is_some() {
            let (resource, selector) = split_selector(&arn.resource);
            arn.resource = resource.into();
            if parameter_name(&arn).is_none() {
                return Err(InvalidReference::Empty);
            }
            return Ok(Self::Parameter(ParameterReference {
                arn: Some(arn),
                name: String::new(),
                selector,
            }));
        }
        let id = secret_id(&arn).ok_or(InvalidReference::Service)?;
        let (id, fields) = match id.split(':').collect::<Vec<_>>()[..] {
            ["", ..] => return Err(InvalidReference::Empty),
            [id] => (id, None),
            [id, key, stage, version] => (id, Some([key, stage, version].map(str::to_owned))),
            _ => return Err(InvalidReference::Fields),
        };
        arn.resource = format!("secret:{id}");
        Ok(Self::Secret(SecretReference { arn, fields }))
    }

    /// Parses what a person wrote in a tag, in the configuration or in a request, where a text that is not an ARN is
    /// the name of a secret.
    ///
    /// # Errors
    /// As [`Reference::parse`].
    pub fn parse_secret(text: &str) -> Result<Self, InvalidReference> {
        if text.is_empty() {
            Err(InvalidReference::Empty)
        } else if text.contains(char::is_whitespace) && !text.starts_with("arn:") {
            Err(InvalidReference::Name)
        } else if text.starts_with("arn:") {
            Self::parse(text)
        } else {
            Ok(Self::SecretName(text.to_owned()))
        }
    }

    /// How this reference, read by a service that lives at `location`, stands to a change of `subject`.
    #[must_use]
    pub fn follows(&self, subject: &Source, location: &Location) -> Follows {
        let yes = |follows: bool| if follows { Follows::Yes } else { Follows::No };
        match (self, subject) {
            (Self::Secret(reference), Source::Secret { arn, label }) if reference.names(arn) => {
                match reference
                    .fields
                    .as_ref()
                    .map_or(["", ""], |[_, stage, version]| [stage, version])
                {
                    ["", ""] => yes(label == AWSCURRENT),
                    [stage, ""] => yes(stage_follows(stage, label)),
                    _ => Follows::Pinned,
                }
            }
            (Self::SecretName(name), Source::Secret { arn, label }) => {
                yes(name == arn.name() && arn.0.is_at(location) && label == AWSCURRENT)
            }
            (Self::Parameter(reference), Source::Secret { arn, label })
                if reference.names_secret(arn, location) =>
            {
                match reference.selector() {
                    None => yes(label == AWSCURRENT),
                    Some(version) if is_version_id(version) => Follows::Pinned,
                    Some(stage) => yes(stage_follows(stage, label)),
                }
            }
            (Self::Parameter(reference), Source::Parameter(arn))
                if reference.names(arn, location) =>
            {
                match reference.selector() {
                    None => Follows::Yes,
                    Some(version) if version.bytes().all(|b| b.is_ascii_digit()) => Follows::Pinned,
                    // A parameter's label is moved by LabelParameterVersion, never by a new value.
                    Some(_) => Follows::No,
                }
            }
            _ => Follows::No,
        }
    }

    /// What it names, field by field.
    #[must_use]
    pub fn named(&self) -> Named<'_> {
        let secret = |id, [key, stage, version]: [_; 3]| Named::Secret {
            id,
            key,
            stage,
            version,
        };
        match self {
            Self::Secret(SecretReference { arn, fields, .. }) => secret(
                arn.to_string(),
                fields
                    .as_ref()
                    .map_or([""; 3], |fields| fields.each_ref().map(String::as_str)),
            ),
            Self::SecretName(name) => secret(name.clone(), [""; 3]),
            Self::Parameter(reference) => {
                let (name, selector) = (reference.bare_name(), reference.selector());
                match (name.strip_prefix(SECRET_PARAMETER_PATH), selector) {
                    (Some(name), Some(version)) if is_version_id(version) => {
                        secret(name.to_owned(), ["", "", version])
                    }
                    (Some(name), stage) => {
                        secret(name.to_owned(), ["", stage.unwrap_or_default(), ""])
                    }
                    (None, _) => {
                        // An ARN has no slash of its own there.
                        let is_typed = reference.arn.is_none() && reference.name.starts_with('/');
                        let slash = if is_typed || name.contains('/') {
                            "/"
                        } else {
                            ""
                        };
                        Named::Parameter {
                            name: format!("{slash}{name}"),
                            selector,
                        }
                    }
                }
            }
        }
    }

    /// The secret as `DescribeSecret` accepts it, and the label whose move makes tasks stale; `None` for a parameter and
    /// for what is pinned to a version.
    #[must_use]
    pub fn secret_and_label(&self) -> Option<(String, &str)> {
        match self.named() {
            Named::Secret {
                id,
                stage: "" | AWSPREVIOUS,
                version: "",
                ..
            } => Some((id, AWSCURRENT)),
            Named::Secret {
                id,
                stage,
                version: "",
                ..
            } => Some((id, stage)),
            _ => None,
        }
    }

    /// The ARN, without the fields behind it; `None` for a bare name.
    #[must_use]
    pub fn arn(&self) -> Option<&Arn> {
        match self {
            Self::Secret(SecretReference { arn, .. })
            | Self::Parameter(ParameterReference { arn: Some(arn), .. }) => Some(arn),
            Self::Parameter(_) | Self::SecretName(_) => None,
        }
    }

    /// The Region that it names; `None` for a bare name.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Secret(SecretReference { arn, .. })
            | Self::Parameter(ParameterReference { arn: Some(arn), .. }) => Some(&arn.region),
            Self::Parameter(_) | Self::SecretName(_) => None,
        }
    }

    /// The name of a parameter that is not a secret in disguise, with the slash that a path begins with.
    #[must_use]
    pub fn parameter_name(&self) -> Option<String> {
        match self.named() {
            Named::Parameter {
                name,
                selector: None,
            } => Some(name),
            _ => None,
        }
    }

    /// The ARN, when only AWS can tell whether this is `subject` by partial ARN or another secret by full ARN.
    #[must_use]
    pub fn needs_lookup(&self, subject: &Source) -> Option<String> {
        match (self, subject) {
            (Self::Secret(reference), Source::Secret { arn, .. }) => {
                let id = secret_id(&reference.arn).unwrap_or_default();
                (reference.arn != arn.0 && reference.names(arn) && has_suffix(id))
                    .then(|| reference.arn.to_string())
            }
            _ => None,
        }
    }

    /// The name under which a changed source is looked up: a secret's name or id, or a parameter's
    /// name. [`Reference::follows`] decides.
    #[must_use]
    pub fn lookup_name(&self) -> &str {
        match self {
            Self::Secret(reference) => secret_id(&reference.arn).unwrap_or_default(),
            Self::SecretName(name) => name,
            Self::Parameter(reference) => {
                let name = reference.bare_name();
                name.strip_prefix(SECRET_PARAMETER_PATH).unwrap_or(name)
            }
        }
    }

    /// The same without the JSON key, which no decision depends on.
    #[must_use]
    pub fn without_json_key(mut self) -> Self {
        if let Self::Secret(reference) = &mut self
            && let Some([key, stage, version]) = &mut reference.fields
        {
            key.clear();
            if stage.is_empty() && version.is_empty() {
                reference.fields = None;
            }
        }
        self
    }
}

impl SecretReference {
    /// The same secret: the full ARN, or the ARN without its suffix.
    fn names(&self, secret: &SecretArn) -> bool {
        if self.arn == secret.0 {
            return true;
        }
        let Arn {
            partition,
            service,
            region,
            account,
            resource,
        } = &secret.0;
        self.arn.resource == resource[..resource.len().saturating_sub(SUFFIX_LENGTH)]
            && (
                &self.arn.partition,
                &self.arn.service,
                &self.arn.region,
                &self.arn.account,
            ) == (partition, service, region, account)
    }
}

impl ParameterReference {
    /// The name without a leading slash.
    fn bare_name(&self) -> &str {
        match &self.arn {
            Some(arn) => parameter_name(arn).unwrap_or_default(),
            None => self.name.trim_start_matches('/'),
        }
    }

    /// The selector; an empty one selects nothing, as an empty stage does behind a secret.
    fn selector(&self) -> Option<&str> {
        self.selector
            .as_deref()
            .filter(|selector| !selector.is_empty())
    }

    fn is_at(&self, other: &Arn, location: &Location) -> bool {
        match &self.arn {
            Some(arn) => arn.partition == other.partition && other.is_at(&arn.location()),
            None => other.is_at(location),
        }
    }

    fn names(&self, parameter: &ParameterArn, location: &Location) -> bool {
        self.bare_name() == parameter.bare_name() && self.is_at(&parameter.0, location)
    }

    fn names_secret(&self, secret: &SecretArn, location: &Location) -> bool {
        self.bare_name().strip_prefix(SECRET_PARAMETER_PATH) == Some(secret.name())
            && self.is_at(&secret.0, location)
    }
}

/// Splits a version or label off a parameter's name, which itself cannot hold a colon.
fn split_selector(text: &str) -> (&str, Option<String>) {
    match text.split_once(':') {
        Some((name, selector)) => (name, Some(selector.to_owned())),
        None => (text, None),
    }
}

/// Whether a reference to `stage` reads another version once `label` moved.
/// AWSPREVIOUS moves with AWSCURRENT, and AWS sends an event for the latter only.
fn stage_follows(stage: &str, label: &str) -> bool {
    stage == label || (stage == AWSPREVIOUS && label == AWSCURRENT)
}

/// Whether a selector is a version id, which is a UUID unless a caller chose otherwise, and not a staging label.
fn is_version_id(selector: &str) -> bool {
    let groups: Vec<_> = selector.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(SecretReference { arn, fields, .. }) => {
                write!(f, "{arn}")?;
                fields
                    .iter()
                    .flatten()
                    .try_for_each(|field| write!(f, ":{field}"))
            }
            Self::Parameter(ParameterReference {
                arn,
                name,
                selector,
            }) => {
                arn.iter().try_for_each(|arn| write!(f, "{arn}"))?;
                write!(f, "{name}")?;
                selector
                    .iter()
                    .try_for_each(|selector| write!(f, ":{selector}"))
            }
            Self::SecretName(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
    const PARTIAL: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db";
    const VERSION: &str = "4d383ea9-084a-49c9-8722-cbfb0f25c456";

    fn location() -> Location {
        Location {
            partition: "aws".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
        }
    }

    fn secret(arn: &str, label: &str) -> Source {
        Source::Secret {
            arn: SecretArn::parse(arn).unwrap(),
            label: label.to_owned(),
        }
    }

    fn parameter(name: &str) -> Source {
        let arn = format!("arn:aws:ssm:eu-west-1:123456789012:parameter/{name}");
        Source::Parameter(ParameterArn::parse(&arn).unwrap())
    }

    fn check(value_from: &str, subject: &Source, expected: Follows) {
        let reference = Reference::parse(value_from).unwrap();
        assert_eq!(
            reference.follows(subject, &location()),
            expected,
            "{value_from} after {subject:?}"
        );
    }

    #[test]
    fn a_reference_follows_the_secret_that_it_names() {
        let current = secret(FULL, AWSCURRENT);
        for value_from in [
            FULL.to_owned(),
            PARTIAL.to_owned(),
            format!("{FULL}:::"),
            format!("{FULL}:password::"),
            format!("{PARTIAL}:password::"),
            format!("{FULL}::AWSCURRENT:"),
            format!("{FULL}:password:AWSPREVIOUS:"),
            "/aws/reference/secretsmanager/prod/db".to_owned(),
            "/aws/reference/secretsmanager/prod/db:AWSCURRENT".to_owned(),
            "/aws/reference/secretsmanager/prod/db:AWSPREVIOUS".to_owned(),
            "arn:aws:ssm:eu-west-1:123456789012:parameter/aws/reference/secretsmanager/prod/db"
                .to_owned(),
        ] {
            check(&value_from, &current, Follows::Yes);
        }
    }

    #[test]
    fn a_reference_to_something_else_does_not_follow() {
        let current = secret(FULL, AWSCURRENT);
        for value_from in [
            "prod/db",
            "/prod/db",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/prod/db",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/d",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-ab12cd",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:PROD/db",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd-Ef34Gh",
            "arn:aws:secretsmanager:eu-west-2:123456789012:secret:prod/db",
            "arn:aws:secretsmanager:eu-west-1:210987654321:secret:prod/db",
            "arn:aws-cn:secretsmanager:eu-west-1:123456789012:secret:prod/db",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd::Custom:",
            "/aws/reference/secretsmanager/prod",
            "/aws/reference/secretsmanager/prod/db:Custom",
            "arn:aws:ssm:us-east-1:123456789012:parameter/aws/reference/secretsmanager/prod/db",
        ] {
            check(value_from, &current, Follows::No);
        }
    }

    #[test]
    fn a_reference_with_a_version_id_is_pinned() {
        let current = secret(FULL, AWSCURRENT);
        check(&format!("{FULL}:::{VERSION}"), &current, Follows::Pinned);
        check(
            &format!("{PARTIAL}:password::{VERSION}"),
            &current,
            Follows::Pinned,
        );
        check(
            &format!("/aws/reference/secretsmanager/prod/db:{VERSION}"),
            &current,
            Follows::Pinned,
        );
        check("app/limit:3", &parameter("app/limit"), Follows::Pinned);
    }

    #[test]
    fn a_custom_label_is_followed_by_its_own_move_only() {
        check(
            &format!("{FULL}::Custom:"),
            &secret(FULL, "Custom"),
            Follows::Yes,
        );
        check(
            &format!("{FULL}::AWSPREVIOUS:"),
            &secret(FULL, "Custom"),
            Follows::No,
        );
        check(FULL, &secret(FULL, "Custom"), Follows::No);
    }

    #[test]
    fn a_parameter_is_named_with_or_without_slash_and_arn() {
        for value_from in [
            "/app/limit",
            "app/limit",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit",
        ] {
            check(value_from, &parameter("app/limit"), Follows::Yes);
            check(value_from, &parameter("app/limits"), Follows::No);
        }
        check("limit", &parameter("limit"), Follows::Yes);
        check("/app/limit:prod", &parameter("app/limit"), Follows::No);
        check(
            "arn:aws:ssm:us-east-1:123456789012:parameter/app/limit",
            &parameter("app/limit"),
            Follows::No,
        );
    }

    #[test]
    fn a_name_means_the_secret_of_that_account_and_region() {
        let reference = Reference::parse_secret("prod/db").unwrap();
        assert_eq!(
            reference.follows(&secret(FULL, AWSCURRENT), &location()),
            Follows::Yes
        );
        let elsewhere = Location {
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            ..location()
        };
        assert_eq!(
            reference.follows(&secret(FULL, AWSCURRENT), &elsewhere),
            Follows::No
        );
        assert_eq!(
            reference.follows(&parameter("prod/db"), &location()),
            Follows::No
        );
    }

    #[test]
    fn a_partial_arn_that_looks_full_needs_a_lookup() {
        // A secret named `a-abcdef`, and one named `a` whose suffix is `abcdef`.
        let long = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef-XyZ123";
        let short = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef";
        let mut reference = Reference::parse(short).unwrap();
        assert_eq!(
            reference.needs_lookup(&secret(long, AWSCURRENT)).as_deref(),
            Some(short)
        );
        assert_eq!(
            reference.follows(&secret(long, AWSCURRENT), &location()),
            Follows::Yes
        );
        reference.set_full_arn();
        assert_eq!(
            reference.follows(&secret(long, AWSCURRENT), &location()),
            Follows::No
        );
        assert_eq!(
            reference.follows(&secret(short, AWSCURRENT), &location()),
            Follows::Yes
        );
        assert_eq!(reference.needs_lookup(&secret(short, AWSCURRENT)), None);
        assert_eq!(
            Reference::parse(PARTIAL)
                .unwrap()
                .needs_lookup(&secret(FULL, AWSCURRENT)),
            None
        );
    }

    #[test]
    fn arns_of_every_partition_and_of_managed_secrets_are_secrets() {
        for (arn, name) in [
            (
                "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a-Ab12Cd",
                "a",
            ),
            (
                "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:/a_b+c=d.e@f-Ab12Cd",
                "/a_b+c=d.e@f",
            ),
            (
                "arn:aws-iso-b:secretsmanager:us-isob-east-1:123456789012:secret:a-Ab12Cd",
                "a",
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1234-Ab12Cd",
                "rds!db-1234",
            ),
        ] {
            assert_eq!(
                SecretArn::parse(arn)
                    .map(|arn| arn.name().to_owned())
                    .as_deref(),
                Some(name),
                "{arn}"
            );
        }
        for text in [
            PARTIAL,
            "prod/db",
            "",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:-Ab12Cd",
        ] {
            assert_eq!(SecretArn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_reference_names_its_fields() {
        let secret = |id: &str, [key, stage, version]: [&'static str; 3]| Named::Secret {
            id: id.to_owned(),
            key,
            stage,
            version,
        };
        let parameter = |name: &str, selector| Named::Parameter {
            name: name.to_owned(),
            selector,
        };
        for (value_from, expected) in [
            (FULL.to_owned(), secret(FULL, ["", "", ""])),
            (
                format!("{FULL}:password:AWSPREVIOUS:"),
                secret(FULL, ["password", "AWSPREVIOUS", ""]),
            ),
            (
                format!("{PARTIAL}:::{VERSION}"),
                secret(PARTIAL, ["", "", VERSION]),
            ),
            (
                "/aws/reference/secretsmanager/prod/db".to_owned(),
                secret("prod/db", ["", "", ""]),
            ),
            (
                "/aws/reference/secretsmanager/prod/db:Custom".to_owned(),
                secret("prod/db", ["", "Custom", ""]),
            ),
            (
                format!("/aws/reference/secretsmanager/prod/db:{VERSION}"),
                secret("prod/db", ["", "", VERSION]),
            ),
            ("app/limit".to_owned(), parameter("/app/limit", None)),
            ("limit:3".to_owned(), parameter("limit", Some("3"))),
            (
                "arn:aws:ssm:eu-west-1:123456789012:parameter/limit".to_owned(),
                parameter("limit", None),
            ),
        ] {
            assert_eq!(
                Reference::parse(&value_from).unwrap().named(),
                expected,
                "{value_from}"
            );
        }
        assert_eq!(
            Reference::parse_secret("prod/db").unwrap().named(),
            secret("prod/db", ["", "", ""])
        );
    }

    #[test]
    fn what_ecs_could_not_read_either_is_refused() {
        for (value_from, expected) in [
            ("", InvalidReference::Empty),
            ("/", InvalidReference::Empty),
            (":3", InvalidReference::Empty),
            (
                "arn:aws:ssm:eu-west-1:123456789012:parameter/:3",
                InvalidReference::Empty,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
                InvalidReference::Service,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret::::",
                InvalidReference::Empty,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:key",
                InvalidReference::Fields,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a:b:c:d:e",
                InvalidReference::Fields,
            ),
            ("arn:aws:s3:::bucket", InvalidReference::Arn),
            (
                "arn:aws:sqs:eu-west-1:123456789012:queue",
                InvalidReference::Service,
            ),
            (
                "arn:aws:secretsmanager:eu-west-1:12345:secret:a",
                InvalidReference::Arn,
            ),
            ("arn:aws", InvalidReference::Arn),
        ] {
            assert_eq!(Reference::parse(value_from), Err(expected), "{value_from}");
        }
    }

    #[test]
    fn an_empty_selector_selects_nothing_whoever_asks() {
        let reference = Reference::parse("/aws/reference/secretsmanager/prod/db:").unwrap();
        assert_eq!(
            reference.follows(&secret(FULL, AWSCURRENT), &location()),
            Follows::Yes
        );
        assert_eq!(
            reference.secret_and_label(),
            Some(("prod/db".to_owned(), AWSCURRENT))
        );
        let reference = Reference::parse("/app/limit:").unwrap();
        assert_eq!(
            reference.follows(&parameter("app/limit"), &location()),
            Follows::Yes
        );
        assert_eq!(reference.parameter_name().as_deref(), Some("/app/limit"));
    }

    fn secret_name() -> impl Strategy<Value = String> {
        // Slashes alone name no parameter.
        "[a-zA-Z0-9/_+=.@!-]{0,39}[a-zA-Z0-9_+=.@!-]"
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_the_same(text in ".{0,80}") {
            for reference in [Reference::parse(&text), Reference::parse_secret(&text)].into_iter().flatten() {
                prop_assert_eq!(reference.to_string(), text.clone());
            }
        }

        #[test]
        fn every_reference_of_the_grammar_parses_and_prints_the_same(
            partition in "aws(-[a-z]{2,6})?", name in secret_name(), service in "secretsmanager|ssm",
            fields in proptest::option::of("[a-z]{0,5}:[A-Z]{0,5}:[a-z0-9-]{0,5}"),
        ) {
            let kind = if service == "ssm" { "parameter/" } else { "secret:" };
            let fields = fields.map_or(String::new(), |fields| format!(":{fields}"));
            let text = format!("arn:{partition}:{service}:eu-west-1:123456789012:{kind}{name}{fields}");
            prop_assert_eq!(Reference::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn full_and_partial_arn_follow_their_secret_and_no_other(
            name in secret_name(), other in secret_name(), suffix in "[a-zA-Z0-9]{6}",
        ) {
            let prefix = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";
            let subject = secret(&format!("{prefix}{name}-{suffix}"), AWSCURRENT);
            let follows = |id: &str| Reference::parse(&format!("{prefix}{id}")).unwrap().follows(&subject, &location());
            prop_assert_eq!(follows(&format!("{name}-{suffix}")), Follows::Yes);
            prop_assert_eq!(follows(&name), Follows::Yes);
            if other != name && other != format!("{name}-{suffix}") {
                prop_assert_eq!(follows(&other), Follows::No);
            }
        }
    }

    #[test]
    fn a_full_arn_has_a_name_and_six_letters_or_digits_behind_a_hyphen() {
        let id = |id: &str| {
            SecretArn::parse(&format!(
                "arn:aws:secretsmanager:eu-west-1:123456789012:secret:{id}"
            ))
        };
        assert_eq!(id("a-Ab12Cd").unwrap().name(), "a");
        for other in [
            "a-Ab12C",
            "a-Ab12Cde",
            "a_Ab12Cd",
            "a-Ab12C_",
            "-Ab12Cd",
            "Ab12Cd",
            "a:b-Ab12Cd",
            "",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
        assert_eq!(
            SecretArn::parse("arn:aws:ssm:eu-west-1:123456789012:secret:a-Ab12Cd"),
            None
        );
        assert_eq!(
            SecretArn::parse("arn:aws:secretsmanager:eu-west-1:123456789012:parameter/a-Ab12Cd"),
            None
        );
    }

    #[test]
    fn a_parameters_arn_has_a_name_and_nothing_behind_it() {
        let arn = |resource: &str| {
            ParameterArn::parse(&format!("arn:aws:ssm:eu-west-1:123456789012:{resource}"))
        };
        assert!(arn("parameter/app/limit").is_some());
        assert_eq!(
            arn("parameter//app/limit").unwrap().bare_name(),
            "app/limit"
        );
        for other in [
            "parameter/",
            "parameter//",
            "parameter/app:3",
            "document/app",
        ] {
            assert_eq!(arn(other), None, "{other}");
        }
        assert_eq!(
            ParameterArn::parse("arn:aws:s3:eu-west-1:123456789012:parameter/app"),
            None
        );
    }

    #[test]
    fn a_subject_prints_its_arn_and_knows_its_label_and_its_home() {
        let moved = secret(FULL, "Custom");
        assert_eq!(
            (moved.to_string().as_str(), moved.label(), moved.location()),
            (FULL, Some("Custom"), location())
        );
        let changed = parameter("app/limit");
        assert_eq!((changed.label(), changed.location()), (None, location()));
        assert_eq!(
            changed.to_string(),
            "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit"
        );
        assert_eq!(SecretArn::parse(FULL).unwrap().to_string(), FULL);
    }

    #[test]
    fn a_person_names_a_secret_without_spaces_or_anything_by_arn() {
        assert_eq!(Reference::parse_secret(""), Err(InvalidReference::Empty));
        for spaced in ["a b", " a", "a\t"] {
            assert_eq!(Reference::parse_secret(spaced), Err(InvalidReference::Name));
        }
        assert_eq!(
            Reference::parse_secret("/a"),
            Ok(Reference::SecretName("/a".to_owned()))
        );
        let spaced = format!("{PARTIAL} b");
        for arn in [
            FULL,
            PARTIAL,
            &spaced,
            "arn:aws:ssm:eu-west-1:123456789012:parameter/a",
        ] {
            assert_eq!(Reference::parse_secret(arn), Reference::parse(arn));
        }
    }

    #[test]
    fn what_a_sweep_asks_about_is_the_secret_and_the_label_that_moves() {
        let asks = |text: &str| {
            Reference::parse(text)
                .unwrap()
                .secret_and_label()
                .map(|(id, l)| (id, l.to_owned()))
        };
        let about = |id: &str, label: &str| Some((id.to_owned(), label.to_owned()));
        assert_eq!(asks(PARTIAL), about(PARTIAL, AWSCURRENT));
        assert_eq!(asks(&format!("{FULL}:key::")), about(FULL, AWSCURRENT));
        assert_eq!(
            asks(&format!("{FULL}::AWSPREVIOUS:")),
            about(FULL, AWSCURRENT)
        );
        assert_eq!(asks(&format!("{FULL}::Custom:")), about(FULL, "Custom"));
        assert_eq!(asks(&format!("{FULL}::Custom:{VERSION}")), None);
        assert_eq!(
            asks("/aws/reference/secretsmanager/prod/db"),
            about("prod/db", AWSCURRENT)
        );
        assert_eq!(
            asks("/aws/reference/secretsmanager/prod/db:Custom"),
            about("prod/db", "Custom")
        );
        assert_eq!(
            asks(&format!("/aws/reference/secretsmanager/prod/db:{VERSION}")),
            None
        );
        assert_eq!(asks("/prod/db"), None);
        let named = Reference::parse_secret("prod/db").unwrap();
        assert_eq!(
            named.secret_and_label(),
            Some(("prod/db".to_owned(), AWSCURRENT))
        );
    }

    #[test]
    fn a_sweep_asks_about_parameters_that_are_no_secrets_and_not_pinned() {
        let name = |text: &str| Reference::parse(text).unwrap().parameter_name();
        assert_eq!(name("limit").as_deref(), Some("limit"));
        assert_eq!(name("app/limit").as_deref(), Some("/app/limit"));
        assert_eq!(
            name("arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit").as_deref(),
            Some("/app/limit")
        );
        assert_eq!(name("app/limit:3"), None);
        assert_eq!(name("/aws/reference/secretsmanager/prod/db"), None);
        assert_eq!(name(FULL), None);
    }

    #[test]
    fn an_arn_names_its_region_and_a_name_does_not() {
        let region = |text: &str| Reference::parse(text).unwrap().region().map(str::to_owned);
        assert_eq!(region(FULL).as_deref(), Some("eu-west-1"));
        assert_eq!(
            region("arn:aws:ssm:eu-west-1:123456789012:parameter/a").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(region("a"), None);
        assert_eq!(Reference::parse_secret("a").unwrap().region(), None);
    }

    #[test]
    fn only_a_uuid_is_taken_for_a_version_id() {
        assert!(is_version_id(VERSION));
        for label in [
            "AWSCURRENT",
            "4d383ea9-084a-49c9-8722-cbfb0f25c45",
            "4d383ea9-084a-49c9-8722-cbfb0f25c45g",
        ] {
            assert!(!is_version_id(label), "{label}");
        }
        assert!(!is_version_id("4d383ea9084a49c98722cbfb0f25c456"));
    }
}
