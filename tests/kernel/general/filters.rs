//! What is printed and what is not. All filters look at the same traffic at once.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    expect, init,
    netns::Netns,
    tests,
    tracer::Tracer,
};

tests!("filters": print_what_fits_and_nothing_else, do_not_change_the_totals);

/// What the traffic was, for filters and for those who check them.
struct World {
    netns: Netns,
    /// Listens and accepts, called `server-one`.
    server: Agent,
    /// Dials, called `client-one`.
    first: Agent,
    /// Dials, called `other`.
    second: Agent,
    v4: SocketAddr,
    v6: SocketAddr,
    dead: SocketAddr,
    /// Where `client-one` dials `v4` from.
    from: SocketAddr,
}

type Fits = fn(&World, &Value) -> bool;

fn pid(event: &Value) -> Option<u64> {
    event["process"]["pid"].as_u64()
}

fn comm(event: &Value) -> &str {
    event["process"]["comm"].as_str().unwrap_or_default()
}

/// Of all connections here it is known which end is the server's.
fn is_served_at(event: &Value, port: u16) -> bool {
    event["connection"]["server"]["port"] == port || event["listener"]["port"] == port
}

fn is_v6(event: &Value) -> bool {
    event["connection"]["family"] == "ipv6" || event["listener"]["address"] == "::1"
}

fn is_kind(event: &Value, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| event["event"] == *kind)
}

/// Arguments, made from the world, and what of the world's events they must let through.
fn filters(world: &World) -> Vec<(Vec<String>, Fits)> {
    let row = |args: &[&str], fits: Fits| (args.iter().map(|&arg| arg.to_owned()).collect(), fits);
    let first = world.first.pid().to_string();
    let port = world.v4.port().to_string();
    let from = world.from.port().to_string();
    vec![
        row(&[], |_, _| true),
        row(&["--pid", &first], |world, event| {
            pid(event) == Some(world.first.pid().into())
        }),
        row(&["--comm", "client-*"], |_, event| {
            comm(event) == "client-one"
        }),
        row(&["--comm", "*-one"], |_, event| {
            comm(event).ends_with("-one")
        }),
        // A client's port is no port that anybody serves.
        row(&["--port", &format!("{port},{from}")], |world, event| {
            is_served_at(event, world.v4.port())
        }),
        row(&["--port", &from], |_, _| false),
        row(&["--server-port", &port], |world, event| {
            is_served_at(event, world.v4.port())
        }),
        row(
            &["--client-port", &format!("{port},{from}")],
            |world, event| event["connection"]["client"]["port"] == world.from.port(),
        ),
        row(
            &["--server-port", &port, "--client-port", &from],
            |world, event| event["connection"]["client"]["port"] == world.from.port(),
        ),
        row(&["--direction", "out"], |_, event| {
            event["connection"]["direction"] == "outbound"
        }),
        row(&["--direction", "in"], |_, event| {
            event["connection"]["direction"] == "inbound"
        }),
        row(&["--event", "close"], |_, event| is_kind(event, &["close"])),
        row(&["--event", "connect,fail"], |_, event| {
            is_kind(event, &["connect", "fail"])
        }),
        row(&["--event", "listen,unlisten"], |_, event| {
            is_kind(event, &["listen", "unlisten"])
        }),
        row(&["--net", "::1/128"], |_, event| is_v6(event)),
        row(&["--net", "127.0.0.0/8"], |_, event| !is_v6(event)),
        row(&["--net", "10.0.0.0/8"], |_, _| false),
        row(&["--loopback", "only"], |_, _| true),
        row(&["--loopback", "hide"], |_, _| false),
        row(
            &["--event", "close", "--direction", "out", "--comm", "other"],
            |_, event| {
                is_kind(event, &["close"])
                    && event["connection"]["direction"] == "outbound"
                    && comm(event) == "other"
            },
        ),
    ]
}

/// Makes the processes, in time for filters by pid.
fn people() -> Result<World> {
    let netns = Netns::new()?;
    let (mut server, mut first, mut second) = (
        Agent::new(&netns)?,
        Agent::new(&netns)?,
        Agent::new(&netns)?,
    );
    server.rename(b"server-one")?;
    first.rename(b"client-one")?;
    second.rename(b"other")?;
    // Ports that are free, as somebody just gave them back.
    let mut free = |at: &str| -> Result<SocketAddr> {
        let (slot, address) = server.listen(Listen::at(at.parse()?))?;
        server.close(slot)?;
        Ok(address)
    };
    let (v4, v6, dead) = (free("127.0.0.1:0")?, free("[::1]:0")?, free("127.0.0.1:0")?);
    let from = free("127.0.0.1:0")?;
    Ok(World {
        netns,
        server,
        first,
        second,
        v4,
        v6,
        dead,
        from,
    })
}

