//! What is no failure, and what comes after one.

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen, Slot},
    expect::endpoint,
    tests,
};

use super::{Attempt, FAMILIES, Family, Seen, World, attempt, dead};

tests!("failures::afterwards":
    non_blocking_success_is_no_failure,
    refused_and_then_accepted_on_the_same_socket,
    a_failure_does_not_hide_the_next_connection,
);

/// Accepts the connection and ends it from the client's side, until nothing is left of it.
fn serve(
    world: &World,
    server: &mut Agent,
    listener: Slot,
    client: &mut Agent,
    slot: Slot,
) -> Result<()> {
    let accepted = server.accept(listener)?.socket()?;
    client.close(slot)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    world.netns.wait_settled()
}

/// Takes out the four lines of a connection that succeeded. Returns its id at the client's end.
fn succeeded(seen: &mut Seen, client: u32, to: std::net::SocketAddr) -> Result<Value> {
    let line = |event, direction| json!({"event": event, "connection": {"direction": direction, "server": endpoint(to)}});
    let mut ids = Vec::new();
    for event in ["connect", "close"] {
        let mut pattern = line(event, "outbound");
        pattern["process"] = json!({"pid": client});
        ids.push(seen.take("the client's end", &pattern)?["connection"]["id"].clone());
    }
    for event in ["accept", "close"] {
        seen.take("the server's end", &line(event, "inbound"))?;
    }
    ensure!(ids[0] == ids[1], "one end with two ids: {ids:?}");
    Ok(ids.swap_remove(0))
}

fn non_blocking_success_is_no_failure() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let mut reached = Vec::new();
    for family in FAMILIES {
        let (listener, to) = server.listen(Listen::at(family.loopback()))?;
        let (slot, _) = super::begin(&mut client, family.dial(to))?;
        let answer = client.outcome(slot)?;
        ensure!(answer.errno.is_none(), "{answer:?}");
        serve(&world, &mut server, listener, &mut client, slot)?;
        reached.push(to);
    }
    let mut seen = world.finish()?;
    for to in reached {
        succeeded(&mut seen, client.pid(), to)?;
    }
    seen.nothing_more()
}

fn refused_and_then_accepted_on_the_same_socket() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let nobody = dead(&mut server, Family::V4.loopback())?;
    let (listener, alive) = server.listen(Listen::at(Family::V4.loopback()))?;
    let answer = client.dial(Dial::to(nobody))?;
    ensure!(
        answer.errno == Some(Errno::CONNREFUSED.raw_os_error()),
        "{answer:?}"
    );
    let refused = Attempt::new(client.pid(), answer.local()?.port(), nobody);
    let slot = answer.slot.context("a socket")?;
    let answer = client.dial(Dial {
        again: Some(slot),
        ..Dial::to(alive)
    })?;
    ensure!(answer.errno.is_none(), "{answer:?}");
    serve(&world, &mut server, listener, &mut client, slot)?;

    let mut seen = world.finish()?;
    let all = seen.events.clone();
    seen.refused(&[refused])?;
    let id = succeeded(&mut seen, client.pid(), alive)?;
    seen.nothing_more()?;
    let other = |event: &&Value| event["event"] == "fail" && event["connection"]["id"] == id;
    ensure!(
        !all.iter().any(|event| other(&event)),
        "both attempts have the id {id}"
    );
    Ok(())
}

/// From the same port to the same port: first nobody listens, then somebody does.
fn a_failure_does_not_hide_the_next_connection() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let to = dead(&mut server, Family::V4.loopback())?;
    let dial = Dial {
        from: Some(dead(&mut server, Family::V4.loopback())?),
        ..Dial::to(to)
    };
    let refused = attempt(&mut client, dial, Errno::CONNREFUSED)?;
    let (listener, _) = server.listen(Listen::at(to))?;
    let slot = client.dial(dial)?.socket()?;
    serve(&world, &mut server, listener, &mut client, slot)?;
    let mut seen = world.finish()?;
    seen.refused(&[refused])?;
    succeeded(&mut seen, client.pid(), to)?;
    seen.nothing_more()
}
