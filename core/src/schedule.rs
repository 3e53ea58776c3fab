//! Which of the stale services may go now: one first, a few at a time, never in a freeze.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::change::Source;
use crate::config::ImageGuard;
use crate::decide::{Verdict, is_fresh};
use crate::fact::{Fact, Gap};
use crate::facts::{Calendar, Facts};
use crate::image::{Guarded, guarded};
use crate::plan::Question;
use crate::policy::Policy;
use crate::reason::{Action, Reason};
use crate::relation::{Related, Relation};
use crate::workload::{Platform, ROLLOUT_TIME, RolloutState, Workload};

/// A workload, what it follows that changed, and what is decided about it alone.
pub(crate) struct Judged<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) related: Vec<Related<'a>>,
    pub(crate) verdict: Verdict,
}

/// What is left to ask, and what a person should know.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    pub(crate) questions: BTreeSet<Question>,
    pub(crate) warnings: BTreeSet<String>,
}

/// How far a service is with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing is to be done for it.
    Apart,
    /// Its tasks hold the old value, or may.
    Pending,
    /// Its tasks are being replaced.
    Rolling,
    /// The same, for so long that it counts as failed.
    Overdue,
    /// Its tasks have the new value.
    Done,
    /// A deployment since the change failed.
    RolledBack,
}

impl Judged<'_> {
    fn reason(&self) -> Reason {
        self.verdict.decision.reason
    }

    fn is_candidate(&self) -> bool {
        self.reason() == Reason::Stale
    }

    /// Whether it is a candidate, or would be if the deployment that failed was of another revision.
    fn may_be_candidate(&self) -> bool {
        let mut questions = self.verdict.questions.iter();
        self.is_candidate()
            || self.reason() == Reason::RolledBack
                && questions.any(|question| matches!(question, Question::TaskDefinitions(_)))
    }

    /// The changes that its tasks follow, but for those of ignored secrets.
    fn followed(&self) -> impl Iterator<Item = &Related<'_>> {
        let follows = |related: &&Related| {
            let tag = related.known.change.tag.known();
            related.relation == Relation::Follows && !tag.is_some_and(|tag| tag.is_ignored)
        };
        self.related.iter().filter(follows)
    }

    /// The changes that its tasks may not have.
    fn missing(&self) -> impl Iterator<Item = &Related<'_>> {
        self.followed()
            .filter(|related| !is_fresh(self.workload, related))
    }

    fn progress(&self, related: &Related, now: Timestamp) -> Progress {
        match self.reason() {
            Reason::NotActive
            | Reason::OptedOut
            | Reason::NotOptedIn
            | Reason::SecretIgnored
            | Reason::PinnedVersion
            | Reason::ImagePullOnly
            | Reason::NothingRunning
            | Reason::NotifyOnly
            | Reason::TooOld => return Progress::Apart,
            reason if !is_fresh(self.workload, related) => {
                let has_failed = reason == Reason::RolledBack;
                return if has_failed {
                    Progress::RolledBack
                } else {
                    Progress::Pending
                };
            }
            _ => {}
        }
        let fresh_from = related.known.moved.fresh_from();
        let newest = self.workload.newest();
        match newest.filter(|newest| newest.created_at >= fresh_from) {
            Some(newest) if newest.rollout != RolloutState::Completed => {
                let age = now.duration_since(newest.created_at);
                let is_overdue = !self.workload.is_staged() && age >= ROLLOUT_TIME;
                if is_overdue {
                    Progress::Overdue
                } else {
                    Progress::Rolling
                }
            }
            _ => Progress::Done,
        }
    }

    fn settle(&mut self, reason: Reason, until: Option<Timestamp>, error: Option<String>) {
        let decision = &mut self.verdict.decision;
        decision.reason = reason;
        decision.until = until;
        decision.error = error;
    }
}

