//! The map that a question is about: recorded, or of this host as it is watched.

use std::ops::ControlFlow;

use anyhow::Result;

use super::{
    consumer::{MapFold, Snapshot},
    progress::Progress,
    source::Origin,
    stop::Stop,
    thread::Run,
};
use crate::{
    ask::{Answer, Doubt},
    cli::{About, Asked, LiveOptions, Sources},
    map::{self, Map},
    model::View,
    sandbox::Needs as Rights,
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
    let origin = Origin::of(&asked.sources, &asked.about.live)?;
    see_all(origin, &asked.about, Then::Answer).await
}

/// What comes after a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The answer.
    Answer,
    /// Another map, for which this host is to be watched.
    Watch,
}

/// One of two maps: how long to watch may be meant for the other one.
pub(super) async fn see_one_of_two(sources: &Sources, about: &About, then: Then) -> Result<Seen> {
    let origin = Origin::one_of_two(sources, &about.live)?;
    see_all(origin, about, then).await
}

async fn see_all(origin: Origin, about: &About, then: Then) -> Result<Seen> {
    match Progress::new() {
        Some(progress) if origin.recordings().is_none() => {
            let look = |snapshot: &Snapshot| {
                let (events, edges) = (snapshot.figures.events, snapshot.view.edges.len());
                progress.show(&format!("{events} events, {edges} edges"));
                Ok(ControlFlow::Continue(()))
            };
            see_while(origin, about, then, Some(look)).await
        }
        _ => see_while(origin, about, then, None::<Look>).await,
    }
}

/// Who sees each snapshot, until there was enough.
type Look = fn(&Snapshot) -> Result<ControlFlow<()>>;

/// The map of what `origin` tells. Now and then `look` sees it as it is, and may have seen enough.
pub(super) async fn see_while<F>(
    origin: Origin,
    about: &About,
    then: Then,
    look: Option<F>,
) -> Result<Seen>
where
    F: FnMut(&Snapshot) -> Result<ControlFlow<()>>,
{
    let recordings = origin.recordings().map(<[_]>::len);
    let rights = rights(&about.live, recordings.is_none());
    let rights = (then == Then::Answer).then_some(rights);
    let (fold, mut folded) = MapFold::new(empty(about, recordings), true, false);
    let snapshots = folded.snapshots.take();
    let run = Run::open(origin, &about.filter, vec![Box::new(fold)], Stop::new()).await?;
    let run = run.begin(rights);
    let account = match (look, snapshots) {
        (Some(look), Some(snapshots)) => run.watched(snapshots, look).await?,
        (_, snapshots) => {
            // Nobody looks on.
            drop(snapshots);
            run.end().await?
        }
    };
    Ok(Seen {
        view: folded.map()?.view(),
        lost: account.lost,
        skipped: account.skipped,
        interrupted: account.is_interrupted,
        filtered: !about.filter.admits_all(),
    })
}

/// What is left to do once all is open.
pub(super) fn rights(options: &LiveOptions, is_live: bool) -> Rights {
    Rights {
        watches: is_live,
        asks_names: is_live && options.reverse_dns,
        ..Rights::default()
    }
}
