//! Maps for tests: a shop in three tiers on two hosts, at any moment of its life, and large ones.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Status;
use crate::model::{
    Blind, Container, Edge, EdgeEvidence, EdgeState, Kubernetes, LastFailure, ListeningAt, Node,
    NodeKind, Owner, Process, Quantiles, Reason, SeenBy, View, Workload, WorkloadKind,
    specimens::blank::{self, host},
};

/// So many seconds after the start.
pub(super) use crate::model::specimens::at as time;

pub(super) fn status(seconds: u64) -> Status {
    Status {
        elapsed: Duration::from_secs(seconds),
        events_per_second: 1_204.0,
        cpu_percent: Some(0.4),
        memory_bytes: Some(12 << 20),
        hooks: "fentry".to_owned(),
        ..Status::default()
    }
}

/// A node that says nothing but what it is called.
pub(super) fn remote(name: &str) -> Node {
    Node {
        id: format!("remote/{name}").into(),
        ..blank::node(name, [time(0); 2])
    }
}

/// Something that runs on a host.
pub(super) fn service(on: &str, kind: WorkloadKind, name: &str, role: &str) -> Node {
    let workload = Workload {
        unit: (kind == WorkloadKind::Systemd).then(|| name.into()),
        role: Some(role.into()),
        ..blank::workload(kind, name)
    };
    Node {
        id: format!(
            "{on}/{}/{name}",
            if kind == WorkloadKind::Systemd {
                "systemd"
            } else {
                "other"
            }
        )
        .into(),
        kind: NodeKind::Workload,
        host: Some(host(on)),
        workload: Some(Arc::new(workload)),
        ..remote(name)
    }
}

fn process(pid: u32, comm: &str, exe: &str, args: &[&str]) -> Arc<Process> {
    Arc::new(Process {
        ppid: Some(1),
        uid: Some(33),
        exe: Some(exe.into()),
        args: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
        started: Some(time(0)),
        ..blank::process(pid, comm)
    })
}

fn listens(port: u16) -> ListeningAt {
    ListeningAt::new(std::net::IpAddr::from([0, 0, 0, 0]).into(), port, 1)
}

/// An edge on which all goes well.
pub(super) fn edge(client: usize, server: usize, port: u16, opened: u64, live: u64) -> Edge {
    Edge {
        established: opened,
        terminated: opened.saturating_sub(live),
        sent_bytes: opened * 1_204,
        received_bytes: opened * 88_172,
        connect_ns: (opened > 0).then_some(Quantiles {
            count: opened,
            min: 90_000,
            max: 41_000_000,
            p50: 184_223,
            p95: 9_120_331,
            p99: 12_000_000,
        }),
        retransmits: 3,
        last_success: (opened > 0).then(|| time(60)),
        evidence: EdgeEvidence {
            ends: SeenBy::Both,
            both: opened,
            client_process: BTreeMap::from([("hook", opened)]),
            server_process: BTreeMap::from([("hook", opened), ("listener", 2)]),
            ..EdgeEvidence::default()
        },
        ..blank::edge([client, server], Some(port), [1, 60].map(time))
    }
}

/// That edge with failures.
pub(super) fn failing(edge: Edge, failed: &[(Reason, u64)], errno: &'static str, at: u64) -> Edge {
    let mixed = edge.established > 0;
    let reason = failed.first().map_or(Reason::Other, |(reason, _)| *reason);
    Edge {
        state: if mixed {
            EdgeState::Mixed
        } else {
            EdgeState::Failed
        },
        failed: failed.iter().copied().collect(),
        last_failure: Some(LastFailure {
            time: time(at),
            reason,
            errno: Some(errno),
            duration_ns: None,
            unanswered_syns: None,
        }),
        ..edge
    }
}

