//! An account of AWS that answers every question of the planner, and does so consistently.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::Question;
use crate::arn::SecretArn;
use crate::change::{AWSCURRENT, Source, TrailMove, VersionStored};
use crate::confirm::SecretFacts;
use crate::fact::{Fact, Gap, GapKind};
use crate::facts::{Answer, Calendar, Existence, Facts, Followed, Found, Look};
use crate::testing::{
    DB, MAIL, REVISION, VERSION, at_start, deployment, gap, past, platform, second, service,
    service_arn, source, standalone,
};
use crate::workload::{Controller, Deployment, Platform, RolloutState, Strategy as Shift, Task};
use crate::workload::{Use, Workload};

/// When invocations begin.
pub(super) const BEGINNING: i64 = 10_000;
/// The full ARN of a secret, or the partial one of [`LONG`].
pub(super) const SHORT: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef";
/// A secret whose name ends as AWS ends full ARNs.
pub(super) const LONG: &str =
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-abcdef-XyZ123";

/// All that AWS knows.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) secrets: BTreeMap<&'static str, Secret>,
    /// When the parameter `/app/limit` changed, where it exists.
    parameter: Option<i64>,
    is_full: Fact<bool>,
    services: Vec<Service>,
    look: Result<(), GapKind>,
}

/// A secret and what can be found out about its last change.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub(super) moved: i64,
    changed: i64,
    stored: Fact<Option<VersionStored>>,
    trail: Fact<Option<TrailMove>>,
}

/// A service or task, and what becomes of questions about it.
#[derive(Clone, Debug)]
struct Service {
    truth: Workload,
    /// A look shows it as it was read before, or only its name.
    seen: Seen,
    described: Result<bool, GapKind>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Now,
    Before,
    ByName,
}

impl Account {
    /// The same account, all of whose task definitions can be read.
    ///
    /// What else must be known of a service of which one cannot be read depends on all changes, and
    /// those may be known better for the sake of another service.
    pub(super) fn readable(mut self) -> Self {
        for service in &mut self.services {
            service.truth.unread = None;
        }
        self
    }

    /// The same account, in which nothing fails or vanishes when it is read again.
    pub(super) fn steady(self) -> Self {
        let mut account = self.readable();
        for service in &mut account.services {
            service.described = Ok(true);
        }
        account
    }

