//! Pre-existing connections that a listener of this host proved to be inbound.

use foldhash::HashSet;
use tracer_common as abi;

use super::{
    endpoints::{ends, id},
    listeners::Listeners,
};
use crate::model::ConnectionId;

/// Connections that are remembered: as many as the kernel side follows by default.
const MAX_INBOUND: usize = 160 << 10;

/// Their ids. The listener may be gone when they end.
#[derive(Default)]
pub(super) struct Inbound(HashSet<ConnectionId>);

impl Inbound {
    /// Decides, once, whether a connection that nobody saw open came in through a listener.
    pub(super) fn prove(&mut self, kept: &abi::Connection, listeners: &Listeners) {
        if kept.direction == abi::Direction::UNKNOWN
            && listeners.owns(kept.flow.netns, ends(&kept.flow).local)
            && self.0.len() < MAX_INBOUND
        {
            self.0.insert(id(kept));
        }
    }

    /// Whether it is one of them.
    pub(super) fn has(&self, connection: &ConnectionId) -> bool {
        self.0.contains(connection)
    }

    /// Forgets one that is over. Only pre-existing connections have entries, so this is usually a no-op.
    pub(super) fn forget(&mut self, connection: &ConnectionId) {
        if !self.0.is_empty() {
            self.0.remove(connection);
        }
    }
}
