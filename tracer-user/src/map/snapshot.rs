//! Map → view: halves become edges, and nodes get the names that they go by.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Map,
    counters::Counters,
    fold,
    halves::{Half, Halves, Link, Side},
    nodes::{Dialled, Heard, HostId, Key, Known, NodeId, Nodes, Realm},
    realms::Shared,
};
use crate::model::{
    Address, Edge, Host, HostCoverage, Node, NodeKind, Process, View, WorkloadKind, program,
};

/// Processes of a node that are shown.
const MAX_PROCESSES: usize = 16;
/// Changes of a node that are shown.
const MAX_CHANGES: usize = 16;
/// Digits of an id that stand for it.
const SHORT_ID: usize = 12;
/// Addresses of a node that are shown.
const MAX_ADDRESSES: usize = 16;

/// A view in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What becomes nodes.
    pub(super) nodes: Vec<DraftNode>,
    /// What becomes edges, by indices of client and server, and by port.
    pub(super) edges: BTreeMap<(usize, usize, Option<u16>), Counters>,
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
    /// Where it is, should others go by its name.
    pub(super) place: Place,
}

/// Where a workload is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// Nobody knows, or there is only one of the name.
    Unknown,
    /// On the host itself.
    Host,
    /// In that container, or of that directory.
    In(Arc<str>),
}

impl Place {
    fn of(known: &Known) -> Self {
        let Key::Workload(_, kind, _, place) = &known.key else {
            return Self::Unknown;
        };
        if *kind == WorkloadKind::Executable {
            return place.clone().map_or(Self::Unknown, Self::In);
        }
        let container = known.workload.as_ref().and_then(|it| it.container.as_ref());
        match container.and_then(|it| it.around.as_ref()) {
            // What has no name is told by the beginning of its id.
            Some(outer) => Self::In(outer.name.clone().unwrap_or_else(|| {
                let short: String = outer.id.chars().take(SHORT_ID).collect();
                short.into()
            })),
            None => Self::Host,
        }
    }
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
    let mut nodes: Vec<_> = map.nodes.ids().map(|id| labels.of(map, id)).collect();
    tell_containers_apart(map, &mut nodes);
    tell_apart(&mut nodes);
    for (id, node) in map.nodes.ids().zip(nodes) {
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
    for (link, counters) in map.halves.links() {
        draft.edges.entry(ends(link)).or_default().merge(counters);
    }
    let open = map.connections.shares(&map.halves);
    for (link, share) in open.chain(map.attempts.shares()) {
        draft.edges.entry(ends(link)).or_default().add(&share);
    }
    draft
}

/// A runtime gives a name to one container at a time. So those that listen at once, or are of several
/// runtimes, are no successors of each other, even if nothing tells what they are in.
fn tell_containers_apart(map: &Map, nodes: &mut [DraftNode]) {
    let mut twins: HashMap<Arc<str>, Vec<(usize, &Known)>> = HashMap::new();
    for (at, id) in map.nodes.ids().enumerate() {
        let known = map.nodes.get(id);
        let is_container = matches!(&known.key, Key::Workload(_, WorkloadKind::Container, ..));
        if is_container && nodes[at].place == Place::Host {
            let twins = twins.entry(Arc::clone(&nodes[at].id)).or_default();
            twins.push((at, known));
        }
    }
    for twins in twins.into_values().filter(|it| it.len() > 1) {
        let container = |it: &Known| it.workload.as_ref()?.container.clone();
        let runtimes: HashSet<_> = twins
            .iter()
            .filter_map(|(_, it)| container(it)?.runtime)
            .collect();
        let listening = twins.iter().filter(|(_, it)| !it.listeners.is_empty());
        let are_several = listening.count() > 1;
        for (at, known) in twins {
            let Some(container) = container(known) else {
                continue;
            };
            let short: String = container.id.chars().take(SHORT_ID).collect();
            match container.runtime {
                _ if are_several && !known.listeners.is_empty() => {
                    nodes[at].place = Place::In(short.into());
                }
                Some(runtime) if runtimes.len() > 1 => nodes[at].place = Place::In(runtime),
                _ => {}
            }
        }
    }
}

/// Says where a workload is in the name of each that another one shares, but is elsewhere. One of which
/// nobody knows where it is goes with the only one that is known.
fn tell_apart(nodes: &mut [DraftNode]) {
    let mut places: HashMap<Arc<str>, HashSet<Place>> = HashMap::new();
    for node in nodes.iter().filter(|it| it.place != Place::Unknown) {
        let known = places.entry(Arc::clone(&node.id)).or_default();
        known.insert(node.place.clone());
    }
    for node in nodes {
        if let Place::In(place) = &node.place
            && let Some(others) = places.get(&node.id).filter(|it| it.len() > 1)
        {
            let directory = |it: &str| {
                it.split(program::CODE)
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            let short = directory(place);
            let like = others
                .iter()
                .filter(|it| matches!(it, Place::In(at) if directory(at) == short));
            let place = match like.count() {
                1 if !short.is_empty() => &short,
                _ => &**place,
            };
            node.id = format!("{} ({place})", node.id).into();
            node.name = format!("{} ({place})", node.name).into();
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
            Key::Workload(host, kind, name, _) => {
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
            place: Place::of(known),
        }
    }
}
