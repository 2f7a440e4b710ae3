//! The formats of the map, read by those they are for: Graphviz, networkx, Python's csv, Mermaid
//! and a browser. What `-o json` says is what the others must say.
//!
//! A reader that is not on this machine is a skip that shows. `TRACER_REQUIRE` makes it a failure:
//! `dot`, `python3`, `networkx`, `yaml`, `chromium`, `mermaid`, `nft`, `systemd-analyze`.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracer_tests::{
    expect,
    skip::{Skip, need, skip},
    tracer::{Run, command, output},
};

/// Names that try to be more than names.
const APP: &str = "</script><script>alert(1)</script>";
const REPORT: &str = "=cmd|'/c calc'!A1";
const RED: &str = "\u{1b}[31mred\n\u{202e}\"; n0 -> n1; \"";
const DATABASE: &str = "db\"]|%%{init:{}}%%&lt;`x`\\n.internal";

/// The release of Mermaid that is asked; the newest of its kind when this was written.
const MERMAID: &str = "mermaid@11.17.2";

/// Says that a reader is missing, as libtest knows no skip at run time.
pub(super) fn or_skip(result: Result<()>) -> Result<()> {
    let Err(error) = result else { return Ok(()) };
    let skip = error.downcast::<Skip>()?;
    // Unlike `eprintln!`, libtest does not swallow this line.
    writeln!(std::io::stderr(), "skipped: {skip}")?;
    Ok(())
}

/// Writes the lines of a small system, as `tracer stream` would.
struct Lines {
    text: String,
    seconds: u32,
    connections: u32,
    totals: std::collections::BTreeMap<&'static str, u32>,
}

impl Lines {
    fn new() -> Self {
        let mut lines = Self {
            text: String::new(),
            seconds: 0,
            connections: 0,
            totals: Default::default(),
        };
        let tracer =
            json!({"version": "0.1.0", "hooks": "fentry", "kernel": "6.1.0", "arch": "x86_64"});
        lines.push("start", json!({"tracer": tracer, "blind": []}));
        lines
    }

    fn time(&self) -> String {
        format!(
            "2026-11-22T01:{:02}:{:02}.000000000Z",
            self.seconds / 60,
            self.seconds % 60
        )
    }

    fn push(&mut self, event: &'static str, fields: Value) {
        self.seconds += 1;
        *self.totals.entry(event).or_default() += 1;
        let mut line = json!({"v": 1, "time": self.time(), "event": event, "host": {"id": "6f1c0b6e", "name": "web<1>"}});
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        self.text.push_str(&line.to_string());
        self.text.push('\n');
    }

    fn listen(&mut self, who: &Who, port: u16) {
        let listener = json!({"address": "0.0.0.0", "port": port, "backlog": 128, "netns": NETNS});
        self.push(
            "listen",
            with(
                who,
                json!({"listener": listener, "evidence": {"process": "hook"}}),
            ),
        );
    }

    /// One connection from its beginning to its end, as the given ends saw it.
    fn connection(&mut self, client: End, server: End, port: u16) {
        self.connections += 1;
        let handshake = format!("{:016x}", 0x1000 + self.connections);
        let opened = self.time();
        let ends = [
            (client, server, "outbound", "connect"),
            (server, client, "inbound", "accept"),
        ];
        for last in [false, true] {
            for (own, other, direction, first) in ends {
                let Some(who) = own.who else { continue };
                let mut connection = self.plain(direction, client, server, port, other.address);
                let event = if last { "close" } else { first };
                let more = json!({"handshake": handshake, "opened": opened, "existing": false});
                merge(&mut connection, more);
                if direction == "outbound" {
                    merge(&mut connection, json!({"connect_ns": 184_223}));
                }
                if last {
                    let (sent, received) = if direction == "outbound" {
                        (1_204, 88_172)
                    } else {
                        (88_172, 1_204)
                    };
                    merge(
                        &mut connection,
                        json!({"duration_ns": 9_120_331, "sent_bytes": sent, "received_bytes": received, "rtt_ns": 201_000, "retransmits": 0, "closed_by": if direction == "outbound" { "local" } else { "remote" }}),
                    );
                }
                let evidence = evidence(server.name.filter(|_| direction == "outbound"));
                self.push(
                    event,
                    with(who, json!({"connection": connection, "evidence": evidence})),
                );
            }
        }
    }

