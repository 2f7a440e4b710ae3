//! The lists: which rows they have, in which order, and what their columns say. A row is made into
//! text only when it is drawn.

use std::{borrow::Cow, cmp::Ordering};

use super::{
    facts::{Map, arrow, at_port, host, kind, role, short_name},
    numbers,
    paint::Side,
    theme::{Tone, tone},
};
use crate::model::{Edge, EdgeState};

/// One of the three lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    /// The nodes.
    #[default]
    Services,
    /// The edges.
    Edges,
    /// The edges that fail or failed.
    Failing,
}

/// What a column says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Kind,
    Role,
    Host,
    In,
    Out,
    State,
    Client,
    Server,
    Established,
    Live,
    Rate,
    Connect,
    Failures,
    Failed,
    Reason,
    Errno,
    LastFailure,
    LastSuccess,
}

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    field: Field,
    pub(super) title: &'static str,
    /// The least width.
    min: u16,
    /// Its share of the columns that are left.
    grow: u16,
    /// Where there is no room, the columns with the greatest number go first; those with 0 stay.
    spare: u8,
    pub(super) side: Side,
}

/// Where a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Which column.
    pub(super) column: usize,
    /// How far from the left.
    pub(super) left: u16,
    /// How wide.
    pub(super) width: u16,
}

/// What a column says of a row.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, str>,
    /// What is behind it and shows in any case, so that it is the text that is cut.
    pub(super) tail: String,
    pub(super) tone: Tone,
}

/// How a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    /// By which column.
    pub(super) column: usize,
    /// The other way around than that column is by itself.
    pub(super) reversed: bool,
}

const fn words(field: Field, title: &'static str, min: u16, grow: u16, spare: u8) -> Column {
    Column {
        field,
        title,
        min,
        grow,
        spare,
        side: Side::Left,
    }
}

const fn number(field: Field, title: &'static str, min: u16, spare: u8) -> Column {
    Column {
        field,
        title,
        min,
        grow: 0,
        spare,
        side: Side::Right,
    }
}

/// The width from which on there is room for what says nothing new.
const ROOMY: u16 = 96;

/// The columns of each list. All but those to spare fit into 77 columns: 80 without the marks.
const SERVICES: &[Column] = &[
    words(Field::Name, "SERVICE", 16, 5, 0),
    words(Field::Kind, "KIND", 9, 0, 0),
    words(Field::Role, "ROLE", 8, 1, 0),
    words(Field::Host, "HOST", 8, 2, 0),
    number(Field::In, "IN", 4, 0),
    number(Field::Out, "OUT", 4, 0),
    number(Field::Live, "LIVE", 6, 0),
    number(Field::Rate, "CONN/S", 7, 0),
    number(Field::Failures, "FAILED", 7, 0),
];

const EDGES: &[Column] = &[
    words(Field::State, "STATE", 6, 0, 1),
    words(Field::Client, "CLIENT", 12, 3, 0),
    words(Field::Server, "SERVER", 19, 3, 0),
    number(Field::Established, "EST.", 6, 0),
    number(Field::Live, "LIVE", 5, 0),
    number(Field::Rate, "CONN/S", 7, 0),
    number(Field::Connect, "P50/P95", 11, 0),
    words(Field::Failed, "FAILED", 11, 2, 0),
];

const FAILING: &[Column] = &[
    words(Field::State, "STATE", 6, 0, 1),
    words(Field::Client, "CLIENT", 12, 3, 0),
    words(Field::Server, "SERVER", 17, 3, 0),
    words(Field::Reason, "REASON", 11, 1, 0),
    words(Field::Errno, "ERRNO", 12, 1, 0),
    number(Field::Failures, "COUNT", 6, 0),
    number(Field::LastFailure, "LAST", 6, 0),
    number(Field::LastSuccess, "WORKED", 7, 0),
];

