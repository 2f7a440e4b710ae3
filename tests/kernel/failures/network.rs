//! Attempts that fail out there: refused, reset, unreachable, never answered.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::Value;
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    netns::Netns,
    tests, wait,
};

use super::{
    ABANDONED, Attempt, FAMILIES, Failure, Family, REFUSED, RESET, SYN_RECV, SYN_SENT, TIMED_OUT,
    WAYS, Way, World, at_once, attempt, begin, dead, deaf, failure, is_blind_to, nft, nowhere,
    wait_for_state,
};
use crate::world::counter;

tests!("failures::network":
    refused,
    refused_by_a_firewall,
    reset_in_the_handshake,
    timed_out,
    timed_out_behind_firewalls,
    unreachable_by_a_routers_routes,
    unreachable_by_a_routers_firewall,
    no_neighbour_answers,
    a_caller_may_give_up_at_the_first_word,
    a_caller_may_give_up_without_a_word,
);

const NETWORK_UNREACHABLE: Failure = failure("network", "network_unreachable", Errno::NETUNREACH);
const HOST_UNREACHABLE: Failure = failure("network", "host_unreachable", Errno::HOSTUNREACH);
/// IPv6 has an error of its own for a policy of the network.
const DENIED: Failure = failure("network", "denied", Errno::ACCESS);

/// Makes each attempt through a process of its own, all at once, and ends the run. Each must
/// fail as planned, and nothing else be told. Returns what was told of each.
fn all_fail(world: World, plans: Vec<(Dial, Failure)>) -> Result<Vec<Option<Value>>> {
    let mut works = Vec::new();
    for (dial, failure) in plans {
        let mut client = world.agent()?;
        works.push(move || {
            let errno = failure.errno.context("an error to expect")?;
            Ok((attempt(&mut client, dial, errno)?, failure))
        });
    }
    let attempts = at_once(works)?;
    let mut seen = world.finish()?;
    let told = attempts
        .iter()
        .map(|(attempt, failure)| seen.failed(attempt, *failure))
        .collect::<Result<_>>()?;
    seen.nothing_more()?;
    Ok(told)
}

fn refused() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let mut attempts = Vec::new();
    for way in WAYS {
        let to = dead(&mut server, way.family.loopback())?;
        attempts.push(attempt(&mut client, way.dial(to), Errno::CONNREFUSED)?);
    }
    let mut seen = world.finish()?;
    seen.refused(&attempts)?;
    seen.nothing_more()
}

/// A reset or an ICMP error in the server's stead: the same to the client, and no refusal by
/// the server's host.
fn refused_by_a_firewall() -> Result<()> {
    let world = World::new()?;
    nft(
        &world.netns,
        "add table inet t; add chain inet t input { type filter hook input priority 0; }; \
         add rule inet t input tcp dport 7 reject with tcp reset; \
         add rule inet t input tcp dport 9 reject with icmpx type port-unreachable",
    )?;
    let mut plans = Vec::new();
    for way in WAYS {
        for port in [7, 9] {
            let to = SocketAddr::new(way.family.loopback().ip(), port);
            plans.push((way.dial(to), REFUSED));
        }
    }
    all_fail(world, plans).map(drop)
}

