//! Whatever text a task definition, a tag or a person has: nothing panics, printing gives the text back, and a
//! reference follows exactly the changes that a second, simpler reading of the rules says.
//!
//! Input, by line: the text, the name of one secret, that of another, and the label that moves.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use redeploy_core::arn::{Arn, Location};
use redeploy_core::arn::{ParameterArn, SecretArn};
use redeploy_core::change::{AWSCURRENT, AWSPREVIOUS, Source};
use redeploy_core::facts::Followed;
use redeploy_core::reference::{Follows, Reference};
use redeploy_core::tag::{Participation, SecretTag, ServiceTag};

const SECRETS: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";
const PARAMETERS: &str = "arn:aws:ssm:eu-west-1:123456789012:parameter";

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(data) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let mut lines = data.split('\n');
    let text = lines.next().unwrap_or_default();
    let names = [(lines.next(), "Ab12Cd"), (lines.next(), "Ef34Gh")];
    let label = lines
        .next()
        .filter(|label| !label.is_empty())
        .unwrap_or(AWSCURRENT);
    let secrets: Vec<_> = names
        .into_iter()
        .filter_map(|(name, suffix)| Some((name.filter(|name| is_secret_name(name))?, suffix)))
        .collect();

    if let Some(arn) = Arn::parse(text) {
        assert_eq!(arn.to_string(), text);
    }
    if let Some(arn) = Reference::in_credential_spec(text) {
        let of = |kind: &str| text == format!("{kind}:{arn}");
        assert!(of("credentialspec") || of("credentialspecdomainless"));
        assert!(["ssm", "secretsmanager"].contains(&arn.split(':').nth(2).unwrap()));
    }
    check_tag(text);
    let parsed = Reference::parse(text);
    if let Ok(reference) = &parsed {
        for (name, suffix) in &secrets {
            let expected = expected(text, name, suffix, label);
            assert_eq!(
                reference.follows(&secret(name, suffix, label), &home()),
                expected,
                "{name}-{suffix}"
            );
        }
        check(reference, text, &secrets, label);
    }
    match (Reference::parse_secret(text), parsed) {
        (Ok(Reference::SecretName(name)), _) => {
            assert_eq!(name, text);
            for (name, suffix) in &secrets {
                let follows = Reference::SecretName(text.to_owned())
                    .follows(&secret(name, suffix, label), &home());
                assert_eq!(
                    follows == Follows::Yes,
                    text == *name && label == AWSCURRENT
                );
            }
            check(&Reference::SecretName(name), text, &secrets, label);
        }
        // What both read, both read alike.
        (Ok(reference), parsed) => assert_eq!(Ok(reference), parsed),
        (Err(error), _) => assert!(!error.to_string().is_empty()),
    }
    Corpus::Keep
});

/// The words of a tag: each counts once, in any case, and what means nothing is a warning.
fn check_tag(text: &str) {
    let tag = ServiceTag::parse(text);
    let words: Vec<_> = text.split_whitespace().collect();
    let is = |known: &[&str], word: &&&str| known.iter().any(|one| word.eq_ignore_ascii_case(one));
    let known = ["auto", "notify", "ignore", "first"];
    let others = words.iter().filter(|word| !is(&known, word)).count();
    assert_eq!(tag.names.len() + tag.switches.len(), others);
    assert_eq!(tag.is_first, words.iter().any(|word| is(&["first"], &word)));
    let is_ignored = tag.participation == Some(Participation::Ignore);
    assert_eq!(is_ignored, words.iter().any(|word| is(&["ignore"], &word)));
    let upper = text.to_ascii_uppercase();
    let in_capitals = ServiceTag::parse(&upper);
    assert_eq!(in_capitals.participation, tag.participation);
    for are_looked_up in [false, true] {
        let (named, warnings) = tag.references("prod/api", are_looked_up);
        assert_eq!(named.len() + warnings.len(), others);
        assert!(warnings.iter().all(|warning| warning.contains("prod/api")));
    }
    let (secret, wrong) = SecretTag::parse(text);
    assert_eq!(secret.is_ignored, is_ignored);
    let known = words.iter().filter(|word| is(&["ignore", "urgent"], word));
    assert_eq!(wrong.len(), words.len() - known.count());
}

fn home() -> Location {
    Location {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
    }
}

fn secret(name: &str, suffix: &str, label: &str) -> Source {
    let arn = SecretArn::parse(&format!("{SECRETS}{name}-{suffix}")).unwrap();
    assert_eq!(arn.name(), name);
    Source::Secret {
        arn,
        label: label.to_owned(),
    }
}

/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html>
fn is_secret_name(name: &str) -> bool {
    (1..=512).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_+=.@!-".contains(&b))
}

/// The rules once more, by text alone: what the references to one secret look like.
fn expected(text: &str, name: &str, suffix: &str, label: &str) -> Follows {
    let moves_with = |stage: &str| {
        let stage = if stage.is_empty() { AWSCURRENT } else { stage };
        if stage == label || stage == AWSPREVIOUS && label == AWSCURRENT {
            Follows::Yes
        } else {
            Follows::No
        }
    };
    for id in [
        format!("{SECRETS}{name}-{suffix}"),
        format!("{SECRETS}{name}"),
    ] {
        match text.strip_prefix(&id) {
            Some("") => return moves_with(""),
            Some(fields) if fields.starts_with(':') => {
                let fields: Vec<_> = fields[1..].split(':').collect();
                return if fields[2].is_empty() {
                    moves_with(fields[1])
                } else {
                    Follows::Pinned
                };
            }
            _ => {}
        }
    }
    let path = match text.strip_prefix(PARAMETERS) {
        Some(path) if !path.starts_with('/') => return Follows::No,
        Some(path) => path,
        None => text,
    };
    match path
        .trim_start_matches('/')
        .strip_prefix("aws/reference/secretsmanager/")
        .and_then(|p| p.strip_prefix(name))
    {
        Some("") => moves_with(""),
        Some(selector) if selector.starts_with(':') => {
            let selector = &selector[1..];
            let hexadecimal = selector.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
            let hyphens: Vec<_> = selector.match_indices('-').map(|(at, _)| at).collect();
            if selector.len() == 36 && hexadecimal && hyphens == [8, 13, 18, 23] {
                Follows::Pinned
            } else {
                moves_with(selector)
            }
        }
        _ => Follows::No,
    }
}

