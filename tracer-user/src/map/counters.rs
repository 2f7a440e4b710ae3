//! What is counted of the connections between two nodes.

use std::collections::BTreeMap;

use super::histogram::Histogram;
use crate::model::{
    AddressEvidence, Edge, EdgeEvidence, EdgeState, LastFailure, ProcessEvidence, Reason, SeenBy,
    Timestamp,
};

/// What processes are known by, in the order of the counters.
const PROCESS: [ProcessEvidence; 5] = [
    ProcessEvidence::Hook,
    ProcessEvidence::Listener,
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
        times: u64,
    },
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
    /// The first failure after the last success, as far as it was told in order.
    failing_since: Option<Timestamp>,
    client_only: u64,
    server_only: u64,
    both: u64,
    client_process: [u64; PROCESS.len()],
    server_process: [u64; PROCESS.len()],
    address: [u64; ADDRESS.len()],
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
                    self.forget_failures_before_success();
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
                times,
            } => {
                self.failed[reason as usize] += times;
                self.fail(LastFailure {
                    time: share.last,
                    reason,
                    errno,
                });
                self.fails_since(Some(share.first));
            }
        }
        match (share.client, share.server) {
            (Some(_), Some(_)) => self.both += 1,
            (Some(_), None) => self.client_only += 1,
            (None, _) => self.server_only += 1,
        }
        for (known, process) in [
            (share.client, &mut self.client_process),
            (share.server, &mut self.server_process),
        ] {
            if let Some(known) = known {
                if let Some(at) = PROCESS.iter().position(|it| *it == known.process) {
                    process[at] += 1;
                }
                if let Some(at) = ADDRESS.iter().position(|it| Some(*it) == known.address) {
                    self.address[at] += 1;
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
        self.last_success = self.last_success.max(other.last_success);
        if let Some(failure) = other.last_failure {
            self.fail(failure);
        }
        self.fails_since(other.failing_since);
        self.forget_failures_before_success();
        self.client_only += other.client_only;
        self.server_only += other.server_only;
        self.both += other.both;
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
        let order = |it: &LastFailure| (it.time, it.reason, it.errno);
        if self
            .last_failure
            .is_none_or(|last| order(&last) < order(&failure))
        {
            self.last_failure = Some(failure);
        }
    }

    fn fails_since(&mut self, time: Option<Timestamp>) {
        if let Some(time) = time
            && self.last_success.is_none_or(|success| success < time)
        {
            self.failing_since = Some(self.failing_since.map_or(time, |since| since.min(time)));
        }
    }

    fn forget_failures_before_success(&mut self) {
        let Some(success) = self.last_success else {
            return;
        };
        if self.failing_since.is_some_and(|since| since <= success) {
            // Which one was the first after it is no longer known, if there is one.
            let last = self.last_failure.map(|it| it.time);
            self.failing_since = last.filter(|time| *time > success);
        }
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
            failing_since: self.failing_since,
            evidence: EdgeEvidence {
                ends: match (self.both, self.client_only, self.server_only) {
                    (0, _, 0) => SeenBy::Client,
                    (0, 0, _) => SeenBy::Server,
                    _ => SeenBy::Both,
                },
                client_only: self.client_only,
                server_only: self.server_only,
                both: self.both,
                client_process: words(&self.client_process, PROCESS.map(ProcessEvidence::name)),
                server_process: words(&self.server_process, PROCESS.map(ProcessEvidence::name)),
                address: words(&self.address, ADDRESS.map(AddressEvidence::name)),
            },
        })
    }
}

fn words<const N: usize>(
    counts: &[u64; N],
    names: [&'static str; N],
) -> BTreeMap<&'static str, u64> {
    let pairs = names.into_iter().zip(*counts);
    pairs.filter(|(_, count)| *count > 0).collect()
}
