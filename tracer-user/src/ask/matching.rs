//! What is the same in two maps: workloads by what names them across restarts, and edges by their
//! ends. What changes with every start (pids, ports that the kernel chose, suffixes of pods) does
//! not count.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Doubt, Proof,
    arrivals::Arrivals,
    instances::{self, Instances},
    ports::Ports,
    service,
};
use crate::model::{Address, Node, NodeKind, View};

/// Two maps, and what is the same in them.
pub(super) struct Matching<'a> {
    pub(super) before: &'a View,
    pub(super) after: &'a View,
    /// The ports of both.
    ports: (Ports<'a>, Ports<'a>),
    /// For each node of `before`, the same in `after`.
    pub(super) nodes: Vec<Option<usize>>,
    /// What is one service in both.
    instances: Instances,
    /// Ports of nodes of `after` that these have in both.
    kept: HashSet<(usize, u16)>,
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

/// The server of an edge, the same as a node of the other map, if it is in that, and its port.
type Server<'a> = (&'a Node, Option<usize>, Option<u16>);

impl<'a> Matching<'a> {
    pub(super) fn of(before: &'a View, after: &'a View) -> Self {
        let instances::Matched {
            mut nodes,
            new: mut new_nodes,
            instances,
        } = instances::matched(before, after);
        let appeared = match_addresses(before, after, &mut nodes, &mut new_nodes);
        let ports = (Ports::of(before), Ports::of(after));
        let mut kept = HashSet::new();
        for (at, same) in nodes.iter().enumerate() {
            let Some(same) = *same else { continue };
            let in_both = ports.0.at(at).filter(|it| ports.1.has(same, *it));
            kept.extend(in_both.map(|port| (same, port)));
        }
        let mut matching = Self {
            before,
            after,
            ports,
            kept,
            nodes,
            instances,
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

    /// Doubts that an edge which is in one map only is not in the other: what was led to who knows
    /// whom may be of the same listener.
    pub(super) fn doubt(&self, proof: &mut Proof) {
        let there = |at: usize| self.nodes.iter().position(|it| *it == Some(at));
        let gone = self.gone_edges.iter().map(|at| {
            let edge = &self.before.edges[*at];
            (
                &self.before.nodes[edge.server],
                self.nodes[edge.server],
                edge.port,
            )
        });
        let new = self.new_edges.iter().map(|at| {
            let edge = &self.after.edges[*at];
            (
                &self.after.nodes[edge.server],
                there(edge.server),
                edge.port,
            )
        });
        let sides: [(&View, Vec<Server<'_>>); 2] =
            [(self.after, gone.collect()), (self.before, new.collect())];
        for (view, servers) in sides {
            let mut arrivals = Arrivals::compared(view);
            for (server, there, port) in servers {
                // Where it is not a node, it may have listened as it does in the map that has it.
                let node = there.map_or(server, |at| &view.nodes[at]);
                let Some(port) = port else { continue };
                let listeners = node.listeners.iter().filter(|it| it.port == port);
                if listeners.clone().next().is_none() {
                    // What is still open it took before, at whatever address.
                    arrivals.add_anywhere(view, port);
                }
                for listener in listeners {
                    arrivals.add(view, node, listener);
                }
                arrivals.add_past(view, node, Some(port));
            }
            arrivals.tell(view, proof);
        }
        let connections = self.by_address();
        if connections > 0 {
            proof.doubt(Doubt::Unmatched { connections });
        }
        let workloads = self.ownerless();
        if workloads > 0 {
            proof.doubt(Doubt::Ownerless { workloads });
        }
    }

    /// Connections of edges that are in both maps, whose client is a workload in one and an address in the other,
    /// which watched the host of that workload as well: they may be of others there.
    fn by_address(&self) -> u64 {
        let connections = self.edges.iter().map(|(one, other)| {
            let sides = [(self.before, *one), (self.after, *other)];
            let [one, other] = sides.map(|(view, at)| {
                let edge = &view.edges[at];
                (view, edge, &view.nodes[edge.client])
            });
            let ((view, edge, _), (.., workload)) = match (one.2.kind, other.2.kind) {
                (NodeKind::Remote, NodeKind::Workload) => (one, other),
                (NodeKind::Workload, NodeKind::Remote) => (other, one),
                _ => return 0,
            };
            let host = workload.host.as_ref().map(|it| &it.id);
            let is_watched = view.coverage.iter().any(|it| Some(&it.host.id) == host);
            if is_watched {
                edge.evidence.server_only
            } else {
                0
            }
        });
        connections.fold(0, u64::saturating_add)
    }

    /// How many new workloads of users are like one that is gone, as who knows no users tells it: they are no
    /// less theirs, but what was recorded before there was `workload.uid` cannot say so.
    fn ownerless(&self) -> u64 {
        let uid = |node: &Node| node.workload.as_ref().and_then(|it| it.uid);
        let host = |node: &'a Node| node.host.as_ref().map(|it| &it.name);
        let knows = self.before.nodes.iter().filter(|it| uid(it).is_some());
        let knows: HashSet<_> = knows.map(host).collect();
        let gone = self.nodes.iter().zip(&self.before.nodes);
        let gone = gone.filter(|(same, node)| same.is_none() && node.kind == NodeKind::Workload);
        let gone: HashSet<_> = gone
            .map(|(_, node)| (host(node), service::of(node)))
            .collect();
        let new = self.new_nodes.iter().map(|at| &self.after.nodes[*at]);
        let new = new.filter(|it| !knows.contains(&host(it)));
        let alike = new.filter(|node| {
            let lasting = service::ownerless(node);
            lasting.is_some_and(|it| gone.contains(&(host(node), it)))
        });
        alike.count() as u64
    }

    fn match_edges(&mut self) {
        let mut after: HashMap<(Ends, Option<u16>), Vec<usize>> = HashMap::new();
        for (at, edge) in self.after.edges.iter().enumerate() {
            after
                .entry((self.ends(at), edge.port))
                .or_default()
                .push(at);
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
            let ends = self.ends(at);
            if after
                .get(&(ends, edge.port))
                .is_some_and(|it| it.contains(&at))
            {
                new.entry(ends).or_default().push(at);
            }
        }
        self.match_undirected(&mut gone, &mut new);
        self.match_instances(&mut gone, &mut new);
        let mut known: HashMap<Ends, usize> = HashMap::new();
        for (one, other) in &self.edges {
            let edge = &self.before.edges[*one];
            let ends = self.nodes[edge.client].zip(self.nodes[edge.server]);
            for ends in ends.into_iter().chain([self.ends(*other)]) {
                known.insert(ends, *other);
            }
        }
        for (ends, mut gone) in gone {
            let mut new = new.remove(&ends).unwrap_or_default();
            self.match_chosen(known.get(&ends).copied(), &mut gone, &mut new);
            match (&gone[..], &new[..]) {
                ([one], [other]) => self.moved_edges.push((*one, *other)),
                _ => {
                    self.gone_edges.extend(gone);
                    self.new_edges.extend(new);
                }
            }
        }
        for (ends, mut new) in new {
            self.match_chosen(known.get(&ends).copied(), &mut Vec::new(), &mut new);
            self.new_edges.extend(new);
        }
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
        // A user may give a network namespace any address: that says nothing of who had it before.
        let is_roots = |at: &usize| {
            view.nodes[*at]
                .workload
                .as_ref()
                .is_none_or(|it| it.uid.is_none())
        };
        for at in of.filter(is_roots) {
            for address in &view.nodes[at].addresses {
                owners
                    .entry(*address)
                    .and_modify(|it| *it = None)
                    .or_insert(Some(at));
            }
        }
        owners
    }
    // What is matched already is no less there: all workloads of a host have its address.
    let all = |view: &View, is_open: &dyn Fn(usize) -> bool| {
        let is_workload = |at: &usize| view.nodes[*at].kind == NodeKind::Workload;
        let nodes = 0..view.nodes.len();
        let mut owners = owners(view, nodes.filter(|at| is_workload(at) || is_open(*at)));
        owners.retain(|_, at| at.is_none_or(is_open));
        owners
    };
    let old = all(before, &|at| matched[at].is_none());
    let new = all(after, &|at| left.contains(&at));
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
    /// Whether this node of `before` was over before its end, and another instance of it is there.
    pub(super) fn is_over(&self, node: usize) -> bool {
        self.instances.is_over(node)
    }

    /// Whether the kernel may have chosen this port of a node of `before`: another one may stand for it.
    pub(super) fn was_chosen(&self, node: usize, port: u16) -> bool {
        let is_kept = self.nodes[node].is_some_and(|same| self.kept.contains(&(same, port)));
        !is_kept && self.ports.0.is_chosen(node, port)
    }

    /// Likewise of a node of `after`.
    pub(super) fn is_chosen(&self, node: usize, port: u16) -> bool {
        let same = self.instances.standing_for(node);
        !self.kept.contains(&(same, port)) && self.ports.1.is_chosen(node, port)
    }

    /// The ends of an edge of `after`; of instances that stand for each other, the one that is in both.
    fn ends(&self, edge: usize) -> Ends {
        let edge = &self.after.edges[edge];
        let of = |node| self.instances.standing_for(node);
        (of(edge.client), of(edge.server))
    }

    /// Matches ports that the kernel chose with each other. Of one that is left, another edge between the
    /// same two that is in both says as much: `known`.
    fn match_chosen(&mut self, known: Option<usize>, gone: &mut Vec<usize>, new: &mut Vec<usize>) {
        // Server and port.
        let of = |view: &View, at: usize| Some((view.edges[at].server, view.edges[at].port?));
        let (old, fresh) = (|at| of(self.before, at), |at| of(self.after, at));
        let was_chosen = |at: &usize| old(*at).is_some_and(|it| self.was_chosen(it.0, it.1));
        let is_chosen = |at: &usize| fresh(*at).is_some_and(|it| self.is_chosen(it.0, it.1));
        let mut pairs = Vec::new();
        while let (Some(one), Some(other)) = (
            gone.iter().position(was_chosen),
            new.iter().position(is_chosen),
        ) {
            pairs.push((gone.remove(one), new.remove(other)));
        }
        let mut covered = Vec::new();
        if let Some(other) = known.or(pairs.first().map(|(_, other)| *other)) {
            // Where somebody stays, it is a way in of its own.
            let stayed = |at| old(at).is_some_and(|it| self.ports.0.stays(it.0, it.1));
            let stays = |at| fresh(at).is_some_and(|it| self.ports.1.stays(it.0, it.1));
            gone.retain(|at| {
                let is_covered = was_chosen(at) && !stayed(*at);
                covered.extend(is_covered.then_some((*at, other)));
                !is_covered
            });
            new.retain(|at| !is_chosen(at) || stays(*at));
        }
        self.edges.extend(pairs);
        self.covered.extend(covered);
    }

    /// Matches edges of instances that stand for each other: which of them a client comes to is chance.
    fn match_instances(&mut self, gone: &mut ByEnds, new: &mut ByEnds) {
        let (before, after) = (self.before, self.after);
        let flat = |edges: &ByEnds| -> Vec<(Ends, usize)> {
            let all = edges.iter();
            all.flat_map(|(ends, edges)| edges.iter().map(|at| (*ends, *at)))
                .collect()
        };
        let old_service = |at: usize| {
            let edge = &before.edges[at];
            self.instances.old_edge(edge.client, edge.server, edge.port)
        };
        let new_service = |at: usize| {
            let edge = &after.edges[at];
            self.instances.new_edge(edge.client, edge.server, edge.port)
        };
        let pair = |gone: &mut ByEnds, new: &mut ByEnds, with_client: bool| {
            let of = |ends: Ends| with_client.then_some(ends.0);
            let mut fresh: HashMap<_, Vec<(Ends, usize)>> = HashMap::new();
            for (ends, at) in flat(new) {
                if let Some(service) = new_service(at) {
                    let place = (of(ends), service);
                    fresh.entry(place).or_default().push((ends, at));
                }
            }
            let mut found = Vec::new();
            for (ends, at) in flat(gone) {
                let service = old_service(at).map(|it| (of(ends), it));
                let same = service.and_then(|it| fresh.get_mut(&it)?.pop());
                if let Some((others, other)) = same {
                    take(gone, ends, |it| *it == at);
                    take(new, others, |it| *it == other);
                    found.push((at, other));
                }
            }
            found
        };
        let mut pairs = pair(gone, new, true);
        // What is in both already: the same end with another instance, or in the place of one.
        let (mut left, mut came) = (HashMap::new(), HashSet::new());
        let mut places: HashMap<(Ends, Option<u16>), usize> = HashMap::new();
        for (one, other) in self.edges.iter().chain(&pairs) {
            left.insert((before.edges[*one].client, old_service(*one)), *other);
            came.insert((self.ends(*other).0, new_service(*other)));
            places.insert((self.ends(*other), after.edges[*other].port), *other);
        }
        let mut covered = Vec::new();
        for (ends, at) in flat(gone) {
            let edge = &before.edges[at];
            let service = old_service(at);
            let is_over = [edge.client, edge.server]
                .iter()
                .any(|it| self.is_over(*it));
            let same = service.and_then(|_| left.get(&(edge.client, service)));
            let same = same.or_else(|| places.get(&(ends, edge.port)).filter(|_| is_over));
            if let Some(same) = same {
                take(gone, ends, |it| *it == at);
                covered.push((at, *same));
            }
        }
        for (ends, at) in flat(new) {
            let edge = &after.edges[at];
            let service = new_service(at);
            let is_known = service.is_some() && came.contains(&(ends.0, service));
            let stands = ends != (edge.client, edge.server);
            if is_known || stands && places.contains_key(&(ends, edge.port)) {
                take(new, ends, |it| *it == at);
            }
        }
        pairs.extend(pair(gone, new, false));
        self.edges.extend(pairs);
        self.covered.extend(covered);
    }

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
