//! All that is known in one invocation. Answers of AWS make it grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::arn::{Arn, Location, ParameterArn};
use crate::change::{Bounds, Change, Source, TrailMove, VersionStored};
use crate::confirm::{Confirmation, SecretFacts, UnconfirmedChange};
use crate::fact::{Fact, Gap, GapKind};
use crate::reference::{Named, Reference};
use crate::relation::Relations;
use crate::workload::{Deployment, Platform, RolloutState, Task, Use, Workload};

/// Which workloads an invocation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that follow what changed.
    Followers,
    /// All. When each source last changed must be asked.
    Everything,
    /// A service whose deployment ended, and those that follow what it follows.
    Around(Arc<str>),
    /// One service, as if all that it follows had changed at the time of the request.
    Service(Arc<str>),
}

/// All that is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which workloads the invocation is about.
    pub scope: Scope,
    /// When the invocation began, UTC.
    pub began_at: Timestamp,
    /// The id of the deployment that was completed, where the invocation is about that.
    pub completed: Option<String>,
    /// When a person asked for it, UTC; a request means a change at this time.
    pub requested_at: Option<Timestamp>,
    /// What changed.
    pub changes: BTreeMap<Source, Change>,
    /// What may have changed, by an event that cannot tell.
    pub unconfirmed: Option<Unconfirmed>,
    /// Whether the service exists that the invocation is about.
    pub service: Fact<Existence>,
    /// When the look began that the workloads come from, UTC.
    pub looked_at: Fact<Timestamp>,
    /// The workloads, by ARN.
    pub workloads: BTreeMap<Arc<str>, Workload>,
    /// How many services the look found besides, which have nothing to do with what changed.
    pub unrelated: usize,
    /// What the workloads follow, and what AWS says about its last change.
    pub followed: BTreeMap<Followed, LastChange>,
    /// Whether an ARN that could be partial is the full ARN of a secret.
    pub full_arns: BTreeMap<String, Fact<bool>>,
    /// What could not be examined, by the name of a service or cluster.
    pub unexamined: BTreeMap<String, Unexamined>,
    /// What was not understood or has vanished, in sentences.
    pub warnings: BTreeSet<String>,
}

/// Whether a service exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It is here.
    Here,
    /// It is of another account or Region.
    Elsewhere,
    /// No lookup in use could find it.
    OutOfScope,
    /// It does not exist.
    Nowhere,
}

/// A claim about a secret, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unconfirmed {
    /// The claim.
    pub claim: UnconfirmedChange,
    /// When it was last checked, UTC.
    pub asked_at: Option<Timestamp>,
    /// What `DescribeSecret` says about it.
    pub answer: Fact<Confirmation>,
}

/// A service or cluster that could not be examined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexamined {
    /// Why.
    pub gap: Gap,
    /// What it was to be examined for, where that is known.
    pub sources: Vec<Arc<str>>,
}

/// Nobody knows what it was to be examined for.
impl From<Gap> for Unexamined {
    fn from(gap: Gap) -> Self {
        Self {
            gap,
            sources: Vec::new(),
        }
    }
}

/// A secret or parameter as a reference names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Followed {
    /// A secret, as `DescribeSecret` accepts it.
    Secret {
        /// The Region to ask in.
        region: String,
        /// A name, an ARN or a partial ARN.
        id: String,
    },
    /// A parameter.
    Parameter {
        /// The partition, Region and account of the parameter, with no resource.
        place: Arn,
        /// Its name, with the slash that a path begins with.
        name: String,
    },
}

/// What is known of the last change of something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastChange {
    /// The labels that are followed; empty for a parameter.
    pub labels: BTreeSet<String>,
    /// When AWS was asked, UTC.
    pub asked_at: Option<Timestamp>,
    /// What it answered; `None` when there is no such secret or parameter.
    pub found: Fact<Option<Found>>,
}

/// What AWS says about a secret or parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A secret.
    Secret(SecretFacts),
    /// A parameter that was last changed at this time, UTC.
    Parameter(Timestamp),
}

/// What one look found: who follows what, from a moment on.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it began, UTC. What was deployed later may be missing.
    pub began_at: Timestamp,
    /// The workloads in scope.
    pub workloads: Vec<Workload>,
    /// What could not be examined, by the name of a service or cluster.
    pub unexamined: BTreeMap<String, Unexamined>,
    /// What was not understood or has vanished, in sentences.
    pub warnings: BTreeSet<String>,
}

