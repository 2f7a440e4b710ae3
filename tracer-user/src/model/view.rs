//! Views: what a map looks like at one moment. Plain and complete, so that formats, the terminal
//! view and the questions need nothing else.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{Address, Blind, ExitStatus, Host, Ledger, Lost, Process, Reason, Timestamp, Workload};

/// An immutable snapshot of a map. Nodes and edges are in a fixed order: nodes by `id`, edges by
/// client, server and port. Every node is an end of an edge, or listens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The time of the newest event in it; none if there was none.
    pub generated: Option<Timestamp>,
    /// What was watched, a host each, by id of the host.
    pub coverage: Vec<HostCoverage>,
    /// Who talks.
    pub nodes: Vec<Node>,
    /// Who depends on whom.
    pub edges: Vec<Edge>,
    /// What came in where nobody was known to listen.
    pub strays: Vec<Stray>,
}

/// One end of edges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Names it within the map, the same in every map of the same workload: host, kind and name
    /// of a workload; the name or address of a remote.
    pub id: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// What an operator calls it.
    pub name: Arc<str>,
    /// The host it runs on; none for remotes, and for what runs on several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<Host>>,
    /// What is known of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Arc<Workload>>,
    /// Addresses of a remote, and those that a workload used itself, but for loopback; in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Its processes, in order of pid; bounded: those that listen stay, one of each program, those that
    /// have connections, and those that were seen last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<Arc<Process>>,
    /// Where it listens now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListeningAt>,
    /// What happened to it, oldest first; bounded: what came again and again makes room. What it was
    /// found doing when watching began is not in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How many nodes were folded into this one; none if it stands for itself. Their connections
    /// are counted exactly; of remotes that were folded as they came, this is the least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// What of it is not in these lists, as there was no room.
    #[serde(skip_serializing_if = "Cut::is_nothing")]
    pub cut: Cut,
    /// The first event about it.
    pub first_seen: Timestamp,
    /// The last one.
    pub last_seen: Timestamp,
}

/// What of a node there was no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Sockets that listen at other addresses.
    #[serde(skip_serializing_if = "is_zero")]
    pub listeners: u64,
    /// Other processes; one that came again may count twice.
    #[serde(skip_serializing_if = "is_zero")]
    pub processes: u64,
    /// Programs that only such processes ran; likewise.
    #[serde(skip_serializing_if = "is_zero")]
    pub programs: u64,
    /// Other addresses; the least number.
    #[serde(skip_serializing_if = "is_zero")]
    pub addresses: u64,
    /// What else happened.
    #[serde(skip_serializing_if = "is_zero")]
    pub changes: u64,
}

impl Cut {
    /// How much, by the words of the fields.
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
    /// The name that it has in common with others on its host, where more of it is shown to tell them
    /// apart: `app.py` of `app.py (/srv/shop)`.
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
    /// Something that runs on a host that was watched.
    Workload,
    /// An address or a name beyond what was watched.
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

/// An address that a workload listens at, and of what use that is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ListeningAt {
    /// Unspecified means all addresses of the namespace.
    pub address: Address,
    /// Its port; 0 if the kernel had not chosen one yet.
    pub port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Since when; none if it was there before it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Connections that came in by it, whoever served them.
    pub connections: u64,
    /// Those that are open.
    pub live: u64,
    /// When one was last there; none if never while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Who else served what came in by it, most first; bounded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<ServedBy>,
    /// What dialled this address and port and was led elsewhere by a translation, most first; bounded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub led_past: Vec<LedPast>,
}

impl ListeningAt {
    /// One that nobody used.
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

/// Who served connections that came in by somebody else's listening socket.
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
    /// Which address. Where nobody was seen to have it, this is the only listening socket of the client's host
    /// for that port at any address.
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

/// Connections that came in where nobody was known to listen: a transparent proxy takes what was meant for
/// others, a listener was closed before it was watched, or was never told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// The id of the host.
    pub host: String,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// How many.
    pub connections: u64,
}

/// Something that happened to a node: it may be why its edges are not what they were.
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
    /// It listens there no more.
    Unlisten {
        /// Where.
        address: Address,
        /// Its port.
        port: u16,
    },
}

