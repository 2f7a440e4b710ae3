//! Views → bytes.

use clap::ValueEnum;

use crate::model::View;

/// The form of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// JSON
    Json,
}

impl MapFormat {
    /// How many edges make sense in it.
    pub fn max_edges(self) -> Option<u32> {
        None
    }
}

/// Appends `view` to `buf`.
pub fn write(view: &View, _: MapFormat, _: bool, _: Option<usize>, buf: &mut Vec<u8>) {
    let _ = serde_json::to_writer(&mut *buf, view);
    buf.push(b'\n');
}
