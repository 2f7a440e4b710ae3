//! Halves of edges: what one workload has with one remote, as reported by its own end.

mod asked;
mod tried;

use std::{collections::VecDeque, hash::BuildHasher as _};

use foldhash::{HashMap, HashSet, fast::RandomState};

use self::{
    asked::{Asked, Found, Hashed, payer_of},
    tried::{MAX_SCANS, MAX_TRIED, Tried},
};
use super::{
    counters::{Counters, Known, Share},
    facts::{Facts, NoRoom},
    half::{At, Half, HalfId, Link, Side, Whose},
    kept::Standing,
    nodes::Nodes,
    numbers::HostId,
    realms::Realms,
    remotes::Charged,
    room::Owner,
    sightings::SightingId,
};
use crate::model::{ArcId, ConnectionEvent, Direction, Payer, Process, Shares, Timestamp};

pub(super) use asked::AskedId;
pub(super) use tried::MAX_FAILING_PORTS;

/// Maximum of halves. Beyond it halves are merged over the server's ports, then over remotes.
pub(super) const MAX_HALVES: usize = 262_144;
/// Maximum of links. Beyond it connections are counted by one of their halves alone.
const MAX_LINKS: usize = 2 * MAX_HALVES;
/// Maximum of addresses with ports in keys of halves.
pub(super) const MAX_PLACES: usize = 65_536;
/// Capacity of the cache in `asked`.
const MAX_ASKED: usize = 65_536;
/// Capacity of the queue of connections that only one end reported. The server's node is resolved when one
/// leaves the queue, so that late events count. The newer half always stays.
pub(super) const MAX_ALONE: usize = 131_072;

/// Entries are numbered by insertion, and growing does not move them.
type IndexMap<K, V> = indexmap::IndexMap<K, V, RandomState>;
type IndexSet<K> = indexmap::IndexSet<K, RandomState>;

/// By half: the age of the facts at the last look-up of its server that found nothing.
pub(super) type Unknown = Vec<usize>;

/// All halves, and the counters of their connections.
#[derive(Debug, Default)]
pub(super) struct Halves {
    halves: IndexSet<Half>,
    /// By half, who is charged for it.
    payers: Vec<Payer>,
    places: HashSet<At>,
    of_places: Room<MAX_PLACES>,
    asked: IndexMap<Hashed, Found>,
    /// See [`Nodes::forgotten`].
    forgotten: u64,
    links: IndexMap<(Link, Whose), Counters>,
    /// The newest connections that only one end reported.
    alone: VecDeque<(Link, Share)>,
    /// How many have left `alone`.
    settled: u64,
    unknown: Unknown,
    pub(super) facts: Facts,
    /// The last pair that was joined.
    joined: Option<((HalfId, HalfId), SightingId)>,
    /// Overflows by host.
    cut: HashMap<HostId, NoRoom>,
    /// Shares of halves with a port, and of those merged over ports.
    of_ports: Room<MAX_HALVES>,
    of_remotes: Room<MAX_HALVES>,
    /// Failed ports, by half without its port.
    tried: HashMap<Half, Tried>,
    of_tried: Room<MAX_TRIED>,
    /// Shares of sets of further ports.
    scans: Room<MAX_SCANS>,
}

/// A quota of `MAX` entries, shared by payers.
#[derive(Debug)]
struct Room<const MAX: usize>(Shares<Charged>);

impl<const MAX: usize> Default for Room<MAX> {
    fn default() -> Self {
        Self(Shares::new(MAX))
    }
}

/// Sequence number of an entry of `alone`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting(u64);

