//! Map → view: halves become edges, and nodes get the names that they go by.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Map,
    counters::{Counters, Share, What},
    coverage::Watched,
    facts::Whose,
    fold,
    halves::{Half, HalfId, Halves, Link, MAX_FAILING_PORTS, Side},
    hosts::Identity,
    kept::{self, Changes, Processes},
    listeners::Unkept,
    namespaces::Split,
    nodes::{By, Dialled, Heard, HostId, Key, Known, NodeId, Realm},
    realms::Shared,
    room::Owner,
    uses::Uses,
};
use crate::model::{
    Address, Cut, Edge, HostCoverage, HostCut, ListeningAt, Node, NodeKind, Stray, View,
    WorkloadKind, program,
};

/// Digits of an id that stand for it.
const SHORT_ID: usize = 12;

/// A view in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What becomes nodes.
    pub(super) nodes: Vec<DraftNode>,
    /// What becomes edges, by indices of client and server, and by port.
    pub(super) edges: BTreeMap<EdgeKey, Counters>,
    /// Where who listens, and what came in elsewhere.
    listening: HashMap<NodeId, Vec<ListeningAt>>,
    strays: Vec<Stray>,
    /// Network namespaces of each host that it is not known of which others they are one with.
    unheld: foldhash::HashMap<HostId, u64>,
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

