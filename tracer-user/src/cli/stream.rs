//! `tracer stream`, as it is asked for.

use clap::Args;

use super::{
    UsageError, filter::FilterArgs, formats, live::LiveArgs, request::Stream, source::SourceArgs,
};
use crate::outputs::Format;

/// What `tracer stream` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer stream --event fail                      what fails, and why
  tracer stream --comm 'nginx*' --direction out   what nginx depends on
  tracer stream -o json --for 1h --strict > hour.jsonl")]
pub(super) struct StreamArgs {
    /// Form of the output [default: text on a terminal, else json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = formats())]
    format: Option<Format>,

    /// Where events come from.
    #[command(flatten)]
    sources: SourceArgs,

    /// Replace names and addresses by made-up ones, the same for the same, and leave arguments and
    /// labels out: to give a recording away, as with a report of a bug
    #[arg(long)]
    anonymise: bool,

    /// Exit with 2 if any event was lost
    #[arg(long)]
    strict: bool,

    /// How to watch this host.
    #[command(flatten)]
    live: LiveArgs,

    /// Which events to print.
    #[command(flatten)]
    filter: FilterArgs,
}

impl StreamArgs {
    /// What they ask for.
    ///
    /// # Errors
    /// If they do not go together.
    pub(super) fn request(self) -> Result<Stream, UsageError> {
        Ok(Stream {
            origin: self.sources.origin(self.live)?,
            filter: self.filter.options(),
            format: self.format.unwrap_or_else(Format::for_stdout),
            anonymise: self.anonymise,
            strict: self.strict,
        })
    }
}
