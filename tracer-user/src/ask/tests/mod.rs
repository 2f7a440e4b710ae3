//! Questions about small systems, with answers worked out by hand; and what holds of any graph.

mod any;
mod apart;
mod closure;
mod compare;
mod lasting;
mod proof;
mod reach;
mod rules;
mod use_of;

use std::{net::IpAddr, sync::Arc};

use super::*;
use crate::model::{
    Change, Container, Cut, Edge, EdgeEvidence, EdgeState, Happened, Host, HostCoverage, HostCut,
    Kubernetes, LastFailure, Ledger, ListeningAt, Node, NodeKind, Outage, Owner, Process,
    ProcessKey, Reason, Run, Timestamp, View, Workload, WorkloadKind,
};

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ns((1_795_309_323 + seconds) * SECOND)
}

/// A view in the making: nodes are called by their names, and edges are in the order in which they
/// are told until it is finished.
#[derive(Clone, Default)]
struct Draft {
    view: View,
}

impl Draft {
    /// Of one host, `one`, that was watched for an hour.
    fn new() -> Self {
        let mut draft = Self::default();
        draft.watched("one");
        draft
    }

    /// A host that was watched for an hour.
    fn watched(&mut self, name: &str) -> &mut HostCoverage {
        self.view.coverage.push(HostCoverage {
            host: host(name),
            from: at(0),
            to: at(3_600),
            runs: vec![Run {
                from: at(0),
                to: at(3_600),
                started: true,
                stopped: true,
                absent: 0,
            }],
            gaps: Vec::new(),
            lost: Ledger::default(),
            missed: 0,
            recounted: 0,
            steps_back: None,
            untracked: 0,
            unattributed: 0,
            cut: HostCut::default(),
            names_before: Vec::new(),
            twins: Vec::new(),
            twins_cut: 0,
            taken_for_one: false,
            blind: Vec::new(),
        });
        self.view.coverage.last_mut().expect("just pushed")
    }

    fn node(&mut self, node: Node) -> &mut Node {
        self.view.nodes.push(node);
        self.view.nodes.last_mut().expect("just pushed")
    }

    /// A unit of systemd on the host `one`.
    fn unit(&mut self, name: &str) -> &mut Node {
        self.unit_on("one", name)
    }

    fn unit_on(&mut self, on: &str, name: &str) -> &mut Node {
        self.node(Node {
            id: format!("{on}/systemd/{name}").into(),
            kind: NodeKind::Workload,
            host: Some(host(on)),
            workload: Some(Arc::new(workload(WorkloadKind::Systemd, name))),
            ..blank(name)
        })
    }

    /// A container, by its name and image.
    fn container(&mut self, name: &str, image: &str) -> &mut Node {
        let node = self.unit(name);
        node.id = format!("one/container/{name}").into();
        let container = Container {
            id: format!("{name}0123456789").into(),
            name: Some(name.into()),
            image: Some(image.into()),
            ..Container::default()
        };
        node.workload = Some(Arc::new(Workload {
            container: Some(container),
            ..workload(WorkloadKind::Container, name)
        }));
        node
    }

    /// A pod of a deployment.
    fn pod(&mut self, owner: &str, suffix: &str) -> &mut Node {
        let node = self.unit(owner);
        node.id = format!("one/pod/shop/{owner}").into();
        node.workload = Some(Arc::new(Workload {
            k8s: Some(Kubernetes {
                namespace: Some("shop".into()),
                pod: Some(format!("{owner}-{suffix}").into()),
                owner: Some(Owner {
                    kind: "ReplicaSet".into(),
                    name: owner.into(),
                }),
                ..Kubernetes::default()
            }),
            ..workload(WorkloadKind::Pod, owner)
        }));
        node
    }

    fn remote(&mut self, name: &str, address: &str) -> &mut Node {
        let address = address.parse().expect("an address");
        self.node(Node {
            id: name.into(),
            addresses: vec![address],
            ..blank(name)
        })
    }

    fn index(&self, name: &str) -> usize {
        let by = |it: &Node| *it.name == *name || *it.id == *name;
        let mut found = self.view.nodes.iter();
        found.position(by).expect("a node of that name")
    }

