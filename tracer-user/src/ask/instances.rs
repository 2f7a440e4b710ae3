//! Which nodes of two maps are the same, by what lasts of them; and which stand for each other, as they
//! are instances of one service.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::service::{self, By, Lasting};
use crate::model::{Node, NodeKind, View};

/// The nodes of two maps, matched.
pub(super) struct Matched {
    /// For each node of the earlier map, the same in the later one.
    pub(super) nodes: Vec<Option<usize>>,
    /// Nodes of the later map that are not in the earlier one.
    pub(super) new: Vec<usize>,
    /// What stands for what.
    pub(super) instances: Instances,
}

/// What is one service in two maps.
pub(super) struct Instances {
    /// Of each node of the earlier map, and of the later one, the number of its service, and whether its
    /// instances stand for each other.
    services: [Vec<(usize, bool)>; 2],
    /// For nodes of the later map that are no new ones, the instance that is in both.
    standing: HashMap<usize, usize>,
    /// Nodes of the earlier map that were over at its end, in favour of another instance.
    over: HashSet<usize>,
}

/// An edge of services: who dials which port of whom.
pub(super) type ServiceEdge = (usize, usize, Option<u16>);

impl Instances {
    /// The node of the later map that `node` of it counts as.
    pub(super) fn standing_for(&self, node: usize) -> usize {
        self.standing.get(&node).copied().unwrap_or(node)
    }

    /// Whether a node of the earlier map was over before its end, and another instance is there for it.
    pub(super) fn is_over(&self, node: usize) -> bool {
        self.over.contains(&node)
    }

    /// An edge of the earlier map by its services, if an end of it is as good as any other instance.
    pub(super) fn old_edge(
        &self,
        client: usize,
        server: usize,
        port: Option<u16>,
    ) -> Option<ServiceEdge> {
        Self::edge(&self.services[0], client, server, port)
    }

    /// Likewise of the later map.
    pub(super) fn new_edge(
        &self,
        client: usize,
        server: usize,
        port: Option<u16>,
    ) -> Option<ServiceEdge> {
        Self::edge(&self.services[1], client, server, port)
    }

    fn edge(
        of: &[(usize, bool)],
        client: usize,
        server: usize,
        port: Option<u16>,
    ) -> Option<ServiceEdge> {
        let (client, server) = (of[client], of[server]);
        (client.1 || server.1).then_some((client.0, server.0, port))
    }
}

/// A map, and what lasts of its nodes.
struct Side<'a> {
    view: &'a View,
    lasting: Vec<Lasting>,
    /// Nodes that are there at the end: they listen, or have open connections.
    is_there: Vec<bool>,
}

impl<'a> Side<'a> {
    fn of(view: &'a View) -> Self {
        let mut is_there: Vec<bool> = view
            .nodes
            .iter()
            .map(|it| !it.listeners.is_empty())
            .collect();
        for edge in view.edges.iter().filter(|it| it.live() > 0) {
            is_there[edge.client] = true;
            is_there[edge.server] = true;
        }
        Self {
            view,
            lasting: view.nodes.iter().map(service::of).collect(),
            is_there,
        }
    }

    fn node(&self, at: usize) -> &'a Node {
        &self.view.nodes[at]
    }

    fn host(&self, at: usize) -> Option<&'a str> {
        self.node(at).host.as_ref().map(|it| it.name.as_str())
    }

    /// What `at` serves and runs: of several instances, the one that does the same is the same.
    fn does(&self, at: usize) -> (Vec<u16>, Vec<String>) {
        let node = self.node(at);
        let mut ports: Vec<u16> = node.listeners.iter().map(|it| it.port).collect();
        ports.dedup();
        (ports, service::programs(node).into_iter().collect())
    }
}

/// What is asked to be the same; in that order it is looked for.
#[derive(Clone, Copy)]
struct Rule {
    on_host: bool,
    /// The same instance of it, else any.
    same_instance: bool,
    /// Only where there is one on either side.
    is_unique: bool,
    /// Which services.
    of: fn(&Lasting) -> bool,
}

const RULES: [Rule; 5] = [
    Rule {
        on_host: true,
        same_instance: true,
        is_unique: false,
        of: |_| true,
    },
    Rule {
        on_host: true,
        same_instance: false,
        is_unique: false,
        of: Lasting::is_replaceable,
    },
    // A script whose directory is another one, or known in one of both maps only.
    Rule {
        on_host: true,
        same_instance: false,
        is_unique: true,
        of: |it| it.by == By::Name,
    },
    // Where there is one of the name on either side, on another host.
    Rule {
        on_host: false,
        same_instance: true,
        is_unique: true,
        of: |_| true,
    },
    Rule {
        on_host: false,
        same_instance: false,
        is_unique: true,
        of: |it| it.is_replaceable() || it.by == By::Name,
    },
];

