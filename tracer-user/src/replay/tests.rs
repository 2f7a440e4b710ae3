use std::io::Cursor;

use super::*;
use crate::model::specimens::events;
use crate::outputs::{Format, Writer};

fn line(event: &Event) -> String {
    let mut bytes = Vec::new();
    Writer::new(Format::Json, false).write(event, &mut bytes);
    String::from_utf8(bytes).expect("JSON is text")
}

fn parse(line: &str) -> Result<Option<Event>, Fault> {
    Parser::default().parse(line.as_bytes())
}

/// What is wrong with `line`.
fn fault(line: &str) -> String {
    parse(line).expect_err(line).to_string()
}

fn read(text: &str, skip_bad: bool) -> (Vec<Event>, Option<String>, u64) {
    let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
    let mut recording = Recording::new("it", reader, skip_bad);
    let mut events = Vec::new();
    loop {
        match recording.next_event() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None, recording.skipped()),
            Err(error) => return (events, Some(error.to_string()), recording.skipped()),
        }
    }
}

#[test]
fn every_line_comes_back_as_it_was() {
    let mut parser = Parser::default();
    for event in events::all() {
        let line = line(&event);
        let back = parser.parse(line.trim_end().as_bytes());
        let back = back.unwrap_or_else(|fault| panic!("{fault}: {line}"));
        assert_eq!(self::line(&back.expect("an event")), line);
    }
}

#[test]
fn the_order_of_fields_and_spaces_do_not_matter() {
    for event in events::all() {
        let line = line(&event);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        // Its fields are in the order of their names now, each on a line of its own.
        let sorted = serde_json::to_string_pretty(&value)
            .expect("JSON")
            .replace('\n', " ");
        let back = parse(&sorted).expect(&sorted).expect("an event");
        assert_eq!(self::line(&back), line);
    }
}

#[test]
fn the_short_way_and_the_long_way_agree() {
    let mut short = Parser::default();
    let mut taken = 0;
    for event in events::all() {
        let line = line(&event);
        let line = line.trim_end();
        let Some(fast) = short.canonical(line) else {
            assert!(event.body.connection().is_none(), "{line}");
            continue;
        };
        taken += 1;
        let slow = Parser::default().any(line.as_bytes()).expect(line);
        assert_eq!(
            format!("{fast:?}"),
            format!("{:?}", slow.expect("an event"))
        );
        // Nothing but the whole line is one.
        for end in 0..line.len() {
            if line.is_char_boundary(end) {
                assert!(short.canonical(&line[..end]).is_none());
            }
        }
        assert!(short.canonical(&format!("{line}}}")).is_none());
    }
    assert!(taken > 50);
}

#[test]
fn fields_and_kinds_of_later_tracers_are_passed_over() {
    let line = line(&events::all()[1]);
    let more = line.replacen("{\"v\":1", "{\"new\":{\"a\":[1,null]},\"v\":1", 1);
    assert!(parse(&more).expect("it is understood").is_some());
    let other = line.replacen("\"connect\"", "\"daydream\"", 1);
    assert!(parse(&other).expect("it is passed over").is_none());
    assert!(parse(" \r").expect("an empty line").is_none());
}

