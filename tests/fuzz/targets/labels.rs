//! Fuzzes: what runtimes say of containers.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("labels"),
    |bytes: &[u8]| tracer_user::fuzz::labels(bytes)
);
