//! What was done, and when.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::ledger::{Closer, Side};

/// When something was: not before the one and not after the other, nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The clock before it.
    pub earliest: i64,
    /// The clock after it.
    pub latest: i64,
}

impl Between {
    /// When `step` was; and what it gave.
    pub(super) fn of<T>(step: impl FnOnce() -> T) -> (Self, T) {
        let earliest = now();
        let given = step();
        (Self::since(earliest), given)
    }

    /// From then until now.
    pub(super) fn since(earliest: i64) -> Self {
        Self {
            earliest,
            latest: now(),
        }
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`.
pub(super) fn now() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// How an attempt failed, in the words of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    NoRoute,
    Refused,
    Abandoned,
    TimedOut,
    NotListening,
    AcceptQueueFull,
}

impl Why {
    /// Phase, reason and errno of the line.
    pub(super) fn words(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::NoRoute => ("local", "no_route", Some("ENETUNREACH")),
            Self::Refused => ("remote", "refused", Some("ECONNREFUSED")),
            Self::Abandoned => ("abandoned", "abandoned", None),
            Self::TimedOut => ("network", "timed_out", Some("ETIMEDOUT")),
            Self::NotListening => ("local", "not_listening", None),
            Self::AcceptQueueFull => ("local", "accept_queue_full", None),
        }
    }

    /// The id in `start.blind` where no hook sees it.
    pub(super) fn excuse(self) -> Option<&'static str> {
        match self {
            Self::NoRoute => Some("failures_before_syn"),
            Self::NotListening => Some("not_listening"),
            Self::AcceptQueueFull => Some("accept_queue_full"),
            Self::Refused | Self::Abandoned | Self::TimedOut => None,
        }
    }

    /// Which end tells of it.
    fn side(self) -> Side {
        match self {
            Self::NotListening | Self::AcceptQueueFull => Side::Server,
            _ => Side::Client,
        }
    }
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) side: Side,
    pub(super) server: SocketAddrV4,
    pub(super) client: SocketAddrV4,
    pub(super) pid: u32,
    /// connect() or accept().
    pub(super) opened: Between,
    /// The handshake; at a server's end that is between the client's connect() and accept().
    pub(super) handshake: Between,
    pub(super) ended: Between,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) closed_by: Closer,
    /// The other end reset it.
    pub(super) reset: bool,
}

impl Life {
    /// The name of this end.
    pub(super) fn name(&self) -> (Side, Ipv4Addr) {
        (self.side, *self.server.ip())
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) why: Why,
    pub(super) server: SocketAddrV4,
    pub(super) client: Option<SocketAddrV4>,
    /// Of the process that dialled, or that listens.
    pub(super) pid: Option<u32>,
    /// When it was begun.
    pub(super) begun: i64,
    pub(super) at: Between,
    /// Until when it may be told to whoever was not there at first.
    pub(super) again: Option<i64>,
}

impl Failed {
    /// The name of this end of it.
    pub(super) fn name(&self) -> (Side, Ipv4Addr) {
        (self.why.side(), *self.server.ip())
    }
}

/// A socket that listened.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Listened {
    pub(super) at: SocketAddrV4,
    pub(super) pid: u32,
    pub(super) begun: Between,
    pub(super) ended: Between,
}

/// A process that was executed and ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) pid: u32,
    /// Both of it.
    pub(super) lived: Between,
}

/// What a process writes down.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deed {
    Life(Life),
    Failed(Failed),
    Listened(Listened),
    Ran(Ran),
}

/// Writes them to the calling process's own file in `folder`.
pub(super) fn write(folder: &Path, deeds: &[Deed]) -> Result<()> {
    let path = folder.join(format!("{}.jsonl", std::process::id()));
    let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    for deed in deeds {
        serde_json::to_writer(&mut file, deed).context("write the truth")?;
        file.write_all(b"\n").context("write the truth")?;
    }
    file.flush().context("write the truth")
}

/// All that was done.
#[derive(Debug, Default)]
pub struct Truth {
    pub(super) netns: u64,
    pub(super) lives: HashMap<(Side, Ipv4Addr), Life>,
    pub(super) failed: HashMap<(Side, Ipv4Addr), Failed>,
    pub(super) listened: HashMap<Ipv4Addr, Listened>,
    pub(super) ran: HashMap<u32, Ran>,
}

impl Truth {
    pub(super) fn read(folder: &Path, netns: u64) -> Result<Self> {
        let mut truth = Self {
            netns,
            ..Self::default()
        };
        for entry in std::fs::read_dir(folder).context("list the files of the truth")? {
            let path = entry.context("list the files of the truth")?.path();
            let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
            for line in BufReader::with_capacity(1 << 20, file).lines() {
                let line = line.with_context(|| format!("read {}", path.display()))?;
                let deed = serde_json::from_str(&line).with_context(|| format!("parse {line}"))?;
                if truth.add(deed) {
                    bail!("the address of {line} was used twice");
                }
            }
        }
        truth.join()?;
        Ok(truth)
    }

    /// Tells whether something of the same name was there.
    fn add(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Life(life) => self.lives.insert(life.name(), life).is_some(),
            Deed::Failed(failed) => self.failed.insert(failed.name(), failed).is_some(),
            Deed::Listened(it) => self.listened.insert(*it.at.ip(), it).is_some(),
            Deed::Ran(ran) => self.ran.insert(ran.pid, ran).is_some(),
        }
    }

    /// What one end knows better than the other: an end is not before what either did for it (one that is reset
    /// knows nothing of that), and a handshake not before the client's connect().
    fn join(&mut self) -> Result<()> {
        let servers: Vec<Ipv4Addr> = self
            .lives
            .keys()
            .filter(|(side, _)| *side == Side::Server)
            .map(|(_, address)| *address)
            .collect();
        for address in servers {
            let [Some(client), Some(server)] = self
                .lives
                .get_disjoint_mut([&(Side::Client, address), &(Side::Server, address)])
            else {
                bail!("nobody dialled {address}");
            };
            let ended = client.ended.earliest.max(server.ended.earliest);
            (client.ended.earliest, server.ended.earliest) = (ended, ended);
            server.handshake.earliest = client.handshake.earliest;
            server.handshake.latest = server.opened.latest;
            server.opened.earliest = server.opened.earliest.max(client.handshake.earliest);
            if client.client != server.client || client.server != server.server {
                bail!("two ends of {address} differ: {client:?} and {server:?}");
            }
        }
        Ok(())
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.lives.values().map(|life| life.opened.earliest).min();
        let last = self.lives.values().map(|life| life.opened.latest).max();
        let seconds = last
            .zip(first)
            .map_or(0.0, |(last, first)| (last - first) as f64 / 1e9);
        let connections = self.lives.len() / 2;
        write!(
            f,
            "{connections} connections in {seconds:.3} s ({:.0}/s), {} ends of attempts that failed, {} listeners, {} processes",
            connections as f64 / seconds,
            self.failed.len(),
            self.listened.len(),
            self.ran.len(),
        )
    }
}
