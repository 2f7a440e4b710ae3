//! Who depends on something, directly or not; or on what it depends.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobMatcher;
use serde::Serialize;

use super::{
    Answer, Doubt, Link, Proof, QuestionKind, Who, WhoError, arrivals::Arrivals, find, graph::Graph,
};
use crate::model::{Node, Process, Timestamp, View};

/// What is asked about.
#[derive(Clone, Debug)]
pub enum Target {
    /// A node, by name or id.
    Who(String),
    /// Whatever runs an executable whose path matches.
    Exe(GlobMatcher),
    /// Containers of an image that matches.
    Image(GlobMatcher),
    /// Processes that use files, of a package as a rule: by pid, and whatever runs one of these
    /// executables.
    Files {
        /// The id of the host that has them.
        host: String,
        /// Processes of it that run or have mapped one of them, now.
        pids: BTreeSet<u32>,
        /// Their paths, by whatever links lead there.
        paths: BTreeSet<String>,
        /// Where there are libraries among them: the executables that run now. Of others it is not known
        /// what they use.
        running: Option<BTreeSet<String>>,
        /// Processes of it that could not be looked at in time.
        unread: u64,
    },
}

impl Target {
    /// The nodes of `view` that are meant.
    ///
    /// # Errors
    /// If there is none, or if a name means several.
    pub fn find(&self, view: &View) -> Result<Vec<usize>, WhoError> {
        let found = match self {
            Self::Who(who) => return find(view, who).map(|at| vec![at]),
            Self::Exe(glob) => of(view, |node| {
                // What was replaced since it began is what it was.
                let runs = |exe: &str| glob.is_match(exe.trim_end_matches(" (deleted)"));
                node.processes
                    .iter()
                    .any(|it| it.exe.as_deref().is_some_and(runs))
            }),
            Self::Image(glob) => of(view, |node| {
                let container = node.workload.as_ref().and_then(|it| it.container.as_ref());
                let image = container.and_then(|it| it.image.as_deref());
                image.is_some_and(|image| glob.is_match(image))
            }),
            // Elsewhere these pids are others, and these files may be of another version.
            Self::Files {
                host, pids, paths, ..
            } => of(view, |node| {
                let is_there = node.host.as_ref().is_some_and(|it| it.id == *host);
                let mut processes = node.processes.iter();
                is_there && processes.any(|it| pids.contains(&it.pid) || runs(it, paths))
            }),
        };
        match found.is_empty() {
            true => Err(WhoError::Nobody(self.nearest(view))),
            false => Ok(found),
        }
    }

    /// Adds to `proof` that there may be more of it in `view` than [`find`](Self::find) can know.
    pub fn doubt(&self, view: &View, proof: &mut Proof) {
        match self {
            // What is folded has no name that could be meant; `proof` knows how much that is.
            Self::Who(_) | Self::Image(_) => {}
            Self::Exe(_) => proof.doubt_cut(view.nodes.iter(), &["programs"]),
            Self::Files { host, unread, .. } => {
                if *unread > 0 {
                    let processes = *unread;
                    proof.doubt(Doubt::Unread { processes });
                }
                let is_there = |it: &&Node| it.host.as_ref().is_some_and(|it| it.id == *host);
                let nodes = view.nodes.iter().filter(is_there);
                proof.doubt_cut(nodes, &["programs", "processes"]);
                let programs = self.unknown(view);
                if programs > 0 {
                    proof.doubt(Doubt::NotRunning { programs });
                }
            }
        }
    }

    /// Programs of `view` of which it is not known whether they use one of the files that are asked about: they
    /// do not run now, and libraries are not told of.
    pub(super) fn unknown(&self, view: &View) -> u64 {
        let Self::Files {
            host,
            pids,
            paths,
            running: Some(running),
            ..
        } = self
        else {
            return 0;
        };
        let there = |it: &&Node| it.host.as_ref().is_some_and(|it| it.id == *host);
        let processes = view.nodes.iter().filter(there).flat_map(|it| &it.processes);
        let others = processes.filter(|it| !pids.contains(&it.pid) && !runs(it, paths));
        let exes = others.filter_map(|it| Some(current(it.exe.as_deref()?)));
        let unknown: BTreeSet<&str> = exes.filter(|it| !running.contains(*it)).collect();
        unknown.len() as u64
    }

    /// What could have been meant instead.
    fn nearest(&self, view: &View) -> Vec<String> {
        let processes = view.nodes.iter().flat_map(|it| &it.processes);
        let images = view.nodes.iter().filter_map(|it| {
            let container = it.workload.as_ref()?.container.as_ref()?;
            container.image.as_deref()
        });
        let all: BTreeSet<&str> = match self {
            Self::Image(_) => images.collect(),
            _ => processes.filter_map(|it| it.exe.as_deref()).collect(),
        };
        all.into_iter().map(str::to_owned).take(8).collect()
    }
}

/// The path of an executable, also of one that was replaced since.
fn current(exe: &str) -> &str {
    exe.trim_end_matches(" (deleted)")
}

/// Whether a process runs one of the files at `paths`, or is an interpreter that was given one.
fn runs(process: &Process, paths: &BTreeSet<String>) -> bool {
    let exe = process.exe.as_deref().map(current);
    let args = process.args.iter().flat_map(|it| it.iter()).skip(1);
    let mut words = args.filter(|it| !it.starts_with('-'));
    exe.is_some_and(|it| paths.contains(it))
        || words.next().is_some_and(|it| paths.contains(it.as_str()))
}

fn of(view: &View, is: impl Fn(&Node) -> bool) -> Vec<usize> {
    let nodes = view.nodes.iter().enumerate();
    nodes.filter(|(_, it)| is(it)).map(|(at, _)| at).collect()
}

