//! What may be: who listens where, who dials, and what happens to what is told of it.

use std::net::{IpAddr, Ipv4Addr};

use proptest::{collection::vec, prelude::*, sample::Index};

/// How long it is watched, seconds.
pub(super) const RUN: f64 = 1_000.0;

/// Where something runs: a network namespace of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// The host's own.
    Root(u8),
    /// On the bridge of a host: each host has one with the same addresses.
    Bridged(u8, u8),
    /// In a network of its own, which no other one of that host reaches, with the addresses of the bridge.
    Island(u8, u8),
    /// In a network that all hosts route.
    Pod(u8),
}

fn ip(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

/// Whether all hosts mean the same by it.
fn is_routed(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
}

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Space {
    pub(super) fn host(self) -> usize {
        match self {
            Self::Root(host) | Self::Bridged(host, _) | Self::Island(host, _) | Self::Pod(host) => {
                usize::from(host)
            }
        }
    }

    /// Its number, which is the same on both hosts.
    pub(super) fn netns(self) -> u32 {
        match self {
            Self::Root(_) => 1,
            Self::Bridged(_, n) => 11 + u32::from(n),
            Self::Island(_, n) => 21 + u32::from(n),
            Self::Pod(_) => 31,
        }
    }

    /// Its addresses, the first of which is the one that it is known by.
    pub(super) fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Root(host) => vec![
                ip(10, 0, 0, host + 1),
                ip(172, 17, 0, 1),
                ip(10, 1, host, 1),
            ],
            Self::Bridged(_, n) | Self::Island(_, n) => vec![ip(172, 17, 0, n + 2)],
            Self::Pod(host) => vec![ip(10, 1, host, 2)],
        }
    }

    /// Whether what it sends comes to `other`, and by which addresses.
    fn reaches(self, other: Self) -> Vec<IpAddr> {
        let all = other.addresses();
        match (self, other) {
            _ if self == other => [all, vec![LOOPBACK]].concat(),
            (Self::Root(_), Self::Root(_)) => vec![all[0], all[2]],
            (Self::Root(one), Self::Bridged(it, _)) if one == it => all,
            (Self::Root(_), Self::Pod(_)) => all,
            (Self::Bridged(one, _), Self::Root(it)) if one == it => vec![all[0], all[1]],
            (Self::Bridged(one, _), Self::Bridged(it, _)) if one == it => all,
            (Self::Island(one, _), Self::Island(it, _)) if one == it => all,
            (Self::Pod(_), Self::Pod(_)) => all,
            (Self::Pod(_), Self::Root(_)) => vec![all[0], all[2]],
            _ => Vec::new(),
        }
    }

    /// By which address it dials `ip`.
    pub(super) fn source(self, dialled: IpAddr) -> IpAddr {
        let own = self.addresses();
        if dialled.is_loopback() || own.contains(&dialled) {
            return dialled;
        }
        let near = |it: &IpAddr| match (it, dialled) {
            (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..2] == other.octets()[..2],
            _ => false,
        };
        own.iter().copied().find(near).unwrap_or(own[0])
    }
}

/// Where a socket listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bind {
    Any,
    Loopback,
    /// The first address of the namespace.
    Own,
}

/// Who listens.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) space: Space,
    pub(super) bind: Bind,
    /// Its port, if that is free.
    pub(super) port: u16,
    /// Since when, if that was watched.
    pub(super) begins: Option<f64>,
    /// It is down for so long then.
    pub(super) outage: Option<(f64, f64)>,
    /// Another workload accepts.
    pub(super) is_activated: bool,
}

impl Service {
    pub(super) fn listens(&self, time: f64) -> bool {
        let begun = self.begins.is_none_or(|begins| begins < time);
        let down = self
            .outage
            .is_some_and(|(from, lasts)| from <= time && time < from + lasts);
        begun && !down
    }

    /// Where it listens, as the socket says.
    pub(super) fn bound(&self) -> IpAddr {
        match self.bind {
            Bind::Any => Ipv4Addr::UNSPECIFIED.into(),
            Bind::Loopback => LOOPBACK,
            Bind::Own => self.space.addresses()[0],
        }
    }

    /// Whether it listens at any time between these.
    pub(super) fn listens_within(&self, from: f64, to: f64) -> bool {
        let begins = self.begins.unwrap_or(0.0);
        let again = self.outage.map(|(from, lasts)| from + lasts);
        let begins = [Some(begins), again].into_iter().flatten();
        from < to && (self.listens(from) || begins.into_iter().any(|it| from < it && it < to))
    }

    /// When it listens, from when until when.
    pub(super) fn times(&self) -> Vec<(f64, f64)> {
        let begins = self.begins.unwrap_or(-1.0);
        match self.outage {
            Some((from, lasts)) => vec![(begins, from), (from + lasts, f64::MAX)],
            None => vec![(begins, f64::MAX)],
        }
    }

    fn takes(&self, dialled: IpAddr) -> bool {
        self.bind == Bind::Any || self.bound() == dialled
    }
}

