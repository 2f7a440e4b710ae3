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
    Change, Container, Edge, EdgeState, Happened, HostCoverage, Kubernetes, LastFailure,
    ListeningAt, Node, NodeKind, Outage, Owner, Process, Reason, Timestamp, View, Workload,
    WorkloadKind,
    specimens::{
        SECOND, at,
        blank::{self, host, workload},
        views::ordered,
    },
};

/// From when to when these systems are watched, seconds.
const HOUR: [u64; 2] = [0, 3_600];

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
        let coverage = blank::coverage(host(name), HOUR.map(at));
        self.view.coverage.push(coverage);
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
            ..blank_node(name)
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
            ..blank_node(name)
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
        let ends = [client, server].map(|it| self.index(it));
        let edge = Edge {
            established: connections,
            terminated: connections,
            sent_bytes: 10 * connections,
            received_bytes: 100 * connections,
            last_success: (connections > 0).then(|| at(3_000)),
            ..blank::edge(ends, port.into(), [10, 3_000].map(at))
        };
        self.view.edges.push(edge);
        self.view.edges.last_mut().expect("just pushed")
    }

    /// In the order that views have.
    fn view(self) -> View {
        let mut view = ordered(self.view);
        view.generated = (!view.nodes.is_empty()).then(|| at(3_600));
        view
    }
}

fn blank_node(name: &str) -> Node {
    blank::node(name, HOUR.map(at))
}

fn process(pid: u32, exe: &str, started: Option<Timestamp>) -> Arc<Process> {
    Arc::new(Process {
        exe: Some(exe.into()),
        started,
        ..blank::process(pid, exe.rsplit('/').next().unwrap_or(exe))
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
