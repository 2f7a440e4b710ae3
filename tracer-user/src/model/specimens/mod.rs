//! Values for tests: [`blank`] ones to fill in, the two [`ends`] of connections, one of every shape of
//! [`events`], and [`views`] of small and of large systems.

pub(crate) mod blank;
pub(crate) mod ends;
pub(crate) mod events;
pub(crate) mod views;

use super::Timestamp;

/// In nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// 2026-11-22T01:02:03Z
const START: u64 = 1_795_309_323 * SECOND;

/// 2026-11-22T01:02:03Z, and so many seconds later.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ns(START + seconds * SECOND)
}

/// The same by parts of a second; never before that moment.
pub(crate) fn at_exactly(seconds: f64) -> Timestamp {
    Timestamp::from_ns(START + (seconds * SECOND as f64) as u64)
}
