//! Map → view: halves become edges, and nodes get the names that they go by.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Map,
    counters::Counters,
    fold,
    halves::{Half, HalfId, Halves, Link, MAX_FAILING_PORTS, Side},
    nodes::{Dialled, Heard, HostId, Key, NodeId, Nodes, Realm},
    realms::Shared,
};
use crate::model::{Address, Edge, Host, HostCoverage, Node, NodeKind, Process, View};

/// Processes of a node that are shown.
const MAX_PROCESSES: usize = 16;
/// Changes of a node that are shown.
const MAX_CHANGES: usize = 16;
/// Addresses of a node that are shown.
const MAX_ADDRESSES: usize = 16;

/// A view in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What becomes nodes.
    pub(super) nodes: Vec<DraftNode>,
    /// What becomes edges, by indices of client and server, and by port.
    pub(super) edges: BTreeMap<EdgeKey, Counters>,
}

/// Client and server of an edge, and its port.
type EdgeKey = (usize, usize, Option<u16>);

/// What becomes a node.
#[derive(Debug)]
pub(super) struct DraftNode {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: NodeKind,
    /// The nodes of the map that it is made of.
    pub(super) parts: Vec<NodeId>,
    /// It stands for so many others.
    pub(super) members: Option<u64>,
}

/// What `map` looks like, with at most about `max_edges` edges: what is folded is told.
pub(super) fn take(map: &Map, max_edges: usize) -> View {
    let mut draft = draft(map);
    if draft.edges.len() > max_edges {
        fold::fold(&mut draft, max_edges);
    }
    let mut is_used = vec![false; draft.nodes.len()];
    for (client, server, _) in draft.edges.keys() {
        is_used[*client] = true;
        is_used[*server] = true;
    }
    let mut nodes: Vec<(usize, Node)> = Vec::new();
    for (at, node) in draft.nodes.iter().enumerate() {
        let listens = |id: &NodeId| !map.nodes.get(*id).listeners.is_empty();
        if is_used[at] || node.parts.iter().any(listens) {
            nodes.extend(finished(map, node).map(|node| (at, node)));
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
        coverage: coverage(map),
        nodes: nodes.into_iter().map(|(_, node)| node).collect(),
        edges,
    }
}

fn draft(map: &Map) -> Draft {
    let labels = Labels::new(map);
    let mut draft = Draft::default();
    // Several of the map's nodes may go by the same id.
    let mut by_id: HashMap<Arc<str>, usize> = HashMap::new();
    let mut places = Vec::new();
    for id in map.nodes.ids() {
        let node = labels.of(map, id);
        let place = *by_id.entry(Arc::clone(&node.id)).or_insert_with(|| {
            draft.nodes.push(node);
            draft.nodes.len() - 1
        });
        draft.nodes[place].parts.push(id);
        places.push(place);
    }
    let ends = |link| {
        let (client, server, port) = ends(link, &map.halves, &map.nodes);
        (places[client.index()], places[server.index()], port)
    };
    // Which edges each half has a part in.
    let mut parts: Vec<(HalfId, EdgeKey)> = Vec::new();
    let mut edge_of = |link: Link| {
        let edge = ends(link);
        parts.extend(link.client.or(link.server).map(|half| (half, edge)));
        edge
    };
    for (link, counters) in map.halves.links() {
        draft
            .edges
            .entry(edge_of(link))
            .or_default()
            .merge(counters);
    }
    let open = map.connections.shares(&map.halves);
    for (link, share) in open.chain(map.attempts.shares()) {
        draft.edges.entry(edge_of(link)).or_default().add(&share);
    }
    courses(map, &mut draft, parts);
    for (half, ports) in map.halves.scans() {
        let link = match map.halves.get(half).side {
            Side::Server => (None, Some(half)),
            Side::Client | Side::Unknown => (Some(half), None),
        };
        let (client, server) = link;
        if let Some(counters) = draft.edges.get_mut(&ends(Link { client, server })) {
            counters.stands_for(ports);
        }
    }
    scans(&mut draft);
    draft
}

/// How attempts went over time, for the edges of which some failed.
fn courses(map: &Map, draft: &mut Draft, mut parts: Vec<(HalfId, EdgeKey)>) {
    let fails = |edge: &EdgeKey| draft.edges.get(edge).is_some_and(Counters::has_failed);
    parts.retain(|(_, edge)| fails(edge));
    parts.sort_unstable();
    parts.dedup();
    for (half, edge) in parts {
        if let (Some(course), Some(counters)) = (map.outages.of(half), draft.edges.get_mut(&edge)) {
            counters.follow(course);
        }
    }
}

/// How many ports of one server failed, and which have edges of their own.
type Tried = (u64, Vec<Option<u16>>);

/// Many ports of one server at which nothing ever served one client are one edge.
fn scans(draft: &mut Draft) {
    let mut pairs: BTreeMap<(usize, usize), Tried> = BTreeMap::new();
    for ((client, server, port), counters) in &draft.edges {
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
            if let Some(counters) = draft.edges.remove(&(client, server, port)) {
                let all = draft.edges.entry((client, server, None)).or_default();
                all.fold(&counters);
            }
        }
    }
}

