//! Conntrack: a connection whose packets carry other addresses at its other end.

use std::net::SocketAddr;

/// What a translation (DNAT, SNAT, masquerade, redirect) made of a connection. Addresses are
/// never IPv4-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Tracked {
    /// The client's end, as the client has it.
    pub(in super::super) client: SocketAddr,
    /// Whom the client dialled.
    pub(in super::super) dialled: SocketAddr,
    /// Who answered: the server's end, as the server has it.
    pub(in super::super) server: SocketAddr,
    /// The client's end, as the server sees it.
    pub(in super::super) server_sees: SocketAddr,
}

impl Tracked {
    /// Whether anything differs between the two ends.
    pub(in super::super) fn is_any(&self) -> bool {
        self.dialled != self.server || self.client != self.server_sees
    }
}
