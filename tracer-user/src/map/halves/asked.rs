//! What events said of their ends, remembered with the half that was found for it.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    map::{
        half::{At, HalfId, Side},
        nodes::Latest,
        numbers::HostId,
        presence::PresenceId,
        sightings::SightingId,
    },
    model::{Address, ArcId, ConnectionEvent, Name, Payer, Process},
};

/// Where what an event said of its end is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) struct AskedId(pub(super) u32);

/// What an event says of its end: the same has the same half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) host: HostId,
    pub(super) netns: u32,
    pub(super) side: Side,
    /// The server's port.
    pub(super) port: u16,
    pub(super) local: Address,
    pub(super) remote: Address,
    /// Where that differs from the remote and the port.
    pub(super) dialled: Option<At>,
    /// Of attempts that fail some have a half in common.
    pub(super) fails: bool,
    pub(super) process: Option<ArcId>,
    pub(super) name: Option<ArcId>,
}

/// The same with its hash, which is made once however often it is looked up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    pub(super) hash: u64,
    pub(super) asked: Asked,
}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// What was found for it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) half: HalfId,
    pub(super) owner: SightingId,
    pub(super) taker: SightingId,
    pub(super) present: PresenceId,
    pub(super) process: Latest,
    /// Kept for the identities in [`Asked`].
    pub(super) _kept: (Option<Arc<Process>>, Option<Arc<Name>>),
}

/// Who pays for what is kept of an end.
pub(super) fn payer_of(asked: &Asked, event: &ConnectionEvent) -> Payer {
    let port = match asked.side {
        Side::Server => asked.port,
        Side::Client | Side::Unknown => 0,
    };
    Payer::of_process(event.process.as_deref(), asked.netns, port)
}
