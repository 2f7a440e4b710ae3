//! What changed from one map to another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Allowed, Answer, Link, Proof, QuestionKind, Who, matching::Matching, service};
use crate::model::{Address, EdgeState, Node, NodeKind, View, WorkloadKind};

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// What changed, what matters most first.
    pub changes: Vec<Changed>,
    /// How many changes were known and left out.
    pub allowed: u64,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// How.
    pub change: How,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// How something changed, in the order in which it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// All its attempts fail, and did not before.
    Failing,
    /// It was there, and is not.
    Gone,
    /// It is the same, elsewhere or in another form.
    Moved,
    /// It is there, and was not.
    New,
    /// It failed, and does not.
    Recovered,
}

impl How {
    /// The word in the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::Moved => "moved",
            Self::New => "new",
            Self::Recovered => "recovered",
        }
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Something that runs.
    Workload {
        /// Which.
        who: Who,
        /// How it moved.
        #[serde(flatten)]
        to: Option<Step>,
    },
    /// A port that somebody listens at.
    Listener {
        /// Who listens.
        who: Who,
        /// Where.
        port: u16,
        /// How it moved.
        #[serde(flatten)]
        to: Option<Step>,
    },
    /// Who depends on whom.
    Edge {
        /// As it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<Box<Link>>,
        /// As it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<Box<Link>>,
        /// How it moved.
        #[serde(flatten)]
        to: Option<Step>,
    },
}

/// How something moved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Step {
    /// What of it: `executable`, `directory`, `image`, `host`, `address`, `port`.
    pub of: &'static str,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
}

/// What changed from `before` to `after`, but for what is `allowed`.
pub fn diff(before: &View, after: &View, allowed: &Allowed) -> Answer<Diff> {
    let matching = Matching::of(before, after);
    let mut found = Found {
        allowed,
        changes: Vec::new(),
        left_out: 0,
    };
    for (at, same) in matching.nodes.iter().enumerate() {
        let node = &before.nodes[at];
        // What is only dialled any more, or was only dialled before, is known by its address alone.
        let same = same.filter(|same| after.nodes[*same].kind == node.kind);
        if matching.is_over(at) {
            continue;
        }
        match &same {
            Some(same) => {
                let other = &after.nodes[*same];
                for to in moves(node, other) {
                    found.workload(How::Moved, after, *same, Some(to));
                }
                found.listeners(&matching, at, *same);
            }
            None if node.kind == NodeKind::Workload => {
                found.workload(How::Gone, before, at, None);
                for port in ports(node) {
                    found.listener(How::Gone, before, at, port, None);
                }
            }
            None => {}
        }
    }
    for at in matching.new_nodes.iter().chain(&matching.appeared) {
        if after.nodes[*at].kind == NodeKind::Workload {
            found.workload(How::New, after, *at, None);
            for port in ports(&after.nodes[*at]) {
                found.listener(How::New, after, *at, port, None);
            }
        }
    }
    for (one, other) in &matching.edges {
        let states = (before.edges[*one].state, after.edges[*other].state);
        match states {
            (EdgeState::Ok | EdgeState::Mixed, EdgeState::Failed) => {
                found.edge(How::Failing, &matching, Some(*one), Some(*other), None);
            }
            (EdgeState::Failed, EdgeState::Ok | EdgeState::Mixed) => {
                found.edge(How::Recovered, &matching, Some(*one), Some(*other), None);
            }
            _ => {}
        }
    }
    for (one, other) in &matching.moved_edges {
        let port =
            |port: Option<u16>| port.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
        let to = Step {
            of: "port",
            from: port(before.edges[*one].port),
            to: port(after.edges[*other].port),
        };
        let states = (before.edges[*one].state, after.edges[*other].state);
        let how = match states {
            (EdgeState::Ok | EdgeState::Mixed, EdgeState::Failed) => How::Failing,
            _ => How::Moved,
        };
        found.edge(how, &matching, Some(*one), Some(*other), Some(to));
    }
    for at in &matching.gone_edges {
        found.edge(How::Gone, &matching, Some(*at), None, None);
    }
    for at in &matching.new_edges {
        let how = match after.edges[*at].state {
            EdgeState::Failed => How::Failing,
            EdgeState::Ok | EdgeState::Mixed => How::New,
        };
        found.edge(how, &matching, None, Some(*at), None);
    }
    found
        .changes
        .sort_by_cached_key(|it| (it.change, order(&it.what)));
    let answer = Diff {
        changes: found.changes,
        allowed: found.left_out,
    };
    let mut proof = Proof::of_two(before, after, QuestionKind::Diff);
    let nodes = before.nodes.iter().chain(&after.nodes);
    proof.doubt_cut(nodes, &["listeners", "programs"]);
    matching.doubt(&mut proof);
    Answer::new(QuestionKind::Diff, answer, proof)
}

type Order = (u8, Option<Who>, Option<Who>, Option<u16>, Option<Step>);

fn order(what: &What) -> Order {
    match what {
        What::Workload { who, to } => (0, Some(who.clone()), None, None, to.clone()),
        What::Listener { who, port, to } => (1, Some(who.clone()), None, Some(*port), to.clone()),
        What::Edge { before, after, to } => {
            let link = after.as_ref().or(before.as_ref());
            let ends = link.map(|it| (it.client.clone(), it.server.clone()));
            let (client, server) = ends.unzip();
            (2, client, server, link.and_then(|it| it.port), to.clone())
        }
    }
}

struct Found<'a> {
    allowed: &'a Allowed,
    changes: Vec<Changed>,
    left_out: u64,
}