/// What one client has with one port of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Index of the client in [`View::nodes`].
    pub client: usize,
    /// Index of the server in [`View::nodes`].
    pub server: usize,
    /// The server's port; none if several were folded, or if who opened these connections is not
    /// known: `client` is then the end that was watched. See [`History::ports`].
    pub port: Option<u16>,
    /// How its attempts go.
    pub state: EdgeState,
    /// Connections that were open when watching began.
    pub live_at_start: u64,
    /// Connections that were opened since.
    pub established: u64,
    /// Connections that ended.
    pub terminated: u64,
    /// Attempts that failed, by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// Payload bytes from client to server, of open connections as far as that was told.
    pub sent_bytes: u64,
    /// Payload bytes from server to client, likewise.
    pub received_bytes: u64,
    /// How long it took to connect, nanoseconds, as the client saw it.
    pub connect_ns: Option<Quantiles>,
    /// Smoothed round-trip times at the end of connections, nanoseconds.
    pub rtt_ns: Option<Quantiles>,
    /// Segments sent again, by both ends as far as both were seen.
    pub retransmits: u64,
    /// The first event about it.
    pub first_seen: Timestamp,
    /// The last one.
    pub last_seen: Timestamp,
    /// When a connection was last established.
    pub last_success: Option<Timestamp>,
    /// When an attempt last failed.
    pub last_failure: Option<LastFailure>,
    /// Since when all attempts fail: the first one that did after the last success. None if the last
    /// one succeeded.
    pub failing_since: Option<Timestamp>,
    /// Attempts that failed since then.
    pub failing_times: u64,
    /// What became of its attempts and connections over time.
    pub history: History,
    /// How all this is known.
    pub evidence: EdgeEvidence,
}

impl Edge {
    /// Connections that were seen, whenever they were opened.
    pub fn connections(&self) -> u64 {
        self.live_at_start.saturating_add(self.established)
    }

    /// Connections that are open: `live_at_start + established - terminated`.
    pub fn live(&self) -> u64 {
        self.connections().saturating_sub(self.terminated)
    }

    /// Attempts that failed, for whatever reason.
    pub fn failures(&self) -> u64 {
        self.failed
            .values()
            .fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// Whether it is known who dials: a port is known, or ports that never served were folded.
    pub fn is_directed(&self) -> bool {
        self.port.is_some() || self.history.ports > 0
    }

    /// Its outages, the oldest first: stretches in which no attempt succeeded, as far as they are more
    /// than what a balancer with a dead backend or a lossy network makes of any edge.
    pub fn outages(&self) -> impl Iterator<Item = &Outage> {
        let usual = self.usual_stretch();
        let stretches = self.history.stretches.iter();
        stretches.filter(move |it| {
            it.attempts >= usual
                && it.end.is_none_or(|end| {
                    let ns = end.as_ns().saturating_sub(it.begin.as_ns());
                    it.attempts >= LEAST_ATTEMPTS && ns >= LEAST_NS
                })
        })
    }

    /// How many failures in a row are no more than chance makes of attempts that fail one by one, by
    /// how often a success was followed by a failure. 1 where there were too few to tell.
    fn usual_stretch(&self) -> u64 {
        let stretches = self.history.stretches.len() as u64 + self.history.cut;
        if stretches <= FEW_STRETCHES {
            return 1;
        }
        let chance = stretches as f64 / (self.established.saturating_add(1)) as f64;
        let chance = chance.clamp(1e-9, 0.95);
        // So many that one stretch in twenty such edges is as long.
        let usual = 1.0 + (stretches as f64 / 0.05).ln() / -chance.ln();
        usual.ceil() as u64
    }
}

/// Attempts that an outage has at least, once it is over.
const LEAST_ATTEMPTS: u64 = 2;
/// How long it is at least, from the first failure to the next success.
const LEAST_NS: u64 = 1_000_000_000;
/// Of so few stretches each is one by itself.
const FEW_STRETCHES: u64 = 3;

/// What became of the attempts and connections of an edge over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Stretches in which attempts failed and none succeeded, the oldest first; bounded. See
    /// [`Edge::outages`].
    pub stretches: Vec<Outage>,
    /// Those that there was no room for: the shortest ones with the fewest attempts.
    pub cut: u64,
    /// How connections ended.
    pub ended: Endings,
    /// Connections that are over and carried nothing either way, as those of health checks.
    pub without_payload: u64,
    /// The edge stands for so many ports that never served, of which it is known who dialled them;
    /// 0 if it is of one port, or if that is not known. At least so many, where there was no room.
    pub ports: u64,
}

