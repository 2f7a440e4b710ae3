//! A recording against the truth.
//!
//! What must be told: each step that was surely within the recording. What may be told: each step that may have been.
//! Both in the documented ways, once, and rightly. What is told is never excused; what is not told is, as often as the
//! recording itself says that something was lost or missed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr},
};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use super::{
    line::Line,
    truth::{Between, Failed, Life, Listened, Ran, Truth, now},
};
use crate::{expect, init, ledger::Side};

/// By how much the wall clock may have moved against the other since this recording: only to find
/// the relation, which the lines themselves then give exactly.
const DRIFT_NS: i64 = 20_000_000;
/// By how much the clock that programs may read at any time differs from the one that processes read:
/// while it is adjusted, some hundred nanoseconds (`ktime_get_mono_fast_ns()`).
const CLOCKS_NS: i64 = 1_000;
/// A tracer that is killed has told what was before its last line by so much.
const UNTOLD_NS: i64 = 100_000_000;
/// Hosts like the one this was written on hide an interrupt from every program now and then, uncounted, and with
/// it both ends of a connection; they are found by looking again. Of so many ends one, and some.
const HIDDEN: (usize, usize) = (10_000, 3);

/// Nanoseconds since 1970.
pub(super) fn wall_now() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A tracer that is killed has no account of what the kernel skipped: so many ends are excused that it says
/// itself to have found later. All attempts whose timers run in one interrupt are missed together.
const UNACCOUNTED: u64 = 16;

/// How many ends of so many steps may be hidden here.
pub(super) fn hidden(steps: usize) -> usize {
    if init::is_test_machine() {
        0
    } else {
        HIDDEN.1 + steps / HIDDEN.0
    }
}

/// What a tracer printed.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// All of it.
    pub text: &'a str,
    /// Whether it was killed.
    pub killed: bool,
}

/// How often a class of faults was found, with some examples.
type Classes = BTreeMap<&'static str, (usize, Vec<String>)>;

/// How a recording stands against the truth.
#[derive(Debug, Default)]
pub struct Judged {
    /// All lines.
    pub lines: usize,
    /// Lines about what was done here.
    pub own: usize,
    /// Steps that were surely within it.
    pub steps: usize,
    /// From its first moment to its last, seconds.
    pub seconds: f64,
    /// Whether it has no account, as the tracer was killed.
    pub killed: bool,
    /// What the recording says that it does not have.
    pub excused: u64,
    /// Ends that it says to have found later.
    found_later: u64,
    /// What is told and is not so.
    wrong: Classes,
    /// What is so and is not told.
    untold: Classes,
    /// Of how many ends that is.
    uncertain: BTreeSet<String>,
}

impl Judged {
    /// Fails if anything is wrong, or if more is untold than the recording says.
    pub fn verdict(&self) -> Result<()> {
        let hidden = hidden(self.steps);
        ensure!(self.wrong.is_empty(), "{self}");
        let unaccounted = match self.killed {
            true => self.found_later.min(UNACCOUNTED),
            false => 0,
        };
        ensure!(
            self.uncertain.len() as u64 <= self.excused + unaccounted + hidden as u64,
            "{self}"
        );
        Ok(())
    }

    fn wrong(&mut self, class: &'static str, example: impl fmt::Display) {
        add(&mut self.wrong, class, example);
    }

    /// Of whom something is not told. What one run of a program would have told counts once.
    fn untold(&mut self, whom: impl fmt::Debug, class: &'static str, example: impl fmt::Display) {
        self.uncertain.insert(format!("{whom:?}"));
        add(&mut self.untold, class, example);
    }
}

fn add(classes: &mut Classes, class: &'static str, example: impl fmt::Display) {
    let (count, examples) = classes.entry(class).or_default();
    *count += 1;
    if examples.len() < 3 {
        examples.push(example.to_string());
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lines in {:.3} s, {} of them of the traffic, {} steps surely within, {} lost or missed, something not told \
             of {} ends",
            self.lines,
            self.seconds,
            self.own,
            self.steps,
            self.excused,
            self.uncertain.len()
        )?;
        for (what, classes) in [("wrong", &self.wrong), ("not told", &self.untold)] {
            for (class, (count, examples)) in classes {
                write!(f, "\n{what}: {count} x {class}")?;
                for example in examples {
                    write!(f, "\n    {example}")?;
                }
            }
        }
        Ok(())
    }
}

