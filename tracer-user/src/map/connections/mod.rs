//! Connections that are open, or were lately: the two ends of one find each other here.
//!
//! A connection is over when its ends say so, however far apart they do. Only one of which a single
//! end is known, and over, is given up at some time: as a rule there is nobody at the other end to tell.

use std::collections::{VecDeque, hash_map::Entry};

use foldhash::{HashMap, HashMapExt as _, HashSet};

use super::{
    Options,
    age::Age,
    attempts::nanos,
    counters::Share,
    coverage::Watched,
    end::{End, link, share, short},
    halves::{AskedId, HalfId, Halves, Link, Side, Waiting},
    meeting::{Keys, Meeting},
    nodes::{HostId, Nodes},
    realms::Realms,
};
use crate::model::{ConnectionEvent, ConnectionId, Timestamp};

/// Of those with a single end, which is over, so many wait for the other one however long that takes.
const ALWAYS_WAITING: usize = 4096;
/// Of so many it does not matter that some are over.
const MIN_OPEN: usize = 1024;
/// Of those that were given up, so many are remembered by the client's end that was counted.
pub(super) const REMEMBERED: usize = 65_536;

/// What an event says of one end.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) host: HostId,
    pub(super) half: HalfId,
    /// Where that was found.
    pub(super) asked: AskedId,
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

/// Number of a connection; used again when it is settled.
type Slot = u32;

/// Where what is told of an end is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    slot: Slot,
    /// Which of its two; none if it is known by the number alone.
    end: Option<usize>,
}

/// A connection, told apart from those that had its number before.
type Ticket = (Slot, u32);

/// A connection with the ends that were told of.
#[derive(Clone, Debug)]
struct Connection {
    ends: [Option<End>; 2],
    /// Where its ends met, or wait for each other; none if another one waits there.
    meeting: Option<Meeting>,
    /// The halves of both ends, as they were told to belong together.
    joined: Option<(HalfId, HalfId)>,
    /// Told apart from others that had the same number, and from itself in a queue that it has left.
    generation: u32,
    is_queued: bool,
    /// Its ends were found to belong together by their addresses alone.
    by_addresses: bool,
    /// It was counted when only its client's end was known.
    is_counted: bool,
    /// By what it is known besides: other tracers and later runs give other numbers to the same end.
    also: Option<Box<Also>>,
}

#[derive(Clone, Debug, Default)]
struct Also {
    ids: Vec<(HostId, ConnectionId)>,
    meetings: Vec<Meeting>,
}

impl Connection {
    fn ends(&self) -> [Option<&End>; 2] {
        self.ends.each_ref().map(Option::as_ref)
    }

    /// Whether one of its ends is not over.
    fn is_held(&self) -> bool {
        self.ends.iter().flatten().any(|it| !it.is_over)
    }

