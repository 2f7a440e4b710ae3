//! Edges of a view: who depends on whom, and how that goes.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::model::{Reason, Timestamp, omit::is_zero};

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
