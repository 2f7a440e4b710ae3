//! Names of servers, as programs ask a real name server for them: dnsmasq, by curl.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer_tests::{
    expect,
    netns::Netns,
    skip, tests,
    tracer::{self, Helper, Tracer},
};

use crate::failures::is_blind_to;

tests!("resolver":
    a_name_is_whose_who_asked_for_it,
    namespaces_do_not_mix,
    answers_that_nobody_asked_for_are_not_believed,
    addresses_are_asked_about_only_where_that_is_wanted,
);

/// Where the servers are.
const V4: &str = "10.9.8.7";
const V6: &str = "fd00:9::7";

/// A namespace with a name server, and what refuses connections at the addresses it gives.
struct Place {
    netns: Netns,
    folder: tempfile::TempDir,
    _server: Helper,
}

/// Asks for `name`, and dials what it stands for.
struct Ask {
    name: &'static str,
    over_tcp: bool,
    ipv6: bool,
}

impl Ask {
    const fn of(name: &'static str) -> Self {
        Self {
            name,
            over_tcp: false,
            ipv6: false,
        }
    }
}

impl Place {
    /// `records` are arguments of dnsmasq.
    fn new(records: &[&str]) -> Result<Self> {
        let program = skip::need("dnsmasq")?;
        let netns = Netns::new()?;
        // What is at a loopback address gets no name.
        netns.command("ip", &["address", "add", V4, "dev", "lo"])?;
        netns.command("ip", &["address", "add", V6, "dev", "lo"])?;
        let folder = tempfile::tempdir().context("make a folder")?;
        std::fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n")
            .context("write resolv.conf")?;
        let mut command = Command::new(program);
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--user=root",
                "--group=root",
                "--pid-file=",
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--local=/test/",
            ])
            .args(records)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        netns.enter(&mut command);
        let server = Helper::new(command.spawn().context("start dnsmasq")?);
        netns.wait_listening(53)?;
        Ok(Self {
            netns,
            folder,
            _server: server,
        })
    }

    /// A server that answers nothing but lets everybody in; gives its port.
    fn listen(&self, addresses: &[&str]) -> Result<(Vec<TcpListener>, u16)> {
        self.netns.run(|| {
            let mut listeners = Vec::new();
            let mut port = 0;
            for address in addresses {
                let address: IpAddr = address.parse()?;
                let listener = TcpListener::bind(SocketAddr::new(address, port))
                    .with_context(|| format!("listen at {address}"))?;
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Ok((listeners, port))
        })
    }

    /// curl, which connects and then gives up. Gives its process id.
    fn curl(&self, ask: &Ask, port: u16) -> Result<u32> {
        let mut command = Command::new(skip::need("curl")?);
        command
            .arg(if ask.ipv6 { "-6" } else { "-4" })
            .args(["--silent", "--max-time", "1", "--output", "/dev/null"])
            .arg(format!("telnet://{}:{port}", ask.name))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        if ask.over_tcp {
            command.env("RES_OPTIONS", "use-vc");
        }
        self.netns.enter(&mut command);
        resolve_by(&mut command, &self.folder.path().join("resolv.conf"))?;
        let mut child = command.spawn().context("start curl")?;
        let pid = child.id();
        child.wait().context("wait for curl")?;
        Ok(pid)
    }
}

/// Lets a program find `file` at the place of /etc/resolv.conf, in a mount namespace of its own.
fn resolve_by(command: &mut Command, file: &Path) -> Result<()> {
    let text = |path: &Path| std::ffi::CString::new(path.as_os_str().as_encoded_bytes());
    let file = text(file)?;
    let place = text(Path::new("/etc/resolv.conf"))?;
    // SAFETY: the closure only makes system calls; it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            let none = std::ptr::null();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            if libc::unshare(libc::CLONE_NEWNS) != 0
                || libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
                || libc::mount(
                    file.as_ptr(),
                    place.as_ptr(),
                    none,
                    libc::MS_BIND,
                    none.cast(),
                ) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    Ok(())
}