type Place<'a> = (
    NodeKind,
    Option<&'a str>,
    &'a str,
    Option<&'a Option<String>>,
);

impl Rule {
    fn place<'a>(&self, side: &'a Side<'a>, at: usize) -> Place<'a> {
        let lasting = &side.lasting[at];
        (
            side.node(at).kind,
            side.host(at).filter(|_| self.on_host),
            &lasting.service,
            self.same_instance.then_some(&lasting.instance),
        )
    }

    fn is_of(&self, side: &Side, at: usize) -> bool {
        let is_local = side.node(at).kind == NodeKind::Workload;
        (self.on_host || is_local) && (self.of)(&side.lasting[at])
    }
}

/// Which nodes of `before` and `after` are the same.
pub(super) fn matched(before: &View, after: &View) -> Matched {
    let (old, new) = (Side::of(before), Side::of(after));
    let mut nodes = vec![None; before.nodes.len()];
    let mut is_taken = vec![false; after.nodes.len()];
    let mut pair = |one: usize, other: usize| {
        nodes[one] = Some(other);
        is_taken[other] = true;
    };
    // What has the same id first: of several that have the same lasting name, it is the same one.
    let ids = after.nodes.iter().enumerate();
    let by_id: HashMap<&str, usize> = ids.map(|(at, node)| (&*node.id, at)).collect();
    let with_id: Vec<(usize, usize)> = (before.nodes.iter().enumerate())
        .filter_map(|(at, node)| Some((at, *by_id.get(&*node.id)?)))
        .filter(|(one, other)| before.nodes[*one].kind == after.nodes[*other].kind)
        .collect();
    let is_one_container = |one: usize, other: usize| {
        let id = |node: &Node| Some(node.workload.as_ref()?.container.as_ref()?.id.to_string());
        let (old, new) = (id(&before.nodes[one]), id(&after.nodes[other]));
        old.is_some() && old == new
    };
    for (one, other) in &with_id {
        let lasting = &old.lasting[*one];
        // One that is over stands for none that is there.
        let is_as_there = !lasting.is_replaceable() || old.is_there[*one] == new.is_there[*other];
        let is_same = *lasting == new.lasting[*other] || is_one_container(*one, *other);
        if is_same && is_as_there && old.host(*one) == new.host(*other) {
            pair(*one, *other);
        }
    }
    for rule in RULES {
        let mut places: BTreeMap<Place, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for at in (0..nodes.len()).filter(|at| nodes[*at].is_none() && rule.is_of(&old, *at)) {
            places.entry(rule.place(&old, at)).or_default().0.push(at);
        }
        for at in (0..is_taken.len()).filter(|at| !is_taken[*at] && rule.is_of(&new, *at)) {
            places.entry(rule.place(&new, at)).or_default().1.push(at);
        }
        for (ones, others) in places.into_values() {
            if rule.is_unique && (ones.len(), others.len()) != (1, 1) {
                continue;
            }
            for (one, other) in alike((&old, ones), (&new, others)) {
                nodes[one] = Some(other);
                is_taken[other] = true;
            }
        }
    }
    // Labels may be known in one of both maps only.
    for (one, other) in with_id {
        let (old, new) = (&old.lasting[one], &new.lasting[other]);
        let is_half_known = (old.by == By::Name) != (new.by == By::Name);
        let is_same = is_half_known || is_one_container(one, other);
        if is_same && nodes[one].is_none() && !is_taken[other] {
            nodes[one] = Some(other);
            is_taken[other] = true;
        }
    }
    finish(&old, &new, nodes, &is_taken)
}

