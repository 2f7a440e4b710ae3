//! Every failure, over and over.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use serde_json::Value;
use tracer_tests::{
    agent::{Agent, Dial, Listen, Slot},
    cgroup::Cgroup,
    ledger::End,
    netns::Netns,
    skip::Skip,
};

use super::{
    PAUSE, Until, Work,
    truth::{Failed, Truth},
};
use crate::{
    failures::{
        ABANDONED, ACCEPT_QUEUE_FULL, Attempt, BLACKHOLE, DENIED_BY_CGROUP, FAMILIES, Failure,
        Family, NO_ROUTE, NOT_LISTENING, PROHIBITED_ROUTE, REFUSED, RESET, TIMED_OUT,
        UNREACHABLE_ROUTE, WAYS, Way, attempt, begin, cross, dead, deaf, nowhere, overflow,
        route_through, told_by_state, wall,
    },
    world::exchanged,
};

/// Where attempts fail: a namespace for each kind that needs ports for itself.
pub(super) struct Places {
    near: Netns,
    router: Netns,
    wall: Vec<(Dial, Failure)>,
    routes: Netns,
    refusing: Netns,
    silent: Netns,
    /// Whom nobody hears there, by IPv4 and by IPv6. They stay to the end, so that the last SYN
    /// finds them, however late it comes.
    silent_at: [SocketAddr; 2],
    _silent: Agent,
    crossing: Netns,
    crowded: Netns,
    taken: Netns,
    denied: Netns,
    group: Option<Cgroup>,
}

/// Threads that try what the router's firewall has an answer for: each answer takes a second.
const AT_THE_WALL: usize = 6;

/// Ports of the crowded namespace.
const PORTS: std::ops::RangeInclusive<u16> = 40000..=40001;

impl Places {
    pub(super) fn new() -> Result<Self> {
        let (near, router) = Netns::pair()?;
        route_through(&near, &router)?;
        let routes = Netns::new()?;
        for (kind, n) in [("unreachable", 1), ("prohibit", 2), ("blackhole", 3)] {
            for target in [format!("192.0.2.{n}/32"), format!("2001:db8::{n}/128")] {
                routes.command("ip", &["route", "add", kind, &target])?;
            }
        }
        let crowded = Netns::new()?;
        let range = format!("{} {}", PORTS.start(), PORTS.end());
        crowded.set("ipv4/ip_local_port_range", &range)?;
        let group = match Cgroup::without_connect() {
            Ok(group) => Some(group),
            Err(error) if error.is::<Skip>() => {
                println!("mixed: nobody is denied: {error:#}");
                None
            }
            Err(error) => return Err(error),
        };
        let silent = Netns::new()?;
        let mut nobody = Agent::new(&silent)?;
        let silent_at = [
            deaf(&mut nobody, Family::V4.loopback())?,
            deaf(&mut nobody, Family::V6.loopback())?,
        ];
        Ok(Self {
            wall: wall(&router)?,
            near,
            router,
            routes,
            refusing: Netns::new()?,
            silent,
            silent_at,
            _silent: nobody,
            crossing: Netns::new()?,
            crowded,
            taken: Netns::new()?,
            denied: Netns::new()?,
            group,
        })
    }

    fn deaf(&self, family: Family) -> SocketAddr {
        let [v4, v6] = self.silent_at;
        family.of(v4, v6)
    }

    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Netns> {
        [
            &self.near,
            &self.router,
            &self.routes,
            &self.refusing,
            &self.silent,
            &self.crossing,
            &self.crowded,
            &self.taken,
            &self.denied,
        ]
        .into_iter()
    }