fn coverage(map: &Map) -> Vec<HostCoverage> {
    let hosts = map.nodes.hosts().iter().zip(&map.watched);
    let mut coverage: Vec<_> = hosts
        .map(|(host, watched)| watched.snapshot(host))
        .collect();
    coverage.sort_by(|one, other| one.host.id.cmp(&other.host.id));
    coverage
}

/// Client, server and port of what is counted under `link`.
fn ends(link: Link, halves: &Halves, nodes: &Nodes) -> (NodeId, NodeId, Option<u16>) {
    let (client, server) = (
        link.client.map(|id| (id, halves.get(id))),
        link.server.map(|id| halves.get(id)),
    );
    match (client, server) {
        (Some((_, client)), Some(server)) if !nodes.is_unknown(server.node) => {
            // The end that does not know who dialled has no port.
            let known = served(server).or(port(client.port));
            (client.node, server.node, known)
        }
        (Some((_, client)), None) if client.side == Side::Unknown => {
            (client.node, client.remote, None)
        }
        // Who answers there was seen in other connections, if at all.
        (Some((id, client)), _) => {
            let server = halves.server_of(id).map(|id| halves.get(id));
            match server {
                Some(server) => (
                    client.node,
                    server.node,
                    served(server).or(port(client.port)),
                ),
                None => (client.node, client.remote, port(client.port)),
            }
        }
        (None, Some(server)) => (server.remote, server.node, port(server.port)),
        // No connection has no end.
        (None, None) => unreachable!("a link has at least one half"),
    }
}

/// The port that a half at the server's end serves. One that dialled, too, knows only the other's.
fn served(half: &Half) -> Option<u16> {
    port(half.port).filter(|_| half.side != Side::Client)
}

fn port(port: u16) -> Option<u16> {
    Some(port).filter(|port| *port != 0)
}

/// The node that `draft` becomes; none if it is made of nothing.
fn finished(map: &Map, draft: &DraftNode) -> Option<Node> {
    let parts = || draft.parts.iter().map(|id| map.nodes.get(*id));
    let mut addresses: Vec<Address> = parts()
        .flat_map(|it| {
            it.key
                .address()
                .into_iter()
                .chain(it.addresses.iter().copied())
        })
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    let mut listeners: Vec<_> = parts()
        .flat_map(|it| it.listeners.iter().map(|(at, _)| *at))
        .collect();
    listeners.sort_unstable();
    listeners.dedup();
    let mut processes: Vec<Arc<Process>> = parts()
        .flat_map(|it| it.processes.iter().cloned())
        .collect();
    let order = |it: &Arc<Process>| (it.pid, it.started);
    processes.sort_by_key(order);
    processes.dedup_by_key(|it| order(it));
    let surplus = processes.len().saturating_sub(MAX_PROCESSES);
    processes.drain(..surplus);
    let mut changes: Vec<_> = parts().flat_map(|it| it.changes.iter().cloned()).collect();
    changes.sort_by_key(|it| it.time);
    let surplus = changes.len().saturating_sub(MAX_CHANGES);
    changes.drain(..surplus);
    let folded: u64 = parts().map(|it| it.members).sum();
    // The newest is the most complete.
    let known = parts().filter(|it| it.key.shows_workload());
    let workload = known
        .filter(|it| it.workload.is_some())
        .max_by_key(|it| it.last_seen)
        .and_then(|it| it.workload.clone());
    let host = draft
        .parts
        .first()
        .and_then(|id| map.nodes.get(*id).key.host());
    let host = host
        .filter(|host| parts().all(|it| it.key.host() == Some(*host)))
        .map(|host| Arc::clone(&map.nodes.hosts()[host.index()]));
    Some(Node {
        id: Arc::clone(&draft.id),
        kind: draft.kind,
        name: Arc::clone(&draft.name),
        host,
        workload,
        addresses,
        processes,
        listeners,
        changes,
        members: draft.members.or((folded > 0).then_some(folded)),
        first_seen: parts().map(|it| it.first_seen).min()?,
        last_seen: parts().map(|it| it.last_seen).max()?,
    })
}

/// Where an address means the same machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Around {
    World,
    /// The first of the hosts that share it.
    Host(usize),
    /// One of the network namespaces of a host that have a link of the same number.
    Netns(usize, u32),
}

