//! How many events there were.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Consumer, Needs};
use crate::model::{Event, Kind};

/// Counts events of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Count {
    events: Arc<AtomicU64>,
    /// What comes when a run ends is of no time that was measured.
    is_ending: bool,
}

impl Count {
    /// And where the number is found.
    pub(crate) fn new() -> (Self, Arc<AtomicU64>) {
        let count = Self::default();
        let number = Arc::clone(&count.events);
        (count, number)
    }
}

impl Consumer for Count {
    fn needs(&self) -> Needs {
        // As for lines: it says what those cost.
        Needs {
            openings: true,
            peers: true,
            ..Needs::default()
        }
    }

    fn push(&mut self, event: &Event) {
        if !self.is_ending && !matches!(event.body.kind(), Kind::Start | Kind::Loss | Kind::Stop) {
            self.events.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn ending(&mut self) {
        self.is_ending = true;
    }
}
