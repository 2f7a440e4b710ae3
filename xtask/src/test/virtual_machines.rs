//! The kernel suite in virtual machines: one boot for each kernel and set of hooks, a few at
//! a time.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::failures::Failures;
use super::report::{Outcome, Report, Row};
use crate::vm::{self, Hooks, Machine, Orders, Suite, Verdict};

/// Machines that run at once. Each has two processors of its own, emulated on ours, and waits for
/// timers most of the time.
const AT_ONCE: usize = 4;

/// What to run, and on what.
pub(super) struct Matrix<'a> {
    pub(super) suites: &'a [Suite],
    pub(super) hooks: &'a [Hooks],
    /// The first process of each machine.
    pub(super) init: &'a Path,
    pub(super) tracer: &'a Path,
    pub(super) filter: &'a [String],
}

impl Matrix<'_> {
    /// Adds a row for each suite and set of hooks, in that order: how it went there, or why not.
    pub(super) fn run(&self, report: &mut Report) {
        let machines: Vec<_> = self
            .suites
            .iter()
            .map(|&suite| (suite, self.machine(suite)))
            .collect();
        let places: Vec<_> = machines
            .iter()
            .flat_map(|place| self.hooks.iter().map(move |&hooks| (place, hooks)))
            .collect();
        let mut order: Vec<_> = places.iter().enumerate().collect();
        // Those with most to do first, or one of them would be the only one in the end.
        order.sort_by_key(|(_, ((suite, _), hooks))| {
            std::cmp::Reverse(suite.scope(*hooks).matches(',').count())
        });
        let waiting = Mutex::new(order.into_iter());
        let rows = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(places.len()) {
                scope.spawn(|| {
                    while let Some((number, ((suite, machine), hooks))) = next(&waiting) {
                        let row = self.boot(*suite, machine, *hooks);
                        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                        rows.push((number, row));
                    }
                });
            }
        });
        let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        rows.sort_by_key(|(number, _)| *number);
        for (_, row) in rows {
            report.add(row);
        }
    }

    /// A machine with the kernel of `suite`, or what to say in its place.
    fn machine(&self, suite: Suite) -> Result<Machine, Absent> {
        if let Some(reason) = vm::unavailable() {
            return Err(Absent::Skipped(reason));
        }
        vm::fetch(suite).map_err(|error| Absent::Skipped(format!("{error:#}")))?;
        Machine::prepare(suite, self.init, self.tracer)
            .map_err(|error| Absent::Broken(format!("{error:#}")))
    }

    fn boot(&self, suite: Suite, machine: &Result<Machine, Absent>, hooks: Hooks) -> Row {
        let begun = Instant::now();
        let (kernel, outcome) = match machine {
            Ok(machine) => {
                let place = format!("{} {}", suite.name(), hooks.name());
                let mut failures = Failures::default();
                let orders = Orders {
                    settings: &[],
                    arguments: self.filter,
                };
                let outcome = machine
                    .boot(hooks, orders, |line| {
                        println!("[{place}] {line}");
                        failures.read(line);
                    })
                    .map_or_else(
                        |error| Outcome::Broken(format!("{error:#}")),
                        |verdict| judge(suite, hooks, verdict, failures),
                    );
                (machine.release(), outcome)
            }
            Err(Absent::Skipped(reason)) => ("", Outcome::Skipped(reason.clone())),
            Err(Absent::Broken(how)) => ("", Outcome::Broken(how.clone())),
        };
        Row {
            suite: format!("vm {}", suite.name()),
            kernel: kernel.to_owned(),
            hooks: hooks.name(),
            outcome,
            seconds: begun.elapsed().as_secs(),
        }
    }
}

/// Hooks that tracer refuses are skipped where they are known to be, and a failure elsewhere.
fn judge(suite: Suite, hooks: Hooks, verdict: Verdict, failures: Failures) -> Outcome {
    match verdict {
        Verdict::Ran(tally) => Outcome::Ran(tally, failures.into_lines()),
        Verdict::RuledOut(why) if suite.rules_out(hooks) => Outcome::Skipped(why),
        Verdict::RuledOut(why) => Outcome::Broken(format!("tracer refuses to run: {why}")),
    }
}

/// Why there is no machine.
enum Absent {
    /// It cannot be had here.
    Skipped(String),
    /// It could not be put together.
    Broken(String),
}

fn next<T>(waiting: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .next()
}
