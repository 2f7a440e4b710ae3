//! What tracer printed against what really happened.
//!
//! [`exactly`] looks for lines by a pattern and, when they are not there, shows the closest
//! line and where it differs. [`score`] holds a whole ledger against all lines. [`sums`] checks
//! that the `loss` and `stop` lines add up. [`well_formed`] checks what holds for every line.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    ledger::{Closer, End, Side},
    tracer::hooks,
};

/// Kinds of event that come from the kernel, as in the `stop` line's totals.
pub const KINDS: [&str; 9] = [
    "existing", "connect", "accept", "close", "fail", "listen", "unlisten", "exec", "exit",
];

// --- patterns -------------------------------------------------------------------------------

/// Where `value` differs from `pattern`. A pattern's object needs its members only, `null`
/// means absent, and `{"$any": [..]}` is one of several patterns.
pub fn differences(pattern: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", pattern, Some(value), &mut found);
    found
}

fn compare(path: &str, pattern: &Value, value: Option<&Value>, found: &mut Vec<String>) {
    let shown = value.map_or("absent".to_owned(), Value::to_string);
    match (pattern, value) {
        (Value::Null, None) => {}
        (Value::Null, Some(_)) => found.push(format!("{path}: expected absent, got {shown}")),
        (Value::Object(members), _) if members.contains_key("$any") => {
            let any = members["$any"].as_array().map_or(&[][..], Vec::as_slice);
            let one = any.iter().any(|pattern| {
                let mut differs = Vec::new();
                compare(path, pattern, value, &mut differs);
                differs.is_empty()
            });
            if !one {
                found.push(format!(
                    "{path}: expected one of {}, got {shown}",
                    members["$any"]
                ));
            }
        }
        (Value::Object(members), Some(Value::Object(have))) => {
            for (name, pattern) in members {
                compare(&format!("{path}.{name}"), pattern, have.get(name), found);
            }
        }
        (pattern, Some(value)) if pattern == value => {}
        (pattern, _) => found.push(format!("{path}: expected {pattern}, got {shown}")),
    }
}

/// The lines that match `pattern`; fails unless there are exactly `count`.
pub fn exactly<'a>(
    count: usize,
    what: &str,
    pattern: &Value,
    events: &'a [Value],
) -> Result<Vec<&'a Value>> {
    let found: Vec<&Value> = events
        .iter()
        .filter(|event| differences(pattern, event).is_empty())
        .collect();
    if found.len() == count {
        return Ok(found);
    }
    let mut message = format!(
        "{what}: expected {count} such line(s), got {}\npattern: {pattern}\n",
        found.len()
    );
    for event in found.iter().take(5) {
        message += &format!("got: {event}\n");
    }
    if found.len() < count {
        let mut near: Vec<(Vec<String>, usize)> = events
            .iter()
            .enumerate()
            .map(|(n, event)| (differences(pattern, event), n))
            .collect();
        near.retain(|(differs, _)| !differs.is_empty());
        near.sort_by_key(|(differs, n)| (differs.len(), *n));
        if let Some((differs, n)) = near.first() {
            message += &format!("closest: {}\n  {}\n", events[*n], differs.join("\n  "));
            message += "around it:\n";
            for event in &events[n.saturating_sub(4)..events.len().min(n + 5)] {
                message += &format!("  {}\n", brief(event));
            }
        }
    }
    bail!(message);
}

/// The one line that matches `pattern`.
pub fn one<'a>(what: &str, pattern: &Value, events: &'a [Value]) -> Result<&'a Value> {
    exactly(1, what, pattern, events)?.pop().context("a line")
}

/// Fails if a line matches `pattern`.
pub fn none(what: &str, pattern: &Value, events: &[Value]) -> Result<()> {
    exactly(0, what, pattern, events).map(drop)
}

/// The lines of one network namespace.
pub fn within(netns: u64, events: &[Value]) -> Vec<Value> {
    let of = |event: &Value| {
        event["connection"]["netns"] == netns || event["listener"]["netns"] == netns
    };
    events.iter().filter(|event| of(event)).cloned().collect()
}

/// An address as tracer prints it.
pub fn endpoint(address: SocketAddr) -> Value {
    json!({"address": address.ip().to_canonical().to_string(), "port": address.port()})
}

