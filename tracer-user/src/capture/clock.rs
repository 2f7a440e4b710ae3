//! From the kernel's clocks to wall-clock time.

use rustix::time::{ClockId, clock_gettime};

use crate::model::Timestamp;

/// A step or drift of the wall clock smaller than this keeps the old relation, so that
/// the times of one connection stay consistent with each other.
const TOLERANCE_NS: i128 = 1_000_000;

/// How the kernel's clocks relate to the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    monotonic_to_wall_ns: i128,
    boot_to_wall_ns: i128,
}

impl Clock {
    pub(super) fn read() -> Self {
        let wall = nanoseconds(ClockId::Realtime);
        Self {
            monotonic_to_wall_ns: wall - nanoseconds(ClockId::Monotonic),
            boot_to_wall_ns: wall - nanoseconds(ClockId::Boottime),
        }
    }

    /// Follows the wall clock if somebody set it.
    pub(super) fn follow(&mut self) {
        let now = Self::read();
        if (now.monotonic_to_wall_ns - self.monotonic_to_wall_ns).abs() > TOLERANCE_NS {
            *self = now;
        }
    }

    /// A time of `CLOCK_MONOTONIC`, as `bpf_ktime_get_ns()` gives it.
    pub(super) fn from_monotonic(self, ns: u64) -> Timestamp {
        wall(i128::from(ns) + self.monotonic_to_wall_ns)
    }

    /// A time of `CLOCK_BOOTTIME`, as `task_struct.start_boottime` has it.
    pub(super) fn from_boot(self, ns: u64) -> Timestamp {
        wall(i128::from(ns) + self.boot_to_wall_ns)
    }
}

fn wall(ns: i128) -> Timestamp {
    Timestamp::from_ns(u64::try_from(ns.max(0)).unwrap_or(u64::MAX))
}

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
