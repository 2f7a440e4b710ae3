//! Recorded streams → model: what `tracer stream -o json` wrote, read back. The inverse of
//! `outputs::wire::stream`, for any JSON that says the same, in whatever order and spacing.
//!
//! What is read is hostile until it is checked: a line is bounded, and what does not fit is an
//! error that names file and line, never a guess.

mod canonical;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod checks;
mod fault;
mod line;
mod memo;
mod parts;
mod recording;
mod repeated;
mod seconds;
mod wire;

use std::{cmp::Reverse, collections::BinaryHeap, path::PathBuf};

use self::repeated::Repeated;
use crate::{
    files::FileError,
    model::{Event, Timestamp},
};

pub use fault::Fault;
pub use line::Parser;
pub use recording::Recording;

/// What reading a recording can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be opened.
    #[error("cannot open")]
    Open(#[from] FileError),
    /// It cannot be read.
    #[error("cannot read {name}, line {line}")]
    Read {
        /// The file.
        name: String,
        /// Where.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not one of the stream.
    #[error("{name}, line {line}: {fault}; --skip-bad goes on without such lines, and counts them")]
    Line {
        /// The file.
        name: String,
        /// Where.
        line: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// There is no event in it.
    #[error("{name} has no events: record some with `tracer stream -o json > FILE`")]
    Empty {
        /// The file.
        name: String,
    },
}

/// Several recordings as one stream, in the order of their times as far as each is in order
/// itself; of two events of one time, that of the recording named first comes first. An event that
/// several recordings have comes once.
#[derive(Debug)]
pub struct Merge {
    recordings: Vec<Recording>,
    repeated: Repeated,
    /// The next event of each recording that has one.
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
    waiting: Vec<Option<Event>>,
}

impl Merge {
    /// Opens the files, `-` for standard input. With `skip_bad`, lines that cannot be read are
    /// left out and counted.
    ///
    /// # Errors
    /// If one cannot be opened, or its first line cannot be read.
    pub fn open(paths: &[PathBuf], skip_bad: bool) -> Result<Self, ReplayError> {
        let recordings = paths.iter().map(|path| Recording::open(path, skip_bad));
        let mut merge = Self {
            recordings: recordings.collect::<Result<_, _>>()?,
            repeated: Repeated::default(),
            next: BinaryHeap::new(),
            waiting: Vec::new(),
        };
        for index in 0..merge.recordings.len() {
            merge.waiting.push(None);
            merge.advance(index)?;
        }
        Ok(merge)
    }

    /// The next event; none at the end of all.
    ///
    /// # Errors
    /// If the recording that it is in cannot be read.
    pub fn next_event(&mut self) -> Result<Option<Event>, ReplayError> {
        if let [recording] = self.recordings.as_mut_slice() {
            // Nothing to wait for: events stay in the order in which they were told.
            return match self.waiting.first_mut().and_then(Option::take) {
                Some(first) => Ok(Some(first)),
                None => recording.next_event(),
            };
        }
        while let Some(Reverse((_, index))) = self.next.pop() {
            let event = self.waiting[index].take();
            self.advance(index)?;
            if let Some(event) = event
                && self.repeated.is_new(&event, index)
            {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn advance(&mut self, index: usize) -> Result<(), ReplayError> {
        if let Some(event) = self.recordings[index].next_event()? {
            self.next.push(Reverse((event.time, index)));
            self.waiting[index] = Some(event);
        }
        Ok(())
    }

    /// Whether the next event may have to be waited for, as where another program tells it.
    pub fn may_wait(&self) -> bool {
        self.recordings.iter().any(Recording::may_wait)
    }

    /// How many events came once though several recordings have them.
    pub fn repeated(&self) -> u64 {
        self.repeated.count()
    }

    /// How many lines were left out of each recording that has some, by its name.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, u64)> {
        self.recordings
            .iter()
            .map(|recording| (recording.name(), recording.skipped()))
            .filter(|(_, skipped)| *skipped > 0)
    }
}

#[cfg(test)]
mod tests;
