//! Edges of a view: who depends on whom, with counters and outages.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::model::{Reason, Timestamp, omit::is_zero};

/// What one client has with one port of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Index of the client in [`View::nodes`](super::View::nodes).
    pub client: usize,
    /// Index of the server in [`View::nodes`](super::View::nodes).
    pub server: usize,
    /// The server's port; none if several were merged, or if the direction is unknown: then `client` is the watched
    /// end. See [`History::ports`].
    pub port: Option<u16>,
    /// State of its attempts.
    pub state: EdgeState,
    /// Connections that were open when coverage began.
    pub live_at_start: u64,
    /// Connections that were opened since.
    pub established: u64,
    /// Connections that ended.
    pub terminated: u64,
    /// Attempts that failed, by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// Payload bytes from client to server; of open connections, as of the last report.
    pub sent_bytes: u64,
    /// Payload bytes from server to client, likewise.
    pub received_bytes: u64,
    /// Time to connect at the client's end, nanoseconds.
    pub connect_ns: Option<Quantiles>,
    /// Smoothed round-trip times at the end of connections, nanoseconds.
    pub rtt_ns: Option<Quantiles>,
    /// Retransmitted segments, of both ends as far as they are watched.
    pub retransmits: u64,
    /// The first event about it.
    pub first_seen: Timestamp,
    /// The last one.
    pub last_seen: Timestamp,
    /// When a connection was last established.
    pub last_success: Option<Timestamp>,
    /// When an attempt last failed.
    pub last_failure: Option<LastFailure>,
    /// The first failure after the last success; none if the last attempt succeeded.
    pub failing_since: Option<Timestamp>,
    /// Attempts that failed since then.
    pub failing_times: u64,
    /// Outages, and how connections ended.
    pub history: History,
    /// How the edge is known.
    pub evidence: EdgeEvidence,
}

impl Edge {
    /// All connections, whenever they were opened.
    pub fn connections(&self) -> u64 {
        self.live_at_start.saturating_add(self.established)
    }

    /// Connections that are open: `live_at_start + established - terminated`.
    pub fn live(&self) -> u64 {
        self.connections().saturating_sub(self.terminated)
    }

    /// Failed attempts, for all reasons.
    pub fn failures(&self) -> u64 {
        self.failed
            .values()
            .fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// Whether the direction is known: a port is known, or ports that never served were merged.
    pub fn is_directed(&self) -> bool {
        self.port.is_some() || self.history.ports > 0
    }

    /// Its outages, the oldest first: stretches without a success that are longer than chance explains. A balancer
    /// with a dead backend and a lossy network cause short stretches on any edge.
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

    /// How many failures in a row chance explains, given how often a success was followed by a failure. 1 if
    /// there are too few stretches to estimate that.
    fn usual_stretch(&self) -> u64 {
        let stretches = self.history.stretches.len() as u64 + self.history.cut;
        if stretches <= FEW_STRETCHES {
            return 1;
        }
        let chance = stretches as f64 / (self.established.saturating_add(1)) as f64;
        let chance = chance.clamp(1e-9, 0.95);
        // A stretch of this length occurs by chance on one of twenty such edges.
        let usual = 1.0 + (stretches as f64 / 0.05).ln() / -chance.ln();
        usual.ceil() as u64
    }
}

/// Minimum of attempts of an outage that is over.
const LEAST_ATTEMPTS: u64 = 2;
/// Minimum length of one, from the first failure to the next success, nanoseconds.
const LEAST_NS: u64 = 1_000_000_000;
/// Up to this many stretches, chance is not estimated.
const FEW_STRETCHES: u64 = 3;

/// Attempts and connections of an edge over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Stretches in which attempts failed and none succeeded, the oldest first; bounded. See
    /// [`Edge::outages`].
    pub stretches: Vec<Outage>,
    /// Stretches that did not fit: the shortest ones with the fewest attempts.
    pub cut: u64,
    /// How connections ended.
    pub ended: Endings,
    /// Closed connections that carried nothing either way, such as those of health checks.
    pub without_payload: u64,
    /// How many ports that never served the edge stands for; 0 if it is of one port, or if the direction is
    /// unknown. A lower bound, if some did not fit.
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

/// How connections ended, as far as that was reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endings {
    /// In order, or as one of the two processes wanted it.
    #[serde(skip_serializing_if = "is_zero")]
    pub orderly: u64,
    /// The client's was reset by the other end, or on the way.
    #[serde(skip_serializing_if = "is_zero")]
    pub reset: u64,
    /// The client reset it: its own choice.
    #[serde(skip_serializing_if = "is_zero")]
    pub aborted: u64,
    /// The other end stopped answering.
    #[serde(skip_serializing_if = "is_zero")]
    pub timed_out: u64,
    /// By another error.
    #[serde(skip_serializing_if = "is_zero")]
    pub other: u64,
}

impl Endings {
    /// Those that neither process ended.
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

/// Summary of a distribution. Quantiles are exact to one part in sixteen.
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
    /// Connections and attempts that only the client's end reported.
    pub client_only: u64,
    /// Connections among them that received nothing: perhaps no process accepted them.
    #[serde(skip_serializing_if = "is_zero")]
    pub unanswered: u64,
    /// Those of them whose opening was not seen at both ends: the other end may be reported too, and cannot be
    /// matched.
    #[serde(skip_serializing_if = "is_zero")]
    pub unmatched: u64,
    /// Those that only the server's end reported.
    pub server_only: u64,
    /// Those that both ends reported.
    pub both: u64,
    /// Those of them that were matched by address alone: the handshake was not seen at both ends, or was changed on
    /// the way.
    #[serde(skip_serializing_if = "is_zero")]
    pub by_addresses: u64,
    /// How the client's process was found: values of the stream's `evidence.process`, with counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub client_process: BTreeMap<&'static str, u64>,
    /// The same for the server's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub server_process: BTreeMap<&'static str, u64>,
    /// How translated addresses are known, with counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub address: BTreeMap<&'static str, u64>,
    /// Owners of the listening sockets that they came in by, if that is not the server: ids of nodes, with counts.
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