/// How somebody dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It is served.
    Used,
    /// The client resets before anybody accepts.
    HalfOpen,
    /// It is accepted long after it was over for the client.
    AcceptedLate,
    /// The client closes long after the server.
    ClosedLate,
    /// It is there from before the start, and stays.
    Held,
}

/// Somebody dials.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) client: usize,
    /// Whose address and port.
    pub(super) service: Index,
    /// Which of the addresses.
    pub(super) address: Index,
    pub(super) how: How,
    pub(super) time: f64,
    pub(super) lasts: f64,
}

impl Deed {
    /// Whether nobody accepts it, or not at once.
    pub(super) fn is_unaccepted(&self) -> bool {
        matches!(self.how, How::HalfOpen | How::AcceptedLate)
    }
}

/// Where that leads.
#[derive(Clone, Debug)]
pub(super) struct Led {
    pub(super) dialled: IpAddr,
    pub(super) port: u16,
    /// The namespace that has the address; none if there is none.
    pub(super) space: Option<Space>,
    /// Whose socket is there, sometimes at least.
    pub(super) taker: Option<usize>,
    /// Others have the address too, or had it.
    pub(super) is_shared: bool,
    /// Whose it may be, as far as anybody can tell: where it comes to nobody, a namespace may have the
    /// address that is of this host, or in a network of both.
    pub(super) maybe: Vec<usize>,
}

/// What happens to the recording.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Whole,
    /// A line is missing.
    Cut(Index),
    /// All before is, or all after.
    Head(Index),
    Tail(Index),
    /// It is given twice.
    Twice,
    /// Two parts that overlap.
    Split(Index, Index),
    /// One line comes later.
    Late(Index, Index),
    /// The clock is set back while it is watched.
    SetBack(f64, f64),
}

/// Nobody watches a host for a while: the tracer is stopped, or killed, and started again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) host: usize,
    pub(super) from: f64,
    pub(super) lasts: f64,
    pub(super) is_killed: bool,
}

/// A run of the tracer, or a time that is asked about.
pub(super) type Span = (f64, f64);

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) services: Vec<Service>,
    /// Where each is.
    pub(super) clients: Vec<Space>,
    pub(super) deeds: Vec<Deed>,
    pub(super) pauses: Vec<Pause>,
    /// The time that is asked about, if it is not all.
    pub(super) part: Option<Span>,
    pub(super) fate: Fate,
}

impl World {
    /// The port of a service: no two share one in one namespace.
    pub(super) fn port(&self, n: usize) -> u16 {
        let service = &self.services[n];
        let is_same = |it: &&Service| (it.space, it.port) == (service.space, service.port);
        match self.services[..n].iter().find(is_same) {
            Some(_) => 9_000 + n as u16,
            None => service.port,
        }
    }

    /// The runs of the tracer on a host, each with whether it was stopped in order.
    pub(super) fn runs(&self, host: usize) -> Vec<(Span, bool)> {
        let mut pauses: Vec<&Pause> = self.pauses.iter().filter(|it| it.host == host).collect();
        pauses.sort_by(|one, other| one.from.total_cmp(&other.from));
        let mut runs = Vec::new();
        let mut begins = 0.0;
        for pause in pauses {
            let again = pause.from + pause.lasts;
            if begins + 1.0 < pause.from && again < RUN - 1.0 {
                runs.push(((begins, pause.from), !pause.is_killed));
                begins = again;
            }
        }
        runs.push(((begins, RUN), true));
        runs
    }

