//! Values on the command line. Each refusal says what to write instead; clap puts before
//! it which value of which option is meant.

use std::time::{Duration, SystemTime};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use rustix::param::page_size;

use crate::{host, model::Timestamp};

/// Largest ring: 1 GiB.
const MAX_RING_BYTES: u64 = 1 << 30;

/// One of `all`: each goes by its `name`, of which `--help` says `help`.
pub(super) fn word<T: Copy + Send + Sync + 'static>(
    all: &[T],
    name: fn(T) -> &'static str,
    help: fn(T) -> &'static str,
) -> ValueParser {
    let all = all.to_vec();
    let words: Vec<_> = all
        .iter()
        .map(|it| PossibleValue::new(name(*it)).help(help(*it)))
        .collect();
    PossibleValuesParser::new(words)
        .try_map(move |word| {
            let found = all.iter().copied().find(|it| name(*it) == word);
            found.ok_or("no such value")
        })
        .into()
}

/// A pattern for text.
pub(super) fn glob(text: &str) -> Result<globset::Glob, String> {
    globset::Glob::new(text).map_err(|error| format!("{}; write text with * for any", error.kind()))
}

/// A time span with its unit, as `1h 30min`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write for example 30s, 5min or '1h 30min'"))
}

/// A point in time: RFC 3339, or how long ago.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let ns = since.ok().and_then(|it| u64::try_from(it.as_nanos()).ok());
        return ns
            .map(Timestamp::from_ns)
            .ok_or_else(|| "before 1970".to_owned());
    }
    let ago =
        humantime::parse_duration(text.strip_suffix(" ago").unwrap_or(text)).map_err(|_| {
            "neither a time nor how long ago: write for example 2026-11-22T08:00:00Z or 2h"
                .to_owned()
        })?;
    let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
    Ok(Timestamp::from_ns(host::now().as_ns().saturating_sub(ago)))
}

/// The size of a ring buffer: what the kernel accepts.
pub(super) fn ring_bytes(text: &str) -> Result<u32, String> {
    let example = "write for example 4096, 64K or 16M";
    let bytes = bytes(text).ok_or_else(|| format!("not a size; {example}"))?;
    if !bytes.is_power_of_two() {
        return Err(format!("the kernel only takes powers of two; {example}"));
    }
    let min = u64::try_from(page_size()).unwrap_or(u64::MAX).max(4096);
    if bytes < min {
        return Err(format!(
            "smaller than a memory page of {min} bytes; write at least {min}"
        ));
    }
    u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= MAX_RING_BYTES)
        .ok_or_else(|| "more than the largest ring; write at most 1G".to_owned())
}

/// A number of bytes, with K, M or G for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.char_indices().next_back()? {
        (at, 'K' | 'k') => (&text[..at], 10),
        (at, 'M' | 'm') => (&text[..at], 20),
        (at, 'G' | 'g') => (&text[..at], 30),
        _ => (text, 0),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
