//! How a world is told, and what is true of it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

use super::world::{Deed, Fate, How, Led, RUN, Space, World};
use crate::model::{
    Body, Closer, Connection, ConnectionEvent, ConnectionId, Coverage, Direction,
    DirectionEvidence, Ends, Event, Evidence, Failure, Host, Ledger, Listener, ListenerEvent,
    Phase, Process, ProcessEvidence, ProcessKey, Reason, Repaired, Start, Stop, Tally, Timestamp,
    Totals, Tracer, Workload, WorkloadKind,
};

pub(super) const SECOND: u64 = 1_000_000_000;
const EPOCH: u64 = 1_795_309_323 * SECOND;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_ns(EPOCH + (seconds * SECOND as f64) as u64)
}

/// What one client did.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) client: usize,
    /// Which service it came to, or was meant for; none if there is none.
    pub(super) service: Option<usize>,
    /// Which it may have been meant for, as far as anybody can tell, where there is none.
    pub(super) maybe: Vec<usize>,
    /// By which address the server knows it.
    pub(super) seen_as: IpAddr,
    pub(super) failed: bool,
}

/// What is true of a world.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) facts: Vec<Fact>,
}

impl Truth {
    fn has(&self, client: usize, service: usize, failed: bool) -> bool {
        let mut facts = self.facts.iter();
        facts.any(|it| (it.client, it.service, it.failed) == (client, Some(service), failed))
    }

    /// Whether that client was served there.
    pub(super) fn used(&self, client: usize, service: usize) -> bool {
        self.has(client, service, false)
    }

    /// Whether it tried in vain.
    pub(super) fn failed(&self, client: usize, service: usize) -> bool {
        self.has(client, service, true)
    }

    /// Whether it may have tried.
    pub(super) fn maybe(&self, client: usize, service: usize) -> bool {
        let mut facts = self.facts.iter();
        facts.any(|it| it.client == client && it.maybe.contains(&service))
    }

    /// How many connections that service had, or attempts that failed: at least, and at most.
    pub(super) fn times(&self, service: usize, failed: bool) -> RangeInclusive<u64> {
        let facts = || self.facts.iter().filter(|it| it.failed == failed);
        let sure = facts().filter(|it| it.service == Some(service)).count() as u64;
        let maybe = facts().filter(|it| it.maybe.contains(&service)).count() as u64;
        sure..=sure + maybe
    }

    /// By which addresses a client may be known.
    pub(super) fn seen_as(&self, client: usize) -> BTreeSet<IpAddr> {
        let facts = self.facts.iter().filter(|it| it.client == client);
        facts.map(|it| it.seen_as).collect()
    }
}

pub(super) fn client_name(n: usize) -> String {
    format!("client-{n}.service")
}

pub(super) fn service_name(n: usize) -> String {
    format!("server-{n}.service")
}

pub(super) fn worker_name(n: usize) -> String {
    format!("worker-{n}.service")
}

pub(super) fn host(n: usize) -> Arc<Host> {
    Arc::new(Host {
        id: format!("id-{n}"),
        name: format!("host-{n}"),
    })
}

pub(super) fn process(name: &str, pid: u32) -> Arc<Process> {
    Arc::new(Process {
        key: ProcessKey { pid, start_ns: 1 },
        exec_id: 0,
        cgroup: 0,
        workload: Some(Arc::new(Workload {
            kind: WorkloadKind::Systemd,
            name: name.into(),
            unit: Some(name.into()),
            slice: None,
            container: None,
            k8s: None,
            role: None,
        })),
        pid,
        ppid: None,
        uid: None,
        comm: name.trim_end_matches(".service").into(),
        exe: Some(format!("/usr/bin/{name}").into()),
        args: None,
        cwd: None,
        started: Some(at(-5_000.0)),
    })
}

/// The events of a world, in the order of their times, and what is true of it.
pub(super) struct Teller {
    pub(super) hosts: [Arc<Host>; 2],
    pub(super) events: Vec<Event>,
    pub(super) truth: Truth,
    pub(super) ids: u64,
}

#[derive(Clone)]
pub(super) struct End {
    pub(super) space: Space,
    pub(super) id: u64,
    pub(super) handshake: Option<u64>,
    pub(super) direction: Direction,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) process: Option<Arc<Process>>,
}

fn totals(sent_bytes: u64, received_bytes: u64) -> Option<Totals> {
    Some(Totals {
        sent_bytes,
        received_bytes,
        rtt_ns: None,
        retransmits: 0,
    })
}

impl Teller {
    fn tell(&mut self, host: usize, time: f64, body: Body) {
        self.events.push(Event {
            time: at(time),
            host: Arc::clone(&self.hosts[host]),
            body,
        });
    }

    fn listen(&mut self, world: &World, n: usize, time: f64, begins: bool, by: ProcessEvidence) {
        let service = &world.services[n];
        let body = ListenerEvent {
            listener: Listener {
                local: SocketAddr::new(service.bound(), world.port(n)),
                backlog: None,
                netns: service.space.netns(),
            },
            process: Some(process(&service_name(n), 100 + n as u32)),
            evidence: Evidence {
                process: by,
                direction: None,
                end: None,
            },
        };
        let body = match begins {
            true => Body::Listen(body),
            false => Body::Unlisten(body),
        };
        self.tell(service.space.host(), time, body);
    }