/// A stretch in which attempts failed and none succeeded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outage {
    /// The last success before; none if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// The first failure after that.
    pub begin: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// The first success after that; none if there was none so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Attempts that failed.
    pub attempts: u64,
    /// The same by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// The kernel's symbolic error of the last one that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<&'static str>,
}

/// How connections ended, as far as their ends told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endings {
    /// In order, or by whoever had enough of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub orderly: u64,
    /// The client's was reset by the other end, or on the way.
    #[serde(skip_serializing_if = "is_zero")]
    pub reset: u64,
    /// The client reset it: its own choice.
    #[serde(skip_serializing_if = "is_zero")]
    pub aborted: u64,
    /// Nobody answered any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub timed_out: u64,
    /// By another error.
    #[serde(skip_serializing_if = "is_zero")]
    pub other: u64,
}

impl Endings {
    /// Those that broke in use, which neither process wanted.
    pub fn broken(&self) -> u64 {
        let sum = self.reset.saturating_add(self.timed_out);
        sum.saturating_add(self.other)
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        let wanted = self.orderly.saturating_add(self.aborted);
        wanted.saturating_add(self.broken())
    }
}

/// How the attempts of an edge go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeState {
    /// None failed.
    Ok,
    /// The last one failed.
    Failed,
    /// Some failed, and the last one did not.
    Mixed,
}

impl EdgeState {
    /// The word in the map.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Mixed => "mixed",
        }
    }
}

/// How an attempt last failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The kernel's symbolic error, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<&'static str>,
    /// From the start of the attempt to its failure, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// SYNs that left, where nobody answered any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered_syns: Option<u32>,
}

/// A distribution in short. The quantiles are exact to one part in sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
    /// Half of them are at most this.
    pub p50: u64,
    /// 95 % of them are.
    pub p95: u64,
    /// 99 % of them are.
    pub p99: u64,
}

/// How an edge is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EdgeEvidence {
    /// Which ends reported it, taken over all its connections.
    pub ends: SeenBy,
    /// Connections and attempts that only the client's end told of.
    pub client_only: u64,
    /// Connections among them that brought nothing back: nobody may have accepted them.
    #[serde(skip_serializing_if = "is_zero")]
    pub unanswered: u64,
    /// Those of them of which nobody saw both ends begin: the other end may be told of as well, and nobody knows
    /// which it is.
    #[serde(skip_serializing_if = "is_zero")]
    pub unmatched: u64,
    /// Those that only the server's end told of.
    pub server_only: u64,
    /// Those that both ends told of.
    pub both: u64,
    /// Those of them whose ends are known to belong together by their addresses alone: nobody saw the
    /// handshake at both, or something between them changed it.
    #[serde(skip_serializing_if = "is_zero")]
    pub by_addresses: u64,
    /// How the client's process was found: word of the stream's `evidence.process`, and how often.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub client_process: BTreeMap<&'static str, u64>,
    /// The same for the server's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub server_process: BTreeMap<&'static str, u64>,
    /// How translated addresses are known, and of how many connections.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub address: BTreeMap<&'static str, u64>,
    /// By whose listening sockets they came in, where that is not the server: ids of nodes, and how many.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<Arc<str>, u64>,
}

/// Which ends of an edge were watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// Only the client's.
    #[default]
    Client,
    /// Only the server's.
    Server,
    /// Both.
    Both,
}

impl SeenBy {
    /// The word in the map.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Both => "both",
        }
    }
}

/// What was watched of a host, and what was lost meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostCoverage {
    /// The host.
    pub host: Arc<Host>,
    /// Since when it was watched, of the time asked about.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// The runs of tracer that watched it, in order; none if nobody did then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// When nobody watched, of the time asked about and in between.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Events that were lost, by kind and cause.
    pub lost: Ledger<Lost>,
    /// How often the kernel skipped a program: see [`Stop::missed`](super::Stop::missed).
    pub missed: u64,
    /// How often the times of events go back by more than a second, and how far: the clock was set, or
    /// what was recorded is not in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_back: Option<StepsBack>,
    /// Connections that may be counted twice: one of their ends was told of so late that there was no
    /// memory of the other one any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub recounted: u64,
    /// Connections that the map had no room to follow: those that ended are counted, those that
    /// are open are missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub untracked: u64,
    /// Processes that were told of as another workload than they may be of: see
    /// [`Stop::unattributed`](super::Stop::unattributed).
    #[serde(skip_serializing_if = "is_zero")]
    pub unattributed: u64,
    /// Names that it had before this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names_before: Vec<String>,
    /// Names of other hosts with the same id, which were told of at the same time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<String>,
    /// How many of them are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub twins_cut: u64,
    /// Two runs were told of at once under this id and name: of two hosts, or of one that was watched
    /// twice.
    #[serde(skip_serializing_if = "is_false")]
    pub taken_for_one: bool,
    /// What else the map had no room for.
    #[serde(skip_serializing_if = "HostCut::is_nothing")]
    pub cut: HostCut,
    /// What cannot be seen there, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<Blind>,
}

