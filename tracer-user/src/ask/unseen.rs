//! What an answer could not have had in it, however carefully was watched: what the tracer was blind
//! to, and what it does not watch at all. Which of it matters depends on the question.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::QuestionKind::{
    self, Balance, Diff, Failures, Groups, Idle, Impact, RecoveryOrder, Verify,
};
use crate::model::{Blind, HostCoverage};

/// Something that could have been part of the answer, and that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why it could not be seen.
    pub why: String,
    /// The names of the hosts where that is so; none of what is not watched anywhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// What is not watched anywhere, and why. By either, a workload is reached, and depends on others,
/// beside all TCP.
pub(super) const UNWATCHED: [(&str, &str); 2] = [
    ("UDP", "only TCP is watched"),
    ("Unix sockets", "only TCP is watched"),
];

/// Whatever an edge is: who dials whom, also in vain.
const EDGES: &[QuestionKind] = &[
    Impact,
    Groups,
    RecoveryOrder,
    Idle,
    Failures,
    Balance,
    Diff,
    Verify,
];
/// What would give an edge another end.
const ENDS: &[QuestionKind] = &[Impact, Groups, RecoveryOrder, Balance, Diff, Verify];
/// What fails at the server's end: an attempt depends on whom it dials. It used nothing.
const TURNED_AWAY: &[QuestionKind] = &[
    Impact,
    Groups,
    RecoveryOrder,
    Failures,
    Balance,
    Diff,
    Verify,
];
/// Who uses what: what is open, or goes by another address.
const USES: &[QuestionKind] = &[Impact, Groups, RecoveryOrder, Idle, Balance, Diff, Verify];
/// What one remote is, by its names.
const NAMED: &[QuestionKind] = &[Impact, Groups, Diff, Verify];

/// The questions whose answer each `blind.what` may hide a part of. What is not in it may hide a part
/// of any answer: other versions of tracer are blind to other things.
pub(super) const BLIND: &[(&str, &[QuestionKind])] = &[
    (
        "the port of a socket that listens without having been bound, and that listen() failed",
        &[Idle, Balance, Diff],
    ),
    (
        "MPTCP connections as a whole; only their first subflows show",
        &[Balance],
    ),
    (
        "some of what happens while another task interrupts tracer's own programs",
        EDGES,
    ),
    (
        "now and then a failure of connect() without a SYN, where other threads are in the midst of connect()",
        EDGES,
    ),
    (
        "attempts that fail before a SYN is made, as for want of a route or by a policy of this host",
        EDGES,
    ),
    (
        "which process accepted a connection, until it reads from it or closes it",
        ENDS,
    ),
    (
        "which process accepted a connection, until it closes it",
        ENDS,
    ),
    (
        "who accepted a connection, until it closes, if that accept() was waiting before the start",
        USES,
    ),
    (
        "who accepted a connection, until it closes, where many processes wait in accept() at once",
        USES,
    ),
    (
        "why an attempt failed, where the kernel skips the run of a program",
        &[Failures],
    ),
    (
        "why an attempt failed, where its process asked for the error and gave up",
        &[Failures],
    ),
    (
        "connections turned away by a full accept queue of this host",
        TURNED_AWAY,
    ),
    (
        "connections refused by this host as nothing listens on their port",
        TURNED_AWAY,
    ),
    (
        "listeners and connections from before the start, until they end",
        USES,
    ),
    (
        "what open connections have carried, until they end",
        &[Balance],
    ),
    (
        "programs that processes run, and so executable and arguments of those gone within milliseconds",
        ENDS,
    ),
    (
        "control groups as they are made, and so the container of who is gone within milliseconds",
        ENDS,
    ),
    (
        "which network namespaces a user made, and so which names and addresses that user chose",
        ENDS,
    ),
    (
        "who made a control group, and so which names of units and containers a user chose",
        ENDS,
    ),
    ("names that processes ask name servers for", NAMED),
    (
        "what a process dialled where a program of a control group replaces the address",
        USES,
    ),
    ("translated addresses of other network namespaces", USES),
    ("translated addresses of some network namespaces", USES),
    ("translated addresses of new connections", USES),
    ("translated addresses", USES),
];

/// Whether the answer to `question` may lack what this is.
fn may_hide(what: &str, question: QuestionKind) -> bool {
    let known = BLIND.iter().find(|(known, _)| *known == what);
    known.is_none_or(|(_, questions)| questions.contains(&question))
}

/// What the answer to `question` about `hosts` may lack.
pub(super) fn of(hosts: &[HostCoverage], question: QuestionKind) -> Vec<Unseen> {
    let mut unseen: Vec<Unseen> = UNWATCHED.map(unwatched).into();
    let all = hosts.iter();
    unseen.extend(blind(
        all.flat_map(|host| host.blind.iter().map(|it| (&*host.host.name, it))),
        question,
    ));
    unseen
}

