//! What an answer rests on, and what it therefore does not prove.
//!
//! That nobody else was seen says something only of a time in which somebody watched, in which
//! nothing was lost, and of what can be seen. Each clause of that is a kind of [`Doubt`]. Those of what was
//! watched are found here; what a question finds doubtful by itself (`arrivals`, `matching`, `impact`) and what
//! the caller knows is added to them, and the verdict is settled here. Only the last clause is different: what
//! could not be seen, and could have been the answer ([`unseen`]), leaves the rest of it proven.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{
    QuestionKind,
    unseen::{self, Unseen},
};
use crate::model::{Edge, Gap, Host, HostCoverage, Node, StepsBack, Timestamp, View};

/// Nodes of which it is told that something of them was cut.
const MAX_CUT: usize = 16;

/// What an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// What was watched, a host each. Of a comparison: of what is compared, with the first of the
    /// two in `baseline`.
    pub hosts: Vec<HostCoverage>,
    /// What the other side of a comparison rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<HostCoverage>,
    /// Whether what was not seen did not happen, while all the hosts were watched: nothing is in
    /// `doubts`, nor in `but_for`.
    pub proven: bool,
    /// The same in a word.
    pub verdict: Verdict,
    /// Why nothing is proven.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// What could not be seen and could have been the answer: all else is proven, if there are no
    /// `doubts`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub but_for: Vec<Unseen>,
}

/// How much is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it.
    Proven,
    /// All but what could not be seen.
    ProvenButFor,
    /// Nothing.
    NotProven,
}

/// Why something that was not seen may have happened all the same. In the order in which they are
/// told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Doubt {
    /// Nobody watched then.
    Unwatched {
        /// The host's name; none if no host was watched.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// There is no time in which all the hosts were watched: none in common, or none at all.
    Apart,
    /// Events were lost.
    Lost {
        /// The host's name.
        host: String,
        /// How many.
        events: u64,
    },
    /// Nobody watched for a while.
    Gap {
        /// The host's name.
        host: String,
        /// When.
        #[serde(flatten)]
        gap: Gap,
    },
    /// What was recorded of a run lacks its beginning: nobody knows since when it was watched, nor what could
    /// not be seen.
    NoStart {
        /// The host's name.
        host: String,
        /// What there is of that run.
        #[serde(flatten)]
        run: Gap,
    },
    /// It lacks its end: nobody knows what was lost, nor what came later.
    NoStop {
        /// The host's name.
        host: String,
        /// What there is of that run.
        #[serde(flatten)]
        run: Gap,
    },
    /// It lacks events that were told: it was filtered, or cut within.
    Absent {
        /// The host's name.
        host: String,
        /// How many.
        events: u64,
    },
    /// The map had no room to follow connections.
    Untracked {
        /// The host's name.
        host: String,
        /// How many.
        connections: u64,
    },
    /// Processes could not be read in time, so that what they did may be told of another workload.
    Unattributed {
        /// The host's name.
        host: String,
        /// How many.
        processes: u64,
    },
    /// The map had no memory of the other end any more.
    Recounted {
        /// The host's name.
        host: String,
        /// How many may be counted twice.
        connections: u64,
    },
    /// The times of events go back: the clock was set, or what was recorded is not in order.
    StepsBack {
        /// The host's name.
        host: String,
        /// How often, and how far.
        #[serde(flatten)]
        steps: StepsBack,
    },
    /// The map had no room for all of something that the answer needs.
    Cut {
        /// Whose: the id of a node, or the name of a host.
        of: String,
        /// What, by the field of `cut` that counts it.
        what: &'static str,
        /// How much.
        left_out: u64,
    },
    /// Lines of a recording could not be read.
    Skipped {
        /// How many.
        lines: u64,
    },
    /// Not all that was recorded was read: a signal came before.
    Interrupted,
    /// Processes of this host could not be looked at in time, and may use what was asked for.
    Unread {
        /// How many.
        processes: u64,
    },
    /// Only events that filters let through were looked at.
    Filtered,
    /// It is not known who opened connections, so not who depends on whom.
    Undirected {
        /// How many edges.
        edges: u64,
    },
    /// Programs of the map do not run now, so it is not known which libraries they use.
    NotRunning {
        /// How many.
        programs: u64,
    },
    /// Something came in where nobody was known to listen, so any listener of that network namespace may
    /// have taken it.
    Strays {
        /// The host's name.
        host: String,
        /// How many connections.
        connections: u64,
    },
    /// Connections that brought nothing back led to addresses of which nobody knows whose they are.
    Unanswered {
        /// How many.
        connections: u64,
    },
    /// Connections that nobody saw begin lead to addresses, or come from some, of which nobody knows whose they are,
    /// as several hosts were watched: their other ends may be told of, too.
    Unmatched {
        /// How many.
        connections: u64,
    },
    /// Two times are compared, and the later one is shorter: what happens rarely may only not have
    /// come yet.
    Shorter {
        /// How long the first one was watched, nanoseconds.
        baseline_ns: u64,
        /// How long the second one was, nanoseconds.
        watched_ns: u64,
    },
    /// Two runs were told of at once under one id and name: two hosts were taken for one, or one was
    /// watched twice and counts twice.
    TakenForOne {
        /// The host's name.
        host: String,
    },
    /// Workloads of users are new, and the first of two maps, which knows no users, has the like of them: they may
    /// be the same.
    Ownerless {
        /// How many.
        workloads: u64,
    },
    /// A host of the first of two maps was not watched for the second one.
    HostMissing {
        /// The host's name.
        host: String,
    },
}

