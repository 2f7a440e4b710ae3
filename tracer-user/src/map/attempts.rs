//! Attempts that failed: where both ends tell of one, it is one.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use super::{
    Options,
    connections::nanos,
    counters::{Known, Share, What},
    halves::{HalfId, Halves, Link},
};
use crate::model::{ConnectionEvent, Direction, Reason, Timestamp, without_scope};

/// Client and server of an attempt. In network namespaces that use the same addresses two
/// attempts may have the same ends at the same moment: they are then taken for one.
type Ends = (SocketAddr, SocketAddr);

/// What one end told.
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

/// An attempt with what its ends told.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    client: Option<Failed>,
    server: Option<Failed>,
    /// The client came through in the end.
    connected: Option<(HalfId, Known)>,
}

#[derive(Debug)]
pub(super) struct Attempts {
    patience: Duration,
    max_waiting: usize,
    /// Those that the other end may still tell of.
    open: HashMap<Ends, Attempt>,
    /// The same, the oldest first.
    waiting: VecDeque<(Timestamp, Ends)>,
}

impl Attempts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            patience: options.patience,
            max_waiting: options.waiting,
            open: HashMap::default(),
            waiting: VecDeque::new(),
        }
    }

    /// An attempt failed, as one of its ends tells.
    pub(super) fn failed(
        &mut self,
        event: &ConnectionEvent,
        half: HalfId,
        is_client: bool,
        time: Timestamp,
        halves: &mut Halves,
    ) {
        let Some(failure) = &event.failure else {
            return;
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
        let ends = ends(event);
        if ends.0.port() == 0 {
            // It never had an end of its own, so the other end cannot know of it.
            count(
                &Attempt {
                    client: Some(failed),
                    ..Attempt::default()
                },
                halves,
            );
            return;
        }
        if let Some(attempt) = self.open.get_mut(&ends) {
            let side = match is_client {
                true => &mut attempt.client,
                false => &mut attempt.server,
            };
            match side {
                // The same SYN, sent again, is turned away again.
                Some(told) if !is_client && told.reason == failed.reason => {
                    told.times += 1;
                    told.last = time;
                    return;
                }
                Some(_) => self.settle(ends, halves),
                None => {
                    *side = Some(failed);
                    return;
                }
            }
        }
        let mut attempt = Attempt::default();
        match is_client {
            true => attempt.client = Some(failed),
            false => attempt.server = Some(failed),
        }
        self.open.insert(ends, attempt);
        self.waiting.push_back((time, ends));
        if self.waiting.len() > self.max_waiting {
            self.settle_first(halves);
        }
    }

    /// The client of `event` is connected: what its server turned away before was of that attempt.
    pub(super) fn succeeded(
        &mut self,
        event: &ConnectionEvent,
        half: HalfId,
        server: Option<HalfId>,
        halves: &mut Halves,
    ) {
        if self.open.is_empty() {
            return;
        }
        let ends = ends(event);
        if let Some(attempt) = self.open.get_mut(&ends)
            && attempt.client.is_none()
        {
            attempt.connected = Some((half, known(event)));
            if let (Some(server), Some(told)) = (server, &mut attempt.server) {
                told.half = server;
            }
            self.settle(ends, halves);
        }
    }

    pub(super) fn expire(&mut self, now: Timestamp, halves: &mut Halves) {
        let limit = now.as_ns().saturating_sub(nanos(self.patience));
        while let Some((time, _)) = self.waiting.front()
            && time.as_ns() < limit
        {
            self.settle_first(halves);
        }
    }

    fn settle_first(&mut self, halves: &mut Halves) {
        if let Some((_, ends)) = self.waiting.pop_front() {
            self.settle(ends, halves);
        }
    }

    fn settle(&mut self, ends: Ends, halves: &mut Halves) {
        if let Some(attempt) = self.open.remove(&ends) {
            count(&attempt, halves);
        }
    }

    /// What the attempts that are not counted yet would add.
    pub(super) fn shares(&self) -> impl Iterator<Item = (Link, Share)> {
        self.open.values().filter_map(share)
    }
}

fn count(attempt: &Attempt, halves: &mut Halves) {
    if let Some((link, share)) = share(attempt) {
        halves.count(link, &share);
    }
}

/// What an attempt adds to which halves. The client knows best why it failed.
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

fn ends(event: &ConnectionEvent) -> Ends {
    let connection = &event.connection;
    let local = without_scope(connection.ends.local);
    let remote = without_scope(connection.remote());
    match connection.direction {
        Some(Direction::Inbound) => (remote, local),
        _ => (local, remote),
    }
}
