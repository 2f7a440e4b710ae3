//! Fuzzes: files of rules and of roles.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("rules"),
    |bytes: &[u8]| tracer_user::fuzz::rules(bytes)
);
