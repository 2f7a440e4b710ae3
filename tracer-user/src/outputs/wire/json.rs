//! Any value → JSON that is harmless on a terminal.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use crate::outputs::sanitise::is_printable;

/// Appends any value as JSON on a line of its own, harmless on a terminal.
pub(in crate::outputs) fn line(of: &(impl Serialize + ?Sized), buf: &mut Vec<u8>) {
    let start = buf.len();
    match value(of, buf) {
        Ok(()) => buf.push(b'\n'),
        Err(error) => {
            // Writing to memory does not fail, and every key is text. Should it happen all the same,
            // half an object must not go out.
            buf.truncate(start);
            tracing::error!("cannot write as JSON: {error}");
        }
    }
}

/// The same over several lines, for people.
pub(in crate::outputs) fn pretty(of: &impl Serialize, buf: &mut Vec<u8>) {
    let mut lines = serde_json::to_string_pretty(of).unwrap_or_else(|error| {
        tracing::error!("cannot write as JSON: {error}");
        String::new()
    });
    lines.push('\n');
    // What is not printable can only be within a text, but for the ends of lines.
    let mut rest = &*lines;
    while let Some(at) = rest.find(|it| it != '\n' && !is_printable(it)) {
        let (plain, tail) = rest.split_at(at);
        buf.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        if let Some(char) = chars.next() {
            // Writing to memory does not fail.
            let _ = escape(char, buf);
        }
        rest = chars.as_str();
    }
    buf.extend_from_slice(rest.as_bytes());
}

/// Appends `char` as JSON's escapes.
fn escape(char: char, out: &mut (impl io::Write + ?Sized)) -> io::Result<()> {
    for unit in char.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}")?;
    }
    Ok(())
}

/// Appends any value as JSON that is harmless on a terminal.
pub(in crate::outputs) fn value(
    value: &(impl Serialize + ?Sized),
    buf: &mut Vec<u8>,
) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(
        buf,
        Printable(CompactFormatter),
    ))
}

/// Compact JSON that a terminal cannot be tricked with: besides what JSON demands, it
/// escapes what has no visible form, as `\u009b`. To a JSON reader that is the same text.
struct Printable(CompactFormatter);

impl Formatter for Printable {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        // Nearly all of what is written; looking at bytes is many times faster.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(|char| !is_printable(char)) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
            let mut chars = tail.chars();
            if let Some(char) = chars.next() {
                escape(char, writer)?;
            }
            rest = chars.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}
