//! The life of a connection: one body a fact, shared by the three hook sets.
//!
//! The bodies are functions of their own (`inline(never)`), each with a stack of its
//! own: together they would not fit into the 512 bytes of a program.
//!
//! Facts about `sock:inet_sock_set_state` that this rests on, all of Linux 4.16 and later:
//! - `CLOSE → SYN_SENT`, `→ LISTEN`, `LISTEN → CLOSE`, `→ FIN_WAIT1` and `→ LAST_ACK`
//!   happen in the context of the process that asked; the rest may happen in a softirq,
//!   where the current task is a stranger.
//! - at `CLOSE → SYN_SENT` the destination is set, the own port may not be yet.
//! - an accepted connection is a clone of its listener: `LISTEN → SYN_RECV` on the clone,
//!   then `SYN_RECV → ESTABLISHED` when the handshake is complete.
//! - `→ CLOSE` is announced once, with the counters and the error still in place.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::{debug, warn};
use tracer_common::{Connection, Direction, Ended, Kind, Listening, Opened, Source, flags, hooks};

use crate::{
    emit,
    kernel::{self, Sock, state},
    maps::{CONNECTIONS, HOOKS, LISTENERS},
};

/// A socket changed its state. Leaves at once where nothing is to be learnt.
#[inline(always)]
pub(crate) fn changed(sock: Sock, old: u8, new: u8) {
    match (old, new) {
        (state::CLOSE, state::SYN_SENT) if !hooked(hooks::CONNECT) && sock.is_tcp() => {
            connecting(sock)
        }
        (state::SYN_SENT | state::SYN_RECV, state::ESTABLISHED) if sock.is_tcp() => {
            established(sock)
        }
        (state::LISTEN, state::SYN_RECV) if sock.is_tcp() => cloned(sock),
        (state::SYN_SENT, state::CLOSE) if sock.is_tcp() => failed(sock, old),
        (state::SYN_RECV, state::CLOSE) if sock.is_tcp() => refused_or_forgotten(sock, old),
        (state::CLOSE, state::LISTEN) if sock.is_tcp() => listening(sock),
        (state::LISTEN, state::CLOSE) if sock.is_tcp() => unlistening(sock),
        (state::CLOSE, _) => {}
        (_, state::CLOSE) if sock.is_tcp() => ended(sock, old),
        (_, state::FIN_WAIT1 | state::LAST_ACK) if !hooked(hooks::CLOSE) && sock.is_tcp() => {
            closing(sock)
        }
        _ => {}
    }
}

/// An attempt begins, in the caller's context.
#[inline(never)]
pub(crate) fn connecting(sock: Sock) {
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now();
    connection.direction = Direction::OUTBOUND;
    sock.read_flow(&mut connection.flow);
    kernel::read_current(Source::HOOK, &mut connection.process);
    keep(sock, connection);
}

/// The handshake is complete, at either end. Any context.
#[inline(never)]
fn established(sock: Sock) {
    let now = now();
    let Some(connection) = find(sock) else {
        // The attempt is older than we are, or its entry found no room.
        if emit::overflowed() {
            emit::untold(Kind::CONNECT);
        }
        return;
    };
    connection.established_ns = now;
    if connection.direction == Direction::OUTBOUND {
        connection.flow.local_port = sock.local_port();
        report_opened(Kind::CONNECT, connection, now);
    } else {
        sock.read_flow(&mut connection.flow);
        // Where a program sees accept() itself, that one reports.
        if !hooked(hooks::ACCEPT) {
            report_opened(Kind::ACCEPT, connection, now);
        }
    }
}

/// A connection arrives at a listener: its socket was just cloned. A softirq, as a rule.
#[inline(never)]
fn cloned(sock: Sock) {
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now();
    connection.direction = Direction::INBOUND;
    let listener = sock.cloned_from();
    // SAFETY: an entry is replaced only when the kernel reuses the address for
    // another listener, which cannot be while this one has a clone in the making.
    if let Some(listening) = unsafe { LISTENERS.get(listener) } {
        // SAFETY: both are valid, and the stack is not in a map. A plain assignment
        // becomes a call of a memmove that goes byte by byte.
        unsafe {
            (&raw mut connection.process).copy_from_nonoverlapping(&raw const listening.process, 1)
        };
        connection.process.source = Source::LISTENER;
    } else {
        debug!(
            sock.0,
            "connection at a listener that is older than the programs"
        );
    }
    keep(sock, connection);
}

/// A process has the connection in its hands, in that process's context.
#[inline(never)]
pub(crate) fn accepted(sock: Sock) {
    if sock.0 == 0 || !sock.is_tcp() {
        return; // accept() failed, or handed out another protocol's socket
    }
    let now = now();
    if find(sock).is_none() {
        // It arrived before us and waited in the queue, or its entry found no room.
        let mut room = MaybeUninit::uninit();
        let connection: &mut Connection = zeroed(&mut room);
        connection.begun_ns = now;
        connection.direction = Direction::INBOUND;
        connection.flags = if emit::overflowed() {
            0
        } else {
            flags::EXISTING
        };
        if !keep(sock, connection) {
            return;
        }
    }
    let Some(connection) = find(sock) else { return };
    kernel::read_current(Source::HOOK, &mut connection.process);
    complete_flow(sock, connection);
    report_opened(Kind::ACCEPT, connection, now);
    report_if_over(sock, connection);
}

