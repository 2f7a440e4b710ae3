//! Attempts whose outcome nobody told.

use std::{collections::BTreeSet, net::SocketAddr};

use super::line::Line;
use crate::ledger::{End, Side};

/// What is known of an attempt whose outcome nobody told.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    netns: u64,
    server: SocketAddr,
    pid: Option<u32>,
}

impl Attempt {
    /// That of a connection which became one.
    pub(super) fn of(end: &End) -> Self {
        Self {
            netns: end.netns,
            server: end.server,
            pid: (end.side == Side::Client).then_some(end.opener),
        }
    }
}

/// An attempt that was seen to begin, whose outcome was missed, and whose socket was not there
/// any more when tracer looked. It says that it did not see more than that.
pub(super) fn lost_attempt(line: &Line<'_>, scope: &BTreeSet<u64>) -> Option<Attempt> {
    let connection = line.connection.as_ref()?;
    let was_found_later = line.evidence.as_ref()?.end.as_deref() == Some("scan");
    let reason = &*line.failure.as_ref()?.reason;
    let netns = connection.netns?;
    (line.event == "fail" && was_found_later && reason == "other" && scope.contains(&netns))
        .then_some(Attempt {
            netns,
            server: connection.server?.end(),
            pid: line.process.as_ref().map(|process| process.pid),
        })
}
