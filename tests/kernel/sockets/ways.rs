//! Ways to connect and accept that are not the plain calls.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use tracer_tests::{
    agent::{Agent, By, Dial, Listen, Slot},
    expect::{self, endpoint},
    ledger::{Closer, End},
    netns::Netns,
    ring, skip, tests,
    tracer::Tracer,
};

use crate::{
    failures::{self, is_blind_to},
    watch::told,
    world::{World, counter, exchanged, namespace},
};

tests!("ways":
    io_uring,
    syn_cookies,
    deferred_accept,
    fast_open,
    fast_open_that_is_refused,
    fast_open_before_the_handshake_is_over,
    fast_open_that_never_begins,
    a_restored_connection,
    two_that_dial_each_other,
    mptcp,
);

/// Connections and attempts of one client to one server, each by io_uring.
fn io_uring() -> Result<()> {
    ring::need()?;
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let (spare, dead) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    server.close(spare)?;
    let by_ring = |to| Dial {
        by: By::Ring,
        ..Dial::to(to)
    };
    let mut ends = Vec::new();
    // One that waits to be accepted, and one that is waited for.
    for waited_for in [false, true] {
        let (accepted, dialled) = if waited_for {
            server.accept_by_ring_before(listener, || client.dial(by_ring(at)))?
        } else {
            let dialled = client.dial(by_ring(at))?;
            (server.accept_by_ring(listener)?, dialled)
        };
        let (slot, from, accepted) = (dialled.socket()?, dialled.local()?, accepted.socket()?);
        client.send(slot, 10)?;
        server.receive(accepted, 10)?;
        server.send(accepted, 20)?;
        client.receive(slot, 20)?;
        client.close(slot)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
        ends.extend(exchanged(
            End::client(netns.inode(), from, at, client.pid()),
            End::server(netns.inode(), from, at, server.pid()),
            10,
            20,
        ));
    }
    let refused = client.dial(by_ring(dead))?;
    ensure!(refused.errno == Some(libc::ECONNREFUSED), "{refused:?}");
    client.close(refused.slot.context("a socket")?)?;
    let events = told(tracer, &[&netns], &ends, 1)?;
    refused_once(dead, client.pid(), &events)
}

/// Exactly one attempt at `to`, which was refused.
fn refused_once(to: SocketAddr, pid: u32, events: &[Value]) -> Result<()> {
    let pattern = json!({"event": "fail", "connection": {"direction": "outbound", "server": endpoint(to)},
        "failure": {"phase": "remote", "reason": "refused", "errno": "ECONNREFUSED"},
        "process": {"pid": pid}, "evidence": {"process": "hook"}});
    expect::one("a refused attempt", &pattern, events).map(drop)
}

/// The listener keeps nothing of a SYN, and makes the connection of its acknowledgement.
fn syn_cookies() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    // 2: for every SYN, not only when there are too many.
    if let Err(error) = world.netns.set("ipv4/tcp_syncookies", "2") {
        return skip::skip("SYN cookies", format!("{error:#}"));
    }
    let mut ends = Vec::new();
    for bytes in [10, 20] {
        let pair = world.connect()?;
        world.talk(&pair, bytes)?;
        world.finish(&pair)?;
        ends.extend(world.ends(&pair, bytes as u64));
    }
    let cookies = counter(&world.netns, "netstat", "TcpExt:", "SyncookiesRecv")?;
    ensure!(cookies == 2, "{cookies} cookies of 2 came back");
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

/// The client has its connection before the server has.
fn deferred_accept() -> Result<()> {
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen {
        defer: true,
        ..Listen::at("127.0.0.1:0".parse()?)
    })?;
    let dialled = client.connect(at)?;
    let (slot, from) = (dialled.socket()?, dialled.local()?);
    client.send(slot, 10)?;
    let accepted = server.accept(listener)?.socket()?;
    server.receive(accepted, 10)?;
    client.close(slot)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    let ends = exchanged(
        End::client(netns.inode(), from, at, client.pid()),
        End::server(netns.inode(), from, at, server.pid()),
        10,
        0,
    );
    told(tracer, &[&netns], &ends, 0)?;
    Ok(())
}

/// `net.ipv4.tcp_fastopen`: clients and servers may.
fn allow_fast_open(netns: &Netns) -> Result<()> {
    netns.set("ipv4/tcp_fastopen", "3")
}

