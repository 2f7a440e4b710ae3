//! Sockets that listen.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_log_ebpf::warn;
use tracer_common::{Kind, Listening, Process, Source};

use crate::{
    emit,
    kernel::{self, Sock, now},
    maps::{LISTENERS, OWNERS},
    room::zeroed,
    share::{Table, payer},
};

use super::E2BIG;

/// A process listens, in its context.
#[inline(never)]
pub(super) fn begun(sock: Sock) {
    let now = now();
    let mut room = MaybeUninit::uninit();
    let listening: &mut Listening = zeroed(&mut room);
    read(sock, Source::HOOK, listening);
    listening.header.time_ns = now;
    listening.payer = payer(&listening.process, sock, &listening.flow, 0);
    let listening: &Listening = listening;
    if let Some(stale) = LISTENERS.get_ptr(sock.address) {
        // Nobody told of its end.
        // SAFETY: a valid number, of this entry or of one that has its memory since.
        forget(sock, unsafe { (*stale).payer });
    }
    own(sock, listening);
    if add(sock, listening).is_err() {
        warn!(sock.address, "table of listeners full");
    }
    report(Kind::LISTEN, listening, now);
}

/// Makes an entry where there is none, which `listening.payer` pays for.
#[inline(always)]
pub(super) fn add(sock: Sock, listening: &Listening) -> Result<(), i32> {
    let payer = listening.payer;
    if !Table::Listeners.has_room(payer) {
        return Err(E2BIG);
    }
    let result = LISTENERS.insert(sock.address, listening, u64::from(BPF_NOEXIST));
    if result.is_ok() {
        Table::Listeners.take(payer);
    }
    result
}

/// Forgets the entry, which `payer` pays for. Whether there was one.
#[inline(always)]
pub(super) fn forget(sock: Sock, payer: u32) -> bool {
    let is_gone = LISTENERS.remove(sock.address).is_ok();
    if is_gone {
        Table::Listeners.give_back(payer);
    }
    is_gone
}

/// Remembers that a process owns a socket that listens, until that process ends.
#[inline(always)]
pub(super) fn own(sock: Sock, listening: &Listening) {
    let process = &listening.process;
    let payer = payer(process, sock, &listening.flow, 0);
    // Where there is no room, the owner is taken for one that has ended: another holder is found.
    if Table::Owners.has_room(payer)
        && OWNERS
            .insert(owner(process), payer, u64::from(BPF_NOEXIST))
            .is_ok()
    {
        Table::Owners.take(payer);
    }
}

/// Whether a process that owned a socket has ended.
#[inline(always)]
pub(super) fn is_ownerless(process: &Process) -> bool {
    // SAFETY: only whether there is one.
    unsafe { OWNERS.get(owner(process)) }.is_none()
}

/// A process ends: what it owned has no owner from here on.
#[inline(always)]
pub(crate) fn disown(process: &Process) {
    // Most processes own nothing.
    // SAFETY: it is removed where its process ends, and by nobody else.
    if let Some(payer) = unsafe { OWNERS.get(owner(process)) }.copied()
        && OWNERS.remove(owner(process)).is_ok()
    {
        Table::Owners.give_back(payer);
    }
}

#[inline(always)]
fn owner(process: &Process) -> [u64; 2] {
    [process.start_ns, u64::from(process.tgid)]
}

/// A socket no longer listens, in the context of the process that closed it.
#[inline(never)]
pub(super) fn ended(sock: Sock) {
    let now = now();
    // SAFETY: the entry is this socket's, whose lock the kernel holds here.
    if let Some(listening) = unsafe { LISTENERS.get(sock.address) } {
        let payer = listening.payer;
        report(Kind::UNLISTEN, listening, now);
        // It was just found; should it be gone, so much the better.
        forget(sock, payer);
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
    to.process.netns_owner = sock.netns_owner(to.flow.netns);
    to.backlog = sock.backlog();
}

#[inline(always)]
pub(super) fn report(kind: Kind, listening: &Listening, time_ns: u64) {
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
