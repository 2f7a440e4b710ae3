//! Map → view: halves become edges, and nodes get their ids and names.

mod apart;
mod coverage;
mod draft;
mod edges;
mod fold;
mod labels;
mod uses;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use self::{coverage::coverage, draft::DraftNode, edges::draft, labels::Labels};
use super::{
    Map,
    hosts::Identity,
    kept::{self, Changes, Processes},
    listeners::Unkept,
    nodes::Known,
    numbers::NodeId,
};
use crate::model::{Cut, Edge, ListeningAt, Node, View};

/// A view of `map` with at most about `max_edges` edges. Merged nodes and edges say so.
pub(super) fn take(map: &Map, max_edges: usize) -> View {
    let labels = Labels::new(map);
    let identity = &labels.identity;
    let mut draft = draft(map, &labels);
    if draft.edges.len() > max_edges {
        fold::fold(&mut draft, max_edges);
    }
    let mut is_used = vec![false; draft.nodes.len()];
    for (client, server, _) in draft.edges.keys() {
        is_used[*client] = true;
        is_used[*server] = true;
    }
    let came_by = draft.edges.values().flat_map(|it| it.came_by.keys());
    let came_by: HashSet<&Arc<str>> = came_by.collect();
    let listeners = &map.halves.facts.listeners;
    let unkept = listeners.unkept(|host| !identity.is_over(host));
    let mut nodes: Vec<(usize, Node)> = Vec::new();
    for (at, node) in draft.nodes.iter().enumerate() {
        let listens = |id: &NodeId| draft.listening.contains_key(id);
        if is_used[at] || came_by.contains(&node.id) || node.parts.iter().any(listens) {
            let node = finished(map, node, identity, (&draft.listening, &unkept));
            nodes.extend(node.map(|node| (at, node)));
        }
    }
    nodes.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
    let mut places = vec![0; draft.nodes.len()];
    for (place, (at, _)) in nodes.iter().enumerate() {
        places[*at] = place;
    }
    let drafts = draft.edges.iter();
    let mut edges: Vec<Edge> = drafts
        .filter_map(|((client, server, port), counters)| {
            counters.edge(places[*client], places[*server], *port)
        })
        .collect();
    edges.sort_by_key(|edge| (edge.client, edge.server, edge.port));
    View {
        generated: map.now,
        coverage: coverage(map, identity, &draft.unheld),
        nodes: nodes.into_iter().map(|(_, node)| node).collect(),
        edges,
        strays: draft.strays,
    }
}

/// The finished node; none if it has no parts.
fn finished(
    map: &Map,
    draft: &DraftNode,
    identity: &Identity,
    (listening, unkept): (&HashMap<NodeId, Vec<ListeningAt>>, &Unkept),
) -> Option<Node> {
    let parts = || draft.parts.iter().map(|id| map.nodes.get(*id));
    let addresses = parts().flat_map(|it| {
        let own = it.addresses.iter();
        it.key.address().into_iter().chain(own)
    });
    let (addresses, surplus) = kept::bounded(addresses.collect());
    let parts_listen = draft.parts.iter().filter_map(|id| listening.get(id));
    let mut listeners: Vec<_> = parts_listen.flatten().cloned().collect();
    listeners.sort_unstable();
    listeners.dedup_by(|one, other| {
        let key = |it: &ListeningAt| (it.address, it.port, it.netns);
        key(one) == key(other)
    });
    let (processes, changes) = kept_of(parts())?;
    let sum = |of: fn(&Known) -> u64| parts().map(of).fold(0, u64::saturating_add);
    let unkept = draft.parts.iter().filter_map(|id| unkept.get(id).copied());
    let cut = Cut {
        listeners: unkept.fold(0, u64::saturating_add),
        processes: processes.cut,
        programs: processes.cut_programs,
        addresses: sum(|it| it.addresses.cut).saturating_add(surplus),
        changes: changes.cut,
    };
    let folded: u64 = parts().map(|it| it.members).sum();
    // The newest value is the most complete.
    let known = parts().filter(|it| it.key.shows_workload());
    let workload = known
        .filter(|it| it.workload.is_some())
        .max_by_key(|it| it.last_seen)
        .and_then(|it| it.workload.clone());
    let host_of = |it: &Known| it.key.host().map(|host| identity.last(host));
    let host = parts().next().and_then(host_of);
    let host = host
        .filter(|host| parts().all(|it| host_of(it) == Some(*host)))
        .map(|host| Arc::clone(&map.nodes.hosts()[host.index()]));
    Some(Node {
        id: Arc::clone(&draft.id),
        kind: draft.kind,
        name: Arc::clone(&draft.name),
        host,
        workload,
        addresses,
        processes: processes.list(),
        listeners,
        changes: changes.list(),
        members: draft.members.or((folded > 0).then_some(folded)),
        cut,
        first_seen: parts().map(|it| it.first_seen).min()?,
        last_seen: parts().map(|it| it.last_seen).max()?,
    })
}

/// Processes and changes of a node, merged from its parts; none without parts.
fn kept_of<'a>(
    mut parts: impl Iterator<Item = &'a Known>,
) -> Option<(Cow<'a, Processes>, Cow<'a, Changes>)> {
    let first = parts.next()?;
    let (mut processes, mut changes) = (
        Cow::Borrowed(&first.processes),
        Cow::Borrowed(&first.changes),
    );
    for part in parts {
        processes.to_mut().merge(&part.processes);
        changes.to_mut().merge(&part.changes);
    }
    Some((processes, changes))
}
