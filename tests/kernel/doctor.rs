//! `tracer doctor`, with privileges: it must agree with what `tracer stream` then does.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{
    expect, tests,
    tracer::{self, Tracer, command, output},
};

tests!("doctor": agrees_with_stream, prints_text_that_harms_no_terminal);

fn agrees_with_stream() -> Result<()> {
    let hooks = tracer::hooks();
    let run = output(command()?.args(["doctor", "--hooks", &hooks, "-o", "json"]))?;
    run.expect_code(0)?;
    let report: Value = serde_json::from_slice(&run.stdout).context("parse the report")?;
    let mut tracer = Tracer::stream(&[])?;
    let start = tracer.wait_for("the start line", |_| true)?;
    tracer.stop()?.expect_code(0)?;
    let used = start["tracer"]["hooks"]
        .as_str()
        .context("the hooks in use")?;
    let said = report["hooks"]
        .as_str()
        .with_context(|| format!("no hooks in {report}"))?;
    ensure!(
        said == used,
        "doctor says {said}, stream uses {used}:\n{report}"
    );
    ensure!(
        report["blind"] == start["blind"],
        "doctor: {}\nstream: {}",
        report["blind"],
        start["blind"]
    );
    Ok(())
}

fn prints_text_that_harms_no_terminal() -> Result<()> {
    let run = output(command()?.args(["doctor", "--hooks", &tracer::hooks(), "-o", "text"]))?;
    run.expect_code(0)?;
    expect::harmless(&run.stdout)?;
    ensure!(
        run.text()?.lines().count() > 3,
        "a short report:\n{}",
        run.text()?
    );
    Ok(())
}
