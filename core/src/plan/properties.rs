//! What holds for every account and every trigger.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use super::account::{Account, BEGINNING, LONG, any_account, truth};
use super::{End, Plan, Question, plan};
use crate::change::{AWSCURRENT, Bounds, Change};
use crate::confirm::{Claim, UnconfirmedChange};
use crate::decide::Decision;
use crate::fact::Fact;
use crate::facts::{Facts, Scope, Unconfirmed};
use crate::policy::Policy;
use crate::reason::{Action, Reason};
use crate::testing::{ACT, DB, MAIL, second, service_arn};

/// No more rounds of questions than these come before the first wait, and between any two. A
/// deployment asks about its own service in one more, whether an ARN is a full one takes another,
/// what else changed takes up to two, and where tasks put a change in doubt, the store and the trail are asked
/// about once more.
const MAX_ROUNDS: usize = 6;
/// The settling time, in seconds.
const SETTLE: i64 = 10;

fn policy(acts: bool) -> Policy {
    Policy {
        settle: SignedDuration::from_secs(SETTLE),
        acts,
        ..ACT
    }
}

/// What an invocation is about.
#[derive(Clone, Debug)]
enum Trigger {
    Changed(&'static str),
    Claimed(&'static str, Claim),
    Sweep,
    Deployment,
    RequestOfSecret(&'static str),
    RequestOfService,
}

fn any_trigger() -> impl Strategy<Value = Trigger> {
    let arns = select(vec![DB, MAIL, LONG]);
    prop_oneof![
        4 => any_event(),
        1 => arns.prop_map(Trigger::RequestOfSecret),
        1 => Just(Trigger::RequestOfService),
    ]
}

fn any_event() -> impl Strategy<Value = Trigger> {
    let arns = || select(vec![DB, MAIL, LONG]);
    let claims = select(vec![
        Claim::Rotated,
        Claim::Stored("v2".to_owned()),
        Claim::Requested("v2".to_owned()),
        Claim::Moved {
            labels: vec![AWSCURRENT.to_owned()],
            version: Some("v2".to_owned()),
        },
        Claim::Moved {
            labels: vec![AWSCURRENT.to_owned()],
            version: None,
        },
    ]);
    prop_oneof![
        arns().prop_map(Trigger::Changed),
        (arns(), claims).prop_map(|(arn, claim)| Trigger::Claimed(arn, claim)),
        Just(Trigger::Sweep),
        Just(Trigger::Deployment),
    ]
}

/// What a trigger alone says.
fn first_facts(trigger: &Trigger, account: &Account, began_at: Timestamp) -> Facts {
    let facts = |scope| Facts::new(scope, began_at);
    let unconfirmed = |secret_id: &str, claim, at| {
        Some(Unconfirmed {
            claim: UnconfirmedChange {
                secret_id: secret_id.to_owned(),
                region: None,
                claim,
                at: Some(at),
            },
            asked_at: None,
            answer: Fact::Unasked,
        })
    };
    match trigger {
        Trigger::Changed(arn) => {
            let mut facts = facts(Scope::Followers);
            let (source, at) = truth(account, arn);
            facts.announce(Change::new(
                source,
                Some("v2".to_owned()),
                Bounds::exact(at),
            ));
            facts
        }
        Trigger::Claimed(arn, claim) => {
            let (_, at) = truth(account, arn);
            Facts {
                unconfirmed: unconfirmed(arn, claim.clone(), at),
                ..facts(Scope::Followers)
            }
        }
        Trigger::Sweep => facts(Scope::Everything),
        Trigger::Deployment => facts(Scope::Around(service_arn("s0"))),
        Trigger::RequestOfSecret(arn) => Facts {
            requested_at: Some(began_at),
            unconfirmed: unconfirmed(arn, Claim::Asked, began_at),
            ..facts(Scope::Followers)
        },
        Trigger::RequestOfService => Facts {
            requested_at: Some(began_at),
            ..facts(Scope::Service("prod/s0".into()))
        },
    }
}

/// How questions of one round are answered. When things last changed always comes first: whatever else
/// is asked together with that may make it needless.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// All, as they come.
    All,
    /// All, the last first.
    Reversed,
    /// One of them, chosen by this.
    One(usize),
}

/// The loop, without the time that it takes.
struct Loop<'a> {
    account: &'a Account,
    policy: Policy,
    order: Order,
    now: Timestamp,
    /// The questions since the last wait.
    asked: BTreeSet<Question>,
    rounds: usize,
}

impl<'a> Loop<'a> {
    fn new(account: &'a Account, acts: bool, now: Timestamp) -> Self {
        Self {
            account,
            policy: policy(acts),
            order: Order::All,
            now,
            asked: BTreeSet::new(),
            rounds: 0,
        }
    }