/// Which way dependence is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To what depends on it.
    Dependents,
    /// To what it depends on.
    Dependencies,
}

/// What is reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Impact {
    /// What was asked about.
    pub of: Vec<Who>,
    /// Which way.
    pub way: Way,
    /// What is reached, nearest first.
    pub reached: Vec<Reached>,
    /// Who else serves what comes in by the listening sockets of what was asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<Server>,
}

/// Who serves what comes in by somebody else's listening sockets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// At which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many connections.
    pub connections: u64,
}

/// A node that is reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// Which.
    #[serde(flatten)]
    pub who: Who,
    /// How many edges away.
    pub distance: u32,
    /// The edges by which it is reached, from nodes one step nearer.
    pub by: Vec<Link>,
    /// Connections on these edges.
    pub connections: u64,
    /// Those that are open.
    pub live: u64,
    /// Attempts on them that failed.
    pub failures: u64,
    /// Payload bytes, both ways.
    pub bytes: u64,
    /// The last event about any of them.
    pub last_seen: Timestamp,
}

/// Who depends on the nodes `of`, or on whom they depend.
pub fn impact(view: &View, of: &[usize], way: Way, depth: Option<u32>) -> Answer<Impact> {
    let upstream = way == Way::Dependents;
    let graph = Graph::of(view, |_| true).with_listeners();
    let distances = graph.distances(of, upstream);
    let mut reached = Vec::new();
    for (at, distance) in distances.iter().enumerate() {
        let Some(distance) = distance.filter(|it| *it > 0 && depth.is_none_or(|max| *it <= max))
        else {
            continue;
        };
        // What leads from here one step nearer.
        let edges = if upstream { &graph.from } else { &graph.into };
        let is_nearer = |node: usize| distances[node] == Some(distance - 1);
        let nearer = edges[at].iter().filter(|edge| match upstream {
            true => graph.servers(**edge).any(is_nearer),
            false => is_nearer(view.edges[**edge].client),
        });
        let by: Vec<Link> = nearer
            .map(|edge| Link::of(view, &view.edges[*edge]))
            .collect();
        let sum = |of: fn(&Link) -> u64| by.iter().map(of).fold(0, u64::saturating_add);
        reached.push(Reached {
            who: Who::of(view, at),
            distance,
            connections: sum(|it| it.connections),
            live: sum(|it| it.live),
            failures: sum(|it| it.failed.values().sum()),
            bytes: sum(|it| it.sent_bytes.saturating_add(it.received_bytes)),
            last_seen: by
                .iter()
                .map(|it| it.last_seen)
                .max()
                .unwrap_or(view.nodes[at].last_seen),
            by,
        });
    }
    reached.sort_by(|one, other| {
        let order = |it: &Reached| (it.distance, std::cmp::Reverse(it.connections));
        order(one)
            .cmp(&order(other))
            .then_with(|| one.who.cmp(&other.who))
    });
    let mut proof = Proof::of(view, QuestionKind::Impact);
    proof.doubt_undirected(view.edges.iter());
    if upstream {
        // Whoever was led to one of these may depend on it, too.
        let mut arrivals = Arrivals::new(view);
        for (node, distance) in view.nodes.iter().zip(&distances) {
            if distance.is_some_and(|it| depth.is_none_or(|max| it < max)) {
                let listeners = node.listeners.iter();
                listeners.for_each(|it| arrivals.add(view, node, it));
                arrivals.add_past(view, node, None);
            }
        }
        arrivals.tell(view, &mut proof);
    }
    let served_by = match upstream {
        true => served_by(view, of),
        false => Vec::new(),
    };
    let found = Impact {
        of: of.iter().map(|at| Who::of(view, *at)).collect(),
        way,
        reached,
        served_by,
    };
    Answer::new(QuestionKind::Impact, found, proof)
}

/// Who serves what comes in by listening sockets of these nodes.
fn served_by(view: &View, of: &[usize]) -> Vec<Server> {
    let ids: BTreeSet<&str> = of.iter().map(|at| &*view.nodes[*at].id).collect();
    let mut servers: BTreeMap<(usize, Option<u16>), u64> = BTreeMap::new();
    for edge in &view.edges {
        let listeners = edge.evidence.listeners.iter();
        let came_by = listeners.filter(|(id, _)| ids.contains(&***id));
        let connections = came_by.map(|(_, connections)| *connections);
        let connections = connections.fold(0, u64::saturating_add);
        if connections > 0 && !of.contains(&edge.server) {
            let sum = servers.entry((edge.server, edge.port)).or_default();
            *sum = sum.saturating_add(connections);
        }
    }
    let servers = servers.into_iter();
    let mut servers: Vec<Server> = servers
        .map(|((server, port), connections)| Server {
            who: Who::of(view, server),
            port,
            connections,
        })
        .collect();
    servers.sort_by_key(|it| std::cmp::Reverse(it.connections));
    servers
}

/// The nodes and edges of `view` that an answer is about, as a picture shows them.
pub fn picture(view: &View, answer: &Impact) -> View {
    let ids: BTreeSet<&str> = answer
        .of
        .iter()
        .map(|it| &*it.id)
        .chain(answer.reached.iter().map(|it| &*it.who.id))
        .chain(answer.served_by.iter().map(|it| &*it.who.id))
        .collect();
    let keeps_node: Vec<bool> = view.nodes.iter().map(|it| ids.contains(&*it.id)).collect();
    let edges = view.edges.iter();
    let keeps_edge: Vec<bool> = edges
        .map(|it| keeps_node[it.client] && keeps_node[it.server])
        .collect();
    view.part(&keeps_node, &keeps_edge)
}