    /// The end that is told of, where only one is.
    fn single(&self) -> Option<&End> {
        match &self.ends {
            [Some(end), None] => Some(end),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connections {
    /// Nanoseconds.
    patience: u64,
    max_waiting: usize,
    max_over: usize,
    max_connections: usize,
    keys: Keys,
    age: Age,
    slots: Vec<Option<Connection>>,
    free: Vec<Slot>,
    generation: u32,
    by_id: HashMap<(HostId, ConnectionId), Slot>,
    meetings: HashMap<Meeting, Slot>,
    /// Those that are over. They stay for a while: the same lines may come again, from another file.
    over: VecDeque<Ticket>,
    /// A single end is over and waits for the other one, the first one first; with the age at which
    /// it began to.
    waiting: VecDeque<(u64, Ticket)>,
    /// The same, by their addresses.
    waiting_at: HashMap<u64, Slot>,
    /// Those that were open when a run ended, by host and addresses.
    unwatched: HashMap<(HostId, u64), Slot>,
    /// By number of the host.
    open: Vec<Open>,
    given_up: GivenUp,
    /// How many were looked at as runs ended.
    #[cfg(test)]
    pub(super) looked_at: usize,
}

/// Connections that may have an end on one host which is not over: all that have, some that had, each at least
/// once.
#[derive(Debug)]
struct Open {
    slots: Vec<Slot>,
    /// With so many it is time to leave out those that had.
    most: usize,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            most: MIN_OPEN,
        }
    }
}

/// Where a client's end was counted without its server's.
type Counted = (Link, Option<Waiting>);

/// Client's ends that were counted without their server's.
#[derive(Debug, Default)]
struct GivenUp {
    by_meeting: HashMap<Meeting, (Counted, Timestamp, Timestamp)>,
    /// The oldest first, with when each was last told of.
    order: VecDeque<([Meeting; 2], Timestamp)>,
    /// When the youngest of which nothing is remembered was last told of.
    forgotten: Option<Timestamp>,
}

impl Connections {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            patience: nanos(options.patience),
            max_waiting: options.waiting,
            max_over: options.over,
            max_connections: options.connections,
            keys: Keys::default(),
            age: Age::default(),
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
            by_id: HashMap::default(),
            meetings: HashMap::default(),
            over: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_at: HashMap::default(),
            unwatched: HashMap::default(),
            open: Vec::new(),
            given_up: GivenUp::default(),
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Where the end is kept that `event` is about, if it is known by its number.
    pub(super) fn find(&self, host: HostId, event: &ConnectionEvent) -> Option<Kept> {
        let slot = *self.by_id.get(&(host, event.connection.id))?;
        let connection = self.slots[slot as usize].as_ref()?;
        let end = self.place_of(&connection.ends, host, event);
        Some(Kept { slot, end })
    }

    /// What was told of that end so far.
    pub(super) fn end(&self, Kept { slot, end }: Kept) -> Option<&End> {
        self.slots[slot as usize].as_ref()?.ends[end?].as_ref()
    }

    fn place_of(
        &self,
        ends: &[Option<End>; 2],
        host: HostId,
        event: &ConnectionEvent,
    ) -> Option<usize> {
        let of_host = || {
            (0..)
                .zip(ends)
                .filter_map(|(at, end)| Some((at, end.as_ref()?)))
        };
        let of_host = || of_host().filter(|(_, end)| end.host == host);
        let id = event.connection.id;
        let by_id = of_host().find(|(_, end)| end.id == id);
        let found = by_id.or_else(|| {
            let own = self.keys.addresses(host, &event.connection).own;
            of_host().find(|(_, end)| end.addresses.own == own)
        });
        found.map(|(at, _)| at)
    }

    /// Takes in what is told of an end, which is `kept` there if it is known. Returns the half at the
    /// server's end, if that is known, and whether it is the first that is told of this end.
    pub(super) fn tell(
        &mut self,
        told: Told<'_>,
        kept: Option<Kept>,
        around: Around<'_>,
    ) -> (Option<HalfId>, bool) {
        let Around {
            halves,
            nodes,
            realms,
            watched,
        } = around;
        let connection = &told.event.connection;
        if let Some(kept) = kept {
            self.renew(kept, told);
            return (self.judge(kept.slot, halves, realms, nodes), false);
        }
        let place = (told.host, connection.id);
        let addresses = self.keys.addresses(told.host, connection);
        let end = End::new(told, addresses);
        let meeting = self.keys.meeting(told.host, connection, addresses);
        let waits = self.meetings.get(&meeting).copied();
        if let Some(slot) = self.same(&end, meeting, waits) {
            self.also(slot, place, meeting);
            let ends = self.slots[slot as usize].as_ref().map(|it| &it.ends);
            let end = ends.and_then(|ends| self.place_of(ends, told.host, told.event));
            self.renew(Kept { slot, end }, told);
            return (self.judge(slot, halves, realms, nodes), false);
        }
        let slot = if let Some((slot, first)) = self.partner(meeting, waits, &end, halves) {
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
            self.leave_queue(slot);
            if let Some(connection) = &mut self.slots[slot as usize] {
                connection.by_addresses = matches!(meeting, Meeting::OnHost(_));
                connection.ends[1] = Some(end);
            }
            slot
        } else if self.by_id.len() < self.max_connections {
            let counted = self.given_up.counted(meeting, told.opened, self.patience);
            // What was given up is a client's end: another client is another connection.
            let counted = counted.filter(|_| halves.get(end.half).side == Side::Server);
            if let Some(counted) = counted {
                self.complete(counted, &end, halves);
            } else if self
                .given_up
                .may_have(halves.get(end.half).side, told.opened)
            {
                watched.recounted += 1;
            }
            // An earlier one that has the same two ends is no longer waited for.
            let slot = self.open(end, meeting, waits.is_none());
            if let Some(connection) = &mut self.slots[slot as usize] {
                connection.is_counted = counted.is_some();
            }
            slot
        } else {
            if told.is_end {
                if let Some((link, share)) = share([Some(&end), None], false, halves) {
                    halves.count(link, &share);
                }
            } else {
                watched.untracked += 1;
            }
            return (None, true);
        };
        if !told.is_end {
            self.is_open(told.host, slot);
        }
        (self.judge(slot, halves, realms, nodes), true)
    }