/// A line, and its own words.
struct Told<'a> {
    line: Line<'a>,
    time: i64,
    text: &'a str,
    /// Its place among all lines.
    place: usize,
}

impl fmt::Display for Told<'_> {
    /// Without what is the same on all lines, and without what processes are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(serde_json::Value::Object(mut line)) = serde_json::from_str(self.text) else {
            return f.write_str(self.text);
        };
        line.retain(|name, _| !matches!(&**name, "v" | "host" | "workload" | "peer"));
        if let Some(process) = line.get_mut("process").and_then(|it| it.as_object_mut()) {
            process.retain(|name, _| matches!(&**name, "pid" | "comm"));
        }
        write!(f, "{}", serde_json::Value::Object(line))
    }
}

/// All that is told of one name, by kind.
#[derive(Default)]
struct Of<'a> {
    opened: Vec<Told<'a>>,
    /// What it has carried so far.
    carried: Vec<Told<'a>>,
    closed: Vec<Told<'a>>,
    failed: Vec<Told<'a>>,
}

/// The lines of the traffic.
#[derive(Default)]
struct Lines<'a> {
    ends: HashMap<(Side, Ipv4Addr), Of<'a>>,
    listen: HashMap<Ipv4Addr, [Vec<Told<'a>>; 2]>,
    ran: HashMap<u32, [Vec<Told<'a>>; 2]>,
}

/// Holds a recording against the truth. `own` are the namespaces of the tracers: nothing is told of those.
pub fn judge(truth: &Truth, recording: &Recording<'_>, own: &[u64]) -> Result<Judged> {
    let mut judged = Judged {
        killed: recording.killed,
        ..Judged::default()
    };
    let whole = recording
        .text
        .rfind('\n')
        .map_or("", |end| &recording.text[..end]);
    let mut texts = whole.lines();
    let first = texts.next().context("no line at all")?;
    let start: Line<'_> = serde_json::from_str(first).with_context(|| format!("parse {first}"))?;
    ensure!(start.event == "start", "the first line is {first}");
    let from = start.time()?;
    let mut told = Vec::new();
    for (place, text) in texts.enumerate() {
        let line: Line<'_> = serde_json::from_str(text).with_context(|| format!("parse {text}"))?;
        let time = line.time()?;
        told.push(Told {
            line,
            time,
            text,
            place,
        });
    }
    judged.lines = told.len() + 1;
    let to = if recording.killed {
        None
    } else {
        let stop = told.pop().context("no `stop`")?;
        judged.excused = account(recording.text, &stop)?;
        let [covered, to] = stop.line.coverage.as_ref().context("coverage")?.times()?;
        if covered != from || stop.time != to {
            judged.wrong(
                "`start` or `stop` is not of the time of `coverage`",
                stop.text,
            );
        }
        Some(to)
    };
    let last = told.iter().map(|told| told.time).max().unwrap_or(from);
    judged.seconds = (to.unwrap_or(last) - from) as f64 / 1e9;
    for told in &told {
        let [earliest, latest] = told.line.interval()?.unwrap_or([told.time; 2]);
        if earliest < from {
            judged.wrong("before `coverage.from`", told);
        }
        if to.is_some_and(|to| latest > to) {
            judged.wrong("after `coverage.to`", told);
        }
        if told.line.netns().is_some_and(|netns| own.contains(&netns)) {
            judged.wrong("what a tracer did itself", told);
        }
    }

    let sees_accept = start
        .tracer
        .as_ref()
        .is_some_and(|it| it.hooks != "tracepoint");
    let lines = sort(truth, told, &mut judged);
    let clock = relation(truth, &lines, sees_accept, &mut judged)?;
    let kernel = |wall: i64| Between {
        earliest: wall - clock.latest,
        latest: wall - clock.earliest,
    };
    let to = match to {
        Some(to) => kernel(to),
        None => Between {
            earliest: kernel(last).earliest - UNTOLD_NS,
            latest: i64::MAX,
        },
    };
    Court {
        from: kernel(from),
        to,
        clock,
        sees_accept,
        blind: start.blind.iter().map(|it| it.id.to_string()).collect(),
        judged,
    }
    .judge(truth, lines)
}

/// That the recording's own sums are right; what it says to have lost or missed.
fn account(text: &str, stop: &Told<'_>) -> Result<u64> {
    ensure!(stop.line.event == "stop", "the last line is {stop}");
    let sums = expect::sums(text.lines())?;
    let lost: u64 = sums.values().map(|counts| counts.lost()).sum();
    Ok(lost + stop.line.missed)
}

/// By whom they are about; what is about nothing that was done is wrong.
fn sort<'a>(truth: &Truth, told: Vec<Told<'a>>, judged: &mut Judged) -> Lines<'a> {
    let mut lines = Lines::default();
    for told in told {
        let pid = told.line.process.as_ref().map(|process| process.pid);
        if matches!(&*told.line.event, "exec" | "exit") {
            if let Some(pid) = pid.filter(|pid| truth.ran.contains_key(pid)) {
                let of = lines.ran.entry(pid).or_default();
                of[usize::from(told.line.event == "exit")].push(told);
                judged.own += 1;
            }
            continue;
        }
        if told.line.netns() != Some(truth.netns) {
            continue;
        }
        judged.own += 1;
        if let Some(listener) = &told.line.listener {
            match listener.address {
                IpAddr::V4(address) if truth.listened.contains_key(&address) => {
                    let of = lines.listen.entry(address).or_default();
                    of[usize::from(told.line.event == "unlisten")].push(told);
                }
                // Those that serve the traffic.
                IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {}
                _ => judged.wrong("a listener that never was", told),
            }
            continue;
        }
        let Some(name) = told.line.connection.as_ref().and_then(|it| it.name()) else {
            judged.wrong("of no end", told);
            continue;
        };
        let is_known = truth.lives.contains_key(&name) || truth.failed.contains_key(&name);
        if !is_known {
            // They fill the queue of the server that does not answer.
            if name.1 != Ipv4Addr::LOCALHOST {
                judged.wrong("a connection that never was", told);
            }
            continue;
        }
        let of = lines.ends.entry(name).or_default();
        match &*told.line.event {
            "existing" | "connect" | "accept" => of.opened.push(told),
            "totals" => of.carried.push(told),
            "close" => of.closed.push(told),
            _ => of.failed.push(told),
        }
    }
    lines
}

