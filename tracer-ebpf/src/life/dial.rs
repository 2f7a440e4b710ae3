//! What connect() returns: the failures that change no socket's state, and the error of
//! those that never sent anything.

use core::mem::MaybeUninit;

use tracer_common::{Connection, Direction, Ended, Kind, Source, Totals, failed, hooks};

use super::{find_any, forget, hooked, keep};
use crate::{
    emit,
    kernel::{self, Sock, now, state},
    room::{clear, zeroed},
    share,
};

/// Numbers of the kernel's `errno-base.h`, `errno.h` and `linux/errno.h`.
mod errno {
    pub(super) const EINTR: u32 = 4;
    pub(super) const ECONNABORTED: u32 = 103;
    pub(super) const EISCONN: u32 = 106;
    pub(super) const EALREADY: u32 = 114;
    pub(super) const EINPROGRESS: u32 = 115;
    /// From here on: not for programs to see, the call is made again.
    pub(super) const ERESTARTSYS: u32 = 512;
}

/// A call of connect() on `socket`, a `struct socket`, towards `address`, a `struct
/// sockaddr` of `length` bytes, returns `result`, in the caller's context.
#[inline(always)]
pub(crate) fn dialled(socket: u64, address: u64, length: i32, result: i32) {
    if result < 0 && kernel::is_internet(address, length) {
        refused(socket, address, result.unsigned_abs());
    }
}

#[inline(never)]
fn refused(socket: u64, address: u64, error: u32) {
    if matches!(
        error,
        // It goes on, or nothing was begun.
        errno::EINTR | errno::EISCONN | errno::EALREADY | errno::EINPROGRESS
            // The answer to an attempt whose failure was told when it happened.
            | errno::ECONNABORTED
    ) || error >= errno::ERESTARTSYS
    {
        return;
    }
    let sock = kernel::of_socket(socket);
    if sock.address == 0 || !sock.is_internet() || !sock.is_tcp() {
        return;
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    if let Some(entry) = find_any(sock) {
        let told = u32::from(entry.failed_errno);
        match entry.failed {
            0 => return, // a connection or an attempt that lives: this call was another
            failed::UNTOLD => {
                // SAFETY: both are valid, and the stack is not in a map.
                unsafe {
                    (&raw mut connection.flow).copy_from_nonoverlapping(&raw const entry.flow, 1);
                }
                forget(sock, entry.payer);
            }
            _ => {
                forget(sock, entry.payer);
                if told == error || told == 0 {
                    return;
                }
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
    connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    report_failed(connection, error, 0);
}

/// Tells a failure of which no socket has anything to say.
#[inline(always)]
pub(super) fn report_failed(connection: &Connection, error: u32, sequence: u32) {
    let header = emit::header(Kind::FAIL, connection.begun_ns);
    emit::record(header, |record: *mut Ended| {
        // SAFETY: room for an `Ended`, aligned to 8; all its fields but the header are written, it has
        // no other byte.
        unsafe {
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
    memory.payer = share::of_user(Some(kernel::current_uid()), memory.flow.netns, 0);
    keep(sock, memory);
}

/// Remembers that a failure was told, as connect() will return it, now or when it is
/// called again. `payer` paid for the attempt.
#[inline(never)]
pub(super) fn remember_failure(sock: Sock, payer: u32) {
    if !hooked(hooks::DIAL) {
        return;
    }
    let mut room = MaybeUninit::uninit();
    let memory: &mut Connection = zeroed(&mut room);
    memory.begun_ns = now();
    memory.failed = failed::TOLD;
    memory.failed_errno = sock.error() as u16;
    memory.payer = payer;
    keep(sock, memory);
}
