//! How evenly a service's load is spread over its instances, who loads it most, and who should not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use serde::Serialize;

use super::{
    Answer, Link, Policy, Proof, QuestionKind, Who,
    service::{self, By, Lasting},
};
use crate::model::{Address, Edge, Happened, Node, NodeKind, View};

/// How load is spread.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Balance {
    /// Services with several instances, the most uneven first.
    pub services: Vec<Service>,
    /// Who opens the most connections, beyond what services do among themselves.
    pub busiest: Vec<Busy>,
    /// Edges that a policy forbids, the busiest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<Vec<Violation>>,
}

/// A port that several instances of one service answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// What the instances have in common.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// Connections to all of them, without checks.
    pub connections: u64,
    /// Connections that are over and carried nothing, as those of health checks.
    pub checks: u64,
    /// The share of the busiest, over an even share: 1 is even, the number of instances is all on one.
    pub skew: f64,
    /// The instances, the busiest first.
    pub backends: Vec<Backend>,
    /// Who dials them, the busiest first.
    pub clients: Vec<Client>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backend {
    /// Which.
    #[serde(flatten)]
    pub who: Who,
    /// Connections to it, without checks.
    pub connections: u64,
    /// Connections that are over and carried nothing.
    pub checks: u64,
    /// It does not serve now: the last attempt failed, or it no longer listens.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
    /// It never served while it was watched, so that only its address tells that it is one: the same
    /// clients dial it in vain, at the same port and in the same network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_address: bool,
    /// Those that are open.
    pub live: u64,
    /// Its share of the connections, from 0 to 1.
    pub share: f64,
    /// Payload bytes to and from it.
    pub bytes: u64,
    /// Its share of these.
    pub bytes_share: f64,
    /// Attempts that failed.
    pub failures: u64,
    /// How it stands.
    pub load: Load,
}

/// How the load of an instance compares with an even share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Nobody calls it.
    Unused,
    /// Less than half of an even share.
    Under,
    /// About an even share.
    Even,
    /// More than one and a half of it.
    Over,
}

impl Load {
    /// The word in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Under => "under",
            Self::Even => "even",
            Self::Over => "over",
        }
    }

    fn of(connections: u64, failures: u64, all: u64, backends: usize) -> Self {
        let (this, even) = (u128::from(connections) * backends as u128, u128::from(all));
        if connections == 0 && failures == 0 {
            Self::Unused
        } else if connections == 0 || this * 2 < even {
            Self::Under
        } else if this * 2 > even * 3 {
            Self::Over
        } else {
            Self::Even
        }
    }
}

/// Who dials a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Client {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// Its connections to all instances.
    pub connections: u64,
    /// How many of the instances it dialled.
    pub backends: usize,
}

/// Who opens many connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Busy {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// Connections that it opened.
    pub connections: u64,
    /// To how many servers.
    pub servers: usize,
    /// Payload bytes, both ways.
    pub bytes: u64,
}

/// An edge that a policy forbids.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// The line of the policy.
    pub rule: String,
    /// Processes of the client, as far as they are known: pid and what it runs.
    pub processes: Vec<Offender>,
    /// The edge.
    #[serde(flatten)]
    pub link: Link,
}

/// A process of a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Offender {
    /// Its id.
    pub pid: u32,
    /// What it runs: a path, or a name.
    pub exe: String,
}

/// The edges of each port of a server.
type Edges<'a> = HashMap<(usize, u16), Vec<&'a Edge>>;

/// The edges of one of them.
fn at<'a>(edges: &'a Edges, server: usize, port: u16) -> impl Iterator<Item = &'a Edge> {
    edges.get(&(server, port)).into_iter().flatten().copied()
}

/// Clients that are named.
const MAX_BUSY: usize = 10;