fn draft(map: &Map, labels: &Labels) -> Draft {
    let mut draft = Draft::default();
    // Several of the map's nodes may go by the same id.
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
            // Nobody watched its end.
            *ended |= ends.any(|half| is_over(*half));
        }
    }
    let split = Split::of(map, &open);
    // What is not counted for good yet, by what it will be counted under.
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
    // Which edges each half has a part in.
    let mut parts: Vec<(HalfId, EdgeKey)> = Vec::new();
    let rest = rest.iter();
    let rest = rest.map(|((link, whose), counters)| (*link, *whose, counters));
    for (link, whose, counters) in halves.links().chain(rest) {
        let mut place = |(id, netns): SeenFrom| match split.get(id, netns) {
            // A name means the same whoever asks for it.
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
        // A client's half that is of many ports knows nothing of one of them, which its server's may be of.
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

/// A runtime gives a name to one container at a time. So those that listen at once, or are of several
/// runtimes, are no successors of each other, even if nothing tells what they are in.
fn tell_containers_apart(map: &Map, who_listens: &HashSet<NodeId>, nodes: &mut [DraftNode]) {
    let mut twins: HashMap<Arc<str>, Vec<(usize, NodeId)>> = HashMap::new();
    for (at, id) in map.nodes.ids().enumerate() {
        let known = map.nodes.get(id);
        let is_container = matches!(&known.key, Key::Workload(_, WorkloadKind::Container, ..));
        if is_container && nodes[at].place == Place::Host {
            let twins = twins.entry(Arc::clone(&nodes[at].id)).or_default();
            twins.push((at, id));
        }
    }
    for twins in twins.into_values().filter(|it| it.len() > 1) {
        let container = |id: NodeId| map.nodes.get(id).workload.as_ref()?.container.clone();
        let runtimes: HashSet<_> = twins
            .iter()
            .filter_map(|(_, id)| container(*id)?.runtime)
            .collect();
        let listening = twins.iter().filter(|(_, id)| who_listens.contains(id));
        let are_several = listening.count() > 1;
        for (at, id) in twins {
            let Some(container) = container(id) else {
                continue;
            };
            let short: String = container.id.chars().take(SHORT_ID).collect();
            match container.runtime {
                _ if are_several && who_listens.contains(&id) => {
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

/// A remote goes by the name that it was dialled by, which may be anything: one that is the id of what runs on a
/// host makes it no part of that.
fn tell_remotes_apart(nodes: &mut [DraftNode]) {
    let workloads = nodes.iter().filter(|it| it.kind == NodeKind::Workload);
    let ids: HashSet<Arc<str>> = workloads.map(|it| Arc::clone(&it.id)).collect();
    for node in nodes.iter_mut().filter(|it| it.kind == NodeKind::Remote) {
        while ids.contains(&node.id) {
            node.id = format!("remote/{}", node.id).into();
        }
    }
}

/// How attempts went over time, for the edges of which some failed.
fn courses(map: &Map, edges: &mut BTreeMap<EdgeKey, Counters>, mut parts: Vec<(HalfId, EdgeKey)>) {
    let fails = |edge: &EdgeKey| edges.get(edge).is_some_and(Counters::has_failed);
    parts.retain(|(_, edge)| fails(edge));
    for (half, edge) in parts {
        if let (Some(course), Some(counters)) = (map.outages.of(half), edges.get_mut(&edge)) {
            counters.follow(course);
        }
    }
}

/// How many ports of one server failed, and which have edges of their own.
type Tried = (u64, Vec<Option<u16>>);

/// Many ports of one server at which nothing ever served one client are one edge.
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

fn coverage(
    map: &Map,
    identity: &Identity,
    unheld: &foldhash::HashMap<HostId, u64>,
) -> Vec<HostCoverage> {
    let hosts = map.nodes.hosts();
    let mut told: Vec<(HostId, HostCoverage)> = Vec::new();
    for (at, watched) in map.watched.iter().enumerate() {
        let host = HostId::at(at);
        let is_surplus = map.nodes.has_surplus_host() && at + 1 == hosts.len();
        let watched = watched.snapshot(&hosts[at]);
        let (twins, twins_cut) = identity.twins(host);
        let watched = HostCoverage {
            cut: cut(map, host, unheld.get(&host).copied().unwrap_or(0)),
            twins: twins.to_vec(),
            twins_cut,
            taken_for_one: watched.taken_for_one || is_surplus,
            ..watched
        };
        told.push((identity.last(host), watched));
    }
    // One host by several names is one, whose last name counts.
    told.sort_by_key(|(host, watched)| (*host, watched.to));
    let mut coverage: Vec<HostCoverage> = Vec::new();
    let mut before = None;
    for (host, watched) in told {
        match coverage.last_mut().filter(|_| before == Some(host)) {
            Some(same) => same.renamed(watched),
            None => coverage.push(watched),
        }
        before = Some(host);
    }
    coverage.sort_by(|one, other| one.host.cmp(&other.host));
    coverage
}

/// What of `host` there was no room for; so many network namespaces of it are `unheld`.
fn cut(map: &Map, host: HostId, unheld: u64) -> HostCut {
    let (nodes, names) = map.nodes.cut(host);
    let halves = map.halves.cut(host);
    HostCut {
        nodes,
        edges: halves.edges,
        servers: halves.servers,
        names,
        networks: map
            .realms
            .cut(host)
            .saturating_add(halves.owners)
            .saturating_add(unheld),
    }
}

/// A node, and the network namespace that it is in, or that it is seen from.
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
            // The end that does not know who dialled has no port.
            let known = port(server.served_port()).or(port(client.port));
            (own(client), own(server), known)
        }
        (Some(client), None) if client.side == Side::Unknown => (own(client), remote(client), None),
        // Who answers there is known from elsewhere, if at all.
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
        // No connection has no end.
        (None, None) => unreachable!("a link has at least one half"),
    }
}

fn port(port: u16) -> Option<u16> {
    Some(port).filter(|port| *port != 0)
}

/// The node that `draft` becomes; none if it is made of nothing.
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
    // The newest is the most complete.
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

/// Processes of the parts of a node, and what happened to it; none without parts.
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
    /// Which hosts there are.
    identity: Identity,
    /// Which hosts share which addresses.
    shared: Shared,
    /// The name of an address, where all who dialled it by a name used the same: root, or a user.
    names: HashMap<(Around, Address, By), Heard>,
    /// Addresses of a link, each with the network namespace it is in; none if it is in several.
    links: HashMap<(HostId, Address), Option<u32>>,
}

impl Labels {
    fn new(map: &Map) -> Self {
        let hosts = map.nodes.hosts();
        let spans: Vec<_> = map.watched.iter().map(Watched::spans).collect();
        let identity = Identity::of(hosts, &spans);
        let mut labels = Self {
            shared: map.realms.shared(identity.numbers()),
            identity,
            names: HashMap::new(),
            links: HashMap::new(),
        };
        let nodes = || map.nodes.ids().map(|id| map.nodes.get(id));
        for known in nodes() {
            if let Key::Remote(Realm::Netns(host, netns), address, _) = &known.key
                && address.scope().is_some()
            {
                let host = labels.identity.last(*host);
                let only = labels.links.entry((host, *address));
                let only = only.or_insert(Some(*netns));
                *only = only.filter(|it| it == netns);
            }
        }
        for (realm, address, by, heard) in map.nodes.heard() {
            let by = by.map(|it| labels.lasting(it));
            let place = (labels.around(realm, address), address, by);
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
            Realm::Host(host) => {
                let host = self.identity.last(host);
                Around::Host(self.shared.first(host, address.ip()))
            }
            Realm::Netns(host, netns) => {
                let host = self.identity.last(host);
                match self.links.get(&(host, address)) {
                    Some(None) => Around::Netns(host.index(), netns),
                    // Nobody shares these.
                    _ => Around::Host(host.index()),
                }
            }
        }
    }

    /// The same user by the last name of its host.
    fn lasting(&self, owner: Owner) -> Owner {
        Owner {
            host: self.identity.last(owner.host),
            ..owner
        }
    }

    /// The one name of an address for `owner`: what root calls it, and what that user does.
    fn heard(&self, around: Around, address: Address, owner: Owner) -> Option<&Arc<str>> {
        let by = owner.user.map(|_| self.lasting(owner));
        let own = by.and_then(|_| self.names.get(&(around, address, by)));
        match (self.names.get(&(around, address, None)), own) {
            (Some(one), Some(other)) if one != other => None,
            (Some(Heard::Only(name)), _) | (None, Some(Heard::Only(name))) => Some(name),
            (Some(Heard::Several), _) | (None, Some(Heard::Several) | None) => None,
        }
    }

    fn host(&self, host: HostId) -> &str {
        self.identity.label(host)
    }

    /// The part of a remote that the namespaces of one group mean, without parts.
    fn parted(&self, map: &Map, id: NodeId, group: u32) -> DraftNode {
        let known = map.nodes.get(id);
        let address = known.key.address().map(|it| it.to_string());
        let host = match known.key {
            Key::Remote(Realm::Host(host) | Realm::Netns(host, _), ..) => self.host(host),
            _ => "",
        };
        let name = address.unwrap_or_default();
        DraftNode {
            id: format!("{name}@{host}~{group}").into(),
            name: name.into(),
            kind: NodeKind::Remote,
            parts: Vec::new(),
            members: None,
            place: Place::Unknown,
        }
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
                let user = workload.and_then(|it| it.uid);
                let user = user.map_or_else(String::new, |uid| format!("@{uid}"));
                let id = match namespace {
                    Some(namespace) => format!("{host}/{kind}{user}/{namespace}/{name}"),
                    None => format!("{host}/{kind}{user}/{name}"),
                };
                (id, name.to_string())
            }
            Key::Process(host, pid, _) => {
                let comm = known.processes.latest().map_or("", |it| &*it.comm);
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
            Key::Network(host, network) => (
                format!("{network}@{}", self.host(*host)),
                network.to_string(),
            ),
            Key::Programs(host, user) => {
                let name = match user {
                    Some(uid) => format!("other-programs@{uid}"),
                    None => "other-programs".to_owned(),
                };
                (format!("{}/{name}", self.host(*host)), name)
            }
            Key::Others(host) => (format!("others@{}", self.host(*host)), "others".to_owned()),
            Key::Remote(realm, address, dialled) => {
                let around = self.around(*realm, *address);
                // By what was dialled alone: behind it may be what serves other names.
                let heard = |around, address| self.heard(around, address, known.owner);
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
                        format!("{address}@{}", self.host(HostId::at(host))),
                        address.to_string(),
                    ),
                    (None, Around::Netns(host, netns)) => (
                        format!("{address}@{}~{netns}", self.host(HostId::at(host))),
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
