//! Facts with a time: who listens where, which namespace has an address, who accepts at a port, who serves what
//! clients dial. The server of a connection or an attempt is resolved from the facts that held at its time.

use foldhash::HashMap;

use super::{
    counters::{Share, What},
    half::{Half, Side, Whose},
    listeners::{Listeners, Place, Word},
    nodes::Nodes,
    numbers::{HostId, NodeId},
    presence::{Presence, PresenceId},
    realms::Realms,
    remotes::Charged,
    sightings::{Sighting, SightingId, Sightings},
};
use crate::model::{Address, Payer, Reason, Timestamp};

/// Maximum of sightings in each table.
const MAX_SEEN: usize = 131_072;

/// What clients in a network namespace dial: a remote, and its port.
pub(super) type DialledAt = (HostId, u32, NodeId, u16);

/// Who serves it, in which network namespace, at which port; 0 if that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) netns: (HostId, u32),
    pub(super) node: NodeId,
    port: u16,
}

impl Server {
    /// The server at the end of `half`.
    pub(super) fn of(half: &Half) -> Self {
        Self {
            netns: (half.host, half.netns),
            node: half.node,
            port: half.served_port(),
        }
    }
}

/// How often something did not fit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NoRoom {
    /// A half or a link.
    pub(super) edges: u64,
    /// A listener or a server.
    pub(super) servers: u64,
    /// The owner of an address.
    pub(super) owners: u64,
}

/// When a connection or an attempt was, and how it went.
#[derive(Clone, Copy, Debug)]
struct Asked {
    time: Timestamp,
    failed: Option<Reason>,
    /// Its opening was not seen at both ends: it was open when coverage began.
    is_found: bool,
}

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) listeners: Listeners,
    /// Which network namespaces have an address.
    owners: Sightings<Address, (HostId, u32)>,
    /// Which may have it: a socket there is bound to it, which proves nothing.
    claims: Sightings<Address, (HostId, u32)>,
    /// When each of these was seen last.
    present: Presence,
    /// Who accepts connections there.
    takers: Sightings<Place, NodeId>,
    /// The servers of connections that both ends reported.
    servers: Sightings<DialledAt, Server>,
    /// Overflows by host.
    cut: HashMap<HostId, NoRoom>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            listeners: Listeners::default(),
            owners: Sightings::new(MAX_SEEN),
            claims: Sightings::new(MAX_SEEN),
            present: Presence::new(MAX_SEEN),
            takers: Sightings::new(MAX_SEEN),
            servers: Sightings::new(MAX_SEEN),
            cut: HashMap::default(),
        }
    }
}

impl Facts {
    /// A socket began to listen, or stopped. `is_users` says, if known, whether a user owns its place; `is_trusted`
    /// says that its address is proof that its namespace has it.
    pub(super) fn listener(
        &mut self,
        place: Place,
        word: Word,
        (is_users, is_trusted): (Option<bool>, bool),
    ) {
        let netns = (place.host, place.netns);
        self.is_present(netns, word.payer, is_users, word.time);
        // It may outlive the address.
        if word.listens && is_users != Some(true) {
            let times = [word.time; 2];
            match is_trusted {
                true => _ = self.owns(netns, word.payer, place.address, times),
                false => self.may_own(netns, word.payer, place.address, times),
            }
        }
        self.listeners.tell(place, word);
    }

    /// The network namespace has `address`; `payer` is charged.
    pub(super) fn owns(
        &mut self,
        netns: (HostId, u32),
        payer: Payer,
        address: Address,
        times: [Timestamp; 2],
    ) -> SightingId {
        let ip = address.ip();
        // Every namespace has these.
        if ip.is_loopback() || ip.is_unspecified() {
            return SightingId::NONE;
        }
        let known = self.owners.tell((netns.0, payer), address, netns, times);
        if known == SightingId::NONE {
            self.cut.entry(netns.0).or_default().owners += 1;
        }
        known
    }

    /// The network namespace claims to have `address`, which proves nothing.
    pub(super) fn may_own(
        &mut self,
        netns: (HostId, u32),
        payer: Payer,
        address: Address,
        times: [Timestamp; 2],
    ) {
        let ip = address.ip();
        if ip.is_loopback() || ip.is_unspecified() {
            return;
        }
        let known = self.claims.tell((netns.0, payer), address, netns, times);
        if known == SightingId::NONE {
            self.cut.entry(netns.0).or_default().owners += 1;
        }
    }

