//! Which ports say something: a port that the kernel chose is another one after every start.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Happened, Timestamp, View};

/// From here on the kernel chooses ports by itself (`ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// The ports of the servers of a map.
pub(super) struct Ports<'a> {
    view: &'a View,
    /// Of each node the ports at which it listens, or is dialled.
    of: HashMap<usize, BTreeSet<u16>>,
    /// When a port of a node was first dialled.
    dialled: HashMap<(usize, u16), Timestamp>,
}

impl<'a> Ports<'a> {
    pub(super) fn of(view: &'a View) -> Self {
        let mut ports = Self {
            view,
            of: HashMap::new(),
            dialled: HashMap::new(),
        };
        for (at, node) in view.nodes.iter().enumerate() {
            let listened = node
                .listeners
                .iter()
                .map(|it| it.port)
                .filter(|it| *it != 0);
            ports.of.entry(at).or_default().extend(listened);
        }
        for edge in &view.edges {
            if let Some(port) = edge.port {
                ports.of.entry(edge.server).or_default().insert(port);
                let first = ports.dialled.entry((edge.server, port));
                let first = first.or_insert(edge.first_seen);
                *first = edge.first_seen.min(*first);
            }
        }
        ports
    }

    /// The ports of this node.
    pub(super) fn at(&self, node: usize) -> impl Iterator<Item = u16> {
        self.of.get(&node).into_iter().flatten().copied()
    }

    /// Whether this is one of the ports of this node.
    pub(super) fn has(&self, node: usize, port: u16) -> bool {
        self.of.get(&node).is_some_and(|it| it.contains(&port))
    }

    /// Whether the kernel may have chosen this port of this node when it began to listen. Not if
    /// somebody counts on the port:
    /// - It was there before and after a start.
    /// - It is all that the node is dialled at, so those who dial know it from somewhere.
    /// - It stays, and is even: those who ask for any port get an odd one, as the even ones are for
    ///   those who dial.
    pub(super) fn is_chosen(&self, node: usize, port: u16) -> bool {
        if port < EPHEMERAL {
            return false;
        }
        let dialled = self.dialled.get(&(node, port)).copied();
        let is_only = || dialled.is_some() && self.at(node).all(|it| it == port);
        let is_for_dialling = || port.is_multiple_of(2) && self.stays(node, port);
        !is_only() && !is_for_dialling() && !self.was_kept(node, port, dialled)
    }

    /// Whether this node listens there at the end.
    pub(super) fn stays(&self, node: usize, port: u16) -> bool {
        let mut listeners = self.view.nodes[node].listeners.iter();
        listeners.any(|it| it.port == port)
    }

    /// Whether it began to listen there again, or was dialled there before it did.
    fn was_kept(&self, node: usize, port: u16, dialled: Option<Timestamp>) -> bool {
        let begun = self.view.nodes[node]
            .changes
            .iter()
            .filter(|it| matches!(it.what, Happened::Listen { port: at, .. } if at == port));
        let begun: BTreeSet<Timestamp> = begun.map(|it| it.time).collect();
        let ended = self.view.nodes[node]
            .changes
            .iter()
            .find(|it| matches!(it.what, Happened::Unlisten { port: at, .. } if at == port));
        let Some(last) = begun.last() else {
            return false;
        };
        ended.is_some_and(|it| it.time < *last) || dialled.is_some_and(|it| it < *last)
    }
}