impl Proof {
    /// What the answer to `question` from `view` rests on.
    pub(super) fn of(view: &View, question: QuestionKind) -> Self {
        Self::new(
            &view.coverage,
            &[],
            doubts(&view.coverage),
            unseen::of(&view.coverage, question),
        )
    }

    /// What a comparison of `before` with `after` rests on.
    pub(super) fn of_two(before: &View, after: &View, question: QuestionKind) -> Self {
        let mut doubts = doubts(&before.coverage);
        doubts.extend(self::doubts(&after.coverage));
        let again = watched_again(&before.coverage, &after.coverage);
        let is_move = after.coverage.len() >= before.coverage.len() && again.is_empty();
        for host in &before.coverage {
            // After a move everything is on other hosts: then none is missing.
            if !again.contains(&host.host) && !is_move {
                doubts.push(Doubt::HostMissing {
                    host: host.host.name.clone(),
                });
            }
        }
        // What came whenever a host of the baseline was watched may not have come while all were.
        let baseline_ns = length(HostCoverage::span(&before.coverage));
        let watched_ns = length(HostCoverage::common(&after.coverage));
        // A tenth less is as long.
        if watched_ns < baseline_ns - baseline_ns / 10 {
            doubts.push(Doubt::Shorter {
                baseline_ns,
                watched_ns,
            });
        }
        Self::new(
            &after.coverage,
            &before.coverage,
            doubts,
            unseen::of_two(&before.coverage, &after.coverage, question),
        )
    }

    fn new(
        hosts: &[HostCoverage],
        baseline: &[HostCoverage],
        doubts: Vec<Doubt>,
        but_for: Vec<Unseen>,
    ) -> Self {
        let mut proof = Self {
            hosts: hosts.to_vec(),
            baseline: baseline.to_vec(),
            proven: false,
            verdict: Verdict::NotProven,
            doubts,
            but_for,
        };
        proof.settle();
        proof
    }

    /// Adds a reason for doubt.
    pub fn doubt(&mut self, doubt: Doubt) {
        self.doubts.push(doubt);
        self.settle();
    }

    /// Takes back reasons for doubt.
    pub fn forget(&mut self, which: impl Fn(&Doubt) -> bool) {
        self.doubts.retain(|doubt| !which(doubt));
        self.settle();
    }

    /// Adds those of `edges` of which it is not known who opened them, if there are any.
    pub(super) fn doubt_undirected<'a>(&mut self, edges: impl Iterator<Item = &'a Edge>) {
        let edges = edges.filter(|it| !it.is_directed()).count() as u64;
        if edges > 0 {
            self.doubt(Doubt::Undirected { edges });
        }
    }

    /// Adds what of `nodes` there was no room for, of the kinds in `which`, if there is any.
    pub(super) fn doubt_cut<'a>(
        &mut self,
        nodes: impl Iterator<Item = &'a Node>,
        which: &[&'static str],
    ) {
        let mut cut: Vec<(u64, &str, &'static str)> = nodes
            .flat_map(|node| {
                let parts = node.cut.parts().into_iter();
                parts.map(|(what, left_out)| (left_out, &*node.id, what))
            })
            .filter(|(left_out, _, what)| *left_out > 0 && which.contains(what))
            .collect();
        // The most first: of very many, some say enough.
        cut.sort_unstable_by_key(|it| std::cmp::Reverse(*it));
        cut.dedup();
        cut.truncate(MAX_CUT);
        let doubts = cut.into_iter().map(|(left_out, of, what)| Doubt::Cut {
            of: of.to_owned(),
            what,
            left_out,
        });
        self.doubts.extend(doubts);
        self.settle();
    }

    /// Since when and until when any of the hosts was watched.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        HostCoverage::span(&self.hosts)
    }

    /// For how long all the hosts were watched, nanoseconds.
    pub fn watched_ns(&self) -> u64 {
        length(HostCoverage::common(&self.hosts))
    }

    fn settle(&mut self) {
        self.doubts.sort();
        self.doubts.dedup();
        self.verdict = match (self.doubts.is_empty(), self.but_for.is_empty()) {
            (true, true) => Verdict::Proven,
            (true, false) => Verdict::ProvenButFor,
            (false, _) => Verdict::NotProven,
        };
        self.proven = self.verdict == Verdict::Proven;
    }
}

