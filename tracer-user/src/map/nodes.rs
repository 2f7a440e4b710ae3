//! Who talks: workloads of hosts that were watched, and remotes, each by a small number.

use std::{collections::VecDeque, sync::Arc};

use foldhash::{HashMap, HashSet};

use super::GroupBy;
use crate::model::{
    Address, AddressClass, Change, Connection, Host, Name, NameSource, Process, Timestamp,
    Workload, WorkloadKind,
};

/// Most nodes; the next remotes are folded. Each takes some hundred bytes.
const MAX_NODES: usize = 32_768;
/// Of a workload's processes, those seen last are kept.
const MAX_PROCESSES: usize = 16;
/// Processes whose node is remembered.
const MAX_REMEMBERED: usize = 8192;
/// Of what happened to a node, the last is kept.
const MAX_CHANGES: usize = 16;
/// Addresses of a workload that are kept.
const MAX_ADDRESSES: usize = 16;
/// Remotes that were folded and are remembered, to count each once.
const MAX_FOLDED: usize = 262_144;

/// Number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

/// Number of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HostId(u32);

impl NodeId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl HostId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What makes two nodes the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// By kind and name; of containers by id, as their name may come later.
    Workload(HostId, WorkloadKind, Arc<str>),
    /// By pid and start.
    Process(HostId, u32, Option<Timestamp>),
    /// All of a host.
    Host(HostId),
    /// All of a namespace of Kubernetes.
    Namespace(Arc<str>),
    /// What runs on a host, and is not known.
    Unknown(HostId),
    /// An address, and what was dialled to reach it.
    Remote(Realm, Address, Dialled),
    /// Remotes beyond those that there is room for.
    Others(HostId),
}

/// What was dialled, as far as the client itself says so: one address may serve several names,
/// and stand behind the addresses of several services.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dialled {
    /// A name.
    Name(Arc<str>),
    /// The address of the remote itself, of which the client has no name, or several.
    Itself,
    /// Likewise another address, in whose place that of the remote was put.
    Address(Realm, Address),
}

/// The names that an address was dialled by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// All used the same.
    Only(Arc<str>),
    /// Some used others.
    Several,
}

/// Where an address means the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Realm {
    /// Everywhere.
    World,
    /// Around a host: others may use the same private addresses.
    Host(HostId),
    /// In one network namespace: its loopback addresses, and those on a link of it.
    Netns(HostId, u32),
}

/// A node, as known so far.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: Key,
    pub(super) workload: Option<Arc<Workload>>,
    /// Those seen last.
    pub(super) processes: VecDeque<Arc<Process>>,
    /// Its own addresses, but for loopback.
    pub(super) addresses: Vec<Address>,
    /// What happened to it last.
    pub(super) changes: VecDeque<Change>,
    pub(super) members: u64,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
}

#[derive(Debug)]
pub(super) struct Nodes {
    group_by: GroupBy,
    hosts: Vec<Arc<Host>>,
    by_host: HashMap<String, HostId>,
    nodes: Vec<Known>,
    by_key: HashMap<Key, NodeId>,
    /// By address of the value, which is kept so that no other takes the address.
    by_process: HashMap<(HostId, usize), (Arc<Process>, NodeId)>,
    folded: HashSet<(HostId, Address)>,
    /// At most as many as nodes.
    heard: HashMap<(Realm, Address), Heard>,
}

impl Nodes {
    pub(super) fn new(group_by: GroupBy) -> Self {
        Self {
            group_by,
            hosts: Vec::new(),
            by_host: HashMap::default(),
            nodes: Vec::new(),
            by_key: HashMap::default(),
            by_process: HashMap::default(),
            folded: HashSet::default(),
            heard: HashMap::default(),
        }
    }

    /// The number of `host`; the name that it has last is the one that is shown.
    pub(super) fn host(&mut self, host: &Arc<Host>) -> HostId {
        if let Some(at) = self.hosts.iter().rposition(|it| Arc::ptr_eq(it, host)) {
            return HostId(at as u32);
        }
        if let Some(id) = self.by_host.get(&host.id) {
            self.hosts[id.index()] = Arc::clone(host);
            return *id;
        }
        let id = HostId(self.hosts.len() as u32);
        self.hosts.push(Arc::clone(host));
        self.by_host.insert(host.id.clone(), id);
        id
    }

