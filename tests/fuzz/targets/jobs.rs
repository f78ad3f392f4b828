//! Bodies of jobs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| queue::fuzzing::jobs(input));
