//! Use of listening sockets: connections that came in by them, who served these, and connections that a translation
//! led past them. Use belongs to the socket, whichever process accepts.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::draft::DraftNode;
use crate::map::{
    Map,
    counters::Used,
    half::{At, Half, Link, Side, Whose},
    hosts::Identity,
    listeners::{Place, Socket},
    numbers::{HostId, NodeId},
};
use crate::model::{LedPast, ListeningAt, ServedBy, Stray, Timestamp};

/// Maximum of entries of `served_by` and `led_past` of one socket.
const MAX_SHOWN: usize = 16;

/// Nodes of a draft: client, server, and the port.
type Ends = (usize, usize, Option<u16>);

/// How many connections, and when the last one was there.
#[derive(Clone, Copy, Debug)]
struct Times {
    connections: u64,
    last: Timestamp,
}

/// The use of one socket.
#[derive(Debug, Default)]
struct Use {
    connections: u64,
    live: u64,
    last: Option<Timestamp>,
    served: BTreeMap<usize, Times>,
    past: BTreeMap<(Ends, At), Times>,
}

/// The use of all sockets.
#[derive(Debug)]
pub(super) struct Uses {
    /// Sockets that listen now, and since when.
    open: Vec<(Socket, Option<Timestamp>)>,
    /// By host, port and whether it is IPv4: the socket that listens at all addresses of its network namespace;
    /// none if there are several.
    any: HashMap<(HostId, u16, bool), Option<Socket>>,
    sockets: HashMap<Socket, Use>,
    strays: BTreeMap<(HostId, u32), u64>,
}

impl Uses {
    /// The sockets of `map`, without use.
    pub(super) fn new(map: &Map, identity: &Identity) -> Self {
        let open = map.halves.facts.listeners.open();
        // A former name of a host.
        let open = open.filter(|(socket, _)| !identity.is_over(socket.place.host));
        let open: Vec<_> = open.collect();
        let mut any: HashMap<_, Option<Socket>> = HashMap::new();
        let sockets = open.iter().map(|(socket, _)| *socket);
        for socket in sockets.filter(|it| it.place.address.ip().is_unspecified()) {
            let place = socket.place;
            let is_ipv4 = place.address.ip().is_ipv4();
            let only = any.entry((place.host, place.port, is_ipv4));
            only.and_modify(|it| *it = None).or_insert(Some(socket));
        }
        Self {
            open,
            any,
            sockets: HashMap::new(),
            strays: BTreeMap::new(),
        }
    }

    /// The owners of sockets that listen now.
    pub(super) fn who_listens(&self) -> HashSet<NodeId> {
        self.open.iter().map(|(socket, _)| socket.node).collect()
    }

    /// Adds the connections of a link between these nodes. Returns the owners of the sockets that they came in by.
    pub(super) fn add(
        &mut self,
        map: &Map,
        (link, whose): (Link, Whose),
        ends: Ends,
        used: Used,
    ) -> Vec<NodeId> {
        let facts = &map.halves.facts;
        let [client, server] = [link.client, link.server].map(|id| id.map(|id| map.halves.get(id)));
        let client = client.filter(|it| it.side == Side::Client && it.port != 0);
        let came_to = match (server, whose, client) {
            (Some(server), ..) => server.came_in(),
            // Unknown destination or client; or reported by the server's own end.
            (None, Whose::Server { is_led: true, .. } | Whose::Apart, _) | (None, _, None) => None,
            (None, Whose::Server { .. }, Some(client)) => {
                remote(map, client).and_then(|at| served_at(map, client, at, used.first))
            }
            (None, _, Some(client)) => {
                remote(map, client).and_then(|at| place(map, client, at, used.first))
            }
        };
        let node = match (whose, server) {
            (Whose::Listener(node), _) => Some(node),
            (_, Some(server)) => Some(server.node),
            (_, None) => None,
        };
        let span = [used.first, used.opened];
        let sockets = came_to.map_or_else(Vec::new, |place| {
            facts.listeners.took(place, node, span, used.was_there)
        });
        for socket in &sockets {
            let of = self.sockets.entry(*socket).or_default();
            of.connections = of.connections.saturating_add(used.connections);
            of.live = of.live.saturating_add(used.live);
            of.last = of.last.max(Some(used.last));
            if node != Some(socket.node) {
                add(&mut of.served, ends.1, used);
            }
        }
        let came_to = came_to.map(|it| (it.host, it.netns));
        let took_in = server.filter(|it| it.side == Side::Server);
        let netns = came_to.or(took_in.map(|it| (it.host, it.netns)));
        if let Some(netns) = netns.filter(|_| sockets.is_empty()) {
            let strays = self.strays.entry(netns).or_default();
            *strays = strays.saturating_add(used.connections);
        }
        if let Some(client) = client
            && let Some(dialled) = dialled(map, client, server)
            && let Some(socket) = self.passed(map, client, dialled, used.last)
            && !sockets.contains(&socket)
        {
            let past = &mut self.sockets.entry(socket).or_default().past;
            add(past, (ends, dialled), used);
        }
        sockets.into_iter().map(|it| it.node).collect()
    }