impl Pane {
    /// In the order of the keys.
    pub(super) const ALL: [Self; 3] = [Self::Services, Self::Edges, Self::Failing];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Services => "Services",
            Self::Edges => "Edges",
            Self::Failing => "Failing",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Services => SERVICES,
            Self::Edges => EDGES,
            Self::Failing => FAILING,
        }
    }

    /// How it is sorted before anybody says so: by name, and what failed last first.
    pub(super) fn sort(self) -> Sort {
        let field = match self {
            Self::Services => Field::Name,
            Self::Edges => Field::Client,
            Self::Failing => Field::LastFailure,
        };
        let column = self.columns().iter().position(|it| it.field == field);
        Sort {
            column: column.unwrap_or(0),
            reversed: false,
        }
    }

    /// How many rows it has without a search.
    pub(super) fn count(self, map: &Map) -> usize {
        match self {
            Self::Services => map.view().nodes.len(),
            Self::Edges => map.view().edges.len(),
            Self::Failing => map.failing,
        }
    }

    /// Its rows in order: those in which `search` is found, and only failing ones if that is asked.
    pub(super) fn rows(self, map: &Map, sort: Sort, search: &str, failing: bool) -> Vec<usize> {
        let needle = search.to_lowercase();
        let mut hay = String::new();
        let mut found = |pieces: &[&str]| {
            needle.is_empty() || {
                hay.clear();
                for piece in pieces {
                    // Lower case of some letters is longer; the search must be treated alike.
                    hay.extend(piece.chars().flat_map(char::to_lowercase));
                    hay.push(' ');
                }
                hay.contains(&needle)
            }
        };
        let mut rows: Vec<usize> = match self {
            Self::Services => (0..map.view().nodes.len())
                .filter(|index| {
                    let (node, facts) = map.node(*index);
                    (!failing || facts.state.is_some_and(|it| it != EdgeState::Ok))
                        && found(&[&node.name, &node.id, kind(node), role(node), host(node)])
                })
                .collect(),
            Self::Edges | Self::Failing => (0..map.view().edges.len())
                .filter(|index| {
                    let edge = map.edge(*index).0;
                    let ok = edge.state == EdgeState::Ok;
                    let port = edge.port.map(|port| format!(":{port}")).unwrap_or_default();
                    !(ok && (failing || self == Self::Failing))
                        && found(&[
                            &map.client(*index).name,
                            &map.server(*index).name,
                            &port,
                            edge.state.name(),
                            reason(edge),
                            errno(edge),
                        ])
                })
                .collect(),
        };
        let column = &self.columns()[sort.column.min(self.columns().len() - 1)];
        let descending = column.descends() != sort.reversed;
        rows.sort_by(|one, other| {
            let order = self.compare(map, column.field, *one, *other);
            let order = if descending { order.reverse() } else { order };
            // What is equal stays in the order of the snapshot.
            order.then(one.cmp(other))
        });
        rows
    }

    fn compare(self, map: &Map, field: Field, one: usize, other: usize) -> Ordering {
        if self == Self::Services {
            let ((a, a_facts), (b, b_facts)) = (map.node(one), map.node(other));
            return match field {
                Field::Kind => kind(a).cmp(kind(b)),
                Field::Role => role(a).cmp(role(b)),
                Field::Host => host(a).cmp(host(b)),
                Field::In => a_facts.incoming.len().cmp(&b_facts.incoming.len()),
                Field::Out => a_facts.outgoing.len().cmp(&b_facts.outgoing.len()),
                Field::Live => a_facts.live.cmp(&b_facts.live),
                Field::Rate => rates(a_facts.rate, b_facts.rate),
                Field::Failures => a_facts.failures.cmp(&b_facts.failures),
                _ => a.name.cmp(&b.name),
            };
        }
        let ((a, a_facts), (b, b_facts)) = (map.edge(one), map.edge(other));
        match field {
            Field::State => severity(a).cmp(&severity(b)),
            Field::Server => {
                let names = map.server(one).name.cmp(&map.server(other).name);
                names.then(a.port.cmp(&b.port))
            }
            Field::Established => a.established.cmp(&b.established),
            Field::Live => a.live().cmp(&b.live()),
            Field::Rate => rates(a_facts.rate, b_facts.rate),
            Field::Connect => {
                let p95 = |edge: &Edge| edge.connect_ns.map(|it| it.p95);
                p95(a).cmp(&p95(b))
            }
            Field::Failures | Field::Failed => a.failures().cmp(&b.failures()),
            Field::Reason => reason(a).cmp(reason(b)),
            Field::Errno => errno(a).cmp(errno(b)),
            Field::LastFailure => {
                let last = |edge: &Edge| edge.last_failure.map(|it| it.time);
                last(a).cmp(&last(b))
            }
            Field::LastSuccess => a.last_success.cmp(&b.last_success),
            _ => map.client(one).name.cmp(&map.client(other).name),
        }
    }

    /// What a column says of a row.
    pub(super) fn cell(self, map: &Map, column: usize, row: usize) -> Cell<'_> {
        let field = self.columns()[column].field;
        match self {
            Self::Services => node_cell(map, field, row),
            Self::Edges | Self::Failing => edge_cell(map, field, row),
        }
    }

    /// How a row goes.
    pub(super) fn state(self, map: &Map, row: usize) -> EdgeState {
        match self {
            Self::Services => map.node(row).1.state.unwrap_or(EdgeState::Ok),
            Self::Edges | Self::Failing => map.edge(row).0.state,
        }
    }

    /// Lays the columns out in `width`. On a narrow screen the host is told only if there are
    /// `many_hosts`: the names need the room.
    pub(super) fn slots(self, width: u16, many_hosts: bool) -> Vec<Slot> {
        let columns = self.columns();
        let hosts = many_hosts || width >= ROOMY;
        let mut shown: Vec<usize> = (0..columns.len())
            .filter(|index| hosts || columns[*index].field != Field::Host)
            .collect();
        let least = |shown: &[usize]| {
            let widths: u16 = shown.iter().map(|index| columns[*index].min + 1).sum();
            widths.saturating_sub(1)
        };
        while least(&shown) > width && shown.len() > 1 {
            // What can be spared goes first, then from the right, but names and failures last.
            let spare = |index: usize| match (columns[index].spare, columns[index].grow) {
                (0, 0) => 1,
                (0, _) => 0,
                (spare, _) => 1 + spare,
            };
            let mut worst = shown.len() - 1;
            for at in (0..worst).rev() {
                if spare(shown[at]) > spare(shown[worst]) {
                    worst = at;
                }
            }
            shown.remove(worst);
        }
        let left = width.saturating_sub(least(&shown));
        let shares: u16 = shown.iter().map(|index| columns[*index].grow).sum();
        let (mut at, mut given, mut seen) = (0, 0, 0);
        let mut slots = Vec::with_capacity(shown.len());
        for index in shown {
            let column = &columns[index];
            seen += column.grow;
            // Of the sum, so that rounding leaves nothing over.
            let due = (u32::from(left) * u32::from(seen)).checked_div(u32::from(shares));
            let due = due.map_or(0, |due| u16::try_from(due).unwrap_or(left));
            let width = (column.min + (due - given)).min(width.saturating_sub(at));
            given = due;
            slots.push(Slot {
                column: index,
                left: at,
                width,
            });
            at = at.saturating_add(width + 1);
        }
        slots
    }
}

