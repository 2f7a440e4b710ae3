//! What `cargo xtask bench` measures of the user side alone: records of a real run, taken
//! through its stages again and again. No part of the interface of this crate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{
    capture::{Capture, Options, RecordBytes, Replay},
    enrich::{self, Enricher},
    map::{self, Map},
    model::Told,
    run::Batch,
};

/// Between two looks at the ring buffer.
const PACE: Duration = Duration::from_millis(5);

/// How far records are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// To events that are complete.
    Enrich,
    /// And to a map of them all; a live one leaves openings out that are over already.
    Map,
    /// To events that are complete, and lines of JSON of them in memory.
    Json,
}

/// What the kernel side sent.
pub struct Recording(Vec<RecordBytes>);

impl Recording {
    /// Records while `traffic` runs.
    ///
    /// # Errors
    /// If the capture does not start, or the traffic fails.
    pub fn of(traffic: impl FnOnce() -> Result<()>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime")?;
        let _entered = runtime.enter();
        let mut capture = Capture::start(&Options::default())?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let reader = thread::spawn(move || {
            let mut records = Vec::new();
            loop {
                let is_last = told.load(Ordering::Acquire);
                capture.record(|bytes| records.push(RecordBytes::from(bytes)));
                if is_last {
                    return records;
                }
                thread::sleep(PACE);
            }
        });
        let result = traffic();
        is_over.store(true, Ordering::Release);
        let records = reader.join().ok().context("the reader panicked")?;
        result.map(|()| Self(records))
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of them through the stages, as far as `last`, and says how long that took.
    pub fn replay(&self, last: Stage) -> Duration {
        let mut replay = Replay::new();
        let mut enricher = Enricher::new(enrich::Options {
            peers: last != Stage::Map,
            ..enrich::Options::default()
        });
        let mut map = Map::new(map::Options::ONE_HOST);
        let mut batch = Batch::json();
        let begun = Instant::now();
        for bytes in &self.0 {
            replay.told(bytes, |mut told| match &mut told {
                Told::Event(event) => {
                    enricher.complete(event);
                    match last {
                        Stage::Enrich => {}
                        Stage::Map => map.push(event),
                        Stage::Json => batch.write(event),
                    }
                    std::hint::black_box(event);
                }
                Told::Fact(fact) => enricher.learn(fact),
            });
            if batch.is_full() {
                batch.clear();
            }
        }
        std::hint::black_box((batch.bytes(), &map));
        begun.elapsed()
    }
}
