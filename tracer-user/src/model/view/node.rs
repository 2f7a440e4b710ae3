//! Nodes of a view: workloads and remotes.

use std::sync::Arc;

use serde::Serialize;

use crate::model::{Address, ExitStatus, Host, Process, Timestamp, Workload, omit::is_zero};

/// A workload or a remote, at one end of edges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Unique in the map, and the same in every map of the same workload: host, kind and name of a workload; the
    /// name or address of a remote.
    pub id: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// What an operator calls it.
    pub name: Arc<str>,
    /// The host it runs on; none for remotes, and for a node that spans hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<Host>>,
    /// What is known of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Arc<Workload>>,
    /// Addresses of a remote, or own addresses of a workload without loopback; in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Its processes, in order of pid; bounded. Those that listen are kept first, then one of each program, those
    /// with connections, and the latest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<Arc<Process>>,
    /// Where it listens now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListeningAt>,
    /// Changes since the start of coverage, oldest first; bounded: repeated changes are evicted first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How many nodes were merged into this one; none if it is a single node. Their connections are counted
    /// exactly; of remotes that were merged on arrival, this is a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// What did not fit into these lists.
    #[serde(skip_serializing_if = "Cut::is_nothing")]
    pub cut: Cut,
    /// The first event about it.
    pub first_seen: Timestamp,
    /// The last one.
    pub last_seen: Timestamp,
}

/// What of a node did not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Sockets that listen at other addresses.
    #[serde(skip_serializing_if = "is_zero")]
    pub listeners: u64,
    /// Other processes; one that comes again may count twice.
    #[serde(skip_serializing_if = "is_zero")]
    pub processes: u64,
    /// Programs that only such processes ran; likewise.
    #[serde(skip_serializing_if = "is_zero")]
    pub programs: u64,
    /// Other addresses; a lower bound.
    #[serde(skip_serializing_if = "is_zero")]
    pub addresses: u64,
    /// Other changes.
    #[serde(skip_serializing_if = "is_zero")]
    pub changes: u64,
}

impl Cut {
    /// Each count with the name of its field.
    pub fn parts(&self) -> [(&'static str, u64); 5] {
        let Self {
            listeners,
            processes,
            programs,
            addresses,
            changes,
        } = *self;
        [
            ("listeners", listeners),
            ("processes", processes),
            ("programs", programs),
            ("addresses", addresses),
            ("changes", changes),
        ]
    }

    /// Whether there was room for all.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Node {
    /// The word for what it is, as exactly as that is known: `systemd`, `container`, `pod`, `executable`,
    /// `workload` or `remote`.
    pub fn kind_word(&self) -> &'static str {
        match (self.kind, &self.workload) {
            (NodeKind::Workload, Some(workload)) => workload.kind.name(),
            (kind, _) => kind.name(),
        }
    }

    /// The name without its place, if the place was appended to distinguish nodes of one name on a host: `app.py`
    /// of `app.py (/srv/shop)`.
    pub fn common_name(&self) -> Option<&str> {
        let name = &*self.workload.as_ref()?.name;
        let is_longer = self.name.strip_prefix(name)?.starts_with(" (");
        is_longer.then_some(name)
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// It runs on a watched host.
    Workload,
    /// An address or a name that is on no watched host.
    Remote,
}

impl NodeKind {
    /// The word in the map.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Remote => "remote",
        }
    }
}

/// An address that a workload listens at, and its use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ListeningAt {
    /// Unspecified means all addresses of the namespace.
    pub address: Address,
    /// Its port; 0 if the kernel had not chosen one yet.
    pub port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Since when; none if it listened before coverage began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Connections that came in by it, whoever served them.
    pub connections: u64,
    /// Those that are open.
    pub live: u64,
    /// When one was last there; none if never during coverage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Other nodes that served its connections, most first; bounded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<ServedBy>,
    /// Clients that dialled this address and port and were led elsewhere by a translation, most first; bounded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub led_past: Vec<LedPast>,
}

impl ListeningAt {
    /// A socket without use.
    pub fn new(address: Address, port: u16, netns: u32) -> Self {
        Self {
            address,
            port,
            netns,
            since: None,
            connections: 0,
            live: 0,
            last_used: None,
            served_by: Vec::new(),
            led_past: Vec::new(),
        }
    }
}

/// A node that served connections which came in by the listening socket of another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServedBy {
    /// The id of the node.
    pub server: Arc<str>,
    /// How many.
    pub connections: u64,
    /// When one was last there.
    pub last_used: Timestamp,
}

/// Connections that were led past a listening socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LedPast {
    /// The id of the node that dialled.
    pub client: Arc<str>,
    /// The dialled address. If its owner is unknown, this is the only socket of the client's host that listens on
    /// that port at any address.
    pub dialled: Address,
    /// The id of the node that they came to.
    pub server: Arc<str>,
    /// At which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many.
    pub connections: u64,
    /// When one was last there.
    pub last_used: Timestamp,
}
/// A change of a node, which may explain a change of its edges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happened {
    /// A process of it runs another program.
    Exec {
        /// The process.
        pid: u32,
        /// What it runs, as a path, or by its name.
        exe: Arc<str>,
    },
    /// A process of it ended.
    Exit {
        /// The process.
        pid: u32,
        /// How, if that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<ExitStatus>,
    },
    /// It listens at another address.
    Listen {
        /// Which.
        address: Address,
        /// Its port.
        port: u16,
    },
    /// It stopped listening there.
    Unlisten {
        /// Where.
        address: Address,
        /// Its port.
        port: u16,
    },
}