impl Halves {
    /// The half that `event` is about, and its cache entry, which nearly always serves the next event of the same
    /// endpoint.
    pub(super) fn of(
        &mut self,
        host: HostId,
        event: &ConnectionEvent,
        time: Timestamp,
        last: Option<AskedId>,
        nodes: &mut Nodes,
    ) -> (HalfId, AskedId) {
        let connection = &event.connection;
        let remote = connection.remote();
        let (side, port) = match connection.direction {
            Some(Direction::Outbound) => (Side::Client, remote.port()),
            Some(Direction::Inbound) => (Side::Server, connection.ends.local.port()),
            None => (Side::Unknown, 0),
        };
        let dialled = connection.translation.as_ref().map(|it| At {
            address: it.dialled.into(),
            port: it.dialled.port(),
        });
        let asked = Asked {
            host,
            netns: connection.netns,
            side,
            port,
            local: connection.ends.local.into(),
            remote: remote.into(),
            dialled,
            fails: event.failure.is_some(),
            process: event.process.as_ref().map(ArcId::of),
            name: connection.name.as_ref().map(ArcId::of),
        };
        // The endpoint is there as long as the connection is open.
        let times = [
            connection.opened.map_or(time, |opened| opened.min(time)),
            time,
        ];
        let last = last.filter(|AskedId(at)| {
            let known = self.asked.get_index(*at as usize);
            known.is_some_and(|(known, _)| known.asked == asked)
        });
        if let Some(last) = last
            && let Some(half) = self.again(last, event, times, nodes)
        {
            return (half, last);
        }
        let asked = Hashed {
            hash: self.asked.hasher().hash_one(asked),
            asked,
        };
        let known = self.asked.get_index_of(&asked);
        if let Some(known) = known.map(|at| AskedId(at as u32))
            && let Some(half) = self.again(known, event, times, nodes)
        {
            return (half, known);
        }
        let found = self.find(&asked.asked, event, times, nodes);
        let half = found.half;
        // `nodes` cleared its processes: drop the `Arc`s held here as well.
        let forgotten = nodes.forgotten();
        if self.asked.len() >= MAX_ASKED || self.forgotten != forgotten {
            self.asked.clear();
            self.forgotten = forgotten;
        }
        let (at, _) = self.asked.insert_full(asked, found);
        (half, AskedId(at as u32))
    }

    /// The cached half, unless its facts were evicted and have to be added again.
    fn again(
        &mut self,
        AskedId(at): AskedId,
        event: &ConnectionEvent,
        times: [Timestamp; 2],
        nodes: &mut Nodes,
    ) -> Option<HalfId> {
        let (_, found) = self.asked.get_index(at as usize)?;
        if !self
            .facts
            .again(found.owner, found.taker, found.present, times)
        {
            return None;
        }
        nodes.again(found.process, event.process.as_ref(), times[1]);
        Some(found.half)
    }

    fn find(
        &mut self,
        asked: &Asked,
        event: &ConnectionEvent,
        times: [Timestamp; 2],
        nodes: &mut Nodes,
    ) -> Found {
        let time = times[1];
        let Asked {
            host,
            netns,
            side,
            port,
            local,
            ..
        } = *asked;
        let connection = &event.connection;
        let node = nodes.local(host, event.process.as_ref(), time);
        let process = event.process.as_deref();
        let owner = process.map_or(Owner::root(host), |it| Owner::of(host, it));
        // A client whose attempt failed may have bound an address that its host does not have.
        let has = !asked.fails
            || side == Side::Server
            || process.is_some_and(Process::is_trusted_with_addresses);
        if has {
            nodes.uses(node, owner, local);
        }
        let of = (host, payer_of(asked, event));
        let is_contained = process.is_some_and(Process::is_contained);
        let remote = nodes.remote((of, asked.fails), (owner, is_contained), connection, time);
        let at = match side {
            Side::Server => Some(At {
                address: local,
                port,
            }),
            Side::Client => asked.dialled,
            Side::Unknown => None,
        };
        let mut half = Half {
            host,
            netns,
            side,
            node,
            remote,
            port,
            at: at.filter(|at| self.has_place(of, *at)),
            is_unknown: nodes.is_unknown(node),
        };
        let known = self.halves.len();
        let others = |half| Half {
            netns: 0,
            remote: nodes.others(host, time),
            ..half
        };
        let number = match asked.fails {
            true if !self.halves.contains(&half) && !self.facts.has_served(&half) => {
                self.of_tried(of, &mut half, others)
            }
            _ => self.number(of, &mut half, others),
        };
        if self.halves.len() > known {
            nodes.stand(event.process.as_ref(), Standing::First);
        }
        // In a network namespace of its own a user may assign any address: it proves nothing elsewhere.
        let is_users = process.map(Process::is_in_users_place);
        let owner = match is_users {
            Some(true) => SightingId::NONE,
            Some(false) | None if has => self.facts.owns((host, netns), of.1, local, times),
            Some(false) | None => {
                self.facts.may_own((host, netns), of.1, local, times);
                SightingId::NONE
            }
        };
        let taker = match (half.came_in(), &event.process) {
            (Some(place), Some(_)) => self.facts.takes(place, of.1, node, times),
            _ => SightingId::NONE,
        };
        Found {
            half: number,
            owner,
            taker,
            present: self.facts.is_present((host, netns), of.1, is_users, time),
            process: event.process.as_ref().and(nodes.asked()),
            _kept: (event.process.clone(), connection.name.clone()),
        }
    }

