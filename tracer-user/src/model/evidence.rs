//! How something is known.

use serde::Serialize;

/// How the process was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessEvidence {
    /// The kernel ran the hook in the process's own context.
    Hook,
    /// It owns the listening socket that the connection arrived at; another process
    /// may have accepted it.
    Listener,
    /// It closed the connection; another process may have held it before.
    Close,
    /// Found in /proc, after the fact.
    Scan,
    /// Not found.
    Unknown,
}

/// How the direction was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectionEvidence {
    /// The handshake was seen.
    Handshake,
    /// A socket of this host listens on the local port.
    Listener,
    /// Not proven.
    Unknown,
}

/// How an event is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// How the process was found.
    pub process: ProcessEvidence,
    /// How the direction was proven; none for listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<DirectionEvidence>,
}
