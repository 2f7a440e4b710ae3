//! From records to events: what the kernel's numbers mean.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use foldhash::{HashMap, HashSet};
use tracer_common::{self as abi, flags};

use super::{clock::Clock, decode::Record, listeners::Listeners};
use crate::model::{
    Address, Body, Cgroup, Closer, Connection, ConnectionEvent, ConnectionId, Direction,
    DirectionEvidence, DnsPiece, DnsTransport, EndEvidence, Ends, Event, Evidence, ExitStatus,
    Fact, Failure, Fork, Host, Kind, Listener, ListenerEvent, Opened, Phase, Process, ProcessEvent,
    ProcessEvidence, ProcessKey, Reason, Redirect, Repaired, Signal, Timestamp, Told, Totals,
    errno, signal,
};

/// Connections that are remembered to be inbound; as many as the kernel side follows unless
/// told otherwise.
const MAX_INBOUND: usize = 128 << 10;
/// A SYN that was turned away is sent again for about two minutes (`tcp_syn_retries`).
const REPEAT_NS: u64 = 180_000_000_000;
/// Turned-away SYNs that are remembered.
const MAX_TURNED_AWAY: usize = 16 << 10;

/// Processes that are remembered, so that each is one value however often it is told of. When there
/// are more, the table starts anew.
const PROCESSES: usize = 4096;

/// All that the kernel tells of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    tgid: u32,
    start_ns: u64,
    exec_id: u16,
    cgroup: u64,
    uid: u32,
    netns_owner: u32,
    /// As a number, which is hashed at once.
    comm: u128,
}

impl From<&abi::Process> for Identity {
    fn from(process: &abi::Process) -> Self {
        Self {
            tgid: process.tgid,
            start_ns: process.start_ns,
            exec_id: process.exec_id,
            cgroup: process.cgroup,
            uid: process.uid,
            netns_owner: process.netns_owner,
            comm: u128::from_ne_bytes(process.comm),
        }
    }
}

/// TCP states of the kernel's `include/net/tcp_states.h`.
mod state {
    pub(super) const ESTABLISHED: u8 = 1;
    pub(super) const SYN_SENT: u8 = 2;
    pub(super) const FIN_WAIT1: u8 = 4;
    pub(super) const FIN_WAIT2: u8 = 5;
    pub(super) const CLOSE_WAIT: u8 = 8;
    pub(super) const LAST_ACK: u8 = 9;
    pub(super) const LISTEN: u8 = 10;
    pub(super) const CLOSING: u8 = 11;
}

/// Gives records their meaning.
pub(super) struct Interpreter {
    pub(super) clock: Clock,
    pub(super) host: Arc<Host>,
    pub(super) listeners: Listeners,
    /// Connections older than we are that a listener of this host proved to be inbound, by
    /// id: the listener may be gone when they end.
    inbound: HashSet<ConnectionId>,
    /// When the SYNs that were lately turned away came, by their ends and number: anybody may
    /// choose those, so they are hashed with a secret.
    turned_away: std::collections::HashMap<(FlowKey, u32), u64>,
    /// The processes that were told of lately.
    processes: HashMap<Identity, Arc<Process>>,
    /// How many were not known before, or no longer.
    pub(super) met: u64,
    /// What was missed and found later, after the first look around.
    pub(super) repaired: Repaired,
    /// Whether the first look around is over.
    pub(super) settled: bool,
}

impl Interpreter {
    pub(super) fn new(host: Host) -> Self {
        Self {
            clock: Clock::read(),
            host: Arc::new(host),
            listeners: Listeners::default(),
            inbound: HashSet::default(),
            turned_away: std::collections::HashMap::new(),
            processes: HashMap::default(),
            met: 0,
            repaired: Repaired::default(),
            settled: false,
        }
    }

