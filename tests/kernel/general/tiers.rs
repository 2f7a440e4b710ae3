//! The map of a real system in three tiers: wrk → nginx → a small application → PostgreSQL and
//! redis, each on a network stack of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{
    netns::Netns,
    play,
    shop::{Books, PING, Shop},
    skip, tests,
    tracer::{self, Helper, Process},
    traffic, wait,
};

use crate::identity::services::{Postgres, ask, start};

tests!("tiers":
    live_and_from_the_file_it_is_the_same_map,
    a_stopped_database_fails_its_edges_and_no_others,
    questions_are_answered_while_it_happens,
    an_outage_is_told_rightly_live_and_from_any_recording,
);

const NGINX: u16 = 8080;
const SHOP: u16 = 8081;
const REDIS: u16 = 6379;
const POSTGRES: u16 = 5432;

/// The system. Hosts 1 to 5 of its network: wrk, nginx, the application, PostgreSQL, redis.
struct Tiers {
    hosts: Vec<Netns>,
    /// Ends before its files go.
    database: Option<Helper>,
    postgres: Postgres,
    /// Likewise.
    cache: Option<Helper>,
    ledger: PathBuf,
    /// Where nginx writes which connection each request came by.
    access: PathBuf,
    _programs: Vec<Helper>,
    folder: tempfile::TempDir,
    _switch: Netns,
}

fn address(host: usize, port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::new([10, 88, 0, host as u8].into(), port)
}

