//! What it costs to watch this host.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    consumer::{Consumer, Count},
    source::{Live, Source, Watch},
    stop::Stop,
    thread::Run,
};
use crate::{
    capture::{HookSet, Options},
    enrich::{Enricher, names::Networks, workload::Roles},
    filter::{self, Filter},
    model::{Cost, ProgramCost},
    sandbox::Needs as Rights,
};

/// What watching cost.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How long it was watched.
    pub watched: Duration,
    /// Events that were told.
    pub events: u64,
    /// Of this process, which printed nothing.
    pub process: Cost,
    /// Of each program in the kernel.
    pub programs: Vec<ProgramCost>,
}

/// Watches this host for a while, as `tracer stream` would, without printing.
///
/// # Errors
/// If the capture cannot start, or the kernel does not count runs of programs.
pub async fn measure(hooks: Option<HookSet>, duration: Duration) -> Result<Measured> {
    let (count, number) = Count::new();
    let consumers: Vec<Box<dyn Consumer>> = vec![Box::new(count)];
    let watch = Watch {
        capture: Options {
            hooks,
            ..Options::default()
        },
        duration: Some(duration),
        costs: true,
    };
    let open = move |needs| {
        let enricher = Enricher::new(
            Path::new("/proc"),
            Networks::default(),
            Roles::builtin(),
            None,
        );
        let live = Live::watch(
            &watch,
            enricher,
            Filter::new(&filter::Options::default()),
            needs,
        )?;
        Ok(Source::Live(Box::new(live)))
    };
    let run = Run::of(open, consumers, Stop::new()).await?;
    let rights = Rights {
        watches: true,
        ..Rights::default()
    };
    let account = run.begin(Some(rights)).end().await?;
    let costs = account.costs.context("the run was not measured")?;
    Ok(Measured {
        watched: costs.watched,
        events: number.load(Ordering::Relaxed),
        process: costs.process,
        programs: costs.programs,
    })
}