    /// Answers a question at this time.
    pub(super) fn answer(&self, question: Question, facts: &Facts, now: Timestamp) -> Answer {
        match question {
            Question::Look { .. } => {
                let look = self.look.map(|()| Arc::new(self.look(now)));
                Answer::Look(look.map_err(gap), BTreeMap::new())
            }
            Question::Service(name) => {
                let found = self
                    .services
                    .iter()
                    .find(|known| known.truth.is_called(&name));
                Answer::Service(match found.map(|found| (found, found.described)) {
                    None | Some((_, Ok(false))) => Ok((Existence::Nowhere, None)),
                    Some((found, Ok(true))) => Ok((Existence::Here, Some(found.read(now)))),
                    Some((_, Err(kind))) => Err(gap(kind)),
                })
            }
            Question::Secret => {
                let id = &facts.unconfirmed.as_ref().unwrap().claim.secret_id;
                Answer::Secret(Fact::Known(self.secret(id)))
            }
            Question::Replica { of, replica } => {
                let found = Fact::Known(self.secret(&replica.to_string()));
                Answer::Replica { of, replica, found }
            }
            Question::LastChanges(followed) => {
                let found = followed.into_iter().map(|followed| {
                    let fact = self.last_change(&followed);
                    (followed, fact)
                });
                Answer::LastChanges(found.collect())
            }
            Question::FullArn(arn) => Answer::FullArn(arn, self.is_full.clone()),
            Question::Tag(source) => {
                let secret = self.secret(&source.to_string());
                Answer::Tag(source, Fact::Known(secret))
            }
            Question::Calendar => Answer::Calendar(Fact::Known(Calendar::Open)),
            Question::Images(arn) => Answer::Images(arn, Fact::Known(Vec::new())),
            Question::ImageTags(images) => {
                let known = |image| (image, Fact::Known(None));
                Answer::ImageTags(images.into_iter().map(known).collect())
            }
            Question::VersionStored(source) => {
                let fact = self
                    .known(&source)
                    .map_or(Fact::Known(None), |s| s.stored.clone());
                Answer::VersionStored(source, fact)
            }
            Question::MoveTimes(sources) => {
                let found = sources.into_iter().map(|source| {
                    let fact = self
                        .known(&source)
                        .map_or(Fact::Known(None), |s| s.trail.clone());
                    (source, fact)
                });
                Answer::MoveTimes(found.collect(), BTreeSet::new())
            }
            Question::Tasks(arn) => {
                let tasks = self.service(&arn).truth.tasks.clone();
                Answer::Tasks(arn, tasks)
            }
            Question::Describe(arn) | Question::Refresh(arn) => {
                let service = self.service(&arn);
                let read = match service.described {
                    Ok(is_here) => Ok(is_here.then(|| service.read(now))),
                    Err(kind) => Err(gap(kind)),
                };
                Answer::Workloads(vec![(arn, read)])
            }
            Question::History { workload, since } => {
                let mut history = self.service(&workload).truth.history.clone();
                if let Fact::Known(history) = &mut history {
                    history.retain(|past| past.created_at >= since);
                }
                Answer::History(workload, history)
            }
            Question::TaskDefinitions(revision) => {
                let is_ours = revision.ends_with(['0', '2', '4', '6', '8']);
                let name = if is_ours { REVISION } else { "another" };
                Answer::TaskDefinitions([(revision, Fact::Known(name.into()))].into())
            }
        }
    }

    fn look(&self, now: Timestamp) -> Look {
        let workloads = self.services.iter().map(|service| service.seen(now));
        Look {
            began_at: now,
            workloads: workloads.collect(),
            unexamined: BTreeMap::new(),
            warnings: BTreeSet::new(),
        }
    }

    fn service(&self, name: &str) -> &Service {
        let found = self
            .services
            .iter()
            .find(|service| service.truth.is_called(name));
        found.unwrap_or_else(|| panic!("{name} is asked about, and no answer has it"))
    }

    fn known(&self, source: &Source) -> Option<&Secret> {
        self.secrets.get(source.to_string().as_str())
    }

    fn secret(&self, id: &str) -> Option<SecretFacts> {
        let found = self.secrets.iter().find(|(arn, _)| {
            let arn = SecretArn::parse(arn).unwrap();
            arn.to_string() == id
                || arn.name() == id
                || id.ends_with(&format!("secret:{}", arn.name()))
        });
        found.map(|(arn, secret)| SecretFacts {
            arn: SecretArn::parse(arn).unwrap(),
            labels: [(AWSCURRENT.to_owned(), "v2".to_owned())].into(),
            last_changed: Some(second(secret.changed)),
            last_rotated: None,
            tag: None,
        })
    }

    fn last_change(&self, followed: &Followed) -> Fact<Option<Found>> {
        Fact::Known(match followed {
            Followed::Secret { id, .. } => self.secret(id).map(Found::Secret),
            Followed::Parameter { .. } => self.parameter.map(second).map(Found::Parameter),
        })
    }
}

impl Service {
    /// What a new read shows.
    fn read(&self, now: Timestamp) -> Workload {
        Workload {
            read_at: Some(now),
            history: Fact::Unasked,
            tasks: Fact::Unasked,
            ..self.truth.clone()
        }
    }

    /// What a look shows.
    fn seen(&self, now: Timestamp) -> Workload {
        let read = self.read(now);
        match self.seen {
            Seen::ByName if read.platform != Platform::StandaloneTask => Workload {
                arn: read.arn.split_once(":service/").unwrap().1.into(),
                location: None,
                deployments: Vec::new(),
                read_at: None,
                ..read
            },
            Seen::Before => Workload {
                read_at: Some(second(BEGINNING - 100)),
                ..read
            },
            _ => read,
        }
    }
}