    fn connection(
        end: &End,
        opened: f64,
        existing: bool,
        totals: Option<Totals>,
        failure: Option<Failure>,
    ) -> ConnectionEvent {
        ConnectionEvent {
            connection: Connection {
                id: ConnectionId {
                    begun_ns: end.id,
                    salt: 7,
                },
                handshake: end.handshake,
                direction: Some(end.direction),
                netns: end.space.netns(),
                ends: Ends {
                    local: end.local,
                    remote: end.remote,
                },
                translation: None,
                name: None,
                opened: (!existing && failure.is_none()).then(|| at(opened)),
                existing,
                connect_ns: None,
                duration_ns: None,
                totals,
                closed_by: totals.map(|_| Closer::Local),
                errno: None,
            },
            failure,
            process: end.process.clone(),
            peer: None,
            evidence: Evidence {
                process: match end.process {
                    Some(_) => ProcessEvidence::Hook,
                    None => ProcessEvidence::Unknown,
                },
                direction: Some(DirectionEvidence::Handshake),
                end: None,
            },
        }
    }

    fn ends(&mut self, world: &World, deed: &Deed, led: &Led) -> (End, Option<End>) {
        self.ids += 2;
        let from = world.clients[deed.client];
        let client = End {
            space: from,
            id: self.ids,
            handshake: Some(self.ids),
            direction: Direction::Outbound,
            local: SocketAddr::new(from.source(led.dialled), 40_000 + self.ids as u16),
            remote: SocketAddr::new(led.dialled, led.port),
            process: Some(process(&client_name(deed.client), 200 + deed.client as u32)),
        };
        let accepts = led.taker.map(|n| match world.services[n].is_activated {
            true => process(&worker_name(n), 300 + n as u32),
            false => process(&service_name(n), 100 + n as u32),
        });
        let server = led.space.map(|space| End {
            space,
            id: self.ids + 1,
            direction: Direction::Inbound,
            local: client.remote,
            remote: client.local,
            process: accepts,
            ..client.clone()
        });
        (client, server)
    }

    /// It was there when watching began.
    fn held(&mut self, ends: [&End; 2]) {
        for end in ends {
            let end = End {
                handshake: None,
                ..end.clone()
            };
            let found = Self::connection(&end, 0.0, true, None, None);
            self.tell(end.space.host(), 0.01, Body::Existing(found));
            // It is asked what it has carried when watching ends.
            let (sent, received) = match end.direction {
                Direction::Outbound => (5, 7),
                Direction::Inbound => (7, 5),
            };
            let mut carries = Self::connection(&end, 0.0, true, totals(sent, received), None);
            carries.connection.closed_by = None;
            self.tell(end.space.host(), RUN - 0.5, Body::Totals(carries));
        }
    }

    /// Nobody listens there, or there is nobody.
    fn fails(&mut self, client: &End, server: Option<&End>, time: f64) {
        let failure = |reason, phase, errno| Failure {
            phase,
            reason,
            errno: Some(errno),
            unanswered_syns: None,
        };
        let mut fail = |end: &End, time, failure| {
            let failed = Self::connection(end, time, false, None, Some(failure));
            self.tell(end.space.host(), time, Body::Fail(failed));
        };
        let Some(server) = server else {
            let lost = failure(Reason::TimedOut, Phase::Network, "ETIMEDOUT");
            return fail(client, time, lost);
        };
        let server = End {
            process: None,
            ..server.clone()
        };
        let away = failure(Reason::NotListening, Phase::Local, "ECONNREFUSED");
        fail(&server, time, away);
        let refused = failure(Reason::Refused, Phase::Remote, "ECONNREFUSED");
        fail(client, time + 0.0001, refused);
    }

    fn deed(&mut self, world: &World, deed: &Deed) {
        let led = world.led(deed);
        let (client, server) = self.ends(world, deed, &led);
        let fact = Fact {
            client: deed.client,
            service: led.service,
            maybe: led.maybe,
            seen_as: client.local.ip(),
            failed: false,
        };
        let time = match deed.how {
            How::Held => 0.0,
            _ => deed.time,
        };
        let listens = led.taker.filter(|n| world.services[*n].listens(time));
        match (listens, &server) {
            (Some(_), Some(server)) => {
                self.truth.facts.push(fact);
                match deed.how {
                    How::Held => self.held([&client, server]),
                    _ => self.connects(deed, [&client, server]),
                }
            }
            _ if deed.how == How::Held => {}
            _ => {
                self.truth.facts.push(Fact {
                    failed: true,
                    ..fact
                });
                self.fails(&client, server.as_ref(), deed.time);
            }
        }
    }

