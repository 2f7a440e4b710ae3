//! What connect() returns: the failures that change no socket's state, and the error of
//! those that never sent anything.

use core::mem::MaybeUninit;

use tracer_common::{Connection, Direction, Ended, Kind, Source, Totals, failed, hooks};

use super::{find_any, forget, hooked, keep};
use crate::{
    emit,
    kernel::{self, Sock, now, state},
    room::{clear, zeroed},
};

/// A step of connect() on `sock` towards `address`, a `struct sockaddr`, returns `result`,
/// in the caller's context. Whatever the step, it is the last if it fails.
#[inline(always)]
pub(crate) fn dialled(sock: Sock, address: u64, result: i32) {
    if result < 0 {
        refused(sock, address, result.unsigned_abs());
    }
}

#[inline(never)]
fn refused(sock: Sock, address: u64, error: u32) {
    if sock.0 == 0 || !sock.is_internet() || !sock.is_tcp() || !kernel::is_internet(address) {
        return;
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    if let Some(entry) = find_any(sock) {
        match entry.failed {
            0 => return, // a connection or an attempt that lives: this call was another
            failed::UNTOLD => {
                // SAFETY: both are valid, and the stack is not in a map.
                unsafe {
                    (&raw mut connection.flow).copy_from_nonoverlapping(&raw const entry.flow, 1);
                }
                forget(sock);
            }
            _ => {
                forget(sock);
                return;
            }
        }
    } else if sock.state() != state::CLOSE || (emit::overflowed() && sock.has_dialled()) {
        return; // it lives, or its entry found no room and its failure was counted
    }
    connection.begun_ns = now();
    connection.direction = Direction::OUTBOUND;
    if connection.flow.family == 0 {
        sock.read_dialled(address, &mut connection.flow);
    }
    kernel::read_current(Source::HOOK, &mut connection.process);
    report_failed(connection, error, 0);
}

/// Tells a failure of which no socket has anything to say.
#[inline(always)]
pub(super) fn report_failed(connection: &Connection, error: u32, sequence: u32) {
    emit::record(Kind::FAIL, |record: *mut Ended| {
        // SAFETY: room for an `Ended`, aligned to 8; all its fields are written, it has
        // no other byte.
        unsafe {
            (&raw mut (*record).header).write(emit::header(Kind::FAIL, connection.begun_ns));
            (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
            clear((&raw mut (*record).totals).cast(), size_of::<Totals>() / 8);
            (&raw mut (*record).errno).write(error);
            (&raw mut (*record).sequence).write(sequence);
        }
    });
}

/// Whether a failure is left to the return of the call that makes it, which alone knows
/// the error: connect() found no free port or no memory.
#[inline(always)]
pub(super) fn is_told_at_return(sock: Sock) -> bool {
    hooked(hooks::DIAL) && !sock.has_sent() && !sock.has_dialled()
}

/// Remembers the ends, which the socket forgets before the call returns.
#[inline(never)]
pub(super) fn remember_for_return(sock: Sock) {
    let mut room = MaybeUninit::uninit();
    let memory: &mut Connection = zeroed(&mut room);
    memory.begun_ns = now();
    memory.failed = failed::UNTOLD;
    sock.read_flow(&mut memory.flow);
    keep(sock, memory);
}

/// Remembers that a failure was told, if connect() may be about to return it. What an
/// answer or a timer brings about is kept in the socket as its error; connect() itself
/// keeps none there.
#[inline(never)]
pub(super) fn remember_failure(sock: Sock) {
    if !hooked(hooks::DIAL) || sock.error() != 0 {
        return;
    }
    let mut room = MaybeUninit::uninit();
    let memory: &mut Connection = zeroed(&mut room);
    memory.begun_ns = now();
    memory.failed = failed::TOLD;
    keep(sock, memory);
}
