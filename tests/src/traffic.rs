//! Many connections by many processes, each of which writes down what it did.
//!
//! The processes are the test binary itself, started again with a hidden first argument, so
//! that every pid in a ledger is a true one. The truth must not depend on a race: the end that
//! closes second has seen the end of the stream before it closes, and a reset is sent only when
//! both ends have read everything. The storm gives that up for speed, and its ledger then says
//! neither who closed nor how.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{WaitOptions, waitpid},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::{
    agent, flood, hold,
    ledger::{Closer, End, Ledger, Side, canonical, now},
    moments,
    netns::Netns,
    play, shop,
    tracer::Helper,
    wait,
};

/// The hidden first argument.
pub(crate) const MARK: &str = "--traffic";
/// What to do, where it is no argument: each line that tracer prints of a process has its arguments, and those of
/// most programs are short.
const PLAN: &str = "TRACER_TRAFFIC";

/// A server: where it listens and how it shares the work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Serve {
    /// Where to listen; port 0 for any. A wildcard IPv6 address takes IPv4 as well.
    pub listen: Vec<SocketAddr>,
    /// How connections are shared out.
    pub share: Share,
    /// What a connection looks like.
    pub talk: Talk,
    /// Folder of the ledgers.
    pub ledger: PathBuf,
}

/// How a server shares connections out among processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// The process that listens serves.
    Alone,
    /// So many processes accept from the one listening socket, and the one that listens does not.
    Prefork(usize),
    /// So many processes each listen at the same port, by `SO_REUSEPORT`.
    EachOwn(usize),
    /// The process that listens accepts, and a new process serves and closes each connection.
    Fork,
}

/// What the two ends say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Talk {
    /// Payload both ways, and every way to end, one after the other.
    Full,
    /// The client closes without a word. Only for clients.
    Silence,
    /// The client sends a byte and resets at once; the server reads it and closes.
    Storm,
}

/// A client: whom it dials and how often.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dial {
    /// Whom to dial, in turn.
    pub targets: Vec<Target>,
    /// How many connections.
    pub count: u32,
    /// What a connection looks like.
    pub talk: Talk,
    /// Bind the first connections to the ports from here on, `bound` of them.
    pub first_port: u16,
    /// How many connections to bind.
    pub bound: u16,
    /// Makes the sizes differ from those of other clients.
    pub seed: u32,
    /// Folder of the ledgers.
    pub ledger: PathBuf,
}

/// Whom a client dials.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The address.
    pub to: SocketAddr,
    /// Dial an IPv4 address through an IPv6 socket.
    pub mapped: bool,
    /// Spread storm connections over the addresses 127.x.y.1, so that ports never run out.
    pub spread: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its process, the one that listens.
    pub helper: Helper,
    /// Where it listens, in the order of [`Serve::listen`].
    pub addresses: Vec<SocketAddr>,
}

/// Starts a server in a namespace and waits until it listens.
pub fn serve(netns: &Netns, plan: &Serve) -> Result<Server> {
    let mut helper = Helper::new(spawn(netns, "serve", plan)?);
    let stdout = helper.take_stdout().context("the server's output")?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .context("read where the server listens")?;
    let addresses =
        serde_json::from_str(&line).with_context(|| format!("the server printed {line:?}"))?;
    Ok(Server { helper, addresses })
}

/// Starts a client in a namespace. It waits for a line on its standard input.
pub fn dial(netns: &Netns, plan: &Dial) -> Result<Helper> {
    Ok(Helper::new(spawn(netns, "dial", plan)?))
}

/// Lets clients go, all at once, and waits until all have succeeded.
pub fn go(clients: Vec<Helper>) -> Result<()> {
    start(clients)?.into_iter().try_for_each(Helper::finish)
}

/// Lets clients go, all at once.
pub fn start(mut clients: Vec<Helper>) -> Result<Vec<Helper>> {
    for client in &mut clients {
        client
            .input()
            .context("the client's input")?
            .write_all(b"go\n")
            .context("let a client go")?;
    }
    Ok(clients)
}

