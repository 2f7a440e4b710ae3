//! A view of the map → bytes: for programs, for people, and for other tools' pictures.
//! `docs/formats.md` has what each format holds.
//!
//! Each format is a file, and a pure function of the [`View`]: the same view gives the same
//! bytes. Names are hostile. Whatever the format, what comes out is harmless on a terminal, and no
//! name can leave the place that it was put into.

pub(super) mod coverage;
mod csv;
mod dot;
mod graphml;
mod html;
mod mermaid;
mod table;
pub(super) mod words;

use super::wire;
use crate::model::View;

/// The form of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapFormat {
    /// One JSON object, for programs: every field.
    Json,
    /// One line an edge, for people, failing ones first: may change with any release.
    Table,
    /// A picture for Graphviz: `tracer map -o dot | dot -Tsvg`.
    Dot,
    /// A picture for Mermaid, as Markdown of many sites shows it.
    Mermaid,
    /// A graph for Gephi, yEd, networkx and their kin: every counter.
    Graphml,
    /// One row an edge, for spreadsheets: every counter.
    Csv,
    /// One page for a browser, to look around in; it needs no network.
    Html,
}

impl MapFormat {
    /// Every format, in the order of the type.
    pub const ALL: [Self; 7] = [
        Self::Json,
        Self::Table,
        Self::Dot,
        Self::Mermaid,
        Self::Graphml,
        Self::Csv,
        Self::Html,
    ];

    /// The word for it in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Table => "table",
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Graphml => "graphml",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// How many edges there may be in it before it is of no use: Mermaid draws no more unless its
    /// settings say so, and Graphviz takes minutes.
    pub fn max_edges(self) -> Option<u32> {
        match self {
            Self::Dot | Self::Mermaid => Some(500),
            Self::Json | Self::Table | Self::Graphml | Self::Csv | Self::Html => None,
        }
    }
}

/// Appends `view` to `buf`, the last line ended. `colour` and `width`, in columns, are for tables
/// only; without a width nothing is cut.
pub fn write(
    view: &View,
    format: MapFormat,
    colour: bool,
    width: Option<usize>,
    buf: &mut Vec<u8>,
) {
    match format {
        MapFormat::Json => wire::map::write(view, buf),
        MapFormat::Table => table::write(view, colour, width, buf),
        MapFormat::Dot => dot::write(view, buf),
        MapFormat::Mermaid => mermaid::write(view, buf),
        MapFormat::Graphml => graphml::write(view, buf),
        MapFormat::Csv => csv::write(view, buf),
        MapFormat::Html => html::write(view, buf),
    }
}

#[cfg(test)]
mod tests;
