use super::*;
use crate::arn::{Arn, SecretArn};
use crate::change::{AWSCURRENT, Bounds};
use crate::confirm::{Claim, SecretFacts, UnconfirmedChange};
use crate::fact::GapKind;
use crate::image::EcrImage;
use crate::replica::Replica;
use crate::tag::SecretTag;
use crate::testing::{
    DB, LIMIT, MAIL, VERSION, at_start, bounds, change, deployment, gap, labeled, location, past,
    reference, second, service, service_arn, source, standalone, tasks,
};
use crate::workload::RolloutState::{self, Completed, Failed, InProgress, RollingBack, Stopped};

const NOW: i64 = 300;

fn now() -> Timestamp {
    second(NOW)
}

fn facts(scope: Scope) -> Facts {
    Facts::new(scope, second(100))
}

/// Facts of an event about `prod/db`.
fn followers() -> Facts {
    let mut facts = facts(Scope::Followers);
    facts.announce(change(DB, 100));
    facts
}

/// Facts in which these workloads are known.
fn knowing(scope: Scope, workloads: Vec<Workload>) -> Facts {
    let mut facts = facts(scope);
    facts.announce(change(DB, 100));
    let by_arn = workloads
        .into_iter()
        .map(|workload| (workload.arn.clone(), workload));
    facts.workloads = by_arn.collect();
    facts
}

fn api(facts: &Facts) -> &Workload {
    &facts.workloads[&service_arn("api")]
}

fn look(workloads: Vec<Workload>) -> Look {
    Look {
        began_at: second(200),
        workloads,
        unexamined: BTreeMap::new(),
        warnings: BTreeSet::new(),
    }
}

fn learn_look(facts: &mut Facts, look: Look) {
    facts.learn(Answer::Look(Ok(Arc::new(look)), BTreeMap::new()), now());
}

fn arns(facts: &Facts) -> Vec<&str> {
    facts.workloads.keys().map(|arn| &**arn).collect()
}

fn called(name: &str, uses: &[&str]) -> Workload {
    Workload {
        arn: service_arn(name),
        uses: uses.iter().map(|value_from| at_start(value_from)).collect(),
        ..service()
    }
}

/// A service that only the mapping names so far.
fn named(name: &str, uses: &[&str]) -> Workload {
    Workload {
        arn: name.into(),
        location: None,
        read_at: None,
        deployments: Vec::new(),
        ..called("api", uses)
    }
}

fn unavailable<T>(kind: GapKind) -> Fact<T> {
    Fact::Unavailable(gap(kind))
}

#[test]
fn the_same_change_keeps_what_is_known_about_it() {
    let mut facts = followers();
    let stored = Fact::Known(None);
    facts.learn(Answer::VersionStored(source(DB), stored.clone()), now());
    facts.announce(change(DB, 100));
    assert_eq!(facts.changes[&source(DB)].stored, stored);
    for other in [
        change(DB, 101),
        Change {
            version: Some("v3".to_owned()),
            ..change(DB, 101)
        },
    ] {
        facts.learn(Answer::VersionStored(source(DB), stored.clone()), now());
        facts.announce(other);
        assert!(facts.changes[&source(DB)].stored.is_unasked());
    }
    assert_eq!(facts.changes.len(), 1);
}

#[test]
fn facts_about_some_workloads_only_are_all_else_that_is_known() {
    let mut facts = knowing(
        Scope::Everything,
        vec![called("a", &[DB]), called("b", &[DB])],
    );
    facts
        .unexamined
        .insert("c".to_owned(), gap(GapKind::Failed).into());
    facts.warnings.insert("w".to_owned());
    let only = facts.only(&[service_arn("b"), service_arn("gone")]);
    assert_eq!(arns(&only), [&*service_arn("b")]);
    assert!(only.unexamined.is_empty() && only.warnings.is_empty());
    assert_eq!((only.changes, only.scope), (facts.changes, facts.scope));
}

#[test]
fn a_look_for_followers_keeps_those_who_may_be_meant() {
    let mut facts = followers();
    let unread = |uses| Workload {
        unread: Some(gap(GapKind::Failed)),
        ..called("unread", uses)
    };
    let idle = Workload {
        arn: service_arn("idle"),
        desired: 0,
        running: 0,
        ..unread(&[])
    };
    let task = standalone(10);
    let other = called("other", &[MAIL]);
    learn_look(
        &mut facts,
        look(vec![service(), unread(&[]), idle, task, other]),
    );
    assert_eq!(
        arns(&facts),
        [&*service_arn("api"), &*service_arn("unread")]
    );
    assert_eq!(facts.looked_at, Fact::Known(second(200)));
}

#[test]
fn a_look_for_followers_of_a_claim_keeps_those_who_can_mean_its_secret() {
    let mut facts = facts(Scope::Followers);
    facts.unconfirmed = Some(claimed(Claim::Rotated));
    learn_look(&mut facts, look(vec![service(), called("other", &[MAIL])]));
    assert_eq!(arns(&facts), [&*service_arn("api")]);
}

#[test]
fn a_look_at_everything_keeps_everything() {
    let mut facts = facts(Scope::Everything);
    learn_look(&mut facts, look(vec![standalone(10), called("other", &[])]));
    assert_eq!(facts.workloads.len(), 2);
}

