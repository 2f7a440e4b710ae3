//! What an answer rests on, and what it therefore does not prove.
//!
//! That nobody else was seen says something only of a time in which somebody watched, and in which
//! nothing was lost.

use serde::Serialize;

use crate::model::{Edge, Gap, HostCoverage, Timestamp, View};

/// What an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proof {
    /// What was watched, a host each. Of a comparison: of what is compared, with the first of the
    /// two in `baseline`.
    pub hosts: Vec<HostCoverage>,
    /// What the other side of a comparison rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<HostCoverage>,
    /// Whether what was not seen did not happen, while it was watched.
    pub proven: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
}

/// Why something that was not seen may have happened all the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Doubt {
    /// Nobody watched.
    Unwatched,
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
    /// The map had no room to follow connections.
    Untracked {
        /// The host's name.
        host: String,
        /// How many.
        connections: u64,
    },
    /// Lines of a recording could not be read.
    Skipped {
        /// How many.
        lines: u64,
    },
    /// Only events that filters let through were looked at.
    Filtered,
    /// It is not known who opened connections, so not who depends on whom.
    Undirected {
        /// How many edges.
        edges: u64,
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
    /// Two times are compared, and the later one is shorter: what happens rarely may only not have
    /// come yet.
    Shorter {
        /// How long the first one was watched, nanoseconds.
        baseline_ns: u64,
        /// How long the second one was, nanoseconds.
        watched_ns: u64,
    },
    /// A host of the first of two maps was not watched for the second one.
    HostMissing {
        /// The host's name.
        host: String,
    },
}

impl Proof {
    /// What an answer from `view` rests on.
    pub fn of(view: &View) -> Self {
        let mut proof = Self {
            hosts: view.coverage.clone(),
            baseline: Vec::new(),
            proven: true,
            doubts: doubts(&view.coverage),
        };
        proof.settle();
        proof
    }

    /// What a comparison of `before` with `after` rests on.
    pub fn of_two(before: &View, after: &View) -> Self {
        let mut doubts = doubts(&before.coverage);
        for doubt in self::doubts(&after.coverage) {
            if !doubts.contains(&doubt) {
                doubts.push(doubt);
            }
        }
        for host in &before.coverage {
            let is_same =
                |it: &HostCoverage| it.host.id == host.host.id || it.host.name == host.host.name;
            // After a move everything is on other hosts: then none is missing.
            if !after.coverage.iter().any(is_same) && after.coverage.len() < before.coverage.len() {
                doubts.push(Doubt::HostMissing {
                    host: host.host.name.clone(),
                });
            }
        }
        let (baseline_ns, watched_ns) = (watched_ns(before), watched_ns(after));
        // A tenth less is as long.
        if watched_ns < baseline_ns - baseline_ns / 10 {
            doubts.push(Doubt::Shorter {
                baseline_ns,
                watched_ns,
            });
        }
        let mut proof = Self {
            hosts: after.coverage.clone(),
            baseline: before.coverage.clone(),
            proven: true,
            doubts,
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
        let edges = edges.filter(|it| it.port.is_none()).count() as u64;
        if edges > 0 {
            self.doubt(Doubt::Undirected { edges });
        }
    }

    /// The first and the last event of what was watched.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        span(&self.hosts)
    }

    /// How long was watched, nanoseconds.
    pub fn watched_ns(&self) -> u64 {
        self.span()
            .map_or(0, |(from, to)| to.as_ns().saturating_sub(from.as_ns()))
    }

    fn settle(&mut self) {
        self.proven = self.doubts.is_empty();
    }
}

fn span(hosts: &[HostCoverage]) -> Option<(Timestamp, Timestamp)> {
    let from = hosts.iter().map(|it| it.from).min()?;
    let to = hosts.iter().map(|it| it.to).max()?;
    Some((from, to))
}

fn watched_ns(view: &View) -> u64 {
    span(&view.coverage).map_or(0, |(from, to)| to.as_ns().saturating_sub(from.as_ns()))
}

fn doubts(hosts: &[HostCoverage]) -> Vec<Doubt> {
    if hosts.is_empty() {
        return vec![Doubt::Unwatched];
    }
    let mut doubts = Vec::new();
    for it in hosts {
        let host = &it.host.name;
        let events = it.lost.total();
        if events > 0 {
            doubts.push(Doubt::Lost {
                host: host.clone(),
                events,
            });
        }
        for gap in &it.gaps {
            doubts.push(Doubt::Gap {
                host: host.clone(),
                gap: *gap,
            });
        }
        if it.untracked > 0 {
            doubts.push(Doubt::Untracked {
                host: host.clone(),
                connections: it.untracked,
            });
        }
    }
    doubts
}
