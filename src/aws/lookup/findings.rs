//! What the lookups found so far.

use std::collections::{BTreeMap, BTreeSet};

use redeploy_core::fact::{Gap, GapKind};
use redeploy_core::facts::Unexamined;
use redeploy_core::workload::Workload;

use super::super::describe::{Described, Read};

/// What the lookups found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) described: Vec<Described>,
    /// Services that are only named so far.
    pub(super) named: Vec<Workload>,
    /// The clusters that were scanned, by name or ARN.
    pub(super) clusters: Vec<String>,
    pub(super) unexamined: BTreeMap<String, Unexamined>,
    pub(super) warnings: BTreeSet<String>,
}

impl Findings {
    pub(super) fn take(&mut self, read: Vec<Read>) {
        for (name, read) in read {
            match read {
                Ok(Some(described)) => self.described.push(described),
                Ok(None) => {
                    let warning = format!("the service {name} was deleted while it was read");
                    self.warnings.insert(warning);
                }
                Err(error) => {
                    self.unexamined.insert(name.to_string(), error.gap().into());
                }
            }
        }
    }

    /// Takes the descriptions of services that were only named.
    pub(super) fn take_named(&mut self, named: &[Workload], read: Vec<Read>) {
        for (asked, read) in read {
            let Some(workload) = named.iter().find(|named| named.arn == asked) else {
                continue;
            };
            match read {
                Ok(None) if workload.location.is_none() => {
                    let error = "REDEPLOY_MAPPING names this service, and it does not exist; \
                                 create it or take it out";
                    let gap = Gap {
                        kind: GapKind::NotFound,
                        error: error.to_owned(),
                    };
                    let uses = workload.uses.iter();
                    let sources = uses
                        .map(|used| used.reference().to_string().into())
                        .collect();
                    let unexamined = Unexamined { gap, sources };
                    self.unexamined.insert(workload.arn.to_string(), unexamined);
                }
                read => self.take(vec![(workload.arn.clone(), read)]),
            }
        }
    }
}