/// How load is spread in `view`, and what `policy` forbids of it.
pub fn balance(view: &View, policy: Option<&Policy>) -> Answer<Balance> {
    let mut edges: Edges = HashMap::new();
    for edge in &view.edges {
        if let Some(port) = edge.port {
            edges.entry((edge.server, port)).or_default().push(edge);
        }
    }
    let mut services: Vec<Service> = backends(view, &edges)
        .into_iter()
        .map(|(name, port, backends)| measure(view, &edges, name, port, &backends))
        .collect();
    services.sort_by(|one, other| {
        let skew = other.skew.total_cmp(&one.skew);
        skew.then_with(|| (&one.service, one.port).cmp(&(&other.service, other.port)))
    });
    let violations = policy.map(|policy| {
        let forbidden = view.edges.iter().filter_map(|edge| {
            let (client, server) = (&view.nodes[edge.client], &view.nodes[edge.server]);
            let rule = policy.forbids(client, server, edge.port)?;
            let mut processes: Vec<Offender> = client
                .processes
                .iter()
                .map(|it| Offender {
                    pid: it.pid,
                    exe: it.exe.as_ref().unwrap_or(&it.comm).to_string(),
                })
                .collect();
            processes.sort();
            Some(Violation {
                rule: rule.to_owned(),
                processes,
                link: Link::of(view, edge),
            })
        });
        let mut forbidden: Vec<_> = forbidden.collect();
        forbidden.sort_by_key(|it| std::cmp::Reverse(it.link.connections));
        forbidden
    });
    let found = Balance {
        services,
        busiest: busiest(view),
        violations,
    };
    let mut proof = Proof::of(view, QuestionKind::Balance);
    if policy.is_some() {
        // A rule says who dials: of these edges nobody knows.
        proof.doubt_undirected(view.edges.iter());
    }
    Answer::new(QuestionKind::Balance, found, proof)
}

/// The ports that several instances of one service answer, with these instances: those that serve it or
/// did, and those that listen there and nobody calls.
fn backends(view: &View, edges: &Edges) -> Vec<(String, u16, BTreeSet<usize>)> {
    let mut groups: BTreeMap<(Lasting, u16), BTreeSet<usize>> = BTreeMap::new();
    let served = view
        .edges
        .iter()
        .filter_map(|edge| Some((edge.server, edge.port?)));
    let listened = view.nodes.iter().enumerate().flat_map(|(at, node)| {
        node.listeners
            .iter()
            .filter(|it| it.port != 0)
            .map(move |it| (at, it.port))
    });
    let lasting: Vec<Lasting> = view.nodes.iter().map(common).collect();
    for (at, port) in served.chain(listened) {
        if view.nodes[at].kind == NodeKind::Workload && lasting[at].by != By::Made {
            let group = groups.entry((lasting[at].clone(), port)).or_default();
            group.insert(at);
        }
    }
    let mut backends = Vec::new();
    for ((service, port), nodes) in groups {
        let is_given = service.by == By::Name;
        let parts = match is_given {
            true => by_program(view, nodes),
            false => vec![(None, nodes)],
        };
        let several = parts.len() > 1;
        for (program, nodes) in parts.into_iter().filter(|(_, nodes)| nodes.len() > 1) {
            let name = match program.filter(|_| several) {
                Some(program) => format!("{} ({program})", service.shown()),
                None => service.shown().to_owned(),
            };
            backends.push((name, port, nodes));
        }
    }
    let known: BTreeSet<(usize, u16)> = backends
        .iter()
        .flat_map(|(_, port, nodes)| nodes.iter().map(|at| (*at, *port)))
        .collect();
    // Servers that run the same program and that just the same clients dial at one port are behind one
    // balancer, whatever their names are.
    let mut clients: BTreeMap<(usize, u16), BTreeSet<usize>> = BTreeMap::new();
    for edge in &view.edges {
        if let Some(port) = edge.port
            && !known.contains(&(edge.server, port))
        {
            clients
                .entry((edge.server, port))
                .or_default()
                .insert(edge.client);
        }
    }
    let mut of_program: HashMap<usize, String> = HashMap::new();
    let mut twins: BTreeMap<(u16, String, BTreeSet<usize>), BTreeSet<usize>> = BTreeMap::new();
    let mut down = Vec::new();
    for ((server, port), clients) in clients {
        if view.nodes[server].kind == NodeKind::Remote {
            down.push((server, port, clients, None));
        } else if let Some(program) = program(&view.nodes[server]) {
            if is_down(view, edges, server, port) {
                down.push((server, port, clients.clone(), Some(program.clone())));
            }
            twins
                .entry((port, program, clients))
                .or_default()
                .insert(server);
        }
    }
    for ((port, program, _), nodes) in twins {
        if nodes.len() > 1 {
            // Two pairs of one program are two services: the first instance tells them apart.
            let first = nodes.first().map_or("", |at| &*view.nodes[*at].name);
            of_program.insert(backends.len(), program.clone());
            backends.push((format!("{program} as {first}"), port, nodes));
        }
    }
    // Whoever came when an instance was down never dialled it, and of one that never served only the
    // address is known.
    for (server, port, clients, program) in down {
        if program.is_none() && !never_served(edges, server, port) {
            continue;
        }
        let fits = |(place, (_, of, nodes)): &(usize, &(String, u16, BTreeSet<usize>))| {
            if *of != port || nodes.contains(&server) {
                return false;
            }
            let is_alike = match &program {
                Some(program) => of_program.get(place) == Some(program),
                None => are_near(view, server, nodes),
            };
            let dials = |client: &usize| {
                let mut edges = nodes.iter().flat_map(|it| at(edges, *it, port));
                edges.any(|it| it.client == *client)
            };
            is_alike && clients.iter().all(dials)
        };
        let mut places = backends.iter().enumerate().filter(fits);
        // Of two services it is not known which one it belongs to.
        if let (Some((at, _)), None) = (places.next(), places.next()) {
            backends[at].2.insert(server);
        }
    }
    backends
}

