//! What *proven* means, clause by clause: each is taken away, and every question says so.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::{
    ask::{
        Allowed, Doubt, balance, diff, failures, groups, idle,
        impact::{self, Way},
        recovery_order, verify,
    },
    model::{
        Blind, Counter, Gap, HostCoverage, StepsBack, Timestamp,
        specimens::{self, views},
    },
};

/// Of a comparison, which of the two maps is in doubt.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Before,
    After,
}

/// The questions; those that compare once with each side in doubt.
const QUESTIONS: [(&str, Side); 10] = [
    ("impact", Side::After),
    ("groups", Side::After),
    ("recovery_order", Side::After),
    ("idle", Side::After),
    ("failures", Side::After),
    ("balance", Side::After),
    ("diff", Side::After),
    ("diff", Side::Before),
    ("verify", Side::After),
    ("verify", Side::Before),
];

fn compares(question: &str) -> bool {
    matches!(question, "diff" | "verify")
}

/// An answer in words and as JSON, with a doubt that no map knows of.
fn told<T: Serialize>(mut answer: Answer<T>, doubt: Option<Doubt>) -> (String, Value)
where
    Answer<T>: Shown,
{
    doubt.into_iter().for_each(|it| answer.proof.doubt(it));
    let mut text = Vec::new();
    page::table(&answer, false, None, &mut text);
    let json = serde_json::to_value(&answer).expect("JSON");
    (
        String::from_utf8(text).expect("UTF-8"),
        json["coverage"].clone(),
    )
}

fn ask(
    (question, side): (&str, Side),
    sound: &View,
    view: &View,
    doubt: Option<Doubt>,
) -> (String, Value) {
    let (before, after) = match side {
        Side::Before => (view, sound),
        Side::After => (sound, view),
    };
    match question {
        "impact" => told(impact::impact(view, &[0], Way::Dependents, None), doubt),
        "groups" => told(
            groups::groups(view, &groups::Shared::default(), None),
            doubt,
        ),
        "recovery_order" => told(recovery_order::recovery_order(view, 1), doubt),
        "idle" => told(idle::idle(view, None), doubt),
        "failures" => told(failures::failures(view, Duration::from_secs(60)), doubt),
        "balance" => told(balance::balance(view, None), doubt),
        "diff" => told(diff::diff(before, after, &Allowed::default()), doubt),
        "verify" => told(verify::verify(before, after), doubt),
        _ => unreachable!("{question}"),
    }
}

/// A system of two hosts that were watched without any fault.
fn sound() -> View {
    let mut view = views::three_tiers();
    let mut coverage = view.coverage[1].clone();
    coverage.host = view.coverage[0].host.clone();
    view.coverage[0] = coverage;
    view.edges.retain(|it| it.port.is_some());
    view
}

fn first(view: &mut View) -> &mut HostCoverage {
    &mut view.coverage[0]
}

fn lose(view: &mut View) {
    first(view).lost.get_mut(Counter::Close).ring_full = 3;
}

fn part_ways(view: &mut View) {
    let end = view.coverage[1].from;
    let end = Timestamp::from_ns(end.as_ns() - 1);
    let begin = Timestamp::from_ns(end.as_ns() - 1_000_000_000);
    let host = first(view);
    (host.from, host.to) = (begin, end);
    (host.runs[0].from, host.runs[0].to) = (begin, end);
}

fn open_a_gap(view: &mut View) {
    let (from, to) = (specimens::at(10), specimens::at(20));
    first(view).gaps.push(Gap { from, to });
}

type Clause = (&'static str, &'static str, fn(&mut View));

