//! What the formats say alike: names cut to size, what an edge is in a few words, and the order in
//! which edges matter.

use std::{cmp::Reverse, fmt::Write as _};

use super::super::{sanitise, units::Count};
use crate::model::{Edge, EdgeState, Node, NodeKind, Timestamp, View};

/// Columns that a name may take in a picture.
pub(super) const PICTURE_COLUMNS: usize = 40;

/// The edges of `view` by how much they matter: failing ones first, then the busiest. Edges
/// that are alike stay in the order of the view.
pub(super) fn by_urgency(view: &View) -> Vec<&Edge> {
    let mut edges: Vec<_> = view.edges.iter().collect();
    edges.sort_by_key(|edge| {
        let state = match edge.state {
            EdgeState::Failed => 0,
            EdgeState::Mixed => 1,
            EdgeState::Ok => 2,
        };
        (state, Reverse(edge.connections()))
    });
    edges
}

/// The nodes of `view` by index, those of one host together: hosts in the order in which their
/// first nodes come, with their names, and last those that are on no host or on several.
pub(super) fn by_host(view: &View) -> Vec<(Option<&str>, Vec<usize>)> {
    let mut hosts: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut elsewhere = Vec::new();
    for (index, node) in view.nodes.iter().enumerate() {
        let Some(host) = &node.host else {
            elsewhere.push(index);
            continue;
        };
        let place = *places.entry(host).or_insert(hosts.len());
        if place == hosts.len() {
            hosts.push((&host.name, Vec::new()));
        }
        if let Some((_, nodes)) = hosts.get_mut(place) {
            nodes.push(index);
        }
    }
    let hosts = hosts.into_iter().map(|(name, nodes)| (Some(name), nodes));
    let rest = (!elsewhere.is_empty()).then_some((None, elsewhere));
    hosts.chain(rest).collect()
}

/// What a node is, beside its name: `web, systemd`, `remote, 203.0.113.7`.
pub(super) fn nature(node: &Node) -> String {
    let mut out = String::new();
    if let Some(role) = node.workload.as_ref().and_then(|it| it.role.as_deref()) {
        let _ = write!(out, "{}, ", sanitise(role, PICTURE_COLUMNS));
    }
    out.push_str(node.kind_word());
    // An address that is the name already says nothing new.
    if node.kind == NodeKind::Remote
        && let Some(address) = node.addresses.first().map(ToString::to_string)
        && *address != *node.name
    {
        let _ = write!(out, ", {address}");
    }
    if let Some(members) = node.members {
        let _ = write!(out, ", {} together", Count(members));
    }
    out
}

/// An edge in a few words: `:5432 12×, refused 3`; with `FAILED` or `mixed` in front where
/// attempts failed, so that colour is not all that tells.
pub(super) fn label(edge: &Edge) -> String {
    let mut out = match edge.state {
        EdgeState::Ok => String::new(),
        EdgeState::Failed => "FAILED ".to_owned(),
        EdgeState::Mixed => "mixed ".to_owned(),
    };
    let _ = match (edge.port, edge.history.ports) {
        (Some(port), _) => write!(out, ":{port}"),
        (None, 0) => write!(out, "direction unknown"),
        (None, ports) => write!(out, "{} ports", Count(ports)),
    };
    if edge.connections() > 0 {
        let _ = write!(out, " {}×", Count(edge.connections()));
    }
    for (reason, times) in &edge.failed {
        let _ = write!(out, ", {} {}", reason.name(), Count(*times));
    }
    out
}

/// A time of day of a day, in UTC, to the second.
pub(in crate::outputs) fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, clock) = text.split_at_checked(10).unwrap_or((&text, ""));
    format!("{date} {}", clock.get(1..9).unwrap_or_default())
}

/// Appends `key=value` for each, `;` between them.
pub(super) fn pairs(pairs: impl Iterator<Item = (&'static str, u64)>) -> String {
    let mut out = String::new();
    for (name, number) in pairs {
        let semicolon = if out.is_empty() { "" } else { ";" };
        let _ = write!(out, "{semicolon}{name}={number}");
    }
    out
}