    /// Whether `at` may be part of a key; `of` is charged for it.
    fn has_place(&mut self, of: Charged, at: At) -> bool {
        if self.places.contains(&at) {
            return true;
        }
        if self.of_places.0.take(of) {
            return self.places.insert(at);
        }
        self.cut.entry(of.0).or_default().servers += 1;
        false
    }

    /// The number of `half`. If the quota `of` its payer is used up, `half` is merged over ports and own
    /// addresses, and then over remotes.
    fn number(
        &mut self,
        of: Charged,
        half: &mut Half,
        others: impl FnOnce(Half) -> Half,
    ) -> HalfId {
        let is_known = self.halves.contains(half);
        if !is_known && !self.of_ports.0.take(of) {
            self.cut.entry(half.host).or_default().edges += 1;
            (half.port, half.at) = (0, None);
            if !self.halves.contains(half) && !self.of_remotes.0.take(of) {
                *half = others(*half);
            }
        }
        let (at, is_new) = self.halves.insert_full(*half);
        if is_new {
            self.unknown.push(usize::MAX);
            self.payers.push(of.1);
        }
        HalfId::at(at)
    }

    pub(super) fn get(&self, id: HalfId) -> &Half {
        &self.halves[id.index()]
    }

    /// All halves.
    pub(super) fn all(&self) -> impl Iterator<Item = &Half> {
        self.halves.iter()
    }

    /// Overflows of `host`.
    pub(super) fn cut(&self, host: HostId) -> NoRoom {
        let own = self.cut.get(&host).copied().unwrap_or_default();
        let facts = self.facts.cut(host);
        NoRoom {
            edges: own.edges,
            servers: own.servers.saturating_add(facts.servers),
            owners: facts.owners,
        }
    }

    /// Notes that these two are the ends of one connection that opened then.
    pub(super) fn join(&mut self, client: HalfId, server: HalfId, opened: Timestamp) {
        // Usually the same pair as last time.
        if let Some((ends, known)) = self.joined
            && ends == (client, server)
            && self.facts.join_again(known, opened)
        {
            return;
        }
        let ends = (client, server);
        let payer = self.payers[client.index()];
        let [client, server] = [client, server].map(|id| self.halves[id.index()]);
        let of = (client.host, payer);
        let known = self.facts.join(of, &client, &server, opened);
        self.joined = known.map(|known| (ends, known));
    }

    /// Counts a connection or an attempt. Returns its place in the queue, if the other end may complete it.
    pub(super) fn count(&mut self, link: Link, share: &Share) -> Option<Waiting> {
        if self.is_alone(link) {
            self.alone.push_back((link, share.clone()));
            return Some(Waiting(self.settled + self.alone.len() as u64 - 1));
        }
        self.counters(link, Whose::Told).add(share);
        None
    }

