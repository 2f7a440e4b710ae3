//! Why an attempt failed.

use serde::{Deserialize, Serialize};

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing left this host.
    Local,
    /// The network did not carry it.
    Network,
    /// The other host said no.
    Remote,
    /// The caller gave up first.
    Abandoned,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// This host knows no way there.
    NoRoute,
    /// No port was free on this side.
    NoLocalPort,
    /// A policy of this host or the network forbade it.
    Denied,
    /// The same flow is in use.
    AddressInUse,
    /// No answer in time.
    TimedOut,
    /// A router or this host could not reach the other host.
    HostUnreachable,
    /// A router could not reach the network.
    NetworkUnreachable,
    /// The other host refused.
    Refused,
    /// The other host reset the handshake.
    Reset,
    /// The caller closed the socket while it waited.
    Abandoned,
    /// Inbound: more connections wait to be accepted here than the listener allows.
    AcceptQueueFull,
    /// Inbound: nothing listens here on that port.
    NotListening,
    /// None of the above; `errno` says more.
    Other,
}

impl Reason {
    /// Every reason, in the order of the type.
    pub const ALL: [Self; 13] = [
        Self::NoRoute,
        Self::NoLocalPort,
        Self::Denied,
        Self::AddressInUse,
        Self::TimedOut,
        Self::HostUnreachable,
        Self::NetworkUnreachable,
        Self::Refused,
        Self::Reset,
        Self::Abandoned,
        Self::AcceptQueueFull,
        Self::NotListening,
        Self::Other,
    ];

    /// The word in the stream.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoLocalPort => "no_local_port",
            Self::Denied => "denied",
            Self::AddressInUse => "address_in_use",
            Self::TimedOut => "timed_out",
            Self::HostUnreachable => "host_unreachable",
            Self::NetworkUnreachable => "network_unreachable",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Abandoned => "abandoned",
            Self::AcceptQueueFull => "accept_queue_full",
            Self::NotListening => "not_listening",
            Self::Other => "other",
        }
    }
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// How far it came.
    pub phase: Phase,
    /// Why it failed.
    pub reason: Reason,
    /// The kernel's symbolic error, when there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<&'static str>,
    /// SYNs that left, where nobody answered any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered_syns: Option<u32>,
}