fn rollout() -> impl Strategy<Value = RolloutState> {
    use RolloutState::{Completed, Failed, InProgress, RollingBack, Stopped, Unknown};
    select(vec![
        Completed,
        Completed,
        InProgress,
        Failed,
        RollingBack,
        Stopped,
        Unknown,
    ])
}

/// Moments before an invocation begins, some of them the same as others.
fn moment() -> impl Strategy<Value = i64> {
    let near = (0..8_i64).prop_map(|back| BEGINNING - 20 * back);
    let far = (1..8_i64).prop_map(|back| BEGINNING - 900 * back);
    prop_oneof![near, far, Just(BEGINNING + 1)]
}

fn unavailable<T: Clone + std::fmt::Debug + 'static>() -> impl Strategy<Value = Fact<T>> {
    let kinds = vec![GapKind::Failed, GapKind::Denied, GapKind::NotFound];
    select(kinds).prop_map(|kind| Fact::Unavailable(gap(kind)))
}

fn secret() -> impl Strategy<Value = Secret> {
    (
        moment(),
        0..200_i64,
        0..200_i64,
        0..5_u8,
        0..6_u8,
        unavailable(),
        unavailable(),
    )
        .prop_map(|(moved, later, before, store, trail, no_store, no_trail)| {
            let stored_at = |is_only| VersionStored {
                at: second(if is_only { moved } else { moved - before }),
                is_only,
            };
            Secret {
                moved,
                changed: (moved + later).min(moved.max(BEGINNING)),
                stored: match store {
                    0 => Fact::Known(None),
                    1 => no_store,
                    store => Fact::Known(Some(stored_at(store == 2))),
                },
                trail: match trail {
                    0 => Fact::Known(None),
                    1 => no_trail,
                    2 => Fact::Known(Some(TrailMove::NotBefore(second(moved - before)))),
                    3 => Fact::Known(Some(TrailMove::NotAfter(second(moved + later / 2)))),
                    _ => Fact::Known(Some(TrailMove::At(second(moved)))),
                },
            }
        })
}

fn uses() -> impl Strategy<Value = Vec<Use>> {
    let all = [
        at_start(DB),
        at_start(DB.trim_end_matches("-Ab12Cd")),
        at_start("/aws/reference/secretsmanager/prod/db"),
        at_start(MAIL),
        at_start("/app/limit"),
        at_start(SHORT),
        at_start(&format!("{MAIL}:::{VERSION}")),
        at_start("/aws/reference/secretsmanager/gone"),
        Use::AtImagePull(crate::testing::reference(MAIL)),
    ];
    subsequence(all.to_vec(), 0..=4)
}

fn live() -> impl Strategy<Value = Vec<Deployment>> {
    let one = (moment(), rollout(), 0..3_i32, any::<bool>());
    proptest::collection::vec(one, 0..4).prop_map(|all| {
        let of = |(index, (at, rollout, failed_tasks, is_ours))| Deployment {
            id: format!("ecs-svc/{index}"),
            failed_tasks,
            task_definition: Fact::Known(if is_ours { REVISION } else { "another" }.into()),
            ..deployment(at, index == 0, rollout)
        };
        all.into_iter().enumerate().map(of).collect()
    })
}

fn history(index: usize) -> impl Strategy<Value = Fact<Vec<Deployment>>> {
    let all = proptest::collection::vec((moment(), rollout()), 0..4);
    let all = all.prop_map(move |all| {
        all.into_iter().map(move |(at, rollout)| Deployment {
            service_revision: Some(format!("revision/{index}/{at}")),
            ..past(at, rollout)
        })
    });
    prop_oneof![
        8 => all.prop_map(|all| Fact::Known(all.collect())),
        1 => unavailable(),
    ]
}

