//! From records to events: what the kernel's numbers mean. One file for each memory that this takes.

mod ending;
mod endpoints;
mod fact;
mod inbound;
mod listeners;
mod processes;
mod repairs;
mod turned_away;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracer_common::{self as abi, flags};

use self::{
    ending::{closed_by, failure},
    endpoints::{ends, handshake, id},
    fact::{cgroup, exchanged, redirected},
    inbound::Inbound,
    listeners::Listeners,
    processes::{Processes, describe, executable, exit_status, key},
    repairs::Repairs,
    turned_away::{TurnedAway, is_turned_away},
};
use super::{clock::Clock, decode::Record};
use crate::model::{
    Body, Connection, ConnectionEvent, Direction, DirectionEvidence, EndEvidence, Event, Evidence,
    Fact, Fork, Host, Kind, Listener, ListenerEvent, Opened, Process, ProcessEvent,
    ProcessEvidence, ProcessKey, Reason, Repaired, Told, Totals, errno,
};

/// Gives records their meaning.
pub(super) struct Interpreter {
    pub(super) clock: Clock,
    pub(super) host: Arc<Host>,
    listeners: Listeners,
    inbound: Inbound,
    turned_away: TurnedAway,
    processes: Processes,
    repairs: Repairs,
}

impl Interpreter {
    pub(super) fn new(host: Host) -> Self {
        Self {
            clock: Clock::read(),
            host: Arc::new(host),
            listeners: Listeners::default(),
            inbound: Inbound::default(),
            turned_away: TurnedAway::default(),
            processes: Processes::default(),
            repairs: Repairs::default(),
        }
    }

    /// How many processes were not interned when a record named them.
    pub(super) fn met(&self) -> u64 {
        self.processes.met
    }

    /// What was missed and found later, after the first scan.
    pub(super) fn repaired(&self) -> Repaired {
        self.repairs.total
    }

    /// The first scan is over.
    pub(super) fn settle(&mut self) {
        self.repairs.settle();
    }

    /// Whether a process has ended whose listeners another one must hold.
    pub(super) fn has_heirs(&mut self) -> bool {
        self.listeners.has_heirs()
    }

    /// The event or fact of a record; none if it repeats another one, or is of a kind that is not `wanted`.
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
                self.repairs.opened(opened);
                self.inbound.prove(&opened.connection, &self.listeners);
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
                self.repairs.ended(ended);
                if !wanted(Kind::Close) {
                    self.inbound.forget(&id(&ended.connection));
                    return None;
                }
                let event = self.closed(ended);
                self.inbound.forget(&event.connection.id);
                (&ended.header, Body::Close(event))
            }
            Record::Totals(_) if !wanted(Kind::Totals) => return None,
            Record::Totals(carried) => (&carried.header, Body::Totals(self.carried(carried))),
            Record::Fail(ended) => {
                if self.turned_away.is_repeated(ended) {
                    return None;
                }
                self.repairs.ended(ended);
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

    /// What an event at the peer endpoint needs of this opening, if such events are wanted.
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

    fn executed(&self, executed: &abi::Executed) -> ProcessEvent {
        let mut process = describe(&executed.process, &self.clock);
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
            process: Arc::new(describe(&exited.process, &self.clock)),
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
            _ if self.inbound.has(&id(kept)) => {
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

    /// The process of a record, and how it is known.
    fn process(&mut self, process: &abi::Process) -> (Option<Arc<Process>>, ProcessEvidence) {
        self.processes.get(process, &self.clock)
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
