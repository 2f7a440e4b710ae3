//! How a connection or an attempt ended: who closed it, or why it failed.

use tracer_common::{self as abi, flags};

use super::turned_away::is_turned_away;
use crate::model::{Closer, Failure, Phase, Reason, errno};

/// TCP states of the kernel's `include/net/tcp_states.h`.
pub(super) mod state {
    pub(in super::super) const ESTABLISHED: u8 = 1;
    pub(in super::super) const SYN_SENT: u8 = 2;
    pub(in super::super) const FIN_WAIT1: u8 = 4;
    pub(in super::super) const FIN_WAIT2: u8 = 5;
    pub(in super::super) const CLOSE_WAIT: u8 = 8;
    pub(in super::super) const LAST_ACK: u8 = 9;
    pub(in super::super) const LISTEN: u8 = 10;
    pub(in super::super) const CLOSING: u8 = 11;
}

pub(super) fn closed_by(ended: &abi::Ended) -> Option<Closer> {
    let reset = i32::try_from(ended.errno) == Ok(libc::ECONNRESET);
    match ended.connection.last_state {
        state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING => Some(Closer::Local),
        state::CLOSE_WAIT | state::LAST_ACK => Some(Closer::Remote),
        state::ESTABLISHED if reset => Some(Closer::Remote),
        state::ESTABLISHED
            if ended.errno == 0 && ended.connection.flags & flags::FROM_OUTSIDE == 0 =>
        {
            Some(Closer::Local)
        }
        _ => None,
    }
}

pub(super) fn failure(ended: &abi::Ended) -> Failure {
    if is_turned_away(ended) {
        let reason = match ended.connection.last_state {
            state::LISTEN => Reason::AcceptQueueFull,
            _ => Reason::NotListening,
        };
        return Failure {
            phase: Phase::Local,
            reason,
            errno: None,
            unanswered_syns: None,
        };
    }
    if ended.connection.flags & flags::FOUND_OVER != 0 && ended.errno == 0 {
        return Failure {
            phase: Phase::Network,
            reason: Reason::Other,
            errno: None,
            unanswered_syns: None,
        };
    }
    let sent = ended.connection.flags & flags::SENT != 0;
    let (phase, reason) = match i32::try_from(ended.errno).unwrap_or(0) {
        // Its process took the error away before the kernel told of the end (`SO_ERROR`).
        0 if sent && ended.connection.flags & flags::FROM_OUTSIDE != 0 => {
            (Phase::Network, Reason::Other)
        }
        0 if sent => (Phase::Abandoned, Reason::Abandoned),
        // The kernel chooses a port before anything else can go wrong.
        0 if ended.connection.flow.local_port == 0 => (Phase::Local, Reason::NoLocalPort),
        0 => (Phase::Local, Reason::Other),
        libc::ECONNREFUSED => (Phase::Remote, Reason::Refused),
        libc::ECONNRESET => (Phase::Remote, Reason::Reset),
        libc::ETIMEDOUT => (Phase::Network, Reason::TimedOut),
        libc::EHOSTUNREACH | libc::ENETUNREACH if !sent => (Phase::Local, Reason::NoRoute),
        libc::EHOSTUNREACH => (Phase::Network, Reason::HostUnreachable),
        libc::ENETUNREACH => (Phase::Network, Reason::NetworkUnreachable),
        // ICMPv6 has a word for a policy on the way.
        libc::EPERM | libc::EACCES if sent => (Phase::Network, Reason::Denied),
        libc::EPERM | libc::EACCES => (Phase::Local, Reason::Denied),
        libc::EADDRINUSE => (Phase::Local, Reason::AddressInUse),
        // Either no port was to be had, or the one asked for has this very connection.
        libc::EADDRNOTAVAIL if ended.connection.flow.local_port != 0 => {
            (Phase::Local, Reason::AddressInUse)
        }
        libc::EADDRNOTAVAIL => (Phase::Local, Reason::NoLocalPort),
        _ if sent => (Phase::Network, Reason::Other),
        _ => (Phase::Local, Reason::Other),
    };
    // Where two ends dial each other, one's SYN is the answer to the other's.
    let unanswered = matches!(reason, Reason::Abandoned | Reason::TimedOut)
        && ended.connection.last_state == state::SYN_SENT;
    Failure {
        phase,
        reason,
        errno: errno::name(ended.errno),
        unanswered_syns: (unanswered && sent).then(|| ended.totals.retransmits.saturating_add(1)),
    }
}
