//! What must be known, and what is decided by the facts so far. Pure and total.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::change::{Change, Source};
use crate::decide::{Decision, Verdict, counted, decide, is_only_notified};
use crate::fact::Gap;
use crate::facts::{Facts, Followed, LastChange, Scope};
use crate::image::EcrImage;
use crate::policy::Policy;
use crate::reason::{Action, Reason};
use crate::relation::Relations;
use crate::schedule::{Judged, schedule};
use crate::workload::{Deployment, MIN_ROLLOUT_AGE, Platform, Workload};

mod observe;
use observe::{look_for_others, look_for_siblings, observe, replicas_behind};

/// Something that must be known before it can be decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Who follows what, by a look that began at this time or later.
    Look {
        /// The earliest time, UTC.
        not_before: Timestamp,
    },
    /// What a service is, what it names and what runs.
    Service(Arc<str>),
    /// What `DescribeSecret` says about the claim of the event.
    Secret,
    /// Whether a replica of what changed has the change.
    Replica {
        /// What changed.
        of: Source,
        /// The replica.
        replica: Source,
    },
    /// When these last changed.
    LastChanges(BTreeSet<Followed>),
    /// Whether this is the full ARN of a secret.
    FullArn(String),
    /// What the tag of the secret says.
    Tag(Source),
    /// Whether the change calendars are open.
    Calendar,
    /// The images that the service revisions of a service start.
    Images(Arc<str>),
    /// What these image tags name.
    ImageTags(BTreeSet<EcrImage>),
    /// When the version that carries the label was stored.
    VersionStored(Source),
    /// When these labels moved, by CloudTrail.
    MoveTimes(BTreeSet<Source>),
    /// The running tasks of a workload.
    Tasks(Arc<str>),
    /// Counts and deployments of a workload as they are now.
    Describe(Arc<str>),
    /// The same, right before it is acted on.
    Refresh(Arc<str>),
    /// The deployments of a workload that were created at `since` or later, right before it is acted
    /// on.
    History {
        /// Its ARN.
        workload: Arc<str>,
        /// The earliest creation, UTC.
        since: Timestamp,
    },
    /// The task definition of a service revision.
    TaskDefinitions(String),
}

/// What is to be asked, what to wait for, and what is decided.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What to ask next.
    pub questions: BTreeSet<Question>,
    /// Whether the questions of a service's turn are asked now, because others wait for the answers.
    pub ahead: bool,
    /// When the changes that matter have settled, UTC, where that is in the future.
    pub wait_until: Option<Timestamp>,
    /// The decisions by the facts so far.
    pub decisions: Vec<Decision>,
    /// Why there is nothing to decide, once that is known.
    pub end: Option<End>,
    /// What a person should know, in sentences.
    pub warnings: BTreeSet<String>,
}

/// Why an invocation ends without decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// There is nothing to do.
    Ignored(String),
    /// The rotation is still under way. Its end has an event of its own.
    Pending(String),
    /// AWS does not show the change yet, and no other event will come.
    Outdated(String),
    /// A request names no secret.
    NoSecret,
    /// A request names no service in scope.
    NoService,
    /// Without this nothing can be found out.
    Unavailable(Gap),
}

/// A service that was read longer ago than this is read again before it is redeployed.
const MAX_FACT_AGE: SignedDuration = SignedDuration::from_secs(5);
/// An invocation that is younger than this checks for newer changes before it acts.
const MAX_PATIENCE: SignedDuration = SignedDuration::from_mins(1);

impl Question {
    /// Whether it is asked only when a service's turn comes: it is expensive, or its answer goes out
    /// of date quickly.
    #[must_use]
    pub fn is_at_turn(&self) -> bool {
        matches!(
            self,
            Self::Refresh(_) | Self::History { .. } | Self::TaskDefinitions(_)
        )
    }
}