fn fast_open() -> Result<()> {
    let netns = namespace()?;
    allow_fast_open(&netns)?;
    let tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen {
        fast_open: true,
        ..Listen::at("0.0.0.0:0".parse()?)
    })?;
    let mut ends = Vec::new();
    // An address each, as the client remembers a server's cookie by that. The first connection
    // fetches the cookie, the others open with payload in the SYN.
    for (last, by) in [(1, By::FastOpen(100)), (2, By::Deferred(100))] {
        let to = SocketAddr::new([127, 0, 0, last].into(), at.port());
        for _ in 0..3 {
            let dialled = client.dial(Dial { by, ..Dial::to(to) })?;
            let accepted = server.accept(listener)?.socket()?;
            let (slot, from) = (dialled.socket()?, dialled.local()?);
            server.receive(accepted, 100)?;
            server.send(accepted, 20)?;
            client.receive(slot, 20)?;
            client.send(slot, 3)?;
            client.close(slot)?;
            ensure!(
                server.receive_end(accepted)?.count == 3,
                "payload is missing"
            );
            server.close(accepted)?;
            ends.extend(exchanged(
                End::client(netns.inode(), from, to, client.pid()),
                End::server(netns.inode(), from, to, server.pid()),
                103,
                20,
            ));
        }
    }
    // Or it would have been nothing but ordinary connections.
    for name in ["TCPFastOpenActive", "TCPFastOpenPassive"] {
        let count = counter(&netns, "netstat", "TcpExt:", name)?;
        ensure!(count == 4, "{name} is {count}, not 4");
    }
    let events = told(tracer, &[&netns], &ends, 0)?;
    // What came with the SYN is not counted.
    for end in ends.iter().step_by(2) {
        let pattern = json!({"connection": {"client": endpoint(end.client)}});
        let lines = expect::exactly(4, "both ends", &pattern, &events)?;
        one_handshake(&lines)?;
    }
    Ok(())
}

/// All lines of a connection, at both ends, have its handshake.
fn one_handshake(lines: &[&Value]) -> Result<()> {
    let handshakes: BTreeSet<&str> = lines
        .iter()
        .map(|line| line["connection"]["handshake"].as_str())
        .collect::<Option<_>>()
        .with_context(|| format!("a line without a handshake: {lines:#?}"))?;
    ensure!(handshakes.len() == 1, "{handshakes:?}: {lines:#?}");
    Ok(())
}

/// Server and client of which the client has the server's cookie, and the server's listener.
fn acquainted(netns: &Netns) -> Result<(Agent, Agent, Slot, SocketAddr)> {
    allow_fast_open(netns)?;
    let (mut server, mut client) = (Agent::new(netns)?, Agent::new(netns)?);
    let (listener, at) = server.listen(Listen {
        fast_open: true,
        ..Listen::at("127.0.0.1:0".parse()?)
    })?;
    let first = client.dial(Dial {
        by: By::FastOpen(1),
        ..Dial::to(at)
    })?;
    let accepted = server.accept(listener)?.socket()?;
    client.close(first.socket()?)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    netns.wait_settled()?;
    Ok((server, client, listener, at))
}

/// What a run told of one namespace, once all is over there.
fn lines(tracer: Tracer, netns: &Netns) -> Result<Vec<Value>> {
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let lines = run.events()?;
    expect::well_formed(&lines)?;
    expect::sums(run.text()?.lines())?;
    Ok(expect::within(netns.inode(), &lines))
}