    /// Takes in what an end has carried until `time`, if it is known and not counted for good. Returns its
    /// half then.
    pub(super) fn carry(
        &mut self,
        host: HostId,
        event: &ConnectionEvent,
        time: Timestamp,
        is_before: bool,
    ) -> Option<HalfId> {
        let kept = self.find(host, event)?;
        self.is_found(kept);
        let end = self.end_mut(kept)?;
        let was_missing = end.is_missing();
        end.carry(event, time, is_before);
        let half = end.half;
        if !end.is_done() {
            self.goes_on(host, kept.slot, was_missing);
        }
        Some(half)
    }

    /// An end on `host` is not over, whether it `was_missing` or not.
    fn goes_on(&mut self, host: HostId, slot: Slot, was_missing: bool) {
        if was_missing {
            self.is_open(host, slot);
        }
        self.leave_queue(slot);
    }

    /// One end of that connection is on `host`, and not over.
    fn is_open(&mut self, host: HostId, slot: Slot) {
        if self.open.len() <= host.index() {
            self.open.resize_with(host.index() + 1, Open::default);
        }
        let open = &mut self.open[host.index()];
        open.slots.push(slot);
        if open.slots.len() > open.most {
            let has = |slot: &Slot| {
                let connection = self.slots[*slot as usize].as_ref();
                let mut ends = connection
                    .iter()
                    .flat_map(|it| it.ends().into_iter().flatten());
                ends.any(|end| end.host == host && !end.is_over)
            };
            open.slots.retain(has);
            open.slots.sort_unstable();
            open.slots.dedup();
            open.most = MIN_OPEN.max(2 * open.slots.len());
        }
    }

    /// That end is watched again, if it was not.
    fn is_found(&mut self, kept: Kept) {
        let place = self.end(kept).filter(|it| it.is_unwatched);
        if let Some(place) = place.map(|it| (it.host, it.addresses.own))
            && self.unwatched.get(&place) == Some(&kept.slot)
        {
            self.unwatched.remove(&place);
        }
    }

    /// Looks at a connection after something was told of it. Returns the half at the server's end.
    fn judge(
        &mut self,
        slot: Slot,
        halves: &mut Halves,
        realms: &Realms,
        nodes: &Nodes,
    ) -> Option<HalfId> {
        let connection = self.slots[slot as usize].as_mut()?;
        let link = link(connection.ends(), halves);
        let both = link.client.zip(link.server);
        if both != connection.joined {
            connection.joined = both;
            let opened = connection.ends.iter().flatten().map(|end| end.first).min();
            if let (Some((client, server)), Some(opened)) = (both, opened) {
                halves.join(client, server, opened);
            }
        }
        if connection.is_queued || !connection.ends.iter().flatten().any(|end| end.is_over) {
            return link.server;
        }
        let is_single = connection.single().is_some();
        if is_single && !connection.is_counted {
            return self.wait(slot, link, halves, realms, nodes);
        }
        if is_single || connection.ends.iter().flatten().all(End::is_done) {
            connection.is_queued = true;
            self.over.push_back((slot, connection.generation));
        }
        link.server
    }

