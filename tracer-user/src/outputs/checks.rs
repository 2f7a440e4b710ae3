//! What must hold of every line, for property tests and fuzzing. Compiled for these only.

use std::borrow::Borrow as _;

use serde_json::Value;

use super::{Format, Writer, sanitise, sanitise::is_printable};
use crate::model::{Body, Event, Process, bounds};

/// Writes `event` in every form, and reads it again.
///
/// # Panics
/// If something does not hold.
pub(crate) fn line(event: &Event, json: &mut Writer) {
    let mut bytes = b"before\n".to_vec();
    json.write(event, &mut bytes);
    let text = one_line(&bytes);
    let value: Value = serde_json::from_str(text).expect("JSON");
    if event.body.process().is_some() {
        assert!(text.len() <= bounds::MAX_LINE_BYTES, "{} bytes", text.len());
    }
    assert_eq!(value["v"], 1);
    assert_eq!(value["event"], event.body.kind().name());
    assert_eq!(value["time"], event.time.to_string());
    if let Some(connection) = event.body.connection() {
        assert_eq!(value["connection"]["id"], connection.id.to_string());
    }
    match process(&event.body) {
        None => assert_eq!(value.get("process"), None),
        Some(process) => {
            let read = &value["process"];
            assert_eq!(read["pid"], process.pid);
            assert_eq!(read["comm"], *process.comm);
            assert_eq!(read["exe"].as_str(), process.exe.as_deref());
            assert_eq!(
                read.get("args"),
                process
                    .args
                    .as_ref()
                    .map(|args| args.iter().cloned().collect())
                    .as_ref()
            );
        }
    }

    let mut bytes = b"before\n".to_vec();
    Writer::new(Format::Text, false).write(event, &mut bytes);
    let plain = one_line(&bytes);
    assert_eq!(plain.trim_end(), plain);
    let mut bytes = b"before\n".to_vec();
    Writer::new(Format::Text, true).write(event, &mut bytes);
    let coloured = str::from_utf8(&bytes).expect("UTF-8");
    assert_eq!(without_colours(coloured), format!("before\n{plain}\n"));
}

/// The one line that was appended, without its end.
fn one_line(bytes: &[u8]) -> &str {
    let text = str::from_utf8(bytes).expect("UTF-8");
    let text = text
        .strip_prefix("before\n")
        .expect("what was there before");
    let text = text.strip_suffix('\n').expect("a whole line");
    assert!(
        text.chars()
            .all(|char| is_printable(char) && !char.is_control()),
        "{text:?}"
    );
    text
}

fn process(body: &Body) -> Option<&Process> {
    match body {
        Body::Existing(it)
        | Body::Connect(it)
        | Body::Accept(it)
        | Body::Totals(it)
        | Body::Close(it)
        | Body::Fail(it) => it.process.as_deref(),
        Body::Listen(it) | Body::Unlisten(it) => it.process.as_deref(),
        Body::Exec(it) | Body::Exit(it) => Some(it.process.borrow()),
        Body::Start(_) | Body::Loss(_) | Body::Stop(_) => None,
    }
}

/// Takes out the sequences that set colours, and no others.
pub(super) fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (numbers, rest) = part.split_once('m').expect("the end of a colour");
        assert!(
            numbers
                .chars()
                .all(|char| char.is_ascii_digit() || char == ';')
        );
        out.push_str(rest);
    }
    out
}

/// Makes `text` harmless, and takes it back.
///
/// # Panics
/// If something does not hold.
pub(crate) fn harmless(text: &str, max: usize) {
    let whole = sanitise(text, usize::MAX).to_string();
    assert!(whole.chars().all(is_printable), "{whole:?}");
    assert_eq!(unescape(&whole), text);

    let cut = sanitise(text, max).to_string();
    assert!(cut.chars().all(is_printable), "{cut:?}");
    if columns(&whole) <= max {
        assert_eq!(cut, whole);
    } else {
        let kept = cut.strip_suffix('…').expect("a sign that it is cut");
        assert!(whole.starts_with(kept));
        assert!(columns(kept) < max.max(1));
    }
}

fn columns(text: &str) -> usize {
    text.chars()
        .map(|char| if char.is_ascii() { 1 } else { 2 })
        .sum()
}

/// What escapes stand for.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        let hex = |digits: &str| {
            let number = u32::from_str_radix(digits, 16).expect("a number");
            char::from_u32(number).expect("a character")
        };
        let (char, rest) = match part.as_bytes() {
            [] => ('\\', parts.next().expect("what follows a backslash")),
            [b'n', ..] => ('\n', &part[1..]),
            [b't', ..] => ('\t', &part[1..]),
            [b'r', ..] => ('\r', &part[1..]),
            [b'x', ..] => (hex(&part[1..3]), &part[3..]),
            [b'u', b'{', ..] => {
                let (digits, rest) = part[2..].split_once('}').expect("the end of an escape");
                (hex(digits), rest)
            }
            _ => panic!("an escape that is none: {part:?}"),
        };
        out.push(char);
        out.push_str(rest);
    }
    out
}
