//! Halves → edges between drafts of nodes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    apart::{tell_apart, tell_containers_apart, tell_remotes_apart},
    draft::{Draft, EdgeKey},
    labels::Labels,
    uses::Uses,
};
use crate::map::{
    Map,
    counters::{Counters, Share, What},
    half::{Half, HalfId, Link, Side, Whose},
    halves::{Halves, MAX_FAILING_PORTS},
    namespaces::Split,
    numbers::NodeId,
};

/// All nodes and edges of `map`.
pub(super) fn draft(map: &Map, labels: &Labels) -> Draft {
    let mut draft = Draft::default();
    // Several nodes of the map may have the same id in a view.
    let mut by_id: HashMap<Arc<str>, usize> = HashMap::new();
    let mut places = Vec::new();
    let mut nodes: Vec<_> = map.nodes.ids().map(|id| labels.of(map, id)).collect();
    let mut uses = Uses::new(map, &labels.identity);
    tell_containers_apart(map, &uses.who_listens(), &mut nodes);
    tell_apart(&mut nodes);
    tell_remotes_apart(&mut nodes);
    for (id, node) in map.nodes.ids().zip(nodes) {
        let place = *by_id.entry(Arc::clone(&node.id)).or_insert_with(|| {
            draft.nodes.push(node);
            draft.nodes.len() - 1
        });
        draft.nodes[place].parts.push(id);
        places.push(place);
    }
    let (halves, realms) = (&map.halves, &map.realms);
    let mut open = map.connections.shares(halves, realms, &map.nodes);
    open.extend(map.attempts.shares());
    let is_over = |half: HalfId| labels.identity.is_over(halves.get(half).host);
    for (link, share) in &mut open {
        let mut ends = link.client.iter().chain(&link.server);
        if let What::Connection { ended, .. } = &mut share.what {
            // Its run has ended, and no later one found it.
            *ended |= ends.any(|half| is_over(*half));
        }
    }
    let split = Split::of(map, &open);
    // Connections that are still tracked, by the link that they will be counted under.
    let mut rest: foldhash::HashMap<(Link, Whose), Counters> = foldhash::HashMap::default();
    let mut unknown = halves.unknown();
    let mut add = |link, share: &Share| {
        let whose = halves.whose(link, share, &mut unknown, &map.nodes, realms);
        rest.entry((link, whose)).or_default().add_of(share, whose);
    };
    halves.alone().for_each(|(link, share)| add(link, share));
    open.iter().for_each(|(link, share)| add(*link, share));
    let mut parted: HashMap<(NodeId, u32), usize> = HashMap::new();
    let Draft { nodes, edges, .. } = &mut draft;
    // The edges that each half contributes to.
    let mut parts: Vec<(HalfId, EdgeKey)> = Vec::new();
    let rest = rest.iter();
    let rest = rest.map(|((link, whose), counters)| (*link, *whose, counters));
    for (link, whose, counters) in halves.links().chain(rest) {
        let mut place = |(id, netns): SeenFrom| match split.get(id, netns) {
            // A name means the same in all namespaces.
            Some(group) if !map.nodes.has_name(id) => {
                *parted.entry((id, group)).or_insert_with(|| {
                    let mut node = labels.parted(map, id, group);
                    node.parts.push(id);
                    nodes.push(node);
                    nodes.len() - 1
                })
            }
            _ => places[id.index()],
        };
        let (client, server, port) = ends(link, whose, halves);
        let ends = (place(client), place(server), port);
        // The outages of a client's half that stands for many ports say nothing of one port.
        let client = link.client;
        let client = client.filter(|half| ends.2.is_none() || halves.get(*half).port != 0);
        parts.extend(client.or(link.server).map(|half| (half, ends)));
        let edge = edges.entry(ends).or_default();
        edge.merge(counters);
        if let Some(used) = counters.used() {
            for node in uses.add(map, (link, whose), ends, used) {
                let listens = places[node.index()];
                if listens != ends.1 {
                    let came_by = edge.came_by.entry(Arc::clone(&nodes[listens].id));
                    let sum = came_by.or_default();
                    *sum = sum.saturating_add(used.connections);
                }
            }
        }
    }
    parts.sort_unstable();
    parts.dedup();
    let scanned: HashMap<HalfId, u64> = halves.scans().collect();
    let mut told: HashSet<HalfId> = HashSet::new();
    for (half, edge) in &parts {
        if let Some(ports) = scanned.get(half)
            && edge.2.is_none()
            && told.insert(*half)
            && let Some(counters) = edges.get_mut(edge)
        {
            counters.stands_for(*ports);
        }
    }
    courses(map, edges, parts);
    scans(edges);
    draft.unheld = split.into_cut();
    draft.listening = uses.listening(&draft.nodes);
    draft.strays = uses.strays(map, &labels.identity);
    draft
}

