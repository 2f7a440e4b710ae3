//! How often something is done that takes as long as there is much: often, but never for more than a small part of
//! a processor. Whoever makes much of it makes it seldom, and neither costly nor slow for others.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Of the time from one turn to the next, one part in so many may be spent on a turn.
pub(super) struct Pace {
    part: u32,
    /// The time between two turns that take no time.
    least: Duration,
    next: Instant,
}

impl Pace {
    /// The first turn is at once.
    pub(super) fn new(part: u32, least: Duration) -> Self {
        Self {
            part,
            least,
            next: Instant::now(),
        }
    }

    /// The same, but the first turn is when there was time for one.
    pub(super) fn later(part: u32, least: Duration) -> Self {
        let mut pace = Self::new(part, least);
        pace.next += least;
        pace
    }

    /// When the next turn is.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A turn is over that took so much processor time.
    pub(super) fn took(&mut self, spent: Duration) {
        let pause = spent.saturating_mul(self.part).max(self.least);
        let now = Instant::now();
        self.next = now.checked_add(pause).unwrap_or(now + self.least);
    }
}

/// Processor time of this thread.
pub(super) fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|it| u64::try_from(it).unwrap_or(0));
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u32 = 20;
    const LEAST: Duration = Duration::from_millis(500);

    /// The part of a processor that turns of that length take, in thousandths.
    fn thousandths(turn: Duration) -> u128 {
        let mut pace = Pace::new(PART, LEAST);
        let before = Instant::now();
        assert!(pace.next() <= before);
        pace.took(turn);
        let pause = pace.next() - before;
        assert!(pause >= LEAST);
        1000 * turn.as_nanos() / pause.as_nanos()
    }

    #[test]
    fn what_takes_long_comes_seldom() {
        for millis in [0, 1, 10, 25, 300, 5_000, 60_000] {
            let part = thousandths(Duration::from_millis(millis));
            assert!(part <= 50, "{millis} ms: {part} of 1000");
        }
        assert!(Pace::later(PART, LEAST).next() > Instant::now());
        let mut pace = Pace::new(PART, LEAST);
        pace.took(Duration::MAX);
        assert!(pace.next() > Instant::now());
    }
}
