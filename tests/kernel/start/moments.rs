//! Recordings that begin and end at any moment, in the midst of traffic: all that is told is true and was within, and
//! all that was within is told.
//!
//! Each test does the same so many times (`TRACER_MOMENTS`), at moments by a seed that it prints (`TRACER_SEED`).

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::{
    expect::KINDS,
    init,
    moments::{Recording, Traffic, judge, judge_map},
    netns::Netns,
    suite::setting,
    tests,
    tracer::{Process, Run, Tracer, live_command, stream_command},
};

tests!("moments":
    started_and_stopped,
    stopped_by_itself,
    killed_and_started_again,
    while_another_starts_and_stops,
    over_several_looks_around,
    as_a_map,
);

/// The longest time that a recording goes on.
const LONGEST: Duration = Duration::from_millis(1200);

/// Numbers by a seed.
struct Moments(u64);

impl Moments {
    fn new(what: &str) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let seed = match std::env::var("TRACER_SEED") {
            Ok(seed) => seed.parse().context("read TRACER_SEED")?,
            Err(_) => {
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH)?;
                since.as_secs() << 8 | NEXT.fetch_add(1, Ordering::Relaxed)
            }
        };
        println!("moments: {what}: TRACER_SEED={seed}");
        // Never zero.
        Ok(Self(seed.wrapping_mul(2).wrapping_add(1)))
    }

    /// Less than `most`.
    fn next(&mut self, most: Duration) -> Duration {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let share = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        most.mul_f64(share)
    }

    /// Waits until one of the moments within `most` from now.
    fn wait(&mut self, most: Duration) {
        std::thread::sleep(self.next(most));
    }
}

/// How often each is done, with so many connections in a second.
fn settings() -> Result<(u32, u32)> {
    let (rounds, rate) = if init::is_test_machine() {
        (1, 300)
    } else {
        (3, 20_000)
    };
    Ok((
        setting("TRACER_MOMENTS", rounds)?,
        setting("TRACER_MOMENTS_RATE", rate)?,
    ))
}

/// A tracer in a namespace of its own, so that what it does itself can be told from all else.
struct Watcher {
    name: &'static str,
    tracer: Tracer,
    own: Netns,
}

impl Watcher {
    fn start(name: &'static str, args: &[&str]) -> Result<Self> {
        let own = Netns::new()?;
        let mut command = stream_command(&["-o", "json", "--event", &KINDS.join(",")])?;
        if !init::is_test_machine() {
            command.args(["--ring", "67108864"]);
        }
        own.enter(command.args(args));
        let tracer = Tracer::start(&mut command)?;
        Ok(Self { name, tracer, own })
    }

    fn stop(mut self) -> Result<Heard> {
        self.tracer.process().signal(Signal::INT)?;
        self.finish()
    }

    fn finish(self) -> Result<Heard> {
        let heard = self.killed()?;
        heard.run.expect_code(0)?;
        Ok(Heard {
            killed: false,
            ..heard
        })
    }

    fn killed(self) -> Result<Heard> {
        Ok(Heard {
            name: self.name,
            run: self.tracer.finish()?,
            killed: true,
            own: self.own,
        })
    }
}

/// What a tracer said.
struct Heard {
    name: &'static str,
    run: Run,
    killed: bool,
    own: Netns,
}

/// Does `work` in the midst of traffic, again and again, and holds what was heard against the truth. All rounds are
/// done before any of them fails.
fn rounds(what: &str, mut work: impl FnMut(&mut Moments) -> Result<Vec<Heard>>) -> Result<()> {
    let mut moments = Moments::new(what)?;
    let mut faults = String::new();
    let (rounds, rate) = settings()?;
    for round in 0..rounds {
        let traffic = Traffic::start(rate)?;
        moments.wait(LONGEST / 10);
        let heard = work(&mut moments)?;
        let truth = traffic.finish()?;
        println!("moments: {what}, round {round}: {truth}");
        let own: Vec<u64> = heard.iter().map(|heard| heard.own.inode()).collect();
        for heard in &heard {
            let recording = Recording {
                text: heard.run.text()?,
                killed: heard.killed,
            };
            let judged = judge(&truth, &recording, &own)?;
            println!("moments: {what}, round {round}: {}: {judged}", heard.name);
            if judged.verdict().is_err() {
                keep(what, round, heard)?;
                faults += &format!("\nround {round}, {}: {judged}", heard.name);
            }
        }
    }
    ensure!(faults.is_empty(), "{faults}");
    Ok(())
}

