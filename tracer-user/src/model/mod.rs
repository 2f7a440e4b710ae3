//! Plain values that every stage speaks: what happened, to which connection, by whom,
//! and how that is known.
//!
//! No I/O, no clock, no kernel types. The names and units are those of the public
//! event stream (`docs/output.md`). Absent means unknown: an `Option` that is `None`
//! is left out of the output, never printed as null.

mod address;
mod blind;
pub mod bounds;
mod class;
mod connection;
mod cost;
mod counter;
mod dns;
pub mod errno;
mod event;
mod evidence;
mod fact;
mod failure;
mod host;
mod identity;
mod listener;
mod loss;
mod name;
mod netns;
mod omit;
mod payer;
mod process;
pub(crate) mod program;
pub mod signal;
#[cfg(test)]
pub(crate) mod specimens;
mod take;
mod time;
mod view;
mod workload;

pub use address::{Address, AddressError, Network, without_scope};
pub use blind::{Blind, BlindId};
pub use class::AddressClass;
pub use connection::{
    Closer, Connection, ConnectionId, Direction, Ends, Family, Totals, Translation,
};
pub use cost::{Cost, ProgramCost};
pub use counter::Counter;
pub use dns::{DnsPiece, DnsTransport};
pub use event::{
    Body, ConnectionEvent, Event, Kind, ListenerEvent, Loss, ProcessEvent, Start, Stop, Tracer,
};
pub use evidence::{AddressEvidence, DirectionEvidence, EndEvidence, Evidence, ProcessEvidence};
pub use fact::{Cgroup, Fact, Fork, Opened, Redirect, Told};
pub use failure::{Failure, Phase, Reason};
pub use host::Host;
pub use identity::{ArcId, ByIdentity};
pub use listener::Listener;
pub use loss::{Cause, Coverage, Ledger, Lost, Repaired, Tally};
pub use name::{Called, Name, NameSource};
pub use netns::Observer;
pub use payer::{Payer, Shares, is_of_system};
pub use process::{ExitStatus, Process, ProcessKey, ProgramKey, Signal};
pub use take::Take;
pub use time::Timestamp;
pub use view::{
    Change, Cut, Edge, EdgeEvidence, EdgeState, Endings, Gap, Happened, History, HostCoverage,
    HostCut, LastFailure, LedPast, ListeningAt, Node, NodeKind, Outage, Quantiles, Run, SeenBy,
    ServedBy, StepsBack, Stray, View,
};
pub use workload::{Container, Kubernetes, Outer, Owner, Workload, WorkloadKind};
