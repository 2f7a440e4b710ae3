//! The suite that needs no privileges: the command line, and what tracer says when it may not.

mod documents;
mod fields;
mod files;
mod formats;
mod questions;
mod recordings;
mod rules;
mod service;

use std::{io::Write as _, process::Command};

use anyhow::{Result, ensure};
use tracer_tests::{
    expect,
    tracer::{Run, command, output, public_copy, unprivileged},
};

const COMMANDS: [&str; 11] = [
    "stream",
    "map",
    "impact",
    "diff",
    "groups",
    "recovery-order",
    "idle",
    "failures",
    "balance",
    "verify",
    "doctor",
];

fn run(args: &[&str]) -> Result<Run> {
    output(command()?.args(args))
}

/// As nobody. None where this process cannot become nobody and is not nobody yet.
fn run_as_nobody(args: &[&str]) -> Result<Option<Run>> {
    if rustix::process::geteuid().is_root() {
        let (_folder, copy) = public_copy()?;
        let mut command = Command::new(copy);
        unprivileged(command.args(args));
        return match output(&mut command) {
            Ok(run) => Ok(Some(run)),
            Err(error) => {
                // libtest knows no skip at run time; unlike `eprintln!` it does not swallow this line.
                writeln!(
                    std::io::stderr(),
                    "skipped {args:?}: cannot run a program as nobody: {error:#}"
                )?;
                Ok(None)
            }
        };
    }
    Ok(Some(run(args)?))
}

#[test]
fn help_of_every_command_has_an_example() -> Result<()> {
    for command in COMMANDS {
        let run = run(&[command, "--help"])?;
        run.expect_code(0)?;
        let text = run.text()?;
        ensure!(
            text.contains(&format!("tracer {command}")),
            "no example of {command}:\n{text}"
        );
        ensure!(
            run.stderr.is_empty(),
            "help on standard error: {}",
            run.stderr
        );
    }
    let run = run(&["--help"])?;
    run.expect_code(0)?;
    for command in COMMANDS {
        ensure!(
            run.text()?.contains(command),
            "{command} is not in the help:\n{}",
            run.text()?
        );
    }
    Ok(())
}

#[test]
fn help_says_what_the_exit_codes_are() -> Result<()> {
    let run = run(&["--help"])?;
    for code in ["64", "69", "77"] {
        ensure!(
            run.text()?.contains(code),
            "{code} is not in the help:\n{}",
            run.text()?
        );
    }
    Ok(())
}

#[test]
fn version() -> Result<()> {
    let run = run(&["--version"])?;
    run.expect_code(0)?;
    let text = run.text()?;
    let version = text.trim().strip_prefix("tracer ").unwrap_or_default();
    ensure!(version.split('.').count() == 3, "not a version: {text}");
    Ok(())
}

#[test]
fn mistakes_are_explained() -> Result<()> {
    // The arguments, and a word that the explanation must have.
    let mistakes: [(&[&str], &str); 12] = [
        (&[], "Usage"),
        (&["strem"], "stream"),
        (&["stream", "--hook", "auto"], "--hooks"),
        (&["stream", "--hooks", "kprobes"], "kprobe"),
        (&["stream", "--event", "conect"], "connect"),
        (&["stream", "--port", "65536"], "65536"),
        (&["stream", "--net", "10.0.0.0/33"], "10.0.0.0/33"),
        (&["stream", "--for", "soon"], "soon"),
        (&["stream", "--ring", "5000"], "5000"),
        (&["stream", "--direction", "sideways"], "in"),
        (&["stream", "-o", "yaml"], "json"),
        (&["stream", "--pid"], "--pid"),
    ];
    for (args, word) in mistakes {
        let run = run(args)?;
        run.expect_code(64)?;
        ensure!(
            run.stdout.is_empty(),
            "{args:?}: on standard output: {}",
            run.text()?
        );
        ensure!(
            run.stderr.contains(word),
            "{args:?}: `{word}` is not in:\n{}",
            run.stderr
        );
    }
    Ok(())
}

#[test]
fn stream_without_privilege_names_what_is_missing() -> Result<()> {
    let Some(run) = run_as_nobody(&["stream"])? else {
        return Ok(());
    };
    run.expect_code(77)?;
    ensure!(run.stdout.is_empty(), "it printed {}", run.text()?);
    ensure!(
        run.stderr.contains("CAP_BPF"),
        "CAP_BPF is not named:\n{}",
        run.stderr
    );
    expect::harmless(run.stderr.as_bytes())
}

#[test]
fn doctor_without_privilege_says_what_is_missing() -> Result<()> {
    let Some(run) = run_as_nobody(&["doctor", "-o", "text"])? else {
        return Ok(());
    };
    // The examination itself succeeded, or it says "not permitted" as stream would.
    ensure!(matches!(run.status.code(), Some(0 | 77)), "{run:?}");
    ensure!(
        run.text()?.contains("CAP_BPF"),
        "CAP_BPF is not named:\n{}",
        run.text()?
    );
    expect::harmless(&run.stdout)?;
    let Some(run) = run_as_nobody(&["doctor", "-o", "json"])? else {
        return Ok(());
    };
    let report: serde_json::Value = serde_json::from_str(run.text()?)?;
    ensure!(report.is_object(), "{report}");
    Ok(())
}
