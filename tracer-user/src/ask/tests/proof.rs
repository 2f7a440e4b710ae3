//! What an answer rests on.

use super::{
    unseen::{BLIND, Question},
    *,
};
use crate::{
    ask::{
        balance::balance,
        diff::diff,
        failures::failures,
        groups::{Shared, groups},
        idle::idle,
        impact::{Way, impact},
        recovery_order::recovery_order,
        verify::verify,
    },
    model::{Blind, Gap, Kind, Lost},
};

fn small() -> Draft {
    let mut it = Draft::new();
    it.unit("app");
    it.unit("db").listens(5432);
    it.edge("app", "db", 5432, 5);
    it
}

fn doubts(it: Draft) -> Vec<Doubt> {
    let answer = impact(&it.view(), &[0], Way::Dependents, None);
    let is_proven = answer.proof.verdict != Verdict::NotProven;
    assert_eq!(is_proven, answer.proof.doubts.is_empty());
    answer.proof.doubts
}

#[test]
fn what_was_watched_without_a_loss_is_proven() {
    assert_eq!(doubts(small()), []);
    let mut it = small();
    // What a program of ours skipped is made up for, and what cannot be seen is told apart.
    it.view.coverage[0].missed = 7;
    assert_eq!(doubts(it), []);
}

#[test]
fn losses_gaps_and_what_was_not_followed_are_doubts_of_each_host() {
    let mut it = small();
    it.view.coverage[0].untracked = 4;
    let two = it.watched("two");
    *two.lost.get_mut(Kind::Connect).expect("from the kernel") = Lost {
        ring_full: 12,
        ..Lost::default()
    };
    let gap = Gap {
        from: at(10),
        to: at(20),
    };
    two.gaps = vec![gap];
    assert_eq!(
        doubts(it),
        [
            Doubt::Lost {
                host: "two".to_owned(),
                events: 12
            },
            Doubt::Gap {
                host: "two".to_owned(),
                gap
            },
            Doubt::Untracked {
                host: "one".to_owned(),
                connections: 4
            },
        ]
    );
}

#[test]
fn where_nobody_watched_nothing_is_proven() {
    let mut it = small();
    it.view.coverage.clear();
    assert_eq!(doubts(it), [Doubt::Unwatched { host: None }]);
}

#[test]
fn edges_whose_opener_is_not_known_are_a_doubt_where_it_matters() {
    let mut it = small();
    it.edge("db", "app", None, 2);
    let undirected = [Doubt::Undirected { edges: 1 }];
    assert_eq!(doubts(it.clone()), undirected);
    let view = it.clone().view();
    assert_eq!(recovery_order(&view, 1).proof.doubts, undirected);
    let policy: Policy = "deny db -> *".parse().expect("a policy");
    assert_eq!(balance(&view, Some(&policy)).proof.doubts, undirected);
    assert_eq!(balance(&view, None).proof.doubts, []);
    // Nothing is called idle that it could be about.
    assert_eq!(idle(&view, None).proof.doubts, []);
    let app = it.index("app");
    it.view.nodes[app].listens(8080);
    assert_eq!(idle(&it.view(), None).proof.doubts, undirected);
}

#[test]
fn a_comparison_with_less_time_or_fewer_hosts_is_not_proven() {
    let doubts = |before: &Draft, after: &Draft| {
        let (before, after) = (before.clone().view(), after.clone().view());
        diff(&before, &after, &Allowed::default()).proof.doubts
    };
    let baseline = small();
    let mut now = small();
    now.view.coverage[0].to = at(3_240);
    assert_eq!(doubts(&baseline, &now), [], "a tenth less is as long");
    now.view.coverage[0].to = at(3_239);
    assert_eq!(
        doubts(&baseline, &now),
        [Doubt::Shorter {
            baseline_ns: 3_600 * SECOND,
            watched_ns: 3_239 * SECOND
        }]
    );
    assert_eq!(doubts(&now, &baseline), []);
    let complete = verify(&baseline.clone().view(), &now.view());
    assert!(
        complete.found.complete && complete.proof.proven,
        "it was seen"
    );
    let mut two = small();
    two.watched("two");
    assert_eq!(
        doubts(&two, &baseline),
        [Doubt::HostMissing {
            host: "two".to_owned()
        }]
    );
    assert_eq!(doubts(&baseline, &two), []);
    // Of two hosts one is another one now: nobody knows whether that is the same, moved.
    let mut other = small();
    other.watched("three");
    let missing = Doubt::HostMissing {
        host: "two".to_owned(),
    };
    assert_eq!(doubts(&two, &other), [missing]);
}