    fn refused(&mut self, client: End, server: End, port: u16) {
        self.connections += 1;
        let Some(who) = client.who else { return };
        let mut connection = self.plain("outbound", client, server, port, server.address);
        merge(
            &mut connection,
            json!({"existing": false, "duration_ns": 90_000}),
        );
        let failure = json!({"phase": "remote", "reason": "refused", "errno": "ECONNREFUSED"});
        let evidence = evidence(server.name);
        self.push(
            "fail",
            with(
                who,
                json!({"connection": connection, "failure": failure, "evidence": evidence}),
            ),
        );
    }

    fn plain(&self, direction: &str, client: End, server: End, port: u16, other: &str) -> Value {
        let mut to = json!({"address": server.address, "port": port});
        if let Some(name) = server.name
            && direction == "outbound"
        {
            merge(&mut to, json!({"name": name}));
        }
        let class = if other.starts_with("127.") {
            "loopback"
        } else {
            "private"
        };
        json!({
            "id": format!("{:x}{:08x}", 0x9c40 + self.connections, u8::from(direction == "inbound")), "direction": direction, "family": "ipv4", "netns": NETNS,
            "client": {"address": client.address, "port": 40_000 + self.connections}, "server": to, "remote_class": class,
        })
    }

    fn stop(mut self) -> String {
        let kinds = [
            "existing", "connect", "accept", "close", "fail", "listen", "unlisten", "exec", "exit",
            "fork", "cgroup", "dns", "redirect",
        ];
        let totals: serde_json::Map<_, _> = kinds
            .iter()
            .map(|kind| {
                let seen = self.totals.get(kind).copied().unwrap_or_default();
                let tally = json!({"seen": seen, "delivered": seen, "ring_full": 0, "table_full": 0, "undecodable": 0});
                ((*kind).to_owned(), tally)
            })
            .collect();
        let coverage = json!({"from": "2026-11-22T01:00:01.000000000Z", "to": self.time()});
        let rest = json!({"totals": totals, "missed": 0, "repaired": {"opened": 0, "closed": 0}, "cost": {"cpu_ns": 1}, "coverage": coverage});
        self.push("stop", rest);
        self.text
    }
}

const NETNS: u64 = 4_026_531_840;

/// A process and what it belongs to.
struct Who {
    pid: u32,
    comm: &'static str,
    kind: &'static str,
    workload: &'static str,
}

/// One end of a connection.
#[derive(Clone, Copy)]
struct End<'a> {
    address: &'static str,
    name: Option<&'static str>,
    who: Option<&'a Who>,
}

fn here(who: &Who) -> End<'_> {
    End {
        address: "127.0.0.1",
        name: None,
        who: Some(who),
    }
}

fn away(address: &'static str, name: Option<&'static str>) -> End<'static> {
    End {
        address,
        name,
        who: None,
    }
}

fn with(who: &Who, mut fields: Value) -> Value {
    let process = json!({"pid": who.pid, "ppid": 1, "uid": 33, "comm": who.comm, "exe": format!("/usr/bin/{}", who.pid), "args": [who.comm, RED], "started": "2026-11-20T17:40:11.020000000Z"});
    merge(
        &mut fields,
        json!({"process": process, "workload": {"kind": who.kind, "name": who.workload}}),
    );
    fields
}