/// The test binary with the hidden arguments of `mode`.
pub fn command(mode: &str, plan: &impl Serialize) -> Result<Command> {
    let own = std::env::current_exe().context("find the test's own executable")?;
    let mut command = Command::new(own);
    command.args([MARK, mode, &serde_json::to_string(plan)?]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

pub(crate) fn spawn(
    netns: &Netns,
    mode: &str,
    plan: &impl Serialize,
) -> Result<std::process::Child> {
    let own = std::env::current_exe().context("find the test's own executable")?;
    let mut command = Command::new(own);
    netns.enter(&mut command);
    command
        .args([MARK, mode])
        .env(PLAN, serde_json::to_string(plan)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start a process that can {mode}"))
}

/// Does what the hidden arguments ask, if they are there. For the top of `main`.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned());
    if args.next()? != MARK {
        return None;
    }
    // Of a script, it is the name.
    let mode = args.next().unwrap_or_default();
    let mode = mode.rsplit('/').next().unwrap_or_default();
    let plan = args.next().or_else(|| std::env::var(PLAN).ok());
    let plan = plan.unwrap_or_default();
    let result = match mode {
        "serve" => parse(&plan).and_then(|plan| run_server(&plan)),
        "dial" => parse(&plan).and_then(|plan| run_client(&plan)),
        "hold-serve" => parse(&plan).and_then(|plan| hold::run_server(&plan)),
        "hold-dial" => parse(&plan).and_then(|plan| hold::run_client(&plan)),
        "flood" => parse(&plan).and_then(|plan| flood::run(&plan)),
        "agent" => agent::run(),
        "shop" => parse(&plan).and_then(|shop| shop::run(&shop)),
        "moments-serve" => parse(&plan).and_then(|folder: PathBuf| moments::run_server(&folder)),
        "moments-dial" => parse(&plan).and_then(|plan| moments::run_client(&plan)),
        "moments-run" => parse(&plan).and_then(|folder: PathBuf| moments::run_parent(&folder)),
        "moments-pass" => Ok(()),
        "play" => parse(&plan).and_then(|scene| play::run(&scene)),
        other => Err(anyhow::anyhow!("no traffic called {other}")),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traffic {mode} (process {}): {error:?}", std::process::id());
            ExitCode::FAILURE
        }
    })
}

fn parse<T: DeserializeOwned>(plan: &str) -> Result<T> {
    serde_json::from_str(plan).with_context(|| format!("parse the plan {plan}"))
}

pub(crate) fn own_netns() -> Result<u64> {
    Ok(std::fs::metadata("/proc/self/ns/net")
        .context("stat the network namespace")?
        .ino())
}

// --- the server -----------------------------------------------------------------------------

/// What a serving process knows of itself.
struct Station<'a> {
    plan: &'a Serve,
    netns: u64,
    /// The process that called `listen`.
    listener: u32,
}

fn run_server(plan: &Serve) -> Result<()> {
    if let Share::EachOwn(count) = plan.share {
        return run_each_own(plan, count);
    }
    let sockets: Vec<Socket> = plan
        .listen
        .iter()
        .map(|at| listen(*at))
        .collect::<Result<_>>()?;
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .map(|socket| local(socket).context("ask where it listens"))
        .collect::<Result<_>>()?;
    let station = Station {
        plan,
        netns: own_netns()?,
        listener: std::process::id(),
    };

    let mut children = Vec::new();
    if let Share::Prefork(count) = plan.share {
        for _ in 0..count {
            children.push(fork(|| station.work(&sockets))?);
        }
    }
    println!("{}", serde_json::to_string(&addresses)?);

    match plan.share {
        Share::Prefork(_) => {
            // The workers see the end of the same input; nothing is ever written to it.
            io::copy(&mut io::stdin(), &mut io::sink()).context("wait for the end")?;
            children.into_iter().try_for_each(reap)
        }
        Share::Alone | Share::Fork | Share::EachOwn(_) => station.work(&sockets),
    }
}

