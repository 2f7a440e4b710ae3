//! The wall clock is set while tracer runs.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Listen},
    expect::{self, endpoint},
    init,
    ledger::End,
    skip, tests,
    tracer::Tracer,
    wait,
};

use crate::{
    watch::told,
    world::{exchanged, namespace},
};

tests!("clock": steps_move_times_and_no_durations);

/// Sets the wall clock back to where it would be without this test.
struct Restore {
    wall: Timespec,
    since: Instant,
}

impl Restore {
    fn new() -> Self {
        Self {
            wall: clock_gettime(ClockId::Realtime),
            since: Instant::now(),
        }
    }

    /// Sets the wall clock to so many seconds from what is right.
    fn step(&self, seconds: i64) -> Result<()> {
        let passed = self.since.elapsed();
        let nanoseconds = self.wall.tv_nsec + i64::from(passed.subsec_nanos());
        let to = Timespec {
            tv_sec: self.wall.tv_sec
                + passed.as_secs().cast_signed()
                + nanoseconds / 1_000_000_000
                + seconds,
            tv_nsec: nanoseconds % 1_000_000_000,
        };
        clock_settime(ClockId::Realtime, to).context("set the wall clock")
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // It was possible before.
        let _ = self.step(0);
    }
}

/// Less than a step, and more than anything else may take.
const NEAR: Duration = Duration::from_secs(1800);

fn time(value: &Value) -> Result<SystemTime> {
    let text = value.as_str().context("a time")?;
    humantime::parse_rfc3339(text).with_context(|| format!("parse {text}"))
}

/// Whether it is a time of the wall clock as it stands.
fn is_now(value: &Value) -> Result<bool> {
    let (time, now) = (time(value)?, SystemTime::now());
    let apart = now.duration_since(time).or(time.duration_since(now));
    Ok(apart? < NEAR)
}

/// Each step in the midst of a connection.
fn steps_move_times_and_no_durations() -> Result<()> {
    if !init::is_test_machine() {
        return skip::not_here("machine of its own", "everybody here uses the same clock");
    }
    let netns = namespace()?;
    let mut tracer = Tracer::stream(&[])?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let ends = |from, client: &Agent, server: &Agent| {
        exchanged(
            End::client(netns.inode(), from, at, client.pid()),
            End::server(netns.inode(), from, at, server.pid()),
            0,
            0,
        )
    };
    let (mut all, mut across) = (Vec::new(), Vec::new());
    let clock = Restore::new();
    for seconds in [3600, -3600, 0] {
        let begun = Instant::now();
        let dialled = client.connect(at)?;
        let open = Instant::now();
        let accepted = server.accept(listener)?.socket()?;
        clock.step(seconds)?;
        // tracer follows when it next looks; others tell when it has.
        wait::until("tracer to follow the clock", || {
            let short = client.connect(at)?;
            let accepted = server.accept(listener)?.socket()?;
            client.close(short.socket()?)?;
            server.receive_end(accepted)?;
            server.close(accepted)?;
            let from = short.local()?;
            all.extend(ends(from, &client, &server));
            let line = tracer.wait_for("a short connection", |line| {
                line["event"] == "close"
                    && line["connection"]["netns"] == netns.inode()
                    && line["connection"]["client"] == endpoint(from)
            })?;
            Ok(is_now(&line["time"])?.then_some(()))
        })?;
        let idle = open.elapsed();
        client.close(dialled.socket()?)?;
        server.receive_end(accepted)?;
        server.close(accepted)?;
        let from = dialled.local()?;
        all.extend(ends(from, &client, &server));
        let line = tracer.wait_for("the connection across the step", |line| {
            line["event"] == "close"
                && line["connection"]["netns"] == netns.inode()
                && line["connection"]["client"] == endpoint(from)
        })?;
        ensure!(is_now(&line["time"])?, "{seconds}: {line}");
        across.push((from, idle, begun.elapsed()));
    }
    drop(clock);
    let events = told(tracer, &[&netns], &all, 0)?;
    for (from, idle, whole) in across {
        let pattern = json!({"event": "close", "connection": {"client": endpoint(from)}});
        for close in expect::exactly(2, "its ends", &pattern, &events)? {
            let duration = close["connection"]["duration_ns"].as_u64();
            let duration = Duration::from_nanos(duration.context("a duration")?);
            ensure!(
                idle <= duration && duration <= whole,
                "idle for {idle:?}, all in all {whole:?}: {close}"
            );
            let opened = time(&close["connection"]["opened"])?;
            ensure!(opened + duration == time(&close["time"])?, "{close}");
        }
    }
    Ok(())
}
