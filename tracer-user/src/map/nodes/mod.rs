//! Who talks: workloads of hosts that were watched, and remotes, each by a small number.

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
    Address, ArcId, ByIdentity, Change, Connection, Happened, Host, Name, NameSource, Process,
    Shares, Timestamp, Workload, WorkloadKind, is_of_system,
};

pub(super) use key::{By, Dialled, Heard, Key, Realm};

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
/// Processes whose node is remembered, and what these may take, bytes.
const MAX_REMEMBERED: usize = 8192;
const MAX_REMEMBERED_BYTES: usize = 16 << 20;
/// Own addresses of all workloads that are kept, and that are remembered to count each once.
const MAX_ALL_ADDRESSES: usize = 262_144;
/// Nodes that were folded and are remembered, to count each once.
const MAX_FOLDED: usize = 262_144;

/// What was folded as there was no room for it.
#[derive(Hash)]
enum Folded<'a> {
    Remote(Address),
    Workload(&'a Key),
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

/// A process, its node, and its place among those of the node.
pub(super) type Latest = Option<(ArcId, NodeId, Place)>;

#[derive(Debug)]
pub(super) struct Nodes {
    group_by: GroupBy,
    hosts: Hosts,
    nodes: Vec<Known>,
    by_key: HashMap<Key, NodeId>,
    /// By host, what has processes that listen or have connections, as far as is known.
    active: HashMap<HostId, Vec<NodeId>>,
    /// The node of a process, and its place there. The host is part of it, as two hosts of one recording may
    /// share a value.
    by_process: ByIdentity<Process, (HostId, NodeId, Place)>,
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
            hosts: Hosts::default(),
            nodes: Vec::new(),
            by_key: HashMap::default(),
            active: HashMap::default(),
            by_process: ByIdentity::default(),
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

    /// Whether several hosts are taken for the last one, as there was no room.
    pub(super) fn has_surplus_host(&self) -> bool {
        self.hosts.has_surplus()
    }

    pub(super) fn hosts(&self) -> &[Arc<Host>] {
        self.hosts.all()
    }

    pub(super) fn get(&self, id: NodeId) -> &Known {
        &self.nodes[id.index()]
    }

    /// The numbers of all nodes, in the order in which they came up.
    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::at)
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
        let identity = ArcId::of(process);
        if let Some((of, node, place)) = self.by_process.get(process)
            && *of == host
        {
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
        self.latest = Some((identity, node, place));
        self.by_process
            .insert(Arc::clone(process), (host, node, place));
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
        let (identity, node, place) = self.latest?;
        let is_it = process.is_some_and(|it| ArcId::of(it) == identity);
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
