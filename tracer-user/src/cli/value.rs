//! Values on the command line. Each refusal says what to write instead; clap puts before
//! it which value of which option is meant.

use std::time::Duration;

use rustix::param::page_size;

/// Largest ring: 1 GiB.
const MAX_RING_BYTES: u64 = 1 << 30;

/// A time span with its unit, as `1h 30min`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write for example 30s, 5min or '1h 30min'"))
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
