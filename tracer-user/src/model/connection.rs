//! Connections.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::Timestamp;

/// Which side opened a connection, seen from this host's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This end sent the SYN.
    Outbound,
    /// The other end did.
    Inbound,
}

/// Address family of what went over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, also when the socket is an IPv6 one with IPv4-mapped addresses.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The side that closed a connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Closer {
    /// This end.
    Local,
    /// The other end.
    Remote,
}

/// The two ends. Addresses are never IPv4-mapped.
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

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One end's connection, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The same on every event of this end's connection, unique on the host.
    pub id: ConnectionId,
    /// Who opened it; none if not known.
    pub direction: Option<Direction>,
    /// Inode number of the network namespace its socket is in.
    pub netns: u32,
    /// The two ends.
    pub ends: Ends,
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

    /// The port that was dialled, if the direction is known.
    pub fn server_port(&self) -> Option<u16> {
        match self.direction? {
            Direction::Outbound => Some(self.ends.remote.port()),
            Direction::Inbound => Some(self.ends.local.port()),
        }
    }
}

/// One end, as printed. An unspecified address or a port of 0 means that none was
/// assigned, and is left out.
#[derive(Serialize)]
struct End {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl From<SocketAddr> for End {
    fn from(end: SocketAddr) -> Self {
        Self {
            address: (!end.ip().is_unspecified()).then_some(end.ip()),
            port: (end.port() != 0).then_some(end.port()),
        }
    }
}

impl Serialize for Connection {
    /// Writes the public form: `client` and `server` where the direction is known,
    /// `local` and `remote` where saying more would be a guess.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Connection", 16)?;
        out.serialize_field("id", &self.id)?;
        if let Some(direction) = self.direction {
            out.serialize_field("direction", &direction)?;
        }
        out.serialize_field("family", &self.family())?;
        out.serialize_field("netns", &self.netns)?;
        let (local, remote) = (End::from(self.ends.local), End::from(self.ends.remote));
        let [(name, first), (other, second)] = match self.direction {
            Some(Direction::Outbound) => [("client", local), ("server", remote)],
            Some(Direction::Inbound) => [("client", remote), ("server", local)],
            None => [("local", local), ("remote", remote)],
        };
        out.serialize_field(name, &first)?;
        out.serialize_field(other, &second)?;
        if let Some(opened) = self.opened {
            out.serialize_field("opened", &opened)?;
        }
        out.serialize_field("existing", &self.existing)?;
        if let Some(connect_ns) = self.connect_ns {
            out.serialize_field("connect_ns", &connect_ns)?;
        }
        if let Some(duration_ns) = self.duration_ns {
            out.serialize_field("duration_ns", &duration_ns)?;
        }
        if let Some(totals) = &self.totals {
            out.serialize_field("sent_bytes", &totals.sent_bytes)?;
            out.serialize_field("received_bytes", &totals.received_bytes)?;
            if let Some(rtt_ns) = totals.rtt_ns {
                out.serialize_field("rtt_ns", &rtt_ns)?;
            }
            out.serialize_field("retransmits", &totals.retransmits)?;
        }
        if let Some(closed_by) = self.closed_by {
            out.serialize_field("closed_by", &closed_by)?;
        }
        if let Some(errno) = self.errno {
            out.serialize_field("errno", errno)?;
        }
        out.end()
    }
}