/// Decides which of the stale services may go now, and says what must be known for that.
pub(crate) fn schedule(
    judged: &mut [Judged],
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
) -> Schedule {
    let mut schedule = Schedule {
        questions: open_tags(judged),
        ..Schedule::default()
    };
    if !schedule.questions.is_empty() || !judged.iter().any(Judged::may_be_candidate) {
        return schedule;
    }
    let orders = orders(judged, policy);
    schedule.questions = open_progress(judged, &orders, facts);
    if !schedule.questions.is_empty() {
        return schedule;
    }
    let mut held = BTreeMap::new();
    let mut rolling: BTreeMap<Source, usize> = BTreeMap::new();
    for (source, followers) in &orders {
        let is_rolling = |&&(index, related): &&(usize, Related)| {
            judged[index].progress(&related, now) == Progress::Rolling
        };
        let count = followers.iter().filter(is_rolling).count();
        rolling.insert((*source).clone(), count);
        for &(index, _) in followers
            .iter()
            .filter(|(index, _)| judged[*index].is_candidate())
        {
            if let Some(reason) = held_by(judged, index, followers, now) {
                // A halt needs a person, so it outweighs a wait.
                let known = held.entry(index).or_insert(reason);
                *known = reason.min(*known);
            }
        }
    }
    drop(orders);
    for index in by_turn(judged) {
        let candidate = &mut judged[index];
        if let Some(reason) = held.get(&index) {
            candidate.settle(*reason, None, None);
            continue;
        }
        let missing: Vec<_> = candidate
            .missing()
            .map(|related| related.known.change.source.clone())
            .collect();
        let is_full = |source: &Source| {
            let under_way = rolling.get(source).copied().unwrap_or_default();
            policy.max_in_flight().is_some_and(|most| under_way >= most)
        };
        if missing.iter().any(is_full) {
            candidate.settle(Reason::MaxInFlight, None, None);
            continue;
        }
        admit(candidate, facts, policy, &mut schedule);
        if candidate.is_candidate() {
            for source in missing {
                *rolling.entry(source).or_default() += 1;
            }
        }
    }
    schedule
}

/// The secrets whose tags must be known: they may let a service alone that is not fresh.
fn open_tags(judged: &[Judged]) -> BTreeSet<Question> {
    let concerned = judged.iter().filter(|judged| {
        judged.verdict.decision.action() != Action::Skip || judged.reason() == Reason::Unknown
    });
    let changes = concerned.flat_map(Judged::followed);
    let open = changes.filter(|related| related.known.change.tag.is_unasked());
    open.map(|related| Question::Tag(related.known.change.source.clone()))
        .collect()
}