    /// Asks until everything is decided; at a service's turn the dear questions, too.
    fn run(&mut self, facts: &mut Facts, is_turn: bool) -> Plan {
        for _ in 0..1000 {
            let mut plan = plan(facts, &self.policy, self.now);
            if self.policy.acts && !is_turn {
                plan.questions.retain(|question| !question.is_at_turn());
            }
            if !plan.questions.is_empty() {
                self.answer(facts, plan.questions);
            } else if let Some(until) = plan.wait_until {
                assert!(until > self.now, "a wait is for a time to come");
                self.now = until;
                self.asked.clear();
                self.rounds = 0;
            } else {
                return plan;
            }
        }
        panic!("the loop does not end: {facts:#?}")
    }

    fn answer(&mut self, facts: &mut Facts, questions: BTreeSet<Question>) {
        let is_first = |question: &Question| matches!(question, Question::LastChanges(_));
        let mut questions = Vec::from_iter(questions);
        match self.order {
            Order::All => {}
            Order::Reversed => {
                questions.reverse();
                questions.sort_by_key(|question| !is_first(question));
            }
            Order::One(seed) => {
                let first = questions.iter().position(is_first);
                let index = first.unwrap_or((seed + self.rounds * 7) % questions.len());
                questions = vec![questions.swap_remove(index)];
            }
        }
        self.rounds += 1;
        let is_deployment = matches!(facts.scope, Scope::Around(_));
        let is_dated = facts.scope == Scope::Followers && !facts.followed.is_empty();
        let is_ambiguous = !facts.full_arns.is_empty();
        let has_tasks = facts
            .workloads
            .values()
            .any(|workload| !workload.tasks.is_unasked());
        let max_rounds = MAX_ROUNDS
            + usize::from(is_deployment)
            + 2 * usize::from(is_dated)
            + usize::from(is_ambiguous)
            + 2 * usize::from(has_tasks);
        let mut known = self.asked.iter().chain(&questions);
        let is_early = !known.any(Question::is_at_turn);
        if is_early && !matches!(self.order, Order::One(_)) {
            let asked = &self.asked;
            assert!(self.rounds <= max_rounds, "{questions:#?} after {asked:#?}");
        }
        // What is asked at once is answered at once, by the facts so far.
        let answers: Vec<_> = questions
            .into_iter()
            .map(|question| {
                let is_new = self.asked.insert(question.clone());
                assert!(is_new, "{question:?} was answered: {facts:#?}");
                self.account.answer(question, facts, self.now)
            })
            .collect();
        for answer in answers {
            facts.learn(answer, self.now);
        }
    }
}

/// What a preview at this time says.
fn preview(trigger: &Trigger, account: &Account, order: Order, now: Timestamp) -> Plan {
    let mut facts = first_facts(trigger, account, now);
    let mut previewed = Loop {
        order,
        ..Loop::new(account, false, now)
    };
    previewed.run(&mut facts, true)
}

/// What becomes of each workload when an invocation of this time carries its decisions out, and when
/// each was decided at last.
fn execute(
    trigger: &Trigger,
    account: &Account,
    began_at: Timestamp,
) -> (Option<End>, Vec<(Decision, Timestamp)>) {
    let mut facts = first_facts(trigger, account, began_at);
    let mut early = Loop::new(account, true, began_at);
    let decided = early.run(&mut facts, false);
    let done = decided.decisions.into_iter().map(|decision| {
        if decision.action() != Action::Redeploy {
            return (decision, early.now);
        }
        let mut facts = facts.only(std::slice::from_ref(&decision.workload));
        let mut turn = Loop::new(account, true, early.now);
        let decisions = turn.run(&mut facts, true).decisions;
        let gone = Decision {
            reason: Reason::NotActive,
            ..decision
        };
        (decisions.into_iter().next().unwrap_or(gone), turn.now)
    });
    (decided.end, done.collect())
}

fn sorted(plan: Plan) -> Vec<Decision> {
    let mut decisions = plan.decisions;
    decisions.sort_by(|a, b| a.workload.cmp(&b.workload));
    decisions
}

/// What happens to each workload, and why. What it is about is given as far as that had to be known.
fn reasons(plan: Plan) -> Vec<(Arc<str>, Reason)> {
    let decisions = sorted(plan).into_iter();
    decisions
        .map(|decision| (decision.workload, decision.reason))
        .collect()
}

proptest! {
    // The same accounts in each run.
    #![proptest_config(ProptestConfig {
        cases: 4 * ProptestConfig::default().cases,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_loop_ends_soon_and_asks_nothing_twice(
        account in any_account(), trigger in any_trigger(), age in 0..100_i64,
    ) {
        preview(&trigger, &account, Order::All, second(BEGINNING + age));
        execute(&trigger, &account, second(BEGINNING));
    }

    #[test]
    fn the_order_of_the_answers_does_not_matter(
        account in any_account(), trigger in any_trigger(), seed in 0..100_usize,
    ) {
        let now = second(BEGINNING + 100);
        let decided = preview(&trigger, &account, Order::All, now);
        let reversed = preview(&trigger, &account, Order::Reversed, now);
        prop_assert_eq!(&decided.end, &reversed.end);
        prop_assert_eq!(sorted(decided.clone()), sorted(reversed));
        // Whether a service is read again may depend on what is known then.
        let account = account.steady();
        let decided = preview(&trigger, &account, Order::All, now);
        let one_by_one = preview(&trigger, &account, Order::One(seed), now);
        prop_assert_eq!(&decided.end, &one_by_one.end);
        prop_assert_eq!(reasons(decided), reasons(one_by_one));
    }

    #[test]
    fn a_preview_says_what_is_done(
        account in any_account(), trigger in any_event(), age in SETTLE + 3..100,
    ) {
        let account = account.readable();
        // All that changed has settled.
        let now = second(BEGINNING + age);
        let (end, done) = execute(&trigger, &account, now);
        let said = preview(&trigger, &account, Order::All, now);
        prop_assert_eq!(&end, &said.end);
        prop_assert!(done.iter().all(|(_, at)| *at == now));
        let decided = |decision: &Decision| (decision.workload.clone(), decision.reason, decision.until);
        let done: Vec<_> = done.iter().map(|(decision, _)| decided(decision)).collect();
        let said: Vec<_> = said.decisions.iter().map(decided).collect();
        prop_assert_eq!(done, said);
    }

    #[test]
    fn nothing_is_redeployed_before_its_change_has_settled(
        account in any_account(), trigger in any_trigger(),
    ) {
        for (decision, at) in execute(&trigger, &account, second(BEGINNING)).1 {
            if decision.action() == Action::Redeploy {
                prop_assert!(at >= policy(true).settled_from(decision.at));
                prop_assert!(!decision.sources.is_empty());
            }
        }
    }
}
