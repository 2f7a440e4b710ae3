//! Nodes and edges, as answers name them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::model::{
    Edge, EdgeState, LastFailure, NodeKind, Quantiles, Reason, SeenBy, Timestamp, View,
};

/// A node of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Who {
    /// Its id in the map.
    pub id: Arc<str>,
    /// What an operator calls it.
    pub name: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// The name of its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
    /// Whom to ask about it: what Kubernetes or a label says owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Arc<str>>,
}

/// Labels that say who owns a container, the most telling one first.
const OWNERS: [&str; 5] = [
    "owner",
    "team",
    "app.kubernetes.io/managed-by",
    "org.opencontainers.image.vendor",
    "com.docker.compose.project",
];

impl Who {
    /// The node of that id; where it is not in `view`, its id is all that is known.
    pub(super) fn of_id(view: &View, id: &Arc<str>) -> Self {
        match view.nodes.iter().position(|it| it.id == *id) {
            Some(index) => Self::of(view, index),
            None => Self {
                id: Arc::clone(id),
                name: Arc::clone(id),
                kind: NodeKind::Remote,
                host: None,
                role: None,
                owner: None,
            },
        }
    }

    /// The node at `index` of `view`.
    pub fn of(view: &View, index: usize) -> Self {
        let node = &view.nodes[index];
        let workload = node.workload.as_deref();
        let labels = workload.and_then(|it| Some(&it.container.as_ref()?.labels));
        let labelled = OWNERS
            .iter()
            .find_map(|owner| labels?.get(*owner).map(Arc::clone));
        let made_by = workload.and_then(|it| {
            let owner = it.k8s.as_ref()?.owner.as_ref()?;
            Some(format!("{} {}", owner.kind, owner.name).into())
        });
        Self {
            id: Arc::clone(&node.id),
            name: Arc::clone(&node.name),
            kind: node.kind,
            host: node.host.as_ref().map(|it| it.name.as_str().into()),
            role: workload.and_then(|it| it.role.clone()),
            owner: labelled.or(made_by),
        }
    }
}

/// An edge of a map, with the evidence that answers show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Who dials.
    pub client: Who,
    /// Who is dialled.
    pub server: Who,
    /// The server's port; none if who opened these connections is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How its attempts go.
    pub state: EdgeState,
    /// Connections that were seen, whenever they were opened.
    pub connections: u64,
    /// Those that were open when watching began.
    pub live_at_start: u64,
    /// Those that are open.
    pub live: u64,
    /// Attempts that failed, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<Reason, u64>,
    /// Payload bytes from client to server.
    pub sent_bytes: u64,
    /// Payload bytes from server to client.
    pub received_bytes: u64,
    /// Round-trip times, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ns: Option<Quantiles>,
    /// The first event about it.
    pub first_seen: Timestamp,
    /// The last one.
    pub last_seen: Timestamp,
    /// When a connection was last established.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// When and how an attempt last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// Since when all attempts fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Which ends were watched.
    pub ends: SeenBy,
}

impl Link {
    /// What `edge` of `view` is.
    pub fn of(view: &View, edge: &Edge) -> Self {
        Self {
            client: Who::of(view, edge.client),
            server: Who::of(view, edge.server),
            port: edge.port,
            state: edge.state,
            connections: edge.connections(),
            live_at_start: edge.live_at_start,
            live: edge.live(),
            failed: edge.failed.clone(),
            sent_bytes: edge.sent_bytes,
            received_bytes: edge.received_bytes,
            rtt_ns: edge.rtt_ns,
            first_seen: edge.first_seen,
            last_seen: edge.last_seen,
            last_success: edge.last_success,
            last_failure: edge.last_failure,
            failing_since: edge.failing_since,
            ends: edge.evidence.ends,
        }
    }
}
