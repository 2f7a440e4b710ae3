//! From records to events: what the kernel's numbers mean.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tracer_common::{self as abi, flags};

use super::{clock::Clock, decode::Record, errno, listeners::Listeners};
use crate::model::{
    Body, Closer, Connection, ConnectionEvent, Direction, DirectionEvidence, Ends, Event, Evidence,
    Failure, Host, Listener, ListenerEvent, Phase, Process, ProcessEvidence, ProcessKey, Reason,
    Timestamp, Totals,
};

/// TCP states of the kernel's `include/net/tcp_states.h`.
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const FIN_WAIT2: u8 = 5;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const CLOSING: u8 = 11;
}

/// Gives records their meaning.
pub(super) struct Interpreter {
    pub(super) clock: Clock,
    pub(super) host: Arc<Host>,
    pub(super) listeners: Listeners,
}

impl Interpreter {
    pub(super) fn event(&mut self, record: &Record) -> Event {
        match record {
            Record::Connect(opened) => {
                self.connection_event(&opened.header, self.opened(opened), Body::Connect)
            }
            Record::Accept(opened) => {
                self.connection_event(&opened.header, self.opened(opened), Body::Accept)
            }
            Record::Close(ended) => {
                self.connection_event(&ended.header, self.closed(ended), Body::Close)
            }
            Record::Fail(ended) => {
                self.connection_event(&ended.header, self.failed(ended), Body::Fail)
            }
            Record::Listen(listening) => {
                let event = self.listening(listening);
                self.listeners.add(&event.listener, event.process.clone());
                self.at(&listening.header, Body::Listen(event))
            }
            Record::Unlisten(listening) => {
                let event = self.listening(listening);
                self.listeners
                    .remove(&event.listener, event.process.as_deref());
                self.at(&listening.header, Body::Unlisten(event))
            }
        }
    }

    fn at(&self, header: &abi::Header, body: Body) -> Event {
        Event {
            time: self.clock.wall(header.time_ns),
            host: Arc::clone(&self.host),
            body,
        }
    }

    fn connection_event(
        &self,
        header: &abi::Header,
        event: ConnectionEvent,
        body: impl FnOnce(ConnectionEvent) -> Body,
    ) -> Event {
        self.at(header, body(event))
    }

    fn opened(&self, opened: &abi::Opened) -> ConnectionEvent {
        self.attribute(&opened.connection)
    }

    fn closed(&self, ended: &abi::Ended) -> ConnectionEvent {
        let mut event = self.attribute(&ended.connection);
        let established_ns = ended.connection.established_ns;
        let connection = &mut event.connection;
        connection.duration_ns =
            (established_ns != 0).then(|| ended.header.time_ns.saturating_sub(established_ns));
        connection.totals = Some(Totals {
            sent_bytes: ended.totals.sent_bytes,
            received_bytes: ended.totals.received_bytes,
            rtt_ns: (ended.totals.srtt_us != 0).then(|| u64::from(ended.totals.srtt_us) * 1_000),
            retransmits: ended.totals.retransmits,
        });
        connection.closed_by = closed_by(ended);
        connection.errno = errno::name(ended.errno);
        event
    }

    fn failed(&self, ended: &abi::Ended) -> ConnectionEvent {
        let mut event = self.attribute(&ended.connection);
        let begun_ns = ended.connection.begun_ns;
        if ended.connection.flags & flags::EXISTING == 0 {
            event.connection.duration_ns = Some(ended.header.time_ns.saturating_sub(begun_ns));
        }
        event.failure = Some(failure(ended));
        event
    }

    fn attribute(&self, kept: &abi::Connection) -> ConnectionEvent {
        let ends = ends(&kept.flow);
        let existing = kept.flags & flags::EXISTING != 0;
        let (direction, direction_evidence) = match kept.direction {
            abi::Direction::OUTBOUND => (Some(Direction::Outbound), DirectionEvidence::Handshake),
            abi::Direction::INBOUND if existing => {
                (Some(Direction::Inbound), DirectionEvidence::Listener)
            }
            abi::Direction::INBOUND => (Some(Direction::Inbound), DirectionEvidence::Handshake),
            _ if self.listeners.owns(kept.flow.netns, ends.local) => {
                (Some(Direction::Inbound), DirectionEvidence::Listener)
            }
            _ => (None, DirectionEvidence::Unknown),
        };
        let (mut process, mut process_evidence) = self.process(&kept.process);
        if process.is_none() && direction == Some(Direction::Inbound) {
            process = self.listeners.owner(kept.flow.netns, ends.local);
            if process.is_some() {
                process_evidence = ProcessEvidence::Listener;
            }
        }
        let outbound = kept.direction == abi::Direction::OUTBOUND;
        let opened = (kept.established_ns != 0).then(|| self.clock.wall(kept.established_ns));
        ConnectionEvent {
            connection: Connection {
                id: id(kept),
                direction,
                netns: kept.flow.netns,
                ends,
                opened,
                existing,
                connect_ns: (outbound && opened.is_some() && !existing)
                    .then(|| kept.established_ns.saturating_sub(kept.begun_ns)),
                duration_ns: None,
                totals: None,
                closed_by: None,
                errno: None,
            },
            failure: None,
            process,
            evidence: Evidence {
                process: process_evidence,
                direction: Some(direction_evidence),
            },
        }
    }

