//! What fails, for people.

use anstyle::{AnsiColor, Style};

use super::{
    super::{
        grid::{self, Part},
        map::words::clock,
        sanitise,
        units::{no_answer, no_success},
    },
    page::{Cell, Mark, Names, Page, Shown, Table, plural, reasons, state},
};
use crate::{
    ask::{
        Answer, Proof,
        failures::{Cause, Failing, Failures, Happening},
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
        Page {
            headline: match (failing, recovered) {
                (0, 0) => "No attempt to connect failed.".to_owned(),
                (0, _) => format!("Nothing fails now; {earlier} had failures and recovered."),
                (_, 0) => format!("{now} {}.", verb(failing)),
                _ => format!(
                    "{now} {}; {earlier} had failures and recovered.",
                    verb(failing)
                ),
            },
            tables: vec![Table {
                title: String::new(),
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
                rows: edges.iter().map(|it| row(it, names)).collect(),
            }],
            remarks: edges.iter().filter_map(|it| story(it, names)).collect(),
            absent: [
                "no other edge had an attempt that failed",
                "More may have failed than is listed",
            ],
        }
    }
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
        Cell::text(names.at_port(&link.server, link.port)),
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

/// What happened just before an edge began to fail.
fn story(failing: &Failing, names: Names) -> Option<String> {
    let link = &failing.link;
    let before: Vec<String> = failing.before.iter().map(|it| cause(it, names)).collect();
    (!before.is_empty()).then(|| {
        format!(
            "Just before {} → {} failed: {}.",
            names.of_node(&link.client),
            names.at_port(&link.server, link.port),
            before.join("; ")
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
    let server = names.at_port(&link.server, link.port);
    let mut text = format!(
        "{} {word}: {} → {server}, {}",
        clock(time),
        names.of_node(&link.client),
        reasons(&link.failed)
    );
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
