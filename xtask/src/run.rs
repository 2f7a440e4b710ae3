//! `cargo xtask run`: builds tracer and becomes it, through sudo only where needed.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use rustix::thread::CapabilitySet;

use crate::{cargo, process};

/// Build tracer and run it, with the privileges it needs
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Arguments for tracer, instead of `stream`
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(options: Options) -> Result<ExitCode> {
    let mut arguments = options.arguments;
    if arguments.is_empty() {
        arguments.push("stream".into());
    }
    let tracer = cargo::build_tracer()?;
    let mut command = if !watches_this_host(&arguments) || may_watch() {
        Command::new(tracer)
    } else if let Some(sudo) = process::find("sudo") {
        let mut command = Command::new(sudo);
        command.arg("--").arg(tracer);
        command
    } else {
        bail!(
            "become root: watching the kernel needs CAP_BPF and CAP_PERFMON, which this user \
             lacks, and there is no sudo here; run this as root, or run `{} {}` with these \
             capabilities",
            tracer.display(),
            arguments.join(" ".as_ref()).display()
        );
    };
    // From here on we are tracer: signals and the exit code are its own.
    Err(command.args(arguments).exec()).with_context(|| format!("start {command:?}"))
}

/// Whether a program that we start may load eBPF programs, so that sudo can be spared.
fn may_watch() -> bool {
    process::is_root()
        || [CapabilitySet::BPF, CapabilitySet::PERFMON]
            .into_iter()
            .all(|capability| {
                rustix::thread::capability_is_in_ambient_set(capability).unwrap_or(false)
            })
}

/// Whether tracer, so called, reads from this kernel, and not from a file or nothing at all.
fn watches_this_host(arguments: &[OsString]) -> bool {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let is_help =
        |argument: &str| matches!(argument, "help" | "--help" | "-h" | "--version" | "-V");
    if arguments.iter().any(|argument| is_help(argument)) {
        return false;
    }
    let mut sources = Vec::new();
    for (index, argument) in arguments.iter().enumerate() {
        if argument == "--from" {
            sources.extend(arguments.get(index + 1).map(|source| source.as_ref()));
        } else if let Some(source) = argument.strip_prefix("--from=") {
            sources.push(source);
        }
    }
    sources.is_empty() || sources.contains(&"live")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_live_source_needs_privileges() {
        let watches = |line: &str| {
            let arguments: Vec<_> = line.split(' ').map(OsString::from).collect();
            watches_this_host(&arguments)
        };
        assert!(watches("stream"));
        assert!(watches("map --from events.jsonl --from live"));
        assert!(!watches("map --from=events.jsonl"));
        assert!(!watches("map --from -"));
        assert!(!watches("stream --help"));
        assert!(!watches("--version"));
    }
}
