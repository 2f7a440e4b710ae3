//! What is shown, and what keys do to it. Pure: the same snapshots and keys give the same screen.

use crossterm::event::KeyEvent;

use super::{
    columns::{Pane, Sort},
    facts::{Earlier, Key, Map, Subject},
    focus::Focus,
    keys::{self, Action, Typed},
    list::List,
    status::Status,
};
use crate::model::View;

/// Characters that can be searched for.
const LONGEST_SEARCH: usize = 64;

/// What the caller is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The user wants to leave.
    Quit,
    /// The user wants the map to stand still, or to go on: turn [`Status::paused`] around. While it
    /// is set, [`App::show`] keeps the snapshot it has.
    Pause,
}

/// What covers the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// All that is known of what is chosen.
    Detail,
    /// What was watched.
    Coverage,
    /// The keys.
    Help,
}

/// The live view: a snapshot, and where its user is in it.
#[derive(Debug, Default)]
pub struct App {
    pub(super) map: Map,
    pub(super) status: Status,
    earlier: Option<Earlier>,
    pub(super) pane: Pane,
    pub(super) lists: [Listing; 3],
    pub(super) search: String,
    pub(super) typing: bool,
    pub(super) failing_only: bool,
    pub(super) focus: Option<Focus>,
    pub(super) cover: Option<Cover>,
    /// Lines of the cover that are above the screen.
    pub(super) skip: usize,
    /// How many there can be, and how many are in sight: known when it was drawn.
    pub(super) most_skip: usize,
    pub(super) cover_height: usize,
}

/// A list and how it is sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) list: List,
    pub(super) sort: Option<Sort>,
}

impl App {
    /// A view of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows a new snapshot. Choice and scrolling stay on the node or edge they are on. While
    /// [`Status::paused`] is set, only the status is new.
    pub fn show(&mut self, view: View, status: Status) {
        let paused = status.paused && self.earlier.is_some();
        self.status = status;
        if paused {
            return;
        }
        let at = self.status.elapsed;
        self.map = Map::new(view, at, self.earlier.as_ref());
        self.earlier = Some(self.map.to_compare(at));
        self.refill(false);
        if let Some(focus) = &mut self.focus
            && !focus.follow(&self.map)
        {
            self.focus = None;
        }
        if self.cover == Some(Cover::Detail) && self.subject().is_none() {
            self.cover = None;
        }
    }

    /// Does what a key asks for. Returns what the caller is to do.
    pub fn press(&mut self, key: KeyEvent) -> Option<Command> {
        if !self.typing {
            return self.act(keys::action(key)?);
        }
        match keys::typed(key) {
            Typed::Other(action) => return self.act(action?),
            Typed::Done => self.typing = false,
            Typed::Cancel => {
                self.typing = false;
                self.search.clear();
            }
            Typed::Clear => self.search.clear(),
            Typed::Delete => {
                self.search.pop();
            }
            Typed::Char(char) => {
                if self.search.chars().count() < LONGEST_SEARCH {
                    self.search.push(char);
                }
            }
        }
        self.refill(true);
        None
    }

    fn act(&mut self, action: Action) -> Option<Command> {
        match action {
            Action::Quit => return Some(Command::Quit),
            Action::Pause => return Some(Command::Pause),
            Action::Help => self.toggle(Cover::Help),
            Action::Coverage => self.toggle(Cover::Coverage),
            Action::Detail => {
                if self.subject().is_some() || self.cover.is_some() {
                    self.toggle(Cover::Detail);
                }
            }
            Action::Show(pane) => self.go_to(pane),
            Action::Next | Action::Previous => {
                let by = if action == Action::Next { 1 } else { 2 };
                self.go_to(Pane::ALL[(self.index() + by) % Pane::ALL.len()]);
            }
            Action::Search => {
                self.go_to(self.pane);
                self.typing = true;
            }
            _ if self.cover.is_some() => self.act_on_cover(action),
            _ if self.focus.is_some() => self.act_in_focus(action),
            _ => self.act_in_list(action),
        }
        None
    }

    fn act_on_cover(&mut self, action: Action) {
        let page = self.cover_height.saturating_sub(1).max(1);
        self.skip = match action {
            Action::Up => self.skip.saturating_sub(1),
            Action::Down => self.skip.saturating_add(1),
            Action::PageUp => self.skip.saturating_sub(page),
            Action::PageDown => self.skip.saturating_add(page),
            Action::First => 0,
            Action::Last => usize::MAX,
            Action::Escape | Action::Back | Action::Enter => {
                self.cover = None;
                0
            }
            _ => self.skip,
        }
        .min(self.most_skip);
    }

