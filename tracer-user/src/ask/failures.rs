//! What fails, why, since when, and what happened just before.

use std::time::Duration;

use serde::Serialize;

use super::{Answer, Link, Proof, Who, unseen::Question};
use crate::model::{Change, Edge, EdgeState, Timestamp, View};

/// What fails.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failures {
    /// Edges with attempts that failed, the newest failure first; those that fail now before those
    /// that recovered.
    pub edges: Vec<Failing>,
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
}

/// Causes that are told of one edge.
const MAX_CAUSES: usize = 8;
/// What happened to a client more often than this is its business as usual.
const MAX_OF_CLIENT: usize = 2;
/// What happens so shortly after the first failure may have been told late.
const LATE_NS: u64 = 1_000_000_000;

/// What fails in `view`, with what happened to either end within `window` before.
pub fn failures(view: &View, window: Duration) -> Answer<Failures> {
    let failing = view.edges.iter().filter(|it| it.failures() > 0);
    let mut edges: Vec<_> = failing.map(|it| failure(view, it, window)).collect();
    edges.sort_by(|one, other| {
        let order = |it: &Failing| {
            let is_over = it.link.state != EdgeState::Failed;
            (
                is_over,
                std::cmp::Reverse(it.link.last_failure.map(|it| it.time)),
            )
        };
        order(one).cmp(&order(other)).then_with(|| {
            let ends =
                |it: &Failing| (it.link.client.clone(), it.link.server.clone(), it.link.port);
            ends(one).cmp(&ends(other))
        })
    });
    Answer::new(
        "failures",
        Failures { edges },
        Proof::of(view, Question::Failures),
    )
}

fn failure(view: &View, edge: &Edge, window: Duration) -> Failing {
    // If it recovered, what is known of the beginning is the last failure.
    let began = edge
        .failing_since
        .or(edge.last_failure.map(|it| it.time))
        .unwrap_or(edge.last_seen);
    let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    let from = Timestamp::from_ns(began.as_ns().saturating_sub(window_ns));
    let to = Timestamp::from_ns(began.as_ns().saturating_add(LATE_NS));
    let around = |at: usize| {
        let happenings = happenings(view, at);
        let near = happenings.filter(|it| (from..=to).contains(&it.change.time()));
        near.collect::<Vec<Cause>>()
    };
    let mut before = around(edge.server);
    let client = around(edge.client);
    // A client that is started again and again, as by a timer, always was just before.
    if client.len() <= MAX_OF_CLIENT {
        before.extend(client);
    }
    before.sort_by_key(|it| std::cmp::Reverse(it.change.time()));
    // What dials itself is both ends: told once.
    let mut told: Vec<Cause> = Vec::new();
    for cause in before {
        if !told.contains(&cause) {
            told.push(cause);
        }
    }
    let mut before = told;
    before.truncate(MAX_CAUSES);
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
        before,
    }
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
