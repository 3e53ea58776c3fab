//! `graph`: secrets ─▶ task definitions ─▶ services ─▶ clusters, stale ones marked.

mod drawing;

use std::collections::{BTreeMap, BTreeSet};

use crate::desk::Revision;
use jiff::Timestamp;
use redeploy_core::event::{Intent, Trigger, TriggerKind};
use redeploy_core::secret::{Change, Follows, Reference};
use redeploy_core::service::{Service, Use};
use redeploy_on_rotation::gather::World;
use serde::Serialize;

use crate::args::{self, Drawing, Graph};
use crate::audit::{State, examine};
use crate::connection::open;
use crate::output::{Error, Exit, print, print_json, short};
use crate::preview::{meaning, preview};

/// The JSON form: the nodes by column, and the edges between them.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Picture {
    account: String,
    region: String,
    at: Timestamp,
    secrets: Vec<Node>,
    task_definitions: Vec<Node>,
    services: Vec<Node>,
    clusters: Vec<Node>,
    edges: Vec<Edge>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// One use: a secret is read by a task definition or, by tag or configuration, by a service; a task definition is run
/// by a service, a service by a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Edge {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

pub(crate) async fn run(graph: &Graph, global: &args::Global) -> Result<Exit, Error> {
    let (desk, config) = open(global).await?;
    let preview = preview(
        &desk,
        &config,
        Trigger {
            kind: TriggerKind::Sweep,
            hint: Intent::Sweep,
        },
    )
    .await?;
    preview.say_errors();
    let Some(world) = &preview.world else {
        return Ok(Exit::Nothing);
    };
    let definitions = world
        .inventory
        .details
        .values()
        .flat_map(|details| details.task_definitions.clone())
        .collect();
    let (revisions, _) = desk.aws.revisions(&definitions).await;
    let mut picture = Picture::of(world, &revisions);
    (picture.account, picture.region, picture.at) =
        (desk.account.clone(), desk.region.clone(), Timestamp::now());
    if !graph.secrets.is_empty() {
        picture.keep(&graph.secrets)?;
    }
    match graph.output {
        Drawing::Mermaid => print(&drawing::mermaid(&picture))?,
        Drawing::Dot => print(&drawing::dot(&picture))?,
        Drawing::Html => print(&drawing::html(&picture)?)?,
        Drawing::Json => print_json(&picture)?,
    }
    Ok(if preview.report.failure.is_some() {
        Exit::Error
    } else {
        Exit::Nothing
    })
}

impl Picture {
    /// Draws what is in use by whom.
    fn of(world: &World, revisions: &BTreeMap<String, Revision>) -> Self {
        let audit = examine(world);
        let mut states = BTreeMap::new();
        let mut notes = BTreeMap::new();
        for secret in &audit.secrets {
            for user in &secret.users {
                states.insert((secret.secret.as_str(), user.name.as_str()), user.state);
                let worst = notes
                    .entry(user.name.as_str())
                    .or_insert((user.state, user.reason));
                *worst = (*worst).min_by_state((user.state, user.reason));
            }
        }
        let mut edges = BTreeSet::new();
        let mut names = BTreeMap::new();
        for service in &world.inventory.services {
            let details = world.inventory.details.get(&service.arn);
            let definitions = details
                .into_iter()
                .flat_map(|details| &details.task_definitions);
            let mut by_definition = BTreeSet::new();
            let mut add = |used: &Use, to: &str| {
                let (id, name) = identity(used.reference(), service, &world.rotations);
                let state = states.get(&(id.as_str(), service.arn.as_str())).copied();
                edges.insert(Edge {
                    from: id.clone(),
                    to: to.to_owned(),
                    state,
                });
                names.insert(id, name);
                state
            };
            let mut runs = Vec::new();
            for definition in definitions {
                let uses = revisions
                    .get(definition)
                    .map(|revision| revision.uses.as_slice())
                    .unwrap_or_default();
                let worst = uses.iter().filter_map(|used| add(used, definition)).min();
                by_definition.extend(uses);
                if !uses.is_empty() {
                    runs.push(Edge {
                        from: definition.clone(),
                        to: service.arn.clone(),
                        state: worst,
                    });
                }
            }
            // What the tag or the configuration adds.
            for used in service
                .uses
                .iter()
                .filter(|used| !by_definition.contains(used))
            {
                add(used, &service.arn);
            }
            edges.extend(runs);
            if !service.uses.is_empty() {
                edges.insert(Edge {
                    from: service.arn.clone(),
                    to: service.cluster.clone(),
                    state: None,
                });
            }
        }
        let mut picture = Self {
            edges: worst_of_each(edges),
            ..Self::default()
        };
        for service in world
            .inventory
            .services
            .iter()
            .filter(|service| !service.uses.is_empty())
        {
            let (state, note) = match notes.get(service.arn.as_str()) {
                Some((state, reason)) => (Some(*state), Some(meaning(*reason).to_owned())),
                None => (None, None),
            };
            picture.services.push(Node {
                id: service.arn.clone(),
                name: short(&service.arn),
                state,
                note,
            });
            picture.clusters.push(Node {
                id: service.cluster.clone(),
                name: short(&service.cluster),
                state: None,
                note: None,
            });
        }
        picture.clusters.sort();
        picture.clusters.dedup();
        let has_edge = |id: &&String| picture.edges.iter().any(|edge| edge.from == **id);
        let definitions = revisions.keys().filter(has_edge);
        picture.task_definitions = definitions
            .map(|id| picture.node(id, short(id), None))
            .collect();
        let changed: BTreeMap<_, _> = audit
            .secrets
            .iter()
            .map(|secret| (&secret.secret, secret.changed_at))
            .collect();
        let secrets = names.into_iter().map(|(id, name)| {
            let note = changed
                .get(&id)
                .map(|at| format!("last changed {}", crate::preview::second(*at)));
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
            return Err(Error::new(format!(
                "no service in scope uses a secret or parameter {unknown:?}"
            )));
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
fn identity(reference: &Reference, service: &Service, rotations: &[Change]) -> (String, String) {
    let subjects = rotations.iter().map(|rotation| &rotation.subject);
    let mut known =
        subjects.filter(|subject| reference.follows(subject, &service.home) != Follows::No);
    let id = known.next().map_or_else(
        || {
            let text = reference.to_string();
            // Without JSON key, stage and version.
            if text.starts_with("arn:") {
                text.split(':').take(7).collect::<Vec<_>>().join(":")
            } else {
                text
            }
        },
        ToString::to_string,
    );
    let name = short(&id);
    (id, name)
}

/// The worse of two.
trait Worse {
    fn min_by_state(self, other: Self) -> Self;
}

impl<T> Worse for (State, T) {
    fn min_by_state(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }
}
