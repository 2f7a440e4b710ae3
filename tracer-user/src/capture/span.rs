//! The interval of a capture. Programs are attached and detached one by one, over up to seconds, but what they
//! report begins and ends at one moment each. Both moments are set ahead of time, so every processor knows
//! them when they come.

use std::{
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, Pod,
    maps::{Array, MapData, MapError},
};
use rustix::thread::{MembarrierCommand, membarrier};
use tracer_common::Span;

use super::clock;

/// How far ahead a moment is set. If this process is scheduled too late for that, twice as far is tried.
const LEAD: Duration = Duration::from_millis(1);
/// How many times.
const TRIES: u32 = 8;

/// Newtype for the right to be copied to the kernel byte by byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodSpan(Span);

// SAFETY: `Span` is `repr(C)` of `u64`s only: no padding, no pointers.
unsafe impl Pod for PodSpan {}

/// Lets the programs that are about to be attached report at once, uncounted, for the start-up check.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn reset(ebpf: &mut Ebpf) -> Result<(), MapError> {
    let Some(map) = ebpf.map_mut("SPAN") else {
        return Ok(()); // `take()` tells that it is not there
    };
    Array::<_, PodSpan>::try_from(map)?.set(0, PodSpan(Span::UNSET), 0)
}

/// The switch of all programs.
pub(super) struct Switch {
    map: Array<MapData, PodSpan>,
    span: Span,
}

impl Switch {
    pub(super) fn new(map: aya::maps::Map) -> Result<Self, MapError> {
        Ok(Self {
            map: Array::try_from(map)?,
            span: Span::UNSET,
        })
    }

    /// Whether `time_ns`, nanoseconds since boot, lies in the interval.
    pub(super) fn covers(&self, time_ns: u64) -> bool {
        (self.span.from_ns..self.span.until_ns).contains(&time_ns)
    }

    /// Whether `time_ns` lies after the interval.
    pub(super) fn is_over(&self, time_ns: u64) -> bool {
        time_ns >= self.span.until_ns
    }

    /// Sets the beginning of the interval, and waits for it. Before each attempt
    /// `count` reads the kernel's counters, which begin there. Returns the moment, nanoseconds since
    /// boot.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn begin(
        &mut self,
        mut count: impl FnMut() -> Result<(), MapError>,
    ) -> Result<u64, MapError> {
        for attempt in 0..TRIES {
            let lead = LEAD * (1 << attempt);
            count()?;
            let from_ns = clock::now_ns().saturating_add(nanoseconds(lead));
            self.set(Span {
                from_ns,
                ..Span::UNSET
            })?;
            if clock::now_ns() < from_ns || attempt + 1 == TRIES {
                wait_for(from_ns);
                break;
            }
            // Too late for some processor, perhaps.
            self.set(Span::UNSET)?;
        }
        Ok(self.span.from_ns)
    }

    /// Sets the end of the interval, and waits until all that happened before is in the ring buffer. Returns the moment, nanoseconds since boot.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn end(&mut self) -> Result<u64, MapError> {
        let until_ns = clock::now_ns().saturating_add(nanoseconds(LEAD));
        self.set(Span {
            until_ns,
            ..self.span
        })?;
        wait_for(until_ns);
        // Waits until every processor has left whatever program it was in (`synchronize_rcu()`).
        // Where the kernel has no such call, or may not make it (`nohz_full`), the account tells what
        // is still missing.
        if let Err(error) = membarrier(MembarrierCommand::Global) {
            tracing::debug!(%error, "cannot wait for programs under way");
        }
        Ok(until_ns)
    }

    fn set(&mut self, span: Span) -> Result<(), MapError> {
        self.map.set(0, PodSpan(span), 0)?;
        self.span = span;
        Ok(())
    }
}

fn wait_for(moment_ns: u64) {
    let begun = Instant::now();
    // A clock that does not move must not keep us.
    while clock::now_ns() < moment_ns && begun.elapsed() < LEAD * (2 << TRIES) {
        let left = moment_ns.saturating_sub(clock::now_ns());
        thread::sleep(Duration::from_nanos(left));
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