impl Column {
    /// Whether it and the next column take room of each other's, row by row: a client with a long
    /// name often has a server with a short one.
    pub(super) fn shares(&self) -> bool {
        self.field == Field::Client
    }

    /// Whether the greatest comes first: with numbers it is what one looks for.
    pub(super) fn descends(&self) -> bool {
        self.side == Side::Right || matches!(self.field, Field::Failed | Field::State)
    }
}

fn node_cell(map: &Map, field: Field, row: usize) -> Cell<'_> {
    let (node, facts) = map.node(row);
    match field {
        Field::Kind => plain(kind(node)),
        Field::Role => plain(role(node)),
        Field::Host => plain(host(node)),
        Field::In => plain(numbers::count(facts.incoming.len() as u64)),
        Field::Out => plain(numbers::count(facts.outgoing.len() as u64)),
        Field::Live => plain(numbers::count(facts.live)),
        Field::Rate => plain(numbers::rate(facts.rate)),
        Field::Failures => Cell {
            tone: match facts.state {
                Some(state) if facts.failures > 0 => tone(state),
                _ => Tone::Plain,
            },
            ..plain(numbers::count(facts.failures))
        },
        _ => Cell {
            tail: node
                .members
                .map(|members| format!(" ({})", numbers::count(members)))
                .unwrap_or_default(),
            ..plain(short_name(node))
        },
    }
}