    /// What a record tells; nothing if that was told before, or is of a kind that is not
    /// `wanted`.
    pub(super) fn told<'a>(
        &mut self,
        record: &Record<'a>,
        wanted: impl Fn(Kind) -> bool,
    ) -> Option<Told<'a>> {
        // An event is large: it is made where it is handed out.
        let (header, body) = match *record {
            Record::Fork(forked) => return Some(Told::Fact(Fact::Fork(self.forked(forked)?))),
            Record::Cgroup(made) => return Some(Told::Fact(Fact::Cgroup(cgroup(made)?))),
            Record::Message(message) => return Some(Told::Fact(Fact::Dns(exchanged(message)))),
            Record::Redirect(redirect) => {
                return Some(Told::Fact(Fact::Redirect(redirected(redirect))));
            }
            Record::Connect(opened) if !wanted(Kind::Connect) => {
                return Some(Told::Fact(Fact::Opened(self.opened(opened, &wanted)?)));
            }
            Record::Accept(opened) if !wanted(Kind::Accept) => {
                return Some(Told::Fact(Fact::Opened(self.opened(opened, &wanted)?)));
            }
            Record::Existing(opened) => {
                if self.settled && opened.connection.process.source == abi::Source::SCAN {
                    self.repaired.opened += 1;
                }
                self.prove_inbound(&opened.connection);
                if !wanted(Kind::Existing) {
                    return None;
                }
                let event = self.attribute(&opened.connection);
                (&opened.header, Body::Existing(event))
            }
            Record::Exec(executed) => (&executed.header, Body::Exec(self.executed(executed))),
            Record::Exit(exited) => {
                let process = key(&exited.process);
                self.listeners.end(process, exited.header.time_ns);
                if !wanted(Kind::Exit) {
                    return None;
                }
                (&exited.header, Body::Exit(self.exited(exited)))
            }
            Record::Connect(opened) => {
                let event = self.attribute(&opened.connection);
                (&opened.header, Body::Connect(event))
            }
            Record::Accept(opened) => {
                let event = self.attribute(&opened.connection);
                (&opened.header, Body::Accept(event))
            }
            Record::Close(ended) => {
                self.count_repaired(ended);
                if !wanted(Kind::Close) {
                    self.forget_inbound(&id(&ended.connection));
                    return None;
                }
                let event = self.closed(ended);
                self.forget_inbound(&event.connection.id);
                (&ended.header, Body::Close(event))
            }
            Record::Totals(_) if !wanted(Kind::Totals) => return None,
            Record::Totals(carried) => (&carried.header, Body::Totals(self.carried(carried))),
            Record::Fail(ended) => {
                if self.is_repeated(ended) {
                    return None;
                }
                self.count_repaired(ended);
                (&ended.header, Body::Fail(self.failed(ended)))
            }
            Record::Listen(listening) => {
                let event = self.listening(listening);
                self.listeners.add(&event.listener, event.process.clone());
                (&listening.header, Body::Listen(event))
            }
            Record::Unlisten(listening) => {
                let event = self.listening(listening);
                self.listeners
                    .remove(&event.listener, event.process.as_deref());
                (&listening.header, Body::Unlisten(event))
            }
        };
        Some(Told::Event(Event {
            time: self.clock.wall(header.time_ns),
            host: Arc::clone(&self.host),
            body,
        }))
    }

    /// What the end of the same connection elsewhere must know of this one, if it is told of.
    fn opened(&mut self, opened: &abi::Opened, wanted: impl Fn(Kind) -> bool) -> Option<Opened> {
        let ends = [Kind::Connect, Kind::Accept, Kind::Existing, Kind::Close];
        if !ends.into_iter().any(wanted) {
            return None;
        }
        let kept = &opened.connection;
        Some(Opened {
            handshake: handshake(kept.handshake)?,
            is_client: kept.direction == abi::Direction::OUTBOUND,
            process: self.process(&kept.process).0?,
        })
    }

    fn count_repaired(&mut self, ended: &abi::Ended) {
        if ended.connection.flags & flags::FOUND_OVER != 0 {
            self.repaired.closed += 1;
        }
    }

    /// Decides, once, whether a connection that nobody saw open came in through a listener.
    fn prove_inbound(&mut self, kept: &abi::Connection) {
        if kept.direction == abi::Direction::UNKNOWN
            && self.listeners.owns(kept.flow.netns, ends(&kept.flow).local)
            && self.inbound.len() < MAX_INBOUND
        {
            self.inbound.insert(id(kept));
        }
    }

    /// Cheap where there is none, as there is but for connections that are older than we are.
    fn forget_inbound(&mut self, connection: &ConnectionId) {
        if !self.inbound.is_empty() {
            self.inbound.remove(connection);
        }
    }

    /// Whether this is a SYN sent again that was turned away before: the same attempt.
    fn is_repeated(&mut self, ended: &abi::Ended) -> bool {
        if !is_turned_away(ended) {
            return false;
        }
        let now = ended.header.time_ns;
        if self.turned_away.len() >= MAX_TURNED_AWAY {
            self.turned_away
                .retain(|_, time| now.saturating_sub(*time) < REPEAT_NS);
            if self.turned_away.len() >= MAX_TURNED_AWAY {
                self.turned_away.clear();
            }
        }
        let flow = &ended.connection.flow;
        let key = (flow_key(flow), ended.sequence);
        let before = self.turned_away.insert(key, now);
        before.is_some_and(|before| now.saturating_sub(before) < REPEAT_NS)
    }

    fn executed(&self, executed: &abi::Executed) -> ProcessEvent {
        let mut process = self.known(&executed.process);
        process.ppid = (executed.parent != 0).then_some(executed.parent);
        process.exe = executable(executed);
        let kept = usize::try_from(executed.args_bytes).unwrap_or(usize::MAX);
        let is_cut = kept > executed.args.len();
        let args = executed.args.get(..kept).unwrap_or(&executed.args);
        process.args = crate::procfs::parse_args(args, is_cut);
        ProcessEvent {
            process: Arc::new(process),
            exit: None,
        }
    }

    fn forked(&mut self, forked: &abi::Forked) -> Option<Fork> {
        Some(Fork {
            process: self.process(&forked.process).0?,
            child: ProcessKey {
                pid: forked.child,
                start_ns: forked.child_start_ns,
            },
            ppid: (forked.parent != 0).then_some(forked.parent),
        })
    }

    fn exited(&self, exited: &abi::Exited) -> ProcessEvent {
        ProcessEvent {
            process: Arc::new(self.known(&exited.process)),
            exit: Some(exit_status(exited.status)),
        }
    }

    /// Inline, so that the event is not moved.
    #[inline(always)]
    fn closed(&mut self, ended: &abi::Ended) -> ConnectionEvent {
        let mut event = self.attribute(&ended.connection);
        let connection = &mut event.connection;
        connection.duration_ns = duration_ns(&ended.connection, &ended.header);
        let found_over = ended.connection.flags & flags::FOUND_OVER != 0;
        if found_over {
            connection.duration_ns = None;
            event.evidence.end = Some(EndEvidence::Scan);
            return event;
        }
        connection.totals = Some(totals(&ended.totals));
        connection.closed_by = closed_by(ended);
        connection.errno = errno::name(ended.errno);
        event
    }

    fn carried(&mut self, carried: &abi::Carried) -> ConnectionEvent {
        let mut event = self.attribute(&carried.connection);
        event.connection.duration_ns = duration_ns(&carried.connection, &carried.header);
        event.connection.totals = Some(totals(&carried.totals));
        event
    }

    fn failed(&mut self, ended: &abi::Ended) -> ConnectionEvent {
        let mut event = self.attribute(&ended.connection);
        let begun_ns = ended.connection.begun_ns;
        if ended.connection.flags & flags::FOUND_OVER != 0 {
            event.evidence.end = Some(EndEvidence::Scan);
        } else if ended.connection.flags & flags::EXISTING == 0 && !is_turned_away(ended) {
            event.connection.duration_ns = Some(ended.header.time_ns.saturating_sub(begun_ns));
        }
        let failure = failure(ended);
        if failure.reason == Reason::NotListening {
            // Who listened there before does not: that it stopped may have been missed.
            event.process = None;
            event.evidence.process = ProcessEvidence::Unknown;
        }
        event.failure = Some(failure);
        event
    }

    fn attribute(&mut self, kept: &abi::Connection) -> ConnectionEvent {
        let ends = ends(&kept.flow);
        let existing = kept.flags & flags::EXISTING != 0;
        let (direction, direction_evidence) = match kept.direction {
            abi::Direction::OUTBOUND => (Some(Direction::Outbound), DirectionEvidence::Handshake),
            abi::Direction::INBOUND if existing => {
                (Some(Direction::Inbound), DirectionEvidence::Listener)
            }
            abi::Direction::INBOUND => (Some(Direction::Inbound), DirectionEvidence::Handshake),
            _ if self.inbound.contains(&id(kept)) => {
                (Some(Direction::Inbound), DirectionEvidence::Listener)
            }
            _ => (None, DirectionEvidence::Unknown),
        };
        let (mut process, mut process_evidence) = self.process(&kept.process);
        let came_ns = kept.begun_ns.max(kept.established_ns);
        if process_evidence == ProcessEvidence::Listener
            && self.listeners.has_ended(key(&kept.process), came_ns)
        {
            // Who has the listener now is known, or is about to be.
            (process, process_evidence) = (None, ProcessEvidence::Unknown);
        }
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
                handshake: handshake(kept.handshake),
                direction,
                netns: kept.flow.netns,
                ends,
                translation: None,
                name: None,
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
            peer: None,
            evidence: Evidence {
                process: process_evidence,
                direction: Some(direction_evidence),
                end: None,
            },
        }
    }

    fn listening(&mut self, listening: &abi::Listening) -> ListenerEvent {
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
                end: None,
            },
        }
    }

    fn process(&mut self, process: &abi::Process) -> (Option<Arc<Process>>, ProcessEvidence) {
        let evidence = match process.source {
            abi::Source::HOOK => ProcessEvidence::Hook,
            abi::Source::LISTENER => ProcessEvidence::Listener,
            abi::Source::CLOSE => ProcessEvidence::Close,
            abi::Source::SCAN => ProcessEvidence::Scan,
            abi::Source::READ => ProcessEvidence::Read,
            _ => return (None, ProcessEvidence::Unknown),
        };
        let identity = Identity::from(process);
        if let Some(known) = self.processes.get(&identity) {
            return (Some(Arc::clone(known)), evidence);
        }
        if self.processes.len() >= PROCESSES {
            self.processes.clear();
        }
        self.met += 1;
        let known = Arc::new(self.known(process));
        self.processes.insert(identity, Arc::clone(&known));
        (Some(known), evidence)
    }

    fn known(&self, process: &abi::Process) -> Process {
        let comm = process
            .comm
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        Process {
            key: key(process),
            exec_id: process.exec_id,
            cgroup: process.cgroup,
            netns_owner: Some(process.netns_owner).filter(|it| *it != 0),
            workload: None,
            pid: process.tgid,
            ppid: None,
            uid: Some(process.uid),
            comm: String::from_utf8_lossy(comm).into(),
            exe: None,
            args: None,
            cwd: None,
            started: Some(self.started(process.start_ns)),
        }
    }

    fn started(&self, start_ns: u64) -> Timestamp {
        self.clock.wall(start_ns)
    }
}

