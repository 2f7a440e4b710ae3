//! The map as one JSON object on one line: every field.

use super::super::json;
use crate::model::View;

/// Appends `view`, and the end of the line.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    let start = buf.len();
    match json::value(view, buf) {
        Ok(()) => buf.push(b'\n'),
        Err(error) => {
            // Writing to memory does not fail, and neither do these types: a test writes all of
            // them. Should it happen all the same, half an object must not go out.
            buf.truncate(start);
            tracing::error!("cannot write the map as JSON: {error}");
        }
    }
}
