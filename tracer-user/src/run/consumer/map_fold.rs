//! Events, folded into a map, and snapshots of it for those who look on.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{Consumer, Figures, Finish, Needs};
use crate::{
    map::Map,
    model::{Event, View},
    run::pace::{Pace, spent},
};

/// How often whoever looks on has a new snapshot.
const FRAME: Duration = Duration::from_millis(500);
/// Of the time between two snapshots one part in so many may be spent on one: of a large map they come seldom, and
/// nothing is lost meanwhile.
const FRAME_PART: u32 = 20;

/// A map at a moment, and how far the run was then.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) view: Arc<View>,
    pub(crate) figures: Figures,
}

/// Folds events into a map.
pub(crate) struct MapFold {
    map: Map,
    needs: Needs,
    /// Snapshots, while anybody wants them.
    snapshots: watch::Sender<Option<Snapshot>>,
    frames: Pace,
    whole: Option<oneshot::Sender<Map>>,
}

/// What comes of it.
pub(crate) struct Folded {
    /// The newest snapshot, for whoever looks on. Nobody is waited for; without any, there are none.
    pub(crate) snapshots: Option<watch::Receiver<Option<Snapshot>>>,
    whole: oneshot::Receiver<Map>,
}

impl Folded {
    /// The whole map, once the run is over.
    ///
    /// # Errors
    /// If it broke down.
    pub(crate) fn map(mut self) -> Result<Map> {
        self.whole.try_recv().context("the run left no map")
    }
}

impl MapFold {
    /// Folds into `map`; `processes` tells whether it is to have how processes begin and end, and `totals`
    /// whether somebody looks on who wants to know what open connections have carried so far.
    pub(crate) fn new(map: Map, processes: bool, totals: bool) -> (Self, Folded) {
        let (snapshots, newest) = watch::channel(None);
        let (whole, folded) = oneshot::channel();
        let needs = Needs {
            // An opening that may count while its end does not is an event of its own.
            openings: !map.counts_always(),
            processes,
            totals,
            // The map finds both ends of a connection by itself.
            ..Needs::default()
        };
        let fold = Self {
            map,
            needs,
            snapshots,
            frames: Pace::new(FRAME_PART, FRAME),
            whole: Some(whole),
        };
        let folded = Folded {
            snapshots: Some(newest),
            whole: folded,
        };
        (fold, folded)
    }
}

impl Consumer for MapFold {
    fn needs(&self) -> Needs {
        self.needs
    }

    fn push(&mut self, event: &Event) {
        self.map.push(event);
    }

    fn due(&self) -> Option<Instant> {
        (self.snapshots.receiver_count() > 0).then(|| self.frames.next())
    }

    fn tick(&mut self, figures: &Figures) {
        let before = spent();
        let view = Arc::new(self.map.view());
        self.snapshots.send_replace(Some(Snapshot {
            view,
            figures: *figures,
        }));
        self.frames.took(spent().saturating_sub(before));
    }

    fn finish(mut self: Box<Self>) -> Finish {
        if let Some(whole) = self.whole.take() {
            // Nobody may want it any more.
            let _ = whole.send(self.map);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
