//! Programs that people run: nginx and curl, redis-server and redis-cli, PostgreSQL and psql.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    expect::{self, endpoint, one},
    netns::Netns,
    skip, tests,
    tracer::{Helper, Tracer},
    wait,
};

tests!("services":
    nginx_started_after_tracer,
    nginx_started_before_tracer,
    redis_started_after_tracer,
    redis_started_before_tracer,
    postgresql_started_after_tracer,
    postgresql_started_before_tracer,
);

pub(crate) const PORT: u16 = 8080;
const REQUESTS: usize = 5;

/// A server program in a namespace of its own.
pub(crate) struct Service {
    pub(crate) netns: Netns,
    pub(crate) program: Helper,
    pub(crate) workers: Vec<u32>,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn start(netns: &Netns, program: &Path, args: &[&str]) -> Result<Helper> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    netns.enter(&mut command);
    Ok(Helper::new(
        command
            .spawn()
            .with_context(|| format!("start {}", program.display()))?,
    ))
}

/// Runs a client to its end. Returns its pid and what it printed.
pub(crate) fn ask(netns: &Netns, program: &Path, args: &[&str]) -> Result<(u32, String)> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    netns.enter(&mut command);
    let child = command
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let pid = child.id();
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((pid, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Child processes of `parent`, by the table of processes.
pub(crate) fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")
        .context("list processes")?
        .flatten()
    {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // "pid (name) state ppid ..": the name may hold anything, also parentheses.
        let ppid = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        if ppid == Some(parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn nginx(netns: Netns) -> Result<Service> {
    nginx_with(netns, 2, "")
}

/// nginx with so many workers, and options to its `listen`. Its file `access` has a line for
/// each request: the client's port, and the worker that answered.
pub(crate) fn nginx_with(netns: Netns, count: usize, options: &str) -> Result<Service> {
    let program = skip::need("nginx")?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let at = folder.path().display();
    let configuration = format!(
        "daemon off; master_process on; worker_processes {count}; user root; pid {at}/pid; error_log stderr crit;
         events {{ worker_connections 256; }}
         http {{
             log_format who '$remote_port $pid'; access_log {at}/access who;
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
             server {{ listen 127.0.0.1:{PORT} {options}; location / {{ return 200 'hello'; }} }}
         }}"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).context("write the configuration")?;
    let file = file.to_str().context("a path that is text")?;
    let program = start(&netns, &program, &["-c", file, "-e", "stderr"])?;
    netns.wait_listening(PORT)?;
    let workers = wait::until("nginx's workers", || {
        let workers = children(program.pid())?;
        Ok((workers.len() == count).then_some(workers))
    })?;
    Ok(Service {
        netns,
        program,
        workers,
        folder,
    })
}

fn redis(netns: Netns) -> Result<Service> {
    let program = skip::need("redis-server")?;
    let folder = tempfile::tempdir().context("make a folder")?;
    let port = PORT.to_string();
    let path = folder.path().to_str().context("a path that is text")?;
    let args = [
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--daemonize",
        "no",
        "--dir",
        path,
    ];
    let program = start(&netns, &program, &args)?;
    netns.wait_listening(PORT)?;
    Ok(Service {
        netns,
        program,
        workers: Vec::new(),
        folder,
    })
}

/// PostgreSQL refuses to be root: a user that owns nothing else.
const NOBODY: u32 = 65534;

/// A cluster of databases, which can be served anywhere, and again.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
}

impl Postgres {
    pub(crate) fn new() -> Result<Self> {
        skip::need_postgres("postgres")?;
        let initdb = skip::need_postgres("initdb")?.display().to_string();
        let folder = tempfile::tempdir().context("make a folder")?;
        std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY))
            .context("give the folder away")?;
        let postgres = Self { folder };
        let data = postgres.data().display().to_string();
        let make = [
            &initdb,
            "-D",
            &data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        let (setpriv, args) = as_nobody(&make)?;
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        ask(&Netns::new()?, &setpriv, &args)?;
        // Whoever comes, and not only from this host.
        std::fs::write(
            postgres.data().join("pg_hba.conf"),
            "local all all trust\nhost all all all trust\n",
        )
        .context("let everybody in")?;
        Ok(postgres)
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Serves it at an address, and waits until it answers.
    pub(crate) fn serve(&self, netns: &Netns, host: &str, port: u16) -> Result<Helper> {
        let by = |program: &Path, args: &[String]| {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            start(netns, program, &args)
        };
        self.serve_by(by, netns, host, port)
    }

    /// Likewise, started by `start`.
    pub(crate) fn serve_by(
        &self,
        start: impl FnOnce(&Path, &[String]) -> Result<Helper>,
        netns: &Netns,
        host: &str,
        port: u16,
    ) -> Result<Helper> {
        let (postgres, at) = (
            skip::need_postgres("postgres")?.display().to_string(),
            self.folder.path().display().to_string(),
        );
        let (data, port) = (self.data().display().to_string(), port.to_string());
        let serve = [
            &postgres,
            "-D",
            &data,
            "-h",
            host,
            "-p",
            &port,
            "-k",
            &at,
            "-c",
            "fsync=off",
            "-c",
            "log_min_messages=panic",
        ];
        let (setpriv, args) = as_nobody(&serve)?;
        let program = start(&setpriv, &args)?;
        // It listens before it lets anybody in. Its socket in the file system is no connection of
        // TCP.
        wait::until("PostgreSQL's first answer", || {
            Ok(psql_at(netns, &at, &port).ok())
        })?;
        Ok(program)
    }
}

/// The command that runs another one as that user: it replaces itself by it, so the process stays
/// the same.
fn as_nobody(command: &[&str]) -> Result<(std::path::PathBuf, Vec<String>)> {
    let (uid, gid) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let args = [&uid, &gid, "--clear-groups", "--"];
    let args = args.iter().chain(command).map(|it| (*it).to_owned());
    Ok((skip::need("setpriv")?, args.collect()))
}

fn postgresql(netns: Netns) -> Result<Service> {
    let postgres = Postgres::new()?;
    let program = postgres.serve(&netns, "127.0.0.1", PORT)?;
    Ok(Service {
        netns,
        program,
        workers: Vec::new(),
        folder: postgres.folder,
    })
}

fn psql_at(netns: &Netns, host: &str, port: &str) -> Result<u32> {
    let program = skip::need_postgres("psql")?;
    let args = [
        "-h",
        host,
        "-p",
        port,
        "-U",
        "postgres",
        "-XAtc",
        "SELECT 41 + 1",
    ];
    let (pid, answer) = ask(netns, &program, &args)?;
    ensure!(answer.trim() == "42", "PostgreSQL answered {answer:?}");
    Ok(pid)
}

fn psql(netns: &Netns) -> Result<Vec<u32>> {
    let port = PORT.to_string();
    (0..REQUESTS)
        .map(|_| psql_at(netns, "127.0.0.1", &port))
        .collect()
}

fn curl(netns: &Netns) -> Result<Vec<u32>> {
    let program = skip::need("curl")?;
    let url = format!("http://127.0.0.1:{PORT}/");
    (0..REQUESTS)
        .map(|_| {
            let (pid, answer) = ask(netns, &program, &["-sS", "--noproxy", "*", &url])?;
            ensure!(answer == "hello", "nginx answered {answer:?}");
            Ok(pid)
        })
        .collect()
}

fn redis_cli(netns: &Netns) -> Result<Vec<u32>> {
    let program = skip::need("redis-cli")?;
    let port = PORT.to_string();
    (0..REQUESTS)
        .map(|_| {
            let (pid, answer) = ask(netns, &program, &["-p", &port, "PING"])?;
            ensure!(answer.trim() == "PONG", "redis answered {answer:?}");
            Ok(pid)
        })
        .collect()
}

/// A program, its client, and what they are called.
struct Pair {
    server: fn(Netns) -> Result<Service>,
    clients: fn(&Netns) -> Result<Vec<u32>>,
    server_name: &'static str,
    client_name: &'static str,
    needs: fn() -> Result<()>,
}

const NGINX: Pair = Pair {
    server: nginx,
    clients: curl,
    server_name: "nginx",
    client_name: "curl",
    needs: || skip::need("nginx").and(skip::need("curl")).map(drop),
};
const REDIS: Pair = Pair {
    server: redis,
    clients: redis_cli,
    server_name: "redis-server",
    client_name: "redis-cli",
    needs: || {
        skip::need("redis-server")
            .and(skip::need("redis-cli"))
            .map(drop)
    },
};
/// Each connection is in the hands of a process that the server forks for it.
const POSTGRESQL: Pair = Pair {
    server: postgresql,
    clients: psql,
    server_name: "postgres",
    client_name: "psql",
    needs: || {
        skip::need_postgres("postgres")
            .and(skip::need_postgres("psql"))
            .map(drop)
    },
};

fn nginx_started_after_tracer() -> Result<()> {
    both_ends(&NGINX, false)
}

fn nginx_started_before_tracer() -> Result<()> {
    both_ends(&NGINX, true)
}

fn redis_started_after_tracer() -> Result<()> {
    both_ends(&REDIS, false)
}

fn redis_started_before_tracer() -> Result<()> {
    both_ends(&REDIS, true)
}

fn postgresql_started_after_tracer() -> Result<()> {
    both_ends(&POSTGRESQL, false)
}

fn postgresql_started_before_tracer() -> Result<()> {
    both_ends(&POSTGRESQL, true)
}

/// Every request shows at both ends, with the true processes.
fn both_ends(pair: &Pair, server_first: bool) -> Result<()> {
    (pair.needs)()?;
    let netns = Netns::new()?;
    let (service, tracer) = if server_first {
        let service = (pair.server)(netns)?;
        (service, Tracer::stream(&[])?)
    } else {
        let tracer = Tracer::stream(&[])?;
        ((pair.server)(netns)?, tracer)
    };
    let clients = (pair.clients)(&service.netns)?;
    service.netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = expect::within(service.netns.inode(), &run.events()?);

    let at = std::net::SocketAddr::new([127, 0, 0, 1].into(), PORT);
    let listen = json!({"event": "listen", "listener": {"address": "127.0.0.1", "port": PORT},
        "process": {"pid": service.program.pid(), "comm": pair.server_name},
        "evidence": {"process": if server_first { "scan" } else { "hook" }}});
    one("the listener", &listen, &events)?;

    for pid in clients {
        let of = |event: &str| {
            json!({"event": event, "connection": {"direction": "outbound", "server": endpoint(at)},
                "process": {"pid": pid, "comm": pair.client_name}})
        };
        let connect = one("the client's open", &of("connect"), &events)?;
        let close = one("the client's close", &of("close"), &events)?;
        ensure!(
            connect["connection"]["id"] == close["connection"]["id"],
            "{connect}\n{close}"
        );
        let client = &connect["connection"]["client"];
        let of = |event: &str| json!({"event": event, "connection": {"direction": "inbound", "server": endpoint(at), "client": client}});
        let accept = one("the server's open", &of("accept"), &events)?;
        let ended = one("the server's close", &of("close"), &events)?;
        ensure!(
            accept["connection"]["id"] == ended["connection"]["id"],
            "{accept}\n{ended}"
        );
        for event in [accept, ended] {
            fits(event, &service, pair.server_name)?;
        }
        ensure!(
            close["connection"]["sent_bytes"] == ended["connection"]["received_bytes"],
            "{close}\n{ended}"
        );
        ensure!(
            close["connection"]["received_bytes"] == ended["connection"]["sent_bytes"],
            "{close}\n{ended}"
        );
        ensure!(
            close["connection"]["received_bytes"].as_u64() > Some(0),
            "nothing came back: {close}"
        );
    }
    for (event, count) in [
        ("connect", REQUESTS),
        ("accept", REQUESTS),
        ("close", 2 * REQUESTS),
        ("fail", 0),
    ] {
        expect::exactly(count, "in all", &json!({"event": event}), &events)?;
    }
    Ok(())
}

/// Whether the process of a server's end is the one that the evidence says.
fn fits(event: &Value, service: &Service, name: &str) -> Result<()> {
    let master = service.program.pid();
    ensure!(event["process"]["comm"] == name, "expected {name}: {event}");
    ensure!(
        event["workload"]["kind"] != "executable" || event["workload"]["name"] == name,
        "expected the workload {name}: {event}"
    );
    if name == POSTGRESQL.server_name && event["evidence"]["process"] == "close" {
        // By the one that was forked for it, which is gone.
        ensure!(
            event["process"]["pid"] != master,
            "forked by {master}: {event}"
        );
        return Ok(());
    }
    // A server without workers does everything itself.
    let workers = if service.workers.is_empty() {
        vec![master]
    } else {
        service.workers.clone()
    };
    let evidence = event["evidence"]["process"].as_str();
    if evidence == Some("read") && event["process"]["ppid"] == master {
        // A process that the master made for this connection, as PostgreSQL does.
        return Ok(());
    }
    let may = match evidence {
        Some("hook" | "read" | "close") => workers,
        Some("listener") => vec![master],
        _ => vec![],
    };
    let pid = event["process"]["pid"].as_u64();
    ensure!(
        may.iter().any(|may| Some(u64::from(*may)) == pid),
        "expected a process of {may:?}: {event}"
    );
    Ok(())
}