/// Whether all attempts at that port failed, so that its address is all that is known.
fn never_served(edges: &Edges, server: usize, port: u16) -> bool {
    at(edges, server, port).all(|it| it.connections() == 0 && it.failures() > 0)
}

/// Whether the address of a remote is in the network of one of `nodes`, as instances of a service are.
fn are_near(view: &View, remote: usize, nodes: &BTreeSet<usize>) -> bool {
    let network = |address: &Address| match address.ip() {
        IpAddr::V4(it) => u128::from(it.to_bits() >> 8),
        IpAddr::V6(it) => it.to_bits() >> 64,
    };
    // One with a name is what that says.
    let remote = &view.nodes[remote];
    let [address] = &remote.addresses[..] else {
        return false;
    };
    let is_nameless = *remote.name == *address.to_string();
    let mut others = nodes.iter().flat_map(|at| &view.nodes[*at].addresses);
    is_nameless
        && others.any(|it| {
            it.ip().is_ipv4() == address.ip().is_ipv4() && network(it) == network(address)
        })
}

/// Whether `server` does not serve `port` now: the last attempt of all failed, or it listens no more.
fn is_down(view: &View, edges: &Edges, server: usize, port: u16) -> bool {
    let edges = || at(edges, server, port);
    let success = edges().filter_map(|it| it.last_success).max();
    let failure = edges().filter_map(|it| Some(it.last_failure?.time)).max();
    let node = &view.nodes[server];
    let stopped = node
        .changes
        .iter()
        .any(|it| matches!(it.what, Happened::Unlisten { port: at, .. } if at == port));
    let listens = node.listeners.iter().any(|it| it.port == port);
    (failure.is_some() && failure > success) || (stopped && !listens)
}

/// What a node has in common with the others of its service.
fn common(node: &Node) -> Lasting {
    let lasting = service::of(node);
    Lasting {
        // A script elsewhere is another program.
        instance: lasting.instance.filter(|_| lasting.by == By::Name),
        ..lasting
    }
}

/// `nodes` of one name by what they run: a name alone makes no service of two programs. Those of which
/// that is not known go with the only one. Each part with a program that it runs.
fn by_program(view: &View, nodes: BTreeSet<usize>) -> Vec<(Option<String>, BTreeSet<usize>)> {
    let mut parts: Vec<(BTreeSet<String>, BTreeSet<usize>)> = Vec::new();
    let mut unknown = BTreeSet::new();
    for at in nodes {
        let mut part = (service::made_of(&view.nodes[at]), BTreeSet::from([at]));
        if part.0.is_empty() {
            unknown.insert(at);
            continue;
        }
        let (same, apart) = parts.into_iter().partition(|it| !it.0.is_disjoint(&part.0));
        parts = apart;
        for other in same {
            part.0.extend(other.0);
            part.1.extend(other.1);
        }
        parts.push(part);
    }
    match &mut parts[..] {
        [only] => only.1.extend(unknown),
        _ => parts.push((BTreeSet::new(), unknown)),
    }
    let parts = parts.into_iter();
    parts
        .map(|(programs, nodes)| (programs.into_iter().next(), nodes))
        .collect()
}

