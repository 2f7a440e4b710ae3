//! `--from`: recordings that are right, and what is said of those that are not.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use tracer_tests::{
    tracer::{self, Run},
    wait,
};

/// A line of a stream, at a second, of a connection from `app` to PostgreSQL.
fn line(second: u32, event: &str, id: u32) -> String {
    let totals = match event {
        "close" => {
            r#","sent_bytes":10,"received_bytes":20,"rtt_ns":9000,"retransmits":0,"closed_by":"local""#
        }
        _ => "",
    };
    let failure = match event {
        "fail" => r#""failure":{"phase":"remote","reason":"refused","errno":"ECONNREFUSED"},"#,
        _ => "",
    };
    format!(
        r#"{{"v":1,"time":"2026-11-22T01:02:{second:02}.000000000Z","event":"{event}","host":{{"id":"6f1c","name":"web-1"}},"connection":{{"id":"9c41{id:08x}","direction":"outbound","family":"ipv4","netns":1,"client":{{"address":"10.0.0.5","port":{}}},"server":{{"address":"10.0.0.9","port":5432,"name":"db.internal"}},"existing":false,"connect_ns":184223{totals}}},{failure}"process":{{"pid":812,"comm":"app"}},"workload":{{"kind":"systemd","name":"app.service"}},"evidence":{{"process":"hook","direction":"handshake","name":"dns"}}}}
"#,
        40_000 + id
    )
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }
}

fn run(command: &str, from: &[&Path], args: &[&str]) -> Run {
    let mut tracer = tracer::command().expect("there is a tracer");
    tracer.arg(command);
    for path in from {
        tracer.arg("--from").arg(path);
    }
    tracer::output(tracer.args(args)).expect("it runs")
}

/// The map of these files; a failure says why.
fn map(from: &[&Path], args: &[&str]) -> Run {
    run("map", from, args)
}

fn json(run: &Run) -> serde_json::Value {
    run.expect_code(0).expect("it can be read");
    serde_json::from_slice(&run.stdout).expect("a map is JSON")
}

fn good() -> String {
    [
        line(1, "connect", 1),
        line(2, "close", 1),
        line(3, "fail", 2),
    ]
    .concat()
}

#[test]
fn a_recording_makes_a_map() {
    let folder = Folder::new();
    let map = json(&map(&[&folder.file("a.jsonl", &good())], &["-o", "json"]));
    let edge = &map["edges"][0];
    assert_eq!(edge["client"], "web-1/systemd/app.service");
    assert_eq!(edge["server"], "db.internal");
    assert_eq!(edge["state"], "failed");
    assert_eq!(edge["failed"], serde_json::json!({"refused": 1}));
    assert_eq!(
        (&edge["established"], &edge["live"]),
        (&1.into(), &0.into())
    );
    assert_eq!(map["v"], 1);
    assert_eq!(map["generated"], "2026-11-22T01:02:03.000000000Z");
}

