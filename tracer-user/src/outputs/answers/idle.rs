//! What is idle, for people.

use super::{
    super::grid::Part,
    page::{Cell, Mark, Names, Page, Shown, Table, plural, reasons},
};
use crate::ask::{
    Answer, Link, Proof,
    idle::{Idle, IdleListener},
};

impl Shown for Answer<Idle> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        let listener = |it: &IdleListener| {
            let addresses: Vec<_> = it.addresses.iter().map(ToString::to_string).collect();
            let callers = it.callers.iter().map(|link| caller(link, names));
            let past = it.led_past.iter().map(|past| {
                let client = names.of_node(&past.client);
                let dialled = past.dialled.with_port(it.port);
                let server = names.at_port(&past.server, past.port);
                format!("{client} by {dialled} to {server}")
            });
            let unused = match it.led_past.is_empty() {
                true => "never seen",
                false => "led past it",
            };
            let cells = vec![
                Cell::text(names.at_port(&it.who, Some(it.port))),
                Cell::List(addresses),
                Cell::When(it.last_used, unused.to_owned()),
                Cell::List(callers.chain(past).collect()),
                Cell::When(it.since, "before watching".to_owned()),
            ];
            (Mark::Plain, cells)
        };
        let unanswered = |it: &Link| {
            let cells = vec![
                Cell::text(names.at_port(&it.server, it.port)),
                Cell::text(names.of_node(&it.client)),
                Cell::text(reasons(&it.failed)),
                Cell::Time(it.last_failure.map(|it| it.time)),
            ];
            (Mark::Warn, cells)
        };
        let listeners: Vec<_> = found.listeners.iter().map(listener).collect();
        let dialled: Vec<_> = found.unanswered.iter().map(unanswered).collect();
        let mut remarks = Vec::new();
        if let [periods @ .., last] = &found.too_short_for[..] {
            let periods = match periods {
                [] => (*last).to_owned(),
                periods => format!("{} or {last}", periods.join(", ")),
            };
            remarks.push(format!(
                "Careful: a job that is {periods} would not have shown in so short a time."
            ));
        }
        Page {
            headline: match (listeners.len(), dialled.len()) {
                (0, 0) => "Nothing is idle: every listener was used, and everything dialled \
                           answered."
                    .to_owned(),
                (listeners, dialled) => format!(
                    "{} unused, {} in vain.",
                    plural(listeners, "listener"),
                    plural(dialled, "destination") + " dialled",
                ),
            },
            tables: vec![
                Table {
                    title: "Unused listeners:".to_owned(),
                    heads: vec![
                        ("listener", Part::Name),
                        ("at", Part::Extra(1)),
                        ("last used", Part::Fact),
                        ("callers", Part::Name),
                        ("since", Part::Extra(0)),
                    ],
                    rows: listeners,
                },
                Table {
                    title: "Never answered:".to_owned(),
                    heads: vec![
                        ("destination", Part::Name),
                        ("client", Part::Name),
                        ("failed", Part::Reason),
                        ("last tried", Part::Extra(0)),
                    ],
                    rows: dialled,
                },
            ],
            remarks,
            absent: match found.listeners.iter().any(|it| it.last_used.is_some()) {
                false => [
                    "nobody connected to these listeners, and none of these destinations answered",
                    "They may have been used all the same",
                ],
                true => [
                    "nobody connected to these listeners since they were last used, and none of these \
                     destinations answered",
                    "They may have been used since all the same",
                ],
            },
        }
    }
}

fn caller(link: &Link, names: Names) -> String {
    let name = names.of_node(&link.client);
    match link.connections {
        0 => format!("{name} in vain ({})", reasons(&link.failed)),
        _ => name,
    }
}
