//! By what the two ends of a connection find each other, and one end itself.

use std::{hash::BuildHasher, net::SocketAddr};

use foldhash::fast::RandomState;

use super::numbers::HostId;
use crate::model::{Connection, without_scope};

/// Where the two ends of a connection meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Meeting {
    /// Made of the sequence numbers of its handshake, which only these two know.
    Handshake(u64),
    /// Of connections whose handshake nobody saw: their addresses, on one host.
    OnHost(u64),
    /// The addresses alone, wherever the ends are. They meet here only if nothing else is known.
    Addresses(u64),
}

/// Makes short keys of addresses. They are of this map alone, so nobody can choose addresses that
/// have the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(RandomState);

/// What one end is known by, beside its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Made of its namespace and both addresses: at one time only one connection of a host has them.
    pub(super) own: u64,
    /// Made of both addresses, the same at both ends where nothing translates them.
    pub(super) shared: u64,
}

/// The namespace that a connection by loopback addresses does not leave: every other one has the same.
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
