//! Patterns over names.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| model::fuzzing::globs(input));
