//! Every field of the map and of the answers is documented.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use tracer_tests::tracer;

/// The JSON that `tracer` prints with these words about the recordings.
fn printed(words: &[&str]) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let mut command = tracer::command().expect("there is a tracer");
    command.current_dir(folder).args(words).args(["-o", "json"]);
    let run = tracer::output(&mut command).expect("it runs");
    serde_json::from_str(run.text().expect("text")).expect("JSON")
}

/// The names of all fields within `value`, but for those that somebody chose: ids of nodes, and parts of a division.
fn fields(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                if name == "parts" {
                    let parts = value.as_object().expect("parts by their names");
                    parts.values().for_each(|it| fields(it, names));
                } else {
                    fields(value, names);
                }
                if !name.contains('/') {
                    names.insert(name.clone());
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|it| fields(it, names)),
        _ => {}
    }
}

/// The words between backticks on these pages of `docs/`.
fn documented(pages: &[&str]) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut words = BTreeSet::new();
    for page in pages {
        let text = fs::read_to_string(folder.join(page)).expect("it is there");
        for line in text.lines() {
            let code = line.split('`').skip(1).step_by(2);
            let parts = code.flat_map(|it| it.split(|it: char| !it.is_alphanumeric() && it != '_'));
            words.extend(parts.map(str::to_owned));
        }
    }
    words
}

#[track_caller]
fn are_documented(words: &[&str], pages: &[&str]) {
    have_documentation(&printed(words), words, pages);
}

#[track_caller]
fn have_documentation(printed: &Value, words: &[&str], pages: &[&str]) {
    let mut names = BTreeSet::new();
    fields(printed, &mut names);
    assert!(names.len() > 5, "{words:?} has only {names:?}");
    let documented = documented(pages);
    let absent: Vec<&String> = names.difference(&documented).collect();
    assert!(absent.is_empty(), "of {words:?}, {pages:?} lack {absent:?}");
}

#[test]
fn every_field_of_the_map_is_documented() {
    for recording in ["before.jsonl", "after.jsonl"] {
        are_documented(&["map", "--from", recording], &["formats.md", "output.md"]);
    }
}

#[test]
fn every_field_of_the_answers_is_documented() {
    let pages = ["questions.md", "formats.md"];
    for words in [
        &["impact", "postgresql.service", "--from", "before.jsonl"][..],
        &["diff", "before.jsonl", "after.jsonl"],
        &["groups", "--from", "before.jsonl"],
        &["groups", "--split", "plan.txt", "--from", "before.jsonl"],
        &["recovery-order", "--from", "before.jsonl"],
        &["idle", "--from", "before.jsonl"],
        &["failures", "--from", "before.jsonl"],
        &[
            "balance",
            "--policy",
            "policy.txt",
            "--from",
            "before.jsonl",
        ],
        &["verify", "before.jsonl", "--from", "after.jsonl"],
    ] {
        are_documented(words, &pages);
    }
}

#[test]
fn every_field_of_the_examination_is_documented() {
    let words = ["doctor", "-o", "json"];
    let Some(run) = super::run_as_nobody(&words).expect("it runs") else {
        return;
    };
    let report = serde_json::from_str(run.text().expect("text")).expect("JSON");
    have_documentation(&report, &words, &["commands.md"]);
}