/// What to ask next, and what is decided by the facts so far.
#[must_use]
pub fn plan(facts: &Facts, policy: &Policy, now: Timestamp) -> Plan {
    if let Some(plan) = observe(facts, policy, now) {
        return plan;
    }
    let mut plan = Plan::default();
    let changes = facts.changes.values();
    let changes = changes.filter(|change| policy.secrets.include_source(&change.source));
    let relations = Relations::new(changes);
    let (mut judged, unsettled) = judge(facts, &relations, policy, now, &mut plan);
    if plan.questions.iter().any(|question| !question.is_at_turn()) {
        // The answers may make those of a service's turn needless, in a preview, too.
        plan.questions.retain(|question| !question.is_at_turn());
    } else if unsettled.is_some() {
        plan.wait_until = unsettled;
    } else {
        let unread = facts.unread_firsts.values();
        let unread = unread.flat_map(|first| {
            relations
                .of(&first.uses, first.location.as_deref(), &facts.full_arns)
                .0
        });
        let unread = unread.map(|related| related.known.change.source.clone());
        let schedule = schedule(&mut judged, &unread.collect(), facts, policy, now);
        plan.warnings = schedule.warnings;
        if !schedule.questions.is_empty() {
            plan.ahead = schedule.questions.iter().any(Question::is_at_turn);
            plan.questions = schedule.questions;
        }
    }
    let decisions = judged.into_iter().map(|judged| judged.verdict.decision);
    plan.decisions.extend(decisions);
    plan.decisions.sort_by(|a, b| a.workload.cmp(&b.workload));
    plan.warnings.extend(left_alone(&plan.decisions, policy));
    plan
}

/// One warning for all services that hold values from before `REDEPLOY_SINCE`.
fn left_alone(decisions: &[Decision], policy: &Policy) -> Option<String> {
    let is_too_old = |decision: &&Decision| decision.reason == Reason::TooOld;
    let count = decisions.iter().filter(is_too_old).count();
    let since = policy.since.filter(|_| count > 0)?;
    Some(format!(
        "services left alone, because what they hold changed before REDEPLOY_SINCE={since}: {count}; \
         `redeploy-on-rotation redeploy --stale` redeploys them"
    ))
}

/// Decides about each workload alone; says when what is to be redeployed has settled, where that is in
/// the future.
fn judge<'a>(
    facts: &'a Facts,
    relations: &'a Relations<'a>,
    policy: &Policy,
    now: Timestamp,
    plan: &mut Plan,
) -> (Vec<Judged<'a>>, Option<Timestamp>) {
    ask_for_last_changes(facts, policy, now, plan);
    plan.questions.extend(look_for_siblings(facts, policy, now));
    plan.questions.extend(look_for_others(facts, policy, now));
    let mut unsettled = None;
    let mut all = Vec::new();
    for workload in facts.workloads.values() {
        let location = workload.location.as_deref();
        let (related, ambiguous) = relations.of(&workload.uses, location, &facts.full_arns);
        let verdict = decide(workload, &related, policy, now);
        if !ambiguous.is_empty() {
            // It may have nothing to do with the changes.
            let full_arns = ambiguous.into_iter().map(Question::FullArn);
            plan.questions.extend(full_arns);
            plan.decisions
                .extend(verdict.map(|verdict| verdict.decision));
            continue;
        }
        let decision = verdict.as_ref().map(|verdict| &verdict.decision);
        if must_be_described(facts, workload, decision) {
            let at = decision.map_or(Timestamp::MIN, |decision| decision.at);
            let settled_from = policy.settled_from(at);
            if facts.scope == Scope::Followers && policy.acts && now < settled_from {
                // Described at that time, it need not be read twice.
                unsettled = unsettled.max(Some(settled_from));
            } else {
                plan.questions
                    .insert(Question::Describe(workload.arn.clone()));
            }
            plan.decisions
                .extend(verdict.map(|verdict| verdict.decision));
            continue;
        }
        let Some(verdict) = with_gaps(facts, policy, workload, now, verdict) else {
            continue;
        };
        plan.questions.extend(verdict.questions.iter().cloned());
        let shown_from = policy.visible_from(facts.began_at);
        if policy.acts && lags_behind_its_event(facts, workload, &verdict.decision, shown_from) {
            if now < shown_from {
                unsettled = unsettled.max(Some(shown_from));
            } else {
                plan.questions
                    .insert(Question::Describe(workload.arn.clone()));
            }
        }
        if verdict.decision.action() == Action::Redeploy && policy.acts {
            let settled_from = policy.settled_from(verdict.changed);
            if now < settled_from {
                unsettled = unsettled.max(Some(settled_from));
            } else {
                plan.questions
                    .extend(read_again(facts, workload, settled_from, now));
            }
        }
        all.push(Judged {
            workload,
            is_first: workload.is_first() && !is_only_notified(workload, policy),
            // Fresh services, of which there may be thousands, need it only for an order.
            followed: if verdict.is_settled() && !has_order(facts, policy) {
                Vec::new()
            } else {
                counted(&related, policy)
            },
            verdict,
        });
    }
    for (name, unexamined) in &facts.unexamined {
        plan.decisions.push(Decision {
            workload: name.as_str().into(),
            reason: unexamined.gap.clone().of_a_service().reason(),
            sources: unexamined.sources.clone(),
            at: Timestamp::MIN,
            until: None,
            error: Some(unexamined.gap.error.clone()),
        });
    }
    (all, unsettled)
}

