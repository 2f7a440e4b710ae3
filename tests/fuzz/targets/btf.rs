//! Fuzzes: the kernel's type information.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("btf"),
    |bytes: &[u8]| tracer_user::fuzz::btf(bytes)
);
