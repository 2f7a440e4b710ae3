//! Listening sockets, and connections whose life is out of the ordinary.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    expect::{self, endpoint, one},
    netns::Netns,
    tests,
    tracer::Tracer,
};

tests!("listeners":
    new_ones_are_told_and_taken_back,
    dual_stack_is_one_listener,
    those_that_died_are_taken_back,
    those_older_than_tracer_are_found,
    those_older_than_tracer_in_other_namespaces_are_found,
    connections_older_than_tracer_end_as_existing,
    half_closed_connections_end_once,
    connections_may_outlive_their_process,
    the_same_tuple_may_be_used_again_at_once,
    connections_that_nobody_accepts_leave_no_loose_end,
    those_whose_owner_has_ended_are_who_holds_them,
);

fn local(port: u16) -> SocketAddr {
    SocketAddr::new([127, 0, 0, 1].into(), port)
}

fn stop(tracer: Tracer, netns: &Netns) -> Result<Vec<Value>> {
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    expect::well_formed(&events)?;
    expect::sums(run.text()?.lines())?;
    Ok(expect::within(netns.inode(), &events))
}

/// A `listen` or `unlisten` of `pid`.
fn listener(event: &str, at: SocketAddr, pid: u32) -> Value {
    json!({
        "event": event,
        "listener": {"address": at.ip().to_string(), "port": at.port()},
        "process": {"pid": pid},
    })
}

fn new_ones_are_told_and_taken_back() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let mut addresses = Vec::new();
    for at in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
        let (slot, address) = server.listen(Listen {
            backlog: 7,
            only_v6: true,
            ..Listen::at(at.parse()?)
        })?;
        server.close(slot)?;
        addresses.push(address);
    }
    let pid = server.pid();
    let events = stop(tracer, &netns)?;
    for at in addresses {
        let mut pattern = listener("listen", at, pid);
        pattern["listener"]["backlog"] = json!(7);
        pattern["evidence"] = json!({"process": "hook"});
        one("a new listener", &pattern, &events)?;
        one(
            "a listener that is closed",
            &listener("unlisten", at, pid),
            &events,
        )?;
    }
    ensure!(events.len() == 6, "{} events:\n{events:#?}", events.len());
    Ok(())
}

fn dual_stack_is_one_listener() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (slot, at) = server.listen(Listen::at("[::]:0".parse()?))?;
    for to in [local(at.port()), SocketAddr::new("::1".parse()?, at.port())] {
        let dialled = client.connect(to)?.socket()?;
        let accepted = server.accept(slot)?.socket()?;
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
    }
    netns.wait_settled()?;
    let pid = server.pid();
    server.finish()?;
    let events = stop(tracer, &netns)?;
    one("the listener", &listener("listen", at, pid), &events)?;
    one("its end", &listener("unlisten", at, pid), &events)?;
    expect::exactly(
        2,
        "both",
        &json!({"event": {"$any": ["listen", "unlisten"]}}),
        &events,
    )?;
    for (family, address) in [("ipv4", "127.0.0.1"), ("ipv6", "::1")] {
        let pattern = json!({
            "event": "accept",
            "connection": {"family": family, "server": {"address": address, "port": at.port()}},
            "process": {"pid": pid},
        });
        one("an accepted connection", &pattern, &events)?;
    }
    Ok(())
}

fn those_that_died_are_taken_back() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let (_, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let pid = server.pid();
    server.kill()?;
    let events = stop(tracer, &netns)?;
    one("the listener", &listener("listen", at, pid), &events)?;
    one("its end", &listener("unlisten", at, pid), &events)?;
    Ok(())
}

/// The listener was there first; tracer runs in its namespace.
fn those_older_than_tracer_are_found() -> Result<()> {
    let netns = Netns::new()?;
    older_listener(&netns, || Tracer::stream_in(&netns, &[]))
}

/// The same, with tracer in the machine's own namespace.
fn those_older_than_tracer_in_other_namespaces_are_found() -> Result<()> {
    older_listener(&Netns::new()?, || Tracer::stream(&[]))
}