/// Whether a deployment is under way by what was read of its service before that moment, although the
/// event says that it is completed. No other event comes.
fn lags_behind_its_event(
    facts: &Facts,
    workload: &Workload,
    decision: &Decision,
    shown_from: Timestamp,
) -> bool {
    decision.reason == Reason::DeploymentInProgress
        && facts.completed.is_some()
        && matches!(&facts.scope, Scope::Around(arn) if workload.is_called(arn))
        && workload.read_at < Some(shown_from)
}

/// What may have changed since the facts were read: a service that somebody deployed while the
/// change settled, and a value that changed once more.
fn read_again(
    facts: &Facts,
    workload: &Workload,
    settled_from: Timestamp,
    now: Timestamp,
) -> Vec<Question> {
    let read_at = workload.read_at.unwrap_or(Timestamp::MIN);
    let mut questions = Vec::new();
    if read_at < settled_from && now.duration_since(read_at) > SignedDuration::from_secs(1) {
        questions.push(Question::Describe(workload.arn.clone()));
    } else if facts.turn_at.unwrap_or(now).duration_since(read_at) > MAX_FACT_AGE {
        // By the turn and not by now: ECS may take longer to answer than its answer counts.
        questions.push(Question::Refresh(workload.arn.clone()));
    }
    let is_patient = now.duration_since(facts.began_at) < MAX_PATIENCE;
    if is_patient && facts.requested_at.is_none() {
        let is_old = |(_, last_change): &(&Followed, &LastChange)| {
            last_change
                .asked_at
                .is_some_and(|asked_at| asked_at < settled_from)
                && settled_from > facts.began_at
        };
        let followed = workload.followed().into_iter();
        let known = followed.filter_map(|(followed, _)| facts.followed.get_key_value(&followed));
        let again: BTreeSet<_> = known
            .filter(is_old)
            .map(|(followed, _)| followed.clone())
            .collect();
        questions.extend((!again.is_empty()).then_some(Question::LastChanges(again)));
    }
    questions
}

/// Whether a workload must be described before anything is said about it: it is only named so far,
/// or was read before this invocation began.
///
/// One that is fresh is not described again if it is only a sibling of the service that the invocation
/// is about, or if this process redeployed it a moment ago.
fn must_be_described(facts: &Facts, workload: &Workload, decision: Option<&Decision>) -> bool {
    let Some(decision) = decision else {
        return workload.read_at.is_none() && facts.scope == Scope::Everything;
    };
    match workload.read_at {
        None => true,
        Some(read_at) if read_at < facts.began_at => match (&facts.scope, decision.reason) {
            (Scope::Around(_), reason) => reason != Reason::AlreadyFresh,
            (_, Reason::PinnedVersion | Reason::ImagePullOnly) => false,
            (_, Reason::AlreadyFresh) => workload
                .forced_at
                .is_none_or(|forced_at| facts.began_at.duration_since(forced_at) > MAX_FACT_AGE),
            _ => true,
        },
        Some(_) => false,
    }
}

/// Whether an order of rollout may have been asked for.
fn has_order(facts: &Facts, policy: &Policy) -> bool {
    policy.order.is_some() && (policy.max_in_flight().is_some() || facts.has_first)
}

