//! What an answer could not have had in it, however carefully was watched: what the tracer was blind
//! to, and what it does not watch at all. Which of it matters depends on the question.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::QuestionKind;
use crate::model::{Blind, BlindId, HostCoverage};

/// Something that could have been part of the answer, and that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unseen {
    /// Its id; none of what is not watched anywhere, or what this version does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<BlindId>,
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

/// What answers are made of, as far as a blind spot hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Facet {
    /// Whatever an edge is: who dials whom, also in vain.
    Edges,
    /// What would give an edge another end.
    Ends,
    /// What fails at the server's end: an attempt depends on whom it dials. It used nothing.
    TurnedAway,
    /// Who uses what: what is open, or goes by another address.
    Uses,
    /// What one remote is, by its names.
    Names,
    /// Who listens where.
    Listeners,
    /// What connections carry.
    Totals,
    /// Why attempts fail.
    Reasons,
}

/// What the answer to each question is made of.
fn facets(question: QuestionKind) -> &'static [Facet] {
    use Facet::{Edges, Ends, Listeners, Names, Reasons, Totals, TurnedAway, Uses};
    match question {
        QuestionKind::Impact | QuestionKind::Groups | QuestionKind::Verify => {
            &[Edges, Ends, TurnedAway, Uses, Names]
        }
        QuestionKind::RecoveryOrder => &[Edges, Ends, TurnedAway, Uses],
        QuestionKind::Idle => &[Edges, Uses, Listeners],
        QuestionKind::Failures => &[Edges, TurnedAway, Reasons],
        QuestionKind::Balance => &[Edges, Ends, TurnedAway, Uses, Listeners, Totals],
        QuestionKind::Diff => &[Edges, Ends, TurnedAway, Uses, Names, Listeners],
    }
}

/// What each blind spot hides a part of.
fn hidden(id: BlindId) -> Facet {
    match id {
        BlindId::UnboundListeners => Facet::Listeners,
        BlindId::Mptcp | BlindId::OpenTotals => Facet::Totals,
        BlindId::InterruptedPrograms | BlindId::ConcurrentFailures | BlindId::FailuresBeforeSyn => {
            Facet::Edges
        }
        BlindId::AcceptorUntilRead
        | BlindId::AcceptorUntilClose
        | BlindId::Programs
        | BlindId::NewCgroups
        | BlindId::NetnsOwners
        | BlindId::CgroupOwners => Facet::Ends,
        BlindId::AcceptorWaiting
        | BlindId::AcceptorAmongMany
        | BlindId::BeforeStart
        | BlindId::ReplacedAddresses
        | BlindId::TranslationsElsewhere
        | BlindId::TranslationsOfSome
        | BlindId::TranslationsOfNew
        | BlindId::Translations => Facet::Uses,
        BlindId::FailureReasonSkipped | BlindId::FailureReasonTaken => Facet::Reasons,
        BlindId::AcceptQueueFull | BlindId::NotListening => Facet::TurnedAway,
        BlindId::Dns => Facet::Names,
    }
}

/// Whether the answer to `question` may lack what this is. What has no id may hide a part of any answer: other
/// versions of tracer are blind to other things.
pub(super) fn may_hide(id: Option<BlindId>, question: QuestionKind) -> bool {
    id.is_none_or(|id| facets(question).contains(&hidden(id)))
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
                .all(|it| it.blind.iter().any(|it| it.words() == what))
        };
        let here = host.blind.iter().filter(|it| !everywhere(it.words()));
        differing.extend(here.map(|it| (host.host.name.as_str(), it)));
    }
    differing
}

fn unwatched((what, why): (&str, &str)) -> Unseen {
    Unseen {
        id: None,
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
    let mut by: BTreeMap<&str, Vec<(&str, &Blind)>> = BTreeMap::new();
    for (host, it) in all.filter(|(_, it)| may_hide(it.id, question)) {
        by.entry(it.words()).or_default().push((host, it));
    }
    let unseen = by.into_iter().map(|(what, there)| {
        let hosts: BTreeSet<&str> = there.iter().map(|(host, _)| *host).collect();
        // Hosts may have different reasons: one of them, always the same.
        let why = there.iter().map(|(_, it)| &*it.why).min();
        Unseen {
            id: there.iter().find_map(|(_, it)| it.id),
            what: what.to_owned(),
            why: why.unwrap_or_default().to_owned(),
            hosts: hosts.into_iter().map(str::to_owned).collect(),
        }
    });
    unseen.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_hidden_is_hidden_from_some_question() {
        let hides = |id| {
            QuestionKind::ALL
                .into_iter()
                .any(|it| may_hide(Some(id), it))
        };
        assert!(BlindId::ALL.iter().all(|id| hides(*id)));
    }

    #[test]
    fn what_is_not_known_may_hide_any_answer() {
        for question in QuestionKind::ALL {
            assert!(may_hide(None, question));
        }
        // A use that a full queue turned away was none.
        let full = Some(BlindId::AcceptQueueFull);
        assert!(!may_hide(full, QuestionKind::Idle) && may_hide(full, QuestionKind::Failures));
    }
}