    /// The network namespace exists; `is_users` says, if known, whether a user owns the process in it; `payer` is
    /// charged.
    pub(super) fn is_present(
        &mut self,
        netns: (HostId, u32),
        payer: Payer,
        is_users: Option<bool>,
        time: Timestamp,
    ) -> PresenceId {
        let known = self.present.tell(netns, payer, is_users, time);
        if known.is_none() {
            self.cut.entry(netns.0).or_default().owners += 1;
        }
        known.unwrap_or(PresenceId::NONE)
    }

    /// `node` accepted a connection at `place`; `payer` is charged.
    pub(super) fn takes(
        &mut self,
        place: Place,
        payer: Payer,
        node: NodeId,
        times: [Timestamp; 2],
    ) -> SightingId {
        let known = self.takers.tell((place.host, payer), place, node, times);
        if known == SightingId::NONE {
            self.cut.entry(place.host).or_default().servers += 1;
        }
        known
    }

    /// Extends these facts. Returns whether all are still there; else they have to be added again.
    pub(super) fn again(
        &mut self,
        owner: SightingId,
        taker: SightingId,
        present: PresenceId,
        times: [Timestamp; 2],
    ) -> bool {
        self.present.see(present, times[1]);
        let is_kept = self.owners.see(owner, times);
        self.takers.see(taker, times) && is_kept
    }

    /// These two are the ends of one connection that opened then; `of` is charged. Returns the number of the fact, if
    /// it fits.
    pub(super) fn join(
        &mut self,
        of: Charged,
        client: &Half,
        server: &Half,
        opened: Timestamp,
    ) -> Option<SightingId> {
        let dialled = (client.host, client.netns, client.remote, client.port);
        let known = self
            .servers
            .tell(of, dialled, Server::of(server), [opened; 2]);
        if known == SightingId::NONE {
            self.cut.entry(client.host).or_default().servers += 1;
            return None;
        }
        Some(known)
    }

    /// Extends that fact. Returns whether it is still there.
    pub(super) fn join_again(&mut self, known: SightingId, opened: Timestamp) -> bool {
        self.servers.see(known, [opened; 2])
    }

    /// Overflows of `host`.
    pub(super) fn cut(&self, host: HostId) -> NoRoom {
        let mut cut = self.cut.get(&host).copied().unwrap_or_default();
        cut.servers = cut.servers.saturating_add(self.listeners.cut(host));
        cut
    }

