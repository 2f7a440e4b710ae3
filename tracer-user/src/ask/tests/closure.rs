//! Any graph: answers against what they mean, found out another way: by closing the relation over and
//! over, as slow as that is.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::ask::{
    balance,
    diff::{self, How, What},
    groups, idle,
    impact::{self, Way},
    recovery_order, verify,
};

/// A node of a generated graph.
#[derive(Clone, Debug)]
struct Spot {
    is_remote: bool,
    listens: bool,
}

/// An edge of one: client, server, port, connections, failures.
type Line = (usize, usize, u16, u64, u64);

const PORTS: [u16; 4] = [80, 5432, 40_001, 50_001];

fn graph() -> impl Strategy<Value = (Vec<Spot>, Vec<Line>)> {
    let node = (prop::bool::weighted(0.15), any::<bool>())
        .prop_map(|(is_remote, listens)| Spot { is_remote, listens });
    (2..14_usize).prop_flat_map(move |count| {
        let line = (0..count, 0..count, 0..2_usize, 0..5_u64, 0..3_u64);
        let line = line.prop_map(|(client, server, port, connections, failures)| {
            // What has neither would be no edge.
            let failures = failures + u64::from(connections == 0);
            (client, server, PORTS[port], connections, failures)
        });
        (vec(node.clone(), count), vec(line, 0..40))
    })
}

fn view((spots, lines): &(Vec<Spot>, Vec<Line>)) -> View {
    let mut it = Draft::new();
    let name = |at: usize| match spots[at].is_remote {
        true => format!("10.1.0.{at}"),
        false => format!("w{at:02}.service"),
    };
    for (at, spot) in spots.iter().enumerate() {
        match spot.is_remote {
            true => it.remote(&name(at), &name(at)),
            false if spot.listens => it.unit(&name(at)).listens(80),
            false => it.unit(&name(at)),
        };
    }
    let mut sums: BTreeMap<(usize, usize, u16), (u64, u64)> = BTreeMap::new();
    for (client, server, port, connections, failures) in lines {
        let sum = sums.entry((*client, *server, *port)).or_default();
        sum.0 += connections;
        sum.1 += failures;
    }
    for ((client, server, port), (connections, failures)) in sums {
        let edge = it.edge(&name(client), &name(server), port, connections);
        if failures > 0 {
            edge.fails(failures, at(2_000));
        }
    }
    it.view()
}

/// How many steps it takes at least from each node to each other one.
fn steps(view: &View, takes: impl Fn(&Edge) -> bool) -> Vec<Vec<Option<u32>>> {
    let count = view.nodes.len();
    let mut steps = vec![vec![None; count]; count];
    for (at, row) in steps.iter_mut().enumerate() {
        row[at] = Some(0);
    }
    for edge in view.edges.iter().filter(|it| takes(it)) {
        if edge.client != edge.server {
            steps[edge.client][edge.server] = Some(1);
        }
    }
    for middle in 0..count {
        for from in 0..count {
            for to in 0..count {
                if let (Some(one), Some(other)) = (steps[from][middle], steps[middle][to]) {
                    let way = one + other;
                    let least = steps[from][to].map_or(way, |it: u32| it.min(way));
                    steps[from][to] = Some(least);
                }
            }
        }
    }
    steps
}

fn index(view: &View, id: &str) -> usize {
    let mut nodes = view.nodes.iter();
    nodes
        .position(|it| *it.id == *id)
        .expect("a node of the view")
}

fn is_workload(view: &View, at: usize) -> bool {
    view.nodes[at].kind == NodeKind::Workload
}

