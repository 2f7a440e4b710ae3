//! What is the same in two maps: workloads by what names them across restarts, and edges by their
//! ends. What changes with every start (pids, ports that the kernel chose, suffixes of pods) does
//! not count.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::service::lasting_name;
use crate::model::{Address, Edge, Node, NodeKind, View};

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
    /// Workloads of `after` of which `before` knows the address alone.
    pub(super) appeared: Vec<usize>,
    /// Edges in both, by their indices.
    pub(super) edges: Vec<(usize, usize)>,
    /// Edges that another port has replaced.
    pub(super) moved_edges: Vec<(usize, usize)>,
    /// Edges of which it is not known who opened them, each with another one between the same two
    /// that is known to be in both.
    pub(super) covered: Vec<(usize, usize)>,
    /// Edges of `before` that are gone.
    pub(super) gone_edges: Vec<usize>,
    /// Edges of `after` that are new.
    pub(super) new_edges: Vec<usize>,
}

impl<'a> Matching<'a> {
    pub(super) fn of(before: &'a View, after: &'a View) -> Self {
        let (mut nodes, mut new_nodes) = match_nodes(before, after);
        let appeared = match_addresses(before, after, &mut nodes, &mut new_nodes);
        let mut matching = Self {
            before,
            after,
            nodes,
            new_nodes,
            appeared,
            edges: Vec::new(),
            moved_edges: Vec::new(),
            covered: Vec::new(),
            gone_edges: Vec::new(),
            new_edges: Vec::new(),
        };
        matching.match_edges();
        matching
    }