/// How long it was open until then, if it is known since when.
fn duration_ns(kept: &abi::Connection, then: &abi::Header) -> Option<u64> {
    (kept.established_ns != 0).then(|| then.time_ns.saturating_sub(kept.established_ns))
}

fn totals(totals: &abi::Totals) -> Totals {
    Totals {
        sent_bytes: totals.sent_bytes,
        received_bytes: totals.received_bytes,
        rtt_ns: (totals.srtt_us != 0).then(|| u64::from(totals.srtt_us) * 1_000),
        retransmits: totals.retransmits,
    }
}

fn key(process: &abi::Process) -> ProcessKey {
    ProcessKey {
        pid: process.tgid,
        start_ns: process.start_ns,
    }
}

/// The same for every record of one end of a connection.
fn id(kept: &abi::Connection) -> ConnectionId {
    let flow = &kept.flow;
    let addresses = [flow.local_address, flow.remote_address].map(u128::from_be_bytes);
    let [local, remote] = addresses.map(|it| [(it >> 64) as u64, it as u64]);
    let ports = u64::from(flow.local_port) << 16 | u64::from(flow.remote_port);
    let words = [
        local[0],
        local[1],
        remote[0],
        remote[1],
        ports << 32 | u64::from(flow.netns),
        u64::from(kept.direction.0),
    ];
    // Only ends that begin in the same nanosecond must be told apart, so any mixing does.
    let mixed = words.iter().fold(0_u64, |mixed, word| {
        (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    });
    ConnectionId {
        begun_ns: kept.begun_ns,
        salt: (mixed >> 32) as u32,
    }
}

/// Made of the first sequence numbers of both ends, in a way that does not give them away: who
/// knows them can forge segments.
fn handshake(sequences: u64) -> Option<u64> {
    if sequences == 0 {
        return None;
    }
    // The finisher of SplitMix64 and of MurmurHash3, one after the other, with one half folded
    // upon the other in between: what comes out has lost what went in.
    let mut mixed = sequences.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    mixed = mixed.wrapping_add(sequences.rotate_left(32));
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    Some(mixed ^ mixed >> 33)
}

/// None if it is of another hierarchy than v2, or its path did not fit.
fn cgroup(made: &abi::Cgroup) -> Option<Cgroup> {
    let end = made.path.iter().position(|byte| *byte == 0)?;
    let is_whole = end + 1 < made.path.len();
    (made.hierarchy == 0 && is_whole).then(|| Cgroup {
        id: made.id,
        maker: made.maker,
        path: String::from_utf8_lossy(&made.path[..end]).into(),
    })
}

fn exchanged(message: &abi::Message) -> DnsPiece<'_> {
    let length = usize::try_from(message.length).unwrap_or(usize::MAX);
    let kept = length.min(message.kept.into());
    let bytes = message.bytes.get(..kept).unwrap_or(&message.bytes);
    let ends = ends(&message.flow);
    DnsPiece {
        netns: message.flow.netns,
        process: key(&message.process),
        uid: message.process.uid,
        server: ends.remote,
        local_port: ends.local.port(),
        transport: if message.stream == 0 {
            DnsTransport::Udp
        } else {
            DnsTransport::Tcp
        },
        sent: message.sent != 0,
        bytes,
        length,
        time_ns: message.header.time_ns,
    }
}

