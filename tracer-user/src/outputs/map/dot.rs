//! The map as a picture for Graphviz, in the language DOT.
//!
//! Nodes are `n0`, `n1`, by their place in the view; what they are called is in labels only, which
//! are quoted and hold no HTML. A host is a cluster.

use std::{fmt::Display, io::Write as _};

use super::{
    super::sanitise,
    coverage,
    words::{PICTURE_COLUMNS, by_host, label, nature},
};
use crate::model::{Edge, EdgeState, Node, NodeKind, View};

/// How it looks unless an element says otherwise.
const HEAD: &str = r##"digraph tracer {
  graph [rankdir=LR, fontname="sans-serif", fontsize=11, labelloc=b, labeljust=l, nodesep=0.3, ranksep=1]
  node [shape=box, style="rounded,filled", fillcolor="#eef3fa", color="#4a6078", fontname="sans-serif", fontsize=11]
  edge [color="#5b6b7c", fontname="sans-serif", fontsize=9]
"##;

/// Appends the picture.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    put(buf, HEAD);
    // `\\l` ends a line that begins at the left. Parts come first: an entity ends with `;`, too.
    let coverage = coverage::line(&view.coverage);
    let coverage: Vec<String> = coverage.split("; ").map(escaped).collect();
    put(
        buf,
        format_args!("  label=\"{}\\l\"\n", coverage.join("\\l")),
    );
    for (at, (host, nodes)) in by_host(view).into_iter().enumerate() {
        let indent = if let Some(host) = host {
            put(buf, format_args!("  subgraph cluster_{at} {{\n"));
            let name = sanitise(host, PICTURE_COLUMNS).to_string();
            put(buf, format_args!("    label={}\n", quoted(&name)));
            put(buf, "    style=\"rounded\"\n    color=\"#9aa7b4\"\n");
            "    "
        } else {
            "  "
        };
        for index in nodes {
            node(index, &view.nodes[index], indent, buf);
        }
        if host.is_some() {
            put(buf, "  }\n");
        }
    }
    for each in &view.edges {
        edge(each, buf);
    }
    put(buf, "}\n");
}

fn node(index: usize, node: &Node, indent: &str, buf: &mut Vec<u8>) {
    let name = sanitise(&node.name, PICTURE_COLUMNS).to_string();
    // Between the two is a line break, which is no part of either.
    put(
        buf,
        format_args!(
            "{indent}n{index} [label=\"{}\\n{}\"",
            escaped(&name),
            escaped(&nature(node))
        ),
    );
    if node.kind == NodeKind::Remote {
        put(buf, ", shape=ellipse, style=filled, fillcolor=\"#f4f1ea\"");
    }
    put(buf, "]\n");
}

fn edge(edge: &Edge, buf: &mut Vec<u8>) {
    let Edge { client, server, .. } = edge;
    put(
        buf,
        format_args!("  n{client} -> n{server} [label={}", quoted(&label(edge))),
    );
    put(
        buf,
        match edge.state {
            EdgeState::Ok => "",
            EdgeState::Failed => {
                ", color=\"#c62828\", fontcolor=\"#c62828\", style=\"dashed,bold\", penwidth=2"
            }
            EdgeState::Mixed => ", color=\"#d9730d\", fontcolor=\"#a85508\", style=bold",
        },
    );
    if !edge.is_directed() {
        put(buf, ", dir=none");
    }
    put(buf, "]\n");
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// `text` as a part of a quoted label. Graphviz reads escapes of its own in labels (`\N` is the
/// node's name), and entities as HTML has them.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            _ => out.push(char),
        }
    }
    out
}

/// Appends to a buffer in memory, which does not fail.
fn put(buf: &mut Vec<u8>, text: impl Display) {
    let _ = write!(buf, "{text}");
}
