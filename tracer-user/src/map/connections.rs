//! Connections that are open, or were lately: the two ends of one find each other here.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    time::Duration,
};

use foldhash::HashMap;

use super::{
    Options,
    counters::{Ending, Known, Share, What},
    coverage::Watched,
    halves::{HalfId, Halves, Link, Side},
    nodes::{HostId, Nodes},
    realms::Realms,
};
use crate::model::{
    ConnectionEvent, ConnectionId, ProcessEvidence, Timestamp, Totals, without_scope,
};

/// What an event says of one end.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) host: HostId,
    pub(super) half: HalfId,
    pub(super) event: &'a ConnectionEvent,
    pub(super) time: Timestamp,
    /// When it was opened, as far as that counts.
    pub(super) opened: Timestamp,
    /// The connection is over.
    pub(super) is_end: bool,
    /// Nothing of this counts yet, but that it is there.
    pub(super) is_before: bool,
}

/// What is known besides.
pub(super) struct Around<'a> {
    pub(super) halves: &'a mut Halves,
    pub(super) nodes: &'a Nodes,
    pub(super) realms: &'a mut Realms,
    /// The host of the end that is told of.
    pub(super) watched: &'a mut Watched,
}

/// Number of a connection; used again when it is over.
type Slot = u32;

/// One end of a connection, as its last event tells it. There are hundreds of thousands: small.
#[derive(Clone, Debug)]
struct End {
    host: HostId,
    half: HalfId,
    id: ConnectionId,
    first: Timestamp,
    last: Timestamp,
    connect_ns: Option<NonZeroU64>,
    /// What it has carried, where that was told.
    carried: Option<Box<Carried>>,
    /// Its own address, in short.
    address: u32,
    known: Known,
    /// Older than the tracer, or than what counts.
    at_start: bool,
    /// It ended before what counts.
    is_before: bool,
    is_over: bool,
    /// How it ended, where that was told.
    ending: Option<Ending>,
}

impl End {
    /// Whether the process that had it from the first is known.
    fn is_of_opener(&self) -> bool {
        !matches!(
            self.known.process,
            ProcessEvidence::Unknown | ProcessEvidence::Listener
        )
    }
}

/// What an end has carried, until then.
#[derive(Clone, Copy, Debug)]
struct Carried {
    /// It was told with its end: nothing is to come.
    is_all: bool,
    time: Timestamp,
    totals: Totals,
}

/// A connection with the ends that were told of.
#[derive(Clone, Debug)]
struct Connection {
    ends: [Option<End>; 2],
    meeting: Option<Meeting>,
    /// The halves of both ends, as they were told to belong together.
    joined: Option<(HalfId, HalfId)>,
    /// Told apart from others that had the same number.
    generation: u32,
}

/// Where the two ends of a connection meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Meeting {
    /// Made of the sequence numbers of its handshake, which only these two know.
    Handshake(u64),
    /// Of connections whose handshake nobody saw, the addresses, on one host: the lesser first.
    Ends(HostId, Box<(SocketAddr, SocketAddr)>),
}

#[derive(Debug)]
pub(super) struct Connections {
    patience: Duration,
    max_waiting: usize,
    max_connections: usize,
    slots: Vec<Option<Connection>>,
    free: Vec<Slot>,
    generation: u32,
    by_id: HashMap<(HostId, ConnectionId), Slot>,
    /// Those of which one end was told.
    meetings: HashMap<Meeting, Slot>,
    /// An end is over and waits for the other one, the first one first.
    waiting: VecDeque<(Timestamp, Slot, u32)>,
}