/// The parent takes the ports and never listens; each child listens and serves.
fn run_each_own(plan: &Serve, count: usize) -> Result<()> {
    let sockets: Vec<Socket> = plan
        .listen
        .iter()
        .map(|at| bind(*at, true))
        .collect::<Result<_>>()?;
    let addresses: Vec<SocketAddr> = sockets
        .iter()
        .map(|socket| local(socket).context("ask where it is bound"))
        .collect::<Result<_>>()?;
    let netns = own_netns()?;
    let (ready, listens) = rustix::pipe::pipe().context("make a pipe")?;
    let mut children = Vec::new();
    for _ in 0..count {
        children.push(fork(|| {
            let own: Vec<Socket> = addresses
                .iter()
                .map(|at| serve_at(bind(*at, true)?))
                .collect::<Result<_>>()?;
            rustix::io::write(&listens, b"l").context("say that it listens")?;
            let listener = std::process::id();
            let station = Station {
                plan,
                netns,
                listener,
            };
            station.work(&own)
        })?);
    }
    drop(listens);
    let mut ready = std::fs::File::from(ready);
    ready
        .read_exact(&mut vec![0; count])
        .context("wait until all listen")?;
    println!("{}", serde_json::to_string(&addresses)?);
    io::copy(&mut io::stdin(), &mut io::sink()).context("wait for the end")?;
    children.into_iter().try_for_each(reap)
}

pub(crate) fn listen(at: SocketAddr) -> Result<Socket> {
    serve_at(bind(at, false)?)
}

fn bind(at: SocketAddr, shared: bool) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)
        .context("make a listening socket")?;
    if at.is_ipv6() {
        socket
            .set_only_v6(!at.ip().is_unspecified())
            .context("set IPV6_V6ONLY")?;
    }
    socket.set_reuse_address(true).context("set SO_REUSEADDR")?;
    socket.set_reuse_port(shared).context("set SO_REUSEPORT")?;
    socket
        .bind(&at.into())
        .with_context(|| format!("bind {at}"))?;
    Ok(socket)
}

fn serve_at(socket: Socket) -> Result<Socket> {
    socket.listen(4096).context("listen")?;
    socket
        .set_nonblocking(true)
        .context("make the listening socket non-blocking")?;
    Ok(socket)
}

pub(crate) fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

impl Station<'_> {
    /// Accepts and serves until standard input ends and no connection waits.
    fn work(&self, sockets: &[Socket]) -> Result<()> {
        let mut ledger = Ledger::open(&self.plan.ledger)?;
        loop {
            let stdin = io::stdin();
            let mut waited: Vec<PollFd<'_>> = sockets
                .iter()
                .map(|socket| PollFd::new(socket, PollFlags::IN))
                .collect();
            waited.push(PollFd::new(&stdin, PollFlags::IN));
            match poll(&mut waited, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("wait for a connection"),
            }
            let ended = waited
                .last()
                .is_some_and(|input| !input.revents().is_empty());
            for socket in sockets {
                while let Some((stream, peer)) = accept(socket)? {
                    self.serve(stream, peer, &mut ledger)?;
                }
            }
            if ended {
                return ledger.finish();
            }
        }
    }

    fn serve(&self, stream: Socket, peer: SocketAddr, ledger: &mut Ledger) -> Result<()> {
        let at = now();
        let end = End {
            side: Side::Server,
            netns: self.netns,
            client: canonical(peer),
            server: canonical(local(&stream).context("ask for an accepted connection's own end")?),
            opener: std::process::id(),
            listener: Some(self.listener),
            closer: std::process::id(),
            sent: 0,
            received: 0,
            closed_by: None,
            reset: false,
            existing: false,
            at,
        };
        match (self.plan.talk, self.plan.share) {
            (Talk::Storm, _) => {
                let received = match (&stream).read(&mut [0; 1]) {
                    Ok(count) => count as u64,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                    Err(error) => return Err(error).context("read the byte"),
                };
                drop(stream);
                ledger.add(&End { received, ..end })
            }
            (Talk::Full | Talk::Silence, Share::Fork) => self.hand_over(stream, end),
            (Talk::Full | Talk::Silence, _) => ledger.add(&answer(stream, end)?),
        }
    }

    /// Serves the connection in a process of its own, which is the last to close it.
    fn hand_over(&self, stream: Socket, end: End) -> Result<()> {
        let (theirs, ours) = rustix::pipe::pipe().context("make a pipe")?;
        let folder = &self.plan.ledger;
        // The parent's copy of the connection goes when `fork` returns there.
        let child = fork(move || {
            // It must be gone first, or the parent might be the last to close.
            rustix::io::read(&theirs, &mut [0; 1]).context("wait for the parent")?;
            let mut ledger = Ledger::open(folder)?;
            ledger.add(&answer(
                stream,
                End {
                    closer: std::process::id(),
                    ..end
                },
            )?)?;
            ledger.finish()
        })?;
        rustix::io::write(&ours, b"g").context("tell the child")?;
        reap(child)
    }
}

