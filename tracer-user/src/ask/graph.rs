//! Who can be reached from whom. A node that dials itself depends on nobody else, so edges from a
//! node to itself are left out.

use std::collections::{HashMap, VecDeque};

use petgraph::{algo::kosaraju_scc, graph::DiGraph};

use crate::model::{Edge, View};

/// The edges of a view by their ends.
pub(super) struct Graph<'a> {
    pub(super) view: &'a View,
    /// Edges that lead to a node, by the node.
    pub(super) into: Vec<Vec<usize>>,
    /// Edges that lead away from it.
    pub(super) from: Vec<Vec<usize>>,
    /// By edge: who else it leads to.
    also: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Of those edges of `view` that `takes`.
    pub(super) fn of(view: &'a View, takes: impl Fn(&Edge) -> bool) -> Self {
        let mut graph = Self {
            view,
            into: vec![Vec::new(); view.nodes.len()],
            from: vec![Vec::new(); view.nodes.len()],
            also: vec![Vec::new(); view.edges.len()],
        };
        for (at, edge) in view.edges.iter().enumerate() {
            if edge.client != edge.server && takes(edge) {
                graph.into[edge.server].push(at);
                graph.from[edge.client].push(at);
            }
        }
        graph
    }

    /// Edges lead as well to those by whose listening sockets their connections came in.
    pub(super) fn with_listeners(mut self) -> Self {
        let nodes = self.view.nodes.iter().enumerate();
        let by_id: HashMap<&str, usize> = nodes.map(|(at, node)| (&*node.id, at)).collect();
        for (at, edge) in self.view.edges.iter().enumerate() {
            for id in edge.evidence.listeners.keys() {
                if let Some(node) = by_id.get(&**id).filter(|it| **it != edge.client) {
                    self.into[*node].push(at);
                    self.also[at].push(*node);
                    // An edge from a node to itself is one no more.
                    if edge.client == edge.server {
                        self.from[edge.client].push(at);
                    }
                }
            }
        }
        self
    }

    /// Who an edge leads to.
    pub(super) fn servers(&self, edge: usize) -> impl Iterator<Item = usize> {
        let server = self.view.edges[edge].server;
        [server].into_iter().chain(self.also[edge].iter().copied())
    }

    /// How many edges away each node is from `starts`, against the edges or along them.
    pub(super) fn distances(&self, starts: &[usize], upstream: bool) -> Vec<Option<u32>> {
        let mut distances = vec![None; self.view.nodes.len()];
        let mut next: VecDeque<usize> = starts.iter().copied().collect();
        for start in starts {
            distances[*start] = Some(0);
        }
        while let Some(node) = next.pop_front() {
            let farther = distances[node].map(|it: u32| it + 1);
            let edges = if upstream { &self.into } else { &self.from };
            for at in &edges[node] {
                let client = upstream.then(|| self.view.edges[*at].client);
                let servers = self.servers(*at).filter(|_| !upstream);
                for other in client.into_iter().chain(servers) {
                    if distances[other].is_none() {
                        distances[other] = farther;
                        next.push_back(other);
                    }
                }
            }
        }
        distances
    }
}

/// The strongly connected components of a graph with `nodes` nodes and these edges, each in order
/// of its nodes; every component comes after those that its edges lead to.
pub(super) fn cycles(nodes: usize, edges: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut graph = DiGraph::<(), (), usize>::with_capacity(nodes, 0);
    for _ in 0..nodes {
        graph.add_node(());
    }
    graph.extend_with_edges(edges);
    let mut components: Vec<Vec<usize>> = kosaraju_scc(&graph)
        .into_iter()
        .map(|component| component.into_iter().map(|it| it.index()).collect())
        .collect();
    components.iter_mut().for_each(|it| it.sort_unstable());
    components
}
