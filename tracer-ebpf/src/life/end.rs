//! How a connection or an attempt ends.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::BPF_EXIST;
use tracer_common::{Connection, Direction, Ended, Kind, Process, Source, flags, hooks};

use super::{
    dial, find, find_any, find_own, forget, hooked, is_own, is_set, keep, read_closer,
    report_opened, scan, set,
};
use crate::{
    emit,
    kernel::{self, Sock, now, state},
    maps::CONNECTIONS,
    room::zeroed,
    share,
};

/// A process lets go of a socket, in its context: `tcp_close()` was called, and does
/// not hold the socket's lock yet. So nothing is concluded from the lack of an entry:
/// another CPU may end the connection right now.
#[inline(never)]
pub(crate) fn let_go(sock: Sock) {
    if let Some(entry) = find(sock)
        && is_own(sock, entry)
    {
        closed_by_caller(sock, entry);
    }
}

/// The process ends its side of the connection, in its context and with the socket's
/// lock, on the way to state `to`.
#[inline(never)]
pub(super) fn closing(sock: Sock, to: u8) {
    if let Some(entry) = find_own(sock) {
        // Until more is known: should the end itself be missed, this says who closed.
        entry.last_state = to;
        closed_by_caller(sock, entry);
    } else {
        adopt(sock, to);
    }
}