/// Each clause: `why`, what it is in words, and how a map comes to lack it.
const CLAUSES: [Clause; 16] = [
    ("unwatched", "nobody watched", |view| view.coverage.clear()),
    ("unwatched", "nobody watched", |view| {
        view.coverage.iter_mut().for_each(|it| it.runs.clear());
    }),
    ("unwatched", "nobody watched data-1 then", |view| {
        first(view).runs.clear();
    }),
    (
        "apart",
        "no time in which all hosts were watched",
        part_ways,
    ),
    ("apart", "no time in which all hosts were watched", |view| {
        let host = first(view);
        (host.to, host.runs[0].to) = (host.from, host.from);
    }),
    ("gap", "nobody watched data-1 for 10.0 s", open_a_gap),
    ("no_start", "data-1 has no start before", |view| {
        first(view).runs[0].started = false;
    }),
    ("no_stop", "data-1 has no stop after", |view| {
        first(view).runs[0].stopped = false;
    }),
    ("lost", "3 events of data-1 were lost", lose),
    (
        "absent",
        "7 events of data-1 are not in the recording",
        |view| first(view).runs[0].absent = 7,
    ),
    (
        "untracked",
        "no room to follow 5 connections of data-1",
        |view| first(view).untracked = 5,
    ),
    (
        "unattributed",
        "3 processes of data-1 could not be read in time, and may be of other workloads",
        |view| first(view).unattributed = 3,
    ),
    ("taken_for_one", "data-1", |view| {
        first(view).taken_for_one = true;
    }),
    ("cut", "no room for 6 of the nodes of data-1", |view| {
        first(view).cut.nodes = 6;
    }),
    (
        "recounted",
        "4 connections of data-1 may be counted twice",
        |view| first(view).recounted = 4,
    ),
    (
        "steps_back",
        "the times of data-1 go back 2 times, by up to 5.0 s",
        |view| {
            let most_ns = 5_000_000_000;
            first(view).steps_back = Some(StepsBack { times: 2, most_ns });
        },
    ),
];

