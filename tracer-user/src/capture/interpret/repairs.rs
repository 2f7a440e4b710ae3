//! What the hooks missed and a rescan found.

use tracer_common::{self as abi, flags};

use crate::model::Repaired;

/// Counts it.
#[derive(Default)]
pub(super) struct Repairs {
    pub(super) total: Repaired,
    /// Whether the first scan is over: what that finds was there before the start.
    is_settled: bool,
}

impl Repairs {
    /// The first scan is over.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// A connection that was not seen to open.
    pub(super) fn opened(&mut self, opened: &abi::Opened) {
        if self.is_settled && opened.connection.process.source == abi::Source::SCAN {
            self.total.opened += 1;
        }
    }

    /// A connection that is over.
    pub(super) fn ended(&mut self, ended: &abi::Ended) {
        if ended.connection.flags & flags::FOUND_OVER != 0 {
            self.total.closed += 1;
        }
    }
}