fn accept(socket: &Socket) -> Result<Option<(Socket, SocketAddr)>> {
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                let peer = peer
                    .as_socket()
                    .context("an accepted connection's other end")?;
                return Ok(Some((stream, peer)));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("accept"),
        }
    }
}

/// Runs `work` in a forked process, which then exits. Only for processes with one thread.
pub(crate) fn fork(work: impl FnOnce() -> Result<()>) -> Result<rustix::process::Pid> {
    // SAFETY: a traffic process has one thread, so the child's memory is whole.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error()).context("fork");
    }
    if let Some(child) = rustix::process::Pid::from_raw(pid) {
        return Ok(child);
    }
    let code = match work() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("traffic (process {}): {error:?}", std::process::id());
            1
        }
    };
    // SAFETY: ends the process without running what belongs to the parent.
    unsafe { libc::_exit(code) }
}

pub(crate) fn reap(child: rustix::process::Pid) -> Result<()> {
    let (_, status) = waitpid(Some(child), WaitOptions::empty())
        .context("wait for a child")?
        .context("a child")?;
    ensure!(
        status.exit_status() == Some(0),
        "a child ended with {status:?}"
    );
    Ok(())
}

// --- the conversation -----------------------------------------------------------------------

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    ClientFirst,
    ServerFirst,
    ClientResets,
    ServerResets,
    /// The client closes without a word.
    Silent,
}

const ENDINGS: [Ending; 5] = [
    Ending::ClientFirst,
    Ending::ServerFirst,
    Ending::ClientResets,
    Ending::ServerResets,
    Ending::Silent,
];

/// What the client sends first: how to end, and the sizes both ways.
const HEADER: usize = 12;

