//! Views: a small system as it could be, one of any size, and one of any names.

use std::{net::IpAddr, sync::Arc};

use super::{
    at,
    blank::{self, host},
    events,
};
use crate::model::{
    Blind, Change, Counter, Edge, EdgeEvidence, EdgeState, Endings, Gap, Happened, History, Host,
    HostCoverage, Kubernetes, LastFailure, LedPast, ListeningAt, Lost, Node, NodeKind, Outage,
    Owner, Process, Quantiles, Reason, Run, SeenBy, ServedBy, View, Workload, WorkloadKind,
};

/// From when to when these systems are watched, seconds.
const HOUR: [u64; 2] = [0, 3_600];

/// A workload on `host`, with a process of its name.
fn workload(
    host: &Arc<Host>,
    kind: WorkloadKind,
    name: &str,
    role: Option<&str>,
    ports: &[u16],
) -> Node {
    let workload = Arc::new(Workload {
        role: role.map(Into::into),
        ..blank::workload(kind, name)
    });
    let process = Process {
        workload: Some(Arc::clone(&workload)),
        ppid: Some(1),
        uid: Some(33),
        exe: Some(format!("/usr/bin/{name}").into()),
        args: Some(vec![name.to_owned(), "--config=/etc/x.conf".to_owned()].into()),
        cwd: Some("/srv/shop".into()),
        started: Some(at(0)),
        ..blank::process(812, name)
    };
    let listener =
        |port: &u16| ListeningAt::new(IpAddr::from([0, 0, 0, 0]).into(), *port, 4_026_531_840);
    Node {
        id: format!("{}/workload/{name}", host.id).into(),
        kind: NodeKind::Workload,
        host: Some(Arc::clone(host)),
        workload: Some(workload),
        processes: vec![Arc::new(process)],
        listeners: ports.iter().map(listener).collect(),
        ..blank::node(name, HOUR.map(at))
    }
}

fn remote(name: &str, address: [u8; 4]) -> Node {
    Node {
        id: format!("remote/{name}").into(),
        addresses: vec![IpAddr::from(address).into()],
        ..blank::node(name, HOUR.map(at))
    }
}

/// An edge that does well.
fn edge(client: usize, server: usize, port: u16, established: u64) -> Edge {
    let quantiles = Quantiles {
        count: established,
        min: 90_000,
        max: 9_000_000,
        p50: 184_223,
        p95: 1_200_000,
        p99: 4_100_000,
    };
    Edge {
        established,
        terminated: established / 2,
        sent_bytes: 1_204 * established,
        received_bytes: 88_172 * established,
        connect_ns: Some(quantiles),
        rtt_ns: Some(quantiles),
        retransmits: established / 100,
        last_success: Some(at(3_599)),
        evidence: EdgeEvidence {
            ends: SeenBy::Both,
            both: established,
            client_process: [("hook", established)].into(),
            server_process: [("listener", established)].into(),
            ..EdgeEvidence::default()
        },
        ..blank::edge([client, server], Some(port), [at(1), at(3_599)])
    }
}

/// The same with failures.
fn failing(edge: Edge, state: EdgeState, reason: Reason, times: u64) -> Edge {
    Edge {
        state,
        failed: [(reason, times)].into(),
        history: History {
            stretches: vec![Outage {
                after: Some(at(1_000)),
                begin: at(1_200),
                last: at(1_260),
                end: (state == EdgeState::Mixed).then(|| at(1_262)),
                attempts: times,
                failed: [(reason, times)].into(),
                errno: (reason == Reason::Refused).then_some("ECONNREFUSED"),
            }],
            cut: 2,
            ended: Endings {
                orderly: edge.terminated,
                reset: 1,
                aborted: 2,
                timed_out: 3,
                other: 4,
            },
            without_payload: 1,
            ports: 0,
        },
        last_failure: Some(LastFailure {
            time: at(3_598),
            reason,
            errno: (reason == Reason::Refused).then_some("ECONNREFUSED"),
            duration_ns: None,
            unanswered_syns: None,
        }),
        ..edge
    }
}

fn coverage(host: &Arc<Host>) -> HostCoverage {
    blank::coverage(Arc::clone(host), HOUR.map(at))
}

/// Puts nodes and edges in the order that a view has.
pub(crate) fn ordered(mut view: View) -> View {
    let mut order: Vec<_> = (0..view.nodes.len()).collect();
    order.sort_by(|a, b| view.nodes[*a].id.cmp(&view.nodes[*b].id));
    let mut place = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old] = new;
    }
    view.nodes = order.iter().map(|old| view.nodes[*old].clone()).collect();
    for edge in &mut view.edges {
        edge.client = place[edge.client];
        edge.server = place[edge.server];
    }
    view.edges
        .sort_by_key(|edge| (edge.client, edge.server, edge.port));
    view
}

