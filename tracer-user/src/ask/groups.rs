//! What must move together, and what a division would cut.

use std::collections::{BTreeMap, HashMap, HashSet};

use petgraph::unionfind::UnionFind;
use serde::Serialize;

use super::{Answer, Link, Pattern, Proof, QuestionKind, Split, Who};
use crate::model::{Address, AddressClass, Edge, Node, NodeKind, View};

/// Groups that must move together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Groups {
    /// The groups, the largest first.
    pub groups: Vec<Group>,
    /// What all share, and which therefore ties nothing together.
    pub shared: Vec<SharedNode>,
    /// Public servers and clients: they stay where they are.
    pub outside: Vec<Who>,
    /// What a division cuts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Cut>,
}

/// What talks to each other, directly or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Its members.
    pub members: Vec<Who>,
    /// Connections between them.
    pub connections: u64,
    /// Payload bytes between them, both ways.
    pub bytes: u64,
    /// What they need of what is shared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Who>,
}

/// Something that all share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SharedNode {
    /// Which.
    #[serde(flatten)]
    pub who: Who,
    /// Why it counts as shared.
    pub why: SharedBy,
}

/// Why something counts as shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedBy {
    /// The user says so.
    Asked,
    /// It answers questions for names.
    Names,
    /// It tells the time.
    Time,
    /// It knows who may do what.
    Directory,
    /// It collects logs.
    Logs,
    /// It looks at nearly everything that listens, or everything reports to it.
    Monitoring,
}

impl SharedBy {
    /// The word in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Names => "names",
            Self::Time => "time",
            Self::Directory => "directory",
            Self::Logs => "logs",
            Self::Monitoring => "monitoring",
        }
    }
}

/// What a division cuts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// Its parts, with what is in them.
    pub parts: BTreeMap<String, Vec<Who>>,
    /// The edges from one part to another, the busiest first.
    pub crossing: Vec<Crossing>,
    /// Patterns that mean nothing in this map.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

/// An edge from one part to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// The part of the client.
    pub from: String,
    /// The part of the server.
    pub to: String,
    /// Addresses that the client uses, as far as they are known.
    pub client_addresses: Vec<Address>,
    /// Those of the server.
    pub server_addresses: Vec<Address>,
    /// How many addresses of the client are known to be missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_addresses_cut: u64,
    /// How many of the server are.
    #[serde(skip_serializing_if = "is_zero")]
    pub server_addresses_cut: u64,
    /// The edge.
    #[serde(flatten)]
    pub link: Link,
}

/// Ports of what hosts need whatever they are for, after IANA's registry.
const SHARED_PORTS: [(u16, SharedBy); 13] = [
    (53, SharedBy::Names),
    (853, SharedBy::Names),
    (123, SharedBy::Time),
    (4460, SharedBy::Time),
    (88, SharedBy::Directory),
    (389, SharedBy::Directory),
    (464, SharedBy::Directory),
    (636, SharedBy::Directory),
    (3268, SharedBy::Directory),
    (514, SharedBy::Logs),
    (601, SharedBy::Logs),
    (6514, SharedBy::Logs),
    (24224, SharedBy::Logs),
];

/// Roles of the same.
const SHARED_ROLES: [(&str, SharedBy); 4] = [
    ("dns", SharedBy::Names),
    ("directory", SharedBy::Directory),
    ("logs", SharedBy::Logs),
    ("monitoring", SharedBy::Monitoring),
];

/// With so many partners, and so much of all there are, it is a monitor and no application.
const MONITOR_LEAST: usize = 4;
const MONITOR_PERCENT: usize = 60;

/// What the user says of what is shared.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Is shared, whatever it looks like.
    pub yes: Vec<Pattern>,
    /// Is not.
    pub no: Vec<Pattern>,
}

