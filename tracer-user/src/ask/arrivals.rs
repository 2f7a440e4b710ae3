//! What may have come in somewhere, though no edge says so: what was led to an address of which nobody knows
//! whose it is, and what came in where nobody was known to listen.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use super::{Doubt, Proof};
use crate::model::{Address, AddressClass, Edge, Happened, ListeningAt, Node, NodeKind, View};

/// What may have come to some listeners, though no edge says so.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// Edges with connections that led to who knows whom, by port: to an address, or to a workload that is not known
    /// to listen there.
    unknown: HashMap<u16, Vec<usize>>,
    /// Those that may have led to one of the listeners.
    maybe: BTreeSet<usize>,
    /// The network namespaces of the listeners, by id of the host, if there is one.
    netns: BTreeSet<(Option<String>, u32)>,
    /// Two maps are compared.
    is_compared: bool,
}

/// Those that brought nothing back. A handshake that was complete and that nobody accepted is told by the client
/// alone; if that is elsewhere, nobody may know whose the address is. Of those who answer both ends are told, or
/// they are not watched.
fn unanswered(edge: &Edge) -> u64 {
    edge.evidence.unanswered
}

/// Those of which the other end may be told as well, as an edge from an address: of several hosts that do not
/// share a network, as far as is known.
fn unmatched(view: &View, edge: &Edge) -> u64 {
    let addresses = &view.nodes[edge.server].addresses;
    let is_public = |it: &Address| AddressClass::of(it.ip()) == AddressClass::Public;
    match view.coverage.len() > 1 && !addresses.iter().all(is_public) {
        true => edge.evidence.unmatched,
        false => 0,
    }
}

impl Arrivals {
    pub(super) fn new(view: &View) -> Self {
        Self::of(view, false)
    }

    /// Of a map that is compared with another one.
    pub(super) fn compared(view: &View) -> Self {
        Self::of(view, true)
    }

    fn of(view: &View, is_compared: bool) -> Self {
        let is_unknown = |edge| unanswered(edge) > 0 || is_compared && unmatched(view, edge) > 0;
        let mut unknown: HashMap<u16, Vec<usize>> = HashMap::new();
        for (at, edge) in view.edges.iter().enumerate() {
            let server = &view.nodes[edge.server];
            // Who served there once need not be who listens there.
            let listens = |port| server.listeners.iter().any(|it| it.port == port);
            if let Some(port) = edge.port
                && (server.kind == NodeKind::Remote || !listens(port))
                && is_unknown(edge)
            {
                unknown.entry(port).or_default().push(at);
            }
        }
        Self {
            unknown,
            maybe: BTreeSet::new(),
            netns: BTreeSet::new(),
            is_compared,
        }
    }

    /// `listener` of `node` may have had more than edges say.
    pub(super) fn add(&mut self, view: &View, node: &Node, listener: &ListeningAt) {
        let host = node.host.as_ref().map(|it| it.id.clone());
        self.netns.insert((host, listener.netns));
        self.add_at(view, listener.address, listener.port);
    }

    /// So may those that `node` had, and has no more; of one port, or of all.
    pub(super) fn add_past(&mut self, view: &View, node: &Node, only: Option<u16>) {
        for change in &node.changes {
            if let Happened::Unlisten { address, port } = change.what
                && only.is_none_or(|only| only == port)
            {
                self.add_at(view, address, port);
            }
        }
    }

    /// So may whoever took connections at that port, and is not known to listen.
    pub(super) fn add_anywhere(&mut self, view: &View, port: u16) {
        self.add_at(view, Address::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port);
    }

    fn add_at(&mut self, view: &View, address: Address, port: u16) {
        let any = address.ip().is_unspecified();
        let is_there = |it: &Address| *it == address || any && !it.ip().is_loopback();
        let edges = self.unknown.get(&port).into_iter().flatten();
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
        let sum = |of: &dyn Fn(&Edge) -> u64| {
            let maybe = self.maybe.iter().map(|at| of(&view.edges[*at]));
            maybe.fold(0, u64::saturating_add)
        };
        let connections = sum(&unanswered);
        if connections > 0 {
            proof.doubt(Doubt::Unanswered { connections });
        }
        let connections = sum(&|edge| unmatched(view, edge));
        if connections > 0 && self.is_compared {
            proof.doubt(Doubt::Unmatched { connections });
        }
    }
}