fn older_listener(netns: &Netns, tracer: impl Fn() -> Result<Tracer>) -> Result<()> {
    let mut server = Agent::new(netns)?;
    let mut client = Agent::new(netns)?;
    server.rename(b"old server")?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut tracer = tracer()?;
    // It must be known before anything happens to it.
    let pattern = listener("listen", at, server.pid());
    let line = tracer.wait_for("the listener", |line| {
        expect::differences(&pattern, line).is_empty()
    })?;
    ensure!(line["listener"]["netns"] == netns.inode(), "{line}");
    ensure!(line["process"]["comm"] == "old server", "{line}");
    ensure!(line["evidence"]["process"] == "scan", "{line}");

    let dialled = client.connect(at)?.socket()?;
    let accepted = server.accept(slot)?.socket()?;
    client.close(dialled)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    netns.wait_settled()?;
    server.close(slot)?;
    let pid = server.pid();
    let events = stop(tracer, netns)?;
    one("the listener", &listener("listen", at, pid), &events)?;
    one("its end", &listener("unlisten", at, pid), &events)?;
    for event in ["accept", "close"] {
        let pattern = json!({"event": event, "connection": {"direction": "inbound", "server": endpoint(at)},
            "process": {"pid": pid}});
        one("the server's end", &pattern, &events)?;
    }
    Ok(())
}

fn connections_older_than_tracer_end_as_existing() -> Result<()> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let answer = client.connect(at)?;
    let (dialled, from) = (answer.socket()?, answer.local()?);
    let accepted = server.accept(slot)?.socket()?;
    client.send(dialled, 1000)?;
    server.receive(accepted, 1000)?;
    let tracer = Tracer::stream(&[])?;
    server.send(accepted, 500)?;
    client.receive(dialled, 500)?;
    client.close(dialled)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    netns.wait_settled()?;
    let events = stop(tracer, &netns)?;

    expect::none(
        "an open",
        &json!({"event": {"$any": ["connect", "accept", "fail"]}}),
        &events,
    )?;
    let existing = json!({"event": "close", "connection": {"existing": true}});
    let closes = expect::exactly(2, "the ends", &existing, &events)?;
    // The server's end is known by its listener; the client's may be.
    let server_end = json!({"connection": {"direction": "inbound", "client": endpoint(from), "server": endpoint(at),
        "sent_bytes": 500, "received_bytes": 1000}});
    let one_of = |end: &Value| {
        closes
            .iter()
            .filter(|close| expect::differences(end, close).is_empty())
            .count()
    };
    ensure!(
        one_of(&server_end) == 1,
        "no close of the server's end: {closes:#?}"
    );
    let known = json!({"connection": {"direction": "outbound", "client": endpoint(from), "server": endpoint(at),
        "sent_bytes": 1000, "received_bytes": 500}});
    let unknown = json!({"connection": {"direction": null, "client": null, "server": null,
        "local": endpoint(from), "remote": endpoint(at), "sent_bytes": 1000, "received_bytes": 500},
        "evidence": {"direction": "unknown"}});
    ensure!(
        one_of(&known) + one_of(&unknown) == 1,
        "no close of the client's end: {closes:#?}"
    );
    Ok(())
}

fn half_closed_connections_end_once() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let dialled = client.connect(at)?.socket()?;
    let accepted = server.accept(slot)?.socket()?;
    client.send(dialled, 10)?;
    client.shutdown(dialled)?;
    ensure!(
        server.receive_end(accepted)?.count == 10,
        "the request is short"
    );
    server.send(accepted, 100_000)?;
    server.shutdown(accepted)?;
    ensure!(
        client.receive_end(dialled)?.count == 100_000,
        "the answer is short"
    );
    // The connection is over; the sockets are closed afterwards.
    server.close(accepted)?;
    client.close(dialled)?;
    netns.wait_settled()?;
    let events = stop(tracer, &netns)?;
    let outbound = json!({"event": "close", "connection": {"direction": "outbound", "server": endpoint(at),
        "sent_bytes": 10, "received_bytes": 100_000, "closed_by": "local"}, "process": {"pid": client.pid()}});
    let inbound = json!({"event": "close", "connection": {"direction": "inbound", "server": endpoint(at),
        "sent_bytes": 100_000, "received_bytes": 10, "closed_by": "remote"}, "process": {"pid": server.pid()}});
    one("the client's end", &outbound, &events)?;
    one("the server's end", &inbound, &events)?;
    for (event, count) in [("connect", 1), ("accept", 1), ("close", 2)] {
        expect::exactly(count, "in all", &json!({"event": event}), &events)?;
    }
    Ok(())
}

