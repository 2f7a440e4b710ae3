//! What connections that are open have carried, against what was really sent.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tracer_tests::{
    expect::{self, endpoint, one},
    hold::Held,
    init,
    netns::Netns,
    storm::Storm,
    tests,
    tracer::{self, Process, Tracer, live_command},
    wait,
};

use crate::world::{Pair, World};

tests!("totals":
    what_is_open_is_told_at_the_stop,
    a_recording_gives_the_live_map,
    nobody_is_told_who_asks_for_other_kinds,
    many_at_once_fit_any_ring,
    at_a_stop_amid_a_storm,
);

/// Payload each way, from the client first.
type Carried = (u64, u64);

/// Of one that was there before, one that carries, one that is idle and one that is over.
struct Open {
    world: World,
    pairs: Vec<(Pair, Carried)>,
    over: Pair,
}

impl Open {
    /// Makes them; in between `start` begins to watch, and has met the first one when it returns.
    fn new<T>(start: impl FnOnce(&World, &Pair) -> Result<T>) -> Result<(Self, T)> {
        let mut world = World::new()?;
        let before = world.connect()?;
        world.talk(&before, 700)?;
        let watching = start(&world, &before)?;
        let (busy, idle, over) = (world.connect()?, world.connect()?, world.connect()?);
        world.talk(&busy, 40_000)?;
        world.talk(&busy, 2000)?;
        world.talk(&before, 300)?;
        world.talk(&over, 10)?;
        world.finish(&over)?;
        world.netns.wait_settled_but(6)?;
        let pairs = vec![(before, (1000, 2)), (busy, (42_000, 2)), (idle, (0, 0))];
        Ok((Self { world, pairs, over }, watching))
    }

    /// What all of them carried.
    fn sum(&self) -> Carried {
        let carried = self.pairs.iter().map(|(_, carried)| carried);
        carried.fold((10, 1), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }
}

/// Both ends of it were found.
fn meet(tracer: &mut Tracer, pair: &Pair) -> Result<()> {
    for direction in ["outbound", "inbound"] {
        tracer.wait_for("a connection to be found", |event| {
            event["event"] == "existing"
                && event["connection"]["direction"] == direction
                && event["connection"]["client"] == endpoint(pair.from)
        })?;
    }
    Ok(())
}

/// The lines of one end, in their order.
fn lines_of<'a>(direction: &str, from: SocketAddr, events: &'a [Value]) -> Vec<&'a Value> {
    let is = |event: &&Value| {
        let connection = &event["connection"];
        connection["direction"] == direction && connection["client"] == endpoint(from)
    };
    events.iter().filter(is).collect()
}

/// What an edge between these ends carried in all, in a map.
fn carried(map: &[u8], port: u16) -> Result<Carried> {
    let map: Value = serde_json::from_slice(map).context("the map is JSON")?;
    let edges = map["edges"].as_array().context("edges")?;
    let edges = edges.iter().filter(|edge| edge["port"] == port);
    let number = |edge: &Value, name: &str| edge[name].as_u64().unwrap_or_default();
    Ok(edges.fold((0, 0), |sum, edge| {
        (
            sum.0 + number(edge, "sent_bytes"),
            sum.1 + number(edge, "received_bytes"),
        )
    }))
}

fn map_of(file: &Path) -> Result<Vec<u8>> {
    let mut command = tracer::command()?;
    command.args(["map", "-o", "json", "--from"]).arg(file);
    let run = tracer::output(&mut command)?;
    run.expect_code(0)?;
    Ok(run.stdout)
}

fn what_is_open_is_told_at_the_stop() -> Result<()> {
    let (open, tracer) = Open::new(|_, before| {
        let mut tracer = Tracer::stream(&[])?;
        meet(&mut tracer, before)?;
        Ok(tracer)
    })?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let all = run.events()?;
    expect::well_formed(&all)?;
    let totals = expect::sums(run.text()?.lines())?;
    ensure!(totals["totals"].seen >= 6, "{totals:?}");
    let stop = run.only("stop")?;
    let until = stop["coverage"]["to"].as_str().context("the end")?;
    let world = &open.world;
    let events = expect::within(world.netns.inode(), &all);
    for (pair, (there, back)) in &open.pairs {
        for (direction, pid, sent, received) in [
            ("outbound", world.client.pid(), there, back),
            ("inbound", world.server.pid(), back, there),
        ] {
            let lines = lines_of(direction, pair.from, &events);
            let [opening, totals] = lines[..] else {
                anyhow::bail!("not an opening and totals: {lines:#?}");
            };
            let expected = json!({
                "event": "totals",
                "connection": {
                    "id": opening["connection"]["id"],
                    "existing": opening["connection"]["existing"],
                    "sent_bytes": sent,
                    "received_bytes": received,
                    "retransmits": 0,
                    "closed_by": null,
                },
                "process": {"pid": pid},
            });
            let wrong = expect::differences(&expected, totals);
            ensure!(wrong.is_empty(), "{wrong:?} in {totals}");
            let time = totals["time"].as_str().context("its time")?;
            ensure!(time <= until, "after {until}: {totals}");
        }
    }
    for direction in ["outbound", "inbound"] {
        let lines = lines_of(direction, open.over.from, &events);
        let totals = lines.iter().filter(|line| line["event"] == "totals");
        ensure!(totals.count() == 0, "of what is over: {lines:#?}");
    }
    Ok(())
}

