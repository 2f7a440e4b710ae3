//! Where everything is on the screen. What matters most keeps its place on small ones: the status,
//! then what is chosen, then the rest.

use ratatui_core::{buffer::Buffer, layout::Rect};

use super::{
    app::{App, Cover},
    cells::Cell,
    columns::{Pane, Slot},
    detail::{self, Page},
    keys::HELP,
    numbers,
    paint::{Painter, Side, below, columns, from, line, split},
    status,
    theme::{Theme, Tone, sign, tone},
};

/// Columns of the marks in front of each row: chosen, state, and a blank.
const MARKS: u16 = 3;
/// Columns from which on there is detail beside the lists.
const WIDE: u16 = 120;
/// Columns that the lists keep beside it, and half of what is beyond [`WIDE`].
const LISTS: u16 = 80;
/// Rows from which on there is detail below the lists.
const TALL: u16 = 32;
/// Rows that a list must leave empty for detail below it on smaller screens.
const LEFT_OVER: u16 = 8;

impl App {
    /// Draws all of it.
    pub(super) fn draw(&mut self, buffer: &mut Buffer, theme: Theme) {
        let area = buffer.area;
        let mut painter = Painter::new(buffer, theme);
        let painter = &mut painter;
        let hints = u16::from(area.height >= 8);
        let tabs = u16::from(area.height >= 3);
        let (head, rest) = split(area, tabs);
        let (body, foot) = split(rest, rest.height.saturating_sub(1 + hints));
        self.draw_body(painter, body);
        // After the body, as it says how much of a list is in sight.
        self.draw_tabs(painter, head);
        status::draw(painter, line(foot, 0), &self.status, self.map.view());
        self.draw_hints(painter, line(foot, 1));
    }

    fn draw_tabs(&self, painter: &mut Painter<'_>, place: Rect) {
        let mut at = place;
        for (number, pane) in (1..).zip(Pane::ALL) {
            let here = pane == self.pane;
            let count = numbers::count(pane.count(&self.map) as u64);
            let chosen_from = here && self.focus.is_none();
            let count = if chosen_from && (!self.search.is_empty() || self.failing_only) {
                let shown = self.lists[self.index()].list.order().len();
                format!("{}/{count}", numbers::count(shown as u64))
            } else {
                count
            };
            let (open, shut) = if here { ("[", "]") } else { (" ", " ") };
            let text = format!("{open}{number} {} {count}{shut}", pane.title());
            let tone = match pane {
                _ if here => Tone::Chosen,
                Pane::Failing if self.map.failing > 0 => Tone::Bad,
                _ => Tone::Plain,
            };
            at = from(at, painter.text(at, &text, tone) + 1);
        }
        let mut notes = Vec::new();
        if self.focus.is_some() {
            notes.push("focus".to_owned());
        } else {
            if self.failing_only {
                notes.push("only failing".to_owned());
            }
            if !self.search.is_empty() && !self.typing {
                notes.push(format!("search \"{}\"", self.search));
            }
            let list = &self.lists[self.index()].list;
            if list.is_cut() {
                let (row, rows) = (list.row() as u64 + 1, list.order().len() as u64);
                notes.push(format!(
                    "{} of {}",
                    numbers::count(row),
                    numbers::count(rows)
                ));
            }
        }
        painter.aligned(at, &notes.join(" · "), Side::Right, Tone::Warn);
    }

    fn draw_body(&mut self, painter: &mut Painter<'_>, place: Rect) {
        if let Some(cover) = self.cover {
            return self.draw_cover(painter, place, cover);
        }
        let (main, beside) = if self.focus.is_some() {
            // The chosen edge is told of below, also on small screens: the columns are narrow.
            let rows = match place.height {
                0..16 => 0,
                16..30 => 10,
                height => height * 2 / 5,
            };
            let (main, below) = split(place, place.height - rows);
            (main, (rows > 0).then_some((below, true)))
        } else if place.width >= WIDE {
            let main = Rect {
                width: LISTS + (place.width - WIDE) / 2,
                ..place
            };
            (main, Some((from(place, main.width), false)))
        } else {
            let rows = self.lists[self.index()].list.order().len();
            let rows = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(1);
            let left_over = place.height.saturating_sub(rows);
            let rows = if place.height >= TALL {
                left_over.max(place.height * 2 / 5).min(place.height / 2)
            } else if left_over >= LEFT_OVER {
                left_over.min(place.height * 2 / 3)
            } else {
                // At least what is chosen, in full: its row may have been cut.
                u16::from(place.height >= 6)
            };
            let (main, below) = split(place, place.height - rows);
            (main, (rows > 0).then_some((below, true)))
        };
        match &mut self.focus {
            Some(focus) => focus.draw(painter, main, &self.map),
            None => self.draw_list(painter, main),
        }
        let Some((place, ruled)) = beside else {
            return;
        };
        let page = self.detail();
        let inner = if ruled {
            painter.rule(place, &page.title, Tone::Head);
            below(place, 1)
        } else {
            painter.fence(place);
            let inner = from(place, 2);
            painter.text(line(inner, 0), &page.title, Tone::Head);
            below(inner, 1)
        };
        page.draw(painter, inner, 0);
    }