fn edge_cell(map: &Map, field: Field, row: usize) -> Cell<'_> {
    let (edge, facts) = map.edge(row);
    let failing = |text| Cell {
        tone: tone(edge.state),
        ..plain(text)
    };
    match field {
        Field::State => failing(Cow::Borrowed(edge.state.name())),
        Field::Server => Cell {
            tail: at_port(edge),
            ..plain(format!("{} {}", arrow(edge), short_name(map.server(row))))
        },
        Field::Established => plain(numbers::count(edge.established)),
        Field::Live => plain(numbers::count(edge.live())),
        Field::Rate => plain(numbers::rate(facts.rate)),
        Field::Connect => match edge.connect_ns {
            None => plain("-"),
            Some(it) => plain(format!(
                "{}/{}",
                numbers::span(it.p50),
                numbers::span(it.p95)
            )),
        },
        Field::Failures => failing(numbers::count(edge.failures()).into()),
        Field::Failed => failing(failed(edge).into()),
        Field::Reason => failing(reason(edge).into()),
        Field::Errno => plain(errno(edge)),
        Field::LastFailure => match edge.last_failure {
            None => plain("-"),
            Some(last) => plain(numbers::age(map.ago(last.time))),
        },
        Field::LastSuccess => match edge.last_success {
            None => plain("never"),
            Some(time) => plain(numbers::age(map.ago(time))),
        },
        _ => plain(short_name(map.client(row))),
    }
}

fn plain<'a>(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    Cell {
        text: text.into(),
        tail: String::new(),
        tone: Tone::Plain,
    }
}

/// Failures by reason, the most frequent first.
pub(super) fn failed(edge: &Edge) -> String {
    let mut reasons: Vec<_> = edge
        .failed
        .iter()
        .filter(|(_, count)| **count > 0)
        .collect();
    reasons.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
    let reasons = reasons
        .iter()
        .map(|(reason, count)| format!("{} {}", numbers::count(**count), reason.name()));
    reasons.collect::<Vec<_>>().join(", ")
}

fn reason(edge: &Edge) -> &'static str {
    edge.last_failure.map_or("", |last| last.reason.name())
}

fn errno(edge: &Edge) -> &'static str {
    edge.last_failure.and_then(|last| last.errno).unwrap_or("")
}

fn severity(edge: &Edge) -> u8 {
    match edge.state {
        EdgeState::Ok => 0,
        EdgeState::Mixed => 1,
        EdgeState::Failed => 2,
    }
}

fn rates(one: Option<f64>, other: Option<f64>) -> Ordering {
    one.unwrap_or(-1.0).total_cmp(&other.unwrap_or(-1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out_at_eighty_columns_but_what_is_said_twice() {
        for pane in Pane::ALL {
            let slots = pane.slots(77, true);
            let missing = pane.columns().len() - slots.len();
            let spare = pane.columns().iter().filter(|it| it.spare > 0).count();
            assert_eq!(missing, spare, "{pane:?}");
            let last = slots.last().expect("a column");
            assert_eq!(last.left + last.width, 77, "{pane:?}");
        }
    }

    #[test]
    fn columns_never_overlap_or_go_beyond() {
        for pane in Pane::ALL {
            for width in 0..300 {
                let mut end = 0;
                for slot in pane.slots(width, width % 2 == 0) {
                    assert!(slot.left >= end || slot.width == 0, "{pane:?} {width}");
                    end = slot.left + slot.width;
                    assert!(end <= width || slot.width == 0, "{pane:?} {width}");
                }
            }
        }
    }

    #[test]
    fn a_title_and_its_mark_fit() {
        for column in Pane::ALL.iter().flat_map(|pane| pane.columns()) {
            let mark = 1;
            assert!(
                column.title.len() + mark <= usize::from(column.min),
                "{}",
                column.title
            );
        }
    }
}