    /// All kinds of failing.
    pub(super) fn works(&self, start: &Value) -> Result<Vec<Work<'_>>> {
        let no_port = told_by_state(start, "no_local_port", "no_local_port")?;
        // Without the return value of connect() no reason is known.
        let in_use = told_by_state(start, "address_in_use", "other")?;
        let mut works: Vec<Work<'_>> = vec![
            Box::new(|until| self.no_way_out(until)),
            Box::new(|until| self.refused(until)),
            Box::new(|until| self.refused_across_the_cable(until)),
            Box::new(|until| self.abandoned(until)),
            Box::new(|until| self.reset(until)),
            Box::new(|until| self.queue_full(until)),
            Box::new(move |until| self.no_local_port(no_port, until)),
            Box::new(move |until| self.address_in_use(in_use, until)),
        ];
        for family in FAMILIES {
            works.push(Box::new(move |until| self.timed_out(family, until)));
        }
        let share = self.wall.len().div_ceil(AT_THE_WALL);
        for plans in self.wall.chunks(share) {
            works.push(Box::new(|until| again(&self.near, plans, until)));
        }
        if let Some(group) = &self.group {
            works.push(Box::new(|until| self.denied(group, until)));
        }
        Ok(works)
    }

    /// connect() itself says no.
    fn no_way_out(&self, until: &Until) -> Result<Truth> {
        let kinds = [
            (1, UNREACHABLE_ROUTE),
            (2, PROHIBITED_ROUTE),
            (3, BLACKHOLE),
            (4, NO_ROUTE),
        ];
        let plans: Vec<_> = kinds
            .into_iter()
            .flat_map(|(n, failure)| WAYS.map(|way| (way.dial(nowhere(way.family, n, 9)), failure)))
            .collect();
        again(&self.routes, &plans, until)
    }

    fn denied(&self, group: &Cgroup, until: &Until) -> Result<Truth> {
        let (mut client, mut server) = (Agent::new(&self.denied)?, Agent::new(&self.denied)?);
        group.take(client.pid())?;
        let mut truth = Truth::within(&self.denied);
        rounds(until, &WAYS, |way| {
            let (listener, to) = server.listen(Listen::at(way.family.loopback()))?;
            let made = attempt(&mut client, way.dial(to), Errno::PERM)?.without_an_end();
            truth.fail(&self.denied, made, DENIED_BY_CGROUP);
            server.close(listener)
        })?;
        Ok(truth)
    }

    fn refused(&self, until: &Until) -> Result<Truth> {
        refused(&self.refusing, &self.refusing, Family::loopback, until)
    }

    fn refused_across_the_cable(&self, until: &Until) -> Result<Truth> {
        refused(&self.near, &self.router, Family::far, until)
    }

    fn timed_out(&self, family: Family, until: &Until) -> Result<Truth> {
        let to = self.deaf(family);
        let plans: Vec<_> = WAYS
            .into_iter()
            .filter(|way| way.family == family)
            .map(|way| (way.dial(to), TIMED_OUT))
            .collect();
        again(&self.silent, &plans, until)
    }

    fn abandoned(&self, until: &Until) -> Result<Truth> {
        let mut client = Agent::new(&self.silent)?;
        let mut truth = Truth::within(&self.silent);
        rounds(until, &FAMILIES, |family| {
            let (slot, attempt) = begin(&mut client, family.dial(self.deaf(family)))?;
            truth.fail(&self.silent, attempt, ABANDONED);
            client.close(slot)
        })?;
        Ok(truth)
    }

    fn reset(&self, until: &Until) -> Result<Truth> {
        let (mut one, mut other) = (Agent::new(&self.crossing)?, Agent::new(&self.crossing)?);
        let mut truth = Truth::within(&self.crossing);
        rounds(until, &WAYS, |way| {
            let (reset, given_up) = cross(&self.crossing, &mut one, &mut other, way)?;
            truth.fail(&self.crossing, reset, RESET);
            truth.fail(&self.crossing, given_up, ABANDONED);
            Ok(())
        })?;
        Ok(truth)
    }

    fn queue_full(&self, until: &Until) -> Result<Truth> {
        let mut server = Agent::new(&self.router)?;
        let (mut filler, mut client) = (Agent::new(&self.near)?, Agent::new(&self.near)?);
        let mut truth = Truth::within(&self.near).and(Truth::within(&self.router));
        rounds(until, &FAMILIES, |family| {
            let way = Way {
                family,
                nonblocking: family == Family::Mapped,
            };
            let both = [&mut filler, &mut client];
            let full = overflow(&self.router, &mut server, both, way)?;
            truth.fail(&self.near, full.attempt, TIMED_OUT);
            truth.failed.push(Failed {
                netns: self.router.inode(),
                attempt: full.attempt,
                failure: ACCEPT_QUEUE_FULL,
                turned_away: Some(Some(server.pid())),
            });
            for (slot, from) in full.queue {
                // In the order of their coming.
                let accepted = server.accept(full.listener)?.socket()?;
                let places = [&self.near, &self.router];
                truth.ends.extend(finish(
                    places,
                    (&mut filler, slot, from),
                    (&mut server, accepted, full.at),
                )?);
            }
            server.close(full.listener)
        })?;
        Ok(truth)
    }

    fn no_local_port(&self, failure: Failure, until: &Until) -> Result<Truth> {
        let here = &self.crowded;
        let (mut client, mut server) = (Agent::new(here)?, Agent::new(here)?);
        let mut truth = Truth::within(here);
        let mut port = 50_000;
        rounds(until, &WAYS, |way| {
            // There is none to be given, so the server chooses. Never the same, or its ports
            // would be in TIME_WAIT.
            port += 1;
            let at = SocketAddr::new(way.family.loopback().ip(), port);
            let (listener, to) = server.listen(Listen::at(at))?;
            let mut held = Vec::new();
            for _ in PORTS {
                let dialled = client.dial(way.family.dial(to))?;
                let accepted = server.accept(listener)?.socket()?;
                held.push((
                    dialled.slot.context("a socket")?,
                    dialled.local()?,
                    accepted,
                ));
            }
            let made = attempt(&mut client, way.dial(to), Errno::ADDRNOTAVAIL)?;
            truth.fail(here, made, failure);
            for (slot, from, accepted) in held {
                let dialled = (&mut client, slot, from);
                truth
                    .ends
                    .extend(finish([here; 2], dialled, (&mut server, accepted, to))?);
            }
            server.close(listener)
        })?;
        Ok(truth)
    }

    fn address_in_use(&self, failure: Failure, until: &Until) -> Result<Truth> {
        let here = &self.taken;
        let (mut client, mut server) = (Agent::new(here)?, Agent::new(here)?);
        let mut truth = Truth::within(here);
        rounds(until, &WAYS, |way| {
            let (listener, to) = server.listen(Listen::at(way.family.loopback()))?;
            let from = dead(&mut server, way.family.loopback())?;
            let dial = Dial {
                from: Some(from),
                ..way.family.dial(to)
            };
            let slot = client.dial(dial)?.socket()?;
            let accepted = server.accept(listener)?.socket()?;
            let made = Dial {
                nonblocking: way.nonblocking,
                ..dial
            };
            truth.fail(
                here,
                attempt(&mut client, made, Errno::ADDRNOTAVAIL)?,
                failure,
            );
            let dialled = (&mut client, slot, from);
            truth
                .ends
                .extend(finish([here; 2], dialled, (&mut server, accepted, to))?);
            server.close(listener)
        })?;
        Ok(truth)
    }
}

