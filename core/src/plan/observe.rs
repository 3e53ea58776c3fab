//! What comes before any decision: what changed, and who may follow it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{End, MAX_PATIENCE, Plan, Question};
use crate::change::{Bounds, Change, Source};
use crate::confirm::Confirmation;
use crate::decide::started_at;
use crate::fact::{Fact, Gap, GapKind};
use crate::facts::{Existence, Facts, Scope};
use crate::policy::Policy;
use crate::relation::Relations;
use crate::workload::{Use, Workload};

/// An answer that is older than its event is asked for again after this time.
const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// An order of rollout is carried on for this long by the events of deployments, then by sweeps.
const CARRIED_ON_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What comes before any decision: what changed, and who may follow it.
pub(super) fn observe(facts: &Facts, policy: &Policy, now: Timestamp) -> Option<Plan> {
    let ask = |question| {
        Some(Plan {
            questions: BTreeSet::from([question]),
            ..Plan::default()
        })
    };
    let end = |end| {
        Some(Plan {
            end: Some(end),
            ..Plan::default()
        })
    };
    if let Some(gap) = facts.looked_at.gap() {
        return end(End::Unavailable(gap.clone()));
    }
    if let Some(reason) = left_out(facts, policy) {
        return end(End::Ignored(reason));
    }
    let is_request = facts.requested_at.is_some();
    if facts.scope == Scope::Followers
        && (!is_request || facts.unconfirmed.is_none())
        && let Some(look) = look_for_followers(facts, policy, now)
    {
        return Some(look);
    }
    if let Some(unconfirmed) = &facts.unconfirmed {
        let is_meant = |used: &Use| unconfirmed.claim.may_be_meant_by(used.reference());
        let mut workloads = facts.workloads.values();
        if !is_request && !workloads.any(|workload| workload.uses.iter().any(is_meant)) {
            return None;
        }
        match &unconfirmed.answer {
            Fact::Unasked => return ask(Question::Secret),
            Fact::Unavailable(gap) if gap.kind == GapKind::Invalid && is_request => {
                return end(End::NoSecret);
            }
            Fact::Unavailable(gap) => return end(End::Unavailable(gap.clone())),
            Fact::Known(Confirmation::NoSecret) => return end(End::NoSecret),
            Fact::Known(Confirmation::Nothing(reason)) => {
                return end(End::Ignored(reason.clone()));
            }
            Fact::Known(Confirmation::Pending(reason)) => {
                return end(End::Pending(reason.clone()));
            }
            Fact::Known(Confirmation::Outdated(reason)) => {
                let asked_at = unconfirmed.asked_at;
                return Some(ask_again(
                    facts,
                    policy,
                    now,
                    asked_at,
                    Question::Secret,
                    reason,
                ));
            }
            Fact::Known(Confirmation::Changes(_)) => {}
        }
        if is_request && let Some(look) = look_for_followers(facts, policy, now) {
            return Some(look);
        }
    }
    if facts.scope == Scope::Followers
        && !is_request
        && let Some(plan) = look_at_replicas(facts, policy, now)
    {
        return Some(plan);
    }
    match &facts.scope {
        Scope::Everything if facts.looked_at.is_unasked() => ask(Question::Look {
            not_before: facts.began_at,
        }),
        Scope::Service(name) | Scope::Around(name) => match facts.service {
            Fact::Unasked => ask(Question::Service(name.clone())),
            Fact::Known(Existence::Elsewhere) => {
                let reason = "the service is of another account or Region";
                end(End::Ignored(reason.to_owned()))
            }
            Fact::Known(Existence::Nowhere | Existence::OutOfScope) if is_request => {
                end(End::NoService)
            }
            Fact::Known(Existence::OutOfScope) => {
                end(End::Ignored("the service is not in scope".to_owned()))
            }
            Fact::Known(Existence::Nowhere) => {
                end(End::Ignored("the service does not exist".to_owned()))
            }
            Fact::Known(Existence::Here) | Fact::Unavailable(_) => None,
        },
        _ => None,
    }
}

/// Why nothing is done about the secret or parameter of an event that the policy leaves out.
fn left_out(facts: &Facts, policy: &Policy) -> Option<String> {
    let is_left_out = |source: &&Source| !policy.secrets.include_source(source);
    let changed = facts.announced.iter();
    let claimed = facts
        .unconfirmed
        .iter()
        .map(|unconfirmed| &unconfirmed.claim.secret_id);
    let mut claimed = claimed.filter(|id| !policy.secrets.may_include(id));
    let name = match claimed.next() {
        Some(id) => id.clone(),
        None if facts.announced.is_empty() => return None,
        None if changed.clone().all(|source| is_left_out(&source)) => {
            changed.map(Source::to_string).next()?
        }
        None => return None,
    };
    Some(format!("REDEPLOY_SECRETS leaves {name} out"))
}

/// The same question once more, after a pause and while there is patience: the answer is older than
/// the event.
fn ask_again(
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
    asked_at: Option<Timestamp>,
    question: Question,
    reason: &str,
) -> Plan {
    let again = asked_at.unwrap_or(now).saturating_add(ASK_AGAIN_AFTER);
    let again = again.unwrap_or(now);
    let is_patient = now.duration_since(facts.began_at) < MAX_PATIENCE;
    let mut plan = Plan::default();
    if !policy.acts || !is_patient {
        plan.end = Some(End::Outdated(reason.to_owned()));
    } else if now >= again {
        plan.questions.insert(question);
    } else {
        plan.wait_until = Some(again);
    }
    plan
}

