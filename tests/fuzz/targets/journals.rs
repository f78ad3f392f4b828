//! Journals of imports.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| eventtracker::fuzzing::journals(input));
