//! The map as one JSON object on one line: every field.

use super::super::json;
use crate::model::View;

/// Appends `view`, and the end of the line.
pub(super) fn write(view: &View, buf: &mut Vec<u8>) {
    json::line(view, buf);
}
