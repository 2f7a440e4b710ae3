//! A hold on a network namespace.

/// A socket of anybody on this host that hears of what netfilter tracks in a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observer {
    /// Inode number of the namespace.
    pub netns: u32,
    /// How many references keep that: processes, descriptors, mounts and sockets, each of the
    /// observers included.
    pub references: u32,
}
