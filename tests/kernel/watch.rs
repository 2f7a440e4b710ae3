//! What tracer printed of a test's own namespaces against what really happened there.

use anyhow::{Result, ensure};
use serde_json::Value;
use tracer_tests::{expect, ledger::End, netns::Netns, tracer::Tracer};

/// Ends tracer once everything in the namespaces is over. Its lines of connections must be
/// those of `ends`, each once and true, and so many failures of those who dialled. Returns the
/// namespaces' lines.
pub(crate) fn told(
    tracer: Tracer,
    namespaces: &[&Netns],
    ends: &[End],
    failures: usize,
) -> Result<Vec<Value>> {
    for netns in namespaces {
        netns.wait_settled()?;
    }
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let missed = run.missed()?;
    let events = run.events()?;
    expect::well_formed(&events)?;
    expect::sums(run.text()?.lines())?;
    let events: Vec<Value> = namespaces
        .iter()
        .flat_map(|netns| expect::within(netns.inode(), &events))
        .collect();
    let failed = |event: &&Value| event["event"] == "fail";
    let outbound = |event: &&Value| event["connection"]["direction"] == "outbound";
    let count = events.iter().filter(failed).filter(outbound).count();
    ensure!(
        count == failures,
        "expected {failures} failures, got {count}:\n{events:#?}"
    );
    // Both ends are here: what one is turned away from, the other has tried.
    for turned_away in events.iter().filter(failed).filter(|it| !outbound(it)) {
        let ends =
            |event: &Value| ["netns", "client", "server"].map(|it| event["connection"][it].clone());
        let mut tried = events.iter().filter(outbound).map(ends);
        ensure!(
            tried.any(|it| it == ends(turned_away)),
            "nobody tried: {turned_away}"
        );
    }
    let lines: Vec<String> = events
        .iter()
        .filter(|event| !failed(event))
        .map(Value::to_string)
        .collect();
    expect::score(ends, lines.iter().map(String::as_str))?.verdict(missed)?;
    Ok(events)
}
