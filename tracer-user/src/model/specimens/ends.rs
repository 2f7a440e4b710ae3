//! One end of a connection, and the events that tell of it.

use std::{net::SocketAddr, sync::Arc};

use super::{at_exactly, blank};
use crate::model::{
    Body, Closer, Connection, ConnectionEvent, ConnectionId, Direction, DirectionEvidence, Ends,
    Event, Evidence, Failure, Host, Phase, Process, ProcessEvidence, Reason, Totals, Workload,
    WorkloadKind,
};

/// A process of root in a unit of systemd.
pub(crate) fn unit(name: &str, pid: u32) -> Arc<Process> {
    let workload = Workload {
        unit: Some(name.into()),
        ..blank::workload(WorkloadKind::Systemd, name)
    };
    Arc::new(Process {
        workload: Some(Arc::new(workload)),
        uid: Some(0),
        started: Some(at_exactly(0.0)),
        ..blank::process(pid, name.trim_end_matches(".service"))
    })
}

/// One end of a connection, and what happens to it.
#[derive(Clone)]
pub(crate) struct End {
    pub(crate) host: Arc<Host>,
    pub(crate) id: u64,
    pub(crate) handshake: Option<u64>,
    pub(crate) direction: Option<Direction>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) process: Option<Arc<Process>>,
    pub(crate) existing: bool,
}

impl End {
    pub(crate) fn event(
        &self,
        time: f64,
        totals: Option<Totals>,
        failure: Option<Failure>,
    ) -> ConnectionEvent {
        ConnectionEvent {
            connection: Connection {
                id: ConnectionId {
                    begun_ns: self.id,
                    salt: 7,
                },
                handshake: self.handshake,
                direction: self.direction,
                netns: 1,
                ends: Ends {
                    local: self.local,
                    remote: self.remote,
                },
                translation: None,
                name: None,
                opened: Some(at_exactly(time)),
                existing: self.existing,
                connect_ns: (self.direction == Some(Direction::Outbound)).then_some(50_000),
                duration_ns: None,
                totals,
                closed_by: totals.map(|_| Closer::Local),
                errno: None,
            },
            failure,
            process: self.process.clone(),
            peer: None,
            evidence: Evidence {
                process: ProcessEvidence::Hook,
                direction: Some(DirectionEvidence::Handshake),
                end: None,
            },
        }
    }

    pub(crate) fn tell(&self, time: f64, body: Body) -> Event {
        Event {
            time: at_exactly(time),
            host: Arc::clone(&self.host),
            body,
        }
    }

    pub(crate) fn opens(&self, time: f64) -> Event {
        let event = self.event(time, None, None);
        self.tell(
            time,
            match (self.existing, self.direction) {
                (true, _) | (_, None) => Body::Existing(event),
                (_, Some(Direction::Outbound)) => Body::Connect(event),
                (_, Some(Direction::Inbound)) => Body::Accept(event),
            },
        )
    }

    pub(crate) fn closes(&self, time: f64, sent_bytes: u64, received_bytes: u64) -> Event {
        let totals = Totals {
            sent_bytes,
            received_bytes,
            rtt_ns: Some(90_000),
            retransmits: 1,
        };
        self.tell(time, Body::Close(self.event(time, Some(totals), None)))
    }

    /// It is open, and has carried that.
    pub(crate) fn carries(&self, time: f64, sent_bytes: u64, received_bytes: u64) -> Event {
        let Body::Close(mut event) = self.closes(time, sent_bytes, received_bytes).body else {
            unreachable!("the body of a close");
        };
        event.connection.closed_by = None;
        self.tell(time, Body::Totals(event))
    }

    pub(crate) fn fails(&self, time: f64, reason: Reason) -> Event {
        let failure = Failure {
            phase: Phase::Remote,
            reason,
            errno: Some("ECONNREFUSED"),
            unanswered_syns: None,
        };
        self.tell(time, Body::Fail(self.event(time, None, Some(failure))))
    }
}
