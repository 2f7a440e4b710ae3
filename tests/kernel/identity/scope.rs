//! Addresses that each link has: which link is part of who it is.

use std::net::{SocketAddr, SocketAddrV6};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen, Slot},
    expect,
    netns::Netns,
    tests,
    tracer::{self, Tracer},
};

use crate::failures::is_blind_to;

tests!("scope":
    one_address_on_two_links_is_two_machines,
    an_address_of_ones_own_is_on_its_link,
);

/// `fe80::N` on the link of this interface.
fn on_link(n: u16, interface: u32, port: u16) -> SocketAddr {
    SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, n].into(), port, 0, interface).into()
}

/// As tracer prints it.
fn end(n: u16, interface: u32, port: u16) -> Value {
    json!({"address": format!("fe80::{n}%{interface}"), "port": port})
}

/// A connection and both of its sockets.
struct Open {
    client: Slot,
    server: Slot,
    from: u16,
}

fn open(client: &mut Agent, to: SocketAddr, server: &mut Agent, listener: Slot) -> Result<Open> {
    let dialled = client.connect(to)?;
    Ok(Open {
        client: dialled.socket()?,
        server: server.accept(listener)?.socket()?,
        from: dialled.local()?.port(),
    })
}

fn close(open: &Open, client: &mut Agent, server: &mut Agent) -> Result<()> {
    client.close(open.client)?;
    server.receive_end(open.server)?;
    server.close(open.server)
}

/// An attempt that fails so. Gives its port.
fn fail(client: &mut Agent, to: SocketAddr, errno: Errno) -> Result<u16> {
    let answer = client.dial(Dial::to(to))?;
    ensure!(
        answer.errno == Some(errno.raw_os_error()),
        "{to}: {answer:?} in place of {errno}"
    );
    client.close(answer.slot.context("a socket")?)?;
    Ok(answer.local.map_or(0, |it| it.port()))
}

/// The link at the place `n`, as its two ends number it.
fn link(n: usize) -> (u32, u32) {
    (11 + n as u32, 21 + n as u32)
}

/// Every address of these lines has a scope.
fn all_have_scopes(events: &[Value]) -> Result<()> {
    let mut ends = 0;
    for event in events {
        let connection = &event["connection"];
        let listener = &event["listener"];
        let places = [&connection["client"], &connection["server"], listener];
        for place in places {
            if let Some(address) = place["address"].as_str() {
                ensure!(address.contains('%'), "no scope: {event}");
                ends += 1;
            }
        }
        ensure!(
            connection["local"].is_null(),
            "a direction is known: {event}"
        );
    }
    ensure!(ends > 0, "no address was told");
    Ok(())
}

fn one_address_on_two_links_is_two_machines() -> Result<()> {
    let (near, far) = Netns::links()?;
    let mut client = Agent::new(&near)?;
    let mut servers = [Agent::new(&far[0])?, Agent::new(&far[1])?];
    // The same port on both, and one where nobody listens.
    let (slot, dead) = servers[0].listen(Listen::at(on_link(2, 21, 0)))?;
    servers[0].close(slot)?;
    let dead = dead.port();
    let (first, at) = servers[0].listen(Listen::at(on_link(2, 21, 0)))?;
    let (second, _) = servers[1].listen(Listen::at(on_link(2, 22, at.port())))?;
    let (listeners, port) = ([first, second], at.port());
    let mut before = Vec::new();
    for (n, server) in servers.iter_mut().enumerate() {
        let to = on_link(2, link(n).0, port);
        before.push(open(&mut client, to, server, listeners[n])?);
    }
    let tracer = Tracer::stream(&[])?;
    let (mut seen, mut refused) = (Vec::new(), Vec::new());
    for (n, server) in servers.iter_mut().enumerate() {
        let to = on_link(2, link(n).0, port);
        let opened = open(&mut client, to, server, listeners[n])?;
        close(&opened, &mut client, server)?;
        seen.push(opened.from);
        let dead = on_link(2, link(n).0, dead);
        refused.push(fail(&mut client, dead, Errno::CONNREFUSED)?);
        close(&before[n], &mut client, server)?;
    }
    // No such link: nothing leaves.
    let nowhere = client.dial(Dial::to(on_link(2, 99, port)))?;
    ensure!(
        nowhere.errno.is_some(),
        "there is no interface 99: {nowhere:?}"
    );
    for (server, listener) in servers.iter_mut().zip(listeners) {
        server.close(listener)?;
    }
    for netns in [&near, &far[0], &far[1]] {
        netns.wait_settled()?;
    }
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;

    let here = expect::within(near.inode(), &events);
    all_have_scopes(&here)?;
    for n in [0, 1] {
        let (own, other) = link(n);
        let there = expect::within(far[n].inode(), &events);
        all_have_scopes(&there)?;
        let pids = (client.pid(), servers[n].pid());
        for (port_of_client, kinds) in [
            (seen[n], ["connect", "accept", "close"]),
            (before[n].from, ["existing", "existing", "close"]),
        ] {
            for (kind, events, scope, (own, peer)) in [
                (kinds[0], &here, own, pids),
                (kinds[2], &here, own, pids),
                (kinds[1], &there, other, (pids.1, pids.0)),
                (kinds[2], &there, other, (pids.1, pids.0)),
            ] {
                let line = expect::one(
                    &format!("{kind} on link {n}"),
                    &json!({"event": kind, "process": {"pid": own}, "connection": {
                        "client": end(1, scope, port_of_client),
                        "server": end(2, scope, port),
                    }}),
                    events,
                )?;
                // Whoever is told of first does not know the other yet.
                ensure!(
                    kind != "close" || line["peer"]["process"]["pid"] == peer,
                    "the other end is known: {line}"
                );
            }
        }
        let failed = |scope| {
            json!({"event": "fail", "connection": {
                "client": end(1, scope, refused[n]), "server": end(2, scope, dead),
            }})
        };
        expect::one("refused at the client", &failed(own), &here)?;
        if !is_blind_to(&events[0], "not_listening")? {
            expect::one("refused at the server", &failed(other), &there)?;
        }
        for kind in ["listen", "unlisten"] {
            let listener = end(2, other, port);
            expect::one(
                &format!("{kind} on link {n}"),
                &json!({"event": kind, "listener": listener, "process": {"pid": pids.1}}),
                &there,
            )?;
        }
    }
    if !is_blind_to(&events[0], "failures_before_syn")? {
        let server = json!({"connection": {"server": end(2, 99, port)}});
        expect::one("no such link", &server, &here)?;
    }
    replayed(run.text()?, (port, dead))
}

