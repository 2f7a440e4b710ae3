//! JSON Lines: the public event stream, version 1. `docs/output.md` has every field.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::sanitise::is_printable;
use crate::model::{Body, Event, Host, Timestamp};

/// Version of the stream: changes when a field goes away or changes its meaning.
const VERSION: u8 = 1;

/// One line, in the order of its fields.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    time: Timestamp,
    event: &'static str,
    host: &'a Host,
    #[serde(flatten)]
    body: &'a Body,
}

/// Appends `event` to `buf` as one line.
pub(super) fn write(event: &Event, buf: &mut Vec<u8>) {
    let line = Line {
        v: VERSION,
        time: event.time,
        event: event.body.kind().name(),
        host: &event.host,
        body: &event.body,
    };
    let start = buf.len();
    match line.serialize(&mut Serializer::with_formatter(
        &mut *buf,
        Printable(CompactFormatter),
    )) {
        Ok(()) => buf.push(b'\n'),
        Err(error) => {
            // Writing to memory does not fail, and neither do these types: a test writes
            // each of them. Should it happen all the same, half a line must not go out.
            buf.truncate(start);
            tracing::error!("cannot write an event as JSON: {error}");
        }
    }
}

/// Compact JSON that a terminal cannot be tricked with: besides what JSON demands, it
/// escapes what has no visible form, as `\u009b`. To a JSON reader that is the same text.
struct Printable(CompactFormatter);

impl Formatter for Printable {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(|char| !is_printable(char)) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
            let mut chars = tail.chars();
            if let Some(char) = chars.next() {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::specimens;

    fn line(comm: &str) -> String {
        let mut event = specimens::connect();
        event.process = Some(specimens::process(comm));
        let mut buf = b"before\n".to_vec();
        write(&specimens::event(Body::Connect(event)), &mut buf);
        let text = String::from_utf8(buf).expect("UTF-8");
        text.strip_prefix("before\n").expect("appended").to_owned()
    }

    #[test]
    fn one_line_in_the_order_of_the_contract() {
        let line = line("nginx");
        let expected = r#"{"v":1,"time":"2026-11-22T01:02:03.123456789Z","event":"connect","host":{"id":"6f1c0b6e","name":"web-1"},"connection":{"id":"9c41-2f","direction":"outbound","family":"ipv4","netns":4026531840,"client":{"address":"10.0.0.5","port":41532},"server":{"address":"10.0.0.9","port":5432},"opened":"2026-11-22T01:02:03.123456789Z","existing":false,"connect_ns":184223},"process":{"pid":812,"ppid":1,"uid":33,"comm":"nginx","exe":"/usr/sbin/nginx","args":["nginx: worker process"],"started":"2026-11-22T01:02:03.123456789Z"},"evidence":{"process":"hook","direction":"handshake"}}"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    #[test]
    fn hostile_names_come_back_as_they_were_and_touch_no_terminal() {
        let names = [
            "a\nb",
            "\"quoted\"\\",
            "\x1b[31mred\x1b]0;title\x07",
            "\0\x7f\u{80}\u{9b}31m",
            "\u{202e}gpj.exe\u{2028}\u{2029}\u{feff}",
            "\u{e0041}\u{10ffff}x",
            "größe 日本語 \u{fffd}",
        ];
        for name in names {
            let line = line(name);
            assert!(
                line.trim_end_matches('\n').chars().all(is_printable),
                "{line:?}"
            );
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["process"]["comm"], name);
        }
    }

    #[test]
    fn every_specimen_is_one_line() {
        for event in specimens::all() {
            let mut buf = Vec::new();
            write(&event, &mut buf);
            let text = String::from_utf8(buf).expect("UTF-8");
            assert_eq!(text.matches('\n').count(), 1);
            assert!(text.starts_with("{\"v\":1,\"time\":\"") && text.ends_with("}\n"));
        }
    }
}
