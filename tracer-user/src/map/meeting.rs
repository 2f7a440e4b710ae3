//! Keys that pair the two endpoints of a connection, and that identify one endpoint.

use std::{hash::BuildHasher, net::SocketAddr};

use foldhash::fast::RandomState;

use super::numbers::HostId;
use crate::model::{Connection, without_scope};

/// A key that both endpoints of a connection share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Meeting {
    /// From the sequence numbers of its handshake, which are unique to it.
    Handshake(u64),
    /// The addresses, of a connection within one host whose handshake was not seen.
    OnHost(u64),
    /// The addresses alone, on any hosts. Used only if there is no better key.
    Addresses(u64),
}

/// Hashes addresses to short keys. The seed is random, so collisions cannot be chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(RandomState);

/// The keys of one endpoint, besides its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// From its namespace and both addresses: at one time one connection of a host has them.
    pub(super) own: u64,
    /// From both addresses: the same at both ends, unless a translation changes them.
    pub(super) shared: u64,
}

/// The namespace of a connection by loopback addresses, which are the same in every namespace.
pub(super) fn inside(host: HostId, connection: &Connection) -> Option<(HostId, u32)> {
    let is_inward =
        connection.ends.local.ip().is_loopback() || connection.remote().ip().is_loopback();
    is_inward.then_some((host, connection.netns))
}

impl Keys {
    pub(super) fn addresses(&self, host: HostId, connection: &Connection) -> Addresses {
        let own = without_scope(connection.ends.local);
        let other = without_scope(connection.remote());
        let inside = inside(host, connection);
        let [here, there] = [own, other].map(|it| self.address(it));
        let seen = match &connection.translation {
            Some(_) => self.address(connection.ends.remote),
            None => there,
        };
        let (lesser, greater) = (here.min(there), here.max(there));
        Addresses {
            own: self.0.hash_one((connection.netns, here, seen)),
            shared: self.0.hash_one((inside, lesser, greater)),
        }
    }

    /// In a word, the same for the same address. Those of IPv4 fit.
    fn address(&self, address: SocketAddr) -> u64 {
        let port = address.port();
        match address {
            SocketAddr::V4(address) => u64::from(address.ip().to_bits()) << 16 | u64::from(port),
            SocketAddr::V6(address) => self.0.hash_one((address.ip().to_bits(), port)),
        }
    }

    /// Where the end of `connection` with these `addresses` waits for the other one.
    pub(super) fn meeting(
        &self,
        host: HostId,
        connection: &Connection,
        addresses: Addresses,
    ) -> Meeting {
        match connection.handshake {
            Some(handshake) => Meeting::Handshake(handshake),
            None => Meeting::OnHost(self.0.hash_one((host, addresses.shared))),
        }
    }
}
