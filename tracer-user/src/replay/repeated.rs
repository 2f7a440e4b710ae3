//! Events that several recordings have: of one run, copied, split with an overlap, or given twice.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use crate::model::{Body, Event, Timestamp};

/// Events of one time that are remembered: far more than there are in a nanosecond.
const REMEMBERED: usize = 4096;

/// What was told at the time that is told now.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    time: Option<Timestamp>,
    /// What each event is, and the recording it was in.
    told: Vec<(u64, usize)>,
    count: u64,
    state: RandomState,
}

impl Repeated {
    /// Whether `event`, of this recording, was in no other one. Events come in the order of their times.
    pub(super) fn is_new(&mut self, event: &Event, recording: usize) -> bool {
        if self.time != Some(event.time) {
            self.time = Some(event.time);
            self.told.clear();
        }
        let mark = self.mark(event);
        let is_told = |(told, of): &(u64, usize)| *told == mark && *of != recording;
        if self.told.iter().any(is_told) {
            self.count += 1;
            return false;
        }
        if self.told.len() < REMEMBERED {
            self.told.push((mark, recording));
        }
        true
    }

    /// How many were not.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Made of what tells an event from all others of its time: two lines that say it in other words are
    /// the same one.
    fn mark(&self, event: &Event) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(event.host.id.as_bytes());
        hasher.write(event.host.name.as_bytes());
        hasher.write(event.body.kind().name().as_bytes());
        if let Some(connection) = event.body.connection() {
            hasher.write_u64(connection.id.begun_ns);
            hasher.write_u32(connection.id.salt);
        }
        if let Body::Listen(it) | Body::Unlisten(it) = &event.body {
            hasher.write(it.listener.local.to_string().as_bytes());
            hasher.write_u32(it.listener.netns);
        }
        if let Some(process) = event.body.process() {
            hasher.write_u32(process.pid);
        }
        hasher.finish()
    }
}
