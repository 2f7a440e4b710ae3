//! What was there before tracer.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen, Slot},
    bpf,
    expect::{self, endpoint, one},
    hold::Held,
    ledger::{self, End, Side, rfc3339},
    netns::Netns,
    skip,
    suite::setting,
    tests,
    tracer::Tracer,
    traffic::{self, Serve, Share, Talk, Target},
};

tests!("existing":
    amid_thousands_of_connections_and_a_storm,
    the_direction_is_proven_or_absent,
    an_attempt_under_way_is_told_when_it_is_decided,
    a_second_look_finds_nothing_to_repair,
    an_end_that_nobody_told_is_found,
    what_another_socket_left_is_not_taken_for_an_accept,
    what_another_socket_left_has_no_part_in_a_close,
    what_was_reset_in_the_queue_is_over_when_it_is_accepted,
);

fn amid_thousands_of_connections_and_a_storm() -> Result<()> {
    let count = setting("TRACER_HELD", 5000)?;
    let storms = setting("TRACER_STORM", 200_000)?.div_ceil(10);
    let netns = Netns::new()?;
    let held_folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let storm_folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let held = Held::open(&netns, count as usize, held_folder.path().to_owned())?;
    let server = traffic::serve(
        &netns,
        &Serve {
            listen: vec!["0.0.0.0:0".parse()?],
            share: Share::Alone,
            talk: Talk::Storm,
            ledger: storm_folder.path().to_owned(),
        },
    )?;
    let target = Target {
        to: SocketAddr::new([127, 0, 0, 1].into(), server.addresses[0].port()),
        mapped: false,
        spread: true,
    };
    let gust = |seed| {
        let plan = traffic::Dial {
            targets: vec![target],
            count: storms,
            talk: Talk::Storm,
            first_port: 0,
            bound: 0,
            seed,
            ledger: storm_folder.path().to_owned(),
        };
        traffic::go(vec![traffic::dial(&netns, &plan)?])
    };
    let started = AtomicBool::new(false);
    let (mut tracer, from) = std::thread::scope(|scope| -> Result<_> {
        let storm = scope.spawn(|| -> Result<()> {
            // It blows when tracer starts and a while longer, however long that takes.
            for seed in 0.. {
                let last = started.load(Ordering::Relaxed);
                gust(seed)?;
                if last {
                    break;
                }
            }
            Ok(())
        });
        let tracer = Tracer::stream(&[]).and_then(|mut tracer| {
            let from = tracer.wait_for("the first line", |event| event["event"] == "start")?;
            Ok((tracer, from))
        });
        started.store(true, Ordering::Relaxed);
        storm.join().map_err(|_| anyhow!("the storm panicked"))??;
        tracer
    })?;
    let found = Cell::new(0);
    tracer.wait_for("all that is held", |event| {
        if event["event"] == "existing" && event["process"]["pid"] != server.helper.pid() {
            found.set(found.get() + 1);
        }
        found.get() == 2 * count
    })?;
    held.close()?;
    netns.wait_settled()?;
    server.helper.finish()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    expect::sums(run.text()?.lines())?;

    let events = expect::within(netns.inode(), &run.events()?);
    let missed = run.missed()?;
    let mut held = ledger::read(held_folder.path())?;
    ensure!(
        held.len() == 2 * count as usize,
        "{} ends were held",
        held.len()
    );
    for end in &mut held {
        end.existing = true;
    }
    let ports: BTreeSet<u16> = held.iter().map(|end| end.server.port()).collect();
    let (of_held, of_storm): (Vec<Value>, Vec<Value>) = events
        .into_iter()
        .filter(|event| event["connection"].is_object())
        .partition(|event| {
            let port = event["connection"]["server"]["port"].as_u64();
            ports.iter().any(|held| Some(u64::from(*held)) == port)
        });
    let lines: Vec<String> = of_held.iter().map(Value::to_string).collect();
    expect::score(&held, lines.iter().map(String::as_str))?.verdict(missed)?;
    let started = from["time"].as_str().context("the time of the start")?;
    let storm = ledger::read(storm_folder.path())?;
    Lives::of(&of_storm)?.check_storm(&storm, started, missed)
}