/// The changes for which an order was asked for and somebody is to go, with all who follow them.
type Orders<'a> = BTreeMap<&'a Source, Vec<(usize, Related<'a>)>>;

fn orders<'a>(judged: &'a [Judged<'a>], policy: &Policy) -> Orders<'a> {
    let mut orders = Orders::new();
    if policy.order.is_none() {
        return orders;
    }
    for (index, follower) in judged.iter().enumerate() {
        if follower.workload.platform == Platform::StandaloneTask {
            continue;
        }
        for related in follower.followed() {
            let followers = orders.entry(&related.known.change.source).or_default();
            followers.push((index, *related));
        }
    }
    orders.retain(|_, followers| {
        let mut of = followers.iter().map(|(index, _)| &judged[*index]);
        let mut firsts = of.clone().filter(|follower| follower.workload.is_first());
        of.any(Judged::may_be_candidate)
            && (policy.max_in_flight().is_some() || firsts.next().is_some())
    });
    orders
}

/// What must be known of the followers, now and from ECS: whether a deployment is done or failed.
fn open_progress(judged: &[Judged], orders: &Orders, facts: &Facts) -> BTreeSet<Question> {
    let mut questions = BTreeSet::new();
    for (index, related) in orders.values().flatten() {
        let follower = &judged[*index];
        let workload = follower.workload;
        match follower.reason() {
            Reason::AlreadyFresh | Reason::StaleTasks => {
                if workload.read_at < Some(facts.began_at) {
                    questions.insert(Question::Describe(workload.arn.clone()));
                    continue;
                }
                // ECS gives a staged deployment no `rolloutState` in some answers.
                let newest = workload.newest();
                let newest = newest.filter(|newest| newest.rollout == RolloutState::Unknown);
                if let Some(newest) = newest.filter(|_| workload.history.is_unasked())
                    && newest.created_at >= related.known.moved.fresh_from()
                {
                    questions.insert(Question::History {
                        workload: workload.arn.clone(),
                        since: newest.created_at,
                    });
                }
            }
            _ => {
                let of_the_past = follower.verdict.questions.iter().filter(|question| {
                    matches!(
                        question,
                        Question::History { .. } | Question::TaskDefinitions(_)
                    )
                });
                questions.extend(of_the_past.cloned());
            }
        }
    }
    questions
}

/// Why a service may not go yet for the sake of the others that follow the same change.
fn held_by(
    judged: &[Judged],
    candidate: usize,
    followers: &[(usize, Related)],
    now: Timestamp,
) -> Option<Reason> {
    let own = followers.iter().find(|(index, _)| *index == candidate);
    let workload = judged[candidate].workload;
    if own.is_none_or(|(_, related)| is_fresh(workload, related)) {
        return None;
    }
    let is_first = workload.is_first();
    let others = followers.iter().filter(|(index, _)| *index != candidate);
    let mut reason = None;
    for &(index, related) in others {
        let other = &judged[index];
        match (other.progress(&related, now), other.workload.is_first()) {
            (Progress::RolledBack, _) | (Progress::Overdue, true) => return Some(Reason::Halted),
            (Progress::Pending | Progress::Rolling, true) if !is_first => {
                reason = Some(Reason::WaitingForFirst);
            }
            _ => {}
        }
    }
    reason
}

/// The stale services in the order in which they go.
fn by_turn(judged: &[Judged]) -> Vec<usize> {
    let candidates = judged.iter().enumerate();
    let candidates = candidates.filter(|(_, judged)| judged.is_candidate());
    let mut candidates: Vec<_> = candidates.map(|(index, _)| index).collect();
    candidates.sort_by_cached_key(|&index| {
        let is_other = !judged[index].workload.is_first();
        (is_other, judged[index].verdict.decision.turn())
    });
    candidates
}

/// The rows that need nothing of other services: a freeze, and another image.
fn admit(candidate: &mut Judged, facts: &Facts, policy: &Policy, schedule: &mut Schedule) {
    let goes_through = |related: &Related| {
        let change = related.known.change;
        change.source.is_managed() || change.tag.known().is_some_and(|tag| tag.is_urgent)
    };
    if policy.has_calendars && !candidate.missing().any(goes_through) {
        match &facts.calendar {
            Fact::Unasked => {
                schedule.questions.insert(Question::Calendar);
                return;
            }
            Fact::Known(Calendar::Open) => {}
            Fact::Known(Calendar::Closed { until }) => {
                return candidate.settle(Reason::ChangeFreeze, *until, None);
            }
            Fact::Unavailable(gap) => {
                return candidate.settle(Reason::LookupFailed, None, Some(gap.error.clone()));
            }
        }
    }
    let workload = candidate.workload;
    if policy.image_guard == ImageGuard::Off || workload.service_revisions.is_empty() {
        return;
    }
    let found = match &workload.images {
        Fact::Unasked => {
            schedule
                .questions
                .insert(Question::Images(workload.arn.clone()));
            return;
        }
        Fact::Known(revisions) => guarded(workload, revisions, &facts.image_tags),
        Fact::Unavailable(gap) => Guarded::Unavailable(gap.clone()),
    };
    let blocks = policy.image_guard == ImageGuard::Block;
    let service = &workload.arn;
    match found {
        Guarded::Same => {}
        Guarded::Open(tags) => drop(schedule.questions.insert(Question::ImageTags(tags))),
        Guarded::Moved(image) => {
            let error = format!("{image} names another image than the one that runs");
            if blocks {
                return candidate.settle(Reason::ImageMoved, None, Some(error));
            }
            schedule.warnings.insert(format!("{service}: {error}"));
        }
        Guarded::Gone(image) => {
            let error = format!("{image} does not exist, so that new tasks cannot start");
            if blocks {
                return candidate.settle(Reason::ImageGone, None, Some(error));
            }
            schedule.warnings.insert(format!("{service}: {error}"));
        }
        Guarded::Unavailable(Gap { error, .. }) => {
            let error = format!("whether its images moved is not known: {error}");
            if blocks {
                return candidate.settle(Reason::LookupFailed, None, Some(error));
            }
            schedule.warnings.insert(format!("{service}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests;