/// An answer of AWS.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The look, and the deployments of our own by the ARN of the service.
    Look(Result<Arc<Look>, Gap>, BTreeMap<Arc<str>, Deployment>),
    /// The service that the invocation is about.
    Service(Result<(Existence, Option<Workload>), Gap>),
    /// Counts, deployments and tags of workloads, by the ARN or name that was asked for; `None` for
    /// a service that does not exist.
    Workloads(Vec<(Arc<str>, Result<Option<Workload>, Gap>)>),
    /// What `DescribeSecret` says to a claim.
    Secret(Fact<Option<SecretFacts>>),
    /// When things last changed.
    LastChanges(Vec<(Followed, Fact<Option<Found>>)>),
    /// What was not understood, in sentences.
    Warnings(BTreeSet<String>),
    /// Whether this is the full ARN of a secret.
    FullArn(String, Fact<bool>),
    /// When the version that carries the label was stored.
    VersionStored(Source, Fact<Option<VersionStored>>),
    /// When labels moved, by CloudTrail.
    MoveTimes(Vec<(Source, Fact<Option<TrailMove>>)>, BTreeSet<String>),
    /// The running tasks of a workload.
    Tasks(Arc<str>, Fact<Vec<Task>>),
    /// The earlier deployments of a workload.
    History(Arc<str>, Fact<Vec<Deployment>>),
    /// The task definitions of service revisions.
    TaskDefinitions(BTreeMap<String, Fact<Arc<str>>>),
}

impl Facts {
    /// An invocation that knows nothing yet.
    #[must_use]
    pub fn new(scope: Scope, began_at: Timestamp) -> Self {
        Self {
            scope,
            began_at,
            completed: None,
            requested_at: None,
            changes: BTreeMap::new(),
            unconfirmed: None,
            service: Fact::Unasked,
            looked_at: Fact::Unasked,
            workloads: BTreeMap::new(),
            unrelated: 0,
            followed: BTreeMap::new(),
            full_arns: BTreeMap::new(),
            unexamined: BTreeMap::new(),
            warnings: BTreeSet::new(),
        }
    }

    /// Adds a change, unless the same one is known.
    pub fn add_change(&mut self, change: Change) {
        let known = self.changes.get(&change.source);
        let is_known = known.is_some_and(|known| {
            known.version == change.version && known.reported == change.reported
        });
        if !is_known {
            self.changes.insert(change.source.clone(), change);
        }
    }

    /// The same facts about these workloads only.
    #[must_use]
    pub fn only(&self, arns: &[Arc<str>]) -> Self {
        let workloads = arns
            .iter()
            .filter_map(|arn| Some((arn.clone(), self.workloads.get(arn)?.clone())));
        Self {
            workloads: workloads.collect(),
            unexamined: BTreeMap::new(),
            warnings: BTreeSet::new(),
            ..self.clone()
        }
    }

    /// The same facts about one change alone, and the workloads that name what changed.
    #[must_use]
    pub fn about(&self, source: &Source) -> Self {
        let change = self.changes.get_key_value(source);
        let relations = Relations::new(change.into_iter().map(|(_, change)| change));
        let is_about = |workload: &Workload| {
            let location = workload.location.as_deref();
            let mut references = workload.uses.iter().map(Use::reference);
            references.any(|reference| relations.names(reference, location))
        };
        let workloads = self.workloads.iter();
        let workloads = workloads.filter(|(_, workload)| is_about(workload));
        Self {
            requested_at: self.requested_at,
            changes: BTreeMap::from_iter(
                change.map(|(source, change)| (source.clone(), change.clone())),
            ),
            looked_at: self.looked_at.clone(),
            service: self.service.clone(),
            workloads: workloads
                .map(|(arn, workload)| (arn.clone(), workload.clone()))
                .collect(),
            full_arns: self.full_arns.clone(),
            ..Self::new(self.scope.clone(), self.began_at)
        }
    }

