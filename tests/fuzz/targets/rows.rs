//! Rows of history: CSV, and JSON in lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| eventtracker::fuzzing::rows(input));
