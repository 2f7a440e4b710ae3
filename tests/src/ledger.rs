//! What really happened, written down by those who did it: one [`End`] for each end of
//! each connection, as JSON lines, a file a process.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The end that sent the SYN.
    Client,
    /// The end that was dialled.
    Server,
}

/// Who ended a connection, seen from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closer {
    /// This end was first.
    Local,
    /// The other end was first.
    Remote,
}

impl Closer {
    /// As tracer prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// One end of a connection that lived and died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which end.
    pub side: Side,
    /// Inode number of its network namespace.
    pub netns: u64,
    /// Who sent the SYN; IPv4-mapped addresses as IPv4, here and below.
    pub client: SocketAddr,
    /// Who was dialled.
    pub server: SocketAddr,
    /// The process that connected or accepted.
    pub opener: u32,
    /// The process that called `listen`, at a server's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<u32>,
    /// The process that closed it last.
    pub closer: u32,
    /// Payload bytes this end sent.
    pub sent: u64,
    /// Payload bytes this end received.
    pub received: u64,
    /// Who ended it; absent if nobody can know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Closer>,
    /// The other end reset it.
    pub reset: bool,
    /// It was there before tracer.
    #[serde(default)]
    pub existing: bool,
    /// A moment between its opening and its end: nanoseconds since 1970. Tells which of two with equal
    /// ends came first.
    pub at: u64,
}

impl End {
    /// The end of a client that did it all alone, and closed first without a word said.
    pub fn client(netns: u64, client: SocketAddr, server: SocketAddr, pid: u32) -> Self {
        Self {
            side: Side::Client,
            netns,
            client: canonical(client),
            server: canonical(server),
            opener: pid,
            listener: None,
            closer: pid,
            sent: 0,
            received: 0,
            closed_by: Some(Closer::Local),
            reset: false,
            existing: false,
            at: now(),
        }
    }

    /// The other end of it, of a server that did it all alone.
    pub fn server(netns: u64, client: SocketAddr, server: SocketAddr, pid: u32) -> Self {
        Self {
            side: Side::Server,
            listener: Some(pid),
            closed_by: Some(Closer::Remote),
            ..Self::client(netns, client, server, pid)
        }
    }
}

/// Nanoseconds since 1970 as tracer writes times, which compare as text.
pub fn rfc3339(at: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(at);
    humantime::format_rfc3339_nanos(time).to_string()
}

/// A process's own ledger.
#[derive(Debug)]
pub struct Ledger {
    file: BufWriter<File>,
}

impl Ledger {
    /// Opens the calling process's file in `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{}.jsonl", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("open the ledger {}", path.display()))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
        })
    }

    /// Writes one end down.
    pub fn add(&mut self, end: &End) -> Result<()> {
        serde_json::to_writer(&mut self.file, end).context("write the ledger")?;
        self.file.write_all(b"\n").context("write the ledger")
    }

    /// Makes sure everything is in the file.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().context("write the ledger")
    }
}

/// Reads every ledger in `folder`.
pub fn read(folder: &Path) -> Result<Vec<End>> {
    let mut ends = Vec::new();
    for entry in std::fs::read_dir(folder).context("list the ledgers")? {
        let path = entry.context("list the ledgers")?.path();
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        for line in BufReader::new(file).lines() {
            let line = line.with_context(|| format!("read {}", path.display()))?;
            ends.push(serde_json::from_str(&line).with_context(|| format!("parse {line}"))?);
        }
    }
    Ok(ends)
}

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The address with an IPv4-mapped one as IPv4. The scope stays.
pub fn canonical(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(address.ip().to_canonical());
    address
}
