//! The shapes of a line, as they are in JSON. What they mean is `line`'s business.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Address, Blind, Cost, Kubernetes, Phase, Reason, Repaired, WorkloadKind};

/// Text that is borrowed from the line where it has no escapes.
pub(super) type Text<'a> = Cow<'a, str>;

#[derive(Deserialize)]
pub(super) struct Line<'a> {
    pub(super) v: u64,
    #[serde(borrow)]
    pub(super) time: Text<'a>,
    #[serde(borrow)]
    pub(super) event: Text<'a>,
    #[serde(borrow)]
    pub(super) host: &'a RawValue,
    #[serde(borrow)]
    pub(super) connection: Option<Connection<'a>>,
    #[serde(borrow)]
    pub(super) failure: Option<Failure<'a>>,
    #[serde(borrow)]
    pub(super) process: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) workload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) peer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) evidence: Option<Evidence<'a>>,
    pub(super) listener: Option<Listener>,
    #[serde(borrow)]
    pub(super) exit: Option<Exit<'a>>,
    #[serde(borrow)]
    pub(super) tracer: Option<Tracer<'a>>,
    pub(super) blind: Option<Vec<Blind>>,
    pub(super) lost: Option<BTreeMap<String, Counts>>,
    pub(super) missed: Option<u64>,
    #[serde(borrow)]
    pub(super) from: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) to: Option<Text<'a>>,
    pub(super) totals: Option<BTreeMap<String, Counts>>,
    pub(super) repaired: Option<Repaired>,
    pub(super) unread: Option<u64>,
    pub(super) unattributed: Option<u64>,
    pub(super) cost: Option<Cost>,
    pub(super) lines: Option<u64>,
    #[serde(borrow)]
    pub(super) coverage: Option<Coverage<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Connection<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) handshake: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) direction: Option<Text<'a>>,
    pub(super) netns: u32,
    #[serde(borrow)]
    pub(super) client: Option<End<'a>>,
    #[serde(borrow)]
    pub(super) server: Option<End<'a>>,
    #[serde(borrow)]
    pub(super) local: Option<End<'a>>,
    #[serde(borrow)]
    pub(super) remote: Option<End<'a>>,
    #[serde(borrow)]
    pub(super) family: Text<'a>,
    #[serde(borrow)]
    pub(super) dialled: Option<End<'a>>,
    #[serde(borrow)]
    pub(super) opened: Option<Text<'a>>,
    #[serde(default)]
    pub(super) existing: bool,
    pub(super) connect_ns: Option<u64>,
    pub(super) duration_ns: Option<u64>,
    pub(super) sent_bytes: Option<u64>,
    pub(super) received_bytes: Option<u64>,
    pub(super) rtt_ns: Option<u64>,
    pub(super) retransmits: Option<u32>,
    #[serde(borrow)]
    pub(super) closed_by: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) errno: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct End<'a> {
    pub(super) address: Option<Address>,
    pub(super) port: Option<u16>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) canonical: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) names: Option<Vec<Text<'a>>>,
    #[serde(default)]
    pub(super) names_cut: bool,
}

#[derive(Deserialize)]
pub(super) struct Failure<'a> {
    pub(super) phase: Phase,
    pub(super) reason: Reason,
    #[serde(borrow)]
    pub(super) errno: Option<Text<'a>>,
    pub(super) unanswered_syns: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Evidence<'a> {
    #[serde(borrow)]
    pub(super) process: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) direction: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) address: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) end: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Listener {
    pub(super) address: Address,
    #[serde(default)]
    pub(super) port: u16,
    pub(super) backlog: Option<u32>,
    pub(super) netns: u32,
}

#[derive(Deserialize)]
pub(super) struct Process<'a> {
    pub(super) pid: u32,
    pub(super) ppid: Option<u32>,
    pub(super) uid: Option<u32>,
    #[serde(borrow)]
    pub(super) comm: Text<'a>,
    #[serde(borrow)]
    pub(super) exe: Option<Text<'a>>,
    pub(super) args: Option<Vec<String>>,
    #[serde(borrow)]
    pub(super) cwd: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) started: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Workload<'a> {
    pub(super) kind: WorkloadKind,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) uid: Option<u32>,
    #[serde(borrow)]
    pub(super) unit: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) slice: Option<Text<'a>>,
    pub(super) container: Option<crate::model::Container>,
    pub(super) k8s: Option<Kubernetes>,
    #[serde(borrow)]
    pub(super) role: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Peer<'a> {
    #[serde(borrow)]
    pub(super) process: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) workload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Exit<'a> {
    pub(super) code: Option<u32>,
    #[serde(borrow)]
    pub(super) signal: Option<Signal<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Signal<'a> {
    Number(u32),
    #[serde(borrow)]
    Name(Text<'a>),
}

#[derive(Deserialize)]
pub(super) struct Tracer<'a> {
    #[serde(borrow)]
    pub(super) version: Text<'a>,
    #[serde(borrow)]
    pub(super) hooks: Text<'a>,
    #[serde(borrow)]
    pub(super) kernel: Text<'a>,
    #[serde(borrow)]
    pub(super) arch: Text<'a>,
}

/// Of one kind of event; a cause that is absent had none.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Counts {
    pub(super) seen: u64,
    pub(super) delivered: u64,
    pub(super) ring_full: u64,
    pub(super) table_full: u64,
    pub(super) undecodable: u64,
}

#[derive(Deserialize)]
pub(super) struct Coverage<'a> {
    #[serde(borrow)]
    pub(super) from: Text<'a>,
    #[serde(borrow)]
    pub(super) to: Text<'a>,
}
