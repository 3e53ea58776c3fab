//! What a reference names, as AWS can be asked about it.

use super::{Reference, SECRET_PARAMETER_PATH, SecretReference, is_version_id};
use crate::change::{AWSCURRENT, AWSPREVIOUS};

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

impl Reference {
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
}