/// An event in a few words.
fn brief(event: &Value) -> String {
    let end = |end: &Value| format!("{}:{}", end["address"].as_str().unwrap_or("?"), end["port"]);
    let connection = &event["connection"];
    format!(
        "{} {} pid {} {} {} -> {} netns {} {}",
        event["time"].as_str().unwrap_or("?"),
        event["event"].as_str().unwrap_or("?"),
        event["process"]["pid"],
        event["process"]["comm"],
        end(&connection["client"]),
        end(&connection["server"]),
        connection["netns"],
        event["failure"]["reason"].as_str().unwrap_or(""),
    )
}

// --- every line -----------------------------------------------------------------------------

/// Checks what the contract says of every line: version, time, event, host, no nulls, `start`
/// first and `stop` last.
pub fn well_formed(events: &[Value]) -> Result<()> {
    let host = events
        .first()
        .map(|event| event["host"]["id"].clone())
        .context("no line at all")?;
    ensure!(
        host.is_string(),
        "the start line has no host.id: {}",
        events[0]
    );
    for (n, event) in events.iter().enumerate() {
        let time = event["time"].as_str().unwrap_or_default();
        ensure!(event["v"] == 1, "not version 1: {event}");
        ensure!(
            time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
            "not a time: {event}"
        );
        ensure!(event["host"]["id"] == host, "another host: {event}");
        ensure!(!has_null(event), "null in {event}");
        let kind = event["event"].as_str().unwrap_or_default();
        let known = KINDS.contains(&kind) || matches!(kind, "start" | "stop" | "loss");
        ensure!(known, "an unknown event: {event}");
        ensure!(
            (kind == "start") == (n == 0),
            "`start` must be the first line and only that: {event}"
        );
        ensure!(
            kind != "stop" || n + 1 == events.len(),
            "`stop` must be the last line: {event}"
        );
    }
    Ok(())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// Fails if `text` could change a terminal: control bytes but newlines, C1, bidi controls.
pub fn harmless(text: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(text).context("the text is not UTF-8")?;
    for line in text.lines() {
        let bad = line.chars().find(|c| {
            c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        ensure!(bad.is_none(), "{bad:?} in {line:?}");
    }
    Ok(())
}

// --- the sums -------------------------------------------------------------------------------

/// Counters of one kind of event in the `stop` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names of the contract")]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub seen: u64,
    pub delivered: u64,
    pub ring_full: u64,
    pub table_full: u64,
    pub undecodable: u64,
}

impl Counts {
    /// Events that were seen and not delivered.
    pub fn lost(self) -> u64 {
        self.ring_full + self.table_full + self.undecodable
    }
}

/// Reads the totals, and checks that they add up in themselves and with the `loss` lines.
pub fn sums<'a>(lines: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, Counts>> {
    let mut losses: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut stop = None;
    for line in lines
        .filter(|line| line.contains("\"event\":\"loss\"") || line.contains("\"event\":\"stop\""))
    {
        let line: Value = serde_json::from_str(line).with_context(|| format!("parse {line}"))?;
        if line["event"] == "stop" {
            stop = Some(line);
        } else if line["event"] == "loss" {
            let lost = line["lost"]
                .as_object()
                .with_context(|| format!("a loss line without `lost`: {line}"))?;
            ensure!(
                line["from"].is_string() && line["to"].is_string(),
                "a loss line without its interval: {line}"
            );
            for (kind, causes) in lost {
                for (cause, count) in causes
                    .as_object()
                    .with_context(|| format!("causes in {line}"))?
                {
                    let count = count.as_u64().filter(|count| *count > 0);
                    *losses.entry((kind.clone(), cause.clone())).or_default() += count
                        .with_context(|| format!("a loss that is not a number above 0: {line}"))?;
                }
            }
        }
    }
    let stop = stop.context("no stop line")?;
    ensure!(
        stop["coverage"]["from"].is_string() && stop["coverage"]["to"].is_string(),
        "a stop line without coverage: {stop}"
    );
    let totals: BTreeMap<String, Counts> = serde_json::from_value(stop["totals"].clone())
        .with_context(|| format!("read the totals of {stop}"))?;
    for kind in KINDS {
        let counts = totals
            .get(kind)
            .with_context(|| format!("no totals of {kind} in {stop}"))?;
        ensure!(
            counts.seen == counts.delivered + counts.lost(),
            "{kind}: seen {} is not delivered + lost: {counts:?}",
            counts.seen
        );
        for (cause, count) in [
            ("ring_full", counts.ring_full),
            ("table_full", counts.table_full),
            ("undecodable", counts.undecodable),
        ] {
            let told = losses
                .remove(&(kind.to_owned(), cause.to_owned()))
                .unwrap_or_default();
            ensure!(
                told == count,
                "{kind}: the loss lines say {told} {cause}, the stop line {count}"
            );
        }
    }
    ensure!(
        losses.is_empty(),
        "losses of a kind or cause that the stop line does not have: {losses:?}"
    );
    Ok(totals)
}

// --- the score ------------------------------------------------------------------------------

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

#[derive(Debug)]
struct Open {
    key: Key,
    opened: String,
    pid: Option<u32>,
    evidence: String,
}

#[derive(Debug)]
struct Close {
    key: Key,
    pid: Option<u32>,
    evidence: String,
    sent: Option<u64>,
    received: Option<u64>,
    closed_by: Option<String>,
    errno: Option<String>,
    /// Nobody told of it when it happened.
    found_later: bool,
}

/// How well the lines agree with the ledger.
#[derive(Debug, Default)]
pub struct Report {
    /// Ends in the ledger.
    pub ends: usize,
    /// Lines that were looked at: those of the ledger's namespaces.
    pub lines: usize,
    /// Ends that tracer missed and found later, and said so: without totals.
    pub found_later: usize,
    /// How often each `evidence.process` stood on which event.
    pub evidence: BTreeMap<String, usize>,
    classes: BTreeMap<&'static str, (usize, Vec<String>)>,
}

impl Report {
    fn add(&mut self, class: &'static str, example: impl fmt::Display) {
        let (count, examples) = self.classes.entry(class).or_default();
        *count += 1;
        if examples.len() < 4 {
            examples.push(example.to_string());
        }
    }

    /// How many discrepancies of a class there are.
    pub fn count(&self, class: &str) -> usize {
        self.classes.get(class).map_or(0, |(count, _)| *count)
    }

    /// Fails if there is any discrepancy.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.classes.is_empty(), "{self}");
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} ends in the ledger, {} lines, {} ends found later, evidence {:?}",
            self.ends, self.lines, self.found_later, self.evidence
        )?;
        for (class, (count, examples)) in &self.classes {
            writeln!(f, "{count} x {class}")?;
            for example in examples {
                writeln!(f, "    {example}")?;
            }
        }
        Ok(())
    }
}

