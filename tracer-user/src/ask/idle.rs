//! What could be switched off: listeners that nobody uses, and servers that never answer.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;

use super::{Answer, Link, Proof, QuestionKind, Who, arrivals::Arrivals};
use crate::model::{Address, Edge, Happened, NodeKind, Timestamp, View};

/// What is idle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Idle {
    /// Where somebody listens and nobody calls, longest unused first.
    pub listeners: Vec<IdleListener>,
    /// Whom somebody dials who never answered.
    pub unanswered: Vec<Link>,
    /// Jobs that would not have been seen, as they come less often than was watched: `daily`.
    pub too_short_for: Vec<&'static str>,
}

/// A listener that nobody uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleListener {
    /// Who listens.
    #[serde(flatten)]
    pub who: Who,
    /// Where.
    pub addresses: Vec<Address>,
    /// At which port.
    pub port: u16,
    /// Since when, if it began while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When a connection to it was last there; none if never while it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Who used to call, or tries to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Link>,
    /// What goes by that address and port all the same, and is led elsewhere before it comes to the listener:
    /// what makes that translation may need the listener, and may fall back to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub led_past: Vec<Past>,
}

/// Connections that are led past a listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Past {
    /// Who dials.
    pub client: Who,
    /// Which address.
    pub dialled: Address,
    /// Who serves.
    pub server: Who,
    /// At which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many.
    pub connections: u64,
    /// When one was last there.
    pub last_used: Timestamp,
}

/// How long a job may sleep, in seconds, and what such a job is called.
const PERIODS: [(u64, &str); 4] = [
    (3_600, "hourly"),
    (86_400, "daily"),
    (7 * 86_400, "weekly"),
    (31 * 86_400, "monthly"),
];

/// When a connection was last there, as far as that is known: the last event may have been an attempt
/// that failed.
fn last_used(edge: &Edge) -> Timestamp {
    match edge.last_failure {
        Some(failure) if failure.time == edge.last_seen => {
            edge.last_success.unwrap_or(edge.first_seen)
        }
        _ => edge.last_seen,
    }
}

/// What nobody used for `unused_for`; none for all the time that was watched.
pub fn idle(view: &View, unused_for: Option<Duration>) -> Answer<Idle> {
    let mut proof = Proof::of(view, QuestionKind::Idle);
    let mut callers: HashMap<(usize, u16), Vec<usize>> = HashMap::new();
    for (at, edge) in view.edges.iter().enumerate() {
        if let Some(port) = edge.port {
            callers.entry((edge.server, port)).or_default().push(at);
        }
    }
    let now = proof.span().map(|(_, to)| to.as_ns());
    let limit = unused_for.zip(now).map(|(unused_for, now)| {
        let ns = u64::try_from(unused_for.as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_ns(now.saturating_sub(ns))
    });
    let mut listeners = Vec::new();
    let mut idle_at = HashSet::new();
    let mut doubts = Arrivals::new(view);
    for (at, node) in view.nodes.iter().enumerate() {
        let mut ports: Vec<u16> = node.listeners.iter().map(|it| it.port).collect();
        ports.sort_unstable();
        ports.dedup();
        // The kernel had not chosen a port yet: which one it became is told by another event.
        for port in ports.into_iter().filter(|it| *it != 0) {
            let edges = callers.get(&(at, port)).map_or(&[][..], Vec::as_slice);
            let edges = || edges.iter().map(|at| &view.edges[*at]);
            let here = || node.listeners.iter().filter(|it| it.port == port);
            let used = edges().filter(|it| it.connections() > 0).map(last_used);
            // Whoever serves what comes in.
            let came_in = here().filter_map(|it| it.last_used);
            let last_used = used.chain(came_in).max();
            let is_live = edges().any(|it| it.live() > 0) || here().any(|it| it.live > 0);
            let is_used = match (last_used, limit) {
                (Some(last), Some(limit)) => last >= limit,
                (used, _) => used.is_some(),
            };
            if is_used || is_live {
                continue;
            }
            let since = node
                .changes
                .iter()
                .rev()
                .find(|it| matches!(it.what, Happened::Listen { port: of, .. } if of == port))
                .map(|it| it.time);
            let mut addresses: Vec<_> = here().map(|it| it.address).collect();
            addresses.sort_unstable();
            addresses.dedup();
            idle_at.insert(at);
            for listener in here() {
                doubts.add(view, node, listener);
            }
            let past = here().flat_map(|it| &it.led_past);
            let past = past.map(|it| Past {
                client: Who::of_id(view, &it.client),
                dialled: it.dialled,
                server: Who::of_id(view, &it.server),
                port: it.port,
                connections: it.connections,
                last_used: it.last_used,
            });
            listeners.push(IdleListener {
                who: Who::of(view, at),
                addresses,
                port,
                since: since.or_else(|| here().filter_map(|it| it.since).max()),
                last_used,
                callers: edges().map(|it| Link::of(view, it)).collect(),
                led_past: past.collect(),
            });
        }
    }
    listeners.sort_by(|one, other| {
        let order = |it: &IdleListener| (it.last_used, it.since);
        order(one)
            .cmp(&order(other))
            .then_with(|| (&one.who, one.port).cmp(&(&other.who, other.port)))
    });
    // What dials from outside in vain is a stranger's business, as scanners are.
    let unanswered = view.edges.iter().filter(|it| {
        it.connections() == 0
            && it.failures() > 0
            && view.nodes[it.client].kind == NodeKind::Workload
    });
    let mut unanswered: Vec<_> = unanswered.map(|it| Link::of(view, it)).collect();
    unanswered.sort_by(|one, other| {
        let order = |it: &Link| std::cmp::Reverse(it.failed.values().sum::<u64>());
        order(one).cmp(&order(other)).then_with(|| {
            (&one.client, &one.server, one.port).cmp(&(&other.client, &other.server, other.port))
        })
    });
    // What nobody knows the port of may be what uses a listener after all, whoever serves it there.
    let hosts: HashSet<&str> = idle_at
        .iter()
        .filter_map(|at| Some(&*view.nodes[*at].host.as_ref()?.id))
        .collect();
    let may_use = |at: usize| {
        let host = view.nodes[at].host.as_ref();
        idle_at.contains(&at) || host.is_some_and(|it| hosts.contains(&*it.id))
    };
    proof.doubt_undirected(
        view.edges
            .iter()
            .filter(|it| may_use(it.client) || may_use(it.server)),
    );
    proof.doubt_cut(view.nodes.iter(), &["listeners"]);
    doubts.tell(view, &mut proof);
    let watched = proof.watched_ns() / 1_000_000_000;
    let too_short_for = PERIODS
        .into_iter()
        .filter(|(seconds, _)| watched < *seconds)
        .map(|(_, jobs)| jobs)
        .collect();
    let found = Idle {
        listeners,
        unanswered,
        too_short_for,
    };
    Answer::new(QuestionKind::Idle, found, proof)
}
