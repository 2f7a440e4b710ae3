//! A snapshot, and what is counted over it once, so that drawing a row costs no more than that row.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    model::{Edge, EdgeState, Node, View},
    outputs::units::Count,
};

/// What an edge is called, whatever its place in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EdgeKey {
    pub(super) client: Arc<str>,
    pub(super) server: Arc<str>,
    pub(super) port: Option<u16>,
}

/// What a row of a list stands for, whatever its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Node(Arc<str>),
    Edge(EdgeKey),
}

/// What detail is shown of: an index into the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Node(usize),
    Edge(usize),
}

/// A snapshot with what is counted over it.
#[derive(Debug, Default)]
pub(super) struct Map {
    view: View,
    nodes: Vec<NodeFacts>,
    edges: Vec<EdgeFacts>,
    /// Edges that fail or failed.
    pub(super) failing: usize,
    /// Whether nodes run on several hosts.
    pub(super) many_hosts: bool,
}

/// What is counted of a node.
#[derive(Debug, Default)]
pub(super) struct NodeFacts {
    /// Edges that it is the server of.
    pub(super) incoming: Vec<usize>,
    /// Edges that it is the client of.
    pub(super) outgoing: Vec<usize>,
    /// Connections that are open, at either end.
    pub(super) live: u64,
    /// New connections a second; none if that is not known yet.
    pub(super) rate: Option<f64>,
    /// Attempts that failed, at either end.
    pub(super) failures: u64,
    /// The worst of its edges.
    pub(super) state: Option<EdgeState>,
}

/// What is counted of an edge.
#[derive(Debug, Default)]
pub(super) struct EdgeFacts {
    /// New connections a second; none if that is not known yet.
    pub(super) rate: Option<f64>,
}

/// What was established by when, to tell rates from the next snapshot.
#[derive(Debug)]
pub(super) struct Earlier {
    at: Duration,
    established: HashMap<EdgeKey, u64>,
}

impl Map {
    /// Counts over `view`. Rates are those since `earlier`.
    pub(super) fn new(mut view: View, at: Duration, earlier: Option<&Earlier>) -> Self {
        // An edge without ends cannot be shown; nobody makes one.
        let count = view.nodes.len();
        view.edges
            .retain(|edge| edge.client < count && edge.server < count);

        let seconds = earlier.map(|it| at.saturating_sub(it.at).as_secs_f64());
        let mut nodes: Vec<NodeFacts> = Vec::new();
        nodes.resize_with(count, NodeFacts::default);
        let mut edges = Vec::with_capacity(view.edges.len());
        let mut failing = 0;
        for (index, edge) in view.edges.iter().enumerate() {
            let rate = match (earlier, seconds) {
                (Some(earlier), Some(seconds)) if seconds > 0.0 => {
                    let before = earlier.established.get(&key(&view, edge));
                    let new = edge
                        .established
                        .saturating_sub(before.copied().unwrap_or(0));
                    Some(new as f64 / seconds)
                }
                _ => None,
            };
            failing += usize::from(edge.state != EdgeState::Ok);
            nodes[edge.client].outgoing.push(index);
            nodes[edge.server].incoming.push(index);
            nodes[edge.client].add(edge, rate);
            if edge.client != edge.server {
                nodes[edge.server].add(edge, rate);
            }
            edges.push(EdgeFacts { rate });
        }
        let mut hosts = view.nodes.iter().filter_map(|node| node.host.as_ref());
        let first = hosts.next();
        let many_hosts = hosts.any(|host| first.is_some_and(|first| first != host));
        Self {
            view,
            nodes,
            edges,
            failing,
            many_hosts,
        }
    }

