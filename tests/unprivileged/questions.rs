//! The questions, asked about recordings of a real system (`tests/recordings`): what is answered, and
//! that the documentation shows just that.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tracer_tests::tracer::{self, Run};

/// Where the recordings are.
fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

/// Runs `tracer` there with these words.
fn ask(words: &[&str]) -> Run {
    let mut tracer = tracer::command().expect("there is a tracer");
    tracer.current_dir(recordings()).args(words);
    tracer::output(&mut tracer).expect("it runs")
}

/// The answer as JSON, with this exit code.
fn answer(words: &[&str], code: i32) -> Value {
    let run = ask(&[words, &["-o", "json"]].concat());
    run.expect_code(code).expect("it answers");
    serde_json::from_str(run.text().expect("text")).expect("JSON")
}

/// What `line`, typed at a terminal of 118 columns, prints there; where the exit code is not 0,
/// with that below.
fn at_a_terminal(line: &str) -> String {
    let program = tracer::command().expect("there is a tracer");
    let program = program.get_program().to_string_lossy();
    let arguments = line.strip_prefix("tracer ").expect("a line of tracer");
    let line = format!("stty cols 118 rows 60; exec {program} {arguments}");
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .current_dir(recordings())
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .output()
        .expect("script runs");
    let mut text = String::from_utf8(output.stdout)
        .expect("text")
        .replace('\r', "");
    match output.status.code() {
        Some(0) => {}
        Some(code) => text.push_str(&format!("[exit code {code}]\n")),
        None => panic!("{line} ended by a signal"),
    }
    text
}

/// Blocks of this kind hold a line that is typed, after `$ `, and what it prints.
const BLOCK: &str = "```console\n";

/// `text` with what each of its blocks really prints. A block that is cut off (its last line is
/// `...`) keeps only as many lines.
fn with_real_output(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(BLOCK) {
        let (before, block) = rest.split_at(at + BLOCK.len());
        let end = block.find("```").expect("a block ends");
        let (block, after) = block.split_at(end);
        out.push_str(before);
        let typed = block.lines().next().unwrap_or_default();
        let line = typed.strip_prefix("$ ").expect("a block begins with $");
        let real = at_a_terminal(line);
        out.push_str(&format!("{typed}\n{real}"));
        rest = after;
    }
    out + rest
}

#[test]
fn the_documentation_shows_what_is_really_answered() {
    for name in ["docs/questions.md", "README.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let text = std::fs::read_to_string(&path).expect("it is there");
        let real = with_real_output(&text);
        if std::env::var_os("TRACER_WRITE_DOCS").is_some() {
            std::fs::write(&path, real).expect("written");
        } else {
            assert!(
                text == real,
                "{name} shows something else: TRACER_WRITE_DOCS=1 writes this to it\n{real}"
            );
        }
    }
}

#[test]
fn every_question_has_its_run_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/questions.md");
    let text = std::fs::read_to_string(path).expect("it is there");
    for question in [
        "impact",
        "diff",
        "groups",
        "recovery-order",
        "idle",
        "failures",
        "balance",
        "verify",
    ] {
        assert!(
            text.contains(&format!("{BLOCK}$ tracer {question} ")),
            "no run of {question}"
        );
    }
}

#[test]
fn who_is_not_known_is_an_error_with_what_comes_nearest() {
    let run = ask(&["impact", "postgres", "--from", "before.jsonl"]);
    run.expect_code(1).expect("an error");
    assert!(run.stdout.is_empty());
    assert!(run.stderr.contains("nothing in this map is called that"));
    assert!(run.stderr.contains("postgresql.service"), "{}", run.stderr);
}

#[test]
fn a_file_of_rules_that_is_wrong_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules");
    std::fs::write(&path, "# fine\nallow a -> b\nforbid c -> d\n").expect("written");
    let path = path.display().to_string();
    let run = ask(&["balance", "--policy", &path, "--from", "before.jsonl"]);
    run.expect_code(1).expect("an error");
    let error = &run.stderr;
    assert!(error.contains(&path) && error.contains("line 3"), "{error}");
    assert!(error.contains("neither allow nor deny"), "{error}");
}

#[test]
fn a_map_compared_with_itself_has_not_changed_and_is_all_back() {
    let same = answer(&["diff", "before.jsonl", "before.jsonl"], 0);
    assert_eq!(same["changes"], Value::Array(Vec::new()));
    assert_eq!(same["coverage"]["proven"], true);
    let back = answer(&["verify", "before.jsonl", "--from", "before.jsonl"], 0);
    assert_eq!(back["complete"], true);
}
