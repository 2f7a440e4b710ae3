//! One event of every shape: every kind, every optional field, every word.

use std::sync::Arc;

use super::blank::{self, address};

use crate::model::{
    AddressClass, AddressEvidence, Blind, BlindId, Body, Called, Closer, Connection,
    ConnectionEvent, ConnectionId, Container, Cost, Counter, Coverage, Direction,
    DirectionEvidence, EndEvidence, Ends, Event, Evidence, ExitStatus, Failure, Host, Kubernetes,
    Ledger, Listener, ListenerEvent, Loss, Lost, Name, NameSource, Outer, Owner, Phase, Process,
    ProcessEvent, ProcessEvidence, Reason, Repaired, Signal, Start, Stop, Tally, Timestamp, Totals,
    Tracer, Translation, Workload, WorkloadKind,
};

/// 2026-11-22T01:02:03.123456789Z
pub(crate) fn time() -> Timestamp {
    Timestamp::from_ns(1_795_309_323_123_456_789)
}

pub(crate) fn event(body: Body) -> Event {
    let host = Host {
        id: "6f1c0b6e".to_owned(),
        name: "web-1".to_owned(),
    };
    Event {
        time: time(),
        host: Arc::new(host),
        body,
    }
}

pub(crate) fn process(comm: &str) -> Arc<Process> {
    Arc::new(Process {
        ppid: Some(1),
        uid: Some(33),
        exe: Some("/usr/sbin/nginx".into()),
        args: Some(vec!["nginx: worker process".to_owned()].into()),
        cwd: Some("/srv/shop".into()),
        started: Some(time()),
        ..blank::process(812, comm)
    })
}

/// A workload of this kind, with all it can have.
pub(crate) fn workload(kind: WorkloadKind) -> Workload {
    let name = match kind {
        WorkloadKind::Systemd => "nginx.service",
        WorkloadKind::Container | WorkloadKind::Pod => "web",
        WorkloadKind::Executable => "nginx@1000",
    };
    let mut workload = Workload {
        uid: (kind == WorkloadKind::Executable).then_some(1000),
        role: Some("web".into()),
        ..blank::workload(kind, name)
    };
    match kind {
        WorkloadKind::Systemd => {
            workload.unit = Some("nginx.service".into());
            workload.slice = Some("system.slice".into());
        }
        WorkloadKind::Container | WorkloadKind::Pod => {
            workload.container = Some(Container {
                id: "4c01db0b339c".into(),
                name: Some("web".into()),
                image: Some("nginx:1.27".into()),
                runtime: Some("containerd".into()),
                around: Some(Outer {
                    id: "7a2c5f0e9d4b".into(),
                    name: Some("ci".into()),
                }),
                labels: [("tier".into(), "front".into())].into(),
                labels_cut: 2,
            });
        }
        WorkloadKind::Executable => {}
    }
    if kind == WorkloadKind::Pod {
        workload.k8s = Some(Kubernetes {
            namespace: Some("shop".into()),
            pod: Some("web-6d5f8c9b7-x2x9z".into()),
            uid: Some("0f2fcd43-4b4e-4c2c-9b52-1f0a3b5d7e91".into()),
            qos: Some("burstable".into()),
            owner: Some(Owner {
                kind: "Deployment".into(),
                name: "web".into(),
            }),
            node: Some("node-1".into()),
        });
    }
    workload
}

fn evidence(process: ProcessEvidence, direction: DirectionEvidence) -> Evidence {
    Evidence {
        process,
        direction: Some(direction),
        end: None,
    }
}

/// An outbound connection that has just been established.
pub(crate) fn connect() -> ConnectionEvent {
    ConnectionEvent {
        connection: Connection {
            id: ConnectionId {
                begun_ns: 0x9c41,
                salt: 0x2f,
            },
            handshake: Some(0x0123_4567_89ab_cdef),
            direction: Some(Direction::Outbound),
            netns: 4_026_531_840,
            ends: Ends {
                local: address("10.0.0.5:41532"),
                remote: address("10.0.0.9:5432"),
            },
            translation: None,
            name: None,
            opened: Some(time()),
            existing: false,
            connect_ns: Some(184_223),
            duration_ns: None,
            totals: None,
            closed_by: None,
            errno: None,
        },
        failure: None,
        process: Some(process("nginx")),
        peer: None,
        evidence: evidence(ProcessEvidence::Hook, DirectionEvidence::Handshake),
    }
}