/// What a comparison may lack, or have of what did not happen: what is seen of one of the two times only. What is
/// never seen is the same in both.
pub(super) fn of_two(
    before: &[HostCoverage],
    after: &[HostCoverage],
    question: QuestionKind,
) -> Vec<Unseen> {
    let mut differing = differing(before, after);
    differing.extend(self::differing(after, before));
    blind(differing.into_iter(), question)
}

/// Whether `what` is something that a tracer of this version says it is blind to.
pub(crate) fn is_known(what: &str) -> bool {
    BLIND.iter().any(|(known, _)| *known == what)
}

/// What is blind in `one` and is not so in `other`: of the same host, or, of one that is only in `one`, of any
/// that is only in `other`.
fn differing<'a>(one: &'a [HostCoverage], other: &'a [HostCoverage]) -> Vec<(&'a str, &'a Blind)> {
    let is_same =
        |a: &HostCoverage, b: &HostCoverage| a.host.id == b.host.id || a.host.name == b.host.name;
    let lonely = other
        .iter()
        .filter(|it| !one.iter().any(|a| is_same(a, it)));
    let lonely: Vec<&HostCoverage> = lonely.collect();
    let mut differing = Vec::new();
    for host in one {
        let mut same: Vec<&HostCoverage> = other.iter().filter(|it| is_same(host, it)).collect();
        if same.is_empty() {
            same.clone_from(&lonely);
        }
        let everywhere = |what: &str| {
            same.iter()
                .all(|it| it.blind.iter().any(|it| it.what == what))
        };
        let here = host.blind.iter().filter(|it| !everywhere(&it.what));
        differing.extend(here.map(|it| (host.host.name.as_str(), it)));
    }
    differing
}

fn unwatched((what, why): (&str, &str)) -> Unseen {
    Unseen {
        what: what.to_owned(),
        why: why.to_owned(),
        hosts: Vec::new(),
    }
}

/// Each told once, in order, with the hosts that are blind to it.
fn blind<'a>(
    all: impl Iterator<Item = (&'a str, &'a Blind)>,
    question: QuestionKind,
) -> Vec<Unseen> {
    let mut by: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for (host, it) in all.filter(|(_, it)| may_hide(&it.what, question)) {
        let (why, hosts) = by.entry(&it.what).or_default();
        why.insert(&it.why);
        hosts.insert(host);
    }
    let unseen = by.into_iter().map(|(what, (why, hosts))| Unseen {
        what: what.to_owned(),
        // Hosts may have different reasons: one of them, always the same.
        why: why.first().copied().unwrap_or_default().to_owned(),
        hosts: hosts.into_iter().map(str::to_owned).collect(),
    });
    unseen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The string literals of `source`, with what stands before each.
    fn literals(source: &str) -> Vec<(String, String)> {
        let mut parts = source.split('"');
        let mut found = Vec::new();
        let mut before = parts.next();
        while let (Some(code), Some(literal)) = (before, parts.next()) {
            found.push((code.trim_end().to_owned(), literal.to_owned()));
            before = parts.next();
        }
        found
    }

    fn between<'a>(source: &'a str, from: &str, to: &str) -> &'a str {
        let (_, rest) = source.split_once(from).expect("the beginning");
        rest.split_once(to).expect("the end").0
    }

    /// All that this version can be blind to, from where it is told.
    fn told() -> BTreeSet<String> {
        let plan = include_str!("../capture/plan.rs");
        let of_plan = literals(between(plan, "\nfn blind(", "\n/// What stays invisible"))
            .into_iter()
            .filter(|(before, _)| before.ends_with("add(") || before.ends_with("=>"));
        let of_parts = literals(between(plan, "\nfn lost_with(", "#[cfg(test)]"));
        let conntrack = include_str!("../enrich/translations/conntrack/mod.rs");
        let of_conntrack = literals(between(conntrack, "fn blind(", "#[cfg(test)]"))
            .into_iter()
            .filter(|(before, _)| before.ends_with(": &str ="));
        let owners = include_str!("../enrich/owners.rs");
        let of_owners = literals(between(owners, "fn blind(", "#[cfg(test)]"))
            .into_iter()
            .filter(|(before, _)| before.ends_with(": &str ="));
        let all = of_plan.chain(of_parts).chain(of_conntrack).chain(of_owners);
        all.map(|(_, literal)| literal).collect()
    }

    #[test]
    fn all_that_this_version_can_be_blind_to_is_in_the_table() {
        let table: BTreeSet<String> = BLIND.iter().map(|(what, _)| (*what).to_owned()).collect();
        assert_eq!(told(), table);
        assert!(table.len() > 20 && table.len() == BLIND.len());
        assert!(BLIND.iter().all(|(_, questions)| !questions.is_empty()));
    }

    #[test]
    fn what_is_not_known_may_hide_any_answer() {
        for question in EDGES {
            assert!(may_hide("what a later version is blind to", *question));
        }
        // A use that a full queue turned away was none.
        let full = "connections turned away by a full accept queue of this host";
        assert!(!may_hide(full, Idle) && may_hide(full, Failures));
    }
}
