//! Sockets that listen.

use core::mem::MaybeUninit;

use aya_log_ebpf::warn;
use tracer_common::{Kind, Listening, Source};

use crate::{
    emit,
    kernel::{self, Sock, now},
    maps::LISTENERS,
    room::zeroed,
};

/// A process listens, in its context.
#[inline(never)]
pub(super) fn begun(sock: Sock) {
    let now = now();
    let mut room = MaybeUninit::uninit();
    let listening: &mut Listening = zeroed(&mut room);
    read(sock, Source::HOOK, listening);
    listening.header.time_ns = now;
    let listening: &Listening = listening;
    if LISTENERS.insert(sock.address, listening, 0).is_err() {
        warn!(sock.address, "table of listeners full");
    }
    report(Kind::LISTEN, listening, now);
}

/// A socket no longer listens, in the context of the process that closed it.
#[inline(never)]
pub(super) fn ended(sock: Sock) {
    let now = now();
    // SAFETY: the entry is this socket's, whose lock the kernel holds here.
    if let Some(listening) = unsafe { LISTENERS.get(sock.address) } {
        report(Kind::UNLISTEN, listening, now);
        // It was just found; should it be gone, so much the better.
        let _ = LISTENERS.remove(sock.address);
    } else {
        // Nobody told, or it found no room.
        let mut room = MaybeUninit::uninit();
        let listening: &mut Listening = zeroed(&mut room);
        read(sock, Source::CLOSE, listening);
        report(Kind::UNLISTEN, listening, now);
    }
}

#[inline(always)]
fn read(sock: Sock, source: Source, to: &mut Listening) {
    sock.read_flow(&mut to.flow);
    kernel::read_current(source, &mut to.process);
    to.backlog = sock.backlog();
}

#[inline(always)]
fn report(kind: Kind, listening: &Listening, time_ns: u64) {
    report_if(kind, listening, time_ns, || true);
}

/// Tells of a listener if `settle`, asked last, agrees.
#[inline(always)]
pub(super) fn report_if(
    kind: Kind,
    listening: &Listening,
    time_ns: u64,
    settle: impl FnOnce() -> bool,
) {
    let fill = |record: *mut Listening| {
        // SAFETY: room for a `Listening`, aligned to 8; the copy writes every byte of it.
        unsafe {
            record.copy_from_nonoverlapping(listening, 1);
        }
    };
    emit::record_if(emit::header(kind, time_ns), fill, settle);
}
