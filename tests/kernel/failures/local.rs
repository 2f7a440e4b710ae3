//! Attempts that fail on this host, before any packet: connect() itself returns the error.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::Value;
use tracer_tests::{
    agent::{Agent, By, Dial, Listen},
    cgroup::Cgroup,
    skip, tests,
};

use super::{
    BEFORE_THE_SYN, BLACKHOLE, DENIED_BY_CGROUP, DENIED_BY_MODULE, Failure, Family, NO_ROUTE,
    PROHIBITED_ROUTE, UNREACHABLE_ROUTE, WAYS, World, attempt, dead, failure, is_blind_to, nowhere,
    quiet,
};

tests!("failures::local":
    no_route,
    unreachable_routes,
    prohibited_routes,
    blackholes,
    denied_by_a_control_group,
    denied_by_a_security_module,
    no_local_port,
    address_in_use,
    a_short_address_dials_nobody,
);

/// Every way to an address that `route` leads to, if there is one.
fn routed(route: Option<&str>, expected: Failure) -> Result<()> {
    let world = World::new()?;
    if let Some(route) = route {
        skip::need("ip")?;
        for target in ["192.0.2.0/24", "2001:db8::/32"] {
            world
                .netns
                .command("ip", &["route", "add", route, target])?;
        }
    }
    let mut client = world.agent()?;
    let errno = expected.errno.context("an error to expect")?;
    let mut attempts = Vec::new();
    for (port, way) in (1..).zip(WAYS) {
        let to = nowhere(way.family, 1, port);
        attempts.push(attempt(&mut client, way.dial(to), errno)?.without_an_end());
    }
    let mut seen = world.finish()?;
    for attempt in &attempts {
        seen.failed(attempt, expected)?;
    }
    seen.nothing_more()
}

fn no_route() -> Result<()> {
    routed(None, NO_ROUTE)
}

fn unreachable_routes() -> Result<()> {
    routed(Some("unreachable"), UNREACHABLE_ROUTE)
}

fn prohibited_routes() -> Result<()> {
    routed(Some("prohibit"), PROHIBITED_ROUTE)
}

fn blackholes() -> Result<()> {
    routed(Some("blackhole"), BLACKHOLE)
}

/// Every way to a server that would accept, from a given port and from any.
fn denied(world: World, mut client: Agent, expected: Failure) -> Result<()> {
    let errno = expected.errno.context("an error to expect")?;
    let mut server = world.agent()?;
    let mut attempts = Vec::new();
    for way in WAYS {
        let (_, to) = server.listen(Listen::at(way.family.loopback()))?;
        let made = attempt(&mut client, way.dial(to), errno)?;
        attempts.push(made.without_an_end());
    }
    for family in [Family::V4, Family::V6] {
        let (_, to) = server.listen(Listen::at(family.loopback()))?;
        let from = dead(&mut server, family.loopback())?;
        let dial = Dial {
            from: Some(from),
            ..family.dial(to)
        };
        attempts.push(attempt(&mut client, dial, errno)?);
    }
    let mut seen = world.finish()?;
    for attempt in &attempts {
        seen.failed(attempt, expected)?;
    }
    seen.nothing_more()
}

fn denied_by_a_control_group() -> Result<()> {
    let group = Cgroup::without_connect()?;
    let world = World::new()?;
    let client = world.agent()?;
    group.take(client.pid())?;
    denied(world, client, DENIED_BY_CGROUP)
}

fn denied_by_a_security_module() -> Result<()> {
    let world = World::new()?;
    let mut client = world.agent()?;
    if let Some(errno) = client.forbid_connect()?.errno {
        let error = std::io::Error::from_raw_os_error(errno);
        return skip::skip(
            "Landlock rules for connections",
            format!("the kernel says: {error}"),
        );
    }
    denied(world, client, DENIED_BY_MODULE)
}

/// The failures that a socket's state does tell, though not what connect() returned.
pub(crate) fn told_by_state(
    start: &Value,
    reason: &'static str,
    guess: &'static str,
) -> Result<Failure> {
    Ok(if is_blind_to(start, BEFORE_THE_SYN)? {
        quiet("local", guess)
    } else {
        failure("local", reason, Errno::ADDRNOTAVAIL)
    })
}

/// The namespace has two ports, and connections to the same server have them.
fn no_local_port() -> Result<()> {
    const PORTS: std::ops::RangeInclusive<u16> = 40000..=40001;
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let range = format!("{} {}", PORTS.start(), PORTS.end());
    world.netns.set("ipv4/ip_local_port_range", &range)?;
    let mut attempts = Vec::new();
    for (n, way) in WAYS.into_iter().enumerate() {
        // There is none to be given, so the server chooses.
        let port = 50000 + u16::try_from(n)?;
        let at = SocketAddr::new(way.family.loopback().ip(), port);
        let (_, to) = server.listen(Listen::at(at))?;
        for _ in PORTS {
            let holder = client.dial(way.family.dial(to))?;
            let port = holder.local()?.port();
            ensure!(PORTS.contains(&port), "{way:?}: {holder:?}");
        }
        let made = attempt(&mut client, way.dial(to), Errno::ADDRNOTAVAIL)?;
        ensure!(made.from.1 == 0, "{way:?}: {made:?}");
        attempts.push(made);
    }
    let mut seen = world.finish()?;
    // The connections that hold the port go on.
    seen.events.retain(|event| event["event"] == "fail");
    let expected = told_by_state(&seen.start, "no_local_port", "no_local_port")?;
    for attempt in &attempts {
        seen.failed(attempt, expected)?;
    }
    seen.nothing_more()
}

/// From the very ends of a connection that is there.
fn address_in_use() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let mut attempts = Vec::new();
    for way in WAYS {
        let at = way.family.loopback();
        let (_, to) = server.listen(Listen::at(at))?;
        let from = dead(&mut server, at)?;
        let dial = Dial {
            from: Some(from),
            ..way.dial(to)
        };
        client
            .dial(Dial {
                nonblocking: false,
                ..dial
            })?
            .socket()?;
        let made = attempt(&mut client, dial, Errno::ADDRNOTAVAIL)?;
        ensure!(made.from.1 == from.port(), "{way:?}: {made:?}");
        attempts.push(made);
    }
    let mut seen = world.finish()?;
    // The connections that are there go on.
    seen.events.retain(|event| event["event"] == "fail");
    // Without the return value of connect() no reason is known.
    let expected = told_by_state(&seen.start, "address_in_use", "other")?;
    for attempt in &attempts {
        seen.failed(attempt, expected)?;
    }
    seen.nothing_more()
}

/// Whatever is in memory behind it.
fn a_short_address_dials_nobody() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    for (family, lengths) in [
        (Family::V4, [1, 2, 15]),
        (Family::V6, [2, 16, 23]),
        (Family::Mapped, [2, 16, 23]),
    ] {
        let to = dead(&mut server, family.loopback())?;
        for length in lengths {
            let dial = Dial {
                by: By::Short(length),
                ..family.dial(to)
            };
            attempt(&mut client, dial, Errno::INVAL)?;
        }
    }
    world.finish()?.nothing_more()
}
