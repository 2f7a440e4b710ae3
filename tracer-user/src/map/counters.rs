//! Counters of the connections between two nodes.

use std::{collections::BTreeMap, sync::Arc};

use super::{half::Whose, histogram::Histogram, outages::Course};
use crate::model::{
    AddressEvidence, Closer, Connection, Edge, EdgeEvidence, EdgeState, Endings, History,
    LastFailure, ProcessEvidence, Reason, SeenBy, Timestamp,
};

/// Kinds of evidence of processes, in the order of the counters.
const PROCESS: [ProcessEvidence; 6] = [
    ProcessEvidence::Hook,
    ProcessEvidence::Listener,
    ProcessEvidence::Read,
    ProcessEvidence::Close,
    ProcessEvidence::Scan,
    ProcessEvidence::Unknown,
];

const ADDRESS: [AddressEvidence; 2] = [AddressEvidence::Rewrite, AddressEvidence::Conntrack];

/// How one end was reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) process: ProcessEvidence,
    pub(super) address: Option<AddressEvidence>,
}

/// What one connection, or one attempt, adds to the counters.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// As reported by the client's end, and by the server's.
    pub(super) client: Option<Known>,
    pub(super) server: Option<Known>,
    /// Its two ends were paired by address alone.
    pub(super) by_addresses: bool,
    pub(super) what: What,
}

impl Share {
    /// Whether its opening was not seen at both ends.
    pub(super) fn is_found(&self) -> bool {
        matches!(self.what, What::Connection { is_found: true, .. })
    }

    /// Whether it is a connection that received nothing.
    fn is_unanswered(&self) -> bool {
        matches!(
            self.what,
            What::Connection {
                received_bytes: 0,
                ..
            }
        )
    }
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Connection {
        at_start: bool,
        /// Its opening was not seen at both ends.
        is_found: bool,
        ended: bool,
        /// How it ended, if reported.
        ending: Option<Ending>,
        /// It is closed, and carried nothing.
        is_empty: bool,
        connect_ns: Option<u64>,
        rtt_ns: Option<u64>,
        sent_bytes: u64,
        received_bytes: u64,
        retransmits: u64,
    },
    Failure {
        reason: Reason,
        errno: Option<&'static str>,
        duration_ns: Option<u64>,
        unanswered_syns: Option<u32>,
        times: u64,
    },
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// In order, or as this end wanted it.
    Orderly,
    /// This end was reset, by the other one or on the way.
    Reset,
    /// The client reset it, as only the server's end was.
    Aborted,
    TimedOut,
    /// By another error.
    Other,
}

impl Ending {
    /// How the end that `connection` is of saw it end; none if that was not seen. Whoever closes first has
    /// what it wanted, also by a reset; that nobody answers is nobody's wish.
    pub(super) fn of(connection: &Connection) -> Option<Self> {
        Some(match (connection.errno, connection.closed_by) {
            (None, None) => return None,
            (Some("ETIMEDOUT"), _) => Self::TimedOut,
            (None, _) | (_, Some(Closer::Local)) => Self::Orderly,
            (Some("ECONNRESET" | "EPIPE"), _) => Self::Reset,
            (Some(_), _) => Self::Other,
        })
    }

    /// How a connection ended whose ends, client and server, saw it end so. The client has what it wanted if it
    /// says so; what only the server's end tells of as a reset was its client's doing.
    pub(super) fn of_ends([client, server]: [Option<Self>; 2]) -> Option<Self> {
        match (client, server) {
            (Some(Self::TimedOut), _) | (_, Some(Self::TimedOut)) => Some(Self::TimedOut),
            (Some(Self::Orderly) | None, Some(Self::Reset)) => Some(Self::Aborted),
            (Some(Self::Orderly) | None, Some(other)) => Some(other),
            (client, _) => client,
        }
    }
}

