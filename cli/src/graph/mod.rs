//! `graph`: secrets ─▶ task definitions ─▶ services ─▶ clusters, stale ones marked.

mod drawing;

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use jiff::Timestamp;
use redeploy_core::change::Source;
use redeploy_core::facts::Facts;
use redeploy_core::policy::Policy;
use redeploy_core::reference::{Follows, Reference};
use redeploy_core::workload::{Platform, Use, Workload};
use redeploy_on_rotation::aws::Revision;
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::{Drawing, Graph};
use crate::audit::{Document, State, ask, examine};
use crate::connection::open;
use crate::names::{nearest, without_key};
use crate::output::{Error, Exit, display_name, print, print_json};
use crate::preview::{SWEEP, preview, reason_text, task_definitions, to_seconds};

/// The JSON form: the nodes by column, and the edges between them.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Picture {
    account: Option<String>,
    region: String,
    /// Of when it is, UTC.
    #[schemars(with = "String")]
    at: Timestamp,
    secrets: Vec<Node>,
    task_definitions: Vec<Node>,
    services: Vec<Node>,
    clusters: Vec<Node>,
    edges: Vec<Edge>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Node {
    /// Its ARN, or the name where that is all there is.
    id: String,
    name: String,
    /// The worst state of anything that it has to do with.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    /// What there is to say about it, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One use: a secret is read by a task definition or, by tag or configuration, by a service; a task
/// definition is run by a service, a service by a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
struct Edge {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

pub(crate) async fn run(graph: &Graph) -> Result<Exit, Error> {
    let (session, config) = open(&graph.scope).await?;
    let mut preview = preview(&session, &config, SWEEP, Policy::new(&config, false)).await?;
    preview.say_errors();
    let clock = preview.clock;
    let Some(examined) = preview.examined.first_mut() else {
        return Ok(Exit::Ok);
    };
    ask(&session, &config, examined, &clock).await;
    let facts = &examined.facts;
    let services = facts.workloads.values();
    let definitions = services.flat_map(task_definitions).cloned().collect();
    let (revisions, _) = session.aws.revisions(&definitions).await;
    let now = clock.now();
    let audit = examine(examined, now);
    let mut picture = Picture::of(facts, &audit, &revisions);
    (picture.account, picture.region, picture.at) = (session.account, session.region, now);
    if !graph.secrets.is_empty() {
        picture.keep(&graph.secrets)?;
    }
    match graph.output {
        Drawing::Mermaid => print(&drawing::mermaid(&picture))?,
        Drawing::Html => print(&drawing::html(&picture)?)?,
        Drawing::Json => print_json(&picture)?,
    }
    Ok(if preview.report.failure.is_some() {
        Exit::Error
    } else {
        Exit::Ok
    })
}

/// Task definition revisions by ARN.
type Revisions = BTreeMap<Arc<str>, Arc<Revision>>;

/// The edges, and the names of the secrets at their beginnings.
struct Edges<'a> {
    facts: &'a Facts,
    /// By secret and service.
    states: BTreeMap<(&'a str, &'a str), State>,
    found: BTreeSet<Edge>,
    names: BTreeMap<String, String>,
}

impl Edges<'_> {
    /// Adds what a service reads, runs and runs in.
    fn add(&mut self, service: &Workload, revisions: &Revisions) {
        let mut by_definition = BTreeSet::new();
        for definition in task_definitions(service) {
            let revision = revisions.get(definition);
            let uses = revision.map(|revision| &*revision.uses).unwrap_or_default();
            let states = uses
                .iter()
                .map(|used| self.add_use(used, definition, service));
            let worst = states.collect::<Vec<_>>().into_iter().flatten().min();
            by_definition.extend(uses);
            if !uses.is_empty() {
                self.found.insert(edge(definition, &service.arn, worst));
            }
        }
        // What the tag or the configuration adds.
        for used in service
            .uses
            .iter()
            .filter(|used| !by_definition.contains(used))
        {
            self.add_use(used, &service.arn, service);
        }
        if !service.uses.is_empty() {
            self.found
                .insert(edge(&service.arn, &service.cluster, None));
        }
    }

    fn add_use(&mut self, used: &Use, to: &str, service: &Workload) -> Option<State> {
        let (id, name) = identity(used.reference(), service, self.facts);
        let state = self.states.get(&(id.as_str(), &*service.arn)).copied();
        self.found.insert(edge(&id, to, state));
        self.names.insert(id, name);
        state
    }
}

fn edge(from: &str, to: &str, state: Option<State>) -> Edge {
    Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        state,
    }
}

