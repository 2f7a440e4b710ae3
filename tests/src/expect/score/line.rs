//! What is read of a line.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;

/// What [`score`] reads of a line.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) connection: Option<Connection<'a>>,
    pub(super) process: Option<Process>,
    #[serde(borrow)]
    pub(super) evidence: Option<Evidence<'a>>,
    #[serde(borrow)]
    pub(super) failure: Option<Failure<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Connection<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) direction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) family: Option<Cow<'a, str>>,
    pub(super) netns: Option<u64>,
    pub(super) client: Option<Address>,
    pub(super) server: Option<Address>,
    #[serde(borrow)]
    pub(super) opened: Option<Cow<'a, str>>,
    pub(super) existing: Option<bool>,
    pub(super) connect_ns: Option<u64>,
    pub(super) duration_ns: Option<u64>,
    pub(super) sent_bytes: Option<u64>,
    pub(super) received_bytes: Option<u64>,
    #[serde(borrow)]
    pub(super) closed_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) errno: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Address {
    pub(super) address: IpAddr,
    /// Absent if none was assigned.
    pub(super) port: Option<u16>,
}

impl Address {
    pub(super) fn end(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(0))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failure<'a> {
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evidence<'a> {
    #[serde(borrow)]
    pub(super) process: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) end: Option<Cow<'a, str>>,
}
