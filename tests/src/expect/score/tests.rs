//! Lines that agree with a ledger, and lines that do not.

use serde_json::{Value, json};

use super::*;
use crate::ledger::{Closer, Side, rfc3339};

const CLIENT: &str = "127.0.0.1:40000";
const SERVER: &str = "127.0.0.1:80";
/// 2026-11-22T01:02:03Z, which is when the lines say that they opened.
const OPENED: u64 = 1_795_309_323_000_000_000;

fn end(side: Side) -> End {
    let (sent, received, closed_by) = match side {
        Side::Client => (10, 20, Closer::Local),
        Side::Server => (20, 10, Closer::Remote),
    };
    End {
        side,
        netns: 7,
        client: CLIENT.parse().expect("address"),
        server: SERVER.parse().expect("address"),
        opener: 100,
        listener: (side == Side::Server).then_some(99),
        // A child serves.
        closer: match side {
            Side::Client => 100,
            Side::Server => 101,
        },
        sent,
        received,
        closed_by: Some(closed_by),
        reset: false,
        existing: false,
        at: OPENED + 100,
    }
}

fn line(event: &str, direction: &str, id: &str, pid: u32, evidence: &str) -> Value {
    let inbound = direction == "inbound";
    let mut line = json!({
        "v": 1, "time": "2026-11-22T01:02:04.000000000Z", "event": event, "host": {"id": "h", "name": "n"},
        "connection": {
            "id": id, "direction": direction, "family": "ipv4", "netns": 7,
            "client": {"address": "127.0.0.1", "port": 40000},
            "server": {"address": "127.0.0.1", "port": 80, "name": "a.b"},
            "opened": "2026-11-22T01:02:03.000000000Z", "existing": false, "connect_ns": 5
        },
        "process": {"pid": pid, "comm": "x"},
        "evidence": {"process": evidence, "direction": "handshake"}
    });
    if event == "close" {
        line["connection"]["duration_ns"] = json!(1);
        line["connection"]["sent_bytes"] = json!(if inbound { 20 } else { 10 });
        line["connection"]["received_bytes"] = json!(if inbound { 10 } else { 20 });
        line["connection"]["closed_by"] = json!(if inbound { "remote" } else { "local" });
    }
    line
}

fn good() -> Vec<Value> {
    vec![
        line("connect", "outbound", "a", 100, "hook"),
        line("accept", "inbound", "b", 99, "listener"),
        line("close", "outbound", "a", 100, "hook"),
        line("close", "inbound", "b", 101, "close"),
    ]
}

fn scored(lines: &[Value]) -> Report {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let ends = [end(Side::Client), end(Side::Server)];
    score(&ends, lines.iter().map(String::as_str)).expect("lines that parse")
}

fn scored_after(change: impl FnOnce(&mut Vec<Value>)) -> Report {
    let mut lines = good();
    change(&mut lines);
    scored(&lines)
}

#[test]
fn agreement() {
    scored(&good()).verdict(0).expect("no discrepancy");
}

#[test]
fn other_namespaces_do_not_count() {
    let report = scored_after(|lines| {
        let mut other = lines[0].clone();
        other["connection"]["netns"] = json!(8);
        lines.push(other);
    });
    report.verdict(0).expect("no discrepancy");
}

#[test]
fn what_is_missing_or_too_much() {
    assert_eq!(
        scored_after(|lines| drop(lines.remove(0))).count("close without an open of its id"),
        1
    );
    assert_eq!(
        scored_after(|lines| drop(lines.pop())).count("open without a close of its id"),
        1
    );
    assert_eq!(
        scored_after(|lines| lines.truncate(1)).count("missing altogether"),
        1
    );
    assert_eq!(
        scored_after(|lines| lines.push(lines[0].clone())).count("opened twice"),
        1
    );
    assert_eq!(
        scored_after(|lines| lines.push(lines[3].clone())).count("closed twice"),
        1
    );
    let invented = |lines: &mut Vec<Value>| {
        lines.push(line("connect", "outbound", "c", 100, "hook"));
        let mut stranger = line("connect", "outbound", "d", 100, "hook");
        stranger["connection"]["client"]["port"] = json!(1);
        lines.push(stranger);
    };
    assert_eq!(scored_after(invented).count("invented"), 2);
}

#[test]
fn a_close_too_much_hides_nothing_else() {
    let report = scored_after(|lines| {
        let mut phantom = line("close", "inbound", "p", 101, "close");
        let members = phantom["connection"].as_object_mut().expect("an object");
        members.remove("opened");
        members.insert("existing".to_owned(), json!(true));
        lines.insert(0, phantom);
    });
    assert_eq!(report.count("invented"), 1);
    assert_eq!(
        (report.false_.len(), report.unknown.len()),
        (1, 0),
        "{report}"
    );
}

#[test]
fn what_was_missed_is_excused_and_nothing_else() {
    let missing = scored_after(|lines| {
        lines.remove(3);
        lines.remove(1);
    });
    missing.verdict(0).expect_err("an end is missing");
    missing.verdict(1).expect("one run was missed");
    let late = |lines: &mut Vec<Value>| {
        for n in [1, 3] {
            lines[n]["connection"]["existing"] = json!(true);
            let members = lines[n]["connection"].as_object_mut().expect("an object");
            members.remove("opened");
            members.remove("duration_ns");
        }
        lines[1]["event"] = json!("existing");
        lines[1]["evidence"]["process"] = json!("unknown");
        lines[1]
            .as_object_mut()
            .expect("an object")
            .remove("process");
    };
    let found = scored_after(late);
    assert_eq!(found.count("a new connection called existing"), 1);
    found.verdict(0).expect_err("its beginning was missed");
    found.verdict(1).expect("one run was missed");
    let wrong = scored_after(|lines| {
        late(lines);
        lines[3]["process"]["pid"] = json!(5);
    });
    wrong
        .verdict(9)
        .expect_err("a wrong process is never excused");
}

