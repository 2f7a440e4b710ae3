//! Cache from what an event says of its endpoint to the half of that endpoint.

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

/// Index of a cache entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) struct AskedId(pub(super) u32);

/// The key of the cache: events with an equal key have the same half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) host: HostId,
    pub(super) netns: u32,
    pub(super) side: Side,
    /// The server's port.
    pub(super) port: u16,
    pub(super) local: Address,
    pub(super) remote: Address,
    /// If it differs from the remote and the port.
    pub(super) dialled: Option<At>,
    /// Failed attempts at many ports share a half.
    pub(super) fails: bool,
    pub(super) process: Option<ArcId>,
    pub(super) name: Option<ArcId>,
}

/// The key with its hash, computed once per event.
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

/// The value of the cache.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) half: HalfId,
    pub(super) owner: SightingId,
    pub(super) taker: SightingId,
    pub(super) present: PresenceId,
    pub(super) process: Latest,
    /// Keeps the values alive whose ids are in [`Asked`].
    pub(super) _kept: (Option<Arc<Process>>, Option<Arc<Name>>),
}

/// Who is charged for the entries of an endpoint.
pub(super) fn payer_of(asked: &Asked, event: &ConnectionEvent) -> Payer {
    let port = match asked.side {
        Side::Server => asked.port,
        Side::Client | Side::Unknown => 0,
    };
    Payer::of_process(event.process.as_deref(), asked.netns, port)
}
