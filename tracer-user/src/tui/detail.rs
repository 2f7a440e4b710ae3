//! All that is known of one node, one edge, or of what was watched: labels and what they say.

use std::{collections::BTreeMap, sync::Arc};

use ratatui_core::layout::Rect;

use super::{
    cells::failed,
    facts::{Map, Subject, arrow, at_port, role},
    numbers,
    paint::{Clean, Painter, from, line},
    theme::{Tone, tone, word},
};
use crate::{
    model::{
        Change, Edge, EdgeState, Happened, Node, Process, Quantiles, Run, SeenBy, Timestamp, View,
    },
    outputs::units::{Bytes, Count, Nanos, no_success},
};

/// Columns of a label and the blank behind it.
const LABEL: u16 = 11;
/// Columns of one text that are shown at most, so that arguments do not push all else away.
const LONGEST: usize = 480;
/// Processes of each end that the detail of an edge shows.
const FEW: usize = 3;

/// A line or more: what it is about, and what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fact {
    label: &'static str,
    text: String,
    tone: Tone,
}

/// Facts under a title.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) title: String,
    facts: Vec<Fact>,
}

impl Page {
    fn say(&mut self, label: &'static str, text: impl Into<String>) {
        self.tell(label, text, Tone::Plain);
    }

    fn tell(&mut self, label: &'static str, text: impl Into<String>, tone: Tone) {
        let text = text.into();
        self.facts.push(Fact { label, text, tone });
    }

    fn say_if(&mut self, label: &'static str, text: Option<&Arc<str>>) {
        if let Some(text) = text {
            self.say(label, &**text);
        }
    }

    fn head(&mut self, title: &str) {
        self.facts.push(Fact {
            label: "",
            text: title.to_owned(),
            tone: Tone::Head,
        });
    }

    /// Draws it from its line `skip` on. Returns how many lines it has in all.
    pub(super) fn draw(&self, painter: &mut Painter<'_>, place: Rect, skip: usize) -> usize {
        let columns = usize::from(place.width.saturating_sub(LABEL));
        let mut lines = Vec::new();
        for fact in &self.facts {
            let heading = fact.tone == Tone::Head;
            let room = if heading {
                usize::from(place.width)
            } else {
                columns
            };
            let text = Clean::new(&fact.text, LONGEST).wrap(room);
            for (at, text) in text.into_iter().enumerate() {
                let label = if at == 0 { fact.label } else { "" };
                lines.push((heading, label, text, fact.tone));
            }
        }
        let count = lines.len();
        let height = usize::from(place.height);
        let skip = skip.min(count.saturating_sub(height));
        for (row, (heading, label, text, tone)) in
            (0..place.height).zip(lines.into_iter().skip(skip))
        {
            let place = line(place, row);
            if heading {
                painter.clean(place, &text, tone);
                continue;
            }
            painter.text(place, label, Tone::Faint);
            painter.clean(from(place, LABEL), &text, tone);
        }
        // That there is more shows, whatever the last line says.
        let hidden = count.saturating_sub(skip + height);
        if hidden > 0 && place.height > 1 {
            let last = line(place, place.height - 1);
            painter.text(last, &" ".repeat(usize::from(last.width)), Tone::Plain);
            painter.text(last, &format!("… {} lines more", hidden + 1), Tone::Faint);
        }
        count
    }
}

/// How long before an outage its cause may be, nanoseconds, and how long after its first failure.
const BEFORE_NS: u64 = 60_000_000_000;
const BEFORE_SAME_NS: u64 = 100_000_000;

/// What is known of `subject`.
pub(super) fn page(map: &Map, subject: Subject) -> Page {
    match subject {
        Subject::Node(index) => node(map, index),
        Subject::Edge(index) => edge(map, index),
    }
}

fn node(map: &Map, index: usize) -> Page {
    let (node, facts) = map.node(index);
    let mut page = Page {
        title: node.name.to_string(),
        ..Page::default()
    };
    let what = match role(node) {
        "" => node.kind_word().to_owned(),
        role => format!("{}, {role}", node.kind_word()),
    };
    page.say("is", what);
    if let Some(host) = &node.host {
        page.say("host", &host.name);
    }
    if let Some(members) = node.members {
        page.say("stands for", format!("{} nodes", Count(members)));
    }
    belongs(&mut page, node);
    list(
        &mut page,
        "addresses",
        node.addresses.iter().map(ToString::to_string),
    );
    list(
        &mut page,
        "listens",
        node.listeners
            .iter()
            .map(|at| at.address.with_port(at.port).to_string()),
    );
    let rate = numbers::rate(facts.rate);
    page.say(
        "edges",
        format!("{} in, {} out", facts.incoming.len(), facts.outgoing.len()),
    );
    page.say(
        "live",
        format!("{}, {rate} new a second", Count(facts.live)),
    );
    if facts.failures > 0 {
        let state = facts.state.unwrap_or(EdgeState::Ok);
        let text = format!("{} {}", Count(facts.failures), word(state));
        page.tell("attempts", text, tone(state));
    }
    seen(&mut page, map, node.first_seen, node.last_seen);
    page.say("id", &*node.id);
    left_out(&mut page, node.cut.parts());
    if !node.processes.is_empty() {
        page.head("Processes");
        for process in &node.processes {
            tell_process(&mut page, "pid", process);
        }
    }
    page
}

