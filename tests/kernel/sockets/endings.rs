//! Ends of connections that are not a plain close().

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    expect::{self, endpoint},
    ledger::{self, Closer, End},
    netns::Netns,
    skip,
    suite::setting,
    tests,
    tracer::Tracer,
    traffic::{self, Serve, Share, Talk, Target},
};

use crate::{
    watch::told,
    world::{World, exchanged, failed_with},
};

tests!("endings":
    unread_payload_makes_a_close_a_reset,
    both_directions_shut_down_and_then_an_exit,
    the_death_of_a_process,
    the_silence_of_the_other_end,
    payload_for_one_that_is_gone,
    much_that_had_to_be_sent_again,
    an_idle_connection_outlives_thousands,
);

fn unread_payload_makes_a_close_a_reset() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let mut ends = Vec::new();
    for server_closes in [true, false] {
        let pair = world.connect()?;
        world.talk(&pair, 10)?;
        let (client, server) = (world.client_end(&pair), world.server_end(&pair));
        let (mut there, mut back) = (11, 1);
        // One byte more, which is not read.
        let ended = if server_closes {
            world.client.send(pair.dialled, 1)?;
            world.server.close(pair.accepted)?;
            let ended = world.client.receive_end(pair.dialled)?;
            world.client.close(pair.dialled)?;
            ended
        } else {
            (there, back) = (10, 2);
            world.server.send(pair.accepted, 1)?;
            world.client.close(pair.dialled)?;
            let ended = world.server.receive_end(pair.accepted)?;
            world.server.close(pair.accepted)?;
            ended
        };
        failed_with(&ended, Errno::CONNRESET)?;
        let (by_client, by_server) = if server_closes {
            (Closer::Remote, Closer::Local)
        } else {
            (Closer::Local, Closer::Remote)
        };
        let [client, server] = exchanged(client, server, there, back);
        ends.push(End {
            closed_by: Some(by_client),
            reset: server_closes,
            ..client
        });
        ends.push(End {
            closed_by: Some(by_server),
            reset: !server_closes,
            ..server
        });
    }
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

/// The connection is over before its process is, which never closes.
fn both_directions_shut_down_and_then_an_exit() -> Result<()> {
    let mut tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let pair = world.connect()?;
    world.talk(&pair, 10)?;
    let ends = world.ends(&pair, 10);
    world.client.shutdown_both(pair.dialled)?;
    world.server.receive_end(pair.accepted)?;
    world.server.close(pair.accepted)?;
    world.netns.wait_settled()?;
    let netns = world.netns.inode();
    tracer.wait_for("the end of the connection", |line| {
        line["event"] == "close"
            && line["connection"]["netns"] == netns
            && line["connection"]["direction"] == "outbound"
    })?;
    world.client.finish()?;
    world.server.finish()?;
    told(tracer, &[&world.netns], &ends, 0)?;
    Ok(())
}

/// Nothing of it moves while so many others come and go that a table which forgets what it has
/// not seen for long would have forgotten it. Hours would show the same.
fn an_idle_connection_outlives_thousands() -> Result<()> {
    let others = setting("TRACER_LEDGER", 20_000)? / 8;
    // Room for all that is open at once, by far; not for all.
    let tracer = Tracer::stream(&["--connections", &(others / 2).to_string()])?;
    let mut world = World::new()?;
    let begun = Instant::now();
    let pair = world.connect()?;
    let open = Instant::now();
    world.talk(&pair, 10)?;

    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let server = traffic::serve(
        &world.netns,
        &Serve {
            listen: vec!["127.0.0.1:0".parse()?],
            share: Share::Alone,
            talk: Talk::Full,
            ledger: folder.path().to_owned(),
        },
    )?;
    let plan = traffic::Dial {
        targets: vec![Target::plain(server.addresses[0])],
        count: others,
        talk: Talk::Full,
        first_port: 0,
        bound: 0,
        seed: 0,
        ledger: folder.path().to_owned(),
    };
    traffic::go(vec![traffic::dial(&world.netns, &plan)?])?;

    let idle = open.elapsed();
    world.talk(&pair, 20)?;
    world.finish(&pair)?;
    world.netns.wait_settled()?;
    let whole = begun.elapsed();
    server.helper.finish()?;
    let mut ends = ledger::read(folder.path())?;
    ensure!(
        ends.len() == 2 * others as usize,
        "the ledgers have {} ends",
        ends.len()
    );
    ends.extend(exchanged(
        world.client_end(&pair),
        world.server_end(&pair),
        30,
        2,
    ));
    let events = told(tracer, &[&world.netns], &ends, 0)?;
    let close = json!({"event": "close", "connection": {"client": endpoint(pair.from), "server": endpoint(world.at)}});
    for close in expect::exactly(2, "its ends", &close, &events)? {
        let duration = close["connection"]["duration_ns"].as_u64();
        let duration = Duration::from_nanos(duration.context("a duration")?);
        // Bounds by what happened before and after, not by how long anything should take.
        ensure!(
            idle <= duration && duration <= whole,
            "idle for {idle:?}, all in all {whole:?}: {close}"
        );
    }
    Ok(())
}