/// The server has payload, and a process that reads it, before it knows that the client is there.
fn fast_open_before_the_handshake_is_over() -> Result<()> {
    let netns = namespace()?;
    let (mut server, mut client, listener, at) = acquainted(&netns)?;
    let mut tracer = Tracer::stream(&[])?;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    failures::nft(
        &netns,
        "add table inet t; add chain inet t input { type filter hook input priority 0; }; \
         add rule inet t input tcp flags & (syn | ack) == syn | ack drop",
    )?;
    let dialled = client.dial(Dial {
        by: By::FastOpen(100),
        nonblocking: true,
        ..Dial::to(at)
    })?;
    let (slot, from) = (dialled.slot.context("a socket")?, dialled.local()?);
    let accepted = server.accept(listener)?.socket()?;
    server.receive(accepted, 100)?;
    failures::wait_for_state(&netns, (from, at), failures::SYN_SENT)?;
    failures::nft(&netns, "flush ruleset")?;
    let outcome = client.outcome(slot)?;
    ensure!(outcome.errno.is_none(), "{outcome:?}");
    server.send(accepted, 20)?;
    client.receive(slot, 20)?;
    client.close(slot)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    let events = lines(tracer, &netns)?;
    let line = |event, direction| {
        let pattern = json!({"event": event, "connection": {"direction": direction,
            "client": endpoint(from)}});
        expect::one("a line of it", &pattern, &events)
    };
    let (connect, accept) = (line("connect", "outbound")?, line("accept", "inbound")?);
    let (there, here) = (line("close", "outbound")?, line("close", "inbound")?);
    one_handshake(&[connect, accept, there, here])?;
    let opened = |line: &Value| line["connection"]["opened"].as_str().map(str::to_owned);
    let (client_opened, server_opened) = (opened(connect), opened(here));
    ensure!(
        client_opened.is_some() && server_opened >= client_opened,
        "the server's end was opened before the client's: {here}"
    );
    // Where accept() is seen, it comes first; else the end of the handshake stands for it.
    let expected = server_opened.filter(|_| hooks == "tracepoint");
    ensure!(opened(accept) == expected, "{accept}");
    ensure!(
        here["connection"]["sent_bytes"] == 20 && here["connection"]["received_bytes"] == 100,
        "{here}"
    );
    Ok(())
}

/// connect() promises a SYN with the first write, and there is none.
fn fast_open_that_never_begins() -> Result<()> {
    let netns = namespace()?;
    let (_server, mut client, _, at) = acquainted(&netns)?;
    let tracer = Tracer::stream(&[])?;
    let promised = client.dial(Dial {
        by: By::Deferred(0),
        ..Dial::to(at)
    })?;
    // It is not connected, though connect() said so.
    let from = promised.local()?;
    client.close(promised.socket()?)?;
    let events = lines(tracer, &netns)?;
    ensure!(
        counter(&netns, "netstat", "TcpExt:", "TCPFastOpenActive")? == 0,
        "it was begun, or the one before was not the first"
    );
    let pattern = json!({"connection": {"client": {"port": from.port()}}});
    expect::exactly(0, "what never began", &pattern, &events).map(drop)
}

/// As CRIU does it: nothing is sent, nobody dials.
fn a_restored_connection() -> Result<()> {
    let netns = namespace()?;
    let mut client = Agent::new(&netns)?;
    let tracer = Tracer::stream(&[])?;
    let mut restored = Vec::new();
    for to in ["127.0.0.1:9", "[::1]:9"] {
        let to: SocketAddr = to.parse()?;
        let answer = client.dial(Dial {
            by: By::Repair,
            ..Dial::to(to)
        })?;
        if answer.errno == Some(libc::EPERM) {
            return skip::skip("TCP_REPAIR", "not permitted");
        }
        let slot = answer.socket()?;
        restored.push((answer.local()?, to));
        // Still under repair: nothing is sent now, either.
        client.close(slot)?;
    }
    let events = lines(tracer, &netns)?;
    for (from, to) in restored {
        for event in ["existing", "close"] {
            let pattern = json!({"event": event, "process": {"pid": client.pid()},
                "connection": {"existing": true, "direction": null, "handshake": null, "opened": null,
                    "local": endpoint(from), "remote": endpoint(to)},
                "evidence": {"process": "hook", "direction": "unknown"}});
            expect::one("the restored connection", &pattern, &events)?;
        }
    }
    expect::exactly(4, "no more of them", &json!({"connection": {}}), &events).map(drop)
}

