//! CPU time that a connection costs the whole machine, arm by arm in turn.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tracer_tests::storm::Storm;

use crate::{
    Plan,
    arm::{ARMS, Arm},
    machine,
    report::{Report, Spread},
};

/// Clients of the storm.
const CLIENTS: u32 = 2;

/// After the last connection, for what is still to be printed.
const DRAIN: Duration = Duration::from_millis(150);

/// One run.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Of the whole machine, microseconds a connection.
    cpu: f64,
    /// Connections a second.
    rate: f64,
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut arms = Vec::new();
    for arm in ARMS {
        if arm != Arm::Nothing
            && !plan.arms.is_empty()
            && !plan.arms.iter().any(|it| it == arm.name())
        {
            continue;
        }
        match arm.missing() {
            Some(why) => report.note(format!("left out: {why}")),
            None => {
                arms.push((arm, None, Vec::new()));
                if plan.against.is_some() && arm.is_tracer() {
                    arms.push((arm, plan.against.as_deref(), Vec::new()));
                }
            }
        }
    }
    for round in 0..=plan.rounds {
        let count = arms.len();
        for n in 0..count {
            // Every other round backwards, so that what comes after what does not matter.
            let n = if round % 2 == 0 { n } else { count - 1 - n };
            let (arm, tracer, samples) = &mut arms[n];
            let sample = run(*arm, *tracer, plan.connections)?;
            eprintln!(
                "round {round} of {}: {:>9}{} {:6.2} µs a connection, {:6.0} connections/s",
                plan.rounds,
                arm.name(),
                if tracer.is_some() {
                    " of the other"
                } else {
                    ""
                },
                sample.cpu,
                sample.rate
            );
            // The first warms the machine up.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    let base: Vec<Sample> = arms[0].2.clone();
    ensure!(arms[0].0 == Arm::Nothing, "no arm to compare with");
    let differences = |samples: &[Sample], base: &[Sample]| {
        let pairs = samples.iter().zip(base);
        Spread::of(pairs.map(|(it, base)| it.cpu - base.cpu).collect())
    };
    for (n, (arm, tracer, samples)) in arms.iter().enumerate() {
        let what = match tracer {
            // It comes after the one under test.
            Some(tracer) => {
                let less = differences(&arms[n - 1].2, samples);
                report.note(format!(
                    "`{}` under test, minus the same of {}: {} µs a connection",
                    arm.what(),
                    tracer.display(),
                    less.text(2)
                ));
                format!("the other one: {}", arm.what())
            }
            None => arm.what(),
        };
        report.storm(
            *arm,
            what,
            &Spread::of(samples.iter().map(|it| it.cpu).collect()),
            &differences(samples, &base),
            &Spread::of(samples.iter().map(|it| it.rate).collect()),
        );
    }
    Ok(())
}

fn run(arm: Arm, tracer: Option<&Path>, connections: u32) -> Result<Sample> {
    let folder = tempfile::tempdir().context("make a folder for the output")?;
    let storm = Storm::new()?;
    let running = arm.start(folder.path(), tracer)?;
    let (busy, begun) = (machine::busy()?, Instant::now());
    storm.blow(CLIENTS, connections)?;
    let took = begun.elapsed();
    std::thread::sleep(DRAIN);
    let busy = machine::busy()? - busy;
    let port = storm.port();
    let ends = storm.finish()?;
    running.stop(&ends, port)?;
    Ok(Sample {
        cpu: busy.as_secs_f64() * 1e6 / f64::from(connections),
        rate: f64::from(connections) / took.as_secs_f64(),
    })
}