/// What nodes go by.
struct Labels {
    /// Of each host, a name that no other has.
    hosts: Vec<String>,
    /// Which hosts share which addresses.
    shared: Shared,
    /// The name of an address, where all who dialled it by a name used the same.
    names: HashMap<(Around, Address), Heard>,
    /// Addresses of a link, each with the network namespace it is in; none if it is in several.
    links: HashMap<(HostId, Address), Option<u32>>,
}

impl Labels {
    fn new(map: &Map) -> Self {
        let hosts = map.nodes.hosts();
        let unique = |host: &Arc<Host>| {
            let twins = hosts.iter().filter(|it| it.name == host.name).count();
            let id = || host.id.chars().take(8).collect::<String>();
            match twins {
                1 => host.name.clone(),
                _ => format!("{}~{}", host.name, id()),
            }
        };
        let mut labels = Self {
            hosts: hosts.iter().map(unique).collect(),
            shared: map.realms.shared(hosts.len()),
            names: HashMap::new(),
            links: HashMap::new(),
        };
        let nodes = || map.nodes.ids().map(|id| map.nodes.get(id));
        for known in nodes() {
            if let Key::Remote(Realm::Netns(host, netns), address, _) = &known.key
                && address.scope().is_some()
            {
                let only = labels.links.entry((*host, *address));
                let only = only.or_insert(Some(*netns));
                *only = only.filter(|it| it == netns);
            }
        }
        for (realm, address, heard) in map.nodes.heard() {
            let place = (labels.around(realm, address), address);
            let known = labels.names.entry(place);
            let known = known.or_insert_with(|| heard.clone());
            if known != heard {
                *known = Heard::Several;
            }
        }
        labels
    }

    /// Where `address` means what it does in `realm`.
    fn around(&self, realm: Realm, address: Address) -> Around {
        match realm {
            Realm::World => Around::World,
            Realm::Host(host) => Around::Host(self.shared.first(host, address.ip())),
            Realm::Netns(host, netns) => match self.links.get(&(host, address)) {
                Some(None) => Around::Netns(host.index(), netns),
                // Nobody shares these.
                _ => Around::Host(host.index()),
            },
        }
    }

    fn host(&self, host: HostId) -> &str {
        &self.hosts[host.index()]
    }

    /// The node that the one with this number belongs to, without parts.
    fn of(&self, map: &Map, id: NodeId) -> DraftNode {
        let known = map.nodes.get(id);
        let (id, name) = match &known.key {
            Key::Workload(host, kind, name) => {
                let workload = known.workload.as_deref();
                let name = workload.map_or(name, |it| &it.name);
                let namespace = workload.and_then(|it| it.k8s.as_ref()?.namespace.as_deref());
                let (host, kind) = (self.host(*host), kind.name());
                let id = match namespace {
                    Some(namespace) => format!("{host}/{kind}/{namespace}/{name}"),
                    None => format!("{host}/{kind}/{name}"),
                };
                (id, name.to_string())
            }
            Key::Process(host, pid, _) => {
                let comm = known.processes.back().map_or("", |it| &*it.comm);
                let name = format!("{comm}[{pid}]");
                (format!("{}/process/{name}", self.host(*host)), name)
            }
            Key::Host(host) => {
                let name = self.host(*host).to_owned();
                (name.clone(), name)
            }
            Key::Namespace(name) => (format!("namespace/{name}"), name.to_string()),
            Key::Unknown(host) => (
                format!("{}/unknown", self.host(*host)),
                "unknown".to_owned(),
            ),
            Key::Others(host) => (format!("others@{}", self.host(*host)), "others".to_owned()),
            Key::Remote(realm, address, dialled) => {
                let around = self.around(*realm, *address);
                // By what was dialled alone: behind it may be what serves other names.
                let heard = |around, address| match self.names.get(&(around, address)) {
                    Some(Heard::Only(name)) => Some(name),
                    Some(Heard::Several) | None => None,
                };
                let name = match dialled {
                    Dialled::Name(name) => Some(name),
                    Dialled::Itself => heard(around, *address),
                    Dialled::Address(realm, address) => {
                        heard(self.around(*realm, *address), *address)
                    }
                };
                match (name, around) {
                    (Some(name), _) => (name.to_string(), name.to_string()),
                    (None, Around::World) => (address.to_string(), address.to_string()),
                    (None, Around::Host(host)) => (
                        format!("{address}@{}", self.hosts[host]),
                        address.to_string(),
                    ),
                    (None, Around::Netns(host, netns)) => (
                        format!("{address}@{}~{netns}", self.hosts[host]),
                        address.to_string(),
                    ),
                }
            }
        };
        DraftNode {
            id: id.into(),
            name: name.into(),
            kind: match known.key.is_remote() {
                true => NodeKind::Remote,
                false => NodeKind::Workload,
            },
            parts: Vec::new(),
            members: None,
        }
    }
}
