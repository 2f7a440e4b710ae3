//! Fuzzes: bytes of the ring buffer → records → events → lines.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("decode"),
    |bytes: &[u8]| tracer_user::fuzz::decode(bytes)
);
