//! Drains the ring buffer: on a timer, or when the kernel side says that it fills.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use crate::model::Take;

/// How long a record may wait under low load: short enough that a process reported by the kernel is usually
/// still in /proc.
const TICK: Duration = Duration::from_millis(10);
/// The interval under load when no new process appears: each wake-up evicts CPU caches.
const BUSY_TICK: Duration = Duration::from_millis(40);
/// Load: records per [`TICK`].
const BUSY_RECORDS: u128 = 250;

/// What a drain leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing.
    Empty,
    /// There may be more.
    More,
}

/// The reader's end of the ring buffer.
pub(super) struct Ring {
    buffer: AsyncFd<RingBuf<MapData>>,
    tick: Interval,
    /// Records read since `since`.
    read: u64,
    since: Instant,
    /// A process appeared since that was not known.
    hurries: bool,
}

impl Ring {
    /// # Errors
    /// If the ring buffer cannot be polled.
    pub(super) fn new(buffer: RingBuf<MapData>) -> io::Result<Self> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // SAFETY: the buffer owns its descriptor, gives out the same one always, and
        // closes it only when dropped, after the registration.
        let buffer = unsafe { AsyncFd::register_with_interest(buffer, Interest::READABLE) }?;
        Ok(Self {
            buffer,
            tick,
            read: 0,
            since: Instant::now(),
            hurries: false,
        })
    }

    /// Waits until it is worth draining. Readiness is edge-triggered and cleared here at once: a wake-up that
    /// came too early costs nothing, as the timer fires anyway.
    pub(super) async fn ready(&mut self) {
        self.pace();
        tokio::select! {
            _ = self.tick.tick() => {}
            guard = self.buffer.readable() => {
                if let Ok(mut guard) = guard {
                    guard.clear_ready();
                }
            }
        }
    }

    /// Keeps the short interval for now: a process was not known, and others that are new may follow and not
    /// last long.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// Picks the interval by the load since the last tick.
    fn pace(&mut self) {
        if self.read == 0 {
            return;
        }
        let (now, read) = (Instant::now(), std::mem::take(&mut self.read));
        let took = std::mem::replace(&mut self.since, now).elapsed();
        let hurries = std::mem::take(&mut self.hurries);
        if !hurries && u128::from(read) * TICK.as_nanos() > BUSY_RECORDS * took.as_nanos() {
            self.tick.reset_after(BUSY_TICK);
        }
    }

    /// Hands records to `each` until it is full, or none are left.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8]) -> Take) -> Drained {
        let ring = self.buffer.get_mut();
        while let Some(record) = ring.next() {
            self.read += 1;
            if each(&record) == Take::Full {
                return Drained::More;
            }
        }
        Drained::Empty
    }
}
