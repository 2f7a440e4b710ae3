//! A part of a view: one node, and what is connected with it.

use super::{WhoError, find};
use crate::model::View;

/// The node that `who` names, and all within `depth` edges of it, upstream and downstream:
/// what depends on it, directly or not, and what it depends on. What shares a server with it and
/// nothing else does not belong to that.
///
/// # Errors
/// If `who` names no node, or several.
pub fn focus(view: &View, who: &str, depth: Option<u32>) -> Result<View, WhoError> {
    let middle = find(view, who)?;
    let mut keeps_edge = vec![false; view.edges.len()];
    let mut keeps_node = vec![false; view.nodes.len()];
    keeps_node[middle] = true;
    for upstream in [true, false] {
        let mut distance = vec![None; view.nodes.len()];
        distance[middle] = Some(0_u32);
        let mut reached = vec![middle];
        // Each edge by the node that it is reached from.
        let mut edges: Vec<Vec<usize>> = vec![Vec::new(); view.nodes.len()];
        for (at, edge) in view.edges.iter().enumerate() {
            let from = if upstream { edge.server } else { edge.client };
            edges[from].push(at);
        }
        let mut next = 0;
        while let Some(&node) = reached.get(next) {
            next += 1;
            let Some(steps) = distance[node].filter(|steps| depth.is_none_or(|max| *steps < max))
            else {
                continue;
            };
            for &at in &edges[node] {
                keeps_edge[at] = true;
                let edge = &view.edges[at];
                let to = if upstream { edge.client } else { edge.server };
                keeps_node[to] = true;
                if distance[to].is_none() {
                    distance[to] = Some(steps + 1);
                    reached.push(to);
                }
            }
        }
    }
    Ok(view.part(&keeps_node, &keeps_edge))
}
