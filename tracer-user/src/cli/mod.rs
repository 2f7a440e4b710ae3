//! The command line: what can be asked for, and how a mistake in asking is answered.
//!
//! Only parsing: arguments become a [`Request`], a plain value. Nobody else knows how options are written, and all
//! that do not go together are refused here, before anything is done. What the commands do is elsewhere.

mod about;
mod filter;
mod live;
pub mod log;
mod map;
mod question;
pub mod request;
mod source;
mod stream;
mod value;

use std::{io::Write as _, time::Duration};

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, builder::ValueParser};
use clap_complete::Shell;

use self::{
    live::Hooks, map::MapArgs, question::QuestionArgs, request::Doctor, stream::StreamArgs,
};
use crate::{
    exit::Exit,
    outputs::{self, Format},
};

#[cfg(test)]
pub(crate) use self::filter::parsed as filter;
pub use self::request::Request;

/// Options that do not go together, and what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct UsageError(&'static str);

/// What a process was started for.
#[derive(Debug)]
pub struct Invocation {
    /// What is asked for.
    pub request: Request,
    /// How much more than warnings the log has: three times for all.
    pub verbose: u8,
    /// Whether all rights and system calls are kept after the start.
    pub no_sandbox: bool,
}

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
struct Cli {
    /// Log more to standard error; twice or three times for still more. TRACER_LOG is finer
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    verbose: u8,

    /// Keep all rights and system calls after the start: to find out whether that is what fails
    #[arg(long, global = true, display_order = 101)]
    no_sandbox: bool,

    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Print every event as it happens
    Stream(StreamArgs),
    /// Show who depends on whom: live on a terminal, else or with -o as a snapshot
    Map(MapArgs),
    /// Answer a question about that.
    #[command(flatten)]
    Ask(QuestionArgs),
    /// Say what this kernel and these privileges allow, what stays invisible, and how to fix it
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  tracer completions bash > /etc/bash_completion.d/tracer")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What `tracer doctor` can be told.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tracer doctor
  tracer doctor --hooks kprobe   would this set of hooks work here?
  tracer doctor --cost           what does it cost on this host?")]
struct DoctorArgs {
    /// Form of the output [default: text on a terminal, else json]
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = formats())]
    format: Option<Format>,

    /// Which hooks to judge
    #[arg(long, value_name = "SET", value_parser = live::hooks(), default_value = Hooks::AUTO)]
    hooks: Hooks,

    /// Watch for a while [default: 10s] and say what each program costs in the kernel
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10s",
        value_parser = value::duration,
    )]
    cost: Option<Duration>,
}

/// What this process was started for. Ends it after `--help` or `--version`, and on a mistake, which it explains on
/// standard error.
pub fn parse_or_exit() -> Invocation {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            // It quotes the arguments, which a script may have from anywhere.
            refuse(&outputs::lines(&error.render().to_string()));
        }
        // Nothing is left to be done if even this cannot be written.
        let _ = error.print();
        std::process::exit(Exit::Done.code().into());
    });
    Invocation {
        verbose: cli.verbose,
        no_sandbox: cli.no_sandbox,
        request: cli
            .request()
            .unwrap_or_else(|error| refuse(&format!("tracer: {error}"))),
    }
}

fn refuse(why: &str) -> ! {
    // Nothing is left to be done if even this cannot be written.
    let _ = std::io::stderr().write_all(format!("{why}\n").as_bytes());
    std::process::exit(Exit::Usage.code().into());
}

impl Cli {
    /// What is asked for.
    ///
    /// # Errors
    /// If options do not go together.
    fn request(self) -> Result<Request, UsageError> {
        Ok(match self.command {
            Command::Stream(args) => Request::Stream(args.request()?),
            Command::Map(args) => Request::Map(args.request()?),
            Command::Ask(args) => args.request()?,
            Command::Doctor(args) => Request::Doctor(args.request()),
            Command::Completions { shell } => Request::Completions(completions(shell)),
        })
    }
}

impl DoctorArgs {
    fn request(self) -> Doctor {
        Doctor {
            format: self.format.unwrap_or_else(Format::for_stdout),
            hooks: self.hooks.set(),
            cost: self.cost,
        }
    }
}

/// The formats of what is told line by line.
fn formats() -> ValueParser {
    value::word(&Format::ALL, Format::name, |format| match format {
        Format::Json => "JSON Lines, for programs: one object a line, every field",
        Format::Text => "One line an event, for people: may change with any release",
    })
}

/// The completion script for `shell`.
fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tracer", &mut script);
    script
}

#[cfg(test)]
mod tests;