/// Unit, container and pod.
fn belongs(page: &mut Page, node: &Node) {
    let Some(workload) = &node.workload else {
        return;
    };
    page.say_if("unit", workload.unit.as_ref());
    page.say_if("slice", workload.slice.as_ref());
    if let Some(container) = &workload.container {
        let id: String = container.id.chars().take(12).collect();
        let mut text = container.name.as_deref().unwrap_or("").to_owned();
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&id);
        if let Some(runtime) = &container.runtime {
            text.push_str(&format!(" ({runtime})"));
        }
        page.say("container", text);
        page.say_if("image", container.image.as_ref());
    }
    if let Some(k8s) = &workload.k8s {
        let namespace = k8s.namespace.as_deref();
        if let Some(pod) = &k8s.pod {
            let text = namespace.map_or(pod.to_string(), |it| format!("{it}/{pod}"));
            page.say("pod", text);
        }
        if let Some(owner) = &k8s.owner {
            page.say("owner", format!("{} {}", owner.kind, owner.name));
        }
        page.say_if("node", k8s.node.as_ref());
    }
}

fn tell_process(page: &mut Page, label: &'static str, process: &Process) {
    let mut text = format!("{} {}", process.pid, process.comm);
    if let Some(exe) = &process.exe {
        text.push_str(&format!("  {exe}"));
    }
    page.say(label, text);
    if let Some(args) = process.args.as_ref().filter(|args| !args.is_empty()) {
        page.tell("", args.join(" "), Tone::Faint);
    }
}

fn edge(map: &Map, index: usize) -> Page {
    let (edge, facts) = map.edge(index);
    let (client, server) = (map.client(index), map.server(index));
    let mut page = Page {
        title: format!(
            "{} {} {}{}",
            client.name,
            arrow(edge),
            server.name,
            at_port(edge)
        ),
        ..Page::default()
    };
    page.say("client", with_host(client));
    page.say("server", with_host(server));
    match edge.port {
        Some(port) => page.say("port", port.to_string()),
        None if edge.is_directed() => {
            let ports = Count(edge.history.ports);
            page.say("port", format!("{ports}, at which nothing ever served"));
        }
        None => page.say("port", "not known, nor which end dialled"),
    }
    page.tell("state", word(edge.state), tone(edge.state));
    if edge.failures() > 0 {
        page.tell("failed", failed(edge), tone(edge.state));
    }
    if let Some(last) = edge.last_failure {
        let errno = last.errno.map(|it| format!(", {it}")).unwrap_or_default();
        let text = format!("{}: {}{errno}", ago(map, last.time), last.reason.name());
        page.say("last fail", text);
    }
    let last = match edge.last_success {
        Some(time) => ago(map, time),
        None => no_success(
            edge.live_at_start,
            edge.live(),
            edge.sent_bytes.saturating_add(edge.received_bytes),
        ),
    };
    page.say("last ok", last);
    page.say(
        "live",
        format!(
            "{} = {} at start + {} opened - {} ended",
            Count(edge.live()),
            Count(edge.live_at_start),
            Count(edge.established),
            Count(edge.terminated)
        ),
    );
    outages(&mut page, map, edge, server);
    let ended = &edge.history.ended;
    if ended.broken() > 0 {
        let text = format!(
            "{} of {} in use: {} reset, {} timed out, {} by other errors",
            Count(ended.broken()),
            Count(ended.all()),
            Count(ended.reset),
            Count(ended.timed_out),
            Count(ended.other)
        );
        page.tell("broke", text, Tone::Warn);
    }
    page.say("opens", format!("{} a second", numbers::rate(facts.rate)));
    quantiles(&mut page, "connect", edge.connect_ns);
    quantiles(&mut page, "round trip", edge.rtt_ns);
    page.say(
        "bytes",
        format!(
            "{} sent, {} received by the client, so far",
            Bytes(edge.sent_bytes),
            Bytes(edge.received_bytes)
        ),
    );
    page.say("retransmit", Count(edge.retransmits).to_string());
    seen(&mut page, map, edge.first_seen, edge.last_seen);
    evidence(&mut page, edge);
    for (title, node) in [
        ("Client's processes", client),
        ("Server's processes", server),
    ] {
        if !node.processes.is_empty() {
            page.head(title);
            for process in node.processes.iter().take(FEW) {
                tell_process(&mut page, "pid", process);
            }
            let more = node.processes.len().saturating_sub(FEW);
            if more > 0 {
                page.tell("", format!("and {more} more"), Tone::Faint);
            }
        }
    }
    page
}

