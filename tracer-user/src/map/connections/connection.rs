//! A connection that is followed, with the ends that were told of.

use crate::{
    map::{end::End, half::HalfId, meeting::Meeting, numbers::HostId},
    model::ConnectionId,
};

/// Number of a connection; used again when it is settled.
pub(super) type Slot = u32;

/// Where what is told of an end is kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::map) struct Kept {
    pub(super) slot: Slot,
    /// Which of its two; none if it is known by the number alone.
    pub(super) end: Option<usize>,
}

/// A connection, told apart from those that had its number before.
pub(super) type Ticket = (Slot, u32);

/// A connection with the ends that were told of.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) ends: [Option<End>; 2],
    /// Where its ends met, or wait for each other; none if another one waits there.
    pub(super) meeting: Option<Meeting>,
    /// The halves of both ends, as they were told to belong together.
    pub(super) joined: Option<(HalfId, HalfId)>,
    /// Told apart from others that had the same number, and from itself in a queue that it has left.
    pub(super) generation: u32,
    pub(super) is_queued: bool,
    /// Its ends were found to belong together by their addresses alone.
    pub(super) by_addresses: bool,
    /// It was counted when only its client's end was known.
    pub(super) is_counted: bool,
    /// By what it is known besides: other tracers and later runs give other numbers to the same end.
    pub(super) also: Option<Box<Also>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Also {
    pub(super) ids: Vec<(HostId, ConnectionId)>,
    pub(super) meetings: Vec<Meeting>,
}

impl Connection {
    pub(super) fn ends(&self) -> [Option<&End>; 2] {
        self.ends.each_ref().map(Option::as_ref)
    }

    /// Whether one of its ends is not over.
    pub(super) fn is_held(&self) -> bool {
        self.ends.iter().flatten().any(|it| !it.is_over)
    }

    /// The end that is told of, where only one is.
    pub(super) fn single(&self) -> Option<&End> {
        match &self.ends {
            [Some(end), None] => Some(end),
            _ => None,
        }
    }
}