/// How processes begin and end is part of a recording, and so of its map.
#[test]
fn a_map_of_a_whole_recording_lacks_nothing() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/before.jsonl");
    let text = std::fs::read_to_string(path).expect("a recording");
    assert!(text.contains(r#""event":"exit""#));
    let (rest, last) = text.trim_end().rsplit_once('\n').expect("many lines");
    let mut stop: serde_json::Value = serde_json::from_str(last).expect("the account");
    stop["lines"] = rest.lines().count().into();
    let folder = Folder::new();
    let saved = folder.0.path().join("saved.jsonl");
    for (rest, absent) in [
        (rest.to_owned(), serde_json::Value::Null),
        // One is missing.
        (
            rest.replacen(r#""event":"exit""#, r#""event":"none""#, 1)
                .lines()
                .filter(|line| !line.contains(r#""event":"none""#))
                .collect::<Vec<_>>()
                .join("\n"),
            1.into(),
        ),
    ] {
        let file = folder.file("events.jsonl", &format!("{rest}\n{stop}\n"));
        let found = json(&map(&[&file], &["-o", "json"]));
        assert_eq!(found["coverage"][0]["runs"][0]["absent"], absent);
        let save = saved.to_str().expect("a path");
        assert_eq!(json(&map(&[&file], &["-o", "json", "--save", save])), found);
        assert_eq!(json(&map(&[&saved], &["-o", "json"])), found);
        let again = run("stream", &[&file], &["-o", "json"]);
        again.expect_code(0).expect("it can be read");
        let again = folder.file("again.jsonl", again.text().expect("text"));
        assert_eq!(json(&map(&[&again], &["-o", "json"])), found);
        let nodes = found["nodes"].as_array().expect("nodes");
        let changes = nodes.iter().filter_map(|it| it["changes"].as_array());
        assert!(changes.flatten().any(|it| it["what"] == "exit"));
    }
}

#[test]
fn a_stream_read_and_written_again_is_the_same() {
    let folder = Folder::new();
    let file = folder.file("a.jsonl", &good());
    let again = run("stream", &[&file], &["-o", "json"]);
    again.expect_code(0).expect("it can be read");
    // What an address is follows from the address.
    let text = String::from_utf8(again.stdout).expect("text");
    assert_eq!(text.replace(r#""remote_class":"private","#, ""), good());
    let only = run("stream", &[&file], &["-o", "json", "--event", "fail"]);
    assert_eq!(only.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn standard_input_is_a_source() {
    let folder = Folder::new();
    let file = folder.file("a.jsonl", &good());
    let script = format!(
        "'{}' map --from - -o json < '{}'",
        tracer::executable().expect("a tracer").display(),
        file.display()
    );
    let mut shell = std::process::Command::new("sh");
    let from_input = tracer::output(shell.args(["-c", &script])).expect("it runs");
    assert_eq!(from_input.stdout, map(&[&file], &["-o", "json"]).stdout);
}

#[test]
fn what_is_wrong_with_a_recording_is_said_with_file_and_line() {
    let folder = Folder::new();
    let good = good();
    let half = &good[..good.len() - 200];
    let newer = good.replacen("\"v\":1", "\"v\":2", 1);
    let garbled = good.replacen("\"direction\":\"outbound\"", "\"direction\":\"up\"", 1);
    for (name, text, expected) in [
        (
            "cut",
            half,
            "cut, line 3: the recording ends in the midst of this line",
        ),
        ("newer", &newer, "newer, line 1: version 2 of the stream"),
        (
            "mixed",
            &format!("{good}{newer}"),
            "mixed, line 4: version 2 of the stream",
        ),
        (
            "garbled",
            &garbled,
            "garbled, line 1: `connection.direction` cannot be `up`",
        ),
        (
            "text",
            "hello\n",
            "text, line 1: not a line of a tracer stream",
        ),
        (
            "binary",
            "\0\u{1}\u{2}\n",
            "binary, line 1: not a line of a tracer stream",
        ),
        ("empty", "", "empty has no events"),
    ] {
        let file = folder.file(name, text);
        let refused = map(&[&file], &["-o", "json"]);
        refused.expect_code(1).expect(name);
        assert!(
            refused.stderr.contains(expected),
            "{name}: {}",
            refused.stderr
        );
        assert!(refused.stdout.is_empty(), "{name}");
    }
    for (path, expected) in [
        (folder.0.path().join("none"), "cannot open"),
        (folder.0.path().to_owned(), "cannot open"),
    ] {
        let refused = map(&[&path], &[]);
        refused.expect_code(1).expect("it cannot be read");
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
}

#[test]
fn bad_lines_can_be_left_out_and_are_counted() {
    let folder = Folder::new();
    let text = format!(
        "{}nonsense\n{}{}",
        line(1, "connect", 1),
        line(2, "close", 1),
        &line(3, "fail", 2)[..99]
    );
    let skipped = map(
        &[&folder.file("a.jsonl", &text)],
        &["-o", "json", "--skip-bad"],
    );
    assert!(skipped.stderr.contains("2 lines of"), "{}", skipped.stderr);
    let map = json(&skipped);
    assert_eq!(
        (
            &map["edges"][0]["established"],
            &map["edges"][0]["terminated"]
        ),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_part_of_a_recording_can_be_asked_for() {
    let folder = Folder::new();
    let file = folder.file("a.jsonl", &good());
    let part = json(&map(
        &[&file],
        &["-o", "json", "--until", "2026-11-22T01:02:02Z"],
    ));
    assert_eq!(part["edges"][0]["state"], "ok");
    let part = json(&map(
        &[&file],
        &["-o", "json", "--since", "2026-11-22T01:02:03Z"],
    ));
    assert_eq!(
        (&part["edges"][0]["established"], &part["edges"][0]["state"]),
        (&0.into(), &"failed".into())
    );
    let part = json(&map(&[&file], &["-o", "json", "--event", "connect"]));
    assert_eq!(part["edges"][0]["live"], 1);
    let focus = json(&map(
        &[&file],
        &["-o", "json", "--focus", "db.internal", "--depth", "1"],
    ));
    assert_eq!(focus["edges"].as_array().map(Vec::len), Some(1));
    let unknown = map(&[&file], &["--focus", "db.intern"]);
    unknown.expect_code(1).expect("there is none");
    assert!(
        unknown.stderr.contains("what comes nearest: db.internal"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn sources_that_do_not_go_together_are_refused() {
    let folder = Folder::new();
    let file = folder.file("a.jsonl", &good());
    for (from, args, expected) in [
        (
            vec![&*file, Path::new("live")],
            vec![],
            "cannot be mixed with recordings",
        ),
        (
            vec![Path::new("-"), Path::new("-")],
            vec![],
            "can be given once",
        ),
        (
            vec![&*file],
            vec!["--for", "1s"],
            "--for says how long to watch this host",
        ),
    ] {
        let refused = map(&from, &args);
        refused.expect_code(64).expect(expected);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    for (args, expected) in [
        (["--from", "sqlite:x"], "this version reads recordings only"),
        (["--since", "yesterday"], "neither a time nor how long ago"),
        (["--depth", "1"], "--focus"),
    ] {
        let refused = map(&[], &args);
        refused.expect_code(64).expect(expected);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
}

#[test]
fn an_anonymised_recording_makes_the_same_map_of_strangers() {
    let folder = Folder::new();
    let file = folder.file("a.jsonl", &good());
    let public = run("stream", &[&file], &["-o", "json", "--anonymise"]);
    public.expect_code(0).expect("it can be read");
    let text = String::from_utf8(public.stdout).expect("text");
    for secret in ["web-1", "6f1c", "app", "db.internal", "10.0.0.9"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let known = json(&map(&[&file], &["-o", "json"]));
    let strange = json(&map(&[&folder.file("b.jsonl", &text)], &["-o", "json"]));
    for field in [
        "port",
        "state",
        "established",
        "terminated",
        "failed",
        "connect_ns",
        "evidence",
    ] {
        assert_eq!(
            known["edges"][0][field], strange["edges"][0][field],
            "{field}"
        );
    }
}

/// Numbers and how they lie in each other: what texts say is left out, and what is in an order of texts
/// is in one of its own.
fn shape(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(_) => Value::Null,
        Value::Array(all) => {
            let mut all: Vec<Value> = all.iter().map(shape).collect();
            all.sort_by_key(ToString::to_string);
            all.into()
        }
        Value::Object(fields) => {
            // Those of a user are others.
            let kept = fields
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "args" | "cwd" | "uid"));
            // Names of nodes may be keys.
            let mut kept: Vec<Value> = kept
                .map(|(name, value)| {
                    let is_node = name.contains(['/', '.', ' ']);
                    let name = if is_node { "" } else { name };
                    serde_json::json!([name.len(), shape(value)])
                })
                .collect();
            kept.sort_by_key(ToString::to_string);
            kept.into()
        }
        other => other.clone(),
    }
}

/// What is asked of a recording has the same answer when nobody in it can be known any more.
#[test]
fn an_anonymised_recording_answers_alike() {
    let folder = Folder::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/before.jsonl");
    let public = run("stream", &[&path], &["-o", "json", "--anonymise"]);
    public.expect_code(0).expect("it can be read");
    let text = String::from_utf8(public.stdout).expect("text");
    for secret in [
        "postgres",
        "haproxy",
        "shop-1",
        "/usr/",
        "\"args\"",
        "6.18.44-fc",
    ] {
        assert!(!text.contains(secret), "{secret} is left");
    }
    let file = folder.file("public.jsonl", &text);
    for question in [
        "map",
        "groups",
        "recovery-order",
        "idle",
        "failures",
        "balance",
    ] {
        let [known, strange] = [&path, &file].map(|path| {
            let answer = run(question, &[path], &["-o", "json"]);
            shape(&json(&answer))
        });
        // Both are long.
        assert!(known == strange, "another answer to {question}");
    }
}

#[test]
fn a_recording_is_never_overwritten_by_what_is_made_of_it() {
    let folder = Folder::new();
    let file = folder.file("a.jsonl", &good());
    let twin = folder.0.path().join("twin.jsonl");
    std::fs::hard_link(&file, &twin).expect("a second name");
    for save in [&file, &twin] {
        let save = save.display().to_string();
        let refused = map(&[&file], &["-o", "json", "--save", &save]);
        refused.expect_code(64).expect("it would be lost");
        assert!(
            refused.stderr.contains("would overwrite"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), good());
}

/// A tracer that reads from a pipe which its writer keeps open.
fn from_an_open_pipe(args: &[&str]) -> (std::process::Child, std::process::ChildStdin) {
    let mut command = tracer::command().expect("there is a tracer");
    let mut child = command
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut pipe = child.stdin.take().expect("its input");
    pipe.write_all(good().as_bytes()).expect("it reads");
    (child, pipe)
}

#[test]
fn what_is_told_now_is_passed_on_now() {
    let (mut child, pipe) = from_an_open_pipe(&["stream", "--from", "-", "-o", "json"]);
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    // They come although there may be more.
    let first = lines.next().expect("a line").expect("text");
    assert!(first.contains("\"connect\""), "{first}");
    drop(pipe);
    assert_eq!(lines.count(), 2);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_signal_ends_what_is_read_with_a_map_of_it() {
    let (child, pipe) = from_an_open_pipe(&["map", "--from", "-", "-o", "json"]);
    let pid = rustix::process::Pid::from_child(&child);
    // Once the signal is caught and all three lines are read; the pipe stays open meanwhile.
    wait::until("the signal to be caught", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:\t"));
        let caught = caught.and_then(|it| u64::from_str_radix(it, 16).ok());
        Ok(caught.is_some_and(|it| it & 0b10 != 0).then_some(()))
    })
    .expect("it starts");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    drop(pipe);
    assert!(output.status.success(), "{:?}", output.status);
    let map: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a map");
    assert_eq!(map["edges"][0]["state"], "failed", "{map}");
}