fn check(reference: &Reference, text: &str, secrets: &[(&str, &str)], label: &str) {
    assert_eq!(reference.to_string(), text);
    if let (Some(_), Ok(_)) = (reference.arn(), Reference::parse(text)) {
        let spec = format!("credentialspec:{text}");
        assert_eq!(Reference::in_credential_spec(&spec), Some(text));
    }
    let follows = |reference: &Reference, subject: &Source| {
        reference.follows(subject, &home()) != Follows::No
    };

    let subjects: Vec<_> = secrets
        .iter()
        .map(|(name, suffix)| secret(name, suffix, label))
        .collect();
    for subject in &subjects {
        let region = reference
            .region()
            .is_none_or(|region| region == subject.location().region);
        assert!(
            region || !follows(reference, subject),
            "a reference stays in its Region"
        );
        let elsewhere = Location {
            region: "us-east-1".to_owned(),
            ..home()
        };
        if reference.region().is_none() {
            assert_eq!(
                reference.follows(subject, &elsewhere),
                Follows::No,
                "a bare name is of the service's Region"
            );
        }
        if follows(reference, subject) {
            let names = subject.lookup_names();
            assert!(
                names.contains(&reference.lookup_name()),
                "whoever follows is found by name"
            );
        }
    }
    for subject in &subjects {
        check_replica(reference, subject);
    }
    let shorter = reference.clone().without_json_key();
    for subject in &subjects {
        assert_eq!(
            shorter.follows(subject, &home()),
            reference.follows(subject, &home())
        );
    }
    check_followed(reference);
    if let [one, other] = &subjects[..] {
        // No two secrets of an account and Region have one name, so there is one at most that a reference can mean;
        // what may be the partial ARN of the one and the full ARN of the other is left to AWS.
        let both =
            secrets[0].0 != secrets[1].0 && follows(reference, one) && follows(reference, other);
        assert!(
            !both
                || reference
                    .needs_lookup(one)
                    .or(reference.needs_lookup(other))
                    .is_some()
        );
    }

    if let Some((id, label)) = reference.secret_and_label() {
        let region = reference.region().unwrap_or("eu-west-1");
        let arn = match Arn::parse(&id) {
            Some(_) => format!("{id}-Ab12Cd"),
            None => match Arn::parse(text) {
                Some(Arn {
                    partition, account, ..
                }) => {
                    format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{id}-Ab12Cd")
                }
                None => format!("{SECRETS}{id}-Ab12Cd"),
            },
        };
        let subject = SecretArn::parse(&arn).map(|arn| Source::Secret {
            arn,
            label: label.to_owned(),
        });
        if let Some(subject) = subject {
            assert_eq!(
                reference.follows(&subject, &home()),
                Follows::Yes,
                "a sweep asks about what is followed"
            );
        }
    }

    if let Some(name) = reference.parameter_name() {
        let arn = match Arn::parse(text.trim_end_matches(':')) {
            Some(arn) => arn.to_string(),
            None => format!("{PARAMETERS}/{}", name.trim_start_matches('/')),
        };
        let subject = Source::Parameter(ParameterArn::parse(&arn).unwrap());
        assert_eq!(
            reference.follows(&subject, &home()),
            Follows::Yes,
            "a sweep asks about what is followed"
        );
    }
}

/// A reference means the replica of a secret where it follows the secret that has the replica's ARN.
fn check_replica(reference: &Reference, replica: &Source) {
    let primary = replica
        .to_string()
        .replacen(":eu-west-1:", ":us-east-1:", 1);
    let Some(arn) = SecretArn::parse(&primary) else {
        return;
    };
    let label = replica.label().unwrap().to_owned();
    let primary = Source::Secret { arn, label };
    let follows = reference.follows(replica, &home()) == Follows::Yes;
    let meant = reference.replica_of(&primary, Some(&home()));
    assert_eq!(meant, follows.then(|| replica.clone()));
    // Nobody knows yet where the service lives.
    let by_arn = reference.replica_of(&primary, None);
    let is_named = reference.region() == Some("eu-west-1") && follows;
    assert_eq!(by_arn.as_ref() == Some(replica), is_named);
    assert_eq!(reference.replica_of(replica, Some(&home())), None);
}

/// What a sweep asks about a parameter is followed.
fn check_followed(reference: &Reference) {
    if let Some((followed, label)) = Followed::of(reference, &home()) {
        let parameter = followed.parameter_arn();
        assert_eq!(
            parameter.is_some(),
            label.is_empty() && reference.parameter_name().is_some()
        );
        if let Some(arn) = parameter {
            let source = Source::Parameter(arn);
            assert_eq!(reference.follows(&source, &source.location()), Follows::Yes);
        }
    }
}
