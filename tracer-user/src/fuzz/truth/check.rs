//! How answers are held against the truth.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::{
    tell::{SECOND, Truth, at, client_name, service_name, worker_name},
    world::{RUN, Span, World},
};
use crate::{
    ask::{
        Allowed, Link, Proof, Verdict, diff, failures, find, idle,
        impact::{self, Way},
        recovery_order, verify,
    },
    map::{self, Map},
    model::{Edge, Event, HostCoverage, NodeKind, View},
};

pub(super) fn view_of(events: &[Event], part: Option<Span>) -> View {
    let mut map = Map::new(map::Options {
        counts_lines: true,
        since: part.map(|(since, _)| at(since)),
        until: part.map(|(_, until)| at(until)),
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

/// What the answers about `view` rest on.
pub(super) fn proofs(world: &World, view: &View) -> Vec<Proof> {
    let services = (0..world.services.len()).filter_map(|n| find(view, &service_name(n)).ok());
    let impacts = services.map(|node| impact::impact(view, &[node], Way::Dependents, None).proof);
    let others = [
        idle::idle(view, None).proof,
        failures::failures(view, Duration::from_secs(60)).proof,
        recovery_order::recovery_order(view, SECOND).proof,
        diff::diff(view, view, &Allowed::default()).proof,
        verify::verify(view, view).proof,
    ];
    impacts.chain(others).collect()
}

/// Whether all the time that is asked about is told of: a recording that is cut between two runs is whole, of less
/// time.
fn is_of_all(world: &World, view: &View) -> bool {
    let (from, to) = world.part.unwrap_or((0.0, RUN));
    let is_all = |it: &HostCoverage| it.from <= at(from) && it.to >= at(to);
    view.coverage.len() == 2 && view.coverage.iter().all(is_all)
}

/// Panics if an answer about `view` that calls itself proven is not `truth`.
pub(super) fn check(world: &World, view: &View, truth: &Truth) {
    if !world.pauses.is_empty() && !is_of_all(world, view) {
        return;
    }
    for n in 0..world.services.len() {
        if let Ok(node) = find(view, &service_name(n)) {
            dependents(world, view, truth, (n, node));
        }
    }
    unused(world, view, truth);
    let answer = failures::failures(view, Duration::from_secs(60));
    if is_proven(&answer.proof) {
        let told: u64 = view.edges.iter().map(Edge::failures).sum();
        let failed = || truth.facts.iter().filter(|it| it.failed);
        let sure = failed().filter(|it| it.is_certain).count() as u64;
        let all = failed().count() as u64;
        assert!(
            sure <= told && told <= all,
            "{told} failures: {sure} to {all}"
        );
    }
    let _ = recovery_order::recovery_order(view, SECOND);
    let answer = diff::diff(view, view, &Allowed::default());
    assert!(answer.found.changes.is_empty(), "it differs from itself");
    let answer = verify::verify(view, view);
    assert!(answer.found.missing.is_empty(), "it misses itself");
}

/// The address that a node stands for, if it is nothing but one.
fn address(name: &str) -> Option<IpAddr> {
    name.split('@').next()?.parse().ok()
}

/// Who depends on service `n`, which is that node of `view`.
fn dependents(world: &World, view: &View, truth: &Truth, (n, node): (usize, usize)) {
    let answer = impact::impact(view, &[node], Way::Dependents, None);
    if !is_proven(&answer.proof) {
        return;
    }
    // What depends on an address is farther away.
    let reached = || answer.found.reached.iter().filter(|it| it.distance == 1);
    // What is only known by its address may be any that is there.
    let addresses: BTreeSet<IpAddr> = reached().filter_map(|it| address(&it.who.name)).collect();
    for client in 0..world.clients.len() {
        let is_told = reached().any(|it| *it.who.name == *client_name(client));
        let dials = truth.used(client, n) || truth.failed(client, n);
        let may = dials || truth.maybe(client, n);
        assert!(!is_told || may, "client {client} does not use server {n}");
        let may_be = !truth.seen_as(client).is_disjoint(&addresses);
        assert!(
            !dials || is_told || may_be,
            "client {client} uses server {n}"
        );
    }
    if !world.services[n].is_activated {
        let counted: u64 = reached().map(|it| it.connections).sum();
        let times = truth.times(n, false);
        assert!(
            times.contains(&counted),
            "{counted} connections of server {n}: {times:?}"
        );
        let counted: u64 = reached().map(|it| it.failures).sum();
        let times = truth.times(n, true);
        assert!(
            times.contains(&counted),
            "{counted} failures of server {n}: {times:?}"
        );
    }
}

/// Whose listeners are unused.
fn unused(world: &World, view: &View, truth: &Truth) {
    let answer = idle::idle(view, None);
    if !is_proven(&answer.proof) {
        return;
    }
    for n in 0..world.services.len() {
        let mut listeners = answer.found.listeners.iter();
        let told = listeners.find(|it| *it.who.name == *service_name(n));
        let is_told = told.is_some_and(|it| it.last_used.is_none());
        let times = truth.times(n, false);
        assert!(*times.start() == 0 || !is_told, "server {n} was used");
        let until = world.part.map_or(RUN, |(_, until)| until);
        let listens = [until - 0.05, until].map(|it| world.services[n].listens(it));
        let is_idle = *times.end() == 0 && listens == [true, true];
        assert!(!is_idle || told.is_some(), "server {n} was not used");
    }
}

/// Whether `link` leads to service `n`, as far as it says.
fn leads_to(world: &World, link: &Link, n: usize) -> bool {
    let server = &link.server.name;
    let known = [service_name(n), worker_name(n)];
    let addresses = world.services[n].space.addresses();
    link.port == Some(world.port(n))
        && (known.iter().any(|it| **it == **server)
            || address(server).is_some_and(|it| it.is_loopback() || addresses.contains(&it)))
}

/// The edges that changed so, as they were, or as they are.
fn changed(found: &diff::Diff, how: diff::How) -> impl Iterator<Item = &Link> {
    let changes = found.changes.iter().filter(move |it| it.change == how);
    changes.filter_map(move |it| match &it.what {
        diff::What::Edge { before, after, .. } => match how {
            diff::How::Gone => before.as_deref(),
            _ => after.as_deref(),
        },
        _ => None,
    })
}

/// Panics if a comparison that calls itself proven is not what changed between the two truths.
pub(super) fn compare(world: &World, before: (&View, &Truth), after: (&View, &Truth)) {
    if !world.pauses.is_empty() && ![before.0, after.0].iter().all(|it| is_of_all(world, it)) {
        return;
    }
    let pairs = || {
        let services = 0..world.services.len();
        services.flat_map(|n| (0..world.clients.len()).map(move |client| (client, n)))
    };
    let used = || pairs().filter(|(client, n)| before.1.used(*client, *n));
    let is_there = |client: usize, n: usize| {
        let now = after.1;
        now.used(client, n) || now.failed(client, n) || now.maybe(client, n)
    };
    let answer = diff::diff(before.0, after.0, &Allowed::default());
    if is_proven(&answer.proof) {
        for (client, n) in used() {
            let gone = || changed(&answer.found, diff::How::Gone);
            // What is left may be attempts that failed before anybody listened.
            let failing = changed(&answer.found, diff::How::Failing);
            let is_told = gone().chain(failing).any(|it| leads_to(world, it, n));
            assert!(is_there(client, n) || is_told, "{client} → {n} is gone");
            // What failed before anybody listened was nobody's; and who serves a socket that another one
            // has may be either.
            let is_told = gone().any(|it| {
                let is_client = *it.client.name == *client_name(client);
                it.server.kind == NodeKind::Workload && is_client && leads_to(world, it, n)
            });
            let is_served = !world.services[n].is_activated && after.1.used(client, n);
            assert!(!is_served || !is_told, "{client} → {n} is there");
        }
    }
    let answer = verify::verify(before.0, after.0);
    if is_proven(&answer.proof) {
        let missing = || answer.found.missing.iter().chain(&answer.found.failing);
        // What failed in the end is not asked for.
        for (client, n) in used().filter(|(client, n)| !before.1.failed(*client, *n)) {
            let is_told = missing().any(|it| leads_to(world, it, n));
            assert!(is_there(client, n) || is_told, "{client} → {n} is missing");
        }
    }
}

/// What all edges of a view count together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sums {
    at_start: u64,
    established: u64,
    terminated: u64,
    failures: u64,
    bytes: [u64; 2],
}

impl Sums {
    pub(super) fn of(view: &View) -> Self {
        let sum = |of: fn(&Edge) -> u64| view.edges.iter().map(of).sum();
        Self {
            at_start: sum(|it| it.live_at_start),
            established: sum(|it| it.established),
            terminated: sum(|it| it.terminated),
            failures: sum(Edge::failures),
            bytes: [sum(|it| it.sent_bytes), sum(|it| it.received_bytes)],
        }
    }

    /// What they count that end where `later` begins, and what that does.
    ///
    /// # Panics
    /// If what is open at the end of the one is not there when the other begins.
    pub(super) fn and(&self, later: &Self) -> Self {
        let live = self.at_start + self.established - self.terminated;
        assert_eq!(live, later.at_start, "what is open in between");
        let bytes = [0, 1].map(|at| self.bytes[at] + later.bytes[at]);
        Self {
            at_start: self.at_start,
            established: self.established + later.established,
            terminated: self.terminated + later.terminated,
            failures: self.failures + later.failures,
            bytes,
        }
    }
}