/// Adds the outages of each half to its edges, where attempts failed.
fn courses(map: &Map, edges: &mut BTreeMap<EdgeKey, Counters>, mut parts: Vec<(HalfId, EdgeKey)>) {
    let fails = |edge: &EdgeKey| edges.get(edge).is_some_and(Counters::has_failed);
    parts.retain(|(_, edge)| fails(edge));
    for (half, edge) in parts {
        if let (Some(course), Some(counters)) = (map.outages.of(half), edges.get_mut(&edge)) {
            counters.follow(course);
        }
    }
}

/// How many ports of one server failed, and the edges of these.
type Tried = (u64, Vec<Option<u16>>);

/// Merges the edges of a port scan: many ports of one server at which every attempt of a client failed.
fn scans(edges: &mut BTreeMap<EdgeKey, Counters>) {
    let mut pairs: BTreeMap<(usize, usize), Tried> = BTreeMap::new();
    for ((client, server, port), counters) in &*edges {
        if counters.never_served() && (port.is_some() || counters.ports() > 0) {
            let (sum, ports) = pairs.entry((*client, *server)).or_default();
            *sum += counters.ports().max(1);
            ports.push(*port);
        }
    }
    for ((client, server), (sum, ports)) in pairs {
        if sum <= MAX_FAILING_PORTS as u64 {
            continue;
        }
        for port in ports.into_iter().filter(Option::is_some) {
            if let Some(counters) = edges.remove(&(client, server, port)) {
                let all = edges.entry((client, server, None)).or_default();
                all.fold(&counters);
            }
        }
    }
}

/// A node, and the network namespace in which its address is valid.
type SeenFrom = (NodeId, u32);

/// Client, server and port of what is counted under `link`.
fn ends(link: Link, whose: Whose, halves: &Halves) -> (SeenFrom, SeenFrom, Option<u16>) {
    let own = |half: &Half| (half.node, half.netns);
    let remote = |half: &Half| (half.remote, half.netns);
    let [client, server] = [link.client, link.server].map(|id| id.map(|id| halves.get(id)));
    let found = match whose {
        Whose::Told | Whose::Apart => None,
        Whose::Listener(node) => Some((node, None)),
        Whose::Server {
            node, port: known, ..
        } => Some((node, port(known))),
    };
    match (client, server) {
        (Some(client), Some(server)) if !server.is_unknown => {
            // A half of unknown direction has no port.
            let known = port(server.served_port()).or(port(client.port));
            (own(client), own(server), known)
        }
        (Some(client), None) if client.side == Side::Unknown => (own(client), remote(client), None),
        // The server is resolved from facts, if at all.
        (Some(client), server) => match found {
            Some((node, known)) => {
                // A client's half may be of many ports.
                let told = server.map_or(0, Half::served_port);
                let known = known.or(port(told)).or(port(client.port));
                (own(client), (node, client.netns), known)
            }
            None => (own(client), remote(client), port(client.port)),
        },
        (None, Some(server)) => {
            let node = found.map_or(server.node, |(node, _)| node);
            (remote(server), (node, server.netns), port(server.port))
        }
        // Every connection has an endpoint.
        (None, None) => unreachable!("a link has at least one half"),
    }
}

fn port(port: u16) -> Option<u16> {
    Some(port).filter(|port| *port != 0)
}