/// How a line is known, with how its name is.
fn evidence(name: Option<&str>) -> Value {
    match name {
        Some(_) => json!({"process": "hook", "direction": "handshake", "name": "dns"}),
        None => json!({"process": "hook", "direction": "handshake"}),
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// nginx → an application → a database that refuses, and a cache; beside them what has odd names.
fn stream() -> String {
    let who = |pid, comm, kind, workload| Who {
        pid,
        comm,
        kind,
        workload,
    };
    let nginx = who(100, "nginx", "systemd", "nginx.service");
    let app = who(200, "app", "container", APP);
    let cache = who(300, "redis-server", "systemd", "redis-server.service");
    let report = who(400, REPORT, "executable", REPORT);
    let red = who(500, "red", "executable", RED);
    let database = away("10.0.0.9", Some(DATABASE));
    let mut lines = Lines::new();
    lines.listen(&nginx, 443);
    lines.listen(&app, 8080);
    lines.listen(&cache, 6379);
    for _ in 0..4 {
        lines.connection(
            away("198.51.100.7", None),
            End {
                address: "10.0.0.5",
                ..here(&nginx)
            },
            443,
        );
        lines.connection(here(&nginx), here(&app), 8080);
        lines.connection(here(&app), here(&cache), 6379);
    }
    lines.connection(here(&report), here(&cache), 6379);
    lines.connection(
        End {
            address: "10.0.0.5",
            ..here(&report)
        },
        database,
        5432,
    );
    lines.connection(
        End {
            address: "10.0.0.5",
            ..here(&red)
        },
        database,
        5432,
    );
    for _ in 0..3 {
        lines.refused(
            End {
                address: "10.0.0.5",
                ..here(&app)
            },
            database,
            5432,
        );
    }
    lines.stop()
}

/// The map of the stream, in one format, in a file of this folder.
fn export(folder: &TempDir, format: &str) -> Result<PathBuf> {
    let (from, to) = (
        folder.path().join("stream.jsonl"),
        folder.path().join(format!("map.{format}")),
    );
    fs::write(&from, stream())?;
    let run = output(
        command()?
            .args(["map", "--from"])
            .arg(&from)
            .args(["-o", format]),
    )?;
    run.expect_code(0)?;
    expect::harmless(&run.stdout).with_context(|| format!("-o {format}"))?;
    fs::write(&to, &run.stdout)?;
    Ok(to)
}

/// What the other formats are compared with.
struct Map(Value);

impl Map {
    fn of(folder: &TempDir) -> Result<Self> {
        let map = Self(serde_json::from_slice(&fs::read(export(folder, "json")?)?)?);
        // What every comparison relies on.
        let names: BTreeSet<_> = map.names().into_iter().collect();
        for name in ["nginx.service", APP, REPORT, RED, DATABASE] {
            ensure!(names.contains(name), "{name:?} is not in {names:?}");
        }
        ensure!(map.failing() == 1, "one edge fails: {:#}", map.0["edges"]);
        Ok(map)
    }

    fn nodes(&self) -> &[Value] {
        self.0["nodes"].as_array().map_or(&[], Vec::as_slice)
    }

    fn edges(&self) -> &[Value] {
        self.0["edges"].as_array().map_or(&[], Vec::as_slice)
    }

    fn names(&self) -> Vec<&str> {
        self.nodes()
            .iter()
            .filter_map(|node| node["name"].as_str())
            .collect()
    }

    fn failing(&self) -> usize {
        self.edges()
            .iter()
            .filter(|edge| edge["state"] == "failed")
            .count()
    }

    fn node(&self, id: &Value) -> Option<&Value> {
        self.nodes().iter().find(|node| node["id"] == *id)
    }
}

/// Runs a reader, which must find nothing to complain about.
fn quietly(command: &mut Command) -> Result<Run> {
    let run = output(command)?;
    run.expect_code(0)?;
    ensure!(run.stderr.is_empty(), "it complains: {}", run.stderr);
    Ok(run)
}

/// A Python that has this module. Those of Debian are for Debian's Python, which need not be the first one
/// in `PATH`.
pub(super) fn python_with(module: &str) -> Result<PathBuf> {
    let pythons = [need("python3")?, PathBuf::from("/usr/bin/python3")];
    let has_module = |python: &PathBuf| {
        let run = output(Command::new(python).args(["-c", &format!("import {module}")]));
        run.is_ok_and(|run| run.status.success())
    };
    match pythons.into_iter().find(has_module) {
        Some(python) => Ok(python),
        None => skip(module, "Python has no such module"),
    }
}

/// A Python, and this script's answer about a file.
pub(super) fn python(python: &Path, script: &str, file: &Path) -> Result<Value> {
    let run = quietly(Command::new(python).args(["-c", script]).arg(file))?;
    serde_json::from_slice(&run.stdout).context("read what Python said")
}

#[test]
fn graphviz_draws_the_dot() -> Result<()> {
    or_skip((|| {
        let dot = need("dot")?;
        let folder = TempDir::new()?;
        let map = Map::of(&folder)?;
        let run = quietly(Command::new(dot).arg("-Tsvg").arg(export(&folder, "dot")?))?;
        let svg = run.text()?;
        let count = |class| svg.matches(&format!("class=\"{class}\"")).count();
        ensure!(
            count("node") == map.nodes().len(),
            "{} nodes: {svg}",
            count("node")
        );
        ensure!(
            count("edge") == map.edges().len(),
            "{} edges: {svg}",
            count("edge")
        );
        ensure!(count("cluster") == 1, "one host: {svg}");
        let text = unescaped(svg);
        for name in [
            "nginx.service",
            APP,
            REPORT,
            "web<1>",
            "FAILED :5432, refused 3",
        ] {
            ensure!(text.contains(name), "{name:?} is not in the picture: {svg}");
        }
        ensure!(!svg.contains("<script"), "a name became an element: {svg}");
        Ok(())
    })())
}

#[test]
fn networkx_reads_the_graphml() -> Result<()> {
    const SCRIPT: &str = "
import json, sys, networkx
graph = networkx.read_graphml(sys.argv[1])
print(json.dumps({'graph': graph.graph, 'nodes': [data for _, data in graph.nodes(data=True)],
  'edges': [dict(data, client=graph.nodes[a]['id'], server=graph.nodes[b]['id']) for a, b, data in graph.edges(data=True)]}))";
    or_skip((|| {
        let with_networkx = python_with("networkx")?;
        let folder = TempDir::new()?;
        let map = Map::of(&folder)?;
        let read = python(&with_networkx, SCRIPT, &export(&folder, "graphml")?)?;
        ensure!(read["graph"]["generated"] == map.0["generated"], "{read:#}");
        let nodes = read["nodes"].as_array().context("nodes")?;
        ensure!(nodes.len() == map.nodes().len(), "{nodes:#?}");
        for node in map.nodes() {
            let id = xml(&node["id"]);
            let found = nodes.iter().find(|it| it["id"] == id);
            let found = found.with_context(|| format!("no node {id}"))?;
            ensure!(
                found["label"] == xml(&node["name"]),
                "{found:#} is not {node:#}"
            );
            ensure!(found["kind"] == node["kind"], "{found:#} is not {node:#}");
        }
        let edges = read["edges"].as_array().context("edges")?;
        ensure!(edges.len() == map.edges().len(), "{edges:#?}");
        for edge in map.edges() {
            let found = edges.iter().find(|it| {
                it["client"] == xml(&edge["client"])
                    && it["server"] == xml(&edge["server"])
                    && it["port"] == edge["port"]
            });
            let found = found.with_context(|| format!("no edge {edge:#}"))?;
            for field in [
                "state",
                "established",
                "terminated",
                "live",
                "live_at_start",
                "sent_bytes",
                "received_bytes",
                "retransmits",
                "first_seen",
                "last_seen",
            ] {
                ensure!(
                    found[field] == edge[field],
                    "{field} of {found:#} is not that of {edge:#}"
                );
            }
            let failed = found["failed"].as_str().unwrap_or_default();
            ensure!(
                failed == pairs(&edge["failed"]),
                "{found:#} is not {edge:#}"
            );
        }
        Ok(())
    })())
}

#[test]
fn python_reads_the_csv() -> Result<()> {
    const SCRIPT: &str = "
import csv, json, sys
print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True))))";
    or_skip((|| {
        let python3 = need("python3")?;
        let folder = TempDir::new()?;
        let map = Map::of(&folder)?;
        let read = python(&python3, SCRIPT, &export(&folder, "csv")?)?;
        let rows = read.as_array().context("rows")?;
        ensure!(rows.len() == map.edges().len(), "{rows:#?}");
        // The order is that of the map.
        for (row, edge) in rows.iter().zip(map.edges()) {
            ensure!(
                row.get("").is_none() && !row.to_string().contains("null"),
                "cells without a column: {row:#}"
            );
            for field in [
                "port",
                "state",
                "established",
                "live",
                "sent_bytes",
                "received_bytes",
                "first_seen",
                "last_seen",
            ] {
                let said = edge[field]
                    .as_str()
                    .map_or_else(|| edge[field].to_string(), str::to_owned);
                ensure!(
                    row[field] == said,
                    "{field} of {row:#} is not that of {edge:#}"
                );
            }
            ensure!(
                row["failed"] == pairs(&edge["failed"]),
                "{row:#} is not {edge:#}"
            );
            for end in ["client", "server"] {
                let cell = row[end].as_str().unwrap_or_default();
                ensure!(!cell.starts_with(['=', '+', '-', '@']), "a formula: {cell}");
                let name = map
                    .node(&edge[end])
                    .map_or("", |node| node["name"].as_str().unwrap_or_default());
                // The others are told apart by the unit tests; here only what is as it was.
                if name == APP || name == "nginx.service" {
                    ensure!(cell == name, "{cell:?} is not {name:?}");
                }
                if name == REPORT {
                    ensure!(cell == format!("'{name}"), "{cell:?} is not guarded");
                }
            }
        }
        Ok(())
    })())
}

