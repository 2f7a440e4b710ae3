//! Every answer in every form: harmless whatever the names, and as other tools take it.

use std::time::Duration;

use super::*;
use crate::{
    ask::{
        Allowed, Policy, Split, balance, diff, failures, groups,
        impact::{self, Way},
        recovery_order, verify,
    },
    model::specimens::views,
    outputs::sanitise::is_printable,
};

/// All answers about `view` in all forms that are no JSON.
fn texts(view: &View) -> Vec<String> {
    let split: Split = "one = a*\ntwo = *".parse().expect("a split");
    let policy: Policy = "deny * -> *".parse().expect("a policy");
    let mut out = Vec::new();
    let mut both = |bytes: &mut dyn FnMut(AnswerFormat, &mut Vec<u8>)| {
        for format in [AnswerFormat::Table, AnswerFormat::Csv] {
            let mut buf = Vec::new();
            bytes(format, &mut buf);
            out.push(String::from_utf8(buf).expect("UTF-8"));
        }
    };
    let all: Vec<usize> = (0..view.nodes.len().min(1)).collect();
    for way in [Way::Dependents, Way::Dependencies] {
        let answer = impact::impact(view, &all, way, None);
        both(&mut |format, buf| write(&answer, format, buf));
    }
    let nothing = View::default();
    for (before, after) in [(view, &nothing), (&nothing, view)] {
        let answer = diff::diff(before, after, &Allowed::default());
        both(&mut |format, buf| write(&answer, format, buf));
        let answer = verify::verify(before, after);
        both(&mut |format, buf| write(&answer, format, buf));
    }
    let cut = groups::groups(view, &groups::Shared::default(), Some(&split));
    both(&mut |format, buf| write(&cut, format, buf));
    let whole = groups::groups(view, &groups::Shared::default(), None);
    both(&mut |format, buf| write(&whole, format, buf));
    let order_of = recovery_order::recovery_order(view, 10_000_000_000);
    both(&mut |format, buf| write(&order_of, format, buf));
    let idle = ask::idle::idle(view, None);
    both(&mut |format, buf| write(&idle, format, buf));
    let failing = failures::failures(view, Duration::from_secs(60));
    both(&mut |format, buf| write(&failing, format, buf));
    let mut lines = Vec::new();
    for it in &failing.found.edges {
        line(it, &failing, AnswerFormat::Table, &mut lines);
    }
    let balance = balance::balance(view, Some(&policy));
    both(&mut |format, buf| write(&balance, format, buf));
    out.push(String::from_utf8(lines).expect("UTF-8"));
    for format in [AnswerFormat::Nftables, AnswerFormat::Networkpolicy] {
        out.extend(rules(&cut, view, format));
    }
    for format in [AnswerFormat::Systemd, AnswerFormat::Compose] {
        out.extend(order(&order_of, view, format));
    }
    out
}

/// `view` with this name for everything that has one.
fn named(mut view: View, name: &str) -> View {
    for (node, at) in view.nodes.iter_mut().zip(0..) {
        node.name = name.into();
        node.id = format!("{name}{at}").into();
        if let Some(workload) = &node.workload {
            let mut workload = crate::model::Workload::clone(workload);
            workload.name = name.into();
            workload.unit = Some(name.into());
            node.workload = Some(workload.into());
        }
        node.changes = vec![crate::model::Change {
            time: node.first_seen,
            what: crate::model::Happened::Exec {
                pid: 1,
                exe: name.into(),
            },
        }];
    }
    view
}

#[test]
fn whatever_the_names_every_form_is_harmless_on_a_terminal() {
    for name in [
        "a\u{1b}]0;x\u{7}\r\nb",
        "\"; drop\n  evil: [",
        "\u{202e}txt.exe",
        "=cmd|' /C calc'!A0",
        "",
    ] {
        for text in texts(&named(views::three_tiers(), name)) {
            let bad = text
                .chars()
                .find(|it| !is_printable(*it) && !matches!(it, '\n' | '\r'));
            assert_eq!(bad, None, "{text:?}");
        }
    }
}

#[test]
fn names_break_out_of_no_line_of_rules_or_units() {
    let hostile = "x\" accept\n}\nUnit]\nExecStart=/bin/sh\n- evil: {";
    let view = named(views::three_tiers(), hostile);
    for text in texts(&view) {
        let lines = text.lines().map(str::trim_start);
        for line in lines {
            assert!(!line.starts_with("ExecStart"), "{text}");
            assert!(!line.starts_with("- evil"), "{text}");
            assert!(!line.starts_with("Unit]"), "{text}");
        }
    }
}

#[test]
fn an_empty_map_has_answers_that_say_that_nobody_watched() {
    for text in texts(&View::default()) {
        assert!(!text.contains("Proven for"), "{text}");
    }
}

#[test]
fn every_answer_ends_with_what_it_rests_on() {
    let view = views::three_tiers();
    let answer = ask::idle::idle(&view, None);
    let mut buf = Vec::new();
    write(&answer, AnswerFormat::Table, &mut buf);
    let text = String::from_utf8(buf).expect("UTF-8");
    let last = text.lines().last().expect("lines");
    assert!(
        last.starts_with("Proven for that time:") || last.starts_with("NOT PROVEN:"),
        "{text}"
    );
}

