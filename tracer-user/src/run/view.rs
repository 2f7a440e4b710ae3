//! The map that a question is about: recorded, or of this host as it is watched.

use std::ops::ControlFlow;

use anyhow::Result;

use super::{
    consumer::{Consumer, MapFold, Snapshot},
    progress::Progress,
    stop::Stop,
    thread::Run,
};
use crate::{
    ask::{Doubt, Proof},
    cli::request::{MapInput, Origin},
    map::Map,
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

    /// Adds the doubts that no map knows of.
    pub(super) fn doubt(&self, proof: &mut Proof) {
        if self.skipped > 0 {
            proof.doubt(Doubt::Skipped {
                lines: self.skipped,
            });
        }
        if self.interrupted {
            proof.doubt(Doubt::Interrupted);
        }
        if self.filtered {
            proof.doubt(Doubt::Filtered);
        }
    }
}

/// What comes after a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The answer.
    Answer,
    /// Another map, for which this host is to be watched.
    Watch,
}

/// The map of `input`. On a terminal it says meanwhile how far that is.
pub(super) async fn see(input: MapInput, then: Then) -> Result<Seen> {
    match Progress::new() {
        Some(progress) if input.origin.is_live() => {
            let look = |snapshot: &Snapshot| {
                let (events, edges) = (snapshot.figures.events, snapshot.view.edges.len());
                progress.show(&format!("{events} events, {edges} edges"));
                Ok(ControlFlow::Continue(()))
            };
            see_while(input, then, Some(look)).await
        }
        _ => see_while(input, then, None::<Look>).await,
    }
}

/// Who sees each snapshot, until there was enough.
type Look = fn(&Snapshot) -> Result<ControlFlow<()>>;

/// The same. Now and then `look` sees it as it is, and may have seen enough.
pub(super) async fn see_while<F>(input: MapInput, then: Then, look: Option<F>) -> Result<Seen>
where
    F: FnMut(&Snapshot) -> Result<ControlFlow<()>>,
{
    let rights = (then == Then::Answer).then(|| rights(&input.origin));
    let (fold, mut folded) = MapFold::new(Map::new(input.options), true, false);
    let snapshots = folded.snapshots.take();
    let consumers: Vec<Box<dyn Consumer>> = vec![Box::new(fold)];
    let run = Run::open(input.origin, input.filter, consumers, Stop::new()).await?;
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
        filtered: account.is_filtered,
    })
}

/// What is left to do once all is open.
pub(super) fn rights(origin: &Origin) -> Rights {
    match origin {
        Origin::Live(watch) => Rights {
            watches: true,
            asks_names: watch.reverse_dns,
            ..Rights::default()
        },
        Origin::Recorded { .. } => Rights::default(),
    }
}