    fn connects(&mut self, deed: &Deed, [client, server]: [&End; 2]) {
        let opened = deed.time;
        let (client_host, server_host) = (client.space.host(), server.space.host());
        let event = |end: &End, totals| Self::connection(end, opened, false, totals, None);
        let last = |time: f64| time.min(RUN - 1.0);
        // Nobody answers before accept().
        let answered = match deed.how {
            How::HalfOpen | How::AcceptedLate => 0,
            _ => 7,
        };
        let (accepted, client_ends, server_ends) = match deed.how {
            How::AcceptedLate => (
                last(opened + deed.lasts),
                opened + 0.001,
                last(opened + deed.lasts + 0.01),
            ),
            How::ClosedLate => (opened + 0.0001, last(opened + deed.lasts), opened + 0.002),
            _ => (
                opened + 0.0001,
                last(opened + deed.lasts),
                last(opened + deed.lasts + 0.0001),
            ),
        };
        self.tell(client_host, opened, Body::Connect(event(client, None)));
        self.tell(
            client_host,
            client_ends,
            Body::Close(event(client, totals(5, answered))),
        );
        if deed.how != How::HalfOpen {
            self.tell(server_host, accepted, Body::Accept(event(server, None)));
            self.tell(
                server_host,
                server_ends,
                Body::Close(event(server, totals(answered, 5))),
            );
        }
    }
}

/// All that both hosts tell, and the truth.
pub(super) fn told(world: &World) -> (Vec<Event>, Truth) {
    let mut teller = Teller {
        hosts: [host(0), host(1)],
        events: Vec::new(),
        truth: Truth::default(),
        ids: 1_000,
    };
    for (n, service) in world.services.iter().enumerate() {
        match service.begins {
            None => teller.listen(world, n, 0.005, true, ProcessEvidence::Scan),
            Some(time) => teller.listen(world, n, time, true, ProcessEvidence::Hook),
        }
        if let Some((from, lasts)) = service.outage {
            teller.listen(world, n, from, false, ProcessEvidence::Hook);
            teller.listen(world, n, from + lasts, true, ProcessEvidence::Hook);
        }
    }
    for deed in &world.deeds {
        teller.deed(world, deed);
    }
    let Teller {
        mut events, truth, ..
    } = teller;
    events.sort_by_key(|it| it.time);
    for n in 0..2 {
        let mut totals: Ledger<Tally> = Ledger::default();
        for event in events.iter().filter(|it| it.host == host(n)) {
            if let Some(tally) = totals.get_mut(event.body.kind()) {
                tally.seen += 1;
                tally.delivered += 1;
            }
        }
        let start = Start {
            tracer: Tracer {
                version: "1".into(),
                hooks: "fentry".to_owned(),
                kernel: "6".to_owned(),
                arch: "x86_64".to_owned(),
            },
            blind: Vec::new(),
        };
        let stop = Stop {
            totals,
            missed: 0,
            repaired: Repaired::default(),
            cost: crate::model::Cost::default(),
            lines: Some(1 + events.iter().filter(|it| it.host == host(n)).count() as u64),
            coverage: Coverage {
                from: at(0.0),
                to: at(RUN),
            },
        };
        let tell = |time, body| Event {
            time: at(time),
            host: host(n),
            body,
        };
        events.insert(0, tell(0.0, Body::Start(start)));
        events.push(tell(RUN, Body::Stop(Box::new(stop))));
    }
    (events, truth)
}

/// What is left of a recording.
pub(super) fn suffered(events: Vec<Event>, fate: &Fate) -> Vec<Event> {
    let len = events.len();
    let mut events = events;
    match fate {
        Fate::Whole => {}
        Fate::Cut(index) => drop(events.remove(index.index(len))),
        Fate::Head(index) => events.truncate(index.index(len) + 1),
        Fate::Tail(index) => drop(events.drain(..index.index(len))),
        Fate::Twice => events = events.into_iter().flat_map(|it| [it.clone(), it]).collect(),
        Fate::Split(one, other) => {
            let (one, other) = (one.index(len), other.index(len));
            let (from, to) = (one.min(other), one.max(other));
            let mut parts: Vec<Event> = events[..to].to_vec();
            parts.extend_from_slice(&events[from..]);
            parts.sort_by_key(|it| it.time);
            events = parts;
        }
        Fate::Late(from, to) => {
            let event = events.remove(from.index(len));
            let to = to.index(len).max(from.index(len)).min(events.len());
            events.insert(to, event);
        }
        Fate::SetBack(time, by) => {
            let set = at(*time);
            let back = |time: &mut Timestamp| {
                *time = Timestamp::from_ns(time.as_ns() - (by * SECOND as f64) as u64);
            };
            for event in events.iter_mut().filter(|it| it.time >= set) {
                back(&mut event.time);
                match &mut event.body {
                    Body::Stop(stop) => {
                        back(&mut stop.coverage.from);
                        back(&mut stop.coverage.to);
                    }
                    Body::Connect(it) | Body::Accept(it) | Body::Close(it) => {
                        it.connection.opened.iter_mut().for_each(back);
                    }
                    _ => {}
                }
            }
        }
    }
    events
}
