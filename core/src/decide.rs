//! The decision about one workload: the table of reasons, and what must be known for it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::change::{Change, Source, fresh_from};
use crate::fact::Gap;
use crate::plan::Question;
use crate::policy::Policy;
use crate::reason::{Action, Reason};
use crate::relation::{Related, Relation};
use crate::tag::Participation;
use crate::workload::{
    Controller, MIN_ROLLOUT_AGE, Platform, ROLL_BACK_TIME, RolloutState, Task, Workload,
};

/// What to do about one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its ARN.
    pub workload: Arc<str>,
    /// Why; the [`Action`] follows from it.
    pub reason: Reason,
    /// The ARNs of the changed secrets and parameters that it is about, sorted.
    pub sources: Vec<Arc<str>>,
    /// The upper bound of the last of their changes, UTC.
    pub at: Timestamp,
    /// When the reason to wait ends, UTC, where that is known.
    pub until: Option<Timestamp>,
    /// What could not be looked up.
    pub error: Option<String>,
}

/// A decision by the facts so far, and what could change it.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) decision: Decision,
    pub(crate) questions: Vec<Question>,
    /// The upper bound of the last change that the workload may not have, UTC: nothing is done
    /// before that has settled.
    pub(crate) changed: Timestamp,
}

/// Where no more than this lies between the change and the look, the tasks are not asked about.
const CLOSE: SignedDuration = SignedDuration::from_mins(1);
/// No rollout fails, and is rolled back, in a shorter time.
const SHORTEST_ROLL_BACK: SignedDuration = SignedDuration::from_secs(2);

/// The age of a workload's tasks compared with a change; the worst is the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Fresh,
    Unknown,
    Stale,
}

/// Decides about a workload that has to do with these changes; `None` for any other, and for a fresh
/// task outside services.
pub(crate) fn decide(
    workload: &Workload,
    related: &[Related],
    policy: &Policy,
    now: Timestamp,
) -> Option<Verdict> {
    let is_left_alone = related.iter().all(is_ignored);
    let related = related
        .iter()
        .filter(|related| is_left_alone || !is_ignored(related));
    // Weaker relations say nothing next to a stronger one: one followed secret is enough.
    let strongest = related.clone().map(|related| related.relation).max()?;
    let mut about: Vec<_> = related
        .filter(|r| r.relation == strongest)
        .copied()
        .collect();
    let is_opted_in = workload.participation(policy.default) != Participation::Ignore;
    let reason = if !workload.active {
        Some(Reason::NotActive)
    } else if workload.is_ignored() {
        Some(Reason::OptedOut)
    } else if !is_opted_in {
        Some(Reason::NotOptedIn)
    } else if is_left_alone {
        Some(Reason::SecretIgnored)
    } else if strongest == Relation::Pinned {
        Some(Reason::PinnedVersion)
    } else if strongest == Relation::ImagePullOnly {
        Some(Reason::ImagePullOnly)
    } else if !workload.has_tasks() {
        Some(Reason::NothingRunning)
    } else {
        None
    };
    if let Some(reason) = reason {
        return Some(verdict(workload, reason, &about, Vec::new()));
    }
    leave_out_too_old(&mut about, policy);
    // Of several followed secrets, those count for which the tasks are oldest.
    let age_of = |related: &Related| age(workload, related);
    let oldest = about.iter().map(age_of).max()?;
    if oldest == Age::Fresh {
        return fresh(workload, &about, now);
    }
    let missing = about.iter().filter(|related| age_of(related) != Age::Fresh);
    let changed = missing.map(|related| related.known.moved.not_after).max()?;
    let doubtful = |related: &&Related| age_of(related) == Age::Unknown;
    let doubtful: Vec<_> = about.iter().filter(doubtful).copied().collect();
    about.retain(|related| age_of(related) == oldest);
    let mut questions = Vec::new();
    if oldest == Age::Unknown {
        questions.extend(narrow(&about));
        if !questions.is_empty() {
            return Some(verdict(workload, Reason::Unknown, &about, questions));
        }
    }
    if needs_tasks(workload, &about) {
        questions.push(Question::Tasks(workload.arn.clone()));
    }
    if oldest == Age::Unknown {
        return Some(verdict(workload, Reason::Unknown, &about, questions));
    }
    let reason = stale(workload, &about, &doubtful, policy, now, &mut questions);
    let mut verdict = verdict(workload, reason, &about, questions);
    verdict.changed = changed;
    if reason == Reason::DeploymentInProgress {
        let since = earliest_change(&about);
        let in_progress = workload.in_progress(since, now);
        verdict.decision.until = in_progress.and_then(|in_progress| in_progress.until);
    }
    if reason == Reason::LookupFailed {
        verdict.decision.error = workload.history.gap().map(|gap| gap.error.clone());
    }
    Some(verdict)
}

