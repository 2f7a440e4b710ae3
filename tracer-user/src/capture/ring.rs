//! Drains the ring buffer: on a timer, or when the kernel side says that it fills.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

/// How long a record may wait when there are few: short enough that of a process that is told of
/// something is left to be read in /proc.
const TICK: Duration = Duration::from_millis(10);
/// And when there are many, all of processes that are known: each look takes the processor's caches
/// away from those who work there.
const BUSY_TICK: Duration = Duration::from_millis(40);
/// Records in a [`TICK`] that are many.
const BUSY_RECORDS: u128 = 250;

/// The reader's end of the ring buffer.
pub(super) struct Ring {
    buffer: AsyncFd<RingBuf<MapData>>,
    tick: Interval,
    /// Records read since `since`.
    read: u64,
    since: Instant,
    /// A process came up since that was not known.
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

    /// Waits until it is worth looking. Readiness is edge-triggered, and forgotten
    /// here at once: a wake-up that came too early costs nothing, as the timer looks
    /// again anyway.
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

    /// To be told that a process was not known: others that are new may follow, and not last long.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// Has the timer come later if there were many records since it came last.
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

    /// Hands records to `each` until it wants no more, or there are none. Tells whether
    /// there may be more.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> bool {
        let ring = self.buffer.get_mut();
        while let Some(record) = ring.next() {
            self.read += 1;
            if !each(&record) {
                return true;
            }
        }
        false
    }
}