#[test]
fn every_question_is_proven_as_far_as_can_be_seen() {
    let sound = sound();
    for question in QUESTIONS {
        let (text, json) = ask(question, &sound, &sound, None);
        assert_eq!(json.get("doubts"), None, "{question:?} {json}");
        assert!(!text.contains("NOT PROVEN"), "{text}");
        let what: Vec<&str> = json["but_for"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["what"].as_str())
            .collect();
        match compares(question.0) {
            // What is never seen is the same in both.
            true => {
                assert_eq!(
                    (&json["verdict"], &json["proven"]),
                    (&"proven".into(), &true.into())
                );
                assert!(
                    text.contains("Proven for that time: ") && what.is_empty(),
                    "{text}"
                );
            }
            false => {
                assert_eq!(json["verdict"], "proven_but_for");
                assert_eq!(json["proven"], false);
                assert_eq!(what, ["UDP", "Unix sockets"]);
                assert!(
                    text.contains("Proven but for UDP and Unix sockets: "),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn without_any_clause_every_question_is_not_proven_and_says_which() {
    let sound = sound();
    for (why, words, takes) in CLAUSES {
        let mut view = sound.clone();
        takes(&mut view);
        for question in QUESTIONS {
            let (text, json) = ask(question, &sound, &view, None);
            let has = |it: &Value| it["why"] == why;
            let doubts = json["doubts"].as_array();
            assert!(
                doubts.is_some_and(|it| it.iter().any(has)),
                "{why} {question:?} {json}"
            );
            assert_eq!(json["proven"], false);
            assert_eq!(json["verdict"], "not_proven");
            let (_, said) = text.split_once("NOT PROVEN: ").expect("words");
            assert!(said.contains(words), "{question:?} {text}");
            assert!(!text.contains("Proven "), "{text}");
        }
    }
}

#[test]
fn what_no_map_knows_of_is_doubted_by_every_question() {
    let sound = sound();
    for (doubt, words) in [
        (Doubt::Filtered, "only what the filters let through"),
        (Doubt::Skipped { lines: 2 }, "2 lines could not be read"),
        (Doubt::Interrupted, "not all that was recorded was read"),
        (
            Doubt::Unread { processes: 2 },
            "2 processes of this host could not be looked at in time",
        ),
    ] {
        for question in QUESTIONS {
            let (text, json) = ask(question, &sound, &sound, Some(doubt.clone()));
            assert_eq!(json["verdict"], "not_proven");
            assert!(
                text.contains("NOT PROVEN: ") && text.contains(words),
                "{text}"
            );
        }
    }
}

#[test]
fn what_could_have_been_the_answer_and_cannot_be_seen_is_named_by_every_question() {
    let sound = sound();
    let mut view = sound.clone();
    first(&mut view).blind = vec![Blind {
        id: None,
        what: "what a later version is blind to".into(),
        why: "who knows".into(),
    }];
    for question in QUESTIONS {
        let (text, json) = ask(question, &sound, &view, None);
        assert_eq!(json["verdict"], "proven_but_for", "{question:?}");
        assert_eq!(json["proven"], false);
        let all = json["but_for"].as_array().expect("a list");
        let named = all
            .iter()
            .find(|it| it["what"] == "what a later version is blind to");
        assert_eq!(named.expect("named")["hosts"][0], "data-1");
        let (_, said) = text.split_once("Proven but for ").expect("words");
        assert!(
            said.contains("\"what a later version is blind to\": "),
            "{text}"
        );
        // As it is on both sides of a comparison, nothing that changed is hidden by it.
        if compares(question.0) {
            let (_, json) = ask(question, &view, &view, None);
            assert_eq!(json["verdict"], "proven");
        }
    }
}

#[test]
fn the_order_of_hosts_changes_no_doubt() {
    let sound = sound();
    for (_, _, takes) in CLAUSES {
        let mut view = sound.clone();
        takes(&mut view);
        if let Some(last) = view.coverage.last_mut() {
            last.untracked = 2;
            last.blind = vec![Blind {
                id: None,
                what: "what a later version is blind to".into(),
                why: "who knows".into(),
            }];
        }
        let mut other = view.clone();
        other.coverage.reverse();
        for question in QUESTIONS {
            let (_, one) = ask(question, &sound, &view, None);
            let (_, other) = ask(question, &sound, &other, None);
            for field in ["doubts", "but_for", "verdict", "proven"] {
                assert_eq!(one.get(field), other.get(field), "{question:?}");
            }
        }
    }
}

#[test]
fn a_thousand_gaps_are_a_few_words() {
    let mut view = sound();
    for at in 0..1_000 {
        let (from, to) = (specimens::at(2 * at), specimens::at(2 * at + 1));
        first(&mut view).gaps.push(Gap { from, to });
    }
    let (text, json) = ask(("groups", Side::After), &view, &view, None);
    assert_eq!(json["doubts"].as_array().map(Vec::len), Some(1_000));
    assert!(
        text.contains("nobody watched data-1 in 1,000 gaps, 16 min 40 s in all"),
        "{text}"
    );
    assert!(text.len() < 20_000);
}

#[test]
fn of_several_hosts_the_time_in_which_all_were_watched_is_that_of_the_proof() {
    let mut view = sound();
    let from = specimens::at(600);
    let host = first(&mut view);
    (host.from, host.runs[0].from) = (from, from);
    let (text, json) = ask(("groups", Side::After), &view, &view, None);
    let words = "to 2026-11-22 02:02:03 UTC (1 h 0 min), all of them from 2026-11-22 01:12:03 to \
                 2026-11-22 02:02:03 (50 min 0 s), nothing lost";
    assert!(text.contains(words), "{text}");
    assert_eq!(json["verdict"], "proven_but_for");
    let answer = idle::idle(&view, None);
    assert_eq!(answer.found.too_short_for.first(), Some(&"hourly"));
}

#[test]
fn what_is_unused_for_a_while_is_not_said_never_to_have_been_used() {
    let mut view = sound();
    for edge in &mut view.edges {
        (edge.live_at_start, edge.established, edge.terminated) = (0, 1, 1);
        (edge.last_seen, edge.last_failure) = (specimens::at(1_000), None);
    }
    let answer = idle::idle(&view, Some(Duration::from_secs(60)));
    assert!(
        answer
            .found
            .listeners
            .iter()
            .any(|it| it.last_used.is_some())
    );
    let (text, _) = told(answer, None);
    assert!(text.contains("nobody connected to these listeners since they were last used"));
}
