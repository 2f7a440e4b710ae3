//! Failures by what they have in common: one server that many clients suffer from, or one client that
//! dials in vain all over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::{Cause, Who, before, ended_by};
use crate::model::{Edge, Happened, Outage, Reason, Timestamp, View};

/// Clients that are named.
const MAX_CLIENTS: usize = 16;
/// Ports and servers at which nothing ever served one client: with so many it looks for what is there.
const SCAN: u64 = 10;

/// Failures that have something in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// What it is.
    pub what: What,
    /// The server, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Who>,
    /// The port, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Who suffered, those with the most failures first; bounded.
    pub clients: Vec<Sufferer>,
    /// Those who are not named.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub more_clients: u64,
    /// How many servers.
    pub servers: u64,
    /// How many of their ports.
    pub ports: u64,
    /// Attempts that failed.
    pub attempts: u64,
    /// The same by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// The kernel's symbolic error of one of the last, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<&'static str>,
    /// The last success before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// The first failure.
    pub begin: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// The first success after all of them; absent if it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Of an outage, from the first failure to that success, or until now if it goes on; else to the last
    /// failure. Nanoseconds.
    pub length_ns: u64,
    /// What happened just before, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Cause>,
    /// What happened to the server before it served again, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ended_by: Vec<Cause>,
}

/// What failures have in common. In the order in which they are told, but that what goes on comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A server that used to serve did not.
    Outage,
    /// A client could not send at all: no route, no port, not allowed.
    Client,
    /// A client dialled many ports or servers at which nothing ever served it.
    Scan,
    /// Nothing ever served there.
    NeverServed,
    /// Some attempts failed among others that succeeded.
    Some,
}

impl What {
    /// The word in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Client => "client",
            Self::Scan => "scan",
            Self::NeverServed => "never_served",
            Self::Some => "some",
        }
    }
}

/// A client that suffered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sufferer {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// Its attempts that failed.
    pub attempts: u64,
}

/// A port of a server.
type Place = (usize, Option<u16>);
/// The edges of each.
type Edges<'a> = HashMap<Place, Vec<&'a Edge>>;

/// A stretch of failures of an edge.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    edge: &'a Edge,
    outage: &'a Outage,
    /// It is an outage of that edge by itself.
    is_outage: bool,
}

impl Stretch<'_> {
    /// The client could not send, whoever the server is.
    fn is_local(&self) -> bool {
        let is_local = |it: &Reason| {
            matches!(
                it,
                Reason::NoRoute | Reason::NoLocalPort | Reason::Denied | Reason::AddressInUse
            )
        };
        self.outage.failed.keys().all(is_local)
    }
}

/// The failures of `view` by what they have in common.
pub(super) fn of(view: &View, window_ns: u64) -> Vec<Incident> {
    let mut served: BTreeSet<Place> = BTreeSet::new();
    let mut edges: Edges = HashMap::new();
    for edge in &view.edges {
        let place = (edge.server, edge.port);
        edges.entry(place).or_default().push(edge);
        if edge.connections() > 0 {
            served.insert(place);
        }
    }
    // What listened would have served.
    for (at, node) in view.nodes.iter().enumerate() {
        for change in &node.changes {
            if let Happened::Unlisten { port, .. } = change.what {
                served.insert((at, Some(port)));
            }
        }
    }
    let mut of_server: BTreeMap<Place, Vec<Stretch>> = BTreeMap::new();
    let mut of_client: BTreeMap<(usize, Option<Reason>), Vec<Stretch>> = BTreeMap::new();
    let mut unserved: BTreeMap<usize, Vec<Stretch>> = BTreeMap::new();
    for edge in view.edges.iter().filter(|it| it.failures() > 0) {
        let outages: Vec<&Outage> = edge.outages().collect();
        for outage in &edge.history.stretches {
            let stretch = Stretch {
                edge,
                outage,
                is_outage: outages.iter().any(|it| std::ptr::eq(*it, outage)),
            };
            let server = (edge.server, edge.port);
            if stretch.is_local() {
                let reason = outage.failed.keys().next().copied();
                of_client
                    .entry((edge.client, reason))
                    .or_default()
                    .push(stretch);
            } else if served.contains(&server) {
                of_server.entry(server).or_default().push(stretch);
            } else {
                unserved.entry(edge.client).or_default().push(stretch);
            }
        }
    }
    let mut incidents = Vec::new();
    let tell = |what, stretches: &[Stretch]| incident(view, &edges, window_ns, what, stretches);
    for stretches in of_client.values() {
        incidents.push(tell(What::Client, stretches));
    }
    for stretches in of_server.into_values() {
        let mut some = Vec::new();
        for at_once in at_once(stretches) {
            let clients: BTreeSet<usize> = at_once.iter().map(|it| it.edge.client).collect();
            match clients.len() > 1 || at_once.iter().any(|it| it.is_outage) {
                true => incidents.push(tell(What::Outage, &at_once)),
                false => some.extend(at_once),
            }
        }
        if !some.is_empty() {
            incidents.push(tell(What::Some, &some));
        }
    }
    let mut never: BTreeMap<Place, Vec<Stretch>> = BTreeMap::new();
    for stretches in unserved.into_values() {
        let places = stretches.iter().map(|it| it.edge.history.ports.max(1));
        if places.fold(0, u64::saturating_add) >= SCAN {
            incidents.push(tell(What::Scan, &stretches));
            continue;
        }
        for it in stretches {
            let server = (it.edge.server, it.edge.port);
            never.entry(server).or_default().push(it);
        }
    }
    for stretches in never.values() {
        incidents.push(tell(What::NeverServed, stretches));
    }
    incidents.sort_by(|one, other| {
        let order = |it: &Incident| {
            let is_over = it.end.is_some() && it.what == What::Outage;
            (it.what, is_over, std::cmp::Reverse((it.last, it.attempts)))
        };
        let place = |it: &Incident| (it.server.clone(), it.port);
        order(one)
            .cmp(&order(other))
            .then_with(|| place(one).cmp(&place(other)))
    });
    incidents
}