/// What must move together in `view`, and what `split` cuts.
pub fn groups(view: &View, shared: &Shared, split: Option<&Split>) -> Answer<Groups> {
    let why = shared_nodes(view, shared);
    let is_outside = |at: usize| is_outside(&view.nodes[at]);
    let mut union = UnionFind::<usize>::new(view.nodes.len());
    let ties = |edge: &&Edge| {
        let ends = [edge.client, edge.server];
        ends.iter().all(|at| why[*at].is_none() && !is_outside(*at))
    };
    for edge in view.edges.iter().filter(ties) {
        union.union(edge.client, edge.server);
    }
    let mut groups: BTreeMap<usize, Group> = BTreeMap::new();
    let mut shared_by: HashMap<usize, HashSet<usize>> = HashMap::new();
    for (at, why) in why.iter().enumerate() {
        if why.is_none() && !is_outside(at) {
            let group = groups.entry(union.find(at)).or_insert(Group {
                members: Vec::new(),
                connections: 0,
                bytes: 0,
                shared: Vec::new(),
            });
            group.members.push(Who::of(view, at));
        }
    }
    for edge in &view.edges {
        if ties(&edge) {
            if let Some(group) = groups.get_mut(&union.find(edge.client)) {
                group.connections = group.connections.saturating_add(edge.connections());
                let bytes = edge.sent_bytes.saturating_add(edge.received_bytes);
                group.bytes = group.bytes.saturating_add(bytes);
            }
        } else if why[edge.server].is_some()
            && why[edge.client].is_none()
            && !is_outside(edge.client)
        {
            shared_by
                .entry(union.find(edge.client))
                .or_default()
                .insert(edge.server);
        }
    }
    for (root, servers) in shared_by {
        if let Some(group) = groups.get_mut(&root) {
            group.shared = servers.iter().map(|at| Who::of(view, *at)).collect();
            group.shared.sort();
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        group.members.sort();
    }
    groups.sort_by(|one, other| {
        let size = other.members.len().cmp(&one.members.len());
        size.then_with(|| one.members.cmp(&other.members))
    });
    let shared = why.iter().enumerate().filter_map(|(at, why)| {
        Some(SharedNode {
            who: Who::of(view, at),
            why: (*why)?,
        })
    });
    let outside = (0..view.nodes.len()).filter(|at| why[*at].is_none() && is_outside(*at));
    let found = Groups {
        groups,
        shared: shared.collect(),
        outside: outside.map(|at| Who::of(view, at)).collect(),
        split: split.map(|split| cut(view, split)),
    };
    let mut proof = Proof::of(view, QuestionKind::Groups);
    if let Some(split) = &found.split {
        // Of these the rules are made.
        let crossing = split.crossing.iter().map(|it| &it.link);
        let ends: HashSet<&str> = crossing
            .flat_map(|it| [&*it.client.id, &*it.server.id])
            .collect();
        let nodes = view.nodes.iter().filter(|it| ends.contains(&*it.id));
        proof.doubt_cut(nodes, &["addresses"]);
    }
    Answer::new(QuestionKind::Groups, found, proof)
}

/// Whether it is nothing of one's own: the Internet, and what a cloud tells its machines.
fn is_outside(node: &Node) -> bool {
    node.kind == NodeKind::Remote
        && !node.addresses.iter().any(|it| {
            matches!(
                AddressClass::of(it.ip()),
                AddressClass::Private | AddressClass::Shared
            )
        })
}

fn shared_nodes(view: &View, asked: &Shared) -> Vec<Option<SharedBy>> {
    let mut why: Vec<Option<SharedBy>> = vec![None; view.nodes.len()];
    let mut ports: HashMap<usize, HashSet<u16>> = HashMap::new();
    let mut servers: HashMap<usize, HashSet<usize>> = HashMap::new();
    let mut clients: HashMap<usize, HashSet<usize>> = HashMap::new();
    for edge in &view.edges {
        if let Some(port) = edge.port {
            ports.entry(edge.server).or_default().insert(port);
        }
        if edge.client != edge.server {
            clients.entry(edge.server).or_default().insert(edge.client);
            if view.nodes[edge.server].kind == NodeKind::Workload {
                servers.entry(edge.client).or_default().insert(edge.server);
            }
        }
    }
    let serving: HashSet<usize> = servers.values().flatten().copied().collect();
    for (at, node) in view.nodes.iter().enumerate() {
        let port = |(port, why): &(u16, SharedBy)| {
            let ports = ports.get(&at)?;
            // What also serves something else is more than that; a directory has several ports.
            let is_shared = |port: &u16| SHARED_PORTS.iter().any(|(shared, _)| shared == port);
            (ports.contains(port) && ports.iter().all(is_shared)).then_some(*why)
        };
        let role = |(role, why): &(&str, SharedBy)| {
            let is = node.workload.as_ref()?.role.as_deref() == Some(*role);
            is.then_some(*why)
        };
        let watched = servers.get(&at);
        let watches = watched.map_or(0, HashSet::len);
        let others = serving.len() - usize::from(serving.contains(&at));
        // In a small system an application talks to most of the others too. But somebody needs it, whom
        // it does not look at.
        let is_needed = clients
            .get(&at)
            .is_some_and(|it| !watched.is_some_and(|watched| it.is_subset(watched)));
        let is_monitor =
            watches >= MONITOR_LEAST && watches * 100 >= others * MONITOR_PERCENT && !is_needed;
        why[at] = if asked.no.iter().any(|it| it.matches(node)) {
            None
        } else if asked.yes.iter().any(|it| it.matches(node)) {
            Some(SharedBy::Asked)
        } else {
            SHARED_PORTS
                .iter()
                .find_map(port)
                .or_else(|| SHARED_ROLES.iter().find_map(role))
                .or_else(|| is_monitor.then_some(SharedBy::Monitoring))
        };
    }
    why
}

/// How many addresses of `node` are not known, as there was no room.
fn missing(node: &Node) -> u64 {
    // What was folded as it came has none.
    let folded = node.members.unwrap_or(0);
    let folded = folded.saturating_sub(node.addresses.len() as u64);
    node.cut.addresses.saturating_add(folded)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn cut(view: &View, split: &Split) -> Cut {
    let part = |at: usize| split.part(&view.nodes[at]);
    let mut parts: BTreeMap<String, Vec<Who>> = BTreeMap::new();
    for at in 0..view.nodes.len() {
        if let Some(part) = part(at) {
            parts
                .entry(part.to_owned())
                .or_default()
                .push(Who::of(view, at));
        }
    }
    let crossing = view.edges.iter().filter_map(|edge| {
        let (from, to) = (part(edge.client)?, part(edge.server)?);
        (from != to).then(|| Crossing {
            from: from.to_owned(),
            to: to.to_owned(),
            client_addresses: view.nodes[edge.client].addresses.clone(),
            server_addresses: view.nodes[edge.server].addresses.clone(),
            client_addresses_cut: missing(&view.nodes[edge.client]),
            server_addresses_cut: missing(&view.nodes[edge.server]),
            link: Link::of(view, edge),
        })
    });
    let mut crossing: Vec<Crossing> = crossing.collect();
    crossing.sort_by(|one, other| {
        let ends = |it: &Crossing| (it.link.client.clone(), it.link.server.clone(), it.link.port);
        let busiest = other.link.connections.cmp(&one.link.connections);
        busiest.then_with(|| ends(one).cmp(&ends(other)))
    });
    Cut {
        parts,
        crossing,
        unused: split
            .unused(&view.nodes)
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}