/// The counters of an edge, or of a part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    live_at_start: u64,
    established: u64,
    terminated: u64,
    sent_bytes: u64,
    received_bytes: u64,
    retransmits: u64,
    connect_ns: Histogram,
    rtt_ns: Histogram,
    seen: Option<(Timestamp, Timestamp)>,
    last_success: Option<Timestamp>,
    /// None if none did.
    failed: Option<Box<Failed>>,
    endings: Endings,
    without_payload: u64,
    /// How many ports that never served it stands for; 0 if it is of one port.
    ports: u64,
    /// Of an edge only, which is made of several of these.
    course: Option<Box<Course>>,
    client_only: u64,
    /// Connections among these that received nothing.
    unanswered: u64,
    /// Those of them whose opening was not seen at both ends.
    unmatched: u64,
    server_only: u64,
    both: u64,
    by_addresses: u64,
    client_process: [u64; PROCESS.len()],
    server_process: [u64; PROCESS.len()],
    address: [u64; ADDRESS.len()],
    /// Owners of the listening sockets that they came in by, if that is not the server: ids of nodes.
    pub(super) came_by: BTreeMap<Arc<str>, u64>,
}

/// Attempts that failed.
#[derive(Clone, Debug)]
struct Failed {
    by_reason: [u64; Reason::ALL.len()],
    last: LastFailure,
}

/// The connections among what is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) connections: u64,
    pub(super) live: u64,
    pub(super) first: Timestamp,
    /// Some were there before that.
    pub(super) was_there: bool,
    /// When the last one was opened.
    pub(super) opened: Timestamp,
    /// When one was last there, as far as that is known: the last event may have been an attempt that
    /// failed.
    pub(super) last: Timestamp,
}

impl Counters {
    pub(super) fn add(&mut self, share: &Share) {
        self.see(share.first, share.last);
        match share.what {
            What::Connection {
                at_start,
                is_found: _,
                ended,
                ending,
                is_empty,
                connect_ns,
                rtt_ns,
                sent_bytes,
                received_bytes,
                retransmits,
            } => {
                if at_start {
                    self.live_at_start += 1;
                } else {
                    self.established += 1;
                    self.last_success = self.last_success.max(Some(share.first));
                }
                self.terminated += u64::from(ended);
                self.without_payload += u64::from(is_empty);
                match ending {
                    None => {}
                    Some(Ending::Orderly) => self.endings.orderly += 1,
                    Some(Ending::Reset) => self.endings.reset += 1,
                    Some(Ending::Aborted) => self.endings.aborted += 1,
                    Some(Ending::TimedOut) => self.endings.timed_out += 1,
                    Some(Ending::Other) => self.endings.other += 1,
                }
                self.sent_bytes = self.sent_bytes.saturating_add(sent_bytes);
                self.received_bytes = self.received_bytes.saturating_add(received_bytes);
                self.retransmits = self.retransmits.saturating_add(retransmits);
                if let Some(connect_ns) = connect_ns {
                    self.connect_ns.add(connect_ns);
                }
                if let Some(rtt_ns) = rtt_ns {
                    self.rtt_ns.add(rtt_ns);
                }
            }
            What::Failure {
                reason,
                errno,
                duration_ns,
                unanswered_syns,
                times,
            } => {
                let mut failed = Failed {
                    by_reason: [0; Reason::ALL.len()],
                    last: LastFailure {
                        time: share.last,
                        reason,
                        errno,
                        duration_ns,
                        unanswered_syns,
                    },
                };
                failed.by_reason[reason as usize] = times;
                self.fail(&failed);
            }
        }
        match (share.client, share.server) {
            (Some(_), Some(_)) => self.both += 1,
            (Some(_), None) => {
                self.client_only += 1;
                self.unanswered += u64::from(share.is_unanswered());
                self.unmatched += u64::from(share.is_found());
            }
            (None, _) => self.server_only += 1,
        }
        self.by_addresses += u64::from(share.by_addresses);
        if let Some(known) = share.client {
            count(known, &mut self.client_process, &mut self.address);
        }
        if let Some(known) = share.server {
            count(known, &mut self.server_process, &mut self.address);
        }
    }

    /// Adds the server's end to a connection that was counted by its client's end. Returns whether there was one.
    pub(super) fn complete(&mut self, server: Known) -> bool {
        let has_any = self.client_only > 0;
        if has_any {
            self.client_only -= 1;
            // Whether it was one of them is not known any more.
            self.unanswered = self.unanswered.min(self.client_only);
            self.unmatched = self.unmatched.min(self.client_only);
            self.both += 1;
            count(server, &mut self.server_process, &mut self.address);
        }
        has_any
    }