/// Everything that was told, by `connection.id`.
struct Lives<'a> {
    /// How each began.
    beginnings: Vec<&'a Value>,
    /// By side and the two ends.
    by_ends: BTreeMap<(Side, SocketAddr, SocketAddr), Vec<usize>>,
}

impl<'a> Lives<'a> {
    /// Each has one beginning and one end.
    fn of(events: &'a [Value]) -> Result<Self> {
        let mut by_id: BTreeMap<&str, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for event in events {
            let Some(id) = event["connection"]["id"].as_str() else {
                continue;
            };
            let (beginnings, closes) = by_id.entry(id).or_default();
            match event["event"].as_str() {
                Some("connect" | "accept" | "existing") => {
                    ensure!(closes.is_empty(), "it began after its end: {event}");
                    beginnings.push(event);
                }
                Some("close") => closes.push(event),
                // Its outcome was missed, and says so; its end is missing below.
                Some("fail") if event["evidence"]["end"] == "scan" => {}
                _ => bail!("an event that should not be: {event}"),
            }
        }
        by_id.retain(|_, (beginnings, closes)| !(beginnings.is_empty() && closes.is_empty()));
        let mut lives = Vec::new();
        let mut by_ends: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (id, (beginnings, closes)) in by_id {
            let ([beginning], [close]) = (&beginnings[..], &closes[..]) else {
                bail!("{id}: beginnings {beginnings:#?}, ends {closes:#?}");
            };
            let direction = &beginning["connection"]["direction"];
            ensure!(
                *direction == close["connection"]["direction"],
                "the direction changed: {beginning} {close}"
            );
            if let Some(side) = match direction.as_str() {
                Some("outbound") => Some(Side::Client),
                Some("inbound") => Some(Side::Server),
                _ => None,
            } {
                let end = |name: &str| address(&close["connection"][name]);
                let key = (side, end("client")?, end("server")?);
                by_ends.entry(key).or_default().push(lives.len());
            }
            lives.push(*beginning);
        }
        Ok(Self {
            beginnings: lives,
            by_ends,
        })
    }

    /// Of the storm, part was over before: no more was told than there was, and nothing of
    /// what began later is missing, but what `missed` runs had told.
    fn check_storm(&self, ends: &[End], started: &str, missed: u64) -> Result<()> {
        let mut made: BTreeMap<_, (usize, usize)> = BTreeMap::new();
        let mut later = 0;
        for end in ends {
            let key = |side| (side, end.client, end.server);
            made.entry(key(end.side)).or_default().0 += 1;
            // The client's clock counts for both: a server may accept what is over already.
            if end.side == Side::Client && rfc3339(end.at).as_str() > started {
                for side in [Side::Client, Side::Server] {
                    made.entry(key(side)).or_default().1 += 1;
                    later += 1;
                }
            }
        }
        ensure!(later > 0, "the storm was over before tracer came");
        let mut existing = 0;
        for (key, told) in &self.by_ends {
            let (all, _) = made
                .get(key)
                .with_context(|| format!("invented: {key:?}"))?;
            ensure!(told.len() <= *all, "{key:?}: told {} of {all}", told.len());
            existing += told
                .iter()
                .filter(|n| self.beginnings[**n]["event"] == "existing")
                .count();
        }
        let mut missing: Vec<&(Side, SocketAddr, SocketAddr)> = Vec::new();
        for (key, (_, after)) in &made {
            let told = self.by_ends.get(key).map_or(0, Vec::len);
            missing.extend((told..*after).map(|_| key));
        }
        ensure!(
            missing.len() as u64 <= missed,
            "{missed} runs were missed, and {} ends: {:?}",
            missing.len(),
            missing.first()
        );
        println!(
            "existing: {} ends of the storm, {later} of them begun under tracer's eyes, {existing} \
             found as existing",
            ends.len()
        );
        Ok(())
    }
}