#[test]
fn a_look_around_a_service_keeps_what_is_known_of_it_better() {
    let mut facts = knowing(
        Scope::Around(service_arn("api")),
        vec![Workload {
            read_at: Some(second(250)),
            ..service()
        }],
    );
    let siblings = vec![
        service(),
        named("prod/api", &[DB]),
        named("prod/web", &[DB]),
    ];
    learn_look(&mut facts, look(siblings));
    assert_eq!(arns(&facts), [&*service_arn("api"), "prod/web"]);
    assert_eq!(api(&facts).read_at, Some(second(250)));
}

#[test]
fn a_look_brings_its_warnings_and_what_it_could_not_examine() {
    let mut facts = facts(Scope::Followers);
    let unexamined = Unexamined::from(gap(GapKind::Denied));
    learn_look(
        &mut facts,
        Look {
            unexamined: BTreeMap::from([("stage".to_owned(), unexamined.clone())]),
            warnings: BTreeSet::from(["a tag names nothing".to_owned()]),
            ..look(Vec::new())
        },
    );
    assert_eq!(facts.unexamined["stage"], unexamined);
    assert!(unexamined.sources.is_empty());
    assert!(facts.warnings.contains("a tag names nothing"));
}

#[test]
fn a_look_that_failed_is_not_taken_again() {
    let mut facts = facts(Scope::Followers);
    facts.learn(
        Answer::Look(Err(gap(GapKind::Throttled)), BTreeMap::new()),
        now(),
    );
    assert_eq!(facts.looked_at, unavailable(GapKind::Throttled));
}

#[test]
fn a_deployment_of_our_own_that_the_look_does_not_show_yet_is_added() {
    let primary = |at| {
        let mut facts = followers();
        let forced = BTreeMap::from([(service_arn("api"), deployment(at, true, InProgress))]);
        facts.learn(
            Answer::Look(Ok(Arc::new(look(vec![service()]))), forced),
            now(),
        );
        api(&facts).primary().unwrap().created_at.as_second()
    };
    // The service was read at 100.
    assert_eq!(primary(101), 101);
    assert_eq!(primary(100), 10);
}

#[test]
fn the_service_of_the_invocation_is_known_or_not_to_be_found() {
    let mut facts = facts(Scope::Around(service_arn("api")));
    facts.learn(
        Answer::Service(Ok((Existence::Here, Some(service())))),
        now(),
    );
    assert_eq!(facts.service, Fact::Known(Existence::Here));
    assert_eq!(arns(&facts), [&*service_arn("api")]);
    facts.learn(Answer::Service(Ok((Existence::Nowhere, None))), now());
    assert_eq!(facts.service, Fact::Known(Existence::Nowhere));
}

#[test]
fn what_an_event_says_is_done_is_not_under_way_though_reads_lag() {
    let rolling = |at| Workload {
        deployments: vec![deployment(at, true, InProgress)],
        ..service()
    };
    let mut facts = facts(Scope::Around(service_arn("api")));
    facts.completed = Some("ecs-svc/50".to_owned());
    facts.learn(
        Answer::Service(Ok((Existence::Here, Some(rolling(50))))),
        now(),
    );
    assert_eq!(api(&facts).deployments[0].rollout, Completed);
    let again = vec![(service_arn("api"), Ok(Some(rolling(50))))];
    facts.learn(Answer::Workloads(again), now());
    assert_eq!(api(&facts).deployments[0].rollout, Completed);
    let rolled_back = Workload {
        deployments: vec![
            deployment(50, true, InProgress),
            deployment(55, false, Failed),
        ],
        ..service()
    };
    let again = vec![(service_arn("api"), Ok(Some(rolled_back)))];
    facts.learn(Answer::Workloads(again), now());
    assert_eq!(api(&facts).deployments[0].rollout, InProgress);
    let next = vec![(service_arn("api"), Ok(Some(rolling(60))))];
    facts.learn(Answer::Workloads(next), now());
    assert_eq!(api(&facts).deployments[0].rollout, InProgress);
    let mut staged = rolling(50);
    staged.deployments[0].rollout = RolloutState::Unknown;
    let next = vec![(service_arn("api"), Ok(Some(staged)))];
    facts.learn(Answer::Workloads(next), now());
    assert_eq!(api(&facts).deployments[0].rollout, Completed);
}

#[test]
fn a_service_that_could_not_be_read_is_named() {
    for scope in [
        Scope::Around("prod/api".into()),
        Scope::Service("prod/api".into()),
    ] {
        let mut facts = facts(scope);
        facts.learn(Answer::Service(Err(gap(GapKind::Failed))), now());
        assert_eq!(facts.service, unavailable(GapKind::Failed));
        assert_eq!(facts.unexamined["prod/api"], gap(GapKind::Failed).into());
    }
}

fn learn_workload(facts: &mut Facts, asked: &str, read: Result<Option<Workload>, Gap>) {
    facts.learn(Answer::Workloads(vec![(asked.into(), read)]), now());
}

/// The same, and ECS says when it last changed the deployment.
fn updated(mut workload: Workload) -> Workload {
    workload.deployments[0].updated_at = Some(second(20));
    workload
}