    /// The same of one whose other end is known as `whose` says.
    pub(super) fn add_of(&mut self, share: &Share, whose: Whose) {
        let Whose::Listener(_) = whose else {
            return self.add(share);
        };
        let by_listener = ProcessEvidence::Listener;
        match share.server {
            Some(known) if known.process == ProcessEvidence::Unknown => self.add(&Share {
                server: Some(Known {
                    process: by_listener,
                    ..known
                }),
                ..share.clone()
            }),
            Some(_) => self.add(share),
            // That end told nothing.
            None => {
                self.add(share);
                if let Some(at) = PROCESS.iter().position(|it| *it == by_listener) {
                    self.server_process[at] += 1;
                }
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if let Some((first, last)) = other.seen {
            self.see(first, last);
        }
        self.live_at_start += other.live_at_start;
        self.established += other.established;
        self.terminated += other.terminated;
        let sums = [
            (&mut self.client_process[..], &other.client_process[..]),
            (&mut self.server_process[..], &other.server_process[..]),
            (&mut self.address[..], &other.address[..]),
        ];
        for (sums, others) in sums {
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum += other;
            }
        }
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
        self.retransmits = self.retransmits.saturating_add(other.retransmits);
        self.connect_ns.merge(&other.connect_ns);
        self.rtt_ns.merge(&other.rtt_ns);
        self.last_success = self.last_success.max(other.last_success);
        let endings = [
            (&mut self.endings.orderly, other.endings.orderly),
            (&mut self.endings.reset, other.endings.reset),
            (&mut self.endings.aborted, other.endings.aborted),
            (&mut self.endings.timed_out, other.endings.timed_out),
            (&mut self.endings.other, other.endings.other),
        ];
        for (sum, more) in endings {
            *sum += more;
        }
        self.without_payload += other.without_payload;
        // Of several servers at least one has so many.
        self.ports = self.ports.max(other.ports);
        if let Some(course) = &other.course {
            self.follow(course);
        }
        if let Some(failed) = &other.failed {
            self.fail(failed);
        }
        self.client_only += other.client_only;
        self.unanswered += other.unanswered;
        self.unmatched += other.unmatched;
        self.server_only += other.server_only;
        self.both += other.both;
        self.by_addresses += other.by_addresses;
        for (id, connections) in &other.came_by {
            *self.came_by.entry(Arc::clone(id)).or_default() += connections;
        }
    }

    /// The connections, if there were any.
    pub(super) fn used(&self) -> Option<Used> {
        let (first, seen) = self.seen?;
        let connections = self.live_at_start.saturating_add(self.established);
        let last = match self.last_failure() {
            Some(failure) if failure.time == seen => self.last_success.unwrap_or(first),
            _ => seen,
        };
        (connections > 0).then(|| Used {
            connections,
            live: connections.saturating_sub(self.terminated),
            first,
            was_there: self.live_at_start > 0,
            opened: self.last_success.unwrap_or(first),
            last,
        })
    }

    fn see(&mut self, first: Timestamp, last: Timestamp) {
        self.seen = Some(match self.seen {
            Some(seen) => (seen.0.min(first), seen.1.max(last)),
            None => (first, last),
        });
    }

    /// Of two failures of one time the greater one counts as the last, so that the order of merging does not
    /// matter.
    fn fail(&mut self, more: &Failed) {
        let order = |it: &LastFailure| {
            let LastFailure {
                time,
                reason,
                errno,
                duration_ns,
                unanswered_syns,
            } = *it;
            (time, reason, errno, duration_ns, unanswered_syns)
        };
        let Some(failed) = &mut self.failed else {
            self.failed = Some(Box::new(more.clone()));
            return;
        };
        for (sum, more) in failed.by_reason.iter_mut().zip(more.by_reason) {
            *sum += more;
        }
        if order(&failed.last) < order(&more.last) {
            failed.last = more.last;
        }
    }

    fn last_failure(&self) -> Option<LastFailure> {
        self.failed.as_ref().map(|it| it.last)
    }

    /// Adds the outages of a half.
    pub(super) fn follow(&mut self, course: &Course) {
        self.course.get_or_insert_default().merge(course);
    }

    /// Counts what `other`, of another port at which nothing served, did.
    pub(super) fn fold(&mut self, other: &Self) {
        let ports = self.ports.saturating_add(other.ports.max(1));
        self.merge(other);
        self.ports = ports;
    }

    /// Raises the number of ports that it stands for.
    pub(super) fn stands_for(&mut self, ports: u64) {
        self.ports = self.ports.max(ports);
    }

    /// How many ports it stands for; 0 if it is of one.
    pub(super) fn ports(&self) -> u64 {
        self.ports
    }

    /// Whether attempts failed and nothing ever was connected.
    pub(super) fn never_served(&self) -> bool {
        self.has_failed() && self.established == 0 && self.live_at_start == 0
    }

    /// The first and the last event.
    pub(super) fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        self.seen
    }

