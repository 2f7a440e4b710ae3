//! Fuzzes: recorded streams, and the maps that are made of them.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("replay"),
    |bytes: &[u8]| tracer_user::fuzz::replay(bytes)
);
