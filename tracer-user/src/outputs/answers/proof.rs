//! What an answer rests on, in words.

use std::sync::Arc;

use super::super::{
    map::{coverage, words::clock},
    sanitise,
    strict::Strict,
    units::{Count, Nanos},
};
use crate::ask::{Doubt, Proof, Unseen, Verdict};

/// Doubts of one kind about one host that are told one by one.
const FEW: usize = 3;

/// Who was watched, and what it means that something is not listed: the first of `absent` where that
/// is proven, else why not and the second.
pub(super) fn lines(proof: &Proof, absent: [&'static str; 2]) -> Vec<String> {
    told(proof, absent, &listed(&proof.but_for), None)
}

/// The same for a document that a program obeys: names are [`Strict`], other texts from outside are counted.
/// If something is `missing` in the document, it proves nothing.
pub(super) fn strict_lines(
    proof: &Proof,
    absent: [&'static str; 2],
    missing: Option<String>,
) -> Vec<String> {
    let mut proof = proof.clone();
    let strict = |name: &mut String| *name = Strict::of(name).to_string();
    for host in proof.hosts.iter_mut().chain(&mut proof.baseline) {
        strict(&mut Arc::make_mut(&mut host.host).name);
        host.twins.iter_mut().for_each(strict);
    }
    proof.doubts.iter_mut().filter_map(name).for_each(strict);
    told(&proof, absent, &short(&proof.but_for), missing)
}

/// The name in a doubt.
fn name(doubt: &mut Doubt) -> Option<&mut String> {
    match doubt {
        Doubt::Unwatched { host } => host.as_mut(),
        Doubt::Cut { of, .. } => Some(of),
        Doubt::Lost { host, .. }
        | Doubt::Gap { host, .. }
        | Doubt::NoStart { host, .. }
        | Doubt::NoStop { host, .. }
        | Doubt::Absent { host, .. }
        | Doubt::Untracked { host, .. }
        | Doubt::Unattributed { host, .. }
        | Doubt::Recounted { host, .. }
        | Doubt::StepsBack { host, .. }
        | Doubt::Strays { host, .. }
        | Doubt::TakenForOne { host }
        | Doubt::HostMissing { host } => Some(host),
        Doubt::Apart
        | Doubt::Skipped { .. }
        | Doubt::Interrupted
        | Doubt::Unread { .. }
        | Doubt::Filtered
        | Doubt::Undirected { .. }
        | Doubt::NotRunning { .. }
        | Doubt::Unanswered { .. }
        | Doubt::Unmatched { .. }
        | Doubt::Ownerless { .. }
        | Doubt::Shorter { .. } => None,
    }
}

fn told(
    proof: &Proof,
    absent: [&'static str; 2],
    but_for: &str,
    missing: Option<String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    if !proof.baseline.is_empty() {
        lines.push(format!("baseline: {}", coverage::short(&proof.baseline)));
    }
    lines.push(coverage::line(&proof.hosts));
    let [proven, unproven] = absent;
    lines.push(match (proof.verdict, missing) {
        (Verdict::Proven, None) => format!("Proven for that time: {proven}."),
        (Verdict::ProvenButFor, None) => {
            format!("Proven but for {but_for}: {proven}, in that time.")
        }
        (_, missing) => {
            let mut doubts: Vec<String> =
                missing.into_iter().chain(doubts(&proof.doubts)).collect();
            if !proof.but_for.is_empty() {
                doubts.push(format!(
                    "nor would {} have been seen",
                    short(&proof.but_for)
                ));
            }
            format!("NOT PROVEN: {}. {unproven}.", doubts.join("; "))
        }
    });
    lines
}

/// What could not be seen: all of it.
fn listed(unseen: &[Unseen]) -> String {
    joined(&unseen.iter().map(name_of).collect::<Vec<String>>())
}

/// `one, two and three`.
fn joined(names: &[String]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        names => names.join(", "),
    }
}

/// Where that is not what is to be looked at: what is never seen, and how much else.
fn short(unseen: &[Unseen]) -> String {
    let (blind, unwatched): (Vec<&Unseen>, Vec<&Unseen>) =
        unseen.iter().partition(|it| !it.hosts.is_empty());
    let mut names: Vec<String> = unwatched.into_iter().map(name_of).collect();
    match blind.len() {
        0 => {}
        1 => names.push("1 thing that it is blind to".to_owned()),
        number => names.push(format!("{number} things that it is blind to")),
    }
    joined(&names)
}

/// In marks if it is a sentence of its own.
fn name_of(unseen: &Unseen) -> String {
    let what = sanitise(&unseen.what, usize::MAX);
    match unseen.hosts.is_empty() {
        true => what.to_string(),
        false => format!("\"{what}\""),
    }
}

/// All of them in words; of many that are alike, the number.
fn doubts(doubts: &[Doubt]) -> Vec<String> {
    let mut out = Vec::new();
    for alike in doubts.chunk_by(|one, other| kind(one) == kind(other)) {
        match (alike.len() > FEW, kind(&alike[0])) {
            (true, (_, Some(host))) => {
                let host = sanitise(host, 40);
                out.push(many(alike, &host.to_string()));
            }
            _ => out.extend(alike.iter().map(words)),
        }
    }
    out
}

/// What is alike of doubts: their kind, and the host.
fn kind(doubt: &Doubt) -> (std::mem::Discriminant<Doubt>, Option<&str>) {
    let host = match doubt {
        Doubt::Gap { host, .. } | Doubt::NoStart { host, .. } | Doubt::NoStop { host, .. } => {
            Some(host.as_str())
        }
        _ => None,
    };
    (std::mem::discriminant(doubt), host)
}

fn many(alike: &[Doubt], host: &str) -> String {
    let number = Count(alike.len() as u64);
    let ns = alike.iter().map(|it| match it {
        Doubt::Gap { gap, .. } => gap.to.as_ns().saturating_sub(gap.from.as_ns()),
        _ => 0,
    });
    match &alike[0] {
        Doubt::NoStart { .. } => format!("{number} runs of {host} have no start"),
        Doubt::NoStop { .. } => format!("{number} runs of {host} have no stop"),
        _ => format!(
            "nobody watched {host} in {number} gaps, {} in all",
            Nanos(ns.fold(0, u64::saturating_add))
        ),
    }
}

/// Why there is doubt.
fn words(doubt: &Doubt) -> String {
    let name = |host: &str| sanitise(host, 40).to_string();
    match doubt {
        Doubt::Unwatched { host: None } => "nobody watched".to_owned(),
        Doubt::Unwatched { host: Some(host) } => format!("nobody watched {} then", name(host)),
        Doubt::Apart => "there is no time in which all hosts were watched".to_owned(),
        Doubt::NoStart { host, run } => format!(
            "the recording of {} has no start before {}, so nobody knows since when it was watched, \
             nor what could not be seen",
            name(host),
            clock(run.from)
        ),
        Doubt::NoStop { host, run } => format!(
            "the recording of {} has no stop after {}, so nobody knows what was lost, nor what came later",
            name(host),
            clock(run.to)
        ),
        Doubt::Absent { host, events: 1 } => format!(
            "1 event of {} is not in the recording, which was filtered or cut",
            name(host)
        ),
        Doubt::Absent { host, events } => format!(
            "{} events of {} are not in the recording, which was filtered or cut",
            Count(*events),
            name(host)
        ),
        Doubt::Lost { host, events: 1 } => format!("1 event of {} was lost", name(host)),
        Doubt::Lost { host, events } => {
            format!("{} events of {} were lost", Count(*events), name(host))
        }
        Doubt::Gap { host, gap } => {
            let ns = gap.to.as_ns().saturating_sub(gap.from.as_ns());
            format!("nobody watched {} for {}", name(host), Nanos(ns))
        }
        Doubt::Recounted { host, connections } => format!(
            "{} connections of {} may be counted twice",
            Count(*connections),
            name(host)
        ),
        Doubt::StepsBack { host, steps } => format!(
            "the times of {} go back {} times, by up to {}: its clock was set, or the recording is not \
             in order",
            name(host),
            Count(steps.times),
            Nanos(steps.most_ns)
        ),
        Doubt::Untracked { host, connections } => format!(
            "there was no room to follow {} connections of {}",
            Count(*connections),
            name(host)
        ),
        Doubt::Unattributed { host, processes: 1 } => format!(
            "1 process of {} could not be read in time, and may be of another workload than it is told of",
            name(host)
        ),
        Doubt::Unattributed { host, processes } => format!(
            "{} processes of {} could not be read in time, and may be of other workloads than they are told of",
            Count(*processes),
            name(host)
        ),
        Doubt::Cut { of, what, left_out } => {
            let number = Count(*left_out);
            match *what {
                // The edge is there, and so is what was counted.
                "edges" => format!(
                    "there was no room to tell apart the edges of {number} events of {}",
                    name(of)
                ),
                what => format!(
                    "there was no room for {number} of the {what} of {}",
                    name(of)
                ),
            }
        }
        Doubt::Skipped { lines: 1 } => "1 line could not be read".to_owned(),
        Doubt::Skipped { lines } => format!("{} lines could not be read", Count(*lines)),
        Doubt::Interrupted => "not all that was recorded was read".to_owned(),
        Doubt::Unread { processes: 1 } => {
            "1 process of this host could not be looked at in time".to_owned()
        }
        Doubt::Unread { processes } => format!(
            "{} processes of this host could not be looked at in time",
            Count(*processes)
        ),
        Doubt::Filtered => "only what the filters let through was looked at".to_owned(),
        Doubt::Undirected { edges: 1 } => {
            "of 1 edge it is not known who opened its connections".to_owned()
        }
        Doubt::Undirected { edges } => format!(
            "of {} edges it is not known who opened their connections",
            Count(*edges)
        ),
        Doubt::NotRunning { programs: 1 } => {
            "1 program of the map does not run now, so it is not known what it uses".to_owned()
        }
        Doubt::NotRunning { programs } => format!(
            "{} programs of the map do not run now, so it is not known what they use",
            Count(*programs)
        ),
        Doubt::Strays { host, connections } => format!(
            "{} of {} came in where nobody was seen to listen",
            plural(*connections),
            name(host)
        ),
        Doubt::Unanswered { connections } => format!(
            "{} that brought nothing back led to addresses of which it is not known whose they are",
            plural(*connections)
        ),
        Doubt::Unmatched { connections } => format!(
            "{} that nobody saw begin lead to addresses, or come from some, of which it is not known whose they are",
            plural(*connections)
        ),
        Doubt::Shorter {
            baseline_ns,
            watched_ns,
        } => format!(
            "watched for {} where the baseline has {}, so what happens rarely may not have come yet",
            Nanos(*watched_ns),
            Nanos(*baseline_ns)
        ),
        Doubt::TakenForOne { host } => format!(
            "two runs were told of at once as {}: two hosts were taken for one, or one counts twice",
            name(host)
        ),
        Doubt::Ownerless { workloads: 1 } => {
            "1 new workload of a user may be one of the baseline, which knows no users".to_owned()
        }
        Doubt::Ownerless { workloads } => format!(
            "{} new workloads of users may be some of the baseline, which knows no users",
            Count(*workloads)
        ),
        Doubt::HostMissing { host } => {
            format!(
                "{} is in the baseline and was not watched again",
                name(host)
            )
        }
    }
}

fn plural(connections: u64) -> String {
    match connections {
        1 => "1 connection".to_owned(),
        number => format!("{} connections", Count(number)),
    }
}
