//! What is counted of the connections between two nodes.

use std::{collections::BTreeMap, sync::Arc};

use super::{facts::Whose, histogram::Histogram};
use crate::model::{
    AddressEvidence, Edge, EdgeEvidence, EdgeState, LastFailure, ProcessEvidence, Reason, SeenBy,
    Timestamp,
};

/// What processes are known by, in the order of the counters.
const PROCESS: [ProcessEvidence; 6] = [
    ProcessEvidence::Hook,
    ProcessEvidence::Listener,
    ProcessEvidence::Read,
    ProcessEvidence::Close,
    ProcessEvidence::Scan,
    ProcessEvidence::Unknown,
];

const ADDRESS: [AddressEvidence; 2] = [AddressEvidence::Rewrite, AddressEvidence::Conntrack];

/// How one end was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) process: ProcessEvidence,
    pub(super) address: Option<AddressEvidence>,
}

/// What one connection, or one attempt, adds.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// What the end that dialled tells, and the one that was dialled.
    pub(super) client: Option<Known>,
    pub(super) server: Option<Known>,
    /// Its two ends are known to belong together by their addresses alone.
    pub(super) by_addresses: bool,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Connection {
        at_start: bool,
        ended: bool,
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

/// That all attempts fail.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// The first failure after the last success, as far as it was told in order.
    since: Timestamp,
    /// How many there were since then, likewise.
    times: u64,
}

impl Failing {
    fn and(self, other: Self) -> Self {
        Self {
            since: self.since.min(other.since),
            times: self.times.saturating_add(other.times),
        }
    }
}

/// All of one edge, or of a part of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    live_at_start: u64,
    established: u64,
    terminated: u64,
    failed: [u64; Reason::ALL.len()],
    sent_bytes: u64,
    received_bytes: u64,
    retransmits: u64,
    connect_ns: Histogram,
    rtt_ns: Histogram,
    seen: Option<(Timestamp, Timestamp)>,
    last_success: Option<Timestamp>,
    last_failure: Option<LastFailure>,
    failing: Option<Failing>,
    client_only: u64,
    server_only: u64,
    both: u64,
    by_addresses: u64,
    client_process: [u64; PROCESS.len()],
    server_process: [u64; PROCESS.len()],
    address: [u64; ADDRESS.len()],
    /// By whose listening socket they came in, where that is not who served them: ids of nodes.
    pub(super) came_by: BTreeMap<Arc<str>, u64>,
}

