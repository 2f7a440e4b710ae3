//! Fuzzes: what recordings take in memory.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("memory"),
    |bytes: &[u8]| {
        let taken = allocation_counter::measure(|| tracer_user::fuzz::map_of(bytes));
        let most = tracer_user::fuzz::most_memory(bytes.len());
        assert!(taken.bytes_max <= most as u64, "{} bytes", taken.bytes_max);
    }
);
