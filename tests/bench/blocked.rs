//! A reader that does not read: traffic goes on at its own pace, memory stays bounded, and what
//! found no room is counted.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::{
    expect,
    ledger::Side,
    storm::Storm,
    tracer::{self, Process},
};

use crate::{
    machine::Memory,
    report::{Report, Spread},
};

/// How long nobody reads.
const BLOCKED: Duration = Duration::from_secs(10);
/// Connections of a gust.
const GUST: u32 = 20_000;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (free, _) = blow(BLOCKED)?;
    let mut process = Process::spawn(&mut tracer::stream_command(&["-o", "json"])?, false)?;
    let pid = process.pid();
    let mut output = BufReader::new(process.take_stdout().context("its output")?);
    // It watches once it says so.
    let mut start = String::new();
    output
        .read_line(&mut start)
        .context("read the first line")?;
    let (blocked, made) = blow(BLOCKED)?;
    let memory = Memory::of(pid)?;
    // From here on somebody reads.
    let reader = std::thread::spawn(move || -> std::io::Result<String> {
        let mut text = String::new();
        output.read_to_string(&mut text)?;
        Ok(text)
    });
    process.signal(Signal::INT)?;
    process.finish()?.expect_code(0)?;
    let text = reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader panicked"))?
        .context("read what tracer printed")?;
    // The sums hold, and what is lost is told.
    let totals = expect::sums(text.lines())?;
    for (kind, count) in [("connect", made), ("accept", made), ("close", 2 * made)] {
        ensure!(
            totals[kind].seen >= count,
            "{kind}: {count} happened: {:?}",
            totals[kind]
        );
    }
    let lost: u64 = totals.values().map(|counts| counts.lost()).sum();
    let seen: u64 = totals.values().map(|counts| counts.seen).sum();
    ensure!(lost > 0, "nothing was lost: {seen} events found room");
    let one = |value: f64| Spread::of(vec![value]);
    report.row("connections/s for 10 s, nothing attached", &one(free), "");
    report.row("connections/s for 10 s, output blocked", &one(blocked), "");
    report.row(
        "output blocked: own memory",
        &one(memory.own as f64 / f64::from(1 << 20)),
        "MiB",
    );
    report.row(
        "output blocked: events seen, and told to be lost",
        &one(lost as f64 / seen as f64 * 100.0),
        "%",
    );
    Ok(())
}

/// Storms for a while: connections a second, and how many there were.
fn blow(duration: Duration) -> Result<(f64, u64)> {
    let begun = Instant::now();
    let (mut made, mut blowing) = (0, Duration::ZERO);
    while begun.elapsed() < duration {
        let storm = Storm::new()?;
        let from = Instant::now();
        storm.blow(2, GUST)?;
        blowing += from.elapsed();
        let ends = storm.finish()?;
        made += ends.iter().filter(|end| end.side == Side::Client).count() as u64;
    }
    Ok((made as f64 / blowing.as_secs_f64(), made))
}
