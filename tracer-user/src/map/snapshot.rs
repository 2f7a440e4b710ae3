//! Map → view: halves become edges, and nodes get the names that they go by.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Map,
    counters::{Counters, Share},
    facts::Whose,
    fold,
    halves::{Half, Halves, Link, Side},
    nodes::{Dialled, Heard, HostId, Key, NodeId, Realm},
    realms::Shared,
    uses::Uses,
};
use crate::model::{
    Address, Edge, Host, HostCoverage, ListeningAt, Node, NodeKind, Process, Stray, View,
};

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
    pub(super) edges: BTreeMap<(usize, usize, Option<u16>), Counters>,
    /// Where who listens, and what came in elsewhere.
    listening: HashMap<NodeId, Vec<ListeningAt>>,
    strays: Vec<Stray>,
}

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
    let came_by = draft.edges.values().flat_map(|it| it.came_by.keys());
    let came_by: HashSet<&Arc<str>> = came_by.collect();
    let mut nodes: Vec<(usize, Node)> = Vec::new();
    for (at, node) in draft.nodes.iter().enumerate() {
        let listens = |id: &NodeId| draft.listening.contains_key(id);
        if is_used[at] || came_by.contains(&node.id) || node.parts.iter().any(listens) {
            nodes.extend(finished(map, node, &draft.listening).map(|node| (at, node)));
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
        strays: draft.strays,
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
    let ids: Vec<_> = draft.nodes.iter().map(|it| Arc::clone(&it.id)).collect();
    // What is not counted for good yet, by what it will be counted under.
    let mut rest: foldhash::HashMap<(Link, Whose), Counters> = foldhash::HashMap::default();
    let mut unknown = map.halves.unknown();
    let mut add = |link, share: &Share| {
        let halves = &map.halves;
        let whose = halves.whose(link, share, &mut unknown, &map.nodes, &map.realms);
        rest.entry((link, whose)).or_default().add_of(share, whose);
    };
    map.halves
        .alone()
        .for_each(|(link, share)| add(link, share));
    let open = map.connections.shares(&map.halves);
    open.chain(map.attempts.shares())
        .for_each(|(link, share)| add(link, &share));
    let mut uses = Uses::new(map);
    let rest = rest.iter();
    let rest = rest.map(|((link, whose), counters)| (*link, *whose, counters));
    for (link, whose, counters) in map.halves.links().chain(rest) {
        let (client, server, port) = ends(link, whose, &map.halves);
        let ends = (places[client.index()], places[server.index()], port);
        let edge = draft.edges.entry(ends).or_default();
        edge.merge(counters);
        if let Some(used) = counters.used() {
            for node in uses.add(map, (link, whose), ends, used) {
                let listens = places[node.index()];
                if listens != ends.1 {
                    let came_by = edge.came_by.entry(Arc::clone(&ids[listens]));
                    let sum = came_by.or_default();
                    *sum = sum.saturating_add(used.connections);
                }
            }
        }
    }
    draft.listening = uses.listening(&ids);
    draft.strays = uses.strays(map);
    draft
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
fn ends(link: Link, whose: Whose, halves: &Halves) -> (NodeId, NodeId, Option<u16>) {
    let [client, server] = [link.client, link.server].map(|id| id.map(|id| halves.get(id)));
    let found = match whose {
        Whose::Told => None,
        Whose::Listener(node) => Some((node, None)),
        Whose::Server {
            node, port: known, ..
        } => Some((node, port(known))),
    };
    match (client, server) {
        (Some(client), Some(server)) if !server.is_unknown => {
            // The end that does not know who dialled has no port.
            let known = served(server).or(port(client.port));
            (client.node, server.node, known)
        }
        (Some(client), None) if client.side == Side::Unknown => (client.node, client.remote, None),
        // Who answers there is known from elsewhere, if at all.
        (Some(client), _) => match found {
            Some((node, known)) => (client.node, node, known.or(port(client.port))),
            None => (client.node, client.remote, port(client.port)),
        },
        (None, Some(server)) => {
            let node = found.map_or(server.node, |(node, _)| node);
            (server.remote, node, port(server.port))
        }
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
fn finished(
    map: &Map,
    draft: &DraftNode,
    listening: &HashMap<NodeId, Vec<ListeningAt>>,
) -> Option<Node> {
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
    let parts_listen = draft.parts.iter().filter_map(|id| listening.get(id));
    let mut listeners: Vec<_> = parts_listen.flatten().cloned().collect();
    listeners.sort_unstable();
    listeners.dedup_by(|one, other| {
        let key = |it: &ListeningAt| (it.address, it.port, it.netns);
        key(one) == key(other)
    });
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