impl HostCoverage {
    /// Whether anybody watched it, of the time asked about.
    pub fn is_watched(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Since when and until when any of `hosts` was watched.
    pub fn span(hosts: &[Self]) -> Option<(Timestamp, Timestamp)> {
        let watched = || hosts.iter().filter(|it| it.is_watched());
        let from = watched().map(|it| it.from).min()?;
        let to = watched().map(|it| it.to).max()?;
        Some((from, to))
    }

    /// Since when and until when all of `hosts` were, if they were for any time at all.
    pub fn common(hosts: &[Self]) -> Option<(Timestamp, Timestamp)> {
        let from = hosts.iter().map(|it| it.from).max()?;
        let to = hosts.iter().map(|it| it.to).min()?;
        (hosts.iter().all(Self::is_watched) && from < to).then_some((from, to))
    }
}

/// What a map had no room for, of what a host told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostCut {
    /// Nodes that were folded as they came; the least number.
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: u64,
    /// Events whose edge is counted with others: its port, or its remote, is not told apart.
    #[serde(skip_serializing_if = "is_zero")]
    pub edges: u64,
    /// How often it could not be kept who listens or serves somewhere.
    #[serde(skip_serializing_if = "is_zero")]
    pub servers: u64,
    /// How often a name could not be kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub names: u64,
    /// How often it could not be kept that two hosts share a network.
    #[serde(skip_serializing_if = "is_zero")]
    pub networks: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
fn is_false(it: &bool) -> bool {
    !*it
}

impl HostCut {
    /// Whether there was room for all.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            edges: self.edges.saturating_add(other.edges),
            servers: self.servers.saturating_add(other.servers),
            names: self.names.saturating_add(other.names),
            networks: self.networks.saturating_add(other.networks),
        }
    }

    /// How much, by the words of the fields.
    pub fn parts(&self) -> [(&'static str, u64); 5] {
        let Self {
            nodes,
            edges,
            servers,
            names,
            networks,
        } = *self;
        [
            ("nodes", nodes),
            ("edges", edges),
            ("servers", servers),
            ("names", names),
            ("networks", networks),
        ]
    }
}

/// A run of tracer, or what there is of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Since when it watched; without its `start`, the first event of it that is here.
    pub from: Timestamp,
    /// Until when; without its `stop`, the last event of it that is here.
    pub to: Timestamp,
    /// Whether its `start` was told: else nobody knows since when it watched, nor what it could not
    /// see.
    pub started: bool,
    /// Whether its `stop` was told, or what is later than the time asked about: else nobody knows
    /// what it lost, nor what came later.
    pub stopped: bool,
    /// Events that it told and that are not here, by the account of its `stop`: the recording was
    /// filtered, or cut within.
    #[serde(skip_serializing_if = "is_zero")]
    pub absent: u64,
}

/// That the times of events go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StepsBack {
    /// How often.
    pub times: u64,
    /// The farthest, nanoseconds.
    pub most_ns: u64,
}

/// A time in which nobody watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl HostCoverage {
    /// Takes in what was watched of the same host after that, when it had another name.
    pub fn renamed(&mut self, later: Self) {
        let name = std::mem::replace(&mut self.host, Arc::clone(&later.host))
            .name
            .clone();
        self.names_before.push(name);
        // None of them is the new one: each name of a host is told once.
        self.names_before.extend(later.names_before);
        if later.from > self.to {
            self.gaps.push(Gap {
                from: self.to,
                to: later.from,
            });
        }
        self.gaps.extend(later.gaps);
        self.runs.extend(later.runs);
        self.from = self.from.min(later.from);
        self.to = self.to.max(later.to);
        self.lost.add(&later.lost);
        self.missed = self.missed.saturating_add(later.missed);
        self.recounted = self.recounted.saturating_add(later.recounted);
        self.untracked = self.untracked.saturating_add(later.untracked);
        self.unattributed = self.unattributed.saturating_add(later.unattributed);
        if let Some(later) = later.steps_back {
            let steps = self.steps_back.get_or_insert_default();
            steps.times = steps.times.saturating_add(later.times);
            steps.most_ns = steps.most_ns.max(later.most_ns);
        }
        self.taken_for_one |= later.taken_for_one;
        self.cut = self.cut.and(later.cut);
        self.blind = later.blind;
    }
}

