//! Fuzzes: messages of name servers, and files of names.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: tracer_fuzz::begin("names"),
    |bytes: &[u8]| tracer_user::fuzz::names(bytes)
);
