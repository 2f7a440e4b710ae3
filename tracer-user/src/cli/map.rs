//! `tracer map`, as it is asked for.

use std::{io::IsTerminal, path::PathBuf};

use clap::{Args, value_parser};

use super::{ask::About, source::Sources};
use crate::outputs::map::MapFormat;

/// What `tracer map` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer map                                        who depends on whom, live
  tracer map --for 1min -o table                    one minute of it
  tracer map --from monday.jsonl -o html > map.html of what was recorded
  tracer map --from a.jsonl --from b.jsonl -o dot   of two hosts, as one map
  tracer map --focus postgresql.service --depth 1   who uses the database")]
pub struct MapOptions {
    /// Form of the output [default: live on a terminal, else json]
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT")]
    pub format: Option<MapFormat>,

    /// Where events come from.
    #[command(flatten)]
    pub sources: Sources,

    /// Only this node, by name or id, and what is connected with it
    #[arg(long, value_name = "WHO")]
    pub focus: Option<String>,

    /// How many steps from there, in both directions [default: all there are]
    #[arg(long, value_name = "N", requires = "focus", value_parser = value_parser!(u32))]
    pub depth: Option<u32>,

    /// Fold what is alike until at most this many edges are left: clients, servers, ports. Counters
    /// stay exact [default: 500 in dot and mermaid, else all]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub max_edges: Option<u32>,

    /// Write the events to this file as well, for you alone, as `tracer stream -o json` does, and with
    /// them how processes begin and end
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,

    /// What is in it.
    #[command(flatten)]
    pub about: About,
}

impl MapOptions {
    /// Whether the map is shown by taking the terminal over.
    pub fn takes_terminal(&self) -> bool {
        self.format.is_none() && std::io::stdout().is_terminal()
    }
}
