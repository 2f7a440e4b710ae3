//! How a connection begins: an attempt, a handshake, a process that accepts.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::BPF_EXIST;
use aya_log_ebpf::debug;
use tracer_common::{Connection, Direction, Kind, Process, Source, flags, hooks};

use super::{Place, end, find, find_own, hooked, is_own, is_set, keep, keep_new, report_opened};
use crate::{
    emit,
    kernel::{self, Role, Sock, now, state},
    maps::{CONNECTIONS, LISTENERS},
    room::zeroed,
    share,
    span::{When, when},
};

/// An attempt begins, in the caller's context.
#[inline(always)]
pub(crate) fn connecting(sock: Sock) {
    keep_new(sock, |place| attempt(sock, place));
}

#[inline(never)]
fn attempt(sock: Sock, place: Place) -> bool {
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now();
    connection.direction = Direction::OUTBOUND;
    sock.read_flow(&mut connection.flow);
    kernel::read_current(Source::HOOK, &mut connection.process);
    connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    connection.payer = share::payer(&connection.process, sock, &connection.flow, 0);
    place.keep(sock, connection)
}

/// A connection arrives at a listener: its socket was just cloned. A softirq, as a rule.
#[inline(always)]
pub(super) fn cloned(sock: Sock) {
    keep_new(sock, |place| arrival(sock, place));
}

#[inline(never)]
fn arrival(sock: Sock, place: Place) -> bool {
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now();
    connection.direction = Direction::INBOUND;
    match read_listener(Sock::at(sock.cloned_from()), &mut connection.process) {
        Some(payer) => connection.payer = payer,
        None => {
            debug!(sock.address, "connection at a listener that is not known");
            connection.payer = payer_of_arrival(sock);
        }
    }
    place.keep(sock, connection)
}

/// Writes to `to` who listens at this socket, if that is known. Tells who pays for what comes in there.
#[inline(always)]
pub(super) fn read_listener(listener: Sock, to: &mut Process) -> Option<u32> {
    // SAFETY: an entry is replaced only when the kernel reuses the address for another
    // listener, which cannot be while this one has a clone in the making or a SYN in
    // its hands.
    let listening = (unsafe { LISTENERS.get(listener.address) })?;
    // SAFETY: both are valid, and the stack is not in a map. A plain assignment
    // becomes a call of a memmove that goes byte by byte.
    unsafe { (&raw mut *to).copy_from_nonoverlapping(&raw const listening.process, 1) };
    to.source = Source::LISTENER;
    Some(share::payer(
        to,
        listener,
        &listening.flow,
        listening.flow.local_port,
    ))
}

/// Who pays for a connection that came in at a listener that is not known.
#[inline(always)]
pub(super) fn payer_of_arrival(sock: Sock) -> u32 {
    let mut netns = 0;
    sock.read_netns(&mut netns);
    share::of_owner(sock, netns, sock.local_port())
}

/// The handshake is complete, at either end. Any context.
#[inline(never)]
pub(super) fn established(sock: Sock, old: u8) {
    let now = now();
    let connection = match find_own(sock) {
        Some(connection) => connection,
        None => match adopt(sock, old, now) {
            Some(connection) => connection,
            None => return,
        },
    };
    if connection.direction == Direction::OUTBOUND {
        connection.flow.local_port = sock.local_port();
        connection.failed_errno = 0;
        if !sock.has_sent() {
            // It was put there as it was elsewhere (`TCP_REPAIR`): nobody dialled, and who once did
            // is not known.
            connection.direction = Direction::UNKNOWN;
            connection.flags |= flags::EXISTING;
            report_opened(Kind::EXISTING, connection, now);
            return;
        }
        connection.established_ns = now;
        let role = match old {
            state::SYN_RECV => Role::Both,
            _ => Role::Client,
        };
        connection.handshake = sock.handshake(role);
        report_opened(Kind::CONNECT, connection, now);
        return;
    }
    // accept() on another CPU may already have it, and have set both to the same.
    sock.read_flow(&mut connection.flow);
    connection.handshake = sock.handshake(Role::Server);
    if connection.established_ns == 0 {
        connection.established_ns = now;
    }
    // Where a program sees accept() itself, that one reports.
    if !hooked(hooks::ACCEPT) && !is_set(&connection.reported) {
        report_opened(Kind::ACCEPT, connection, now);
    }
}

