//! Values of which nothing is known but what they must have. A test fills in what it is about:
//! `Process { uid: Some(0), ..blank::process(7, "nginx") }`.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use crate::model::{
    Cost, Coverage, Cut, Edge, EdgeEvidence, EdgeState, History, Host, HostCoverage, HostCut,
    Ledger, Node, NodeKind, Process, ProcessKey, Repaired, Run, Start, Stop, Timestamp, Tracer,
    Workload, WorkloadKind,
};

/// A host with an id that follows from its name.
pub(crate) fn host(name: &str) -> Arc<Host> {
    Arc::new(Host {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
    })
}

/// An address with a port.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A process of which only its name is known.
pub(crate) fn process(pid: u32, comm: &str) -> Process {
    Process {
        key: ProcessKey { pid, start_ns: 1 },
        exec_id: 0,
        cgroup: 1,
        netns_owner: None,
        workload: None,
        pid,
        ppid: None,
        uid: None,
        comm: comm.into(),
        exe: None,
        args: None,
        cwd: None,
        started: None,
    }
}

/// A workload of which only kind and name are known.
pub(crate) fn workload(kind: WorkloadKind, name: &str) -> Workload {
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

/// A remote that was there at these times, with its name for an id.
pub(crate) fn node(name: &str, [first_seen, last_seen]: [Timestamp; 2]) -> Node {
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
        first_seen,
        last_seen,
    }
}

/// An edge between the nodes of these indices that was there at these times, without a connection.
pub(crate) fn edge(
    [client, server]: [usize; 2],
    port: Option<u16>,
    [first_seen, last_seen]: [Timestamp; 2],
) -> Edge {
    Edge {
        client,
        server,
        port,
        state: EdgeState::Ok,
        live_at_start: 0,
        established: 0,
        terminated: 0,
        failed: BTreeMap::new(),
        sent_bytes: 0,
        received_bytes: 0,
        connect_ns: None,
        rtt_ns: None,
        retransmits: 0,
        first_seen,
        last_seen,
        last_success: None,
        last_failure: None,
        failing_since: None,
        failing_times: 0,
        history: History::default(),
        evidence: EdgeEvidence::default(),
    }
}

/// A host that one run watched from its `start` to its `stop`, without a loss.
pub(crate) fn coverage(host: Arc<Host>, [from, to]: [Timestamp; 2]) -> HostCoverage {
    HostCoverage {
        host,
        from,
        to,
        runs: vec![Run {
            from,
            to,
            started: true,
            stopped: true,
            absent: 0,
        }],
        gaps: Vec::new(),
        lost: Ledger::default(),
        missed: 0,
        steps_back: None,
        recounted: 0,
        untracked: 0,
        unattributed: 0,
        names_before: Vec::new(),
        twins: Vec::new(),
        twins_cut: 0,
        taken_for_one: false,
        cut: HostCut::default(),
        blind: Vec::new(),
    }
}

/// The start of a run that has no blind spot.
pub(crate) fn start() -> Start {
    Start {
        tracer: Tracer {
            version: "1".into(),
            hooks: "fentry".to_owned(),
            kernel: "6".to_owned(),
            arch: "x86_64".to_owned(),
        },
        blind: Vec::new(),
    }
}

/// The end of a run that told nothing.
pub(crate) fn stop([from, to]: [Timestamp; 2]) -> Stop {
    Stop {
        totals: Ledger::default(),
        missed: 0,
        repaired: Repaired::default(),
        unread: 0,
        unattributed: 0,
        cost: Cost::default(),
        lines: None,
        coverage: Coverage { from, to },
    }
}
