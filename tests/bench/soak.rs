//! Very many connections through one run: nothing grows, nothing is lost.

use std::{
    io::{BufRead as _, BufReader},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tracer_tests::{
    expect,
    storm::Storm,
    tracer::{self, Process},
};

use crate::{
    machine::Memory,
    report::{Report, Spread},
};

/// Connections after which memory is looked at again.
const STEP: u32 = 500_000;

pub(crate) fn measure(connections: u32, report: &mut Report) -> Result<()> {
    // The lines go nowhere, but `loss` and `stop` are wanted: a pipe that keeps those.
    let mut process = Process::spawn(&mut tracer::stream_command(&["-o", "json"])?, false)?;
    let pid = process.pid();
    let mut output = BufReader::new(process.take_stdout().context("its output")?);
    // It watches once it says so.
    let mut start = String::new();
    output
        .read_line(&mut start)
        .context("read the first line")?;
    let kept = std::thread::spawn(move || -> Result<Vec<String>> {
        let mut kept = Vec::new();
        for line in output.lines() {
            let line = line.context("read what tracer prints")?;
            if ["\"event\":\"loss\"", "\"event\":\"stop\""]
                .iter()
                .any(|it| line.contains(it))
            {
                kept.push(line);
            }
        }
        Ok(kept)
    });
    let begun = Instant::now();
    let (mut done, mut own) = (0, Vec::new());
    while done < connections {
        let count = STEP.min(connections - done);
        let storm = Storm::new()?;
        storm.blow(2, count)?;
        storm.finish()?;
        done += count;
        let memory = Memory::of(pid)?;
        own.push(memory.own as f64 / f64::from(1 << 20));
        eprintln!(
            "{done} connections in {:.0} s: {:.1} MiB of its own, {:.1} MiB resident",
            begun.elapsed().as_secs_f64(),
            memory.own as f64 / f64::from(1 << 20),
            memory.resident as f64 / f64::from(1 << 20),
        );
    }
    process.signal(Signal::INT)?;
    process.finish()?.expect_code(0)?;
    let kept = kept
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let totals = expect::sums(kept.iter().map(String::as_str))?;
    let stop = kept.iter().find(|line| line.contains("\"event\":\"stop\""));
    let stop: Value = serde_json::from_str(stop.context("a stop line")?)?;
    let missed = stop["missed"].as_u64().context("`missed`")?;
    for (kind, count) in [("connect", done), ("accept", done), ("close", 2 * done)] {
        let counts = totals[kind];
        ensure!(
            counts.lost() == 0 && counts.seen + missed >= u64::from(count),
            "{kind}: {count} happened, at most {missed} were missed: {counts:?}"
        );
    }
    let events: u64 = totals.values().map(|counts| counts.seen).sum();
    report.note(format!(
        "{done} connections in one run: {events} events, none lost, {} runs skipped by the kernel",
        stop["missed"]
    ));
    report.row(
        &format!("own memory over {done} connections"),
        &Spread::of(own),
        "MiB",
    );
    Ok(())
}
