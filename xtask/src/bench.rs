//! `cargo xtask bench`: what tracer costs, measured beside doing without it and beside other
//! tools. The measuring is done by `tests/bench`, as root.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::{cargo, process, provision};

/// Measure what tracer costs: CPU time, memory, time to start, beside other tools
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A look of two minutes: few rounds, fewer arms
    #[arg(long)]
    quick: bool,
    /// Rounds of the storm, each with every arm; 0 for no storm [default: 20, quick: 5]
    #[arg(long)]
    rounds: Option<u32>,
    /// Connections of a storm [default: 60000, quick: 20000]
    #[arg(long)]
    connections: Option<u32>,
    /// Only these, beside nothing: empty, packets, calls, map, count, close, json, text, tcplife, tcpstates
    #[arg(long, value_delimiter = ',')]
    arms: Vec<String>,
    /// Another tracer, as of the version before: each arm of tracer runs with that one, too
    #[arg(long)]
    against: Option<PathBuf>,
    /// How often to take the records of a storm through the user side alone; 0 for not at all
    #[arg(long, default_value_t = 20)]
    replays: u32,
    /// How often to start tracer and wait until it is ready
    #[arg(long, default_value_t = 10)]
    starts: u32,
    /// Connections to hold open at once, for its memory; 0 for none
    #[arg(long, default_value_t = 100_000)]
    held: u32,
    /// Connections through one run in the end, to see that nothing grows
    #[arg(long, default_value_t = 0)]
    soak: u32,
    /// Write the figures to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("measure the whole machine: that needs root; run this as root");
    }
    provision::provision(provision::PEERS, "The tools to compare tracer with");
    let tracer = cargo::build_tracer()?;
    let bench = cargo::build_bench()?;
    let (rounds, connections, arms) = if options.quick {
        (5, 20_000, vec!["map", "json", "tcplife"])
    } else {
        (20, 60_000, Vec::new())
    };
    let arms = if options.arms.is_empty() {
        arms.into_iter().map(str::to_owned).collect()
    } else {
        options.arms.clone()
    };
    // The program starts elsewhere.
    let json = options.json.as_ref().map(std::path::absolute).transpose();
    let against = options
        .against
        .as_ref()
        .map(std::path::absolute)
        .transpose();
    let plan = json!({
        "rounds": options.rounds.unwrap_or(rounds),
        "connections": options.connections.unwrap_or(connections),
        "arms": arms,
        "against": against.context("find the other tracer")?,
        "replays": options.replays,
        "starts": options.starts,
        "held": options.held,
        "blocked": !options.quick,
        "soak": options.soak,
        "json": json.context("find the place of the file")?,
    });
    let status = Command::new(bench)
        .arg(plan.to_string())
        .env("TRACER", tracer)
        .status()
        .context("start the benchmark")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