/// Whether the tasks of a workload certainly have the value of a change.
pub(crate) fn is_fresh(workload: &Workload, related: &Related) -> bool {
    age(workload, related) == Age::Fresh
}

/// Those of the changes that decide: what is followed, except ignored secrets and what changed too
/// long ago.
pub(crate) fn counted<'a>(related: &[Related<'a>], policy: &Policy) -> Vec<Related<'a>> {
    let follows =
        |related: &&Related| related.relation == Relation::Follows && !is_ignored(related);
    let mut counted: Vec<_> = related.iter().filter(follows).copied().collect();
    leave_out_too_old(&mut counted, policy);
    counted
}

/// Whether the secret of a change is tagged `ignore`.
fn is_ignored(related: &Related) -> bool {
    let tag = related.known.change.tag.known();
    tag.is_some_and(|tag| tag.is_ignored)
}

/// Leaves out what changed too long ago, unless all of it did.
fn leave_out_too_old(about: &mut Vec<Related>, policy: &Policy) {
    if about.iter().any(|related| !is_too_old(related, policy)) {
        about.retain(|related| !is_too_old(related, policy));
    }
}

/// Whether a stale service is only reported.
pub(crate) fn is_only_notified(workload: &Workload, policy: &Policy) -> bool {
    policy.only_notifies && workload.participation(policy.default) == Participation::Notify
}

/// Whether a change is from before `REDEPLOY_SINCE`.
fn is_too_old(related: &Related, policy: &Policy) -> bool {
    let changed = related.known.moved.not_after;
    policy.since.is_some_and(|since| changed < since)
}

fn age(workload: &Workload, related: &Related) -> Age {
    let moved = related.known.moved;
    match started_at(workload) {
        Some(started) if started >= moved.fresh_from() => Age::Fresh,
        Some(started) if !moved.is_exact() && started >= moved.not_before => Age::Unknown,
        _ => Age::Stale,
    }
}

/// When the tasks of a workload started at the earliest: at the creation of its newest deployment,
/// or later where all of them were replaced since.
pub(crate) fn started_at(workload: &Workload) -> Option<Timestamp> {
    let deployed = workload.newest().map(|newest| newest.created_at);
    let tasks = workload.tasks.known().into_iter().flatten();
    let oldest = tasks.map(|task| task.created_at).min();
    deployed.max(oldest)
}

/// The newest deployment is newer than all changes. Older tasks may have outlived its rollout.
fn fresh(workload: &Workload, about: &[Related], now: Timestamp) -> Option<Verdict> {
    if workload.platform == Platform::StandaloneTask {
        return None;
    }
    let verdict =
        |reason, about: &[Related], questions| Some(verdict(workload, reason, about, questions));
    if !workload.has_lingering_tasks(now) {
        return verdict(Reason::AlreadyFresh, about, Vec::new());
    }
    let Some(tasks) = workload.tasks.known() else {
        let is_open = workload.tasks.is_unasked();
        let question = is_open.then(|| Question::Tasks(workload.arn.clone()));
        return verdict(Reason::AlreadyFresh, about, Vec::from_iter(question));
    };
    let primary = workload.primary().map(|primary| primary.id.as_str());
    let outlived = |task: &&Task| Some(task.started_by.as_str()) != primary;
    let oldest = tasks
        .iter()
        .filter(outlived)
        .map(|task| task.created_at)
        .min();
    let Some(oldest) = oldest else {
        return verdict(Reason::AlreadyFresh, about, Vec::new());
    };
    let is_stale = |related: &&Related| oldest < related.known.moved.not_before;
    let stale: Vec<_> = about.iter().filter(is_stale).copied().collect();
    if !stale.is_empty() {
        return verdict(Reason::StaleTasks, &stale, Vec::new());
    }
    let may_be_stale = |related: &&Related| oldest < related.known.moved.not_after;
    let doubtful: Vec<_> = about.iter().filter(may_be_stale).copied().collect();
    verdict(Reason::AlreadyFresh, about, narrow(&doubtful))
}

/// What brings the bounds of these changes closer together: the cheap question, then the expensive
/// one.
fn narrow(about: &[Related]) -> Vec<Question> {
    let changes = about.iter().map(|related| related.known.change);
    let doubtful = changes.filter(|change| !change.moved().is_exact());
    let questions: BTreeSet<_> = doubtful.clone().filter_map(version_stored).collect();
    if !questions.is_empty() {
        return questions.into_iter().collect();
    }
    let sources = doubtful.filter(|change| change.trail.is_unasked());
    let sources: BTreeSet<_> = sources.map(|change| change.source.clone()).collect();
    (!sources.is_empty())
        .then_some(Question::MoveTimes(sources))
        .into_iter()
        .collect()
}

