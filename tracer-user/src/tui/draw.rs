//! Where everything is on the screen. What matters most keeps its place on small ones: the status,
//! then what is chosen, then the rest.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    app::{App, Cover},
    columns::Pane,
    detail::{self, Page},
    keys::HELP,
    numbers,
    paint::{Painter, Side, below, from, line, split},
    status,
    theme::{Theme, Tone, sign, tone},
};

/// Columns of the marks in front of each row: chosen, state, and a blank.
const MARKS: u16 = 3;
/// Columns from which on there is detail beside the lists.
const WIDE: u16 = 120;
/// Columns that the lists keep beside it.
const LISTS: u16 = 80;
/// Rows from which on there is detail below the lists.
const TALL: u16 = 32;

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
        self.draw_tabs(painter, head);
        self.draw_body(painter, body);
        status::draw(painter, line(foot, 0), &self.status, self.map.view());
        self.draw_hints(painter, line(foot, 1));
    }

    fn draw_tabs(&self, painter: &mut Painter<'_>, place: Rect) {
        let mut at = place;
        for (number, pane) in (1..).zip(Pane::ALL) {
            let here = pane == self.pane;
            let count = numbers::count(pane.count(&self.map) as u64);
            let count = if here && (!self.search.is_empty() || self.failing_only) {
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
        }
        if self.failing_only {
            notes.push("only failing".to_owned());
        }
        if !self.search.is_empty() && !self.typing {
            notes.push(format!("search \"{}\"", self.search));
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
            let width = (place.width / 5 * 2).min(place.width - LISTS);
            let main = Rect {
                width: place.width - width,
                ..place
            };
            (main, Some((from(place, main.width), false)))
        } else if place.height >= TALL {
            let (main, below) = split(place, place.height - place.height * 2 / 5);
            (main, Some((below, true)))
        } else {
            (place, None)
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
        let at = |place: Rect, slot: &super::columns::Slot| Rect {
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
            for slot in &slots {
                let (text, tone) = self.pane.cell(&self.map, slot.column, item);
                let side = self.pane.columns()[slot.column].side;
                painter.aligned(at(place, slot), &text, side, tone);
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
                " ↑↓ choose · Enter focus · d detail · / search · s sort · F failing · ? keys · q quit"
            }
            (None, None) => {
                " ↑↓ choose · Enter detail · f focus · / search · s sort · F failing · ? · q quit"
            }
        };
        painter.text(place, text, Tone::Faint);
    }
}
