//! A whole ledger against all lines: for every end exactly one open and one close with the
//! true process, bytes and ending, and nothing else.
//!
//! What is false is never excused. What tracer does not know is, where it says so itself: a
//! run of its programs that the kernel skipped, and that `missed` counts, may cost one end
//! what that run had told.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{
    init,
    ledger::{Closer, End, Side, rfc3339},
};

/// On a host like the one this was written on, ends whose announcement the kernel hides from
/// every program (see `Netns::acknowledge_at_once`); tracer finds them by looking again.
const HIDDEN: usize = 3;

/// What [`score`] reads of a line.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    connection: Option<Connection<'a>>,
    process: Option<Process>,
    #[serde(borrow)]
    evidence: Option<Evidence<'a>>,
    #[serde(borrow)]
    failure: Option<Failure<'a>>,
}

#[derive(Debug, Deserialize)]
struct Connection<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    direction: Option<Cow<'a, str>>,
    #[serde(borrow)]
    family: Option<Cow<'a, str>>,
    netns: Option<u64>,
    client: Option<Address>,
    server: Option<Address>,
    #[serde(borrow)]
    opened: Option<Cow<'a, str>>,
    existing: Option<bool>,
    connect_ns: Option<u64>,
    duration_ns: Option<u64>,
    sent_bytes: Option<u64>,
    received_bytes: Option<u64>,
    #[serde(borrow)]
    closed_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    errno: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Address {
    address: IpAddr,
    /// Absent if none was assigned.
    port: Option<u16>,
}

impl Address {
    fn end(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.unwrap_or(0))
    }
}

#[derive(Debug, Deserialize)]
struct Process {
    pid: u32,
}

#[derive(Debug, Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Evidence<'a> {
    #[serde(borrow)]
    process: Option<Cow<'a, str>>,
    #[serde(borrow)]
    end: Option<Cow<'a, str>>,
}

/// A namespace and the two ends of a connection, seen from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    netns: u64,
    side: Side,
    client: SocketAddr,
    server: SocketAddr,
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
struct Life {
    opens: Vec<Open>,
    closes: Vec<Close>,
}

impl Life {
    /// When it began, if that was seen.
    fn opened(&self) -> Option<&str> {
        self.opens.first()?.opened.as_deref()
    }
}

#[derive(Debug)]
struct Open {
    key: Key,
    /// The kind of event.
    kind: String,
    opened: Option<String>,
    existing: Option<bool>,
    took: Option<u64>,
    pid: Option<u32>,
    evidence: String,
}

#[derive(Debug)]
struct Close {
    key: Key,
    existing: Option<bool>,
    lasted: Option<u64>,
    pid: Option<u32>,
    evidence: String,
    sent: Option<u64>,
    received: Option<u64>,
    closed_by: Option<String>,
    errno: Option<String>,
    /// Nobody told of it when it happened.
    found_later: bool,
}

/// How often a class of discrepancies was found, with some examples.
type Classes = BTreeMap<&'static str, (usize, Vec<String>)>;

/// How well the lines agree with the ledger.
#[derive(Debug, Default)]
pub struct Report {
    /// Ends in the ledger.
    pub ends: usize,
    /// Lines that were looked at: those of the ledger's namespaces.
    pub lines: usize,
    /// How often each `evidence.process` stood on which event.
    pub evidence: BTreeMap<String, usize>,
    /// What is not so.
    false_: Classes,
    /// What is not known.
    unknown: Classes,
    /// Ends that tracer missed and found later, and said so: without totals.
    found_later: usize,
    /// Other ends of which something is not known.
    uncertain: usize,
    /// Ends that were reset when both had closed; see [`Comparison::errno`].
    reset_at_last: usize,
}

impl Report {
    fn is_false(&mut self, class: &'static str, example: impl fmt::Display) {
        add(&mut self.false_, class, example);
    }

    fn is_unknown(&mut self, class: &'static str, example: impl fmt::Display) {
        add(&mut self.unknown, class, example);
    }

    /// How many discrepancies of a class there are.
    pub fn count(&self, class: &str) -> usize {
        let of = |classes: &Classes| classes.get(class).map_or(0, |(count, _)| *count);
        of(&self.false_) + of(&self.unknown)
    }