/// The connections among what is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) connections: u64,
    pub(super) live: u64,
    pub(super) first: Timestamp,
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
                ended,
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
                    self.failing = self.failing_after(self.last_success);
                }
                self.terminated += u64::from(ended);
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
                self.failed[reason as usize] += times;
                self.fail(LastFailure {
                    time: share.last,
                    reason,
                    errno,
                    duration_ns,
                    unanswered_syns,
                });
                if self
                    .last_success
                    .is_none_or(|success| success < share.first)
                {
                    let since = share.first;
                    let this = Failing { since, times };
                    self.failing = Some(self.failing.map_or(this, |it| it.and(this)));
                }
            }
        }
        match (share.client, share.server) {
            (Some(_), Some(_)) => self.both += 1,
            (Some(_), None) => self.client_only += 1,
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

    /// Of what was counted by its client's end alone, the server's end is told of, too. Returns whether
    /// there was such.
    pub(super) fn complete(&mut self, server: Known) -> bool {
        let has_any = self.client_only > 0;
        if has_any {
            self.client_only -= 1;
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
            (&mut self.failed[..], &other.failed[..]),
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
        let success = self.last_success.max(other.last_success);
        let failing = (self.failing_after(success), other.failing_after(success));
        self.failing = match failing {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        self.last_success = success;
        if let Some(failure) = other.last_failure {
            self.fail(failure);
        }
        self.client_only += other.client_only;
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
        let last = match self.last_failure {
            Some(failure) if failure.time == seen => self.last_success.unwrap_or(first),
            _ => seen,
        };
        (connections > 0).then(|| Used {
            connections,
            live: connections.saturating_sub(self.terminated),
            first,
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

    /// Of two failures of one time it is the greater one that counts as the last, so that it does
    /// not matter in which order parts are merged.
    fn fail(&mut self, failure: LastFailure) {
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
        if self
            .last_failure
            .is_none_or(|last| order(&last) < order(&failure))
        {
            self.last_failure = Some(failure);
        }
    }

    /// What is left of the failures after a `success`.
    fn failing_after(&self, success: Option<Timestamp>) -> Option<Failing> {
        let failing = self.failing?;
        if Some(failing.since) > success {
            return Some(failing);
        }
        // Which one was the first after it is no longer known, if there is one.
        let last = self.last_failure.filter(|it| Some(it.time) > success)?;
        Some(Failing {
            since: last.time,
            times: 1,
        })
    }

    /// The first and the last event.
    pub(super) fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        self.seen
    }

    /// Whether an attempt failed.
    pub(super) fn has_failed(&self) -> bool {
        self.last_failure.is_some()
    }

    /// The edge between these nodes; none if nothing was counted.
    pub(super) fn edge(&self, client: usize, server: usize, port: Option<u16>) -> Option<Edge> {
        let (first_seen, last_seen) = self.seen?;
        let failed: BTreeMap<_, _> = Reason::ALL
            .into_iter()
            .zip(self.failed)
            .filter(|(_, count)| *count > 0)
            .collect();
        let state = match &self.last_failure {
            None => EdgeState::Ok,
            Some(failure) if self.last_success < Some(failure.time) => EdgeState::Failed,
            Some(_) => EdgeState::Mixed,
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
            last_failure: self.last_failure,
            failing_since: self.failing.map(|it| it.since),
            failing_times: self.failing.map_or(0, |it| it.times),
            evidence: EdgeEvidence {
                ends: match (self.both, self.client_only, self.server_only) {
                    (0, _, 0) => SeenBy::Client,
                    (0, 0, _) => SeenBy::Server,
                    _ => SeenBy::Both,
                },
                client_only: self.client_only,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_ns(second * 1_000_000_000)
    }

    fn told(shares: &[(u64, u64)]) -> Counters {
        let mut counters = Counters::default();
        for (second, failures) in shares {
            counters.add(&Share {
                first: at(*second),
                last: at(*second),
                client: None,
                server: None,
                by_addresses: false,
                what: match failures {
                    0 => What::Connection {
                        at_start: false,
                        ended: true,
                        connect_ns: None,
                        rtt_ns: None,
                        sent_bytes: 0,
                        received_bytes: 0,
                        retransmits: 0,
                    },
                    times => What::Failure {
                        reason: Reason::Refused,
                        errno: None,
                        duration_ns: None,
                        unanswered_syns: None,
                        times: *times,
                    },
                },
            });
        }
        counters
    }

    fn failing(counters: &Counters) -> Option<(Timestamp, u64)> {
        let edge = counters.edge(0, 1, Some(80)).expect("something was told");
        edge.failing_since.map(|since| (since, edge.failing_times))
    }

    #[test]
    fn what_fails_is_counted_from_the_first_failure_after_the_last_success() {
        assert_eq!(failing(&told(&[(1, 0)])), None);
        assert_eq!(failing(&told(&[(1, 5), (2, 0)])), None);
        let outage = told(&[(1, 1_000), (2, 0), (3, 2), (4, 1)]);
        assert_eq!(failing(&outage), Some((at(3), 3)));
        // What is told late counts for the time in which it happened.
        assert_eq!(failing(&told(&[(3, 2), (2, 0), (1, 7)])), Some((at(3), 2)));
    }

    #[test]
    fn parts_of_an_edge_fail_together() {
        let parts = [
            told(&[(1, 9), (5, 0), (6, 2)]),
            told(&[(2, 4), (4, 0), (7, 3)]),
            told(&[(8, 1)]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut all = Counters::default();
            order.iter().for_each(|at| all.merge(&parts[*at]));
            assert_eq!(failing(&all), Some((at(6), 6)), "{order:?}");
        }
        // A success in one part ends what failed in another.
        let mut all = told(&[(1, 3), (2, 4)]);
        all.merge(&told(&[(9, 0)]));
        assert_eq!(failing(&all), None);
    }
}