fn connections_may_outlive_their_process() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let opener = client.pid();
    let dialled = client.connect(at)?.socket()?;
    let accepted = server.accept(slot)?.socket()?;
    client.send(dialled, 10)?;
    let closer = client.fork()?;
    ensure!(opener != closer, "the fork kept its pid");
    client.send(dialled, 20)?;
    client.close(dialled)?;
    ensure!(
        server.receive_end(accepted)?.count == 30,
        "the payload is short"
    );
    server.close(accepted)?;
    netns.wait_settled()?;
    let events = stop(tracer, &netns)?;
    let end = |event: &str| json!({"event": event, "connection": {"direction": "outbound", "server": endpoint(at)}});
    let mut connect = end("connect");
    connect["process"] = json!({"pid": opener});
    one("the open, by the first process", &connect, &events)?;
    let close = one("one end", &end("close"), &events)?;
    let expected = match close["evidence"]["process"].as_str() {
        Some("hook") => vec![opener, closer],
        Some("close") => vec![closer],
        _ => vec![],
    };
    let pid = close["process"]["pid"].as_u64().context("a process")?;
    ensure!(
        expected.iter().any(|one| u64::from(*one) == pid),
        "expected a process of {expected:?}: {close}"
    );
    ensure!(close["connection"]["sent_bytes"] == 30, "{close}");
    Ok(())
}

fn the_same_tuple_may_be_used_again_at_once() -> Result<()> {
    const TIMES: usize = 20;
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    // A port that is free, as somebody just gave it back.
    let (spare, from) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    server.close(spare)?;
    for n in 0..TIMES {
        let dialled = client
            .dial(Dial {
                from: Some(from),
                ..Dial::to(at)
            })?
            .socket()?;
        let accepted = server.accept(slot)?.socket()?;
        client.send(dialled, n + 1)?;
        server.receive(accepted, n + 1)?;
        client.reset(dialled)?;
        let ended = server.receive_end(accepted)?;
        ensure!(ended.errno == Some(libc::ECONNRESET), "{ended:?}");
        server.close(accepted)?;
    }
    netns.wait_settled()?;
    let events = stop(tracer, &netns)?;
    let ends = json!({"client": endpoint(from), "server": endpoint(at)});
    for (open, direction, bytes) in [
        ("connect", "outbound", "sent_bytes"),
        ("accept", "inbound", "received_bytes"),
    ] {
        let mut pattern = json!({"event": open, "connection": ends});
        let opens = expect::exactly(TIMES, "the opens", &pattern, &events)?;
        let mut ids: Vec<&str> = opens
            .iter()
            .filter_map(|open| open["connection"]["id"].as_str())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ensure!(
            ids.len() == TIMES,
            "{} ids for {TIMES} connections",
            ids.len()
        );
        pattern["event"] = json!("close");
        pattern["connection"]["direction"] = json!(direction);
        let closes = expect::exactly(TIMES, "the closes", &pattern, &events)?;
        let mut sizes: Vec<u64> = closes
            .iter()
            .filter_map(|close| close["connection"][bytes].as_u64())
            .collect();
        sizes.sort_unstable();
        ensure!(
            sizes == (1..=TIMES as u64).collect::<Vec<_>>(),
            "{direction} {bytes}: {sizes:?}"
        );
        for close in closes {
            ensure!(
                ids.contains(&close["connection"]["id"].as_str().unwrap_or_default()),
                "{close}"
            );
        }
    }
    Ok(())
}