fn version_stored(change: &Change) -> Option<Question> {
    let is_open = change.stored.is_unasked()
        && !change.moved().is_exact()
        && matches!(change.source, Source::Secret { .. });
    is_open.then(|| Question::VersionStored(change.source.clone()))
}

/// Whether the tasks must be asked about. Where the look is close to the change, hardly any can have
/// been replaced since.
fn needs_tasks(workload: &Workload, about: &[Related]) -> bool {
    let is_close = |seen: Timestamp| {
        about.iter().all(|related| {
            let moved = related.known.moved;
            let bounds = [moved.not_before, moved.not_after];
            bounds
                .iter()
                .all(|at| seen.duration_since(*at).abs() <= CLOSE)
        })
    };
    let mut seen = [workload.read_at, workload.seen_at].into_iter().flatten();
    // A rollout that ended after the change replaced tasks until then.
    let has_ended_since = workload.primary().is_some_and(|primary| {
        let mut moved = about.iter().map(|related| related.known.moved.not_before);
        primary.rollout == RolloutState::Completed
            && moved.any(|changed| primary.updated_at > Some(changed))
    });
    workload.tasks.is_unasked()
        && workload.platform != Platform::StandaloneTask
        && (has_ended_since || !seen.any(is_close))
}

/// The rows of a service whose tasks hold the old value.
fn stale(
    workload: &Workload,
    about: &[Related],
    doubtful: &[Related],
    policy: &Policy,
    now: Timestamp,
    questions: &mut Vec<Question>,
) -> Reason {
    let changed = earliest_change(about);
    if about.iter().all(|related| is_too_old(related, policy)) {
        return Reason::TooOld;
    }
    match workload.controller() {
        None => return Reason::StaleTasks,
        Some(_) if is_only_notified(workload, policy) => return Reason::NotifyOnly,
        Some(Controller::Ecs) => {}
        Some(Controller::CodeDeploy | Controller::External) => {
            return Reason::UnsupportedController;
        }
    }
    if workload.inactive_task_definition {
        return Reason::InactiveTaskDefinition;
    }
    if let Some(failed) = failed_since(workload, changed) {
        questions.extend(failed.unknown_revision.map(Question::TaskDefinitions));
        // It may have been a deployment from before one of the changes.
        let is_open = |related: &&Related| failed.at < related.known.moved.fresh_from();
        let open = about.iter().chain(doubtful).filter(is_open).copied();
        questions.extend(narrow(&open.collect::<Vec<_>>()));
        return Reason::RolledBack;
    }
    if workload.in_progress(changed, now).is_some() {
        return Reason::DeploymentInProgress;
    }
    if workload.history.gap().is_some() {
        return Reason::LookupFailed;
    }
    // The tasks may say that nothing is to be done.
    if questions.is_empty() {
        questions.extend(history_of(workload, about, policy, now));
    }
    Reason::Stale
}

/// The first moment from which on a deployment may have all the values: what was created before
/// that lacks the last of the changes.
fn earliest_change(about: &[Related]) -> Timestamp {
    let moved = about.iter().map(|related| related.known.moved.not_before);
    moved.max().map_or(Timestamp::MAX, fresh_from)
}

/// What is asked of the past of a service whose tasks lack these changes, where that must be known.
pub(crate) fn history_of(
    workload: &Workload,
    about: &[Related],
    policy: &Policy,
    now: Timestamp,
) -> Option<Question> {
    let moved = about.iter().map(|related| related.known.moved.not_before);
    // A deployment that is being rolled back may be older than the change.
    let recent = now.saturating_sub(ROLL_BACK_TIME).ok();
    let since = moved.chain(recent).min().filter(|_| !workload.is_staged());
    needs_history(workload, about, policy, now).then(|| Question::History {
        workload: workload.arn.clone(),
        since: since.unwrap_or(Timestamp::MIN),
    })
}

