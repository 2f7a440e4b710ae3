//! What an answer rests on, in words.

use std::fmt::Write as _;

use super::super::{
    map::coverage,
    sanitise,
    units::{Count, Nanos},
};
use crate::ask::{Doubt, Proof};

/// Who was watched, and what it means that something is not listed: the first of `absent` where
/// nothing was lost, else why not and the second.
pub(super) fn lines(proof: &Proof, absent: [&'static str; 2]) -> Vec<String> {
    let mut lines = Vec::new();
    if !proof.baseline.is_empty() {
        lines.push(format!("baseline: {}", coverage::short(&proof.baseline)));
    }
    let mut line = coverage::short(&proof.hosts);
    match coverage::blind(&proof.hosts).len() {
        0 => {}
        1 => line.push_str("; blind to 1 thing, which -o json names"),
        number => {
            let _ = write!(line, "; blind to {number} things, which -o json names");
        }
    }
    lines.push(line);
    let [proven, unproven] = absent;
    if proof.proven {
        lines.push(format!("Proven for that time: {proven}."));
        return lines;
    }
    let mut line = String::from("NOT PROVEN: ");
    for (at, doubt) in proof.doubts.iter().enumerate() {
        let semicolon = if at > 0 { "; " } else { "" };
        let _ = write!(line, "{semicolon}{}", words(doubt));
    }
    let _ = write!(line, ". {unproven}.");
    lines.push(line);
    lines
}

/// Why there is doubt.
fn words(doubt: &Doubt) -> String {
    let name = |host: &str| sanitise(host, 40).to_string();
    match doubt {
        Doubt::Unwatched => "nobody watched".to_owned(),
        Doubt::Lost { host, events: 1 } => format!("1 event of {} was lost", name(host)),
        Doubt::Lost { host, events } => {
            format!("{} events of {} were lost", Count(*events), name(host))
        }
        Doubt::Gap { host, gap } => {
            let ns = gap.to.as_ns().saturating_sub(gap.from.as_ns());
            format!("nobody watched {} for {}", name(host), Nanos(ns))
        }
        Doubt::Untracked { host, connections } => format!(
            "there was no room to follow {} connections of {}",
            Count(*connections),
            name(host)
        ),
        Doubt::Skipped { lines } => format!("{} lines could not be read", Count(*lines)),
        Doubt::Filtered => "only what the filters let through was looked at".to_owned(),
        Doubt::Undirected { edges: 1 } => {
            "of 1 edge it is not known who opened its connections".to_owned()
        }
        Doubt::Undirected { edges } => format!(
            "of {} edges it is not known who opened their connections",
            Count(*edges)
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
        Doubt::Shorter {
            baseline_ns,
            watched_ns,
        } => format!(
            "watched for {} where the baseline has {}, so what happens rarely may not have come yet",
            Nanos(*watched_ns),
            Nanos(*baseline_ns)
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