/// What the recording's clock says when the kernel's says nothing: each line of a step says between which
/// two values that is.
fn relation(
    truth: &Truth,
    lines: &Lines<'_>,
    sees_accept: bool,
    judged: &mut Judged,
) -> Result<Between> {
    let measured = wall_now() - now();
    let mut clock = Between {
        earliest: measured - DRIFT_NS,
        latest: measured + DRIFT_NS,
    };
    let mut narrow = |told: &Told<'_>, step: Between| {
        let latest = told.time - step.earliest + CLOCKS_NS;
        let earliest = told.time - step.latest - CLOCKS_NS;
        if latest < clock.earliest || earliest > clock.latest {
            let off = (clock.earliest - latest).max(earliest - clock.latest);
            judged.wrong("not when it happened", format!("{off} ns off: {told}"));
        } else {
            clock.earliest = clock.earliest.max(earliest);
            clock.latest = clock.latest.min(latest);
        }
    };
    for (name, of) in &lines.ends {
        if let Some(life) = truth.lives.get(name) {
            for told in of.opened.iter().filter(|it| it.line.event != "existing") {
                narrow(told, opened(life, told, sees_accept));
            }
            for told in of.closed.iter().filter(|it| has_end(it)) {
                narrow(told, life.ended);
            }
        }
        if let Some(failed) = truth.failed.get(name).filter(|it| it.again.is_none()) {
            for told in of.failed.iter().filter(|it| !it.line.is_found_over()) {
                narrow(told, failed.at);
            }
        }
    }
    for (address, [listen, unlisten]) in &lines.listen {
        let Some(listened) = truth.listened.get(address) else {
            continue;
        };
        for told in listen
            .iter()
            .filter(|it| it.line.process_evidence() == "hook")
        {
            narrow(told, listened.begun);
        }
        for told in unlisten {
            narrow(told, listened.ended);
        }
    }
    for (pid, [exec, exit]) in &lines.ran {
        let Some(ran) = truth.ran.get(pid) else {
            continue;
        };
        exec.iter()
            .chain(exit)
            .for_each(|told| narrow(told, ran.lived));
    }
    Ok(clock)
}