/// Stretches of one server by time: one begins while another one goes on, or before anybody was served again.
fn at_once(mut stretches: Vec<Stretch<'_>>) -> Vec<Vec<Stretch<'_>>> {
    stretches.sort_by_key(|it| (it.outage.begin, it.outage.last));
    let mut groups: Vec<Vec<Stretch>> = Vec::new();
    let mut until: Option<(Timestamp, Option<Timestamp>)> = None;
    for it in stretches {
        let Outage {
            begin, last, end, ..
        } = *it.outage;
        match (&mut until, groups.last_mut()) {
            (Some((so_far, over)), Some(group))
                if begin <= *so_far
                    || (over.is_none_or(|over| begin < over)
                        && it.outage.after.is_none_or(|after| after <= *so_far)) =>
            {
                *so_far = last.max(*so_far);
                let ends = [*over, end].into_iter().flatten();
                *over = ends.filter(|it| *it >= *so_far).min();
                group.push(it);
            }
            _ => {
                until = Some((last, end));
                groups.push(vec![it]);
            }
        }
    }
    groups
}

/// When it was over: whoever was served first after the last failure shows that. If somebody was served
/// meanwhile, each has to be served again.
fn end(
    edges: &Edges,
    stretches: &[Stretch],
    begin: Timestamp,
    last: Timestamp,
) -> Option<Timestamp> {
    let places: BTreeSet<Place> = stretches
        .iter()
        .map(|it| (it.edge.server, it.edge.port))
        .collect();
    let of_place = places.iter().filter_map(|it| edges.get(it)).flatten();
    let successes: Vec<Timestamp> = of_place
        .flat_map(|edge| {
            let stretches = edge.history.stretches.iter();
            stretches
                .flat_map(|it| [it.after, it.end])
                .chain([edge.last_success])
        })
        .flatten()
        .collect();
    let is_partial = successes.iter().any(|it| (begin..last).contains(it));
    if is_partial && stretches.iter().any(|it| it.outage.end.is_none()) {
        return None;
    }
    successes.into_iter().filter(|it| *it >= last).min()
}

fn incident(
    view: &View,
    edges: &Edges,
    window_ns: u64,
    what: What,
    stretches: &[Stretch],
) -> Incident {
    let outages = || stretches.iter().map(|it| it.outage);
    let now = view.generated.unwrap_or(Timestamp::from_ns(0));
    let begin = outages().map(|it| it.begin).min().unwrap_or(now);
    let last = outages().map(|it| it.last).max().unwrap_or(now);
    let end = end(edges, stretches, begin, last);
    let until = match what {
        What::Outage => end.or(view.generated).unwrap_or(last),
        _ => last,
    };
    let mut failed: BTreeMap<Reason, u64> = BTreeMap::new();
    for (reason, times) in outages().flat_map(|it| &it.failed) {
        let sum = failed.entry(*reason).or_default();
        *sum = sum.saturating_add(*times);
    }
    let mut by_client: BTreeMap<usize, u64> = BTreeMap::new();
    for it in stretches {
        let sum = by_client.entry(it.edge.client).or_default();
        *sum = sum.saturating_add(it.outage.attempts);
    }
    let first = stretches.iter().filter(|it| it.outage.begin == begin);
    let first: BTreeSet<usize> = first.map(|it| it.edge.client).collect();
    let first: Vec<usize> = first.into_iter().collect();
    let servers: BTreeSet<usize> = stretches.iter().map(|it| it.edge.server).collect();
    let places: BTreeMap<Place, u64> = stretches
        .iter()
        .map(|it| {
            let ports = it.edge.history.ports.max(1);
            ((it.edge.server, it.edge.port), ports)
        })
        .collect();
    let only = servers.first().copied().filter(|_| servers.len() == 1);
    let port = stretches.first().and_then(|it| it.edge.port);
    let port = port.filter(|_| places.len() == 1);
    let mut clients: Vec<Sufferer> = by_client
        .iter()
        .map(|(at, attempts)| Sufferer {
            who: Who::of(view, *at),
            attempts: *attempts,
        })
        .collect();
    clients.sort_by(|one, other| {
        let most = other.attempts.cmp(&one.attempts);
        most.then_with(|| one.who.cmp(&other.who))
    });
    let more_clients = clients.len().saturating_sub(MAX_CLIENTS) as u64;
    clients.truncate(MAX_CLIENTS);
    let newest = outages().max_by_key(|it| (it.last, it.errno));
    Incident {
        what,
        server: only.map(|at| Who::of(view, at)),
        port,
        clients,
        more_clients,
        servers: servers.len() as u64,
        ports: places.values().copied().fold(0, u64::saturating_add),
        attempts: failed.values().copied().fold(0, u64::saturating_add),
        failed,
        errno: newest.and_then(|it| it.errno),
        after: outages()
            .filter_map(|it| it.after)
            .filter(|it| *it < begin)
            .max(),
        begin,
        last,
        end,
        length_ns: until.as_ns().saturating_sub(begin.as_ns()),
        before: only.map_or_else(Vec::new, |server| {
            before(view, server, &first, port, begin, window_ns)
        }),
        ended_by: match (only, end) {
            (Some(server), Some(end)) if what == What::Outage => ended_by(view, server, begin, end),
            _ => Vec::new(),
        },
    }
}
