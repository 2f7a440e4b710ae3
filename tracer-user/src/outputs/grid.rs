//! Tables for people, whatever they are about.
//!
//! On a terminal nothing is wider than that: what matters least is left out, then names are cut
//! in their middle, as their ends tell them apart. In a pipe nothing is cut.

use std::{fmt::Display, io::Write as _};

use anstyle::Style;

/// Between two columns.
pub(super) const GAP: usize = 2;

/// What names and reasons are cut to before anything else is left out.
const FAIR: usize = 16;

/// What they are cut to when nothing is left that could be left out.
const LEAST: usize = 4;

/// A column is not made wider than this for the sake of a few long names.
const MOST: usize = 64;

/// What a column is for, which decides how it gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Stays, and is cut.
    Name,
    /// Stays as it is.
    Fact,
    /// Likewise, and is painted if the line is.
    Mark,
    /// Is painted, and cut where there is too little room.
    Reason,
    /// Is left out, the lower numbers first.
    Extra(u8),
}

/// A column, with a cell for each line.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) part: Part,
    is_number: bool,
    pub(super) cells: Vec<String>,
    width: usize,
}

impl Column {
    pub(super) fn new(head: &'static str, part: Part, cells: Vec<String>) -> Self {
        let widest = cells.iter().map(|cell| columns_of(cell)).max();
        Self {
            head,
            part,
            is_number: false,
            width: widest.unwrap_or_default().max(head.len()),
            cells,
        }
    }

    /// The same with its text at the right.
    pub(super) fn of_numbers(self) -> Self {
        Self {
            is_number: true,
            ..self
        }
    }
}

/// Appends `columns` with their heads; `style` is that of a line.
pub(super) fn write(
    mut columns: Vec<Column>,
    width: Option<usize>,
    style: impl Fn(usize) -> Style,
    buf: &mut Vec<u8>,
) {
    match width {
        Some(width) => fit(&mut columns, width),
        None => columns
            .iter_mut()
            .for_each(|it| it.width = it.width.min(MOST)),
    }
    line(&columns, Style::new(), width, buf, |column| column.head);
    let lines = columns.iter().map(|it| it.cells.len()).max();
    for row in 0..lines.unwrap_or_default() {
        line(&columns, style(row), width, buf, |column| {
            column.cells.get(row).map_or("", String::as_str)
        });
    }
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
            Part::Name | Part::Fact | Part::Mark | Part::Reason => None,
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
            .filter(|it| it.width > least && (matches!(it.part, Part::Name | Part::Reason)));
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
            let style = if matches!(column.part, Part::Mark | Part::Reason) {
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
pub(super) fn wrap(text: &str, width: Option<usize>, buf: &mut Vec<u8>) {
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
pub(super) fn put(buf: &mut Vec<u8>, text: impl Display) {
    let _ = write!(buf, "{text}");
}
