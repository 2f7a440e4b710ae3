//! What fails, why, since when, and what happened just before.

mod incidents;

use std::time::Duration;

use serde::Serialize;

use super::{Answer, Link, Proof, QuestionKind, Who};
use crate::model::{Change, Edge, EdgeState, Endings, Happened, Outage, Timestamp, View};

pub use incidents::{Incident, Sufferer, What};

/// What fails.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failures {
    /// The failures by what they have in common, the most telling first: a server that used to serve and
    /// does not, before a client that looks for what is there, before single ones.
    pub causes: Vec<Incident>,
    /// Edges with attempts that failed: those that fail now before those that recovered, those whose server
    /// ever served them before others, then the newest failure first.
    pub edges: Vec<Failing>,
    /// Edges whose connections broke in use, the most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaking: Vec<Breaking>,
}

/// An edge with attempts that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failing {
    /// The edge.
    #[serde(flatten)]
    pub link: Link,
    /// Failures a minute, over the time in which it fails, or over the time in which it was seen.
    pub per_minute: f64,
    /// What happened to either end just before it began to fail, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Cause>,
    /// Its outages, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<Outage>,
    /// Stretches of failures that there was no room for: the shortest ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub outages_cut: u64,
    /// It stands for so many ports at which nothing ever served; absent if it is of one.
    #[serde(skip_serializing_if = "is_zero")]
    pub ports: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An edge whose connections broke in use: neither process wanted their end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breaking {
    /// The edge.
    #[serde(flatten)]
    pub link: Link,
    /// How its connections ended.
    pub ended: Endings,
}

/// Something that may be why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// To whom it happened.
    pub who: Who,
    /// What.
    #[serde(flatten)]
    pub change: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Happening {
    /// The node changed.
    Changed(Change),
    /// A process of it began then.
    Started {
        /// When.
        time: Timestamp,
        /// Always `start`.
        what: &'static str,
        /// The process.
        pid: u32,
    },
}

impl Happening {
    /// When.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Changed(change) => change.time,
            Self::Started { time, .. } => *time,
        }
    }

    /// Whether something came to its end.
    fn is_end(&self) -> bool {
        let Self::Changed(change) = self else {
            return false;
        };
        matches!(
            change.what,
            Happened::Exit { .. } | Happened::Unlisten { .. }
        )
    }

    /// Whether nothing listens at `port` any more; at any, if it is none.
    fn unlistens(&self, port: Option<u16>) -> bool {
        let Self::Changed(change) = self else {
            return false;
        };
        match &change.what {
            Happened::Unlisten { port: at, .. } => port.is_none_or(|port| port == *at),
            _ => false,
        }
    }
}

/// Causes that are told of one edge.
const MAX_CAUSES: usize = 8;
/// What happened to a client more often than this is its business as usual.
const MAX_OF_CLIENT: usize = 2;
/// What happens to the server so shortly after the first failure is of the same moment.
const SAME_NS: u64 = 100_000_000;
/// A process ends so much later than it stops to listen; and on another host, whose clock differs, what served
/// may have ended so much later by that.
const LATE_NS: u64 = 1_000_000_000;

/// What fails in `view`, with what happened to either end within `window` before.
pub fn failures(view: &View, window: Duration) -> Answer<Failures> {
    let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    let failing = view.edges.iter().filter(|it| it.failures() > 0);
    let mut edges: Vec<_> = failing.map(|it| failure(view, it, window_ns)).collect();
    edges.sort_by(|one, other| {
        let order = |it: &Failing| {
            let is_over = it.link.state != EdgeState::Failed;
            let never_served = it.link.connections == 0;
            let last = it.link.last_failure.map(|it| it.time);
            (is_over, never_served, std::cmp::Reverse(last))
        };
        order(one).cmp(&order(other)).then_with(|| {
            let ends =
                |it: &Failing| (it.link.client.clone(), it.link.server.clone(), it.link.port);
            ends(one).cmp(&ends(other))
        })
    });
    let broken = view.edges.iter().filter(|it| it.history.ended.broken() > 0);
    let mut breaking: Vec<Breaking> = broken
        .map(|it| Breaking {
            link: Link::of(view, it),
            ended: it.history.ended,
        })
        .collect();
    breaking.sort_by_key(|it| std::cmp::Reverse(it.ended.broken()));
    let found = Failures {
        causes: incidents::of(view, window_ns),
        edges,
        breaking,
    };
    Answer::new(
        QuestionKind::Failures,
        found,
        Proof::of(view, QuestionKind::Failures),
    )
}

fn failure(view: &View, edge: &Edge, window_ns: u64) -> Failing {
    let outages: Vec<Outage> = edge.outages().cloned().collect();
    // If it recovered, what counts is its last outage, or else the last failure.
    let began = edge
        .failing_since
        .or(outages.last().map(|it| it.begin))
        .or(edge.last_failure.map(|it| it.time))
        .unwrap_or(edge.last_seen);
    let (since, times) = match edge.failing_since {
        Some(since) => (since, edge.failing_times),
        None => (edge.first_seen, edge.failures()),
    };
    let until = view.generated.unwrap_or(edge.last_seen);
    // A second at least: a single failure is not a rate.
    let seconds = (until.as_ns().saturating_sub(since.as_ns()) as f64 / 1e9).max(1.0);
    Failing {
        link: Link::of(view, edge),
        per_minute: (times as f64 * 60.0 / seconds * 10.0).round() / 10.0,
        before: before(
            view,
            edge.server,
            &[edge.client],
            edge.port,
            began,
            window_ns,
        ),
        outages,
        outages_cut: edge.history.cut,
        ports: edge.history.ports,
    }
}