    /// Whether what began then, and was over for one end and then for both, is in the time that is asked about;
    /// none at its edge.
    pub(super) fn is_in_part(&self, time: f64, over: Span, failed: bool) -> Option<bool> {
        let Some((from, to)) = self.part else {
            return Some(true);
        };
        const NEAR: f64 = 0.05;
        let is_out = time > to + NEAR || over.1 < from - NEAR;
        let is_in = time < to - NEAR && over.0 > from + NEAR;
        let is_failed_in = time > from + NEAR;
        match (is_out, is_in && (!failed || is_failed_in)) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        }
    }

    /// All namespaces that there are.
    fn spaces(&self) -> impl Iterator<Item = Space> {
        let roots = [Space::Root(0), Space::Root(1)].into_iter();
        let services = self.services.iter().map(|it| it.space);
        roots.chain(services).chain(self.clients.iter().copied())
    }

    /// Whether a deed leads to the host that it is done on.
    pub(super) fn is_within_host(&self, deed: &Deed) -> bool {
        let to = self.led(deed).space;
        to.is_some_and(|it| it.host() == self.clients[deed.client].host())
    }

    /// Where a deed leads.
    pub(super) fn led(&self, deed: &Deed) -> Led {
        let n = deed.service.index(self.services.len());
        let (from, to) = (self.clients[deed.client], self.services[n].space);
        // As it knows them, or as somebody who is elsewhere does.
        let known = from.reaches(to);
        let addresses = match known.is_empty() {
            true => to.addresses(),
            false => known,
        };
        let dialled = addresses[deed.address.index(addresses.len())];
        let space = match dialled.is_loopback() || from.addresses().contains(&dialled) {
            true => Some(from),
            false => self
                .spaces()
                .find(|it| from.reaches(*it).contains(&dialled)),
        };
        let port = self.port(n);
        let takes = |at: &usize| self.port(*at) == port && self.services[*at].takes(dialled);
        let of_port = || (0..self.services.len()).filter(takes);
        let taker = of_port().find(|at| Some(self.services[*at].space) == space);
        let has = |it: &Space| it.addresses().contains(&dialled);
        let others = || self.spaces().filter(|it| Some(*it) != space);
        // A socket for all addresses does not tell which these are: of what the client alone tells, another
        // namespace of the host that has this one may be meant.
        let alike = |at: &Space| at.host() == from.host() && has(at);
        let hidden = |at: &usize| {
            let is_away = !dialled.is_loopback() && !from.addresses().contains(&dialled);
            let is_any = self.services[*at].bind == Bind::Any;
            is_any && is_away && deed.is_unaccepted() && others().any(|it| alike(&it))
        };
        let guess = taker.filter(hidden);
        let maybe = of_port().filter(|at| {
            let other = self.services[*at].space;
            let is_near = other.host() == from.host() || is_routed(dialled);
            (space.is_none() || guess.is_some()) && is_near && has(&other)
        });
        Led {
            dialled,
            port,
            space,
            taker,
            maybe: maybe.collect(),
            is_shared: others().any(|it| has(&it)),
        }
    }
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![
        3 => (0..2_u8).prop_map(Space::Root),
        2 => (0..2_u8, 0..2_u8).prop_map(|(host, n)| Space::Bridged(host, n)),
        2 => (0..2_u8, 0..2_u8).prop_map(|(host, n)| Space::Island(host, n)),
        1 => (0..2_u8).prop_map(Space::Pod),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let bind = prop_oneof![
        3 => Just(Bind::Any),
        1 => Just(Bind::Loopback),
        1 => Just(Bind::Own),
    ];
    (
        space(),
        bind,
        8_000..8_002_u16,
        prop::option::of(1.0..RUN / 2.0),
        prop::option::of((RUN / 2.0..RUN * 0.7, 1.0..RUN * 0.2)),
        any::<bool>(),
    )
        .prop_map(
            |(space, bind, port, begins, outage, is_activated)| Service {
                space,
                bind,
                port,
                begins,
                outage,
                is_activated,
            },
        )
}

fn deed() -> impl Strategy<Value = Deed> {
    let how = prop_oneof![
        4 => Just(How::Used),
        1 => Just(How::HalfOpen),
        1 => Just(How::AcceptedLate),
        1 => Just(How::ClosedLate),
        1 => Just(How::Held),
    ];
    (
        0..4_usize,
        any::<Index>(),
        any::<Index>(),
        how,
        2.0..RUN - 2.0,
        0.001..200.0,
    )
        .prop_map(|(client, service, address, how, time, lasts)| Deed {
            client,
            service,
            address,
            how,
            time,
            lasts,
        })
}

fn fate() -> impl Strategy<Value = Fate> {
    let index = any::<Index>;
    prop_oneof![
        4 => Just(Fate::Whole),
        2 => index().prop_map(Fate::Cut),
        1 => index().prop_map(Fate::Head),
        1 => index().prop_map(Fate::Tail),
        1 => Just(Fate::Twice),
        1 => (index(), index()).prop_map(|(one, other)| Fate::Split(one, other)),
        1 => (index(), index()).prop_map(|(one, other)| Fate::Late(one, other)),
        1 => (1.0..RUN, 0.1..5_000.0).prop_map(|(time, by)| Fate::SetBack(time, by)),
    ]
}

fn pause() -> impl Strategy<Value = Pause> {
    (0..2_usize, 1.0..RUN, 0.01..200.0, any::<bool>()).prop_map(|(host, from, lasts, is_killed)| {
        Pause {
            host,
            from,
            lasts,
            is_killed,
        }
    })
}

/// A time of some length.
fn part() -> impl Strategy<Value = Span> {
    (0.0..RUN, 0.0..RUN)
        .prop_map(|(one, other): Span| (one.min(other), one.max(other)))
        .prop_filter("a time of some length", |(from, to)| to - from > 1.0)
}

pub(super) fn world() -> impl Strategy<Value = World> {
    (
        vec(service(), 1..4),
        vec(space(), 4),
        vec(deed(), 0..8),
        prop_oneof![1 => Just(Vec::new()), 1 => vec(pause(), 1..4)],
        prop::option::of(part()),
        fate(),
    )
        .prop_map(|(services, clients, deeds, mut pauses, part, fate)| {
            // Of a run without a stop nobody knows what was told.
            if matches!(fate, Fate::Cut(_)) {
                pauses.iter_mut().for_each(|it| it.is_killed = false);
            }
            // Then the times that are told are no times.
            let part = part.filter(|_| !matches!(fate, Fate::SetBack(..)));
            World {
                services,
                clients,
                deeds,
                pauses,
                part,
                fate,
            }
        })
}