#[test]
fn what_is_wrong_is_said() {
    let line = line(&events::all()[1]);
    let with = |from: &str, to: &str| {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        fault(changed.trim_end())
    };
    assert!(with("\"v\":1", "\"v\":2").contains("version 2"));
    // Of another version nothing else is expected to fit.
    assert!(fault(r#"{"v":7,"what":"ever"}"#).contains("version 7"));
    assert!(with("\"evidence\"", "\"evidences\"").contains("`evidence` is missing"));
    assert!(
        with("\"outbound\"", "\"sideways\"")
            .contains("`connection.direction` cannot be `sideways`")
    );
    assert!(with("2026-11-22T", "2026-13-22T").contains("`time` cannot be"));
    assert!(with("\"ipv4\"", "\"ipx\"").contains("`connection.family` cannot be `ipx`"));
    assert!(with("\"port\":5432", "\"port\":70000").contains("not a line of a tracer stream"));
    assert!(fault("not JSON").contains("not a line of a tracer stream"));
    assert!(fault("[1]").contains("not a line of a tracer stream"));
    assert!(fault("{\"v\":1}").contains("missing field"));
}

#[test]
fn a_fault_names_file_and_line() {
    let good = line(&events::all()[1]);
    let text = format!("{good}\n{good}oops\n{good}");
    let (events, error, _) = read(&text, false);
    assert_eq!(events.len(), 2);
    let error = error.expect("a fault");
    assert!(error.starts_with("it, line 4: not a line"), "{error}");
    assert!(error.contains("--skip-bad"), "{error}");
    let (events, error, skipped) = read(&text, true);
    assert_eq!((events.len(), error, skipped), (3, None, 1));
}

#[test]
fn a_recording_that_was_cut_off_is_told_from_one_that_is_wrong() {
    let good = line(&events::all()[1]);
    let cut = &good[..good.len() / 2];
    let (events, error, _) = read(&format!("{good}{cut}"), false);
    assert_eq!(events.len(), 1);
    let error = error.expect("a fault");
    assert!(
        error.contains("line 2: the recording ends in the midst"),
        "{error}"
    );
    // Only the line end is missing.
    let (events, error, _) = read(&format!("{good}{}", good.trim_end()), false);
    assert_eq!((events.len(), error), (2, None));
    for empty in ["", "\n\n"] {
        let (_, error, _) = read(empty, false);
        assert!(error.expect("a fault").contains("has no events"));
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let text = format!("{}\n{}", "x".repeat(3 << 20), line(&events::all()[1]));
    let (_, error, _) = read(&text, false);
    assert!(error.expect("a fault").contains("line 1: longer than"));
    let (events, error, skipped) = read(&text, true);
    assert_eq!((events.len(), error, skipped), (1, None, 1));
}

#[test]
fn long_lines_are_read_across_the_buffer() {
    let mut text = String::new();
    for event in events::all().iter().cycle().take(2000) {
        text.push_str(&line(event));
    }
    let (events, error, _) = read(&text, false);
    assert_eq!((events.len(), error), (2000, None));
    let again: String = events.iter().map(line).collect();
    assert!(again == text);
}

#[test]
fn recordings_are_merged_by_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let event = events::all()[1].clone();
    let mut paths = Vec::new();
    for (name, seconds) in [("a", [1, 4, 6]), ("b", [2, 3, 6])] {
        let lines: String = seconds
            .iter()
            .map(|second| {
                line(&Event {
                    time: Timestamp::from_ns(second * 1_000_000_000),
                    ..event.clone()
                })
            })
            .collect();
        let path = folder.path().join(name);
        std::fs::write(&path, lines).expect("written");
        paths.push(path);
    }
    let mut merge = Merge::open(&paths, false).expect("both are there");
    let mut seconds = Vec::new();
    while let Some(event) = merge.next_event().expect("all lines are right") {
        seconds.push(event.time.as_ns() / 1_000_000_000);
    }
    // What both have is one event.
    assert_eq!(seconds, [1, 2, 3, 4, 6]);
    assert_eq!(merge.repeated(), 1);

    paths.push(folder.path().join("c"));
    let error = Merge::open(&paths, false).expect_err("there is no c");
    assert!(error.to_string().starts_with("cannot open"), "{error}");
    paths[2] = folder.path().to_owned();
    Merge::open(&paths, false).expect_err("a folder");
}

#[test]
fn recordings_that_overlap_tell_each_event_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Vec<String> = (1..)
        .zip(events::all())
        .map(|(second, event)| {
            let time = Timestamp::from_ns(second * 1_000_000_000);
            line(&Event { time, ..event })
        })
        .collect();
    let middle = lines.len() / 2;
    let write = |name: &str, lines: &[String]| {
        let path = folder.path().join(name);
        std::fs::write(&path, lines.concat()).expect("written");
        path
    };
    let read = |paths: &[PathBuf]| {
        let mut merge = Merge::open(paths, false).expect("they are there");
        let mut told = Vec::new();
        while let Some(event) = merge.next_event().expect("all lines are right") {
            told.push(line(&event));
        }
        told.sort();
        told
    };
    let whole = write("whole", &lines);
    let mut expected = lines.clone();
    expected.sort();
    assert!(read(&[whole.clone(), whole.clone(), whole]) == expected);
    let parts = [
        write("first", &lines[..middle + 3]),
        write("last", &lines[middle - 3..]),
    ];
    assert!(read(&parts) == expected);
}

#[test]
fn a_server_that_is_but_a_name_comes_back() {
    // Found by fuzzing: it was written as `{,"name":…}`.
    let named = events::all()
        .iter()
        .map(line)
        .find(|line| line.contains("\"name\":\"db"));
    let named = named.expect("a specimen with a name");
    let server = named.find("\"server\":{").expect("a server") + "\"server\":{".len();
    let name = server + named[server..].find("\"name\"").expect("its name");
    let bare = format!("{}{}", &named[..server], &named[name..]);
    let event = parse(bare.trim_end()).expect(&bare).expect("an event");
    checks::comes_back(&event);
}

#[test]
fn a_time_of_letters_is_none() {
    // Found by fuzzing: a letter of two bytes where the point is to be.
    for time in [
        "2026-11-22T01:02[\u{33c}123456789Z",
        "2026-11-22T01:02:0\u{33c}123456789Z",
    ] {
        let line = line(&events::all()[1]);
        let at = line.find("2026-").expect("a time");
        let end = at + line[at..].find('"').expect("its end");
        let fault = fault(&format!("{}{time}{}", &line[..at], line[end..].trim_end()));
        assert!(fault.contains("`time` cannot be"), "{fault}");
    }
}
