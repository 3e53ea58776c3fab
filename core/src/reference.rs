//! What a task definition, a tag or the configuration names ([`Reference`]).
//!
//! Everything is parsed into fields before it is compared. No comparison is made by prefix, and
//! nothing is cut from both sides, because two secrets named `a` and `a-abcdef` exist side by side.

use std::fmt;

use crate::arn::{
    Arn, Location, ParameterArn, SUFFIX_LENGTH, SecretArn, has_suffix, parameter_name, secret_id,
};
use crate::change::{AWSCURRENT, AWSPREVIOUS, Source};

mod named;
pub use named::Named;

/// The path under which Parameter Store passes a read on to Secrets Manager, without its leading slash
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html>).
const SECRET_PARAMETER_PATH: &str = "aws/reference/secretsmanager/";

/// How a reference stands to a change.
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

    /// The ARN in a gMSA credential specification; `None` for one that is in a file or in S3, and for
    /// any other security option
    /// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/linux-gmsa.html>).
    #[must_use]
    pub fn in_credential_spec(text: &str) -> Option<&str> {
        let (kind, arn) = text.split_once(':')?;
        let is_spec = ["credentialspec", "credentialspecdomainless"].contains(&kind);
        let service = arn.strip_prefix("arn:")?.split(':').nth(1)?;
        (is_spec && ["ssm", "secretsmanager"].contains(&service)).then_some(arn)
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
mod tests;