/// The process lets go of the connection, in its context.
#[inline(never)]
pub(crate) fn closing(sock: Sock) {
    let Some(connection) = find(sock) else {
        let state = sock.state();
        if matches!(state, state::CLOSE | state::SYN_SENT | state::LISTEN)
            || emit::overflowed()
            || !sock.is_tcp()
        {
            return;
        }
        // Older than we are: what is known of it is who closes it.
        let mut room = MaybeUninit::uninit();
        let connection: &mut Connection = zeroed(&mut room);
        connection.begun_ns = now();
        connection.flags = flags::EXISTING | flags::REPORTED;
        sock.read_flow(&mut connection.flow);
        read_closer(connection);
        keep(sock, connection);
        return;
    };
    if connection.process.source == Source::HOOK {
        return;
    }
    read_closer(connection);
    if connection.flags & flags::REPORTED == 0 && connection.direction == Direction::INBOUND {
        // accept() was missed: it was already waiting when the programs came, or
        // the kernel had no room to watch its return.
        complete_flow(sock, connection);
        let time = if connection.established_ns == 0 {
            now()
        } else {
            connection.established_ns
        };
        report_opened(Kind::ACCEPT, connection, time);
        report_if_over(sock, connection);
    }
}

/// An attempt is over before it was established. Any context.
#[inline(never)]
fn failed(sock: Sock, old: u8) {
    let now = now();
    if let Some(connection) = find(sock) {
        connection.flow.local_port = sock.local_port();
        connection.last_state = old;
        if sock.has_sent() {
            connection.flags |= flags::SENT;
        }
        report_ended(Kind::FAIL, sock, connection, now);
        forget(sock);
        return;
    }
    if emit::overflowed() {
        emit::untold(Kind::FAIL);
        return;
    }
    let sent = sock.has_sent();
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.direction = Direction::OUTBOUND;
    connection.begun_ns = now;
    connection.last_state = old;
    sock.read_flow(&mut connection.flow);
    if sent {
        connection.flags = flags::SENT | flags::EXISTING;
    } else {
        // connect() itself gives up here, as no port was free.
        kernel::read_current(Source::HOOK, &mut connection.process);
    }
    report_ended(Kind::FAIL, sock, connection, now);
}

/// The handshake came to nothing: no failure of a client here, unless two ends dialled
/// each other at once.
#[inline(always)]
fn refused_or_forgotten(sock: Sock, old: u8) {
    if find(sock).is_some_and(|connection| connection.direction == Direction::OUTBOUND) {
        failed(sock, old);
    } else {
        forget(sock);
    }
}

/// A connection is over. Any context.
#[inline(never)]
fn ended(sock: Sock, old: u8) {
    let now = now();
    let Some(connection) = find(sock) else {
        if emit::overflowed() {
            emit::untold(Kind::CLOSE);
            return;
        }
        let mut room = MaybeUninit::uninit();
        let connection: &mut Connection = zeroed(&mut room);
        connection.begun_ns = now;
        connection.flags = flags::EXISTING;
        connection.last_state = old;
        sock.read_flow(&mut connection.flow);
        if aborted_by_process(sock, old) {
            read_closer(connection);
        }
        report_ended(Kind::CLOSE, sock, connection, now);
        return;
    };
    connection.last_state = old;
    if connection.flags & flags::REPORTED == 0 {
        // Still in the accept queue: accept() may yet hand it out.
        connection.ended_ns = now;
        connection.flags |= flags::ENDED;
        return;
    }
    if connection.process.source != Source::HOOK
        && connection.process.source != Source::CLOSE
        && aborted_by_process(sock, old)
    {
        read_closer(connection);
    }
    report_ended(Kind::CLOSE, sock, connection, now);
    forget(sock);
}

/// The kernel frees the socket: whatever is still kept of it is of no more use. Only
/// connections that nobody accepted come here with an entry.
#[inline(always)]
pub(crate) fn destroyed(sock: Sock) {
    forget(sock);
}

/// A process listens, in its context.
#[inline(never)]
fn listening(sock: Sock) {
    let now = now();
    let mut room = MaybeUninit::uninit();
    let listening = zeroed(&mut room);
    read_listening(sock, Source::HOOK, listening);
    if LISTENERS.insert(sock.0, &*listening, 0).is_err() {
        warn!(sock.0, "table of listeners full");
    }
    report_listening(Kind::LISTEN, listening, now);
}