    /// The only end of a connection that was told of is over: the other one may have been told of with
    /// another handshake, or may come. Returns the half at the server's end.
    fn wait(
        &mut self,
        slot: Slot,
        link: Link,
        halves: &mut Halves,
        realms: &Realms,
        nodes: &Nodes,
    ) -> Option<HalfId> {
        let end = self.single(slot)?;
        let shared = end.addresses.shared;
        if let Some(&other) = self.waiting_at.get(&shared)
            && let Some(first) = self.single(other)
            && fit_by_addresses([first, end], self.patience, halves, realms, nodes)
        {
            self.merge(other, slot);
            return self.judge(other, halves, realms, nodes);
        }
        let at = Meeting::Addresses(shared);
        let counted = self.given_up.counted(at, end.first, self.patience);
        let counted = counted.filter(|_| halves.get(end.half).side == Side::Server);
        if let Some(counted) = counted {
            self.complete(counted, end, halves);
        }
        let connection = self.slots[slot as usize].as_mut()?;
        connection.is_queued = true;
        let ticket = (slot, connection.generation);
        if counted.is_some() {
            connection.is_counted = true;
            self.over.push_back(ticket);
        } else {
            self.waiting_at.entry(shared).or_insert(slot);
            self.waiting.push_back((self.age.ns(), ticket));
        }
        link.server
    }

    fn single(&self, slot: Slot) -> Option<&End> {
        self.slots[slot as usize].as_ref()?.single()
    }

    fn renew(&mut self, kept: Kept, told: Told<'_>) {
        self.is_found(kept);
        let Some(end) = self.end_mut(kept) else {
            return;
        };
        let was_missing = end.is_missing();
        end.renew(told);
        if !end.is_done() {
            self.goes_on(told.host, kept.slot, was_missing);
        }
    }

    fn end_mut(&mut self, Kept { slot, end }: Kept) -> Option<&mut End> {
        self.ends_mut(slot)?[end?].as_mut()
    }

    fn ends_mut(&mut self, slot: Slot) -> Option<&mut [Option<End>; 2]> {
        let connection = self.slots.get_mut(slot as usize)?.as_mut()?;
        Some(&mut connection.ends)
    }

    /// The connection that `end` is of, as it was told under another number: by another tracer on the
    /// same host, or by an earlier run of it.
    fn same(&self, end: &End, meeting: Meeting, waits: Option<Slot>) -> Option<Slot> {
        let is_same = |it: &&End| (it.host, it.addresses.own) == (end.host, end.addresses.own);
        let find = |slot: Slot| {
            let connection = self.slots[slot as usize].as_ref()?;
            let same = connection.ends().into_iter().flatten().find(is_same)?;
            Some((connection, same))
        };
        if end.is_existing
            && let Some(&slot) = self.unwatched.get(&(end.host, end.addresses.own))
            && let Some((_, same)) = find(slot)
            && same.is_unwatched
        {
            return Some(slot);
        }
        let slot = waits?;
        let (connection, same) = find(slot)?;
        let is_one = match meeting {
            Meeting::Handshake(_) => true,
            // One at a time has these addresses.
            Meeting::OnHost(_) | Meeting::Addresses(_) => {
                !same.is_over || end.is_existing && same.is_missing() && connection.is_held()
            }
        };
        is_one.then_some(slot)
    }

    /// The connection is known by these, too. Without room it is found by its addresses again.
    fn also(&mut self, slot: Slot, place: (HostId, ConnectionId), meeting: Meeting) {
        if self.by_id.len() >= self.max_connections {
            return;
        }
        self.by_id.insert(place, slot);
        let is_new = !self.meetings.contains_key(&meeting);
        if is_new {
            self.meetings.insert(meeting, slot);
        }
        if let Some(connection) = &mut self.slots[slot as usize] {
            let also = connection.also.get_or_insert_default();
            also.ids.push(place);
            also.meetings.extend(is_new.then_some(meeting));
        }
    }