    fn act_in_focus(&mut self, action: Action) {
        let Some(focus) = &mut self.focus else {
            return;
        };
        let map = &self.map;
        match action {
            Action::Left => focus.left(map),
            Action::Right => focus.right(map),
            Action::Up => focus.choose(map, |list| list.step(-1)),
            Action::Down => focus.choose(map, |list| list.step(1)),
            Action::PageUp => focus.choose(map, |list| list.page(false)),
            Action::PageDown => focus.choose(map, |list| list.page(true)),
            Action::First => focus.choose(map, |list| list.edge(false)),
            Action::Last => focus.choose(map, |list| list.edge(true)),
            Action::Enter | Action::Focus => {
                let walked = focus.enter(map);
                if !walked && action == Action::Enter {
                    self.toggle(Cover::Detail);
                }
            }
            Action::Back | Action::Escape => {
                let was_elsewhere = focus.back(map);
                if !was_elsewhere {
                    self.focus = None;
                }
            }
            _ => {}
        }
    }

    fn act_in_list(&mut self, action: Action) {
        let columns = self.pane.columns().len();
        let index = self.index();
        let listing = &mut self.lists[index];
        match action {
            Action::Up => listing.list.step(-1),
            Action::Down => listing.list.step(1),
            Action::PageUp => listing.list.page(false),
            Action::PageDown => listing.list.page(true),
            Action::First => listing.list.edge(false),
            Action::Last => listing.list.edge(true),
            Action::Sort | Action::Reverse => {
                let mut sort = listing.sort.unwrap_or(self.pane.sort());
                if action == Action::Reverse {
                    sort.reversed = !sort.reversed;
                } else {
                    sort.column = (sort.column + 1) % columns;
                    sort.reversed = false;
                }
                listing.sort = Some(sort);
                return self.refill(true);
            }
            Action::Failing => {
                self.failing_only = !self.failing_only;
                return self.refill(true);
            }
            Action::Escape => {
                self.search.clear();
                return self.refill(true);
            }
            Action::Enter if self.pane != Pane::Services => {
                if self.subject().is_some() {
                    self.toggle(Cover::Detail);
                }
                return;
            }
            Action::Enter | Action::Focus => {
                self.focus = match self.subject() {
                    None => None,
                    Some(Subject::Node(node)) => Some(Focus::new(&self.map, node, None)),
                    Some(Subject::Edge(edge)) => {
                        let client = self.map.edge(edge).0.client;
                        Some(Focus::new(&self.map, client, Some(edge)))
                    }
                };
                return;
            }
            _ => return,
        }
        self.want();
    }

    /// What is chosen; none if there is nothing to choose from.
    pub(super) fn subject(&self) -> Option<Subject> {
        if let Some(focus) = &self.focus {
            return Some(focus.subject());
        }
        let chosen = self.lists[self.index()].list.chosen()?;
        Some(match self.pane {
            Pane::Services => Subject::Node(chosen),
            Pane::Edges | Pane::Failing => Subject::Edge(chosen),
        })
    }

    pub(super) fn index(&self) -> usize {
        match self.pane {
            Pane::Services => 0,
            Pane::Edges => 1,
            Pane::Failing => 2,
        }
    }

    /// How the list in sight is sorted.
    pub(super) fn sort(&self) -> Sort {
        self.lists[self.index()].sort.unwrap_or(self.pane.sort())
    }

    fn go_to(&mut self, pane: Pane) {
        self.typing = false;
        self.cover = None;
        self.focus = None;
        self.pane = pane;
        // Lists out of sight are not kept up with the snapshots.
        self.refill(false);
    }

    fn toggle(&mut self, cover: Cover) {
        self.skip = 0;
        self.most_skip = 0;
        self.cover = if self.cover == Some(cover) {
            None
        } else {
            Some(cover)
        };
    }

    /// Makes the rows of the list in sight anew. What was chosen stays so. If it is not among them,
    /// its row is chosen instead, or the first one where that was `asked` for other rows.
    fn refill(&mut self, asked: bool) {
        let sort = self.sort();
        let rows = self
            .pane
            .rows(&self.map, sort, &self.search, self.failing_only);
        let index = self.index();
        let list = &mut self.lists[index].list;
        let wanted = list.wanted().and_then(|key| self.map.find(key));
        list.fill(rows, wanted);
        if asked && list.chosen() != wanted {
            list.edge(false);
        }
        self.want();
    }

    /// Remembers what is chosen in the list in sight by its name.
    fn want(&mut self) {
        let index = self.index();
        if let Some(chosen) = self.lists[index].list.chosen() {
            let key: Key = match self.pane {
                Pane::Services => self.map.key(Subject::Node(chosen)),
                Pane::Edges | Pane::Failing => self.map.key(Subject::Edge(chosen)),
            };
            self.lists[index].list.want(Some(key));
        }
    }
}