    /// Fails if anything is false, or if tracer knows too little of more ends than it says that
    /// its programs were not run for: `missed`, from the `stop` line.
    pub fn verdict(&self, missed: u64) -> Result<()> {
        let hidden = if init::is_test_machine() { 0 } else { HIDDEN };
        let unknown = self.uncertain + self.found_later.saturating_sub(hidden);
        ensure!(self.false_.is_empty(), "{self}");
        ensure!(
            self.reset_at_last <= 1 + self.ends / 1000,
            "{} ends were reset when both had closed: {self}",
            self.reset_at_last
        );
        ensure!(
            unknown as u64 <= missed,
            "{missed} runs of programs were missed, and of more ends something is not known: {self}"
        );
        Ok(())
    }
}

fn add(classes: &mut Classes, class: &'static str, example: impl fmt::Display) {
    let (count, examples) = classes.entry(class).or_default();
    *count += 1;
    if examples.len() < 4 {
        examples.push(example.to_string());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ends in the ledger, {} lines, {} ends found later, something unknown of {} others, evidence {:?}",
            self.ends, self.lines, self.found_later, self.uncertain, self.evidence
        )?;
        for (what, classes) in [("false", &self.false_), ("not known", &self.unknown)] {
            for (class, (count, examples)) in classes {
                writeln!(f, "{what}: {count} x {class}")?;
                for example in examples {
                    writeln!(f, "    {example}")?;
                }
            }
        }
        Ok(())
    }
}

/// Holds a ledger against the lines of its namespaces.
pub fn score<'a>(ends: &[End], lines: impl Iterator<Item = &'a str>) -> Result<Report> {
    let mut report = Report {
        ends: ends.len(),
        ..Report::default()
    };
    let scope: BTreeSet<u64> = ends.iter().map(|end| end.netns).collect();
    let mut lives: HashMap<String, Life> = HashMap::new();
    let mut lost_attempts: HashMap<Attempt, Vec<String>> = HashMap::new();
    for text in lines {
        let line: Line<'_> = serde_json::from_str(text).with_context(|| format!("parse {text}"))?;
        if let Some(attempt) = lost_attempt(&line, &scope) {
            report.lines += 1;
            lost_attempts
                .entry(attempt)
                .or_default()
                .push(text.to_owned());
            continue;
        }
        if let Some((id, event)) = read(&line, text, &scope, &mut report) {
            let life = lives.entry(id).or_default();
            match event {
                Event::Open(open) => life.opens.push(open),
                Event::Close(close) => life.closes.push(close),
            }
        }
    }

    let mut found: HashMap<Key, Vec<(String, Life)>> = HashMap::new();
    for (id, life) in lives {
        let key = life
            .opens
            .first()
            .map(|open| open.key)
            .or(life.closes.first().map(|close| close.key));
        if let Some(key) = key {
            found.entry(key).or_default().push((id, life));
        }
    }
    let mut expected: BTreeMap<Key, Vec<&End>> = BTreeMap::new();
    for end in ends {
        let key = Key {
            netns: end.netns,
            side: end.side,
            client: end.client,
            server: end.server,
        };
        expected.entry(key).or_default().push(end);
    }
    for (key, mut ends) in expected {
        // Ends with equal addresses lived one after the other.
        ends.sort_by_key(|end| end.at);
        let lives = found.remove(&key).unwrap_or_default();
        let (of_ends, too_many) = assign(&ends, lives);
        for (_, life) in too_many {
            report.is_false("invented", format!("{key}: {life:?}"));
        }
        for (end, life) in ends.iter().zip(&of_ends) {
            match life {
                None => {
                    let attempt = Attempt::of(end);
                    match lost_attempts.get_mut(&attempt).and_then(Vec::pop) {
                        Some(text) => report.is_unknown("no outcome", text),
                        None => report.is_unknown("missing altogether", key),
                    }
                    report.uncertain += 1;
                }
                Some((id, life)) => Comparison::of(&key, end, id, life, &mut report),
            }
        }
    }
    for (key, lives) in found {
        for (_, life) in lives {
            report.is_false("invented", format!("{key}: {life:?}"));
        }
    }
    for text in lost_attempts.into_values().flatten() {
        report.is_false("invented", text);
    }
    Ok(report)
}

/// What is known of an attempt whose outcome nobody told.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Attempt {
    netns: u64,
    server: SocketAddr,
    pid: Option<u32>,
}

impl Attempt {
    /// That of a connection which became one.
    fn of(end: &End) -> Self {
        Self {
            netns: end.netns,
            server: end.server,
            pid: (end.side == Side::Client).then_some(end.opener),
        }
    }
}

