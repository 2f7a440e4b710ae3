//! Facts: what is told by no line of its own, but what names in other lines are made of.

use std::{net::SocketAddr, sync::Arc};

use super::{DnsPiece, Ends, Event, Process, ProcessKey};

/// What the capture has to tell.
pub enum Told<'a> {
    /// A line of the stream.
    Event(Event),
    /// What later lines are completed with.
    Fact(Fact<'a>),
}

/// Something that names are made of.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// A process made another one.
    Fork(Fork),
    /// A control group was made.
    Cgroup(Cgroup),
    /// A process said something to a name server, or heard from it.
    Dns(DnsPiece<'a>),
    /// The address that a process dialled was replaced.
    Redirect(Redirect),
    /// A connection opened, of which no line is wanted.
    Opened(Opened),
}

/// A process made another one, which runs the same program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Whose program it is.
    pub process: Arc<Process>,
    /// Who runs it as well from here on.
    pub child: ProcessKey,
    /// Process id of its parent, which may be another.
    pub ppid: Option<u32>,
}

/// A control group of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Inode number of its folder.
    pub id: u64,
    /// Real uid of who made it, and so chose its name.
    pub maker: u32,
    /// Its path from the root.
    pub path: Arc<str>,
}

/// The address that a process dialled was replaced by another before the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The ends of the attempt that was made.
    pub ends: Ends,
    /// What the process dialled.
    pub dialled: SocketAddr,
}

/// A connection opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// See [`Connection::handshake`](super::Connection::handshake).
    pub handshake: u64,
    /// Whether this is the end that dialled.
    pub is_client: bool,
    /// Who is at this end.
    pub process: Arc<Process>,
}