/// Whether earlier deployments must be known. A moment after the change has settled, nothing can
/// have been deployed for it and rolled back, unless this process did. The same holds for some
/// minutes, as long as ECS has not changed the deployment that was seen then: it does when it goes
/// back to it.
fn needs_history(workload: &Workload, about: &[Related], policy: &Policy, now: Timestamp) -> bool {
    let moved = about.iter().map(|related| related.known.moved);
    let at = moved.clone().map(|moved| moved.not_after).max();
    let is_first_attempt = moved.clone().all(|moved| moved.is_exact())
        && workload.newest().is_some()
        && !workload.is_staged()
        && at.is_some_and(|at| {
            let end = policy.settled_from(at).saturating_add(SHORTEST_ROLL_BACK);
            let is_recent = now.duration_since(at) < MIN_ROLLOUT_AGE;
            let seen = workload.seen_at.filter(|_| is_recent).unwrap_or(now);
            end.is_ok_and(|end| seen < end) && workload.forced_at.is_none_or(|forced| forced < at)
        });
    workload.history.is_unasked() && !is_first_attempt
}

/// A deployment that failed since the change.
pub(crate) struct Failed {
    /// When it was created, UTC.
    pub(crate) at: Timestamp,
    /// The service revision whose task definition must be asked for.
    pub(crate) unknown_revision: Option<String>,
}

/// The last deployment that failed since then and is not known to be of another task definition than a
/// forced deployment would start, if none succeeded after it.
pub(crate) fn failed_since(workload: &Workload, since: Timestamp) -> Option<Failed> {
    let next = workload
        .primary()
        .and_then(|primary| primary.task_definition.known());
    let completed = workload
        .all_deployments()
        .filter(|deployment| deployment.rollout == RolloutState::Completed)
        .map(|deployment| deployment.created_at)
        .max();
    let failed = workload.all_deployments().filter(|deployment| {
        workload.has_failed(deployment)
            && deployment.created_at >= since
            && Some(deployment.created_at) > completed
    });
    // Another revision's failure says nothing about this one.
    let ours = failed.filter(|failed| match (failed.task_definition.known(), next) {
        (Some(theirs), Some(next)) => theirs == next,
        _ => true,
    });
    let last = ours.max_by_key(|failed| failed.created_at)?;
    let is_open = last.task_definition.is_unasked() && next.is_some();
    Some(Failed {
        at: last.created_at,
        unknown_revision: last.service_revision.clone().filter(|_| is_open),
    })
}

fn verdict(
    workload: &Workload,
    reason: Reason,
    about: &[Related],
    questions: Vec<Question>,
) -> Verdict {
    let sources: BTreeSet<_> = about
        .iter()
        .map(|related| related.known.name.clone())
        .collect();
    let at = about
        .iter()
        .map(|related| related.known.moved.not_after)
        .max();
    let decision = Decision {
        workload: workload.arn.clone(),
        reason,
        sources: sources.into_iter().collect(),
        at: at.unwrap_or(Timestamp::MIN),
        until: None,
        error: None,
    };
    Verdict {
        changed: decision.at,
        decision,
        questions,
    }
}

impl Verdict {
    /// Whether nothing is to be done, by what the workload and its changes are like.
    pub(crate) fn is_settled(&self) -> bool {
        self.decision.action() == Action::Skip && self.decision.reason != Reason::Unknown
    }
}

impl Decision {
    /// Which of two goes earlier: the one with more changed secrets, then the one that has been
    /// stale for longer.
    #[must_use]
    pub fn turn(&self) -> impl Ord + use<> {
        let sources = Reverse(self.sources.len());
        (sources, self.at, self.workload.clone())
    }

    /// The decision about a workload about which nothing more is to be said: it is gone.
    #[must_use]
    pub fn gone(self) -> Self {
        let reason = Reason::NotActive;
        Self { reason, ..self }
    }

    /// What happens to the workload.
    #[must_use]
    pub fn action(&self) -> Action {
        self.reason.action()
    }

    /// The decision about a workload of which something could not be looked up, or `None` where the
    /// facts so far are enough: it cannot become less stale.
    pub(crate) fn with_gap(&self, gap: &Gap, sources: &[Arc<str>], is_fresh: bool) -> Option<Self> {
        let is_conclusive = match self.reason {
            Reason::Stale
            | Reason::DeploymentInProgress
            | Reason::NotActive
            | Reason::OptedOut
            | Reason::NotOptedIn
            | Reason::NotifyOnly
            | Reason::NothingRunning
            | Reason::UnsupportedController => true,
            reason if reason.action() == Action::Block => gap.reason() == Reason::Unknown,
            _ => is_fresh && sources.is_empty(),
        };
        if is_conclusive {
            return None;
        }
        let sources: BTreeSet<_> = self.sources.iter().chain(sources).cloned().collect();
        Some(Self {
            reason: gap.reason(),
            sources: sources.into_iter().collect(),
            error: Some(gap.error.clone()),
            until: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests;
