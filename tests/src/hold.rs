//! Very many connections that are held open until a test lets go of them.
//!
//! One process dials them all, another accepts them all; each says something on every one,
//! and writes its ledger at the end. The client closes first.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::{
    ledger::{Closer, End, Ledger, Side, canonical, now},
    netns::Netns,
    tracer::Helper,
    traffic,
};

/// What the hidden arguments carry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where to listen, or the port to dial.
    pub at: SocketAddr,
    /// How many connections.
    pub count: usize,
    /// Folder of the ledgers.
    pub ledger: PathBuf,
}

/// What the client says on each connection, and the server.
const QUESTION: usize = 300;
const ANSWER: usize = 1700;

/// Descriptors for anything but the connections.
const SPARE: usize = 100;

/// Connections that are open.
#[derive(Debug)]
pub struct Held {
    client: Helper,
    server: Helper,
}

impl Held {
    /// How many the processes can hold without more rights than they have.
    pub fn most() -> usize {
        let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_sub(SPARE)
    }

    /// Opens `count` connections within a namespace.
    pub fn open(netns: &Netns, count: usize, ledger: PathBuf) -> Result<Self> {
        let mut plan = Plan {
            at: "0.0.0.0:0".parse()?,
            count,
            ledger,
        };
        let mut server = Helper::new(traffic::spawn(netns, "hold-serve", &plan)?);
        let mut said = BufReader::new(server.take_stdout().context("the server's output")?);
        plan.at = serde_json::from_str(&traffic::line(&mut said)?)
            .context("read where the server listens")?;
        let mut client = Helper::new(traffic::spawn(netns, "hold-dial", &plan)?);
        let mut said = BufReader::new(client.take_stdout().context("the client's output")?);
        traffic::line(&mut said).context("wait until all connections are open")?;
        Ok(Self { client, server })
    }

    /// Closes them all, and waits until that is done.
    pub fn close(mut self) -> Result<()> {
        let input = self.client.input().context("the client's input")?;
        input.write_all(b"close\n").context("let go")?;
        self.client.finish()?;
        self.server.finish()
    }
}

/// Room for `count` sockets and some more. More than the limit of limits only for root.
pub(crate) fn many_descriptors(count: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(count + SPARE)?;
    let enough = limit.maximum.is_none_or(|maximum| maximum >= wanted);
    let most = if enough { limit.maximum } else { Some(wanted) };
    let most = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, most).context("raise the limit of open files")
}

fn end(side: Side, netns: u64, client: SocketAddr, server: SocketAddr) -> End {
    let own = std::process::id();
    let (sent, received) = match side {
        Side::Client => (QUESTION as u64, ANSWER as u64),
        Side::Server => (ANSWER as u64, QUESTION as u64),
    };
    End {
        side,
        netns,
        client: canonical(client),
        server: canonical(server),
        opener: own,
        listener: (side == Side::Server).then_some(own),
        closer: own,
        sent,
        received,
        closed_by: Some(match side {
            Side::Client => Closer::Local,
            Side::Server => Closer::Remote,
        }),
        reset: false,
        existing: false,
        at: now(),
    }
}

/// The server: a process of the traffic.
pub(crate) fn run_server(plan: &Plan) -> Result<()> {
    many_descriptors(plan.count)?;
    let socket = traffic::listen(plan.at)?;
    socket
        .set_nonblocking(false)
        .context("make the listening socket blocking")?;
    println!("{}", serde_json::to_string(&traffic::local(&socket)?)?);
    let netns = traffic::own_netns()?;
    let mut held = Vec::new();
    for _ in 0..plan.count {
        let (mut stream, peer) = socket.accept().context("accept")?;
        stream
            .read_exact(&mut [0; QUESTION])
            .context("read the question")?;
        stream.write_all(&[1; ANSWER]).context("answer")?;
        let peer = peer.as_socket().context("the other end")?;
        let own = traffic::local(&stream).context("the own end")?;
        held.push((stream, end(Side::Server, netns, peer, own)));
    }
    let mut ledger = Ledger::open(&plan.ledger)?;
    for (mut stream, end) in held {
        let more = stream.read(&mut [0; 1]).context("wait for the end")?;
        ensure!(more == 0, "payload after the end");
        drop(stream);
        ledger.add(&end)?;
    }
    ledger.finish()
}

/// The client: likewise.
pub(crate) fn run_client(plan: &Plan) -> Result<()> {
    many_descriptors(plan.count)?;
    let netns = traffic::own_netns()?;
    let mut held = Vec::new();
    for n in 0..plan.count {
        // Ports are per address: so many addresses that they suffice.
        let third = u8::try_from(n / 16_384).context("too many connections")?;
        let at = SocketAddr::new([127, 0, third, 1].into(), plan.at.port());
        let mut stream =
            Socket::new(Domain::for_address(at), Type::STREAM, None).context("make a socket")?;
        stream
            .connect(&at.into())
            .with_context(|| format!("dial {at}"))?;
        stream.write_all(&[1; QUESTION]).context("ask")?;
        stream
            .read_exact(&mut [0; ANSWER])
            .context("read the answer")?;
        let own = traffic::local(&stream).context("the own end")?;
        held.push((stream, end(Side::Client, netns, own, at)));
    }
    println!("open");
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .context("wait for the end")?;
    let mut ledger = Ledger::open(&plan.ledger)?;
    for (stream, end) in held {
        drop(stream);
        ledger.add(&end)?;
    }
    ledger.finish()
}
