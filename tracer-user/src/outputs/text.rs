//! One line an event, for people at a terminal. Times are UTC, so that they compare with
//! those of other hosts. A connection always shows as client → server; the word before
//! it says which of the two this host is.

use std::{
    fmt::{Display, Write as _},
    io::Write,
    net::SocketAddr,
};

use anstyle::{AnsiColor, Style};

use super::{
    sanitise,
    units::{Bytes, Count, Nanos, no_answer},
};
use crate::model::{
    Address, Body, Closer, Connection, ConnectionEvent, Coverage, Direction, DirectionEvidence,
    EndEvidence, Event, Evidence, ExitStatus, Failure, Kind, ListenerEvent, Loss, Lost, Phase,
    Process, ProcessEvent, ProcessEvidence, Reason, Signal, Start, Stop, WorkloadKind,
};

/// Columns that a name from outside may take.
const NAME_COLUMNS: usize = 24;
/// Columns that a longer text from outside may take.
const TEXT_COLUMNS: usize = 120;
/// Columns that something unseen may take: a sentence of ours, but of a recording it may be any text.
const BLIND_COLUMNS: usize = 240;

/// Appends `event` to `buf` as one or more whole lines.
pub(super) fn write(event: &Event, colour: bool, buf: &mut Vec<u8>) {
    let kind = event.body.kind();
    let paint = |style: Style| if colour { style } else { Style::new() };
    let (dim, style) = (paint(Style::new().dimmed()), paint(style(kind)));
    let time = event.time.to_string();
    let (date, clock) = time.split_at_checked(11).unwrap_or(("", &time));
    let clock = clock.get(..12).unwrap_or(clock);
    put(
        buf,
        format_args!("{dim}{clock}{dim:#} {style}{:<8}{style:#} ", kind.name()),
    );
    match &event.body {
        Body::Start(it) => start(it, event, date.trim_end_matches('T'), buf),
        Body::Existing(it)
        | Body::Connect(it)
        | Body::Accept(it)
        | Body::Totals(it)
        | Body::Close(it)
        | Body::Fail(it) => connection(it, buf),
        Body::Exec(it) | Body::Exit(it) => process_event(it, buf),
        Body::Listen(it) | Body::Unlisten(it) => listener(it, buf),
        Body::Loss(it) => loss(it, buf),
        Body::Stop(it) => stop(it, buf),
    }
    buf.push(b'\n');
}

/// Appends to a buffer in memory, which does not fail.
fn put(buf: &mut Vec<u8>, text: impl Display) {
    let _ = write!(buf, "{text}");
}

fn style(kind: Kind) -> Style {
    match kind {
        Kind::Connect | Kind::Accept => AnsiColor::Green.on_default(),
        Kind::Close => AnsiColor::Blue.on_default(),
        Kind::Fail => AnsiColor::Red.on_default(),
        Kind::Listen | Kind::Unlisten => AnsiColor::Cyan.on_default(),
        Kind::Existing | Kind::Totals | Kind::Exec | Kind::Exit => Style::new(),
        Kind::Loss => AnsiColor::Red.on_default().bold(),
        Kind::Start | Kind::Stop => Style::new().bold(),
    }
}

fn start(start: &Start, event: &Event, date: &str, buf: &mut Vec<u8>) {
    let tracer = &start.tracer;
    put(
        buf,
        format_args!(
            "tracer {} on {}, {} hooks, kernel {} {}, {date}, times in UTC",
            tracer.version,
            sanitise(&event.host.name, TEXT_COLUMNS),
            sanitise(&tracer.hooks, TEXT_COLUMNS),
            sanitise(&tracer.kernel, TEXT_COLUMNS),
            sanitise(&tracer.arch, TEXT_COLUMNS),
        ),
    );
    if !start.blind.is_empty() {
        put(
            buf,
            format_args!("\n{:13}blind to (`tracer doctor` says why)", ""),
        );
    }
    for blind in &start.blind {
        let what = sanitise(&blind.what, BLIND_COLUMNS);
        put(buf, format_args!("\n{:13}- {what}", ""));
    }
}