/// Killed processes close nothing themselves; the kernel does.
fn the_death_of_a_process() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut ends = Vec::new();
    let mut namespaces = Vec::new();
    for server_dies in [false, true] {
        let mut world = World::new()?;
        let pair = world.connect()?;
        world.talk(&pair, 10)?;
        let [client, server] = world.ends(&pair, 10);
        if server_dies {
            world.server.kill()?;
            world.client.receive_end(pair.dialled)?;
            world.client.close(pair.dialled)?;
            ends.push(End {
                closed_by: Some(Closer::Remote),
                ..client
            });
            ends.push(End {
                closed_by: Some(Closer::Local),
                ..server
            });
        } else {
            world.client.kill()?;
            world.server.receive_end(pair.accepted)?;
            world.server.close(pair.accepted)?;
            ends.extend([client, server]);
        }
        namespaces.push(world.netns);
    }
    let namespaces: Vec<_> = namespaces.iter().collect();
    told(tracer, &namespaces, &ends, 0)?;
    Ok(())
}

/// Neither end closed it first: the kernel gave it up.
fn the_silence_of_the_other_end() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let pair = world.connect()?;
    world.talk(&pair, 10)?;
    world.server.deafen(pair.accepted)?;
    world.client.user_timeout(pair.dialled, 300)?;
    world.client.send(pair.dialled, 5)?;
    failed_with(&world.client.receive_end(pair.dialled)?, Errno::TIMEDOUT)?;
    world.client.close(pair.dialled)?;
    // A FIN would wait for an answer.
    world.server.reset(pair.accepted)?;
    let [client, server] = exchanged(world.client_end(&pair), world.server_end(&pair), 15, 1);
    let ends = [
        End {
            closed_by: None,
            ..client
        },
        End {
            received: 10,
            closed_by: Some(Closer::Local),
            ..server
        },
    ];
    let events = told(tracer, &[&world.netns], &ends, 0)?;
    let close = json!({"event": "close", "connection": {"direction": "outbound", "closed_by": null,
        "errno": "ETIMEDOUT"}});
    let close = expect::one("the client's end", &close, &events)?;
    let again = close["connection"]["retransmits"].as_u64();
    ensure!(again > Some(0), "nothing was sent again: {close}");
    Ok(())
}

/// The client has said goodbye, and closed the socket that the server still writes to.
fn payload_for_one_that_is_gone() -> Result<()> {
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    let pair = world.connect()?;
    world.talk(&pair, 10)?;
    world.client.close(pair.dialled)?;
    world.server.receive_end(pair.accepted)?;
    world.server.send(pair.accepted, 5)?;
    // The answer to that was a reset.
    world.server.close(pair.accepted)?;
    let [client, server] = world.ends(&pair, 10);
    let server = End { sent: 6, ..server };
    world.netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(world.netns.inode(), &run.events()?);
    for (end, direction, errno) in [
        (client, "outbound", Value::Null),
        // The kernel's word for a reset where the other end had closed before.
        (server, "inbound", json!("EPIPE")),
    ] {
        let close = json!({"event": "close", "process": {"pid": end.closer},
            "connection": {"direction": direction, "sent_bytes": end.sent, "received_bytes": end.received,
                "closed_by": end.closed_by.map(Closer::name), "errno": errno}});
        expect::one("an end", &close, &events)?;
    }
    for (event, count) in [("connect", 1), ("accept", 1), ("close", 2), ("fail", 0)] {
        expect::exactly(count, "in all", &json!({"event": event}), &events)?;
    }
    Ok(())
}

/// Drops every twentieth packet or so, by whatever this kernel has for that.
fn lose_some(netns: &Netns) -> Result<()> {
    let netem: Vec<&str> = "qdisc add dev lo root netem loss 5%".split(' ').collect();
    let Err(netem) = netns.command("tc", &netem) else {
        return Ok(());
    };
    let rules = "add table inet t; add chain inet t input { type filter hook input priority 0; }; \
                 add rule inet t input numgen random mod 20 0 drop";
    match netns.command("nft", &[rules]) {
        Ok(_) => Ok(()),
        Err(nft) => skip::skip("lossy network", format!("{netem:#}; {nft:#}")),
    }
}

/// Every byte counts once however often it had to be sent.
fn much_that_had_to_be_sent_again() -> Result<()> {
    const PIECE: usize = 10_000;
    const PIECES: usize = 50;
    skip::need("ip")?;
    let tracer = Tracer::stream(&[])?;
    let mut world = World::new()?;
    // Small packets: enough of them that some are lost.
    for arguments in ["link set lo mtu 1500", "link set lo gso_max_segs 1"] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        world.netns.command("ip", &arguments)?;
    }
    lose_some(&world.netns)?;
    let pair = world.connect()?;
    for _ in 0..PIECES {
        world.client.send(pair.dialled, PIECE)?;
        world.server.receive(pair.accepted, PIECE)?;
    }
    world.finish(&pair)?;
    let bytes = (PIECE * PIECES) as u64;
    let ends = exchanged(world.client_end(&pair), world.server_end(&pair), bytes, 0);
    let events = told(tracer, &[&world.netns], &ends, 0)?;
    let close = json!({"event": "close", "connection": {"direction": "outbound"}});
    let close = expect::one("the client's end", &close, &events)?;
    let again = close["connection"]["retransmits"].as_u64();
    ensure!(again > Some(0), "nothing was sent again: {close}");
    Ok(())
}