/// A reset that answers a SYN is a refusal. What is called reset comes later: two ends dial each
/// other at once, and one is gone before it has answered the other's SYN. Deaf sockets keep them
/// from coming to terms. Returns the attempt that was reset, and the one given up.
pub(crate) fn cross(
    netns: &Netns,
    one: &mut Agent,
    other: &mut Agent,
    way: Way,
) -> Result<(Attempt, Attempt)> {
    let silent = Listen {
        deaf: true,
        reuse_port: true,
        ..Listen::at(way.family.loopback())
    };
    let (listener, far) = other.listen(silent)?;
    // Not before, or its port might be taken again.
    let near = dead(one, way.family.loopback())?;
    let dial = Dial {
        from: Some(near),
        ..way.dial(far)
    };
    std::thread::scope(|scope| {
        let client = scope.spawn(|| attempt(one, dial, Errno::CONNRESET));
        wait_for_state(netns, (near, far), SYN_SENT)?;
        let (slot, given_up) = begin(
            other,
            Dial {
                from: Some(far),
                deaf: true,
                ..way.family.dial(near)
            },
        )?;
        wait_for_state(netns, (near, far), SYN_RECV)?;
        other.close(listener)?;
        other.close(slot)?;
        let reset = client
            .join()
            .map_err(|_| anyhow::anyhow!("the client's thread panicked"))??;
        Ok((reset, given_up))
    })
}

fn reset_in_the_handshake() -> Result<()> {
    let world = World::new()?;
    let mut works = Vec::new();
    for way in WAYS {
        let (mut one, mut other) = (world.agent()?, world.agent()?);
        let netns = &world.netns;
        works.push(move || cross(netns, &mut one, &mut other, way));
    }
    let attempts = at_once(works)?;
    let mut seen = world.finish()?;
    for (reset, given_up) in &attempts {
        seen.failed(reset, RESET)?;
        seen.failed(given_up, ABANDONED)?;
    }
    seen.nothing_more()
}

/// Each says how many SYNs it sent: all of them together, what the kernel counts.
fn timed_out() -> Result<()> {
    let world = World::new()?;
    let netns = world.netns.clone();
    let mut server = world.agent()?;
    let mut plans = Vec::new();
    for way in WAYS {
        let to = deaf(&mut server, way.family.loopback())?;
        plans.push((way.dial(to), TIMED_OUT));
    }
    let told = all_fail(world, plans)?;
    let Some(told) = told.into_iter().collect::<Option<Vec<Value>>>() else {
        return Ok(()); // the machine hid an end
    };
    let syns = |line: &Value| line["failure"]["unanswered_syns"].as_u64();
    let syns: Option<Vec<u64>> = told.iter().map(syns).collect();
    let again: u64 = syns.context("SYNs")?.iter().map(|syns| syns - 1).sum();
    let counted = counter(&netns, "netstat", "TcpExt:", "TCPSynRetrans")?;
    ensure!(
        again == counted,
        "{again} of {counted} SYNs sent again: {told:?}"
    );
    Ok(())
}

/// On the way in and on the way out: the kernel does not tell the caller of the latter either.
fn timed_out_behind_firewalls() -> Result<()> {
    let world = World::new()?;
    let mut server = world.agent()?;
    let mut rules = "add table inet t; \
         add chain inet t input { type filter hook input priority 0; }; \
         add chain inet t output { type filter hook output priority 0; }"
        .to_owned();
    let mut plans = Vec::new();
    for way in WAYS {
        for chain in ["input", "output"] {
            let (_, to) = server.listen(Listen::at(way.family.loopback()))?;
            rules += &format!("; add rule inet t {chain} tcp dport {} drop", to.port());
            plans.push((way.dial(to), TIMED_OUT));
        }
    }
    nft(&world.netns, &rules)?;
    all_fail(world, plans).map(drop)
}

/// A world with a router at the far end of the cable, through which everything goes.
fn behind_a_router() -> Result<(World, Netns)> {
    let (world, router) = World::pair()?;
    route_through(&world.netns, &router)?;
    Ok((world, router))
}

/// Makes one end of a cable a router for all that the other end sends.
pub(crate) fn route_through(netns: &Netns, router: &Netns) -> Result<()> {
    for (family, via) in [("-4", "10.77.0.2"), ("-6", "fd77::2")] {
        netns.command("ip", &[family, "route", "add", "default", "via", via])?;
    }
    for (name, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // It complains of every packet, however many there are at once.
        ("ipv4/icmp_ratemask", "0"),
        ("ipv6/icmp/ratemask", "3"),
    ] {
        router.set(name, value)?;
    }
    Ok(())
}

