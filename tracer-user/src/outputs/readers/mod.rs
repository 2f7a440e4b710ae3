//! Every format, read again by a reader of it: whatever the names, a document has the structure that it has with
//! harmless ones. Rules are in [`rules`].

mod rules;
mod skeleton;
pub(crate) mod vocabulary;

use std::sync::Arc;

use super::{
    Format, Writer,
    answers::{self, AnswerFormat},
    map::{self, MapFormat},
    sanitise::is_printable,
};
use crate::{
    ask,
    model::{
        Body, Event, Host, Process, View,
        specimens::{events, views},
    },
};

fn text_of(view: &View, format: MapFormat) -> String {
    let mut buf = Vec::new();
    map::write(view, format, false, None, &mut buf);
    String::from_utf8(buf).expect("UTF-8")
}

/// What a reader of that format makes of it.
fn skeleton(text: &str, format: MapFormat) -> Vec<String> {
    match format {
        MapFormat::Json => skeleton::json(text),
        MapFormat::Csv => skeleton::csv(text),
        MapFormat::Dot => skeleton::dot(text),
        MapFormat::Mermaid => skeleton::mermaid(text),
        MapFormat::Graphml => skeleton::xml(text),
        MapFormat::Html => skeleton::html(text),
        MapFormat::Table => text.lines().map(|_| "a line".to_owned()).collect(),
    }
}

fn is_harmless(text: &str) {
    let bad = text
        .chars()
        .find(|it| !is_printable(*it) && !matches!(it, '\n' | '\r'));
    assert_eq!(bad, None, "{text:?}");
}

/// The names from one place on, so that each comes to be in many places.
fn turned(names: &[String], by: usize) -> Vec<String> {
    let (head, tail) = names.split_at(by % names.len());
    [tail, head].concat()
}

#[test]
fn a_map_has_the_structure_that_it_has_with_harmless_names() {
    let (hostile, benign) = (vocabulary::hostile(), vocabulary::benign());
    for by in [0, 17, 40, 71] {
        let bad = views::named(&turned(&hostile, by));
        let good = views::named(&turned(&benign, by));
        for format in MapFormat::ALL {
            let text = text_of(&bad, format);
            is_harmless(&text);
            assert_eq!(
                skeleton(&text, format),
                skeleton(&text_of(&good, format), format),
                "{format:?}: {text}"
            );
        }
    }
}

/// One name everywhere, so that none has only been where it is harmless.
#[test]
fn no_name_changes_the_structure_of_a_map() {
    let good = views::named(&["name".to_owned()]);
    let good: Vec<_> = MapFormat::ALL
        .into_iter()
        .map(|format| (format, skeleton(&text_of(&good, format), format)))
        .collect();
    for name in vocabulary::hostile() {
        // What is long takes long, and is in the others.
        let name: String = name.chars().take(600).collect();
        let bad = views::named(std::slice::from_ref(&name));
        for (format, good) in &good {
            let text = text_of(&bad, *format);
            is_harmless(&text);
            assert_eq!(skeleton(&text, *format), *good, "{format:?}: {name:?}");
        }
    }
}

/// An event with names from `name` wherever there is one.
fn renamed(mut event: Event, name: &mut impl FnMut() -> String) -> Event {
    let mut process = |it: &mut Option<Arc<Process>>| {
        if let Some(it) = it {
            views::rename_process(Arc::make_mut(it), &mut *name);
        }
    };
    match &mut event.body {
        Body::Existing(it)
        | Body::Connect(it)
        | Body::Accept(it)
        | Body::Totals(it)
        | Body::Close(it)
        | Body::Fail(it) => {
            process(&mut it.process);
            process(&mut it.peer);
        }
        Body::Listen(it) | Body::Unlisten(it) => process(&mut it.process),
        Body::Exec(it) | Body::Exit(it) => {
            views::rename_process(Arc::make_mut(&mut it.process), name);
        }
        Body::Start(it) => {
            for it in &mut it.blind {
                (it.what, it.why) = (name().into(), name().into());
            }
        }
        Body::Loss(_) | Body::Stop(_) => {}
    }
    event.host = Arc::new(Host {
        id: name(),
        name: name(),
    });
    event
}

#[test]
fn an_event_has_the_structure_that_it_has_with_harmless_names() {
    let (hostile, benign) = (vocabulary::hostile(), vocabulary::benign());
    for (at, event) in events::all().into_iter().enumerate() {
        let written = |names: &[String], format| {
            let names = turned(names, at * 7);
            let mut names = names.iter().cycle();
            let mut name = || names.next().cloned().unwrap_or_default();
            let event = renamed(event.clone(), &mut name);
            let mut buf = Vec::new();
            Writer::new(format, false).write(&event, &mut buf);
            String::from_utf8(buf).expect("UTF-8")
        };
        for format in [Format::Json, Format::Text] {
            let (bad, good) = (written(&hostile, format), written(&benign, format));
            is_harmless(&bad);
            assert_eq!(bad.lines().count(), good.lines().count(), "{bad:?}");
            if format == Format::Json {
                assert_eq!(skeleton::json(&bad), skeleton::json(&good), "{bad}");
            }
        }
    }
}

/// Names decide in which order an answer is, so only what is the same in any order is compared.
#[test]
fn answers_are_harmless_and_are_read_again_whatever_the_names() {
    let hostile = vocabulary::hostile();
    for by in [0, 29, 58] {
        let view = views::named(&turned(&hostile, by));
        let failing = ask::failures::failures(&view, std::time::Duration::from_secs(60));
        let impact = ask::impact::impact(&view, &[5], ask::impact::Way::Dependents, None);
        let json = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut buf = Vec::new();
            write(&mut buf);
            let text = String::from_utf8(buf).expect("UTF-8");
            is_harmless(&text);
            text
        };
        let text = json(&|buf| answers::write(&impact, AnswerFormat::Json, buf));
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, serde_json::to_value(&impact).expect("JSON"));
        assert_eq!(text.lines().count(), 1);
        // As `failures --follow` writes them.
        assert!(!failing.found.edges.is_empty());
        for it in &failing.found.edges {
            for format in [AnswerFormat::Json, AnswerFormat::Table] {
                let text = json(&|buf| answers::line(it, &failing, format, buf));
                assert_eq!(text.lines().count(), 1, "{text}");
                if format == AnswerFormat::Json {
                    let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    assert_eq!(read, serde_json::to_value(it).expect("JSON"));
                }
            }
        }
        let text = json(&|buf| answers::write(&failing, AnswerFormat::Csv, buf));
        assert!(skeleton::csv(&text).len() > failing.found.edges.len());
        let text = json(&|buf| super::pretty_json(&impact, buf));
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, serde_json::to_value(&impact).expect("JSON"));
    }
}