/// Two hosts of three tiers: nginx → the shop → PostgreSQL, which refuses, and Redis; with
/// remotes on both sides, something that nobody talks to, and a loss.
pub(crate) fn three_tiers() -> View {
    use WorkloadKind::{Container, Executable, Systemd};
    let (web, data) = (host("web-1"), host("data-1"));
    let mut shop = workload(&web, Container, "shop", Some("application"), &[8080]);
    shop.addresses = Vec::new();
    let mut clients = remote("clients", [198, 51, 100, 7]);
    clients.members = Some(1_204);
    let mut nodes = vec![
        clients,                                                           // 0
        workload(&web, Systemd, "nginx.service", Some("web"), &[80, 443]), // 1
        shop,                                                              // 2
        workload(&web, Container, "worker", None, &[]),                    // 3
        workload(
            &data,
            Systemd,
            "postgresql@15-main.service",
            Some("database"),
            &[5432],
        ), // 4
        workload(
            &data,
            Systemd,
            "redis-server.service",
            Some("cache"),
            &[6379],
        ), // 5
        workload(&data, Executable, "backup.sh", None, &[]),               // 6
        remote("api.stripe.example", [203, 0, 113, 9]),                    // 7
        remote("192.0.2.44", [192, 0, 2, 44]),                             // 8
        workload(
            &data,
            Systemd,
            "rabbitmq-server.service",
            Some("queue"),
            &[5672],
        ), // 9
        workload(
            &web,
            Systemd,
            "prometheus-node-exporter.service",
            None,
            &[9100],
        ), // 10
        workload(&data, Systemd, "ssh.service", None, &[22]),              // 11
        remote("10.0.0.200", [10, 0, 0, 200]),                             // 12
        remote("s3.eu-central-1.amazonaws.example", [203, 0, 113, 77]),    // 13
        workload(&web, Container, "mailer", None, &[]),                    // 14
    ];
    let id = |at: usize| Arc::clone(&nodes[at].id);
    let served = ServedBy {
        server: id(2),
        connections: 12,
        last_used: at(3_000),
    };
    let past = LedPast {
        client: id(3),
        dialled: IpAddr::from([10, 0, 0, 7]).into(),
        server: id(2),
        port: Some(8080),
        connections: 7,
        last_used: at(3_000),
    };
    let by_exporter = [(id(10), 12)].into();
    let listener = &mut nodes[10].listeners[0];
    (listener.connections, listener.last_used) = (12, Some(at(3_000)));
    listener.served_by = vec![served];
    nodes[11].listeners[0].led_past = vec![past];
    let mut activated = edge(1, 2, 8080, 81_190);
    activated.evidence.listeners = by_exporter;
    let mut unknown = edge(3, 8, 0, 2);
    unknown.port = None;
    unknown.live_at_start = 1;
    unknown.connect_ns = None;
    let edges = vec![
        edge(0, 1, 443, 81_204),
        edge(0, 1, 80, 311),
        activated,
        failing(edge(2, 4, 5432, 12), EdgeState::Failed, Reason::Refused, 3),
        edge(2, 5, 6379, 160_022),
        edge(2, 7, 443, 940),
        failing(edge(2, 9, 5672, 44), EdgeState::Mixed, Reason::TimedOut, 5),
        edge(3, 9, 5672, 12),
        edge(3, 5, 6379, 88),
        edge(3, 4, 5432, 40),
        edge(6, 4, 5432, 24),
        edge(6, 13, 443, 24),
        edge(12, 10, 9100, 240),
        unknown,
        failing(
            Edge {
                established: 0,
                terminated: 0,
                connect_ns: None,
                rtt_ns: None,
                last_success: None,
                ..edge(14, 8, 25, 0)
            },
            EdgeState::Failed,
            Reason::HostUnreachable,
            17,
        ),
        edge(14, 9, 5672, 7),
    ];
    let mut of_data = coverage(&data);
    *of_data.lost.get_mut(Counter::Connect) = Lost {
        ring_full: 12,
        ..Lost::default()
    };
    of_data.missed = 3;
    of_data.gaps = vec![Gap {
        from: at(600),
        to: at(660),
    }];
    of_data.runs = vec![
        Run {
            from: at(0),
            to: at(600),
            started: true,
            stopped: false,
            absent: 0,
        },
        Run {
            from: at(660),
            to: at(3_600),
            started: true,
            stopped: true,
            absent: 4,
        },
    ];
    of_data.blind = vec![Blind {
        id: None,
        what: "names of servers".into(),
        why: "the hooks of this run do not see them".into(),
    }];
    ordered(View {
        generated: Some(at(3_600)),
        coverage: vec![of_data, coverage(&web)],
        nodes,
        edges,
        strays: Vec::new(),
    })
}

