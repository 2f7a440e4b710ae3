//! Views: what a map looks like at one moment. Plain and complete, so that formats, the terminal
//! view and the questions need nothing else.

mod coverage;
mod edge;
mod node;

pub use coverage::{Gap, HostCoverage, HostCut, Run, StepsBack};
pub use edge::{
    Edge, EdgeEvidence, EdgeState, Endings, History, LastFailure, Outage, Quantiles, SeenBy,
};
pub use node::{Change, Cut, Happened, LedPast, ListeningAt, Node, NodeKind, ServedBy};

use serde::Serialize;

use super::Timestamp;

/// An immutable snapshot of a map. Nodes and edges are in a fixed order: nodes by `id`, edges by
/// client, server and port. Every node is an end of an edge, or listens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The time of the newest event in it; none if there was none.
    pub generated: Option<Timestamp>,
    /// Coverage of each host, in order of id.
    pub coverage: Vec<HostCoverage>,
    /// Workloads and remotes.
    pub nodes: Vec<Node>,
    /// Who depends on whom.
    pub edges: Vec<Edge>,
    /// Inbound connections without a known listener.
    pub strays: Vec<Stray>,
}

/// Inbound connections without a known listener: a transparent proxy accepts connections to other addresses, or the
/// listener was closed before coverage began, or was not reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// The id of the host.
    pub host: String,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// How many.
    pub connections: u64,
}

impl View {
    /// The subgraph of the nodes and edges whose flag is set. Both ends of such an edge must be set.
    pub fn part(&self, keeps_node: &[bool], keeps_edge: &[bool]) -> Self {
        let mut places = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if keeps_node[at] {
                places[at] = nodes.len();
                nodes.push(node.clone());
            }
        }
        let edges = self.edges.iter().zip(keeps_edge);
        Self {
            generated: self.generated,
            coverage: self.coverage.clone(),
            strays: self.strays.clone(),
            nodes,
            edges: edges
                .filter(|(_, keeps)| **keeps)
                .map(|(edge, _)| {
                    let mut edge = edge.clone();
                    (edge.client, edge.server) = (places[edge.client], places[edge.server]);
                    edge
                })
                .collect(),
        }
    }
}
