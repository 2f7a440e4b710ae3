//! What a recording takes in memory, at the most, by what it has: whoever writes one decides that.

use std::{fmt::Write as _, time::Duration};

use super::*;

/// What none of these recordings takes, on a machine that has much else to do.
const MAX_TIME: Duration = Duration::from_secs(90);

/// Makes a recording: `line` is told the number of each line.
fn recording(lines: usize, mut line: impl FnMut(&mut String, usize)) -> String {
    let mut text = String::new();
    for n in 0..lines {
        line(&mut text, n);
        text.push('\n');
    }
    text
}

/// Parts of a line, the shortest that are understood.
struct Line {
    event: &'static str,
    second: usize,
    host: String,
    id: usize,
    direction: &'static str,
    netns: usize,
    local: String,
    remote: String,
    more: String,
    process: String,
    evidence: &'static str,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            event: "close",
            second: 0,
            host: r#"{"id":"a","name":"a"}"#.to_owned(),
            id: 0,
            direction: "outbound",
            netns: 1,
            local: r#"{"address":"10.0.0.1","port":9}"#.to_owned(),
            remote: r#"{"address":"10.0.0.2","port":9}"#.to_owned(),
            more: String::new(),
            process: r#"{"pid":1,"comm":"x"}"#.to_owned(),
            evidence: r#"{"process":"hook"}"#,
        }
    }
}

impl Line {
    fn put(&self, text: &mut String) {
        let Self {
            event,
            second,
            host,
            id,
            direction,
            netns,
            local,
            remote,
            more,
            process,
            evidence,
        } = self;
        let (client, server) = match *direction {
            "inbound" => (remote, local),
            _ => (local, remote),
        };
        let time = format!(
            "2026-11-22T{:02}:{:02}:{:02}Z",
            second / 3600 % 24,
            second / 60 % 60,
            second % 60
        );
        let _ = write!(
            text,
            r#"{{"v":1,"time":"{time}","event":"{event}","host":{host},"connection":{{"id":"{id:x}00000007","direction":"{direction}","family":"ipv4","netns":{netns},"client":{client},"server":{server}{more}}},"process":{process},"evidence":{evidence}}}"#
        );
    }
}

