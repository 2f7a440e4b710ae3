//! All kinds of traffic at once, for a while, everything told held against the truth.
//!
//! Connections of every kind, some of them there before tracer; processes that are gone at once;
//! and every failure, each kind by a thread of its own, over and over.

mod failing;
mod truth;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use tracer_tests::{
    expect,
    hold::Held,
    skip,
    suite::setting,
    tests,
    tracer::Tracer,
    traffic::{self, Dial, Talk},
};

use self::{failing::Places, truth::Truth};
use super::ledger;
use crate::world;

tests!("mixed": all_kinds_of_traffic_at_once);

/// Connections that are there before tracer.
const HELD: usize = 50;

/// Between two rounds of one kind: so that there is some of each, not all of one.
const PAUSE: Duration = Duration::from_millis(20);

/// Until when the traffic goes on. Every kind goes on until it has been there at least once.
struct Until {
    end: Instant,
    /// Something went wrong somewhere: there is no sense in going on.
    broken: AtomicBool,
}

impl Until {
    fn is_over(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || Instant::now() >= self.end
    }
}

/// A kind of traffic, which goes on until it is over.
type Work<'a> = Box<dyn FnOnce(&Until) -> Result<Truth> + Send + 'a>;

fn all_kinds_of_traffic_at_once() -> Result<()> {
    let seconds = setting("TRACER_MIXED", 20)?;
    skip::need("ip")?;
    skip::need("nft")?;
    let folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let held_folder = tempfile::tempdir().context("make a folder for the ledgers")?;
    let usual = ledger::World::new(folder.path(), None)?;
    let old = world::namespace()?;
    let held = Held::open(&old, HELD, held_folder.path().to_owned())?;
    let places = Places::new()?;

    let mut tracer = Tracer::stream(&["--event", &expect::KINDS.join(",")])?;
    let start = tracer.wait_for("the start line", |_| true)?;
    let until = Until {
        end: Instant::now() + Duration::from_secs(seconds.into()),
        broken: AtomicBool::new(false),
    };
    let mut works = places.works(&start)?;
    works.push(Box::new(|until| connections(&usual, &folder, until)));
    works.push(Box::new(|until| short_lived(&usual, &folder, until)));
    works.push(Box::new(|until| {
        // Half of the time they are there, half of it they are not.
        let left = until.end.saturating_duration_since(Instant::now());
        std::thread::sleep(left / 2);
        held.close()?;
        Ok(Truth::default())
    }));
    let mut truth = all(works, &until)?;
    truth.scope.extend([old.inode(), usual.netns.inode()]);
    for netns in places.namespaces().chain([&old]) {
        netns.wait_settled()?;
    }
    usual.finish()?;
    truth.add_ledgers(folder.path(), false)?;
    truth.add_ledgers(held_folder.path(), true)?;

    let run = tracer.stop()?;
    run.expect_code(0)?;
    truth.compare(&run)
}

/// Does all of it at once.
fn all(works: Vec<Work<'_>>, until: &Until) -> Result<Truth> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = works
            .into_iter()
            .map(|work| {
                scope.spawn(move || {
                    work(until).inspect_err(|_| until.broken.store(true, Ordering::Relaxed))
                })
            })
            .collect();
        let mut whole = Ok(Truth::default());
        for thread in threads {
            let part = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
            whole = match (whole, part) {
                (Ok(whole), Ok(part)) => Ok(whole.and(part)),
                // The first to break is not always the first to be joined; both are told.
                (Err(first), Err(second)) => Err(first.context(format!("{second:#}"))),
                (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            };
        }
        whole
    })
}

/// Every kind of server and client, and every way to end.
fn connections(usual: &ledger::World, folder: &tempfile::TempDir, until: &Until) -> Result<Truth> {
    let targets = usual.targets()?;
    // Every target meets every ending.
    let count = u32::try_from(targets.len())? * 5;
    for seed in 0_u32.. {
        let client = |n: u32| {
            let plan = Dial {
                seed: 2 * seed + n,
                ..plan(&targets, count, folder)
            };
            traffic::dial(&usual.netns, &plan)
        };
        traffic::go(vec![client(0)?, client(1)?])?;
        if until.is_over() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Truth::default())
}

fn plan(targets: &[traffic::Target], count: u32, folder: &tempfile::TempDir) -> Dial {
    Dial {
        targets: targets.to_vec(),
        count,
        talk: Talk::Full,
        first_port: 0,
        bound: 0,
        seed: 0,
        ledger: folder.path().to_owned(),
    }
}

/// Processes that are executed, connect once, and are gone.
fn short_lived(usual: &ledger::World, folder: &tempfile::TempDir, until: &Until) -> Result<Truth> {
    let mut truth = Truth::default();
    let targets = usual.targets()?;
    for target in targets.iter().cycle() {
        let client = traffic::dial(&usual.netns, &plan(&[*target], 1, folder))?;
        truth.short_lived.push(client.pid());
        traffic::go(vec![client])?;
        if until.is_over() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(truth)
}
