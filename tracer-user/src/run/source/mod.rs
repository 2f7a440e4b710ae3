//! Where events come from.

mod live;
mod lost;
mod recorded;

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

pub(super) use self::{
    live::Live,
    recorded::{Recorded, fails_at_once},
};
use super::{
    consumer::{Figures, Needs, Take},
    stop::Stopped,
};
use crate::{
    cli::request::Origin,
    filter,
    model::{Cost, Event, ProgramCost},
    sandbox::Attaches,
};

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
    /// Not all that was read was told.
    pub(super) is_filtered: bool,
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
    /// Begins to read what comes from `origin` and `filter` admits, for consumers with these needs: on the thread of
    /// the run.
    ///
    /// # Errors
    /// If the capture cannot start.
    pub(super) fn open(
        origin: Origin,
        filter: &filter::Options,
        needs: Needs,
        stopped: Stopped,
    ) -> Result<Self> {
        Ok(match origin {
            Origin::Live(watch) => Self::Live(Box::new(Live::start(&watch, filter, needs)?)),
            Origin::Recorded { paths, skip_bad } => {
                Self::Recorded(Box::new(Recorded::new(paths, skip_bad, filter, stopped)))
            }
        })
    }

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
