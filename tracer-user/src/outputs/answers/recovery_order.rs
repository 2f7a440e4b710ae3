//! In what order to bring things back, for people.

use super::{
    super::grid::Part,
    page::{Cell, Mark, Names, Page, Shown, Table, plural},
};
use crate::ask::{
    Answer, Proof,
    recovery_order::{Need, RecoveryOrder, Step, When},
};

impl Shown for Answer<RecoveryOrder> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        let steps = || found.waves.iter().flat_map(|it| &it.steps);
        let workloads: usize = steps().map(|it| it.members.len()).sum();
        let cycles = steps().filter(|it| it.members.len() > 1).count();
        let mut rows = Vec::new();
        for (wave, at) in found.waves.iter().zip(1_u64..) {
            for step in &wave.steps {
                let mark = match step.members.len() {
                    1 => Mark::Plain,
                    _ => Mark::Warn,
                };
                let cells = vec![
                    Cell::Count(at),
                    Cell::List(members(step, names)),
                    Cell::List(needs(step, names)),
                ];
                rows.push((mark, cells));
            }
        }
        let mut remarks = Vec::new();
        for step in steps().filter(|it| it.members.len() > 1) {
            let weakest: Vec<String> = step
                .weakest
                .iter()
                .map(|it| {
                    format!(
                        "{} → {} ({})",
                        names.of_node(&it.client),
                        names.at_port(&it.server, it.port),
                        plural(it.connections as usize, "connection")
                    )
                })
                .collect();
            remarks.push(format!(
                "A cycle: {} need each other. Weakest is {}: start in the order above, and expect \
                 that to fail until all are up.",
                names.list(step.members.iter()),
                weakest.join(", then ")
            ));
        }
        let outside = found.outside.iter().map(|it| {
            let cells = vec![
                Cell::text(names.of_node(&it.who)),
                names.cell(it.needed_by.iter()),
            ];
            (Mark::Plain, cells)
        });
        let cycles = match cycles {
            0 => String::new(),
            cycles => format!(", {} among them", plural(cycles, "cycle")),
        };
        Page {
            headline: match workloads {
                0 => "No workload was seen to depend on another.".to_owned(),
                workloads => format!(
                    "{} in {}{cycles}. Start a wave when the one before it answers:",
                    plural(workloads, "workload"),
                    plural(found.waves.len(), "wave"),
                ),
            },
            tables: vec![
                Table {
                    title: String::new(),
                    heads: vec![
                        ("wave", Part::Fact),
                        ("start", Part::Name),
                        ("needs", Part::Name),
                    ],
                    rows,
                },
                Table {
                    title: "To be there already, as none of these hosts runs it:".to_owned(),
                    heads: vec![("server", Part::Name), ("needed by", Part::Name)],
                    rows: outside.collect(),
                },
            ],
            remarks,
            absent: [
                "nothing needed anything that is not listed",
                "There may be needs that are not listed",
            ],
        }
    }
}

fn members(step: &Step, names: Names) -> Vec<String> {
    let mut all: Vec<_> = step.members.iter().map(|it| names.of_node(it)).collect();
    if let [first, _, ..] = &mut all[..] {
        *first = format!("cycle: {first}");
    }
    all
}

fn needs(step: &Step, names: Names) -> Vec<String> {
    let need = |it: &Need| {
        let server = names.at_port(&it.link.server, it.link.port);
        match it.when {
            When::StartUp => format!("{server} (only at start-up)"),
            When::EachRun => format!("{server} (each run)"),
            When::Both => format!("{server} (from start-up on)"),
            When::Steady => format!("{server} (later)"),
            When::Unknown => server,
        }
    };
    step.needs.iter().map(need).collect()
}
