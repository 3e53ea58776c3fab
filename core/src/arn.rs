//! Amazon Resource Names: their six fields, and those of secrets and parameters.

use std::fmt;

/// An ARN, split at its first five colons.
///
/// Shape: `arn:<partition>:<service>:<region>:<account>:<resource>`, where only the resource may hold further colons
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso`, …
    pub partition: String,
    /// The service's name space, such as `secretsmanager`.
    pub service: String,
    /// The Region, such as `eu-west-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// Everything behind the fifth colon.
    pub resource: String,
}

/// Where a bare name is to be looked up: a name means the resource of that name in one account and Region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The partition that the Region belongs to.
    pub partition: String,
    /// The Region.
    pub region: String,
    /// The account.
    pub account: String,
}

impl Arn {
    /// Splits `text`, or says `None` when it has not the six fields of a regional resource's ARN.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(6, ':');
        let scheme = fields.next()?;
        let mut field = || fields.next().map(str::to_owned);
        let arn = Self {
            partition: field()?,
            service: field()?,
            region: field()?,
            account: field()?,
            resource: field()?,
        };
        let named = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let valid = scheme == "arn"
            && (arn.partition == "aws" || arn.partition.starts_with("aws-"))
            && [&arn.partition, &arn.service, &arn.region]
                .iter()
                .all(|part| named(part))
            && arn.account.len() == 12
            && arn.account.bytes().all(|b| b.is_ascii_digit())
            && !arn.resource.is_empty();
        valid.then_some(arn)
    }

    /// The account and Region that the resource lives in.
    #[must_use]
    pub fn location(&self) -> Location {
        Location {
            partition: self.partition.clone(),
            region: self.region.clone(),
            account: self.account.clone(),
        }
    }

    /// Whether the resource lives there.
    #[must_use]
    pub fn is_at(&self, location: &Location) -> bool {
        self.region == location.region && self.account == location.account
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// The full ARN of a secret, as AWS itself wrote it.
///
/// Shape: `arn:<partition>:secretsmanager:<region>:<account>:secret:<name>-<six letters or digits>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretArn(pub(crate) Arn);

impl SecretArn {
    /// Reads a full ARN; `None` for anything else, a partial ARN included.
    ///
    /// The partial ARN of a secret whose name ends in a hyphen and six characters has the same shape and is accepted,
    /// so the text must come from AWS and not from a person.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let arn = Arn::parse(text)?;
        let id = secret_id(&arn)?;
        (!id.contains(':') && has_suffix(id)).then_some(Self(arn))
    }

    /// The secret's name: the ARN's last field without the hyphen and six characters that AWS appended.
    #[must_use]
    pub fn name(&self) -> &str {
        let id = secret_id(&self.0).unwrap_or_default();
        &id[..id.len().saturating_sub(SUFFIX_LENGTH)]
    }
}

/// A hyphen and six characters.
pub(crate) const SUFFIX_LENGTH: usize = 7;

/// Whether a secret's id ends as AWS ends them all, with a non-empty name before it.
pub(crate) fn has_suffix(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() > SUFFIX_LENGTH
        && bytes[bytes.len() - SUFFIX_LENGTH] == b'-'
        && bytes[bytes.len() - SUFFIX_LENGTH + 1..]
            .iter()
            .all(u8::is_ascii_alphanumeric)
}

/// The name in an id that ends as AWS ends them all.
pub(crate) fn without_suffix(id: &str) -> Option<&str> {
    has_suffix(id).then(|| &id[..id.len() - SUFFIX_LENGTH])
}

/// The part of a secret's ARN behind `secret:`, with whatever follows it.
pub(crate) fn secret_id(arn: &Arn) -> Option<&str> {
    let id = arn.resource.strip_prefix("secret:")?;
    (arn.service == "secretsmanager" && !id.is_empty()).then_some(id)
}

/// The ARN of a Systems Manager parameter: `arn:<partition>:ssm:<region>:<account>:parameter/<name>`.
///
/// The leading slash of a hierarchical name and the slash of the ARN are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterArn(pub(crate) Arn);

impl ParameterArn {
    /// Reads a parameter's ARN, without a version or label behind it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let arn = Arn::parse(text)?;
        let name = parameter_name(&arn)?;
        (!name.contains(':')).then_some(Self(arn))
    }

    /// The name without a leading slash.
    pub(crate) fn bare_name(&self) -> &str {
        parameter_name(&self.0).unwrap_or_default()
    }
}

/// The part of a parameter's ARN behind `parameter/`.
pub(crate) fn parameter_name(arn: &Arn) -> Option<&str> {
    let name = arn
        .resource
        .strip_prefix("parameter/")?
        .trim_start_matches('/');
    (arn.service == "ssm" && !name.is_empty()).then_some(name)
}

impl fmt::Display for SecretArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_six_fields_of_which_only_the_last_may_hold_a_colon() {
        let text = "arn:aws-us-gov:ecs:us-gov-west-1:123456789012:service/prod/api:7";
        let arn = Arn::parse(text).unwrap();
        assert_eq!(
            (arn.service.as_str(), arn.resource.as_str()),
            ("ecs", "service/prod/api:7")
        );
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn a_field_that_is_empty_or_of_other_characters_makes_no_arn() {
        for text in [
            "arn:aws:ecs:eu-west-1:123456789012",
            "urn:aws:ecs:eu-west-1:123456789012:a",
            "arn:azure:ecs:eu-west-1:123456789012:a",
            "arn:aws-:ecs::123456789012:a",
            "arn:aws-c_n:ecs:eu-west-1:123456789012:a",
            "arn:aws::eu-west-1:123456789012:a",
            "arn:aws:e s:eu-west-1:123456789012:a",
            "arn:aws:ecs:eu/west:123456789012:a",
            "arn:aws:ecs:eu-west-1:12345678901:a",
            "arn:aws:ecs:eu-west-1:1234567890123:a",
            "arn:aws:ecs:eu-west-1:12345678901x:a",
            "arn:aws:ecs:eu-west-1:123456789012:",
        ] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_home_is_both_account_and_region() {
        let arn = Arn::parse("arn:aws:ecs:eu-west-1:123456789012:cluster/prod").unwrap();
        let location = Location {
            partition: "aws".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
        };
        assert_eq!(arn.location(), location);
        assert!(arn.is_at(&location));
        assert!(!arn.is_at(&Location {
            region: "eu-west-2".to_owned(),
            ..location.clone()
        }));
        assert!(!arn.is_at(&Location {
            account: "210987654321".to_owned(),
            ..location
        }));
    }
}