fn connection(event: &ConnectionEvent, buf: &mut Vec<u8>) {
    let connection = &event.connection;
    let ends = connection.ends;
    let remote = connection.translation.as_ref();
    let remote = remote.map_or(ends.remote, |it| it.server);
    let (word, from, arrow, to) = match connection.direction {
        Some(Direction::Outbound) => ("out", ends.local, "→", remote),
        Some(Direction::Inbound) => ("in", remote, "→", ends.local),
        None => ("?", ends.local, "↔", remote),
    };
    let process = process(event.process.as_deref());
    let mut flow = format!("{} {arrow} {}", end(from), end(to));
    let mut facts = Vec::new();
    if let Some(name) = &connection.name {
        let names: Vec<_> = name.all().iter().map(|it| &**it).collect();
        let _ = write!(flow, " ({})", sanitise(&names.join(" or "), TEXT_COLUMNS));
    }
    if let Some(translation) = &connection.translation {
        facts.push(format!("dialled as {}", end(translation.dialled)));
    }
    if let Some(peer) = &event.peer {
        facts.push(format!("other end {}", self::process(Some(peer))));
    }
    if let Some(failure) = &event.failure {
        facts.push(failed(failure));
    }
    if let Some(ns) = connection.connect_ns {
        facts.push(format!("connected in {}", Nanos(ns)));
    }
    let unanswered = event.failure.as_ref().and_then(|it| it.unanswered_syns);
    if let Some(syns) = unanswered {
        facts.push(no_answer(connection.duration_ns, syns));
    } else if let Some(ns) = connection.duration_ns {
        let word = if event.failure.is_some() {
            "after"
        } else {
            "open for"
        };
        facts.push(format!("{word} {}", Nanos(ns)));
    }
    life(connection, &mut facts);
    if let Some(errno) = connection.errno {
        facts.push(errno.to_owned());
    }
    let (facts, evidence) = (facts.join(", "), evidence(&event.evidence));
    put_columns(
        buf,
        &[
            (word, 3),
            (&process, 24),
            (&flow, 45),
            (&facts, 0),
            (&evidence, 0),
        ],
    );
}

/// What a connection carried, and who ended it.
fn life(connection: &Connection, facts: &mut Vec<String>) {
    if connection.existing && connection.totals.is_some() {
        facts.push("older than tracer".to_owned());
    }
    if let Some(totals) = &connection.totals {
        facts.push(format!("sent {}", Bytes(totals.sent_bytes)));
        facts.push(format!("received {}", Bytes(totals.received_bytes)));
        if let Some(ns) = totals.rtt_ns {
            facts.push(format!("rtt {}", Nanos(ns)));
        }
        if totals.retransmits > 0 {
            facts.push(format!("{} sent again", Count(totals.retransmits.into())));
        }
    }
    match connection.closed_by {
        Some(Closer::Local) => facts.push("closed by this end".to_owned()),
        Some(Closer::Remote) => facts.push("closed by the other end".to_owned()),
        None => {}
    }
}

fn failed(failure: &Failure) -> String {
    let reason = match failure.reason {
        Reason::NoRoute => "no route",
        Reason::AcceptQueueFull => "the accept queue is full",
        Reason::NotListening => "nothing listens",
        Reason::NoLocalPort => "no local port is free",
        Reason::Denied => "denied",
        Reason::AddressInUse => "address in use",
        Reason::TimedOut => "timed out",
        Reason::HostUnreachable => "host unreachable",
        Reason::NetworkUnreachable => "network unreachable",
        Reason::Refused => "refused",
        Reason::Reset => "reset",
        Reason::Abandoned => "abandoned",
        Reason::Other => "failed",
    };
    let phase = match failure.phase {
        Phase::Local => "on this host",
        Phase::Network => "in the network",
        Phase::Remote => "by the other end",
        Phase::Abandoned => "by the caller",
    };
    match failure.errno {
        Some(errno) => format!("{reason} {phase}, {errno}"),
        None => format!("{reason} {phase}"),
    }
}

fn process_event(event: &ProcessEvent, buf: &mut Vec<u8>) {
    let name = process(Some(&event.process));
    let what = match (&event.exit, &event.process.args, &event.process.exe) {
        (Some(ExitStatus::Code(code)), _, _) => format!("exit code {code}"),
        (Some(ExitStatus::Signal(Signal::Name(name))), _, _) => format!("ended by {name}"),
        (Some(ExitStatus::Signal(Signal::Number(number))), _, _) => {
            format!("ended by signal {number}")
        }
        (None, Some(args), _) => sanitise(&args.join(" "), TEXT_COLUMNS).to_string(),
        (None, None, Some(exe)) => sanitise(exe, TEXT_COLUMNS).to_string(),
        (None, None, None) => String::new(),
    };
    put_columns(buf, &[("", 3), (&name, 24), (&what, 0)]);
}

fn listener(event: &ListenerEvent, buf: &mut Vec<u8>) {
    let process = process(event.process.as_deref());
    let local = end(event.listener.local);
    let backlog = event
        .listener
        .backlog
        .map(|length| format!("backlog {}", Count(length.into())));
    let (backlog, evidence) = (backlog.unwrap_or_default(), evidence(&event.evidence));
    put_columns(
        buf,
        &[
            ("", 3),
            (&process, 24),
            (&local, 45),
            (&backlog, 0),
            (&evidence, 0),
        ],
    );
}

/// Appends texts padded to at least their column's width, nothing after the last of them.
/// A column of no width that has no text takes no room.
fn put_columns(buf: &mut Vec<u8>, columns: &[(&str, usize)]) {
    for (text, width) in columns
        .iter()
        .filter(|(text, width)| *width > 0 || !text.is_empty())
    {
        put(buf, format_args!("{text:<width$} "));
    }
    buf.truncate(buf.trim_ascii_end().len());
}

