//! Fuzzes: files of /proc.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("procfs"),
    |bytes: &[u8]| tracer_user::fuzz::procfs(bytes)
);
