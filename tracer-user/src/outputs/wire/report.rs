//! The report of `tracer doctor`, as one JSON object.

use serde::Serialize;

use crate::model::{Blind, Cost, ProgramCost};

/// Whether tracer works on this host, and what it cannot see.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The version of tracer.
    pub(crate) version: &'static str,
    /// The release of the kernel.
    pub(crate) kernel: String,
    /// The machine, as `uname -m` names it.
    pub(crate) arch: String,
    /// The hook set that `stream` will use; none if it cannot run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hooks: Option<&'static str>,
    /// Each hook set that was tried, in order of preference.
    pub(crate) sets: Vec<SetReport>,
    /// What prevents any capture.
    pub(crate) obstacles: Vec<ObstacleReport>,
    /// What stays invisible with `hooks`.
    pub(crate) blind: Vec<Blind>,
    /// Missing rights or features that do not prevent a capture.
    pub(crate) limits: Vec<ObstacleReport>,
    /// The measured cost, with `--cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<CostReport>,
}

/// The cost of a capture that printed nothing.
#[derive(Debug, Serialize)]
pub(crate) struct CostReport {
    /// How long the capture ran, nanoseconds.
    pub(crate) watched_ns: u64,
    /// Events that arrived.
    pub(crate) events: u64,
    /// Of tracer's own process.
    pub(crate) process: Cost,
    /// Of each eBPF program that ran, the most expensive first.
    pub(crate) programs: Vec<ProgramCost>,
}

/// A hook set that was tried.
#[derive(Debug, Serialize)]
pub(crate) struct SetReport {
    /// Its name.
    pub(crate) hooks: &'static str,
    /// Whether the kernel loads it.
    pub(crate) loads: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// Something that is missing.
#[derive(Debug, Serialize)]
pub(crate) struct ObstacleReport {
    /// What.
    pub(crate) what: String,
    /// Why it is needed.
    pub(crate) why: String,
    /// What to do.
    pub(crate) fix: String,
}