#[test]
fn a_workload_that_is_read_again_keeps_what_only_the_look_and_dear_questions_tell() {
    let before = Workload {
        uses: vec![at_start(DB), at_start(LIMIT)].into(),
        inactive_task_definition: true,
        unread: Some(gap(GapKind::Denied)),
        tasks: tasks("ecs-svc/10", &[10]),
        history: Fact::Known(vec![past(5, Completed)]),
        seen_at: Some(second(90)),
        forced_at: Some(second(80)),
        ..updated(service())
    };
    let mut facts = knowing(Scope::Followers, vec![before.clone()]);
    let read = Workload {
        desired: 5,
        read_at: Some(second(250)),
        uses: vec![at_start(MAIL), at_start(DB)].into(),
        ..updated(service())
    };
    learn_workload(&mut facts, &service_arn("api"), Ok(Some(read.clone())));
    let expected = Workload {
        uses: {
            let mut uses = vec![at_start(DB), at_start(MAIL), at_start(LIMIT)];
            uses.sort();
            uses.into()
        },
        desired: 5,
        read_at: read.read_at,
        ..before
    };
    assert_eq!(api(&facts), &expected);
}

#[test]
fn what_a_new_read_knows_better_counts() {
    let before = Workload {
        forced_at: Some(second(80)),
        ..service()
    };
    let mut facts = knowing(Scope::Followers, vec![before]);
    let read = Workload {
        forced_at: Some(second(90)),
        unread: Some(gap(GapKind::Failed)),
        inactive_task_definition: true,
        ..service()
    };
    learn_workload(&mut facts, &service_arn("api"), Ok(Some(read.clone())));
    assert_eq!(api(&facts), &read);
}

#[test]
fn a_named_service_becomes_the_one_that_was_described() {
    let mut facts = knowing(Scope::Followers, vec![named("prod/api", &[LIMIT])]);
    learn_workload(&mut facts, "prod/api", Ok(Some(service())));
    assert_eq!(arns(&facts), [&*service_arn("api")]);
    assert_eq!(
        api(&facts),
        &service(),
        "what was asked with it has its uses"
    );
    learn_workload(&mut facts, "prod/web", Ok(Some(called("web", &[DB]))));
    assert_eq!(facts.workloads.len(), 2);
}

#[test]
fn a_service_that_is_gone_is_not_active_any_more() {
    let mut facts = knowing(Scope::Followers, vec![service()]);
    learn_workload(&mut facts, &service_arn("api"), Ok(None));
    assert!(!api(&facts).active);
    assert_eq!(api(&facts).read_at, Some(Timestamp::MAX));
    assert!(facts.unexamined.is_empty());
    learn_workload(&mut facts, "prod/never-known", Ok(None));
    assert_eq!(facts.workloads.len(), 1);
}

#[test]
fn a_service_that_only_the_mapping_names_and_that_does_not_exist_is_a_mistake() {
    let mut facts = knowing(Scope::Followers, vec![named("prod/api", &[DB, MAIL])]);
    learn_workload(&mut facts, "prod/api", Ok(None));
    assert!(facts.workloads.is_empty());
    let unexamined = &facts.unexamined["prod/api"];
    assert_eq!(unexamined.gap.kind, GapKind::NotFound);
    assert!(unexamined.gap.error.contains("REDEPLOY_MAPPING"));
    assert_eq!(
        unexamined.sources,
        [DB.into()],
        "the change that it is about"
    );
}

#[test]
fn a_tagged_service_that_was_deleted_while_it_was_read_is_a_warning() {
    let tagged = Workload {
        tag: Some("prod/db".into()),
        ..named("prod/api", &[DB])
    };
    let mut facts = knowing(Scope::Followers, vec![tagged]);
    learn_workload(&mut facts, "prod/api", Ok(None));
    assert!(facts.workloads.is_empty() && facts.unexamined.is_empty());
    assert_eq!(facts.warnings.len(), 1);
}

#[test]
fn a_service_that_could_not_be_described_is_named_with_what_it_is_about() {
    for kind in [GapKind::Failed, GapKind::Throttled, GapKind::Denied] {
        let mut facts = knowing(Scope::Followers, vec![called("api", &[DB, MAIL])]);
        learn_workload(&mut facts, &service_arn("api"), Err(gap(kind)));
        assert!(facts.workloads.is_empty());
        let unexamined = &facts.unexamined[&*service_arn("api")];
        assert_eq!(unexamined.gap, gap(kind));
        assert_eq!(unexamined.sources, [DB.into()]);
    }
    let mut facts = knowing(Scope::Everything, vec![called("api", &[DB, MAIL])]);
    learn_workload(&mut facts, &service_arn("api"), Err(gap(GapKind::Failed)));
    let unexamined = &facts.unexamined[&*service_arn("api")];
    assert_eq!(unexamined.sources, [DB.into(), Arc::<str>::from(MAIL)]);
    learn_workload(&mut facts, "prod/web", Err(gap(GapKind::Denied)));
    assert_eq!(facts.unexamined["prod/web"], gap(GapKind::Denied).into());
}

fn claimed(claim: Claim) -> Unconfirmed {
    Unconfirmed {
        claim: UnconfirmedChange {
            secret_id: DB.to_owned(),
            region: None,
            claim,
            at: Some(second(100)),
        },
        asked_at: None,
        answer: Fact::Unasked,
    }
}

fn secret(arn: &str, labels: &[(&str, &str)]) -> SecretFacts {
    let owned = |(label, version): &(&str, &str)| ((*label).to_owned(), (*version).to_owned());
    SecretFacts {
        arn: SecretArn::parse(arn).unwrap(),
        labels: labels.iter().map(owned).collect(),
        last_changed: Some(second(90)),
        last_rotated: None,
        tag: None,
    }
}

