//! Drains the ring buffer: on a timer, or when the kernel side says that it fills.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Interval, MissedTickBehavior, interval},
};

/// How long a record may wait when there are few.
const TICK: Duration = Duration::from_millis(10);

/// The reader's end of the ring buffer.
pub(super) struct Ring {
    buffer: AsyncFd<RingBuf<MapData>>,
    tick: Interval,
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
        Ok(Self { buffer, tick })
    }

    /// Waits until it is worth looking. Readiness is edge-triggered, and forgotten
    /// here at once: a wake-up that came too early costs nothing, as the timer looks
    /// again anyway.
    pub(super) async fn ready(&mut self) {
        tokio::select! {
            _ = self.tick.tick() => {}
            guard = self.buffer.readable() => {
                if let Ok(mut guard) = guard {
                    guard.clear_ready();
                }
            }
        }
    }

    /// Hands records to `each` until it wants no more, or there are none. Tells whether
    /// there may be more.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> bool {
        let ring = self.buffer.get_mut();
        while let Some(record) = ring.next() {
            if !each(&record) {
                return true;
            }
        }
        false
    }
}
