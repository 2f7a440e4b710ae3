//! What holds for every line.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::KINDS;

/// Checks what the contract says of every line: version, time, event, host, no nulls, `start`
/// first and `stop` last.
pub fn well_formed(events: &[Value]) -> Result<()> {
    let host = events
        .first()
        .map(|event| event["host"]["id"].clone())
        .context("no line at all")?;
    ensure!(
        host.is_string(),
        "the start line has no host.id: {}",
        events[0]
    );
    for (n, event) in events.iter().enumerate() {
        let time = event["time"].as_str().unwrap_or_default();
        ensure!(event["v"] == 1, "not version 1: {event}");
        ensure!(
            time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
            "not a time: {event}"
        );
        ensure!(event["host"]["id"] == host, "another host: {event}");
        ensure!(!has_null(event), "null in {event}");
        let kind = event["event"].as_str().unwrap_or_default();
        let known = KINDS.contains(&kind) || matches!(kind, "start" | "stop" | "loss");
        ensure!(known, "an unknown event: {event}");
        ensure!(
            (kind == "start") == (n == 0),
            "`start` must be the first line and only that: {event}"
        );
        ensure!(
            kind != "stop" || n + 1 == events.len(),
            "`stop` must be the last line: {event}"
        );
    }
    Ok(())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

/// Fails if `text` could change a terminal: control bytes but newlines, C1, bidi controls.
pub fn harmless(text: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(text).context("the text is not UTF-8")?;
    for line in text.lines() {
        let bad = line.chars().find(|c| {
            c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        ensure!(bad.is_none(), "{bad:?} in {line:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_would_change_a_terminal() {
        harmless(b"a\nb \xc3\xa9\n").expect("harmless");
        for bad in [
            &b"\x1b[31m"[..],
            b"a\rb",
            b"\xc2\x9b31m",
            "\u{202e}".as_bytes(),
            b"\xff",
            b"\x7f",
        ] {
            harmless(bad).expect_err("not harmless");
        }
    }
}
