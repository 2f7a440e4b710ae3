//! A monotonic clock, driven by the times of events.

use crate::model::Timestamp;

/// Upper bound of one step, nanoseconds: the clock of a host may be set.
const MAX_STEP: u64 = 1_000_000_000;

/// The clock. It never goes back, and a jump of a host's clock neither ends nor prolongs what waits by it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Age {
    ns: u64,
    last: Option<Timestamp>,
}

impl Age {
    /// Advances it to the `time` of an event. Returns the age, nanoseconds.
    pub(super) fn pass(&mut self, time: Timestamp) -> u64 {
        if let Some(last) = self.last {
            self.ns += time.as_ns().saturating_sub(last.as_ns()).min(MAX_STEP);
        }
        self.last = Some(time);
        self.ns
    }

    /// The age now, nanoseconds.
    pub(super) fn ns(self) -> u64 {
        self.ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_takes_no_time() {
        let at = |second: u64| Timestamp::from_ns(second * 1_000_000_000);
        let mut age = Age::default();
        assert_eq!(age.pass(at(5_000)), 0);
        assert_eq!(age.pass(at(1_400)), 0);
        assert_eq!(age.pass(at(1_401)), 1_000_000_000);
        assert_eq!(age.pass(at(9_000)), 2_000_000_000);
    }
}