fn running_tasks() -> impl Strategy<Value = Fact<Vec<Task>>> {
    let one = (moment(), 0..3_u8).prop_map(|(at, deployment)| Task {
        created_at: second(at),
        started_by: format!("ecs-svc/{deployment}"),
    });
    prop_oneof![
        8 => proptest::collection::vec(one, 0..4).prop_map(Fact::Known),
        1 => unavailable(),
    ]
}

fn any_service(index: usize) -> impl Strategy<Value = Service> {
    let counts = (0..3_i32, 0..4_i32);
    let flags = (proptest::bool::weighted(0.9), proptest::bool::weighted(0.1));
    let tag = select(vec![
        None,
        None,
        None,
        Some("ignore".into()),
        Some("a".into()),
    ]);
    let platform = prop_oneof![
        6 => Just(platform(Controller::Ecs, Shift::Rolling)),
        2 => Just(platform(Controller::Ecs, Shift::BlueGreen)),
        1 => Just(platform(Controller::External, Shift::Rolling)),
    ];
    let seen = select(vec![Seen::Now, Seen::Now, Seen::Before, Seen::ByName]);
    let described = prop_oneof![
        8 => Just(Ok(true)),
        1 => Just(Ok(false)),
        1 => select(vec![GapKind::Denied, GapKind::Failed]).prop_map(Err),
    ];
    let unread: BoxedStrategy<Option<Gap>> = prop_oneof![
        9 => Just(None),
        1 => select(vec![GapKind::Failed, GapKind::Denied]).prop_map(|kind| Some(gap(kind))),
    ]
    .boxed();
    let facts = (uses(), live(), history(index), running_tasks(), unread);
    (
        (counts, flags, tag, platform),
        facts,
        seen,
        described,
        proptest::option::of(moment()),
    )
        .prop_map(
            move |(
                ((desired, running), (active, inactive), tag, platform),
                facts,
                seen,
                described,
                forced,
            )| {
                let (uses, deployments, history, tasks, unread) = facts;
                let truth = Workload {
                    arn: service_arn(&format!("s{index}")),
                    platform,
                    active,
                    tag,
                    desired,
                    running,
                    deployments,
                    inactive_task_definition: inactive,
                    uses: uses.into(),
                    unread,
                    forced_at: forced.map(second),
                    history,
                    tasks,
                    ..service()
                };
                // What a look has just read is still there when it is read again.
                let seen = match described {
                    Err(_) | Ok(false) if seen == Seen::Now => Seen::Before,
                    _ => seen,
                };
                Service {
                    truth,
                    seen,
                    described,
                }
            },
        )
}

fn any_task() -> impl Strategy<Value = Option<Service>> {
    let task = (moment(), uses()).prop_map(|(at, uses)| Service {
        truth: Workload {
            uses: uses.into(),
            ..standalone(at)
        },
        seen: Seen::Now,
        described: Ok(true),
    });
    proptest::option::weighted(0.3, task)
}

/// Any account.
pub(super) fn any_account() -> impl Strategy<Value = Account> {
    let secrets = (secret(), secret(), secret(), secret());
    let services = (any_service(0), any_service(1), any_service(2), any_task());
    let parameter = proptest::option::weighted(0.8, moment());
    let is_full = prop_oneof![any::<bool>().prop_map(Fact::Known), unavailable()];
    let look = prop_oneof![30 => Just(Ok(())), 1 => Just(Err(GapKind::Failed))];
    (secrets, services, parameter, is_full, look).prop_map(
        |((db, mail, short, long), (a, b, c, task), parameter, is_full, look)| Account {
            secrets: [(DB, db), (MAIL, mail), (SHORT, short), (LONG, long)].into(),
            parameter,
            is_full,
            services: [Some(a), Some(b), Some(c), task]
                .into_iter()
                .flatten()
                .collect(),
            look,
        },
    )
}

/// The change of a secret at the time at which it really changed.
pub(super) fn truth(account: &Account, arn: &str) -> (Source, Timestamp) {
    (source(arn), second(account.secrets[arn].moved))
}
