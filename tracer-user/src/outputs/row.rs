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
        let text = defused(&sanitise(text, usize::MAX).to_string());
        let is_bare = |it: char| !matches!(it, ',' | ';' | '|' | '"' | '\'' | ' ');
        // Writing to memory does not fail.
        let _ = match text.chars().all(is_bare) {
            true => write!(self.buf, "{text}"),
            false => write!(self.buf, "\"{}\"", text.replace('"', "\"\"")),
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

/// `text` with an apostrophe before whatever a spreadsheet may take for the beginning of a formula, which
/// could start programs (<https://owasp.org/www-community/attacks/CSV_Injection>): at its beginning, and, as
/// others than commas end cells where a comma is in numbers, behind whatever ends a cell somewhere.
fn defused(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut may_begin = true;
    for char in text.chars() {
        match char {
            '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' if may_begin => {
                out.push('\'');
                may_begin = false;
            }
            ',' | ';' | '|' | '\t' => may_begin = true,
            // Which readers drop in front of a cell.
            ' ' | '"' | '\'' => {}
            _ => may_begin = false,
        }
        out.push(char);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> String {
        let mut buf = Vec::new();
        Row::new(&mut buf).text(text);
        String::from_utf8(buf).expect("UTF-8")
    }

    #[test]
    fn leaves_ordinary_text_alone() {
        for text in [
            "",
            "nginx.service",
            "app@1.service",
            "web-1",
            "größe",
            "2001:db8::1",
        ] {
            assert_eq!(cell(text), text);
        }
        assert_eq!(cell("app.py (/srv/shop)"), "\"app.py (/srv/shop)\"");
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    /// However a sheet is taken apart, no cell of it begins as a formula does.
    #[test]
    fn no_cell_is_a_formula_wherever_it_ends() {
        let formula = "=cmd|' /C calc'!A0";
        let before = [
            "", " ", "\"", "'", "a;", "a; ", "a,", "a\t", "a|", "a;\"", "a\";\"", "\",\"", "a;'\"",
            "a\r", "a\n", "a;;", ";",
        ];
        for before in before {
            for sign in ["=", "+", "-", "@", "＝", "＋", "－", "＠", "=+-"] {
                let mut buf = Vec::new();
                let mut row = Row::new(&mut buf);
                row.plain(7);
                row.text(&format!("{before}{sign}{formula}"));
                row.text(&format!("{before}{sign}{formula}"));
                row.end();
                let text = String::from_utf8(buf).expect("UTF-8");
                for separator in [',', ';', '|', '\t'] {
                    for cell in text.trim_end().split(separator) {
                        let cell = cell.trim_start_matches([' ', '"']);
                        let first = cell.chars().next();
                        assert!(
                            !first.is_some_and(|it| "=+-@＝＋－＠".contains(it)),
                            "{text:?} by {separator:?}"
                        );
                    }
                }
            }
        }
    }
}