/// `event` with all that can be known of who is behind it, both ends of this kind of workload.
pub(crate) fn named(mut event: ConnectionEvent, kind: WorkloadKind) -> ConnectionEvent {
    let process = |comm| {
        Arc::new(Process {
            workload: Some(Arc::new(workload(kind))),
            ..Process::clone(&process(comm))
        })
    };
    event.process = Some(process("nginx"));
    if event.connection.handshake.is_some() {
        event.peer = Some(process("postgres"));
    }
    if event.connection.direction == Some(Direction::Outbound) {
        let server = event.connection.ends.remote;
        event.connection.ends.remote = address("10.96.0.17:5432");
        event.connection.translation = Some(Box::new(Translation {
            dialled: event.connection.ends.remote,
            server,
            evidence: AddressEvidence::Conntrack,
        }));
        event.connection.name = Some(Arc::new(Name {
            called: Called::One {
                name: "db.internal".into(),
                canonical: Some("db-3.internal".into()),
            },
            source: NameSource::Dns,
        }));
    }
    event
}

/// `event` with several names that its server may be meant by.
fn called_one_of(event: ConnectionEvent) -> ConnectionEvent {
    let mut event = named(event, WorkloadKind::Systemd);
    event.connection.name = Some(Arc::new(Name {
        called: Called::OneOf {
            names: vec!["blog.example".into(), "shop.example".into()],
            is_cut: true,
        },
        source: NameSource::Dns,
    }));
    event
}

/// An inbound connection that was accepted by the owner of the listener or a child.
pub(crate) fn accept() -> ConnectionEvent {
    let mut event = connect();
    event.connection.direction = Some(Direction::Inbound);
    event.connection.ends = Ends {
        local: address("[2001:db8::9]:443"),
        remote: address("[2001:db8::5]:41532"),
    };
    event.connection.connect_ns = None;
    event.evidence.process = ProcessEvidence::Listener;
    event
}

/// The end of [`connect`].
pub(crate) fn close() -> ConnectionEvent {
    let mut event = connect();
    event.connection.duration_ns = Some(9_120_331);
    event.connection.totals = Some(Totals {
        sent_bytes: 1_204,
        received_bytes: 88_172,
        rtt_ns: Some(201_000),
        retransmits: 2,
    });
    event.connection.closed_by = Some(Closer::Local);
    event
}

/// What [`connect`] has carried so far.
pub(crate) fn totals() -> ConnectionEvent {
    let mut event = close();
    event.connection.closed_by = None;
    event
}

/// The end of a connection of which little is known.
pub(crate) fn close_existing() -> ConnectionEvent {
    let mut event = close();
    event.connection.handshake = None;
    event.connection.direction = None;
    event.connection.existing = true;
    event.connection.opened = None;
    event.connection.connect_ns = None;
    event.connection.duration_ns = None;
    event.connection.closed_by = Some(Closer::Remote);
    event.connection.errno = Some("ECONNRESET");
    event.process = None;
    event.evidence = evidence(ProcessEvidence::Unknown, DirectionEvidence::Unknown);
    event
}

/// An attempt that failed.
pub(crate) fn fail(phase: Phase, reason: Reason, errno: Option<&'static str>) -> ConnectionEvent {
    let mut event = connect();
    event.connection.handshake = None;
    event.connection.opened = None;
    event.connection.connect_ns = None;
    event.connection.duration_ns = Some(12_345_678);
    event.failure = Some(Failure {
        phase,
        reason,
        errno,
        unanswered_syns: None,
    });
    event
}

/// An attempt of which nobody answered so many SYNs.
pub(crate) fn unanswered(reason: Reason, syns: u32) -> ConnectionEvent {
    let mut event = fail(Phase::Abandoned, reason, None);
    event.connection.duration_ns = Some(3_004_000_000);
    if let Some(failure) = &mut event.failure {
        failure.unanswered_syns = Some(syns);
    }
    event
}

/// A socket that listens.
pub(crate) fn listener() -> ListenerEvent {
    ListenerEvent {
        listener: Listener {
            local: address("0.0.0.0:80"),
            backlog: Some(511),
            netns: 4_026_531_840,
        },
        process: Some(process("nginx")),
        evidence: Evidence {
            process: ProcessEvidence::Scan,
            direction: None,
            end: None,
        },
    }
}

/// A connection that was there when the tracer came, of which the direction is known or not.
pub(crate) fn existing(direction: Option<Direction>) -> ConnectionEvent {
    let mut event = connect();
    event.connection.handshake = None;
    event.connection.direction = direction;
    event.connection.existing = true;
    event.connection.opened = None;
    event.connection.connect_ns = None;
    event.evidence = evidence(ProcessEvidence::Scan, DirectionEvidence::Unknown);
    event
}

/// The end of a connection that was found to be over.
pub(crate) fn close_found() -> ConnectionEvent {
    let mut event = connect();
    event.evidence.end = Some(EndEvidence::Scan);
    event
}

/// A process that ran another program, or ended.
pub(crate) fn process_event(exit: Option<ExitStatus>) -> ProcessEvent {
    ProcessEvent {
        process: process("nginx"),
        exit,
    }
}

