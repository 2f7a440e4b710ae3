//! What is the same in two maps: workloads by what names them across restarts, and edges by their
//! ends. What changes with every start (pids, ports that the kernel chose, suffixes of pods) does
//! not count.

use std::collections::{BTreeMap, HashMap};

use super::service::lasting_name;
use crate::model::{Edge, NodeKind, View};

/// From here on the kernel chooses ports by itself (`ip_local_port_range`).
pub(super) const EPHEMERAL: u16 = 32_768;

/// Two maps, and what is the same in them.
pub(super) struct Matching<'a> {
    pub(super) before: &'a View,
    pub(super) after: &'a View,
    /// For each node of `before`, the same in `after`.
    pub(super) nodes: Vec<Option<usize>>,
    /// Nodes of `after` that are not in `before`.
    pub(super) new_nodes: Vec<usize>,
    /// Edges in both, by their indices.
    pub(super) edges: Vec<(usize, usize)>,
    /// Edges that another port has replaced.
    pub(super) moved_edges: Vec<(usize, usize)>,
    /// Edges of `before` that are gone.
    pub(super) gone_edges: Vec<usize>,
    /// Edges of `after` that are new.
    pub(super) new_edges: Vec<usize>,
}

impl<'a> Matching<'a> {
    pub(super) fn of(before: &'a View, after: &'a View) -> Self {
        let (nodes, new_nodes) = match_nodes(before, after);
        let mut matching = Self {
            before,
            after,
            nodes,
            new_nodes,
            edges: Vec::new(),
            moved_edges: Vec::new(),
            gone_edges: Vec::new(),
            new_edges: Vec::new(),
        };
        matching.match_edges();
        matching
    }

    fn match_edges(&mut self) {
        type Ends = (usize, usize);
        let mut after: HashMap<(Ends, Option<u16>), Vec<usize>> = HashMap::new();
        for (at, edge) in self.after.edges.iter().enumerate() {
            let place = ((edge.client, edge.server), edge.port);
            after.entry(place).or_default().push(at);
        }
        let mut gone: BTreeMap<Ends, Vec<usize>> = BTreeMap::new();
        for (at, edge) in self.before.edges.iter().enumerate() {
            let ends = self.nodes[edge.client].zip(self.nodes[edge.server]);
            let same = ends.and_then(|ends| after.get_mut(&(ends, edge.port))?.pop());
            match (same, ends) {
                (Some(same), _) => self.edges.push((at, same)),
                (None, Some(ends)) => gone.entry(ends).or_default().push(at),
                (None, None) => self.gone_edges.push(at),
            }
        }
        let mut new: BTreeMap<Ends, Vec<usize>> = BTreeMap::new();
        for (at, edge) in self.after.edges.iter().enumerate() {
            if after
                .get(&((edge.client, edge.server), edge.port))
                .is_some_and(|it| it.contains(&at))
            {
                new.entry((edge.client, edge.server)).or_default().push(at);
            }
        }
        for (ends, mut gone) in gone {
            let mut new = new.remove(&ends).unwrap_or_default();
            let is_ephemeral = |edge: &Edge| edge.port.is_some_and(|it| it >= EPHEMERAL);
            // A port that the kernel chose is another one after every start.
            while let (Some(one), Some(other)) = (
                gone.iter()
                    .position(|it| is_ephemeral(&self.before.edges[*it])),
                new.iter()
                    .position(|it| is_ephemeral(&self.after.edges[*it])),
            ) {
                self.edges.push((gone.remove(one), new.remove(other)));
            }
            match (&gone[..], &new[..]) {
                ([one], [other]) => self.moved_edges.push((*one, *other)),
                _ => {
                    self.gone_edges.extend(gone);
                    self.new_edges.extend(new);
                }
            }
        }
        self.new_edges.extend(new.into_values().flatten());
        self.edges.sort_unstable();
        self.gone_edges.sort_unstable();
        self.new_edges.sort_unstable();
    }
}

/// For each node of `before` the same in `after`, and those of `after` that are left.
fn match_nodes(before: &View, after: &View) -> (Vec<Option<usize>>, Vec<usize>) {
    type Place<'a> = (NodeKind, Option<&'a str>, String);
    fn place(view: &View, at: usize, with_host: bool) -> Place<'_> {
        let node = &view.nodes[at];
        let host = node.host.as_ref().filter(|_| with_host);
        (
            node.kind,
            host.map(|it| it.name.as_str()),
            lasting_name(node),
        )
    }
    let mut matched = vec![None; before.nodes.len()];
    let mut left: Vec<usize> = (0..after.nodes.len()).collect();
    // On the same host first; then, where there is one of the name on either side, on another.
    for with_host in [true, false] {
        let mut by_place: HashMap<Place, Vec<usize>> = HashMap::new();
        for at in left.iter().rev() {
            by_place
                .entry(place(after, *at, with_host))
                .or_default()
                .push(*at);
        }
        let mut twins: HashMap<Place, usize> = HashMap::new();
        let open: Vec<usize> = (0..before.nodes.len())
            .filter(|at| matched[*at].is_none())
            .filter(|at| with_host || before.nodes[*at].kind == NodeKind::Workload)
            .collect();
        for at in &open {
            *twins.entry(place(before, *at, with_host)).or_default() += 1;
        }
        for at in open {
            let place = place(before, at, with_host);
            let Some(same) = by_place.get_mut(&place) else {
                continue;
            };
            if with_host || (same.len() == 1 && twins.get(&place) == Some(&1)) {
                matched[at] = same.pop();
            }
        }
        let taken: std::collections::HashSet<usize> = matched.iter().flatten().copied().collect();
        left.retain(|at| !taken.contains(at));
    }
    (matched, left)
}
