//! How something is known.

/// How the process was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvidence {
    /// The kernel ran the hook in the process's own context.
    Hook,
    /// It owns the listening socket that the connection arrived at; another process
    /// may have accepted it.
    Listener,
    /// It was the first to read from the connection, which nobody was seen to accept.
    Read,
    /// It closed the connection; another process may have held it before.
    Close,
    /// It holds the socket, found by looking through all processes after the fact.
    Scan,
    /// Not found.
    Unknown,
}

impl ProcessEvidence {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Listener => "listener",
            Self::Read => "read",
            Self::Close => "close",
            Self::Scan => "scan",
            Self::Unknown => "unknown",
        }
    }
}

/// How the end of a connection is known, where not from the end itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndEvidence {
    /// It was found to be over: `time` is when, not when it ended.
    Scan,
}

impl EndEvidence {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
        }
    }
}

/// How the direction was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectionEvidence {
    /// The handshake was seen, or has left its mark in the socket's counters.
    Handshake,
    /// A socket of this host listens on the local port.
    Listener,
    /// Not proven.
    Unknown,
}

impl DirectionEvidence {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Listener => "listener",
            Self::Unknown => "unknown",
        }
    }
}

/// How a translated address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressEvidence {
    /// A program of a control group replaced it within connect().
    Rewrite,
    /// The kernel's table of tracked connections says so.
    Conntrack,
}

impl AddressEvidence {
    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Conntrack => "conntrack",
        }
    }
}

/// How an event is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How the process was found.
    pub process: ProcessEvidence,
    /// How the direction was proven; none for listeners.
    pub direction: Option<DirectionEvidence>,
    /// How the end is known, where not from the end itself.
    pub end: Option<EndEvidence>,
}
