//! Failed attempts. One that both ends report counts once.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use super::{
    Options,
    age::Age,
    counters::{Known, Share, What},
    half::{HalfId, Link},
    halves::Halves,
    meeting::inside,
    numbers::HostId,
};
use crate::model::{ConnectionEvent, Direction, Reason, Timestamp, without_scope};

/// Client and server of an attempt, and the namespace if it is by loopback addresses.
type Ends = (Option<(HostId, u32)>, SocketAddr, SocketAddr);

/// An attempt as one end reports it.
#[derive(Clone, Copy, Debug)]
struct Failed {
    half: HalfId,
    known: Known,
    first: Timestamp,
    last: Timestamp,
    reason: Reason,
    errno: Option<&'static str>,
    duration_ns: Option<u64>,
    unanswered_syns: Option<u32>,
    times: u64,
}

/// An attempt with the reports of its ends.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    client: Option<Failed>,
    server: Option<Failed>,
    /// The client connected in the end.
    connected: Option<(HalfId, Known)>,
    /// A translation changed the client's address.
    by_addresses: bool,
}

#[derive(Debug)]
pub(super) struct Attempts {
    /// Nanoseconds.
    patience: u64,
    max_waiting: usize,
    age: Age,
    /// Attempts that the other end may still report.
    open: HashMap<Ends, Attempt>,
    /// The same, the oldest first, with the age at which each began to wait.
    waiting: VecDeque<(u64, Ends)>,
    /// Attempts that have waited long enough, which the other end may have reported with another address of the
    /// client.
    alone: Alone,
}

/// Attempts that one end reported, by the server's address and by that end: a flood from one side is not searched
/// for each of its attempts.
#[derive(Clone, Debug, Default)]
struct Alone {
    by_end: HashMap<(SocketAddr, bool), VecDeque<(u64, Attempt)>>,
    /// The same, the oldest first.
    waiting: VecDeque<(u64, (SocketAddr, bool))>,
}

impl Attempts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            patience: nanos(options.patience),
            max_waiting: options.waiting,
            age: Age::default(),
            open: HashMap::default(),
            waiting: VecDeque::new(),
            alone: Alone::default(),
        }
    }

    /// One end reports that an attempt failed. Returns whether this is its first report.
    pub(super) fn failed(
        &mut self,
        host: HostId,
        event: &ConnectionEvent,
        half: HalfId,
        is_client: bool,
        time: Timestamp,
        halves: &mut Halves,
    ) -> bool {
        let Some(failure) = &event.failure else {
            return false;
        };
        let failed = Failed {
            half,
            known: known(event),
            first: time,
            last: time,
            reason: failure.reason,
            errno: failure.errno,
            duration_ns: event.connection.duration_ns,
            unanswered_syns: failure.unanswered_syns,
            times: 1,
        };
        let mut attempt = Attempt::default();
        match is_client {
            true => attempt.client = Some(failed),
            false => attempt.server = Some(failed),
        }
        let ends = ends(host, event);
        if ends.1.port() == 0 {
            // No SYN left, so the other end cannot report it.
            count(&attempt, halves);
            return true;
        }
        if let Some(attempt) = self.open.get_mut(&ends) {
            let side = match is_client {
                true => &mut attempt.client,
                false => &mut attempt.server,
            };
            match side {
                // A repeated line.
                Some(told) if is_client && told.last == time => return false,
                // A retransmitted SYN is refused again.
                Some(told) if !is_client && told.reason == failed.reason => {
                    let is_new = told.last != time;
                    if is_new {
                        told.times += 1;
                        told.first = told.first.min(time);
                        told.last = told.last.max(time);
                    }
                    return is_new;
                }
                Some(_) => self.give_up(ends, halves),
                None => {
                    *side = Some(failed);
                    return true;
                }
            }
        }
        self.open.insert(ends, attempt);
        self.waiting.push_back((self.age.ns(), ends));
        if self.waiting.len() > self.max_waiting {
            self.give_up_first(halves);
        }
        true
    }

    /// The client of `event` has connected: earlier refusals by its server were of the same attempt.
    pub(super) fn succeeded(
        &mut self,
        host: HostId,
        event: &ConnectionEvent,
        half: HalfId,
        server: Option<HalfId>,
        halves: &mut Halves,
    ) {
        if self.open.is_empty() {
            return;
        }
        let ends = ends(host, event);
        if let Some(attempt) = self.open.get_mut(&ends)
            && attempt.client.is_none()
        {
            attempt.connected = Some((half, known(event)));
            if let (Some(server), Some(told)) = (server, &mut attempt.server) {
                told.half = server;
            }
            if let Some(attempt) = self.open.remove(&ends) {
                count(&attempt, halves);
            }
        }
    }

    pub(super) fn expire(&mut self, time: Timestamp, halves: &mut Halves) {
        let age = self.age.pass(time);
        while let Some((since, _)) = self.waiting.front()
            && since + self.patience < age
        {
            self.give_up_first(halves);
        }
        while let Some((since, end)) = self.alone.waiting.front()
            && (since + self.patience < age || self.alone.waiting.len() > self.max_waiting)
        {
            let (since, end) = (*since, *end);
            self.alone.waiting.pop_front();
            if let Some(attempt) = self.alone.take(end, |it| it.0 == since) {
                count(&attempt, halves);
            }
        }
    }

    fn give_up_first(&mut self, halves: &mut Halves) {
        if let Some((_, ends)) = self.waiting.pop_front() {
            self.give_up(ends, halves);
        }
    }

    /// Stops waiting for a report with these addresses.
    fn give_up(&mut self, ends: Ends, halves: &mut Halves) {
        if let Some(attempt) = self.open.remove(&ends)
            && let Some(attempt) = self.alone.meet(ends, attempt, self.age.ns(), self.patience)
        {
            count(&attempt, halves);
        }
    }

    /// What the attempts that still wait would add.
    pub(super) fn shares(&self) -> Vec<(Link, Share)> {
        if self.open.is_empty() && self.alone.waiting.is_empty() {
            return Vec::new();
        }
        let mut alone = self.alone.clone();
        let mut open: Vec<_> = self.open.iter().collect();
        // In a fixed order, so that the result does not depend on that of the map.
        open.sort_by_key(|(ends, attempt)| (attempt.first(), **ends));
        let mut shares = Vec::new();
        for (ends, attempt) in open {
            let attempt = alone.meet(*ends, *attempt, self.age.ns(), self.patience);
            shares.extend(attempt.as_ref().and_then(share));
        }
        let left = alone.by_end.values().flatten();
        shares.extend(left.filter_map(|(_, attempt)| share(attempt)));
        shares
    }
}

