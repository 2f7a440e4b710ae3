//! Text on the screen, cut by the columns it takes. All text goes through here, and what comes from
//! outside is made harmless on the way: nobody can forget it.

use ratatui_core::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::theme::{Theme, Tone};
use crate::outputs::sanitise;

/// Text that a terminal shows as it is. There is no other way to get one than to make it so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clean(String);

impl Clean {
    /// `text` made harmless; at most some `columns` of it, so that a long one costs no more.
    pub(super) fn new(text: &str, columns: usize) -> Self {
        // What it cuts by takes a character that is not ASCII for two columns wide, and most are one.
        Self(sanitise(text, columns.saturating_mul(2).saturating_add(4)).to_string())
    }

    /// How many columns it takes.
    pub(super) fn width(&self) -> usize {
        self.0.width()
    }

    /// Breaks it into lines of at most `columns`, after a space or a separator if there is one.
    pub(super) fn wrap(&self, columns: usize) -> Vec<Self> {
        let columns = columns.max(2);
        let mut lines = Vec::new();
        let mut rest = self.0.as_str();
        while rest.width() > columns {
            let (mut end, mut good, mut width) = (0, None, 0);
            for (at, char) in rest.char_indices() {
                width += char.width().unwrap_or(0);
                if width > columns {
                    break;
                }
                end = at + char.len_utf8();
                if matches!(char, ' ' | ',' | '/') && end > rest.len().min(columns) / 3 {
                    good = Some(end);
                }
            }
            // The widest character takes two columns, so there is always one that fits.
            let (line, after) = rest.split_at(good.unwrap_or(end));
            if line.is_empty() {
                break;
            }
            lines.push(Self(line.trim_end().to_owned()));
            rest = after.trim_start();
        }
        if !rest.is_empty() || lines.is_empty() {
            lines.push(Self(rest.to_owned()));
        }
        lines
    }
}

/// On which side of its place a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The left, as words.
    Left,
    /// The right, as numbers.
    Right,
}

/// Draws on a buffer, and never beyond it.
pub(super) struct Painter<'a> {
    buffer: &'a mut Buffer,
    theme: Theme,
}

impl<'a> Painter<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, theme: Theme) -> Self {
        Self { buffer, theme }
    }

    /// Writes one line of `text` at the top left of `place`. Returns how many columns it took.
    pub(super) fn text(&mut self, place: Rect, text: &str, tone: Tone) -> u16 {
        let clean = Clean::new(text, usize::from(place.width));
        self.clean(place, &clean, tone)
    }

    /// The same at that side.
    pub(super) fn aligned(&mut self, place: Rect, text: &str, side: Side, tone: Tone) {
        let clean = Clean::new(text, usize::from(place.width));
        let width = u16::try_from(clean.width()).unwrap_or(u16::MAX);
        let left = match side {
            Side::Left => 0,
            Side::Right => place.width.saturating_sub(width),
        };
        self.clean(from(place, left), &clean, tone);
    }

    /// Writes `text` and behind it `tail`, for which the text is cut.
    pub(super) fn tailed(&mut self, place: Rect, text: &str, tail: &str, tone: Tone) {
        let width = u16::try_from(columns(tail)).unwrap_or(u16::MAX);
        let room = Rect {
            width: place.width.saturating_sub(width),
            ..place
        };
        let used = self.text(room, text, tone);
        self.text(from(place, used), tail, tone);
    }

    /// Writes text that was made harmless before.
    pub(super) fn clean(&mut self, place: Rect, text: &Clean, tone: Tone) -> u16 {
        let place = place.intersection(self.buffer.area);
        if place.is_empty() {
            return 0;
        }
        let style = self.theme.style(tone);
        let room = usize::from(place.width);
        let fits = text.width() <= room;
        let room = if fits { room } else { room - 1 };
        let (mut end, _) = self
            .buffer
            .set_stringn(place.x, place.y, &text.0, room, style);
        if !fits {
            self.buffer.set_stringn(end, place.y, "…", 1, style);
            end += 1;
        }
        end - place.x
    }

    /// Shows that the first line of `place` is chosen; what is written there keeps its colours.
    pub(super) fn choose(&mut self, place: Rect) {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        self.buffer.set_style(line(place, 0), style);
    }

    /// A line from left to right through the first line of `place`, with a title.
    pub(super) fn rule(&mut self, place: Rect, title: &str, tone: Tone) {
        self.text(place, &"─".repeat(usize::from(place.width)), Tone::Faint);
        if !title.is_empty() && place.width > 6 {
            let title = Clean::new(&format!(" {title} "), usize::from(place.width));
            let inner = Rect {
                width: place.width - 4,
                ..from(place, 2)
            };
            self.clean(inner, &title, tone);
        }
    }

    /// A line from top to bottom at the left of `place`.
    pub(super) fn fence(&mut self, place: Rect) {
        for row in 0..place.height {
            let place = Rect {
                width: 1,
                ..line(place, row)
            };
            self.text(place, "│", Tone::Faint);
        }
    }
}