/// When it was out, the newest first, and what ended at the server just before.
fn outages(page: &mut Page, map: &Map, edge: &Edge, server: &Node) {
    let all: Vec<_> = edge.outages().collect();
    for outage in all.iter().rev().take(FEW) {
        let length = |end: Timestamp| Nanos(end.as_ns().saturating_sub(outage.begin.as_ns()));
        let lasted = match outage.end {
            Some(end) => format!("for {}", length(end)),
            None => "and not over".to_owned(),
        };
        let mut text = format!(
            "{}, {lasted}: {} attempts",
            ago(map, outage.begin),
            Count(outage.attempts)
        );
        let tone = match outage.end {
            Some(_) => Tone::Warn,
            None => Tone::Bad,
        };
        if let Some(cause) = ended_before(server, edge.port, outage.begin) {
            text.push_str(&format!("; {cause}"));
        }
        page.tell("outage", text, tone);
    }
    let more = all.len().saturating_sub(FEW) as u64;
    if more > 0 {
        page.tell("", format!("and {} before", Count(more)), Tone::Faint);
    }
}

/// What of the server came to its end within a minute before `begin`, or at the same moment.
fn ended_before(server: &Node, port: Option<u16>, begin: Timestamp) -> Option<String> {
    let near = |it: &&Change| {
        let (then, begin) = (it.time.as_ns(), begin.as_ns());
        then <= begin.saturating_add(BEFORE_SAME_NS) && then >= begin.saturating_sub(BEFORE_NS)
    };
    let near: Vec<&Change> = server.changes.iter().filter(near).collect();
    let at_port =
        |it: &&&Change| matches!(it.what, Happened::Unlisten { port: at, .. } if Some(at) == port);
    if near.iter().rev().any(|it| at_port(&it)) {
        return Some("the server no longer listened".to_owned());
    }
    near.iter().rev().find_map(|it| match it.what {
        Happened::Exit { pid, .. } => Some(format!("its process {pid} ended")),
        _ => None,
    })
}

fn evidence(page: &mut Page, edge: &Edge) {
    let evidence = &edge.evidence;
    page.head("Evidence");
    let ends = match evidence.ends {
        SeenBy::Client => "the client's end",
        SeenBy::Server => "the server's end",
        SeenBy::Both => "both ends",
    };
    page.say(
        "told by",
        format!(
            "{ends}: {} by both, {} by the client's only, {} by the server's only",
            Count(evidence.both),
            Count(evidence.client_only),
            Count(evidence.server_only)
        ),
    );
    counts(page, "client's", "process by ", &evidence.client_process);
    counts(page, "server's", "process by ", &evidence.server_process);
    counts(page, "translated", "by ", &evidence.address);
}

fn counts(page: &mut Page, label: &'static str, how: &str, counts: &BTreeMap<&'static str, u64>) {
    let counts: Vec<String> = counts
        .iter()
        .map(|(word, count)| format!("{word} {}", Count(*count)))
        .collect();
    if !counts.is_empty() {
        page.say(label, format!("{how}{}", counts.join(", ")));
    }
}

/// So many are listed: more than fit on any screen.
const LISTED: usize = 256;

fn list(page: &mut Page, label: &'static str, items: impl ExactSizeIterator<Item = String>) {
    let more = items.len().saturating_sub(LISTED) as u64;
    let mut items: Vec<String> = items.take(LISTED).collect();
    if more > 0 {
        items.push(format!("and {} more", Count(more)));
    }
    if !items.is_empty() {
        page.say(label, items.join(", "));
    }
}

fn quantiles(page: &mut Page, label: &'static str, quantiles: Option<Quantiles>) {
    if let Some(it) = quantiles {
        let text = format!(
            "p50 {}, p95 {}, p99 {}, {} to {}, of {}",
            Nanos(it.p50),
            Nanos(it.p95),
            Nanos(it.p99),
            Nanos(it.min),
            Nanos(it.max),
            Count(it.count)
        );
        page.say(label, text);
    }
}

