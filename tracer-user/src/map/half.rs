//! A half, its number, the two of them that are an edge, and who is at the server's end.

use super::{
    listeners::Place,
    numbers::{HostId, NodeId},
};
use crate::model::Address;

/// Number of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HalfId(u32);

impl HalfId {
    /// The one with this index.
    pub(super) fn at(index: usize) -> Self {
        Self(index as u32)
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which side of its connections a half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Client,
    Server,
    /// The direction is unknown.
    Unknown,
}

/// The key of a half: equal values are one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Half {
    pub(super) host: HostId,
    pub(super) netns: u32,
    pub(super) side: Side,
    pub(super) node: NodeId,
    pub(super) remote: NodeId,
    /// The server's; 0 where the side is not known.
    pub(super) port: u16,
    /// At a server's end, its own address. At a client's, what was dialled, where that is not the remote
    /// and the port. None if there was no room for it.
    pub(super) at: Option<At>,
    /// The process is unknown.
    pub(super) is_unknown: bool,
}

impl Half {
    /// The local address and port, at a server's end.
    pub(super) fn came_in(&self) -> Option<Place> {
        let at = self.at.filter(|_| self.side == Side::Server)?;
        Some(self.place(at))
    }

    /// What was dialled, if that was translated.
    pub(super) fn dialled(&self) -> Option<At> {
        self.at.filter(|_| self.side == Side::Client)
    }

    /// The port that this end serves; 0 if unknown. A client's end knows only the remote port.
    pub(super) fn served_port(&self) -> u16 {
        match self.side {
            Side::Client => 0,
            Side::Server | Side::Unknown => self.port,
        }
    }

    /// `at` in the network namespace of this half.
    pub(super) fn place(&self, At { address, port }: At) -> Place {
        Place {
            host: self.host,
            netns: self.netns,
            address,
            port,
        }
    }
}

/// An address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    pub(super) address: Address,
    pub(super) port: u16,
}

/// The halves at both ends of one connection, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// The end that dialled; or the only known end, if the direction is unknown.
    pub(super) client: Option<HalfId>,
    pub(super) server: Option<HalfId>,
}

/// Which node is at the server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// As that end reports it; unknown if it reports nothing.
    Told,
    /// The other host reports that end as well, and which connection it is of is unknown.
    Apart,
    /// The owner of the socket that listens, or listened, at the dialled address.
    Listener(NodeId),
    /// The node that served other clients of the same address and port.
    Server {
        node: NodeId,
        /// 0 if unknown.
        port: u16,
        /// A translation leads from the dialled address to this node.
        is_led: bool,
    },
}
