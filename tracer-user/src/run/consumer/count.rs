//! How many events there were.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Consumer, Needs, Take};
use crate::model::{Event, Kind};

/// Counts events of the kernel.
#[derive(Debug, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    /// And where the number is found.
    pub(crate) fn new() -> (Self, Arc<AtomicU64>) {
        let count = Self::default();
        let number = Arc::clone(&count.0);
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

    fn event(&mut self, event: &Event) -> Take {
        if !matches!(event.body.kind(), Kind::Start | Kind::Loss | Kind::Stop) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Take::More
    }
}
