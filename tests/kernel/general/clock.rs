//! Clocks that are not what they seem: set while tracer runs, or moved by a time namespace.

use std::{
    io,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use serde_json::{Value, json};
use tracer_tests::{
    agent::{Agent, Listen},
    expect::{self, endpoint},
    init,
    ledger::End,
    skip, tests,
    tracer::{Tracer, stream_command},
    wait,
};

use crate::{
    watch::told,
    world::{exchanged, namespace},
};

tests!("clock": steps_move_times_and_no_durations, a_time_namespace_moves_nothing);

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

/// Eleven days are added to the time since boot, for this process alone.
fn move_boot_time() -> io::Result<()> {
    const CLONE_NEWTIME: libc::c_int = 0x80;
    let succeeded = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: takes a number; the child has one thread.
    succeeded(unsafe { libc::unshare(CLONE_NEWTIME) })?;
    std::fs::write("/proc/self/timens_offsets", "boottime 1000000 0")?;
    let namespace = std::fs::File::open("/proc/self/ns/time_for_children")?;
    // SAFETY: takes an open descriptor and a number.
    succeeded(unsafe { libc::setns(namespace.as_raw_fd(), CLONE_NEWTIME) })
}

/// tracer reads clocks and /proc by its own namespace, and the kernel's programs by none.
fn a_time_namespace_moves_nothing() -> Result<()> {
    if !Path::new("/proc/self/ns/time").exists() {
        return skip::skip("time namespaces", "this kernel has none");
    }
    let netns = namespace()?;
    let (mut server, mut client) = (Agent::new(&netns)?, Agent::new(&netns)?);
    let (listener, at) = server.listen(Listen::at("127.0.0.1:0".parse()?))?;
    let mut command = stream_command(&["-o", "json"])?;
    // SAFETY: system calls on constants, at most through the standard library's thinnest
    // wrappers.
    unsafe { command.pre_exec(move_boot_time) };
    let mut tracer = Tracer::start(&mut command)?;
    let dialled = client.connect(at)?;
    let accepted = server.accept(listener)?.socket()?;
    // What /proc adds shows that a process was found to be the same.
    let line = tracer.wait_for("the connection", |line| {
        line["event"] == "connect" && line["connection"]["netns"] == netns.inode()
    })?;
    let exe = line["process"]["exe"].as_str().map(Path::new);
    ensure!(exe == Some(&std::env::current_exe()?), "{line}");
    client.close(dialled.socket()?)?;
    server.receive_end(accepted)?;
    server.close(accepted)?;
    let from = dialled.local()?;
    let ends = exchanged(
        End::client(netns.inode(), from, at, client.pid()),
        End::server(netns.inode(), from, at, server.pid()),
        0,
        0,
    );
    let events = told(tracer, &[&netns], &ends, 0)?;
    for event in events {
        for moment in [&event["time"], &event["process"]["started"]] {
            ensure!(is_now(moment)?, "{moment} is not now: {event}");
        }
    }
    Ok(())
}