    /// An edge with so many connections; its times are those of a long-lived one.
    fn edge(
        &mut self,
        client: &str,
        server: &str,
        port: impl Into<Option<u16>>,
        connections: u64,
    ) -> &mut Edge {
        let edge = Edge {
            client: self.index(client),
            server: self.index(server),
            port: port.into(),
            state: EdgeState::Ok,
            live_at_start: 0,
            established: connections,
            terminated: connections,
            failed: [].into(),
            sent_bytes: 10 * connections,
            received_bytes: 100 * connections,
            connect_ns: None,
            rtt_ns: None,
            retransmits: 0,
            first_seen: at(10),
            last_seen: at(3_000),
            last_success: (connections > 0).then(|| at(3_000)),
            last_failure: None,
            failing_since: None,
            failing_times: 0,
            history: crate::model::History::default(),
            evidence: EdgeEvidence::default(),
        };
        self.view.edges.push(edge);
        self.view.edges.last_mut().expect("just pushed")
    }

    /// In the order that views have.
    fn view(self) -> View {
        let mut view = self.view;
        let mut order: Vec<usize> = (0..view.nodes.len()).collect();
        order.sort_by(|one, other| view.nodes[*one].id.cmp(&view.nodes[*other].id));
        let mut places = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            places[*old] = new;
        }
        view.nodes = order.iter().map(|old| view.nodes[*old].clone()).collect();
        for edge in &mut view.edges {
            (edge.client, edge.server) = (places[edge.client], places[edge.server]);
        }
        view.edges.sort_by_key(|it| (it.client, it.server, it.port));
        view.generated = (!view.nodes.is_empty()).then(|| at(3_600));
        view
    }
}

fn host(name: &str) -> Arc<Host> {
    Arc::new(Host {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
    })
}

fn blank(name: &str) -> Node {
    Node {
        id: name.into(),
        kind: NodeKind::Remote,
        name: name.into(),
        host: None,
        workload: None,
        addresses: Vec::new(),
        processes: Vec::new(),
        listeners: Vec::new(),
        changes: Vec::new(),
        members: None,
        cut: Cut::default(),
        first_seen: at(0),
        last_seen: at(3_600),
    }
}

fn workload(kind: WorkloadKind, name: &str) -> Workload {
    Workload {
        kind,
        name: name.into(),
        uid: None,
        unit: None,
        slice: None,
        container: None,
        k8s: None,
        role: None,
    }
}

fn process(pid: u32, exe: &str, started: Option<Timestamp>) -> Arc<Process> {
    Arc::new(Process {
        key: ProcessKey { pid, start_ns: 1 },
        exec_id: 0,
        cgroup: 1,
        netns_owner: None,
        workload: None,
        pid,
        ppid: None,
        uid: None,
        comm: exe.rsplit('/').next().unwrap_or(exe).into(),
        exe: Some(exe.into()),
        args: None,
        cwd: None,
        started,
    })
}

impl Node {
    fn listens(&mut self, port: u16) -> &mut Self {
        self.listeners
            .push(ListeningAt::new(IpAddr::from([0, 0, 0, 0]).into(), port, 1));
        self
    }

    fn runs(&mut self, pid: u32, exe: &str, started: Option<Timestamp>) -> &mut Self {
        self.processes.push(process(pid, exe, started));
        self
    }

    fn uses(&mut self, address: &str) -> &mut Self {
        self.addresses.push(address.parse().expect("an address"));
        self
    }

    fn changed(&mut self, time: Timestamp, what: Happened) -> &mut Self {
        self.changes.push(Change { time, what });
        self
    }
}

impl Edge {
    /// So many attempts failed, the last one at that time.
    fn fails(&mut self, times: u64, last: Timestamp) -> &mut Self {
        self.failed = [(Reason::Refused, times)].into();
        self.last_failure = Some(LastFailure {
            time: last,
            reason: Reason::Refused,
            errno: Some("ECONNREFUSED"),
            duration_ns: None,
            unanswered_syns: None,
        });
        self.state = match self.last_success {
            Some(success) if success > last => EdgeState::Mixed,
            _ => EdgeState::Failed,
        };
        self.history.stretches = vec![Outage {
            after: self.last_success.filter(|it| *it < last),
            begin: last,
            last,
            end: self.last_success.filter(|it| *it >= last),
            attempts: times,
            failed: self.failed.clone(),
            errno: Some("ECONNREFUSED"),
        }];
        self
    }
}

fn names(all: &[Who]) -> Vec<&str> {
    all.iter().map(|it| &*it.name).collect()
}

/// `client -> server:port`.
fn line(link: &Link) -> String {
    let port = link.port.map_or("?".to_owned(), |it| it.to_string());
    format!("{} -> {}:{port}", link.client.name, link.server.name)
}

fn lines(links: &[Link]) -> Vec<String> {
    links.iter().map(line).collect()
}
