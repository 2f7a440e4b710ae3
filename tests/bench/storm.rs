//! CPU time that a connection costs the whole machine, arm by arm in turn.

use std::time::{Duration, Instant};

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
            None => arms.push((arm, Vec::new())),
        }
    }
    for round in 0..=plan.rounds {
        let count = arms.len();
        for n in 0..count {
            // Every other round backwards, so that what comes after what does not matter.
            let n = if round % 2 == 0 { n } else { count - 1 - n };
            let (arm, samples) = &mut arms[n];
            let sample = run(*arm, plan.connections)?;
            eprintln!(
                "round {round} of {}: {:>9} {:6.2} µs a connection, {:6.0} connections/s",
                plan.rounds,
                arm.name(),
                sample.cpu,
                sample.rate
            );
            // The first warms the machine up.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    let base: Vec<Sample> = arms[0].1.clone();
    ensure!(arms[0].0 == Arm::Nothing, "no arm to compare with");
    for (arm, samples) in &arms {
        let added: Vec<f64> = samples
            .iter()
            .zip(&base)
            .map(|(it, base)| it.cpu - base.cpu)
            .collect();
        report.storm(
            *arm,
            &Spread::of(samples.iter().map(|it| it.cpu).collect()),
            &Spread::of(added),
            &Spread::of(samples.iter().map(|it| it.rate).collect()),
        );
    }
    Ok(())
}

fn run(arm: Arm, connections: u32) -> Result<Sample> {
    let folder = tempfile::tempdir().context("make a folder for the output")?;
    let storm = Storm::new()?;
    let running = arm.start(folder.path())?;
    let (busy, begun) = (machine::busy()?, Instant::now());
    storm.blow(CLIENTS, connections)?;
    let took = begun.elapsed();
    std::thread::sleep(DRAIN);
    let busy = machine::busy()? - busy;
    let ends = storm.finish()?;
    running.stop(&ends)?;
    Ok(Sample {
        cpu: busy.as_secs_f64() * 1e6 / f64::from(connections),
        rate: f64::from(connections) / took.as_secs_f64(),
    })
}
