//! A real system of more than ten workloads, each with a network stack and a unit of its own, recorded
//! twice: as it is (`before`), and after a change (`after`). What the questions are tested with are such
//! recordings, kept in `tests/recordings`; this makes them, and holds them against what was done.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{
    cgroup::Cgroup,
    netns::Netns,
    play,
    shop::Shop,
    skip, tests,
    tracer::{self, Helper, Tracer},
    traffic,
};

use crate::identity::services::Postgres;

tests!("system":
    the_recorded_system_is_what_was_built,
);

/// Where things are: the last byte of their address in 10.88.0.0/16.
const BROWSER: usize = 1;
const NGINX: usize = 2;
const HAPROXY: usize = 3;
const APPS: [usize; 2] = [4, 5];
const POSTGRES: usize = 6;
const REDIS: usize = 7;
const REPORT: usize = 8;
const MONITOR: usize = 9;
const LEGACY: usize = 10;
const MAILER: usize = 11;
const CACHE: usize = 12;
const AUTH: usize = 13;
const USERS: usize = 14;
const ANALYTICS: usize = 15;
const RELAY: usize = 16;

/// Requests of the browser for the site, of which HAProxy gives three of four to the first instance.
const REQUESTS: usize = 24;
/// Times that the monitor looks at everything.
const ROUNDS: usize = 3;
/// What takes a service longer than this to dial is not its start.
const START: Duration = Duration::from_millis(1500);

/// Everything that is recorded.
const EVENTS: &str = "start,existing,connect,accept,close,fail,listen,unlisten,exec,exit,loss,stop";

/// A connection or an attempt between these, so often, by the script: `client -> server:port`.
type Edges = BTreeMap<String, (u64, u64)>;

/// What is different after the change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    After,
}

fn at(host: usize) -> String {
    format!("10.88.0.{host}")
}

fn socket(host: usize, port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::new([10, 88, 0, host as u8].into(), port)
}

struct System {
    when: When,
    hosts: Vec<Netns>,
    /// By name of the unit.
    units: BTreeMap<&'static str, Cgroup>,
    programs: Vec<(&'static str, Helper)>,
    folder: PathBuf,
    postgres: Postgres,
    _folder: tempfile::TempDir,
    _switch: Netns,
}

impl System {
    fn new(when: When) -> Result<Self> {
        for program in [
            "nginx",
            "haproxy",
            "redis-server",
            "redis-cli",
            "curl",
            "psql",
        ] {
            skip::need(program)?;
        }
        let postgres = Postgres::new()?;
        let (switch, hosts) = Netns::switch(RELAY)?;
        let folder = tempfile::tempdir().context("make a folder")?;
        let units = UNITS.iter().map(|unit| {
            // Below one of our own: the host may have units of these names.
            let place = format!("/tracer-tests-{}/{SLICE}/{unit}", std::process::id());
            let group = Cgroup::at(&place)?;
            Ok((*unit, group))
        });
        let units = units.collect::<Result<_>>()?;
        Ok(Self {
            when,
            hosts,
            units,
            programs: Vec::new(),
            folder: folder.path().to_owned(),
            postgres,
            _folder: folder,
            _switch: switch,
        })
    }

    fn host(&self, number: usize) -> &Netns {
        &self.hosts[number - 1]
    }

    /// Starts a server as a unit, and waits until it listens.
    fn serve(
        &mut self,
        unit: &'static str,
        host: usize,
        port: u16,
        program: &Path,
        args: &[String],
    ) -> Result<()> {
        let helper = self.units[unit].start(self.host(host), program, args)?;
        self.programs.push((unit, helper));
        self.host(host).wait_listening(port)
    }

