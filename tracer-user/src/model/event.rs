//! Events: one line of the stream each.

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;

use super::{
    Blind, Connection, Cost, Coverage, Evidence, ExitStatus, Failure, Host, Ledger, Listener, Lost,
    Process, Repaired, Tally, Timestamp,
};

/// What an event reports: the word of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// First line.
    Start,
    /// An outbound connection is established.
    Connect,
    /// An inbound connection is accepted by a process.
    Accept,
    /// What a connection that is open has carried so far.
    Totals,
    /// Either of these ended.
    Close,
    /// An attempt did not succeed.
    Fail,
    /// A process starts to listen.
    Listen,
    /// A process stops to listen.
    Unlisten,
    /// A connection is there that was not seen to open.
    Existing,
    /// A process runs another program.
    Exec,
    /// A process is over.
    Exit,
    /// Events were lost.
    Loss,
    /// Last line.
    Stop,
}

impl Kind {
    /// Every kind, in the order of a life.
    pub const ALL: [Self; 13] = [
        Self::Start,
        Self::Existing,
        Self::Connect,
        Self::Accept,
        Self::Totals,
        Self::Close,
        Self::Fail,
        Self::Listen,
        Self::Unlisten,
        Self::Exec,
        Self::Exit,
        Self::Loss,
        Self::Stop,
    ];

    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Totals => "totals",
            Self::Close => "close",
            Self::Fail => "fail",
            Self::Listen => "listen",
            Self::Unlisten => "unlisten",
            Self::Existing => "existing",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Loss => "loss",
            Self::Stop => "stop",
        }
    }

    /// The kind that `name` means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that happened on a host.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Where.
    pub host: Arc<Host>,
    /// What.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Body {
    /// The tracer watches from here on.
    Start(Start),
    /// An outbound connection is established.
    Connect(ConnectionEvent),
    /// An inbound connection is accepted.
    Accept(ConnectionEvent),
    /// What a connection that is open has carried so far.
    Totals(ConnectionEvent),
    /// A connection ended.
    Close(ConnectionEvent),
    /// An attempt failed; `failure` says why.
    Fail(ConnectionEvent),
    /// A socket listens.
    Listen(ListenerEvent),
    /// A socket no longer listens.
    Unlisten(ListenerEvent),
    /// A connection is there that was not seen to open.
    Existing(ConnectionEvent),
    /// A process runs another program.
    Exec(ProcessEvent),
    /// A process is over.
    Exit(ProcessEvent),
    /// Events were lost.
    Loss(Box<Loss>),
    /// The tracer no longer watches.
    Stop(Box<Stop>),
}

impl Body {
    /// What the event reports.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Start(_) => Kind::Start,
            Self::Connect(_) => Kind::Connect,
            Self::Accept(_) => Kind::Accept,
            Self::Totals(_) => Kind::Totals,
            Self::Close(_) => Kind::Close,
            Self::Fail(_) => Kind::Fail,
            Self::Listen(_) => Kind::Listen,
            Self::Unlisten(_) => Kind::Unlisten,
            Self::Existing(_) => Kind::Existing,
            Self::Exec(_) => Kind::Exec,
            Self::Exit(_) => Kind::Exit,
            Self::Loss(_) => Kind::Loss,
            Self::Stop(_) => Kind::Stop,
        }
    }

    /// The connection, where the event is about one.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection_event().map(|event| &event.connection)
    }

    /// What happened to a connection, where the event is about one.
    pub fn connection_event(&self) -> Option<&ConnectionEvent> {
        match self {
            Self::Existing(event)
            | Self::Connect(event)
            | Self::Accept(event)
            | Self::Totals(event)
            | Self::Close(event)
            | Self::Fail(event) => Some(event),
            _ => None,
        }
    }

    /// The process of this end, where the event has one and it is known.
    pub fn process(&self) -> Option<&Process> {
        match self {
            Self::Existing(event)
            | Self::Connect(event)
            | Self::Accept(event)
            | Self::Totals(event)
            | Self::Close(event)
            | Self::Fail(event) => event.process.as_deref(),
            Self::Listen(event) | Self::Unlisten(event) => event.process.as_deref(),
            Self::Exec(event) | Self::Exit(event) => Some(&event.process),
            Self::Start(_) | Self::Loss(_) | Self::Stop(_) => None,
        }
    }
}

/// Something happened to a connection.
#[derive(Clone, Debug)]
pub struct ConnectionEvent {
    /// The connection, as it is known then.
    pub connection: Connection,
    /// Why it failed; only in `fail`.
    pub failure: Option<Failure>,
    /// The process of this end.
    pub process: Option<Arc<Process>>,
    /// The process of the other end, if that is on this host and known by now.
    pub peer: Option<Arc<Process>>,
    /// How this is known.
    pub evidence: Evidence,
}

/// Something happened to a listening socket.
#[derive(Clone, Debug)]
pub struct ListenerEvent {
    /// The socket.
    pub listener: Listener,
    /// Who listens.
    pub process: Option<Arc<Process>>,
    /// How this is known.
    pub evidence: Evidence,
}

/// Something happened to a process.
#[derive(Clone, Debug)]
pub struct ProcessEvent {
    /// The process.
    pub process: Arc<Process>,
    /// How it ended; only in `exit`.
    pub exit: Option<ExitStatus>,
}

/// The first event: who watches, and what stays invisible.
#[derive(Clone, Debug)]
pub struct Start {
    /// The tracer.
    pub tracer: Tracer,
    /// What cannot be seen, and why.
    pub blind: Vec<Blind>,
}

/// The tracer that watches.
#[derive(Clone, Debug, Serialize)]
pub struct Tracer {
    /// Its version.
    pub version: Cow<'static, str>,
    /// The hook set in use.
    pub hooks: String,
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: String,
    /// Architecture of the machine, as `uname -m` prints it.
    pub arch: String,
}

/// Events were lost since the last `loss`, or since the start.
#[derive(Clone, Debug)]
pub struct Loss {
    /// How many, by kind and cause.
    pub lost: Ledger<Lost>,
    /// How often the kernel skipped a program: see [`Stop::missed`].
    pub missed: u64,
    /// The interval they were lost in.
    pub interval: Coverage,
}

/// The last event: the account of the whole run.
#[derive(Clone, Debug)]
pub struct Stop {
    /// What was seen, delivered and lost, by kind.
    pub totals: Ledger<Tally>,
    /// How often the kernel did not run a program of ours as one was running already on
    /// that processor. What was missed so is made up for by what is told next of the same
    /// connection.
    pub missed: u64,
    /// What was missed and found later.
    pub repaired: Repaired,
    /// How many processes were left unread in `/proc`, in all or in part, as a read did not return or
    /// there were too many at once: of those, what only `/proc` tells may be missing.
    pub unread: u64,
    /// How many processes were told of as another workload than they may be of, as `/proc` did not tell in time which:
    /// neither their control group nor their executable names them. What was read late, and made no difference, is
    /// not among them.
    pub unattributed: u64,
    /// What the run took of the host, without what the programs in the kernel did.
    pub cost: Cost,
    /// Lines of this run that were written before this one; none where nothing was written.
    pub lines: Option<u64>,
    /// What was watched.
    pub coverage: Coverage,
}
