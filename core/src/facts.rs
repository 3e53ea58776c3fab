//! All that is known in one invocation. Answers of AWS make it grow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::arn::{Arn, Location, ParameterArn};
use crate::change::{Change, Source, TrailMove, VersionStored};
use crate::confirm::{Confirmation, SecretFacts, UnconfirmedChange};
use crate::decide::started_at;
use crate::fact::{Fact, Gap};
use crate::image::{EcrImage, RevisionImages};
use crate::name_pattern::NamePatterns;
use crate::reference::{Named, Reference};
use crate::relation::Relations;
use crate::replica::Replica;
use crate::workload::{Deployment, Task, Use, Workload};

mod learn;

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
    /// When the turn of these services came, UTC.
    pub turn_at: Option<Timestamp>,
    /// The id of the deployment that was completed, where the invocation is about that.
    pub completed: Option<String>,
    /// When a person asked for it, UTC; a request means a change at this time.
    pub requested_at: Option<Timestamp>,
    /// What changed.
    pub changes: BTreeMap<Source, Change>,
    /// The sources of the changes that the event or request itself is about.
    pub announced: BTreeSet<Source>,
    /// What may have changed, by an event that cannot tell.
    pub unconfirmed: Option<Unconfirmed>,
    /// What replicas show of a change in another Region.
    pub replicas: BTreeMap<Source, Replica>,
    /// Whether the service exists that the invocation is about.
    pub service: Fact<Existence>,
    /// When the look began that the workloads come from, UTC.
    pub looked_at: Fact<Timestamp>,
    /// The changes whose followers the look was asked for.
    pub looked_for: BTreeSet<Source>,
    /// Whether the look shows a service that is tagged `first`.
    pub has_first: bool,
    /// The workloads, by ARN.
    pub workloads: BTreeMap<Arc<str>, Workload>,
    /// How many services the look found besides, which have nothing to do with what changed.
    pub unrelated: usize,
    /// What the workloads follow, and what AWS says about its last change.
    pub followed: BTreeMap<Followed, LastChange>,
    /// Whether an ARN that could be partial is the full ARN of a secret.
    pub full_arns: BTreeMap<String, Fact<bool>>,
    /// The digests of the images that tags name; `None` for a tag that names none.
    pub image_tags: BTreeMap<EcrImage, Fact<Option<String>>>,
    /// The state of the change calendars together.
    pub calendar: Fact<Calendar>,
    /// What could not be examined, by the name of a service or cluster.
    pub unexamined: BTreeMap<String, Unexamined>,
    /// Services tagged `first` that could not be described, by ARN.
    pub unread_firsts: BTreeMap<Arc<str>, Workload>,
    /// What was not understood or has vanished, in sentences.
    pub warnings: BTreeSet<String>,
}

/// The state of several change calendars, which is open if each is
/// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCalendarState.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Changes may be made.
    Open,
    /// Changes must wait.
    Closed {
        /// The next change of the state, UTC, where it is known.
        until: Option<Timestamp>,
    },
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
    /// A parameter of another account, about which only its events tell.
    Elsewhere,
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

/// What a read of a service gave; `None` for one that does not exist.
pub type Read = Result<Option<Workload>, Gap>;

