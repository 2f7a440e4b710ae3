//! A view in the making: what becomes nodes and edges, before they have their places.

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

/// Digits of an id that stand for it.
pub(super) const SHORT_ID: usize = 12;

/// A view in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What becomes nodes.
    pub(super) nodes: Vec<DraftNode>,
    /// What becomes edges, by indices of client and server, and by port.
    pub(super) edges: BTreeMap<EdgeKey, Counters>,
    /// Where who listens, and what came in elsewhere.
    pub(super) listening: HashMap<NodeId, Vec<ListeningAt>>,
    pub(super) strays: Vec<Stray>,
    /// Network namespaces of each host that it is not known of which others they are one with.
    pub(super) unheld: foldhash::HashMap<HostId, u64>,
}

/// Client and server of an edge, and its port.
pub(super) type EdgeKey = (usize, usize, Option<u16>);

/// What becomes a node.
#[derive(Debug)]
pub(super) struct DraftNode {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: NodeKind,
    /// The nodes of the map that it is made of.
    pub(super) parts: Vec<NodeId>,
    /// It stands for so many others.
    pub(super) members: Option<u64>,
    /// Where it is, should others go by its name.
    pub(super) place: Place,
}

/// Where a workload is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// Nobody knows, or there is only one of the name.
    Unknown,
    /// On the host itself.
    Host,
    /// In that container, or of that directory.
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
            // What has no name is told by the beginning of its id.
            Some(outer) => Self::In(outer.name.clone().unwrap_or_else(|| {
                let short: String = outer.id.chars().take(SHORT_ID).collect();
                short.into()
            })),
            None => Self::Host,
        }
    }
}