/// What is known once this was answered to a claim.
fn after(claim: Claim, answer: Fact<Option<SecretFacts>>) -> Facts {
    let mut facts = facts(Scope::Followers);
    facts.unconfirmed = Some(claimed(claim));
    facts.learn(Answer::Secret(answer), now());
    let unconfirmed = facts.unconfirmed.as_ref().unwrap();
    assert_eq!(unconfirmed.asked_at, Some(now()));
    facts
}

fn answer(facts: &Facts) -> &Fact<Confirmation> {
    &facts.unconfirmed.as_ref().unwrap().answer
}

#[test]
fn a_confirmed_claim_is_a_change() {
    let found = secret(DB, &[(AWSCURRENT, "v2")]);
    let facts = after(Claim::Asked, Fact::Known(Some(found)));
    let change = Change {
        version: Some("v2".to_owned()),
        last_changed: Some(second(90)),
        ..change(DB, 100)
    };
    assert_eq!(facts.changes[&source(DB)], change);
    assert_eq!(
        answer(&facts),
        &Fact::Known(Confirmation::Changes(vec![change]))
    );
}

#[test]
fn a_claim_that_is_not_confirmed_changes_nothing() {
    let facts = after(Claim::Asked, Fact::Known(None));
    assert_eq!(answer(&facts), &Fact::Known(Confirmation::NoSecret));
    assert!(facts.changes.is_empty());
    let found = secret(DB, &[(AWSCURRENT, "v1")]);
    let facts = after(Claim::Stored("v2".to_owned()), Fact::Known(Some(found)));
    assert!(matches!(
        answer(&facts),
        Fact::Known(Confirmation::Nothing(_))
    ));
    let facts = after(Claim::Asked, Fact::Unasked);
    assert!(answer(&facts).is_unasked());
}

#[test]
fn the_event_vouches_for_a_secret_that_may_not_be_described() {
    let facts = after(Claim::Rotated, unavailable(GapKind::Denied));
    assert_eq!(facts.changes[&source(DB)], change(DB, 100));
    assert!(facts.warnings.iter().any(|warning| warning.contains(DB)));
    let facts = after(Claim::Rotated, unavailable(GapKind::Failed));
    assert_eq!(answer(&facts), &unavailable(GapKind::Failed));
    assert!(facts.changes.is_empty() && facts.warnings.is_empty());
    let facts = after(Claim::Asked, unavailable(GapKind::Denied));
    assert_eq!(answer(&facts), &unavailable(GapKind::Denied));
}

#[test]
fn an_answer_to_no_claim_is_nothing() {
    let mut facts = followers();
    facts.learn(Answer::Secret(Fact::Known(None)), now());
    assert_eq!(facts.unconfirmed, None);
}

fn followed(id: &str) -> Followed {
    Followed::of(&reference(id), &location()).unwrap().0
}

fn learn_last_change(facts: &mut Facts, followed: &Followed, found: Fact<Option<Found>>) {
    facts.learn(Answer::LastChanges(vec![(followed.clone(), found)]), now());
}

#[test]
fn the_last_change_of_a_secret_is_one_of_each_label_that_is_followed() {
    let uses = [DB, &format!("{DB}::Custom:"), &format!("{DB}::Gone:")];
    let mut facts = facts(Scope::Everything);
    facts
        .workloads
        .insert(service_arn("api"), called("api", &uses));
    let found = secret(DB, &[(AWSCURRENT, "v2"), ("Custom", "v1"), ("Other", "v1")]);
    learn_last_change(
        &mut facts,
        &followed(DB),
        Fact::Known(Some(Found::Secret(found.clone()))),
    );
    let version = |label| {
        let change = &facts.changes[&labeled(DB, label)];
        assert_eq!(change.reported, Bounds::until(second(90)));
        change.version.as_deref()
    };
    assert_eq!(
        (version(AWSCURRENT), version("Custom")),
        (Some("v2"), Some("v1"))
    );
    assert_eq!(facts.changes.len(), 2);
    let expected = LastChange {
        labels: [AWSCURRENT, "Custom", "Gone"].map(str::to_owned).into(),
        asked_at: Some(now()),
        found: Fact::Known(Some(Found::Secret(found))),
    };
    assert_eq!(facts.followed[&followed(DB)], expected);
}

#[test]
fn what_else_is_changed_of_a_secret_does_not_move_the_time_of_its_event() {
    let learn = |version: Option<&str>, shown: &str| {
        let mut facts = facts(Scope::Followers);
        facts.announce(Change {
            version: version.map(str::to_owned),
            ..change(DB, 80)
        });
        facts.workloads.insert(service_arn("api"), service());
        // It changed last at 90.
        let found = Found::Secret(secret(DB, &[(AWSCURRENT, shown)]));
        learn_last_change(&mut facts, &followed(DB), Fact::Known(Some(found)));
        facts.changes[&source(DB)].reported
    };
    assert_eq!(learn(Some("v1"), "v1"), bounds(80, 80));
    assert_eq!(learn(Some("v1"), "v2"), Bounds::until(second(90)));
    assert_eq!(learn(None, "v1"), Bounds::until(second(90)));
}

#[test]
fn a_secret_that_does_not_say_when_it_changed_may_have_changed_until_now() {
    let mut facts = facts(Scope::Everything);
    facts.workloads.insert(service_arn("api"), service());
    let found = SecretFacts {
        last_changed: None,
        ..secret(DB, &[(AWSCURRENT, "v2")])
    };
    learn_last_change(
        &mut facts,
        &followed(DB),
        Fact::Known(Some(Found::Secret(found))),
    );
    assert_eq!(facts.changes[&source(DB)].reported, Bounds::until(now()));
}

