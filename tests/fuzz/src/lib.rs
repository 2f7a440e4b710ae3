//! What all targets do before they begin.

use std::{env, fs, path::PathBuf, process};

/// The folder to write seeds to, and nothing else to be done.
const SEEDS: &str = "TRACER_FUZZ_SEEDS";

/// Writes seeds for `target` and ends, if that was asked for.
///
/// # Panics
/// If they cannot be written.
pub fn begin(target: &str) {
    let Some(folder) = env::var_os(SEEDS).map(PathBuf::from) else {
        return;
    };
    for (number, seed) in tracer_user::fuzz::seeds(target).iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed).expect("write a seed");
    }
    process::exit(0);
}