fn address(n: usize) -> String {
    let [_, b, c, d] = (n as u32).to_be_bytes();
    format!(r#"{{"address":"{}.{b}.{c}.{d}","port":9}}"#, 10 + (n >> 24))
}

fn process(pid: usize, more: &str) -> String {
    format!(r#"{{"pid":{pid},"comm":"x"{more}}}"#)
}

/// A process, and a container with these labels.
fn container(n: usize, labels: &str) -> String {
    let process = process(n, "");
    format!(
        r#"{process},"workload":{{"kind":"container","name":"x","container":{{"id":"{n:x}","labels":{{{labels}}}}}}}"#
    )
}

/// Recordings that have much of one thing each.
fn kinds() -> Vec<(&'static str, String)> {
    let lines = |lines, of: &dyn Fn(usize) -> Line| {
        recording(lines, |text, n| Line { id: n, ..of(n) }.put(text))
    };
    let many = |count: usize, of: &dyn Fn(usize) -> String| {
        let all: Vec<String> = (0..count).map(of).collect();
        all.join(",")
    };
    let labels = many(10_000, &|n| format!(r#""{n:x}":"""#));
    let few_labels = many(64, &|n| format!(r#""{n:x}":"""#));
    let args = many(10_000, &|_| r#""""#.to_owned());
    let few_args = many(64, &|_| r#""a""#.to_owned());
    let named = |n: usize| Line {
        host: format!(r#"{{"id":"a","name":"{n:x}"}}"#),
        ..Line::default()
    };
    let plain = |text: &mut String, event: &str, host: &str, more: &str| {
        let _ = write!(
            text,
            r#"{{"v":1,"time":"2026-11-22T00:00:00Z","event":"{event}","host":{host},{more}}}"#
        );
    };
    let tracer = r#""tracer":{"version":"","hooks":"","kernel":"","arch":""}"#;
    vec![
        (
            "labels, very many",
            lines(40, &|n| Line {
                process: container(n, &labels),
                ..Line::default()
            }),
        ),
        (
            "labels, as many as are kept",
            lines(4_000, &|n| Line {
                process: container(n, &few_labels),
                ..Line::default()
            }),
        ),
        (
            "arguments, very many",
            lines(40, &|n| Line {
                process: process(n, &format!(r#","args":[{args}]"#)),
                ..Line::default()
            }),
        ),
        (
            "arguments, as many as are kept",
            lines(4_000, &|n| Line {
                process: process(n, &format!(r#","args":[{few_args}]"#)),
                ..Line::default()
            }),
        ),
        (
            "long arguments",
            lines(2_000, &|n| Line {
                process: process(n, &format!(r#","args":["{}"]"#, "x".repeat(4000))),
                ..Line::default()
            }),
        ),
        (
            "processes",
            lines(10_000, &|n| Line {
                process: process(n, ""),
                ..Line::default()
            }),
        ),
        (
            "programs",
            lines(10_000, &|n| Line {
                process: process(n, &format!(r#","exe":"/{n}""#)),
                ..Line::default()
            }),
        ),
        (
            "programs of a user",
            lines(10_000, &|n| Line {
                process: process(n, &format!(r#","uid":1000,"exe":"/{n}""#)),
                ..Line::default()
            }),
        ),
        (
            "remotes",
            lines(10_000, &|n| Line {
                remote: address(n),
                ..Line::default()
            }),
        ),
        (
            "own addresses",
            lines(10_000, &|n| Line {
                local: address(n),
                ..Line::default()
            }),
        ),
        (
            "open connections",
            lines(10_000, &|n| Line {
                event: "connect",
                local: address(n),
                ..Line::default()
            }),
        ),
        (
            "namespaces",
            lines(10_000, &|n| Line {
                netns: n,
                ..Line::default()
            }),
        ),
        (
            "namespaces of one address, in and out",
            lines(10_000, &|n| Line {
                netns: n,
                direction: "inbound",
                remote: address(n),
                ..Line::default()
            }),
        ),
        (
            "names",
            lines(10_000, &|n| Line {
                remote: format!(r#"{{"address":"10.0.0.2","port":9,"name":"{n:x}"}}"#),
                evidence: r#"{"process":"hook","name":"dns"}"#,
                ..Line::default()
            }),
        ),
        ("hosts of one id", lines(8_000, &named)),
        (
            "hosts of one name",
            lines(8_000, &|n| Line {
                host: format!(r#"{{"id":"{n:x}","name":"a"}}"#),
                ..Line::default()
            }),
        ),
        (
            "hosts that are watched at once",
            recording(8_000, |text, n| {
                let host = format!(r#"{{"id":"a","name":"{:x}"}}"#, n / 2);
                match n % 2 {
                    0 => plain(text, "start", &host, tracer),
                    _ => plain(
                        text,
                        "stop",
                        &host,
                        r#""coverage":{"from":"2026-11-22T00:00:00Z","to":"2026-11-22T01:00:00Z"}"#,
                    ),
                }
            }),
        ),
        (
            "runs",
            recording(10_000, |text, n| {
                let (minute, second) = (n / 60 % 60, n % 60);
                let _ = write!(
                    text,
                    r#"{{"v":1,"time":"2026-11-22T{:02}:{minute:02}:{second:02}Z","event":"start","host":{{"id":"a","name":"a"}},{tracer}}}"#,
                    n / 3600
                );
            }),
        ),
        (
            "what cannot be seen",
            recording(200, |text, n| {
                let blind = many(1000, &|it| format!(r#"{{"what":"{n:x}{it:x}","why":""}}"#));
                plain(
                    text,
                    "start",
                    &format!(r#"{{"id":"{n:x}","name":"a"}}"#),
                    &format!(r#"{tracer},"blind":[{blind}]"#),
                );
            }),
        ),
        (
            "networks of many hosts",
            recording(8_000, |text, n| {
                let (pair, is_server) = (n / 2, n % 2 == 1);
                let ends = [
                    format!("10.{}.{}.1", pair / 256 % 256, pair % 256),
                    format!("10.{}.{}.2", pair / 256 % 256, pair % 256),
                ];
                let end = |at: usize| format!(r#"{{"address":"{}","port":{}}}"#, ends[at], 9 + at);
                Line {
                    host: format!(r#"{{"id":"{:x}","name":"{:x}"}}"#, n % 2000, n % 2000),
                    id: n,
                    direction: if is_server { "inbound" } else { "outbound" },
                    local: end(usize::from(is_server)),
                    remote: end(usize::from(!is_server)),
                    process: process(n, ""),
                    more: format!(r#","handshake":"{:x}""#, pair + 1),
                    ..Line::default()
                }
                .put(text);
            }),
        ),
        (
            "failures at many ports",
            lines(10_000, &|n| Line {
                event: "fail",
                remote: format!(
                    r#"{{"address":"10.0.{}.{}","port":{}}}"#,
                    n / 18 / 256,
                    n / 18 % 256,
                    1 + n % 18
                ),
                process: r#"{"pid":1,"comm":"x"},"failure":{"phase":"remote","reason":"refused"}"#
                    .to_owned(),
                second: n % 80_000,
                ..Line::default()
            }),
        ),
        (
            "listeners",
            recording(10_000, |text, n| {
                plain(
                    text,
                    "listen",
                    r#"{"id":"a","name":"a"}"#,
                    &format!(
                        r#""listener":{{"address":"0.0.0.0","port":{},"netns":{}}},"process":{},"evidence":{{"process":"hook"}}"#,
                        n % 60_000 + 1,
                        n / 60_000,
                        process(n, "")
                    ),
                );
            }),
        ),
        (
            "executed programs",
            recording(10_000, |text, n| {
                Line {
                    id: n,
                    process: process(n, ""),
                    ..Line::default()
                }
                .put(text);
                text.push('\n');
                plain(
                    text,
                    "exec",
                    r#"{"id":"a","name":"a"}"#,
                    &format!(
                        r#""process":{}"#,
                        process(n, &format!(r#","exe":"/{n:x}""#))
                    ),
                );
            }),
        ),
    ]
}

#[test]
fn a_recording_takes_memory_in_proportion_to_its_length() {
    let mut wrong = Vec::new();
    for (what, text) in kinds() {
        let begun = std::time::Instant::now();
        let taken = allocation_counter::measure(|| map_of(text.as_bytes()));
        let (taken, length) = (taken.bytes_max as usize, text.len());
        // A few seconds even without optimisation: what is more takes longer for each line the more there are.
        if taken > most_memory(length) || begun.elapsed() > MAX_TIME {
            let time = begun.elapsed();
            wrong.push(format!("{what}: {taken} bytes of {length}, {time:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
