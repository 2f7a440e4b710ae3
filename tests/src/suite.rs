//! Running a suite: names, filters, skips that are counted, and the closing line.

use std::process::ExitCode;

use anyhow::Context as _;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{init, skip::Skip, tracer};

/// A test of a suite: what it is called and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    name: &'static str,
    run: fn() -> anyhow::Result<()>,
    /// Whether tracer looks at what processes ask name servers.
    dns: bool,
}

impl Test {
    /// A test called `name`, by convention `theme::what_must_hold`.
    pub const fn new(name: &'static str, run: fn() -> anyhow::Result<()>) -> Self {
        let dns = true;
        Self { name, run, dns }
    }

    /// The same without names from name servers, where that saves much: a third of a start on an
    /// emulated processor.
    pub const fn without_dns(self) -> Self {
        Self { dns: false, ..self }
    }
}

/// Lists tests by their functions, with the file's name in front.
#[macro_export]
macro_rules! tests {
    ($theme:literal: $($name:ident),* $(,)?) => {
        /// The tests of this file.
        pub(crate) fn tests() -> Vec<$crate::suite::Test> {
            vec![$($crate::suite::Test::new(concat!($theme, "::", stringify!($name)), $name)),*]
        }
    };
}

/// Runs what the command line asks for, and says how it went.
///
/// Tests run one after the other: tracer sees the whole machine, so two at once
/// would be in each other's loss counts.
pub fn run(tests: Vec<Test>) -> ExitCode {
    let (filters, rest): (Vec<String>, Vec<String>) = split(std::env::args().skip(1));
    let mut arguments = Arguments::from_iter(std::iter::once("kernel".to_owned()).chain(rest));
    arguments.test_threads.get_or_insert(1);
    let exact = arguments.exact;
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if exact {
                    name == filter
                } else {
                    name.contains(filter.as_str())
                }
            })
    };
    let trials: Vec<_> = tests
        .into_iter()
        .filter(|test| wanted(test.name))
        .map(trial)
        .collect();
    // Whoever names tests may run several programs, one of which has them.
    if trials.is_empty() && filters.is_empty() {
        eprintln!("there is no test to run");
        return ExitCode::FAILURE;
    }
    let list = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if list {
        return ExitCode::SUCCESS;
    }
    let verdict = format!(
        "{} passed, {} failed, {} skipped",
        conclusion.num_passed, conclusion.num_failed, conclusion.num_ignored
    );
    if tell(&verdict) {
        conclusion.exit_code()
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the closing line, and writes it where it is wanted; tells whether that succeeded.
fn tell(verdict: &str) -> bool {
    println!("{verdict}");
    let Some(file) = std::env::var_os(VERDICT_FILE) else {
        return true;
    };
    std::fs::write(&file, verdict)
        .inspect_err(|error| {
            eprintln!("cannot write the verdict to {}: {error}", file.display());
        })
        .is_ok()
}

/// In place of [`run`], where tracer says itself that these hooks are not to be used on this
/// kernel. Whoever started the machine knows whether that is as it should be.
pub fn ruled_out(why: &str) -> ExitCode {
    println!("TRACER-RULED-OUT: {why}");
    if tell("0 passed, 0 failed, 1 skipped") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A number from the environment, to make a suite smaller on a slow machine.
pub fn setting(name: &str, default: u32) -> anyhow::Result<u32> {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("read the number {name}={text}")),
        Err(_) => Ok(default),
    }
}

/// Names a file that is to hold the closing line; process 1 of a test machine reads it.
pub const VERDICT_FILE: &str = "TRACER_VERDICT_FILE";

/// libtest-mimic takes one filter; test machines pass several. Everything that
/// begins with a dash, and what follows one that takes a value, goes through.
fn split(args: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    let (mut filters, mut rest) = (Vec::new(), Vec::new());
    let mut value = false;
    for arg in args {
        if value || arg.starts_with('-') {
            value = !value
                && matches!(
                    arg.as_str(),
                    "--skip" | "--test-threads" | "--logfile" | "--color" | "--format" | "-Z"
                );
            rest.push(arg);
        } else {
            filters.push(arg);
        }
    }
    (filters, rest)
}

fn trial(test: Test) -> Trial {
    Trial::ignorable_test(test.name, move || {
        tracer::look_at_dns(test.dns || !init::is_test_machine());
        match (test.run)() {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) => Ok(Completion::ignored_with(skip)),
                // Every cause on a line; the backtrace that `{:?}` may add says nothing here.
                None => Err(Failed::from(
                    error
                        .chain()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join("\nbecause: "),
                )),
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_filters_and_options_with_values() {
        let args = ["ledger", "--skip", "storm", "failures", "--exact"].map(str::to_owned);
        let (filters, rest) = split(args.into_iter());
        assert_eq!(filters, ["ledger", "failures"]);
        assert_eq!(rest, ["--skip", "storm", "--exact"]);
    }
}