    /// The socket that would have taken what `client` dialled. If the owner of the address is unknown, the only
    /// socket of the host at that port.
    fn passed(&self, map: &Map, client: &Half, dialled: At, time: Timestamp) -> Option<Socket> {
        match place(map, client, dialled, time) {
            Some(place) => map.halves.facts.listeners.taker(place, time),
            None => {
                let any = |is_ipv4| self.any.get(&(client.host, dialled.port, is_ipv4));
                let ipv4 = any(true).filter(|_| dialled.address.ip().is_ipv4());
                *ipv4.or_else(|| any(false))?
            }
        }
    }

    /// The sockets that listen now, by owner. `nodes` are those of the draft.
    pub(super) fn listening(&self, nodes: &[DraftNode]) -> HashMap<NodeId, Vec<ListeningAt>> {
        let mut listening: HashMap<NodeId, Vec<ListeningAt>> = HashMap::new();
        for (socket, since) in &self.open {
            let Place {
                address,
                port,
                netns,
                ..
            } = socket.place;
            let mut at = ListeningAt {
                since: *since,
                ..ListeningAt::new(address, port, netns)
            };
            if let Some(of) = self.sockets.get(socket) {
                (at.connections, at.live, at.last_used) = (of.connections, of.live, of.last);
                at.served_by = most(&of.served, |server, times| ServedBy {
                    server: Arc::clone(&nodes[*server].id),
                    connections: times.connections,
                    last_used: times.last,
                });
                at.led_past = most(&of.past, |((client, server, port), dialled), times| {
                    LedPast {
                        dialled: dialled.address,
                        client: Arc::clone(&nodes[*client].id),
                        server: Arc::clone(&nodes[*server].id),
                        port: *port,
                        connections: times.connections,
                        last_used: times.last,
                    }
                });
            }
            listening.entry(socket.node).or_default().push(at);
        }
        listening
    }

    /// Connections that came in by no known socket.
    pub(super) fn strays(&self, map: &Map, identity: &Identity) -> Vec<Stray> {
        let mut by_host: BTreeMap<(HostId, u32), u64> = BTreeMap::new();
        for ((host, netns), connections) in &self.strays {
            let sum = by_host.entry((identity.last(*host), *netns)).or_default();
            *sum = sum.saturating_add(*connections);
        }
        let strays = by_host
            .into_iter()
            .map(|((host, netns), connections)| Stray {
                host: map.nodes.hosts()[host.index()].id.clone(),
                netns,
                connections,
            });
        let mut strays: Vec<_> = strays.collect();
        strays.sort_by(|one, other| (&one.host, one.netns).cmp(&(&other.host, other.netns)));
        strays
    }
}

fn add<K: Ord>(times: &mut BTreeMap<K, Times>, of: K, used: Used) {
    let last = used.last;
    let sum = times.entry(of).or_insert(Times {
        connections: 0,
        last,
    });
    sum.connections = sum.connections.saturating_add(used.connections);
    sum.last = sum.last.max(last);
}

fn most<K, T: Ord>(of: &BTreeMap<K, Times>, shown: impl Fn(&K, &Times) -> T) -> Vec<T> {
    let mut all: Vec<_> = of.iter().collect();
    all.sort_by_key(|(_, times)| Reverse((times.connections, times.last)));
    let all = all.into_iter().take(MAX_SHOWN);
    all.map(|(key, times)| shown(key, times)).collect()
}

/// What `client` has at the other end, as far as it knows.
fn remote(map: &Map, client: &Half) -> Option<At> {
    let address = map.nodes.address(client.remote)?;
    let port = client.port;
    Some(At { address, port })
}

/// What `client` dialled, if that is not where it came to.
fn dialled(map: &Map, client: &Half, server: Option<&Half>) -> Option<At> {
    client.dialled().or_else(|| {
        let remote = remote(map, client)?;
        let came_in = server?.came_in()?;
        let is_same = (came_in.address, came_in.port) == (remote.address, remote.port);
        (!is_same).then_some(remote)
    })
}

/// Where that is, in the network namespace that has the address.
fn place(map: &Map, client: &Half, At { address, port }: At, time: Timestamp) -> Option<Place> {
    let from = (client.host, client.netns);
    let dialled = (address, port);
    let owner = map.halves.facts.owner(from, dialled, time, &map.realms);
    owner.map(|(host, netns)| Place {
        host,
        netns,
        address,
        port,
    })
}

/// The same of what was served before, and since then was not seen to be elsewhere.
fn served_at(map: &Map, client: &Half, At { address, port }: At, time: Timestamp) -> Option<Place> {
    let from = (client.host, client.netns);
    let netns = map.halves.facts.came_to(from, address, time, &map.realms);
    netns.map(|(host, netns)| Place {
        host,
        netns,
        address,
        port,
    })
}
