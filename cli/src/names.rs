//! What a person may call things: by ARN, or as they are shown.

use redeploy_core::facts::Facts;
use redeploy_core::reference::Reference;

use crate::output::{Error, display_name};

/// Whether somebody means this service, task, secret or parameter by this name.
pub(crate) fn is_called(arn: &str, name: &str) -> bool {
    arn == name || display_name(arn) == name
}

/// What a reference names, without JSON key, label and version.
pub(crate) fn without_key(reference: &Reference) -> String {
    let text = reference.to_string();
    if text.starts_with("arn:") {
        text.split(':').take(7).collect::<Vec<_>>().join(":")
    } else {
        text
    }
}

/// Checks that each of these names means something that a look found.
pub(crate) fn check(facts: &Facts, names: &[String]) -> Result<(), Error> {
    let mut known: Vec<_> = facts.workloads.keys().map(ToString::to_string).collect();
    known.extend(facts.followed.keys().map(ToString::to_string));
    known.extend(facts.changes.keys().map(ToString::to_string));
    // What only exempt services read was not looked up.
    let used = facts.workloads.values().flat_map(|w| w.uses.iter());
    known.extend(used.map(|used| without_key(used.reference())));
    let is_known = |name: &&String| known.iter().any(|arn| is_called(arn, name));
    match names.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let error = format!("nothing in scope is, or runs with, {name:?}");
            let known = known.iter().map(|arn| display_name(arn));
            Err(Error::new(error).hint(nearest(name, known)))
        }
    }
}

/// How many names are offered.
const OFFERED: usize = 3;
/// How alike names are at least that are offered, of 1.
const ALIKE: f64 = 0.7;

/// Which of these names somebody may have meant, in a sentence.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    let known: std::collections::BTreeSet<_> = known.collect();
    let alike = known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), known));
    let mut alike: Vec<_> = alike.filter(|(likeness, _)| *likeness >= ALIKE).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let alike: Vec<_> = alike
        .iter()
        .take(OFFERED)
        .map(|(_, name)| name.as_str())
        .collect();
    match alike.as_slice() {
        [] => format!(
            "there are {} names, and none is like it; is it another Region?",
            known.len()
        ),
        alike => format!("the nearest names: {}", alike.join(", ")),
    }
}
