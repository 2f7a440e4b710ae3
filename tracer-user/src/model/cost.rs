//! What tracer costs the host that it watches.

use serde::{Deserialize, Serialize};

/// What tracer itself takes of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time of this process, all threads, in user space and in the kernel, nanoseconds.
    pub cpu_ns: u64,
    /// The most memory it had at once, with what it shares with the kernel, bytes; none if the
    /// kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What one of tracer's programs costs in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramCost {
    /// Its name.
    pub program: String,
    /// How often it ran.
    pub runs: u64,
    /// For how long in all, nanoseconds.
    pub run_ns: u64,
    /// How often the kernel did not run it as a program was running already on that processor.
    pub skipped: u64,
}