    fn match_edges(&mut self) {
        let mut after: HashMap<(Ends, Option<u16>), Vec<usize>> = HashMap::new();
        for (at, edge) in self.after.edges.iter().enumerate() {
            let place = ((edge.client, edge.server), edge.port);
            after.entry(place).or_default().push(at);
        }
        let mut gone = ByEnds::new();
        for (at, edge) in self.before.edges.iter().enumerate() {
            let ends = self.nodes[edge.client].zip(self.nodes[edge.server]);
            let same = ends.and_then(|ends| after.get_mut(&(ends, edge.port))?.pop());
            match (same, ends) {
                (Some(same), _) => self.edges.push((at, same)),
                (None, Some(ends)) => gone.entry(ends).or_default().push(at),
                (None, None) => self.gone_edges.push(at),
            }
        }
        let mut new = ByEnds::new();
        for (at, edge) in self.after.edges.iter().enumerate() {
            if after
                .get(&((edge.client, edge.server), edge.port))
                .is_some_and(|it| it.contains(&at))
            {
                new.entry((edge.client, edge.server)).or_default().push(at);
            }
        }
        self.match_undirected(&mut gone, &mut new);
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

/// Matches what is only an address in one map, and in the other a workload, as nothing answered there,
/// or a name, as nobody asked for it while it was watched: if just one has that address. Takes what is matched out of `left`, and returns those that are
/// workloads in `after`.
fn match_addresses(
    before: &View,
    after: &View,
    matched: &mut [Option<usize>],
    left: &mut Vec<usize>,
) -> Vec<usize> {
    /// By address, what has it; none if several have.
    fn owners(view: &View, of: impl Iterator<Item = usize>) -> HashMap<Address, Option<usize>> {
        let mut owners = HashMap::new();
        for at in of {
            for address in &view.nodes[at].addresses {
                owners
                    .entry(*address)
                    .and_modify(|it| *it = None)
                    .or_insert(Some(at));
            }
        }
        owners
    }
    let open = (0..before.nodes.len()).filter(|at| matched[*at].is_none());
    let old = owners(before, open);
    let new = owners(after, left.iter().copied());
    let mut appeared = Vec::new();
    let mut pairs: Vec<(usize, usize)> = old
        .iter()
        .filter_map(|(address, at)| (*at).zip(new.get(address).copied().flatten()))
        .filter(|(old, new)| {
            let (old, new) = (&before.nodes[*old], &after.nodes[*new]);
            // Two names at one address are two things: many share those of a balancer.
            old.kind != new.kind || is_nameless(old) || is_nameless(new)
        })
        .filter(|(old, new)| serve_alike((before, *old), (after, *new)))
        .collect();
    pairs.sort_unstable();
    for (old, new) in pairs {
        if matched[old].is_none() && left.contains(&new) {
            matched[old] = Some(new);
            left.retain(|at| *at != new);
            if after.nodes[new].kind == NodeKind::Workload {
                appeared.push(new);
            }
        }
    }
    appeared
}

/// Whether what is only an address in one of two maps is dialled at no other port than what it would be
/// in the other one serves: all services of a host share its address.
fn serve_alike(old: (&View, usize), new: (&View, usize)) -> bool {
    let ports = |(view, at): (&View, usize)| -> HashSet<u16> {
        let served = view.edges.iter().filter(|it| it.server == at);
        let listened = view.nodes[at].listeners.iter().map(|it| it.port);
        served.filter_map(|it| it.port).chain(listened).collect()
    };
    match (old.0.nodes[old.1].kind, new.0.nodes[new.1].kind) {
        (NodeKind::Workload, NodeKind::Remote) => ports(new).is_subset(&ports(old)),
        (NodeKind::Remote, NodeKind::Workload) => ports(old).is_subset(&ports(new)),
        _ => true,
    }
}

fn is_nameless(node: &Node) -> bool {
    node.kind == NodeKind::Remote && node.name.parse::<Address>().is_ok()
}

impl Matching<'_> {
    /// Matches those of these edges of which it is not known who opened them: of what was open when
    /// watching began, one map may know that and the other not. Any edge between the same two may be
    /// the same one.
    fn match_undirected(&mut self, gone: &mut ByEnds, new: &mut ByEnds) {
        let (before, after) = (self.before, self.after);
        let undirected = |view: &View, edges: &ByEnds| -> Vec<(Ends, usize)> {
            let all = edges
                .iter()
                .flat_map(|(ends, edges)| edges.iter().map(|at| (*ends, *at)));
            all.filter(|(_, at)| !view.edges[*at].is_directed())
                .collect()
        };
        // The same, told by the other end.
        for (ends, at) in undirected(before, gone) {
            let is_undirected = |other: &usize| !after.edges[*other].is_directed();
            if let Some(other) = take(new, turned(ends), is_undirected) {
                take(gone, ends, |it| *it == at);
                self.edges.push((at, other));
            }
        }
        for (ends, at) in undirected(before, gone) {
            let other = take(new, ends, |_| true).or_else(|| take(new, turned(ends), |_| true));
            if let Some(other) = other {
                take(gone, ends, |it| *it == at);
                self.edges.push((at, other));
            }
        }
        for (ends, at) in undirected(after, new) {
            let other = take(gone, ends, |_| true).or_else(|| take(gone, turned(ends), |_| true));
            if let Some(other) = other {
                take(new, ends, |it| *it == at);
                self.edges.push((other, at));
            }
        }
        // What is left says nothing that another edge does not say.
        let mut known: HashMap<Ends, usize> = HashMap::new();
        for (one, other) in &self.edges {
            let edge = &after.edges[*other];
            if before.edges[*one].port.is_some() && edge.port.is_some() {
                known.insert((edge.client, edge.server), *other);
            }
        }
        let between = |ends: Ends| known.get(&ends).or_else(|| known.get(&turned(ends)));
        for (ends, at) in undirected(before, gone) {
            if let Some(other) = between(ends) {
                take(gone, ends, |it| *it == at);
                self.covered.push((at, *other));
            }
        }
        for (ends, at) in undirected(after, new) {
            if between(ends).is_some() {
                take(new, ends, |it| *it == at);
            }
        }
    }
}

/// Client and server, by their indices.
type Ends = (usize, usize);
/// Edges by their ends in the later map.
type ByEnds = BTreeMap<Ends, Vec<usize>>;

fn turned((client, server): Ends) -> Ends {
    (server, client)
}

/// Takes the first of the edges between these ends that `is` one.
fn take(edges: &mut ByEnds, ends: Ends, is: impl Fn(&usize) -> bool) -> Option<usize> {
    let edges = edges.get_mut(&ends)?;
    let at = edges.iter().position(is)?;
    Some(edges.remove(at))
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
    // What has the same id first: of several that have the same lasting name, it is the same one.
    let ids = after.nodes.iter().enumerate();
    let by_id: HashMap<&str, usize> = ids.map(|(at, node)| (&*node.id, at)).collect();
    for (at, node) in before.nodes.iter().enumerate() {
        matched[at] = by_id
            .get(&*node.id)
            .copied()
            .filter(|same| place(after, *same, true) == place(before, at, true));
    }
    let taken: HashSet<usize> = matched.iter().flatten().copied().collect();
    let mut left: Vec<usize> = (0..after.nodes.len())
        .filter(|at| !taken.contains(at))
        .collect();
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
        let taken: HashSet<usize> = matched.iter().flatten().copied().collect();
        left.retain(|at| !taken.contains(at));
    }
    (matched, left)
}
