//! The lists and their columns: which there are, and where on the screen. What they say is in
//! `cells`, in which order in `rows`.

use super::{facts::Map, paint::Side};

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
pub(super) enum Field {
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
    pub(super) field: Field,
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
    words(Field::Name, "SERVICE", 15, 5, 0),
    words(Field::Kind, "KIND", 10, 0, 0),
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