/// What the router's routing table says, and what becomes of it.
fn unreachable_by_a_routers_routes() -> Result<()> {
    let (world, router) = behind_a_router()?;
    let mut own = 10;
    let cases = [
        // No route at all.
        (None, 1, NETWORK_UNREACHABLE, NETWORK_UNREACHABLE),
        // ICMPv6 has no word for it, and says that there is no route.
        (
            Some("unreachable"),
            2,
            HOST_UNREACHABLE,
            NETWORK_UNREACHABLE,
        ),
        // ICMP has, the kernel has not.
        (Some("prohibit"), 3, HOST_UNREACHABLE, DENIED),
    ];
    let mut plans = Vec::new();
    for (route, n, v4, v6) in cases {
        if let Some(route) = route {
            for target in [format!("192.0.2.{n}/32"), format!("2001:db8::{n}/128")] {
                router.command("ip", &["route", "add", route, &target])?;
            }
        }
        for way in WAYS {
            // From an address of its own each, as a router soon has enough of one client.
            own += 1;
            let (from, width) = way.family.of(
                (IpAddr::from([10, 77, 0, own]), 24),
                (IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, own.into()]), 64),
            );
            let address = format!("{from}/{width}");
            let mut add = vec!["addr", "add", &address, "dev", "cable"];
            add.extend(from.is_ipv6().then_some("nodad"));
            world.netns.command("ip", &add)?;
            let dial = Dial {
                from: Some(SocketAddr::new(from, 0)),
                ..way.dial(nowhere(way.family, n, 9))
            };
            plans.push((dial, way.family.of(v4, v6)));
        }
    }
    all_fail(world, plans).map(drop)
}

/// What the router's firewall says, and what becomes of it.
fn unreachable_by_a_routers_firewall() -> Result<()> {
    let (world, router) = behind_a_router()?;
    let plans = wall(&router)?;
    all_fail(world, plans).map(drop)
}

/// Gives a router a firewall that has an answer for each of some ports, and says what becomes of
/// those who dial them.
pub(crate) fn wall(router: &Netns) -> Result<Vec<(Dial, Failure)>> {
    const OTHER: Failure = failure("network", "other", Errno::NOPROTOOPT);
    let cases = [
        (
            1,
            "icmpx type no-route",
            Some(NETWORK_UNREACHABLE),
            Some(NETWORK_UNREACHABLE),
        ),
        (
            2,
            "icmpx type host-unreachable",
            Some(HOST_UNREACHABLE),
            Some(HOST_UNREACHABLE),
        ),
        (
            3,
            "icmpx type admin-prohibited",
            Some(HOST_UNREACHABLE),
            Some(DENIED),
        ),
        (
            4,
            "icmpx type port-unreachable",
            Some(REFUSED),
            Some(REFUSED),
        ),
        (5, "tcp reset", Some(REFUSED), Some(REFUSED)),
        (
            6,
            "icmp type net-prohibited",
            Some(NETWORK_UNREACHABLE),
            None,
        ),
        (7, "icmp type prot-unreachable", Some(OTHER), None),
        (8, "icmpv6 type policy-fail", None, Some(DENIED)),
    ];
    let mut rules = "add table inet t; \
         add chain inet t forward { type filter hook forward priority 0; }"
        .to_owned();
    let mut plans = Vec::new();
    for (port, answer, v4, v6) in cases {
        rules += &format!("; add rule inet t forward tcp dport {port} reject with {answer}");
        for way in WAYS {
            if let Some(failure) = way.family.of(v4, v6) {
                plans.push((way.dial(nowhere(way.family, 1, port)), failure));
            }
        }
    }
    nft(router, &rules)?;
    // So that it forwards at all, and its firewall has something to say. By another way than the
    // packets came, or it would tell the client of a shorter one.
    let link = ["link", "add", "out", "type", "veth", "peer", "name", "end"];
    router.command("ip", &link)?;
    for link in ["out", "end"] {
        router.command("ip", &["link", "set", link, "up"])?;
    }
    for target in ["192.0.2.0/24", "2001:db8::/32"] {
        router.command("ip", &["route", "add", target, "dev", "out"])?;
    }
    Ok(plans)
}

