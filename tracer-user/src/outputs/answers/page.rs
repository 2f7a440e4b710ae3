//! What an answer says in words: a sentence, tables, remarks, and what it rests on.

use anstyle::{AnsiColor, Style};

use super::{
    super::{
        grid::{self, Column, Part},
        map::words::clock,
        row::Row,
        sanitise,
        units::{Bytes, Count},
    },
    proof,
};
use crate::{
    ask::{Proof, Who},
    model::{EdgeState, Timestamp},
};

/// An answer that can be shown to people.
pub trait Shown {
    /// What it says.
    fn page(&self) -> Page;

    /// What it rests on.
    fn proof(&self) -> &Proof;
}

/// What an answer says.
#[derive(Debug, Default)]
pub struct Page {
    /// The answer, in a sentence.
    pub(super) headline: String,
    /// Its tables.
    pub(super) tables: Vec<Table>,
    /// What else there is to say.
    pub(super) remarks: Vec<String>,
    /// What it means that something is not listed: where nothing was lost, and where something was.
    pub(super) absent: [&'static str; 2],
}

/// A table of a page.
#[derive(Debug)]
pub(super) struct Table {
    /// What it lists; empty if the page says so.
    pub(super) title: String,
    pub(super) heads: Vec<(&'static str, Part)>,
    pub(super) rows: Vec<(Mark, Vec<Cell>)>,
}

/// How urgent a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Plain,
    Warn,
    Bad,
}

impl From<EdgeState> for Mark {
    fn from(state: EdgeState) -> Self {
        match state {
            EdgeState::Ok => Self::Plain,
            EdgeState::Mixed => Self::Warn,
            EdgeState::Failed => Self::Bad,
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Text from outside, made harmless here.
    Text(String),
    /// Several, none of which may be cut away: they go on below where there is too little room.
    List(Vec<String>),
    Count(u64),
    Bytes(u64),
    /// From 0 to 1.
    Share(f64),
    /// Any other number.
    Number(f64),
    Time(Option<Timestamp>),
    /// A time, or what it means that there is none.
    When(Option<Timestamp>, String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// For people; without the date if that is `today`.
    fn shown(&self, today: &str) -> String {
        match self {
            Self::Text(text) => sanitise(text, usize::MAX).to_string(),
            Self::List(items) => sanitise(&items.join(", "), usize::MAX).to_string(),
            Self::Count(number) => Count(*number).to_string(),
            Self::Bytes(number) => Bytes(*number).to_string(),
            Self::Share(share) => format!("{:.1} %", share * 100.0),
            Self::Number(number) => number.to_string(),
            Self::Time(Some(time)) | Self::When(Some(time), _) => short_clock(*time, today),
            Self::Time(None) => String::new(),
            Self::When(None, word) => word.clone(),
        }
    }

    fn is_number(&self) -> bool {
        !matches!(
            self,
            Self::Text(_) | Self::List(_) | Self::Time(_) | Self::When(..)
        )
    }
}

/// The date of `time`.
fn day(time: Timestamp) -> String {
    clock(time).chars().take(10).collect()
}

/// `time` without its date if that is `today`.
pub(super) fn short_clock(time: Timestamp, today: &str) -> String {
    let text = clock(time);
    match text.split_once(' ') {
        Some((date, of_day)) if date == today => of_day.to_owned(),
        _ => text,
    }
}

/// Appends `answer` for people. Without a width nothing is cut.
pub(super) fn table<T: Shown>(answer: &T, colour: bool, width: Option<usize>, buf: &mut Vec<u8>) {
    let page = answer.page();
    let today = answer
        .proof()
        .span()
        .map_or_else(String::new, |(_, to)| day(to));
    grid::wrap(&inert(&page.headline), width, buf);
    for table in &page.tables {
        if table.rows.is_empty() {
            continue;
        }
        buf.push(b'\n');
        if !table.title.is_empty() {
            grid::wrap(&inert(&table.title), width, buf);
        }
        let (marks, columns) = columns(table, &today, width);
        let style = |row: usize| match marks.get(row) {
            Some(Mark::Bad) if colour => AnsiColor::Red.on_default().bold(),
            Some(Mark::Warn) if colour => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        grid::write(columns, width, style, buf);
    }
    if !page.remarks.is_empty() {
        buf.push(b'\n');
    }
    for remark in &page.remarks {
        grid::wrap(&inert(remark), width, buf);
    }
    buf.push(b'\n');
    for line in proof::lines(answer.proof(), page.absent) {
        grid::wrap(&line, width, buf);
    }
}

/// Columns that a list has at least, where it shares a line with others.
const LEAST_OF_LIST: usize = 24;

/// The lines of a table, of which lists may take several, with how urgent each is.
fn columns(table: &Table, today: &str, width: Option<usize>) -> (Vec<Mark>, Vec<Column>) {
    let is_list = |at: usize| {
        let mut rows = table.rows.iter();
        rows.any(|(_, cells)| matches!(cells.get(at), Some(Cell::List(_))))
    };
    let lists = (0..table.heads.len()).filter(|at| is_list(*at)).count();
    // What the other columns leave of the line, for each list. What can be left out does not count.
    let taken: usize = table
        .heads
        .iter()
        .enumerate()
        .filter(|(at, (_, part))| !is_list(*at) && !matches!(part, Part::Extra(_)))
        .map(|(at, (head, _))| {
            let cells = table.rows.iter().filter_map(|(_, cells)| cells.get(at));
            let widths = cells.map(|it| it.shown(today).chars().count());
            widths.max().unwrap_or_default().max(head.len()) + grid::GAP
        })
        .sum();
    let room = width.map(|width| {
        let left = width.saturating_sub(taken) / lists.max(1);
        left.saturating_sub(grid::GAP).max(LEAST_OF_LIST)
    });
    let mut marks = Vec::new();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); table.heads.len()];
    for (mark, row) in &table.rows {
        let lines: Vec<Vec<String>> = row
            .iter()
            .map(|cell| match (cell, room) {
                (Cell::List(items), Some(room)) => packed(items, room),
                (cell, _) => vec![cell.shown(today)],
            })
            .collect();
        let height = lines.iter().map(Vec::len).max().unwrap_or_default();
        marks.extend(std::iter::repeat_n(*mark, height));
        for (column, lines) in cells.iter_mut().zip(lines) {
            let missing = height - lines.len();
            column.extend(lines);
            column.extend(std::iter::repeat_n(String::new(), missing));
        }
    }
    let heads = table.heads.iter().enumerate().zip(cells);
    let columns = heads.map(|((at, (head, part)), cells)| {
        let mut numbers = table.rows.iter().filter_map(|(_, cells)| cells.get(at));
        let column = Column::new(head, *part, cells);
        match numbers.any(Cell::is_number) {
            true => column.of_numbers(),
            false => column,
        }
    });
    (marks, columns.collect())
}

/// `items` in lines of at most `room` characters, if they can be.
fn packed(items: &[String], room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let last = items.len().saturating_sub(1);
    for (at, item) in items.iter().enumerate() {
        let comma = if at < last { "," } else { "" };
        let item = format!("{}{comma}", sanitise(item, usize::MAX));
        let taken = lines.last().map_or(0, |it| it.chars().count());
        match lines.last_mut() {
            Some(line) if taken > 0 && taken + 1 + item.chars().count() <= room => {
                line.push(' ');
                line.push_str(&item);
            }
            Some(line) if taken == 0 => line.push_str(&item),
            _ => lines.push(item),
        }
    }
    lines
}

/// Appends the tables of `page` as one sheet: the columns of all, and first which table a row is of.
/// The last rows say what it rests on, in the first column after that.
pub(super) fn csv(page: &Page, proof: &Proof, buf: &mut Vec<u8>) {
    let mut heads: Vec<&str> = Vec::new();
    for (head, _) in page.tables.iter().flat_map(|it| &it.heads) {
        if !heads.contains(head) {
            heads.push(head);
        }
    }
    let mut header = Row::new(buf);
    header.plain("table");
    heads
        .iter()
        .for_each(|head| header.plain(head.replace(' ', "_")));
    header.end();
    for table in &page.tables {
        for (_, cells) in &table.rows {
            let mut row = Row::new(buf);
            row.text(table.title.split(':').next().unwrap_or_default());
            for head in &heads {
                let at = table.heads.iter().position(|(it, _)| it == head);
                match at.and_then(|at| cells.get(at)) {
                    Some(Cell::Text(text)) => row.text(text.trim_start()),
                    Some(Cell::List(items)) => row.text(&items.join(", ")),
                    Some(Cell::Count(number) | Cell::Bytes(number)) => row.plain(number),
                    Some(Cell::Share(number) | Cell::Number(number)) => row.plain(number),
                    Some(Cell::Time(time) | Cell::When(time, _)) => row.known(*time),
                    None => row.known(None::<u64>),
                }
            }
            row.end();
        }
    }
    for line in proof::lines(proof, page.absent) {
        let mut row = Row::new(buf);
        row.plain("coverage");
        row.text(&line);
        (1..heads.len()).for_each(|_| row.known(None::<u64>));
        row.end();
    }
}

/// Names of nodes: with their hosts where there is more than one.
#[derive(Clone, Copy)]
pub(super) struct Names {
    with_host: bool,
}

impl Names {
    pub(super) fn of(proof: &Proof) -> Self {
        let hosts = proof.hosts.iter().chain(&proof.baseline);
        let names: std::collections::BTreeSet<&str> =
            hosts.map(|it| it.host.name.as_str()).collect();
        Self {
            with_host: names.len() > 1,
        }
    }

    pub(super) fn of_node(self, who: &Who) -> String {
        match &who.host {
            Some(host) if self.with_host => format!("{}@{host}", who.name),
            _ => who.name.to_string(),
        }
    }

    /// `name:port`.
    pub(super) fn at_port(self, who: &Who, port: Option<u16>) -> String {
        match port {
            Some(port) if who.name.contains(':') => format!("[{}]:{port}", self.of_node(who)),
            Some(port) => format!("{}:{port}", self.of_node(who)),
            None => format!("{} (direction unknown)", self.of_node(who)),
        }
    }

    pub(super) fn list<'a>(self, all: impl Iterator<Item = &'a Who>) -> String {
        all.map(|it| self.of_node(it))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// All of them, for a table.
    pub(super) fn cell<'a>(self, all: impl Iterator<Item = &'a Who>) -> Cell {
        Cell::List(all.map(|it| self.of_node(it)).collect())
    }
}

/// `1 workload`, `2 workloads`.
pub(super) fn plural(number: usize, word: &str) -> String {
    let number = number as u64;
    match (number, word.strip_suffix('y')) {
        (1, _) => format!("1 {word}"),
        (_, Some(stem)) => format!("{} {stem}ies", Count(number)),
        (_, None) => format!("{} {word}s", Count(number)),
    }
}

/// The reasons of failures, the most frequent first.
pub(super) fn reasons(failed: &std::collections::BTreeMap<crate::model::Reason, u64>) -> String {
    let mut reasons: Vec<_> = failed.iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let reasons = reasons
        .iter()
        .map(|(reason, times)| format!("{} {}", reason.name(), Count(**times)));
    reasons.collect::<Vec<_>>().join(", ")
}

/// A state with a sign, so that colour is not all that tells.
pub(super) fn state(state: EdgeState) -> Cell {
    Cell::text(match state {
        EdgeState::Ok => "  ok",
        EdgeState::Mixed => "! mixed",
        EdgeState::Failed => "✗ failed",
    })
}

/// Text with names from outside in it: on one line, harmless.
pub(super) fn inert(text: &str) -> String {
    sanitise(text, usize::MAX).to_string()
}