impl Found<'_> {
    fn add(&mut self, is_allowed: bool, change: How, what: What) {
        match is_allowed {
            true => self.left_out += 1,
            false => self.changes.push(Changed { change, what }),
        }
    }

    fn workload(&mut self, how: How, view: &View, at: usize, to: Option<Step>) {
        let who = Who::of(view, at);
        self.add(
            self.allowed.has_node(&view.nodes[at]),
            how,
            What::Workload { who, to },
        );
    }

    fn listener(&mut self, how: How, view: &View, at: usize, port: u16, to: Option<Step>) {
        let who = Who::of(view, at);
        let is_allowed = self.allowed.has_node(&view.nodes[at]);
        self.add(is_allowed, how, What::Listener { who, port, to });
    }

    fn listeners(&mut self, matching: &Matching, at: usize, same: usize) {
        let (before, after) = (matching.before, matching.after);
        let (old, new) = (ports(&before.nodes[at]), ports(&after.nodes[same]));
        let mut gone: Vec<u16> = old.difference(&new).copied().collect();
        let mut fresh: Vec<u16> = new.difference(&old).copied().collect();
        // Ports that the kernel chose are others after every start, and maybe not as many.
        let was_chosen = |it: &u16| matching.was_chosen(at, *it);
        let is_chosen = |it: &u16| matching.is_chosen(same, *it);
        if gone.iter().any(was_chosen) && fresh.iter().any(is_chosen) {
            gone.retain(|it| !was_chosen(it));
            fresh.retain(|it| !is_chosen(it));
        }
        if let ([one], [other]) = (&gone[..], &fresh[..]) {
            let to = Step {
                of: "port",
                from: one.to_string(),
                to: other.to_string(),
            };
            self.listener(How::Moved, after, same, *other, Some(to));
            return;
        }
        for port in gone {
            self.listener(How::Gone, before, at, port, None);
        }
        for port in fresh {
            self.listener(How::New, after, same, port, None);
        }
    }

    fn edge(
        &mut self,
        how: How,
        matching: &Matching,
        before: Option<usize>,
        after: Option<usize>,
        to: Option<Step>,
    ) {
        let link =
            |view: &View, at: Option<usize>| at.map(|at| Box::new(Link::of(view, &view.edges[at])));
        let is_allowed = |view: &View, at: Option<usize>| {
            at.is_some_and(|at| {
                let edge = &view.edges[at];
                let (client, server) = (&view.nodes[edge.client], &view.nodes[edge.server]);
                self.allowed.has_edge(client, server, edge.port)
            })
        };
        let is_allowed = is_allowed(matching.before, before) || is_allowed(matching.after, after);
        let what = What::Edge {
            before: link(matching.before, before),
            after: link(matching.after, after),
            to,
        };
        self.add(is_allowed, how, what);
    }
}

fn ports(node: &Node) -> BTreeSet<u16> {
    let ports = node.listeners.iter().map(|it| it.port);
    ports.filter(|it| *it != 0).collect()
}

/// How a workload moved.
fn moves(before: &Node, after: &Node) -> Vec<Step> {
    let mut steps = Vec::new();
    if before.kind == NodeKind::Remote {
        return steps;
    }
    let mut step = |of, from: Option<String>, to: Option<String>| {
        if let (Some(from), Some(to)) = (from, to)
            && from != to
        {
            steps.push(Step { of, from, to });
        }
    };
    step(
        "host",
        before.host.as_ref().map(|it| it.name.clone()),
        after.host.as_ref().map(|it| it.name.clone()),
    );
    let image = |node: &Node| {
        let container = node.workload.as_ref()?.container.as_ref()?;
        container.image.as_ref().map(ToString::to_string)
    };
    step("image", image(before), image(after));
    let directory = |node: &Node| {
        let kind = node.workload.as_ref()?.kind;
        let place = service::place(node).filter(|it| it.is_of_file)?;
        (kind == WorkloadKind::Executable).then_some(place.text)
    };
    step("directory", directory(before), directory(after));
    let (old, new) = (programs(before), programs(after));
    // A service runs many programs. It moved if it runs none of those that it ran, or one of them from
    // another place. Of what is not all known nobody can say that there is none.
    let are_all = before.cut.programs == 0 && after.cut.programs == 0;
    if are_all && !old.is_empty() && old.is_disjoint(&new) && !new.is_empty() {
        step("executable", Some(list(&old)), Some(list(&new)));
    } else {
        for gone in old.difference(&new) {
            let name = file_name(gone);
            let elsewhere = new.difference(&old).find(|it| file_name(it) == name);
            step("executable", Some(gone.clone()), elsewhere.cloned());
        }
    }
    let is_ours = |node: &Node| {
        // Those of containers and pods are others after every start.
        let kind = node.workload.as_ref().map(|it| it.kind);
        !matches!(kind, Some(WorkloadKind::Container | WorkloadKind::Pod))
    };
    let addresses = |node: &Node| -> BTreeSet<Address> { node.addresses.iter().copied().collect() };
    let (old, new) = (addresses(before), addresses(after));
    let are_all = before.cut.addresses == 0 && after.cut.addresses == 0;
    if are_all && is_ours(before) && !old.is_empty() && !new.is_empty() && old.is_disjoint(&new) {
        step("address", Some(list(&old)), Some(list(&new)));
    }
    steps
}

fn programs(node: &Node) -> BTreeSet<String> {
    let paths = node.processes.iter().filter_map(|it| it.exe.as_deref());
    paths
        .map(|it| it.trim_end_matches(" (deleted)").to_owned())
        .collect()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn list<T: ToString + Ord>(all: &BTreeSet<T>) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// How many changes of each kind.
pub fn count(changes: &[Changed]) -> BTreeMap<How, usize> {
    let mut counts = BTreeMap::new();
    for it in changes {
        *counts.entry(it.change).or_default() += 1;
    }
    counts
}
