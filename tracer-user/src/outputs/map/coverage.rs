//! What a map rests on, in one line. An answer without it is worth nothing: "nobody talks to
//! this" depends on who was watched, for how long, and what was lost meanwhile.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    super::{
        sanitise,
        text::{lost_events, missed},
        units::{Count, Nanos},
    },
    words::clock,
};
use crate::model::{HostCoverage, Node, Timestamp};

/// Columns that the name of a host may take.
const HOST_COLUMNS: usize = 40;

/// Hosts that are named; of more there is only the number.
const NAMED_HOSTS: usize = 3;

/// Who was watched, from when until when, what was lost, and what cannot be seen.
pub(super) fn line(hosts: &[HostCoverage]) -> String {
    let mut out = short(hosts);
    let blind = blind(hosts);
    if !blind.is_empty() {
        let blind: Vec<_> = blind.into_iter().collect();
        let _ = write!(out, "; blind to: {}", blind.join(", "));
    }
    out
}

/// What cannot be seen.
pub(in crate::outputs) fn blind(hosts: &[HostCoverage]) -> BTreeSet<&str> {
    let blind = hosts.iter().flat_map(|it| &it.blind);
    blind.map(|it| &*it.what).collect()
}

/// Who was watched, from when until when, and what was lost.
pub(in crate::outputs) fn short(hosts: &[HostCoverage]) -> String {
    let from = hosts.iter().map(|it| it.from).min();
    let to = hosts.iter().map(|it| it.to).max();
    let (Some(from), Some(to)) = (from, to) else {
        return "nothing was watched".to_owned();
    };
    let mut out = "watched ".to_owned();
    if hosts.len() > NAMED_HOSTS {
        let _ = write!(out, "{} hosts", Count(hosts.len() as u64));
    } else {
        let names = hosts
            .iter()
            .map(|it| sanitise(&it.host.name, HOST_COLUMNS).to_string());
        out.push_str(&names.collect::<Vec<_>>().join(", "));
    }
    let _ = write!(
        out,
        " from {} to {} UTC ({})",
        clock(from),
        clock(to),
        span(from, to)
    );
    let lost = hosts.iter().map(|it| it.lost.total()).sum();
    let _ = write!(out, ", {}", lost_events(lost));
    out.push_str(&missed(hosts.iter().map(|it| it.missed).sum()));
    let gaps: Vec<_> = hosts.iter().flat_map(|it| &it.gaps).collect();
    if !gaps.is_empty() {
        let all = gaps
            .iter()
            .map(|gap| gap.to.as_ns().saturating_sub(gap.from.as_ns()))
            .sum();
        let gaps = gaps.len() as u64;
        let word = if gaps == 1 { "gap" } else { "gaps" };
        let _ = write!(
            out,
            "; {} {word} in which nobody watched, {} in all",
            Count(gaps),
            Nanos(all)
        );
    }
    let untracked: u64 = hosts.iter().map(|it| it.untracked).sum();
    if untracked > 0 {
        let _ = write!(out, "; no room to follow {} connections", Count(untracked));
    }
    for (at, it) in hosts
        .iter()
        .enumerate()
        .filter(|(_, it)| !it.twins.is_empty())
    {
        // All that have one id are told once.
        let is_first = hosts.iter().position(|other| other.host.id == it.host.id) == Some(at);
        if is_first {
            let name = |name: &str| sanitise(name, HOST_COLUMNS).to_string();
            let twins: Vec<_> = it.twins.iter().map(|it| name(it)).collect();
            let (host, twins) = (name(&it.host.name), twins.join(", "));
            let _ = write!(out, "; {host} has one id with {twins}: told apart by name");
        }
    }
    for it in hosts.iter().filter(|it| it.taken_for_one) {
        let host = sanitise(&it.host.name, HOST_COLUMNS);
        let _ = write!(out, "; two runs at once as {host}");
    }
    out.push_str(&no_room(hosts.iter().flat_map(|it| it.cut.parts())));
    out
}

/// What of nodes there was no room for.
pub(in crate::outputs) fn cut(nodes: &[Node]) -> String {
    no_room(nodes.iter().flat_map(|it| it.cut.parts()))
}

/// The sum of each word, if there is any.
fn no_room(parts: impl Iterator<Item = (&'static str, u64)>) -> String {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for (what, left_out) in parts.filter(|(_, left_out)| *left_out > 0) {
        match sums.iter_mut().find(|(known, _)| *known == what) {
            Some((_, sum)) => *sum = sum.saturating_add(left_out),
            None => sums.push((what, left_out)),
        }
    }
    let sums: Vec<_> = sums
        .iter()
        .map(|(what, sum)| format!("{} {what}", Count(*sum)))
        .collect();
    match sums.is_empty() {
        true => String::new(),
        false => format!("; no room for {}", sums.join(", ")),
    }
}

fn span(from: Timestamp, to: Timestamp) -> Nanos {
    Nanos(to.as_ns().saturating_sub(from.as_ns()))
}
