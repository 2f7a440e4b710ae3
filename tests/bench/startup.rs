//! How soon tracer is there.

use std::time::Instant;

use anyhow::Result;
use tracer_tests::{
    agent::{Agent, Listen},
    netns::Netns,
    tracer::Tracer,
};

use crate::report::{Report, Spread};

/// From the call of the program to its `start` line, and to the line of the first connection
/// made after it.
pub(crate) fn measure(starts: usize, report: &mut Report) -> Result<()> {
    let netns = Netns::new()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (_, at) = server.listen(Listen {
        backlog: 4096,
        ..Listen::at("127.0.0.1:0".parse()?)
    })?;
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let begun = Instant::now();
        let mut tracer = Tracer::stream(&[])?;
        ready.push(begun.elapsed().as_secs_f64() * 1e3);
        let slot = client.connect(at)?.socket()?;
        tracer.wait_for("the first connection", |line| {
            line["event"] == "connect" && line["connection"]["server"]["port"] == at.port()
        })?;
        first.push(begun.elapsed().as_secs_f64() * 1e3);
        client.close(slot)?;
        tracer.stop()?.expect_code(0)?;
    }
    report.row("start to the `start` line", &Spread::of(ready), "ms");
    report.row("start to the first event", &Spread::of(first), "ms");
    Ok(())
}