/// An answer of AWS.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The look, and the deployments of our own by the ARN of the service.
    Look(Result<Arc<Look>, Gap>, BTreeMap<Arc<str>, Deployment>),
    /// The service that the invocation is about.
    Service(Result<(Existence, Option<Workload>), Gap>),
    /// Counts, deployments and tags of workloads, by the ARN or name that was asked for; `None` for
    /// a service that does not exist.
    Workloads(Vec<(Arc<str>, Read)>),
    /// What `DescribeSecret` says to a claim.
    Secret(Fact<Option<SecretFacts>>),
    /// What `DescribeSecret` says of a replica of what changed.
    Replica {
        /// What changed.
        of: Source,
        /// The replica.
        replica: Source,
        /// The answer.
        found: Fact<Option<SecretFacts>>,
    },
    /// When things last changed.
    LastChanges(Vec<(Followed, Fact<Option<Found>>)>),
    /// What was not understood, in sentences.
    Warnings(BTreeSet<String>),
    /// Whether this is the full ARN of a secret.
    FullArn(String, Fact<bool>),
    /// When the version that carries the label was stored.
    VersionStored(Source, Fact<Option<VersionStored>>),
    /// What `DescribeSecret` says about the secret of a change.
    Tag(Source, Fact<Option<SecretFacts>>),
    /// Whether the change calendars are open.
    Calendar(Fact<Calendar>),
    /// When labels moved, by CloudTrail.
    MoveTimes(Vec<(Source, Fact<Option<TrailMove>>)>, BTreeSet<String>),
    /// The running tasks of a workload.
    Tasks(Arc<str>, Fact<Vec<Task>>),
    /// The earlier deployments of a workload.
    History(Arc<str>, Fact<Vec<Deployment>>),
    /// The images of a workload's service revisions.
    Images(Arc<str>, Fact<Vec<RevisionImages>>),
    /// The digests of the images that tags name; `None` for a tag that names none.
    ImageTags(Vec<(EcrImage, Fact<Option<String>>)>),
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
            turn_at: None,
            completed: None,
            requested_at: None,
            changes: BTreeMap::new(),
            announced: BTreeSet::new(),
            unconfirmed: None,
            replicas: BTreeMap::new(),
            service: Fact::Unasked,
            looked_at: Fact::Unasked,
            looked_for: BTreeSet::new(),
            has_first: false,
            workloads: BTreeMap::new(),
            unrelated: 0,
            followed: BTreeMap::new(),
            full_arns: BTreeMap::new(),
            image_tags: BTreeMap::new(),
            calendar: Fact::Unasked,
            unexamined: BTreeMap::new(),
            unread_firsts: BTreeMap::new(),
            warnings: BTreeSet::new(),
        }
    }

    /// Adds a change that the event or request is about.
    pub fn announce(&mut self, change: Change) {
        self.announced.insert(change.source.clone());
        self.add_change(change);
    }

    /// Whether a workload has the values of everything that changed, whether it follows it or not.
    #[must_use]
    pub fn is_up_to_date(&self, workload: &Workload) -> bool {
        started_at(workload).is_some_and(|started| {
            let mut changes = self.changes.values();
            changes.all(|change| started >= change.moved().fresh_from())
        })
    }

    /// Adds a change, unless the same one is known.
    fn add_change(&mut self, mut change: Change) {
        let known = self.changes.get(&change.source);
        let same = known.filter(|known| known.version == change.version);
        if let Some(known) = same {
            if known.reported == change.reported {
                return;
            }
            if change.version.is_some() {
                // When a version was stored does not depend on when its label moved.
                change.stored = known.stored.clone();
            }
        }
        self.changes.insert(change.source.clone(), change);
    }

    /// The same facts about these workloads only.
    #[must_use]
    pub fn only(&self, arns: &[Arc<str>]) -> Self {
        let workloads = arns
            .iter()
            .filter_map(|arn| Some((arn.clone(), self.workloads.get(arn)?.clone())));
        Self {
            // Not by a copy of all: there may be thousands of other workloads.
            workloads: workloads.collect(),
            turn_at: self.turn_at,
            completed: self.completed.clone(),
            requested_at: self.requested_at,
            changes: self.changes.clone(),
            announced: self.announced.clone(),
            unconfirmed: self.unconfirmed.clone(),
            service: self.service.clone(),
            looked_at: self.looked_at.clone(),
            looked_for: self.looked_for.clone(),
            has_first: self.has_first,
            unrelated: self.unrelated,
            followed: self.followed.clone(),
            replicas: self.replicas.clone(),
            full_arns: self.full_arns.clone(),
            image_tags: self.image_tags.clone(),
            calendar: self.calendar.clone(),
            ..Self::new(self.scope.clone(), self.began_at)
        }
    }

    /// Has all that may have changed about these workloads asked for once more. One that could not be
    /// read last time is taken as it was known before.
    pub fn forget_reads(&mut self, arns: impl IntoIterator<Item = Arc<str>>, before: &Self) {
        self.calendar = Fact::Unasked;
        for arn in arns {
            self.unexamined.remove(&*arn);
            self.unread_firsts.remove(&arn);
            let before = before.workloads.get(&arn);
            if let Some(mut workload) = self.workloads.remove(&arn).or_else(|| before.cloned()) {
                workload.forget_reads();
                workload.forced_at = None;
                self.workloads.insert(arn, workload);
            }
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
}

impl Workload {
    /// What its tasks read at their start and AWS can be asked about, with the labels.
    #[must_use]
    pub fn followed(&self) -> BTreeMap<Followed, BTreeSet<String>> {
        let mut followed = BTreeMap::<_, BTreeSet<_>>::new();
        let Some(location) = &self.location else {
            return followed;
        };
        for used in &*self.uses {
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

    /// Whether patterns of names may mean it.
    pub(crate) fn may_be_included(&self, patterns: &NamePatterns) -> bool {
        match self {
            Self::Secret { id, .. } => patterns.may_include(id),
            Self::Parameter { name, .. } => patterns.include_parameter(name),
        }
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

#[cfg(test)]
mod tests;
