//! One line of the stream → an event.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    canonical::{self, Called, Rest},
    fault::{Fault, VERSION, bad},
    memo::Memo,
    parts::{ledger, lost, read, read_evidence, read_process},
    seconds::Seconds,
    wire::{self, Line},
};
use crate::model::{
    self, AddressEvidence, Body, Closer, Connection, ConnectionEvent, Coverage, Direction, Ends,
    Event, ExitStatus, Failure, Host, Kind, Listener, ListenerEvent, Loss, Name, NameSource,
    Process, ProcessEvent, Signal, Start, Stop, Tally, Totals, Tracer, Translation, Workload,
    errno, signal,
};

/// Reads lines, and remembers the parts that come again.
#[derive(Debug, Default)]
pub struct Parser {
    hosts: Memo<Arc<Host>>,
    /// With their workloads, which are beside them.
    processes: Memo<Arc<Process>>,
    workloads: Memo<Arc<Workload>>,
    peers: Memo<Option<Arc<Process>>>,
    names: Memo<Arc<str>>,
    seconds: Seconds,
}

impl Parser {
    /// The event in `line`, without its line end; none for an empty line, and for a kind of event
    /// that this tracer does not know.
    ///
    /// # Errors
    /// If it is not a line of a stream of this version.
    pub fn parse(&mut self, line: &[u8]) -> Result<Option<Event>, Fault> {
        let canonical = std::str::from_utf8(line).ok();
        if let Some(event) = canonical.and_then(|line| self.canonical(line)) {
            return Ok(Some(event));
        }
        self.any(line)
    }

    /// The event in a line that is as tracer writes it, and about a connection.
    pub(super) fn canonical(&mut self, line: &str) -> Option<Event> {
        let mut rest = Rest::new(line);
        if !rest.eat("{\"v\":1,\"time\":\"") {
            return None;
        }
        let time = rest.time(&mut self.seconds)?;
        if !rest.eat(",\"event\":\"") {
            return None;
        }
        let kind = Kind::from_name(rest.text()?)?;
        if !rest.eat(",\"host\":") {
            return None;
        }
        let host = self
            .hosts
            .of_object(&mut rest, "", |text| read(text).ok().map(Arc::new))?;
        if !rest.eat(",\"connection\":") {
            return None;
        }
        let (mut connection, called) = rest.connection(&mut self.seconds)?;
        let failure = match rest.eat(",\"failure\":") {
            true => Some(rest.failure()?),
            false => None,
        };
        let process = match rest.eat(",\"process\":") {
            true => Some(self.canonical_process(&mut rest)?),
            false => None,
        };
        let peer = match rest.eat(",\"peer\":") {
            true => self.canonical_peer(&mut rest)?,
            false => None,
        };
        if !rest.eat(",\"evidence\":") {
            return None;
        }
        let (evidence, address, name) = rest.evidence()?;
        if !rest.eat("}") || !rest.is_empty() {
            return None;
        }
        match (&mut connection.translation, address) {
            (Some(translation), Some(address)) => {
                translation.evidence = address;
                if address == AddressEvidence::Conntrack {
                    connection.ends.remote = translation.dialled;
                }
            }
            (None, None) => {}
            _ => return None,
        }
        connection.name = match (called, name) {
            (Some(called), Some(source)) => Some(self.name(&called, source)),
            (None, None) => None,
            _ => return None,
        };
        let event = ConnectionEvent {
            connection,
            failure,
            process,
            peer,
            evidence,
        };
        let body = match kind {
            Kind::Connect => Body::Connect(event),
            Kind::Accept => Body::Accept(event),
            Kind::Totals => Body::Totals(event),
            Kind::Close => Body::Close(event),
            Kind::Existing => Body::Existing(event),
            Kind::Fail if event.failure.is_some() => Body::Fail(event),
            _ => return None,
        };
        Some(Event { time, host, body })
    }

