//! Very many connections through one run: nothing grows, nothing is lost.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tracer_tests::{expect, storm::Storm, tracer, wait};

use crate::{
    machine::Memory,
    report::{Report, Spread},
};

/// Connections after which memory is looked at again.
const STEP: u32 = 500_000;

pub(crate) fn measure(connections: u32, report: &mut Report) -> Result<()> {
    // The lines go nowhere, but `loss` and `stop` are wanted: a pipe that keeps those.
    let mut child = tracer::stream_command(&["-o", "json"])?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start tracer")?;
    let output = child.stdout.take().context("its output")?;
    let kept = std::thread::spawn(move || -> Result<Vec<String>> {
        let mut kept = Vec::new();
        for line in BufReader::with_capacity(1 << 20, output).lines() {
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
    let pid = child.id();
    wait::until("the capture to begin", || {
        Ok((Memory::of(pid)?.tables > 0).then_some(()))
    })?;
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
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(process.context("a process id")?, Signal::INT).context("end tracer")?;
    let status = child.wait().context("wait for tracer")?;
    ensure!(status.success(), "tracer: {status}");
    let kept = kept
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let totals = expect::sums(kept.iter().map(String::as_str))?;
    for (kind, count) in [("connect", done), ("accept", done), ("close", 2 * done)] {
        let counts = totals[kind];
        ensure!(
            counts.lost() == 0 && counts.seen >= u64::from(count),
            "{kind}: {count} happened: {counts:?}"
        );
    }
    report.row(
        &format!("own memory over {done} connections"),
        &Spread::of(own),
        "MiB",
    );
    Ok(())
}
