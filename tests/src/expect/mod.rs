//! What tracer printed against what really happened.
//!
//! [`exactly`] looks for lines by a pattern and, when they are not there, shows the closest
//! line and where it differs. [`score`] holds a whole ledger against all lines. [`sums`] checks
//! that the `loss` and `stop` lines add up. [`whole_map`] looks for all connections in a map.
//! [`well_formed`] checks what holds for every line.

mod line;
mod map;
mod pattern;
mod score;
mod sums;

pub use self::{
    line::{harmless, well_formed},
    map::whole_map,
    pattern::{differences, endpoint, exactly, none, one, within},
    score::{Report, score},
    sums::{Counts, sums, sums_of_those_told},
};

/// Kinds of event that come from the kernel, as in the `stop` line's totals.
pub const KINDS: [&str; 10] = [
    "existing", "connect", "accept", "totals", "close", "fail", "listen", "unlisten", "exec",
    "exit",
];
