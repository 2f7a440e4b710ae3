//! Addresses that are replaced on the way: what was dialled, where it led, and both ends.

use std::net::{SocketAddr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    cgroup::Cgroup,
    expect,
    netns::Netns,
    skip, tests,
    tracer::Tracer,
};

use crate::failures::is_blind_to;

tests!("translated":
    by_the_firewall,
    by_the_firewall_of_another_namespace,
    by_a_program_of_a_control_group,
);

/// What is dialled: nobody has this address.
const DIALLED: &str = "10.96.0.17:80";

/// A connection from `client` to what it dialled, and back to nothing. Gives its port.
fn exchange(client: &mut Agent, server: &mut Agent, at: SocketAddr) -> Result<u16> {
    let (listener, at) = server.listen(Listen::at(at))?;
    ensure!(at.port() == 8080, "the port that is led to");
    let dialled = client.dial(Dial::to(DIALLED.parse()?))?;
    let port = dialled.local()?.port();
    let accepted = server.accept(listener)?.socket()?;
    client.close(dialled.slot.context("a socket")?)?;
    server.close(accepted)?;
    server.close(listener)?;
    Ok(port)
}

/// Both ends must tell where it led, and who is at the other end.
fn check(
    events: &[Value],
    clients: &Netns,
    (client, server): (&Agent, &Agent),
    (port, at, evidence): (u16, SocketAddr, &str),
) -> Result<()> {
    let own = json!({"process": {"pid": client.pid()}});
    let other = json!({"process": {"pid": server.pid()}});
    for kind in ["connect", "close"] {
        let line = expect::one(
            &format!("the client's {kind}"),
            &json!({
                "event": kind,
                "process": {"pid": client.pid()},
                "connection": {
                    "direction": "outbound",
                    "netns": clients.inode(),
                    "client": {"port": port},
                    "server": {"address": at.ip().to_string(), "port": at.port()},
                    "dialled": {"address": "10.96.0.17", "port": 80},
                },
                "evidence": {"address": evidence},
            }),
            events,
        )?;
        ensure!(
            kind == "connect" || line["peer"]["process"]["pid"] == other["process"]["pid"],
            "the client knows its server: {line}"
        );
    }
    for kind in ["accept", "close"] {
        let line = expect::one(
            &format!("the server's {kind}"),
            &json!({
                "event": kind,
                "process": {"pid": server.pid()},
                "connection": {"direction": "inbound", "server": {"port": at.port()}},
            }),
            events,
        )?;
        ensure!(
            line["peer"]["process"]["pid"] == own["process"]["pid"],
            "the server knows its client: {line}"
        );
    }
    Ok(())
}

/// Has the namespace lead what is dialled to `to`, or skips.
fn translate(netns: &Netns, hook: &str, to: SocketAddr) -> Result<()> {
    skip::need("nft")?;
    let rules = format!(
        "add table ip there; add chain ip there away {{ type nat hook {hook} priority -100; }}; \
         add rule ip there away ip daddr 10.96.0.17 tcp dport 80 dnat to {to}"
    );
    match netns.command("nft", &[&rules]) {
        Ok(_) => Ok(()),
        Err(error) => skip::skip("nft", format!("{error:#}")),
    }
}

fn by_the_firewall() -> Result<()> {
    let netns = Netns::new()?;
    let at: SocketAddr = "10.9.8.7:8080".parse()?;
    netns.command("ip", &["address", "add", "10.9.8.7", "dev", "lo"])?;
    netns.command("ip", &["route", "add", "10.96.0.0/16", "dev", "lo"])?;
    translate(&netns, "output", at)?;
    let (mut client, mut server) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let tracer = Tracer::stream(&[])?;
    let port = exchange(&mut client, &mut server, at)?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    check(
        &run.events()?,
        &netns,
        (&client, &server),
        (port, at, "conntrack"),
    )
}

/// As a pod's connection to a service is: made in one namespace, translated in another.
fn by_the_firewall_of_another_namespace() -> Result<()> {
    let (near, far) = Netns::pair()?;
    let at: SocketAddr = "10.9.8.7:8080".parse()?;
    far.command("ip", &["address", "add", "10.9.8.7", "dev", "lo"])?;
    let router = far_address(&far)?;
    near.command("ip", &["route", "add", "10.96.0.0/16", "via", &router])?;
    translate(&far, "prerouting", at)?;
    let (mut client, mut server) = (Agent::new(&near)?, Agent::new(&far)?);
    let tracer = Tracer::stream(&[])?;
    let port = exchange(&mut client, &mut server, at)?;
    near.wait_settled()?;
    far.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    check(
        &run.events()?,
        &near,
        (&client, &server),
        (port, at, "conntrack"),
    )
}

/// The IPv4 address of the cable's far end.
fn far_address(far: &Netns) -> Result<String> {
    let rows = far.command("ip", &["-json", "-4", "address"])?;
    let rows: Value = serde_json::from_str(&rows).context("read addresses")?;
    let addresses = rows.as_array().into_iter().flatten();
    let mut addresses = addresses
        .filter(|row| row["ifname"] != "lo")
        .filter_map(|row| row["addr_info"][0]["local"].as_str());
    Ok(addresses.next().context("an address")?.to_owned())
}

fn by_a_program_of_a_control_group() -> Result<()> {
    let netns = Netns::new()?;
    let at: SocketAddrV4 = "127.0.0.1:8080".parse()?;
    let group = Cgroup::leading_to(at)?;
    let (mut client, mut server) = (Agent::new(&netns)?, Agent::new(&netns)?);
    group.take(client.pid())?;
    let mut tracer = Tracer::stream(&[])?;
    let start = tracer.wait_for("start", |event| event["event"] == "start")?;
    if is_blind_to(&start, "replaced_addresses")? {
        tracer.stop()?;
        return skip::not_here("redirects", "these hooks do not see what a process dialled");
    }
    let port = exchange(&mut client, &mut server, at.into())?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    check(
        &run.events()?,
        &netns,
        (&client, &server),
        (port, at.into(), "rewrite"),
    )
}
