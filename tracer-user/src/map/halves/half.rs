//! A half, its number, and the two of them that are an edge.

use crate::{
    map::{
        listeners::Place,
        nodes::{HostId, NodeId},
    },
    model::Address,
};

/// Number of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::map) struct HalfId(u32);

impl HalfId {
    /// The one with this index.
    pub(super) fn at(index: usize) -> Self {
        Self(index as u32)
    }

    pub(in crate::map) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which side of its connections a half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) enum Side {
    Client,
    Server,
    /// Who opened them is not known.
    Unknown,
}

/// What makes two halves the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::map) struct Half {
    pub(in crate::map) host: HostId,
    pub(in crate::map) netns: u32,
    pub(in crate::map) side: Side,
    pub(in crate::map) node: NodeId,
    pub(in crate::map) remote: NodeId,
    /// The server's; 0 where the side is not known.
    pub(in crate::map) port: u16,
    /// At a server's end, its own address. At a client's, what was dialled, where that is not the remote
    /// and the port. None if there was no room for it.
    pub(in crate::map) at: Option<At>,
    /// Nobody knows whose it is.
    pub(in crate::map) is_unknown: bool,
}

impl Half {
    /// Where it came in, at a server's end.
    pub(in crate::map) fn came_in(&self) -> Option<Place> {
        let at = self.at.filter(|_| self.side == Side::Server)?;
        Some(self.place(at))
    }

    /// What was dialled, where that was translated.
    pub(in crate::map) fn dialled(&self) -> Option<At> {
        self.at.filter(|_| self.side == Side::Client)
    }

    /// The port that is served at a server's end; 0 if it is not known. One that dialled, too, knows only
    /// the other's.
    pub(in crate::map) fn served_port(&self) -> u16 {
        match self.side {
            Side::Client => 0,
            Side::Server | Side::Unknown => self.port,
        }
    }

    /// The same in its network namespace.
    pub(in crate::map) fn place(&self, At { address, port }: At) -> Place {
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
pub(in crate::map) struct At {
    pub(in crate::map) address: Address,
    pub(in crate::map) port: u16,
}

/// The halves of an edge that are known, as of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::map) struct Link {
    /// The end that dialled; or the only one, where it is not known who did.
    pub(in crate::map) client: Option<HalfId>,
    pub(in crate::map) server: Option<HalfId>,
}
