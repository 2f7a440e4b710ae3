//! Attempts from outside that this host turns away: no socket is ever made for them.

use core::mem::MaybeUninit;

use tracer_common::{Connection, Direction, Kind};

use super::{begin, dial};
use crate::{
    emit,
    kernel::{Packet, Sock, first_sequence, now, state},
    room::zeroed,
};

/// A SYN arrives at a socket that listens.
#[inline(always)]
pub(crate) fn requested(listener: Sock, packet: Packet) {
    if listener.is_queue_full() {
        report(listener, packet, packet.sequence(), state::LISTEN);
    }
}

/// The last segment of a handshake arrives, which `request`, a `struct tcp_request_sock`, began.
#[inline(always)]
pub(crate) fn completed(listener: Sock, packet: Packet, request: u64) {
    if listener.is_queue_full() {
        // By the number of its SYN, as that may have been turned away, too.
        report(listener, packet, first_sequence(request), state::LISTEN);
    }
}

/// A segment arrives that no socket is there for, and is answered with a reset.
#[inline(always)]
pub(crate) fn turned_away(packet: Packet) {
    if packet.is_request() {
        report(Sock::at(0), packet, packet.sequence(), state::CLOSE);
    }
}

#[inline(never)]
fn report(listener: Sock, packet: Packet, sequence: u32, last_state: u8) {
    if emit::is_half_full() {
        // Anybody can send these, under any address: they must not push out what is told of others.
        emit::unsent(Kind::FAIL);
        return;
    }
    let mut room = MaybeUninit::uninit();
    let connection: &mut Connection = zeroed(&mut room);
    connection.begun_ns = now();
    connection.direction = Direction::INBOUND;
    connection.last_state = last_state;
    packet.read_flow(&mut connection.flow);
    if listener.address != 0 {
        listener.read_netns(&mut connection.flow.netns);
    }
    // Nobody's, where it is not known.
    let _ = begin::read_listener(listener, &mut connection.process);
    dial::report_failed(connection, 0, sequence);
}