fn connections_that_nobody_accepts_leave_no_loose_end() -> Result<()> {
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&[])?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (slot, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    // One that the client closes in time, one that the listener takes down with it.
    let first = client.connect(at)?.socket()?;
    client.close(first)?;
    let second = client.connect(at)?.socket()?;
    server.close(slot)?;
    let ended = client.receive_end(second)?;
    ensure!(ended.errno == Some(libc::ECONNRESET), "{ended:?}");
    client.close(second)?;
    netns.wait_settled()?;
    let events = stop(tracer, &netns)?;
    let end = |event: &str, direction: &str| json!({"event": event, "connection": {"direction": direction}});
    expect::exactly(
        2,
        "the client's opens",
        &end("connect", "outbound"),
        &events,
    )?;
    expect::exactly(2, "the client's closes", &end("close", "outbound"), &events)?;
    let count = |event: &str| {
        let pattern = end(event, "inbound");
        events
            .iter()
            .filter(|event| expect::differences(&pattern, event).is_empty())
            .count()
    };
    let (accepts, closes) = (count("accept"), count("close"));
    // Either the server's ends are not told at all, or both are, from the handshake to the end.
    ensure!(
        accepts == closes && [0, 2].contains(&accepts),
        "{accepts} accepts, {closes} closes"
    );
    if accepts == 2 {
        let pattern = json!({"event": "accept", "evidence": {"process": "listener"}, "process": {"pid": server.pid()}});
        expect::exactly(2, "accepts by the listener", &pattern, &events)?;
    }
    expect::none(
        "a failure",
        &json!({"event": "fail", "connection": {"direction": "outbound"}}),
        &events,
    )?;
    Ok(())
}

/// As with a server that replaces itself, a manager that hands out sockets, a daemon that forks.
fn those_whose_owner_has_ended_are_who_holds_them() -> Result<()> {
    const ALONE: usize = 12;
    let netns = Netns::new()?;
    let mut tracer = Tracer::stream(&[])?;
    let (mut owner, mut heir) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let mut client = Agent::new(&netns)?;
    let mut held = Vec::new();
    for _ in 0..ALONE {
        let (slot, at) = owner.listen(Listen::at("127.0.0.1:0".parse()?))?;
        held.push((owner.pass(slot, &mut heir)?, at));
    }
    // Two at one address: it does not matter which of them gets a connection.
    let mut shared = Listen {
        reuse_port: true,
        ..Listen::at("127.0.0.1:0".parse()?)
    };
    for _ in 0..2 {
        let (slot, at) = owner.listen(shared)?;
        shared.at = at;
        held.push((owner.pass(slot, &mut heir)?, at));
    }
    // One that goes with its owner, which is not to be found anywhere.
    let (_, lost) = owner.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let (first, heir_pid) = (owner.pid(), heir.pid());
    owner.finish()?;
    let accept = |client: &mut Agent, heir: &mut Agent, (slot, at)| -> Result<SocketAddr> {
        let dialled = client.connect(at)?;
        let accepted = heir.accept(slot)?.socket()?;
        client.close(dialled.socket()?)?;
        heir.receive_end(accepted)?;
        heir.close(accepted)?;
        dialled.local()
    };
    // At once, and when it is known who has them now.
    let early = accept(&mut client, &mut heir, held[0])?;
    for (_, at) in &held {
        let mut pattern = listener("listen", *at, heir_pid);
        pattern["evidence"] = json!({"process": "scan"});
        tracer.wait_for("who holds a listener", |line| {
            line["listener"]["netns"] == netns.inode()
                && expect::differences(&pattern, line).is_empty()
        })?;
    }
    let mut late = Vec::new();
    for held in &held[..ALONE] {
        late.push(accept(&mut client, &mut heir, *held)?);
    }
    netns.wait_settled()?;
    heir.finish()?;
    let events = stop(tracer, &netns)?;
    for (event, pid) in [
        ("listen", first),
        ("unlisten", first),
        ("listen", heir_pid),
        ("unlisten", heir_pid),
    ] {
        for (_, at) in &held[..ALONE] {
            one("a listener", &listener(event, *at, pid), &events)?;
        }
        expect::exactly(2, "shared ones", &listener(event, shared.at, pid), &events)?;
    }
    one("a lost one", &listener("unlisten", lost, first), &events)?;
    expect::none("a lost one", &listener("listen", lost, heir_pid), &events)?;
    for (from, may_be_unknown) in
        std::iter::once((early, true)).chain(late.iter().map(|it| (*it, false)))
    {
        let pattern = json!({"event": "accept", "connection": {"client": endpoint(from)}});
        let accept = one("an accepted connection", &pattern, &events)?;
        let process = &accept["process"]["pid"];
        ensure!(
            *process == heir_pid || may_be_unknown && process.is_null(),
            "not by {heir_pid}: {accept}"
        );
    }
    Ok(())
}
