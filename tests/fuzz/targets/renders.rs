//! Requests for `/render`: targets and times.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| graphite::fuzzing::renders(input));
