//! The map for people: a line an edge, those that fail first, and below them what they rest on.
//!
//! On a terminal nothing is wider than that: what matters least is left out, then names are cut
//! in their middle, as their ends tell them apart. In a pipe nothing is cut.

use std::{collections::HashSet, fmt::Display, io::Write as _};

use anstyle::{AnsiColor, Style};

use super::{
    super::{
        sanitise,
        units::{Bytes, Count, Nanos},
    },
    coverage,
    words::{by_urgency, clock},
};
use crate::model::{Edge, EdgeState, Node, View};

/// Between two columns.
const GAP: usize = 2;

/// What names and reasons are cut to before anything else is left out.
const FAIR: usize = 16;

/// What they are cut to when nothing is left that could be left out.
const LEAST: usize = 4;

/// A column is not made wider than this for the sake of a few long names.
const MOST: usize = 64;

/// Appends the table.
pub(super) fn write(view: &View, colour: bool, width: Option<usize>, buf: &mut Vec<u8>) {
    let edges = by_urgency(view);
    if edges.is_empty() {
        wrap("no connections were seen", width, buf);
    } else {
        let mut columns = columns(view, &edges);
        let style = |state| if colour { style(state) } else { Style::new() };
        match width {
            Some(width) => fit(&mut columns, width),
            None => columns
                .iter_mut()
                .for_each(|it| it.width = it.width.min(MOST)),
        }
        line(&columns, Style::new(), width, buf, |column| column.head);
        for (row, edge) in edges.iter().enumerate() {
            line(&columns, style(edge.state), width, buf, |column| {
                column.cells.get(row).map_or("", String::as_str)
            });
        }
    }
    buf.push(b'\n');
    let coverage = coverage::line(view);
    wrap(&coverage, width, buf);
}

/// What a column is for, which decides how it gives way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Stays, and is cut.
    Name,
    /// Stays as it is. What tells of a failure is painted.
    Fact { painted: bool },
    /// Is left out, the lower numbers first.
    Extra(u8),
}

struct Column {
    head: &'static str,
    part: Part,
    is_number: bool,
    cells: Vec<String>,
    width: usize,
}

fn columns(view: &View, edges: &[&Edge]) -> Vec<Column> {
    let hosts: HashSet<_> = view
        .nodes
        .iter()
        .filter_map(|it| it.host.as_ref())
        .map(|it| &it.id)
        .collect();
    let name = |index: usize| name(&view.nodes[index], hosts.len() > 1);
    let column = |head: &'static str, part, cell: &dyn Fn(&Edge) -> String| {
        let cells: Vec<_> = edges.iter().map(|edge| cell(edge)).collect();
        let widest = cells
            .iter()
            .map(|cell| columns_of(cell))
            .max()
            .unwrap_or_default();
        Column {
            head,
            part,
            is_number: false,
            width: widest.max(head.len()),
            cells,
        }
    };
    let number = |head, part, cell: &dyn Fn(&Edge) -> String| Column {
        is_number: true,
        ..column(head, part, cell)
    };
    let plain = Part::Fact { painted: false };
    let painted = Part::Fact { painted: true };
    let today = view
        .generated
        .map(|it| clock(it).chars().take(10).collect::<String>());
    vec![
        column("client", Part::Name, &|it| name(it.client)),
        column("server", Part::Name, &|it| name(it.server)),
        number("port", plain, &|it| {
            it.port
                .map_or_else(|| "?".to_owned(), |port| port.to_string())
        }),
        column("state", painted, &|it| state(it.state).to_owned()),
        number("established", Part::Extra(5), &|it| {
            Count(it.established).to_string()
        }),
        number("live", Part::Extra(4), &|it| Count(it.live()).to_string()),
        column("failed", painted, &failed),
        column("connect p50/p95", Part::Extra(0), &|it| {
            let Some(times) = it.connect_ns else {
                return String::new();
            };
            format!("{} / {}", Nanos(times.p50), Nanos(times.p95))
        }),
        number("sent", Part::Extra(1), &|it| {
            Bytes(it.sent_bytes).to_string()
        }),
        number("received", Part::Extra(2), &|it| {
            Bytes(it.received_bytes).to_string()
        }),
        column("last seen", Part::Extra(3), &|it| {
            let time = clock(it.last_seen);
            match (&today, time.split_once(' ')) {
                (Some(today), Some((date, of_day))) if date == today => of_day.to_owned(),
                _ => time,
            }
        }),
    ]
}

/// What a node is called; with its host where there is more than one.
fn name(node: &Node, with_host: bool) -> String {
    let name = sanitise(&node.name, usize::MAX);
    match &node.host {
        Some(host) if with_host => format!("{name}@{}", sanitise(&host.name, usize::MAX)),
        _ => name.to_string(),
    }
}

/// A word and a sign, so that colour is not all that tells.
fn state(state: EdgeState) -> &'static str {
    match state {
        EdgeState::Ok => "  ok",
        EdgeState::Mixed => "! mixed",
        EdgeState::Failed => "✗ failed",
    }
}