    /// Takes an answer in.
    pub fn learn(&mut self, answer: Answer, now: Timestamp) {
        match answer {
            Answer::Look(Ok(look), forced) => self.learn_look(&look, &forced),
            Answer::Look(Err(gap), _) => self.looked_at = Fact::Unavailable(gap),
            Answer::Warnings(warnings) => self.warnings.extend(warnings),
            Answer::Service(Ok((existence, workload))) => {
                self.service = Fact::Known(existence);
                self.workloads
                    .extend(workload.map(|workload| (workload.arn.clone(), workload)));
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
                    workload.learn_history(fact);
                }
            }
            Answer::TaskDefinitions(found) => {
                for workload in self.workloads.values_mut() {
                    workload.learn_task_definitions(&found);
                }
            }
        }
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
            let is_open = workload.unread.is_some() && workload.may_be_redeployed();
            let is_wanted = match self.scope {
                Scope::Everything => true,
                _ if workload.platform == Platform::StandaloneTask => false,
                _ => is_open || workload.uses.iter().any(is_meant),
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

    fn learn_workload(&mut self, asked: &Arc<str>, read: Result<Option<Workload>, Gap>) {
        let before = self.workloads.remove(asked);
        match (read, before) {
            (Ok(Some(mut now)), Some(before)) => {
                if before.read_at.is_some() {
                    // Task definitions were read by the look.
                    now.uses.extend(before.uses);
                    now.uses.sort();
                    now.uses.dedup();
                }
                now.unread = now.unread.or(before.unread);
                now.inactive_task_definition |= before.inactive_task_definition;
                now.tasks = before.tasks;
                now.seen_at = before.seen_at;
                now.forced_at = now.forced_at.max(before.forced_at);
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
            (Err(gap), Some(before)) => self.add_unexamined(&before, gap.kind, gap.error),
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
        let relations = Relations::new(self.changes.values());
        let sources = match self.scope {
            Scope::Followers => relations.sources(&workload.uses, workload.location.as_deref()),
            _ => workload
                .uses
                .iter()
                .map(|used| used.reference().to_string().into())
                .collect(),
        };
        // What only could not be described is not described as denied: nobody knows if it is stale.
        let kind = if kind == GapKind::Denied {
            GapKind::Failed
        } else {
            kind
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
            self.add_change(change);
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
        let mut changes = Vec::new();
        match last_change.found.known() {
            Some(Some(Found::Secret(secret))) => {
                for label in &last_change.labels {
                    if let Some(version) = secret.labels.get(label) {
                        let last_changed = secret.last_changed.unwrap_or(now);
                        changes.push(Change::new(
                            Source::Secret {
                                arn: secret.arn.clone(),
                                label: label.clone(),
                            },
                            Some(version.clone()),
                            requested_at.map_or(Bounds::until(last_changed), Bounds::exact),
                        ));
                    }
                }
            }
            Some(Some(Found::Parameter(at))) => {
                changes.extend(followed.parameter_arn().map(|arn| {
                    let bounds = Bounds::exact(requested_at.unwrap_or(*at));
                    Change::new(Source::Parameter(arn), None, bounds)
                }));
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
            self.add_change(change);
        }
        self.followed.insert(followed, last_change);
    }
}

impl Workload {
    /// What its tasks read at their start and AWS can be asked about, with the labels.
    #[must_use]
    pub fn followed(&self) -> BTreeMap<Followed, BTreeSet<String>> {
        let mut followed = BTreeMap::<_, BTreeSet<_>>::new();
        let Some(location) = &self.location else {
            return followed;
        };
        for used in &self.uses {
            let Use::AtStart(reference) = used else {
                continue;
            };
            if let Some((source, label)) = Followed::of(reference, location) {
                let labels = followed.entry(source).or_default();
                labels.extend((!label.is_empty()).then_some(label));
            }
        }
        followed
    }

    /// Takes the history in. A deployment that is live, too, is kept once: as failed, where the
    /// history already says so.
    fn learn_history(&mut self, mut history: Fact<Vec<Deployment>>) {
        if let Fact::Known(history) = &mut history {
            for live in &mut self.deployments {
                let is_same = |past: &Deployment| {
                    let apart = past.created_at.duration_since(live.created_at).abs();
                    apart < jiff::SignedDuration::from_secs(1)
                };
                let Some(index) = history.iter().position(is_same) else {
                    continue;
                };
                let past = history.remove(index);
                let has_failed = matches!(
                    past.rollout,
                    RolloutState::Failed | RolloutState::RollingBack
                );
                if has_failed && live.rollout != RolloutState::Completed {
                    live.rollout = RolloutState::Failed;
                }
            }
        }
        self.history = history;
    }

    fn learn_task_definitions(&mut self, found: &BTreeMap<String, Fact<Arc<str>>>) {
        if let Fact::Known(history) = &mut self.history {
            for past in history {
                let fact = past
                    .service_revision
                    .as_ref()
                    .and_then(|arn| found.get(arn));
                if let Some(fact) = fact {
                    past.task_definition = fact.clone();
                }
            }
        }
    }
}

impl Followed {
    /// What a reference follows, as AWS can be asked about it, and the label; `None` for what never
    /// changes.
    #[must_use]
    pub fn of(reference: &Reference, location: &Location) -> Option<(Self, String)> {
        let region = reference.region().unwrap_or(&location.region).to_owned();
        if let Some((id, label)) = reference.secret_and_label() {
            return Some((Self::Secret { region, id }, label.to_owned()));
        }
        let Named::Parameter {
            name,
            selector: None,
        } = reference.named()
        else {
            return None;
        };
        let place = reference.arn().cloned().unwrap_or_else(|| Arn {
            partition: location.partition.clone(),
            service: "ssm".to_owned(),
            region,
            account: location.account.clone(),
            resource: String::new(),
        });
        let place = Arn {
            resource: String::new(),
            ..place
        };
        Some((Self::Parameter { place, name }, String::new()))
    }

    /// The ARN of a parameter.
    #[must_use]
    pub fn parameter_arn(&self) -> Option<ParameterArn> {
        let Self::Parameter { place, name } = self else {
            return None;
        };
        let resource = format!("parameter/{}", name.strip_prefix('/').unwrap_or(name));
        let arn = Arn {
            resource,
            ..place.clone()
        };
        ParameterArn::parse(&arn.to_string())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "secret",
            Self::Parameter { .. } => "parameter",
        }
    }
}

/// Prints the secret or parameter as it was named.
impl std::fmt::Display for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret { id, .. } => id.fmt(f),
            Self::Parameter { name, .. } => name.fmt(f),
        }
    }
}