/// Skips where this set of hooks does not see what is asked.
pub(crate) fn start() -> Result<Tracer> {
    let mut tracer = Tracer::stream(&[])?;
    let start = tracer.wait_for("start", |event| event["event"] == "start")?;
    if is_blind_to(&start, "dns")? {
        tracer.stop()?;
        return skip::not_here(
            "names",
            "these hooks do not see what processes ask name servers",
        );
    }
    Ok(tracer)
}

/// The one line of this kind by `pid` to `port`.
fn line(events: &[Value], kind: &str, pid: u32, port: u16) -> Result<Value> {
    expect::one(
        &format!("{kind} by {pid} to {port}"),
        &json!({"event": kind, "process": {"pid": pid}, "connection": {"server": {"port": port}}}),
        events,
    )
    .cloned()
}

/// Two names with one address, and another name for one of them.
const RECORDS: &[&str] = &[
    "--host-record=db.test,neighbour.test,10.9.8.7,fd00:9::7",
    "--cname=alias.test,db.test",
];

fn a_name_is_whose_who_asked_for_it() -> Result<()> {
    let tracer = start()?;
    let place = Place::new(RECORDS)?;
    let (listeners, port) = place.listen(&[V4, V6])?;
    let mut asked = Vec::new();
    for (over_tcp, ipv6) in [(false, false), (true, true)] {
        for name in ["db.test", "neighbour.test", "alias.test"] {
            let ask = Ask {
                name,
                over_tcp,
                ipv6,
            };
            asked.push((place.curl(&ask, port)?, ask));
        }
    }
    // One whose attempt fails.
    let failing = place.curl(&Ask::of("neighbour.test"), 1)?;
    drop(listeners);
    place.netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    expect::well_formed(&events)?;
    for (pid, ask) in asked {
        for kind in ["connect", "close"] {
            let line = line(&events, kind, pid, port)?;
            let server = &line["connection"]["server"];
            ensure!(
                server["name"] == ask.name && line["evidence"]["name"] == "dns",
                "asked for {} (over TCP: {}): {line}",
                ask.name,
                ask.over_tcp
            );
            let canonical = server["canonical"].as_str();
            let expected = (ask.name == "alias.test").then_some("db.test");
            ensure!(canonical == expected, "the name of an alias: {line}");
            ensure!(
                server["address"] == if ask.ipv6 { V6 } else { V4 },
                "the address of a name: {line}"
            );
        }
    }
    let line = line(&events, "fail", failing, 1)?;
    ensure!(
        line["connection"]["server"]["name"] == "neighbour.test",
        "a name of what fails: {line}"
    );
    Ok(())
}

fn namespaces_do_not_mix() -> Result<()> {
    let tracer = start()?;
    let one = Place::new(&["--host-record=one.test,10.9.8.7"])?;
    let other = Place::new(&["--host-record=other.test,10.9.8.7"])?;
    let mut asked = Vec::new();
    let mut listeners = Vec::new();
    for (place, name) in [(&one, "one.test"), (&other, "other.test")] {
        let (listening, port) = place.listen(&[V4])?;
        asked.push((place.curl(&Ask::of(name), port)?, port, Some(name)));
        // By its address: what others asked for there is the best that is known.
        asked.push((place.curl(&Ask::of(V4), port)?, port, Some(name)));
        listeners.push(listening);
    }
    let silent = Place::new(&[])?;
    let (listening, port) = silent.listen(&[V4])?;
    asked.push((silent.curl(&Ask::of(V4), port)?, port, None));
    drop((listening, listeners));
    for place in [&one, &other, &silent] {
        place.netns.wait_settled()?;
    }
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let events = run.events()?;
    for (pid, port, name) in asked {
        let line = line(&events, "connect", pid, port)?;
        ensure!(
            line["connection"]["server"]["name"].as_str() == name,
            "expected the name {name:?}: {line}"
        );
    }
    Ok(())
}