fn style(state: EdgeState) -> Style {
    match state {
        EdgeState::Ok => Style::new(),
        EdgeState::Mixed => AnsiColor::Yellow.on_default(),
        EdgeState::Failed => AnsiColor::Red.on_default().bold(),
    }
}

/// The reasons, the most frequent first.
fn failed(edge: &Edge) -> String {
    let mut reasons: Vec<_> = edge.failed.iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let reasons = reasons
        .iter()
        .map(|(reason, times)| format!("{} {}", reason.name(), Count(**times)));
    reasons.collect::<Vec<_>>().join(", ")
}

/// Makes `columns` fit: reasons and names give way down to a fair size, then columns are left out,
/// then the rest gives way to the utmost.
fn fit(columns: &mut Vec<Column>, width: usize) {
    // A column that says nothing on any line is the first to go.
    let says_something = |column: &Column| column.cells.iter().any(|cell| !cell.is_empty());
    if total(columns) > width {
        columns.retain(|column| column.part == Part::Name || says_something(column));
    }
    shrink(columns, width, FAIR);
    while total(columns) > width {
        let least = columns.iter().filter_map(|column| match column.part {
            Part::Extra(rank) => Some(rank),
            Part::Name | Part::Fact { .. } => None,
        });
        let Some(least) = least.min() else { break };
        columns.retain(|column| column.part != Part::Extra(least));
    }
    shrink(columns, width, LEAST);
}

fn total(columns: &[Column]) -> usize {
    columns.iter().map(|it| it.width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

/// Takes width from the widest of the columns that can be cut, as far as needed and `least` allows.
fn shrink(columns: &mut [Column], width: usize, least: usize) {
    let mut excess = total(columns).saturating_sub(width);
    while excess > 0 {
        let can_be_cut = columns
            .iter_mut()
            .filter(|it| it.width > least && (it.part == Part::Name || it.head == "failed"));
        let Some(widest) = can_be_cut.max_by_key(|it| it.width) else {
            return;
        };
        widest.width -= 1;
        excess -= 1;
    }
}

/// Appends a line with one cell of each column, painted where it tells of a failure.
fn line<'a>(
    columns: &'a [Column],
    style: Style,
    width: Option<usize>,
    buf: &mut Vec<u8>,
    cell: impl Fn(&'a Column) -> &'a str,
) {
    let mut at = 0;
    // Spaces are owed, so that none are at the end of a line.
    let mut owed = 0;
    for column in columns {
        let text = match width {
            Some(width) => cut(cell(column), column.width.min(width.saturating_sub(at))),
            None => cell(column).to_owned(),
        };
        let taken = columns_of(&text);
        let free = column.width.saturating_sub(taken);
        let (before, after) = if column.is_number {
            (free, 0)
        } else {
            (0, free)
        };
        if !text.is_empty() {
            put(buf, format_args!("{:1$}", "", owed + before));
            owed = 0;
            let style = if column.part == (Part::Fact { painted: true }) {
                style
            } else {
                Style::new()
            };
            put(buf, format_args!("{style}{text}{style:#}"));
        } else {
            owed += before;
        }
        owed += after + GAP;
        at += column.width.max(taken) + GAP;
    }
    // A name may end with spaces of its own.
    while buf.last() == Some(&b' ') {
        buf.pop();
    }
    buf.push(b'\n');
}

/// `text`, what is too much taken out of its middle.
fn cut(text: &str, width: usize) -> String {
    if columns_of(text) <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else {
        return String::new();
    };
    let mut head = String::new();
    let mut taken = 0;
    for char in text.chars() {
        taken += column_of(char);
        if taken > room - room / 2 {
            break;
        }
        head.push(char);
    }
    let mut tail = Vec::new();
    let mut taken = 0;
    for char in text.chars().rev() {
        taken += column_of(char);
        if taken > room / 2 {
            break;
        }
        tail.push(char);
    }
    head.push('…');
    head.extend(tail.into_iter().rev());
    head
}

fn columns_of(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(column_of).sum()
}

/// Columns that a character takes: two from where the scripts of East Asia and the pictures
/// begin. Taking too many for a few is harmless, that is a space more.
fn column_of(char: char) -> usize {
    match char {
        '\u{1100}'..='\u{115f}' | '\u{2e80}'.. => 2,
        _ => 1,
    }
}

/// Appends `text`, in lines of at most `width` columns, broken at spaces where there are any.
fn wrap(text: &str, width: Option<usize>, buf: &mut Vec<u8>) {
    let width = width.unwrap_or(usize::MAX).max(1);
    let mut taken = 0;
    for word in text.split(' ').filter(|it| !it.is_empty()) {
        let columns = columns_of(word);
        if taken > 0 && taken + 1 + columns > width {
            buf.push(b'\n');
            taken = 0;
        } else if taken > 0 {
            buf.push(b' ');
            taken += 1;
        }
        let word = cut(word, width);
        put(buf, &word);
        taken += columns_of(&word);
    }
    buf.push(b'\n');
}

/// Appends to a buffer in memory, which does not fail.
fn put(buf: &mut Vec<u8>, text: impl Display) {
    let _ = write!(buf, "{text}");
}