    /// Runs a client of a unit to its end, however that is.
    fn call(&self, unit: &'static str, host: usize, program: &str, args: &[&str]) -> Result<()> {
        let mut command = Command::new(skip::need(program)?);
        command
            .args(args)
            .env("PGSSLMODE", "disable")
            .env("PGGSSENCMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "5")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.units[unit].enter(&mut command);
        self.host(host).enter(&mut command);
        command.status().context("run a client")?;
        Ok(())
    }

    fn curl(&self, unit: &'static str, host: usize, url: &str) -> Result<()> {
        self.call(unit, host, "curl", &["-s", "--max-time", "5", url])
    }

    fn psql(&self, unit: &'static str, host: usize) -> Result<()> {
        let to = at(POSTGRES);
        let args = ["-h", &to, "-U", "postgres", "-c", "select 1"];
        self.call(unit, host, "psql", &args)
    }

    fn redis_cli(&self, unit: &'static str, host: usize, to: usize, port: u16) -> Result<()> {
        let (to, port) = (at(to), port.to_string());
        self.call(unit, host, "redis-cli", &["-h", &to, "-p", &port, "ping"])
    }

    fn nginx(&mut self, unit: &'static str, host: usize, port: u16, locations: &str) -> Result<()> {
        let folder = self.folder.join(unit);
        std::fs::create_dir_all(&folder).context("make a folder")?;
        let here = folder.display();
        let configuration = format!(
            "daemon off; master_process on; worker_processes 1; user root; pid {here}/pid; error_log /dev/null crit;
             events {{ worker_connections 256; }}
             http {{
                 access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;
                 fastcgi_temp_path {here}/fastcgi; uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
                 server {{ listen {port}; {locations} }}
             }}"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration).context("write a configuration")?;
        let args = ["-c", &file.display().to_string(), "-e", "stderr"].map(str::to_owned);
        self.serve(unit, host, port, &skip::need("nginx")?, &args)
    }

    fn redis(&mut self, unit: &'static str, host: usize, port: u16) -> Result<()> {
        let (port_text, dir) = (port.to_string(), self.folder.display().to_string());
        let args = [
            "--port",
            &port_text,
            "--bind",
            &at(host),
            "--protected-mode",
            "no",
            "--save",
            "",
            "--dir",
            &dir,
        ]
        .map(str::to_owned);
        self.serve(unit, host, port, &skip::need("redis-server")?, &args)
    }

    fn redis_port(&self) -> u16 {
        match self.when {
            When::Before => 6379,
            When::After => 6380,
        }
    }

    /// The application: it asks the database and the users' service as it starts.
    fn app(&mut self, number: usize) -> Result<()> {
        let (unit, host) = (["app@1.service", "app@2.service"][number], APPS[number]);
        self.psql(unit, host)?;
        self.curl(unit, host, &format!("http://{}:8091/leaf", at(USERS)))?;
        // The second instance is of another release after the change.
        let release = match (self.when, number) {
            (When::After, 1) => "shop-2",
            _ => "shop-1",
        };
        let release = self.folder.join(release);
        std::fs::create_dir_all(&release).context("make a folder")?;
        let program = release.join("shopd");
        if !program.exists() {
            play::program(&release, "shopd")?;
        }
        let plan = Shop {
            listen: socket(host, 8081),
            redis: socket(REDIS, self.redis_port()),
            postgres: socket(POSTGRES, 5432),
            ledger: self.folder.join(unit),
        };
        let args: Vec<String> = traffic::command("shop", &plan)?
            .get_args()
            .map(|it| it.to_string_lossy().into_owned())
            .collect();
        self.serve(unit, host, 8081, &program, &args)
    }

    fn start(&mut self) -> Result<()> {
        const DATABASE: &str = "postgresql.service";
        let (unit, host) = (&self.units[DATABASE], self.host(POSTGRES));
        let start = |program: &Path, args: &[String]| unit.start(host, program, args);
        let postgres = self.postgres.serve_by(start, host, &at(POSTGRES), 5432)?;
        self.programs.push((DATABASE, postgres));
        let redis_port = self.redis_port();
        self.redis("redis.service", REDIS, redis_port)?;
        self.redis("legacy.service", LEGACY, 6390)?;
        let to_users = format!(
            "location /leaf {{ return 200; }} location /check {{ proxy_pass http://{}:8091/leaf; }}",
            at(USERS)
        );
        let to_auth = format!(
            "location /leaf {{ return 200; }} location /check {{ proxy_pass http://{}:8090/leaf; }}",
            at(AUTH)
        );
        self.nginx("users.service", USERS, 8091, &to_auth)?;
        if self.when == When::Before {
            self.nginx("auth.service", AUTH, 8090, &to_users)?;
            self.redis("cache.service", CACHE, 6379)?;
        } else {
            self.nginx("relay.service", RELAY, 2525, "location / { return 200; }")?;
        }
        self.app(0)?;
        self.app(1)?;
        self.haproxy()?;
        let to_haproxy = format!(
            "location /health {{ return 200; }} location / {{ proxy_pass http://{}:8082; }}",
            at(HAPROXY)
        );
        self.nginx("nginx.service", NGINX, 8080, &to_haproxy)
    }

    fn haproxy(&mut self) -> Result<()> {
        let [one, two] = APPS.map(at);
        let configuration = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n option httpclose\n\
             listen site\n bind :8082\n monitor-uri /health\n balance roundrobin\n\
             \x20server one {one}:8081 weight 3\n server two {two}:8081 weight 1\n"
        );
        let file = self.folder.join("haproxy.cfg");
        std::fs::write(&file, configuration).context("write a configuration")?;
        let args = ["-db", "-f", &file.display().to_string()].map(str::to_owned);
        self.serve(
            "haproxy.service",
            HAPROXY,
            8082,
            &skip::need("haproxy")?,
            &args,
        )
    }

    /// Looks at every server there is but one.
    fn monitor(&self) -> Result<()> {
        const UNIT: &str = "monitor.service";
        let health = [
            (NGINX, 8080, "health"),
            (HAPROXY, 8082, "health"),
            (USERS, 8091, "leaf"),
        ];
        for (host, port, path) in health {
            self.curl(UNIT, MONITOR, &format!("http://{}:{port}/{path}", at(host)))?;
        }
        for host in APPS {
            self.curl(UNIT, MONITOR, &format!("http://{}:8081/", at(host)))?;
        }
        self.psql(UNIT, MONITOR)?;
        let redis_port = self.redis_port();
        self.redis_cli(UNIT, MONITOR, REDIS, redis_port)?;
        match self.when {
            When::Before => {
                self.curl(UNIT, MONITOR, &format!("http://{}:8090/leaf", at(AUTH)))?;
                self.redis_cli(UNIT, MONITOR, CACHE, 6379)
            }
            When::After => self.curl(UNIT, MONITOR, &format!("http://{}:2525/", at(RELAY))),
        }
    }

    /// What goes on in a day.
    fn live(&mut self) -> Result<()> {
        for _ in 0..ROUNDS {
            self.monitor()?;
        }
        for _ in 0..REQUESTS {
            self.curl(
                "browser.service",
                BROWSER,
                &format!("http://{}:8080/", at(NGINX)),
            )?;
        }
        for (host, port, times) in [(AUTH, 8090, 12), (USERS, 8091, 3)] {
            for _ in 0..times {
                let url = format!("http://{}:{port}/check", at(host));
                self.curl("browser.service", BROWSER, &url)?;
            }
        }
        let (batch, host) = match self.when {
            When::Before => ("report.service", REPORT),
            When::After => ("analytics.service", ANALYTICS),
        };
        for _ in 0..4 {
            self.psql(batch, host)?;
        }
        for _ in 0..6 {
            self.curl(
                "mailer.service",
                MAILER,
                &format!("http://{}:2525/", at(RELAY)),
            )?;
        }
        if self.when == When::Before {
            for _ in 0..5 {
                self.redis_cli("mailer.service", MAILER, CACHE, 6379)?;
            }
            self.stop("cache.service")?;
            for _ in 0..4 {
                self.redis_cli("mailer.service", MAILER, CACHE, 6379)?;
            }
        }
        self.hosts.iter().try_for_each(Netns::wait_settled)
    }

    fn stop(&mut self, unit: &str) -> Result<()> {
        let at = self.programs.iter().position(|(name, _)| *name == unit);
        let (_, program) = self.programs.remove(at.context("it runs")?);
        program.finish_by(Signal::TERM)
    }

    /// What the script does, by hand.
    fn truth(when: When) -> Edges {
        let rounds = ROUNDS as u64;
        let mut edges = Edges::new();
        let mut add = |edge: &str, connections: u64, failed: u64| {
            edges.insert(edge.to_owned(), (connections, failed));
        };
        let redis = if when == When::Before { 6379 } else { 6380 };
        add("browser.service -> nginx.service:8080", 24, 0);
        add("nginx.service -> haproxy.service:8082", 24, 0);
        add("haproxy.service -> app@1.service:8081", 18, 0);
        add("haproxy.service -> app@2.service:8081", 6, 0);
        // Each request that an instance answers, the monitor's too, and one at the start.
        add(
            "app@1.service -> postgresql.service:5432",
            18 + rounds + 1,
            0,
        );
        add(
            "app@2.service -> postgresql.service:5432",
            6 + rounds + 1,
            0,
        );
        add(
            &format!("app@1.service -> redis.service:{redis}"),
            18 + rounds,
            0,
        );
        add(
            &format!("app@2.service -> redis.service:{redis}"),
            6 + rounds,
            0,
        );
        add("app@1.service -> users.service:8091", 1, 0);
        add("app@2.service -> users.service:8091", 1, 0);
        add("browser.service -> users.service:8091", 3, 0);
        let servers = [
            "nginx.service:8080",
            "haproxy.service:8082",
            "app@1.service:8081",
            "app@2.service:8081",
            "postgresql.service:5432",
            "users.service:8091",
            &format!("redis.service:{redis}"),
        ];
        for server in servers {
            add(&format!("monitor.service -> {server}"), rounds, 0);
        }
        match when {
            When::Before => {
                add("monitor.service -> auth.service:8090", rounds, 0);
                add("monitor.service -> cache.service:6379", rounds, 0);
                add("browser.service -> auth.service:8090", 12, 0);
                add("auth.service -> users.service:8091", 12, 0);
                add("users.service -> auth.service:8090", 3, 0);
                add("report.service -> postgresql.service:5432", 4, 0);
                // redis-cli tries a second time before it gives up.
                add("mailer.service -> cache.service:6379", 5, 4 * 2);
                add("mailer.service -> 10.88.0.16:2525", 0, 6);
            }
            When::After => {
                add("monitor.service -> relay.service:2525", rounds, 0);
                add("browser.service -> 10.88.0.13:8090", 0, 12);
                add("users.service -> 10.88.0.13:8090", 0, 3);
                add("analytics.service -> postgresql.service:5432", 4, 0);
                add("mailer.service -> relay.service:2525", 6, 0);
            }
        }
        edges
    }
}

/// Records a day of the system. Returns the lines.
fn record(when: When) -> Result<String> {
    let mut system = System::new(when)?;
    let mut args = vec!["--event", EVENTS];
    for name in UNITS {
        args.extend(["--workload", name]);
    }
    let tracer = Tracer::stream(&args)?;
    system.start()?;
    std::thread::sleep(START);
    system.live()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    // Whose folder it was, and which machine, says nothing of the system.
    let text = run.text()?;
    let text = text
        .replace(&system.folder.display().to_string(), "/srv/shop")
        .replace(
            &system.postgres.folder().display().to_string(),
            "/srv/postgresql",
        );
    let mut out = String::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).context("a line is JSON")?;
        // The host's own unit of the same name is another one.
        let workload = &event["workload"];
        if workload.is_object() && workload["slice"] != SLICE {
            continue;
        }
        let host = event["host"].to_string();
        let line = line.replacen(&host, HOST, 1);
        let _ = writeln!(out, "{line}");
    }
    Ok(out)
}

