//! `tracer map`, as it is asked for.

use std::{io::IsTerminal, path::PathBuf};

use clap::{Args, value_parser};

use super::{
    UsageError,
    about::AboutArgs,
    request::{Focus, Map, Shown},
    source::SourceArgs,
    value,
};
use crate::{files, outputs::map::MapFormat};

/// What `tracer map` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer map                                        who depends on whom, live
  tracer map --for 1min -o table                    one minute of it
  tracer map --from monday.jsonl -o html > map.html of what was recorded
  tracer map --from a.jsonl --from b.jsonl -o dot   of two hosts, as one map
  tracer map --focus postgresql.service --depth 1   who uses the database")]
pub(super) struct MapArgs {
    /// Form of the output [default: live on a terminal, else json]
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_parser = value::word(&MapFormat::ALL, MapFormat::name, format_help),
    )]
    format: Option<MapFormat>,

    /// Where events come from.
    #[command(flatten)]
    sources: SourceArgs,

    /// Only this node, by name or id, and what is connected with it
    #[arg(long, value_name = "WHO")]
    focus: Option<String>,

    /// How many steps from there, in both directions [default: all there are]
    #[arg(long, value_name = "N", requires = "focus", value_parser = value_parser!(u32))]
    depth: Option<u32>,

    /// Fold what is alike until at most this many edges are left: clients, servers, ports. Counters
    /// stay exact [default: 500 in dot and mermaid, else all]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    max_edges: Option<u32>,

    /// Write the events to this file as well, for you alone, as `tracer stream -o json` does, and with
    /// them how processes begin and end
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// What is in it.
    #[command(flatten)]
    about: AboutArgs,
}

impl MapArgs {
    /// What they ask for.
    ///
    /// # Errors
    /// If they do not go together.
    pub(super) fn request(self) -> Result<Map, UsageError> {
        let strict = self.about.strict;
        let (about, live) = self.about.parts();
        let origin = self.sources.origin(live)?;
        if let (Some(save), Some(recordings)) = (&self.save, origin.recordings())
            && files::is_one_of(save, recordings)
        {
            // It would be emptied while it is read.
            return Err(UsageError(
                "--save would overwrite the recording that is read",
            ));
        }
        let shown = match self.format {
            None if std::io::stdout().is_terminal() => Shown::Screen,
            format => {
                let format = format.unwrap_or(MapFormat::Json);
                // By itself nothing is folded around what is looked at.
                let most = format.max_edges().filter(|_| self.focus.is_none());
                Shown::Printed {
                    format,
                    max_edges: self.max_edges.or(most).map(|it| it as usize),
                }
            }
        };
        let depth = self.depth;
        Ok(Map {
            input: about.of(origin),
            focus: self.focus.map(|who| Focus { who, depth }),
            shown,
            save: self.save,
            strict,
        })
    }
}

fn format_help(format: MapFormat) -> &'static str {
    match format {
        MapFormat::Json => "One JSON object, for programs: every field",
        MapFormat::Table => {
            "One line an edge, for people, failing ones first: may change with any release"
        }
        MapFormat::Dot => "A picture for Graphviz: `tracer map -o dot | dot -Tsvg`",
        MapFormat::Mermaid => "A picture for Mermaid, as Markdown of many sites shows it",
        MapFormat::Graphml => "A graph for Gephi, yEd, networkx and their kin: every counter",
        MapFormat::Csv => "One row an edge, for spreadsheets: every counter",
        MapFormat::Html => "One page for a browser, to look around in; it needs no network",
    }
}
