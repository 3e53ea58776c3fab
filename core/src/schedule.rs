//! Which of the stale services may go now: one first, a few at a time, never in a freeze.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::change::{Source, fresh_from};
use crate::config::ImageGuard;
use crate::decide::{Failed, Verdict, failed_since, history_of, is_fresh};
use crate::fact::{Fact, Gap};
use crate::facts::{Calendar, Facts};
use crate::image::{Guarded, guarded};
use crate::plan::Question;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::relation::Related;
use crate::workload::{Deployment, Platform, ROLLOUT_TIME, RolloutState, Workload};

/// A workload, what it follows that changed, and what is decided about it alone.
pub(crate) struct Judged<'a> {
    pub(crate) workload: &'a Workload,
    /// Whether it goes before the others.
    pub(crate) is_first: bool,
    /// The changes that its tasks follow and that count.
    pub(crate) followed: Vec<Related<'a>>,
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
    /// A deployment since the change failed, and it needs a person or another change.
    RolledBack,
    /// The same at this time, but it is on its way once more: another value changed since, or
    /// somebody deployed it.
    TriedAgain(Timestamp),
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

    /// The changes that its tasks may not have.
    fn missing(&self) -> impl Iterator<Item = &Related<'_>> {
        self.followed
            .iter()
            .filter(|related| !is_fresh(self.workload, related))
    }

    /// Whether something may be done for it.
    fn takes_part(&self) -> bool {
        let reason = self.reason();
        !reason.is_exempt() && !matches!(reason, Reason::NotifyOnly | Reason::TooOld)
    }

    fn progress(&self, related: &Related, now: Timestamp) -> Progress {
        let fresh_from = related.known.moved.fresh_from();
        let newest = self.workload.newest();
        let newest = newest.filter(|newest| newest.created_at >= fresh_from);
        let is_young = |newest: &&Deployment| now.duration_since(newest.created_at) < ROLLOUT_TIME;
        if !self.takes_part() {
            // Somebody else may roll it. Only what says so counts, and not for good: nothing more is
            // asked about it.
            return match newest.filter(is_young).map(|newest| newest.rollout) {
                Some(RolloutState::InProgress) => Progress::Rolling,
                _ => Progress::Apart,
            };
        }
        if self.reason() == Reason::RolledBack && !is_fresh(self.workload, related) {
            return Progress::RolledBack;
        }
        if let Some(failed) = self.failed(related) {
            return Progress::TriedAgain(failed.at);
        }
        if !is_fresh(self.workload, related) {
            return Progress::Pending;
        }
        match newest.filter(|newest| newest.rollout != RolloutState::Completed) {
            None => Progress::Done,
            Some(newest) if self.workload.is_staged() || is_young(&newest) => Progress::Rolling,
            Some(_) => Progress::Overdue,
        }
    }

    /// What is asked of its past to know how far it is with a change, whatever else it waits for.
    fn open_history(&self, related: &Related, policy: &Policy, now: Timestamp) -> Option<Question> {
        let workload = self.workload;
        if !self.takes_part() || self.reason() == Reason::UnsupportedController {
            return None;
        }
        if !is_fresh(workload, related) {
            let about = std::slice::from_ref(related);
            return history_of(workload, about, policy, now);
        }
        // One that is done says so, but for staged ones in some answers of ECS. Before one that is not
        // done there may have been one that failed.
        let moved = related.known.moved;
        let newest = workload.newest()?;
        let is_open = newest.rollout != RolloutState::Completed
            && newest.created_at >= moved.fresh_from()
            && workload.history.is_unasked();
        is_open.then(|| Question::History {
            workload: workload.arn.clone(),
            since: moved.not_before,
        })
    }

    /// The deployment of its revision since a change that failed, with no success after it.
    fn failed(&self, related: &Related) -> Option<Failed> {
        failed_since(self.workload, fresh_from(related.known.moved.not_before))
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
    unread_firsts: &BTreeSet<Source>,
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
    let orders = orders(judged, unread_firsts, policy);
    schedule.questions = open_progress(judged, &orders, facts, policy, now);
    if !schedule.questions.is_empty() {
        return schedule;
    }
    let mut held = BTreeMap::new();
    let mut rolling: BTreeMap<Source, usize> = BTreeMap::new();
    for (source, followers) in &orders {
        let is_rolling = |&&(index, related): &&(usize, Related)| {
            let progress = judged[index].progress(&related, now);
            let is_again = matches!(progress, Progress::TriedAgain(_))
                && is_fresh(judged[index].workload, &related);
            progress == Progress::Rolling || is_again
        };
        let count = followers.iter().filter(is_rolling).count();
        rolling.insert((*source).clone(), count);
        for &(index, _) in followers
            .iter()
            .filter(|(index, _)| judged[*index].is_candidate())
        {
            let is_unread = unread_firsts.contains(source) && !judged[index].is_first;
            let unread = is_unread.then_some(Reason::WaitingForFirst);
            if let Some(reason) = held_by(judged, index, followers, now).or(unread) {
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
    let concerned = judged.iter().filter(|judged| !judged.verdict.is_settled());
    let changes = concerned.flat_map(|judged| &judged.followed);
    let open = changes.filter(|related| related.known.change.tag.is_unasked());
    open.map(|related| Question::Tag(related.known.change.source.clone()))
        .collect()
}

/// The changes for which an order was asked for and somebody is to go, with all who follow them.
type Orders<'a> = BTreeMap<&'a Source, Vec<(usize, Related<'a>)>>;

fn orders<'a>(
    judged: &'a [Judged<'a>],
    unread_firsts: &BTreeSet<Source>,
    policy: &Policy,
) -> Orders<'a> {
    let mut orders = Orders::new();
    if policy.order.is_none() {
        return orders;
    }
    for (index, follower) in judged.iter().enumerate() {
        if follower.workload.platform == Platform::StandaloneTask {
            continue;
        }
        for related in &follower.followed {
            let followers = orders.entry(&related.known.change.source).or_default();
            followers.push((index, *related));
        }
    }
    orders.retain(|source, followers| {
        let mut of = followers.iter().map(|(index, _)| &judged[*index]);
        let mut firsts = of.clone().filter(|follower| follower.is_first);
        of.any(Judged::may_be_candidate)
            && (policy.max_in_flight().is_some()
                || firsts.next().is_some()
                || unread_firsts.contains(*source))
    });
    orders
}

/// What must be known of the followers, now and from ECS: whether a deployment is done or failed.
fn open_progress(
    judged: &[Judged],
    orders: &Orders,
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
) -> BTreeSet<Question> {
    let mut questions = BTreeSet::new();
    for (index, related) in orders.values().flatten() {
        let follower = &judged[*index];
        let workload = follower.workload;
        let failed = follower.failed(related);
        let revision = failed.and_then(|failed| failed.unknown_revision);
        questions.extend(revision.map(Question::TaskDefinitions));
        if !matches!(follower.reason(), Reason::AlreadyFresh | Reason::StaleTasks) {
            let of_the_past = follower.verdict.questions.iter().filter(|question| {
                matches!(
                    question,
                    Question::History { .. } | Question::TaskDefinitions(_)
                )
            });
            questions.extend(of_the_past.cloned());
        } else if workload.read_at < Some(facts.began_at) {
            questions.insert(Question::Describe(workload.arn.clone()));
            continue;
        }
        questions.extend(follower.open_history(related, policy, now));
    }
    // The earliest of each service comes first, and says all.
    let mut asked = BTreeSet::new();
    questions.retain(|question| match question {
        Question::History { workload, .. } => asked.insert(workload.clone()),
        _ => true,
    });
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
    let is_first = judged[candidate].is_first;
    let missing = judged[candidate].missing();
    let latest = missing.map(|related| fresh_from(related.known.moved.not_before));
    let latest = latest.max().unwrap_or(Timestamp::MIN);
    let others = followers.iter().filter(|(index, _)| *index != candidate);
    let mut reason = None;
    for &(index, related) in others {
        let other = &judged[index];
        match (other.progress(&related, now), other.is_first) {
            (Progress::RolledBack, _) | (Progress::Overdue, true) => return Some(Reason::Halted),
            // What changed later may have mended it. A first goes before it is tried again.
            (Progress::TriedAgain(failed_at), other_is_first)
                if failed_at >= latest && (other_is_first || !is_first) =>
            {
                return Some(Reason::Halted);
            }
            (Progress::Pending | Progress::Rolling | Progress::TriedAgain(_), true)
                if !is_first && other.takes_part() =>
            {
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
        let is_other = !judged[index].is_first;
        (is_other, judged[index].verdict.decision.turn())
    });
    candidates
}

/// The rows that need nothing of other services: a freeze, and another image.
fn admit(candidate: &mut Judged, facts: &Facts, policy: &Policy, schedule: &mut Schedule) {
    let unavailable = candidate
        .missing()
        .find_map(|related| related.known.change.tag.gap());
    if let Some(gap) = unavailable {
        let error = format!("the tag of a secret is not known: {}", gap.error);
        return candidate.settle(Reason::LookupFailed, None, Some(error));
    }
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
    let (reason, error) = match found {
        Guarded::Same => return,
        Guarded::Open(tags) => {
            schedule.questions.insert(Question::ImageTags(tags));
            return;
        }
        Guarded::Moved(image) => (
            Reason::ImageMoved,
            format!("{image} names another image than the one that runs"),
        ),
        Guarded::Gone(image) => (
            Reason::ImageGone,
            format!("{image} does not exist, so that new tasks cannot start"),
        ),
        Guarded::Unavailable(Gap { error, .. }) => (
            Reason::LookupFailed,
            format!("whether its images moved is not known: {error}"),
        ),
    };
    if policy.image_guard == ImageGuard::Block {
        candidate.settle(reason, None, Some(error));
    } else {
        schedule
            .warnings
            .insert(format!("{}: {error}", workload.arn));
    }
}

#[cfg(test)]
mod tests;
