//! What fails, for people.

use anstyle::{AnsiColor, Style};

use super::{
    super::{
        grid::{self, Part},
        map::words::clock,
        sanitise,
        units::{Count, Nanos, no_answer, no_success},
    },
    page::{Cell, Mark, Names, Page, Shown, Table, plural, reasons, state},
};
use crate::{
    ask::{
        Answer, Proof,
        failures::{Breaking, Cause, Failing, Failures, Happening, Incident, What},
    },
    model::{EdgeState, ExitStatus, Happened, Signal},
};

impl Shown for Answer<Failures> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let edges = &self.found.edges;
        let names = Names::of(&self.proof);
        let fails = |it: &&Failing| it.link.state == EdgeState::Failed;
        let failing = edges.iter().filter(fails).count();
        let recovered = edges.len() - failing;
        let (now, earlier) = (plural(failing, "edge"), plural(recovered, "edge"));
        let verb = |number: usize| if number == 1 { "fails" } else { "fail" };
        let mut headline = match (failing, recovered) {
            (0, 0) => "No attempt to connect failed.".to_owned(),
            (0, _) => format!("Nothing fails now; {earlier} had failures and recovered."),
            (_, 0) => format!("{now} {}.", verb(failing)),
            _ => format!(
                "{now} {}; {earlier} had failures and recovered.",
                verb(failing)
            ),
        };
        let causes = &self.found.causes;
        let outages = causes.iter().filter(|it| it.what == What::Outage);
        let lasting = outages.clone().filter(|it| it.end.is_none()).count();
        match (lasting, outages.count() - lasting) {
            (0, 0) => {}
            (0, over) => headline.push_str(&format!(" {}, over.", plural(over, "outage"))),
            (now, 0) => headline.push_str(&format!(" {}, not over.", plural(now, "outage"))),
            (now, over) => headline.push_str(&format!(
                " {}, {now} of them not over.",
                plural(now + over, "outage")
            )),
        }
        let shown_causes = causes.iter().take(MAX_ROWS);
        let shown = edges.iter().take(MAX_ROWS);
        let mut remarks: Vec<String> = shown_causes
            .clone()
            .filter_map(|it| incident_story(it, names))
            .take(MAX_STORIES)
            .collect();
        // What no outage tells of.
        let told = |it: &&Failing| {
            let mut outages = causes.iter().take(MAX_ROWS);
            outages.any(|of| {
                of.what == What::Outage
                    && (of.server.as_ref(), of.port) == (Some(&it.link.server), it.link.port)
            })
        };
        let stories = shown.clone().filter(|it| !told(it));
        let stories = stories.filter_map(|it| story(it, names));
        let room = MAX_STORIES.saturating_sub(remarks.len());
        remarks.extend(stories.take(room));
        let cut: u64 = edges.iter().map(|it| it.outages_cut).sum();
        if cut > 0 {
            remarks.push(format!(
                "Of the stretches of failures {} short ones were not kept.",
                Count(cut)
            ));
        }
        let more = edges.len().saturating_sub(MAX_ROWS) + causes.len().saturating_sub(MAX_ROWS);
        if more > 0 {
            remarks.push(format!("{} more rows are in -o json.", Count(more as u64)));
        }
        Page {
            headline,
            tables: vec![
                Table {
                    title: "Causes, the most telling first:".to_owned(),
                    heads: vec![
                        ("what", Part::Mark),
                        ("server", Part::Name),
                        ("failed", Part::Reason),
                        ("began", Part::Fact),
                        ("ended", Part::Fact),
                        ("for", Part::Fact),
                        ("clients", Part::Name),
                    ],
                    rows: shown_causes.map(|it| incident_row(it, names)).collect(),
                },
                Table {
                    title: "Edges:".to_owned(),
                    heads: vec![
                        ("client", Part::Name),
                        ("server", Part::Name),
                        ("state", Part::Mark),
                        ("failed", Part::Reason),
                        ("a minute", Part::Extra(1)),
                        ("last word", Part::Extra(0)),
                        ("since", Part::Fact),
                        ("last success", Part::Extra(3)),
                        ("last failure", Part::Extra(2)),
                    ],
                    rows: shown.map(|it| row(it, names)).collect(),
                },
                Table {
                    title: "Connections that broke in use:".to_owned(),
                    heads: vec![
                        ("client", Part::Name),
                        ("server", Part::Name),
                        ("broke", Part::Reason),
                        ("ended", Part::Fact),
                    ],
                    rows: self
                        .found
                        .breaking
                        .iter()
                        .take(MAX_ROWS)
                        .map(|it| breaking_row(it, names))
                        .collect(),
                },
            ],
            remarks,
            absent: [
                "no other edge had an attempt that failed",
                "More may have failed than is listed",
            ],
        }
    }
}