impl Connections {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            patience: options.patience,
            max_waiting: options.waiting,
            max_connections: options.connections,
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
            by_id: HashMap::default(),
            meetings: HashMap::default(),
            waiting: VecDeque::new(),
        }
    }

    /// The half of whoever opened the connection that another process closes, as `event` tells: it
    /// stays that one's. Whose listener it came by only stands in for whoever had it.
    pub(super) fn opener(&self, host: HostId, event: &ConnectionEvent) -> Option<HalfId> {
        if event.evidence.process != ProcessEvidence::Close {
            return None;
        }
        let id = event.connection.id;
        let slot = *self.by_id.get(&(host, id))?;
        let mut ends = self.slots[slot as usize].as_ref()?.ends.iter().flatten();
        let end = ends.find(|it| (it.host, it.id) == (host, id))?;
        end.is_of_opener().then_some(end.half)
    }

    /// Takes in what is told of an end. Returns the half at the server's end, if that is known, and
    /// whether it is the first that is told of this end.
    pub(super) fn tell(&mut self, told: Told<'_>, around: Around<'_>) -> (Option<HalfId>, bool) {
        let Around {
            halves,
            nodes,
            realms,
            watched,
        } = around;
        let connection = &told.event.connection;
        let place = (told.host, connection.id);
        let end = End {
            host: told.host,
            id: connection.id,
            half: told.half,
            address: short(connection.ends.local.ip()),
            known: Known {
                process: told.event.evidence.process,
                address: connection.translation.as_ref().map(|it| it.evidence),
            },
            first: told.opened,
            last: told.time,
            at_start: connection.existing || told.is_before,
            is_before: told.is_before && told.is_end,
            connect_ns: connection.connect_ns.and_then(NonZeroU64::new),
            carried: carried(told.event, told.time, told.is_end),
            is_over: told.is_end,
            ending: told.is_end.then(|| Ending::of(connection)).flatten(),
        };
        let known = self.by_id.get(&place).copied();
        let slot = match known {
            Some(slot) => {
                self.renew(slot, end);
                slot
            }
            None => {
                let meeting = Meeting::of(told.host, connection);
                if let Some((slot, first)) = self.partner(&meeting, &end, halves) {
                    // Each end calls the other one what that calls itself.
                    let called = |end: &End| nodes.address(halves.get(end.half).remote);
                    if let (Some(here), Some(there)) = (called(first), called(&end))
                        && (short(here.ip()), short(there.ip())) == (end.address, first.address)
                        && here.scope().or(there.scope()).is_none()
                    {
                        realms.join(first.host, end.host, here.ip());
                        realms.join(first.host, end.host, there.ip());
                    }
                    self.by_id.insert(place, slot);
                    self.meetings.remove(&meeting);
                    if let Some(ends) = self.ends_mut(slot) {
                        ends[1] = Some(end);
                    }
                    slot
                } else if self.by_id.len() < self.max_connections {
                    self.open(end, meeting)
                } else {
                    if told.is_end {
                        let share = share(&[Some(end), None], halves);
                        if let Some((link, share)) = share {
                            halves.count(link, &share);
                        }
                    } else {
                        watched.untracked += 1;
                    }
                    return (None, true);
                }
            }
        };
        (self.judge(slot, told.time, halves), known.is_none())
    }

    /// Takes in what an end has carried until `time`, if it is known and not counted for good. Returns its
    /// half then.
    pub(super) fn carry(
        &mut self,
        host: HostId,
        event: &ConnectionEvent,
        time: Timestamp,
    ) -> Option<HalfId> {
        let place = (host, event.connection.id);
        let slot = *self.by_id.get(&place)?;
        let ends = self.ends_mut(slot)?.iter_mut().flatten();
        let end = ends.into_iter().find(|end| (end.host, end.id) == place)?;
        end.last = end.last.max(time);
        end.carried = later(end.carried.take(), carried(event, time, false));
        Some(end.half)
    }

    /// Looks at a connection after something was told of it.
    fn judge(&mut self, slot: Slot, time: Timestamp, halves: &mut Halves) -> Option<HalfId> {
        let connection = self.slots[slot as usize].as_mut()?;
        let link = link(&connection.ends, halves);
        let both = link.client.zip(link.server);
        if both != connection.joined {
            connection.joined = both;
            let opened = connection.ends.iter().flatten().map(|end| end.first).min();
            if let (Some((client, server)), Some(opened)) = (both, opened) {
                halves.join(client, server, opened);
            }
        }
        let ends = connection.ends.iter().flatten();
        let (all, over) = (ends.clone().count(), ends.filter(|end| end.is_over).count());
        if over > 0 && over == all && (all == 2 || connection.meeting.is_none()) {
            self.settle(slot, halves);
        } else if over == 1 {
            // The other end may still be told of, or its end may.
            let generation = connection.generation;
            self.waiting.push_back((time, slot, generation));
            if self.waiting.len() > self.max_waiting {
                self.settle_first(halves);
            }
        }
        link.server
    }

    /// What was told before and is not told again stays.
    fn renew(&mut self, slot: Slot, end: End) {
        let Some(ends) = self.ends_mut(slot) else {
            return;
        };
        let same = |it: &&mut End| (it.host, it.id) == (end.host, end.id);
        if let Some(old) = ends.iter_mut().flatten().find(same) {
            let known = match old.is_of_opener() && end.known.process == ProcessEvidence::Close {
                true => old.known,
                false => end.known,
            };
            *old = End {
                known,
                first: old.first.min(end.first),
                last: old.last.max(end.last),
                at_start: old.at_start,
                connect_ns: end.connect_ns.or(old.connect_ns),
                carried: later(old.carried.take(), end.carried),
                is_over: old.is_over || end.is_over,
                ending: end.ending.or(old.ending),
                ..end
            };
        }
    }

    fn ends_mut(&mut self, slot: Slot) -> Option<&mut [Option<End>; 2]> {
        let connection = self.slots.get_mut(slot as usize)?.as_mut()?;
        Some(&mut connection.ends)
    }

    /// The connection whose one end is known, and that `end` is the other one of.
    fn partner(&self, meeting: &Meeting, end: &End, halves: &Halves) -> Option<(Slot, &End)> {
        let slot = *self.meetings.get(meeting)?;
        let connection = self.slots[slot as usize].as_ref()?;
        let first = connection.ends[0].as_ref()?;
        let sides = [first, end].map(|end| halves.get(end.half).side);
        let fit = match sides {
            [Side::Server, Side::Server] => false,
            // Two that dialled each other at once.
            [Side::Client, Side::Client] => matches!(meeting, Meeting::Handshake(_)),
            // Of these it is only known that they have the same addresses: both must say so.
            [Side::Unknown, Side::Unknown] => matches!(meeting, Meeting::Ends(..)),
            _ => true,
        };
        fit.then_some((slot, first))
    }

    fn open(&mut self, end: End, meeting: Meeting) -> Slot {
        self.generation = self.generation.wrapping_add(1);
        let place = (end.host, end.id);
        // An earlier one that has the same two ends is no longer waited for.
        let is_free = !self.meetings.contains_key(&meeting);
        let connection = Connection {
            ends: [Some(end), None],
            meeting: Some(meeting.clone()).filter(|_| is_free),
            joined: None,
            generation: self.generation,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(connection);
                slot
            }
            None => {
                self.slots.push(Some(connection));
                (self.slots.len() - 1) as Slot
            }
        };
        self.by_id.insert(place, slot);
        if is_free {
            self.meetings.insert(meeting, slot);
        }
        slot
    }

    /// Counts a connection for good.
    fn settle(&mut self, slot: Slot, halves: &mut Halves) {
        let Some(connection) = self.slots[slot as usize].take() else {
            return;
        };
        self.free.push(slot);
        for end in connection.ends.iter().flatten() {
            self.by_id.remove(&(end.host, end.id));
        }
        if let Some(meeting) = connection.meeting
            && self.meetings.get(&meeting) == Some(&slot)
        {
            self.meetings.remove(&meeting);
        }
        if let Some((link, share)) = share(&connection.ends, halves) {
            halves.count(link, &share);
        }
    }

    /// Those whose other end was waited for long enough are counted as they are.
    pub(super) fn expire(&mut self, now: Timestamp, halves: &mut Halves) {
        let limit = now.as_ns().saturating_sub(nanos(self.patience));
        while let Some((time, ..)) = self.waiting.front()
            && time.as_ns() < limit
        {
            self.settle_first(halves);
        }
    }

    fn settle_first(&mut self, halves: &mut Halves) {
        if let Some((_, slot, generation)) = self.waiting.pop_front()
            && let Some(connection) = &self.slots[slot as usize]
            && connection.generation == generation
        {
            self.settle(slot, halves);
        }
    }

    /// Counts those of `host` as ended: nobody watched their end.
    pub(super) fn forget(&mut self, host: HostId, halves: &mut Halves) {
        for slot in 0..self.slots.len() as Slot {
            let Some(ends) = self.ends_mut(slot) else {
                continue;
            };
            let mut left = 0;
            for end in ends.iter_mut().flatten() {
                end.is_over |= end.host == host;
                left += usize::from(!end.is_over);
            }
            if left == 0 {
                self.settle(slot, halves);
            }
        }
    }

    /// What the connections that are not counted yet would add.
    pub(super) fn shares<'a>(
        &'a self,
        halves: &'a Halves,
    ) -> impl Iterator<Item = (Link, Share)> + 'a {
        let connections = self.slots.iter().flatten();
        connections.filter_map(|connection| share(&connection.ends, halves))
    }
}