/// Keeps a recording that is not as it must be, where `TRACER_KEEP` names a folder.
fn keep(what: &str, round: u32, heard: &Heard) -> Result<()> {
    let Some(folder) = std::env::var_os("TRACER_KEEP") else {
        return Ok(());
    };
    let name = format!("{what}-{round}-{}.jsonl", heard.name).replace(' ', "-");
    let path = std::path::Path::new(&folder).join(name);
    std::fs::write(&path, &heard.run.stdout).context("keep a recording")
}

fn started_and_stopped() -> Result<()> {
    rounds("started and stopped", |moments| {
        let watcher = Watcher::start("it", &[])?;
        moments.wait(LONGEST);
        Ok(vec![watcher.stop()?])
    })
}

fn stopped_by_itself() -> Result<()> {
    rounds("stopped by itself", |moments| {
        let time = moments.next(LONGEST).max(Duration::from_millis(1));
        let time = format!("{}ms", time.as_millis());
        let watcher = Watcher::start("it", &["--for", &time])?;
        Ok(vec![watcher.finish()?])
    })
}

/// What was told until then is true, and the next one knows nothing of the one before.
fn killed_and_started_again() -> Result<()> {
    rounds("killed and started again", |moments| {
        let mut first = Watcher::start("first", &[])?;
        moments.wait(LONGEST);
        first.tracer.process().signal(Signal::KILL)?;
        let second = Watcher::start("second", &[])?;
        let first = first.killed()?;
        moments.wait(LONGEST / 2);
        Ok(vec![first, second.stop()?])
    })
}

/// Neither is in the other's way, and neither tells what the other one does to check itself.
fn while_another_starts_and_stops() -> Result<()> {
    rounds("while another starts and stops", |moments| {
        let long = Watcher::start("the long one", &[])?;
        moments.wait(LONGEST / 4);
        let short = Watcher::start("the short one", &[])?;
        moments.wait(LONGEST / 2);
        let short = short.stop()?;
        moments.wait(LONGEST / 4);
        Ok(vec![long.stop()?, short])
    })
}

fn over_several_looks_around() -> Result<()> {
    rounds("over several looks around", |moments| {
        let watcher = Watcher::start("it", &["--rescan", "1s"])?;
        std::thread::sleep(Duration::from_secs(2));
        moments.wait(LONGEST);
        Ok(vec![watcher.stop()?])
    })
}

/// A map of the same: no edge says that something failed which did not.
fn as_a_map() -> Result<()> {
    let mut moments = Moments::new("as a map")?;
    let mut faults = String::new();
    let (rounds, rate) = settings()?;
    for round in 0..rounds {
        let traffic = Traffic::start(rate)?;
        moments.wait(LONGEST / 10);
        let own = Netns::new()?;
        let mut command = live_command("map", &["-o", "json", "-v"])?;
        own.enter(&mut command);
        let mut process = Process::spawn(&mut command, true)?;
        process.wait_until_watching()?;
        moments.wait(LONGEST);
        process.signal(Signal::INT)?;
        let run = process.finish()?;
        run.expect_code(0)?;
        let ports = traffic.ports();
        let truth = traffic.finish()?;
        println!("moments: as a map, round {round}: {truth}");
        if let Err(fault) = judge_map(&truth, ports, run.text()?) {
            println!("moments: as a map, round {round}: {fault:#}");
            faults += &format!("\nround {round}: {fault:#}");
        }
    }
    ensure!(faults.is_empty(), "{faults}");
    Ok(())
}
