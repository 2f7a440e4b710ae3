//! Nodes: workloads of watched hosts, and remotes, each with a small number.

mod hosts;
mod key;

use std::{hash::BuildHasher as _, sync::Arc};

use foldhash::{HashMap, HashSet};

use self::{
    hosts::Hosts,
    key::{of_user, place_of},
};
use super::{
    GroupBy,
    kept::{Addresses, Changes, Place, Processes, Standing},
    numbers::{HostId, NodeId},
    remotes::{Charged, Remotes, network},
    room::{Amount, Bounds, Owner, Room},
};
use crate::model::{
    Address, ArcId, Change, Connection, Happened, Host, Name, NameSource, Process, Shares,
    Timestamp, Workload, WorkloadKind, is_of_system,
};

pub(super) use key::{By, Dialled, Heard, Key, Realm};

/// Maximum of nodes. Each takes some hundred bytes.
pub(super) const MAX_NODES: usize = 32_768;
/// Quotas for nodes of workloads, with the texts that their programs chose. Beyond them a user's programs share one
/// node.
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
/// Quotas for their own addresses; further ones are only counted.
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
/// Capacity of the cache from processes to nodes, in entries and in bytes.
const MAX_REMEMBERED: usize = 8192;
const MAX_REMEMBERED_BYTES: usize = 16 << 20;
/// Maximum of own addresses of all workloads, and of those that are remembered to count each overflow once.
const MAX_ALL_ADDRESSES: usize = 262_144;
/// Maximum of merged nodes that are remembered to count each once.
const MAX_FOLDED: usize = 262_144;

/// What was merged into an overflow node.
#[derive(Hash)]
enum Folded<'a> {
    Remote(Address),
    Workload(&'a Key),
}

/// A node, as far as it is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: Key,
    /// Who is charged for it; of a remote the only user of it, else root.
    pub(super) owner: Owner,
    pub(super) workload: Option<Arc<Workload>>,
    pub(super) processes: Processes,
    /// Its own addresses, but for loopback.
    pub(super) addresses: Addresses,
    pub(super) changes: Changes,
    pub(super) members: u64,
    /// It is in `Nodes::active`.
    is_active: bool,
    pub(super) first_seen: Timestamp,
    pub(super) last_seen: Timestamp,
}

/// A process, its node, and its place among those of the node.
pub(super) type Latest = Option<(ArcId, NodeId, Place)>;

#[derive(Debug)]
pub(super) struct Nodes {
    group_by: GroupBy,
    hosts: Hosts,
    nodes: Vec<Known>,
    by_key: HashMap<Key, NodeId>,
    /// By host, nodes with processes that listen or have connections.
    active: HashMap<HostId, Vec<NodeId>>,
    /// Cache from processes to their node and their place in it. An entry is valid for its host alone, as two
    /// hosts of one recording may share an `Arc`.
    by_process: HashMap<(HostId, ArcId), (Arc<Process>, NodeId, Place)>,
    /// The process of the last look-up.
    latest: Latest,
    remotes: Remotes,
    /// Size of the processes in `by_process`, bytes, and how often it was cleared.
    remembered: usize,
    forgotten: u64,
    /// Use of the quotas of workloads and of addresses.
    room: Room,
    addresses: Room,
    /// Hashes of what was merged, to count it.
    folded: HashSet<u64>,
    /// Addresses beyond the quotas.
    cut_addresses: HashSet<(NodeId, Address)>,
    /// Names of addresses, at most [`MAX_NODES`], and who is charged for them.
    heard: HashMap<(Realm, Address, By), Heard>,
    heard_by: Shares<Charged>,
    /// By host, how many nodes were merged on arrival, and how many names did not fit.
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
            hosts: Hosts::default(),
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

    /// The number of `host`: see [`Hosts::number`].
    pub(super) fn host(&mut self, host: &Arc<Host>) -> HostId {
        self.hosts.number(host)
    }

    /// Whether several hosts share the last number, as there was no room.
    pub(super) fn has_surplus_host(&self) -> bool {
        self.hosts.has_surplus()
    }

    pub(super) fn hosts(&self) -> &[Arc<Host>] {
        self.hosts.all()
    }

    pub(super) fn get(&self, id: NodeId) -> &Known {
        &self.nodes[id.index()]
    }