/// What tells these units from others of the same names.
const SLICE: &str = "shop.slice";

/// All that runs, and is recorded.
const UNITS: [&str; 16] = [
    "nginx.service",
    "haproxy.service",
    "app@1.service",
    "app@2.service",
    "postgresql.service",
    "redis.service",
    "report.service",
    "analytics.service",
    "monitor.service",
    "legacy.service",
    "mailer.service",
    "cache.service",
    "auth.service",
    "users.service",
    "relay.service",
    "browser.service",
];

/// The host in the recordings.
const HOST: &str = r#"{"id":"5b0d6b6c2d7c4f0f8a8e3f1f6c1d2e3a","name":"shop-1"}"#;

fn map_of(file: &Path) -> Result<Value> {
    let mut command = tracer::command()?;
    command
        .arg("map")
        .arg("--from")
        .arg(file)
        .args(["-o", "json"]);
    let run = tracer::output(&mut command)?;
    run.expect_code(0)?;
    serde_json::from_str(run.text()?).context("the map is JSON")
}

fn edges_of(map: &Value) -> Result<Edges> {
    let nodes = map["nodes"].as_array().context("nodes")?;
    let name = |id: &Value| {
        let node = nodes.iter().find(|it| it["id"] == *id);
        node.and_then(|it| it["name"].as_str()).unwrap_or("?")
    };
    let edges = map["edges"].as_array().context("edges")?;
    let edges = edges.iter().map(|it| {
        let edge = format!(
            "{} -> {}:{}",
            name(&it["client"]),
            name(&it["server"]),
            it["port"]
        );
        let failed = it["failed"]
            .as_object()
            .into_iter()
            .flat_map(|it| it.values());
        let failed = failed.filter_map(Value::as_u64).sum();
        (
            edge,
            (it["established"].as_u64().unwrap_or_default(), failed),
        )
    });
    Ok(edges.collect())
}

fn the_recorded_system_is_what_was_built() -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    for (when, name) in [(When::Before, "before.jsonl"), (When::After, "after.jsonl")] {
        let file = folder.path().join(name);
        std::fs::write(&file, record(when)?).context("write a recording")?;
        let map = map_of(&file)?;
        let truth = System::truth(when);
        let edges = edges_of(&map)?;
        ensure!(edges == truth, "{name}: {edges:#?}, for {truth:#?}");
        let coverage = &map["coverage"][0];
        let lost = coverage["lost"]
            .as_object()
            .into_iter()
            .flat_map(|it| it.values());
        ensure!(lost.count() == 0, "{name}: {coverage}");
        if let Some(kept) = std::env::var_os("TRACER_KEEP_RECORDINGS") {
            let kept = Path::new(&kept).join(name);
            std::fs::copy(&file, kept).context("keep a recording")?;
        }
    }
    Ok(())
}
