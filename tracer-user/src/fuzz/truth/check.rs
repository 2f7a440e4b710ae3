//! How answers are held against the truth.

use std::{collections::BTreeSet, time::Duration};

use super::{
    tell::{SECOND, Truth, client_name, service_name},
    world::World,
};
use crate::{
    ask::{
        Allowed, Proof, Verdict, diff, failures, idle,
        impact::{self, Way},
        recovery_order, verify,
    },
    map::{self, Map},
    model::{Event, NodeKind, View, find},
};

pub(super) fn view_of(events: &[Event]) -> View {
    let mut map = Map::new(map::Options {
        counts_lines: true,
        ..map::Options::SEVERAL_HOSTS
    });
    for event in events {
        map.push(event);
    }
    map.view()
}

pub(super) fn is_proven(proof: &Proof) -> bool {
    proof.verdict != Verdict::NotProven
}

/// Panics if an answer about `view` that calls itself proven is not `truth`.
pub(super) fn check(world: &World, view: &View, truth: &Truth) {
    let dials = |n: usize| -> BTreeSet<String> {
        let all = truth.used.keys().chain(truth.failed.keys());
        let of = all.filter(|(_, service)| *service == n);
        of.map(|(client, _)| client_name(*client)).collect()
    };
    for n in 0..world.services.len() {
        let Ok(node) = find(view, &service_name(n)) else {
            continue;
        };
        let answer = impact::impact(view, &[node], Way::Dependents, None);
        if is_proven(&answer.proof) {
            // What is only known by its address may be any that is there.
            let addresses: BTreeSet<String> = answer
                .found
                .reached
                .iter()
                .filter(|it| it.who.name.starts_with("10.0.0."))
                .map(|it| it.who.name.to_string())
                .collect();
            let may_be = |name: &str| {
                let n: usize = name["client-".len()..][..1].parse().expect("its number");
                addresses.contains(&format!("10.0.0.{}", world.clients[n] + 1))
            };
            let reached = answer.found.reached.iter();
            let reached: BTreeSet<String> = reached
                .map(|it| it.who.name.to_string())
                .filter(|it| it.starts_with("client"))
                .collect();
            let dials = dials(n);
            assert!(
                reached.is_subset(&dials),
                "{reached:?} depend on server {n}: {dials:?}"
            );
            let missing = dials.difference(&reached);
            let missing: Vec<&String> = missing.filter(|it| !may_be(it)).collect();
            assert!(missing.is_empty(), "{missing:?} depend on server {n}");
            if !world.services[n].is_activated {
                let used = truth.used.iter().filter(|((_, of), _)| *of == n);
                let used: u64 = used.map(|(_, times)| *times).sum();
                let counted: u64 = answer.found.reached.iter().map(|it| it.connections).sum();
                assert_eq!(counted, used, "connections of server {n}");
                let failed = truth.failed.iter().filter(|((_, of), _)| *of == n);
                let failed: u64 = failed.map(|(_, times)| *times).sum();
                let counted: u64 = answer.found.reached.iter().map(|it| it.failures).sum();
                assert_eq!(counted, failed, "failures of server {n}");
            }
        }
    }
    let answer = idle::idle(view, None);
    if is_proven(&answer.proof) {
        for idle in &answer.found.listeners {
            let n = usize::from(idle.port - 8_000);
            let used = truth.used.keys().any(|(_, service)| *service == n);
            assert!(!used || idle.last_used.is_some(), "server {n} was used");
        }
        for n in 0..world.services.len() {
            let used = truth.used.keys().any(|(_, service)| *service == n);
            let named = answer
                .found
                .listeners
                .iter()
                .any(|it| usize::from(it.port) == 8_000 + n);
            assert!(used || named, "server {n} was not used");
        }
    }
    let answer = failures::failures(view, Duration::from_secs(60));
    if is_proven(&answer.proof) {
        let told: u64 = view.edges.iter().map(crate::model::Edge::failures).sum();
        let failed: u64 = truth.failed.values().sum();
        assert_eq!(told, failed, "failures");
    }
    let _ = recovery_order::recovery_order(view, SECOND);
    let answer = diff::diff(view, view, &Allowed::default());
    assert!(answer.found.changes.is_empty(), "it differs from itself");
    let answer = verify::verify(view, view);
    assert!(answer.found.missing.is_empty(), "it misses itself");
}

/// Panics if a comparison that calls itself proven is not what changed between the two truths.
pub(super) fn compare(world: &World, before: (&View, &Truth), after: (&View, &Truth)) {
    let ends = |link: &crate::ask::Link| (link.client.name.to_string(), link.port);
    let pair = |(client, n): (usize, usize)| (client_name(client), Some(8_000 + n as u16));
    let is_there = |truth: &Truth, pair: &(usize, usize)| {
        truth.used.contains_key(pair) || truth.failed.contains_key(pair)
    };
    fn changes_of(found: &diff::Diff) -> impl Iterator<Item = &crate::ask::Link> {
        found
            .changes
            .iter()
            .filter_map(|it| match (&it.change, &it.what) {
                (diff::How::Gone, diff::What::Edge { before, .. }) => before.as_deref(),
                _ => None,
            })
    }
    let answer = diff::diff(before.0, after.0, &Allowed::default());
    // What is left may be attempts that failed before anybody listened.
    let failing = answer
        .found
        .changes
        .iter()
        .filter_map(|it| match (&it.change, &it.what) {
            (diff::How::Failing, diff::What::Edge { after, .. }) => after.as_deref(),
            _ => None,
        });
    let gone: Vec<_> = changes_of(&answer.found).chain(failing).map(ends).collect();
    if is_proven(&answer.proof) {
        for edge in before.1.used.keys() {
            let is_told = gone.iter().any(|(_, port)| *port == pair(*edge).1);
            assert!(is_there(after.1, edge) || is_told, "{edge:?} is gone");
            // What failed before anybody listened was nobody's; and who serves a socket that another one
            // has may be either.
            let (client, port) = pair(*edge);
            let is_told = changes_of(&answer.found).any(|it| {
                it.server.kind == NodeKind::Workload && ends(it) == (client.clone(), port)
            });
            let is_served = !world.services[edge.1].is_activated && after.1.used.contains_key(edge);
            assert!(!is_served || !is_told, "{edge:?} is there");
        }
    }
    let answer = verify::verify(before.0, after.0);
    if is_proven(&answer.proof) {
        let missing = answer.found.missing.iter().chain(&answer.found.failing);
        let missing: Vec<_> = missing.map(ends).collect();
        // What failed in the end is not asked for.
        let worked = before.1.used.keys();
        for edge in worked.filter(|it| !before.1.failed.contains_key(it)) {
            let is_told = missing.iter().any(|(_, port)| *port == pair(*edge).1);
            assert!(is_there(after.1, edge) || is_told, "{edge:?} is missing");
        }
    }
}
