//! The map that a question is about: recorded, or of this host as it is watched.

use std::{
    io::{IsTerminal, Write as _},
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    recorded,
    watch::{Onlooker, watch},
};
use crate::{
    ask::{Answer, Doubt},
    cli::{About, Asked, Sources},
    filter::Filter,
    map::{self, Map},
    model::{Event, View},
    sandbox::{self, Needs},
};

/// A map, and what is to be said of where it comes from.
pub(super) struct Seen {
    pub(super) view: View,
    /// Events that were lost.
    pub(super) lost: u64,
    /// Lines that could not be read.
    skipped: u64,
    /// Not all that was recorded was read.
    interrupted: bool,
    /// Not all that was told counted.
    filtered: bool,
}

impl Seen {
    /// What `other` lost was lost of both.
    pub(super) fn also(&mut self, other: &Self) {
        self.lost += other.lost;
        self.skipped += other.skipped;
        self.interrupted |= other.interrupted;
    }

    /// `answer`, with the doubts that no map knows of.
    pub(super) fn doubted<T>(&self, mut answer: Answer<T>) -> Answer<T> {
        if self.skipped > 0 {
            answer.proof.doubt(Doubt::Skipped {
                lines: self.skipped,
            });
        }
        if self.interrupted {
            answer.proof.doubt(Doubt::Interrupted);
        }
        if self.filtered {
            answer.proof.doubt(Doubt::Filtered);
        }
        answer
    }
}

/// An empty map, as it is asked for: of so many recordings, or of this host as it is watched.
pub(super) fn empty(about: &About, recordings: Option<usize>) -> Map {
    Map::new(map::Options {
        group_by: about.group_by,
        since: about.since,
        until: about.until,
        // A live map is not told all openings, and what filters leave out is not missing.
        counts_lines: recordings.is_some() && about.filter.admits_all(),
        ..match recordings {
            Some(2..) => map::Options::SEVERAL_HOSTS,
            Some(_) | None => map::Options::ONE_HOST,
        }
    })
}

/// The map that a question is about.
pub(super) async fn see(asked: &Asked) -> Result<Seen> {
    let recordings = recorded::paths(&asked.sources, &asked.about.live)?;
    if recordings.is_some() {
        // The answer to the question is all that comes after.
        sandbox::close(Needs::default());
    }
    see_all(recordings, asked.sources.skip_bad, &asked.about).await
}

/// One of two maps: how long to watch may be meant for the other one.
pub(super) async fn see_one_of_two(sources: &Sources, about: &About) -> Result<Seen> {
    see_all(sources.recordings()?, sources.skip_bad, about).await
}

async fn see_all(recordings: Option<Vec<PathBuf>>, skip_bad: bool, about: &About) -> Result<Seen> {
    let Some(paths) = recordings else {
        let mut progress = Progress::new();
        let shows = progress.shows;
        let mut look = |view: View, events| {
            progress.show(|| format!("{events} events, {} edges", view.edges.len()));
            Ok(ControlFlow::Continue(()))
        };
        let seen = watch_for(about, shows.then_some(&mut look)).await?;
        progress.clear();
        return Ok(seen);
    };
    let filter = Filter::new(&about.filter).with_processes();
    let mut map = empty(about, Some(paths.len()));
    let take = |batch: &[Event]| {
        for event in batch.iter().filter(|event| filter.admits(event)) {
            map.push(event);
        }
        Ok(ControlFlow::Continue(()))
    };
    let read = recorded::read(&paths, skip_bad, take).await?;
    Ok(Seen {
        view: map.view(),
        lost: read.lost,
        skipped: read.skipped,
        interrupted: read.is_interrupted,
        filtered: !about.filter.admits_all(),
    })
}

/// Watches this host. Now and then `look` sees the map, and how many events it took, and may have
/// seen enough.
pub(super) async fn watch_for<F>(about: &About, look: Option<&mut F>) -> Result<Seen>
where
    F: FnMut(View, u64) -> Result<ControlFlow<()>>,
{
    let filter = Filter::new(&about.filter).with_processes();
    let mut map = empty(about, None);
    let onlooker = match look {
        Some(look) => Onlooker::Each(look),
        None => Onlooker::Nobody,
    };
    let lost = watch(&about.live, filter, &mut map, None, onlooker).await?;
    Ok(Seen {
        view: map.view(),
        lost,
        skipped: 0,
        interrupted: false,
        filtered: !about.filter.admits_all(),
    })
}

/// What goes on, on a terminal; nothing elsewhere.
pub(super) struct Progress {
    begun: Instant,
    shows: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            shows: std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        if self.shows {
            let seconds = Duration::from_secs(self.begun.elapsed().as_secs());
            let seconds = humantime::format_duration(seconds);
            let text = text();
            // There is nowhere else to say that this cannot be written.
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[Kwatching for {seconds}: {text}; Ctrl-C for the answer"
            );
        }
    }

    pub(super) fn clear(&mut self) {
        if self.shows {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