#[test]
fn a_doubt_of_both_sides_is_told_once() {
    let mut it = small();
    it.view.coverage[0].untracked = 1;
    let view = it.view();
    let proof = diff(&view, &view, &Allowed::default()).proof;
    assert_eq!(proof.doubts.len(), 1);
    assert_eq!((proof.hosts.len(), proof.baseline.len()), (1, 1));
}

/// What the answers to each question may lack, of a host that is blind to `what`.
fn unseen_with(what: &'static str) -> Vec<(Question, Vec<String>)> {
    let plain = small().view();
    let mut blind = plain.clone();
    blind.coverage[0].blind = vec![Blind {
        what: what.into(),
        why: "so".into(),
    }];
    let one =
        |proof: Proof| -> Vec<String> { proof.but_for.into_iter().map(|it| it.what).collect() };
    let second = std::time::Duration::from_secs(1);
    vec![
        (
            Question::Impact,
            one(impact(&blind, &[0], Way::Dependents, None).proof),
        ),
        (
            Question::Groups,
            one(groups(&blind, &Shared::default(), None).proof),
        ),
        (
            Question::RecoveryOrder,
            one(recovery_order(&blind, 1).proof),
        ),
        (Question::Idle, one(idle(&blind, None).proof)),
        (Question::Failures, one(failures(&blind, second).proof)),
        (Question::Balance, one(balance(&blind, None).proof)),
        (
            Question::Diff,
            one(diff(&plain, &blind, &Allowed::default()).proof),
        ),
        (Question::Verify, one(verify(&blind, &plain).proof)),
    ]
}

#[test]
fn each_thing_that_is_not_seen_is_named_where_it_could_be_the_answer_and_only_there() {
    for (what, questions) in BLIND {
        for (question, named) in unseen_with(what) {
            let is_named = named.iter().any(|it| it == what);
            assert_eq!(
                is_named,
                questions.contains(&question),
                "{question:?} {what}"
            );
            let others = named.iter().filter(|it| *it != what).count();
            let compares = matches!(question, Question::Diff | Question::Verify);
            assert_eq!(others, if compares { 0 } else { 2 }, "UDP and Unix sockets");
        }
    }
    let unknown = unseen_with("what a later version is blind to");
    let named = |(_, named): &(Question, Vec<String>)| named.iter().any(|it| it.contains("later"));
    assert!(unknown.iter().all(named));
}

#[test]
fn hosts_are_compared_with_themselves() {
    let blind = |what: &'static str| Blind {
        what: what.into(),
        why: "so".into(),
    };
    let draft = |first: &[&'static str], second: &[&'static str], names: [&str; 2]| {
        let mut it = small();
        it.view.coverage.clear();
        for (name, what) in names.into_iter().zip([first, second]) {
            it.watched(name).blind = what.iter().map(|it| blind(it)).collect();
        }
        it.view()
    };
    let unseen = |before: &View, after: &View| -> Vec<(String, Vec<String>)> {
        let proof = diff(before, after, &Allowed::default()).proof;
        proof
            .but_for
            .into_iter()
            .map(|it| (it.what, it.hosts))
            .collect()
    };
    let same = ["one", "two"];
    let before = draft(&["x"], &[], same);
    assert_eq!(unseen(&before, &before), []);
    // The one sees more than it did, and the other less.
    let after = draft(&[], &["x"], same);
    let both = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(unseen(&before, &after), [("x".to_owned(), both)]);
    // All moved to hosts that see as little.
    let moved = draft(&["x"], &["x"], ["three", "four"]);
    let before = draft(&["x"], &["x"], same);
    assert_eq!(unseen(&before, &moved), []);
    let moved = draft(&["x"], &[], ["three", "four"]);
    let of = |hosts: &[&str]| hosts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        unseen(&before, &moved),
        [("x".to_owned(), of(&["one", "two"]))]
    );
}
