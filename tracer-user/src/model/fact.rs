//! Facts: what the capture reports that is no line of the stream, but completes other lines.

use std::{net::SocketAddr, sync::Arc};

use super::{DnsPiece, Ends, Event, Process, ProcessKey};

/// What the capture reports.
pub enum Told<'a> {
    /// A line of the stream.
    Event(Event),
    /// Completes later lines.
    Fact(Fact<'a>),
}

/// A fact that completes lines.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// A process forked.
    Fork(Fork),
    /// A control group was created.
    Cgroup(Cgroup),
    /// A process sent a DNS message, or received one.
    Dns(DnsPiece<'a>),
    /// The address that a process dialled was replaced.
    Redirect(Redirect),
    /// A connection opened whose line is not needed.
    Opened(Opened),
}

/// A fork: the child runs the same program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The program of the parent.
    pub process: Arc<Process>,
    /// The child.
    pub child: ProcessKey,
    /// Process id of the child's parent, which may differ from the process that forked (`CLONE_PARENT`).
    pub ppid: Option<u32>,
}

/// A control group of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Inode number of its folder.
    pub id: u64,
    /// Real uid of the process that created it, and so chose its name.
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
    /// The process at this end.
    pub process: Arc<Process>,
}
