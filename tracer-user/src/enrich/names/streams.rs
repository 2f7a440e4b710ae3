//! DNS over TCP: finds the messages in a stream that is told piece by piece.

use std::num::NonZeroUsize;

use super::questions::Socket;
use crate::enrich::fair::Fair;

/// How many bytes of a message are kept; it is as if the rest had been cut.
pub(super) const MAX_MESSAGE: usize = 4096;
/// How many streams may be within a message at once; of who has most those that were not heard of for
/// longest go first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// A stream that was silent for longer is another one: ports are used again.
const SILENCE_NS: u64 = 10_000_000_000;
/// No message is shorter: this is what its header has.
const MIN_MESSAGE: usize = 12;

/// Streams that are within a message.
#[derive(Debug)]
pub(super) struct Streams {
    within: Fair<(Socket, bool), Stream>,
}

/// Where a stream is.
#[derive(Debug, Default)]
struct Stream {
    time_ns: u64,
    /// The first byte of a length whose second one has not come.
    half: Option<u8>,
    /// Bytes that are still to come of this message; none between messages.
    missing: usize,
    /// Its first bytes.
    bytes: Vec<u8>,
    /// No more of them are kept: some between were not told, or it has too many.
    is_cut: bool,
}

/// Where messages begin is not known any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            within: Fair::new(CAPACITY),
        }
    }

    /// `bytes` are the first ones of `length` that come next on `socket`, in the direction
    /// `sent`. Calls `each` with every message that ends there.
    ///
    /// # Errors
    /// If it cannot be known where the next message begins. What comes next is then taken for
    /// the beginning of one.
    pub(super) fn push(
        &mut self,
        (socket, sent): (Socket, bool),
        (bytes, length): (&[u8], usize),
        time_ns: u64,
        each: impl FnMut(&[u8]),
    ) -> Result<(), Lost> {
        let mut stream = self
            .within
            .pop(&(socket, sent))
            .filter(|stream| time_ns.saturating_sub(stream.time_ns) <= SILENCE_NS)
            .unwrap_or_default();
        stream.take(bytes, length.saturating_sub(bytes.len()), each)?;
        if stream.half.is_some() || stream.missing > 0 {
            stream.time_ns = time_ns;
            self.within.put(socket.payer(), (socket, sent), stream);
        }
        Ok(())
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn bytes(&self) -> usize {
        let streams = self.within.values();
        streams.map(|stream| stream.bytes.capacity()).sum()
    }
}

impl Stream {
    /// Goes on by `bytes`, and by `untold` more that are not known.
    fn take(
        &mut self,
        mut bytes: &[u8],
        untold: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Lost> {
        while let Some(&first) = bytes.first() {
            if self.missing == 0 {
                let Some(high) = self.half.take() else {
                    self.half = Some(first);
                    bytes = &bytes[1..];
                    continue;
                };
                bytes = &bytes[1..];
                self.missing = usize::from(u16::from_be_bytes([high, first]));
                if self.missing < MIN_MESSAGE {
                    return Err(Lost);
                }
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.missing));
            bytes = later;
            self.missing -= now.len();
            if self.missing == 0 && self.bytes.is_empty() && !self.is_cut {
                // All of it at once, as nearly always: no need to keep it.
                each(&now[..now.len().min(MAX_MESSAGE)]);
                continue;
            }
            if !self.is_cut {
                let room = MAX_MESSAGE - self.bytes.len();
                self.bytes.extend_from_slice(&now[..now.len().min(room)]);
                self.is_cut = now.len() > room;
            }
            self.end(&mut each);
        }
        if untold == 0 {
            return Ok(());
        }
        // They must be of the message that has begun, or nobody knows where the next one begins.
        let is_within = self.half.is_none() && untold <= self.missing;
        if self.missing > 0 {
            self.is_cut = true;
            self.missing = self.missing.saturating_sub(untold);
            self.end(&mut each);
        }
        if is_within { Ok(()) } else { Err(Lost) }
    }

    /// Tells the message if nothing is missing any more.
    fn end(&mut self, each: &mut impl FnMut(&[u8])) {
        if self.missing == 0 {
            each(&self.bytes);
            self.bytes.clear();
            self.is_cut = false;
        }
    }
}

#[cfg(test)]
mod tests;
