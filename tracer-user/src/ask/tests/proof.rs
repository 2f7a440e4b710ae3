//! What an answer rests on.

use super::{unseen::may_hide, *};
use crate::{
    ask::{
        balance::balance,
        diff::{self, diff},
        failures::failures,
        groups::{Shared, groups},
        idle::idle,
        impact::{Target, Way, impact},
        recovery_order::recovery_order,
        verify::verify,
    },
    model::{Blind, BlindId, Counter, Cut, Gap, Host, HostCut, Lost},
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
    *two.lost.get_mut(Counter::Connect) = Lost {
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
fn a_baseline_that_knows_no_users_may_have_what_is_new() {
    let draft = |uid: Option<u32>, others: Option<u32>| {
        let mut it = small();
        for (name, uid) in [("job.service", uid), ("other.service", others)] {
            let node = it.unit(name).listens(9_000);
            let workload = node.workload.as_mut().map(Arc::make_mut);
            let workload = workload.expect("a workload");
            if let Some(uid) = uid {
                (node.name, node.id) = (
                    format!("{name}@{uid}").into(),
                    format!("one/systemd@{uid}/{name}").into(),
                );
                (workload.uid, workload.name) = (Some(uid), node.name.clone());
            }
        }
        it.view()
    };
    let ask = |before: &View, after: &View| {
        let doubts = diff(before, after, &Allowed::default()).proof.doubts;
        assert_eq!(verify(before, after).proof.doubts, doubts);
        doubts
    };
    let ownerless = [Doubt::Ownerless { workloads: 1 }];
    let (old, new) = (draft(None, None), draft(Some(1000), None));
    assert_eq!(ask(&old, &new), ownerless);
    // It is not taken for the same: root's may be gone, and the user's have its name.
    let changes = diff(&old, &new, &Allowed::default()).found.changes;
    assert!(changes.iter().any(|it| it.change == diff::How::Gone));
    // One that knows users says whose each is.
    assert_eq!(
        ask(&draft(None, Some(1001)), &draft(Some(1000), Some(1001))),
        []
    );
    // Nothing like it is gone.
    let both = |mut it: View| {
        let own = draft(Some(1000), None).nodes;
        it.nodes
            .extend(own.into_iter().filter(|it| it.id.contains("@1000")));
        it.nodes.sort_by(|one, other| one.id.cmp(&other.id));
        it
    };
    let mut same = Draft {
        view: both(old.clone()),
    };
    same.view.edges.clear();
    let mut baseline = old.clone();
    baseline.edges.clear();
    assert_eq!(ask(&baseline, &same.view()), []);
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

/// A doubt that something of `db` had no room.
fn left_out(what: &'static str) -> Doubt {
    Doubt::Cut {
        of: "one/systemd/db".to_owned(),
        what,
        left_out: 7,
    }
}

/// A map of `small`, of whose `db` there was no room for all.
fn cut(of: impl FnOnce(&mut Cut) -> &mut u64) -> View {
    let mut it = small();
    it.edge("db", "app", 80, 1);
    let db = it.index("db");
    *of(&mut it.view.nodes[db].cut) = 7;
    it.view()
}

#[test]
fn what_was_cut_is_a_doubt_of_the_questions_that_need_it() {
    let whole = cut(|it| &mut it.changes);
    let ask = |view: &View| -> Vec<(&str, Vec<Doubt>)> {
        let exe = Target::Exe(globset::Glob::new("*/x").expect("a glob").compile_matcher());
        let split: Split = "a = app\nb = db".parse().expect("a split");
        let mut by_exe = impact(view, &[0], Way::Dependents, None).proof;
        exe.doubt(view, &mut by_exe);
        vec![
            ("diff", diff(&whole, view, &Allowed::default()).proof.doubts),
            (
                "of before",
                diff(view, &whole, &Allowed::default()).proof.doubts,
            ),
            ("idle", idle(view, None).proof.doubts),
            (
                "groups",
                groups(view, &Shared::default(), None).proof.doubts,
            ),
            (
                "split",
                groups(view, &Shared::default(), Some(&split)).proof.doubts,
            ),
            ("order", recovery_order(view, 1).proof.doubts),
            (
                "impact",
                impact(view, &[0], Way::Dependents, None).proof.doubts,
            ),
            ("exe", by_exe.doubts),
        ]
    };
    let doubting = |view: &View, what: &'static str| -> Vec<&str> {
        let answers = ask(view)
            .into_iter()
            .filter(|(_, doubts)| !doubts.is_empty());
        let answers = answers.inspect(|(_, doubts)| assert_eq!(*doubts, [left_out(what)]));
        answers.map(|(question, _)| question).collect()
    };
    assert_eq!(doubting(&whole, "changes"), Vec::<&str>::new());
    let view = cut(|it| &mut it.listeners);
    assert_eq!(doubting(&view, "listeners"), ["diff", "of before", "idle"]);
    let view = cut(|it| &mut it.programs);
    assert_eq!(doubting(&view, "programs"), ["diff", "of before", "exe"]);
    let view = cut(|it| &mut it.addresses);
    assert_eq!(doubting(&view, "addresses"), ["split"]);
    let view = cut(|it| &mut it.processes);
    assert_eq!(doubting(&view, "processes"), ["order"]);
}

#[test]
fn what_a_host_told_and_had_no_room_is_a_doubt_of_all() {
    for (what, cut) in [
        (
            "nodes",
            HostCut {
                nodes: 7,
                ..HostCut::default()
            },
        ),
        (
            "edges",
            HostCut {
                edges: 7,
                ..HostCut::default()
            },
        ),
        (
            "servers",
            HostCut {
                servers: 7,
                ..HostCut::default()
            },
        ),
        (
            "names",
            HostCut {
                names: 7,
                ..HostCut::default()
            },
        ),
        (
            "networks",
            HostCut {
                networks: 7,
                ..HostCut::default()
            },
        ),
    ] {
        let mut it = small();
        it.view.coverage[0].cut = cut;
        let of = "one".to_owned();
        let left_out = 7;
        assert_eq!(doubts(it), [Doubt::Cut { of, what, left_out }]);
    }
    let mut it = small();
    it.view.coverage[0].taken_for_one = true;
    assert_eq!(
        doubts(it),
        [Doubt::TakenForOne {
            host: "one".to_owned()
        }]
    );
}

#[test]
fn very_many_cuts_are_told_by_the_largest() {
    let mut it = small();
    for n in 0..10_000 {
        it.unit(&format!("unit-{n:05}")).cut.listeners = 1 + n;
    }
    let doubts = idle(&it.view(), None).proof.doubts;
    assert!(doubts.len() < 100);
    let is_largest = |it: &Doubt| matches!(it, Doubt::Cut { left_out, .. } if *left_out == 10_000);
    assert!(doubts.iter().any(is_largest));
}

#[test]
fn nothing_moved_where_not_all_that_ran_is_known() {
    let with = |exe: &str, programs: u64| {
        let mut it = small();
        let app = it.index("app");
        it.view.nodes[app].runs(1, exe, None).cut.programs = programs;
        it.view()
    };
    let moved = |before: &View, after: &View| {
        let changes = diff(before, after, &Allowed::default()).found.changes;
        changes.iter().any(|it| it.change == diff::How::Moved)
    };
    assert!(moved(&with("/bin/helper", 0), &with("/bin/main", 0)));
    assert!(!moved(&with("/bin/helper", 1), &with("/bin/main", 0)));
    assert!(!moved(&with("/bin/main", 0), &with("/bin/helper", 1)));
}

#[test]
fn a_clone_that_is_not_watched_again_is_missing() {
    let watched = |hosts: &[(&str, &str)]| {
        let mut it = small();
        let coverage = it.view.coverage.remove(0);
        it.view.coverage = hosts
            .iter()
            .map(|(id, name)| HostCoverage {
                host: Arc::new(Host {
                    id: (*id).to_owned(),
                    name: (*name).to_owned(),
                }),
                ..coverage.clone()
            })
            .collect();
        it.view()
    };
    let missing = |before: &[(&str, &str)], after: &[(&str, &str)]| -> Vec<String> {
        let doubts = diff(&watched(before), &watched(after), &Allowed::default())
            .proof
            .doubts;
        let missing = doubts.into_iter().filter_map(|it| match it {
            Doubt::HostMissing { host } => Some(host),
            _ => None,
        });
        missing.collect()
    };
    let (one, two) = (("c", "web-1"), ("c", "web-2"));
    assert_eq!(missing(&[one, two], &[one]), ["web-2"]);
    assert_eq!(missing(&[one, two], &[two]), ["web-1"]);
    assert_eq!(missing(&[one, two], &[one, two]), Vec::<String>::new());
    // Of one name, and of another id each.
    let (old, new) = (("a", "db"), ("b", "db"));
    assert_eq!(missing(&[old, one], &[new]), ["web-1"]);
}
/// What the answers to each question may lack, of a host that is blind to `what`.
fn unseen_with(what: &'static str) -> Vec<(QuestionKind, Vec<String>)> {
    let plain = small().view();
    let mut blind = plain.clone();
    blind.coverage[0].blind = vec![Blind {
        id: BlindId::of_words(what),
        what: what.into(),
        why: "so".into(),
    }];
    let one =
        |proof: Proof| -> Vec<String> { proof.but_for.into_iter().map(|it| it.what).collect() };
    let second = std::time::Duration::from_secs(1);
    vec![
        (
            QuestionKind::Impact,
            one(impact(&blind, &[0], Way::Dependents, None).proof),
        ),
        (
            QuestionKind::Groups,
            one(groups(&blind, &Shared::default(), None).proof),
        ),
        (
            QuestionKind::RecoveryOrder,
            one(recovery_order(&blind, 1).proof),
        ),
        (QuestionKind::Idle, one(idle(&blind, None).proof)),
        (QuestionKind::Failures, one(failures(&blind, second).proof)),
        (QuestionKind::Balance, one(balance(&blind, None).proof)),
        (
            QuestionKind::Diff,
            one(diff(&plain, &blind, &Allowed::default()).proof),
        ),
        (QuestionKind::Verify, one(verify(&blind, &plain).proof)),
    ]
}

#[test]
fn each_thing_that_is_not_seen_is_named_where_it_could_be_the_answer_and_only_there() {
    for id in BlindId::ALL {
        let what = id.what();
        let unseen = unseen_with(what);
        assert_eq!(unseen.len(), QuestionKind::ALL.len());
        for (question, named) in unseen {
            let is_named = named.iter().any(|it| it == what);
            assert_eq!(
                is_named,
                may_hide(Some(*id), question),
                "{question:?} {what}"
            );
            let others = named.iter().filter(|it| *it != what).count();
            let compares = matches!(question, QuestionKind::Diff | QuestionKind::Verify);
            assert_eq!(others, if compares { 0 } else { 2 }, "UDP and Unix sockets");
        }
    }
    let unknown = unseen_with("what a later version is blind to");
    let named =
        |(_, named): &(QuestionKind, Vec<String>)| named.iter().any(|it| it.contains("later"));
    assert!(unknown.iter().all(named));
}

#[test]
fn hosts_are_compared_with_themselves() {
    let blind = |what: &'static str| Blind {
        id: BlindId::of_words(what),
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