/// What a server runs, and of which image.
fn program(node: &Node) -> Option<String> {
    service::made_of(node).into_iter().next()
}

fn measure(
    view: &View,
    edges: &Edges,
    service: String,
    port: u16,
    backends: &BTreeSet<usize>,
) -> Service {
    let all = backends.iter().flat_map(|it| at(edges, *it, port));
    let mut of: HashMap<usize, [u64; 5]> = backends.iter().map(|at| (*at, [0; 5])).collect();
    let mut clients: BTreeMap<usize, (u64, BTreeSet<usize>)> = BTreeMap::new();
    for edge in all {
        let sums = of.entry(edge.server).or_default();
        let bytes = edge.sent_bytes.saturating_add(edge.received_bytes);
        let checks = edge.history.without_payload;
        let connections = edge.connections().saturating_sub(checks);
        for (sum, more) in
            sums.iter_mut()
                .zip([connections, edge.live(), bytes, edge.failures(), checks])
        {
            *sum = sum.saturating_add(more);
        }
        let client = clients.entry(edge.client).or_default();
        client.0 = client.0.saturating_add(connections);
        client.1.insert(edge.server);
    }
    let all = of.values().map(|it| it[0]).fold(0, u64::saturating_add);
    let all_bytes = of.values().map(|it| it[2]).fold(0, u64::saturating_add);
    let share = |of: u64, all: u64| {
        if all == 0 {
            0.0
        } else {
            rounded(of as f64 / all as f64)
        }
    };
    let mut list: Vec<Backend> = of
        .iter()
        .map(
            |(at, [connections, live, bytes, failures, checks])| Backend {
                who: Who::of(view, *at),
                connections: *connections,
                checks: *checks,
                down: is_down(view, edges, *at, port),
                by_address: view.nodes[*at].kind == NodeKind::Remote,
                live: *live,
                share: share(*connections, all),
                bytes: *bytes,
                bytes_share: share(*bytes, all_bytes),
                failures: *failures,
                load: Load::of(*connections, *failures, all, backends.len()),
            },
        )
        .collect();
    list.sort_by(|one, other| {
        let busiest = other.connections.cmp(&one.connections);
        busiest.then_with(|| one.who.cmp(&other.who))
    });
    let mut clients: Vec<Client> = clients
        .into_iter()
        .map(|(at, (connections, backends))| Client {
            who: Who::of(view, at),
            connections,
            backends: backends.len(),
        })
        .collect();
    clients.sort_by(|one, other| {
        let busiest = other.connections.cmp(&one.connections);
        busiest.then_with(|| one.who.cmp(&other.who))
    });
    let most = list.first().map_or(0, |it| it.connections);
    Service {
        service,
        port,
        connections: all,
        checks: of.values().map(|it| it[4]).fold(0, u64::saturating_add),
        skew: match all {
            0 => 1.0,
            _ => rounded(most as f64 * list.len() as f64 / all as f64),
        },
        backends: list,
        clients,
    }
}

/// To a thousandth: more is not worth reading.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn busiest(view: &View) -> Vec<Busy> {
    let mut clients: HashMap<usize, (u64, BTreeSet<usize>, u64)> = HashMap::new();
    for edge in view.edges.iter().filter(|it| it.port.is_some()) {
        let client = clients.entry(edge.client).or_default();
        client.0 = client.0.saturating_add(edge.connections());
        client.1.insert(edge.server);
        let bytes = edge.sent_bytes.saturating_add(edge.received_bytes);
        client.2 = client.2.saturating_add(bytes);
    }
    let mut busiest: Vec<Busy> = clients
        .into_iter()
        .filter(|(_, (connections, ..))| *connections > 0)
        .map(|(at, (connections, servers, bytes))| Busy {
            who: Who::of(view, at),
            connections,
            servers: servers.len(),
            bytes,
        })
        .collect();
    busiest.sort_by(|one, other| {
        let order = other.connections.cmp(&one.connections);
        order.then_with(|| one.who.cmp(&other.who))
    });
    busiest.truncate(MAX_BUSY);
    busiest
}