fn redirected(redirect: &abi::Redirect) -> Redirect {
    let dialled = ip(redirect.dialled_family, redirect.dialled_address);
    let dialled = Address::new(dialled, redirect.dialled_scope);
    Redirect {
        netns: redirect.flow.netns,
        ends: ends(&redirect.flow),
        dialled: dialled.with_port(redirect.dialled_port),
    }
}

/// What tells one flow from another.
type FlowKey = (u32, u32, [u8; 16], [u8; 16], u16, u16);

fn flow_key(flow: &abi::Flow) -> FlowKey {
    (
        flow.netns,
        flow.scope,
        flow.local_address,
        flow.remote_address,
        flow.local_port,
        flow.remote_port,
    )
}

fn ends(flow: &abi::Flow) -> Ends {
    let end = |address, port| Address::new(ip(flow.family, address), flow.scope).with_port(port);
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
        state::ESTABLISHED
            if ended.errno == 0 && ended.connection.flags & flags::FROM_OUTSIDE == 0 =>
        {
            Some(Closer::Local)
        }
        _ => None,
    }
}

/// An attempt from outside for which no socket was made.
fn is_turned_away(ended: &abi::Ended) -> bool {
    ended.connection.direction == abi::Direction::INBOUND
}

/// Path of the file that is executed, as /proc tells it; none if it did not fit.
fn executable(executed: &abi::Executed) -> Option<Arc<str>> {
    let length = usize::try_from(executed.exe_bytes).ok()?;
    let names = executed.exe.get(..length)?.strip_suffix(&[0])?;
    let mut path = Vec::with_capacity(length);
    for name in names.rsplit(|byte| *byte == 0) {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    Some(crate::procfs::executable(&path))
}

/// As wait() encodes it.
fn exit_status(status: u32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Code((status >> 8) & 0xff),
        signal => {
            ExitStatus::Signal(signal::name(signal).map_or(Signal::Number(signal), Signal::Name))
        }
    }
}