fn address(end: &Value) -> Result<SocketAddr> {
    let ip = end["address"].as_str().context("an address")?.parse()?;
    let port = u16::try_from(end["port"].as_u64().context("a port")?)?;
    Ok(SocketAddr::new(ip, port))
}

/// An established connection: the client's socket and the server's.
struct Pair {
    dialled: Slot,
    accepted: Slot,
    client: SocketAddr,
    server: SocketAddr,
}

/// Every history that leaves other numbers in the counters of which the direction is read.
fn the_direction_is_proven_or_absent() -> Result<()> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let (gone, gone_at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut pair = |listening, at| -> Result<Pair> {
        let dialled = client.connect(at)?;
        let accepted = server.accept(listening)?.socket()?;
        Ok(Pair {
            client: dialled.local()?,
            dialled: dialled.socket()?,
            accepted,
            server: at,
        })
    };
    let (silent, talked, half_closed, orphaned) = (
        pair(listening, at)?,
        pair(listening, at)?,
        pair(listening, at)?,
        pair(gone, gone_at)?,
    );
    client.send(talked.dialled, 100_000)?;
    server.receive(talked.accepted, 100_000)?;
    server.send(talked.accepted, 33)?;
    client.receive(talked.dialled, 33)?;
    client.shutdown(half_closed.dialled)?;
    server.receive_end(half_closed.accepted)?;
    // The listener goes, its connection stays.
    server.close(gone)?;

    let mut tracer = Tracer::stream(&[])?;
    tracer.wait_for("the last connection", |event| {
        event["event"] == "existing" && event["connection"]["local"] == endpoint(gone_at)
    })?;
    for pair in [&silent, &talked, &half_closed, &orphaned] {
        client.close(pair.dialled)?;
        server.receive_end(pair.accepted)?;
        server.close(pair.accepted)?;
    }
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    for pair in [&silent, &talked, &half_closed, &orphaned] {
        for event in ["existing", "close"] {
            let pattern = json!({
                "event": event,
                "connection": {
                    "direction": "outbound",
                    "client": endpoint(pair.client),
                    "server": endpoint(pair.server),
                },
                "process": {"pid": client.pid()},
                "evidence": {"direction": "handshake"},
            });
            one("the end that dialled", &pattern, &events)?;
        }
    }
    for pair in [&silent, &talked, &half_closed] {
        for event in ["existing", "close"] {
            let pattern = json!({
                "event": event,
                "connection": {
                    "direction": "inbound",
                    "client": endpoint(pair.client),
                    "server": endpoint(pair.server),
                },
                "process": {"pid": server.pid()},
                "evidence": {"direction": "listener"},
            });
            one("the end that was dialled", &pattern, &events)?;
        }
    }
    for event in ["existing", "close"] {
        let pattern = json!({
            "event": event,
            "connection": {
                "direction": null,
                "local": endpoint(orphaned.server),
                "remote": endpoint(orphaned.client),
            },
            "process": {"pid": server.pid()},
            "evidence": {"direction": "unknown"},
        });
        one("an end whose listener is gone", &pattern, &events)?;
    }
    Ok(())
}

fn an_attempt_under_way_is_told_when_it_is_decided() -> Result<()> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (_, deaf) = server.listen(Listen {
        deaf: true,
        ..Listen::at("127.0.0.1:0".parse()?)
    })?;
    let dialled = client.dial(Dial {
        nonblocking: true,
        ..Dial::to(deaf)
    })?;
    let slot = dialled.slot.context("a socket")?;
    let (_, open) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut tracer = Tracer::stream(&["--rescan", "200ms"])?;
    // The second look comes after the first is over.
    tracer.wait_for("the listeners", |event| {
        event["event"] == "listen" && event["listener"]["port"] == open.port()
    })?;
    client.close(slot)?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    let events = expect::within(netns.inode(), &run.events()?);
    let pattern = json!({
        "event": "fail",
        "connection": {"direction": "outbound", "server": endpoint(deaf)},
        "failure": {"reason": "abandoned"},
    });
    one("the attempt", &pattern, &events)?;
    expect::none("a connection", &json!({"event": "existing"}), &events)
}

