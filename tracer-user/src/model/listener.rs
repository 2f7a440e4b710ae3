//! Listening sockets.

use std::net::SocketAddr;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::Address;

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens; an unspecified address means all of the namespace. Port 0
    /// means that the kernel had not chosen one yet.
    pub local: SocketAddr,
    /// Largest length of its accept queue, if known.
    pub backlog: Option<u32>,
    /// Inode number of its network namespace.
    pub netns: u32,
}

impl Serialize for Listener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Listener", 4)?;
        out.serialize_field("address", &Address::from(self.local))?;
        if self.local.port() != 0 {
            out.serialize_field("port", &self.local.port())?;
        }
        if let Some(backlog) = self.backlog {
            out.serialize_field("backlog", &backlog)?;
        }
        out.serialize_field("netns", &self.netns)?;
        out.end()
    }
}
