//! What is there that no hook told of: from before the programs, or missed since.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::BPF_EXIST;
use tracer_common::{
    Connection, Direction, Ended, Kind, Listening, Opened, SETTLED_NS, Source, Totals, flags,
};

use super::{E2BIG, add, find, find_any, forget, is_set, listen};
use crate::{
    emit,
    kernel::{self, Files, Held, Sock, now, state},
    maps::{LISTENERS, PREVIOUS, VISIT},
    room::{clear, zeroed},
    share::payer,
    span::is_stale,
};

/// How far a look around has come.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Visit {
    /// When the task started, which tells it from another one at its address.
    started_ns: u64,
    /// The descriptor to go on with.
    next: u64,
    /// What is looked at; its task is 0 if none is under way.
    held: Held,
}

/// How many open files are looked at in one run, at most.
const STEP: usize = 16;

/// Looks at the next open files of `task` for a socket that listens; 0 is none. Tells whether there may
/// be more.
#[inline(always)]
pub(crate) fn visit_listeners(task: u64) -> bool {
    visit(task, is_listening, found_listener)
}

/// Likewise, for connections of which nobody was told.
#[inline(always)]
pub(crate) fn visit_connections(task: u64) -> bool {
    visit(task, is_untold, found_connection)
}

/// Goes on until `found` has one socket that `is_wanted`, so that the kernel follows `found` once.
#[inline(always)]
fn visit(task: u64, is_wanted: impl Fn(Sock) -> bool, found: impl FnOnce(&Held, Sock)) -> bool {
    let Some(visit) = VISIT.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: the one entry of an array, and one look around at a time.
    let visit = unsafe { &mut *visit };
    let started_ns = kernel::started_ns(task);
    if (visit.held.task, visit.started_ns) != (task, started_ns) {
        visit.started_ns = started_ns;
        visit.next = 0;
    }
    visit.held.task = 0;
    let Some(files) = Files::of(task) else {
        return false;
    };
    for _ in 0..STEP {
        let next = visit.next;
        if next >= files.size() {
            visit.held.task = 0;
            return false;
        }
        visit.next = next + 1;
        visit.held = files.at(next);
        if let Some(sock) = visit.held.sock()
            && is_wanted(sock)
        {
            found(&visit.held, sock);
            break;
        }
    }
    true
}

/// A task has this socket open, which listens.
#[inline(always)]
fn found_listener(held: &Held, sock: Sock) {
    if kernel::is_ending(held.task) {
        return;
    }
    // SAFETY: the entry may be replaced meanwhile by that of another socket, and then what is read
    // is a mixture: the place of both is looked at again before anything is told.
    match unsafe { LISTENERS.get(sock.address) } {
        None => new_listener(held, sock),
        Some(known) if is_stale(known.header.time_ns) => {
            listen::forget(sock, known.payer);
            new_listener(held, sock);
        }
        Some(known) if listen::is_ownerless(&known.process) => inherited_listener(held, sock),
        Some(_) => {}
    }
}

#[inline(always)]
fn is_listening(sock: Sock) -> bool {
    sock.state() == state::LISTEN && sock.is_hashed()
}

#[inline(never)]
fn new_listener(held: &Held, sock: Sock) {
    tell_listener(held, sock, None);
}

/// Nobody told of this socket, or who it was told of has ended: from here on it is of who holds it.
/// Tells whether it is.
#[inline(always)]
fn tell_listener(held: &Held, sock: Sock, before: Option<&Listening>) -> bool {
    let task = held.task;
    let now = now();
    let mut room = MaybeUninit::uninit();
    let listening: &mut Listening = zeroed(&mut room);
    sock.read_flow(&mut listening.flow);
    kernel::read_task(task, Source::SCAN, &mut listening.process);
    listening.process.netns_owner = sock.netns_owner(listening.flow.netns);
    listening.backlog = sock.backlog();
    listening.header.time_ns = now;
    listening.payer = match before {
        Some(before) => before.payer,
        None => payer(&listening.process, sock, &listening.flow, 0),
    };
    let listening: &Listening = listening;
    let mut is_told = false;
    // The place in the ring is taken first, so what a hook tells of this socket once the
    // entry is there comes after it.
    listen::report_if(Kind::LISTEN, listening, now, || {
        let kept = match before {
            None => listen::add(sock, listening),
            Some(_) => LISTENERS.insert(sock.address, listening, u64::from(BPF_EXIST)),
        };
        if kept == Err(E2BIG) {
            emit::untold(Kind::LISTEN);
        }
        is_told = kept.is_ok()
            && ((is_listening(sock) && held.is_open()) || !listen::forget(sock, listening.payer));
        is_told
    });
    if is_told {
        listen::own(sock, listening);
        if kernel::is_ending(task) {
            // Its end may have been told before.
            listen::disown(&listening.process);
        }
    }
    is_told
}

/// The owner of this socket has ended, and another holds it, too: that one stopped to listen, and
/// this one listens.
#[inline(never)]
fn inherited_listener(held: &Held, sock: Sock) {
    // SAFETY: as in `found_listener`.
    let Some(known) = (unsafe { LISTENERS.get(sock.address) }) else {
        return;
    };
    let Some(before) = PREVIOUS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: both are valid, and of two maps; one look around at a time.
    let before = unsafe {
        before.copy_from_nonoverlapping(known, 1);
        &*before
    };
    if kernel::is_of(held.task, &before.process) {
        // There was no room to remember it.
        listen::own(sock, before);
    } else if tell_heir(held, sock, before) {
        listen::report(Kind::UNLISTEN, before, now());
    }
}

#[inline(never)]
fn tell_heir(held: &Held, sock: Sock, before: &Listening) -> bool {
    tell_listener(held, sock, Some(before))
}

