//! Recordings of several hosts, made into one map: private addresses that others use too, one
//! host behind a translation, one whose clock is wrong.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Dial, Listen},
    netns::Netns,
    play, skip, tests,
    tracer::{self, Tracer},
    traffic,
};

tests!("hosts":
    three_hosts_are_one_map,
);

/// What the clock of the second host is wrong by, nanoseconds.
const WRONG_BY: i128 = 2_000_000_000;

/// The gateway of the third host: hosts on the switch know it as 10.88.0.3.
const GATEWAY: &str = "
table ip nat {
    chain before { type nat hook prerouting priority -100; iif \"eth0\" tcp dport 8080 dnat to 10.0.0.2:80; }
    chain after { type nat hook postrouting priority 100; oif \"eth0\" masquerade; }
}";

/// An agent whose program has a name of its own.
fn agent(netns: &Netns, folder: &Path, name: &str) -> Result<Agent> {
    let program = play::program(folder, name)?;
    let mut command = std::process::Command::new(program);
    command
        .args(traffic::command("agent", &())?.get_args())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    netns.enter(&mut command);
    Agent::start(&mut command)
}

/// Three connections from one to the other: one that stays, and two that end.
fn talk(client: &mut Agent, to: SocketAddr, server: &mut Agent, at: SocketAddr) -> Result<()> {
    let (listener, _) = server.listen(Listen::at(at))?;
    for n in 0..3 {
        let dialled = client.connect(to)?.socket();
        let dialled = dialled.with_context(|| format!("connect with {to}"))?;
        let accepted = server.accept(listener)?.socket()?;
        client.send(dialled, 100)?;
        server.receive(accepted, 100)?;
        if n > 0 {
            client.close(dialled)?;
            server.receive_end(accepted)?;
            server.close(accepted)?;
        }
    }
    Ok(())
}

fn three_hosts_are_one_map() -> Result<()> {
    skip::need("ip")?;
    let (_switch, hosts) = Netns::switch(3)?;
    let [first, second, gateway] = &hosts[..] else {
        anyhow::bail!("three hosts");
    };
    // The third host is behind the gateway, on a network of its own.
    let third = Netns::new()?;
    gateway.command(
        "ip",
        &[
            "link", "add", "inside", "type", "veth", "peer", "name", "eth0-3",
        ],
    )?;
    gateway.command("ip", &["link", "set", "eth0-3", "netns", &third.path()])?;
    gateway.command("ip", &["addr", "add", "10.0.0.1/24", "dev", "inside"])?;
    gateway.command("ip", &["link", "set", "inside", "up"])?;
    third.command("ip", &["addr", "add", "10.0.0.2/24", "dev", "eth0-3"])?;
    third.command("ip", &["link", "set", "eth0-3", "up"])?;
    third.command("ip", &["route", "add", "default", "via", "10.0.0.1"])?;
    gateway.set("ipv4/ip_forward", "1")?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let rules = folder.path().join("gateway.nft");
    std::fs::write(&rules, GATEWAY).context("write the rules")?;
    let nft = skip::need("nft")?.display().to_string();
    if let Err(error) = gateway.command(&nft, &["-f", &rules.display().to_string()]) {
        return skip::skip("nft nat", error);
    }
    // The first host uses 10.0.0.2 as well, for something of its own.
    first.command("ip", &["addr", "add", "10.0.0.2/32", "dev", "lo"])?;

    let named = |netns, name| agent(netns, folder.path(), name);
    let (mut shop, mut cache) = (named(first, "shop")?, named(first, "cache")?);
    let (mut stock, mut audit) = (named(second, "stock")?, named(second, "audit")?);
    let (mut bank, mut batch) = (named(&third, "bank")?, named(&third, "batch")?);

    let tracers = (0..3)
        .map(|_| Tracer::stream(&[]))
        .collect::<Result<Vec<_>>>()?;
    let at = |text: &str| text.parse::<SocketAddr>().context("an address");
    talk(
        &mut shop,
        at("10.88.0.2:9000")?,
        &mut stock,
        at("10.88.0.2:9000")?,
    )?;
    // Translated on the way: dialled is the gateway, and the bank sees the gateway's address.
    talk(
        &mut audit,
        at("10.88.0.3:8080")?,
        &mut bank,
        at("10.0.0.2:80")?,
    )?;
    talk(
        &mut batch,
        at("10.88.0.1:7000")?,
        &mut shop,
        at("10.88.0.1:7000")?,
    )?;
    talk(
        &mut shop,
        at("10.0.0.2:80")?,
        &mut cache,
        at("10.0.0.2:80")?,
    )?;
    // Where nobody listens: the first host's own 10.0.0.2, and the third's.
    ensure!(
        shop.dial(Dial::to(at("10.0.0.2:81")?))?.socket().is_err(),
        "nobody listens there"
    );
    ensure!(
        batch.dial(Dial::to(at("10.0.0.2:81")?))?.socket().is_err(),
        "nobody listens there"
    );
    // Ends of connections that stay open.
    for (netns, open) in [(first, 4), (second, 2), (&third, 2)] {
        netns.wait_settled_but(open)?;
    }

    let mut files = Vec::new();
    for (n, (tracer, netns)) in tracers.into_iter().zip([first, second, &third]).enumerate() {
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let file = folder.path().join(format!("host-{n}.jsonl"));
        let wrong_by = if n == 1 { WRONG_BY } else { 0 };
        let lines = as_host(&run.events()?, n, netns, wrong_by)?;
        std::fs::write(&file, lines).context("write the recording")?;
        files.push(file);
    }
    // In whatever order they are named.
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    for order in orders {
        let mut command = tracer::command()?;
        command.args(["map", "-o", "json"]);
        for n in order {
            command.arg("--from").arg(&files[n]);
        }
        let run = tracer::output(&mut command)?;
        run.expect_code(0)?;
        judge(&serde_json::from_slice(&run.stdout).context("the map is JSON")?)?;
    }
    Ok(())
}

/// What a host would have recorded that sees this namespace alone, and whose clock is wrong.
fn as_host(events: &[Value], n: usize, netns: &Netns, wrong_by: i128) -> Result<String> {
    let mut lines = String::new();
    for event in events {
        let inode = event
            .pointer("/connection/netns")
            .or_else(|| event.pointer("/listener/netns"));
        if inode.is_some_and(|it| *it != json!(netns.inode())) {
            continue;
        }
        let mut event = event.clone();
        event["host"] = json!({"id": format!("machine-{n}"), "name": format!("host-{n}")});
        shift(&mut event, wrong_by)?;
        lines.push_str(&event.to_string());
        lines.push('\n');
    }
    Ok(lines)
}

/// Every time in `value`, as a clock tells it that is wrong.
fn shift(value: &mut Value, wrong_by: i128) -> Result<()> {
    match value {
        Value::Object(fields) => fields.values_mut().try_for_each(|it| shift(it, wrong_by)),
        Value::Array(items) => items.iter_mut().try_for_each(|it| shift(it, wrong_by)),
        Value::String(text) => {
            if let Ok(time) = humantime::parse_rfc3339(text) {
                let since = time.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
                let ns = u64::try_from(i128::try_from(since)? + wrong_by)?;
                let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
                *text = humantime::format_rfc3339_nanos(time).to_string();
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What was really so: client, server, port, connections, failures, and which ends told.
const TRUTH: [(&str, &str, u64, u64, u64, &str); 6] = [
    (
        "host-0/executable/shop",
        "10.0.0.2@host-0",
        81,
        0,
        1,
        "both",
    ),
    (
        "host-0/executable/shop",
        "host-0/executable/cache",
        80,
        3,
        0,
        "both",
    ),
    (
        "host-0/executable/shop",
        "host-1/executable/stock",
        9000,
        3,
        0,
        "both",
    ),
    (
        "host-1/executable/audit",
        "host-2/executable/bank",
        80,
        3,
        0,
        "both",
    ),
    (
        "host-2/executable/batch",
        "10.0.0.2@host-2",
        81,
        0,
        1,
        "both",
    ),
    (
        "host-2/executable/batch",
        "host-0/executable/shop",
        7000,
        3,
        0,
        "both",
    ),
];

fn judge(map: &Value) -> Result<()> {
    let edges = map["edges"].as_array().context("edges")?;
    let found: BTreeSet<_> = edges
        .iter()
        .map(|edge| {
            (
                edge["client"].as_str().unwrap_or_default(),
                edge["server"].as_str().unwrap_or_default(),
                edge["port"].as_u64().unwrap_or_default(),
                edge["established"].as_u64().unwrap_or_default(),
                edge["failed"]
                    .as_object()
                    .map_or(0, |it| it.values().filter_map(Value::as_u64).sum()),
                edge["evidence"]["ends"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    ensure!(found == TRUTH.into(), "{found:#?}\nis to be\n{TRUTH:#?}");
    ensure!(edges.len() == TRUTH.len(), "an edge is doubled: {edges:#?}");
    for edge in edges.iter().filter(|edge| edge["established"] == 3) {
        ensure!(edge["terminated"] == 2 && edge["live"] == 1, "{edge}");
        ensure!(
            // The one that is open has carried its part, too.
            edge["sent_bytes"] == 300 && edge["evidence"]["both"] == 3,
            "{edge}"
        );
    }
    ensure!(
        map["coverage"].as_array().map(Vec::len) == Some(3),
        "{}",
        map["coverage"]
    );
    Ok(())
}