/// Whether the end was told when it happened: where that was missed, only that the socket goes is seen, later.
fn has_end(told: &Told<'_>) -> bool {
    let connection = told.line.connection.as_ref();
    !told.line.is_found_over() && connection.is_some_and(|it| it.closed_by.is_some())
}

/// When what a `connect` or `accept` tells was.
fn opened(life: &Life, told: &Told<'_>, sees_accept: bool) -> Between {
    match (life.side, sees_accept, told.line.process_evidence()) {
        (Side::Client, ..) | (Side::Server, true, "hook") => life.opened,
        (Side::Server, false, _) => life.handshake,
        // accept() itself was not seen.
        (Side::Server, true, _) => Between {
            earliest: life.handshake.earliest,
            latest: life.ended.latest,
        },
    }
}

/// What lines are held against.
struct Court {
    /// When the recording began and ended, by the kernel's clock.
    from: Between,
    to: Between,
    /// What the recording's clock says when the kernel's says nothing.
    clock: Between,
    sees_accept: bool,
    blind: Vec<String>,
    judged: Judged,
}

impl Court {
    fn judge(mut self, truth: &Truth, mut lines: Lines<'_>) -> Result<Judged> {
        let none = Of::default();
        for (name, life) in &truth.lives {
            let of = lines.ends.remove(name);
            self.life(life, of.as_ref().unwrap_or(&none))?;
        }
        for (name, failed) in &truth.failed {
            let of = lines.ends.remove(name);
            self.failed(failed, of.as_ref().unwrap_or(&none));
        }
        for (address, listened) in &truth.listened {
            let of = lines.listen.remove(address).unwrap_or_default();
            self.listened(listened, &of);
        }
        for (pid, ran) in &truth.ran {
            let of = lines.ran.remove(pid).unwrap_or_default();
            self.ran(ran, &of);
        }
        Ok(self.judged)
    }

    /// Surely within the recording.
    fn is_within(&mut self, step: Between) -> bool {
        let is_within = step.earliest > self.from.latest && step.latest < self.to.earliest;
        self.judged.steps += usize::from(is_within);
        is_within
    }