fn failure(ended: &abi::Ended) -> Failure {
    if is_turned_away(ended) {
        let reason = match ended.connection.last_state {
            state::LISTEN => Reason::AcceptQueueFull,
            _ => Reason::NotListening,
        };
        return Failure {
            phase: Phase::Local,
            reason,
            errno: None,
            unanswered_syns: None,
        };
    }
    if ended.connection.flags & flags::FOUND_OVER != 0 && ended.errno == 0 {
        return Failure {
            phase: Phase::Network,
            reason: Reason::Other,
            errno: None,
            unanswered_syns: None,
        };
    }
    let sent = ended.connection.flags & flags::SENT != 0;
    let (phase, reason) = match i32::try_from(ended.errno).unwrap_or(0) {
        // Its process took the error away before the kernel told of the end (`SO_ERROR`).
        0 if sent && ended.connection.flags & flags::FROM_OUTSIDE != 0 => {
            (Phase::Network, Reason::Other)
        }
        0 if sent => (Phase::Abandoned, Reason::Abandoned),
        // The kernel chooses a port before anything else can go wrong.
        0 if ended.connection.flow.local_port == 0 => (Phase::Local, Reason::NoLocalPort),
        0 => (Phase::Local, Reason::Other),
        libc::ECONNREFUSED => (Phase::Remote, Reason::Refused),
        libc::ECONNRESET => (Phase::Remote, Reason::Reset),
        libc::ETIMEDOUT => (Phase::Network, Reason::TimedOut),
        libc::EHOSTUNREACH | libc::ENETUNREACH if !sent => (Phase::Local, Reason::NoRoute),
        libc::EHOSTUNREACH => (Phase::Network, Reason::HostUnreachable),
        libc::ENETUNREACH => (Phase::Network, Reason::NetworkUnreachable),
        // ICMPv6 has a word for a policy on the way.
        libc::EPERM | libc::EACCES if sent => (Phase::Network, Reason::Denied),
        libc::EPERM | libc::EACCES => (Phase::Local, Reason::Denied),
        libc::EADDRINUSE => (Phase::Local, Reason::AddressInUse),
        // Either no port was to be had, or the one asked for has this very connection.
        libc::EADDRNOTAVAIL if ended.connection.flow.local_port != 0 => {
            (Phase::Local, Reason::AddressInUse)
        }
        libc::EADDRNOTAVAIL => (Phase::Local, Reason::NoLocalPort),
        _ if sent => (Phase::Network, Reason::Other),
        _ => (Phase::Local, Reason::Other),
    };
    // Where two ends dial each other, one's SYN is the answer to the other's.
    let unanswered = matches!(reason, Reason::Abandoned | Reason::TimedOut)
        && ended.connection.last_state == state::SYN_SENT;
    Failure {
        phase,
        reason,
        errno: errno::name(ended.errno),
        unanswered_syns: (unanswered && sent).then(|| ended.totals.retransmits.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{checks, decode},
        *,
    };

    #[test]
    fn only_ends_of_a_link_have_the_scope_of_their_socket() {
        let of = |family: i32, local: &str, remote: &str| {
            let octets = |text: &str| match text.parse().expect("an address") {
                IpAddr::V4(v4) => {
                    let mut octets = [0; 16];
                    octets[..4].copy_from_slice(&v4.octets());
                    octets
                }
                IpAddr::V6(v6) => v6.octets(),
            };
            let ends = ends(&abi::Flow {
                local_address: octets(local),
                remote_address: octets(remote),
                local_port: 1,
                remote_port: 2,
                family: family as u16,
                reserved: 0,
                netns: 1,
                scope: 3,
            });
            [ends.local, ends.remote].map(|it| it.to_string())
        };
        let v6 = |local, remote| of(libc::AF_INET6, local, remote);
        assert_eq!(v6("fe80::1", "fe80::2"), ["[fe80::1%3]:1", "[fe80::2%3]:2"]);
        // A socket may be bound to an interface, whatever it talks to.
        assert_eq!(v6("::", "fe80::2"), ["[::]:1", "[fe80::2%3]:2"]);
        assert_eq!(
            v6("2001:db8::1", "fd00::2"),
            ["[2001:db8::1]:1", "[fd00::2]:2"]
        );
        assert_eq!(
            v6("::ffff:10.0.0.1", "::ffff:169.254.0.1"),
            ["10.0.0.1:1", "169.254.0.1:2"]
        );
        assert_eq!(
            of(libc::AF_INET, "10.0.0.1", "169.254.0.1"),
            ["10.0.0.1:1", "169.254.0.1:2"]
        );
    }

    #[test]
    fn what_was_found_over_says_why_if_that_is_known() {
        let examples = checks::examples();
        let mut ended = examples
            .iter()
            .map(|bytes| decode::RecordBytes::from(&bytes[..]))
            .find_map(|bytes| match decode::decode(&bytes).ok()? {
                Record::Fail(ended) if !is_turned_away(ended) => Some(*ended),
                _ => None,
            })
            .expect("an example of it");
        ended.connection.flags = flags::FOUND_OVER | flags::SENT;
        for (errno, reason) in [
            (0, Reason::Other),
            (110, Reason::TimedOut),
            (111, Reason::Refused),
        ] {
            ended.errno = errno;
            assert_eq!(failure(&ended).reason, reason, "{errno}");
        }
    }

    #[test]
    fn an_executable_is_told_as_by_proc() {
        let bytes = checks::examples();
        let bytes = bytes
            .iter()
            .map(|bytes| decode::RecordBytes::from(&bytes[..]));
        let mut executed = bytes
            .into_iter()
            .find_map(|bytes| match decode::decode(&bytes).ok()? {
                Record::Exec(executed) => Some(*executed),
                _ => None,
            })
            .expect("an example of it");
        let mut told = |names: &[u8], length: usize| {
            executed.exe = [0; abi::EXE_LEN];
            executed.exe[..names.len()].copy_from_slice(names);
            executed.exe_bytes = length as u32;
            executable(&executed)
        };
        let longest = [&[b'x'; 255][..], b"\0", &[b'y'; 255], b"\0"].concat();
        for (names, path) in [
            (&b"curl\0bin\0usr\0"[..], "/usr/bin/curl"),
            (b"memfd:x\0", "/memfd:x"),
            (b"gone (deleted)\0", "/gone"),
            (b"\xff\0a b\0", "/a b/\u{fffd}"),
            (
                &longest,
                &format!("/{}/{}", "y".repeat(255), "x".repeat(255)),
            ),
        ] {
            assert_eq!(told(names, names.len()).as_deref(), Some(path));
        }
        // It did not fit; and what the kernel side does not send.
        for length in [0, 3, abi::EXE_LEN + 1, usize::MAX] {
            assert_eq!(told(b"curl\0", length), None, "{length}");
        }
    }

    #[test]
    fn what_ends_from_outside_is_nobodys_doing_here_though_its_error_was_taken() {
        let examples = checks::examples();
        let example = |is: fn(&Record<'_>) -> Option<abi::Ended>| {
            let mut records = examples
                .iter()
                .map(|bytes| decode::RecordBytes::from(&bytes[..]));
            let found = records.find_map(|bytes| is(&decode::decode(&bytes).ok()?));
            found.expect("an example of it")
        };
        let mut failed = example(|record| match record {
            Record::Fail(ended) if !is_turned_away(ended) => Some(**ended),
            _ => None,
        });
        let mut closed = example(|record| match record {
            Record::Close(ended) => Some(**ended),
            _ => None,
        });
        (failed.errno, closed.errno) = (0, 0);
        closed.connection.last_state = state::ESTABLISHED;
        for (more, reason, closer) in [
            (0, Reason::Abandoned, Some(Closer::Local)),
            (flags::FROM_OUTSIDE, Reason::Other, None),
        ] {
            failed.connection.flags = flags::SENT | more;
            closed.connection.flags = more;
            assert_eq!(failure(&failed).reason, reason);
            assert_eq!(closed_by(&closed), closer);
        }
    }

    #[test]
    fn a_process_is_one_value_and_the_table_of_them_is_bounded() {
        let mut interpreter = Interpreter::new(Host {
            id: "6f1c0b6e".to_owned(),
            name: "web-1".to_owned(),
        });
        let number = |tgid| abi::Process {
            start_ns: 7,
            cgroup: 1,
            tgid,
            netns_owner: 0,
            uid: 33,
            source: abi::Source::HOOK,
            exec_id: 3,
            comm: *b"nginx\0\0\0\0\0\0\0\0\0\0\0",
        };
        for tgid in 1..=3 * PROCESSES as u32 {
            let (known, _) = interpreter.process(&number(tgid));
            let known = known.expect("a process");
            let (again, _) = interpreter.process(&number(tgid));
            assert!(Arc::ptr_eq(&known, &again.expect("the same")));
            // With a socket of a namespace that a user owns.
            let (theirs, _) = interpreter.process(&abi::Process {
                netns_owner: 1000,
                ..number(tgid)
            });
            let theirs = theirs.expect("a process");
            assert_eq!((known.netns_owner, theirs.netns_owner), (None, Some(1000)));
            assert_eq!(known.pid, tgid);
            assert!(interpreter.processes.len() <= PROCESSES);
        }
        assert_eq!(interpreter.met, 6 * PROCESSES as u64);
    }
}