#[test]
fn the_last_change_of_a_parameter_is_known_to_the_second() {
    let mut facts = facts(Scope::Everything);
    facts
        .workloads
        .insert(service_arn("api"), called("api", &["/app/limit"]));
    let found = Fact::Known(Some(Found::Parameter(second(70))));
    learn_last_change(&mut facts, &followed("/app/limit"), found);
    assert_eq!(facts.changes[&source(LIMIT)], change(LIMIT, 70));
    assert!(facts.followed[&followed("/app/limit")].labels.is_empty());
}

#[test]
fn a_request_counts_as_the_change_of_all_that_a_service_follows() {
    let mut facts = facts(Scope::Service("prod/api".into()));
    facts.requested_at = Some(second(100));
    facts
        .workloads
        .insert(service_arn("api"), called("api", &[DB, "/app/limit"]));
    let found = Found::Secret(secret(DB, &[(AWSCURRENT, "v2")]));
    learn_last_change(&mut facts, &followed(DB), Fact::Known(Some(found)));
    let found = Found::Parameter(second(70));
    learn_last_change(
        &mut facts,
        &followed("/app/limit"),
        Fact::Known(Some(found)),
    );
    assert_eq!(facts.changes[&source(DB)].reported, bounds(100, 100));
    assert_eq!(facts.changes[&source(LIMIT)].reported, bounds(100, 100));
}

