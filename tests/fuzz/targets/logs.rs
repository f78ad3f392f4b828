//! Lines of web servers' logs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| eventtracker::fuzzing::logs(input));