/// Holds a ledger against the lines of its namespaces: for every end exactly one open and one
/// close with the true process, bytes and ending, and nothing else.
pub fn score<'a>(ends: &[End], lines: impl Iterator<Item = &'a str>) -> Result<Report> {
    let mut report = Report {
        ends: ends.len(),
        ..Report::default()
    };
    let scope: BTreeSet<u64> = ends.iter().map(|end| end.netns).collect();
    let mut lives: HashMap<String, Life> = HashMap::new();
    for text in lines {
        let line: Line<'_> = serde_json::from_str(text).with_context(|| format!("parse {text}"))?;
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
        let mut lives = found.remove(&key).unwrap_or_default();
        // What was never opened comes last: it is the one too much.
        lives.sort_by_key(|(_, life)| {
            let opened = life.opens.first().map(|open| open.opened.clone());
            (opened.is_none(), opened)
        });
        for (_, life) in lives.iter().skip(ends.len()) {
            report.add("invented", format!("{key}: {life:?}"));
        }
        let mut lives = lives.iter();
        for end in ends {
            match lives.next() {
                None => report.add("missing altogether", key),
                Some((id, life)) => compare_life(&key, end, id, life, &mut report),
            }
        }
    }
    for (key, lives) in found {
        for (_, life) in lives {
            report.add("invented", format!("{key}: {life:?}"));
        }
    }
    let accepts = |evidence| {
        let of = format!("accept inbound {evidence}");
        report.evidence.get(&of).copied().unwrap_or_default()
    };
    let (missed, seen) = (accepts("close"), accepts("hook"));
    if missed > 2 + seen / 100 {
        report.add(
            "accept() missed too often",
            format!("{missed} of {}", missed + seen),
        );
    }
    Ok(report)
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
        kind @ ("connect" | "accept" | "close") => kind,
        _ => {
            report.add("an event that should not be", text);
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
        ("connect", Some("outbound")) | ("close", Some("outbound")) => Side::Client,
        ("accept", Some("inbound")) | ("close", Some("inbound")) => Side::Server,
        _ => {
            report.add("wrong direction", text);
            return None;
        }
    };
    *report
        .evidence
        .entry(format!("{kind} {} {evidence}", direction.unwrap_or("?")))
        .or_default() += 1;
    let (Some(client), Some(server)) = (connection.client, connection.server) else {
        report.add("no client or server", text);
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
        report.add("wrong family", text);
    }
    if connection.existing == Some(true) {
        report.add("a new connection called existing", text);
    }
    let opened = connection.opened.as_deref().unwrap_or_default();
    if opened.is_empty() {
        report.add("no opened", text);
    }
    if opened > &*line.time {
        report.add("opened after it happened", text);
    }
    if kind == "connect" && connection.connect_ns.is_none() {
        report.add("no connect_ns", text);
    }
    let pid = line.process.as_ref().map(|process| process.pid);
    let event = if kind == "close" {
        let found_later = line.evidence.as_ref().is_some_and(|it| it.end.is_some());
        report.found_later += usize::from(found_later);
        if connection.duration_ns.is_none() && !found_later {
            report.add("no duration_ns", text);
        }
        Event::Close(Close {
            key,
            pid,
            evidence: evidence.to_owned(),
            sent: connection.sent_bytes,
            received: connection.received_bytes,
            closed_by: connection.closed_by.as_deref().map(str::to_owned),
            errno: connection.errno.as_deref().map(str::to_owned),
            found_later,
        })
    } else {
        Event::Open(Open {
            key,
            opened: opened.to_owned(),
            pid,
            evidence: evidence.to_owned(),
        })
    };
    Some((connection.id.clone().into_owned(), event))
}

