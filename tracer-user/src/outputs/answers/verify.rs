//! Whether all is back, for people.

use super::{
    super::grid::Part,
    page::{Cell, Mark, Names, Page, Shown, Table, plural, reasons},
};
use crate::ask::{Answer, Link, Proof, verify::Verify};

impl Shown for Answer<Verify> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        let row = |mark: Mark, word: &'static str, link: &Link| {
            let cells = vec![
                Cell::text(word),
                Cell::text(names.of_node(&link.client)),
                Cell::text(names.at_port(&link.server, link.port)),
                Cell::Count(link.connections),
                Cell::text(reasons(&link.failed)),
                Cell::Time(Some(link.last_seen)),
            ];
            (mark, cells)
        };
        let failing = found
            .failing
            .iter()
            .map(|it| row(Mark::Bad, "✗ failing", it));
        let missing = found
            .missing
            .iter()
            .map(|it| row(Mark::Bad, "✗ missing", it));
        let new = found.new.iter().map(|it| row(Mark::Warn, "+ new", it));
        let back = found.back.iter().map(|it| row(Mark::Plain, "  back", it));
        let expected = plural(found.expected(), "dependency");
        let new_ones = match found.new.len() {
            0 => String::new(),
            number => format!("; {number} new"),
        };
        Page {
            headline: match (found.expected(), found.complete) {
                (0, _) => format!("The baseline has no dependencies that worked{new_ones}."),
                (1, true) => format!("The one dependency of the baseline is back{new_ones}."),
                (_, true) => format!("All {expected} of the baseline are back{new_ones}."),
                (_, false) => format!(
                    "{} of {expected} of the baseline back, {} failing, {} missing{new_ones}.",
                    found.back.len(),
                    found.failing.len(),
                    found.missing.len(),
                ),
            },
            tables: vec![Table {
                title: String::new(),
                heads: vec![
                    ("verdict", Part::Mark),
                    ("client", Part::Name),
                    ("server", Part::Name),
                    ("connections", Part::Extra(1)),
                    ("failed", Part::Reason),
                    ("last seen", Part::Extra(0)),
                ],
                rows: failing.chain(missing).chain(new).chain(back).collect(),
            }],
            remarks: Vec::new(),
            absent: match found.complete {
                true => ["all of it connected again", "There may be more that is new"],
                false => [
                    "what is missing did not connect",
                    "What is missing may have connected all the same, or not have had the time to",
                ],
            },
        }
    }
}