/// Makes an entry for a handshake whose beginning was not told, or is older than we are.
#[inline(always)]
fn adopt(sock: Sock, old: u8, now: u64) -> Option<&'static mut Connection> {
    if !sock.is_tcp() {
        return None;
    }
    let inbound = old == state::SYN_RECV;
    if emit::overflowed() {
        // Its entry found no room.
        untold(inbound);
        return None;
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now;
    if inbound {
        connection.direction = Direction::INBOUND;
    } else {
        // When it began is not known.
        connection.direction = Direction::OUTBOUND;
        connection.flags = flags::EXISTING;
    }
    sock.read_flow(&mut connection.flow);
    let port = if inbound {
        connection.flow.local_port
    } else {
        0
    };
    connection.payer = share::of_owner(sock, connection.flow.netns, port);
    if !keep(sock, connection) {
        untold(inbound);
        return None;
    }
    find(sock)
}

/// Counts that a connection opened of which nothing is known. accept() tells of inbound ones itself, where it is seen.
#[inline(always)]
fn untold(inbound: bool) {
    if !inbound {
        emit::untold(Kind::CONNECT);
    } else if !hooked(hooks::ACCEPT) {
        emit::untold(Kind::ACCEPT);
    }
}

/// A process has read from a connection, with the socket's lock. Where no hook sees accept(), the
/// first who reads is who has it.
#[inline(always)]
pub(crate) fn read_from(sock: Sock) {
    let Some(entry) = find(sock) else { return };
    let is_seen = !matches!(entry.process.source, Source::LISTENER | Source::UNKNOWN);
    if is_seen || entry.direction != Direction::INBOUND || !is_set(&entry.reported) {
        return;
    }
    // The kernel itself reads for a process, too, also in a softirq (`strp_data_ready()`).
    if sock.is_owned() && !kernel::is_kernel_thread() && is_own(sock, entry) {
        in_hands_of_caller(sock, entry);
    }
}

#[inline(never)]
fn in_hands_of_caller(sock: Sock, entry: &Connection) {
    // What is asked for what it has carried must not see half of it.
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    // SAFETY: both are valid, and the stack is not in a map.
    unsafe { (&raw mut *connection).copy_from_nonoverlapping(entry, 1) };
    kernel::read_current(Source::READ, &mut connection.process);
    connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    // Should its place be gone or locked, it is read from again.
    let _ = CONNECTIONS.insert(sock.address, connection, u64::from(BPF_EXIST));
}

/// It came before anything was told of it.
#[inline(never)]
fn waited(sock: Sock, now: u64) {
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now;
    connection.direction = Direction::INBOUND;
    connection.flags = flags::EXISTING;
    connection.payer = payer_of_arrival(sock);
    keep(sock, connection);
}

/// accept() gives the connection a descriptor, in the context of the process that gets it:
/// it should have been told of already.
#[inline(always)]
pub(crate) fn grafted(sock: Sock) {
    let told = match find(sock) {
        Some(entry) => entry.process.source == Source::HOOK && is_own(sock, entry),
        // Told, and over since: the other end may reset it at any time.
        None => sock.state() == state::CLOSE,
    };
    if !told {
        accepted(sock);
    }
}

/// A process has the connection in its hands, in that process's context.
#[inline(never)]
pub(crate) fn accepted(sock: Sock) {
    if sock.address == 0 || !sock.is_tcp() {
        return; // accept() failed, or handed out another protocol's socket
    }
    let now = now();
    if find_own(sock).is_none() {
        if emit::overflowed() {
            emit::untold(Kind::ACCEPT);
            return;
        }
        // It arrived before us and waited in the queue, or its arrival was missed.
        if sock.state() == state::CLOSE {
            end::ended_in_queue(sock);
        } else {
            waited(sock, now);
        }
    }
    let Some(connection) = find(sock) else {
        emit::untold(Kind::ACCEPT);
        return;
    };
    kernel::read_current(Source::HOOK, &mut connection.process);
    sock.read_flow(&mut connection.flow);
    connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    if connection.flags & flags::EXISTING == 0 {
        if connection.handshake == 0 {
            connection.handshake = sock.handshake(Role::Server);
        }
        // The last step of the handshake may still be on its way through another CPU: the
        // connection is in use from now on all the same. With Fast Open it is used before.
        if (connection.established_ns == 0 && !sock.is_opened_fast())
            || connection.established_ns > now
        {
            connection.established_ns = now;
        }
    }
    report_opened(Kind::ACCEPT, connection, now);
    if is_set(&connection.ended) && when(now) != When::After {
        // It was over before it was accepted.
        end::report_closed(sock, connection, connection.ended_ns);
    }
}