    /// The connection whose one end is known, and that `end` is the other one of.
    fn partner(
        &self,
        meeting: Meeting,
        waits: Option<Slot>,
        end: &End,
        halves: &Halves,
    ) -> Option<(Slot, &End)> {
        let slot = waits?;
        let connection = self.slots[slot as usize].as_ref()?;
        let first = connection.single().filter(|_| !connection.is_counted)?;
        let fit = match [first, end].map(|end| halves.get(end.half).side) {
            [Side::Server, Side::Server] => false,
            // Two that dialled each other at once.
            [Side::Client, Side::Client] => matches!(meeting, Meeting::Handshake(_)),
            // Of these it is only known that they have the same addresses: both must say so.
            [Side::Unknown, Side::Unknown] => !matches!(meeting, Meeting::Handshake(_)),
            _ => true,
        };
        fit.then_some((slot, first))
    }

    fn open(&mut self, end: End, meeting: Meeting, is_free: bool) -> Slot {
        self.generation = self.generation.wrapping_add(1);
        let place = (end.host, end.id);
        let connection = Connection {
            ends: [Some(end), None],
            meeting: Some(meeting).filter(|_| is_free),
            joined: None,
            generation: self.generation,
            is_queued: false,
            by_addresses: false,
            is_counted: false,
            also: None,
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

    /// Of a connection that waits for its other end, that may have been told.
    fn leave_queue(&mut self, slot: Slot) {
        if let Some(connection) = &mut self.slots[slot as usize]
            && connection.is_queued
        {
            self.generation = self.generation.wrapping_add(1);
            connection.generation = self.generation;
            connection.is_queued = false;
            if let Some(end) = connection.single() {
                let shared = end.addresses.shared;
                if self.waiting_at.get(&shared) == Some(&slot) {
                    self.waiting_at.remove(&shared);
                }
            }
        }
    }

    /// The single end of `second` is the other one of `first`.
    fn merge(&mut self, first: Slot, second: Slot) {
        self.leave_queue(first);
        let Some(gone) = self.slots[second as usize].take() else {
            return;
        };
        self.free.push(second);
        let mut also = gone.also.map_or_else(Also::default, |also| *also);
        also.meetings.extend(gone.meeting);
        for id in &also.ids {
            self.by_id.insert(*id, first);
        }
        for meeting in &also.meetings {
            self.meetings.insert(*meeting, first);
        }
        let [Some(end), _] = gone.ends else {
            return;
        };
        self.by_id.insert((end.host, end.id), first);
        if let Some(slot) = self.unwatched.get_mut(&(end.host, end.addresses.own))
            && *slot == second
        {
            *slot = first;
        }
        if let Some(connection) = &mut self.slots[first as usize] {
            let known = connection.also.get_or_insert_default();
            known.ids.append(&mut also.ids);
            known.meetings.append(&mut also.meetings);
            connection.ends[1] = Some(end);
            connection.by_addresses = true;
        }
    }

    /// The server's end of a connection of which the client's was counted.
    fn complete(&self, (link, waiting): Counted, end: &End, halves: &mut Halves) {
        if let Some(client) = link.client {
            halves.join(client, end.half, end.first);
        }
        halves.complete(link, waiting, end.half, end.known);
    }

    /// Counts a connection for good.
    fn settle(&mut self, slot: Slot, halves: &mut Halves) {
        self.leave_queue(slot);
        // It is large: nothing of it is moved.
        let Some(connection) = &self.slots[slot as usize] else {
            return;
        };
        for end in connection.ends.iter().flatten() {
            self.by_id.remove(&(end.host, end.id));
            if end.is_unwatched {
                self.unwatched.remove(&(end.host, end.addresses.own));
            }
        }
        let also = connection.also.as_deref();
        for id in also.iter().flat_map(|it| &it.ids) {
            self.by_id.remove(id);
        }
        let others = also.iter().flat_map(|it| &it.meetings);
        for meeting in connection.meeting.iter().chain(others) {
            if let Entry::Occupied(waits) = self.meetings.entry(*meeting)
                && *waits.get() == slot
            {
                waits.remove();
            }
        }
        let share = match connection.is_counted {
            true => None,
            false => share(connection.ends(), connection.by_addresses, halves),
        };
        if let Some((link, share)) = share {
            let waiting = halves.count(link, &share);
            if let Some(end) = connection.single() {
                let at = Meeting::Addresses(end.addresses.shared);
                let meetings = [connection.meeting.unwrap_or(at), at];
                let counted = (link, waiting);
                self.given_up.add(counted, meetings, [end.first, end.last]);
            }
        }
        self.slots[slot as usize] = None;
        self.free.push(slot);
    }

    /// Time goes by, as `time` of an event tells. Those whose other end was waited for long enough are
    /// counted as they are.
    pub(super) fn expire(&mut self, time: Timestamp, halves: &mut Halves) {
        let age = self.age.pass(time);
        while self.over.len() > self.max_over
            && let Some(ticket) = self.over.pop_front()
        {
            self.settle_queued(ticket, halves);
        }
        while self.waiting.len() > ALWAYS_WAITING.min(self.max_waiting)
            && let Some((since, ticket)) = self.waiting.front()
            && (self.waiting.len() > self.max_waiting || since + self.patience < age)
        {
            let ticket = *ticket;
            self.waiting.pop_front();
            self.settle_queued(ticket, halves);
        }
    }

    fn settle_queued(&mut self, (slot, generation): Ticket, halves: &mut Halves) {
        if let Some(connection) = &self.slots[slot as usize]
            && connection.generation == generation
            && connection.is_queued
        {
            self.settle(slot, halves);
        }
    }

    /// A run of the tracer on `host` is over. What was open then may be open still: the next run tells
    /// what is. What an earlier one left open, and this one did not find, is over; and so it was before what
    /// counts, if the next one began before that.
    pub(super) fn run_ends(
        &mut self,
        (host, is_before): (HostId, bool),
        halves: &mut Halves,
        realms: &Realms,
        nodes: &Nodes,
    ) {
        let open = self.open.get_mut(host.index()).map(std::mem::take);
        let mut slots = open.unwrap_or_default().slots;
        slots.sort_unstable();
        slots.dedup();
        for slot in &slots {
            let ends = self.slots[*slot as usize].as_ref().map(Connection::ends);
            let ends = ends.into_iter().flatten().flatten();
            for end in ends.filter(|it| it.host == host && it.is_unwatched) {
                self.unwatched.remove(&(host, end.addresses.own));
            }
        }
        for slot in &slots {
            let Some(ends) = self.ends_mut(*slot) else {
                continue;
            };
            let mut left = Vec::new();
            for end in ends.iter_mut().flatten() {
                if end.host == host && !end.is_over {
                    end.leave(is_before);
                    left.extend((!end.is_over).then_some((host, end.addresses.own)));
                }
            }
            for place in left {
                self.unwatched.insert(place, *slot);
                self.is_open(host, *slot);
            }
            self.judge(*slot, halves, realms, nodes);
        }
        #[cfg(test)]
        {
            self.looked_at += slots.len();
        }
    }

    /// By how many numbers ends are known.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> usize {
        self.by_id.len()
    }

    /// What the connections that are not counted yet would add.
    pub(super) fn shares(
        &self,
        halves: &Halves,
        realms: &Realms,
        nodes: &Nodes,
    ) -> Vec<(Link, Share)> {
        let partners = self.partners(halves, realms, nodes);
        let taken: HashSet<Slot> = partners.values().copied().collect();
        let mut shares = Vec::new();
        for (slot, connection) in (0..).zip(&self.slots) {
            let Some(connection) = connection.as_ref().filter(|it| !it.is_counted) else {
                continue;
            };
            if taken.contains(&slot) {
                continue;
            }
            let partner = partners.get(&slot).and_then(|slot| self.single(*slot));
            let ends = match (connection.ends(), partner) {
                ([first, None], Some(partner)) => [first, Some(partner)],
                (ends, _) => ends,
            };
            let by_addresses = connection.by_addresses || partner.is_some();
            shares.extend(share(ends, by_addresses, halves));
        }
        shares
    }

    /// Of those with a single end, which belong together by their addresses.
    fn partners(&self, halves: &Halves, realms: &Realms, nodes: &Nodes) -> HashMap<Slot, Slot> {
        let mut singles: [Vec<(Slot, &End)>; 2] = [Vec::new(), Vec::new()];
        for (slot, connection) in (0..).zip(&self.slots) {
            if let Some(connection) = connection
                && !connection.is_counted
                && let Some(end) = connection.single()
            {
                let is_client = halves.get(end.half).side == Side::Client;
                singles[usize::from(is_client)].push((slot, end));
            }
        }
        let mut partners = HashMap::new();
        if singles.iter().any(Vec::is_empty) {
            return partners;
        }
        // The fewer are looked up.
        singles.sort_by_key(Vec::len);
        let [few, many] = singles;
        let mut by_addresses: HashMap<u64, Vec<(Slot, &End)>> = HashMap::new();
        for (slot, end) in few {
            let at = by_addresses.entry(end.addresses.shared).or_default();
            at.push((slot, end));
        }
        for (slot, end) in many {
            let Some(others) = by_addresses.get_mut(&end.addresses.shared) else {
                continue;
            };
            let fit = |(_, other): &(Slot, &End)| {
                fit_by_addresses([other, end], self.patience, halves, realms, nodes)
            };
            if let Some(at) = others.iter().position(fit) {
                partners.insert(slot, others.swap_remove(at).0);
            }
        }
        partners
    }
}

impl GivenUp {
    /// The client's end that was counted, of the connection that meets there and was opened then. Others
    /// may have the same addresses later.
    fn counted(&self, meeting: Meeting, opened: Timestamp, near: u64) -> Option<Counted> {
        if self.by_meeting.is_empty() {
            return None;
        }
        let (counted, first, last) = self.by_meeting.get(&meeting)?;
        let is_sure = matches!(meeting, Meeting::Handshake(_));
        let is_within = opened.as_ns() + near >= first.as_ns() && opened <= *last;
        (is_sure || is_within).then_some(*counted)
    }

