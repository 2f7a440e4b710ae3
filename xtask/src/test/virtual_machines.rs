//! The kernel suite in virtual machines: one boot for each set of hooks, two at a time.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::report::{Outcome, Report, Row};
use crate::vm::{self, Hooks, Machine};

/// Machines that run at once. Each has two processors of its own, emulated on ours.
const AT_ONCE: usize = 2;

/// Boots a machine for each of `hooks`, or says why it cannot.
pub(super) fn run(
    report: &mut Report,
    hooks: &[Hooks],
    init: &Path,
    tracer: &Path,
    filter: &[String],
) {
    let suite = vm::DEFAULT_SUITE;
    let row = |kernel: &str, hooks: Hooks, outcome, seconds| Row {
        suite: format!("vm {suite}"),
        kernel: kernel.to_owned(),
        hooks: hooks.name(),
        outcome,
        seconds,
    };
    println!("\nkernel in virtual machines of {suite}");
    let unavailable = vm::unavailable().map_or_else(
        || vm::fetch(suite).map_err(|error| format!("{error:#}")),
        Err,
    );
    let kernel = match unavailable {
        Ok(kernel) => kernel,
        Err(reason) => {
            for &hooks in hooks {
                report.add(row("", hooks, Outcome::Skipped(reason.clone()), 0));
            }
            return;
        }
    };
    let machine = match Machine::prepare(suite, init, tracer) {
        Ok(machine) => machine,
        Err(error) => {
            let outcome = Outcome::Broken(format!("{error:#}"));
            return report.add(Row {
                suite: format!("vm {suite}"),
                kernel,
                hooks: "",
                outcome,
                seconds: 0,
            });
        }
    };

    let waiting = Mutex::new(hooks.iter());
    let done = Mutex::new(Vec::new());
    let locked = |waiting: &Mutex<std::slice::Iter<'_, Hooks>>| {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
            .copied()
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(hooks.len()) {
            scope.spawn(|| {
                while let Some(hooks) = locked(&waiting) {
                    let begun = Instant::now();
                    let name = hooks.name();
                    let outcome = machine
                        .boot(hooks, filter, |line| println!("[{name}] {line}"))
                        .map_or_else(|error| Outcome::Broken(format!("{error:#}")), Outcome::Ran);
                    let row = row(&kernel, hooks, outcome, begun.elapsed().as_secs());
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(row);
                }
            });
        }
    });
    let mut rows = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| hooks.iter().position(|hooks| hooks.name() == row.hooks));
    for row in rows {
        report.add(row);
    }
}