/// What the replicas of what changed in another Region show of that, where services follow them.
/// They hold up nobody who follows the changed secret itself.
fn look_at_replicas(facts: &Facts, policy: &Policy, now: Timestamp) -> Option<Plan> {
    let mut plan = Plan::default();
    let mut last = None;
    for changed in primaries(facts) {
        let workloads = facts.workloads.values();
        let replicas = workloads.flat_map(|workload| workload.replicas_of(changed));
        for replica in replicas.collect::<BTreeSet<_>>() {
            let known = facts.replicas.get(&replica);
            let question = Question::Replica {
                of: changed.clone(),
                replica,
            };
            let next = match known.map(|known| (known.asked_at, &known.answer)) {
                None | Some((_, Fact::Unasked)) => {
                    plan.questions.insert(question);
                    continue;
                }
                Some((asked_at, Fact::Known(Confirmation::Outdated(reason)))) => {
                    ask_again(facts, policy, now, asked_at, question, reason)
                }
                Some((_, Fact::Unavailable(gap))) => Plan {
                    end: Some(End::Unavailable(gap.clone())),
                    ..Plan::default()
                },
                Some((_, Fact::Known(_))) => continue,
            };
            plan.questions.extend(next.questions);
            plan.wait_until = plan.wait_until.max(next.wait_until);
            last = next.end.or(last);
        }
    }
    if !plan.questions.is_empty() || plan.wait_until.is_some() {
        return Some(plan);
    }
    let relations = Relations::new(facts.changes.values());
    let follows = |workload: &Workload| {
        let location = workload.location.as_deref();
        !relations.sources(&workload.uses, location).is_empty()
    };
    let is_alone = !facts.workloads.values().any(follows);
    let end = last.filter(|_| is_alone)?;
    Some(Plan {
        end: Some(end),
        ..Plan::default()
    })
}

/// What changed, but for what is a replica of that.
fn primaries(facts: &Facts) -> impl Iterator<Item = &Source> {
    let changed = facts.announced.iter();
    changed.filter(|source| !facts.replicas.contains_key(source))
}

/// The replicas that a workload follows and that did not show the change.
pub(super) fn replicas_behind(facts: &Facts, workload: &Workload) -> Vec<(Gap, Vec<Arc<str>>)> {
    let replicas = primaries(facts).flat_map(|changed| workload.replicas_of(changed));
    let behind = replicas.filter_map(|replica| {
        let gap = match &facts.replicas.get(&replica)?.answer {
            Fact::Unavailable(gap) => gap.clone(),
            Fact::Known(Confirmation::Outdated(reason)) => Gap {
                kind: GapKind::Failed,
                error: reason.clone(),
            },
            _ => return None,
        };
        Some((gap, vec![replica.to_string().into()]))
    });
    behind.collect()
}

/// The look that shows who follows what changed, or the wait for the moment from which on it does.
fn look_for_followers(facts: &Facts, policy: &Policy, now: Timestamp) -> Option<Plan> {
    if !facts.looked_at.is_unasked() {
        return None;
    }
    let changed = facts
        .changes
        .values()
        .map(|change| change.reported.not_after);
    let claimed = facts
        .unconfirmed
        .iter()
        .filter_map(|unconfirmed| unconfirmed.claim.at);
    let at = changed.chain(claimed).max().unwrap_or(facts.began_at);
    let visible_from = policy.visible_from(at);
    if policy.acts && now < visible_from {
        return Some(Plan {
            wait_until: Some(visible_from),
            ..Plan::default()
        });
    }
    // A preview shows what is there now.
    let not_before = visible_from.min(now);
    Some(Plan {
        questions: BTreeSet::from([Question::Look { not_before }]),
        ..Plan::default()
    })
}

/// The look that shows who else follows what has become known to have changed, where they may have
/// to go first.
pub(super) fn look_for_others(facts: &Facts, policy: &Policy, now: Timestamp) -> Option<Question> {
    let is_partial = matches!(facts.scope, Scope::Followers | Scope::Around(_));
    if !is_partial || facts.looked_at.is_unasked() || !super::has_order(facts, policy) {
        return None;
    }
    let is_new = |change: &&Change| {
        let fresh_from = change.moved().fresh_from();
        let is_older = |workload: &Workload| started_at(workload) < Some(fresh_from);
        !facts.looked_for.contains(&change.source) && facts.workloads.values().any(is_older)
    };
    let new = facts.changes.values().filter(is_new);
    let latest = new.map(|change| change.moved().not_after).max()?;
    Some(Question::Look {
        not_before: policy.visible_from(latest).min(now),
    })
}

/// The look that shows who else follows what a service follows, once that has changed: the end of
/// one deployment may be what another service waits for.
pub(super) fn look_for_siblings(
    facts: &Facts,
    policy: &Policy,
    now: Timestamp,
) -> Option<Question> {
    let Scope::Around(service) = &facts.scope else {
        return None;
    };
    if !facts.looked_at.is_unasked() {
        return None;
    }
    let is_recent = |at: Timestamp| now.duration_since(at) < CARRIED_ON_FOR;
    // What the others do counts for the service itself, however long ago that was.
    let is_missing = |moved: Bounds| {
        let mut workloads = facts.workloads.values();
        workloads.any(|workload| {
            workload.is_called(service) && started_at(workload) < Some(moved.fresh_from())
        })
    };
    let changed = facts.changes.values().map(Change::moved);
    let counts = changed.filter(|moved| is_recent(moved.not_after) || is_missing(*moved));
    let latest = counts.map(|moved| moved.not_after).max()?;
    Some(Question::Look {
        not_before: policy.visible_from(latest).min(now),
    })
}