/// Of a connection that is older than we are, it is known who closes it.
#[inline(always)]
fn adopt(sock: Sock, to: u8) {
    if !sock.is_tcp() || emit::overflowed() {
        return;
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.last_state = to;
    read_closer(sock, connection);
    scan::report_existing(sock, connection, now(), || true);
}

/// Takes the caller for the process of a connection whose own is not known, or that it was
/// passed on by.
#[inline(always)]
fn closed_by_caller(sock: Sock, entry: &Connection) {
    // Whoever gives up an attempt, it is of who made it.
    if is_seen(&entry.process) && (!is_set(&entry.reported) || kernel::is_current(&entry.process)) {
        return;
    }
    // Without the socket's lock another CPU may end the connection meanwhile and the
    // entry become another's: so change a copy, and put it back only in its own place.
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    // SAFETY: both are valid, and the stack is not in a map.
    unsafe { (&raw mut *connection).copy_from_nonoverlapping(entry, 1) };
    read_closer(sock, connection);
    // accept() was missed: it was already waiting when the programs came, or the kernel
    // had no room to watch its return.
    let missed = connection.reported == 0 && connection.direction == Direction::INBOUND;
    if missed {
        report_missed_open(sock, connection);
    }
    let connection: &Connection = connection;
    if CONNECTIONS
        .insert(sock.address, connection, u64::from(BPF_EXIST))
        .is_ok()
        && missed
        && connection.ended != 0
    {
        report_closed(sock, connection, connection.ended_ns);
    }
}

/// Whether the process was seen with the connection in its hands.
#[inline(always)]
fn is_seen(process: &Process) -> bool {
    matches!(process.source, Source::HOOK | Source::READ)
}

/// A connection is over. Any context.
#[inline(always)]
pub(super) fn ended(sock: Sock, old: u8) {
    // One call after the other: within each other, their stacks would be too large.
    if known_ended(sock, old) {
        return;
    }
    if hooked(hooks::ACCEPT) && sock.waits() {
        ended_in_queue(sock);
    } else {
        existing_ended(sock, old);
    }
}

/// Tells whether it is known.
#[inline(never)]
fn known_ended(sock: Sock, old: u8) -> bool {
    let now = now();
    let Some(connection) = find_own(sock) else {
        return false;
    };
    connection.last_state = old;
    if old == state::ESTABLISHED && !sock.is_owned() {
        connection.flags |= flags::FROM_OUTSIDE;
    }
    if !is_set(&connection.reported) {
        if connection.direction == Direction::INBOUND && hooked(hooks::ACCEPT) {
            // Still in the accept queue: accept() may yet hand it out. Should it do so
            // on another CPU right now, it sees this mark, or `reported` is seen here,
            // or the end is told when the socket is destroyed.
            connection.ended_ns = now;
            // The process that gets it may take the error away before the end is told.
            connection.failed_errno = sock.error() as u16;
            set(&mut connection.ended);
            if !is_set(&connection.reported) {
                return true;
            }
        } else {
            report_missed_open(sock, connection);
        }
    }
    let is_closer = match connection.process.source {
        Source::CLOSE => true,
        Source::HOOK | Source::READ => kernel::is_current(&connection.process),
        _ => false,
    };
    if !is_closer && aborted_by_process(sock, old) {
        read_closer(sock, connection);
    }
    report_closed(sock, connection, now);
    true
}

/// Tells the end of a connection that is older than we are.
#[inline(never)]
fn existing_ended(sock: Sock, old: u8) {
    let now = now();
    if !sock.is_tcp() {
        return;
    }
    if emit::overflowed() {
        emit::untold(Kind::CLOSE);
        return;
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.last_state = old;
    if aborted_by_process(sock, old) {
        read_closer(sock, connection);
    }
    if scan::report_existing(sock, connection, now, || true) {
        report_closed(sock, connection, now);
    } else {
        emit::untold(Kind::CLOSE);
    }
}

/// A connection that is older than we are ended before anybody accepted it: accept() may yet hand it
/// out, and tells both.
#[inline(never)]
pub(super) fn ended_in_queue(sock: Sock) {
    if !sock.is_tcp() || emit::overflowed() {
        return;
    }
    let now = now();
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now;
    connection.direction = Direction::INBOUND;
    connection.flags = flags::EXISTING | flags::FROM_OUTSIDE;
    connection.last_state = state::ESTABLISHED;
    // Its process may take it away before it closes the socket.
    connection.failed_errno = sock.error() as u16;
    connection.ended_ns = now;
    connection.ended = 1;
    sock.read_flow(&mut connection.flow);
    connection.payer = share::of_owner(sock, connection.flow.netns, connection.flow.local_port);
    keep(sock, connection);
}

/// An attempt is over before it was established. Any context.
#[inline(always)]
pub(super) fn failed(sock: Sock, old: u8) {
    // One call after the other: within each other, their stacks would be too large.
    if dial::is_told_at_return(sock) {
        // It never had an entry. One that is there was left by a socket whose end was missed.
        scan::missed(sock);
        dial::remember_for_return(sock);
    } else if sock.was_deferred() && (!hooked(hooks::CONNECT) || find(sock).is_none()) {
        // It never began.
        if let Some(entry) = find(sock) {
            forget(sock, entry.payer);
        }
    } else {
        let payer = report_failed(sock, old);
        dial::remember_failure(sock, payer);
    }
}

/// An error is about to be shown to the process. Should it give up on that, or the end of the
/// attempt be missed, this says why it failed. Any context.
#[inline(always)]
pub(crate) fn error_reported(sock: Sock) {
    if let Some(attempt) = find(sock)
        && attempt.direction == Direction::OUTBOUND
        && !is_set(&attempt.reported)
        && sock.is_at_ends_of(attempt)
    {
        attempt.failed_errno = sock.shown_error() as u16;
        attempt.flow.local_port = sock.local_port();
        if sock.has_sent() {
            attempt.flags |= flags::SENT;
        }
    }
}

/// Tells who paid for the attempt.
#[inline(never)]
fn report_failed(sock: Sock, old: u8) -> u32 {
    let now = now();
    let sent = sock.has_sent();
    if let Some(connection) = find_own(sock) {
        connection.flow.local_port = sock.local_port();
        connection.last_state = old;
        if sent {
            connection.flags |= flags::SENT;
        }
        if !sock.is_owned() {
            connection.flags |= flags::FROM_OUTSIDE;
        }
        let (error, payer) = (why(sock, connection), connection.payer);
        report_end(Kind::FAIL, sock, connection, error, now, || {
            forget(sock, payer)
        });
        return payer;
    }
    // Where tcp_connect() is hooked, an attempt that sends nothing never has an entry.
    if (sent || !hooked(hooks::CONNECT)) && emit::overflowed() {
        emit::untold(Kind::FAIL);
        let mut netns = 0;
        sock.read_netns(&mut netns);
        return share::of_owner(sock, netns, 0);
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now;
    connection.direction = Direction::OUTBOUND;
    connection.last_state = old;
    sock.read_flow(&mut connection.flow);
    if sent {
        connection.flags = flags::SENT | flags::EXISTING;
        if !sock.is_owned() {
            connection.flags |= flags::FROM_OUTSIDE;
        }
    } else {
        // The caller's own doing: connect() found no free port, or close() came first.
        kernel::read_current(Source::HOOK, &mut connection.process);
        connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    }
    let error = why(sock, connection);
    report_end(Kind::FAIL, sock, connection, error, now, || true);
    share::payer(&connection.process, sock, &connection.flow, 0)
}

/// Why an attempt failed: the socket's error, else the one that its process was shown before it
/// gave up, else one that it was not shown. 0 if there was none.
#[inline(always)]
fn why(sock: Sock, attempt: &Connection) -> u32 {
    match (sock.error(), u32::from(attempt.failed_errno)) {
        (0, 0) => sock.soft_error(),
        (0, shown) => shown,
        (error, _) => error,
    }
}

/// The handshake came to nothing. That is no failure of a client here, unless two ends
/// dialled each other at once; and no end of a connection, unless a process has it
/// already (Fast Open).
#[inline(always)]
pub(super) fn handshake_ended(sock: Sock, old: u8) {
    let Some(connection) = find(sock) else { return };
    if connection.direction == Direction::OUTBOUND {
        failed(sock, old);
    } else if is_set(&connection.reported) {
        ended(sock, old);
    } else {
        forget(sock, connection.payer);
    }
}

/// The kernel frees the socket. An entry that is still there had its end missed, or
/// is of a connection that nobody accepted, which is nobody's event.
#[inline(never)]
pub(crate) fn destroyed(sock: Sock) {
    let Some(connection) = find_any(sock) else {
        return;
    };
    if connection.failed != 0 {
        forget(sock, connection.payer);
    } else if is_set(&connection.reported) && sock.is_at_ends_of(connection) {
        let ended_ns = connection.ended_ns;
        let time_ns = if ended_ns == 0 { now() } else { ended_ns };
        report_closed(sock, connection, time_ns);
    } else {
        // Its failure changed the socket's state, and that was missed: why it failed is no
        // longer to be read. Or the entry is of one that was here before.
        scan::missed(sock);
    }
}

/// Whether this change to `CLOSE` was made by the process that holds the socket:
/// close() with unread data or a zero linger time sends a reset and sets no error;
/// what comes from the network or a timer sets the error first, which the process may take away
/// at once, but not within a call of its own.
#[inline(always)]
fn aborted_by_process(sock: Sock, old: u8) -> bool {
    old == state::ESTABLISHED && sock.error() == 0 && sock.is_owned()
}

/// Tells of a connection whose opening was missed, at its end.
#[inline(always)]
fn report_missed_open(sock: Sock, connection: &mut Connection) {
    if connection.flow.family == 0 || connection.flow.local_port == 0 {
        sock.read_flow(&mut connection.flow);
    }
    let kind = if connection.direction == Direction::OUTBOUND {
        Kind::CONNECT
    } else {
        Kind::ACCEPT
    };
    let time = if connection.established_ns == 0 {
        now()
    } else {
        connection.established_ns
    };
    report_opened(kind, connection, time);
}

/// Tells the end of a connection, once: whoever removes the entry tells it.
#[inline(always)]
pub(super) fn report_closed(sock: Sock, connection: &Connection, time_ns: u64) {
    let error = match sock.error() {
        0 => connection.failed_errno.into(),
        error => error,
    };
    let payer = connection.payer;
    report_end(Kind::CLOSE, sock, connection, error, time_ns, || {
        forget(sock, payer)
    });
}

/// Tells an end by `error` if `settle`, asked last, agrees.
#[inline(always)]
fn report_end(
    kind: Kind,
    sock: Sock,
    connection: &Connection,
    error: u32,
    time_ns: u64,
    settle: impl FnOnce() -> bool,
) {
    let fill = |record: *mut Ended| {
        // SAFETY: room for an `Ended`, aligned to 8; all its fields but the header are written, it
        // has no other byte.
        unsafe {
            (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
            (&raw mut (*record).totals).write(sock.totals());
            (&raw mut (*record).errno).write(error);
            (&raw mut (*record).sequence).write(0);
        }
    };
    emit::record_if(emit::header(kind, time_ns), fill, settle);
}
