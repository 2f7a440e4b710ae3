//! Coverage of a view: which hosts were watched and when, and what was lost or had no room.

use std::sync::Arc;

use serde::Serialize;

use crate::model::{
    Blind, Host, Ledger, Lost, Timestamp,
    omit::{is_false, is_zero},
};

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
