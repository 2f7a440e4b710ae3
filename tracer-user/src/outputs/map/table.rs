//! The map for people: a line an edge, those that fail first, and below them what they rest on.

use std::collections::HashSet;

use anstyle::{AnsiColor, Style};

use super::{
    super::{
        grid::{self, Column, Part, wrap},
        sanitise,
        units::{Bytes, Count, Nanos},
    },
    coverage,
    words::{by_urgency, clock},
};
use crate::model::{Edge, EdgeState, Node, View};

/// Appends the table.
pub(super) fn write(view: &View, colour: bool, width: Option<usize>, buf: &mut Vec<u8>) {
    let edges = by_urgency(view);
    if edges.is_empty() {
        wrap("no connections were seen", width, buf);
    } else {
        let style = |row: usize| match edges.get(row) {
            Some(edge) if colour => style(edge.state),
            _ => Style::new(),
        };
        grid::write(columns(view, &edges), width, style, buf);
    }
    buf.push(b'\n');
    let coverage = coverage::line(&view.coverage) + &coverage::cut(&view.nodes);
    wrap(&coverage, width, buf);
}

fn columns(view: &View, edges: &[&Edge]) -> Vec<Column> {
    let hosts: HashSet<_> = view
        .nodes
        .iter()
        .filter_map(|it| it.host.as_ref())
        .collect();
    let name = |index: usize| name(&view.nodes[index], hosts.len() > 1);
    let column = |head, part, cell: &dyn Fn(&Edge) -> String| {
        Column::new(head, part, edges.iter().map(|edge| cell(edge)).collect())
    };
    let number = |head, part, cell: &dyn Fn(&Edge) -> String| column(head, part, cell).of_numbers();
    let today = view
        .generated
        .map(|it| clock(it).chars().take(10).collect::<String>());
    vec![
        column("client", Part::Name, &|it| name(it.client)),
        column("server", Part::Name, &|it| name(it.server)),
        number(
            "port",
            Part::Fact,
            &|it| match (it.port, it.history.ports) {
                (Some(port), _) => port.to_string(),
                (None, 0) => "?".to_owned(),
                (None, ports) => format!("{} ports", Count(ports)),
            },
        ),
        column("state", Part::Mark, &|it| state(it.state).to_owned()),
        number("established", Part::Extra(5), &|it| {
            Count(it.established).to_string()
        }),
        number("live", Part::Extra(4), &|it| Count(it.live()).to_string()),
        column("failed", Part::Reason, &failed),
        column("connect p50/p95", Part::Extra(0), &|it| {
            let Some(times) = it.connect_ns else {
                return String::new();
            };
            format!("{} / {}", Nanos(times.p50), Nanos(times.p95))
        }),
        number("sent", Part::Extra(1), &|it| {
            Bytes(it.sent_bytes).to_string()
        }),
        number("received", Part::Extra(2), &|it| {
            Bytes(it.received_bytes).to_string()
        }),
        column("last seen", Part::Extra(3), &|it| {
            let time = clock(it.last_seen);
            match (&today, time.split_once(' ')) {
                (Some(today), Some((date, of_day))) if date == today => of_day.to_owned(),
                _ => time,
            }
        }),
    ]
}

/// What a node is called; with its host where there is more than one.
fn name(node: &Node, with_host: bool) -> String {
    let name = sanitise(&node.name, usize::MAX);
    match &node.host {
        Some(host) if with_host => format!("{name}@{}", sanitise(&host.name, usize::MAX)),
        _ => name.to_string(),
    }
}

/// A word and a sign, so that colour is not all that tells.
fn state(state: EdgeState) -> &'static str {
    match state {
        EdgeState::Ok => "  ok",
        EdgeState::Mixed => "! mixed",
        EdgeState::Failed => "✗ failed",
    }
}

fn style(state: EdgeState) -> Style {
    match state {
        EdgeState::Ok => Style::new(),
        EdgeState::Mixed => AnsiColor::Yellow.on_default(),
        EdgeState::Failed => AnsiColor::Red.on_default().bold(),
    }
}

/// The reasons, the most frequent first.
fn failed(edge: &Edge) -> String {
    let mut reasons: Vec<_> = edge.failed.iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let reasons = reasons
        .iter()
        .map(|(reason, times)| format!("{} {}", reason.name(), Count(**times)));
    reasons.collect::<Vec<_>>().join(", ")
}