/// nginx, a shop in a pod and its parts, after so many seconds.
pub(super) fn shop(seconds: u64) -> View {
    let mut nginx = service("web-1", WorkloadKind::Systemd, "nginx.service", "web");
    nginx.listeners = vec![listens(80), listens(443)];
    nginx.processes = vec![
        process(
            812,
            "nginx",
            "/usr/sbin/nginx",
            &["nginx: master process /usr/sbin/nginx -g daemon on; master_process on;"],
        ),
        process(813, "nginx", "/usr/sbin/nginx", &["nginx: worker process"]),
    ];
    let mut shop = service("web-1", WorkloadKind::Pod, "shop", "web");
    shop.listeners = vec![listens(8080)];
    shop.processes = vec![process(
        2_201,
        "node",
        "/usr/local/bin/node",
        &[
            "node",
            "--max-old-space-size=2048",
            "/srv/shop/dist/server.js",
            "--port",
            "8080",
        ],
    )];
    if let Some(workload) = &mut shop.workload {
        let workload = Arc::make_mut(workload);
        workload.container = Some(Container {
            id: "6f1c0b6e2d7a4f0e9b3c".into(),
            name: Some("shop".into()),
            image: Some("registry.example.org/shop/frontend:2026.11.3".into()),
            runtime: Some("containerd".into()),
            around: None,
            labels: BTreeMap::new(),
            labels_cut: 0,
        });
        workload.k8s = Some(Kubernetes {
            namespace: Some("retail".into()),
            pod: Some("shop-7d9c6b5f4-x2x9z".into()),
            owner: Some(Owner {
                kind: "ReplicaSet".into(),
                name: "shop-7d9c6b5f4".into(),
            }),
            node: Some("web-1".into()),
            ..Kubernetes::default()
        });
    }
    let mut postgres = service(
        "db-1",
        WorkloadKind::Systemd,
        "postgresql.service",
        "database",
    );
    postgres.listeners = vec![listens(5432)];
    postgres.processes = vec![process(
        640,
        "postgres",
        "/usr/lib/postgresql/17/bin/postgres",
        &[
            "/usr/lib/postgresql/17/bin/postgres",
            "-D",
            "/var/lib/postgresql/17/main",
        ],
    )];
    let mut redis = service("db-1", WorkloadKind::Container, "redis", "cache");
    redis.listeners = vec![listens(6379)];
    let cron = service("web-1", WorkloadKind::Executable, "report-sender", "mail");
    let mut clients = remote("203.0.113.0/24");
    clients.members = Some(212);
    let pay = remote("api.payments.example");
    let mail = remote("smtp.example.org");

    // In the order of their ids: that is what a snapshot promises.
    let mut nodes = vec![nginx, shop, postgres, redis, cron, clients, pay, mail];
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    let at = |name: &str| nodes.iter().position(|it| &*it.name == name).unwrap_or(0);
    let (nginx, shop) = (at("nginx.service"), at("shop"));
    let (postgres, redis) = (at("postgresql.service"), at("redis"));
    let mut edges = vec![
        edge(at("203.0.113.0/24"), nginx, 443, 1_200 + 40 * seconds, 96),
        edge(nginx, shop, 8080, 1_100 + 38 * seconds, 32),
        failing(
            edge(shop, postgres, 5432, 310, 0),
            &[(Reason::Refused, 12 + seconds), (Reason::TimedOut, 3)],
            "ECONNREFUSED",
            57,
        ),
        edge(shop, redis, 6379, 400 + 3 * seconds, 8),
        edge(shop, at("api.payments.example"), 443, 77, 2),
        failing(
            edge(at("report-sender"), at("smtp.example.org"), 25, 0, 0),
            &[(Reason::TimedOut, 4)],
            "ETIMEDOUT",
            2,
        ),
        edge(at("report-sender"), postgres, 5432, 12, 0),
    ];
    let mut unknown = edge(nginx, at("smtp.example.org"), 0, 0, 0);
    unknown.port = None;
    unknown.live_at_start = 1;
    edges.push(unknown);
    edges.sort_by_key(|edge| (edge.client, edge.server, edge.port));
    let coverage = ["db-1", "web-1"].map(|name| {
        let mut it = blank::coverage(host(name), [0, 60 + seconds].map(time));
        it.runs[0].stopped = false;
        it.blind = vec![Blind {
            id: None,
            what: "connections that are refused on arrival".into(),
            why: "this kernel has no hook for them".into(),
        }];
        it
    });
    View {
        generated: Some(time(60 + seconds)),
        coverage: coverage.into(),
        nodes,
        edges,
        strays: Vec::new(),
    }
}

/// A map of `count` edges, from a fifth as many clients.
pub(super) fn large(count: usize) -> View {
    let clients = (count / 5).max(1);
    let mut nodes: Vec<Node> = (0..clients + 40)
        .map(|number| {
            let name = format!("service-{number:05}.service");
            service("web-1", WorkloadKind::Systemd, &name, "web")
        })
        .collect();
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    let edges = (0..count).map(|number| {
        let (client, server) = (number / 5 % clients, clients + number % 40);
        let edge = edge(
            client,
            server,
            1_000 + (number % 40) as u16,
            number as u64,
            1,
        );
        match number % 7 {
            0 => failing(edge, &[(Reason::Refused, 1)], "ECONNREFUSED", 50),
            _ => edge,
        }
    });
    View {
        generated: Some(time(60)),
        edges: edges.collect(),
        nodes,
        ..View::default()
    }
}