    /// The owners of addresses, with the times of that.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&Address, &Sighting<(HostId, u32)>)> {
        let owners = self.owners.all();
        owners.filter(|(_, it)| !self.present.is_users(it.who))
    }

    /// The servers of what clients dial, with the times of that.
    pub(super) fn servers(&self) -> impl Iterator<Item = (&DialledAt, &Sighting<Server>)> {
        self.servers.all()
    }

    /// Grows with the facts about other ends. While it stays the same, a look-up that found nothing finds nothing.
    pub(super) fn age(&self) -> usize {
        self.owners.len() + self.servers.len()
    }

    /// Whether a connection to the port of `half` ever succeeded.
    pub(super) fn has_served(&self, half: &Half) -> bool {
        match half.side {
            Side::Client => {
                let dialled = (half.host, half.netns, half.remote, half.port);
                self.servers.has(&dialled)
            }
            Side::Server => half
                .came_in()
                .is_none_or(|it| self.takers.has(&it) || self.listeners.has(it)),
            Side::Unknown => false,
        }
    }

    /// Whether anything is known of what `client` dials.
    pub(super) fn knows(&self, client: &Half, nodes: &Nodes) -> bool {
        let dialled = (client.host, client.netns, client.remote, client.port);
        let address = nodes.address(client.remote);
        address.is_some_and(|it| it.ip().is_loopback() || self.owners.has(&it))
            || self.servers.has(&dialled)
    }

    /// The server of a connection or an attempt of these halves.
    pub(super) fn whose(
        &self,
        client: Option<&Half>,
        server: Option<&Half>,
        share: &Share,
        nodes: &Nodes,
        realms: &Realms,
    ) -> Whose {
        if server.is_some_and(|it| !it.is_unknown) {
            return Whose::Told;
        }
        let asked = Asked {
            time: share.first,
            failed: match share.what {
                What::Connection { .. } => None,
                What::Failure { reason, .. } => Some(reason),
            },
            is_found: share.is_found(),
        };
        let known = |node: &NodeId| !nodes.is_unknown(*node);
        let listener = server
            .and_then(|it| it.came_in())
            .and_then(|place| self.inbound(place, asked))
            .filter(known);
        if let Some(node) = listener {
            return Whose::Listener(node);
        }
        match client.filter(|it| it.side == Side::Client && it.port != 0) {
            Some(client) => self.outbound(client, server, asked, nodes, realms),
            None => Whose::Told,
        }
    }

    /// The server of an inbound attempt that no process accepted.
    fn inbound(&self, place: Place, asked: Asked) -> Option<NodeId> {
        let time = asked.time;
        if asked.failed != Some(Reason::NotListening)
            && let Some(socket) = self.listeners.taker(place, time)
        {
            return Some(socket.node);
        }
        let before = match self.listeners.knows(place, time) {
            true => asked.failed.and_then(|_| self.stopped(place, time)),
            false => self.taker(place, time),
        };
        before.or_else(|| self.first_after(place, asked))
    }

    /// The server of an attempt that failed before any socket listened there: the first one that listened later, if
    /// the address had not moved. A client may start before its server.
    fn first_after(&self, place: Place, asked: Asked) -> Option<NodeId> {
        // A full accept queue belongs to a listener, which is unknown.
        asked.failed.filter(|it| *it != Reason::AcceptQueueFull)?;
        // A listener would not have refused it.
        if self.listeners.taker(place, asked.time).is_some() {
            return None;
        }
        let first = self.listeners.first_after(place, asked.time)?;
        let netns = (place.host, place.netns);
        let last = self.owners.last(&place.address, first.1, |_| true);
        let is_there = place.address.ip().is_loopback() || last.is_some_and(|it| it.who == netns);
        is_there.then_some(first.0)
    }

    fn stopped(&self, place: Place, time: Timestamp) -> Option<NodeId> {
        self.listeners.stopped(place, time).map(|it| it.node)
    }

    fn taker(&self, place: Place, time: Timestamp) -> Option<NodeId> {
        let last = self.takers.last(&place, time, |_| true);
        last.map(|it| it.who)
    }

    /// The server that a client dialled, of which no other end was reported.
    fn outbound(
        &self,
        client: &Half,
        server: Option<&Half>,
        asked: Asked,
        nodes: &Nodes,
        realms: &Realms,
    ) -> Whose {
        let Some(address) = nodes.address(client.remote) else {
            return Whose::Told;
        };
        let time = asked.time;
        let here = (client.host, client.netns);
        // A reported end says itself where it is.
        let netns = match server {
            Some(server) => Some((server.host, server.netns)),
            None => self.owner(here, (address, client.port), time, realms),
        };
        let owned = |time| self.last_owner(here, address, time, realms);
        let is_apart = |owner: (HostId, u32)| asked.is_found && owner != here;
        if server.is_none()
            && netns
                .or_else(|| owned(time).flatten())
                .is_some_and(is_apart)
        {
            return Whose::Apart;
        }
        let place = netns.map(|(host, netns)| Place {
            host,
            netns,
            address,
            port: client.port,
        });
        // No guess, if the other end could have been reported itself.
        let place = place.filter(|_| server.is_none());
        let listener = place.and_then(|place| match asked.failed {
            Some(Reason::Refused) => self.listeners.refuser(place, time),
            _ => self.listeners.taker(place, time),
        });
        let listener = listener
            .map(|it| it.node)
            .filter(|it| !nodes.is_unknown(*it));
        let dialled = (client.host, client.netns, client.remote, client.port);
        let served = self.servers.last(&dialled, time, |_| true);
        // The address may have moved since.
        let served = served.filter(|it| match server {
            Some(server) => it.who.netns == (server.host, server.netns),
            None => owned(time).is_some_and(|then| owned(it.last.min(time)) == Some(then)),
        });
        let is_led = |it: &Server| {
            let owner = netns.or_else(|| owned(time).flatten());
            owner.is_some_and(|netns| netns != it.netns)
        };
        let served = served.map(|it| it.who);
        // A translated connection comes to no socket here.
        match (listener, served) {
            (Some(node), served) if !served.as_ref().is_some_and(is_led) => {
                return Whose::Listener(node);
            }
            (_, Some(it)) => {
                return Whose::Server {
                    node: it.node,
                    port: it.port,
                    is_led: is_led(&it),
                };
            }
            (_, None) => {}
        }
        let stopped = place.filter(|_| asked.failed.is_some()).and_then(|place| {
            match self.listeners.knows(place, time) {
                true => self.stopped(place, time),
                false => self.taker(place, time),
            }
            .or_else(|| self.first_after(place, asked))
        });
        let stopped = stopped.filter(|it| !nodes.is_unknown(*it));
        stopped.map_or(Whose::Told, Whose::Listener)
    }

    /// The network namespace that has `address`, as those in `from` reach it; none if that is not known,
    /// or if there may be several that take what comes to that port.
    pub(super) fn owner(
        &self,
        from: (HostId, u32),
        (address, port): (Address, u16),
        time: Timestamp,
        realms: &Realms,
    ) -> Option<(HostId, u32)> {
        if self.has_itself(from, address, time) {
            return Some(from);
        }
        let counts = |netns| self.is_reached(from, netns, address, realms);
        let owner = self.owners.at(&address, time, counts)?;
        (!self.is_contested(owner, (address, port), time)).then_some(owner)
    }

    /// Where what was dialled came in, of which it is known that it was not led elsewhere, whoever may have the
    /// address since.
    pub(super) fn came_to(
        &self,
        from: (HostId, u32),
        address: Address,
        time: Timestamp,
        realms: &Realms,
    ) -> Option<(HostId, u32)> {
        self.last_owner(from, address, time, realms).flatten()
    }

    /// Whether another namespace of the same host may have the address as well, in a network that looks the
    /// same: it had it, and is still there. A host may give an address to another one, which then has it alone.
    fn is_contested(
        &self,
        (host, netns): (HostId, u32),
        (address, port): (Address, u16),
        time: Timestamp,
    ) -> bool {
        let mut known = self.owners.of(&address);
        let since = known.find(|it| it.who == (host, netns));
        let since = since.map_or(time, |it| it.first.min(time));
        let others = self.owners.of(&address).chain(self.claims.of(&address));
        let mut others = others.filter(|it| it.who.0 == host && it.who.1 != netns);
        others.any(|it| {
            let place = Place {
                host,
                netns: it.who.1,
                address,
                port,
            };
            let is_there = || self.present.last(it.who) >= Some(since);
            let is_roots = !self.present.is_users(it.who);
            is_roots && it.first <= time && (is_there() || self.listeners.takes(place, time))
        })
    }

    /// The one that was seen to have it last by then, if any was, though another may have it already; none
    /// if there may be several.
    fn last_owner(
        &self,
        from: (HostId, u32),
        address: Address,
        time: Timestamp,
        realms: &Realms,
    ) -> Option<Option<(HostId, u32)>> {
        if self.has_itself(from, address, time) {
            return Some(Some(from));
        }
        let counts = |netns| self.is_reached(from, netns, address, realms);
        match self.owners.last(&address, time, counts) {
            Some(last) => {
                let mut claims = self.claims.of(&address);
                let is_one = !claims
                    .any(|it| it.who.0 == last.who.0 && it.who != last.who && it.first <= time);
                is_one.then_some(Some(last.who))
            }
            None => (!self.owners.is_seen(&address, time, counts)).then_some(None),
        }
    }

    /// A namespace that has an address reaches itself by it.
    fn has_itself(&self, from: (HostId, u32), address: Address, time: Timestamp) -> bool {
        address.ip().is_loopback() || self.owners.covers(&address, from, time)
    }

    /// Whether who dials `address` in one network namespace may come to another one that has it. Of a link it
    /// is not known which other namespaces are on it; one of a user's may have any address.
    fn is_reached(
        &self,
        from: (HostId, u32),
        netns: (HostId, u32),
        address: Address,
        realms: &Realms,
    ) -> bool {
        let is_apart = || address.scope().is_some() || self.present.is_users(netns);
        netns == from || !is_apart() && realms.meets(from.0, netns.0, address.ip())
    }
}