pub(crate) fn start() -> Start {
    Start {
        tracer: Tracer {
            version: "0.1.0".into(),
            hooks: "fentry".to_owned(),
            kernel: "6.1.0-18-amd64".to_owned(),
            arch: "x86_64".to_owned(),
        },
        blind: vec![Blind {
            id: Some(BlindId::Dns),
            what: "what cannot be seen".into(),
            why: "the reason".into(),
        }],
    }
}

fn coverage() -> Coverage {
    Coverage {
        from: Timestamp::from_ns(time().as_ns() - 90_000_000_000),
        to: time(),
    }
}

pub(crate) fn loss() -> Loss {
    let mut lost = Ledger::<Lost>::default();
    let entry = lost.get_mut(Counter::Close);
    *entry = Lost {
        ring_full: 1_200,
        table_full: 30,
        undecodable: 4,
    };
    lost.get_mut(Counter::Fail).ring_full = 1;
    Loss {
        lost,
        missed: 3,
        interval: coverage(),
    }
}

/// The account of a run, with the loss in [`loss`] or without any.
pub(crate) fn stop(with_loss: bool) -> Stop {
    let mut totals = Ledger::<Tally>::default();
    *totals.get_mut(Counter::Connect) = Tally {
        seen: 20_000,
        delivered: 20_000,
        lost: Lost::default(),
    };
    if with_loss {
        let lost = Lost {
            ring_full: 1_200,
            table_full: 30,
            undecodable: 4,
        };
        *totals.get_mut(Counter::Close) = Tally {
            seen: 20_000,
            delivered: 20_000 - lost.total(),
            lost,
        };
    }
    Stop {
        totals,
        missed: if with_loss { 3 } else { 0 },
        repaired: Repaired {
            opened: 0,
            closed: u64::from(with_loss),
        },
        unread: if with_loss { 2 } else { 0 },
        unattributed: u64::from(with_loss),
        cost: Cost {
            cpu_ns: 1_234_567_890,
            memory_bytes: Some(23 << 20),
        },
        lines: with_loss.then_some(61_234),
        coverage: coverage(),
    }
}

