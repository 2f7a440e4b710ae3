//! One end of a connection, and what a connection with its ends adds to a map.

use std::{net::IpAddr, num::NonZeroU64};

use super::{
    counters::{Ending, Known, Share, What},
    half::{HalfId, Link, Side},
    halves::{AskedId, Halves},
    meeting::Addresses,
    numbers::HostId,
};
use crate::model::{ConnectionEvent, ConnectionId, ProcessEvidence, Timestamp, Totals};

/// What an event reports of one endpoint.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) host: HostId,
    pub(super) half: HalfId,
    /// Where `half` is cached.
    pub(super) asked: AskedId,
    pub(super) event: &'a ConnectionEvent,
    pub(super) time: Timestamp,
    /// When the connection opened; not before `--since`.
    pub(super) opened: Timestamp,
    /// The connection is over.
    pub(super) is_end: bool,
    /// Before `--since`: tracked, not counted.
    pub(super) is_before: bool,
}

/// One endpoint of a connection, as its events report it. A map has hundreds of thousands: keep it small.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) half: HalfId,
    /// Where `half` was cached last.
    pub(super) asked: AskedId,
    pub(super) id: ConnectionId,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) connect_ns: Option<NonZeroU64>,
    /// Bytes carried, if an event reported them.
    pub(super) carried: Option<Box<Carried>>,
    pub(super) addresses: Addresses,
    /// Its own address, shortened to 32 bits.
    pub(super) address: u32,
    pub(super) known: Known,
    /// Older than the run that reported it first.
    pub(super) is_existing: bool,
    /// First reported before `--since`.
    pub(super) is_older: bool,
    /// Ended before `--since`, or was gone when a later run began before that.
    pub(super) is_before: bool,
    pub(super) is_over: bool,
    /// How it ended, if an event reported that.
    pub(super) ending: Option<Ending>,
    /// Its run has ended, and no later run has found it yet.
    pub(super) is_unwatched: bool,
}

/// Bytes that an endpoint has carried until `time`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// From a `close`: final.
    is_all: bool,
    time: Timestamp,
    totals: Totals,
    /// The part carried before `--since`, which does not count.
    before: Before,
}

/// Bytes that an endpoint had carried at `--since`.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    sent_bytes: u64,
    received_bytes: u64,
    retransmits: u32,
}

impl End {
    /// Whether the process that had it from the first is known.
    pub(super) fn is_of_opener(&self) -> bool {
        !matches!(
            self.known.process,
            ProcessEvidence::Unknown | ProcessEvidence::Listener
        )
    }

    /// Whether no further event is expected.
    pub(super) fn is_done(&self) -> bool {
        self.is_over || self.is_unwatched
    }

    /// Whether it is thought to be over as a whole run did not tell of it.
    pub(super) fn is_missing(&self) -> bool {
        self.is_over && self.is_unwatched
    }

    /// Nobody watches it any more: another run begins, `is_before` what counts.
    pub(super) fn leave(&mut self, is_before: bool) {
        self.is_over = self.is_unwatched;
        self.is_unwatched = true;
        self.is_before |= is_before;
    }

    /// From its first event.
    pub(super) fn new(told: Told<'_>, addresses: Addresses) -> Self {
        let connection = &told.event.connection;
        Self {
            host: told.host,
            half: told.half,
            asked: told.asked,
            id: connection.id,
            first: told.opened,
            last: told.time,
            connect_ns: connection.connect_ns.and_then(NonZeroU64::new),
            carried: carried(told.event, told.time, told.is_end, told.is_before),
            addresses,
            address: short(connection.ends.local.ip()),
            known: known(told.event),
            is_existing: connection.existing,
            is_older: told.is_before,
            is_before: told.is_before && told.is_end,
            is_over: told.is_end,
            ending: told.is_end.then(|| Ending::of(connection)).flatten(),
            is_unwatched: false,
        }
    }