    pub(super) fn any(&mut self, line: &[u8]) -> Result<Option<Event>, Fault> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| {
            // The version comes first: of another one, the rest may well look different.
            match serde_json::from_slice::<Version>(line) {
                Ok(Version { v }) if v != VERSION => Fault::Version(v),
                _ => Fault::Json(error),
            }
        })?;
        if line.v != VERSION {
            return Err(Fault::Version(line.v));
        }
        let Some(kind) = Kind::from_name(&line.event) else {
            return Ok(None);
        };
        let time = self.seconds.read(&line.time, "time")?;
        let host = self
            .hosts
            .get(line.host.get(), || read(line.host.get()).map(Arc::new))?;
        let body = self.body(kind, line)?;
        Ok(body.map(|body| Event { time, host, body }))
    }

    fn body(&mut self, kind: Kind, mut line: Line<'_>) -> Result<Option<Body>, Fault> {
        Ok(Some(match kind {
            Kind::Existing => Body::Existing(self.connection_event(&mut line)?),
            Kind::Connect => Body::Connect(self.connection_event(&mut line)?),
            Kind::Accept => Body::Accept(self.connection_event(&mut line)?),
            Kind::Totals => Body::Totals(self.connection_event(&mut line)?),
            Kind::Close => Body::Close(self.connection_event(&mut line)?),
            Kind::Fail => {
                let event = self.connection_event(&mut line)?;
                if event.failure.is_none() {
                    return Err(Fault::Missing("failure"));
                }
                Body::Fail(event)
            }
            Kind::Listen => Body::Listen(self.listener_event(&line)?),
            Kind::Unlisten => Body::Unlisten(self.listener_event(&line)?),
            Kind::Exec => Body::Exec(self.process_event(&line)?),
            Kind::Exit => Body::Exit(self.process_event(&line)?),
            Kind::Start => {
                let tracer = line.tracer.ok_or(Fault::Missing("tracer"))?;
                Body::Start(Start {
                    tracer: Tracer {
                        version: tracer.version.into_owned().into(),
                        hooks: tracer.hooks.into_owned(),
                        kernel: tracer.kernel.into_owned(),
                        arch: tracer.arch.into_owned(),
                    },
                    blind: line.blind.unwrap_or_default(),
                })
            }
            Kind::Loss => {
                let from = line.from.ok_or(Fault::Missing("from"))?;
                let to = line.to.ok_or(Fault::Missing("to"))?;
                Body::Loss(Box::new(Loss {
                    lost: ledger(line.lost.unwrap_or_default(), |counts| lost(&counts)),
                    missed: line.missed.unwrap_or_default(),
                    interval: Coverage {
                        from: self.seconds.read(&from, "from")?,
                        to: self.seconds.read(&to, "to")?,
                    },
                }))
            }
            Kind::Stop => {
                let coverage = line.coverage.ok_or(Fault::Missing("coverage"))?;
                Body::Stop(Box::new(Stop {
                    totals: ledger(line.totals.unwrap_or_default(), |counts| Tally {
                        seen: counts.seen,
                        delivered: counts.delivered,
                        lost: lost(&counts),
                    }),
                    missed: line.missed.unwrap_or_default(),
                    repaired: line.repaired.unwrap_or_default(),
                    unread: line.unread.unwrap_or_default(),
                    unattributed: line.unattributed.unwrap_or_default(),
                    cost: line.cost.unwrap_or_default(),
                    lines: line.lines,
                    coverage: Coverage {
                        from: self.seconds.read(&coverage.from, "coverage.from")?,
                        to: self.seconds.read(&coverage.to, "coverage.to")?,
                    },
                }))
            }
        }))
    }

    fn connection_event(&mut self, line: &mut Line<'_>) -> Result<ConnectionEvent, Fault> {
        let wire = line.connection.take().ok_or(Fault::Missing("connection"))?;
        let evidence = line.evidence.as_ref().ok_or(Fault::Missing("evidence"))?;
        let connection = self.connection(&wire, evidence)?;
        let failure = line.failure.as_ref().map(|failure| Failure {
            phase: failure.phase,
            reason: failure.reason,
            errno: failure.errno.as_deref().and_then(errno::known),
            unanswered_syns: failure.unanswered_syns,
        });
        Ok(ConnectionEvent {
            connection,
            failure,
            process: self.process(line.process, line.workload)?,
            peer: self.peer(line.peer)?,
            evidence: read_evidence(evidence)?,
        })
    }

    fn connection(
        &mut self,
        wire: &wire::Connection<'_>,
        evidence: &wire::Evidence<'_>,
    ) -> Result<Connection, Fault> {
        let direction = match wire.direction.as_deref() {
            None => None,
            Some("outbound") => Some(Direction::Outbound),
            Some("inbound") => Some(Direction::Inbound),
            Some(other) => return Err(bad("connection.direction", other)),
        };
        let (local, remote) = match direction {
            Some(Direction::Outbound) => (&wire.client, &wire.server),
            Some(Direction::Inbound) => (&wire.server, &wire.client),
            None => (&wire.local, &wire.remote),
        };
        let (Some(local), Some(remote)) = (local, remote) else {
            return Err(Fault::Missing(match direction {
                Some(_) => "connection.client` or `connection.server",
                None => "connection.local` or `connection.remote",
            }));
        };
        let nowhere = match &*wire.family {
            "ipv4" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "ipv6" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            other => return Err(bad("connection.family", other)),
        };
        let address = |end: &wire::End<'_>| {
            let address = end.address.unwrap_or(nowhere.into());
            address.with_port(end.port.unwrap_or(0))
        };
        let (mut ends, mut translation) = (
            Ends {
                local: address(local),
                remote: address(remote),
            },
            None,
        );
        if let Some(dialled) = &wire.dialled {
            let evidence = match evidence.address.as_deref() {
                Some("rewrite") => AddressEvidence::Rewrite,
                Some("conntrack") => AddressEvidence::Conntrack,
                Some(other) => return Err(bad("evidence.address", other)),
                None => return Err(Fault::Missing("evidence.address")),
            };
            let (dialled, server) = (address(dialled), ends.remote);
            // What the socket itself is connected to.
            if evidence == AddressEvidence::Conntrack {
                ends.remote = dialled;
            }
            translation = Some(Box::new(Translation {
                dialled,
                server,
                evidence,
            }));
        }
        let called = match (&remote.name, &remote.names) {
            (Some(name), _) => Some(Called::One {
                name,
                canonical: remote.canonical.as_deref(),
            }),
            (None, Some(names)) => Some(Called::OneOf {
                names: names.iter().map(|it| &**it).collect(),
                is_cut: remote.names_cut,
            }),
            (None, None) => None,
        };
        let name = match (called, evidence.name.as_deref()) {
            (None, _) => None,
            (Some(_), None) => return Err(Fault::Missing("evidence.name")),
            (Some(called), Some(word)) => {
                let source = NameSource::from_name(word);
                let source = source.ok_or_else(|| bad("evidence.name", word))?;
                Some(self.name(&called, source))
            }
        };
        let totals = match (wire.sent_bytes, wire.received_bytes) {
            (Some(sent_bytes), Some(received_bytes)) => Some(Totals {
                sent_bytes,
                received_bytes,
                rtt_ns: wire.rtt_ns,
                retransmits: wire.retransmits.unwrap_or(0),
            }),
            _ => None,
        };
        Ok(Connection {
            id: canonical::id(&wire.id).ok_or_else(|| bad("connection.id", &wire.id))?,
            handshake: match wire.handshake.as_deref() {
                None => None,
                Some(text) => {
                    Some(canonical::hex(text).ok_or_else(|| bad("connection.handshake", text))?)
                }
            },
            direction,
            netns: wire.netns,
            ends,
            translation,
            name,
            opened: match &wire.opened {
                None => None,
                Some(text) => Some(self.seconds.read(text, "connection.opened")?),
            },
            existing: wire.existing,
            connect_ns: wire.connect_ns,
            duration_ns: wire.duration_ns,
            totals,
            closed_by: match wire.closed_by.as_deref() {
                None => None,
                Some("local") => Some(Closer::Local),
                Some("remote") => Some(Closer::Remote),
                Some(other) => return Err(bad("connection.closed_by", other)),
            },
            errno: wire.errno.as_deref().and_then(errno::known),
        })
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        let Ok(text) = self
            .names
            .get(text, || Ok::<_, Infallible>(Arc::from(text)));
        text
    }

    fn listener_event(&mut self, line: &Line<'_>) -> Result<ListenerEvent, Fault> {
        let listener = line.listener.as_ref().ok_or(Fault::Missing("listener"))?;
        let evidence = line.evidence.as_ref().ok_or(Fault::Missing("evidence"))?;
        Ok(ListenerEvent {
            listener: Listener {
                local: listener.address.with_port(listener.port),
                backlog: listener.backlog,
                netns: listener.netns,
            },
            process: self.process(line.process, line.workload)?,
            evidence: read_evidence(evidence)?,
        })
    }

    fn process_event(&mut self, line: &Line<'_>) -> Result<ProcessEvent, Fault> {
        let process = self.process(line.process, line.workload)?;
        let exit = match &line.exit {
            None => None,
            Some(wire::Exit {
                code: Some(code), ..
            }) => Some(ExitStatus::Code(*code)),
            Some(wire::Exit {
                signal: Some(wire::Signal::Number(number)),
                ..
            }) => Some(ExitStatus::Signal(Signal::Number(*number))),
            Some(wire::Exit {
                signal: Some(wire::Signal::Name(name)),
                ..
            }) => Some(ExitStatus::Signal(Signal::Name(
                signal::known(name).ok_or_else(|| bad("exit.signal", name))?,
            ))),
            Some(_) => None,
        };
        Ok(ProcessEvent {
            process: process.ok_or(Fault::Missing("process"))?,
            exit,
        })
    }

    fn name(&mut self, called: &Called<'_>, source: NameSource) -> Arc<Name> {
        let called = match called {
            Called::One { name, canonical } => model::Called::One {
                name: self.text(name),
                canonical: canonical.map(|it| self.text(it)),
            },
            Called::OneOf { names, is_cut } => model::Called::OneOf {
                names: names.iter().map(|it| self.text(it)).collect(),
                is_cut: *is_cut,
            },
        };
        Arc::new(Name { called, source })
    }

    /// The process with its workload; the same value for the same text, so that those who come
    /// after can tell by the address that they know it.
    fn process(
        &mut self,
        process: Option<&RawValue>,
        workload: Option<&RawValue>,
    ) -> Result<Option<Arc<Process>>, Fault> {
        let (Some(process), workload) = (process.map(RawValue::get), workload.map(RawValue::get))
        else {
            return Ok(None);
        };
        // As they are in a line, one behind the other.
        let mut both = process.to_owned();
        if let Some(workload) = workload {
            both.push_str(WORKLOAD);
            both.push_str(workload);
        }
        let Self {
            processes,
            workloads,
            seconds,
            ..
        } = self;
        let process = processes.get(&both, || {
            read_process(process, workload, workloads, seconds)
        })?;
        Ok(Some(process))
    }

    fn canonical_process(&mut self, rest: &mut Rest<'_>) -> Option<Arc<Process>> {
        let Self {
            processes,
            workloads,
            seconds,
            ..
        } = self;
        processes.of_object(rest, WORKLOAD, |both| {
            let (process, more) = both.split_at(canonical::object_end(both.as_bytes())?);
            let workload = more.strip_prefix(WORKLOAD);
            read_process(process, workload, workloads, seconds).ok()
        })
    }

    fn peer(&mut self, peer: Option<&RawValue>) -> Result<Option<Arc<Process>>, Fault> {
        match peer {
            Some(peer) => self.peer_of(peer.get()),
            None => Ok(None),
        }
    }

    fn peer_of(&mut self, text: &str) -> Result<Option<Arc<Process>>, Fault> {
        if let Some(known) = self.peers.peek(text) {
            return Ok(known);
        }
        let wire: wire::Peer<'_> = read(text)?;
        let process = self.process(wire.process, wire.workload)?;
        self.peers.insert(text, process.clone());
        Ok(process)
    }

    fn canonical_peer(&mut self, rest: &mut Rest<'_>) -> Option<Option<Arc<Process>>> {
        match self.peers.recent_object(rest, "") {
            Some(known) => Some(known),
            None => self.peer_of(rest.object("")?).ok(),
        }
    }
}

/// What is between a process and its workload.
const WORKLOAD: &str = ",\"workload\":";

/// All that is sure of a line of another version.
#[derive(Deserialize)]
struct Version {
    v: u64,
}