/// Whether the last changes of what a workload follows must be known. A service that was deployed a
/// moment ago may be in the middle of a series of changes.
fn must_be_dated(facts: &Facts, policy: &Policy, workload: &Workload, now: Timestamp) -> bool {
    // Not by the history: a preview has it earlier than a run, and both must ask the same.
    let is_young =
        |deployment: &Deployment| now.duration_since(deployment.created_at) < MIN_ROLLOUT_AGE;
    // Another change may hold up one that is to go.
    let is_ordered = has_order(facts, policy);
    let may_go = || !facts.is_up_to_date(workload);
    let is_in_scope = match &facts.scope {
        Scope::Followers => {
            facts.requested_at.is_none()
                && (is_ordered || workload.deployments.iter().any(is_young))
                && may_go()
        }
        Scope::Everything => true,
        // Those that follow the same are judged by what they share.
        Scope::Around(arn) => workload.is_called(arn) || is_ordered && may_go(),
        Scope::Service(arn) => workload.is_called(arn),
    };
    is_in_scope && workload.may_be_redeployed(policy.default)
}

fn ask_for_last_changes(facts: &Facts, policy: &Policy, now: Timestamp, plan: &mut Plan) {
    // The end of a rollout of one that does not take part gives a slot back, too.
    let gives_back = |workload: &Workload| {
        let is_it = matches!(&facts.scope, Scope::Around(arn) if workload.is_called(arn));
        is_it && has_order(facts, policy)
    };
    let dated = facts
        .workloads
        .values()
        .filter(|workload| must_be_dated(facts, policy, workload, now) || gives_back(workload));
    let open = dated
        .flat_map(Workload::followed)
        .filter(|(followed, _)| followed.may_be_included(&policy.secrets))
        .filter(|(followed, labels)| {
            facts
                .followed
                .get(followed)
                .is_none_or(|known| known.found.is_unasked() || !labels.is_subset(&known.labels))
        });
    let mut unasked = BTreeSet::new();
    // One by one: `collect` would first keep everything that every service follows.
    for (followed, _) in open {
        unasked.insert(followed);
    }
    if !unasked.is_empty() {
        plan.questions.insert(Question::LastChanges(unasked));
    }
}

/// The verdict, or what is said instead where something that could not be read outweighs it.
fn with_gaps(
    facts: &Facts,
    policy: &Policy,
    workload: &Workload,
    now: Timestamp,
    verdict: Option<Verdict>,
) -> Option<Verdict> {
    let mut gaps: Vec<(Gap, Vec<Arc<str>>)> = Vec::new();
    if workload.may_be_redeployed(policy.default) {
        gaps.extend(
            workload
                .unread
                .clone()
                .map(|gap| (gap.of_a_service(), Vec::new())),
        );
    }
    if must_be_dated(facts, policy, workload, now) || workload.platform == Platform::StandaloneTask
    {
        for followed in workload.followed().into_keys() {
            let last_change = facts.followed.get(&followed);
            if let Some(gap) = last_change.and_then(|last_change| last_change.found.gap()) {
                let error = format!("when {followed} changed is not known: {}", gap.error);
                let gap = Gap {
                    error,
                    ..gap.clone()
                };
                gaps.push((gap, vec![followed.to_string().into()]));
            }
        }
    }
    gaps.extend(replicas_behind(facts, workload));
    let is_fresh = facts.is_up_to_date(workload);
    let Some(mut verdict) = verdict else {
        let (gap, sources) = gaps.into_iter().next()?;
        let is_enough = is_fresh && sources.is_empty() && !facts.changes.is_empty();
        return (!is_enough).then(|| Verdict {
            decision: Decision {
                workload: workload.arn.clone(),
                reason: gap.reason(),
                sources,
                at: Timestamp::MIN,
                until: None,
                error: Some(gap.error),
            },
            questions: Vec::new(),
            changed: Timestamp::MIN,
        });
    };
    for (gap, sources) in &gaps {
        if let Some(decision) = verdict.decision.with_gap(gap, sources, is_fresh) {
            verdict.decision = decision;
        }
    }
    Some(verdict)
}

/// The changes that the report of an invocation lists.
#[must_use]
pub fn reported_changes<'a>(facts: &'a Facts, plan: &Plan) -> Vec<&'a Change> {
    let named: BTreeSet<_> = plan
        .decisions
        .iter()
        .flat_map(|decision| &decision.sources)
        .collect();
    let is_reported = |change: &&Change| {
        facts.announced.contains(&change.source) || {
            let name: Arc<str> = change.source.to_string().into();
            named.contains(&name)
        }
    };
    facts.changes.values().filter(is_reported).collect()
}

#[cfg(test)]
mod account;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