/// Whether it is a connection or an attempt that nobody was told of.
#[inline(always)]
fn is_untold(sock: Sock) -> bool {
    !matches!(sock.state(), state::CLOSE | state::LISTEN | state::SYN_RECV)
        && sock.is_hashed()
        && find_any(sock).is_none()
}

/// A task has this socket open, of whose connection nobody was told.
#[inline(never)]
fn found_connection(held: &Held, sock: Sock) {
    let state = sock.state();
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    kernel::read_task(held.task, Source::SCAN, &mut connection.process);
    connection.last_state = state;
    if state == state::SYN_SENT {
        if !sock.has_sent() {
            return; // promised to begin with the first write, which may never come
        }
        // An attempt: its outcome is told when there is one.
        connection.begun_ns = now();
        connection.flags = flags::EXISTING;
        connection.direction = Direction::OUTBOUND;
        sock.read_flow(&mut connection.flow);
        connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
        connection.payer = payer(&connection.process, sock, &connection.flow, 0);
        let connection: &Connection = connection;
        // One without room is counted at its outcome, and until then among those that did not fit.
        if add(sock, connection).is_ok() && !(sock.is_hashed() && held.is_open()) {
            forget(sock, connection.payer);
        }
        return;
    }
    // A socket is taken out of the kernel's tables before its end is announced. So one that
    // is still in them after the entry is made ends with the entry in place, and one that
    // is not has been told of, unless its end took this entry along.
    report_existing(sock, connection, now(), || {
        (sock.is_hashed() && held.is_open()) || !forget_found(sock)
    });
}

/// Takes back the entry that was just made.
#[inline(always)]
fn forget_found(sock: Sock) -> bool {
    find(sock).is_some_and(|entry| forget(sock, entry.payer))
}

/// Tells that a connection is there, which begins with that for us, and follows it from
/// here on, if `settle`, asked last, agrees. Its process and last state are set. Whether there was room for it;
/// else it is counted.
#[inline(always)]
pub(super) fn report_existing(
    sock: Sock,
    connection: &mut Connection,
    now: u64,
    settle: impl FnOnce() -> bool,
) -> bool {
    connection.begun_ns = now;
    connection.flags = flags::EXISTING;
    connection.reported = 1;
    if sock.has_dialled_out() {
        connection.direction = Direction::OUTBOUND;
    }
    sock.read_flow(&mut connection.flow);
    connection.process.netns_owner = sock.netns_owner(connection.flow.netns);
    // What did not dial came in, as far as is known.
    let port = match connection.direction {
        Direction::OUTBOUND => 0,
        _ => connection.flow.local_port,
    };
    connection.payer = payer(&connection.process, sock, &connection.flow, port);
    let connection: &Connection = connection;
    let fill = |record: *mut Opened| {
        // SAFETY: room for an `Opened`, aligned to 8; all but its header is written, it has
        // no other byte.
        unsafe {
            (&raw mut (*record).connection).copy_from_nonoverlapping(connection, 1);
        }
    };
    let mut has_room = true;
    // The place in the ring is taken first: what is told of the entry comes after it.
    emit::record_if(emit::header(Kind::EXISTING, now), fill, || {
        match add(sock, connection) {
            Ok(()) => settle(),
            Err(E2BIG) => {
                emit::untold(Kind::EXISTING);
                has_room = false;
                false
            }
            Err(_) => false, // another CPU has just told of it
        }
    });
    has_room
}

/// Looks whether a connection is over without its end having been told. `sock` may be
/// any address.
#[inline(never)]
pub(crate) fn examined(sock: Sock) {
    if sock.address == 0 {
        return;
    }
    let Some(entry) = find(sock) else { return };
    let now = now();
    if now < entry.begun_ns + SETTLED_NS
        || entry.flow.family == 0 // it arrives just now
        || is_set(&entry.ended) // accept() will tell, or the end of the socket
        || !sock.is_over(entry)
    {
        return;
    }
    tell_missed(sock, entry, now);
}

/// Tells that a connection or an attempt is over of which nobody told. What it carried is
/// not known: its socket's memory may be another's by now. Why an attempt failed is, where
/// the kernel tells errors apart.
#[inline(always)]
fn report_over(sock: Sock, entry: &Connection, now: u64) {
    let kind = if is_set(&entry.reported) {
        Kind::CLOSE
    } else {
        Kind::FAIL
    };
    let fill = |record: *mut Ended| {
        // SAFETY: room for an `Ended`, aligned to 8; all its fields but the header are written, it has
        // no other byte. The entry is nobody else's to change, as its socket is gone.
        unsafe {
            (&raw mut (*record).connection).copy_from_nonoverlapping(entry, 1);
            (*record).connection.flags |= flags::FOUND_OVER;
            clear((&raw mut (*record).totals).cast(), size_of::<Totals>() / 8);
            (&raw mut (*record).errno).write(u32::from(entry.failed_errno));
            (&raw mut (*record).sequence).write(0);
        }
    };
    emit::record_if(emit::header(kind, now), fill, || forget(sock, entry.payer));
}

/// What this socket's entry tells of is over, and nobody told: the socket is freed, or its
/// memory is another's already.
#[inline(never)]
pub(super) fn missed(sock: Sock) {
    if let Some(entry) = find(sock) {
        tell_missed(sock, entry, now());
    }
}

#[inline(always)]
fn tell_missed(sock: Sock, entry: &Connection, now: u64) {
    if is_set(&entry.reported) || entry.direction == Direction::OUTBOUND {
        report_over(sock, entry, now);
    } else {
        forget(sock, entry.payer); // nobody accepted it: nobody's event
    }
}
