//! Waiting for a condition, with a deadline that only a hang meets.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take before the test gives it up for hung. Generous: test
/// machines are emulated, and nothing that works waits for it.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Asks `ready` again and again until it answers `Some`, at most [`DEADLINE`] long.
pub fn until<T>(what: &str, ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_at_most(DEADLINE, what, ready)
}

/// Like [`until`], for what may well not come.
pub fn until_at_most<T>(
    limit: Duration,
    what: &str,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("still waiting for {what} after {limit:?}");
        }
        // Only the pace of asking: nothing is concluded from the time that passed.
        std::thread::sleep(Duration::from_millis(2));
    }
}
