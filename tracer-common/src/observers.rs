//! Sockets that hear of what netfilter tracks, in pieces of a list.

/// How many one run of the program finds at most. The kernel checks each step of a run before it loads
/// the program, so they are few.
pub const OBSERVERS: usize = 32;

/// A socket of anybody on the host.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observer {
    /// Inode number of its network namespace.
    pub netns: u32,
    /// How many references keep that, one for each socket included.
    pub references: u32,
}

/// What a run found.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Observers {
    /// Where to go on: an address for the next run, which it checks; 0 at the end of the list.
    pub next: u64,
    /// 1 if the next run is to go towards the end of the list and tell what it finds; 0 if it is still
    /// to look for the beginning.
    pub forth: u64,
    /// How many were found.
    pub count: u64,
    /// They, from the first on.
    pub found: [Observer; OBSERVERS],
}

const _: () = assert!(size_of::<Observers>() == 24 + 8 * OBSERVERS);