/// Two processes each dial IPv4, IPv6, and one that refuses.
fn make_traffic(world: &mut World) -> Result<()> {
    for to in [world.v4, world.v6] {
        let (slot, _) = world.server.listen(Listen::at(to))?;
        let bound = Some(world.from).filter(|_| to == world.v4);
        for (client, from) in [(&mut world.first, bound), (&mut world.second, None)] {
            let dialled = client
                .dial(Dial {
                    from,
                    ..Dial::to(to)
                })?
                .socket()?;
            let accepted = world.server.accept(slot)?.socket()?;
            client.close(dialled)?;
            world.server.receive_end(accepted)?;
            world.server.close(accepted)?;
        }
        world.server.close(slot)?;
    }
    for client in [&mut world.first, &mut world.second] {
        let slot = client
            .dial(Dial::to(world.dead))?
            .slot
            .context("a socket")?;
        client.close(slot)?;
    }
    world.netns.wait_settled()
}

/// What tells an event from another, whichever tracer printed it.
fn essence(event: &Value) -> String {
    let mut essence = event.clone();
    if let Some(members) = essence.as_object_mut() {
        // Read from /proc, at a moment that differs.
        members.remove("process");
        members.remove("peer");
        members.remove("workload");
        members.remove("time");
    }
    if let Some(connection) = essence["connection"].as_object_mut() {
        // Measured by each tracer's own programs and clock.
        for measured in ["id", "opened", "connect_ns", "duration_ns", "rtt_ns"] {
            connection.remove(measured);
        }
    }
    format!("{} {essence}", event["process"]["pid"])
}

/// One row of each option, and of each combination: a tracer's start takes a second on an
/// emulated machine, and a filter is the same code on all of them.
fn one_of_each(rows: &mut Vec<(Vec<String>, Fits)>) {
    let mut seen = BTreeSet::new();
    rows.retain(|(args, _)| {
        let options: Vec<_> = args.iter().filter(|arg| arg.starts_with("--")).collect();
        seen.insert(format!("{options:?}"))
    });
}

fn print_what_fits_and_nothing_else() -> Result<()> {
    let mut world = people()?;
    let mut filters = filters(&world);
    if init::is_test_machine() {
        one_of_each(&mut filters);
    }
    let mut tracers = Vec::new();
    for (args, _) in &filters {
        // So many at once must fit into a small machine's memory.
        let small = ["--ring", "1M", "--connections", "4096"];
        let args: Vec<&str> = small
            .into_iter()
            .chain(args.iter().map(String::as_str))
            .collect();
        tracers.push(Tracer::stream(&args)?);
    }
    make_traffic(&mut world)?;
    let mut all: Option<Vec<Value>> = None;
    for (tracer, (args, fits)) in tracers.into_iter().zip(filters) {
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let printed = run.events()?;
        ensure!(
            printed.first().is_some_and(|line| line["event"] == "start"),
            "{args:?}: no start line"
        );
        ensure!(
            printed.last().is_some_and(|line| line["event"] == "stop"),
            "{args:?}: no stop line"
        );
        for event in &printed[1..printed.len() - 1] {
            let kind = event["event"].as_str().unwrap_or_default();
            // Of others on this machine nothing may be printed that does not fit, either; those
            // of our own namespace are compared below.
            ensure!(
                !args.contains(&"--event".to_owned())
                    || kind == "loss"
                    || args.iter().any(|arg| arg.split(',').any(|one| one == kind)),
                "{args:?} printed {event}"
            );
        }
        let here = expect::within(world.netns.inode(), &printed);
        let all = all.get_or_insert_with(|| here.clone());
        let mut expected: Vec<String> = all
            .iter()
            .filter(|event| fits(&world, event))
            .map(essence)
            .collect();
        let mut got: Vec<String> = here.iter().map(essence).collect();
        expected.sort();
        got.sort();
        let missing: Vec<&String> = expected
            .iter()
            .filter(|event| !got.contains(event))
            .collect();
        let extra: Vec<&String> = got
            .iter()
            .filter(|event| !expected.contains(event))
            .collect();
        ensure!(
            expected == got,
            "{args:?}: expected {} events, got {}\nmissing: {missing:#?}\ntoo much: {extra:#?}",
            expected.len(),
            got.len()
        );
    }
    // 4 connections of 4 events, 2 failures, 2 listeners of 2 events. What this host turns away
    // is not seen by every hook set.
    let mut all = all.unwrap_or_default();
    all.retain(|event| {
        !is_kind(event, &["fail"]) || event["connection"]["direction"] == "outbound"
    });
    ensure!(
        all.len() == 22,
        "without a filter {} events were printed, not 22:\n{all:#?}",
        all.len()
    );
    Ok(())
}

fn do_not_change_the_totals() -> Result<()> {
    let mut world = people()?;
    let tracer = Tracer::stream(&["--event", "fail", "--port", "1"])?;
    make_traffic(&mut world)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let totals = expect::sums(run.text()?.lines())?;
    for (kind, count) in [
        ("connect", 4),
        ("accept", 4),
        ("close", 8),
        ("fail", 2),
        ("listen", 2),
        ("unlisten", 2),
    ] {
        ensure!(
            totals[kind].delivered >= count,
            "{kind}: {count} were made: {totals:?}"
        );
    }
    Ok(())
}
