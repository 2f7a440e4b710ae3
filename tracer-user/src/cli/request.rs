//! Requests: what is asked of tracer, as plain values.
//!
//! A request is complete, and its values go together. Nothing in it depends on how it was written: another
//! front end than the command line makes the same ones.

use std::{path::PathBuf, time::Duration};

use crate::{
    ask::{self, groups::Shared, impact::Way},
    capture::{self, HookSet},
    enrich::Arguments,
    filter, map,
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
            Self::Map(map) => map.input.origin.is_live(),
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
    /// What it is made of.
    pub input: MapInput,
    /// The only part of it that is shown, if not all is.
    pub focus: Option<Focus>,
    /// How it is shown.
    pub shown: Shown,
    /// The file that the events are written to as well.
    pub save: Option<PathBuf>,
    /// Whether a loss of events is a failure.
    pub strict: bool,
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

/// What a map is made of, and how.
#[derive(Clone, Debug)]
pub struct MapInput {
    /// Where events come from.
    pub origin: Origin,
    /// Which of them count.
    pub filter: filter::Options,
    /// How the map is made.
    pub options: map::Options,
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
    /// What was, of a question that compares.
    pub before: Option<Box<MapInput>>,
    /// What is.
    pub now: MapInput,
    /// Whether this host is watched only until the answer is yes.
    pub until_yes: bool,
    /// The form of the answer.
    pub format: AnswerFormat,
    /// Whether a loss of events is a failure.
    pub strict: bool,
}

impl Ask {
    fn watches(&self) -> bool {
        let mut inputs = self.before.iter().map(|it| &**it).chain([&self.now]);
        // Who uses a package is found among the processes of this host.
        matches!(self.question, Question::Package { .. }) || inputs.any(|it| it.origin.is_live())
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

/// What begins to fail on this host, and what recovers, as it happens.
#[derive(Clone, Debug)]
pub struct Follow {
    /// What the map of this host is made of.
    pub input: MapInput,
    /// How long before a failure to look for what may be why.
    pub window: Duration,
    /// The form of the lines.
    pub format: AnswerFormat,
    /// Whether a loss of events is a failure.
    pub strict: bool,
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
