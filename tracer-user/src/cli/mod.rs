//! The command line: what can be asked for, and how a mistake in asking is answered.
//!
//! Only parsing. What the commands do is elsewhere.

pub mod log;
mod value;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;

use crate::{capture::HookSet, exit::Exit, filter, outputs::Format};

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

Exit codes: 0 done, 1 failed, 2 events were lost (--strict), 3 the answer is no,
64 usage, 69 this kernel cannot, 77 not permitted")]
pub struct Cli {
    /// Log more to standard error; twice or three times for still more. TRACER_LOG is finer
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it lives as long as the run"
)]
pub enum Command {
    /// Print every event as it happens
    Stream(StreamOptions),
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

    /// Stop after this time, such as 30s, 5min or 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = value::duration)]
    pub duration: Option<Duration>,

    /// How to attach to the kernel
    #[arg(long, value_enum, value_name = "SET", default_value_t)]
    pub hooks: Hooks,

    /// Exit with 2 if any event was lost
    #[arg(long)]
    pub strict: bool,

    /// Size of the buffer between kernel and tracer: a power of two such as 4096, 64K or 16M
    #[arg(long = "ring", value_name = "SIZE", default_value = "16M", value_parser = value::ring_bytes)]
    pub ring_bytes: u32,

    /// How many live connections the kernel side can follow
    #[arg(
        long,
        value_name = "N",
        default_value_t = 131_072,
        value_parser = value_parser!(u32).range(1..=16_777_216),
    )]
    pub connections: u32,

    /// How often to look for connections that were missed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = value::duration)]
    pub rescan: Duration,

    /// Names of networks, a line each: '10.20.0.0/16 office'
    #[arg(long, value_name = "FILE")]
    pub names: Option<PathBuf>,

    /// Do not look at what processes ask name servers: servers then have no names but from files
    #[arg(long)]
    pub no_dns: bool,

    /// Ask name servers what servers are called that have no other name: packets that others see
    #[arg(long)]
    pub reverse_dns: bool,

    /// What programs are for, a line each, besides what is known: 'exe shopd web'
    #[arg(long, value_name = "FILE")]
    pub roles: Option<PathBuf>,

    /// Show the kernel side's own diagnostics in the log
    #[arg(long)]
    pub kernel_log: bool,

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

/// How to attach to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Hooks {
    /// The best that loads, in the order below
    #[default]
    Auto,
    /// Function entry and exit: least overhead; needs BTF and BPF trampolines
    Fentry,
    /// Kernel probes: any kernel with kprobes
    Kprobe,
    /// Tracepoints only: sees least, works most widely
    Tracepoint,
}

impl Hooks {
    /// The one hook set asked for; none for the best that loads.
    pub fn set(self) -> Option<HookSet> {
        match self {
            Self::Auto => None,
            Self::Fentry => Some(HookSet::Fentry),
            Self::Kprobe => Some(HookSet::Kprobe),
            Self::Tracepoint => Some(HookSet::Tracepoint),
        }
    }
}

impl Cli {
    /// The parsed command line. Ends the process after `--help` or `--version`, and on a
    /// mistake, which it explains on standard error.
    pub fn parse_or_exit() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            // Nothing is left to be done if even this cannot be written.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            std::process::exit(exit.code().into());
        })
    }

    /// Sends the log to standard error, as much of it as asked for. To be called once;
    /// the log ends with the guard.
    pub fn start_log(&self) -> log::Guard {
        log::start(self.verbose)
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
