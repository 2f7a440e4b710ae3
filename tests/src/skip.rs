//! Saying that a test cannot run here, and why.
//!
//! A skip is an error of its own type, so it travels by `?`; the suite prints its reason and
//! counts it. A machine that must have a feature names it in `TRACER_REQUIRE` (a comma list,
//! or `all`): there, missing it is a failure.

use std::{fmt, path::PathBuf};

use anyhow::Result;

/// A test did not run, for lack of `feature`.
#[derive(Debug)]
pub struct Skip {
    feature: String,
    reason: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.feature, self.reason)
    }
}

impl std::error::Error for Skip {}

/// Ends a test that lacks `feature`: a skip, or a failure where the machine must have it.
pub fn skip<T>(feature: &str, reason: impl fmt::Display) -> Result<T> {
    let required = std::env::var("TRACER_REQUIRE").unwrap_or_default();
    let skip = Skip {
        feature: feature.to_owned(),
        reason: reason.to_string(),
    };
    if required
        .split(',')
        .any(|name| name == feature || name == "all")
    {
        anyhow::bail!("{skip}; TRACER_REQUIRE={required} says that this machine has it");
    }
    Err(skip.into())
}

/// Ends a test that would prove nothing on this machine: a skip, whatever is required.
pub fn not_here<T>(feature: &str, reason: impl fmt::Display) -> Result<T> {
    Err(Skip {
        feature: feature.to_owned(),
        reason: reason.to_string(),
    }
    .into())
}

/// Finds a program in `PATH`, or skips.
pub fn need(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match find(program, std::env::split_paths(&path)) {
        Some(file) => Ok(file),
        None => skip(program, "the program is not in PATH"),
    }
}

/// Finds a program of PostgreSQL, which Debian keeps apart for each version, or skips.
pub fn need_postgres(program: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    match find(program, versions.map(|version| version.path().join("bin"))) {
        Some(file) => Ok(file),
        None => need(program),
    }
}

fn find(program: &str, mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.join(program)).filter(|file| file.is_file()))
}