/// Does it for each of `kinds`, over and over, but each at least once.
fn rounds<T: Copy>(
    until: &Until,
    kinds: &[T],
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    for (n, kind) in kinds.iter().cycle().enumerate() {
        if n >= kinds.len() && until.is_over() {
            break;
        }
        each(*kind)?;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Attempts that fail as planned.
fn again(netns: &Netns, plans: &[(Dial, Failure)], until: &Until) -> Result<Truth> {
    let mut client = Agent::new(netns)?;
    let mut truth = Truth::within(netns);
    rounds(until, plans, |(dial, failure)| {
        let errno = failure.errno.context("an error to expect")?;
        let made = attempt(&mut client, dial, errno)?;
        let made = match failure.phase {
            "local" => made.without_an_end(),
            _ => made,
        };
        truth.fail(netns, made, failure);
        Ok(())
    })?;
    Ok(truth)
}

/// Attempts to reach who does not listen.
fn refused(
    near: &Netns,
    far: &Netns,
    at: fn(Family) -> SocketAddr,
    until: &Until,
) -> Result<Truth> {
    let (mut client, mut server) = (Agent::new(near)?, Agent::new(far)?);
    let mut truth = Truth::within(near).and(Truth::within(far));
    rounds(until, &WAYS, |way| {
        let to = dead(&mut server, at(way.family))?;
        let attempt: Attempt = attempt(&mut client, way.dial(to), Errno::CONNREFUSED)?;
        truth.fail(near, attempt, REFUSED);
        truth.failed.push(Failed {
            netns: far.inode(),
            attempt,
            failure: NOT_LISTENING,
            turned_away: Some(None),
        });
        Ok(())
    })?;
    Ok(truth)
}

/// Closes a connection without a word, the client first: the truth of its ends.
fn finish(
    [near, far]: [&Netns; 2],
    (client, dialled, from): (&mut Agent, Slot, SocketAddr),
    (server, accepted, at): (&mut Agent, Slot, SocketAddr),
) -> Result<[End; 2]> {
    client.close(dialled)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    Ok(exchanged(
        End::client(near.inode(), from, at, client.pid()),
        End::server(far.inode(), from, at, server.pid()),
        0,
        0,
    ))
}
