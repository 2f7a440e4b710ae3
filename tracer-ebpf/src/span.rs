//! The time that is told of. The programs are attached and detached one by one; what they tell
//! begins and ends for all of them at one moment, which user space sets while it is yet to come.

use tracer_common::Span;

use crate::maps::SPAN;

/// Whether what happened then is told of, or is from before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Before it begins: user space may look at what is told, and throws it away.
    Before,
    /// It is told of.
    Within,
    /// After its end: nothing is told.
    After,
}

/// Where `time_ns`, nanoseconds of `CLOCK_BOOTTIME`, lies.
#[inline(always)]
pub(crate) fn when(time_ns: u64) -> When {
    match SPAN.get(0) {
        Some(span) if time_ns >= span.until_ns => When::After,
        Some(span) if time_ns >= span.from_ns => When::Within,
        _ => When::Before,
    }
}

/// Whether what was kept at `time_ns` is from before the beginning, so that nobody was told of it.
#[inline(always)]
pub(crate) fn is_stale(time_ns: u64) -> bool {
    SPAN.get(0)
        .is_some_and(|span| time_ns < span.from_ns && span.from_ns != Span::NEVER)
}
