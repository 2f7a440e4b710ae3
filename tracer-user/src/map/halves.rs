//! Halves of edges: what one workload has with one remote, as its own end tells it.

use foldhash::HashMap;

use super::{
    counters::{Counters, Share},
    nodes::{HostId, NodeId, Nodes},
};
use crate::model::{ConnectionEvent, Direction, Timestamp};

/// Most halves; beyond, the port of the server is no longer told apart.
const MAX_HALVES: usize = 262_144;
/// Most entries of the tables that say who serves what.
const MAX_SERVED: usize = 131_072;

/// Which side of its connections a half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Client,
    Server,
    /// Who opened them is not known.
    Unknown,
}

/// Ports of one remote at which nothing ever served a client that are told apart: who tries more looks
/// for what is there.
pub(super) const MAX_FAILING_PORTS: usize = 16;
/// Halves that stand for all further such ports and know which these were. Each takes 8 KiB.
const MAX_SCANS: usize = 1024;

/// Number of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HalfId(u32);

impl HalfId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Ports at which attempts failed, between the same two ends.
#[derive(Debug, Default)]
struct Tried {
    /// Those that have a half of their own.
    own: usize,
    /// All others; none if there was no room.
    others: Option<Box<Ports>>,
}

/// A set of ports.
#[derive(Debug)]
struct Ports {
    bits: [u64; 1024],
    count: u64,
}

impl Ports {
    fn insert(&mut self, port: u16) {
        let (word, bit) = (usize::from(port) / 64, 1 << (port % 64));
        self.count += u64::from(self.bits[word] & bit == 0);
        self.bits[word] |= bit;
    }
}

/// What makes two halves the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Half {
    pub(super) host: HostId,
    pub(super) netns: u32,
    pub(super) side: Side,
    pub(super) node: NodeId,
    pub(super) remote: NodeId,
    /// The server's; 0 where the side is not known.
    pub(super) port: u16,
}

/// The halves of an edge that are known, as of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// The end that dialled; or the only one, where it is not known who did.
    pub(super) client: Option<HalfId>,
    pub(super) server: Option<HalfId>,
}

/// All halves, and what was counted of their connections.
#[derive(Debug, Default)]
pub(super) struct Halves {
    halves: Vec<Half>,
    numbers: HashMap<Half, HalfId>,
    links: HashMap<Link, Counters>,
    /// Who was found to serve a remote address, as clients in a network namespace dial it, and when the
    /// connection that showed it was opened.
    served: HashMap<(HostId, u32, NodeId, u16), (HalfId, Timestamp)>,
    /// Who listened last on a port of a network namespace.
    listeners: HashMap<(HostId, u32, u16), NodeId>,
    /// Where attempts failed, by the half without its port.
    tried: HashMap<Half, Tried>,
    /// Those that know their other ports.
    scans: usize,
}

impl Halves {
    /// The half that `event` is about.
    pub(super) fn of(
        &mut self,
        host: HostId,
        event: &ConnectionEvent,
        time: Timestamp,
        nodes: &mut Nodes,
    ) -> HalfId {
        let connection = &event.connection;
        let (side, port) = match connection.direction {
            Some(Direction::Outbound) => (Side::Client, connection.remote().port()),
            Some(Direction::Inbound) => (Side::Server, connection.ends.local.port()),
            None => (Side::Unknown, 0),
        };
        let served_here = (host, connection.netns, port);
        let node = match (&event.process, side) {
            // An inbound attempt that nobody took: it was meant for who listens there, or did.
            (None, Side::Server) => match self.listeners.get(&served_here) {
                Some(node) => *node,
                None => nodes.local(host, None, time),
            },
            (process, _) => nodes.local(host, process.as_ref(), time),
        };
        nodes.uses(node, connection.ends.local.into());
        let remote = nodes.remote(host, connection, time);
        let half = Half {
            host,
            netns: connection.netns,
            side,
            node,
            remote,
            port,
        };
        if side == Side::Server && event.process.is_some() {
            self.listens(host, half.netns, port, node);
        }
        match event.failure {
            Some(_) if !self.numbers.contains_key(&half) && !self.has_served(&half) => {
                self.of_tried(half)
            }
            _ => self.number(half),
        }
    }

