//! In what order to bring things back: first what others need.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Answer, Link, Proof, QuestionKind, Who,
    graph::{Graph, cycles},
};
use crate::model::{Edge, Host, NodeKind, Timestamp, View};

/// The order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecoveryOrder {
    /// What may start at once, one after the other.
    pub waves: Vec<Wave>,
    /// What has to be there and is not one of those: servers beyond what was watched.
    pub outside: Vec<Outside>,
}

/// What may start at once: all that it needs is in waves before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wave {
    /// Each by itself.
    pub steps: Vec<Step>,
}

/// A workload, or several that need each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Which; of a cycle, in the order that remains when its weakest edges are left out.
    pub members: Vec<Who>,
    /// What it needs, and when it dials that.
    pub needs: Vec<Need>,
    /// Of a cycle, the edges that were left out for that, the weakest first: what dials there must do
    /// without for a while.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weakest: Vec<Link>,
}

/// Something that is needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Need {
    /// When it is dialled.
    pub when: When,
    /// The edge.
    #[serde(flatten)]
    pub link: Link,
}

/// When a dependency is dialled, as far as processes began while they were watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Only within the first seconds of a process: it may not start without.
    StartUp,
    /// Then, and later.
    Both,
    /// Whenever one of its processes begins, as with what a timer starts.
    EachRun,
    /// Only later: it can start without.
    Steady,
    /// Nobody saw a process of the client begin.
    Unknown,
}

/// Something beyond what was watched that is needed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outside {
    /// Which.
    #[serde(flatten)]
    pub who: Who,
    /// Who needs it.
    pub needed_by: Vec<Who>,
}

/// The order in which to bring back what `view` shows. What a process dials in its first
/// `start_up_ns` nanoseconds counts as its start.
pub fn recovery_order(view: &View, start_up_ns: u64) -> Answer<RecoveryOrder> {
    let is_workload = |at: usize| view.nodes[at].kind == NodeKind::Workload;
    // Without a port it is not known who depends on whom.
    let graph = Graph::of(view, |edge| {
        edge.port.is_some() && is_workload(edge.client) && is_workload(edge.server)
    });
    let edges = || {
        graph
            .from
            .iter()
            .flatten()
            .map(|at| (view.edges[*at].client, view.edges[*at].server))
    };
    // Servers first.
    let components = cycles(view.nodes.len(), edges());
    let mut component_of = vec![0; view.nodes.len()];
    for (at, component) in components.iter().enumerate() {
        component.iter().for_each(|node| component_of[*node] = at);
    }
    let mut levels = vec![0_usize; components.len()];
    for (at, component) in components.iter().enumerate() {
        let servers = component
            .iter()
            .flat_map(|node| &graph.from[*node])
            .map(|edge| component_of[view.edges[*edge].server])
            .filter(|server| *server != at);
        levels[at] = servers.map(|server| levels[server] + 1).max().unwrap_or(0);
    }
    let mut waves: Vec<Wave> = Vec::new();
    for (component, level) in components.iter().zip(&levels) {
        if !component.iter().all(|it| is_workload(*it)) {
            continue;
        }
        while waves.len() <= *level {
            waves.push(Wave { steps: Vec::new() });
        }
        waves[*level]
            .steps
            .push(step(&graph, component, start_up_ns));
    }
    for wave in &mut waves {
        wave.steps
            .sort_by(|one, other| one.members.cmp(&other.members));
    }
    waves.retain(|it| !it.steps.is_empty());
    let mut outside: BTreeMap<usize, BTreeSet<Who>> = BTreeMap::new();
    for edge in &view.edges {
        if edge.port.is_some() && is_workload(edge.client) && !is_workload(edge.server) {
            outside
                .entry(edge.server)
                .or_default()
                .insert(Who::of(view, edge.client));
        }
    }
    let outside = outside.into_iter().map(|(at, needed_by)| Outside {
        who: Who::of(view, at),
        needed_by: needed_by.into_iter().collect(),
    });
    let mut proof = Proof::of(view, QuestionKind::RecoveryOrder);
    proof.doubt_undirected(view.edges.iter());
    // Where no process that is known began just then, one that is not known may have.
    let steps = waves.iter().flat_map(|it| &it.steps);
    let open = steps
        .flat_map(|it| &it.needs)
        .filter(|it| !matches!(it.when, When::StartUp | When::EachRun));
    let clients: BTreeSet<&str> = open.map(|it| &*it.link.client.id).collect();
    let clients = view.nodes.iter().filter(|it| clients.contains(&*it.id));
    proof.doubt_cut(clients, &["processes"]);
    let found = RecoveryOrder {
        waves,
        outside: outside.collect(),
    };
    Answer::new(QuestionKind::RecoveryOrder, found, proof)
}