    pub(super) fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    pub(super) fn get(&self, id: NodeId) -> &Known {
        &self.nodes[id.index()]
    }

    /// The numbers of all nodes, in the order in which they came up.
    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The node that `process` belongs to, or the one for what is not known.
    pub(super) fn local(
        &mut self,
        host: HostId,
        process: Option<&Arc<Process>>,
        time: Timestamp,
    ) -> NodeId {
        let Some(process) = process else {
            return self.node(Key::Unknown(host), time);
        };
        let place = (host, Arc::as_ptr(process).addr());
        if let Some((_, node)) = self.by_process.get(&place) {
            let node = *node;
            self.see(node, time);
            return node;
        }
        let node = self.node(self.key_of(host, process), time);
        let known = &mut self.nodes[node.index()];
        if let Some(workload) = &process.workload {
            // The newest is the most complete: names of containers come later.
            known.workload = Some(Arc::clone(workload));
        }
        let same = |it: &Arc<Process>| (it.pid, it.started) == (process.pid, process.started);
        known.processes.retain(|it| !same(it));
        if known.processes.len() >= MAX_PROCESSES {
            known.processes.pop_front();
        }
        known.processes.push_back(Arc::clone(process));
        if self.by_process.len() >= MAX_REMEMBERED {
            self.by_process.clear();
        }
        self.by_process.insert(place, (Arc::clone(process), node));
        node
    }

    fn key_of(&self, host: HostId, process: &Process) -> Key {
        let workload = process.workload.as_deref();
        match self.group_by {
            GroupBy::Process => Key::Process(host, process.pid, process.started),
            GroupBy::Host => Key::Host(host),
            GroupBy::Namespace => workload
                .and_then(|it| it.k8s.as_ref()?.namespace.clone())
                .map_or(Key::Host(host), Key::Namespace),
            GroupBy::Workload => match workload {
                Some(workload) => {
                    let name = match (&workload.kind, &workload.container) {
                        (WorkloadKind::Container, Some(container)) => &container.id,
                        _ => &workload.name,
                    };
                    Key::Workload(host, workload.kind, Arc::clone(name))
                }
                None => {
                    // A process may call itself anything.
                    let file = process
                        .exe
                        .as_deref()
                        .and_then(|exe| exe.rsplit('/').next());
                    let name = file.map_or_else(|| Arc::clone(&process.comm), Into::into);
                    Key::Workload(host, WorkloadKind::Executable, name)
                }
            },
        }
    }

    /// The node of the other end of `connection`, beyond what was watched.
    pub(super) fn remote(
        &mut self,
        host: HostId,
        connection: &Connection,
        time: Timestamp,
    ) -> NodeId {
        let place = |address: Address| (Realm::of(host, connection.netns, address), address);
        let address = Address::from(connection.remote());
        let (realm, _) = place(address);
        let dialled = match Address::from(connection.dialled()) {
            same if same == address => (realm, address),
            other => place(other),
        };
        let name = connection.name.as_deref();
        if let Some(name) = name {
            self.hear(dialled, name);
        }
        // What others asked for is not what this client meant: see `heard`.
        let own = name.filter(|it| it.source != NameSource::DnsOther);
        let dialled = match own.and_then(Name::only) {
            Some(name) => Dialled::Name(Arc::clone(name)),
            None if dialled.1 == address => Dialled::Itself,
            None => Dialled::Address(dialled.0, dialled.1),
        };
        let key = Key::Remote(realm, address, dialled);
        if self.nodes.len() >= MAX_NODES && !self.by_key.contains_key(&key) {
            let others = self.node(Key::Others(host), time);
            if self.folded.len() < MAX_FOLDED && self.folded.insert((host, address)) {
                self.nodes[others.index()].members += 1;
            }
            return others;
        }
        self.node(key, time)
    }