impl View {
    /// The nodes and edges that are kept, by their indices; an edge keeps its ends.
    pub fn part(&self, keeps_node: &[bool], keeps_edge: &[bool]) -> Self {
        let mut places = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if keeps_node[at] {
                places[at] = nodes.len();
                nodes.push(node.clone());
            }
        }
        let edges = self.edges.iter().zip(keeps_edge);
        Self {
            generated: self.generated,
            coverage: self.coverage.clone(),
            strays: self.strays.clone(),
            nodes,
            edges: edges
                .filter(|(_, keeps)| **keeps)
                .map(|(edge, _)| {
                    let mut edge = edge.clone();
                    (edge.client, edge.server) = (places[edge.client], places[edge.server]);
                    edge
                })
                .collect(),
        }
    }
}

impl Serialize for View {
    /// `{v, generated, coverage, nodes, edges, strays}`; edges name their nodes by id.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("View", 6)?;
        out.serialize_field("v", &1)?;
        if let Some(generated) = &self.generated {
            out.serialize_field("generated", generated)?;
        }
        out.serialize_field("coverage", &self.coverage)?;
        out.serialize_field("nodes", &self.nodes)?;
        out.serialize_field("edges", &Edges(self))?;
        if !self.strays.is_empty() {
            out.serialize_field("strays", &self.strays)?;
        }
        out.end()
    }
}

struct Edges<'a>(&'a View);

impl Serialize for Edges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.edges.iter().map(|edge| Named(self.0, edge)))
    }
}

/// An edge with the ids of its nodes in place of their indices.
struct Named<'a>(&'a View, &'a Edge);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, edge) = self;
        let mut out = serializer.serialize_struct("Edge", 27)?;
        out.serialize_field("client", &view.nodes[edge.client].id)?;
        out.serialize_field("server", &view.nodes[edge.server].id)?;
        if let Some(port) = &edge.port {
            out.serialize_field("port", port)?;
        }
        out.serialize_field("state", &edge.state)?;
        out.serialize_field("live_at_start", &edge.live_at_start)?;
        out.serialize_field("established", &edge.established)?;
        out.serialize_field("terminated", &edge.terminated)?;
        out.serialize_field("live", &edge.live())?;
        out.serialize_field("failed", &edge.failed)?;
        out.serialize_field("sent_bytes", &edge.sent_bytes)?;
        out.serialize_field("received_bytes", &edge.received_bytes)?;
        if let Some(connect_ns) = &edge.connect_ns {
            out.serialize_field("connect_ns", connect_ns)?;
        }
        if let Some(rtt_ns) = &edge.rtt_ns {
            out.serialize_field("rtt_ns", rtt_ns)?;
        }
        out.serialize_field("retransmits", &edge.retransmits)?;
        out.serialize_field("first_seen", &edge.first_seen)?;
        out.serialize_field("last_seen", &edge.last_seen)?;
        if let Some(last_success) = &edge.last_success {
            out.serialize_field("last_success", last_success)?;
        }
        if let Some(last_failure) = &edge.last_failure {
            out.serialize_field("last_failure", last_failure)?;
        }
        if let Some(failing_since) = &edge.failing_since {
            out.serialize_field("failing_since", failing_since)?;
            out.serialize_field("failing_times", &edge.failing_times)?;
        }
        let outages: Vec<&Outage> = edge.outages().collect();
        if !outages.is_empty() {
            out.serialize_field("outages", &outages)?;
        }
        let History {
            stretches: _,
            cut,
            ended,
            without_payload,
            ports,
        } = &edge.history;
        for (name, count) in [
            ("outages_cut", cut),
            ("without_payload", without_payload),
            ("ports", ports),
        ] {
            if *count > 0 {
                out.serialize_field(name, count)?;
            }
        }
        if ended.all() > 0 {
            out.serialize_field("ended", ended)?;
        }
        out.serialize_field("evidence", &edge.evidence)?;
        out.end()
    }
}