/// A system of `edges` edges on as many hosts as it takes: tiers that talk to those below them,
/// and to remotes. One edge in a hundred fails.
pub(crate) fn many(edges: usize) -> View {
    const TIERS: [(&str, &str); 4] = [
        ("web", "web"),
        ("app", "application"),
        ("cache", "cache"),
        ("db", "database"),
    ];
    let services = (edges / 4).max(8);
    let hosts: Vec<_> = (0..services.div_ceil(12))
        .map(|at| host(&format!("node-{at:03}")))
        .collect();
    let mut nodes: Vec<_> = (0..services)
        .map(|at| {
            let (tier, role) = TIERS[at % TIERS.len()];
            let port = [443, 8080, 6379, 5432][at % TIERS.len()];
            let name = format!("{tier}-{:03}.service", at / TIERS.len());
            workload(
                &hosts[at / 12],
                WorkloadKind::Systemd,
                &name,
                Some(role),
                &[port],
            )
        })
        .collect();
    nodes.extend((0..services / 8).map(|at| {
        let name = format!("host-{at}.example.com");
        remote(&name, [203, 0, (at / 250) as u8, (at % 250) as u8])
    }));
    // Numbers that look arbitrary and are the same every time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below.max(1)
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut out = Vec::new();
    while out.len() < edges {
        let client = next(services);
        // Mostly of the next tier, and near; now and then anything.
        let server = match next(10) {
            0 => services + next(nodes.len() - services),
            1 => next(services),
            _ => (client / 4 * 4 + 1 + client % 4 + 4 * next(6)) % services,
        };
        let port = [443, 8080, 6379, 5432, 9090][next(5)];
        if client == server || !seen.insert((client, server, port)) {
            continue;
        }
        let busy = 1 + next(1_000) as u64 * next(50) as u64;
        let made = edge(client, server, port, busy);
        out.push(match out.len() % 100 {
            7 => failing(made, EdgeState::Failed, Reason::Refused, 3),
            57 => failing(made, EdgeState::Mixed, Reason::TimedOut, 1),
            _ => made,
        });
    }
    ordered(View {
        generated: Some(at(3_600)),
        coverage: hosts.iter().map(coverage).collect(),
        nodes,
        edges: out,
        strays: Vec::new(),
    })
}

/// The three tiers with other names: of all that has one, as long as there are any.
pub(crate) fn named(names: &[String]) -> View {
    let mut view = three_tiers();
    let mut names = names.iter().cycle();
    let mut name = || names.next().cloned().unwrap_or_default();
    for node in &mut view.nodes {
        node.name = name().into();
        // Ids are unique whatever the names are.
        node.id = format!("{}{}", node.id, name()).into();
        if let Some(host) = &mut node.host {
            Arc::make_mut(host).name = name();
        }
        if let Some(workload) = &mut node.workload {
            rename_workload(Arc::make_mut(workload), &mut name);
        }
        for process in &mut node.processes {
            rename_process(Arc::make_mut(process), &mut name);
        }
        node.changes.push(Change {
            time: node.first_seen,
            what: Happened::Exec {
                pid: 1,
                exe: name().into(),
            },
        });
    }
    for coverage in &mut view.coverage {
        Arc::make_mut(&mut coverage.host).name = name();
        coverage.names_before = vec![name()];
        coverage.twins = vec![name()];
        for it in &mut coverage.blind {
            (it.what, it.why) = (name().into(), name().into());
        }
    }
    view
}

/// Gives a process and its workload names from `name`.
pub(crate) fn rename_process(process: &mut Process, name: &mut dyn FnMut() -> String) {
    process.comm = name().into();
    process.exe = Some(name().into());
    process.args = Some(vec![name(), name()].into());
    process.cwd = Some(name().into());
    if let Some(workload) = &mut process.workload {
        rename_workload(Arc::make_mut(workload), name);
    }
}

/// Gives a workload all that its kind can have, with names from `name`.
fn rename_workload(workload: &mut Workload, name: &mut dyn FnMut() -> String) {
    *workload = events::workload(workload.kind);
    workload.name = name().into();
    workload.role = Some(name().into());
    workload.unit = Some(name().into());
    workload.slice = Some(name().into());
    if let Some(container) = &mut workload.container {
        container.id = name().into();
        container.name = Some(name().into());
        container.image = Some(name().into());
        container.runtime = Some(name().into());
        if let Some(around) = &mut container.around {
            (around.id, around.name) = (name().into(), Some(name().into()));
        }
        container.labels = ["app", "team", "com.docker.compose.project"]
            .map(|label| (label.into(), name().into()))
            .into();
        container.labels.insert(name().into(), name().into());
    }
    if let Some(k8s) = &mut workload.k8s {
        let owner = Owner {
            kind: name().into(),
            name: name().into(),
        };
        *k8s = Kubernetes {
            namespace: Some(name().into()),
            pod: Some(name().into()),
            uid: Some(name().into()),
            qos: Some(name().into()),
            owner: Some(owner),
            node: Some(name().into()),
        };
    }
}
