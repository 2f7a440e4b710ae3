//! Reserve, fill, submit; and count what could not be sent.

use core::{arch::asm, ptr};

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use tracer_common::{Counts, Header, Kind};

use crate::{
    kernel::now,
    maps::{COUNTS, EVENTS, OVERFLOWS, WAKE_BYTES},
    span::{When, when},
};

/// Past the mark by less than this, the reader is woken; past it by more, it has been.
const WAKE_WINDOW_BYTES: u64 = 4096;

/// Sends a record with this `header`, which `fill` writes in place: records are too large
/// to build on a stack of 512 bytes. `fill` gets room for a `T` that begins with a
/// [`Header`], and must write every other byte of it.
#[inline(always)]
pub(crate) fn record<T: 'static>(header: Header, fill: impl FnOnce(*mut T)) {
    record_if(header, fill, || true);
}

/// Like [`record`], but `settle` has the last word on whether there is anything to
/// tell: it is asked once, after `fill`, also when there is no room. What lies after the time that
/// is told of is left out; what lies before it is not counted.
#[inline(always)]
pub(crate) fn record_if<T: 'static>(
    header: Header,
    fill: impl FnOnce(*mut T),
    settle: impl FnOnce() -> bool,
) {
    let kind = header.kind;
    let when = when(header.time_ns);
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        if settle() && when == When::Within {
            count(kind, |counts| &counts.seen);
            count(kind, |counts| &counts.ring_full);
        }
        return;
    };
    fill(entry.as_mut_ptr());
    // SAFETY: room for a `T`, which begins with a header; aligned to 8.
    unsafe { entry.as_mut_ptr().cast::<Header>().write(header) };
    if settle() && when != When::After {
        if when == When::Within {
            count(kind, |counts| &counts.seen);
        }
        entry.submit(wake_flag());
    } else {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
    }
}

/// Counts an event that cannot be told as its connection had no place in the table.
#[inline(always)]
pub(crate) fn untold(kind: Kind) {
    if when(now()) == When::Within {
        count(kind, |counts| &counts.seen);
        count(kind, |counts| &counts.table_full);
    }
}

/// Counts an event that is not told as the rest of the ring buffer is for others.
#[inline(always)]
pub(crate) fn unsent(kind: Kind) {
    if when(now()) == When::Within {
        count(kind, |counts| &counts.seen);
        count(kind, |counts| &counts.ring_full);
    }
}

/// Whether half of the ring buffer waits to be read.
#[inline(always)]
pub(crate) fn is_half_full() -> bool {
    // A quarter is what the reader is woken for.
    EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) >= 2 * WAKE_BYTES.load()
}

/// Remembers that the table of connections had no room.
#[inline(always)]
pub(crate) fn overflow() {
    if let Some(overflows) = OVERFLOWS.get(0) {
        increment(overflows);
    }
}

/// Whether the table of connections had no room, and user space has not found all that did not fit since.
#[inline(always)]
pub(crate) fn overflowed() -> bool {
    let (Some(overflows), Some(over)) = (OVERFLOWS.get(0), OVERFLOWS.get(1)) else {
        return false;
    };
    overflows != over
}

/// The first bytes of a record of `kind`.
#[inline(always)]
pub(crate) fn header(kind: Kind, time_ns: u64) -> Header {
    Header {
        time_ns,
        kind,
        reserved: 0,
    }
}

#[inline(always)]
fn count(kind: Kind, which: impl FnOnce(&Counts) -> &u64) {
    if let Some(counts) = COUNTS.get(kind.0) {
        increment(which(counts));
    }
}

/// Adds one, in one instruction: another program of ours may interrupt this one on its
/// CPU. In assembly, as Rust has no atomic arithmetic for this target.
#[inline(always)]
fn increment(counter: &u64) {
    let counter = ptr::from_ref(counter).cast_mut();
    // SAFETY: an element of an array, aligned, that stays mapped for the life of the program and is only
    // ever added to.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {one}",
            counter = in(reg) counter,
            one = in(reg) 1u64,
        );
    }
}

/// No wake-up for each record: the reader drains on a timer. Only a ring that fills
/// faster than that wakes it, once on its way up.
#[inline(always)]
fn wake_flag() -> u64 {
    let unread = EVENTS.query(u64::from(BPF_RB_AVAIL_DATA));
    let mark = WAKE_BYTES.load();
    if unread >= mark && unread < mark + WAKE_WINDOW_BYTES {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}
