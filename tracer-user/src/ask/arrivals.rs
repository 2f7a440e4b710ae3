//! What may have come in somewhere, though no edge says so: what was led to an address of which nobody knows
//! whose it is, and what came in where nobody was known to listen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Doubt, Proof};
use crate::model::{Address, ListeningAt, Node, NodeKind, View};

/// What may have come to some listeners, though no edge says so.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// Edges whose connections brought nothing back, and led to who knows whom, by port. A handshake that
    /// was complete and that nobody accepted is told by the client alone; if that is elsewhere, nobody may
    /// know whose the address is. Of those who answer both ends are told, or they are not watched.
    unanswered: HashMap<u16, Vec<usize>>,
    /// Those that may have led to one of the listeners.
    maybe: BTreeSet<usize>,
    /// The network namespaces of the listeners, by id of the host, if there is one.
    netns: BTreeSet<(Option<String>, u32)>,
}

impl Arrivals {
    pub(super) fn new(view: &View) -> Self {
        let mut unanswered: HashMap<u16, Vec<usize>> = HashMap::new();
        for (at, edge) in view.edges.iter().enumerate() {
            if let Some(port) = edge.port
                && view.nodes[edge.server].kind == NodeKind::Remote
                && (edge.evidence.client_only > 0 && edge.connections() > 0)
                && edge.received_bytes == 0
            {
                unanswered.entry(port).or_default().push(at);
            }
        }
        Self {
            unanswered,
            maybe: BTreeSet::new(),
            netns: BTreeSet::new(),
        }
    }

    /// `listener` of `node` may have had more than edges say.
    pub(super) fn add(&mut self, view: &View, node: &Node, listener: &ListeningAt) {
        let host = node.host.as_ref().map(|it| it.id.clone());
        self.netns.insert((host, listener.netns));
        let any = listener.address.ip().is_unspecified();
        let is_there = |it: &Address| *it == listener.address || any && !it.ip().is_loopback();
        let edges = self.unanswered.get(&listener.port).into_iter().flatten();
        let maybe = edges.filter(|at| {
            let server = &view.nodes[view.edges[**at].server];
            server.addresses.iter().any(is_there)
        });
        self.maybe.extend(maybe);
    }

    pub(super) fn tell(self, view: &View, proof: &mut Proof) {
        let mut strays: BTreeMap<&str, u64> = BTreeMap::new();
        for it in &view.strays {
            let of_host = (Some(it.host.clone()), it.netns);
            if self.netns.contains(&of_host) || self.netns.contains(&(None, it.netns)) {
                let sum = strays.entry(&it.host).or_default();
                *sum = sum.saturating_add(it.connections);
            }
        }
        for (id, connections) in strays {
            let mut hosts = view.coverage.iter().map(|it| &it.host);
            let host = hosts.find(|it| it.id == id);
            proof.doubt(Doubt::Strays {
                host: host.map_or(id, |it| &it.name).to_owned(),
                connections,
            });
        }
        let unanswered = self.maybe.iter().map(|at| view.edges[*at].connections());
        let connections = unanswered.fold(0, u64::saturating_add);
        if connections > 0 {
            proof.doubt(Doubt::Unanswered { connections });
        }
    }
}
