//! Who depends on something, for people.

use super::{
    super::{grid::Part, units::Count},
    page::{Cell, Mark, Names, Page, Shown, Table, plural, state},
};
use crate::{
    ask::{
        Answer, Link, Proof,
        impact::{Impact, Reached, Way},
    },
    model::{EdgeState, NodeKind},
};

impl Shown for Answer<Impact> {
    fn proof(&self) -> &Proof {
        &self.proof
    }

    fn page(&self) -> Page {
        let found = &self.found;
        let names = Names::of(&self.proof);
        let of = names.list(found.of.iter());
        let count = |kind| {
            found
                .reached
                .iter()
                .filter(|it| it.who.kind == kind)
                .count()
        };
        let (workloads, remotes) = (count(NodeKind::Workload), count(NodeKind::Remote));
        let reached = match (workloads, remotes) {
            (0, remotes) => plural(remotes, "remote"),
            (workloads, 0) => plural(workloads, "workload"),
            (workloads, remotes) => format!(
                "{} and {}",
                plural(workloads, "workload"),
                plural(remotes, "remote")
            ),
        };
        let is_one = workloads + remotes == 1;
        let headline = match (found.reached.is_empty(), found.way) {
            (true, Way::Dependents) => format!("Nothing was seen to depend on {of}."),
            (true, Way::Dependencies) => format!("{of} was not seen to depend on anything."),
            (false, Way::Dependents) if is_one => format!("{reached} depends on {of}:"),
            (false, Way::Dependents) => format!("{reached} depend on {of}, directly or not:"),
            (false, Way::Dependencies) => format!("{of} depends on {reached}, directly or not:"),
        };
        let by = |link: &Link| match found.way {
            Way::Dependents => names.at_port(&link.server, link.port),
            Way::Dependencies => format!("{} at :{}", names.of_node(&link.client), port(link)),
        };
        let rows = found.reached.iter().map(|it| {
            let state_of = worst(it);
            let cells = vec![
                Cell::Count(it.distance.into()),
                Cell::text(names.of_node(&it.who)),
                Cell::List(it.by.iter().map(by).collect()),
                state(state_of),
                Cell::Count(it.connections),
                Cell::Count(it.live),
                Cell::Count(it.failures),
                Cell::Bytes(it.bytes),
                Cell::text(it.who.owner.as_deref().unwrap_or_default()),
                Cell::Time(Some(it.last_seen)),
            ];
            (Mark::from(state_of), cells)
        });
        let who = match found.way {
            Way::Dependents => "dependent",
            Way::Dependencies => "dependency",
        };
        Page {
            headline,
            tables: vec![Table {
                title: String::new(),
                heads: vec![
                    ("steps", Part::Fact),
                    (who, Part::Name),
                    ("by", Part::Name),
                    ("state", Part::Mark),
                    ("connections", Part::Extra(5)),
                    ("live", Part::Extra(4)),
                    ("failures", Part::Extra(3)),
                    ("bytes", Part::Extra(2)),
                    ("owner", Part::Extra(1)),
                    ("last seen", Part::Extra(0)),
                ],
                rows: rows.collect(),
            }],
            remarks: match found.served_by.is_empty() {
                true => Vec::new(),
                false => {
                    let servers = found.served_by.iter().map(|it| {
                        let server = names.at_port(&it.who, it.port);
                        format!("{server} ({})", Count(it.connections))
                    });
                    let servers: Vec<_> = servers.collect();
                    vec![format!(
                        "What came in by listeners of {of} was served by {}.",
                        servers.join(", ")
                    )]
                }
            },
            absent: match found.way {
                Way::Dependents => [
                    "what is not listed did not connect to it",
                    "More may depend on it than is listed",
                ],
                Way::Dependencies => [
                    "it connected to nothing that is not listed",
                    "It may depend on more than is listed",
                ],
            },
        }
    }
}

fn port(link: &Link) -> String {
    link.port
        .map_or_else(|| "?".to_owned(), |it| it.to_string())
}

fn worst(reached: &Reached) -> EdgeState {
    let states = reached.by.iter().map(|it| it.state);
    let rank = |state: &EdgeState| match state {
        EdgeState::Ok => 0,
        EdgeState::Mixed => 1,
        EdgeState::Failed => 2,
    };
    states.max_by_key(rank).unwrap_or(EdgeState::Ok)
}