fn header(ending: u8, there: u32, back: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[0] = ending;
    bytes[4..8].copy_from_slice(&there.to_le_bytes());
    bytes[8..12].copy_from_slice(&back.to_le_bytes());
    bytes
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// The server's part. Returns `end` completed.
fn answer(stream: Socket, end: End) -> Result<End> {
    let stream = TcpStream::from(stream);
    stream
        .set_read_timeout(Some(wait::DEADLINE))
        .context("set a deadline")?;
    stream
        .set_write_timeout(Some(wait::DEADLINE))
        .context("set a deadline")?;
    let mut head = [0; HEADER];
    match (&stream).read(&mut head[..1]).context("read the header")? {
        0 => {
            return Ok(End {
                closed_by: Some(Closer::Remote),
                ..end
            });
        }
        _ => (&stream)
            .read_exact(&mut head[1..])
            .context("read the header")?,
    }
    let ending = *ENDINGS
        .get(usize::from(head[0]))
        .context("an unknown ending")?;
    let (there, back) = (word(&head[4..8]), word(&head[8..12]));
    take(&stream, there)?;
    give(&stream, back)?;
    let mut received = HEADER as u64 + u64::from(there);
    let mut reset = false;
    let closed_by = match ending {
        Ending::ServerFirst => Closer::Local,
        Ending::ServerResets => {
            take(&stream, 1).context("wait until the client has read everything")?;
            received += 1;
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .context("set SO_LINGER")?;
            Closer::Local
        }
        Ending::ClientFirst | Ending::ClientResets | Ending::Silent => {
            reset = finished(&stream)?;
            ensure!(
                reset == (ending == Ending::ClientResets),
                "{ending:?} ended with a reset: {reset}"
            );
            Closer::Remote
        }
    };
    drop(stream);
    Ok(End {
        sent: back.into(),
        received,
        closed_by: Some(closed_by),
        reset,
        ..end
    })
}

/// The client's part. Returns `end` completed.
fn converse(stream: Socket, ending: usize, there: u32, back: u32, end: End) -> Result<End> {
    let stream = TcpStream::from(stream);
    stream
        .set_read_timeout(Some(wait::DEADLINE))
        .context("set a deadline")?;
    stream
        .set_write_timeout(Some(wait::DEADLINE))
        .context("set a deadline")?;
    let code = u8::try_from(ending)?;
    let ending = ENDINGS[ending];
    if ending == Ending::Silent {
        return Ok(End {
            closed_by: Some(Closer::Local),
            ..end
        });
    }
    (&stream)
        .write_all(&header(code, there, back))
        .context("send the header")?;
    give(&stream, there)?;
    take(&stream, back)?;
    let mut sent = HEADER as u64 + u64::from(there);
    let mut reset = false;
    let closed_by = match ending {
        Ending::ClientResets => {
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .context("set SO_LINGER")?;
            Closer::Local
        }
        Ending::ServerFirst | Ending::ServerResets => {
            if ending == Ending::ServerResets {
                give(&stream, 1)?;
                sent += 1;
            }
            reset = finished(&stream)?;
            ensure!(
                reset == (ending == Ending::ServerResets),
                "{ending:?} ended with a reset: {reset}"
            );
            Closer::Remote
        }
        Ending::ClientFirst | Ending::Silent => Closer::Local,
    };
    drop(stream);
    Ok(End {
        sent,
        received: back.into(),
        closed_by: Some(closed_by),
        reset,
        ..end
    })
}

fn give(mut stream: &TcpStream, size: u32) -> Result<()> {
    let chunk = [0x5a; 8192];
    let mut left = size as usize;
    while left > 0 {
        let next = left.min(chunk.len());
        stream.write_all(&chunk[..next]).context("send payload")?;
        left -= next;
    }
    Ok(())
}

fn take(mut stream: &TcpStream, size: u32) -> Result<()> {
    let mut chunk = [0; 8192];
    let mut left = size as usize;
    while left > 0 {
        let next = left.min(chunk.len());
        let got = stream.read(&mut chunk[..next]).context("receive payload")?;
        ensure!(got > 0, "the stream ended {left} bytes early");
        left -= got;
    }
    Ok(())
}

/// Waits for the end of the stream. True if it was a reset.
fn finished(mut stream: &TcpStream) -> Result<bool> {
    match stream.read(&mut [0; 1]) {
        Ok(0) => Ok(false),
        Ok(_) => bail!("payload after the end"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
        Err(error) => Err(error).context("wait for the end of the stream"),
    }
}

// --- the client -----------------------------------------------------------------------------

fn run_client(plan: &Dial) -> Result<()> {
    let mut ledger = Ledger::open(&plan.ledger)?;
    let netns = own_netns()?;
    io::stdin()
        .read_line(&mut String::new())
        .context("wait for the start")?;
    for n in 0..plan.count {
        let target = plan.targets[n as usize % plan.targets.len()];
        let to = target.address(n, plan.seed);
        let socket = target.socket()?;
        if n < u32::from(plan.bound) {
            let port = plan.first_port + u16::try_from(n)?;
            let any: IpAddr = if to.is_ipv4() && !target.mapped {
                [0; 4].into()
            } else {
                [0u16; 8].into()
            };
            socket
                .bind(&SocketAddr::new(any, port).into())
                .with_context(|| format!("bind port {port}"))?;
        }
        socket
            .connect(&target.dialled(to))
            .with_context(|| format!("dial {to}"))?;
        // After connect(): only then is the port taken, and before the close that frees it.
        let at = now();
        let own = local(&socket).context("ask for the own end")?;
        let end = End {
            side: Side::Client,
            netns,
            client: canonical(own),
            server: to,
            opener: std::process::id(),
            listener: None,
            closer: std::process::id(),
            sent: 0,
            received: 0,
            closed_by: None,
            reset: false,
            existing: false,
            at,
        };
        let end = match plan.talk {
            Talk::Storm => {
                (&socket).write_all(&[0x5a]).context("send the byte")?;
                socket
                    .set_linger(Some(Duration::ZERO))
                    .context("set SO_LINGER")?;
                drop(socket);
                End { sent: 1, ..end }
            }
            Talk::Silence => {
                drop(socket);
                End {
                    closed_by: Some(Closer::Local),
                    ..end
                }
            }
            Talk::Full => {
                let (there, back) = sizes(n, plan.seed);
                // By the round over the targets, so that every target meets every ending.
                let ending = n as usize / plan.targets.len() % ENDINGS.len();
                converse(socket, ending, there, back, end)?
            }
        };
        ledger.add(&end)?;
    }
    ledger.finish()
}

/// Payload sizes of the `n`th connection: mostly small, now and then many segments.
fn sizes(n: u32, seed: u32) -> (u32, u32) {
    let mixed = n
        .wrapping_mul(2_654_435_761)
        .wrapping_add(seed.wrapping_mul(40_503));
    let big = |every: u32| {
        if (n + seed) % every == every - 1 {
            150_000
        } else {
            0
        }
    };
    (mixed % 3001 + big(53), (mixed >> 12) % 2999 + 1 + big(59))
}

impl Target {
    /// A target that is dialled as it is.
    pub fn plain(to: SocketAddr) -> Self {
        Self {
            to,
            mapped: false,
            spread: false,
        }
    }

    fn address(self, n: u32, seed: u32) -> SocketAddr {
        if !self.spread {
            return self.to;
        }
        let [_, x, y, _] = (n / 16 + seed * 977)
            .to_be_bytes()
            .map(|byte| byte % 250 + 1);
        SocketAddr::new([127, x, y, (n % 16 + 1) as u8].into(), self.to.port())
    }

    fn socket(self) -> Result<Socket> {
        let domain = if self.mapped {
            Domain::IPV6
        } else {
            Domain::for_address(self.to)
        };
        Socket::new(domain, Type::STREAM, None).context("make a socket")
    }

    fn dialled(self, to: SocketAddr) -> SockAddr {
        match to {
            SocketAddr::V4(v4) if self.mapped => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()).into()
            }
            other => other.into(),
        }
    }
}

/// Waits until `fd` has something to read or is at its end; false at the deadline.
pub fn readable(fd: BorrowedFd<'_>) -> Result<bool> {
    let deadline = rustix::event::Timespec {
        tv_sec: wait::DEADLINE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let mut waited = [PollFd::new(&fd, PollFlags::IN)];
    loop {
        match poll(&mut waited, Some(&deadline)) {
            Ok(n) => return Ok(n > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for input"),
        }
    }
}

/// Waits for one line of a helper's output.
pub fn line(from: &mut BufReader<std::process::ChildStdout>) -> Result<String> {
    let mut line = String::new();
    if from.buffer().is_empty() {
        ensure!(
            readable(from.get_ref().as_fd())?,
            "a helper process does not answer"
        );
    }
    from.read_line(&mut line)
        .context("read a helper's answer")?;
    ensure!(
        !line.is_empty(),
        "a helper process ended instead of answering"
    );
    Ok(line)
}
