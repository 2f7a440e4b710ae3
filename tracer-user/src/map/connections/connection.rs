//! A tracked connection, with those of its two endpoints that were reported.

use crate::{
    map::{end::End, half::HalfId, meeting::Meeting, numbers::HostId},
    model::ConnectionId,
};

/// Index of a connection; reused after it is settled.
pub(super) type Slot = u32;

/// Where an endpoint is stored.
#[derive(Clone, Copy, Debug)]
pub(in crate::map) struct Kept {
    pub(super) slot: Slot,
    /// Which of the two endpoints; none if only the id matched.
    pub(super) end: Option<usize>,
}

/// A slot with its generation: earlier connections of that slot do not match.
pub(super) type Ticket = (Slot, u32);

/// A connection with those of its endpoints that were reported.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) ends: [Option<End>; 2],
    /// The key that its endpoints share; none if another connection holds it.
    pub(super) meeting: Option<Meeting>,
    /// The halves of both ends that were joined last.
    pub(super) joined: Option<(HalfId, HalfId)>,
    /// Changes when the slot is reused and when the connection leaves a queue: old tickets are void.
    pub(super) generation: u32,
    pub(super) is_queued: bool,
    /// Its endpoints were paired by address alone.
    pub(super) by_addresses: bool,
    /// Already counted, by its client's end alone.
    pub(super) is_counted: bool,
    /// Further keys: other tracers and later runs give the same endpoint another id.
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

    /// Whether one of its endpoints is open.
    pub(super) fn is_held(&self) -> bool {
        self.ends.iter().flatten().any(|it| !it.is_over)
    }

    /// The only known endpoint; none if both are known.
    pub(super) fn single(&self) -> Option<&End> {
        match &self.ends {
            [Some(end), None] => Some(end),
            _ => None,
        }
    }
}
