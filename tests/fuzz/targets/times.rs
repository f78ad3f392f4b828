//! Times and numbers as `/v1` takes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| model::fuzzing::times(input));
