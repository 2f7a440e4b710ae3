//! How load is spread, for people.

use std::collections::BTreeMap;

use super::{
    super::grid::Part,
    page::{Cell, Mark, Names, Page, Shown, Table, plural},
};
use crate::ask::{
    Answer, Proof,
    balance::{Balance, Load, Service, Violation},
};

impl Shown for Answer<Balance> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        let mut headline = match found.services.len() {
            0 => "No service with several instances was seen.".to_owned(),
            number => format!("{} with several instances.", plural(number, "service")),
        };
        let mut tables = Vec::new();
        if let Some(violations) = &found.violations {
            headline = match violations.len() {
                0 => format!("The policy holds. {headline}"),
                1 => format!("1 edge is forbidden by the policy. {headline}"),
                number => {
                    format!(
                        "{} are forbidden by the policy. {headline}",
                        plural(number, "edge")
                    )
                }
            };
            tables.push(forbidden(violations, names));
        }
        tables.extend(found.services.iter().map(|it| service(it, names)));
        let busiest = found.busiest.iter().map(|it| {
            let cells = vec![
                Cell::text(names.of_node(&it.who)),
                Cell::Count(it.connections),
                Cell::Count(it.servers as u64),
                Cell::Bytes(it.bytes),
            ];
            (Mark::Plain, cells)
        });
        tables.push(Table {
            title: "Busiest clients:".to_owned(),
            heads: vec![
                ("client", Part::Name),
                ("connections", Part::Fact),
                ("servers", Part::Extra(0)),
                ("bytes", Part::Extra(1)),
            ],
            rows: busiest.collect(),
        });
        Page {
            headline,
            tables,
            remarks: Vec::new(),
            absent: [
                "these are all connections that there were",
                "There may have been connections that are not counted",
            ],
        }
    }
}

fn service(service: &Service, names: Names) -> Table {
    let rows = service.backends.iter().map(|it| {
        let mark = match it.load {
            _ if it.down => Mark::Bad,
            Load::Unused | Load::Over => Mark::Warn,
            Load::Under | Load::Even => Mark::Plain,
        };
        let cells = vec![
            Cell::text(names.of_node(&it.who)),
            Cell::text(match (it.down, it.by_address) {
                (true, true) => "down, by its address",
                (true, false) => "down",
                (false, _) => it.load.name(),
            }),
            Cell::Share(it.share),
            Cell::Count(it.connections),
            Cell::Count(it.live),
            Cell::Bytes(it.bytes),
            Cell::Share(it.bytes_share),
            Cell::Count(it.failures),
            Cell::Count(it.checks),
        ];
        (mark, cells)
    });
    let clients = service
        .clients
        .iter()
        .map(|it| format!("{} ({})", names.of_node(&it.who), it.connections));
    Table {
        title: format!(
            "{} at port {}: skew {}, where 1 is even and {} all on one; clients: {}",
            service.service,
            service.port,
            service.skew,
            service.backends.len(),
            clients.collect::<Vec<_>>().join(", "),
        ),
        heads: vec![
            ("instance", Part::Name),
            ("load", Part::Mark),
            ("share", Part::Fact),
            ("connections", Part::Fact),
            ("live", Part::Extra(0)),
            ("bytes", Part::Extra(2)),
            ("of bytes", Part::Extra(1)),
            ("failures", Part::Extra(3)),
            ("checks", Part::Extra(4)),
        ],
        rows: rows.collect(),
    }
}

fn forbidden(violations: &[Violation], names: Names) -> Table {
    let rows = violations.iter().map(|it| {
        let mut pids: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for process in &it.processes {
            pids.entry(&process.exe)
                .or_default()
                .push(process.pid.to_string());
        }
        let processes = pids
            .into_iter()
            .map(|(exe, pids)| format!("{exe} ({})", pids.join(", ")));
        let cells = vec![
            Cell::text(names.of_node(&it.link.client)),
            Cell::text(names.at_port(&it.link.server, it.link.port)),
            Cell::Count(it.link.connections),
            Cell::List(processes.collect()),
            Cell::text(&*it.rule),
        ];
        (Mark::Bad, cells)
    });
    Table {
        title: "Forbidden:".to_owned(),
        heads: vec![
            ("client", Part::Name),
            ("server", Part::Name),
            ("connections", Part::Fact),
            ("processes", Part::Name),
            ("rule", Part::Reason),
        ],
        rows: rows.collect(),
    }
}