    /// What the next snapshot is compared with.
    pub(super) fn to_compare(&self, at: Duration) -> Earlier {
        let edges = self.view.edges.iter();
        Earlier {
            at,
            established: edges
                .map(|edge| (key(&self.view, edge), edge.established))
                .collect(),
        }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn node(&self, index: usize) -> (&Node, &NodeFacts) {
        (&self.view.nodes[index], &self.nodes[index])
    }

    pub(super) fn edge(&self, index: usize) -> (&Edge, &EdgeFacts) {
        (&self.view.edges[index], &self.edges[index])
    }

    /// The client of an edge.
    pub(super) fn client(&self, edge: usize) -> &Node {
        &self.view.nodes[self.view.edges[edge].client]
    }

    /// The server of an edge.
    pub(super) fn server(&self, edge: usize) -> &Node {
        &self.view.nodes[self.view.edges[edge].server]
    }

    pub(super) fn key(&self, subject: Subject) -> Key {
        match subject {
            Subject::Node(index) => Key::Node(Arc::clone(&self.view.nodes[index].id)),
            Subject::Edge(index) => Key::Edge(self.edge_key(index)),
        }
    }

    pub(super) fn edge_key(&self, index: usize) -> EdgeKey {
        key(&self.view, &self.view.edges[index])
    }

    /// Where a node is now; none if it is no longer there.
    pub(super) fn find_node(&self, id: &str) -> Option<usize> {
        self.view.nodes.iter().position(|node| *node.id == *id)
    }

    /// Where what `key` names is now.
    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        match key {
            Key::Node(id) => self.find_node(id),
            Key::Edge(key) => {
                let client = self.find_node(&key.client)?;
                let mut edges = self.nodes[client].outgoing.iter().copied();
                edges.find(|index| {
                    self.view.edges[*index].port == key.port && self.server(*index).id == key.server
                })
            }
        }
    }

    /// Nanoseconds from `time` to the newest event of the snapshot.
    pub(super) fn ago(&self, time: crate::model::Timestamp) -> u64 {
        let now = self.view.generated.unwrap_or(time);
        now.as_ns().saturating_sub(time.as_ns())
    }
}

impl NodeFacts {
    fn add(&mut self, edge: &Edge, rate: Option<f64>) {
        self.live = self.live.saturating_add(edge.live());
        self.failures = self.failures.saturating_add(edge.failures());
        self.rate = match (self.rate, rate) {
            (Some(sum), Some(rate)) => Some(sum + rate),
            (one, other) => one.or(other),
        };
        let worse = |state: EdgeState| match state {
            EdgeState::Ok => 0,
            EdgeState::Mixed => 1,
            EdgeState::Failed => 2,
        };
        if self
            .state
            .is_none_or(|state| worse(edge.state) > worse(state))
        {
            self.state = Some(edge.state);
        }
    }
}

fn key(view: &View, edge: &Edge) -> EdgeKey {
    EdgeKey {
        client: Arc::clone(&view.nodes[edge.client].id),
        server: Arc::clone(&view.nodes[edge.server].id),
        port: edge.port,
    }
}

/// A node's name for tables: systemd itself takes a unit's name without `.service`.
pub(super) fn short_name(node: &Node) -> &str {
    let name = &*node.name;
    match name.strip_suffix(".service") {
        Some(short) if !short.is_empty() => short,
        _ => name,
    }
}

/// What a node is for, as far as that is known.
pub(super) fn role(node: &Node) -> &str {
    let role = node.workload.as_ref().and_then(|it| it.role.as_deref());
    role.unwrap_or("")
}

/// The name of the host that a node runs on.
pub(super) fn host(node: &Node) -> &str {
    node.host.as_ref().map_or("", |host| &host.name)
}

/// What leads to the server of an edge: an arrow, with two heads if it is not known who opened
/// these connections.
pub(super) fn arrow(edge: &Edge) -> &'static str {
    if edge.is_directed() { "→" } else { "↔" }
}

/// The server's port, to be written behind its name.
pub(super) fn at_port(edge: &Edge) -> String {
    match (edge.port, edge.history.ports) {
        (Some(port), _) => format!(" :{port}"),
        (None, 0) => String::new(),
        (None, ports) => format!(" ({} ports)", Count(ports)),
    }
}
