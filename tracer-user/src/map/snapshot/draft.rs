//! A view under construction: nodes and edges before they are sorted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    map::{
        counters::Counters,
        nodes::{Key, Known},
        numbers::{HostId, NodeId},
    },
    model::{ListeningAt, NodeKind, Stray, WorkloadKind},
};

/// Length of a shortened id, characters.
pub(super) const SHORT_ID: usize = 12;

/// A view under construction.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Nodes.
    pub(super) nodes: Vec<DraftNode>,
    /// Edges, by indices of client and server, and by port.
    pub(super) edges: BTreeMap<EdgeKey, Counters>,
    /// Listening sockets by node, and connections without one.
    pub(super) listening: HashMap<NodeId, Vec<ListeningAt>>,
    pub(super) strays: Vec<Stray>,
    /// By host, network namespaces that could not be grouped with others.
    pub(super) unheld: foldhash::HashMap<HostId, u64>,
}

/// Client and server of an edge, and its port.
pub(super) type EdgeKey = (usize, usize, Option<u16>);

/// A node under construction.
#[derive(Debug)]
pub(super) struct DraftNode {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: NodeKind,
    /// The nodes of the map that it is made of.
    pub(super) parts: Vec<NodeId>,
    /// How many nodes it stands for, if it is a fold.
    pub(super) members: Option<u64>,
    /// Where it is, in case others have its name.
    pub(super) place: Place,
}

/// Where a workload is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// Unknown, or not needed.
    Unknown,
    /// On the host itself.
    Host,
    /// In that container, or from that directory.
    In(Arc<str>),
}

impl Place {
    pub(super) fn of(known: &Known) -> Self {
        let Key::Workload(_, kind, _, place) = &known.key else {
            return Self::Unknown;
        };
        if *kind == WorkloadKind::Executable {
            return place.clone().map_or(Self::Unknown, Self::In);
        }
        let container = known.workload.as_ref().and_then(|it| it.container.as_ref());
        match container.and_then(|it| it.around.as_ref()) {
            // Without a name, the beginning of the id.
            Some(outer) => Self::In(outer.name.clone().unwrap_or_else(|| {
                let short: String = outer.id.chars().take(SHORT_ID).collect();
                short.into()
            })),
            None => Self::Host,
        }
    }
}