/// A forged answer comes to the very socket that asked, from the very server, under a name that
/// was not asked for; and a true-looking one where nothing was asked.
fn answers_that_nobody_asked_for_are_not_believed() -> Result<()> {
    let tracer = start()?;
    let netns = Netns::new()?;
    netns.command("ip", &["address", "add", V4, "dev", "lo"])?;
    let port = netns.run(|| {
        let server = std::net::UdpSocket::bind("127.0.0.1:53").context("take port 53")?;
        let client = std::net::UdpSocket::bind("127.0.0.1:0").context("make a socket")?;
        client.connect("127.0.0.1:53").context("connect")?;
        client.send(&question(7, "asked")).context("ask")?;
        for (id, name) in [(7, "forged"), (8, "asked"), (9, "unasked")] {
            let to = client.local_addr()?;
            server.send_to(&answer(id, name, [10, 9, 8, 7]), to)?;
            client.recv(&mut [0; 512]).context("receive")?;
        }
        let listener = TcpListener::bind((V4, 0)).context("listen")?;
        let at = listener.local_addr()?;
        drop(TcpStream::connect(at).context("connect")?);
        Ok(at.port())
    })?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    let events = run.events()?;
    let line = line(&events, "connect", std::process::id(), port)?;
    ensure!(
        line["connection"]["server"]["name"].is_null(),
        "a name that nobody asked for: {line}"
    );
    Ok(())
}

/// A question for the IPv4 address of `NAME.test`.
pub(crate) fn question(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.push(name.len() as u8);
    bytes.extend(name.bytes());
    bytes.extend(b"\x04test\0\0\x01\0\x01");
    bytes
}

pub(crate) fn answer(id: u16, name: &str, address: [u8; 4]) -> Vec<u8> {
    let mut bytes = question(id, name);
    bytes[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
    bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    bytes.extend(address);
    bytes
}

/// tracer itself asks a name server only with `--reverse-dns`; what that says is in later lines.
fn addresses_are_asked_about_only_where_that_is_wanted() -> Result<()> {
    let logs = tempfile::tempdir().context("make a folder for the log")?;
    let log = logs.path().join("questions");
    let facility = format!("--log-facility={}", log.display());
    let place = Place::new(&["--host-record=db.test,10.9.8.7", "--log-queries", &facility])?;
    let (listeners, port) = place.listen(&[V4])?;
    for is_wanted in [false, true] {
        let wanted: &[&str] = if is_wanted { &["--reverse-dns"] } else { &[] };
        let mut command = tracer::stream_command(wanted)?;
        place.netns.enter(&mut command);
        resolve_by(&mut command, &place.folder.path().join("resolv.conf"))?;
        let tracer = Tracer::start(&mut command)?;
        place.netns.run(|| {
            let to: SocketAddr = format!("{V4}:{port}").parse()?;
            let connection = TcpStream::connect(to).context("connect")?;
            // Long enough for an answer, for which nobody waits.
            std::thread::sleep(Duration::from_secs(1));
            drop(connection);
            Ok(())
        })?;
        for listener in &listeners {
            drop(listener.accept().context("accept")?);
        }
        place.netns.wait_settled()?;
        let run = tracer.stop()?;
        run.expect_code(0)?;
        let events = expect::within(place.netns.inode(), &run.events()?);
        let close = json!({"event": "close", "connection": {"direction": "outbound", "server": {"port": port}}});
        let close = expect::one("the close", &close, &events)?;
        let asked = std::fs::read_to_string(&log).context("read the log")?;
        if is_wanted {
            ensure!(
                close["connection"]["server"]["name"] == "db.test"
                    && close["evidence"]["name"] == "reverse",
                "{close}"
            );
            ensure!(asked.contains("[PTR]"), "it was not asked: {asked}");
        } else {
            ensure!(
                close["connection"]["server"]["name"].is_null(),
                "a name from nowhere: {close}"
            );
            ensure!(!asked.contains("[PTR]"), "asked unasked: {asked}");
        }
    }
    Ok(())
}