#[test]
fn what_does_not_exist_is_a_warning_and_what_is_unavailable_is_kept_as_such() {
    let mut facts = facts(Scope::Everything);
    learn_last_change(&mut facts, &followed(DB), Fact::Known(None));
    learn_last_change(&mut facts, &followed("/app/limit"), Fact::Known(None));
    let warnings: Vec<_> = facts.warnings.iter().cloned().collect();
    assert!(
        warnings[0].contains("the parameter /app/limit"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains(&format!("the secret {DB}")),
        "{warnings:?}"
    );
    learn_last_change(&mut facts, &followed(MAIL), unavailable(GapKind::Denied));
    assert_eq!(
        facts.followed[&followed(MAIL)].found,
        unavailable(GapKind::Denied)
    );
    assert!(facts.changes.is_empty());
}

#[test]
fn an_arn_that_could_not_be_looked_up_is_taken_for_a_partial_one_with_a_warning() {
    let mut facts = followers();
    facts.learn(Answer::FullArn(DB.to_owned(), Fact::Known(true)), now());
    assert!(facts.warnings.is_empty());
    facts.learn(
        Answer::FullArn(MAIL.to_owned(), unavailable(GapKind::Denied)),
        now(),
    );
    assert_eq!(facts.full_arns[DB], Fact::Known(true));
    assert_eq!(facts.full_arns[MAIL], unavailable(GapKind::Denied));
    assert!(
        facts
            .warnings
            .iter()
            .any(|warning| warning.starts_with(MAIL))
    );
}

#[test]
fn the_store_and_the_trail_tell_about_known_changes() {
    let mut facts = followers();
    let stored = Fact::Known(Some(VersionStored {
        at: second(90),
        is_only: false,
    }));
    facts.learn(Answer::VersionStored(source(DB), stored.clone()), now());
    let trail = Fact::Known(Some(TrailMove::At(second(95))));
    let found = vec![
        (source(DB), trail.clone()),
        (source(MAIL), Fact::Known(None)),
    ];
    facts.learn(
        Answer::MoveTimes(found, BTreeSet::from(["w".to_owned()])),
        now(),
    );
    facts.learn(Answer::VersionStored(source(MAIL), stored.clone()), now());
    let change = &facts.changes[&source(DB)];
    assert_eq!((&change.stored, &change.trail), (&stored, &trail));
    assert_eq!(facts.changes.len(), 1);
    assert_eq!(facts.warnings, BTreeSet::from(["w".to_owned()]));
    facts.learn(
        Answer::VersionStored(source(DB), unavailable(GapKind::Denied)),
        now(),
    );
    assert!(facts.warnings.iter().any(|warning| warning.contains(DB)));
}

#[test]
fn warnings_are_kept() {
    let mut facts = followers();
    facts.learn(Answer::Warnings(BTreeSet::from(["w".to_owned()])), now());
    assert!(facts.warnings.contains("w"));
}

#[test]
fn the_tasks_of_a_workload_are_known_or_a_warning_says_why_not() {
    let mut facts = knowing(Scope::Followers, vec![service()]);
    facts.learn(Answer::Tasks(service_arn("api"), tasks("a", &[10])), now());
    assert_eq!(api(&facts).tasks, tasks("a", &[10]));
    assert!(facts.warnings.is_empty());
    facts.learn(
        Answer::Tasks(service_arn("api"), unavailable(GapKind::Denied)),
        now(),
    );
    assert_eq!(api(&facts).tasks, unavailable(GapKind::Denied));
    assert!(
        facts
            .warnings
            .iter()
            .any(|warning| warning.contains("service/prod/api"))
    );
    facts.learn(Answer::Tasks(service_arn("gone"), tasks("a", &[10])), now());
    assert_eq!(facts.workloads.len(), 1);
}

/// How a live deployment of 100 is known once the history has shown these.
fn ended(live: RolloutState, history: &[(i64, RolloutState)]) -> RolloutState {
    let workload = Workload {
        deployments: vec![deployment(100, true, live)],
        ..service()
    };
    let mut facts = knowing(Scope::Followers, vec![workload]);
    let history = history.iter().map(|(at, rollout)| past(*at, *rollout));
    let history = Fact::Known(history.collect());
    facts.learn(Answer::History(service_arn("api"), history.clone()), now());
    assert_eq!(api(&facts).history, history);
    api(&facts).deployments[0].rollout
}

#[test]
fn the_history_tells_of_the_failure_of_a_live_deployment_first() {
    for past in [Failed, RollingBack] {
        assert_eq!(ended(InProgress, &[(100, past)]), Failed);
        assert_eq!(ended(RolloutState::Unknown, &[(100, past)]), Failed);
        assert_eq!(ended(Completed, &[(100, past)]), Completed);
        assert_eq!(ended(InProgress, &[(101, past), (99, past)]), InProgress);
    }
    for past in [Completed, InProgress, Stopped] {
        assert_eq!(ended(InProgress, &[(100, past)]), InProgress);
    }
}

#[test]
fn the_history_tells_how_far_a_deployment_is_that_has_no_state() {
    for past in [Completed, InProgress, Stopped] {
        assert_eq!(ended(RolloutState::Unknown, &[(100, past)]), past);
    }
    assert_eq!(ended(RolloutState::Unknown, &[]), RolloutState::Unknown);
}

#[test]
fn of_two_twins_the_nearer_one_is_meant() {
    let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
    let twin = |millisecond, rollout| Deployment {
        created_at: at(millisecond),
        ..past(0, rollout)
    };
    let live = |rollout| Workload {
        deployments: vec![Deployment {
            created_at: at(100_900),
            ..deployment(0, true, rollout)
        }],
        ..service()
    };
    let twins = [twin(100_100, Failed), twin(100_800, InProgress)];
    for twins in [twins.to_vec(), twins.iter().rev().cloned().collect()] {
        let mut facts = knowing(Scope::Followers, vec![live(InProgress)]);
        facts.learn(
            Answer::History(service_arn("api"), Fact::Known(twins)),
            now(),
        );
        assert_eq!(api(&facts).deployments[0].rollout, InProgress);
    }
}

#[test]
fn a_history_is_unavailable_as_such_and_one_of_nobody_is_nothing() {
    let mut facts = knowing(Scope::Followers, vec![service()]);
    facts.learn(
        Answer::History(service_arn("api"), unavailable(GapKind::Failed)),
        now(),
    );
    assert_eq!(api(&facts).history, unavailable(GapKind::Failed));
    facts.learn(
        Answer::History(service_arn("gone"), Fact::Known(Vec::new())),
        now(),
    );
    assert_eq!(facts.workloads.len(), 1);
}

#[test]
fn the_history_counts_for_what_is_read_again_after_it() {
    let failed = Fact::Known(vec![past(100, Failed)]);
    let mut facts = knowing(Scope::Followers, vec![service()]);
    facts.learn(Answer::History(service_arn("api"), failed), now());
    let read = Workload {
        deployments: vec![deployment(100, true, InProgress)],
        ..service()
    };
    learn_workload(&mut facts, &service_arn("api"), Ok(Some(read)));
    assert_eq!(api(&facts).deployments[0].rollout, Failed);
}

#[test]
fn the_revisions_of_the_history_become_known() {
    let history = Fact::Known(vec![past(20, Failed), past(30, Failed)]);
    let mut facts = knowing(
        Scope::Followers,
        vec![Workload {
            history,
            ..service()
        }],
    );
    let found = BTreeMap::from([("revision/30".to_owned(), Fact::Known("api:8".into()))]);
    facts.learn(Answer::TaskDefinitions(found), now());
    let history = api(&facts).history.known().unwrap();
    assert!(history[0].task_definition.is_unasked());
    assert_eq!(history[1].task_definition, Fact::Known("api:8".into()));
}

#[test]
fn a_workload_follows_what_its_tasks_read_at_their_start_by_label() {
    let uses = vec![
        at_start(DB),
        at_start(&format!("{DB}:key:Custom:")),
        at_start(&format!("{MAIL}:::{VERSION}")),
        at_start("limit"),
        at_start("limit:3"),
        Use::AtImagePull(reference(MAIL)),
    ];
    let workload = Workload {
        uses: uses.into(),
        ..service()
    };
    let secret = Followed::Secret {
        region: "eu-west-1".to_owned(),
        id: DB.to_owned(),
    };
    let labels = BTreeSet::from([AWSCURRENT, "Custom"].map(str::to_owned));
    let expected = BTreeMap::from([(secret, labels), (followed("limit"), BTreeSet::new())]);
    assert_eq!(workload.followed(), expected);
    let named = Workload {
        location: None,
        ..workload
    };
    assert!(named.followed().is_empty(), "nobody knows where it lives");
}

#[test]
fn what_is_followed_is_asked_for_where_it_is() {
    let of = |value_from: &str| Followed::of(&reference(value_from), &location());
    let elsewhere = DB.replace("eu-west-1", "us-east-1");
    let secret = |region: &str, id: &str| Followed::Secret {
        region: region.to_owned(),
        id: id.to_owned(),
    };
    let current = || AWSCURRENT.to_owned();
    assert_eq!(
        of(&elsewhere),
        Some((secret("us-east-1", &elsewhere), current()))
    );
    let by_name = "/aws/reference/secretsmanager/prod/db";
    assert_eq!(
        of(by_name),
        Some((secret("eu-west-1", "prod/db"), current()))
    );
    for pinned in [&format!("{DB}:::{VERSION}"), "/app/limit:3"] {
        assert_eq!(of(pinned), None);
    }
    for value_from in ["app/limit", "/app/limit", LIMIT] {
        let (followed, label) = of(value_from).unwrap();
        assert_eq!(
            (followed.parameter_arn().unwrap().0.to_string(), label),
            (LIMIT.to_owned(), String::new())
        );
        assert_eq!(followed.to_string(), "/app/limit");
    }
    assert_eq!(
        of(LIMIT),
        of("/app/limit"),
        "one parameter is asked about once"
    );
    let elsewhere = LIMIT.replace("eu-west-1", "us-east-1");
    let (found, _) = of(&elsewhere).unwrap();
    assert_eq!(found.parameter_arn().unwrap().0.to_string(), elsewhere);
    assert_eq!(followed(DB).to_string(), DB);
    assert_eq!(followed(DB).parameter_arn(), None);
}

#[test]
fn a_fact_that_is_not_asked_for_unavailable_or_empty_are_three_values() {
    let unasked = Fact::<Option<u8>>::Unasked;
    let empty = Fact::<Option<u8>>::from(Ok(None));
    let unavailable = Fact::<Option<u8>>::from(Err(gap(GapKind::Denied)));
    assert!(unasked.is_unasked() && !empty.is_unasked() && !unavailable.is_unasked());
    assert_eq!(
        (unasked.known(), empty.known(), unavailable.known()),
        (None, Some(&None), None)
    );
    assert_eq!((unasked.gap(), empty.gap()), (None, None));
    assert_eq!(unavailable.gap(), Some(&gap(GapKind::Denied)));
    assert_eq!(Fact::<u8>::default(), Fact::Unasked);
}

#[test]
fn a_gap_that_the_next_attempt_may_close_fails_the_invocation() {
    use crate::reason::Reason::{LookupFailed, NotFound, Unknown};
    for (kind, reason) in [
        (GapKind::Throttled, LookupFailed),
        (GapKind::Failed, LookupFailed),
        (GapKind::Denied, Unknown),
        (GapKind::Invalid, Unknown),
        (GapKind::NotFound, NotFound),
    ] {
        assert_eq!(gap(kind).reason(), reason);
    }
}

#[test]
fn only_a_request_changes_a_parameter_of_another_account() {
    let theirs = LIMIT.replace("123456789012", "210987654321");
    let followed = Followed::Parameter {
        place: Arn {
            resource: String::new(),
            ..Arn::parse(&theirs).unwrap()
        },
        name: "/app/limit".to_owned(),
    };
    let learned = |requested_at| {
        let mut facts = Facts {
            requested_at,
            ..facts(Scope::Everything)
        };
        let found = Fact::Known(Some(Found::Elsewhere));
        facts.learn(Answer::LastChanges(vec![(followed.clone(), found)]), now());
        facts
    };
    let sweep = learned(None);
    assert!(sweep.changes.is_empty());
    let warning = sweep.warnings.first().unwrap();
    assert!(
        warning.contains("/app/limit") && warning.contains("another account"),
        "{warning}"
    );
    let request = learned(Some(now()));
    assert_eq!(
        request.changes[&source(&theirs)].reported,
        Bounds::exact(now())
    );
    assert!(request.warnings.is_empty());
}

#[test]
fn what_the_tag_of_a_secret_says_is_learned_unless_the_next_attempt_may_know_it() {
    let learned = |fact| {
        let mut facts = followers();
        facts.learn(Answer::Tag(source(DB), fact), now());
        (facts.changes[&source(DB)].tag.clone(), facts.warnings.len())
    };
    let secret = |tag: &str| {
        let arn = SecretArn::parse(DB).unwrap();
        Fact::Known(Some(SecretFacts {
            arn,
            labels: BTreeMap::new(),
            last_changed: None,
            last_rotated: None,
            tag: Some(tag.to_owned()),
        }))
    };
    let (tag, warnings) = learned(secret("ignore later"));
    assert!(tag.known().unwrap().is_ignored);
    assert_eq!(warnings, 1);
    assert_eq!(
        learned(unavailable(GapKind::Throttled)),
        (unavailable(GapKind::Throttled), 0)
    );
    let untagged = Fact::Known(SecretTag::default());
    assert_eq!(learned(unavailable(GapKind::Denied)), (untagged.clone(), 1));
    assert_eq!(learned(Fact::Known(None)), (untagged, 0));
}

#[test]
fn a_look_says_who_is_first_and_how_many_have_nothing_to_do_with_the_change() {
    let tagged = Workload {
        tag: Some("first".into()),
        seen_at: Some(now()),
        ..called("api", &[DB])
    };
    let others = ["a", "b"].map(|name| called(name, &[MAIL]));
    let mut facts = followers();
    let mut workloads = vec![tagged.clone(), standalone(10)];
    workloads.extend(others.clone());
    learn_look(&mut facts, look(workloads));
    assert!(facts.has_first);
    assert_eq!(facts.unrelated, 2);
    assert_eq!(api(&facts).seen_at, Some(now()));
    learn_look(&mut facts, look(Vec::new()));
    assert!(facts.has_first, "once seen, it stays");
    let mut around = knowing(Scope::Around(service_arn("a")), Vec::new());
    learn_look(&mut around, look(vec![tagged.clone()]));
    assert_eq!(api(&around).seen_at, None);
    // The tag of one that was only named is known with its description.
    let mut facts = knowing(
        Scope::Followers,
        vec![named("prod/api", &[DB]), others[0].clone()],
    );
    let described = |facts: &mut Facts, asked: &str, now_is: Workload| {
        let read = vec![(asked.into(), Ok(Some(now_is)))];
        facts.learn(Answer::Workloads(read), now());
    };
    described(&mut facts, "prod/api", tagged);
    assert!(facts.has_first);
    described(&mut facts, &service_arn("a"), others[0].clone());
    assert!(facts.has_first);
}

/// Facts in which everything is known, and nothing has its default.
fn full() -> Facts {
    let reads_mail = Workload {
        arn: service_arn("mail"),
        uses: vec![at_start(MAIL)].into(),
        ..service()
    };
    let mut facts = knowing(Scope::Followers, vec![service(), reads_mail.clone()]);
    facts.add_change(change(MAIL, 100));
    let last_change = LastChange {
        labels: BTreeSet::new(),
        asked_at: Some(now()),
        found: Fact::Known(None),
    };
    let followed = service().followed().into_keys();
    let replica = Replica {
        asked_at: Some(now()),
        answer: Fact::Unasked,
    };
    let image = EcrImage::parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:1").unwrap();
    let unexamined = Unexamined {
        gap: gap(GapKind::Failed),
        sources: Vec::new(),
    };
    Facts {
        turn_at: Some(second(95)),
        completed: Some("ecs-svc/1".to_owned()),
        requested_at: Some(now()),
        unconfirmed: Some(Unconfirmed {
            claim: UnconfirmedChange {
                secret_id: DB.to_owned(),
                region: None,
                claim: Claim::Asked,
                at: None,
            },
            asked_at: None,
            answer: Fact::Unasked,
        }),
        replicas: [(source(MAIL), replica)].into(),
        service: Fact::Known(Existence::Here),
        looked_at: Fact::Known(now()),
        looked_for: [source(DB)].into(),
        has_first: true,
        unrelated: 3,
        followed: followed
            .map(|followed| (followed, last_change.clone()))
            .collect(),
        full_arns: [(DB.to_owned(), Fact::Known(true))].into(),
        image_tags: [(image, Fact::Known(None))].into(),
        calendar: Fact::Known(Calendar::Open),
        unexamined: [(service_arn("web").to_string(), unexamined)].into(),
        unread_firsts: [(reads_mail.arn.clone(), reads_mail)].into(),
        warnings: ["a warning".to_owned()].into(),
        ..facts
    }
}

/// The facts as text, which has each field.
fn text(facts: &Facts) -> String {
    format!("{facts:#?}")
}

#[test]
fn facts_of_some_workloads_are_the_same_but_for_the_others() {
    let facts = full();
    let api = service_arn("api");
    let expected = Facts {
        workloads: [(api.clone(), service())].into(),
        unexamined: BTreeMap::new(),
        unread_firsts: BTreeMap::new(),
        warnings: BTreeSet::new(),
        ..facts.clone()
    };
    let only = facts.only(&[api, service_arn("nobody")]);
    assert_eq!(text(&only), text(&expected));
}

#[test]
fn facts_about_one_change_have_what_names_it() {
    let facts = full();
    let expected = Facts {
        requested_at: facts.requested_at,
        changes: [(source(DB), facts.changes[&source(DB)].clone())].into(),
        looked_at: facts.looked_at.clone(),
        service: facts.service.clone(),
        workloads: [(service_arn("api"), service())].into(),
        full_arns: facts.full_arns.clone(),
        ..Facts::new(facts.scope.clone(), facts.began_at)
    };
    assert_eq!(text(&facts.about(&source(DB))), text(&expected));
}

#[test]
fn what_is_read_again_is_forgotten_and_nothing_else() {
    let before = full();
    let mut facts = before.clone();
    let unread = service_arn("api");
    facts.workloads.remove(&unread);
    let names = ["api", "web", "mail"].map(service_arn);
    facts.forget_reads(names, &before);
    let forgotten = |name: &str| {
        let mut workload = before.workloads[&service_arn(name)].clone();
        workload.forget_reads();
        (workload.arn.clone(), workload)
    };
    let expected = Facts {
        calendar: Fact::Unasked,
        unexamined: BTreeMap::new(),
        unread_firsts: BTreeMap::new(),
        workloads: ["api", "mail"].map(forgotten).into(),
        ..before.clone()
    };
    assert_eq!(text(&facts), text(&expected));
    assert!(
        facts
            .workloads
            .values()
            .all(|w| w.read_at < Some(facts.began_at))
    );
    let mut read = Workload {
        seen_at: Some(now()),
        history: Fact::Known(Vec::new()),
        tasks: Fact::Known(Vec::new()),
        images: Fact::Known(Vec::new()),
        ..service()
    };
    read.forget_reads();
    assert!(read.seen_at.is_none() && read.history.is_unasked());
    assert!(read.tasks.is_unasked() && read.images.is_unasked());
}

#[test]
fn what_was_throttled_or_failed_may_succeed_at_the_next_attempt() {
    let stays = |kind| gap(kind).stays();
    assert!(!stays(GapKind::Throttled) && !stays(GapKind::Failed));
    assert!(stays(GapKind::Denied) && stays(GapKind::Invalid) && stays(GapKind::NotFound));
}
