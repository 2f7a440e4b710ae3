//! Who talks: workloads of hosts that were watched, and remotes, each by a small number.

use std::{hash::BuildHasher as _, sync::Arc};

use foldhash::{HashMap, HashSet};
use ipnet::IpNet;

use super::{
    GroupBy,
    kept::{Addresses, Changes, Place, Processes, Standing},
    remotes::{Charged, Remotes, network},
    room::{Amount, Bounds, Owner, Room},
};
use crate::model::{
    Address, AddressClass, Change, Connection, Happened, Host, Name, NameSource, Process, Shares,
    Timestamp, Workload, WorkloadKind, is_of_system, program,
};

/// Nodes that there is room for. Each takes some hundred bytes.
pub(super) const MAX_NODES: usize = 32_768;
/// Room for nodes of what runs on hosts, with the texts that their programs chose; the next are one node of
/// whoever runs them.
pub(super) const WORKLOADS: Bounds = Bounds {
    all: Amount {
        entries: 2 * MAX_NODES,
        bytes: 128 << 20,
    },
    users: Amount {
        entries: 49_152,
        bytes: 64 << 20,
    },
    user: Amount {
        entries: 4096,
        bytes: 8 << 20,
    },
};
/// Room for their own addresses, beyond which these are counted.
const ADDRESSES: Bounds = Bounds {
    all: Amount {
        entries: MAX_ALL_ADDRESSES,
        bytes: usize::MAX,
    },
    users: Amount {
        entries: 196_608,
        bytes: usize::MAX,
    },
    user: Amount {
        entries: 65_536,
        bytes: usize::MAX,
    },
};
/// Of so many hosts it is faster to look at each than to look one up.
const FEW_HOSTS: usize = 16;
/// Most hosts, each as often as it has names.
const MAX_HOSTS: usize = 16_384;
/// Processes whose node is remembered, and what these may take, bytes.
const MAX_REMEMBERED: usize = 8192;
const MAX_REMEMBERED_BYTES: usize = 16 << 20;
/// Own addresses of all workloads that are kept, and that are remembered to count each once.
const MAX_ALL_ADDRESSES: usize = 262_144;
/// Nodes that were folded and are remembered, to count each once.
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

#[cfg(test)]
impl NodeId {
    /// The one with this index.
    pub(super) fn at(index: usize) -> Self {
        Self(index as u32)
    }
}

