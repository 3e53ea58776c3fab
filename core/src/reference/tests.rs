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
    let reference = Reference::parse(short).unwrap();
    assert_eq!(
        reference.needs_lookup(&secret(long, AWSCURRENT)).as_deref(),
        Some(short)
    );
    assert_eq!(
        reference.follows(&secret(long, AWSCURRENT), &location()),
        Follows::Yes
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

#[test]
fn a_credential_specification_may_name_a_parameter_or_a_secret() {
    let parameter = "arn:aws:ssm:eu-west-1:123456789012:parameter/gmsa/spec";
    for arn in [parameter, FULL] {
        for kind in ["credentialspec", "credentialspecdomainless"] {
            let text = format!("{kind}:{arn}");
            assert_eq!(Reference::in_credential_spec(&text), Some(arn), "{text}");
        }
    }
    for text in [
        "credentialspec:file://gmsa.json",
        "credentialspec:arn:aws:s3:::bucket/gmsa.json",
        "credentialspec",
        "no-new-privileges",
        "label:user:app",
        parameter,
        &format!("apparmor:{parameter}"),
    ] {
        assert_eq!(Reference::in_credential_spec(text), None, "{text}");
    }
}

#[test]
fn a_reference_has_the_arn_that_it_names_and_can_do_without_its_json_key() {
    let parse = |value_from: &str| Reference::parse(value_from).unwrap();
    let arn = |value_from: &str| parse(value_from).arn().map(ToString::to_string);
    assert_eq!(arn(&format!("{FULL}:user::")).as_deref(), Some(FULL));
    let limit = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";
    assert_eq!(arn(limit).as_deref(), Some(limit));
    assert_eq!(arn("/app/limit"), None);
    for (value_from, without) in [
        (format!("{FULL}:user::"), FULL.to_owned()),
        (format!("{FULL}:user:blue:"), format!("{FULL}::blue:")),
        (
            format!("{FULL}:user::{VERSION}"),
            format!("{FULL}:::{VERSION}"),
        ),
        ("/app/limit".to_owned(), "/app/limit".to_owned()),
    ] {
        assert_eq!(parse(&value_from).without_json_key(), parse(&without));
    }
}
