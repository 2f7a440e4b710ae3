//! A part of a view: one node, and what is connected with it.

use crate::model::{Node, View};

/// How many names are suggested in place of one that is not known.
const SUGGESTIONS: usize = 5;

/// Why there is no such part.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WhoError {
    /// Nothing goes by that name.
    #[error("nothing in this map is called that{}", suggestions(.0))]
    Unknown(Vec<String>),
    /// Several do.
    #[error("{} things in this map are called that: name one by its id, {}", .0.len(), .0.join(" or "))]
    Ambiguous(Vec<String>),
}

fn suggestions(names: &[String]) -> String {
    match names {
        [] => "; it is empty".to_owned(),
        names => format!("; what comes nearest: {}", names.join(", ")),
    }
}

/// The index of the node whose id or name is `who`.
///
/// # Errors
/// If there is none, or more than one of that name.
pub fn find(view: &View, who: &str) -> Result<usize, WhoError> {
    let by = |is: &dyn Fn(&Node) -> bool| -> Vec<usize> {
        let nodes = view.nodes.iter().enumerate();
        nodes.filter(|(_, it)| is(it)).map(|(at, _)| at).collect()
    };
    let by_id = by(&|it| *it.id == *who);
    let found = match by_id.is_empty() {
        false => by_id,
        true => by(&|it| *it.name == *who),
    };
    match found[..] {
        [one] => Ok(one),
        [] => Err(WhoError::Unknown(nearest(view, who))),
        _ => Err(WhoError::Ambiguous(
            found
                .iter()
                .map(|at| view.nodes[*at].id.to_string())
                .collect(),
        )),
    }
}

/// The names that are most like `who`.
fn nearest(view: &View, who: &str) -> Vec<String> {
    let likeness = |node: &Node| {
        let name = node.name.to_lowercase();
        let who = who.to_lowercase();
        let contains = name.contains(&who) || who.contains(&*name);
        (
            contains,
            (strsim::jaro_winkler(&name, &who) * 1000.0) as u64,
        )
    };
    let mut nodes: Vec<_> = view
        .nodes
        .iter()
        .map(|node| (likeness(node), node))
        .collect();
    nodes.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.id.cmp(&other.1.id)));
    let mut names: Vec<String> = Vec::new();
    for (_, node) in nodes {
        if names.len() < SUGGESTIONS && !names.contains(&node.name.to_string()) {
            names.push(node.name.to_string());
        }
    }
    names
}

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
    Ok(part(view, &keeps_node, &keeps_edge))
}

/// The nodes and edges of `view` that are kept; an edge keeps its ends.
fn part(view: &View, keeps_node: &[bool], keeps_edge: &[bool]) -> View {
    let mut places = vec![0; view.nodes.len()];
    let mut nodes = Vec::new();
    for (at, node) in view.nodes.iter().enumerate() {
        if keeps_node[at] {
            places[at] = nodes.len();
            nodes.push(node.clone());
        }
    }
    let edges = view.edges.iter().zip(keeps_edge);
    View {
        generated: view.generated,
        coverage: view.coverage.clone(),
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
