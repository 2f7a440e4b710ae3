//! Which rows the lists have, and in which order. This is done once a snapshot, and when a key asks
//! for others.

use std::cmp::Ordering;

use super::{
    cells::{errno, reason},
    columns::{Field, Pane, Sort},
    facts::{Map, at_port, host, role},
};
use crate::model::{Edge, EdgeState};

impl Pane {
    /// Its rows in order: those in which `search` is found, and only failing ones if that is asked.
    pub(super) fn rows(self, map: &Map, sort: Sort, search: &str, failing: bool) -> Vec<usize> {
        // Letter by letter on both sides: of a whole word, some letters become others.
        let lower = |text: &str, out: &mut String| {
            out.extend(text.chars().flat_map(char::to_lowercase));
        };
        let mut needle = String::new();
        lower(search, &mut needle);
        let mut hay = String::new();
        let mut found = |pieces: &[&str]| {
            needle.is_empty() || {
                hay.clear();
                for piece in pieces {
                    lower(piece, &mut hay);
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
                        && found(&[
                            &node.name,
                            &node.id,
                            node.kind_word(),
                            role(node),
                            host(node),
                        ])
                })
                .collect(),
            Self::Edges | Self::Failing => (0..map.view().edges.len())
                .filter(|index| {
                    let edge = map.edge(*index).0;
                    let ok = edge.state == EdgeState::Ok;
                    !(ok && (failing || self == Self::Failing))
                        && (search.is_empty()
                            || found(&[
                                &map.client(*index).name,
                                &map.server(*index).name,
                                &at_port(edge),
                                edge.state.name(),
                                reason(edge),
                                errno(edge),
                            ]))
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
                Field::Kind => a.kind_word().cmp(b.kind_word()),
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