    /// The counters of a link. If the table is full: those of the client's half and its server, and then those of
    /// the client's half alone.
    fn counters(&mut self, mut link: Link, mut whose: Whose) -> &mut Counters {
        let is_cut = self.links.len() >= MAX_LINKS && !self.links.contains_key(&(link, whose));
        if is_cut && let Some(end) = link.client.or(link.server) {
            let host = self.get(end).host;
            self.cut.entry(host).or_default().edges += 1;
            if let (Some(_), Some(server)) = (link.client, link.server) {
                let server = self.get(server);
                if !server.is_unknown {
                    whose = Whose::Server {
                        node: server.node,
                        port: server.served_port(),
                        is_led: true,
                    };
                }
                link.server = None;
            }
            if self.links.len() >= 2 * MAX_LINKS && !self.links.contains_key(&(link, whose)) {
                whose = Whose::Told;
            }
        }
        self.links.entry((link, whose)).or_default()
    }

    /// Adds the server's end to a connection that was counted under `link` by its client's end.
    pub(super) fn complete(
        &mut self,
        link: Link,
        waiting: Option<Waiting>,
        server: HalfId,
        known: Known,
    ) {
        let place = waiting.and_then(|it| it.0.checked_sub(self.settled));
        let place = place.and_then(|it| usize::try_from(it).ok());
        if let Some((link, share)) = place.and_then(|it| self.alone.get_mut(it)) {
            if link.server.is_none() {
                (link.server, share.server) = (Some(server), Some(known));
            }
            return;
        }
        // The server that was resolved then is nearly always this one.
        let server = self.get(server);
        let (node, port) = (server.node, server.served_port());
        let server = |port, is_led| Whose::Server { node, port, is_led };
        let servers = [true, false].map(|is_led| [server(port, is_led), server(0, is_led)]);
        let others = [Whose::Listener(node), Whose::Told, Whose::Apart];
        for whose in servers.into_iter().flatten().chain(others) {
            if let Some(counters) = self.links.get_mut(&(link, whose))
                && counters.complete(known)
            {
                return;
            }
        }
    }

    /// Whether no event names the process at the server's end.
    fn is_alone(&self, link: Link) -> bool {
        match (link.client, link.server) {
            (Some(client), None) => self.get(client).side == Side::Client,
            (_, Some(server)) => self.get(server).is_unknown,
            (None, None) => false,
        }
    }

    /// Moves the older half of a full queue into the counters.
    pub(super) fn settle(&mut self, nodes: &Nodes, realms: &Realms) {
        if self.alone.len() <= MAX_ALONE {
            return;
        }
        // In batches: this is called for every event.
        let mut unknown = std::mem::take(&mut self.unknown);
        for _ in 0..self.alone.len() - MAX_ALONE / 2 {
            let Some((link, share)) = self.alone.pop_front() else {
                break;
            };
            self.settled += 1;
            let whose = self.whose(link, &share, &mut unknown, nodes, realms);
            self.counters(link, whose).add_of(&share, whose);
        }
        self.unknown = unknown;
    }

    /// A copy of the negative cache of [`Self::whose`].
    pub(super) fn unknown(&self) -> Unknown {
        self.unknown.clone()
    }

    /// The node at the server's end of a connection or an attempt. `unknown` is a negative cache: a half without
    /// a result is not looked up again until there are new facts.
    pub(super) fn whose(
        &self,
        link: Link,
        share: &Share,
        unknown: &mut Unknown,
        nodes: &Nodes,
        realms: &Realms,
    ) -> Whose {
        if !self.is_alone(link) {
            return Whose::Told;
        }
        if let (Some(client), None) = (link.client, link.server) {
            let (age, unknown) = (self.facts.age(), &mut unknown[client.index()]);
            if *unknown == age {
                return Whose::Told;
            }
            if !self.facts.knows(self.get(client), nodes) {
                *unknown = age;
                return Whose::Told;
            }
        }
        let half = |id: Option<HalfId>| id.map(|id| self.get(id));
        let (client, server) = (half(link.client), half(link.server));
        self.facts.whose(client, server, share, nodes, realms)
    }

    /// The counters of each link.
    pub(super) fn links(&self) -> impl Iterator<Item = (Link, Whose, &Counters)> {
        let links = self.links.iter();
        links.map(|((link, whose), counters)| (*link, *whose, counters))
    }

    /// The queue of connections that only one end reported.
    pub(super) fn alone(&self) -> impl Iterator<Item = (Link, &Share)> {
        self.alone.iter().map(|(link, share)| (*link, share))
    }
}