    /// Whether a connection of that age may have been counted, and nobody remembers.
    fn may_have(&self, side: Side, opened: Timestamp) -> bool {
        side == Side::Server && self.forgotten >= Some(opened)
    }

    fn add(&mut self, counted: Counted, meetings: [Meeting; 2], [first, last]: [Timestamp; 2]) {
        if counted.0.client.is_none() {
            return;
        }
        if self.order.len() >= REMEMBERED
            && let Some((oldest, told)) = self.order.pop_front()
        {
            for meeting in oldest {
                // A younger one may have the same addresses.
                if let Entry::Occupied(known) = self.by_meeting.entry(meeting)
                    && known.get().2 == told
                {
                    known.remove();
                }
            }
            self.forgotten = self.forgotten.max(Some(told));
        }
        for meeting in meetings {
            self.by_meeting.insert(meeting, (counted, first, last));
        }
        self.order.push_back((meetings, last));
    }
}

/// Whether these are the two ends of one connection, of which the addresses are the same: a firewall that
/// answers handshakes in place of the server makes two of one, and of what was there before nobody saw
/// any.
fn fit_by_addresses(
    ends: [&End; 2],
    near: u64,
    halves: &Halves,
    realms: &Realms,
    nodes: &Nodes,
) -> bool {
    let [one, other] = ends;
    let opposite = match ends.map(|end| halves.get(end.half).side) {
        [Side::Unknown, Side::Unknown] => false,
        [one, other] => one != other,
    };
    // Strangers may have the same addresses at the same time.
    let knows_same = || {
        ends.into_iter()
            .filter_map(|end| nodes.address(halves.get(end.half).remote))
            .all(|it| realms.is_shared(one.host, other.host, it.ip()))
    };
    let is_old = |end: &End| end.is_existing || end.is_older;
    let is_near =
        is_old(one) || is_old(other) || one.first.as_ns().abs_diff(other.first.as_ns()) <= near;
    let is_same = (one.host, one.addresses.own) == (other.host, other.addresses.own);
    opposite && !is_same && is_near && (one.host == other.host || knows_same())
}
