//! Map → view: halves become edges, and nodes get the names that they go by.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Map,
    counters::Counters,
    halves::{Halves, Link, Side},
    nodes::{HostId, Key, Known, NodeId, Nodes, Realm},
};
use crate::model::{
    Edge, Host, HostCoverage, ListeningAt, Node, NodeKind, Process, Timestamp, View, Workload,
};

/// Processes of a node that are shown.
const MAX_PROCESSES: usize = 16;
/// Addresses of a remote that are shown.
const MAX_ADDRESSES: usize = 16;

/// What `map` looks like.
pub(super) fn take(map: &Map) -> View {
    let labels = Labels::new(map);
    let names: Vec<_> = map.nodes.iter().map(|known| labels.of(known)).collect();

    // By the nodes' numbers first, as there are many more halves than edges.
    let mut by_number: HashMap<(NodeId, NodeId, Option<u16>), Counters> = HashMap::new();
    let ends = |link| ends(link, &map.halves, &map.nodes);
    for (link, counters) in map.halves.links() {
        by_number.entry(ends(link)).or_default().merge(counters);
    }
    let open = map.connections.shares(&map.halves);
    for (link, share) in open.chain(map.attempts.shares()) {
        by_number.entry(ends(link)).or_default().add(&share);
    }

    // Then by their ids: several may go by the same one.
    let mut edges: BTreeMap<(&str, &str, Option<u16>), Counters> = BTreeMap::new();
    let mut is_end = vec![false; names.len()];
    for ((client, server, port), counters) in by_number {
        is_end[client.index()] = true;
        is_end[server.index()] = true;
        let key = (&*names[client.index()].id, &*names[server.index()].id, port);
        match edges.entry(key) {
            Entry::Occupied(edge) => edge.into_mut().merge(&counters),
            Entry::Vacant(edge) => drop(edge.insert(counters)),
        }
    }
    let nodes = nodes(map, &names, &is_end);
    let index = |id: &str| nodes.binary_search_by(|node| (*node.id).cmp(id)).ok();
    let edges: Vec<Edge> = edges
        .iter()
        .filter_map(|((client, server, port), counters)| {
            counters.edge(index(client)?, index(server)?, *port)
        })
        .collect();
    View {
        generated: map.now,
        coverage: coverage(map),
        nodes,
        edges,
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
            let known = port(server.port).or(port(client.port));
            (client.node, server.node, known)
        }
        (Some((_, client)), None) if client.side == Side::Unknown => {
            (client.node, client.remote, None)
        }
        // Who answers there was seen in other connections, if at all.
        (Some((id, client)), _) => {
            let server = halves.server_of(id).map(|id| halves.get(id));
            match server {
                Some(server) => (client.node, server.node, port(server.port)),
                None => (client.node, client.remote, port(client.port)),
            }
        }
        (None, Some(server)) => (server.remote, server.node, port(server.port)),
        // No connection has no end.
        (None, None) => unreachable!("a link has at least one half"),
    }
}

fn port(port: u16) -> Option<u16> {
    Some(port).filter(|port| *port != 0)
}

fn nodes(map: &Map, names: &[Label], is_end: &[bool]) -> Vec<Node> {
    let mut nodes: BTreeMap<&Arc<str>, Node> = BTreeMap::new();
    for ((known, label), is_end) in map.nodes.iter().zip(names).zip(is_end) {
        if !is_end && known.listeners.is_empty() {
            continue;
        }
        let host = known.key.host().map(|id| &map.nodes.hosts()[id.index()]);
        let node = nodes
            .entry(&label.id)
            .or_insert_with(|| empty(label, known, host));
        let is_newer = known.last_seen >= node.last_seen;
        node.first_seen = node.first_seen.min(known.first_seen);
        node.last_seen = node.last_seen.max(known.last_seen);
        if shows_workload(&known.key) && (is_newer || node.workload.is_none()) {
            node.workload.clone_from(&known.workload);
        }
        if let Key::Remote(_, address, _) = known.key
            && !node.addresses.contains(&address)
        {
            node.addresses.push(address);
        }
        node.listeners
            .extend(known.listeners.iter().map(|(at, _)| *at));
        node.processes.extend(known.processes.iter().cloned());
        if known.members > 0 {
            node.members = Some(node.members.unwrap_or(0) + known.members);
        }
    }
    let mut nodes: Vec<Node> = nodes.into_values().collect();
    for node in &mut nodes {
        node.addresses.sort_unstable();
        node.addresses.truncate(MAX_ADDRESSES);
        node.listeners.sort_unstable();
        node.listeners.dedup();
        let order = |it: &Arc<Process>| (it.pid, it.started);
        node.processes.sort_by_key(order);
        node.processes.dedup_by_key(|it| order(it));
        let surplus = node.processes.len().saturating_sub(MAX_PROCESSES);
        node.processes.drain(..surplus);
    }
    nodes
}

fn shows_workload(key: &Key) -> bool {
    matches!(key, Key::Workload(..) | Key::Process(..))
}

fn empty(label: &Label, known: &Known, host: Option<&Arc<Host>>) -> Node {
    Node {
        id: Arc::clone(&label.id),
        kind: match known.key.is_remote() {
            true => NodeKind::Remote,
            false => NodeKind::Workload,
        },
        name: Arc::clone(&label.name),
        host: host.cloned(),
        workload: None::<Arc<Workload>>,
        addresses: Vec::new(),
        processes: Vec::new(),
        listeners: Vec::<ListeningAt>::new(),
        members: None,
        first_seen: known.first_seen,
        last_seen: Timestamp::from_ns(0),
    }
}

/// What a node goes by.
struct Label {
    id: Arc<str>,
    name: Arc<str>,
}

/// What nodes go by.
struct Labels {
    /// Of each host, a name that no other has.
    hosts: Vec<String>,
    /// Of each host, the first one that it shares addresses with.
    realms: Vec<usize>,
    /// The name of an address, where it has one alone.
    names: HashMap<(Option<usize>, IpAddr), Option<Arc<str>>>,
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
            realms: map.realms.first_of_each(hosts.len()),
            names: HashMap::new(),
        };
        for known in map.nodes.iter() {
            if let Key::Remote(realm, address, Some(name)) = &known.key {
                let place = (labels.realm(*realm), *address);
                labels
                    .names
                    .entry(place)
                    .and_modify(|only| {
                        if only.as_ref().is_some_and(|it| it != name) {
                            *only = None;
                        }
                    })
                    .or_insert_with(|| Some(Arc::clone(name)));
            }
        }
        labels
    }

    fn realm(&self, realm: Realm) -> Option<usize> {
        match realm {
            Realm::World => None,
            Realm::Host(host) => Some(self.realms[host.index()]),
            // Nobody shares these.
            Realm::Netns(host, _) => Some(host.index()),
        }
    }

    fn host(&self, host: HostId) -> &str {
        &self.hosts[host.index()]
    }

    fn of(&self, known: &Known) -> Label {
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
            Key::Remote(realm, address, name) => {
                let realm = self.realm(*realm);
                let known = || self.names.get(&(realm, *address))?.clone();
                match (name.clone().or_else(known), realm) {
                    (Some(name), _) => (name.to_string(), name.to_string()),
                    (None, None) => (address.to_string(), address.to_string()),
                    (None, Some(host)) => (
                        format!("{address}@{}", self.hosts[host]),
                        address.to_string(),
                    ),
                }
            }
        };
        Label {
            id: id.into(),
            name: name.into(),
        }
    }
}