#[test]
fn mermaid_draws_the_mermaid() -> Result<()> {
    or_skip((|| {
        let chromium = need("chromium")?;
        let library = mermaid()?;
        let folder = TempDir::new()?;
        let map = Map::of(&folder)?;
        let diagram = Value::from(fs::read_to_string(export(&folder, "mermaid")?)?);
        let page = folder.path().join("mermaid.html");
        // As sites do it: Mermaid's own settings, which trust no diagram.
        let text = format!(
            r##"<!doctype html><meta charset="utf-8"><title>not done</title><div id="out"></div>
<script type="application/json" id="diagram">{}</script>
<script src="file://{}"></script>
<script>(async () => {{ try {{
  const text = JSON.parse(document.getElementById("diagram").textContent);
  mermaid.initialize({{startOnLoad: false}});
  await mermaid.parse(text);
  document.getElementById("out").innerHTML = (await mermaid.render("picture", text)).svg;
  const count = what => document.querySelectorAll("#out " + what).length;
  document.title = `drawn ${{count("g.node")}} ${{count("path.flowchart-link")}} ${{count("g.cluster")}}`;
}} catch (error) {{ document.title = "refused: " + error.message; }} }})()</script>"##,
            diagram.to_string().replace('<', "\\u003c"),
            library.display()
        );
        fs::write(&page, text)?;
        let dom = browse(&chromium, &page, &["--virtual-time-budget=60000"])?;
        let (_, title) = dom.split_once("<title>").context("a title")?;
        let (title, _) = title.split_once("</title>").context("its end")?;
        // Beside the nodes there is the note on coverage.
        let expected = format!("drawn {} {} 1", map.nodes().len() + 1, map.edges().len());
        ensure!(title == expected, "expected {expected:?}, got {title:?}");
        let (_, svg) = dom.split_once("<svg").context("a picture")?;
        let (svg, _) = svg.split_once("</svg>").context("its end")?;
        // What has no width keeps Mermaid from finding escapes of its own.
        let text = unescaped(svg).replace('\u{200b}', "");
        for name in ["nginx.service", APP, REPORT, DATABASE] {
            // A backslash is doubled wherever it is shown, so that escapes are told from it.
            let name = name.replace('\\', "\\\\");
            ensure!(
                text.contains(&name),
                "{name:?} is not in the picture: {svg}"
            );
        }
        ensure!(!svg.contains("<script"), "a name became an element: {svg}");
        Ok(())
    })())
}