    fn draw_list(&mut self, painter: &mut Painter<'_>, place: Rect) {
        let width = place.width.saturating_sub(MARKS);
        let slots = self.pane.slots(width, self.map.many_hosts);
        let headed = u16::from(place.height >= 3);
        let (head, rows) = split(place, headed);
        let sort = self.sort();
        let at = |place: Rect, slot: &Slot| Rect {
            width: slot.width,
            ..from(place, MARKS + slot.left)
        };
        for slot in &slots {
            let column = &self.pane.columns()[slot.column];
            let mut title = column.title.to_owned();
            if slot.column == sort.column {
                title.push(if column.descends() == sort.reversed {
                    '▲'
                } else {
                    '▼'
                });
            }
            painter.aligned(at(head, slot), &title, column.side, Tone::Head);
        }
        let index = self.index();
        let list = &mut self.lists[index].list;
        let range = list.fit(usize::from(rows.height));
        for (row, number) in (0..rows.height).zip(range) {
            let place = line(rows, row);
            let item = list.order()[number];
            let chosen = number == list.row();
            let state = self.pane.state(&self.map, item);
            painter.text(place, if chosen { ">" } else { " " }, Tone::Head);
            painter.text(from(place, 1), sign(state), tone(state));
            let cells: Vec<_> = slots
                .iter()
                .map(|slot| self.pane.cell(&self.map, slot.column, item))
                .collect();
            let mut slots = slots.clone();
            for index in 1..slots.len() {
                if self.pane.columns()[slots[index - 1].column].shares() {
                    let (before, after) = slots.split_at_mut(index);
                    share(&mut before[index - 1], &mut after[0], &cells[index - 1..]);
                }
            }
            for (slot, cell) in slots.iter().zip(&cells) {
                let place = at(place, slot);
                match self.pane.columns()[slot.column].side {
                    Side::Left => painter.tailed(place, &cell.text, &cell.tail, cell.tone),
                    Side::Right => painter.aligned(place, &cell.text, Side::Right, cell.tone),
                }
            }
            if chosen {
                painter.choose(place);
            }
        }
        if list.order().is_empty() {
            let place = from(line(rows, 0), MARKS);
            painter.text(place, self.nothing(), Tone::Faint);
        }
    }

    /// Why a list is empty.
    fn nothing(&self) -> &'static str {
        if !self.search.is_empty() {
            "Nothing has that in it. Esc clears the search."
        } else if self.pane == Pane::Failing || self.failing_only {
            "Nothing fails."
        } else {
            "No connection and no listener seen yet."
        }
    }

    fn draw_cover(&mut self, painter: &mut Painter<'_>, place: Rect, cover: Cover) {
        let page = match cover {
            Cover::Detail => self.detail(),
            Cover::Coverage => detail::coverage(self.map.view()),
            Cover::Help => Page::default(),
        };
        let title = if cover == Cover::Help {
            "Keys"
        } else {
            &page.title
        };
        let (head, body) = split(place, u16::from(place.height >= 3));
        painter.rule(head, title, Tone::Head);
        let body = from(body, 1);
        let height = usize::from(body.height);
        let lines = if cover == Cover::Help {
            let skip = self.skip.min(HELP.len().saturating_sub(height));
            for (row, (keys, text)) in (0..body.height).zip(&HELP[skip..]) {
                painter.text(line(body, row), keys, Tone::Head);
                painter.text(from(line(body, row), 15), text, Tone::Plain);
            }
            HELP.len()
        } else {
            page.draw(painter, body, self.skip)
        };
        self.cover_height = height;
        self.most_skip = lines.saturating_sub(height);
        self.skip = self.skip.min(self.most_skip);
    }

    fn detail(&self) -> Page {
        self.subject()
            .map(|subject| detail::page(&self.map, subject))
            .unwrap_or_default()
    }

    fn draw_hints(&self, painter: &mut Painter<'_>, place: Rect) {
        if self.typing {
            let text = format!(" /{}▏", self.search);
            let used = painter.text(place, &text, Tone::Plain);
            let hint = "  Enter keeps it · Esc clears it";
            painter.text(from(place, used), hint, Tone::Faint);
            return;
        }
        let text = match (self.cover, &self.focus) {
            (Some(_), _) => " Esc back · ↑↓ PgUp PgDn scroll · ? keys · q quit",
            (None, Some(_)) => {
                " ←→ walk · ↑↓ choose · Esc back · d detail · 1 2 3 lists · ? keys · q quit"
            }
            (None, None) if self.pane == Pane::Services => {
                " ↑↓ choose · Enter focus · d detail · / search · s sort · F failing · ? · q quit"
            }
            (None, None) => {
                " ↑↓ choose · Enter detail · f focus · / search · s sort · F failing · ? · q quit"
            }
        };
        painter.text(place, text, Tone::Faint);
    }
}

/// Gives what one of two columns does not need to the other, if that is too narrow for its cell.
fn share(one: &mut Slot, other: &mut Slot, cells: &[Cell<'_>]) {
    let needs = |cell: &Cell<'_>| {
        let columns = columns(&cell.text) + columns(&cell.tail);
        u16::try_from(columns).unwrap_or(u16::MAX)
    };
    let [first, second, ..] = cells else {
        return;
    };
    let (first, second) = (needs(first), needs(second));
    let total = one.width + other.width;
    let width = if first > one.width && second < other.width {
        first.min(total - second)
    } else if second > other.width && first < one.width {
        total - second.min(total - first)
    } else {
        return;
    };
    other.left = one.left + width + 1;
    other.width = total - width;
    one.width = width;
}