    /// Whether an attempt failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// The edge between these nodes; none if nothing was counted.
    pub(super) fn edge(&self, client: usize, server: usize, port: Option<u16>) -> Option<Edge> {
        let (first_seen, last_seen) = self.seen?;
        let by_reason = self.failed.iter().flat_map(|it| it.by_reason);
        let failed: BTreeMap<_, _> = Reason::ALL
            .into_iter()
            .zip(by_reason)
            .filter(|(_, count)| *count > 0)
            .collect();
        let last_failure = self.last_failure();
        let state = match &last_failure {
            None => EdgeState::Ok,
            Some(failure) if self.last_success < Some(failure.time) => EdgeState::Failed,
            Some(_) => EdgeState::Mixed,
        };
        let (stretches, cut) = match &self.course {
            Some(course) => course.stretches(),
            None => (Vec::new(), 0),
        };
        let failing = stretches.last().filter(|it| it.end.is_none());
        let failing = match (state, failing, last_failure) {
            (EdgeState::Failed, Some(it), _) => Some((it.begin, it.attempts)),
            (EdgeState::Failed, None, Some(last)) => Some((last.time, 1)),
            _ => None,
        };
        Some(Edge {
            client,
            server,
            port,
            state,
            live_at_start: self.live_at_start,
            established: self.established,
            terminated: self.terminated,
            failed,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            connect_ns: self.connect_ns.quantiles(),
            rtt_ns: self.rtt_ns.quantiles(),
            retransmits: self.retransmits,
            first_seen,
            last_seen,
            last_success: self.last_success,
            last_failure,
            failing_since: failing.map(|(since, _)| since),
            failing_times: failing.map_or(0, |(_, times)| times),
            history: History {
                stretches,
                cut,
                ended: self.endings,
                without_payload: self.without_payload,
                // With connections it is not known who dialled these.
                ports: if self.never_served() { self.ports } else { 0 },
            },
            evidence: EdgeEvidence {
                ends: match (self.both, self.client_only, self.server_only) {
                    (0, _, 0) => SeenBy::Client,
                    (0, 0, _) => SeenBy::Server,
                    _ => SeenBy::Both,
                },
                client_only: self.client_only,
                unanswered: self.unanswered,
                unmatched: self.unmatched,
                server_only: self.server_only,
                both: self.both,
                by_addresses: self.by_addresses,
                client_process: words(&self.client_process, PROCESS.map(ProcessEvidence::name)),
                server_process: words(&self.server_process, PROCESS.map(ProcessEvidence::name)),
                address: words(&self.address, ADDRESS.map(AddressEvidence::name)),
                listeners: self.came_by.clone(),
            },
        })
    }
}

fn count(known: Known, process: &mut [u64; PROCESS.len()], address: &mut [u64; ADDRESS.len()]) {
    if let Some(at) = PROCESS.iter().position(|it| *it == known.process) {
        process[at] += 1;
    }
    if let Some(at) = ADDRESS.iter().position(|it| Some(*it) == known.address) {
        address[at] += 1;
    }
}

fn words<const N: usize>(
    counts: &[u64; N],
    names: [&'static str; N],
) -> BTreeMap<&'static str, u64> {
    let pairs = names.into_iter().zip(*counts);
    pairs.filter(|(_, count)| *count > 0).collect()
}
