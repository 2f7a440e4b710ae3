//! Connections that were counted by their client's end alone, remembered in case the server's end comes late.

use std::collections::{VecDeque, hash_map::Entry};

use foldhash::HashMap;

use crate::{
    map::{
        half::{Link, Side},
        halves::{MAX_ALONE, Waiting},
        meeting::Meeting,
    },
    model::Timestamp,
};

/// How many are remembered: as many as always wait in `Halves`, so that a late server's end usually finds its
/// counters there.
const REMEMBERED: usize = MAX_ALONE / 2;

/// Where a connection was counted by its client's end.
pub(super) type Counted = (Link, Option<Waiting>);

/// Connections that were counted by their client's end alone.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    by_meeting: HashMap<Meeting, (Counted, Timestamp, Timestamp)>,
    /// The oldest first, each with the time of its last event.
    order: VecDeque<([Meeting; 2], Timestamp)>,
    /// The last event of the youngest one that was evicted.
    forgotten: Option<Timestamp>,
}

impl GivenUp {
    /// Where the connection with this key was counted, if it opened within `near` of `opened`: addresses are
    /// reused.
    pub(super) fn counted(
        &self,
        meeting: Meeting,
        opened: Timestamp,
        near: u64,
    ) -> Option<Counted> {
        if self.by_meeting.is_empty() {
            return None;
        }
        let (counted, first, last) = self.by_meeting.get(&meeting)?;
        let is_sure = matches!(meeting, Meeting::Handshake(_));
        let is_within = opened.as_ns() + near >= first.as_ns() && opened <= *last;
        (is_sure || is_within).then_some(*counted)
    }

    /// Whether a connection of that age may have been counted and evicted.
    pub(super) fn may_have(&self, side: Side, opened: Timestamp) -> bool {
        side == Side::Server && self.forgotten >= Some(opened)
    }

    pub(super) fn add(
        &mut self,
        counted: Counted,
        meetings: [Meeting; 2],
        [first, last]: [Timestamp; 2],
    ) {
        if counted.0.client.is_none() {
            return;
        }
        if self.order.len() >= REMEMBERED
            && let Some((oldest, told)) = self.order.pop_front()
        {
            for meeting in oldest {
                // A younger connection may have the same addresses.
                if let Entry::Occupied(known) = self.by_meeting.entry(meeting)
                    && known.get().2 == told
                {
                    known.remove();
                }
            }
            self.forgotten = self.forgotten.max(Some(told));
        }
        for meeting in meetings {
            self.by_meeting.insert(meeting, (counted, first, last));
        }
        self.order.push_back((meetings, last));
    }
}
