//! The map as a picture for Mermaid, which Markdown of many sites shows.
//!
//! Those sites refuse a picture of more than 500 edges or 50,000 characters, and a picture cannot
//! ask for more. So what matters most is drawn, and a note in the picture says what is not.

use std::fmt::Write as _;

use super::{
    super::{sanitise, units::Count},
    coverage,
    words::{PICTURE_COLUMNS, by_host, by_urgency, label, nature},
};
use crate::model::{Edge, EdgeState, Node, NodeKind, View};

/// As many as Mermaid draws.
const MAX_EDGES: usize = 500;

/// With more edges hosts are no boxes, but stand beside the names of nodes. Mermaid's layout fails on
/// some pictures that have many boxes and edges between them (<https://github.com/dagrejs/dagre/issues/234>).
const MAX_BOXED_EDGES: usize = 100;

/// As much as it reads, less the room for what is not counted: the head, notes and hosts.
const MAX_BYTES: usize = 50_000 - 4_000;

/// What an edge takes beside its label, with its share of `linkStyle`.
const EDGE_BYTES: usize = 32;

/// What a node takes beside its label, and a host beside its name.
const NODE_BYTES: usize = 24;

/// Appends the picture.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    let is_boxed = view.edges.len() <= MAX_BOXED_EDGES;
    let Drawn { edges, nodes } = choose(view, is_boxed);
    let mut out = "flowchart LR\n".to_owned();
    for (at, (host, indices)) in by_host(view).into_iter().enumerate() {
        let mut indices = indices.into_iter().filter(|index| nodes[*index]).peekable();
        if indices.peek().is_none() {
            continue;
        }
        let host = host.filter(|_| is_boxed);
        let indent = if let Some(host) = host {
            let name = sanitise(host, PICTURE_COLUMNS).to_string();
            let _ = writeln!(out, "  subgraph h{at}[\"{}\"]", escaped(&name));
            "    "
        } else {
            "  "
        };
        for index in indices {
            let _ = writeln!(out, "{indent}{}", node(index, &view.nodes[index], is_boxed));
        }
        if host.is_some() {
            out.push_str("  end\n");
        }
    }
    for edge in &edges {
        let Edge { client, server, .. } = edge;
        let arrow = match (edge.state, edge.is_directed()) {
            (EdgeState::Failed, true) => "-.->",
            (EdgeState::Failed, false) => "-.-",
            (EdgeState::Mixed, true) => "==>",
            (EdgeState::Mixed, false) => "===",
            (EdgeState::Ok, true) => "-->",
            (EdgeState::Ok, false) => "---",
        };
        let _ = writeln!(
            out,
            "  n{client} {arrow}|\"{}\"| n{server}",
            escaped(&label(edge))
        );
    }
    style(
        &edges,
        EdgeState::Failed,
        "stroke:#c62828,stroke-width:2px,color:#c62828",
        &mut out,
    );
    style(
        &edges,
        EdgeState::Mixed,
        "stroke:#d9730d,stroke-width:2px,color:#a85508",
        &mut out,
    );
    let coverage = coverage::line(&view.coverage).replace("; ", "\n");
    let coverage: Vec<_> = coverage.lines().map(escaped).collect();
    let _ = writeln!(out, "  coverage[\"{}\"]:::note", coverage.join("<br/>"));
    if edges.len() < view.edges.len() {
        let _ = writeln!(
            out,
            "  shown[\"showing {} of {} edges: those that fail, then the busiest\"]:::note",
            Count(edges.len() as u64),
            Count(view.edges.len() as u64)
        );
    }
    out.push_str("  classDef remote stroke-dasharray:4 3\n");
    out.push_str("  classDef note fill:none,stroke:none\n");
    buf.extend_from_slice(out.as_bytes());
}

/// What is drawn.
struct Drawn<'a> {
    edges: Vec<&'a Edge>,
    /// Of each node of the view, whether it is.
    nodes: Vec<bool>,
}

/// As many edges as there is room for, with their ends; then nodes without edges.
fn choose(view: &View, is_boxed: bool) -> Drawn<'_> {
    let mut room = MAX_BYTES;
    let mut nodes = vec![false; view.nodes.len()];
    let mut hosts = std::collections::HashSet::new();
    let mut take = |index: usize, room: &mut usize| {
        if std::mem::replace(&mut nodes[index], true) {
            return true;
        }
        let mut size = NODE_BYTES + node(index, &view.nodes[index], is_boxed).len();
        if let Some(host) = &view.nodes[index].host
            && is_boxed
            && hosts.insert(host)
        {
            size += NODE_BYTES + escaped(&sanitise(&host.name, PICTURE_COLUMNS).to_string()).len();
        }
        let fits = size <= *room;
        *room = room.saturating_sub(size);
        nodes[index] = fits;
        fits
    };
    let mut edges = Vec::new();
    for edge in by_urgency(view).into_iter().take(MAX_EDGES) {
        let size = EDGE_BYTES + escaped(&label(edge)).len();
        if size > room || !take(edge.client, &mut room) || !take(edge.server, &mut room) {
            break;
        }
        room = room.saturating_sub(size);
        edges.push(edge);
    }
    if edges.len() == view.edges.len() {
        for index in 0..view.nodes.len() {
            if !take(index, &mut room) {
                break;
            }
        }
    } else {
        // Without the end of an edge for which there was no room.
        nodes.fill(false);
        for edge in &edges {
            nodes[edge.client] = true;
            nodes[edge.server] = true;
        }
    }
    Drawn { edges, nodes }
}

fn node(index: usize, node: &Node, is_boxed: bool) -> String {
    let name = sanitise(&node.name, PICTURE_COLUMNS).to_string();
    let mut text = format!("{}<br/>{}", escaped(&name), escaped(&nature(node)));
    if let Some(host) = &node.host
        && !is_boxed
    {
        let host = sanitise(&host.name, PICTURE_COLUMNS).to_string();
        let _ = write!(text, "<br/>on {}", escaped(&host));
    }
    match node.kind {
        NodeKind::Workload => format!("n{index}[\"{text}\"]"),
        NodeKind::Remote => format!("n{index}([\"{text}\"]):::remote"),
    }
}

/// Appends the look of the edges of this state, which Mermaid names by their number.
fn style(edges: &[&Edge], state: EdgeState, style: &str, out: &mut String) {
    let numbers = edges
        .iter()
        .enumerate()
        .filter(|(_, edge)| edge.state == state);
    let numbers: Vec<_> = numbers.map(|(number, _)| number.to_string()).collect();
    if !numbers.is_empty() {
        let _ = writeln!(out, "  linkStyle {} {style}", numbers.join(","));
    }
}

/// `text` as a part of a quoted label. Whatever Mermaid, Markdown or HTML could find a meaning in
/// becomes an entity, as Mermaid writes them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => out.push_str("#quot;"),
            // Mermaid makes a line break of the letters `\n`, entities or not; a space that has no
            // width keeps them apart.
            'n' if out.ends_with("#92;") => out.push_str("#8203;n"),
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | ',' | ':' | '/' | '-' | '(' | ')' => {
                out.push(char);
            }
            '\0'..='\x7f' => {
                let _ = write!(out, "#{};", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out
}