/// Pairs of what has the same place: those that do the same first, and those that are there at the end.
fn alike(
    (old, mut ones): (&Side, Vec<usize>),
    (new, mut others): (&Side, Vec<usize>),
) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    if ones.is_empty() || others.is_empty() {
        return pairs;
    }
    ones.sort_by_key(|at| !old.is_there[*at]);
    others.sort_by_key(|at| !new.is_there[*at]);
    if ones.len() > 1 || others.len() > 1 {
        let mut doing: HashMap<_, Vec<usize>> = HashMap::new();
        for at in others.iter().rev() {
            doing.entry(new.does(*at)).or_default().push(*at);
        }
        for at in &ones {
            if let Some(other) = doing.get_mut(&old.does(*at)).and_then(Vec::pop) {
                pairs.push((*at, other));
            }
        }
        let (paired, with): (HashSet<usize>, HashSet<usize>) = pairs.iter().copied().unzip();
        ones.retain(|at| !paired.contains(at));
        others.retain(|at| !with.contains(at));
    }
    // Of what has no name, what runs another program, and serves nothing that this does, is another thing.
    for one in ones {
        let (ports, programs) = old.does(one);
        let may_be = |at: &usize| {
            let (others_ports, others) = new.does(*at);
            old.lasting[one].by != By::Made
                || programs.is_empty()
                || others.is_empty()
                || programs.iter().any(|it| others.contains(it))
                || ports.iter().any(|it| others_ports.contains(it))
        };
        if let Some(at) = others.iter().position(may_be) {
            pairs.push((one, others.remove(at)));
        }
    }
    pairs
}

/// What is left over of services whose instances stand for each other: only as many are gone or new as
/// there are fewer or more at the end.
fn finish(old: &Side, new: &Side, mut nodes: Vec<Option<usize>>, is_taken: &[bool]) -> Matched {
    /// A slot of a service has one task at a time; else all instances are alike.
    type Group<'a> = (Option<&'a str>, &'a str);
    fn group<'a>(side: &'a Side<'a>, at: usize) -> Option<Group<'a>> {
        let lasting = &side.lasting[at];
        lasting
            .is_replaceable()
            .then(|| (side.host(at), &*lasting.service))
    }
    /// How many are there at the end of either map, and one that is in both.
    #[derive(Default)]
    struct Count {
        there: [usize; 2],
        same: Option<usize>,
    }
    let mut counts: HashMap<Group, Count> = HashMap::new();
    for (which, side) in [old, new].into_iter().enumerate() {
        for at in 0..side.lasting.len() {
            if let Some(group) = group(side, at) {
                counts.entry(group).or_default().there[which] += usize::from(side.is_there[at]);
            }
        }
    }
    for (at, same) in nodes.iter().enumerate() {
        if let (Some(group), Some(same)) = (group(old, at), same) {
            counts.entry(group).or_default().same = Some(*same);
        }
    }
    let mut instances = Instances {
        services: numbered(old, new),
        standing: HashMap::new(),
        over: HashSet::new(),
    };
    let mut fewer: HashMap<Group, usize> = HashMap::new();
    let mut more = fewer.clone();
    for (group, count) in &counts {
        fewer.insert(*group, count.there[0].saturating_sub(count.there[1]));
        more.insert(*group, count.there[1].saturating_sub(count.there[0]));
    }
    fn spend<'a>(left: &mut HashMap<Group<'a>, usize>, group: Group<'a>) -> bool {
        match left.get_mut(&group) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
    for (at, node) in nodes.iter_mut().enumerate() {
        if node.is_none()
            && let Some(group) = group(old, at)
            && let Some(same) = counts.get(&group).and_then(|it| it.same)
            && !(old.is_there[at] && spend(&mut fewer, group))
        {
            *node = Some(same);
            instances.over.insert(at);
        }
    }
    let mut left = Vec::new();
    for at in (0..is_taken.len()).filter(|at| !is_taken[*at]) {
        match group(new, at).and_then(|it| Some((it, counts.get(&it)?.same?))) {
            Some((group, same)) if !(new.is_there[at] && spend(&mut more, group)) => {
                instances.standing.insert(at, same);
            }
            _ => left.push(at),
        }
    }
    Matched {
        nodes,
        new: left,
        instances,
    }
}

/// The services of two maps by numbers. What has none of its own counts as one of its place.
fn numbered(old: &Side, new: &Side) -> [Vec<(usize, bool)>; 2] {
    let mut numbers: HashMap<(NodeKind, Option<String>, String, Option<String>), usize> =
        HashMap::new();
    [old, new].map(|side| {
        let all = side.lasting.iter().enumerate();
        all.map(|(at, lasting)| {
            let any = lasting.is_replaceable();
            let place = (
                side.node(at).kind,
                side.host(at).map(str::to_owned),
                lasting.service.clone(),
                lasting.instance.clone().filter(|_| !any),
            );
            let next = numbers.len();
            (*numbers.entry(place).or_insert(next), any)
        })
        .collect()
    })
}