impl Attempt {
    fn first(&self) -> Option<Timestamp> {
        let told = self.client.iter().chain(&self.server);
        told.map(|it| it.first).min()
    }
}

impl Alone {
    /// Makes one of an attempt and the one that its other end told of with another address of the client
    /// (something translated it on the way): the same server, at the same time, and no other end of
    /// either. Returns what is to be counted; none if it waits for its other end.
    fn meet(&mut self, ends: Ends, attempt: Attempt, age: u64, near: u64) -> Option<Attempt> {
        let (inside, client, server) = ends;
        if attempt.connected.is_some()
            || attempt.client.is_some() == attempt.server.is_some()
            || inside.is_some()
            || client.ip().is_loopback()
        {
            return Some(attempt);
        }
        let time = |it: &Attempt| it.first().map_or(0, Timestamp::as_ns);
        let fits = |other: &Attempt| time(other).abs_diff(time(&attempt)) <= near;
        let is_client = attempt.client.is_some();
        if let Some(other) = self.take((server, !is_client), |(_, other)| fits(other)) {
            return Some(Attempt {
                client: attempt.client.or(other.client),
                server: attempt.server.or(other.server),
                by_addresses: true,
                ..attempt
            });
        }
        let end = (server, is_client);
        self.by_end
            .entry(end)
            .or_default()
            .push_back((age, attempt));
        self.waiting.push_back((age, end));
        None
    }

    /// Removes the first attempt of that end that matches.
    fn take(
        &mut self,
        end: (SocketAddr, bool),
        is: impl Fn(&(u64, Attempt)) -> bool,
    ) -> Option<Attempt> {
        let attempts = self.by_end.get_mut(&end)?;
        let at = attempts.iter().position(is)?;
        let (_, attempt) = attempts.remove(at)?;
        if attempts.is_empty() {
            self.by_end.remove(&end);
        }
        Some(attempt)
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn count(attempt: &Attempt, halves: &mut Halves) {
    if let Some((link, share)) = share(attempt) {
        halves.count(link, &share);
    }
}

/// What an attempt adds, and to which halves. The reason is the client's, if it reported one.
fn share(attempt: &Attempt) -> Option<(Link, Share)> {
    let told = attempt.client.or(attempt.server)?;
    let (client, client_known) = match (attempt.client, attempt.connected) {
        (Some(failed), _) => (Some(failed.half), Some(failed.known)),
        (None, Some((half, known))) => (Some(half), Some(known)),
        (None, None) => (None, None),
    };
    let link = Link {
        client,
        server: attempt.server.map(|it| it.half),
    };
    let share = Share {
        first: told.first,
        last: told.last,
        client: client_known,
        server: attempt.server.map(|it| it.known),
        by_addresses: attempt.by_addresses,
        what: What::Failure {
            reason: told.reason,
            errno: told.errno,
            duration_ns: told.duration_ns,
            unanswered_syns: told.unanswered_syns,
            times: told.times,
        },
    };
    Some((link, share))
}

fn known(event: &ConnectionEvent) -> Known {
    Known {
        process: event.evidence.process,
        address: event.connection.translation.as_ref().map(|it| it.evidence),
    }
}

fn ends(host: HostId, event: &ConnectionEvent) -> Ends {
    let connection = &event.connection;
    let local = without_scope(connection.ends.local);
    let remote = without_scope(connection.remote());
    let inside = inside(host, connection);
    match connection.direction {
        Some(Direction::Inbound) => (inside, remote, local),
        _ => (inside, local, remote),
    }
}