impl HostId {
    /// The one with this index.
    pub(super) const fn at(index: usize) -> Self {
        Self(index as u32)
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What makes two nodes the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// By kind and name, of containers by id, as their name may come later, with the user who owns its place if
    /// that is not root; and by where it is, if the name
    /// alone does not tell it apart: see [`place_of`].
    Workload(HostId, WorkloadKind, Arc<str>, Option<Arc<str>>),
    /// By pid and start.
    Process(HostId, u32, Option<Timestamp>),
    /// All of a host.
    Host(HostId),
    /// All of a namespace of Kubernetes.
    Namespace(Arc<str>),
    /// What runs on a host, and is not known.
    Unknown(HostId),
    /// Programs of a host beyond those that there is room for: of one user, or of all who have nothing.
    Programs(HostId, Option<u32>),
    /// An address, and what was dialled to reach it.
    Remote(Realm, Address, Dialled),
    /// Remotes of one network, of which there are too many to tell them apart.
    Network(HostId, IpNet),
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

/// Who dialled by a name, if that is a user: it is the name of what this user dials, and of nothing that others
/// do, as whoever runs a name server gives any address any name. What root dialled by a name, or what has it
/// from a file, has it for all.
pub(super) type By = Option<Owner>;

/// What was folded as there was no room for it.
#[derive(Hash)]
enum Folded<'a> {
    Remote(Address),
    Workload(&'a Key),
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
    /// Who pays for it; of a remote, who alone has to do with it, else root.
    pub(super) owner: Owner,
    pub(super) workload: Option<Arc<Workload>>,
    pub(super) processes: Processes,
    /// Its own addresses, but for loopback.
    pub(super) addresses: Addresses,
    pub(super) changes: Changes,
    pub(super) members: u64,
    /// It is among those that have processes which listen or have connections.
    is_active: bool,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
}

/// A process by address of its value, its node, and its place among those of the node.
pub(super) type Latest = Option<(usize, NodeId, Place)>;

#[derive(Debug)]
pub(super) struct Nodes {
    group_by: GroupBy,
    hosts: Vec<Arc<Host>>,
    /// By id and name: whether two names of one id are two hosts shows later.
    by_host: HashMap<Arc<Host>, HostId>,
    /// The host that was asked for last.
    latest_host: usize,
    surplus_host: bool,
    nodes: Vec<Known>,
    by_key: HashMap<Key, NodeId>,
    /// By host, what has processes that listen or have connections, as far as is known.
    active: HashMap<HostId, Vec<NodeId>>,
    /// By address of the value, which is kept so that no other takes the address.
    by_process: HashMap<(HostId, usize), (Arc<Process>, NodeId, Place)>,
    /// The process that was asked for last.
    latest: Latest,
    remotes: Remotes,
    /// What the processes in `by_process` take, bytes, and how often these were forgotten.
    remembered: usize,
    forgotten: u64,
    /// What nodes of workloads fill, and their addresses.
    room: Room,
    addresses: Room,
    /// By hash: what was folded is only counted.
    folded: HashSet<u64>,
    /// Those that there was no room for.
    cut_addresses: HashSet<(NodeId, Address)>,
    /// At most as many as nodes, and who pays for these.
    heard: HashMap<(Realm, Address, By), Heard>,
    heard_by: Shares<Charged>,
    /// How many nodes were folded as they came, and how often a name had no room there.
    cut_nodes: HashMap<HostId, u64>,
    cut_names: HashMap<HostId, u64>,
    /// How many nodes were looked at as runs ended.
    #[cfg(test)]
    pub(super) looked_at: usize,
}

impl Nodes {
    pub(super) fn new(group_by: GroupBy) -> Self {
        Self {
            group_by,
            hosts: Vec::new(),
            by_host: HashMap::default(),
            latest_host: 0,
            surplus_host: false,
            nodes: Vec::new(),
            by_key: HashMap::default(),
            active: HashMap::default(),
            by_process: HashMap::default(),
            latest: None,
            remotes: Remotes::default(),
            remembered: 0,
            forgotten: 0,
            room: Room::new(WORKLOADS),
            addresses: Room::new(ADDRESSES),
            folded: HashSet::default(),
            cut_addresses: HashSet::default(),
            heard: HashMap::default(),
            heard_by: Shares::new(MAX_NODES),
            cut_nodes: HashMap::default(),
            cut_names: HashMap::default(),
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// The number of `host`, one for each id and name. Hosts beyond those that there is room for are
    /// taken for one.
    pub(super) fn host(&mut self, host: &Arc<Host>) -> HostId {
        let is_it = |it: &Arc<Host>| Arc::ptr_eq(it, host);
        if self.hosts.get(self.latest_host).is_some_and(is_it) {
            return HostId(self.latest_host as u32);
        }
        let few = self.hosts.iter().take(FEW_HOSTS).position(is_it);
        if let Some(at) = few {
            self.latest_host = at;
            return HostId(at as u32);
        }
        let id = match self.by_host.get(host) {
            Some(id) => *id,
            None if self.hosts.len() < MAX_HOSTS => {
                let id = HostId(self.hosts.len() as u32);
                self.hosts.push(Arc::clone(host));
                self.by_host.insert(Arc::clone(host), id);
                id
            }
            None => HostId(self.hosts.len() as u32 - 1),
        };
        if *self.hosts[id.index()] == **host {
            self.hosts[id.index()] = Arc::clone(host);
        } else {
            self.surplus_host = true;
        }
        self.latest_host = id.index();
        id
    }

    /// Whether several hosts are taken for the last one, as there was no room.
    pub(super) fn has_surplus_host(&self) -> bool {
        self.surplus_host
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
        let at = Arc::as_ptr(process).addr();
        if let Some((_, node, place)) = self.by_process.get(&(host, at)) {
            let (node, place) = (*node, *place);
            self.see(node, time);
            self.nodes[node.index()].processes.see(place, process, time);
            self.latest = Some((at, node, place));
            return node;
        }
        let (node, is_new) = self.workload(host, process, time);
        let Self { nodes, room, .. } = self;
        let known = &mut nodes[node.index()];
        if let Some(workload) = &process.workload {
            // The newest is the most complete: names of containers come later.
            let old = known.workload.as_deref().map_or(0, Workload::bytes);
            let [old, new] = [old, workload.bytes()].map(|bytes| (known.owner, bytes));
            if is_new || room.swap(Some(old), new) {
                known.workload = Some(Arc::clone(workload));
            }
        }
        let processes = &mut known.processes;
        let swap = |old, new| is_new || room.swap(old, new);
        let owner = Owner::of(host, process);
        let place = processes.add(process, owner, time, swap);
        let bytes = process.bytes();
        if self.by_process.len() >= MAX_REMEMBERED || self.remembered + bytes > MAX_REMEMBERED_BYTES
        {
            self.by_process.clear();
            self.remembered = 0;
            self.forgotten += 1;
        }
        self.remembered += bytes;
        self.latest = Some((at, node, place));
        let known = (Arc::clone(process), node, place);
        self.by_process.insert((host, at), known);
        node
    }

    /// The node of `process`, and whether it is new; where there is no room for it, that of the others of its
    /// user.
    fn workload(&mut self, host: HostId, process: &Process, time: Timestamp) -> (NodeId, bool) {
        let key = self.key_of(host, process);
        if let Some(id) = self.by_key.get(&key) {
            let id = *id;
            self.see(id, time);
            return (id, false);
        }
        let owner = Owner::of(host, process);
        let workload = process.workload.as_deref().map_or(0, Workload::bytes);
        let bytes = size_of::<Known>() + key.bytes() + workload + process.bytes();
        if self.room.take(owner, bytes) {
            let id = self.node(key, time);
            self.nodes[id.index()].owner = owner;
            return (id, true);
        }
        // Of those who have nothing there may be very many.
        let user = owner.user.filter(|_| self.room.has(owner));
        let others = self.fold(
            Key::Programs(host, user),
            &Folded::Workload(&key),
            host,
            time,
        );
        self.nodes[others.index()].owner = owner;
        (others, false)
    }

    /// How often it was forgotten which processes there are: nobody else keeps those from before either.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The process that was asked for last, for [`again`](Self::again).
    pub(super) fn asked(&self) -> Latest {
        self.latest
    }

    /// The same `process` is asked for again.
    pub(super) fn again(&mut self, asked: Latest, process: Option<&Arc<Process>>, time: Timestamp) {
        self.latest = asked;
        if let (Some(process), Some((processes, place))) = (process, self.latest(process)) {
            processes.see(place, process, time);
        }
    }

    /// What is known of the process that was asked for last, if it is this one.
    fn latest(&mut self, process: Option<&Arc<Process>>) -> Option<(&mut Processes, Place)> {
        let (at, node, place) = self.latest?;
        let is_it = process.is_some_and(|it| Arc::as_ptr(it).addr() == at);
        is_it.then(|| (&mut self.nodes[node.index()].processes, place))
    }

    /// `process`, which was asked for last, has one more connection, or one less.
    pub(super) fn hold(&mut self, process: Option<&Arc<Process>>, is_end: bool) {
        if let (Some(process), Some((processes, place))) = (process, self.latest(process)) {
            processes.hold(place, process, is_end);
            if let Some((_, node, _)) = self.latest {
                self.is_active(node);
            }
        }
    }

    /// A process of it listens or has a connection.
    fn is_active(&mut self, id: NodeId) {
        let known = &mut self.nodes[id.index()];
        if let Some(host) = known.key.host().filter(|_| !known.is_active) {
            known.is_active = true;
            self.active.entry(host).or_default().push(id);
        }
    }

    /// `process`, which was asked for last, is at least of that standing.
    pub(super) fn stand(&mut self, process: Option<&Arc<Process>>, standing: Standing) {
        if let (Some(process), Some((processes, place))) = (process, self.latest(process)) {
            processes.stand(place, process, standing);
        }
    }

    /// `key`, where there is no room for what is `folded`, which is counted once.
    fn fold(&mut self, key: Key, folded: &Folded<'_>, host: HostId, time: Timestamp) -> NodeId {
        let node = self.node(key, time);
        let members = &mut self.nodes[node.index()].members;
        let more = if self.folded.len() < MAX_FOLDED {
            let hash = self.folded.hasher().hash_one((host, folded));
            u64::from(self.folded.insert(hash))
        } else {
            // The least number.
            u64::from(*members == 0)
        };
        *members += more;
        *self.cut_nodes.entry(host).or_default() += more;
        node
    }

    fn key_of(&self, host: HostId, process: &Process) -> Key {
        let workload = process.workload.as_deref();
        match self.group_by {
            GroupBy::Process => Key::Process(host, process.pid, process.started),
            GroupBy::Host => Key::Host(host),
            GroupBy::Namespace => workload
                .and_then(|it| Some(of_user(it.k8s.as_ref()?.namespace.as_ref()?, it.uid)))
                .map_or(Key::Host(host), Key::Namespace),
            GroupBy::Workload => match workload {
                Some(workload) => {
                    let name = match (&workload.kind, &workload.container) {
                        (WorkloadKind::Container, Some(container)) => &container.id,
                        _ => &workload.name,
                    };
                    let place = place_of(workload, process);
                    Key::Workload(host, workload.kind, of_user(name, workload.uid), place)
                }
                None => {
                    // A process may call itself anything.
                    let file = process
                        .exe
                        .as_deref()
                        .and_then(|exe| exe.rsplit('/').next());
                    let name = file.map_or_else(|| Arc::clone(&process.comm), Into::into);
                    Key::Workload(host, WorkloadKind::Executable, name, None)
                }
            },
        }
    }

    /// The node of the other end of `connection` of `owner`, beyond what was watched; `of` is who pays for it, and
    /// whether the attempt failed. What is asked for in a container names nothing that others dial: whoever is root
    /// there runs a name server as it likes.
    pub(super) fn remote(
        &mut self,
        (of, fails): (Charged, bool),
        (owner, is_contained): (Owner, bool),
        connection: &Connection,
        time: Timestamp,
    ) -> NodeId {
        let host = of.0;
        let place = |address: Address| (Realm::of(host, connection.netns, address), address);
        let address = Address::from(connection.remote());
        let (realm, _) = place(address);
        let dialled = match Address::from(connection.dialled()) {
            same if same == address => (realm, address),
            other => place(other),
        };
        let name = connection.name.as_deref();
        let is_asked = |name: &Name| matches!(name.source, NameSource::Dns | NameSource::DnsOther);
        if let Some(name) = name
            && !(is_contained && is_asked(name))
        {
            let is_asked = is_asked(name);
            let by =
                Some(owner).filter(|it| is_asked && it.user.is_some_and(|uid| !is_of_system(uid)));
            self.hear(of, (dialled.0, dialled.1, by), name);
        }
        // What others asked for is not what this client meant: see `heard`.
        let own = name.filter(|it| it.source != NameSource::DnsOther);
        let dialled = match own.and_then(Name::only) {
            Some(name) => Dialled::Name(Arc::clone(name)),
            None if dialled.1 == address => Dialled::Itself,
            None => Dialled::Address(dialled.0, dialled.1),
        };
        let key = Key::Remote(realm, address, dialled);
        if let Some(id) = self.by_key.get(&key) {
            let id = *id;
            self.see(id, time);
            let known = &mut self.nodes[id.index()];
            if known.owner != owner {
                known.owner = Owner::root(of.0);
            }
            if !fails {
                self.remotes.has_connection(id);
            }
            return id;
        }
        if self.remotes.take(of, fails) {
            let id = self.node(key, time);
            self.nodes[id.index()].owner = owner;
            if fails {
                self.remotes.is_stranger(id, of);
            }
            return id;
        }
        let key = Key::Network(host, network(address));
        let has_room = self.by_key.contains_key(&key) || self.remotes.take_network(of);
        let key = match has_room {
            true => key,
            false => Key::Others(host),
        };
        self.fold(key, &Folded::Remote(address), host, time)
    }

    /// What stands for remotes of `host` that are not told apart.
    pub(super) fn others(&mut self, host: HostId, time: Timestamp) -> NodeId {
        self.node(Key::Others(host), time)
    }

    /// How many nodes of `host` were folded as they came, and how often a name of it had no room.
    pub(super) fn cut(&self, host: HostId) -> (u64, u64) {
        let count = |of: &HashMap<HostId, u64>| of.get(&host).copied().unwrap_or(0);
        (count(&self.cut_nodes), count(&self.cut_names))
    }

    /// An address was dialled by this name, for which `of` pays.
    fn hear(&mut self, of: Charged, place: (Realm, Address, By), name: &Name) {
        let new = match name.only() {
            Some(name) => Heard::Only(Arc::clone(name)),
            None => Heard::Several,
        };
        match self.heard.get_mut(&place) {
            Some(heard) if *heard == new => {}
            Some(heard) => *heard = Heard::Several,
            None if self.heard_by.take(of) => {
                self.heard.insert(place, new);
            }
            None => *self.cut_names.entry(of.0).or_default() += 1,
        }
    }

    /// The names that addresses were dialled by, and who did so.
    pub(super) fn heard(&self) -> impl Iterator<Item = (Realm, Address, By, &Heard)> {
        self.heard
            .iter()
            .map(|((realm, address, by), heard)| (*realm, *address, *by, heard))
    }

    fn node(&mut self, key: Key, time: Timestamp) -> NodeId {
        if let Some(id) = self.by_key.get(&key) {
            let id = *id;
            self.see(id, time);
            return id;
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Known {
            owner: Owner::root(key.host().unwrap_or(HostId(0))),
            key: key.clone(),
            workload: None,
            processes: Processes::default(),
            addresses: Addresses::default(),
            changes: Changes::default(),
            members: 0,
            is_active: false,
            first_seen: time,
            last_seen: time,
        });
        self.by_key.insert(key, id);
        id
    }

    /// Something of it happened at `time`.
    pub(super) fn see(&mut self, id: NodeId, time: Timestamp) {
        self.see_from(id, [time; 2]);
    }

    /// It was there all the time from `first` to `last`.
    pub(super) fn see_from(&mut self, id: NodeId, [first, last]: [Timestamp; 2]) {
        let known = &mut self.nodes[id.index()];
        known.first_seen = known.first_seen.min(first);
        known.last_seen = known.last_seen.max(last);
    }

    /// The address of a remote.
    pub(super) fn address(&self, id: NodeId) -> Option<Address> {
        self.get(id).key.address()
    }

    /// Whether it was dialled by a name.
    pub(super) fn has_name(&self, id: NodeId) -> bool {
        matches!(self.get(id).key, Key::Remote(_, _, Dialled::Name(_)))
    }

    pub(super) fn is_unknown(&self, id: NodeId) -> bool {
        matches!(self.get(id).key, Key::Unknown(_))
    }

    /// The workload uses that address itself, for which `owner` pays.
    pub(super) fn uses(&mut self, id: NodeId, owner: Owner, address: Address) {
        let Known { addresses, .. } = &mut self.nodes[id.index()];
        let Err(at) = addresses.find(address) else {
            return;
        };
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            return;
        }
        if addresses.has_room() && self.addresses.take(owner, 0) {
            addresses.insert(at, address);
        } else if self.cut_addresses.len() < MAX_ALL_ADDRESSES {
            addresses.cut += u64::from(self.cut_addresses.insert((id, address)));
        } else {
            // The least number.
            addresses.cut = addresses.cut.max(1);
        }
    }

    /// Something happened to the node, and to `process` of it.
    pub(super) fn change(&mut self, id: NodeId, process: Option<&Process>, change: Change) {
        let known = &mut self.nodes[id.index()];
        let is_major = match (&change.what, process) {
            (Happened::Listen { .. } | Happened::Unlisten { .. }, _) => true,
            (Happened::Exec { .. }, Some(process)) => known.processes.has_listened(process),
            (Happened::Exit { .. }, Some(process)) => known.processes.end(process),
            (_, None) => false,
        };
        let host = known.owner.host;
        let owner = process.map_or(known.owner, |it| Owner::of(host, it));
        let swap = |old, new| self.room.swap(old, new);
        known.changes.add(change, is_major, owner, swap);
    }

    /// The node of a process, if there is one already.
    pub(super) fn known(&self, host: HostId, process: &Process) -> Option<NodeId> {
        self.by_key.get(&self.key_of(host, process)).copied()
    }

    /// `process` of that node listens with one more socket, or with one less.
    pub(super) fn listen(&mut self, id: NodeId, process: Option<&Process>, listens: bool) {
        if let Some(process) = process {
            self.nodes[id.index()].processes.listen(process, listens);
            self.is_active(id);
        }
    }

    /// Who listens on `host` is told anew: another run of the tracer begins.
    pub(super) fn forget_listeners(&mut self, host: HostId) {
        let active = self.active.remove(&host).unwrap_or_default();
        for id in &active {
            let known = &mut self.nodes[id.index()];
            known.processes.forget();
            known.is_active = false;
        }
        #[cfg(test)]
        {
            self.looked_at += active.len();
        }
    }
}

/// `name`, if root chose it; else one that no other's is, whatever that user calls it.
fn of_user(name: &Arc<str>, uid: Option<u32>) -> Arc<str> {
    match uid {
        Some(uid) => format!("{name}@{uid}").into(),
        None => Arc::clone(name),
    }
}

/// What tells workloads of one name on one host apart: the namespace of a pod, what is around a container
/// that runs in another one, where an interpreter has its program from. None if there is nothing to tell, or
/// it is not known.
fn place_of(workload: &Workload, process: &Process) -> Option<Arc<str>> {
    let container = workload.container.as_ref();
    let around = container.and_then(|it| it.around.as_ref()).map(|it| &it.id);
    let namespace = workload.k8s.as_ref().and_then(|it| it.namespace.as_ref());
    match (workload.kind, namespace, around) {
        (WorkloadKind::Executable, ..) => program::place(process).map(|it| it.text.into()),
        (WorkloadKind::Pod, Some(namespace), Some(around)) => {
            Some(format!("{namespace} in {around}").into())
        }
        (WorkloadKind::Pod, Some(namespace), None) => Some(Arc::clone(namespace)),
        (WorkloadKind::Systemd, ..) | (_, _, None) => None,
        (_, _, Some(around)) => Some(Arc::clone(around)),
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
    /// What it takes: each node has it in two places, which share its texts.
    fn bytes(&self) -> usize {
        let text = match self {
            Self::Workload(_, _, name, place) => {
                name.len() + place.as_ref().map_or(0, |it| it.len())
            }
            Self::Namespace(name) => name.len(),
            _ => 0,
        };
        text + 2 * size_of::<Self>()
    }

    /// The host of what runs on one.
    pub(super) fn host(&self) -> Option<HostId> {
        match self {
            Self::Workload(host, ..)
            | Self::Process(host, ..)
            | Self::Host(host)
            | Self::Unknown(host)
            | Self::Programs(host, _) => Some(*host),
            Self::Namespace(_) | Self::Remote(..) | Self::Network(..) | Self::Others(_) => None,
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
        matches!(self, Self::Remote(..) | Self::Network(..) | Self::Others(_))
    }
}
