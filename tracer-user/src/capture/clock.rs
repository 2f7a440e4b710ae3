//! From the kernel's clock to wall-clock time.

use rustix::time::{ClockId, clock_gettime};

use crate::{model::Timestamp, procfs};

/// A step or drift of the wall clock smaller than this is ignored, so that the times of one connection stay
/// consistent.
const TOLERANCE_NS: i128 = 1_000_000;
/// The clocks are read one after the other, and this process may be interrupted between
/// them: of so many readings the tightest counts.
const READINGS: usize = 3;

/// How `CLOCK_BOOTTIME`, which the programs and the start times of processes use,
/// relates to the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    boot_to_wall_ns: i128,
}

impl Clock {
    pub(super) fn read() -> Self {
        let reading = || {
            let before = nanoseconds(ClockId::Boottime);
            let wall = nanoseconds(ClockId::Realtime);
            let after = nanoseconds(ClockId::Boottime);
            (after - before, wall - (before + after) / 2)
        };
        let tightest = (0..READINGS)
            .map(|_| reading())
            .min_by_key(|(width, _)| *width);
        // The programs are not subject to the offset of a time namespace.
        let moved = i128::from(procfs::boot_offset_ns());
        Self {
            boot_to_wall_ns: tightest.map_or(0, |(_, difference)| difference + moved),
        }
    }

    /// A clock by which the host started at `boot_ns`, nanoseconds since the epoch.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn started_at(boot_ns: u64) -> Self {
        Self {
            boot_to_wall_ns: i128::from(boot_ns),
        }
    }

    /// Follows the wall clock if somebody set it.
    pub(super) fn follow(&mut self) {
        let now = Self::read();
        if (now.boot_to_wall_ns - self.boot_to_wall_ns).abs() > TOLERANCE_NS {
            *self = now;
        }
    }

    /// The wall-clock time of `ns` nanoseconds since boot.
    pub(super) fn wall(self, ns: u64) -> Timestamp {
        let wall = i128::from(ns) + self.boot_to_wall_ns;
        Timestamp::from_ns(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
    }
}

/// The time by the programs' clock, nanoseconds since boot, suspend included.
pub(super) fn now_ns() -> u64 {
    let now = nanoseconds(ClockId::Boottime) - i128::from(procfs::boot_offset_ns());
    u64::try_from(now).unwrap_or(0)
}

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
