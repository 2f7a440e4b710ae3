//! The map as one page for a browser. It holds all it needs, and its policy forbids it to load
//! anything, so it opens on a machine without network and tells nobody that it was opened.
//!
//! `page.html` is that page without its data. It reads them from an element that no browser runs,
//! and puts text into the page as text only.

use super::coverage;
use crate::{
    model::View,
    outputs::wire::{self, json::value},
};

/// Everything but the data.
const PAGE: &str = include_str!("page.html");

/// Where the view goes, as JSON.
const VIEW: &str = "\"@VIEW@\"";

/// Where the line about coverage goes, as a JSON string.
const COVERAGE: &str = "\"@COVERAGE@\"";

/// Appends the page.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    let mut data = Vec::new();
    wire::map::write(view, &mut data);
    let mut line = Vec::new();
    if let Err(error) = value(&coverage::line(&view.coverage), &mut line) {
        tracing::error!("cannot write the coverage as JSON: {error}");
    }
    let (head, rest) = PAGE.split_once(VIEW).unwrap_or((PAGE, ""));
    let (middle, tail) = rest.split_once(COVERAGE).unwrap_or((rest, ""));
    buf.reserve(PAGE.len() + data.len() + data.len() / 16);
    buf.extend_from_slice(head.as_bytes());
    inert(data.trim_ascii_end(), buf);
    buf.extend_from_slice(middle.as_bytes());
    inert(&line, buf);
    buf.extend_from_slice(tail.as_bytes());
}

/// Appends JSON that an HTML parser finds nothing in: `</script>` and `<!--` begin with a
/// character that JSON only has within texts, where it has another form.
fn inert(json: &[u8], buf: &mut Vec<u8>) {
    for (at, part) in json.split(|byte| *byte == b'<').enumerate() {
        if at > 0 {
            buf.extend_from_slice(b"\\u003c");
        }
        buf.extend_from_slice(part);
    }
}