fn compare_life(key: &Key, end: &End, id: &str, life: &Life, report: &mut Report) {
    let show = || format!("{key} id {id}\n        ledger {end:?}\n        got {life:?}");
    let kind = match end.side {
        Side::Client => "connect",
        Side::Server => "accept",
    };
    match life.opens.len() {
        0 => report.add("close without an open of its id", show()),
        1 => {}
        _ => report.add("opened twice", show()),
    }
    match life.closes.len() {
        0 => report.add("open without a close of its id", show()),
        1 => {}
        _ => report.add("closed twice", show()),
    }
    if life.opens.iter().any(|open| open.key != *key)
        || life.closes.iter().any(|close| close.key != *key)
    {
        report.add("the same id for different ends", show());
    }
    for open in &life.opens {
        if !pid_fits(end, kind, open.pid, &open.evidence) {
            report.add("wrong process at the open", show());
        }
    }
    for close in &life.closes {
        if !pid_fits(end, "close", close.pid, &close.evidence) {
            report.add("wrong process at the close", show());
        }
        if close.found_later {
            // How it ended is not known, and must not be said.
            if close.sent.or(close.received).is_some() || close.closed_by.is_some() {
                report.add("more than can be known", show());
            }
            continue;
        }
        if close.sent != Some(end.sent) {
            report.add("wrong sent_bytes", show());
        }
        if close.received != Some(end.received) {
            report.add("wrong received_bytes", show());
        }
        if let Some(by) = end.closed_by {
            if close.closed_by.as_deref() != Some(by.name()) {
                report.add("wrong closed_by", show());
            }
            let expected = (end.reset && by == Closer::Remote).then_some("ECONNRESET");
            // The end that resets may or may not be told of its own error.
            if by == Closer::Remote && close.errno.as_deref() != expected {
                report.add("wrong errno", show());
            }
        }
    }
}