/// Every kind with every field it can have, and every word.
pub(crate) fn all() -> Vec<Event> {
    let mut bodies = vec![
        Body::Start(start()),
        Body::Connect(connect()),
        Body::Accept(accept()),
        Body::Totals(totals()),
        Body::Totals(ConnectionEvent {
            connection: Connection {
                closed_by: None,
                errno: None,
                ..close_existing().connection
            },
            ..close_existing()
        }),
        Body::Close(close()),
        Body::Close(close_existing()),
        Body::Close(close_found()),
        Body::Fail(ConnectionEvent {
            evidence: close_found().evidence,
            ..fail(Phase::Network, Reason::Other, None)
        }),
        Body::Existing(existing(None)),
        Body::Existing(existing(Some(Direction::Outbound))),
        Body::Exec(process_event(None)),
        Body::Exit(process_event(Some(ExitStatus::Code(0)))),
        Body::Exit(process_event(Some(ExitStatus::Signal(Signal::Name(
            "SIGKILL",
        ))))),
        Body::Listen(listener()),
        Body::Unlisten(listener()),
        Body::Loss(Box::new(loss())),
        Body::Stop(Box::new(stop(true))),
    ];
    for phase in [
        Phase::Local,
        Phase::Network,
        Phase::Remote,
        Phase::Abandoned,
    ] {
        // A new variant does not compile here: add it to the list, too.
        match phase {
            Phase::Local | Phase::Network | Phase::Remote | Phase::Abandoned => {}
        }
        bodies.push(Body::Fail(fail(phase, Reason::Other, Some("EPERM"))));
    }
    let reasons = [
        Reason::NoRoute,
        Reason::AcceptQueueFull,
        Reason::NotListening,
        Reason::NoLocalPort,
        Reason::Denied,
        Reason::AddressInUse,
        Reason::TimedOut,
        Reason::HostUnreachable,
        Reason::NetworkUnreachable,
        Reason::Refused,
        Reason::Reset,
        Reason::Abandoned,
        Reason::Other,
    ];
    for reason in reasons {
        match reason {
            Reason::NoRoute
            | Reason::AcceptQueueFull
            | Reason::NotListening
            | Reason::NoLocalPort
            | Reason::Denied
            | Reason::AddressInUse
            | Reason::TimedOut
            | Reason::HostUnreachable
            | Reason::NetworkUnreachable
            | Reason::Refused
            | Reason::Reset
            | Reason::Abandoned
            | Reason::Other => {}
        }
        bodies.push(Body::Fail(fail(Phase::Remote, reason, None)));
    }
    for reason in [Reason::Abandoned, Reason::TimedOut] {
        bodies.push(Body::Fail(unanswered(reason, 2)));
    }
    let found = [
        ProcessEvidence::Hook,
        ProcessEvidence::Listener,
        ProcessEvidence::Read,
        ProcessEvidence::Close,
        ProcessEvidence::Scan,
        ProcessEvidence::Unknown,
    ];
    for process in found {
        match process {
            ProcessEvidence::Hook
            | ProcessEvidence::Listener
            | ProcessEvidence::Read
            | ProcessEvidence::Close
            | ProcessEvidence::Scan
            | ProcessEvidence::Unknown => {}
        }
        bodies.push(Body::Close(ConnectionEvent {
            evidence: evidence(process, DirectionEvidence::Handshake),
            ..close()
        }));
    }
    let proven = [
        DirectionEvidence::Handshake,
        DirectionEvidence::Listener,
        DirectionEvidence::Unknown,
    ];
    for direction in proven {
        match direction {
            DirectionEvidence::Handshake
            | DirectionEvidence::Listener
            | DirectionEvidence::Unknown => {}
        }
        bodies.push(Body::Close(ConnectionEvent {
            evidence: evidence(ProcessEvidence::Hook, direction),
            ..close()
        }));
    }
    for remote in [
        "127.0.0.1:5432",
        "10.0.0.9:5432",
        "169.254.1.1:5432",
        "169.254.169.254:80",
        "100.64.0.1:5432",
        "224.0.0.1:5432",
        "192.0.2.1:5432",
        "8.8.8.8:53",
        "[fe80::1%2]:5432",
    ] {
        let remote = address(remote);
        match AddressClass::of(remote.ip()) {
            AddressClass::Loopback
            | AddressClass::Private
            | AddressClass::LinkLocal
            | AddressClass::Metadata
            | AddressClass::Shared
            | AddressClass::Multicast
            | AddressClass::Reserved
            | AddressClass::Public => {}
        }
        let mut dialled = connect();
        if remote.is_ipv6() {
            dialled.connection.ends.local = address("[fe80::5%2]:41532");
        }
        dialled.connection.ends.remote = remote;
        dialled.connection.translation = None;
        bodies.push(Body::Connect(dialled));
    }
    let mut on_link = listener();
    on_link.listener.local = address("[fe80::5%2]:80");
    bodies.push(Body::Listen(on_link));
    let kinds = [
        WorkloadKind::Systemd,
        WorkloadKind::Container,
        WorkloadKind::Pod,
        WorkloadKind::Executable,
    ];
    for kind in kinds {
        match kind {
            WorkloadKind::Systemd
            | WorkloadKind::Container
            | WorkloadKind::Pod
            | WorkloadKind::Executable => {}
        }
        let process = Arc::new(Process {
            workload: Some(Arc::new(workload(kind))),
            ..Process::clone(&process("nginx"))
        });
        bodies.extend([
            Body::Connect(named(connect(), kind)),
            Body::Accept(named(accept(), kind)),
            Body::Totals(named(totals(), kind)),
            Body::Close(named(close(), kind)),
            Body::Fail(named(fail(Phase::Remote, Reason::Refused, None), kind)),
            Body::Existing(named(existing(Some(Direction::Outbound)), kind)),
        ]);
        for make in [Body::Listen, Body::Unlisten] {
            bodies.push(make(ListenerEvent {
                process: Some(Arc::clone(&process)),
                ..listener()
            }));
        }
        for make in [Body::Exec, Body::Exit] {
            let exit = Some(ExitStatus::Code(0));
            let event = make(ProcessEvent {
                process: Arc::clone(&process),
                exit: None,
            });
            bodies.push(match event {
                Body::Exit(it) => Body::Exit(ProcessEvent { exit, ..it }),
                other => other,
            });
        }
    }
    for source in NameSource::ALL {
        let mut event = named(connect(), WorkloadKind::Systemd);
        let name = event.connection.name.as_mut().expect("it has one");
        Arc::make_mut(name).source = source;
        bodies.push(Body::Connect(event));
    }
    let open = existing(Some(Direction::Outbound));
    bodies.push(Body::Existing(called_one_of(open)));
    bodies.push(Body::Connect(called_one_of(connect())));
    bodies.push(Body::Totals(called_one_of(totals())));
    bodies.push(Body::Close(called_one_of(close())));
    let refused = fail(Phase::Remote, Reason::Refused, Some("ECONNREFUSED"));
    bodies.push(Body::Fail(called_one_of(refused)));
    let addresses = [AddressEvidence::Rewrite, AddressEvidence::Conntrack];
    for address in addresses {
        match address {
            AddressEvidence::Rewrite | AddressEvidence::Conntrack => {}
        }
        let mut event = named(connect(), WorkloadKind::Systemd);
        let translation = event.connection.translation.as_mut().expect("it has one");
        translation.evidence = address;
        bodies.push(Body::Connect(event));
    }
    bodies.into_iter().map(event).collect()
}