#[test]
fn the_first_of_two_with_equal_addresses_may_be_missing() {
    let first = end(Side::Client);
    let ends = [
        first,
        End {
            at: first.at + 500_000_000,
            sent: 500,
            ..first
        },
    ];
    let mut lines = vec![
        line("connect", "outbound", "z", 100, "hook"),
        line("close", "outbound", "z", 100, "hook"),
    ];
    for line in &mut lines {
        line["connection"]["opened"] = json!(rfc3339(ends[1].at - 1));
    }
    lines[1]["connection"]["sent_bytes"] = json!(500);
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let report = score(&ends, lines.iter().map(String::as_str)).expect("lines");
    assert_eq!(report.count("missing altogether"), 1, "{report}");
    report.verdict(1).expect("nothing is false");
}

#[test]
fn what_was_there_before() {
    let mut ends = [end(Side::Client), end(Side::Server)];
    let mut lines = good();
    for (n, line) in lines.iter_mut().enumerate() {
        line["connection"]["existing"] = json!(true);
        let members = line["connection"].as_object_mut().expect("an object");
        members.remove("opened");
        members.remove("duration_ns");
        if n < 2 {
            line["event"] = json!("existing");
            line["evidence"]["process"] = json!("scan");
            line["process"]["pid"] = json!(100);
        }
    }
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let report = |ends: &[End]| score(ends, lines.iter().map(String::as_str)).expect("lines");
    report(&ends).verdict(9).expect_err("they were new");
    for end in &mut ends {
        end.existing = true;
    }
    report(&ends).verdict(0).expect("no discrepancy");
}

#[test]
fn what_is_wrong() {
    let after = |n: usize, path: &str, value: Value| {
        scored_after(|lines| *lines[n].pointer_mut(path).expect("a field") = value)
    };
    assert_eq!(
        after(0, "/process/pid", json!(5)).count("wrong process at the open"),
        1
    );
    assert_eq!(
        after(1, "/evidence/process", json!("hook")).count("wrong process at the open"),
        1
    );
    assert_eq!(
        after(3, "/process/pid", json!(100)).count("wrong process at the close"),
        1
    );
    assert_eq!(
        after(2, "/connection/sent_bytes", json!(11)).count("wrong sent_bytes"),
        1
    );
    assert_eq!(
        after(3, "/connection/received_bytes", json!(11)).count("wrong received_bytes"),
        1
    );
    assert_eq!(
        after(3, "/connection/closed_by", json!("local")).count("wrong closed_by"),
        1
    );
    assert_eq!(
        after(0, "/connection/direction", json!("inbound")).count("wrong direction"),
        1
    );
    assert_eq!(
        after(0, "/connection/family", json!("ipv6")).count("wrong family"),
        1
    );
    assert_eq!(
        after(0, "/event", json!("fail")).count("an event that should not be"),
        1
    );
}

#[test]
fn an_attempt_without_an_outcome() {
    let lost = |pid: u32| {
        let mut fail = line("fail", "outbound", "a", pid, "hook");
        fail["failure"] = json!({"phase": "network", "reason": "other"});
        fail["evidence"]["end"] = json!("scan");
        fail["connection"]["client"] = json!({"address": "127.0.0.1"});
        scored_after(|lines| {
            lines.retain(|line| line["connection"]["direction"] == "inbound");
            lines.push(fail);
        })
    };
    let found = lost(100);
    assert_eq!(found.count("no outcome"), 1, "{found}");
    found.verdict(0).expect_err("nothing was missed");
    found.verdict(1).expect("one run was missed");
    let wrong = lost(5);
    assert_eq!(wrong.count("invented"), 1, "{wrong}");
    wrong.verdict(9).expect_err("nobody of that pid dialled");
}

#[test]
fn a_reset_at_the_very_end_is_rare() {
    let reset = |lines: &mut Vec<Value>| lines[3]["connection"]["errno"] = json!("ECONNRESET");
    scored_after(reset).verdict(0).expect("one may be");
    let many = Report {
        reset_at_last: 2,
        ..Report::default()
    };
    many.verdict(9).expect_err("one of two ends");
    let mut told = good();
    told[3]["connection"]["errno"] = json!("EPIPE");
    scored(&told).verdict(9).expect_err("another error");
}

#[test]
fn equal_tuples_one_after_the_other() {
    let mut ends = vec![end(Side::Client), end(Side::Client)];
    ends[0].at = OPENED + 600_000_000;
    ends[0].sent = 500;
    let mut lines = vec![
        line("connect", "outbound", "z", 100, "hook"),
        line("close", "outbound", "z", 100, "hook"),
    ];
    lines.push(line("connect", "outbound", "a", 100, "hook"));
    lines.push(line("close", "outbound", "a", 100, "hook"));
    for later in &mut lines[2..] {
        later["connection"]["opened"] = json!("2026-11-22T01:02:03.500000000Z");
    }
    lines[3]["connection"]["sent_bytes"] = json!(500);
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    score(&ends, lines.iter().map(String::as_str))
        .expect("parsed")
        .verdict(0)
        .expect("no discrepancy");
}