fn a_recording_gives_the_live_map() -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("run.jsonl");
    let (open, process) = Open::new(|_, before| {
        let mut command = live_command("map", &["-o", "json", "--save"])?;
        let process = Process::spawn(command.arg(&file), true)?;
        wait::until("both ends to be found", || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let from = endpoint(before.from).to_string();
            let is_found = |line: &&str| line.contains("\"existing\"") && line.contains(&from);
            Ok((text.lines().filter(is_found).count() == 2).then_some(()))
        })?;
        Ok(process)
    })?;
    process.signal(Signal::INT)?;
    let run = process.finish()?;
    run.expect_code(0)?;
    let port = open.world.at.port();
    let (live, sum) = (carried(&run.stdout, port)?, open.sum());
    ensure!(live == sum, "the map says {live:?}, it were {sum:?}");
    let recorded = map_of(&file)?;
    ensure!(recorded == run.stdout, "the recording gives another map");
    Ok(())
}

fn nobody_is_told_who_asks_for_other_kinds() -> Result<()> {
    let of = |kinds: &str| -> Result<Vec<Value>> {
        let mut world = World::new()?;
        let tracer = Tracer::stream(&["--event", kinds])?;
        let pair = world.connect()?;
        world.talk(&pair, 100)?;
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let events = run.events()?;
        let stop = one("the account", &json!({"event": "stop"}), &events)?.clone();
        let mut lines = expect::within(world.netns.inode(), &events);
        lines.push(stop);
        Ok(lines)
    };
    let [client, server, _] = &of("totals")?[..] else {
        anyhow::bail!("not one for each end");
    };
    ensure!(client["event"] == "totals" && server["event"] == "totals");
    let [stop] = &of("close")?[..] else {
        anyhow::bail!("something else was told");
    };
    ensure!(stop["totals"]["totals"]["seen"] == 0, "{stop}");
    Ok(())
}

/// More than the ring has room for.
fn many_at_once_fit_any_ring() -> Result<()> {
    let count = if init::is_test_machine() { 400 } else { 5000 };
    let ring = if init::is_test_machine() { "64K" } else { "1M" };
    let netns = Netns::new()?;
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let tracer = Tracer::stream(&["--event", "totals", "--ring", ring])?;
    let held = Held::open(&netns, count, folder.path().to_owned())?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    held.close()?;
    let totals = expect::sums(run.text()?.lines())?;
    ensure!(totals["totals"].lost() == 0, "{totals:?}");
    let mut told = BTreeMap::new();
    for line in expect::within(netns.inode(), &run.events()?) {
        let connection = &line["connection"];
        let [sent, received] = ["sent_bytes", "received_bytes"].map(|it| connection[it].as_u64());
        let expected = match connection["direction"].as_str() {
            Some("outbound") => (Some(300), Some(1700)),
            _ => (Some(1700), Some(300)),
        };
        ensure!((sent, received) == expected, "{line}");
        told.insert(connection["id"].to_string(), expected);
    }
    ensure!(
        told.len() == 2 * count,
        "{} of {} ends",
        told.len(),
        2 * count
    );
    Ok(())
}

/// Whatever else happens: what is held has its totals, and no totals come after an end.
fn at_a_stop_amid_a_storm() -> Result<()> {
    let count = if init::is_test_machine() { 50 } else { 500 };
    let netns = Netns::new()?;
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let storm = Storm::new()?;
    let mut tracer = Tracer::stream(&[])?;
    tracer.make_room(if init::is_test_machine() {
        20_000
    } else {
        1_000_000
    });
    let held = Held::open(&netns, count, folder.path().to_owned())?;
    let stopped = AtomicBool::new(false);
    let run = std::thread::scope(|scope| -> Result<_> {
        let blowing = scope.spawn(|| -> Result<()> {
            while !stopped.load(Ordering::Relaxed) {
                storm.blow(2, if init::is_test_machine() { 100 } else { 2000 })?;
            }
            Ok(())
        });
        let inode = storm.netns.inode();
        let blows =
            |event: &Value| event["connection"]["netns"] == inode && event["event"] == "close";
        let run = tracer
            .wait_for("the storm to blow", blows)
            .and_then(|_| tracer.stop());
        stopped.store(true, Ordering::Relaxed);
        blowing
            .join()
            .map_err(|_| anyhow!("the storm panicked"))??;
        run
    })?;
    run.expect_code(0)?;
    held.close()?;
    let events = run.events()?;
    let totals = expect::sums(run.text()?.lines())?;
    ensure!(totals["totals"].lost() == 0, "{totals:?}");
    let stop = run.only("stop")?;
    let until = stop["coverage"]["to"].as_str().context("the end")?;
    let mut over = HashSet::new();
    let mut told = HashMap::new();
    for event in events.iter().filter(|it| it["connection"].is_object()) {
        let id = event["connection"]["id"].as_str().context("its id")?;
        match event["event"].as_str() {
            Some("close") => {
                over.insert(id);
            }
            Some("totals") => {
                ensure!(!over.contains(id), "it was over: {event}");
                ensure!(
                    event["time"].as_str() <= Some(until),
                    "after {until}: {event}"
                );
                told.insert(id, &event["connection"]);
            }
            _ => {}
        }
    }
    let held = told.values().filter(|it| it["netns"] == netns.inode());
    let carried = held
        .filter(|it| it["sent_bytes"].as_u64() >= Some(300))
        .count();
    ensure!(carried == 2 * count, "{carried} of {} ends", 2 * count);
    Ok(())
}
