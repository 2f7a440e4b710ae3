//! How a world is told, and what is true of it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

use super::world::{Deed, Fate, How, Led, RUN, Space, Span, World};
use crate::model::{
    Body, ConnectionEvent, Counter, Direction, Event, Evidence, Failure, Host, Ledger, Listener,
    ListenerEvent, Phase, Process, ProcessEvidence, Reason, Stop, Tally, Timestamp, Totals,
    specimens::{blank, ends},
};

pub(super) use crate::model::specimens::{SECOND, at_exactly as at};

/// What one client did.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) client: usize,
    /// Which service it came to, or was meant for; none if there is none.
    pub(super) service: Option<usize>,
    /// Which it may have been meant for, as far as anybody can tell, where there is none.
    pub(super) maybe: Vec<usize>,
    /// It was in the time that is asked about, and not only at its edge.
    pub(super) is_certain: bool,
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
        let all = facts().filter(|it| it.maybe.contains(&service)).count() as u64;
        sure..=all
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

fn host_of(n: usize) -> Arc<Host> {
    Arc::new(Host {
        id: format!("id-{n}"),
        name: format!("host-{n}"),
    })
}

pub(super) fn process(name: &str, pid: u32) -> Arc<Process> {
    Arc::new(Process {
        // What is not root's may claim any address.
        uid: pid.is_multiple_of(2).then_some(0),
        exe: Some(format!("/usr/bin/{name}").into()),
        ..Process::clone(&ends::unit(name, pid))
    })
}

/// The events of a world, and what is true of it.
struct Teller<'a> {
    world: &'a World,
    events: Vec<Event>,
    truth: Truth,
    lives: Vec<Life>,
    ids: u64,
}

#[derive(Clone)]
struct End {
    space: Space,
    id: u64,
    handshake: Option<u64>,
    direction: Direction,
    local: SocketAddr,
    remote: SocketAddr,
    process: Option<Arc<Process>>,
    /// It was there when the run began.
    existing: bool,
}

/// An end, from when until when it is there, and what it carries.
struct Life {
    end: End,
    opened: f64,
    times: Span,
    totals: Option<Totals>,
}

fn totals(sent_bytes: u64, received_bytes: u64) -> Option<Totals> {
    Some(Totals {
        sent_bytes,
        received_bytes,
        rtt_ns: None,
        retransmits: 0,
    })
}

