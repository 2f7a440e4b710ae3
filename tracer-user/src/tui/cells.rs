//! What the columns of the lists say. A row is made into text only when it is drawn.

use std::borrow::Cow;

use super::{
    columns::{Field, Pane},
    facts::{Map, arrow, at_port, host, role, short_name},
    numbers,
    theme::{Tone, tone},
};
use crate::model::{Edge, EdgeState};

/// What a column says of a row.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, str>,
    /// What is behind it and shows in any case, so that it is the text that is cut.
    pub(super) tail: String,
    pub(super) tone: Tone,
}

impl Pane {
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
}

fn node_cell(map: &Map, field: Field, row: usize) -> Cell<'_> {
    let (node, facts) = map.node(row);
    match field {
        Field::Kind => plain(node.kind_word()),
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
            // Open before anybody watched, it was a success all the same.
            None if edge.live_at_start > 0 => plain("before"),
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

/// Why it failed last.
pub(super) fn reason(edge: &Edge) -> &'static str {
    edge.last_failure.map_or("", |last| last.reason.name())
}

/// The error of that.
pub(super) fn errno(edge: &Edge) -> &'static str {
    edge.last_failure.and_then(|last| last.errno).unwrap_or("")
}