/// A socket no longer listens, in the context of the process that closed it.
#[inline(never)]
fn unlistening(sock: Sock) {
    let now = now();
    // SAFETY: the entry is this socket's, whose lock the kernel holds here.
    if let Some(listening) = unsafe { LISTENERS.get(sock.0) } {
        report_listening(Kind::UNLISTEN, listening, now);
        // It was just found; should it be gone, so much the better.
        let _ = LISTENERS.remove(sock.0);
    } else {
        // Older than the programs, or it found no room.
        let mut room = MaybeUninit::uninit();
        let listening = zeroed(&mut room);
        read_listening(sock, Source::CLOSE, listening);
        report_listening(Kind::UNLISTEN, listening, now);
    }
}

#[inline(always)]
fn read_listening(sock: Sock, source: Source, to: &mut Listening) {
    sock.read_flow(&mut to.flow);
    kernel::read_current(source, &mut to.process);
    to.backlog = sock.backlog();
}

#[inline(always)]
fn report_listening(kind: Kind, listening: &Listening, time_ns: u64) {
    emit::record(kind, |record: *mut Listening| {
        // SAFETY: room for a `Listening`, aligned to 8; the copy writes every byte of it.
        unsafe {
            record.copy_from_nonoverlapping(listening, 1);
            (&raw mut (*record).header).write(emit::header(kind, time_ns));
        }
    });
}

/// Whether this change to `CLOSE` was made by the process that holds the socket:
/// close() with unread data or a zero linger time sends a reset and sets no error;
/// what comes from the network or a timer sets the error first.
#[inline(always)]
fn aborted_by_process(sock: Sock, old: u8) -> bool {
    old == state::ESTABLISHED && sock.error() == 0
}

/// Takes the current task for the process of this end, unless it is the kernel's own.
#[inline(always)]
fn read_closer(connection: &mut Connection) {
    if !kernel::is_kernel_thread() {
        kernel::read_current(Source::CLOSE, &mut connection.process);
    }
}

/// Reads the ends of a connection that came to a process before its handshake was
/// complete (Fast Open), or before us.
#[inline(always)]
fn complete_flow(sock: Sock, connection: &mut Connection) {
    if connection.flow.family == 0 {
        sock.read_flow(&mut connection.flow);
    }
}

#[inline(always)]
fn report_opened(kind: Kind, connection: &mut Connection, time_ns: u64) {
    connection.flags |= flags::REPORTED;
    emit::record(kind, |record: *mut Opened| {
        // SAFETY: room for an `Opened`, aligned to 8; both fields are written, it has no other byte.
        unsafe {
            (&raw mut (*record).header).write(emit::header(kind, time_ns));
            (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
        }
    });
}

#[inline(always)]
fn report_ended(kind: Kind, sock: Sock, connection: &Connection, time_ns: u64) {
    emit::record(kind, |record: *mut Ended| {
        // SAFETY: room for an `Ended`, aligned to 8; all its fields are written, it has no other byte.
        unsafe {
            (&raw mut (*record).header).write(emit::header(kind, time_ns));
            (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
            (&raw mut (*record).totals).write(sock.totals());
            (&raw mut (*record).errno).write(sock.error());
            (&raw mut (*record).reserved).write(0);
        }
    });
}

/// Reports the end of a connection that was over before it was accepted.
#[inline(always)]
fn report_if_over(sock: Sock, connection: &Connection) {
    if connection.flags & flags::ENDED != 0 {
        report_ended(Kind::CLOSE, sock, connection, connection.ended_ns);
        forget(sock);
    }
}

/// Nothing known yet. Written word by word where it is needed: a value returned, or
/// written with a plain store, becomes a call of a memset that goes byte by byte.
#[inline(always)]
fn zeroed<T: Copy>(room: &mut MaybeUninit<T>) -> &mut T {
    let words = room.as_mut_ptr().cast::<u64>();
    for at in 0..size_of::<T>() / 8 {
        // SAFETY: within `room`, aligned, as the structures of tracer-common are of
        // whole words.
        unsafe { words.add(at).write_volatile(0) };
    }
    // SAFETY: every word was written; the structures of tracer-common are integers,
    // for which zero is valid.
    unsafe { room.assume_init_mut() }
}

/// Whether the entry stands.
#[inline(always)]
fn keep(sock: Sock, connection: &Connection) -> bool {
    let kept = CONNECTIONS.insert(sock.0, connection, 0).is_ok();
    if !kept {
        if !emit::overflowed() {
            warn!(sock.0, "table of connections full");
        }
        emit::set_overflowed();
    }
    kept
}

#[inline(always)]
fn find(sock: Sock) -> Option<&'static mut Connection> {
    let connection = CONNECTIONS.get_ptr_mut(sock.0)?;
    // SAFETY: the entry is this socket's. Those who write to it hold the socket's
    // lock or, for a connection not yet accepted, are ordered by the accept queue.
    // It is removed when the socket closes, and no caller uses it after that.
    Some(unsafe { &mut *connection })
}

#[inline(always)]
fn forget(sock: Sock) {
    // Absent is fine: most sockets that are destroyed were forgotten at their end.
    let _ = CONNECTIONS.remove(sock.0);
}

#[inline(always)]
fn hooked(hook: u32) -> bool {
    HOOKS.load() & hook != 0
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes no argument and reads a clock.
    unsafe { bpf_ktime_get_ns() }
}
