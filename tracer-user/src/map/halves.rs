//! Halves of edges: what one workload has with one remote, as its own end tells it.

use foldhash::HashMap;

use super::{
    counters::{Counters, Known, Share},
    kept::Standing,
    namespaces::Owners,
    nodes::{HostId, NodeId, Nodes},
};
use crate::model::{Address, ConnectionEvent, Direction, Timestamp};

/// Most halves; beyond, the port of the server is no longer told apart, and then the remote neither.
pub(super) const MAX_HALVES: usize = 262_144;
/// Most pairs of halves; beyond, what is between them is counted by one of them alone.
const MAX_LINKS: usize = 2 * MAX_HALVES;
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
    /// Addresses that network namespaces have themselves.
    owners: Owners,
    /// What there was no room for, by host.
    cut: HashMap<HostId, NoRoom>,
    /// Where attempts failed, by the half without its port.
    tried: HashMap<Half, Tried>,
    /// Those that know their other ports.
    scans: usize,
}

/// How often there was no room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NoRoom {
    /// For a half or a link of its own.
    pub(super) edges: u64,
    /// For who listens or serves.
    pub(super) servers: u64,
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
        let known = self.halves.len();
        let others = |half| Half {
            netns: 0,
            remote: nodes.others(host, time),
            ..half
        };
        let id = match event.failure {
            Some(_) if !self.numbers.contains_key(&half) && !self.has_served(&half) => {
                self.of_tried(half, others)
            }
            _ => self.number(half, others),
        };
        if self.halves.len() > known {
            nodes.stand(event.process.as_ref(), Standing::First);
            let own = connection.ends.local.into();
            self.owners.note(host, connection.netns, own, time);
        }
        id
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
    fn of_tried(&mut self, half: Half, others: impl FnOnce(Half) -> Half) -> HalfId {
        let all = Half { port: 0, ..half };
        let has_room = self.tried.len() < MAX_SERVED || self.tried.contains_key(&all);
        if half.port == 0 || !has_room {
            return self.number(half, others);
        }
        let tried = self.tried.entry(all).or_default();
        if tried.own < MAX_FAILING_PORTS {
            tried.own += 1;
            return self.number(half, others);
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
        self.number(all, others)
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

    /// The number of `half`, or of what stands for it where there is no room: all its ports, and then
    /// all remotes.
    fn number(&mut self, mut half: Half, others: impl FnOnce(Half) -> Half) -> HalfId {
        if self.halves.len() >= MAX_HALVES && !self.numbers.contains_key(&half) {
            self.cut.entry(half.host).or_default().edges += 1;
            half.port = 0;
            if self.halves.len() >= 2 * MAX_HALVES && !self.numbers.contains_key(&half) {
                half = others(half);
            }
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
        } else {
            self.cut.entry(host).or_default().servers += 1;
        }
    }

    /// All halves, with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (HalfId, &Half)> {
        let halves = self.halves.iter().zip(0..);
        halves.map(|(half, at)| (HalfId(at), half))
    }

    /// Remotes that were seen to be served, at which port, and by whom, as seen from each namespace.
    pub(super) fn served(&self) -> impl Iterator<Item = ((NodeId, u16), &Half)> {
        let served = self.served.iter();
        served.map(|((_, _, remote, port), (server, _))| ((*remote, *port), self.get(*server)))
    }

    /// A socket in that namespace listens at this address.
    pub(super) fn owns(&mut self, host: HostId, netns: u32, address: Address, time: Timestamp) {
        self.owners.note(host, netns, address, time);
    }

    /// Addresses that network namespaces have themselves.
    pub(super) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// What there was no room for of `host`.
    pub(super) fn cut(&self, host: HostId) -> NoRoom {
        self.cut.get(&host).copied().unwrap_or_default()
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
            None => self.cut.entry(half.host).or_default().servers += 1,
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
    pub(super) fn count(&mut self, mut link: Link, share: &Share) {
        if self.links.len() >= MAX_LINKS
            && let (Some(client), Some(_)) = (link.client, link.server)
            && !self.links.contains_key(&link)
        {
            let host = self.get(client).host;
            self.cut.entry(host).or_default().edges += 1;
            link.server = None;
        }
        self.links.entry(link).or_default().add(share);
    }

    /// The server's end of something that was counted under `link` by its client's end alone is told of,
    /// too.
    pub(super) fn complete(&mut self, link: Link, server: Known) {
        if let Some(counters) = self.links.get_mut(&link) {
            counters.complete(server);
        }
    }

    pub(super) fn links(&self) -> impl Iterator<Item = (Link, &Counters)> {
        self.links.iter().map(|(link, counters)| (*link, counters))
    }
}