/// Rows of a table; what is shown stays one screen.
const MAX_ROWS: usize = 12;
/// Stories that are told.
const MAX_STORIES: usize = 6;

fn incident_row(it: &Incident, names: Names) -> (Mark, Vec<Cell>) {
    let is_over = it.end.is_some();
    let what = match it.what {
        What::Outage if is_over => "  outage",
        What::Outage => "✗ outage",
        What::Client => "! cannot send",
        What::Scan => "  scan",
        What::NeverServed => "  never served",
        What::Some => "! some fail",
    };
    let mut clients: Vec<String> = it
        .clients
        .iter()
        .map(|it| format!("{} ({})", names.of_node(&it.who), Count(it.attempts)))
        .take(4)
        .collect();
    let more = it.clients.len() as u64 + it.more_clients - clients.len() as u64;
    if more > 0 {
        clients.push(format!("{} more", Count(more)));
    }
    let mark = match it.what {
        What::Outage if !is_over => Mark::Bad,
        What::Client | What::Some => Mark::Warn,
        _ => Mark::Plain,
    };
    let ended = match (it.what, it.end) {
        (What::Outage, None) => "not yet",
        _ => "",
    };
    let cells = vec![
        Cell::text(what),
        Cell::text(place(it, names)),
        Cell::text(reasons(&it.failed)),
        Cell::Time(Some(it.begin)),
        Cell::When(it.end, ended.to_owned()),
        Cell::text(Nanos(it.length_ns).to_string()),
        Cell::List(clients),
    ];
    (mark, cells)
}

/// Where it failed.
fn place(it: &Incident, names: Names) -> String {
    let ports = || plural(usize::try_from(it.ports).unwrap_or(usize::MAX), "port");
    match (&it.server, it.port) {
        (Some(server), Some(port)) => names.at_port(server, Some(port)),
        (Some(server), None) => format!("{}, {}", names.of_node(server), ports()),
        (None, _) => {
            let servers = usize::try_from(it.servers).unwrap_or(usize::MAX);
            format!("{}, {}", plural(servers, "server"), ports())
        }
    }
}

fn breaking_row(it: &Breaking, names: Names) -> (Mark, Vec<Cell>) {
    let counts = [
        ("reset", it.ended.reset),
        ("timed_out", it.ended.timed_out),
        ("other", it.ended.other),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    let broke: Vec<String> = counts
        .map(|(name, count)| format!("{name} {}", Count(*count)))
        .collect();
    let cells = vec![
        Cell::text(names.of_node(&it.link.client)),
        Cell::text(names.at_port(&it.link.server, it.link.port)),
        Cell::text(broke.join(", ")),
        Cell::text(format!("of {}", Count(it.ended.all()))),
    ];
    (Mark::Warn, cells)
}

/// What happened just before an incident, and what ended it.
fn incident_story(it: &Incident, names: Names) -> Option<String> {
    let list = |causes: &[Cause]| list(causes, names);
    let mut text = String::new();
    if !it.before.is_empty() {
        text.push_str(&format!(
            "Just before {} failed: {}.",
            place(it, names),
            list(&it.before)
        ));
    }
    if !it.ended_by.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("Before it served again: {}.", list(&it.ended_by)));
    }
    (!text.is_empty() && it.what == What::Outage).then_some(text)
}

