//! `tracer doctor`, with privileges: it must agree with what `tracer stream` then does.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tracer_tests::{
    expect,
    storm::Storm,
    tests,
    tracer::{self, Process, Tracer, command, output},
};

tests!("doctor": agrees_with_stream, prints_text_that_harms_no_terminal, says_what_each_program_costs);

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

/// Between two gusts.
const PAUSE: Duration = Duration::from_millis(50);

/// Counted while connections are made: the tracepoint that every set needs runs for each.
fn says_what_each_program_costs() -> Result<()> {
    let mut doctor = command()?;
    doctor.args([
        "doctor",
        "--cost=2s",
        "--hooks",
        &tracer::hooks(),
        "-o",
        "json",
    ]);
    let mut doctor = Process::spawn(&mut doctor, true)?;
    let storm = Storm::new()?;
    let mut made = 0;
    while doctor.exited()?.is_none() {
        storm.blow(1, 50)?;
        made += 50;
        // It has to get on, too, where there is one processor.
        std::thread::sleep(PAUSE);
    }
    storm.finish()?;
    let run = doctor.finish()?;
    run.expect_code(0)?;
    let report: Value = serde_json::from_slice(&run.stdout).context("parse the report")?;
    let cost = &report["cost"];
    let number = |value: &Value| value.as_u64().with_context(|| format!("a number: {cost}"));
    let events = number(&cost["events"])?;
    // Most were made before it watched, or after.
    ensure!(events > 0, "nothing was seen of {made} connections: {cost}");
    ensure!(number(&cost["watched_ns"])? >= 2_000_000_000, "{cost}");
    ensure!(number(&cost["process"]["cpu_ns"])? > 0, "{cost}");
    let programs = cost["programs"].as_array().context("programs")?;
    let named = |name: &str| {
        programs
            .iter()
            .find(|it| it["program"].as_str() == Some(name))
    };
    // The cheapest that this kernel has. From 7.0 on, raw ones could be interrupted.
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let major: Option<u32> = release.split('.').next().and_then(|it| it.parse().ok());
    let state = if major >= Some(7) {
        named("state_changed_classic")
    } else {
        named("state_changed_typed")
    };
    let state = state.with_context(|| format!("no program at the changes of state: {cost}"))?;
    ensure!(
        number(&state["runs"])? >= events / 4 && number(&state["run_ns"])? > 0,
        "{events} events: {cost}"
    );
    Ok(())
}
