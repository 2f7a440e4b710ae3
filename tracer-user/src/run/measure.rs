//! What it costs to watch this host.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    consumer::{Consumer, Count},
    stop::Stop,
    thread::Run,
    view::rights,
};
use crate::{
    capture::{HookSet, Options},
    cli::request::{Origin, Watch},
    filter,
    model::{Cost, ProgramCost},
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
        ..Watch::default()
    };
    let origin = Origin::Live(Box::new(watch));
    let rights = rights(&origin);
    let filter = filter::Options::default();
    let run = Run::open(origin, filter, consumers, Stop::new()).await?;
    let account = run.begin(Some(rights)).end().await?;
    let costs = account.costs.context("the run was not measured")?;
    Ok(Measured {
        watched: costs.watched,
        events: number.load(Ordering::Relaxed),
        process: costs.process,
        programs: costs.programs,
    })
}
