//! Connections.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{AddressEvidence, Name, Timestamp};

/// Which side opened a connection, seen from this host's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// This end sent the SYN.
    Outbound,
    /// The other end did.
    Inbound,
}

impl Direction {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// Address family of what went over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, also when the socket is an IPv6 one with IPv4-mapped addresses.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// The side that closed a connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closer {
    /// This end.
    Local,
    /// The other end.
    Remote,
}

impl Closer {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// The two ends. Addresses are never IPv4-mapped; each with its scope, as [`Address`](super::Address) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// Tells a connection's end from all others of the host: no two of them begin in the same
/// nanosecond between the same ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// When it began, nanoseconds on the kernel's clock.
    pub begun_ns: u64,
    /// Made of its ends.
    pub salt: u32,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}{:08x}", self.begun_ns, self.salt)
    }
}

/// An address that was replaced by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// What the process dialled.
    pub dialled: SocketAddr,
    /// Where that led.
    pub server: SocketAddr,
    /// How this is known.
    pub evidence: AddressEvidence,
}

/// One end's connection, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The same on every event of this end's connection, unique on the host.
    pub id: ConnectionId,
    /// Tells a connection from all others, the same at both of its ends on whichever hosts, made of
    /// the sequence numbers of its handshake; none if that was not seen.
    pub handshake: Option<u64>,
    /// Who opened it; none if not known.
    pub direction: Option<Direction>,
    /// Inode number of the network namespace its socket is in.
    pub netns: u32,
    /// The two ends.
    pub ends: Ends,
    /// What an outbound one was dialled as and where it went, where these differ.
    pub translation: Option<Box<Translation>>,
    /// What the other end is called.
    pub name: Option<Arc<Name>>,
    /// When the handshake was complete.
    pub opened: Option<Timestamp>,
    /// Older than the tracer.
    pub existing: bool,
    /// From the start of the attempt to the end of the handshake, nanoseconds; outbound only.
    pub connect_ns: Option<u64>,
    /// From `opened` to the end, nanoseconds.
    pub duration_ns: Option<u64>,
    /// What it carried, at its end.
    pub totals: Option<Totals>,
    /// Who closed it first; none if neither did (a timeout).
    pub closed_by: Option<Closer>,
    /// The kernel's error of a connection that did not end in order, as `ECONNRESET`.
    pub errno: Option<&'static str>,
}

/// What a connection carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes sent, each once.
    pub sent_bytes: u64,
    /// Payload bytes received, each once.
    pub received_bytes: u64,
    /// Smoothed round-trip time, nanoseconds, if one was measured.
    pub rtt_ns: Option<u64>,
    /// Segments sent again.
    pub retransmits: u32,
}

impl Connection {
    /// Address family on the wire.
    pub fn family(&self) -> Family {
        match self.ends.remote.ip() {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }

    /// Whether the two ends are on the same host by their addresses: one of them is a
    /// loopback address, or both are the same.
    pub fn is_loopback(&self) -> bool {
        let (local, remote) = (self.ends.local.ip(), self.ends.remote.ip());
        local.is_loopback() || remote.is_loopback() || local == remote
    }

    /// Whether it has one end only: a socket that dialled the port which the kernel then chose for it.
    pub fn is_with_itself(&self) -> bool {
        self.ends.local == self.ends.remote
    }

    /// The other end, behind all translation that is known.
    pub fn remote(&self) -> SocketAddr {
        self.translation
            .as_ref()
            .map_or(self.ends.remote, |it| it.server)
    }

    /// The other end, as this one was told to dial it, or sees it.
    pub fn dialled(&self) -> SocketAddr {
        self.translation
            .as_ref()
            .map_or(self.ends.remote, |it| it.dialled)
    }

    /// The port that was dialled, if the direction is known.
    pub fn server_port(&self) -> Option<u16> {
        match self.direction? {
            Direction::Outbound => Some(self.ends.remote.port()),
            Direction::Inbound => Some(self.ends.local.port()),
        }
    }
}
