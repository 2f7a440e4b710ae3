//! What must move together, for people.

use super::{
    super::grid::Part,
    page::{Cell, Mark, Names, Page, Shown, Table, plural},
};
use crate::ask::{
    Answer, Proof, Who,
    groups::{Cut, Group, Groups, SharedBy},
};

impl Shown for Answer<Groups> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        match &found.split {
            Some(cut) => split(cut, names),
            None => whole(found, names),
        }
    }
}

fn whole(found: &Groups, names: Names) -> Page {
    let (alone, groups): (Vec<&Group>, Vec<&Group>) =
        found.groups.iter().partition(|it| it.members.len() == 1);
    let rows = groups.iter().zip(1_u64..).map(|(it, at)| {
        let cells = vec![
            Cell::Count(at),
            Cell::Count(it.members.len() as u64),
            names.cell(it.members.iter()),
            Cell::Count(it.connections),
            Cell::Bytes(it.bytes),
            names.cell(it.shared.iter()),
        ];
        (Mark::Plain, cells)
    });
    let shared = found.shared.iter().map(|it| {
        let why = match it.why {
            SharedBy::Asked => "you say so",
            SharedBy::Names => "name server",
            SharedBy::Time => "time server",
            SharedBy::Directory => "directory",
            SharedBy::Logs => "collects logs",
            SharedBy::Monitoring => "monitoring: it talks to nearly everything",
        };
        let cells = vec![Cell::text(names.of_node(&it.who)), Cell::text(why)];
        (Mark::Plain, cells)
    });
    let mut remarks = Vec::new();
    let mut list = |what: &str, all: Vec<&Who>| {
        if !all.is_empty() {
            remarks.push(format!("{what}: {}.", names.list(all.into_iter())));
        }
    };
    list(
        "Alone, so they can move at any time",
        alone.iter().flat_map(|it| &it.members).collect(),
    );
    list(
        "Stays where it is, as it is not yours",
        found.outside.iter().collect(),
    );
    Page {
        headline: format!("{} that must move together.", plural(groups.len(), "group")),
        tables: vec![
            Table {
                title: String::new(),
                heads: vec![
                    ("group", Part::Fact),
                    ("size", Part::Fact),
                    ("members", Part::Name),
                    ("connections", Part::Extra(2)),
                    ("bytes", Part::Extra(1)),
                    ("needs of what is shared", Part::Extra(3)),
                ],
                rows: rows.collect(),
            },
            Table {
                title:
                    "Shared, and so not what ties a group together (--not-shared to change that):"
                        .to_owned(),
                heads: vec![("shared", Part::Name), ("why", Part::Reason)],
                rows: shared.collect(),
            },
        ],
        remarks,
        absent: [
            "nothing connected one group with another",
            "Groups may be connected all the same",
        ],
    }
}

fn split(cut: &Cut, names: Names) -> Page {
    let parts = cut.parts.iter().map(|(part, members)| {
        let cells = vec![
            Cell::text(part),
            Cell::Count(members.len() as u64),
            names.cell(members.iter()),
        ];
        (Mark::Plain, cells)
    });
    let crossing = cut.crossing.iter().map(|it| {
        let cells = vec![
            Cell::text(format!("{} → {}", it.from, it.to)),
            Cell::text(names.of_node(&it.link.client)),
            Cell::text(names.at_port(&it.link.server, it.link.port)),
            super::page::state(it.link.state),
            Cell::Count(it.link.connections),
            Cell::Bytes(it.link.sent_bytes.saturating_add(it.link.received_bytes)),
        ];
        (Mark::from(it.link.state), cells)
    });
    let mut remarks = Vec::new();
    if !cut.unused.is_empty() {
        remarks.push(format!(
            "Careful: nothing in this map matches {}.",
            cut.unused.join(", ")
        ));
    }
    Page {
        headline: match cut.crossing.len() {
            0 => "Nothing crosses this division.".to_owned(),
            1 => "1 edge crosses this division:".to_owned(),
            number => format!("{} cross this division:", plural(number, "edge")),
        },
        tables: vec![
            Table {
                title: String::new(),
                heads: vec![
                    ("crossing", Part::Name),
                    ("client", Part::Name),
                    ("server", Part::Name),
                    ("state", Part::Mark),
                    ("connections", Part::Extra(1)),
                    ("bytes", Part::Extra(0)),
                ],
                rows: crossing.collect(),
            },
            Table {
                title: "Parts:".to_owned(),
                heads: vec![
                    ("part", Part::Fact),
                    ("size", Part::Fact),
                    ("members", Part::Name),
                ],
                rows: parts.collect(),
            },
        ],
        remarks,
        absent: [
            "nothing else crosses it",
            "More may cross it than is listed",
        ],
    }
}