/// Where an entry of tracer's table of connections, a `tracer_common::Connection`, has the port of
/// the other end.
pub(super) const REMOTE_PORT: std::ops::Range<usize> = 58..60;

/// An entry for a connection of which nobody knows any more.
pub(super) fn long_gone() -> [u8; 144] {
    let mut entry = [0; 144];
    // Begun under tracer's eyes, and established; the flow from byte 24 on; then, from byte 120 on,
    // outbound, and reported.
    let now = clock_gettime(ClockId::Boottime);
    let now_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    entry[..8].copy_from_slice(&now_ns.to_ne_bytes());
    entry[8..16].copy_from_slice(&now_ns.to_ne_bytes());
    entry[24..28].copy_from_slice(&[192, 0, 2, 1]);
    entry[40..44].copy_from_slice(&[192, 0, 2, 2]);
    entry[56..58].copy_from_slice(&40_000_u16.to_ne_bytes());
    entry[REMOTE_PORT].copy_from_slice(&5432_u16.to_ne_bytes());
    entry[60..62].copy_from_slice(&2_u16.to_ne_bytes());
    entry[120] = 1;
    entry[123] = 1;
    entry
}

/// What is told of it when it is found.
fn end_of_long_gone() -> Value {
    json!({
        "event": "close",
        "connection": {
            "direction": "outbound",
            "client": {"address": "192.0.2.1", "port": 40_000},
            "server": {"address": "192.0.2.2", "port": 5432},
            "sent_bytes": null,
            "duration_ns": null,
            "closed_by": null,
        },
        "process": null,
        "evidence": {"end": "scan"},
    })
}

/// Makes it that the accepted end of the connection from this port has not been told of: what is
/// in its place in tracer's table is of one that had the same socket's memory before.
fn leave_behind(client: SocketAddr) -> Result<()> {
    let map = bpf::Map::newest("CONNECTIONS")?;
    let port = client.port().to_ne_bytes();
    let entries = map.entries()?;
    let mut of_server = entries.iter().filter(|it| it.1[REMOTE_PORT] == port);
    let (place, _) = of_server.next().context("no entry of the accepted end")?;
    ensure!(of_server.next().is_none(), "several ends have that port");
    map.put(place, &long_gone())
}

fn what_another_socket_left_is_not_taken_for_an_accept() -> Result<()> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut tracer = Tracer::stream(&[])?;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    if hooks == "tracepoint" {
        return skip::not_here(
            "accept()",
            "these hooks see handshakes, not accept() itself",
        );
    }
    let dialled = client.connect(at)?;
    leave_behind(dialled.local()?)?;
    let accepted = server.accept(listening)?.socket()?;
    client.close(dialled.socket()?)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    netns.wait_settled()?;

    let run = tracer.stop()?;
    run.expect_code(0)?;
    let all = run.events()?;
    one("the end of the other", &end_of_long_gone(), &all)?;
    let events = expect::within(netns.inode(), &all);
    for event in ["accept", "close"] {
        let pattern = json!({"event": event, "process": {"pid": server.pid()},
            "connection": {"direction": "inbound", "server": endpoint(at),
                "client": endpoint(dialled.local()?), "existing": true}});
        one("the accepted end", &pattern, &events)?;
    }
    expect::exactly(4, "event of two ends", &json!({"connection": {}}), &events)?;
    Ok(())
}

