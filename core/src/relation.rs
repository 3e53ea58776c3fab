//! Who follows what: references matched with changes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::arn::Location;
use crate::change::{Bounds, Change};
use crate::fact::Fact;
use crate::reference::{Follows, Reference};
use crate::workload::Use;

/// The changes, findable by what references name.
#[derive(Debug)]
pub(crate) struct Relations<'a> {
    changes: Vec<Known<'a>>,
    by_name: HashMap<&'a str, Vec<usize>>,
    /// A reference is shared by many workloads, and matched once.
    matched: RefCell<HashMap<Place, Arc<[Match]>>>,
}

/// A reference and where it is read, by their addresses.
type Place = (*const Reference, *const Location);

/// A change with what is derived from it once.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) change: &'a Change,
    pub(crate) moved: Bounds,
    /// The ARN of the source.
    pub(crate) name: Arc<str>,
}

/// A change that a reference has to do with.
#[derive(Clone, Debug)]
struct Match {
    change: usize,
    follows: Follows,
    /// The ARN, where only AWS can tell whether it names this source or another secret.
    ambiguous: Option<String>,
}

/// How a workload relates to a change, by the strongest of its uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Relation {
    /// It uses the secret only to pull its image.
    ImagePullOnly,
    /// It names only versions that never change.
    Pinned,
    /// Its tasks hold the value that was current when they started.
    Follows,
}

/// A change that a workload has to do with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Related<'a> {
    pub(crate) known: &'a Known<'a>,
    pub(crate) relation: Relation,
}

impl<'a> Relations<'a> {
    pub(crate) fn new(changes: impl Iterator<Item = &'a Change>) -> Self {
        let known = |change: &'a Change| Known {
            change,
            moved: change.moved(),
            name: change.source.to_string().into(),
        };
        let changes: Vec<_> = changes.map(known).collect();
        let mut by_name = HashMap::<_, Vec<_>>::new();
        for (index, known) in changes.iter().enumerate() {
            for name in known.change.source.lookup_names() {
                by_name.entry(name).or_default().push(index);
            }
        }
        Self {
            changes,
            by_name,
            matched: RefCell::default(),
        }
    }

    fn matches(&self, reference: &Arc<Reference>, location: Option<&Location>) -> Arc<[Match]> {
        let place = location.map_or(std::ptr::null(), std::ptr::from_ref);
        let key = (Arc::as_ptr(reference), place);
        if let Some(known) = self.matched.borrow().get(&key) {
            return known.clone();
        }
        let candidates = self.by_name.get(reference.lookup_name());
        let matched = candidates.into_iter().flatten().filter_map(|&index| {
            let source = &self.changes[index].change.source;
            // A service that is only named lives where the source does, or is nobody's follower.
            let follows = match location {
                Some(location) => reference.follows(source, location),
                None => reference.follows(source, &source.location()),
            };
            let ambiguous = reference.needs_lookup(source);
            (follows != Follows::No).then_some(Match {
                change: index,
                follows,
                ambiguous,
            })
        });
        let matched: Arc<[Match]> = matched.collect();
        self.matched.borrow_mut().insert(key, matched.clone());
        matched
    }

    /// Whether a reference names anything that changed.
    pub(crate) fn names(&self, reference: &Arc<Reference>, location: Option<&Location>) -> bool {
        !self.matches(reference, location).is_empty()
    }

    /// The changed sources that these uses name.
    pub(crate) fn sources(&self, uses: &[Use], location: Option<&Location>) -> Vec<Arc<str>> {
        let matches = uses
            .iter()
            .map(|used| self.matches(used.reference(), location));
        let named: BTreeSet<_> = matches
            .flat_map(|matches| matches.iter().map(|found| found.change).collect::<Vec<_>>())
            .collect();
        named
            .into_iter()
            .map(|index| self.changes[index].name.clone())
            .collect()
    }

    /// The changes that these uses have to do with, and the ARNs that AWS must be asked about.
    pub(crate) fn of(
        &'a self,
        uses: &[Use],
        location: Option<&Location>,
        full_arns: &BTreeMap<String, Fact<bool>>,
    ) -> (Vec<Related<'a>>, BTreeSet<String>) {
        let mut strongest = BTreeMap::<usize, Relation>::new();
        let mut ambiguous = BTreeSet::new();
        for used in uses {
            for found in self.matches(used.reference(), location).iter() {
                if let Some(arn) = &found.ambiguous {
                    match full_arns.get(arn) {
                        Some(Fact::Known(true)) => continue,
                        None | Some(Fact::Unasked) => drop(ambiguous.insert(arn.clone())),
                        Some(Fact::Known(false) | Fact::Unavailable(_)) => {}
                    }
                }
                let relation = match (used, found.follows) {
                    (Use::AtImagePull(_), _) => Relation::ImagePullOnly,
                    (Use::AtStart(_), Follows::Pinned) => Relation::Pinned,
                    (Use::AtStart(_), _) => Relation::Follows,
                };
                let known = strongest.entry(found.change).or_insert(relation);
                *known = relation.max(*known);
            }
        }
        let related = strongest.into_iter().map(|(index, relation)| Related {
            known: &self.changes[index],
            relation,
        });
        (related.collect(), ambiguous)
    }
}

#[cfg(test)]
mod tests;