/// What is read back is what was told, a filter takes one link, and a map has two machines.
fn replayed(text: &str, (port, dead): (u16, u16)) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("recording");
    std::fs::write(&file, text)?;
    let ask = |words: &str| -> Result<String> {
        let mut command = tracer::command()?;
        command.args(words.split(' ')).arg("--from").arg(&file);
        let run = tracer::output(&mut command)?;
        run.expect_code(0)?;
        Ok(run.text()?.to_owned())
    };
    let again = ask("stream -o json")?;
    let links = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("fe80::"));
        lines.map(str::to_owned).collect()
    };
    ensure!(
        links(&again) == links(text),
        "a recording is read as it was written"
    );
    let one = links(&ask("stream -o json --net fe80::2%11")?);
    ensure!(
        !one.is_empty() && one.iter().all(|line| line.contains("fe80::2%11")),
        "one link alone: {one:#?}"
    );
    let all = links(&ask("stream -o json --net fe80::/10")?);
    ensure!(all == links(text), "all links");
    // Nobody serves that port, so what was dialled is but an address.
    let map: Value =
        serde_json::from_str(&ask(&format!("map -o json --port {dead} --direction out"))?)?;
    let nodes = map["nodes"].as_array().context("nodes")?;
    let mut names: Vec<&str> = nodes
        .iter()
        .filter(|node| node["kind"] == "remote")
        .filter_map(|node| node["name"].as_str())
        .collect();
    names.sort_unstable();
    ensure!(
        names == ["fe80::2%11", "fe80::2%12"],
        "two machines: {names:?}"
    );
    // Both ends of the rest were seen, so no address is left in their map.
    let map: Value = serde_json::from_str(&ask(&format!(
        "map -o json --port {port} --event existing,connect,accept,close"
    ))?)?;
    let nodes = map["nodes"].as_array().context("nodes")?;
    let remotes: Vec<&Value> = nodes
        .iter()
        .filter(|node| node["kind"] == "remote")
        .collect();
    ensure!(remotes.is_empty(), "both ends join: {remotes:?}");
    Ok(())
}

/// The kernel takes such packets through `lo`, and means the link all the same.
fn an_address_of_ones_own_is_on_its_link() -> Result<()> {
    let (near, _far) = Netns::links()?;
    let (mut client, mut server) = (Agent::new(&near)?, Agent::new(&near)?);
    let (slot, dead) = server.listen(Listen::at(on_link(1, 12, 0)))?;
    server.close(slot)?;
    let tracer = Tracer::stream(&[])?;
    let (listener, at) = server.listen(Listen::at("[::]:0".parse()?))?;
    let to = on_link(1, 12, at.port());
    let opened = open(&mut client, to, &mut server, listener)?;
    close(&opened, &mut client, &mut server)?;
    let from = fail(&mut client, dead, Errno::CONNREFUSED)?;
    server.close(listener)?;
    near.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    let here = expect::within(near.inode(), &events);
    for kind in ["connect", "accept"] {
        let connection = json!({
            "client": end(1, 12, opened.from), "server": end(1, 12, at.port()),
        });
        expect::one(
            kind,
            &json!({"event": kind, "connection": connection}),
            &here,
        )?;
    }
    for event in here.iter().filter(|event| event["event"] == "fail") {
        let ends = [
            &event["connection"]["client"],
            &event["connection"]["server"],
        ];
        ensure!(
            ends == [&end(1, 12, from), &end(1, 12, dead.port())],
            "on the link: {event}"
        );
    }
    // Who listens everywhere does so on no link.
    let listening = json!({"event": "listen", "listener": {"address": "::", "port": at.port()}});
    expect::one("listen", &listening, &here).map(drop)
}
