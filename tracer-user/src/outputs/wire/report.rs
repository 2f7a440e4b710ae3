//! What `tracer doctor` found, as one JSON object.

use serde::Serialize;

use crate::model::{Blind, Cost, ProgramCost};

/// What `tracer doctor` found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    pub(crate) kernel: String,
    pub(crate) arch: String,
    /// The hook set that `stream` will use; none if it cannot run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hooks: Option<&'static str>,
    pub(crate) sets: Vec<SetReport>,
    pub(crate) obstacles: Vec<ObstacleReport>,
    pub(crate) blind: Vec<Blind>,
    /// What is missing that is not in the way.
    pub(crate) limits: Vec<ObstacleReport>,
    /// What watching cost, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<CostReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CostReport {
    /// How long it was watched, nanoseconds.
    pub(crate) watched_ns: u64,
    /// Events that were seen.
    pub(crate) events: u64,
    /// Of tracer's own process, which printed nothing.
    pub(crate) process: Cost,
    /// Those that ran, the dearest first.
    pub(crate) programs: Vec<ProgramCost>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SetReport {
    pub(crate) hooks: &'static str,
    pub(crate) loads: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ObstacleReport {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) fix: String,
}
