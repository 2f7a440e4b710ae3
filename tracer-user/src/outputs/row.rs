//! Rows of CSV: RFC 4180, and nothing that a spreadsheet would run.

use std::{fmt::Display, io::Write as _};

use super::sanitise;
use crate::model::Quantiles;

/// A row that is being written.
pub(super) struct Row<'a> {
    buf: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Row<'a> {
    pub(super) fn new(buf: &'a mut Vec<u8>) -> Self {
        Self {
            buf,
            is_first: true,
        }
    }

    /// A cell that needs no quotes: numbers, times, words of ours.
    pub(super) fn plain(&mut self, cell: impl Display) {
        self.comma();
        // Writing to memory does not fail.
        let _ = write!(self.buf, "{cell}");
    }

    /// The same, empty if it is not known.
    pub(super) fn known(&mut self, cell: Option<impl Display>) {
        match cell {
            Some(cell) => self.plain(cell),
            None => self.comma(),
        }
    }

    pub(super) fn quantiles(&mut self, quantiles: Option<Quantiles>) {
        let cells = quantiles.map(|it| [it.count, it.min, it.p50, it.p95, it.p99, it.max]);
        for at in 0..6 {
            self.known(cells.map(|cells| cells[at]));
        }
    }

    /// A cell of text from outside.
    pub(super) fn text(&mut self, text: &str) {
        self.comma();
        let text = sanitise(text, usize::MAX).to_string();
        let guard = if is_formula(&text) { "'" } else { "" };
        let _ = if text.contains([',', '"']) {
            write!(self.buf, "\"{guard}{}\"", text.replace('"', "\"\""))
        } else {
            write!(self.buf, "{guard}{text}")
        };
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.buf.push(b',');
        }
    }

    pub(super) fn end(self) {
        self.buf.extend_from_slice(b"\r\n");
    }
}

/// Whether a spreadsheet may take `cell` for a formula, which could start programs.
fn is_formula(cell: &str) -> bool {
    const BEGINNINGS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    cell.starts_with(BEGINNINGS)
}
