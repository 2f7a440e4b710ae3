//! What tracer holds: idle, and with very many connections.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tracer_tests::{hold::Held, netns::Netns, tracer::Tracer};

use crate::{
    machine::Memory,
    report::{Report, Spread},
};

/// After which it is idle.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn measure(held: usize, report: &mut Report) -> Result<()> {
    let connections = (4 * held).next_power_of_two().to_string();
    let mut tracer = Tracer::stream(&["--event", "close", "--connections", &connections])?;
    std::thread::sleep(SETTLE);
    tell(report, "idle", &mut tracer)?;
    let netns = Netns::new()?;
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let mut open = Vec::new();
    let mut left = held;
    while left > 0 {
        // As many processes as the limit of open files demands.
        let count = left.min(Held::most());
        open.push(Held::open(&netns, count, folder.path().to_owned())?);
        left -= count;
    }
    std::thread::sleep(SETTLE);
    tell(
        report,
        &format!("{held} live connections, both ends"),
        &mut tracer,
    )?;
    open.into_iter().try_for_each(Held::close)?;
    tracer.stop()?.expect_code(0)?;
    Ok(())
}

pub(crate) fn tell(report: &mut Report, when: &str, tracer: &mut Tracer) -> Result<()> {
    let memory = Memory::of(tracer.process().pid())?;
    for (what, bytes) in [
        ("own memory", memory.own),
        ("resident, with what is shared", memory.resident),
        ("tables in the kernel", memory.tables),
    ] {
        let megabytes = bytes as f64 / f64::from(1 << 20);
        report.row(
            &format!("{when}: {what}"),
            &Spread::of(vec![megabytes]),
            "MiB",
        );
    }
    Ok(())
}