fn step(graph: &Graph, component: &[usize], start_up_ns: u64) -> Step {
    let view = graph.view;
    let (members, left_out) = match component {
        [_] => (component.to_vec(), Vec::new()),
        _ => unwind(graph, component),
    };
    let mut needs: Vec<Need> = members
        .iter()
        .flat_map(|node| &graph.from[*node])
        .map(|at| &view.edges[*at])
        .map(|edge| Need {
            when: when(view, edge, start_up_ns),
            link: Link::of(view, edge),
        })
        .collect();
    needs.sort_by(|one, other| {
        (one.when, &one.link.server, one.link.port).cmp(&(
            other.when,
            &other.link.server,
            other.link.port,
        ))
    });
    Step {
        members: members.iter().map(|at| Who::of(view, *at)).collect(),
        needs,
        weakest: left_out
            .iter()
            .map(|at| Link::of(view, &view.edges[*at]))
            .collect(),
    }
}

/// The order of nodes that need each other, and the edges that had to be left out for it, the weakest
/// first: each has the fewest connections of a cycle, and none could be kept.
fn unwind(graph: &Graph, component: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let edges = &graph.view.edges;
    // Ports between the same two nodes count together: leaving one out does not help.
    let mut ports: BTreeMap<(usize, usize), (u64, Vec<usize>)> = BTreeMap::new();
    for at in component.iter().flat_map(|node| &graph.from[*node]) {
        let edge = &edges[*at];
        let place = |node: usize| component.binary_search(&node).ok();
        if let Some(pair) = place(edge.client).zip(place(edge.server)) {
            let (connections, of_pair) = ports.entry(pair).or_default();
            *connections = connections.saturating_add(edge.connections());
            of_pair.push(*at);
        }
    }
    let mut pairs: Vec<_> = ports.into_iter().collect();
    pairs.sort_by_key(|(pair, (connections, _))| (*connections, *pair));
    let mut servers = vec![Vec::new(); component.len()];
    let mut left_out = Vec::new();
    // The strongest first: what closes a cycle then is the weakest of it.
    while let Some(((client, server), (_, of_pair))) = pairs.pop() {
        if reaches(&servers, server, client) {
            left_out.push(of_pair);
        } else {
            servers[client].push(server);
        }
    }
    let kept = servers
        .iter()
        .enumerate()
        .flat_map(|(client, servers)| servers.iter().map(move |server| (client, *server)));
    let order = cycles(component.len(), kept).into_iter().flatten();
    (
        order.map(|at| component[at]).collect(),
        left_out.into_iter().rev().flatten().collect(),
    )
}

/// Whether a way leads from one node to another, with what follows each.
fn reaches(next: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = vec![false; next.len()];
    let mut open = vec![from];
    seen[from] = true;
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        for other in &next[node] {
            if !std::mem::replace(&mut seen[*other], true) {
                open.push(*other);
            }
        }
    }
    false
}

/// When `edge` is dialled.
fn when(view: &View, edge: &Edge, start_up_ns: u64) -> When {
    let watched_from = |host: &Host| {
        let hosts = view.coverage.iter().find(|it| *it.host == *host);
        hosts.map(|it| it.from)
    };
    let client = &view.nodes[edge.client];
    let from = client.host.as_deref().and_then(watched_from);
    let begun: Vec<Timestamp> = client
        .processes
        .iter()
        .filter_map(|it| it.started)
        .filter(|started| from.is_some_and(|from| *started >= from))
        .collect();
    let Some(oldest) = begun.iter().min() else {
        return When::Unknown;
    };
    if edge.live_at_start > 0 {
        return When::Unknown;
    }
    // The process that began last before, if that is not long ago.
    let start_before = |time: Timestamp| {
        let start = begun.iter().filter(|it| **it <= time).max()?;
        (time.as_ns() - start.as_ns() <= start_up_ns).then_some(*start)
    };
    let last = edge.last_success.max(edge.last_failure.map(|it| it.time));
    let last = last.unwrap_or(edge.first_seen);
    match (start_before(edge.first_seen), start_before(last)) {
        // Of many processes, only the last ones are known.
        (None, Some(_)) if edge.first_seen < *oldest => When::EachRun,
        // Whether it is dialled at a start that is not known any more, nobody can say.
        (None, None) if client.cut.processes > 0 => When::Unknown,
        (None, None) => When::Steady,
        // Before or after it dialled at other times: an older process may have been first.
        (None, Some(_)) | (Some(_), None) => When::Both,
        (Some(first), Some(last)) if first == last => When::StartUp,
        (Some(_), Some(_)) => When::EachRun,
    }
}
