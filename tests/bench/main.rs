//! What tracer costs: the storm with it and without it, in turn, beside other tools; its
//! memory; how soon it is ready. Called by `cargo xtask bench`, which has the options.
//!
//! Every figure is told with its spread, and a run that lost an event or told a wrong one does
//! not count: it ends the benchmark.

mod arm;
mod blocked;
mod machine;
mod memory;
mod report;
mod soak;
mod startup;
mod storm;
mod user;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use tracer_tests::{tracer, traffic};

use self::report::Report;

/// What to measure; `cargo xtask bench` says what each is.
#[derive(Clone, Debug, Deserialize)]
struct Plan {
    rounds: usize,
    connections: u32,
    arms: Vec<String>,
    against: Option<std::path::PathBuf>,
    replays: usize,
    starts: usize,
    held: usize,
    blocked: bool,
    soak: u32,
    json: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    // Every process of the traffic is this executable, too.
    if let Some(code) = traffic::run_if_asked() {
        return code;
    }
    tracer::hear_signals();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let plan = std::env::args()
        .nth(1)
        .context("this program is called by `cargo xtask bench`")?;
    let plan: Plan = serde_json::from_str(&plan).context("read the plan")?;
    machine::mount_tracing()?;
    let mut report = Report::new(&plan)?;
    if plan.starts > 0 {
        startup::measure(plan.starts, &mut report)?;
    }
    if plan.rounds > 0 {
        storm::measure(&plan, &mut report)?;
    }
    if plan.replays > 0 {
        user::measure(plan.replays, &mut report)?;
    }
    if plan.held > 0 {
        // Not every machine lets so many be held; the other figures stand all the same.
        if let Err(error) = memory::measure(plan.held, &mut report) {
            report.note(format!("memory with {} connections: {error:#}", plan.held));
        }
    }
    if plan.blocked {
        blocked::measure(&mut report)?;
    }
    // What was measured stands, should this one fail.
    let soak = match plan.soak {
        0 => Ok(()),
        count => soak::measure(count, &mut report),
    };
    report.print();
    if let Some(path) = &plan.json {
        report.write(path)?;
    }
    soak
}