/// An attempt that was seen to begin, whose outcome was missed, and whose socket was not there
/// any more when tracer looked. It says that it did not see more than that.
fn lost_attempt(line: &Line<'_>, scope: &BTreeSet<u64>) -> Option<Attempt> {
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

/// A life and the id by which it was told.
type Told = (String, Life);

/// Which life is told of which end, of those with equal addresses: the first end of which
/// something was written down after the life began. What is left of the lives is too much.
fn assign(ends: &[&End], mut lives: Vec<Told>) -> (Vec<Option<Told>>, Vec<Told>) {
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

enum Event {
    Open(Open),
    Close(Close),
}

fn read(
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

/// One end, and what was told of it.
struct Comparison<'a> {
    key: &'a Key,
    end: &'a End,
    id: &'a str,
    life: &'a Life,
    report: &'a mut Report,
    /// Whether something is not known.
    uncertain: bool,
}

impl<'a> Comparison<'a> {
    /// Compares the two, and puts what differs into the report.
    fn of(key: &'a Key, end: &'a End, id: &'a str, life: &'a Life, report: &'a mut Report) {
        let mut it = Self {
            key,
            end,
            id,
            life,
            report,
            uncertain: false,
        };
        it.whole();
        for open in &life.opens {
            it.open(open);
        }
        for close in &life.closes {
            it.close(close);
        }
        if life.closes.iter().any(|close| close.found_later) {
            it.report.found_later += 1;
        } else if it.uncertain {
            it.report.uncertain += 1;
        }
    }

    fn is_false(&mut self, class: &'static str) {
        let example = self.show();
        self.report.is_false(class, example);
    }

    fn is_unknown(&mut self, class: &'static str) {
        let example = self.show();
        self.report.is_unknown(class, example);
        self.uncertain = true;
    }

    fn show(&self) -> String {
        let Self {
            key, end, id, life, ..
        } = self;
        format!("{key} id {id}\n        ledger {end:?}\n        got {life:?}")
    }

    /// One beginning and one end.
    fn whole(&mut self) {
        let (opens, closes) = (&self.life.opens, &self.life.closes);
        match opens.len() {
            0 => self.is_false("close without an open of its id"),
            1 => {}
            _ => self.is_false("opened twice"),
        }
        match closes.len() {
            0 => self.is_false("open without a close of its id"),
            1 => {}
            _ => self.is_false("closed twice"),
        }
        let mut keys = opens
            .iter()
            .map(|open| open.key)
            .chain(closes.iter().map(|close| close.key));
        if keys.any(|key| key != *self.key) {
            self.is_false("the same id for different ends");
        }
    }

    fn open(&mut self, open: &Open) {
        self.process(
            "wrong process at the open",
            open.pid,
            &open.evidence,
            &open.kind,
        );
        if self.end.existing {
            if (open.kind.as_str(), open.existing, &open.opened) != ("existing", Some(true), &None)
            {
                self.is_false("an existing connection called new");
            }
            return;
        }
        if open.kind == "existing" {
            // Found by looking, as its beginning was missed.
            self.is_unknown("a new connection called existing");
            if open.opened.is_some() || open.existing != Some(true) {
                self.is_false("more than can be known");
            }
            return;
        }
        if open.existing == Some(true) {
            // Its beginning was missed, and not what came next.
            self.is_unknown("a new connection called existing");
        }
        if open.opened.is_none() {
            self.is_unknown("no opened");
        }
        if open.kind == "connect" && open.took.is_none() {
            self.is_unknown("no connect_ns");
        }
    }

    fn close(&mut self, close: &Close) {
        self.process(
            "wrong process at the close",
            close.pid,
            &close.evidence,
            "close",
        );
        let begun = self.life.opens.first();
        if begun.is_some_and(|open| open.existing != close.existing) {
            self.is_false("existing at one end of its life only");
        }
        if close.found_later {
            self.is_unknown("found later");
            // How it ended is not known, and must not be said.
            if close.sent.or(close.received).is_some() || close.closed_by.is_some() {
                self.is_false("more than can be known");
            }
            return;
        }
        if close.existing == Some(false) && close.lasted.is_none() {
            self.is_unknown("no duration_ns");
        }
        if close.sent != Some(self.end.sent) {
            self.is_false("wrong sent_bytes");
        }
        if close.received != Some(self.end.received) {
            self.is_false("wrong received_bytes");
        }
        if let Some(by) = self.end.closed_by {
            match close.closed_by.as_deref() {
                // The change of state was missed, and with it the error: the process may have
                // taken that since.
                None => self.is_unknown("no closed_by"),
                Some(told) => {
                    if told != by.name() {
                        self.is_false("wrong closed_by");
                    }
                    // The end that resets may or may not be told of its own error.
                    if by == Closer::Remote {
                        self.errno(close.errno.as_deref());
                    }
                }
            }
        }
    }

    /// The error of an end that the other ended. A kernel that has too little room to remember
    /// the other end resets this one when it says its last word, now and then; no process is told,
    /// and no ledger has it.
    fn errno(&mut self, told: Option<&str>) {
        match (told, self.end.reset) {
            (None, false) | (Some("ECONNRESET"), true) => {}
            (Some("ECONNRESET"), false) => self.report.reset_at_last += 1,
            _ => self.is_false("wrong errno"),
        }
    }

    /// Whether a process may stand on an event, given what the evidence says of it.
    fn process(&mut self, class: &'static str, pid: Option<u32>, evidence: &str, kind: &str) {
        let end = self.end;
        let Some(pid) = pid else {
            if evidence == "unknown" {
                self.is_unknown("no process");
            } else {
                self.is_false(class);
            }
            return;
        };
        // Its end was the other one's doing, before this one's process let go of it.
        let is_reset = end.reset && end.closed_by == Some(Closer::Remote);
        let right = match evidence {
            "hook" | "read" if kind == "close" => pid == end.opener || pid == end.closer,
            "hook" => pid == end.opener,
            "listener" => end.listener == Some(pid),
            "scan" => end.existing && pid == end.opener,
            "close" => pid == end.closer,
            _ => false,
        };
        if !right {
            self.is_false(class);
        } else if kind == "close"
            && matches!(evidence, "hook" | "read")
            && pid != end.closer
            && !is_reset
        {
            self.is_unknown("who closed it");
        } else if evidence == "close" && kind != "close" {
            // Nobody saw who opened it: who closed it stands for that.
            self.is_unknown("who opened it");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CLIENT: &str = "127.0.0.1:40000";
    const SERVER: &str = "127.0.0.1:80";
    /// 2026-11-22T01:02:03Z, which is when the lines say that they opened.
    const OPENED: u64 = 1_795_309_323_000_000_000;

    fn end(side: Side) -> End {
        let (sent, received, closed_by) = match side {
            Side::Client => (10, 20, Closer::Local),
            Side::Server => (20, 10, Closer::Remote),
        };
        End {
            side,
            netns: 7,
            client: CLIENT.parse().expect("address"),
            server: SERVER.parse().expect("address"),
            opener: 100,
            listener: (side == Side::Server).then_some(99),
            // A child serves.
            closer: match side {
                Side::Client => 100,
                Side::Server => 101,
            },
            sent,
            received,
            closed_by: Some(closed_by),
            reset: false,
            existing: false,
            at: OPENED + 100,
        }
    }

    fn line(event: &str, direction: &str, id: &str, pid: u32, evidence: &str) -> Value {
        let inbound = direction == "inbound";
        let mut line = json!({
            "v": 1, "time": "2026-11-22T01:02:04.000000000Z", "event": event, "host": {"id": "h", "name": "n"},
            "connection": {
                "id": id, "direction": direction, "family": "ipv4", "netns": 7,
                "client": {"address": "127.0.0.1", "port": 40000},
                "server": {"address": "127.0.0.1", "port": 80, "name": "a.b"},
                "opened": "2026-11-22T01:02:03.000000000Z", "existing": false, "connect_ns": 5
            },
            "process": {"pid": pid, "comm": "x"},
            "evidence": {"process": evidence, "direction": "handshake"}
        });
        if event == "close" {
            line["connection"]["duration_ns"] = json!(1);
            line["connection"]["sent_bytes"] = json!(if inbound { 20 } else { 10 });
            line["connection"]["received_bytes"] = json!(if inbound { 10 } else { 20 });
            line["connection"]["closed_by"] = json!(if inbound { "remote" } else { "local" });
        }
        line
    }

    fn good() -> Vec<Value> {
        vec![
            line("connect", "outbound", "a", 100, "hook"),
            line("accept", "inbound", "b", 99, "listener"),
            line("close", "outbound", "a", 100, "hook"),
            line("close", "inbound", "b", 101, "close"),
        ]
    }

    fn scored(lines: &[Value]) -> Report {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let ends = [end(Side::Client), end(Side::Server)];
        score(&ends, lines.iter().map(String::as_str)).expect("lines that parse")
    }

    fn scored_after(change: impl FnOnce(&mut Vec<Value>)) -> Report {
        let mut lines = good();
        change(&mut lines);
        scored(&lines)
    }

    #[test]
    fn agreement() {
        scored(&good()).verdict(0).expect("no discrepancy");
    }

    #[test]
    fn other_namespaces_do_not_count() {
        let report = scored_after(|lines| {
            let mut other = lines[0].clone();
            other["connection"]["netns"] = json!(8);
            lines.push(other);
        });
        report.verdict(0).expect("no discrepancy");
    }

    #[test]
    fn what_is_missing_or_too_much() {
        assert_eq!(
            scored_after(|lines| drop(lines.remove(0))).count("close without an open of its id"),
            1
        );
        assert_eq!(
            scored_after(|lines| drop(lines.pop())).count("open without a close of its id"),
            1
        );
        assert_eq!(
            scored_after(|lines| lines.truncate(1)).count("missing altogether"),
            1
        );
        assert_eq!(
            scored_after(|lines| lines.push(lines[0].clone())).count("opened twice"),
            1
        );
        assert_eq!(
            scored_after(|lines| lines.push(lines[3].clone())).count("closed twice"),
            1
        );
        let invented = |lines: &mut Vec<Value>| {
            lines.push(line("connect", "outbound", "c", 100, "hook"));
            let mut stranger = line("connect", "outbound", "d", 100, "hook");
            stranger["connection"]["client"]["port"] = json!(1);
            lines.push(stranger);
        };
        assert_eq!(scored_after(invented).count("invented"), 2);
    }

    #[test]
    fn a_close_too_much_hides_nothing_else() {
        let report = scored_after(|lines| {
            let mut phantom = line("close", "inbound", "p", 101, "close");
            let members = phantom["connection"].as_object_mut().expect("an object");
            members.remove("opened");
            members.insert("existing".to_owned(), json!(true));
            lines.insert(0, phantom);
        });
        assert_eq!(report.count("invented"), 1);
        assert_eq!(
            (report.false_.len(), report.unknown.len()),
            (1, 0),
            "{report}"
        );
    }

    #[test]
    fn what_was_missed_is_excused_and_nothing_else() {
        let missing = scored_after(|lines| {
            lines.remove(3);
            lines.remove(1);
        });
        missing.verdict(0).expect_err("an end is missing");
        missing.verdict(1).expect("one run was missed");
        let late = |lines: &mut Vec<Value>| {
            for n in [1, 3] {
                lines[n]["connection"]["existing"] = json!(true);
                let members = lines[n]["connection"].as_object_mut().expect("an object");
                members.remove("opened");
                members.remove("duration_ns");
            }
            lines[1]["event"] = json!("existing");
            lines[1]["evidence"]["process"] = json!("unknown");
            lines[1]
                .as_object_mut()
                .expect("an object")
                .remove("process");
        };
        let found = scored_after(late);
        assert_eq!(found.count("a new connection called existing"), 1);
        found.verdict(0).expect_err("its beginning was missed");
        found.verdict(1).expect("one run was missed");
        let wrong = scored_after(|lines| {
            late(lines);
            lines[3]["process"]["pid"] = json!(5);
        });
        wrong
            .verdict(9)
            .expect_err("a wrong process is never excused");
    }

    #[test]
    fn the_first_of_two_with_equal_addresses_may_be_missing() {
        let first = end(Side::Client);
        let ends = [
            first,
            End {
                at: first.at + 500_000_000,
                sent: 500,
                ..first
            },
        ];
        let mut lines = vec![
            line("connect", "outbound", "z", 100, "hook"),
            line("close", "outbound", "z", 100, "hook"),
        ];
        for line in &mut lines {
            line["connection"]["opened"] = json!(rfc3339(ends[1].at - 1));
        }
        lines[1]["connection"]["sent_bytes"] = json!(500);
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let report = score(&ends, lines.iter().map(String::as_str)).expect("lines");
        assert_eq!(report.count("missing altogether"), 1, "{report}");
        report.verdict(1).expect("nothing is false");
    }

    #[test]
    fn what_was_there_before() {
        let mut ends = [end(Side::Client), end(Side::Server)];
        let mut lines = good();
        for (n, line) in lines.iter_mut().enumerate() {
            line["connection"]["existing"] = json!(true);
            let members = line["connection"].as_object_mut().expect("an object");
            members.remove("opened");
            members.remove("duration_ns");
            if n < 2 {
                line["event"] = json!("existing");
                line["evidence"]["process"] = json!("scan");
                line["process"]["pid"] = json!(100);
            }
        }
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        let report = |ends: &[End]| score(ends, lines.iter().map(String::as_str)).expect("lines");
        report(&ends).verdict(9).expect_err("they were new");
        for end in &mut ends {
            end.existing = true;
        }
        report(&ends).verdict(0).expect("no discrepancy");
    }

    #[test]
    fn what_is_wrong() {
        let after = |n: usize, path: &str, value: Value| {
            scored_after(|lines| *lines[n].pointer_mut(path).expect("a field") = value)
        };
        assert_eq!(
            after(0, "/process/pid", json!(5)).count("wrong process at the open"),
            1
        );
        assert_eq!(
            after(1, "/evidence/process", json!("hook")).count("wrong process at the open"),
            1
        );
        assert_eq!(
            after(3, "/process/pid", json!(100)).count("wrong process at the close"),
            1
        );
        assert_eq!(
            after(2, "/connection/sent_bytes", json!(11)).count("wrong sent_bytes"),
            1
        );
        assert_eq!(
            after(3, "/connection/received_bytes", json!(11)).count("wrong received_bytes"),
            1
        );
        assert_eq!(
            after(3, "/connection/closed_by", json!("local")).count("wrong closed_by"),
            1
        );
        assert_eq!(
            after(0, "/connection/direction", json!("inbound")).count("wrong direction"),
            1
        );
        assert_eq!(
            after(0, "/connection/family", json!("ipv6")).count("wrong family"),
            1
        );
        assert_eq!(
            after(0, "/event", json!("fail")).count("an event that should not be"),
            1
        );
    }

    #[test]
    fn an_attempt_without_an_outcome() {
        let lost = |pid: u32| {
            let mut fail = line("fail", "outbound", "a", pid, "hook");
            fail["failure"] = json!({"phase": "network", "reason": "other"});
            fail["evidence"]["end"] = json!("scan");
            fail["connection"]["client"] = json!({"address": "127.0.0.1"});
            scored_after(|lines| {
                lines.retain(|line| line["connection"]["direction"] == "inbound");
                lines.push(fail);
            })
        };
        let found = lost(100);
        assert_eq!(found.count("no outcome"), 1, "{found}");
        found.verdict(0).expect_err("nothing was missed");
        found.verdict(1).expect("one run was missed");
        let wrong = lost(5);
        assert_eq!(wrong.count("invented"), 1, "{wrong}");
        wrong.verdict(9).expect_err("nobody of that pid dialled");
    }

    #[test]
    fn a_reset_at_the_very_end_is_rare() {
        let reset = |lines: &mut Vec<Value>| lines[3]["connection"]["errno"] = json!("ECONNRESET");
        scored_after(reset).verdict(0).expect("one may be");
        let many = Report {
            reset_at_last: 2,
            ..Report::default()
        };
        many.verdict(9).expect_err("one of two ends");
        let mut told = good();
        told[3]["connection"]["errno"] = json!("EPIPE");
        scored(&told).verdict(9).expect_err("another error");
    }

    #[test]
    fn equal_tuples_one_after_the_other() {
        let mut ends = vec![end(Side::Client), end(Side::Client)];
        ends[0].at = OPENED + 600_000_000;
        ends[0].sent = 500;
        let mut lines = vec![
            line("connect", "outbound", "z", 100, "hook"),
            line("close", "outbound", "z", 100, "hook"),
        ];
        lines.push(line("connect", "outbound", "a", 100, "hook"));
        lines.push(line("close", "outbound", "a", 100, "hook"));
        for later in &mut lines[2..] {
            later["connection"]["opened"] = json!("2026-11-22T01:02:03.500000000Z");
        }
        lines[3]["connection"]["sent_bytes"] = json!(500);
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        score(&ends, lines.iter().map(String::as_str))
            .expect("parsed")
            .verdict(0)
            .expect("no discrepancy");
    }
}
