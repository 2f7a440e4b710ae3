//! Who can be reached from whom. A node that dials itself depends on nobody else, so edges from a
//! node to itself are left out.

use std::collections::VecDeque;

use petgraph::{algo::kosaraju_scc, graph::DiGraph};

use crate::model::{Edge, View};

/// The edges of a view by their ends.
pub(super) struct Graph<'a> {
    pub(super) view: &'a View,
    /// Edges that lead to a node, by the node.
    pub(super) into: Vec<Vec<usize>>,
    /// Edges that lead away from it.
    pub(super) from: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Of those edges of `view` that `takes`.
    pub(super) fn of(view: &'a View, takes: impl Fn(&Edge) -> bool) -> Self {
        let mut graph = Self {
            view,
            into: vec![Vec::new(); view.nodes.len()],
            from: vec![Vec::new(); view.nodes.len()],
        };
        for (at, edge) in view.edges.iter().enumerate() {
            if edge.client != edge.server && takes(edge) {
                graph.into[edge.server].push(at);
                graph.from[edge.client].push(at);
            }
        }
        graph
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
                let edge = &self.view.edges[*at];
                let other = if upstream { edge.client } else { edge.server };
                if distances[other].is_none() {
                    distances[other] = farther;
                    next.push_back(other);
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
