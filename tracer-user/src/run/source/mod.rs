//! Where events come from.

mod live;
mod lost;
mod recorded;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

pub(super) use self::{
    live::{Live, Watch},
    recorded::{Recorded, fails_at_once, is_one_of},
};
use super::{
    consumer::{Figures, Needs, Take},
    stop::Stopped,
};
use crate::{
    cli::{LiveOptions, Sources, UsageError},
    filter::{self, Filter},
    model::{Cost, Event, ProgramCost},
    sandbox::Attaches,
};

/// What is to be read.
pub(super) enum Origin {
    /// This host, now.
    Live(Box<LiveOptions>),
    /// Recordings.
    Recorded {
        /// Where they are.
        paths: Vec<PathBuf>,
        /// Whether lines that cannot be read are left out.
        skip_bad: bool,
    },
}

impl Origin {
    /// What these options say.
    ///
    /// # Errors
    /// If they do not go together.
    pub(super) fn of(sources: &Sources, live: &LiveOptions) -> Result<Self> {
        let origin = Self::one_of_two(sources, live)?;
        if origin.recordings().is_some() && live.duration.is_some() {
            return Err(UsageError(
                "--for says how long to watch this host; of a recording, --since and --until of \
                 `tracer map` choose a part",
            )
            .into());
        }
        Ok(origin)
    }

    /// The same for one of two maps: how long to watch may be meant for the other one.
    ///
    /// # Errors
    /// If they do not go together.
    pub(super) fn one_of_two(sources: &Sources, live: &LiveOptions) -> Result<Self> {
        Ok(match sources.recordings()? {
            Some(paths) => Self::Recorded {
                paths,
                skip_bad: sources.skip_bad,
            },
            None => Self::Live(Box::new(live.clone())),
        })
    }

    /// The recordings; none if this host is watched.
    pub(super) fn recordings(&self) -> Option<&[PathBuf]> {
        match self {
            Self::Live(_) => None,
            Self::Recorded { paths, .. } => Some(paths),
        }
    }

    /// Begins to read, for consumers with these needs: on the thread of the run.
    ///
    /// # Errors
    /// If the capture cannot start.
    pub(super) fn open(
        self,
        filter: &filter::Options,
        needs: Needs,
        stopped: Stopped,
    ) -> Result<Source> {
        let filter = Filter::new(filter);
        Ok(match self {
            Self::Live(options) => {
                let filter = match needs.processes {
                    true => filter.with_processes(),
                    false => filter,
                };
                Source::Live(Box::new(Live::start(&options, filter, needs)?))
            }
            Self::Recorded { paths, skip_bad } => {
                // Whoever recorded processes asked for them.
                let filter = filter.with_processes();
                let recorded = Recorded::new(paths, skip_bad, filter, stopped);
                Source::Recorded(Box::new(recorded))
            }
        })
    }
}

/// Where events come from.
pub(super) enum Source {
    /// This host, watched.
    Live(Box<Live>),
    /// What was recorded.
    Recorded(Box<Recorded>),
}

/// Whether there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There may be, at once.
    More,
    /// Not now.
    Empty,
    /// Nothing will come any more.
    Over,
}

/// What a run read.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Events that were told.
    pub(super) events: u64,
    /// Events that were lost, now or when they were recorded.
    pub(super) lost: u64,
    /// Lines that could not be read.
    pub(super) skipped: u64,
    /// Not all that was recorded was read.
    pub(super) is_interrupted: bool,
    /// What it cost, if that was asked for.
    pub(super) costs: Option<Costs>,
}

/// What watching a host cost.
#[derive(Clone, Debug)]
pub(super) struct Costs {
    pub(super) watched: Duration,
    pub(super) process: Cost,
    pub(super) programs: Vec<ProgramCost>,
}

impl Source {
    /// What it is called.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Live(live) => live.hooks().to_owned(),
            Self::Recorded(_) => "recorded".to_owned(),
        }
    }

    /// What it is still to attach.
    pub(super) fn attaches(&self) -> Attaches {
        match self {
            Self::Live(live) => live.attaches(),
            Self::Recorded(_) => Attaches::Nothing,
        }
    }

    /// What comes before all other events; a recording has its own.
    pub(super) fn first(&self) -> Option<Event> {
        match self {
            Self::Live(live) => Some(live.first()),
            Self::Recorded(_) => None,
        }
    }

    /// Waits until there may be events. May be dropped at any time.
    pub(super) async fn ready(&mut self) {
        match self {
            Self::Live(live) => live.ready().await,
            Self::Recorded(recorded) => recorded.ready().await,
        }
    }

    /// When it is to stop, if it is known.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Live(live) => live.deadline(),
            Self::Recorded(_) => None,
        }
    }

    /// Hands over events that the user wants, until `take` is full or none are left for now.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn drain(&mut self, take: impl FnMut(&Event) -> Take) -> Result<State> {
        match self {
            Self::Live(live) => live.drain(take),
            Self::Recorded(recorded) => recorded.drain(take),
        }
    }

    /// To be called several times a second: looks around. What was lost since the last time, if that can be told now.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub(super) fn check(&mut self, tells: bool) -> Result<Option<Event>> {
        match self {
            Self::Live(live) => live.check(tells),
            Self::Recorded(_) => Ok(None),
        }
    }

    /// Begins to stop: [`Self::drain`] comes to its end then.
    pub(super) fn end(&mut self) {
        match self {
            Self::Live(live) => live.end(),
            Self::Recorded(recorded) => recorded.end(),
        }
    }

    /// Goes on with that, whether anybody has room for events or not.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn go_on(&mut self) -> Result<()> {
        match self {
            Self::Live(live) => live.go_on(),
            Self::Recorded(_) => Ok(()),
        }
    }

    /// What comes after all other events.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub(super) fn last(&mut self) -> Result<Vec<Event>> {
        match self {
            Self::Live(live) => live.last(),
            Self::Recorded(_) => Ok(Vec::new()),
        }
    }

    /// How far it is, of so many events.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub(super) fn figures(&self, events: u64) -> Result<Figures> {
        match self {
            Self::Live(live) => live.figures(events),
            Self::Recorded(recorded) => Ok(Figures {
                events,
                lost: recorded.account().lost,
                cost: None,
            }),
        }
    }

    /// What was read.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub(super) fn account(&mut self) -> Result<Account> {
        match self {
            Self::Live(live) => live.account(),
            Self::Recorded(recorded) => Ok(recorded.account()),
        }
    }
}
