//! The user side alone: how many records a second one processor can take.

use anyhow::{Result, ensure};
use tracer_tests::storm::Storm;
use tracer_user::bench::{Recording, Stage};

use crate::report::{Report, Spread};

/// Connections to record.
const CONNECTIONS: u32 = 50_000;

/// Replays all records so often.
pub(crate) fn measure(replays: usize, report: &mut Report) -> Result<()> {
    let storm = Storm::new()?;
    let recording = Recording::of(|| storm.blow(2, CONNECTIONS))?;
    storm.finish()?;
    ensure!(
        recording.len() >= 4 * CONNECTIONS as usize,
        "{} records of {CONNECTIONS} connections",
        recording.len()
    );
    for (what, last) in [
        ("decoded, attributed and completed", Stage::Enrich),
        ("completed, and counted in a map", Stage::Map),
        ("completed, and written as JSON to memory", Stage::Json),
    ] {
        recording.replay(last);
        let rates = (0..replays)
            .map(|_| recording.len() as f64 / recording.replay(last).as_secs_f64() / 1e6);
        let what = format!("one processor: records of a storm, {what}");
        report.row(&what, &Spread::of(rates.collect()), "million/s");
    }
    Ok(())
}