    /// Whether anything was seen to serve the port that `half` is about.
    fn has_served(&self, half: &Half) -> bool {
        let Half {
            host, netns, port, ..
        } = *half;
        match half.side {
            Side::Client => self.served.contains_key(&(host, netns, half.remote, port)),
            Side::Server => self.listeners.contains_key(&(host, netns, port)),
            Side::Unknown => false,
        }
    }

    /// The half of an attempt that failed at a port at which none succeeded so far: after some ports it is
    /// the same for all.
    fn of_tried(&mut self, half: Half) -> HalfId {
        let all = Half { port: 0, ..half };
        let has_room = self.tried.len() < MAX_SERVED || self.tried.contains_key(&all);
        if half.port == 0 || !has_room {
            return self.number(half);
        }
        let tried = self.tried.entry(all).or_default();
        if tried.own < MAX_FAILING_PORTS {
            tried.own += 1;
            return self.number(half);
        }
        if tried.others.is_none() && self.scans < MAX_SCANS {
            self.scans += 1;
            tried.others = Some(Box::new(Ports {
                bits: [0; 1024],
                count: 0,
            }));
        }
        if let Some(others) = &mut tried.others {
            others.insert(half.port);
        }
        self.number(all)
    }

    /// The halves that stand for ports at which nothing served, each with how many these are at least.
    pub(super) fn scans(&self) -> impl Iterator<Item = (HalfId, u64)> {
        self.tried.iter().filter_map(|(all, tried)| {
            // Whoever has as many as there may be knows of one more, or has no such half.
            let half = self.numbers.get(all)?;
            (tried.own >= MAX_FAILING_PORTS)
                .then(|| (*half, tried.others.as_ref().map_or(1, |it| it.count)))
        })
    }

    fn number(&mut self, mut half: Half) -> HalfId {
        if self.halves.len() >= MAX_HALVES && !self.numbers.contains_key(&half) {
            half.port = 0;
        }
        *self.numbers.entry(half).or_insert_with(|| {
            self.halves.push(half);
            HalfId((self.halves.len() - 1) as u32)
        })
    }

    pub(super) fn get(&self, id: HalfId) -> &Half {
        &self.halves[id.0 as usize]
    }

    /// `node` listens on that port.
    pub(super) fn listens(&mut self, host: HostId, netns: u32, port: u16, node: NodeId) {
        let place = (host, netns, port);
        if self.listeners.len() < MAX_SERVED || self.listeners.contains_key(&place) {
            self.listeners.insert(place, node);
        }
    }

    /// Listeners of `host` are told anew.
    pub(super) fn forget_listeners(&mut self, host: HostId) {
        self.listeners.retain(|(of, ..), _| *of != host);
    }

    /// These two are the ends of one connection, opened then. The newest counts, in whatever order they
    /// are told.
    pub(super) fn join(&mut self, client: HalfId, server: HalfId, opened: Timestamp) {
        let half = *self.get(client);
        let place = (half.host, half.netns, half.remote, half.port);
        let has_room = self.served.len() < MAX_SERVED;
        match self.served.get_mut(&place) {
            Some((_, before)) if *before > opened => {}
            Some(served) => *served = (server, opened),
            None if has_room => {
                self.served.insert(place, (server, opened));
            }
            None => {}
        }
    }

    /// Who serves what `client` dials, where a connection of it, or of another client in its
    /// network namespace, was seen at both ends.
    pub(super) fn server_of(&self, client: HalfId) -> Option<HalfId> {
        let half = self.get(client);
        let place = (half.host, half.netns, half.remote, half.port);
        self.served.get(&place).map(|(server, _)| *server)
    }

    /// Counts a connection or an attempt between them.
    pub(super) fn count(&mut self, link: Link, share: &Share) {
        self.links.entry(link).or_default().add(share);
    }

    pub(super) fn links(&self) -> impl Iterator<Item = (Link, &Counters)> {
        self.links.iter().map(|(link, counters)| (*link, counters))
    }
}
