//! The life of a connection: one body a fact, shared by the three hook sets.
//!
//! The bodies are functions of their own (`inline(never)`), each with a stack of its own:
//! together they would not fit into the 512 bytes of a program.
//!
//! Facts about `sock:inet_sock_set_state` that this rests on, all of Linux 4.16 and later:
//! - `CLOSE → SYN_SENT`, `→ LISTEN`, `LISTEN → CLOSE`, `→ FIN_WAIT1` and `→ LAST_ACK`
//!   happen in the context of the process that asked; the rest may happen in a softirq,
//!   where the current task is a stranger.
//! - at `CLOSE → SYN_SENT` the destination is set, the own port may not be yet.
//! - an accepted connection is a clone of its listener: `LISTEN → SYN_RECV` on the clone,
//!   then `SYN_RECV → ESTABLISHED` when the handshake is complete.
//! - `→ CLOSE` is announced once, with the counters and the error still in place.
//!
//! A program is not run again on a CPU where it already runs (Linux 6.1 and later for
//! raw tracepoints): a change of state in a softirq that interrupts us is not told,
//! about once in a million. So each fact also checks what should have come before it
//! and makes up for it, down to `tcp_destroy_sock`, which tells an end that nobody told.

mod arrive;
mod begin;
mod dial;
mod end;
mod listen;
mod netns;
mod scan;
mod totals;

use core::arch::asm;

use aya_ebpf::bindings::{BPF_EXIST, BPF_NOEXIST};
use aya_log_ebpf::warn;
use tracer_common::{Connection, Kind, Opened, Source, hooks};

pub(crate) use self::{
    arrive::{completed, requested, turned_away},
    begin::{accepted, connecting, grafted, read_from},
    dial::dialled,
    end::{destroyed, error_reported, let_go},
    listen::disown,
    netns::observers,
    scan::{Visit, examined, visit_connections, visit_listeners},
    totals::carried,
};
use crate::{
    emit,
    kernel::{self, Sock, state},
    maps::{CONNECTIONS, HOOKS},
    share::Table,
    span::is_stale,
};

/// A map has no such entry, no room, or an entry already: of the kernel's `errno-base.h`.
const ENOENT: i32 = -2;
const E2BIG: i32 = -7;
const EEXIST: i32 = -17;

/// A socket, which `sock` gets, changed its state. Leaves at once where nothing is to be learnt.
#[inline(always)]
pub(crate) fn changed(old: u8, new: u8, sock: impl FnOnce() -> Option<Sock>) {
    // What tells nothing are the steps of an orderly end that the peer causes.
    let telling = match (old, new) {
        (state::CLOSE, state::SYN_SENT) => !hooked(hooks::CONNECT),
        (_, state::ESTABLISHED | state::SYN_RECV | state::LISTEN | state::CLOSE) => true,
        (_, state::FIN_WAIT1 | state::LAST_ACK) => true,
        _ => false,
    };
    if !telling {
        return;
    }
    let Some(sock) = sock() else { return };
    // MPTCP's outer sockets share the tracepoint; their subflows are what we follow. So what
    // makes an entry asks for the protocol first. What finds one need not: each read costs.
    match (old, new) {
        (state::SYN_SENT | state::SYN_RECV, state::ESTABLISHED) => begin::established(sock, old),
        (state::SYN_RECV, state::CLOSE) => end::handshake_ended(sock, old),
        (state::CLOSE | state::LISTEN | state::SYN_SENT, _) if !sock.is_tcp() => {}
        (state::CLOSE, state::SYN_SENT) => connecting(sock),
        (state::LISTEN, state::SYN_RECV) => begin::cloned(sock),
        (state::SYN_SENT, state::CLOSE) => end::failed(sock, old),
        (state::CLOSE, state::LISTEN) => listen::begun(sock),
        (state::LISTEN, state::CLOSE) => listen::ended(sock),
        (state::CLOSE, _) => {}
        (_, state::CLOSE) => end::ended(sock, old),
        (_, state::FIN_WAIT1 | state::LAST_ACK) => end::closing(sock, new),
        _ => {}
    }
}

