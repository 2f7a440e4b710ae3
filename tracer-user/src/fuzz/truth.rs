//! Small systems whose truth is known, told as a recording, whole or not: no answer about them that calls
//! itself proven is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    ask::{
        Allowed, Proof, Verdict, diff, failures, idle,
        impact::{self, Way},
        recovery_order, verify,
    },
    map::{self, Map},
    model::{
        Body, Closer, Connection, ConnectionEvent, ConnectionId, Coverage, Direction,
        DirectionEvidence, Ends, Event, Evidence, Failure, Host, Ledger, Listener, ListenerEvent,
        NodeKind, Phase, Process, ProcessEvidence, ProcessKey, Reason, Repaired, Start, Stop,
        Tally, Timestamp, Totals, Tracer, View, Workload, WorkloadKind, find,
    },
};

const SECOND: u64 = 1_000_000_000;
const EPOCH: u64 = 1_795_309_323 * SECOND;
/// How long it is watched, seconds.
const RUN: f64 = 1_000.0;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_ns(EPOCH + (seconds * SECOND as f64) as u64)
}

/// Who listens.
#[derive(Clone, Debug)]
struct Service {
    host: usize,
    /// On all addresses, or on loopback.
    wildcard: bool,
    /// Since when, if that was watched.
    begins: Option<f64>,
    /// It is down for so long then.
    outage: Option<(f64, f64)>,
    /// Another workload accepts.
    is_activated: bool,
}

/// How somebody dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It is served.
    Used,
    /// The client resets before anybody accepts.
    HalfOpen,
    /// It is accepted long after it was over for the client.
    AcceptedLate,
    /// The client closes long after the server.
    ClosedLate,
    /// It is there from before the start, and stays.
    Held,
}

/// Somebody dials.
#[derive(Clone, Debug)]
struct Deed {
    client: usize,
    service: Index,
    how: How,
    time: f64,
    lasts: f64,
}

/// What happens to the recording.
#[derive(Clone, Debug)]
enum Fate {
    Whole,
    /// A line is missing.
    Cut(Index),
    /// All before is, or all after.
    Head(Index),
    Tail(Index),
    /// It is given twice.
    Twice,
    /// Two parts that overlap.
    Split(Index, Index),
    /// One line comes later.
    Late(Index, Index),
    /// The clock is set back while it is watched.
    SetBack(f64, f64),
}

#[derive(Clone, Debug)]
struct World {
    services: Vec<Service>,
    /// The host of each.
    clients: Vec<usize>,
    deeds: Vec<Deed>,
    fate: Fate,
}

fn service() -> impl Strategy<Value = Service> {
    (
        0..2_usize,
        any::<bool>(),
        prop::option::of(1.0..RUN / 2.0),
        prop::option::of((RUN / 2.0..RUN * 0.7, 1.0..RUN * 0.2)),
        any::<bool>(),
    )
        .prop_map(|(host, wildcard, begins, outage, is_activated)| Service {
            host,
            wildcard,
            begins,
            outage,
            is_activated,
        })
}

fn deed() -> impl Strategy<Value = Deed> {
    let how = prop_oneof![
        4 => Just(How::Used),
        1 => Just(How::HalfOpen),
        1 => Just(How::AcceptedLate),
        1 => Just(How::ClosedLate),
        1 => Just(How::Held),
    ];
    (
        0..4_usize,
        any::<Index>(),
        how,
        2.0..RUN - 2.0,
        0.001..200.0,
    )
        .prop_map(|(client, service, how, time, lasts)| Deed {
            client,
            service,
            how,
            time,
            lasts,
        })
}

fn fate() -> impl Strategy<Value = Fate> {
    let index = any::<Index>;
    prop_oneof![
        4 => Just(Fate::Whole),
        2 => index().prop_map(Fate::Cut),
        1 => index().prop_map(Fate::Head),
        1 => index().prop_map(Fate::Tail),
        1 => Just(Fate::Twice),
        1 => (index(), index()).prop_map(|(one, other)| Fate::Split(one, other)),
        1 => (index(), index()).prop_map(|(one, other)| Fate::Late(one, other)),
        1 => (1.0..RUN, 0.1..5_000.0).prop_map(|(time, by)| Fate::SetBack(time, by)),
    ]
}

fn world() -> impl Strategy<Value = World> {
    (
        vec(service(), 1..4),
        vec(0..2_usize, 4),
        vec(deed(), 0..8),
        fate(),
    )
        .prop_map(|(services, clients, deeds, fate)| World {
            services,
            clients,
            deeds,
            fate,
        })
}