    /// Each of these at most once.
    fn once(&mut self, of: &[Told<'_>]) {
        if of.len() > 1 {
            self.judged.wrong("told twice", all(of));
        }
    }

    fn life(&mut self, life: &Life, of: &Of<'_>) -> Result<()> {
        for told in &of.failed {
            self.judged
                .wrong("a failure of a connection that succeeded", told);
        }
        self.once(&of.opened);
        self.once(&of.closed);
        for told in of.opened.iter().chain(&of.carried).chain(&of.closed) {
            self.end(life, told)?;
        }
        for told in &of.carried {
            self.carried(life, of, told);
        }
        for told in &of.closed {
            self.totals(life, told);
        }
        if let ([opened], [closed]) = (&of.opened[..], &of.closed[..]) {
            let ids = [opened, closed].map(|it| it.line.connection.as_ref().map(|it| &*it.id));
            if ids[0] != ids[1] || opened.place > closed.place {
                self.judged.wrong(
                    "an opening and an end that do not fit",
                    all([opened, closed]),
                );
            }
        }

        let step = match (life.side, self.sees_accept) {
            (Side::Server, false) => life.handshake,
            _ => life.opened,
        };
        let lasts = life.ended.earliest > self.from.latest;
        // One that is killed at once has told nothing yet, and need not.
        let has_begun = step.latest < self.to.earliest && self.from.latest < self.to.earliest;
        let opens = self.is_within(step);
        if of.opened.is_empty() && (opens || (lasts && has_begun)) {
            let class = if opens {
                "an opening"
            } else {
                "what was there before"
            };
            self.judged
                .untold(life.name(), class, format!("{life:?}: {}", all(&of.closed)));
        }
        // Of one that is accepted when it is over already, accept() tells all.
        let ends = self.is_within(life.ended) && has_begun;
        let is_left_open =
            !of.opened.is_empty() && life.ended.latest < self.to.earliest && has_begun;
        if of.closed.is_empty() && (ends || is_left_open) {
            self.judged.untold(
                life.name(),
                "an end",
                format!("{life:?}: {}", all(&of.opened)),
            );
        }
        Ok(())
    }

    /// What is said of the connection itself.
    fn end(&mut self, life: &Life, told: &Told<'_>) -> Result<()> {
        let Some(connection) = &told.line.connection else {
            return Ok(());
        };
        let judged = &mut self.judged;
        let has_other_ends = connection
            .client()
            .is_some_and(|client| client != life.client)
            || connection
                .server()
                .is_some_and(|server| server != life.server);
        if has_other_ends {
            judged.wrong("of other ends", told);
        }
        if let Some(process) = &told.line.process
            && process.pid != life.pid
        {
            judged.wrong("of another process", told);
        }
        let may_be_older = life.handshake.earliest < self.from.latest;
        let is_existing = connection.existing == Some(true);
        if is_existing && !may_be_older {
            judged.wrong("older than the recording, though it is not", told);
        }
        if !is_existing && self.from.earliest > life.handshake.latest {
            self.judged
                .wrong("not older than the recording, though it is", told);
        }
        if !is_existing && told.line.process.is_none() {
            self.judged.untold(life.name(), "a process", told);
        }
        if matches!(&*told.line.event, "existing" | "totals") {
            let kernel = self.kernel(told.time);
            if kernel.latest < life.handshake.earliest || kernel.earliest > life.ended.latest {
                self.judged.wrong("not there at the time", told);
            }
        }
        if let Some(opened) = connection.opened()? {
            let kernel = self.kernel(opened);
            // accept() may be on another processor while the handshake's last step still is on its own.
            let latest = life.handshake.latest;
            if kernel.latest < life.handshake.earliest || kernel.earliest > latest {
                self.judged
                    .wrong("opened at another time", format!("{life:?} {told}"));
            }
        }
        Ok(())
    }

    fn kernel(&self, wall: i64) -> Between {
        Between {
            earliest: wall - self.clock.latest - CLOCKS_NS,
            latest: wall - self.clock.earliest + CLOCKS_NS,
        }
    }

    /// What it has carried so far: after its beginning, before its end, and no more than in all.
    fn carried(&mut self, life: &Life, of: &Of<'_>, told: &Told<'_>) {
        let is_out_of_place = of.opened.iter().any(|opened| opened.place > told.place)
            || of.closed.iter().any(|closed| closed.place < told.place);
        if is_out_of_place {
            self.judged.wrong("what it carried, out of its life", told);
        }
        let connection = told.line.connection.as_ref();
        let bytes = connection.and_then(|it| it.sent_bytes.zip(it.received_bytes));
        if bytes.is_none_or(|(sent, received)| sent > life.sent || received > life.received) {
            let (sent, received) = (life.sent, life.received);
            self.judged
                .wrong("bytes", format!("{sent} and {received} were: {told}"));
        }
    }

    fn totals(&mut self, life: &Life, told: &Told<'_>) {
        let Some(connection) = &told.line.connection else {
            return;
        };
        if told.line.is_found_over() {
            self.judged.found_later += 1;
            if self.kernel(told.time).latest < life.ended.earliest {
                self.judged
                    .wrong("over before it was", format!("{life:?} {told}"));
            }
            self.judged.untold(life.name(), "how it ended", told);
            return;
        }
        let bytes = (connection.sent_bytes, connection.received_bytes);
        if bytes != (Some(life.sent), Some(life.received)) {
            let (sent, received) = (life.sent, life.received);
            self.judged
                .wrong("bytes", format!("{sent} and {received} were: {told}"));
        }
        let closed_by = (connection.closed_by.as_deref(), Some(life.closed_by.name()));
        let errno = (
            connection.errno.as_deref(),
            life.reset.then_some("ECONNRESET"),
        );
        for (what, (told_of, was)) in [("who closed it", closed_by), ("how it ended", errno)] {
            if told_of.is_none() && was.is_some() {
                self.judged
                    .untold(life.name(), what, format!("{life:?} {told}"));
            } else if told_of != was {
                self.judged.wrong(what, format!("{life:?} {told}"));
            }
        }
    }

    fn failed(&mut self, failed: &Failed, of: &Of<'_>) {
        for told in of.opened.iter().chain(&of.carried).chain(&of.closed) {
            self.judged
                .wrong("a connection where an attempt failed", told);
        }
        self.once(&of.failed);
        let (phase, reason, errno) = failed.why.words();
        let name = failed.name();
        let at = failed.at;
        let is_within = self.is_within(at);
        for told in &of.failed {
            let line = &told.line;
            let (Some(failure), Some(connection)) = (&line.failure, &line.connection) else {
                self.judged.wrong("no failure", told);
                continue;
            };
            if line.is_found_over() {
                self.judged.found_later += 1;
                if self.kernel(told.time).latest < at.earliest {
                    self.judged
                        .wrong("over before it was", format!("{failed:?} {told}"));
                }
                self.judged
                    .untold(name, "why it failed", format!("{failed:?} {told}"));
                continue;
            }
            let words = (&*failure.phase, &*failure.reason, failure.errno.as_deref());
            if words != (phase, reason, errno) {
                self.judged
                    .wrong("another failure", format!("{failed:?} {told}"));
            }
            let client = connection.client();
            if client.is_some() && failed.client.is_some() && client != failed.client {
                self.judged.wrong("of other ends", told);
            }
            let pid = line.process.as_ref().map(|process| process.pid);
            if pid.is_some() && pid != failed.pid {
                self.judged.wrong("of another process", told);
            }
            let may_be_older = failed.begun < self.from.latest;
            if pid.is_none() && failed.pid.is_some() && !may_be_older {
                self.judged.untold(name, "a process", told);
            }
            if connection.existing == Some(true) && !may_be_older {
                self.judged
                    .wrong("older than the recording, though it is not", told);
            }
            let kernel = self.kernel(told.time);
            let latest = match failed.again {
                Some(again) if !is_within => again,
                _ => at.latest,
            };
            if kernel.latest < at.earliest || kernel.earliest > latest {
                self.judged
                    .wrong("not when it failed", format!("{failed:?} {told}"));
            }
        }
        let excuse = failed.why.excuse();
        let is_unseen = excuse.is_some_and(|id| self.blind.iter().any(|it| it == id));
        if of.failed.is_empty() && is_within && !is_unseen {
            self.judged.untold(name, "a failure", format!("{failed:?}"));
        }
    }

    fn listened(&mut self, listened: &Listened, [listen, unlisten]: &[Vec<Told<'_>>; 2]) {
        self.once(listen);
        self.once(unlisten);
        for told in listen.iter().chain(unlisten) {
            let listener = told.line.listener.as_ref();
            if listener.and_then(|it| it.port) != Some(listened.at.port()) {
                self.judged.wrong("of other ends", told);
            }
            let pid = told.line.process.as_ref().map(|process| process.pid);
            if pid.is_some_and(|pid| pid != listened.pid) {
                self.judged.wrong("of another process", told);
            }
        }
        for told in listen {
            let kernel = self.kernel(told.time);
            let is_late = told.line.process_evidence() != "hook";
            let latest = if is_late {
                listened.ended.latest
            } else {
                listened.begun.latest
            };
            if kernel.latest < listened.begun.earliest || kernel.earliest > latest {
                self.judged
                    .wrong("not when it listened", format!("{listened:?} {told}"));
            }
            if is_late && listened.begun.earliest > self.from.latest {
                self.judged
                    .untold(listened.at, "who begins to listen", told);
            }
        }
        if listen.is_empty() && self.is_within(listened.begun) {
            self.judged.untold(
                listened.at,
                "a listener",
                format!("{listened:?} {}", all(unlisten)),
            );
        }
        let is_left = !listen.is_empty() && listened.ended.latest < self.to.earliest;
        if unlisten.is_empty() && (self.is_within(listened.ended) || is_left) {
            self.judged.untold(
                listened.at,
                "the end of a listener",
                format!("{listened:?} {}", all(listen)),
            );
        }
    }

    fn ran(&mut self, ran: &Ran, [exec, exit]: &[Vec<Told<'_>>; 2]) {
        self.once(exec);
        self.once(exit);
        if !self.is_within(ran.lived) {
            return;
        }
        for (of, what) in [
            (exec, "that a process is executed"),
            (exit, "that a process ends"),
        ] {
            if of.is_empty() {
                self.judged.untold(ran.pid, what, format!("{ran:?}"));
            }
        }
    }
}

/// All of these, one behind the other.
fn all<'a>(of: impl IntoIterator<Item = &'a Told<'a>>) -> String {
    of.into_iter().fold(String::new(), |mut all, told| {
        let _ = write!(all, "\n      {told}");
        all
    })
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddrV4, time::UNIX_EPOCH};

    use super::*;
    use crate::ledger::Closer;

    /// A second of the kernel's clock.
    const SECOND: i64 = 1_000_000_000;

    fn at(time: i64) -> Between {
        Between {
            earliest: time,
            latest: time,
        }
    }

    /// A client's end that lasts between two times of the kernel's clock.
    fn truth(opened: i64, ended: i64) -> Truth {
        let life = Life {
            side: Side::Client,
            server: SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, 1), 80),
            client: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40000),
            pid: 7,
            opened: at(opened),
            handshake: at(opened),
            ended: at(ended),
            sent: 1,
            received: 1,
            closed_by: Closer::Local,
            reset: false,
        };
        Truth {
            lives: [(life.name(), life)].into(),
            ..Truth::default()
        }
    }

    /// What a tracer that was killed had printed: that it began, and what it found at these times of the kernel's clock.
    fn killed(begun: i64, found: &[i64]) -> String {
        let wall = |time: i64| {
            let since = std::time::Duration::from_nanos((time + wall_now() - now()) as u64);
            humantime::format_rfc3339_nanos(UNIX_EPOCH + since).to_string()
        };
        let mut text = format!(
            "{}\n",
            serde_json::json!({"time": wall(begun), "event": "start", "tracer": {"hooks": "fentry"}})
        );
        for &time in found {
            let line = serde_json::json!({"time": wall(time), "event": "listen"});
            text += &format!("{line}\n");
        }
        text
    }

    fn untold(truth: &Truth, text: &str) -> Result<usize> {
        let recording = Recording { text, killed: true };
        Ok(judge(truth, &recording, &[])?.uncertain.len())
    }

    #[test]
    fn who_is_killed_at_once_need_not_have_told_what_was_there() -> Result<()> {
        let now = now();
        let there = truth(now - SECOND, now + SECOND);
        assert_eq!(untold(&there, &killed(now, &[]))?, 0);
        assert_eq!(untold(&there, &killed(now, &[now + UNTOLD_NS / 2]))?, 0);
        // Nothing was told of it for so long that it was forgotten.
        assert_eq!(untold(&there, &killed(now, &[now + SECOND / 2]))?, 1);
        Ok(())
    }
}
