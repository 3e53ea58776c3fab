//! The six fields of an Amazon Resource Name. Pure.

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
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
    pub fn home(&self) -> Location {
        Location {
            region: self.region.clone(),
            account: self.account.clone(),
        }
    }

    /// Whether the resource lives there.
    #[must_use]
    pub fn is_at(&self, home: &Location) -> bool {
        self.region == home.region && self.account == home.account
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
        let home = Location {
            region: "eu-west-1".to_owned(),
            account: "123456789012".to_owned(),
        };
        assert_eq!(arn.home(), home);
        assert!(arn.is_at(&home));
        assert!(!arn.is_at(&Location {
            region: "eu-west-2".to_owned(),
            ..home.clone()
        }));
        assert!(!arn.is_at(&Location {
            account: "210987654321".to_owned(),
            ..home
        }));
    }
}
