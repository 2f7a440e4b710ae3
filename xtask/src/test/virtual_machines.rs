//! The kernel suite in virtual machines: one boot for each kernel and set of hooks, a few at
//! a time.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::failures::Failures;
use super::report::{Outcome, Row};
use crate::vm::{self, Hooks, Machine, Orders, Run, Suite, Verdict};

/// What to run, and on what.
pub(super) struct Matrix<'a> {
    pub(super) suites: &'a [Suite],
    pub(super) hooks: &'a [Hooks],
    /// Whether there is a kernel of each suite.
    pub(super) kernels: &'a [Fetched],
    /// The first process of each machine.
    pub(super) init: &'a Path,
    pub(super) tracer: &'a Path,
    pub(super) filter: &'a [String],
}

/// A suite, and why there is no machine with its kernel, if so.
pub(super) type Fetched = (Suite, Result<(), String>);

/// Fetches the kernels that are not there yet.
pub(super) fn fetch(suites: &[Suite]) -> Vec<Fetched> {
    let fetch = |suite| match vm::unavailable() {
        Some(reason) => Err(reason),
        None => vm::fetch(suite).map_err(|error| format!("{error:#}")),
    };
    suites.iter().map(|&suite| (suite, fetch(suite))).collect()
}

/// One boot.
#[derive(Clone, Copy)]
struct Place<'a> {
    suite: Suite,
    hooks: Hooks,
    run: &'static Run,
    machine: &'a Result<Machine, Absent>,
}

impl Matrix<'_> {
    /// A row for each suite and set of hooks, in that order: how it went there, or why not. First
    /// come those of `here`, what is to run on this machine: one processor does that, and the
    /// others boot machines meanwhile. These live by a clock of their own, so it does not matter
    /// to them how much of a processor they get.
    pub(super) fn run(&self, here: impl FnOnce() -> Vec<Row> + Send) -> Vec<Row> {
        let machines: Vec<_> = self
            .suites
            .iter()
            .map(|&suite| (suite, self.machine(suite)))
            .collect();
        let places = machines.iter().flat_map(|(suite, machine)| {
            self.hooks.iter().flat_map(move |&hooks| {
                suite.runs(hooks).iter().map(move |run| Place {
                    suite: *suite,
                    hooks,
                    run,
                    machine,
                })
            })
        });
        let (alone, together): (Vec<_>, Vec<_>) =
            places.partition(|place| place.run.processors > 1);
        let mut rows = self.boot_all(&together, here);
        // One after the other: these live by our clock, and it is no test of how busy we are.
        rows.extend(alone.into_iter().map(|place| self.boot(place)));
        rows
    }

    /// Some at a time; the rows are in the order of the places, behind those of `here`.
    fn boot_all(&self, places: &[Place<'_>], here: impl FnOnce() -> Vec<Row> + Send) -> Vec<Row> {
        let mut order: Vec<_> = places.iter().enumerate().collect();
        // Those with most to do first, or one of them would be the only one in the end.
        order.sort_by_key(|(_, place)| std::cmp::Reverse(place.run.scope.len()));
        let waiting = Mutex::new(order.into_iter());
        let booted = Mutex::new(Vec::new());
        let work = || {
            while let Some((number, place)) = next(&waiting) {
                let row = self.boot(*place);
                let mut booted = booted.lock().unwrap_or_else(PoisonError::into_inner);
                booted.push((number, row));
            }
        };
        let mut rows = std::thread::scope(|scope| {
            for _ in 1..at_once().min(places.len() + 1) {
                scope.spawn(work);
            }
            let rows = here();
            work();
            rows
        });
        let mut booted = booted.into_inner().unwrap_or_else(PoisonError::into_inner);
        booted.sort_by_key(|(number, _)| *number);
        rows.extend(booted.into_iter().map(|(_, row)| row));
        rows
    }

    /// A machine with the kernel of `suite`, or what to say in its place.
    fn machine(&self, suite: Suite) -> Result<Machine, Absent> {
        let fetched = self.kernels.iter().find(|(of, _)| *of == suite);
        if let Some((_, Err(why))) = fetched {
            return Err(Absent::Skipped(why.clone()));
        }
        Machine::prepare(suite, self.init, self.tracer)
            .map_err(|error| Absent::Broken(format!("{error:#}")))
    }

    fn boot(&self, place: Place<'_>) -> Row {
        let begun = Instant::now();
        let mut name = place.suite.name().to_owned();
        if place.run.processors > 1 {
            name += &format!(", {} processors", place.run.processors);
        }
        let (kernel, outcome) = match place.machine {
            Ok(machine) => {
                let mut failures = Failures::default();
                let orders = Orders {
                    processors: place.run.processors,
                    scope: place.run.scope,
                    settings: &[],
                    arguments: self.filter,
                };
                let outcome = machine
                    .boot(place.hooks, orders, |line| {
                        println!("[{name} {}] {line}", place.hooks.name());
                        failures.read(line);
                    })
                    .map_or_else(
                        |error| Outcome::Broken(format!("{error:#}")),
                        |verdict| judge(place, verdict, failures),
                    );
                (machine.release(), outcome)
            }
            Err(Absent::Skipped(reason)) => ("", Outcome::Skipped(reason.clone())),
            Err(Absent::Broken(how)) => ("", Outcome::Broken(how.clone())),
        };
        let row = Row {
            suite: format!("vm {name}"),
            kernel: kernel.to_owned(),
            hooks: place.hooks.name(),
            outcome,
            seconds: begun.elapsed().as_secs(),
        };
        row.announce();
        row
    }
}

/// How many machines run at once: one for each processor here, as none of them ever waits.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Hooks that tracer refuses are skipped where they are known to be, and a failure elsewhere.
fn judge(place: Place<'_>, verdict: Verdict, failures: Failures) -> Outcome {
    match verdict {
        Verdict::Ran(tally) => Outcome::Ran(tally, failures.into_lines()),
        Verdict::RuledOut(why) if place.suite.rules_out(place.hooks) => Outcome::Skipped(why),
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