/// What happened to `server` or one of `clients` shortly before attempts began to fail, the newest first. What
/// happened after that is what came of it, but for the end of what served, which may be told a moment late or
/// take a while.
fn before(
    view: &View,
    server: usize,
    clients: &[usize],
    port: Option<u16>,
    began: Timestamp,
    window_ns: u64,
) -> Vec<Cause> {
    let from = Timestamp::from_ns(began.as_ns().saturating_sub(window_ns));
    let near = |at: usize, to: Timestamp| {
        let happenings = happenings(view, at);
        let near = happenings.filter(|it| (from..=to).contains(&it.change.time()));
        near.collect::<Vec<Cause>>()
    };
    let after = |ns: u64| Timestamp::from_ns(began.as_ns().saturating_add(ns));
    let mut all = near(server, after(SAME_NS));
    all.retain(|it| it.change.time() <= began || it.change.is_end());
    // Whoever stops to listen may take a while to end.
    let stops = all.iter().filter(|it| it.change.unlistens(port));
    if let Some(stopped) = stops.map(|it| it.change.time()).max() {
        let until = Timestamp::from_ns(stopped.as_ns().saturating_add(LATE_NS));
        let ends = near(server, until).into_iter();
        let ends = ends.filter(|it| it.change.time() > after(SAME_NS) && it.change.is_end());
        all.extend(ends);
    }
    let host = |at: usize| view.nodes[at].host.as_ref().map(|it| &it.id);
    let is_elsewhere = clients.iter().any(|it| host(*it) != host(server));
    if is_elsewhere && !all.iter().any(|it| it.change.is_end()) {
        let late = near(server, after(LATE_NS));
        let late = late.into_iter().filter(|it| it.change.time() > began);
        all.extend(late.filter(|it| it.change.unlistens(port)));
    }
    for client in clients.iter().filter(|it| **it != server) {
        let of_client = near(*client, began);
        // A client that is started again and again, as by a timer, always was just before.
        if of_client.len() <= MAX_OF_CLIENT {
            all.extend(of_client);
        }
    }
    // The most telling ones stay where there are many, as with helpers that come and go.
    let unlistened: Vec<Timestamp> = all
        .iter()
        .filter(|it| it.change.unlistens(port))
        .map(|it| it.change.time())
        .collect();
    let rank = |it: &Cause| {
        let time = it.change.time().as_ns();
        let ends_with = |at: &Timestamp| at.as_ns().abs_diff(time) <= LATE_NS;
        match &it.change {
            change if change.unlistens(port) => 0,
            change if change.is_end() && unlistened.iter().any(ends_with) => 1,
            Happening::Changed(Change {
                what: Happened::Unlisten { .. },
                ..
            }) => 2,
            Happening::Changed(Change {
                what: Happened::Listen { .. },
                ..
            }) => 3,
            change if change.is_end() => 4,
            _ => 5,
        }
    };
    all.sort_by_key(|it| (rank(it), std::cmp::Reverse(it.change.time())));
    all.truncate(MAX_CAUSES);
    all.sort_by_key(|it| std::cmp::Reverse(it.change.time()));
    all
}

/// What happened to `server` between `began` and `end` that may have ended it, the newest first.
fn ended_by(view: &View, server: usize, began: Timestamp, end: Timestamp) -> Vec<Cause> {
    let mut all: Vec<Cause> = happenings(view, server)
        .filter(|it| it.change.time() > began && it.change.time() <= end)
        .filter(|it| !it.change.is_end())
        .collect();
    // That it listens again says more than what it runs.
    let listens = |it: &Cause| matches!(&it.change, Happening::Changed(it) if matches!(it.what, Happened::Listen { .. }));
    all.sort_by_key(|it| (!listens(it), std::cmp::Reverse(it.change.time())));
    all.truncate(MAX_CAUSES);
    all.sort_by_key(|it| std::cmp::Reverse(it.change.time()));
    all
}

fn happenings(view: &View, at: usize) -> impl Iterator<Item = Cause> {
    let node = &view.nodes[at];
    let watched = node.host.as_ref().and_then(|host| {
        let mut hosts = view.coverage.iter();
        hosts.find(|it| it.host == *host).map(|it| it.from)
    });
    let started = node.processes.iter().filter_map(move |it| {
        let time = it
            .started
            .filter(|time| watched.is_some_and(|from| *time >= from))?;
        Some(Happening::Started {
            time,
            what: "start",
            pid: it.pid,
        })
    });
    let changes = node.changes.iter().cloned().map(Happening::Changed);
    let who = Who::of(view, at);
    changes.chain(started).map(move |change| Cause {
        who: who.clone(),
        change,
    })
}