proptest! {
    #[test]
    fn impact_is_the_closure_and_its_distances_are_the_shortest(graph in graph()) {
        let view = view(&graph);
        let steps = steps(&view, |_| true);
        for start in 0..view.nodes.len() {
            for way in [Way::Dependents, Way::Dependencies] {
                let found = impact::impact(&view, &[start], way, None).found;
                let found: BTreeMap<usize, u32> = found
                    .reached
                    .iter()
                    .map(|it| (index(&view, &it.who.id), it.distance))
                    .collect();
                let expected: BTreeMap<usize, u32> = (0..view.nodes.len())
                    .filter(|other| *other != start)
                    .filter_map(|other| {
                        let (from, to) = match way {
                            Way::Dependents => (other, start),
                            Way::Dependencies => (start, other),
                        };
                        Some((other, steps[from][to]?))
                    })
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn waves_respect_every_edge_and_cycles_are_whole(graph in graph()) {
        let view = view(&graph);
        let between = |it: &Edge| is_workload(&view, it.client) && is_workload(&view, it.server);
        let steps = steps(&view, between);
        let found = recovery_order::recovery_order(&view, 1).found;
        // Where each workload is: wave, step within it, place within that.
        let mut places: BTreeMap<usize, (usize, usize, usize)> = BTreeMap::new();
        for (wave, it) in found.waves.iter().enumerate() {
            for (step, it) in it.steps.iter().enumerate() {
                for (place, who) in it.members.iter().enumerate() {
                    let before = places.insert(index(&view, &who.id), (wave, step, place));
                    prop_assert_eq!(before, None, "twice");
                }
            }
        }
        let workloads = (0..view.nodes.len()).filter(|at| is_workload(&view, *at));
        prop_assert!(workloads.clone().eq(places.keys().copied()));
        for one in workloads.clone() {
            for other in workloads.clone() {
                let together = steps[one][other].is_some() && steps[other][one].is_some();
                let same = places[&one].0 == places[&other].0 && places[&one].1 == places[&other].1;
                prop_assert_eq!(together, same, "in one step are those that need each other");
            }
        }
        for edge in view.edges.iter().filter(|it| between(it) && it.client != it.server) {
            let (client, server) = (places[&edge.client], places[&edge.server]);
            if (client.0, client.1) != (server.0, server.1) {
                prop_assert!(server.0 < client.0);
                continue;
            }
            let step = &found.waves[client.0].steps[client.1];
            let is_left_out = step.weakest.iter().any(|it| {
                it.client.id == view.nodes[edge.client].id && it.server.id == view.nodes[edge.server].id
            });
            // What is kept is respected within a cycle too, and what is left out had to be.
            prop_assert_eq!(is_left_out, server.2 > client.2);
        }
    }

    #[test]
    fn groups_are_connected_and_maximal(graph in graph()) {
        let view = view(&graph);
        let answer = groups::groups(&view, &groups::Shared::default(), None).found;
        let shared: BTreeSet<usize> = answer.shared.iter().map(|it| index(&view, &it.who.id)).collect();
        let ties = |it: &Edge| !shared.contains(&it.client) && !shared.contains(&it.server);
        // Both ways.
        let mut both = view.clone();
        both.edges.extend(view.edges.iter().map(|it| Edge {
            client: it.server,
            server: it.client,
            ..it.clone()
        }));
        let steps = steps(&both, ties);
        let mut group_of: BTreeMap<usize, usize> = BTreeMap::new();
        for (group, it) in answer.groups.iter().enumerate() {
            for who in &it.members {
                prop_assert_eq!(group_of.insert(index(&view, &who.id), group), None, "twice");
            }
        }
        let all = (0..view.nodes.len()).filter(|it| !shared.contains(it));
        prop_assert!(all.eq(group_of.keys().copied()), "private addresses are members too");
        for (one, group) in &group_of {
            for (other, of_other) in &group_of {
                prop_assert_eq!(steps[*one][*other].is_some(), group == of_other);
            }
        }
    }

    #[test]
    fn what_crosses_a_division_has_its_ends_in_different_parts(graph in graph(), bound in 0..14_usize) {
        let view = view(&graph);
        let below = |at: usize| *view.nodes[at].name < *format!("w{bound:02}.service");
        let names: Vec<String> = (0..bound).map(|it| format!("w{it:02}.service")).collect();
        let text = format!("low = {} nobody", names.join(" "));
        let split: Split = text.parse().expect("a split");
        let answer = groups::groups(&view, &groups::Shared::default(), Some(&split)).found;
        let crossing: BTreeSet<(usize, usize, Option<u16>)> = answer
            .split
            .expect("it was asked for")
            .crossing
            .iter()
            .map(|it| (index(&view, &it.link.client.id), index(&view, &it.link.server.id), it.link.port))
            .collect();
        let edges = view.edges.iter().filter(|it| {
            is_workload(&view, it.client)
                && is_workload(&view, it.server)
                && below(it.client) != below(it.server)
        });
        let expected: BTreeSet<_> = edges.map(|it| (it.client, it.server, it.port)).collect();
        prop_assert_eq!(crossing, expected);
    }

    #[test]
    fn a_map_has_not_changed_since_itself_and_is_all_back(graph in graph()) {
        let view = view(&graph);
        let answer = diff::diff(&view, &view, &Allowed::default());
        prop_assert_eq!(answer.found.changes, vec![]);
        prop_assert!(answer.proof.proven);
        prop_assert!(verify::verify(&view, &view).found.complete);
    }

    #[test]
    fn what_is_new_one_way_is_gone_the_other(graph in graph(), kept in vec(any::<bool>(), 40)) {
        let one = view(&graph);
        let edges: Vec<bool> = one.edges.iter().zip(kept.iter().cycle()).map(|(_, it)| *it).collect();
        let other = one.part(&vec![true; one.nodes.len()], &edges);
        let edges = |before: &View, after: &View, how: How| -> Vec<_> {
            let answer = diff::diff(before, after, &Allowed::default()).found;
            let mut edges: Vec<_> = answer
                .changes
                .into_iter()
                .filter(|it| it.change == how)
                .filter_map(|it| match it.what {
                    What::Edge { before, after, .. } => {
                        let link = before.or(after)?;
                        Some((link.client.id, link.server.id, link.port))
                    }
                    _ => None,
                })
                .collect();
            edges.sort();
            edges
        };
        let mut came = edges(&other, &one, How::New);
        // What fails and was not there before is told as failing.
        came.extend(edges(&other, &one, How::Failing));
        came.sort();
        prop_assert_eq!(came, edges(&one, &other, How::Gone));
    }

    #[test]
    fn ports_that_the_kernel_chose_do_not_count(graph in graph()) {
        let change = |port: u16| {
            let mut view = view(&graph);
            for edge in &mut view.edges {
                // One port each between two nodes, so that none is lost. What is dialled at one port alone
                // is known by it.
                let is_local = view.nodes[edge.server].kind == NodeKind::Workload;
                edge.port = edge.port.map(|it| if it == PORTS[1] && is_local { port } else { it });
            }
            for node in view.nodes.iter_mut().filter(|it| it.kind == NodeKind::Workload) {
                for listener in &mut node.listeners {
                    listener.port = port;
                }
                node.listens(22);
            }
            view
        };
        let answer = diff::diff(&change(PORTS[2]), &change(PORTS[3]), &Allowed::default());
        prop_assert_eq!(answer.found.changes, vec![]);
    }

    #[test]
    fn all_is_back_if_every_edge_that_worked_works(graph in graph(), kept in vec(any::<bool>(), 40)) {
        let baseline = view(&graph);
        let edges: Vec<bool> = baseline.edges.iter().zip(kept.iter().cycle()).map(|(_, it)| *it).collect();
        let now = baseline.part(&vec![true; baseline.nodes.len()], &edges);
        let missing = baseline.edges.iter().zip(&edges).filter(|(edge, kept)| {
            edge.established > 0 && edge.state != EdgeState::Failed && !**kept
        });
        let found = verify::verify(&baseline, &now).found;
        prop_assert_eq!(found.missing.len(), missing.count());
        prop_assert_eq!(found.complete, found.missing.is_empty());
    }

    #[test]
    fn a_listener_is_idle_if_no_connection_came(graph in graph()) {
        let view = view(&graph);
        let found = idle::idle(&view, None).found;
        let found: BTreeSet<usize> = found.listeners.iter().map(|it| index(&view, &it.who.id)).collect();
        let expected: BTreeSet<usize> = (0..view.nodes.len())
            .filter(|at| !view.nodes[*at].listeners.is_empty())
            .filter(|at| {
                !view.edges.iter().any(|it| it.server == *at && it.port == Some(80) && it.established > 0)
            })
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn shares_add_up_and_skew_is_between_even_and_all_on_one(graph in graph()) {
        let mut view = view(&graph);
        // All of one template, so that each port is a service.
        for (node, at) in view.nodes.iter_mut().zip(0..) {
            if let Some(workload) = &node.workload {
                let name: Arc<str> = format!("app@{at}.service").into();
                node.workload = Some(Arc::new(Workload { name, ..Workload::clone(workload) }));
            }
        }
        for service in balance::balance(&view, None).found.services {
            let sum: f64 = service.backends.iter().map(|it| it.share).sum();
            let connections: u64 = service.backends.iter().map(|it| it.connections).sum();
            prop_assert_eq!(connections, service.connections);
            prop_assert!(connections == 0 || (sum - 1.0).abs() < 0.02, "{}", sum);
            let count = service.backends.len() as f64;
            prop_assert!(service.skew >= 0.99 && service.skew <= count + 0.01, "{}", service.skew);
        }
    }
}
