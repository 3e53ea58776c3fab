//! Which names of secrets and parameters are meant: `prod/*,!prod/mesh-*`.

use wildmatch::WildMatchPattern;

use crate::arn::without_suffix;
use crate::change::Source;

/// A name with `*` for any number of characters, `/` among them. Case counts.
type Pattern = WildMatchPattern<'*', '\0'>;

/// The secrets and parameters that take part; all of them by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamePatterns {
    included: Vec<Pattern>,
    excluded: Vec<Pattern>,
}

impl NamePatterns {
    /// All of them.
    pub const ALL: Self = Self {
        included: Vec::new(),
        excluded: Vec::new(),
    };

    /// Reads patterns of which `!` before one excludes; `None` where one cannot be a name.
    #[must_use]
    pub fn parse(patterns: &[&str]) -> Option<Self> {
        let mut parsed = Self::default();
        for pattern in patterns {
            let (list, name) = match pattern.strip_prefix('!') {
                Some(name) => (&mut parsed.excluded, name),
                None => (&mut parsed.included, *pattern),
            };
            // What Secrets Manager and Parameter Store accept, and `!` of managed secrets.
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-!*".contains(c);
            if name.is_empty() || !name.chars().all(is_allowed) {
                return None;
            }
            list.push(Pattern::new(name));
        }
        Some(parsed)
    }

    /// Whether a name is meant. An exclusion wins; exclusions alone mean all others.
    #[must_use]
    pub fn include(&self, name: &str) -> bool {
        self.include_any(&[name])
    }

    /// The same for something that goes by several names.
    fn include_any(&self, names: &[&str]) -> bool {
        let matches = |patterns: &[Pattern]| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| names.iter().any(|name| pattern.matches(name)))
        };
        !matches(&self.excluded) && (self.included.is_empty() || matches(&self.included))
    }

    /// Whether the source of a change is meant.
    #[must_use]
    pub fn include_source(&self, source: &Source) -> bool {
        match source {
            Source::Secret { arn, .. } => self.include(arn.name()),
            Source::Parameter(arn) => self.include_parameter(arn.bare_name()),
        }
    }

    /// Whether a parameter is meant. An ARN does not say whether a name without a path begins with a
    /// slash, so both spellings count.
    #[must_use]
    pub fn include_parameter(&self, name: &str) -> bool {
        let bare = name.trim_start_matches('/');
        let slashed = format!("/{bare}");
        if bare.contains('/') {
            self.include(&slashed)
        } else {
            self.include_any(&[bare, &slashed])
        }
    }

    /// Whether the secret may be meant that a name, an ARN or a partial ARN names.
    #[must_use]
    pub fn may_include(&self, secret_id: &str) -> bool {
        let name = match secret_id.split_once(":secret:") {
            Some((arn, name)) if arn.starts_with("arn:") => name,
            _ => return self.include(secret_id),
        };
        // Only AWS knows whether an ARN that ends like a full one is a partial one.
        self.include(name) || without_suffix(name).is_some_and(|name| self.include(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DB, LIMIT, source};

    fn patterns(patterns: &[&str]) -> NamePatterns {
        NamePatterns::parse(patterns).unwrap()
    }

    #[test]
    fn an_exclusion_wins_whatever_the_order() {
        for order in [["prod/*", "!prod/mesh-*"], ["!prod/mesh-*", "prod/*"]] {
            let patterns = patterns(&order);
            assert!(patterns.include("prod/db"));
            assert!(!patterns.include("prod/mesh-a"));
            assert!(!patterns.include("stage/db"));
        }
    }

    #[test]
    fn without_inclusions_all_others_are_meant() {
        assert!(patterns(&[]).include("prod/db"));
        let patterns = patterns(&["!rds!*"]);
        assert!(patterns.include("prod/db"));
        assert!(!patterns.include("rds!cluster-1"));
    }

    #[test]
    fn a_star_crosses_slashes_and_case_counts() {
        let patterns = patterns(&["prod/*/db"]);
        assert!(patterns.include("prod/a/b/db"));
        assert!(!patterns.include("Prod/a/db"));
        assert!(!patterns.include("prod/a/db2"));
    }

    #[test]
    fn a_source_is_matched_by_its_name() {
        assert!(patterns(&["prod/db"]).include_source(&source(DB)));
        assert!(!patterns(&["prod/db-Ab12Cd"]).include_source(&source(DB)));
        assert!(patterns(&["/app/*"]).include_source(&source(LIMIT)));
        assert!(!patterns(&["app/*"]).include_source(&source(LIMIT)));
        let plain = source("arn:aws:ssm:eu-west-1:123456789012:parameter/limit");
        for spelling in ["limit", "/limit"] {
            assert!(patterns(&[spelling]).include_source(&plain));
            let excluded = patterns(&[&format!("!{spelling}")]);
            assert!(!excluded.include_source(&plain));
            assert!(!excluded.include_parameter("limit") && !excluded.include_parameter("/limit"));
        }
        assert!(!patterns(&["other"]).include_source(&plain));
    }

    #[test]
    fn an_arn_that_may_be_partial_is_left_out_only_if_both_names_are() {
        let only = patterns(&["prod/db"]);
        assert!(only.may_include("prod/db") && only.may_include(DB));
        assert!(only.may_include("arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db"));
        assert!(!only.may_include("prod/mail"));
        let long = patterns(&["prod/db-Ab12Cd"]);
        assert!(long.may_include(DB));
    }

    #[test]
    fn what_cannot_be_a_name_is_no_pattern() {
        for wrong in ["", "!", "prod db", "prod/{a,b}", "prod?", "a:b"] {
            assert_eq!(NamePatterns::parse(&[wrong]), None, "{wrong:?}");
        }
    }
}
