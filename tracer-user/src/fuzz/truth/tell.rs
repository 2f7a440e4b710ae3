//! How a world is told, and what is true of it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use super::world::{Deed, Fate, How, RUN, Service, World};
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

/// What is true of it.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Connections, by client and service.
    pub(super) used: BTreeMap<(usize, usize), u64>,
    /// Attempts that failed.
    pub(super) failed: BTreeMap<(usize, usize), u64>,
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
    pub(super) host: usize,
    pub(super) id: u64,
    pub(super) handshake: Option<u64>,
    pub(super) direction: Direction,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) process: Option<Arc<Process>>,
}

impl Teller {
    fn tell(&mut self, host: usize, time: f64, body: Body) {
        self.events.push(Event {
            time: at(time),
            host: Arc::clone(&self.hosts[host]),
            body,
        });
    }

    fn listen(
        &mut self,
        n: usize,
        service: &Service,
        time: f64,
        begins: bool,
        by: ProcessEvidence,
    ) {
        let body = ListenerEvent {
            listener: Listener {
                local: listens_at(n, service),
                backlog: None,
                netns: 1,
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
        self.tell(service.host, time, body);
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
                netns: 1,
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

    fn ends(&mut self, world: &World, deed: &Deed, n: usize) -> [End; 2] {
        let service = &world.services[n];
        self.ids += 2;
        let server = listens_at(n, service).port();
        let from = world.clients[deed.client];
        // What only listens on loopback is dialled there.
        let (client_ip, server_ip) = match (service.wildcard, from == service.host) {
            (false, _) => ("127.0.0.1".to_owned(), "127.0.0.1".to_owned()),
            (true, _) => (
                format!("10.0.0.{}", from + 1),
                format!("10.0.0.{}", service.host + 1),
            ),
        };
        let address = |ip: &str, port: u16| SocketAddr::new(ip.parse().expect("an address"), port);
        let client = End {
            host: from,
            id: self.ids,
            handshake: Some(self.ids),
            direction: Direction::Outbound,
            local: address(&client_ip, 40_000 + self.ids as u16),
            remote: address(&server_ip, server),
            process: Some(process(&client_name(deed.client), 200 + deed.client as u32)),
        };
        let accepts = match service.is_activated {
            true => process(&worker_name(n), 300 + n as u32),
            false => process(&service_name(n), 100 + n as u32),
        };
        let server = End {
            host: service.host,
            id: self.ids + 1,
            direction: Direction::Inbound,
            local: client.remote,
            remote: client.local,
            process: Some(accepts),
            ..client.clone()
        };
        [client, server]
    }

    fn deed(&mut self, world: &World, deed: &Deed) {
        let n = deed.service.index(world.services.len());
        let service = &world.services[n];
        if !service.wildcard && world.clients[deed.client] != service.host {
            return;
        }
        let [client, server] = self.ends(world, deed, n);
        let listens = |time: f64| {
            let begun = service.begins.is_none_or(|begins| begins < time);
            let down = service
                .outage
                .is_some_and(|(from, lasts)| from <= time && time < from + lasts);
            begun && !down
        };
        let (client_host, server_host) = (client.host, server.host);
        let opened = deed.time;
        let pair = (deed.client, n);
        if deed.how == How::Held {
            if listens(0.0) {
                *self.truth.used.entry(pair).or_default() += 1;
                for end in [&client, &server] {
                    let end = End {
                        handshake: None,
                        ..end.clone()
                    };
                    let found = Self::connection(&end, 0.0, true, None, None);
                    self.tell(end.host, 0.01, Body::Existing(found));
                }
            }
            return;
        }
        if !listens(opened) {
            *self.truth.failed.entry(pair).or_default() += 1;
            let failure = |reason, phase| Failure {
                phase,
                reason,
                errno: Some("ECONNREFUSED"),
                unanswered_syns: None,
            };
            let away = Self::connection(
                &End {
                    process: None,
                    ..server
                },
                opened,
                false,
                None,
                Some(failure(Reason::NotListening, Phase::Local)),
            );
            self.tell(server_host, opened, Body::Fail(away));
            let refused = failure(Reason::Refused, Phase::Remote);
            let refused = Self::connection(&client, opened, false, None, Some(refused));
            self.tell(client_host, opened + 0.0001, Body::Fail(refused));
            return;
        }
        *self.truth.used.entry(pair).or_default() += 1;
        let totals = |sent_bytes, received_bytes| {
            Some(Totals {
                sent_bytes,
                received_bytes,
                rtt_ns: None,
                retransmits: 0,
            })
        };
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
        self.tell(client_host, opened, Body::Connect(event(&client, None)));
        self.tell(
            client_host,
            client_ends,
            Body::Close(event(&client, totals(5, answered))),
        );
        if deed.how != How::HalfOpen {
            self.tell(server_host, accepted, Body::Accept(event(&server, None)));
            self.tell(
                server_host,
                server_ends,
                Body::Close(event(&server, totals(answered, 5))),
            );
        }
    }
}

pub(super) fn listens_at(n: usize, service: &Service) -> SocketAddr {
    let ip = if service.wildcard {
        "0.0.0.0"
    } else {
        "127.0.0.1"
    };
    SocketAddr::new(ip.parse().expect("an address"), 8_000 + n as u16)
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
            None => teller.listen(n, service, 0.005, true, ProcessEvidence::Scan),
            Some(time) => teller.listen(n, service, time, true, ProcessEvidence::Hook),
        }
        if let Some((from, lasts)) = service.outage {
            teller.listen(n, service, from, false, ProcessEvidence::Hook);
            teller.listen(n, service, from + lasts, true, ProcessEvidence::Hook);
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
