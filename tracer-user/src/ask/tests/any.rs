//! What holds of any graph: also of one with edges of which nobody knows who opened them, several
//! hosts, and nothing at all.

use std::{collections::BTreeSet, time::Duration};

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::*;
use crate::{
    ask::{
        balance::balance,
        diff::{How, What, diff},
        failures::failures,
        groups::{Shared, groups},
        idle::idle,
        impact::{Way, impact},
        recovery_order::recovery_order,
        verify::verify,
    },
    model::specimens::views,
};

/// Client, server, port, connections, failures.
type Line = (usize, usize, Option<u16>, u64, u64);

/// How many nodes, and edges among them.
fn graph() -> impl Strategy<Value = (usize, Vec<Line>)> {
    (1..40_usize).prop_flat_map(|count| {
        let ports = [None, Some(80), Some(5432), Some(40_001), Some(50_001)];
        let port = prop::sample::select(ports.to_vec());
        let line = (0..count, 0..count, port, 0..5_u64, 0..3_u64);
        (Just(count), vec(line, 0..120))
    })
}

/// Nodes are units of two hosts and pods, and every seventh is a remote. What every start changes
/// is after `start`.
fn view((count, lines): &(usize, Vec<Line>), start: u32) -> View {
    let mut it = Draft::new();
    it.watched("two");
    for at in 0..*count {
        let name = format!("n{at:02}");
        let node = match at % 7 {
            0 => it.remote(&name, &format!("10.1.0.{at}")),
            1 | 2 => it
                .pod(&name, &format!("{start:04x}"))
                .uses(&format!("10.42.{start}.{at}")),
            3 => it.unit_on("two", &name).listens(80),
            _ => it.unit(&name).listens(5432),
        };
        if at % 7 > 0 {
            node.runs(
                100 + start * 7 + at as u32,
                "/usr/bin/app",
                Some(at_start(start)),
            );
        }
    }
    let mut seen = BTreeSet::new();
    for (client, server, port, connections, failed) in lines {
        if seen.insert((client, server, port)) {
            let (client, server) = (format!("n{client:02}"), format!("n{server:02}"));
            let edge = it.edge(&client, &server, *port, *connections);
            if *failed > 0 || *connections == 0 {
                edge.fails(*failed + u64::from(*connections == 0), at(2_000));
            }
        }
    }
    it.view()
}

fn at_start(start: u32) -> Timestamp {
    at(u64::from(start))
}

/// The nodes that are reached in the end, by name: what is known is closed over and over.
fn closure(view: &View, start: usize, way: Way) -> BTreeSet<usize> {
    let mut known = BTreeSet::from([start]);
    loop {
        let before = known.len();
        for edge in &view.edges {
            let (from, to) = match way {
                Way::Dependents => (edge.server, edge.client),
                Way::Dependencies => (edge.client, edge.server),
            };
            if known.contains(&from) {
                known.insert(to);
            }
        }
        if known.len() == before {
            known.remove(&start);
            return known;
        }
    }
}

/// Edges of the changes of that kind, by their ends.
fn edges(before: &View, after: &View, how: &[How]) -> BTreeSet<String> {
    let found = diff(before, after, &Allowed::default()).found;
    let edges = found.changes.into_iter().filter_map(|it| match it.what {
        // What fails and was there is neither new nor gone.
        What::Edge { before, after, .. } if before.is_none() || after.is_none() => {
            let link = after.or(before)?;
            how.contains(&it.change).then(|| line(&link))
        }
        _ => None,
    });
    edges.collect()
}