/// How many columns `text` takes once it is harmless; of a long one, at least many.
pub(super) fn columns(text: &str) -> usize {
    Clean::new(text, 500).width()
}

/// The line `row` of `place`; empty if it has none.
pub(super) fn line(place: Rect, row: u16) -> Rect {
    if row < place.height {
        Rect::new(place.x, place.y + row, place.width, 1)
    } else {
        Rect::ZERO
    }
}

/// `place` without its first `columns`.
pub(super) fn from(place: Rect, columns: u16) -> Rect {
    let columns = columns.min(place.width);
    Rect::new(
        place.x + columns,
        place.y,
        place.width - columns,
        place.height,
    )
}

/// `place` without its first `rows`.
pub(super) fn below(place: Rect, rows: u16) -> Rect {
    let rows = rows.min(place.height);
    Rect::new(place.x, place.y + rows, place.width, place.height - rows)
}

/// The first `rows` of `place`, and the rest.
pub(super) fn split(place: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(place.height);
    let top = Rect::new(place.x, place.y, place.width, rows);
    (top, below(place, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(text: &str, columns: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        let mut painter = Painter::new(&mut buffer, Theme::new(false));
        painter.text(Rect::new(0, 0, columns, 1), text, Tone::Plain);
        let cells = buffer.content().iter().map(|cell| cell.symbol());
        cells.collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn text_is_cut_by_its_columns() {
        assert_eq!(painted("abcdef", 6), "abcdef");
        assert_eq!(painted("abcdefg", 6), "abcde…");
        assert_eq!(painted("größe größe", 6), "größe…");
        // Two columns each; the buffer has a blank behind each.
        assert_eq!(painted("日本語", 6), "日 本 語");
        assert_eq!(painted("日本語日", 6), "日 本 …");
        assert_eq!(painted("日", 1), "…");
        assert_eq!(painted("a", 0), "");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(painted("\x1b[2J", 12), "\\x1b[2J");
        assert_eq!(painted("a\u{202e}b", 12), "a\\u{202e}b");
    }

    #[test]
    fn nothing_is_painted_outside() {
        assert_eq!(painted("abc", 200), "abc");
        let mut buffer = Buffer::empty(Rect::new(0, 0, 3, 1));
        let mut painter = Painter::new(&mut buffer, Theme::new(true));
        painter.text(Rect::new(2, 0, 9, 1), "abc", Tone::Bad);
        painter.text(Rect::new(7, 9, 9, 1), "abc", Tone::Bad);
        painter.choose(Rect::new(7, 9, 9, 1));
        painter.rule(Rect::new(0, 9, 99, 1), "title", Tone::Head);
        painter.fence(Rect::new(9, 0, 1, 9));
    }

    #[test]
    fn long_text_is_broken_at_words() {
        let lines = |text: &str, columns| {
            let lines = Clean::new(text, 500).wrap(columns);
            lines.into_iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(lines("one two three", 8), ["one two", "three"]);
        assert_eq!(lines("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(lines("", 4), [""]);
        assert_eq!(lines("日本語", 2), ["日", "本", "語"]);
        assert_eq!(lines("日本語", 0), ["日", "本", "語"]);
    }
}
