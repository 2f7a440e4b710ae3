//! Requests: what is asked of tracer, as plain values.
//!
//! A request is complete, and its values go together. Nothing in it depends on how it was written: another
//! front end than the command line makes the same ones.

use std::{path::PathBuf, time::Duration};

use crate::{
    ask::{self, groups::Shared, impact::Way},
    capture::{self, HookSet},
    enrich::Arguments,
    filter,
    map::{self, GroupBy},
    model::Timestamp,
    outputs::{Format, answers::AnswerFormat, map::MapFormat},
};

/// What is asked of tracer.
#[derive(Clone, Debug)]
pub enum Request {
    /// Every event as a line.
    Stream(Stream),
    /// Who depends on whom.
    Map(Map),
    /// The answer to a question about that.
    Ask(Ask),
    /// What begins to fail on this host, as it happens.
    Follow(Follow),
    /// What this host allows.
    Doctor(Doctor),
    /// This completion script.
    Completions(Vec<u8>),
}

impl Request {
    /// Whether it looks at this host: else it reads what was recorded, or nothing.
    pub fn watches(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.origin.is_live(),
            Self::Map(map) => map.origin.is_live(),
            Self::Ask(ask) => ask.watches(),
            Self::Follow(_) | Self::Doctor(_) => true,
            Self::Completions(_) => false,
        }
    }

    /// Whether the terminal is taken over.
    pub fn takes_terminal(&self) -> bool {
        matches!(self, Self::Map(map) if map.shown == Shown::Screen)
    }
}

/// Events as lines on standard output.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Where events come from.
    pub origin: Origin,
    /// Which of them are printed.
    pub filter: filter::Options,
    /// The form of the lines.
    pub format: Format,
    /// Whether names and addresses are made up.
    pub anonymise: bool,
    /// Whether a loss of events is a failure.
    pub strict: bool,
}

/// A map of who depends on whom.
#[derive(Clone, Debug)]
pub struct Map {
    /// Where events come from.
    pub origin: Origin,
    /// What is in the map.
    pub about: About,
    /// The only part of it that is shown, if not all is.
    pub focus: Option<Focus>,
    /// How it is shown.
    pub shown: Shown,
    /// The file that the events are written to as well.
    pub save: Option<PathBuf>,
}

/// A part of a map.
#[derive(Clone, Debug)]
pub struct Focus {
    /// The node in its middle, by name or id.
    pub who: String,
    /// How many steps from there; none for all there are.
    pub depth: Option<u32>,
}

/// How a map is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// On the terminal, which is taken over.
    Screen,
    /// Once, on standard output.
    Printed {
        /// The form.
        format: MapFormat,
        /// How many edges there may be before what is alike is folded; none for any number.
        max_edges: Option<usize>,
    },
}

/// What is in a map.
#[derive(Clone, Debug)]
pub struct About {
    /// Nothing before this counts.
    pub since: Option<Timestamp>,
    /// Nothing from this on counts.
    pub until: Option<Timestamp>,
    /// What the nodes are.
    pub group_by: GroupBy,
    /// Which events count.
    pub filter: filter::Options,
    /// Whether a loss of events is a failure.
    pub strict: bool,
}

impl About {
    /// How a map of what comes from `origin` is made.
    pub fn options(&self, origin: &Origin) -> map::Options {
        let recordings = origin.recordings().map(<[_]>::len);
        map::Options {
            group_by: self.group_by,
            since: self.since,
            until: self.until,
            // A live map is not told all openings, and what filters leave out is not missing.
            counts_lines: recordings.is_some() && self.filter.admits_all(),
            ..match recordings {
                Some(2..) => map::Options::SEVERAL_HOSTS,
                Some(_) | None => map::Options::ONE_HOST,
            }
        }
    }
}

/// Where events come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// This host, now.
    Live(Box<Watch>),
    /// Recordings.
    Recorded {
        /// Where they are; `-` for standard input.
        paths: Vec<PathBuf>,
        /// Whether lines that cannot be read are left out.
        skip_bad: bool,
    },
}

impl Origin {
    /// The recordings; none if this host is watched.
    pub fn recordings(&self) -> Option<&[PathBuf]> {
        match self {
            Self::Live(_) => None,
            Self::Recorded { paths, .. } => Some(paths),
        }
    }

    /// Whether this host is watched.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

/// How this host is watched.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// How long; none until a signal comes.
    pub duration: Option<Duration>,
    /// How to attach.
    pub capture: capture::Options,
    /// Whether to count what each program costs, which costs something itself.
    pub costs: bool,
    /// A file of names of networks.
    pub names: Option<PathBuf>,
    /// A file that says what programs are for.
    pub roles: Option<PathBuf>,
    /// Whether to ask name servers what servers are called that have no other name.
    pub reverse_dns: bool,
    /// What to tell of the arguments of processes.
    pub arguments: Arguments,
    /// What Kubernetes calls this host.
    pub k8s_node: Option<String>,
}

/// A question, and the maps that it is asked of.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The question.
    pub question: Question,
    /// The maps.
    pub maps: Maps,
    /// What is in each.
    pub about: About,
    /// The form of the answer.
    pub format: AnswerFormat,
}

impl Ask {
    fn watches(&self) -> bool {
        let origins = match &self.maps {
            Maps::One(origin) => [origin, origin],
            Maps::Two { before, now, .. } => [before, now],
        };
        // Who uses a package is found among the processes of this host.
        matches!(self.question, Question::Package { .. })
            || origins.into_iter().any(Origin::is_live)
    }
}

/// A question, before what it takes from this host is read.
#[derive(Clone, Debug)]
pub enum Question {
    /// One that takes nothing.
    Whole(ask::Question),
    /// The impact of whatever uses a package.
    Package {
        /// What dpkg or rpm of this host calls it.
        name: String,
        /// Which way dependence is followed.
        way: Way,
        /// How many steps; none for all there are.
        depth: Option<u32>,
    },
    /// What changed, but for what the file allows.
    Allow(PathBuf),
    /// What a division cuts.
    Split {
        /// What counts as shared.
        shared: Shared,
        /// The file of the division.
        path: PathBuf,
    },
    /// How load is spread, and what the file of rules forbids.
    Policy(PathBuf),
}

/// The maps that a question is asked of.
#[derive(Clone, Debug)]
pub enum Maps {
    /// One.
    One(Origin),
    /// What was, and what is.
    Two {
        /// What was.
        before: Origin,
        /// What is.
        now: Origin,
        /// Whether this host is watched only until the answer is yes.
        until_yes: bool,
    },
}

/// What begins to fail on this host, and what recovers, as it happens.
#[derive(Clone, Debug)]
pub struct Follow {
    /// How this host is watched.
    pub watch: Watch,
    /// What counts.
    pub about: About,
    /// How long before a failure to look for what may be why.
    pub window: Duration,
    /// The form of the lines.
    pub format: AnswerFormat,
}

/// What this kernel and these privileges allow.
#[derive(Clone, Copy, Debug)]
pub struct Doctor {
    /// The form of the report.
    pub format: Format,
    /// The one set of hooks to judge; none for all.
    pub hooks: Option<HookSet>,
    /// How long to watch to find out what that costs; none not to.
    pub cost: Option<Duration>,
}
