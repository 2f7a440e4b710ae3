//! What changed, for people.

use super::{
    super::{grid::Part, map::words::clock, units::Count},
    page::{Cell, Mark, Names, Page, Shown, Table, plural, reasons},
};
use crate::ask::{
    Answer, Link, Proof,
    diff::{Changed, Diff, How, Step, What, count},
};

impl Shown for Answer<Diff> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        let counts = count(&found.changes);
        let counts: Vec<String> = counts
            .iter()
            .map(|(how, number)| format!("{} {}", number, how.name()))
            .collect();
        let mut remarks = Vec::new();
        if found.allowed > 0 {
            remarks.push(format!(
                "{} left out, as --allow says.",
                plural(found.allowed as usize, "known change")
            ));
        }
        let (gone, others): (Vec<_>, Vec<_>) =
            found.changes.iter().partition(|it| it.change == How::Gone);
        let table = |title: &str, changes: Vec<&Changed>| Table {
            title: title.to_owned(),
            heads: vec![
                ("change", Part::Mark),
                ("what", Part::Fact),
                ("which", Part::Name),
                ("how", Part::Reason),
            ],
            rows: changes.iter().map(|it| row(it, names)).collect(),
        };
        // What is gone is what an operator has to look after; what fails comes before it.
        let (failing, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|it| it.change == How::Failing);
        let all = failing.into_iter().chain(gone).chain(others).collect();
        Page {
            headline: match found.changes.len() {
                0 => "Nothing changed.".to_owned(),
                number => format!("{}: {}.", plural(number, "change"), counts.join(", ")),
            },
            tables: vec![table("", all)],
            remarks,
            absent: [
                "what is not listed did not change",
                "Something that is listed as gone may only not have been seen, and more may have changed",
            ],
        }
    }
}

fn row(changed: &Changed, names: Names) -> (Mark, Vec<Cell>) {
    let mark = match changed.change {
        How::Failing => Mark::Bad,
        How::Gone => Mark::Warn,
        How::Moved | How::New | How::Recovered => Mark::Plain,
    };
    let moved = |to: &Option<Step>| {
        to.as_ref()
            .map(|it| format!("{} {} → {}", it.of, it.from, it.to))
            .unwrap_or_default()
    };
    let (what, which, how) = match &changed.what {
        What::Workload { who, to } => ("workload", names.of_node(who), moved(to)),
        What::Listener { who, port, to } => {
            ("listener", names.at_port(who, Some(*port)), moved(to))
        }
        What::Edge { before, after, to } => {
            let Some(link) = after.as_deref().or(before.as_deref()) else {
                return (mark, Vec::new());
            };
            let server = names.at_port(&link.server, link.port);
            let which = format!("{} → {server}", names.of_node(&link.client));
            let mut how = vec![moved(to)];
            match (changed.change, before.as_deref(), after.as_deref()) {
                (How::Gone, Some(before), _) => how.push(history(before)),
                (How::Failing, _, Some(after)) => how.push(reasons(&after.failed)),
                (How::New, _, Some(after)) => {
                    how.push(format!("{}×", Count(after.connections)));
                }
                (How::Recovered, Some(before), Some(after)) => how.push(format!(
                    "{} before, {}× now",
                    reasons(&before.failed),
                    Count(after.connections)
                )),
                _ => {}
            }
            // Nothing answers there any more, so the map knows it by its address alone.
            if let (Some(before), Some(after)) = (before.as_deref(), after.as_deref())
                && before.server.name != after.server.name
            {
                how.push(format!("was {}", names.of_node(&before.server)));
            }
            how.retain(|it| !it.is_empty());
            ("edge", which, how.join(", "))
        }
    };
    let cells = [changed.change.name(), what, &which, &how];
    (mark, cells.into_iter().map(Cell::text).collect())
}

/// What an edge that is gone was.
fn history(before: &Link) -> String {
    match before.connections {
        0 => format!("failed before: {}", reasons(&before.failed)),
        connections => format!(
            "{}× before, last seen {}",
            Count(connections),
            clock(before.last_seen)
        ),
    }
}
