//! The words of our tag, on services and on secrets.

use crate::reference::Reference;

/// What a service without a word of its own gets, and the words for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Participation {
    /// It is redeployed.
    #[default]
    Auto,
    /// It is reported as stale, and left alone.
    Notify,
    /// It is left alone.
    Ignore,
}

impl Participation {
    /// All of them, by their words.
    pub const WORDS: [(&str, Self); 3] = [
        ("auto", Self::Auto),
        ("notify", Self::Notify),
        ("ignore", Self::Ignore),
    ];

    fn of(word: &str) -> Option<Self> {
        let named = Self::WORDS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name));
        named.map(|(_, participation)| *participation)
    }
}

/// The word that lets a service go before the others.
const FIRST: &str = "first";
/// The word that lets the change of a secret through a freeze.
const URGENT: &str = "urgent";
/// Words that look like a switch, and name neither a secret nor what to do.
const SWITCHES: [&str; 9] = [
    "true", "false", "on", "off", "yes", "no", "none", "enabled", "disabled",
];

/// What the tag of a service says. Its words are separated by spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTag<'a> {
    /// Whether the service takes part: `ignore` before `notify` before `auto`.
    pub participation: Option<Participation>,
    /// Whether it goes before the others.
    pub is_first: bool,
    /// Words that can be names of secrets.
    pub names: Vec<&'a str>,
    /// Words that look like a switch.
    pub switches: Vec<&'a str>,
}

impl<'a> ServiceTag<'a> {
    /// Reads the value of the tag.
    #[must_use]
    pub fn parse(value: &'a str) -> Self {
        let mut tag = Self::default();
        for word in value.split_whitespace() {
            if let Some(participation) = Participation::of(word) {
                tag.participation = tag.participation.max(Some(participation));
            } else if word.eq_ignore_ascii_case(FIRST) {
                tag.is_first = true;
            } else if SWITCHES
                .iter()
                .any(|switch| word.eq_ignore_ascii_case(switch))
            {
                tag.switches.push(word);
            } else {
                tag.names.push(word);
            }
        }
        tag
    }

    /// The secrets that it names, where names are looked up, and what in it means nothing, in
    /// sentences about this service.
    #[must_use]
    pub fn references(&self, service: &str, are_looked_up: bool) -> (Vec<Reference>, Vec<String>) {
        let (mut named, mut warnings) = (Vec::new(), Vec::new());
        let meaningless = |word: &&str| {
            format!(
                "the tag of {service} has the word {word:?}, which means nothing there: use auto, \
                 notify, ignore or first"
            )
        };
        warnings.extend(self.switches.iter().map(meaningless));
        if !are_looked_up {
            warnings.extend(self.names.iter().map(meaningless));
            return (named, warnings);
        }
        for word in &self.names {
            match Reference::parse_secret(word) {
                Ok(reference) => named.push(reference),
                Err(error) => warnings.push(format!(
                    "the tag of {service} names {word:?}, which is no secret: {error}"
                )),
            }
        }
        (named, warnings)
    }
}

/// What the tag of a secret says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretTag {
    /// Nothing is redeployed for the secret.
    pub is_ignored: bool,
    /// Its changes go through a freeze.
    pub is_urgent: bool,
}

impl SecretTag {
    /// Reads the value of the tag; also the words that mean nothing.
    #[must_use]
    pub fn parse(value: &str) -> (Self, Vec<&str>) {
        let (mut tag, mut wrong) = (Self::default(), Vec::new());
        for word in value.split_whitespace() {
            if Participation::of(word) == Some(Participation::Ignore) {
                tag.is_ignored = true;
            } else if word.eq_ignore_ascii_case(URGENT) {
                tag.is_urgent = true;
            } else {
                wrong.push(word);
            }
        }
        (tag, wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_word_counts_in_any_case_and_order() {
        for (value, participation) in [
            ("", None),
            ("auto", Some(Participation::Auto)),
            ("auto Notify", Some(Participation::Notify)),
            ("NOTIFY auto", Some(Participation::Notify)),
            (" Ignore\tnotify ", Some(Participation::Ignore)),
            ("ignored", None),
        ] {
            let tag = ServiceTag::parse(value);
            assert_eq!(tag.participation, participation, "{value:?}");
            assert!(!tag.is_first);
        }
    }

    #[test]
    fn other_words_are_names_but_for_switches() {
        let tag = ServiceTag::parse("First prod/db OFF arn:x ignore");
        assert!(tag.is_first);
        assert_eq!(tag.names, ["prod/db", "arn:x"]);
        assert_eq!(tag.switches, ["OFF"]);
        for switch in SWITCHES {
            assert_eq!(ServiceTag::parse(switch).switches, [switch]);
        }
    }

    #[test]
    fn a_word_that_means_nothing_is_a_warning_that_names_the_service() {
        let references = |tag: &str, are_looked_up| {
            let (named, warnings) = ServiceTag::parse(tag).references("prod/api", are_looked_up);
            (named.len(), warnings)
        };
        assert_eq!(references("first prod/db ignore", true), (1, vec![]));
        assert_eq!(references("auto", false), (0, vec![]));
        let off = "the tag of prod/api has the word \"Off\", which means nothing there: use auto, \
                   notify, ignore or first";
        assert_eq!(references("Off prod/db", true), (1, vec![off.to_owned()]));
        assert_eq!(references("Off", false), (0, vec![off.to_owned()]));
        let (named, warnings) = references("prod/db", false);
        assert_eq!(named, 0);
        assert!(warnings[0].contains("\"prod/db\""), "{warnings:?}");
        let (named, warnings) = references("arn:aws:s3:::x", true);
        assert_eq!(named, 0);
        assert!(warnings[0].contains("is no secret"), "{warnings:?}");
    }

    #[test]
    fn a_secret_is_ignored_or_urgent() {
        let tag = |is_ignored, is_urgent| SecretTag {
            is_ignored,
            is_urgent,
        };
        assert_eq!(SecretTag::parse(""), (tag(false, false), vec![]));
        assert_eq!(SecretTag::parse("IGNORE"), (tag(true, false), vec![]));
        assert_eq!(
            SecretTag::parse("Urgent first"),
            (tag(false, true), vec!["first"])
        );
    }
}