#[test]
fn a_browser_shows_the_page_without_a_network() -> Result<()> {
    or_skip((|| {
        let chromium = need("chromium")?;
        let folder = TempDir::new()?;
        let map = Map::of(&folder)?;
        let dom = browse(&chromium, &export(&folder, "html")?, &[])?;
        // What the script drew, not the data that it drew from.
        let (_, svg) = dom.split_once("<svg").context("a picture")?;
        let (svg, _) = svg.split_once("</svg>").context("its end")?;
        let count = |class: &str| svg.matches(&format!("class=\"{class}")).count();
        ensure!(
            count("node ") == map.nodes().len(),
            "{} nodes: {svg}",
            count("node ")
        );
        ensure!(
            count("edge ") == map.edges().len(),
            "{} edges: {svg}",
            count("edge ")
        );
        ensure!(
            count("edge failed") == map.failing(),
            "failing edges: {svg}"
        );
        let text = unescaped(svg);
        for name in map.names() {
            let shown = visible(name);
            ensure!(
                text.contains(&shown),
                "{shown:?} is not in the picture: {svg}"
            );
        }
        ensure!(
            text.contains("✗ FAILED :5432, refused 3"),
            "the failed edge has no label: {svg}"
        );
        ensure!(!svg.contains("<script"), "a name became an element: {svg}");
        ensure!(
            unescaped(&dom).contains("watched web<1> from 2026-11-22 01:00:01"),
            "no coverage: {dom}"
        );
        Ok(())
    })())
}

