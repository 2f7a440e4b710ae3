//! What could not be told is counted.

use anyhow::{Result, ensure};
use serde_json::json;
use tracer_tests::{
    agent::{Agent, Listen},
    expect,
    hold::Held,
    netns::Netns,
    tests,
    tracer::Tracer,
};

tests!("loss": a_full_table_is_told, what_found_no_room_at_the_start_is_counted);

/// More connections at once than tracer was told to follow.
fn a_full_table_is_told() -> Result<()> {
    const ROOM: usize = 16;
    const DIALLED: u64 = 40;
    let netns = Netns::new()?;
    let tracer = Tracer::stream(&["--connections", &ROOM.to_string()])?;
    let mut server = Agent::new(&netns)?;
    let mut client = Agent::new(&netns)?;
    let (listening, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut open = Vec::new();
    for _ in 0..DIALLED {
        let dialled = client.connect(at)?.socket()?;
        open.push((dialled, server.accept(listening)?.socket()?));
    }
    for (dialled, accepted) in open {
        client.close(dialled)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
    }
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let totals = expect::sums(run.text()?.lines())?;
    let events = expect::within(netns.inode(), &run.events()?);
    for (kind, made) in [
        ("connect", DIALLED),
        ("accept", DIALLED),
        ("close", 2 * DIALLED),
    ] {
        let counts = totals[kind];
        ensure!(
            counts.table_full > 0,
            "{kind}: nothing found no room: {counts:?}"
        );
        // Others on this machine may have been counted, too.
        ensure!(counts.seen >= made, "{kind}: of {made}, {counts:?}");
        let here = json!({"event": kind});
        let told = events
            .iter()
            .filter(|event| expect::differences(&here, event).is_empty())
            .count() as u64;
        ensure!(
            told + counts.table_full >= made,
            "{kind}: {told} told, {counts:?}"
        );
    }
    Ok(())
}

/// Likewise, of what was there before.
fn what_found_no_room_at_the_start_is_counted() -> Result<()> {
    let netns = Netns::new()?;
    let folder = tempfile::tempdir()?;
    let held = Held::open(&netns, 40, folder.path().to_owned())?;
    let tracer = Tracer::stream(&["--connections", "16"])?;
    held.close()?;
    netns.wait_settled()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let totals = expect::sums(run.text()?.lines())?;
    let (existing, close) = (totals["existing"], totals["close"]);
    ensure!(existing.table_full > 0, "all found room: {existing:?}");
    ensure!(close.table_full > 0, "all ends were told: {close:?}");
    Ok(())
}
