use super::*;
use crate::fact::GapKind;
use crate::testing::{
    DB, LIMIT, MAIL, VERSION, at_start, change, gap, labeled, location, reference, second,
};

fn pulled(value_from: &str) -> Use {
    Use::AtImagePull(reference(value_from))
}

/// How these uses relate to changes of both secrets and the parameter, by the ARNs.
fn relations(uses: &[Use]) -> Vec<(String, Relation)> {
    let changes = [change(DB, 100), change(MAIL, 200), change(LIMIT, 300)];
    let relations = Relations::new(changes.iter());
    let (related, ambiguous) = relations.of(uses, Some(&location()), &BTreeMap::new());
    assert!(ambiguous.is_empty());
    let named = |related: Related| (related.known.name.to_string(), related.relation);
    related.into_iter().map(named).collect()
}

#[test]
fn a_use_follows_the_change_that_its_reference_names() {
    assert_eq!(
        relations(&[at_start(DB)]),
        [(DB.to_owned(), Relation::Follows)]
    );
    assert_eq!(
        relations(&[at_start("/app/limit")]),
        [(LIMIT.to_owned(), Relation::Follows)]
    );
    assert_eq!(relations(&[at_start("/app/other")]), []);
    assert_eq!(relations(&[at_start(&format!("{DB}::Custom:"))]), []);
}

#[test]
fn the_strongest_use_of_a_secret_counts() {
    let pinned = || at_start(&format!("{DB}:::{VERSION}"));
    let only = |uses: &[Use]| {
        let found = relations(uses);
        assert_eq!(found.len(), 1);
        found[0].1
    };
    assert_eq!(only(&[pulled(DB)]), Relation::ImagePullOnly);
    assert_eq!(only(&[pulled(DB), pinned()]), Relation::Pinned);
    assert_eq!(only(&[pinned(), pulled(DB)]), Relation::Pinned);
    assert_eq!(
        only(&[at_start(DB), pinned(), pulled(DB)]),
        Relation::Follows
    );
    assert_eq!(
        relations(&[at_start(MAIL), pulled(DB)]),
        [
            (DB.to_owned(), Relation::ImagePullOnly),
            (MAIL.to_owned(), Relation::Follows)
        ]
    );
}

#[test]
fn a_bare_name_means_the_secret_of_the_services_own_region() {
    let changes = [change(DB, 100)];
    let relations = Relations::new(changes.iter());
    let name = reference("/aws/reference/secretsmanager/prod/db");
    let elsewhere = Location {
        region: "us-east-1".to_owned(),
        ..location()
    };
    let home = location();
    assert!(relations.names(&name, Some(&home)));
    assert!(!relations.names(&name, Some(&elsewhere)));
    assert!(
        relations.names(&name, None),
        "nobody knows yet where it lives"
    );
    assert!(
        relations.names(&name, Some(&home)),
        "asked again, it is the same"
    );
}

#[test]
fn the_sources_of_uses_are_named_once() {
    let changes = [change(DB, 100), change(MAIL, 200)];
    let relations = Relations::new(changes.iter());
    let uses = [at_start(MAIL), at_start(DB), pulled(DB), at_start(LIMIT)];
    let sources = relations.sources(&uses, Some(&location()));
    assert_eq!(sources, [DB.into(), Arc::<str>::from(MAIL)]);
}

#[test]
fn a_known_change_has_the_bounds_of_all_that_is_known() {
    let changes = [change(DB, 100)];
    let relations = Relations::new(changes.iter());
    let (related, _) = relations.of(&[at_start(DB)], None, &BTreeMap::new());
    assert_eq!(related[0].known.moved, Bounds::exact(second(100)));
}

/// A secret named `a-abcdef`, and one named `a` whose suffix is `abcdef`.
const LONG: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef-XyZ123";
const SHORT: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef";

#[test]
fn a_partial_arn_that_looks_full_follows_until_aws_knows_it_as_a_full_one() {
    let changes = [Change {
        source: labeled(LONG, "AWSCURRENT"),
        ..change(DB, 100)
    }];
    let relations = Relations::new(changes.iter());
    let of = |fact: Option<Fact<bool>>| {
        let full_arns = fact
            .map(|fact| (SHORT.to_owned(), fact))
            .into_iter()
            .collect();
        let (related, ambiguous) = relations.of(&[at_start(SHORT)], Some(&location()), &full_arns);
        (related.len(), ambiguous.into_iter().collect::<Vec<_>>())
    };
    assert_eq!(of(None), (1, vec![SHORT.to_owned()]));
    assert_eq!(of(Some(Fact::Unasked)), (1, vec![SHORT.to_owned()]));
    assert_eq!(of(Some(Fact::Known(true))), (0, Vec::new()));
    assert_eq!(of(Some(Fact::Known(false))), (1, Vec::new()));
    let unavailable = Fact::Unavailable(gap(GapKind::Denied));
    assert_eq!(of(Some(unavailable)), (1, Vec::new()));
}

#[test]
fn a_full_arn_that_looks_partial_still_follows_its_own_secret() {
    let changes = [change(SHORT, 100), change(LONG, 100)];
    let relations = Relations::new(changes.iter());
    let full_arns = BTreeMap::from([(SHORT.to_owned(), Fact::Known(true))]);
    let (related, _) = relations.of(&[at_start(SHORT)], Some(&location()), &full_arns);
    let names: Vec<_> = related.iter().map(|related| &*related.known.name).collect();
    assert_eq!(names, [SHORT]);
}
