//! What takes the events of a run, each kind a file.

mod batch;
mod count;
mod lines;
mod map_fold;
mod recording;

use std::{ops::BitOr, pin::Pin};

use anyhow::Result;
use tokio::time::Instant;

pub(crate) use self::{
    batch::Batch,
    count::Count,
    lines::Lines,
    map_fold::{MapFold, Snapshot},
    recording::Recording,
};
pub(crate) use crate::model::Take;
use crate::model::{Cost, Event};

/// What a consumer has to be told beside what the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Each opening of a connection as an event of its own, also where its end is told at once.
    pub(crate) openings: bool,
    /// Who is at the other end, in each event.
    pub(crate) peers: bool,
    /// How processes begin and end, unless kinds of events were asked for.
    pub(crate) processes: bool,
    /// What open connections have carried, now and then and not only at the end.
    pub(crate) totals: bool,
    /// In the last event, how many came before.
    pub(crate) lines: bool,
}

impl BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            openings: self.openings || other.openings,
            peers: self.peers || other.peers,
            processes: self.processes || other.processes,
            totals: self.totals || other.totals,
            lines: self.lines || other.lines,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    /// Events that were told, and openings that were left out.
    pub(crate) events: u64,
    /// Events that were lost.
    pub(crate) lost: u64,
    /// What tracer took of the host; none if it watches nothing.
    pub(crate) cost: Option<Cost>,
}

/// Something that is waited for.
pub(crate) type Wait<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
/// What is left to do when a run is over.
pub(crate) type Finish = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What takes events. All of it is called on the thread of the run: whoever may read slowly stands behind a queue.
pub(crate) trait Consumer: Send {
    /// What it has to be told.
    fn needs(&self) -> Needs;

    /// Takes an event.
    fn push(&mut self, event: &Event);

    /// The same, and whether it can take another one.
    fn event(&mut self, event: &Event) -> Take {
        self.push(event);
        self.take()
    }

    /// Whether it can take one.
    fn take(&self) -> Take {
        Take::More
    }

    /// Hands on what it took. Called when it is full, and several times a second.
    ///
    /// # Errors
    /// If that cannot be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Waits until it can hand something on by itself, and does. May be dropped at any time.
    fn hand_on(&mut self) -> Wait<'_> {
        Box::pin(std::future::pending())
    }

    /// When it wants to be told how far the run is.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// How far the run is.
    fn tick(&mut self, figures: &Figures) {
        let _ = figures;
    }

    /// The run was asked to stop: what comes now is the last of all.
    fn ending(&mut self) {}

    /// Whether nobody wants more of it, so that the run may end.
    fn is_over(&self) -> bool {
        false
    }

    /// Hands on what is left: all events were told.
    ///
    /// # Errors
    /// If that cannot be written.
    fn finish(self: Box<Self>) -> Finish {
        Box::pin(std::future::ready(Ok(())))
    }
}