impl Teller<'_> {
    fn tell(&mut self, host: usize, time: f64, body: Body) {
        self.events.push(Event {
            time: at(time),
            host: host_of(host),
            body,
        });
    }

    fn listen(&mut self, n: usize, time: f64, begins: bool, by: ProcessEvidence) {
        let service = &self.world.services[n];
        let body = ListenerEvent {
            listener: Listener {
                local: SocketAddr::new(service.bound(), self.world.port(n)),
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
        totals: Option<Totals>,
        failure: Option<Failure>,
    ) -> ConnectionEvent {
        let told = ends::End {
            host: host_of(end.space.host()),
            id: end.id,
            handshake: end.handshake,
            direction: Some(end.direction),
            local: end.local,
            remote: end.remote,
            process: end.process.clone(),
            existing: end.existing,
        };
        let never_opened = end.existing || failure.is_some();
        let mut event = told.event(opened, totals, failure);
        event.connection.netns = end.space.netns();
        event.connection.connect_ns = None;
        if never_opened {
            event.connection.opened = None;
        }
        if end.process.is_none() {
            event.evidence.process = ProcessEvidence::Unknown;
        }
        event
    }

    fn ends(&mut self, deed: &Deed, led: &Led) -> (End, Option<End>) {
        let world = self.world;
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
            existing: false,
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

    /// Nobody listens there, or there is nobody.
    fn fails(&mut self, client: &End, server: Option<&End>, time: f64) {
        let failure = |reason, phase, errno| Failure {
            phase,
            reason,
            errno: Some(errno),
            unanswered_syns: None,
        };
        let mut fail = |end: &End, time, failure| {
            let host = end.space.host();
            let mut runs = self.world.runs(host).into_iter();
            if runs.any(|((from, to), _)| from < time && time < to) {
                let failed = Self::connection(end, time, None, Some(failure));
                self.tell(host, time, Body::Fail(failed));
            }
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

    fn deed(&mut self, deed: &Deed) {
        let world = self.world;
        let led = world.led(deed);
        let (client, server) = self.ends(deed, &led);
        let time = match deed.how {
            How::Held => -1.0,
            _ => deed.time,
        };
        let listens = led.taker.filter(|n| world.services[*n].listens(time));
        let over = match (listens, server) {
            (Some(n), Some(server)) => self.connects(deed, n, client.clone(), server),
            _ if deed.how == How::Held => return,
            (_, server) => {
                self.fails(&client, server.as_ref(), deed.time);
                (deed.time, deed.time)
            }
        };
        let failed = listens.is_none();
        let is_sure = led.taker.filter(|n| match failed {
            true => self.is_known(*n, &led, time),
            false => led.maybe.is_empty(),
        });
        let is_there = world.is_in_part(time, over, failed);
        let mut maybe = led.maybe;
        maybe.extend(led.taker);
        if is_there != Some(false) {
            self.truth.facts.push(Fact {
                client: deed.client,
                service: is_sure.filter(|_| is_there == Some(true)),
                maybe,
                is_certain: is_there == Some(true),
                seen_as: client.local.ip(),
                failed,
            });
        }
    }

    /// Whether it is known that what failed then was meant for service `n`: it listened there before, or did
    /// so later, in that run and in the time that is asked about, at an address that only one has.
    fn is_known(&self, n: usize, led: &Led, time: f64) -> bool {
        let service = &self.world.services[n];
        let mut runs = self.world.runs(service.space.host()).into_iter();
        let Some(((from, to), _)) = runs.find(|((from, to), _)| *from < time && time < *to) else {
            return false;
        };
        let to = self.world.part.map_or(to, |(_, until)| until.min(to));
        service.listens_within(from, time) || service.listens_within(time, to) && !led.is_shared
    }

    /// They connect. Returns when the first end is over, and when both are.
    fn connects(&mut self, deed: &Deed, n: usize, client: End, server: End) -> Span {
        let opened = deed.time;
        let last = |time: f64| time.min(RUN - 1.0);
        // What nobody accepted is over when the socket is closed.
        let closed = self.world.services[n].outage;
        let closed = closed.filter(|(from, _)| opened < *from && deed.is_unaccepted());
        let over = last(opened + deed.lasts);
        let over = closed.map_or(over, |(from, _)| over.min((opened + from) / 2.0));
        // Nobody answers before accept().
        let answered = match deed.how {
            How::HalfOpen | How::AcceptedLate => 0,
            _ => 7,
        };
        let (of_client, of_server) = match deed.how {
            How::Held => ((-1.0, f64::MAX), (-1.0, f64::MAX)),
            How::HalfOpen => ((opened, over), (over, over)),
            How::AcceptedLate => ((opened, opened + 0.001), (over, last(over + 0.01))),
            How::ClosedLate => ((opened, over), (opened + 0.0001, opened + 0.002)),
            How::Used => ((opened, over), (opened + 0.0001, last(over + 0.0001))),
        };
        let mut live = |end, times, totals| {
            self.lives.push(Life {
                end,
                opened,
                times,
                totals,
            });
        };
        live(client, of_client, totals(5, answered));
        if deed.how != How::HalfOpen {
            live(server, of_server, totals(answered, 5));
        }
        let (one, other) = (of_client.1, of_server.1);
        (one.min(other), one.max(other))
    }

    /// What a run tells of who listens.
    fn listeners(&mut self, host: usize, (from, to): Span) {
        let is_in = |time: f64| from < time && time < to;
        for (n, service) in self.world.services.iter().enumerate() {
            if service.space.host() != host {
                continue;
            }
            for (begins, ends) in service.times() {
                if begins <= from && from < ends {
                    self.listen(n, from + 0.005, true, ProcessEvidence::Scan);
                } else if is_in(begins) {
                    self.listen(n, begins, true, ProcessEvidence::Hook);
                }
                if is_in(ends) {
                    self.listen(n, ends, false, ProcessEvidence::Hook);
                }
            }
        }
    }

    /// What a run tells of the ends of connections.
    fn open(&mut self, host: usize, (from, to): Span, run: u64) {
        for life in std::mem::take(&mut self.lives) {
            let (begins, ends) = life.times;
            if life.end.space.host() == host && begins < to && ends > from {
                let existing = life.opened <= from || begins <= from;
                // Each run gives numbers of its own to what it finds, whose handshake it did not see.
                let end = End {
                    existing,
                    id: life.end.id + if existing { 100_000 * (1 + run) } else { 0 },
                    handshake: life.end.handshake.filter(|_| !existing),
                    ..life.end.clone()
                };
                let event = |totals| Self::connection(&end, life.opened, totals, None);
                let body = match (existing, end.direction) {
                    (true, _) => Body::Existing(event(None)),
                    (_, Direction::Outbound) => Body::Connect(event(None)),
                    (_, Direction::Inbound) => Body::Accept(event(None)),
                };
                self.tell(host, begins.max(from + 0.01), body);
                if ends < to {
                    let time = ends.max(from + 0.02);
                    self.tell(host, time, Body::Close(event(life.totals)));
                } else {
                    // It is asked what it has carried when watching ends.
                    let mut carries = event(life.totals);
                    carries.connection.closed_by = None;
                    self.tell(host, to - 0.005, Body::Totals(carries));
                }
            }
            self.lives.push(life);
        }
    }

    /// What is told of a run, in the order of time.
    fn run(&mut self, host: usize, number: u64, (from, to): Span, is_stopped: bool) {
        let before = std::mem::take(&mut self.events);
        let is_here = |it: &Event| it.host == host_of(host);
        let is_of = |it: &Event| is_here(it) && at(from) < it.time && it.time < at(to);
        let (of_run, others) = before.into_iter().partition(is_of);
        self.events = of_run;
        self.listeners(host, (from, to));
        self.open(host, (from, to), number);
        // A run that is very short tells less.
        self.events.retain(|it| it.time < at(to));
        self.events.sort_by_key(|it| it.time);
        let mut of_run = std::mem::replace(&mut self.events, others);
        let stop = stop(&of_run, (from, to));
        let tell = |time, body| Event {
            time: at(time),
            host: host_of(host),
            body,
        };
        of_run.insert(0, tell(from, Body::Start(blank::start())));
        if is_stopped {
            of_run.push(tell(to, Body::Stop(Box::new(stop))));
        }
        self.events.extend(of_run);
    }
}

/// The end of a run that told `events`.
fn stop(events: &[Event], (from, to): Span) -> Stop {
    let mut totals: Ledger<Tally> = Ledger::default();
    for event in events {
        if let Some(counter) = Counter::of(event.body.kind()) {
            let tally = totals.get_mut(counter);
            tally.seen += 1;
            tally.delivered += 1;
        }
    }
    Stop {
        totals,
        lines: Some(1 + events.len() as u64),
        ..blank::stop([at(from), at(to)])
    }
}

/// All that both hosts tell, and the truth.
pub(super) fn told(world: &World) -> (Vec<Event>, Truth) {
    let mut teller = Teller {
        world,
        events: Vec::new(),
        truth: Truth::default(),
        lives: Vec::new(),
        ids: 1_000,
    };
    for deed in &world.deeds {
        teller.deed(deed);
    }
    for host in 0..2 {
        for (number, (span, is_stopped)) in (0..).zip(world.runs(host)) {
            teller.run(host, number, span, is_stopped);
        }
    }
    let Teller {
        mut events, truth, ..
    } = teller;
    events.sort_by_key(|it| it.time);
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