/// Whether a process may stand on an event, given what the evidence says of it.
fn pid_fits(end: &End, kind: &str, pid: Option<u32>, evidence: &str) -> bool {
    let Some(pid) = pid else { return false };
    match evidence {
        "hook" if kind == "close" => pid == end.opener || pid == end.closer,
        "hook" => pid == end.opener,
        "listener" => end.listener == Some(pid),
        // The kernel watches the return of a limited number of accept() calls by kretprobe, as
        // `blind` says: what was missed so is told by who closed it.
        "close" => {
            pid == end.closer && (kind == "close" || kind == "accept" && hooks() == "kprobe")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "127.0.0.1:40000";
    const SERVER: &str = "127.0.0.1:80";

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
            closer: 101,
            sent,
            received,
            closed_by: Some(closed_by),
            reset: false,
            at: 1,
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
        scored(&good()).verdict().expect("no discrepancy");
    }

    #[test]
    fn other_namespaces_do_not_count() {
        let report = scored_after(|lines| {
            let mut other = lines[0].clone();
            other["connection"]["netns"] = json!(8);
            lines.push(other);
        });
        report.verdict().expect("no discrepancy");
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
        let counts = ["invented", "no opened", "a new connection called existing"];
        assert_eq!(counts.map(|class| report.count(class)), [1, 1, 1]);
        assert_eq!(report.classes.len(), 3, "{report}");
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
    fn equal_tuples_one_after_the_other() {
        let mut ends = vec![end(Side::Client), end(Side::Client)];
        ends[0].at = 2;
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
            .verdict()
            .expect("no discrepancy");
    }

    fn stop(connect: &Value) -> Value {
        let zero =
            json!({"seen": 0, "delivered": 0, "ring_full": 0, "table_full": 0, "undecodable": 0});
        let mut totals = json!({});
        for kind in KINDS {
            totals[kind] = zero.clone();
        }
        totals["connect"] = connect.clone();
        json!({"event": "stop", "totals": totals, "coverage": {"from": "a", "to": "b"}})
    }

    fn summed(lines: &[Value]) -> Result<BTreeMap<String, Counts>> {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        sums(lines.iter().map(String::as_str))
    }

    #[test]
    fn sums_that_add_up_and_those_that_do_not() {
        let counts =
            json!({"seen": 10, "delivered": 7, "ring_full": 3, "table_full": 0, "undecodable": 0});
        let loss = |n: u64| json!({"event": "loss", "lost": {"connect": {"ring_full": n}}, "from": "a", "to": "b"});
        let totals = summed(&[loss(1), loss(2), stop(&counts)]).expect("sums");
        assert_eq!(totals["connect"].lost(), 3);
        summed(&[loss(1), stop(&counts)]).expect_err("the loss lines tell too little");
        summed(&[loss(3)]).expect_err("no stop line");
        let wrong =
            json!({"seen": 11, "delivered": 7, "ring_full": 3, "table_full": 0, "undecodable": 0});
        summed(&[loss(3), stop(&wrong)]).expect_err("seen is not delivered + lost");
    }

    #[test]
    fn patterns_say_where_they_differ() {
        let value = json!({"a": {"b": 1, "c": 2}, "d": "x"});
        assert!(
            differences(
                &json!({"a": {"b": 1}, "e": null, "d": {"$any": ["y", "x"]}}),
                &value
            )
            .is_empty()
        );
        let differs = differences(&json!({"a": {"b": 2, "c": null}, "d": "y"}), &value);
        assert_eq!(
            differs,
            [
                ".a.b: expected 2, got 1",
                ".a.c: expected absent, got 2",
                ".d: expected \"y\", got \"x\""
            ]
        );
        let error = one("a line", &json!({"d": "y"}), &[value])
            .expect_err("no such line")
            .to_string();
        assert!(error.contains("closest"), "{error}");
    }

    #[test]
    fn texts_that_would_change_a_terminal() {
        harmless(b"a\nb \xc3\xa9\n").expect("harmless");
        for bad in [
            &b"\x1b[31m"[..],
            b"a\rb",
            b"\xc2\x9b31m",
            "\u{202e}".as_bytes(),
            b"\xff",
            b"\x7f",
        ] {
            harmless(bad).expect_err("not harmless");
        }
    }
}
