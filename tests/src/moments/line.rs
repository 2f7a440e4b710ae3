//! What is read of a line of a recording.

use std::{borrow::Cow, net::IpAddr, net::Ipv4Addr, net::SocketAddrV4, time::UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::ledger::Side;

#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) connection: Option<Connection<'a>>,
    pub(super) listener: Option<Listener>,
    pub(super) process: Option<Process>,
    #[serde(borrow)]
    pub(super) failure: Option<Failure<'a>>,
    #[serde(borrow)]
    pub(super) evidence: Option<Evidence<'a>>,
    #[serde(borrow)]
    pub(super) tracer: Option<Tracer<'a>>,
    #[serde(default, borrow)]
    pub(super) blind: Vec<Blind<'a>>,
    #[serde(borrow)]
    pub(super) coverage: Option<Coverage<'a>>,
    #[serde(default)]
    pub(super) missed: u64,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Connection<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    direction: Option<Cow<'a, str>>,
    pub(super) netns: Option<u64>,
    client: Option<Address>,
    server: Option<Address>,
    local: Option<Address>,
    remote: Option<Address>,
    #[serde(borrow)]
    opened: Option<Cow<'a, str>>,
    pub(super) existing: Option<bool>,
    pub(super) sent_bytes: Option<u64>,
    pub(super) received_bytes: Option<u64>,
    #[serde(borrow)]
    pub(super) closed_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) errno: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Address {
    /// Both are absent where none was assigned.
    address: Option<IpAddr>,
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
    pub(super) netns: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failure<'a> {
    #[serde(borrow)]
    pub(super) phase: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) errno: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evidence<'a> {
    #[serde(borrow)]
    pub(super) process: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) end: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tracer<'a> {
    #[serde(borrow)]
    pub(super) hooks: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Blind<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Coverage<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    to: Cow<'a, str>,
}

impl Line<'_> {
    /// When it was: nanoseconds since 1970, as all times of lines.
    pub(super) fn time(&self) -> Result<i64> {
        wall(&self.time)
    }

    /// The interval of a `loss`.
    pub(super) fn interval(&self) -> Result<Option<[i64; 2]>> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            return Ok(None);
        };
        Ok(Some([wall(from)?, wall(to)?]))
    }

    /// The network namespace that it is about.
    pub(super) fn netns(&self) -> Option<u64> {
        let connection = self.connection.as_ref().and_then(|it| it.netns);
        connection.or(self.listener.as_ref().and_then(|it| it.netns))
    }

    /// How the process is known.
    pub(super) fn process_evidence(&self) -> &str {
        let evidence = self.evidence.as_ref().and_then(|it| it.process.as_deref());
        evidence.unwrap_or_default()
    }

    /// Whether it was found to be over by looking again.
    pub(super) fn is_found_over(&self) -> bool {
        self.evidence.as_ref().is_some_and(|it| it.end.is_some())
    }
}

impl Coverage<'_> {
    pub(super) fn times(&self) -> Result<[i64; 2]> {
        Ok([wall(&self.from)?, wall(&self.to)?])
    }
}

impl Connection<'_> {
    pub(super) fn opened(&self) -> Result<Option<i64>> {
        self.opened.as_deref().map(wall).transpose()
    }

    /// Which end it is about, and whose address the server's is. Where the direction is not known, servers
    /// are those with an address that was given to one.
    pub(super) fn name(&self) -> Option<(Side, Ipv4Addr)> {
        match (self.direction.as_deref(), self.server) {
            (Some("outbound"), Some(server)) => Some((Side::Client, server.v4()?)),
            (Some("inbound"), Some(server)) => Some((Side::Server, server.v4()?)),
            _ => {
                let (local, remote) = (self.local?.v4()?, self.remote?.v4()?);
                Some(if local == Ipv4Addr::LOCALHOST {
                    (Side::Client, remote)
                } else {
                    (Side::Server, local)
                })
            }
        }
    }

    /// The client's end, if it has a port.
    pub(super) fn client(&self) -> Option<SocketAddrV4> {
        self.client?.end()
    }

    /// The server's end.
    pub(super) fn server(&self) -> Option<SocketAddrV4> {
        self.server?.end()
    }
}

impl Address {
    fn v4(self) -> Option<Ipv4Addr> {
        match self.address {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        }
    }

    fn end(self) -> Option<SocketAddrV4> {
        Some(SocketAddrV4::new(self.v4()?, self.port?))
    }
}

/// Nanoseconds since 1970.
pub(super) fn wall(text: &str) -> Result<i64> {
    let time = humantime::parse_rfc3339(text).with_context(|| format!("not a time: {text}"))?;
    let since = time.duration_since(UNIX_EPOCH).context("before 1970")?;
    Ok(i64::try_from(since.as_nanos())?)
}