fn seen(page: &mut Page, map: &Map, first: Timestamp, last: Timestamp) {
    let text = format!("first {}, last {}", ago(map, first), ago(map, last));
    page.say("seen", text);
}

fn ago(map: &Map, time: Timestamp) -> String {
    match numbers::age(map.ago(time)) {
        now if now == "now" => now,
        age => format!("{age} ago"),
    }
}

fn with_host(node: &Node) -> String {
    match &node.host {
        Some(host) => format!("{} on {}", node.name, host.name),
        None => format!("{} ({})", node.name, node.kind_word()),
    }
}

/// What was watched, what was lost meanwhile, and what cannot be seen.
pub(super) fn coverage(view: &View) -> Page {
    let mut page = Page {
        title: "Coverage: what was watched".to_owned(),
        ..Page::default()
    };
    if view.coverage.is_empty() {
        page.say("", "Nothing yet.");
    }
    for host in &view.coverage {
        page.head(&host.host.name);
        let watched = host.to.as_ns().saturating_sub(host.from.as_ns());
        page.say(
            "watched",
            format!(
                "{}, from {} to {}",
                Nanos(watched),
                seconds(host.from),
                seconds(host.to)
            ),
        );
        runs(&mut page, &host.runs);
        if !host.names_before.is_empty() {
            page.say("was called", host.names_before.join(", "));
        }
        if !host.twins.is_empty() {
            let text = format!("{}: told apart by name", host.twins.join(", "));
            page.tell("same id as", text, Tone::Warn);
        }
        if host.taken_for_one {
            let text = "two runs at once: two hosts taken for one, or one counts twice".to_owned();
            page.tell("! twice", text, Tone::Warn);
        }
        for gap in &host.gaps {
            let text = format!("not from {} to {}", seconds(gap.from), seconds(gap.to));
            page.tell("! gap", text, Tone::Warn);
        }
        if host.lost.total() == 0 {
            page.tell("lost", "0 events", Tone::Good);
        }
        for (kind, lost) in host.lost.iter().filter(|(_, lost)| lost.total() > 0) {
            let causes = [
                ("ring full", lost.ring_full),
                ("table full", lost.table_full),
                ("undecodable", lost.undecodable),
            ];
            let causes = causes.iter().filter(|(_, count)| *count > 0);
            let causes: Vec<_> = causes
                .map(|(cause, count)| format!("{} {cause}", Count(*count)))
                .collect();
            page.tell(
                "LOST",
                format!("{}: {}", kind.name(), causes.join(", ")),
                Tone::Bad,
            );
        }
        let tone = if host.missed == 0 {
            Tone::Good
        } else {
            Tone::Warn
        };
        page.tell("skipped", format!("{} calls", Count(host.missed)), tone);
        if host.untracked > 0 {
            let text = format!(
                "{} connections had no room in the map",
                Count(host.untracked)
            );
            page.tell("untracked", text, Tone::Warn);
        }
        if host.unattributed > 0 {
            let text = format!(
                "{} processes may be of other workloads: /proc did not tell in time",
                Count(host.unattributed)
            );
            page.tell("unread", text, Tone::Warn);
        }
        left_out(&mut page, host.cut.parts());
        for blind in &host.blind {
            page.tell(
                "blind",
                format!("{}: {}", blind.what, blind.why),
                Tone::Warn,
            );
        }
    }
    page
}

/// What is missing of the runs that watched a host. That the last one has no stop may only mean that it
/// goes on.
fn runs(page: &mut Page, runs: &[Run]) {
    for (run, later) in runs.iter().zip((0..runs.len()).rev()) {
        let mut say = |label, text| page.tell(label, text, Tone::Warn);
        if !run.started {
            let from = seconds(run.from);
            say(
                "! no start",
                format!("before {from}: what could not be seen is not known"),
            );
        }
        if !run.stopped && later > 0 {
            let to = seconds(run.to);
            say(
                "! no stop",
                format!("after {to}: what was lost is not known"),
            );
        }
        if run.absent > 0 {
            let text = format!("{} events are not in the recording", Count(run.absent));
            say("! absent", text);
        }
    }
}

/// What there was no room for.
fn left_out(page: &mut Page, parts: impl IntoIterator<Item = (&'static str, u64)>) {
    let parts = parts.into_iter().filter(|(_, number)| *number > 0);
    let parts: Vec<_> = parts
        .map(|(what, number)| format!("{} {what}", Count(number)))
        .collect();
    if !parts.is_empty() {
        let text = format!("{} had no room in the map", parts.join(", "));
        page.tell("left out", text, Tone::Warn);
    }
}

/// A time to the second.
fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}