/// What a browser without a network makes of a page, which must have nothing to say about it.
fn browse(chromium: &Path, page: &Path, flags: &[&str]) -> Result<String> {
    let profile = TempDir::new()?;
    let mut command = Command::new(chromium);
    command
        .env("HOME", profile.path())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=127.0.0.1:9",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--enable-logging=stderr",
            "--window-size=1500,900",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(flags)
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()));
    let run = output(&mut command)?;
    run.expect_code(0)?;
    // Errors, refusals by the page's policy, and whatever a script writes.
    let said: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    ensure!(said.is_empty(), "on the console: {said:#?}");
    Ok(run.text()?.to_owned())
}

/// Mermaid as browsers load it: one file of its package, fetched once by npm and kept in the target
/// folder. Nothing of it is built or run but in the browser.
fn mermaid() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("find the target folder")?;
    let folder = target.join(MERMAID);
    let library = folder.join("package/dist/mermaid.min.js");
    if library.is_file() {
        return Ok(library);
    }
    let Ok(npm) = need("npm") else {
        return skip("mermaid", "npm, which fetches it, is not in PATH");
    };
    fs::create_dir_all(target)?;
    let part = TempDir::new_in(target)?;
    let fetched = output(
        Command::new(npm)
            .args(["pack", "--silent", MERMAID, "--pack-destination"])
            .arg(part.path()),
    )?;
    if !fetched.status.success() {
        return skip(
            "mermaid",
            format!("npm cannot fetch {MERMAID}: {}", fetched.stderr.trim()),
        );
    }
    let archive = part.path().join(MERMAID.replace('@', "-") + ".tgz");
    quietly(
        Command::new("tar")
            .arg("-xzf")
            .arg(archive)
            .arg("-C")
            .arg(part.path())
            .arg("package/dist/mermaid.min.js"),
    )?;
    fs::create_dir_all(folder.join("package/dist"))?;
    // Whole or not at all, as it is used again.
    fs::rename(part.path().join("package/dist/mermaid.min.js"), &library)?;
    Ok(library)
}

/// The text that markup stands for, as far as these tests need it.
fn unescaped(markup: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#45;", "-"),
        ("&#160;", " "),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(markup.to_owned(), |text, (entity, char)| {
            text.replace(entity, char)
        })
}

/// What has no visible form, as the page shows it.
fn visible(name: &str) -> String {
    let shown = |char: char| match char {
        ' '..='~' => char.to_string(),
        _ => format!("\\u{{{:x}}}", u32::from(char)),
    };
    name.chars().map(shown).collect()
}

/// A text as XML can hold it.
fn xml(text: &Value) -> Value {
    let allowed =
        |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    let text = text.as_str().unwrap_or_default().chars();
    text.map(|char| if allowed(char) { char } else { '\u{fffd}' })
        .collect::<String>()
        .into()
}

/// Reasons and how often, as the flat formats have them.
fn pairs(failed: &Value) -> String {
    let failed = failed.as_object().into_iter().flatten();
    failed
        .map(|(reason, times)| format!("{reason}={times}"))
        .collect::<Vec<_>>()
        .join(";")
}