fn length(span: Option<(Timestamp, Timestamp)>) -> u64 {
    span.map_or(0, |(from, to)| to.as_ns().saturating_sub(from.as_ns()))
}

/// Those of `before` that are in `after` too: by id and name, else by either. Each stands for one only,
/// as several may have one id, or one name.
fn watched_again<'a>(
    before: &'a [HostCoverage],
    after: &[HostCoverage],
) -> BTreeSet<&'a Arc<Host>> {
    let mut left: Vec<&Arc<Host>> = after.iter().map(|it| &it.host).collect();
    let mut again = BTreeSet::new();
    let ways: [fn(&Host, &Host) -> bool; 3] = [
        |one, other| one == other,
        |one, other| one.id == other.id,
        |one, other| one.name == other.name,
    ];
    for is_same in ways {
        for host in before.iter().map(|it| &it.host) {
            if again.contains(host) {
                continue;
            }
            if let Some(at) = left.iter().position(|it| is_same(host, it)) {
                left.swap_remove(at);
                again.insert(host);
            }
        }
    }
    again
}

fn doubts(hosts: &[HostCoverage]) -> Vec<Doubt> {
    if !hosts.iter().any(HostCoverage::is_watched) {
        return vec![Doubt::Unwatched { host: None }];
    }
    let mut doubts = Vec::new();
    for it in hosts {
        of_host(it, &mut doubts);
    }
    if hosts.iter().all(HostCoverage::is_watched) && HostCoverage::common(hosts).is_none() {
        doubts.push(Doubt::Apart);
    }
    doubts
}

fn of_host(it: &HostCoverage, doubts: &mut Vec<Doubt>) {
    let host = || it.host.name.clone();
    if !it.is_watched() {
        let host = Some(host());
        doubts.push(Doubt::Unwatched { host });
        return;
    }
    let events = it.lost.total();
    if events > 0 {
        let host = host();
        doubts.push(Doubt::Lost { host, events });
    }
    for gap in &it.gaps {
        let (host, gap) = (host(), *gap);
        doubts.push(Doubt::Gap { host, gap });
    }
    for run in &it.runs {
        let extent = Gap {
            from: run.from,
            to: run.to,
        };
        if !run.started {
            let host = host();
            doubts.push(Doubt::NoStart { host, run: extent });
        }
        if !run.stopped {
            let host = host();
            doubts.push(Doubt::NoStop { host, run: extent });
        }
    }
    let absent = it.runs.iter().map(|run| run.absent);
    let events = absent.fold(0, u64::saturating_add);
    if events > 0 {
        let host = host();
        doubts.push(Doubt::Absent { host, events });
    }
    if it.untracked > 0 {
        doubts.push(Doubt::Untracked {
            host: host(),
            connections: it.untracked,
        });
    }
    if it.unattributed > 0 {
        doubts.push(Doubt::Unattributed {
            host: host(),
            processes: it.unattributed,
        });
    }
    if it.recounted > 0 {
        doubts.push(Doubt::Recounted {
            host: host(),
            connections: it.recounted,
        });
    }
    if let Some(steps) = it.steps_back {
        let host = host();
        doubts.push(Doubt::StepsBack { host, steps });
    }
    if it.taken_for_one {
        doubts.push(Doubt::TakenForOne { host: host() });
    }
    let cut = it.cut.parts().into_iter();
    doubts.extend(
        cut.filter(|(_, left_out)| *left_out > 0)
            .map(|(what, left_out)| Doubt::Cut {
                of: host(),
                what,
                left_out,
            }),
    );
}