/// What is true of it.
#[derive(Debug, Default)]
struct Truth {
    /// Connections, by client and service.
    used: BTreeMap<(usize, usize), u64>,
    /// Attempts that failed.
    failed: BTreeMap<(usize, usize), u64>,
}

fn client_name(n: usize) -> String {
    format!("client-{n}.service")
}

fn service_name(n: usize) -> String {
    format!("server-{n}.service")
}

fn worker_name(n: usize) -> String {
    format!("worker-{n}.service")
}

fn host(n: usize) -> Arc<Host> {
    Arc::new(Host {
        id: format!("id-{n}"),
        name: format!("host-{n}"),
    })
}

fn process(name: &str, pid: u32) -> Arc<Process> {
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
struct Teller {
    hosts: [Arc<Host>; 2],
    events: Vec<Event>,
    truth: Truth,
    ids: u64,
}

#[derive(Clone)]
struct End {
    host: usize,
    id: u64,
    handshake: Option<u64>,
    direction: Direction,
    local: SocketAddr,
    remote: SocketAddr,
    process: Option<Arc<Process>>,
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

fn listens_at(n: usize, service: &Service) -> SocketAddr {
    let ip = if service.wildcard {
        "0.0.0.0"
    } else {
        "127.0.0.1"
    };
    SocketAddr::new(ip.parse().expect("an address"), 8_000 + n as u16)
}

/// All that both hosts tell, and the truth.
fn told(world: &World) -> (Vec<Event>, Truth) {
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
fn suffered(events: Vec<Event>, fate: &Fate) -> Vec<Event> {
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

fn view_of(events: &[Event]) -> View {
    let mut map = Map::new(map::Options {
        counts_lines: true,
        ..map::Options::SEVERAL_HOSTS
    });
    for event in events {
        map.push(event);
    }
    map.view()
}

fn is_proven(proof: &Proof) -> bool {
    proof.verdict != Verdict::NotProven
}

/// Panics if an answer about `view` that calls itself proven is not `truth`.
fn check(world: &World, view: &View, truth: &Truth) {
    let dials = |n: usize| -> BTreeSet<String> {
        let all = truth.used.keys().chain(truth.failed.keys());
        let of = all.filter(|(_, service)| *service == n);
        of.map(|(client, _)| client_name(*client)).collect()
    };
    for n in 0..world.services.len() {
        let Ok(node) = find(view, &service_name(n)) else {
            continue;
        };
        let answer = impact::impact(view, &[node], Way::Dependents, None);
        if is_proven(&answer.proof) {
            // What is only known by its address may be any that is there.
            let addresses: BTreeSet<String> = answer
                .found
                .reached
                .iter()
                .filter(|it| it.who.name.starts_with("10.0.0."))
                .map(|it| it.who.name.to_string())
                .collect();
            let may_be = |name: &str| {
                let n: usize = name["client-".len()..][..1].parse().expect("its number");
                addresses.contains(&format!("10.0.0.{}", world.clients[n] + 1))
            };
            let reached = answer.found.reached.iter();
            let reached: BTreeSet<String> = reached
                .map(|it| it.who.name.to_string())
                .filter(|it| it.starts_with("client"))
                .collect();
            let dials = dials(n);
            assert!(
                reached.is_subset(&dials),
                "{reached:?} depend on server {n}: {dials:?}"
            );
            let missing = dials.difference(&reached);
            let missing: Vec<&String> = missing.filter(|it| !may_be(it)).collect();
            assert!(missing.is_empty(), "{missing:?} depend on server {n}");
            if !world.services[n].is_activated {
                let used = truth.used.iter().filter(|((_, of), _)| *of == n);
                let used: u64 = used.map(|(_, times)| *times).sum();
                let counted: u64 = answer.found.reached.iter().map(|it| it.connections).sum();
                assert_eq!(counted, used, "connections of server {n}");
                let failed = truth.failed.iter().filter(|((_, of), _)| *of == n);
                let failed: u64 = failed.map(|(_, times)| *times).sum();
                let counted: u64 = answer.found.reached.iter().map(|it| it.failures).sum();
                assert_eq!(counted, failed, "failures of server {n}");
            }
        }
    }
    let answer = idle::idle(view, None);
    if is_proven(&answer.proof) {
        for idle in &answer.found.listeners {
            let n = usize::from(idle.port - 8_000);
            let used = truth.used.keys().any(|(_, service)| *service == n);
            assert!(!used || idle.last_used.is_some(), "server {n} was used");
        }
        for n in 0..world.services.len() {
            let used = truth.used.keys().any(|(_, service)| *service == n);
            let named = answer
                .found
                .listeners
                .iter()
                .any(|it| usize::from(it.port) == 8_000 + n);
            assert!(used || named, "server {n} was not used");
        }
    }
    let answer = failures::failures(view, Duration::from_secs(60));
    if is_proven(&answer.proof) {
        let told: u64 = view.edges.iter().map(crate::model::Edge::failures).sum();
        let failed: u64 = truth.failed.values().sum();
        assert_eq!(told, failed, "failures");
    }
    let _ = recovery_order::recovery_order(view, SECOND);
    let answer = diff::diff(view, view, &Allowed::default());
    assert!(answer.found.changes.is_empty(), "it differs from itself");
    let answer = verify::verify(view, view);
    assert!(answer.found.missing.is_empty(), "it misses itself");
}

/// Panics if a comparison that calls itself proven is not what changed between the two truths.
fn compare(world: &World, before: (&View, &Truth), after: (&View, &Truth)) {
    let ends = |link: &crate::ask::Link| (link.client.name.to_string(), link.port);
    let pair = |(client, n): (usize, usize)| (client_name(client), Some(8_000 + n as u16));
    let is_there = |truth: &Truth, pair: &(usize, usize)| {
        truth.used.contains_key(pair) || truth.failed.contains_key(pair)
    };
    fn changes_of(found: &diff::Diff) -> impl Iterator<Item = &crate::ask::Link> {
        found
            .changes
            .iter()
            .filter_map(|it| match (&it.change, &it.what) {
                (diff::How::Gone, diff::What::Edge { before, .. }) => before.as_deref(),
                _ => None,
            })
    }
    let answer = diff::diff(before.0, after.0, &Allowed::default());
    // What is left may be attempts that failed before anybody listened.
    let failing = answer
        .found
        .changes
        .iter()
        .filter_map(|it| match (&it.change, &it.what) {
            (diff::How::Failing, diff::What::Edge { after, .. }) => after.as_deref(),
            _ => None,
        });
    let gone: Vec<_> = changes_of(&answer.found).chain(failing).map(ends).collect();
    if is_proven(&answer.proof) {
        for edge in before.1.used.keys() {
            let is_told = gone.iter().any(|(_, port)| *port == pair(*edge).1);
            assert!(is_there(after.1, edge) || is_told, "{edge:?} is gone");
            // What failed before anybody listened was nobody's; and who serves a socket that another one
            // has may be either.
            let (client, port) = pair(*edge);
            let is_told = changes_of(&answer.found).any(|it| {
                it.server.kind == NodeKind::Workload && ends(it) == (client.clone(), port)
            });
            let is_served = !world.services[edge.1].is_activated && after.1.used.contains_key(edge);
            assert!(!is_served || !is_told, "{edge:?} is there");
        }
    }
    let answer = verify::verify(before.0, after.0);
    if is_proven(&answer.proof) {
        let missing = answer.found.missing.iter().chain(&answer.found.failing);
        let missing: Vec<_> = missing.map(ends).collect();
        // What failed in the end is not asked for.
        let worked = before.1.used.keys();
        for edge in worked.filter(|it| !before.1.failed.contains_key(it)) {
            let is_told = missing.iter().any(|(_, port)| *port == pair(*edge).1);
            assert!(is_there(after.1, edge) || is_told, "{edge:?} is missing");
        }
    }
}

proptest! {
    #![proptest_config(super::properties::cases(400))]

    #[test]
    fn no_proven_comparison_contradicts_what_changed(
        world in world(),
        dropped in vec(any::<Index>(), 1..4),
    ) {
        let (events, truth) = told(&World { fate: Fate::Whole, ..world.clone() });
        let before = view_of(&events);
        let mut less = world.clone();
        for index in dropped {
            if !less.deeds.is_empty() {
                less.deeds.remove(index.index(less.deeds.len()));
            }
        }
        let (events, now) = told(&less);
        let after = view_of(&suffered(events, &less.fate));
        compare(&world, (&before, &truth), (&after, &now));
    }

    #[test]
    fn no_proven_answer_contradicts_the_truth(world in world()) {
        let (events, truth) = told(&world);
        let view = view_of(&suffered(events, &world.fate));
        check(&world, &view, &truth);
    }
}

/// The search would be worth nothing if it never asked anything.
#[test]
fn whole_recordings_are_proven() {
    let world = World {
        services: vec![Service {
            host: 0,
            wildcard: true,
            begins: None,
            outage: None,
            is_activated: false,
        }],
        clients: vec![0, 1, 0, 1],
        deeds: Vec::new(),
        fate: Fate::Whole,
    };
    let (events, _) = told(&world);
    let view = view_of(&events);
    assert!(is_proven(&idle::idle(&view, None).proof));
}