fn row(failing: &Failing, names: Names) -> (Mark, Vec<Cell>) {
    let link = &failing.link;
    let last_word = link
        .last_failure
        .map(|it| match (it.errno, it.unanswered_syns) {
            (_, Some(syns)) => no_answer(it.duration_ns, syns),
            (errno, None) => errno.unwrap_or_default().to_owned(),
        });
    let cells = vec![
        Cell::text(names.of_node(&link.client)),
        Cell::text(server(failing, names)),
        state(link.state),
        Cell::text(reasons(&link.failed)),
        Cell::Number(failing.per_minute),
        Cell::text(last_word.unwrap_or_default()),
        Cell::Time(link.failing_since),
        Cell::When(
            link.last_success,
            no_success(
                link.live_at_start,
                link.live,
                link.sent_bytes.saturating_add(link.received_bytes),
            ),
        ),
        Cell::Time(link.last_failure.map(|it| it.time)),
    ];
    (Mark::from(link.state), cells)
}

/// The server with its port, or with how many.
fn server(failing: &Failing, names: Names) -> String {
    let link = &failing.link;
    match failing.ports {
        0 => names.at_port(&link.server, link.port),
        ports => format!("{} ({} ports)", names.of_node(&link.server), Count(ports)),
    }
}

/// What happened just before an edge began to fail.
fn story(failing: &Failing, names: Names) -> Option<String> {
    let link = &failing.link;
    let before = list(&failing.before, names);
    (!before.is_empty()).then(|| {
        format!(
            "Just before {} → {} failed: {}.",
            names.of_node(&link.client),
            server(failing, names),
            before
        )
    })
}

/// A line about an edge that begins to fail, or recovers.
pub(super) fn line(failing: &Failing, of: &Answer<Failures>, colour: bool, buf: &mut Vec<u8>) {
    let names = Names::of(&of.proof);
    let (mark, _) = row(failing, names);
    let link = &failing.link;
    let (time, word) = match link.state {
        EdgeState::Failed => (link.failing_since, "✗ fails"),
        EdgeState::Ok | EdgeState::Mixed => (link.last_success, "  recovered"),
    };
    let time = time.unwrap_or(link.last_seen);
    let mut text = format!(
        "{} {word}: {} → {}, {}",
        clock(time),
        names.of_node(&link.client),
        server(failing, names),
        reasons(&link.failed)
    );
    let over = failing
        .outages
        .last()
        .filter(|_| link.state != EdgeState::Failed);
    if let Some((outage, end)) = over.and_then(|it| Some((it, it.end?))) {
        let ns = end.as_ns().saturating_sub(outage.begin.as_ns());
        text.push_str(&format!(
            "; it was out for {} since {}",
            Nanos(ns),
            clock(outage.begin)
        ));
    }
    for it in &failing.before {
        text.push_str("; ");
        text.push_str(&cause(it, names));
    }
    let style = match mark {
        Mark::Bad if colour => AnsiColor::Red.on_default().bold(),
        _ => Style::new(),
    };
    grid::put(
        buf,
        format_args!("{style}{}{style:#}\n", sanitise(&text, usize::MAX)),
    );
}

/// What happened, each once: of IPv4 and IPv6 at one port the same is told.
fn list(causes: &[Cause], names: Names) -> String {
    let mut causes: Vec<String> = causes.iter().map(|it| cause(it, names)).collect();
    causes.dedup();
    causes.join("; ")
}

/// What happened to whom, and when.
fn cause(cause: &Cause, names: Names) -> String {
    let who = names.of_node(&cause.who);
    let time = clock(cause.change.time());
    let time = time.split_once(' ').map_or(&*time, |(_, of_day)| of_day);
    let what = match &cause.change {
        Happening::Started { pid, .. } => format!("started as {pid}"),
        Happening::Changed(change) => match &change.what {
            Happened::Exec { pid, exe } => format!("runs {exe} as {pid}"),
            Happened::Exit { pid, status } => format!("{pid} ended{}", ending(*status)),
            Happened::Listen { port, .. } => format!("listens at :{port}"),
            Happened::Unlisten { port, .. } => format!("no longer listens at :{port}"),
        },
    };
    format!("{time} {who} {what}")
}

fn ending(status: Option<ExitStatus>) -> String {
    match status {
        None => String::new(),
        Some(ExitStatus::Code(code)) => format!(" with {code}"),
        Some(ExitStatus::Signal(Signal::Name(name))) => format!(" by {name}"),
        Some(ExitStatus::Signal(Signal::Number(number))) => format!(" by signal {number}"),
    }
}
