//! What an answer adds to what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Answer, Facts, Followed, Found, LastChange, Look, Read, Scope, Unexamined};
use crate::change::{Bounds, Change, Source};
use crate::confirm::{Confirmation, SecretFacts};
use crate::fact::{Fact, Gap, GapKind};
use crate::relation::Relations;
use crate::tag::{Participation, SecretTag};
use crate::workload::{Deployment, Platform, RolloutState, Use, Workload};

impl Facts {
    /// Takes an answer in.
    pub fn learn(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Look(Ok(look), forced) => self.learn_look(&look, &forced),
            Answer::Look(Err(gap), _) => self.looked_at = Fact::Unavailable(gap),
            Answer::Warnings(warnings) => self.warnings.extend(warnings),
            Answer::Service(Ok((existence, workload))) => {
                self.service = Fact::Known(existence);
                if let Some(mut workload) = workload {
                    self.note_completed(&mut workload);
                    self.workloads.insert(workload.arn.clone(), workload);
                }
            }
            Answer::Service(Err(gap)) => {
                if let Scope::Around(name) | Scope::Service(name) = &self.scope {
                    let unexamined = Unexamined {
                        gap: gap.clone(),
                        sources: Vec::new(),
                    };
                    self.unexamined.insert(name.to_string(), unexamined);
                }
                self.service = Fact::Unavailable(gap);
            }
            Answer::Workloads(workloads) => {
                for (asked, read) in workloads {
                    self.learn_workload(&asked, read);
                }
            }
            Answer::Secret(found) => self.learn_secret(found, now),
            Answer::Replica { of, replica, found } => self.learn_replica(&of, replica, found, now),
            Answer::LastChanges(found) => {
                let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
                for (followed, of_one) in self.workloads.values().flat_map(Workload::followed) {
                    labels.entry(followed).or_default().extend(of_one);
                }
                for (followed, found) in found {
                    let labels = labels.remove(&followed).unwrap_or_default();
                    self.learn_last_change(followed, labels, found, now);
                }
            }
            Answer::FullArn(arn, fact) => {
                if let Some(gap) = fact.gap() {
                    self.warnings.insert(format!(
                        "{arn} is treated as a partial ARN of the changed secret, because its own \
                         secret could not be read: {}",
                        gap.error
                    ));
                }
                self.full_arns.insert(arn, fact);
            }
            Answer::VersionStored(source, fact) => {
                self.warn_of_change_time(&source.to_string(), fact.gap());
                if let Some(change) = self.changes.get_mut(&source) {
                    change.stored = fact;
                }
            }
            Answer::Tag(source, fact) => self.learn_tag_of(&source, &fact),
            Answer::Calendar(fact) => self.calendar = fact,
            Answer::MoveTimes(found, warnings) => {
                self.warnings.extend(warnings);
                for (source, fact) in found {
                    if let Some(change) = self.changes.get_mut(&source) {
                        change.trail = fact;
                    }
                }
            }
            Answer::Tasks(arn, fact) => {
                if let Some(gap) = fact.gap() {
                    self.warnings.insert(format!("{arn}: {}", gap.error));
                }
                if let Some(workload) = self.workloads.get_mut(&arn) {
                    workload.tasks = fact;
                }
            }
            Answer::History(arn, fact) => {
                if let Some(workload) = self.workloads.get_mut(&arn) {
                    workload.history = fact;
                    workload.learn_ends();
                }
            }
            Answer::Images(arn, fact) => {
                if let Some(workload) = self.workloads.get_mut(&arn) {
                    workload.images = fact;
                }
            }
            Answer::ImageTags(found) => self.image_tags.extend(found),
            Answer::TaskDefinitions(found) => {
                for workload in self.workloads.values_mut() {
                    workload.learn_task_definitions(&found);
                }
            }
        }
    }

    /// What our tag on the secret of a change says. One that may not be described counts as untagged.
    fn learn_tag_of(&mut self, source: &Source, fact: &Fact<Option<SecretFacts>>) {
        let tag = match fact {
            Fact::Known(Some(secret)) => Fact::Known(self.learn_tag(secret)),
            Fact::Unavailable(gap) if !gap.stays() => Fact::Unavailable(gap.clone()),
            Fact::Unavailable(gap) => {
                self.warnings.insert(format!(
                    "{source} is treated as untagged, because it may not be described: {}",
                    gap.error
                ));
                Fact::Known(SecretTag::default())
            }
            Fact::Known(None) | Fact::Unasked => Fact::Known(SecretTag::default()),
        };
        if let Some(change) = self.changes.get_mut(source) {
            change.tag = tag;
        }
    }

    /// A read may lag behind the event that a deployment is done. One that ECS rolls back to is under
    /// way once more.
    fn note_completed(&self, workload: &mut Workload) {
        let is_failed = |deployment: &Deployment| workload.has_failed(deployment);
        let is_remembered = workload.read_at < Some(self.began_at);
        if is_remembered || workload.deployments.iter().any(is_failed) {
            return;
        }
        for deployment in &mut workload.deployments {
            let is_it = self.completed.as_ref() == Some(&deployment.id);
            let is_open = matches!(
                deployment.rollout,
                RolloutState::InProgress | RolloutState::Unknown
            );
            if is_it && is_open {
                deployment.rollout = RolloutState::Completed;
            }
        }
    }

    /// What the tag of a secret says, with a warning of what in it means nothing.
    fn learn_tag(&mut self, secret: &SecretFacts) -> SecretTag {
        let (tag, wrong) = secret.words();
        let arn = &secret.arn;
        self.warnings.extend(wrong.into_iter().map(|word| {
            format!(
                "the tag of {arn} has the word {word:?}, which means nothing there: use ignore or \
                 urgent"
            )
        }));
        tag
    }

    fn warn_of_change_time(&mut self, name: &str, gap: Option<&Gap>) {
        if let Some(gap) = gap {
            let error = &gap.error;
            self.warnings
                .insert(format!("when {name} last changed is not known: {error}"));
        }
    }

    /// Keeps the workloads that the invocation may be about.
    fn learn_look(&mut self, look: &Look, forced: &BTreeMap<Arc<str>, Deployment>) {
        self.looked_at = Fact::Known(look.began_at);
        self.looked_for.extend(self.changes.keys().cloned());
        self.has_first |= look.workloads.iter().any(Workload::is_first);
        self.warnings.extend(look.warnings.iter().cloned());
        let relations = Relations::new(self.changes.values());
        for workload in &look.workloads {
            let is_meant = |used: &Use| {
                let reference = used.reference();
                let claim = self
                    .unconfirmed
                    .as_ref()
                    .map(|unconfirmed| &unconfirmed.claim);
                claim.is_some_and(|claim| claim.may_be_meant_by(reference))
                    || relations.names(reference, workload.location.as_deref())
            };
            let mut changed = self.announced.iter();
            let is_of_a_replica =
                changed.any(|source| workload.replicas_of(source).next().is_some());
            let is_open =
                workload.unread.is_some() && workload.may_be_redeployed(Participation::Auto);
            let is_wanted = match self.scope {
                Scope::Everything => true,
                _ if workload.platform == Platform::StandaloneTask => false,
                _ => is_open || is_of_a_replica || workload.uses.iter().any(is_meant),
            };
            // One that is only named may be known by its ARN.
            let is_known = self.workloads.contains_key(&workload.arn)
                || workload.location.is_none()
                    && self
                        .workloads
                        .values()
                        .any(|known| known.is_called(&workload.arn));
            if !is_wanted && workload.platform != Platform::StandaloneTask {
                self.unrelated += 1;
            }
            if is_wanted && !is_known {
                let mut workload = workload.clone();
                if self.scope != Scope::Followers {
                    // Only an event is handled so soon that it counts.
                    workload.seen_at = None;
                }
                let forced = forced.get(&workload.arn);
                // An older one is shown by what was read since.
                let is_newer = |own: &&Deployment| Some(own.created_at) > workload.read_at;
                if let Some(own) = forced.filter(is_newer) {
                    workload.force(own);
                }
                self.workloads.insert(workload.arn.clone(), workload);
            }
        }
        self.unexamined.extend(
            look.unexamined
                .iter()
                .map(|(name, gap)| (name.clone(), gap.clone())),
        );
    }

    fn learn_workload(&mut self, asked: &Arc<str>, read: Read) {
        let before = self.workloads.remove(asked);
        match (read, before) {
            (Ok(Some(mut now)), Some(before)) => {
                if self.scope == Scope::Followers {
                    now.learn_seen(&before);
                }
                if before.read_at.is_some() {
                    // Task definitions were read by the look.
                    now.add_uses(&before.uses);
                }
                now.unread = now.unread.or(before.unread);
                now.inactive_task_definition |= before.inactive_task_definition;
                now.unguarded.extend(before.unguarded);
                now.images = before.images;
                now.tasks = before.tasks;
                now.history = before.history;
                now.learn_ends();
                now.forced_at = now.forced_at.max(before.forced_at);
                self.note_completed(&mut now);
                // The tag of one that was only named was not known before.
                self.has_first |= now.is_first();
                self.workloads.insert(now.arn.clone(), now);
            }
            (Ok(Some(now)), None) => {
                self.workloads.insert(now.arn.clone(), now);
            }
            (Ok(None), Some(mut before)) if before.read_at.is_some() => {
                // It was there a moment ago, and nothing is to be done about it any more.
                before.active = false;
                before.read_at = Some(Timestamp::MAX);
                self.workloads.insert(before.arn.clone(), before);
            }
            (Ok(None), Some(before)) => {
                let error = if before.tag.is_some() {
                    self.warnings
                        .insert(format!("the service {asked} was deleted while it was read"));
                    return;
                } else {
                    "REDEPLOY_MAPPING names this service, and it does not exist; create it or take \
                     it out"
                };
                self.add_unexamined(&before, GapKind::NotFound, error.to_owned());
            }
            (Ok(None), None) => {}
            (Err(gap), Some(before)) => {
                self.add_unexamined(&before, gap.kind, gap.error);
                if before.is_first() {
                    self.unread_firsts.insert(before.arn.clone(), before);
                }
            }
            (Err(gap), None) => {
                let unexamined = Unexamined {
                    gap,
                    sources: Vec::new(),
                };
                self.unexamined.insert(asked.to_string(), unexamined);
            }
        }
    }

    fn add_unexamined(&mut self, workload: &Workload, kind: GapKind, error: String) {
        // What else changed may be learned before this or after it.
        let announced = self.announced.iter();
        let relations = Relations::new(announced.filter_map(|source| self.changes.get(source)));
        let sources = match self.scope {
            Scope::Followers => relations.sources(&workload.uses, workload.location.as_deref()),
            _ => workload
                .uses
                .iter()
                .map(|used| used.reference().to_string().into())
                .collect(),
        };
        let unexamined = Unexamined {
            gap: Gap { kind, error },
            sources,
        };
        self.unexamined.insert(workload.arn.to_string(), unexamined);
    }

    fn learn_secret(&mut self, found: Fact<Option<SecretFacts>>, now: Timestamp) {
        let Some(unconfirmed) = &mut self.unconfirmed else {
            return;
        };
        unconfirmed.asked_at = Some(now);
        let claim = &unconfirmed.claim;
        let answer = match found {
            Fact::Unasked => Fact::Unasked,
            Fact::Known(Some(secret)) => Fact::Known(claim.confirm(&secret, now)),
            Fact::Known(None) => Fact::Known(claim.without_secret()),
            Fact::Unavailable(gap) => match claim.unchecked() {
                Some(change) if gap.kind == GapKind::Denied => {
                    let source = change.source.to_string();
                    self.warnings.insert(format!(
                        "{source} may not be described, so the time of the event counts as that of \
                         the change: {}",
                        gap.error
                    ));
                    Fact::Known(Confirmation::Changes(vec![change]))
                }
                _ => Fact::Unavailable(gap),
            },
        };
        let changes = match &answer {
            Fact::Known(Confirmation::Changes(changes)) => changes.clone(),
            _ => Vec::new(),
        };
        unconfirmed.answer = answer;
        for change in changes {
            self.announce(change);
        }
    }

    fn learn_last_change(
        &mut self,
        followed: Followed,
        labels: BTreeSet<String>,
        found: Fact<Option<Found>>,
        now: Timestamp,
    ) {
        let requested_at = self.requested_at;
        let last_change = LastChange {
            labels,
            asked_at: Some(now),
            found,
        };
        let parameter = |at| {
            let arn = followed.parameter_arn();
            arn.map(|arn| Change::new(Source::Parameter(arn), None, Bounds::exact(at)))
        };
        let mut changes = Vec::new();
        match last_change.found.known() {
            Some(Some(Found::Secret(secret))) => {
                let tag = Fact::Known(self.learn_tag(secret));
                for label in &last_change.labels {
                    if let Some(version) = secret.labels.get(label) {
                        let last_changed = secret.last_changed.unwrap_or(now);
                        let source = Source::Secret {
                            arn: secret.arn.clone(),
                            label: label.clone(),
                        };
                        let moved = requested_at.map_or(Bounds::until(last_changed), Bounds::exact);
                        changes.push(Change {
                            tag: tag.clone(),
                            ..Change::new(source, Some(version.clone()), moved)
                        });
                    }
                }
            }
            Some(Some(Found::Parameter(at))) => {
                changes.extend(parameter(requested_at.unwrap_or(*at)));
            }
            Some(Some(Found::Elsewhere)) => {
                changes.extend(requested_at.and_then(parameter));
                if requested_at.is_none() {
                    self.warnings.insert(format!(
                        "{followed} is a parameter of another account, so that only its events \
                         tell when it changes"
                    ));
                }
            }
            Some(None) => {
                let kind = followed.kind();
                self.warnings.insert(format!(
                    "a service names the {kind} {followed}, which does not exist"
                ));
            }
            None => {}
        }
        for change in changes {
            // The event knows its own change better, unless there was another one since. What else
            // is changed of a secret has a time, too, but leaves its version.
            let known = self.changes.get(&change.source);
            let known = known.filter(|known| self.announced.contains(&known.source));
            let is_same = known.is_some_and(|known| {
                let is_of_this_version = known.version.is_some() && known.version == change.version;
                is_of_this_version || change.reported.not_after <= known.reported.not_after
            });
            if !is_same {
                self.add_change(change);
            } else if let Some(known) = self.changes.get_mut(&change.source) {
                known.tag = change.tag;
            }
        }
        self.followed.insert(followed, last_change);
    }
}