/// All answers, as they are printed.
fn answers(one: &View, other: &View) -> Vec<Value> {
    let split: Split = "east = *1 *3\nwest = 10.1.0.0/16"
        .parse()
        .expect("a division");
    let policy: Policy = "deny *1 -> *\nallow * -> *:80\ndeny * -> *2"
        .parse()
        .expect("a policy");
    let print = |it: Result<Value, serde_json::Error>| it.expect("JSON");
    let mut all = vec![
        print(serde_json::to_value(recovery_order(one, SECOND))),
        print(serde_json::to_value(groups(
            one,
            &Shared::default(),
            Some(&split),
        ))),
        print(serde_json::to_value(idle(one, None))),
        print(serde_json::to_value(idle(
            one,
            Some(Duration::from_secs(60)),
        ))),
        print(serde_json::to_value(failures(one, Duration::from_secs(60)))),
        print(serde_json::to_value(balance(one, Some(&policy)))),
        print(serde_json::to_value(diff(one, other, &Allowed::default()))),
        print(serde_json::to_value(verify(one, other))),
    ];
    for start in [0, one.nodes.len() / 2]
        .into_iter()
        .filter(|it| *it < one.nodes.len())
    {
        for way in [Way::Dependents, Way::Dependencies] {
            all.push(print(serde_json::to_value(impact(
                one,
                &[start],
                way,
                None,
            ))));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_depends_on_something_is_what_that_something_is_needed_by(graph in graph()) {
        let view = view(&graph, 1);
        let reached = |start: usize, way: Way| -> BTreeSet<String> {
            let found = impact(&view, &[start], way, None).found;
            found.reached.iter().map(|it| it.who.id.to_string()).collect()
        };
        let id = |at: usize| view.nodes[at].id.to_string();
        for way in [Way::Dependents, Way::Dependencies] {
            for start in 0..view.nodes.len() {
                let expected: BTreeSet<String> = closure(&view, start, way).into_iter().map(id).collect();
                prop_assert_eq!(reached(start, way), expected);
            }
        }
        let up: Vec<_> = (0..view.nodes.len()).map(|at| reached(at, Way::Dependents)).collect();
        let down: Vec<_> = (0..view.nodes.len()).map(|at| reached(at, Way::Dependencies)).collect();
        for (one, up) in up.iter().enumerate() {
            for (other, down) in down.iter().enumerate() {
                prop_assert_eq!(up.contains(&id(other)), down.contains(&id(one)));
            }
        }
    }

    #[test]
    fn a_start_alone_changes_nothing(graph in graph()) {
        let (before, after) = (view(&graph, 1), view(&graph, 200));
        let found = diff(&before, &after, &Allowed::default()).found;
        prop_assert_eq!(found.changes, vec![]);
        prop_assert!(verify(&before, &after).found.complete);
    }

    #[test]
    fn what_came_is_what_is_gone_the_other_way_round(one in graph(), other in graph()) {
        let (one, other) = (view(&one, 1), view(&other, 1));
        let came = edges(&one, &other, &[How::New, How::Failing]);
        prop_assert_eq!(came, edges(&other, &one, &[How::Gone]));
    }

    #[test]
    fn all_is_back_only_if_what_worked_works(graph in graph(), works in vec(0..4_u8, 120)) {
        let baseline = view(&graph, 1);
        let mut now = baseline.clone();
        // Of each edge it is drawn whether it fails, is gone, or is as it was.
        for (edge, works) in now.edges.iter_mut().zip(&works) {
            if *works == 0 {
                (edge.established, edge.last_success) = (0, None);
                edge.fails(3, at(3_100));
            }
        }
        let kept: Vec<bool> = now.edges.iter().zip(&works).map(|(_, it)| *it != 1).collect();
        let now = now.part(&vec![true; now.nodes.len()], &kept);
        // Without ports that come and go or are not known, an edge is back if it is there itself.
        let is_plain = |it: &Edge| it.port.is_some_and(|it| it < 32_768);
        let only = |view: &View| {
            let edges: Vec<bool> = view.edges.iter().map(is_plain).collect();
            view.part(&vec![true; view.nodes.len()], &edges)
        };
        let (baseline, now) = (only(&baseline), only(&now));
        let ends = |it: &Edge| (it.client, it.server);
        let works = |view: &View, edge: &Edge, port: Option<u16>| {
            view.edges.iter().any(|it| {
                ends(it) == ends(edge) && it.port == port && it.established > 0 && it.state != EdgeState::Failed
            })
        };
        // Where the one of two ports is gone and the other is there, each stands for itself.
        let expected = baseline.edges.iter().filter(|it| it.established > 0 && it.state != EdgeState::Failed);
        let all_back = expected.clone().all(|it| works(&now, it, it.port));
        let found = verify(&baseline, &now).found;
        prop_assert_eq!(found.complete, all_back);
        prop_assert_eq!(found.expected(), expected.count());
    }

    #[test]
    fn the_same_maps_give_the_same_answers(one in graph(), other in graph()) {
        // Tables with random seeds are made anew each time.
        let (one, other) = (view(&one, 1), view(&other, 2));
        prop_assert_eq!(answers(&one, &other), answers(&one.clone(), &other.clone()));
    }
}

#[test]
fn an_empty_map_has_an_answer_to_everything() {
    let nothing = View::default();
    assert_eq!(answers(&nothing, &nothing).len(), 8);
    let mut full = Draft::new();
    full.unit("app").listens(80);
    full.edge("app", "app", 80, 1);
    let full = full.view();
    assert_eq!(answers(&nothing, &full).len(), 8);
    assert_eq!(answers(&full, &nothing).len(), 12);
}

#[test]
fn ten_thousand_edges_have_answers() {
    let view = views::many(10_000);
    assert_eq!(view.edges.len(), 10_000);
    assert!(view.nodes.len() >= 2_000);
    let all = answers(&view, &view);
    assert_eq!(all.len(), 12);
    let members = |it: &Value| it["members"].as_array().map_or(0, Vec::len);
    let waves = all[0]["waves"].as_array().expect("waves");
    let steps = waves
        .iter()
        .flat_map(|it| it["steps"].as_array().expect("steps"));
    let workloads = view.nodes.iter().filter(|it| it.kind == NodeKind::Workload);
    assert_eq!(steps.map(members).sum::<usize>(), workloads.count());
    assert_eq!(all[6]["changes"], Value::Array(Vec::new()));
    assert_eq!(all[7]["complete"], Value::Bool(true));
}