impl Picture {
    /// Draws what is in use by whom.
    fn of(facts: &Facts, audit: &Document<'_>, revisions: &Revisions) -> Self {
        let mut states = BTreeMap::new();
        let mut notes = BTreeMap::new();
        for secret in &audit.secrets {
            for user in &secret.users {
                states.insert((secret.secret.as_str(), &*user.name), user.state);
                let found = (user.state, user.reason);
                let worst = notes.entry(&*user.name).or_insert(found);
                if found.0 < worst.0 {
                    *worst = found;
                }
            }
        }
        let mut edges = Edges {
            facts,
            states,
            found: BTreeSet::new(),
            names: BTreeMap::new(),
        };
        let services = facts.workloads.values();
        let services = services.filter(|w| w.platform != Platform::StandaloneTask);
        let services: Vec<_> = services.filter(|w| !w.uses.is_empty()).collect();
        for service in &services {
            edges.add(service, revisions);
        }
        let mut picture = Self {
            edges: worst_of_each(edges.found),
            ..Self::default()
        };
        for service in services {
            let note = notes.get(&*service.arn);
            picture.services.push(Node {
                id: service.arn.to_string(),
                name: display_name(&service.arn),
                state: note.map(|(state, _)| *state),
                note: note.map(|(_, reason)| reason_text(*reason).to_owned()),
            });
            picture.clusters.push(Node {
                id: service.cluster.to_string(),
                name: display_name(&service.cluster),
                state: None,
                note: None,
            });
        }
        picture.clusters.sort();
        picture.clusters.dedup();
        let has_edge = |id: &&Arc<str>| picture.edges.iter().any(|edge| *edge.from == ***id);
        let definitions = revisions.keys().filter(has_edge);
        picture.task_definitions = definitions
            .map(|id| picture.node(id, display_name(id), None))
            .collect();
        let changed = audit.secrets.iter();
        let changed: BTreeMap<_, _> = changed
            .map(|secret| (&secret.secret, secret.changed_at))
            .collect();
        let secrets = edges.names.into_iter().map(|(id, name)| {
            let at = changed.get(&id);
            let note = at.map(|at| format!("last changed {}", to_seconds(*at)));
            picture.node(&id, name, note)
        });
        picture.secrets = secrets.collect();
        let by_state = |a: &Node, b: &Node| {
            (a.state.is_none(), a.state, &a.name).cmp(&(b.state.is_none(), b.state, &b.name))
        };
        picture.secrets.sort_by(by_state);
        picture
    }

    /// A node that is as bad as the worst of its edges.
    fn node(&self, id: &str, name: String, note: Option<String>) -> Node {
        let state = self
            .edges
            .iter()
            .filter(|edge| edge.from == id)
            .filter_map(|edge| edge.state)
            .min();
        Node {
            id: id.to_owned(),
            name,
            state,
            note,
        }
    }

    /// Keeps what has to do with these secrets, by name or ARN.
    fn keep(&mut self, wanted: &[String]) -> Result<(), Error> {
        if let Some(unknown) = wanted
            .iter()
            .find(|wanted| !self.secrets.iter().any(|node| node.is(wanted)))
        {
            let error = format!("no service in scope uses a secret or parameter {unknown:?}");
            let known = self.secrets.iter().map(|node| node.name.clone());
            return Err(Error::new(error).hint(nearest(unknown, known)));
        }
        self.secrets
            .retain(|node| wanted.iter().any(|wanted| node.is(wanted)));
        let mut kept: BTreeSet<_> = self.secrets.iter().map(|node| node.id.clone()).collect();
        // Three columns to the right of the secrets.
        for _ in 0..3 {
            let reached = self
                .edges
                .iter()
                .filter(|edge| kept.contains(&edge.from))
                .map(|edge| edge.to.clone());
            kept.extend(reached.collect::<Vec<_>>());
        }
        self.edges
            .retain(|edge| kept.contains(&edge.from) && kept.contains(&edge.to));
        for column in [
            &mut self.task_definitions,
            &mut self.services,
            &mut self.clusters,
        ] {
            column.retain(|node| kept.contains(&node.id));
        }
        Ok(())
    }
}

impl Node {
    fn is(&self, wanted: &str) -> bool {
        self.id == wanted || self.name == wanted
    }
}

/// Of the edges between the same two, the worst.
fn worst_of_each(edges: BTreeSet<Edge>) -> Vec<Edge> {
    let mut worst = BTreeMap::new();
    for Edge { from, to, state } in edges {
        let known: &mut Option<State> = worst.entry((from, to)).or_default();
        *known = [*known, state].into_iter().flatten().min();
    }
    worst
        .into_iter()
        .map(|((from, to), state)| Edge { from, to, state })
        .collect()
}

/// What is read, as one thing however it is named: its ARN where that is known, and its name.
fn identity(reference: &Reference, service: &Workload, facts: &Facts) -> (String, String) {
    let is_it = |source: &&Source| {
        let location = service.location.as_deref();
        location.is_some_and(|location| reference.follows(source, location) != Follows::No)
    };
    let known = facts.changes.keys().find(is_it);
    let id = known.map_or_else(|| without_key(reference), ToString::to_string);
    let name = display_name(&id);
    (id, name)
}
