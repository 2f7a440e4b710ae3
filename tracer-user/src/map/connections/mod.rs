//! Tracks connections that are open or closed lately, and pairs their two endpoints.
//!
//! A connection is over when both endpoints have reported their `close`, however far apart. If only one endpoint is
//! known and closed, it waits for a bounded time: usually no tracer runs at the other end.

mod connection;
mod given_up;
mod open;
mod partners;

use std::collections::{VecDeque, hash_map::Entry};

use foldhash::{HashMap, HashSet};

use self::{
    connection::{Also, Connection, Slot, Ticket},
    given_up::{Counted, GivenUp},
    open::Open,
    partners::fit_by_addresses,
};
use super::{
    Options,
    age::Age,
    attempts::nanos,
    counters::Share,
    coverage::Watched,
    end::{End, Told, link, share, short},
    half::{HalfId, Link, Side},
    halves::Halves,
    meeting::{Keys, Meeting},
    nodes::Nodes,
    numbers::HostId,
    realms::Realms,
};
use crate::model::{ConnectionEvent, ConnectionId, Timestamp};

pub(super) use connection::Kept;

/// This many closed connections with one known endpoint wait for the other one without a time limit.
const ALWAYS_WAITING: usize = 4096;

/// The other tables of the map.
pub(super) struct Around<'a> {
    pub(super) halves: &'a mut Halves,
    pub(super) nodes: &'a Nodes,
    pub(super) realms: &'a mut Realms,
    /// Coverage of the host that reports the event.
    pub(super) watched: &'a mut Watched,
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
    /// Closed ones, kept for a while: another recording may repeat the same lines.
    over: VecDeque<Ticket>,
    /// Closed ones that wait for their other endpoint, in order, with the age at which they began to wait.
    waiting: VecDeque<(u64, Ticket)>,
    /// The same by addresses.
    waiting_at: HashMap<u64, Slot>,
    /// Open ones whose run has ended, by host and addresses.
    unwatched: HashMap<(HostId, u64), Slot>,
    /// By number of the host.
    open: Vec<Open>,
    given_up: GivenUp,
    /// How many were looked at as runs ended.
    #[cfg(test)]
    pub(super) looked_at: usize,
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

    /// Where the endpoint that `event` is about is stored, if its id is known.
    pub(super) fn find(&self, host: HostId, event: &ConnectionEvent) -> Option<Kept> {
        let slot = *self.by_id.get(&(host, event.connection.id))?;
        let connection = self.slots[slot as usize].as_ref()?;
        let end = self.place_of(&connection.ends, host, event);
        Some(Kept { slot, end })
    }

    /// The endpoint stored there.
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

    /// Adds an event of an endpoint, which is stored at `kept` if it is known. Returns the server's half, if
    /// known, and whether this is the first event of the endpoint.
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
            // Each end dialled or sees the other by its own address: no translation between them.
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
            // A client's end was given up: a second client's end is another connection.
            let counted = counted.filter(|_| halves.get(end.half).side == Side::Server);
            if let Some(counted) = counted {
                self.complete(counted, &end, halves);
            } else if self
                .given_up
                .may_have(halves.get(end.half).side, told.opened)
            {
                watched.recounted += 1;
            }
            // An earlier connection of the same addresses stops waiting.
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

    /// Adds the bytes that an endpoint has carried until `time`, if it is tracked. Returns its half.
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

    /// Updates the state of a connection after an event. Returns the server's half.
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

    /// The only known endpoint has closed: pairs it by addresses, or queues it until the other endpoint is
    /// reported. Returns the server's half.
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

    /// Adds further keys of a connection. If the table is full, it can still be found by its addresses.
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

    /// Takes a connection out of its queue.
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

    /// Merges `second` into `first`: each has one endpoint of the same connection.
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

    /// Adds the server's end to a connection that was counted by its client's end.
    fn complete(&self, (link, waiting): Counted, end: &End, halves: &mut Halves) {
        if let Some(client) = link.client {
            halves.join(client, end.half, end.first);
        }
        halves.complete(link, waiting, end.half, end.known);
    }

    /// Counts a connection and forgets it.
    fn settle(&mut self, slot: Slot, halves: &mut Halves) {
        self.leave_queue(slot);
        // Borrow it: the struct is large.
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

    /// Advances the clock to the `time` of an event. Counts connections that have waited long enough.
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

    /// How many ids are in the table.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> usize {
        self.by_id.len()
    }

    /// What the connections that are still tracked would add.
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
}