    /// Updates it from a further event. Values that the event lacks stay.
    pub(super) fn renew(&mut self, told: Told<'_>) {
        let connection = &told.event.connection;
        let new = known(told.event);
        if !(self.is_of_opener() && new.process == ProcessEvidence::Close) {
            self.known = new;
        }
        (self.half, self.asked) = (told.half, told.asked);
        self.first = self.first.min(told.opened);
        self.last = self.last.max(told.time);
        self.is_existing &= connection.existing;
        self.is_older |= told.is_before;
        // It is alive after all.
        self.is_over &= !self.is_unwatched;
        self.is_before &= !self.is_unwatched;
        self.is_before |= told.is_before && told.is_end;
        let connect_ns = connection.connect_ns.and_then(NonZeroU64::new);
        self.connect_ns = connect_ns.or(self.connect_ns);
        let carried = carried(told.event, told.time, told.is_end, told.is_before);
        self.carried = later(self.carried.take(), carried);
        self.is_unwatched = false;
        if told.is_end {
            self.is_over = true;
            self.ending = Ending::of(connection).or(self.ending);
        }
    }

    /// Updates the bytes that it has carried until `time`.
    pub(super) fn carry(&mut self, event: &ConnectionEvent, time: Timestamp, is_before: bool) {
        self.is_over &= !self.is_unwatched;
        self.is_before &= !self.is_unwatched;
        self.is_unwatched = false;
        if !is_before {
            self.last = self.last.max(time);
        }
        self.carried = later(self.carried.take(), carried(event, time, false, is_before));
    }
}

fn known(event: &ConnectionEvent) -> Known {
    Known {
        process: event.evidence.process,
        address: event.connection.translation.as_ref().map(|it| it.evidence),
    }
}

fn carried(
    event: &ConnectionEvent,
    time: Timestamp,
    is_all: bool,
    is_before: bool,
) -> Option<Box<Carried>> {
    let carried = |totals: Totals| Carried {
        is_all,
        time,
        totals,
        before: match is_before {
            true => Before {
                sent_bytes: totals.sent_bytes,
                received_bytes: totals.received_bytes,
                retransmits: totals.retransmits,
            },
            false => Before::default(),
        },
    };
    event.connection.totals.map(carried).map(Box::new)
}

/// Which of two reports of one endpoint counts, whatever their order.
fn later(one: Option<Box<Carried>>, other: Option<Box<Carried>>) -> Option<Box<Carried>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let rank = |it: &Carried| (it.is_all, it.time);
            let before = Before {
                sent_bytes: one.before.sent_bytes.max(other.before.sent_bytes),
                received_bytes: one.before.received_bytes.max(other.before.received_bytes),
                retransmits: one.before.retransmits.max(other.before.retransmits),
            };
            let mut later = match rank(&other) >= rank(&one) {
                true => other,
                false => one,
            };
            later.before = before;
            Some(later)
        }
        (one, other) => one.or(other),
    }
}

impl Carried {
    fn retransmits(&self) -> u64 {
        let before = self.before.retransmits;
        u64::from(self.totals.retransmits.saturating_sub(before))
    }
}

/// An address shortened to 32 bits: enough to compare two, not to identify one.
pub(super) fn short(address: IpAddr) -> u32 {
    let bits = match address {
        IpAddr::V4(address) => return address.to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    (0..4).fold(0, |sum, part| sum ^ (bits >> (32 * part)) as u32)
}

/// Which end is which, in the order client, server. Of two that dialled each other, the first to
/// begin counts as the client.
fn sides<'a>(ends: [Option<&'a End>; 2], halves: &Halves) -> [Option<&'a End>; 2] {
    let [first, second] = ends;
    let side = |end: Option<&End>| end.map(|end| halves.get(end.half).side);
    let begun = |end: Option<&End>| end.map(|end| (end.id.begun_ns, end.id.salt));
    match (side(first), side(second)) {
        (Some(Side::Client), Some(Side::Client)) if begun(first) <= begun(second) => {
            [first, second]
        }
        (Some(Side::Server), _) | (_, Some(Side::Client)) => [second, first],
        _ => [first, second],
    }
}

