//! A picture as text: Mermaid, and one page of HTML.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Node, Picture};
use crate::audit::State;
use crate::output::Error;

/// The page, with a place for the data.
const PAGE: &str = include_str!("graph.html");
const PLACE: &str = "\"the data\"";

/// For Markdown (<https://mermaid.js.org/syntax/flowchart.html>).
pub(super) fn mermaid(picture: &Picture) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let mut ids = BTreeMap::new();
    for (title, column, [open, close]) in columns(picture) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  subgraph {}[\"{title}\"]", title.replace(' ', "-"));
        for node in column {
            let id = format!("n{}", ids.len());
            let name = node.name.replace('"', "#quot;");
            let class = class(node)
                .map(|class| format!(":::{class}"))
                .unwrap_or_default();
            let _ = writeln!(text, "    {id}{open}\"{name}\"{close}{class}");
            ids.insert(&node.id, id);
        }
        text.push_str("  end\n");
    }
    for edge in &picture.edges {
        if let (Some(from), Some(to)) = (ids.get(&edge.from), ids.get(&edge.to)) {
            let arrow = match edge.state {
                Some(State::Stale) => "-. stale .->",
                Some(State::Rolling) => "-. rolling .->",
                _ => "-->",
            };
            let _ = writeln!(text, "  {from} {arrow} {to}");
        }
    }
    text.push_str("  classDef stale fill:#fbe3e1,stroke:#b3261e,color:#5c130e\n");
    text.push_str("  classDef rolling fill:#e3edfb,stroke:#2458a6,color:#12305c\n");
    text.push_str("  classDef unknown fill:#fdf1d3,stroke:#9a6b00,color:#4d3500");
    text
}

/// One page that needs nothing else.
pub(super) fn html(picture: &Picture) -> Result<String, Error> {
    let data = serde_json::to_string(picture).map_err(|error| Error::new(error.to_string()))?;
    // Inside a script, nothing may look like its end.
    Ok(PAGE.replacen(PLACE, &data.replace('<', "\\u003c"), 1))
}

/// The columns from left to right: title, nodes, and Mermaid's shape for them.
fn columns(picture: &Picture) -> [(&'static str, &[Node], [&'static str; 2]); 4] {
    [
        ("secrets", &picture.secrets, ["[(", ")]"]),
        ("task definitions", &picture.task_definitions, ["[", "]"]),
        ("services", &picture.services, ["(", ")"]),
        ("clusters", &picture.clusters, ["[[", "]]"]),
    ]
}

/// How a node stands out, if it does.
fn class(node: &Node) -> Option<&'static str> {
    match node.state? {
        State::Stale => Some("stale"),
        State::Rolling => Some("rolling"),
        State::Unknown => Some("unknown"),
        State::Current | State::Exempt => None,
    }
}
