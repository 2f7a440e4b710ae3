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

/// Who was watched, from when until when, what was lost, and how much cannot be seen.
pub(in crate::outputs) fn line(hosts: &[HostCoverage]) -> String {
    let mut out = short(hosts);
    let blind = hosts.iter().flat_map(|it| &it.blind);
    let blind: BTreeSet<&str> = blind.map(|it| &*it.what).collect();
    match blind.len() {
        0 => {}
        1 => out.push_str("; blind to 1 thing, which -o json names"),
        number => {
            let _ = write!(out, "; blind to {number} things, which -o json names");
        }
    }
    out
}

/// Who was watched, from when until when, and what was lost.
pub(in crate::outputs) fn short(hosts: &[HostCoverage]) -> String {
    let watched = || hosts.iter().filter(|it| it.is_watched());
    let Some((from, to)) = HostCoverage::span(hosts) else {
        return "nothing was watched".to_owned();
    };
    let mut out = format!(
        "watched {} from {} to {} UTC ({})",
        names(watched()),
        clock(from),
        clock(to),
        span(from, to)
    );
    let common = HostCoverage::common(hosts);
    if let Some((first, last)) = common.filter(|it| is_shorter(*it, (from, to))) {
        let _ = write!(
            out,
            ", all of them from {} to {} ({})",
            clock(first),
            clock(last),
            span(first, last)
        );
    }
    let lost = hosts.iter().map(|it| it.lost.total());
    let lost = lost.fold(0, u64::saturating_add);
    let _ = write!(out, ", {}", lost_events(lost));
    let skipped = hosts.iter().map(|it| it.missed);
    out.push_str(&missed(skipped.fold(0, u64::saturating_add)));
    let gaps: Vec<_> = hosts.iter().flat_map(|it| &it.gaps).collect();
    if !gaps.is_empty() {
        let all = gaps
            .iter()
            .map(|gap| gap.to.as_ns().saturating_sub(gap.from.as_ns()))
            .fold(0, u64::saturating_add);
        let gaps = gaps.len() as u64;
        let word = if gaps == 1 { "gap" } else { "gaps" };
        let _ = write!(
            out,
            "; {} {word} in which nobody watched, {} in all",
            Count(gaps),
            Nanos(all)
        );
    }
    if watched().count() < hosts.len() {
        let others = hosts.iter().filter(|it| !it.is_watched());
        let _ = write!(out, "; nobody watched {} then", names(others));
    }
    let runs = || hosts.iter().flat_map(|it| &it.runs);
    for (number, what) in [
        (runs().filter(|it| !it.started).count(), "start"),
        (runs().filter(|it| !it.stopped).count(), "stop"),
    ] {
        match number {
            0 => {}
            1 => {
                let _ = write!(out, "; 1 run without its {what}");
            }
            number => {
                let _ = write!(out, "; {number} runs without their {what}");
            }
        }
    }
    let absent = runs().map(|it| it.absent);
    let absent = absent.fold(0, u64::saturating_add);
    match absent {
        0 => {}
        1 => out.push_str("; 1 event is not in the recording"),
        absent => {
            let _ = write!(out, "; {} events are not in the recording", Count(absent));
        }
    }
    let untracked = hosts.iter().map(|it| it.untracked);
    let untracked = untracked.fold(0, u64::saturating_add);
    if untracked > 0 {
        let _ = write!(out, "; no room to follow {} connections", Count(untracked));
    }
    let unattributed = hosts.iter().map(|it| it.unattributed);
    let unattributed = unattributed.fold(0, u64::saturating_add);
    if unattributed > 0 {
        let _ = write!(
            out,
            "; processes of unknown workload: {}",
            Count(unattributed)
        );
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

/// The names of hosts; of many there is only the number.
fn names<'a>(hosts: impl Iterator<Item = &'a HostCoverage>) -> String {
    let names = hosts.map(|it| sanitise(&it.host.name, HOST_COLUMNS).to_string());
    let names: Vec<String> = names.collect();
    match names.len() > NAMED_HOSTS {
        true => format!("{} hosts", Count(names.len() as u64)),
        false => names.join(", "),
    }
}

/// Whether it shows that one time is part of another: tables have seconds.
fn is_shorter(part: (Timestamp, Timestamp), whole: (Timestamp, Timestamp)) -> bool {
    const SECOND: u64 = 1_000_000_000;
    let ns = |later: Timestamp, earlier: Timestamp| later.as_ns().saturating_sub(earlier.as_ns());
    ns(part.0, whole.0) >= SECOND || ns(whole.1, part.1) >= SECOND
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