impl Tiers {
    fn new() -> Result<Self> {
        for program in ["wrk", "nginx", "redis-server"] {
            skip::need(program)?;
        }
        let postgres = Postgres::new()?;
        let (switch, hosts) = Netns::switch(5)?;
        let database = Some(postgres.serve(&hosts[3], "10.88.0.4", POSTGRES)?);
        let folder = tempfile::tempdir().context("make a folder")?;
        let cache = Some(serve_redis(&hosts[4], folder.path())?);

        let ledger = folder.path().join("shop");
        let plan = Shop {
            listen: address(3, SHOP),
            redis: address(5, REDIS),
            postgres: address(4, POSTGRES),
            ledger: ledger.clone(),
        };
        let program = play::program(folder.path(), "shopd")?;
        let mut shop = Command::new(program);
        shop.args(traffic::command("shop", &plan)?.get_args());
        hosts[2].enter(&mut shop);
        let shop = Helper::new(shop.spawn().context("start the application")?);
        hosts[2].wait_listening(SHOP)?;

        let at = folder.path().display();
        let access = folder.path().join("access");
        let configuration = format!(
            "daemon off; master_process on; worker_processes 1; user root; pid {at}/pid; error_log /dev/null crit;
             events {{ worker_connections 256; }}
             http {{
                 log_format who '$connection'; access_log {at}/access who;
                 client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
                 uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                 server {{ listen {NGINX}; location / {{ proxy_pass http://10.88.0.3:{SHOP}; }} }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, configuration).context("write the configuration")?;
        let file = file.display().to_string();
        let nginx = start(
            &hosts[1],
            &skip::need("nginx")?,
            &["-c", &file, "-e", "stderr"],
        )?;
        hosts[1].wait_listening(NGINX)?;
        Ok(Self {
            hosts,
            database,
            postgres,
            cache,
            ledger,
            access,
            _programs: vec![shop, nginx],
            folder,
            _switch: switch,
        })
    }

    /// Requests for a second by four connections.
    fn load(&self) -> Result<()> {
        let url = format!("http://10.88.0.2:{NGINX}/");
        let args = ["-t1", "-c4", "-d1s", &url];
        ask(&self.hosts[0], &skip::need("wrk")?, &args).map(drop)
    }

    /// Waits until nothing goes on any more.
    fn settle(&self) -> Result<()> {
        self.hosts.iter().try_for_each(Netns::wait_settled)
    }

    fn stop_database(&mut self) -> Result<()> {
        self.database
            .take()
            .context("it runs")?
            .finish_by(Signal::INT)
    }

    fn start_database(&mut self) -> Result<()> {
        self.database = Some(self.postgres.serve(&self.hosts[3], "10.88.0.4", POSTGRES)?);
        Ok(())
    }

    fn stop_cache(&mut self) -> Result<()> {
        self.cache
            .take()
            .context("it runs")?
            .finish_by(Signal::TERM)
    }

    fn start_cache(&mut self) -> Result<()> {
        self.cache = Some(serve_redis(&self.hosts[4], self.folder.path())?);
        Ok(())
    }

    /// Connections that nginx had a request by.
    fn asked_by(&self) -> Result<u64> {
        let text = std::fs::read_to_string(&self.access).context("read nginx's log")?;
        let connections: std::collections::BTreeSet<_> = text.lines().collect();
        Ok(connections.len() as u64)
    }
}

fn serve_redis(netns: &Netns, folder: &Path) -> Result<Helper> {
    let (port, folder) = (REDIS.to_string(), folder.display().to_string());
    let args = [
        "--port",
        &port,
        "--bind",
        "10.88.0.5",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        &folder,
    ];
    let redis = start(netns, &skip::need("redis-server")?, &args)?;
    netns.wait_listening(REDIS)?;
    Ok(redis)
}

/// `tracer map`, live, that writes its events to `save`; once it is attached.
fn watch(save: &Path) -> Result<Process> {
    let mut command = tracer::command()?;
    command
        .args(["map", "-o", "json", "--hooks", &tracer::hooks(), "--save"])
        .arg(save);
    let process = Process::spawn(&mut command, true)?;
    wait::until("tracer to begin", || {
        let text = std::fs::read_to_string(save).unwrap_or_default();
        Ok(text.contains("\"event\":\"start\"").then_some(()))
    })?;
    Ok(process)
}

fn finished(process: Process) -> Result<Vec<u8>> {
    process.signal(Signal::INT)?;
    let run = process.finish()?;
    run.expect_code(0)?;
    Ok(run.stdout)
}

fn map_of(file: &Path, args: &[&str]) -> Result<Vec<u8>> {
    let mut command = tracer::command()?;
    command.arg("map").arg("--from").arg(file).args(args);
    let run = tracer::output(&mut command)?;
    run.expect_code(0)?;
    Ok(run.stdout)
}

/// The edges between these hosts, by `client -> server:port`.
fn edges(map: &[u8]) -> Result<BTreeMap<String, Value>> {
    let map: Value = serde_json::from_slice(map).context("the map is JSON")?;
    let nodes = map["nodes"].as_array().context("nodes")?;
    let name = |id: &Value| {
        let node = nodes.iter().find(|node| node["id"] == *id);
        node.and_then(|node| node["name"].as_str())
            .unwrap_or("?")
            .to_owned()
    };
    let edges = map["edges"].as_array().context("edges")?;
    Ok(edges
        .iter()
        .filter(|edge| OURS.contains(&&*name(&edge["client"])))
        .map(|edge| {
            let (client, server) = (name(&edge["client"]), name(&edge["server"]));
            (
                format!("{client} -> {server}:{}", edge["port"]),
                edge.clone(),
            )
        })
        .collect())
}

/// Who is a client in this system.
const OURS: [&str; 3] = ["wrk", "nginx", "shopd"];

const EDGES: [&str; 4] = [
    "nginx -> shopd:8081",
    "shopd -> postgres:5432",
    "shopd -> redis-server:6379",
    "wrk -> nginx:8080",
];

fn number(edge: &Value, path: &str) -> Result<u64> {
    let value = edge.pointer(path).and_then(Value::as_u64);
    value.with_context(|| format!("{path} of {edge}"))
}

fn live_and_from_the_file_it_is_the_same_map() -> Result<()> {
    let tiers = Tiers::new()?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("events.jsonl");
    let process = watch(&file)?;
    tiers.load()?;
    tiers.settle()?;
    let live = finished(process)?;
    let recorded = map_of(&file, &["-o", "json"])?;
    ensure!(live == recorded, "live and from the file differ");

    let books = Books::read(&tiers.ledger)?;
    println!("tiers: {books:?}");
    ensure!(books.accepted > 50 && books.refused == 0, "{books:?}");
    let edges = edges(&live)?;
    ensure!(edges.keys().eq(EDGES.iter()), "{:?}", edges.keys());
    // wrk tries whether it can connect at all, before its four.
    let expected = [
        books.accepted,
        books.postgres,
        books.redis,
        tiers.asked_by()? + 1,
    ];
    for ((name, edge), expected) in edges.iter().zip(expected) {
        let count = |path: &str| number(edge, path);
        ensure!(
            count("/established")? == expected,
            "{name}: {expected} in the ledger, {edge}"
        );
        ensure!(
            count("/terminated")? == expected && count("/live")? == 0,
            "{name}: {edge}"
        );
        ensure!(count("/connect_ns/count")? == expected, "{name}: {edge}");
        ensure!(count("/rtt_ns/count")? == expected, "{name}: {edge}");
        ensure!(
            edge["state"] == "ok" && edge["evidence"]["ends"] == "both",
            "{name}: {edge}"
        );
        ensure!(count("/evidence/both")? == expected, "{name}: {edge}");
        let quantiles =
            ["min", "p50", "p95", "p99", "max"].map(|it| count(&format!("/connect_ns/{it}")));
        let quantiles = quantiles.into_iter().collect::<Result<Vec<_>>>()?;
        ensure!(
            quantiles.is_sorted() && quantiles[0] > 0,
            "{name}: {quantiles:?}"
        );
    }
    let redis = &edges[EDGES[2]];
    let bytes = [PING.0, PING.1].map(|it| it.len() as u64 * books.redis);
    ensure!(number(redis, "/sent_bytes")? == bytes[0], "{redis}");
    ensure!(number(redis, "/received_bytes")? == bytes[1], "{redis}");
    Ok(())
}

fn a_stopped_database_fails_its_edges_and_no_others() -> Result<()> {
    let mut tiers = Tiers::new()?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let file = folder.path().join("events.jsonl");
    let process = watch(&file)?;
    let terminal = Terminal::new(folder.path())?;
    tiers.load()?;
    states(&file, &books(&tiers)?, "ok")?;
    tiers.stop_database()?;
    tiers.load()?;
    let with_failures = books(&tiers)?;
    ensure!(with_failures.refused > 0, "{with_failures:?}");
    terminal.wait_for("✗ shopd")?;
    states(&file, &with_failures, "failed")?;
    tiers.start_database()?;
    tiers.load()?;
    let at_last = books(&tiers)?;
    terminal.wait_for("! shopd")?;
    states(&file, &at_last, "mixed")?;
    terminal.finish()?;
    let live = finished(process)?;
    let edges = edges(&live)?;
    let edge = &edges[EDGES[1]];
    ensure!(
        number(edge, "/failed/refused")? == at_last.refused,
        "{at_last:?} {edge}"
    );
    ensure!(edge["last_failure"]["errno"] == "ECONNREFUSED", "{edge}");
    ensure!(
        number(edge, "/established")? == at_last.postgres,
        "{at_last:?} {edge}"
    );
    Ok(())
}

/// Live: what begins to fail and what recovers is told, and a baseline is waited for.
fn questions_are_answered_while_it_happens() -> Result<()> {
    let mut tiers = Tiers::new()?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let baseline = folder.path().join("baseline.jsonl");
    let process = watch(&baseline)?;
    tiers.load()?;
    tiers.settle()?;
    finished(process)?;
    tiers.stop_database()?;

    let follow = question(&["failures", "--follow", "-o", "json"])?;
    // The server of each state, in the order in which they are told.
    let told = || -> Result<Vec<String>> {
        let text = follow.stdout_so_far();
        let lines = text.split_inclusive(|it| *it == b'\n');
        let whole = lines.filter(|it| it.ends_with(b"\n"));
        let states = whole.map(|line| {
            let line: Value = serde_json::from_slice(line).context("a line is JSON")?;
            let is_ours = line["client"]["name"] == "shopd";
            Ok(is_ours.then(|| format!("{} {}", line["port"], line["state"])))
        });
        states.filter_map(Result::transpose).collect()
    };
    wait::until("a failure to be told", || {
        tiers.load()?;
        Ok((!told()?.is_empty()).then_some(()))
    })?;
    let verify = |wait: &str| {
        let baseline = baseline.display().to_string();
        question(&["verify", &baseline, "--wait", wait, "-o", "json"])
    };
    // The database is missing, or fails if it is dialled meanwhile.
    let run = verify("1s")?.finish()?;
    run.expect_code(3)?;
    tiers.start_database()?;
    wait::until("the recovery to be told", || {
        tiers.load()?;
        Ok((told()?.len() > 1).then_some(()))
    })?;
    ensure!(
        told()?[..2] == ["5432 \"failed\"", "5432 \"mixed\""],
        "{:?}",
        told()?
    );
    follow.signal(Signal::INT)?;
    follow.finish()?.expect_code(0)?;

    // Nobody reads what it has to say, and it has nothing to say.
    let mut unread = tracer::command()?;
    unread.args(["failures", "--follow", "--hooks", &tracer::hooks()]);
    let mut unread = Process::spawn(&mut unread, false)?;
    drop(unread.take_stdout());
    unread.finish()?.expect_code(0)?;

    let mut back = verify("60s")?;
    wait::until("all to be back", || {
        tiers.load()?;
        back.exited()
    })?;
    let run = back.finish()?;
    run.expect_code(0)?;
    let found: Value = serde_json::from_str(run.text()?).context("the answer is JSON")?;
    ensure!(found["complete"] == true, "{found}");
    ensure!(found["coverage"]["proven"] == true, "{found}");
    Ok(())
}

/// redis is stopped under load and started again. Who asks when all is over is told the cause, the begin, the end,
/// the length and who suffered: by a tracer that watched meanwhile, from a recording that began before the
/// servers, and from one that found them there.
fn an_outage_is_told_rightly_live_and_from_any_recording() -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let files = ["whole", "found"].map(|name| folder.path().join(name));
    let whole = watch(&files[0])?;
    let mut tiers = Tiers::new()?;
    tiers.load()?;
    let found = watch(&files[1])?;
    let mut live = question(&["failures", "-o", "json", "-v"])?;
    live.wait_until_watching()?;
    tiers.load()?;

    let stopped = SystemTime::now();
    tiers.stop_cache()?;
    tiers.load()?;
    let started = SystemTime::now();
    tiers.start_cache()?;
    tiers.load()?;
    let over = SystemTime::now();
    tiers.load()?;
    tiers.settle()?;

    let live = finished(live)?;
    finished(found)?;
    finished(whole)?;
    let books = books(&tiers)?;
    ensure!(books.uncached > 0 && books.refused == 0, "{books:?}");
    let outage = Outage {
        stopped,
        started,
        over,
        attempts: books.uncached,
    };
    outage.holds(&live).context("live")?;
    for file in &files {
        let mut command = tracer::command()?;
        command.args(["failures", "-o", "json", "--from"]).arg(file);
        let run = tracer::output(&mut command)?;
        run.expect_code(0)?;
        outage
            .holds(&run.stdout)
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// What really happened to redis.
struct Outage {
    /// Before it was stopped, before it was started again, and after it served again.
    stopped: SystemTime,
    started: SystemTime,
    over: SystemTime,
    /// How many were refused.
    attempts: u64,
}

impl Outage {
    /// That `answer` tells it, once, and all of it.
    fn holds(&self, answer: &[u8]) -> Result<()> {
        let answer: Value = serde_json::from_slice(answer).context("the answer is JSON")?;
        let causes = answer["causes"].as_array().context("causes")?;
        let is_of = |it: &&Value| it["server"]["name"] == "redis-server";
        let ours: Vec<_> = causes.iter().filter(is_of).collect();
        let [cause] = ours[..] else {
            bail!("{} causes with redis: {causes:#?}", ours.len());
        };
        ensure!(
            cause["what"] == "outage" && cause["port"] == REDIS,
            "{cause}"
        );
        ensure!(
            number(cause, "/failed/refused")? == self.attempts
                && number(cause, "/attempts")? == self.attempts,
            "{} were refused: {cause}",
            self.attempts
        );
        let clients = cause["clients"].as_array().context("clients")?;
        ensure!(
            clients.len() == 1
                && clients[0]["name"] == "shopd"
                && clients[0]["attempts"] == self.attempts,
            "{cause}"
        );
        let [begin, last, end] = ["begin", "last", "end"].map(|it| time(&cause[it]));
        let (begin, last, end) = (begin?, last?, end?);
        ensure!(self.stopped < begin && begin <= last, "{cause}");
        ensure!(last < end, "{cause}");
        ensure!(self.started < end && end < self.over, "{cause}");
        let length = number(cause, "/length_ns")?;
        ensure!(
            u128::from(length) == end.duration_since(begin)?.as_nanos(),
            "{cause}"
        );
        // Why it began, and why it was over: the process that ended, and the one that listens.
        for (events, within, what) in [
            ("before", [self.stopped, begin], "unlisten"),
            // It closes its socket a moment before it ends.
            ("before", [self.stopped, self.started], "exit"),
            ("ended_by", [self.started, end], "listen"),
        ] {
            let told = cause[events].as_array().context(events)?;
            let fits = |it: &Value| -> Result<bool> {
                let time = time(&it["time"])?;
                let is_within = within[0] < time && time <= within[1];
                Ok(it["what"] == what && it["who"]["name"] == "redis-server" && is_within)
            };
            let fitting = told.iter().map(fits).collect::<Result<Vec<_>>>()?;
            ensure!(
                fitting.contains(&true),
                "no `{what}` in `{events}`: {cause}"
            );
        }
        Ok(())
    }
}

fn time(value: &Value) -> Result<SystemTime> {
    let text = value
        .as_str()
        .with_context(|| format!("no time: {value}"))?;
    humantime::parse_rfc3339(text).with_context(|| format!("parse {text}"))
}

/// `tracer` with these words, and the hooks under test.
fn question(words: &[&str]) -> Result<Process> {
    let mut command = tracer::command()?;
    command.args(words).args(["--hooks", &tracer::hooks()]);
    Process::spawn(&mut command, true)
}

/// A terminal with `tracer map` in it that shows what fails: that of tmux, as people have it.
struct Terminal {
    tmux: PathBuf,
    socket: String,
}

impl Terminal {
    fn new(folder: &Path) -> Result<Self> {
        let terminal = Self {
            tmux: skip::need("tmux")?,
            socket: folder.join("tmux").display().to_string(),
        };
        let map = format!(
            "{} map --hooks {}; echo ended $?; cat",
            tracer::executable()?.display(),
            tracer::hooks()
        );
        terminal.ask(&["new-session", "-d", "-x", "80", "-y", "24", &map])?;
        terminal.wait_until("the first screen", |screen| screen.contains("lost 0"))?;
        terminal.ask(&["send-keys", "3"])?;
        Ok(terminal)
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.tmux);
        command
            .args(["-f", "/dev/null", "-S", &self.socket])
            .args(args);
        let output = command
            .env("LC_ALL", "C.UTF-8")
            .output()
            .context("run tmux")?;
        ensure!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> Result<String> {
        let mut last = String::new();
        let found = wait::until(what, || {
            last = self.ask(&["capture-pane", "-p"])?;
            Ok(is(&last).then_some(()))
        });
        found.with_context(|| format!("on the screen is\n{last}"))?;
        Ok(last)
    }

    /// Waits until the application's edge to the database, and no other of ours, has this mark.
    fn wait_for(&self, marked: &str) -> Result<()> {
        let screen = self.wait_until(marked, |screen| screen.contains(marked))?;
        let edge = screen.lines().find(|line| line.contains(marked));
        let edge = edge.unwrap_or_default();
        ensure!(
            edge.contains("postgres") && edge.contains("refused"),
            "{screen}"
        );
        for other in ["nginx", "redis", "wrk"] {
            ensure!(!screen.contains(other), "{other} does not fail:\n{screen}");
        }
        ensure!(
            screen.contains("lost 0"),
            "what was lost is in sight:\n{screen}"
        );
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.ask(&["send-keys", "q"])?;
        self.wait_until("its end", |screen| screen.contains("ended 0"))
            .map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.ask(&["kill-server"]);
    }
}

/// What the application wrote down, when all is quiet.
fn books(tiers: &Tiers) -> Result<Books> {
    tiers.settle()?;
    Books::read(&tiers.ledger)
}

/// Waits until the recording, which goes on, has all that is in `books`; then only the edge to the
/// database is in that state, and all others are ok.
fn states(file: &Path, books: &Books, state: &str) -> Result<()> {
    // Its last line may be half written.
    let now = || edges(&map_of(file, &["-o", "json", "--skip-bad"])?);
    let edges = wait::until("the recording to be complete", || {
        let edges = now()?;
        let Some(edge) = edges.get(EDGES[1]) else {
            return Ok(None);
        };
        let failed = edge["failed"]["refused"].as_u64().unwrap_or(0);
        let complete = failed == books.refused && number(edge, "/established")? == books.postgres;
        Ok(complete.then_some(edges))
    })?;
    ensure!(edges.keys().eq(EDGES.iter()), "{:?}", edges.keys());
    in_every_format(file, state)?;
    for (name, edge) in &edges {
        let expected = if name == EDGES[1] { state } else { "ok" };
        ensure!(
            edge["state"] == expected,
            "{name} is to be {expected}: {edge}"
        );
    }
    Ok(())
}

/// How each format says that an edge failed the last time, and that it did at times.
const SAID: [(&str, &str, &str); 6] = [
    ("table", "✗ failed", "! mixed"),
    ("dot", "label=\"FAILED", "label=\"mixed"),
    ("mermaid", "|\"FAILED", "|\"mixed"),
    ("graphml", ">failed<", ">mixed<"),
    ("csv", ",5432,failed,", ",5432,mixed,"),
    ("html", "\"state\":\"failed\"", "\"state\":\"mixed\""),
];

/// Exactly one edge around the application is said to be in that state, and none in the other one.
fn in_every_format(file: &Path, state: &str) -> Result<()> {
    for (format, failed, mixed) in SAID {
        let args = ["-o", format, "--skip-bad", "--focus", "shopd"];
        let text = String::from_utf8(map_of(file, &args)?).context("text")?;
        let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        let expected = (
            usize::from(state == "failed"),
            usize::from(state == "mixed"),
        );
        let found = (lines(failed), lines(mixed));
        ensure!(found == expected, "{state} in {format}: {found:?}\n{text}");
    }
    Ok(())
}