fn what_another_socket_left_has_no_part_in_a_close() -> Result<()> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let tracer = Tracer::stream(&[])?;
    let dialled = client.connect(at)?;
    let accepted = server.accept(listening)?.socket()?;
    leave_behind(dialled.local()?)?;
    server.close(accepted)?;
    client.receive_end(dialled.socket()?)?;
    client.close(dialled.socket()?)?;
    netns.wait_settled()?;

    let run = tracer.stop()?;
    run.expect_code(0)?;
    let all = run.events()?;
    one("the end of the other", &end_of_long_gone(), &all)?;
    let events = expect::within(netns.inode(), &all);
    let pattern = json!({"event": "close", "process": {"pid": server.pid()},
        "connection": {"server": endpoint(at), "client": endpoint(dialled.local()?),
            "existing": true}});
    one("the end that was closed first", &pattern, &events)?;
    Ok(())
}

/// A connection in tracer's table at an address where there is no socket: as if the kernel had
/// told neither its end nor that of its socket.
fn an_end_that_nobody_told_is_found() -> Result<()> {
    const NOWHERE: u64 = 0xffff_8880_0000_0040;
    let pattern = end_of_long_gone();
    // By the next look, or at the stop.
    for args in [&["--rescan", "50ms"][..], &[]] {
        let mut tracer = Tracer::stream(args)?;
        bpf::Map::newest("CONNECTIONS")?.put(&NOWHERE.to_ne_bytes(), &long_gone())?;
        if !args.is_empty() {
            tracer.wait_for("the end", |event| event["evidence"]["end"] == "scan")?;
        }
        let run = tracer.stop()?;
        run.expect_code(0)?;
        one("the end", &pattern, &run.events()?)?;
        let stop = run.only("stop")?;
        ensure!(stop["repaired"]["closed"] == 1, "not counted: {stop}");
        expect::sums(run.text()?.lines())?;
    }
    Ok(())
}

fn a_second_look_finds_nothing_to_repair() -> Result<()> {
    let netns = Netns::new()?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut tracer = Tracer::stream(&["--rescan", "50ms"])?;
    for _ in 0..3 {
        let dialled = client.connect(at)?.socket()?;
        let accepted = server.accept(listening)?.socket()?;
        // A listener of its own shows that tracer has looked around meanwhile.
        let (_, mark) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
        tracer.wait_for("the mark", |event| {
            event["event"] == "listen" && event["listener"]["port"] == mark.port()
        })?;
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
    }
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let stop = run.only("stop")?;
    ensure!(
        stop["repaired"] == json!({"opened": 0, "closed": 0}),
        "something was repaired: {stop}"
    );
    let events = expect::within(netns.inode(), &run.events()?);
    for (count, event) in [(3, "connect"), (3, "accept"), (6, "close"), (0, "existing")] {
        expect::exactly(count, event, &json!({"event": event}), &events)?;
    }
    Ok(())
}

/// Its process is told of the reset as it reads, and takes the error away before it closes the socket.
fn what_was_reset_in_the_queue_is_over_when_it_is_accepted() -> Result<()> {
    let netns = Netns::new()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let dialled = client.connect(at)?;
    client.reset(dialled.socket()?)?;
    let mut tracer = Tracer::stream(&[])?;
    let hooks = tracer.wait_for("the start line", |_| true)?["tracer"]["hooks"].clone();
    let accepted = server.accept(listener)?.socket()?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(netns.inode(), &run.events()?);
    let ends =
        json!({"direction": "inbound", "existing": true, "client": endpoint(dialled.local()?)});
    if hooks == "tracepoint" {
        // Nobody sees accept(), and it was over before.
        return expect::none(
            "its end",
            &json!({"event": "close", "connection": ends}),
            &events,
        );
    }
    let mut close = ends.clone();
    close["closed_by"] = json!("remote");
    close["errno"] = json!("ECONNRESET");
    one(
        "the accept",
        &json!({"event": "accept", "connection": ends}),
        &events,
    )?;
    one(
        "the close",
        &json!({"event": "close", "connection": close}),
        &events,
    )?;
    Ok(())
}