    /// The numbers of all nodes, in order of their first event.
    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::at)
    }

    /// The node of `process`; the one for unknown processes if there is none.
    pub(super) fn local(
        &mut self,
        host: HostId,
        process: Option<&Arc<Process>>,
        time: Timestamp,
    ) -> NodeId {
        let Some(process) = process else {
            return self.node(Key::Unknown(host), time);
        };
        let identity = ArcId::of(process);
        if let Some((_, node, place)) = self.by_process.get(&(host, identity)) {
            let (node, place) = (*node, *place);
            self.see(node, time);
            self.nodes[node.index()].processes.see(place, process, time);
            self.latest = Some((identity, node, place));
            return node;
        }
        let (node, is_new) = self.workload(host, process, time);
        let Self { nodes, room, .. } = self;
        let known = &mut nodes[node.index()];
        if let Some(workload) = &process.workload {
            // The newest value is the most complete: names of containers come later.
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
        self.latest = Some((identity, node, place));
        let known = (Arc::clone(process), node, place);
        self.by_process.insert((host, identity), known);
        node
    }

    /// The node of `process`, and whether it is new; the overflow node of its user if there is no room.
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
        // Users without an entry share one node: there may be very many.
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

    /// How often the cache of processes was cleared. Other caches of processes must be cleared with it.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The process of the last look-up, for [`again`](Self::again).
    pub(super) fn asked(&self) -> Latest {
        self.latest
    }

    /// Repeats the look-up of `process` that gave `asked`.
    pub(super) fn again(&mut self, asked: Latest, process: Option<&Arc<Process>>, time: Timestamp) {
        self.latest = asked;
        if let (Some(process), Some((processes, place))) = (process, self.latest(process)) {
            processes.see(place, process, time);
        }
    }

    /// The place of `process`, if the last look-up was of it.
    fn latest(&mut self, process: Option<&Arc<Process>>) -> Option<(&mut Processes, Place)> {
        let (identity, node, place) = self.latest?;
        let is_it = process.is_some_and(|it| ArcId::of(it) == identity);
        is_it.then(|| (&mut self.nodes[node.index()].processes, place))
    }

    /// Counts a connection of `process`, which must be that of the last look-up: one more, or one less.
    pub(super) fn hold(&mut self, process: Option<&Arc<Process>>, is_end: bool) {
        if let (Some(process), Some((processes, place))) = (process, self.latest(process)) {
            processes.hold(place, process, is_end);
            if let Some((_, node, _)) = self.latest {
                self.is_active(node);
            }
        }
    }

    /// Adds the node to `active`.
    fn is_active(&mut self, id: NodeId) {
        let known = &mut self.nodes[id.index()];
        if let Some(host) = known.key.host().filter(|_| !known.is_active) {
            known.is_active = true;
            self.active.entry(host).or_default().push(id);
        }
    }

    /// Raises the standing of `process`, which must be that of the last look-up.
    pub(super) fn stand(&mut self, process: Option<&Arc<Process>>, standing: Standing) {
        if let (Some(process), Some((processes, place))) = (process, self.latest(process)) {
            processes.stand(place, process, standing);
        }
    }

    /// The overflow node `key` for `folded`, which is counted once.
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

    /// The node of the remote end of `connection` of `owner`. `of` is who is charged for it; `fails` says that the
    /// attempt failed. Names that were resolved in a container hold for no one else: its root may run any name server.
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
        // A name that another process resolved is not what this client dialled: see `heard`.
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

    /// The overflow node for remotes of `host`.
    pub(super) fn others(&mut self, host: HostId, time: Timestamp) -> NodeId {
        self.node(Key::Others(host), time)
    }

    /// How many nodes of `host` were merged on arrival, and how many of its names did not fit.
    pub(super) fn cut(&self, host: HostId) -> (u64, u64) {
        let count = |of: &HashMap<HostId, u64>| of.get(&host).copied().unwrap_or(0);
        (count(&self.cut_nodes), count(&self.cut_names))
    }

    /// Notes that an address was dialled by this name; `of` is charged for it.
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

    /// All names that addresses were dialled by.
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
        let id = NodeId::at(self.nodes.len());
        self.nodes.push(Known {
            owner: Owner::root(key.host().unwrap_or(HostId::at(0))),
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

    /// Notes an event of the node at `time`.
    pub(super) fn see(&mut self, id: NodeId, time: Timestamp) {
        self.see_from(id, [time; 2]);
    }

    /// Notes that the node existed from `first` to `last`.
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

    /// Notes an own address of the workload; `owner` is charged for it.
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

    /// Adds a change of the node, of `process` if it is of one.
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

    /// Counts a listening socket of `process`: one more, or one less.
    pub(super) fn listen(&mut self, id: NodeId, process: Option<&Process>, listens: bool) {
        if let Some(process) = process {
            self.nodes[id.index()].processes.listen(process, listens);
            self.is_active(id);
        }
    }

    /// Clears who listens on `host`: a new run reports it again.
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