fn process(process: Option<&Process>) -> String {
    let Some(process) = process else {
        return "?".to_owned();
    };
    let name = format!("{}[{}]", sanitise(&process.comm, NAME_COLUMNS), process.pid);
    match process.workload.as_deref() {
        // A program's own name says nothing new.
        Some(workload) if workload.kind != WorkloadKind::Executable => {
            format!("{name} in {}", sanitise(&workload.name, NAME_COLUMNS))
        }
        _ => name,
    }
}

fn end(end: SocketAddr) -> String {
    match end {
        _ if end.port() != 0 => end.to_string(),
        SocketAddr::V4(v4) => format!("{}:?", v4.ip()),
        SocketAddr::V6(_) => format!("[{}]:?", Address::from(end)),
    }
}

/// How the event is known, where that is not the usual way and the line does not show it.
fn evidence(evidence: &Evidence) -> String {
    let process = match evidence.process {
        ProcessEvidence::Hook | ProcessEvidence::Unknown => None,
        ProcessEvidence::Listener => Some("process by listener"),
        ProcessEvidence::Read => Some("process by read"),
        ProcessEvidence::Close => Some("process by close"),
        ProcessEvidence::Scan => Some("process by scan"),
    };
    let direction = match evidence.direction {
        Some(DirectionEvidence::Listener) => Some("direction by listener"),
        Some(DirectionEvidence::Handshake | DirectionEvidence::Unknown) | None => None,
    };
    let end = evidence.end.map(|EndEvidence::Scan| "end found later");
    let known: Vec<_> = process.into_iter().chain(direction).chain(end).collect();
    if known.is_empty() {
        String::new()
    } else {
        format!("({})", known.join(", "))
    }
}

fn loss(loss: &Loss, buf: &mut Vec<u8>) {
    put(
        buf,
        format_args!(
            "{} in {}",
            lost_events(loss.lost.total()),
            span(&loss.interval)
        ),
    );
    let lost = loss.lost.iter().filter(|(_, lost)| lost.total() > 0);
    for (at, (kind, lost)) in lost.enumerate() {
        let comma = if at == 0 { ":" } else { "," };
        put(
            buf,
            format_args!(
                "{comma} {} {} ({})",
                Count(lost.total()),
                kind.name(),
                causes(lost)
            ),
        );
    }
    put(buf, missed(loss.missed));
}

/// How often hooks were skipped, to be appended; nothing if none was.
pub(super) fn missed(times: u64) -> String {
    match times {
        0 => String::new(),
        1 => "; a hook was skipped by the kernel once".to_owned(),
        _ => format!("; hooks were skipped by the kernel {} times", Count(times)),
    }
}

fn stop(stop: &Stop, buf: &mut Vec<u8>) {
    let lost = lost_events(stop.totals.lost().total());
    put(
        buf,
        format_args!(
            "watched for {}, {lost}{}",
            span(&stop.coverage),
            missed(stop.missed)
        ),
    );
    let repaired = stop.repaired;
    if repaired.opened + repaired.closed > 0 {
        put(
            buf,
            format_args!(
                "; found later: {} connections, {} ends",
                Count(repaired.opened),
                Count(repaired.closed)
            ),
        );
    }
    if stop.unread > 0 {
        put(
            buf,
            format_args!("; processes left unread: {}", Count(stop.unread)),
        );
    }
    if stop.unattributed > 0 {
        put(
            buf,
            format_args!(
                "; processes of unknown workload: {}",
                Count(stop.unattributed)
            ),
        );
    }
    put(
        buf,
        format_args!("; took {} of processor time", Nanos(stop.cost.cpu_ns)),
    );
    if let Some(bytes) = stop.cost.memory_bytes {
        put(buf, format_args!(" and {} of memory", Bytes(bytes)));
    }
    for (kind, tally) in stop.totals.iter().filter(|(_, tally)| tally.seen > 0) {
        put(
            buf,
            format_args!(
                "\n{:13}{:<8} {:>11} seen",
                "",
                kind.name(),
                Count(tally.seen)
            ),
        );
        if tally.lost.total() > 0 {
            put(
                buf,
                format_args!(
                    ", {} delivered, {}",
                    Count(tally.delivered),
                    causes(&tally.lost)
                ),
            );
        }
    }
}

/// So many events were lost, in words.
pub(super) fn lost_events(number: u64) -> String {
    match number {
        0 => "nothing lost".to_owned(),
        1 => "1 event lost".to_owned(),
        _ => format!("{} events lost", Count(number)),
    }
}

/// The causes of a loss, as many as there were.
fn causes(lost: &Lost) -> String {
    let causes = [
        ("ring full", lost.ring_full),
        ("table full", lost.table_full),
        ("undecodable", lost.undecodable),
    ];
    let causes = causes.iter().filter(|(_, number)| *number > 0);
    causes
        .map(|(cause, number)| format!("{cause} {}", Count(*number)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn span(coverage: &Coverage) -> Nanos {
    Nanos(coverage.to.as_ns().saturating_sub(coverage.from.as_ns()))
}

#[cfg(test)]
mod tests;
