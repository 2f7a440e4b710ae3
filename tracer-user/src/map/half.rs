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
    /// Who opened them is not known.
    Unknown,
}

/// What makes two halves the same.
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
    /// Nobody knows whose it is.
    pub(super) is_unknown: bool,
}

impl Half {
    /// Where it came in, at a server's end.
    pub(super) fn came_in(&self) -> Option<Place> {
        let at = self.at.filter(|_| self.side == Side::Server)?;
        Some(self.place(at))
    }

    /// What was dialled, where that was translated.
    pub(super) fn dialled(&self) -> Option<At> {
        self.at.filter(|_| self.side == Side::Client)
    }

    /// The port that is served at a server's end; 0 if it is not known. One that dialled, too, knows only
    /// the other's.
    pub(super) fn served_port(&self) -> u16 {
        match self.side {
            Side::Client => 0,
            Side::Server | Side::Unknown => self.port,
        }
    }

    /// The same in its network namespace.
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

/// The halves of an edge that are known, as of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// The end that dialled; or the only one, where it is not known who did.
    pub(super) client: Option<HalfId>,
    pub(super) server: Option<HalfId>,
}

/// Who is at the server's end of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// What that end itself says; of one that says nothing nobody knows.
    Told,
    /// Its own host tells of that end as well, and nobody knows which it is.
    Apart,
    /// Whose socket listened, or had listened, where it went.
    Listener(NodeId),
    /// Who served others that dialled the same.
    Server {
        node: NodeId,
        /// 0 if it is not known.
        port: u16,
        /// It is elsewhere than the address, so what dials that is led there.
        is_led: bool,
    },
}