/// Both ends send a SYN, and neither listens: one connection, of which both are clients.
fn two_that_dial_each_other() -> Result<()> {
    let netns = namespace()?;
    let tracer = Tracer::stream(&[])?;
    let (mut one, mut other) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let mut free = || -> Result<SocketAddr> {
        let (slot, at) = one.listen(Listen::at("127.0.0.1:0".parse()?))?;
        one.close(slot)?;
        Ok(at)
    };
    let (here, there) = (free()?, free()?);
    // Neither hears the other's first SYN.
    failures::nft(
        &netns,
        "add table inet t; add chain inet t input { type filter hook input priority 0; }; \
         add rule inet t input meta l4proto tcp drop",
    )?;
    let (first, _) = failures::begin(
        &mut one,
        Dial {
            from: Some(here),
            ..Dial::to(there)
        },
    )?;
    let (second, _) = failures::begin(
        &mut other,
        Dial {
            from: Some(there),
            ..Dial::to(here)
        },
    )?;
    failures::nft(&netns, "flush ruleset")?;
    for (agent, slot) in [(&mut one, first), (&mut other, second)] {
        let outcome = agent.outcome(slot)?;
        ensure!(outcome.errno.is_none(), "{outcome:?}");
    }
    one.send(first, 10)?;
    other.receive(second, 10)?;
    one.close(first)?;
    other.receive_end(second)?;
    other.close(second)?;
    let ends = [
        End {
            sent: 10,
            ..End::client(netns.inode(), here, there, one.pid())
        },
        End {
            received: 10,
            closed_by: Some(Closer::Remote),
            ..End::client(netns.inode(), there, here, other.pid())
        },
    ];
    let events = told(tracer, &[&netns], &ends, 0)?;
    let lines = expect::exactly(4, "both ends", &json!({"connection": {}}), &events)?;
    one_handshake(&lines)
}

fn fast_open_that_is_refused() -> Result<()> {
    let netns = namespace()?;
    allow_fast_open(&netns)?;
    let tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let mut dead = Vec::new();
    for by in [By::FastOpen(100), By::Deferred(100)] {
        let (spare, to) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
        server.close(spare)?;
        let answer = client.dial(Dial { by, ..Dial::to(to) })?;
        ensure!(
            answer.errno == Some(libc::ECONNREFUSED),
            "{by:?}: {answer:?}"
        );
        client.close(answer.slot.context("a socket")?)?;
        dead.push(to);
    }
    let events = told(tracer, &[&netns], &[], dead.len())?;
    for to in dead {
        refused_once(to, client.pid(), &events)?;
    }
    Ok(())
}

/// The one subflow of each connection shows as a connection, once; the whole is not invented
/// on top of it.
fn mptcp() -> Result<()> {
    let netns = namespace()?;
    let made = netns.run(|| {
        let made = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP));
        Ok(made.map(drop))
    })?;
    if let Err(error) = made {
        return skip::skip("MPTCP", error);
    }
    let mut tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (mut ends, mut listeners) = (Vec::new(), Vec::new());
    // One of the two may not speak it; then it is ordinary TCP, through other sockets.
    for (here, there) in [(true, true), (true, false), (false, true)] {
        let (listener, at) = server.listen(Listen {
            mptcp: there,
            ..Listen::at("127.0.0.1:0".parse()?)
        })?;
        let dialled = client.dial(Dial {
            mptcp: here,
            ..Dial::to(at)
        })?;
        let (slot, from) = (dialled.socket()?, dialled.local()?);
        let accepted = server.accept(listener)?.socket()?;
        client.send(slot, 1000)?;
        server.receive(accepted, 1000)?;
        server.send(accepted, 2000)?;
        client.receive(slot, 2000)?;
        client.close(slot)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
        server.close(listener)?;
        listeners.push(at);
        let both = exchanged(
            End::client(netns.inode(), from, at, client.pid()),
            End::server(netns.inode(), from, at, server.pid()),
            1000,
            2000,
        );
        // Which end's subflow goes first is between the two kernels.
        ends.extend(both.map(|end| End {
            closed_by: end.closed_by.filter(|_| !(here && there)),
            ..end
        }));
    }
    // Nobody listens there any more.
    let dead = listeners[0];
    let refused = client.dial(Dial {
        mptcp: true,
        ..Dial::to(dead)
    })?;
    ensure!(refused.errno == Some(libc::ECONNREFUSED), "{refused:?}");
    client.close(refused.slot.context("a socket")?)?;
    // Or all of it would have been nothing but TCP.
    let agreed = counter(&netns, "netstat", "MPTcpExt:", "MPCapableSYNACKRX")?;
    ensure!(agreed == 1, "{agreed} of one connection is MPTCP");
    let start = tracer.wait_for("the start line", |_| true)?;
    ensure!(
        is_blind_to(&start, "mptcp")?,
        "not said: {}",
        start["blind"]
    );
    let events = told(tracer, &[&netns], &ends, 1)?;
    refused_once(dead, client.pid(), &events)?;
    for at in listeners {
        for event in ["listen", "unlisten"] {
            let pattern = json!({"event": event, "listener": {"port": at.port()}, "process": {"pid": server.pid()}});
            expect::one("the listener", &pattern, &events)?;
        }
    }
    Ok(())
}