/// The route is there, the cable too, but nobody at its end has the address.
fn no_neighbour_answers() -> Result<()> {
    let (world, _far) = World::pair()?;
    let mut plans = Vec::new();
    for way in WAYS {
        let v6 = [0xfd77, 0, 0, 0, 0, 0, 0, 9];
        let to = way.family.of(
            SocketAddr::new([10, 77, 0, 9].into(), 9),
            SocketAddr::new(v6.into(), 9),
        );
        plans.push((way.dial(to), HOST_UNREACHABLE));
    }
    all_fail(world, plans).map(drop)
}

/// An ICMP error that comes while connect() still runs decides nothing: the kernel tries again.
/// But poll() and SO_ERROR tell it already, over IPv4, and SO_ERROR takes it from the socket. Who
/// believes it and closes was refused.
fn a_caller_may_give_up_at_the_first_word() -> Result<()> {
    let (world, mut client, mut server) = rejecting()?;
    let mut attempts = Vec::new();
    for family in [Family::V4, Family::Mapped] {
        let to = dead(&mut server, family.loopback())?;
        let (slot, attempt) = begin(&mut client, family.dial(to))?;
        let answer = client.first_word(slot)?;
        ensure!(
            answer.errno == Some(Errno::CONNREFUSED.raw_os_error()),
            "{answer:?}"
        );
        client.close(slot)?;
        attempts.push(attempt);
    }
    let mut seen = world.finish()?;
    // Where errors are not seen as they are shown, nothing is left of this one.
    let failure = match is_blind_to(&seen.start, "failure_reason_taken")? {
        true => ABANDONED,
        false => REFUSED,
    };
    for attempt in &attempts {
        seen.failed(attempt, failure)?;
    }
    seen.nothing_more()
}

/// The same without a question: the caller closes, and has been refused all the same.
fn a_caller_may_give_up_without_a_word() -> Result<()> {
    let (world, mut client, mut server) = rejecting()?;
    let mut attempts = Vec::new();
    for family in FAMILIES {
        let told = || refusals(&world.netns, family);
        let before = told()?;
        let to = dead(&mut server, family.loopback())?;
        let (slot, attempt) = begin(&mut client, family.dial(to))?;
        wait::until("the refusal to arrive", || {
            Ok((told()? > before).then_some(()))
        })?;
        client.close(slot)?;
        attempts.push(attempt);
    }
    let mut seen = world.finish()?;
    for attempt in &attempts {
        seen.failed(attempt, REFUSED)?;
    }
    seen.nothing_more()
}

/// A world whose firewall answers every SYN by ICMP.
fn rejecting() -> Result<(World, Agent, Agent)> {
    let world = World::new()?;
    nft(
        &world.netns,
        "add table inet t; add chain inet t input { type filter hook input priority 0; }; \
         add rule inet t input meta l4proto tcp reject with icmpx type port-unreachable",
    )?;
    let (client, server) = (world.agent()?, world.agent()?);
    Ok((world, client, server))
}

/// How many ICMP messages came that say that something cannot be reached.
fn refusals(netns: &Netns, family: Family) -> Result<u64> {
    if family != Family::V6 {
        return counter(netns, "snmp", "Icmp:", "InDestUnreachs");
    }
    let text = netns.run(|| {
        std::fs::read_to_string("/proc/thread-self/net/snmp6").context("read the counters")
    })?;
    let row = text
        .lines()
        .find_map(|line| line.strip_prefix("Icmp6InDestUnreachs"));
    Ok(row.context("the counter")?.trim().parse()?)
}
