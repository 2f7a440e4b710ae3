//! Coverage of a view: which hosts were watched and when, and what was lost or had no room.

use std::sync::Arc;

use serde::Serialize;

use crate::model::{
    Blind, Host, Ledger, Lost, Timestamp,
    omit::{is_false, is_zero},
};

/// When a host was watched, and what was lost meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostCoverage {
    /// The host.
    pub host: Arc<Host>,
    /// Start of coverage, within `--since` and `--until`.
    pub from: Timestamp,
    /// End of coverage.
    pub to: Timestamp,
    /// The runs of tracer that watched it then, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// Intervals without a run, within `--since` and `--until`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Events that were lost, by kind and cause.
    pub lost: Ledger<Lost>,
    /// How often the kernel skipped a program: see [`Stop::missed`](crate::model::Stop::missed).
    pub missed: u64,
    /// How often the times of events go back by more than a second, and how far: the clock was set, or a
    /// recording is out of order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps_back: Option<StepsBack>,
    /// Connections that may be counted twice: one endpoint was reported after the other one was forgotten.
    #[serde(skip_serializing_if = "is_zero")]
    pub recounted: u64,
    /// Connections that the map had no room to track: closed ones are counted, open ones are missing.
    #[serde(skip_serializing_if = "is_zero")]
    pub untracked: u64,
    /// Processes that may have been attributed to another workload than theirs: see
    /// [`Stop::unattributed`](crate::model::Stop::unattributed).
    #[serde(skip_serializing_if = "is_zero")]
    pub unattributed: u64,
    /// Former names of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names_before: Vec<String>,
    /// Names of other hosts with the same id that were watched at the same time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<String>,
    /// How many of them are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub twins_cut: u64,
    /// Two runs at the same time have this id and name: two hosts, or one host that was watched twice.
    #[serde(skip_serializing_if = "is_false")]
    pub taken_for_one: bool,
    /// Further overflows of the map.
    #[serde(skip_serializing_if = "HostCut::is_nothing")]
    pub cut: HostCut,
    /// Blind spots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blind: Vec<Blind>,
}

impl HostCoverage {
    /// Whether a run watched it, within `--since` and `--until`.
    pub fn is_watched(&self) -> bool {
        !self.runs.is_empty()
    }

    /// The interval in which any of `hosts` was watched.
    pub fn span(hosts: &[Self]) -> Option<(Timestamp, Timestamp)> {
        let watched = || hosts.iter().filter(|it| it.is_watched());
        let from = watched().map(|it| it.from).min()?;
        let to = watched().map(|it| it.to).max()?;
        Some((from, to))
    }

    /// The interval in which all of `hosts` were watched; none if there is none.
    pub fn common(hosts: &[Self]) -> Option<(Timestamp, Timestamp)> {
        let from = hosts.iter().map(|it| it.from).max()?;
        let to = hosts.iter().map(|it| it.to).min()?;
        (hosts.iter().all(Self::is_watched) && from < to).then_some((from, to))
    }
}

/// Overflows of a map, of what a host reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostCut {
    /// Nodes that were merged on arrival; a lower bound.
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: u64,
    /// Events whose edge was merged with others: over ports, or over remotes.
    #[serde(skip_serializing_if = "is_zero")]
    pub edges: u64,
    /// Facts of who listens or serves that did not fit.
    #[serde(skip_serializing_if = "is_zero")]
    pub servers: u64,
    /// Names that did not fit.
    #[serde(skip_serializing_if = "is_zero")]
    pub names: u64,
    /// Facts of networks that hosts share that did not fit.
    #[serde(skip_serializing_if = "is_zero")]
    pub networks: u64,
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

    /// Each count with the name of its field.
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

/// A run of tracer, or the part of it that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its `start`; if that is missing, its first event here.
    pub from: Timestamp,
    /// Its `stop`; if that is missing, its last event here.
    pub to: Timestamp,
    /// Whether its `start` is here: else its beginning and its blind spots are unknown.
    pub started: bool,
    /// Whether its `stop`, or an event after `--until`, is here: else its losses and its end are unknown.
    pub stopped: bool,
    /// Events that are missing here, by the account in its `stop`: the recording was filtered or cut.
    #[serde(skip_serializing_if = "is_zero")]
    pub absent: u64,
}

/// Steps back in the times of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StepsBack {
    /// How often.
    pub times: u64,
    /// The farthest, nanoseconds.
    pub most_ns: u64,
}

/// An interval without a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}

impl HostCoverage {
    /// Merges the later coverage of the same host under another name.
    pub fn renamed(&mut self, later: Self) {
        let name = std::mem::replace(&mut self.host, Arc::clone(&later.host))
            .name
            .clone();
        self.names_before.push(name);
        // None of them is the new name: each name of a host comes once.
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
