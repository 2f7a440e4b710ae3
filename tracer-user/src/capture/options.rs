//! How a capture is set up.

use std::time::Duration;

use super::plan::HookSet;

/// How a capture is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one hook set to use; none for the best that loads.
    pub hooks: Option<HookSet>,
    /// Size of the ring buffer, bytes: a power of two, a multiple of the page size.
    pub ring_bytes: u32,
    /// How many connections can be followed at once.
    pub connections: u32,
    /// Interval between rescans: from the end of one to the beginning of the next.
    pub rescan: Duration,
    /// Whether to look at what processes ask name servers.
    pub dns: bool,
    /// Whether the opening of a connection may be left out if the connection is closed in the same drain:
    /// the close repeats all that the opening said.
    pub folds_openings: bool,
    /// Whether diagnostics of the eBPF side go to the log.
    pub kernel_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hooks: None,
            ring_bytes: 16 << 20,
            connections: 160 << 10,
            rescan: Duration::from_secs(60),
            dns: true,
            folds_openings: false,
            kernel_log: false,
        }
    }
}