/// Tells that a connection is open, and then remembers that it was told: its end, on
/// another CPU, must not come first.
#[inline(always)]
fn report_opened(kind: Kind, connection: &mut Connection, time_ns: u64) {
    let header = emit::header(kind, time_ns);
    emit::record(header, |record: *mut Opened| {
        // SAFETY: room for an `Opened`, aligned to 8; all but its header is written, it has
        // no other byte.
        unsafe {
            (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
            // accept() can overtake the last step of the handshake on another CPU,
            // which then writes its own, later time.
            let established_ns = &raw mut (*record).connection.established_ns;
            if *established_ns > time_ns {
                *established_ns = time_ns;
            }
        }
    });
    set(&mut connection.reported);
}

/// A mark that another CPU looks for: neither it nor what is stored before may be moved
/// or left out by the compiler.
#[inline(always)]
fn set(mark: &mut u8) {
    // SAFETY: an empty assembly, which the compiler takes for one that uses memory; a
    // valid place for a byte.
    unsafe {
        asm!("");
        (&raw mut *mark).write_volatile(1);
        asm!("");
    }
}

/// Looks for a mark that another CPU may set.
#[inline(always)]
fn is_set(mark: &u8) -> bool {
    // SAFETY: a valid byte.
    unsafe { (&raw const *mark).read_volatile() != 0 }
}

/// Takes the current task for the process of this end, unless it is the kernel's own.
#[inline(always)]
fn read_closer(sock: Sock, connection: &mut Connection) {
    if !kernel::is_kernel_thread() {
        kernel::read_current(Source::CLOSE, &mut connection.process);
        connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    }
}

/// Whether the entry stands. It takes the place of any other.
#[inline(always)]
fn keep(sock: Sock, connection: &mut Connection) -> bool {
    match add(sock, connection) {
        Err(EEXIST) => replace(sock, connection),
        result => result.is_ok(),
    }
}

/// Makes an entry where there is none, which `connection.payer` pays for.
#[inline(always)]
fn add(sock: Sock, connection: &Connection) -> Result<(), i32> {
    let payer = connection.payer;
    let mut result = Err(E2BIG);
    if Table::Connections.has_room(payer) {
        result = CONNECTIONS.insert(sock.address, connection, u64::from(BPF_NOEXIST));
        if let Err(error) = result
            && error != E2BIG
            && error != EEXIST
        {
            // The place is locked by what this program interrupted, or for very long by a
            // processor that does not run: once more.
            result = CONNECTIONS.insert(sock.address, connection, u64::from(BPF_NOEXIST));
        }
    } else if CONNECTIONS.get_ptr(sock.address).is_some() {
        result = Err(EEXIST);
    }
    match result {
        Ok(()) => Table::Connections.take(payer),
        Err(E2BIG) => {
            if !emit::overflowed() {
                warn!(sock.address, "table of connections full");
            }
            emit::overflow();
        }
        Err(_) => {}
    }
    result
}

/// Puts `connection` in the place of another, whose payer goes on paying.
#[inline(always)]
fn replace(sock: Sock, connection: &mut Connection) -> bool {
    let Some(known) = CONNECTIONS.get_ptr(sock.address) else {
        return false;
    };
    // SAFETY: a valid number, of this entry or of one that has its memory since.
    connection.payer = unsafe { (&raw const (*known).payer).read_volatile() };
    CONNECTIONS
        .insert(sock.address, connection, u64::from(BPF_EXIST))
        .is_ok()
}

/// Has `make` keep the entry of a connection that begins. Should there be one in its place,
/// the end of that one was missed: it is told first. Two calls in turn, not one within the
/// other: their stacks together would be too large.
#[inline(always)]
fn keep_new(sock: Sock, make: impl Fn(Place) -> bool) {
    if !make(Place::Free) {
        scan::missed(sock);
        make(Place::Any);
    }
}

/// Where an entry may go.
#[derive(Clone, Copy)]
enum Place {
    /// Where none is.
    Free,
    /// Also in the place of another.
    Any,
}

impl Place {
    /// Whether the place was as it should be.
    #[inline(always)]
    fn keep(self, sock: Sock, connection: &mut Connection) -> bool {
        match add(sock, connection) {
            Err(EEXIST) => matches!(self, Self::Any) && replace(sock, connection),
            _ => true,
        }
    }
}

/// The connection or attempt of this socket.
#[inline(always)]
fn find(sock: Sock) -> Option<&'static mut Connection> {
    find_any(sock).filter(|entry| entry.failed == 0)
}

/// Likewise. Should it be that of another socket, which had this address before, neither the
/// end of that one nor the beginning of this one was told: that end is told now.
#[inline(always)]
fn find_own(sock: Sock) -> Option<&'static mut Connection> {
    let entry = find(sock)?;
    if is_own(sock, entry) {
        return Some(entry);
    }
    scan::missed(sock);
    None
}

/// Whether this entry is of this socket, and not of one that had its address before.
#[inline(always)]
fn is_own(sock: Sock, entry: &Connection) -> bool {
    // Without a family it has just arrived, and its ends are read later: perhaps just now, by
    // accept() on another CPU, which writes the family last.
    // SAFETY: a valid number; an empty assembly, which the compiler takes for one that uses
    // memory.
    let family = unsafe {
        let family = (&raw const entry.flow.family).read_volatile();
        asm!("");
        family
    };
    family == 0 || sock.is_at_ends_of(entry)
}

/// The connection or attempt of this socket, or the memory of one that failed.
#[inline(always)]
fn find_any(sock: Sock) -> Option<&'static mut Connection> {
    let connection = CONNECTIONS.get_ptr_mut(sock.address)?;
    // SAFETY: the entry is this socket's, and stays so while the caller holds the
    // socket's lock. accept() does not hold it, but what it hands out cannot be
    // forgotten before it was reported; close() does not, and so changes a copy.
    let connection = unsafe { &mut *connection };
    if is_stale(connection.begun_ns) {
        // Nobody was told of it: to those who are told it is as old as one without an entry.
        let _ = remove(sock, connection.payer);
        return None;
    }
    Some(connection)
}

/// Takes the entry out, which `payer` pays for.
#[inline(always)]
fn remove(sock: Sock, payer: u32) -> Result<(), i32> {
    let result = CONNECTIONS.remove(sock.address);
    if result.is_ok() {
        Table::Connections.give_back(payer);
    }
    result
}

/// Forgets the entry, which `payer` pays for. Whether there was one: of several who forget it, only the first is
/// told so.
#[inline(always)]
fn forget(sock: Sock, payer: u32) -> bool {
    match remove(sock, payer) {
        Ok(()) => true,
        Err(ENOENT) => false,
        Err(_) => {
            // The place is locked by what this program interrupted. What must not be found
            // again is marked; the end of the socket removes it.
            if let Some(entry) = find(sock) {
                set(&mut entry.failed); // `failed::TOLD`
                true
            } else {
                false
            }
        }
    }
}

#[inline(always)]
fn hooked(hook: u32) -> bool {
    HOOKS.load() & hook != 0
}