    fn listening(&self, listening: &abi::Listening) -> ListenerEvent {
        let (process, process_evidence) = self.process(&listening.process);
        ListenerEvent {
            listener: Listener {
                local: ends(&listening.flow).local,
                backlog: Some(listening.backlog),
                netns: listening.flow.netns,
            },
            process,
            evidence: Evidence {
                process: process_evidence,
                direction: None,
            },
        }
    }

    fn process(&self, process: &abi::Process) -> (Option<Arc<Process>>, ProcessEvidence) {
        let evidence = match process.source {
            abi::Source::HOOK => ProcessEvidence::Hook,
            abi::Source::LISTENER => ProcessEvidence::Listener,
            abi::Source::CLOSE => ProcessEvidence::Close,
            _ => return (None, ProcessEvidence::Unknown),
        };
        let comm = process
            .comm
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let process = Process {
            key: ProcessKey {
                pid: process.tgid,
                start_ns: process.start_ns,
            },
            pid: process.tgid,
            ppid: None,
            uid: Some(process.uid),
            comm: String::from_utf8_lossy(comm).into(),
            exe: None,
            args: None,
            started: Some(self.started(process.start_ns)),
        };
        (Some(Arc::new(process)), evidence)
    }

    fn started(&self, start_ns: u64) -> Timestamp {
        self.clock.wall(start_ns)
    }
}

/// Unique on the host: no two connections begin in the same nanosecond between the
/// same ends.
fn id(kept: &abi::Connection) -> String {
    let mut hasher = DefaultHasher::new();
    kept.flow.local_address.hash(&mut hasher);
    kept.flow.remote_address.hash(&mut hasher);
    kept.flow.local_port.hash(&mut hasher);
    kept.flow.remote_port.hash(&mut hasher);
    kept.flow.netns.hash(&mut hasher);
    kept.direction.0.hash(&mut hasher);
    format!("{:x}{:08x}", kept.begun_ns, hasher.finish() as u32)
}

fn ends(flow: &abi::Flow) -> Ends {
    let end = |address, port| SocketAddr::new(ip(flow.family, address), port);
    Ends {
        local: end(flow.local_address, flow.local_port),
        remote: end(flow.remote_address, flow.remote_port),
    }
}

/// An IPv4-mapped address becomes the IPv4 address that went over the wire.
fn ip(family: u16, address: [u8; 16]) -> IpAddr {
    if i32::from(family) == libc::AF_INET6 {
        return Ipv6Addr::from(address).to_canonical();
    }
    let [a, b, c, d, ..] = address;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn closed_by(ended: &abi::Ended) -> Option<Closer> {
    let reset = i32::try_from(ended.errno) == Ok(libc::ECONNRESET);
    match ended.connection.last_state {
        state::FIN_WAIT1 | state::FIN_WAIT2 | state::CLOSING => Some(Closer::Local),
        state::CLOSE_WAIT | state::LAST_ACK => Some(Closer::Remote),
        state::ESTABLISHED if reset => Some(Closer::Remote),
        state::ESTABLISHED if ended.errno == 0 => Some(Closer::Local),
        _ => None,
    }
}

fn failure(ended: &abi::Ended) -> Failure {
    let sent = ended.connection.flags & flags::SENT != 0;
    let (phase, reason) = match i32::try_from(ended.errno).unwrap_or(0) {
        0 if sent => (Phase::Abandoned, Reason::Abandoned),
        // The kernel chooses a port before anything else can go wrong.
        0 if ended.connection.flow.local_port == 0 => (Phase::Local, Reason::NoLocalPort),
        0 => (Phase::Local, Reason::Other),
        libc::ECONNREFUSED => (Phase::Remote, Reason::Refused),
        libc::ECONNRESET => (Phase::Remote, Reason::Reset),
        libc::ETIMEDOUT => (Phase::Network, Reason::TimedOut),
        libc::EHOSTUNREACH => (Phase::Network, Reason::HostUnreachable),
        libc::ENETUNREACH => (Phase::Network, Reason::NetworkUnreachable),
        // ICMPv6 has a word for a policy on the way.
        libc::EPERM | libc::EACCES if sent => (Phase::Network, Reason::Denied),
        libc::EPERM | libc::EACCES => (Phase::Local, Reason::Denied),
        libc::EADDRINUSE => (Phase::Local, Reason::AddressInUse),
        libc::EADDRNOTAVAIL => (Phase::Local, Reason::NoLocalPort),
        _ if sent => (Phase::Network, Reason::Other),
        _ => (Phase::Local, Reason::Other),
    };
    Failure {
        phase,
        reason,
        errno: errno::name(ended.errno),
    }
}