pub(super) fn link(ends: [Option<&End>; 2], halves: &Halves) -> Link {
    let [client, server] = sides(ends, halves);
    Link {
        client: client.map(|end| end.half),
        server: server.map(|end| end.half),
    }
}

/// What the client sent, and what it received. Each end counts both; the client's say counts if both are
/// known, unless the server's alone say all. What either had carried before does not count.
fn bytes(client: Option<&Carried>, server: Option<&Carried>) -> (u64, u64) {
    let from_client = client.map(|it| (it.totals.sent_bytes, it.totals.received_bytes));
    let from_server = server.map(|it| (it.totals.received_bytes, it.totals.sent_bytes));
    let is_all = |it: Option<&Carried>| it.is_some_and(|it| it.is_all);
    let all = match is_all(server) && !is_all(client) {
        true => from_server,
        false => from_client.or(from_server),
    };
    let (sent, received) = all.unwrap_or_default();
    let before_client = client.map_or((0, 0), |it| {
        (it.before.sent_bytes, it.before.received_bytes)
    });
    let before_server = server.map_or((0, 0), |it| {
        (it.before.received_bytes, it.before.sent_bytes)
    });
    (
        sent.saturating_sub(before_client.0.max(before_server.0)),
        received.saturating_sub(before_client.1.max(before_server.1)),
    )
}

/// Whether it carried nothing ever, as its ends say once it is over: that nothing is known of it is not
/// nothing, and what it carried before what counts is something.
fn is_empty(carried: [Option<&Carried>; 2]) -> bool {
    let told = || carried.into_iter().flatten();
    let has_nothing = |it: &Carried| it.totals.sent_bytes == 0 && it.totals.received_bytes == 0;
    told().any(|it| it.is_all) && told().all(has_nothing)
}

/// Whether the other end, if it is told of, may be so by who did not see it begin: a run that began meanwhile
/// gives what it finds no handshake.
fn is_found(end: &End, halves: &Halves) -> bool {
    let from = match end.is_older {
        true => Timestamp::from_ns(0),
        false => end.first,
    };
    let to = match end.is_over {
        true => end.last,
        false => Timestamp::from_ns(u64::MAX),
    };
    end.is_existing || halves.facts.listeners.began_elsewhere(end.host, [from, to])
}

/// What a connection adds, and to which halves; none if nothing of it counts.
pub(super) fn share(
    ends: [Option<&End>; 2],
    by_addresses: bool,
    halves: &Halves,
) -> Option<(Link, Share)> {
    let told = || ends.into_iter().flatten();
    // What is over for one end is over.
    if told().any(|end| end.is_before) {
        return None;
    }
    let [client, server] = sides(ends, halves);
    let carried = [client, server].map(|end| end.and_then(|end| end.carried.as_deref()));
    let [from_client, from_server] = carried;
    let (sent_bytes, received_bytes) = bytes(from_client, from_server);
    let totals = || carried.into_iter().flatten();
    let ending = Ending::of_ends([client, server].map(|end| end.and_then(|end| end.ending)));
    let share = Share {
        first: told().map(|end| end.first).min()?,
        last: told().map(|end| end.last).max()?,
        client: client.map(|end| end.known),
        server: server.map(|end| end.known),
        by_addresses,
        what: What::Connection {
            at_start: told().any(|end| end.is_older) || told().all(|end| end.is_existing),
            is_found: match ends {
                [Some(end), None] | [None, Some(end)] => is_found(end, halves),
                _ => told().all(|end| end.is_existing),
            },
            ended: told().any(|end| end.is_over) || told().all(|end| end.is_unwatched),
            ending,
            // Of what was found to be over later, nobody knows what it carried.
            is_empty: ending.is_some() && is_empty(carried),
            connect_ns: client.and_then(|end| end.connect_ns).map(NonZeroU64::get),
            rtt_ns: totals().find_map(|it| it.totals.rtt_ns),
            sent_bytes,
            received_bytes,
            retransmits: totals().map(Carried::retransmits).sum(),
        },
    };
    Some((link(ends, halves), share))
}
