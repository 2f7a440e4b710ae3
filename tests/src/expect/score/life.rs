//! The lives of connections, as the lines tell them.

use std::{collections::BTreeSet, fmt, net::SocketAddr};

use super::{line::Line, report::Report};
use crate::ledger::{End, Side, rfc3339};

/// A namespace and the two ends of a connection, seen from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) netns: u64,
    pub(super) side: Side,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} end of {} -> {} in netns {}",
            self.side, self.client, self.server, self.netns
        )
    }
}

/// The events of one `connection.id`.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) opens: Vec<Open>,
    pub(super) closes: Vec<Close>,
}

impl Life {
    /// When it began, if that was seen.
    pub(super) fn opened(&self) -> Option<&str> {
        self.opens.first()?.opened.as_deref()
    }
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) key: Key,
    /// The kind of event.
    pub(super) kind: String,
    pub(super) opened: Option<String>,
    pub(super) existing: Option<bool>,
    pub(super) took: Option<u64>,
    pub(super) pid: Option<u32>,
    pub(super) evidence: String,
}

#[derive(Debug)]
pub(super) struct Close {
    pub(super) key: Key,
    pub(super) existing: Option<bool>,
    pub(super) lasted: Option<u64>,
    pub(super) pid: Option<u32>,
    pub(super) evidence: String,
    pub(super) sent: Option<u64>,
    pub(super) received: Option<u64>,
    pub(super) closed_by: Option<String>,
    pub(super) errno: Option<String>,
    /// Nobody told of it when it happened.
    pub(super) found_later: bool,
}

pub(super) enum Event {
    Open(Open),
    Close(Close),
}

pub(super) fn read(
    line: &Line<'_>,
    text: &str,
    scope: &BTreeSet<u64>,
    report: &mut Report,
) -> Option<(String, Event)> {
    let connection = line.connection.as_ref()?;
    if !scope.contains(&connection.netns?) {
        return None;
    }
    report.lines += 1;
    let kind = match &*line.event {
        kind @ ("connect" | "accept" | "existing" | "close") => kind,
        // What it has carried so far: its end says all.
        "totals" => return None,
        _ => {
            report.is_false("an event that should not be", text);
            return None;
        }
    };
    let evidence = line
        .evidence
        .as_ref()
        .and_then(|evidence| evidence.process.as_deref())
        .unwrap_or("absent");
    let direction = connection.direction.as_deref();
    let side = match (kind, direction) {
        ("connect" | "existing" | "close", Some("outbound")) => Side::Client,
        ("accept" | "existing" | "close", Some("inbound")) => Side::Server,
        ("existing" | "close", None) => {
            // Of which end it tells cannot be said; that end is missing.
            report.is_unknown("no direction", text);
            report.uncertain += 1;
            return None;
        }
        _ => {
            report.is_false("wrong direction", text);
            return None;
        }
    };
    *report
        .evidence
        .entry(format!("{kind} {} {evidence}", direction.unwrap_or("?")))
        .or_default() += 1;
    let (Some(client), Some(server)) = (connection.client, connection.server) else {
        report.is_false("no client or server", text);
        return None;
    };
    let key = Key {
        netns: connection.netns?,
        side,
        client: client.end(),
        server: server.end(),
    };
    let family = if client.address.is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    };
    if connection.family.as_deref() != Some(family) {
        report.is_false("wrong family", text);
    }
    let opened = connection.opened.as_deref().map(str::to_owned);
    if opened.as_deref() > Some(&*line.time) {
        report.is_false("opened after it happened", text);
    }
    let pid = line.process.as_ref().map(|process| process.pid);
    let evidence = evidence.to_owned();
    let existing = connection.existing;
    let event = if kind == "close" {
        Event::Close(Close {
            key,
            existing,
            lasted: connection.duration_ns,
            pid,
            evidence,
            sent: connection.sent_bytes,
            received: connection.received_bytes,
            closed_by: connection.closed_by.as_deref().map(str::to_owned),
            errno: connection.errno.as_deref().map(str::to_owned),
            found_later: line.evidence.as_ref().is_some_and(|it| it.end.is_some()),
        })
    } else {
        Event::Open(Open {
            key,
            kind: kind.to_owned(),
            opened,
            existing,
            took: connection.connect_ns,
            pid,
            evidence,
        })
    };
    Some((connection.id.clone().into_owned(), event))
}

/// A life and the id by which it was told.
pub(super) type Told = (String, Life);

/// Which life is told of which end, of those with equal addresses: the first end of which
/// something was written down after the life began. What is left of the lives is too much.
pub(super) fn assign(ends: &[&End], mut lives: Vec<Told>) -> (Vec<Option<Told>>, Vec<Told>) {
    // What was not seen to open comes last, and takes what is left.
    lives.sort_by_cached_key(|(_, life)| {
        let opened = life.opened().map(str::to_owned);
        (opened.is_none(), opened)
    });
    let mut of_ends: Vec<Option<Told>> = ends.iter().map(|_| None).collect();
    let mut too_many = Vec::new();
    for told in lives {
        let begun = told.1.opened().unwrap_or_default();
        let is_free = |n: &usize| of_ends[*n].is_none();
        let place = (0..ends.len())
            .filter(is_free)
            .find(|n| rfc3339(ends[*n].at).as_str() >= begun)
            .or_else(|| (0..ends.len()).rfind(is_free));
        match place {
            Some(place) => of_ends[place] = Some(told),
            None => too_many.push(told),
        }
    }
    (of_ends, too_many)
}