    /// `address` was dialled by this name.
    fn hear(&mut self, place: (Realm, Address), name: &Name) {
        let new = match name.only() {
            Some(name) => Heard::Only(Arc::clone(name)),
            None => Heard::Several,
        };
        let has_room = self.heard.len() < MAX_NODES;
        match self.heard.get_mut(&place) {
            Some(heard) if *heard == new => {}
            Some(heard) => *heard = Heard::Several,
            None if has_room => {
                self.heard.insert(place, new);
            }
            None => {}
        }
    }

    /// The names that addresses were dialled by.
    pub(super) fn heard(&self) -> impl Iterator<Item = (Realm, Address, &Heard)> {
        self.heard
            .iter()
            .map(|((realm, address), heard)| (*realm, *address, heard))
    }

    fn node(&mut self, key: Key, time: Timestamp) -> NodeId {
        if let Some(id) = self.by_key.get(&key) {
            let id = *id;
            self.see(id, time);
            return id;
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Known {
            key: key.clone(),
            workload: None,
            processes: VecDeque::new(),
            addresses: Vec::new(),
            changes: VecDeque::new(),
            members: 0,
            first_seen: time,
            last_seen: time,
        });
        self.by_key.insert(key, id);
        id
    }

    /// Something of it happened at `time`.
    pub(super) fn see(&mut self, id: NodeId, time: Timestamp) {
        let known = &mut self.nodes[id.index()];
        known.first_seen = known.first_seen.min(time);
        known.last_seen = known.last_seen.max(time);
    }

    /// The address of a remote.
    pub(super) fn address(&self, id: NodeId) -> Option<Address> {
        self.get(id).key.address()
    }

    pub(super) fn is_unknown(&self, id: NodeId) -> bool {
        matches!(self.get(id).key, Key::Unknown(_))
    }

    /// The workload uses that address itself.
    pub(super) fn uses(&mut self, id: NodeId, address: Address) {
        let addresses = &mut self.nodes[id.index()].addresses;
        if !addresses.contains(&address)
            && addresses.len() < MAX_ADDRESSES
            && !address.ip().is_loopback()
            && !address.ip().is_unspecified()
        {
            addresses.push(address);
        }
    }

    pub(super) fn change(&mut self, id: NodeId, change: Change) {
        let changes = &mut self.nodes[id.index()].changes;
        if changes.len() >= MAX_CHANGES {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    /// The node of a process, if there is one already.
    pub(super) fn known(&self, host: HostId, process: &Process) -> Option<NodeId> {
        self.by_key.get(&self.key_of(host, process)).copied()
    }
}

impl Realm {
    fn of(host: HostId, netns: u32, address: Address) -> Self {
        match AddressClass::of(address.ip()) {
            // An index of an interface is of one namespace, whatever the address.
            _ if address.scope().is_some() => Self::Netns(host, netns),
            AddressClass::Loopback => Self::Netns(host, netns),
            AddressClass::Private
            | AddressClass::LinkLocal
            | AddressClass::Shared
            | AddressClass::Reserved => Self::Host(host),
            AddressClass::Metadata | AddressClass::Multicast | AddressClass::Public => Self::World,
        }
    }
}

impl Key {
    /// The host of what runs on one.
    pub(super) fn host(&self) -> Option<HostId> {
        match self {
            Self::Workload(host, ..)
            | Self::Process(host, ..)
            | Self::Host(host)
            | Self::Unknown(host) => Some(*host),
            Self::Namespace(_) | Self::Remote(..) | Self::Others(_) => None,
        }
    }

    /// The address of a remote.
    pub(super) fn address(&self) -> Option<Address> {
        match self {
            Self::Remote(_, address, _) => Some(*address),
            _ => None,
        }
    }

    /// Whether what is known of one workload is true of all of it.
    pub(super) fn shows_workload(&self) -> bool {
        matches!(self, Self::Workload(..) | Self::Process(..))
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(..) | Self::Others(_))
    }
}
