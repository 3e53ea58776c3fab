//! `audit`: what is on an older value of something that it reads.

mod document;

use std::collections::BTreeSet;

use jiff::Timestamp;
use redeploy_core::change::Change;
use redeploy_core::config::Config;
use redeploy_core::facts::Facts;
use redeploy_core::name_pattern::NamePatterns;
use redeploy_core::plan::{Plan, Question, plan};
use redeploy_core::policy::Policy;
use redeploy_core::reason::Reason;
use redeploy_on_rotation::clock::Clock;

use crate::args::{Audit, Format};
use crate::connection::open;
use crate::names::{check, is_called};
use crate::operator::Session;
use crate::output::{Error, Exit, print, print_json};
use crate::preview::{Examined, SWEEP, preview, to_seconds};

pub(crate) use document::{Document, State};
use document::{Unexamined, Used, User};

pub(crate) async fn run(audit: &Audit) -> Result<Exit, Error> {
    audit.output.format.write_global();
    let (session, config) = open(&audit.scope).await?;
    let mut preview = preview(&session, &config, SWEEP, Policy::new(&config, false)).await?;
    preview.say_errors();
    let clock = preview.clock;
    let Some(examined) = preview.examined.first_mut() else {
        return Ok(Exit::Ok);
    };
    check(&examined.facts, &audit.names)?;
    ask(&session, &config, examined, &clock).await;
    let now = clock.now();
    let mut document = examine(examined, now);
    if !audit.names.is_empty() {
        document.keep(|secret, name| {
            let mut names = audit.names.iter();
            names.any(|wanted| is_called(secret, wanted) || is_called(name, wanted))
        });
    }
    if let Some(age) = audit.older_than {
        document.leave_out_younger(age, now);
    }
    document.count();
    match audit.output.format {
        Format::Json => print_json(&document)?,
        format => {
            if format == Format::Markdown {
                print(&format!("{} at {}\n", session.place(), to_seconds(now)))?;
            }
            document.print(now)?;
            if format == Format::Markdown {
                document.print_unexamined()?;
            }
        }
    }
    Ok(if preview.report.failure.is_some() {
        Exit::Error
    } else if document.stale + document.rolling > 0 {
        Exit::ActionNeeded
    } else {
        Exit::Ok
    })
}

/// Asks what each change leaves open by itself, which a sweep does not ask where another one decides;
/// and which tasks run where a rollout is under way, or left tasks of before: they decide.
pub(crate) async fn ask(
    session: &Session,
    config: &Config,
    examined: &mut Examined,
    clock: &Clock,
) {
    let Examined { facts, policy, .. } = examined;
    let mut left_out = plan(facts, &of_all(policy), clock.now()).questions;
    left_out.retain(|question| matches!(question, Question::LastChanges(_)));
    let answers = session.aws.answer(config, facts, left_out, || clock.now());
    for answer in answers.await {
        facts.learn(answer, clock.now());
    }
    let mut open: Vec<_> = facts.changes.keys().cloned().collect();
    loop {
        let mut questions = BTreeSet::new();
        let mut moves = BTreeSet::new();
        open.retain(|source| {
            let before = (questions.len(), moves.len());
            for question in open_questions(&facts.about(source), policy, clock.now()) {
                match question {
                    Question::MoveTimes(sources) => moves.extend(sources),
                    question => drop(questions.insert(question)),
                }
            }
            (questions.len(), moves.len()) != before
        });
        questions.extend((!moves.is_empty()).then_some(Question::MoveTimes(moves)));
        if questions.is_empty() {
            return;
        }
        let answers = session.aws.answer(config, facts, questions, || clock.now());
        for answer in answers.await {
            facts.learn(answer, clock.now());
        }
    }
}

/// A policy that takes in what `REDEPLOY_SECRETS` leaves out, which is shown as exempt.
fn of_all(policy: &Policy) -> Policy {
    Policy {
        secrets: NamePatterns::default(),
        ..policy.clone()
    }
}

/// What decides about one change.
fn open_questions(alone: &Facts, policy: &Policy, now: Timestamp) -> Vec<Question> {
    let asks = |question: &Question| {
        use Question::{MoveTimes, Tasks, VersionStored};
        matches!(question, VersionStored(_) | MoveTimes(_) | Tasks(_))
    };
    let mut questions: Vec<_> = plan(alone, policy, now).questions.into_iter().collect();
    questions.retain(asks);
    let workloads = alone.workloads.values();
    let open = workloads.filter(|workload| workload.has_other_tasks());
    let unasked = open.clone().filter(|workload| workload.tasks.is_unasked());
    questions.extend(unasked.map(|workload| Question::Tasks(workload.arn.clone())));
    let undated = alone.changes.values().filter(|change| {
        change.stored.is_unasked() && !change.moved().is_exact() && change.source.label().is_some()
    });
    let undated = undated.filter(|_| open.clone().next().is_some());
    questions.extend(undated.map(|change| Question::VersionStored(change.source.clone())));
    questions
}

/// Holds everything that is used against everything that uses it, by the function's own decisions.
pub(crate) fn examine(
    Examined {
        facts,
        plan: Plan { decisions, .. },
        policy,
    }: &Examined,
    now: Timestamp,
) -> Document<'_> {
    let changes = facts.changes.values();
    let secrets = changes.map(|change| examine_change(change, facts, policy, now));
    let mut secrets: Vec<_> = secrets.collect();
    secrets.sort_by_cached_key(|secret| {
        let stale = secret.count(State::Stale);
        let worst = secret.users.iter().map(|user| user.state).min();
        (
            worst.unwrap_or(State::Exempt),
            std::cmp::Reverse(stale),
            secret.changed_at,
            secret.secret.clone(),
        )
    });
    let unexamined = decisions.iter().filter_map(|decision| {
        Some(Unexamined {
            name: &decision.workload,
            problem: decision.reason,
            error: decision.error.as_deref()?,
            secrets: &decision.sources,
        })
    });
    let unexamined: Vec<_> = unexamined.collect();
    let mut document = Document {
        stale: 0,
        rolling: 0,
        unknown: 0,
        current: 0,
        exempt: 0,
        warnings: facts.warnings.iter().map(String::as_str).collect(),
        unexamined,
        secrets,
    };
    document.count();
    document
}

/// Decides as if this change were the only one.
fn examine_change(change: &Change, facts: &Facts, policy: &Policy, now: Timestamp) -> Used {
    let alone = facts.about(&change.source);
    let is_left_out = !policy.secrets.include_source(&change.source);
    let decisions = plan(&alone, &of_all(policy), now).decisions.into_iter();
    let users = decisions.map(|mut decision| {
        if is_left_out {
            decision.reason = Reason::SecretIgnored;
        }
        let workload = alone.workloads.get(&decision.workload);
        User::new(decision, workload, change)
    });
    let mut users: Vec<_> = users.collect();
    users.sort_by(|a, b| (a.state, &a.name).cmp(&(b.state, &b.name)));
    let moved = change.moved();
    let is_bounded = !moved.is_exact() && moved.not_before > Timestamp::MIN;
    Used {
        secret: change.source.to_string(),
        label: change.source.label().map(str::to_owned),
        version: change.version.clone(),
        changed_at: moved.not_after,
        changed_not_before: is_bounded.then_some(moved.not_before),
        users,
    }
}
