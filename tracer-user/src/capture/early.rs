//! Records that arrive before the start is over. They are buffered here, as a busy host would fill the ring
//! buffer meanwhile.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tracer_common::Source;

use super::{
    decode::{self, Record, RecordBytes},
    ring::Ring,
};
use crate::model::Take;

/// How often the ring buffer is drained meanwhile.
const POLL: Duration = Duration::from_micros(100);

/// The records, oldest first.
#[derive(Default)]
pub(super) struct Early(VecDeque<RecordBytes>);

impl Early {
    /// Waits until the owners of listeners are known: what is accepted after the start is theirs.
    /// The listeners that the scan found come before everything else.
    pub(super) fn meet_listeners(&mut self, ring: &mut Ring, knows_listeners: impl Fn() -> bool) {
        let mut found = VecDeque::new();
        loop {
            let is_last = knows_listeners();
            ring.drain(|bytes| {
                let to = match decode::decode(bytes) {
                    Ok(Record::Listen(listening)) if listening.process.source == Source::SCAN => {
                        &mut found
                    }
                    _ => &mut self.0,
                };
                to.push_back(RecordBytes::from(bytes));
                Take::More
            });
            if is_last {
                break;
            }
            std::thread::sleep(POLL);
        }
        found.append(&mut self.0);
        self.0 = found;
    }

    /// Buffers records until `is_ready`, for `limit` at most.
    pub(super) fn gather(
        &mut self,
        ring: &mut Ring,
        limit: Duration,
        mut is_ready: impl FnMut() -> bool,
    ) {
        let begun = Instant::now();
        while !is_ready() && begun.elapsed() < limit {
            ring.drain(|bytes| {
                self.0.push_back(RecordBytes::from(bytes));
                Take::More
            });
            std::thread::sleep(POLL);
        }
    }

    /// The next record.
    pub(super) fn pop(&mut self) -> Option<RecordBytes> {
        self.0.pop_front()
    }
}
