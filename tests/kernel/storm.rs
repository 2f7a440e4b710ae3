//! As many connections as the machine can make: nothing lost, and what must be lost is counted.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tracer_tests::{
    expect::{self, Counts},
    ledger::Side,
    storm::Storm,
    suite::setting,
    tests,
    tracer::{Process, Tracer, live_command},
};

tests!("storm":
    nothing_is_lost_by_default,
    a_map_counts_each_connection,
    what_a_tiny_ring_loses_adds_up,
    strict_says_that_events_were_lost,
    strict_is_content_when_nothing_was_lost,
);

fn nothing_is_lost_by_default() -> Result<()> {
    let count = setting("TRACER_STORM", 200_000)?;
    let tracer = Tracer::stream(&[])?;
    tracer.make_room(4 * count as usize);
    let storm = Storm::new()?;
    let begun = std::time::Instant::now();
    storm.blow(2, count)?;
    let took = begun.elapsed();
    let ends = storm.finish()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let missed = run.missed()?;
    println!(
        "storm: {count} connections in {took:?}, {missed} runs of tracer's programs skipped by the kernel"
    );

    let totals = expect::sums(run.text()?.lines())?;
    ensure!(
        totals.values().all(|counts| counts.lost() == 0),
        "events were lost: {totals:?}"
    );
    let report = expect::score(&ends, run.text()?.lines())?;
    println!("storm: {report}");
    report.verdict(missed)
}

/// Most of them are over before anybody looks, so that only their ends are told of.
fn a_map_counts_each_connection() -> Result<()> {
    let count = setting("TRACER_STORM", 200_000)?.div_ceil(4);
    let mut process = Process::spawn(&mut live_command("map", &["-o", "json", "-v"])?, true)?;
    process.wait_until_watching()?;
    let storm = Storm::new()?;
    let port = storm.port();
    storm.blow(2, count)?;
    let ends = storm.finish()?;
    process.signal(Signal::INT)?;
    let run = process.finish()?;
    run.expect_code(0)?;
    expect::whole_map(run.text()?, port, ends.len() as u64 / 2)
}

fn what_a_tiny_ring_loses_adds_up() -> Result<()> {
    let count = setting("TRACER_STORM", 200_000)?.div_ceil(10);
    let mut tracer = Tracer::stream(&["--ring", "4096"])?;
    let storm = Storm::new()?;
    let netns = storm.netns.inode();
    storm.blow(2, count)?;
    // While it stands still, the ring must overflow.
    tracer.process().signal(Signal::STOP)?;
    storm.blow(2, 1000)?;
    tracer.process().signal(Signal::CONT)?;
    storm.blow(2, 1000)?;
    let ends = storm.finish()?;
    let run = tracer.stop()?;
    run.expect_code(0)?;

    let totals = expect::sums(run.text()?.lines())?;
    let clients = ends.iter().filter(|end| end.side == Side::Client).count() as u64;
    let servers = ends.len() as u64 - clients;
    let lost: u64 = totals.values().map(|counts| counts.lost()).sum();
    ensure!(
        lost > 0,
        "nothing was lost with a ring of a page: {totals:?}"
    );
    println!("storm: {clients} connections with a tiny ring, {lost} events lost: {totals:?}");

    let here = format!("\"netns\":{netns}");
    for (kind, made) in [
        ("connect", clients),
        ("accept", servers),
        ("close", clients + servers),
        ("fail", 0),
    ] {
        let Counts {
            seen, delivered, ..
        } = totals[kind];
        let marker = format!("\"event\":\"{kind}\"");
        let lines: Vec<&str> = run
            .text()?
            .lines()
            .filter(|line| line.contains(&marker))
            .collect();
        let foreign = lines.iter().filter(|line| !line.contains(&here)).count() as u64;
        ensure!(
            delivered == lines.len() as u64,
            "{kind}: delivered {delivered}, printed {}",
            lines.len()
        );
        if foreign == 0 {
            ensure!(seen == made, "{kind}: seen {seen}, the ledger has {made}");
        } else {
            // Somebody else used the network; what of theirs was lost cannot be told from ours.
            println!("storm: {foreign} {kind} events of others: only an upper bound is checked");
            ensure!(
                seen >= made + foreign,
                "{kind}: seen {seen}, the ledger has {made}, others {foreign}"
            );
        }
    }
    Ok(())
}

fn strict_says_that_events_were_lost() -> Result<()> {
    let mut tracer = Tracer::stream(&["--strict", "--ring", "4096"])?;
    let storm = Storm::new()?;
    tracer.process().signal(Signal::STOP)?;
    storm.blow(1, 200)?;
    tracer.process().signal(Signal::CONT)?;
    storm.finish()?;
    let run = tracer.stop()?;
    run.expect_code(2)?;
    let lost: u64 = expect::sums(run.text()?.lines())?
        .values()
        .map(|counts| counts.lost())
        .sum();
    ensure!(lost > 0, "exit code 2, but nothing was lost");
    Ok(())
}

fn strict_is_content_when_nothing_was_lost() -> Result<()> {
    let tracer = Tracer::stream(&["--strict"])?;
    let storm = Storm::new()?;
    storm.blow(1, 200)?;
    storm.finish()?;
    tracer.stop()?.expect_code(0)?;
    Ok(())
}