/// How long each takes, in release: `cargo test --release -p tracer-user --lib ten_thousand -- --ignored
/// --nocapture`.
#[test]
#[ignore = "prints how long it takes"]
fn ten_thousand_edges_take() {
    let view = views::many(10_000);
    // As tangled as can be: every edge in one cycle with the others.
    let mut tangled = view.clone();
    let workloads: Vec<usize> = (0..view.nodes.len())
        .filter(|at| view.nodes[*at].kind == crate::model::NodeKind::Workload)
        .collect();
    for (edge, at) in tangled.edges.iter_mut().zip(0..) {
        edge.client = workloads[at % workloads.len()];
        edge.server = workloads[(at * 7 + 1) % workloads.len()];
        edge.port = Some((at % 60_000) as u16 + 1);
    }
    let split: Split = "one = a* *1\ntwo = *".parse().expect("a split");
    let policy: Policy = "deny *1 -> *\nallow * -> *".parse().expect("a policy");
    for (name, view) in [("as it comes", &view), ("tangled", &tangled)] {
        println!(
            "{name}: {} edges, {} nodes, {} workloads",
            view.edges.len(),
            view.nodes.len(),
            workloads.len()
        );
        let time = |question: &str, ask: &dyn Fn()| {
            let best = (0..5).map(|_| {
                let begun = std::time::Instant::now();
                ask();
                begun.elapsed()
            });
            println!("  {question}: {:?}", best.min().unwrap_or_default());
        };
        let print = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut buf = Vec::new();
            write(&mut buf);
            assert!(!buf.is_empty());
        };
        for format in [AnswerFormat::Table, AnswerFormat::Json] {
            println!(" {format:?}");
            time("impact", &|| {
                let it = impact::impact(view, &[0], Way::Dependents, None);
                print(&|buf| write(&it, format, buf));
            });
            time("diff", &|| {
                let it = diff::diff(view, &View::default(), &Allowed::default());
                print(&|buf| write(&it, format, buf));
            });
            time("diff with itself", &|| {
                let it = diff::diff(view, view, &Allowed::default());
                print(&|buf| write(&it, format, buf));
            });
            time("groups", &|| {
                let it = groups::groups(view, &groups::Shared::default(), None);
                print(&|buf| write(&it, format, buf));
            });
            time("groups --split", &|| {
                let it = groups::groups(view, &groups::Shared::default(), Some(&split));
                print(&|buf| write(&it, format, buf));
            });
            time("recovery-order", &|| {
                let it = recovery_order::recovery_order(view, 10_000_000_000);
                print(&|buf| write(&it, format, buf));
            });
            time("idle", &|| {
                let it = ask::idle::idle(view, None);
                print(&|buf| write(&it, format, buf));
            });
            time("failures", &|| {
                let it = failures::failures(view, Duration::from_secs(60));
                print(&|buf| write(&it, format, buf));
            });
            time("balance --policy", &|| {
                let it = balance::balance(view, Some(&policy));
                print(&|buf| write(&it, format, buf));
            });
            time("verify", &|| {
                let it = verify::verify(view, view);
                print(&|buf| write(&it, format, buf));
            });
        }
    }
}

#[test]
fn what_is_open_since_before_watching_was_no_failure_then() {
    let mut view = views::three_tiers();
    let edge = view.edges.iter_mut().find(|it| it.failures() > 0);
    let edge = edge.expect("one that fails");
    (edge.live_at_start, edge.established, edge.terminated) = (2, 0, 1);
    (edge.sent_bytes, edge.received_bytes) = (1_000, 204);
    edge.last_success = None;
    let answer = failures::failures(&view, Duration::from_secs(60));
    let mut text = Vec::new();
    page::table(&answer, false, None, &mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.contains("open since before watching (1.2 kB)"),
        "{text}"
    );
    let json = serde_json::to_value(&answer).expect("JSON");
    let links = json["edges"].as_array().expect("edges");
    assert!(links.iter().any(|it| it["live_at_start"] == 2));
}

/// What is offered for a question is what its answer can be rendered as.
#[test]
fn each_answer_has_the_formats_that_are_its_own() {
    use crate::ask::{Question, impact::Target};
    let view = views::three_tiers();
    let who = view.nodes[0].id.to_string();
    let questions = [
        Question::Impact {
            target: Target::Who(who),
            way: Way::Dependents,
            depth: None,
        },
        Question::Groups {
            shared: groups::Shared::default(),
            split: Some("one = a*\ntwo = *".parse().expect("a split")),
        },
        Question::RecoveryOrder { start_up_ns: 1 },
        Question::Idle { unused_for: None },
        Question::Failures {
            window: Duration::from_secs(60),
        },
        Question::Balance { policy: None },
        Question::Diff {
            allowed: Allowed::default(),
        },
        Question::Verify,
    ];
    assert_eq!(questions.len(), QuestionKind::ALL.len());
    for (question, kind) in questions.iter().zip(QuestionKind::ALL) {
        let views: &[&View] = match kind {
            QuestionKind::Diff | QuestionKind::Verify => &[&view, &view],
            _ => &[&view],
        };
        let answer = ask::answer(question, views).expect("an answer");
        let json = render(&answer, &view, AnswerFormat::Json);
        let object: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(object["question"], kind.name());
        let has: Vec<_> = AnswerFormat::of(Some(kind)).collect();
        for format in AnswerFormat::ALL {
            let is_json = render(&answer, &view, format) == json;
            let has = has.contains(&format) && format != AnswerFormat::Json;
            assert_eq!(is_json, !has, "{question:?} {format:?}");
        }
    }
}