fn carried(event: &ConnectionEvent, time: Timestamp, is_all: bool) -> Option<Box<Carried>> {
    let carried = |totals| Carried {
        is_all,
        time,
        totals,
    };
    event.connection.totals.map(carried).map(Box::new)
}

/// Of two tellings of one end the one that counts, in whatever order they came.
fn later(one: Option<Box<Carried>>, other: Option<Box<Carried>>) -> Option<Box<Carried>> {
    match (one, other) {
        (Some(one), Some(other)) => {
            let rank = |it: &Carried| (it.is_all, it.time);
            Some(if rank(&other) >= rank(&one) {
                other
            } else {
                one
            })
        }
        (one, other) => one.or(other),
    }
}

impl Meeting {
    fn of(host: HostId, connection: &crate::model::Connection) -> Self {
        match connection.handshake {
            Some(handshake) => Self::Handshake(handshake),
            None => {
                let local = without_scope(connection.ends.local);
                let remote = without_scope(connection.remote());
                Self::Ends(host, Box::new((local.min(remote), local.max(remote))))
            }
        }
    }
}

/// An address in a few bits: to compare two with each other, not to tell all apart.
fn short(address: IpAddr) -> u32 {
    let bits = match address {
        IpAddr::V4(address) => return address.to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    (0..4).fold(0, |sum, part| sum ^ (bits >> (32 * part)) as u32)
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Which end is which, in the order client, server. Of two that dialled each other, the first to
/// begin counts as the client.
fn sides<'a>(ends: &'a [Option<End>; 2], halves: &Halves) -> [Option<&'a End>; 2] {
    let side = |end: &Option<End>| end.as_ref().map(|end| halves.get(end.half).side);
    let [first, second] = ends.each_ref().map(Option::as_ref);
    let begun = |end: Option<&End>| end.map(|end| (end.id.begun_ns, end.id.salt));
    match (side(&ends[0]), side(&ends[1])) {
        (Some(Side::Client), Some(Side::Client)) if begun(first) <= begun(second) => {
            [first, second]
        }
        (Some(Side::Server), _) | (_, Some(Side::Client)) => [second, first],
        _ => [first, second],
    }
}

fn link(ends: &[Option<End>; 2], halves: &Halves) -> Link {
    let [client, server] = sides(ends, halves);
    Link {
        client: client.map(|end| end.half),
        server: server.map(|end| end.half),
    }
}

/// What the client sent, and what it received, as the server's end tells.
fn from_server(carried: &Carried) -> (u64, u64) {
    (carried.totals.received_bytes, carried.totals.sent_bytes)
}

/// What a connection adds to which halves; none if nothing of it counts.
fn share(ends: &[Option<End>; 2], halves: &Halves) -> Option<(Link, Share)> {
    let told = || ends.iter().flatten();
    if told().all(|end| end.is_before) {
        return None;
    }
    let [client, server] = sides(ends, halves);
    let carried = [client, server].map(|end| end.and_then(|end| end.carried.as_deref()));
    // Each end counts what it sent and what it received; the client's say if both are known, unless
    // the server's alone say all.
    let (sent_bytes, received_bytes) = match carried {
        [Some(client), Some(server)] if server.is_all && !client.is_all => from_server(server),
        [Some(client), _] => (client.totals.sent_bytes, client.totals.received_bytes),
        [None, Some(server)] => from_server(server),
        [None, None] => (0, 0),
    };
    let totals = || carried.into_iter().flatten().map(|it| &it.totals);
    let share = Share {
        first: told().map(|end| end.first).min()?,
        last: told().map(|end| end.last).max()?,
        client: client.map(|end| end.known),
        server: server.map(|end| end.known),
        what: What::Connection {
            at_start: told().all(|end| end.at_start),
            ended: told().any(|end| end.is_over),
            ending: Ending::of_ends([client, server].map(|end| end.and_then(|end| end.ending))),
            connect_ns: client.and_then(|end| end.connect_ns).map(NonZeroU64::get),
            rtt_ns: totals().find_map(|totals| totals.rtt_ns),
            sent_bytes,
            received_bytes,
            retransmits: totals().map(|totals| u64::from(totals.retransmits)).sum(),
        },
    };
    Some((link(ends, halves), share))
}
