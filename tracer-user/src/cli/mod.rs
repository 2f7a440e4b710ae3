//! The command line: what can be asked for, and how a mistake in asking is answered.
//!
//! Only parsing. What the commands do is elsewhere.

mod ask;
mod live;
pub mod log;
mod map;
mod source;
mod value;

use std::{
    io::{IsTerminal, Write as _},
    time::Duration,
};

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    exit::Exit,
    filter,
    outputs::{self, Format},
};

pub use ask::{
    About, Asked, BalanceOptions, DiffOptions, FailuresOptions, GroupsOptions, IdleOptions,
    ImpactOptions, Question, RecoveryOrderOptions, VerifyOptions,
};
pub use live::{Hooks, LiveOptions};
pub use map::MapOptions;
pub use source::{Source, Sources, UsageError};

/// Watches every TCP connection of this host from inside the kernel.
///
/// Results go to standard output, everything else to standard error.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "tracer",
    version,
    max_term_width = 100,
    subcommand_required = true
)]
#[command(after_help = "\
Examples:
  tracer doctor                        what this host allows
  tracer stream                        every connection, as it happens
  tracer stream -o json > events.jsonl the same, for other tools
  tracer map                           who depends on whom, live
  tracer impact postgresql.service     who depends on the database
  tracer failures --follow             what begins to fail, and why

Exit codes: 0 done, 1 failed, 2 events were lost (--strict), 3 the answer is no,
64 usage, 69 this kernel cannot, 77 not permitted")]
pub struct Cli {
    /// Log more to standard error; twice or three times for still more. TRACER_LOG is finer
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    pub verbose: u8,

    /// Keep all rights and system calls after the start: to find out whether that is what fails
    #[arg(long, global = true, display_order = 101)]
    pub no_sandbox: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Print every event as it happens
    Stream(StreamOptions),
    /// Show who depends on whom: live on a terminal, else or with -o as a snapshot
    Map(MapOptions),
    /// Answer a question about that.
    #[command(flatten)]
    Ask(Question),
    /// Say what this kernel and these privileges allow, what stays invisible, and how to fix it
    Doctor(DoctorOptions),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  tracer completions bash > /etc/bash_completion.d/tracer")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Whether it looks at this host: else it reads what was recorded, or nothing.
    pub fn watches(&self) -> bool {
        match self {
            Self::Stream(options) => options.sources.watches(),
            Self::Map(options) => options.sources.watches(),
            Self::Ask(question) => question.watches(),
            Self::Doctor(_) => true,
            Self::Completions { .. } => false,
        }
    }
}

/// What `tracer stream` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer stream --event fail                      what fails, and why
  tracer stream --comm 'nginx*' --direction out   what nginx depends on
  tracer stream -o json --for 1h --strict > hour.jsonl")]
pub struct StreamOptions {
    /// Form of the output [default: text on a terminal, else json]
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Where events come from.
    #[command(flatten)]
    pub sources: Sources,

    /// Replace names and addresses by made-up ones, the same for the same, and leave arguments and
    /// labels out: to give a recording away, as with a report of a bug
    #[arg(long)]
    pub anonymise: bool,

    /// Exit with 2 if any event was lost
    #[arg(long)]
    pub strict: bool,

    /// How to watch this host.
    #[command(flatten)]
    pub live: LiveOptions,

    /// Which events to print.
    #[command(flatten)]
    pub filter: filter::Options,
}

/// What `tracer doctor` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer doctor
  tracer doctor --hooks kprobe   would this set of hooks work here?
  tracer doctor --cost           what does it cost on this host?")]
pub struct DoctorOptions {
    /// Form of the output [default: text on a terminal, else json]
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Which hooks to judge
    #[arg(long, value_enum, value_name = "SET", default_value_t)]
    pub hooks: Hooks,

    /// Watch for a while [default: 10s] and say what each program costs in the kernel
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10s",
        value_parser = value::duration,
    )]
    pub cost: Option<Duration>,
}

impl Cli {
    /// The parsed command line. Ends the process after `--help` or `--version`, and on a
    /// mistake, which it explains on standard error.
    pub fn parse_or_exit() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            // Nothing is left to be done if even this cannot be written.
            let exit = if error.use_stderr() {
                // It quotes the arguments, which a script may have from anywhere.
                let text = outputs::lines(&error.render().to_string()) + "\n";
                let _ = std::io::stderr().write_all(text.as_bytes());
                Exit::Usage
            } else {
                let _ = error.print();
                Exit::Done
            };
            std::process::exit(exit.code().into());
        })
    }

    /// Sends the log to standard error, as much of it as asked for. To be called once;
    /// the log ends with the guard. There is none where it would be written over what is shown.
    pub fn start_log(&self) -> Option<log::Guard> {
        let is_covered = match &self.command {
            Command::Map(options) => options.takes_terminal() && std::io::stderr().is_terminal(),
            _ => false,
        };
        (!is_covered).then(|| log::start(self.verbose))
    }

    /// The completion script for `shell`.
    pub fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "tracer", &mut script);
        script
    }
}

#[cfg(test)]
mod tests;
